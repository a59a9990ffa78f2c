//! Constants out of constants: shapes that exporters compute, weights behind quantisers.

use std::sync::Arc;

use crate::elementwise::Op;
use crate::graph::{attribute, integer, integers};
use crate::layout::{self, broadcast, permuted, places, spread, strides};
use crate::proto::Node;
use crate::recipe::{Input, Recipe, Source};
use crate::tensor::{Data, Files, Tensor, elements};

/// What a node of constants gives, by output; none if it is not one that constants are made by.
/// `inputs` are all there but for those left out.
pub(crate) fn fold(
    node: &Node,
    op: &str,
    inputs: &[Option<Arc<Tensor>>],
    files: &mut Files,
) -> Result<Option<Vec<Tensor>>, String> {
    let input = |index: usize| {
        let input = inputs.get(index).and_then(Option::as_ref);
        input.ok_or_else(|| format!("it lacks its input {index}"))
    };
    let one = |tensor: Tensor| Ok(Some(vec![tensor]));
    // Integers that are an input of newer operators and an attribute of older ones.
    let listed = |index: usize, name: &str| -> Result<Option<Vec<i64>>, String> {
        match inputs.get(index).and_then(Option::as_ref) {
            Some(tensor) => tensor.to_integers().map(Some),
            None => Ok(integers(node, name).map(<[i64]>::to_vec)),
        }
    };
    match op {
        "Constant" => one(constant(node, files)?),
        "Identity" | "Dropout" => one((**input(0)?).clone()),
        "Shape" => one(shape(node, &input(0)?.dims)?),
        "Size" => {
            let count = input(0)?.len() as i64;
            one(Tensor { dims: Vec::new(), ..Tensor::row(vec![count]) })
        }
        "Transpose" => {
            let x = input(0)?;
            let order = layout::order(integers(node, "perm"), x.dims.len())?;
            let dims = permuted(&x.dims, &order);
            let from = places(&dims, &permuted(&strides(&x.dims), &order), 0);
            one(x.pick(dims, &from))
        }
        "Reshape" | "Flatten" | "Unsqueeze" | "Squeeze" => {
            let x = input(0)?;
            let dims = sides(
                node,
                op,
                &x.dims,
                listed(1, if op == "Reshape" { "shape" } else { "axes" })?,
            )?;
            one(x.with_dims(dims))
        }
        "Concat" => {
            let all = (0..inputs.len()).map(input).collect::<Result<Vec<_>, _>>()?;
            one(concatenated(&all, integer(node, "axis", 0))?)
        }
        "Gather" => one(gathered(input(0)?, input(1)?, integer(node, "axis", 0))?),
        "Slice" => {
            let x = input(0)?;
            let (starts, ends) = (listed(1, "starts")?, listed(2, "ends")?);
            let (starts, ends) = (starts.unwrap_or_default(), ends.unwrap_or_default());
            let (dims, from) =
                sliced(&x.dims, &starts, &ends, listed(3, "axes")?, listed(4, "steps")?)?;
            one(x.pick(dims, &from))
        }
        "Expand" => {
            let x = input(0)?;
            let asked = input(1)?.to_integers()?;
            let asked =
                asked.iter().map(|&side| usize::try_from(side)).collect::<Result<Vec<_>, _>>();
            let asked = asked.map_err(|_| "its shape has a negative side".to_owned())?;
            let dims = broadcast(&x.dims, &asked)?;
            elements(&dims)?;
            one(x.pick(dims.clone(), &places(&dims, &spread(&x.dims, &dims), 0)))
        }
        "ConstantOfShape" => {
            let asked = input(0)?.to_integers()?;
            let dims =
                asked.iter().map(|&side| usize::try_from(side)).collect::<Result<Vec<_>, _>>();
            let dims = dims.map_err(|_| format!("its shape is {asked:?}"))?;
            let count = elements(&dims)?;
            let value = match attribute(node, "value").and_then(|value| value.t.as_ref()) {
                None => Tensor::scalar(0.0),
                Some(value) => Tensor::read(value, files)?,
            };
            if value.len() != 1 {
                return Err(format!("its value has {} elements, it must have one", value.len()));
            }
            one(value.pick(dims, &vec![0; count]))
        }
        "Range" => {
            let of =
                |index: usize| Ok::<_, String>(input(index)?.to_integers()?[..].first().copied());
            let (start, end, step) = (of(0)?, of(1)?, of(2)?);
            let (Some(start), Some(end), Some(step)) = (start, end, step) else {
                return Err("it lacks start, limit or delta".to_owned());
            };
            let count = match step {
                0 => 0,
                step => (i128::from(end) - i128::from(start)) / i128::from(step),
            };
            if !(0..1 << 16).contains(&count) {
                return Err(format!("it counts from {start} to {end} by {step}"));
            }
            let up = |at: i64| start + at * step;
            let count = count as i64 + i64::from(up(count as i64) != end);
            one(Tensor::row((0..count).map(up).collect()))
        }
        "ReduceMax" | "ReduceMin" | "ReduceMean" | "ReduceSum" => {
            one(reduced(node, op, input(0)?, listed(1, "axes")?)?)
        }
        _ => Ok(None),
    }
}

