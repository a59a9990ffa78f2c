//! [`Open`]: columns of a cycle whose code a byte of their draw leaves open.

use hafnia_rng::{BLOCKS, Counter};
use hafnia_simd::LANES;

use crate::fast::groups::BATCH;

const _: () = assert!(BATCH == BLOCKS && LANES == 16, "a Philox block is the bytes of a vector");

/// Columns of a group whose code a byte leaves open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    pub(crate) group: u32,
    pub(crate) block: u32,
    /// A bit a column of the block.
    pub(crate) lanes: u16,
    /// The highest bytes of all columns of the block.
    pub(crate) bytes: [u64; 2],
}

impl Open {
    /// The columns, with the highest bytes of their words.
    #[inline(always)]
    pub(crate) fn columns(self) -> impl Iterator<Item = (usize, u8)> {
        let mut left = self.lanes;
        std::iter::from_fn(move || {
            let lane = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            let byte = || (self.bytes[lane / 8] >> (lane % 8 * 8)) as u8;
            (lane < LANES).then(|| (self.block as usize * LANES + lane, byte()))
        })
    }
}

/// The highest bytes of the words of a block of columns, `[cycle]` × 16 columns, or × the first 8.
#[inline(always)]
pub(crate) fn first_bytes<const EIGHTS: usize>(
    source: &Counter,
    image: u32,
    addresses: &[u64; BATCH],
    block: usize,
) -> [[u64; EIGHTS]; BATCH] {
    let words = source.blocks(image, addresses, block as u32);
    let mut bytes = [[0; EIGHTS]; BATCH];
    let mut group = 0;
    while group < BATCH {
        bytes[group][0] = words[0][group] | words[1][group] << 32;
        if EIGHTS > 1 {
            bytes[group][EIGHTS - 1] = words[2][group] | words[3][group] << 32;
        }
        group += 1;
    }
    bytes
}
