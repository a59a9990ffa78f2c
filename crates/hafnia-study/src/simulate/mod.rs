//! Runs mapped networks on virtual chips: accuracy with intervals.

mod attribute;
mod chips;
mod networks;
mod outcome;

use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use hafnia_artifact::write_whole;
use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::Mapping;
use hafnia_model::Network;
use hafnia_passes::Pipeline;
use hafnia_rng::Seed;
use hafnia_sim::{
    EngineKind, Engines, Evaluation, MatrixPath, NoiseScope, Path, Programmed, Reference, SavedChip,
};
use hafnia_stats::{Bootstrap, Interval};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use self::attribute::AttributeRequest;
use self::attribute::Subject;
use self::chips::SavedChips;
use self::networks::{Group, groups};
pub use self::outcome::{
    Found, MappingPower, NetworkMappings, PerImage, PooledMapping, PooledNetworks, SimulateOutcome,
    SimulatedMapping, SimulatedNetwork, Until,
};
use self::outcome::{Run, power};
use crate::data::{self, DataSource, Part};
use crate::limits;
use crate::outputs::{check_outputs, written};
use crate::record::Record;
use crate::request::{Request, Step};
use crate::session::Session;
use crate::source::{MacroSource, PIPELINE, pipeline_file, resolved};
use crate::table_error::TableCheck;

/// What is to be simulated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimulateRequest {
    /// Recorded networks: RECIPE, RECIPE/SEED, or RECIPE/* for every seed.
    #[serde(rename = "model")]
    pub models: Vec<String>,
    /// Network files, each followed by its mappings, the first of which is the baseline.
    pub files: Vec<PathBuf>,
    /// Pipelines by which every network is mapped too; `compact` if there is no mapping else.
    #[serde(rename = "pipeline")]
    pub pipelines: Vec<String>,
    /// The engine.
    pub engine: EngineKind,
    /// Measured code table of engine `table`.
    pub code_table: Option<PathBuf>,
    /// Saved chips in place of fresh ones.
    #[serde(rename = "chip")]
    pub saved: Vec<PathBuf>,
    /// Virtual chips (of `table`: repetitions).
    pub chips: u32,
    /// How far intervals over chips may reach, in points: chips are added until they do not.
    pub until: Option<f64>,
    /// Chips at which `until` gives up.
    pub most_chips: u32,
    /// Accuracy that counts for the yield, in per cent.
    pub yield_at: Option<f64>,
    /// Where there is noise: `all`, `final`, or names of layers, separated by commas.
    pub noise_in: String,
    /// Replicates of the bootstrap.
    pub replicates: u32,
    /// What is forecast of the interval of the reduction.
    pub power: Option<PowerGrid>,
    /// Whether and how to say where accuracy goes under the first mapping.
    pub attribute: Option<AttributeRequest>,
    /// The part of the data set.
    pub part: Part,
    /// How many of its images; all without a number.
    pub images: Option<usize>,
    /// Seed of everything drawn.
    pub seed: u64,
    /// File of the outcome.
    pub out: Option<PathBuf>,
    /// The macro.
    #[serde(flatten)]
    pub spec: MacroSource,
    /// Where images come from.
    #[serde(flatten)]
    pub data: DataSource,
}

/// Numbers of networks and chips that are forecast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerGrid {
    /// Networks, at least 2 each.
    pub networks: Vec<usize>,
    /// Chips, at least 2 each.
    pub chips: Vec<usize>,
}

impl Default for PowerGrid {
    fn default() -> Self {
        Self { networks: vec![3, 5, 10, 15, 20], chips: vec![50, 100, 200, 400] }
    }
}

impl Default for SimulateRequest {
    fn default() -> Self {
        Self {
            models: Vec::new(),
            files: Vec::new(),
            pipelines: Vec::new(),
            engine: EngineKind::Device,
            code_table: None,
            saved: Vec::new(),
            chips: 50,
            until: None,
            most_chips: 1000,
            yield_at: None,
            noise_in: "all".to_owned(),
            replicates: 2000,
            power: None,
            attribute: None,
            part: Part::Test,
            images: None,
            seed: 1,
            out: None,
            spec: MacroSource::default(),
            data: DataSource::default(),
        }
    }
}

