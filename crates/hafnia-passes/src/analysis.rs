//! What a pass may ask of a mapping.
//!
//! - [`Profiled`] and [`Scanned`]: the tiles that a pass is to change, and what reaches them in the
//!   samples of a profile;
//! - [`Damage`]: what noise does to a tile in an order of its rows, and [`Order`], in which changes are
//!   tried quickly; [`Optimum`] is the best order, for few rows;
//! - [`StaticCost`]: cells, table bits, scans, additions, conversion cycles and conversions per image;
//! - [`share`]: lets equal rows share cells;
//! - [`Blocks`]: cuts a tile; [`FreeSpace`]: finds a place for one.
//!
//! `docs/new-pass.md` has a pass that is made of them.
//!
mod blocks;
mod damage;
mod free_space;
mod profiled;
mod sharing;
mod static_cost;

pub use blocks::Blocks;
pub use damage::{Change, Damage, Optimum, Order, OrderCost};
pub use free_space::{Extent, FreeSpace, RULES, Rectangle, Rule};
pub(crate) use profiled::refuse_levels;
pub use profiled::{Profiled, Scanned};
pub use sharing::{Alike, RenameMode, share};
pub use static_cost::{StaticCost, cycles_per_scan, scans};
