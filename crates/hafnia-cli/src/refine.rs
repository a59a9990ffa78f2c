//! `hafnia model refine`: a search on the integers of a trained network.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use hafnia_artifact::save;
use hafnia_data::{Dataset, Mnist};
use hafnia_model::Network;
use hafnia_report::{Align, Table};
use hafnia_rng::Seed;
use hafnia_tune::{Images, Options, Visit};
use serde::Serialize;

use crate::compared::{Compared, Outcomes, ranged};
use crate::data::{self, DataOptions, Part};
use crate::model::check_size;
use crate::models::NetworkOptions;
use crate::output::{Output, Record, check_writable};
use crate::progress;

/// Search the integers near a trained network's for a lower loss on training images.
///
/// Moves are steps of single weights and of thresholds. One is made if it lowers the cross entropy
/// of the images that are searched on and does not raise that of those held back. Validation images
/// take no part: they tell whether it helped.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia model refine out/net/network.hafnia --out out/refined.hafnia
  hafnia model refine --model frontier --layers fc3,fc2 --passes 2 --out refined.hafnia")]
pub(crate) struct Refine {
    #[command(flatten)]
    network: NetworkOptions,
    /// Network file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    search: SearchOptions,
    #[command(flatten)]
    data: DataOptions,
}

/// How integers are searched.
#[derive(Args, Debug, Clone, Serialize)]
pub(crate) struct SearchOptions {
    /// Layers in the order in which a pass visits them; all linear layers from the last on if none
    /// is named.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    layers: Vec<String>,
    /// Passes over the layers; fewer if one changes nothing.
    #[arg(long, value_name = "N", default_value_t = Options::default().passes)]
    passes: u32,
    /// How far a threshold may go in one move.
    #[arg(long, value_name = "N", default_value_t = Options::default().reach)]
    reach: i32,
    /// How many standard errors a move must lower the loss by.
    #[arg(long, value_name = "N", default_value_t = Options::default().sigmas)]
    sigmas: f64,
    /// Share of the training images that is held back.
    #[arg(long, value_name = "SHARE", default_value_t = Options::default().held_back)]
    held_back: f64,
    /// Look at the first N training images only; at all of them without it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    images: Option<u32>,
    /// Seed of what is held back and of the order of visits.
    #[arg(long, value_name = "S", default_value_t = Options::default().seed.0)]
    pub(crate) seed: u64,
}

impl SearchOptions {
    /// The training images that are looked at.
    pub(crate) fn train(&self, mnist: &Mnist) -> Dataset {
        let train = Part::Train.of(mnist);
        match self.images {
            Some(images) => train.first(train.len().min(images as usize)),
            None => train,
        }
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            layers: self.layers.clone(),
            passes: self.passes,
            reach: self.reach,
            sigmas: self.sigmas,
            held_back: self.held_back,
            seed: Seed(self.seed),
        }
    }
}

#[derive(Serialize)]
struct Report {
    network: String,
    /// The factor of the outputs in the loss.
    scale: f64,
    seconds: f64,
    tried: u64,
    made: u64,
    parts: Vec<Compared>,
    visits: Vec<Visit>,
}

impl Refine {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        check_writable(&self.out)?;
        let chosen = self.network.load()?;
        let mut record = Record::begin(&self.search, Some(self.search.seed))?;
        record.network(&chosen);
        let mnist = self.data.load()?;
        record.data(&mnist);
        let (train, validation) = (self.search.train(&mnist), Part::Validation.of(&mnist));
        check_size(&chosen.network, &train)?;

        let options = self.search.options();
        let inputs = data::images(&chosen.network, &train);
        let images = Images { activations: &inputs.activations, labels: &inputs.labels };
        let bar = progress::bar("channels");
        let moves = progress::moves(&bar);
        let start = Instant::now();
        let refined = hafnia_tune::refine(&chosen.network, images, &options, &mut |done, of| {
            moves(done, of)
        })?;
        let seconds = start.elapsed().as_secs_f64();
        bar.finish_and_clear();

        let (searched, held_back) = options.split(train.len());
        let parts: [(&'static str, Dataset); 3] = [
            ("searched", train.select(&searched)),
            ("held back", train.select(&held_back)),
            ("validation", validation),
        ];
        let compare = |(part, data): &(&'static str, Dataset)| {
            let outcomes = |network: &Network| Outcomes::of(network, data);
            outcomes(&chosen.network)?.then(part, &outcomes(&refined.network)?)
        };
        let parts = parts.iter().filter(|(_, data)| !data.is_empty());
        let parts = parts.map(compare).collect::<anyhow::Result<Vec<Compared>>>()?;
        save(&self.out, &refined.network)?;
        record.end(&[&self.out])?;
        let visits = refined.report.visits;
        let report = Report {
            network: chosen.name,
            scale: refined.report.scale,
            seconds,
            tried: visits.iter().map(|visit| visit.tried).sum(),
            made: visits.iter().map(|visit| visit.made).sum(),
            parts,
            visits,
        };
        output.print(&report, text)
    }
}

fn text(report: &Report) -> String {
    let Report { network, tried, made, seconds, .. } = report;
    let header = [
        ("images", Align::Left),
        ("ties", Align::Left),
        ("before, %", Align::Right),
        ("after, %", Align::Right),
        ("gain, points (paired)", Align::Right),
    ];
    let mut table = Table::new(header);
    for part in &report.parts {
        let (before, after, gain) =
            (&part.accuracy_before, &part.accuracy_after, &part.gain_points);
        table.row([
            format!("{} {}", part.images, part.part),
            "first of equals".to_owned(),
            ranged(&before.first, 100.0),
            ranged(&after.first, 100.0),
            ranged(&gain.first, 1.0),
        ]);
        table.row([
            String::new(),
            "wrong".to_owned(),
            ranged(&before.ties_wrong, 100.0),
            ranged(&after.ties_wrong, 100.0),
            ranged(&gain.ties_wrong, 1.0),
        ]);
        table.row([
            String::new(),
            "share".to_owned(),
            format!("{:.2}", 100.0 * part.ties_before),
            format!("{:.2}", 100.0 * part.ties_after),
            String::new(),
        ]);
    }
    format!("{network}: {made} of {tried} moves made in {seconds:.1} s\n{table}")
}
