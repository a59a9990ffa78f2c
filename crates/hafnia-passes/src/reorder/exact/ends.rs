//! [`Ends`]: branch and bound from the last row on, under bounds from a shortest path through all
//! sets of rows.
//!
//! Where the scan has one window and no row is shared or negative, a plane that is on in n rows is
//! read in groups of known sizes, the most a conversion takes but for the last. So what decides a
//! sample is where groups end: its *cuts*, each a set of so many last rows of those that are on. A
//! cut depends on the set of rows that stand behind it and not on their order, and a plane of no
//! more rows than a conversion takes has none.
//!
//! 1. A sample without cuts has the same damage in every order. With one, its damage is a price of
//!    the cut's set. With two, u and v are prices of the sets such that u + v is no more than the
//!    damage for any pair that an order can have: with v the damage beside the other cut of the best
//!    order known, u the least of damage − v, and then v the least of damage − u. Samples of more
//!    cuts, or of too many pairs, are taken at the damage that no order does less than.
//! 2. An order is a way through the sets of its last rows, from none to all, and what it costs at
//!    those prices is a sum over steps of the way. The least cost of the way that is left from every
//!    set is found by going backwards once through all 2^rows sets.
//! 3. The cheapest way is an order; if it is better than the best known it takes its place, and the
//!    prices are made anew.
//! 4. Ends of orders are extended, all of a length at once. When the cuts of a sample of several are
//!    known, its prices are replaced by its damage. Of ends of the same rows that agree in the cuts
//!    of samples still to be settled, the one of least cost stays; and an end is given up when it
//!    and the cheapest way from there cost no less than the best order.
//!
//! Cost: with samples of two planes, 2^rows · rows additions and a damage a pair of cuts, a few
//! thousand for a sample of 10 rows on in each; then what ends are left. Of random tiles of 16 rows
//! that is some thousand.

use std::hash::{DefaultHasher, Hash, Hasher};

use rayon::prelude::*;

use crate::damage::{Completions, Damage, Set, Sets};

/// Pairs of cuts of a sample that are looked at, at most.
const MOST_PAIRS: usize = 1 << 20;

/// The share of the damage that is taken as rounding: what is better by less is not.
const ROUNDING: f64 = 1e-12;

/// Ends that one thread takes at a time.
const CHUNK: usize = 256;

/// What decides the damage of every sample, and prices of it.
pub(super) struct Ends<'a> {
    rows: usize,
    samples: Vec<Cuts<'a>>,
    /// The damage of samples that no order changes, and the least of those without prices.
    fixed: f64,
    /// By set of last rows and the row that came last: the prices of the cuts that it makes.
    steps: Vec<f64>,
    /// By set of last rows: what the cheapest way from there costs.
    left: Vec<f64>,
}

/// A sample that is read otherwise in other orders.
struct Cuts<'a> {
    sets: Sets<'a>,
    /// By plane, and from the last group of each.
    cuts: Vec<Cut>,
    /// Whether its cuts have prices.
    is_priced: bool,
    /// What is counted of it before any cut is known.
    base: f64,
}

struct Cut {
    plane: usize,
    /// The rows that are on, and how many of them are behind the cut.
    active: Set,
    size: u32,
    /// Every set there can be, ascending, and its price; none where samples are not priced.
    prices: Vec<(Set, f64)>,
}

/// The last rows of an order.
#[derive(Clone, Copy)]
struct End {
    /// The rows from the last one on, four bits each.
    order: u64,
    set: Set,
    /// Prices and damages of all cuts that are made.
    cost: f64,
}

/// What a search found.
pub(super) struct Closed {
    pub(super) order: Vec<usize>,
    pub(super) damage: f64,
    pub(super) bound: f64,
}

