//! Area, energy and latency of a mapped network, from the events that the simulation counted.
//!
//! - [`CostModel`]: what parts take and spend, from a TOML file in which every constant has a unit
//!   and a source, and what is assumed a range;
//! - [`Calibrated`]: the model scaled to two published figures, in every draw of what is assumed,
//!   and its forecast of two more: [`Calibration`];
//! - [`Cost`]: what a mapping costs by layer and [`Component`], each number a [`Range`];
//! - [`Departure`]: where the macro that is priced is not the chip of the calibration;
//! - [`BreakEven`]: the area that a mapping saves, over what a bit of its rename tables takes.
//!
//! ```
//! use hafnia_cost::CostModel;
//! use hafnia_rng::Seed;
//!
//! let calibrated = CostModel::gt_n40().calibrate(100, Seed(1))?;
//! // What no published figure was used for, foretold with the range that is assumed.
//! let mut foretold = calibrated.calibration().figures.into_iter().filter(|figure| !figure.fitted);
//! assert!(foretold.all(|figure| figure.model.lo <= figure.model.hi));
//! # Ok::<(), hafnia_cost::CostError>(())
//! ```
//!
//! Events come from [`hafnia_sim::Programmed::count_events`], the places of tiles from the mapping;
//! nothing is counted here. It does not know passes, files of results or reports. What is not modelled is said in
//! `docs/cost.md`.

mod break_even;
mod calibration;
mod cost;
mod departure;
mod document;
mod error;
mod inventory;
mod model;
mod range;

pub use break_even::{BreakEven, SavingAt, Scope};
pub use calibration::{Calibrated, Calibration, DRAWS, Figure, Scaled, Ternary};
pub use cost::{Assessment, Breakdown, Component, Cost, LayerCost};
pub use departure::Departure;
pub use document::{calibration_table, constants_table};
pub use error::CostError;
pub use model::{Constant, Constants, CostModel};
pub use range::{Range, TAIL};
