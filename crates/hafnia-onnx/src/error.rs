//! Why a file is not imported.

use std::path::PathBuf;

use hafnia_artifact::ArtifactError;

/// Why a file is not imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] ArtifactError),
    /// A file does not hold what it must hold.
    #[error("{}: {fault}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, in words.
        fault: String,
    },
    /// A node computes what cannot be taken over exactly.
    #[error("{}: {node}: {fault}", path.display())]
    Node {
        /// The file.
        path: PathBuf,
        /// Operator and name of the node.
        node: String,
        /// What is wrong and what would be accepted, in words.
        fault: String,
    },
}
