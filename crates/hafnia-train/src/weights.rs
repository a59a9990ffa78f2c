//! Latent weights and thresholds, what the forward pass makes of them, and how a step moves them.
//!
//! They are plain vectors outside burn: a step clips them where they are, a checkpoint keeps them
//! bit for bit, and the straight-through estimator of the weights' quantiser needs no operation at
//! all. The latent weights never leave \[−1, 1\], where the gradient passes whole: that of a
//! quantised weight is used as that of its latent weight.

use hafnia_model::Weights;
use hafnia_rng::Seed;
use hafnia_text::must;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::block::threshold;
use crate::codebook;
use crate::config::{LayerConfig, Tie};
use crate::integer::{self, Rule};
use crate::net::PerParameter;
use crate::noise::{Chip, Errors};
use crate::shapes::{Block, LayerShapes};

/// The unit of cuts in training, so that a step moves them about as far as it moves a weight.
const GREY: f32 = 64.0;

/// Latent weights start uniformly in ± this.
const START: f32 = 0.6;

/// All that is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latents {
    matrices: Vec<Matrix>,
    /// By layer; without numbers in one without an activation.
    slopes: Vec<Slopes>,
    /// The scale of the outputs in the cross entropy.
    scale: Trained,
    cuts: Cuts,
}

/// The cuts of the input's pixels, in units of [`GREY`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cuts {
    latent: Trained,
    is_learned: bool,
}

/// A matrix of weights: patterns, and the pattern of every row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Matrix {
    /// (pattern, output).
    latent: Trained,
    pattern_of: Vec<u32>,
    columns: usize,
    grid: Grid,
    is_frozen: bool,
}

/// The weights that latent weights become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Grid {
    /// Themselves.
    Latent,
    /// The odd numbers up to this.
    Odd(i32),
    /// The whole numbers up to this.
    Whole(i32),
}

/// The offsets and steps of a layer's channels, in units of 2^`shift`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Slopes {
    shift: u32,
    /// Offsets, then logarithms to base 2 of the steps.
    latent: Trained,
    is_learned: bool,
}

impl Latents {
    /// The latents before the first step; `shifts` are set later.
    pub(crate) fn start(shapes: &LayerShapes, seed: Seed) -> Self {
        let matrix = |(index, block): (usize, &Block)| {
            let [rows, columns] = block.matrix();
            let patterns = match block.config.tie {
                Tie::Learned => rows,
                _ => block.config.patterns.unwrap_or(rows),
            };
            let pattern_of = |row: usize| match block.config.tie {
                Tie::Cyclic | Tie::Learned => row % patterns,
                Tie::Blocks => row * patterns / rows,
            };
            let mut rng = seed.index(index as u64).rng();
            let values = (0..patterns * columns).map(|_| rng.random_range(-START..START)).collect();
            Matrix {
                latent: Trained::new(values),
                pattern_of: (0..rows).map(|row| pattern_of(row) as u32).collect(),
                columns,
                grid: Grid::of(&block.config),
                is_frozen: false,
            }
        };
        Self {
            matrices: shapes.blocks.iter().enumerate().map(matrix).collect(),
            slopes: Slopes::start(shapes, |block| block.config.learned_thresholds),
            scale: Trained::new(vec![1.0]),
            cuts: Cuts {
                latent: Trained::new(
                    shapes.input.cuts.iter().map(|&cut| f32::from(cut) / GREY).collect(),
                ),
                is_learned: shapes.input.learned,
            },
        }
    }

    /// Checks latents that were read: whether they are of these layers, whole and finite, or what is
    /// wrong.
    pub(crate) fn check(&self, shapes: &LayerShapes, kept: Kept) -> Result<(), String> {
        let Self { matrices, slopes, scale, cuts } = self;
        equal("matrices", matrices.len(), shapes.blocks.len())?;
        for (matrix, block) in matrices.iter().zip(&shapes.blocks) {
            let named = |fault| format!("layer `{}`: {fault}", block.config.name);
            matrix.check(block, kept).map_err(named)?;
        }
        equal("layers with thresholds", slopes.len(), shapes.blocks.len())?;
        for (slopes, block) in slopes.iter().zip(&shapes.blocks) {
            let named = |fault| format!("thresholds of layer `{}`: {fault}", block.config.name);
            check_shift(slopes.shift).map_err(named)?;
            slopes.latent.check(Slopes::count(block), kept).map_err(named)?;
        }
        scale.check(1, kept).map_err(|fault| format!("scale: {fault}"))?;
        let of_cuts = shapes.input.cuts.len();
        cuts.latent.check(of_cuts, kept).map_err(|fault| format!("cuts: {fault}"))
    }

