//! [`export`]: a network as a QONNX file.

use std::path::Path;

use hafnia_artifact::{ArtifactError, write_whole};
use hafnia_model::{Conv, Layer, Linear, Network, Padding, Shape, Thresholds, Weights, Window};
use prost::Message as _;

use crate::proto::{
    Attribute, Dimension, Function, Graph, Model, Node, OperatorSet, Tensor, TensorShape,
    TensorType, Type, ValueInfo,
};

/// QONNX's domain.
const QONNX: &str = "qonnx.custom_op.general";
/// Name of the input.
const IMAGE: &str = "image";
/// Up to this magnitude every integer is a float of 32 bits.
const LARGEST: i64 = 1 << 24;

/// Why a network is not exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The file cannot be written.
    #[error(transparent)]
    Io(#[from] ArtifactError),
    /// Sums are too large for the floats that executors compute with.
    #[error(
        "the sums of layer {layer} may reach {largest}, floats of 32 bits hold integers up to 16777216"
    )]
    Sums {
        /// Which layer.
        layer: usize,
        /// The largest magnitude of a sum.
        largest: i64,
    },
}

/// Writes a network as a QONNX file, whole or not at all: what executors compute of images, floats
/// (image, channel, y, x), are the integers of the network, or its scores if it has some. These floats
/// are those that the network takes, as the file did that it came from; or bytes if it takes no floats.
///
/// Thresholds are QONNX's `MultiThreshold`, which the file also says in ONNX's own operators, so that
/// `onnxruntime` runs it as well as `qonnx`.
///
/// # Errors
/// If the file cannot be written, or sums are over 2²⁴.
pub fn export(network: &Network, path: impl AsRef<Path>) -> Result<(), ExportError> {
    Ok(write_whole(path, &model(network)?.encode_to_vec())?)
}

