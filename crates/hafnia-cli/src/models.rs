//! `hafnia models`, and the options by which every command is given a network.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use hafnia_artifact::{Digest, load};
use hafnia_model::Network;
use hafnia_report::{Align, Table};
use hafnia_stats::{MeanSd, mean_sd};
use hafnia_zoo::{Record, Recorded, Run, Zoo};
use serde::Serialize;

use crate::output::Output;

/// The network of a command: a file, or one that is part of hafnia.
#[derive(Args, Debug, Clone)]
#[group(required = true)]
pub(crate) struct NetworkOptions {
    /// Network file; none with --model.
    #[arg(value_name = "NETWORK", index = 1)]
    pub(crate) file: Option<PathBuf>,
    /// Recorded network in place of a file: RECIPE, or RECIPE/SEED (hafnia models).
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
}

/// A network, and where it comes from.
pub(crate) struct Chosen {
    pub(crate) network: Network,
    /// Its file, or `model recipe/seed`.
    pub(crate) name: String,
    /// The digest of its file.
    pub(crate) digest: Digest,
}

impl NetworkOptions {
    /// The network.
    pub(crate) fn load(&self) -> anyhow::Result<Chosen> {
        match (&self.file, &self.model) {
            (Some(path), None) => Ok(Chosen {
                network: load(path)?,
                name: path.display().to_string(),
                digest: Digest::of_file(path)?,
            }),
            (None, Some(name)) => Chosen::recorded(&Zoo::embedded()?.get(name)?),
            _ => bail!("give either a network file or --model"),
        }
    }

    /// The network of a command that also takes other files: with --model all files are others.
    pub(crate) fn load_beside(&self, others: &[PathBuf]) -> anyhow::Result<(Chosen, Vec<PathBuf>)> {
        let (mut options, mut others) = (self.clone(), others.to_vec());
        if options.model.is_some() {
            others.splice(0..0, options.file.take());
        }
        Ok((options.load()?, others))
    }
}

impl Chosen {
    fn recorded(recorded: &Recorded<'_>) -> anyhow::Result<Self> {
        Ok(Self {
            network: recorded.network()?,
            name: format!("model {}", recorded.name()),
            digest: recorded.file_digest(),
        })
    }
}

/// The recorded networks of this name: RECIPE or RECIPE/SEED for one, RECIPE/* for every seed.
pub(crate) fn recorded(name: &str) -> anyhow::Result<Vec<Chosen>> {
    let zoo = Zoo::embedded()?;
    match name.strip_suffix("/*") {
        None => Ok(vec![Chosen::recorded(&zoo.get(name)?)?]),
        Some(recipe) => {
            let recipe = &zoo.record(recipe)?.recipe;
            let of_recipe = zoo.networks().filter(|recorded| recorded.record.recipe == *recipe);
            of_recipe.map(|recorded| Chosen::recorded(&recorded)).collect()
        }
    }
}

/// List the recorded networks: what the recipes gave when they were trained.
///
/// They are part of hafnia: wherever a network file is expected, --model takes a name instead, that
/// of a recipe for its first seed, or RECIPE/SEED.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia models
  hafnia models --format json            with the recipes and a record for every seed
  hafnia sim --model frontier            the recipe's first seed on 50 virtual chips
  hafnia inspect --model frontier/3")]
pub(crate) struct Models {}

#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    record: &'a Record,
    /// Over the seeds.
    test_accuracy: MeanSd,
}

impl Models {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        let zoo = Zoo::embedded()?;
        let list = |record| Listed { record, test_accuracy: test_accuracy(record) };
        let listed: Vec<Listed<'_>> = zoo.records().iter().map(list).collect();
        output.print(&listed, |listed| {
            if listed.is_empty() {
                return "no network is recorded".to_owned();
            }
            let mut table = Table::new([
                ("recipe", Align::Left),
                ("seeds", Align::Left),
                ("test accuracy, %", Align::Right),
                ("best epoch", Align::Right),
                ("first network", Align::Left),
            ]);
            for Listed { record, test_accuracy: MeanSd { mean, sd } } in listed {
                let seeds: Vec<String> = record.seeds().map(|seed| seed.to_string()).collect();
                let epochs: Vec<String> =
                    record.runs.iter().map(|run| run.best_epoch.to_string()).collect();
                let first = record.runs.first().map(|run| run.digest.to_string());
                table.row([
                    record.recipe.clone(),
                    seeds.join(", "),
                    match record.runs.as_slice() {
                        [_] => format!("{:.2}", 100.0 * mean),
                        _ => format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * sd),
                    },
                    epochs.join(", "),
                    first.map_or_else(String::new, |digest| digest[..12].to_owned()),
                ]);
            }
            table.to_string()
        })
    }
}

/// Mean and standard deviation over the seeds.
fn test_accuracy(record: &Record) -> MeanSd {
    let accuracy = |run: &Run| run.test_accuracy;
    mean_sd(&record.runs.iter().map(accuracy).collect::<Vec<f64>>())
}