    /// The cuts of the input.
    pub(crate) fn cuts(&self, averaged: bool) -> Vec<u8> {
        self.cuts.values(averaged)
    }

    /// A teacher's: float weights of the variance that keeps that of the activations.
    pub(crate) fn teacher(shapes: &LayerShapes, seed: Seed) -> Self {
        let mut latents = Self::start(shapes, seed);
        for matrix in &mut latents.matrices {
            let rows = matrix.pattern_of.len() as f32;
            let factor = (6.0 / rows).sqrt() / START;
            matrix.latent.values.iter_mut().for_each(|value| *value *= factor);
            matrix.grid = Grid::Latent;
        }
        latents.slopes = Slopes::start(shapes, |_| true);
        latents
    }

    /// Sets the shift of a layer with thresholds.
    pub(crate) fn set_shift(&mut self, layer: usize, shift: u32) {
        self.slopes[layer].shift = shift;
    }

    /// The shifts of the layers with thresholds.
    pub(crate) fn shifts(&self) -> Vec<u32> {
        let has_some = |slopes: &&Slopes| !slopes.latent.values.is_empty();
        self.slopes.iter().filter(has_some).map(|slopes| slopes.shift).collect()
    }

    pub(crate) fn scale(&self) -> f32 {
        self.scale.values[0]
    }

    /// Sets the scale of the outputs to something that is no number.
    #[cfg(test)]
    pub(crate) fn break_scale(&mut self) {
        self.scale.values[0] = f32::NAN;
    }

    /// Gives a row of the first layer a pattern that is not there.
    #[cfg(test)]
    pub(crate) fn break_pattern(&mut self) {
        self.matrices[0].pattern_of[3] = 25;
    }

    /// Starts the running means where the latents are.
    pub(crate) fn start_averages(&mut self) {
        self.all().for_each(|trained| trained.average = trained.values.clone());
    }

    /// What the forward pass uses; of the running means, where there are some and it is asked.
    pub(crate) fn parameters(&self, averaged: bool) -> PerParameter {
        PerParameter {
            weights: self.matrices.iter().map(|matrix| matrix.weights(averaged)).collect(),
            slopes: self.slopes.iter().map(|slopes| slopes.values(averaged)).collect(),
        }
    }

    /// What the forward pass uses on a chip whose cells are off, and what they are off by.
    pub(crate) fn parameters_on(
        &self,
        errors: &Errors,
        chip: Chip,
        averaged: bool,
    ) -> (PerParameter, Vec<Vec<f32>>) {
        let weights = |(layer, matrix): (usize, &Matrix)| {
            let patterns = matrix.patterns(averaged);
            let deviations = errors.deviations(&patterns, matrix.columns, chip.stream(layer as u8));
            let on_chip = errors.on_chip(&patterns, &deviations);
            (matrix.spread(&on_chip), matrix.spread(&deviations))
        };
        let (weights, deviations) = self.matrices.iter().enumerate().map(weights).unzip();
        let slopes = self.slopes.iter().map(|slopes| slopes.values(averaged)).collect();
        (PerParameter { weights, slopes }, deviations)
    }

    /// Turns derivatives by the weights on a chip into derivatives by the weights that it was
    /// programmed with.
    pub(crate) fn through_chip(&self, by_weights: &mut [Vec<f32>], errors: &Errors, chip: Chip) {
        for (layer, (matrix, by_weights)) in self.matrices.iter().zip(by_weights).enumerate() {
            let cells = matrix.latent.values.len();
            let derivatives = matrix.spread(&errors.by_weight(cells, chip.stream(layer as u8)));
            by_weights.iter_mut().zip(derivatives).for_each(|(by, derivative)| *by *= derivative);
        }
    }

    /// The weights of every layer as the network holds them.
    pub(crate) fn network_weights(&self, averaged: bool) -> Vec<Weights> {
        let weights = |matrix: &Matrix| {
            let values = matrix.weights(averaged);
            Weights::from_fn(matrix.pattern_of.len(), matrix.columns, |row, column| {
                values[row * matrix.columns + column] as i32
            })
        };
        self.matrices.iter().map(weights).collect()
    }

