//! Which lines share a conversion cycle: the input control, over words or over streams.

pub(crate) mod list;
pub(crate) mod patches;
pub(crate) mod slices;

use hafnia_simd::Simd;

/// Cycles that are read at once.
pub(crate) const BATCH: usize = 16;

/// Conversion cycles of a tile whose lines can be looked up.
pub(crate) trait Cycles {
    /// Number of cycles.
    fn len(&self) -> usize;

    /// Where the draws of one are: its output position, and plane · 2²⁴ + group of the scan.
    fn address(&self, cycle: usize) -> (u32, u32);

    /// Those from `first` on; behind the last one they are anything.
    fn addresses(&self, first: usize) -> Addresses;

    /// Writes a bit for every line that is on in a cycle into the words of the tile's lines, and
    /// returns its weight, ±2^plane.
    fn lines<S: Simd>(&self, simd: S, cycle: usize, lines: &mut [u64]) -> i32;
}

/// Where the draws of a batch of cycles are.
pub(crate) struct Addresses {
    /// Output positions.
    pub(crate) positions: [u32; BATCH],
    /// plane · 2²⁴ + group of the scan.
    pub(crate) plane_groups: [u32; BATCH],
}
