//! Quantised training on burn's autodiff; the only crate that knows burn.
//!
//! [`train`] takes a recipe ([`TrainConfig`]), a data set and its split, and gives a
//! [`TrainReport`] with the integer [`Network`](hafnia_model::Network): LeNet-5 with weights ±1
//! and a power-of-two shift between layers, no bias, no batch norm.
//!
//! ```no_run
//! use hafnia_data::{Dataset, Split};
//! use hafnia_train::{Event, TrainConfig, TrainError, TrainReport, train};
//!
//! fn deploy(dataset: &Dataset, split: &Split) -> Result<TrainReport, TrainError> {
//!     let config = TrainConfig::from_toml("epochs = 12\nfinal_patterns = 46")?;
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
//! bits, weights ±1, activations clamp(sum >> shift, 0, 2^bits − 1). They are exact in `f32`, and
//! every run ends by comparing the trainer's logits with those of the exported network, bit for
//! bit.
//! The **backward** pass is in floats: burn's derivatives, with a straight-through estimator at
//! each quantiser (the gradient passes where the quantiser is not clamped), Adam on latent float
//! weights clipped to ±1, and a learned scale between logits and cross entropy that is dropped in
//! the end.
//!
//! The shifts are set once, from the first 1 000 training images and the initial weights, as the
//! power of two next to the standard deviation of the sums that reach the thresholds.
//!
//! # What this crate does not do
//!
//! It does not see test images, print, or fetch data. It trains one network, LeNet-5 on 28×28
//! images and 10 classes; others come in through the interchange folder of [`hafnia_model`].

mod augment;
mod block;
mod checkpoint;
mod codebook;
mod config;
mod error;
mod export;
mod integer;
mod kernels;
mod loss;
mod net;
mod noise;
mod ops;
mod plan;
mod run;
mod stock;
mod weights;

pub use checkpoint::remove_checkpoint;
pub use config::{
    Augmentation, Backend, LayerConfig, Loss, Noise, Optimiser, Teacher, Tie, TrainConfig,
};
pub use error::TrainError;
pub use run::{EpochRecord, Event, TrainReport, train};
