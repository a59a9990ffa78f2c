//! What noise does to a tile, as a number to be made small by reordering its rows.
//!
//! For one sample (a vector of activations) and one order of the entries the input control fixes
//! the groups of rows that share a conversion. A group of n rows that is on in bit-plane b, with
//! sign s, and has o programmed ones in column k adds an error to output k that is 2·s·2^b times
//! the error of a code, or minus that if the column is inverted. The code table knows the first two
//! moments of a code's error for (n, o). Errors of conversions are not independent: a cell that is
//! on in several groups or planes, above all where rename made rows share it, errs in all of them,
//! and so does a comparator, which is in every conversion of its column; [`CodeCovariance`] knows
//! how far. So output k is off by μ_k on average, the sum of factors times means, with a variance
//! v_k that is the sum over pairs of conversions of both factors times their covariance.
//!
//! The damage of a sample is then
//! - for the last matrix, if the tile holds it whole, the expected number of classes that overtake
//!   the winner c of the noiseless sums: Σ over j ≠ c of
//!   Φ(−(y_c − y_j ± 1 + μ_c − μ_j) / √(v_c + v_j)), as sums are even apart and a tie goes to the
//!   lower class: −1 if that is j, else +1;
//! - for any other tile the expected squared error of its outputs, Σ over k of μ_k² + v_k;
//!
//! and the damage of an order is the mean over samples.
//!
//! Assumed are normal outputs. Conversions are taken as independent, and the statistics of the pass
//! say so, where they have too many rows for a table of covariances or the code table is a measured
//! one.
//!
//! What is done for speed: ones are counted for 16 columns at once, a byte each; Φ comes from a
//! table; the active entries of a sample are bits by scan position; a swap touches only samples in
//! which one of the two entries is on; chunks of samples go to threads. Sums run over samples in a
//! fixed order, so that results do not depend on the number of threads.

use hafnia_bits::BitMatrix;
use hafnia_cim::{CodeCovariance, CodeTable, InputControl, MacroSpec};
use hafnia_ir::{MatrixProfile, RowEntry, Tile};
use hafnia_model::Weights;
use hafnia_model::arithmetic::{accumulate, argmax};
use rayon::prelude::*;

/// Columns whose ones are counted at once.
const LANES: usize = 16;

/// Samples that one thread takes at a time.
const CHUNK: usize = 64;

/// How damage follows from an order of a tile's entries: all that does not depend on the order.
#[derive(Clone)]
pub(crate) struct Damage<'a> {
    tile: &'a Tile,
    profile: &'a MatrixProfile,
    /// Indices of the samples that are looked at.
    samples: Vec<usize>,
    /// Samples in all, and the damage to those that are not looked at.
    total: f64,
    elsewhere: f64,
    rows_per_conversion: usize,
    /// Scan positions in a window: a group does not reach beyond one.
    window: usize,
    /// Bias and variance of a code: (rows, ones).
    moments: Vec<[f64; 2]>,
    covariance: Option<CodeCovariance>,
    /// Lanes of one physical row.
    lanes: usize,
    /// (physical row, lane): the programmed bits, a byte a column, the first in the lowest.
    bits: Vec<u128>,
    /// Whether the damage is lost classifications; else it is squared error.
    margins: Option<Vec<Margin>>,
    tail: Tail,
}

/// The noiseless outputs of a sample, seen from the winner.
#[derive(Clone)]
struct Margin {
    /// Tile column of the winning class.
    winner: usize,
    /// Winning output minus this output, ± 1 as ties go, per tile column.
    leads: Vec<f64>,
}

/// The entries of a tile in one order, by scan position.
struct Scan {
    /// What groups them: the physical row, and the window and sign that a group has in common.
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    physical: u32,
    window: u32,
    negative: bool,
}

