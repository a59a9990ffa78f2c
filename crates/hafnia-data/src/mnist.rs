//! MNIST, its four files and the subset that is part of every binary.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use hafnia_artifact::Digest;
use hafnia_text::must;
use serde::{Deserialize, Serialize};

use crate::{
    dataset::Dataset,
    error::DataError,
    idx,
    parts::Parts,
    split::{STANDARD, Split},
};

/// MNIST, 28×28 handwritten digits in 10 classes, or the committed subset of it; or the data set that
/// a user names in MNIST's stead.
#[derive(Debug, Clone)]
pub struct Mnist {
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

/// What is known of a file before it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File {
    /// Its usual name, without ".gz".
    pub(crate) name: &'static str,
    /// Its uncompressed length.
    pub(crate) bytes: usize,
    /// SHA-256 of its uncompressed content.
    pub(crate) digest: Digest,
}

/// The bytes any file may have: several times MNIST's largest, so that the digest of most other
/// files can be told, and little enough for a small machine.
pub(crate) const LIMIT: usize = 1 << 28;

impl File {
    const fn new(name: &'static str, bytes: usize, digest: &str) -> Self {
        match Digest::from_hex(digest) {
            Some(digest) => Self { name, bytes, digest },
            None => panic!("not a digest"),
        }
    }

    /// The uncompressed content of this file, if that is what these bytes are.
    ///
    /// `place` is where they came from, for errors.
    pub(crate) fn verified(&self, place: &str, bytes: Vec<u8>) -> Result<Vec<u8>, DataError> {
        let content = idx::uncompressed(place, bytes, LIMIT)?;
        self.check(place, &content)?;
        Ok(content)
    }

    /// Whether this is its content.
    pub(crate) fn check(&self, place: &str, content: &[u8]) -> Result<(), DataError> {
        let (found, expected) = (Digest::of(content), self.digest);
        if found == expected {
            return Ok(());
        }
        Err(DataError::content(
            place,
            format!(
                "has SHA-256 {found} (uncompressed), expected {expected}: it is not MNIST's, get the \
             original file, or keep another data set apart from MNIST's files"
            ),
        ))
    }
}

/// Images and labels to train on, images and labels to test on.
pub(crate) type Files = [File; 4];

