//! Networks out of ONNX and QONNX files, as the same integers, and back.
//!
//! The same quantised network comes in many spellings: `Quant` nodes, integers behind
//! `DequantizeLinear`, thresholds, or floats between `Min`, `Max` and `Round`, with norms beside
//! products or in them. [`import`] decides by value: it follows what real number every integer of the
//! network stands for, through each operation as executors compute it (`walk.rs`, `expression.rs`). In
//! front of a product the numbers must lie on one grid of at most 256 levels; the thresholds are where
//! they change, found by bisection and proved by evaluating both sides (`quantise.rs`, `levels.rs`).
//! Weights are integers times a step if their values say so (`weights.rs`). What cannot be said by
//! integers exactly is refused, with the node, the reason and a way out.
//!
//! ```
//! use hafnia_model::{BitMatrix, Input, Layer, Linear, Network};
//! use hafnia_onnx::{Options, Pixels, export, import};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("network.onnx");
//! let weights = BitMatrix::from_fn(16, 3, |row, column| row % 3 == column).into();
//! let last = Linear { name: "last".into(), weights, thresholds: None };
//! let layers = vec![Layer::Flatten, Layer::Linear(last)];
//! let network = Network::new(Input::upper_bits(1, 4, 4, 2), layers)?;
//!
//! export(&network, &path)?;
//!
//! let options = Options { pixels: Pixels::Raw, shape: None, approximate: false };
//! let imported = import(&path, &options)?;
//! assert_eq!(imported.network.layers()[1].weights(), network.layers()[1].weights());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`check`] holds an imported network to what an executor gave for the same images, [`export`] writes
//! QONNX. It knows networks, and neither macros nor data sets.

mod activations;
mod add;
mod arrange;
mod check;
mod columns;
mod constant;
mod doubt;
mod elementwise;
mod error;
mod executor;
mod export;
mod expression;
mod floats;
mod functions;
mod graph;
mod import;
mod imported;
mod input;
mod layout;
mod levels;
mod operation;
mod options;
mod output;
mod plan;
mod pool;
mod product;
pub mod proto;
mod quantise;
mod recipe;
mod state;
mod tensor;
mod unfold;
mod value;
mod walk;
mod weights;
mod window;

pub use activations::{Activations, activations};
pub use check::{Agreement, CheckError, TOLERANCE, check};
pub use error::ImportError;
pub use export::{ExportError, export};
pub use import::import;
pub use imported::{Imported, Outputs};
pub use options::{Options, Pixels};
