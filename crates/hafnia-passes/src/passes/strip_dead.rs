//! `strip-dead`: takes rows that are never on out of the cells.
//!
//! From an input between 0 and its maximum the least and the largest that every activation can be
//! follow layer by layer, through sums, thresholds, pools and padding. A row whose largest activation
//! is 0 at every position is dead: it is declared so and takes no cells. The proof works the intervals
//! out anew. What is dead only in practice, such as the border of images, is not dead for every input
//! and stays. One row of a matrix always stays.
//!
//! Dead rows come from padding that a kernel never leaves, as where 5x5 kernels run over a signal of
//! height 1 (four rows of five), and from channels whose thresholds are out of reach. The recorded
//! networks have none.
//!
//! Cost: two products of every matrix with a vector, at every output position.

use hafnia_ir::{Mapping, Matrix, Stage, Tile};
use hafnia_model::arithmetic::{activate_all, max_pool, window};
use hafnia_model::{Layer, Multiply, Network, ReferenceProduct, Thresholds, Weights};
use serde::{Deserialize, Serialize};

use crate::analysis::StaticCost;
use crate::error::PassError;
use crate::pass::{Context, Pass, PassInfo};
use crate::statistics::Statistics;

/// The pass `strip-dead`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StripDead {}

impl Pass for StripDead {
    const INFO: PassInfo = PassInfo {
        name: "strip-dead",
        summary: "Takes rows that are never on out of the cells.",
        takes: &[Stage::Logical],
        leaves: None,
        options: &[],
    };

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        let before = StaticCost::of(mapping, context);
        let count = |mapping: &Mapping| {
            mapping.matrices.iter().map(|of| of.dead.len()).sum::<usize>() as f64
        };
        let dead = count(mapping);
        for (matrix, is_dead) in mapping.matrices.iter_mut().zip(dead_rows(context.network)) {
            strip(matrix, &is_dead);
        }
        for tile in &mut mapping.tiles {
            *tile = without_dead(tile, &mapping.matrices[tile.matrix.index()]);
        }
        let statistics = Statistics::default().changed("dead rows", dead, count(mapping));
        Ok(before.changed(StaticCost::of(mapping, context), statistics))
    }
}

/// Declares rows dead; if all are, one that a tile holds stays.
fn strip(of: &mut Matrix, is_dead: &[bool]) {
    let is_held = |row: &u32| of.dead.binary_search(row).is_err();
    let stays = match is_dead.iter().all(|dead| *dead) {
        true => (0..of.rows as u32).find(is_held),
        false => None,
    };
    let is_stripped = |row: &u32| is_dead[*row as usize] && stays != Some(*row);
    of.dead = (0..of.rows as u32).filter(is_stripped).collect();
}

/// The tile without the rows that its matrix declares dead.
fn without_dead(tile: &Tile, of: &Matrix) -> Tile {
    let is_alive = |&entry: &usize| of.dead.binary_search(&tile.rows.logical()[entry]).is_err();
    let entries: Vec<usize> = (0..tile.rows.len()).filter(is_alive).collect();
    match entries.len() == tile.rows.len() {
        true => tile.clone(),
        false => tile.with_entries(&entries),
    }
}

/// Per matrix and row, whether its activation is 0 whatever the input.
fn dead_rows(network: &Network) -> Vec<Vec<bool>> {
    let largest = network.input().largest();
    let pixels = network.shape_before(0).len();
    let mut bounds = Bounds { lo: vec![0; pixels], hi: vec![largest; pixels] };
    let mut plain = ReferenceProduct::new(network);
    let mut dead: Vec<Vec<bool>> = Vec::new();
    for (index, layer) in network.layers().iter().enumerate() {
        let (shape, out) = (network.shape_before(index), network.shape_before(index + 1));
        let matrix = dead.len();
        match layer {
            Layer::Conv(conv) => {
                let thresholds = conv.thresholds.as_ref().expect("a convolution is never last");
                let mut is_dead = vec![true; conv.weights.rows()];
                let mut next = Bounds { lo: vec![0; out.len()], hi: vec![0; out.len()] };
                let mut at = Bounds::default();
                let positions = out.height * out.width;
                for position in 0..positions {
                    let place = (position / out.width, position % out.width);
                    window(conv, shape, &bounds.lo, place, &mut at.lo);
                    window(conv, shape, &bounds.hi, place, &mut at.hi);
                    is_dead.iter_mut().zip(&at.hi).for_each(|(dead, hi)| *dead &= *hi == 0);
                    let after = at.after(&mut plain, matrix, &conv.weights, thresholds);
                    for channel in 0..out.channels {
                        let to = channel * positions + position;
                        (next.lo[to], next.hi[to]) = (after.lo[channel], after.hi[channel]);
                    }
                }
                dead.push(is_dead);
                bounds = next;
            }
            Layer::Linear(linear) => {
                dead.push(bounds.hi.iter().map(|hi| *hi == 0).collect());
                if let Some(thresholds) = &linear.thresholds {
                    bounds = bounds.after(&mut plain, matrix, &linear.weights, thresholds);
                }
            }
            Layer::MaxPool { size } => {
                let pool = |activations: &[u8]| max_pool(activations, shape, *size);
                bounds = Bounds { lo: pool(&bounds.lo), hi: pool(&bounds.hi) };
            }
            Layer::Flatten => {}
        }
    }
    dead
}

