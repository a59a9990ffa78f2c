//! The claims file: what the paper states, under which noise it is tested, how it is judged.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use hafnia_artifact::read_text;
use serde::{Deserialize, Serialize};

use crate::error::ReportError;
use crate::judged::{Answer, Beside, Bounded, Column, Condition, JudgedClaim, Stated};
use crate::metrics::Metrics;
use crate::verdict::{Target, Verdict};
use hafnia_stats::Interval;

/// `docs/claims.toml`, whose comments state the rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// How much is measured.
    pub protocol: Protocol,
    /// Protocols that this one replaced, and what was found by them.
    #[serde(rename = "past_protocol", default)]
    pub past_protocols: Vec<PastProtocol>,
    /// The noise settings, from small to large; the first is the default preset's.
    #[serde(rename = "setting")]
    pub settings: Vec<Setting>,
    /// What states them.
    pub paper: Paper,
    /// The claims, in the order they are printed.
    #[serde(rename = "claim")]
    pub claims: Vec<Claim>,
}

/// How much is measured for a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// The day it was settled, before the test images were looked at under it.
    pub date: String,
    /// Why it replaces the one before it.
    pub reason: String,
    /// Networks of the like-for-like recipes, one per seed; at least 10.
    #[serde(default)]
    pub networks: u32,
    /// Virtual chips per network and noisy accuracy.
    #[serde(default)]
    pub chips: u32,
    /// Virtual chips per network by which operating points are chosen, on validation images.
    #[serde(default)]
    pub validation_chips: u32,
    /// Which chips choose the operating points: the seed of chips is 2³² · stream + the run's seed.
    pub validation_chip_stream: u32,
    /// Which chips are tested: no stream that was looked at before.
    pub test_chip_stream: u32,
    /// Replicates of the crossed bootstrap over networks × chips × images.
    pub bootstrap_replicates: u32,
    /// Random row orders the reordered one is compared with.
    pub random_orders: u32,
    /// Rows that the final layer of the like-for-like networks is merged to.
    pub merged_rows: u32,
    /// Validation drop of the natural order that makes a setting the operating point of relative
    /// readings, in percentage points.
    pub operating_drop_points: f64,
    /// The same for readings in points, which need a loss larger than the paper's number.
    pub points_operating_drop_points: f64,
}

/// A protocol that was replaced: kept so that what it said is not forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PastProtocol {
    /// The day it was settled.
    pub date: String,
    /// Networks it tested.
    pub networks: u32,
    /// Virtual chips per noisy accuracy.
    pub chips: u32,
    /// Validation drop that made a setting its operating point, in percentage points.
    pub operating_drop_points: f64,
    /// What was found by it, a line per claim that is judged otherwise now.
    pub found: Vec<String>,
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

/// A publication, as it is cited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paper {
    /// Its title.
    pub title: String,
    /// Family names, in order.
    pub authors: Vec<String>,
    /// Where it was published.
    pub venue: String,
    /// When.
    pub year: u16,
    /// Its digital object identifier, without an address before it.
    pub doi: String,
    /// What of it is public, in a sentence without the full stop.
    pub known: String,
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
    /// The ways to read the claim. In different units they are alternatives, one of which the paper
    /// means; in one unit each of them counts.
    #[serde(rename = "reading")]
    pub readings: Vec<Reading>,
}

/// One way to read a claim: a unit, and the keys of the metrics that answer it.
///
/// A key stands for three metrics: the value, and the ends of its 95 % interval at the key with `_lo`
/// and `_hi`; of an exact number, for the value alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// Short name, printed where a claim has several readings.
    pub name: String,
    /// Unit of the paper's number.
    pub unit: String,
    /// What a metric is multiplied by to be in that unit: 100 for a share in percent.
    pub scale: f64,
    /// Whether the number is known exactly, so that there is no interval.
    #[serde(default)]
    pub exact: bool,
    /// Key of what networks like the paper's give.
    pub like: String,
    /// Key of what our larger network gives, if it answers this reading.
    pub ours: Option<String>,
    /// What must hold beside the number.
    pub condition: Option<Condition>,
    /// What is said beside it, and judges nothing.
    pub beside: Option<Beside>,
}

