//! What `hafnia sim` finds, and how it is shown.

use std::collections::BTreeMap;

use hafnia_artifact::Digest;
use hafnia_report::{Align, Attribution, Table};
use hafnia_sim::statistics::{Summary, yield_at};
use hafnia_sim::{EngineKind, Evaluation, Events};
use hafnia_stats::{Bootstrap, Interval, Outcomes, Power, Reduction, pooled, reduction, wilson};
use serde::Serialize;

use crate::attribute;
use crate::data::Part;

/// The result, in shares of 1 unless a name ends in `_points`.
#[derive(Serialize)]
pub(super) struct Simulated {
    pub(super) engine: EngineKind,
    pub(super) noise_in: String,
    pub(super) part: Part,
    pub(super) images: usize,
    /// Chips of every mapping.
    pub(super) chips: usize,
    /// The reach that chips were added for, in points, and whether it was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Until>,
    pub(super) seed: u64,
    #[serde(rename = "macro")]
    pub(super) spec: BTreeMap<String, String>,
    /// Whether the converter clips partial sums even without noise.
    pub(super) lossy: bool,
    #[serde(flatten)]
    pub(super) found: Found,
    /// Where the accuracy of the first goes, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attribution: Option<Attribution>,
    /// Per mapping but the first, what more networks and chips would tell, if asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) power: Vec<MappingPower>,
}

/// Of one network, or of several and of all together.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Found {
    One(NetworkMappings),
    Several { networks: Vec<SimulatedNetwork>, pooled: PooledNetworks },
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct Until {
    pub(super) points: f64,
    pub(super) reached: bool,
}

#[derive(Serialize)]
pub(super) struct NetworkMappings {
    /// Accuracy without noise (Wilson).
    exact_accuracy: Interval,
    mappings: Vec<SimulatedMapping>,
}

#[derive(Serialize)]
pub(super) struct SimulatedNetwork {
    /// Its file, or `model recipe/seed`.
    name: String,
    /// The digest of its file.
    digest: Digest,
    #[serde(flatten)]
    found: NetworkMappings,
}

#[derive(Serialize)]
struct SimulatedMapping {
    /// Its file, or the pipeline that made it.
    mapping: String,
    /// Mean accuracy over chips.
    accuracy_mean: f64,
    /// Its interval over chips, the images staying the same; open for a single chip.
    accuracy_interval: Interval,
    /// Standard deviation of the accuracy from chip to chip.
    accuracy_sd: f64,
    /// Accuracy of the worst chip.
    accuracy_worst: f64,
    /// Share of chips that reach an accuracy, if asked for.
    #[serde(rename = "yield", skip_serializing_if = "Option::is_none")]
    yield_at: Option<Interval>,
    /// Exact accuracy minus mean accuracy.
    drop_points: Interval,
    /// Against the first mapping; its `rel` is null where the first has no drop.
    reduction: Option<Reduction>,
    /// Counts per image, over the layers with noise.
    per_image: PerImage,
}

/// Over networks, chips and images together.
#[derive(Serialize)]
pub(super) struct PooledNetworks {
    networks: usize,
    chips: usize,
    images: usize,
    /// By position among the mappings of every network.
    mappings: Vec<PooledMapping>,
}

#[derive(Serialize)]
struct PooledMapping {
    /// Its name if all networks call it the same, or else `mapping N`, the first being 1.
    mapping: String,
    /// Mean accuracy over networks and chips.
    accuracy_mean: f64,
    #[serde(flatten)]
    found: hafnia_stats::Pooled,
    /// Means over networks.
    per_image: PerImage,
}

/// The forecast for one mapping.
#[derive(Serialize)]
pub(super) struct MappingPower {
    mapping: String,
    #[serde(flatten)]
    power: Power,
}

#[derive(Clone, Copy, Serialize)]
struct PerImage {
    groups: f64,
    conversions: f64,
    rows_on: f64,
}

