//! [`Fabrication`]: a virtual chip before anything is programmed into it, what is drawn once for every
//! cell and every converter, by their places on the macros.
//!
//! Nothing is stored: every draw is addressed, and made again whenever it is asked for. Effects
//! that are off draw nothing.

use hafnia_rng::{Counter, Seed, gaussian};

use crate::distribution::Distribution;
use crate::signal::CellState;
use crate::spec::{Adc, AdcKind, MacroSpec};

/// Chip number `number` of `seed`, of macros of `spec`.
///
/// Cells are drawn by (seed, chip, macro, row, column), comparators by (seed, chip, macro, column,
/// comparator). The same cells have the same draws, whatever is programmed into them.
#[derive(Debug, Clone)]
pub struct Fabrication<'a> {
    spec: &'a MacroSpec,
    seed: Seed,
    number: u64,
    /// Cells of every level, from HRS to LRS.
    levels: Vec<CellState>,
}

impl<'a> Fabrication<'a> {
    /// The chip; draws nothing yet.
    pub fn new(spec: &'a MacroSpec, seed: Seed, number: u64) -> Self {
        Self { spec, seed, number, levels: spec.levels() }
    }

    /// The draws of one kind on one macro.
    fn source(&self, site: &str, macro_index: u32) -> Counter {
        self.seed.site(site).index(self.number).index(macro_index.into()).counter()
    }

    /// The cells of macro `macro_index` in columns `first` to `first + columns − 1`.
    ///
    /// They are drawn row by row, as [`Cells::program`] asks for them.
    pub fn cells(&self, macro_index: u32, first: usize, columns: usize) -> Cells<'_> {
        let shape = |state: &CellState| state.sigma_lsb != 0.0;
        Cells {
            fabrication: self,
            macro_index,
            first,
            deviations: self
                .levels
                .iter()
                .any(shape)
                .then(|| self.source("chip/cells", macro_index)),
            traps: (self.spec.telegraph.rate > 0.0).then(|| self.source("chip/traps", macro_index)),
            stuck: self.sticks().then(|| self.source("chip/stuck", macro_index)),
            z: vec![0.0; columns],
            filled: vec![false; columns],
            state: vec![None; columns],
            signals: vec![0.0; columns],
        }
    }

    fn sticks(&self) -> bool {
        self.spec.faults.stuck_lrs_rate > 0.0 || self.spec.faults.stuck_hrs_rate > 0.0
    }

    /// The cells of a row that are stuck: a state per column, true for LRS.
    ///
    /// The fault map of the spec stands above what is drawn.
    pub fn stuck(&self, macro_index: u32, row: u32) -> Vec<Option<bool>> {
        let mut cells = self.cells(macro_index, 0, self.spec.columns);
        cells.draw_stuck(row);
        cells.state
    }

    /// Writes the thresholds, in LSB, of the converter of a column.
    ///
    /// A converter by successive approximation has as many: the search by halving is a staircase in
    /// the signal, and a threshold that lies beyond one that was compared with before is moved there.
    ///
    /// # Panics
    /// If there are not as many as the largest code.
    pub fn thresholds(&self, macro_index: u32, column: u32, thresholds: &mut [f64]) {
        let adc = &self.spec.adc;
        assert_eq!(thresholds.len(), adc.max_code(), "thresholds of a converter");
        let step = self.spec.reference_step_lsb();
        for (comparator, threshold) in thresholds.iter_mut().enumerate() {
            *threshold = Adc::threshold_lsb(comparator) * step;
        }
        if adc.offset_lsb != 0.0 {
            let draws = match adc.kind {
                AdcKind::Flash => thresholds.len(),
                AdcKind::Sar => 1,
            };
            let mut z = vec![0.0; draws];
            let source = self.source("chip/offsets", macro_index);
            draw(&source, 0, &mut z, |quad| [column, quad, 0, 0]);
            for (comparator, threshold) in thresholds.iter_mut().enumerate() {
                *threshold += adc.offset_lsb * f64::from(z[comparator % draws]);
            }
        }
        if adc.kind == AdcKind::Sar && adc.mismatch_lsb != 0.0 {
            let mut z = vec![0.0; adc.bits.into()];
            let source = self.source("chip/elements", macro_index);
            draw(&source, 0, &mut z, |quad| [column, quad, 0, 0]);
            for (comparator, threshold) in thresholds.iter_mut().enumerate() {
                // the trial code is the comparator's number from 1
                let bits = (0..z.len()).filter(|bit| (comparator + 1) >> bit & 1 == 1);
                let error: f64 =
                    bits.map(|bit| f64::from(z[bit]) * f64::from(1u32 << bit).sqrt()).sum();
                *threshold += adc.mismatch_lsb * error;
            }
            halve(thresholds, f64::NEG_INFINITY, f64::INFINITY);
        }
    }
}

