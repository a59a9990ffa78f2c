//! `polarity`: stores columns inverted where that lowers the damage that noise does.
//!
//! A column that holds the complement of its weights counts n − ones where n rows are on, so that
//! the digital side restores the number of ones exactly as n − code. What changes is the noise: a
//! code errs more the more ones it counts, until it saturates, and it errs the other way. Winning
//! columns have many ones among the rows that are on, and are better stored inverted.
//!
//! What is made small is the expected damage of `analysis/damage.rs`, on the activations of training images,
//! in the order of rows as it is:
//! 1. The error of every column is worked out once as it is stored and once inverted; columns do not
//!    disturb each other.
//! 2. Where the damage is squared error, every column takes the better one; those that are slices of
//!    one output, whose errors add up, are searched as in 3.
//! 3. Where it is lost classifications, columns act together, as winner and rivals of an image: from
//!    the polarity found, one or two columns at a time are inverted, always those that help most,
//!    until none do.
//!
//! Without a profile a column is inverted if more than half of its cells are ones. On a macro whose
//! cells hold two bits this is done with or without a profile, and for both bits at once: if the mean
//! level is over half of the highest.
//!
//! With the option `rows`, first every row with more ones than zeros is stored as its complement,
//! with a negative sign, and scanned after the others. That is as exact, but rows of unlike sign share
//! no conversion: a plane takes up to one more. It is kept where the damage is lower for it or,
//! without a profile, in any case.
//!
//! The polarities that were found are taken only where they do less damage than those before on
//! training images that the search did not see: `guard.rs`.
//!
//! It interacts with the order of rows: run it before `reorder`, and again after it.
//!
//! Assumes: as `reorder`. It costs no cycle and no cell, and one bit per column, in the periphery.
//!
//! Cost: twice the damage of an order, and for lost classifications one sum over samples for every
//! pair of columns and round.

use std::num::{NonZeroU32, NonZeroUsize};

use hafnia_ir::{Mapping, RowEntry, Stage, Tile};
use serde::{Deserialize, Serialize};

use crate::analysis::{Damage, Profiled, Scanned, StaticCost};
use crate::error::PassError;
use crate::options::at_least_zero;
use crate::pass::{Context, Pass, PassInfo};
use crate::passes::guard::{self, Guard, Split};
use crate::statistics::Statistics;

/// The pass `polarity`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SetPolarity {
    /// Names of the matrices to change; none is the last, `*` is all.
    pub matrices: Vec<String>,
    /// Samples of the profile that are looked at, at most.
    pub samples: NonZeroUsize,
    /// Whether rows may be inverted too.
    pub rows: bool,
    /// Images that are held back to judge the polarities found, at most; with 0 they are taken
    /// unjudged.
    pub held_back: usize,
    /// Virtual chips on which they are judged.
    pub chips: NonZeroU32,
    /// Standard errors by which they must be better than those found in the tile there, at least 0.
    #[serde(deserialize_with = "at_least_zero")]
    pub sure: f64,
}

impl Default for SetPolarity {
    fn default() -> Self {
        let samples = NonZeroUsize::new(2000).expect("not 0");
        let Guard { held_back, chips, sure } = Guard::default();
        let chips = NonZeroU32::new(chips).expect("not 0");
        Self { matrices: Vec::new(), samples, rows: false, held_back, chips, sure }
    }
}

