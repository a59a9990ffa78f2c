//! What a run has to say: verdicts, metrics, and sections of text, tables and figures.

use std::path::Path;

use hafnia_artifact::read_text;
use hafnia_text::quoted;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::claims::{Claims, Paper};
use crate::error::ReportError;
use crate::judged;
use crate::judged::JudgedClaim;
use crate::layout::CellMap;
use crate::metrics::Metrics;
use crate::table::Table;
use crate::verdict::Verdict;

/// What a run covered; the default is everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scope {
    /// It used the committed subset of the data: no claim is judged.
    pub subset: bool,
    /// It took shortcuts, such as fewer chips or epochs: claims are judged, on less evidence.
    pub quick: bool,
}

/// A report. Its claims were judged when it was made, on the metrics it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    title: String,
    /// What is reproduced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paper: Option<Paper>,
    subset: bool,
    quick: bool,
    claims: Vec<JudgedClaim>,
    metrics: Metrics,
    /// The body, in order.
    pub sections: Vec<Section>,
    /// What the run was made of: resolved configuration, seed, version, digests; a line each.
    pub manifest: Vec<String>,
    /// All of it, as `manifest.json` beside the report has it; only the page shows it.
    #[serde(skip)]
    pub record: Option<serde_json::Value>,
}

/// A part of a report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// What it is about.
    #[serde(default, skip_serializing_if = "is_other")]
    pub part: Part,
    /// Heading.
    pub title: String,
    /// Markdown, a sentence a line; may be empty.
    pub text: String,
    /// Tables, after the text.
    pub tables: Vec<Table>,
    /// Figures, after the tables.
    pub figures: Vec<Figure>,
    /// Mappings cell by cell, after the figures; only the page shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<CellMap>,
}

/// What a section is about. The page has its sections in this order, and sections alike in the order
/// of the report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// What to build, and for whom.
    Build,
    /// Accuracy over noise.
    Noise,
    /// Mappings, row by row and cell by cell.
    Mapping,
    /// What can be had of several costs at once.
    Frontier,
    /// Area, energy and time.
    Cost,
    /// Where accuracy goes, by layer and by effect.
    Attribution,
    /// Trainings and their curves.
    Training,
    /// Anything else.
    #[default]
    Other,
}

fn is_other(part: &Part) -> bool {
    *part == Part::Other
}

/// A plot and its caption.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Name of the file, without `.svg`; unique in a report.
    pub name: String,
    /// What it shows, in a sentence.
    pub caption: String,
    /// The picture.
    #[serde(skip)]
    pub svg: String,
}

impl Report {
    /// A report without sections, its claims judged on `metrics`; on the subset they are only
    /// listed.
    ///
    /// # Errors
    /// As [`Claims::judge`].
    pub fn new(
        title: impl Into<String>,
        scope: Scope,
        claims: &Claims,
        metrics: Metrics,
    ) -> Result<Self, ReportError> {
        let paper = claims.paper.clone();
        let claims = if scope.subset || scope.quick {
            claims.list_unjudged(&metrics)?
        } else {
            claims.judge(&metrics)?
        };
        Ok(Self {
            title: title.into(),
            paper: Some(paper),
            subset: scope.subset,
            quick: scope.quick,
            claims,
            metrics,
            sections: Vec::new(),
            manifest: Vec::new(),
            record: None,
        })
    }

    /// Reads a report from the folder that its files were written to: `report.json`, the figures and
    /// cells that it names, and `manifest.json` if there is one.
    ///
    /// # Errors
    /// [`ReportError::NoReport`] without `report.json`; [`ReportError::Read`] or
    /// [`ReportError::NotReport`] for a file that cannot be read or is not what it should be.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, ReportError> {
        let folder = folder.as_ref();
        let path = folder.join("report.json");
        if !path.exists() {
            return Err(ReportError::NoReport { folder: folder.to_owned() });
        }
        let mut report: Self = parse(&path, "report")?;
        for section in &mut report.sections {
            let names = section.figures.iter().map(|figure| &figure.name);
            for name in names.chain(section.maps.iter().map(|map| &map.name)) {
                check_name(name).map_err(|fault| {
                    ReportError::Invalid(format!("{}: {fault}", path.display()))
                })?;
            }
            for figure in &mut section.figures {
                figure.svg = read(&folder.join(format!("{}.svg", figure.name)))?;
            }
            for map in &mut section.maps {
                let path = folder.join(format!("{}.json", map.name));
                map.layouts = parse(&path, "map of cells")?;
                map.layouts.iter().try_for_each(|layout| layout.check()).map_err(|fault| {
                    ReportError::Invalid(format!("{}: {fault}", path.display()))
                })?;
            }
        }
        let manifest = folder.join("manifest.json");
        if manifest.exists() {
            report.record = Some(parse(&manifest, "manifest")?);
        }
        Ok(report)
    }

    /// The heading.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What is reproduced; a report made before papers were named has none.
    #[must_use]
    pub fn paper(&self) -> Option<&Paper> {
        self.paper.as_ref()
    }

    /// What the run covered.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope { subset: self.subset, quick: self.quick }
    }

    /// The claims, an element per reading.
    #[must_use]
    pub fn claims(&self) -> &[JudgedClaim] {
        &self.claims
    }

    /// The numbers.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The table claim / paper / like for like / verdict / ours / verdict, numbers with their 95 %
    /// intervals.
    #[must_use]
    pub fn verdict_table(&self) -> Table {
        judged::table(&self.claims)
    }

    /// The ids of the claims that networks like the paper's do not meet, or were not judged on. Where
    /// the paper's unit is ambiguous, one met reading is enough.
    #[must_use]
    pub fn missed(&self) -> Vec<&str> {
        let mut missed: Vec<&str> = Vec::new();
        for claim in &self.claims {
            let mut readings = self.claims.iter().filter(|other| other.id == claim.id);
            let is_met = match claim.verdict {
                Verdict::UnitAmbiguous => readings.any(|reading| reading.like.verdict.is_met()),
                verdict => verdict.is_met(),
            };
            if !is_met && !missed.contains(&claim.id.as_str()) {
                missed.push(&claim.id);
            }
        }
        missed
    }
}