/// The damage of one order, and of that order with two entries swapped.
pub(crate) struct Order<'a> {
    damage: &'a Damage<'a>,
    /// Entry of the tile at every scan position.
    entries: Vec<usize>,
    scan: Scan,
    chunks: Vec<Chunk>,
    proposed: Option<[usize; 2]>,
}

/// Some samples under the current order.
struct Chunk {
    /// Index of the first sample.
    first: usize,
    /// Words of one plane of one sample.
    words: usize,
    /// (sample, plane, word): which scan positions are on.
    active: Vec<u64>,
    /// Damage of every sample, current and with the proposed swap.
    current: Vec<Cost>,
    proposed: Vec<Cost>,
}

/// What an order costs on a sample, or a sample on average (cycles: of those looked at).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cost {
    /// The damage.
    pub(crate) damage: f64,
    /// Conversion cycles: groups in all planes.
    pub(crate) cycles: f64,
}

/// The groups of a sample, in all planes.
#[derive(Default)]
struct Conversions {
    /// 2·sign·2^plane, and rows that are on.
    groups: Vec<(f64, usize)>,
    /// (group, word): the physical rows that are on.
    rows: Vec<u64>,
    /// (group, lane): ones among them, a byte a column.
    ones: Vec<u128>,
}

/// Buffers of one evaluation.
struct Scratch {
    /// The active scan positions of a plane in order, and where among them each group ends.
    active: Vec<u32>,
    ends: Vec<usize>,
    /// The last group that held a physical row; groups are numbered through.
    holder: Vec<u32>,
    group: u32,
    conversions: Conversions,
    /// μ and v of every tile column, polarity left out.
    errors: Vec<[f64; 2]>,
}

impl<'a> Damage<'a> {
    /// The damage to `tile` on all samples of its matrix. `last` is the network's last matrix if
    /// `tile` holds it whole.
    ///
    /// The profile must have samples, with a row for every row of the matrix.
    pub(crate) fn new(
        tile: &'a Tile,
        profile: &'a MatrixProfile,
        (spec, code_table): (&MacroSpec, &CodeTable),
        last: Option<&Weights>,
    ) -> Self {
        let samples: Vec<usize> = (0..profile.samples()).collect();
        let most = spec.rows_per_conversion;
        let moments =
            (0..=most).flat_map(|n| (0..=most).map(move |o| (n, o))).map(|(rows, ones)| {
                let of_code = code_table.moments(rows, ones.min(rows));
                [of_code.bias, of_code.variance]
            });
        let lanes = tile.columns.len().div_ceil(LANES);
        let mut bits = vec![0; tile.physical_rows() * lanes];
        for row in 0..tile.physical_rows() {
            for column in 0..tile.columns.len() {
                let bit = u128::from(tile.bits.get(row, column));
                bits[row * lanes + column / LANES] |= bit << (8 * (column % LANES));
            }
        }
        let margin = |weights: &Weights, sample: usize| {
            let sums = accumulate(weights, profile.sample(sample));
            let class = argmax(&sums);
            let logical = || tile.columns.iter().map(|column| column.logical as usize);
            let tie = |column| if column < class { -1.0 } else { 1.0 };
            let lead = |column| f64::from(sums[class] - sums[column]) + tie(column);
            Margin {
                winner: logical().position(|column| column == class).expect("a whole matrix"),
                leads: logical().map(lead).collect(),
            }
        };
        let margins = last.map(|weights| samples.iter().map(|&s| margin(weights, s)).collect());
        Self {
            tile,
            profile,
            total: samples.len() as f64,
            elsewhere: 0.0,
            samples,
            rows_per_conversion: most,
            window: match spec.input_control {
                InputControl::OrderedScan => usize::MAX,
                InputControl::FixedWindow { window } => window,
                InputControl::FixedGroup => most,
            },
            moments: moments.collect(),
            covariance: covariance(spec, code_table),
            lanes,
            bits,
            margins,
            tail: Tail::new(),
        }
    }

