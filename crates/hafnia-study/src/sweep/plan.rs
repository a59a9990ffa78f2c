//! [`Plan`]: the points of a sweep, and the shards they are computed in.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use hafnia_artifact::Digest;
use hafnia_rng::{ChaCha8Rng, Seed};
use hafnia_sim::EngineKind;
use hafnia_text::{must, nearest, quoted};
use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::sweep::config::{Axis, Method, Sweep, Value};
use crate::sweep::error::SweepError;

/// Points of a sweep that may be started without being sure.
pub const MOST_POINTS: usize = 10_000;

/// One point: a value for every key that the sweep names.
pub type Point = BTreeMap<String, Value>;

/// What is computed from, by name: the program by its version and revision, files by their digests.
pub type Inputs = BTreeMap<String, String>;

/// The name of the program among [`Inputs`].
pub const PROGRAM: &str = "hafnia";

/// What a sweep comes down to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The sweep.
    pub sweep: Sweep,
    /// What results depend on beside it, by name, when it was begun: the program, and the digests of
    /// the files that there were.
    pub inputs: Inputs,
    /// Its points.
    pub points: Vec<Point>,
}

/// A shard: some chips of a point. As text it is the name of its file, `p00012-c00020`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShardId {
    /// The point's number, from 0.
    pub point: usize,
    /// The first chip.
    pub first_chip: u32,
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{:05}-c{:05}", self.point, self.first_chip)
    }
}

impl FromStr for ShardId {
    type Err = SweepError;

    fn from_str(text: &str) -> Result<Self, SweepError> {
        let parts = text.strip_prefix('p').and_then(|text| text.split_once("-c"));
        let parse = |(point, chip): (&str, &str)| {
            Some(Self { point: point.parse().ok()?, first_chip: chip.parse().ok()? })
        };
        parts.and_then(parse).ok_or_else(|| no_shard(text))
    }
}

impl Plan {
    /// The plan of a sweep whose keys are some of `keys`. A key such as `pipeline.tile.rows` counts
    /// as known if it is among them, whatever it means.
    ///
    /// # Errors
    /// If a key is unknown, an axis or a setting is out of range, or there are no points.
    pub fn of(sweep: Sweep, keys: &[String], inputs: Inputs) -> Result<Self, SweepError> {
        check(&sweep, keys)?;
        let own = match sweep.point.is_empty() {
            true => points(&sweep)?,
            false => sweep.point.clone(),
        };
        let point = |own: Point| {
            let mut point = sweep.base.clone();
            point.extend(own);
            point
        };
        let points = own.into_iter().map(point).collect();
        Ok(Self { sweep, inputs, points })
    }

    /// Checks the numbers of a plan that was read.
    ///
    /// # Errors
    /// If one is out of its range, or there are no points.
    pub(crate) fn validate(&self) -> Result<(), SweepError> {
        check_numbers(&self.sweep)?;
        let points = self.points.len();
        let is_range = (1..=*limits::SHARDS.end()).contains(&(points as u128));
        is_range.then_some(()).ok_or_else(|| {
            let must = must(1, *limits::SHARDS.end());
            SweepError::Invalid(format!("the plan has {points} points, it {must}"))
        })
    }

    /// How many points the axes of a sweep give, without listing them.
    pub fn count(sweep: &Sweep) -> u128 {
        let steps = |axis: &Axis| match axis {
            Axis::Values(values) => values.len() as u128,
            Axis::Range(range) => range.steps.unwrap_or(1) as u128,
        };
        match (sweep.sample.method, sweep.sample.points) {
            _ if !sweep.point.is_empty() => sweep.point.len() as u128,
            (Method::Grid, _) => {
                sweep.axes.values().map(steps).fold(1, |all, steps| all.saturating_mul(steps))
            }
            (_, points) => points.unwrap_or(0) as u128,
        }
    }

    /// What tells this plan from others, its inputs aside: shards say what they were computed from.
    pub fn digest(&self) -> Digest {
        // By way of JSON, which writes what a value is, not what it was read as.
        let text = serde_json::to_string(&(&self.sweep, &self.points));
        Digest::of(text.unwrap_or_default().as_bytes())
    }

    /// Keys that differ between points, which is what a table of results shows.
    pub fn varied(&self) -> Vec<&str> {
        let mut keys: Vec<&str> =
            self.points.iter().flat_map(|point| point.keys().map(String::as_str)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| {
            let first = self.points[0].get(*key);
            self.points.iter().any(|point| point.get(*key) != first)
        });
        keys
    }

