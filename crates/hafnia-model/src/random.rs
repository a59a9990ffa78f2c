//! Random networks and images, for tests and benchmarks: no network here has learned anything.
//!
//! Everything is addressed by a [`Seed`]: the same seed gives the same network on every machine.

use crate::bit_matrix::BitMatrix;
use hafnia_rng::Seed;
use rand::{Rng, RngExt};

use crate::floats::Floats;
use crate::input::{Input, Shape};
use crate::layer::{Activate, Conv, Layer, Linear, Padding, Thresholds, Window};
use crate::network::Network;
use crate::scores::Scores;
use crate::weights::Weights;

/// The largest sizes that [`network`] draws; the smallest is 1 of each (0 convolutions).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows and columns of the input.
    pub side: usize,
    /// How many times as many columns there may be.
    pub stretch: usize,
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
    /// Most bits of odd weights, 1, 2, 4 or 8: every matrix draws how many it has.
    pub weight_bits: u8,
}

impl Default for Limits {
    /// Networks of at most some ten thousand weights of 1 bit, quick enough for hundreds of cases.
    fn default() -> Self {
        Self {
            side: 9,
            stretch: 1,
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
    let (mut height, mut width) = (side(limits.side), side(limits.side * limits.stretch));
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
        let window = Window::square(kernel, stride, padding);
        layers.push(Layer::Conv(Conv::new(name, window, weights, thresholds)));
        let size = rng.random_range(1..=3);
        if size > 1 && height % size == 0 && width % size == 0 {
            layers.push(Layer::max_pool(size));
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

/// A matrix of random odd weights with 1 to `max_columns` columns and 1, 2, 4 or 8, at most
/// `max_bits`, bits.
fn matrix(rng: &mut impl Rng, rows: usize, max_columns: usize, max_bits: u8) -> Weights {
    let columns = rng.random_range(1..=max_columns);
    // Nothing is drawn where there is no choice: what else is drawn stays the same.
    let widths = [1, 2, 4, 8].iter().filter(|&&bits| bits <= max_bits).count();
    let bits = [1, 2, 4, 8][if widths == 1 { 0 } else { rng.random_range(0..widths) }];
    let plane = |_| BitMatrix::from_fn(rows, columns, |_, _| rng.random());
    let planes: Vec<BitMatrix> = (0..bits).map(plane).collect();
    Weights::from_fn(rows, columns, |row, column| {
        let sign = |plane: &BitMatrix| if plane.get(row, column) { 1 } else { -1 };
        planes.iter().enumerate().map(|(p, plane)| sign(plane) << p).sum()
    })
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
    let magnitude = weights.largest().max(-weights.smallest());
    let largest = *levels as f64 * f64::from(magnitude);
    let reach = (largest * (weights.rows() as f64).sqrt()).ceil() as i32 + 1;
    *levels = (1 << rng.random_range(1..=max_bits)) - 1;
    let mut values: Vec<i32> =
        (0..weights.columns() * *levels).map(|_| rng.random_range(-reach..=reach)).collect();
    values.chunks_mut(*levels).for_each(<[i32]>::sort);
    Thresholds::new(*levels, values)
}

/// LeNet-5 as hafnia trains it, with random weights of 1 bit: 28×28 input in 2 bits, matrices 25×6,
/// 150×16, 400×120, 120×84 and 84×10, activations of 2 bits.
///
/// Thresholds are the clamped shift nearest to the spread of the sums, as the trainer sets them, so
/// that about half of the activations are 0.
pub fn lenet5(seed: Seed) -> Network {
    lenet5_of(seed, 28)
}

/// The same for images of so many rows and columns, a multiple of 4 that is at least 16.
///
/// # Panics
/// If it is not.
pub fn lenet5_of(seed: Seed, side: usize) -> Network {
    let rng = &mut seed.site("model/random/lenet5").rng();
    let mut weights = |rows, columns| BitMatrix::from_fn(rows, columns, |_, _| rng.random()).into();
    let conv = |name: &str, padding, weights: Weights, shift| {
        let thresholds = Some(Thresholds::shift(weights.columns(), 2, shift));
        Layer::Conv(Conv::new(name, Window::square(5, 1, padding), weights, thresholds))
    };
    let linear = |name: &str, weights: Weights, shift: Option<u32>| {
        let thresholds = shift.map(|shift| Thresholds::shift(weights.columns(), 2, shift));
        Layer::Linear(Linear { name: name.to_owned(), weights, thresholds })
    };
    let last = (side / 2 - 4) / 2;
    // A shift is log2 of √(rows · mean square of an activation), rounded. That square is 3.5 for the
    // uniform 0..=3 of the input; for clamp(z >> k, 0, 3), z Gaussian with deviation 2^k, it is
    // 0.23, and 0.79 after a 2×2 pool.
    let layers = vec![
        conv("conv1", 2, weights(25, 6), 3),
        Layer::max_pool(2),
        conv("conv2", 0, weights(150, 16), 3),
        Layer::max_pool(2),
        Layer::Flatten,
        linear("fc1", weights(16 * last * last, 120), Some(4)),
        linear("fc2", weights(120, 84), Some(2)),
        linear("fc3", weights(84, 10), None),
    ];
    let input = Input::upper_bits(1, side, side, 2);
    Network::new(input, layers).expect("LeNet-5")
}

/// Random rules by which an input takes floats: for all channels, or for each.
pub fn floats(seed: Seed, input: &Input) -> Vec<Floats> {
    let rng = &mut seed.site("model/random/floats").rng();
    let lists = if rng.random() { 1 } else { input.channels };
    let of_channel = |_| {
        let count = rng.random_range(0..=input.levels());
        let mut cuts: Vec<f32> = (0..count).map(|_| rng.random_range(-3.0..3.0)).collect();
        cuts.sort_by(f32::total_cmp);
        let (least, largest) = (rng.random_range(-4.0..0.0), rng.random_range(0.0..4.0));
        Floats { least, largest, cuts }
    };
    (0..lists).map(of_channel).collect()
}

/// A random network of whatever the format allows beyond [`network`]: weights of any integers, groups,
/// windows that differ by side, activations below 0, branches that are added or joined, thresholds by
/// themselves, pools that add, scores.
pub fn graph(seed: Seed) -> Network {
    let rng = &mut seed.site("model/random/graph").rng();
    let channels = rng.random_range(1..=4);
    let lists = if rng.random() { 1 } else { channels };
    let bits = rng.random_range(1..=8);
    let cuts = |_| {
        let mut cuts: Vec<u8> = (1..1u16 << bits).map(|_| rng.random()).collect();
        cuts.sort_unstable();
        cuts
    };
    let cuts = (0..lists).map(cuts).collect();
    let (height, width) = (rng.random_range(1..=7), rng.random_range(1..=7));
    let lowest = -rng.random_range(0..=3);
    let mut drawn = Drawn::new(Input { cuts, lowest, ..Input::new(channels, height, width, &[]) });
    let window = any_window(rng, drawn.last_shape());
    drawn.push_conv(rng, window);
    for _ in 0..rng.random_range(0..=4) {
        drawn.push_any(rng);
    }
    let outputs = drawn.push_classes(rng);
    if rng.random() {
        return drawn.network;
    }
    let scales = (0..outputs).map(|_| rng.random_range(0.25..4.0)).collect();
    let biases = (0..outputs).map(|_| rng.random_range(-9.0..9.0)).collect();
    drawn.network.with_scores(Scores { scales, biases }).expect("one each")
}

/// A random network over long rows: convolutions of any width, stride and dilation over a signal of up
/// to 500 columns, or two rows of them.
pub fn signal(seed: Seed) -> Network {
    let rng = &mut seed.site("model/random/signal").rng();
    let (channels, bits) = (rng.random_range(1..=2), rng.random_range(1..=3));
    let (height, width) = (rng.random_range(1..=2), rng.random_range(60..=500));
    let mut drawn = Drawn::new(Input::upper_bits(channels, height, width, bits));
    for _ in 0..rng.random_range(1..=2) {
        drawn.push_levels(rng);
        let width = drawn.last_shape().width;
        let most = if rng.random() { 4 } else { 90 };
        let dilation = rng.random_range(1..=3);
        let kernel = rng.random_range(1..=most.min((width - 1) / dilation + 1));
        let most = if rng.random() { 2 } else { 12 };
        let stride = rng.random_range(1..=most);
        let mut padding = || rng.random_range(0..=(kernel - 1) * dilation);
        let padding = Padding { left: padding(), right: padding(), ..Padding::default() };
        let window =
            Window { kernel: (1, kernel), stride: (1, stride), dilation: (1, dilation), padding };
        drawn.push_conv(rng, window);
    }
    drawn.push_classes(rng);
    drawn.network
}

/// A graph that grows, and the network of what there is of it.
struct Drawn {
    network: Network,
    input: Input,
    steps: Vec<(Layer, Vec<usize>)>,
}

impl Drawn {
    fn new(input: Input) -> Self {
        let network = Network::classifier(BitMatrix::zeros(1, 1).into(), &[1]);
        Self { network: network.expect("one weight"), input, steps: Vec::new() }
    }

    /// Makes the network anew; whatever is not taken yet is joined for it.
    fn check(&mut self) {
        self.network =
            Network::graph(self.input.clone(), self.steps.clone()).expect("drawn to fit");
    }

    fn last_shape(&self) -> Shape {
        match self.steps.is_empty() {
            true => self.input.shape(),
            false => self.network.shape_of(self.steps.len()),
        }
    }

    fn last_range(&self) -> (i32, i32) {
        match self.steps.is_empty() {
            true => (self.input.lowest, self.input.lowest + i32::from(self.input.levels())),
            false => self.network.range_of(self.steps.len()),
        }
    }

    fn push(&mut self, layer: Layer) {
        self.steps.push((layer, vec![self.steps.len()]));
        self.check();
    }

    /// Thresholds by themselves, if the last value is of too many levels for a product.
    fn push_levels(&mut self, rng: &mut impl Rng) {
        let (lo, hi) = self.last_range();
        if hi - lo.min(0) > 255 {
            let name = format!("levels{}", self.steps.len());
            let thresholds = any_thresholds(rng, self.last_shape().channels, (lo, hi));
            self.push(Layer::Activate(Activate { name, thresholds }));
        }
    }

    /// A linear layer of all there is; returns its outputs.
    fn push_classes(&mut self, rng: &mut impl Rng) -> usize {
        self.push_levels(rng);
        self.push(Layer::Flatten);
        let outputs = rng.random_range(1..=5);
        let weights = any_matrix(rng, self.last_shape().len(), outputs);
        self.push(Layer::Linear(Linear { name: "classes".to_owned(), weights, thresholds: None }));
        outputs
    }

    fn push_conv(&mut self, rng: &mut impl Rng, window: Window) {
        let shape = self.last_shape();
        let groups = [1, shape.channels][usize::from(rng.random_bool(0.3))];
        let rows = shape.channels / groups * window.positions();
        let outputs = groups * rng.random_range(1..=3);
        let weights = any_matrix(rng, rows, outputs);
        let name = format!("conv{}", self.steps.len());
        let conv = Conv { name, window, groups, weights, thresholds: None };
        self.push(Layer::Conv(conv));
        if rng.random_bool(0.7) {
            let thresholds = any_thresholds(rng, outputs, self.last_range());
            let Some((Layer::Conv(conv), _)) = self.steps.last_mut() else {
                unreachable!("it was pushed")
            };
            conv.thresholds = Some(thresholds);
            self.check();
        }
    }

    fn push_any(&mut self, rng: &mut impl Rng) {
        match rng.random_range(0..5) {
            0 => self.push(Layer::MaxPool(any_window(rng, self.last_shape()))),
            1 => self.push(Layer::SumPool(any_window(rng, self.last_shape()))),
            2 => {
                self.push_levels(rng);
                let window = any_window(rng, self.last_shape());
                self.push_conv(rng, window);
            }
            kind => {
                // A branch that keeps the shape, beside the value that it begins with.
                self.push_levels(rng);
                let (fork, shape) = (self.steps.len(), self.last_shape());
                let weights = any_matrix(rng, shape.channels, shape.channels);
                let name = format!("branch{fork}");
                let window = Window::square(1, 1, 0);
                self.push(Layer::Conv(Conv::new(name, window, weights, None)));
                let factors = vec![rng.random_range(-4..=4), 1 << rng.random_range(0..3)];
                let join = if kind == 3 { Layer::Add(factors) } else { Layer::Concat };
                self.steps.push((join, vec![fork, fork + 1]));
                self.check();
            }
        }
    }
}

/// A window that fits an image, each side by itself.
fn any_window(rng: &mut impl Rng, shape: Shape) -> Window {
    let mut side = |n: usize| {
        let kernel = rng.random_range(1..=n.min(3));
        let dilation = if kernel > 1 && (kernel - 1) * 2 < n { rng.random_range(1..=2) } else { 1 };
        let reach = (kernel - 1) * dilation;
        let padding = (rng.random_range(0..=reach), rng.random_range(0..=reach));
        (kernel, rng.random_range(1..=2), dilation, padding)
    };
    let (vertical, horizontal) = (side(shape.height), side(shape.width));
    Window {
        kernel: (vertical.0, horizontal.0),
        stride: (vertical.1, horizontal.1),
        dilation: (vertical.2, horizontal.2),
        padding: Padding {
            top: vertical.3.0,
            left: horizontal.3.0,
            bottom: vertical.3.1,
            right: horizontal.3.1,
        },
    }
}

/// Weights of one of the kinds that networks have: ±1, ternary, or integers of up to 8 bits.
fn any_matrix(rng: &mut impl Rng, rows: usize, columns: usize) -> Weights {
    let bits = rng.random_range(0..=8);
    Weights::from_fn(rows, columns, |_, _| match bits {
        0 => 2 * rng.random_range(0..=1) - 1,
        1 => rng.random_range(-1..=1),
        bits => rng.random_range(-(1 << (bits - 1))..1 << (bits - 1)),
    })
}

/// Thresholds within a range, and a little beyond.
fn any_thresholds(rng: &mut impl Rng, channels: usize, (lo, hi): (i32, i32)) -> Thresholds {
    let levels = [1, 2, 3, 4, 15, 255][rng.random_range(0..6)];
    let lowest = [0, 0, -1, -(levels as i32) / 2 - 1][rng.random_range(0..4)];
    let reach = ((hi - lo) / 4).max(1);
    let middle = lo + (hi - lo) / 2;
    let mut values: Vec<i32> =
        (0..channels * levels).map(|_| middle + rng.random_range(-reach..=reach)).collect();
    values.chunks_mut(levels).for_each(<[i32]>::sort);
    Thresholds { levels, lowest, values }
}

/// An image of uniform random levels for a network that takes `input`, (channel, y, x).
pub fn image(seed: Seed, input: &Input) -> Vec<u8> {
    let rng = &mut seed.site("model/random/image").rng();
    let largest = input.levels();
    (0..input.channels * input.height * input.width)
        .map(|_| rng.random_range(0..=largest))
        .collect()
}
