//! The teacher: the layers of a recipe in floats, trained first, whose answers guide the network.

use std::sync::{Arc, OnceLock};

use hafnia_rng::Seed;
use rand::seq::SliceRandom;

use crate::config::{Loss, Teacher};
use crate::error::TrainError;
use crate::gradients::Gradients;
use crate::images::{Images, SHARD};
use crate::loss::{Judge, log_softmax};
use crate::net::{Net, Parameters};
use crate::report::Event;
use crate::shapes::LayerShapes;
use crate::weights::{Adam, Latents, cosine};

/// A teacher and the images that it learns from, all 8 bits of them.
#[derive(Debug)]
pub(crate) struct TeacherNet<'a> {
    pub(crate) config: &'a Teacher,
    images: Images<'a>,
    shapes: LayerShapes,
    net: Net,
    /// Answers to the images as they are, (image, class); worked out when an epoch first asks.
    answers: OnceLock<Vec<f32>>,
}

impl<'a> TeacherNet<'a> {
    pub(crate) fn new(config: &'a Teacher, images: Images<'a>) -> Result<Self, TrainError> {
        let recipe = images.config;
        let shapes = LayerShapes::new(recipe, images.dataset.shape, config.width)?;
        shapes.check_size(recipe.batch)?;
        let net = Net::new(recipe.backend, &shapes, None, None, true);
        Ok(Self { config, images, shapes, net, answers: OnceLock::new() })
    }

    /// Its layers.
    pub(crate) fn shapes(&self) -> &LayerShapes {
        &self.shapes
    }

    /// Trains it.
    pub(crate) fn train(&self, observer: &mut dyn FnMut(&Event)) -> Latents {
        let Self { config, images, net, .. } = self;
        let (seed, batch) = (Seed(images.config.seed), images.config.batch);
        let mut latents = Latents::teacher(&self.shapes, seed.site("train/teacher"));
        let judge = Judge { loss: Loss::CrossEntropy, unit: 1.0, scale: 1.0, teacher: None };
        let steps = images.split.train.len().div_ceil(batch);
        for epoch in 0..config.epochs {
            let mut order = images.split.train.clone();
            order.shuffle(&mut seed.site("train/teacher/order").index(epoch as u64).rng());
            for (step, batch) in order.chunks(batch).enumerate() {
                let parameters = net.parameters(&latents.parameters(false));
                let mut sum = Gradients::of_batch(batch, |_, shard| {
                    let activations = whole(&images.pixels(shard, Some(epoch)));
                    let (labels, nothing) = (images.labels(shard), Arc::default());
                    let (gradients, _) = Gradients::of_activations(
                        net,
                        &parameters,
                        activations,
                        &labels,
                        &nothing,
                        judge,
                    );
                    gradients
                });
                sum.derivatives().flatten().for_each(|value| *value /= batch.len() as f32);
                let done = epoch * steps + step;
                let rate = cosine(config.learning_rate, done, config.epochs * steps);
                latents.step(&sum.by_parameters, 0.0, &Adam::new(rate, done + 1));
            }
            let parameters = net.parameters(&latents.parameters(false));
            let validation = &images.split.validation;
            let right = images.hits(validation, |shard| {
                net.outputs(&parameters, whole(&images.pixels(shard, None)))
            });
            observer(&Event::Teacher {
                epoch: epoch + 1,
                epochs: config.epochs,
                validation_accuracy: right as f64 / validation.len() as f64,
            });
        }
        latents
    }

    /// The parameters of the trained teacher.
    pub(crate) fn parameters(&self, latents: &Latents) -> Parameters {
        self.net.parameters(&latents.parameters(false))
    }

    /// Its answers to these pixels: probabilities, (image, class).
    pub(crate) fn answers(&self, parameters: &Parameters, pixels: &[u8]) -> Vec<f32> {
        let outputs = self.net.outputs(parameters, whole(pixels));
        let per = 1.0 / self.config.temperature as f32;
        let likelihoods = outputs.chunks(self.shapes.classes());
        likelihoods.flat_map(|outputs| log_softmax(outputs, per)).map(libm::expf).collect()
    }

    /// Its answers to training images as they are, the same ones in every epoch.
    pub(crate) fn answers_to(&self, parameters: &Parameters, images: &[usize]) -> Vec<f32> {
        let all = self.answers.get_or_init(|| {
            let all: Vec<usize> = (0..self.images.dataset.len()).collect();
            let answers = |shard| self.answers(parameters, &self.images.pixels(shard, None));
            all.chunks(SHARD).flat_map(answers).collect()
        });
        let classes = self.shapes.classes();
        let of_image = |&image: &usize| &all[image * classes..(image + 1) * classes];
        images.iter().flat_map(of_image).copied().collect()
    }
}

/// Images as the teacher takes them, 0 to 1.
fn whole(pixels: &[u8]) -> Vec<f32> {
    pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect()
}
