//! The recorded networks: evaluated again, or trained again and evaluated, and held against their
//! records. A run without `--full` takes those of the recipe with the best accuracy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use hafnia_artifact::{Digest, load};
use hafnia_data::Origin;
use hafnia_model::Network;
use hafnia_report::{Interval, Metrics, Section, Table};
use hafnia_stats::{MeanSd, mean_sd};
use hafnia_zoo::{Record, Run, Zoo};
use serde::Deserialize;

use crate::reproduce::lab::{Lab, add, describe, final_rows, mean, read};
use crate::simulate::SimulateRequest;
use crate::train::TrainOutcome;

/// The recipe with the best accuracy.
const BEST: &str = "frontier";

/// Recipes that are mapped by `compact`: what they take, of the last layer and in macros.
const COMPACT: [&str; 3] = ["final12", "two-macros", "one-macro"];

/// A recipe with a tied last layer, and the same without.
const TIED: [&str; 2] = ["final12", BEST];

/// A recipe that is trained for noise, and the same without.
const HARDENED: [&str; 2] = ["hardened", BEST];

/// The noise that these two are compared under, in all layers.
const NOISE: [&str; 2] = ["cell.sigma_lrs_rel=0.15", "adc.offset_lsb=0.1"];

/// The records, before anything is done with them.
pub(super) struct Records {
    zoo: Zoo,
    is_full: bool,
    retrain: bool,
}

/// What was found.
pub(super) struct Recorded {
    is_full: bool,
    retrained: bool,
    /// Images by which the networks were judged.
    images: usize,
    recipes: Vec<Recipe>,
    compact: Vec<Compact>,
    /// Points that the tied recipe costs, by seed.
    cost: Vec<f64>,
    /// Points that noise costs the two of [`HARDENED`], by seed.
    drops: [Vec<f64>; 2],
    /// Where trainings did not repeat what is recorded.
    differences: Vec<String>,
    epoch: Option<EpochRatios>,
    /// Digests of the records and, if they were used, of the recipes.
    pub(super) inputs: BTreeMap<String, Digest>,
}

/// The networks of a recipe, by seed.
struct Recipe {
    name: String,
    judged: Vec<Judged>,
}

/// A network and how good it is.
struct Judged {
    seed: u64,
    file: PathBuf,
    accuracy: f64,
    validation_accuracy: f64,
    /// Wall time of its training.
    seconds: f64,
}

/// What the mappings of a recipe take, the most over the seeds.
struct Compact {
    recipe: &'static str,
    final_rows: usize,
    macros: usize,
}

/// `epoch.json`: the time of an epoch as a multiple of PyTorch's, on one thread and on two.
#[derive(Debug, Deserialize)]
struct EpochRatios {
    ratio_1t: f64,
    ratio_2t: f64,
}

impl Records {
    /// Reads the records and checks that they can be repeated on this data set; none if the run is
    /// not a full one and they were made on another.
    pub(super) fn open(lab: &Lab<'_>, retrain: bool) -> anyhow::Result<Option<Self>> {
        let zoo = Zoo::open(lab.zoo())?;
        ensure!(!zoo.records().is_empty(), "no network is recorded: use `cargo xtask record`");
        let records = Self { zoo, is_full: lab.is_full, retrain };
        let data = &lab.data;
        if !lab.is_full
            && records.taken().any(|of| data.digests != of.data && data.origin != Origin::Subset)
        {
            return Ok(None);
        }
        records.zoo.networks().try_for_each(|recorded| recorded.network().map(|_| ()))?;
        for record in records.taken() {
            expected(lab, record, &record.runs[0])?;
            if retrain {
                let (data, recipe) = (&lab.data, lab.recipe(&record.recipe));
                ensure!(data.full, "--retrain takes the full MNIST: give --data DIR");
                ensure!(recipe.exists(), "--retrain needs the recipe {}", recipe.display());
            }
        }
        Ok(Some(records))
    }

    /// The records that the run evaluates.
    fn taken(&self) -> impl Iterator<Item = &Record> {
        self.zoo.records().iter().filter(|record| self.is_full || record.recipe == BEST)
    }

