//! What the sections of the run share: how they train, map and simulate, each call of `hafnia` a step,
//! and what comes back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, ensure};
use hafnia_artifact::{Digest, write_whole};
use hafnia_report::{Claims, Interval, Metrics, Protocol, ReportError, Setting};
use serde::Deserialize;

use super::calls::Calls;
use super::options::Options;
use super::runner::Step;
use crate::workspace::root;

/// `hafnia inspect` of a mapping.
#[derive(Debug, Deserialize)]
pub(crate) struct Mapping {
    pub(crate) matrices: Vec<MatrixSize>,
    pub(crate) total: Totals,
    pub(crate) tiles: Vec<Tile>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct MatrixSize {
    pub(crate) name: String,
    pub(crate) logical_rows: usize,
    pub(crate) physical_rows: usize,
    pub(crate) cells: usize,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Totals {
    pub(crate) logical_rows: usize,
    pub(crate) physical_rows: usize,
    pub(crate) cells: usize,
    pub(crate) table_bits: usize,
    pub(crate) macros: usize,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Tile {
    pub(crate) matrix: String,
    /// Logical row, physical row, sign.
    pub(crate) entries: Vec<(usize, usize, i8)>,
    pub(crate) cells: Vec<String>,
}

/// `hafnia sim`.
#[derive(Debug, Deserialize)]
pub(crate) struct Simulated {
    pub(crate) chips: u32,
    #[serde(rename = "macro")]
    pub(crate) spec: BTreeMap<String, String>,
    pub(crate) mappings: Vec<SimulatedMapping>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SimulatedMapping {
    pub(crate) accuracy_mean: f64,
    pub(crate) drop_points: Interval,
    pub(crate) per_image: PerImage,
}

/// `hafnia sim` of several networks at once.
#[derive(Debug, Deserialize)]
struct SimulatedTogether {
    pooled: Pooled,
}

/// What several networks say together: networks, chips and images are resampled together.
#[derive(Debug, Deserialize)]
pub(crate) struct Pooled {
    /// Of each network.
    pub(crate) chips: u32,
    pub(crate) images: usize,
    /// Every network has as many, in the same order; the first is the baseline.
    pub(crate) mappings: Vec<PooledMapping>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PooledMapping {
    pub(crate) accuracy_mean: f64,
    pub(crate) drop_points: Interval,
    pub(crate) reduction: Option<PooledReduction>,
    pub(crate) per_image: PerImage,
}

/// How much less a mapping loses than the baseline.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct PooledReduction {
    pub(crate) rel: Interval,
    pub(crate) points: Interval,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PerImage {
    pub(crate) groups: f64,
    pub(crate) conversions: f64,
}

impl Mapping {
    /// Logical and physical rows of the final layer.
    pub(crate) fn final_rows(&self) -> anyhow::Result<[usize; 2]> {
        let matrix = self.matrices.last().context("a mapping has a matrix")?;
        Ok([matrix.logical_rows, matrix.physical_rows])
    }
}

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
    mapping_chips: u32,
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
}

impl Effort {
    fn of(options: &Options, protocol: &Protocol) -> Self {
        if options.quick {
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
            searches: if options.is_full() { 3 } else { 0 },
            anneal_steps: 5000,
            merge_images: 20_000,
            profile_images: 30_000,
            free_networks: 5,
        }
    }
}

/// The run, with what all its parts need.
pub(crate) struct Plan<'a> {
    pub(crate) calls: Calls<'a>,
    pub(crate) claims: &'a Claims,
    /// The grid of noise; a quick run takes some of it.
    pub(crate) settings: Vec<Setting>,
    pub(crate) seed: u64,
    pub(crate) is_full: bool,
    pub(crate) effort: Effort,
}

/// A mapping to be made.
pub(crate) struct Wanted<'a> {
    /// Its name among the mappings, a path without ending.
    pub(crate) name: String,
    pub(crate) network: &'a Path,
    /// A built-in pipeline, or the file of one.
    pub(crate) pipeline: &'a str,
    pub(crate) profile: Option<&'a Path>,
    /// Keys of the macro that it is made for.
    pub(crate) keys: &'a [String],
}

impl<'a> Plan<'a> {
    pub(crate) fn new(calls: Calls<'a>, options: &Options, claims: &'a Claims) -> Self {
        let every = if options.quick { 5 } else { 1 };
        Self {
            calls,
            claims,
            settings: claims.settings.iter().copied().step_by(every).collect(),
            seed: options.seed,
            is_full: options.is_full(),
            effort: Effort::of(options, &claims.protocol),
        }
    }

    /// The first setting of the grid is the default of the preset, which this was simulated with.
    pub(crate) fn check_default(&self, simulated: &Simulated) -> anyhow::Result<()> {
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

    /// Chips by which mappings of ours are compared beside the claims.
    pub(crate) fn mapping_chips(&self) -> String {
        format!("--chips={}", self.effort.mapping_chips)
    }

    /// The seed of chips that choose an operating point, and of chips that are tested at it.
    pub(crate) fn validation_seed(&self) -> u64 {
        self.seed + (u64::from(self.claims.protocol.validation_chip_stream) << 32)
    }

    pub(crate) fn test_seed(&self) -> u64 {
        self.seed + (u64::from(self.claims.protocol.test_chip_stream) << 32)
    }

    pub(crate) fn network(&self, kind: &str, seed: u64) -> PathBuf {
        self.training(kind, seed).join("network.hafnia")
    }

    /// The output folder of a training.
    pub(crate) fn training(&self, kind: &str, seed: u64) -> PathBuf {
        self.calls.runner.out(format!("train/{kind}-{seed}"))
    }

    /// Trains, for each kind and seed, by a recipe in `recipes`.
    pub(crate) fn train_side_by_side<'k>(
        &self,
        trainings: impl Iterator<Item = (&'k str, &'k str, u64)>,
    ) -> anyhow::Result<()> {
        let mut steps = Vec::new();
        for (kind, recipe, seed) in trainings {
            let folder = self.training(kind, seed);
            let recipe = recipe_path(recipe);
            let mut arguments = vec![
                "train".to_owned(),
                format!("--recipe={}", recipe.display()),
                format!("--seed={seed}"),
                format!("--out={}", folder.display()),
            ];
            // A checkpoint of another program, recipe or data set is never taken up.
            let text = std::fs::read_to_string(&recipe)
                .with_context(|| format!("recipe {}", recipe.display()))?;
            let (binary, digests) = (self.calls.runner.binary(), &self.calls.data.digests);
            let key = (binary, digests, &arguments, self.effort.epochs, text);
            let key = Digest::of(&serde_json::to_vec(&key)?).to_string();
            let checkpoint = folder.join(format!("checkpoint-{}", &key[..12]));
            arguments.push(format!("--checkpoint={}", checkpoint.display()));
            arguments.extend(self.effort.epochs.map(|epochs| format!("--epochs={epochs}")));
            arguments.extend(self.calls.arguments());
            steps.push(Step {
                name: format!("train/{kind}-{seed}"),
                arguments,
                inputs: vec![recipe],
                outputs: vec![folder.join("network.hafnia"), folder.join("training.json")],
                stdout: None,
                threads: None,
            });
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = (cores / steps.len().max(1)).max(1);
        steps.iter_mut().for_each(|step| step.threads = Some(threads));
        self.calls.runner.run_side_by_side(&steps, &self.calls.data.digests)
    }

    /// Maps a network; gives the mapping's path.
    pub(crate) fn map(&self, wanted: &Wanted<'_>) -> anyhow::Result<PathBuf> {
        let (step, out) = self.mapping(wanted);
        self.calls.step(&step)?;
        Ok(out)
    }

    /// Maps networks side by side; gives the mappings' paths.
    pub(crate) fn map_all(&self, wanted: &[Wanted<'_>]) -> anyhow::Result<Vec<PathBuf>> {
        let (mut steps, paths): (Vec<Step>, Vec<PathBuf>) =
            wanted.iter().map(|wanted| self.mapping(wanted)).unzip();
        steps.iter_mut().for_each(|step| step.threads = Some(1));
        self.calls.runner.run_side_by_side(&steps, &self.calls.data.digests)?;
        Ok(paths)
    }

    fn mapping(&self, wanted: &Wanted<'_>) -> (Step, PathBuf) {
        let Wanted { name, network, pipeline, profile, keys } = wanted;
        let out = self.calls.runner.out(format!("map/{name}.map"));
        let mut inputs = vec![network.to_path_buf()];
        inputs.extend(Some(PathBuf::from(pipeline)).filter(|path| path.is_absolute()));
        inputs.extend(profile.map(Path::to_owned));
        let mut arguments = vec![
            "map".to_owned(),
            network.display().to_string(),
            format!("--pipeline={pipeline}"),
            format!("--seed={}", self.seed),
            format!("--out={}", out.display()),
        ];
        arguments.extend(profile.map(|profile| format!("--profile={}", profile.display())));
        arguments.extend_from_slice(keys);
        let step = Step {
            name: format!("map/{name}"),
            arguments,
            inputs,
            outputs: vec![out.clone()],
            stdout: None,
            threads: None,
        };
        (step, out)
    }

    /// Writes a pipeline of these passes and their options.
    pub(crate) fn pipeline(&self, name: &str, passes: &[(&str, &str)]) -> anyhow::Result<String> {
        let path = self.calls.runner.out(format!("map/{name}.pipeline.toml"));
        let mut text = format!("name = \"{name}\"\n");
        for (pass, options) in passes {
            text += &format!("\n[[pass]]\nuse = \"{pass}\"\n{options}\n");
        }
        write_whole(&path, text.as_bytes())?;
        Ok(path.display().to_string())
    }

    /// Samples the activations of training images.
    pub(crate) fn profile(&self, name: &str, network: &Path) -> anyhow::Result<PathBuf> {
        let out = self.calls.runner.out(format!("profile/{name}.profile"));
        let mut arguments = vec![
            "profile".to_owned(),
            network.display().to_string(),
            format!("--images={}", self.effort.profile_images),
            format!("--seed={}", self.seed),
            format!("--out={}", out.display()),
        ];
        arguments.extend(self.calls.arguments());
        self.calls.step(&Step {
            name: format!("profile/{name}"),
            arguments,
            inputs: vec![network.to_owned()],
            outputs: vec![out.clone()],
            stdout: None,
            threads: None,
        })?;
        Ok(out)
    }

    /// Runs mappings of a network on chips of this seed.
    pub(crate) fn simulate<S: AsRef<str>>(
        &self,
        seed: u64,
        name: &str,
        network: &Path,
        mappings: &[&Path],
        arguments: &[S],
    ) -> anyhow::Result<Simulated> {
        let mut files = vec![network.to_owned()];
        files.extend(mappings.iter().map(|&path| path.to_owned()));
        self.sim(seed, name, files, arguments)
    }

    /// Runs networks, each with as many mappings, together on chips of this seed.
    pub(crate) fn simulate_together<S: AsRef<str>>(
        &self,
        seed: u64,
        name: &str,
        networks: &[(&Path, Vec<&Path>)],
        arguments: &[S],
    ) -> anyhow::Result<Pooled> {
        let group = |(network, mappings): &(&Path, Vec<&Path>)| {
            let files = std::iter::once(*network).chain(mappings.iter().copied());
            files.map(Path::to_owned).collect::<Vec<_>>()
        };
        let files = networks.iter().flat_map(group).collect();
        if let [_] = networks {
            return self.sim(seed, name, files, arguments);
        }
        let together: SimulatedTogether = self.sim(seed, name, files, arguments)?;
        Ok(together.pooled)
    }

    /// `hafnia sim` of these files.
    fn sim<T: serde::de::DeserializeOwned, S: AsRef<str>>(
        &self,
        seed: u64,
        name: &str,
        files: Vec<PathBuf>,
        arguments: &[S],
    ) -> anyhow::Result<T> {
        let mut all = vec!["sim".to_owned()];
        all.extend(files.iter().map(|path| path.display().to_string()));
        all.extend(arguments.iter().map(|argument| argument.as_ref().to_owned()));
        all.push(format!("--seed={seed}"));
        all.push(format!("--replicates={}", self.claims.protocol.bootstrap_replicates));
        all.extend(self.calls.arguments());
        self.calls.json(&format!("sim/{name}"), all, files)
    }

    pub(crate) fn inspect(&self, name: &str, mapping: &Path) -> anyhow::Result<Mapping> {
        let arguments = vec!["inspect".to_owned(), mapping.display().to_string()];
        self.calls.json(&format!("inspect/{name}"), arguments, vec![mapping.to_owned()])
    }
}

/// Mean with the 95 % interval of Student's t; of one value, that value alone.
pub(crate) fn mean(values: &[f64]) -> Interval {
    match values {
        [one] => Interval::exact(*one),
        _ => hafnia_stats::student_mean(values),
    }
}

/// Adds a number and the ends of its interval, at the key with `_lo` and `_hi`.
pub(crate) fn add(metrics: &mut Metrics, key: &str, found: Interval) -> Result<(), ReportError> {
    for (end, value) in [("", found.value), ("_lo", found.lo), ("_hi", found.hi)] {
        metrics.insert(format!("{key}{end}"), value)?;
    }
    Ok(())
}

/// The file of a recipe.
pub(crate) fn recipe_path(recipe: &str) -> PathBuf {
    root().join(format!("recipes/{recipe}.toml"))
}

/// The arguments that set the noise.
pub(crate) fn noise(setting: &Setting) -> Vec<String> {
    vec![
        format!("--set=cell.sigma_lrs_rel={}", setting.sigma_lrs_rel),
        format!("--set=adc.offset_lsb={}", setting.offset_lsb),
    ]
}

/// A setting as part of a file name, such as `lrs20-offset20`.
pub(crate) fn slug(setting: &Setting) -> String {
    let hundredths = |value: f64| (100.0 * value).round();
    format!("lrs{}-offset{}", hundredths(setting.sigma_lrs_rel), hundredths(setting.offset_lsb))
}
