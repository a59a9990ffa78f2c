//! Latent weights, their signs, and Adam.
//!
//! The latent weights and all that Adam knows are plain vectors outside burn: a step clips them
//! where they are, a checkpoint keeps them bit for bit, and the straight-through estimator of the
//! sign needs no operation at all. The latent weights never leave \[−1, 1\], where the gradient
//! passes whole: that of a ±1 is used as that of its latent weight.

use hafnia_bits::BitMatrix;
use hafnia_rng::Seed;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::TrainConfig;
use crate::lenet::{MATRICES, PerMatrix};

/// Latent weights start uniformly in ± this.
const START: f32 = 0.6;

/// The weights of all matrices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Weights {
    matrices: PerMatrix<Parameters>,
}

impl Weights {
    pub(crate) fn start(config: &TrainConfig) -> Self {
        let seed = Seed(config.seed).site("train/start");
        let matrices = std::array::from_fn(|matrix| {
            let shape = MATRICES[matrix];
            let is_last = matrix + 1 == MATRICES.len();
            let patterns = config.final_patterns.filter(|_| is_last).unwrap_or(shape.rows);
            let mut rng = seed.index(matrix as u64).rng();
            let count = patterns * shape.columns;
            Parameters::new((0..count).map(|_| rng.random_range(-START..START)).collect())
        });
        Self { matrices }
    }

    /// The weights ±1 of every matrix, ties written out.
    pub(crate) fn signs(&self) -> PerMatrix<Vec<f32>> {
        std::array::from_fn(|matrix| {
            let latent = &self.matrices[matrix].values;
            let elements = MATRICES[matrix].rows * MATRICES[matrix].columns;
            // Rows recur in order, and so do elements.
            let sign = |&latent: &f32| if is_positive(latent) { 1.0 } else { -1.0 };
            latent.iter().map(sign).cycle().take(elements).collect()
        })
    }

    /// The weights as bits: 1 is +1.
    pub(crate) fn bits(&self) -> PerMatrix<BitMatrix> {
        std::array::from_fn(|matrix| {
            let (latent, shape) = (&self.matrices[matrix].values, MATRICES[matrix]);
            BitMatrix::from_fn(shape.rows, shape.columns, |row, column| {
                is_positive(latent[(row * shape.columns + column) % latent.len()])
            })
        })
    }

    /// Makes a step of Adam against the derivatives by the signs, and clips.
    pub(crate) fn step(&mut self, gradients: &PerMatrix<Vec<f32>>, adam: &Adam) {
        for (matrix, gradients) in self.matrices.iter_mut().zip(gradients) {
            let mut folded = vec![0.0; matrix.values.len()];
            for row in gradients.chunks(folded.len()) {
                folded.iter_mut().zip(row).for_each(|(sum, gradient)| *sum += gradient);
            }
            matrix.step(&folded, adam);
            matrix.values.iter_mut().for_each(|latent| *latent = latent.clamp(-1.0, 1.0));
        }
    }
}

/// The sign of 0 is +1.
fn is_positive(latent: f32) -> bool {
    latent >= 0.0
}

/// Numbers that are trained, with Adam's moments of their gradients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parameters {
    pub(crate) values: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
}

impl Parameters {
    pub(crate) fn new(values: Vec<f32>) -> Self {
        let zeros = vec![0.0; values.len()];
        Self { values, mean: zeros.clone(), square: zeros }
    }

    pub(crate) fn step(&mut self, gradients: &[f32], adam: &Adam) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tied_rows_recur() {
        let config = TrainConfig { final_patterns: Some(12), ..TrainConfig::default() };
        let weights = Weights::start(&config);
        let [.., bits] = weights.bits();
        let [.., signs] = weights.signs();
        for row in 0..84 {
            assert_eq!(bits.row(row), bits.row(row % 12));
            for column in 0..10 {
                let sign = if bits.get(row, column) { 1.0 } else { -1.0 };
                assert_eq!(signs[row * 10 + column], sign);
            }
        }
    }

    #[test]
    fn a_step_follows_the_summed_gradient_of_the_tied_rows() {
        let config = TrainConfig { final_patterns: Some(2), ..TrainConfig::default() };
        let mut weights = Weights::start(&config);
        let before = weights.clone();
        let mut gradients = MATRICES.map(|shape| vec![0.0; shape.rows * shape.columns]);
        gradients[4][0] = 3.0; // row 0, pattern 0
        gradients[4][20] = -1.0; // row 2, pattern 0
        gradients[4][30] = -1.0; // row 3, pattern 1
        weights.step(&gradients, &Adam::new(0.125, 1));
        // The first step of Adam is the rate times the sign of the gradient; where the gradient is
        // 0, it is 0.
        let expected: Vec<f32> = (0..20)
            .map(|i| match i {
                0 => -0.125,
                10 => 0.125,
                _ => 0.0,
            })
            .collect();
        for (i, expected) in expected.into_iter().enumerate() {
            let moved = weights.matrices[4].values[i] - before.matrices[4].values[i];
            assert!((moved - expected).abs() < 1e-6, "{i}: {moved}, not {expected}");
        }
        assert_eq!(weights.matrices[..4], before.matrices[..4]);
    }

    #[test]
    fn latent_weights_are_clipped() {
        let mut weights = Weights::start(&TrainConfig::default());
        let gradients = MATRICES.map(|shape| vec![1.0; shape.rows * shape.columns]);
        weights.step(&gradients, &Adam::new(1.0, 1));
        weights.step(&gradients, &Adam::new(1.0, 2));
        let latent = weights.matrices.iter().flat_map(|matrix| &matrix.values);
        assert!(latent.copied().all(|latent| latent == -1.0));
    }
}
