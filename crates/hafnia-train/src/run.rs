//! The training run: calibration, epochs, export.

use std::sync::Arc;
use std::time::Instant;

use hafnia_data::{Dataset, Split};
use hafnia_rng::Seed;
use rand::seq::SliceRandom;

use crate::block::{self, Activation};
use crate::checkpoint::{CheckpointFolder, CheckpointStore};
use crate::config::{Optimiser, Tie, TrainConfig};
use crate::error::TrainError;
use crate::export;
use crate::gradients::{Gradients, Reduced};
use crate::images::{CALIBRATION, Images, SHARD};
use crate::integer;
use crate::loss::Judge;
use crate::net::{Net, PerParameter};
use crate::noise::{CHIP, Chip, Errors, Suffered, draws_at};
use crate::report::{EpochRecord, Event, TrainReport};
use crate::shapes::LayerShapes;
use crate::state::{Best, State};
use crate::teacher::TeacherNet;
use crate::weights::{Adam, Latents, cosine};

/// Chips on which the accuracy under errors is taken.
const CHIPS: usize = 8;
/// Training images on which the exported network is held against the trainer's.
const VERIFIED: usize = 5000;

/// Trains the network of a recipe.
///
/// The weights after the epoch that is best on the validation images are exported; the exported
/// network is run on 5 000 training images and all validation images and must give the trainer's
/// outputs bit for bit. The result depends on the recipe and the images alone: not on the number of
/// threads (rayon's current pool is used), nor on interruptions.
///
/// With a `checkpoint` folder, the state of the run is kept in it after every epoch, and a run
/// that finds its state there goes on from it; a completed one returns at once.
///
/// # Errors
/// If the recipe, the images or a checkpoint do not fit, if the loss is NaN or infinite, and
/// for two bugs of hafnia's own; see [`TrainError`].
pub fn train(
    config: &TrainConfig,
    dataset: &Dataset,
    split: &Split,
    checkpoint: Option<CheckpointFolder<'_>>,
    observer: &mut dyn FnMut(&Event),
) -> Result<TrainReport, TrainError> {
    config.validate()?;
    let run = Run::new(config, dataset, split)?;
    let errors = run.errors.as_deref();
    let store = checkpoint.map(|kept| CheckpointStore::new(kept, config, errors, dataset, split));
    let check = |state: &State| {
        let teacher = run.teacher.as_ref().map(TeacherNet::shapes);
        state.check(config.epochs, run.is_averaged(), &run.shapes, teacher)
    };
    let mut state = match store.as_ref().map(|store| store.load(check)).transpose()?.flatten() {
        Some(state) => state,
        None => run.start(observer),
    };
    let (epochs_done, epochs) = (state.epochs.len(), config.epochs);
    observer(&Event::Started { epochs_done, epochs });
    for epoch in epochs_done..epochs {
        run.epoch(epoch, &mut state, observer)?;
        if let Some(store) = &store {
            store.save(&state)?;
        }
        observer(&Event::Epoch(state.epochs[epoch].clone()));
    }

    let best = state.best.as_ref().expect("there was an epoch");
    let averaged = run.is_averaged();
    let network = export::network(&run.shapes, &best.latents, averaged, dataset)?;
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

/// What a run works with.
struct Run<'a> {
    config: &'a TrainConfig,
    images: Images<'a>,
    shapes: LayerShapes,
    net: Net,
    teacher: Option<TeacherNet<'a>>,
    errors: Option<Arc<Errors>>,
    seed: Seed,
}

impl<'a> Run<'a> {
    fn new(
        config: &'a TrainConfig,
        dataset: &'a Dataset,
        split: &'a Split,
    ) -> Result<Self, TrainError> {
        let shapes = LayerShapes::new(config, dataset.shape, 1)?;
        shapes.check_size(config.batch)?;
        // What the trained layers must be to make a network is known before they are trained.
        let untrained = Latents::start(&shapes, Seed(config.seed));
        let network = export::network(&shapes, &untrained, false, dataset);
        network.map_err(|error| match error {
            TrainError::Shape(error) => TrainError::Conflict(error.to_string()),
            other => other,
        })?;
        let images = Images::new(config, dataset, split, shapes.classes())?;
        let error_bits = match config.optimiser {
            Optimiser::Integer { error_bits, .. } => Some(error_bits),
            Optimiser::Adam { .. } => None,
        };
        let errors = config.noise.as_ref().map(Errors::new).transpose()?.map(Arc::new);
        let net = Net::new(config.backend, &shapes, error_bits, errors.as_ref(), false);
        let teacher = config.teacher.as_ref().map(|teacher| TeacherNet::new(teacher, images));
        let (teacher, seed) = (teacher.transpose()?, Seed(config.seed));
        Ok(Self { config, images, shapes, net, teacher, errors, seed })
    }

