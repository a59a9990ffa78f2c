//! What can be wrong with recorded networks, one variant each.

use hafnia_artifact::{ArtifactError, Digest};

/// What went wrong with recorded networks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZooError {
    /// A name that no recorded network has.
    #[error("no recorded network `{name}`: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names there are, in a phrase.
        known: String,
    },
    /// A record that is not one.
    #[error("{file} is not a record: make it again with `cargo xtask record`")]
    NotRecord {
        /// The file.
        file: String,
        /// Where the JSON goes wrong.
        source: serde_json::Error,
    },
    /// A record that contradicts itself or its place.
    #[error("{file}: {fault}; make it again with `cargo xtask record`")]
    Fault {
        /// The file.
        file: String,
        /// What is wrong with it.
        fault: String,
    },
    /// A network of a record that is not there.
    #[error("{file} is missing: its record names it")]
    Missing {
        /// The file.
        file: String,
    },
    /// A file that no record names.
    #[error("{file} is in no record: remove it, or make the record with `cargo xtask record`")]
    Stray {
        /// The file.
        file: String,
    },
    /// A file that cannot be read, or holds no network.
    #[error(transparent)]
    File(#[from] ArtifactError),
    /// A network that is not the recorded one.
    #[error("{file} holds network {found}, recorded is {expected}")]
    Digest {
        /// The file.
        file: String,
        /// The digest of its network.
        found: Digest,
        /// The digest in the record.
        expected: Digest,
    },
}
