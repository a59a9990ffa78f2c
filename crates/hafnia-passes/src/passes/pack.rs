//! `pack`: gives every tile its place on a macro, on as few macros as it can.
//!
//! Tiles may stand side by side or above one another, at any row and column; they are not turned.
//! This is two-dimensional bin packing, for which good heuristics are known: tiles are placed one
//! after the other, each on the first macro with room, into one of the largest free rectangles
//! ([`FreeSpace`]). Four orders of the tiles and three ways to choose the rectangle are tried, and the
//! first with the fewest macros is kept.
//!
//! With `cut`, if that takes more macros than the cells of all tiles would fill, they are placed on
//! just as many as they fill: a tile that fits nowhere is cut, the part that fits is placed, and what
//! is left over is placed in its turn. That always succeeds, as some part of a tile fits wherever a
//! cell is free; and nothing is cut unless it saves a macro. Cuts are exact, and they cost:
//! - a cut between columns makes the same rows be scanned twice, and a rename table be stored twice;
//! - a cut between rows makes one more digital addition for every output, and more conversions, as
//!   groups hold rows of one part only. What `reorder` found before no longer holds for the parts;
//!   it may run after `pack`.
//!
//! So a packing is sought with the fewest scans of a tile per image, and then with the fewest rows and
//! columns in all these scans. Tiles of convolutions, which are scanned at every position, are so cut
//! last. From each order and rule a hill climb moves tiles, one at a time, to another place in the
//! order, bounded in placements. The statistics say what was gained and what it costs.
//!
//! The lower bound in the statistics is the larger of two: the cells of all tiles over the cells of
//! a macro and, unless tiles may be cut, the tiles so large that no two of them fit one macro.
//!
//! Cost: a thousand tiles take a fraction of a second.

use std::cmp::Reverse;
use std::collections::VecDeque;

use hafnia_ir::{Mapping, Place, Stage, Tile};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::analysis::{
    Blocks, Extent, FIT_RULES, FitRule, FreeSpace, Rectangle, StaticCost, scans,
};
use crate::error::PassError;
use crate::pass::{Context, Pass, PassInfo};
use crate::statistics::Statistics;

/// The pass `pack`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PackTiles {
    /// Whether tiles may be cut where that saves a macro.
    pub cut: bool,
}

impl Pass for PackTiles {
    const INFO: PassInfo = PassInfo {
        name: "pack",
        summary: "Gives every tile its place on a macro, on as few macros as it can.",
        takes: &[Stage::Tiled],
        leaves: Some(Stage::Placed),
        options: &[(
            "cut",
            "whether tiles may be cut where that saves a macro, at the cost of more scans, digital additions and conversions",
        )],
    };

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        let geometry = &mapping.geometry;
        let tiles: Vec<Extent> =
            mapping.tiles.iter().map(|tile| Extent::of(tile, geometry)).collect();
        let whole = Extent::whole(geometry);
        let bound = lower_bound(&tiles, whole, self.cut);
        let uncut = pack(&tiles, whole);
        let mut statistics = Statistics::default();
        if self.cut && uncut.macros > bound {
            let rng = &mut context.seed.site("passes/pack").rng();
            let packing = pack_cut(&tiles, &scans(mapping, context), whole, bound, rng);
            let before = StaticCost::of(mapping, context);
            statistics = statistics.changed("macros", uncut.macros as f64, packing.macros as f64);
            place(mapping, packing);
            statistics = before.changed(StaticCost::of(mapping, context), statistics);
        } else {
            place(mapping, uncut);
            statistics = statistics.found("macros", mapping.macros() as f64);
        }
        mapping.stage = Stage::Placed;
        let cells = (mapping.macros() as u64 * whole.cells()) as f64;
        Ok(statistics
            .found("macros, lower bound", bound as f64)
            .found("cells in use, %", 100.0 * mapping.cells() as f64 / cells))
    }
}

/// Macros that the tiles of a mapping would take, uncut, if they had these numbers of rows.
pub(crate) fn macros_of(mapping: &Mapping, rows: impl Iterator<Item = u32>) -> usize {
    let geometry = &mapping.geometry;
    let extent = |(rows, tile)| Extent { rows, ..Extent::of(tile, geometry) };
    let tiles: Vec<Extent> = rows.zip(&mapping.tiles).map(extent).collect();
    pack(&tiles, Extent::whole(geometry)).macros
}

