//! The input of a graph: what bytes of an image become before its first node.

use std::collections::BTreeMap;

use hafnia_model::Shape;

use crate::expression::Expressions;
use crate::graph::{Graph, integers};
use crate::options::{Options, Pixels};
use crate::plan::Plan;
use crate::state::State;
use crate::value::{Base, MOST_VALUES, Value};

/// `uint8` among the types of tensors.
const UINT8: i32 = 2;
/// `int8` among them.
const INT8: i32 = 3;
/// `float16` among them.
const HALF: i32 = 10;
/// `bfloat16` among them.
const BRAIN: i32 = 16;

/// What is known before the first node, the tensor of the input, and whether images are (y, x,
/// channel).
pub(crate) fn begin(graph: &Graph, options: &Options) -> Result<(State, Value, bool), String> {
    let channels_last = is_channels_last(graph);
    let dims = input_dims(graph)?;
    let shape = input_shape(&dims, options, channels_last)?;
    check_kind(graph, &options.pixels)?;
    let bytes = tables(&options.pixels, shape.channels)?;
    let mut state = State {
        expressions: Expressions::default(),
        bases: Vec::new(),
        settled: BTreeMap::new(),
        plan: Plan::new(shape),
        notes: graph.notes.clone(),
        node: String::new(),
        approximate: options.approximate,
        taken: None,
        products: Vec::new(),
        thresholds: 0,
        near: 0,
    };
    let base = state.keep(Base {
        value: 0,
        shape,
        ranges: vec![(0, 255); shape.channels],
        range: (0, 255),
        scale: vec![1.0; shape.channels],
        offset: vec![0.0; shape.channels],
        bytes: Some(bytes.into()),
        noise: vec![0.0; shape.channels],
        mean_of: None,
    });
    let image = state.value_of(base);
    let value = match channels_last {
        true => Value { dims, ..image.transposed(&[0, 2, 3, 1]) },
        false => Value { dims, ..image },
    };
    Ok((state, value, channels_last))
}

/// Whether images are (y, x, channel), or signals (x, channel): if the first node that moves axes makes
/// (channel, y, x) of them, if a product is with the last side of signals, or if that side of images is
/// that of colours.
fn is_channels_last(graph: &Graph) -> bool {
    let rank = graph.dims.len();
    if !(3..=4).contains(&rank) {
        return false;
    }
    let mut name = &graph.input;
    for node in &graph.nodes {
        if !node.input.contains(name) {
            continue;
        }
        if node.domain.ends_with("channels_last") {
            return true;
        }
        match &*node.op_type {
            "Transpose" => {
                let forth: [&[i64]; 2] = [&[0, 3, 1, 2], &[0, 2, 1]];
                return integers(node, "perm").is_some_and(|perm| forth.contains(&perm));
            }
            "Conv" => return false,
            "MatMul" if rank == 3 => return true,
            "Reshape" => break,
            _ => {}
        }
        match node.output.first() {
            Some(output) => name = output,
            None => break,
        }
    }
    let [_, a, b, c] = graph.dims[..] else { return false };
    let is_colour = |side: Option<usize>| matches!(side, Some(1 | 3 | 4));
    is_colour(c) && !is_colour(a) && b.is_some_and(|side| side > 4)
}

/// The sides of the input for one image.
pub(crate) fn input_dims(graph: &Graph) -> Result<Vec<usize>, String> {
    let known = |side: &Option<usize>| match side {
        Some(side) => side.to_string(),
        None => "?".to_owned(),
    };
    let shown: Vec<String> = graph.dims.iter().map(known).collect();
    let (name, shown) = (hafnia_text::quoted(&graph.input), shown.join(", "));
    if !(2..=4).contains(&graph.dims.len()) {
        return Err(format!(
            "its input {name} has sides ({shown}): (batch, channel, y, x), (batch, channel, x) or (batch, feature) are taken"
        ));
    }
    let mut dims = vec![1];
    for side in &graph.dims[1..] {
        let side = side.filter(|&side| side <= 1 << 14);
        dims.push(side.ok_or_else(|| {
            format!(
                "its input {name} has sides ({shown}), of which all but the first must be known, and at most {}",
                1 << 14
            )
        })?);
    }
    Ok(dims)
}

/// The shape of the images.
fn input_shape(dims: &[usize], options: &Options, channels_last: bool) -> Result<Shape, String> {
    let shape = match *dims {
        [_, height, width, channels] if channels_last => Shape { channels, height, width },
        [_, channels, height, width] => Shape { channels, height, width },
        [_, width, channels] if channels_last => Shape { channels, height: 1, width },
        [_, channels, width] => Shape { channels, height: 1, width },
        [_, features] => Shape { channels: 1, height: 1, width: features },
        _ => return Err(format!("its input has sides {dims:?}")),
    };
    if shape.len() > MOST_VALUES {
        return Err(format!("its input is {shape}, at most {MOST_VALUES} elements may be"));
    }
    match options.shape {
        Some(asked) if asked.len() != shape.len() || dims.len() == 4 && asked != shape => {
            Err(format!("images of {asked} do not fit its input of {shape}"))
        }
        Some(asked) => Ok(asked),
        None => Ok(shape),
    }
}

/// Refuses pixels that are not of the type of the input.
fn check_kind(graph: &Graph, pixels: &Pixels) -> Result<(), String> {
    let (kind, is_fitting, needed) = match graph.kind {
        UINT8 => ("uint8", *pixels == Pixels::Raw, "raw"),
        INT8 => ("int8", *pixels == Pixels::Signed, "signed"),
        HALF | BRAIN => {
            let input = hafnia_text::quoted(&graph.input);
            return Err(format!(
                "its input {input} is of floats of 16 bits, whose roundings are not taken over; export in \
                 floats of 32 bits"
            ));
        }
        _ => return Ok(()),
    };
    match is_fitting {
        true => Ok(()),
        false => {
            let input = hafnia_text::quoted(&graph.input);
            Err(format!("its input {input} is of {kind}: pixels must be {needed}"))
        }
    }
}

/// By channel, what the graph is given for each byte, in `f32` as users compute it.
pub(crate) fn tables(pixels: &Pixels, channels: usize) -> Result<Vec<[f32; 256]>, String> {
    let table = |of: &dyn Fn(f32) -> f32| std::array::from_fn(|p| of(p as f32));
    match pixels {
        Pixels::Raw => Ok(vec![table(&|p| p); channels]),
        Pixels::Signed => Ok(vec![table(&|p| p - 128.0); channels]),
        Pixels::Unit => Ok(vec![table(&|p| p / 255.0); channels]),
        Pixels::Normalised { means, deviations } => {
            let each = |values: &[f32], what: &str| match values {
                [one] => Ok(vec![*one; channels]),
                values if values.len() == channels => Ok(values.to_vec()),
                values => Err(format!("{} {what} are given for {channels} channels", values.len())),
            };
            let (means, deviations) = (each(means, "means")?, each(deviations, "deviations")?);
            if let Some(value) =
                deviations.iter().find(|value| !(value.is_finite() && **value > 0.0))
            {
                return Err(format!("a deviation of pixels is {value}, it must be above 0"));
            }
            if let Some(value) = means.iter().find(|value| !value.is_finite()) {
                return Err(format!("a mean of pixels is {value}"));
            }
            let each = means.iter().zip(&deviations);
            Ok(each.map(|(mean, deviation)| table(&|p| (p / 255.0 - mean) / deviation)).collect())
        }
    }
}
