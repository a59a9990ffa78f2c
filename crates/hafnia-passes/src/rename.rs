//! `rename`: physical rows with equal bits become one.
//!
//! Two logical rows whose programmed bits are the same need only one row of cells if a table keeps,
//! for every logical row, the address of its physical row: the rename table. Physical rows are
//! numbered by first use in the scan, and the order of the entries stays as it is.
//!
//! Mode `repeat` is exact without any change to the arithmetic: the controller issues the shared
//! row once for every logical row that is on. A word line cannot be on twice, so a conversion ends
//! before a row that it already holds: sharing saves cells and costs cycles.
//!
//! On a logical mapping rows must be equal over all columns of the matrix; on a tiled one, over the
//! columns of a tile, which finds more. Run it before `tile` where it can, because `tile` counts
//! physical rows against the height of the macro.
//!
//! Freely trained matrices have hardly any equal rows: sharing has to be trained for.
//!
//! Cost: one hash look-up an entry.

use std::collections::HashMap;

use hafnia_ir::{Mapping, RowEntry, Stage, Tile};
use serde::{Deserialize, Serialize};

use crate::{Context, Pass, PassError, PassInfo, Size, Statistics};

/// The pass `rename`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RenameRows {
    /// How rows share cells.
    pub mode: RenameMode,
}

/// How rows share cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RenameMode {
    /// The shared row is issued once for every logical row that is on.
    #[default]
    Repeat,
}

impl Pass for RenameRows {
    const INFO: PassInfo = PassInfo {
        name: "rename",
        summary: "Lets rows with equal bits share one physical row.",
        takes: &[Stage::Logical, Stage::Tiled],
        leaves: None,
        options: &[(
            "mode",
            "`repeat`: the shared row is issued once for every logical row that is on",
        )],
    };

    fn run(&self, mapping: &mut Mapping, _: &Context<'_>) -> Result<Statistics, PassError> {
        let before = Size::of(mapping);
        let RenameMode::Repeat = self.mode;
        for tile in &mut mapping.tiles {
            *tile = rename(tile);
        }
        Ok(Statistics::default().resized(before, Size::of(mapping)))
    }
}

fn rename(tile: &Tile) -> Tile {
    let mut number = HashMap::new();
    let mut kept = Vec::new();
    let mut shared = |entry: RowEntry| {
        let old = entry.physical as usize;
        let physical = *number.entry(tile.bits.row(old)).or_insert_with(|| {
            kept.push(old);
            kept.len() as u32 - 1
        });
        RowEntry { physical, ..entry }
    };
    let rows = tile.rows.iter().map(&mut shared).collect();
    Tile { bits: tile.bits.select_rows(kept), rows, ..tile.clone() }
}
