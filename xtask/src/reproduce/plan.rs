//! The run from top to bottom, and what it finds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, ensure};
use hafnia_artifact::{Digest, write_whole};
use hafnia_report::{Claims, Interval, Layout, Setting};
use serde::Deserialize;

use super::Options;
use super::attribution::{self, Attributed};
use super::calls::{Calls, Data, Trained};
use super::cells;
use super::cost::{self, Costs};
use super::frontier::{self, Searched};
use super::mapping::{self, Compiled};
use super::recorded::{Recorded, Records};
use super::runner::{Runner, Step};
use super::speed::{self, Speed};
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
    /// What the mapping compiler does.
    pub(crate) compiled: Compiled,
    /// The deployed network on macros: in natural order, renamed, by `best`.
    pub(crate) layouts: Vec<Layout>,
    /// What cells, cycles and noise can be had together.
    pub(crate) frontier: Searched,
    /// Where accuracy goes.
    pub(crate) attribution: Attributed,
    /// What it costs.
    pub(crate) cost: Costs,
    /// How fast the engines are.
    pub(crate) speed: Speed,
    /// The recorded networks, if they were evaluated.
    pub(crate) recorded: Option<Recorded>,
}

/// `hafnia model evaluate --against`.
#[derive(Debug, Deserialize)]
pub(crate) struct Compared {
    pub(crate) images: usize,
    pub(crate) accuracy: Interval,
    pub(crate) against: Against,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Against {
    pub(crate) accuracy: Interval,
    pub(crate) ahead_points: Interval,
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
    pub(crate) exact_accuracy: Interval,
    #[serde(rename = "macro")]
    pub(crate) spec: BTreeMap<String, String>,
    pub(crate) mappings: Vec<SimulatedMapping>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SimulatedMapping {
    pub(crate) accuracy_mean: f64,
    pub(crate) accuracy_sd: f64,
    pub(crate) accuracy_worst: f64,
    pub(crate) drop_points: Interval,
    pub(crate) reduction: Option<Reduction>,
    pub(crate) per_image: PerImage,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Reduction {
    pub(crate) rel: Interval,
    pub(crate) points: Interval,
    pub(crate) correlation: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PerImage {
    pub(crate) groups: f64,
    pub(crate) conversions: f64,
}

/// How much is done.
pub(crate) struct Effort {
    epochs: Option<usize>,
    seeds: u64,
    chips: u32,
    pub(crate) all_layers_chips: u32,
    random_orders: u32,
    pub(crate) anneal_steps: u64,
    profile_images: usize,
    /// Recorded networks with free rows that are mapped.
    pub(crate) free_networks: usize,
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
                free_networks: 1,
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
            free_networks: 5,
        }
    }
}

/// The run, with what all its parts need.
pub(crate) struct Plan<'a> {
    pub(crate) calls: Calls<'a>,
    pub(crate) seed: u64,
    pub(crate) effort: Effort,
    replicates: u32,
    /// What the first setting must be: the preset's default.
    default: Setting,
}

pub(crate) fn run(runner: &Runner, options: &Options, claims: &Claims) -> anyhow::Result<Results> {
    let plan = Plan {
        calls: Calls::find(runner, options.data.as_deref(), options.offline)?,
        seed: options.seed,
        effort: Effort::of(options, claims),
        replicates: claims.protocol.bootstrap_replicates,
        default: claims.settings[0],
    };
    // Looked at first, so that what is wrong with the records shows before hours have gone.
    let records = options.is_full().then(|| Records::open(&plan, options.retrain)).transpose()?;
    let (tied, untied, compared) = plan.train()?;

    // From here on one deployed network carries all claims: the tied one of the first seed.
    let network = plan.network("tied", plan.seed);
    let natural = plan.map("natural", &network, "natural", &[])?;
    let renamed = plan.map("renamed", &network, "rename", &[])?;
    let exact =
        plan.simulate("exact", &network, &[&renamed], &["--engine=exact", "--noise-in=all"])?;
    let profile = plan.profile("training", &network)?;

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
        let pipeline = plan.reorder(&name, &format!("method = \"random\"\nseed = {number}"))?;
        random.push(plan.map(&name, &network, &pipeline, &[])?);
    }
    let steps = format!("method = \"anneal\"\nsteps = {}", plan.effort.anneal_steps);
    let anneal = plan.reorder("reordered", &steps)?;
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
    let compiled = mapping::run(&plan, claims, options.is_full(), [&network, &profile])?;
    let layouts = [("natural", &natural), ("rename", &renamed), ("best", compiled.best())];
    let setting = claims.settings[operating.unwrap_or(0)];
    Ok(Results {
        layouts: layouts
            .into_iter()
            .map(|(name, path)| cells::layout(name, path))
            .collect::<Result<_, _>>()?,
        frontier: frontier::run(&plan, setting, &network, &profile)?,
        attribution: attribution::run(&plan, setting, &network, &renamed)?,
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
        cost: cost::run(&plan, &network, &natural, compiled.best())?,
        compiled,
        speed: speed::run(&plan, &network)?,
        recorded: records.map(|records| records.evaluate(&plan)).transpose()?,
        data: plan.calls.data.clone(),
    })
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

