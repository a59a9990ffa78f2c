//! The training run: calibration, epochs, export.

use std::path::Path;
use std::time::Instant;

use hafnia_data::{Dataset, Split};
use hafnia_model::{Network, arithmetic};
use hafnia_rng::Seed;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::augment::Affine;
use crate::checkpoint::Keeper;
use crate::lenet::{CLASSES, Gradients, Images, LeNet, PerActivation, SIDE, hits};
use crate::weights::{Adam, Parameters, Weights};
use crate::{TrainConfig, TrainError, export};

/// Images that go through burn together. A batch is always cut like this and its gradients are
/// added in order, so that the number of threads changes nothing; and so few fit a core's cache.
const SHARD: usize = 32;
/// Training images from which the shifts are set.
const CALIBRATION: usize = 1000;

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
    /// A step was made.
    Step {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step in the epoch, counted from 1.
        step: usize,
        /// Steps of the epoch.
        steps: usize,
        /// Mean loss of the step's images, nats.
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
    /// Mean loss over the epoch, nats an image.
    pub loss: f64,
    /// Part of the images, as the epoch varied them, that were right when their turn came, 0 to 1.
    pub train_accuracy: f64,
    /// Part of the validation images that are right after the epoch, 0 to 1.
    pub validation_accuracy: f64,
    /// Wall time, seconds, validation included.
    pub seconds: f64,
}

/// What a run gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// The recipe.
    pub config: TrainConfig,
    /// Activation of layer i: clamp(sum >> shift, 0, 2^bits − 1). One a layer, the last has none.
    pub shifts: Vec<u32>,
    /// The epochs in order; the weights after the last are the network's.
    pub epochs: Vec<EpochRecord>,
    /// The integer network.
    pub network: Network,
    /// Training images a second of wall time, over all epochs.
    pub images_per_second: f64,
}

/// Trains LeNet-5 by a recipe.
///
/// The weights after the last epoch are exported; the exported network is run on all training
/// and validation images and must give the trainer's logits bit for bit. The result depends on the recipe and the
/// images alone: not on the number of threads (rayon's current pool is used), nor on interruptions.
///
/// With a `checkpoint` folder, the state of the run is kept in it after every epoch, and a run
/// that finds its state there goes on from it; a completed one returns at once.
///
/// # Errors
/// If the recipe, the images or a checkpoint do not fit, if the loss is no longer a number, and
/// for two bugs of hafnia's own; see [`TrainError`].
pub fn train(
    config: &TrainConfig,
    dataset: &Dataset,
    split: &Split,
    checkpoint: Option<&Path>,
    observer: &mut dyn FnMut(&Event),
) -> Result<TrainReport, TrainError> {
    config.validate()?;
    check(dataset, split)?;
    let run = Run {
        config,
        dataset,
        split,
        lenet: LeNet::new(config.backend, config.activation_bits),
        seed: Seed(config.seed),
    };
    let keeper = checkpoint.map(|folder| Keeper::new(folder, config, dataset, split));
    let mut state = match keeper.as_ref().map(Keeper::load).transpose()?.flatten() {
        Some(state) => state,
        None => run.start(),
    };
    let (epochs_done, epochs) = (state.epochs.len(), config.epochs);
    observer(&Event::Started { epochs_done, epochs });
    for epoch in epochs_done..epochs {
        run.epoch(epoch, &mut state, observer)?;
        if let Some(keeper) = &keeper {
            keeper.save(&state)?;
        }
        observer(&Event::Epoch(state.epochs[epoch].clone()));
    }

    let network = export::network(config, state.weights.bits(), &state.shifts)?;
    let signs = state.weights.signs();
    for images in [&split.train, &split.validation] {
        export::verify(&network, &run.lenet, &signs, &state.shifts, dataset, images)?;
    }
    let seconds: f64 = state.epochs.iter().map(|epoch| epoch.seconds).sum();
    Ok(TrainReport {
        config: config.clone(),
        shifts: state.shifts.to_vec(),
        images_per_second: (split.train.len() * epochs) as f64 / seconds,
        epochs: state.epochs,
        network,
    })
}

