//! What may be said of an evaluation: intervals, drops, reductions, percentiles.
//!
//! All intervals are at 95 %. Accuracies are shares of 1, drops and differences are in percentage
//! points. What depends on chips and on images at once (a drop, a reduction) is given a crossed
//! bootstrap: every replicate draws as many chips as there are and, independently, as many images,
//! both with replacement (Owen, *The pigeonhole bootstrap*, Ann. Appl. Stat. 2007), and the
//! interval lies between the 2.5 % and the 97.5 % percentile of the replicates.

use hafnia_rng::Seed;
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Evaluation, SimError};

/// The 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// A value with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The value.
    pub value: f64,
    /// The lower end.
    pub lo: f64,
    /// The upper end.
    pub hi: f64,
}

/// Mean and standard deviation of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeanSd {
    /// Mean.
    pub mean: f64,
    /// Standard deviation, with n − 1 below; 0 for a single value.
    pub sd: f64,
}

/// How a bootstrap is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bootstrap {
    /// Replicates; 2 000 where nothing speaks against it.
    pub replicates: u32,
    /// Where its draws come from.
    pub seed: Seed,
}

/// How much of the drop of a natural order another mapping saves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reduction {
    /// 1 − drop / natural drop, the bootstrap being on the ratio itself.
    ///
    /// A replicate whose natural drop is not above 0 has no ratio: it counts as −∞ at the lower and
    /// as +∞ at the upper end. The value is NaN if the natural drop itself is not above 0.
    pub rel: Interval,
    /// Natural drop − drop, in percentage points.
    pub points: Interval,
    /// Correlation of the two drops from chip to chip, which is what pairing by chip gains from;
    /// none if one of them does not vary.
    pub correlation: Option<f64>,
    /// Replicates without a ratio.
    pub undefined: u32,
}

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
    /// Mean accuracy over chips ([`mean_over_chips`]).
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
            accuracy: mean_over_chips(&accuracies),
            accuracy_sd: mean_sd(&accuracies).sd,
            accuracy_worst: accuracies.iter().copied().fold(f64::INFINITY, f64::min),
            drop_points: drop_points(evaluation, bootstrap),
        }
    }
}

/// The yield: the share of chips that are right on at least this share of the images ([`wilson`]
/// over chips).
pub fn yield_at(evaluation: &Evaluation, accuracy: f64) -> Interval {
    // In whole images, so that a chip exactly at the threshold counts whatever the rounding.
    let needed = (accuracy * evaluation.images() as f64 - 1e-9).ceil() as i64;
    let right = |images: &Vec<u32>| {
        let lost: i64 = images.iter().map(|&image| i64::from(evaluation.loss(image))).sum();
        evaluation.exact_correct_count() as i64 - lost
    };
    let good = evaluation.differences.iter().filter(|images| right(images) >= needed).count();
    wilson(good, evaluation.chips())
}

