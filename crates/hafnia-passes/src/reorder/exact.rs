//! [`Exact`]: the best order, for tiles of few rows.
//!
//! Two searches. `ends.rs` closes tiles of 16 rows; it needs a scan in one window and rows that are
//! not shared. `beginnings.rs` does without, and is slow beyond 12 rows.

mod beginnings;
mod ends;

use super::{Found, Method, Task};
use crate::PassError;
use ends::{Closed, Ends};

/// Branch and bound.
pub(super) struct Exact {
    /// Parts of orders that are looked at, at most.
    pub(super) steps: u64,
}

/// Most entries: the number of sets grows with the power of two of them, of orders with their
/// factorial.
const MOST_ROWS: usize = 16;

impl Method for Exact {
    fn find(&self, task: &Task<'_>) -> Result<Found, PassError> {
        let damage = task.focus()?;
        let rows = task.tile.rows.len();
        if rows > MOST_ROWS {
            return Err(PassError::TooManyRows { rows, most: MOST_ROWS });
        }
        if task.tile.rows.scan().iter().any(|entry| entry.negative) {
            return Err(PassError::NegativeRows);
        }
        let starts = task.starts()?.map(|order| (damage.of(&order).damage, order));
        let start = starts.into_iter().min_by(|(a, _), (b, _)| a.total_cmp(b));
        let start = start.expect("there are some");
        let completions = damage.completions();
        let Closed { order, damage, bound } = match Ends::new(damage, &completions, rows) {
            Some(mut ends) => ends.close(damage, start, self.steps),
            None => beginnings::close(damage, completions, start, self.steps),
        };
        Ok(Found { order, bound: Some((damage, bound)) })
    }
}

#[cfg(test)]
mod tests {
    use hafnia_bits::BitMatrix;
    use hafnia_cim::{CodeTable, InputControl};
    use hafnia_ir::{Geometry, RowEntry, Stage, random};
    use hafnia_rng::Seed;
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;
    use crate::damage::Damage;
    use crate::tests::{linear, profile, spec};

    /// Calls with every order of these entries, by Heap's algorithm.
    fn each_order(entries: &mut [usize], left: usize, call: &mut impl FnMut(&[usize])) {
        if left <= 1 {
            return call(entries);
        }
        for index in 0..left {
            each_order(entries, left - 1, call);
            entries.swap(if left.is_multiple_of(2) { index } else { 0 }, left - 1);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn both_searches_find_the_best_of_all_orders(seed: u64, is_last: bool) {
            let seed = Seed(seed);
            let rng = &mut seed.rng();
            let (rows, columns) = (rng.random_range(1..=6), rng.random_range(1..=5));
            let bits = BitMatrix::from_fn(rows, columns, |_, _| rng.random());
            let network = linear(bits, rng.random_range(1..=3));
            let mut spec = spec(seed);
            // Few rows in a conversion, so that there are many.
            spec.rows_per_conversion = rng.random_range(1..=3);
            spec.input_control = InputControl::OrderedScan;
            let code_table = CodeTable::from_spec(&spec);
            let geometry = Geometry::new("wide", 128, 128);
            let mapping = random::mapping(seed, &network, &geometry, Stage::Logical);
            let mut tile = mapping.tiles[0].clone();
            let positive = |entry| RowEntry { negative: false, ..entry };
            tile.rows = tile.rows.iter().map(positive).collect();
            let profile = &profile(seed, &network, 20).matrices[0];
            let is_whole = [tile.rows.len(), tile.columns.len()] == [rows, columns];
            let last = (is_last && is_whole).then_some(network.matrices()[0].weights);
            let damage = Damage::new(&tile, profile, (&spec, &code_table), last);

            let start: Vec<usize> = (0..tile.rows.len()).collect();
            let mut best = f64::INFINITY;
            each_order(&mut start.clone(), start.len(), &mut |order| {
                best = best.min(damage.of(order).damage);
            });
            let check = |closed: Closed| {
                for found in [damage.of(&closed.order).damage, closed.damage, closed.bound] {
                    // What is better by less than a 1e-12th is taken for rounding.
                    prop_assert!((found - best).abs() <= 1e-11 * best, "{} {}", found, best);
                }
                Ok(())
            };
            let start = (damage.of(&start).damage, start);
            let completions = damage.completions();
            let ends = Ends::new(&damage, &completions, start.1.len());
            prop_assert_eq!(ends.is_some(), !tile.rows.has_shared_rows());
            if let Some(mut ends) = ends {
                check(ends.close(&damage, start.clone(), u64::MAX))?;
            }
            check(beginnings::close(&damage, completions, start, u64::MAX))?;
        }
    }
}
