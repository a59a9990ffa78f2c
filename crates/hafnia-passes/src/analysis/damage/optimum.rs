//! [`Damage::optimum`]: the order of least damage, for tiles of few rows.
//!
//! Implements the rule of grouping, [`hafnia_cim::InputControl::groups`], for unshared tiles; the test
//! `the_optimum_is_the_best_of_all_orders` holds it to `reading.rs`.
//!
//! A plane that is on in n rows is read in groups of known sizes, all full but the last. So what
//! decides a sample is where groups end: its *cuts*, each the set of the rows behind it among those
//! that are on. Which set that is follows from the set of rows that stand last, not from their order.
//!
//! 1. A sample without cuts has the same damage in every order. With one, the damage is the price of
//!    its set. With two, u and v are prices of their sets such that u + v is at most the damage for
//!    every pair that an order can have: v is the damage beside the other cut of the best order known,
//!    u the least of damage − v, and then v the least of damage − u. All other samples are free.
//! 2. An order is a path through the sets of its last rows, from none to all, and a path costs the
//!    prices of the cuts that it makes. The least that is left to pay from a set is found by going
//!    backwards once through all 2^rows sets.
//! 3. The cheapest path is an order; if it is better than the best known it takes its place, and the
//!    prices are made anew.
//! 4. Ends of orders are extended, all of one length at once. When all cuts of a sample are made,
//!    its prices are replaced by its damage. Of ends of the same rows that agree in the cuts of samples
//!    still to be settled the cheapest stays, and an end is given up when it and the cheapest path
//!    from there cost no less than the best order.
//!
//! Cost: with samples of two planes, 2^rows · rows additions and a damage per pair of cuts, a few
//! thousand for a sample of 10 rows on in each; then the ends that are left, some thousand for a random
//! tile of 16 rows.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use hafnia_simd::Isa;
use rayon::prelude::*;

use super::definition::Damage;
use super::unshared::Unshared;

/// The order of least damage.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimum {
    /// The entry of the tile at every position: the best order that was found.
    pub order: Vec<usize>,
    /// Its damage.
    pub damage: f64,
    /// What no order does less than; it is `damage` if the search came to its end.
    pub bound: f64,
}

/// Entries of a tile, one bit each.
type Set = u16;

/// Most pairs of cuts for which a sample gets prices.
const MOST_PAIRS: usize = 1 << 20;

/// The share of the damage that is taken as rounding: what is better by less is not.
const ROUNDING: f64 = 1e-12;

struct Search<'a> {
    damage: &'a Damage<'a>,
    unshared: Unshared<'a>,
    rows: usize,
    /// The damage of samples without cuts.
    fixed: f64,
    /// The other samples, and the cuts of them all.
    samples: Vec<Cuts>,
    cuts: Vec<Cut>,
    /// (set of last rows, the row that came last): the prices of the cuts that it makes.
    steps: Vec<f64>,
    /// By set of last rows: what the cheapest path from there costs.
    left: Vec<f64>,
}

/// A sample and its cuts, by plane and from the last group of each.
struct Cuts {
    sample: usize,
    cuts: Range<usize>,
}

struct Cut {
    plane: usize,
    /// The rows that are on, and how many of them are behind the cut.
    active: Set,
    size: u32,
    /// Every set that may be behind it, ascending, with its price; empty if the sample has none.
    prices: Vec<(Set, f64)>,
}

/// Ends of orders that are alike in all that is still to be settled: their rows, and by cut of a
/// sample that is not settled the set behind it, once it is made.
type Kind = (Set, Vec<Set>);

/// The cost of an end, prices and damages of the cuts that are made, and its rows from the last on.
type End = (f64, Vec<usize>);

impl Damage<'_> {
    /// Most entries of a tile that [`optimum`](Self::optimum) orders.
    pub const MOST_ORDERED: usize = Set::BITS as usize;

    /// The order of least damage, sought from this one by branch and bound.
    ///
    /// When it would look at more than `steps` ends of orders it gives up those of most damage, and the
    /// bound may be less than the damage. Returns `None` if the tile has more than
    /// [`MOST_ORDERED`](Self::MOST_ORDERED) entries, shared or negative rows, or scans more than one
    /// window.
    pub fn optimum(&self, start: &[usize], steps: u64) -> Option<Optimum> {
        let mut search = Search::new(self)?;
        let mut best = (self.of(start).damage, start.to_vec());
        loop {
            search.price(&best.1);
            let order = search.cheapest();
            let found = self.of(&order).damage;
            if found >= best.0 * (1.0 - ROUNDING) {
                break;
            }
            best = (found, order);
        }
        let (order, given_up) = search.extend(best.0, steps);
        if let Some(order) = order {
            let found = self.of(&order).damage;
            if found < best.0 {
                best = (found, order);
            }
        }
        let (damage, order) = best;
        Some(Optimum { order, damage, bound: given_up.min(damage) })
    }
}

