//! [`SweepError`]: what can be wrong with a sweep.

use std::path::PathBuf;

use hafnia_artifact::ArtifactError;
use hafnia_sim::SimError;
use thiserror::Error;

/// What can be wrong with a sweep.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SweepError {
    /// The text is not a sweep.
    #[error("not a sweep")]
    Syntax(#[source] toml::de::Error),
    /// What is asked for, or a folder, that no sweep can have: a sentence.
    #[error("{0}")]
    Invalid(String),
    /// A folder that holds no sweep.
    #[error("{} holds no sweep: give the sweep's TOML file", path.display())]
    NoSweep {
        /// The folder.
        path: PathBuf,
    },
    /// Slurm's command is missing or fails.
    #[error("sbatch {problem}; submit by hand: {by_hand}; or run --on local")]
    Sbatch {
        /// What it says.
        problem: String,
        /// What is to be typed in its place.
        by_hand: String,
    },
    /// A folder that cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Parts of a point that do not fit together.
    #[error(transparent)]
    Parts(#[from] SimError),
    /// A file that cannot be read or written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}
