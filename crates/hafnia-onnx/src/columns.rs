//! [`Columns`]: convolutions that QONNX has lowered to `Im2Col` and `MatMul`.

use crate::graph::{attribute, integer, integers};
use crate::proto::{Attribute, Node};
use crate::tensor::Tensor;
use crate::value::Value;

/// The windows of an image (y, x, channel), each a row (y, x, (row, column, channel)).
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    x: Value,
    kernel: [usize; 2],
    /// What a convolution calls the rest.
    attributes: Vec<Attribute>,
}

impl Columns {
    /// What an `Im2Col` makes of a value.
    pub(crate) fn of(node: &Node, x: &Value) -> Result<Self, String> {
        let given = integers(node, "kernel_size").unwrap_or_default();
        let side =
            |side: i64| usize::try_from(side).ok().filter(|side| (1..=1 << 14).contains(side));
        let kernel = match *given {
            [height, width] => side(height).zip(side(width)),
            _ => None,
        };
        let Some((height, width)) = kernel else {
            return Err(format!("its kernel_size is {given:?}, it must be of two sides"));
        };
        if x.dims.len() != 4 {
            return Err(format!("its input has sides {:?}, it must be (1, y, x, channel)", x.dims));
        }
        if integer(node, "pad_value", 0) != 0 {
            return Err("its pad_value is not 0".to_owned());
        }
        let renamed = |(own, name): (&str, &str)| {
            let found = attribute(node, own).cloned();
            found.map(|attribute| Attribute { name: name.to_owned(), ..attribute })
        };
        let names = [("stride", "strides"), ("pad_amount", "pads"), ("dilations", "dilations")];
        let attributes = names.into_iter().filter_map(renamed).collect();
        let x = x.transposed(&[0, 3, 1, 2]);
        Ok(Self { x, kernel: [height, width], attributes })
    }

    /// The convolution that a product of the rows with weights (row, output) is: its node, image and
    /// weights.
    pub(crate) fn conv(
        self,
        node: &Node,
        weights: &Tensor,
    ) -> Result<(Node, Value, Tensor), String> {
        let (channels, [height, width]) = (self.x.dims[1], self.kernel);
        let rows = height * width * channels;
        let &[inputs, outputs] = &weights.dims[..] else {
            return Err(format!("its weights have sides {:?}, they must have two", weights.dims));
        };
        if inputs != rows {
            return Err(format!("its weights have {inputs} rows, its windows {rows} elements"));
        }
        let weights = weights.with_dims(vec![height, width, channels, outputs]);
        let weights = weights.transposed(&[3, 2, 0, 1]);
        let kernel = Attribute {
            name: "kernel_shape".to_owned(),
            ints: vec![height as i64, width as i64],
            ..Attribute::default()
        };
        let mut attribute = self.attributes;
        attribute.push(kernel);
        Ok((Node { attribute, name: node.name.clone(), ..Node::default() }, self.x, weights))
    }
}
