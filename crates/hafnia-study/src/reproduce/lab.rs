//! [`Lab`]: what the sections of the run share. Every request is a step whose outcome is kept, and
//! which is skipped as long as nothing it depends on has changed.

use std::path::{Path, PathBuf, absolute};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, ensure};
use hafnia_artifact::{Digest, Outcome, Steps, read_text, write_whole};
use hafnia_ir::read_mapping;
use hafnia_report::{Claims, Interval, Metrics, Protocol, ReportError, Setting};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data::{DataOutcome, DataSource, Part};
use crate::describe::MappingDescription;
use crate::evaluate::{EvaluateOutcome, EvaluateRequest};
use crate::map::{MapRequest, MappingOrigin};
use crate::profile::ProfileRequest;
use crate::reproduce::options::{ReproduceRequest, Train};
use crate::request::{Step, command_line};
use crate::session::Session;
use crate::simulate::{PooledNetworks, SimulateOutcome, SimulateRequest};
use crate::source::{MacroSource, NetworkSource};
use crate::train::TrainRequest;

/// How much is done.
pub(crate) struct Effort {
    epochs: Option<usize>,
    pub(crate) seeds: u64,
    /// Networks of each recipe that is like the paper's.
    pub(crate) networks: usize,
    /// Virtual chips per network that are tested, and that choose the operating points.
    pub(crate) chips: u32,
    pub(crate) validation_chips: u32,
    /// Virtual chips by which mappings of ours are compared beside the claims.
    pub(crate) mapping_chips: u32,
    pub(crate) all_layers_chips: u32,
    pub(crate) random_orders: u32,
    /// Ways to scan under which networks like the paper's are also mapped by `best` and `allocate`,
    /// which take longer than all other orders.
    pub(crate) searches: usize,
    pub(crate) anneal_steps: u64,
    /// Training images by which rows are merged.
    pub(crate) merge_images: usize,
    profile_images: usize,
    /// Recorded networks with free rows that are mapped.
    pub(crate) free_networks: usize,
    /// Networks of every recipe among the designs, their virtual chips, and images.
    pub(crate) designed_networks: usize,
    pub(crate) design_chips: u32,
    pub(crate) design_images: usize,
    /// Whether networks of all published shapes are measured, the largest too.
    pub(crate) all_shapes: bool,
}

impl Effort {
    fn of(request: &ReproduceRequest, protocol: &Protocol) -> Self {
        if request.quick {
            return Self {
                epochs: Some(3),
                seeds: 1,
                networks: 2,
                chips: 5,
                validation_chips: 2,
                mapping_chips: 5,
                all_layers_chips: 1,
                random_orders: 3,
                searches: 0,
                anneal_steps: 500,
                merge_images: 500,
                profile_images: 500,
                free_networks: 1,
                designed_networks: 2,
                design_chips: 1,
                design_images: 100,
                all_shapes: false,
            };
        }
        Self {
            epochs: None,
            seeds: 3,
            networks: protocol.networks as usize,
            chips: protocol.chips,
            validation_chips: protocol.validation_chips,
            mapping_chips: 100,
            all_layers_chips: 5,
            random_orders: protocol.random_orders,
            searches: if request.is_full() { 3 } else { 0 },
            anneal_steps: 5000,
            merge_images: 20_000,
            profile_images: 30_000,
            free_networks: 5,
            designed_networks: 5,
            design_chips: 2,
            design_images: 1000,
            all_shapes: true,
        }
    }
}

/// The run, with what all its sections need.
pub(crate) struct Lab<'a> {
    session: &'a Session<'a>,
    train: &'a Train<'a>,
    /// The digest of this program, whose code is part of what makes every outcome.
    program: Digest,
    /// The checkout: recipes, claims and recorded networks.
    pub(crate) root: PathBuf,
    out: PathBuf,
    steps: Steps,
    /// The name and the command of every step so far.
    commands: Mutex<Vec<(String, String)>>,
    /// The data set; its digests are part of every key.
    pub(crate) data: DataOutcome,
    /// Where every step finds it.
    pub(crate) source: DataSource,
    pub(crate) claims: Claims,
    /// The grid of noise; a quick run takes some of it.
    pub(crate) settings: Vec<Setting>,
    pub(crate) seed: u64,
    pub(crate) is_full: bool,
    pub(crate) effort: Effort,
}

