//! The trained network of integers: plain data, its arithmetic, and the interpreter that defines
//! what is correct.
//!
//! A [`Network`] holds [`Weights`] of 1, 2, 4 or 8 bits and integer [`Thresholds`], nothing else; no
//! float is left in it. Its arithmetic is defined once, in [`arithmetic`]; [`run`] walks the layers and
//! leaves only the product of a matrix with a vector of activations to a [`Multiply`], so that the
//! reference ([`ReferenceProduct`]) and every engine of a simulated macro share all else by
//! construction.
//!
//! ```
//! use hafnia_model::{BitMatrix, Input, Layer, Linear, Network, ReferenceProduct, run};
//!
//! let network = Network::new(
//!     Input { channels: 1, height: 1, width: 3, cuts: vec![64, 128, 192] },
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
mod error;
pub mod interchange;
mod interpreter;
mod network;
pub mod random;
mod weights;

pub use bit_matrix::{BitMatrix, HexError};
pub use error::ShapeError;
pub use interchange::InterchangeError;
pub use interpreter::{Multiply, ReferenceProduct, activations_before, run, run_from};
pub use network::{Conv, Input, Layer, Linear, MatrixLayer, Network, Shape, Thresholds};
pub use weights::Weights;
