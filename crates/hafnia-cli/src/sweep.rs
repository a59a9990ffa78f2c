//! `hafnia sweep`: many evaluations, over points of networks, pipelines, macros and noise.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use hafnia_artifact::{Digest, load, save, write_whole};
use hafnia_cim::{CodeTable, InputControl, MacroSpec};
use hafnia_cost::{Calibrated, CostModel, DRAWS, Range as CostRange};
use hafnia_data::{Dataset, Mnist};
use hafnia_ir::{Mapping, Profile};
use hafnia_model::Network;
use hafnia_passes::{Context, PassError, Pipeline, Registry, Size};
use hafnia_report::{Align, Table};
use hafnia_rng::Seed;
use hafnia_sim::{
    EngineKind, Evaluation, Events, Prepared, ProfileOptions, evaluate, profile, tally,
};
use hafnia_sweep::{
    Computed, Folder, MOST_POINTS, Plan, Point, Row, ShardId, Share, Slurm, Status, SweepError,
    Tally, collect, to_cells, to_json_lines,
};
use serde::Serialize;

use crate::data::{self, DataOptions, Part};
use crate::map::{load_pipeline, run_pipeline};
use crate::models::{Chosen, NetworkOptions};
use crate::output::{Output, check_writable, in_one_line};
use crate::progress;
use crate::sim::noise_scope;

/// Run many evaluations, over points of networks, pipelines, macros and noise.
///
/// Every shard (some chips of a point) is a file in --out, written whole as it ends: a sweep that is
/// killed goes on where it was, and several processes or machines may work on one folder.
/// Results are collected into results.csv and results.jsonl.
///
/// A design is chosen by it, so chips are shown validation images: the test images are for what was
/// chosen (hafnia sim), or for a sweep that chooses nothing (part = "test").
///
/// Keys: model or network, pipeline, pipeline.PASS.OPTION, noise_in, macro, macro.KEY (hafnia macros
/// show gt-n40, hafnia passes).
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia sweep sweep.toml --out out/sweep --plan         what would be run, and about how long
  hafnia sweep sweep.toml --out out/sweep                run it, or go on with it
  hafnia sweep --out out/sweep --collect                 what is there so far
  seq 0 3 | parallel hafnia sweep sweep.toml --out out/sweep --share {}/4
  hafnia sweep sweep.toml --out shared/sweep --engine slurm --tasks 16

A sweep:
  name = \"noise\"
  engine = \"table\"
  part = \"validation\"       or train, or test
  chips = 20
  [base]
  model = \"frontier\"
  noise_in = \"all\"
  [axes]
  pipeline = [\"natural\", \"compact\"]
  \"macro.sigma_lrs_rel\" = { from = 0.05, to = 0.3, steps = 6 }")]
pub(crate) struct Sweep {
    /// The sweep, a TOML file; without it the one in --out goes on.
    #[arg(value_name = "SWEEP")]
    file: Option<PathBuf>,
    /// Folder of the sweep.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the plan and stop.
    #[arg(long)]
    plan: bool,
    /// Start even a very large sweep.
    #[arg(long)]
    yes: bool,
    /// Who computes: this process, or the nodes of a Slurm cluster, which share --out.
    #[arg(long, value_enum, default_value_t = By::Local)]
    engine: By,
    /// Compute only every N-th shard from the K-th on, and do not collect.
    #[arg(long, value_name = "K/N")]
    share: Option<Share>,
    /// Compute only the shards that this file lists, a name a line.
    #[arg(long, value_name = "FILE")]
    shards: Option<PathBuf>,
    /// Only collect what is there.
    #[arg(long)]
    collect: bool,
    /// Slurm: most tasks of the job array.
    #[arg(long, value_name = "N", default_value_t = 16)]
    tasks: usize,
    /// Slurm: cores of a task.
    #[arg(long, value_name = "N", default_value_t = 1)]
    cores: usize,
    /// Slurm: one more option of sbatch, such as --sbatch=--partition=long.
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    sbatch: Vec<String>,
    /// Slurm: wait for the end of the collection.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    data: DataOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Local,
    Slurm,
}

