//! `hafnia sim`: mapped networks on virtual chips, with intervals.

mod networks;
mod results;

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::Mapping;
use hafnia_model::Network;
use hafnia_passes::Registry;
use hafnia_report::Attribution;
use hafnia_rng::Seed;
use hafnia_sim::{EngineKind, Evaluation, Images, NoiseScope, Prepared, evaluate, evaluate_table};
use hafnia_stats::{Bootstrap, Interval, student_mean};

use self::networks::{Group, NetworksOptions};
use self::results::{Found, Run, Simulated, Until};
use crate::attribute::{AttributeOptions, Subject};
use crate::chip::SavedChips;
use crate::data;
use crate::map::load_pipeline;
use crate::output::{Format, Output, Record, check_writable};
use crate::progress;
use crate::run::RunOptions;

/// Run mapped networks on simulated macros: accuracy over virtual chips, with intervals.
///
/// Mappings are files (hafnia map) or made on the spot (--pipeline).
/// The first mapping is the baseline: of every other one the reduction of its noise impact is
/// given, by a bootstrap over chips and images together. Chip k has the same cells under every
/// mapping.
/// Of several networks, each with as many mappings in the same order, the mean drop and its
/// reduction are also given over networks, chips and images together (docs/statistics.md).
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia sim --model frontier --chips 10
  hafnia sim --model final12/3 --pipeline natural --pipeline compact --set sigma_lrs_rel=0.2
  hafnia sim net.hafnia natural.map --engine exact
  hafnia sim net.hafnia natural.map best.map --set sigma_lrs_rel=0.2 --set offset_lsb=0.2
  hafnia sim a.hafnia a-natural.map a-order.map b.hafnia b-natural.map b-order.map
  hafnia sim --model 'final12/*' --pipeline natural --pipeline compact --part validation --power
  hafnia sim net.hafnia natural.map --noise-in all --chips 5 --format json
  hafnia sim --model frontier --set sigma_lrs_rel=0.2 --until ±0.02 --yield-at 98.9
  hafnia sim --model frontier --noise-in all --set sigma_lrs_rel=0.15 --attribute")]
pub(crate) struct Sim {
    #[command(flatten)]
    networks: NetworksOptions,
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
    /// Also tell how far the relative reduction over all networks would be known with other numbers
    /// of networks and chips, to choose them by (on validation images).
    #[arg(long)]
    power: bool,
    /// Numbers of networks for --power.
    #[arg(long, value_name = "N,…", requires = "power", value_delimiter = ',', value_parser = at_least_2)]
    #[arg(default_values_t = [3, 5, 10, 15, 20])]
    power_networks: Vec<usize>,
    /// Numbers of chips for --power.
    #[arg(long, value_name = "N,…", requires = "power", value_delimiter = ',', value_parser = at_least_2)]
    #[arg(default_values_t = [50, 100, 200, 400])]
    power_chips: Vec<usize>,
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
        let groups = self.networks.load()?;
        let mut pipelines = self.pipelines.clone();
        if pipelines.is_empty() && groups[0].files.is_empty() {
            pipelines.push("compact".to_owned());
        }
        self.check(groups.len(), groups[0].files.len() + pipelines.len())?;
        let scope = |group: &Group| noise_scope(&self.noise_in, &group.chosen.network);
        let scopes: Vec<NoiseScope> = groups.iter().map(scope).collect::<anyhow::Result<_>>()?;
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
        for path in self.code_table.iter().chain(&self.saved) {
            record.input(path)?;
        }
        let mut mappings = Vec::new();
        for group in &groups {
            record.network(&group.chosen);
            mappings.push(group.mappings(&pipelines, &spec, seed)?);
            group.files.iter().try_for_each(|path| record.input(path))?;
        }
        let dataset = options.load(usize::MAX, &mut record)?;
        self.attribute.check(dataset.len())?;
        let images: Vec<Images> =
            groups.iter().map(|group| data::images(&group.chosen.network, &dataset)).collect();
        let macros = Macros { spec: &spec, engine: self.engine, saved, measured, seed };
        let mut trials = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            let prepared = Prepared::new(&group.chosen.network, &images[index], &scopes[index])?;
            trials.push(Trial { prepared, mappings: &mappings[index], evaluations: Vec::new() });
        }
        let until = self.simulate(&macros, &mut trials)?;
        let attribution = match self.attribute.attribute {
            true => Some(self.attribute(&groups[0], &images[0], &macros, &trials[0])?),
            false => None,
        };
        let run = |(group, trial): (&Group, Trial<'_>)| Run {
            name: group.chosen.name.clone(),
            digest: group.chosen.digest,
            evaluations: trial
                .mappings
                .iter()
                .map(|(name, _)| name.clone())
                .zip(trial.evaluations)
                .collect(),
        };
        let runs: Vec<Run> = groups.iter().zip(trials).map(run).collect();
        let first = &runs[0].evaluations[0].1;
        let accuracy = self.yield_at.map(|percent| percent / 100.0);
        let simulated = Simulated {
            engine: self.engine.into(),
            noise_in: self.noise_in.clone(),
            part: options.part,
            images: first.images(),
            chips: first.chips(),
            until,
            seed: seed.0,
            spec: options.spec.resolved(&spec),
            lossy: first.is_lossy,
            found: Found::of(&runs, self.bootstrap(seed), accuracy)?,
            attribution,
            power: match self.power {
                true => results::power(&runs, &self.power_networks, &self.power_chips)?,
                false => Vec::new(),
            },
        };
        if let Some(out) = &options.out {
            let json = serde_json::to_string_pretty(&simulated)? + "\n";
            hafnia_artifact::write_whole(out, json.as_bytes())?;
            record.end(&[out])?;
        }
        match (output.format, runs.len()) {
            (Format::Csv, 2..) => output.print(&simulated.rows(), |_| String::new()),
            _ => output.print(&simulated, Simulated::text),
        }
    }

    /// Checks what is asked for beside so many networks with so many mappings each.
    fn check(&self, networks: usize, mappings: usize) -> anyhow::Result<()> {
        ensure!(
            !self.attribute.attribute || networks == 1,
            "--attribute is of one network, here are {networks}"
        );
        ensure!(
            !self.power
                || (networks >= 2 && mappings >= 2 && (self.chips >= 2 || !self.saved.is_empty())),
            "--power takes at least 2 networks, 2 mappings of each and 2 chips, here are {networks}, {mappings} and {}",
            self.chips
        );
        Ok(())
    }

    /// Runs all mappings of all networks, on more and more chips if asked to.
    fn simulate(
        &self,
        macros: &Macros<'_>,
        trials: &mut [Trial<'_>],
    ) -> anyhow::Result<Option<Until>> {
        let mut chips = self.chips;
        trials.iter_mut().try_for_each(|trial| trial.run(macros, 0..chips))?;
        let Some(points) = self.until else { return Ok(None) };
        let mut reached = trials.iter().all(|trial| trial.is_narrow(points));
        while !reached && chips < self.most_chips {
            let more = chips..self.most_chips.min(chips.saturating_add(self.chips));
            trials.iter_mut().try_for_each(|trial| trial.run(macros, more.clone()))?;
            (chips, reached) = (more.end, trials.iter().all(|trial| trial.is_narrow(points)));
        }
        Ok(Some(Until { points, reached }))
    }

    /// Where the accuracy of the first mapping goes.
    fn attribute(
        &self,
        group: &Group,
        images: &Images,
        macros: &Macros<'_>,
        trial: &Trial<'_>,
    ) -> anyhow::Result<Attribution> {
        let (name, mapping) = &trial.mappings[0];
        let subject = Subject {
            network: &group.chosen.network,
            name,
            mapping,
            spec: macros.spec,
            images,
            engine: self.engine.into(),
            chips: self.chips,
            seed: macros.seed,
            bootstrap: self.bootstrap(macros.seed),
        };
        let attribution =
            subject.attribute(&self.attribute, &trial.prepared, &trial.evaluations[0])?;
        if let Some(path) = &self.attribute.attribute_plot {
            hafnia_artifact::write_whole(path, attribution.plot()?.as_bytes())?;
        }
        Ok(attribution)
    }

    fn bootstrap(&self, seed: Seed) -> Bootstrap {
        Bootstrap { replicates: self.replicates, seed: seed.site("sim/bootstrap") }
    }
}

