//! [`Order`]: the damage of one order of entries, kept ready for swaps.

use std::ops::Range;

use hafnia_bits::Isa;

use super::plain::Plain;
use super::{Cost, Damage, Sample, Scan};

/// One order, and how every sample is read in it.
pub(crate) struct Order<'a> {
    damage: &'a Damage<'a>,
    /// Entry of the tile at every scan position.
    entries: Vec<usize>,
    readings: Box<dyn Readings + 'a>,
    costs: Vec<Cost>,
    /// From every sample on: the sum of squares of damages, in the order to begin with.
    left: Vec<f64>,
    /// Physical row of the entry at every scan position.
    physical: Vec<u32>,
    /// The change that was proposed, and what each sample would then cost.
    proposed: Option<Change>,
    changed: Vec<Cost>,
}

/// A change of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The entries at two positions are swapped.
    Swap([usize; 2]),
    /// The entries at two positions, or one named twice, get these physical rows, which hold the same
    /// bits as theirs do.
    Assign([(usize, u32); 2]),
}

impl Change {
    fn positions(self) -> [usize; 2] {
        match self {
            Self::Swap(swap) => swap,
            Self::Assign(rows) => rows.map(|(position, _)| position),
        }
    }

    /// Makes it in the physical rows by scan position; the change that takes it back.
    fn make(self, physical: &mut [u32]) -> Self {
        match self {
            Self::Swap([p, q]) => physical.swap(p, q),
            Self::Assign(rows) => {
                let before = rows.map(|(position, _)| (position, physical[position]));
                rows.iter().for_each(|&(position, row)| physical[position] = row);
                return Self::Assign(before);
            }
        }
        self
    }
}

/// How all samples are read in an order, in which two entries can be tried the other way round.
pub(super) trait Readings {
    /// What samples cost in the order.
    fn costs(&mut self) -> Vec<Cost>;

    /// Makes a change in what samples have in common.
    fn make(&mut self, change: Change);

    /// Into `changed`: what these samples cost after this change, which was made by
    /// [`make`](Self::make). In `costs` is what they cost before.
    fn changed(
        &mut self,
        samples: Range<usize>,
        change: Change,
        costs: &[Cost],
        changed: &mut [Cost],
    );

    /// Makes the change, which was made by [`make`](Self::make), in every sample.
    fn accept(&mut self, change: Change);
}

/// Readings of any tile.
struct Gathered<'a> {
    damage: &'a Damage<'a>,
    scan: Scan,
    readings: Vec<Reading>,
    scratch: Scratch,
}

/// How one sample is read: the groups of all its planes.
#[derive(Default)]
pub(super) struct Reading {
    /// (plane, word): which scan positions are on.
    active: Vec<u64>,
    /// Where the groups of every plane end.
    ends: Vec<usize>,
    groups: Vec<Group>,
    /// (group, word): the physical rows that are on.
    rows: Vec<u64>,
    /// (group, column looked at): rows and ones, as [`Damage::state`] numbers them.
    states: Vec<u16>,
}

#[derive(Clone, Copy)]
struct Group {
    /// Scan position of its first row.
    first: usize,
    /// 2·sign·2^plane.
    factor: f64,
}

/// Buffers of an evaluation.
#[derive(Default)]
struct Scratch {
    reading: Reading,
    errors: Vec<[f64; 2]>,
}

/// Samples, the most damaged first, after which a proposal may be given up, and again after each further so many.
const BLOCK: usize = 64;

/// Standard errors by which a proposal must miss its limit to be given up: wrong once in 740, if it
/// is as near to the limit as that. With 2, a search of `frontier/2` ended 1 % worse.
const SURE: f64 = 3.0;

impl<'a> Order<'a> {
    pub(super) fn new(damage: &'a Damage<'a>, entries: &[usize]) -> Self {
        match Plain::new(damage, entries, Isa::best()) {
            Some(plain) => Self::read(damage, entries, Box::new(plain)),
            None => Self::gathered(damage, entries),
        }
    }