    pub(crate) fn chips(&self) -> String {
        format!("--chips={}", self.effort.chips)
    }

    fn network(&self, kind: &str, seed: u64) -> PathBuf {
        self.training(kind, seed).join("network.hafnia")
    }

    /// Trains tied and untied networks and compares them seed by seed.
    fn train(&self) -> anyhow::Result<(Vec<Trained>, Vec<Trained>, Vec<Compared>)> {
        let seeds = || self.seed..self.seed + self.effort.seeds;
        let kinds = [("tied", "lenet5-tied"), ("untied", "lenet5")];
        let trainings = seeds().flat_map(|seed| kinds.map(|(kind, recipe)| (kind, recipe, seed)));
        self.train_side_by_side(trainings)?;
        let curves = |kind: &str| -> anyhow::Result<Vec<Trained>> {
            seeds().map(|seed| Trained::read(&self.training(kind, seed))).collect()
        };
        let compared = seeds().map(|seed| self.compare(seed)).collect::<Result<_, _>>()?;
        Ok((curves("tied")?, curves("untied")?, compared))
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

    fn compare(&self, seed: u64) -> anyhow::Result<Compared> {
        let (tied, untied) = (self.network("tied", seed), self.network("untied", seed));
        let mut arguments = vec![
            "model".to_owned(),
            "evaluate".to_owned(),
            tied.display().to_string(),
            format!("--against={}", untied.display()),
        ];
        arguments.extend(self.calls.arguments());
        self.calls.json(&format!("evaluate/seed-{seed}"), arguments, vec![tied, untied])
    }

    /// Maps a network; gives the mapping's path.
    pub(crate) fn map(
        &self,
        name: &str,
        network: &Path,
        pipeline: &str,
        arguments: &[String],
    ) -> anyhow::Result<PathBuf> {
        let out = self.calls.runner.out(format!("map/{name}.map"));
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
        self.calls.step(&Step {
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
    fn reorder(&self, name: &str, options: &str) -> anyhow::Result<String> {
        self.pipeline(name, &[("rename", ""), ("tile", ""), ("reorder", options), ("pack", "")])
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

    pub(crate) fn simulate<S: AsRef<str>>(
        &self,
        name: &str,
        network: &Path,
        mappings: &[&Path],
        arguments: &[S],
    ) -> anyhow::Result<Simulated> {
        self.simulate_with(self.seed, name, network, mappings, arguments)
    }

    pub(crate) fn simulate_with<S: AsRef<str>>(
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
        all.extend(self.calls.arguments());
        let mut inputs = vec![network.to_owned()];
        inputs.extend(mappings.iter().map(|&path| path.to_owned()));
        self.calls.json(&format!("sim/{name}"), all, inputs)
    }

    pub(crate) fn inspect(&self, name: &str, mapping: &Path) -> anyhow::Result<Mapping> {
        let arguments = vec!["inspect".to_owned(), mapping.display().to_string()];
        self.calls.json(&format!("inspect/{name}"), arguments, vec![mapping.to_owned()])
    }
}

/// The file of a recipe.
pub(crate) fn recipe_path(recipe: &str) -> PathBuf {
    workspace().join(format!("recipes/{recipe}.toml"))
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