impl<'a> Ends<'a> {
    /// None where an order is not decided by cuts.
    pub(super) fn new(
        damage: &'a Damage<'a>,
        completions: &Completions,
        rows: usize,
    ) -> Option<Self> {
        let most = damage.rows_per_conversion() as u32;
        let (mut fixed, mut samples) = (0.0, Vec::new());
        for sets in damage.sets()? {
            let of_plane = |(plane, &active): (usize, &Set)| {
                let last = active.count_ones().wrapping_sub(1) % most + 1;
                let sizes = (last..active.count_ones()).step_by(most as usize);
                sizes.map(move |size| Cut { plane, active, size, prices: Vec::new() })
            };
            let cuts: Vec<Cut> = sets.active.iter().enumerate().flat_map(of_plane).collect();
            if cuts.is_empty() {
                fixed += sets.damage(&conversions(&sets, &[], &[]), &mut Vec::new());
                continue;
            }
            let ways = cuts.iter().map(Cut::ways).product::<usize>();
            let is_priced = cuts.len() <= 2 && ways <= MOST_PAIRS;
            let base = if is_priced { 0.0 } else { sets.least(completions) };
            fixed += base;
            samples.push(Cuts { sets, cuts, is_priced, base });
        }
        let sets = 1 << rows;
        Some(Self { rows, samples, fixed, steps: vec![0.0; sets * rows], left: vec![0.0; sets] })
    }

    /// The best order from one that is known, or the best known and a bound after so many ends.
    pub(super) fn close(
        &mut self,
        damage: &Damage<'_>,
        start: (f64, Vec<usize>),
        steps: u64,
    ) -> Closed {
        let mut best = start;
        loop {
            self.price(&best.1);
            let order = self.cheapest();
            let found = damage.of(&order).damage;
            if found >= best.0 * (1.0 - ROUNDING) {
                break;
            }
            best = (found, order);
        }
        let (order, given_up) = self.search(damage, best.0, steps);
        if let Some(order) = order {
            let found = damage.of(&order).damage;
            if found < best.0 {
                best = (found, order);
            }
        }
        Closed { damage: best.0, bound: given_up.min(best.0), order: best.1 }
    }

