//! What can go wrong in a pass and in a pipeline.

use std::{error::Error, path::PathBuf};

use hafnia_artifact::ArtifactError;
use hafnia_cim::CimError;
use hafnia_ir::{Planes, ProfileError, Stage, Violations};

/// Any error, as callbacks and passes of users return it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a pass did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassError {
    /// The pass looks at training images and there is no profile.
    #[error("{what} needs a profile of training images: make one with `hafnia profile`")]
    NoProfile {
        /// The pass or method.
        what: &'static str,
    },
    /// The profile does not belong to the network.
    #[error("unfit profile: make one with `hafnia profile`")]
    Profile(#[from] ProfileError),
    /// The profile says nothing of a matrix.
    #[error("the profile has no sample for matrix `{matrix}`, it must have at least 1")]
    NoSample {
        /// Name of the matrix.
        matrix: String,
    },
    /// An option names a matrix that the network does not have.
    #[error("the network has no matrix `{name}`, it has {}", .known.join(", "))]
    UnknownMatrix {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// What is asked for weighs noise, and nobody knows that of cells with more than two levels.
    #[error(
        "{what} weighs the errors of codes, which are known of cells of 1 bit only: `{name}` has cells of {cell_bits} bits"
    )]
    MultiLevel {
        /// What is asked for.
        what: &'static str,
        /// Name of the macro.
        name: String,
        /// Bits of a cell.
        cell_bits: u8,
    },
    /// What is asked for weighs noise, and the code table of the macro would be too large.
    #[error("{what} weighs the errors of codes, whose table would be too large")]
    NoTable {
        /// What is asked for.
        what: &'static str,
        /// The size.
        source: Box<CimError>,
    },
    /// The order of a tile cannot be searched for exactly.
    #[error(
        "method `exact` takes tiles of at most 16 rows, none of them shared or negative, that are scanned in one window: a tile of matrix `{matrix}` is not one"
    )]
    NotExact {
        /// Name of the matrix.
        matrix: String,
    },
    /// Weights of a matrix have no code.
    #[error(
        "matrix `{matrix}` has weights of {smallest} to {largest}, for which coding `{coding}` has no codes in cells of {cell_bits} bits"
    )]
    NoCode {
        /// Name of the matrix.
        matrix: String,
        /// Name of the coding.
        coding: &'static str,
        /// The smallest weight.
        smallest: i32,
        /// The largest.
        largest: i32,
        /// Bits of a cell.
        cell_bits: u8,
    },
    /// A coding that does not hold the activations that reach a matrix.
    #[error(
        "matrix `{matrix}` is given activations of {lowest} to {highest}, for which coding `{coding}` has no codes of at most {} bits",
        Planes::MOST_CODED
    )]
    NoInputCode {
        /// Name of the matrix.
        matrix: String,
        /// Name of the coding.
        coding: &'static str,
        /// The lowest activation.
        lowest: i32,
        /// The highest.
        highest: i32,
    },
    /// An option allows less than is there already.
    #[error("`{option}` is {value}: it must be 0, or at least {least}, {what}")]
    TooSmall {
        /// Name of the option.
        option: &'static str,
        /// Its value.
        value: usize,
        /// The smallest value that it may have beside 0.
        least: usize,
        /// What that is.
        what: String,
    },
    /// The sums that a tile adds up before its rows are wider than the damage can be worked out for.
    #[error(
        "rows of matrix `{matrix}` add activations up to {bits} bits, the damage is known for at most 8"
    )]
    WideSums {
        /// Name of the matrix.
        matrix: String,
        /// Bits of the largest sum.
        bits: u8,
    },
    /// Rows that add activations first cannot be taken apart one by one.
    #[error(
        "rows of matrix `{matrix}` add activations first: rows are allocated to a matrix that was renamed with mode `repeat`, or not at all"
    )]
    RowsAdded {
        /// Name of the matrix.
        matrix: String,
    },
    /// A candidate of a search could not be mapped.
    #[error("a candidate cannot be mapped")]
    Candidate(#[source] Box<PipelineError>),
    /// The error of a pass that is not of this crate.
    #[error(transparent)]
    Other(BoxError),
}

