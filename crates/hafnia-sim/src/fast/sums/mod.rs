//! What codes add up to: products, their thresholds and pools.

pub(crate) mod packed;
pub(crate) mod sliced;
