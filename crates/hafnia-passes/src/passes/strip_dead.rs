//! `strip-dead`: takes rows that are never on, and columns that are constant, out of the cells.
//!
//! 1. Intervals: from an input between 0 and its maximum the least and the largest that every
//!    activation can be follow layer by layer, through sums, thresholds, pools and padding. A row
//!    whose largest activation is 0 at every position is dead: it is declared so and takes no cells.
//! 2. A column whose weights are all +1, or all −1, in the rows that are left returns the sum of all
//!    activations, or minus that. It is declared digital and takes no cells.
//!
//! Both are exact, and the proof works the intervals out anew. Constant outputs of other columns
//! (those whose sums lie between two thresholds whatever the input) are left as they are: the mapping
//! computes sums, not activations. What is dead only in practice, such as the border of images, is not
//! dead for every input and stays too. One row and one column of a matrix always stay.
//!
//! What it costs: for digital columns, a sum of all activations of a matrix at every output position.
//!
//! The recorded networks `frontier`, `two-macros` and `final12` have neither; pruned channels and
//! thresholds out of reach would make some.
//!
//! Cost: two products of every matrix with a vector, at every output position.

use hafnia_ir::{DigitalColumn, Mapping, Matrix, Stage, Tile};
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
        summary: "Takes rows that are never on, and columns that are constant, out of the cells.",
        takes: &[Stage::Logical],
        leaves: None,
        options: &[],
    };

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        let before = StaticCost::of(mapping, context);
        let counts = |mapping: &Mapping| {
            let count = |of: fn(&Matrix) -> usize| mapping.matrices.iter().map(of).sum::<usize>();
            [count(|of| of.dead.len()) as f64, count(|of| of.digital.len()) as f64]
        };
        let [dead, digital] = counts(mapping);
        let layers = context.network.matrices();
        let cell = mapping.geometry.cell_bits;
        for (index, is_dead) in dead_rows(context.network).iter().enumerate() {
            let slices = layers[index].weights.slices();
            let bit = |row: u32, column: u32| slices.get(row as usize, column as usize);
            strip(&mut mapping.matrices[index], is_dead, bit, cell);
        }
        for tile in &mut mapping.tiles {
            *tile = without(tile, &mapping.matrices[tile.matrix.index()]);
        }
        let [dead_after, digital_after] = counts(mapping);
        let statistics = Statistics::default().changed("dead rows", dead, dead_after).changed(
            "digital columns",
            digital,
            digital_after,
        );
        Ok(before.changed(StaticCost::of(mapping, context), statistics))
    }
}

/// Declares rows dead and columns digital; the columns that share cells of `cell` bits only together.
fn strip(of: &mut Matrix, is_dead: &[bool], bit: impl Fn(u32, u32) -> bool, cell: u8) {
    let (rows, columns) = (0..of.rows as u32, 0..of.columns as u32);
    // What tiles hold now, and of that the first, stays if nothing else would.
    let stays = rows.clone().find(|row| !of.dead.contains(row));
    let is_lost = is_dead.iter().all(|dead| *dead);
    let (dead, alive): (Vec<u32>, Vec<u32>) =
        rows.partition(|&row| is_dead[row as usize] && !(is_lost && stays == Some(row)));
    of.dead = dead;

    let is_digital = |column: u32| of.digital.iter().any(|digital| digital.logical == column);
    let stays = columns.clone().find(|&column| !is_digital(column));
    let constant = |logical: u32| {
        let first = bit(*alive.first()?, logical);
        let is_constant = alive.iter().all(|&row| bit(row, logical) == first);
        is_constant.then_some(DigitalColumn { logical, negative: !first })
    };
    let cell_of = |column: u32| column / u32::from(cell);
    let constant: Vec<DigitalColumn> = columns.filter_map(constant).collect();
    let cells = constant.chunk_by(|a, b| cell_of(a.logical) == cell_of(b.logical));
    let mut digital = cells.filter(|of| of.len() == usize::from(cell)).collect::<Vec<_>>().concat();
    if digital.len() == of.columns {
        digital.retain(|column| stays.map(cell_of) != Some(cell_of(column.logical)));
    }
    of.digital = digital;
}

/// The tile without what its matrix declares to take no cells.
fn without(tile: &Tile, of: &Matrix) -> Tile {
    let is_alive = |&entry: &usize| of.dead.binary_search(&tile.rows.logical()[entry]).is_err();
    let is_held = |&index: &usize| {
        let logical = tile.columns[index].logical;
        of.digital.binary_search_by_key(&logical, |column| column.logical).is_err()
    };
    let entries: Vec<usize> = (0..tile.rows.len()).filter(is_alive).collect();
    let columns: Vec<usize> = (0..tile.columns.len()).filter(is_held).collect();
    if (entries.len(), columns.len()) == (tile.rows.len(), tile.columns.len()) {
        return tile.clone();
    }
    tile.with_entries(&entries).with_columns(&columns)
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
