//! Philox 4×32-10 (Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC'11).

/// A random-access generator: 128 random bits for every 128-bit counter, by Philox 4×32-10.
///
/// Built by [`Seed::counter`](crate::Seed::counter).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    key: [u32; 2],
}

const ROUNDS: usize = 10;
const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];

impl Counter {
    pub(crate) const fn new(key: u64) -> Self {
        Self { key: [key as u32, (key >> 32) as u32] }
    }

    /// The four uniform 32-bit words at this position.
    #[inline]
    pub fn block(&self, counter: [u32; 4]) -> [u32; 4] {
        let [mut c0, mut c1, mut c2, mut c3] = counter;
        let [mut k0, mut k1] = self.key;
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