/// The tensor of a `Constant`.
fn constant(node: &Node, files: &mut Files) -> Result<Tensor, String> {
    let Some(value) = node.attribute.first() else { return Err("it has no value".to_owned()) };
    match &*value.name {
        "value" => Tensor::read(value.t.as_ref().ok_or("it has no value")?, files),
        "value_float" => Ok(Tensor::scalar(value.f.unwrap_or(0.0))),
        "value_floats" => Ok(Tensor::floats(vec![value.floats.len()], value.floats.clone())),
        "value_int" => Ok(Tensor { dims: Vec::new(), ..Tensor::row(vec![value.i.unwrap_or(0)]) }),
        "value_ints" => Ok(Tensor::row(value.ints.clone())),
        other => Err(format!("its value is {}, it must be numbers", hafnia_text::quoted(other))),
    }
}

/// The sides of a tensor as a tensor.
pub(crate) fn shape(node: &Node, dims: &[usize]) -> Result<Tensor, String> {
    let rank = dims.len() as i64;
    let bound = |at: i64| (if at < 0 { at + rank } else { at }).clamp(0, rank) as usize;
    let (start, end) = (bound(integer(node, "start", 0)), bound(integer(node, "end", rank)));
    let sides = dims.get(start..end).unwrap_or_default();
    Ok(Tensor::row(sides.iter().map(|&side| side as i64).collect()))
}

/// The sides that a node gives a tensor whose elements it leaves where they are.
pub(crate) fn sides(
    node: &Node,
    op: &str,
    dims: &[usize],
    listed: Option<Vec<i64>>,
) -> Result<Vec<usize>, String> {
    match op {
        "Reshape" => {
            let asked = listed.ok_or("it lacks its shape")?;
            layout::reshaped(dims, &asked, integer(node, "allowzero", 0) == 0)
        }
        "Flatten" => {
            let axis = integer(node, "axis", 1);
            let axis = if axis == dims.len() as i64 {
                dims.len()
            } else {
                layout::axis(axis, dims.len())?
            };
            Ok(vec![dims[..axis].iter().product(), dims[axis..].iter().product()])
        }
        "Unsqueeze" => {
            let axes = listed.ok_or("it lacks its axes")?;
            let rank = dims.len() + axes.len();
            let axes = layout::axes(&axes, rank)?;
            let mut rest = dims.iter();
            let side = |at| if axes.contains(&at) { Some(1) } else { rest.next().copied() };
            let sides: Vec<usize> = (0..rank).map_while(side).collect();
            elements(&sides).map(|_| sides)
        }
        _ => {
            let axes = match listed {
                Some(axes) => layout::axes(&axes, dims.len())?,
                None => (0..dims.len()).filter(|&at| dims[at] == 1).collect(),
            };
            if let Some(at) = axes.iter().find(|&&at| dims[at] != 1) {
                return Err(format!("it removes side {at} of {dims:?}, which is not 1"));
            }
            Ok((0..dims.len()).filter(|at| !axes.contains(at)).map(|at| dims[at]).collect())
        }
    }
}