impl Pass for SetPolarity {
    const INFO: PassInfo = PassInfo {
        name: "polarity",
        summary: "Stores columns inverted where noise then does less damage.",
        takes: &[Stage::Tiled, Stage::Placed],
        leaves: None,
        options: &[
            ("matrices", "names of the matrices to change; `[]`: the last, `[\"*\"]`: all"),
            ("samples", "samples of the profile to look at, at most: those most damaged as found"),
            (
                "rows",
                "whether rows with more ones than zeros may be stored inverted too, which costs signs and cycles",
            ),
            guard::HELP[0],
            guard::HELP[1],
            guard::HELP[2],
        ],
    };

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        let Profiled { tiles, profile } = Profiled::new(&self.matrices, mapping, context)?;
        let cost = StaticCost::of(mapping, context);
        let guard = Guard { held_back: self.held_back, chips: self.chips.get(), sure: self.sure };
        let mut statistics = Statistics::default();
        for (done, &index) in tiles.iter().enumerate() {
            (context.progress)(done as u64, tiles.len() as u64);
            if self.rows {
                let changed = invert_rows(&mapping.tiles[index]);
                let damage = |tile| -> Result<Option<f64>, PassError> {
                    let scanned = Scanned::new(tile, profile, mapping, context)?;
                    let order: Vec<usize> = (0..scanned.tile.rows.len()).collect();
                    Ok(scanned.damage(context).map(|damage| damage.of(&order).damage))
                };
                let is_kept = match (damage(&mapping.tiles[index])?, damage(&changed)?) {
                    (Some(before), Some(after)) => after < before,
                    _ => true,
                };
                if is_kept {
                    mapping.tiles[index] = changed;
                }
            }
            let scanned = Scanned::new(&mapping.tiles[index], profile, mapping, context)?;
            let tile = &*scanned.tile;
            let name = &mapping.matrices[tile.matrix.index()].name;
            let name = |what: &str| format!("{what} ({name}, t{index})");
            let order: Vec<usize> = (0..tile.rows.len()).collect();
            let Split { seen, held } = guard.split(&scanned, context);
            let inverted = |tile: &Tile| tile.columns.iter().filter(|c| c.inverted).count() as f64;
            let mut inverts;
            match scanned.damage_on(&seen, context) {
                None => {
                    inverts = by_ones(tile, mapping.geometry.cell_bits.into());
                    let changed = invert(tile, &inverts);
                    let ones = |tile: &Tile| tile.bits.count_ones() as f64;
                    statistics = statistics.changed(name("ones"), ones(tile), ones(&changed));
                }
                Some(damage) => {
                    let focus = damage.clone().focus(&order, self.samples.get());
                    inverts = by_damage(tile, &focus, &order);
                    let mut changed = invert(tile, &inverts);
                    let mut judged = Statistics::default();
                    let [before, after] = [tile.clone(), changed.clone()];
                    let [before, after] = [before, after].map(|tile| scanned.with_tile(tile));
                    let what = format!("{}, t{index}", mapping.matrices[tile.matrix.index()].name);
                    if !guard.takes([&before, &after], &held, context, &what, &mut judged) {
                        inverts.fill(false);
                        changed = tile.clone();
                    }
                    let after = damage.with_polarity(&changed);
                    let [before, left] = [&damage, &after].map(|damage| damage.of(&order).damage);
                    statistics = statistics.changed(name(damage.unit()), before, left);
                    let after = focus.with_polarity(&changed);
                    let [before, left] = [&focus, &after].map(|focus| focus.ones(&order));
                    let what = "ones a conversion of the columns that count";
                    statistics = statistics.changed(name(what), before, left);
                    statistics.lines.extend(judged.lines);
                }
            }
            let changed = invert(&mapping.tiles[index], &inverts);
            let [before, after] = [inverted(tile), inverted(&changed)];
            statistics = statistics.changed(name("inverted columns"), before, after);
            mapping.tiles[index] = changed;
        }
        Ok(cost.changed(StaticCost::of(mapping, context), statistics))
    }
}

/// The tile with every row of more ones than zeros stored as its complement, negative rows last.
fn invert_rows(tile: &Tile) -> Tile {
    let mut tile = tile.clone();
    let columns = tile.columns.len();
    let ones = |row| (0..columns).filter(|&column| tile.bits.get(row, column)).count();
    let inverts: Vec<bool> = (0..tile.physical_rows()).map(|row| 2 * ones(row) > columns).collect();
    for (row, _) in inverts.iter().enumerate().filter(|(_, inverts)| **inverts) {
        for column in 0..columns {
            let bit = tile.bits.get(row, column);
            tile.bits.set(row, column, !bit);
        }
    }
    let signed = tile.rows.iter().map(|entry| {
        let negative = entry.negative ^ inverts[entry.physical as usize];
        RowEntry { negative, ..entry }
    });
    tile.rows = signed.collect();
    let mut order: Vec<usize> = (0..tile.rows.len()).collect();
    order.sort_by_key(|&entry| tile.rows.get(entry).negative);
    tile.with_order(&order)
}

/// The tile with some columns inverted.
pub(crate) fn invert(tile: &Tile, columns: &[bool]) -> Tile {
    let mut tile = tile.clone();
    for (column, _) in columns.iter().enumerate().filter(|(_, inverts)| **inverts) {
        tile.columns[column].inverted ^= true;
        for row in 0..tile.physical_rows() {
            let bit = tile.bits.get(row, column);
            tile.bits.set(row, column, !bit);
        }
    }
    tile
}

/// Whether to invert each column: if more than half of its cells are ones. The `cell` columns of
/// a cell go together, by the sum of levels.
fn by_ones(tile: &Tile, cell: usize) -> Vec<bool> {
    let rows = tile.physical_rows();
    let ones = |column| (0..rows).filter(|&row| tile.bits.get(row, column)).count();
    let is_high = |first: usize| {
        let levels: usize = (0..cell).map(|plane| ones(first + plane) << plane).sum();
        2 * levels > rows * ((1 << cell) - 1)
    };
    (0..tile.columns.len()).map(|column| is_high(column - column % cell)).collect()
}