/// What a sweep gives.
#[derive(Serialize)]
struct Swept {
    name: String,
    points: usize,
    shards: usize,
    /// The part of the data set whose images are shown.
    part: Part,
    /// How many of them; all if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<usize>,
    /// Shards that are not there yet.
    missing: usize,
    /// About how long these take on this machine, where that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<f64>,
    /// What this process did.
    #[serde(skip_serializing_if = "Option::is_none")]
    tally: Option<Tally>,
    /// The job array and the job that collects.
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs: Option<[String; 2]>,
    /// The files of results, once collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<[PathBuf; 2]>,
    #[serde(skip)]
    table: String,
}

impl Sweep {
    pub(crate) fn run(&self, registry: &Registry, output: Output) -> anyhow::Result<()> {
        check_writable(&self.out.join("sweep.json"))?;
        if self.collect {
            let folder = Folder::open(&self.out)?;
            let missing = folder.missing()?.len();
            let mut swept = Swept::of(folder.plan(), missing);
            swept.collect(&folder)?;
            return output.print(&swept, Swept::text);
        }
        let mnist = self.data.load()?;
        let plan = self.read_plan(registry, &mnist)?;
        if self.plan {
            let missing = match Folder::open(&self.out) {
                Err(SweepError::NoSweep { .. }) => plan.shards().collect(),
                _ => Folder::create(&self.out, plan.clone())?.missing()?,
            };
            let mut swept = Swept::of(&plan, missing.len());
            let worker = Worker::new(&plan, &mnist, registry, self.out.clone())?;
            swept.seconds_left = worker.estimate(&missing).ok();
            return output.print(&swept, Swept::text);
        }
        let folder = Folder::create(&self.out, plan)?;
        let mut shards = match &self.shards {
            Some(file) => listed(file)?,
            None => folder.plan().shards().collect(),
        };
        if self.engine == By::Slurm {
            let job = self.slurm()?.submit(&folder)?;
            let mut swept = Swept::of(folder.plan(), job.shards);
            swept.jobs =
                job.array.zip(job.collection).map(|(array, collection)| [array, collection]);
            if self.wait || swept.jobs.is_none() {
                swept.missing = folder.missing()?.len();
                swept.collect(&folder)?;
            }
            return output.print(&swept, Swept::text);
        }
        if let Some(share) = self.share {
            shards = share.take(shards);
        }
        let missing = folder.missing()?;
        let todo: Vec<ShardId> =
            shards.iter().filter(|shard| missing.contains(shard)).cloned().collect();
        let worker = Worker::new(folder.plan(), &mnist, registry, folder.path().to_owned())?;
        let mut swept = Swept::of(folder.plan(), todo.len());
        // A point that fails says so when it is run.
        swept.seconds_left = worker.estimate(&todo).ok();
        progress::note(&swept.text());
        let mut tally = worker.work(&folder, &todo)?;
        tally.skipped += shards.len() - todo.len();
        (swept.tally, swept.seconds_left) = (Some(tally), None);
        swept.missing = folder.missing()?.len();
        if self.share.is_none() && self.shards.is_none() {
            swept.collect(&folder)?;
        }
        output.print(&swept, Swept::text)?;
        ensure!(
            tally.failed == 0,
            "{} shards failed: see the column `error` of the results; \
             the same command tries them again",
            tally.failed
        );
        Ok(())
    }

