//! Transforms of a trained integer network by images, before it is mapped.
//!
//! Each returns another valid [`Network`](hafnia_model::Network), which computes something else: what
//! is mapped afterwards is mapped exactly. [`refine`] searches near the integers for a lower loss,
//! [`merge`] makes rows of a matrix equal, so that they can share cells.
//!
//! ```
//! use hafnia_model::random;
//! use hafnia_rng::Seed;
//! use hafnia_tune::{Images, Options, refine};
//!
//! let network = random::network(Seed(1), random::Limits::default());
//! let image = |number| random::image(Seed(number), network.input());
//! let activations: Vec<u8> = (0..40).flat_map(image).collect();
//! let labels: Vec<u32> = (0..40).map(|image| (image % network.classes()) as u32).collect();
//!
//! let images = Images { activations: &activations, labels: &labels };
//! let refined = refine(&network, images, &Options::default(), &mut |_, _| ())?;
//! let searched = refined.report.searched;
//! assert!(searched.after.loss <= searched.before.loss);
//! # Ok::<(), hafnia_tune::TuneError>(())
//! ```
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
