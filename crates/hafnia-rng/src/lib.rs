//! Addressed randomness: every draw in hafnia is keyed by a seed, a site and indices.
//!
//! A [`Seed`] is narrowed by naming where a draw is made ([`Seed::site`]) and which of many it is
//! ([`Seed::index`]); only then is it turned into a generator. Two draws with different addresses
//! are independent, and a draw depends on nothing but its address: not on the number of threads,
//! not on what was drawn before elsewhere, not on the machine.
//!
//! ```
//! use hafnia_rng::{Seed, gaussian};
//! use rand::RngExt;
//!
//! let epoch = Seed(7).site("train/shuffle").index(3);
//! let a: u64 = epoch.rng().random();
//! assert_eq!(a, epoch.rng().random::<u64>());
//!
//! // The hot path: random access to a whole field of Gaussians.
//! let chip = Seed(7).site("chip/cells").index(0).counter();
//! let [z, ..] = chip.block([12, 34, 0, 0]).map(gaussian);
//! assert!(z.abs() < 7.0);
//! ```
//!
//! There are two generators, both portable bit for bit: [`ChaCha8Rng`] for sequences (shuffles,
//! annealing, initial weights) and Philox 4×32-10 ([`Counter`]) where any draw must be reachable
//! directly. [`gaussian`] turns their words into normal deviates; where one per weight and sum is
//! drawn, [`Counter::fast_normal`] is cheaper and nearly normal.
//!
//! There is no global generator and no entropy from the operating system.

mod gaussian;
mod philox;
mod seed;
mod splitmix;

pub use gaussian::gaussian;
pub use philox::{BLOCKS, Counter};
pub use rand::rngs::ChaCha8Rng;
pub use seed::Seed;
