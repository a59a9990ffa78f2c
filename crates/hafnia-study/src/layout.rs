//! Mappings cell by cell, as a page shows them.

use anyhow::{Context, ensure};
use hafnia_ir::{Mapping, Tile};
use hafnia_report::{Block, CellRow, Layout};

/// Lays the tiles of a mapping out on macros.
///
/// # Errors
/// If a tile has no place.
pub fn layout(name: &str, mapping: &Mapping) -> anyhow::Result<Layout> {
    let blocks = mapping.tiles.iter().map(|tile| {
        let place = tile.place.context("a tile has no place")?;
        Ok(Block {
            matrix: mapping.matrices[tile.matrix.index()].name.clone(),
            macro_index: place.macro_index as usize,
            row: place.row as usize,
            column: place.column as usize,
            cells: rows(tile)?,
        })
    });
    let layout = Layout {
        name: name.to_owned(),
        rows: mapping.geometry.rows,
        columns: mapping.geometry.columns,
        blocks: blocks.collect::<anyhow::Result<_>>()?,
    };
    layout.check()?;
    Ok(layout)
}

/// The physical rows of a tile, each with the logical rows that turn it on.
fn rows(tile: &Tile) -> anyhow::Result<Vec<CellRow>> {
    let mut rows: Vec<CellRow> = (0..tile.physical_rows())
        .map(|row| CellRow {
            bits: tile
                .columns
                .iter()
                .enumerate()
                .map(|(column, _)| cell(tile, row, column))
                .collect(),
            logical: Vec::new(),
            complemented: Vec::new(),
        })
        .collect();
    for entry in tile.rows.iter() {
        let row = rows.get_mut(entry.physical as usize);
        let row = row.context("an entry names a row that is not there")?;
        let held = if entry.negative { &mut row.complemented } else { &mut row.logical };
        held.push(entry.logical as usize);
    }
    // Entries stand in scan order.
    for row in &mut rows {
        row.logical.sort_unstable();
        row.complemented.sort_unstable();
        ensure!(row.held() > 0, "a physical row holds nothing");
    }
    Ok(rows)
}

fn cell(tile: &Tile, row: usize, column: usize) -> char {
    if tile.bits.get(row, column) { '1' } else { '0' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_has_every_cell_and_row_of_its_mapping() {
        let text = "hafnia-mapping 2\n\
            network fa8a64cb7049cb3797febfe7c083c9e14de0f951cda1a8591ae506d6c9253f98\n\
            macro tiny 4x8\nstage placed\nmatrix m0 hidden 6x4\n\
            tile t0 m0 replica 0 size 2x4 at macro 0 row 0 column 0\n\
            columns 0..4\nrows 2:0 1:1 0:0 -3:0\nbits d 6\n\
            tile t1 m0 replica 0 size 2x4 at macro 1 row 2 column 3\n\
            columns 0 ~1 2 3\nrows 4 5\nbits d a\n";
        let layout = layout("best", &text.parse().unwrap()).unwrap();
        assert_eq!((layout.rows, layout.columns, layout.macros()), (4, 8, 2));
        let [first, second] = &layout.blocks[..] else { panic!("two tiles are two blocks") };
        assert_eq!((second.macro_index, second.row, second.column), (1, 2, 3));
        assert_eq!(first.matrix, "hidden");
        // Bits stand with column 0 lowest: d is 1011 from the left.
        let row = |bits: &str, logical: &[usize], complemented: &[usize]| CellRow {
            bits: bits.to_owned(),
            logical: logical.to_vec(),
            complemented: complemented.to_vec(),
        };
        assert_eq!(first.cells, [row("1011", &[0, 2], &[3]), row("0110", &[1], &[])]);
        assert_eq!(second.cells, [row("1011", &[4], &[]), row("0101", &[5], &[])]);
    }

    #[test]
    fn a_mapping_without_places_is_refused() {
        let text = "hafnia-mapping 2\n\
            network fa8a64cb7049cb3797febfe7c083c9e14de0f951cda1a8591ae506d6c9253f98\n\
            macro tiny 4x8\nstage tiled\nmatrix m0 hidden 1x4\n\
            tile t0 m0 replica 0 size 1x4\ncolumns 0..4\nrows 0\nbits d\n";
        assert_eq!(
            layout("x", &text.parse().unwrap()).unwrap_err().to_string(),
            "a tile has no place"
        );
    }
}