impl Request for SimulateRequest {
    const COMMAND: &'static str = "sim";
    const POSITIONAL: &'static [&'static str] = &["files"];

    type Outcome = SimulateOutcome;

    fn run(&self, session: &Session<'_>) -> anyhow::Result<SimulateOutcome> {
        let saved = SavedChips::load(&self.saved)?;
        let spec = match &saved {
            Some(saved) => saved.spec(&self.spec, self.engine)?,
            None => self.spec.load()?,
        };
        let seed = saved.as_ref().map_or(Seed(self.seed), SavedChips::seed);
        let measured = self.code_table.as_deref().map(CodeTable::load_csv).transpose()?;
        match (&measured, self.engine) {
            (Some(table), EngineKind::Table) => table.check_size(&spec)?,
            (Some(_), _) => bail!("--code-table is for --engine table"),
            (None, EngineKind::Table) => spec.check_table()?,
            (None, _) => {}
        }
        let groups = groups(&self.models, &self.files)?;
        let mut pipelines = self.pipelines.clone();
        if pipelines.is_empty() && groups[0].files.is_empty() {
            pipelines.push(PIPELINE.to_owned());
        }
        self.check(groups.len(), groups[0].files.len() + pipelines.len())?;
        let scope = |group: &Group| noise_scope(&self.noise_in, &group.named.network);
        let scopes: Vec<NoiseScope> = groups.iter().map(scope).collect::<anyhow::Result<_>>()?;
        let load = |name: String| session.pipeline(&name).map(|loaded| (name, loaded));
        let pipelines: Vec<_> = pipelines.into_iter().map(load).collect::<anyhow::Result<_>>()?;
        check_outputs(self, Some(&self.data))?;
        let loaded: Vec<&Pipeline> = pipelines.iter().map(|(_, pipeline)| pipeline).collect();
        let mut record = Record::of(
            self,
            &[("pipeline", json!(loaded)), ("macro", json!(resolved(&spec)))],
            Some(seed.0),
        )?;
        record.inputs(self.code_table.iter().chain(&self.saved))?;
        record.inputs(self.spec.files())?;
        record.inputs(pipelines.iter().filter_map(|(name, _)| pipeline_file(name)))?;
        let mut mappings = Vec::new();
        for group in &groups {
            record.network(&group.named);
            mappings.push(group.mappings(session, &pipelines, &spec, seed)?);
            record.inputs(&group.files)?;
        }
        let set = session.dataset(&self.data)?;
        record.data(&set);
        let dataset = self.part.first(&set, self.images, usize::MAX)?;
        let attribution = |attribute: &AttributeRequest| {
            anyhow::Ok((attribute.count(&dataset)?, attribute.chips(self.chips)?))
        };
        let attributed = self.attribute.as_ref().map(attribution).transpose()?;
        limits::check_chips("--chips", self.chips, dataset.len())?;
        if self.until.is_some() {
            limits::check_chips("--most-chips", self.most_chips, dataset.len())?;
        }
        let macros = Macros { session, spec: &spec, engine: self.engine, saved, measured, seed };
        let networks = groups.iter().map(|group| &group.named.network);
        let references = networks.map(|network| data::reference(network, dataset.clone()));
        let references: Vec<Reference<'_>> = references.collect::<anyhow::Result<_>>()?;
        let mut trials = Vec::new();
        for (index, reference) in references.iter().enumerate() {
            trials.push(Trial::new(&macros, reference, &mappings[index], &scopes[index])?);
        }
        let start = Instant::now();
        let until = self.simulate(&macros, &mut trials)?;
        let runs = trials.iter().flat_map(|trial| &trial.evaluations).map(Evaluation::chips);
        let seconds_a_chip = start.elapsed().as_secs_f64() / runs.sum::<usize>() as f64;
        // A table that was measured takes the place of what the macro says of noise.
        let table_check = match (self.engine, &macros.measured) {
            (EngineKind::Table, None) => TableCheck::of(&spec, dataset.len()),
            _ => None,
        };
        let mut table_errors = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            table_errors.push(match &table_check {
                None => vec![None; mappings[index].len()],
                Some(check) => {
                    let network = &group.named.network;
                    let dataset = dataset.clone().first(check.images);
                    let reference = data::reference(network, dataset)?;
                    macros.table_errors(check, &reference, &mappings[index], &scopes[index])?
                }
            });
        }
        let attribution = match attributed {
            None => None,
            Some((images, chips)) => {
                let OnMacros { name, mapping, programmed, .. } = &trials[0].mappings[0];
                let subject = Subject {
                    session,
                    reference: &references[0],
                    name,
                    mapping,
                    spec: &spec,
                    scope: trials[0].scope,
                    engines: self.engine.try_into()?,
                    chips,
                    seconds_a_chip,
                    seed,
                    bootstrap: self.bootstrap(seed),
                };
                Some(subject.attribute(images, programmed, &trials[0].evaluations[0])?)
            }
        };
        let run = |((group, trial), table_errors): ((&Group, Trial<'_>), _)| Run {
            table_errors,
            name: group.named.name.clone(),
            digest: group.named.digest,
            classes: group.named.network.classes(),
            has_targets: dataset.has_targets(),
            evaluations: trial
                .mappings
                .iter()
                .map(|of| of.name.to_owned())
                .zip(trial.evaluations)
                .collect(),
            paths: trial.mappings.into_iter().map(|of| of.paths).collect(),
        };
        let runs: Vec<Run> = groups.iter().zip(trials).zip(table_errors).map(run).collect();
        let first = &runs[0].evaluations[0].1;
        let accuracy = self.yield_at.map(|percent| percent / 100.0);
        let outcome = SimulateOutcome {
            engine: self.engine,
            noise_in: self.noise_in.clone(),
            part: self.part,
            images: first.images(),
            labelled: dataset.has_labels(),
            targets: dataset.has_targets(),
            chips: first.chips(),
            chips_differ: first.chips_differ,
            until,
            seed: seed.0,
            spec: resolved(&spec),
            lossy: first.is_lossy,
            table_check,
            found: Found::of(&runs, self.bootstrap(seed), accuracy)?,
            attribution,
            power: match &self.power {
                Some(grid) => power(&runs, &grid.networks, &grid.chips)?,
                None => Vec::new(),
            },
        };
        written(outcome, |outcome| {
            let plot = self.attribute.as_ref().and_then(|attribute| attribute.plot.as_ref());
            if let (Some(plot), Some(found)) = (plot, &outcome.attribution) {
                write_whole(plot, found.plot()?.as_bytes())?;
            }
            let Some(out) = &self.out else { return Ok(()) };
            let json = serde_json::to_string_pretty(outcome)? + "\n";
            write_whole(out, json.as_bytes())?;
            record.end(&[out])
        })
    }
}