    /// The same, read as any tile is.
    pub(crate) fn gathered(damage: &'a Damage<'a>, entries: &[usize]) -> Self {
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
    pub(crate) fn cost(&self) -> Cost {
        self.damage.mean(&self.costs)
    }

    /// The entries in scan order.
    pub(crate) fn entries(&self) -> &[usize] {
        &self.entries
    }

    /// The physical row of every entry, in scan order.
    pub(crate) fn physical(&self) -> &[u32] {
        &self.physical
    }

    /// What it would cost after a change; nothing if, by the samples
    /// looked at so far, the damage would rise by more than `rise`.
    ///
    /// The estimate takes the relative changes of samples to be alike and independent, so that what
    /// is left to come has a deviation that goes with the root of the sum of squared damages.
    pub(crate) fn propose(&mut self, change: Change, rise: f64) -> Option<Cost> {
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
    pub(crate) fn accept(&mut self) {
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
    fn costs(&mut self) -> Vec<Cost> {
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
        costs: &[Cost],
        changed: &mut [Cost],
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

fn squares_from(costs: &[Cost]) -> Vec<f64> {
    let mut from = vec![0.0; costs.len() + 1];
    for (index, cost) in costs.iter().enumerate().rev() {
        from[index] = from[index + 1] + cost.damage * cost.damage;
    }
    from
}

impl Reading {
    /// A sample under an order.
    pub(super) fn new(
        damage: &Damage<'_>,
        scan: &Scan,
        entries: &[usize],
        sample: &Sample,
    ) -> Self {
        let activations = damage.profile.sample(sample.index);
        let words = entries.len().div_ceil(64);
        let mut reading = Self::default();
        for plane in 0..usize::from(damage.profile.bits) {
            let start = reading.active.len();
            reading.active.resize(start + words, 0);
            for (position, &entry) in entries.iter().enumerate() {
                let row = damage.tile.rows.logical()[entry] as usize;
                let bit = u64::from(activations[row] >> plane & 1);
                reading.active[start + position / 64] |= bit << (position % 64);
            }
            let whole = Part { plane, from: 0, known: &[], last: 0 };
            reading.gather(damage, scan, sample, whole);
            reading.ends.push(reading.groups.len());
        }
        reading
    }

    /// Conversion cycles.
    pub(super) fn cycles(&self) -> f64 {
        self.groups.len() as f64
    }

    /// Ones in all conversions, and conversions, of the columns that are looked at.
    pub(super) fn ones(&self, counts: usize) -> [usize; 2] {
        [self.states.iter().map(|&state| usize::from(state) % counts).sum(), self.states.len()]
    }

    fn cost(&self, damage: &Damage<'_>, sample: &Sample, errors: &mut Vec<[f64; 2]>) -> Cost {
        self.errors(damage, sample, errors);
        let mut cost = Cost { damage: 0.0, cycles: self.cycles() };
        damage.each_term(sample, errors, |term| cost.damage += term);
        cost
    }

    /// Whether the entry at a position and the one before it are on in one plane and do not share a
    /// conversion there.
    pub(super) fn splits(&self, position: usize) -> bool {
        let words = self.active.len() / self.ends.len();
        let mut start = 0;
        self.active.chunks(words).zip(&self.ends).any(|(active, &end)| {
            let mut groups = self.groups[start..end].iter();
            start = end;
            bit(active, position - 1) & bit(active, position) == 1
                && groups.any(|group| group.first == position)
        })
    }

    /// All but the last group of every plane that is `open`, and the states of these last groups;
    /// a group has `each` words of rows and states.
    pub(super) fn without_last(&self, open: &[bool], each: [usize; 2]) -> (Self, Vec<Vec<u16>>) {
        let (mut known, mut last) = (Self::default(), Vec::new());
        let mut start = 0;
        for (&end, &is_open) in self.ends.iter().zip(open) {
            let kept = if is_open { end.saturating_sub(1).max(start) } else { end };
            known.copy(self, start..kept, each);
            known.ends.push(known.groups.len());
            last.push(self.states[kept * each[1]..end * each[1]].to_vec());
            start = end;
        }
        (known, last)
    }

    /// Whether a plane is on at one of two positions; it has so many words.
    fn is_touched(&self, [p, q]: [usize; 2], words: usize) -> bool {
        let mut planes = self.active.chunks_exact(words);
        planes.any(|plane| (bit(plane, p) | bit(plane, q)) == 1)
    }

    /// Reads the sample into `scratch` after a change that is made in `scan` already. Whether a group
    /// is then another one; if not, and if the change does not touch the sample, what is in `scratch`
    /// is not to be used.
    fn change(
        &self,
        damage: &Damage<'_>,
        scan: &Scan,
        sample: &Sample,
        change: Change,
        scratch: &mut Scratch,
    ) -> bool {
        let words = scan.words();
        let at = change.positions();
        if !self.is_touched(at, words) {
            return false;
        }
        let [p, q] = [at[0].min(at[1]), at[0].max(at[1])];
        let is_swap = u64::from(matches!(change, Change::Swap(_)));
        let each = [damage.words, sample.columns.len()];
        let new = &mut scratch.reading;
        new.clear();
        new.active.extend_from_slice(&self.active);
        let mut is_other = false;
        let mut start = 0;
        for (plane, &end) in self.ends.iter().enumerate() {
            let active = &mut new.active[plane * words..(plane + 1) * words];
            let [at_p, at_q] = [bit(active, p), bit(active, q)];
            if at_p | at_q == 0 {
                new.copy(self, start..end, each);
            } else {
                let differ = (at_p ^ at_q) & is_swap;
                active[p / 64] ^= differ << (p % 64);
                active[q / 64] ^= differ << (q % 64);
                // A group that begins at p may have done so because of the entry that was there, so
                // that the group before may be another one too.
                let before = self.groups[start..end].partition_point(|group| group.first < p);
                let kept = start + before.saturating_sub(1);
                let from = self.groups.get(kept).map_or(p, |group| group.first.min(p));
                new.copy(self, start..kept, each);
                let first = new.groups.len();
                let part = Part { plane, from, known: &self.groups[kept..end], last: q };
                let stay = kept + new.gather(damage, scan, sample, part);
                is_other |= new.is_other(first, self, kept..stay, damage.words);
                new.copy(self, stay..end, each);
            }
            new.ends.push(new.groups.len());
            start = end;
        }
        is_other
    }

    fn clear(&mut self) {
        self.active.clear();
        self.ends.clear();
        self.groups.clear();
        self.rows.clear();
        self.states.clear();
    }

    /// Appends groups of `other`, of which each has so many words of rows and so many states.
    fn copy(&mut self, other: &Self, range: Range<usize>, [words, columns]: [usize; 2]) {
        let of_each = |each: usize| range.start * each..range.end * each;
        self.groups.extend_from_slice(&other.groups[range.clone()]);
        self.rows.extend_from_slice(&other.rows[of_each(words)]);
        self.states.extend_from_slice(&other.states[of_each(columns)]);
    }

    /// Whether the groups from `first` on differ from these of `other`; each has so many words.
    fn is_other(&self, first: usize, other: &Self, range: Range<usize>, words: usize) -> bool {
        let (new, old) = (&self.groups[first..], &other.groups[range.clone()]);
        new.len() != old.len()
            || self.rows[first * words..] != other.rows[range.start * words..range.end * words]
            || new.iter().zip(old).any(|(new, old)| new.factor != old.factor)
    }

    /// Gathers the positions of a plane that are on in `active` into groups, as
    /// [`InputControl::groups`](hafnia_cim::InputControl::groups) does. Ends where the groups are
    /// the known ones again, and says from which on.
    fn gather(
        &mut self,
        damage: &Damage<'_>,
        scan: &Scan,
        sample: &Sample,
        part: Part<'_>,
    ) -> usize {
        let Part { plane, from, known, last } = part;
        let words = damage.words;
        let (mut count, mut known_again) = (0, 0);
        let mut first = scan.entries[0];
        let active = plane * scan.words()..(plane + 1) * scan.words();
        let mut word = from / 64;
        let mut bits = self.active[active.start + word] & (!0 << (from % 64));
        loop {
            while bits == 0 {
                word += 1;
                if active.start + word == active.end {
                    self.close(damage, sample, count);
                    return known.len();
                }
                bits = self.active[active.start + word];
            }
            let position = word * 64 + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            let entry = scan.entries[position];
            let (at, mask) = (entry.physical as usize / 64, 1 << (entry.physical % 64));
            let group = self.rows.len().wrapping_sub(words);
            let closes = count == 0
                || count == damage.rows_per_conversion
                || entry.window != first.window
                || entry.negative != first.negative
                || self.rows[group + at] & mask != 0;
            if closes {
                self.close(damage, sample, count);
                if position > last {
                    while known.get(known_again).is_some_and(|known| known.first < position) {
                        known_again += 1;
                    }
                    if known.get(known_again).is_some_and(|known| known.first == position) {
                        return known_again;
                    }
                }
                let sign = if entry.negative { -1.0 } else { 1.0 };
                let factor = 2.0 * sign * f64::from(1u32 << plane);
                self.groups.push(Group { first: position, factor });
                self.rows.resize(self.rows.len() + words, 0);
                (count, first) = (0, entry);
            }
            let group = self.rows.len() - words;
            self.rows[group + at] |= mask;
            count += 1;
        }
    }

    /// Notes the states of the last group, which has `count` rows; there is none of 0.
    fn close(&mut self, damage: &Damage<'_>, sample: &Sample, count: usize) {
        if count > 0 {
            let rows = &self.rows[self.rows.len() - damage.words..];
            let state = |&column: &u16| {
                let ones =
                    rows.iter().zip(damage.ones_of(column)).map(|(a, b)| (a & b).count_ones());
                damage.state(count, ones.sum::<u32>() as usize) as u16
            };
            self.states.extend(sample.columns.iter().map(state));
        }
    }

    /// Mean and variance of the error of every column that is looked at.
    pub(super) fn errors(&self, damage: &Damage<'_>, sample: &Sample, errors: &mut Vec<[f64; 2]>) {
        errors.clear();
        errors.resize(sample.columns.len(), [0.0; 2]);
        let columns = sample.columns.len();
        let states = |g: usize| &self.states[g * columns..(g + 1) * columns];
        let rows = |g: usize| &self.rows[g * damage.words..(g + 1) * damage.words];
        for (g, group) in self.groups.iter().enumerate() {
            for ([mean, variance], &state) in errors.iter_mut().zip(states(g)) {
                let [bias, of_code] = damage.moments[usize::from(state)];
                *mean += group.factor * bias;
                *variance += group.factor * group.factor * of_code;
            }
            let Some(covariance) = &damage.covariance else { continue };
            for (h, other) in self.groups[..g].iter().enumerate() {
                let both = 2.0 * group.factor * other.factor;
                let pairs = states(g).iter().zip(states(h)).zip(errors.iter_mut());
                if rows(g).iter().zip(rows(h)).all(|(a, b)| a & b == 0) {
                    for ((&a, &b), error) in pairs {
                        error[1] += both * damage.apart(a, b);
                    }
                } else {
                    // Cells that are on in both err in both.
                    for (((&a, &b), error), &column) in pairs.zip(&sample.columns) {
                        let of_rows = rows(g).iter().zip(rows(h)).zip(damage.ones_of(column));
                        let shared = of_rows.map(|((a, b), ones)| (a & b & ones).count_ones());
                        error[1] += both * covariance.with(a).of(b, shared.sum::<u32>() as usize);
                    }
                }
            }
        }
        for (error, &column) in errors.iter_mut().zip(&sample.columns) {
            let factor = damage.factors[usize::from(column)];
            *error = [factor * error[0], factor * factor * error[1]];
        }
    }
}

/// The part of a plane that is scanned.
struct Part<'a> {
    plane: usize,
    /// Scan position to begin at.
    from: usize,
    /// The groups there were from there on, under the order before.
    known: &'a [Group],
    /// The last position at which the two orders differ.
    last: usize,
}

fn bit(words: &[u64], position: usize) -> u64 {
    words[position / 64] >> (position % 64) & 1
}