    /// Evaluates every network, maps some, and compares.
    pub(super) fn evaluate(&self, lab: &Lab<'_>) -> anyhow::Result<Recorded> {
        if self.retrain {
            lab.train_side_by_side(self.zoo.networks().map(|recorded| {
                let recipe = recorded.record.recipe.as_str();
                (recipe, recipe, recorded.run.seed)
            }))?;
        }
        let mut differences = Vec::new();
        let mut recipes = Vec::new();
        for record in self.taken() {
            let judge = |run| self.judge(lab, record, run, &mut differences);
            let judged = record.runs.iter().map(judge).collect::<Result<_, _>>()?;
            recipes.push(Recipe { name: record.recipe.clone(), judged });
        }
        let mut compact = Vec::new();
        for recipe in COMPACT {
            if let Some(found) = recipes.iter().find(|found| found.name == recipe) {
                compact.push(Compact::of(lab, recipe, &found.judged)?);
            }
        }
        let point = |[tied, free]: [&Judged; 2]| 100.0 * (free.accuracy - tied.accuracy);
        let cost = pairs(&recipes, TIED).map(point).collect();
        let mut drops = [Vec::new(), Vec::new()];
        for pair in pairs(&recipes, HARDENED) {
            for ((drops, judged), recipe) in drops.iter_mut().zip(pair).zip(HARDENED) {
                drops.push(drop_points(lab, recipe, judged)?);
            }
        }
        let epoch = lab.zoo().join("epoch.json");
        Ok(Recorded {
            is_full: self.is_full,
            retrained: self.retrain,
            images: lab.data.test,
            recipes,
            compact,
            cost,
            drops,
            differences,
            epoch: epoch.exists().then(|| read(&epoch)).transpose()?,
            inputs: self.inputs(lab)?,
        })
    }

    /// Evaluates the network of a run, or the one of its repetition; what differs from the record
    /// is an error, or noted if that may be.
    fn judge(
        &self,
        lab: &Lab<'_>,
        record: &Record,
        run: &Run,
        differences: &mut Vec<String>,
    ) -> anyhow::Result<Judged> {
        let (recipe, seed) = (&record.recipe, run.seed);
        let mut judged = Judged {
            seed,
            file: lab.zoo().join(recipe).join(run.file()),
            accuracy: 0.0,
            validation_accuracy: run.validation_accuracy,
            seconds: run.seconds,
        };
        let mut differs = false;
        if self.retrain {
            let folder = lab.training(recipe, seed);
            let trained = TrainOutcome::read(&folder)?;
            judged.file = folder.join("network.hafnia");
            judged.validation_accuracy = trained.validation_accuracy;
            judged.seconds = trained.seconds();
            differs = load::<Network>(&judged.file)?.digest() != run.digest;
            if trained.recipe() != record.config && run.seed == record.runs[0].seed {
                differences.push(format!("recipes/{recipe}.toml is not the recorded recipe"));
            }
        }
        let evaluated = lab.evaluate(&format!("recorded/{recipe}-{seed}"), &judged.file, None)?;
        judged.accuracy = evaluated.accuracy.value;
        let (found, images) = (evaluated.correct, evaluated.images);
        let expected = expected(lab, record, run)?;
        if differs {
            differences.push(format!(
                "{recipe}, seed {seed}: another network, right on {found} of {images} test images, the recorded one on {expected}"
            ));
        } else {
            ensure!(
                found == expected,
                "{recipe}, seed {seed}: the network is right on {found} of {images} test images, its record says {expected}: a bug in hafnia, or a record to be made again with `cargo xtask record {recipe} --runs DIR`"
            );
        }
        Ok(judged)
    }

    fn inputs(&self, lab: &Lab<'_>) -> anyhow::Result<BTreeMap<String, Digest>> {
        let mut files = Vec::new();
        for record in self.taken() {
            files.push(lab.zoo().join(&record.recipe).join(Record::FILE));
            files.extend(self.retrain.then(|| lab.recipe(&record.recipe)));
        }
        let input = |file: &PathBuf| {
            let name = file.strip_prefix(&lab.root)?.display().to_string();
            Ok((name, Digest::of_file(file)?))
        };
        files.iter().map(input).collect()
    }
}