    /// The plan: of the file, or of the folder, if all that it rests on is as it was.
    fn read_plan(&self, registry: &Registry, mnist: &Mnist) -> anyhow::Result<Plan> {
        let sweep = match &self.file {
            None => Folder::open(&self.out)?.plan().sweep.clone(),
            Some(path) => {
                let named = || path.display().to_string();
                let text = std::fs::read_to_string(path).with_context(named)?;
                hafnia_sweep::Sweep::parse(&text).with_context(named)?
            }
        };
        let points = Plan::count(&sweep);
        if points > MOST_POINTS as u128 && !self.yes {
            bail!(SweepError::TooMany { points, most: MOST_POINTS });
        }
        let plan = Plan::of(sweep, &keys(registry)?, BTreeMap::new())?;
        shown(&plan, mnist)?;
        let mut inputs = BTreeMap::new();
        inputs.insert("hafnia".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        for (name, digest) in &mnist.digests {
            inputs.insert(name.clone(), digest.to_string());
        }
        for point in &plan.points {
            // What cannot be loaded is the failure of its points, not of the sweep.
            if let Ok(chosen) = network(point) {
                inputs.insert(chosen.name.clone(), chosen.digest.to_string());
            }
            if let Ok(pipeline) = pipeline(point, registry) {
                let digest = Digest::of(pipeline.to_string().as_bytes());
                inputs.insert(format!("pipeline {}", pipeline.name()), digest.to_string());
            }
        }
        Ok(Plan { inputs, ..plan })
    }

    fn slurm(&self) -> anyhow::Result<Slurm> {
        let program = std::env::current_exe().context("the path of hafnia")?;
        let mut command = vec![program.display().to_string(), "sweep".to_owned()];
        if let Some(data) = &self.data.data {
            command.extend(["--data".to_owned(), absolute(data)?]);
        }
        command.extend(["--cache".to_owned(), absolute(&self.data.cache)?]);
        let flags = [("--offline", self.data.offline), ("--or-subset", self.data.or_subset)];
        command.extend(flags.iter().filter(|(_, on)| *on).map(|(flag, _)| (*flag).to_owned()));
        ensure!(self.tasks > 0, "--tasks is 0, it must be at least 1");
        Ok(Slurm {
            command,
            tasks: self.tasks,
            cores: self.cores.max(1),
            options: self.sbatch.clone(),
            wait: self.wait,
        })
    }
}

/// The images that every chip is shown.
fn shown(plan: &Plan, mnist: &Mnist) -> anyhow::Result<Dataset> {
    let part = Part::from(plan.sweep.part);
    let dataset = part.of(mnist);
    let most = dataset.len();
    let images = plan.sweep.images.unwrap_or(most);
    ensure!(
        (1..=most).contains(&images),
        "`images` is {images}, it must lie in 1..={most}, the {} images",
        part.name()
    );
    Ok(dataset.first(images))
}

fn absolute(path: &std::path::Path) -> anyhow::Result<String> {
    Ok(std::path::absolute(path)?.display().to_string())
}

/// The shards that a file lists.
fn listed(file: &std::path::Path) -> anyhow::Result<Vec<ShardId>> {
    let named = || file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(named)?;
    let ids: Result<Vec<ShardId>, _> = text.lines().map(str::parse).collect();
    ids.with_context(named)
}

/// All keys that can be swept.
fn keys(registry: &Registry) -> anyhow::Result<Vec<String>> {
    let mut keys =
        ["model", "network", "pipeline", "noise_in", "macro"].map(str::to_owned).to_vec();
    for (key, _) in MacroSpec::load("gt-n40")?.values() {
        keys.push(format!("macro.{key}"));
        // As --set takes it: without the table that it stands in.
        keys.extend(key.split_once('.').map(|(_, short)| format!("macro.{short}")));
    }
    for pass in registry.infos() {
        let option = |(option, _): &(&str, &str)| format!("pipeline.{}.{option}", pass.name);
        keys.extend(pass.options.iter().map(option));
    }
    Ok(keys)
}

fn text_of(point: &Point, key: &str, or: &str) -> String {
    point.get(key).map_or_else(|| or.to_owned(), ToString::to_string)
}

/// The network of a point.
fn network(point: &Point) -> anyhow::Result<Chosen> {
    let text = |key: &str| point.get(key).map(ToString::to_string);
    let options = NetworkOptions { file: text("network").map(Into::into), model: text("model") };
    match (&options.file, &options.model) {
        (None, None) => NetworkOptions { model: Some("frontier".to_owned()), ..options }.load(),
        (Some(_), Some(_)) => bail!("a point has either a `model` or a `network`, not both"),
        _ => options.load(),
    }
}

/// The macro of a point.
fn spec(point: &Point) -> anyhow::Result<MacroSpec> {
    let mut spec = MacroSpec::load(&text_of(point, "macro", "gt-n40"))?;
    for (key, value) in point {
        if let Some(key) = key.strip_prefix("macro.") {
            spec.set(key, &value.to_string())?;
        }
    }
    Ok(spec)
}

/// The pipeline of a point: the one it names, with its options put in.
fn pipeline(point: &Point, registry: &Registry) -> anyhow::Result<Pipeline> {
    let loaded = load_pipeline(&text_of(point, "pipeline", "natural"), registry)?;
    let mut written: toml::Table = loaded.to_string().parse()?;
    let mut is_changed = false;
    for (key, value) in point {
        let Some(rest) = key.strip_prefix("pipeline.") else { continue };
        let Some((pass, option)) = rest.split_once('.') else { continue };
        let passes = written.get_mut("pass").and_then(toml::Value::as_array_mut);
        let mut found = false;
        for table in passes.into_iter().flatten().filter_map(toml::Value::as_table_mut) {
            if table.get("use").and_then(toml::Value::as_str) == Some(pass) {
                table.insert(option.to_owned(), toml::Value::try_from(value)?);
                (found, is_changed) = (true, true);
            }
        }
        ensure!(found, "`{key}`: the pipeline `{}` has no pass `{pass}`", loaded.name());
    }
    match is_changed {
        true => Ok(Pipeline::parse(&written.to_string(), registry)?),
        false => Ok(loaded),
    }
}

/// What computes shards.
struct Worker<'a> {
    plan: &'a Plan,
    mnist: &'a Mnist,
    registry: &'a Registry,
    /// The images that every chip is shown.
    shown: Dataset,
    /// What prices events: the same draws for all points.
    calibrated: Calibrated,
    folder: PathBuf,
}

