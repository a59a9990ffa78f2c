//! The groups of every sample in one order, and what they cost.
//!
//! Implements the rule of grouping, [`hafnia_cim::InputControl::groups`], plane by plane and from any
//! position on; the test `damage_is_the_obvious_one` holds it to that definition.

use std::ops::Range;

use hafnia_ir::RowEntry;
use rayon::prelude::*;

use super::change::Change;
use super::definition::{Damage, OrderCost, Sample};

/// Samples that one thread takes at a time.
const CHUNK: usize = 64;

/// The share of the damage that [`Damage::focus`] may take as it is in one order.
const NEGLECTED: f64 = 1e-3;

/// The entries of a tile in one order, by scan position.
#[derive(Clone)]
pub(super) struct Scan {
    /// What groups them: the physical row, and the window and sign that a group has in common.
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    physical: u32,
    window: u32,
    negative: bool,
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
    /// 2·sign·factor of the plane.
    factor: f64,
}

/// Buffers of an evaluation.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) reading: Reading,
    pub(super) errors: Vec<[f64; 2]>,
}

impl Damage<'_> {
    /// Looks only at the `count` samples to which this order does most damage, of equals the first,
    /// and of a last matrix only at classes that may win; the damage of all else is taken as it is
    /// in this order.
    ///
    /// Most samples are far from any flip in every order, so that a few of many images say more than all
    /// of few. A sample that is near a flip is near it in one or two classes.
    pub fn focus(mut self, entries: &[usize], count: usize) -> Self {
        let terms = self.of_samples(entries, |sample, errors, _| self.terms(sample, errors));
        let damages: Vec<f64> = terms.iter().map(|terms| terms.iter().sum()).collect();
        let mut by_damage: Vec<usize> = (0..damages.len()).collect();
        by_damage.sort_by(|&a, &b| damages[b].total_cmp(&damages[a]));
        let left = by_damage.split_off(count.min(damages.len()));
        self.elsewhere += left.iter().map(|&index| damages[index]).sum::<f64>();
        let least = if self.is_last { least(&by_damage, &terms) } else { 0.0 };
        let mut samples = Vec::new();
        for index in by_damage {
            let (sample, terms) = (&self.samples[index], &terms[index]);
            // The winner, which has no damage of its own, stays.
            let counts = |&k: &usize| !self.is_last || k == 0 || terms[k] >= least;
            let kept: Vec<usize> = (0..terms.len()).filter(counts).collect();
            let all: f64 = terms.iter().sum();
            self.elsewhere += all - kept.iter().map(|&k| terms[k]).sum::<f64>();
            samples.push(sample.with_outputs(&kept));
        }
        self.samples = samples;
        self
    }

    /// What one order costs: entry `entries[i]` of the tile is at position i.
    pub fn of(&self, entries: &[usize]) -> OrderCost {
        self.mean(&self.of_samples(entries, |sample, errors, reading| OrderCost {
            damage: self.terms(sample, errors).iter().sum(),
            cycles: reading.cycles(),
        }))
    }

    /// The damage to every sample that is looked at.
    pub fn damages(&self, entries: &[usize]) -> Vec<f64> {
        self.of_samples(entries, |sample, errors, _| self.terms(sample, errors).iter().sum())
    }

    /// Mean and variance of the error of every column that is looked at, by sample, in the order of
    /// [`columns`](Self::columns).
    pub fn errors(&self, entries: &[usize]) -> Vec<Vec<[f64; 2]>> {
        self.of_samples(entries, |_, errors, _| errors.to_vec())
    }

    /// Ones in a conversion, on average over samples, columns and conversions.
    pub fn ones(&self, entries: &[usize]) -> f64 {
        let most = self.rows_per_conversion + 1;
        let counts = self.of_samples(entries, |_, _, reading| reading.ones(most));
        let [ones, conversions] =
            counts.iter().fold([0, 0], |sum, count| [sum[0] + count[0], sum[1] + count[1]]);
        ones as f64 / (conversions as f64).max(1.0)
    }

    /// What `of` makes of a sample, its errors and how it is read, for every sample.
    fn of_samples<T: Send>(
        &self,
        entries: &[usize],
        of: impl Fn(&Sample, &[[f64; 2]], &Reading) -> T + Sync,
    ) -> Vec<T> {
        let scan = Scan::new(self, entries);
        let chunk = |samples: &[Sample]| {
            let mut errors = Vec::new();
            let of_sample = |sample| {
                let reading = Reading::new(self, &scan, entries, sample);
                reading.errors(self, sample, &mut errors);
                of(sample, &errors, &reading)
            };
            samples.iter().map(of_sample).collect::<Vec<T>>()
        };
        let chunks: Vec<Vec<T>> = self.samples.par_chunks(CHUNK).map(chunk).collect();
        chunks.into_iter().flatten().collect()
    }
}

