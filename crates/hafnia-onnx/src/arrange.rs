//! Values put together, apart, or with more around them.

use crate::constant::{joined, sliced};
use crate::graph::{float, integer, integers, word};
use crate::layout;
use crate::proto::Node;
use crate::tensor::Tensor;
use crate::value::{Part, Value};

/// A value with more around it.
pub(crate) fn pad(
    node: &Node,
    x: &Value,
    pads: Option<Vec<i64>>,
    value: Option<&Tensor>,
) -> Result<Value, String> {
    let mode = word(node, "mode", "CONSTANT");
    if mode != "CONSTANT" {
        return Err(format!("its mode is {}, it must be constant", mode.to_lowercase()));
    }
    let pads = pads.or_else(|| integers(node, "paddings").map(<[i64]>::to_vec)).unwrap_or_default();
    let value = value.and_then(Tensor::single).unwrap_or_else(|| float(node, "value", 0.0));
    let rank = x.dims.len();
    let sides: Option<Vec<usize>> = pads
        .iter()
        .map(|&side| usize::try_from(side).ok().filter(|&side| side <= 1 << 14))
        .collect();
    let Some(sides) = sides.filter(|sides| sides.len() == 2 * rank) else {
        return Err(format!(
            "its pads are {pads:?}, they must be two of at least 0 for each of {rank} sides"
        ));
    };
    if sides.iter().all(|&side| side == 0) {
        return Ok(x.clone());
    }
    if !x.padding.is_empty() && value != x.filler {
        let before = x.filler;
        return Err(format!("it pads with {value} what is padded with {before}"));
    }
    let before = if x.padding.is_empty() { vec![(0, 0); rank] } else { x.padding.clone() };
    let padding = (0..rank).map(|at| (before[at].0 + sides[at], before[at].1 + sides[rank + at]));
    Ok(Value { padding: padding.collect(), filler: value, ..x.clone() })
}

/// Values one after the other along an axis.
pub(crate) fn concat(node: &Node, values: &[Value]) -> Result<Value, String> {
    if values.iter().any(|value| !value.padding.is_empty()) {
        return Err("it joins padded activations".to_owned());
    }
    let dims: Vec<&[usize]> = values.iter().map(|value| &value.dims[..]).collect();
    let (dims, from) = joined(&dims, integer(node, "axis", 1))?;
    let starts: Vec<usize> = values
        .iter()
        .scan(0, |start, value| {
            let own = *start;
            *start += value.parts.iter().map(|part| part.shape.len()).sum::<usize>();
            Some(own)
        })
        .collect();
    let places: Vec<Vec<usize>> = values.iter().map(|value| value.to_places()).collect();
    let elements: Vec<usize> =
        from.iter().map(|&(value, at)| starts[value] + places[value][at]).collect();
    let parts: Vec<Part> = values.iter().flat_map(|value| value.parts.clone()).collect();
    let count = parts.iter().map(|part| part.shape.len()).sum();
    let whole = Value {
        dims: vec![count],
        places: None,
        parts,
        padding: Vec::new(),
        filler: 0.0,
        ending: None,
    };
    Ok(whole.picked(dims, &elements))
}

/// The parts of a value along an axis, of these sizes or of equal ones.
pub(crate) fn split(node: &Node, x: &Value, sizes: Option<Vec<i64>>) -> Result<Vec<Value>, String> {
    let axis = layout::axis(integer(node, "axis", 0), x.dims.len())?;
    let sizes = sizes.or_else(|| integers(node, "split").map(<[i64]>::to_vec));
    let sizes = sizes.unwrap_or_else(|| {
        let each = x.dims[axis].div_ceil(node.output.len().max(1));
        let size = |at| each.min(x.dims[axis].saturating_sub(at * each)) as i64;
        (0..node.output.len()).map(size).collect()
    });
    let whole = x.reshaped(x.dims.clone())?;
    let mut start = 0i64;
    let part = |size: i64| {
        let end = start.saturating_add(size);
        let (dims, from) = sliced(&x.dims, &[start], &[end], Some(vec![axis as i64]), None)?;
        start = end;
        Ok(whole.picked(dims, &from))
    };
    sizes.into_iter().map(part).collect()
}
