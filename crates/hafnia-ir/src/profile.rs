//! [`Profile`]: which rows are on together, sampled on training images.

use hafnia_artifact::{Artifact, Digest};
use hafnia_model::Network;
use serde::{Deserialize, Serialize};

use crate::MatrixId;

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
        self.activations.len().checked_div(self.rows).unwrap_or(0)
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

/// Why a profile does not belong to a network, or is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The profile was taken from another network.
    #[error("profile taken from another network: from {profile}, not {network}")]
    Network {
        /// Digest in the profile.
        profile: Digest,
        /// Digest of the network.
        network: Digest,
    },
    /// The profile has another number of matrices.
    #[error("profile has {profile} matrices, the network has {network}")]
    MatrixCount {
        /// Matrices of the profile.
        profile: usize,
        /// Matrices of the network.
        network: usize,
    },
    /// A matrix has another number of rows.
    #[error("matrix {matrix} has {profile} rows in the profile, {network} in the network")]
    Rows {
        /// The matrix.
        matrix: MatrixId,
        /// Rows in the profile.
        profile: usize,
        /// Rows in the network.
        network: usize,
    },
    /// A matrix is given activations of another width.
    #[error("matrix {matrix} takes {profile} bits in the profile, {network} in the network")]
    Bits {
        /// The matrix.
        matrix: MatrixId,
        /// Bits in the profile.
        profile: u8,
        /// Bits in the network.
        network: u8,
    },
    /// The activations are no whole number of samples.
    #[error("matrix {matrix} has {activations} activations, no multiple of its {rows} rows")]
    Length {
        /// The matrix.
        matrix: MatrixId,
        /// Activations that are there.
        activations: usize,
        /// Activations in a sample.
        rows: usize,
    },
    /// An activation does not fit its bits.
    #[error(
        "matrix {matrix}, sample {sample}, row {row}: activation {activation} must lie in 0..={max}"
    )]
    Activation {
        /// The matrix.
        matrix: MatrixId,
        /// Index of the sample.
        sample: usize,
        /// Row of the matrix.
        row: usize,
        /// The activation.
        activation: u8,
        /// The largest allowed.
        max: u8,
    },
}

impl Profile {
    /// Checks that the profile was taken from this network and is whole.
    ///
    /// # Errors
    /// The first difference; see [`ProfileError`].
    pub fn check(&self, network: &Network) -> Result<(), ProfileError> {
        let digest = network.digest();
        if self.network != digest {
            return Err(ProfileError::Network { profile: self.network, network: digest });
        }
        let layers = network.matrices();
        if self.matrices.len() != layers.len() {
            let (profile, network) = (self.matrices.len(), layers.len());
            return Err(ProfileError::MatrixCount { profile, network });
        }
        for (index, (profile, layer)) in self.matrices.iter().zip(&layers).enumerate() {
            profile.check(MatrixId(index as u32), layer.weights.rows(), layer.input_bits)?;
        }
        Ok(())
    }
}

impl MatrixProfile {
    fn check(&self, matrix: MatrixId, rows: usize, bits: u8) -> Result<(), ProfileError> {
        if self.rows != rows {
            return Err(ProfileError::Rows { matrix, profile: self.rows, network: rows });
        }
        if self.bits != bits {
            return Err(ProfileError::Bits { matrix, profile: self.bits, network: bits });
        }
        let activations = self.activations.len();
        if !activations.is_multiple_of(rows) {
            return Err(ProfileError::Length { matrix, activations, rows });
        }
        let max = u8::MAX >> (8 - bits);
        match self.activations.iter().position(|&activation| activation > max) {
            None => Ok(()),
            Some(index) => {
                let (sample, row) = (index / rows, index % rows);
                let activation = self.activations[index];
                Err(ProfileError::Activation { matrix, sample, row, activation, max })
            }
        }
    }
}
