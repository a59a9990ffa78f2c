//! Branch and bound from the first row on, for tiles that are scanned in windows or share rows.
//!
//! Orders are built from the front, position by position; a beginning is given up when no way to go
//! on can do less damage than the best order known. What no way to go on can do less than is
//! `damage/bound.rs`. Of orders that differ in nothing but two neighbours which share a conversion
//! wherever both are on, and their physical rows with no other entry, one is looked at: the damage
//! of the others is the same.

use super::ends::Closed;
use crate::damage::{Completions, Damage};

/// The best order from one that is known, or the best known and a bound after so many beginnings.
pub(super) fn close(
    damage: &Damage<'_>,
    completions: Completions,
    (best, order): (f64, Vec<usize>),
    steps: u64,
) -> Closed {
    let rest: Vec<usize> = (0..order.len()).collect();
    let mut search = Search { damage, completions, best, order, left: steps, open: f64::INFINITY };
    search.extend(&mut Vec::new(), &rest);
    let bound = search.best.min(search.open);
    Closed { order: search.order, damage: search.best, bound }
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
