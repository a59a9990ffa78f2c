//! `tile`: cuts every matrix into tiles that fit a macro.
//!
//! Rows are cut by *physical* rows: in order of first use, every `rows` of the macro make a chunk,
//! and all entries of a physical row go with it, in the order they had. After `rename` a tile may
//! so hold any number of logical rows. Columns are cut into chunks of the macro's `columns`.
//! Row chunks of one output are added digitally. Signs, polarities and replicas are kept.
//!
//! Chunks are filled one after the other and not evened out: what is left over at the end stays
//! small and finds room beside other tiles.
//!
//! Cost: a copy of the bits.

use hafnia_ir::{Mapping, RowEntry, RowTable, Stage, Tile};
use serde::{Deserialize, Serialize};

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

/// The pieces of a tile, row chunk by row chunk.
fn cut(tile: &Tile, rows: usize, columns: usize) -> Vec<Tile> {
    // The physical rows in order of first use; the place of a row therein.
    let mut used = Vec::new();
    let mut number = vec![None; tile.physical_rows()];
    let mut tables = Vec::new();
    for entry in tile.rows.iter() {
        let old = entry.physical as usize;
        let index = *number[old].get_or_insert_with(|| {
            used.push(old);
            used.len() - 1
        });
        if index / rows == tables.len() {
            tables.push(RowTable::default());
        }
        tables[index / rows].push(RowEntry { physical: (index % rows) as u32, ..entry });
    }
    let mut pieces = Vec::new();
    for (physical, table) in used.chunks(rows).zip(tables) {
        let bits = tile.bits.select_rows(physical.iter().copied());
        for start in (0..tile.columns.len()).step_by(columns) {
            let range = start..tile.columns.len().min(start + columns);
            let chosen: Vec<usize> = range.clone().collect();
            pieces.push(Tile {
                bits: bits.select_columns(&chosen),
                rows: table.clone(),
                columns: tile.columns[range].to_vec(),
                ..*tile
            });
        }
    }
    pieces
}
