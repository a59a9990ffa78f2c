//! [`Damage`]: what the damage to a tile follows from, all but the order of its entries.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use hafnia_cim::{CodeCovariance, CodeTable, MacroSpec};
use hafnia_ir::{Coding, Column, MatrixProfile, Planes, Tile};
use hafnia_model::BitMatrix;

use super::tail::Tail;
use crate::analysis::answers::Answers;

/// How damage follows from an order of a tile's entries: all that does not depend on the order.
#[derive(Clone)]
pub struct Damage<'a> {
    pub(super) tile: &'a Tile,
    pub(super) profile: &'a MatrixProfile,
    pub(super) samples: Vec<Sample>,
    /// Samples in all, and the damage of what is not looked at.
    pub(super) total: f64,
    pub(super) elsewhere: f64,
    pub(super) rows_per_conversion: usize,
    /// Scan positions in a window: a group does not reach beyond one.
    pub(super) window: usize,
    /// Bias and variance of a code, by the state of its conversion: rows that are on and ones among
    /// them, as [`state`](Self::state) numbers them.
    pub(super) moments: Vec<[f64; 2]>,
    pub(super) covariance: Option<Arc<CodeCovariance>>,
    /// (state, state): covariances of conversions that share no cell; they are looked up most.
    pub(super) apart: Vec<f64>,
    /// Words of a set of physical rows.
    pub(super) words: usize,
    /// (column, word): the physical rows whose cell holds a 1.
    pub(super) ones: Vec<u64>,
    /// By column: half of what an error of its code counts in its output, or in the score of it,
    /// negative if it is inverted.
    pub(super) factors: Vec<f64>,
    /// What a step of every output counts in its score; none where damage is squared error.
    scales: Vec<f64>,
    /// How bits stand for weights.
    pub(super) coding: &'a Coding,
    /// By bit-plane: twice what an error of a code counts in the product of its column.
    pub(super) planes: Vec<f64>,
    /// Whether the damage is lost classifications; else it is squared error.
    pub(super) is_last: bool,
    pub(super) tail: Tail,
}

/// A sample of the profile that is looked at, and what of it.
#[derive(Clone)]
pub(super) struct Sample {
    /// Index in the profile.
    pub(super) index: usize,
    /// Tile columns that are looked at, output by output. Of a last matrix the first is that of the
    /// winning class.
    pub(super) columns: Vec<u16>,
    /// How many of `columns` are of every output; empty where all are of outputs of their own.
    pub(super) slices: Vec<usize>,
    /// Of a last matrix, for every output: the winning score minus its own, without noise, and a step
    /// up or down as ties go.
    pub(super) leads: Vec<f64>,
}

/// What an order costs on a sample, or per sample on average (cycles: of the samples looked at).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OrderCost {
    /// The damage.
    pub damage: f64,
    /// Conversion cycles: groups in all planes.
    pub cycles: f64,
}