/// The share of `correct` among `n`, with Wilson's score interval (1927).
///
/// # Panics
/// If `n` is 0 or `correct` is over `n`.
pub fn wilson(correct: usize, n: usize) -> Interval {
    assert!(0 < n && correct <= n, "{correct} of {n}");
    let n = n as f64;
    let value = correct as f64 / n;
    let middle = (value + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let reach = Z / (1.0 + Z * Z / n) * (value * (1.0 - value) / n + Z * Z / (4.0 * n * n)).sqrt();
    // At 0 and at n one end is the value itself, but for rounding.
    Interval {
        value,
        lo: (middle - reach).max(0.0).min(value),
        hi: (middle + reach).min(1.0).max(value),
    }
}

/// Mean and standard deviation.
///
/// # Panics
/// If there are no values.
pub fn mean_sd(values: &[f64]) -> MeanSd {
    assert!(!values.is_empty(), "no values");
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    let sd = if values.len() == 1 { 0.0 } else { (squares / (n - 1.0)).sqrt() };
    MeanSd { mean, sd }
}

/// The mean of one value a chip (or a seed), with Student's interval: how far another choice of
/// chips would move it, the images staying the same. Unbounded for a single chip.
///
/// # Panics
/// If there are no values.
pub fn mean_over_chips(values: &[f64]) -> Interval {
    let MeanSd { mean, sd } = mean_sd(values);
    let reach = match values.len() {
        1 => f64::INFINITY,
        n => student(n - 1) * sd / (n as f64).sqrt(),
    };
    Interval { value: mean, lo: mean - reach, hi: mean + reach }
}

/// The 97.5 % quantile of Student's t, right to 3e-4.
fn student(degrees_of_freedom: usize) -> f64 {
    // Abramowitz and Stegun, table 26.10, with more digits.
    const FEW: [f64; 9] =
        [12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.30600, 2.26216];
    if let Some(&quantile) = FEW.get(degrees_of_freedom - 1) {
        return quantile;
    }
    // Fisher's expansion, Abramowitz and Stegun 26.7.5.
    let (v, z2) = (degrees_of_freedom as f64, Z * Z);
    Z + Z * (z2 + 1.0) / (4.0 * v)
        + Z * ((5.0 * z2 + 16.0) * z2 + 3.0) / (96.0 * v * v)
        + Z * (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / (384.0 * v * v * v)
}

/// Noise impact: exact accuracy − mean accuracy over chips, in percentage points, with the interval
/// of the crossed bootstrap.
pub fn drop_points(evaluation: &Evaluation, bootstrap: Bootstrap) -> Interval {
    let replicates = resample([evaluation], bootstrap).into_iter().map(|[drop]| drop).collect();
    percentile_interval(mean_sd(&evaluation.drops()).mean * 100.0, replicates)
}

/// How much of the drop of `natural` the mapping of `other` saves. Chips and images of a replicate
/// are the same for both.
///
/// # Errors
/// If the two differ in chips or in images.
pub fn reduction(
    natural: &Evaluation,
    other: &Evaluation,
    bootstrap: Bootstrap,
) -> Result<Reduction, SimError> {
    if natural.chips() != other.chips() {
        return Err(SimError::Unpaired { what: "number of chips" });
    }
    if natural.exact_correct != other.exact_correct {
        return Err(SimError::Unpaired { what: "images, or in what is right without noise" });
    }
    let drops = [natural.drops(), other.drops()];
    let [mean, other_mean] = [&drops[0], &drops[1]].map(|drops| mean_sd(drops).mean * 100.0);
    let replicates = resample([natural, other], bootstrap);
    let ratio = |natural: f64, other: f64| (natural > 0.0).then(|| 1.0 - other / natural);
    let ratios = replicates.iter().map(|&[natural, other]| ratio(natural, other));
    let ends = |undefined: f64| {
        percentile_interval(
            ratio(mean, other_mean).unwrap_or(f64::NAN),
            ratios.clone().map(|ratio| ratio.unwrap_or(undefined)).collect(),
        )
    };
    let rel = Interval { lo: ends(f64::NEG_INFINITY).lo, ..ends(f64::INFINITY) };
    let undefined = ratios.clone().filter(Option::is_none).count() as u32;
    let saved = replicates.iter().map(|[natural, other]| natural - other).collect();
    let points = percentile_interval(mean - other_mean, saved);
    Ok(Reduction { rel, points, correlation: correlation(&drops[0], &drops[1]), undefined })
}

/// The drops, in percentage points, of every replicate of a crossed bootstrap; chips and images of
/// a replicate are drawn once for all evaluations, which have the same numbers of both.
///
/// Only images on which some chip differs count. Images being exchangeable, they are taken to be
/// the first of all: a draw beyond them is of an image on which nothing happens.
fn resample<const N: usize>(evaluations: [&Evaluation; N], bootstrap: Bootstrap) -> Vec<[f64; N]> {
    let (chips, images) = (evaluations[0].chips(), evaluations[0].images());
    let mut slots = vec![u32::MAX; images];
    let mut used = 0u32;
    // Per evaluation and chip: (slot, loss) of its differences.
    let lost = evaluations.map(|evaluation| {
        let chip = |images: &Vec<u32>| {
            let slot = |&image: &u32| {
                let slot = &mut slots[image as usize];
                if *slot == u32::MAX {
                    *slot = used;
                    used += 1;
                }
                (*slot, evaluation.loss(image))
            };
            images.iter().map(slot).collect::<Vec<(u32, i32)>>()
        };
        evaluation.differences.iter().map(chip).collect::<Vec<_>>()
    });
    let replicate = |index: u32| {
        let rng = &mut bootstrap.seed.site("statistics/bootstrap").index(u64::from(index)).rng();
        let mut times_chip = vec![0; chips];
        for _ in 0..chips {
            times_chip[rng.random_range(0..chips as u32) as usize] += 1;
        }
        let mut times_image = vec![0; used as usize];
        for _ in 0..images {
            let image = rng.random_range(0..images as u32);
            if let Some(times) = times_image.get_mut(image as usize) {
                *times += 1;
            }
        }
        let drop = |lost: &Vec<Vec<(u32, i32)>>| {
            let mut sum = 0i64;
            for (lost, &times) in lost.iter().zip(&times_chip) {
                if times > 0 {
                    let of_chip =
                        lost.iter().map(|&(slot, loss)| times_image[slot as usize] * loss);
                    sum += i64::from(of_chip.sum::<i32>()) * times;
                }
            }
            100.0 * sum as f64 / (chips * images) as f64
        };
        lost.each_ref().map(drop)
    };
    (0..bootstrap.replicates).into_par_iter().map(replicate).collect()
}

/// The interval that leaves 2.5 % of the replicates out at each end; it is a point, the value, if
/// there are no replicates.
fn percentile_interval(value: f64, mut replicates: Vec<f64>) -> Interval {
    replicates.sort_by(f64::total_cmp);
    let Some(last) = replicates.len().checked_sub(1) else {
        return Interval { value, lo: value, hi: value };
    };
    let out = (replicates.len() as f64 * 0.025).floor() as usize;
    Interval { value, lo: replicates[out], hi: replicates[last - out] }
}

/// Pearson's correlation; none if one side does not vary.
fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let (mean_a, mean_b) = (mean_sd(a).mean, mean_sd(b).mean);
    let products = |x: &[f64], mean_x: f64, y: &[f64], mean_y: f64| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum()
    };
    let scale = (products(a, mean_a, a, mean_a) * products(b, mean_b, b, mean_b)).sqrt();
    (scale > 0.0).then(|| products(a, mean_a, b, mean_b) / scale)
}