/// A point, ready to be run.
struct Ready {
    point: Point,
    spec: MacroSpec,
    mapping: Mapping,
    /// Area, energy and latency, as far as they can be told.
    costs: BTreeMap<String, f64>,
}

/// The events of a mapping under an input control.
struct Tallied {
    mapping: Mapping,
    grouping: (InputControl, usize),
    events: hafnia_sim::Tally,
}

impl<'a> Worker<'a> {
    fn new(
        plan: &'a Plan,
        mnist: &'a Mnist,
        registry: &'a Registry,
        folder: PathBuf,
    ) -> anyhow::Result<Self> {
        let calibrated = CostModel::gt_n40().calibrate(DRAWS, Seed(plan.sweep.seed))?;
        Ok(Self { plan, mnist, registry, shown: shown(plan, mnist)?, calibrated, folder })
    }

    /// Computes shards that are missing.
    fn work(&self, folder: &Folder, todo: &[ShardId]) -> anyhow::Result<Tally> {
        let bar = progress::bar(&self.plan.sweep.name);
        let runs = |id: &ShardId| Ok(self.plan.chips(id)?.len() as u64 * self.shown.len() as u64);
        let total: anyhow::Result<Vec<u64>> = todo.iter().map(runs).collect();
        bar.set_length(total?.iter().sum());
        let mut tally = Tally::default();
        // Points of one network and scope share what is run once without noise.
        let subject = |id: &ShardId| {
            let point = &self.plan.points[id.point];
            ["model", "network", "noise_in"].map(|key| point.get(key).map(ToString::to_string))
        };
        let mut todo = todo.to_vec();
        todo.sort_by_key(subject);
        for group in todo.chunk_by(|a, b| subject(a) == subject(b)) {
            let point = &self.plan.points[group[0].point];
            let chosen = network(point).map_err(|error| in_one_line(&error));
            let prepared = chosen.as_ref().map_err(String::clone).and_then(|chosen| {
                self.prepare(point, chosen, self.shown.len()).map_err(|error| in_one_line(&error))
            });
            let (mut ready, mut tallies) = (None, Vec::new());
            let compute = |point: &Point, chips: Range<u32>| {
                let chosen = chosen.as_ref().map_err(String::clone)?;
                let prepared = prepared.as_ref().map_err(String::clone)?;
                let before = bar.position();
                let moves = |done: u64, _: u64| bar.set_position(before + done);
                let compute = || {
                    if ready.as_ref().is_none_or(|ready: &Ready| ready.point != *point) {
                        ready = Some(self.map(point, chosen, &mut tallies)?);
                    }
                    let ready = ready.as_ref().context("it was made above")?;
                    self.run(ready, prepared, chips, &moves)
                };
                compute().map_err(|error| in_one_line(&error))
            };
            let more = folder.compute(group, compute, |id, failure| {
                if let Some(failure) = failure {
                    progress::line(&bar, &format!("{id} failed: {}", failure.error));
                }
            })?;
            tally.done += more.done;
            tally.failed += more.failed;
        }
        bar.finish_and_clear();
        Ok(tally)
    }

