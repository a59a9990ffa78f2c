//! The training run: calibration, epochs, export.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use hafnia_data::{Dataset, Split};
use hafnia_model::{Network, arithmetic};
use hafnia_rng::Seed;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::augment::Warp;
use crate::block;
use crate::checkpoint::Keeper;
use crate::loss::{Judge, Verdict, hits, log_softmax};
use crate::net::{Derivatives, Net, Parameters, PerParameter};
use crate::noise::{Chip, Draws, Errors, Suffered};
use crate::plan::Plan;
use crate::weights::{Adam, Latents};
use crate::{Loss, Optimiser, Teacher, Tie, TrainConfig, TrainError, export, integer};

/// Images that go through burn together. A batch is always cut like this and its gradients are
/// added in order, so that the number of threads changes nothing; and so few fit a core's cache.
const SHARD: usize = 32;
/// Training images from which the shifts are set.
const CALIBRATION: usize = 1000;
/// The draws of chips are those of a layer of this number, which no network has.
const CHIP: usize = 255;
/// Chips on which the accuracy under errors is taken.
const CHIPS: usize = 8;
/// Training images on which the exported network is held against the trainer's.
const VERIFIED: usize = 5000;

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
        /// Part of the validation images that it has right, 0 to 1.
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
    /// Mean loss over the epoch, an image; nats if it is a cross entropy.
    pub loss: f64,
    /// Part of the images, as the epoch varied them, that were right when their turn came, 0 to 1.
    pub train_accuracy: f64,
    /// Part of the validation images that are right after the epoch, 0 to 1.
    pub validation_accuracy: f64,
    /// The same under the errors that the recipe trains for, the mean over 8 chips; none if it
    /// trains for none, and in the first half of the epochs.
    #[serde(default)]
    pub noisy_accuracy: Option<f64>,
    /// Wall time, seconds, validation included.
    pub seconds: f64,
}

/// What a run gives.
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
    /// Training images a second of wall time, over all epochs.
    pub images_per_second: f64,
}

/// Trains the network of a recipe.
///
/// The weights after the epoch that is best on the validation images are exported; the exported
/// network is run on 5 000 training images and all validation images and must give the trainer's
/// outputs bit for bit. The result depends on the recipe and the images alone: not on the number of threads
/// (rayon's current pool is used), nor on interruptions.
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
    let run = Run::new(config, dataset, split)?;
    let keeper = checkpoint.map(|folder| Keeper::new(folder, config, dataset, split));
    let mut state = match keeper.as_ref().map(Keeper::load).transpose()?.flatten() {
        Some(state) => state,
        None => run.start(observer)?,
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

    let best = state.best.as_ref().expect("there was an epoch");
    let averaged = run.is_averaged();
    let network = export::network(&run.plan, &best.latents, averaged, dataset)?;
    let parameters = run.net.parameters(&best.latents.parameters(averaged));
    let some = &split.train[..split.train.len().min(VERIFIED)];
    for images in [some, &split.validation] {
        export::verify(&network, &run.net, &parameters, dataset, images)?;
    }
    let seconds: f64 = state.epochs.iter().map(|epoch| epoch.seconds).sum();
    Ok(TrainReport {
        config: config.clone(),
        shifts: best.latents.shifts(),
        images_per_second: (split.train.len() * epochs) as f64 / seconds,
        best_epoch: best.epoch + 1,
        epochs: state.epochs,
        network,
    })
}

/// All that changes in a run, and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    latents: Latents,
    /// The loss sees the outputs in units of 2^this.
    output_shift: u32,
    /// The teacher, trained.
    teacher: Option<Latents>,
    epochs: Vec<EpochRecord>,
    best: Option<Best>,
}

/// The latents after the best epoch so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Best {
    /// Counted from 0.
    epoch: usize,
    /// What it was chosen by.
    accuracy: f64,
    latents: Latents,
}