/// How many test images of the run's data set the network of this record gets right.
fn expected(lab: &Lab<'_>, record: &Record, run: &Run) -> anyhow::Result<usize> {
    let data = &lab.data;
    if data.digests == record.data {
        Ok(run.test_correct)
    } else if data.origin == Origin::Subset {
        Ok(run.subset_correct)
    } else {
        bail!("recipe {} was judged on another data set: --full takes MNIST", record.recipe)
    }
}

/// The networks of two recipes that have the same seed.
fn pairs<'a>(
    recipes: &'a [Recipe],
    names: [&str; 2],
) -> impl Iterator<Item = [&'a Judged; 2]> + use<'a> {
    let [first, second] = names.map(|name| {
        let found = recipes.iter().find(|recipe| recipe.name == name);
        found.map_or(&[][..], |recipe| &recipe.judged)
    });
    first.iter().filter_map(|judged| {
        let other = second.iter().find(|other| other.seed == judged.seed)?;
        Some([judged, other])
    })
}

/// Maps by `compact`, as `hafnia sim --model` does; gives the mapping's path.
fn map(lab: &Lab<'_>, recipe: &str, judged: &Judged) -> anyhow::Result<PathBuf> {
    lab.map_plainly(format!("{recipe}-{}", judged.seed), &judged.file, "compact")
}

/// What noise costs a network. The chips of a seed are the same for every recipe.
fn drop_points(lab: &Lab<'_>, recipe: &str, judged: &Judged) -> anyhow::Result<f64> {
    let mapping = map(lab, recipe, judged)?;
    let seed = lab.seed + (1 << 33) + judged.seed;
    let request = SimulateRequest {
        noise_in: "all".to_owned(),
        // A drop is small beside what one chip differs from the next: twice the chips.
        chips: 2 * lab.effort.all_layers_chips,
        ..lab.simulation(seed, NOISE.map(str::to_owned).into())
    };
    let name = format!("recorded/{recipe}-{}", judged.seed);
    let simulated = lab.simulate(&name, &judged.file, &[&mapping], request)?.together();
    Ok(simulated.mappings[0].found.drop_points.value)
}

impl Compact {
    fn of(lab: &Lab<'_>, recipe: &'static str, networks: &[Judged]) -> anyhow::Result<Self> {
        let mut compact = Self { recipe, final_rows: 0, macros: 0 };
        for judged in networks {
            let mapping = describe(&map(lab, recipe, judged)?)?;
            compact.final_rows = compact.final_rows.max(final_rows(&mapping)?[1]);
            compact.macros = compact.macros.max(mapping.total.macros);
        }
        Ok(compact)
    }
}

impl Recipe {
    fn all(&self, value: fn(&Judged) -> f64) -> Vec<f64> {
        self.judged.iter().map(value).collect()
    }
}

/// The ratio of two means over pairs, above and below, with Fieller's 95 % interval (1954): those
/// ratios R for which the mean of x − R·y is not told from 0 by Student's t. Without an interval
/// if the mean below is not told from 0; none at all if that is not above 0.
fn ratio(above: &[f64], below: &[f64]) -> Option<(f64, Option<[f64; 2]>)> {
    let half = |values: &[f64]| {
        let Interval { value, hi, .. } = mean(values);
        hi - value
    };
    let both = |with: f64| above.iter().zip(below).map(|(x, y)| x + with * y).collect::<Vec<f64>>();
    let (x, y) = (mean(above).value, mean(below).value);
    // t² times the variances of the means, and their covariance.
    let (xx, yy) = (half(above).powi(2), half(below).powi(2));
    let xy = (half(&both(1.0)).powi(2) - half(&both(-1.0)).powi(2)) / 4.0;
    let (a, b, c) = (y * y - yy, x * y - xy, x * x - xx);
    let root = (b * b - a * c).max(0.0).sqrt();
    let is_told = above.len() > 1 && a > 0.0;
    (y > 0.0).then(|| (x / y, is_told.then(|| [(b - root) / a, (b + root) / a])))
}

impl Recorded {
    fn accuracy(&self, recipe: &str) -> anyhow::Result<f64> {
        let found = self.recipes.iter().find(|found| found.name == recipe);
        let recipe = found.with_context(|| format!("recipe {recipe} was evaluated"))?;
        Ok(mean(&recipe.all(|judged| judged.accuracy)).value)
    }

    /// Points that tying the last layer costs; none without two seeds of both recipes.
    fn cost(&self) -> Option<Interval> {
        (self.cost.len() > 1).then(|| mean(&self.cost))
    }

    /// Points that noise costs the two of [`HARDENED`], in the mean.
    fn mean_drops(&self) -> Option<[f64; 2]> {
        (!self.drops[0].is_empty()).then(|| self.drops.each_ref().map(|drops| mean(drops).value))
    }

    /// The drop of the hardened recipe as a share of the other's, if that has any, and its
    /// interval.
    fn drop_ratio(&self) -> Option<(f64, Option<[f64; 2]>)> {
        let [hardened, plain] = &self.drops;
        self.mean_drops().and_then(|_| ratio(hardened, plain))
    }

    /// Adds what was found to the metrics of the run.
    pub(super) fn add_metrics(&self, metrics: &mut Metrics) -> anyhow::Result<()> {
        for recipe in &self.recipes {
            let accuracies = recipe.all(|judged| judged.accuracy);
            let MeanSd { mean, sd } = mean_sd(&accuracies);
            let key = |what: &str| format!("train/{}/{what}", recipe.name);
            metrics.insert(key("accuracy_mean"), mean)?;
            metrics.insert(key("accuracy_sd"), sd)?;
            metrics.insert(key("accuracy_seeds"), accuracies.len() as f64)?;
        }
        for Compact { recipe, final_rows, macros } in &self.compact {
            if *recipe == TIED[0] {
                metrics.insert("compact/final/rows", *final_rows as f64)?;
            } else {
                let key = |what: &str| format!("compact/{}/{what}", recipe.replace('-', "_"));
                metrics.insert(key("accuracy"), self.accuracy(recipe)?)?;
                metrics.insert(key("macros"), *macros as f64)?;
            }
        }
        if let Some(cost) = self.cost() {
            add(metrics, "compact/final/accuracy_cost_points", cost)?;
        }
        if let Some((ratio, interval)) = self.drop_ratio() {
            metrics.insert("hardened/drop_ratio", ratio)?;
            if let Some([lo, hi]) = interval {
                metrics.insert("hardened/drop_ratio_lo", lo)?;
                metrics.insert("hardened/drop_ratio_hi", hi)?;
            }
        }
        if let Some(EpochRatios { ratio_1t, ratio_2t }) = self.epoch {
            metrics.insert("train/epoch_ratio_to_torch_1t", ratio_1t)?;
            metrics.insert("train/epoch_ratio_to_torch_2t", ratio_2t)?;
        }
        Ok(())
    }

    /// The section of the report.
    pub(super) fn section(&self) -> Section {
        let source = if self.retrained { "trained again" } else { "recorded" };
        let mut table = Table::of([
            "recipe",
            ">seeds",
            &format!(">validation %, {source}"),
            &format!(">seconds a training, {source}"),
            ">test %, re-evaluated",
        ]);
        let spread = |values: &[f64]| {
            let MeanSd { mean, sd } = mean_sd(values);
            match values {
                [_] => format!("{:.2}", 100.0 * mean),
                _ => format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * sd),
            }
        };
        for recipe in &self.recipes {
            let seeds: Vec<String> =
                recipe.judged.iter().map(|judged| judged.seed.to_string()).collect();
            table.row([
                recipe.name.clone(),
                seeds.join(", "),
                spread(&recipe.all(|judged| judged.validation_accuracy)),
                format!("{:.0}", mean(&recipe.all(|judged| judged.seconds)).value),
                spread(&recipe.all(|judged| judged.accuracy)),
            ]);
        }
        let mut compact = Table::of(["mapped by `compact`", ">rows of the last layer", ">macros"]);
        for Compact { recipe, final_rows, macros } in &self.compact {
            compact.row([(*recipe).to_owned(), final_rows.to_string(), macros.to_string()]);
        }
        let mut tables = vec![table];
        tables.extend(Some(compact).filter(|compact| !compact.rows().is_empty()));
        Section {
            title: "Recorded networks".to_owned(),
            text: self.text(),
            tables,
            ..Section::default()
        }
    }

    fn text(&self) -> String {
        let what = match (self.retrained, self.is_full) {
            (true, _) => "The recipes of the networks that are part of hafnia",
            (false, true) => "The networks that are part of hafnia",
            (false, false) => {
                "The networks with the best accuracy of those that are part of hafnia (`--full`: all of them)"
            }
        };
        let mut lines = vec![format!(
            "{what}, mean and standard deviation over the seeds, on {} test images.",
            self.images
        )];
        lines.push(match (self.retrained, self.differences.as_slice()) {
            (false, _) => {
                "Every network is right on as many images as its record says; what is marked recorded was not repeated."
                    .to_owned()
            }
            (true, []) => "Every training gave the recorded network again.".to_owned(),
            (true, differences) => format!("Differs from the records: {}.", differences.join("; ")),
        });
        if let Some(Interval { value, lo, hi }) = self.cost() {
            let [tied, free] = TIED;
            lines.push(format!(
                "Recipe {tied} costs {value:.2} points against {free} ({lo:.2} to {hi:.2}, paired over {} seeds, Student's t).",
                self.cost.len()
            ));
        }
        if let Some([hardened, plain]) = self.mean_drops() {
            let [name, other] = HARDENED;
            let ratio = match self.drop_ratio() {
                None => "undefined".to_owned(),
                Some((ratio, None)) => format!("{ratio:.2}"),
                Some((ratio, Some([lo, hi]))) => {
                    let seeds = self.drops[0].len();
                    format!("{ratio:.2} ({lo:.2} to {hi:.2}, paired over {seeds} seeds, Fieller)")
                }
            };
            lines.push(format!(
                "With noise in all layers, σ_LRS 15 % and an offset of 0.1 LSB, {name} loses {hardened:.3} points, {other} {plain:.3} on the same chips, a ratio of {ratio}."
            ));
        }
        if let Some(EpochRatios { ratio_1t, ratio_2t }) = self.epoch {
            lines.push(format!(
                "An epoch takes {ratio_1t:.2} times as long as PyTorch's on one thread, {ratio_2t:.2} times on two (recorded)."
            ));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_lies_where_the_difference_is_not_told_from_nothing() {
        let (above, below) = ([0.1, 0.3, 0.2, 0.1, 0.15], [0.5, 0.6, 0.4, 0.6, 0.55]);
        let (found, interval) = ratio(&above, &below).expect("the mean below is above 0");
        let [lo, hi] = interval.expect("and told from it");
        assert!((found - 0.85 / 2.65).abs() < 1e-12 && lo < found && found < hi);
        for end in [lo, hi] {
            let differences = above.iter().zip(&below).map(|(x, y)| x - end * y);
            let Interval { lo, hi, .. } = mean(&differences.collect::<Vec<_>>());
            assert!(lo.abs().min(hi.abs()) < 1e-12, "{lo} to {hi}");
        }
    }

    #[test]
    fn a_ratio_over_nothing_has_no_interval_or_is_none() {
        assert_eq!(ratio(&[0.1, 0.2], &[0.0, 0.0]), None);
        assert_eq!(ratio(&[0.2], &[0.4]), Some((0.5, None)));
        assert_eq!(ratio(&[0.25, 0.25], &[1.5, -0.5]), Some((0.5, None)));
        assert_eq!(ratio(&[0.0, 0.0], &[1.0, 1.0]), Some((0.0, Some([0.0, 0.0]))));
    }
}
