//! [`Reference`]: a network on its images without noise, run once for all mappings and macros.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hafnia_model::{Network, ReferenceProduct, activations_before, run_from};
use hafnia_simd::Isa;
use rayon::prelude::*;

use crate::error::SimError;
use crate::evaluate::{FIVE, rank};
use crate::fast::plan::Layout;
use crate::fast::runner::Runner;

/// Images as the network takes them, with their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// (image, channel, y, x): activations, already reduced to the bits of the network's input.
    pub activations: Vec<u8>,
    /// The class of every image.
    pub labels: Vec<u32>,
}

/// Which matrices run on the macro; the others are the network's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoiseScope {
    /// The last matrix.
    Final,
    /// Every matrix.
    All,
    /// These matrices, by their position in the network.
    Matrices(Vec<usize>),
}

/// How evaluations are computed. It changes no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernels {
    /// Conversion by conversion with an [`Engine`](crate::Engine), and the interpreter elsewhere: what
    /// vectors are held to, and what takes their place where they do not suit the network or the
    /// mapping ([`Programmed::paths`](crate::Programmed::paths)).
    Scalar,
    /// In vectors, for this instruction set.
    Vectors(Isa),
}

impl Default for Kernels {
    /// Vectors as wide as this processor has.
    fn default() -> Self {
        Self::Vectors(Isa::chosen())
    }
}

/// A network with its images: what it computes of them without noise.
#[derive(Debug)]
pub struct Reference<'a> {
    pub(crate) network: &'a Network,
    pub(crate) images: Images,
    pub(crate) kernels: Kernels,
    /// Multiplies the matrices that do not run on the macro.
    pub(crate) plain: ReferenceProduct,
    layout: Layout<'a>,
    /// By layer, (image, activation): what reaches it, once it was asked for.
    reached: Mutex<BTreeMap<usize, Arc<Vec<u8>>>>,
    /// (image, class): what the network gives.
    outputs: Vec<i32>,
    /// (image, class): what it should give, if that is known.
    targets: Option<Vec<f32>>,
    is_correct: Vec<bool>,
}

/// How the outputs for an image compare with what they should be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged {
    /// Of the image's class ([`rank`]).
    pub(crate) rank: usize,
    /// The mean squared difference from the targets or, if there are none, the outputs without noise.
    pub(crate) squared_error: f64,
}

impl Images {
    /// Images of 8-bit pixels, (image, channel, y, x), reduced as `network` takes them.
    pub fn from_pixels(network: &Network, pixels: &[u8], labels: &[u32]) -> Self {
        let activations = network.input().levels_of(pixels);
        Self { activations, labels: labels.to_vec() }
    }

    /// Images without labels, reduced as `network` takes them, labelled with its own answers: it is
    /// right where it answers as it does without noise.
    ///
    /// # Errors
    /// If they do not fit the network.
    pub fn labelled_by(network: &Network, activations: Vec<u8>) -> Result<Self, SimError> {
        let count = activations.len() / network.shape_before(0).len();
        let unlabelled = Self { activations, labels: vec![0; count] };
        let Reference { images, outputs, .. } = Reference::new(network, &unlabelled)?;
        let answers = outputs
            .chunks_exact(network.classes())
            .map(|outputs| network.scores().class(outputs) as u32);
        Ok(Self { labels: answers.collect(), ..images })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Checks that these are images for `network`.
    pub(crate) fn check(&self, network: &Network) -> Result<(), SimError> {
        if self.is_empty() {
            return Err(SimError::NoImages);
        }
        let (length, labels) = (network.shape_before(0).len(), self.len());
        if self.activations.len() != labels * length {
            let activations = self.activations.len();
            return Err(SimError::ImageSize { labels, length, activations });
        }
        let largest = network.input().levels();
        if let Some(at) = self.activations.iter().position(|&activation| activation > largest) {
            let (found, max) = (self.activations[at].into(), largest.into());
            let image = at / length;
            return Err(SimError::Value { image, what: "an activation", found, max });
        }
        let max = network.classes() - 1;
        match self.labels.iter().position(|&label| label as usize > max) {
            Some(image) => {
                let found = self.labels[image];
                Err(SimError::Value { image, what: "the label", found, max })
            }
            None => Ok(()),
        }
    }

    /// The activations of one image.
    pub(crate) fn image(&self, index: usize) -> &[u8] {
        let length = self.activations.len() / self.labels.len();
        &self.activations[index * length..(index + 1) * length]
    }
}

impl NoiseScope {
    /// Per matrix of the network, whether it runs on the macro.
    ///
    /// # Errors
    /// If a matrix is named that the network does not have, or none is.
    pub fn matrices(&self, network: &Network) -> Result<Vec<bool>, SimError> {
        let matrices = network.matrices().len();
        let mut in_scope = vec![false; matrices];
        match self {
            Self::Final => in_scope[matrices - 1] = true,
            Self::All => in_scope.fill(true),
            Self::Matrices(list) => {
                if list.is_empty() {
                    return Err(SimError::Scope { matrix: matrices, matrices });
                }
                for &matrix in list {
                    *in_scope.get_mut(matrix).ok_or(SimError::Scope { matrix, matrices })? = true;
                }
            }
        }
        Ok(in_scope)
    }
}

impl<'a> Reference<'a> {
    /// Runs `network` on `images`.
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn new(network: &'a Network, images: &Images) -> Result<Self, SimError> {
        Self::with_kernels(network, images, Kernels::default())
    }

