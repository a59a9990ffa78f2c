//! [`Reference::profile`]: samples of the activations that reach every matrix of the noiseless network.

use std::sync::atomic::{AtomicU64, Ordering};

use hafnia_ir::{MatrixProfile, Profile};
use hafnia_model::{Multiply, ReferenceProduct, run};
use hafnia_rng::Seed;
use rand::seq::index::sample;
use rayon::prelude::*;

use crate::error::SimError;
use crate::reference::Reference;
use crate::run::Progress;

/// How much to sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileOptions {
    /// Images, drawn from those given without putting back.
    pub images: usize,
    /// Output positions of a convolution per image, drawn likewise; all if it has no more.
    pub positions_per_image: usize,
}

impl Reference<'_> {
    /// Runs the network on a sample of the images and notes what reaches its matrices.
    ///
    /// A sample of a linear layer is an image, one of a convolution an output position of an image.
    /// `progress` is called with images.
    ///
    /// # Errors
    /// If `options` ask for no image or for more than there are.
    pub fn profile(
        &self,
        options: ProfileOptions,
        seed: Seed,
        progress: Progress<'_>,
    ) -> Result<Profile, SimError> {
        let network = self.network;
        let (wanted, available) = (options.images, self.images());
        if !(1..=available).contains(&wanted) {
            return Err(SimError::Sample { wanted, available });
        }
        let layers = network.matrices();
        let chosen = sample(&mut seed.site("profile/images").rng(), available, wanted).into_vec();
        let done = AtomicU64::new(0);
        let recorded: Vec<Vec<Vec<u8>>> = chosen
            .par_iter()
            .map(|&image| {
                let rng = &mut seed.site("profile/positions").index(image as u64).rng();
                let mut positions = |all: usize| {
                    let mut drawn =
                        sample(rng, all, options.positions_per_image.min(all)).into_vec();
                    drawn.sort_unstable();
                    drawn
                };
                let mut recorder = Recorder {
                    plain: self.plain.clone(),
                    positions: layers
                        .iter()
                        .map(|layer| {
                            if layer.positions == 1 { vec![0] } else { positions(layer.positions) }
                        })
                        .collect(),
                    recorded: vec![Vec::new(); layers.len()],
                };
                run(network, self.images.image(image, &mut Vec::new()), &mut recorder);
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, wanted as u64);
                recorder.recorded
            })
            .collect();
        let matrices = layers.iter().enumerate().map(|(index, layer)| MatrixProfile {
            rows: layer.weights.rows(),
            bits: layer.input_bits,
            activations: recorded.iter().flat_map(|image| &image[index]).copied().collect(),
        });
        Ok(Profile { network: network.digest(), images: wanted, matrices: matrices.collect() })
    }
}

/// Multiplies plainly and notes the activations at some positions.
struct Recorder {
    plain: ReferenceProduct,
    /// Per matrix, ascending.
    positions: Vec<Vec<usize>>,
    /// Per matrix: (position, row).
    recorded: Vec<Vec<u8>>,
}

impl Multiply for Recorder {
    fn multiply(&mut self, matrix: usize, position: usize, activations: &[u8], sums: &mut [i32]) {
        if self.positions[matrix].binary_search(&position).is_ok() {
            self.recorded[matrix].extend_from_slice(activations);
        }
        self.plain.multiply(matrix, position, activations, sums);
    }
}
