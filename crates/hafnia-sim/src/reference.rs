//! [`Reference`]: a network on its images without noise, run once for all mappings and macros.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use hafnia_model::{Network, ReferenceProduct, activations_before, run};
use hafnia_simd::Isa;
use rayon::prelude::*;

use crate::error::SimError;
use crate::evaluate::{FIVE, rank};
use crate::fast::plan::Layout;
use crate::fast::runner::Runner;
use crate::images::{ImageSource, Images};

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
    pub(crate) images: Box<dyn ImageSource + 'a>,
    pub(crate) kernels: Kernels,
    /// Multiplies the matrices that do not run on the macro.
    pub(crate) plain: ReferenceProduct,
    layout: Layout<'a>,
    /// Most bytes that are kept of what can be computed again.
    most_kept: usize,
    /// The layer that was asked for last and (image, activation): what reaches it, of the first images.
    reached: Mutex<Option<(usize, Arc<Vec<u8>>)>>,
    /// (image, class): what the network gives for the first images, if they have no targets.
    outputs: Vec<i32>,
    /// What the network answers, if the images have no labels.
    answers: Vec<u32>,
    is_correct: Vec<bool>,
    exact_in_five: u32,
    exact_squared_error: f64,
}

/// Most bytes that a [`Reference`] keeps of activations, and of outputs, unless it is told otherwise
/// ([`Reference::keeping`]): 32 MiB.
const MOST_KEPT: usize = 1 << 25;

/// Images that the network runs on at once, whose outputs are looked at before the next.
const AT_ONCE: usize = 4096;