/// Where `value` stands in `population`, in percent: those below, and half of its equals.
///
/// # Panics
/// If there is no population.
pub fn percentile(value: f64, population: &[f64]) -> f64 {
    assert!(!population.is_empty(), "no population");
    let below = population.iter().filter(|&&other| other < value).count();
    let equal = population.iter().filter(|&&other| other == value).count();
    (below as f64 + 0.5 * equal as f64) * 100.0 / population.len() as f64
}

/// Accuracy of a − accuracy of b on the same images, in percentage points, with Wald's interval of
/// matched pairs as adjusted by Agresti and Min (Statistics in Medicine 2005): half an image is
/// added to each of the four cells.
///
/// # Errors
/// If the two differ in the number of images, or there are none.
pub fn paired_difference(a_correct: &[bool], b_correct: &[bool]) -> Result<Interval, SimError> {
    if a_correct.is_empty() {
        return Err(SimError::NoImages);
    }
    if a_correct.len() != b_correct.len() {
        return Err(SimError::Unpaired { what: "number of images" });
    }
    let only = |a: bool| {
        let pairs = a_correct.iter().zip(b_correct);
        pairs.filter(|&(&in_a, &in_b)| in_a == a && in_b != a).count() as f64
    };
    let (n, only_a, only_b) = (a_correct.len() as f64, only(true), only(false));
    let padded = n + 2.0;
    let middle = (only_a - only_b) / padded;
    let variance = ((only_a + only_b + 1.0) / padded - middle * middle) / padded;
    let reach = Z * variance.sqrt();
    Ok(Interval {
        value: 100.0 * (only_a - only_b) / n,
        lo: 100.0 * (middle - reach),
        hi: 100.0 * (middle + reach),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EngineKind, SimError};

    /// An evaluation where the noiseless network is right on all but every tenth image.
    fn evaluation(images: u32, differences: Vec<Vec<u32>>) -> Evaluation {
        Evaluation {
            engine: EngineKind::Device,
            exact_correct: (0..images).map(|image| image % 10 != 9).collect(),
            differences,
            events: Vec::new(),
            is_lossy: false,
        }
    }

    /// Chips that differ on each image with a probability that depends on both.
    fn drawn(images: u32, chips: u64, share: f64, seed: Seed) -> Evaluation {
        let chip = |chip| {
            let rng = &mut seed.index(chip).rng();
            let share = share * rng.random_range(0.5..1.5);
            (0..images).filter(|image| image % 10 != 9 && rng.random_bool(share)).collect()
        };
        evaluation(images, (0..chips).map(chip).collect())
    }

    const BOOTSTRAP: Bootstrap = Bootstrap { replicates: 400, seed: Seed(1) };

    fn close(found: f64, expected: f64, within: f64) {
        assert!((found - expected).abs() <= within, "{found}, not {expected} within {within}");
    }

    #[test]
    fn wilson_meets_published_values() {
        // Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        for (correct, n, lo, hi) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let interval = wilson(correct, n);
            close(interval.lo, lo, 5e-5);
            close(interval.hi, hi, 5e-5);
        }
        assert_eq!(wilson(20, 20).hi, 1.0);
    }

    #[test]
    fn student_meets_the_table() {
        // Abramowitz and Stegun, table 26.10, to the digits it has.
        for (v, t) in [(1, 12.706), (4, 2.776), (10, 2.228), (20, 2.086), (40, 2.021), (120, 1.980)]
        {
            close(student(v), t, 3e-4 + 5e-4);
        }
    }

    #[test]
    fn means_and_percentiles() {
        assert_eq!(mean_sd(&[1.0, 2.0, 3.0]), MeanSd { mean: 2.0, sd: 1.0 });
        assert_eq!(mean_sd(&[5.0]), MeanSd { mean: 5.0, sd: 0.0 });
        let interval = mean_over_chips(&[1.0, 2.0, 3.0]);
        close(interval.hi - 2.0, 4.30265 / 3.0f64.sqrt(), 1e-9);
        assert_eq!(mean_over_chips(&[1.0]).hi, f64::INFINITY);
        assert_eq!(percentile(2.0, &[1.0, 2.0, 3.0, 4.0]), 37.5);
        assert_eq!(percentile(0.0, &[1.0, 2.0]), 0.0);
    }

    #[test]
    fn differences_count_by_what_is_right_without_noise() {
        // Chip 0 loses two images; chip 1 loses one and wins image 9.
        let evaluation = evaluation(20, vec![vec![0, 1], vec![3, 9]]);
        assert_eq!(evaluation.drops(), [0.1, 0.0]);
        close(evaluation.accuracies()[0], 0.8, 1e-12);
        close(drop_points(&evaluation, BOOTSTRAP).value, 5.0, 1e-12);
    }

    #[test]
    fn without_differences_there_is_no_drop_and_no_ratio() {
        let none = evaluation(20, vec![Vec::new(); 3]);
        // Not −0, which would be printed with its sign.
        assert!(none.drops().iter().all(|drop| drop.is_sign_positive()));
        let drop = drop_points(&none, BOOTSTRAP);
        assert_eq!((drop.value, drop.lo, drop.hi), (0.0, 0.0, 0.0));
        let reduction = reduction(&none, &none, BOOTSTRAP).expect("paired");
        assert!(reduction.rel.value.is_nan());
        assert_eq!(reduction.undefined, BOOTSTRAP.replicates);
        assert_eq!((reduction.rel.lo, reduction.rel.hi), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(reduction.correlation, None);
    }

    /// A mapping that takes every second difference away halves the drop.
    #[test]
    fn a_halved_drop_is_a_reduction_by_half() {
        let natural = drawn(2_000, 20, 0.02, Seed(5));
        let half = |images: &Vec<u32>| images.iter().copied().step_by(2).collect();
        let other = Evaluation {
            differences: natural.differences.iter().map(half).collect(),
            ..natural.clone()
        };
        let reduction = reduction(&natural, &other, BOOTSTRAP).expect("paired");
        // Some 780 differences; taking each second leaves half but for one a chip at most.
        close(reduction.rel.value, 0.5, 20.0 / 780.0);
        assert!(reduction.rel.lo < reduction.rel.value && reduction.rel.value < reduction.rel.hi);
        // Unpaired, the ratio alone would have a relative error of √(1/780 + 1/390) = 6 % or more,
        // an interval of ±0.06; sharing all differences it must do better.
        assert!(reduction.rel.hi - reduction.rel.lo < 0.12, "{:?}", reduction.rel);
        assert!(reduction.correlation.expect("both vary") > 0.9);
        let drop = drop_points(&natural, BOOTSTRAP);
        close(reduction.points.value, drop.value * reduction.rel.value, 1e-9);
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

    /// The interval of a drop covers the truth about as often as it says.
    #[test]
    fn drop_intervals_cover() {
        let (trials, share) = (60, 0.05);
        let truth = 100.0 * share * 0.9;
        let bootstrap = Bootstrap { replicates: 200, seed: Seed(2) };
        let covered = (0..trials).filter(|&trial| {
            let interval = drop_points(&drawn(300, 20, share, Seed(100 + trial)), bootstrap);
            interval.lo <= truth && truth <= interval.hi
        });
        // The pigeonhole bootstrap errs to the wide side, with 20 chips and 200 replicates a
        // percentile interval to the narrow: allow a coverage of 90 % and, below that, three
        // standard deviations of 60 trials: 54 − 3·√(60·0.9·0.1) = 47.
        let covered = covered.count();
        assert!(covered >= 47, "{covered} of {trials}");
    }

    #[test]
    fn replicates_do_not_depend_on_threads() {
        let evaluation = drawn(500, 10, 0.05, Seed(3));
        let on = |threads| {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| drop_points(&evaluation, BOOTSTRAP))
        };
        assert_eq!(on(1), on(2));
    }

    #[test]
    fn what_is_not_paired_is_refused() {
        let a = evaluation(20, vec![Vec::new(); 2]);
        let unpaired =
            |b: &Evaluation| matches!(reduction(&a, b, BOOTSTRAP), Err(SimError::Unpaired { .. }));
        assert!(unpaired(&evaluation(20, vec![Vec::new(); 3])));
        assert!(unpaired(&evaluation(21, vec![Vec::new(); 2])));
        assert!(matches!(
            paired_difference(&[true], &[true, false]),
            Err(SimError::Unpaired { .. })
        ));
        assert!(matches!(paired_difference(&[], &[]), Err(SimError::NoImages)));
    }

    #[test]
    fn a_paired_difference_rests_on_what_differs() {
        // 10 images only a has right, 4 only b, 86 both: 6 points. Adjusted: middle 6/102 = .0588,
        // variance (15/102 − .0588²)/102 = .001408, reach 1.96·.03752 = .0735.
        let a: Vec<bool> = (0..100).map(|image| image >= 4).collect();
        let b: Vec<bool> = (0..100).map(|image| image < 90).collect();
        let interval = paired_difference(&a, &b).expect("paired");
        close(interval.value, 6.0, 1e-9);
        close(interval.lo, 5.88 - 7.35, 0.01);
        close(interval.hi, 5.88 + 7.35, 0.01);
    }
}