    /// The thresholds of every layer, (channel, level); none of one without an activation.
    pub(crate) fn network_thresholds(&self, shapes: &LayerShapes, averaged: bool) -> Vec<Vec<i32>> {
        let tops = shapes.blocks.iter().map(|block| block.top().unwrap_or(0));
        let thresholds = |(slopes, top): (&Slopes, usize)| {
            let values = slopes.values(averaged);
            let (offsets, steps) = values.split_at(values.len() / 2);
            let levels = |(&offset, &step)| {
                (1..=top).map(move |level| threshold(offset, step, level) as i32)
            };
            offsets.iter().zip(steps).flat_map(levels).collect()
        };
        self.slopes.iter().zip(tops).map(thresholds).collect()
    }

    /// Freezes the weights of layer `layer`: puts them at their running means, and lets no step move
    /// them any more.
    pub(crate) fn freeze(&mut self, layer: usize) {
        let Matrix { latent, is_frozen, .. } = &mut self.matrices[layer];
        latent.values = latent.source(true).to_vec();
        *is_frozen = true;
    }

    /// Moves everything by a rule, given the derivatives by what the forward pass used.
    pub(crate) fn step(&mut self, by_parameters: &PerParameter, by_scale: f32, adam: &Adam) {
        let matrices = self.matrices.iter_mut().zip(&by_parameters.weights);
        for (matrix, by_weights) in matrices.filter(|(matrix, _)| !matrix.is_frozen) {
            let folded = matrix.fold(by_weights);
            matrix.latent.step(&folded, adam);
            if matrix.grid != Grid::Latent {
                matrix
                    .latent
                    .values
                    .iter_mut()
                    .for_each(|latent| *latent = latent.clamp(-1.0, 1.0));
            }
        }
        for (slopes, by_slopes) in self.slopes.iter_mut().zip(&by_parameters.slopes) {
            if slopes.is_learned {
                let by_latent = slopes.by_latent(by_slopes);
                slopes.latent.step(&by_latent, adam);
            }
        }
        self.scale.step(&[by_scale], adam);
    }

    /// Moves the cuts of the input, if they are learned, given the derivatives by the activations of
    /// these pixels.
    pub(crate) fn step_cuts(&mut self, by_cuts: &[f32], adam: &Adam) {
        if self.cuts.is_learned {
            let by_latent: Vec<f32> = by_cuts.iter().map(|by_cut| by_cut * GREY).collect();
            self.cuts.latent.step(&by_latent, adam);
            let values = &mut self.cuts.latent.values;
            values.iter_mut().for_each(|cut| *cut = cut.clamp(1.0 / GREY, 255.0 / GREY));
        }
    }

    /// Moves the running means towards the latents; `decay` is what stays of them.
    pub(crate) fn average(&mut self, decay: f32) {
        self.all().for_each(|trained| {
            for (average, value) in trained.average.iter_mut().zip(&trained.values) {
                *average += (1.0 - decay) * (value - *average);
            }
        });
    }