impl Step for SimulateRequest {
    fn inputs(&self) -> Vec<PathBuf> {
        let pipelines = self.pipelines.iter().filter_map(|name| pipeline_file(name));
        let files = self.files.iter().chain(&self.code_table).chain(&self.saved);
        files.cloned().chain(pipelines).chain(self.spec.files()).collect()
    }

    fn outputs(&self) -> Vec<PathBuf> {
        let plot = self.attribute.as_ref().and_then(|attribute| attribute.plot.as_ref());
        self.out.iter().chain(plot).cloned().collect()
    }
}

impl SimulateRequest {
    /// Checks what is asked for beside these numbers of networks and of mappings of each.
    fn check(&self, networks: usize, mappings: usize) -> anyhow::Result<()> {
        limits::check("--chips", self.chips, &limits::CHIPS)?;
        limits::check("--most-chips", self.most_chips, &limits::CHIPS)?;
        limits::check("--replicates", self.replicates, &limits::REPLICATES)?;
        if let Some(points) = self.until {
            limits::check("--until", points, &limits::REACH)?;
        }
        if let Some(percent) = self.yield_at {
            limits::check("--yield-at", percent, &limits::PERCENT)?;
        }
        for number in self.power.iter().flat_map(|grid| grid.networks.iter().chain(&grid.chips)) {
            limits::check("a number of --power", *number, &limits::FORECAST)?;
        }
        ensure!(
            self.attribute.is_none() || networks == 1,
            "--attribute is of one network, here are {networks}"
        );
        ensure!(
            self.power.is_none()
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

    fn bootstrap(&self, seed: Seed) -> Bootstrap {
        Bootstrap { replicates: self.replicates, seed: seed.site("sim/bootstrap") }
    }
}

/// What mappings are run on.
struct Macros<'a> {
    session: &'a Session<'a>,
    spec: &'a MacroSpec,
    engine: EngineKind,
    saved: Option<SavedChips>,
    measured: Option<CodeTable>,
    seed: Seed,
}

impl Macros<'_> {
    /// What answers on them, which may be chips that are saved.
    fn engines<'e>(&'e self, saved: Option<&'e [SavedChip]>) -> anyhow::Result<Engines<'e>> {
        Ok(match (saved, &self.measured) {
            (Some(saved), _) => Engines::Saved(saved),
            (None, Some(table)) => Engines::Measured(table),
            (None, None) => self.engine.try_into()?,
        })
    }

