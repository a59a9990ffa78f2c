//! What can be wrong with a network or its weights.

use crate::Shape;

/// Why bit planes do not make weights.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// There is no bit plane, or more than a weight has bits.
    #[error("weights have {bits} bit planes, they must have 1, 2, 4 or 8")]
    Bits {
        /// Bit planes that are there.
        bits: usize,
    },
    /// A bit plane has another size than the first.
    #[error(
        "bit plane {plane} of weights is {}x{}, plane 0 is {}x{}",
        found.0, found.1, expected.0, expected.1
    )]
    Size {
        /// Index of the plane.
        plane: usize,
        /// Its (rows, columns).
        found: (usize, usize),
        /// (rows, columns) of plane 0.
        expected: (usize, usize),
    },
}

/// Why layers do not make a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// A number of the input or of a layer is outside its range.
    #[error("{what} is {value}, it must lie in {min}..={max}")]
    Range {
        /// What the number says, with the layer's name where it has one.
        what: String,
        /// The number.
        value: u64,
        /// The smallest allowed.
        min: u64,
        /// The largest allowed.
        max: u64,
    },
    /// The cuts of the input do not ascend.
    #[error("input cuts are {cuts:?}, they must ascend, each above the one before")]
    CutOrder {
        /// The cuts.
        cuts: Vec<u8>,
    },
    /// A weight matrix has another number of rows than the layer has inputs.
    #[error("layer `{layer}` has {rows} weight rows for {inputs} inputs (activations of {shape})")]
    Rows {
        /// Name of the layer.
        layer: String,
        /// Rows of its weight matrix.
        rows: usize,
        /// Inputs it is given, per position.
        inputs: usize,
        /// Activations that reach the layer.
        shape: Shape,
    },
    /// A kernel or pool window is larger than what it runs over, or leaves a rest.
    #[error(
        "layer {index}: a {window}x{window} window with stride {stride} does not fit activations of {shape}"
    )]
    Window {
        /// Index of the layer in the network.
        index: usize,
        /// Side of the window.
        window: usize,
        /// Step of the window.
        stride: usize,
        /// Activations that reach the layer.
        shape: Shape,
    },
    /// A linear layer stands before its input was flattened.
    #[error(
        "layer `{layer}` is linear and is given activations of {shape}: a flatten layer must stand before it"
    )]
    NotFlat {
        /// Name of the layer.
        layer: String,
        /// Activations that reach the layer.
        shape: Shape,
    },
    /// Thresholds of another number of channels, or channels of different numbers of levels.
    #[error(
        "layer `{layer}` has {columns} channels and {values} thresholds, not {columns} times 1, 3, 7 or 15"
    )]
    ThresholdCount {
        /// Name of the layer.
        layer: String,
        /// Channels of the layer.
        columns: usize,
        /// Thresholds that are there.
        values: usize,
    },
    /// A layer has weights of a number of bits that none may have.
    #[error("layer `{layer}` has weights of {bits} bits, they must have 1, 2, 4 or 8")]
    WeightBits {
        /// Name of the layer.
        layer: String,
        /// Bits of its weights.
        bits: u8,
    },
    /// A channel's thresholds do not ascend.
    #[error("layer `{layer}`, channel {channel}: thresholds {values:?} do not ascend")]
    ThresholdOrder {
        /// Name of the layer.
        layer: String,
        /// Index of the channel.
        channel: usize,
        /// The channel's thresholds.
        values: Vec<i32>,
    },
    /// A layer other than the last has no thresholds, or the last has some.
    #[error("layer `{layer}`: every matrix layer but the last has thresholds, the last has none")]
    ThresholdPlace {
        /// Name of the layer.
        layer: String,
    },
    /// The last layer is not a linear one.
    #[error("the network must end in a linear layer")]
    NoOutput,
    /// Two layers share a name, or a name has characters that the text forms cannot hold.
    #[error("layer name `{0}` is taken twice or is not made of a-z, A-Z, 0-9, `_` and `-`")]
    Name(String),
}
