//! Intervals of textbooks: shares, means, paired differences, ratios of means.

use serde::{Deserialize, Serialize};

use crate::error::StatsError;
use crate::interval::Interval;

/// The 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Mean and standard deviation of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeanSd {
    /// Mean.
    pub mean: f64,
    /// Standard deviation, with n − 1 below; 0 for a single value.
    pub sd: f64,
}

/// The share of `correct` among `n`, with Wilson's score interval (1927).
///
/// # Panics
/// If `n` is 0 or `correct` is over `n`.
pub fn wilson(correct: usize, n: usize) -> Interval {
    assert!(0 < n && correct <= n, "{correct} of {n}");
    score(correct as f64 / n as f64, n)
}

/// Wilson's interval of a share among `n`.
fn score(value: f64, n: usize) -> Interval {
    let n = n as f64;
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

/// The mean of one value per chip, seed or network, with Student's interval: how far another choice
/// of them would move it, all else staying the same. Open for a single value.
///
/// # Panics
/// If there are no values.
pub fn student_mean(values: &[f64]) -> Interval {
    let MeanSd { mean, sd } = mean_sd(values);
    Interval::around(mean, student(values.len()) * sd / (values.len() as f64).sqrt())
}

/// The mean accuracy of chips, each shown this many images, as shares of 1, with Student's interval
/// over chips: how far other chips would move it, the images staying the same.
///
/// An accuracy comes in steps of one image, so the deviation from chip to chip is taken to be a step
/// at least: chips that happen to agree do not say that all do. The interval is cut at 0 and at 1,
/// where the truth cannot lie beyond; of a single chip it is that whole range.
///
/// # Panics
/// If there are no chips.
pub fn mean_accuracy(accuracies: &[f64], images: usize) -> Interval {
    let MeanSd { mean, sd } = mean_sd(accuracies);
    let sd = sd.max(1.0 / images.max(1) as f64);
    let reach = student(accuracies.len()) * sd / (accuracies.len() as f64).sqrt();
    Interval::around(mean, reach).within(0.0, 1.0)
}

/// A mean accuracy with its interval over chips, as it is over chips and images: how far other chips
/// and other images would move it.
///
/// Wilson's interval of this share of the images and the one over chips reach to either side as far
/// as the root of the sum of squares (Zou and Donner, Stat. Med. 27, 2008), cut at 0 and at 1.
///
/// # Panics
/// If there are no images.
pub fn accuracy_over_images(over_chips: Interval, images: usize) -> Interval {
    assert!(images > 0, "no images");
    let Interval { value, lo, hi } = over_chips;
    let share = score(value, images);
    let reach = |a: f64, b: f64| (a * a + b * b).sqrt();
    let ends = [reach(value - lo, value - share.lo), reach(hi - value, share.hi - value)];
    Interval { value, lo: value - ends[0], hi: value + ends[1] }.within(0.0, 1.0)
}

/// The ratio of two means over pairs, Σ above / Σ below, with the interval of its linearisation
/// (delta method) and Student's t over the pairs. Open for a single pair, none if the sum below is
/// not above 0.
///
/// # Panics
/// If the two differ in length or there are no pairs.
pub fn ratio_of_means(above: &[f64], below: &[f64]) -> Option<Interval> {
    assert_eq!(above.len(), below.len(), "pairs");
    let sum: f64 = below.iter().sum();
    if sum <= 0.0 {
        return None;
    }
    let ratio = above.iter().sum::<f64>() / sum;
    let scale = above.len() as f64 / sum;
    // The residuals have mean 0; their spread is that of the ratio.
    let residuals: Vec<f64> =
        above.iter().zip(below).map(|(above, below)| scale * (above - ratio * below)).collect();
    let around = student_mean(&residuals);
    Some(Interval::around(ratio, around.hi - around.value))
}

/// The 97.5 % quantile of Student's t for the mean of so many values, n − 1 degrees of freedom;
/// infinite for a single value.
///
/// From the finite series of the distribution function (Abramowitz and Stegun 26.7.3 and 26.7.4),
/// inverted by bisection; right to 1e-10 of itself.
///
/// # Panics
/// If `values` is 0.
pub fn student(values: usize) -> f64 {
    /// From here on the series is long and Fisher's expansion right to 1e-12.
    const MANY: usize = 2000;
    assert!(values > 0, "no values");
    let freedom = values - 1;
    match freedom {
        0 => f64::INFINITY,
        1..MANY => {
            let (mut low, mut high) = (0.0, std::f64::consts::FRAC_PI_2);
            for _ in 0..60 {
                let middle = 0.5 * (low + high);
                if within(middle, freedom) < 0.95 { low = middle } else { high = middle }
            }
            (freedom as f64).sqrt() * libm::tan(low)
        }
        MANY.. => {
            // Abramowitz and Stegun 26.7.5.
            let (v, z2) = (freedom as f64, Z * Z);
            Z + Z * (z2 + 1.0) / (4.0 * v)
                + Z * ((5.0 * z2 + 16.0) * z2 + 3.0) / (96.0 * v * v)
                + Z * (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / (384.0 * v * v * v)
        }
    }
}

/// The probability that Student's t lies within ±√freedom · tan(angle).
fn within(angle: f64, freedom: usize) -> f64 {
    let (sin, cos) = (libm::sin(angle), libm::cos(angle));
    let is_odd = freedom % 2 == 1;
    // Odd: cos + 2/3 cos³ + …; even: 1 + 1/2 cos² + …; both up to cos^(freedom − 2).
    let mut term = if is_odd { cos } else { 1.0 };
    let mut power = usize::from(is_odd);
    let mut sum = 0.0;
    while power + 2 <= freedom {
        sum += term;
        term *= cos * cos * (power + 1) as f64 / (power + 2) as f64;
        power += 2;
    }
    match is_odd {
        true => std::f64::consts::FRAC_2_PI * (angle + sin * sum),
        false => sin * sum,
    }
}

/// Pearson's correlation; none if one side does not vary.
///
/// # Panics
/// If there are no values.
pub fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
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
pub fn paired_difference(a_correct: &[bool], b_correct: &[bool]) -> Result<Interval, StatsError> {
    if a_correct.is_empty() {
        return Err(StatsError::NoImages);
    }
    if a_correct.len() != b_correct.len() {
        return Err(StatsError::Unpaired { what: "number of images" });
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
    let value = 100.0 * (only_a - only_b) / n;
    let (lo, hi) = (100.0 * (middle - reach), 100.0 * (middle + reach));
    Ok(Interval::holding(value, lo, hi).within(-100.0, 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64, within: f64) {
        assert!((found - expected).abs() <= within, "{found}, not {expected} within {within}");
    }

    #[test]
    fn over_chips_and_images_is_at_least_over_either() {
        let chips = mean_accuracy(&[0.9, 0.92, 0.94], 50);
        let both = accuracy_over_images(chips, 50);
        let images = wilson(46, 50);
        assert!(both.lo < chips.lo.min(images.lo) && both.hi > chips.hi.min(images.hi));
        // Chips that do not differ leave Wilson's interval, and none beyond the range.
        assert_eq!(accuracy_over_images(Interval::exact(0.92), 50), images);
        assert_eq!(accuracy_over_images(mean_accuracy(&[1.0, 1.0], 9), 9).hi, 1.0);
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
    fn student_meets_the_table_for_any_number_of_values() {
        assert_eq!(student(1), f64::INFINITY);
        // Abramowitz and Stegun, table 26.10.
        for (v, t) in [
            (1, 12.706),
            (2, 4.303),
            (3, 3.182),
            (4, 2.776),
            (9, 2.262),
            (10, 2.228),
            (11, 2.201),
            (20, 2.086),
            (29, 2.045),
            (40, 2.021),
            (120, 1.980),
        ] {
            close(student(v + 1), t, 5.001e-4);
        }
        // Of 1 and 2 degrees of freedom in closed form.
        close(student(2), (0.475 * std::f64::consts::PI).tan(), 1e-9);
        close(student(3), 0.95 * (2.0f64 / (1.0 - 0.95 * 0.95)).sqrt(), 1e-9);
        // Series and expansion meet, and both fall towards the normal distribution.
        close(student(2000), student(2001), 1e-6);
        let quantiles: Vec<f64> = (1..300).chain(1995..2010).map(student).collect();
        assert!(quantiles.windows(2).all(|pair| pair[0] > pair[1]));
        close(student(10_000_000), Z, 1e-6);
    }

    #[test]
    fn means_and_percentiles() {
        assert_eq!(mean_sd(&[1.0, 2.0, 3.0]), MeanSd { mean: 2.0, sd: 1.0 });
        assert_eq!(mean_sd(&[5.0]), MeanSd { mean: 5.0, sd: 0.0 });
        let interval = student_mean(&[1.0, 2.0, 3.0]);
        close(interval.hi - 2.0, 4.302_652_73 / 3.0f64.sqrt(), 1e-8);
        assert_eq!(student_mean(&[1.0]), Interval::open(1.0));
        // Eleven values have an interval too.
        let eleven: Vec<f64> = (0..11).map(f64::from).collect();
        close(student_mean(&eleven).hi - 5.0, 2.228_138_85, 1e-7);
        assert_eq!(percentile(2.0, &[1.0, 2.0, 3.0, 4.0]), 37.5);
        assert_eq!(percentile(0.0, &[1.0, 2.0]), 0.0);
    }

    #[test]
    fn a_mean_accuracy_keeps_to_its_range_and_has_a_width() {
        // Within the range it is Student's.
        let chips = [0.90, 0.92, 0.94];
        assert_eq!(mean_accuracy(&chips, 1000), student_mean(&chips));
        let near = mean_accuracy(&[0.999, 0.99], 1000);
        assert_eq!((near.hi, near.holds(near.value)), (1.0, true));
        assert!(student_mean(&[0.999, 0.99]).hi > 1.0);
        let low = mean_accuracy(&[0.0, 0.01], 100);
        assert_eq!(low.lo, 0.0);
        // Two chips that agree, on 1000 images: t of 1 degree times a step, over √2.
        let equal = mean_accuracy(&[0.9; 2], 1000);
        close(equal.hi - equal.value, 12.706_204_7 * 0.001 / 2f64.sqrt(), 1e-9);
        assert_eq!(mean_accuracy(&[0.9], 1000), Interval { value: 0.9, lo: 0.0, hi: 1.0 });
    }

    #[test]
    fn a_ratio_is_of_the_sums() {
        assert_eq!(ratio_of_means(&[0.1], &[0.0]), None);
        assert_eq!(ratio_of_means(&[0.25], &[0.5]), Some(Interval::open(0.5)));
        // The same ratio everywhere: no spread, whatever the sizes.
        let same = ratio_of_means(&[0.3, 0.6, 0.15], &[0.4, 0.8, 0.2]).expect("above 0");
        close(same.lo, 0.75, 1e-12);
        close(same.hi, 0.75, 1e-12);
        // Ratio 0.5; residuals ±0.1: sd 0.1·√2, /√2, times t of 1 degree.
        let two = ratio_of_means(&[0.6, 0.4], &[1.0, 1.0]).expect("above 0");
        close(two.value, 0.5, 1e-12);
        close(two.hi - 0.5, 1.270_620_47, 1e-8);
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
        // Of one image the value is at the end of what can be.
        let one = paired_difference(&[true], &[false]).expect("paired");
        assert_eq!((one.value, one.hi), (100.0, 100.0));
        assert!(matches!(paired_difference(&[], &[]), Err(StatsError::NoImages)));
        assert!(matches!(
            paired_difference(&[true], &[true, false]),
            Err(StatsError::Unpaired { .. })
        ));
    }
}
