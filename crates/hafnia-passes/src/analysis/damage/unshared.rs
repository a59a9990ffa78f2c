//! [`Unshared`]: readings of a tile whose rows are gathered without regard to which they are.
//!
//! Implements the rule of grouping, [`hafnia_cim::InputControl::groups`], for such tiles; the test
//! `costs_are_those_of_any_reading` holds it to `reading.rs`, to the last bit.
//!
//! Where no row is shared or negative and the scan has no windows, a group is the next rows that are
//! on, whatever they are. Of every plane of a sample all groups but the last are then full in every
//! order, so that their number and their rows are the same in all orders; and a group is a set of scan
//! positions, which here is a word of 128 bits. A swap of two entries changes sets only from the
//! group of the one to the group of the other, by a row that each hands to the next. Ones are counted
//! in sets of positions too: those of a column are swapped with the entries.
//!
//! That leaves population counts and sums, which are compiled for every instruction set of
//! [`Isa`]. All sums run as those of any other reading, so that costs are the same to the last bit.
//!
//! Assumes at most 128 entries. Cost: a sample on which a swap has an effect takes one
//! population count per column and pair of groups of two planes; any other about 40 instructions.

use std::array;
use std::ops::Range;

use hafnia_simd::{Isa, Kernel, Simd};

use super::change::{Change, Readings};
use super::definition::{Damage, OrderCost, Sample};

/// Scan positions, the first in the lowest bit.
pub(super) type Positions = u128;

pub(super) struct Unshared<'a> {
    damage: &'a Damage<'a>,
    isa: Isa,
    /// By tile column: the positions whose cell holds a 1.
    ones: Vec<Positions>,
    /// (sample, plane): the positions that are on.
    active: Vec<Positions>,
    /// By (sample, plane): where its groups begin in `groups`; and the end.
    starts: Vec<usize>,
    groups: Vec<Positions>,
    /// By the number of rows that are on before one: which group of its plane that one is in.
    group_of: [u8; 256],
    scratch: Scratch,
}

/// Buffers of an evaluation.
#[derive(Default)]
struct Scratch {
    /// The groups of a sample, and where those of every plane end.
    groups: Vec<Positions>,
    ends: Vec<usize>,
    /// Of a column: by group, the positions that are on and hold a 1, and the state.
    states: Vec<(Positions, u16)>,
    errors: Vec<[f64; 2]>,
}

/// Two positions whose entries are swapped, the first one first, as words.
#[derive(Clone, Copy)]
struct Swap {
    p: Positions,
    q: Positions,
    /// The positions before each.
    before_p: Positions,
    before_q: Positions,
}

impl Swap {
    /// The swap that a change is: who assigns rows asks for [`Order::gathered`](super::Order).
    fn of(change: Change) -> Self {
        let Change::Swap(swap) = change else {
            unreachable!("rows of an unshared tile are not assigned")
        };
        Self::new(swap)
    }

    fn new([a, b]: [usize; 2]) -> Self {
        let [p, q]: [Positions; 2] = [1 << a.min(b), 1 << a.max(b)];
        Self { p, q, before_p: p - 1, before_q: q - 1 }
    }

    /// A set of positions, of which one is in it if the other was.
    #[inline(always)]
    fn make(self, set: Positions) -> Positions {
        let is_same = (set & self.p != 0) == (set & self.q != 0);
        if is_same { set } else { set ^ (self.p | self.q) }
    }
}

/// What a swap does to the positions that are on in the groups of a plane.
#[derive(Clone, Copy)]
enum Effect {
    /// Nothing: both are off or both on.
    None,
    /// The entry at p goes to q: from group to group.
    Later([usize; 2]),
    /// The entry at q goes to p: from group to group.
    Earlier([usize; 2]),
}

impl Effect {
    /// Changes the positions that are on in a plane.
    #[inline(always)]
    fn make(self, groups: &mut [Positions], Swap { p, q, .. }: Swap) {
        match self {
            Self::None => {}
            Self::Later([from, to]) => {
                let mut out = p;
                for k in from..to {
                    let next = groups[k + 1] & groups[k + 1].wrapping_neg();
                    groups[k] = (groups[k] ^ out) | next;
                    out = next;
                }
                groups[to] = (groups[to] ^ out) | q;
            }
            Self::Earlier([from, to]) => {
                let mut into = p;
                for group in &mut groups[to..from] {
                    let last = 1 << (Positions::BITS - 1 - group.leading_zeros());
                    *group = (*group ^ last) | into;
                    into = last;
                }
                groups[from] = (groups[from] ^ q) | into;
            }
        }
    }
}

