//! `duplicate`: replicates the busiest matrices on spare room, to shorten the latency of an image.
//!
//! The output positions of a convolution go round its replicas, so that each computes its share.
//! The model of latency: matrices are computed one after the other; the tiles of a matrix on one
//! macro take turns, and macros work side by side. A matrix so takes as many cycles as its busiest
//! macro, the latency is the sum over matrices, and a replica helps only on another macro. Pipelining
//! of images, transfers between macros and digital work are left out.
//!
//! The busiest matrix gets one replica more: its tiles are placed, the busiest first, where there is
//! room on the macro that is least busy with the matrix, of equals the first, or on a new macro. That
//! is kept if the matrix is then done in fewer cycles, else no more is tried with it; and so on with
//! the next busiest. Tiles that have their place keep it, so that the pass comes after `pack`.
//! A matrix of one position, such as a linear layer, gains nothing and is never replicated.
//!
//! Cycles are those expected on images like the profile's or, without one, the most there can be.
//!
//! On the recorded network `frontier`, packed on five macros, room is left for four more replicas of
//! the first convolution, which on training images take the latency from 1910 to 1092 cycles; on eight
//! macros it comes down to 369.
//!
//! What it costs: cells, rename tables and, if `macros` allows them, macros. It changes neither
//! scans nor conversions, which are only spread.
//!
//! Cost: every replica looks at all tiles once; far less than placing them.

use std::collections::BTreeMap;

use hafnia_ir::{Mapping, MatrixId, Place, Stage, Tile};
use serde::{Deserialize, Serialize};

use crate::analysis::{
    Extent, FIT_RULES, FreeSpace, Rectangle, StaticCost, cycles_per_scan, scans,
};
use crate::error::PassError;
use crate::pass::{Context, Pass, PassInfo};
use crate::statistics::Statistics;

/// The pass `duplicate`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DuplicateMatrices {
    /// Macros in all; 0 is as many as are in use.
    pub macros: usize,
}

impl Pass for DuplicateMatrices {
    const INFO: PassInfo = PassInfo {
        name: "duplicate",
        summary: "Replicates the busiest matrices on spare room, to shorten the latency of an image.",
        takes: &[Stage::Placed],
        leaves: None,
        options: &[("macros", "macros in all; `0`: as many as are in use")],
    };

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        let used = mapping.macros();
        let most = if self.macros == 0 { used } else { self.macros };
        if most < used {
            let (option, what) = ("macros", "the macros in use".to_owned());
            return Err(PassError::TooSmall { option, value: most, least: used, what });
        }
        let before = StaticCost::of(mapping, context);
        let found: Vec<u32> = replicas(mapping);
        let mut floor = Floor::of(mapping, context, most);
        let latency: f64 = cycles(mapping, context, &floor.per_scan).iter().sum();
        let mut is_open = vec![true; mapping.matrices.len()];
        loop {
            let cycles_now = cycles(mapping, context, &floor.per_scan);
            let busiest = (0..is_open.len())
                .rev()
                .filter(|&matrix| is_open[matrix])
                .max_by(|&a, &b| cycles_now[a].total_cmp(&cycles_now[b]));
            let Some(matrix) = busiest else { break };
            let kept = (mapping.tiles.len(), floor.clone());
            let is_placed = floor.replicate(mapping, MatrixId(matrix as u32));
            let is_faster =
                || cycles(mapping, context, &floor.per_scan)[matrix] < cycles_now[matrix];
            if !is_placed || !is_faster() {
                mapping.tiles.truncate(kept.0);
                floor = kept.1;
                is_open[matrix] = false;
            }
        }
        let after: f64 = cycles(mapping, context, &floor.per_scan).iter().sum();
        let bound = if context.profile.is_some() { "" } else { " at most" };
        let mut statistics = Statistics::default().changed(
            format!("cycles from image to answer{bound}"),
            latency,
            after,
        );
        for ((matrix, found), now) in mapping.matrices.iter().zip(found).zip(replicas(mapping)) {
            if now != found {
                let name = format!("replicas of {}", matrix.name);
                statistics = statistics.changed(name, found.into(), now.into());
            }
        }
        statistics = before.changed(StaticCost::of(mapping, context), statistics);
        let cells = mapping.macros() * mapping.geometry.rows * mapping.geometry.columns;
        Ok(statistics
            .changed("macros", used as f64, mapping.macros() as f64)
            .found("cells in use, %", 100.0 * mapping.cells() as f64 / cells as f64))
    }
}

