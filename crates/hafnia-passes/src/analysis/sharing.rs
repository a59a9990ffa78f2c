//! Entries that share physical rows: what all renames have in common.

use std::collections::HashMap;

use hafnia_ir::{RowEntry, Tile};
use serde::{Deserialize, Serialize};

/// How rows share cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RenameMode {
    /// The shared row is issued once for every logical row that is on.
    #[default]
    Repeat,
    /// The activations of rows that share are added up, and the shared row is issued for the bits
    /// of the sum.
    PreAdd,
}

/// Which rows share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alike {
    /// Equal rows.
    Equal,
    /// Equal rows and complements, which get a sign.
    Complement,
}

/// The tile with one physical row for all that are alike: the one that is first used. Physical rows
/// are numbered by first use; the order of the entries stays.
///
/// The tile is scanned in this mode from now on, unless nothing is there to be added.
pub fn share(tile: &Tile, alike: Alike, mode: RenameMode) -> Tile {
    let mut known = HashMap::new();
    let mut kept = Vec::new();
    let mut shared = |entry: RowEntry| {
        let old = entry.physical as usize;
        let row = tile.bits.row(old);
        // Of a row and its complement the one whose first bit is 0 stands for both.
        let is_complement = alike == Alike::Complement && row[0] & 1 == 1;
        let key = if is_complement { complement(row, tile.bits.columns()) } else { row.to_vec() };
        let (physical, kept_is_complement) = *known.entry(key).or_insert_with(|| {
            kept.push(old);
            (kept.len() as u32 - 1, is_complement)
        });
        let negative = entry.negative ^ is_complement ^ kept_is_complement;
        RowEntry { physical, negative, ..entry }
    };
    let rows = tile.rows.iter().map(&mut shared).collect();
    let bits = tile.bits.select_rows(kept);
    let pre_add = mode == RenameMode::PreAdd;
    let mut tile = Tile { bits, rows, pre_add, columns: tile.columns.clone(), ..*tile };
    tile.pre_add &= tile.lines().scan.len() < tile.rows.len();
    tile
}

/// The words of a row of `columns` columns with every bit inverted.
fn complement(row: &[u64], columns: usize) -> Vec<u64> {
    let mut words: Vec<u64> = row.iter().map(|word| !word).collect();
    if let (Some(last), tail @ 1..) = (words.last_mut(), columns % 64) {
        *last &= (1 << tail) - 1;
    }
    words
}