impl<'a> Unshared<'a> {
    /// The readings in an order, if the tile allows it.
    pub(super) fn new(damage: &'a Damage<'a>, entries: &[usize], isa: Isa) -> Option<Self> {
        let rows = &damage.tile.rows;
        if rows.len() > Positions::BITS as usize || !damage.is_unshared() {
            return None;
        }
        let positions = |is_in: &dyn Fn(usize) -> bool| {
            let places = entries.iter().enumerate().filter(|&(_, &entry)| is_in(entry));
            places.fold(0, |set: Positions, (position, _)| set | 1 << position)
        };
        let ones = |column| {
            positions(&|entry| damage.tile.bits.get(rows.get(entry).physical as usize, column))
        };
        let mut unshared = Self {
            damage,
            isa,
            ones: (0..damage.tile.columns.len()).map(ones).collect(),
            active: Vec::new(),
            starts: Vec::new(),
            groups: Vec::new(),
            group_of: array::from_fn(|rank| (rank / damage.rows_per_conversion) as u8),
            scratch: Scratch::default(),
        };
        for sample in &damage.samples {
            let activations = damage.profile.sample(sample.index);
            for plane in 0..damage.planes.len() {
                let row = |entry: usize| rows.logical()[entry] as usize;
                let active = positions(&|entry| activations[row(entry)] >> plane & 1 == 1);
                unshared.active.push(active);
                unshared.starts.push(unshared.groups.len());
                let mut left = active;
                while left != 0 {
                    let mut after = left;
                    for _ in 0..damage.rows_per_conversion {
                        after &= after.wrapping_sub(1);
                    }
                    unshared.groups.push(left ^ after);
                    left = after;
                }
            }
        }
        unshared.starts.push(unshared.groups.len());
        Some(unshared)
    }

    fn planes(&self) -> usize {
        self.damage.planes.len()
    }

    /// The groups of a plane between which a swap moves a row, that of the first position first; it
    /// does nothing if both positions are off.
    #[inline(always)]
    fn between(&self, active: Positions, swap: Swap) -> [u8; 2] {
        let before = |set: Positions| (active & set).count_ones() as u8;
        // What goes from p to q is no more before q.
        let is_later = (active & swap.p != 0) & (active & swap.q == 0);
        let ranks = [before(swap.before_p), before(swap.before_q) - u8::from(is_later)];
        ranks.map(|rank| self.group_of[usize::from(rank)])
    }

    /// What a swap does to a plane in which these positions are on.
    #[inline(always)]
    fn effect(&self, active: Positions, swap: Swap) -> Effect {
        let [p, q] = self.between(active, swap).map(usize::from);
        match (active & swap.p != 0, active & swap.q != 0) {
            (true, false) => Effect::Later([p, q]),
            (false, true) => Effect::Earlier([q, p]),
            _ => Effect::None,
        }
    }

    /// Whether a group of a sample is another set of entries after a swap.
    ///
    /// Without a branch, as what is on is anybody's guess; `any` would not be compiled for the
    /// instruction set.
    #[inline(always)]
    fn is_other(&self, sample: usize, swap: Swap) -> bool {
        let mut is_other = false;
        for &active in self.active(sample) {
            let [p, q] = self.between(active, swap);
            is_other |= (active & (swap.p | swap.q) != 0) & (p != q);
        }
        is_other
    }

