//! The claims file: what the paper states, under which noise it is tested, how it is judged.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Interval, Metrics, ReportError, Target, Verdict};

/// `docs/claims.toml`, whose comments state the rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// How much is measured.
    pub protocol: Protocol,
    /// The noise settings, from small to large; the first is the default preset's.
    #[serde(rename = "setting")]
    pub settings: Vec<Setting>,
    /// The claims, in the order they are printed.
    #[serde(rename = "claim")]
    pub claims: Vec<Claim>,
}

/// How much is measured for a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Virtual chips per noisy accuracy.
    pub chips: u32,
    /// Replicates of the crossed bootstrap over chips × images.
    pub bootstrap_replicates: u32,
    /// Random row orders the reordered one is compared with.
    pub random_orders: u32,
    /// Validation drop of the natural order that makes a setting the operating point, in
    /// percentage points.
    pub operating_drop_points: f64,
}

/// One noise setting; everything else is as in the default preset.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Static σ of an LRS cell, relative to G_LRS.
    pub sigma_lrs_rel: f64,
    /// Static σ of the ADC offset per column and comparator, in LSB.
    pub offset_lsb: f64,
}

/// A claim of the paper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Short name, such as `P1`.
    pub id: String,
    /// What is claimed, in a few words.
    pub title: String,
    /// How the claim was read and is measured, in a sentence.
    pub note: String,
    /// The paper's number, in the unit of the reading.
    pub paper: f64,
    /// Decimals the paper prints, 0 to 6.
    pub decimals: u8,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// The ways to read the claim; more than one if the paper's unit is ambiguous.
    #[serde(rename = "reading")]
    pub readings: Vec<Reading>,
}

/// One way to read a claim: a unit, and the keys of the metrics that answer it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// Short name, printed where a claim has several readings.
    pub name: String,
    /// Unit of the paper's number.
    pub unit: String,
    /// What a metric is multiplied by to be in that unit: 100 for a share in percent.
    pub scale: f64,
    /// Key of our value.
    pub value: String,
    /// Key of the lower end of its 95 % interval.
    pub lo: String,
    /// Key of the upper end.
    pub hi: String,
}

/// A reading of a claim beside our numbers.
///
/// A claim with two readings gives two of these, with one `id` and one `verdict`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgedClaim {
    /// Id of the claim.
    pub id: String,
    /// What is claimed.
    pub title: String,
    /// How the claim was read and is measured.
    pub note: String,
    /// Name of the reading, if the claim has several.
    pub reading: Option<String>,
    /// The paper's number, in `unit`.
    pub paper: f64,
    /// Our number, in `unit`; `None` if it was not measured.
    pub ours: Option<f64>,
    /// Lower end of its 95 % interval.
    pub lo: Option<f64>,
    /// Upper end of its 95 % interval.
    pub hi: Option<f64>,
    /// Unit of the numbers.
    pub unit: String,
    /// Verdict of the claim.
    pub verdict: Verdict,
    /// Verdict of this reading alone.
    pub reading_verdict: Verdict,
    /// Decimals the paper prints.
    pub decimals: u8,
}