    /// Sets prices by what cuts of this order cost beside each other.
    fn price(&mut self, order: &[usize]) {
        self.samples.par_iter_mut().for_each(|sample| sample.price(order));
        let rows = self.rows;
        let all = Set::MAX >> (Set::BITS as usize - rows);
        self.steps.fill(0.0);
        for cut in self.samples.iter().flat_map(|sample| &sample.cuts) {
            for &(set, price) in &cut.prices {
                each_subset(all & !cut.active, |others| {
                    let steps = usize::from(set | others) * rows;
                    each_entry(set, |row| self.steps[steps + row] += price);
                });
            }
        }
        for set in (0..all).rev() {
            let mut least = f64::INFINITY;
            each_entry(all & !set, |row| least = least.min(self.after(set, row)));
            self.left[usize::from(set)] = least;
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

    /// The order of least damage among those looked at, if that is less than `best`, and what none of
    /// the others does less than. When `steps` ends do not suffice, those of most damage are not
    /// looked at.
    fn search(&self, damage: &Damage<'_>, best: f64, steps: u64) -> (Option<Vec<usize>>, f64) {
        let all = |end: &End| self.fixed + end.cost + self.left[usize::from(end.set)];
        let limit = best * (1.0 - ROUNDING);
        let (mut steps, mut given_up) = (steps, f64::INFINITY);
        let mut ends = vec![End { order: 0, set: 0, cost: 0.0 }];
        for length in 0..self.rows {
            let within = |end: &End| damage.mean_of(all(end)) < limit;
            if ends.len() as u64 > steps {
                ends.sort_by(|a, b| all(a).total_cmp(&all(b)).then(a.order.cmp(&b.order)));
                for end in ends.drain(steps as usize..) {
                    given_up = given_up.min(damage.mean_of(all(&end)));
                }
            }
            steps -= ends.len() as u64;
            let chunks: Vec<Vec<(u64, End)>> = ends
                .par_chunks(CHUNK)
                .map(|chunk| {
                    let longer =
                        chunk.iter().flat_map(|end| self.longer(end, length)).filter(within);
                    longer.map(|end| (self.key(&end, length + 1), end)).collect()
                })
                .collect();
            let mut longer: Vec<(u64, End)> = chunks.into_iter().flatten().collect();
            longer.par_sort_unstable_by(|(a_key, a), (b_key, b)| {
                let ranks = (a.set, a_key).cmp(&(b.set, b_key));
                ranks.then(a.cost.total_cmp(&b.cost)).then(a.order.cmp(&b.order))
            });
            longer.dedup_by(|(b_key, b), (a_key, a)| {
                a.set == b.set
                    && a_key == b_key
                    && self.pending(a, length + 1).eq(self.pending(b, length + 1))
            });
            ends = longer.into_iter().map(|(_, end)| end).collect();
        }
        let end = ends.into_iter().min_by(|a, b| a.cost.total_cmp(&b.cost));
        (end.map(|end| end.rows(self.rows).rev().collect()), given_up)
    }

    /// An end of `length` rows with every row before it that is left.
    fn longer<'b>(&'b self, end: &'b End, length: usize) -> impl Iterator<Item = End> + 'b {
        let behind: Vec<Set> = end.sets(length).collect();
        (0..self.rows).filter(|row| end.set >> row & 1 == 0).map(move |row| {
            let set = end.set | 1 << row;
            let order = end.order | (row as u64) << (4 * length);
            let mut cost = end.cost + self.steps[usize::from(set) * self.rows + row];
            for sample in self.samples.iter().filter(|sample| sample.is_settled_late()) {
                cost += sample.settled(&behind, set);
            }
            End { order, set, cost }
        })
    }

    /// What the damage that is not settled depends on: the cuts that are made.
    fn pending<'b>(&'b self, end: &End, length: usize) -> impl Iterator<Item = Option<Set>> + 'b {
        let behind: Vec<Set> = end.sets(length).collect();
        let set = end.set;
        let late = self.samples.iter().filter(|sample| sample.is_settled_late());
        late.filter(move |sample| !sample.cuts.iter().all(|cut| cut.is_made(set)))
            .flat_map(|sample| &sample.cuts)
            .map(move |cut| behind.iter().chain([&set]).find_map(|&set| cut.made(set)))
    }

    fn key(&self, end: &End, length: usize) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.pending(end, length).for_each(|cut| cut.hash(&mut hasher));
        hasher.finish()
    }
}

impl Cuts<'_> {
    /// Whether its prices are not its damage.
    fn is_settled_late(&self) -> bool {
        self.cuts.len() > 1
    }

    /// If the last cut is made by `set` being behind it: the damage less what is counted of it.
    /// `behind` are the sets before.
    fn settled(&self, behind: &[Set], set: Set) -> f64 {
        let before = behind.last().copied().unwrap_or(0);
        let is_now = self.cuts.iter().all(|cut| cut.is_made(set))
            && !self.cuts.iter().all(|cut| cut.is_made(before));
        if !is_now {
            return 0.0;
        }
        let made = |cut: &Cut| behind.iter().chain([&set]).find_map(|&set| cut.made(set));
        let sets: Vec<Set> = self.cuts.iter().filter_map(made).collect();
        let prices: f64 = self.cuts.iter().zip(&sets).map(|(cut, &set)| cut.price(set)).sum();
        let conversions = conversions(&self.sets, &self.cuts, &sets);
        self.sets.damage(&conversions, &mut Vec::new()) - self.base - prices
    }

    /// Sets prices from what cuts of `order` cost beside each other.
    fn price(&mut self, order: &[usize]) {
        if !self.is_priced {
            return;
        }
        let mut errors = Vec::new();
        let Self { sets, cuts, .. } = self;
        let mut damage = |made: &[Set]| sets.damage(&conversions(sets, cuts, made), &mut errors);
        match &cuts[..] {
            [cut] => {
                let prices = cut.sets().map(|set| (set, damage(&[set]))).collect();
                cuts[0].prices = prices;
            }
            [first, second] => {
                let [firsts, seconds] = [first, second].map(|cut| cut.sets().collect::<Vec<_>>());
                let fits =
                    |a: Set, b: Set| a & second.active & !b == 0 || b & first.active & !a == 0;
                let pairs: Vec<f64> = firsts
                    .iter()
                    .flat_map(|&a| seconds.iter().map(move |&b| [a, b]))
                    .map(|[a, b]| if fits(a, b) { damage(&[a, b]) } else { f64::INFINITY })
                    .collect();
                let columns = |u: &[f64]| {
                    let mut least = vec![f64::INFINITY; seconds.len()];
                    for (pairs, u) in pairs.chunks(seconds.len()).zip(u) {
                        least.iter_mut().zip(pairs).for_each(|(v, pair)| *v = v.min(pair - u));
                    }
                    least
                };
                let known = firsts.binary_search(&first.of(order)).expect("it is one of them");
                let beside = &pairs[known * seconds.len()..];
                // Where the pair does not fit, any number will do.
                let v = columns(&vec![0.0; firsts.len()]).into_iter().zip(beside);
                let v: Vec<f64> = v
                    .map(|(least, &beside)| if beside.is_finite() { beside } else { least })
                    .collect();
                let u: Vec<f64> = pairs
                    .chunks(seconds.len())
                    .map(|pairs| {
                        pairs.iter().zip(&v).map(|(pair, v)| pair - v).fold(f64::INFINITY, f64::min)
                    })
                    .collect();
                let v = columns(&u);
                (cuts[0].prices, cuts[1].prices) =
                    (firsts.into_iter().zip(u).collect(), seconds.into_iter().zip(v).collect());
            }
            _ => {}
        }
    }
}

