//! `tile`: cuts every matrix into tiles that fit a macro.
//!
//! Columns are cut into chunks of the macro's `columns`. Rows are cut by *physical* rows: every
//! `rows` of the macro make a chunk, and all entries of a physical row go with it, in the order they
//! had. After `rename` a tile may so hold any number of logical rows. Row chunks of one output are
//! added digitally. Signs, polarities, replicas and modes are kept.
//!
//! Which rows share a tile:
//! - `natural`: those that follow each other in order of first use, the same in every column chunk.
//! - `alike`: in every column chunk on its own, rows that are equal over its columns follow each
//!   other, so that a later `rename` finds as many as it can: all but one for every boundary between
//!   two tiles that equal rows lie on both sides of. It is for matrices wider than a macro; over all
//!   columns of a matrix `rename` before `tile` finds the same. It costs wiring: column chunks then
//!   take the inputs in orders of their own.
//!
//! Chunks are filled one after the other and not evened out: what is left over at the end stays
//! small and finds room beside other tiles. `pack` may cut further.
//!
//! Cost: a copy of the bits; `alike` hashes them once more.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use hafnia_ir::{Mapping, Stage, Tile};
use serde::{Deserialize, Serialize};

use crate::blocks::Blocks;
use crate::work::Cost;
use crate::{Context, Pass, PassError, PassInfo, Statistics};

/// The pass `tile`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CutTiles {
    /// Which rows share a tile.
    pub rows: TileRows,
}

/// Which rows share a tile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TileRows {
    /// Those that follow each other.
    #[default]
    Natural,
    /// Those that are equal over the columns of the tile, as far as they fit.
    Alike,
}

impl Pass for CutTiles {
    const INFO: PassInfo = PassInfo {
        name: "tile",
        summary: "Cuts every matrix into tiles that fit a macro.",
        takes: &[Stage::Logical],
        leaves: Some(Stage::Tiled),
        options: &[(
            "rows",
            "which rows share a tile. `natural`: those that follow each other; `alike`: those that are equal over the columns of the tile, so that a later `rename` finds more",
        )],
    };

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        let before = Cost::of(mapping, context);
        let whole = (mapping.geometry.rows, mapping.geometry.columns);
        let natural = || mapping.tiles.iter().flat_map(|tile| cut(tile, whole));
        let (tiles, statistics) = match self.rows {
            TileRows::Natural => (natural().collect(), Statistics::default()),
            TileRows::Alike => {
                let tiles: Vec<Tile> =
                    mapping.tiles.iter().flat_map(|tile| cut_alike(tile, whole)).collect();
                let (natural, alike) = (
                    natural().map(|tile| different_rows(&tile)).sum::<usize>(),
                    tiles.iter().map(different_rows).sum::<usize>(),
                );
                let name = "rows that a rename would leave, `natural` -> `alike`";
                (tiles, Statistics::default().changed(name, natural as f64, alike as f64))
            }
        };
        mapping.tiles = tiles;
        mapping.stage = Stage::Tiled;
        Ok(before.changed(Cost::of(mapping, context), statistics))
    }
}

/// The blocks of a tile that fit a macro of so many rows and columns, row chunk by row chunk.
pub(crate) fn cut(tile: &Tile, (rows, columns): (usize, usize)) -> Vec<Tile> {
    let blocks = Blocks::of(tile);
    let mut chunks = Vec::new();
    for rows in ranges(tile.physical_rows(), rows) {
        chunks.extend(
            ranges(tile.columns.len(), columns).map(|columns| blocks.block(rows.clone(), columns)),
        );
    }
    chunks
}

/// The same with equal rows side by side, column chunk by column chunk.
fn cut_alike(tile: &Tile, (rows, columns): (usize, usize)) -> Vec<Tile> {
    let blocks = Blocks::of(tile);
    let mut chunks = Vec::new();
    for columns in ranges(tile.columns.len(), columns) {
        let bits = tile.bits.select_columns(&columns.clone().collect::<Vec<usize>>());
        let mut classes: Vec<Vec<usize>> = Vec::new();
        let mut class_of = HashMap::new();
        for (row, physical) in blocks.physical().enumerate() {
            let class = *class_of.entry(bits.row(physical)).or_insert_with(|| {
                classes.push(Vec::new());
                classes.len() - 1
            });
            classes[class].push(row);
        }
        let sorted = classes.concat();
        let block = |rows: &[usize]| blocks.block(rows.iter().copied(), columns.clone());
        chunks.extend(sorted.chunks(rows).map(block));
    }
    chunks
}

/// Physical rows that a `rename` would leave.
fn different_rows(tile: &Tile) -> usize {
    (0..tile.physical_rows()).map(|row| tile.bits.row(row)).collect::<HashSet<_>>().len()
}

/// The numbers below `end`, `size` at a time.
pub(crate) fn ranges(end: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..end).step_by(size).map(move |start| start..end.min(start + size))
}
