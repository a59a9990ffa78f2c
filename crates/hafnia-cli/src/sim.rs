//! `hafnia sim`: mapped networks on virtual chips, with intervals.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::Mapping;
use hafnia_model::Network;
use hafnia_passes::Registry;
use hafnia_report::{Align, Attribution, Table};
use hafnia_rng::Seed;
use hafnia_sim::statistics::{self, Bootstrap, Interval, Reduction, Summary};
use hafnia_sim::{EngineKind, Evaluation, Events, NoiseScope, Prepared, evaluate, evaluate_table};
use serde::Serialize;

use crate::attribute::{self, AttributeOptions, Subject};
use crate::chip::SavedChips;
use crate::data::{self, Part};
use crate::map::{load_mapping, load_pipeline, map_by};
use crate::models::NetworkOptions;
use crate::output::{Output, Record, check_writable};
use crate::progress;
use crate::run::RunOptions;

/// Run mapped networks on simulated macros: accuracy over virtual chips, with intervals.
///
/// Mappings are files (hafnia map) or made on the spot (--pipeline).
/// The first mapping is the baseline: of every other one the reduction of its noise impact is
/// given, by a bootstrap over chips and images together. Chip k has the same cells under every
/// mapping.
#[derive(Args)]
#[command(mut_arg("file", |file| file.help("Network file; with --model all files are mappings")))]
#[command(after_help = "Examples:
  hafnia sim --model frontier --chips 10
  hafnia sim --model final12/3 --pipeline natural --pipeline compact --set sigma_lrs_rel=0.2
  hafnia sim net.hafnia natural.map --engine exact
  hafnia sim net.hafnia natural.map best.map --set sigma_lrs_rel=0.2 --set offset_lsb=0.2
  hafnia sim net.hafnia natural.map --noise-in all --chips 5 --format json
  hafnia sim --model frontier --set sigma_lrs_rel=0.2 --until ±0.02 --yield-at 98.9
  hafnia sim --model frontier --noise-in all --set sigma_lrs_rel=0.15 --attribute")]
pub(crate) struct Sim {
    #[command(flatten)]
    network: NetworkOptions,
    /// Mappings of that network; the first is the baseline.
    #[arg(value_name = "MAPPING", index = 2)]
    mappings: Vec<PathBuf>,
    /// Map by this pipeline too, built-in or a TOML file; `compact` if there is no mapping else.
    #[arg(long = "pipeline", value_name = "NAME|FILE")]
    pipelines: Vec<String>,
    /// exact: no noise; device: programmed chips; table: codes sampled from P(code | m, n).
    #[arg(long, value_enum, default_value_t = Kind::Device)]
    engine: Kind,
    /// Sample this measured code table (hafnia fit codes), not that of the macro; needs
    /// --engine table.
    #[arg(long, value_name = "FILE")]
    code_table: Option<PathBuf>,
    /// Run a saved chip (hafnia chip program), of the mapping that it was programmed with; as many
    /// for every mapping, and the same ones. Takes the place of --chips; the macro is the chips'.
    #[arg(long = "chip", value_name = "FILE", conflicts_with_all = ["chips", "seed"])]
    saved: Vec<PathBuf>,
    /// Virtual chips (of `table`: repetitions).
    #[arg(long, default_value_t = 50)]
    chips: u32,
    /// Add chips, as many again as --chips at a time, until the interval over chips of the accuracy
    /// of every mapping reaches no further than so many points to either side, such as ±0.02. That
    /// of a drop holds the choice of images too, which more chips do not narrow.
    #[arg(long, value_name = "±POINTS", value_parser = reach, conflicts_with = "saved")]
    until: Option<f64>,
    /// Chips at which --until gives up.
    #[arg(long, value_name = "N", default_value_t = 1000, requires = "until")]
    most_chips: u32,
    /// Also tell the yield: the share of chips that reach this accuracy, in per cent.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    yield_at: Option<f64>,
    /// Where there is noise: `final`, `all`, or names of layers, separated by commas.
    #[arg(long, default_value = "final", value_name = "SCOPE")]
    noise_in: String,
    /// Replicates of the bootstrap.
    #[arg(long, default_value_t = 2000)]
    replicates: u32,
    #[command(flatten)]
    attribute: AttributeOptions,
    #[command(flatten)]
    options: RunOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Exact,
    Table,
    Device,
}