impl Claims {
    /// Reads and checks a claims file.
    ///
    /// # Errors
    /// If the file cannot be read or parsed, or is refused by [`Claims::parse`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ReportError> {
        let path = path.as_ref();
        Self::parse(&read_text(path)?, path)
    }

    /// Parses and checks the text of a claims file; `path` is only named in errors.
    ///
    /// # Errors
    /// If it is not TOML of this shape, lacks settings, claims or readings, has a protocol without
    /// networks or chips, names a claim twice, has settings that do not ascend in both numbers, or
    /// numbers out of range.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ReportError> {
        let claims: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().map_or("", |span| &text[..span.start]);
            ReportError::Parse {
                path: path.to_owned(),
                line: 1 + before.matches('\n').count(),
                message: error.message().to_owned(),
            }
        })?;
        claims.protocol.check()?;
        check_settings(&claims.settings)?;
        not_empty("claim", &claims.claims)?;
        let mut ids = BTreeSet::new();
        for claim in &claims.claims {
            if !ids.insert(&claim.id) {
                return Err(ReportError::Invalid(format!("there are two claims `{}`", claim.id)));
            }
            claim.check()?;
        }
        Ok(claims)
    }

    /// The operating point of relative readings: index of the smallest setting at which the natural
    /// order's validation drop is at least [`Protocol::operating_drop_points`].
    ///
    /// `validation_drops_points` are the drops (exact accuracy − mean noisy accuracy) in percentage
    /// points, one per setting from the first; measuring may stop once this answers. `None` if no
    /// drop so far is large enough.
    #[must_use]
    pub fn operating_point(&self, validation_drops_points: &[f64]) -> Option<usize> {
        self.smallest(validation_drops_points, self.protocol.operating_drop_points)
    }

    /// The operating point of readings in points, by [`Protocol::points_operating_drop_points`];
    /// otherwise as [`Claims::operating_point`].
    #[must_use]
    pub fn points_operating_point(&self, validation_drops_points: &[f64]) -> Option<usize> {
        self.smallest(validation_drops_points, self.protocol.points_operating_drop_points)
    }

    fn smallest(&self, drops: &[f64], least: f64) -> Option<usize> {
        drops.iter().take(self.settings.len()).position(|&drop| drop >= least)
    }

    /// Holds the metrics against every claim, one element per reading.
    ///
    /// A reading none of whose metrics was measured is not judged.
    ///
    /// # Errors
    /// [`ReportError::Invalid`] if a reading has some of its metrics, but not all, or if its
    /// interval descends.
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
            for answer in std::iter::once(&mut claim.like).chain(&mut claim.ours) {
                answer.verdict = Verdict::NotJudged;
            }
        }
        Ok(listed)
    }
}

impl Protocol {
    fn check(&self) -> Result<(), ReportError> {
        for (key, count, least, range) in [
            ("networks", self.networks, 10, "at least 10"),
            ("chips", self.chips, 2, "at least 2"),
            ("validation_chips", self.validation_chips, 1, "at least 1"),
            ("bootstrap_replicates", self.bootstrap_replicates, 1, "at least 1"),
            ("random_orders", self.random_orders, 1, "at least 1"),
            ("merged_rows", self.merged_rows, 1, "at least 1"),
        ] {
            in_range(&format!("protocol.{key}"), f64::from(count), count >= least, range)?;
        }
        in_range(
            "protocol.test_chip_stream",
            f64::from(self.test_chip_stream),
            self.test_chip_stream != self.validation_chip_stream,
            "another than protocol.validation_chip_stream",
        )?;
        for (key, drop) in [
            ("operating_drop_points", self.operating_drop_points),
            ("points_operating_drop_points", self.points_operating_drop_points),
        ] {
            let allowed = drop > 0.0 && drop <= 100.0;
            in_range(&format!("protocol.{key}"), drop, allowed, "above 0 and at most 100")?;
        }
        Ok(())
    }
}