    /// Looks only at the `count` samples to which this order does most damage, of equals the first;
    /// what it does to the others is taken as it is in this order.
    ///
    /// Most samples are far from any flip, in every order: to look at a few of many images says more
    /// than to look at all of few.
    pub(crate) fn focus(mut self, entries: &[usize], count: usize) -> Self {
        let order = self.order(entries);
        let costs: Vec<f64> =
            order.chunks.iter().flat_map(|chunk| &chunk.current).map(|cost| cost.damage).collect();
        let mut by_damage: Vec<usize> = (0..costs.len()).collect();
        by_damage.sort_by(|&a, &b| costs[b].total_cmp(&costs[a]));
        let left = by_damage.split_off(count.min(costs.len()));
        by_damage.sort_unstable();
        self.elsewhere += left.iter().map(|&index| costs[index]).sum::<f64>();
        self.samples = by_damage.iter().map(|&index| self.samples[index]).collect();
        if let Some(margins) = &mut self.margins {
            let mut all: Vec<Option<Margin>> =
                std::mem::take(margins).into_iter().map(Some).collect();
            margins.extend(by_damage.iter().filter_map(|&index| all[index].take()));
        }
        self
    }

    /// What the damage counts, for people.
    pub(crate) fn unit(&self) -> &'static str {
        match self.margins {
            Some(_) => "expected flips a sample",
            None => "expected squared error a sample",
        }
    }

    /// Whether conversions are taken as independent.
    pub(crate) fn is_independent(&self) -> bool {
        self.covariance.is_none()
    }

    /// How often every entry is on: bits over samples and planes, as a bit vector an entry.
    pub(crate) fn activity(&self) -> BitMatrix {
        let planes = usize::from(self.profile.bits);
        BitMatrix::from_fn(self.tile.rows.len(), self.samples.len() * planes, |entry, bit| {
            let sample = self.profile.sample(self.samples[bit / planes]);
            sample[self.tile.rows.logical()[entry] as usize] >> (bit % planes) & 1 == 1
        })
    }

    /// What one order costs.
    pub(crate) fn of(&self, entries: &[usize]) -> Cost {
        self.order(entries).cost()
    }

    /// An order to be improved by swaps: entry `entries[i]` of the tile is at position i.
    pub(crate) fn order(&self, entries: &[usize]) -> Order<'_> {
        let planes = usize::from(self.profile.bits);
        let words = entries.len().div_ceil(64);
        let scan = Scan::new(self, entries);
        let logical: Vec<usize> =
            entries.iter().map(|&entry| self.tile.rows.logical()[entry] as usize).collect();
        let chunk = |(index, samples): (usize, &[usize])| {
            let mut active = vec![0; samples.len() * planes * words];
            for (&sample, active) in samples.iter().zip(active.chunks_mut(planes * words)) {
                let activations = self.profile.sample(sample);
                for (position, &row) in logical.iter().enumerate() {
                    for plane in 0..planes {
                        let bit = u64::from(activations[row] >> plane & 1);
                        active[plane * words + position / 64] |= bit << (position % 64);
                    }
                }
            }
            let mut chunk = Chunk {
                first: index * CHUNK,
                words,
                active,
                current: vec![Cost::default(); samples.len()],
                proposed: vec![Cost::default(); samples.len()],
            };
            chunk.evaluate(self, &scan, None);
            chunk.current.clone_from(&chunk.proposed);
            chunk
        };
        let chunks = self.samples.par_chunks(CHUNK).enumerate().map(chunk).collect();
        Order { damage: self, entries: entries.to_vec(), scan, chunks, proposed: None }
    }

    /// Gathers the positions that are on in `words` into groups, as [`InputControl::groups`] does.
    fn gather(&self, scan: &Scan, words: impl Iterator<Item = u64>, scratch: &mut Scratch) {
        scratch.active.clear();
        scratch.ends.clear();
        let mut rows = 0;
        let mut first = scan.entries[0];
        for (word, mut bits) in words.enumerate() {
            while bits != 0 {
                let position = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let entry = scan.entries[position];
                let holder = &mut scratch.holder[entry.physical as usize];
                let closes = rows == self.rows_per_conversion
                    || entry.window != first.window
                    || entry.negative != first.negative
                    || *holder == scratch.group;
                if closes || rows == 0 {
                    if rows > 0 {
                        scratch.ends.push(scratch.active.len());
                    }
                    (rows, first) = (0, entry);
                    scratch.group += 1;
                }
                *holder = scratch.group;
                scratch.active.push(position as u32);
                rows += 1;
            }
        }
        if rows > 0 {
            scratch.ends.push(scratch.active.len());
        }
    }

    /// Notes the groups of one plane of one sample, as [`gather`](Self::gather) left them.
    fn note(&self, scan: &Scan, plane: usize, scratch: &mut Scratch) {
        let words = self.tile.physical_rows().div_ceil(64);
        let conversions = &mut scratch.conversions;
        let mut start = 0;
        for &end in &scratch.ends {
            let group = &scratch.active[start..end];
            let sign = if scan.entries[group[0] as usize].negative { -1.0 } else { 1.0 };
            conversions.groups.push((2.0 * sign * f64::from(1u32 << plane), group.len()));
            let (rows, ones) = (conversions.rows.len(), conversions.ones.len());
            conversions.rows.resize(rows + words, 0);
            conversions.ones.resize(ones + self.lanes, 0);
            for &position in group {
                let row = scan.entries[position as usize].physical as usize;
                conversions.rows[rows + row / 64] |= 1 << (row % 64);
                // A conversion has at most 63 rows, so that no byte overflows.
                for (ones, bits) in conversions.ones[ones..].iter_mut().zip(self.row(row)) {
                    *ones += bits;
                }
            }
            start = end;
        }
    }

    /// The programmed bits of a physical row, lane by lane.
    fn row(&self, row: usize) -> &[u128] {
        &self.bits[row * self.lanes..(row + 1) * self.lanes]
    }

    /// Mean and variance of the error of every column, all planes of a sample being noted.
    fn add_errors(&self, conversions: &Conversions, errors: &mut [[f64; 2]]) {
        let counts = self.rows_per_conversion + 1;
        let words = self.tile.physical_rows().div_ceil(64);
        for (g, &(factor, rows)) in conversions.groups.iter().enumerate() {
            let moments = &self.moments[rows * counts..][..counts];
            let ones = &conversions.ones[g * self.lanes..][..self.lanes];
            for (errors, ones) in errors.chunks_mut(LANES).zip(ones) {
                for (error, ones) in errors.iter_mut().zip(ones.to_le_bytes()) {
                    let [mean, variance] = moments[usize::from(ones)];
                    error[0] += factor * mean;
                    error[1] += factor * factor * variance;
                }
            }
            let Some(covariance) = &self.covariance else { continue };
            for (h, &(other_factor, other_rows)) in conversions.groups[..g].iter().enumerate() {
                let both = 2.0 * factor * other_factor;
                let common = |word: usize| {
                    conversions.rows[g * words + word] & conversions.rows[h * words + word]
                };
                for (lane, errors) in errors.chunks_mut(LANES).enumerate() {
                    let mut shared = 0;
                    for word in 0..words {
                        let mut rows = common(word);
                        while rows != 0 {
                            let row = word * 64 + rows.trailing_zeros() as usize;
                            shared += self.bits[row * self.lanes + lane];
                            rows &= rows - 1;
                        }
                    }
                    let others = conversions.ones[h * self.lanes + lane].to_le_bytes();
                    let ones = ones[lane].to_le_bytes().into_iter().zip(others);
                    let columns = ones.zip(shared.to_le_bytes());
                    for (error, ((ones, others), shared)) in errors.iter_mut().zip(columns) {
                        let a = [rows, usize::from(ones)];
                        let b = [other_rows, usize::from(others)];
                        error[1] += both * covariance.of(a, b, usize::from(shared));
                    }
                }
            }
        }
    }

    /// The damage of a sample (an index into `samples`) whose errors are these.
    fn of_errors(&self, sample: usize, errors: &[[f64; 2]]) -> f64 {
        let Some(margins) = &self.margins else {
            return errors.iter().map(|[mean, variance]| mean * mean + variance).sum();
        };
        let Margin { winner, leads } = &margins[sample];
        let mean = |column: usize| {
            let [mean, _] = errors[column];
            if self.tile.columns[column].inverted { -mean } else { mean }
        };
        let winner_mean = mean(*winner);
        let mut flips = 0.0;
        for (column, lead) in leads.iter().enumerate() {
            if column != *winner {
                let variance = errors[*winner][1] + errors[column][1];
                flips += self.tail.below_zero(lead + winner_mean - mean(column), variance);
            }
        }
        flips
    }
}

