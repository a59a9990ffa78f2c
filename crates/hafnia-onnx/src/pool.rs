//! Maxima and means over windows.

use hafnia_model::{Layer, Padding, Shape, Window};

use crate::add::Linear;
use crate::graph::integer;
use crate::layout;
use crate::product::{filler, output, padding, roundings};
use crate::proto::Node;
use crate::state::State;
use crate::value::{Base, Part, Pool, Value};
use crate::window::{is_padded, kernel, window};

impl State {
    /// What a `MaxPool` gives.
    pub(crate) fn max_pool(&mut self, node: &Node, x: &Value) -> Result<Value, String> {
        let x = self.one_based(x)?;
        let (shape, order) = self.image(&x)?;
        let padded = padding(&x)?;
        if is_padded(padded) && !self.is_at_least(&x, x.filler)? {
            let filler = x.filler;
            return Err(format!(
                "a Pad of {filler} stands before it, and its input falls below that"
            ));
        }
        let window = window(node, kernel(node)?, shape, padded)?;
        Ok(self.maxima(&x, window, &order))
    }

    /// A value each of whose parts is a function of one base that only rises or only falls, where it is
    /// that or can be quantised.
    fn one_based(&mut self, x: &Value) -> Result<Value, String> {
        let is_single = x.parts.iter().all(|part| part.bases.len() == 1);
        let mut is_plain = is_single;
        for part in &x.parts {
            let program = self.expressions.program(part.of)?;
            let channels = self.bases[part.bases[0]].shape.channels;
            is_plain &= (0..channels).all(|channel| program.is_monotone(channel));
        }
        if is_plain {
            return Ok(x.clone());
        }
        match self.quantise(x, None) {
            Ok(base) => Ok(Value { parts: self.value_of(base).parts, ..x.clone() }),
            Err(_) if is_single => Ok(x.clone()),
            Err(fault) => Err(fault),
        }
    }

    /// Maxima over windows that fit; the channels of the parts in this order.
    fn maxima(&self, x: &Value, window: Window, order: &[usize]) -> Value {
        let Shape { height: rows, width: columns, .. } = x.parts[0].shape;
        let (height, width) = window.output(rows, columns).expect("the window fits");
        let pooled = |part: &Part| {
            let mut pools = part.pools.clone();
            pools.push(Pool { window, of: part.of });
            Part { pools, shape: Shape { height, width, ..part.shape }, ..part.clone() }
        };
        let parts: Vec<Part> = x.parts.iter().map(pooled).collect();
        arranged(parts, order, height, width, x.dims.len())
    }

    /// Whether no value of a tensor lies below a bound.
    fn is_at_least(&mut self, x: &Value, bound: f32) -> Result<bool, String> {
        let base = self.quantise(&Value { padding: Vec::new(), ..x.clone() }, None)?;
        let Base { scale, offset, ranges, .. } = &self.bases[base];
        Ok(scale.iter().zip(offset).zip(ranges).all(|((scale, offset), (least, largest))| {
            [least, largest].iter().all(|&&n| scale * n as f64 + offset >= f64::from(bound))
        }))
    }

    /// What an `AveragePool` gives.
    pub(crate) fn average_pool(&mut self, node: &Node, x: &Value) -> Result<Value, String> {
        let (shape, order) = self.image(x)?;
        let before = padding(x)?;
        let window = window(node, kernel(node)?, shape, before)?;
        let own = is_padded(window.padding) && window.padding != before;
        if own && integer(node, "count_include_pad", 0) == 0 {
            return Err(
                "it pads, but counts only what is not padding, so that windows differ in what they are \
                 divided by; use count_include_pad, or no padding"
                    .to_owned(),
            );
        }
        if own && integer(node, "ceil_mode", 0) != 0 {
            return Err(
                "it pads and has ceil_mode, so that windows differ in what they are divided by"
                    .to_owned(),
            );
        }
        self.mean(x, window, &order)
    }

    /// What a `GlobalAveragePool` gives.
    pub(crate) fn global_average_pool(&mut self, x: &Value) -> Result<Value, String> {
        let (shape, order) = self.image(x)?;
        if is_padded(padding(x)?) {
            return Err("a Pad stands before it, take it out".to_owned());
        }
        self.mean(x, whole(shape), &order)
    }

