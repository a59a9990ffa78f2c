//! [`Profile`]: which rows are on together, sampled on training images.

use hafnia_artifact::{Artifact, Digest};
use serde::{Deserialize, Serialize};

/// Samples of the activations that reach every matrix of a network.
///
/// A profile is to the mapping what profile-guided optimisation is to a compiler. It is taken on
/// training images only, from the noiseless network, so that it does not depend on a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Digest of the network it was taken from.
    pub network: Digest,
    /// Images it was taken on.
    pub images: usize,
    /// One entry a matrix, in the order of the network's matrices.
    pub matrices: Vec<MatrixProfile>,
}

/// Samples of the activations that reach one matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatrixProfile {
    /// Logical rows of the matrix: activations in a sample.
    pub rows: usize,
    /// Bits of an activation: bit-planes of a scan.
    pub bits: u8,
    /// (sample, row). A sample is one input vector: of a convolution, one position of one image.
    pub activations: Vec<u8>,
}

impl MatrixProfile {
    /// Number of samples.
    pub fn samples(&self) -> usize {
        if self.rows == 0 { 0 } else { self.activations.len() / self.rows }
    }

    /// The activations of one sample, a row each.
    ///
    /// # Panics
    /// If there is no such sample.
    pub fn sample(&self, index: usize) -> &[u8] {
        &self.activations[index * self.rows..(index + 1) * self.rows]
    }
}

impl Artifact for Profile {
    const KIND: &'static str = "profile";
    const SCHEMA: u32 = 1;
}