    /// The same in whole numbers: what differs is halved `shift` times.
    pub(crate) fn average_integers(&mut self, shift: u8) {
        self.all().for_each(|trained| {
            integer::average(&mut trained.average, &trained.values, shift);
        });
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Trained> {
        let matrices = self.matrices.iter_mut().map(|matrix| &mut matrix.latent);
        let slopes = self.slopes.iter_mut().map(|slopes| &mut slopes.latent);
        matrices.chain(slopes).chain([&mut self.scale, &mut self.cuts.latent])
    }

    /// Gathers the patterns of layer `layer` around fewer ones; Adam starts anew there.
    pub(crate) fn gather(&mut self, layer: usize, patterns: usize, seed: Seed) {
        let Matrix { latent, pattern_of, columns, .. } = &mut self.matrices[layer];
        let gathered = codebook::gather(&latent.values, *columns, patterns, seed);
        pattern_of.iter_mut().for_each(|pattern| *pattern = gathered.pattern_of[*pattern as usize]);
        let is_averaged = !latent.average.is_empty();
        *latent = Trained::new(gathered.patterns);
        if is_averaged {
            latent.average = latent.values.clone();
        }
    }

    /// The last layer with derivatives that are no numbers: as they are passed on to the layers
    /// before, it is the one where they came up.
    pub(crate) fn broken(by_parameters: &PerParameter) -> Option<usize> {
        let is_broken = |values: &Vec<f32>| !values.iter().all(|value| value.is_finite());
        by_parameters.weights.iter().rposition(is_broken)
    }

    /// Steps on a grid of whole multiples of 2^(1 − `bits`), inside ±(1 − 2^(1 − `bits`)), of the
    /// weights and of the offsets of learned thresholds, those in units of the layer's power of two.
    pub(crate) fn integer_step(&mut self, by_parameters: &PerParameter, rule: &Rule<'_>) {
        let matrices = self.matrices.iter_mut().zip(&by_parameters.weights).enumerate();
        for (layer, (matrix, by_weights)) in matrices.filter(|(_, (matrix, _))| !matrix.is_frozen) {
            let folded = matrix.fold(by_weights);
            rule.step(layer, &mut matrix.latent.values, &folded);
        }
        // Of thresholds only the offsets are learned: their steps stay a power of two.
        let layers = self.matrices.len();
        for (index, (slopes, by_slopes)) in
            self.slopes.iter_mut().zip(&by_parameters.slopes).enumerate()
        {
            if slopes.is_learned {
                let outputs = by_slopes.len() / 2;
                let offsets = &mut slopes.latent.values[..outputs];
                rule.step(layers + index, offsets, &by_slopes[..outputs]);
            }
        }
    }

    /// Puts the latent weights on the grid of the integer rule.
    pub(crate) fn onto_grid(&mut self, bits: u8) {
        for matrix in &mut self.matrices {
            integer::onto_grid(&mut matrix.latent.values, bits);
        }
    }
}

impl Cuts {
    /// The cuts as whole grey levels, in ascending order.
    fn values(&self, averaged: bool) -> Vec<u8> {
        let mut least = 0;
        let latent = self.latent.source(averaged).iter();
        let mut cuts: Vec<f32> = latent.map(|cut| libm::rintf(cut * GREY)).collect();
        cuts.sort_by(f32::total_cmp);
        let above = (0..cuts.len()).rev();
        for (cut, above) in cuts.iter_mut().zip(above) {
            // Each is above the one before, and leaves room for those that follow.
            *cut = cut.clamp(least as f32 + 1.0, (255 - above) as f32);
            least = *cut as usize;
        }
        cuts.into_iter().map(|cut| cut as u8).collect()
    }
}

/// What latents of a kind hold beside their values.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kept {
    /// A network's.
    Network {
        /// Whether running means are kept.
        is_averaged: bool,
    },
    /// A teacher's: float weights, and no running means.
    Teacher,
}

/// Checks the binary logarithm of a unit: the sums of a layer stay below 2^31.
pub(crate) fn check_shift(shift: u32) -> Result<(), String> {
    match shift {
        0..=31 => Ok(()),
        _ => Err(format!("its shift is {shift}, it {}", must(0, 31))),
    }
}

fn equal(what: &str, found: usize, expected: usize) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("there are {found} {what}, the recipe has {expected}")),
    }
}

impl Matrix {
    fn check(&self, block: &Block, kept: Kept) -> Result<(), String> {
        let Self { latent, pattern_of, columns, grid, is_frozen: _ } = self;
        let [rows, outputs] = block.matrix();
        equal("columns", *columns, outputs)?;
        equal("rows", pattern_of.len(), rows)?;
        let expected = match kept {
            Kept::Network { .. } => Grid::of(&block.config),
            Kept::Teacher => Grid::Latent,
        };
        if *grid != expected {
            return Err(format!("its weights are {grid:?}, those of the recipe {expected:?}"));
        }
        let patterns = latent.values.len() / columns;
        let gathered = block.config.patterns.unwrap_or(rows);
        // Rows that learn their ties have a pattern each until they are gathered.
        if !(patterns == gathered || (block.config.tie == Tie::Learned && patterns == rows)) {
            return Err(format!("there are {patterns} patterns, the recipe has {gathered}"));
        }
        latent.check(patterns * columns, kept)?;
        match pattern_of.iter().find(|&&pattern| pattern as usize >= patterns) {
            Some(pattern) => Err(format!("a row has pattern {pattern} of {patterns}")),
            None => Ok(()),
        }
    }

    fn weights(&self, averaged: bool) -> Vec<f32> {
        self.spread(&self.patterns(averaged))
    }