/// Cuts tiles and places them.
fn place(mapping: &mut Mapping, packing: Packing) {
    let cell = usize::from(mapping.geometry.cell_bits);
    let place_block = |(block, place): (Block, Place)| {
        let tile = &mapping.tiles[block.tile];
        let place = Some(place);
        if block.part.extent.cells() as usize * cell == tile.cells() {
            return Tile { place, ..tile.clone() };
        }
        let ((row_end, column_end), part) = (block.part.end(), block.part);
        let rows = part.row as usize..row_end as usize;
        let columns = part.column as usize * cell..column_end as usize * cell;
        Tile { place, ..Blocks::of(tile).block(rows, columns) }
    };
    mapping.tiles = packing.places.into_iter().map(place_block).collect();
}

/// A part of a tile that is placed on its own; mostly the whole tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    tile: usize,
    part: Rectangle,
}

/// Where everything lies.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Packing {
    macros: usize,
    /// The blocks in the order of tiles, of rows, of columns.
    places: Vec<(Block, Place)>,
}

/// How tiles are placed one after the other.
#[derive(Debug, Clone)]
struct Plan {
    order: Vec<usize>,
    /// Chooses the room, of several on one macro.
    rule: FitRule,
    /// Whether what a cut leaves over is placed next; else after all tiles.
    rest_next: bool,
}

/// What the tiles are sorted by, the largest first.
const ORDERS: [fn(Extent) -> (u64, u64); 4] = [
    |tile| (tile.cells(), tile.rows.into()),
    |tile| (tile.rows.into(), tile.columns.into()),
    |tile| (tile.columns.into(), tile.rows.into()),
    |tile| (tile.rows.max(tile.columns).into(), tile.rows.min(tile.columns).into()),
];

/// Blocks that a climb towards fewer and cheaper cuts places, over all packings that it tries.
const PLACEMENTS: usize = 1000;

impl Plan {
    /// The plans that are tried first.
    fn all(tiles: &[Extent]) -> impl Iterator<Item = Self> {
        let sorted = |key: &fn(Extent) -> (u64, u64)| {
            let mut order: Vec<usize> = (0..tiles.len()).collect();
            order.sort_by_key(|&tile| Reverse(key(tiles[tile])));
            order
        };
        ORDERS.iter().map(sorted).flat_map(|order| {
            FIT_RULES.map(|rule| Self { order: order.clone(), rule, rest_next: false })
        })
    }

    /// A plan like it: one tile comes elsewhere in the order, and the rest is drawn anew.
    fn near(&self, rng: &mut impl Rng) -> Self {
        let mut order = self.order.clone();
        let tile = order.remove(rng.random_range(0..order.len()));
        order.insert(rng.random_range(0..=order.len()), tile);
        Self {
            order,
            rule: FIT_RULES[rng.random_range(0..FIT_RULES.len())],
            rest_next: rng.random(),
        }
    }

    /// Places the tiles on up to `most` macros; if these have no room left, tiles are cut. Each must
    /// fit a macro, and all cells those macros.
    fn pack(&self, tiles: &[Extent], whole: Extent, most: usize) -> Packing {
        let block = |&tile: &usize| Block { tile, part: Rectangle::first(tiles[tile]) };
        let mut left: VecDeque<Block> = self.order.iter().map(block).collect();
        let mut space = FreeSpace::new(whole);
        let mut places = Vec::new();
        while let Some(mut block) = left.pop_front() {
            let extent = block.part.extent;
            let found = space.first_fit(extent, self.rule);
            let (index, room) = found.unwrap_or_else(|| {
                if space.macros() < most {
                    return space.open();
                }
                space.best_cut(extent).expect("as many cells are free as are left to place")
            });
            let rests;
            (block, rests) = block.cut(room.extent);
            for rest in rests {
                if self.rest_next { left.push_front(rest) } else { left.push_back(rest) }
            }
            space.take(index, Rectangle { extent: block.part.extent, ..room });
            let place = Place { macro_index: index as u32, row: room.row, column: room.column };
            places.push((block, place));
        }
        places.sort_unstable_by_key(|(Block { tile, part }, _)| (*tile, part.row, part.column));
        Packing { macros: space.macros(), places }
    }
}

