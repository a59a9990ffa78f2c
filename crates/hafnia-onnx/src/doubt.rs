//! Sums near to thresholds, which the roundings of an executor may lead to the other side.

use std::collections::BTreeSet;

use hafnia_model::arithmetic::{activate_all, max_pool, sum_pool, window};
use hafnia_model::{Layer, Network, Window};

/// By layer and channel, sums in ascending order and the step to the other side of a threshold.
type Doubts = [Vec<Vec<(i32, i32)>>];

/// A sum, by its layer and place (channel, y, x) there.
pub(crate) type Place = (usize, usize);

/// What a network gives for an image.
pub(crate) struct Given {
    /// Its outputs.
    pub(crate) outputs: Vec<i32>,
    /// What they are before thresholds, if the last layer has some.
    pub(crate) sums: Vec<i32>,
    /// The places of sums near to a threshold.
    places: Vec<Place>,
    /// Its input and what its layers give.
    values: Vec<Vec<i32>>,
}

/// The input of a network and what its layers give, for an image of levels.
pub(crate) fn values(network: &Network, levels: &[u8]) -> Vec<Vec<i32>> {
    let doubts = vec![Vec::new(); network.layers().len()];
    run(network, &doubts, levels, &BTreeSet::new()).values
}

/// What a network gives for an image of levels, the sums at `turned` places taken for those on the other
/// side of the threshold near to them.
fn run(network: &Network, doubts: &Doubts, levels: &[u8], turned: &BTreeSet<Place>) -> Given {
    let mut places = Vec::new();
    let mut last = Vec::new();
    let lowest = network.lowest_of(0);
    let mut values: Vec<Vec<i32>> =
        vec![levels.iter().map(|&level| lowest + i32::from(level)).collect()];
    for (index, layer) in network.layers().iter().enumerate() {
        let from = network.from(index);
        let (value, shape) = (&values[from[0]], network.shape_before(index));
        let mut sums = match layer {
            Layer::Conv(conv) => product(network, index, value, &conv.window, conv.groups),
            Layer::Linear(_) => product(network, index, value, &Window::square(1, 1, 0), 1),
            Layer::MaxPool(window) => max_pool(value, shape, window, network.range_of(from[0]).0),
            Layer::SumPool(window) => sum_pool(value, shape, window),
            Layer::Add(factors) => {
                let terms = |at: usize| {
                    from.iter()
                        .zip(factors)
                        .map(|(&value, factor)| factor * values[value][at])
                        .sum()
                };
                (0..value.len()).map(terms).collect()
            }
            Layer::Concat => from.iter().flat_map(|&value| values[value].clone()).collect(),
            Layer::Flatten | Layer::Activate(_) => value.clone(),
        };
        let after = network.shape_after(index);
        for (at, sum) in sums.iter_mut().enumerate() {
            let Some(near) = doubts[index].get(at / (after.height * after.width)) else { continue };
            if let Ok(found) = near.binary_search_by_key(sum, |doubt| doubt.0) {
                places.push((index, at));
                if turned.contains(&(index, at)) {
                    *sum += near[found].1;
                }
            }
        }
        values.push(match layer.thresholds() {
            Some(thresholds) => activate_all(&sums, thresholds),
            None => sums.clone(),
        });
        last = sums;
    }
    let outputs = values.last().cloned().unwrap_or_default();
    Given { outputs, sums: last, places, values }
}

/// The sums of a layer that multiplies, (channel, y, x).
fn product(
    network: &Network,
    layer: usize,
    value: &[i32],
    seen_by: &Window,
    groups: usize,
) -> Vec<i32> {
    let (shape, after) = (network.shape_before(layer), network.shape_after(layer));
    let weights = network.layers()[layer].weights().expect("a layer that multiplies has weights");
    let positions = after.height * after.width;
    let (inputs, outputs) = (shape.channels / groups, after.channels / groups);
    let mut sums = vec![0; after.len()];
    let mut seen = Vec::new();
    for group in 0..groups {
        for position in 0..positions {
            let at = (position / after.width, position % after.width);
            window(seen_by, shape, group * inputs..(group + 1) * inputs, value, at, 0, &mut seen);
            for (row, &a) in seen.iter().enumerate().filter(|(_, a)| **a != 0) {
                let weights = &weights.row(row)[group * outputs..(group + 1) * outputs];
                for (column, &weight) in weights.iter().enumerate() {
                    sums[(group * outputs + column) * positions + position] +=
                        i32::from(weight) * a;
                }
            }
        }
    }
    sums
}

/// The most runs of a network in search of what an executor may have rounded.
const MOST_RUNS: usize = 1000;

/// Whether a set of doubtful sums of an image, taken for those on the other side, brings what the
/// network gives to a distance of 0: one after the other, each that brings it nearer.
pub(crate) fn is_explained(
    network: &Network,
    doubts: &Doubts,
    levels: &[u8],
    distance: impl Fn(&Given) -> f64,
) -> bool {
    let mut turned = BTreeSet::new();
    let given = run(network, doubts, levels, &turned);
    let (mut best, mut open, mut runs) = (distance(&given), given.places, 1);
    while best > 0.0 {
        let before = best;
        for place in std::mem::take(&mut open) {
            turned.insert(place);
            let given = run(network, doubts, levels, &turned);
            let found = distance(&given);
            if found < best {
                best = found;
                open = given.places;
            } else {
                turned.remove(&place);
            }
            runs += 1;
            if best == 0.0 || runs > MOST_RUNS {
                return best == 0.0;
            }
        }
        // What was not turned may bring it nearer now.
        open.retain(|place| !turned.contains(place));
        if best == before {
            return false;
        }
    }
    true
}