    /// The weights of every pattern.
    fn patterns(&self, averaged: bool) -> Vec<f32> {
        let latent = self.latent.source(averaged).iter();
        latent.map(|&latent| self.grid.nearest(latent)).collect()
    }

    /// The patterns, written out row by row.
    fn spread(&self, patterns: &[f32]) -> Vec<f32> {
        let mut weights = Vec::with_capacity(self.pattern_of.len() * self.columns);
        for &pattern in &self.pattern_of {
            weights.extend_from_slice(&patterns[pattern as usize * self.columns..][..self.columns]);
        }
        weights
    }

    /// Sums the derivatives of the rows that share a pattern.
    fn fold(&self, by_weights: &[f32]) -> Vec<f32> {
        let mut folded = vec![0.0; self.latent.values.len()];
        for (row, &pattern) in by_weights.chunks_exact(self.columns).zip(&self.pattern_of) {
            let sums = &mut folded[pattern as usize * self.columns..][..self.columns];
            sums.iter_mut().zip(row).for_each(|(sum, gradient)| *sum += gradient);
        }
        folded
    }
}

impl Grid {
    fn of(config: &LayerConfig) -> Self {
        let largest = config.largest_weight();
        if config.zero_weights { Self::Whole(largest) } else { Self::Odd(largest) }
    }

    /// The weight of a latent weight: of odd numbers the nearest to latent · (largest + 1), of whole
    /// numbers the nearest to latent · largest; what lies between two goes up.
    fn nearest(self, latent: f32) -> f32 {
        match self {
            Self::Latent => latent,
            Self::Odd(largest) => {
                let bound = largest as f32;
                ((latent * (bound + 1.0) / 2.0).floor() * 2.0 + 1.0).clamp(-bound, bound)
            }
            Self::Whole(largest) => {
                let bound = largest as f32;
                (latent * bound + 0.5).floor()
            }
        }
    }
}

impl Slopes {
    fn start(shapes: &LayerShapes, is_learned: impl Fn(&Block) -> bool) -> Vec<Self> {
        let start = |block: &Block| Self {
            shift: 0,
            latent: Trained::new(vec![0.0; Self::count(block)]),
            is_learned: is_learned(block),
        };
        shapes.blocks.iter().map(start).collect()
    }

    /// Numbers of a layer.
    fn count(block: &Block) -> usize {
        block.top().map_or(0, |_| 2 * block.shape.outputs)
    }

    fn values(&self, averaged: bool) -> Vec<f32> {
        let latent = self.latent.source(averaged);
        let unit = libm::exp2f(self.shift as f32);
        let (offsets, logs) = latent.split_at(latent.len() / 2);
        let offsets = offsets.iter().map(|offset| offset * unit);
        offsets.chain(logs.iter().map(|&log| libm::exp2f(log) * unit)).collect()
    }

    /// Derivatives by the latents from those by offsets and steps.
    fn by_latent(&self, by_slopes: &[f32]) -> Vec<f32> {
        let unit = libm::exp2f(self.shift as f32);
        let steps = &self.values(false)[by_slopes.len() / 2..];
        let (by_offsets, by_steps) = by_slopes.split_at(by_slopes.len() / 2);
        let by_logs = by_steps
            .iter()
            .zip(steps)
            .map(|(by_step, step)| by_step * step * std::f32::consts::LN_2);
        by_offsets.iter().map(|by_offset| by_offset * unit).chain(by_logs).collect()
    }
}

/// Numbers that are trained, with Adam's moments of their gradients and their running mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Trained {
    values: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
    /// Empty if no mean is kept.
    average: Vec<f32>,
}

impl Trained {
    fn check(&self, length: usize, kept: Kept) -> Result<(), String> {
        let Self { values, mean, square, average } = self;
        let of_average = match kept {
            Kept::Network { is_averaged: true } => length,
            _ => 0,
        };
        for (numbers, expected) in
            [(values, length), (mean, length), (square, length), (average, of_average)]
        {
            equal("numbers", numbers.len(), expected)?;
            if !numbers.iter().all(|number| number.is_finite()) {
                return Err("a number is not finite".to_owned());
            }
        }
        match square.iter().all(|&square| square >= 0.0) {
            true => Ok(()),
            false => Err("a mean of squares is negative".to_owned()),
        }
    }

    fn new(values: Vec<f32>) -> Self {
        let zeros = vec![0.0; values.len()];
        Self { values, mean: zeros.clone(), square: zeros, average: Vec::new() }
    }

