//! The interpreter: walks the layers of a network and leaves the matrix products to a [`Multiply`].

use crate::arithmetic::{activate_all, max_pool, sum_pool, window};
use crate::layer::Layer;
use crate::network::Network;

/// Multiplies levels of activations by a matrix of the network: plainly, or on a macro.
pub trait Multiply {
    /// `sums[column] = Σ weight · level` for matrix `matrix` (its position in
    /// [`Network::matrices`]) at output position `position` (row by row; 0 for a linear layer).
    ///
    /// `levels` has an entry for every row, `sums` for every column; `sums` holds anything.
    fn multiply(&mut self, matrix: usize, position: usize, levels: &[u8], sums: &mut [i32]);
}

/// Runs the network on one image of input levels, (channel, y, x), and returns its raw outputs.
///
/// # Panics
/// If the image has another length than the network's input.
pub fn run(network: &Network, image: &[u8], multiply: &mut impl Multiply) -> Vec<i32> {
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
    multiply: &mut impl Multiply,
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
    multiply: &mut impl Multiply,
) -> Vec<u8> {
    check_cut(network, layer);
    let lowest = network.lowest_of(layer);
    let values = walk(network, 0, layer, image, multiply);
    values.into_iter().map(|value| (value - lowest) as u8).collect()
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
    multiply: &mut impl Multiply,
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
        for &value in from {
            let is_taken = |layer: usize| network.from(layer).contains(&value);
            if !(index + 1..network.layers().len()).any(is_taken) {
                values[value - first] = Vec::new();
            }
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
    multiply: &mut impl Multiply,
) -> Vec<i32> {
    let lowest = network.lowest_of(network.from(layer)[0]);
    let constants = network.constants(layer);
    let levels: Vec<u8> = value.iter().map(|&value| (value - lowest) as u8).collect();
    let of = match &network.layers()[layer] {
        Layer::Conv(conv) => conv,
        _ => {
            let mut sums = vec![0; network.shape_after(layer).len()];
            multiply.multiply(matrix, 0, &levels, &mut sums);
            sums.iter_mut().zip(constants).for_each(|(sum, constant)| *sum += constant);
            return sums;
        }
    };
    let (shape, out) = (network.shape_before(layer), network.shape_after(layer));
    let positions = out.height * out.width;
    let (inputs, outputs) = (shape.channels / of.groups, out.channels / of.groups);
    let mut all = vec![0; out.len()];
    let (mut seen, mut sums) = (Vec::new(), vec![0; outputs]);
    for group in 0..of.groups {
        let channels = group * inputs..(group + 1) * inputs;
        for position in 0..positions {
            let at = (position / out.width, position % out.width);
            // Padding is 0, which is this level.
            let outside = -lowest as u8;
            window(&of.window, shape, channels.clone(), &levels, at, outside, &mut seen);
            multiply.multiply(matrix + group, position, &seen, &mut sums);
            for (column, sum) in sums.iter().enumerate() {
                let channel = group * outputs + column;
                let constant = constants.get(channel).unwrap_or(&0);
                all[channel * positions + position] = sum + constant;
            }
        }
    }
    all
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
