//! [`Options`]: what a file does not say.

use hafnia_model::Shape;

/// What a graph expects for a byte of an image: a file does not say.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels {
    /// The byte p itself, 0 to 255.
    Raw,
    /// p − 128: what an image of signed bytes holds.
    Signed,
    /// p / 255.
    Unit,
    /// (p / 255 − mean) / deviation, one pair for all channels or one for each.
    Normalised {
        /// Means.
        means: Vec<f32>,
        /// Standard deviations.
        deviations: Vec<f32>,
    },
}

/// How a file is imported.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What the graph expects for a byte.
    pub pixels: Pixels,
    /// Channels, rows and columns of the images, if they are not those that the file names: vectors of
    /// 784 may be images of 28 × 28.
    pub shape: Option<Shape>,
    /// Whether weights that lie on no grid are rounded to 8 bits.
    pub approximate: bool,
}
