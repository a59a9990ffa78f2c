//! [`Order`]: the damage of one order of entries, kept ready for swaps.

use std::ops::Range;

use hafnia_cim::CodeCovariance;

use super::{Cost, Damage, LANES, Sample, Scan};

/// One order, and how every sample is read in it.
pub(crate) struct Order<'a> {
    damage: &'a Damage<'a>,
    /// Entry of the tile at every scan position.
    entries: Vec<usize>,
    scan: Scan,
    readings: Vec<Reading>,
    costs: Vec<Cost>,
    /// From every sample on: the sum of squares of damages, in the order to begin with.
    left: Vec<f64>,
    /// The swap that was proposed, and what each sample would then cost.
    proposed: Option<[usize; 2]>,
    changed: Vec<Cost>,
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
    ones: Vec<u128>,
    errors: Vec<[f64; 2]>,
}

/// Samples, the most damaged first, after which a proposal may be given up, and again after each further so many.
const BLOCK: usize = 64;

/// Standard errors by which a proposal must miss its limit to be given up: wrong once in 740, if it
/// is as near to the limit as that. With 2, a search of `frontier/2` ended 1 % worse.
const SURE: f64 = 3.0;

impl<'a> Order<'a> {
    pub(super) fn new(damage: &'a Damage<'a>, entries: &[usize]) -> Self {
        let scan = Scan::new(damage, entries);
        let readings: Vec<Reading> = damage
            .samples
            .iter()
            .map(|sample| Reading::new(damage, &scan, entries, sample))
            .collect();
        let mut scratch = Scratch::default();
        let costs: Vec<Cost> = damage
            .samples
            .iter()
            .zip(&readings)
            .map(|(sample, reading)| reading.cost(damage, sample, &mut scratch.errors))
            .collect();
        Self {
            damage,
            entries: entries.to_vec(),
            left: squares_from(&costs),
            scan,
            readings,
            changed: costs.clone(),
            costs,
            proposed: None,
            scratch,
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

    /// What it would cost if the entries at two positions were swapped; nothing if, by the samples
    /// looked at so far, the damage would rise by more than `rise`.
    ///
    /// The estimate takes the relative changes of samples to be alike and independent, so that what
    /// is left to come has a deviation that goes with the root of the sum of squared damages.
    pub(crate) fn propose(&mut self, swap: [usize; 2], rise: f64) -> Option<Cost> {
        if let Some(dropped) = self.proposed.take() {
            self.scan.swap(dropped);
        }
        self.scan.swap(swap);
        let (damage, count) = (self.damage, self.readings.len());
        let rise = rise * damage.total;
        let [mut change, mut squares] = [0.0; 2];
        let samples = damage.samples.iter().zip(&self.readings).zip(&self.costs);
        for (index, ((sample, reading), &cost)) in samples.enumerate() {
            let is_other = reading.swap(damage, &self.scan, sample, swap, &mut self.scratch);
            self.changed[index] = if is_other {
                let Scratch { reading, errors, .. } = &mut self.scratch;
                reading.cost(damage, sample, errors)
            } else {
                cost
            };
            let of_sample = self.changed[index].damage - cost.damage;
            change += of_sample;
            squares += of_sample * of_sample;
            let seen = index + 1;
            if seen.is_multiple_of(BLOCK) && seen < count {
                let [seen, left] = [self.left[0] - self.left[seen], self.left[seen]];
                let deviation = (squares / seen * left).sqrt();
                if change - SURE * deviation > rise {
                    self.scan.swap(swap);
                    return None;
                }
            }
        }
        self.proposed = Some(swap);
        Some(damage.mean(&self.changed))
    }

    /// Makes the proposed swap, if the proposal was not given up.
    pub(crate) fn accept(&mut self) {
        let Some(swap) = self.proposed.take() else { return };
        self.entries.swap(swap[0], swap[1]);
        std::mem::swap(&mut self.costs, &mut self.changed);
        for (sample, reading) in self.damage.samples.iter().zip(&mut self.readings) {
            if reading.is_touched(swap) {
                reading.swap(self.damage, &self.scan, sample, swap, &mut self.scratch);
                std::mem::swap(reading, &mut self.scratch.reading);
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
        let mut ones = Vec::new();
        for plane in 0..usize::from(damage.profile.bits) {
            let start = reading.active.len();
            reading.active.resize(start + words, 0);
            for (position, &entry) in entries.iter().enumerate() {
                let row = damage.tile.rows.logical()[entry] as usize;
                let bit = u64::from(activations[row] >> plane & 1);
                reading.active[start + position / 64] |= bit << (position % 64);
            }
            let whole = Part { plane, from: 0, known: &[], last: 0 };
            reading.gather(damage, scan, sample, whole, &mut ones);
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

    /// All but the last group of every plane that is `open`, and the states of these last groups.
    pub(super) fn without_last(&self, open: &[bool], columns: usize) -> (Self, Vec<Vec<u16>>) {
        let (mut known, mut last) = (Self::default(), Vec::new());
        let mut start = 0;
        for (&end, &is_open) in self.ends.iter().zip(open) {
            let kept = if is_open { end.saturating_sub(1).max(start) } else { end };
            known.copy(self, start..kept);
            known.ends.push(known.groups.len());
            last.push(self.states[kept * columns..end * columns].to_vec());
            start = end;
        }
        (known, last)
    }

    fn is_touched(&self, [p, q]: [usize; 2]) -> bool {
        let words = self.active.len() / self.ends.len();
        let mut planes = self.active.chunks(words);
        planes.any(|plane| (bit(plane, p) | bit(plane, q)) == 1)
    }

    /// Reads the sample into `scratch` with the entries at two positions swapped, as they are in
    /// `scan` already. Whether a group is then another one; if not, and if the swap does not touch
    /// the sample, what is in `scratch` is not to be used.
    fn swap(
        &self,
        damage: &Damage<'_>,
        scan: &Scan,
        sample: &Sample,
        swap: [usize; 2],
        scratch: &mut Scratch,
    ) -> bool {
        if !self.is_touched(swap) {
            return false;
        }
        let [p, q] = [swap[0].min(swap[1]), swap[0].max(swap[1])];
        let words = self.active.len() / self.ends.len();
        let Scratch { reading: new, ones, .. } = scratch;
        new.clear();
        new.active.extend_from_slice(&self.active);
        let mut is_other = false;
        let mut start = 0;
        for (plane, &end) in self.ends.iter().enumerate() {
            let active = &mut new.active[plane * words..(plane + 1) * words];
            let [at_p, at_q] = [bit(active, p), bit(active, q)];
            if at_p | at_q == 0 {
                new.copy(self, start..end);
            } else {
                let differ = at_p ^ at_q;
                active[p / 64] ^= differ << (p % 64);
                active[q / 64] ^= differ << (q % 64);
                // A group that begins at p may have done so because of the entry that was there, so
                // that the group before may be another one too.
                let before = self.groups[start..end].partition_point(|group| group.first < p);
                let kept = start + before.saturating_sub(1);
                let from = self.groups.get(kept).map_or(p, |group| group.first.min(p));
                new.copy(self, start..kept);
                let first = new.groups.len();
                let part = Part { plane, from, known: &self.groups[kept..end], last: q };
                let stay = kept + new.gather(damage, scan, sample, part, ones);
                is_other |= new.is_other(first, self, kept..stay);
                new.copy(self, stay..end);
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

    /// Appends groups of `other`, which is of the same sample.
    fn copy(&mut self, other: &Self, range: Range<usize>) {
        let Some(each) = other.groups.len().checked_sub(1).map(|_| other.each()) else { return };
        self.groups.extend_from_slice(&other.groups[range.clone()]);
        self.rows.extend_from_slice(&other.rows[range.start * each[0]..range.end * each[0]]);
        self.states.extend_from_slice(&other.states[range.start * each[1]..range.end * each[1]]);
    }

    /// Words of rows and number of states of a group, of which there must be one.
    fn each(&self) -> [usize; 2] {
        [self.rows.len() / self.groups.len(), self.states.len() / self.groups.len()]
    }

    /// Whether the groups from `first` on differ from these of `other`.
    fn is_other(&self, first: usize, other: &Self, range: Range<usize>) -> bool {
        let (new, old) = (&self.groups[first..], &other.groups[range.clone()]);
        if new.len() != old.len() || new.is_empty() {
            return new.len() != old.len();
        }
        let words = self.each()[0];
        self.rows[first * words..] != other.rows[range.start * words..range.end * words]
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
        ones: &mut Vec<u128>,
    ) -> usize {
        let Part { plane, from, known, last } = part;
        let words = damage.tile.physical_rows().div_ceil(64);
        let (mut count, mut known_again) = (0, 0);
        let mut first = scan.entries[0];
        let planes = plane * scan.entries.len().div_ceil(64);
        let active = planes..planes + scan.entries.len().div_ceil(64);
        let mut word = from / 64;
        let mut bits = self.active[active.start + word] & (!0 << (from % 64));
        loop {
            while bits == 0 {
                word += 1;
                if active.start + word == active.end {
                    self.close(damage, sample, count, ones);
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
                self.close(damage, sample, count, ones);
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
            // A conversion has at most 63 rows, so that no byte overflows.
            for (ones, bits) in ones.iter_mut().zip(damage.row(entry.physical as usize)) {
                *ones += bits;
            }
        }
    }

    /// Notes the states of a group of `count` rows, of which `ones` are ones.
    fn close(&mut self, damage: &Damage<'_>, sample: &Sample, count: usize, ones: &mut Vec<u128>) {
        if count > 0 {
            let state = |&column: &u16| {
                let (lane, byte) = (usize::from(column) / LANES, usize::from(column) % LANES);
                damage.state(count, usize::from((ones[lane] >> (8 * byte)) as u8)) as u16
            };
            self.states.extend(sample.columns.iter().map(state));
        }
        ones.clear();
        ones.resize(damage.lanes, 0);
    }

    /// Mean and variance of the error of every column that is looked at.
    pub(super) fn errors(&self, damage: &Damage<'_>, sample: &Sample, errors: &mut Vec<[f64; 2]>) {
        errors.clear();
        let columns = sample.columns.len();
        for (k, &column) in sample.columns.iter().enumerate() {
            let [mut mean, mut variance] = [0.0; 2];
            for (g, group) in self.groups.iter().enumerate() {
                let state = self.states[g * columns + k];
                let of_code = damage.moments[usize::from(state)];
                mean += group.factor * of_code[0];
                let Some(covariance) = &damage.covariance else {
                    variance += group.factor * group.factor * of_code[1];
                    continue;
                };
                let covariances = covariance.with(state);
                let (mut sum, mut at) = (0.0, k);
                for other in &self.groups[..g] {
                    sum += other.factor * covariances.of(self.states[at], 0);
                    at += columns;
                }
                variance += group.factor * (group.factor * of_code[1] + 2.0 * sum);
            }
            let is_inverted = damage.tile.columns[usize::from(column)].inverted;
            errors.push([if is_inverted { -mean } else { mean }, variance]);
        }
        if let Some(covariance) = &damage.covariance {
            self.add_shared(damage, covariance, sample, errors);
        }
    }

    /// Adds to the variances what cells make that are on in two groups.
    fn add_shared(
        &self,
        damage: &Damage<'_>,
        covariance: &CodeCovariance,
        sample: &Sample,
        errors: &mut [[f64; 2]],
    ) {
        let words = damage.tile.physical_rows().div_ceil(64);
        let columns = sample.columns.len();
        let rows = |g: usize| &self.rows[g * words..(g + 1) * words];
        for g in 1..self.groups.len() {
            for h in 0..g {
                let is_common = |(a, b): (&u64, &u64)| a & b != 0;
                if !rows(g).iter().zip(rows(h)).any(is_common) {
                    continue;
                }
                let both = 2.0 * self.groups[g].factor * self.groups[h].factor;
                for (k, error) in errors.iter_mut().enumerate() {
                    let column = usize::from(sample.columns[k]);
                    let mut shared = 0;
                    for (word, (a, b)) in rows(g).iter().zip(rows(h)).enumerate() {
                        let mut common = a & b;
                        while common != 0 {
                            let row = word * 64 + common.trailing_zeros() as usize;
                            shared += usize::from(damage.is_one(row, column));
                            common &= common - 1;
                        }
                    }
                    let [a, b] = [g, h].map(|group| self.states[group * columns + k]);
                    let covariances = covariance.with(a);
                    error[1] += both * (covariances.of(b, shared) - covariances.of(b, 0));
                }
            }
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
