//! [`collect`]: a row of results for every point.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use hafnia_rng::Seed;
use hafnia_sim::Evaluation;
use hafnia_sim::statistics::{Summary, yield_at};
use hafnia_stats::float::Float;
use hafnia_stats::{Bootstrap, Interval, Outcomes, accuracy_difference};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::data::Part;
use crate::sweep::error::SweepError;
use crate::sweep::folder::{Computed, Folder};
use crate::sweep::key::{conditions, text_of};
use crate::sweep::pareto::{Objective, Weighed, mark};
use crate::sweep::plan::{Plan, Point};

/// How far a point is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All its shards are there.
    Done,
    /// A shard could not be computed.
    Failed,
    /// Shards are still missing.
    Missing,
}

/// What is known of a point.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its number.
    pub point: usize,
    /// Its values.
    pub values: Point,
    /// The part of the data set that its images are of.
    pub part: Part,
    /// How far it is.
    pub status: Status,
    /// The summary of its chips, once all are there.
    pub summary: Option<Summary>,
    /// The mean accuracy with its interval over chips and images.
    pub accuracy: Option<Interval>,
    /// The yield, if the sweep asks for it.
    pub yield_at: Option<Interval>,
    /// What else is known, mean over chips.
    pub facts: BTreeMap<String, f64>,
    /// Whether no other point beats it.
    pub pareto: bool,
    /// Why it failed.
    pub error: Option<String>,
}

/// The rows of all points, in order; those without all their shards have no results.
///
/// # Errors
/// If a shard is of another sweep.
pub fn collect(folder: &Folder) -> Result<Vec<Row>, SweepError> {
    let plan = folder.plan();
    let mut rows: Vec<Row> = Vec::new();
    for (point, values) in plan.points.iter().enumerate() {
        rows.push(Row {
            point,
            values: values.clone(),
            part: plan.sweep.part,
            status: Status::Done,
            summary: None,
            accuracy: None,
            yield_at: None,
            facts: BTreeMap::new(),
            pareto: false,
            error: None,
        });
    }
    let mut parts: Vec<Vec<Computed>> = vec![Vec::new(); rows.len()];
    for id in plan.shards() {
        let row = &mut rows[id.point];
        match (folder.shard(&id)?, folder.failure(&id)) {
            (Some(shard), _) => parts[id.point].push(shard.computed),
            (None, Some(failure)) => {
                (row.status, row.error) = (Status::Failed, Some(failure.error));
            }
            (None, None) if row.status == Status::Done => row.status = Status::Missing,
            (None, None) => {}
        }
    }
    let mut evaluations: Vec<Option<Evaluation>> = vec![None; rows.len()];
    for ((row, parts), evaluation) in rows.iter_mut().zip(parts).zip(&mut evaluations) {
        if row.status == Status::Done {
            *evaluation = sum_up(row, parts, plan)?;
        }
    }
    for (row, pareto) in fronts(plan, &rows, &evaluations).into_iter().enumerate() {
        rows[row].pareto = pareto;
    }
    Ok(rows)
}

/// Which points no other beats, within each combination of conditions.
///
/// Accuracies differ if the interval of their difference does not hold 0, other results if their
/// intervals do not overlap. Costs are priced by the same draws for all points, so they differ if
/// their values do.
fn fronts(plan: &Plan, rows: &[Row], evaluations: &[Option<Evaluation>]) -> Vec<bool> {
    let conditions = conditions(plan);
    let weighed = |row: &Row| {
        let flat = flat(row);
        let number = |column: &str| {
            let (_, value) = flat.iter().find(|(name, _)| name == column)?;
            let Float(number) = serde_json::from_value(value.clone()).ok()?;
            (!number.is_nan()).then_some(number)
        };
        let objectives = &plan.sweep.pareto;
        Weighed {
            conditions: conditions.iter().map(|key| text_of(&row.values, key, "")).collect(),
            values: objectives.iter().map(|objective| number(&objective.column)).collect(),
        }
    };
    let weighed: Vec<Weighed> = rows.iter().map(weighed).collect();
    let differ = |objective: &Objective, one: usize, other: usize| {
        let interval = |row: &Row| match &*objective.column {
            "drop_points" => row.summary.map(|summary| summary.drop_points),
            "yield" => row.yield_at,
            _ => None,
        };
        match (&evaluations[one], &evaluations[other]) {
            (Some(one), Some(other)) if objective.column == "accuracy" => differ_in(one, other),
            _ => match (interval(&rows[one]), interval(&rows[other])) {
                (Some(one), Some(other)) => one.hi < other.lo || other.hi < one.lo,
                _ => true,
            },
        }
    };
    mark(&plan.sweep.pareto, &weighed, differ)
}

