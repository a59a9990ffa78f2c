//! `pack`: gives every tile its place on a macro, on as few macros as it can.
//!
//! Tiles may stand side by side or above one another, at any row and column; they are not turned.
//! This is two-dimensional bin packing, for which good heuristics are known: tiles are placed one
//! after the other, each on the first macro with room, into one of the largest free rectangles
//! (maximal rectangles; Jylänki 2010, "A thousand ways to pack the bin"). Four orders of the tiles
//! and three ways to choose the rectangle are tried, and the first with the fewest macros is kept.
//!
//! The lower bound in the statistics is the larger of two: the cells of all tiles over the cells of
//! a macro, and the tiles so large that no two of them fit one macro.
//!
//! Cost: a thousand tiles take a fraction of a second.

use std::cmp::Reverse;

use hafnia_ir::{Mapping, Place, Stage};
use serde::{Deserialize, Serialize};

use crate::{Context, Pass, PassError, PassInfo, Size, Statistics};

/// The pass `pack`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PackTiles {}

impl Pass for PackTiles {
    const INFO: PassInfo = PassInfo {
        name: "pack",
        summary: "Gives every tile its place on a macro, on as few macros as it can.",
        takes: &[Stage::Tiled],
        leaves: Some(Stage::Placed),
        options: &[],
    };

    fn run(&self, mapping: &mut Mapping, _: &Context<'_>) -> Result<Statistics, PassError> {
        let size = |rows, columns| Extent { rows: rows as u32, columns: columns as u32 };
        let tiles: Vec<Extent> = mapping
            .tiles
            .iter()
            .map(|tile| size(tile.physical_rows(), tile.columns.len()))
            .collect();
        let whole = size(mapping.geometry.rows, mapping.geometry.columns);
        for (tile, place) in mapping.tiles.iter_mut().zip(pack(&tiles, whole)) {
            tile.place = Some(place);
        }
        mapping.stage = Stage::Placed;
        let cells = Size::of(mapping).cells as u64;
        Ok(Statistics::default()
            .found("macros", mapping.macros() as f64)
            .found("macros, lower bound", lower_bound(&tiles, whole) as f64)
            .found(
                "cells in use, %",
                100.0 * cells as f64 / (mapping.macros() as u64 * whole.cells()) as f64,
            ))
    }
}

/// Rows and columns of a tile, or of a macro.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    rows: u32,
    columns: u32,
}

impl Extent {
    fn cells(self) -> u64 {
        u64::from(self.rows) * u64::from(self.columns)
    }

    fn fits(self, room: Self) -> bool {
        self.rows <= room.rows && self.columns <= room.columns
    }
}

/// A free rectangle of a macro.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    row: u32,
    column: u32,
    extent: Extent,
}

impl Room {
    fn holds(self, other: Self) -> bool {
        let (end, other_end) = (self.end(), other.end());
        self.row <= other.row
            && self.column <= other.column
            && other_end.0 <= end.0
            && other_end.1 <= end.1
    }

    fn end(self) -> (u32, u32) {
        (self.row + self.extent.rows, self.column + self.extent.columns)
    }

    /// The maximal parts of it that `taken` leaves.
    fn without(self, taken: Self) -> Vec<Self> {
        let ((row_end, column_end), (taken_row, taken_column)) = (self.end(), taken.end());
        if taken.row >= row_end
            || taken_row <= self.row
            || taken.column >= column_end
            || taken_column <= self.column
        {
            return vec![self];
        }
        let rows = |row: u32, end: u32| {
            let rows = end.saturating_sub(row);
            Self { row, extent: Extent { rows, ..self.extent }, ..self }
        };
        let columns = |column: u32, end: u32| {
            let columns = end.saturating_sub(column);
            Self { column, extent: Extent { columns, ..self.extent }, ..self }
        };
        let parts = [
            rows(self.row, taken.row),
            rows(taken_row, row_end),
            columns(self.column, taken.column),
            columns(taken_column, column_end),
        ];
        parts.into_iter().filter(|part| part.extent.cells() > 0).collect()
    }
}

/// How good a room is for a tile: the smaller, the better.
type Rule = fn(Extent, Room) -> (u64, u64);

const RULES: [Rule; 3] = [
    // The least room over in the tighter direction.
    |tile, room| {
        let rows = u64::from(room.extent.rows - tile.rows);
        let columns = u64::from(room.extent.columns - tile.columns);
        (rows.min(columns), rows.max(columns))
    },
    // The smallest room.
    |tile, room| {
        let rows = u64::from(room.extent.rows - tile.rows);
        let columns = u64::from(room.extent.columns - tile.columns);
        (room.extent.cells(), rows.min(columns))
    },
    // The room nearest to the first column, then to the first row.
    |_, room| (room.column.into(), room.row.into()),
];

/// What the tiles are sorted by, the largest first.
const ORDERS: [fn(Extent) -> (u64, u64); 4] = [
    |tile| (tile.cells(), tile.rows.into()),
    |tile| (tile.rows.into(), tile.columns.into()),
    |tile| (tile.columns.into(), tile.rows.into()),
    |tile| (tile.rows.max(tile.columns).into(), tile.rows.min(tile.columns).into()),
];

