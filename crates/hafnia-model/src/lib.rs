//! The trained network of integers: plain data, its arithmetic, and the interpreter that defines
//! what is correct.
//!
//! A [`Network`] is a graph of layers, of integer [`Weights`] and [`Thresholds`]; no float is left in
//! it, but for what makes the outputs of some networks comparable ([`Scores`]). Its arithmetic is defined once, in [`arithmetic`]; [`run`] walks the layers and
//! leaves only the product of a matrix with a vector of activations to a [`Multiply`], so that the
//! reference ([`ReferenceProduct`]) and every engine of a simulated macro share all else by
//! construction.
//!
//! ```
//! use hafnia_model::{BitMatrix, Input, Layer, Linear, Network, ReferenceProduct, run};
//!
//! let network = Network::new(
//!     Input::new(1, 1, 3, &[64, 128, 192]),
//!     vec![
//!         Layer::Flatten,
//!         Layer::Linear(Linear {
//!             name: "only".into(),
//!             weights: BitMatrix::from_fn(3, 2, |row, column| row >= column).into(),
//!             thresholds: None,
//!         }),
//!     ],
//! )?;
//! assert_eq!(run(&network, &[1, 2, 3], &mut ReferenceProduct::new(&network)), [6, 4]);
//! # Ok::<(), hafnia_model::ShapeError>(())
//! ```
//!
//! Other tools read and write networks as a folder of JSON and NumPy arrays: [`interchange`].
//! [`random`] makes networks for tests and benchmarks.
//!
//! It does not know how a network is trained, nor on what it runs.

pub mod arithmetic;
mod bit_matrix;
mod bounds;
mod check;
mod error;
mod floats;
mod input;
pub mod interchange;
mod interpreter;
mod layer;
mod network;
pub mod random;
mod scores;
pub mod shapes;
mod weights;
mod wire;

pub use bit_matrix::{BitMatrix, HexError};
pub use bounds::largest_levels;
pub use error::ShapeError;
pub use floats::{FloatError, Floats};
pub use input::{Input, Levels, Shape};
pub use interchange::InterchangeError;
pub use interpreter::{
    Multiply, MultiplyLayer, Part, ReferenceProduct, activations_before, run, run_from,
};
pub use layer::{Activate, Conv, Layer, Linear, Padding, Thresholds, Window};
pub use network::{MatrixLayer, Network};
pub use scores::Scores;
pub use weights::Weights;
