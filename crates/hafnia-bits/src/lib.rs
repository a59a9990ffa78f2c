//! Bit-packed matrices: the weights of a network and the cells of a macro; and vectors for kernels.
//!
//! [`BitMatrix`] is a dense matrix of bits stored row by row.
//! It holds 1-bit weights (`0` is −1, `1` is +1), or a bit plane of wider ones, as well as
//! programmed cells (`0` is HRS, `1` is LRS).
//!
//! ```
//! use hafnia_bits::BitMatrix;
//!
//! let checkerboard = BitMatrix::from_fn(2, 3, |row, column| (row + column) % 2 == 1);
//! assert_eq!(checkerboard.to_string(), "010\n101\n");
//! assert!(checkerboard.get(0, 1));
//! ```
//!
//! [`Isa`] runs kernels over vectors, compiled for several instruction sets.
//!
//! It does no arithmetic on weights: what a bit means is defined in `hafnia-model`.

mod isa;
mod matrix;

pub use isa::{Isa, Kernel, LANES, Portable, Simd};
pub use matrix::{BitMatrix, HexError};
