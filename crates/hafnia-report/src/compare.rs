//! Runs side by side: their claims and metrics, and by how much they differ.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::ReportError;
use crate::judged::{Column, decimals_of};
use crate::number::{digits, estimate, fixed};
use crate::report::Report;
use crate::table::{Align, INTERVAL, Table};
use crate::verdict::Verdict;
use hafnia_stats::Interval;

/// Reports side by side. Differences are to the first, in the unit of what differs; they are plain
/// differences of estimates, without an interval of their own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Names of the runs.
    pub runs: Vec<String>,
    /// Every claim and reading that a run has, by each column that answers it, in the order in which
    /// they first come up.
    pub claims: Vec<ComparedClaim>,
    /// Every metric that a run has, by key.
    pub metrics: BTreeMap<String, ComparedMetric>,
}

/// A reading of a claim by the networks of one column, in every run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedClaim {
    /// Id, title and, where there are several, reading.
    pub name: String,
    /// Which networks answer.
    pub column: Column,
    /// Unit of all numbers.
    pub unit: String,
    /// The paper's number.
    pub paper: f64,
    /// Decimals that the paper prints.
    pub decimals: u8,
    /// What each run found; nothing for a run that does not have the claim.
    pub found: Vec<Option<Found>>,
}

/// What the networks of a column of a run say to a reading.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Found {
    /// Their number and interval; nothing if it was not measured.
    pub answer: Option<Interval>,
    /// By how much it lies above that of the first run, if both measured it.
    pub difference: Option<f64>,
    /// Verdict of the reading by these networks.
    pub verdict: Verdict,
}

/// A metric in every run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedMetric {
    /// Its values; nothing for a run that does not have it.
    pub values: Vec<Option<f64>>,
    /// By how much each lies above that of the first run, if both have it.
    pub differences: Vec<Option<f64>>,
}

impl Comparison {
    /// Compares runs with names.
    ///
    /// # Errors
    /// [`ReportError::Empty`] without runs.
    pub fn of(runs: &[(String, Report)]) -> Result<Self, ReportError> {
        if runs.is_empty() {
            return Err(ReportError::Empty { what: "list of runs".to_owned() });
        }
        let reports = || runs.iter().map(|(_, report)| report);
        let mut claims: Vec<ComparedClaim> = Vec::new();
        for (run, report) in reports().enumerate() {
            let answers = report.claims().iter().flat_map(|claim| {
                Column::ALL.map(|column| Some((claim, column, claim.answer(column)?)))
            });
            for (claim, column, answer) in answers.flatten() {
                let name = claim.name();
                let is_same = |of: &ComparedClaim| {
                    of.name == name && of.unit == claim.unit && of.column == column
                };
                let at = claims.iter().position(is_same).unwrap_or_else(|| {
                    claims.push(ComparedClaim {
                        name: name.clone(),
                        column,
                        unit: claim.unit.clone(),
                        paper: claim.paper,
                        decimals: claim.decimals,
                        found: vec![None; runs.len()],
                    });
                    claims.len() - 1
                });
                let of_first = claims[at].found[0].and_then(|found| found.answer);
                let first = if run == 0 { answer.found } else { of_first };
                let difference =
                    answer.found.zip(first).map(|(own, first)| own.value - first.value);
                claims[at].found[run] =
                    Some(Found { answer: answer.found, difference, verdict: answer.verdict });
            }
        }
        let keys = reports().flat_map(|report| report.metrics().iter().map(|(key, _)| key));
        let metric = |key: &str| {
            let values: Vec<_> = reports().map(|report| report.metrics().get(key)).collect();
            let difference = |value: &Option<f64>| value.zip(values[0]).map(|(v, first)| v - first);
            let differences = values.iter().map(difference).collect();
            ComparedMetric { values, differences }
        };
        Ok(Self {
            runs: runs.iter().map(|(name, _)| name.clone()).collect(),
            claims,
            metrics: keys.map(|key| (key.to_owned(), metric(key))).collect(),
        })
    }

    /// Claim, networks, paper, and for every run its number, interval and verdict; from the second on also the
    /// difference to the first.
    #[must_use]
    pub fn claims_table(&self) -> Table {
        self.table_of(&self.claims.iter().collect::<Vec<_>>())
    }

    /// The rows of [`Comparison::claims_table`] in which runs differ.
    #[must_use]
    pub fn changed_claims_table(&self) -> Table {
        let changed = self.claims.iter().filter(|claim| claim.is_changed());
        self.table_of(&changed.collect::<Vec<_>>())
    }