impl From<Kind> for EngineKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Exact => Self::Exact,
            Kind::Table => Self::Table,
            Kind::Device => Self::Device,
        }
    }
}

/// The result, in shares of 1 unless a name ends in `_points`.
#[derive(Serialize)]
struct Simulated {
    engine: EngineKind,
    noise_in: String,
    part: Part,
    images: usize,
    /// Chips of every mapping.
    chips: u32,
    /// The reach that chips were added for, in points, and whether it was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Until>,
    seed: u64,
    #[serde(rename = "macro")]
    spec: std::collections::BTreeMap<String, String>,
    /// Whether the converter clips partial sums even without noise.
    lossy: bool,
    /// Accuracy without noise (Wilson).
    exact_accuracy: Interval,
    mappings: Vec<SimulatedMapping>,
    /// Where the accuracy of the first goes, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    attribution: Option<Attribution>,
}

#[derive(Clone, Copy, Serialize)]
struct Until {
    points: f64,
    reached: bool,
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

#[derive(Serialize)]
struct PerImage {
    groups: f64,
    conversions: f64,
    rows_on: f64,
}

impl PerImage {
    fn of(evaluation: &Evaluation) -> Self {
        let runs = (evaluation.images() * evaluation.chips()) as f64;
        let sum = |count: fn(&Events) -> u64| {
            evaluation.events.iter().map(|events| count(events) as f64).sum::<f64>() / runs
        };
        Self {
            groups: sum(|events| events.groups),
            conversions: sum(|events| events.conversions),
            rows_on: sum(|events| events.rows_on),
        }
    }
}

impl Sim {
    pub(crate) fn run(&self, registry: &Registry, output: Output) -> anyhow::Result<()> {
        let saved = SavedChips::load(&self.saved)?;
        let options = &self.options;
        let spec = match &saved {
            Some(saved) => saved.spec(&options.spec, self.engine)?,
            None => options.spec.load()?,
        };
        let seed = saved.as_ref().map_or(Seed(options.seed), SavedChips::seed);
        let measured = self.code_table.as_deref().map(CodeTable::load_csv).transpose()?;
        match (&measured, self.engine) {
            (Some(table), Kind::Table) => table.check_size(&spec)?,
            (Some(_), _) => bail!("--code-table is for --engine table"),
            (None, Kind::Table) => spec.check_table()?,
            (None, _) => {}
        }
        let (chosen, files) = self.network.load_beside(&self.mappings)?;
        let network = &chosen.network;
        let scope = noise_scope(&self.noise_in, network)?;
        let mut pipelines = self.pipelines.clone();
        if pipelines.is_empty() && files.is_empty() {
            pipelines.push("compact".to_owned());
        }
        let load = |name: String| load_pipeline(&name, registry).map(|loaded| (name, loaded));
        let pipelines: Vec<_> = pipelines.into_iter().map(load).collect::<anyhow::Result<_>>()?;
        for out in options.out.iter().chain(&self.attribute.attribute_plot) {
            check_writable(out)?;
        }
        let config = serde_json::json!({
            "engine": EngineKind::from(self.engine),
            "chips": self.chips,
            "until_points": self.until,
            "most_chips": self.most_chips,
            "yield_at": self.yield_at,
            "noise_in": self.noise_in,
            "part": options.part,
            "images": options.images,
            "replicates": self.replicates,
            "code_table": self.code_table,
            "saved_chips": self.saved,
            "pipelines": pipelines.iter().map(|(_, pipeline)| pipeline).collect::<Vec<_>>(),
            "macro": options.spec.resolved(&spec),
        });
        let mut record = Record::begin(&config, Some(seed.0))?;
        record.network(&chosen);
        for path in self.code_table.iter().chain(&self.saved) {
            record.input(path)?;
        }
        let mut mappings = Vec::new();
        for path in &files {
            mappings.push((path.display().to_string(), load_mapping(path, network)?));
            record.input(path)?;
        }
        for (name, pipeline) in &pipelines {
            mappings.push((name.clone(), map_by(pipeline, network, &spec, seed)?));
        }
        let dataset = options.load(usize::MAX, &mut record)?;
        self.attribute.check(dataset.len())?;
        let images = data::images(network, &dataset);
        let prepared = Prepared::new(network, &images, &scope)?;
        let part = |index: usize, chips: Range<u32>| {
            let (name, mapping): &(String, Mapping) = &mappings[index];
            let bar = progress::bar(&format!("map {}/{}", index + 1, mappings.len()));
            let moves = progress::moves(&bar);
            let evaluation = match (&saved, &measured) {
                (Some(saved), _) => saved.evaluate(&prepared, mapping, &spec, &moves),
                (None, Some(table)) => {
                    evaluate_table(&prepared, mapping, &spec, table, chips, seed, &moves)
                        .map_err(Into::into)
                }
                (None, None) => {
                    evaluate(&prepared, mapping, &spec, self.engine.into(), chips, seed, &moves)
                        .map_err(Into::into)
                }
            };
            bar.finish_and_clear();
            evaluation.with_context(|| name.clone())
        };
        let all = 0..mappings.len();
        let mut evaluations: Vec<Evaluation> =
            all.clone().map(|index| part(index, 0..self.chips)).collect::<anyhow::Result<_>>()?;
        let is_narrow = |evaluations: &[Evaluation], points: f64| {
            evaluations.iter().all(|evaluation| {
                let Interval { value, hi, .. } =
                    statistics::mean_over_chips(&evaluation.accuracies());
                100.0 * (hi - value) <= points
            })
        };
        let until = self.until.map(|points| {
            let mut chips = self.chips;
            let mut reached = is_narrow(&evaluations, points);
            while !reached && chips < self.most_chips {
                let more = chips..self.most_chips.min(chips.saturating_add(self.chips));
                for (index, evaluation) in evaluations.iter_mut().enumerate() {
                    evaluation.append(part(index, more.clone())?)?;
                }
                (chips, reached) = (more.end, is_narrow(&evaluations, points));
            }
            anyhow::Ok(Until { points, reached })
        });
        let until = until.transpose()?;
        let names = mappings.iter().map(|(name, _)| name.as_str());
        let evaluations: Vec<(&str, Evaluation)> = names.zip(evaluations).collect();
        let mut simulated = self.summarise(&spec, seed, &evaluations)?;
        simulated.until = until;
        if self.attribute.attribute {
            let (name, mapping) = &mappings[0];
            let subject = Subject {
                network,
                name,
                mapping,
                spec: &spec,
                images: &images,
                engine: self.engine.into(),
                chips: self.chips,
                seed,
                bootstrap: self.bootstrap(seed),
            };
            let attribution = subject.attribute(&self.attribute, &prepared, &evaluations[0].1)?;
            if let Some(path) = &self.attribute.attribute_plot {
                hafnia_artifact::write_whole(path, attribution.plot()?.as_bytes())?;
            }
            simulated.attribution = Some(attribution);
        }
        if let Some(out) = &options.out {
            let json = serde_json::to_string_pretty(&simulated)? + "\n";
            hafnia_artifact::write_whole(out, json.as_bytes())?;
            record.end(&[out])?;
        }
        output.print(&simulated, text)
    }

