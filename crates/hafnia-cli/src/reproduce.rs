//! `hafnia reproduce`.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::Args;
use hafnia_study::Session;
use hafnia_study::reproduce::{ReproduceRequest, reproduce};
use serde::Serialize;

use crate::options::request;
use crate::output::print;
use crate::train;

/// Regenerate the paper's numbers: MNIST, training, mapping, noisy inference, report.
///
/// It runs in a checkout of hafnia, whose recipes, claims and recorded networks it takes. Every step
/// is a command of hafnia, listed in OUT/commands.txt; what has not changed is not done again.
#[derive(Args, Serialize)]
#[command(after_help = "Examples:
  hafnia reproduce                          writes out/reproduce/report.html
  hafnia reproduce --quick --offline        to see that it works, in two minutes
  hafnia reproduce --full --data ~/mnist    all recorded networks, assumptions")]
pub(crate) struct Reproduce {
    /// A few epochs and a few chips: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Also evaluate every recorded network again and hold it against its record.
    #[arg(long)]
    full: bool,
    /// Train the recorded networks again, every recipe and seed, which takes long, and evaluate
    /// what comes out instead; implies --full.
    #[arg(long, conflicts_with = "quick")]
    retrain: bool,
    /// Never touch the network: cached MNIST, or the small subset that is part of hafnia.
    #[arg(long)]
    offline: bool,
    /// Folder with the four IDX files of MNIST.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where everything is written.
    #[arg(long, value_name = "DIR", default_value = "out/reproduce")]
    out: PathBuf,
    /// Seed of the run; the trainings take this one and those that follow.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=u64::from(u32::MAX)))]
    seed: u64,
    /// Exit 1 unless every claim was judged and none was missed by networks like the paper's; where
    /// the paper's unit is ambiguous, one reading of it is enough.
    #[arg(long)]
    check: bool,
}

impl Reproduce {
    pub(crate) fn run(&self, session: &Session<'_>) -> anyhow::Result<()> {
        let asked: ReproduceRequest = request(self)?;
        let report = reproduce(session, &asked, Path::new("."), &train::train)?;
        let mut text = format!("{}\n", report.verdict_table());
        if report.scope().subset {
            text = format!("Made on the committed subset of MNIST: no claim is judged.\n{text}");
        }
        print(text.as_bytes())?;
        let missed = report.missed();
        ensure!(
            !self.check || missed.is_empty(),
            "--check: claims that networks like the paper's do not meet, or that were not judged: {}",
            missed.join(", ")
        );
        Ok(())
    }
}