    /// By how many points more every mapping loses on `device` than on `table`.
    fn table_errors(
        &self,
        check: &TableCheck,
        reference: &Reference<'_>,
        mappings: &[(String, Mapping)],
        scope: &NoiseScope,
    ) -> anyhow::Result<Vec<Option<Interval>>> {
        let error = |(name, mapping): &(String, Mapping)| {
            let programmed = Programmed::new(reference, mapping, self.spec, scope)?;
            let bar = self.session.observer.bar(&format!("{name} on device"), "images");
            let moves = |done, of| bar.moves(done, of);
            check.error_points(&programmed, self.seed, &moves).map(Some)
        };
        mappings.iter().map(error).collect()
    }
}

/// The mappings of a network, and what they have given so far.
struct Trial<'a> {
    scope: &'a NoiseScope,
    mappings: Vec<OnMacros<'a>>,
    evaluations: Vec<Evaluation>,
}

/// A mapping on macros.
struct OnMacros<'a> {
    name: &'a str,
    mapping: &'a Mapping,
    programmed: Programmed<'a>,
    /// The saved chips that were programmed with it, if saved chips are run.
    saved: Option<Vec<SavedChip>>,
    /// How the products of every matrix are computed.
    paths: Vec<MatrixPath>,
}

impl<'a> OnMacros<'a> {
    /// Programs a mapping, and notes which matrices run slowly.
    fn new(
        macros: &Macros<'a>,
        reference: &'a Reference<'a>,
        name: &'a str,
        mapping: &'a Mapping,
        scope: &NoiseScope,
    ) -> anyhow::Result<Self> {
        let programmed = Programmed::new(reference, mapping, macros.spec, scope)?;
        let saved =
            macros.saved.as_ref().map(|saved| saved.of(mapping, macros.spec)).transpose()?;
        let paths = programmed.paths(&macros.engines(saved.as_deref())?)?;
        paths.iter().for_each(|path| tracing::debug!("{name}: {path}"));
        if let Some(slow) = slow(&paths) {
            macros.session.observer.note(&format!("note: {name}: {slow}"));
        }
        Ok(Self { name, mapping, programmed, saved, paths })
    }
}

