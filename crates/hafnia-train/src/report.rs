//! [`Event`], what is reported while a run goes on, and [`TrainReport`], its result.

use hafnia_model::Network;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;

/// What happens in a run, as it happens.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The first epoch is about to start.
    Started {
        /// Epochs that a checkpoint already holds.
        epochs_done: usize,
        /// Epochs in all.
        epochs: usize,
    },
    /// An epoch of the teacher was completed.
    Teacher {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Its epochs in all.
        epochs: usize,
        /// Share of the validation images that it has right, 0 to 1.
        validation_accuracy: f64,
    },
    /// A step was made.
    Step {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step in the epoch, counted from 1.
        step: usize,
        /// Steps of the epoch.
        steps: usize,
        /// Mean loss of the step's images.
        loss: f64,
    },
    /// An epoch was completed and, if the run has a folder for it, kept.
    Epoch(EpochRecord),
}

/// How an epoch went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Epoch, counted from 1.
    pub epoch: usize,
    /// Learning rate of its last step.
    pub learning_rate: f64,
    /// Mean loss per image over the epoch; in nats if it is a cross entropy.
    pub loss: f64,
    /// Share of the images, as the epoch varied them, that were right when their turn came, 0 to 1.
    pub train_accuracy: f64,
    /// Share of the validation images that are right after the epoch, 0 to 1.
    pub validation_accuracy: f64,
    /// The same under the errors that the recipe trains for, the mean over 8 chips; none if it
    /// trains for none, and in the first half of the epochs.
    #[serde(default)]
    pub noisy_accuracy: Option<f64>,
    /// Wall time, seconds, validation included.
    pub seconds: f64,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// The recipe.
    pub config: TrainConfig,
    /// The shift of every layer with thresholds: the unit of what it learns, or with fixed
    /// thresholds the activation is clamp(sum >> shift, 0, 2^bits − 1).
    pub shifts: Vec<u32>,
    /// The epochs in order.
    pub epochs: Vec<EpochRecord>,
    /// The epoch whose weights are the network's, counted from 1: the last of those with the best
    /// validation accuracy, that under errors (in the second half) if the recipe trains for them.
    pub best_epoch: usize,
    /// The integer network.
    pub network: Network,
    /// Training images per second of wall time, over all epochs.
    pub images_per_second: f64,
}
