//! What can be wrong with a request.

use hafnia_text::must;

/// Why a network cannot be transformed as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TuneError {
    /// A number is outside its range.
    #[error("{key} is {value}, it {}", must(*min, *max))]
    Range {
        /// The key of the number.
        key: &'static str,
        /// The number.
        value: f64,
        /// The smallest allowed.
        min: f64,
        /// The largest allowed.
        max: f64,
    },
    /// There is no matrix layer of this name.
    #[error("{key} names `{name}`, the network has the matrix layers {known}")]
    Layer {
        /// The key that names the layer.
        key: &'static str,
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Rows of a convolution are not merged: its windows overlap, so that no single row is weighed.
    #[error("layer names `{layer}`, a convolution: only rows of linear layers are merged")]
    Convolution {
        /// The name.
        layer: String,
    },
    /// The network is no chain of plain layers.
    #[error(
        "merge and refine take a chain of square convolutions, max pools and linear layers, each product but the last with thresholds from 0 on, whose sums are compared as they are"
    )]
    Layers,
    /// Images of another length than the network takes, or another number of labels.
    #[error(
        "{activations} activations and {labels} labels: the network takes {inputs} activations per image"
    )]
    Images {
        /// Activations that are there.
        activations: usize,
        /// Labels that are there.
        labels: usize,
        /// Activations that the network takes per image.
        inputs: usize,
    },
    /// A label that is no output of the network.
    #[error("an image has the label {label}, the network has the outputs 0..={largest}")]
    Label {
        /// The label.
        label: u32,
        /// The largest class of the network.
        largest: usize,
    },
}
