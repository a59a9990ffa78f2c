//! Presets and code tables from measurements.
//!
//! [`Conductances`] become the statistics of cells in a preset, counted codes ([`CodeCounts`]) a
//! code table. Nothing is smoothed, and what was not measured is refused rather than filled in.

mod codes;
mod conductances;

pub use codes::{CodeCounts, CodeRate};
pub use conductances::{Conductances, Shape, StateFit};
