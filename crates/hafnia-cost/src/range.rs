//! [`Range`]: a typical value and what it may be, given what is assumed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value at the typical constants, and the 5 % and 95 % quantiles of the same value over draws of
/// all that is assumed.
///
/// It says how little is known, not how the chip varies; the quantiles of a sum are not the sum of
/// quantiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// At the typical constants.
    pub typical: f64,
    /// 5 % of the draws lie below.
    pub lo: f64,
    /// 5 % of the draws lie above.
    pub hi: f64,
}

/// Share of the draws that lie below a [`Range`], and above it.
pub const TAIL: f64 = 0.05;

impl Range {
    /// Of a typical value and the values of the draws; nearest ranks.
    ///
    /// # Panics
    /// If there are no draws, or one is not a number.
    pub fn of(typical: f64, mut draws: Vec<f64>) -> Self {
        assert!(!draws.is_empty() && draws.iter().all(|draw| !draw.is_nan()), "draws of a range");
        draws.sort_by(f64::total_cmp);
        let at = |share: f64| draws[(share * (draws.len() - 1) as f64).round() as usize];
        Self { typical, lo: at(TAIL), hi: at(1.0 - TAIL) }
    }

    /// The same in another unit.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { typical: factor * self.typical, lo: factor * self.lo, hi: factor * self.hi }
    }

    /// Whether a value lies within.
    pub fn holds(&self, value: f64) -> bool {
        (self.lo..=self.hi).contains(&value)
    }
}

/// Three digits that count: `12.3 (8.01 to 20.5)`; without a range where it would not show.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [typical, lo, hi] = [self.typical, self.lo, self.hi].map(digits);
        if lo == hi && lo == typical {
            return f.write_str(&typical);
        }
        write!(f, "{typical} ({lo} to {hi})")
    }
}

/// A number with three digits that count, or all of its whole part; 0 for what rounding leaves.
pub(crate) fn digits(value: f64) -> String {
    if value.abs() < 1e-9 {
        return "0".to_owned();
    }
    let whole = value.abs().log10().floor() as i32;
    format!("{value:.*}", (2 - whole).clamp(0, 9) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let range = Range::of(50.0, (0..=100).rev().map(f64::from).collect());
        assert_eq!(range, Range { typical: 50.0, lo: 5.0, hi: 95.0 });
        assert!(range.holds(5.0) && !range.holds(4.9));
    }

    #[test]
    fn three_digits_count() {
        let shown = |value| digits(value);
        assert_eq!(shown(0.012_345), "0.0123");
        assert_eq!(shown(12.345), "12.3");
        assert_eq!(shown(-1234.5), "-1234");
        assert_eq!(Range { typical: 1.0, lo: 1.0, hi: 1.0 }.to_string(), "1.00");
    }
}
