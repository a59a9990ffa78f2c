//! What a simulation finds.

use std::collections::BTreeMap;

use hafnia_artifact::Digest;
use hafnia_report::Attribution;
use hafnia_sim::statistics::{Summary, yield_at};
use hafnia_sim::{EngineKind, Evaluation, Events, MatrixPath};
use hafnia_stats::{
    Bootstrap, Interval, Outcomes, Pooled, PooledReduction, Power, Reduction, pooled, reduction,
    wilson,
};
use serde::{Deserialize, Serialize};

use crate::data::Part;
use crate::table_error::TableCheck;

/// The result, in shares of 1 unless a name ends in `_points`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimulateOutcome {
    /// The engine.
    pub engine: EngineKind,
    /// Where there was noise.
    pub noise_in: String,
    /// The part of the data set.
    pub part: Part,
    /// Images that every chip was shown.
    pub images: usize,
    /// Whether images have labels; if not, a network is right where it answers as it does itself
    /// without noise.
    pub labelled: bool,
    /// Whether they have targets, which outputs are held against.
    pub targets: bool,
    /// Chips of every mapping: one if nothing tells them apart, however many were asked for.
    pub chips: usize,
    /// Whether anything tells chips apart.
    pub chips_differ: bool,
    /// The reach that chips were added for, in points, and whether it was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Until>,
    /// Seed of everything drawn.
    pub seed: u64,
    /// The macro.
    #[serde(rename = "macro")]
    pub spec: BTreeMap<String, String>,
    /// Whether the converter clips partial sums even without noise.
    pub lossy: bool,
    /// How `table` was held against `device`, if it was run with static noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_check: Option<TableCheck>,
    /// What was found.
    #[serde(flatten)]
    pub found: Found,
    /// Where the accuracy of the first goes, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<Attribution>,
    /// Per mapping but the first, what more networks and chips would tell, if asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub power: Vec<MappingPower>,
}

/// Of one network, or of several and of all together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Found {
    /// The mappings of one network.
    One(NetworkMappings),
    /// Those of several.
    Several {
        /// Each of them.
        networks: Vec<SimulatedNetwork>,
        /// All of them together.
        pooled: PooledNetworks,
    },
}

/// How far chips were added.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Until {
    /// How far the interval may reach to either side.
    pub points: f64,
    /// Whether it does not reach further.
    pub reached: bool,
}

/// The mappings of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkMappings {
    /// Accuracy without noise (Wilson).
    pub exact_accuracy: Interval,
    /// Share of images whose class is among the five largest outputs without noise (Wilson), where
    /// there are more classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact_top_five: Option<Interval>,
    /// Mean over images and outputs of the squared difference between an output and its target without
    /// noise, where there are targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact_mean_squared_error: Option<f64>,
    /// The mappings; the first is the baseline.
    pub mappings: Vec<SimulatedMapping>,
}

/// A network that was simulated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimulatedNetwork {
    /// Its file, or `model recipe/seed`.
    pub name: String,
    /// The digest of its file.
    pub digest: Digest,
    /// What was found.
    #[serde(flatten)]
    pub found: NetworkMappings,
}

/// A mapping of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimulatedMapping {
    /// Its file, or the pipeline that made it.
    pub mapping: String,
    /// Mean accuracy over chips.
    pub accuracy_mean: f64,
    /// Its interval over chips, the images staying the same; all there can be for a single chip.
    pub accuracy_interval: Interval,
    /// Standard deviation of the accuracy from chip to chip.
    pub accuracy_sd: f64,
    /// Accuracy of the worst chip.
    pub accuracy_worst: f64,
    /// Mean share of images whose class is among the five largest outputs, with its interval over
    /// chips, where there are more classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_five: Option<Interval>,
    /// Mean over chips, images and outputs of the squared difference between an output and its target
    /// or, without targets, what it is without noise; its interval is over chips.
    pub mean_squared_error: Interval,
    /// Share of chips that reach an accuracy, if asked for.
    #[serde(rename = "yield", default, skip_serializing_if = "Option::is_none")]
    pub yield_at: Option<Interval>,
    /// Exact accuracy minus mean accuracy.
    pub drop_points: Interval,
    /// By how many points more it loses on `device`, if it was run on `table` with static noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_error_points: Option<Interval>,
    /// Against the first mapping; its `rel` has no value where the first has no drop.
    pub reduction: Option<Reduction>,
    /// Counts per image, over the layers with noise.
    pub per_image: PerImage,
    /// How the products of every matrix were computed, and why not faster; it changes no result.
    pub paths: Vec<MatrixPath>,
}