    fn source(&self, averaged: bool) -> &[f32] {
        if averaged && !self.average.is_empty() { &self.average } else { &self.values }
    }

    fn step(&mut self, gradients: &[f32], adam: &Adam) {
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((value, (mean, square)), &gradient) in
            self.values.iter_mut().zip(moments).zip(gradients)
        {
            *mean += (1.0 - Adam::MEAN_DECAY) * (gradient - *mean);
            *square += (1.0 - Adam::SQUARE_DECAY) * (gradient * gradient - *square);
            let root = (*square * adam.square_correction).sqrt();
            *value -= adam.rate * (*mean * adam.mean_correction) / (root + Adam::EPSILON);
        }
    }
}

/// One step of Adam (Kingma and Ba, 2015, algorithm 1): what does not depend on the parameter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adam {
    rate: f32,
    mean_correction: f32,
    square_correction: f32,
}

impl Adam {
    const MEAN_DECAY: f32 = 0.9;
    const SQUARE_DECAY: f32 = 0.999;
    const EPSILON: f32 = 1e-8;

    /// The step number `step` of the run, counted from 1.
    pub(crate) fn new(rate: f64, step: usize) -> Self {
        let correction =
            |decay: f32| (1.0 / (1.0 - libm::pow(f64::from(decay), step as f64))) as f32;
        Self {
            rate: rate as f32,
            mean_correction: correction(Self::MEAN_DECAY),
            square_correction: correction(Self::SQUARE_DECAY),
        }
    }
}