/// The covariances that go with a code table: none if it is measured rather than the model's, or if
/// conversions have too many rows.
fn covariance(spec: &MacroSpec, code_table: &CodeTable) -> Option<CodeCovariance> {
    let is_model = spec.rows_per_conversion <= CodeCovariance::MOST_ROWS
        && *code_table == CodeTable::from_spec(spec);
    if is_model { CodeCovariance::from_spec(spec) } else { None }
}

/// The tail of the normal distribution, tabulated: erfc itself would be half of the work.
#[derive(Clone)]
struct Tail {
    /// Φ(−x) and its derivative at x = index / `PER_DEVIATION`.
    knots: Vec<[f64; 2]>,
}

impl Tail {
    /// Beyond so many deviations the tail is 0 to 15 digits.
    const DEVIATIONS: usize = 8;

    /// Knots of a deviation. Cubic interpolation is then right to h⁴/384 · max |Φ⁗| = 10⁻¹⁰.
    const PER_DEVIATION: usize = 64;

    fn new() -> Self {
        let knot = |index: usize| {
            let x = index as f64 / Self::PER_DEVIATION as f64;
            let density = libm::exp(-0.5 * x * x) / std::f64::consts::TAU.sqrt();
            [0.5 * libm::erfc(x / std::f64::consts::SQRT_2), -density]
        };
        Self { knots: (0..=Self::DEVIATIONS * Self::PER_DEVIATION).map(knot).collect() }
    }

