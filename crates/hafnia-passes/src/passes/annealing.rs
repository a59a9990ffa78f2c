//! [`Annealing`]: simulated annealing of an order, for every pass that searches by changes of one.

use std::sync::atomic::{AtomicU64, Ordering};

use hafnia_rng::{ChaCha8Rng, Seed};
use rand::RngExt;
use rayon::prelude::*;

use crate::analysis::{Change, Order};

/// Annealing runs, which share the processors.
pub(crate) struct Annealing<'a> {
    /// Runs with draws of their own, of which the best is taken; at least 1.
    pub(crate) runs: u64,
    /// Changes that each of them tries.
    pub(crate) steps: u64,
    pub(crate) seed: Seed,
    /// A callback for (steps done, steps in all).
    pub(crate) progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// The changes that a search tries.
pub(crate) trait Changes: Sync {
    /// A change to try; none if there was nothing to draw.
    fn draw(&self, order: &Order<'_>, rng: &mut ChaCha8Rng) -> Option<Change>;
}

/// Most changes that are tried to learn the size of changes.
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

/// The best order that was met.
#[derive(Clone)]
pub(crate) struct Best {
    pub(crate) damage: f64,
    /// The entry of the tile at every position, and its physical row.
    pub(crate) entries: Vec<usize>,
    pub(crate) physical: Vec<u32>,
}

impl Annealing<'_> {
    /// The best order that the runs find from one of this damage, with at most `cycles` conversion
    /// cycles per sample.
    pub(crate) fn best<'d>(
        &self,
        (damage, cycles): (f64, f64),
        order: impl Fn() -> Order<'d> + Sync,
        changes: &dyn Changes,
    ) -> Best {
        let done = AtomicU64::new(0);
        let progress = |steps| {
            let before = done.fetch_add(steps, Ordering::Relaxed);
            (self.progress)(before + steps, self.runs * self.steps);
        };
        let run = |index: u64| {
            let (limits, seed) = ((self.steps, cycles), self.seed.index(index));
            anneal(&mut order(), damage, changes, limits, seed, &progress)
        };
        let ends: Vec<Best> = (0..self.runs).into_par_iter().map(run).collect();
        // Of equals the first, so that the number of threads does not matter.
        let best = ends.into_iter().min_by(|a, b| a.damage.total_cmp(&b.damage));
        best.expect("there is at least one run")
    }
}

/// The best order found by `steps` changes of an order of known damage, with at most `most` conversion
/// cycles per sample. `progress` is called with the steps done since it was called last.
///
/// Some changes are tried first to learn the size of what they do, which sets the first temperature.
/// The temperature then falls geometrically.
fn anneal(
    order: &mut Order<'_>,
    damage: f64,
    changes: &dyn Changes,
    (steps, most): (u64, f64),
    seed: Seed,
    progress: &dyn Fn(u64),
) -> Best {
    let mut rng = seed.rng();
    let probes = (steps / 100).min(PROBES);
    let mut sizes = 0.0;
    for _ in 0..probes {
        let change = changes.draw(order, &mut rng);
        let proposed = change.and_then(|change| order.propose(change, f64::INFINITY));
        sizes += proposed.map_or(0.0, |proposed| (proposed.damage - damage).abs());
    }
    let mut temperature = HEAT * sizes / probes.max(1) as f64;
    let cooling = libm::pow(COOLING, 1.0 / steps.max(1) as f64);
    progress(probes);

    let mut current = damage;
    let now = |order: &Order<'_>, damage| Best {
        damage,
        entries: order.entries().to_vec(),
        physical: order.physical().to_vec(),
    };
    let mut best = now(order, damage);
    for step in probes..steps {
        if (step - probes).is_multiple_of(PROGRESS_EVERY) {
            progress(PROGRESS_EVERY.min(steps - step));
        }
        let change = changes.draw(order, &mut rng);
        // Metropolis: a rise is taken with probability exp(−rise / temperature).
        let rise = -temperature * libm::log(rng.random::<f64>());
        temperature *= cooling;
        let proposed = change.and_then(|change| order.propose(change, rise));
        let Some(proposed) = proposed else { continue };
        if proposed.damage - current <= rise && proposed.cycles <= most {
            order.accept();
            current = proposed.damage;
            if current < best.damage {
                best = now(order, current);
            }
        }
    }
    best
}

/// Two different positions.
pub(crate) fn pair(rng: &mut ChaCha8Rng, entries: usize) -> [usize; 2] {
    let p = rng.random_range(0..entries);
    [p, (p + rng.random_range(1..entries)) % entries]
}