    /// What points of one network and scope share.
    fn prepare<'n>(
        &self,
        point: &Point,
        chosen: &'n Chosen,
        images: usize,
    ) -> anyhow::Result<Prepared<'n>> {
        let scope = noise_scope(&text_of(point, "noise_in", "final"), &chosen.network)?;
        let images = data::images(&chosen.network, &self.shown.first(images));
        Ok(Prepared::new(&chosen.network, &images, &scope)?)
    }

    /// Maps a point; events that were counted for another point of its network are used again.
    fn map(
        &self,
        point: &Point,
        chosen: &Chosen,
        tallies: &mut Vec<Tallied>,
    ) -> anyhow::Result<Ready> {
        let spec = spec(point)?;
        if self.plan.sweep.engine == EngineKind::Table {
            spec.check_table()?;
        }
        let pipeline = pipeline(point, self.registry)?;
        let code_table = CodeTable::from_spec(&spec);
        let context = Context {
            network: &chosen.network,
            spec: &spec,
            profile: None,
            code_table: &code_table,
            seed: Seed(self.plan.sweep.seed),
            progress: &|_, _| {},
        };
        let mapped = match run_pipeline(&pipeline, context, None, false) {
            Err(error) if asks_for_profile(&error) => {
                let profile = self.profile(chosen)?;
                run_pipeline(&pipeline, Context { profile: Some(&profile), ..context }, None, false)
            }
            mapped => mapped,
        };
        let (mapping, _) = mapped?;
        let costs = self.costs(&chosen.network, &mapping, &spec, tallies)?;
        Ok(Ready { point: point.clone(), spec, mapping, costs })
    }

    /// What a mapping costs, and the ends of the range that what is assumed leaves.
    fn costs(
        &self,
        network: &Network,
        mapping: &Mapping,
        spec: &MacroSpec,
        tallies: &mut Vec<Tallied>,
    ) -> anyhow::Result<BTreeMap<String, f64>> {
        let grouping = (spec.input_control, spec.rows_per_conversion);
        let is_same = |of: &Tallied| of.grouping == grouping && of.mapping == *mapping;
        let known = tallies.iter().position(is_same);
        let known = match known {
            Some(known) => known,
            None => {
                let images = data::images(network, &self.shown.first(COST_IMAGES));
                let events = tally(network, &images, mapping, spec, &|_, _| {})?;
                tallies.push(Tallied { mapping: mapping.clone(), grouping, events });
                tallies.len() - 1
            }
        };
        let events = &tallies[known].events;
        let cost = self.calibrated.assess(network, mapping, spec, events)?.cost();
        let costs = [
            ("area_mm2", cost.whole_um2.scaled(1e-6)),
            ("energy_nj", cost.energy_fj.total.scaled(1e-6)),
            ("latency_us", cost.latency_ns.total.scaled(1e-3)),
            ("tops_per_w", cost.tops_per_w),
        ];
        let ends = |(column, CostRange { typical, lo, hi }): (&str, CostRange)| {
            [("", typical), ("_lo", lo), ("_hi", hi)]
                .map(|(end, value)| (format!("{column}{end}"), value))
        };
        Ok(costs.into_iter().flat_map(ends).collect())
    }

    /// The profile of a network: taken once a sweep and kept in its folder.
    fn profile(&self, chosen: &Chosen) -> anyhow::Result<Profile> {
        let name = format!("{}.profile", chosen.digest);
        let path = self.folder.join("profiles").join(name);
        if let Ok(profile) = load(&path) {
            return Ok(profile);
        }
        let images = data::images(&chosen.network, &Part::Train.of(self.mnist));
        let options =
            ProfileOptions { images: PROFILE_IMAGES.min(images.len()), positions_per_image: 1 };
        let taken = profile(&chosen.network, &images, options, Seed(1), &|_, _| {})?;
        save(&path, &taken)?;
        Ok(taken)
    }

    /// Runs some chips of a point.
    fn run(
        &self,
        Ready { spec, mapping, costs, .. }: &Ready,
        prepared: &Prepared<'_>,
        chips: Range<u32>,
        moves: &(dyn Fn(u64, u64) + Sync),
    ) -> anyhow::Result<Computed> {
        let sweep = &self.plan.sweep;
        let seed = Seed(sweep.seed);
        let evaluation = evaluate(prepared, mapping, spec, sweep.engine, chips, seed, moves)?;
        let mut facts = facts(mapping, &evaluation);
        facts.extend(costs.clone());
        Ok(Computed { evaluation, facts })
    }

    /// About how many seconds these shards take: a chip of the first on a few images, scaled up.
    fn estimate(&self, todo: &[ShardId]) -> anyhow::Result<f64> {
        let Some(first) = todo.first() else { return Ok(0.0) };
        let point = &self.plan.points[first.point];
        let chosen = network(point)?;
        let images = self.shown.len().min(512);
        let prepared = self.prepare(point, &chosen, images)?;
        let ready = self.map(point, &chosen, &mut Vec::new())?;
        let start = Instant::now();
        self.run(&ready, &prepared, 0..1, &|_, _| {})?;
        let seconds = start.elapsed().as_secs_f64() / images as f64;
        let mut runs = 0.0;
        for shard in todo {
            // Without noise one run counts for all chips.
            let is_exact = self.plan.sweep.engine == EngineKind::Exact;
            runs += if is_exact { 1.0 } else { self.plan.chips(shard)?.len() as f64 };
        }
        Ok(seconds * runs * self.shown.len() as f64)
    }
}

