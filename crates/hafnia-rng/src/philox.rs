//! Philox 4×32-10 (Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC'11).

use crate::splitmix::mix;

/// A random-access generator: 128 random bits for every 128-bit counter, by Philox 4×32-10.
///
/// Built by [`Seed::counter`](crate::Seed::counter).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    key: u64,
}

/// Positions that [`Counter::blocks`] computes at once.
pub const BLOCKS: usize = 16;

const ROUNDS: usize = 10;
const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];

impl Counter {
    pub(crate) const fn new(key: u64) -> Self {
        Self { key }
    }

    /// One of 256 counters derived from this one, such as that of a layer.
    #[must_use]
    #[inline]
    pub const fn stream(self, number: u8) -> Self {
        Self::new(mix(self.key ^ (number as u64) << 56))
    }

    /// A nearly normal deviate of mean 0 and variance 1, at a position of its own sequence.
    ///
    /// The sum of four uniform numbers of 16 bits, the parts of one output of SplitMix64: it never
    /// exceeds 3.47, and its kurtosis is 2.7, not 3. It takes a few instructions, where
    /// [`gaussian`](crate::gaussian) of a [`block`](Self::block) takes some hundred for four.
    #[inline(always)]
    pub fn fast_normal(&self, index: u64) -> f32 {
        let word = mix(self.key.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let sum = (word & 0xffff) + (word >> 16 & 0xffff) + (word >> 32 & 0xffff) + (word >> 48);
        // The sum of four has mean 2·65535 and variance 4·(65536² − 1)/12.
        (sum as f32 - 131_070.0) * (1.0 / 37_837.23)
    }

    /// The four uniform 32-bit words at this position.
    #[inline]
    pub fn block(&self, counter: [u32; 4]) -> [u32; 4] {
        let [mut c0, mut c1, mut c2, mut c3] = counter;
        let (mut k0, mut k1) = (self.key as u32, (self.key >> 32) as u32);
        for _ in 0..ROUNDS {
            let product0 = u64::from(MULTIPLIERS[0]) * u64::from(c0);
            let product1 = u64::from(MULTIPLIERS[1]) * u64::from(c2);
            c0 = (product1 >> 32) as u32 ^ c1 ^ k0;
            c1 = product1 as u32;
            c2 = (product0 >> 32) as u32 ^ c3 ^ k1;
            c3 = product0 as u32;
            k0 = k0.wrapping_add(WEYL[0]);
            k1 = k1.wrapping_add(WEYL[1]);
        }
        [c0, c1, c2, c3]
    }

    /// [`block`](Self::block) at 16 positions that share their first and their last word, the second
    /// being the low half of `middle` and the third the high half: word by word, each in the low half
    /// of 64 bits.
    ///
    /// Inlined into kernels, so that it is compiled for their instruction set.
    #[inline(always)]
    pub fn blocks(&self, first: u32, middle: &[u64; BLOCKS], last: u32) -> [[u64; BLOCKS]; 4] {
        const LOW: u64 = 0xffff_ffff;
        let mut c0 = [u64::from(first); BLOCKS];
        let (mut c1, mut c2) = (*middle, [0; BLOCKS]);
        let mut lane = 0;
        while lane < BLOCKS {
            c2[lane] = middle[lane] >> 32;
            lane += 1;
        }
        let mut c3 = [u64::from(last); BLOCKS];
        let (mut k0, mut k1) = (self.key as u32, (self.key >> 32) as u32);
        // Above the low half of a word is anything until the end.
        for _ in 0..ROUNDS {
            let mut lane = 0;
            while lane < BLOCKS {
                let product0 = u64::from(MULTIPLIERS[0]) * (c0[lane] & LOW);
                let product1 = u64::from(MULTIPLIERS[1]) * (c2[lane] & LOW);
                c0[lane] = (product1 >> 32) ^ c1[lane] ^ u64::from(k0);
                c1[lane] = product1;
                c2[lane] = (product0 >> 32) ^ c3[lane] ^ u64::from(k1);
                c3[lane] = product0;
                lane += 1;
            }
            k0 = k0.wrapping_add(WEYL[0]);
            k1 = k1.wrapping_add(WEYL[1]);
        }
        let mut lane = 0;
        while lane < BLOCKS {
            c0[lane] &= LOW;
            c1[lane] &= LOW;
            c2[lane] &= LOW;
            c3[lane] &= LOW;
            lane += 1;
        }
        [c0, c1, c2, c3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_blocks_are_the_blocks() {
        let counter = Counter::new(0x0123_4567_89ab_cdef);
        let second = |lane| lane as u32 * 77;
        let third = |lane| u32::MAX - lane as u32;
        let middle = |lane| u64::from(second(lane)) | u64::from(third(lane)) << 32;
        let many = counter.blocks(5, &std::array::from_fn(middle), 1 << 31);
        for lane in 0..BLOCKS {
            let block = counter.block([5, second(lane), third(lane), 1 << 31]);
            assert_eq!(many.map(|words| words[lane]), block.map(u64::from));
        }
    }

    #[test]
    fn fast_normals_are_normal_enough() {
        const COUNT: u64 = 100_000;
        let counter = Counter::new(7).stream(2);
        let moment = |power| {
            let powers = (0..COUNT).map(|i| f64::from(counter.fast_normal(i)).powi(power));
            powers.sum::<f64>() / COUNT as f64
        };
        // Standard errors: 1/√N of the mean, at most √2/√N of the variance.
        let error = 5.0 / (COUNT as f64).sqrt();
        assert!(moment(1).abs() < error, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < error * 2.0f64.sqrt(), "{}", moment(2));
        assert_ne!(Counter::new(7).stream(1).fast_normal(0), counter.fast_normal(0));
    }

    /// The known answers published with Random123 (`kat_vectors`, philox4x32 10).
    #[test]
    fn known_answers() {
        let check = |counter, key: [u32; 2], expected| {
            let key = u64::from(key[0]) | u64::from(key[1]) << 32;
            assert_eq!(Counter::new(key).block(counter), expected);
        };
        check([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        check([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        check(
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        );
    }
}