impl Block {
    /// The part of it that fits `room`, and what is left over: columns of all its rows, rows of the
    /// part's columns.
    fn cut(self, room: Extent) -> (Self, impl Iterator<Item = Self>) {
        let (part, end) = (self.part, self.part.end());
        let extent = part.extent.within(room);
        let (row, column) = (part.row + extent.rows, part.column + extent.columns);
        let fitting = Rectangle { extent, ..part };
        let rests = [part.columns(column, end.1), fitting.rows(row, end.0)];
        let block = move |part| Self { part, ..self };
        let rests = rests.into_iter().filter(|rest| rest.extent.cells() > 0);
        (block(fitting), rests.map(block))
    }
}

/// The packing of whole tiles on the fewest macros. Each must fit a macro.
fn pack(tiles: &[Extent], whole: Extent) -> Packing {
    let packings = Plan::all(tiles).map(|plan| plan.pack(tiles, whole, usize::MAX));
    packings.min_by_key(|packing| packing.macros).expect("there is a plan")
}

/// A packing on as many macros as the cells of the tiles fill, with few and cheap cuts; `scans` says
/// how often every tile is scanned for an image.
fn pack_cut(
    tiles: &[Extent],
    scans: &[u64],
    whole: Extent,
    macros: usize,
    rng: &mut impl Rng,
) -> Packing {
    let cost = |packing: &Packing| {
        let blocks = packing.places.iter().map(|(Block { tile, part }, _)| {
            let sides = part.extent.rows + part.extent.columns;
            (scans[*tile], scans[*tile] * u64::from(sides))
        });
        blocks.fold((0, 0), |sum, block| (sum.0 + block.0, sum.1 + block.1))
    };
    let climb = |mut plan: Plan| {
        let mut best = plan.pack(tiles, whole, macros);
        let mut placed = best.places.len();
        while best.places.len() > tiles.len() && placed < PLACEMENTS {
            let near = plan.near(rng);
            let packing = near.pack(tiles, whole, macros);
            placed += packing.places.len();
            if cost(&packing) <= cost(&best) {
                (plan, best) = (near, packing);
            }
        }
        best
    };
    Plan::all(tiles).map(climb).min_by_key(cost).expect("there is a plan")
}

/// Macros that are needed at least.
fn lower_bound(tiles: &[Extent], whole: Extent, cut: bool) -> usize {
    let cells: u64 = tiles.iter().map(|tile| tile.cells()).sum();
    let is_large = |tile: &&Extent| tile.rows > whole.rows / 2 && tile.columns > whole.columns / 2;
    let large = if cut { 0 } else { tiles.iter().filter(is_large).count() };
    large.max(cells.div_ceil(whole.cells()) as usize)
}

#[cfg(test)]
mod tests {
    use hafnia_rng::Seed;
    use proptest::prelude::*;

    use super::*;

    fn extents(sizes: &[(u32, u32)]) -> Vec<Extent> {
        sizes.iter().map(|&(rows, columns)| Extent { rows, columns }).collect()
    }

    fn whole(rows: u32, columns: u32) -> Extent {
        Extent { rows, columns }
    }

    /// A packing with cuts on as few macros as there can be.
    fn fill(tiles: &[Extent], scans: &[u64], whole: Extent, seed: u64) -> Packing {
        let rng = &mut Seed(seed).site("passes/tests/pack").rng();
        pack_cut(tiles, scans, whole, lower_bound(tiles, whole, true), rng)
    }

    #[test]
    fn tiles_share_a_macro() {
        let check = |tiles: &[(u32, u32)], (rows, columns), macros| {
            assert_eq!(pack(&extents(tiles), whole(rows, columns)).macros, macros);
        };
        check(&[(128, 64), (128, 64)], (128, 128), 1);
        check(&[(64, 128), (64, 128)], (128, 128), 1);
        check(&[(64, 64); 4], (128, 128), 1);
        check(&[(64, 64); 5], (128, 128), 2);
        check(&[(100, 28), (28, 100), (100, 100)], (128, 128), 1);
        check(&[(1, 1); 20], (4, 5), 1);
        check(&[(3, 1), (1, 3), (2, 2), (1, 1)], (3, 4), 1);
    }