/// The least and the largest that activations can be.
#[derive(Debug, Default)]
struct Bounds {
    lo: Vec<u8>,
    hi: Vec<u8>,
}

impl Bounds {
    /// The bounds of the activations that a matrix makes of these.
    ///
    /// With d = hi − lo, Σ w·lo is the sum at the lower ends, and going to an upper end adds w·d where
    /// w is positive and takes as much where it is negative: (Σ |w|·d + Σ w·d) / 2 in all, or
    /// −(Σ |w|·d − Σ w·d) / 2.
    fn after(
        &self,
        plain: &mut ReferenceProduct,
        matrix: usize,
        weights: &Weights,
        thresholds: &Thresholds,
    ) -> Self {
        let columns = thresholds.values.len() / thresholds.levels;
        let d: Vec<u8> = self.hi.iter().zip(&self.lo).map(|(hi, lo)| hi - lo).collect();
        let (mut base, mut products) = (vec![0; columns], vec![0; columns]);
        plain.multiply(matrix, 0, &self.lo, &mut base);
        plain.multiply(matrix, 0, &d, &mut products);
        let width: i32 = d.iter().copied().map(i32::from).sum();
        let magnitude = |row: usize, column| weights.value(row, column).abs() * i32::from(d[row]);
        let widths: Vec<i32> = match weights.as_binary() {
            Some(_) => vec![width; columns],
            None => (0..columns)
                .map(|column| (0..d.len()).map(|row| magnitude(row, column)).sum())
                .collect(),
        };
        let end = |sign: i32| -> Vec<u8> {
            let sums = base.iter().zip(&products).zip(&widths);
            let ends = sums.map(|((base, p), width)| base + (p + sign * width) / 2);
            activate_all(&ends.collect::<Vec<i32>>(), thresholds)
        };
        Self { lo: end(-1), hi: end(1) }
    }
}

#[cfg(test)]
mod tests {
    use hafnia_model::random::{Limits, network};
    use hafnia_rng::Seed;
    use proptest::prelude::*;

    use super::*;

    /// Notes the activations that are not 0.
    struct Seen {
        plain: ReferenceProduct,
        on: Vec<Vec<bool>>,
    }

    impl Multiply for Seen {
        fn multiply(
            &mut self,
            matrix: usize,
            position: usize,
            activations: &[u8],
            sums: &mut [i32],
        ) {
            for (on, &activation) in self.on[matrix].iter_mut().zip(activations) {
                *on |= activation > 0;
            }
            self.plain.multiply(matrix, position, activations, sums);
        }
    }

    proptest! {
        #[test]
        fn dead_rows_are_never_on(seed: u64) {
            let limits = Limits { weight_bits: 8, ..Limits::default() };
            let network = network(Seed(seed), limits);
            let dead = dead_rows(&network);
            let on = dead.iter().map(|rows| vec![false; rows.len()]).collect();
            let mut seen = Seen { plain: ReferenceProduct::new(&network), on };
            for image in 0..5 {
                let image = hafnia_model::random::image(Seed(image), network.input());
                hafnia_model::run(&network, &image, &mut seen);
            }
            for (dead, on) in dead.iter().zip(&seen.on) {
                prop_assert!(dead.iter().zip(on).all(|(dead, on)| !(*dead && *on)));
            }
        }
    }
}
