//! [`Anneal`]: simulated annealing.

use std::sync::atomic::{AtomicU64, Ordering};

use hafnia_rng::ChaCha8Rng;
use rayon::prelude::*;

use super::{Found, Method, Task};
use crate::PassError;
use crate::annealing::{Changes, anneal, pair};
use crate::damage::{Change, Order};

/// Swaps of two entries, taken if they lower the damage and now and then if they do not.
pub(super) struct Anneal {
    /// Searches side by side, with draws of their own; the best order of all is taken.
    pub(super) runs: u64,
    /// Swaps that each tries.
    pub(super) steps: u64,
}

impl Method for Anneal {
    fn find(&self, task: &Task<'_>) -> Result<Found, PassError> {
        let damage = task.focus()?;
        // The first start is the natural order, which is within the limit.
        let starts = task.starts()?.map(|order| (damage.of(&order), order));
        let most = task.cycles * starts[0].0.cycles;
        let (cost, start) = starts
            .into_iter()
            .filter(|(cost, _)| cost.cycles <= most)
            .min_by(|(a, _), (b, _)| a.damage.total_cmp(&b.damage))
            .expect("the natural order is within the limit");
        if start.len() < 2 {
            return Ok(Found::of(start));
        }
        let done = AtomicU64::new(0);
        let run = |index: u64| {
            let progress = |steps| {
                (task.progress)(
                    done.fetch_add(steps, Ordering::Relaxed) + steps,
                    self.runs * self.steps,
                );
            };
            let (seed, limits) = (task.seed.index(index), (self.steps, most));
            let mut order = damage.order(&start);
            let best = anneal(&mut order, cost.damage, &mut Swaps, limits, seed, &progress);
            (best.damage, best.entries)
        };
        let ends: Vec<(f64, Vec<usize>)> = (0..self.runs).into_par_iter().map(run).collect();
        // Of equals the first, so that the number of threads does not matter.
        let best = ends.into_iter().min_by(|(a, _), (b, _)| a.total_cmp(b));
        Ok(Found::of(best.map_or(start, |(_, order)| order)))
    }
}

/// Swaps of two entries, drawn evenly.
struct Swaps;

impl Changes for Swaps {
    fn draw(&mut self, order: &Order<'_>, rng: &mut ChaCha8Rng) -> Option<Change> {
        Some(Change::Swap(pair(rng, order.entries().len())))
    }
}