impl Cut {
    /// How many sets there can be behind it.
    fn ways(&self) -> usize {
        let active = self.active.count_ones();
        (0..self.size).fold(1, |ways, k| ways * (active - k) as usize / (k + 1) as usize)
    }

    /// Every set there can be, ascending.
    fn sets(&self) -> impl Iterator<Item = Set> {
        let mut sets = Vec::with_capacity(self.ways());
        each_subset(self.active, |set| {
            if set.count_ones() == self.size {
                sets.push(set);
            }
        });
        sets.into_iter()
    }

    fn is_made(&self, set: Set) -> bool {
        (set & self.active).count_ones() >= self.size
    }

    /// The set behind it, if just these rows stand there.
    fn made(&self, set: Set) -> Option<Set> {
        ((set & self.active).count_ones() == self.size).then_some(set & self.active)
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

impl End {
    /// Its rows, from the last one on.
    fn rows(&self, length: usize) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let order = self.order;
        (0..length).map(move |index| (order >> (4 * index) & 15) as usize)
    }

    /// The sets of its last row, of its last two, and so on.
    fn sets(&self, length: usize) -> impl Iterator<Item = Set> + use<> {
        self.rows(length).scan(0, |set: &mut Set, row| {
            *set |= 1 << row;
            Some(*set)
        })
    }
}

/// The conversions of a sample whose cuts have these sets behind them.
fn conversions(sets: &Sets<'_>, cuts: &[Cut], made: &[Set]) -> Vec<(usize, Set)> {
    let mut conversions = Vec::new();
    for (plane, &active) in sets.active.iter().enumerate() {
        let mut behind = 0;
        for (_, &set) in cuts.iter().zip(made).filter(|(cut, _)| cut.plane == plane) {
            conversions.push((plane, set & !behind));
            behind = set;
        }
        if active & !behind != 0 {
            conversions.push((plane, active & !behind));
        }
    }
    conversions
}

/// Calls with every subset, ascending.
fn each_subset(of: Set, mut call: impl FnMut(Set)) {
    let mut set: Set = 0;
    loop {
        call(set);
        if set == of {
            return;
        }
        set = set.wrapping_sub(of) & of;
    }
}

fn each_entry(mut set: Set, mut call: impl FnMut(usize)) {
    while set != 0 {
        call(set.trailing_zeros() as usize);
        set &= set - 1;
    }
}
