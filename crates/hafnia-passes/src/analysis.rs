//! What a pass may ask of a mapping.
//!
//! - [`Profiled`] and [`Scanned`]: the tiles that a pass is to change, and what reaches them in the
//!   samples of a profile;
//! - [`Damage`]: what noise does to a tile in an order of its rows, as [`damage`] defines it; in an
//!   [`Order`] changes are tried quickly, and [`Optimum`] is the best order of few rows;
//! - [`StaticCost`]: cells, table bits, scans, additions, conversion cycles and conversions per image;
//! - [`share`]: lets equal rows share cells;
//! - [`Blocks`]: cuts a tile; [`FreeSpace`]: finds a place for one.
//!
//! `docs/new-pass.md` has a pass that orders rows by the damage. Cells, cycles and places are asked for
//! like this:
//!
//! ```
//! use hafnia_cim::{CodeTable, MacroSpec};
//! use hafnia_ir::Mapping;
//! use hafnia_model::random::lenet5;
//! use hafnia_passes::analysis::{
//!     Alike, Blocks, Extent, FIT_RULES, FreeSpace, Rectangle, RenameMode, StaticCost, share,
//! };
//! use hafnia_passes::Context;
//! use hafnia_rng::Seed;
//!
//! let (network, spec) = (lenet5(Seed(1)), MacroSpec::preset("gt-n40")?);
//! let context = Context {
//!     network: &network,
//!     spec: &spec,
//!     profile: None,
//!     code_table: &CodeTable::from_spec(&spec),
//!     seed: Seed(1),
//!     progress: &|_, _| {},
//! };
//! let mut mapping = Mapping::logical(&network, &spec);
//! let before = StaticCost::of(&mapping, &context);
//! for tile in &mut mapping.tiles {
//!     *tile = share(tile, Alike::Equal, RenameMode::Repeat);
//! }
//! let after = StaticCost::of(&mapping, &context);
//! assert!(after.size.cells < before.size.cells && after.cycles >= before.cycles);
//!
//! // Ten rows of the first convolution, and the last matrix beside them.
//! let part = Blocks::of(&mapping.tiles[0]).block(0..10, 0..6);
//! let extent = Extent::of(&part, &mapping.geometry);
//! let mut space = FreeSpace::new(Extent::whole(&mapping.geometry));
//! let (index, whole) = space.open();
//! space.take(index, Rectangle { extent, ..whole });
//! let last = Extent::of(&mapping.tiles[4], &mapping.geometry);
//! assert!(space.first_fit(last, FIT_RULES[0]).is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod answers;
mod blocks;
pub mod damage;
mod free_space;
mod profiled;
mod sharing;
mod static_cost;

pub use answers::Answers;
pub use blocks::Blocks;
pub use damage::{Change, Damage, Optimum, Order, OrderCost};
pub use free_space::{Extent, FIT_RULES, FitRule, FreeSpace, Rectangle};
pub(crate) use profiled::refuse_unknown_errors;
pub use profiled::{Profiled, Scanned};
pub use sharing::{Alike, RenameMode, share};
pub use static_cost::{StaticCost, cycles_per_scan, scans};