/// Whether to invert each column, for the least damage.
pub(crate) fn by_damage(tile: &Tile, damage: &Damage<'_>, order: &[usize]) -> Vec<bool> {
    let columns = tile.columns.len();
    let other = invert(tile, &vec![true; columns]);
    let errors = [damage.errors(order), damage.with_polarity(&other).errors(order)];
    if !damage.is_last() {
        let mut inverts = vec![false; columns];
        let looked_at = damage.columns().next().unwrap_or_default();
        for output in damage.outputs() {
            let squared = |inverts: &[bool]| -> f64 {
                let of_sample = |sample: usize| {
                    let slices = output.clone().zip(inverts);
                    let [m, v] = slices.fold([0.0; 2], |sum, (k, &inverts)| {
                        let [m, v] = errors[usize::from(inverts)][sample][k];
                        [sum[0] + m, sum[1] + v]
                    });
                    m * m + v
                };
                (0..errors[0].len()).map(of_sample).sum()
            };
            let found = search(output.len(), squared);
            for (k, is_inverted) in output.zip(found) {
                inverts[usize::from(looked_at[k])] = is_inverted;
            }
        }
        return inverts;
    }
    let chosen: Vec<&[u16]> = damage.columns().collect();
    search(columns, |inverts| {
        let of_sample = chosen.iter().enumerate().map(|(sample, columns)| {
            let error = |(k, &column): (usize, &u16)| {
                errors[usize::from(inverts[usize::from(column)])][sample][k]
            };
            columns.iter().enumerate().map(error).collect::<Vec<_>>()
        });
        damage.of_errors(of_sample)
    })
}

/// The best of the choices for which no change of one or two columns is better, reached from no
/// column inverted by the best change each time.
fn search(columns: usize, damage: impl Fn(&[bool]) -> f64) -> Vec<bool> {
    let mut inverts = vec![false; columns];
    let mut least = damage(&inverts);
    loop {
        let mut best = None;
        for a in 0..columns {
            // b = a inverts one column alone.
            for b in a..columns {
                let mut other = inverts.clone();
                other[a] ^= true;
                other[b] ^= a != b;
                let found = damage(&other);
                if found < least {
                    (least, best) = (found, Some(other));
                }
            }
        }
        match best {
            Some(better) => inverts = better,
            None => return inverts,
        }
    }
}

#[cfg(test)]
mod tests {
    use hafnia_cim::{CodeTable, MacroSpec};
    use hafnia_ir::{prove, verify};
    use hafnia_model::BitMatrix;
    use hafnia_rng::Seed;
    use rand::RngExt;

    use super::*;
    use crate::tests::{linear, profile};

    /// The last matrix of a random network with columns of many ones, polarised.
    fn polarised(with_profile: bool) -> (Mapping, Statistics) {
        let mut rng = Seed(3).rng();
        let bits = BitMatrix::from_fn(30, 6, |_, column| rng.random_ratio(column as u32 + 1, 7));
        let network = linear(bits, 2);
        let mut spec = MacroSpec::preset("gt-n40").unwrap();
        (spec.adc.offset_lsb, spec.cell.sigma_lrs_rel) = (0.2, 0.2);
        let profile = profile(Seed(1), &network, 200);
        let context = Context {
            network: &network,
            spec: &spec,
            profile: with_profile.then_some(&profile),
            code_table: &CodeTable::from_spec(&spec),
            seed: Seed(1),
            progress: &|_, _| {},
        };
        let mut mapping = Mapping::logical(&network, &spec);
        mapping.stage = Stage::Tiled;
        let statistics = SetPolarity { held_back: 0, ..SetPolarity::default() }
            .run(&mut mapping, &context)
            .unwrap();
        verify(&mapping).unwrap();
        prove(&mapping, &network).unwrap();
        (mapping, statistics)
    }

    #[test]
    fn the_damage_falls_and_the_network_stays() {
        let (_, statistics) = polarised(true);
        let line = &statistics.lines[0];
        assert!(line.name.starts_with("expected flips a sample"), "{line}");
        assert!(line.after < line.before.unwrap(), "{line}");
    }

    #[test]
    fn without_a_profile_no_column_has_more_ones_than_zeros() {
        let (mapping, _) = polarised(false);
        let tile = &mapping.tiles[0];
        for column in 0..6 {
            let ones = (0..30).filter(|&row| tile.bits.get(row, column)).count();
            assert!(ones <= 15, "column {column}: {ones}");
        }
    }

    /// Where columns act together by twos, two inverted at once find what one at a time does not.
    #[test]
    fn the_search_finds_pairs() {
        let damage = |inverts: &[bool]| match inverts {
            [true, true, false] => 0.0,
            [false, false, false] => 1.0,
            _ => 2.0,
        };
        assert_eq!(search(3, damage), [true, true, false]);
    }
}
