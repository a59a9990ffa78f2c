//! The mapping IR: how the matrices of a network lie on macros.
//!
//! A [`Mapping`] holds [`Matrix`] entries (logical: rows are inputs, columns outputs) and
//! [`Tile`]s (blocks of them as they are programmed). Passes take it from stage
//! [`Logical`](Stage::Logical) over [`Tiled`](Stage::Tiled) to [`Placed`](Stage::Placed);
//! [`verify`] checks the [`Rule`]s of its stage and [`prove`] rebuilds every matrix from what is
//! programmed and compares it with the network's, bit for bit. A [`Profile`] holds samples of which
//! rows are on together. The text form is what [`Mapping`]'s `Display` prints and `FromStr` reads. A
//! placed mapping goes out to chips, and comes back, as the files of a [`Program`].
//!
//! ```
//! use hafnia_ir::{Geometry, Mapping, Stage, prove, random, verify};
//! use hafnia_model::random::lenet5;
//! use hafnia_rng::Seed;
//!
//! let network = lenet5(Seed(1));
//! let geometry = Geometry::new("gt-n40", 128, 128);
//! let mapping = random::mapping(Seed(1), &network, &geometry, Stage::Placed);
//! verify(&mapping)?;
//! prove(&mapping, &network)?;
//! assert_eq!(mapping.to_string().parse::<Mapping>()?, mapping);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It knows neither passes nor engines: they meet here.

mod coding;
mod file;
mod mapping;
mod planes;
mod profile;
mod program;
mod proof;
pub mod random;
mod rules;
mod text;
mod verifier;

pub use coding::{Coding, CodingKind};
pub use file::{FileError, read_mapping, write_mapping};
pub use mapping::{
    Column, Geometry, Lines, Mapping, Matrix, MatrixId, Place, RowEntry, RowTable, Stage, Tile,
    TileId,
};
pub use planes::Planes;
pub use profile::{MatrixProfile, Profile, ProfileError};
pub use program::{Program, ProgramError};
pub use proof::{prove, prove_matrices};
pub use rules::{Location, Rule, Violation, Violations};
pub use text::TextError;
pub use verifier::verify;