    /// All shards, by point and chip.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> {
        let (chips, step) = (self.sweep.chips, self.shard_chips());
        let of = move |point| {
            (0..chips).step_by(step as usize).map(move |first_chip| ShardId { point, first_chip })
        };
        (0..self.points.len()).flat_map(of)
    }

    /// The chips of a shard.
    ///
    /// # Errors
    /// If the shard is not one of this plan.
    pub fn chips(&self, shard: &ShardId) -> Result<Range<u32>, SweepError> {
        let (chips, step) = (self.sweep.chips, self.shard_chips());
        let is_one = shard.point < self.points.len()
            && shard.first_chip < chips
            && shard.first_chip.is_multiple_of(step);
        match is_one {
            true => Ok(shard.first_chip..chips.min(shard.first_chip.saturating_add(step))),
            false => Err(no_shard(shard)),
        }
    }

    fn shard_chips(&self) -> u32 {
        self.sweep.shard_chips.unwrap_or(self.sweep.chips)
    }
}

fn no_shard(found: impl fmt::Display) -> SweepError {
    let fault = format!("the sweep has no shard `{found}`");
    SweepError::Invalid(fault)
}

/// Checks the numbers of a sweep.
fn check_numbers(sweep: &Sweep) -> Result<(), SweepError> {
    let wrong = |fault| Err(SweepError::Invalid(fault));
    if let Err(error) = EngineKind::from_str(&sweep.engine.to_string()) {
        return wrong(format!("`engine`: {error}"));
    }
    let within = |what, number, range| {
        let checked = limits::check(what, number, range);
        checked.map_err(|error| SweepError::Invalid(error.to_string()))
    };
    within("`chips`", sweep.chips, &limits::CHIPS)?;
    within("`shard_chips`", sweep.shard_chips.unwrap_or(1), &limits::CHIPS)?;
    within("`replicates`", sweep.replicates, &limits::REPLICATES)?;
    let points = Plan::count(sweep);
    let per_point = sweep.chips.div_ceil(sweep.shard_chips.unwrap_or(sweep.chips));
    let shards = points.saturating_mul(per_point.into());
    for (what, number) in [("points", points), ("shards", shards)] {
        if number > *limits::SHARDS.end() {
            let must = must(1, *limits::SHARDS.end());
            return wrong(format!("the sweep has {number} {what}, it {must}"));
        }
    }
    if let Some(percent) = sweep.yield_at.filter(|percent| !(0.0..=100.0).contains(percent)) {
        return wrong(format!("`yield_at` is {percent}, it must lie in 0..=100, per cent"));
    }
    Ok(())
}

fn check(sweep: &Sweep, keys: &[String]) -> Result<(), SweepError> {
    let wrong = |fault| Err(SweepError::Invalid(fault));
    check_numbers(sweep)?;
    if !sweep.point.is_empty() && !sweep.axes.is_empty() {
        return wrong("give either [axes] or [[point]], not both".to_owned());
    }
    if let Some(key) = sweep.axes.keys().find(|key| sweep.base.contains_key(*key)) {
        return wrong(format!(
            "`{key}` is given by [base] as well as by [axes]: leave it out of one"
        ));
    }
    let listed = sweep.point.iter().flat_map(|point| point.keys());
    let conditions = sweep.conditions.iter().flatten();
    for key in sweep.base.keys().chain(sweep.axes.keys()).chain(listed).chain(conditions) {
        if !keys.contains(key) {
            let nearest = match nearest(key, keys.iter().map(String::as_str)) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "see hafnia sweep --help".to_owned(),
            };
            return wrong(format!("no key {} can be swept: {nearest}", quoted(key)));
        }
    }
    let is_grid = sweep.sample.method == Method::Grid;
    for (key, axis) in &sweep.axes {
        let fault = match axis {
            Axis::Values(values) => values.is_empty().then_some("it has no values"),
            Axis::Range(range) => range.fault(is_grid),
        };
        if let Some(fault) = fault {
            return wrong(format!("axis `{key}`: {fault}"));
        }
    }
    match (is_grid, sweep.sample.points) {
        (true, Some(points)) => {
            wrong(format!("`sample.points` is {points}, a grid has as many as its axes give"))
        }
        (false, None | Some(0)) => {
            wrong("`sample.points` is missing or 0, it must be at least 1".to_owned())
        }
        _ if sweep.axes.is_empty() && sweep.point.is_empty() => {
            wrong("the sweep has no points: give [axes] or [[point]]".to_owned())
        }
        _ => Ok(()),
    }
}

