//! Mappings in files, in their text form.

use std::path::{Path, PathBuf};

use hafnia_artifact::{ArtifactError, read, write_whole};

use crate::{Mapping, TextError, Violation, verify};

/// Why a file gives no mapping.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MappingFileError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ArtifactError),
    /// The file is not text.
    #[error("{} is not a mapping: byte {byte} is not UTF-8", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The first byte that is wrong, from 0.
        byte: usize,
    },
    /// The text is not a mapping.
    #[error(
        "{}:{}:{}: expected {}, found {}",
        path.display(), error.line, error.column, error.expected, error.found
    )]
    Text {
        /// The file.
        path: PathBuf,
        /// Where and how.
        error: TextError,
    },
    /// The mapping breaks a rule of its stage.
    #[error("{} breaks a rule of mappings", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Which.
        source: Violation,
    },
}

/// Reads a mapping from its text form and verifies it.
///
/// # Errors
/// If the file cannot be read, is not a mapping (with file, line and column), or the mapping is not
/// valid.
pub fn read_mapping(path: impl AsRef<Path>) -> Result<Mapping, MappingFileError> {
    let path = path.as_ref();
    let text = String::from_utf8(read(path)?).map_err(|error| MappingFileError::Encoding {
        path: path.into(),
        byte: error.utf8_error().valid_up_to(),
    })?;
    let mapping: Mapping =
        text.parse().map_err(|error| MappingFileError::Text { path: path.into(), error })?;
    verify(&mapping).map_err(|source| MappingFileError::Invalid { path: path.into(), source })?;
    Ok(mapping)
}

/// Writes a mapping in its text form, whole or not at all.
///
/// # Errors
/// [`ArtifactError::Io`] naming the file.
pub fn write_mapping(path: impl AsRef<Path>, mapping: &Mapping) -> Result<(), ArtifactError> {
    write_whole(path, mapping.to_string().as_bytes())
}
