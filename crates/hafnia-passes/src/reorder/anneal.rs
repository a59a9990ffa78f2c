//! [`Anneal`]: simulated annealing.

use std::sync::atomic::{AtomicU64, Ordering};

use hafnia_rng::{ChaCha8Rng, Seed};
use rand::RngExt;
use rayon::prelude::*;

use super::{Found, Method, Task};
use crate::PassError;
use crate::damage::Damage;

/// Swaps of two entries, taken if they lower the damage and now and then if they do not.
pub(super) struct Anneal {
    /// Searches side by side, with draws of their own; the best order of all is taken.
    pub(super) runs: u64,
    /// Swaps that each tries.
    pub(super) steps: u64,
}

/// Most swaps that are tried to learn the size of changes.
const PROBES: u64 = 200;

/// First temperature, in mean sizes of a change.
///
/// On the last tile of a trained network, 84×10, 2000 samples, 20 000 steps, two seeds: from 1 the
/// search ended 2.8288e-3 and 2.8345e-3, from 0.3 2.8602e-3 and 2.8744e-3.
const HEAT: f64 = 1.0;

/// Last temperature over the first.
const COOLING: f64 = 0.01;

/// Steps from one report of progress to the next.
const PROGRESS_EVERY: u64 = 100;

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
            let start = (cost.damage, start.clone());
            self.search(damage, start, most, task.seed.index(index), &progress)
        };
        let ends: Vec<(f64, Vec<usize>)> = (0..self.runs).into_par_iter().map(run).collect();
        // Of equals the first, so that the number of threads does not matter.
        let best = ends.into_iter().min_by(|(a, _), (b, _)| a.total_cmp(b));
        Ok(Found::of(best.map_or(start, |(_, order)| order)))
    }
}

impl Anneal {
    /// The best order found from a start of known damage, with at most `most` conversion cycles a
    /// sample. `progress` is told of steps done since it was told last.
    fn search(
        &self,
        damage: &Damage<'_>,
        start: (f64, Vec<usize>),
        most: f64,
        seed: Seed,
        progress: &dyn Fn(u64),
    ) -> (f64, Vec<usize>) {
        let mut rng = seed.rng();
        let entries = start.1.len();
        let mut order = damage.order(&start.1);
        let probes = (self.steps / 100).min(PROBES);
        let mut changes = 0.0;
        for _ in 0..probes {
            let proposed = order.propose(pair(&mut rng, entries), f64::INFINITY);
            changes += proposed.map_or(0.0, |proposed| (proposed.damage - start.0).abs());
        }
        let mut temperature = HEAT * changes / probes.max(1) as f64;
        let cooling = libm::pow(COOLING, 1.0 / self.steps.max(1) as f64);
        progress(probes);

        let mut current = start.0;
        let mut best = start;
        for step in probes..self.steps {
            if (step - probes).is_multiple_of(PROGRESS_EVERY) {
                progress(PROGRESS_EVERY.min(self.steps - step));
            }
            let swap = pair(&mut rng, entries);
            // Metropolis: a rise is taken with probability exp(−rise / temperature).
            let rise = -temperature * libm::log(rng.random::<f64>());
            temperature *= cooling;
            let Some(proposed) = order.propose(swap, rise) else { continue };
            if proposed.damage - current <= rise && proposed.cycles <= most {
                order.accept();
                current = proposed.damage;
                if current < best.0 {
                    best = (current, order.entries().to_vec());
                }
            }
        }
        best
    }
}

/// Two different positions.
fn pair(rng: &mut ChaCha8Rng, entries: usize) -> [usize; 2] {
    let p = rng.random_range(0..entries);
    [p, (p + rng.random_range(1..entries)) % entries]
}