impl Claims {
    /// Reads and checks a claims file.
    ///
    /// # Errors
    /// If the file cannot be read or parsed, or is refused by [`Claims::parse`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ReportError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path)
            .map_err(|source| ReportError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Parses and checks the text of a claims file; `path` is only named in errors.
    ///
    /// # Errors
    /// If it is not TOML of this shape, lacks settings, claims or readings, names a claim twice,
    /// has settings that do not ascend in both numbers, or numbers out of range.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ReportError> {
        let claims: Self = toml::from_str(text).map_err(|source| ReportError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        claims.check()?;
        Ok(claims)
    }

    fn check(&self) -> Result<(), ReportError> {
        let Protocol { chips, bootstrap_replicates, random_orders, operating_drop_points } =
            self.protocol;
        for (key, count) in [
            ("protocol.chips", chips),
            ("protocol.bootstrap_replicates", bootstrap_replicates),
            ("protocol.random_orders", random_orders),
        ] {
            in_range(key, f64::from(count), count > 0, "at least 1")?;
        }
        in_range(
            "protocol.operating_drop_points",
            operating_drop_points,
            operating_drop_points > 0.0 && operating_drop_points <= 100.0,
            "above 0 and at most 100",
        )?;

        not_empty("setting", &self.settings)?;
        for (index, &Setting { sigma_lrs_rel, offset_lsb }) in self.settings.iter().enumerate() {
            for (key, value) in [("sigma_lrs_rel", sigma_lrs_rel), ("offset_lsb", offset_lsb)] {
                let allowed = value.is_finite() && value >= 0.0;
                in_range(
                    &format!("setting {index}: {key}"),
                    value,
                    allowed,
                    "finite and at least 0",
                )?;
            }
        }
        for (index, pair) in self.settings.windows(2).enumerate() {
            let [previous, setting] = [pair[0], pair[1]];
            let ascends = setting.sigma_lrs_rel >= previous.sigma_lrs_rel
                && setting.offset_lsb >= previous.offset_lsb
                && setting != previous;
            if !ascends {
                return Err(ReportError::Descends { index: index + 1, setting, previous });
            }
        }

        not_empty("claim", &self.claims)?;
        let mut ids = BTreeSet::new();
        for Claim { id, paper, decimals, readings, .. } in &self.claims {
            if !ids.insert(id) {
                return Err(ReportError::DuplicateClaim { id: id.clone() });
            }
            in_range(&format!("claim {id}: paper"), *paper, paper.is_finite(), "finite")?;
            let value = f64::from(*decimals);
            in_range(&format!("claim {id}: decimals"), value, *decimals <= 6, "at most 6")?;
            not_empty(&format!("claim {id}: reading"), readings)?;
            for Reading { scale, .. } in readings {
                let allowed = scale.is_finite() && *scale > 0.0;
                in_range(&format!("claim {id}: scale"), *scale, allowed, "finite and above 0")?;
            }
        }
        Ok(())
    }

    /// The operating point: index of the smallest setting at which the natural order's validation
    /// drop is at least [`Protocol::operating_drop_points`].
    ///
    /// `validation_drops_points` are the drops (exact accuracy − mean noisy accuracy) in percentage
    /// points, one per setting from the first; measuring may stop once this answers. `None` if no
    /// drop so far is large enough.
    #[must_use]
    pub fn operating_point(&self, validation_drops_points: &[f64]) -> Option<usize> {
        let drops = validation_drops_points.iter().take(self.settings.len());
        drops.into_iter().position(|&drop| drop >= self.protocol.operating_drop_points)
    }

    /// Holds the metrics against every claim, one element per reading.
    ///
    /// A reading none of whose metrics was measured is not judged, nor is its claim.
    ///
    /// # Errors
    /// [`ReportError::MissingMetric`] if a reading has some of its metrics, but not all;
    /// [`ReportError::Interval`] if its interval descends.
    pub fn judge(&self, metrics: &Metrics) -> Result<Vec<JudgedClaim>, ReportError> {
        let mut judged = Vec::new();
        for claim in &self.claims {
            judged.extend(claim.judge(metrics)?);
        }
        Ok(judged)
    }

    /// Lists our numbers beside every claim and judges none.
    ///
    /// # Errors
    /// As [`Claims::judge`].
    pub fn list_unjudged(&self, metrics: &Metrics) -> Result<Vec<JudgedClaim>, ReportError> {
        let mut listed = self.judge(metrics)?;
        for claim in &mut listed {
            claim.verdict = Verdict::NotJudged;
            claim.reading_verdict = Verdict::NotJudged;
        }
        Ok(listed)
    }
}

impl Claim {
    fn judge(&self, metrics: &Metrics) -> Result<Vec<JudgedClaim>, ReportError> {
        let Self { paper, decimals, higher_is_better, .. } = *self;
        let target = Target { paper, decimals, higher_is_better };
        let answers = self
            .readings
            .iter()
            .map(|reading| reading.measured(&self.id, metrics))
            .collect::<Result<Vec<_>, _>>()?;
        let verdicts: Vec<Verdict> = answers
            .iter()
            .map(|ours| ours.map_or(Verdict::NotJudged, |ours| target.judge(ours)))
            .collect();
        let verdict = Verdict::of_readings(&verdicts);

        let several = self.readings.len() > 1;
        let judged = self.readings.iter().zip(answers).zip(verdicts);
        Ok(judged
            .map(|((reading, ours), reading_verdict)| JudgedClaim {
                id: self.id.clone(),
                title: self.title.clone(),
                note: self.note.clone(),
                reading: several.then(|| reading.name.clone()),
                paper,
                ours: ours.map(|ours| ours.value),
                lo: ours.map(|ours| ours.lo),
                hi: ours.map(|ours| ours.hi),
                unit: reading.unit.clone(),
                verdict,
                reading_verdict,
                decimals,
            })
            .collect())
    }
}

impl Reading {
    /// What the metrics answer; `None` if they hold nothing of this reading.
    fn measured(&self, claim: &str, metrics: &Metrics) -> Result<Option<Interval>, ReportError> {
        let keys = [&self.value, &self.lo, &self.hi];
        if keys.iter().all(|key| metrics.get(key).is_none()) {
            return Ok(None);
        }
        let get = |key: &String| {
            let missing =
                || ReportError::MissingMetric { claim: claim.to_owned(), key: key.clone() };
            metrics.get(key).ok_or_else(missing)
        };
        let [value, lo, hi] = [get(&self.value)?, get(&self.lo)?, get(&self.hi)?];
        if lo > hi {
            return Err(ReportError::Interval { key: self.value.clone(), lo, hi });
        }
        let [value, lo, hi] = [value, lo, hi].map(|metric| self.scale * metric);
        Ok(Some(Interval { value, lo, hi }))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sigma_lrs_rel, offset_lsb } = self;
        write!(f, "σ_LRS {} %, offset {offset_lsb:.2} LSB", percent(*sigma_lrs_rel))
    }
}

