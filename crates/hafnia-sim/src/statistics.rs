//! What may be said of an [`Evaluation`]; the intervals themselves are those of `hafnia_stats`.

use hafnia_stats::{Bootstrap, Interval, drop_points, mean_sd, wilson};
use serde::{Deserialize, Serialize};

use crate::evaluate::Evaluation;

/// What is said of one evaluation. Shares are of 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Number of chips, or of repetitions.
    pub chips: usize,
    /// Number of images.
    pub images: usize,
    /// Accuracy without noise ([`wilson`]).
    pub exact_accuracy: Interval,
    /// Mean accuracy over chips ([`Evaluation::accuracy`]).
    pub accuracy: Interval,
    /// Standard deviation of the accuracy from chip to chip.
    pub accuracy_sd: f64,
    /// Accuracy of the worst chip.
    pub accuracy_worst: f64,
    /// Exact accuracy minus mean accuracy ([`drop_points`]).
    pub drop_points: Interval,
}

impl Summary {
    /// The summary of an evaluation.
    pub fn of(evaluation: &Evaluation, bootstrap: Bootstrap) -> Self {
        let accuracies = evaluation.accuracies();
        Self {
            chips: evaluation.chips(),
            images: evaluation.images(),
            exact_accuracy: wilson(evaluation.exact_correct_count(), evaluation.images()),
            accuracy: evaluation.accuracy(),
            accuracy_sd: mean_sd(&accuracies).sd,
            accuracy_worst: accuracies.iter().copied().fold(f64::INFINITY, f64::min),
            drop_points: drop_points(evaluation.outcomes(), bootstrap),
        }
    }
}

/// The yield: the share of chips that are right on at least this share of the images ([`wilson`]
/// over chips).
pub fn yield_at(evaluation: &Evaluation, accuracy: f64) -> Interval {
    // In whole images, so that a chip exactly at the threshold counts whatever the rounding.
    let needed = (accuracy * evaluation.images() as f64 - 1e-9).ceil() as i64;
    let right = |images: &Vec<u32>| {
        let lost: i64 =
            images.iter().map(|&image| i64::from(evaluation.outcomes().loss(image))).sum();
        evaluation.exact_correct_count() as i64 - lost
    };
    let chips = evaluation.outcomes().differences.iter();
    let good = chips.filter(|images| right(images) >= needed).count();
    wilson(good, evaluation.chips())
}

#[cfg(test)]
mod tests {
    use hafnia_rng::Seed;

    use super::*;
    use crate::evaluate::{EngineKind, Nearness};

    /// An evaluation where the noiseless network is right on all but every tenth image.
    fn evaluation(images: u32, differences: Vec<Vec<u32>>) -> Evaluation {
        Evaluation {
            engine: EngineKind::Device,
            exact_correct: (0..images).map(|image| image % 10 != 9).collect(),
            differences,
            events: Vec::new(),
            nearness: Nearness::default(),
            is_lossy: false,
            chips_differ: true,
        }
    }

    const BOOTSTRAP: Bootstrap = Bootstrap { replicates: 400, seed: Seed(1) };

    fn close(found: f64, expected: f64, within: f64) {
        assert!((found - expected).abs() <= within, "{found}, not {expected} within {within}");
    }

    #[test]
    fn differences_count_by_what_is_right_without_noise() {
        // Chip 0 loses two images; chip 1 loses one and wins image 9.
        let evaluation = evaluation(20, vec![vec![0, 1], vec![3, 9]]);
        assert_eq!(evaluation.drops(), [0.1, 0.0]);
        close(evaluation.accuracies()[0], 0.8, 1e-12);
        close(drop_points(evaluation.outcomes(), BOOTSTRAP).value, 5.0, 1e-12);
    }

    #[test]
    fn chips_that_nothing_tells_apart_are_one() {
        let copies = evaluation(20, vec![vec![0]; 5]);
        let one = Evaluation { chips_differ: false, ..copies.clone() };
        assert_eq!((copies.chips(), one.chips(), one.runs()), (5, 1, 100));
        let summary = Summary::of(&one, BOOTSTRAP);
        assert_eq!((summary.chips, summary.accuracy.lo, summary.accuracy.hi), (1, 0.0, 1.0));
        assert_eq!(yield_at(&one, 0.8), wilson(1, 1));
        // Chips that differ and happen to agree leave a doubt.
        let summary = Summary::of(&copies, BOOTSTRAP);
        assert!(summary.accuracy.lo < summary.accuracy.value);
    }

    #[test]
    fn a_summary_and_the_yield_count_chips() {
        // Of 20 images 18 are right without noise; the chips get 16, 18 and 19.
        let evaluation = evaluation(20, vec![vec![0, 1], vec![3, 9], vec![19]]);
        let summary = Summary::of(&evaluation, BOOTSTRAP);
        close(summary.accuracy.value, (16.0 + 18.0 + 19.0) / 60.0, 1e-12);
        close(summary.accuracy_worst, 0.8, 1e-12);
        assert_eq!((summary.chips, summary.images), (3, 20));
        for (accuracy, good) in [(0.0, 3), (0.8, 3), (0.801, 2), (0.9, 2), (0.95, 1), (0.96, 0)] {
            assert_eq!(yield_at(&evaluation, accuracy), wilson(good, 3), "at {accuracy}");
        }
    }
}