    fn table_of(&self, claims: &[&ComparedClaim]) -> Table {
        let mut columns = vec![
            ("claim".to_owned(), Align::Left),
            ("networks".to_owned(), Align::Left),
            ("paper".to_owned(), Align::Right),
        ];
        for (index, run) in self.runs.iter().enumerate() {
            columns.extend([(run.clone(), Align::Right), (INTERVAL.to_owned(), Align::Right)]);
            columns.extend((index > 0).then(|| ("difference".to_owned(), Align::Right)));
            columns.push(("verdict".to_owned(), Align::Left));
        }
        let mut table = Table::new(columns);
        for claim in claims {
            let written = |value: f64| fixed(value, decimals_of(value, claim.decimals));
            let paper = format!("{} {}", fixed(claim.paper, claim.decimals.into()), claim.unit);
            let mut row = vec![claim.name.clone(), claim.column.name().to_owned(), paper];
            for (index, found) in claim.found.iter().enumerate() {
                let answer = found.and_then(|found| found.answer);
                row.push(answer.map_or(none(), |answer| written(answer.value)));
                row.push(answer.map_or(none(), |Interval { value, lo, hi }| {
                    if lo == value && hi == value {
                        "exact".to_owned()
                    } else {
                        format!("{} to {}", written(lo), written(hi))
                    }
                }));
                let difference = found.and_then(|found| found.difference);
                row.extend(
                    (index > 0).then(|| {
                        difference.map_or(none(), |difference| signed(written(difference)))
                    }),
                );
                row.push(found.map_or(none(), |found| found.verdict.to_string()));
            }
            table.row(row);
        }
        table
    }

    /// Every metric of every run; from the second on also the difference to the first.
    #[must_use]
    pub fn metrics_table(&self) -> Table {
        let mut table = Table::new(self.metric_columns());
        for (key, ComparedMetric { values, differences }) in &self.metrics {
            let mut row = vec![key.clone()];
            for (index, (value, difference)) in values.iter().zip(differences).enumerate() {
                row.push(value.map_or(none(), digits));
                let difference = || difference.map_or(none(), |value| signed(digits(value)));
                row.extend((index > 0).then(difference));
            }
            table.row(row);
        }
        table
    }

    /// The metrics that a run has otherwise than the first, those first whose intervals lie apart, then
    /// by how many times the first's value they differ; the ends of an interval stand with its number.
    #[must_use]
    pub fn changed_table(&self) -> Table {
        let mut columns = self.metric_columns();
        columns.push(("95 % intervals".to_owned(), Align::Left));
        let mut table = Table::new(columns);
        let mut changed: Vec<Changed<'_>> =
            self.metrics.keys().filter_map(|key| self.changed(key)).collect();
        changed.sort_by(|a, b| {
            let order = b.is_apart.cmp(&a.is_apart).then(b.relative.total_cmp(&a.relative));
            order.then(a.key.cmp(b.key))
        });
        for Changed { key, found, is_apart, .. } in changed {
            let mut row = vec![key.to_owned()];
            for (index, found) in found.iter().enumerate() {
                row.push(found.map_or(none(), estimate));
                let difference = self.metrics[key].differences[index];
                let difference = || difference.map_or(none(), |value| signed(digits(value)));
                row.extend((index > 0).then(difference));
            }
            row.push(
                is_apart.map_or(none(), |apart| if apart { "apart" } else { "meet" }.to_owned()),
            );
            table.row(row);
        }
        table
    }

    fn metric_columns(&self) -> Vec<(String, Align)> {
        let mut columns = vec![("metric".to_owned(), Align::Left)];
        for (index, run) in self.runs.iter().enumerate() {
            columns.push((run.clone(), Align::Right));
            columns.extend((index > 0).then(|| ("difference".to_owned(), Align::Right)));
        }
        columns
    }

    /// How a metric differs from run to run; nothing if it does not, or is the end of an interval.
    fn changed<'a>(&'a self, key: &'a str) -> Option<Changed<'a>> {
        let is_end = ["_lo", "_hi"].iter().any(|end| {
            key.strip_suffix(end).is_some_and(|number| self.metrics.contains_key(number))
        });
        let values = &self.metrics[key].values;
        let written = |value: &Option<f64>| value.map(digits);
        if is_end || values.iter().all(|value| written(value) == written(&values[0])) {
            return None;
        }
        let end = |end: &str, run: usize| self.metrics.get(&format!("{key}{end}"))?.values[run];
        let found = |run: usize| {
            let value = values[run]?;
            let ends = end("_lo", run).zip(end("_hi", run));
            Some(ends.map_or(Interval::exact(value), |(lo, hi)| Interval { value, lo, hi }))
        };
        let found: Vec<Option<Interval>> = (0..values.len()).map(found).collect();
        let has_ends = end("_lo", 0).is_some();
        let differs = |of: &Interval, first: &Interval| of.lo > first.hi || of.hi < first.lo;
        let others = || found[1..].iter().flatten();
        let is_apart = found[0].filter(|_| has_ends).filter(|_| others().next().is_some());
        let first = values[0].map_or(1.0, f64::abs).max(f64::MIN_POSITIVE);
        let differences = self.metrics[key].differences.iter();
        // What only some runs have stands before what differs least, and behind all else.
        let relative = differences.map(|of| of.map_or(0.0, |of| of.abs() / first));
        Some(Changed {
            key,
            is_apart: is_apart.map(|first| others().any(|of| differs(of, &first))),
            relative: relative.fold(0.0, f64::max),
            found,
        })
    }
}

