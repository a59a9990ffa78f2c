//! What can be asked of the simulator that it cannot do.

use hafnia_artifact::Digest;
use hafnia_cim::CimError;
use hafnia_ir::{MatrixId, Stage, Violations};

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
    /// The mapping was made for a macro of another size.
    #[error(
        "the mapping is for macros of {mapping_rows}x{mapping_columns}, macro `{spec}` has {rows}x{columns}"
    )]
    Geometry {
        /// Rows of a macro the mapping was made for.
        mapping_rows: usize,
        /// Columns of a macro the mapping was made for.
        mapping_columns: usize,
        /// Name of the spec.
        spec: String,
        /// Rows of the spec.
        rows: usize,
        /// Columns of the spec.
        columns: usize,
    },
    /// The mapping maps another network.
    #[error("the mapping is of network {mapping}, not of {network}")]
    Network {
        /// Digest the mapping holds.
        mapping: Digest,
        /// Digest of the network.
        network: Digest,
    },
    /// A matrix of the mapping has weights of another width than the network's.
    #[error(
        "matrix {matrix} has weights of {bits} bits in the mapping, of {network_bits} in the network"
    )]
    WeightBits {
        /// The matrix.
        matrix: MatrixId,
        /// Bits of a weight in the mapping.
        bits: u8,
        /// Bits of a weight in the network.
        network_bits: u8,
    },
    /// The mapping was made for cells that hold another number of bits.
    #[error(
        "the mapping is for cells of {cell_bits} bits, those of macro `{spec}` hold {spec_bits}"
    )]
    CellBits {
        /// Bits of a cell that the mapping was made for.
        cell_bits: u8,
        /// Name of the spec.
        spec: String,
        /// Bits of a cell of the spec.
        spec_bits: u8,
    },
    /// A matrix of the mapping has another size than the network's.
    #[error(
        "matrix {matrix} is {rows}x{columns} in the mapping, {network_rows}x{network_columns} in the network"
    )]
    Matrix {
        /// The matrix.
        matrix: MatrixId,
        /// Its rows in the mapping; 0 if it is missing there.
        rows: usize,
        /// Its columns in the mapping; 0 if it is missing there.
        columns: usize,
        /// Its rows in the network; 0 if it is missing there.
        network_rows: usize,
        /// Its columns in the network; 0 if it is missing there.
        network_columns: usize,
    },
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
    /// Activations and labels do not make images of the network's input.
    #[error("{labels} labels take {labels} times {length} activations, not {activations}")]
    ImageSize {
        /// Labels: number of images.
        labels: usize,
        /// Activations of an image of the network's input.
        length: usize,
        /// Activations that are there.
        activations: usize,
    },
    /// An input activation is larger than the network's input takes.
    #[error("image {image}: an activation is {activation}, it must lie in 0..={max}")]
    Activation {
        /// Index of the image.
        image: usize,
        /// The activation.
        activation: u8,
        /// The largest allowed.
        max: u8,
    },
    /// A label is no class of the network.
    #[error("image {image}: the label is {label}, it must be below {classes}")]
    Label {
        /// Index of the image.
        image: usize,
        /// The label.
        label: u8,
        /// Outputs of the network.
        classes: usize,
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
    #[error("a profile over {wanted} images was asked for, it must lie in 1..={available}")]
    Sample {
        /// Images asked for.
        wanted: usize,
        /// Images that are there.
        available: usize,
    },
}