/// The smallest damage of a class that is looked at: what is less makes [`NEGLECTED`] in all.
fn least(samples: &[usize], terms: &[Vec<f64>]) -> f64 {
    let mut all: Vec<f64> = samples.iter().flat_map(|&sample| &terms[sample]).copied().collect();
    all.sort_by(f64::total_cmp);
    let mut left = NEGLECTED * all.iter().sum::<f64>();
    let is_left = |term: &&f64| {
        left -= **term;
        left < 0.0
    };
    all.iter().find(is_left).copied().unwrap_or(0.0)
}

impl Scan {
    pub(super) fn new(damage: &Damage<'_>, entries: &[usize]) -> Self {
        let tile = damage.tile;
        let entry = |(position, &entry): (usize, &usize)| {
            let RowEntry { physical, negative, .. } = tile.rows.get(entry);
            Entry { physical, window: (position / damage.window) as u32, negative }
        };
        Self { entries: entries.iter().enumerate().map(entry).collect() }
    }

    /// Words of a set of positions.
    pub(super) fn words(&self) -> usize {
        self.entries.len().div_ceil(64)
    }

    pub(super) fn make(&mut self, change: Change) {
        match change {
            Change::Swap([p, q]) => {
                // A window belongs to its position.
                let (at_p, at_q) = (self.entries[p], self.entries[q]);
                self.entries[p] = Entry { window: at_p.window, ..at_q };
                self.entries[q] = Entry { window: at_q.window, ..at_p };
            }
            Change::Assign(rows) => {
                rows.iter().for_each(|&(at, physical)| self.entries[at].physical = physical);
            }
        }
    }
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
        for plane in 0..damage.planes.len() {
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

    pub(super) fn cost(
        &self,
        damage: &Damage<'_>,
        sample: &Sample,
        errors: &mut Vec<[f64; 2]>,
    ) -> OrderCost {
        self.errors(damage, sample, errors);
        let mut cost = OrderCost { damage: 0.0, cycles: self.cycles() };
        damage.each_term(sample, errors, |term| cost.damage += term);
        cost
    }

    /// Whether a plane of `words` words is on at one of two positions.
    pub(super) fn is_touched(&self, [p, q]: [usize; 2], words: usize) -> bool {
        let mut planes = self.active.chunks_exact(words);
        planes.any(|plane| (bit(plane, p) | bit(plane, q)) == 1)
    }

    /// Reads the sample into `scratch` after a change that is made in `scan` already. Whether a group
    /// is then another one; if not, and if the change does not touch the sample, what is in `scratch`
    /// is not to be used.
    pub(super) fn change(
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

    /// Appends groups of `other`, each of which has `words` words of rows and `columns` states.
    fn copy(&mut self, other: &Self, range: Range<usize>, [words, columns]: [usize; 2]) {
        let of_each = |each: usize| range.start * each..range.end * each;
        self.groups.extend_from_slice(&other.groups[range.clone()]);
        self.rows.extend_from_slice(&other.rows[of_each(words)]);
        self.states.extend_from_slice(&other.states[of_each(columns)]);
    }

    /// Whether the groups from `first` on differ from these of `other`; each has `words` words.
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
                let factor = sign * damage.planes[plane];
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

#[cfg(test)]
mod tests;
