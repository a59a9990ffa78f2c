//! The interpreter: walks the layers of a network and leaves the matrix products to a [`Multiply`].

use crate::arithmetic::{activate, activate_all, max_pool, window};
use crate::network::{Layer, Network};
use crate::weights::Weights;

/// Multiplies activations by a matrix of the network: plainly, or on a macro.
pub trait Multiply {
    /// `sums[column] = Σ weight · activation` for matrix `matrix` (its position in
    /// [`Network::matrices`]) at output position `position` (row by row; 0 for a linear layer).
    ///
    /// `activations` has an entry for every row, `sums` for every column; `sums` holds anything.
    fn multiply(&mut self, matrix: usize, position: usize, activations: &[u8], sums: &mut [i32]);
}

/// Runs the network on one image of input activations, (channel, y, x), and returns its raw outputs.
///
/// # Panics
/// If the image has another length than the network's input.
pub fn run(network: &Network, image: &[u8], multiply: &mut impl Multiply) -> Vec<i32> {
    run_from(network, 0, image, multiply)
}

/// Runs the layers from `first` on, given the activations that reach it, and returns the raw outputs.
///
/// # Panics
/// If `activations` has another length than layer `first` takes.
pub fn run_from(
    network: &Network,
    first: usize,
    activations: &[u8],
    multiply: &mut impl Multiply,
) -> Vec<i32> {
    match walk(network, first, network.layers().len(), activations, multiply) {
        Walked::Outputs(outputs) => outputs,
        Walked::Activations(_) => unreachable!("the last layer has no thresholds"),
    }
}

/// The activations that reach layer `layer`, given an image of input activations.
///
/// # Panics
/// If the image has another length than the network's input, or there is no such layer.
pub fn activations_before(
    network: &Network,
    layer: usize,
    image: &[u8],
    multiply: &mut impl Multiply,
) -> Vec<u8> {
    assert!(layer < network.layers().len(), "no layer {layer}");
    match walk(network, 0, layer, image, multiply) {
        Walked::Activations(activations) => activations,
        Walked::Outputs(_) => unreachable!("only the last layer has no thresholds"),
    }
}

enum Walked {
    Activations(Vec<u8>),
    Outputs(Vec<i32>),
}

fn walk(
    network: &Network,
    first: usize,
    end: usize,
    activations: &[u8],
    multiply: &mut impl Multiply,
) -> Walked {
    assert_eq!(
        activations.len(),
        network.shape_before(first).len(),
        "activations for layer {first}"
    );
    let is_matrix = |layer: &Layer| matches!(layer, Layer::Conv(_) | Layer::Linear(_));
    let mut matrix = network.layers()[..first].iter().filter(|layer| is_matrix(layer)).count();
    let mut activations = activations.to_vec();
    let mut gathered = Vec::new();
    for (index, layer) in network.layers()[first..end].iter().enumerate() {
        let shape = network.shape_before(first + index);
        match layer {
            Layer::Conv(conv) => {
                let out = network.shape_before(first + index + 1);
                let thresholds = conv.thresholds.as_ref().expect("a convolution is never last");
                let mut sums = vec![0; out.channels];
                let positions = out.height * out.width;
                let mut next = vec![0; out.len()];
                for position in 0..positions {
                    let at = (position / out.width, position % out.width);
                    window(conv, shape, &activations, at, &mut gathered);
                    multiply.multiply(matrix, position, &gathered, &mut sums);
                    for (channel, &y) in sums.iter().enumerate() {
                        next[channel * positions + position] =
                            activate(y, thresholds.channel(channel));
                    }
                }
                activations = next;
                matrix += 1;
            }
            Layer::Linear(linear) => {
                let mut sums = vec![0; linear.weights.columns()];
                multiply.multiply(matrix, 0, &activations, &mut sums);
                match &linear.thresholds {
                    Some(thresholds) => activations = activate_all(&sums, thresholds),
                    None => return Walked::Outputs(sums),
                }
                matrix += 1;
            }
            Layer::MaxPool { size } => activations = max_pool(&activations, shape, *size),
            Layer::Flatten => {}
        }
    }
    Walked::Activations(activations)
}

/// The reference: multiplies as [`arithmetic::accumulate`](crate::arithmetic::accumulate) says,
/// from weights unpacked once.
#[derive(Debug, Clone)]
pub struct ReferenceProduct {
    /// Per matrix the weights, column by column: a sum is a product of two runs of memory.
    matrices: Vec<Vec<i16>>,
}

impl ReferenceProduct {
    /// Unpacks the weights of a network.
    pub fn new(network: &Network) -> Self {
        let unpack = |weights: &Weights| {
            let values = (0..weights.columns()).flat_map(|column| {
                (0..weights.rows()).map(move |row| weights.value(row, column) as i16)
            });
            values.collect()
        };
        Self { matrices: network.matrices().iter().map(|matrix| unpack(matrix.weights)).collect() }
    }
}

impl Multiply for ReferenceProduct {
    fn multiply(&mut self, matrix: usize, _position: usize, activations: &[u8], sums: &mut [i32]) {
        let columns = self.matrices[matrix].chunks_exact(activations.len());
        for (sum, weights) in sums.iter_mut().zip(columns) {
            let products = weights.iter().zip(activations);
            *sum = products.map(|(&weight, &a)| i32::from(weight) * i32::from(a)).sum();
        }
    }
}