/// What a run works with.
struct Run<'a> {
    config: &'a TrainConfig,
    dataset: &'a Dataset,
    split: &'a Split,
    plan: Plan,
    net: Net,
    /// The teacher's layers.
    teacher: Option<(Plan, Net)>,
    errors: Option<Arc<Errors>>,
    /// What the teacher answers to the images as they are: probabilities, (image, class);
    /// worked out when an epoch first asks.
    answers: OnceLock<Vec<f32>>,
    seed: Seed,
}

/// Loss and derivatives of a batch, summed over its images.
struct Gradients {
    verdict: Verdict,
    by_parameters: PerParameter,
    /// By the cuts of the input; all 0 if they are not learned.
    by_cuts: Vec<f32>,
}

impl<'a> Run<'a> {
    fn new(
        config: &'a TrainConfig,
        dataset: &'a Dataset,
        split: &'a Split,
    ) -> Result<Self, TrainError> {
        let plan = Plan::new(config, [dataset.rows, dataset.columns], 1)?;
        check(dataset, split, plan.classes())?;
        let error_bits = match config.optimiser {
            Optimiser::Integer { error_bits, .. } => Some(error_bits),
            Optimiser::Adam { .. } => None,
        };
        let errors = config.noise.as_ref().map(Errors::new).transpose()?.map(Arc::new);
        let net = Net::new(config.backend, &plan, error_bits, errors.as_ref(), false);
        let teacher = match &config.teacher {
            None => None,
            Some(teacher) => {
                let plan = Plan::new(config, [dataset.rows, dataset.columns], teacher.width)?;
                let net = Net::new(config.backend, &plan, None, None, true);
                Some((plan, net))
            }
        };
        let (answers, seed) = (OnceLock::new(), Seed(config.seed));
        Ok(Self { config, dataset, split, plan, net, teacher, errors, answers, seed })
    }

    /// Whether the network is that of the running means.
    fn is_averaged(&self) -> bool {
        match self.config.optimiser {
            Optimiser::Adam { average, .. } => average > 0.0,
            Optimiser::Integer { average_shift, .. } => average_shift > 0,
        }
    }

    /// The state before the first step: random weights, shifts that fit them, a trained teacher.
    fn start(&self, observer: &mut dyn FnMut(&Event)) -> Result<State, TrainError> {
        let mut latents = Latents::start(&self.plan, self.seed.site("train/start"));
        if let Optimiser::Integer { gradient_bits, .. } = self.config.optimiser {
            latents.onto_grid(gradient_bits);
        }
        let count = self.split.train.len().min(CALIBRATION);
        let output_shift = self.calibrate(&mut latents, &self.split.train[..count]);
        if self.is_averaged() {
            latents.start_averages();
        }
        let teacher = match &self.config.teacher {
            None => None,
            Some(teacher) => Some(self.teach(teacher, observer)?),
        };
        Ok(State { latents, output_shift, teacher, epochs: Vec::new(), best: None })
    }

    /// Sets the shift of every layer that has one to the power of two next to the standard
    /// deviation of the sums that reach its thresholds, and gives that of the outputs.
    fn calibrate(&self, latents: &mut Latents, images: &[usize]) -> u32 {
        let cuts = latents.cuts(false);
        let (mut activations, nothing) = (self.shard(images, &cuts), Suffered::default());
        for (layer, spec) in self.net.specs().iter().enumerate() {
            let PerParameter { weights, slopes } = latents.parameters(false);
            let weights = &weights[layer];
            // Only the last layer has no thresholds.
            let Some(slopes) = slopes.get(layer) else {
                return octave(&block::forward(spec, &activations, weights, &[], &nothing).output);
            };
            let sums = block::forward(spec, &activations, weights, slopes, &nothing).sums;
            latents.set_shift(layer, octave(&sums.largest));
            let slopes = &latents.parameters(false).slopes[layer];
            activations = block::forward(spec, &activations, weights, slopes, &nothing).output;
        }
        unreachable!("the last layer has no activation")
    }