fn check(dataset: &Dataset, split: &Split) -> Result<(), TrainError> {
    let Dataset { rows, columns, .. } = *dataset;
    let name = || dataset.name.clone();
    if (rows, columns) != (SIDE, SIDE) {
        return Err(TrainError::ImageSize { name: name(), rows, columns });
    }
    for (part, indices) in [("training", &split.train), ("validation", &split.validation)] {
        if indices.is_empty() {
            return Err(TrainError::Empty(part));
        }
        for &image in indices {
            let images = dataset.len();
            let Some(&label) = dataset.labels.get(image) else {
                return Err(TrainError::NoImage { image, name: name(), images });
            };
            if usize::from(label) >= CLASSES {
                return Err(TrainError::Label { image, label });
            }
        }
    }
    Ok(())
}

/// All that changes in a run, and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    weights: Weights,
    /// The scale of the logits, in units of 2^-`logit_shift`.
    scale: Parameters,
    logit_shift: u32,
    shifts: PerActivation<u32>,
    epochs: Vec<EpochRecord>,
}

impl State {
    /// The loss sees the logits times this.
    fn logit_unit(&self) -> f32 {
        libm::exp2f(-(self.logit_shift as f32))
    }
}

/// What a run works with.
struct Run<'a> {
    config: &'a TrainConfig,
    dataset: &'a Dataset,
    split: &'a Split,
    lenet: LeNet,
    seed: Seed,
}

impl Run<'_> {
    /// The state before the first step: random weights, and shifts that fit them.
    fn start(&self) -> State {
        let weights = Weights::start(self.config);
        let count = self.split.train.len().min(CALIBRATION);
        let images = self.images(&self.split.train[..count], |image| self.reduced(image));
        let mut shifts = PerActivation::default();
        let logits = self.lenet.calibrate(&weights.signs(), &images, |layer, sums| {
            shifts[layer] = octave(sums);
            shifts[layer]
        });
        let scale = Parameters::new(vec![1.0]);
        State { weights, scale, logit_shift: octave(&logits), shifts, epochs: Vec::new() }
    }

    fn epoch(
        &self,
        epoch: usize,
        state: &mut State,
        observer: &mut dyn FnMut(&Event),
    ) -> Result<(), TrainError> {
        let Self { config, split, .. } = self;
        let start = Instant::now();
        let mut order = split.train.clone();
        order.shuffle(&mut self.seed.site("train/order").index(epoch as u64).rng());
        let steps = order.len().div_ceil(config.batch);
        let (mut loss, mut right, mut learning_rate) = (0.0, 0, 0.0);
        for (step, batch) in order.chunks(config.batch).enumerate() {
            let sum = self.gradients(epoch, state, batch);
            let of_step = sum.loss / batch.len() as f64;
            if !of_step.is_finite() {
                let (epoch, step) = (epoch + 1, step + 1);
                return Err(TrainError::Diverged { epoch, step, loss: of_step });
            }
            loss += sum.loss;
            right += sum.hits;
            let done = epoch * steps + step;
            learning_rate = cosine(config.learning_rate, done, config.epochs * steps);
            let adam = Adam::new(learning_rate, done + 1);
            let per_image = 1.0 / batch.len() as f32;
            state.weights.step(&sum.weights.map(|matrix| scaled(matrix, per_image)), &adam);
            state.scale.step(&[sum.scale * per_image * state.logit_unit()], &adam);
            let (epoch, step) = (epoch + 1, step + 1);
            observer(&Event::Step { epoch, step, steps, loss: of_step });
        }
        state.epochs.push(EpochRecord {
            epoch: epoch + 1,
            learning_rate,
            loss: loss / order.len() as f64,
            train_accuracy: right as f64 / order.len() as f64,
            validation_accuracy: self.accuracy(state, &split.validation),
            seconds: start.elapsed().as_secs_f64(),
        });
        Ok(())
    }

    /// Loss and gradients of a batch, summed over its images.
    fn gradients(&self, epoch: usize, state: &State, batch: &[usize]) -> Gradients {
        let signs = state.weights.signs();
        let scale = state.scale.values[0] * state.logit_unit();
        let draws = self.seed.site("train/augmentation").counter();
        let augmentation = self.config.augmentation_of(epoch);
        let shards: Vec<Gradients> = batch
            .par_chunks(SHARD)
            .map(|shard| {
                let images = self.images(shard, |image| match augmentation {
                    None => self.reduced(image),
                    Some(augmentation) => {
                        let map = Affine::draw(augmentation, &draws, epoch, image);
                        self.reduce(&map.apply(self.dataset.image(image)))
                    }
                });
                self.lenet.gradients(&signs, &state.shifts, scale, &images, &self.labels(shard))
            })
            .collect();
        shards.into_iter().reduce(Gradients::plus).expect("a batch has images")
    }

    /// Part of these images that are classified right.
    fn accuracy(&self, state: &State, images: &[usize]) -> f64 {
        let signs = state.weights.signs();
        let right: usize = images
            .par_chunks(SHARD)
            .map(|shard| {
                let batch = self.images(shard, |image| self.reduced(image));
                hits(&self.lenet.logits(&signs, &state.shifts, &batch), &self.labels(shard))
            })
            .sum();
        right as f64 / images.len() as f64
    }

    fn images(&self, indices: &[usize], mut activations: impl FnMut(usize) -> Vec<u8>) -> Images {
        Images::new(indices.iter().map(|&image| activations(image)))
    }

    fn labels(&self, indices: &[usize]) -> Vec<u8> {
        indices.iter().map(|&image| self.dataset.labels[image]).collect()
    }

    fn reduced(&self, image: usize) -> Vec<u8> {
        self.reduce(self.dataset.image(image))
    }

    fn reduce(&self, pixels: &[u8]) -> Vec<u8> {
        let shift = 8 - self.config.input_bits;
        pixels.iter().map(|&pixel| arithmetic::reduce_pixel(pixel, shift)).collect()
    }
}