/// Makes thresholds, 2^b − 1 of them, the staircase of a search by halving between two bounds.
fn halve(thresholds: &mut [f64], low: f64, high: f64) {
    let middle = thresholds.len() / 2;
    let Some((below, [at, above @ ..])) = thresholds.split_at_mut_checked(middle) else { return };
    *at = at.clamp(low, high);
    halve(below, low, *at);
    halve(above, *at, high);
}

/// A stretch of the columns of a macro, row by row.
pub struct Cells<'a> {
    fabrication: &'a Fabrication<'a>,
    macro_index: u32,
    first: usize,
    deviations: Option<Counter>,
    traps: Option<Counter>,
    stuck: Option<Counter>,
    z: Vec<f32>,
    filled: Vec<bool>,
    /// What a cell is stuck at.
    state: Vec<Option<bool>>,
    signals: Vec<f64>,
}

impl Cells<'_> {
    /// What the cells of a row add to the signal of a conversion, in LSB, when `level` is programmed
    /// into each, IR drop left out.
    pub fn program(&mut self, row: u32, level: impl Fn(usize) -> usize) -> &[f64] {
        if let Some(source) = &self.deviations {
            draw(source, self.first, &mut self.z, |quad| [row, quad, 0, 0]);
        }
        if let Some(source) = &self.traps {
            let rate = self.fabrication.spec.telegraph.rate;
            draw_uniform(source, self.first, &mut self.filled, row, |uniform| uniform < rate);
        }
        self.draw_stuck(row);
        let shapes = &self.fabrication.spec.programming;
        // Levels between are normal: a spec with another shape of theirs is refused.
        let shapes: [&Distribution; 2] = [&shapes.hrs_distribution, &shapes.lrs_distribution];
        let top = self.fabrication.levels.len() - 1;
        for (column, signal) in self.signals.iter_mut().enumerate() {
            let stuck = self.state[column].map(|is_lrs| if is_lrs { top } else { 0 });
            let level = stuck.unwrap_or_else(|| level(column));
            let state = &self.fabrication.levels[level];
            let x = shapes[usize::from(level == top)]
                .standard(state.sigma_rel, f64::from(self.z[column]));
            *signal = state.mean_lsb + state.sigma_lsb * x;
            if self.filled[column] {
                *signal -= state.trapped_lsb;
            }
        }
        &self.signals
    }

    fn draw_stuck(&mut self, row: u32) {
        let faults = &self.fabrication.spec.faults;
        if let Some(source) = &self.stuck {
            let (lrs, hrs) = (faults.stuck_lrs_rate, faults.stuck_hrs_rate);
            let state = |uniform: f64| match uniform {
                u if u < lrs => Some(true),
                u if u < lrs + hrs => Some(false),
                _ => None,
            };
            draw_uniform(source, self.first, &mut self.state, row, state);
        }
        if !faults.map.is_empty() {
            let drawn = self.stuck.is_some();
            for (column, state) in self.state.iter_mut().enumerate() {
                let place = (self.first + column) as u32;
                let mapped = faults.map.state(self.macro_index, row, place);
                *state = mapped.or(if drawn { *state } else { None });
            }
        }
    }
}

/// Fills `z` with the Gaussians number `first` and following of a sequence whose block `quad`
/// holds four.
fn draw(source: &Counter, first: usize, z: &mut [f32], address: impl Fn(u32) -> [u32; 4]) {
    let mut block = (usize::MAX, [0.0; 4]);
    for (index, z) in z.iter_mut().enumerate() {
        let (quad, lane) = ((first + index) / 4, (first + index) % 4);
        if block.0 != quad {
            block = (quad, source.block(address(quad as u32)).map(gaussian));
        }
        *z = block.1[lane];
    }
}

/// Fills `values` with what uniform numbers of 0..1 make, of the cells of a row from column `first`.
fn draw_uniform<T>(
    source: &Counter,
    first: usize,
    values: &mut [T],
    row: u32,
    of: impl Fn(f64) -> T,
) {
    let mut block = (usize::MAX, [0; 4]);
    for (index, value) in values.iter_mut().enumerate() {
        let (quad, lane) = ((first + index) / 4, (first + index) % 4);
        if block.0 != quad {
            block = (quad, source.block([row, quad as u32, 0, 0]));
        }
        // the middle of the word's cell: never 0, never 1
        *value = of((f64::from(block.1[lane]) + 0.5) / 4_294_967_296.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The staircase answers what the search by halving does, step by step, missing codes and
        /// ties included.
        #[test]
        fn a_staircase_is_the_search(
            thresholds in prop::collection::vec((0i32..20).prop_map(f64::from), 15),
            signal in (-1i32..42).prop_map(|half| f64::from(half) / 2.0),
        ) {
            let mut code = 0;
            for bit in (0..4).rev() {
                let trial = code + (1 << bit);
                if signal >= thresholds[trial - 1] {
                    code = trial;
                }
            }
            let mut staircase = thresholds;
            halve(&mut staircase, f64::NEG_INFINITY, f64::INFINITY);
            prop_assert_eq!(staircase.iter().filter(|&&at| signal >= at).count(), code);
        }
    }
}