    /// P(x < 0) for a normal x of this mean and variance.
    fn below_zero(&self, mean: f64, variance: f64) -> f64 {
        const LIMIT: f64 = (Tail::DEVIATIONS * Tail::DEVIATIONS) as f64;
        // This also settles variance 0.
        if mean * mean >= LIMIT * variance {
            return if mean < 0.0 { 1.0 } else { 0.0 };
        }
        let scaled = mean.abs() / variance.sqrt() * Self::PER_DEVIATION as f64;
        let index = (scaled as usize).min(self.knots.len() - 2);
        let t = scaled - index as f64;
        // Hermite's cubic between two knots.
        let [[a, slope_a], [b, slope_b]] = [self.knots[index], self.knots[index + 1]];
        let h = 1.0 / Self::PER_DEVIATION as f64;
        let (slope_a, slope_b, rise) = (slope_a * h, slope_b * h, b - a);
        let bend = (slope_a - rise) * (1.0 - t) + (rise - slope_b) * t;
        let tail = a + rise * t + t * (1.0 - t) * bend;
        if mean < 0.0 { 1.0 - tail } else { tail }
    }
}

impl Scan {
    fn new(damage: &Damage<'_>, entries: &[usize]) -> Self {
        let tile = damage.tile;
        let entry = |(position, &entry): (usize, &usize)| {
            let RowEntry { physical, negative, .. } = tile.rows.get(entry);
            Entry { physical, window: (position / damage.window) as u32, negative }
        };
        Self { entries: entries.iter().enumerate().map(entry).collect() }
    }