/// Images over which events are priced, at most.
const COST_IMAGES: usize = 100;

/// Images of a profile, as `hafnia profile` takes them.
const PROFILE_IMAGES: usize = 30_000;

/// Whether a pipeline failed because it was given no profile.
fn asks_for_profile(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref())
        .any(|error| matches!(error, PassError::NoProfile { .. }))
}

/// What is known of a mapping and of what happened on it, per image where it is counted.
fn facts(mapping: &Mapping, evaluation: &Evaluation) -> BTreeMap<String, f64> {
    let size = Size::of(mapping);
    let runs = (evaluation.images() * evaluation.chips()) as f64;
    let mean = |count: fn(&Events) -> u64| {
        evaluation.events.iter().map(|events| count(events) as f64).sum::<f64>() / runs
    };
    let facts = [
        ("rows", size.physical_rows as f64),
        ("cells", size.cells as f64),
        ("macros", mapping.macros() as f64),
        ("table_bits", size.table_bits as f64),
        ("cycles", mean(|events| events.groups)),
        ("conversions", mean(|events| events.conversions)),
    ];
    facts.map(|(column, value)| (column.to_owned(), value)).into()
}

impl Swept {
    fn of(plan: &Plan, missing: usize) -> Self {
        Self {
            name: plan.sweep.name.clone(),
            points: plan.points.len(),
            shards: plan.shards().count(),
            part: plan.sweep.part.into(),
            images: plan.sweep.images,
            missing,
            seconds_left: None,
            tally: None,
            jobs: None,
            results: None,
            table: String::new(),
        }
    }

    /// Collects what is there into the files of results and a table.
    fn collect(&mut self, folder: &Folder) -> anyhow::Result<()> {
        let rows = collect(folder)?;
        let files = ["results.csv", "results.jsonl"].map(|name| folder.path().join(name));
        let (header, cells) = to_cells(&rows);
        let mut csv = Table::new(header.into_iter().map(|column| (column, Align::Left)));
        cells.into_iter().for_each(|row| csv.row(row));
        write_whole(&files[0], csv.to_csv().as_bytes())?;
        write_whole(&files[1], to_json_lines(&rows).as_bytes())?;
        self.table = table(folder.plan(), &rows);
        self.results = Some(files);
        Ok(())
    }

    fn text(&self) -> String {
        let Self { name, points, shards, missing, .. } = self;
        let mut text = format!(
            "sweep {name}: {points} points in {shards} shards, {missing} of them missing\n"
        );
        let images = self.images.map_or("all".to_owned(), |images| images.to_string());
        text += &format!("every chip is shown {images} {} images\n", self.part.name());
        if let Some(seconds) = self.seconds_left {
            text += &format!("about {} on this machine\n", duration(seconds));
        }
        if let Some(Tally { skipped, done, failed }) = self.tally {
            text += &format!("{done} computed, {failed} failed, {skipped} were there already\n");
        }
        if let Some([array, collection]) = &self.jobs {
            text += &format!("job array {array}, collection {collection}\n");
        }
        text += &self.table;
        if let Some([csv, lines]) = &self.results {
            text += &format!("\nresults in {} and {}", csv.display(), lines.display());
        }
        text.trim_end().to_owned()
    }
}

/// Seconds as people say them.
fn duration(seconds: f64) -> String {
    match seconds {
        ..90.0 => format!("{seconds:.0} s"),
        ..5400.0 => format!("{:.0} minutes", seconds / 60.0),
        _ => format!("{:.1} hours", seconds / 3600.0),
    }
}

/// Points of a table, at most.
const SHOWN: usize = 40;

