//! Trainings as data: what is asked for and what comes out. Who trains is handed in, for this crate
//! knows no trainer.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use hafnia_artifact::{Digest, read_text};
use hafnia_cim::MacroSpec;
use hafnia_report::plot::{CurvePoint, CurveRun, training_curve};
use hafnia_stats::{MeanSd, mean_sd};
use serde::{Deserialize, Serialize};

use crate::data::DataSource;
use crate::request::words;

/// What is to be trained.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainRequest {
    /// Recipe, a TOML file; the built-in one without it.
    pub recipe: Option<PathBuf>,
    /// Folder that is written to.
    pub out: PathBuf,
    /// Folder of the checkpoint, `out` without it.
    pub checkpoint: Option<PathBuf>,
    /// Seed in place of the recipe's.
    pub seed: Option<u64>,
    /// Seeds that are trained side by side, from that seed on.
    pub seeds: Option<u64>,
    /// Epochs in place of the recipe's.
    pub epochs: Option<usize>,
    /// Row patterns of the final layer in place of the recipe's; 0 frees all rows.
    pub final_patterns: Option<usize>,
    /// What computes in place of the recipe's.
    pub backend: Option<String>,
    /// Where images come from.
    #[serde(flatten)]
    pub data: DataSource,
}

impl TrainRequest {
    /// The files that a training is made from: its recipe, and those of the macro whose errors the
    /// recipe trains for. What cannot be read leads no further.
    pub fn files(&self) -> Vec<PathBuf> {
        let Some(recipe) = &self.recipe else { return Vec::new() };
        let text = read_text(recipe).unwrap_or_default();
        let table: toml::Table = text.parse().unwrap_or_default();
        let name = table.get("noise").and_then(|noise| noise.get("macro_name")?.as_str());
        let of_macro = name.map(|name| MacroSpec::files(name, [])).unwrap_or_default();
        std::iter::once(recipe.clone()).chain(of_macro).collect()
    }

    /// The command of `hafnia` that asks the same, word by word.
    pub fn words(&self) -> Vec<String> {
        words("train", &[], self)
    }
}

/// A training, as `training.json` holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainOutcome {
    /// The recipe, with the seed.
    pub config: serde_json::Value,
    /// How every epoch went.
    pub epochs: Vec<Epoch>,
    /// The epoch that the network is of.
    pub best_epoch: usize,
    /// Its accuracy on validation images.
    pub validation_accuracy: f64,
    /// Training images per second.
    pub images_per_second: f64,
    /// The digest of the network's file.
    pub network: Digest,
}

/// How an epoch went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Epoch, counted from 1.
    pub epoch: u32,
    /// Learning rate of its last step.
    pub learning_rate: f64,
    /// Mean loss of an image.
    pub loss: f64,
    /// Share of the training images that were right.
    pub train_accuracy: f64,
    /// Share of the validation images that are right.
    pub validation_accuracy: f64,
    /// The same under the errors that the recipe trains for, if it does.
    #[serde(default)]
    pub noisy_accuracy: Option<f64>,
    /// Wall time, seconds.
    pub seconds: f64,
}

impl TrainOutcome {
    /// Reads the `training.json` of a training's folder.
    ///
    /// # Errors
    /// If there is none.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("training.json");
        let named = || path.display().to_string();
        serde_json::from_str(&read_text(&path)?).with_context(named)
    }

    /// The recipe: the configuration without its seed.
    pub fn recipe(&self) -> serde_json::Value {
        let mut config = self.config.clone();
        if let Some(keys) = config.as_object_mut() {
            keys.remove("seed");
        }
        config
    }

    /// Wall time of the epochs.
    pub fn seconds(&self) -> f64 {
        self.epochs.iter().map(|epoch| epoch.seconds).sum()
    }

    /// The curve as CSV.
    pub fn csv(&self) -> String {
        let mut csv = String::from(
            "epoch,learning_rate,loss,train_accuracy,validation_accuracy,noisy_accuracy,seconds\n",
        );
        for of in &self.epochs {
            let Epoch { epoch, learning_rate, loss, train_accuracy, seconds, .. } = of;
            let (accuracy, noisy) = (of.validation_accuracy, of.noisy_accuracy);
            let noisy = noisy.map(|accuracy| accuracy.to_string()).unwrap_or_default();
            writeln!(
                csv,
                "{epoch},{learning_rate},{loss},{train_accuracy},{accuracy},{noisy},{seconds}"
            )
            .expect("a string takes all");
        }
        csv
    }

    /// The curve as a line of a drawing.
    pub fn curve(&self, label: String) -> CurveRun {
        let point = |epoch: &Epoch| CurvePoint {
            epoch: epoch.epoch,
            loss: epoch.loss,
            validation_accuracy_pct: 100.0 * epoch.validation_accuracy,
        };
        CurveRun { label, points: self.epochs.iter().map(point).collect() }
    }

    /// The curve, drawn.
    ///
    /// # Errors
    /// If there is no epoch.
    pub fn svg(&self) -> anyhow::Result<String> {
        Ok(training_curve(&[self.curve(format!("seed {}", self.config["seed"]))])?)
    }
}

/// Trainings that differ in their seed, as `summary.json` holds them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSummary {
    /// The trainings, by seed.
    pub seeds: Vec<SeedOutcome>,
    /// Mean over the seeds.
    pub validation_accuracy_mean: f64,
    /// With one degree of freedom less than seeds; 0 for a single seed.
    pub validation_accuracy_sd: f64,
}

/// The training of a seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedOutcome {
    /// The seed.
    pub seed: u64,
    /// The epoch that the network is of.
    pub best_epoch: usize,
    /// Its accuracy on validation images.
    pub validation_accuracy: f64,
    /// Wall time.
    pub seconds: f64,
    /// The digest of the network's file.
    pub network: Digest,
}

impl TrainSummary {
    /// Sums up at least one training.
    pub fn of(mut seeds: Vec<SeedOutcome>) -> Self {
        seeds.sort_by_key(|of_seed| of_seed.seed);
        let accuracies: Vec<f64> =
            seeds.iter().map(|of_seed| of_seed.validation_accuracy).collect();
        let MeanSd { mean, sd } = mean_sd(&accuracies);
        Self { seeds, validation_accuracy_mean: mean, validation_accuracy_sd: sd }
    }
}
