//! `hafnia model`: networks in and out, and how good they are.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::{Args, Subcommand};
use hafnia_artifact::{load, save};
use hafnia_data::Dataset;
use hafnia_model::{Network, ReferenceProduct, interchange, run};
use hafnia_report::{Align, Table};
use hafnia_stats::{Interval, paired_difference, wilson};
use rayon::prelude::*;
use serde::Serialize;

use crate::compared::Outcomes;
use crate::data::{self, DataOptions, Part};
use crate::inspect;
use crate::merge::Merge;
use crate::models::NetworkOptions;
use crate::output::{Output, Record, check_writable};
use crate::refine::Refine;

/// Import, export and evaluate networks; refine them and make their rows equal.
#[derive(Args)]
pub(crate) struct Model {
    #[command(subcommand)]
    command: ModelCommand,
}

#[derive(Subcommand)]
enum ModelCommand {
    Import(Import),
    Export(Export),
    Evaluate(Evaluate),
    Refine(Refine),
    Merge(Merge),
}

/// Turn an interchange folder (network.json and .npy tensors) into a network file.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia model import my-net/ --out my-net.hafnia
  hafnia model import my-net/ --out my-net.hafnia --check-logits ~/mnist

docs/formats.md says what such a folder holds.")]
struct Import {
    /// The interchange folder.
    folder: PathBuf,
    /// Network file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Compare the folder's reference_logits.npy with what the network gives on the first test
    /// images of the data set in this folder.
    #[arg(long, value_name = "DATA")]
    check_logits: Option<PathBuf>,
}

/// Write a network as an interchange folder, with reference logits if asked.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia model export out/net/network.hafnia --out exported/
  hafnia model export --model frontier --out exported/
  hafnia model export out/net/network.hafnia --out exported/ --logits 100 --offline")]
struct Export {
    #[command(flatten)]
    network: NetworkOptions,
    /// Folder to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Also write the raw outputs for this many of the first test images.
    #[arg(long, value_name = "N", default_value_t = 0)]
    logits: usize,
    #[command(flatten)]
    data: DataOptions,
}

/// Run the reference on images: accuracy with its interval, and the paired difference to a second
/// network.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia model evaluate out/net/network.hafnia
  hafnia model evaluate --model frontier
  hafnia model evaluate out/tied/network.hafnia --against out/net/network.hafnia --format json")]
struct Evaluate {
    #[command(flatten)]
    network: NetworkOptions,
    /// Second network, run on the same images.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Which images.
    #[arg(long, value_enum, default_value_t = Part::Test)]
    part: Part,
    #[command(flatten)]
    data: DataOptions,
}

impl Model {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        match &self.command {
            ModelCommand::Import(command) => command.run(output),
            ModelCommand::Export(command) => command.run(output),
            ModelCommand::Evaluate(command) => command.run(output),
            ModelCommand::Refine(command) => command.run(output),
            ModelCommand::Merge(command) => command.run(output),
        }
    }
}

/// Whether images have the size that the network takes.
pub(crate) fn check_size(network: &Network, data: &Dataset) -> anyhow::Result<()> {
    let input = network.input();
    ensure!(
        (input.channels, input.height, input.width) == (1, data.rows, data.columns),
        "the network takes images of {}x{}x{}, data set `{}` has 1x{}x{}",
        input.channels,
        input.height,
        input.width,
        data.name,
        data.rows,
        data.columns
    );
    Ok(())
}

/// The raw outputs of the network for the first images of a data set.
pub(crate) fn logits(
    network: &Network,
    data: &Dataset,
    images: usize,
) -> anyhow::Result<Vec<Vec<i32>>> {
    check_size(network, data)?;
    let inputs = data::images(network, &data.first(images));
    let size = data.rows * data.columns;
    Ok(inputs
        .activations
        .par_chunks(size)
        .map_init(|| ReferenceProduct::new(network), |plain, image| run(network, image, plain))
        .collect())
}

impl Import {
    fn run(&self, output: Output) -> anyhow::Result<()> {
        check_writable(&self.out)?;
        let record = Record::begin(&serde_json::json!({ "folder": self.folder }), None)?;
        let network = interchange::import(&self.folder)?;
        if let Some(data) = &self.check_logits {
            self.check(&network, data)?;
        }
        save(&self.out, &network)?;
        record.end(&[&self.out])?;
        output.print(&inspect::describe(&network), |network| network.to_string())
    }

