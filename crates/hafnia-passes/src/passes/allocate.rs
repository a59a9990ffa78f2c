//! `allocate`: decides which equal rows share a physical row, and where they stand in the scan, so that
//! noise does the least damage with a given number of physical rows.
//!
//! Registers are allocated to names in the same way, of which there are more. `rename` lets all equal rows share a
//! physical row, which takes the fewest, and rows that share a cell err together. Between that and a
//! row for each lies a choice, and it depends on the order: two entries of one physical row may not
//! share a conversion. So both are searched together, with the polarity of columns:
//!
//! 1. The tile as it is, if it takes no more rows than it may, or else with all equal rows shared, is
//!    the start. Its columns are inverted as `polarity` does.
//! 2. Simulated annealing, as in `reorder`. A step swaps two entries in the scan; or gives an entry
//!    another physical row of the same bits, in use or free, as long as there are no more than may be;
//!    or splits one that is shared and makes others share in its place.
//! 3. Columns are inverted anew.
//!
//! What is made small is the expected damage of `analysis/damage.rs`, with the covariances that shared cells
//! make. What was found is taken only where it does less damage than the start on training images that
//! the search did not see: `guard.rs`.
//!
//! Rows that `pack` leaves unused cost nothing: unless the option `rows` says how many there may be,
//! a tile may take as many as leave the macros as many as they are.
//!
//! Assumes: as `reorder`; and that the rows of a tile are issued one by one (`repeat`).
//!
//! Cost: as `reorder` for rows that are shared.

use std::num::{NonZeroU32, NonZeroUsize};

use hafnia_ir::{Mapping, RowEntry, Stage, Tile};
use hafnia_rng::{ChaCha8Rng, Seed};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::analysis::{
    Change, Damage, Order, Profiled, Scanned, StaticCost, refuse_unknown_errors,
};
use crate::error::PassError;
use crate::options::{at_least_one, at_least_zero};
use crate::pass::{Context, Pass, PassInfo};
use crate::passes::annealing::{Annealing, Best, Changes, pair};
use crate::passes::guard::{self, Guard, Split};
use crate::passes::pack::macros_of;
use crate::passes::polarity::{by_damage, invert};
use crate::statistics::Statistics;

/// The pass `allocate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AllocateRows {
    /// Names of the matrices to change; none is the last, `*` is all.
    pub matrices: Vec<String>,
    /// Physical rows that a tile may take, at most; 0 is as many as take no further macro.
    pub rows: usize,
    /// Whether columns may be inverted.
    pub polarity: bool,
    /// Changes that an annealing run tries, per tile.
    pub steps: u64,
    /// Annealing runs, of which the best is taken; they share the processors.
    pub runs: NonZeroU32,
    /// Most conversion cycles, as a multiple of those of the start, at least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub cycles: f64,
    /// Tells annealing runs apart.
    pub seed: u64,
    /// Samples of the profile to look at, at most: those most damaged at the start.
    pub samples: NonZeroUsize,
    /// Images that are held back to judge what was found, at most; with 0 it is taken unjudged.
    pub held_back: usize,
    /// Virtual chips on which it is judged.
    pub chips: NonZeroU32,
    /// Standard errors by which it must be better than the start there, at least 0.
    #[serde(deserialize_with = "at_least_zero")]
    pub sure: f64,
}

impl Default for AllocateRows {
    fn default() -> Self {
        let Guard { held_back, chips, sure } = Guard::default();
        Self {
            matrices: Vec::new(),
            rows: 0,
            polarity: true,
            steps: 20_000,
            runs: NonZeroU32::new(2).expect("not 0"),
            cycles: 1.25,
            seed: 0,
            samples: NonZeroUsize::new(2000).expect("not 0"),
            held_back,
            chips: NonZeroU32::new(chips).expect("not 0"),
            sure,
        }
    }
}

