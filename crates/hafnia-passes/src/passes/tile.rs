//! `tile`: cuts every matrix into tiles that fit a macro.
//!
//! Columns are cut into chunks of the macro's `columns`, twice as many where a cell holds two. Rows are cut by *physical* rows: every
//! `rows` of the macro make a chunk, and all entries of a physical row go with it, in the order they
//! had. After `rename` a tile may so hold any number of logical rows. Row chunks of one output are
//! added digitally. Signs, polarities, replicas and modes are kept.
//!
//! Which rows share a tile:
//! - `natural`: those that follow each other in order of first use, the same in every column chunk.
//! - `alike`: in every column chunk on its own, rows that are equal over its columns share a tile, so
//!   that a later `rename` finds more. A tile takes classes of equal rows whole as long as some fit,
//!   and then a part of the next; where that leaves no fewer different rows than `natural`, the column
//!   chunk is cut naturally. It is for matrices wider than a macro; over all columns of a matrix
//!   `rename` before `tile` finds the same and more. It costs wiring: column chunks then take the
//!   inputs in orders of their own.
//!
//! Chunks are filled one after the other and not evened out: what is left over at the end stays
//! small and finds room beside other tiles. `pack` may cut further.
//!
//! Cost: a copy of the bits; `alike` hashes them and cuts a second time. A 4096×4096 matrix takes 1 s,
//! 3 s with `alike`, verification and proof included, on a core shared with others (AMD EPYC);
//! `benches/scaling.rs` times it.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use hafnia_ir::{Mapping, Stage, Tile};
use serde::{Deserialize, Serialize};

use crate::analysis::{Blocks, StaticCost};
use crate::error::PassError;
use crate::pass::{Context, Pass, PassInfo};
use crate::statistics::Statistics;

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
        let before = StaticCost::of(mapping, context);
        let whole = (mapping.geometry.rows, mapping.geometry.tile_columns());
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
        Ok(before.changed(StaticCost::of(mapping, context), statistics))
    }
}

/// The blocks of a tile that fit a macro of this many rows and columns, row chunk by row chunk.
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

/// The same with equal rows in one tile where that helps, column chunk by column chunk.
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
        let block = |rows: Vec<usize>| blocks.block(rows, columns.clone());
        let natural = ranges(tile.physical_rows(), rows).map(|rows| block(rows.collect()));
        let natural: Vec<Tile> = natural.collect();
        let alike: Vec<Tile> = fill(classes, rows).into_iter().map(block).collect();
        let different = |tiles: &[Tile]| tiles.iter().map(different_rows).sum::<usize>();
        chunks.extend(if different(&alike) < different(&natural) { alike } else { natural });
    }
    chunks
}

/// Fills tiles of `rows` rows with classes: whole ones as they come, and where none fits any more,
/// a part of the first that is left.
fn fill(classes: Vec<Vec<usize>>, rows: usize) -> Vec<Vec<usize>> {
    let mut tiles = Vec::new();
    let mut left = classes;
    while !left.is_empty() {
        let (mut tile, mut others) = (Vec::new(), Vec::new());
        for class in left {
            if tile.len() + class.len() <= rows {
                tile.extend(class);
            } else {
                others.push(class);
            }
        }
        if let Some(first) = others.first_mut() {
            let rest = first.split_off(rows - tile.len());
            tile.extend(std::mem::replace(first, rest));
        }
        tiles.push(tile);
        left = others;
    }
    tiles
}

/// Physical rows that a `rename` would leave.
fn different_rows(tile: &Tile) -> usize {
    (0..tile.physical_rows()).map(|row| tile.bits.row(row)).collect::<HashSet<_>>().len()
}

/// The numbers below `end`, `size` at a time.
pub(crate) fn ranges(end: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..end).step_by(size).map(move |start| start..end.min(start + size))
}

#[cfg(test)]
mod tests {
    use hafnia_cim::{CodeTable, MacroSpec};
    use hafnia_model::BitMatrix;
    use proptest::prelude::*;

    use super::*;
    use crate::tests::{context, linear};

    #[test]
    fn classes_stay_whole_where_they_can() {
        // Of A3 B2 C4 D3 in tiles of four only B is split; one after the other, C would be too.
        let classes = vec![vec![0, 1, 2], vec![3, 8], vec![4, 5, 6, 7], vec![9, 10, 11]];
        let expected = [vec![0, 1, 2, 3], vec![8, 9, 10, 11], vec![4, 5, 6, 7]];
        assert_eq!(fill(classes, 4), expected);
    }

    proptest! {
        /// Never more different rows than naturally, and no more tiles.
        #[test]
        fn alike_is_no_worse(kinds in prop::collection::vec(0u8..16, 1..60), height in 1usize..12) {
            let bits = BitMatrix::from_fn(kinds.len(), 4, |row, column| kinds[row] >> column & 1 == 1);
            let network = linear(bits, 1);
            let mut spec = MacroSpec::preset("gt-n40").unwrap();
            (spec.rows, spec.columns, spec.columns_per_adc) = (height, 3, 1);
            let code_table = CodeTable::from_spec(&spec);
            let cut = |rows| {
                let mut mapping = Mapping::logical(&network, &spec);
                let context = context(&network, &spec, &code_table);
                Pass::run(&CutTiles { rows }, &mut mapping, &context).unwrap();
                (mapping.tiles.iter().map(different_rows).sum::<usize>(), mapping.tiles.len())
            };
            let ((alike, tiles), (natural, natural_tiles)) = (cut(TileRows::Alike), cut(TileRows::Natural));
            prop_assert!(alike <= natural);
            prop_assert_eq!(tiles, natural_tiles);
        }
    }
}