impl Gradients {
    fn plus(mut self, other: Self) -> Self {
        self.loss += other.loss;
        self.hits += other.hits;
        self.scale += other.scale;
        for (sum, term) in self.weights.iter_mut().zip(&other.weights) {
            sum.iter_mut().zip(term).for_each(|(sum, term)| *sum += term);
        }
        self
    }
}

fn scaled(mut values: Vec<f32>, factor: f32) -> Vec<f32> {
    values.iter_mut().for_each(|value| *value *= factor);
    values
}

/// The power of two next to the standard deviation: max(0, round(log2 σ)).
fn octave(sums: &[f32]) -> u32 {
    let count = sums.len() as f64;
    let mean = sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() / count;
    let square = sums.iter().map(|&sum| (f64::from(sum) - mean).powi(2)).sum::<f64>() / count;
    libm::round(libm::log2(square) / 2.0).max(0.0) as u32
}

/// Falls from `peak` at step 0 to 0 after `steps`.
fn cosine(peak: f64, step: usize, steps: usize) -> f64 {
    let phase = std::f64::consts::PI * step as f64 / steps as f64;
    peak * (1.0 + libm::cos(phase)) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_that_is_no_number_stops_the_run() {
        let dataset = Dataset {
            name: "black".into(),
            rows: SIDE,
            columns: SIDE,
            images: vec![0; 2 * SIDE * SIDE],
            labels: vec![0, 1],
        };
        let split = Split { train: vec![0], validation: vec![1] };
        let config = TrainConfig::default();
        let run = Run {
            config: &config,
            dataset: &dataset,
            split: &split,
            lenet: LeNet::new(config.backend, config.activation_bits),
            seed: Seed(1),
        };
        let mut state = run.start();
        state.scale = Parameters::new(vec![f32::NAN]);
        let error = run.epoch(2, &mut state, &mut |_| ()).unwrap_err();
        assert_eq!(error.to_string(), "training diverged: the loss is NaN in epoch 3, step 1");
    }

    #[test]
    fn the_octave_is_the_power_of_two_next_to_the_deviation() {
        for (deviation, expected) in [(0.0, 0), (0.6, 0), (5.6, 2), (5.7, 3), (16.0, 4)] {
            assert_eq!(octave(&[7.0 - deviation, 7.0 + deviation]), expected, "{deviation}");
        }
    }

    #[test]
    fn the_rate_falls_to_nothing() {
        assert_eq!(cosine(0.5, 0, 10), 0.5);
        assert!((cosine(0.5, 5, 10) - 0.25).abs() < 1e-15);
        assert_eq!(cosine(0.5, 10, 10), 0.0);
    }
}
