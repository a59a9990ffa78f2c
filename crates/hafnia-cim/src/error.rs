//! What can be wrong with a macro's description.

use hafnia_artifact::ArtifactError;

/// Why a spec, a preset or a code table was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CimError {
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] ArtifactError),
    /// The description of a macro is wrong, or is of another macro than what it should go with.
    #[error("macro `{name}`{} {fault}", key.as_ref().map(|key| format!(": {key}")).unwrap_or_default())]
    Macro {
        /// Name of the preset or file.
        name: String,
        /// The key that is wrong, as in the TOML file; none if it is the whole.
        key: Option<String>,
        /// What is wrong and what must be, in words.
        fault: String,
        /// What the parser says, if it refuses the text.
        source: Option<Box<toml::de::Error>>,
    },
    /// Text that names no input control.
    #[error("input control is `{text}`, it must be {expected}")]
    InputControl {
        /// The text.
        text: String,
        /// The forms that there are.
        expected: &'static str,
    },
    /// A CSV file is wrong.
    #[error("{name}:{line}: {fault}")]
    Csv {
        /// Name of the file.
        name: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong on it and what must be, in words.
        fault: String,
    },
}

impl CimError {
    /// A key of a macro is wrong.
    pub(crate) fn of_key(name: &str, key: &str, fault: String) -> Self {
        Self::Macro { name: name.to_owned(), key: Some(key.to_owned()), fault, source: None }
    }

    /// A macro is wrong as a whole.
    pub(crate) fn whole(name: &str, fault: String) -> Self {
        Self::Macro { name: name.to_owned(), key: None, fault, source: None }
    }
}