/// The file of a network.
fn model(network: &Network) -> Result<Model, ExportError> {
    let mut writer = Writer { graph: Graph { name: "hafnia".to_owned(), ..Graph::default() } };
    let Shape { channels, height, width } = network.input().shape();
    writer.graph.input.push(info(IMAGE, &[1, channels, height, width]));
    let mut values = vec![writer.input(network)];
    // Whether a value has lost its rows and columns.
    let mut is_flat = vec![false];
    for (index, layer) in network.layers().iter().enumerate() {
        check_sums(network, index)?;
        let from = network.from(index);
        let mut names: Vec<String> = from.iter().map(|&value| values[value].clone()).collect();
        let flat = matches!(layer, Layer::Flatten | Layer::Linear(_)) || is_flat[from[0]];
        for (name, &value) in names.iter_mut().zip(from) {
            if flat && !is_flat[value] && !matches!(layer, Layer::Flatten) {
                *name = writer.node(
                    &format!("{name}_{index}"),
                    "Flatten",
                    &[name],
                    vec![int("axis", 1)],
                );
            }
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        values.push(writer.layer(network, index, layer, &names));
        is_flat.push(flat);
    }
    let mut last = values[values.len() - 1].clone();
    let scores = network.scores();
    let Shape { channels, height, width } = network.shape_after(network.layers().len() - 1);
    let sides = [1, channels, height, width];
    let sides = if is_flat[is_flat.len() - 1] { &sides[..2] } else { &sides[..] };
    if !scores.is_plain() {
        let floats = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<_>>();
        let scales = writer.floats("scales", sides, floats(&scores.scales));
        last = writer.node("scaled", "Mul", &[&last, &scales], Vec::new());
        let biases = writer.floats("biases", sides, floats(&scores.biases));
        last = writer.node("scores", "Add", &[&last, &biases], Vec::new());
    }
    writer.graph.output.push(info(&last, sides));
    Ok(Model {
        ir_version: 8,
        producer_name: "hafnia".to_owned(),
        graph: Some(writer.graph),
        opset_import: vec![set("", 17), set(QONNX, 1)],
        functions: vec![multi_threshold()],
    })
}

/// Refuses sums that floats do not hold: those of a layer before its thresholds.
fn check_sums(network: &Network, layer: usize) -> Result<(), ExportError> {
    let magnitude = |value: usize| {
        let (least, largest) = network.range_of(value);
        i64::from(least.unsigned_abs().max(largest.unsigned_abs()))
    };
    let from = network.from(layer)[0];
    let largest = match network.layers()[layer].weights() {
        Some(weights) => {
            let mut sums = vec![0; weights.columns()];
            for row in 0..weights.rows() {
                for (sum, weight) in sums.iter_mut().zip(weights.row(row)) {
                    *sum += i64::from(weight.unsigned_abs());
                }
            }
            sums.into_iter().max().unwrap_or(0) * magnitude(from)
        }
        None => magnitude(layer + 1).max(magnitude(from)),
    };
    match largest > LARGEST {
        true => Err(ExportError::Sums { layer, largest }),
        false => Ok(()),
    }
}

/// Name and sides of a tensor of floats.
fn info(name: &str, sides: &[usize]) -> ValueInfo {
    let dim = |&side: &usize| Dimension { dim_value: Some(side as i64), dim_param: None };
    let shape = Some(TensorShape { dim: sides.iter().map(dim).collect() });
    let tensor_type = Some(TensorType { elem_type: 1, shape });
    ValueInfo { name: name.to_owned(), r#type: Some(Type { tensor_type }) }
}

fn set(domain: &str, version: i64) -> OperatorSet {
    OperatorSet { domain: domain.to_owned(), version }
}

/// A graph that is written layer by layer.
struct Writer {
    graph: Graph,
}

impl Writer {
    fn floats(&mut self, name: &str, sides: &[usize], values: Vec<f32>) -> String {
        let dims = sides.iter().map(|&side| side as i64).collect();
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor =
            Tensor { dims, data_type: 1, name: name.to_owned(), raw_data, ..Tensor::default() };
        self.graph.initializer.push(tensor);
        name.to_owned()
    }

    fn node(&mut self, name: &str, op: &str, from: &[&str], attribute: Vec<Attribute>) -> String {
        self.node_of("", name, op, from, attribute)
    }

    fn node_of(
        &mut self,
        domain: &str,
        name: &str,
        op: &str,
        from: &[&str],
        attribute: Vec<Attribute>,
    ) -> String {
        self.graph.node.push(Node {
            input: from.iter().map(|&name| name.to_owned()).collect(),
            output: vec![name.to_owned()],
            name: format!("{op}_{name}"),
            op_type: op.to_owned(),
            attribute,
            domain: domain.to_owned(),
        });
        name.to_owned()
    }

    /// The activations of the input.
    fn input(&mut self, network: &Network) -> String {
        let input = network.input();
        let levels = usize::from(input.levels());
        let of_bytes = |cuts: &Vec<u8>| cuts.iter().map(|&cut| f32::from(cut)).collect();
        let mut cuts: Vec<Vec<f32>> = match &input.floats[..] {
            [] => input.cuts.iter().map(of_bytes).collect(),
            floats => floats.iter().map(|floats| floats.cuts.clone()).collect(),
        };
        // Cuts that nothing reaches make lists as long as each other.
        cuts.iter_mut().for_each(|cuts| cuts.resize(levels, f32::MAX));
        let cuts = self.floats("cuts", &[cuts.len(), levels], cuts.concat());
        self.thresholds("pixels", IMAGE, &cuts, input.lowest, levels)
    }

    /// Thresholds (channel, level) on a value.
    fn thresholds(
        &mut self,
        name: &str,
        of: &str,
        thresholds: &str,
        lowest: i32,
        levels: usize,
    ) -> String {
        let bits = levels.max(1).ilog2() + 1;
        let kind = if lowest < 0 { format!("INT{}", bits + 1) } else { format!("UINT{bits}") };
        let options = vec![
            text("out_dtype", &kind),
            float("out_scale", 1.0),
            float("out_bias", lowest as f32),
            text("data_layout", "NCHW"),
        ];
        self.node_of(QONNX, name, "MultiThreshold", &[of, thresholds], options)
    }

    fn layer(&mut self, network: &Network, index: usize, layer: &Layer, from: &[&str]) -> String {
        let name = layer.name().map_or_else(|| format!("value_{}", index + 1), str::to_owned);
        let shape = network.shape_before(index);
        let sums = match layer {
            Layer::Conv(conv) => self.conv(&name, conv, shape, from[0]),
            Layer::Linear(Linear { weights, .. }) => {
                let (rows, columns) = (weights.rows(), weights.columns());
                let values = weights.values().iter().map(|&weight| f32::from(weight)).collect();
                let weights = self.floats(&format!("{name}_weights"), &[rows, columns], values);
                self.node(&format!("{name}_sums"), "MatMul", &[from[0], &weights], Vec::new())
            }
            Layer::MaxPool(window) => {
                let mut options = of_window(window);
                options.push(ints("kernel_shape", &[window.kernel.0, window.kernel.1]));
                self.node(&name, "MaxPool", from, options)
            }
            Layer::SumPool(window) => {
                // A convolution of ones: an average would be rounded.
                let ones = Weights::from_fn(window.positions(), shape.channels, |_, _| 1);
                let conv =
                    Conv { groups: shape.channels, ..Conv::new(name.clone(), *window, ones, None) };
                self.conv(&name, &conv, shape, from[0])
            }
            Layer::Add(factors) => {
                let mut sum = String::new();
                for (at, (value, &factor)) in from.iter().zip(factors).enumerate() {
                    let number =
                        self.floats(&format!("{name}_factor_{at}"), &[], vec![factor as f32]);
                    let term = self.node(
                        &format!("{name}_term_{at}"),
                        "Mul",
                        &[value, &number],
                        Vec::new(),
                    );
                    sum = match at {
                        0 => term,
                        _ => self.node(
                            &format!("{name}_sum_{at}"),
                            "Add",
                            &[&sum, &term],
                            Vec::new(),
                        ),
                    };
                }
                sum
            }
            Layer::Concat => self.node(&name, "Concat", from, vec![int("axis", 1)]),
            Layer::Flatten => self.node(&name, "Flatten", from, vec![int("axis", 1)]),
            Layer::Activate(_) => from[0].to_owned(),
        };
        let Some(Thresholds { levels, lowest, values }) = layer.thresholds() else { return sums };
        let channels = values.len() / levels;
        let values = values.iter().map(|&threshold| threshold as f32).collect();
        let thresholds = self.floats(&format!("{name}_thresholds"), &[channels, *levels], values);
        self.thresholds(&name, &sums, &thresholds, *lowest, *levels)
    }

    fn conv(&mut self, name: &str, conv: &Conv, shape: Shape, from: &str) -> String {
        let Conv { window, groups, weights, .. } = conv;
        let (rows, outputs) = (weights.rows(), weights.columns());
        let values = (0..outputs)
            .flat_map(|output| (0..rows).map(move |row| weights.value(row, output) as f32));
        let sides = [outputs, shape.channels / groups, window.kernel.0, window.kernel.1];
        let weights = self.floats(&format!("{name}_weights"), &sides, values.collect());
        let mut options = of_window(window);
        options.push(int("group", *groups as i64));
        self.node(&format!("{name}_sums"), "Conv", &[from, &weights], options)
    }
}

/// Stride, dilation and padding.
fn of_window(window: &Window) -> Vec<Attribute> {
    let Padding { top, left, bottom, right } = window.padding;
    vec![
        ints("strides", &[window.stride.0, window.stride.1]),
        ints("dilations", &[window.dilation.0, window.dilation.1]),
        ints("pads", &[top, left, bottom, right]),
    ]
}

/// `MultiThreshold` in ONNX's own operators.
fn multi_threshold() -> Function {
    let mut node = Vec::new();
    let mut add = |op: &str, from: &[&str], to: &str, attribute: Vec<Attribute>| {
        node.push(Node {
            input: from.iter().map(|&name| name.to_owned()).collect(),
            output: vec![to.to_owned()],
            name: String::new(),
            op_type: op.to_owned(),
            attribute,
            domain: String::new(),
        });
    };
    let list =
        |values: &[i64]| Attribute { ints: values.to_vec(), r#type: 7, ..named("value_ints") };
    let option = |name: &str| Attribute {
        ref_attr_name: name.to_owned(),
        r#type: 1,
        ..named("value_float")
    };
    add("Shape", &["x"], "shape", Vec::new());
    add("Constant", &[], "apart", vec![list(&[0, 0, -1, 1])]);
    add("Reshape", &["x", "apart"], "flat", Vec::new());
    add("Constant", &[], "positions", vec![list(&[1])]);
    add("Unsqueeze", &["thresholds", "positions"], "spread", Vec::new());
    add("GreaterOrEqual", &["flat", "spread"], "reached", Vec::new());
    add("Cast", &["reached"], "ones", vec![int("to", 1)]);
    add("Constant", &[], "last", vec![list(&[-1])]);
    add("ReduceSum", &["ones", "last"], "count", vec![int("keepdims", 0)]);
    add("Reshape", &["count", "shape"], "level", Vec::new());
    add("Constant", &[], "scale", vec![option("out_scale")]);
    add("Mul", &["level", "scale"], "scaled", Vec::new());
    add("Constant", &[], "bias", vec![option("out_bias")]);
    add("Add", &["scaled", "bias"], "y", Vec::new());
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Function {
        name: "MultiThreshold".to_owned(),
        input: names(&["x", "thresholds"]),
        output: names(&["y"]),
        attribute: names(&["out_dtype", "out_scale", "out_bias", "data_layout"]),
        node,
        opset_import: vec![set("", 17)],
        domain: QONNX.to_owned(),
    }
}

fn named(name: &str) -> Attribute {
    Attribute { name: name.to_owned(), ..Attribute::default() }
}

fn int(name: &str, i: i64) -> Attribute {
    Attribute { i: Some(i), r#type: 2, ..named(name) }
}

fn ints(name: &str, values: &[usize]) -> Attribute {
    Attribute { ints: values.iter().map(|&value| value as i64).collect(), r#type: 7, ..named(name) }
}

fn float(name: &str, f: f32) -> Attribute {
    Attribute { f: Some(f), r#type: 1, ..named(name) }
}

fn text(name: &str, s: &str) -> Attribute {
    Attribute { s: Some(s.into()), r#type: 3, ..named(name) }
}