    /// What a sample costs after a swap.
    #[inline(always)]
    fn cost(&mut self, sample: usize, swap: Swap) -> OrderCost {
        let planes = self.planes();
        self.scratch.groups.clear();
        self.scratch.ends.clear();
        for plane in sample * planes..(sample + 1) * planes {
            let first = self.scratch.groups.len();
            let effect = self.effect(self.active[plane], swap);
            let groups = &self.groups[self.starts[plane]..self.starts[plane + 1]];
            self.scratch.groups.extend_from_slice(groups);
            effect.make(&mut self.scratch.groups[first..], swap);
            self.scratch.ends.push(self.scratch.groups.len());
        }
        let Scratch { groups, ends, states, errors } = &mut self.scratch;
        let sample = &self.damage.samples[sample];
        let damage = damage_in(self.damage, &self.ones, sample, (groups, ends), (states, errors));
        OrderCost { damage, cycles: groups.len() as f64 }
    }

    /// The positions that are on, plane by plane.
    #[inline(always)]
    pub(super) fn active(&self, sample: usize) -> &[Positions] {
        &self.active[sample * self.planes()..][..self.planes()]
    }

    /// The damage to a sample if it is read in these groups; those of every plane end at `ends`.
    pub(super) fn damage_in(&self, sample: usize, groups: &[Positions], ends: &[usize]) -> f64 {
        let buffers = (&mut Vec::new(), &mut Vec::new());
        let sample = &self.damage.samples[sample];
        damage_in(self.damage, &self.ones, sample, (groups, ends), buffers)
    }
}

/// The damage to a sample that is read in these groups, which come with the ends of planes; columns
/// hold a 1 at the positions `ones`.
#[inline(always)]
fn damage_in(
    damage: &Damage<'_>,
    ones: &[Positions],
    sample: &Sample,
    groups: (&[Positions], &[usize]),
    (states, errors): (&mut Vec<(Positions, u16)>, &mut Vec<[f64; 2]>),
) -> f64 {
    errors.clear();
    for &column in &sample.columns {
        let error = errors_of(damage, ones[usize::from(column)], groups, states);
        let factor = damage.factors[usize::from(column)];
        errors.push([factor * error[0], factor * factor * error[1]]);
    }
    let mut sum = 0.0;
    damage.each_term(sample, errors, |term| sum += term);
    sum
}

/// Mean and variance of the error of a column whose cells hold a 1 at these positions, not
/// inverted; groups come with the ends of planes.
#[inline(always)]
fn errors_of(
    damage: &Damage<'_>,
    ones: Positions,
    (groups, ends): (&[Positions], &[usize]),
    states: &mut Vec<(Positions, u16)>,
) -> [f64; 2] {
    let [mut mean, mut variance] = [0.0; 2];
    states.clear();
    let mut first = 0;
    for (&end, &factor) in ends.iter().zip(&damage.planes) {
        for &group in &groups[first..end] {
            let read = group & ones;
            let counts = [group, read].map(|set| set.count_ones() as usize);
            let state = damage.state(counts[0], counts[1]);
            let [bias, of_code] = damage.moments[state];
            mean += factor * bias;
            variance += factor * factor * of_code;
            let state = state as u16;
            if let Some(covariance) = &damage.covariance {
                let with = covariance.with(state);
                let mut other_first = 0;
                let others = ends.iter().take_while(|&&end| end <= first);
                for (&other_end, &other_factor) in others.zip(&damage.planes) {
                    let both = 2.0 * factor * other_factor;
                    for &(other, of_other) in &states[other_first..other_end] {
                        let shared = (read & other).count_ones() as usize;
                        variance += both * with.of(of_other, shared);
                    }
                    other_first = other_end;
                }
                let both = 2.0 * factor * factor;
                for &(_, of_other) in &states[first..] {
                    variance += both * damage.apart(state, of_other);
                }
            }
            states.push((read, state));
        }
        first = end;
    }
    [mean, variance]
}

impl Readings for Unshared<'_> {
    fn costs(&mut self) -> Vec<OrderCost> {
        // A swap of a position with itself.
        let none = Swap::new([0, 0]);
        (0..self.damage.samples.len()).map(|sample| self.cost(sample, none)).collect()
    }

    fn make(&mut self, change: Change) {
        let swap = Swap::of(change);
        for ones in &mut self.ones {
            *ones = swap.make(*ones);
        }
    }

    fn changed(
        &mut self,
        samples: Range<usize>,
        change: Change,
        costs: &[OrderCost],
        changed: &mut [OrderCost],
    ) {
        let isa = self.isa;
        isa.run(Changed { unshared: self, samples, swap: Swap::of(change), costs, changed });
    }

    fn accept(&mut self, change: Change) {
        let isa = self.isa;
        isa.run(Accept { unshared: self, swap: Swap::of(change) });
    }
}

