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

    /// Those from `first` on, [packed](pack); behind the last one they are anything.
    fn addresses(&self, first: usize) -> [u64; BATCH];

    /// Writes a bit for every line that is on in a cycle into the words of the tile's lines, and
    /// returns its weight, ±2^plane.
    fn lines<S: Simd>(&self, simd: S, cycle: usize, lines: &mut [u64]) -> i32;
}

/// An output position, and plane · 2²⁴ + group of the scan, in one word.
#[inline(always)]
pub(crate) fn pack(position: u32, plane_group: u32) -> u64 {
    u64::from(position) | u64::from(plane_group) << 32
}

/// The two of them again.
#[inline(always)]
pub(crate) fn unpack(address: u64) -> (u32, u32) {
    (address as u32, (address >> 32) as u32)
}
