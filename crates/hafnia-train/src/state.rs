//! [`State`]: all that changes in a run, and nothing else.

use serde::{Deserialize, Serialize};

use crate::report::EpochRecord;
use crate::weights::Latents;

/// All that changes in a run, and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) latents: Latents,
    /// The loss sees the outputs in units of 2^this.
    pub(crate) output_shift: u32,
    /// The teacher, trained.
    pub(crate) teacher: Option<Latents>,
    pub(crate) epochs: Vec<EpochRecord>,
    pub(crate) best: Option<Best>,
}

/// The latents after the best epoch so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    /// Counted from 0.
    pub(crate) epoch: usize,
    /// What it was chosen by.
    pub(crate) accuracy: f64,
    pub(crate) latents: Latents,
}