/// Whether one is more accurate than the other by more than chips and images explain.
fn differ_in(one: &Evaluation, other: &Evaluation) -> bool {
    // Where nothing tells chips apart, one is as good as two that agree.
    let twice = |of: &Evaluation| vec![of.differences[0].clone(); 2];
    let twice = (!one.chips_differ && !other.chips_differ).then(|| [twice(one), twice(other)]);
    let [a, b] = match &twice {
        Some([a, b]) => [a, b],
        None => [&one.differences, &other.differences],
    };
    let one = Outcomes { exact_correct: &one.exact_correct, differences: a };
    let other = Outcomes { exact_correct: &other.exact_correct, differences: b };
    accuracy_difference(one, other).is_ok_and(|difference| !difference.holds(0.0))
}

/// Fills a row in; returns what its chips did.
fn sum_up(
    row: &mut Row,
    parts: Vec<Computed>,
    plan: &Plan,
) -> Result<Option<Evaluation>, SweepError> {
    let mut whole = None;
    for part in parts {
        let chips = part.evaluation.differences.len() as f64;
        for (column, value) in part.facts {
            *row.facts.entry(column).or_insert(0.0) += chips * value;
        }
        match &mut whole {
            None => whole = Some(part.evaluation),
            Some(whole) => whole.append(part.evaluation)?,
        }
    }
    row.facts.values_mut().for_each(|sum| *sum /= f64::from(plan.sweep.chips));
    if let Some(evaluation) = &whole {
        let seed = Seed(plan.sweep.seed).site("sweep/bootstrap");
        let bootstrap = Bootstrap { replicates: plan.sweep.replicates, seed };
        row.summary = Some(Summary::of(evaluation, bootstrap));
        row.accuracy = Some(evaluation.accuracy_over_images());
        row.yield_at = plan.sweep.yield_at.map(|percent| yield_at(evaluation, percent / 100.0));
    }
    Ok(whole)
}

/// A row by column, as CSV and JSON lines hold it: the keys of the sweep, then results.
fn flat(row: &Row) -> Vec<(String, Json)> {
    let mut flat = Vec::new();
    let mut put = |column: &str, value: Json| flat.push((column.to_owned(), value));
    put("point", json!(row.point));
    put("status", json!(row.status));
    for (key, value) in &row.values {
        put(key, json!(value));
    }
    if let Some(summary) = &row.summary {
        put("chips", json!(summary.chips));
        put("part", json!(row.part));
        put("images", json!(summary.images));
        put("exact_accuracy", json!(summary.exact_accuracy.value));
        let mut interval = |column: &str, interval: Interval| {
            put(column, json!(Float(interval.value)));
            put(&format!("{column}_lo"), json!(Float(interval.lo)));
            put(&format!("{column}_hi"), json!(Float(interval.hi)));
        };
        interval("accuracy", row.accuracy.unwrap_or(summary.accuracy));
        interval("drop_points", summary.drop_points);
        if let Some(yielded) = row.yield_at {
            interval("yield", yielded);
        }
        put("accuracy_sd", json!(summary.accuracy_sd));
        put("accuracy_worst", json!(summary.accuracy_worst));
    }
    for (column, value) in &row.facts {
        put(column, json!(Float(*value)));
    }
    put("pareto", json!(row.pareto));
    if let Some(error) = &row.error {
        put("error", json!(error));
    }
    flat
}

/// All rows as JSON, a line each.
pub fn to_json_lines(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let member = |(column, value): (String, Json)| format!("{}:{value}", json!(column));
        let members: Vec<String> = flat(row).into_iter().map(member).collect();
        format!("{{{}}}\n", members.join(","))
    };
    rows.iter().map(line).collect()
}

