//! The recipe of a training run: plain data, checked before anything runs.

use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::lenet::MATRICES;

/// A training recipe; the keys of a recipe file are these fields.
///
/// Keys that are left out take their value of [`TrainConfig::default`], unknown keys are refused.
///
/// ```
/// use hafnia_train::TrainConfig;
///
/// let config = TrainConfig::from_toml("seed = 3\nfinal_patterns = 46")?;
/// assert_eq!((config.seed, config.final_patterns, config.batch), (3, Some(46), 128));
///
/// let error = TrainConfig::from_toml("final_patterns = 85").unwrap_err();
/// assert_eq!(error.to_string(), "`final_patterns` is 85, it must lie in 1..=84");
/// # Ok::<(), hafnia_train::TrainError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of the initial weights, the order of the images and their augmentation.
    pub seed: u64,
    /// Passes over the training images, 1 to 10 000.
    pub epochs: usize,
    /// Images a step, 1 to 60 000; the last step of an epoch takes what is left.
    pub batch: usize,
    /// Adam's learning rate at the first step, 1e-6 to 1; it falls to 0 along half a cosine,
    /// step by step.
    pub learning_rate: f64,
    /// Bits of an input pixel, 1 to 8: the upper bits of the 8-bit pixel.
    pub input_bits: u8,
    /// Bits of an activation, 1 to 4.
    pub activation_bits: u8,
    /// Ties the final layer: its row i uses weight pattern i mod this number, 1 to 84.
    /// Without it every row is free.
    pub final_patterns: Option<usize>,
    /// What computes; the results of the two differ by rounding.
    pub backend: Backend,
    /// How the training images are varied; not at all without it.
    pub augmentation: Option<Augmentation>,
}

/// What runs the tensor operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// burn-flex.
    Flex,
    /// burn-ndarray, to check the other against; needs the cargo feature `ndarray`.
    Ndarray,
}

/// Random affine maps of the training images: each number is the largest deviation, drawn
/// uniformly from both signs, for every image and epoch anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Rotation about the centre, degrees, 0 to 180.
    pub rotation_degrees: f64,
    /// Change of size, as a fraction, 0 to 0.5.
    pub scale: f64,
    /// Horizontal shear, pixels a pixel, 0 to 1.
    pub shear: f64,
    /// Shift along each axis, pixels, 0 to 28.
    pub shift_pixels: f64,
    /// The last epochs that see the images as they are; 0 to all.
    pub last_epochs_clean: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            epochs: 12,
            batch: 128,
            learning_rate: 6e-3,
            input_bits: 2,
            activation_bits: 2,
            final_patterns: None,
            backend: Backend::Flex,
            augmentation: None,
        }
    }
}

impl TrainConfig {
    /// Reads and validates a recipe.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] for what is no recipe, and the errors of
    /// [`validate`](Self::validate).
    pub fn from_toml(text: &str) -> Result<Self, TrainError> {
        let config: Self =
            toml::from_str(text).map_err(|source| TrainError::Recipe(Box::new(source)))?;
        config.validate()?;
        Ok(config)
    }

    /// Checks every number against its range.
    ///
    /// # Errors
    /// [`TrainError::Range`] naming the key, or [`TrainError::NoBackend`].
    pub fn validate(&self) -> Result<(), TrainError> {
        let final_rows = MATRICES[MATRICES.len() - 1].rows;
        range("epochs", self.epochs as f64, 1.0, 1e4)?;
        range("batch", self.batch as f64, 1.0, 6e4)?;
        range("learning_rate", self.learning_rate, 1e-6, 1.0)?;
        range("input_bits", self.input_bits.into(), 1.0, 8.0)?;
        range("activation_bits", self.activation_bits.into(), 1.0, 4.0)?;
        if let Some(patterns) = self.final_patterns {
            range("final_patterns", patterns as f64, 1.0, final_rows as f64)?;
        }
        if let Some(augmentation) = &self.augmentation {
            let Augmentation { rotation_degrees, scale, shear, shift_pixels, last_epochs_clean } =
                augmentation;
            range("augmentation.rotation_degrees", *rotation_degrees, 0.0, 180.0)?;
            range("augmentation.scale", *scale, 0.0, 0.5)?;
            range("augmentation.shear", *shear, 0.0, 1.0)?;
            range("augmentation.shift_pixels", *shift_pixels, 0.0, 28.0)?;
            let (clean, epochs) = (*last_epochs_clean as f64, self.epochs as f64);
            range("augmentation.last_epochs_clean", clean, 0.0, epochs)?;
        }
        if self.backend == Backend::Ndarray && !cfg!(feature = "ndarray") {
            return Err(TrainError::NoBackend);
        }
        Ok(())
    }

    /// The augmentation of an epoch, counted from 0.
    pub(crate) fn augmentation_of(&self, epoch: usize) -> Option<&Augmentation> {
        self.augmentation
            .as_ref()
            .filter(|augmentation| epoch + augmentation.last_epochs_clean < self.epochs)
    }
}

fn range(key: &'static str, value: f64, min: f64, max: f64) -> Result<(), TrainError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(TrainError::Range { key, value, min, max })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn what_is_out_of_range_is_named() {
        let check = |text: &str, expected: Expect| {
            expected.assert_eq(&TrainConfig::from_toml(text).unwrap_err().to_string());
        };
        check("epochs = 0", expect!["`epochs` is 0, it must lie in 1..=10000"]);
        check("batch = 60001", expect!["`batch` is 60001, it must lie in 1..=60000"]);
        check(
            "learning_rate = nan",
            expect!["`learning_rate` is NaN, it must lie in 0.000001..=1"],
        );
        check("input_bits = 9", expect!["`input_bits` is 9, it must lie in 1..=8"]);
        check("activation_bits = 5", expect!["`activation_bits` is 5, it must lie in 1..=4"]);
        check("final_patterns = 0", expect!["`final_patterns` is 0, it must lie in 1..=84"]);
        let augmented = |clean| {
            format!(
                "epochs = 3\n[augmentation]\nrotation_degrees = 5\nscale = 0.05\nshear = 0.06\n\
                 shift_pixels = 0.9\nlast_epochs_clean = {clean}"
            )
        };
        check(
            &augmented(4),
            expect!["`augmentation.last_epochs_clean` is 4, it must lie in 0..=3"],
        );
        let config = TrainConfig::from_toml(&augmented(2)).unwrap();
        let clean: Vec<bool> =
            (0..3).map(|epoch| config.augmentation_of(epoch).is_none()).collect();
        assert_eq!(clean, [false, true, true]);
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = TrainConfig::from_toml("epoch = 3").unwrap_err();
        assert_eq!(error.to_string(), "not a training recipe");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("unknown field `epoch`"), "{source}");
    }

    #[cfg(not(feature = "ndarray"))]
    #[test]
    fn a_backend_that_is_not_built_in_is_refused() {
        let error = TrainConfig::from_toml("backend = 'ndarray'").unwrap_err();
        expect!["`backend` is `ndarray`, which this build lacks: build with `--features ndarray`"]
            .assert_eq(&error.to_string());
    }
}