    fn swap(&mut self, [p, q]: [usize; 2]) {
        // A window belongs to its position.
        let (at_p, at_q) = (self.entries[p], self.entries[q]);
        self.entries[p] = Entry { window: at_p.window, ..at_q };
        self.entries[q] = Entry { window: at_q.window, ..at_p };
    }
}

impl Order<'_> {
    /// What the order costs.
    pub(crate) fn cost(&self) -> Cost {
        self.mean(|chunk| &chunk.current)
    }

    /// The entries in scan order.
    pub(crate) fn entries(&self) -> &[usize] {
        &self.entries
    }

    /// What it would cost if the entries at two positions were swapped.
    pub(crate) fn propose(&mut self, swap: [usize; 2]) -> Cost {
        if let Some(dropped) = self.proposed.replace(swap) {
            self.scan.swap(dropped);
        }
        self.scan.swap(swap);
        let (damage, scan) = (self.damage, &self.scan);
        self.chunks.par_iter_mut().for_each(|chunk| chunk.evaluate(damage, scan, Some(swap)));
        self.mean(|chunk| &chunk.proposed)
    }

    /// Makes the proposed swap.
    pub(crate) fn accept(&mut self) {
        let Some(swap) = self.proposed.take() else { return };
        self.entries.swap(swap[0], swap[1]);
        for chunk in &mut self.chunks {
            chunk.accept(swap);
        }
    }

    fn mean(&self, of: impl Fn(&Chunk) -> &[Cost]) -> Cost {
        let sum = |of_sample: fn(&Cost) -> f64| -> f64 {
            self.chunks.iter().flat_map(&of).map(of_sample).sum()
        };
        Cost {
            damage: (sum(|cost| cost.damage) + self.damage.elsewhere) / self.damage.total,
            cycles: sum(|cost| cost.cycles) / self.damage.samples.len() as f64,
        }
    }
}

impl Chunk {
    /// Fills `proposed`, the order being that of `scan`, which differs from the one of `active` by
    /// a swap of two positions.
    fn evaluate(&mut self, damage: &Damage<'_>, scan: &Scan, swap: Option<[usize; 2]>) {
        let mut scratch = Scratch {
            active: Vec::with_capacity(scan.entries.len()),
            ends: Vec::with_capacity(scan.entries.len()),
            holder: vec![0; damage.tile.physical_rows()],
            group: 1,
            conversions: Conversions::default(),
            errors: vec![[0.0; 2]; damage.tile.columns.len()],
        };
        let planes = usize::from(damage.profile.bits);
        let samples = self.active.chunks(planes * self.words).enumerate();
        for (index, active) in samples {
            let is_on = |plane: &[u64], position: usize| bit(plane, position) == 1;
            let is_touched = swap.is_none_or(|swap| {
                let mut planes = active.chunks(self.words);
                planes.any(|plane| swap.iter().any(|&position| is_on(plane, position)))
            });
            if !is_touched {
                self.proposed[index] = self.current[index];
                continue;
            }
            scratch.errors.fill([0.0; 2]);
            scratch.conversions.groups.clear();
            scratch.conversions.rows.clear();
            scratch.conversions.ones.clear();
            for (plane, active) in active.chunks(self.words).enumerate() {
                let [p, q] = swap.unwrap_or([0, 0]);
                let differ = bit(active, p) ^ bit(active, q);
                let words = active.iter().enumerate().map(|(word, bits)| {
                    let flip = |position: usize| {
                        if position / 64 == word { differ << (position % 64) } else { 0 }
                    };
                    bits ^ flip(p) ^ flip(q)
                });
                damage.gather(scan, words, &mut scratch);
                damage.note(scan, plane, &mut scratch);
            }
            damage.add_errors(&scratch.conversions, &mut scratch.errors);
            self.proposed[index] = Cost {
                damage: damage.of_errors(self.first + index, &scratch.errors),
                cycles: scratch.conversions.groups.len() as f64,
            };
        }
    }

