//! [`SweepError`]: what can be wrong with a sweep.

use std::path::PathBuf;

use hafnia_artifact::{ArtifactError, Digest};
use hafnia_sim::SimError;
use thiserror::Error;

/// What can be wrong with a sweep.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SweepError {
    /// The text is not a sweep.
    #[error("not a sweep")]
    Syntax(#[source] toml::de::Error),
    /// A key that there is not.
    #[error("no key `{key}` can be swept, the nearest is `{nearest}`")]
    UnknownKey {
        /// As it is written.
        key: String,
        /// A key that there is.
        nearest: String,
    },
    /// A key stands where one of its parts does too, or twice.
    #[error("`{key}` is given by [base] as well as by [axes]: leave it out of one")]
    Twice {
        /// The key.
        key: String,
    },
    /// An axis that gives no points.
    #[error("axis `{key}`: {fault}")]
    Axis {
        /// Its key.
        key: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// A setting out of range.
    #[error("`{key}` is {found}, {allowed}")]
    Setting {
        /// Its name.
        key: &'static str,
        /// Its value.
        found: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// No points at all.
    #[error("the sweep has no points: give [axes] or [[point]]")]
    Empty,
    /// Axes beside points that are listed.
    #[error("give either [axes] or [[point]], not both")]
    AxesAndPoints,
    /// More points than anybody wants to have started by mistake.
    #[error("the sweep has {points} points, more than {most}: give --yes if that is meant")]
    TooMany {
        /// How many.
        points: u128,
        /// The limit.
        most: usize,
    },
    /// A folder that holds another sweep.
    #[error(
        "{} holds another sweep ({found}), not this one ({expected}): \
         give another --out or remove the folder",
        path.display()
    )]
    OtherSweep {
        /// The folder.
        path: PathBuf,
        /// The digest of its plan.
        found: Digest,
        /// The digest of this plan.
        expected: Digest,
    },
    /// A folder that holds no sweep.
    #[error("{} holds no sweep: give the sweep's TOML file", path.display())]
    NoSweep {
        /// The folder.
        path: PathBuf,
    },
    /// A folder whose plan was written by a revision that knew less.
    #[error(
        "{} holds a sweep of another revision of hafnia, whose plan does not say all that results \
         depend on: give another --out or remove the folder",
        path.display()
    )]
    OtherRevision {
        /// The folder.
        path: PathBuf,
    },
    /// A shard that is of another sweep, or not the one that its name says.
    #[error("{} is not a shard of this sweep: remove it", path.display())]
    ForeignShard {
        /// Its file.
        path: PathBuf,
    },
    /// A share that there is not.
    #[error("share `{found}` must be K/N with K from 0 to N − 1, such as 0/2 and 1/2")]
    Share {
        /// As it is written.
        found: String,
    },
    /// A shard name that there is not.
    #[error("the sweep has no shard `{found}`")]
    ShardName {
        /// As it is written.
        found: String,
    },
    /// Slurm's command is missing or fails.
    #[error("sbatch {problem}; the script is {}: submit it by hand, or run --on local", script.display())]
    Sbatch {
        /// What it says.
        problem: String,
        /// The script that was to be submitted.
        script: PathBuf,
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