/// Over networks, chips and images together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PooledNetworks {
    /// How many.
    pub networks: usize,
    /// Chips of every network.
    pub chips: usize,
    /// Images that every chip was shown.
    pub images: usize,
    /// By position among the mappings of every network.
    pub mappings: Vec<PooledMapping>,
}

/// A mapping over all networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PooledMapping {
    /// Its name if all networks call it the same, or else `mapping N`, the first being 1.
    pub mapping: String,
    /// Mean accuracy over networks and chips.
    pub accuracy_mean: f64,
    /// What was found.
    #[serde(flatten)]
    pub found: Pooled,
    /// Means over networks.
    pub per_image: PerImage,
}

/// The forecast for one mapping.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MappingPower {
    /// Its name.
    pub mapping: String,
    /// What more networks and chips would tell.
    #[serde(flatten)]
    pub power: Power,
}

/// Counts of an image, over the layers with noise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PerImage {
    /// Conversion cycles.
    pub groups: f64,
    /// Conversions.
    pub conversions: f64,
    /// Rows that are on.
    pub rows_on: f64,
}

impl PerImage {
    /// The mean over evaluations of as many chips and images.
    fn of<'a>(evaluations: impl IntoIterator<Item = &'a Evaluation>) -> Self {
        let mut runs = 0;
        let mut sum = Events::default();
        for evaluation in evaluations {
            runs += evaluation.runs();
            evaluation.events.iter().for_each(|&events| sum += events);
        }
        let mean = |count: u64| count as f64 / runs as f64;
        Self {
            groups: mean(sum.groups),
            conversions: mean(sum.conversions),
            rows_on: mean(sum.rows_on),
        }
    }
}

/// A network that was run: its name, digest and number of classes, whether there were targets, by name what its mappings gave, and their paths.
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) digest: Digest,
    pub(crate) classes: usize,
    pub(crate) has_targets: bool,
    pub(crate) evaluations: Vec<(String, Evaluation)>,
    pub(crate) paths: Vec<Vec<MatrixPath>>,
    /// By how many points more each loses on `device`, where that was measured.
    pub(crate) table_errors: Vec<Option<Interval>>,
}

impl Run {
    fn outcomes(&self) -> Vec<Outcomes<'_>> {
        self.evaluations.iter().map(|(_, evaluation)| evaluation.outcomes()).collect()
    }
}

impl Found {
    /// What is said of runs of as many mappings each; `accuracy` is what chips have to reach to
    /// count for the yield.
    pub(crate) fn of(
        runs: &[Run],
        bootstrap: Bootstrap,
        accuracy: Option<f64>,
    ) -> anyhow::Result<Self> {
        if let [run] = runs {
            return Ok(Self::One(NetworkMappings::of(run, bootstrap, accuracy)?));
        }
        let mut networks = Vec::new();
        for run in runs {
            networks.push(SimulatedNetwork {
                name: run.name.clone(),
                digest: run.digest,
                found: NetworkMappings::of(run, bootstrap, accuracy)?,
            });
        }
        let outcomes: Vec<_> = runs.iter().map(Run::outcomes).collect();
        let found = pooled(&outcomes, bootstrap)?.into_iter().enumerate();
        let mappings = found.map(|(position, found)| {
            let of_all = || runs.iter().map(|run| &run.evaluations[position].1);
            let exact: f64 = of_all().map(Evaluation::exact_accuracy).sum();
            PooledMapping {
                mapping: position_name(runs, position),
                accuracy_mean: exact / runs.len() as f64 - found.drop_points.value / 100.0,
                found,
                per_image: PerImage::of(of_all()),
            }
        });
        let pooled = PooledNetworks {
            networks: runs.len(),
            chips: outcomes[0][0].chips(),
            images: outcomes[0][0].images(),
            mappings: mappings.collect(),
        };
        Ok(Self::Several { networks, pooled })
    }

    /// The results of every network, with its name.
    pub fn networks(&self) -> Vec<(&str, &NetworkMappings)> {
        match self {
            Self::One(found) => vec![("", found)],
            Self::Several { networks, .. } => {
                networks.iter().map(|network| (network.name.as_str(), &network.found)).collect()
            }
        }
    }