    /// Whether the network is that of the running means.
    fn is_averaged(&self) -> bool {
        match self.config.optimiser {
            Optimiser::Adam { average, .. } => average > 0.0,
            Optimiser::Integer { average_shift, .. } => average_shift > 0,
        }
    }

    /// The state before the first step: random weights, shifts that fit them, a trained teacher.
    fn start(&self, observer: &mut dyn FnMut(&Event)) -> State {
        let mut latents = Latents::start(&self.shapes, self.seed.site("train/start"));
        if let Optimiser::Integer { gradient_bits, .. } = self.config.optimiser {
            latents.onto_grid(gradient_bits);
        }
        let train = &self.images.split.train;
        let output_shift = self.calibrate(&mut latents, &train[..train.len().min(CALIBRATION)]);
        if self.is_averaged() {
            latents.start_averages();
        }
        let teacher = self.teacher.as_ref().map(|teacher| teacher.train(observer));
        State { latents, output_shift, teacher, epochs: Vec::new(), best: None }
    }

    /// Sets the shift of every layer with thresholds by the sums that reach them, and returns that of
    /// the outputs.
    fn calibrate(&self, latents: &mut Latents, images: &[usize]) -> u32 {
        let (cuts, nothing) = (latents.cuts(false), Suffered::default());
        let mut values = vec![self.images.activations(images, &cuts)];
        for (layer, spec) in self.net.specs().iter().enumerate() {
            let forward = |latents: &Latents| {
                let PerParameter { weights, slopes } = latents.parameters(false);
                let added = spec.adds.map_or(&[][..], |added| &values[added.value]);
                let input = &values[spec.from];
                block::forward(spec, input, added, &weights[layer], &slopes[layer], &nothing)
            };
            let mut passed = forward(latents);
            if let Activation::Quantise { top } = spec.activation {
                latents.set_shift(layer, shift(&passed.sums.largest, top));
                passed = forward(latents);
            }
            values.push(passed.output);
            // What no later layer takes is dropped.
            let later = &self.net.specs()[layer + 1..];
            for (value, numbers) in values.iter_mut().enumerate().take(layer + 1) {
                if !later.iter().any(|spec| spec.takes(value)) {
                    *numbers = Vec::new();
                }
            }
        }
        octave(&values.pop().expect("the image, at least"))
    }