impl<'a> Damage<'a> {
    /// The damage to `tile` on these samples of its matrix, whose weights are held in a coding; the
    /// samples are codes of `planes`. There are `answers` if `tile` holds the network's last matrix whole.
    ///
    /// The profile must have a row for every row of the matrix.
    pub(crate) fn new(
        tile: &'a Tile,
        (profile, samples): (&'a MatrixProfile, &[usize]),
        (spec, code_table): (&MacroSpec, &CodeTable),
        answers: Option<&Answers<'_>>,
        (coding, planes): (&'a Coding, &Planes),
    ) -> Self {
        let most = spec.rows_per_conversion;
        let moments =
            (0..=most).flat_map(|n| (0..=most).map(move |o| (n, o))).map(|(rows, ones)| {
                let of_code = code_table.moments(rows, ones.min(rows));
                [of_code.bias, of_code.variance]
            });
        let sample = |&index: &usize| {
            let levels = planes.levels(profile.sample(index));
            let levels = answers.map(|answers| (answers, &*levels));
            Sample::new(index, tile, levels, coding.slices())
        };
        let outputs = tile.columns.len() / coding.slices();
        let of_output = |answers: &Answers<'_>| (0..outputs).map(|of| answers.scale(of)).collect();
        let scales = answers.map_or_else(Vec::new, of_output);
        let covariance = covariance(spec, code_table);
        Self {
            tile,
            profile,
            samples: samples.iter().map(sample).collect(),
            total: samples.len() as f64,
            elsewhere: 0.0,
            rows_per_conversion: most,
            window: spec.input_control.span(most),
            moments: moments.collect(),
            apart: covariance.as_ref().map_or_else(Vec::new, |covariance| apart(covariance, most)),
            covariance,
            words: tile.physical_rows().div_ceil(64),
            ones: ones(tile),
            factors: factors(tile, coding, &scales),
            scales,
            coding,
            planes: planes.factors().iter().map(|&factor| 2.0 * f64::from(factor)).collect(),
            is_last: answers.is_some(),
            tail: Tail::new(),
        }
    }

    /// The same on the same samples for a tile that differs in the polarity of its columns.
    pub fn with_polarity(&self, tile: &'a Tile) -> Self {
        let factors = factors(tile, self.coding, &self.scales);
        Self { tile, ones: ones(tile), factors, ..self.clone() }
    }

    /// What the damage counts, for people.
    pub fn unit(&self) -> &'static str {
        if self.is_last { "expected flips a sample" } else { "expected squared error a sample" }
    }

    /// Whether conversions are taken as independent.
    pub fn is_independent(&self) -> bool {
        self.covariance.is_none()
    }

    /// How often every entry is on: bits over samples and planes, one bit vector per entry.
    pub fn activity(&self) -> BitMatrix {
        let planes = self.planes.len();
        BitMatrix::from_fn(self.tile.rows.len(), self.samples.len() * planes, |entry, bit| {
            let sample = self.profile.sample(self.samples[bit / planes].index);
            sample[self.tile.rows.logical()[entry] as usize] >> (bit % planes) & 1 == 1
        })
    }

    /// The tile columns that are looked at, by sample; of a last matrix the winner comes first.
    pub fn columns(&self) -> impl Iterator<Item = &[u16]> {
        self.samples.iter().map(|sample| &sample.columns[..])
    }

    /// The positions, among the columns of a sample that are looked at, of every output; for a
    /// matrix that is not last, where they are the same in all samples.
    pub fn outputs(&self) -> Vec<Range<usize>> {
        self.samples.first().map_or_else(Vec::new, Sample::outputs)
    }

    /// The damage if a sample's errors are these, as [`of`](Self::of).
    pub fn of_errors(&self, errors: impl Iterator<Item = Vec<[f64; 2]>>) -> f64 {
        let mut sum = self.elsewhere;
        for (sample, errors) in self.samples.iter().zip(errors) {
            self.each_term(sample, &errors, |term| sum += term);
        }
        sum / self.total
    }

    /// Whether columns bear damage together, as rivals of a winner; else each its own.
    pub fn is_last(&self) -> bool {
        self.is_last
    }

    /// The mean over samples, if this is the sum over those that are looked at.
    pub(super) fn mean_of(&self, sum: f64) -> f64 {
        (sum + self.elsewhere) / self.total
    }

    pub(super) fn mean(&self, costs: &[OrderCost]) -> OrderCost {
        let sum = |of_sample: fn(&OrderCost) -> f64| costs.iter().map(of_sample).sum::<f64>();
        OrderCost {
            damage: self.mean_of(sum(|cost| cost.damage)),
            cycles: sum(|cost| cost.cycles) / self.samples.len() as f64,
        }
    }

    /// Whether a conversion takes the next rows that are on, whatever they are: none are shared or
    /// negative, and all are in one window.
    pub(super) fn is_unshared(&self) -> bool {
        let rows = &self.tile.rows;
        rows.len() <= self.window
            && !rows.has_shared_rows()
            && rows.iter().all(|entry| !entry.negative)
    }

    /// The number of a state of a conversion.
    pub(super) fn state(&self, rows: usize, ones: usize) -> usize {
        rows * (self.rows_per_conversion + 1) + ones
    }

    /// The covariance of conversions of these states that share no cell.
    pub(super) fn apart(&self, a: u16, b: u16) -> f64 {
        let counts = self.rows_per_conversion + 1;
        self.apart[usize::from(a) * counts * counts + usize::from(b)]
    }

    /// The physical rows whose cell in a column holds a 1.
    pub(super) fn ones_of(&self, column: u16) -> &[u64] {
        &self.ones[usize::from(column) * self.words..][..self.words]
    }

    /// The damage of a sample whose errors are these, column by column: one term per output.
    pub(super) fn terms(&self, sample: &Sample, errors: &[[f64; 2]]) -> Vec<f64> {
        let mut terms = Vec::with_capacity(errors.len());
        self.each_term(sample, errors, |term| terms.push(term));
        terms
    }

    #[inline(always)]
    pub(super) fn each_term(&self, sample: &Sample, errors: &[[f64; 2]], take: impl FnMut(f64)) {
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

/// Half of what an error of the code of every column counts in its output: the factor of its slice,
/// or minus that; times the scale of the output, where there are some.
fn factors(tile: &Tile, coding: &Coding, scales: &[f64]) -> Vec<f64> {
    let factor = |column: &Column| {
        let slices = coding.slices();
        let (output, slice) = (column.logical as usize / slices, column.logical as usize % slices);
        let scale = scales.get(output).copied().unwrap_or(1.0);
        let factor = scale * f64::from(coding.factors()[slice]) / 2.0;
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

impl Sample {
    /// A sample, whose answer follows from these levels if the tile is a whole last matrix.
    fn new(
        index: usize,
        tile: &Tile,
        levels: Option<(&Answers<'_>, &[u8])>,
        slices: usize,
    ) -> Self {
        let columns: Vec<u16> = (0..tile.columns.len() as u16).collect();
        let mut sample = Self { index, columns, slices: Vec::new(), leads: Vec::new() };
        let output = |column: u16| tile.columns[usize::from(column)].logical as usize / slices;
        if slices > 1 {
            sample.gather(output);
        }
        let Some((answers, levels)) = levels else { return sample };
        let sums = answers.outputs(levels);
        let (class, scores) = (answers.scores().class(&sums), answers.scores().of(&sums));
        let outputs: Vec<usize> =
            sample.outputs().into_iter().map(|of| output(sample.columns[of.start])).collect();
        let winner = outputs.iter().position(|&output| output == class);
        let mut order: Vec<usize> = (0..outputs.len()).collect();
        order.swap(0, winner.expect("a whole matrix"));
        let lead = |&output: &usize| {
            let step = (answers.scale(class) + answers.scale(output)) / 2.0;
            let lead = scores[class] - scores[output];
            if output < class { lead - step } else { lead + step }
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
    pub(super) fn outputs(&self) -> Vec<Range<usize>> {
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
    pub(super) fn with_outputs(&self, kept: &[usize]) -> Self {
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