fn check_settings(settings: &[Setting]) -> Result<(), ReportError> {
    not_empty("setting", settings)?;
    for (index, &Setting { sigma_lrs_rel, offset_lsb }) in settings.iter().enumerate() {
        for (key, value) in [("sigma_lrs_rel", sigma_lrs_rel), ("offset_lsb", offset_lsb)] {
            let allowed = value.is_finite() && value >= 0.0;
            let key = format!("setting {index}: {key}");
            in_range(&key, value, allowed, "finite and at least 0")?;
        }
    }
    for (index, pair) in settings.windows(2).enumerate() {
        let [previous, setting] = [pair[0], pair[1]];
        let ascends = setting.sigma_lrs_rel >= previous.sigma_lrs_rel
            && setting.offset_lsb >= previous.offset_lsb
            && setting != previous;
        if !ascends {
            return Err(ReportError::Invalid(format!(
                "setting {} ({setting}) does not lie above the one before it ({previous})",
                index + 1
            )));
        }
    }
    Ok(())
}

impl Claim {
    fn check(&self) -> Result<(), ReportError> {
        let Self { id, paper, decimals, readings, .. } = self;
        in_range(&format!("claim {id}: paper"), *paper, paper.is_finite(), "finite")?;
        let value = f64::from(*decimals);
        in_range(&format!("claim {id}: decimals"), value, *decimals <= 6, "at most 6")?;
        not_empty(&format!("claim {id}: reading"), readings)?;
        for Reading { scale, condition, beside, .. } in readings {
            if let Some(Beside { scale, .. }) = beside {
                let allowed = scale.is_finite() && *scale > 0.0;
                in_range(&format!("claim {id}: scale"), *scale, allowed, "finite and above 0")?;
            }
            let allowed = scale.is_finite() && *scale > 0.0;
            in_range(&format!("claim {id}: scale"), *scale, allowed, "finite and above 0")?;
            if let Some(Condition { below, .. }) = condition {
                in_range(&format!("claim {id}: below"), *below, below.is_finite(), "finite")?;
            }
        }
        Ok(())
    }

    /// Whether the paper's unit is ambiguous: the readings have different ones.
    fn is_ambiguous(&self) -> bool {
        self.readings.iter().any(|reading| reading.unit != self.readings[0].unit)
    }

    fn judge(&self, metrics: &Metrics) -> Result<Vec<JudgedClaim>, ReportError> {
        let several = self.readings.len() > 1;
        let mut judged = Vec::new();
        for reading in &self.readings {
            judged.push(JudgedClaim {
                id: self.id.clone(),
                title: self.title.clone(),
                note: self.note.clone(),
                reading: several.then(|| reading.name.clone()),
                paper: self.paper,
                decimals: self.decimals,
                unit: reading.unit.clone(),
                like: self.answer(reading, Column::Like, &reading.like, metrics)?,
                ours: match &reading.ours {
                    Some(key) => Some(self.answer(reading, Column::Ours, key, metrics)?),
                    None => None,
                },
                verdict: Verdict::NotJudged,
            });
        }
        let verdicts: Vec<Verdict> = judged.iter().map(|reading| reading.like.verdict).collect();
        let verdict = Verdict::of_readings(&verdicts, self.is_ambiguous());
        judged.iter_mut().for_each(|reading| reading.verdict = verdict);
        Ok(judged)
    }

