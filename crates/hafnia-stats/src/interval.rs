//! [`Interval`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::float::{self, fixed};

/// A value and its 95 % interval, in the unit of what it estimates.
///
/// The value lies within. An end that is open is infinite, a value that does not exist NaN; files hold
/// both as [`float`] says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The estimate.
    #[serde(with = "float")]
    pub value: f64,
    /// Lower end.
    #[serde(with = "float")]
    pub lo: f64,
    /// Upper end, at least `lo`.
    #[serde(with = "float")]
    pub hi: f64,
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

    /// A value with these ends, each of which is moved out to the value if that lies beyond it, as it
    /// may with the percentiles of a skewed bootstrap.
    #[must_use]
    pub fn holding(value: f64, lo: f64, hi: f64) -> Self {
        Self { value, lo: lo.min(value), hi: hi.max(value) }
    }

    /// The part of it that lies in a range which is known to hold the truth, as the value does: it
    /// covers as often as the whole.
    #[must_use]
    pub fn within(self, least: f64, most: f64) -> Self {
        Self { value: self.value, lo: self.lo.max(least), hi: self.hi.min(most) }
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

/// `0.981 (0.977 to 0.985)`; the precision is that of all three numbers. An end that is open is so
/// called: `0.981 (0.977 to open)`, or `0.981 (open)` if both are.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = f.precision().unwrap_or(3);
        let Self { value, lo, hi } = self;
        let value = fixed(*value, precision);
        let end = |end: f64| match end.is_infinite() {
            true => "open".to_owned(),
            false => fixed(end, precision),
        };
        match lo.is_infinite() && hi.is_infinite() {
            true => write!(f, "{value} (open)"),
            false => write!(f, "{value} ({} to {})", end(*lo), end(*hi)),
        }
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
        assert_eq!(Interval::open(0.5).to_string(), "0.500 (open)");
    }

    #[test]
    fn an_open_interval_is_read_back() {
        let json = serde_json::to_string(&Interval::open(0.5)).expect("numbers");
        assert_eq!(json, r#"{"value":0.5,"lo":"-inf","hi":"inf"}"#);
        assert_eq!(serde_json::from_str::<Interval>(&json).expect("one"), Interval::open(0.5));
        // As it was written before.
        let read: Interval =
            serde_json::from_str(r#"{"value":0.5,"lo":null,"hi":null}"#).expect("one");
        assert!(read.value == 0.5 && read.lo.is_nan() && read.hi.is_nan() && !read.is_finite());
        assert!(!read.holds(0.5), "nothing is known to lie between NaN");
    }

    #[test]
    fn an_interval_holds_its_value_and_keeps_to_its_range() {
        let beyond = Interval::holding(0.5, 0.6, 0.7);
        assert_eq!((beyond.lo, beyond.hi), (0.5, 0.7));
        let none = Interval::holding(f64::NAN, 0.6, 0.7);
        assert_eq!((none.lo, none.hi), (0.6, 0.7));
        let clipped = Interval::around(0.99, 0.05).within(0.0, 1.0);
        assert_eq!((clipped.lo, clipped.hi), (0.94, 1.0));
        assert_eq!(format!("{:.1}", Interval::around(-0.0, 0.04)), "0.0 (0.0 to 0.0)");
    }
}
