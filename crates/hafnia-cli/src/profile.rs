//! `hafnia profile`.

use std::path::PathBuf;

use clap::Args;
use hafnia_artifact::save;
use hafnia_ir::Profile;
use hafnia_report::{Align, Table};
use hafnia_rng::Seed;
use hafnia_sim::{ProfileOptions, profile};
use serde::Serialize;

use crate::data::{self, DataOptions, Part};
use crate::models::NetworkOptions;
use crate::output::{Output, Record, check_writable};
use crate::progress;

/// Sample which rows are on together, on training images: what `reorder` optimises for.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia profile out/net/network.hafnia --out out/net.profile
  hafnia profile --model frontier --out out/frontier.profile
  hafnia profile out/net/network.hafnia --images 500 --positions 4 --out out/net.profile")]
pub(crate) struct TakeProfile {
    #[command(flatten)]
    network: NetworkOptions,
    /// Profile to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Training images to sample, or all if there are no more.
    #[arg(long, default_value_t = 30_000)]
    images: usize,
    /// Positions to sample of an image in a convolution.
    #[arg(long, default_value_t = 1)]
    positions: usize,
    /// Seed of the sampling.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    data: DataOptions,
}

/// What a profile holds, in short.
#[derive(Serialize)]
pub(crate) struct Summary {
    images: usize,
    matrices: Vec<MatrixSummary>,
}

#[derive(Serialize)]
struct MatrixSummary {
    matrix: usize,
    rows: usize,
    samples: usize,
    /// Mean share of rows that are on, over the bit-planes.
    rows_on: f64,
    /// Share of activations that are 0.
    zeros: f64,
}

impl Summary {
    pub(crate) fn of(profile: &Profile) -> Self {
        let matrices = profile.matrices.iter().enumerate().map(|(matrix, samples)| {
            let activations = &samples.activations;
            let count = activations.len().max(1) as f64;
            let on: u32 = activations.iter().map(|a| a.count_ones()).sum();
            let zeros = activations.iter().filter(|&&a| a == 0).count();
            MatrixSummary {
                matrix,
                rows: samples.rows,
                samples: samples.samples(),
                rows_on: f64::from(on) / count / f64::from(samples.bits),
                zeros: zeros as f64 / count,
            }
        });
        Self { images: profile.images, matrices: matrices.collect() }
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new([
            ("matrix", Align::Left),
            ("rows", Align::Right),
            ("samples", Align::Right),
            ("rows on, % of a plane", Align::Right),
            ("activations 0, %", Align::Right),
        ]);
        for matrix in &self.matrices {
            table.row([
                format!("m{}", matrix.matrix),
                matrix.rows.to_string(),
                matrix.samples.to_string(),
                format!("{:.1}", 100.0 * matrix.rows_on),
                format!("{:.1}", 100.0 * matrix.zeros),
            ]);
        }
        table
    }
}

impl TakeProfile {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        check_writable(&self.out)?;
        let config = serde_json::json!({ "images": self.images, "positions": self.positions });
        let mut record = Record::begin(&config, Some(self.seed))?;
        let chosen = self.network.load()?;
        record.network(&chosen);
        let network = chosen.network;
        let mnist = self.data.load()?;
        record.data(&mnist);
        let images = data::images(&network, &Part::Train.of(&mnist));
        let options = ProfileOptions {
            images: self.images.min(images.len()),
            positions_per_image: self.positions,
        };
        let bar = progress::bar("profile");
        let taken = profile(&network, &images, options, Seed(self.seed), &progress::moves(&bar))?;
        bar.finish_and_clear();
        save(&self.out, &taken)?;
        record.end(&[&self.out])?;
        output.print(&Summary::of(&taken), |summary| summary.table().to_string())
    }
}
