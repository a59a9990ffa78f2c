//! Networks of the shapes that others publish, with random weights: for speed, size and cost.
//!
//! Thresholds lie where random sums do, so that about half of the activations are 0.

use hafnia_rng::{ChaCha8Rng, Seed};
use rand::RngExt;

use crate::input::Input;
use crate::layer::{Activate, Conv, Layer, Linear, Thresholds, Window};
use crate::network::Network;
use crate::weights::Weights;

/// A network that grows layer by layer; every layer takes what the one before gives.
struct Shaped {
    rng: ChaCha8Rng,
    steps: Vec<(Layer, Vec<usize>)>,
    channels: usize,
    weights: Draw,
    /// Bits of an activation.
    bits: u8,
    /// Whether activations are −(2^(bits − 1) − 1) to 2^(bits − 1) − 1, not 0 to 2^bits − 1.
    is_signed: bool,
    /// Bits of the input, before the first layer.
    input_bits: Option<u8>,
}

/// How weights are drawn.
#[derive(Clone, Copy)]
enum Draw {
    /// −1 and 1.
    Binary,
    /// −1, 0 and 1, alike.
    Ternary,
    /// Numbers of two's complement but for the least.
    Bits(u8),
}

impl Shaped {
    fn new(seed: Seed, name: &str, input: &Input, weights: Draw, bits: u8) -> Self {
        let rng = seed.site("model/shapes").site(name).rng();
        let (channels, input_bits) = (input.channels, Some(input.bits()));
        Self { rng, steps: Vec::new(), channels, weights, bits, is_signed: false, input_bits }
    }

    fn last(&self) -> usize {
        self.steps.len()
    }

    fn push(&mut self, layer: Layer) -> &mut Self {
        self.steps.push((layer, vec![self.steps.len()]));
        self
    }

    fn draw(&mut self, rows: usize, columns: usize) -> Weights {
        let (rng, draw) = (&mut self.rng, self.weights);
        Weights::from_fn(rows, columns, |_, _| match draw {
            Draw::Binary => 2 * rng.random_range(0..=1) - 1,
            Draw::Ternary => rng.random_range(-1..=1),
            Draw::Bits(bits) => {
                let largest = (1 << (bits - 1)) - 1;
                rng.random_range(-largest..=largest)
            }
        })
    }

    /// The shift nearest to log2 of the spread of a sum of so many products: √(rows · mean square of a
    /// weight · that of an activation), the latter uniform in the input, and about 0.3
    /// behind thresholds at multiples of the spread, 1.3 behind those at halves of it. A threshold alone is at 1, so that half of the sums reach it.
    fn shift(&self, rows: usize) -> u32 {
        if self.bits == 1 {
            return 0;
        }
        let weight = match self.weights {
            Draw::Binary => 1.0,
            Draw::Ternary => 2.0 / 3.0,
            Draw::Bits(bits) => f64::from((1u32 << (2 * bits)) - 1) / 12.0,
        };
        let activation = match self.input_bits {
            Some(bits) => {
                let largest = f64::from((1u32 << bits) - 1);
                largest * (2.0 * largest + 1.0) / 6.0
            }
            None if self.bits > 2 => 1.3,
            None => 0.3,
        };
        // More bits tell halves of it apart.
        let halves = if self.bits > 2 { 1.0 } else { 0.0 };
        let spread = 0.5 * (rows as f64 * weight * activation).log2();
        (spread - halves).round().max(0.0) as u32
    }

    fn thresholds(&mut self, channels: usize, rows: usize) -> Thresholds {
        let shift = self.shift(rows);
        self.input_bits = None;
        if !self.is_signed {
            return Thresholds::shift(channels, self.bits, shift);
        }
        // Multiples of twice the halves of the spread, rounded.
        let largest = (1 << (self.bits - 1)) - 1;
        let values: Vec<i32> = (-largest..largest).map(|below| (2 * below + 1) << shift).collect();
        Thresholds { levels: values.len(), lowest: -largest, values: values.repeat(channels) }
    }

    /// A convolution with thresholds.
    fn conv(&mut self, outputs: usize, window: Window) -> &mut Self {
        self.conv_of(outputs, window, 1, true)
    }

    fn conv_of(
        &mut self,
        outputs: usize,
        window: Window,
        groups: usize,
        is_activated: bool,
    ) -> &mut Self {
        let rows = self.channels / groups * window.positions();
        let weights = self.draw(rows, outputs);
        let thresholds = is_activated.then(|| self.thresholds(outputs, rows));
        self.channels = outputs;
        let name = format!("conv{}", self.last());
        self.push(Layer::Conv(Conv { name, window, groups, weights, thresholds }))
    }

