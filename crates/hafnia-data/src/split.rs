//! The images to learn from and the images to choose by.

use hafnia_rng::Seed;
use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};

use crate::{dataset::Dataset, error::DataError};

/// The training images divided in two: to train on, and to choose between networks by.
///
/// The test images are in neither: they judge what was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Indices of the images to train on, ascending.
    pub train: Vec<usize>,
    /// Indices of the images to choose by, ascending.
    pub validation: Vec<usize>,
}

/// One image in this many is for validation: 5 000 of MNIST's 60 000.
const VALIDATION_SHARE: usize = 12;

/// The seed of the standard split: the same for every run, whatever seed the run has.
pub(crate) const STANDARD: Seed = Seed(0);

impl Split {
    /// Draws `validation` of `images` images, all equally likely, at the site "data/split".
    ///
    /// # Errors
    /// [`DataError::Split`] if there are fewer than `validation` images.
    pub fn of(images: usize, validation: usize, seed: Seed) -> Result<Self, DataError> {
        if validation > images {
            return Err(DataError::Split { validation, images });
        }
        let mut order: Vec<usize> = (0..images).collect();
        order.shuffle(&mut seed.site("data/split").rng());
        let mut train = order.split_off(validation);
        let mut validation = order;
        train.sort_unstable();
        validation.sort_unstable();
        Ok(Self { train, validation })
    }

    /// The split of every run: one image in twelve for validation, drawn with a fixed seed.
    ///
    /// For MNIST's training images this is 55 000 and 5 000.
    pub fn standard(train: &Dataset) -> Self {
        match Self::of(train.len(), train.len() / VALIDATION_SHARE, STANDARD) {
            Ok(split) => split,
            Err(error) => unreachable!("a twelfth is not more than the whole: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use hafnia_artifact::Digest;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_standard_split_of_mnist_is_pinned() {
        // Recorded once: networks of earlier runs were chosen by these images.
        let split = Split::of(60_000, 5_000, STANDARD).unwrap();
        assert_eq!((split.train.len(), split.validation.len()), (55_000, 5_000));
        assert_eq!(split.validation[..5], [9, 24, 32, 35, 64]);
        let validation: Vec<u64> = split.validation.iter().map(|&index| index as u64).collect();
        assert_eq!(
            Digest::of_value(&validation).to_string(),
            "ba5f55a34be7ae20b761d49c6f139620289518aca9644cfb3c7d630da95cac68"
        );
    }

    #[test]
    fn other_seeds_split_otherwise() {
        assert_ne!(Split::of(100, 10, Seed(1)).unwrap(), Split::of(100, 10, Seed(2)).unwrap());
    }

    #[test]
    fn too_many_are_refused() {
        let error = Split::of(3, 4, Seed(0)).unwrap_err().to_string();
        assert_eq!(error, "cannot take 4 images for validation: there are 3");
    }

    proptest! {
        #[test]
        fn every_image_is_in_one_half(images in 0usize..300, share in 0.0..=1.0, seed: u64) {
            let validation = (images as f64 * share) as usize;
            let split = Split::of(images, validation, Seed(seed)).unwrap();
            prop_assert_eq!(split.validation.len(), validation);
            prop_assert!(split.train.is_sorted() && split.validation.is_sorted());
            let mut all = [split.train, split.validation].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..images).collect::<Vec<_>>());
        }
    }
}
