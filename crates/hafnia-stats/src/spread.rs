//! What networks, chips and images each add to the variance of a mean over all three.

use crate::classic::{mean_sd, student};
use crate::outcomes::Outcomes;

/// What one network loses, in percentage points: in the mean, by chip and by image.
#[derive(Debug, Clone)]
pub(crate) struct Losses {
    pub(crate) mean: f64,
    /// Mean over images.
    by_chip: Vec<f64>,
    /// Mean over chips.
    by_image: Vec<f64>,
}

/// The variance of a mean over networks, chips and images, by where it comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    /// Of other networks, and of chips and images doing something else to every network.
    pub(crate) networks: f64,
    /// Of other chips, as far as they do the same to all networks.
    pub(crate) chips: f64,
    /// Of other images, as far as they do the same to all networks.
    pub(crate) images: f64,
    /// How many of each make the variance what it is.
    pub(crate) count: Count,
}

/// So many of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    pub(crate) networks: usize,
    pub(crate) chips: usize,
    /// Those images that carry the spread; the others, on which nothing happens, say little of it.
    pub(crate) images: f64,
}

impl Losses {
    pub(crate) fn of(outcomes: &Outcomes<'_>) -> Self {
        let by_chip: Vec<f64> = outcomes.drops().iter().map(|drop| 100.0 * drop).collect();
        let mut by_image = vec![0.0; outcomes.images()];
        for &image in outcomes.differences.iter().flatten() {
            let lost = 100.0 * f64::from(outcomes.loss(image));
            by_image[image as usize] += lost / outcomes.chips() as f64;
        }
        Self { mean: mean_sd(&by_chip).mean, by_chip, by_image }
    }

    /// The accuracy, as a gain.
    pub(crate) fn of_accuracy(outcomes: &Outcomes<'_>) -> Self {
        let Self { mean, by_chip, by_image } = Self::of(outcomes);
        let exact: Vec<f64> =
            outcomes.exact_correct.iter().map(|&right| if right { 100.0 } else { 0.0 }).collect();
        let accuracy = mean_sd(&exact).mean;
        Self {
            mean: accuracy - mean,
            by_chip: by_chip.iter().map(|lost| accuracy - lost).collect(),
            by_image: exact.iter().zip(by_image).map(|(right, lost)| right - lost).collect(),
        }
    }

    /// self − factor · other.
    pub(crate) fn minus(&self, factor: f64, other: &Self) -> Self {
        let minus = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - factor * b).collect();
        Self {
            mean: self.mean - factor * other.mean,
            by_chip: minus(&self.by_chip, &other.by_chip),
            by_image: minus(&self.by_image, &other.by_image),
        }
    }

    /// In another unit.
    pub(crate) fn scaled(mut self, factor: f64) -> Self {
        self.mean *= factor;
        self.by_chip.iter_mut().chain(&mut self.by_image).for_each(|value| *value *= factor);
        self
    }

    /// Variance over chips, and over images.
    pub(crate) fn variances(&self) -> [f64; 2] {
        [&self.by_chip, &self.by_image].map(|values| variance(values))
    }

    /// The mean over networks.
    pub(crate) fn mean_of(all: &[Self]) -> Self {
        let share = 1.0 / all.len() as f64;
        let mean = |values: fn(&Self) -> &Vec<f64>| {
            let mut sum = vec![0.0; values(&all[0]).len()];
            for losses in all {
                sum.iter_mut().zip(values(losses)).for_each(|(sum, value)| *sum += share * value);
            }
            sum
        };
        Self {
            mean: all.iter().map(|losses| share * losses.mean).sum(),
            by_chip: mean(|losses| &losses.by_chip),
            by_image: mean(|losses| &losses.by_image),
        }
    }
}