    fn linear(&mut self, inputs: usize, outputs: usize, is_last: bool) -> &mut Self {
        let weights = self.draw(inputs, outputs);
        let thresholds = (!is_last).then(|| self.thresholds(outputs, inputs));
        let name = format!("fc{}", self.last());
        self.push(Layer::Linear(Linear { name, weights, thresholds }))
    }

    /// Thresholds by themselves, of sums like those of so many products.
    fn activate(&mut self, rows: usize) -> &mut Self {
        let thresholds = self.thresholds(self.channels, rows);
        self.push_activate(thresholds)
    }

    /// An average over a window in eighths, clamped to the bits of an activation.
    fn average(&mut self, window: Window) -> &mut Self {
        self.push(Layer::SumPool(window));
        let shift = window.positions().ilog2() - 3;
        let thresholds = Thresholds::shift(self.channels, self.bits, shift);
        self.push_activate(thresholds)
    }

    fn push_activate(&mut self, thresholds: Thresholds) -> &mut Self {
        let name = format!("act{}", self.last());
        self.push(Layer::Activate(Activate { name, thresholds }))
    }

    fn finish(&mut self, input: Input) -> Network {
        Network::graph(input, std::mem::take(&mut self.steps)).expect("a network of its shape")
    }
}

/// LeNet-5 with weights of 4 bits in two's complement, in all else as
/// [`random::lenet5`](crate::random::lenet5).
pub fn lenet5_int4(seed: Seed) -> Network {
    lenet5(seed, "lenet5-int4", Draw::Bits(4), false)
}

/// The same with activations of −3 to 3.
pub fn lenet5_signed(seed: Seed) -> Network {
    lenet5(seed, "lenet5-signed", Draw::Bits(4), true)
}

/// The same with ternary weights.
pub fn lenet5_ternary(seed: Seed) -> Network {
    lenet5(seed, "lenet5-ternary", Draw::Ternary, false)
}

fn lenet5(seed: Seed, name: &str, weights: Draw, is_signed: bool) -> Network {
    let input = Input::upper_bits(1, 28, 28, 2);
    let mut of = Shaped::new(seed, name, &input, weights, if is_signed { 3 } else { 2 });
    of.is_signed = is_signed;
    of.conv(6, Window::square(5, 1, 2)).push(Layer::max_pool(2));
    of.conv(16, Window::square(5, 1, 0)).push(Layer::max_pool(2)).push(Layer::Flatten);
    of.linear(400, 120, false).linear(120, 84, false).linear(84, 10, true).finish(input)
}

/// FINN's CNV (Umuroglu et al., FPGA 2017): 1.5 million weights ±1, activations of 1 bit, images of
/// 32×32 with 3 channels of 8 bits.
pub fn cnv(seed: Seed) -> Network {
    let input = Input::upper_bits(3, 32, 32, 8);
    let mut of = Shaped::new(seed, "cnv", &input, Draw::Binary, 1);
    let window = Window::square(3, 1, 0);
    of.conv(64, window).conv(64, window).push(Layer::max_pool(2));
    of.conv(128, window).conv(128, window).push(Layer::max_pool(2));
    of.conv(256, window).conv(256, window).push(Layer::Flatten);
    of.linear(256, 512, false).linear(512, 512, false).linear(512, 10, true).finish(input)
}

/// VGG-8 for CIFAR-10: 13 million ternary weights, activations of 1 bit.
pub fn vgg8(seed: Seed) -> Network {
    let input = Input::upper_bits(3, 32, 32, 8);
    let mut of = Shaped::new(seed, "vgg8", &input, Draw::Ternary, 1);
    let window = Window::square(3, 1, 1);
    for channels in [128, 256, 512] {
        of.conv(channels, window).conv(channels, window).push(Layer::max_pool(2));
    }
    of.push(Layer::Flatten);
    of.linear(512 * 16, 1024, false).linear(1024, 10, true).finish(input)
}