/// All rows as cells, below a header; what a row does not have is empty.
pub fn to_cells(rows: &[Row]) -> (Vec<String>, Vec<Vec<String>>) {
    let rows: Vec<Vec<(String, Json)>> = rows.iter().map(flat).collect();
    // In the order of the fullest row, with what only others have behind.
    let mut fullest: Vec<&Vec<(String, Json)>> = rows.iter().collect();
    fullest.sort_by_key(|row| Reverse(row.len()));
    let mut columns: Vec<String> = Vec::new();
    for (column, _) in fullest.into_iter().flatten() {
        if !columns.contains(column) {
            columns.push(column.clone());
        }
    }
    let cells = |row: &Vec<(String, Json)>| {
        let cell = |column: &String| match row.iter().find(|(name, _)| name == column) {
            None | Some((_, Json::Null)) => String::new(),
            Some((_, Json::String(text))) => text.clone(),
            Some((_, value)) => value.to_string(),
        };
        columns.iter().map(cell).collect()
    };
    let cells = rows.iter().map(cells).collect();
    (columns, cells)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::sweep::config::Value;
    use crate::sweep::folder::tests::{compute, plan};

    #[test]
    fn points_are_collected_as_far_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path(), plan()).unwrap();
        let all = folder.missing().unwrap();
        // Of the last point a shard is missing; one fails.
        folder.compute(&all[..17], compute, |_, _| ()).unwrap();
        let rows = collect(&folder).unwrap();
        let (header, cells) = to_cells(&rows);
        let lines: String =
            std::iter::once(&header).chain(&cells).map(|row| row.join(",") + "\n").collect();
        expect![[r#"
            point,status,a,b,chips,part,images,exact_accuracy,accuracy,accuracy_lo,accuracy_hi,drop_points,drop_points_lo,drop_points_hi,accuracy_sd,accuracy_worst,cells,pareto,error
            0,done,1,u,5,validation,20,0.9,0.85,0.6306135319809416,0.9656986840416343,5.0,0.0,11.0,0.0,0.85,101.6,false,
            1,done,1,v,5,validation,20,0.9,0.85,0.6306135319809416,0.9656986840416343,5.0,0.0,11.0,0.0,0.85,91.6,true,
            2,done,2,u,5,validation,20,0.9,0.85,0.6306135319809416,0.9656986840416343,5.0,0.0,11.0,0.0,0.85,101.6,false,
            3,failed,2,v,,,,,,,,,,,,,,false,no such thing
            4,done,3,u,5,validation,20,0.9,0.8200000000000001,0.5970175820618309,0.947221816650241,8.0,-1.0,17.0,0.04472135954999579,0.8,101.6,false,
            5,missing,3,v,,,,,,,,,,,,,,false,
        "#]].assert_eq(&lines);
        let lines = to_json_lines(&rows);
        assert_eq!(lines.lines().count(), 6);
        let infinite = Row {
            values: Point::from([("a".to_owned(), Value::Number(f64::NEG_INFINITY))]),
            facts: BTreeMap::from([("cells".to_owned(), f64::INFINITY), ("rows".to_owned(), -0.0)]),
            ..rows[5].clone()
        };
        assert_eq!(
            to_json_lines(std::slice::from_ref(&infinite)),
            "{\"point\":5,\"status\":\"missing\",\"a\":\"-inf\",\"cells\":\"inf\",\"rows\":0.0,\"pareto\":false}\n"
        );
        assert_eq!(to_cells(&[infinite]).1, [["5", "missing", "-inf", "inf", "0.0", "false"]]);
        let first: Json = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(first["cells"], json!(101.6));
        assert_eq!(first["b"], json!("u"));
    }

    /// On 400 images; the noiseless network is right on all but the first so many.
    fn evaluation(wrong: usize, differences: Vec<Vec<u32>>, chips_differ: bool) -> Evaluation {
        Evaluation {
            engine: hafnia_sim::EngineKind::Device,
            exact_correct: (0..400).map(|image| image >= wrong).collect(),
            differences,
            events: Vec::new(),
            nearness: hafnia_sim::Nearness::default(),
            is_lossy: false,
            chips_differ,
        }
    }

    #[test]
    fn accuracies_differ_beyond_their_interval() {
        let chips = |lost: u32| vec![vec![lost], vec![lost + 1], vec![]];
        let best = evaluation(0, chips(100), true);
        assert!(!differ_in(&best, &evaluation(2, chips(200), true)), "two images are chance");
        assert!(differ_in(&best, &evaluation(40, chips(200), true)), "a tenth of all is none");
        // Where nothing is drawn the one chip is all there is to know, but of the images.
        let certain = |wrong| evaluation(wrong, vec![vec![]], false);
        assert!(differ_in(&certain(0), &certain(40)) && !differ_in(&certain(0), &certain(2)));
        // Of a single chip that is drawn nothing is known.
        let single = |wrong| evaluation(wrong, vec![vec![]], true);
        assert!(!differ_in(&single(0), &single(40)));
    }
}