impl<'a> Search<'a> {
    fn new(damage: &'a Damage<'a>) -> Option<Self> {
        let rows = damage.tile.rows.len();
        if rows > Damage::MOST_ORDERED {
            return None;
        }
        let natural: Vec<usize> = (0..rows).collect();
        let sets = 1 << rows;
        let mut search = Self {
            damage,
            unshared: Unshared::new(damage, &natural, Isa::chosen())?,
            rows,
            fixed: 0.0,
            samples: Vec::new(),
            cuts: Vec::new(),
            steps: vec![0.0; sets * rows],
            left: vec![0.0; sets],
        };
        let most = damage.rows_per_conversion as u32;
        for sample in 0..damage.samples.len() {
            let first = search.cuts.len();
            for (plane, &active) in search.unshared.active(sample).iter().enumerate() {
                let last = active.count_ones().wrapping_sub(1) % most + 1;
                let sizes = (last..active.count_ones()).step_by(most as usize);
                let active = active as Set;
                let cut = |size| Cut { plane, active, size, prices: Vec::new() };
                search.cuts.extend(sizes.map(cut));
            }
            let cuts = Cuts { sample, cuts: first..search.cuts.len() };
            if cuts.cuts.is_empty() {
                search.fixed += search.damage(&cuts, &[]);
            } else {
                search.samples.push(cuts);
            }
        }
        Some(search)
    }

    /// The damage to a sample whose cuts have these sets behind them.
    fn damage(&self, of: &Cuts, made: &[Set]) -> f64 {
        let (mut groups, mut ends) = (Vec::new(), Vec::new());
        for (plane, &active) in self.unshared.active(of.sample).iter().enumerate() {
            let (first, mut behind) = (groups.len(), 0);
            let cuts = self.cuts[of.cuts.clone()].iter().zip(made);
            let made = cuts.filter(|(cut, _)| cut.plane == plane).map(|(_, &set)| set.into());
            for set in made.chain((active != 0).then_some(active)) {
                groups.push(set & !behind);
                behind = set;
            }
            groups[first..].reverse();
            ends.push(groups.len());
        }
        self.unshared.damage_in(of.sample, &groups, &ends)
    }

    /// Sets prices by what cuts of this order cost beside each other.
    fn price(&mut self, order: &[usize]) {
        let prices: Vec<_> = self.samples.par_iter().map(|of| self.prices(of, order)).collect();
        for (of, prices) in self.samples.iter().zip(prices) {
            for (cut, prices) in self.cuts[of.cuts.clone()].iter_mut().zip(prices) {
                cut.prices = prices;
            }
        }
        let all = Set::MAX >> (Set::BITS as usize - self.rows);
        self.steps.fill(0.0);
        for cut in &self.cuts {
            for &(set, price) in &cut.prices {
                for others in subsets(all & !cut.active) {
                    let steps = usize::from(set | others) * self.rows;
                    entries(set).for_each(|row| self.steps[steps + row] += price);
                }
            }
        }
        for set in (0..all).rev() {
            let after = entries(all & !set).map(|row| self.after(set, row));
            self.left[usize::from(set)] = after.fold(f64::INFINITY, f64::min);
        }
    }

