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
//! A column is a slice of an output: the errors of slice p count 2^p times, and those of the slices
//! of an output that the tile holds add up, means and variances, as slices share neither cells nor
//! comparators.
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
//! What is done for speed, without another result: ones are counted by words of 64 rows; Φ comes
//! from a table; the groups of every sample are kept, so that a swap of two entries
//! scans a plane again only from the group of the first to where the groups are the old ones again,
//! and works a sample out again only if a group is another one; tiles without shared or negative
//! rows are read faster still, as `plain.rs` says. [`Damage::focus`] leaves out what hardly counts.
//! Sums run over samples in a fixed order.

mod bound;
mod order;
mod plain;
mod sets;
mod tail;

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use hafnia_bits::BitMatrix;
use hafnia_cim::{CodeCovariance, CodeTable, InputControl, MacroSpec};
use hafnia_ir::{Column, MatrixProfile, RowEntry, Tile};
use hafnia_model::Weights;
use hafnia_model::arithmetic::{accumulate, argmax};
use rayon::prelude::*;

pub(crate) use bound::Completions;
use order::Reading;
pub(crate) use order::{Change, Order};
pub(crate) use sets::{Set, Sets};
use tail::Tail;

/// Samples that one thread takes at a time.
const CHUNK: usize = 64;

/// The share of the damage that [`Damage::focus`] may take as it is in one order.
const NEGLECTED: f64 = 1e-3;

/// How damage follows from an order of a tile's entries: all that does not depend on the order.
#[derive(Clone)]
pub(crate) struct Damage<'a> {
    tile: &'a Tile,
    profile: &'a MatrixProfile,
    samples: Vec<Sample>,
    /// Samples in all, and the damage of what is not looked at.
    total: f64,
    elsewhere: f64,
    rows_per_conversion: usize,
    /// Scan positions in a window: a group does not reach beyond one.
    window: usize,
    /// Bias and variance of a code, by the state of its conversion: rows that are on and ones among
    /// them, as [`state`](Self::state) numbers them.
    moments: Vec<[f64; 2]>,
    covariance: Option<Arc<CodeCovariance>>,
    /// (state, state): covariances of conversions that share no cell; they are looked up most.
    apart: Vec<f64>,
    /// Words of a set of physical rows.
    words: usize,
    /// (column, word): the physical rows whose cell holds a 1.
    ones: Vec<u64>,
    /// By column: how often an error of its code counts in its output, negative if it is inverted.
    factors: Vec<f64>,
    /// Bits of a weight.
    weight_bits: u8,
    /// Whether the damage is lost classifications; else it is squared error.
    is_last: bool,
    tail: Tail,
}

/// A sample of the profile that is looked at, and what of it.
#[derive(Clone)]
struct Sample {
    /// Index in the profile.
    index: usize,
    /// Tile columns that are looked at, output by output. Of a last matrix the first is that of the
    /// winning class.
    columns: Vec<u16>,
    /// How many of `columns` are of every output; empty where all are of outputs of their own.
    slices: Vec<usize>,
    /// Of a last matrix, for every output: the winning one minus this one, in the noiseless sums,
    /// ± 1 as ties go.
    leads: Vec<f64>,
}

/// What an order costs on a sample, or a sample on average (cycles: of those looked at).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cost {
    /// The damage.
    pub(crate) damage: f64,
    /// Conversion cycles: groups in all planes.
    pub(crate) cycles: f64,
}

/// The entries of a tile in one order, by scan position.
#[derive(Clone)]
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

impl<'a> Damage<'a> {
    /// [`sliced`](Self::sliced) for weights of 1 bit, on all samples.
    pub(crate) fn new(
        tile: &'a Tile,
        profile: &'a MatrixProfile,
        noise: (&MacroSpec, &CodeTable),
        last: Option<&Weights>,
    ) -> Self {
        let samples: Vec<usize> = (0..profile.samples()).collect();
        Self::sliced(tile, (profile, &samples), noise, last, 1)
    }