/// Stands for the steps of an annealing, and for those of each annealing of a search.
pub(crate) const STEPS: &str = "steps";
pub(crate) const SEARCH: &str = "steps of a search";

/// A mapping to be made.
pub(crate) struct Wanted<'a> {
    /// Its name among the mappings, a path without ending.
    pub(crate) name: String,
    pub(crate) network: &'a Path,
    /// A built-in pipeline, or the file of one.
    pub(crate) pipeline: &'a str,
    pub(crate) profile: Option<&'a Path>,
    /// Values of the macro that it is made for, `KEY=VALUE` each.
    pub(crate) set: &'a [String],
}

/// A network, with what its mappings are made of.
pub(crate) struct Prepared {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) profile: PathBuf,
    /// Its mapping in natural order, which others are compared with.
    pub(crate) natural: PathBuf,
}

impl<'a> Lab<'a> {
    /// A lab in the output folder of a run; finds MNIST once.
    pub(crate) fn open(
        session: &'a Session<'a>,
        request: &ReproduceRequest,
        root: &Path,
        train: &'a Train<'a>,
    ) -> anyhow::Result<Self> {
        let (root, out) = (absolute(root)?, absolute(&request.out)?);
        let claims = Claims::load(root.join("docs/claims.toml"))?;
        let (source, data) = find(session, request, &root)?;
        let every = if request.quick { 5 } else { 1 };
        Ok(Self {
            session,
            train,
            program: Digest::of_file(std::env::current_exe()?)?,
            steps: Steps::open(&out)?,
            commands: Mutex::default(),
            data,
            source,
            settings: claims.settings.iter().copied().step_by(every).collect(),
            seed: request.seed,
            is_full: request.is_full(),
            effort: Effort::of(request, &claims.protocol),
            claims,
            root,
            out,
        })
    }

    /// A path in the output folder.
    pub(crate) fn out(&self, name: impl AsRef<Path>) -> PathBuf {
        self.out.join(name)
    }

    /// Answers a request, unless the answer stands; it is kept as `NAME.json`.
    pub(crate) fn ask<R: Step>(&self, name: &str, request: &R) -> anyhow::Result<R::Outcome> {
        let json = self.out(format!("{name}.json"));
        let mut outputs = request.outputs();
        outputs.push(json.clone());
        self.step(name, request, request.words(), &request.inputs(), &outputs, || {
            let outcome = request.run(self.session)?;
            Ok(write_whole(&json, serde_json::to_string_pretty(&outcome)?.as_bytes())?)
        })?;
        // By way of the file, whether it is new or not: the last digit of a number may differ.
        read(&json)
    }

    fn step(
        &self,
        name: &str,
        request: &impl Serialize,
        words: Vec<String>,
        inputs: &[PathBuf],
        outputs: &[PathBuf],
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.push((name.to_owned(), command_line(&words)));
        drop(commands);
        let [inputs, outputs] =
            [inputs, outputs].map(|paths| paths.iter().map(PathBuf::as_path).collect::<Vec<_>>());
        let key = (self.program, request, &self.data.digests);
        let start = Instant::now();
        let outcome = self.steps.run(name, &key, &inputs, &outputs, work);
        let done = match outcome.with_context(|| format!("step {name}"))? {
            Outcome::Done => format!("{name:<28} {:.1} s", start.elapsed().as_secs_f64()),
            Outcome::Skipped => format!("{name:<28} unchanged"),
        };
        self.session.observer.note(&done);
        Ok(())
    }

    /// What would be typed to repeat every step by hand.
    pub(crate) fn commands(&self) -> String {
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.iter().map(|(name, command)| format!("# {name}\n{command}\n")).collect()
    }