    fn epoch(
        &self,
        epoch: usize,
        state: &mut State,
        observer: &mut dyn FnMut(&Event),
    ) -> Result<(), TrainError> {
        let Self { config, split, .. } = self;
        let start = Instant::now();
        let is_gathered = self.gather(epoch, state);
        for (layer, block) in self.plan.blocks.iter().enumerate() {
            if block.config.frozen_from == Some(epoch + 1) {
                state.latents.freeze(layer);
            }
        }
        let mut order = split.train.clone();
        order.shuffle(&mut self.seed.site("train/order").index(epoch as u64).rng());
        let steps = order.len().div_ceil(config.batch);
        let (mut loss, mut right, mut rate) = (0.0, 0, 0.0);
        for (step, batch) in order.chunks(config.batch).enumerate() {
            let sum = self.gradients(epoch, state, batch);
            let of_step = sum.verdict.loss / batch.len() as f64;
            // A loss that is no number comes from the outputs.
            let broken = match of_step.is_finite() {
                true => Latents::broken(&sum.by_parameters),
                false => Some(self.plan.blocks.len() - 1),
            };
            if let Some(layer) = broken {
                let layer = self.plan.blocks[layer].config.name.clone();
                let (epoch, step) = (epoch + 1, step + 1);
                return Err(TrainError::Diverged { epoch, step, loss: of_step, layer });
            }
            loss += sum.verdict.loss;
            right += sum.verdict.hits;
            rate = self.step(epoch * steps + step, steps, state, sum, batch.len());
            let (epoch, step) = (epoch + 1, step + 1);
            observer(&Event::Step { epoch, step, steps, loss: of_step });
        }
        let validation_accuracy = self.accuracy(state, &split.validation);
        // The first half of a training for errors is far from the best: what it loses to them, which
        // takes as long as a third of an epoch, is not asked.
        let is_judged = self.errors.is_none() || 2 * (epoch + 1) > config.epochs;
        let noisy_accuracy =
            if is_judged { self.noisy_accuracy(state, &split.validation) } else { None };
        let accuracy = noisy_accuracy.unwrap_or(validation_accuracy);
        let is_best = state.best.as_ref().is_none_or(|best| accuracy >= best.accuracy);
        if is_gathered && is_judged && is_best {
            let latents = state.latents.clone();
            state.best = Some(Best { epoch, accuracy, latents });
        }
        state.epochs.push(EpochRecord {
            epoch: epoch + 1,
            learning_rate: rate,
            loss: loss / order.len() as f64,
            train_accuracy: right as f64 / order.len() as f64,
            validation_accuracy,
            noisy_accuracy,
            seconds: start.elapsed().as_secs_f64(),
        });
        Ok(())
    }

    /// Gathers the rows of layers that learn their ties, when it is time; gives whether no layer
    /// still waits for it.
    fn gather(&self, epoch: usize, state: &mut State) -> bool {
        let at = self.config.epochs / 3;
        let mut is_done = true;
        for (layer, block) in self.plan.blocks.iter().enumerate() {
            let (Tie::Learned, Some(patterns)) = (block.config.tie, block.config.patterns) else {
                continue;
            };
            is_done &= epoch >= at;
            if epoch == at {
                let seed = self.seed.site("train/gather").index(layer as u64);
                state.latents.gather(layer, patterns, seed);
            }
        }
        is_done
    }

    /// Makes step `done`, counted from 0 over the run, and gives its rate.
    fn step(
        &self,
        done: usize,
        steps: usize,
        state: &mut State,
        sum: Gradients,
        images: usize,
    ) -> f64 {
        let Gradients { verdict, mut by_parameters, mut by_cuts } = sum;
        match self.config.optimiser {
            Optimiser::Adam { learning_rate, average } => {
                let rate = cosine(learning_rate, done, self.config.epochs * steps);
                let adam = Adam::new(rate, done + 1);
                let per_image = 1.0 / images as f32;
                let all = by_parameters.weights.iter_mut().chain(&mut by_parameters.slopes);
                all.flatten().chain(&mut by_cuts).for_each(|value| *value *= per_image);
                state.latents.step_cuts(&by_cuts, &adam);
                state.latents.step(&by_parameters, verdict.by_scale * per_image, &adam);
                if average > 0.0 {
                    state.latents.average(average as f32);
                }
                rate
            }
            Optimiser::Integer {
                learning_rate, halvings, gradient_bits, average_shift, ..
            } => {
                let halved = halvings.iter().filter(|&&epoch| done / steps + 1 >= epoch).count();
                let rate = learning_rate / f64::from(1u32 << halved);
                let rule = integer::Rule {
                    bits: gradient_bits,
                    rate: rate as f32,
                    draws: &self.seed.site("train/rounding").counter(),
                    step: done as u32,
                };
                state.latents.integer_step(&by_parameters, &rule);
                if average_shift > 0 {
                    state.latents.average_integers(average_shift);
                }
                rate
            }
        }
    }

