//! `rename-segments`: cuts tiles into segments of a few columns and shares equal rows in each.
//!
//! Rows of a trained matrix are hardly ever equal over all columns, but over s columns there are at
//! most 2^s different ones. A segment is a tile of its own: it has its own rename table, and it is
//! addressed and scanned on its own. From a logical mapping a segment takes all rows of the matrix,
//! which shares most, and is cut afterwards where it is still higher than a macro; from a tiled one
//! it takes the rows of a tile.
//!
//! What it costs: a rename table for every segment, ⌈log₂(physical rows)⌉ bits per entry; a scan of
//! all entries for every segment, one after the other, where a tile had one; and, in mode `repeat`,
//! groups that end before a row they hold. The statistics count all three. On the recorded network
//! `frontier`, which has hardly any equal rows, segments of 8 columns take 31 650 cells instead of
//! 61 470, on three macros instead of five, and 52 780 bits of tables. On training images that is 2.4
//! times the conversion cycles or, in mode `pre-add`, 1.6 times, with 4 % fewer conversions. Segments
//! of 4 take 3 688 cells, one macro, as many bits of tables as there are weights, and 7.3 times the
//! cycles or 2.4 times.
//!
//! A tile is segmented only where that takes fewer cells, or with `table_bit` less area: cells and,
//! for every bit of rename tables, that many cells more. Tiles that stay whole are cut as by `tile`.
//!
//! Cost: one hash look-up per entry and segment; a 4096×4096 matrix takes 3 to 5 s with verification
//! and proof, on a core shared with others (AMD EPYC).

use std::num::NonZeroUsize;
use std::ops::Range;

use hafnia_ir::{Mapping, Stage, Tile};
use serde::{Deserialize, Serialize};

use crate::analysis::{Alike, RenameMode, StaticCost, share};
use crate::error::PassError;
use crate::options::{ALL, MODES, at_least_zero, chosen};
use crate::pass::{Context, Pass, PassInfo};
use crate::passes::tile::{cut, ranges};
use crate::statistics::Statistics;

/// The pass `rename-segments`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RenameSegments {
    /// Columns of a segment.
    pub columns: NonZeroUsize,
    /// Names of the matrices to segment; `*` is all, none is the last.
    pub matrices: Vec<String>,
    /// How rows share cells.
    pub mode: RenameMode,
    /// Area of a bit of a rename table, in cells; at least 0.
    #[serde(deserialize_with = "at_least_zero")]
    pub table_bit: f64,
}

impl Default for RenameSegments {
    fn default() -> Self {
        Self {
            columns: NonZeroUsize::new(8).expect("not 0"),
            matrices: vec![ALL.into()],
            mode: RenameMode::default(),
            table_bit: 0.0,
        }
    }
}

impl Pass for RenameSegments {
    const INFO: PassInfo = PassInfo {
        name: "rename-segments",
        summary: "Cuts tiles into segments of a few columns and lets equal rows share in each.",
        takes: &[Stage::Logical, Stage::Tiled],
        leaves: Some(Stage::Tiled),
        options: &[
            ("columns", "columns of a segment"),
            ("matrices", "names of the matrices to segment; `[\"*\"]`: all, `[]`: the last"),
            ("mode", MODES),
            (
                "table_bit",
                "area of a bit of a rename table, in cells: a tile is segmented only where cells and table bits together take less",
            ),
        ],
    };

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        let before = StaticCost::of(mapping, context);
        let is_chosen = chosen(&self.matrices, mapping)?;
        let whole = (mapping.geometry.rows, mapping.geometry.tile_columns());
        let cell = mapping.geometry.cell_bits.into();
        let (found, mut segmented) = (mapping.tiles.len(), 0);
        let mut tiles = Vec::new();
        for tile in &mapping.tiles {
            let kept = cut(tile, whole);
            let segments = if is_chosen[tile.matrix.index()] {
                self.segments(tile, whole, cell)
            } else {
                Vec::new()
            };
            if !segments.is_empty() && self.area(&segments, cell) < self.area(&kept, cell) {
                segmented += 1;
                tiles.extend(segments);
            } else {
                tiles.extend(kept);
            }
        }
        mapping.tiles = tiles;
        mapping.stage = Stage::Tiled;
        let statistics = Statistics::default()
            .found("tiles found", found as f64)
            .found("of these segmented", f64::from(segmented));
        Ok(before.changed(StaticCost::of(mapping, context), statistics))
    }
}

impl RenameSegments {
    /// The segments of a tile; a column of cells, which is `cell` columns of the tile, stays whole.
    fn segments(&self, tile: &Tile, whole: (usize, usize), cell: usize) -> Vec<Tile> {
        let columns = self.columns.get().min(whole.1).next_multiple_of(cell);
        let segments = ranges(tile.columns.len(), columns);
        let segment = |columns: Range<usize>| {
            let segment = tile.with_columns(&columns.collect::<Vec<usize>>());
            cut(&share(&segment, Alike::Equal, self.mode), whole)
        };
        segments.flat_map(segment).collect()
    }

    /// What tiles take, in cells of `cell` bits.
    fn area(&self, tiles: &[Tile], cell: usize) -> f64 {
        let cells = tiles.iter().map(Tile::cells).sum::<usize>() / cell;
        let bits: usize = tiles.iter().map(Tile::table_bits).sum();
        cells as f64 + self.table_bit * bits as f64
    }
}
