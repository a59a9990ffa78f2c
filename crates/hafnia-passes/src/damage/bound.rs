//! [`Damage::bound`]: what no order with a given beginning can do less damage than.
//!
//! The groups of the beginning are known but for the last of every plane, which later rows may still
//! join. Known groups make a known error, covariances included. Of the others only the number of
//! rows and, column by column, the ones among them are known; over all ways to gather them, each
//! column and plane for itself, [`Completions`] knows the least variance and the range of the bias.
//! Their covariances are not below 0 where no row is negative, and are left out. So every error has
//! a least variance and a range of means, and a damage that it is not below.

use super::order::Reading;
use super::{Damage, Sample, Scan};

/// What groups can still do to a column, by the rows and ones of the open group and of the rows to
/// come.
pub(crate) struct Completions {
    most: usize,
    rows: usize,
    /// (rows, ones, rows to come, ones among these): least variance, least and largest bias.
    values: Vec<[f64; 3]>,
}

/// What orders with a given beginning have in common.
pub(crate) struct Bound {
    /// They do no less damage.
    pub(crate) damage: f64,
    /// Whether it matters in which order the last two entries stand.
    pub(crate) splits: bool,
}

impl Damage<'_> {
    /// What [`bound`](Self::bound) looks up.
    pub(crate) fn completions(&self) -> Completions {
        let (most, rows) = (self.rows_per_conversion, self.tile.rows.len());
        let is_filled = self.window == usize::MAX && !self.tile.rows.has_shared_rows();
        let mut completions = Completions { most, rows, values: Vec::new() };
        completions.values = vec![[0.0; 3]; completions.index(most, most, rows, rows) + 1];
        for left in 0..=rows {
            for ones_left in 0..=left {
                for n in 0..=most {
                    for o in 0..=n {
                        let found = completions.of(self, [n, o], [left, ones_left], is_filled);
                        let index = completions.index(n, o, left, ones_left);
                        completions.values[index] = found;
                    }
                }
            }
        }
        completions
    }

    /// What all orders have in common that begin with these entries; `rest` are the others.
    ///
    /// No entry may be negative. With all entries in `prefix` it is the damage of the order.
    pub(crate) fn bound(
        &self,
        completions: &Completions,
        prefix: &[usize],
        rest: &[usize],
    ) -> Bound {
        let scan = Scan::new(self, prefix);
        let last = prefix.len() - 1;
        let window = |position: usize| scan.entries[position].window;
        // An entry whose physical row others share may close a group that its neighbour would join.
        let is_shared = |entry: usize| {
            let physical = self.tile.rows.get(entry).physical;
            (0..self.tile.rows.len())
                .any(|other| other != entry && self.tile.rows.get(other).physical == physical)
        };
        let mut splits = last > 0
            && (window(last) != window(last - 1)
                || is_shared(prefix[last])
                || is_shared(prefix[last - 1]));
        let mut damage = self.elsewhere;
        let mut errors = Vec::new();
        for sample in &self.samples {
            let reading = Reading::new(self, &scan, prefix, sample);
            splits |= last > 0 && reading.splits(last);
            let activations = self.profile.sample(sample.index);
            let row = |&entry: &usize| self.tile.rows.logical()[entry] as usize;
            // Per plane: the rows to come.
            let to_come: Vec<Vec<usize>> = (0..usize::from(self.profile.bits))
                .map(|plane| {
                    let is_on = |entry: &usize| activations[row(entry)] >> plane & 1 == 1;
                    let physical = |entry: usize| self.tile.rows.get(entry).physical as usize;
                    rest.iter().copied().filter(is_on).map(physical).collect()
                })
                .collect();
            let open: Vec<bool> = to_come.iter().map(|rows| !rows.is_empty()).collect();
            let (known, states) = reading.without_last(&open, [self.words, sample.columns.len()]);
            known.errors(self, sample, &mut errors);
            if rest.is_empty() {
                self.each_term(sample, &errors, |term| damage += term);
                continue;
            }
            let mut ranges: Vec<[f64; 3]> =
                errors.iter().map(|&[mean, variance]| [variance, mean, mean]).collect();
            for (plane, rows) in to_come.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
                let factor = 2.0 * f64::from(1u32 << plane);
                for (k, &column) in sample.columns.iter().enumerate() {
                    let column = usize::from(column);
                    let bits = rows.iter().filter(|&&row| self.tile.bits.get(row, column));
                    let state = states[plane].get(k).map_or(0, |&state| usize::from(state));
                    let counts = self.rows_per_conversion + 1;
                    let [variance, least, largest] = completions.values[completions.index(
                        state / counts,
                        state % counts,
                        rows.len(),
                        bits.count(),
                    )];
                    let is_inverted = self.tile.columns[column].inverted;
                    let [least, largest] =
                        if is_inverted { [-largest, -least] } else { [least, largest] };
                    ranges[k][0] += factor * factor * variance;
                    ranges[k][1] += factor * least;
                    ranges[k][2] += factor * largest;
                }
            }
            damage += self.least(sample, &ranges);
        }
        Bound { damage: damage / self.total, splits }
    }

    /// The least damage to a sample if its errors are in these ranges: least variance, least and
    /// largest mean.
    pub(super) fn least(&self, sample: &Sample, ranges: &[[f64; 3]]) -> f64 {
        if !self.is_last {
            let square = |&[variance, least, largest]: &[f64; 3]| {
                let mean = least.max(-largest).max(0.0);
                variance + mean * mean
            };
            return ranges.iter().map(square).sum();
        }
        let [winner_variance, _, winner_largest] = ranges[0];
        let mut sum = 0.0;
        for (lead, [variance, least, _]) in sample.leads.iter().zip(ranges).skip(1) {
            let ahead = lead + winner_largest - least;
            // Behind in any case, it wins the less often the smaller the variance, and no more often
            // than not.
            sum += if ahead > 0.0 {
                self.tail.below_zero(ahead, winner_variance + variance)
            } else {
                0.5
            };
        }
        sum
    }
}

impl Completions {
    /// The value of groups of all rows that are on, so many and so many ones.
    pub(super) fn all(&self, [rows, ones]: [usize; 2]) -> [f64; 3] {
        self.values[self.index(0, 0, rows, ones)]
    }

    fn index(&self, rows: usize, ones: usize, left: usize, ones_left: usize) -> usize {
        ((rows * (self.most + 1) + ones) * (self.rows + 1) + left) * (self.rows + 1) + ones_left
    }

    /// The value of a state from those with fewer rows to come and with none in the open group.
    /// Whether a group takes all rows it can is `is_filled`.
    fn of(
        &self,
        damage: &Damage<'_>,
        [n, o]: [usize; 2],
        [left, ones_left]: [usize; 2],
        is_filled: bool,
    ) -> [f64; 3] {
        let [bias, variance] = if n > 0 { damage.moments[damage.state(n, o)] } else { [0.0; 2] };
        if left == 0 {
            return [variance, bias, bias];
        }
        let mut ways = Vec::new();
        if n > 0 && (n == self.most || !is_filled) {
            let [v, least, largest] = self.values[self.index(0, 0, left, ones_left)];
            ways.push([variance + v, bias + least, bias + largest]);
        }
        if n < self.most && ones_left > 0 {
            ways.push(self.values[self.index(n + 1, o + 1, left - 1, ones_left - 1)]);
        }
        if n < self.most && ones_left < left {
            ways.push(self.values[self.index(n + 1, o, left - 1, ones_left)]);
        }
        let none = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY];
        ways.into_iter().fold(none, |a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2])])
    }
}
