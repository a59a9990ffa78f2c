//! What can be wrong with a data set or its source.

use std::{io, path::PathBuf};

use hafnia_artifact::ArtifactError;

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
    /// A file or folder is no data set in a form that is known.
    #[error(
        "{} holds no data set: give a folder with MNIST's four files or others in their form, with \
         the binary batches of CIFAR-10, with arrays (.npy) or with a folder of PNG files for each \
         class, or a file of arrays (.npz) or of images (.npy)",
        path.display()
    )]
    Form {
        /// The file or folder.
        path: PathBuf,
    },
    /// A file does not hold what it must hold.
    #[error("{file} {fault}")]
    Content {
        /// The file or its address.
        file: String,
        /// What it holds and what it must, in words.
        fault: String,
        /// What the decoder says, if it refuses the file.
        source: Option<io::Error>,
    },
    /// A file or a package cannot be fetched.
    #[error("cannot fetch {from}")]
    Fetch {
        /// Its address or name.
        from: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
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
    /// A network cannot be shown the images of a data set.
    #[error("data set `{name}` {fault}")]
    Unfit {
        /// The data set.
        name: String,
        /// What it has and what it must, in words.
        fault: String,
    },
    /// Images cannot be held back from a data set.
    #[error("cannot hold back {count} images of data set `{name}`: {why}")]
    HoldOut {
        /// The images to be held back.
        count: usize,
        /// The data set.
        name: String,
        /// What stands against it.
        why: String,
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

impl DataError {
    /// A file does not hold what it must hold.
    pub(crate) fn content(file: &str, fault: String) -> Self {
        Self::Content { file: file.to_owned(), fault, source: None }
    }
}
