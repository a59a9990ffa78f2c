//! The run from top to bottom, and what it finds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, bail, ensure};
use hafnia_artifact::{Digest, write_whole};
use hafnia_report::{Claims, Interval, Setting};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Options;
use super::runner::{Runner, Step};
use crate::workspace;

/// What the steps found.
pub(crate) struct Results {
    pub(crate) data: Data,
    /// A training each: the tied ones, then the untied ones, by seed.
    pub(crate) tied: Vec<Trained>,
    pub(crate) untied: Vec<Trained>,
    /// Per seed, the tied network beside the untied one, on the test images.
    pub(crate) compared: Vec<Compared>,
    /// Test accuracy of the deployed network on engine `exact`, all layers.
    pub(crate) exact: Simulated,
    /// The deployed network's mappings.
    pub(crate) natural: Mapping,
    pub(crate) renamed: Mapping,
    /// Per setting: the natural order on the validation images.
    pub(crate) validation: Vec<Simulated>,
    /// Index of the operating point among the settings; none if no setting qualifies.
    pub(crate) operating: Option<usize>,
    /// Per setting: natural order, reordered, random orders, on the test images.
    pub(crate) noisy: Vec<Simulated>,
    /// All layers with noise, at the preset's default.
    pub(crate) all_layers: Simulated,
    pub(crate) chips: u32,
    pub(crate) inputs: BTreeMap<String, Digest>,
}

/// `hafnia data`.
#[derive(Debug, Deserialize)]
pub(crate) struct Data {
    pub(crate) origin: serde_json::Value,
    pub(crate) full: bool,
    pub(crate) train: usize,
    pub(crate) validation: usize,
    pub(crate) test: usize,
    pub(crate) digests: BTreeMap<String, Digest>,
    pub(crate) notes: Vec<String>,
}

/// `training.json`.
#[derive(Debug, Deserialize)]
pub(crate) struct Trained {
    pub(crate) config: serde_json::Value,
    pub(crate) epochs: Vec<Epoch>,
    pub(crate) images_per_second: f64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Epoch {
    pub(crate) epoch: u32,
    pub(crate) loss: f64,
    pub(crate) validation_accuracy: f64,
    pub(crate) seconds: f64,
}

/// `hafnia model evaluate --against`.
#[derive(Debug, Deserialize)]
pub(crate) struct Compared {
    pub(crate) images: usize,
    pub(crate) accuracy: Range,
    pub(crate) against: Against,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Against {
    pub(crate) accuracy: Range,
    pub(crate) ahead_points: Range,
}

/// A value with its 95 % interval; NaN where there is none, as for the ratio of two drops of 0.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Range {
    #[serde(deserialize_with = "number")]
    pub(crate) value: f64,
    #[serde(deserialize_with = "number")]
    pub(crate) lo: f64,
    #[serde(deserialize_with = "number")]
    pub(crate) hi: f64,
}

/// JSON has no NaN and no infinity: both are written as null.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl Range {
    pub(crate) fn is_finite(self) -> bool {
        self.value.is_finite() && self.lo.is_finite() && self.hi.is_finite()
    }