/// The place of every tile. Each must fit a macro.
fn pack(tiles: &[Extent], whole: Extent) -> Vec<Place> {
    let tries = ORDERS.iter().flat_map(|key| RULES.iter().map(move |rule| (key, rule)));
    let packed = tries.map(|(key, rule)| {
        let mut order: Vec<usize> = (0..tiles.len()).collect();
        order.sort_by_key(|&tile| Reverse(key(tiles[tile])));
        pack_in_order(tiles, &order, *rule, whole)
    });
    let (_, places) = packed.min_by_key(|(macros, _)| *macros).expect("there is an order");
    places
}

/// The number of macros and the place of every tile, placed in this order.
fn pack_in_order(
    tiles: &[Extent],
    order: &[usize],
    rule: Rule,
    whole: Extent,
) -> (usize, Vec<Place>) {
    let mut macros: Vec<Vec<Room>> = Vec::new();
    let mut places = vec![Place { macro_index: 0, row: 0, column: 0 }; tiles.len()];
    for &index in order {
        let tile = tiles[index];
        let best = |rooms: &Vec<Room>| {
            let fitting = rooms.iter().filter(|room| tile.fits(room.extent));
            fitting.min_by_key(|room| (rule(tile, **room), room.column, room.row)).copied()
        };
        let found = macros.iter().enumerate().find_map(|(at, rooms)| Some((at, best(rooms)?)));
        let (at, room) = found.unwrap_or_else(|| {
            let room = Room { row: 0, column: 0, extent: whole };
            macros.push(vec![room]);
            (macros.len() - 1, room)
        });
        places[index] = Place { macro_index: at as u32, row: room.row, column: room.column };
        let taken = Room { extent: tile, ..room };
        macros[at] = maximal(macros[at].iter().flat_map(|room| room.without(taken)).collect());
    }
    (macros.len(), places)
}

/// The rooms that no other room holds.
fn maximal(rooms: Vec<Room>) -> Vec<Room> {
    let mut kept: Vec<Room> = Vec::new();
    for room in rooms {
        if !kept.iter().any(|other| other.holds(room)) {
            kept.retain(|other| !room.holds(*other));
            kept.push(room);
        }
    }
    kept
}

/// Macros that are needed at least.
fn lower_bound(tiles: &[Extent], whole: Extent) -> u64 {
    let cells: u64 = tiles.iter().map(|tile| tile.cells()).sum();
    let is_large = |tile: &&Extent| tile.rows > whole.rows / 2 && tile.columns > whole.columns / 2;
    cells.div_ceil(whole.cells()).max(tiles.iter().filter(is_large).count() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extent(rows: u32, columns: u32) -> Extent {
        Extent { rows, columns }
    }

    fn check(tiles: &[(u32, u32)], whole: (u32, u32), macros: u32) {
        let tiles: Vec<Extent> = tiles.iter().map(|&(r, c)| extent(r, c)).collect();
        let places = pack(&tiles, extent(whole.0, whole.1));
        assert_eq!(places.iter().map(|place| place.macro_index + 1).max(), Some(macros));
    }

    #[test]
    fn tiles_share_a_macro() {
        check(&[(128, 64), (128, 64)], (128, 128), 1);
        check(&[(64, 128), (64, 128)], (128, 128), 1);
        check(&[(64, 64); 4], (128, 128), 1);
        check(&[(64, 64); 5], (128, 128), 2);
        check(&[(100, 28), (28, 100), (100, 100)], (128, 128), 1);
        check(&[(1, 1); 20], (4, 5), 1);
        check(&[(3, 1), (1, 3), (2, 2), (1, 1)], (3, 4), 1);
    }

    #[test]
    fn lenet5_takes_five_macros() {
        // 400x120 is cut into three tiles of 128x120 and one of 16x120, which fits beside none of
        // the four large ones: five, though the bound is four.
        let tiles = [
            (25, 6),
            (128, 16),
            (22, 16),
            (128, 120),
            (128, 120),
            (128, 120),
            (16, 120),
            (120, 84),
            (84, 10),
        ];
        check(&tiles, (128, 128), 5);
        let tiles: Vec<Extent> = tiles.iter().map(|&(r, c)| extent(r, c)).collect();
        assert_eq!(lower_bound(&tiles, extent(128, 128)), 4);
    }

    proptest! {
        #[test]
        fn places_are_on_the_macro_and_apart(
            sizes in prop::collection::vec((1u32..=12, 1u32..=9), 1..40)
        ) {
            let whole = extent(12, 9);
            let tiles: Vec<Extent> = sizes.iter().map(|&(r, c)| extent(r, c)).collect();
            let places = pack(&tiles, whole);
            let macros = places.iter().map(|place| place.macro_index as usize + 1).max().unwrap();
            let mut cells = vec![vec![false; 12 * 9]; macros];
            for (tile, place) in tiles.iter().zip(&places) {
                for row in place.row..place.row + tile.rows {
                    for column in place.column..place.column + tile.columns {
                        prop_assert!(row < 12 && column < 9);
                        let cell = &mut cells[place.macro_index as usize][(row * 9 + column) as usize];
                        prop_assert!(!*cell, "({row}, {column}) is taken twice");
                        *cell = true;
                    }
                }
            }
            prop_assert!(cells.iter().all(|cells| cells.contains(&true)), "no macro is empty");
            prop_assert!(macros as u64 >= lower_bound(&tiles, whole));
        }
    }
}
