//! Random networks and images, for tests and benchmarks: no network here has learned anything.
//!
//! Everything is addressed by a [`Seed`]: the same seed gives the same network on every machine.

use crate::bit_matrix::BitMatrix;
use hafnia_rng::Seed;
use rand::{Rng, RngExt};

use crate::network::{Conv, Input, Layer, Linear, Network, Thresholds};
use crate::weights::Weights;

/// The largest sizes that [`network`] draws; the smallest is 1 of each (0 convolutions).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows and columns of the input.
    pub side: usize,
    /// Channels of the input and of convolutions.
    pub channels: usize,
    /// Convolutions; a pool may follow each.
    pub convolutions: usize,
    /// Side of kernels.
    pub kernel: usize,
    /// Linear layers, the last included.
    pub linears: usize,
    /// Outputs of linear layers.
    pub outputs: usize,
    /// Bits of the input, up to 8, and of activations, up to 4.
    pub bits: u8,
    /// Most bits of weights, 1, 2, 4 or 8: every matrix draws how many it has.
    pub weight_bits: u8,
}

impl Default for Limits {
    /// Networks of at most some ten thousand weights of 1 bit, quick enough for hundreds of cases.
    fn default() -> Self {
        Self {
            side: 9,
            channels: 4,
            convolutions: 2,
            kernel: 4,
            linears: 3,
            outputs: 12,
            bits: 4,
            weight_bits: 1,
        }
    }
}

/// A random network within `limits`.
///
/// It has whatever the format allows: odd sides, strides, paddings, thresholds that coincide and
/// channels that are always on or always off.
///
/// # Panics
/// If `limits` leave nothing to draw (a 0 other than `convolutions`), or `bits` is over 8.
pub fn network(seed: Seed, limits: Limits) -> Network {
    let rng = &mut seed.site("model/random/network").rng();
    let bits = rng.random_range(1..=limits.bits);
    let mut side = |limit| rng.random_range(1..=limit);
    let mut channels = side(limits.channels);
    let (mut height, mut width) = (side(limits.side), side(limits.side));
    let input = Input::upper_bits(channels, height, width, bits);
    let mut layers = Vec::new();
    let mut levels = (1 << bits) - 1;
    for index in 0..rng.random_range(0..=limits.convolutions) {
        let kernel = rng.random_range(1..=limits.kernel.min(height).min(width));
        let stride = rng.random_range(1..=2);
        let padding = rng.random_range(0..kernel);
        let weights = matrix(rng, channels * kernel * kernel, limits.channels, limits.weight_bits);
        let thresholds = Some(thresholds(rng, &weights, &mut levels, limits.bits.min(4)));
        channels = weights.columns();
        height = (height + 2 * padding - kernel) / stride + 1;
        width = (width + 2 * padding - kernel) / stride + 1;
        let name = format!("conv{}", index + 1);
        layers.push(Layer::Conv(Conv { name, kernel, stride, padding, weights, thresholds }));
        let size = rng.random_range(1..=3);
        if size > 1 && height % size == 0 && width % size == 0 {
            layers.push(Layer::MaxPool { size });
            (height, width) = (height / size, width / size);
        }
    }
    layers.push(Layer::Flatten);
    let mut inputs = channels * height * width;
    let linears = rng.random_range(1..=limits.linears);
    for index in 1..=linears {
        let weights = matrix(rng, inputs, limits.outputs, limits.weight_bits);
        let thresholds =
            (index < linears).then(|| thresholds(rng, &weights, &mut levels, limits.bits.min(4)));
        inputs = weights.columns();
        layers.push(Layer::Linear(Linear { name: format!("linear{index}"), weights, thresholds }));
    }
    Network::new(input, layers).expect("drawn to fit")
}

/// A matrix of random weights with 1 to `max_columns` columns and 1, 2, 4 or 8, at most `max_bits`,
/// bits.
fn matrix(rng: &mut impl Rng, rows: usize, max_columns: usize, max_bits: u8) -> Weights {
    let columns = rng.random_range(1..=max_columns);
    // Nothing is drawn where there is no choice: what else is drawn stays the same.
    let widths = Weights::BITS.iter().filter(|&&bits| bits <= max_bits).count();
    let bits = Weights::BITS[if widths == 1 { 0 } else { rng.random_range(0..widths) }];
    let plane = |_| BitMatrix::from_fn(rows, columns, |_, _| rng.random());
    Weights::from_planes((0..bits).map(plane).collect()).expect("1, 2, 4 or 8 bits")
}

/// Thresholds within the sums that inputs of up to `levels` can reach, and one step beyond; `levels`
/// becomes that of the activations they give.
fn thresholds(
    rng: &mut impl Rng,
    weights: &Weights,
    levels: &mut usize,
    max_bits: u8,
) -> Thresholds {
    // A random sum of n terms of size a is about a√n; beyond it most channels would be constant.
    let largest = *levels as f64 * f64::from(weights.largest());
    let reach = (largest * (weights.rows() as f64).sqrt()).ceil() as i32 + 1;
    *levels = (1 << rng.random_range(1..=max_bits)) - 1;
    let mut values: Vec<i32> =
        (0..weights.columns() * *levels).map(|_| rng.random_range(-reach..=reach)).collect();
    values.chunks_mut(*levels).for_each(<[i32]>::sort);
    Thresholds { levels: *levels, values }
}

/// LeNet-5 as hafnia trains it, with random weights of 1 bit: 28×28 input in 2 bits, matrices 25×6,
/// 150×16, 400×120, 120×84 and 84×10, activations of 2 bits.
///
/// Thresholds are the clamped shift nearest to the spread of the sums, as the trainer sets them, so
/// that about half of the activations are 0.
pub fn lenet5(seed: Seed) -> Network {
    let rng = &mut seed.site("model/random/lenet5").rng();
    let mut weights = |rows, columns| BitMatrix::from_fn(rows, columns, |_, _| rng.random()).into();
    let conv = |name: &str, padding, weights: Weights, shift| {
        let thresholds = Some(Thresholds::shift(weights.columns(), 2, shift));
        let name = name.to_owned();
        Layer::Conv(Conv { name, kernel: 5, stride: 1, padding, weights, thresholds })
    };
    let linear = |name: &str, weights: Weights, shift: Option<u32>| {
        let thresholds = shift.map(|shift| Thresholds::shift(weights.columns(), 2, shift));
        Layer::Linear(Linear { name: name.to_owned(), weights, thresholds })
    };
    // A shift is log2 of √(rows · mean square of an activation), rounded. That square is 3.5 for the
    // uniform 0..=3 of the input; for clamp(z >> k, 0, 3), z Gaussian with deviation 2^k, it is
    // 0.23, and 0.79 after a 2×2 pool.
    let layers = vec![
        conv("conv1", 2, weights(25, 6), 3),
        Layer::MaxPool { size: 2 },
        conv("conv2", 0, weights(150, 16), 3),
        Layer::MaxPool { size: 2 },
        Layer::Flatten,
        linear("fc1", weights(400, 120), Some(4)),
        linear("fc2", weights(120, 84), Some(2)),
        linear("fc3", weights(84, 10), None),
    ];
    let input = Input::upper_bits(1, 28, 28, 2);
    Network::new(input, layers).expect("LeNet-5")
}

/// An image of uniform random activations for a network that takes `input`, (channel, y, x).
pub fn image(seed: Seed, input: &Input) -> Vec<u8> {
    let rng = &mut seed.site("model/random/image").rng();
    let largest = input.largest();
    (0..input.channels * input.height * input.width)
        .map(|_| rng.random_range(0..=largest))
        .collect()
}
