//! [`Curve`]: a quantity that was measured at some times.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// How a curve is written.
pub(crate) const FORMS: &str =
    "none, or SECONDS:VALUE … with times of 1e-15 to 1e15, ascending, and values of 0 to 100";

/// The shortest and the longest time of a curve, in s.
const TIMES: RangeInclusive<f64> = 1e-15..=1e15;

/// The values of a curve: no measured σ or drift comes near the upper end, and far above it sums of
/// squares leave what can be computed with.
const VALUES: RangeInclusive<f64> = 0.0..=100.0;

/// Measured points (time in s, value), straight between neighbours over the logarithm of time.
/// Nothing is said before the first point and after the last one.
///
/// As text: `none`, `1:0.0275 86400:0.06625`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Curve(Vec<[f64; 2]>);

impl Curve {
    /// The curve through points (time in s, value).
    ///
    /// None if times do not lie in 1e-15..=1e15 and ascend, or values not in 0..=100.
    pub fn new(points: Vec<[f64; 2]>) -> Option<Self> {
        let numbers =
            points.iter().all(|[time, value]| TIMES.contains(time) && VALUES.contains(value));
        let ascends = points.windows(2).all(|pair| pair[0][0] < pair[1][0]);
        (numbers && ascends).then_some(Self(points))
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Value of the first point.
    pub fn first(&self) -> Option<f64> {
        Some(self.0.first()?[1])
    }

    /// Value at a time, in s; none outside the points.
    pub fn at(&self, time_s: f64) -> Option<f64> {
        let after = self.0.iter().position(|[time, _]| time_s <= *time)?;
        let [time, value] = self.0[after];
        if time == time_s {
            return Some(value);
        }
        let [earlier, before] = self.0[after.checked_sub(1)?];
        let share = libm::log(time_s / earlier) / libm::log(time / earlier);
        Some(before + share * (value - before))
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let points: Vec<_> = self.0.iter().map(|[time, value]| format!("{time}:{value}")).collect();
        f.write_str(&points.join(" "))
    }
}

impl FromStr for Curve {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "none" {
            return Ok(Self::default());
        }
        let point = |text: &str| {
            let (time, value) = text.split_once(':')?;
            Some([time.parse().ok()?, value.parse().ok()?])
        };
        let points: Option<Vec<_>> = text.split_whitespace().map(point).collect();
        points.filter(|points| !points.is_empty()).and_then(Self::new).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_straight_over_the_logarithm_of_time() {
        let curve: Curve = "1:0.02 100:0.06 10000:0.04".parse().unwrap();
        assert_eq!(curve.at(1.0), Some(0.02));
        assert!((curve.at(10.0).unwrap() - 0.04).abs() < 1e-15);
        assert!((curve.at(1000.0).unwrap() - 0.05).abs() < 1e-15);
        assert_eq!(curve.at(1e4), Some(0.04));
        assert_eq!([curve.at(0.5), curve.at(1e5)], [None, None]);
        assert_eq!(curve.to_string().parse(), Ok(curve));
        assert_eq!("none".parse(), Ok(Curve::default()));
    }

    #[test]
    fn wrong_text_is_refused() {
        for text in [
            "", "1", "1:2:3", "0:1", "2:1 1:1", "1:1 1:2", "1:-1", "1:NaN", "inf:1", "1:inf",
            "1:1e308", "1:101", "1e-300:1", "1e300:1",
        ] {
            assert_eq!(text.parse::<Curve>(), Err(()), "{text}");
        }
    }
}