/// How the outputs for an image compare with what they should be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged {
    /// Of the image's class ([`rank`]).
    pub(crate) rank: usize,
    /// The mean squared difference from the targets or, if there are none, the outputs without noise.
    pub(crate) squared_error: f64,
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
    /// Runs `network` on `images`, which it takes one at a time, now and in every evaluation. Images
    /// without labels are labelled with the network's own answers: it is right where it answers as it
    /// does without noise.
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn new(network: &'a Network, images: impl ImageSource + 'a) -> Result<Self, SimError> {
        Self::with_kernels(network, images, Kernels::default())
    }

    /// As [`Reference::new`], computed as `kernels` says, and so is all that is run against it.
    ///
    /// # Errors
    /// As [`Reference::new`].
    pub fn with_kernels(
        network: &'a Network,
        images: impl ImageSource + 'a,
        kernels: Kernels,
    ) -> Result<Self, SimError> {
        if images.is_empty() {
            return Err(SimError::NoImages);
        }
        let mut reference = Self {
            network,
            images: Box::new(images),
            kernels,
            plain: ReferenceProduct::new(network),
            layout: Layout::of_network(network),
            most_kept: MOST_KEPT,
            reached: Mutex::default(),
            outputs: Vec::new(),
            answers: Vec::new(),
            is_correct: Vec::new(),
            exact_in_five: 0,
            exact_squared_error: 0.0,
        };
        let count = reference.images.len();
        reference.is_correct.reserve_exact(count);
        if reference.images.targets(0).is_none() {
            let classes = network.classes();
            reference.outputs.reserve_exact(reference.kept(4 * classes) * classes);
        }
        for first in (0..count).step_by(AT_ONCE) {
            reference.run(first..count.min(first + AT_ONCE))?;
        }
        reference.exact_squared_error /= count as f64;
        Ok(reference)
    }

    /// Runs the next images without noise, and notes what comes out.
    fn run(&mut self, images: Range<usize>) -> Result<(), SimError> {
        let classes = self.network.classes();
        let mut outputs = vec![0; images.len() * classes];
        let of_images = images.clone().into_par_iter().zip(outputs.par_chunks_mut(classes));
        let start = || (Noiseless::new(self), Vec::new());
        let run = |(noiseless, buffer): &mut Again<'_>, (image, outputs): (usize, &mut [i32])| {
            outputs.copy_from_slice(noiseless.outputs(self.checked(image, buffer)?));
            Ok(())
        };
        // Of several errors that of the first image is told.
        of_images.map_init(start, run).reduce(|| Ok(()), Result::and)?;
        for (image, outputs) in images.zip(outputs.chunks_exact(classes)) {
            if self.images.label(image).is_none() {
                self.answers.push(self.network.scores().class(outputs) as u32);
            }
            let Judged { rank, squared_error } = self.judge_by(image, outputs, outputs);
            self.is_correct.push(rank == 0);
            self.exact_in_five += u32::from(rank < FIVE);
            self.exact_squared_error += squared_error;
            if self.images.targets(image).is_none() && image < self.kept(4 * classes) {
                self.outputs.extend_from_slice(outputs);
            }
        }
        Ok(())
    }

    /// An image that was found to fit the network.
    fn checked<'b>(&'b self, image: usize, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], SimError> {
        let (network, expected) = (self.network, self.network.shape_before(0).len());
        let levels = self.images.image(image, buffer);
        if levels.len() != expected {
            return Err(SimError::ImageSize { image, found: levels.len(), expected });
        }
        let max = network.input().levels();
        if let Some(&found) = levels.iter().find(|&&level| level > max) {
            let (found, max) = (found.into(), max.into());
            return Err(SimError::Value { image, what: "an activation", found, max });
        }
        let max = network.classes() - 1;
        if let Some(found) = self.images.label(image).filter(|&label| label as usize > max) {
            return Err(SimError::Value { image, what: "the label", found, max });
        }
        let expected = network.classes();
        match self.images.targets(image).map(<[f32]>::len) {
            Some(found) if found != expected => Err(SimError::Targets { image, found, expected }),
            _ => Ok(levels),
        }
    }

    /// The same, but keeping at most this many bytes of activations before the first layer that runs on
    /// the macro, and as many of outputs without noise, those of the first images; the others are
    /// computed again in every run. It changes no result.
    #[must_use]
    pub fn keeping(mut self, most: usize) -> Self {
        self.most_kept = most;
        let (classes, reached) = (self.network.classes(), Mutex::default());
        self.outputs.truncate(self.kept(4 * classes) * classes);
        self.outputs.shrink_to_fit();
        Self { reached, ..self }
    }

    /// Of how many images something is kept that takes this many bytes of each.
    fn kept(&self, bytes: usize) -> usize {
        self.images.len().min(self.most_kept / bytes)
    }

    /// How the outputs for an image, one of each class, compare with what they should be.
    pub(crate) fn judge<'r>(
        &'r self,
        image: usize,
        outputs: &[i32],
        again: &mut Option<Again<'r>>,
    ) -> Judged {
        let of_image = image * outputs.len()..(image + 1) * outputs.len();
        match self.outputs.get(of_image) {
            Some(exact) => self.judge_by(image, outputs, exact),
            None if self.images.targets(image).is_some() => self.judge_by(image, outputs, &[]),
            None => {
                let (noiseless, buffer) =
                    again.get_or_insert_with(|| (Noiseless::new(self), Vec::new()));
                let exact = noiseless.outputs(self.images.image(image, buffer));
                self.judge_by(image, outputs, exact)
            }
        }
    }

    /// As [`Reference::judge`], given the outputs without noise.
    fn judge_by(&self, image: usize, outputs: &[i32], exact: &[i32]) -> Judged {
        let scores = self.network.scores().each(outputs);
        let square = |(score, aim): (f64, f64)| (score - aim) * (score - aim);
        let squares: f64 = match self.images.targets(image) {
            Some(targets) => {
                let aims = targets.iter().map(|&target| target.into());
                scores.clone().zip(aims).map(square).sum()
            }
            None => scores.clone().zip(self.network.scores().each(exact)).map(square).sum(),
        };
        Judged {
            rank: rank(scores, self.label(image) as usize),
            squared_error: squares / outputs.len() as f64,
        }
    }

    /// Images whose class is among the five largest outputs.
    pub(crate) fn exact_in_five(&self) -> u32 {
        self.exact_in_five
    }

    /// The mean squared difference of the noiseless outputs from the targets; 0 without any.
    pub(crate) fn exact_squared_error(&self) -> f64 {
        self.exact_squared_error
    }

    /// Per image, whether the network is right.
    pub fn exact_correct(&self) -> &[bool] {
        &self.is_correct
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.is_correct.len()
    }

    /// The class of every image or, without labels, what the network answers.
    pub fn labels(&self) -> Vec<u32> {
        (0..self.images()).map(|image| self.label(image)).collect()
    }

    fn label(&self, image: usize) -> u32 {
        self.images.label(image).unwrap_or_else(|| self.answers[image])
    }

    /// (image, activation): what reaches a layer, of the first images, as many as are kept.
    pub(crate) fn reached(&self, layer: usize) -> Arc<Vec<u8>> {
        // No lock is held while threads work: one that waits for them may be asked for more.
        let known = || self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, reached)) = &*known()
            && *of == layer
        {
            return Arc::clone(reached);
        }
        let length = self.network.shape_before(layer).len();
        let mut reached = vec![0; self.kept(length) * length];
        reached.par_chunks_mut(length).enumerate().for_each_init(
            || (Noiseless::new(self), Vec::new()),
            |(noiseless, buffer), (image, reached)| {
                let image = self.images.image(image, buffer);
                reached.copy_from_slice(noiseless.activations_before(layer, image));
            },
        );
        let reached = Arc::new(reached);
        *known() = Some((layer, Arc::clone(&reached)));
        reached
    }
}