fn replicas(mapping: &Mapping) -> Vec<u32> {
    (0..mapping.matrices.len() as u32).map(|matrix| mapping.replicas(MatrixId(matrix))).collect()
}

/// Conversion cycles of every matrix for one image: those of its busiest macro.
fn cycles(mapping: &Mapping, context: &Context<'_>, per_scan: &[f64]) -> Vec<f64> {
    let mut busy: Vec<BTreeMap<u32, f64>> = vec![BTreeMap::new(); mapping.matrices.len()];
    for ((tile, scans), per_scan) in mapping.tiles.iter().zip(scans(mapping, context)).zip(per_scan)
    {
        let place = tile.place.expect("every tile of a placed mapping has its place");
        *busy[tile.matrix.index()].entry(place.macro_index).or_default() += scans as f64 * per_scan;
    }
    let most = |macros: &BTreeMap<u32, f64>| macros.values().copied().fold(0.0, f64::max);
    busy.iter().map(most).collect()
}

/// The macros, as far as they are taken.
#[derive(Clone)]
struct Floor {
    space: FreeSpace,
    /// Macros that there may be.
    most: usize,
    /// Cycles of one scan of every tile.
    per_scan: Vec<f64>,
}

impl Floor {
    fn of(mapping: &Mapping, context: &Context<'_>, most: usize) -> Self {
        let mut space = FreeSpace::new(Extent::whole(&mapping.geometry));
        for _ in 0..mapping.macros() {
            space.open();
        }
        for tile in &mapping.tiles {
            let place = tile.place.expect("every tile of a placed mapping has its place");
            let (row, column) = (place.row, place.column);
            let extent = Extent::of(tile, &mapping.geometry);
            space.take(place.macro_index as usize, Rectangle { row, column, extent });
        }
        Self { space, most, per_scan: cycles_per_scan(mapping, context) }
    }

    /// Adds a replica of a matrix, if its tiles find room; else tiles are left half added.
    fn replicate(&mut self, mapping: &mut Mapping, matrix: MatrixId) -> bool {
        let replica = mapping.replicas(matrix);
        let is_first = |&index: &usize| {
            let tile = &mapping.tiles[index];
            tile.matrix == matrix && tile.replica == 0
        };
        let mut tiles: Vec<usize> = (0..mapping.tiles.len()).filter(is_first).collect();
        tiles.sort_by(|&a, &b| self.per_scan[b].total_cmp(&self.per_scan[a]));
        // How busy each macro is with this matrix, and one more if there may be one.
        let mut busy = vec![0.0; self.space.macros()];
        for (tile, per_scan) in mapping.tiles.iter().zip(&self.per_scan) {
            if let (true, Some(place)) = (tile.matrix == matrix, tile.place) {
                busy[place.macro_index as usize] += per_scan;
            }
        }
        for index in tiles {
            if self.space.macros() < self.most && busy.len() == self.space.macros() {
                busy.push(0.0);
            }
            let mut macros: Vec<usize> = (0..busy.len()).collect();
            macros.sort_by(|&a, &b| busy[a].total_cmp(&busy[b]));
            let extent = Extent::of(&mapping.tiles[index], &mapping.geometry);
            let room = macros.into_iter().find_map(|index| {
                if index == self.space.macros() {
                    return Some(self.space.open());
                }
                Some((index, self.space.best_in(index, extent, FIT_RULES[0])?))
            });
            let Some((macro_index, room)) = room else { return false };
            self.space.take(macro_index, Rectangle { extent, ..room });
            busy[macro_index] += self.per_scan[index];
            let (row, column, macro_index) = (room.row, room.column, macro_index as u32);
            let place = Some(Place { macro_index, row, column });
            mapping.tiles.push(Tile { replica, place, ..mapping.tiles[index].clone() });
            self.per_scan.push(self.per_scan[index]);
        }
        true
    }
}
