//! Mapping passes, their registry and pipelines.
//!
//! A [`Pass`] is a step from the logical matrices of a network to tiles that have their place on
//! macros. It is plain data, a struct whose fields are its options. A [`Registry`] knows passes by
//! name: the built-in ones and those of a user. A [`Pipeline`] puts passes in order; running it verifies
//! the mapping after every pass and rebuilds every matrix bit for bit. What a pass may ask of a mapping
//! is in [`analysis`].
//!
//! ```
//! use hafnia_cim::{CodeTable, MacroSpec};
//! use hafnia_ir::{Mapping, Stage};
//! use hafnia_model::random;
//! use hafnia_passes::{Context, Pipeline, Registry};
//! use hafnia_rng::Seed;
//!
//! let network = random::lenet5(Seed(1));
//! let spec = MacroSpec::preset("gt-n40")?;
//! let context = Context {
//!     network: &network,
//!     spec: &spec,
//!     profile: None,
//!     code_table: &CodeTable::from_spec(&spec),
//!     seed: Seed(1),
//!     progress: &|_, _| {},
//! };
//! let pipeline = Pipeline::load("rename", &Registry::builtin())?;
//! let logical = Mapping::logical(&network, &spec);
//! let outcome = pipeline.run(logical, &context, &mut |after| {
//!     println!("{}\n{}", after.name, after.statistics);
//!     Ok(())
//! })?;
//! assert_eq!((outcome.mapping.stage, outcome.mapping.macros()), (Stage::Placed, 5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It does not know how a mapped network is run: engines meet it in `hafnia-ir` and `hafnia-cim`.

pub mod analysis;
mod error;
mod explain;
mod options;
mod page;
mod pass;
mod passes;
mod pipeline;
mod registry;
mod statistics;
#[cfg(test)]
mod tests;

pub use analysis::RenameMode;
pub use error::{BoxError, PassError, PipelineError, Unsound};
pub use explain::{Explanation, MatrixChange, MatrixTotals, TileChange, TileSize};
pub use pass::{Context, Pass, PassInfo};
pub use passes::allocate::AllocateRows;
pub use passes::best::{Candidate, SearchMappings};
pub use passes::code_inputs::{CodeInputs, InputCoding};
pub use passes::code_weights::CodeWeights;
pub use passes::duplicate::DuplicateMatrices;
pub use passes::pack::PackTiles;
pub use passes::polarity::SetPolarity;
pub use passes::rename::{RenameComplements, RenameRows};
pub use passes::rename_segments::RenameSegments;
pub use passes::reorder::{AnnealGap, ReorderMethod, ReorderRows, anneal_gaps};
pub use passes::strip_dead::StripDead;
pub use passes::tile::{CutTiles, TileRows};
pub use pipeline::{AfterPass, Outcome, Pipeline};
pub use registry::{Configured, Registry};
pub use statistics::{Size, Statistic, Statistics, StatisticsTable};

/// Compiles the page on how to write a pass.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/new-pass.md")]
struct NewPassPage;