    /// The damage to `tile` on these samples of its matrix, which has weights of so many bits. `last`
    /// is the network's last matrix if `tile` holds it whole.
    ///
    /// The profile must have a row for every row of the matrix.
    pub(crate) fn sliced(
        tile: &'a Tile,
        (profile, samples): (&'a MatrixProfile, &[usize]),
        (spec, code_table): (&MacroSpec, &CodeTable),
        last: Option<&Weights>,
        weight_bits: u8,
    ) -> Self {
        let most = spec.rows_per_conversion;
        let moments =
            (0..=most).flat_map(|n| (0..=most).map(move |o| (n, o))).map(|(rows, ones)| {
                let of_code = code_table.moments(rows, ones.min(rows));
                [of_code.bias, of_code.variance]
            });
        let sample = |&index: &usize| Sample::new(index, tile, profile, last, weight_bits);
        let covariance = covariance(spec, code_table);
        Self {
            tile,
            profile,
            samples: samples.iter().map(sample).collect(),
            total: samples.len() as f64,
            elsewhere: 0.0,
            rows_per_conversion: most,
            window: match spec.input_control {
                InputControl::OrderedScan => usize::MAX,
                InputControl::FixedWindow { window } => window,
                InputControl::FixedGroup => most,
            },
            moments: moments.collect(),
            apart: covariance.as_ref().map_or_else(Vec::new, |covariance| apart(covariance, most)),
            covariance,
            words: tile.physical_rows().div_ceil(64),
            ones: ones(tile),
            factors: factors(tile, weight_bits),
            weight_bits,
            is_last: last.is_some(),
            tail: Tail::new(),
        }
    }

    /// Looks only at the `count` samples to which this order does most damage, of equals the first,
    /// and of a last matrix only at classes that may win; the damage of all else is taken as it is
    /// in this order.
    ///
    /// Most samples are far from any flip, in every order: to look at a few of many images says more
    /// than to look at all of few. And on a sample that is near one, it is so for one or two
    /// classes.
    pub(crate) fn focus(mut self, entries: &[usize], count: usize) -> Self {
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

    /// The same on the same samples for a tile that differs in the polarity of its columns.
    pub(crate) fn with_polarity(&self, tile: &'a Tile) -> Self {
        let factors = factors(tile, self.weight_bits);
        Self { tile, ones: ones(tile), factors, ..self.clone() }
    }

    /// What the damage counts, for people.
    pub(crate) fn unit(&self) -> &'static str {
        if self.is_last { "expected flips a sample" } else { "expected squared error a sample" }
    }

    /// Whether conversions are taken as independent.
    pub(crate) fn is_independent(&self) -> bool {
        self.covariance.is_none()
    }

    /// How often every entry is on: bits over samples and planes, as a bit vector an entry.
    pub(crate) fn activity(&self) -> BitMatrix {
        let planes = usize::from(self.profile.bits);
        BitMatrix::from_fn(self.tile.rows.len(), self.samples.len() * planes, |entry, bit| {
            let sample = self.profile.sample(self.samples[bit / planes].index);
            sample[self.tile.rows.logical()[entry] as usize] >> (bit % planes) & 1 == 1
        })
    }

    /// What one order costs: entry `entries[i]` of the tile is at position i.
    pub(crate) fn of(&self, entries: &[usize]) -> Cost {
        self.mean(&self.of_samples(entries, |sample, errors, reading| Cost {
            damage: self.terms(sample, errors).iter().sum(),
            cycles: reading.cycles(),
        }))
    }

    /// The damage to every sample that is looked at.
    pub(crate) fn damages(&self, entries: &[usize]) -> Vec<f64> {
        self.of_samples(entries, |sample, errors, _| self.terms(sample, errors).iter().sum())
    }

    /// An order to be improved by swaps.
    pub(crate) fn order(&self, entries: &[usize]) -> Order<'_> {
        Order::new(self, entries)
    }

    /// Mean and variance of the error of every column that is looked at, by sample, in the order of
    /// [`columns`](Self::columns).
    pub(crate) fn errors(&self, entries: &[usize]) -> Vec<Vec<[f64; 2]>> {
        self.of_samples(entries, |_, errors, _| errors.to_vec())
    }

