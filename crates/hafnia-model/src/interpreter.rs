//! The interpreter: walks the layers of a network and leaves the matrix products to a [`Multiply`].

use crate::arithmetic::{activate_all, max_pool, sum_pool, window};
use crate::input::Shape;
use crate::layer::{Layer, Window};
use crate::network::Network;

/// Multiplies levels of activations by a matrix of the network: plainly, or on a macro.
pub trait Multiply {
    /// `sums[column] = Σ weight · level` for matrix `matrix` (its position in
    /// [`Network::matrices`]) at output position `position` (row by row; 0 for a linear layer).
    ///
    /// `levels` has an entry for every row, `sums` for every column; `sums` holds anything.
    fn multiply(&mut self, matrix: usize, position: usize, levels: &[u8], sums: &mut [i32]);
}

/// A matrix at all output positions of its layer.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The matrix, by its position in [`Network::matrices`].
    pub matrix: usize,
    /// The window of a convolution; none of a linear layer, which has one position.
    pub window: Option<&'a Window>,
    /// Shape of the levels that it is given: those of the channels of its group.
    pub input: Shape,
    /// Rows and columns of output positions.
    pub output: (usize, usize),
    /// The level of padding.
    pub outside: u8,
}

/// Multiplies levels of activations by a matrix at all output positions at once; what a [`Multiply`]
/// does position by position.
pub trait MultiplyLayer {
    /// `sums[column · positions + position] = Σ weight · level`.
    ///
    /// `levels` are (channel, y, x) of shape `part.input`; `sums` holds anything.
    fn multiply_layer(&mut self, part: &Part<'_>, levels: &[u8], sums: &mut [i32]);
}

impl<M: Multiply> MultiplyLayer for M {
    fn multiply_layer(&mut self, part: &Part<'_>, levels: &[u8], sums: &mut [i32]) {
        let Some(of) = part.window else {
            return self.multiply(part.matrix, 0, levels, sums);
        };
        let (height, width) = part.output;
        let positions = height * width;
        let (mut seen, mut of_position) = (Vec::new(), vec![0; sums.len() / positions]);
        for position in 0..positions {
            let at = (position / width, position % width);
            window(of, part.input, 0..part.input.channels, levels, at, part.outside, &mut seen);
            self.multiply(part.matrix, position, &seen, &mut of_position);
            for (column, sum) in of_position.iter().enumerate() {
                sums[column * positions + position] = *sum;
            }
        }
    }
}

/// Runs the network on one image of input levels, (channel, y, x), and returns its raw outputs.
///
/// # Panics
/// If the image has another length than the network's input.
pub fn run(network: &Network, image: &[u8], multiply: &mut impl MultiplyLayer) -> Vec<i32> {
    run_from(network, 0, image, multiply)
}

/// Runs the layers from `first` on, given the levels of the value that reaches it, and returns the
/// raw outputs.
///
/// # Panics
/// If `levels` has another length than that value, or `first` is no
/// [cut](Network::cut_before) of the network.
pub fn run_from(
    network: &Network,
    first: usize,
    levels: &[u8],
    multiply: &mut impl MultiplyLayer,
) -> Vec<i32> {
    let layers = network.layers().len();
    walk(network, first, layers, levels, multiply)
}

/// The levels of the value that reaches layer `layer`, given an image of input levels.
///
/// # Panics
/// If the image has another length than the network's input, or `layer` is no
/// [cut](Network::cut_before) of the network.
pub fn activations_before(
    network: &Network,
    layer: usize,
    image: &[u8],
    multiply: &mut impl MultiplyLayer,
) -> Vec<u8> {
    check_cut(network, layer);
    levels(network, layer, &walk(network, 0, layer, image, multiply))
}

/// The levels of a value. Errors on macros may bring sums out of its range: those are taken as its ends.
fn levels(network: &Network, value: usize, activations: &[i32]) -> Vec<u8> {
    let lowest = network.lowest_of(value);
    let largest = network.range_of(value).1.max(0) - lowest;
    let level = |&activation: &i32| (activation - lowest).clamp(0, largest) as u8;
    activations.iter().map(level).collect()
}

fn check_cut(network: &Network, layer: usize) {
    assert!(layer < network.layers().len(), "no layer {layer}");
    assert_eq!(network.cut_before(layer), layer, "layer {layer} takes other values as well");
}

/// The value that the last of layers `first..end` gives.
fn walk(
    network: &Network,
    first: usize,
    end: usize,
    levels: &[u8],
    multiply: &mut impl MultiplyLayer,
) -> Vec<i32> {
    check_cut(network, first);
    assert_eq!(levels.len(), network.shape_of(first).len(), "activations for layer {first}");
    let mut matrix: usize = network.layers()[..first].iter().map(matrices).sum();
    let lowest = network.lowest_of(first);
    // By value, from `first` on; each is dropped with the last layer that takes it.
    let mut values: Vec<Vec<i32>> =
        vec![levels.iter().map(|&level| lowest + i32::from(level)).collect()];
    for (index, layer) in network.layers().iter().enumerate().take(end).skip(first) {
        let from = network.from(index);
        let (value, shape) = (&values[from[0] - first], network.shape_before(index));
        let next = match layer {
            Layer::Conv(_) | Layer::Linear(_) => {
                let sums = product(network, index, matrix, value, multiply);
                matrix += matrices(layer);
                match layer.thresholds() {
                    Some(thresholds) => activate_all(&sums, thresholds),
                    None => sums,
                }
            }
            Layer::MaxPool(window) => max_pool(value, shape, window, network.range_of(from[0]).0),
            Layer::SumPool(window) => sum_pool(value, shape, window),
            Layer::Add(factors) => {
                let mut sum = vec![0; value.len()];
                for (&value, factor) in from.iter().zip(factors) {
                    for (sum, value) in sum.iter_mut().zip(&values[value - first]) {
                        *sum += factor * value;
                    }
                }
                sum
            }
            Layer::Concat => {
                from.iter().flat_map(|&value| values[value - first].iter().copied()).collect()
            }
            Layer::Flatten => value.clone(),
            Layer::Activate(activate) => activate_all(value, &activate.thresholds),
        };
        values.push(next);
        for &value in from.iter().filter(|&&value| network.last_taker(value) == Some(index)) {
            values[value - first] = Vec::new();
        }
    }
    values.pop().expect("the value that it began with, at least")
}

/// Matrices of a layer.
fn matrices(layer: &Layer) -> usize {
    match layer {
        Layer::Conv(conv) => conv.groups,
        Layer::Linear(_) => 1,
        _ => 0,
    }
}

/// The sums of a layer that multiplies, (channel, y, x), its first matrix being `matrix`.
fn product(
    network: &Network,
    layer: usize,
    matrix: usize,
    value: &[i32],
    multiply: &mut impl MultiplyLayer,
) -> Vec<i32> {
    let from = network.from(layer)[0];
    let (lowest, levels) = (network.lowest_of(from), levels(network, from, value));
    let (shape, out) = (network.shape_before(layer), network.shape_after(layer));
    let (window, groups) = match &network.layers()[layer] {
        Layer::Conv(conv) => (Some(&conv.window), conv.groups),
        _ => (None, 1),
    };
    let input = Shape { channels: shape.channels / groups, ..shape };
    let mut sums = vec![0; out.len()];
    let of_groups = levels.chunks_exact(input.len()).zip(sums.chunks_exact_mut(out.len() / groups));
    for (group, (levels, sums)) in of_groups.enumerate() {
        let part = Part {
            matrix: matrix + group,
            window,
            input,
            output: (out.height, out.width),
            // Padding is 0, which is this level.
            outside: -lowest as u8,
        };
        multiply.multiply_layer(&part, levels, sums);
    }
    let positions = out.height * out.width;
    for (sums, constant) in sums.chunks_exact_mut(positions).zip(network.constants(layer)) {
        sums.iter_mut().for_each(|sum| *sum += constant);
    }
    sums
}

/// The reference: multiplies as [`arithmetic::accumulate`](crate::arithmetic::accumulate) says,
/// from weights laid out once.
#[derive(Debug, Clone)]
pub struct ReferenceProduct {
    /// Per matrix the weights, column by column: a sum is a product of two runs of memory.
    matrices: Vec<Vec<i16>>,
}

impl ReferenceProduct {
    /// Lays out the weights of a network.
    pub fn new(network: &Network) -> Self {
        let columns = |matrix: &crate::network::MatrixLayer<'_>| {
            let weights = matrix.weights;
            let column = |column: usize| {
                weights.values().iter().skip(column).step_by(weights.columns()).copied()
            };
            (0..weights.columns()).flat_map(column).collect()
        };
        Self { matrices: network.matrices().iter().map(columns).collect() }
    }
}

impl Multiply for ReferenceProduct {
    fn multiply(&mut self, matrix: usize, _position: usize, levels: &[u8], sums: &mut [i32]) {
        let columns = self.matrices[matrix].chunks_exact(levels.len());
        for (sum, weights) in sums.iter_mut().zip(columns) {
            let products = weights.iter().zip(levels);
            *sum = products.map(|(&weight, &a)| i32::from(weight) * i32::from(a)).sum();
        }
    }
}
