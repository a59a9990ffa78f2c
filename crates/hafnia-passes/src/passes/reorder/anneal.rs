//! Method `anneal`: swaps of two entries, drawn evenly.

use hafnia_rng::ChaCha8Rng;

use crate::analysis::{Change, Damage, Order};
use crate::passes::annealing::{Annealing, Changes, pair};

/// The best order that annealing finds from the best of `starts`, of which the first is the natural one.
/// It takes at most `cycles` times the conversion cycles of that.
pub(super) fn anneal(
    damage: &Damage<'_>,
    starts: [Vec<usize>; 4],
    cycles: f64,
    annealing: &Annealing<'_>,
) -> Vec<usize> {
    let starts = starts.map(|order| (damage.of(&order), order));
    let most = cycles.max(1.0) * starts[0].0.cycles;
    let (cost, start) = starts
        .into_iter()
        .filter(|(cost, _)| cost.cycles <= most)
        .min_by(|(a, _), (b, _)| a.damage.total_cmp(&b.damage))
        .expect("the natural order is within the limit");
    if start.len() < 2 {
        return start;
    }
    annealing.best((cost.damage, most), || damage.order(&start), &Swaps).entries
}

struct Swaps;

impl Changes for Swaps {
    fn draw(&self, order: &Order<'_>, rng: &mut ChaCha8Rng) -> Option<Change> {
        Some(Change::Swap(pair(rng, order.entries().len())))
    }
}
