//! `hafnia train`.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Args;
use hafnia_artifact::{Digest, FolderLock, Places, read_text, save, seal, write_whole};
use hafnia_data::{Dataset, Split, SplitDataset};
use hafnia_study::{
    Record, SeedOutcome, Session, TrainOutcome, TrainRequest, TrainSummary, Unwritten, manifest_of,
    program, written,
};
use hafnia_train::{CheckpointFolder, Event, TrainConfig, TrainReport};
use indicatif::{MultiProgress, ProgressBar};
use serde::Serialize;

use crate::options::{DataOptions, request};
use crate::output::{Output, table};
use crate::progress;

/// What help calls the options that stand in place of what a recipe says.
const OVERRIDES: &str = "In place of the recipe's";

/// Train a network with weights of 1 to 4 bits and activations of 1 to 8; gives a network of
/// integers.
///
/// The recipe describes the layers, which may branch, and the training; LeNet-5 with 1-bit weights
/// and 2-bit activations without one. The state is kept after every epoch: a run that was killed goes on
/// where it was when it is started again with the same recipe and output folder.
#[derive(Args, Serialize)]
#[command(after_help = "Examples:
  hafnia train --out out/net                          the built-in recipe
  hafnia train --recipe recipes/frontier.toml --out out/frontier --seeds 5
  hafnia train --recipe recipes/final12.toml --data ~/fashion --out out/fashion
  hafnia train --recipe recipes/residual.toml --out out/residual     branches
  hafnia train --epochs 2 --offline --out out/try     two epochs on the subset

Writes OUT/network.hafnia, the curve as OUT/training.json, .csv and .svg, and a manifest;
with --seeds the same per seed in OUT/seed-<n>, and OUT/summary.json with mean and deviation.")]
pub(crate) struct Train {
    /// Recipe, a TOML file; without it the defaults of hafnia_train::TrainConfig.
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Folder to write to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder of the checkpoint, OUT without it; the checkpoint goes when the network is there.
    #[arg(long, value_name = "DIR", conflicts_with = "seeds")]
    checkpoint: Option<PathBuf>,
    /// Overrides the recipe's seed.
    #[arg(long, help_heading = OVERRIDES)]
    seed: Option<u64>,
    /// Trains N seeds side by side: the seed and those that follow.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    #[arg(help_heading = OVERRIDES)]
    seeds: Option<u64>,
    /// Overrides the recipe's number of epochs.
    #[arg(long, help_heading = OVERRIDES)]
    epochs: Option<usize>,
    /// Overrides the recipe's number of row patterns of the final layer; 0 frees all rows.
    #[arg(long, value_name = "K", help_heading = OVERRIDES)]
    final_patterns: Option<usize>,
    /// Overrides what computes: flex, or ndarray where hafnia was built with that feature.
    #[arg(long, help_heading = OVERRIDES)]
    backend: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    data: DataOptions,
}

/// The network of a training, in its folder.
const NETWORK: &str = "network.hafnia";

/// Its curve.
const CURVE: [&str; 3] = ["training.json", "training.csv", "training.svg"];

/// Of several trainings, in the folder above theirs.
const SUMMARY: &str = "summary.json";

/// What a training reads and writes.
struct Job<'a> {
    config: TrainConfig,
    request: &'a TrainRequest,
    out: PathBuf,
    set: &'a SplitDataset,
    split: &'a Split,
}

impl Train {
    pub(crate) fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        let request: TrainRequest = request(self)?;
        let Some(seeds) = self.seeds else {
            return output.answer(train(session, &request), |trained| {
                format!(
                    "{}: validation accuracy {:.2} % after epoch {}, {:.0} images/s",
                    self.out.join("network.hafnia").display(),
                    100.0 * trained.validation_accuracy,
                    trained.best_epoch,
                    trained.images_per_second
                )
            });
        };
        with_job(session, &request, |job| {
            let first = job.config.seed;
            let last = first.checked_add(seeds - 1);
            ensure!(last.is_some(), "seed {first} and {} more do not fit 64 bits", seeds - 1);
            let jobs = (first..).take(seeds as usize).map(|seed| Job {
                config: TrainConfig { seed, ..job.config.clone() },
                out: of_seed(&self.out, seed),
                ..job
            });
            let path = self.out.join(SUMMARY);
            let (summary, trained) = side_by_side(jobs.collect())?;
            let summary = written(summary, |summary| {
                trained?;
                Ok(write_whole(&path, serde_json::to_string_pretty(summary)?.as_bytes())?)
            });
            output.answer(summary, summary_text)
        })
    }
}