impl Pass for AllocateRows {
    const INFO: PassInfo = PassInfo {
        name: "allocate",
        summary: "Decides which equal rows share a physical row, and their order, for the least damage with so many rows.",
        takes: &[Stage::Tiled],
        leaves: None,
        options: &[
            ("matrices", "names of the matrices to change; `[]`: the last, `[\"*\"]`: all"),
            (
                "rows",
                "physical rows that a tile may take, at most; `0`: as many as take no further macro",
            ),
            ("polarity", "whether columns may be inverted too"),
            ("steps", "changes that an annealing run tries, per tile"),
            ("runs", "annealing runs from the same start, side by side; the best is kept"),
            ("cycles", "most conversion cycles, as a multiple of those of the start"),
            ("seed", "tells annealing runs apart"),
            (
                "samples",
                "samples of the profile to look at, at most: those most damaged at the start",
            ),
            guard::HELP[0],
            guard::HELP[1],
            guard::HELP[2],
        ],
    };

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        refuse_unknown_errors("pass `allocate`", mapping, context)?;
        let Profiled { tiles, profile } = Profiled::new(&self.matrices, mapping, context)?;
        profile.ok_or(PassError::NoProfile { what: "pass `allocate`" })?;
        let cost = StaticCost::of(mapping, context);
        let guard = Guard { held_back: self.held_back, chips: self.chips.get(), sure: self.sure };
        let mut statistics = Statistics::default();
        for (done, &index) in tiles.iter().enumerate() {
            let matrix = &mapping.matrices[mapping.tiles[index].matrix.index()].name;
            let classes = Classes::of(&mapping.tiles[index]);
            let most = self.most_rows(mapping, index, &classes)?;
            let start = classes.start(&mapping.tiles[index], most);
            let scanned = Scanned::new(&start, profile, mapping, context)?;
            let split = guard.split(&scanned, context);
            let search = Search {
                pass: self,
                context,
                scanned: &scanned,
                classes: &classes,
                most,
                seed: context.seed.site("passes/allocate").index(self.seed).index(index as u64),
                progress: &|of_tile, all| {
                    (context.progress)(done as u64 * all + of_tile, tiles.len() as u64 * all);
                },
            };
            let found = search.find(&split);
            let name = format!("{matrix}, t{index}");
            let ways = [&scanned, &scanned.with_tile(found.clone())];
            let mut judged = Statistics::default();
            let takes = guard.takes(ways, &split.held, context, &name, &mut judged);
            let left = if takes { found } else { start.clone() };
            let damage = |tile: &Tile| {
                let scanned = scanned.with_tile(tile.clone());
                let damage = scanned.damage_on(&split.seen, context);
                damage.map(|damage| (damage.unit(), damage.of(&natural(tile))))
            };
            if let (Some((unit, before)), Some((_, after))) = (damage(&start), damage(&left)) {
                statistics = statistics
                    .changed(format!("{unit} ({name})"), before.damage, after.damage)
                    .changed(
                        format!("conversion cycles a sample (t{index})"),
                        before.cycles,
                        after.cycles,
                    );
            }
            statistics.lines.extend(judged.lines);
            mapping.tiles[index] = left;
        }
        Ok(cost.changed(StaticCost::of(mapping, context), statistics))
    }
}

impl AllocateRows {
    /// Physical rows that a tile may take.
    fn most_rows(
        &self,
        mapping: &Mapping,
        index: usize,
        classes: &Classes,
    ) -> Result<usize, PassError> {
        let tile = &mapping.tiles[index];
        let matrix = || mapping.matrices[tile.matrix.index()].name.clone();
        if tile.pre_add {
            return Err(PassError::RowsAdded { matrix: matrix() });
        }
        let least = classes.0.len();
        let most = tile.rows.len().min(mapping.geometry.rows);
        if self.rows > 0 {
            if self.rows < least {
                let what = format!("the different rows of a tile of matrix `{}`", matrix());
                let option = "rows";
                return Err(PassError::TooSmall { option, value: self.rows, least, what });
            }
            return Ok(self.rows.min(most));
        }
        let macros = |rows: usize| {
            let rows_of = |(at, tile): (usize, &Tile)| {
                if at == index { rows as u32 } else { tile.physical_rows() as u32 }
            };
            macros_of(mapping, mapping.tiles.iter().enumerate().map(rows_of))
        };
        let as_found = macros(tile.physical_rows());
        Ok((least..=most).rev().find(|&rows| macros(rows) <= as_found).unwrap_or(least))
    }
}

/// The entries of a tile by the bits of their physical rows.
struct Classes(Vec<Vec<usize>>);

impl Classes {
    fn of(tile: &Tile) -> Self {
        let mut classes: Vec<Vec<usize>> = Vec::new();
        let bits = |entry: usize| tile.bits.row(tile.rows.get(entry).physical as usize);
        for entry in 0..tile.rows.len() {
            match classes.iter_mut().find(|class| bits(class[0]) == bits(entry)) {
                Some(class) => class.push(entry),
                None => classes.push(vec![entry]),
            }
        }
        Self(classes)
    }

    /// The tile as it is, if it takes no more physical rows than `most`, or with all that are equal
    /// shared.
    fn start(&self, tile: &Tile, most: usize) -> Tile {
        if tile.physical_rows() <= most {
            return tile.clone();
        }
        let mut physical: Vec<u32> = vec![0; tile.rows.len()];
        for class in &self.0 {
            class.iter().for_each(|&entry| physical[entry] = class[0] as u32);
        }
        allocated(&spread(tile), &natural(tile), &physical)
    }
}

/// The entries in the order in which they stand.
fn natural(tile: &Tile) -> Vec<usize> {
    (0..tile.rows.len()).collect()
}

/// The tile with a physical row for every entry, the one of its number, all entries on the first of
/// those that hold what they share.
fn spread(tile: &Tile) -> Tile {
    let physical: Vec<usize> = tile.rows.iter().map(|entry| entry.physical as usize).collect();
    let first = |entry: &RowEntry| {
        let of = |&physical: &usize| physical == entry.physical as usize;
        physical.iter().position(of).expect("its own at least") as u32
    };
    Tile {
        bits: tile.bits.select_rows(physical.iter().copied()),
        rows: tile.rows.iter().map(|entry| RowEntry { physical: first(&entry), ..entry }).collect(),
        ..tile.clone()
    }
}