/// [`Readings::changed`].
struct Changed<'k, 'a> {
    unshared: &'k mut Unshared<'a>,
    samples: Range<usize>,
    swap: Swap,
    costs: &'k [OrderCost],
    changed: &'k mut [OrderCost],
}

impl Kernel for Changed<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { unshared, samples, swap, costs, changed } = self;
        changed.copy_from_slice(costs);
        for (sample, changed) in samples.zip(changed) {
            if unshared.is_other(sample, swap) {
                *changed = unshared.cost(sample, swap);
            }
        }
    }
}

/// [`Readings::accept`].
struct Accept<'k, 'a> {
    unshared: &'k mut Unshared<'a>,
    swap: Swap,
}

impl Kernel for Accept<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { unshared, swap } = self;
        for plane in 0..unshared.active.len() {
            let active = unshared.active[plane];
            let effect = unshared.effect(active, swap);
            let groups = &mut unshared.groups[unshared.starts[plane]..unshared.starts[plane + 1]];
            effect.make(groups, swap);
            unshared.active[plane] = swap.make(active);
        }
    }
}

#[cfg(test)]
mod tests {
    use hafnia_cim::{CodeTable, InputControl};
    use hafnia_ir::Mapping;
    use hafnia_model::Weights;
    use hafnia_rng::Seed;
    use proptest::prelude::*;
    use rand::{RngExt, seq::SliceRandom};

    use super::*;
    use crate::analysis::{Answers, Order};
    use crate::tests::{codes, linear, scored, spec, weight};

    proptest! {
            #![proptest_config(ProptestConfig::with_cases(24))]

            /// Compiled for every instruction set, costs are those of the readings of any tile.
            #[test]
            fn costs_are_those_of_any_reading(seed: u64, is_last: bool) {
                let seed = Seed(seed);
                let rng = &mut seed.rng();
                let (rows, columns) = (rng.random_range(2..=128), rng.random_range(1..=12));
                let bits = rng.random_range(1..=4);
                let weights = Weights::from_fn(rows, columns, |_, _| weight(rng, bits));
                let network = linear(weights, rng.random_range(1..=3));
    let network = scored(rng, network);
                let mut spec = spec(seed);
                spec.input_control = InputControl::OrderedScan;
                let code_table = CodeTable::from_spec(&spec);
                let mapping = Mapping::logical(&network, &spec);
                let (mut tile, of) = (mapping.tiles[0].clone(), &mapping.matrices[0]);
                tile.columns.iter_mut().for_each(|column| column.inverted = rng.random());
                let (profile, planes) = codes(seed, &network, 70, of);
                let last = is_last.then(|| Answers::of(&network, 0).expect("it has one"));
                let noise = (&spec, &code_table);
                let samples: Vec<usize> = (0..profile.samples()).collect();
                let codings = (&of.coding, &planes);
                let damage = Damage::new(&tile, (&profile, &samples), noise, last.as_ref(), codings);
                assert!(damage.is_unshared());

                let mut entries: Vec<usize> = (0..rows).collect();
                entries.shuffle(rng);
                let unshared = |isa| {
                    let unshared = Unshared::new(&damage, &entries, isa).expect("an unshared tile");
                    Order::read(&damage, &entries, Box::new(unshared))
                };
                let mut gathered = Order::gathered(&damage, &entries);
                let mut orders: Vec<Order<'_>> = Isa::all().into_iter().map(unshared).collect();
                for _ in 0..20 {
                    let swap = [0; 2].map(|_| rng.random_range(0..rows));
                    let rise = if rng.random() { f64::INFINITY } else { 0.0 };
                    let change = Change::Swap(swap);
                    let expected = gathered.propose(change, rise);
                    let is_accepted = rng.random();
                    for order in &mut orders {
                        prop_assert_eq!(order.propose(change, rise), expected);
                        if is_accepted {
                            order.accept();
                        }
                    }
                    if is_accepted {
                        gathered.accept();
                    }
                }
            }
        }
}