/// Trains one network.
pub(crate) fn train(session: &Session<'_>, request: &TrainRequest) -> anyhow::Result<TrainOutcome> {
    with_job(session, request, |job| job.run(&progress::bar("training", "steps"), ""))
}

/// Reads and checks a request before the data are looked for, then does the job.
fn with_job<T>(
    session: &Session<'_>,
    request: &TrainRequest,
    work: impl FnOnce(Job<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let config = config(request)?;
    check_places(request, config.seed)?;
    let _lock = FolderLock::take(&request.out)?;
    let set = session.dataset(&request.data)?;
    work(Job { config, request, out: request.out.clone(), set: &set, split: &set.split })
}

/// Refuses outputs that are inputs too or cannot be written.
fn check_places(request: &TrainRequest, seed: u64) -> anyhow::Result<()> {
    let places = Places::new().reads(request.files()).reads(request.data.files());
    let of_training = |folder: PathBuf| {
        let network = folder.join(NETWORK);
        let checkpoint = request.checkpoint.as_ref().unwrap_or(&folder);
        let curve = CURVE.map(|name| folder.join(name));
        let files = [checkpoint.join("checkpoint.hafnia"), manifest_of(&network), network];
        files.into_iter().chain(curve).collect::<Vec<_>>()
    };
    let files = match request.seeds {
        None => of_training(request.out.clone()),
        Some(seeds) => {
            let folders = (seed..).take(seeds as usize).map(|seed| of_seed(&request.out, seed));
            folders.flat_map(of_training).chain([request.out.join(SUMMARY)]).collect()
        }
    };
    Ok(places.writes(files).check()?)
}

/// The folder of a seed among several.
fn of_seed(out: &Path, seed: u64) -> PathBuf {
    out.join(format!("seed-{seed}"))
}

fn config(request: &TrainRequest) -> anyhow::Result<TrainConfig> {
    let mut config = match &request.recipe {
        None => TrainConfig::default(),
        Some(path) => {
            let name = || format!("recipe {}", path.display());
            TrainConfig::from_toml(&read_text(path)?).with_context(name)?
        }
    };
    config.seed = request.seed.unwrap_or(config.seed);
    config.epochs = request.epochs.unwrap_or(config.epochs);
    if let Some(augmentation) = &mut config.augmentation {
        augmentation.last_epochs_clean = augmentation.last_epochs_clean.min(config.epochs);
    }
    if let (Some(patterns), Some(last)) = (request.final_patterns, config.layer.last_mut()) {
        last.patterns = (patterns > 0).then_some(patterns);
    }
    if let Some(backend) = &request.backend {
        config.backend = serde_json::from_value(serde_json::Value::from(backend.as_str()))
            .with_context(|| format!("--backend is `{backend}`"))?;
    }
    config.validate()?;
    Ok(config)
}

/// Runs trainings as many at a time as there are threads, which they share out evenly.
///
/// Gives the summary, and whether all that it is of was written.
fn side_by_side(jobs: Vec<Job<'_>>) -> anyhow::Result<(TrainSummary, anyhow::Result<()>)> {
    let threads = rayon::current_num_threads();
    let workers = jobs.len().min(threads);
    let bars = MultiProgress::new();
    let queue = Mutex::new(VecDeque::from(jobs));
    let done = Mutex::new((Vec::new(), Ok(())));
    let work = || -> anyhow::Result<()> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads / workers).build()?;
        loop {
            let job = queue.lock().expect("no worker panics with the queue").pop_front();
            let Some(job) = job else { return Ok(()) };
            let seed = job.config.seed;
            let bar = bars.add(progress::bar(&format!("seed {seed}"), "steps"));
            let start = Instant::now();
            let trained = pool.install(|| job.run(&bar, &format!("seed {seed}: ")));
            let (curve, written) = Unwritten::split(trained)?;
            let of_seed = SeedOutcome {
                seed,
                best_epoch: curve.best_epoch,
                validation_accuracy: curve.validation_accuracy,
                seconds: start.elapsed().as_secs_f64(),
                network: curve.network,
            };
            let mut done = done.lock().expect("no worker panics with the results");
            done.0.push(of_seed);
            if done.1.is_ok() {
                done.1 = written;
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    let (seeds, written) = done.into_inner().expect("no worker panics with the results");
    Ok((TrainSummary::of(seeds), written))
}

fn summary_text(summary: &TrainSummary) -> String {
    let mut table = table([">seed", ">best epoch", ">validation accuracy, %", ">seconds"]);
    for of_seed in &summary.seeds {
        table.row([
            of_seed.seed.to_string(),
            of_seed.best_epoch.to_string(),
            format!("{:.2}", 100.0 * of_seed.validation_accuracy),
            format!("{:.0}", of_seed.seconds),
        ]);
    }
    format!(
        "{table}\nvalidation accuracy {:.2} ± {:.2} % over {} seeds",
        100.0 * summary.validation_accuracy_mean,
        100.0 * summary.validation_accuracy_sd,
        summary.seeds.len()
    )
}

impl Job<'_> {
    /// Trains, and writes the network, the curve and the manifest.
    fn run(&self, bar: &ProgressBar, prefix: &str) -> anyhow::Result<TrainOutcome> {
        // Of a seed among several, which is somebody's whole run too.
        let _lock =
            (self.out != self.request.out).then(|| FolderLock::take(&self.out)).transpose()?;
        let network_path = self.out.join(NETWORK);
        let mut record = Record::begin(self.request.words(), &self.config, Some(self.config.seed))?;
        record.inputs(self.request.files())?;
        record.data(self.set);
        let checkpoint = self.request.checkpoint.as_ref().unwrap_or(&self.out);
        let report = observed(&self.config, &self.set.train, self.split, checkpoint, bar, prefix)?;
        let trained = outcome(&report, Digest::of(&seal(&report.network)?))?;
        // The curve and the manifest hold the digest of the network that they belong to.
        written(trained, |trained| {
            save(&network_path, &report.network)?;
            let paths = CURVE.map(|name| self.out.join(name));
            write_whole(&paths[0], serde_json::to_string_pretty(trained)?.as_bytes())?;
            write_whole(&paths[1], trained.csv().as_bytes())?;
            write_whole(&paths[2], trained.svg()?.as_bytes())?;
            record.end(&[&network_path, &paths[0], &paths[1], &paths[2]])?;
            Ok(hafnia_train::remove_checkpoint(checkpoint)?)
        })
    }
}

/// A training as the rest of hafnia sees it.
fn outcome(report: &TrainReport, network: Digest) -> anyhow::Result<TrainOutcome> {
    Ok(TrainOutcome {
        config: serde_json::to_value(&report.config)?,
        // What an epoch is has the same names in both.
        epochs: serde_json::from_value(serde_json::to_value(&report.epochs)?)?,
        best_epoch: report.best_epoch,
        validation_accuracy: report.epochs[report.best_epoch - 1].validation_accuracy,
        images_per_second: report.images_per_second,
        network,
    })
}

/// Trains with a bar on a terminal and a line per epoch elsewhere, both on stderr.
fn observed(
    config: &TrainConfig,
    images: &Dataset,
    split: &Split,
    folder: &Path,
    bar: &ProgressBar,
    prefix: &str,
) -> anyhow::Result<TrainReport> {
    let epochs = config.epochs;
    let mut accuracy = None;
    let mut begun = None;
    let mut observe = |event: &Event| match event {
        Event::Step { epoch, step, steps, loss } => {
            bar.set_length((epochs * steps) as u64);
            let done = (epoch - 1) * steps + step;
            bar.set_position(done as u64);
            let (start, first): (Instant, usize) = *begun.get_or_insert((Instant::now(), done));
            let rate = ((done - first) * config.batch) as f64 / start.elapsed().as_secs_f64();
            let accuracy = match accuracy {
                None => String::new(),
                Some(accuracy) => format!(", validation {:.2} %", 100.0 * accuracy),
            };
            bar.set_message(format!(
                "epoch {epoch}/{epochs}, loss {loss:.4}{accuracy}, {rate:.0} images/s,"
            ));
        }
        Event::Epoch(record) => {
            accuracy = Some(record.validation_accuracy);
            let noisy = match record.noisy_accuracy {
                None => String::new(),
                Some(accuracy) => format!(", under errors {:.2} %", 100.0 * accuracy),
            };
            progress::line(
                bar,
                &format!(
                    "{prefix}epoch {}/{epochs}: loss {:.4}, validation accuracy {:.2} %{noisy}, {:.1} s",
                    record.epoch,
                    record.loss,
                    100.0 * record.validation_accuracy,
                    record.seconds
                ),
            );
        }
        Event::Teacher { epoch, epochs, validation_accuracy } => progress::line(
            bar,
            &format!(
                "{prefix}teacher {epoch}/{epochs}: validation accuracy {:.2} %",
                100.0 * validation_accuracy
            ),
        ),
        Event::Started { epochs_done: 1.., .. } => {
            progress::line(bar, &format!("{prefix}going on from the checkpoint"));
        }
        _ => {}
    };
    let kept = Some(CheckpointFolder { folder, program: &program() });
    let report = hafnia_train::train(config, images, split, kept, &mut observe)?;
    bar.finish_and_clear();
    Ok(report)
}
