//! [`Order`]: the damage of one order of entries, kept ready for changes.

use std::ops::Range;

use hafnia_simd::Isa;

use super::change::{Change, Readings};
use super::definition::{Damage, OrderCost};
use super::reading::{Reading, Scan, Scratch};
use super::unshared::Unshared;

/// One order, and how every sample is read in it.
pub struct Order<'a> {
    damage: &'a Damage<'a>,
    /// Entry of the tile at every scan position.
    entries: Vec<usize>,
    readings: Box<dyn Readings + 'a>,
    costs: Vec<OrderCost>,
    /// From every sample on: the sum of squares of damages, in the order to begin with.
    left: Vec<f64>,
    /// Physical row of the entry at every scan position.
    physical: Vec<u32>,
    /// The change that was proposed, and what each sample would then cost.
    proposed: Option<Change>,
    changed: Vec<OrderCost>,
}

/// Readings of any tile.
struct Gathered<'a> {
    damage: &'a Damage<'a>,
    scan: Scan,
    readings: Vec<Reading>,
    scratch: Scratch,
}

/// A proposal may be given up after every block of this many samples, the most damaged first.
const BLOCK: usize = 64;

/// Standard errors by which a proposal must miss its limit to be given up: wrong once in 740, if it
/// is as near to the limit as that. With 2, a search of `frontier/2` ended 1 % worse.
const SURE: f64 = 3.0;

impl Damage<'_> {
    /// An order to be improved by swaps: entry `entries[i]` of the tile is at position i.
    pub fn order(&self, entries: &[usize]) -> Order<'_> {
        Order::new(self, entries)
    }
}

impl<'a> Order<'a> {
    fn new(damage: &'a Damage<'a>, entries: &[usize]) -> Self {
        match Unshared::new(damage, entries, Isa::chosen()) {
            Some(unshared) => Self::read(damage, entries, Box::new(unshared)),
            None => Self::gathered(damage, entries),
        }
    }

    /// An order in which rows may be assigned too, which takes longer.
    pub fn gathered(damage: &'a Damage<'a>, entries: &[usize]) -> Self {
        Self::read(damage, entries, Box::new(Gathered::new(damage, entries)))
    }

    pub(super) fn read(
        damage: &'a Damage<'a>,
        entries: &[usize],
        mut readings: Box<dyn Readings + 'a>,
    ) -> Self {
        let costs = readings.costs();
        Self {
            damage,
            entries: entries.to_vec(),
            physical: entries.iter().map(|&entry| damage.tile.rows.get(entry).physical).collect(),
            readings,
            left: squares_from(&costs),
            changed: costs.clone(),
            costs,
            proposed: None,
        }
    }

    /// What the order costs.
    #[cfg(test)]
    pub(super) fn cost(&self) -> OrderCost {
        self.damage.mean(&self.costs)
    }

    /// The entries in scan order.
    pub fn entries(&self) -> &[usize] {
        &self.entries
    }

    /// The physical row of every entry, in scan order.
    pub fn physical(&self) -> &[u32] {
        &self.physical
    }

    /// What it would cost after a change; `None` if, by the samples looked at so far, the damage would
    /// rise by more than `rise`.
    ///
    /// The estimate takes the relative changes of samples to be alike and independent, so that what
    /// is left to come has a deviation that goes with the root of the sum of squared damages.
    ///
    /// # Panics
    /// If rows are assigned in an order that was not made by [`gathered`](Self::gathered).
    pub fn propose(&mut self, change: Change, rise: f64) -> Option<OrderCost> {
        if let Some(dropped) = self.proposed.take() {
            self.readings.make(self.back(dropped));
        }
        self.readings.make(change);
        let count = self.costs.len();
        let rise = rise * self.damage.total;
        let [mut risen, mut squares] = [0.0; 2];
        for start in (0..count).step_by(BLOCK) {
            let seen = count.min(start + BLOCK);
            let (costs, changed) = (&self.costs[start..seen], &mut self.changed[start..seen]);
            self.readings.changed(start..seen, change, costs, changed);
            for (changed, cost) in changed.iter().zip(costs) {
                let of_sample = changed.damage - cost.damage;
                risen += of_sample;
                squares += of_sample * of_sample;
            }
            if seen < count {
                let [before, left] = [self.left[0] - self.left[seen], self.left[seen]];
                let deviation = (squares / before * left).sqrt();
                if risen - SURE * deviation > rise {
                    self.readings.make(self.back(change));
                    return None;
                }
            }
        }
        self.proposed = Some(change);
        Some(self.damage.mean(&self.changed))
    }

    /// What takes a change back that is not accepted.
    fn back(&self, change: Change) -> Change {
        match change {
            Change::Swap(_) => change,
            Change::Assign(rows) => Change::Assign(rows.map(|(at, _)| (at, self.physical[at]))),
        }
    }

    /// Makes the proposed change, if the proposal was not given up.
    pub fn accept(&mut self) {
        let Some(change) = self.proposed.take() else { return };
        if let Change::Swap([p, q]) = change {
            self.entries.swap(p, q);
        }
        change.make(&mut self.physical);
        std::mem::swap(&mut self.costs, &mut self.changed);
        self.readings.accept(change);
    }
}

impl<'a> Gathered<'a> {
    fn new(damage: &'a Damage<'a>, entries: &[usize]) -> Self {
        let scan = Scan::new(damage, entries);
        let reading = |sample| Reading::new(damage, &scan, entries, sample);
        let readings = damage.samples.iter().map(reading).collect();
        Self { damage, scan, readings, scratch: Scratch::default() }
    }
}

impl Readings for Gathered<'_> {
    fn costs(&mut self) -> Vec<OrderCost> {
        let samples = self.damage.samples.iter().zip(&self.readings);
        let errors = &mut self.scratch.errors;
        samples.map(|(sample, reading)| reading.cost(self.damage, sample, errors)).collect()
    }

    fn make(&mut self, change: Change) {
        self.scan.make(change);
    }

    fn changed(
        &mut self,
        samples: Range<usize>,
        change: Change,
        costs: &[OrderCost],
        changed: &mut [OrderCost],
    ) {
        let Self { damage, scan, readings, scratch } = self;
        let samples = damage.samples[samples.clone()].iter().zip(&readings[samples]);
        for ((sample, reading), (changed, &cost)) in samples.zip(changed.iter_mut().zip(costs)) {
            *changed = if reading.change(damage, scan, sample, change, scratch) {
                let Scratch { reading, errors } = &mut *scratch;
                reading.cost(damage, sample, errors)
            } else {
                cost
            };
        }
    }

    fn accept(&mut self, change: Change) {
        let Self { damage, scan, readings, scratch } = self;
        for (sample, reading) in damage.samples.iter().zip(readings) {
            if reading.is_touched(change.positions(), scan.words()) {
                reading.change(damage, scan, sample, change, scratch);
                std::mem::swap(reading, &mut scratch.reading);
            }
        }
    }
}

fn squares_from(costs: &[OrderCost]) -> Vec<f64> {
    let mut from = vec![0.0; costs.len() + 1];
    for (index, cost) in costs.iter().enumerate().rev() {
        from[index] = from[index + 1] + cost.damage * cost.damage;
    }
    from
}
