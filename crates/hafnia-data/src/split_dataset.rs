//! A data set in its parts, and where it came from.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use hafnia_artifact::Digest;
use hafnia_text::must;
use serde::{Deserialize, Serialize};

use crate::{
    dataset::Dataset,
    error::DataError,
    parts::Parts,
    split::{STANDARD, Split},
};

/// A data set in its parts: MNIST, 28×28 handwritten digits in 10 classes, or the committed subset of
/// it, or the data set that a user names in MNIST's stead.
#[derive(Debug, Clone)]
pub struct SplitDataset {
    /// Images to train on and to choose by: 60 000 of MNIST.
    pub train: Dataset,
    /// Which of them are which.
    pub split: Split,
    /// Images that judge: 10 000 of MNIST.
    pub test: Dataset,
    /// Where it came from.
    pub origin: Origin,
    /// SHA-256 of the uncompressed content of its files, by name; of a folder of pictures, one for
    /// all, by the name of the folder.
    pub digests: BTreeMap<String, Digest>,
    /// The sources that failed before, each with the reason.
    pub notes: Vec<String>,
}

/// Where a data set came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// The folder given by the user.
    Folder(PathBuf),
    /// The file given by the user.
    File(PathBuf),
    /// The cache, a folder filled by earlier downloads.
    Cache(PathBuf),
    /// An HTTPS mirror.
    Mirror(String),
    /// An npm package.
    Npm(String),
    /// The subset that is part of the repository and of every binary.
    Subset,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "folder {}", folder.display()),
            Self::File(file) => write!(f, "file {}", file.display()),
            Self::Cache(folder) => write!(f, "cache {}", folder.display()),
            Self::Mirror(url) => write!(f, "mirror {url}"),
            Self::Npm(package) => write!(f, "npm package {package}"),
            Self::Subset => f.write_str("committed subset"),
        }
    }
}

impl SplitDataset {
    /// The data set `name` in these parts.
    pub(crate) fn new(
        name: &str,
        parts: Parts,
        origin: Origin,
        digests: BTreeMap<String, Digest>,
    ) -> Result<Self, DataError> {
        let (train, split, test) = parts.joined(name)?;
        Ok(Self { train, split, test, origin, digests, notes: Vec::new() })
    }

    /// The same with `count` of its images left to judge and the others to train on, if all of them
    /// are to judge: drawn with a fixed seed, all equally likely.
    ///
    /// # Errors
    /// [`DataError::HoldOut`] if there are images to train on already, or not so many.
    pub(crate) fn hold_out(self, count: usize) -> Result<Self, DataError> {
        let images = self.test.len();
        let why = match () {
            () if !self.train.is_empty() => "it has images to train on apart".to_owned(),
            () if !(1..=images).contains(&count) => format!("it {} of them", must(1, images)),
            () => {
                let Split { train, validation } = Split::of(images, count, STANDARD)?;
                let train = self.test.part("train", &train);
                let split = Split::standard(&train);
                let test = self.test.part("test", &validation);
                return Ok(Self { train, split, test, ..self });
            }
        };
        Err(DataError::HoldOut { count, name: self.test.name, why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_held_out_of_a_set_in_one_part() {
        let SplitDataset { test, origin, digests, .. } = SplitDataset::mnist_subset();
        let parts = Parts { test: Some(test.clone()), ..Parts::default() };
        let whole = SplitDataset::new("digits", parts, origin, digests).unwrap();
        let held = whole.clone().hold_out(300).unwrap();
        assert_eq!((held.train.len(), held.test.len()), (700, 300));
        assert_eq!(held.split, Split::standard(&held.train));
        let sorted = |parts: &[&Dataset]| {
            let image = |data: &Dataset, at| data.image(at).to_vec();
            let of =
                |data: &&Dataset| (0..data.len()).map(|at| image(data, at)).collect::<Vec<_>>();
            let mut images = parts.iter().flat_map(of).collect::<Vec<_>>();
            images.sort();
            images
        };
        assert_eq!(sorted(&[&held.train, &held.test]), sorted(&[&test]));

        let says = |set: SplitDataset, count| set.hold_out(count).unwrap_err().to_string();
        let expected = "cannot hold back 1001 images of data set `mnist-subset/test`: \
                        it must lie in 1..=1000 of them";
        assert_eq!(says(whole.clone(), 1001), expected);
        assert!(whole.clone().hold_out(0).is_err() && whole.hold_out(1000).is_ok());
        let expected = "cannot hold back 1 images of data set `mnist-subset/test`: \
                        it has images to train on apart";
        assert_eq!(says(SplitDataset::mnist_subset(), 1), expected);
    }
}
