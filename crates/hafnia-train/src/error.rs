//! What can go wrong in training.

use std::path::PathBuf;

use hafnia_artifact::ArtifactError;
use hafnia_model::ShapeError;
use hafnia_text::must;

/// Why a training run was refused or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A text is not TOML, or has keys that a recipe does not have.
    #[error("not a training recipe")]
    Recipe(#[source] Box<toml::de::Error>),
    /// A number of the recipe is outside its range.
    #[error("`{key}` is {value}, it {}", must(*min, *max))]
    Range {
        /// Key of the recipe.
        key: &'static str,
        /// The number.
        value: f64,
        /// The smallest allowed.
        min: f64,
        /// The largest allowed.
        max: f64,
    },
    /// Keys of the recipe do not fit each other, the images or this build of hafnia.
    #[error("{0}")]
    Conflict(String),
    /// The split or a label does not fit the images or the network.
    #[error("{0}")]
    Images(String),
    /// The loss, or a derivative of it, is NaN or infinite.
    #[error(
        "training diverged: the loss is {loss} in epoch {epoch}, step {step}, from layer `{layer}` on"
    )]
    Diverged {
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step in the epoch, counted from 1.
        step: usize,
        /// Mean loss of the step.
        loss: f64,
        /// The last layer if the loss is NaN or infinite, else the last with such derivatives.
        layer: String,
    },
    /// A checkpoint was made with another recipe, on other images, or by another program.
    #[error(
        "{path} is the checkpoint of a run {differs}: go on with that, or remove it to start over"
    )]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// What differs, in words that say of which run it is.
        differs: String,
    },
    /// A checkpoint cannot be removed.
    #[error("cannot remove {}", path.display())]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The macro of `[noise]` cannot be loaded or is not valid.
    #[error(transparent)]
    Macro(#[from] hafnia_cim::CimError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The exported network does not compute what the trainer computed: a bug of hafnia.
    #[error(
        "bug in hafnia: for image {image} the trainer gives {trained:?}, the network {exported:?}"
    )]
    Export {
        /// Index of the image.
        image: usize,
        /// The trainer's logits.
        trained: Vec<f32>,
        /// The exported network's logits.
        exported: Vec<i32>,
    },
    /// The exported layers do not make a network: a bug of hafnia.
    #[error("bug in hafnia: the trained layers do not make a network")]
    Shape(#[from] ShapeError),
}
