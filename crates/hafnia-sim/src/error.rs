//! [`SimError`]: why a chip, a run or a profile was refused.

use hafnia_artifact::Digest;
use hafnia_cim::CimError;
use hafnia_ir::{Geometry, Stage, Violations};
use hafnia_text::must;

/// Why a chip, an evaluation or a profile was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// A chip can be programmed only once every tile has its place.
    #[error("a chip is programmed from a mapping at stage `placed`, this one is at `{stage}`")]
    Stage {
        /// Stage of the mapping.
        stage: Stage,
    },
    /// The mapping was made for other macros.
    #[error(
        "the mapping is for macros of {}x{} {}-bit cells, `{}` has {}x{} {}-bit cells",
        mapping.rows, mapping.columns, mapping.cell_bits, own.name, own.rows, own.columns, own.cell_bits
    )]
    Geometry {
        /// The macros it was made for.
        mapping: Box<Geometry>,
        /// Those of the spec.
        own: Box<Geometry>,
    },
    /// The mapping maps another network.
    #[error("the mapping is of another network")]
    Network(#[source] Box<Violations>),
    /// The mapping breaks a rule of its stage.
    #[error("the mapping is not well formed")]
    Mapping(#[source] Box<Violations>),
    /// The description of the macro is wrong.
    #[error("the macro is not well described")]
    Spec(#[source] Box<CimError>),
    /// A saved chip was programmed with another mapping.
    #[error("chip {chip} was programmed with mapping {programmed}, not with {mapping}")]
    OtherMapping {
        /// Number of the chip.
        chip: u64,
        /// Digest of the mapping it was programmed with.
        programmed: Digest,
        /// Digest of the mapping that is run.
        mapping: Digest,
    },
    /// A saved chip was programmed for another converter.
    #[error("chip {chip} has {comparators} comparators a column, macro `{spec}` has {expected}")]
    OtherConverter {
        /// Number of the chip.
        chip: u64,
        /// Its comparators, a column.
        comparators: usize,
        /// Name of the spec.
        spec: String,
        /// Those of the spec.
        expected: usize,
    },
    /// A saved chip names a mapping whose tiles it does not hold.
    #[error(
        "chip {chip} does not hold the tiles of its mapping: make it again with `hafnia chip program`"
    )]
    OtherTiles {
        /// Number of the chip.
        chip: u64,
    },
    /// No engine has this name.
    #[error("there is no engine `{name}`: it is `exact`, `table` or `device`")]
    Engine {
        /// The name.
        name: String,
    },
    /// A run on more chips than are saved.
    #[error("chips up to {end} were asked for, {available} are saved")]
    SavedChips {
        /// The end of the range that was asked for.
        end: usize,
        /// Saved chips.
        available: usize,
    },
    /// An evaluation over no chip has no mean.
    #[error("0 chips were asked for, at least 1 is needed")]
    NoChips,
    /// Evaluations that are not of one thing.
    #[error("these evaluations are of different images, networks, engines or converters")]
    Unlike,
    /// An evaluation or a profile over no image.
    #[error("there are no images, at least 1 is needed")]
    NoImages,
    /// An image has another number of activations than the network's input.
    #[error("image {image} has {found} activations, the network takes {expected}")]
    ImageSize {
        /// Index of the image.
        image: usize,
        /// Activations that are there.
        found: usize,
        /// Activations of the network's input.
        expected: usize,
    },
    /// An image has another number of targets than the network has outputs.
    #[error("image {image} has {found} targets, it must have {expected}: one for each output")]
    Targets {
        /// Index of the image.
        image: usize,
        /// Targets that are there.
        found: usize,
        /// Outputs of the network.
        expected: usize,
    },
    /// An activation is larger than the network's input takes, or a label is no class of it.
    #[error("image {image}: {what} is {found}, it {}", must(0, *max))]
    Value {
        /// Index of the image.
        image: usize,
        /// `an activation` or `the label`.
        what: &'static str,
        /// What it is.
        found: u32,
        /// The largest allowed.
        max: usize,
    },
    /// The scope of noise names a matrix that the network does not have, or none at all.
    #[error("the scope of noise names matrix {matrix}, it must name some of the {matrices}")]
    Scope {
        /// Index of the matrix; the number of matrices if none was named.
        matrix: usize,
        /// Matrices of the network.
        matrices: usize,
    },
    /// A profile over more images than there are.
    #[error("a profile over {wanted} images was asked for, their number {}", must(1, *available))]
    Sample {
        /// Images asked for.
        wanted: usize,
        /// Images that are there.
        available: usize,
    },
}