/// The points that the axes give.
fn points(sweep: &Sweep) -> Result<Vec<Point>, SweepError> {
    let axes: Vec<(&String, &Axis)> = sweep.axes.iter().collect();
    let count = sweep.sample.points.unwrap_or(0);
    if sweep.sample.method == Method::Grid {
        let mut points = vec![Point::new()];
        for (key, axis) in axes {
            let values = steps(axis);
            let with = |point: &Point| {
                let with = |value: &Value| {
                    let mut point = point.clone();
                    point.insert(key.clone(), value.clone());
                    point
                };
                values.iter().map(with).collect::<Vec<_>>()
            };
            points = points.iter().flat_map(with).collect();
        }
        return Ok(points);
    }
    let mut points = vec![Point::new(); count];
    for (index, (key, axis)) in axes.into_iter().enumerate() {
        let rng = &mut Seed(sweep.seed).site("sweep/sample").index(index as u64).rng();
        for (point, share) in points.iter_mut().zip(shares(sweep.sample.method, count, rng)) {
            point.insert(key.clone(), at(axis, share));
        }
    }
    Ok(points)
}

/// Where a sample stands along an axis, each from 0 to 1 and below 1.
fn shares(method: Method, count: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut strata: Vec<usize> = (0..count).collect();
    strata.shuffle(rng);
    let share = |stratum| match method {
        Method::LatinHypercube => (stratum as f64 + rng.random::<f64>()) / count as f64,
        Method::Grid | Method::Random => rng.random(),
    };
    strata.into_iter().map(share).collect()
}

/// The value that lies this share along an axis.
fn at(axis: &Axis, share: f64) -> Value {
    match axis {
        Axis::Range(range) => range.at(share),
        Axis::Values(values) => {
            let index = (share * values.len() as f64) as usize;
            values[index.min(values.len() - 1)].clone()
        }
    }
}