/// Checks the name of a figure or map, which is that of a file in the folder of the report.
fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match name.chars().all(is_plain) && !name.is_empty() && !name.starts_with('.') {
        true => Ok(()),
        false => Err(format!(
            "figure or map {} must have a name of a-z, A-Z, 0-9, `_`, `-` and `.`, not beginning with `.`",
            quoted(name)
        )),
    }
}

fn read(path: &Path) -> Result<String, ReportError> {
    Ok(read_text(path)?)
}

fn parse<T: DeserializeOwned>(path: &Path, what: &'static str) -> Result<T, ReportError> {
    serde_json::from_str(&read(path)?).map_err(|source| ReportError::NotReport {
        path: path.to_owned(),
        what,
        source,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::Align;
    use crate::claims::tests::{claims, intervals};

    /// A small report with everything in it, on round invented numbers.
    pub(crate) fn report(scope: Scope) -> Report {
        let mut metrics = intervals(&[
            ("like/accuracy_ties_wrong", [0.975, 0.9718, 0.9779]),
            ("accuracy/exact", [0.99, 0.9878, 0.9918]),
            ("rename/like/accuracy_cost_points", [0.1, 0.02, 0.18]),
            ("reorder/like/reduction_rel", [0.1225, 0.045, 0.19]),
            ("reorder/like/reduction_points", [0.03, -0.004, 0.06]),
        ]);
        metrics.insert("rename/like/saving", 38.0 / 84.0).unwrap();
        let mut report = Report::new("Reproduction", scope, &claims(), metrics).unwrap();
        let mut table = Table::new([("setting", Align::Left), ("drop, points", Align::Right)]);
        table.row([claims().settings[0].to_string(), "0.01".to_owned()]);
        report.sections.push(Section {
            title: "Noise".to_owned(),
            text: "The natural order, on 50 chips.".to_owned(),
            tables: vec![table],
            figures: vec![Figure {
                name: "noise".to_owned(),
                caption: "Accuracy over noise.".to_owned(),
                svg: "<svg/>".to_owned(),
            }],
            ..Section::default()
        });
        report.manifest = vec!["hafnia 0.1.0".to_owned(), "seed 1".to_owned()];
        report
    }

    fn check(scope: Scope, expected: Expect) {
        expected.assert_eq(&report(scope).verdict_table().to_string());
    }

    #[test]
    fn verdict_table() {
        check(
            Scope::default(),
            expect![[r#"
                ┌─────────────────────────────────────────────────────────┬────────────┬─────────────────────────────────────────────────────────────┬────────────────┬──────────────────────────┬────────────┐
                │ claim                                                   ┆      paper ┆                               like for like (95 % interval) ┆ verdict        ┆     ours (95 % interval) ┆ verdict    │
                ╞═════════════════════════════════════════════════════════╪════════════╪═════════════════════════════════════════════════════════════╪════════════════╪══════════════════════════╪════════════╡
                │ P1 MNIST accuracy, our training                         ┆    96.66 % ┆                                    97.50 % (97.18 to 97.79) ┆ surpassed      ┆ 99.00 % (98.78 to 99.18) ┆ surpassed  │
                │ P1 MNIST accuracy, integers throughout                  ┆    96.66 % ┆                                                           – ┆ not judged     ┆                        – ┆ –          │
                │ P2 rows of the final layer saved                        ┆    45.24 % ┆ 45.24 %, exact; accuracy cost 0.100 points (0.020 to 0.180) ┆ reproduced     ┆                        – ┆ not judged │
                │ P3 noise impact removed by row order, share of the loss ┆      5.6 % ┆                                     12.25 % (4.50 to 19.00) ┆ reproduced     ┆                        – ┆ not judged │
                │ P3 noise impact removed by row order, in points         ┆ 5.6 points ┆                              0.030 points (-0.004 to 0.060) ┆ not reproduced ┆                        – ┆ not judged │
                └─────────────────────────────────────────────────────────┴────────────┴─────────────────────────────────────────────────────────────┴────────────────┴──────────────────────────┴────────────┘"#]],
        );
    }

    #[test]
    fn names_stay_in_the_folder() {
        for name in ["noise", "like-lenet5_2.accuracy", "a..b"] {
            assert_eq!(check_name(name), Ok(()));
        }
        for name in ["", ".", "..", "../secret", "/etc/x", "a/b", "a\\b", ".hidden", "a\0b", "a b"]
        {
            assert!(check_name(name).is_err(), "{name}");
        }
        let folder = tempfile::tempdir().unwrap();
        let mut outside = report(Scope::default());
        outside.sections[0].figures[0].name = "../secret".to_owned();
        let path = folder.path().join("report.json");
        std::fs::write(&path, serde_json::to_string(&outside).unwrap()).unwrap();
        let error = Report::open(folder.path()).unwrap_err().to_string();
        let start = format!("{}: figure or map `../secret` must have a name of", path.display());
        assert!(error.starts_with(&start), "{error}");
    }

    #[test]
    fn on_the_subset_nothing_is_judged() {
        check(
            Scope { subset: true, quick: false },
            expect![[r#"
                ┌─────────────────────────────────────────────────────────┬────────────┬─────────────────────────────────────────────────────────────┬────────────┬──────────────────────────┬────────────┐
                │ claim                                                   ┆      paper ┆                               like for like (95 % interval) ┆ verdict    ┆     ours (95 % interval) ┆ verdict    │
                ╞═════════════════════════════════════════════════════════╪════════════╪═════════════════════════════════════════════════════════════╪════════════╪══════════════════════════╪════════════╡
                │ P1 MNIST accuracy, our training                         ┆    96.66 % ┆                                    97.50 % (97.18 to 97.79) ┆ not judged ┆ 99.00 % (98.78 to 99.18) ┆ not judged │
                │ P1 MNIST accuracy, integers throughout                  ┆    96.66 % ┆                                                           – ┆ not judged ┆                        – ┆ –          │
                │ P2 rows of the final layer saved                        ┆    45.24 % ┆ 45.24 %, exact; accuracy cost 0.100 points (0.020 to 0.180) ┆ not judged ┆                        – ┆ not judged │
                │ P3 noise impact removed by row order, share of the loss ┆      5.6 % ┆                                     12.25 % (4.50 to 19.00) ┆ not judged ┆                        – ┆ not judged │
                │ P3 noise impact removed by row order, in points         ┆ 5.6 points ┆                              0.030 points (-0.004 to 0.060) ┆ not judged ┆                        – ┆ not judged │
                └─────────────────────────────────────────────────────────┴────────────┴─────────────────────────────────────────────────────────────┴────────────┴──────────────────────────┴────────────┘"#]],
        );
    }

    #[test]
    fn a_quick_run_is_not_judged() {
        let quick = report(Scope { subset: false, quick: true });
        let subset = report(Scope { subset: true, quick: false });
        assert_eq!(quick.verdict_table(), subset.verdict_table());
    }

    #[test]
    fn what_was_not_measured_has_a_dash() {
        let report = Report::new("r", Scope::default(), &claims(), Metrics::default()).unwrap();
        let table = report.verdict_table();
        assert_eq!(table.rows()[0][2..], ["–", "not judged", "–", "not judged"]);
    }

    #[test]
    fn a_claim_is_missed_by_the_networks_like_the_papers_alone() {
        let check = |found: &[(&str, [f64; 3])], expected: &[&str]| {
            let mut metrics = intervals(found);
            metrics.insert("rename/like/saving", 0.5).unwrap();
            let report = Report::new("r", Scope::default(), &claims(), metrics).unwrap();
            assert_eq!(report.missed(), expected);
        };
        let integers = ("like_integer/accuracy_ties_wrong", [0.967, 0.966, 0.968]);
        let own = ("like/accuracy_ties_wrong", [0.975, 0.97, 0.98]);
        let cost = ("rename/like/accuracy_cost_points", [0.1, 0.0, 0.2]);
        let relative = ("reorder/like/reduction_rel", [0.2, 0.1, 0.3]);
        let points = ("reorder/like/reduction_points", [0.1, -0.1, 0.3]);
        let ours = ("reorder/final/reduction_rel", [0.01, -0.1, 0.12]);
        check(&[own, integers, cost, relative, points, ours], &[]);
        check(&[own, integers, cost, relative], &[]);
        check(&[own, integers, cost, points], &["P3"]);
        check(&[own, cost, relative], &["P1"]);
        check(&[cost], &["P1", "P3"]);
    }
}