    /// As [`Reference::new`], computed as `kernels` says, and so is all that is run against it.
    ///
    /// # Errors
    /// As [`Reference::new`].
    pub fn with_kernels(
        network: &'a Network,
        images: &Images,
        kernels: Kernels,
    ) -> Result<Self, SimError> {
        images.check(network)?;
        let mut reference = Self {
            network,
            images: images.clone(),
            kernels,
            plain: ReferenceProduct::new(network),
            layout: Layout::of_network(network),
            reached: Mutex::default(),
            outputs: Vec::new(),
            targets: None,
            is_correct: Vec::new(),
        };
        let matrices = network.matrices();
        let last = matrices.last().map_or(0, |matrix| network.cut_before(matrix.layer));
        let reached = reference.reached(last);
        let mut outputs = vec![0; images.len() * network.classes()];
        let of_images = reached.par_chunks(reached.len() / images.len());
        let of_images = of_images.zip(outputs.par_chunks_mut(network.classes()));
        match reference.vectors() {
            Some((layout, isa)) => of_images.for_each_init(
                || Runner::of_network(layout, isa),
                |runner, (image, outputs)| {
                    outputs.copy_from_slice(runner.outputs(last, image, 0));
                },
            ),
            None => of_images.for_each_init(
                || reference.plain.clone(),
                |plain, (image, outputs)| {
                    outputs.copy_from_slice(&run_from(network, last, image, plain));
                },
            ),
        }
        reference.outputs = outputs;
        reference.is_correct = reference.judged().map(|judged| judged.rank == 0).collect();
        Ok(reference)
    }

    /// The same with targets, (image, output): outputs are then held against them, and not against
    /// those without noise ([`Nearness::squared_error`](crate::Nearness::squared_error)).
    ///
    /// # Errors
    /// [`SimError::Targets`] if there is not one for every output of every image.
    pub fn with_targets(self, targets: Vec<f32>) -> Result<Self, SimError> {
        let (found, expected) = (targets.len(), self.outputs.len());
        match found == expected {
            true => Ok(Self { targets: Some(targets), ..self }),
            false => Err(SimError::Targets { found, expected }),
        }
    }

    /// How the outputs for an image, one of each class, compare with what they should be.
    pub(crate) fn judge(&self, image: usize, outputs: &[i32]) -> Judged {
        let of_image = image * outputs.len()..(image + 1) * outputs.len();
        let scores = self.network.scores().each(outputs);
        let square = |(score, aim): (f64, f64)| (score - aim) * (score - aim);
        let squares: f64 = match &self.targets {
            Some(targets) => {
                let aims = targets[of_image].iter().map(|&target| target.into());
                scores.clone().zip(aims).map(square).sum()
            }
            None => {
                let aims = self.network.scores().each(&self.outputs[of_image]);
                scores.clone().zip(aims).map(square).sum()
            }
        };
        Judged {
            rank: rank(scores, self.images.labels[image] as usize),
            squared_error: squares / outputs.len() as f64,
        }
    }

    /// The noiseless outputs of every image, judged.
    fn judged(&self) -> impl Iterator<Item = Judged> {
        let of_images = self.outputs.chunks_exact(self.network.classes()).enumerate();
        of_images.map(|(image, outputs)| self.judge(image, outputs))
    }

    /// Images whose class is among the five largest outputs.
    pub(crate) fn exact_in_five(&self) -> u32 {
        self.judged().filter(|judged| judged.rank < FIVE).count() as u32
    }

    /// The mean squared difference of the noiseless outputs from the targets; 0 without any.
    pub(crate) fn exact_squared_error(&self) -> f64 {
        self.judged().map(|judged| judged.squared_error).sum::<f64>() / self.images.len() as f64
    }

    /// Per image, whether the network is right.
    pub fn exact_correct(&self) -> &[bool] {
        &self.is_correct
    }

    /// The network in vectors, and the instruction set, if that was not forbidden.
    fn vectors(&self) -> Option<(&Layout<'a>, Isa)> {
        match self.kernels {
            Kernels::Vectors(isa) => Some((&self.layout, isa)),
            Kernels::Scalar => None,
        }
    }

    /// (image, activation): what reaches a layer.
    pub(crate) fn reached(&self, layer: usize) -> Arc<Vec<u8>> {
        // No lock is held while threads work: one that waits for them may be asked for more.
        let known = || self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reached) = known().get(&layer) {
            return Arc::clone(reached);
        }
        let (network, length) = (self.network, self.network.shape_before(layer).len());
        let mut reached = vec![0; self.images.len() * length];
        let of_images = reached.par_chunks_mut(length).enumerate();
        match self.vectors() {
            Some((layout, isa)) => of_images.for_each_init(
                || Runner::of_network(layout, isa),
                |runner, (image, reached)| {
                    let input = self.images.image(image);
                    reached.copy_from_slice(runner.activations_before(layer, input));
                },
            ),
            None => of_images.for_each_init(
                || self.plain.clone(),
                |plain, (image, reached)| {
                    let input = self.images.image(image);
                    reached.copy_from_slice(&activations_before(network, layer, input, plain));
                },
            ),
        }
        Arc::clone(known().entry(layer).or_insert_with(|| Arc::new(reached)))
    }
}
