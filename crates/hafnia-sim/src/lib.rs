//! The RRAM macro simulator: virtual chips, engines, evaluation, profiles and statistics.
//!
//! A [`Reference`] is a network with its images, without noise; [`Programmed`] is a mapping of it on
//! macros. [`Programmed::run`] runs it on many virtual chips and returns an [`Evaluation`]: which
//! images each chip gets wrong, and how many conversions it took. What a conversion answers is the
//! business of an [`Engine`]:
//! - [`Exact`] is the definition in readable integers, clipping of the ADC included;
//! - [`Device`] sums the currents of a programmed [`Chip`] and adds temporal noise;
//! - [`Table`] samples P(code | m ones, n rows on).
//!
//! or one of your own ([`Engines`]). These are the definitions, conversion by conversion. A run
//! computes the same in vectors unless it is told not to ([`Kernels`]); [`Programmed::paths`] says
//! how, and why not faster.
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
//! use hafnia_sim::{Engines, Images, NoiseScope, Programmed, Reference};
//!
//! let spec = MacroSpec::preset("gt-n40")?;
//! let network = random::lenet5(Seed(1));
//! let images = Images { activations: random::image(Seed(2), network.input()), labels: vec![3] };
//! let reference = Reference::new(&network, &images)?;
//! let geometry = Geometry::from(&spec);
//! let mapping = hafnia_ir::random::mapping(Seed(4), &network, &geometry, Stage::Placed);
//! let programmed = Programmed::new(&reference, &mapping, &spec, &NoiseScope::Final)?;
//! let evaluation = programmed.run(0..2, Seed(3)).on(&Engines::Device)?;
//! assert_eq!(evaluation.differences.len(), 2);
//! for of in programmed.paths(&Engines::Device)? {
//!     println!("{of}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Every draw is addressed (`hafnia-rng`), so that no result depends on the number of threads.
//! It does not know passes or costs: they take what it returns.

mod attribution;
mod chip;
mod draws;
mod engine;
mod equivalence;
mod error;
mod evaluate;
mod events;
mod fast;
mod fit;
mod images;
mod mapped;
mod paths;
mod profile;
mod programmed;
mod reference;
mod run;
mod saved;
pub mod statistics;
mod wires;

pub use attribution::{CodeErrors, ColumnErrors, LayerErrors};
pub use chip::Chip;
pub use engine::{Conversion, Device, Engine, Exact, Table};
pub use equivalence::{Disagreement, check_equivalence};
pub use error::SimError;
pub use evaluate::{EngineKind, Evaluation, Nearness, rank};
pub use events::{EventCounts, TileEvents};
pub use images::{ImageSource, Images};
pub use mapped::{Events, Mapped, Plan};
pub use paths::{MatrixPath, Path, Why};
pub use profile::ProfileOptions;
pub use programmed::Programmed;
pub use reference::{Kernels, NoiseScope, Reference};
pub use run::{Engines, MakeEngine, Progress, Run};
pub use saved::SavedChip;
pub use wires::Array;
