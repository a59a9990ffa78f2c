//! [`Profile`]: which rows are on together, sampled on training images.

use hafnia_artifact::{Artifact, Digest};
use hafnia_model::{MatrixLayer, Network};
use hafnia_text::must;
use serde::{Deserialize, Serialize};

use crate::mapping::MatrixId;

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
    const REMAKE: &'static str = "hafnia profile";

    fn validate(&self) -> Result<(), String> {
        if self.images == 0 {
            return Err("it was taken on 0 images".to_owned());
        }
        for (index, matrix) in self.matrices.iter().enumerate() {
            matrix.validate().map_err(|fault| format!("matrix {index}: {fault}"))?;
        }
        Ok(())
    }
}

/// Why a profile does not belong to a network, or is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{fault}", matrix.map(|matrix| format!("matrix {matrix}: ")).unwrap_or_default())]
pub struct ProfileError {
    /// The matrix, if it is the profile of one.
    pub matrix: Option<MatrixId>,
    /// What is wrong, in words.
    pub fault: String,
}

impl Profile {
    /// Checks that the profile was taken from this network and is whole.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(&self, network: &Network) -> Result<(), ProfileError> {
        let (digest, layers) = (network.digest(), network.matrices());
        let (matrices, expected) = (self.matrices.len(), layers.len());
        let wrong = |fault| Err(ProfileError { matrix: None, fault });
        if self.network != digest {
            return wrong(format!("profile is of network {}, not of {digest}", self.network));
        }
        if matrices != expected {
            return wrong(format!("profile has {matrices} matrices, the network has {expected}"));
        }
        for (index, (profile, layer)) in self.matrices.iter().zip(&layers).enumerate() {
            let matrix = Some(MatrixId(index as u32));
            let checked = profile.check(layer);
            checked.map_err(|fault| ProfileError { matrix, fault })?;
        }
        Ok(())
    }
}

impl MatrixProfile {
    /// Checks that the profile is of the matrix of a layer, or returns what is wrong.
    fn check(&self, layer: &MatrixLayer<'_>) -> Result<(), String> {
        let (rows, bits) = (layer.weights.rows(), layer.input_bits);
        if self.rows != rows {
            return Err(format!("profile has {} rows, the network has {rows}", self.rows));
        }
        if self.bits != bits {
            return Err(format!(
                "profile has activations of {} bits, the network of {bits}",
                self.bits
            ));
        }
        self.validate()?;
        self.check_range(layer.largest)
    }

    /// Checks that its activations are of whole samples and fit their bits, or returns what is wrong.
    fn validate(&self) -> Result<(), String> {
        let Self { rows, bits, .. } = *self;
        if rows == 0 {
            return Err("profile has 0 rows, it must be at least 1".to_owned());
        }
        if !(1..=8).contains(&bits) {
            return Err(format!("profile has activations of {bits} bits, it {}", must(1, 8)));
        }
        let activations = self.activations.len();
        if !activations.is_multiple_of(rows) {
            return Err(format!("{activations} activations are not a multiple of {rows} rows"));
        }
        self.check_range(u8::MAX >> (8 - bits))
    }

    fn check_range(&self, max: u8) -> Result<(), String> {
        let rows = self.rows;
        match self.activations.iter().position(|&activation| activation > max) {
            None => Ok(()),
            Some(index) => {
                let (sample, row, found) = (index / rows, index % rows, self.activations[index]);
                Err(format!(
                    "activation of sample {sample}, row {row} is {found}, it {}",
                    must(0, max)
                ))
            }
        }
    }
}
