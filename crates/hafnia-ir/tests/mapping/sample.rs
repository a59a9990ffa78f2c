//! A small mapping with every feature in it, and random ones.

use hafnia_ir::{Geometry, Mapping, Stage, random};
use hafnia_model::random::Limits;
use hafnia_model::{BitMatrix, Input, Layer, Linear, Network, Thresholds, Weights};
use hafnia_rng::Seed;
use proptest::prelude::*;

/// A matrix of these rows.
fn bits(rows: &[&str]) -> BitMatrix {
    let is_one = |row: usize, column: usize| rows[row].as_bytes()[column] == b'1';
    BitMatrix::from_fn(rows.len(), rows[0].len(), is_one)
}

/// Two matrices, 6x4 and 4x3; of the first, rows 0 and 2 are equal and row 3 is their complement.
pub(crate) fn network() -> Network {
    let hidden = Linear {
        name: "hidden".into(),
        weights: bits(&["1011", "0110", "1011", "0100", "1111", "0001"]).into(),
        thresholds: Some(Thresholds::shift(4, 2, 1)),
    };
    let out = Linear {
        name: "out".into(),
        weights: bits(&["101", "010", "110", "001"]).into(),
        thresholds: None,
    };
    let input = Input::upper_bits(6, 1, 1, 2);
    let layers = vec![Layer::Flatten, Layer::Linear(hidden), Layer::Linear(out)];
    Network::new(input, layers).unwrap()
}

/// [`network`] with 2-bit weights in its second layer.
pub(crate) fn wide_network() -> Network {
    let mut layers = network().layers().to_vec();
    let Some(Layer::Linear(out)) = layers.last_mut() else { panic!("it ends in a linear layer") };
    out.weights = Weights::from_fn(4, 3, |row, column| [-3, -1, 1, 3][(row + column) % 4]);
    Network::new(network().input().clone(), layers).unwrap()
}

/// A matrix of 3x2 weights of 4 bits; output 1 is +15 throughout.
pub(crate) fn network_of_levels() -> Network {
    let weights = Weights::from_fn(3, 2, |row, column| [[-15, 15], [3, 15], [9, 15]][row][column]);
    let layers = vec![Layer::Linear(Linear { name: "out".into(), weights, thresholds: None })];
    let input = Input::upper_bits(3, 1, 1, 2);
    Network::new(input, layers).unwrap()
}

/// A placed mapping of [`network_of_levels`] on cells of 2 bits.
pub(crate) fn text_of_levels() -> String {
    let network = network_of_levels().digest();
    format!(
        "\
hafnia-mapping 3
network {network}
macro levels 4x4 cells 2
stage placed
matrix m0 out 3x2 weights 4
tile t0 m0 replica 0 size 3x4 at macro 0 row 0 column 0
  columns 2 3 ~0 ~1
  rows 0..3
  bits
    c
    a
    f
tile t1 m0 replica 0 size 3x4 at macro 0 row 0 column 2
  columns 4..8
  rows 0..3
  bits
    f
    f
    f
"
    )
}

/// The mapping of [`text_of_levels`].
pub(crate) fn levels() -> Mapping {
    text_of_levels().parse().unwrap()
}

/// A placed mapping of [`network`].
pub(crate) fn text() -> String {
    let network = network().digest();
    format!(
        "\
hafnia-mapping 3
network {network}
macro tiny 4x8
stage placed
matrix m0 hidden 6x4
matrix m1 out 4x3
tile t0 m0 replica 0 size 2x4 at macro 0 row 0 column 0
  columns 0..4
  rows 0:0 1:1 2:0 -3:0
  bits
    d
    6
tile t1 m0 replica 0 size 2x4 at macro 0 row 2 column 0
  columns 0 ~1 2 3
  rows 4 5
  bits
    d
    a
tile t2 m1 replica 0 size 4x3 at macro 0 row 0 column 4
  columns 2 ~0 1
  rows 2 0 3 1
  bits
    4
    1
    3
    6
tile t3 m1 replica 1 size 4x3 at macro 1 row 0 column 0
  columns 0..3
  rows 0..4
  bits
    5
    2
    3
    4
"
    )
}

/// The mapping of [`text`].
pub(crate) fn mapping() -> Mapping {
    text().parse().unwrap()
}

/// Two matrices, 6x4 and 4x3: column 1 of the first is -1 throughout, so that its activation, row 1
/// of the second, is always 0.
pub(crate) fn network_to_strip() -> Network {
    let mut layers = network().layers().to_vec();
    let [_, Layer::Linear(hidden), Layer::Linear(out)] = &mut layers[..] else {
        panic!("a flattened input and two linear layers");
    };
    hidden.weights = bits(&["1011", "0010", "1011", "0001", "1010", "0001"]).into();
    out.weights = bits(&["101", "010", "111", "001"]).into();
    Network::new(network().input().clone(), layers).unwrap()
}

/// A placed mapping of [`network_to_strip`]: its first tile adds activations first.
pub(crate) fn stripped_text() -> String {
    let network = network_to_strip().digest();
    format!(
        "\
hafnia-mapping 3
network {network}
macro tiny 4x8
stage placed
matrix m0 hidden 6x4
matrix m1 out 4x3
  dead 1
tile t0 m0 replica 0 size 3x3 pre-add at macro 0 row 0 column 0
  columns 0 2 3
  rows 0:0 1:1 2:0 3:2 -4:2 5:2
  bits
    7
    2
    4
tile t1 m1 replica 0 size 3x3 at macro 0 row 0 column 3
  columns 0..3
  rows 0 2 3
  bits
    5
    7
    4
tile t2 m0 replica 0 size 1x1 at macro 0 row 3 column 0
  columns 1
  rows 0:0 1:0 2:0 3:0 4:0 5:0
  bits
    0
"
    )
}

/// The mapping of [`stripped_text`].
pub(crate) fn stripped() -> Mapping {
    stripped_text().parse().unwrap()
}

/// A random network and mapping of any stage.
pub(crate) fn random(seed: u64) -> (Network, Mapping) {
    let seed = Seed(seed).site("ir/tests");
    let network = match seed.index(3).0 % 4 {
        0 => hafnia_model::random::graph(seed),
        1 => hafnia_model::random::network(seed, Limits { weight_bits: 8, ..Limits::default() }),
        _ => hafnia_model::random::network(seed, Limits::default()),
    };
    let rows = 1 + (seed.index(0).0 % 30) as usize;
    let columns = 1 + (seed.index(1).0 % 9) as usize;
    let cell_bits = random::cell_bits(seed);
    let geometry = Geometry { cell_bits, ..Geometry::new("small", rows, columns) };
    let stage = Stage::ALL[(seed.index(2).0 % 3) as usize];
    let mapping = random::mapping(seed, &network, &geometry, stage);
    (network, mapping)
}

/// [`random`] as a strategy.
pub(crate) fn any_mapping() -> impl Strategy<Value = (Network, Mapping)> {
    any::<u64>().prop_map(random)
}