/// Of each element of joined tensors, the tensor and its place there.
pub(crate) type Joined = Vec<(usize, usize)>;

/// Tensors one after the other along an axis: of each output element the tensor and its place there.
pub(crate) fn joined(all: &[&[usize]], axis: i64) -> Result<(Vec<usize>, Joined), String> {
    let first = all.first().ok_or("it joins nothing")?;
    let axis = layout::axis(axis, first.len())?;
    let is_alike = |dims: &&[usize]| {
        dims.len() == first.len() && (0..dims.len()).all(|at| at == axis || dims[at] == first[at])
    };
    if let Some(other) = all.iter().find(|dims| !is_alike(dims)) {
        return Err(format!("it joins tensors of sides {first:?} and {other:?} along axis {axis}"));
    }
    let mut dims = first.to_vec();
    dims[axis] = all.iter().map(|dims| dims[axis]).sum();
    elements(&dims)?;
    let outer: usize = dims[..axis].iter().product();
    let inner: usize = dims[axis + 1..].iter().product();
    let mut from = Joined::new();
    for at in 0..outer {
        for (tensor, sides) in all.iter().enumerate() {
            let run = sides[axis] * inner;
            from.extend((at * run..(at + 1) * run).map(|place| (tensor, place)));
        }
    }
    Ok((dims, from))
}

fn concatenated(all: &[&Arc<Tensor>], axis: i64) -> Result<Tensor, String> {
    let sides: Vec<&[usize]> = all.iter().map(|tensor| &tensor.dims[..]).collect();
    let (dims, from) = joined(&sides, axis)?;
    let element = all[0].element;
    let data = if all.iter().all(|tensor| matches!(tensor.data, Data::Integers(_))) {
        let integers =
            all.iter().map(|tensor| tensor.to_integers()).collect::<Result<Vec<_>, _>>()?;
        Data::Integers(from.iter().map(|&(tensor, place)| integers[tensor][place]).collect())
    } else {
        Data::Floats(from.iter().map(|&(tensor, place)| all[tensor].float(place)).collect())
    };
    Ok(Tensor { dims, element, data })
}

fn gathered(x: &Tensor, indices: &Tensor, axis: i64) -> Result<Tensor, String> {
    let (dims, from) = gathering(&x.dims, indices, axis)?;
    Ok(x.pick(dims, &from))
}

/// What a `Gather` takes: the sides, and the place of each element.
pub(crate) fn gathering(
    of: &[usize],
    indices: &Tensor,
    axis: i64,
) -> Result<(Vec<usize>, Vec<usize>), String> {
    let axis = layout::axis(axis, of.len())?;
    let side = of[axis];
    let picked = indices.to_integers()?.into_iter().map(|index| {
        let counted = if index < 0 { index + side as i64 } else { index };
        usize::try_from(counted)
            .ok()
            .filter(|&at| at < side)
            .ok_or_else(|| format!("it takes index {index} of {side}"))
    });
    let picked = picked.collect::<Result<Vec<usize>, _>>()?;
    let mut dims = of[..axis].to_vec();
    dims.extend(&indices.dims);
    dims.extend(&of[axis + 1..]);
    elements(&dims)?;
    let outer: usize = of[..axis].iter().product();
    let inner: usize = of[axis + 1..].iter().product();
    let mut from = Vec::new();
    for at in 0..outer {
        for &index in &picked {
            let start = (at * side + index) * inner;
            from.extend(start..start + inner);
        }
    }
    Ok((dims, from))
}