    /// The tiles of LeNet-5 and how often each is scanned.
    const LENET5: [((u32, u32), u64); 9] = [
        ((25, 6), 784),
        ((128, 16), 100),
        ((22, 16), 100),
        ((128, 120), 1),
        ((128, 120), 1),
        ((128, 120), 1),
        ((16, 120), 1),
        ((120, 84), 1),
        ((84, 10), 1),
    ];

    #[test]
    fn lenet5_takes_five_macros_and_four_with_cuts() {
        // 400x120 is cut into three tiles of 128x120 and one of 16x120, which fits beside none of
        // the four large ones: five, though the bound is four.
        let (tiles, whole) = (extents(&LENET5.map(|(size, _)| size)), whole(128, 128));
        assert_eq!(pack(&tiles, whole).macros, 5);
        assert_eq!(lower_bound(&tiles, whole, false), 4);
        let packing = fill(&tiles, &LENET5.map(|(_, scans)| scans), whole, 1);
        let blocks = |tile| packing.places.iter().filter(move |(block, _)| block.tile == tile);
        assert_eq!(packing.macros, 4);
        assert_eq!(packing.places.len(), 12);
        assert!((0..3).all(|tile| blocks(tile).count() == 1), "no convolution is cut");
    }

    #[test]
    fn what_is_scanned_often_is_cut_last() {
        // Two tiles of 2x3 on a macro of 3x4: one of them is cut.
        for often in 0..2 {
            let scans = [0, 1].map(|tile| if tile == often { 100 } else { 1 });
            let packing = fill(&extents(&[(2, 3), (2, 3)]), &scans, whole(3, 4), 1);
            let blocks = packing.places.iter().filter(|(block, _)| block.tile == often);
            assert_eq!(blocks.count(), 1, "{packing:?}");
        }
    }

    #[test]
    fn cuts_reach_the_bound_whatever_the_shapes() {
        let packing = fill(&extents(&[(1, 2); 3]), &[1; 3], whole(3, 1), 1);
        assert_eq!((packing.macros, packing.places.len()), (2, 6));
    }

    proptest! {
        #[test]
        fn places_are_on_the_macro_and_apart(
            sizes in prop::collection::vec((1u32..=12, 1u32..=9), 1..40),
            cut: bool,
            seed: u64,
        ) {
            let (tiles, whole) = (extents(&sizes), whole(12, 9));
            let bound = lower_bound(&tiles, whole, cut);
            let packing = if cut {
                fill(&tiles, &vec![1; tiles.len()], whole, seed)
            } else {
                pack(&tiles, whole)
            };
            let mut macros = vec![vec![false; 12 * 9]; packing.macros];
            let mut cells: Vec<Vec<bool>> =
                tiles.iter().map(|tile| vec![false; tile.cells() as usize]).collect();
            for (Block { tile, part }, place) in &packing.places {
                for row in 0..part.extent.rows {
                    for column in 0..part.extent.columns {
                        let (at_row, at_column) = (place.row + row, place.column + column);
                        prop_assert!(at_row < 12 && at_column < 9);
                        let cell = &mut macros[place.macro_index as usize][(at_row * 9 + at_column) as usize];
                        prop_assert!(!std::mem::replace(cell, true), "a cell is taken twice");
                        let (row, column) = (part.row + row, part.column + column);
                        prop_assert!(column < tiles[*tile].columns);
                        let cell = &mut cells[*tile][(row * tiles[*tile].columns + column) as usize];
                        prop_assert!(!std::mem::replace(cell, true), "a cell is placed twice");
                    }
                }
            }
            prop_assert!(cells.iter().flatten().all(|cell| *cell), "all cells are placed");
            prop_assert!(macros.iter().all(|cells| cells.contains(&true)), "no macro is empty");
            prop_assert!(packing.macros >= bound);
            prop_assert!(cut || packing.places.len() == tiles.len());
            prop_assert!(!cut || packing.macros == bound);
        }
    }
}