/// Why a pipeline was refused or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// A pipeline file could not be read.
    #[error(
        "pipeline {} is none of the built-in ones ({}){}",
        .path.display(), .builtin.join(", "), did_you_mean(.nearest)
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Names that would have been no file.
        builtin: Vec<&'static str>,
        /// The one of these that was probably meant.
        nearest: Option<&'static str>,
        /// Why.
        source: Box<ArtifactError>,
    },
    /// A pipeline is not the TOML that it should be.
    #[error("not a pipeline")]
    Syntax(#[source] toml::de::Error),
    /// A pipeline names a pass that is not registered.
    #[error("unknown pass `{name}` (pass {index}); {}", known_names(.nearest, .known))]
    UnknownPass {
        /// Position in the pipeline, from 1.
        index: usize,
        /// The name.
        name: String,
        /// The registered name that looks most like it, if one does.
        nearest: Option<&'static str>,
        /// The registered names.
        known: Vec<&'static str>,
    },
    /// The options of a pass are unknown or outside their range.
    #[error("wrong option of pass `{pass}` (pass {index})")]
    Options {
        /// Position in the pipeline, from 1.
        index: usize,
        /// Name of the pass.
        pass: &'static str,
        /// What is wrong.
        #[source]
        source: BoxError,
    },
    /// A pass cannot start where the one before it ends.
    #[error(
        "pass `{pass}` (pass {index}) takes a mapping that is {}, but here it is {}",
        stage_names(.takes), stage_names(.found)
    )]
    Stages {
        /// Position in the pipeline, from 1.
        index: usize,
        /// Name of the pass.
        pass: &'static str,
        /// What it takes.
        takes: &'static [Stage],
        /// What it would be given.
        found: Vec<Stage>,
    },
    /// `until` names a pass that is not in the pipeline.
    #[error("pipeline `{pipeline}` has no pass `{name}`, it has {}", .known.join(", "))]
    NotInPipeline {
        /// Name of the pipeline.
        pipeline: String,
        /// The name.
        name: String,
        /// The passes it has.
        known: Vec<&'static str>,
    },
    /// The mapping to start from is for another macro.
    #[error("the mapping is for macro `{found}`, not for `{expected}` of this size")]
    Geometry {
        /// Macro of the mapping.
        found: String,
        /// Macro of the context.
        expected: String,
    },
    /// The profile does not belong to the network.
    #[error("unfit profile: make one with `hafnia profile`")]
    Profile(#[source] ProfileError),
    /// The code table is too small for the macro.
    #[error("the code table does not fit the macro")]
    CodeTable(#[source] CimError),
    /// The mapping to start from is not sound, before any pass was run.
    #[error("the mapping to start from is not sound")]
    Start(#[source] Unsound),
    /// A pass did not do its work.
    #[error("pass `{pass}` stopped")]
    Pass {
        /// Name of the pass.
        pass: &'static str,
        /// Why.
        #[source]
        source: PassError,
    },
    /// A pass broke the mapping.
    #[error("pass `{pass}` broke the mapping: this is a bug of the pass")]
    Bug {
        /// Name of the pass.
        pass: &'static str,
        /// What is broken.
        #[source]
        source: Unsound,
    },
    /// What was to be done after a pass failed.
    #[error("after pass `{pass}`")]
    After {
        /// Name of the pass.
        pass: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
}

impl PipelineError {
    pub(crate) fn options(index: usize, pass: &'static str, source: BoxError) -> Self {
        Self::Options { index, pass, source }
    }
}

/// Why a mapping is not sound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unsound {
    /// Rules of its stage or of the proof are broken.
    #[error(transparent)]
    Rules(#[from] Violations),
    /// A pass did not leave the stage that it says it leaves.
    #[error("the mapping is {found}, it must be {expected}")]
    Stage {
        /// The stage it left.
        found: Stage,
        /// The stage its description names.
        expected: Stage,
    },
}

fn did_you_mean(nearest: &Option<&str>) -> String {
    nearest.map_or(String::new(), |nearest| format!(", did you mean `{nearest}`?"))
}

fn known_names(nearest: &Option<&str>, known: &[&str]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("the passes are {}", known.join(", ")),
    }
}

fn stage_names(stages: &[Stage]) -> String {
    let names: Vec<&str> = stages.iter().map(|stage| stage.name()).collect();
    names.join(" or ")
}
