//! What can be wrong with claims, metrics and what is to be drawn.

use std::path::PathBuf;

/// Why claims, a metric, a report or a plot was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The claims file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
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
    /// The noise settings do not ascend.
    #[error("setting {index} ({setting}) does not lie above the one before it ({previous})")]
    Descends {
        /// Position of the setting, counted from 0.
        index: usize,
        /// The setting.
        setting: String,
        /// The setting before it.
        previous: String,
    },
    /// Two claims have one id.
    #[error("there are two claims `{id}`")]
    DuplicateClaim {
        /// The id.
        id: String,
    },
    /// A metric is NaN or infinite.
    #[error("metric `{key}` is {value}, it must be finite")]
    NotFinite {
        /// Key of the metric.
        key: String,
        /// The value.
        value: f64,
    },
    /// A metric was given twice.
    #[error("metric `{key}` is already {present}, it cannot be set to {value}")]
    DuplicateMetric {
        /// Key of the metric.
        key: String,
        /// The value it has.
        present: f64,
        /// The value it was to get.
        value: f64,
    },
    /// Some, but not all, metrics of a claim's reading were measured.
    #[error("claim {claim} needs the metric `{key}`")]
    MissingMetric {
        /// Id of the claim.
        claim: String,
        /// Key of the metric.
        key: String,
    },
    /// An interval's lower end lies above its upper.
    #[error("the interval of `{key}` runs from {lo} to {hi}, it must ascend")]
    Interval {
        /// Whose interval.
        key: String,
        /// Lower end.
        lo: f64,
        /// Upper end.
        hi: f64,
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
    /// An entry of a row table points outside the rows.
    #[error("entry {index} names {kind} row {row} of {rows}")]
    Row {
        /// Position of the entry.
        index: usize,
        /// `logical` or `physical`.
        kind: &'static str,
        /// The row it names.
        row: usize,
        /// How many rows there are.
        rows: usize,
    },
    /// A cell is neither 0 nor 1.
    #[error("{what} has a cell `{cell}`, it must be 0 or 1")]
    Cell {
        /// Whose cell.
        what: String,
        /// What stands for it.
        cell: char,
    },
    /// A block of cells does not lie on its macro.
    #[error("{what} takes {len} from {side} {start}, a macro has {of}")]
    Beyond {
        /// Name of the block.
        what: String,
        /// `row` or `column`.
        side: &'static str,
        /// Where it begins.
        start: usize,
        /// How many it takes.
        len: usize,
        /// How many there are.
        of: usize,
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
