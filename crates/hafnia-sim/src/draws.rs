//! Where the temporal draws of conversions are: one uniform word of 32 bits for every column of
//! every conversion, in two parts.
//!
//! The highest byte nearly always settles the code, so that it is what the kernels draw: one block of
//! the generator holds the bytes of 16 columns. The other three bytes lie at addresses of their own
//! and are fetched where they matter. A code is that of the whole word all the same.

use hafnia_rng::Counter;
use hafnia_simd::LANES;

/// The address of a conversion cycle in the draws of its tile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address {
    pub(crate) image: u32,
    pub(crate) position: u32,
    /// plane · 2²⁴ + group.
    pub(crate) plane_group: u32,
}

/// Set in the last word of the addresses of lower bytes.
const LOWER: u32 = 1 << 31;

/// The highest bytes of the words of a block of columns.
pub(crate) fn first_bytes(source: &Counter, at: Address, block: usize) -> [u8; LANES] {
    let words = source.block([at.image, at.position, at.plane_group, block as u32]);
    let mut bytes = [0; LANES];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// The word of a column whose highest byte is `first`.
pub(crate) fn word(source: &Counter, at: Address, column: usize, first: u8) -> u32 {
    let quad = LOWER | (column / 4) as u32;
    let words = source.block([at.image, at.position, at.plane_group, quad]);
    u32::from(first) << 24 | words[column % 4] >> 8
}
