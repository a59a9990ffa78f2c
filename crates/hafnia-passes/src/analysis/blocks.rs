//! [`Blocks`]: cuts a tile.

use std::ops::Range;

use hafnia_ir::Tile;

/// A tile that is to be cut. Its physical rows are counted in order of first use, and all entries
/// of a physical row go with it, in the order they had.
pub struct Blocks<'a> {
    tile: &'a Tile,
    /// Every physical row with the positions of its entries.
    rows: Vec<(usize, Vec<usize>)>,
}

impl<'a> Blocks<'a> {
    /// Finds the physical rows of a tile.
    pub fn of(tile: &'a Tile) -> Self {
        let mut rows: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut number = vec![None; tile.physical_rows()];
        for (position, entry) in tile.rows.iter().enumerate() {
            let physical = entry.physical as usize;
            let index = *number[physical].get_or_insert_with(|| {
                rows.push((physical, Vec::new()));
                rows.len() - 1
            });
            rows[index].1.push(position);
        }
        Self { tile, rows }
    }

    /// The physical rows in order of first use, as the tile numbers them.
    pub fn physical(&self) -> impl Iterator<Item = usize> + '_ {
        self.rows.iter().map(|(physical, _)| *physical)
    }

    /// The block of these physical rows, in the order of their entries, and columns; it has no place.
    pub fn block(&self, rows: impl IntoIterator<Item = usize>, columns: Range<usize>) -> Tile {
        let mut entries: Vec<usize> =
            rows.into_iter().flat_map(|row| self.rows[row].1.iter().copied()).collect();
        entries.sort_unstable();
        self.tile.with_entries(&entries).with_columns(&columns.collect::<Vec<usize>>())
    }
}
