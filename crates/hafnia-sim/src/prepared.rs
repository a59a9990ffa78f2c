//! [`Prepared`]: what many evaluations of one network on the same images share.

use hafnia_model::arithmetic::argmax;
use hafnia_model::{Network, ReferenceProduct, activations_before, run_from};
use hafnia_simd::Isa;
use rayon::prelude::*;

use crate::SimError;
use crate::layout::Layout;
use crate::runner::Runner;

/// Images as the network takes them, with their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// (image, channel, y, x): activations, already reduced to the bits of the network's input.
    pub activations: Vec<u8>,
    /// The class of every image.
    pub labels: Vec<u8>,
}

/// Which matrices run on the macro; the others are multiplied plainly.
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
    /// Conversion by conversion with an [`Engine`](crate::Engine), and the reference elsewhere: what
    /// the others are held to. It is also taken where a network does not suit the others, because a
    /// padded row of an image is wider than 64 pixels or a tile has 65 535 lines, or a mapping,
    /// because it has weights of more than 1 bit.
    Plain,
    /// In vectors, for this instruction set.
    Vectors(Isa),
}

impl Default for Kernels {
    /// Vectors as wide as this processor has.
    fn default() -> Self {
        Self::Vectors(Isa::best())
    }
}

/// A network with its images, run once without noise as far as no noise can reach.
///
/// Shared by all mappings and noise settings of one scope.
#[derive(Debug, Clone)]
pub struct Prepared<'a> {
    pub(crate) network: &'a Network,
    pub(crate) kernels: Kernels,
    /// Multiplies the matrices that do not run on the macro.
    pub(crate) plain: ReferenceProduct,
    /// Per matrix, whether it runs on the macro.
    pub(crate) in_scope: Vec<bool>,
    /// The first layer that does.
    pub(crate) first: usize,
    /// (image, activation): what reaches that layer.
    activations: Vec<u8>,
    pub(crate) labels: Vec<u8>,
    /// Per image, whether the noiseless network is right.
    pub(crate) exact_correct: Vec<bool>,
}

impl Images {
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
        let max = network.input().largest();
        if let Some(index) = self.activations.iter().position(|&activation| activation > max) {
            let (image, activation) = (index / length, self.activations[index]);
            return Err(SimError::Activation { image, activation, max });
        }
        let classes = network.classes();
        if let Some(image) = self.labels.iter().position(|&label| usize::from(label) >= classes) {
            return Err(SimError::Label { image, label: self.labels[image], classes });
        }
        Ok(())
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

impl<'a> Prepared<'a> {
    /// Runs `network` on `images` without noise.
    ///
    /// # Errors
    /// If the images do not fit the network, or `scope` names a matrix it does not have.
    pub fn new(
        network: &'a Network,
        images: &Images,
        scope: &NoiseScope,
    ) -> Result<Self, SimError> {
        Self::with_kernels(network, images, scope, Kernels::default())
    }

    /// As [`Prepared::new`], computed as `kernels` says, and so all evaluations of it.
    ///
    /// # Errors
    /// As [`Prepared::new`].
    pub fn with_kernels(
        network: &'a Network,
        images: &Images,
        scope: &NoiseScope,
        kernels: Kernels,
    ) -> Result<Self, SimError> {
        images.check(network)?;
        let in_scope = scope.matrices(network)?;
        let noisy = in_scope.iter().position(|&noisy| noisy).expect("a scope names a matrix");
        let first = network.matrices()[noisy].layer;
        let length = network.shape_before(first).len();
        let plain = ReferenceProduct::new(network);
        let labels = images.labels.clone();
        let mut activations = vec![0; images.len() * length];
        let of_images = activations.par_chunks_mut(length).enumerate();
        let is_correct =
            |outputs: &[i32], image: usize| argmax(outputs) == usize::from(labels[image]);
        let layout = Layout::of_network(network);
        let exact_correct = match (kernels, &layout) {
            (Kernels::Vectors(isa), Some(layout)) => {
                let run = |runner: &mut Runner<'_>, (image, reached): (usize, &mut [u8])| {
                    let input = images.image(image);
                    reached.copy_from_slice(runner.activations_before(first, input));
                    is_correct(runner.outputs(first, reached), image)
                };
                of_images.map_init(|| Runner::new(layout, isa), run).collect()
            }
            _ => {
                let run = |plain: &mut ReferenceProduct, (image, reached): (usize, &mut [u8])| {
                    let input = images.image(image);
                    reached.copy_from_slice(&activations_before(network, first, input, plain));
                    is_correct(&run_from(network, first, reached, plain), image)
                };
                of_images.map_init(|| plain.clone(), run).collect()
            }
        };
        Ok(Self { network, kernels, plain, in_scope, first, activations, labels, exact_correct })
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.labels.len()
    }

    /// Per image, whether the noiseless network is right.
    pub fn exact_correct(&self) -> &[bool] {
        &self.exact_correct
    }

    /// What reaches the first layer that runs on the macro, for one image.
    pub(crate) fn reached(&self, image: usize) -> &[u8] {
        let length = self.activations.len() / self.labels.len();
        &self.activations[image * length..(image + 1) * length]
    }
}
