//! [`Blocks`]: cuts a tile.

use std::ops::Range;

use hafnia_ir::{RowEntry, Tile};

/// A tile that is to be cut. Its physical rows are counted in order of first use, and all entries
/// of a physical row go with it, in the order they had.
pub(crate) struct Blocks<'a> {
    tile: &'a Tile,
    /// Every physical row with the positions of its entries.
    rows: Vec<(usize, Vec<usize>)>,
}

impl<'a> Blocks<'a> {
    pub(crate) fn of(tile: &'a Tile) -> Self {
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

    /// The block of these physical rows and columns; it has no place.
    pub(crate) fn block(&self, rows: Range<usize>, columns: Range<usize>) -> Tile {
        let tile = self.tile;
        let rows = &self.rows[rows];
        let mut entries: Vec<(usize, u32)> = (0..)
            .zip(rows)
            .flat_map(|(physical, (_, positions))| positions.iter().map(move |&p| (p, physical)))
            .collect();
        entries.sort_unstable();
        let entry = |(position, physical)| RowEntry { physical, ..tile.rows.get(position) };
        let bits = tile.bits.select_rows(rows.iter().map(|&(old, _)| old));
        Tile {
            bits: bits.select_columns(&columns.clone().collect::<Vec<usize>>()),
            rows: entries.into_iter().map(entry).collect(),
            columns: tile.columns[columns].to_vec(),
            place: None,
            ..*tile
        }
    }
}
