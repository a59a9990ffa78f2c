//! What to reproduce, and how.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::request::words;
use crate::session::Session;
use crate::train::{TrainOutcome, TrainRequest};

/// Trains one network.
pub type Train<'a> =
    dyn Fn(&Session<'_>, &TrainRequest) -> anyhow::Result<TrainOutcome> + Sync + 'a;

/// What to reproduce, and where to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReproduceRequest {
    /// A few epochs and a few chips: to see that it works.
    pub quick: bool,
    /// Also evaluate every recorded network again and hold it against its record.
    pub full: bool,
    /// Train the recorded networks again and evaluate what comes out instead.
    pub retrain: bool,
    /// Never touch the network: cached MNIST, or the subset that is part of hafnia.
    pub offline: bool,
    /// Folder with the four IDX files of MNIST.
    pub data: Option<PathBuf>,
    /// Folder that is written to.
    pub out: PathBuf,
    /// Seed of the run; the trainings take this one and those that follow.
    pub seed: u64,
}

impl ReproduceRequest {
    pub(crate) fn is_full(&self) -> bool {
        self.full || self.retrain
    }

    /// The command of `hafnia` that asks the same, word by word.
    pub fn words(&self) -> Vec<String> {
        words("reproduce", &[], self)
    }
}