    fn epoch(
        &self,
        epoch: usize,
        state: &mut State,
        observer: &mut dyn FnMut(&Event),
    ) -> Result<(), TrainError> {
        let Self { config, images: Images { split, .. }, .. } = self;
        let start = Instant::now();
        let is_gathered = self.gather(epoch, state);
        for (layer, block) in self.shapes.blocks.iter().enumerate() {
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
                false => Some(self.shapes.blocks.len() - 1),
            };
            if let Some(layer) = broken {
                let layer = self.shapes.blocks[layer].config.name.clone();
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

    /// Gathers the rows of layers that learn their ties, when it is time; returns whether no layer
    /// still waits for it.
    fn gather(&self, epoch: usize, state: &mut State) -> bool {
        let at = self.config.epochs / 3;
        let mut is_done = true;
        for (layer, block) in self.shapes.blocks.iter().enumerate() {
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

    /// Makes step `done`, counted from 0 over the run, and returns its rate.
    fn step(
        &self,
        done: usize,
        steps: usize,
        state: &mut State,
        mut sum: Gradients,
        images: usize,
    ) -> f64 {
        match self.config.optimiser {
            Optimiser::Adam { learning_rate, average } => {
                let rate = cosine(learning_rate, done, self.config.epochs * steps);
                let adam = Adam::new(rate, done + 1);
                let per_image = 1.0 / images as f32;
                sum.derivatives().flatten().for_each(|value| *value *= per_image);
                state.latents.step_cuts(&sum.by_cuts, &adam);
                let by_scale = sum.verdict.by_scale * per_image;
                state.latents.step(&sum.by_parameters, by_scale, &adam);
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
                state.latents.integer_step(&sum.by_parameters, &rule);
                if average_shift > 0 {
                    state.latents.average_integers(average_shift);
                }
                rate
            }
        }
    }

    /// Loss and derivatives of a batch, summed over its images.
    fn gradients(&self, epoch: usize, state: &State, batch: &[usize]) -> Gradients {
        let Self { config, images, net, .. } = self;
        let parameters = net.parameters(&state.latents.parameters(false));
        let unit = libm::exp2f(-(state.output_shift as f32));
        let cuts = state.latents.cuts(false);
        let teacher = self.teacher.as_ref().zip(state.teacher.as_ref());
        let teacher = teacher.map(|(teacher, latents)| (teacher, teacher.parameters(latents)));
        let is_varied = config.augmentation_of(epoch).is_some();
        Gradients::of_batch(batch, |number, shard| {
            let pixels = images.pixels(shard, Some(epoch));
            let answers = teacher.as_ref().map(|(teacher, parameters)| {
                let answers = match is_varied {
                    true => teacher.answers(parameters, &pixels),
                    false => teacher.answers_to(parameters, shard),
                };
                (answers, teacher.config.weight as f32)
            });
            let judge = Judge {
                loss: config.loss,
                unit,
                scale: state.latents.scale() * unit,
                teacher: answers.as_ref().map(|(answers, weight)| (&answers[..], *weight)),
            };
            let labels = images.labels(shard);
            let reduced = Reduced { pixels: &pixels, cuts: &cuts, labels: &labels };
            let (Some(errors), true) = (&self.errors, self.suffers_errors(epoch)) else {
                return Gradients::of_images(net, &parameters, reduced, &Arc::default(), judge);
            };
            // Two shards share a chip, the second one in reverse; the draws of the first of their
            // images are also those of the chip.
            let draws = self.seed.site("train/noise").counter();
            let draws = |image: usize| draws_at(&draws, [epoch as u32, image as u32]);
            let of_chip = draws(batch[number / 2 * 2 * SHARD]).stream(CHIP);
            let chip = Chip { draws: of_chip, is_reversed: number % 2 == 1 };
            let (on_chip, deviations) = state.latents.parameters_on(errors, chip, false);
            let on_chip = net.parameters(&on_chip);
            let draws = shard.iter().map(|&image| draws(image)).collect();
            let suffered = Arc::new(Suffered { draws, deviations });
            let mut gradients = Gradients::of_images(net, &on_chip, reduced, &suffered, judge);
            let by_weights = &mut gradients.by_parameters.weights;
            state.latents.through_chip(by_weights, errors, chip);
            gradients
        })
    }

    /// Whether images suffer errors in an epoch.
    fn suffers_errors(&self, epoch: usize) -> bool {
        self.config.noise.as_ref().is_some_and(|noise| epoch + 1 >= noise.from_epoch)
    }

    /// The share of these images that are classified right.
    fn accuracy(&self, state: &State, images: &[usize]) -> f64 {
        let averaged = self.is_averaged();
        let parameters = self.net.parameters(&state.latents.parameters(averaged));
        let cuts = state.latents.cuts(averaged);
        let right = self.images.hits(images, |shard| {
            self.net.outputs(&parameters, self.images.activations(shard, &cuts))
        });
        right as f64 / images.len() as f64
    }

    /// The share of these images that are classified right under errors, the same ones in all
    /// epochs; none if the recipe trains for none.
    fn noisy_accuracy(&self, state: &State, images: &[usize]) -> Option<f64> {
        let errors = self.errors.as_ref()?;
        let draws = self.seed.site("train/noise/validation").counter();
        let draws = |chip: usize, image: usize| draws_at(&draws, [chip as u32, image as u32]);
        let averaged = self.is_averaged();
        let cuts = state.latents.cuts(averaged);
        let on_chip = |number: usize| {
            let of_chip = draws(number / 2, usize::MAX);
            let chip = Chip { draws: of_chip, is_reversed: number % 2 == 1 };
            let (on_chip, deviations) = state.latents.parameters_on(errors, chip, averaged);
            let parameters = self.net.parameters(&on_chip);
            self.images.hits(images, |shard| {
                let draws = shard.iter().map(|&image| draws(number, image)).collect();
                let suffered = Arc::new(Suffered { draws, deviations: deviations.clone() });
                let activations = self.images.activations(shard, &cuts);
                self.net.outputs_under(&parameters, activations, &suffered)
            })
        };
        let right: usize = (0..CHIPS).map(on_chip).sum();
        Some(right as f64 / (CHIPS * images.len()) as f64)
    }
}

/// The shift of so many thresholds of sums: they are as far apart as the power of two next to the
/// standard deviation, but with more bits than 4 as much nearer as there are more of them.
fn shift(sums: &[f32], top: usize) -> u32 {
    let bits = (top + 1).ilog2();
    octave(sums).saturating_sub(bits.saturating_sub(4))
}

/// The power of two next to the standard deviation: max(0, round(log2 σ)).
fn octave(sums: &[f32]) -> u32 {
    let count = sums.len() as f64;
    let mean = sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() / count;
    let square = sums.iter().map(|&sum| (f64::from(sum) - mean).powi(2)).sum::<f64>() / count;
    libm::round(libm::log2(square) / 2.0).max(0.0) as u32
}

#[cfg(test)]
mod tests {
    use hafnia_data::Samples;

    use super::*;

    /// Two black images, one to train on.
    fn black() -> (Dataset, Split) {
        let dataset = Dataset {
            name: "black".into(),
            shape: [1, 28, 28],
            images: Samples::U8(vec![0; 2 * 28 * 28]),
            labels: Some(vec![0, 1]),
            targets: None,
        };
        (dataset, Split { train: vec![0], validation: vec![1] })
    }

    #[test]
    fn a_loss_that_is_no_number_stops_the_run() {
        let (dataset, split) = black();
        let config = TrainConfig::default();
        let run = Run::new(&config, &dataset, &split).unwrap();
        let mut state = run.start(&mut |_| ());
        state.latents.break_scale();
        let error = run.epoch(2, &mut state, &mut |_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "training diverged: the loss is NaN in epoch 3, step 1, from layer `fc3` on"
        );
    }

    #[test]
    fn what_makes_no_network_is_known_before_the_training() {
        let (dataset, split) = black();
        let mut config = TrainConfig { epochs: 10_000, ..TrainConfig::default() };
        config.layer[2].name = "fc 1".into();
        let error = train(&config, &dataset, &split, None, &mut |_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "layer 5 (`fc 1`): its name must be made of a-z, A-Z, 0-9, `_` and `-`"
        );
    }

    #[test]
    fn a_checkpoint_with_a_right_checksum_and_wrong_content_is_refused() {
        let dataset = Dataset {
            name: "grey".into(),
            shape: [1, 28, 28],
            images: Samples::U8((0..4 * 28 * 28).map(|pixel| (pixel % 251) as u8).collect()),
            labels: Some(vec![0, 1, 2, 3]),
            targets: None,
        };
        let split = Split { train: vec![0, 1, 2], validation: vec![3] };
        let config = TrainConfig { epochs: 2, ..TrainConfig::default() };
        let run = Run::new(&config, &dataset, &split).unwrap();
        let mut state = run.start(&mut |_| ());
        run.epoch(0, &mut state, &mut |_| ()).unwrap();
        let refused = |change: &dyn Fn(&mut State)| {
            let mut state = state.clone();
            change(&mut state);
            let folder = tempfile::tempdir().unwrap();
            let kept = CheckpointFolder { folder: folder.path(), program: "hafnia" };
            CheckpointStore::new(kept, &config, None, &dataset, &split).save(&state).unwrap();
            let error = train(&config, &dataset, &split, Some(kept), &mut |_| ());
            let error = error.unwrap_err().to_string();
            let start = format!("{}/checkpoint.hafnia holds no valid", folder.path().display());
            assert!(error.starts_with(&start), "{error}");
            error.split(": ").skip(1).collect::<Vec<_>>().join(": ")
        };
        assert_eq!(refused(&|state| state.latents.break_scale()), "scale: a number is not finite");
        assert_eq!(
            refused(&|state| state.latents.set_shift(0, 99)),
            "thresholds of layer `conv1`: its shift is 99, it must lie in 0..=31"
        );
        assert_eq!(
            refused(&|state| state.latents.break_pattern()),
            "layer `conv1`: a row has pattern 25 of 25"
        );
        assert_eq!(
            refused(&|state| state.best.as_mut().unwrap().epoch = 1),
            "its best epoch is number 2 of 1"
        );
        assert_eq!(
            refused(&|state| state.epochs[0].loss = f64::NAN),
            "the record of epoch 1 is none"
        );
        assert_eq!(
            refused(&|state| state.epochs = vec![state.epochs[0].clone(); 3]),
            "it is after 3 epochs, the recipe has 2"
        );
        assert_eq!(
            refused(&|state| state.teacher = Some(state.latents.clone())),
            "it has a teacher, the recipe has none"
        );
    }

    #[test]
    fn the_octave_is_the_power_of_two_next_to_the_deviation() {
        for (deviation, expected) in [(0.0, 0), (0.6, 0), (5.6, 2), (5.7, 3), (16.0, 4)] {
            let sums = [7.0 - deviation, 7.0 + deviation];
            assert_eq!(octave(&sums), expected, "{deviation}");
            assert_eq!([1, 15].map(|top| shift(&sums, top)), [expected; 2]);
        }
        assert_eq!([31, 63, 255].map(|top| shift(&[0.0, 16.0], top)), [2, 1, 0]);
    }
}