    /// The prices of the sets of every cut of a sample; none if it has too many cuts.
    fn prices(&self, of: &Cuts, order: &[usize]) -> Vec<Vec<(Set, f64)>> {
        match &self.cuts[of.cuts.clone()] {
            [cut] => {
                vec![cut.sets().map(|set| (set, self.damage(of, &[set]))).collect()]
            }
            [first, second] if first.ways() * second.ways() <= MOST_PAIRS => {
                let [firsts, seconds] = [first, second].map(|cut| cut.sets().collect::<Vec<_>>());
                let fits =
                    |a: Set, b: Set| a & second.active & !b == 0 || b & first.active & !a == 0;
                let pair = |a, b| if fits(a, b) { self.damage(of, &[a, b]) } else { f64::INFINITY };
                let pairs: Vec<Vec<f64>> =
                    firsts.iter().map(|&a| seconds.iter().map(|&b| pair(a, b)).collect()).collect();
                let least =
                    |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
                let of_second = |u: &[f64], b: usize| {
                    least(&mut pairs.iter().zip(u).map(|(pairs, u)| pairs[b] - u))
                };
                let known = firsts.binary_search(&first.of(order)).expect("it is one of them");
                let none = vec![0.0; firsts.len()];
                let beside = |(b, &pair): (usize, &f64)| {
                    // Where the pair does not fit, any number will do.
                    if pair.is_finite() { pair } else { of_second(&none, b) }
                };
                let v: Vec<f64> = pairs[known].iter().enumerate().map(beside).collect();
                let of_first =
                    |pairs: &Vec<f64>| least(&mut pairs.iter().zip(&v).map(|(pair, v)| pair - v));
                let u: Vec<f64> = pairs.iter().map(of_first).collect();
                let v: Vec<f64> = (0..seconds.len()).map(|b| of_second(&u, b)).collect();
                vec![firsts.into_iter().zip(u).collect(), seconds.into_iter().zip(v).collect()]
            }
            _ => Vec::new(),
        }
    }

    /// The price of putting a row before these, and what is cheapest from there.
    fn after(&self, set: Set, row: usize) -> f64 {
        let next = usize::from(set | 1 << row);
        self.steps[next * self.rows + row] + self.left[next]
    }

    /// The order that costs least by prices.
    fn cheapest(&self) -> Vec<usize> {
        let (mut set, mut order) = (0, Vec::new());
        while order.len() < self.rows {
            let left = (0..self.rows).filter(|row| set >> row & 1 == 0);
            let row = left.min_by(|&a, &b| self.after(set, a).total_cmp(&self.after(set, b)));
            let row = row.expect("a row is left");
            set |= 1 << row;
            order.push(row);
        }
        order.reverse();
        order
    }

    /// The order of least damage among those looked at, if it may be less than `best`, and what none
    /// of the others does less than. When `steps` ends do not suffice, those of most damage are given
    /// up.
    fn extend(&self, best: f64, mut steps: u64) -> (Option<Vec<usize>>, f64) {
        let all = |set: Set, cost: f64| {
            self.damage.mean_of(self.fixed + cost + self.left[usize::from(set)])
        };
        let (limit, mut given_up) = (best * (1.0 - ROUNDING), f64::INFINITY);
        let none: (Kind, End) = ((0, vec![0; self.cuts.len()]), (0.0, Vec::new()));
        let mut ends = BTreeMap::from([none]);
        for _ in 0..self.rows {
            let mut open: Vec<(Kind, End)> = ends.into_iter().collect();
            if open.len() as u64 > steps {
                let damage = |((set, _), (cost, _)): &(Kind, End)| all(*set, *cost);
                open.sort_by(|a, b| damage(a).total_cmp(&damage(b)));
                given_up =
                    open.drain(steps as usize..).map(|end| damage(&end)).fold(given_up, f64::min);
            }
            steps -= open.len() as u64;
            let longer: Vec<(Kind, End)> = open
                .par_iter()
                .flat_map_iter(|end| self.longer(end))
                .filter(|((set, _), (cost, _))| all(*set, *cost) < limit)
                .collect();
            ends = BTreeMap::new();
            for (kind, end) in longer {
                match ends.entry(kind) {
                    Entry::Vacant(entry) => {
                        entry.insert(end);
                    }
                    Entry::Occupied(mut known) if end < *known.get() => {
                        known.insert(end);
                    }
                    Entry::Occupied(_) => {}
                }
            }
        }
        let order = ends.into_values().next().map(|(_, order)| order.into_iter().rev().collect());
        (order, given_up)
    }

