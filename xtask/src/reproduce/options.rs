//! What to reproduce, and how.

use std::path::PathBuf;

/// What to reproduce, and where to.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A few epochs and a few chips: to see that it works.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Also evaluate every recorded network again and hold it against its record.
    #[arg(long)]
    pub(crate) full: bool,
    /// Train the recorded networks again, every recipe and seed, which takes long, and evaluate
    /// what comes out instead; implies --full.
    #[arg(long, conflicts_with = "quick")]
    pub(crate) retrain: bool,
    /// Never touch the network: cached MNIST, or the small subset that is part of hafnia.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Folder with the four IDX files of MNIST.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where everything is written.
    #[arg(long, value_name = "DIR", default_value = "out/reproduce")]
    pub(crate) out: PathBuf,
    /// Seed of the run; the trainings take this one and those that follow.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=u64::from(u32::MAX)))]
    pub(crate) seed: u64,
    /// Exit 1 unless every claim was judged and none was missed by networks like the paper's; where
    /// the paper's unit is ambiguous, one reading of it is enough.
    #[arg(long)]
    pub(crate) check: bool,
}

impl Options {
    pub(crate) fn is_full(&self) -> bool {
        self.full || self.retrain
    }
}