    /// What networks of a column say to a reading.
    fn answer(
        &self,
        reading: &Reading,
        column: Column,
        key: &str,
        metrics: &Metrics,
    ) -> Result<Answer, ReportError> {
        let Some(found) = self.measured(metrics, key, reading.exact)? else {
            return Ok(Answer::default());
        };
        let found = found.scaled(reading.scale);
        let Self { paper, decimals, higher_is_better, .. } = *self;
        let mut verdict = Target { paper, decimals, higher_is_better }.judge(found);
        let mut bounded = None;
        let condition = reading.condition.as_ref();
        if let Some((condition, key)) = condition.and_then(|of| Some((of, of.key(column)?))) {
            let missing = || self.missing(key);
            let found = self.measured(metrics, key, false)?.ok_or_else(missing)?;
            let number = Bounded::of(condition, found);
            if !number.holds() {
                verdict = Verdict::NotReproduced;
            }
            bounded = Some(number);
        }
        let beside = match reading.beside.as_ref().and_then(|of| Some((of, of.key(column)?))) {
            None => None,
            Some((Beside { name, unit, scale, .. }, key)) => {
                let found = self.measured(metrics, key, false)?;
                let stated = |found: Interval| Stated {
                    name: name.clone(),
                    unit: unit.clone(),
                    found: found.scaled(*scale),
                };
                found.map(stated)
            }
        };
        Ok(Answer { found: Some(found), bounded, beside, verdict })
    }

    /// The value of a key and its interval; `None` if the metrics hold nothing of it.
    fn measured(
        &self,
        metrics: &Metrics,
        key: &str,
        exact: bool,
    ) -> Result<Option<Interval>, ReportError> {
        if exact {
            return Ok(metrics.get(key).map(Interval::exact));
        }
        let keys = [key.to_owned(), format!("{key}_lo"), format!("{key}_hi")];
        if keys.iter().all(|key| metrics.get(key).is_none()) {
            return Ok(None);
        }
        let get = |key: &String| metrics.get(key).ok_or_else(|| self.missing(key));
        let [value, lo, hi] = [get(&keys[0])?, get(&keys[1])?, get(&keys[2])?];
        if lo > hi {
            return Err(ReportError::Invalid(format!(
                "the interval of `{key}` runs from {lo} to {hi}, it must ascend"
            )));
        }
        Ok(Some(Interval { value, lo, hi }))
    }