/// A metric that is not the same in all runs.
struct Changed<'a> {
    key: &'a str,
    /// Its values and intervals, by run.
    found: Vec<Option<Interval>>,
    /// Whether the intervals of two runs have nothing in common; nothing without intervals.
    is_apart: Option<bool>,
    /// The largest difference to the first, as a multiple of that.
    relative: f64,
}

impl ComparedClaim {
    /// Whether a run answers otherwise than the first.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.found.iter().any(|found| {
            *found
                != self.found[0]
                    .map(|first| Found { difference: found.and_then(|of| of.difference), ..first })
        })
    }
}

fn none() -> String {
    "–".to_owned()
}

/// With its sign, unless it is nothing.
fn signed(text: String) -> String {
    let is_nothing = text.chars().all(|c| matches!(c, '0' | '.'));
    if is_nothing || text.starts_with('-') { text } else { format!("+{text}") }
}

#[cfg(test)]
pub(crate) mod tests {
    use expect_test::expect;

    use super::*;
    use crate::claims::tests::{claims, intervals};
    use crate::{Metrics, Scope};

    /// Two runs that differ, and one that measured nothing.
    pub(crate) fn runs() -> Vec<(String, Report)> {
        let run = |name: &str, metrics| {
            let report = Report::new(name, Scope::default(), &claims(), metrics).unwrap();
            (name.to_owned(), report)
        };
        let of = |accuracy: f64, cells: f64| {
            let interval = |value: f64| [value, value - 0.003, value + 0.003];
            let mut metrics = intervals(&[
                ("accuracy/exact", interval(accuracy)),
                ("like/accuracy_ties_wrong", interval(accuracy - 0.01)),
            ]);
            metrics.insert("network/cells", cells).unwrap();
            metrics
        };
        let mut second = of(0.9875, 30000.0);
        second.insert("speed", 1.5).unwrap();
        vec![run("a", of(0.975, 61470.0)), run("b", second), run("<empty>", Metrics::default())]
    }