impl PerImage {
    /// The mean over evaluations of as many chips and images.
    fn of<'a>(evaluations: impl IntoIterator<Item = &'a Evaluation>) -> Self {
        let mut runs = 0;
        let mut sum = Events::default();
        for evaluation in evaluations {
            runs += evaluation.images() * evaluation.chips();
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

/// A network that was run: its name and digest, and by name what its mappings gave.
pub(super) struct Run {
    pub(super) name: String,
    pub(super) digest: Digest,
    pub(super) evaluations: Vec<(String, Evaluation)>,
}

impl Run {
    fn outcomes(&self) -> Vec<Outcomes<'_>> {
        self.evaluations.iter().map(|(_, evaluation)| evaluation.outcomes()).collect()
    }
}

impl Found {
    /// What is said of runs of as many mappings each; `accuracy` is what chips have to reach to
    /// count for the yield.
    pub(super) fn of(
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
    fn networks(&self) -> Vec<(&str, &NetworkMappings)> {
        match self {
            Self::One(found) => vec![("", found)],
            Self::Several { networks, .. } => {
                networks.iter().map(|network| (network.name.as_str(), &network.found)).collect()
            }
        }
    }

    fn pooled(&self) -> Option<&PooledNetworks> {
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
pub(super) fn power(
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
                yield_at: accuracy.map(|accuracy| yield_at(evaluation, accuracy)),
                drop_points: summary.drop_points,
                reduction,
                per_image: PerImage::of([evaluation]),
            });
        }
        let exact_accuracy = wilson(first.exact_correct_count(), first.images());
        Ok(Self { exact_accuracy, mappings })
    }
}