    fn check(&self, network: &Network, data: &std::path::Path) -> anyhow::Result<()> {
        let Some(expected) = interchange::read_reference_logits(&self.folder)? else {
            bail!("{} has no reference_logits.npy to check against", self.folder.display());
        };
        let options = DataOptions {
            data: Some(data.to_owned()),
            cache: PathBuf::new(),
            offline: true,
            or_subset: false,
        };
        let mnist = options.load()?;
        ensure!(
            expected.len() <= mnist.test.len(),
            "reference_logits.npy has {} images, the data set has {} test images",
            expected.len(),
            mnist.test.len()
        );
        let found = logits(network, &mnist.test, expected.len())?;
        for (image, (found, expected)) in found.iter().zip(&expected).enumerate() {
            ensure!(
                found == expected,
                "test image {image}: the network gives {found:?}, reference_logits.npy has {expected:?}"
            );
        }
        Ok(())
    }
}

impl Export {
    fn run(&self, output: Output) -> anyhow::Result<()> {
        let network = self.network.load()?.network;
        let outputs = match self.logits {
            0 => Vec::new(),
            images => {
                let test = self.data.load()?.test;
                let most = test.len();
                ensure!(images <= most, "--logits is {images}, it must lie in 0..={most}");
                logits(&network, &test, images)?
            }
        };
        interchange::export(&network, &self.out)?;
        if !outputs.is_empty() {
            interchange::write_reference_logits(&self.out, &outputs)?;
        }
        output.print(&inspect::describe(&network), |network| network.to_string())
    }
}

#[derive(Serialize)]
struct Evaluated {
    part: Part,
    images: usize,
    correct: usize,
    /// Share of images that are right, with its 95 % interval (Wilson).
    accuracy: Interval,
    /// The same where outputs that tie for the maximum count as wrong; `correct` and `accuracy` take
    /// the first of equals.
    correct_ties_wrong: usize,
    accuracy_ties_wrong: Interval,
    against: Option<Against>,
}

#[derive(Serialize)]
struct Against {
    accuracy: Interval,
    /// Accuracy of the second network minus that of the first, in points, paired over the images.
    ahead_points: Interval,
}

impl Evaluate {
    fn run(&self, output: Output) -> anyhow::Result<()> {
        let chosen = self.network.load()?;
        let second: Option<Network> = self.against.as_ref().map(load).transpose()?;
        let data = self.part.of(&self.data.load()?);
        let outcomes = Outcomes::of(&chosen.network, &data)?;
        let Outcomes { first: right, ties_wrong, .. } = &outcomes;
        let accuracy = outcomes.accuracy();
        let count = |right: &[bool]| right.iter().filter(|&&right| right).count();
        let against = match second {
            None => None,
            Some(second) => {
                let second = Outcomes::of(&second, &data)?.first;
                Some(Against {
                    accuracy: wilson(count(&second), second.len()),
                    ahead_points: paired_difference(&second, right)?,
                })
            }
        };
        let evaluated = Evaluated {
            part: self.part,
            images: right.len(),
            correct: count(right),
            accuracy: accuracy.first,
            correct_ties_wrong: count(ties_wrong),
            accuracy_ties_wrong: accuracy.ties_wrong,
            against,
        };
        output.print(&evaluated, |evaluated| {
            let header = [
                ("network", Align::Left),
                ("accuracy, %", Align::Right),
                ("95 % interval", Align::Right),
            ];
            let mut table = Table::new(header);
            let percent = |name: String, interval: &Interval, scale: f64| {
                let Interval { value, lo, hi } = *interval;
                let range = format!("{:.2} to {:.2}", scale * lo, scale * hi);
                [name, format!("{:.2}", scale * value), range]
            };
            table.row(percent(chosen.name, &evaluated.accuracy, 100.0));
            let ties = "  ties counted as wrong".to_owned();
            table.row(percent(ties, &evaluated.accuracy_ties_wrong, 100.0));
            if let (Some(path), Some(against)) = (&self.against, &evaluated.against) {
                table.row(percent(path.display().to_string(), &against.accuracy, 100.0));
                let ahead = "second ahead by (points, paired)".to_owned();
                table.row(percent(ahead, &against.ahead_points, 1.0));
            }
            format!("{} {} images\n{table}", evaluated.images, evaluated.part.name())
        })
    }
}