impl<'a> Trial<'a> {
    /// Programs all mappings.
    fn new(
        macros: &Macros<'a>,
        reference: &'a Reference<'a>,
        mappings: &'a [(String, Mapping)],
        scope: &'a NoiseScope,
    ) -> anyhow::Result<Self> {
        let program = |(name, mapping): &'a (String, Mapping)| {
            OnMacros::new(macros, reference, name, mapping, scope).with_context(|| name.clone())
        };
        let mappings = mappings.iter().map(program).collect::<anyhow::Result<_>>()?;
        Ok(Self { scope, mappings, evaluations: Vec::new() })
    }

    /// Runs all mappings on these chips, beside those that they were run on before.
    fn run(&mut self, macros: &Macros<'_>, chips: Range<u32>) -> anyhow::Result<()> {
        let Macros { session, seed, .. } = *macros;
        for (index, OnMacros { name, programmed, saved, .. }) in self.mappings.iter().enumerate() {
            let engines = macros.engines(saved.as_deref())?;
            let bar = session
                .observer
                .bar(&format!("{} of {}: {name}", index + 1, self.mappings.len()), "images");
            let moves = |done, of| bar.moves(done, of);
            let chips = saved.as_ref().map_or(chips.clone(), |saved| 0..saved.len() as u32);
            let run = programmed.run(chips, seed).progress(&moves);
            let evaluation = run.on(&engines);
            drop(bar);
            let evaluation = evaluation.with_context(|| (*name).to_owned())?;
            match self.evaluations.get_mut(index) {
                Some(so_far) => so_far.append(evaluation)?,
                None => self.evaluations.push(evaluation),
            }
        }
        Ok(())
    }

    /// Whether the interval of every mapping's accuracy reaches this many points at most.
    fn is_narrow(&self, points: f64) -> bool {
        self.evaluations.iter().all(|evaluation| {
            let Interval { value, lo, hi } = evaluation.accuracy();
            !evaluation.chips_differ || 100.0 * (hi - value).max(value - lo) <= points
        })
    }
}

/// Says which matrices are computed without vectors, and why.
fn slow(paths: &[MatrixPath]) -> Option<String> {
    let slow = |of: &MatrixPath| match of.path {
        Path::Scalar(why) => Some((of.layer.clone(), why)),
        _ => None,
    };
    let (layers, why): (Vec<_>, Vec<_>) = paths.iter().filter_map(slow).unzip();
    let why = why.first()?;
    let layers = layers.join(", ");
    Some(format!("no vectors for {layers} because {why}: that takes 15 to 35 times as long"))
}

/// Where there is noise: `all`, `final`, or names of layers, separated by commas.
pub(crate) fn noise_scope(text: &str, network: &Network) -> anyhow::Result<NoiseScope> {
    match text {
        "all" => Ok(NoiseScope::All),
        "final" => Ok(NoiseScope::Final),
        names => {
            let matrices = network.matrices();
            let find = |name: &str| {
                let found = matrices.iter().position(|matrix| matrix.name == name);
                let known = || matrices.iter().map(|m| m.name).collect::<Vec<_>>().join(", ");
                found.with_context(|| {
                    format!("noise in layer `{name}`: give all, final, or some of {}", known())
                })
            };
            Ok(NoiseScope::Matrices(names.split(',').map(find).collect::<Result<_, _>>()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use hafnia_sim::Why;

    use super::*;

    #[test]
    fn what_runs_without_vectors_is_said() {
        let of = |layer: &str, path| MatrixPath { layer: layer.to_owned(), path };
        let scalar = Path::Scalar(Why::Lines(70_000));
        assert_eq!(slow(&[of("conv", Path::Product)]), None);
        assert_eq!(
            slow(&[of("conv", Path::Product), of("fc1", scalar), of("fc2", scalar)]).as_deref(),
            Some(
                "no vectors for fc1, fc2 because a tile has 70000 lines, not at most 65534: that \
                 takes 15 to 35 times as long"
            )
        );
    }
}