    /// An end with every row before it that is left.
    fn longer<'b>(
        &'b self,
        ((set, made), (cost, order)): &'b (Kind, End),
    ) -> impl Iterator<Item = (Kind, End)> + 'b {
        (0..self.rows).filter(move |row| set >> row & 1 == 0).map(move |row| {
            let (set, mut made) = (set | 1 << row, made.clone());
            let mut cost = cost + self.steps[usize::from(set) * self.rows + row];
            // The price of a single cut is the damage.
            for of in self.samples.iter().filter(|of| of.cuts.len() > 1) {
                let (cuts, made) = (&self.cuts[of.cuts.clone()], &mut made[of.cuts.clone()]);
                let mut is_other = false;
                for (cut, made) in cuts.iter().zip(&mut *made) {
                    if cut.active >> row & 1 == 1 && (set & cut.active).count_ones() == cut.size {
                        (*made, is_other) = (set & cut.active, true);
                    }
                }
                if is_other && made.iter().all(|&set| set != 0) {
                    let prices = cuts.iter().zip(&*made).map(|(cut, &set)| cut.price(set));
                    cost += self.damage(of, made) - prices.sum::<f64>();
                    made.fill(0);
                }
            }
            ((set, made), (cost, order.iter().copied().chain([row]).collect()))
        })
    }
}

impl Cut {
    /// How many sets there may be behind it.
    fn ways(&self) -> usize {
        let active = self.active.count_ones();
        (0..self.size).fold(1, |ways, k| ways * (active - k) as usize / (k + 1) as usize)
    }

    /// Every set that may be behind it, ascending.
    fn sets(&self) -> impl Iterator<Item = Set> {
        subsets(self.active).filter(|set| set.count_ones() == self.size)
    }

    /// The set behind it in an order.
    fn of(&self, order: &[usize]) -> Set {
        let active = order.iter().rev().filter(|&&row| self.active >> row & 1 == 1);
        active.take(self.size as usize).fold(0, |set, row| set | 1 << row)
    }

    fn price(&self, set: Set) -> f64 {
        let found = self.prices.binary_search_by_key(&set, |&(set, _)| set);
        found.map_or(0.0, |index| self.prices[index].1)
    }
}

/// Every subset, ascending.
fn subsets(of: Set) -> impl Iterator<Item = Set> {
    let next = move |set: &Set| (*set != of).then(|| set.wrapping_sub(of) & of);
    std::iter::successors(Some(0), next)
}

fn entries(set: Set) -> impl Iterator<Item = usize> {
    (0..Set::BITS as usize).filter(move |row| set >> row & 1 == 1)
}

#[cfg(test)]
mod tests {
    use hafnia_cim::{CodeTable, InputControl};
    use hafnia_ir::{Geometry, RowEntry, Stage, random};
    use hafnia_model::Weights;
    use hafnia_rng::Seed;
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;
    use crate::analysis::Answers;
    use crate::tests::{codes, linear, scored, spec, weight};

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
            fn the_optimum_is_the_best_of_all_orders(seed: u64, is_last: bool) {
                let seed = Seed(seed);
                let rng = &mut seed.rng();
                let (rows, columns) = (rng.random_range(1..=6), rng.random_range(1..=5));
                let bits = rng.random_range(1..=4);
                let weights = Weights::from_fn(rows, columns, |_, _| weight(rng, bits));
                let network = linear(weights, rng.random_range(1..=3));
    let network = scored(rng, network);
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
                let of = &mapping.matrices[0];
                let (profile, planes) = codes(seed, &network, 20, of);
                let is_whole = tile.rows.len() == rows && tile.columns.len() == of.columns;
                let last = (is_last && is_whole).then(|| Answers::of(&network, 0).expect("it has one"));
                let samples: Vec<usize> = (0..profile.samples()).collect();
                let noise = (&spec, &code_table);
                let codings = (&of.coding, &planes);
                let damage = Damage::new(&tile, (&profile, &samples), noise, last.as_ref(), codings);

                let start: Vec<usize> = (0..tile.rows.len()).collect();
                let mut best = f64::INFINITY;
                each_order(&mut start.clone(), start.len(), &mut |order| {
                    best = best.min(damage.of(order).damage);
                });
                let optimum = damage.optimum(&start, u64::MAX);
                prop_assert_eq!(optimum.is_some(), !tile.rows.has_shared_rows());
                let Some(Optimum { order, damage: least, bound }) = optimum else { return Ok(()) };
                for found in [damage.of(&order).damage, least, bound] {
                    // What is better by less than a 1e-12th is taken for rounding.
                    prop_assert!((found - best).abs() <= 1e-11 * best, "{} {}", found, best);
                }
            }
        }
}