    /// Loss and derivatives of a batch, summed over its images.
    fn gradients(&self, epoch: usize, state: &State, batch: &[usize]) -> Gradients {
        let parameters = self.net.parameters(&state.latents.parameters(false));
        let unit = libm::exp2f(-(state.output_shift as f32));
        let cuts = state.latents.cuts(false);
        let teacher = state.teacher.as_ref().zip(self.config.teacher.as_ref());
        let teacher = teacher.map(|(latents, config)| Taught::new(self, latents, config));
        let is_varied = self.config.augmentation_of(epoch).is_some();
        self.sum(batch, |number, shard| {
            let pixels = self.pixels(shard, Some(epoch));
            let answers = teacher.as_ref().map(|teacher| {
                let answers = match is_varied {
                    true => teacher.answers(&pixels),
                    false => teacher.answers_to(self, shard),
                };
                (answers, teacher.config.weight as f32)
            });
            let judge = Judge {
                loss: self.config.loss,
                unit,
                scale: state.latents.scale() * unit,
                teacher: answers.as_ref().map(|(answers, weight)| (&answers[..], *weight)),
            };
            let images = Images { pixels: &pixels, cuts: &cuts, labels: self.labels(shard) };
            // Two shards share a chip, the second one in reverse; the draws of the first of their
            // images are also those of the chip.
            let first = &batch[number / 2 * 2 * SHARD];
            let of_chip = self.draws(epoch, std::slice::from_ref(first));
            let (Some(errors), &[of_chip]) = (&self.errors, &of_chip[..]) else {
                let nothing = Arc::default();
                return judged(&self.net, &parameters, &images, &nothing, judge);
            };
            let chip = Chip { draws: of_chip.of_layer(CHIP), is_reversed: number % 2 == 1 };
            let (on_chip, deviations) = state.latents.parameters_on(errors, chip, false);
            let on_chip = self.net.parameters(&on_chip);
            let suffered = Arc::new(Suffered { draws: self.draws(epoch, shard), deviations });
            let mut gradients = judged(&self.net, &on_chip, &images, &suffered, judge);
            let by_weights = &mut gradients.by_parameters.weights;
            state.latents.through_chip(by_weights, errors, chip);
            gradients
        })
    }

