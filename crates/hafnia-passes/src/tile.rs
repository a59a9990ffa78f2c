//! `tile`: cuts every matrix into tiles that fit a macro.
//!
//! Rows are cut by *physical* rows: in order of first use, every `rows` of the macro make a chunk,
//! and all entries of a physical row go with it, in the order they had. After `rename` a tile may
//! so hold any number of logical rows. Columns are cut into chunks of the macro's `columns`.
//! Row chunks of one output are added digitally. Signs, polarities and replicas are kept.
//!
//! Chunks are filled one after the other and not evened out: what is left over at the end stays
//! small and finds room beside other tiles. `pack` may cut further.
//!
//! Cost: a copy of the bits.

use std::ops::Range;

use hafnia_ir::{Mapping, Stage, Tile};
use serde::{Deserialize, Serialize};

use crate::blocks::Blocks;
use crate::{Context, Pass, PassError, PassInfo, Size, Statistics};

/// The pass `tile`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CutTiles {}

impl Pass for CutTiles {
    const INFO: PassInfo = PassInfo {
        name: "tile",
        summary: "Cuts every matrix into tiles that fit a macro.",
        takes: &[Stage::Logical],
        leaves: Some(Stage::Tiled),
        options: &[],
    };

    fn run(&self, mapping: &mut Mapping, _: &Context<'_>) -> Result<Statistics, PassError> {
        let before = Size::of(mapping);
        let (rows, columns) = (mapping.geometry.rows, mapping.geometry.columns);
        mapping.tiles = mapping.tiles.iter().flat_map(|tile| cut(tile, rows, columns)).collect();
        mapping.stage = Stage::Tiled;
        Ok(Statistics::default().resized(before, Size::of(mapping)))
    }
}

/// The blocks of a tile, row chunk by row chunk.
fn cut(tile: &Tile, rows: usize, columns: usize) -> Vec<Tile> {
    let blocks = Blocks::of(tile);
    let mut chunks = Vec::new();
    for rows in ranges(tile.physical_rows(), rows) {
        chunks.extend(
            ranges(tile.columns.len(), columns).map(|columns| blocks.block(rows.clone(), columns)),
        );
    }
    chunks
}

/// The numbers below `end`, `size` at a time.
fn ranges(end: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..end).step_by(size).map(move |start| start..end.min(start + size))
}