    /// The tile columns that are looked at, by sample; of a last matrix the winner comes first.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &[u16]> {
        self.samples.iter().map(|sample| &sample.columns[..])
    }

    /// The positions, among the columns of a sample that are looked at, of every output; for a
    /// matrix that is not last, where they are the same in all samples.
    pub(crate) fn outputs(&self) -> Vec<Range<usize>> {
        self.samples.first().map_or_else(Vec::new, Sample::outputs)
    }

    /// The damage if a sample's errors are these, as [`of`](Self::of).
    pub(crate) fn of_errors(&self, errors: impl Iterator<Item = Vec<[f64; 2]>>) -> f64 {
        let mut sum = self.elsewhere;
        for (sample, errors) in self.samples.iter().zip(errors) {
            self.each_term(sample, &errors, |term| sum += term);
        }
        sum / self.total
    }

    /// Whether columns bear damage together, as rivals of a winner; else each its own.
    pub(crate) fn is_last(&self) -> bool {
        self.is_last
    }

    /// Ones in a conversion, on average over samples, columns and conversions.
    pub(crate) fn ones(&self, entries: &[usize]) -> f64 {
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

    fn mean(&self, costs: &[Cost]) -> Cost {
        let sum = |of_sample: fn(&Cost) -> f64| costs.iter().map(of_sample).sum::<f64>();
        Cost {
            damage: (sum(|cost| cost.damage) + self.elsewhere) / self.total,
            cycles: sum(|cost| cost.cycles) / self.samples.len() as f64,
        }
    }

    /// The number of a state of a conversion.
    fn state(&self, rows: usize, ones: usize) -> usize {
        rows * (self.rows_per_conversion + 1) + ones
    }

    /// The covariance of conversions of these states that share no cell.
    fn apart(&self, a: u16, b: u16) -> f64 {
        let counts = self.rows_per_conversion + 1;
        self.apart[usize::from(a) * counts * counts + usize::from(b)]
    }

    /// The physical rows whose cell in a column holds a 1.
    fn ones_of(&self, column: u16) -> &[u64] {
        &self.ones[usize::from(column) * self.words..][..self.words]
    }

    /// The damage of a sample whose errors are these, column by column: a term an output.
    fn terms(&self, sample: &Sample, errors: &[[f64; 2]]) -> Vec<f64> {
        let mut terms = Vec::with_capacity(errors.len());
        self.each_term(sample, errors, |term| terms.push(term));
        terms
    }

    #[inline(always)]
    fn each_term(&self, sample: &Sample, errors: &[[f64; 2]], take: impl FnMut(f64)) {
        if sample.slices.is_empty() {
            return self.each_term_of(sample, errors.iter().copied(), take);
        }
        let mut left = errors;
        let outputs = sample.slices.iter().map(|&slices| {
            let (of_output, others) = left.split_at(slices);
            left = others;
            of_output.iter().fold([0.0; 2], |sum, error| [sum[0] + error[0], sum[1] + error[1]])
        });
        self.each_term_of(sample, outputs, take);
    }

    /// [`each_term`](Self::each_term) of the errors of outputs.
    #[inline(always)]
    fn each_term_of(
        &self,
        sample: &Sample,
        mut errors: impl Iterator<Item = [f64; 2]>,
        mut take: impl FnMut(f64),
    ) {
        if !self.is_last {
            return errors.for_each(|[mean, variance]| take(mean * mean + variance));
        }
        let Some([winner_mean, winner_variance]) = errors.next() else { return };
        take(0.0);
        for (lead, [mean, variance]) in sample.leads.iter().skip(1).zip(errors) {
            let behind = lead + winner_mean - mean;
            take(self.tail.below_zero(behind, winner_variance + variance));
        }
    }
}

/// The physical rows whose cell holds a 1, by (column, word).
fn ones(tile: &Tile) -> Vec<u64> {
    let words = tile.physical_rows().div_ceil(64);
    let mut ones = vec![0; tile.columns.len() * words];
    for column in 0..tile.columns.len() {
        for row in (0..tile.physical_rows()).filter(|&row| tile.bits.get(row, column)) {
            ones[column * words + row / 64] |= 1 << (row % 64);
        }
    }
    ones
}

/// How often an error of the code of every column counts in its output: 2^slice, or minus that.
fn factors(tile: &Tile, weight_bits: u8) -> Vec<f64> {
    let factor = |column: &Column| {
        let factor = f64::from(1u32 << (column.logical % u32::from(weight_bits)));
        if column.inverted { -factor } else { factor }
    };
    tile.columns.iter().map(factor).collect()
}

