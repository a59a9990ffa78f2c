//! The rule by which a number is held against the paper's.

use std::fmt;

use hafnia_stats::Interval;
use serde::{Deserialize, Serialize};

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Even the worse end of the interval beats the paper.
    #[serde(rename = "surpassed")]
    Surpassed,
    /// Not surpassed, but our value is at least the paper's, or our interval holds the paper's.
    #[serde(rename = "reproduced")]
    Reproduced,
    /// Neither.
    #[serde(rename = "not reproduced")]
    NotReproduced,
    /// The paper's unit is ambiguous and the readings of it disagree.
    #[serde(rename = "unit ambiguous")]
    UnitAmbiguous,
    /// The run was made on a subset of the data, or did not measure the claim.
    #[serde(rename = "not judged")]
    NotJudged,
}

impl Verdict {
    /// Whether the claim holds.
    #[must_use]
    pub fn is_met(self) -> bool {
        matches!(self, Self::Surpassed | Self::Reproduced)
    }

    /// The verdict of a claim from those of its readings: theirs if they agree.
    ///
    /// If they do not, and the paper's unit is ambiguous, so is the verdict. In one unit every reading
    /// counts, and the verdict is the worst of them.
    #[must_use]
    pub fn of_readings(readings: &[Self], unit_is_ambiguous: bool) -> Self {
        match readings {
            [] => Self::NotJudged,
            [first, rest @ ..] if rest.iter().all(|other| other == first) => *first,
            _ if unit_is_ambiguous => Self::UnitAmbiguous,
            _ if readings.contains(&Self::NotJudged) => Self::NotJudged,
            _ if readings.contains(&Self::NotReproduced) => Self::NotReproduced,
            _ => Self::Reproduced,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Surpassed => "surpassed",
            Self::Reproduced => "reproduced",
            Self::NotReproduced => "not reproduced",
            Self::UnitAmbiguous => "unit ambiguous",
            Self::NotJudged => "not judged",
        })
    }
}

/// A published number to be held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// The number as printed.
    pub paper: f64,
    /// Its printed decimals: it stands for everything within half a unit of the last.
    pub decimals: u8,
    /// Whether more is better.
    pub higher_is_better: bool,
}

impl Target {
    /// Holds `ours` against the paper's number.
    ///
    /// With h half a unit of the last printed decimal, p the paper's number and more being better:
    /// surpassed if min(value, lo) > p + h; else reproduced if max(value, hi) ≥ p − h and the
    /// interval lies beyond 0 on the paper's side, so that there is an effect at all; else not
    /// reproduced. Mirrored where less is better.
    ///
    /// ```
    /// use hafnia_report::{Interval, Target, Verdict};
    ///
    /// // The paper prints 38/84 as 45.24 %; its own number must not fail by rounding.
    /// let target = Target { paper: 45.24, decimals: 2, higher_is_better: true };
    /// let ours = Interval::exact(100.0 * 38.0 / 84.0);
    /// assert_eq!(target.judge(ours), Verdict::Reproduced);
    /// ```
    #[must_use]
    pub fn judge(&self, ours: Interval) -> Verdict {
        let half = 0.5 * 10_f64.powi(-i32::from(self.decimals));
        let better = if self.higher_is_better { 1.0 } else { -1.0 };
        let [paper, value, lo, hi] =
            [self.paper, ours.value, ours.lo, ours.hi].map(|number| better * number);
        // The sign of the paper's number is that of the effect it claims.
        let holds_no_zero = lo.min(hi) * paper.signum() > 0.0 && lo.max(hi) * paper.signum() > 0.0;
        if value.min(lo).min(hi) > paper + half {
            Verdict::Surpassed
        } else if value.max(lo).max(hi) >= paper - half && holds_no_zero {
            Verdict::Reproduced
        } else {
            Verdict::NotReproduced
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::*;
    use super::*;

    #[track_caller]
    fn check(higher_is_better: bool, [value, lo, hi]: [f64; 3], expected: Verdict) {
        let target = Target { paper: 50.0, decimals: 1, higher_is_better };
        assert_eq!(target.judge(Interval { value, lo, hi }), expected);
        // the mirror image: negate everything and what is better
        let target = Target { paper: -50.0, decimals: 1, higher_is_better: !higher_is_better };
        let mirrored = Interval { value: -value, lo: -hi, hi: -lo };
        assert_eq!(target.judge(mirrored), expected);
    }

    #[test]
    fn surpassed_only_if_the_worse_end_beats_the_paper() {
        check(true, [52.0, 51.0, 53.0], Surpassed);
        check(true, [52.0, 49.0, 55.0], Reproduced);
        check(false, [48.0, 47.0, 49.0], Surpassed);
        check(false, [48.0, 45.0, 51.0], Reproduced);
    }

    #[test]
    fn what_rounds_to_the_paper_does_not_surpass_it() {
        check(true, [50.04, 50.04, 50.04], Reproduced);
        check(true, [50.06, 50.06, 50.06], Surpassed);
        check(true, [49.96, 49.96, 49.96], Reproduced);
        check(true, [49.94, 49.94, 49.94], NotReproduced);
    }

    #[test]
    fn reproduced_if_the_interval_holds_the_paper() {
        check(true, [49.0, 47.0, 51.0], Reproduced);
        check(true, [48.0, 47.0, 49.0], NotReproduced);
        check(false, [51.0, 49.0, 53.0], Reproduced);
        check(false, [52.0, 51.0, 53.0], NotReproduced);
    }

    #[test]
    fn an_interval_that_holds_no_effect_does_not_reproduce() {
        check(true, [20.0, -10.0, 51.0], NotReproduced);
        check(true, [50.0, -10.0, 110.0], NotReproduced);
        check(true, [20.0, 1.0, 51.0], Reproduced);
    }

    #[test]
    fn a_value_outside_its_interval_is_taken_as_it_is() {
        check(true, [49.0, 51.0, 53.0], Reproduced);
        check(true, [50.0, 47.0, 49.0], Reproduced);
    }

    #[test]
    fn readings_agree_or_the_unit_is_ambiguous() {
        let check = |readings: &[Verdict], in_one_unit, in_several| {
            let found = [false, true].map(|units| Verdict::of_readings(readings, units));
            assert_eq!(found, [in_one_unit, in_several], "{readings:?}");
        };
        check(&[Surpassed], Surpassed, Surpassed);
        check(&[Reproduced, Reproduced], Reproduced, Reproduced);
        check(&[NotReproduced, NotReproduced], NotReproduced, NotReproduced);
        check(&[Surpassed, Reproduced], Reproduced, UnitAmbiguous);
        check(&[Surpassed, NotReproduced], NotReproduced, UnitAmbiguous);
        check(&[Surpassed, NotJudged], NotJudged, UnitAmbiguous);
        check(&[], NotJudged, NotJudged);
    }
}
