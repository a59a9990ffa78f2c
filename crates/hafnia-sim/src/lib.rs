//! The RRAM macro simulator: virtual chips, engines, evaluation, profiles and statistics.
//!
//! [`evaluate`] runs a mapped network over a data set on many virtual chips and gives an
//! [`Evaluation`]: which images each chip gets wrong, and how many conversions it took. What a
//! conversion answers is the business of an [`Engine`]:
//! - [`Exact`] is the definition in readable integers, clipping of the ADC included;
//! - [`Device`] sums the currents of a programmed [`Chip`] and adds temporal noise;
//! - [`Table`] samples P(code | m ones, n rows on).
//!
//! These are the definitions, conversion by conversion. An evaluation computes the same in vectors
//! unless it is told not to: [`Kernels`].
//!
//! With zero noise all three are equal bit for bit. Otherwise [`Table`] and [`Device`] agree per
//! conversion when a fresh chip is drawn for each, and end to end when every static term is 0.
//! With static noise [`Table`] is an approximation, and claims use [`Device`].
//!
//! ```
//! use hafnia_cim::MacroSpec;
//! use hafnia_ir::{Geometry, Stage};
//! use hafnia_model::random;
//! use hafnia_rng::Seed;
//! use hafnia_sim::{EngineKind, Images, NoiseScope, Prepared, evaluate};
//!
//! let spec = MacroSpec::preset("gt-n40")?;
//! let network = random::lenet5(Seed(1));
//! let images = Images { activations: random::image(Seed(2), network.input()), labels: vec![3] };
//! let prepared = Prepared::new(&network, &images, &NoiseScope::Final)?;
//! let geometry = Geometry::from(&spec);
//! let mapping = hafnia_ir::random::mapping(Seed(4), &network, &geometry, Stage::Placed);
//! let evaluation =
//!     evaluate(&prepared, &mapping, &spec, EngineKind::Device, 0..2, Seed(3), &|_, _| ())?;
//! assert_eq!(evaluation.differences.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Every draw is addressed (`hafnia-rng`), so that no result depends on the number of threads.
//! It does not know passes, files or costs: they take what it returns.

mod agree;
mod attribution;
mod chip;
mod draws;
mod engine;
mod error;
mod evaluate;
mod kernels;
mod layout;
mod mapped;
mod nodal;
mod packed;
mod prepared;
mod profile;
mod runner;
mod sampled;
mod saved;
mod scanned;
mod schedule;
mod sliced;
pub mod statistics;
mod tally;
mod windows;
mod wires;

pub use agree::{Disagreement, agree};
pub use attribution::{CodeErrors, ColumnErrors, LayerErrors, attribute};
pub use chip::Chip;
pub use engine::{Conversion, Device, Engine, Exact, Table};
pub use error::SimError;
pub use evaluate::{EngineKind, Evaluation, evaluate, evaluate_saved, evaluate_table};
pub use mapped::{Events, Mapped, Plan};
pub use prepared::{Images, Kernels, NoiseScope, Prepared};
pub use profile::{ProfileOptions, profile};
pub use saved::SavedChip;
pub use tally::{Tally, TileEvents, tally};
pub use wires::Array;

/// Told how much is done, and of how much; called from several threads, so not always in order.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

use hafnia_simd::LANES;
