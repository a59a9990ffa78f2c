//! What may be said of results: every interval that hafnia prints is defined here, once.
//!
//! All intervals are at 95 %. Accuracies are shares of 1, drops and differences are in percentage
//! points. What each interval resamples is summed up in `docs/statistics.md`:
//! - [`wilson`], [`student_mean`], [`mean_accuracy`], [`accuracy_over_images`], [`ratio_of_means`],
//!   [`paired_difference`]: of textbooks;
//! - [`accuracy_difference`]: two results on the same images, by the spread of chips and images;
//! - [`drop_points`] and [`reduction`]: one network, a crossed bootstrap over chips and images
//!   (Owen, *The pigeonhole bootstrap*, Ann. Appl. Stat. 2007);
//! - [`pooled`]: several networks, by the spread of networks, chips and images together;
//! - [`Power`]: how many networks and chips make that interval narrow enough.
//!
//! ```
//! use hafnia_rng::Seed;
//! use hafnia_stats::{Bootstrap, simulation::Scenario, pooled};
//!
//! // Five networks on 30 chips, under a natural mapping and one that saves a quarter of its loss.
//! let drawn = Scenario::MIXED.draw(5, Seed(1));
//! let networks: Vec<_> = drawn.iter().map(|network| network.outcomes().to_vec()).collect();
//! let pooled = pooled(&networks, Bootstrap { replicates: 2_000, seed: Seed(2) })?;
//! let reduction = pooled[1].reduction.expect("against the first").rel;
//! assert!(reduction.holds(0.25) && !reduction.holds(1.0));
//! # Ok::<(), hafnia_stats::StatsError>(())
//! ```

mod classic;
mod difference;
mod error;
pub mod float;
mod interval;
mod outcomes;
mod pooled;
mod power;
pub mod simulation;
mod spread;

pub use classic::{
    MeanSd, accuracy_over_images, correlation, mean_accuracy, mean_sd, paired_difference,
    percentile, ratio_of_means, student, student_mean, wilson,
};
pub use difference::accuracy_difference;
pub use error::StatsError;
pub use interval::Interval;
pub use outcomes::{Bootstrap, Outcomes, Reduction, drop_points, reduction};
pub use pooled::{Pooled, PooledReduction, pooled};
pub use power::{Power, PowerRow};