/// A spread tile with its entries in this order, on these physical rows, and without those that no
/// entry uses.
fn allocated(tile: &Tile, order: &[usize], physical: &[u32]) -> Tile {
    let entry = |(&entry, &physical): (&usize, &u32)| RowEntry { physical, ..tile.rows.get(entry) };
    let rows = order.iter().zip(physical).map(entry).collect();
    Tile { rows, ..tile.clone() }.with_entries(&natural(tile))
}

/// The search of a tile.
struct Search<'a> {
    pass: &'a AllocateRows,
    context: &'a Context<'a>,
    /// The start.
    scanned: &'a Scanned<'a>,
    classes: &'a Classes,
    most: usize,
    seed: Seed,
    /// A callback for (steps done, steps in all).
    progress: &'a (dyn Fn(u64, u64) + Sync),
}

impl Search<'_> {
    fn find(&self, Split { seen, .. }: &Split) -> Tile {
        let start = self.inverted(&self.scanned.tile, seen);
        let spread = spread(&start);
        let scanned = self.scanned.with_tile(spread.clone());
        let order = natural(&spread);
        let Some(whole) = scanned.damage_on(seen, self.context) else { return start };
        let damage = whole.focus(&order, self.pass.samples.get());
        // Entries stand in the order of the tile at the start, which classes name them by.
        let best = self.best(&damage, &order);
        let found = allocated(&spread, &best.entries, &best.physical);
        self.inverted(&found, seen)
    }

    fn best(&self, damage: &Damage<'_>, order: &[usize]) -> Best {
        let cost = damage.of(order);
        let annealing = Annealing {
            runs: self.pass.runs.get().into(),
            steps: self.pass.steps,
            seed: self.seed,
            progress: self.progress,
        };
        let changes = Allocations { classes: &self.classes.0, most: self.most };
        let limits = (cost.damage, self.pass.cycles * cost.cycles);
        annealing.best(limits, || Order::gathered(damage, order), &changes)
    }

    /// The tile with columns inverted where that lowers the damage.
    fn inverted(&self, tile: &Tile, seen: &[usize]) -> Tile {
        if !self.pass.polarity {
            return tile.clone();
        }
        let scanned = self.scanned.with_tile(tile.clone());
        let Some(damage) = scanned.damage_on(seen, self.context) else { return tile.clone() };
        let focus = damage.focus(&natural(tile), self.pass.samples.get());
        let inverts = by_damage(tile, &focus, &natural(tile));
        invert(tile, &inverts)
    }
}

/// Swaps in the scan, and other physical rows for entries.
struct Allocations<'a> {
    /// Entries of equal bits, and so the physical rows that hold them.
    classes: &'a [Vec<usize>],
    most: usize,
}

impl Changes for Allocations<'_> {
    fn draw(&self, order: &Order<'_>, rng: &mut ChaCha8Rng) -> Option<Change> {
        let entries = order.entries().len();
        if entries < 2 {
            return None;
        }
        if rng.random() {
            return Some(Change::Swap(pair(rng, entries)));
        }
        let physical = order.physical();
        let mut users = vec![0; entries];
        physical.iter().for_each(|&row| users[row as usize] += 1);
        let used = users.iter().filter(|&&users| users > 0).count();
        let is_room = used < self.most;
        let shared: Vec<usize> = self
            .classes
            .iter()
            .flat_map(|class| class.get(1..).map(|_| class))
            .flatten()
            .copied()
            .collect();
        if shared.is_empty() {
            return Some(Change::Swap(pair(rng, entries)));
        }
        let entry = shared[rng.random_range(0..shared.len())];
        let position = |entry: usize| order.entries().iter().position(|&at| at == entry);
        let (at, class) = (position(entry)?, self.classes.iter().find(|c| c.contains(&entry))?);
        let other = class[rng.random_range(0..class.len())];
        let row = other as u32;
        if row == physical[at] {
            return None;
        }
        let is_split = users[other] == 0 && users[physical[at] as usize] > 1;
        if !is_split || is_room {
            return Some(Change::Assign([(at, row); 2]));
        }
        // No row is free: one that another entry has alone becomes free, which joins its equals.
        let alone =
            |&entry: &usize| position(entry).is_some_and(|at| users[physical[at] as usize] == 1);
        let leaving: Vec<usize> = shared.iter().copied().filter(alone).collect();
        let leaving = *leaving.get(rng.random_range(0..leaving.len().max(1)))?;
        let from = position(leaving)?;
        let class = self.classes.iter().find(|class| class.contains(&leaving))?;
        let is_other = |row: &&usize| users[**row] > 0 && **row as u32 != physical[from];
        let rows: Vec<&usize> = class.iter().filter(is_other).collect();
        let to = **rows.get(rng.random_range(0..rows.len().max(1)))?;
        (from != at).then_some(Change::Assign([(at, row), (from, to as u32)]))
    }
}

#[cfg(test)]
mod tests;