    fn accept(&mut self, [p, q]: [usize; 2]) {
        std::mem::swap(&mut self.current, &mut self.proposed);
        for plane in self.active.chunks_mut(self.words) {
            let differ = bit(plane, p) ^ bit(plane, q);
            plane[p / 64] ^= differ << (p % 64);
            plane[q / 64] ^= differ << (q % 64);
        }
    }
}

fn bit(words: &[u64], position: usize) -> u64 {
    words[position / 64] >> (position % 64) & 1
}

#[cfg(test)]
mod tests {
    use hafnia_cim::Groups;
    use hafnia_ir::{Geometry, Stage, random};
    use hafnia_rng::Seed;
    use proptest::prelude::*;
    use rand::{RngExt, seq::SliceRandom};

    use super::*;
    use crate::tests::{linear, profile, spec};

    /// The damage of a tile as it is, by the definition and with the one definition of groups.
    fn obvious(
        tile: &Tile,
        profile: &MatrixProfile,
        (spec, code_table): (&MacroSpec, &CodeTable),
        last: Option<&Weights>,
    ) -> f64 {
        let covariance = CodeCovariance::from_spec(spec);
        let mut total = 0.0;
        for sample in 0..profile.samples() {
            let activations = profile.sample(sample);
            let mut means = vec![0.0; tile.columns.len()];
            let mut variances = vec![0.0; tile.columns.len()];
            // Per column, every conversion: factor, rows and ones, physical rows that are ones.
            let mut conversions = vec![Vec::new(); tile.columns.len()];
            for plane in 0..profile.bits {
                let is_on = |row: u32| activations[row as usize] >> plane & 1 == 1;
                let active: Vec<u32> = (0..tile.rows.len() as u32)
                    .filter(|&position| is_on(tile.rows.get(position as usize).logical))
                    .collect();
                let mut groups = Groups::default();
                let (scan, most) = (tile.rows.scan(), spec.rows_per_conversion);
                spec.input_control.groups(most, scan, &active, &mut groups);
                for group in groups.iter() {
                    let entries: Vec<_> =
                        active[group].iter().map(|&p| tile.rows.get(p as usize)).collect();
                    for (column, kind) in tile.columns.iter().enumerate() {
                        let bits: Vec<u32> = entries
                            .iter()
                            .map(|entry| entry.physical)
                            .filter(|&row| tile.bits.get(row as usize, column))
                            .collect();
                        let moments = code_table.moments(entries.len(), bits.len());
                        let sign = if entries[0].negative != kind.inverted { -1.0 } else { 1.0 };
                        let factor = 2.0 * sign * f64::from(plane).exp2();
                        means[column] += factor * moments.bias;
                        variances[column] += factor * factor * moments.variance;
                        conversions[column].push((factor, [entries.len(), bits.len()], bits));
                    }
                }
            }
            for (variance, conversions) in variances.iter_mut().zip(&conversions) {
                let Some(covariance) = &covariance else { continue };
                for (g, (factor, at, bits)) in conversions.iter().enumerate() {
                    for (h, (other_factor, other_at, others)) in conversions.iter().enumerate() {
                        if g != h {
                            let shared = bits.iter().filter(|row| others.contains(row)).count();
                            *variance +=
                                factor * other_factor * covariance.of(*at, *other_at, shared);
                        }
                    }
                }
            }
            let Some(weights) = last else {
                total += means.iter().map(|mean| mean * mean).sum::<f64>();
                total += variances.iter().sum::<f64>();
                continue;
            };
            let sums = accumulate(weights, activations);
            let class = argmax(&sums);
            let logical = |column: usize| tile.columns[column].logical as usize;
            let winner = (0..sums.len()).find(|&column| logical(column) == class).unwrap();
            for column in (0..sums.len()).filter(|&column| column != winner) {
                let tie = if logical(column) < class { -1.0 } else { 1.0 };
                let lead = f64::from(sums[class] - sums[logical(column)]) + tie;
                let mean = lead + means[winner] - means[column];
                let deviation = (variances[winner] + variances[column]).sqrt();
                total += if deviation > 0.0 {
                    0.5 * libm::erfc(mean / deviation / std::f64::consts::SQRT_2)
                } else {
                    f64::from(mean < 0.0)
                };
            }
        }
        total / profile.samples() as f64
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn damage_is_the_obvious_one(seed: u64, is_last: bool) {
            let seed = Seed(seed);
            let rng = &mut seed.rng();
            let (rows, columns) = (rng.random_range(1..=90), rng.random_range(1..=20));
            // Few different rows, so that some are shared.
            let kinds: Vec<u32> = (0..rng.random_range(1..=30)).map(|_| rng.random()).collect();
            let weights: Vec<u32> =
                (0..rows).map(|_| kinds[rng.random_range(0..kinds.len())]).collect();
            let weights =
                BitMatrix::from_fn(rows, columns, |row, column| weights[row] >> column & 1 == 1);
            let network = linear(weights, rng.random_range(1..=3));
            let spec = spec(seed);
            let code_table = CodeTable::from_spec(&spec);
            let noise = (&spec, &code_table);
            // The tile is whole: shared, negative and inverted at random.
            let geometry = Geometry { name: "wide".into(), rows: 128, columns: 128 };
            let mapping = random::mapping(seed, &network, &geometry, Stage::Logical);
            let tile = &mapping.tiles[0];
            let profile = &profile(seed, &network, 70).matrices[0];
            let is_whole = tile.columns.len() == columns;
            let last = (is_last && is_whole).then_some(network.matrices()[0].weights);

            let damage = Damage::new(tile, profile, noise, last);
            let mut entries: Vec<usize> = (0..rows).collect();
            entries.shuffle(rng);
            let check = |found: f64, entries: &[usize]| {
                let expected = obvious(&tile.with_order(entries), profile, noise, last);
                // Sums of some thousand terms in another order; up to 19 tails right to 1e-10 each.
                let tolerance = 1e-9 * expected.abs() + 19e-10;
                prop_assert!((found - expected).abs() <= tolerance, "{found} {expected}");
                Ok(())
            };
            check(damage.of(&entries).damage, &entries)?;
            let mut order = damage.order(&entries);
            for _ in 0..6 {
                let swap = [rng.random_range(0..rows), rng.random_range(0..rows)];
                let proposed = order.propose(swap);
                let mut swapped = order.entries().to_vec();
                swapped.swap(swap[0], swap[1]);
                prop_assert_eq!(proposed, damage.of(&swapped));
                if rng.random() {
                    order.accept();
                    prop_assert_eq!(order.entries(), &swapped[..]);
                    prop_assert_eq!(order.cost(), proposed);
                }
            }
            check(order.cost().damage, order.entries())?;
        }
    }

    #[test]
    fn tails_of_the_normal_distribution() {
        let tail = Tail::new();
        for step in -10_000..=10_000 {
            let x = f64::from(step) / 1000.0;
            let expected = 0.5 * libm::erfc(x / std::f64::consts::SQRT_2);
            for deviation in [1.0, 0.3] {
                let found = tail.below_zero(x * deviation, deviation * deviation);
                // As derived at the number of knots.
                assert!((found - expected).abs() < 1e-10, "{x}: {found}, not {expected}");
            }
        }
        let check = |mean, variance, expected| {
            assert_eq!(tail.below_zero(mean, variance), expected, "{mean} {variance}");
        };
        check(0.0, 1.0, 0.5);
        check(8.0, 1.0, 0.0);
        check(-8.0, 1.0, 1.0);
        check(0.0, 0.0, 0.0);
        check(1.0, 0.0, 0.0);
        check(-1.0, 0.0, 1.0);
    }
}
