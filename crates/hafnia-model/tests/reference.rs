//! The interpreter against a second, direct implementation written from the documentation alone.

use std::collections::HashMap;

use hafnia_model::random::{self, Limits};
use hafnia_model::{Layer, Multiply, Network, ReferenceProduct, Shape, Thresholds, Window};
use hafnia_model::{activations_before, arithmetic, run, run_from};
use hafnia_rng::Seed;
use proptest::prelude::*;
use proptest::sample::select;

/// Chains of 1-bit weights, chains that may have wider ones, and graphs of all there is.
fn networks() -> impl Strategy<Value = (Seed, Network)> {
    (any::<u64>(), select(vec![0u8, 1, 8])).prop_map(|(seed, weight_bits)| {
        let seed = Seed(seed);
        let network = match weight_bits {
            0 => random::graph(seed),
            _ => random::network(seed, Limits { weight_bits, ..Limits::default() }),
        };
        (seed, network)
    })
}

/// Every integer of every value by what it is made of, from the last back to the input.
struct Direct<'a> {
    network: &'a Network,
    image: &'a [u8],
    known: HashMap<(usize, [i64; 3]), i64>,
}

impl Direct<'_> {
    /// The integer of a value at (channel, y, x); none beyond its sides.
    fn at(&mut self, value: usize, [c, y, x]: [i64; 3]) -> Option<i64> {
        let Shape { channels, height, width } = self.network.shape_of(value);
        let within = |at: i64, side: usize| (0..side as i64).contains(&at);
        if !within(c, channels) || !within(y, height) || !within(x, width) {
            return None;
        }
        if value == 0 {
            let index = (c as usize * height + y as usize) * width + x as usize;
            return Some(i64::from(self.network.input().lowest) + i64::from(self.image[index]));
        }
        if let Some(&known) = self.known.get(&(value, [c, y, x])) {
            return Some(known);
        }
        let (network, layer) = (self.network, value - 1);
        let from = network.from(layer);
        let of = match &network.layers()[layer] {
            Layer::Conv(conv) => {
                let inputs = (network.shape_before(layer).channels / conv.groups) as i64;
                let group = c / (channels / conv.groups) as i64;
                let mut sum = 0;
                for input in 0..inputs {
                    for (at, row) in positions(&conv.window, y, x).into_iter().zip(0..) {
                        let row = input as usize * conv.window.positions() + row;
                        let weight = i64::from(conv.weights.value(row, c as usize));
                        let seen = self.at(from[0], [group * inputs + input, at.0, at.1]);
                        sum += weight * seen.unwrap_or(0);
                    }
                }
                activate(sum, c, conv.thresholds.as_ref())
            }
            Layer::Linear(linear) => {
                let mut sum = 0;
                for row in 0..linear.weights.rows() {
                    let weight = i64::from(linear.weights.value(row, c as usize));
                    sum += weight * self.at(from[0], [row as i64, 0, 0]).expect("an input");
                }
                activate(sum, c, linear.thresholds.as_ref())
            }
            Layer::MaxPool(window) => {
                let seen = positions(window, y, x).into_iter();
                let seen = seen.filter_map(|at| self.at(from[0], [c, at.0, at.1])).max();
                seen.unwrap_or(network.range_of(from[0]).0.into())
            }
            Layer::SumPool(window) => {
                let seen = positions(window, y, x).into_iter();
                seen.filter_map(|at| self.at(from[0], [c, at.0, at.1])).sum()
            }
            Layer::Add(factors) => {
                let mut sum = 0;
                for (&value, &factor) in from.iter().zip(factors) {
                    sum += i64::from(factor) * self.at(value, [c, y, x]).expect("one shape");
                }
                sum
            }
            Layer::Concat => {
                let mut c = c;
                let mut found = None;
                for &value in from {
                    let channels = network.shape_of(value).channels as i64;
                    if found.is_none() && c < channels {
                        found = self.at(value, [c, y, x]);
                    }
                    c -= channels;
                }
                found.expect("a channel of one of them")
            }
            Layer::Flatten => {
                let Shape { height, width, .. } = network.shape_before(layer);
                let (height, width) = (height as i64, width as i64);
                let at = [c / (height * width), c / width % height, c % width];
                self.at(from[0], at).expect("an input")
            }
            Layer::Activate(of) => {
                let sum = self.at(from[0], [c, y, x]).expect("one shape");
                activate(sum, c, Some(&of.thresholds))
            }
        };
        self.known.insert((value, [c, y, x]), of);
        Some(of)
    }
}

/// What a window sees at an output position, row by row, inside of the image or not.
fn positions(window: &Window, y: i64, x: i64) -> Vec<(i64, i64)> {
    let mut seen = Vec::new();
    for ky in 0..window.kernel.0 {
        for kx in 0..window.kernel.1 {
            let y = y * window.stride.0 as i64 + (ky * window.dilation.0) as i64;
            let x = x * window.stride.1 as i64 + (kx * window.dilation.1) as i64;
            seen.push((y - window.padding.top as i64, x - window.padding.left as i64));
        }
    }
    seen
}

