//! Orders that a rule sets, without search.

use hafnia_ir::Tile;
use hafnia_model::BitMatrix;
use hafnia_rng::Seed;
use rand::seq::SliceRandom;

use crate::analysis::Damage;

/// The entries by logical row.
pub(super) fn natural(tile: &Tile) -> Vec<usize> {
    let mut order: Vec<usize> = (0..tile.rows.len()).collect();
    order.sort_by_key(|&entry| tile.rows.logical()[entry]);
    order
}

/// The entries in an order drawn from `seed`.
pub(super) fn random(tile: &Tile, seed: Seed) -> Vec<usize> {
    let mut order = natural(tile);
    order.shuffle(&mut seed.rng());
    order
}

/// The entries by how often they are on, the most active first; `activity` as
/// [`Damage::activity`].
pub(super) fn frequency(tile: &Tile, activity: &BitMatrix) -> Vec<usize> {
    let ones = |entry: usize| activity.row(entry).iter().map(|word| word.count_ones()).sum::<u32>();
    let mut order = natural(tile);
    order.sort_by_key(|&entry| std::cmp::Reverse(ones(entry)));
    order
}

/// From the most active entry on, always the entry that goes best with the last one.
pub(super) fn chain(tile: &Tile, activity: &BitMatrix) -> Vec<usize> {
    let common = |a: &[u64], b: &[u64]| -> u64 {
        a.iter().zip(b).map(|(a, b)| u64::from((a & b).count_ones())).sum()
    };
    let equal_bits = |a: usize, b: usize| {
        let row = |entry: usize| tile.bits.row(tile.rows.get(entry).physical as usize);
        let differ: u32 = row(a).iter().zip(row(b)).map(|(a, b)| (a ^ b).count_ones()).sum();
        (tile.columns.len() - differ as usize) as u64
    };
    let mut left = frequency(tile, activity);
    let mut order: Vec<usize> = Vec::new();
    while !left.is_empty() {
        let affinity = |entry: usize| {
            order.last().map_or(0, |&last| {
                common(activity.row(last), activity.row(entry)) * equal_bits(last, entry)
            })
        };
        // The first of equals, as `left` is sorted.
        let best = (0..left.len()).rev().max_by_key(|&index| affinity(left[index]));
        order.push(left.remove(best.expect("some are left")));
    }
    order
}

/// The orders that a search may begin with: the natural one, the one found, `frequency` and `chain`.
pub(super) fn starts(tile: &Tile, activity: &BitMatrix) -> [Vec<usize>; 4] {
    let found = (0..tile.rows.len()).collect();
    [natural(tile), found, frequency(tile, activity), chain(tile, activity)]
}

/// Of these orders the one of least damage, of equals the first.
pub(super) fn least(damage: &Damage<'_>, orders: &[Vec<usize>; 4]) -> Vec<usize> {
    let damages = orders.each_ref().map(|order| damage.of(order).damage);
    let least = (0..4).min_by(|&a, &b| damages[a].total_cmp(&damages[b]));
    orders[least.expect("there are some")].clone()
}
