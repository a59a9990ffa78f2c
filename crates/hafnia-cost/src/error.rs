//! What can be wrong with a cost model or with what it is asked.

use hafnia_artifact::ArtifactError;

/// Why a cost model was refused, or a cost could not be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CostError {
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] ArtifactError),
    /// A model is wrong, or there is none of that name.
    #[error("cost model `{model}`{} {fault}", key.as_ref().map(|key| format!(": {key}")).unwrap_or_default())]
    Model {
        /// Name of the model.
        model: String,
        /// The key that is wrong; none if it is the whole.
        key: Option<String>,
        /// What is wrong and what must be, in words.
        fault: String,
        /// What the parser says, if it refuses the text.
        source: Option<Box<toml::de::Error>>,
    },
    /// Counts of another mapping.
    #[error("counts of {counted} tiles over {images} images, the mapping has {tiles} tiles")]
    Tally {
        /// Tiles that were counted.
        counted: usize,
        /// Images they were counted over.
        images: u64,
        /// Tiles of the mapping.
        tiles: usize,
    },
    /// Two mappings whose areas cannot be compared.
    #[error("mappings of {natural} and {other} layers cannot be compared")]
    Layers {
        /// Layers of the one.
        natural: usize,
        /// Layers of the other.
        other: usize,
    },
}

impl CostError {
    /// A key of a model is wrong.
    pub(crate) fn of_key(model: &str, key: &str, fault: String) -> Self {
        Self::Model { model: model.to_owned(), key: Some(key.to_owned()), fault, source: None }
    }

    /// A model is wrong as a whole.
    pub(crate) fn whole(model: &str, fault: String) -> Self {
        Self::Model { model: model.to_owned(), key: None, fault, source: None }
    }
}
