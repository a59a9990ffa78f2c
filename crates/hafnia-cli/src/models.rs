//! `hafnia models`.

use clap::Args;
use hafnia_stats::{MeanSd, mean_sd};
use hafnia_zoo::{Record, Run, Zoo};
use serde::Serialize;

use crate::output::{Format, Output, table};

/// List the recorded networks: what the recipes gave when they were trained.
///
/// They are part of hafnia: wherever a network file is expected, --model takes a name instead, that
/// of a recipe for its first seed, or RECIPE/SEED.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia models
  hafnia models --format json    with the recipes and a record for every seed
  hafnia sim --model frontier    the recipe's first seed on 50 virtual chips
  hafnia inspect --model frontier/3")]
pub(crate) struct Models {}

#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    record: &'a Record,
    /// Over the seeds.
    test_accuracy: MeanSd,
}

#[derive(Serialize)]
struct ListedNetwork<'a> {
    recipe: &'a str,
    #[serde(flatten)]
    run: &'a Run,
}

impl Models {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        let zoo = Zoo::embedded()?;
        let list = |record| Listed { record, test_accuracy: test_accuracy(record) };
        let listed: Vec<Listed<'_>> = zoo.records().iter().map(list).collect();
        if output.format == Format::Csv {
            // A row for every network, not for every recipe.
            let networks = zoo.records().iter().flat_map(|record| {
                record.runs.iter().map(|run| ListedNetwork { recipe: &record.recipe, run })
            });
            return output.print(&networks.collect::<Vec<_>>(), |_| String::new());
        }
        output.print(&listed, |listed| {
            if listed.is_empty() {
                return "no network is recorded".to_owned();
            }
            let mut table =
                table(["recipe", ">test accuracy, %", "first network", "seeds", "best epochs"]);
            for Listed { record, test_accuracy: MeanSd { mean, sd } } in listed {
                let seeds: Vec<u64> = record.seeds().collect();
                let is_run = seeds.len() > 2 && seeds.is_sorted_by(|a, b| a + 1 == *b);
                let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
                let seeds = match (is_run, &seeds[..]) {
                    (true, [first, .., last]) => format!("{first} to {last}"),
                    (_, seeds) => seeds.join(", "),
                };
                let epochs: Vec<String> =
                    record.runs.iter().map(|run| run.best_epoch.to_string()).collect();
                let first = record.runs.first().map(|run| run.digest.to_string());
                table.row([
                    record.recipe.clone(),
                    match record.runs.as_slice() {
                        [_] => format!("{:.2}", 100.0 * mean),
                        _ => format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * sd),
                    },
                    first.map_or_else(String::new, |digest| digest[..12].to_owned()),
                    seeds,
                    epochs.join(", "),
                ]);
            }
            table.to_string()
        })
    }
}

/// Mean and standard deviation over the seeds.
fn test_accuracy(record: &Record) -> MeanSd {
    mean_sd(&record.runs.iter().map(|run| run.test_accuracy).collect::<Vec<f64>>())
}