/// The four files of MNIST.
pub(crate) const FULL: Files = [
    File::new(
        "train-images-idx3-ubyte",
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    File::new(
        "train-labels-idx1-ubyte",
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    File::new(
        "t10k-images-idx3-ubyte",
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    File::new(
        "t10k-labels-idx1-ubyte",
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
];

/// The files of the subset, see `datasets/README.md`.
const SUBSET: Files = [
    File::new(
        "train-images-idx3-ubyte",
        1_568_016,
        "5742f398058fe36aaf1b8edb1051aa6ed96831e24fd15bf6ac80362ceb9942bc",
    ),
    File::new(
        "train-labels-idx1-ubyte",
        2_008,
        "5845824a1405e379f337fe3db6e4fa8614766ce3767bbb4825466b35c5ac044b",
    ),
    File::new(
        "t10k-images-idx3-ubyte",
        784_016,
        "b97c8bfeb834d8e7999eaa2d69239abe06653dc09c1e5d7eb0c974c5965bc6a9",
    ),
    File::new(
        "t10k-labels-idx1-ubyte",
        1_008,
        "41cf2f530031915ba9fbb241407c369dba1acd7515053edff48cebeee8b260f4",
    ),
];

const SUBSET_BYTES: [&[u8]; 4] = [
    include_bytes!("../mnist-subset/train-images-idx3-ubyte.gz"),
    include_bytes!("../mnist-subset/train-labels-idx1-ubyte.gz"),
    include_bytes!("../mnist-subset/t10k-images-idx3-ubyte.gz"),
    include_bytes!("../mnist-subset/t10k-labels-idx1-ubyte.gz"),
];

impl Mnist {
    /// The committed subset: the first 200 training and 100 test images of each class.
    ///
    /// It needs no file and no network. Results on it judge nothing about the full set.
    pub fn subset() -> Self {
        let parse = || {
            let mut contents = [const { Vec::new() }; 4];
            for ((content, file), bytes) in contents.iter_mut().zip(&SUBSET).zip(SUBSET_BYTES) {
                *content = file.verified(file.name, bytes.to_vec())?;
            }
            Self::parse("mnist-subset", &SUBSET, &contents, Origin::Subset)
        };
        match parse() {
            Ok(mnist) => mnist,
            Err(error) => unreachable!("the subset in this binary is not intact: {error}"),
        }
    }

    /// Whether these are all images of MNIST; if not, results on it judge no claim.
    pub fn is_full(&self) -> bool {
        FULL.iter().all(|file| self.digests.get(file.name) == Some(&file.digest))
    }

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

    /// The data set in the content of these files.
    pub(crate) fn parse(
        name: &str,
        files: &Files,
        contents: &[Vec<u8>; 4],
        origin: Origin,
    ) -> Result<Self, DataError> {
        let dataset = |part: &str, images: usize, labels: usize| {
            idx::parse_dataset(
                &format!("{name}/{part}"),
                (files[images].name, &contents[images]),
                (files[labels].name, &contents[labels]),
            )
        };
        let (train, test) = (Some(dataset("train", 0, 1)?), Some(dataset("test", 2, 3)?));
        let digest =
            |(file, content): (&File, &Vec<u8>)| (file.name.to_owned(), Digest::of(content));
        let digests = files.iter().zip(contents).map(digest).collect();
        Self::new(name, Parts { train, test, ..Parts::default() }, origin, digests)
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
    fn the_subset_is_balanced() {
        let mnist = Mnist::subset();
        assert!(!mnist.is_full());
        for (data, name, of_a_class) in
            [(&mnist.train, "mnist-subset/train", 200), (&mnist.test, "mnist-subset/test", 100)]
        {
            assert_eq!((data.name.as_str(), data.shape), (name, [1, 28, 28]));
            assert_eq!((data.len(), data.classes()), (10 * of_a_class, 10));
            for class in 0..10 {
                let labels = data.labels().unwrap().iter();
                let count = labels.filter(|&&label| label == class).count();
                assert_eq!(count, of_a_class, "{name}: {class}");
            }
        }
    }

    #[test]
    fn images_are_held_out_of_a_set_in_one_part() {
        let Mnist { test, origin, digests, .. } = Mnist::subset();
        let parts = Parts { test: Some(test.clone()), ..Parts::default() };
        let whole = Mnist::new("digits", parts, origin, digests).unwrap();
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

        let says = |set: Mnist, count| set.hold_out(count).unwrap_err().to_string();
        let expected = "cannot hold back 1001 images of data set `mnist-subset/test`: \
                        it must lie in 1..=1000 of them";
        assert_eq!(says(whole.clone(), 1001), expected);
        assert!(whole.clone().hold_out(0).is_err() && whole.hold_out(1000).is_ok());
        let expected = "cannot hold back 1 images of data set `mnist-subset/test`: \
                        it has images to train on apart";
        assert_eq!(says(Mnist::subset(), 1), expected);
    }

    #[test]
    fn the_subset_has_its_digests() {
        let digests = Mnist::subset().digests;
        for (file, bytes) in SUBSET.iter().zip(SUBSET_BYTES) {
            let content = file.verified(file.name, bytes.to_vec()).unwrap();
            assert_eq!(content.len(), file.bytes, "{}", file.name);
            assert_eq!(digests[file.name], file.digest);
        }
        let bytes: usize = SUBSET_BYTES.iter().map(|bytes| bytes.len()).sum();
        assert!(bytes < 1_000_000, "{bytes} bytes are in every clone and every binary");
    }
}