impl Simulated {
    /// What is printed for people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, found) in self.found.networks() {
            let Interval { value, lo, hi } = found.exact_accuracy;
            let of = if name.is_empty() { String::new() } else { format!("{name}: ") };
            text += &format!(
                "{of}exact accuracy {:.2} % ({:.2} to {:.2}) on {} {} images\n",
                100.0 * value,
                100.0 * lo,
                100.0 * hi,
                self.images,
                self.part.name(),
            );
        }
        if self.lossy {
            text += "The converter clips: more rows a conversion than codes.\n";
        }
        let chips = match self.engine {
            EngineKind::Exact => "no noise".to_owned(),
            EngineKind::Table => format!("{} repetitions (not chips)", self.chips),
            EngineKind::Device => format!("{} virtual chips", self.chips),
        };
        text += &format!("{chips}, noise in: {}\n{}\n", self.noise_in, self.table());
        if let Some(Until { points, reached }) = self.until {
            let are = if reached { "are reached" } else { "are not reached (--most-chips)" };
            text += &format!("±{points} points over chips {are}\n");
        }
        for (name, found) in self.found.networks() {
            for mapping in &found.mappings {
                if let Some(Interval { value, lo, hi }) = mapping.yield_at {
                    let [value, lo, hi] = [value, lo, hi].map(|share| 100.0 * share);
                    let of = format!("{name} {}", mapping.mapping);
                    text += &format!("yield of {}: {value:.1} % ({lo:.1} to {hi:.1})\n", of.trim());
                }
            }
        }
        for power in &self.power {
            text += &power.text();
        }
        text + &self.attribution.as_ref().map(attribute::text).unwrap_or_default()
    }

    fn table(&self) -> Table {
        let several = self.found.pooled().is_some();
        let columns = [
            ("mapping", Align::Left),
            ("accuracy, %", Align::Right),
            ("sd", Align::Right),
            ("worst", Align::Right),
            ("drop, points", Align::Right),
            ("95 % interval", Align::Right),
            ("reduction, %", Align::Right),
            ("95 % interval", Align::Right),
            ("cycles/image", Align::Right),
        ];
        let network = several.then_some(("network", Align::Left));
        let mut table = Table::new(network.into_iter().chain(columns));
        let mut row = |network: &str, cells: [String; 9]| {
            table.row(several.then(|| network.to_owned()).into_iter().chain(cells));
        };
        for (name, found) in self.found.networks() {
            for mapping in &found.mappings {
                let reduction =
                    mapping.reduction.map(|Reduction { rel, points, .. }| (rel, points));
                let [reduction, range] = reduction_cells(reduction);
                let [drop, drop_range] = drop_cells(mapping.drop_points);
                row(
                    name,
                    [
                        mapping.mapping.clone(),
                        format!("{:.3}", 100.0 * mapping.accuracy_mean),
                        format!("{:.3}", 100.0 * mapping.accuracy_sd),
                        format!("{:.2}", 100.0 * mapping.accuracy_worst),
                        drop,
                        drop_range,
                        reduction,
                        range,
                        format!("{:.1}", mapping.per_image.groups),
                    ],
                );
            }
        }
        if let Some(pooled) = self.found.pooled() {
            for mapping in &pooled.mappings {
                let reduction = mapping.found.reduction.map(|found| (found.rel, found.points));
                let [reduction, range] = reduction_cells(reduction);
                let [drop, drop_range] = drop_cells(mapping.found.drop_points);
                row(
                    &format!("all {}", pooled.networks),
                    [
                        mapping.mapping.clone(),
                        format!("{:.3}", 100.0 * mapping.accuracy_mean),
                        "-".to_owned(),
                        "-".to_owned(),
                        drop,
                        drop_range,
                        reduction,
                        range,
                        format!("{:.1}", mapping.per_image.groups),
                    ],
                );
            }
        }
        table
    }

    /// As a list of mappings, those of a network after those of another and the pooled ones last.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
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
pub(super) struct Row<'a> {
    /// Its name, or `pooled`.
    network: &'a str,
    #[serde(flatten)]
    mapping: RowMapping<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum RowMapping<'a> {
    OfNetwork(&'a SimulatedMapping),
    Pooled(&'a PooledMapping),
}

impl MappingPower {
    /// What is printed for people: half-widths by networks (down) and chips (across).
    fn text(&self) -> String {
        let Power { reduction, rows, .. } = &self.power;
        let chips: Vec<usize> = rows
            .iter()
            .take_while(|row| row.networks == rows[0].networks)
            .map(|row| row.chips)
            .collect();
        let columns = chips.iter().map(|chips| (format!("{chips} chips"), Align::Right));
        let networks = ("networks".to_owned(), Align::Right);
        let mut table = Table::new(std::iter::once(networks).chain(columns));
        for of_networks in rows.chunks(chips.len()) {
            let cells = of_networks.iter().map(|row| {
                let mark = if row.enough { " *" } else { "" };
                format!("{:.1}{mark}", 100.0 * row.half_width)
            });
            table.row(std::iter::once(of_networks[0].networks.to_string()).chain(cells));
        }
        format!(
            "expected half-width of the reduction by {}, in points of its {:.1} %; * a third of it or less\n{table}\n",
            self.mapping,
            100.0 * reduction
        )
    }
}

/// A drop and its interval, in points.
fn drop_cells(Interval { value, lo, hi }: Interval) -> [String; 2] {
    let range = match lo.is_finite() && hi.is_finite() {
        true => format!("{lo:.3} to {hi:.3}"),
        false => "open".to_owned(),
    };
    [format!("{value:.3}"), range]
}

/// A reduction, relative and in points, as its relative value and interval.
fn reduction_cells(reduction: Option<(Interval, Interval)>) -> [String; 2] {
    let Some((rel, points)) = reduction else { return ["-", "-"].map(str::to_owned) };
    let [value, range] = relative(rel);
    let holds_0 = points.holds(0.0) && !rel.value.is_nan();
    [if holds_0 { "no difference".to_owned() } else { value }, range]
}

/// A reduction in per cent and its interval, an end of which may be open.
fn relative(Interval { value, lo, hi }: Interval) -> [String; 2] {
    if value.is_nan() {
        return ["undefined (no drop in the baseline)", "-"].map(str::to_owned);
    }
    let end = |end: f64| match end.is_finite() {
        true => format!("{:.1}", 100.0 * end),
        false => "open".to_owned(),
    };
    [format!("{:.1}", 100.0 * value), format!("{} to {}", end(lo), end(hi))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reduction_of_no_drop_is_undefined() {
        let shown = |value, lo, hi| relative(Interval { value, lo, hi });
        let infinite = f64::INFINITY;
        assert_eq!(
            shown(f64::NAN, -infinite, infinite),
            ["undefined (no drop in the baseline)", "-"]
        );
        assert_eq!(shown(0.25, -infinite, 0.5), ["25.0", "open to 50.0"]);
        assert_eq!(shown(0.25, 0.125, 0.5), ["25.0", "12.5 to 50.0"]);
        // What has no value is null in JSON.
        let json = serde_json::to_value(Interval { value: f64::NAN, lo: -infinite, hi: infinite });
        let expected = serde_json::json!({ "value": null, "lo": null, "hi": null });
        assert_eq!(json.expect("numbers"), expected);
    }
}
