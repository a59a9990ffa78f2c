//! Sweeps: many evaluations, over points of a configuration space.
//!
//! A [`Sweep`] is a TOML file: settings that all points share, values of a base point, and axes. Its
//! [`Plan`] lists the points. The chips of a point are cut into *shards*, the unit of work: a file
//! each, written whole, that depends on the plan alone, so that it is the same bit for bit whoever
//! computes it, on whatever machine. A [`Folder`] holds a plan and the shards that are there. What is
//! missing can be computed at any time, by one process or by many ([`Share`]); what is there can be
//! collected into a [`Row`] a point.
//!
//! A design is chosen by a sweep, so its images are validation images unless it says otherwise
//! ([`Part`]).
//!
//! The plan knows points, not what their keys mean: who computes shards does.
//!
//! ```
//! use hafnia_study::sweep::{Plan, Sweep};
//!
//! let text = r#"
//!     name = "noise"
//!     chips = 20
//!     [base]
//!     model = "frontier"
//!     [axes]
//!     "macro.sigma_lrs_rel" = { from = 0.05, to = 0.2, steps = 4 }
//!     pipeline = ["natural", "compact"]
//! "#;
//! let keys = ["model", "pipeline", "macro.sigma_lrs_rel"].map(str::to_owned);
//! let plan = Plan::of(Sweep::parse(text)?, &keys, Default::default())?;
//! assert_eq!(plan.points.len(), 8);
//! assert_eq!(plan.shards().count(), 8);
//! # Ok::<(), hafnia_study::sweep::SweepError>(())
//! ```

mod collect;
mod columns;
mod config;
mod error;
mod folder;
mod key;
mod pareto;
mod plan;
mod plot;
mod slurm;
mod table;
mod worker;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf, absolute};

use anyhow::{Context as _, bail, ensure};
use hafnia_artifact::{FolderLock, Places, read_text, write_whole};
use hafnia_data::SplitDataset;
use hafnia_report::{Align, Table};
use serde::{Deserialize, Serialize};

pub use self::collect::{Row, Status, collect, to_cells, to_json_lines};
pub use self::columns::{columns_table, is_column};
pub use self::config::{Axis, Method, Range, Sampling, Scale, Sweep, Value};
pub use self::error::SweepError;
pub use self::folder::{Computed, Failure, Folder, Shard, ShardCounts, Share};
use self::key::{check_values, inputs, keys};
pub use self::pareto::{Aim, Objective, Weighed, mark};
pub use self::plan::{Inputs, MOST_POINTS, PROGRAM, Plan, Point, ShardId};
pub use self::slurm::{Job, Slurm};
use self::worker::{Worker, shown};
use crate::data::{DataSource, Part};
use crate::outputs::written;
use crate::request::Request;
use crate::session::{Session, duration};

/// What is to be swept, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepRequest {
    /// The sweep, a TOML file; without it the one in `out` goes on.
    pub file: Option<PathBuf>,
    /// Folder of the sweep.
    pub out: PathBuf,
    /// Whether only to say what would be done.
    pub plan: bool,
    /// Whether to start even a very large sweep.
    pub yes: bool,
    /// Who computes.
    pub on: On,
    /// The share of the shards that is computed; nothing is collected.
    pub share: Option<Share>,
    /// A file that lists the shards that are computed, a name in each line.
    pub shards: Option<PathBuf>,
    /// Whether only to collect what is there.
    pub collect: bool,
    /// What is drawn of the results once they are collected: the columns X and Y, and BY if there is to
    /// be a series for every value of it.
    pub plot: Vec<String>,
    /// The file of that; `plot.svg` in the folder if none is named.
    pub plot_file: Option<PathBuf>,
    /// Slurm: most tasks of the job array.
    pub tasks: usize,
    /// Slurm: cores of a task.
    pub cores: usize,
    /// Slurm: more options of sbatch.
    pub sbatch: Vec<String>,
    /// Slurm: whether to wait for the end of the collection.
    pub wait: bool,
    /// Where images come from.
    #[serde(flatten)]
    pub data: DataSource,
}

/// Who computes shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum On {
    /// This process.
    Local,
    /// The nodes of a Slurm cluster, which share the folder.
    Slurm,
}