/// What mappings are run on.
struct Macros<'a> {
    spec: &'a MacroSpec,
    engine: Kind,
    saved: Option<SavedChips>,
    measured: Option<CodeTable>,
    seed: Seed,
}

/// A network on its images, and what its mappings have given so far.
struct Trial<'a> {
    prepared: Prepared<'a>,
    mappings: &'a [(String, Mapping)],
    evaluations: Vec<Evaluation>,
}

impl Trial<'_> {
    /// Runs all mappings on these chips, beside those that they were run on before.
    fn run(&mut self, macros: &Macros<'_>, chips: Range<u32>) -> anyhow::Result<()> {
        let Macros { spec, engine, saved, measured, seed } = macros;
        for (index, (name, mapping)) in self.mappings.iter().enumerate() {
            let bar = progress::bar(&format!("map {}/{}", index + 1, self.mappings.len()));
            let (moves, chips, prepared) = (progress::moves(&bar), chips.clone(), &self.prepared);
            let evaluation = match (saved, measured) {
                (Some(saved), _) => saved.evaluate(prepared, mapping, spec, &moves),
                (None, Some(table)) => {
                    evaluate_table(prepared, mapping, spec, table, chips, *seed, &moves)
                        .map_err(Into::into)
                }
                (None, None) => {
                    evaluate(prepared, mapping, spec, (*engine).into(), chips, *seed, &moves)
                        .map_err(Into::into)
                }
            };
            bar.finish_and_clear();
            let evaluation = evaluation.with_context(|| name.clone())?;
            match self.evaluations.get_mut(index) {
                Some(so_far) => so_far.append(evaluation)?,
                None => self.evaluations.push(evaluation),
            }
        }
        Ok(())
    }

    /// Whether the accuracy of every mapping is known to so many points.
    fn is_narrow(&self, points: f64) -> bool {
        self.evaluations.iter().all(|evaluation| {
            let Interval { value, hi, .. } = student_mean(&evaluation.accuracies());
            100.0 * (hi - value) <= points
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

/// A number of networks or chips that has a spread.
fn at_least_2(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (2..=100_000).contains(&number) => Ok(number),
        _ => Err("give a number from 2 to 100000".to_owned()),
    }
}
