//! Quantised training on burn's autodiff; the only crate that knows burn.
//!
//! [`train`] takes a recipe ([`TrainConfig`]), a data set and its split, and returns a
//! [`TrainReport`] with the integer [`Network`](hafnia_model::Network): weights of 1 to 4 bits,
//! activations of 1 to 8, thresholds in between, no float anywhere.
//!
//! ```no_run
//! use hafnia_data::{Dataset, Split};
//! use hafnia_train::{Event, TrainConfig, TrainError, TrainReport, train};
//!
//! fn deploy(dataset: &Dataset, split: &Split) -> Result<TrainReport, TrainError> {
//!     let mut config = TrainConfig::from_toml("epochs = 12")?; // LeNet-5
//!     config.layer[4].patterns = Some(12);
//!     train(&config, dataset, split, None, &mut |event| {
//!         if let Event::Epoch(record) = event {
//!             println!("{:2} {:.2} %", record.epoch, 100.0 * record.validation_accuracy);
//!         }
//!     })
//! }
//! ```
//!
//! # What is quantised
//!
//! The **forward** pass works on the deployed integers from the first step on: inputs of a few
//! bits, weights that are small whole numbers, activations that count thresholds. They are exact in
//! `f32`, and every run ends by comparing the trainer's outputs with those of the exported network,
//! bit for bit.
//!
//! The **backward** pass is in floats, with a straight-through estimator at each quantiser (the
//! gradient passes where the quantiser is not clamped), and Adam on latent float weights clipped to
//! ±1. With [`Optimiser::Integer`] it is in integers as well: errors, gradients and updates are
//! quantised as in WAGE.
//!
//! Thresholds start as a shift of each layer, set once from the first 1 000 training images and the
//! initial weights: the power of two next to the standard deviation of the sums that reach them, or
//! less with activations of more than 4 bits.
//! A layer may learn an offset and a step of its own for every channel from there.
//!
//! # Networks that branch
//!
//! A layer takes the values of the layer before, or of any that it names ([`LayerConfig::from`]), and
//! may add those of another to its sums ([`LayerConfig::adds`]). An average
//! ([`LayerConfig::average`]) is a sum over windows in the network, which holds no fractions.
//!
//! # What else a recipe can ask for
//!
//! - rows that share patterns ([`LayerConfig::patterns`], [`Tie`]): few distinct rows, which the
//!   mapping stores once;
//! - errors of a macro in the forward pass ([`Noise`]): networks that suffer less from them;
//! - varied images ([`Augmentation`]), running means of the weights ([`Optimiser::Adam`]), a teacher
//!   ([`Teacher`]).
//!
//! What each is worth is measured in `docs/training.md`.
//!
//! # What this crate does not do
//!
//! It does not see test images, print, or fetch data.

mod augment;
mod block;
mod checkpoint;
mod codebook;
mod config;
mod error;
mod export;
mod gradients;
mod images;
mod integer;
mod kernels;
mod loss;
mod net;
mod noise;
mod ops;
mod report;
mod run;
mod shapes;
mod state;
mod stock;
mod teacher;
mod weights;

pub use checkpoint::{CheckpointFolder, remove_checkpoint};
pub use config::{
    Augmentation, Backend, InputConfig, LayerConfig, Loss, Noise, Optimiser, Teacher, Tie,
    TrainConfig,
};
pub use error::TrainError;
pub use report::{EpochRecord, Event, TrainReport};
pub use run::train;
