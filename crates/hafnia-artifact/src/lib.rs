//! The envelope of every binary file, digests, manifests, and files written whole or not at all.
//!
//! A type that is kept in a file names its kind and the version of its schema; [`save`] and
//! [`load`] do the rest, and whatever is wrong with a file is told by its own error.
//!
//! ```
//! use hafnia_artifact::{Artifact, ArtifactError, load, save};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Orders {
//!     rows: Vec<u32>,
//! }
//!
//! impl Artifact for Orders {
//!     const KIND: &'static str = "orders";
//!     const SCHEMA: u32 = 1;
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let path = dir.path().join("orders.hafnia");
//! save(&path, &Orders { rows: vec![2, 0, 1] })?;
//! assert_eq!(load::<Orders>(&path)?.rows, [2, 0, 1]);
//!
//! std::fs::write(&path, "something else")?;
//! assert!(matches!(load::<Orders>(&path), Err(ArtifactError::NotHafnia { .. })));
//! # Ok(())
//! # }
//! ```
//!
//! [`Manifest`] says how an output was made, [`Steps`] skips work whose inputs have not changed,
//! and [`write_whole`] and [`write_whole_folder`] are how every file of hafnia is written. Arrays of
//! other tools are read and written by [`npy`].
//!
//! What this crate does not do: it does not migrate files between schema versions (they are made
//! again), and it does not know any of the types kept in the files.

mod codec;
mod digest;
mod envelope;
mod error;
mod lock;
mod manifest;
pub mod npy;
mod places;
pub mod steps;
mod whole;

pub use digest::Digest;
pub use envelope::{Artifact, load, load_bytes, save, seal};
pub use error::ArtifactError;
pub use lock::FolderLock;
pub use manifest::Manifest;
pub use places::Places;
pub use steps::{Outcome, Steps};
pub use whole::{
    LARGEST, LARGEST_TEXT, check_writable, check_writable_folder, read, read_text, read_up_to,
    text, write_whole, write_whole_folder,
};
