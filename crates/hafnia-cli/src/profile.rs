//! `hafnia profile`.

use std::path::PathBuf;

use clap::Args;
use hafnia_study::{ProfileOutcome, ProfileRequest, Request, Session};
use serde::Serialize;

use crate::options::{DataOptions, NetworkOptions, request};
use crate::output::{Output, table};

/// Sample which rows are on together, on training images: what `reorder` optimises for.
#[derive(Args, Serialize)]
#[command(after_help = "Examples:
  hafnia profile out/net/network.hafnia --out out/net.profile
  hafnia profile --model frontier --out out/frontier.profile
  hafnia profile net.hafnia --images 500 --positions 4 --out net.profile")]
pub(crate) struct TakeProfile {
    #[command(flatten)]
    #[serde(flatten)]
    network: NetworkOptions,
    /// Profile to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Training images to sample; 30000 without a number, or all if there are fewer.
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Positions to sample of an image in a convolution.
    #[arg(long, default_value_t = 1)]
    positions: usize,
    /// Seed of the sampling.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    #[serde(flatten)]
    data: DataOptions,
}

impl TakeProfile {
    pub(crate) fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        output.answer(request::<ProfileRequest>(self)?.run(session), text)
    }
}

/// A profile for people.
pub(crate) fn text(profile: &ProfileOutcome) -> String {
    let mut table =
        table(["matrix", ">rows", ">samples", ">rows on, % of a plane", ">activations 0, %"]);
    for matrix in &profile.matrices {
        table.row([
            format!("m{}", matrix.matrix),
            matrix.rows.to_string(),
            matrix.samples.to_string(),
            format!("{:.1}", 100.0 * matrix.rows_on),
            format!("{:.1}", 100.0 * matrix.zeros),
        ]);
    }
    table.to_string()
}