    pub(crate) fn scaled(self, factor: f64) -> Interval {
        Interval { value: factor * self.value, lo: factor * self.lo, hi: factor * self.hi }
    }
}

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
    pub(crate) images: usize,
    pub(crate) chips: u32,
    pub(crate) exact_accuracy: Range,
    #[serde(rename = "macro")]
    pub(crate) spec: BTreeMap<String, String>,
    pub(crate) mappings: Vec<SimulatedMapping>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SimulatedMapping {
    pub(crate) accuracy_mean: f64,
    pub(crate) accuracy_sd: f64,
    pub(crate) accuracy_worst: f64,
    pub(crate) drop_points: Range,
    pub(crate) reduction: Option<Reduction>,
    pub(crate) per_image: PerImage,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Reduction {
    pub(crate) rel: Range,
    pub(crate) points: Range,
    pub(crate) correlation: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PerImage {
    pub(crate) groups: f64,
    pub(crate) conversions: f64,
}

/// How much is done.
struct Effort {
    epochs: Option<usize>,
    seeds: u64,
    chips: u32,
    all_layers_chips: u32,
    random_orders: u32,
    anneal_steps: u64,
    profile_images: usize,
}

impl Effort {
    fn of(options: &Options, claims: &Claims) -> Self {
        let protocol = &claims.protocol;
        if options.quick {
            return Self {
                epochs: Some(3),
                seeds: 1,
                chips: 5,
                all_layers_chips: 1,
                random_orders: 3,
                anneal_steps: 1000,
                profile_images: 500,
            };
        }
        Self {
            epochs: None,
            seeds: 3,
            chips: protocol.chips,
            all_layers_chips: 5,
            random_orders: protocol.random_orders,
            anneal_steps: 20_000,
            profile_images: 30_000,
        }
    }
}

/// The run, with what all its parts need.
struct Plan<'a> {
    runner: &'a Runner,
    seed: u64,
    effort: Effort,
    replicates: u32,
    /// What the first setting must be: the preset's default.
    default: Setting,
    /// Where every step finds its data.
    data: Vec<String>,
    /// Digests of the data: part of every key.
    digests: BTreeMap<String, Digest>,
}

pub(crate) fn run(runner: &Runner, options: &Options, claims: &Claims) -> anyhow::Result<Results> {
    let (data, arguments) = find_data(runner, options)?;
    let plan = Plan {
        runner,
        seed: options.seed,
        effort: Effort::of(options, claims),
        replicates: claims.protocol.bootstrap_replicates,
        default: claims.settings[0],
        data: arguments,
        digests: data.digests.clone(),
    };
    let (tied, untied, compared) = plan.train()?;

    // From here on one deployed network carries all claims: the tied one of the first seed.
    let network = plan.network("tied", plan.seed);
    let natural = plan.map("natural", &network, "natural", &[])?;
    let renamed = plan.map("renamed", &network, "rename", &[])?;
    let exact =
        plan.simulate("exact", &network, &[&renamed], &["--engine=exact", "--noise-in=all"])?;
    let profile = plan.profile(&network)?;

    // The operating point is chosen on validation images only.
    let mut validation = Vec::new();
    for setting in &claims.settings {
        let mut arguments = noise(setting);
        arguments.extend(["--part=validation".to_owned(), plan.chips()]);
        let name = format!("validation-{}", slug(setting));
        // Chips of their own: those that choose the operating point are not tested at it.
        let seed = plan.seed + (1 << 32);
        validation.push(plan.simulate_with(seed, &name, &network, &[&renamed], &arguments)?);
    }
    let drops: Vec<f64> =
        validation.iter().map(|simulated| simulated.mappings[0].drop_points.value).collect();
    let operating = claims.operating_point(&drops);

    // Orders come from training images, per setting; then every setting is tested once.
    let mut random = Vec::new();
    for number in 0..plan.effort.random_orders {
        let name = format!("random-{number}");
        let pipeline = plan.pipeline(&name, &format!("method = \"random\"\nseed = {number}"))?;
        random.push(plan.map(&name, &network, &pipeline, &[])?);
    }
    let steps = format!("method = \"anneal\"\nsteps = {}", plan.effort.anneal_steps);
    let anneal = plan.pipeline("reordered", &steps)?;
    let mut noisy = Vec::new();
    for setting in &claims.settings {
        let mut arguments = noise(setting);
        arguments.push(format!("--profile={}", profile.display()));
        let name = format!("reordered-{}", slug(setting));
        let reordered = plan.map(&name, &network, &anneal, &arguments)?;
        let mut mappings = vec![renamed.as_path(), reordered.as_path()];
        mappings.extend(random.iter().map(PathBuf::as_path));
        let mut arguments = noise(setting);
        arguments.push(plan.chips());
        noisy.push(plan.simulate(
            &format!("test-{}", slug(setting)),
            &network,
            &mappings,
            &arguments,
        )?);
    }
    let chips = format!("--chips={}", plan.effort.all_layers_chips);
    let all_layers =
        plan.simulate("all-layers", &network, &[&renamed], &["--noise-in=all", &chips])?;
    plan.check_default(&all_layers)?;
    Ok(Results {
        tied,
        untied,
        compared,
        exact,
        natural: plan.inspect("natural", &natural)?,
        renamed: plan.inspect("renamed", &renamed)?,
        validation,
        operating,
        noisy,
        all_layers,
        chips: plan.effort.chips,
        inputs: data.digests.clone(),
        data,
    })
}

/// Finds MNIST once; gives the arguments by which the steps find the same files without a network.
fn find_data(runner: &Runner, options: &Options) -> anyhow::Result<(Data, Vec<String>)> {
    let cache = workspace().join("datasets/cache");
    let mut arguments = match &options.data {
        Some(folder) => vec![format!("--data={}", std::path::absolute(folder)?.display())],
        None => vec![format!("--cache={}", cache.display())],
    };
    let mut look = arguments.clone();
    look.splice(0..0, ["data", "--or-subset", "--format=json"].map(str::to_owned));
    look.extend(options.offline.then(|| "--offline".to_owned()));
    // Always looked for, so that a set that has appeared or gone is noticed.
    let data = ask(runner, &look)?;
    for note in &data.notes {
        eprintln!("MNIST: not from {note}");
    }
    if !data.full {
        eprintln!("MNIST: no source answered; going on with the committed subset");
    }
    arguments.push("--offline".to_owned());
    if options.data.is_some() {
        arguments.truncate(1);
    }
    // What the steps will find, without a network, must be what was found now.
    let mut again = vec!["data".to_owned(), "--format=json".to_owned()];
    again.extend(arguments.clone());
    ensure!(
        ask(runner, &again)?.digests == data.digests,
        "MNIST was found but could not be kept in {}: make that folder writable, or give --data",
        cache.display()
    );
    Ok((data, arguments))
}

/// Calls `hafnia data`. What it says goes to stderr where it may download, to show its bar; else
/// into the error.
fn ask(runner: &Runner, arguments: &[String]) -> anyhow::Result<Data> {
    let is_local = arguments.iter().any(|a| a == "--offline" || a.starts_with("--data="));
    let stderr = if is_local { Stdio::piped() } else { Stdio::inherit() };
    let child = Command::new(runner.hafnia())
        .args(arguments)
        .current_dir(workspace())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .context("hafnia cannot be run")?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().trim_start_matches("error: ").to_owned();
        bail!("{}", if said.is_empty() { "MNIST was not found".to_owned() } else { said });
    }
    let path = runner.out("data.json");
    write_whole(&path, &output.stdout)?;
    read(&path)
}

