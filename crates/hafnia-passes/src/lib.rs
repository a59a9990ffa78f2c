//! Mapping passes, their registry and pipelines.
//!
//! A [`Pass`] is a step from the logical matrices of a network to tiles that have their place on
//! macros; it is plain data, a struct whose fields are its options. A [`Registry`] knows passes by
//! name: the built-in ones and those of a user. A [`Pipeline`] is a TOML file that puts passes in
//! order; running it verifies the mapping after every pass and rebuilds every matrix bit for bit.
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
//! let logical = Mapping::logical(&network, &spec)?;
//! let outcome = pipeline.run(logical, &context, &mut |after| {
//!     println!("{}\n{}", after.name, after.statistics);
//!     Ok(())
//! })?;
//! assert_eq!((outcome.mapping.stage, outcome.mapping.macros()), (Stage::Placed, 5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It does not know how a mapped network is run: engines meet it in `hafnia-ir` and `hafnia-cim`.

mod allocate;
mod annealing;
mod best;
mod blocks;
mod damage;
mod duplicate;
mod error;
mod explain;
mod guard;
mod matrices;
mod pack;
mod pass;
mod pipeline;
mod polarity;
mod profiled;
mod registry;
mod rename;
mod rename_complement;
mod rename_segments;
mod reorder;
mod rooms;
mod sharing;
mod statistics;
mod strip_dead;
#[cfg(test)]
mod tests;
mod tile;
mod work;

pub use allocate::AllocateRows;
pub use best::{Candidate, SearchMappings};
pub use duplicate::DuplicateMatrices;
pub use error::{BoxError, PassError, PipelineError, Unsound};
pub use explain::{Explanation, MatrixChange, MatrixTotals, TileChange, TileSize};
pub use pack::PackTiles;
pub use pass::{Context, Pass, PassInfo};
pub use pipeline::{AfterPass, Outcome, Pipeline};
pub use polarity::SetPolarity;
pub use registry::{Registered, Registry};
pub use rename::RenameRows;
pub use rename_complement::RenameComplements;
pub use rename_segments::RenameSegments;
pub use reorder::{AnnealGap, ReorderMethod, ReorderRows, anneal_gaps};
pub use sharing::RenameMode;
pub use statistics::{Size, Statistic, Statistics, StatisticsTable};
pub use strip_dead::StripDead;
pub use tile::{CutTiles, TileRows};

/// Compiles the page on how to write a pass.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/new-pass.md")]
struct NewPassPage;