impl Default for SweepRequest {
    fn default() -> Self {
        Self {
            file: None,
            out: PathBuf::new(),
            plan: false,
            yes: false,
            on: On::Local,
            share: None,
            shards: None,
            collect: false,
            plot: Vec::new(),
            plot_file: None,
            tasks: 16,
            cores: 1,
            sbatch: Vec::new(),
            wait: false,
            data: DataSource::default(),
        }
    }
}

/// What a sweep gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepOutcome {
    /// Its name.
    pub name: String,
    /// Its points.
    pub points: usize,
    /// Their shards.
    pub shards: usize,
    /// The part of the data set whose images are shown.
    pub part: Part,
    /// How many of them; all if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<usize>,
    /// Shards that are not there yet.
    pub missing: usize,
    /// About how long these take on this machine, where that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
    /// What this process did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tally: Option<ShardCounts>,
    /// The job array and the job that collects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<[String; 2]>,
    /// The files of results, once collected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<[PathBuf; 2]>,
    /// What is shown of the results.
    #[serde(skip)]
    pub table: String,
}

impl Request for SweepRequest {
    const COMMAND: &'static str = "sweep";

    type Outcome = SweepOutcome;

    fn run(&self, session: &Session<'_>) -> anyhow::Result<SweepOutcome> {
        let slurm = (self.on == On::Slurm).then(|| self.slurm()).transpose()?;
        ensure!(
            matches!(self.plot.len(), 0 | 2 | 3),
            "--plot takes the columns X and Y, and BY if there are series: here are {}",
            self.plot.len()
        );
        self.places().check()?;
        if self.collect {
            let folder = Folder::open(&self.out)?;
            let missing = folder.missing()?.len();
            return SweepOutcome::of(folder.plan(), missing).collected(self, &folder);
        }
        let set = session.dataset(&self.data)?;
        let plan = self.read_plan(session, &set)?;
        self.places().reads(plan.inputs.keys()).check()?;
        if self.plan {
            let missing = match Folder::open(&self.out) {
                Err(SweepError::NoSweep { .. }) => plan.shards().collect(),
                _ => Folder::create(&self.out, plan.clone())?.missing()?,
            };
            let mut swept = SweepOutcome::of(&plan, missing.len());
            let worker = Worker::new(&plan, &set, session, self.out.clone())?;
            swept.seconds_left = worker.estimate(&missing).ok();
            return Ok(swept);
        }
        // Those that each compute a part of a sweep do so side by side.
        let is_part = self.share.is_some() || self.shards.is_some() || self.on == On::Slurm;
        let _lock = match is_part {
            true => FolderLock::share(&self.out)?,
            false => FolderLock::take(&self.out)?,
        };
        let folder = Folder::create(&self.out, plan)?;
        let mut shards = match &self.shards {
            Some(file) => listed(file)?,
            None => folder.plan().shards().collect(),
        };
        if let Some(slurm) = slurm {
            let job = slurm.submit(&folder)?;
            let mut swept = SweepOutcome::of(folder.plan(), job.shards);
            swept.jobs =
                job.array.zip(job.collection).map(|(array, collection)| [array, collection]);
            if self.wait || swept.jobs.is_none() {
                swept.missing = folder.missing()?.len();
                return swept.collected(self, &folder);
            }
            return Ok(swept);
        }
        if let Some(share) = self.share {
            shards = share.take(shards);
        }
        let missing = folder.missing()?;
        let todo: Vec<ShardId> =
            shards.iter().filter(|shard| missing.contains(shard)).cloned().collect();
        let worker = Worker::new(folder.plan(), &set, session, folder.path().to_owned())?;
        let mut swept = SweepOutcome::of(folder.plan(), todo.len());
        // A point that fails says so when it is run.
        swept.seconds_left = worker.estimate(&todo).ok();
        session.observer.note(&swept.text());
        let mut tally = worker.work(&folder, &todo)?;
        tally.skipped += shards.len() - todo.len();
        (swept.tally, swept.seconds_left) = (Some(tally), None);
        swept.missing = folder.missing()?.len();
        match is_part {
            true => Ok(swept),
            false => swept.collected(self, &folder),
        }
    }
}

impl SweepRequest {
    /// Where it reads and writes, but for what its points name.
    fn places(&self) -> Places {
        let written = ["sweep.json", "results.csv", "results.jsonl"];
        Places::new()
            .reads(self.file.iter().chain(&self.shards))
            .reads(self.data.files())
            .writes(written.map(|name| self.out.join(name)))
            .writes(self.plot_file())
    }