    /// What a `ReduceMean`, `ReduceSum` or `ReduceMax` gives over all positions of an image, whichever its
    /// layout.
    pub(crate) fn reduce(
        &mut self,
        node: &Node,
        op: &str,
        x: &Value,
        axes: Option<Vec<i64>>,
    ) -> Result<Value, String> {
        let rank = x.dims.len();
        let axes = match axes {
            Some(axes) if !axes.is_empty() => layout::axes(&axes, rank)?,
            _ => (0..rank).collect(),
        };
        let misfit = || {
            format!(
                "it goes over axes {axes:?} of {:?}: it must go over all positions of each channel",
                x.dims
            )
        };
        if !x.padding.is_empty() {
            return Err(misfit());
        }
        let own = layout::strides(&x.dims);
        let rest: Vec<usize> = (0..rank).filter(|at| !axes.contains(at)).collect();
        let kept =
            layout::places(&layout::permuted(&x.dims, &rest), &layout::permuted(&own, &rest), 0);
        let along =
            layout::places(&layout::permuted(&x.dims, &axes), &layout::permuted(&own, &axes), 0);
        let places = x.to_places();
        let positions = x.parts.first().map_or(0, |part| part.shape.height * part.shape.width);
        if along.len() != positions || positions == 0 {
            return Err(misfit());
        }
        // By element that is left, the channel whose positions are all that go into it.
        let channels = kept.iter().map(|&start| {
            let mut of: Vec<usize> = along.iter().map(|&at| places[start + at]).collect();
            of.sort_unstable();
            let is_all =
                of[0].is_multiple_of(positions) && of.iter().copied().eq(of[0]..of[0] + positions);
            is_all.then_some(of[0] / positions)
        });
        let channels = channels.collect::<Option<Vec<_>>>().ok_or_else(misfit)?;
        let shape = x.parts[0].shape;
        let value = match op {
            "ReduceMax" => {
                let x = self.one_based(x)?;
                self.maxima(&x, whole(shape), &channels)
            }
            "ReduceSum" => {
                let mean = self.mean(x, whole(shape), &channels)?;
                self.multiplied(mean, positions as f32)
            }
            _ => self.mean(x, whole(shape), &channels)?,
        };
        let keep = integer(node, "keepdims", 1) != 0;
        let side = |at: usize| match axes.contains(&at) {
            true => keep.then_some(1),
            false => Some(x.dims[at]),
        };
        value.reshaped((0..rank).filter_map(side).collect())
    }

    /// Sums over windows, which stand for means; the channels of the parts in this order.
    pub(crate) fn mean(
        &mut self,
        x: &Value,
        window: Window,
        order: &[usize],
    ) -> Result<Value, String> {
        let pad = filler(x, window)?;
        let padded = pad.is_some();
        let is_filler = |&offset: &f64| pad.is_none_or(|pad| offset == f64::from(pad));
        let (of, levelled) = match self.quantise(x, pad) {
            Ok(base) => (self.bases[base].clone(), Some(base)),
            // Sums that nothing quantises before can be added as they are.
            Err(fault) => match self.linear(x)? {
                Some(Linear { base, scale, offset }) if offset.iter().all(is_filler) => {
                    (Base { scale, offset, ..self.bases[base].clone() }, None)
                }
                _ => return Err(fault),
            },
        };
        let (height, width) = output(window, of.shape)?;
        let count = window.positions() as i64;
        let times = |(least, largest): (i64, i64)| match padded {
            true => (least.min(0) * count, largest.max(0) * count),
            false => (least * count, largest * count),
        };
        let is_whole = window.kernel == whole(of.shape).kernel && !padded;
        let noise = |((least, largest), noise): (&(i64, i64), &f64)| {
            let largest = least.abs().max(largest.abs());
            count as f64 * (noise + roundings(window.positions()) * largest as f64)
        };
        let value = self.plan.add(Layer::SumPool(window), vec![of.value]);
        let sums = Base {
            value,
            shape: Shape { height, width, ..of.shape },
            ranges: of.ranges.iter().copied().map(times).collect(),
            range: (of.range.0.min(0) * count, of.range.1.max(0) * count),
            scale: of.scale.iter().map(|scale| scale / count as f64).collect(),
            offset: of.offset,
            bytes: None,
            noise: of.ranges.iter().zip(&of.noise).map(noise).collect(),
            mean_of: levelled.filter(|_| is_whole),
        };
        let base = self.keep(sums);
        let parts = self.value_of(base).parts;
        Ok(arranged(parts, order, height, width, x.dims.len()))
    }
}

/// The window that is a whole image.
fn whole(shape: Shape) -> Window {
    Window {
        kernel: (shape.height, shape.width),
        stride: (1, 1),
        dilation: (1, 1),
        padding: Padding::default(),
    }
}

/// An image of parts whose channels stand in this order.
fn arranged(parts: Vec<Part>, order: &[usize], height: usize, width: usize, rank: usize) -> Value {
    let channels: usize = parts.iter().map(|part| part.shape.channels).sum();
    let whole = Value {
        dims: vec![1, channels, height, width],
        places: None,
        parts,
        padding: Vec::new(),
        filler: 0.0,
        ending: None,
    };
    let positions = height * width;
    let elements: Vec<usize> =
        order.iter().flat_map(|channel| channel * positions..(channel + 1) * positions).collect();
    let dims = match rank {
        3 => vec![1, order.len(), width],
        _ => vec![1, order.len(), height, width],
    };
    whole.picked(dims, &elements)
}
