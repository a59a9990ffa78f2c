//! What can be wrong with claims, metrics and what is to be drawn.

use std::path::PathBuf;

use hafnia_artifact::ArtifactError;

/// Why claims, a metric, a report or a plot was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] ArtifactError),
    /// The claims file is not TOML of the right shape.
    #[error("{}, line {line}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where in it, counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A value is outside its range.
    #[error("{key} is {value}, it must be {range}")]
    Range {
        /// Name of the value.
        key: String,
        /// The value.
        value: f64,
        /// The allowed range, in words.
        range: &'static str,
    },
    /// Something that needs at least one element has none.
    #[error("{what} is empty")]
    Empty {
        /// Name of the list.
        what: String,
    },
    /// Parts that do not belong together: a sentence.
    #[error("{0}")]
    Invalid(String),
    /// A metric is NaN or infinite.
    #[error("metric `{key}` is {value}, it must be finite")]
    NotFinite {
        /// Key of the metric.
        key: String,
        /// The value.
        value: f64,
    },
    /// A list has the wrong length for the list beside it.
    #[error("{what} has {len} elements, it must have {expected}")]
    Length {
        /// Name of the list.
        what: String,
        /// Its length.
        len: usize,
        /// The length it must have.
        expected: usize,
    },
    /// A folder holds no report.
    #[error("{} holds no report.json: make one with `cargo xtask reproduce --out {}`", folder.display(), folder.display())]
    NoReport {
        /// The folder.
        folder: PathBuf,
    },
    /// A file of a report is not what it should be.
    #[error("{} is not a {what}", path.display())]
    NotReport {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// What and where.
        #[source]
        source: serde_json::Error,
    },
    /// The plotting library failed.
    #[error("the plot could not be drawn")]
    Plot(#[source] Box<dyn std::error::Error + Send + Sync>),
}