/// The values that a grid takes of an axis.
fn steps(axis: &Axis) -> Vec<Value> {
    match axis {
        Axis::Values(values) => values.clone(),
        Axis::Range(range) => {
            let steps = range.steps.unwrap_or(1);
            (0..steps).map(|step| range.at(step as f64 / (steps - 1).max(1) as f64)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn plan(text: &str) -> Result<Plan, SweepError> {
        let keys = ["model", "a", "b", "macro.sigma_lrs_rel"].map(str::to_owned);
        Plan::of(Sweep::parse(text)?, &keys, BTreeMap::new())
    }

    fn check(text: &str, expected: Expect) {
        let found = match plan(&format!("name = \"x\"\n{text}")) {
            Ok(plan) => {
                let point = |point: &Point| {
                    point.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
                };
                plan.points.iter().map(point).collect::<Vec<_>>().join("\n")
            }
            Err(error) => format!("{error}"),
        };
        expected.assert_eq(&found);
    }

    #[test]
    fn a_grid_is_all_combinations() {
        check(
            "[base]\nmodel = \"m\"\n[axes]\na = [1, 2.5, true]\nb = { from = 1.0, to = 100.0, steps = 3, scale = \"log\" }",
            expect![[r#"
                a=1 b=1 model=m
                a=1 b=10 model=m
                a=1 b=100 model=m
                a=2.5 b=1 model=m
                a=2.5 b=10 model=m
                a=2.5 b=100 model=m
                a=true b=1 model=m
                a=true b=10 model=m
                a=true b=100 model=m"#]],
        );
    }

    #[test]
    fn points_are_listed_one_by_one() {
        check(
            "[base]\nmodel = \"m\"\n[[point]]\na = 1\n[[point]]\nmodel = \"n\"\na = 2",
            expect![[r#"
                a=1 model=m
                a=2 model=n"#]],
        );
    }

    #[test]
    fn what_gives_no_plan_is_wrong() {
        check("", expect!["the sweep has no points: give [axes] or [[point]]"]);
        check("[axes]\na = []", expect!["axis `a`: it has no values"]);
        check(
            "[axes]\na = { from = 1, to = 2 }",
            expect!["axis `a`: a grid needs `steps`, at least 1"],
        );
        check(
            "[axes]\na = { from = 0.0, to = 2, steps = 2, scale = \"log\" }",
            expect!["axis `a`: a log scale needs `from` and `to` above 0"],
        );
        check(
            "[axes]\n\"macro.sigma_lrs\" = [1]",
            expect!["no key `macro.sigma_lrs` can be swept: did you mean `macro.sigma_lrs_rel`?"],
        );
        check(
            "conditions = [\"aa\"]\n[axes]\na = [1]",
            expect!["no key `aa` can be swept: see hafnia sweep --help"],
        );
        check(
            "[base]\na = 1\n[axes]\na = [1]",
            expect!["`a` is given by [base] as well as by [axes]: leave it out of one"],
        );
        check(
            "[axes]\na = [1]\n[[point]]\na = 1",
            expect!["give either [axes] or [[point]], not both"],
        );
        check(
            "engine = \"own\"\n[axes]\na = [1]",
            expect!["`engine`: there is no engine `own`: it is `exact`, `table` or `device`"],
        );
        check("chips = 0\n[axes]\na = [1]", expect!["`chips` is 0, it must lie in 1..=100000"]);
        check(
            "chips = 4294967295\nshard_chips = 3000000000\n[axes]\na = [1]",
            expect!["`chips` is 4294967295, it must lie in 1..=100000"],
        );
        check(
            "shard_chips = 3000000000\n[axes]\na = [1]",
            expect!["`shard_chips` is 3000000000, it must lie in 1..=100000"],
        );
        check(
            "replicates = 4294967295\n[axes]\na = [1]",
            expect!["`replicates` is 4294967295, it must lie in 1..=100000"],
        );
        check(
            "[axes]\na = { from = 0.1, to = 0.2, steps = 1000000000000000000 }",
            expect!["the sweep has 1000000000000000000 points, it must lie in 1..=1000000"],
        );
        check(
            "chips = 100000\nshard_chips = 1\n[axes]\na = { from = 0.1, to = 0.2, steps = 11 }",
            expect!["the sweep has 1100000 shards, it must lie in 1..=1000000"],
        );
        check(
            "[axes]\na = { from = 0.1, to = 0.2, steps = 4000000000 }\nb = { from = 0.1, to = 0.2, steps = 8000000000 }",
            expect!["the sweep has 32000000000000000000 points, it must lie in 1..=1000000"],
        );
        check(
            "[axes]\na = [1]\n[sample]\nmethod = \"random\"",
            expect!["`sample.points` is missing or 0, it must be at least 1"],
        );
        check("chip = 1", expect!["not a sweep"]);
    }

    /// Else a sweep that goes on takes its own folder for another one's.
    #[test]
    fn values_are_read_as_they_were_written() {
        let values: Vec<String> =
            (1..2000).map(|k| format!("{:?}", f64::from(k).sqrt() / 997.0)).collect();
        let plan = plan(&format!("name = \"x\"\n[axes]\na = [{}]", values.join(", "))).unwrap();
        let read: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        assert_eq!(read.digest(), plan.digest());
    }

    /// An on/off ratio may be infinite.
    #[test]
    fn numbers_that_json_does_not_have_are_read_as_they_were_written() {
        let text = "name = \"x\"\n[axes]\na = [17.0, inf, -inf, -0.0, \"inf\"]";
        let plan = plan(text).unwrap();
        let written = serde_json::to_string(&plan).unwrap();
        let read: Plan = serde_json::from_str(&written).unwrap();
        assert_eq!(read.points[..3], plan.points[..3]);
        assert_eq!(read.points[1]["a"], Value::Number(f64::INFINITY));
        assert_eq!(
            (read.digest(), serde_json::to_string(&read).unwrap()),
            (plan.digest(), written)
        );
        let shown: Vec<String> = read.points.iter().map(|point| point["a"].to_string()).collect();
        assert_eq!(shown, ["17", "inf", "-inf", "0", "inf"]);
    }

    #[test]
    fn shards_cut_the_chips_of_a_point() {
        let plan = plan("name = \"x\"\nchips = 5\nshard_chips = 2\n[axes]\na = [1, 2]").unwrap();
        let shards: Vec<String> = plan.shards().map(|shard| shard.to_string()).collect();
        assert_eq!(shards[..3], ["p00000-c00000", "p00000-c00002", "p00000-c00004"]);
        assert_eq!(shards.len(), 6);
        let last: ShardId = shards[5].parse().unwrap();
        assert_eq!(plan.chips(&last).unwrap(), 4..5);
        for wrong in ["p00002-c00000", "p00000-c00001", "p00000-c00006"] {
            assert!(plan.chips(&wrong.parse().unwrap()).is_err(), "{wrong}");
        }
        assert!("q1".parse::<ShardId>().is_err());
    }

    proptest! {
        #[test]
        fn a_latin_hypercube_meets_every_stratum_once(points in 1usize..40, seed in 0u64..100) {
            let text = format!(
                "name = \"x\"\nseed = {seed}\n[axes]\na = {{ from = 0.0, to = 1.0 }}\n\
                 b = {{ from = 0.0, to = 1.0 }}\n\
                 [sample]\nmethod = \"latin-hypercube\"\npoints = {points}"
            );
            let plan = plan(&text).unwrap();
            for key in ["a", "b"] {
                let stratum = |point: &Point| match point[key] {
                    Value::Number(number) => (number * points as f64) as usize,
                    _ => unreachable!("a range gives numbers"),
                };
                let mut strata: Vec<usize> = plan.points.iter().map(stratum).collect();
                strata.sort_unstable();
                prop_assert_eq!(strata, (0..points).collect::<Vec<_>>());
            }
        }
    }
}
