//! What can be wrong with a cost model or with what it is asked.

use std::path::PathBuf;

/// Why a cost model was refused, or a cost could not be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CostError {
    /// There is no built-in model of that name.
    #[error("no cost model `{name}`; there is {known}, and a path has a `/` or ends in `.toml`")]
    UnknownModel {
        /// The name.
        name: String,
        /// The built-in models.
        known: &'static str,
    },
    /// A file could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("cost model `{model}` is not TOML")]
    Syntax {
        /// Name of the model.
        model: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A key that no model has.
    #[error("cost model `{model}`: no key `{key}`; keys are {keys}")]
    UnknownKey {
        /// Name of the model.
        model: String,
        /// The key.
        key: String,
        /// All keys.
        keys: String,
    },
    /// A key that is not given; there are no defaults.
    #[error("cost model `{model}`: key `{key}` is missing")]
    MissingKey {
        /// Name of the model.
        model: String,
        /// The key.
        key: &'static str,
    },
    /// A constant is not written with its unit and source.
    #[error(
        "cost model `{model}`: {key} is not of the form \
         `{{ value = …, lo = …, hi = …, unit = \"…\", source = \"…\" }}`"
    )]
    Form {
        /// Name of the model.
        model: String,
        /// The key.
        key: &'static str,
        /// What the parser met.
        source: Box<toml::de::Error>,
    },
    /// A constant is in another unit than its key says.
    #[error("cost model `{model}`: {key} is in `{unit}`, it must be in `{expected}`")]
    Unit {
        /// Name of the model.
        model: String,
        /// The key.
        key: &'static str,
        /// The unit of the file.
        unit: String,
        /// The unit of the key.
        expected: &'static str,
    },
    /// A constant is out of range.
    #[error("cost model `{model}`: {key} is {value} {unit}, it must lie in {min}..={max}")]
    Range {
        /// Name of the model.
        model: String,
        /// The key.
        key: &'static str,
        /// The value.
        value: f64,
        /// Its unit.
        unit: &'static str,
        /// The smallest allowed.
        min: f64,
        /// The largest allowed.
        max: f64,
    },
    /// The range of what is assumed is missing, or does not hold the value.
    #[error(
        "cost model `{model}`: {key} is assumed to be {value}, so it must have lo and hi with \
         lo <= value <= hi"
    )]
    Assumed {
        /// Name of the model.
        model: String,
        /// The key.
        key: &'static str,
        /// The value.
        value: f64,
    },
    /// A range without being assumed, or no source at all.
    #[error("cost model `{model}`: {key} has {what}")]
    Source {
        /// Name of the model.
        model: String,
        /// The key.
        key: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// Typical values that the published figures cannot be met with.
    #[error(
        "cost model `{model}` cannot be calibrated: {part} alone takes {taken:.4} {unit} of the \
         published {published:.4} {unit}"
    )]
    Calibration {
        /// Name of the model.
        model: String,
        /// What is not scaled.
        part: &'static str,
        /// What it takes.
        taken: f64,
        /// All there is.
        published: f64,
        /// Unit of both.
        unit: &'static str,
    },
    /// None of the draws can be calibrated.
    #[error("cost model `{model}`: none of {draws} draws of what is assumed can be calibrated")]
    NoDraws {
        /// Name of the model.
        model: String,
        /// Draws that were tried.
        draws: usize,
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
