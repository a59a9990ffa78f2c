//! The mapping IR: how the matrices of a network lie on macros.
//!
//! A [`Mapping`] holds [`Matrix`] entries (logical: rows are inputs, columns outputs) and
//! [`Tile`]s (blocks of them as they are programmed). Passes take it from stage
//! [`Logical`](Stage::Logical) over [`Tiled`](Stage::Tiled) to [`Placed`](Stage::Placed);
//! [`verify`] checks the rules of its stage and [`prove`] rebuilds every matrix from what is
//! programmed and compares it with the network's, bit for bit. A [`Profile`] says which rows are on
//! together. The text form is what [`Mapping`]'s `Display` prints and `FromStr` reads.
//!
//! It knows neither passes nor engines: they meet here.

mod mapping;
mod profile;
mod proof;
mod text;
mod verifier;

pub use mapping::{
    Column, Geometry, Mapping, Matrix, MatrixId, Place, RowEntry, RowTable, Stage, Tile,
    TileId,
};
pub use profile::{MatrixProfile, Profile};
pub use proof::{ProofError, prove};
pub use text::TextError;
pub use verifier::{Violation, verify};
