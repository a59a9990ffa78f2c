//! Products: convolutions and matrices of weights that are found by value.

use hafnia_model::{Conv, Layer, Linear, Padding, Shape, Weights, Window};

use crate::elementwise::Op;
use crate::graph::integer;
use crate::layout::places;
use crate::proto::Node;
use crate::state::State;
use crate::tensor::Tensor;
use crate::value::{Base, Part, Value};
use crate::weights::{Gridded, grid, nearest};
use crate::window::{is_padded, window};

/// A product: its weights, what they meet and what is added.
struct Product {
    /// (output, row).
    weights: Gridded,
    /// By output and row, the channel of the base that the weight meets.
    channels: Box<dyn Fn(usize, usize) -> usize>,
    rows: usize,
    /// Real numbers, by output.
    bias: Vec<f64>,
    padded: bool,
    /// Elements of which an executor takes the mean before.
    positions: usize,
}

/// A base that is a vector, where every element of a value stands for so many that are multiplied by a
/// factor.
struct Vector {
    base: usize,
    positions: usize,
    factor: f32,
}

impl State {
    /// What a `Conv` gives.
    pub(crate) fn conv(
        &mut self,
        node: &Node,
        x: &Value,
        weights: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Value, String> {
        let (outputs, inputs, kernel) = match weights.dims[..] {
            [outputs, inputs, height, width] => (outputs, inputs, (height, width)),
            [outputs, inputs, width] => (outputs, inputs, (1, width)),
            _ => return Err(format!("its weights have sides {:?}: images have two", weights.dims)),
        };
        if weights.len() == 0 {
            return Err(format!("its weights have sides {:?}", weights.dims));
        }
        if weights.dims.len() != x.dims.len() {
            return Err(format!(
                "its weights have sides {:?}, its input {:?}",
                weights.dims, x.dims
            ));
        }
        let (shape, order) = self.image(x)?;
        if shape.height * shape.width * kernel.0 * kernel.1 == 1
            && x.padding.is_empty()
            && integer(node, "group", 1) == 1
        {
            // A convolution of one position is a matrix.
            let from = places(&[inputs, outputs], &[1, inputs], 0);
            let matrix = weights.pick(vec![inputs, outputs], &from);
            let vector = x.reshaped(vec![1, shape.channels])?;
            let mut dims = vec![1, outputs];
            dims.resize(x.dims.len(), 1);
            return self.linear_layer(node, &vector, &matrix, bias)?.reshaped(dims);
        }
        let groups = integer(node, "group", 1);
        let groups = usize::try_from(groups).ok().filter(|&groups| {
            groups > 0 && inputs * groups == shape.channels && outputs.is_multiple_of(groups)
        });
        let groups = groups.ok_or_else(|| {
            format!(
                "its {} groups of weights {:?} do not fit an input of {} channels",
                integer(node, "group", 1),
                weights.dims,
                shape.channels
            )
        })?;
        let window = window(node, kernel, shape, padding(x)?)?;
        let pad = filler(x, window)?;
        let all = x.parts.iter().map(|part| part.shape.channels).sum::<usize>();
        let is_whole = order.iter().copied().eq(0..all);
        // Of channels in another order, or not all of them, every output takes all, most with weight 0.
        let kept = if is_whole { groups } else { 1 };
        // Each group may have a scale of its own: it is that of its outputs, too.
        let base = match self.quantise_groups(x, pad, kept) {
            Ok(base) => base,
            Err(fault) => {
                let ones = weights.to_floats();
                let is_sum = groups == outputs && inputs == 1 && ones.iter().all(|w| *w == ones[0]);
                if !is_sum || bias.is_some() || ones[0] == 0.0 {
                    return Err(fault);
                }
                // Channel by channel the same weight everywhere: a mean, times that and their number.
                let value = self.mean(x, window, &order)?;
                let times = ones[0] * window.positions() as f32;
                return Ok(self.multiplied(value, times));
            }
        };
        let positions = window.positions();
        self.taken = Some(base);
        let met = all / kept;
        let rows = met * positions;
        let mut ordered = vec![0f32; outputs * rows];
        let values = weights.to_floats();
        let of_group = outputs / groups;
        for output in 0..outputs {
            for input in 0..inputs {
                let channel = match is_whole {
                    true => input,
                    false => order[output / of_group * inputs + input],
                };
                let (from, to) =
                    ((output * inputs + input) * positions, output * rows + channel * positions);
                for at in 0..positions {
                    ordered[to + at] += values[from + at];
                }
            }
        }
        let of_kept = outputs / kept;
        let product = Product {
            weights: self.gridded(&ordered, outputs)?,
            channels: Box::new(move |output, row| output / of_kept * met + row / positions),
            rows,
            bias: biases(bias, outputs)?,
            padded: pad.is_some(),
            positions: 1,
        };
        let (weights, mut sums) = self.sums(base, product);
        let name = self.plan.name(&node.name.clone(), "conv");
        let (height, width) = output(window, shape)?;
        let conv = Conv { name, window, groups: kept, weights, thresholds: None };
        sums.value = self.plan.add(Layer::Conv(conv), vec![self.bases[base].value]);
        sums.shape = Shape { channels: outputs, height, width };
        let base = self.keep(sums);
        let value = self.value_of(base);
        match x.dims.len() {
            3 => value.reshaped(vec![1, outputs, width]),
            _ => Ok(value),
        }
    }

    /// What a product of an image's vector, or of the last side of a tensor, with a matrix (input,
    /// output) gives.
    pub(crate) fn linear_layer(
        &mut self,
        node: &Node,
        x: &Value,
        weights: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Value, String> {
        let &[inputs, outputs] = &weights.dims[..] else {
            return Err(format!("its weights have sides {:?}, they must have two", weights.dims));
        };
        if !x.padding.is_empty() {
            return Err(
                "it takes padded activations: only a Conv or pool may follow a Pad".to_owned()
            );
        }
        let last = x.dims.last().copied().unwrap_or(1);
        if last != inputs || weights.len() == 0 {
            return Err(format!(
                "its weights have sides {:?}, its input {:?}",
                weights.dims, x.dims
            ));
        }
        let values = weights.to_floats();
        if x.len() != inputs {
            return self.pointwise(node, x, &values, (inputs, outputs), bias);
        }
        let Vector { base: flat, positions, factor } = self.vector(x)?;
        let rows = self.bases[flat].shape.channels;
        let places = x.to_places();
        let mut ordered = vec![0f32; outputs * rows];
        for (input, &place) in places.iter().enumerate() {
            for output in 0..outputs {
                for row in place * positions..(place + 1) * positions {
                    ordered[output * rows + row] += values[input * outputs + output] * factor;
                }
            }
        }
        let product = Product {
            weights: self.gridded(&ordered, outputs)?,
            channels: Box::new(|_, row| row),
            rows,
            bias: biases(bias, outputs)?,
            padded: false,
            positions,
        };
        let (weights, mut sums) = self.sums(flat, product);
        let name = self.plan.name(&node.name.clone(), "linear");
        let linear = Linear { name, weights, thresholds: None };
        sums.value = self.plan.add(Layer::Linear(linear), vec![self.bases[flat].value]);
        sums.shape = Shape { channels: outputs, height: 1, width: 1 };
        let base = self.keep(sums);
        let mut dims = x.dims.clone();
        dims.pop();
        dims.push(outputs);
        self.value_of(base).reshaped(dims)
    }

    /// A value as one vector. The mean of more levels than an activation has is taken apart: each
    /// position has the weight of its channel.
    fn vector(&mut self, x: &Value) -> Result<Vector, String> {
        let fault = match self.quantise(x, None) {
            Ok(base) => {
                let base = self.flattened(base)?;
                self.taken = Some(base);
                return Ok(Vector { base, positions: 1, factor: 1.0 });
            }
            Err(fault) => fault,
        };
        let [Part { bases, of, pools, .. }] = &x.parts[..] else { return Err(fault) };
        let Some(whole) = self.bases[bases[0]].mean_of else { return Err(fault) };
        if bases.len() > 1 || !pools.is_empty() {
            return Err(fault);
        }
        let program = self.expressions.program(*of)?;
        let mut times = (0..self.bases[bases[0]].shape.channels).map(|at| program.as_affine(at));
        let Some((factor, 0.0)) = times.next().flatten() else { return Err(fault) };
        if !times.all(|other| other == Some((factor, 0.0))) {
            return Err(fault);
        }
        let shape = self.bases[whole].shape;
        let positions = shape.height * shape.width;
        let base = self.flattened(whole)?;
        Ok(Vector { base, positions, factor: (factor / positions as f64) as f32 })
    }

    /// A product with the last side of a tensor, which must be that of the channels: a convolution with
    /// a kernel of 1.
    fn pointwise(
        &mut self,
        node: &Node,
        x: &Value,
        values: &[f32],
        (inputs, outputs): (usize, usize),
        bias: Option<&Tensor>,
    ) -> Result<Value, String> {
        let misfit = || {
            format!(
                "it multiplies the last of the sides {:?} of its input, which must be that of the \
                 channels",
                x.dims
            )
        };
        let base = self.quantise(x, None)?;
        self.taken = Some(base);
        let shape = self.bases[base].shape;
        let positions = shape.height * shape.width;
        let places = x.to_places();
        let is_last = inputs == shape.channels
            && places.len() == shape.len()
            && places
                .iter()
                .enumerate()
                .all(|(at, &place)| place == at % inputs * positions + at / inputs);
        if !is_last {
            return Err(misfit());
        }
        let mut ordered = vec![0f32; values.len()];
        for input in 0..inputs {
            for output in 0..outputs {
                ordered[output * inputs + input] = values[input * outputs + output];
            }
        }
        let product = Product {
            weights: self.gridded(&ordered, outputs)?,
            channels: Box::new(|_, row| row),
            rows: inputs,
            bias: biases(bias, outputs)?,
            padded: false,
            positions: 1,
        };
        let (weights, mut sums) = self.sums(base, product);
        let name = self.plan.name(&node.name.clone(), "linear");
        let window = Window::square(1, 1, 0);
        let conv = Conv { name, window, groups: 1, weights, thresholds: None };
        sums.value = self.plan.add(Layer::Conv(conv), vec![self.bases[base].value]);
        sums.shape = Shape { channels: outputs, ..shape };
        let base = self.keep(sums);
        let whole = self.value_of(base);
        let mut dims = x.dims.clone();
        dims.pop();
        dims.push(outputs);
        let elements: Vec<usize> =
            (0..positions * outputs).map(|at| at % outputs * positions + at / outputs).collect();
        Ok(whole.picked(dims, &elements))
    }

    /// A value times a number.
    pub(crate) fn multiplied(&mut self, value: Value, times: f32) -> Value {
        let times = self.expressions.constant(&[times]);
        let parts = value.parts.into_iter().map(|part| {
            let of = self.expressions.op(Op::Multiply, vec![part.of, times]);
            Part { of, ..part }
        });
        Value { parts: parts.collect(), ..value }
    }

    /// The shape of an image, and for each of its channels that of the parts.
    pub(crate) fn image(&self, x: &Value) -> Result<(Shape, Vec<usize>), String> {
        x.as_image().ok_or_else(|| {
            let all: usize = x.parts.iter().map(|part| part.shape.len()).sum();
            let is_flat = x.parts.iter().all(|part| part.shape.height * part.shape.width == 1);
            let why = match x.dims.len() {
                3 | 4 if is_flat => {
                    "an operation before it has a constant for each position, use one for each channel"
                }
                3 | 4 if x.len() < all => {
                    "a Slice before it leaves out positions, cut the images before the network"
                }
                _ => "a Reshape or Transpose stands between",
            };
            format!(
                "it takes a tensor of sides {:?} that is no image of (1, channel, y, x) as the layer \
                 before gives it; {why}",
                x.dims
            )
        })
    }

    /// The integers of weights (output, row).
    fn gridded(&mut self, weights: &[f32], outputs: usize) -> Result<Gridded, String> {
        match grid(weights, outputs) {
            Err(_) if self.approximate && weights.iter().all(|weight| weight.is_finite()) => {
                self.notes
                    .push(format!("{}: weights rounded to 8 bits for each output", self.node));
                Ok(nearest(weights, outputs))
            }
            found => found,
        }
    }

    /// The weights of a product and what its sums stand for, but for the value and the shape.
    fn sums(&self, base: usize, product: Product) -> (Weights, Base) {
        let Product {
            weights: Gridded { integers, steps },
            channels,
            rows,
            bias,
            padded,
            positions,
        } = product;
        let outputs = steps.len();
        let of = &self.bases[base];
        let at = |output: usize, row: usize| integers[output * rows + row];
        let weights = Weights::from_fn(rows, outputs, |row, output| {
            let sign = if of.scale[channels(output, row)] < 0.0 { -1 } else { 1 };
            i32::from(at(output, row)) * sign
        });
        let mut sums = Base {
            value: 0,
            shape: Shape { channels: outputs, height: 1, width: 1 },
            ranges: Vec::new(),
            range: (0, 0),
            scale: Vec::new(),
            offset: Vec::new(),
            bytes: None,
            noise: Vec::new(),
            mean_of: None,
        };
        let ends = |(least, largest): (i64, i64)| match padded {
            true => (least.min(0), largest.max(0)),
            false => (least, largest),
        };
        let whole = (of.range.0.min(0), of.range.1.max(0));
        for output in 0..outputs {
            // All that an output meets has one step.
            let step = of.scale[channels(output, 0)].abs();
            let (mut range, mut widest, mut offset) = ((0, 0), (0, 0), bias[output]);
            let mut reach = (bias[output] / (step * steps[output])).abs();
            for row in 0..rows {
                let weight = i64::from(weights.value(row, output));
                if weight == 0 {
                    continue;
                }
                let channel = channels(output, row);
                let add = |range: &mut (i64, i64), (least, largest): (i64, i64)| {
                    let products = [weight * least, weight * largest];
                    range.0 += products[0].min(products[1]);
                    range.1 += products[0].max(products[1]);
                };
                add(&mut range, ends(of.ranges[channel]));
                add(&mut widest, whole);
                offset += f64::from(at(output, row)) * steps[output] * of.offset[channel];
                let (least, largest) = of.ranges[channel];
                let largest =
                    least.abs().max(largest.abs()) as f64 + of.offset[channel].abs() / step;
                reach += weight.abs() as f64 * largest;
            }
            sums.ranges.push(range);
            sums.range = (sums.range.0.min(widest.0), sums.range.1.max(widest.1));
            sums.scale.push(step * steps[output]);
            sums.offset.push(offset);
            sums.noise.push(reach * roundings(positions));
        }
        (weights, sums)
    }
}

/// How far roundings of `f32` may lead a sum of products, relative to the sum of their magnitudes:
/// weight, activation, product and sum are rounded by half a unit in the last place, as are the steps
/// of a mean over so many elements before, which seldom all lead to one side.
pub(crate) fn roundings(mean_over: usize) -> f64 {
    let mean = if mean_over > 1 { (mean_over as f64).sqrt() } else { 0.0 };
    (4.0 + mean) * f64::from(f32::EPSILON) / 2.0
}

/// What is added to each output.
fn biases(bias: Option<&Tensor>, outputs: usize) -> Result<Vec<f64>, String> {
    let Some(bias) = bias else { return Ok(vec![0.0; outputs]) };
    let value = |at: usize| f64::from(bias.float(at));
    let is_row = bias.dims.iter().rev().skip(1).all(|&side| side == 1);
    match bias.len() {
        1 => Ok(vec![value(0); outputs]),
        len if len == outputs && is_row => Ok((0..outputs).map(value).collect()),
        _ => Err(format!("its bias has sides {:?}, it has {outputs} outputs", bias.dims)),
    }
}

/// What is padded around an image.
pub(crate) fn padding(x: &Value) -> Result<Padding, String> {
    let sides = match x.padding[..] {
        [] => return Ok(Padding::default()),
        [(0, 0), (0, 0), (top, bottom), (left, right)] => (top, left, bottom, right),
        [(0, 0), (0, 0), (left, right)] => (0, left, 0, right),
        _ => return Err("its input is padded along its batch or channels".to_owned()),
    };
    let (top, left, bottom, right) = sides;
    Ok(Padding { top, left, bottom, right })
}

/// What a window meets beyond the ends of a value, if it goes there.
pub(crate) fn filler(x: &Value, window: Window) -> Result<Option<f32>, String> {
    let is_own = window.padding != padding(x)?;
    match x.padding.is_empty() {
        _ if !is_padded(window.padding) => Ok(None),
        true => Ok(Some(0.0)),
        false if is_own && x.filler != 0.0 => {
            Err(format!("it pads with 0 what a Pad before it has padded with {}", x.filler))
        }
        false => Ok(Some(x.filler)),
    }
}

/// The height and width of what a window gives.
pub(crate) fn output(window: Window, shape: Shape) -> Result<(usize, usize), String> {
    let output = window.output(shape.height, shape.width);
    output.ok_or_else(|| format!("a {window} does not fit images of {shape}"))
}
