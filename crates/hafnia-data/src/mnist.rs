//! MNIST, its four files and the subset that is part of every binary.

use hafnia_artifact::Digest;

use crate::{
    error::DataError,
    idx,
    parts::Parts,
    split_dataset::{Origin, SplitDataset},
};

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

impl SplitDataset {
    /// The committed subset: the first 200 training and 100 test images of each class.
    ///
    /// It needs no file and no network. Results on it judge nothing about the full set.
    pub fn mnist_subset() -> Self {
        let parse = || {
            let mut contents = [const { Vec::new() }; 4];
            for ((content, file), bytes) in contents.iter_mut().zip(&SUBSET).zip(SUBSET_BYTES) {
                *content = file.verified(file.name, bytes.to_vec())?;
            }
            Self::parse("mnist-subset", &SUBSET, contents, Origin::Subset)
        };
        match parse() {
            Ok(mnist) => mnist,
            Err(error) => unreachable!("the subset in this binary is not intact: {error}"),
        }
    }

    /// Whether these are all images of MNIST; if not, results on it judge no claim.
    pub fn is_mnist(&self) -> bool {
        FULL.iter().all(|file| self.digests.get(file.name) == Some(&file.digest))
    }

    /// The data set in the content of these files.
    pub(crate) fn parse(
        name: &str,
        files: &Files,
        contents: [Vec<u8>; 4],
        origin: Origin,
    ) -> Result<Self, DataError> {
        let digest =
            |(file, content): (&File, &Vec<u8>)| (file.name.to_owned(), Digest::of(content));
        let digests = files.iter().zip(&contents).map(digest).collect();
        let [train, train_labels, test, test_labels] = contents;
        let dataset = |part: &str, first: usize, images, labels: &[u8]| {
            let name = format!("{name}/{part}");
            idx::parse_dataset(&name, (files[first].name, images), (files[first + 1].name, labels))
        };
        let train = Some(dataset("train", 0, train, &train_labels)?);
        let test = Some(dataset("test", 2, test, &test_labels)?);
        Self::new(name, Parts { train, test, ..Parts::default() }, origin, digests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subset_is_balanced() {
        let mnist = SplitDataset::mnist_subset();
        assert!(!mnist.is_mnist());
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
    fn the_subset_has_its_digests() {
        let digests = SplitDataset::mnist_subset().digests;
        for (file, bytes) in SUBSET.iter().zip(SUBSET_BYTES) {
            let content = file.verified(file.name, bytes.to_vec()).unwrap();
            assert_eq!(content.len(), file.bytes, "{}", file.name);
            assert_eq!(digests[file.name], file.digest);
        }
        let bytes: usize = SUBSET_BYTES.iter().map(|bytes| bytes.len()).sum();
        assert!(bytes < 1_000_000, "{bytes} bytes are in every clone and every binary");
    }
}