    /// The draws of the errors that images suffer in an epoch; none if they suffer none.
    fn draws(&self, epoch: usize, images: &[usize]) -> Vec<Draws> {
        match &self.config.noise {
            Some(noise) if epoch + 1 >= noise.from_epoch => {
                let draws = self.seed.site("train/noise").counter();
                let draw = |&image: &usize| {
                    let [low, high, ..] = draws.block([epoch as u32, image as u32, 0, 0]);
                    Draws(u64::from(high) << 32 | u64::from(low))
                };
                images.iter().map(draw).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The sum over a batch's shards, in their order; they are numbered.
    fn sum(
        &self,
        batch: &[usize],
        of_shard: impl Fn(usize, &[usize]) -> Gradients + Send + Sync,
    ) -> Gradients {
        let shards = batch.par_chunks(SHARD).enumerate();
        let shards: Vec<Gradients> = shards.map(|(i, shard)| of_shard(i, shard)).collect();
        shards.into_iter().reduce(Gradients::plus).expect("a batch has images")
    }

    /// Part of these images that are classified right.
    fn accuracy(&self, state: &State, images: &[usize]) -> f64 {
        let averaged = self.is_averaged();
        let parameters = self.net.parameters(&state.latents.parameters(averaged));
        let cuts = state.latents.cuts(averaged);
        let right: usize = images
            .par_chunks(SHARD)
            .map(|shard| {
                hits(&self.net.outputs(&parameters, self.shard(shard, &cuts)), &self.labels(shard))
            })
            .sum();
        right as f64 / images.len() as f64
    }

    /// Part of these images that are classified right under errors, the same ones in all epochs;
    /// none if the recipe trains for none.
    fn noisy_accuracy(&self, state: &State, images: &[usize]) -> Option<f64> {
        let errors = self.errors.as_ref()?;
        let draws = self.seed.site("train/noise/validation").counter();
        let draw = |chip: usize, image: &usize| {
            let [low, high, ..] = draws.block([chip as u32, *image as u32, 0, 0]);
            Draws(u64::from(high) << 32 | u64::from(low))
        };
        let averaged = self.is_averaged();
        let cuts = state.latents.cuts(averaged);
        let on_chip = |chip: usize| {
            let of_chip = Chip { draws: draw(chip / 2, &usize::MAX), is_reversed: chip % 2 == 1 };
            let (on_chip, deviations) = state.latents.parameters_on(errors, of_chip, averaged);
            let parameters = self.net.parameters(&on_chip);
            let right = images.par_chunks(SHARD).map(|shard| {
                let draws = shard.iter().map(|image| draw(chip, image)).collect();
                let suffered = Arc::new(Suffered { draws, deviations: deviations.clone() });
                let images = self.shard(shard, &cuts);
                let outputs = self.net.outputs_under(&parameters, images, &suffered);
                hits(&outputs, &self.labels(shard))
            });
            right.sum::<usize>()
        };
        let right: usize = (0..CHIPS).map(on_chip).sum();
        Some(right as f64 / (CHIPS * images.len()) as f64)
    }

    /// Trains the teacher, on images of all 8 bits.
    fn teach(
        &self,
        teacher: &Teacher,
        observer: &mut dyn FnMut(&Event),
    ) -> Result<Latents, TrainError> {
        let (plan, net) = self.teacher.as_ref().expect("the recipe has a teacher");
        let mut latents = Latents::teacher(plan, self.seed.site("train/teacher"));
        let steps = self.split.train.len().div_ceil(self.config.batch);
        for epoch in 0..teacher.epochs {
            let mut order = self.split.train.clone();
            order.shuffle(&mut self.seed.site("train/teacher/order").index(epoch as u64).rng());
            for (step, batch) in order.chunks(self.config.batch).enumerate() {
                let parameters = net.parameters(&latents.parameters(false));
                let judge =
                    Judge { loss: Loss::CrossEntropy, unit: 1.0, scale: 1.0, teacher: None };
                let Gradients { mut by_parameters, .. } = self.sum(batch, |_, shard| {
                    let pixels = self.pixels(shard, Some(epoch));
                    let labels = self.labels(shard);
                    let mut verdict = Verdict::default();
                    let derivatives =
                        net.gradients(&parameters, whole(&pixels), &Arc::default(), |outputs| {
                            verdict = judge.verdict(outputs, &labels);
                            std::mem::take(&mut verdict.by_outputs)
                        });
                    let by_parameters = derivatives.by_parameters;
                    Gradients { verdict, by_parameters, by_cuts: Vec::new() }
                });
                let all = by_parameters.weights.iter_mut().chain(&mut by_parameters.slopes);
                all.flatten().for_each(|value| *value /= batch.len() as f32);
                let done = epoch * steps + step;
                let rate = cosine(teacher.learning_rate, done, teacher.epochs * steps);
                latents.step(&by_parameters, 0.0, &Adam::new(rate, done + 1));
            }
            let parameters = net.parameters(&latents.parameters(false));
            let right: usize = (self.split.validation.par_chunks(SHARD))
                .map(|shard| {
                    let outputs = net.outputs(&parameters, whole(&self.pixels(shard, None)));
                    hits(&outputs, &self.labels(shard))
                })
                .sum();
            observer(&Event::Teacher {
                epoch: epoch + 1,
                epochs: teacher.epochs,
                validation_accuracy: right as f64 / self.split.validation.len() as f64,
            });
        }
        Ok(latents)
    }

    /// Images as an epoch varies them, or as they are.
    fn pixels(&self, images: &[usize], epoch: Option<usize>) -> Vec<u8> {
        let augmentation =
            epoch.and_then(|epoch| Some((epoch, self.config.augmentation_of(epoch)?)));
        let Dataset { rows, columns, .. } = *self.dataset;
        let mut pixels = Vec::with_capacity(images.len() * rows * columns);
        let draws = self.seed.site("train/augmentation").counter();
        for &image in images {
            let original = self.dataset.image(image);
            match augmentation {
                None => pixels.extend_from_slice(original),
                Some((epoch, augmentation)) => {
                    let warp = Warp::draw(augmentation, [rows, columns], &draws, epoch, image);
                    warp.apply(original, &mut pixels);
                }
            }
        }
        pixels
    }

    /// Images as they are, as the network takes them.
    fn shard(&self, images: &[usize], cuts: &[u8]) -> Vec<f32> {
        reduce(&self.pixels(images, None), cuts)
    }

    fn labels(&self, indices: &[usize]) -> Vec<u8> {
        indices.iter().map(|&image| self.dataset.labels[image]).collect()
    }
}

/// A trained teacher.
struct Taught<'a> {
    net: &'a Net,
    parameters: Parameters,
    config: &'a Teacher,
    classes: usize,
}

impl<'a> Taught<'a> {
    fn new(run: &'a Run<'_>, latents: &Latents, config: &'a Teacher) -> Self {
        let (_, net) = run.teacher.as_ref().expect("the recipe has a teacher");
        let parameters = net.parameters(&latents.parameters(false));
        Self { net, parameters, config, classes: run.plan.classes() }
    }

    /// Its answers to these pixels: probabilities, (image, class).
    fn answers(&self, pixels: &[u8]) -> Vec<f32> {
        let outputs = self.net.outputs(&self.parameters, whole(pixels));
        let per = 1.0 / self.config.temperature as f32;
        let likelihoods = outputs.chunks(self.classes);
        likelihoods.flat_map(|outputs| log_softmax(outputs, per)).map(libm::expf).collect()
    }

    /// Its answers to training images as they are, the same ones in every epoch.
    fn answers_to(&self, run: &Run<'_>, images: &[usize]) -> Vec<f32> {
        let all = run.answers.get_or_init(|| {
            let all: Vec<usize> = (0..run.dataset.len()).collect();
            let shards = all.chunks(SHARD);
            shards.flat_map(|shard| self.answers(&run.pixels(shard, None))).collect()
        });
        let of_image = |&image: &usize| &all[image * self.classes..(image + 1) * self.classes];
        images.iter().flat_map(of_image).copied().collect()
    }
}

/// Images of a shard, with the cuts by which the network takes them.
struct Images<'a> {
    pixels: &'a [u8],
    cuts: &'a [u8],
    labels: Vec<u8>,
}

/// Loss and derivatives of images that suffer these errors.
fn judged(
    net: &Net,
    parameters: &Parameters,
    images: &Images<'_>,
    suffered: &Arc<Suffered>,
    judge: Judge<'_>,
) -> Gradients {
    let mut verdict = Verdict::default();
    let activations = reduce(images.pixels, images.cuts);
    let Derivatives { by_parameters, by_images } =
        net.gradients(parameters, activations, suffered, |outputs| {
            verdict = judge.verdict(outputs, &images.labels);
            std::mem::take(&mut verdict.by_outputs)
        });
    let by_cuts = match by_images {
        Some(by_images) => by_cuts(images, &by_images),
        None => vec![0.0; images.cuts.len()],
    };
    Gradients { verdict, by_parameters, by_cuts }
}

/// Pixels as activations.
fn reduce(pixels: &[u8], cuts: &[u8]) -> Vec<f32> {
    arithmetic::reduce_pixels(pixels, cuts).into_iter().map(f32::from).collect()
}

/// Derivatives by the cuts from those by the activations: a cut that rises takes 1 from the pixels
/// that it passes, as if the step there were a slope as wide as the way to the next cuts.
fn by_cuts(images: &Images<'_>, by_images: &[f32]) -> Vec<f32> {
    let Images { pixels, cuts, .. } = *images;
    let at = |index: usize| f32::from(cuts[index]);
    let slope = |index: usize| {
        let from = if index == 0 { 0.0 } else { at(index - 1) };
        let to = if index + 1 == cuts.len() { 256.0 } else { at(index + 1) };
        ((from + at(index)) / 2.0, (at(index) + to) / 2.0)
    };
    let mut by_cuts = Vec::with_capacity(cuts.len());
    for (from, to) in (0..cuts.len()).map(slope) {
        let is_near = |&(&pixel, _): &(&u8, &f32)| (from..to).contains(&f32::from(pixel));
        let sum: f32 = pixels.iter().zip(by_images).filter(is_near).map(|(_, by)| by).sum();
        by_cuts.push(-sum / (to - from));
    }
    by_cuts
}

/// Images as the teacher takes them, 0 to 1.
fn whole(pixels: &[u8]) -> Vec<f32> {
    pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect()
}

fn check(dataset: &Dataset, split: &Split, classes: usize) -> Result<(), TrainError> {
    let name = || dataset.name.clone();
    for (part, indices) in [("training", &split.train), ("validation", &split.validation)] {
        if indices.is_empty() {
            return Err(TrainError::Empty(part));
        }
        for &image in indices {
            let images = dataset.len();
            let Some(&label) = dataset.labels.get(image) else {
                return Err(TrainError::NoImage { image, name: name(), images });
            };
            if usize::from(label) >= classes {
                return Err(TrainError::Label { image, label, classes });
            }
        }
    }
    Ok(())
}

impl Gradients {
    fn plus(mut self, other: Self) -> Self {
        self.verdict.loss += other.verdict.loss;
        self.verdict.hits += other.verdict.hits;
        self.verdict.by_scale += other.verdict.by_scale;
        self.by_cuts.iter_mut().zip(other.by_cuts).for_each(|(sum, term)| *sum += term);
        let sums = self.by_parameters.weights.iter_mut().chain(&mut self.by_parameters.slopes);
        let terms = other.by_parameters.weights.iter().chain(&other.by_parameters.slopes);
        for (sum, term) in sums.zip(terms) {
            sum.iter_mut().zip(term).for_each(|(sum, term)| *sum += term);
        }
        self
    }
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
            rows: 28,
            columns: 28,
            images: vec![0; 2 * 28 * 28],
            labels: vec![0, 1],
        };
        let split = Split { train: vec![0], validation: vec![1] };
        let config = TrainConfig::default();
        let run = Run::new(&config, &dataset, &split).unwrap();
        let mut state = run.start(&mut |_| ()).unwrap();
        state.latents.break_scale();
        let error = run.epoch(2, &mut state, &mut |_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "training diverged: the loss is NaN in epoch 3, step 1, from layer `fc3` on"
        );
    }

    /// A cut that rises takes activation from the pixels that it passes: those nearer to it than to
    /// the next cuts count, over the width of that range.
    #[test]
    fn derivatives_by_cuts_are_those_of_the_pixels_near_them() {
        let cuts = [100, 200];
        let pixels = [0, 49, 50, 149, 150, 227, 228];
        let images = Images { pixels: &pixels, cuts: &cuts, labels: vec![0] };
        let by_images = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
        // Of cut 100 that is 50..150, of cut 200 it is 150..228.
        assert_eq!(by_cuts(&images, &by_images), [-12.0 / 100.0, -48.0 / 78.0]);
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