/// A fraction in percent, without digits that only binary fractions show.
pub(crate) fn percent(fraction: f64) -> f64 {
    (fraction * 1e6).round() / 1e4
}

fn in_range(key: &str, value: f64, allowed: bool, range: &'static str) -> Result<(), ReportError> {
    if allowed { Ok(()) } else { Err(ReportError::Range { key: key.to_owned(), value, range }) }
}

fn not_empty<T>(what: &str, list: &[T]) -> Result<(), ReportError> {
    if list.is_empty() { Err(ReportError::Empty { what: what.to_owned() }) } else { Ok(()) }
}

#[cfg(test)]
pub(crate) mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const TEXT: &str = include_str!("../../../docs/claims.toml");

    pub(crate) fn claims() -> Claims {
        Claims::parse(TEXT, Path::new("docs/claims.toml")).unwrap()
    }

    pub(crate) fn metrics(pairs: &[(&str, f64)]) -> Metrics {
        let mut metrics = Metrics::default();
        for &(key, value) in pairs {
            metrics.insert(key, value).unwrap();
        }
        metrics
    }

    /// The metrics of P3, each as value, lo, hi.
    fn reorder(relative: [f64; 3], points: [f64; 3]) -> Metrics {
        metrics(&[
            ("reorder/final/reduction_rel", relative[0] / 100.0),
            ("reorder/final/reduction_rel_lo", relative[1] / 100.0),
            ("reorder/final/reduction_rel_hi", relative[2] / 100.0),
            ("reorder/final/reduction_points", points[0]),
            ("reorder/final/reduction_points_lo", points[1]),
            ("reorder/final/reduction_points_hi", points[2]),
        ])
    }

    #[test]
    fn the_committed_file_holds_the_papers_numbers() {
        let claims = claims();
        let papers: Vec<_> = claims.claims.iter().map(|c| (c.id.as_str(), c.paper)).collect();
        assert_eq!(papers, [("P1", 96.66), ("P2", 45.24), ("P3", 5.6)]);
        assert_eq!(claims.settings[0], Setting { sigma_lrs_rel: 0.05, offset_lsb: 0.10 });
        assert_eq!(claims.settings.len(), 7);
        assert_eq!(claims.protocol.chips, 100);
    }

    #[test]
    fn the_file_round_trips() {
        let claims = claims();
        let text = toml::to_string(&claims).unwrap();
        assert_eq!(Claims::parse(&text, Path::new("claims.toml")).unwrap(), claims);
    }

    #[test]
    fn the_operating_point_is_the_smallest_that_loses_enough() {
        let check = |drops: &[f64], expected| {
            assert_eq!(claims().operating_point(drops), expected, "{drops:?}");
        };
        check(&[], None);
        check(&[0.02, 0.19], None);
        check(&[0.02, 0.2], Some(1));
        check(&[0.02, 0.25, 0.1, 0.4], Some(1));
        check(&[-0.1, 0.0, 0.1, 0.19, 0.1999, 0.1, 0.6], Some(6));
    }

    #[track_caller]
    fn check_refused(from: &str, to: &str, expected: Expect) {
        assert!(TEXT.contains(from), "{from} is not in the file");
        let error = Claims::parse(&TEXT.replacen(from, to, 1), Path::new("claims.toml"));
        expected.assert_eq(&error.unwrap_err().to_string());
    }

    #[test]
    fn faulty_files_are_refused() {
        check_refused(
            "offset_lsb = 0.10",
            "offset_lsb = 0.12",
            expect![
                "setting 1 (σ_LRS 10 %, offset 0.10 LSB) does not lie above the one before it (σ_LRS 5 %, offset 0.12 LSB)"
            ],
        );
        check_refused(
            "offset_lsb = 0.15",
            "offset_lsb = 0.10",
            expect![
                "setting 2 (σ_LRS 10 %, offset 0.10 LSB) does not lie above the one before it (σ_LRS 10 %, offset 0.10 LSB)"
            ],
        );
        check_refused(
            "sigma_lrs_rel = 0.05",
            "sigma_lrs_rel = nan",
            expect!["setting 0: sigma_lrs_rel is NaN, it must be finite and at least 0"],
        );
        check_refused(
            "sigma_lrs_rel = 0.05",
            "sigma_lrs_rel = -0.05",
            expect!["setting 0: sigma_lrs_rel is -0.05, it must be finite and at least 0"],
        );
        check_refused(
            "paper = 96.66",
            "paper = inf",
            expect!["claim P1: paper is inf, it must be finite"],
        );
        check_refused(
            "decimals = 2",
            "decimals = 9",
            expect!["claim P1: decimals is 9, it must be at most 6"],
        );
        check_refused(
            "chips = 100",
            "chips = 0",
            expect!["protocol.chips is 0, it must be at least 1"],
        );
        check_refused(
            "points = 0.2",
            "points = 0.0",
            expect!["protocol.operating_drop_points is 0, it must be above 0 and at most 100"],
        );
        check_refused("id = \"P2\"", "id = \"P1\"", expect!["there are two claims `P1`"]);
        check_refused("chips = 100", "chip = 50", expect!["claims.toml is not a claims file"]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Claims::load("no/such/claims.toml").unwrap_err();
        assert_eq!(error.to_string(), "cannot read no/such/claims.toml");
    }

    #[track_caller]
    fn check_p3(relative: [f64; 3], points: [f64; 3], expected: [Verdict; 3]) {
        let judged = claims().judge(&reorder(relative, points)).unwrap();
        let [.., relative, points] = &judged[..] else { panic!("P3 has two readings") };
        assert_eq!(relative.verdict, points.verdict);
        assert_eq!((relative.unit.as_str(), points.unit.as_str()), ("%", "points"));
        assert_eq!([relative.verdict, relative.reading_verdict, points.reading_verdict], expected);
    }

    #[test]
    fn p3_is_judged_per_reading() {
        use Verdict::*;
        check_p3([30.0, 20.0, 40.0], [0.1, 0.0, 0.2], [UnitAmbiguous, Surpassed, NotReproduced]);
        check_p3([7.0, 2.0, 12.0], [0.1, 0.0, 0.2], [UnitAmbiguous, Reproduced, NotReproduced]);
        check_p3([1.0, 0.0, 2.0], [0.1, 0.0, 0.2], [NotReproduced; 3]);
        check_p3([30.0, 20.0, 40.0], [7.0, 6.0, 8.0], [Surpassed; 3]);
        check_p3([5.0, 4.0, 6.0], [5.6, 5.0, 6.0], [Reproduced; 3]);
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let judged = claims().judge(&Metrics::default()).unwrap();
        assert_eq!(judged.len(), 4);
        for claim in judged {
            assert_eq!((claim.verdict, claim.ours), (Verdict::NotJudged, None));
        }
    }

    #[test]
    fn an_incomplete_or_descending_interval_is_an_error() {
        let check = |pairs: &[(&str, f64)], expected| {
            let error = claims().judge(&metrics(pairs)).unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        let key = "accuracy/exact";
        check(&[(key, 97.0)], "claim P1 needs the metric `accuracy/exact_lo`");
        check(
            &[(key, 97.0), ("accuracy/exact_lo", 98.0), ("accuracy/exact_hi", 96.0)],
            "the interval of `accuracy/exact` runs from 98 to 96, it must ascend",
        );
    }

    #[test]
    fn listing_keeps_the_numbers_and_judges_nothing() {
        let metrics = metrics(&[("rename/final/saving", 0.5)]);
        let listed = claims().list_unjudged(&metrics).unwrap();
        assert_eq!(listed[1].ours, Some(50.0));
        assert!(listed.iter().all(|c| c.verdict == Verdict::NotJudged));
        assert!(listed.iter().all(|c| c.reading_verdict == Verdict::NotJudged));
    }
}
