//! [`Distribution`]: the shape of programming variation.
//!
//! A shape has mean 0 and standard deviation 1, whatever it is; the spec's `sigma_lrs_rel` and
//! `sigma_hrs_rel` scale it. So the variance of a signal does not depend on the shape, and a sweep
//! of σ means the same for every shape.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How a distribution is written.
pub(crate) const FORMS: &str =
    "normal, log-normal, or points{G G …} with at least two different numbers from 0";

/// The shape of the conductances of cells programmed to one state.
///
/// As text: `normal`, `log-normal`, `points{0.91 0.98 1.13}`.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Distribution {
    /// Normal, and not cut at 0.
    #[default]
    Normal,
    /// Log-normal, so that no cell conducts less than nothing.
    LogNormal,
    /// Measured conductances, in any unit, ascending. Their quantile function, straight between
    /// neighbours, is brought to mean 0 and standard deviation 1.
    Points(Points),
}

/// Measured conductances, ascending; shared.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    points: Arc<[f64]>,
    mean: f64,
    deviation: f64,
}

impl Distribution {
    /// The shape of measured conductances, in any order and unit.
    ///
    /// None if there are less than two different ones, one that is negative or not finite, or some so
    /// large or near each other that their deviation cannot be computed.
    pub fn of_points(mut points: Vec<f64>) -> Option<Self> {
        points.sort_by(f64::total_cmp);
        let (first, last) = (*points.first()?, *points.last()?);
        let is_right = first >= 0.0 && last.is_finite() && first < last;
        if !is_right {
            return None;
        }
        let (mean, deviation) = moments(&points);
        (mean.is_finite() && deviation.is_normal())
            .then(|| Self::Points(Points { points: points.into(), mean, deviation }))
    }

    /// The value, of mean 0 and standard deviation 1, that has the rank of a standard normal `z`,
    /// where the relative standard deviation is `sigma_rel`, on which the shape of a log-normal
    /// distribution depends.
    pub fn standard(&self, sigma_rel: f64, z: f64) -> f64 {
        match self {
            Self::Normal => z,
            Self::LogNormal if sigma_rel == 0.0 => z,
            Self::LogNormal => {
                // x = exp(s·z − s²/2) has mean 1 and variance exp(s²) − 1 = σ²
                let square = libm::log1p(sigma_rel * sigma_rel);
                libm::expm1(libm::sqrt(square) * z - 0.5 * square) / sigma_rel
            }
            Self::Points(Points { points, mean, deviation }) => {
                let rank = 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
                (quantile(points, rank) - mean) / deviation
            }
        }
    }
}

/// The quantile function of ascending points, straight between neighbours.
fn quantile(points: &[f64], rank: f64) -> f64 {
    let position = rank.clamp(0.0, 1.0) * (points.len() - 1) as f64;
    let below = (position as usize).min(points.len() - 2);
    points[below] + (position - below as f64) * (points[below + 1] - points[below])
}

/// Mean and standard deviation of [`quantile`] over all ranks.
fn moments(points: &[f64]) -> (f64, f64) {
    let pieces = (points.len() - 1) as f64;
    let mean = points.windows(2).map(|p| 0.5 * (p[0] + p[1])).sum::<f64>() / pieces;
    let square = |p: &[f64]| {
        let (a, b) = (p[0] - mean, p[1] - mean);
        (a * a + a * b + b * b) / 3.0
    };
    (mean, libm::sqrt(points.windows(2).map(square).sum::<f64>() / pieces))
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::LogNormal => f.write_str("log-normal"),
            Self::Points(Points { points, .. }) => {
                let points: Vec<_> = points.iter().map(f64::to_string).collect();
                write!(f, "points{{{}}}", points.join(" "))
            }
        }
    }
}

impl FromStr for Distribution {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "normal" => Ok(Self::Normal),
            "log-normal" => Ok(Self::LogNormal),
            _ => {
                let list = text.strip_prefix("points{").and_then(|rest| rest.strip_suffix('}'));
                let numbers = list.ok_or(())?.split_whitespace().map(str::parse);
                Self::of_points(numbers.collect::<Result<_, _>>().map_err(|_| ())?).ok_or(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_has_mean_0_and_variance_1() {
        let points = Distribution::of_points(vec![3.0, 1.0, 1.5, 10.0]).unwrap();
        for shape in [Distribution::Normal, Distribution::LogNormal, points] {
            for sigma in [0.05, 0.3] {
                let (mut mean, mut square, mut total) = (0.0, 0.0, 0.0);
                for step in -9000..=9000 {
                    let z = f64::from(step) / 1000.0;
                    let weight = libm::exp(-0.5 * z * z);
                    let value = shape.standard(sigma, z);
                    (mean, square) = (mean + weight * value, square + weight * value * value);
                    total += weight;
                }
                // The trapezoid of a Gaussian is exact but for kinks: steps of 1e-3 squared.
                assert!((mean / total).abs() < 1e-5, "{shape}");
                assert!((square / total - 1.0).abs() < 1e-5, "{shape}: {}", square / total);
            }
        }
    }

    #[test]
    fn text_round_trips_and_wrong_text_is_refused() {
        for text in ["normal", "log-normal", "points{0.5 1 1 2.25}"] {
            assert_eq!(text.parse::<Distribution>().unwrap().to_string(), text);
        }
        for text in ["", "gauss", "points{}", "points{1}", "points{1 1}", "points{1 NaN}"] {
            assert!(text.parse::<Distribution>().is_err(), "{text}");
        }
        assert!("points{-1 1}".parse::<Distribution>().is_err());
        assert!("points{1 inf}".parse::<Distribution>().is_err());
        // Their squares are beyond the largest and below the smallest number.
        assert!("points{0 1e308}".parse::<Distribution>().is_err());
        assert!("points{0 1e-200}".parse::<Distribution>().is_err());
    }
}