    /// All networks together, if they are several.
    pub fn pooled(&self) -> Option<&PooledNetworks> {
        match self {
            Self::One(_) => None,
            Self::Several { pooled, .. } => Some(pooled),
        }
    }
}

/// What the networks call the mapping at this position.
fn position_name(runs: &[Run], position: usize) -> String {
    let name = |run: &Run| run.evaluations[position].0.clone();
    let first = name(&runs[0]);
    match runs.iter().all(|run| name(run) == first) {
        true => first,
        false => format!("mapping {}", position + 1),
    }
}

/// The forecasts of these runs, for all mappings but the first.
pub(crate) fn power(
    runs: &[Run],
    networks: &[usize],
    chips: &[usize],
) -> anyhow::Result<Vec<MappingPower>> {
    let outcomes: Vec<_> = runs.iter().map(Run::outcomes).collect();
    let positions = 1..runs[0].evaluations.len();
    let forecast = |position| {
        let power = Power::forecast(&outcomes, position, networks, chips)?;
        Ok(MappingPower { mapping: position_name(runs, position), power })
    };
    positions.map(forecast).collect()
}

impl NetworkMappings {
    fn of(run: &Run, bootstrap: Bootstrap, accuracy: Option<f64>) -> anyhow::Result<Self> {
        let (_, first) = &run.evaluations[0];
        let more_than_five = run.classes > 5;
        let mut mappings = Vec::new();
        for (index, (name, evaluation)) in run.evaluations.iter().enumerate() {
            let summary = Summary::of(evaluation, bootstrap);
            let reduction = match index {
                0 => None,
                _ => Some(reduction(first.outcomes(), evaluation.outcomes(), bootstrap)?),
            };
            mappings.push(SimulatedMapping {
                mapping: name.clone(),
                accuracy_mean: summary.accuracy.value,
                accuracy_interval: summary.accuracy,
                accuracy_sd: summary.accuracy_sd,
                accuracy_worst: summary.accuracy_worst,
                top_five: more_than_five.then(|| evaluation.top_five()),
                mean_squared_error: evaluation.mean_squared_error(),
                yield_at: accuracy.map(|accuracy| yield_at(evaluation, accuracy)),
                drop_points: summary.drop_points,
                table_error_points: run.table_errors[index],
                reduction,
                per_image: PerImage::of([evaluation]),
                paths: run.paths[index].clone(),
            });
        }
        let exact_accuracy = wilson(first.exact_correct_count(), first.images());
        let exact_top_five = more_than_five.then(|| first.exact_top_five());
        let exact_mean_squared_error =
            run.has_targets.then_some(first.nearness.exact_squared_error);
        Ok(Self { exact_accuracy, exact_top_five, exact_mean_squared_error, mappings })
    }
}

impl SimulateOutcome {
    /// All networks together; of one, what is said of it.
    pub fn together(&self) -> PooledNetworks {
        let found = match &self.found {
            Found::Several { pooled, .. } => return pooled.clone(),
            Found::One(found) => found,
        };
        let pooled =
            |reduction: Reduction| PooledReduction { rel: reduction.rel, points: reduction.points };
        let mapping = |of: &SimulatedMapping| PooledMapping {
            mapping: of.mapping.clone(),
            accuracy_mean: of.accuracy_mean,
            found: Pooled { drop_points: of.drop_points, reduction: of.reduction.map(pooled) },
            per_image: of.per_image,
        };
        PooledNetworks {
            networks: 1,
            chips: self.chips,
            images: self.images,
            mappings: found.mappings.iter().map(mapping).collect(),
        }
    }

    /// As a list of mappings, those of a network after those of another and the pooled ones last.
    pub fn rows(&self) -> Vec<Row<'_>> {
        let mut rows = Vec::new();
        for (network, found) in self.found.networks() {
            let row = |mapping| Row { network, mapping: RowMapping::OfNetwork(mapping) };
            rows.extend(found.mappings.iter().map(row));
        }
        if let Some(pooled) = self.found.pooled() {
            let row = |mapping| Row { network: "pooled", mapping: RowMapping::Pooled(mapping) };
            rows.extend(pooled.mappings.iter().map(row));
        }
        rows
    }
}

/// A mapping and its network.
#[derive(Serialize)]
pub struct Row<'a> {
    /// Its name, or `pooled`.
    pub network: &'a str,
    #[serde(flatten)]
    mapping: RowMapping<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum RowMapping<'a> {
    OfNetwork(&'a SimulatedMapping),
    Pooled(&'a PooledMapping),
}