impl Results {
    /// Numbers that must agree, because they are of the same network on the same images.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let (reference, exact) = (self.compared[0].accuracy.value, &self.exact.mappings[0]);
        ensure!(
            (reference - exact.accuracy_mean).abs() < 1e-9,
            "bug in hafnia: the reference has an accuracy of {reference}, engine `exact` of {}",
            exact.accuracy_mean
        );
        let images = self.compared[0].images;
        ensure!(
            images == self.data.test,
            "{images} images were tested, there are {}",
            self.data.test
        );
        Ok(())
    }
}

impl Plan<'_> {
    /// The first setting of the grid is the default of the preset, which this was simulated with.
    fn check_default(&self, simulated: &Simulated) -> anyhow::Result<()> {
        let Setting { sigma_lrs_rel, offset_lsb } = self.default;
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

    fn chips(&self) -> String {
        format!("--chips={}", self.effort.chips)
    }

    fn network(&self, kind: &str, seed: u64) -> PathBuf {
        self.runner.out(format!("train/{kind}-{seed}/network.hafnia"))
    }

    /// Runs one call of `hafnia` as a step that writes its stdout to a file; reads that.
    fn step(&self, step: &Step) -> anyhow::Result<()> {
        self.runner.run(step, &self.digests)
    }

    /// Trains tied and untied networks and compares them seed by seed.
    fn train(&self) -> anyhow::Result<(Vec<Trained>, Vec<Trained>, Vec<Compared>)> {
        let seeds = || self.seed..self.seed + self.effort.seeds;
        let kinds = [("tied", "recipes/lenet5-tied.toml"), ("untied", "recipes/lenet5.toml")];
        let mut steps = Vec::new();
        for seed in seeds() {
            for (kind, recipe) in kinds {
                let folder = self.runner.out(format!("train/{kind}-{seed}"));
                let recipe = workspace().join(recipe);
                let mut arguments = vec![
                    "train".to_owned(),
                    format!("--recipe={}", recipe.display()),
                    format!("--seed={seed}"),
                    format!("--out={}", folder.display()),
                ];
                // A checkpoint of another program, recipe or data set is never taken up.
                let text = std::fs::read_to_string(&recipe)?;
                let key =
                    (self.runner.binary(), &self.digests, &arguments, self.effort.epochs, text);
                let key = Digest::of(&serde_json::to_vec(&key)?).to_string();
                let checkpoint = folder.join(format!("checkpoint-{}", &key[..12]));
                arguments.push(format!("--checkpoint={}", checkpoint.display()));
                arguments.extend(self.effort.epochs.map(|epochs| format!("--epochs={epochs}")));
                arguments.extend(self.data.clone());
                steps.push(Step {
                    name: format!("train/{kind}-{seed}"),
                    arguments,
                    inputs: vec![recipe],
                    outputs: vec![folder.join("network.hafnia"), folder.join("training.json")],
                    stdout: None,
                    threads: None,
                });
            }
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = (cores / steps.len()).max(1);
        steps.iter_mut().for_each(|step| step.threads = Some(threads));
        self.runner.run_side_by_side(&steps, &self.digests)?;
        let curves = |kind: &str| -> anyhow::Result<Vec<Trained>> {
            let path = |seed| self.runner.out(format!("train/{kind}-{seed}/training.json"));
            seeds().map(|seed| read(&path(seed))).collect()
        };
        let compared = seeds().map(|seed| self.compare(seed)).collect::<Result<_, _>>()?;
        Ok((curves("tied")?, curves("untied")?, compared))
    }

    fn compare(&self, seed: u64) -> anyhow::Result<Compared> {
        let (tied, untied) = (self.network("tied", seed), self.network("untied", seed));
        let mut arguments = vec![
            "model".to_owned(),
            "evaluate".to_owned(),
            tied.display().to_string(),
            format!("--against={}", untied.display()),
        ];
        arguments.extend(self.data.clone());
        self.json(&format!("evaluate/seed-{seed}"), arguments, vec![tied, untied])
    }

    /// Maps a network; gives the mapping's path.
    fn map(
        &self,
        name: &str,
        network: &Path,
        pipeline: &str,
        arguments: &[String],
    ) -> anyhow::Result<PathBuf> {
        let out = self.runner.out(format!("map/{name}.map"));
        let mut inputs = vec![network.to_owned()];
        inputs.extend(Some(PathBuf::from(pipeline)).filter(|path| path.is_absolute()));
        let profile = arguments.iter().filter_map(|argument| argument.strip_prefix("--profile="));
        inputs.extend(profile.map(PathBuf::from));
        let mut all = vec![
            "map".to_owned(),
            network.display().to_string(),
            format!("--pipeline={pipeline}"),
            format!("--seed={}", self.seed),
            format!("--out={}", out.display()),
        ];
        all.extend_from_slice(arguments);
        self.step(&Step {
            name: format!("map/{name}"),
            arguments: all,
            inputs,
            outputs: vec![out.clone()],
            stdout: None,
            threads: None,
        })?;
        Ok(out)
    }

    /// Writes a pipeline that renames, cuts, reorders with these options, and packs.
    fn pipeline(&self, name: &str, reorder: &str) -> anyhow::Result<String> {
        let path = self.runner.out(format!("map/{name}.pipeline.toml"));
        let text = format!(
            "name = \"{name}\"\n\n[[pass]]\nuse = \"rename\"\n\n[[pass]]\nuse = \"tile\"\n\n\
             [[pass]]\nuse = \"reorder\"\n{reorder}\n\n[[pass]]\nuse = \"pack\"\n"
        );
        write_whole(&path, text.as_bytes())?;
        Ok(path.display().to_string())
    }

    fn profile(&self, network: &Path) -> anyhow::Result<PathBuf> {
        let out = self.runner.out("training.profile");
        let mut arguments = vec![
            "profile".to_owned(),
            network.display().to_string(),
            format!("--images={}", self.effort.profile_images),
            format!("--seed={}", self.seed),
            format!("--out={}", out.display()),
        ];
        arguments.extend(self.data.clone());
        self.step(&Step {
            name: "profile".to_owned(),
            arguments,
            inputs: vec![network.to_owned()],
            outputs: vec![out.clone()],
            stdout: None,
            threads: None,
        })?;
        Ok(out)
    }

    fn simulate<S: AsRef<str>>(
        &self,
        name: &str,
        network: &Path,
        mappings: &[&Path],
        arguments: &[S],
    ) -> anyhow::Result<Simulated> {
        self.simulate_with(self.seed, name, network, mappings, arguments)
    }

    fn simulate_with<S: AsRef<str>>(
        &self,
        seed: u64,
        name: &str,
        network: &Path,
        mappings: &[&Path],
        arguments: &[S],
    ) -> anyhow::Result<Simulated> {
        let mut all = vec!["sim".to_owned(), network.display().to_string()];
        all.extend(mappings.iter().map(|path| path.display().to_string()));
        all.extend(arguments.iter().map(|argument| argument.as_ref().to_owned()));
        all.push(format!("--seed={seed}"));
        all.push(format!("--replicates={}", self.replicates));
        all.extend(self.data.clone());
        let mut inputs = vec![network.to_owned()];
        inputs.extend(mappings.iter().map(|&path| path.to_owned()));
        self.json(&format!("sim/{name}"), all, inputs)
    }

    fn inspect(&self, name: &str, mapping: &Path) -> anyhow::Result<Mapping> {
        let arguments = vec!["inspect".to_owned(), mapping.display().to_string()];
        self.json(&format!("inspect/{name}"), arguments, vec![mapping.to_owned()])
    }

    /// A step whose result is the JSON that it prints.
    fn json<T: DeserializeOwned>(
        &self,
        name: &str,
        mut arguments: Vec<String>,
        inputs: Vec<PathBuf>,
    ) -> anyhow::Result<T> {
        arguments.push("--format=json".to_owned());
        let path = self.runner.out(format!("{name}.json"));
        self.step(&Step {
            name: name.to_owned(),
            arguments,
            inputs,
            outputs: vec![path.clone()],
            stdout: Some(path.clone()),
            threads: None,
        })?;
        read(&path)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&bytes).with_context(|| path.display().to_string())
}

fn noise(setting: &Setting) -> Vec<String> {
    vec![
        format!("--set=cell.sigma_lrs_rel={}", setting.sigma_lrs_rel),
        format!("--set=adc.offset_lsb={}", setting.offset_lsb),
    ]
}

/// A setting as part of a file name, such as `lrs20-offset20`.
fn slug(setting: &Setting) -> String {
    let hundredths = |value: f64| (100.0 * value).round();
    format!("lrs{}-offset{}", hundredths(setting.sigma_lrs_rel), hundredths(setting.offset_lsb))
}
