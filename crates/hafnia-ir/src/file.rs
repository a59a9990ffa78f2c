//! Mappings in files, in their text form.

use std::fmt;
use std::path::{Path, PathBuf};

use hafnia_artifact::{ArtifactError, read, text, write_whole};

use crate::mapping::Mapping;
use crate::rules::Violations;
use crate::text::TextError;
use crate::verifier::verify;

/// Why a file of a mapping, or the files of a program, give no mapping.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ArtifactError),
    /// A file does not hold what it must hold.
    #[error("{}{}: {fault}", path.display(), place(*line, *column))]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, from 1, if it is known.
        line: Option<usize>,
        /// The character within the line, from 1, if it is known.
        column: Option<usize>,
        /// What is wrong, in words.
        fault: String,
    },
    /// The mapping breaks rules of its stage.
    #[error("{} breaks the rules of mappings", path.display())]
    Invalid {
        /// The file, or the header of the program.
        path: PathBuf,
        /// Which.
        source: Violations,
    },
}

/// Line and column as they follow the name of a file.
fn place(line: Option<usize>, column: Option<usize>) -> String {
    [line, column].into_iter().flatten().map(|number| format!(":{number}")).collect()
}

impl FileError {
    /// A file as a whole is wrong.
    pub(crate) fn whole(path: &Path, fault: impl fmt::Display) -> Self {
        Self::Content { path: path.into(), line: None, column: None, fault: fault.to_string() }
    }
}

/// Reads a mapping from its text form and verifies it.
///
/// # Errors
/// If the file cannot be read, is not a mapping (with file, line and column), or the mapping is not
/// valid.
pub fn read_mapping(path: impl AsRef<Path>) -> Result<Mapping, FileError> {
    let path = path.as_ref();
    parse_mapping(path, &text(path, read(path)?)?)
}

/// The mapping in the text of a file of this name, verified.
fn parse_mapping(path: &Path, text: &str) -> Result<Mapping, FileError> {
    let mapping: Mapping = text.parse().map_err(|error| {
        let TextError { line, column, expected, found } = error;
        let fault = format!("expected {expected}, found {found}");
        FileError::Content { path: path.into(), line: Some(line), column: Some(column), fault }
    })?;
    verify(&mapping).map_err(|source| FileError::Invalid { path: path.into(), source })?;
    Ok(mapping)
}

/// Writes a mapping in its text form, whole or not at all.
///
/// The text is read back before it is put in place.
///
/// # Errors
/// [`ArtifactError::Io`] naming the file, and those of [`read_mapping`], should it refuse the text.
pub fn write_mapping(path: impl AsRef<Path>, mapping: &Mapping) -> Result<(), FileError> {
    let (path, text) = (path.as_ref(), mapping.to_string());
    parse_mapping(path, &text)?;
    Ok(write_whole(path, text.as_bytes())?)
}
