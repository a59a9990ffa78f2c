//! The interpreter against a second, direct implementation written from the documentation alone.

use hafnia_model::random::{self, Limits};
use hafnia_model::{
    BitMatrix, Conv, Input, Layer, Linear, Multiply, Network, ReferenceProduct, Shape, Thresholds,
    Weights,
};
use hafnia_model::{activations_before, arithmetic, run, run_from};
use hafnia_rng::Seed;
use proptest::prelude::*;
use proptest::sample::select;

/// Activations or sums of one image: a grid a channel.
type Grids = Vec<Vec<Vec<i64>>>;

/// A weight by its definition.
fn weight(weights: &Weights, input: usize, out: usize) -> i64 {
    let bit = |plane: &BitMatrix| i64::from(plane.get(input, out));
    match weights.planes() {
        [one] => 2 * bit(one) - 1,
        [one, two] => (2 * bit(one) - 1) + 2 * (2 * bit(two) - 1),
        planes => planes.iter().rev().fold(0, |sum, plane| 2 * sum + 2 * bit(plane) - 1),
    }
}

/// Networks of 1-bit weights, and networks that may have wider ones.
fn networks() -> impl Strategy<Value = (Seed, Network)> {
    (any::<u64>(), select(Weights::BITS.to_vec())).prop_map(|(seed, weight_bits)| {
        let limits = Limits { weight_bits, ..Limits::default() };
        (Seed(seed), random::network(Seed(seed), limits))
    })
}

/// Cross-correlation by its definition, from weights (out, in, kh, kw).
#[expect(clippy::needless_range_loop, reason = "the six indices are the definition")]
fn convolve(conv: &Conv, image: &Grids) -> Grids {
    let (kernel, stride, padding) = (conv.kernel, conv.stride, conv.padding);
    let (channels, height, width) = (image.len(), image[0].len(), image[0][0].len());
    let out_height = (height + 2 * padding - kernel) / stride + 1;
    let out_width = (width + 2 * padding - kernel) / stride + 1;
    let outputs = conv.weights.columns();
    let mut sums = vec![vec![vec![0; out_width]; out_height]; outputs];
    for out in 0..outputs {
        for channel in 0..channels {
            for ky in 0..kernel {
                for kx in 0..kernel {
                    let row = (channel * kernel + ky) * kernel + kx;
                    for y in 0..out_height {
                        for x in 0..out_width {
                            let in_y = (y * stride + ky) as i64 - padding as i64;
                            let in_x = (x * stride + kx) as i64 - padding as i64;
                            let is_inside = (0..height as i64).contains(&in_y)
                                && (0..width as i64).contains(&in_x);
                            if is_inside {
                                sums[out][y][x] += weight(&conv.weights, row, out)
                                    * image[channel][in_y as usize][in_x as usize];
                            }
                        }
                    }
                }
            }
        }
    }
    sums
}

/// Counts, channel by channel, the thresholds that are reached.
fn activate(sums: Grids, thresholds: Option<&Thresholds>) -> Grids {
    let Some(thresholds) = thresholds else { return sums };
    let count = |channel: usize, sum: i64| {
        let first = channel * thresholds.levels;
        let reached = (0..thresholds.levels)
            .filter(|level| i64::from(thresholds.values[first + level]) <= sum);
        reached.count() as i64
    };
    let grid = |(channel, grid): (usize, Vec<Vec<i64>>)| {
        let row = |row: Vec<i64>| row.into_iter().map(|sum| count(channel, sum)).collect();
        grid.into_iter().map(row).collect()
    };
    sums.into_iter().enumerate().map(grid).collect()
}

fn pool(image: &Grids, size: usize) -> Grids {
    let largest = |grid: &Vec<Vec<i64>>, y: usize, x: usize| {
        let window =
            grid[y * size..(y + 1) * size].iter().flat_map(|row| &row[x * size..(x + 1) * size]);
        *window.max().expect("a pool has a size")
    };
    let grid = |grid: &Vec<Vec<i64>>| {
        let (height, width) = (grid.len() / size, grid[0].len() / size);
        (0..height).map(|y| (0..width).map(|x| largest(grid, y, x)).collect()).collect()
    };
    image.iter().map(grid).collect()
}

fn multiply(linear: &Linear, image: &Grids) -> Grids {
    let sum = |out| {
        (0..image.len()).map(|input| weight(&linear.weights, input, out) * image[input][0][0]).sum()
    };
    (0..linear.weights.columns()).map(|out| vec![vec![sum(out)]]).collect()
}

fn direct(network: &Network, image: &[u8]) -> Vec<i32> {
    let &Input { height, width, .. } = network.input();
    let row = |row: &[u8]| row.iter().map(|&a| i64::from(a)).collect();
    let grid = |grid: &[u8]| grid.chunks(width).map(row).collect();
    let mut grids: Grids = image.chunks(height * width).map(grid).collect();
    for layer in network.layers() {
        grids = match layer {
            Layer::Conv(conv) => activate(convolve(conv, &grids), conv.thresholds.as_ref()),
            Layer::Linear(linear) => activate(multiply(linear, &grids), linear.thresholds.as_ref()),
            Layer::MaxPool { size } => pool(&grids, *size),
            Layer::Flatten => {
                grids.into_iter().flatten().flatten().map(|value| vec![vec![value]]).collect()
            }
        };
    }
    grids.into_iter().flatten().flatten().map(|value| value as i32).collect()
}

/// Multiplies by the function that defines the product, and nothing else.
struct Accumulate<'a>(&'a Network);

impl Multiply for Accumulate<'_> {
    fn multiply(&mut self, matrix: usize, _position: usize, activations: &[u8], sums: &mut [i32]) {
        let weights = self.0.matrices()[matrix].weights;
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
        for layer in 0..network.layers().len() {
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
    let conv = Conv {
        name: "conv".into(),
        kernel: 3,
        stride: 1,
        padding: 2,
        weights: BitMatrix::zeros(9, 1).into(),
        thresholds: None,
    };
    let check = |at, expected: [u8; 9]| {
        let mut gathered = vec![77];
        let shape = Shape { channels: 1, height: 1, width: 2 };
        arithmetic::window(&conv, shape, &[1, 2], at, &mut gathered);
        assert_eq!(gathered, expected, "at {at:?}");
    };
    check((0, 0), [0, 0, 0, 0, 0, 0, 0, 0, 1]);
    check((1, 1), [0, 0, 0, 0, 1, 2, 0, 0, 0]);
    check((2, 3), [2, 0, 0, 0, 0, 0, 0, 0, 0]);
}