/// Falls from `peak` at step 0 to 0 after `steps`.
pub(crate) fn cosine(peak: f64, step: usize, steps: usize) -> f64 {
    let phase = std::f64::consts::PI * step as f64 / steps as f64;
    peak * (1.0 + libm::cos(phase)) / 2.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::TrainConfig;

    fn latents(change: impl Fn(&mut LayerConfig)) -> (LayerShapes, Latents) {
        let mut config = TrainConfig::default();
        config.layer.iter_mut().for_each(change);
        let shapes = LayerShapes::new(&config, [1, 28, 28], 1).unwrap();
        let latents = Latents::start(&shapes, Seed(1));
        (shapes, latents)
    }

    fn zeros(shapes: &LayerShapes) -> PerParameter {
        let zeros = |length| vec![0.0; length];
        PerParameter {
            weights: shapes
                .blocks
                .iter()
                .map(|block| zeros(block.matrix().iter().product()))
                .collect(),
            slopes: shapes.blocks.iter().map(|block| zeros(Slopes::count(block))).collect(),
        }
    }

    #[test]
    fn tied_rows_recur() {
        for (tie, pattern_of) in
            [(Tie::Cyclic, (|row| row % 12) as fn(usize) -> usize), (Tie::Blocks, |row| row / 7)]
        {
            let (_, latents) = latents(|layer| {
                if layer.name == "fc3" {
                    (layer.patterns, layer.tie) = (Some(12), tie);
                }
            });
            let [.., weights] = &latents.network_weights(false)[..] else { unreachable!() };
            let bits = weights.as_binary().unwrap();
            let values = &latents.parameters(false).weights[4];
            for row in 0..84 {
                let first = (0..84).find(|&first| pattern_of(first) == pattern_of(row)).unwrap();
                assert_eq!(bits.row(row), bits.row(first), "{tie:?}");
                for column in 0..10 {
                    assert_eq!(values[row * 10 + column], weights.value(row, column) as f32);
                }
            }
        }
    }

    #[test]
    fn weights_are_the_nearest_on_their_grid() {
        let latents = [-1.0, -0.51, -0.5, -0.34, -0.3, -0.01, 0.0, 0.3, 0.34, 0.49, 0.5, 1.0];
        let check = |grid: Grid, expected: [i32; 12]| {
            assert_eq!(latents.map(|latent| grid.nearest(latent) as i32), expected, "{grid:?}");
        };
        check(Grid::Odd(1), [-1, -1, -1, -1, -1, -1, 1, 1, 1, 1, 1, 1]);
        check(Grid::Odd(3), [-3, -3, -1, -1, -1, -1, 1, 1, 1, 1, 3, 3]);
        check(Grid::Whole(1), [-1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        check(Grid::Whole(3), [-3, -2, -1, -1, -1, 0, 0, 1, 1, 1, 2, 3]);
        check(Grid::Whole(7), [-7, -4, -3, -2, -2, 0, 0, 2, 2, 3, 4, 7]);
    }

    #[test]
    fn weights_are_those_of_the_recipe() {
        for (weight_bits, zero_weights, expected) in
            [(1, false, &[-1, 1][..]), (2, false, &[-3, -1, 1, 3]), (2, true, &[-1, 0, 1])]
        {
            let (_, latents) = latents(|layer| {
                (layer.weight_bits, layer.zero_weights) = (weight_bits, zero_weights);
            });
            let weights = &latents.network_weights(false)[2];
            let found: BTreeSet<i32> = weights.values().iter().map(|&w| w.into()).collect();
            assert_eq!(found, expected.iter().copied().collect());
            let values = &latents.parameters(false).weights[2];
            assert!((0..400).all(|row| values[row * 120] == weights.value(row, 0) as f32));
        }
    }

    #[test]
    fn a_step_follows_the_summed_gradient_of_the_tied_rows() {
        let (shapes, mut latents) = latents(|layer| {
            layer.patterns = (layer.name == "fc3").then_some(2);
        });
        let before = latents.clone();
        let mut gradients = zeros(&shapes);
        gradients.weights[4][0] = 3.0; // row 0, pattern 0
        gradients.weights[4][20] = -1.0; // row 2, pattern 0
        gradients.weights[4][30] = -1.0; // row 3, pattern 1
        latents.step(&gradients, 0.0, &Adam::new(0.125, 1));
        // The first step of Adam is the rate times the sign of the gradient; where the gradient is
        // 0, it is 0.
        let expected: Vec<f32> = (0..20)
            .map(|i| match i {
                0 => -0.125,
                10 => 0.125,
                _ => 0.0,
            })
            .collect();
        let (after, before) = (&latents.matrices, &before.matrices);
        for (i, expected) in expected.into_iter().enumerate() {
            let moved = after[4].latent.values[i] - before[4].latent.values[i];
            assert!((moved - expected).abs() < 1e-6, "{i}: {moved}, not {expected}");
        }
        assert_eq!(after[..4], before[..4]);
    }

    #[test]
    fn latent_weights_are_clipped() {
        let (shapes, mut latents) = latents(|_| ());
        let mut gradients = zeros(&shapes);
        gradients.weights.iter_mut().flatten().for_each(|gradient| *gradient = 1.0);
        latents.step(&gradients, 0.0, &Adam::new(1.0, 1));
        latents.step(&gradients, 0.0, &Adam::new(1.0, 2));
        let mut values = latents.matrices.iter().flat_map(|matrix| &matrix.latent.values);
        assert!(values.all(|&latent| latent == -1.0));
    }

    /// The derivatives by what is learned are differences of offsets and steps.
    #[test]
    fn learned_thresholds_follow_the_chain_rule() {
        let (shapes, mut latents) = latents(|layer| layer.learned_thresholds = true);
        latents.set_shift(2, 5);
        let slopes = &mut latents.slopes[2];
        assert_eq!(slopes.values(false), [[0.0; 120], [32.0; 120]].concat());
        slopes.latent.values[3] = 0.25;
        slopes.latent.values[120 + 7] = -1.0;
        let values = slopes.values(false);
        assert_eq!((values[3], values[120 + 7]), (8.0, 16.0));
        let by_latent = slopes.by_latent(&[1.0; 240]);
        assert_eq!(by_latent[3], 32.0);
        for (channel, step) in [(7, 16.0), (8, 32.0)] {
            assert!((by_latent[120 + channel] - step * std::f32::consts::LN_2).abs() < 1e-5);
        }
        // Thresholds of channel 3 lie at 8 + 32, 8 + 64, 8 + 96; of channel 7 at 16, 32, 48.
        let thresholds = &latents.network_thresholds(&shapes, false)[2];
        assert_eq!(thresholds[9..12], [40, 72, 104]);
        assert_eq!(thresholds[21..24], [16, 32, 48]);
    }

    #[test]
    fn the_running_mean_follows_and_is_what_is_exported() {
        let (shapes, mut latents) = latents(|_| ());
        latents.start_averages();
        assert_eq!(latents.parameters(true), latents.parameters(false));
        let start = latents.matrices[0].latent.values.clone();
        let mut gradients = zeros(&shapes);
        gradients.weights[0].fill(1.0);
        latents.step(&gradients, 0.0, &Adam::new(0.5, 1));
        latents.average(0.75);
        let trained = &latents.matrices[0].latent;
        for (average, start) in trained.average.iter().zip(&start) {
            let expected = start - 0.25 * (start - (start - 0.5).max(-1.0));
            assert!((average - expected).abs() < 1e-6);
        }
        assert_ne!(latents.parameters(true), latents.parameters(false));
    }

    #[test]
    fn frozen_weights_stay_at_their_running_means() {
        let (shapes, mut latents) = latents(|_| ());
        latents.start_averages();
        let mut gradients = zeros(&shapes);
        gradients.weights[..2].iter_mut().flatten().for_each(|gradient| *gradient = 1.0);
        latents.step(&gradients, 0.0, &Adam::new(0.5, 1));
        latents.average(0.75);
        latents.freeze(0);
        let before = latents.clone();
        assert_eq!(before.matrices[0].latent.values, before.matrices[0].latent.average);
        latents.step(&gradients, 0.0, &Adam::new(0.5, 2));
        let draws = Seed(1).site("test/frozen").counter();
        let rule = Rule { bits: 8, rate: 16.0, draws: &draws, step: 0 };
        latents.integer_step(&gradients, &rule);
        latents.average(0.75);
        assert_eq!(latents.matrices[0], before.matrices[0]);
        assert_ne!(latents.matrices[1], before.matrices[1]);
    }

    #[test]
    fn cuts_stay_apart_and_in_range() {
        let (_, mut latents) = latents(|_| ());
        assert_eq!(latents.cuts(false), [64, 128, 192]);
        for (grey, expected) in [
            ([90.2, 30.0, 200.7], [30, 90, 201]),
            ([-5.0, 0.0, 1.0], [1, 2, 3]),
            ([254.0, 300.0, 255.0], [253, 254, 255]),
        ] {
            latents.cuts.latent.values = grey.map(|grey| grey / GREY).to_vec();
            assert_eq!(latents.cuts(false), expected);
        }
    }

    #[test]
    fn learned_cuts_follow_their_derivatives() {
        let (_, mut latents) = latents(|_| ());
        latents.step_cuts(&[1.0, 0.0, -1.0], &Adam::new(0.125, 1));
        assert_eq!(latents.cuts(false), [64, 128, 192]);
        latents.cuts.is_learned = true;
        // The first step of Adam is the rate, in units of 64 grey levels.
        latents.step_cuts(&[1.0, 0.0, -1.0], &Adam::new(0.125, 1));
        assert_eq!(latents.cuts(false), [56, 128, 200]);
    }

    /// Offsets move by whole steps of 1/128 of the layer's power of two.
    #[test]
    fn learned_thresholds_move_in_whole_steps() {
        let (shapes, mut latents) = latents(|layer| layer.learned_thresholds = true);
        latents.set_shift(2, 5);
        let mut gradients = zeros(&shapes);
        gradients.slopes[2][3] = 1.0;
        let draws = Seed(1).site("test/rule").counter();
        let rule = Rule { bits: 8, rate: 16.0, draws: &draws, step: 0 };
        latents.integer_step(&gradients, &rule);
        let (offsets, steps) = (&latents.slopes[2].values(false)[..120], 32.0);
        assert_eq!(offsets[3], -16.0 / 128.0 * steps);
        assert!(offsets.iter().enumerate().all(|(channel, &o)| channel == 3 || o == 0.0));
    }

    #[test]
    fn gathered_rows_share_patterns() {
        let (_, mut latents) = latents(|layer| {
            if layer.name == "fc1" {
                (layer.patterns, layer.tie) = (Some(64), Tie::Learned);
            }
        });
        let distinct_rows = |latents: &Latents| {
            let values = &latents.parameters(false).weights[2];
            let rows =
                values.chunks(120).map(|row| row.iter().map(|&w| w > 0.0).collect::<Vec<_>>());
            rows.collect::<std::collections::HashSet<_>>().len()
        };
        assert_eq!(distinct_rows(&latents), 400);
        latents.gather(2, 64, Seed(3));
        assert!(distinct_rows(&latents) <= 64);
    }

    #[test]
    fn the_rate_falls_to_nothing() {
        assert_eq!(cosine(0.5, 0, 10), 0.5);
        assert!((cosine(0.5, 5, 10) - 0.25).abs() < 1e-15);
        assert_eq!(cosine(0.5, 10, 10), 0.0);
    }
}