/// What a `Slice` takes: the sides, and the place of each element.
pub(crate) fn sliced(
    of: &[usize],
    starts: &[i64],
    ends: &[i64],
    axes: Option<Vec<i64>>,
    steps: Option<Vec<i64>>,
) -> Result<(Vec<usize>, Vec<usize>), String> {
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if starts.len() != ends.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err("its starts, ends, axes and steps are not one for each axis".to_owned());
    }
    let own = strides(of);
    // By axis, which of its places are taken.
    let mut taken: Vec<Vec<usize>> = of.iter().map(|&side| (0..side).collect()).collect();
    for (((&from, &to), &axis), &step) in starts.iter().zip(ends).zip(&axes).zip(&steps) {
        let axis = layout::axis(axis, of.len())?;
        let side = of[axis] as i64;
        // Backwards from the last place at most, to before the first.
        let (low, high) = if step < 0 { (-1, side - 1) } else { (0, side) };
        let bound = |at: i64| (if at < 0 { at.saturating_add(side) } else { at }).clamp(low, high);
        let (from, to) = (bound(from), bound(to));
        taken[axis] = match step {
            0 => return Err("its step is 0, it must be another number".to_owned()),
            step if step > 0 => (from..to).step_by(step as usize).map(|at| at as usize).collect(),
            step => {
                let back = (to + 1..=from).rev().step_by(step.unsigned_abs() as usize);
                back.map(|at| at as usize).collect()
            }
        };
    }
    let dims: Vec<usize> = taken.iter().map(Vec::len).collect();
    let mut from = vec![0];
    for (taken, stride) in taken.iter().zip(own) {
        from = from
            .iter()
            .flat_map(|&start| taken.iter().map(move |at| start + at * stride))
            .collect();
    }
    Ok((dims, from))
}

fn reduced(node: &Node, op: &str, x: &Tensor, axes: Option<Vec<i64>>) -> Result<Tensor, String> {
    let axes = match axes {
        Some(axes) if !axes.is_empty() => layout::axes(&axes, x.dims.len())?,
        _ => (0..x.dims.len()).collect(),
    };
    let own = strides(&x.dims);
    let rest: Vec<usize> = (0..x.dims.len()).filter(|at| !axes.contains(at)).collect();
    let kept = places(&permuted(&x.dims, &rest), &permuted(&own, &rest), 0);
    let along = places(&permuted(&x.dims, &axes), &permuted(&own, &axes), 0);
    if along.is_empty() {
        return Err("it reduces a side of no elements".to_owned());
    }
    let values = kept.iter().map(|&start| {
        let all = along.iter().map(|&place| x.float(start + place));
        match op {
            "ReduceMax" => all.fold(f32::NEG_INFINITY, f32::max),
            "ReduceMin" => all.fold(f32::INFINITY, f32::min),
            "ReduceSum" => all.sum(),
            _ => all.sum::<f32>() / along.len() as f32,
        }
    });
    let keep = integer(node, "keepdims", 1) != 0;
    let side = |at: usize| match axes.contains(&at) {
        true => keep.then_some(1),
        false => Some(x.dims[at]),
    };
    let dims = (0..x.dims.len()).filter_map(side).collect();
    Ok(Tensor::floats(dims, values.collect()))
}