/// The lowest activation, and one more for every threshold that is reached.
fn activate(sum: i64, channel: i64, thresholds: Option<&Thresholds>) -> i64 {
    let Some(Thresholds { levels, lowest, values }) = thresholds else { return sum };
    let of_channel = &values[channel as usize * levels..][..*levels];
    let reached = of_channel.iter().filter(|&&threshold| i64::from(threshold) <= sum).count();
    i64::from(*lowest) + reached as i64
}

fn direct(network: &Network, image: &[u8]) -> Vec<i32> {
    let last = network.layers().len();
    let Shape { channels, height, width } = network.shape_of(last);
    let mut of = Direct { network, image, known: HashMap::new() };
    let mut outputs = Vec::new();
    for c in 0..channels {
        for y in 0..height {
            for x in 0..width {
                let output = of.at(last, [c as i64, y as i64, x as i64]).expect("an output");
                outputs.push(output as i32);
            }
        }
    }
    outputs
}

/// Multiplies by the function that defines the product, and nothing else.
struct Accumulate<'a>(&'a Network);

impl Multiply for Accumulate<'_> {
    fn multiply(&mut self, matrix: usize, _position: usize, activations: &[u8], sums: &mut [i32]) {
        let weights = &self.0.matrices()[matrix].weights;
        sums.copy_from_slice(&arithmetic::accumulate(weights, activations));
    }
}

proptest! {
    #[test]
    fn the_interpreter_is_the_direct_implementation((seed, network) in networks()) {
        for index in 0..3 {
            let image = random::image(seed.index(index), network.input());
            let expected = direct(&network, &image);
            prop_assert_eq!(run(&network, &image, &mut ReferenceProduct::new(&network)), &expected[..]);
            prop_assert_eq!(run(&network, &image, &mut Accumulate(&network)), &expected[..]);
        }
    }

    #[test]
    fn a_run_may_be_cut_at_any_layer((seed, network) in networks()) {
        let image = random::image(seed, network.input());
        let plain = &mut ReferenceProduct::new(&network);
        let expected = run(&network, &image, plain);
        let cuts = (0..network.layers().len()).filter(|&layer| network.cut_before(layer) == layer);
        for layer in cuts {
            let activations = activations_before(&network, layer, &image, plain);
            prop_assert_eq!(activations.len(), network.shape_before(layer).len());
            prop_assert_eq!(run_from(&network, layer, &activations, plain), &expected[..]);
        }
    }

    #[test]
    fn every_position_is_multiplied_once_in_order((seed, network) in networks()) {
        struct Record(Vec<(usize, usize)>);
        impl Multiply for Record {
            fn multiply(&mut self, matrix: usize, position: usize, _: &[u8], sums: &mut [i32]) {
                sums.fill(0);
                self.0.push((matrix, position));
            }
        }
        let mut record = Record(Vec::new());
        run(&network, &random::image(seed, network.input()), &mut record);
        let matrices = network.matrices();
        let expected: Vec<_> = matrices
            .iter()
            .enumerate()
            .flat_map(|(matrix, layer)| (0..layer.positions).map(move |at| (matrix, at)))
            .collect();
        prop_assert_eq!(record.0, expected);
    }

    #[test]
    fn ranges_hold_what_there_is((seed, network) in networks()) {
        let image = random::image(seed, network.input());
        let (lo, hi) = network.range_of(network.layers().len());
        for output in run(&network, &image, &mut ReferenceProduct::new(&network)) {
            prop_assert!((lo..=hi).contains(&output), "{output} is not in {lo}..={hi}");
        }
    }

    #[test]
    fn a_network_file_round_trips((_, network) in networks()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network");
        hafnia_artifact::save(&path, &network).unwrap();
        let back: Network = hafnia_artifact::load(&path).unwrap();
        prop_assert_eq!(back.digest(), network.digest());
        prop_assert_eq!(back, network);
    }
}

#[test]
fn lenet5_is_what_the_benchmark_says() {
    let network = random::lenet5(Seed(1));
    let image = random::image(Seed(1), network.input());
    assert_eq!(direct(&network, &image), [6, 8, -14, 4, 8, -16, -4, 2, 4, 4]);
    let sizes: Vec<_> = network
        .matrices()
        .iter()
        .map(|matrix| (matrix.weights.rows(), matrix.weights.columns(), matrix.positions))
        .collect();
    assert_eq!(sizes, [(25, 6, 784), (150, 16, 100), (400, 120, 1), (120, 84, 1), (84, 10, 1)]);
}

#[test]
fn digests_tell_networks_apart() {
    let network = random::lenet5(Seed(1));
    assert_eq!(network.digest(), random::lenet5(Seed(1)).digest());
    assert_ne!(network.digest(), random::lenet5(Seed(2)).digest());
}

#[test]
fn a_window_may_reach_over_every_edge() {
    let window = Window::square(3, 1, 2);
    let check = |at, expected: [u8; 9]| {
        let mut gathered = vec![77];
        let shape = Shape { channels: 1, height: 1, width: 2 };
        arithmetic::window(&window, shape, 0..1, &[1, 2], at, 0, &mut gathered);
        assert_eq!(gathered, expected, "at {at:?}");
    };
    check((0, 0), [0, 0, 0, 0, 0, 0, 0, 0, 1]);
    check((1, 1), [0, 0, 0, 0, 1, 2, 0, 0, 0]);
    check((2, 3), [2, 0, 0, 0, 0, 0, 0, 0, 0]);
}
