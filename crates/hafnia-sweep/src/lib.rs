//! Sweeps: many evaluations, over points of a configuration space.
//!
//! A [`Sweep`] is a TOML file: settings that all points share, values of a base point, and axes. Its
//! [`Plan`] lists the points. The chips of a point are cut into *shards*, the unit of work: a file
//! each, written whole, that depends on the plan alone, so that it is the same bit for bit whoever
//! computes it, on whatever machine. A [`Folder`] holds a plan and the shards that are there. What is
//! missing can be computed at any time, by one process or by many ([`Share`]); what is there can be
//! collected into a [`Row`] a point.
//!
//! A design is chosen by a sweep, so its images are validation images unless it says otherwise
//! ([`Part`]).
//!
//! This crate knows points, not what their keys mean: whoever computes a shard is given the values
//! and gives back an [`Evaluation`](hafnia_sim::Evaluation).
//!
//! ```
//! use hafnia_sweep::{Plan, Sweep};
//!
//! let text = r#"
//!     name = "noise"
//!     chips = 20
//!     [base]
//!     model = "frontier"
//!     [axes]
//!     "macro.sigma_lrs_rel" = { from = 0.05, to = 0.2, steps = 4 }
//!     pipeline = ["natural", "compact"]
//! "#;
//! let keys = ["model", "pipeline", "macro.sigma_lrs_rel"].map(str::to_owned);
//! let plan = Plan::of(Sweep::parse(text)?, &keys, Default::default())?;
//! assert_eq!(plan.points.len(), 8);
//! assert_eq!(plan.shards().count(), 8);
//! # Ok::<(), hafnia_sweep::SweepError>(())
//! ```

mod collect;
mod config;
mod error;
mod folder;
mod pareto;
mod plan;
mod slurm;

pub use collect::{Row, Status, collect, to_cells, to_json_lines};
pub use config::{Axis, Method, Part, Range, Sampling, Scale, Sweep, Value};
pub use error::SweepError;
pub use folder::{Computed, Failure, Folder, Shard, Share, Tally};
pub use pareto::{Aim, Objective, mark};
pub use plan::{MOST_POINTS, Plan, Point, ShardId};
pub use slurm::{Job, Slurm};