/// The points that no other beats, or all if there are few, and those that failed.
fn table(plan: &Plan, rows: &[Row]) -> String {
    let varied = plan.varied();
    let has = |fact: &str| rows.iter().any(|row| row.facts.contains_key(fact));
    let facts: Vec<&str> = FACTS.iter().copied().filter(|fact| has(fact)).collect();
    let mut header = vec![("".to_owned(), Align::Left), ("point".to_owned(), Align::Right)];
    header.extend(varied.iter().map(|key| ((*key).to_owned(), Align::Left)));
    for column in ["accuracy, %", "95 % interval", "drop, points"] {
        header.push((column.to_owned(), Align::Right));
    }
    header.extend(facts.iter().map(|fact| ((*fact).to_owned(), Align::Right)));
    let mut table = Table::new(header);
    let few = rows.len() <= SHOWN;
    let shown = rows.iter().filter(|row| few || row.pareto).take(SHOWN);
    for row in shown.filter(|row| row.status == Status::Done) {
        let Some(summary) = &row.summary else { continue };
        let mut cells = vec![if row.pareto { "*" } else { "" }.to_owned(), row.point.to_string()];
        cells.extend(varied.iter().map(|key| text_of(&row.values, key, "")));
        let accuracy = summary.accuracy;
        cells.push(format!("{:.3}", 100.0 * accuracy.value));
        cells.push(match accuracy.lo.is_finite() {
            true => format!("{:.3} to {:.3}", 100.0 * accuracy.lo, 100.0 * accuracy.hi),
            false => "-".to_owned(),
        });
        cells.push(format!("{:.3}", summary.drop_points.value));
        cells.extend(facts.iter().map(|fact| {
            let of = |end: &str| row.facts.get(&format!("{fact}{end}")).copied();
            match (of(""), of("_lo"), of("_hi")) {
                (Some(typical), Some(lo), Some(hi)) => CostRange { typical, lo, hi }.to_string(),
                (Some(value), ..) if value.fract() == 0.0 => format!("{value:.0}"),
                (Some(value), ..) => format!("{value:.1}"),
                (None, ..) => String::new(),
            }
        }));
        table.row(cells);
    }
    let mut text = format!("{table}\n");
    let weighed: Vec<String> =
        plan.sweep.pareto.iter().map(|objective| objective.clone().into()).collect();
    text += &format!("* no other point beats it ({})\n", weighed.join(", "));
    text += "in brackets: what area, energy and latency may be, given what is assumed\n";
    for row in rows.iter().filter(|row| row.status == Status::Failed) {
        let error = row.error.as_deref().unwrap_or_default();
        text += &format!("point {} failed: {error}\n", row.point);
    }
    text
}

/// Facts that the table shows.
const FACTS: [&str; 6] = ["cells", "macros", "cycles", "area_mm2", "energy_nj", "latency_us"];

#[cfg(test)]
mod tests {
    use super::*;

    fn point(values: &[(&str, &str)]) -> Point {
        let value = |text: &str| match text.parse() {
            Ok(number) => hafnia_sweep::Value::Whole(number),
            Err(_) => hafnia_sweep::Value::Text(text.to_owned()),
        };
        values.iter().map(|&(key, text)| (key.to_owned(), value(text))).collect()
    }

    #[test]
    fn options_of_passes_are_put_into_the_pipeline() {
        let registry = Registry::builtin();
        let put = |values: &[(&str, &str)]| {
            pipeline(&point(values), &registry).map(|pipeline| pipeline.to_string())
        };
        let found = put(&[("pipeline", "reorder"), ("pipeline.reorder.steps", "7")]);
        assert!(found.expect("a pass and its option").contains("steps = 7"));
        let error = put(&[("pipeline.reorder.steps", "7")]).expect_err("no such pass").to_string();
        assert_eq!(error, "`pipeline.reorder.steps`: the pipeline `natural` has no pass `reorder`");
    }

    #[test]
    fn every_key_of_a_macro_and_a_pass_can_be_swept() {
        let keys = keys(&Registry::builtin()).expect("the preset loads");
        for key in ["macro.cell.sigma_lrs_rel", "macro.sigma_lrs_rel", "pipeline.tile.rows"] {
            assert!(keys.iter().any(|known| known == key), "{key}");
        }
        let spec = spec(&point(&[("macro.rows_per_conversion", "3")])).expect("in range");
        assert_eq!(spec.rows_per_conversion, 3);
        assert!(super::spec(&point(&[("macro.rows_per_conversion", "0")])).is_err());
    }
}
