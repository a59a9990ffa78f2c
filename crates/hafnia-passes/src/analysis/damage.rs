//! What noise does to a tile, as a number to be made small by reordering its rows.
//!
//! For one sample (a vector of activations) and one order of the entries the input control fixes
//! the groups of rows that share a conversion. A group of n rows that is on in bit-plane b, with
//! sign s, and has o programmed ones in column k adds an error to output k that is 2·s·2^b times
//! the error of a code, or minus that if the column is inverted. The code table knows the first two
//! moments of a code's error for (n, o). Errors of conversions are not independent: a cell that is
//! on in several groups or planes, above all where rename made rows share it, errs in all of them,
//! and so does a comparator, which is in every conversion of its column; [`CodeCovariance`] knows
//! how far. So output k is off by μ_k on average, the sum of factors times means, with a variance
//! v_k that is the sum over pairs of conversions of both factors times their covariance.
//!
//! A column is a slice of an output: the errors of slice p count 2^p times, and those of the slices
//! of an output that the tile holds add up, means and variances, as slices share neither cells nor
//! comparators.
//!
//! The damage of a sample is then
//! - for the last matrix, if the tile holds it whole, the expected number of classes that overtake
//!   the winner c of the noiseless sums: Σ over j ≠ c of
//!   Φ(−(y_c − y_j ± 1 + μ_c − μ_j) / √(v_c + v_j)), as sums are even apart and a tie goes to the
//!   lower class: −1 if that is j, else +1;
//! - for any other tile the expected squared error of its outputs, Σ over k of μ_k² + v_k;
//!
//! and the damage of an order is the mean over samples.
//!
//! Outputs are assumed to be normal. Conversions are taken as independent
//! ([`Damage::is_independent`]) where they have too many rows for a table of covariances or the code
//! table is a measured one.
//!
//! What is done for speed does not change the result: ones are counted by words of 64 rows; Φ comes
//! from a table; the groups of every sample are kept, so that a swap of two entries
//! scans a plane again only from the group of the first to where the groups are the old ones again,
//! and works a sample out again only if a group is another one; tiles without shared or negative
//! rows are read faster still, as `unshared.rs` says. [`Damage::focus`] leaves out what hardly counts.
//! Sums run over samples in a fixed order.
//!
//! [`CodeCovariance`]: hafnia_cim::CodeCovariance

mod change;
mod definition;
mod optimum;
mod order;
mod reading;
mod tail;
mod unshared;

pub use change::Change;
pub use definition::{Damage, OrderCost};
pub use optimum::Optimum;
pub use order::Order;