/// What computes outputs again that were not kept.
pub(crate) type Again<'r> = (Noiseless<'r>, Vec<u8>);

/// Runs the network without noise on one thread.
pub(crate) enum Noiseless<'r> {
    /// In vectors.
    Vectors(Box<Runner<'r>>),
    /// As the interpreter does, with the last result.
    Scalar { network: &'r Network, plain: ReferenceProduct, outputs: Vec<i32>, reached: Vec<u8> },
}

impl<'r> Noiseless<'r> {
    fn new(reference: &'r Reference<'_>) -> Self {
        match reference.kernels {
            Kernels::Vectors(isa) => {
                Self::Vectors(Box::new(Runner::of_network(&reference.layout, isa)))
            }
            Kernels::Scalar => Self::Scalar {
                network: reference.network,
                plain: reference.plain.clone(),
                outputs: Vec::new(),
                reached: Vec::new(),
            },
        }
    }

    /// The raw outputs for an image.
    fn outputs(&mut self, image: &[u8]) -> &[i32] {
        match self {
            Self::Vectors(runner) => runner.run(0, image, 0).0,
            Self::Scalar { network, plain, outputs, .. } => {
                *outputs = run(network, image, plain);
                outputs
            }
        }
    }

    /// The activations that reach a layer.
    fn activations_before(&mut self, layer: usize, image: &[u8]) -> &[u8] {
        match self {
            Self::Vectors(runner) => runner.activations_before(layer, image),
            Self::Scalar { network, plain, reached, .. } => {
                *reached = activations_before(network, layer, image, plain);
                reached
            }
        }
    }
}

impl Images {
    /// Images without labels, reduced as `network` takes them, labelled with its own answers: it is
    /// right where it answers as it does without noise.
    ///
    /// # Errors
    /// If they do not fit the network.
    pub fn labelled_by(network: &Network, activations: Vec<u8>) -> Result<Self, SimError> {
        let unlabelled = Unlabelled { size: network.shape_before(0).len(), activations };
        let labels = Reference::new(network, &unlabelled)?.labels();
        Ok(Self { labels, activations: unlabelled.activations })
    }
}

/// Images of so many activations each.
#[derive(Debug)]
struct Unlabelled {
    size: usize,
    activations: Vec<u8>,
}

impl ImageSource for Unlabelled {
    fn len(&self) -> usize {
        self.activations.len().div_ceil(self.size)
    }

    fn image<'a>(&'a self, index: usize, _: &'a mut Vec<u8>) -> &'a [u8] {
        let begun = &self.activations[index * self.size..];
        &begun[..self.size.min(begun.len())]
    }

    fn label(&self, _: usize) -> Option<u32> {
        None
    }
}