/// What a recipe makes of constants.
pub(crate) fn cook(recipe: &Recipe, inputs: &[Option<Arc<Tensor>>]) -> Result<Tensor, String> {
    let of = |input: &Input| match input {
        Input::Constant(tensor) => Ok(tensor.clone()),
        Input::AsIs(place) => {
            let input = inputs.get(*place).and_then(Option::as_ref);
            input.cloned().ok_or_else(|| format!("it lacks its input {place}"))
        }
    };
    let inputs = recipe.inputs.iter().map(of).collect::<Result<Vec<_>, _>>()?;
    let are_integers = |of: &[&Tensor]| of.iter().all(|x| matches!(x.data, Data::Integers(_)));
    let mut steps: Vec<Tensor> = Vec::new();
    for (op, sources) in &recipe.steps {
        let numbers: Vec<Tensor> = sources
            .iter()
            .map(|source| match source {
                Source::Number(value) => Tensor::scalar(*value),
                _ => Tensor::scalar(0.0),
            })
            .collect();
        let of: Vec<&Tensor> = sources
            .iter()
            .zip(&numbers)
            .map(|(source, number)| match source {
                Source::Input(place) => &*inputs[*place],
                Source::Number(_) => number,
                Source::Step(place) => &steps[*place],
            })
            .collect();
        let mut dims = Vec::new();
        for tensor in &of {
            dims = broadcast(&dims, &tensor.dims)?;
        }
        elements(&dims)?;
        let from: Vec<Vec<usize>> = of
            .iter()
            .map(|tensor| match tensor.len() {
                1 => vec![0; dims.iter().product()],
                _ => places(&dims, &spread(&tensor.dims, &dims), 0),
            })
            .collect();
        let count: usize = dims.iter().product();
        let whole = are_integers(&of).then(|| of_integers(*op, &of, &from, count)).flatten();
        steps.push(match whole {
            Some(values) => Tensor { dims, element: of[0].element, data: Data::Integers(values) },
            None => {
                let mut taken = vec![0.0; of.len()];
                let values = (0..count).map(|at| {
                    for (slot, (tensor, from)) in taken.iter_mut().zip(of.iter().zip(&from)) {
                        *slot = tensor.float(from[at]);
                    }
                    op.eval(&taken)
                });
                Tensor::floats(dims, values.collect())
            }
        });
    }
    let mut last = steps.pop().ok_or("it does nothing")?;
    if recipe.element.is_integer() {
        last = Tensor { element: recipe.element, data: Data::Integers(whole(&last)), ..last };
    }
    Ok(last)
}

/// Elements as integers, towards 0.
fn whole(tensor: &Tensor) -> Vec<i64> {
    match &tensor.data {
        Data::Integers(values) => values.clone(),
        Data::Floats(values) => values.iter().map(|&value| value as i64).collect(),
    }
}

/// An operation on integers as integers; none if it is one on floats, or leaves their range.
fn of_integers(op: Op, of: &[&Tensor], from: &[Vec<usize>], count: usize) -> Option<Vec<i64>> {
    let apply: fn(i64, i64) -> Option<i64> = match op {
        Op::Add => i64::checked_add,
        Op::Subtract => i64::checked_sub,
        Op::Multiply => i64::checked_mul,
        Op::Divide => i64::checked_div,
        Op::Min => |a, b| Some(a.min(b)),
        Op::Max => |a, b| Some(a.max(b)),
        _ => return None,
    };
    let [a, b] = of else { return None };
    let (Data::Integers(a), Data::Integers(b)) = (&a.data, &b.data) else { return None };
    (0..count).map(|at| apply(a[from[0][at]], b[from[1][at]])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_go_both_ways() {
        let slice = |start, end, step| {
            sliced(&[5], &[start], &[end], Some(vec![-1]), Some(vec![step])).map(|slice| slice.1)
        };
        assert_eq!(slice(1, 4, 1), Ok(vec![1, 2, 3]));
        assert_eq!(slice(-2, i64::MAX, 1), Ok(vec![3, 4]));
        assert_eq!(slice(0, 5, 2), Ok(vec![0, 2, 4]));
        assert_eq!(slice(-1, i64::MIN, -1), Ok(vec![4, 3, 2, 1, 0]));
        assert_eq!(slice(3, 0, -2), Ok(vec![3, 1]));
        assert_eq!(slice(4, 2, 1), Ok(vec![]));
        assert!(slice(0, 5, 0).is_err());
        let rows = sliced(&[2, 3], &[1, 0], &[2, 2], None, None);
        assert_eq!(rows, Ok((vec![1, 2], vec![3, 4])));
    }
}
