//! `strip-dead`: takes rows that are never on out of the cells.
//!
//! A row whose largest level is 0 at every position, by intervals ([`largest_levels`]), is dead: it is
//! declared so and takes no cells. What is dead only in practice, such as the border of images, is not
//! dead for every input and stays. One row of a matrix always stays.
//!
//! Dead rows come from padding that a kernel never leaves, as where 5x5 kernels run over a signal of
//! height 1 (four rows of five), and from channels whose thresholds are out of reach. The recorded
//! networks have none.
//!
//! Cost: two products of every matrix with a vector, at every output position.

use hafnia_ir::{Mapping, Matrix, Stage, Tile};
use hafnia_model::largest_levels;
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
        for (matrix, largest) in mapping.matrices.iter_mut().zip(largest_levels(context.network)) {
            strip(matrix, &largest);
        }
        for tile in &mut mapping.tiles {
            *tile = without_dead(tile, &mapping.matrices[tile.matrix.index()]);
        }
        let statistics = Statistics::default().changed("dead rows", dead, count(mapping));
        Ok(before.changed(StaticCost::of(mapping, context), statistics))
    }
}

/// Declares rows dead whose largest level is 0; if all are, one that a tile holds stays.
fn strip(of: &mut Matrix, largest: &[u8]) {
    let is_held = |row: &u32| of.dead.binary_search(row).is_err();
    let stays = match largest.iter().all(|largest| *largest == 0) {
        true => (0..of.rows as u32).find(is_held),
        false => None,
    };
    let is_stripped = |row: &u32| largest[*row as usize] == 0 && stays != Some(*row);
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
