//! [`Interval`].

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// A value and its 95 % interval, in the unit of what it estimates.
///
/// The value may lie outside: percentile intervals of a skewed ratio allow that. JSON has neither NaN
/// nor infinity: both are written as null, which is read as NaN.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The estimate.
    #[serde(deserialize_with = "or_nan")]
    pub value: f64,
    /// Lower end.
    #[serde(deserialize_with = "or_nan")]
    pub lo: f64,
    /// Upper end, at least `lo`.
    #[serde(deserialize_with = "or_nan")]
    pub hi: f64,
}

fn or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl Interval {
    /// A number known exactly.
    #[must_use]
    pub fn exact(value: f64) -> Self {
        Self { value, lo: value, hi: value }
    }

    /// A value of which nothing bounds the error.
    #[must_use]
    pub fn open(value: f64) -> Self {
        Self { value, lo: f64::NEG_INFINITY, hi: f64::INFINITY }
    }

    /// An interval that reaches equally far to both sides; an open one if `reach` is NaN.
    #[must_use]
    pub fn around(value: f64, reach: f64) -> Self {
        match reach.is_nan() {
            true => Self::open(value),
            false => Self { value, lo: value - reach, hi: value + reach },
        }
    }

    /// The same in another unit.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { value: factor * self.value, lo: factor * self.lo, hi: factor * self.hi }
    }

    /// Whether the value and both ends are known.
    #[must_use]
    pub fn is_finite(self) -> bool {
        self.value.is_finite() && self.lo.is_finite() && self.hi.is_finite()
    }

    /// Whether it holds a number, ends included.
    #[must_use]
    pub fn holds(self, number: f64) -> bool {
        self.lo <= number && number <= self.hi
    }
}

/// `0.981 (0.977 to 0.985)`; the precision is that of all three numbers.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = f.precision().unwrap_or(3);
        let Self { value, lo, hi } = self;
        write!(f, "{value:.precision$} ({lo:.precision$} to {hi:.precision$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_its_value_before_its_ends() {
        let interval = Interval::around(0.9812, 0.004);
        assert_eq!(interval.to_string(), "0.981 (0.977 to 0.985)");
        assert_eq!(format!("{interval:.2}"), "0.98 (0.98 to 0.99)");
        assert_eq!(Interval::open(0.5).to_string(), "0.500 (-inf to inf)");
    }

    #[test]
    fn what_json_cannot_say_is_null_and_read_as_nan() {
        let json = serde_json::to_string(&Interval::open(0.5)).expect("numbers");
        assert_eq!(json, r#"{"value":0.5,"lo":null,"hi":null}"#);
        let read: Interval = serde_json::from_str(&json).expect("an interval");
        assert!(read.value == 0.5 && read.lo.is_nan() && read.hi.is_nan() && !read.is_finite());
        assert!(!read.holds(0.5), "nothing is known to lie between NaN");
    }
}