    /// The file of the plot, if there is to be one.
    fn plot_file(&self) -> Option<PathBuf> {
        let usual = || self.out.join("plot.svg");
        (!self.plot.is_empty()).then(|| self.plot_file.clone().unwrap_or_else(usual))
    }

    /// The plan: of the file, or of the folder, if all that it rests on is as it was.
    fn read_plan(&self, session: &Session<'_>, set: &SplitDataset) -> anyhow::Result<Plan> {
        let sweep = match &self.file {
            None => Folder::open(&self.out)?.plan().sweep.clone(),
            Some(path) => {
                let named = || path.display().to_string();
                Sweep::parse(&read_text(path)?).with_context(named)?
            }
        };
        let points = Plan::count(&sweep);
        if points > MOST_POINTS as u128 && !self.yes {
            bail!(
                "the sweep has {points} points, more than {MOST_POINTS}: give --yes if that is meant"
            );
        }
        let plan = Plan::of(sweep, &keys(session.registry)?, BTreeMap::new())?;
        shown(&plan, set)?;
        check_values(&plan.points)?;
        // What cannot be loaded is the failure of its points, not of the sweep.
        Ok(Plan { inputs: inputs(&plan.points, set), ..plan })
    }

    fn slurm(&self) -> anyhow::Result<Slurm> {
        ensure!(self.tasks > 0, "--tasks is 0, it must be at least 1");
        let program = std::env::current_exe().context("the path of hafnia")?;
        let mut data = self.data.clone();
        data.data = data.data.map(absolute).transpose()?;
        data.cache = absolute(&data.cache)?;
        let asked = Self { data, ..Self::default() };
        let slurm = Slurm {
            command: [program.display().to_string()].into_iter().chain(asked.words()).collect(),
            tasks: self.tasks,
            cores: self.cores.max(1),
            options: self.sbatch.clone(),
            wait: self.wait,
        };
        slurm.check(&self.out)?;
        Ok(slurm)
    }
}

/// The shards that a file lists.
fn listed(file: &Path) -> anyhow::Result<Vec<ShardId>> {
    let named = || file.display().to_string();
    let text = read_text(file)?;
    let ids: Result<Vec<ShardId>, _> = text.lines().map(str::parse).collect();
    ids.with_context(named)
}

impl SweepOutcome {
    fn of(plan: &Plan, missing: usize) -> Self {
        Self {
            name: plan.sweep.name.clone(),
            points: plan.points.len(),
            shards: plan.shards().count(),
            part: plan.sweep.part,
            images: plan.sweep.images,
            missing,
            seconds_left: None,
            tally: None,
            jobs: None,
            results: None,
            table: String::new(),
        }
    }

    /// With what is there, as a table and as files of results.
    fn collected(mut self, asked: &SweepRequest, folder: &Folder) -> anyhow::Result<Self> {
        let rows = collect(folder)?;
        let files = ["results.csv", "results.jsonl"].map(|name| folder.path().join(name));
        let (header, cells) = to_cells(&rows);
        let mut csv = Table::new(header.into_iter().map(|column| (column, Align::Left)));
        cells.into_iter().for_each(|row| csv.row(row));
        self.table = table::of(folder.plan(), &rows);
        self.results = Some(files.clone());
        written(self, |_| {
            write_whole(&files[0], csv.to_csv().as_bytes())?;
            write_whole(&files[1], to_json_lines(&rows).as_bytes())?;
            if let Some(file) = asked.plot_file() {
                write_whole(&file, plot::plot(&rows, &asked.plot)?.as_bytes())?;
            }
            Ok(())
        })
    }

    /// What is said of it.
    pub fn text(&self) -> String {
        let Self { name, points, shards, missing, .. } = self;
        let mut text = format!(
            "sweep {name}: {points} points in {shards} shards, {missing} of them missing\n"
        );
        let images = self.images.map_or("all".to_owned(), |images| images.to_string());
        text += &format!("every chip is shown {images} {} images\n", self.part.name());
        if let Some(seconds) = self.seconds_left {
            text += &format!("about {} on this machine\n", duration(seconds));
        }
        if let Some(ShardCounts { skipped, done, failed }) = self.tally {
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
