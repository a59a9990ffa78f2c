//! [`Stage`]: a matrix layer with the pools that follow it, unpacked so that single inputs can be
//! changed.

use hafnia_model::arithmetic::activate;
use hafnia_model::{Conv, Layer, Linear, Network, Shape, Thresholds, Weights};

/// A matrix layer of a network and the pools up to the next one.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// Index among the layers of the network.
    layer: usize,
    pub(crate) name: String,
    /// How the window of a convolution moves; a linear layer is the window of one position.
    window: Option<Window>,
    /// Side of the pool, 1 for none.
    pool: usize,
    input: Shape,
    /// Of the sums: a channel per column, before the pool.
    output: Shape,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// The smallest and the largest weight that there may be: of odd weights, those of their bits.
    pub(crate) smallest: i32,
    pub(crate) largest: i32,
    is_odd: bool,
    /// (row, column).
    weights: Vec<i32>,
    /// Thresholds of a channel; 0 for the last layer, whose sums are the outputs.
    pub(crate) levels: usize,
    /// (channel, level).
    thresholds: Vec<i32>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    kernel: usize,
    stride: usize,
    padding: usize,
}

/// An activation that another takes the place of: its index and by how much it grows.
pub(crate) type Change = (usize, i32);

impl Stage {
    /// The stages of a network, in order.
    pub(crate) fn all(network: &Network) -> Vec<Self> {
        let pools_from = |layer: usize| -> usize {
            let rest = &network.layers()[layer + 1..];
            let is_matrix = |layer: &&Layer| matches!(layer, Layer::Conv(_) | Layer::Linear(_));
            rest.iter()
                .take_while(|layer| !is_matrix(layer))
                .map(|layer| if let Layer::MaxPool(window) = layer { window.kernel.0 } else { 1 })
                .product()
        };
        let stage = |matrix: hafnia_model::MatrixLayer<'_>| {
            let window = match &network.layers()[matrix.layer] {
                Layer::Conv(conv) => conv
                    .window
                    .as_square()
                    .map(|(kernel, stride, padding)| Window { kernel, stride, padding }),
                _ => None,
            };
            let (rows, columns) = (matrix.weights.rows(), matrix.weights.columns());
            let is_odd = matrix.weights.is_odd();
            let magnitude = (1 << matrix.weights.bits()) - 1;
            let weight = |at: usize| matrix.weights.value(at / columns, at % columns);
            Self {
                layer: matrix.layer,
                name: matrix.name.to_owned(),
                window,
                pool: pools_from(matrix.layer),
                input: network.shape_before(matrix.layer),
                output: network.shape_after(matrix.layer),
                rows,
                columns,
                smallest: if is_odd { -magnitude } else { matrix.weights.smallest() },
                largest: if is_odd { magnitude } else { matrix.weights.largest() },
                is_odd,
                weights: (0..rows * columns).map(weight).collect(),
                levels: matrix.thresholds.map_or(0, |thresholds| thresholds.levels),
                thresholds: matrix.thresholds.map_or_else(Vec::new, |t| t.values.clone()),
            }
        };
        network.matrices().into_iter().map(stage).collect()
    }

    /// The network again, with the weights and thresholds of these stages.
    pub(crate) fn put_back(stages: &[Self], network: &Network) -> Network {
        let mut layers = network.layers().to_vec();
        for stage in stages {
            let weight = |row, column| stage.weight(row, column);
            let weights = Weights::from_fn(stage.rows, stage.columns, weight);
            let thresholds =
                (stage.levels > 0).then(|| Thresholds::new(stage.levels, stage.thresholds.clone()));
            match &mut layers[stage.layer] {
                Layer::Conv(conv) => *conv = Conv { weights, thresholds, ..conv.clone() },
                Layer::Linear(linear) => {
                    *linear = Linear { weights, thresholds, ..linear.clone() };
                }
                _ => unreachable!("a stage has a matrix"),
            }
        }
        Network::new(network.input().clone(), layers).expect("shapes and orders are kept")
    }

    /// The values that a weight may take, ascending.
    pub(crate) fn values(&self) -> Vec<i32> {
        (self.smallest..=self.largest).step_by(self.step() as usize).collect()
    }

    /// From a weight to the next: 2 where all are odd.
    pub(crate) fn step(&self) -> i32 {
        if self.is_odd { 2 } else { 1 }
    }

    pub(crate) fn is_convolution(&self) -> bool {
        self.window.is_some()
    }

    pub(crate) fn is_last(&self) -> bool {
        self.levels == 0
    }

    pub(crate) fn weight(&self, row: usize, column: usize) -> i32 {
        self.weights[row * self.columns + column]
    }

    pub(crate) fn set_weight(&mut self, row: usize, column: usize, weight: i32) {
        self.weights[row * self.columns + column] = weight;
    }

    /// The weights of a row, a column each.
    pub(crate) fn row(&self, row: usize) -> &[i32] {
        &self.weights[row * self.columns..][..self.columns]
    }

    pub(crate) fn thresholds(&self, channel: usize) -> &[i32] {
        &self.thresholds[channel * self.levels..][..self.levels]
    }

    pub(crate) fn set_thresholds(&mut self, channel: usize, thresholds: &[i32]) {
        self.thresholds[channel * self.levels..][..self.levels].copy_from_slice(thresholds);
    }

    /// Number of activations that reach it.
    pub(crate) fn inputs(&self) -> usize {
        self.input.len()
    }

    /// Positions of the window: 1 for a linear layer.
    pub(crate) fn positions(&self) -> usize {
        self.output.height * self.output.width
    }

    /// Number of sums: (position, column).
    pub(crate) fn sums(&self) -> usize {
        self.positions() * self.columns
    }

    /// Positions after the pool.
    pub(crate) fn pooled(&self) -> usize {
        self.positions() / (self.pool * self.pool)
    }

    /// Calls with every (row, position) at which an input is multiplied.
    #[inline]
    pub(crate) fn uses(&self, input: usize, mut used: impl FnMut(usize, usize)) {
        let Some(Window { kernel, stride, padding }) = self.window else {
            return used(input, 0);
        };
        let Shape { height, width, .. } = self.input;
        let (channel, y, x) = (input / (height * width), input / width % height, input % width);
        // Along a side, the window at `out` holds the input as its `k`-th.
        let at = |side: usize, k: usize, outputs: usize| {
            let from = (side + padding).checked_sub(k)?;
            (from % stride == 0 && from / stride < outputs).then_some(from / stride)
        };
        for ky in 0..kernel {
            let Some(out_y) = at(y, ky, self.output.height) else { continue };
            for kx in 0..kernel {
                let Some(out_x) = at(x, kx, self.output.width) else { continue };
                let row = (channel * kernel + ky) * kernel + kx;
                used(row, out_y * self.output.width + out_x);
            }
        }
    }

    /// Of every row where it is multiplied, and by which input: (position, input).
    pub(crate) fn inputs_by_row(&self) -> Vec<Vec<(usize, usize)>> {
        let mut rows = vec![Vec::new(); self.rows];
        for input in 0..self.inputs() {
            self.uses(input, |row, position| rows[row].push((position, input)));
        }
        rows
    }

    /// Adds to the sums what a change of an input makes of them.
    #[inline]
    pub(crate) fn add(&self, (input, growth): Change, sums: &mut [i32]) {
        self.uses(input, |row, position| {
            let sums = &mut sums[position * self.columns..][..self.columns];
            let weights = self.row(row);
            // Most changes are by one, and a product takes several times as long as a sum.
            match growth {
                1 => sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight),
                -1 => sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum -= weight),
                _ => sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += growth * w),
            }
        });
    }

    /// The sums of these inputs, (position, column).
    pub(crate) fn multiply(&self, inputs: &[u8], sums: &mut [i32]) {
        sums.fill(0);
        for (input, &activation) in inputs.iter().enumerate() {
            if activation != 0 {
                self.add((input, activation.into()), sums);
            }
        }
    }

    /// The sums of one column, a position each.
    pub(crate) fn multiply_column(&self, inputs: &[u8], column: usize, sums: &mut [i32]) {
        sums.fill(0);
        for (input, &activation) in inputs.iter().enumerate() {
            if activation != 0 {
                self.uses(input, |row, position| {
                    sums[position] += i32::from(activation) * self.weight(row, column);
                });
            }
        }
    }

    /// The activation of a channel for a sum.
    #[inline]
    pub(crate) fn level(&self, sum: i32, channel: usize) -> u8 {
        activate(sum, self.thresholds(channel))
    }

    /// The largest of what stands at the positions that the pool takes to position `at`.
    ///
    /// Activations ascend with sums: a channel's activation after the pool is that of the largest
    /// sum before it.
    #[inline]
    pub(crate) fn largest_at(&self, at: usize, sum: impl Fn(usize) -> i32) -> i32 {
        if self.pool == 1 {
            return sum(at);
        }
        let width = self.output.width;
        let (y, x) = (at / (width / self.pool), at % (width / self.pool));
        let first = (y * width + x) * self.pool;
        let mut largest = i32::MIN;
        for dy in 0..self.pool {
            for dx in 0..self.pool {
                largest = largest.max(sum(first + dy * width + dx));
            }
        }
        largest
    }

    /// The activations after the pool, as the next stage takes them: (channel, position).
    pub(crate) fn activate(&self, sums: &[i32], activations: &mut [u8]) {
        self.each(sums, |index, activation| activations[index] = activation);
    }

    /// Adds to `changes` where the activations after the pool are no longer `activations`.
    pub(crate) fn compare(&self, sums: &[i32], activations: &[u8], changes: &mut Vec<Change>) {
        self.each(sums, |index, activation| {
            if activation != activations[index] {
                changes.push((index, i32::from(activation) - i32::from(activations[index])));
            }
        });
    }

    /// Calls with every activation after the pool.
    #[inline]
    fn each(&self, sums: &[i32], mut activation: impl FnMut(usize, u8)) {
        if self.levels == 1 && self.window.is_none() {
            for (index, (sum, threshold)) in sums.iter().zip(&self.thresholds).enumerate() {
                activation(index, u8::from(sum >= threshold));
            }
            return;
        }
        let pooled = self.pooled();
        for channel in 0..self.columns {
            for at in 0..pooled {
                let sum = self.largest_at(at, |position| sums[position * self.columns + channel]);
                activation(channel * pooled + at, self.level(sum, channel));
            }
        }
    }
}