    fn missing(&self, key: &str) -> ReportError {
        let fault = format!("claim {} needs the metric `{key}`", self.id);
        ReportError::Invalid(fault)
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

    /// A number and its interval, at these keys.
    pub(crate) fn interval(key: &str, [value, lo, hi]: [f64; 3]) -> Vec<(String, f64)> {
        vec![(key.to_owned(), value), (format!("{key}_lo"), lo), (format!("{key}_hi"), hi)]
    }

    /// The metrics of these numbers and intervals.
    pub(crate) fn intervals(found: &[(&str, [f64; 3])]) -> Metrics {
        let mut metrics = Metrics::default();
        for (key, value) in found.iter().flat_map(|&(key, of)| interval(key, of)) {
            metrics.insert(key, value).unwrap();
        }
        metrics
    }

    #[test]
    fn the_committed_file_holds_the_papers_numbers() {
        let claims = claims();
        let papers: Vec<_> = claims.claims.iter().map(|c| (c.id.as_str(), c.paper)).collect();
        assert_eq!(papers, [("P1", 96.66), ("P2", 45.24), ("P3", 5.6)]);
        assert_eq!(claims.settings[0], Setting { sigma_lrs_rel: 0.05, offset_lsb: 0.10 });
        assert_eq!(claims.settings.last(), Some(&Setting { sigma_lrs_rel: 1.0, offset_lsb: 1.0 }));
        assert_eq!(claims.past_protocols[0].chips, 100);
        assert!(claims.protocol.networks >= 10);
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

    #[test]
    fn a_reading_in_points_has_an_operating_point_of_its_own() {
        let drops = [0.0, 0.1, 0.3, 2.0, 9.9, 10.0, 20.0];
        assert_eq!(claims().operating_point(&drops), Some(2));
        assert_eq!(claims().points_operating_point(&drops), Some(5));
        assert_eq!(claims().points_operating_point(&drops[..5]), None);
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
            "\nchips = 400",
            "\nchips = 0",
            expect!["protocol.chips is 0, it must be at least 2"],
        );
        check_refused("\nchips = 400", "", expect!["protocol.chips is 0, it must be at least 2"]);
        check_refused(
            "networks = 10",
            "networks = 5",
            expect!["protocol.networks is 5, it must be at least 10"],
        );
        check_refused(
            "networks = 10\n",
            "",
            expect!["protocol.networks is 0, it must be at least 10"],
        );
        check_refused(
            "test_chip_stream = 3",
            "test_chip_stream = 1",
            expect![
                "protocol.test_chip_stream is 1, it must be another than protocol.validation_chip_stream"
            ],
        );
        check_refused(
            "points = 0.2",
            "points = 0.0",
            expect!["protocol.operating_drop_points is 0, it must be above 0 and at most 100"],
        );
        check_refused(
            "points = 10.0",
            "points = 101.0",
            expect![
                "protocol.points_operating_drop_points is 101, it must be above 0 and at most 100"
            ],
        );
        check_refused("id = \"P2\"", "id = \"P1\"", expect!["there are two claims `P1`"]);
        check_refused(
            "below = 0.3",
            "below = inf",
            expect!["claim P2: below is inf, it must be finite"],
        );
        check_refused(
            "date = ",
            "day = ",
            expect![
                "claims.toml, line 23: unknown field `day`, expected one of `date`, `reason`, `networks`, `chips`, `validation_chips`, `validation_chip_stream`, `test_chip_stream`, `bootstrap_replicates`, `random_orders`, `merged_rows`, `operating_drop_points`, `points_operating_drop_points`"
            ],
        );
        check_refused(
            "\nchips = 400",
            "\nchips = many",
            expect!["claims.toml, line 38: string values must be quoted, expected literal string"],
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Claims::load("no/such/claims.toml").unwrap_err();
        assert_eq!(error.to_string(), "cannot read no/such/claims.toml");
    }

    const POINTS: &str = "reorder/like/reduction_points";
    const RELATIVE: &str = "reorder/like/reduction_rel";
    const INTEGERS: &str = "like_integer/accuracy_ties_wrong";
    const OWN: &str = "like/accuracy_ties_wrong";

    /// The verdicts of the two readings of a claim, and the claim's own.
    #[track_caller]
    fn check_claim(id: &str, found: &[(&str, [f64; 3])], expected: [Verdict; 3]) {
        let judged = claims().judge(&intervals(found)).unwrap();
        let of_claim: Vec<_> = judged.iter().filter(|claim| claim.id == id).collect();
        let [first, second] = of_claim[..] else { panic!("{id} has two readings") };
        assert_eq!(first.verdict, second.verdict);
        assert_eq!([first.like.verdict, second.like.verdict, first.verdict], expected);
    }

    #[test]
    fn readings_in_two_units_are_alternatives() {
        use Verdict::*;
        let check = |relative: [f64; 3], points, expected| {
            let relative = relative.map(|percent| percent / 100.0);
            check_claim("P3", &[(RELATIVE, relative), (POINTS, points)], expected);
        };
        let none = [0.1, 0.0, 0.2];
        check([30.0, 20.0, 40.0], none, [Surpassed, NotReproduced, UnitAmbiguous]);
        check([7.0, 2.0, 12.0], none, [Reproduced, NotReproduced, UnitAmbiguous]);
        check([1.0, 0.0, 2.0], none, [NotReproduced; 3]);
        check([30.0, 20.0, 40.0], [7.0, 6.0, 8.0], [Surpassed; 3]);
        check([5.0, 4.0, 6.0], [5.6, 5.0, 6.0], [Reproduced; 3]);
    }

    #[test]
    fn readings_in_one_unit_count_each() {
        use Verdict::*;
        let check = |own, integers, expected| {
            check_claim("P1", &[(OWN, own), (INTEGERS, integers)], expected);
        };
        let (above, level, below) =
            ([0.975, 0.97, 0.98], [0.966, 0.965, 0.967], [0.96, 0.955, 0.965]);
        check(above, level, [Surpassed, Reproduced, Reproduced]);
        check(above, below, [Surpassed, NotReproduced, NotReproduced]);
        check_claim("P1", &[(OWN, above)], [Surpassed, NotJudged, NotJudged]);
    }

    #[test]
    fn a_number_that_costs_too_much_is_not_reproduced() {
        let check = |cost, expected| {
            let mut metrics = intervals(&[
                ("rename/like/accuracy_cost_points", cost),
                ("rename/final/accuracy_cost_points", [0.0, -0.1, 0.1]),
            ]);
            metrics.insert("rename/like/saving", 0.5).unwrap();
            metrics.insert("rename/final/saving", 0.5).unwrap();
            let judged = claims().judge(&metrics).unwrap();
            let rows = judged.iter().find(|claim| claim.id == "P2").unwrap();
            let ours = rows.ours.as_ref().unwrap();
            assert_eq!([rows.like.verdict, ours.verdict], [expected, Verdict::Surpassed]);
            assert_eq!(rows.like.bounded.as_ref().unwrap().found.hi, cost[2]);
        };
        check([0.1, 0.0, 0.29], Verdict::Surpassed);
        check([0.1, 0.0, 0.3], Verdict::NotReproduced);
        check([0.4, 0.0, 0.2], Verdict::NotReproduced);
    }

    #[test]
    fn what_stands_beside_a_number_judges_nothing() {
        let mut found = intervals(&[
            ("rename/like/accuracy_cost_points", [0.1, 0.0, 0.2]),
            ("rename/like/net_area_saving", [-1.5, -13.75, 0.125]),
        ]);
        found.insert("rename/like/saving", 0.5).unwrap();
        let judged = claims().judge(&found).unwrap();
        let rows = judged.iter().find(|claim| claim.id == "P2").unwrap();
        assert_eq!(rows.like.verdict, Verdict::Surpassed);
        let cell = rows.answer_cell(Column::Like);
        assert!(cell.ends_with("; net of the table -150 % (-1375 to 12)"), "{cell}");
    }

    #[test]
    fn columns_are_judged_apart() {
        let found = [(OWN, [0.96, 0.95, 0.965]), ("accuracy/exact", [0.99, 0.985, 0.995])];
        let judged = claims().judge(&intervals(&found)).unwrap();
        assert_eq!(judged[0].like.verdict, Verdict::NotReproduced);
        assert_eq!(judged[0].ours.as_ref().unwrap().verdict, Verdict::Surpassed);
        assert!(judged[1].ours.is_none(), "ours is not trained in integers");
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let judged = claims().judge(&Metrics::default()).unwrap();
        assert_eq!(judged.len(), 5);
        for claim in judged {
            assert_eq!((claim.verdict, claim.like.found), (Verdict::NotJudged, None));
        }
    }

    #[test]
    fn an_incomplete_or_descending_interval_is_an_error() {
        let check = |pairs: &[(&str, f64)], expected| {
            let error = claims().judge(&metrics(pairs)).unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check(&[(OWN, 97.0)], "claim P1 needs the metric `like/accuracy_ties_wrong_lo`");
        check(
            &[("rename/like/saving", 0.5)],
            "claim P2 needs the metric `rename/like/accuracy_cost_points`",
        );
        let error = claims().judge(&intervals(&[(OWN, [97.0, 98.0, 96.0])])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the interval of `like/accuracy_ties_wrong` runs from 98 to 96, it must ascend"
        );
    }

    #[test]
    fn listing_keeps_the_numbers_and_judges_nothing() {
        let found = [(OWN, [0.97, 0.96, 0.98]), ("accuracy/exact", [0.99, 0.985, 0.995])];
        let listed = claims().list_unjudged(&intervals(&found)).unwrap();
        assert_eq!(listed[0].like.found.map(|found| found.value), Some(97.0));
        for claim in &listed {
            assert_eq!(claim.verdict, Verdict::NotJudged);
            assert_eq!(claim.like.verdict, Verdict::NotJudged);
            assert!(claim.ours.iter().all(|answer| answer.verdict == Verdict::NotJudged));
        }
    }
}
