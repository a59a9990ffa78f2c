//! [`largest_levels`]: what the inputs of a matrix can be, whatever the image.

use crate::arithmetic::{activate_all, max_pool, sum_pool, window};
use crate::input::Shape;
use crate::layer::Layer;
use crate::network::Network;
use crate::weights::Weights;

/// The least and the largest integer at every place of a value, (channel, y, x).
struct Bounds {
    lo: Vec<i32>,
    hi: Vec<i32>,
}

impl Bounds {
    /// What a function that never falls makes of them.
    fn map(&self, of: impl Fn(&[i32]) -> Vec<i32>) -> Self {
        Self { lo: of(&self.lo), hi: of(&self.hi) }
    }
}

/// The largest level that an image can give to each row of each matrix, by intervals: 0 for rows that
/// are never on.
///
/// Cost: twice that of an image.
pub fn largest_levels(network: &Network) -> Vec<Vec<u8>> {
    let pixels = network.shape_of(0).len();
    let (least, most) = network.range_of(0);
    let mut values = vec![Bounds { lo: vec![least; pixels], hi: vec![most; pixels] }];
    let mut rows = Vec::new();
    for (index, layer) in network.layers().iter().enumerate() {
        let from = network.from(index);
        let (value, shape) = (&values[from[0]], network.shape_before(index));
        let next = match layer {
            Layer::Conv(_) | Layer::Linear(_) => {
                let (sums, of_layer) = product(network, index, value);
                rows.extend(of_layer);
                match layer.thresholds() {
                    Some(thresholds) => sums.map(|sums| activate_all(sums, thresholds)),
                    None => sums,
                }
            }
            Layer::MaxPool(window) => {
                let lowest = network.range_of(from[0]).0;
                value.map(|values| max_pool(values, shape, window, lowest))
            }
            Layer::SumPool(window) => value.map(|values| sum_pool(values, shape, window)),
            Layer::Add(factors) => {
                let places = value.lo.len();
                let mut sum = Bounds { lo: vec![0; places], hi: vec![0; places] };
                for (&value, &factor) in from.iter().zip(factors) {
                    for place in 0..places {
                        let ends = [values[value].lo[place], values[value].hi[place]];
                        let ends = ends.map(|end| factor * end);
                        sum.lo[place] += ends[0].min(ends[1]);
                        sum.hi[place] += ends[0].max(ends[1]);
                    }
                }
                sum
            }
            Layer::Concat => Bounds {
                lo: from.iter().flat_map(|&value| values[value].lo.iter().copied()).collect(),
                hi: from.iter().flat_map(|&value| values[value].hi.iter().copied()).collect(),
            },
            Layer::Flatten => value.map(<[i32]>::to_vec),
            Layer::Activate(activate) => {
                value.map(|values| activate_all(values, &activate.thresholds))
            }
        };
        values.push(next);
    }
    rows
}

/// The bounds of the sums of a layer that multiplies, and the largest level of each row of each of
/// its matrices.
fn product(network: &Network, layer: usize, value: &Bounds) -> (Bounds, Vec<Vec<u8>>) {
    let lowest = network.lowest_of(network.from(layer)[0]);
    let level = |value: i32| (value - lowest) as u8;
    let of = match &network.layers()[layer] {
        Layer::Conv(conv) => conv,
        step => {
            let weights = step.weights().expect("it multiplies");
            let rows = value.hi.iter().map(|&hi| level(hi)).collect();
            let (lo, hi) = sums(weights, 0..weights.columns(), &value.lo, &value.hi);
            return (Bounds { lo, hi }, vec![rows]);
        }
    };
    let (shape, out) = (network.shape_before(layer), network.shape_after(layer));
    let Shape { height, width, .. } = out;
    let (inputs, outputs) = (shape.channels / of.groups, out.channels / of.groups);
    let mut bounds = Bounds { lo: vec![0; out.len()], hi: vec![0; out.len()] };
    let mut largest = vec![vec![0u8; of.weights.rows()]; of.groups];
    let (mut lo, mut hi) = (Vec::new(), Vec::new());
    for (group, largest) in largest.iter_mut().enumerate() {
        let channels = || group * inputs..(group + 1) * inputs;
        let columns = group * outputs..(group + 1) * outputs;
        for position in 0..height * width {
            let at = (position / width, position % width);
            window(&of.window, shape, channels(), &value.lo, at, 0, &mut lo);
            window(&of.window, shape, channels(), &value.hi, at, 0, &mut hi);
            for (largest, &hi) in largest.iter_mut().zip(&hi) {
                *largest = level(hi).max(*largest);
            }
            let (least, most) = sums(&of.weights, columns.clone(), &lo, &hi);
            for (index, channel) in columns.clone().enumerate() {
                bounds.lo[channel * height * width + position] = least[index];
                bounds.hi[channel * height * width + position] = most[index];
            }
        }
    }
    (bounds, largest)
}

/// The least and the largest sum of some columns, for inputs from `lo` to `hi`.
fn sums(
    weights: &Weights,
    columns: std::ops::Range<usize>,
    lo: &[i32],
    hi: &[i32],
) -> (Vec<i32>, Vec<i32>) {
    let (mut least, mut most) = (vec![0; columns.len()], vec![0; columns.len()]);
    for (row, (&lo, &hi)) in lo.iter().zip(hi).enumerate() {
        let weights = &weights.row(row)[columns.clone()];
        for ((least, most), &weight) in least.iter_mut().zip(&mut most).zip(weights) {
            let weight = i32::from(weight);
            let (above, below) = (weight.max(0), weight.min(0));
            *least += above * lo + below * hi;
            *most += above * hi + below * lo;
        }
    }
    (least, most)
}

#[cfg(test)]
mod tests {
    use hafnia_rng::Seed;
    use proptest::prelude::*;

    use super::*;
    use crate::interpreter::{Multiply, ReferenceProduct, run};
    use crate::random::{self, Limits};

    /// Holds every level against its bound.
    struct Held {
        plain: ReferenceProduct,
        largest: Vec<Vec<u8>>,
    }

    impl Multiply for Held {
        fn multiply(&mut self, matrix: usize, position: usize, levels: &[u8], sums: &mut [i32]) {
            for (row, (level, largest)) in levels.iter().zip(&self.largest[matrix]).enumerate() {
                assert!(level <= largest, "row {row} of matrix {matrix}: {level}, not {largest}");
            }
            self.plain.multiply(matrix, position, levels, sums);
        }
    }

    proptest! {
        #[test]
        fn no_level_is_larger(seed: u64, is_graph: bool) {
            let network = match is_graph {
                true => random::graph(Seed(seed)),
                false => random::network(Seed(seed), Limits { weight_bits: 8, ..Limits::default() }),
            };
            let (plain, largest) = (ReferenceProduct::new(&network), largest_levels(&network));
            let mut held = Held { plain, largest };
            for image in 0..5 {
                run(&network, &random::image(Seed(image), network.input()), &mut held);
            }
        }
    }
}