    #[test]
    fn claims_differ_from_the_first_run() {
        let comparison = Comparison::of(&runs()).unwrap();
        expect![[r#"
            ┌─────────────────────────────────────────────────────────┬───────────────┬────────────┬───────┬────────────────┬────────────┬───────┬────────────────┬────────────┬────────────┬─────────┬───────────────┬────────────┬────────────┐
            │ claim                                                   ┆ networks      ┆      paper ┆     a ┆  95 % interval ┆ verdict    ┆     b ┆  95 % interval ┆ difference ┆ verdict    ┆ <empty> ┆ 95 % interval ┆ difference ┆ verdict    │
            ╞═════════════════════════════════════════════════════════╪═══════════════╪════════════╪═══════╪════════════════╪════════════╪═══════╪════════════════╪════════════╪════════════╪═════════╪═══════════════╪════════════╪════════════╡
            │ P1 MNIST accuracy, our training                         ┆ like for like ┆    96.66 % ┆ 96.50 ┆ 96.20 to 96.80 ┆ reproduced ┆ 97.75 ┆ 97.45 to 98.05 ┆      +1.25 ┆ surpassed  ┆       – ┆             – ┆          – ┆ not judged │
            │ P1 MNIST accuracy, our training                         ┆ ours          ┆    96.66 % ┆ 97.50 ┆ 97.20 to 97.80 ┆ surpassed  ┆ 98.75 ┆ 98.45 to 99.05 ┆      +1.25 ┆ surpassed  ┆       – ┆             – ┆          – ┆ not judged │
            │ P1 MNIST accuracy, integers throughout                  ┆ like for like ┆    96.66 % ┆     – ┆              – ┆ not judged ┆     – ┆              – ┆          – ┆ not judged ┆       – ┆             – ┆          – ┆ not judged │
            │ P2 rows of the final layer saved                        ┆ like for like ┆    45.24 % ┆     – ┆              – ┆ not judged ┆     – ┆              – ┆          – ┆ not judged ┆       – ┆             – ┆          – ┆ not judged │
            │ P2 rows of the final layer saved                        ┆ ours          ┆    45.24 % ┆     – ┆              – ┆ not judged ┆     – ┆              – ┆          – ┆ not judged ┆       – ┆             – ┆          – ┆ not judged │
            │ P3 noise impact removed by row order, share of the loss ┆ like for like ┆      5.6 % ┆     – ┆              – ┆ not judged ┆     – ┆              – ┆          – ┆ not judged ┆       – ┆             – ┆          – ┆ not judged │
            │ P3 noise impact removed by row order, share of the loss ┆ ours          ┆      5.6 % ┆     – ┆              – ┆ not judged ┆     – ┆              – ┆          – ┆ not judged ┆       – ┆             – ┆          – ┆ not judged │
            │ P3 noise impact removed by row order, in points         ┆ like for like ┆ 5.6 points ┆     – ┆              – ┆ not judged ┆     – ┆              – ┆          – ┆ not judged ┆       – ┆             – ┆          – ┆ not judged │
            │ P3 noise impact removed by row order, in points         ┆ ours          ┆ 5.6 points ┆     – ┆              – ┆ not judged ┆     – ┆              – ┆          – ┆ not judged ┆       – ┆             – ┆          – ┆ not judged │
            └─────────────────────────────────────────────────────────┴───────────────┴────────────┴───────┴────────────────┴────────────┴───────┴────────────────┴────────────┴────────────┴─────────┴───────────────┴────────────┴────────────┘"#]].assert_eq(&comparison.claims_table().to_string());
    }

    #[test]
    fn metrics_differ_from_the_first_run() {
        let comparison = Comparison::of(&runs()[..2]).unwrap();
        expect![[r#"
            ┌─────────────────────────────┬───────┬────────┬────────────┐
            │ metric                      ┆     a ┆      b ┆ difference │
            ╞═════════════════════════════╪═══════╪════════╪════════════╡
            │ accuracy/exact              ┆ 0.975 ┆ 0.9875 ┆    +0.0125 │
            │ accuracy/exact_hi           ┆ 0.978 ┆ 0.9905 ┆    +0.0125 │
            │ accuracy/exact_lo           ┆ 0.972 ┆ 0.9845 ┆    +0.0125 │
            │ like/accuracy_ties_wrong    ┆ 0.965 ┆ 0.9775 ┆    +0.0125 │
            │ like/accuracy_ties_wrong_hi ┆ 0.968 ┆ 0.9805 ┆    +0.0125 │
            │ like/accuracy_ties_wrong_lo ┆ 0.962 ┆ 0.9745 ┆    +0.0125 │
            │ network/cells               ┆ 61470 ┆  30000 ┆     -31470 │
            │ speed                       ┆     – ┆    1.5 ┆          – │
            └─────────────────────────────┴───────┴────────┴────────────┘"#]]
        .assert_eq(&comparison.metrics_table().to_string());
    }

    #[test]
    fn what_changed_comes_first() {
        let comparison = Comparison::of(&runs()[..2]).unwrap();
        expect![[r#"
            | metric                   |                         a |                         b | difference | 95 % intervals |
            | :----------------------- | ------------------------: | ------------------------: | ---------: | :------------- |
            | like/accuracy_ties_wrong | 0.9650 (0.9620 to 0.9680) | 0.9775 (0.9745 to 0.9805) |    +0.0125 | apart          |
            | accuracy/exact           | 0.9750 (0.9720 to 0.9780) | 0.9875 (0.9845 to 0.9905) |    +0.0125 | apart          |
            | network/cells            |                     61470 |                     30000 |     -31470 | –              |
            | speed                    |                         – |                       1.5 |          – | –              |
        "#]].assert_eq(&comparison.changed_table().to_markdown());
        let changed: Vec<&str> = (comparison.claims.iter().filter(|claim| claim.is_changed()))
            .map(|claim| claim.name.as_str())
            .collect();
        assert_eq!(changed, ["P1 MNIST accuracy, our training"; 2]);
    }

    #[test]
    fn a_run_differs_from_itself_by_nothing() {
        let run = runs().remove(0);
        let comparison = Comparison::of(&[run.clone(), run]).unwrap();
        for metric in comparison.metrics.values() {
            assert_eq!(metric.differences, [Some(0.0); 2]);
        }
        assert!(comparison.changed_table().rows().is_empty());
        assert!(comparison.changed_claims_table().rows().is_empty());
        assert!(Comparison::of(&[]).is_err());
    }

    #[test]
    fn differences_have_signs() {
        assert_eq!(signed("0.00".to_owned()), "0.00");
        assert_eq!(signed("1".to_owned()), "+1");
    }
}