/// ResNet-8 of MLPerf Tiny: three residual blocks on images of 32×32, weights of 4 bits, activations
/// of 4.
pub fn resnet8(seed: Seed) -> Network {
    let input = Input::upper_bits(3, 32, 32, 8);
    let mut of = Shaped::new(seed, "resnet8", &input, Draw::Bits(4), 4);
    of.conv(16, Window::square(3, 1, 1));
    for (channels, stride) in [(16, 1), (32, 2), (64, 2)] {
        let (fork, inputs) = (of.last(), of.channels);
        of.conv(channels, Window::square(3, stride, 1));
        of.conv_of(channels, Window::square(3, 1, 1), 1, false);
        let long = of.last();
        let short = if stride == 1 {
            fork
        } else {
            let weights = of.draw(inputs, channels);
            let window = Window::square(1, stride, 0);
            let conv = Conv::new(format!("short{long}"), window, weights, None);
            of.steps.push((Layer::Conv(conv), vec![fork]));
            of.channels = channels;
            of.last()
        };
        // What comes along the short way without weights is small beside sums.
        let factor = if short == fork { 16 } else { 1 };
        of.steps.push((Layer::Add(vec![1, factor]), vec![long, short]));
        of.activate(9 * channels);
    }
    of.average(Window::square(8, 8, 0)).push(Layer::Flatten).linear(64, 10, true).finish(input)
}

/// The depthwise-separable network of MLPerf Tiny for key words (Zhang et al., 2017): 49×10 features,
/// four blocks of 64 channels, weights of 4 bits, activations of 4.
pub fn ds_cnn(seed: Seed) -> Network {
    let input = Input::upper_bits(1, 49, 10, 8);
    let mut of = Shaped::new(seed, "ds-cnn", &input, Draw::Bits(4), 4);
    let first = Window { kernel: (10, 4), stride: (2, 2), ..Window::square(1, 1, 0) };
    of.conv(64, first);
    for _ in 0..4 {
        of.conv_of(64, Window::square(3, 1, 1), 64, true).conv(64, Window::square(1, 1, 0));
    }
    let window = Window { kernel: (20, 4), stride: (20, 4), ..Window::square(1, 1, 0) };
    of.average(window).push(Layer::Flatten).linear(64, 12, true).finish(input)
}

/// M5 for sound as it is recorded (Dai et al., 2017), but for its last average: 8 000 samples of 8 bits,
/// weights ±1, activations of 2 bits.
pub fn m5(seed: Seed) -> Network {
    let input = Input::upper_bits(1, 1, 8_000, 8);
    let mut of = Shaped::new(seed, "m5", &input, Draw::Binary, 2);
    let row = |kernel, stride| Window {
        kernel: (1, kernel),
        stride: (1, stride),
        ..Window::square(1, 1, 0)
    };
    of.conv(128, row(80, 4)).push(Layer::MaxPool(row(4, 4)));
    for channels in [128, 256, 512] {
        of.conv(channels, row(3, 1)).push(Layer::MaxPool(row(4, 4)));
    }
    of.push(Layer::Flatten).linear(512 * 7, 35, true).finish(input)
}

/// Makes a network of its shape.
pub type Make = fn(Seed) -> Network;

/// These networks by their names.
pub const ALL: [(&str, Make); 9] = [
    ("lenet5", crate::random::lenet5),
    ("lenet5-ternary", lenet5_ternary),
    ("lenet5-int4", lenet5_int4),
    ("lenet5-signed", lenet5_signed),
    ("cnv", cnv),
    ("vgg8", vgg8),
    ("resnet8", resnet8),
    ("ds-cnn", ds_cnn),
    ("m5", m5),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpreter::{ReferenceProduct, run};
    use crate::random;

    #[test]
    fn shapes_are_those_that_are_published() {
        let sizes = |name: &str| {
            let (_, make) = ALL.iter().find(|(known, _)| *known == name).expect("a name");
            let network = make(Seed(1));
            let weights = network.matrices().iter().map(|of| of.weights.values().len()).sum();
            (network.matrices().len(), weights, network.classes())
        };
        assert_eq!(sizes("lenet5"), (5, 61_470, 10));
        assert_eq!(sizes("lenet5-int4"), (5, 61_470, 10));
        assert_eq!(sizes("cnv"), (9, 1_542_848, 10));
        assert_eq!(sizes("vgg8"), (8, 12_973_440, 10));
        assert_eq!(sizes("resnet8"), (10, 77_360, 10));
        assert_eq!(sizes("ds-cnn"), (262, 22_016, 12));
        assert_eq!(sizes("m5"), (5, 676_352, 35));
    }

    /// No layer is stuck: what reaches the outputs differs from image to image.
    #[test]
    fn images_make_a_difference() {
        for (name, make) in ALL.into_iter().filter(|(name, _)| *name != "vgg8") {
            let network = make(Seed(1));
            let outputs = |image| {
                let image = random::image(Seed(image), network.input());
                run(&network, &image, &mut ReferenceProduct::new(&network))
            };
            assert_ne!(outputs(1), outputs(2), "{name}");
        }
    }
}