impl Spread {
    /// Of the mean over at least two networks, `networks` being its variance from network to
    /// network.
    ///
    /// That holds all but what chips and images have in common for all networks, which is their
    /// covariance between two networks in the mean over pairs: K² Var(mean) − Σ Var, over K(K − 1).
    /// Covariances below 0 count as 0.
    pub(crate) fn of(losses: &[Losses], networks: f64) -> Self {
        let k = losses.len() as f64;
        let mean = Losses::mean_of(losses);
        let shared = |factor: usize| {
            let own: f64 = losses.iter().map(|losses| losses.variances()[factor]).sum();
            ((k * k * mean.variances()[factor] - own) / (k * (k - 1.0))).max(0.0)
        };
        Self {
            networks,
            chips: shared(0) / mean.by_chip.len() as f64,
            images: shared(1) / mean.by_image.len() as f64,
            count: Count {
                networks: losses.len(),
                chips: mean.by_chip.len(),
                images: carriers(&mean.by_image),
            },
        }
    }

    /// Of the mean over these networks, no others being asked for.
    pub(crate) fn of_fixed(losses: &[Losses]) -> Self {
        let mean = Losses::mean_of(losses);
        let [chips, images] = mean.variances();
        Self {
            networks: 0.0,
            chips: chips / mean.by_chip.len() as f64,
            images: images / mean.by_image.len() as f64,
            count: Count {
                // All that are asked for: their spread is 0 for certain, be it of one.
                networks: usize::MAX,
                chips: mean.by_chip.len(),
                images: carriers(&mean.by_image),
            },
        }
    }

    /// How far a 95 % interval reaches to either side: the root of the sum of all variances, each
    /// times the square of its own Student quantile.
    ///
    /// The sum covers at least what it says (Banerjee, Sankhyā 22, 1960), where quantiles of
    /// estimated degrees of freedom cover less if there are few networks. Infinite or NaN if there
    /// is but one of something.
    pub(crate) fn reach(&self) -> f64 {
        let Count { networks, chips, images } = self.count;
        let squared = |variance: f64, count: usize| match (variance, count) {
            (0.0, 2..) => 0.0,
            _ => student(count).powi(2) * variance,
        };
        let of_images = match self.images > 0.0 {
            true => squared(self.images, images.round() as usize),
            false => 0.0,
        };
        (squared(self.networks, networks) + squared(self.chips, chips) + of_images).sqrt()
    }
}

/// The variance of Σ above / Σ below from network to network, by leaving out one after the other
/// (jackknife); of a mean, where everything below is 1, it is the variance of the mean. Infinite if
/// what is left below is not above 0.
pub(crate) fn jackknife(above: &[f64], below: &[f64]) -> f64 {
    let (all_above, all_below): (f64, f64) = (above.iter().sum(), below.iter().sum());
    let k = above.len() as f64;
    let squares = above.iter().zip(below).map(|(above, below)| {
        let left = all_below - below;
        let moved = (all_above - above) / left - all_above / all_below;
        if left > 0.0 { moved * moved } else { f64::INFINITY }
    });
    squares.sum::<f64>() * (k - 1.0) / k
}

/// How many values carry the sum of squares: n if n are equally large and all others are 0
/// (participation ratio, (Σ x²)² / Σ x⁴); NaN if all are 0.
fn carriers(values: &[f64]) -> f64 {
    let power = |exponent: i32| values.iter().map(|value| value.powi(exponent)).sum::<f64>();
    power(2).powi(2) / power(4)
}

fn variance(values: &[f64]) -> f64 {
    mean_sd(values).sd.powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jackknife_of_a_mean_is_its_variance() {
        let values = [1.0, 2.0, 4.0, 9.0];
        let expected = variance(&values) / 4.0;
        assert!((jackknife(&values, &[1.0; 4]) - expected).abs() < 1e-12);
        assert_eq!(jackknife(&[1.0, 2.0], &[0.0, 1.0]), f64::INFINITY);
    }

    #[test]
    fn as_many_images_carry_a_spread_as_lose_alike() {
        assert_eq!(carriers(&[0.5, 0.0, -0.5, 0.5, 0.0]), 3.0);
        assert!(carriers(&[0.0; 3]).is_nan());
    }
}