    /// Does pieces of work that do not depend on each other, as many at a time as there are cores,
    /// each with this many threads.
    fn side_by_side(
        &self,
        pieces: usize,
        threads: usize,
        work: impl Fn(usize) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<()> {
        let next = AtomicUsize::new(0);
        let worker = || -> anyhow::Result<()> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
            loop {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece >= pieces {
                    return Ok(());
                }
                pool.install(|| work(piece))?;
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..cores().min(pieces)).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().try_for_each(|worker| match worker.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    }

    /// Trains, for each kind and seed, by a recipe in `recipes`.
    pub(crate) fn train_side_by_side<'k>(
        &self,
        trainings: impl Iterator<Item = (&'k str, &'k str, u64)>,
    ) -> anyhow::Result<()> {
        let mut requests = Vec::new();
        for (kind, recipe, seed) in trainings {
            let (out, recipe) = (self.training(kind, seed), self.recipe(recipe));
            let mut request = TrainRequest {
                recipe: Some(recipe),
                seed: Some(seed),
                epochs: self.effort.epochs,
                data: self.source.clone(),
                out,
                ..TrainRequest::default()
            };
            // A checkpoint of another program, recipe, macro or data set is never taken up.
            let digest = |path: PathBuf| Digest::of_file(path);
            let files: Result<Vec<_>, _> = request.files().into_iter().map(digest).collect();
            let key = (self.program, &self.data.digests, &request, files?);
            let key = Digest::of(&serde_json::to_vec(&key)?).to_string();
            request.checkpoint = Some(request.out.join(format!("checkpoint-{}", &key[..12])));
            requests.push((format!("train/{kind}-{seed}"), request));
        }
        let threads = (cores() / requests.len().max(1)).max(1);
        self.side_by_side(requests.len(), threads, |index| {
            let (name, request) = &requests[index];
            let inputs = request.files();
            let outputs = ["network.hafnia", "training.json"].map(|name| request.out.join(name));
            self.step(name, request, request.words(), &inputs, &outputs, || {
                (self.train)(self.session, request).map(|_| ())
            })
        })
    }

    pub(crate) fn network(&self, kind: &str, seed: u64) -> PathBuf {
        self.training(kind, seed).join("network.hafnia")
    }

    /// The output folder of a training.
    pub(crate) fn training(&self, kind: &str, seed: u64) -> PathBuf {
        self.out(format!("train/{kind}-{seed}"))
    }

    /// The file of a recipe.
    pub(crate) fn recipe(&self, recipe: &str) -> PathBuf {
        self.root.join(format!("recipes/{recipe}.toml"))
    }

    /// The folder of the recorded networks.
    pub(crate) fn zoo(&self) -> PathBuf {
        self.root.join("crates/hafnia-zoo/networks")
    }

    /// Maps a network; returns the mapping's path.
    pub(crate) fn map(&self, wanted: &Wanted<'_>) -> anyhow::Result<PathBuf> {
        let Wanted { name, network, pipeline, profile, set } = wanted;
        let out = self.out(format!("map/{name}.map"));
        let request = MapRequest {
            profile: profile.map(Path::to_owned),
            seed: self.seed,
            spec: MacroSource { set: set.to_vec(), ..MacroSource::default() },
            network: NetworkSource::File(network.to_path_buf()),
            from: MappingOrigin::Pipeline(pipeline.to_string()),
            out: out.clone(),
            ..MapRequest::default()
        };
        self.ask(&format!("map/{name}"), &request)?;
        Ok(out)
    }

    /// Maps a network as it is, without a profile.
    pub(crate) fn map_plainly(
        &self,
        name: String,
        network: &Path,
        pipeline: &str,
    ) -> anyhow::Result<PathBuf> {
        self.map(&Wanted { name, network, pipeline, profile: None, set: &[] })
    }

    /// Maps networks side by side; returns the mappings' paths.
    pub(crate) fn map_all(&self, wanted: &[Wanted<'_>]) -> anyhow::Result<Vec<PathBuf>> {
        self.side_by_side(wanted.len(), 1, |index| self.map(&wanted[index]).map(|_| ()))?;
        Ok(wanted.iter().map(|wanted| self.out(format!("map/{}.map", wanted.name))).collect())
    }

    /// Writes a pipeline of these passes and their options, which may be [`STEPS`] or [`SEARCH`].
    pub(crate) fn pipeline(&self, name: &str, passes: &[(&str, &str)]) -> anyhow::Result<String> {
        let path = self.out(format!("map/{name}.pipeline.toml"));
        let mut text = format!("name = \"{name}\"\n");
        for (pass, options) in passes {
            let options = match *options {
                STEPS => format!("steps = {}", self.effort.anneal_steps),
                SEARCH => format!("steps = {}", self.effort.anneal_steps / 4),
                options => options.to_owned(),
            };
            text += &format!("\n[[pass]]\nuse = \"{pass}\"\n{options}\n");
        }
        write_whole(&path, text.as_bytes())?;
        Ok(path.display().to_string())
    }

    /// Profiles a network and maps it by the pipeline that others are compared with.
    pub(crate) fn prepare(
        &self,
        name: String,
        file: PathBuf,
        pipeline: &str,
    ) -> anyhow::Result<Prepared> {
        let profile = self.profile(&name, &file)?;
        let natural = self.map_plainly(format!("{name}-natural"), &file, pipeline)?;
        Ok(Prepared { name, file, profile, natural })
    }

    /// Samples the activations of training images.
    pub(crate) fn profile(&self, name: &str, network: &Path) -> anyhow::Result<PathBuf> {
        let out = self.out(format!("profile/{name}.profile"));
        let request = ProfileRequest {
            images: Some(self.effort.profile_images.min(self.data.train)),
            seed: self.seed,
            data: self.source.clone(),
            network: NetworkSource::File(network.to_owned()),
            out: out.clone(),
            ..ProfileRequest::default()
        };
        self.ask(&format!("profile/{name}"), &request)?;
        Ok(out)
    }

    /// A simulation on the chips of this seed, with these values of the macro, with noise in the final
    /// layer, of which the paper's claims are.
    pub(crate) fn simulation(&self, seed: u64, set: Vec<String>) -> SimulateRequest {
        SimulateRequest {
            noise_in: "final".to_owned(),
            seed,
            replicates: self.claims.protocol.bootstrap_replicates,
            spec: MacroSource { set, ..MacroSource::default() },
            data: self.source.clone(),
            ..SimulateRequest::default()
        }
    }

    /// Runs mappings of a network.
    pub(crate) fn simulate(
        &self,
        name: &str,
        network: &Path,
        mappings: &[&Path],
        request: SimulateRequest,
    ) -> anyhow::Result<SimulateOutcome> {
        let files = std::iter::once(&network).chain(mappings).map(|path| path.to_path_buf());
        self.ask(&format!("sim/{name}"), &SimulateRequest { files: files.collect(), ..request })
    }

    /// Runs networks, each with as many mappings, together.
    pub(crate) fn simulate_together(
        &self,
        name: &str,
        networks: &[(&Path, Vec<&Path>)],
        request: SimulateRequest,
    ) -> anyhow::Result<PooledNetworks> {
        let files: Vec<&Path> = networks
            .iter()
            .flat_map(|(network, mappings)| std::iter::once(*network).chain(mappings.clone()))
            .collect();
        Ok(self.simulate(name, files[0], &files[1..], request)?.together())
    }

    /// Runs a network as it is on the test images, and a second one beside it.
    pub(crate) fn evaluate(
        &self,
        name: &str,
        network: &Path,
        against: Option<PathBuf>,
    ) -> anyhow::Result<EvaluateOutcome> {
        let (network, data) = (NetworkSource::File(network.to_owned()), self.source.clone());
        self.ask(name, &EvaluateRequest { network, against, part: Part::Test, images: None, data })
    }

    /// The first setting of the grid is the default of the preset, which this was simulated with.
    pub(crate) fn check_default(&self, simulated: &SimulateOutcome) -> anyhow::Result<()> {
        let Setting { sigma_lrs_rel, offset_lsb } = self.settings[0];
        for (key, expected) in
            [("cell.sigma_lrs_rel", sigma_lrs_rel), ("adc.offset_lsb", offset_lsb)]
        {
            let found = simulated.spec.get(key).and_then(|value| value.parse::<f64>().ok());
            ensure!(
                found == Some(expected),
                "docs/claims.toml: the first setting has {key} {expected}, the preset {found:?}"
            );
        }
        Ok(())
    }

    /// The seed of chips that choose an operating point, and of chips that are tested at it.
    pub(crate) fn validation_seed(&self) -> u64 {
        self.seed + (u64::from(self.claims.protocol.validation_chip_stream) << 32)
    }

    pub(crate) fn test_seed(&self) -> u64 {
        self.seed + (u64::from(self.claims.protocol.test_chip_stream) << 32)
    }
}

/// Finds MNIST: in the folder given, or else in the cache and, unless offline, on the network.
fn find(
    session: &Session<'_>,
    request: &ReproduceRequest,
    root: &Path,
) -> anyhow::Result<(DataSource, DataOutcome)> {
    let mut source = DataSource {
        data: request.data.as_ref().map(absolute).transpose()?,
        offline: request.offline,
        or_subset: true,
        ..DataSource::of_checkout(root)
    };
    let found = session.dataset(&source)?;
    for note in &found.notes {
        session.observer.note(&format!("MNIST: not from {note}"));
    }
    (source.offline, source.or_subset) = (source.data.is_none(), false);
    // What the steps will find, without a network, must be what was found now.
    ensure!(
        session.dataset(&source)?.digests == found.digests,
        "MNIST was found but could not be kept in {}: make that folder writable, or give --data",
        source.cache.display()
    );
    Ok((source, DataOutcome::of(&found)))
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Reads a JSON file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    serde_json::from_str(&read_text(path)?).with_context(|| path.display().to_string())
}

/// The mapping of a file.
pub(crate) fn describe(mapping: &Path) -> anyhow::Result<MappingDescription> {
    Ok(MappingDescription::of(&read_mapping(mapping)?))
}

/// Logical and physical rows of the final layer.
pub(crate) fn final_rows(mapping: &MappingDescription) -> anyhow::Result<[usize; 2]> {
    let matrix = mapping.matrices.last().context("a mapping has a matrix")?;
    Ok([matrix.logical_rows, matrix.physical_rows])
}

/// Mean with the 95 % interval of Student's t; of one value, that value alone.
pub(crate) fn mean(values: &[f64]) -> Interval {
    match values {
        [one] => Interval::exact(*one),
        _ => hafnia_stats::student_mean(values),
    }
}

/// Value and interval as cells of a table, in thousandths.
pub(crate) fn cells(Interval { value, lo, hi }: Interval) -> [String; 2] {
    [format!("{value:.3}"), format!("{lo:.3} to {hi:.3}")]
}

/// A share with its interval in percent, such as `12.3 (4.5 to 20.1)`.
pub(crate) fn in_percent(share: Option<Interval>) -> String {
    share.map_or("undefined".to_owned(), |share| format!("{:.1}", share.scaled(100.0)))
}

/// Adds a number and the ends of its interval, at the key with `_lo` and `_hi`.
pub(crate) fn add(metrics: &mut Metrics, key: &str, found: Interval) -> Result<(), ReportError> {
    for (end, value) in [("", found.value), ("_lo", found.lo), ("_hi", found.hi)] {
        metrics.insert(format!("{key}{end}"), value)?;
    }
    Ok(())
}

/// The values of the macro that set the noise.
pub(crate) fn noise(setting: &Setting) -> Vec<String> {
    vec![
        format!("cell.sigma_lrs_rel={}", setting.sigma_lrs_rel),
        format!("adc.offset_lsb={}", setting.offset_lsb),
    ]
}

/// A setting as part of a file name, such as `lrs20-offset20`.
pub(crate) fn slug(setting: &Setting) -> String {
    let hundredths = |value: f64| (100.0 * value).round();
    format!("lrs{}-offset{}", hundredths(setting.sigma_lrs_rel), hundredths(setting.offset_lsb))
}