/// The covariances of conversions that share no cell, by the states of both.
fn apart(covariance: &CodeCovariance, most: usize) -> Vec<f64> {
    let states = ((most + 1) * (most + 1)) as u16;
    let of = |a| (0..states).map(move |b| covariance.with(a).of(b, 0));
    (0..states).flat_map(of).collect()
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

impl Sample {
    fn new(
        index: usize,
        tile: &Tile,
        profile: &MatrixProfile,
        last: Option<&Weights>,
        weight_bits: u8,
    ) -> Self {
        let columns: Vec<u16> = (0..tile.columns.len() as u16).collect();
        let mut sample = Self { index, columns, slices: Vec::new(), leads: Vec::new() };
        let output = |column: u16| {
            tile.columns[usize::from(column)].logical as usize / usize::from(weight_bits)
        };
        if weight_bits > 1 {
            sample.gather(output);
        }
        let Some(weights) = last else { return sample };
        let sums = accumulate(weights, profile.sample(index));
        let class = argmax(&sums);
        let outputs: Vec<usize> =
            sample.outputs().into_iter().map(|of| output(sample.columns[of.start])).collect();
        let winner = outputs.iter().position(|&output| output == class);
        let mut order: Vec<usize> = (0..outputs.len()).collect();
        order.swap(0, winner.expect("a whole matrix"));
        let lead = |&output: &usize| {
            let tie = if output < class { -1.0 } else { 1.0 };
            f64::from(sums[class] - sums[output]) + tie
        };
        sample.leads = outputs.iter().map(lead).collect();
        sample.with_outputs(&order)
    }

    /// Puts the columns of an output, as `output` tells, next to each other: the outputs in the
    /// order in which their first columns come, the columns of each as they come.
    fn gather(&mut self, output: impl Fn(u16) -> usize) {
        let mut outputs: Vec<(usize, Vec<u16>)> = Vec::new();
        for &column in &self.columns {
            let of = output(column);
            match outputs.iter_mut().find(|(known, _)| *known == of) {
                Some((_, columns)) => columns.push(column),
                None => outputs.push((of, vec![column])),
            }
        }
        self.slices = outputs.iter().map(|(_, columns)| columns.len()).collect();
        self.columns = outputs.into_iter().flat_map(|(_, columns)| columns).collect();
    }

    /// The positions in `columns` of every output.
    fn outputs(&self) -> Vec<Range<usize>> {
        if self.slices.is_empty() {
            return (0..self.columns.len()).map(|column| column..column + 1).collect();
        }
        let mut end = 0;
        let range = |&slices: &usize| {
            end += slices;
            end - slices..end
        };
        self.slices.iter().map(range).collect()
    }

    /// The same with only these outputs, in this order.
    fn with_outputs(&self, kept: &[usize]) -> Self {
        let outputs = self.outputs();
        let of = |&output: &usize| self.columns[outputs[output].clone()].iter().copied();
        let all = |of: &[usize]| kept.iter().map(|&output| of[output]).collect();
        Self {
            index: self.index,
            columns: kept.iter().flat_map(of).collect(),
            slices: if self.slices.is_empty() { Vec::new() } else { all(&self.slices) },
            leads: if self.leads.is_empty() {
                Vec::new()
            } else {
                kept.iter().map(|&output| self.leads[output]).collect()
            },
        }
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

    /// Words of a set of positions.
    fn words(&self) -> usize {
        self.entries.len().div_ceil(64)
    }

    fn make(&mut self, change: Change) {
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

/// A macro, its code table, and the covariances that go with them.
type Known = (MacroSpec, CodeTable, Option<Arc<CodeCovariance>>);

thread_local! {
    /// What was asked for last: a pass asks tile by tile, and working it out takes longer than most of
    /// what is done with it.
    static LAST: RefCell<Option<Known>> = const { RefCell::new(None) };
}

/// The covariances that go with a code table: none if it is measured rather than the model's, or if
/// conversions have too many rows.
fn covariance(spec: &MacroSpec, code_table: &CodeTable) -> Option<Arc<CodeCovariance>> {
    LAST.with_borrow_mut(|last| {
        if let Some((known_spec, known_table, covariance)) = last
            && known_spec == spec
            && known_table == code_table
        {
            return covariance.clone();
        }
        let is_model = spec.rows_per_conversion <= CodeCovariance::MOST_ROWS
            && *code_table == CodeTable::from_spec(spec);
        let covariance =
            if is_model { CodeCovariance::from_spec(spec).map(Arc::new) } else { None };
        *last = Some((spec.clone(), code_table.clone(), covariance.clone()));
        covariance
    })
}

#[cfg(test)]
mod tests;
