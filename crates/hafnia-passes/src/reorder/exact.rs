//! [`Exact`]: branch and bound, for tiles of few rows.

use super::{Found, Method, Task};
use crate::PassError;
use crate::damage::{Completions, Damage};

/// Orders built from the front, position by position; a beginning is given up when no way to go on
/// can do less damage than the best order known.
///
/// What no way to go on can do less than is `damage/bound.rs`. Of orders that differ in nothing but
/// two neighbours which share a conversion wherever both are on, one is looked at: the damage of the
/// others is the same.
pub(super) struct Exact {
    /// Beginnings that are looked at, at most.
    pub(super) steps: u64,
}

/// Most entries: the number of orders grows with their factorial.
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
        let (best, order) = start.expect("there are some");
        let mut search = Search {
            damage,
            completions: damage.completions(),
            best,
            order,
            left: self.steps,
            open: f64::INFINITY,
        };
        search.extend(&mut Vec::new(), &(0..rows).collect::<Vec<_>>());
        let lower_bound = search.best.min(search.open);
        Ok(Found { order: search.order, bound: Some((search.best, lower_bound)) })
    }
}

struct Search<'a> {
    damage: &'a Damage<'a>,
    completions: Completions,
    /// The least damage known, and its order.
    best: f64,
    order: Vec<usize>,
    /// Beginnings that may still be looked at.
    left: u64,
    /// The least bound of those that were not.
    open: f64,
}

impl Search<'_> {
    fn extend(&mut self, prefix: &mut Vec<usize>, rest: &[usize]) {
        let mut branches = Vec::new();
        for (index, &entry) in rest.iter().enumerate() {
            let mut rest = rest.to_vec();
            rest.remove(index);
            prefix.push(entry);
            let bound = self.damage.bound(&self.completions, prefix, &rest);
            prefix.pop();
            let is_twin = !bound.splits && prefix.last().is_some_and(|&last| last > entry);
            if !is_twin {
                branches.push((bound.damage, entry, rest));
            }
        }
        branches.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
        for (bound, entry, rest) in branches {
            if bound >= self.best {
                return;
            }
            if self.left == 0 {
                self.open = self.open.min(bound);
                return;
            }
            self.left -= 1;
            prefix.push(entry);
            if rest.is_empty() {
                (self.best, self.order) = (bound, prefix.clone());
            } else {
                self.extend(prefix, &rest);
            }
            prefix.pop();
        }
    }
}