    fn bootstrap(&self, seed: Seed) -> Bootstrap {
        Bootstrap { replicates: self.replicates, seed: seed.site("sim/bootstrap") }
    }

    fn summarise(
        &self,
        spec: &MacroSpec,
        seed: Seed,
        evaluations: &[(&str, Evaluation)],
    ) -> anyhow::Result<Simulated> {
        let bootstrap = self.bootstrap(seed);
        let (_, first) = &evaluations[0];
        let mut mappings = Vec::new();
        for (index, (name, evaluation)) in evaluations.iter().enumerate() {
            let summary = Summary::of(evaluation, bootstrap);
            let reduction = match index {
                0 => None,
                _ => Some(statistics::reduction(first, evaluation, bootstrap)?),
            };
            mappings.push(SimulatedMapping {
                mapping: (*name).to_owned(),
                accuracy_mean: summary.accuracy.value,
                accuracy_interval: summary.accuracy,
                accuracy_sd: summary.accuracy_sd,
                accuracy_worst: summary.accuracy_worst,
                yield_at: self.yield_at.map(|at| statistics::yield_at(evaluation, at / 100.0)),
                drop_points: summary.drop_points,
                reduction,
                per_image: PerImage::of(evaluation),
            });
        }
        Ok(Simulated {
            engine: self.engine.into(),
            noise_in: self.noise_in.clone(),
            part: self.options.part,
            images: first.images(),
            chips: first.chips() as u32,
            until: None,
            seed: seed.0,
            spec: self.options.spec.resolved(spec),
            lossy: first.is_lossy,
            exact_accuracy: statistics::wilson(first.exact_correct_count(), first.images()),
            mappings,
            attribution: None,
        })
    }
}

/// Where there is noise: `final`, `all`, or names of layers, separated by commas.
pub(crate) fn noise_scope(text: &str, network: &Network) -> anyhow::Result<NoiseScope> {
    match text {
        "final" => Ok(NoiseScope::Final),
        "all" => Ok(NoiseScope::All),
        names => {
            let matrices = network.matrices();
            let find = |name: &str| {
                let found = matrices.iter().position(|matrix| matrix.name == name);
                let known = || matrices.iter().map(|m| m.name).collect::<Vec<_>>().join(", ");
                found.with_context(|| {
                    format!("noise in layer `{name}`: give final, all, or some of {}", known())
                })
            };
            Ok(NoiseScope::Matrices(names.split(',').map(find).collect::<Result<_, _>>()?))
        }
    }
}

fn text(simulated: &Simulated) -> String {
    let Interval { value, lo, hi } = simulated.exact_accuracy;
    let mut text = format!(
        "exact accuracy {:.2} % ({:.2} to {:.2}) on {} {} images\n",
        100.0 * value,
        100.0 * lo,
        100.0 * hi,
        simulated.images,
        simulated.part.name(),
    );
    if simulated.lossy {
        text += "The converter clips: more rows a conversion than codes.\n";
    }
    let mut table = Table::new([
        ("mapping", Align::Left),
        ("accuracy, %", Align::Right),
        ("sd", Align::Right),
        ("worst", Align::Right),
        ("drop, points", Align::Right),
        ("95 % interval", Align::Right),
        ("reduction, %", Align::Right),
        ("95 % interval", Align::Right),
        ("cycles/image", Align::Right),
    ]);
    for mapping in &simulated.mappings {
        let drop = mapping.drop_points;
        let [reduction, range] = match &mapping.reduction {
            None => ["-", "-"].map(str::to_owned),
            Some(Reduction { rel, points, .. }) => {
                let [value, range] = relative(*rel);
                let holds_0 = points.lo <= 0.0 && 0.0 <= points.hi && !rel.value.is_nan();
                [if holds_0 { "no difference".to_owned() } else { value }, range]
            }
        };
        table.row([
            mapping.mapping.clone(),
            format!("{:.3}", 100.0 * mapping.accuracy_mean),
            format!("{:.3}", 100.0 * mapping.accuracy_sd),
            format!("{:.2}", 100.0 * mapping.accuracy_worst),
            format!("{:.3}", drop.value),
            format!("{:.3} to {:.3}", drop.lo, drop.hi),
            reduction,
            range,
            format!("{:.1}", mapping.per_image.groups),
        ]);
    }
    let chips = match simulated.engine {
        EngineKind::Exact => "no noise".to_owned(),
        EngineKind::Table => format!("{} repetitions (not chips)", simulated.chips),
        EngineKind::Device => format!("{} virtual chips", simulated.chips),
    };
    let mut below = String::from("\n");
    if let Some(Until { points, reached }) = simulated.until {
        let are = if reached { "are reached" } else { "are not reached (--most-chips)" };
        below += &format!("±{points} points over chips {are}\n");
    }
    for mapping in &simulated.mappings {
        if let Some(Interval { value, lo, hi }) = mapping.yield_at {
            let [value, lo, hi] = [value, lo, hi].map(|share| 100.0 * share);
            below += &format!("yield of {}: {value:.1} % ({lo:.1} to {hi:.1})\n", mapping.mapping);
        }
    }
    let attribution = simulated.attribution.as_ref().map(attribute::text).unwrap_or_default();
    text + &format!("{chips}, noise in: {}\n{table}{below}{attribution}", simulated.noise_in)
}

/// How far an interval may reach, in points: `±0.02`, `+-0.02` or `0.02`.
fn reach(text: &str) -> Result<f64, String> {
    let number = text.trim_start_matches('±').trim_start_matches("+-");
    match number.parse() {
        Ok(points) if points > 0.0 && points <= 100.0 => Ok(points),
        _ => Err("give points above 0 and up to 100, such as ±0.02".to_owned()),
    }
}

/// An accuracy in per cent.
fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("give per cent from 0 to 100".to_owned()),
    }
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
