//! `hafnia train`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use hafnia_artifact::{save, write_whole};
use hafnia_data::Split;
use hafnia_train::{Event, TrainConfig, TrainReport};
use serde::Serialize;

use crate::data::DataOptions;
use crate::output::{Output, Record, check_writable};
use crate::progress;

/// Train LeNet-5 with 1-bit weights and 2-bit activations; gives a network of integers.
///
/// The state is kept after every epoch: a run that was killed goes on where it was when it is
/// started again with the same recipe and output folder.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia train --out out/net                                 the built-in recipe
  hafnia train --recipe recipes/lenet5-tied.toml --out out/tied
  hafnia train --epochs 2 --offline --out out/try            two epochs on the small subset

Writes OUT/network.hafnia, OUT/training.json (the curve) and a manifest.")]
pub(crate) struct Train {
    /// Recipe, a TOML file; without it the defaults of hafnia_train::TrainConfig.
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Folder to write to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder of the checkpoint, OUT without it; the checkpoint goes when the network is there.
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,
    /// Overrides the recipe's seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Overrides the recipe's number of epochs.
    #[arg(long)]
    epochs: Option<usize>,
    /// Overrides the recipe's number of row patterns of the final layer; 0 frees all rows.
    #[arg(long, value_name = "K")]
    final_patterns: Option<usize>,
    /// Overrides what computes: flex, or ndarray where hafnia was built with that feature.
    #[arg(long)]
    backend: Option<String>,
    #[command(flatten)]
    data: DataOptions,
}

/// The curve of a training, as `training.json` holds it.
#[derive(Serialize)]
struct Curve<'a> {
    config: &'a TrainConfig,
    epochs: &'a [hafnia_train::EpochRecord],
    images_per_second: f64,
    network: hafnia_artifact::Digest,
}

impl Train {
    fn config(&self) -> anyhow::Result<TrainConfig> {
        let mut config = match &self.recipe {
            None => TrainConfig::default(),
            Some(path) => {
                let name = || format!("recipe {}", path.display());
                let text = std::fs::read_to_string(path).with_context(name)?;
                TrainConfig::from_toml(&text).with_context(name)?
            }
        };
        config.seed = self.seed.unwrap_or(config.seed);
        config.epochs = self.epochs.unwrap_or(config.epochs);
        if let Some(augmentation) = &mut config.augmentation {
            augmentation.last_epochs_clean = augmentation.last_epochs_clean.min(config.epochs);
        }
        if let Some(patterns) = self.final_patterns {
            if let Some(last) = config.layer.last_mut() {
                last.patterns = (patterns > 0).then_some(patterns);
            }
        }
        if let Some(backend) = &self.backend {
            config.backend = serde_json::from_value(serde_json::Value::from(backend.as_str()))
                .with_context(|| format!("--backend is `{backend}`"))?;
        }
        config.validate()?;
        Ok(config)
    }

    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        let config = self.config()?;
        let network_path = self.out.join("network.hafnia");
        let curve_path = self.out.join("training.json");
        check_writable(&network_path)?;
        let mut record = Record::begin(&config, Some(config.seed))?;
        if let Some(recipe) = &self.recipe {
            record.input(recipe)?;
        }
        let mnist = self.data.load()?;
        record.data(&mnist);
        let split = Split::standard(&mnist.train);
        let checkpoint = self.checkpoint.as_ref().unwrap_or(&self.out);
        let report = train(&config, &mnist.train, &split, checkpoint)?;
        let network = save(&network_path, &report.network)?;
        let curve = Curve {
            config: &report.config,
            epochs: &report.epochs,
            images_per_second: report.images_per_second,
            network,
        };
        write_whole(&curve_path, serde_json::to_string_pretty(&curve)?.as_bytes())?;
        record.end(&[&network_path, &curve_path])?;
        hafnia_train::remove_checkpoint(checkpoint)?;
        output.print(&curve, |curve| {
            let last = curve.epochs.last();
            let validation = last.map_or(0.0, |epoch| epoch.validation_accuracy);
            format!(
                "{}: validation accuracy {:.2} %, {:.0} images/s",
                network_path.display(),
                100.0 * validation,
                curve.images_per_second
            )
        })
    }
}

/// Trains with a bar on a terminal and a line per epoch elsewhere, both on stderr.
fn train(
    config: &TrainConfig,
    images: &hafnia_data::Dataset,
    split: &Split,
    folder: &std::path::Path,
) -> anyhow::Result<TrainReport> {
    let bar = progress::bar("training");
    let epochs = config.epochs;
    let mut observe = |event: &Event| match event {
        Event::Step { epoch, step, steps, loss } => {
            bar.set_length((epochs * steps) as u64);
            bar.set_position(((epoch - 1) * steps + step) as u64);
            bar.set_message(format!("epoch {epoch}/{epochs}, loss {loss:.4}"));
        }
        Event::Epoch(record) => progress::line(
            &bar,
            &format!(
                "epoch {}/{epochs}: loss {:.4}, validation accuracy {:.2} %, {:.1} s",
                record.epoch,
                record.loss,
                100.0 * record.validation_accuracy,
                record.seconds
            ),
        ),
        Event::Teacher { epoch, epochs, validation_accuracy } => progress::line(
            &bar,
            &format!(
                "teacher {epoch}/{epochs}: validation accuracy {:.2} %",
                100.0 * validation_accuracy
            ),
        ),
        Event::Started { epochs_done: 1.., .. } => {
            progress::line(&bar, "going on from the checkpoint");
        }
        _ => {}
    };
    let report = hafnia_train::train(config, images, split, Some(folder), &mut observe)?;
    bar.finish_and_clear();
    Ok(report)
}
