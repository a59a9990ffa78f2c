//! Transforms of a trained integer network by images, before it is mapped.
//!
//! Each gives another valid [`Network`](hafnia_model::Network), which computes something else: what
//! is mapped afterwards is mapped exactly. [`refine`] searches near the integers for a lower loss,
//! [`merge`] makes rows of a matrix equal, so that they can share cells.
//!
//! It knows neither how a network was trained nor on what it runs.

mod error;
mod loss;
mod merge;
mod moves;
mod patterns;
mod refine;
mod search;
mod stage;
mod state;

pub use error::TuneError;
pub use loss::{Loss, NAT, Score};
pub use merge::{MergeReport, Merged, merge};
pub use refine::{Change, Difference, Images, Options, RefineReport, Refined, Visit, refine};
