//! [`Words`]: what the kernels of word lines do with words of 64 bits.

/// A one in every byte.
pub(crate) const BYTES: u64 = 0x0101_0101_0101_0101;

/// Operations on words of 64 bits and their bytes; what is written here is the portable code.
pub trait Words: Copy {
    /// Looks up every byte b of the words: with t the smaller one of b and 255 − b, below 128, the
    /// smaller one of low\[t\], or of low\[15\] if t is over 15, and high\[t / 16\].
    #[inline(always)]
    fn look_up_tails(self, words: &[u64; 8], low: &[u8; 16], high: &[u8; 16]) -> [u64; 8] {
        let mut found = [0; 8];
        for (found, word) in found.iter_mut().zip(words) {
            let bytes = word.to_le_bytes().map(|byte| {
                let tail = byte.min(!byte);
                low[usize::from(tail.min(15))].min(high[usize::from(tail >> 4)])
            });
            *found = u64::from_le_bytes(bytes);
        }
        found
    }

    /// One bit per byte of the words, the lowest of the first word lowest: whether it is above
    /// `last`.
    #[inline(always)]
    fn above(self, words: &[u64; 8], last: u8) -> u64 {
        let mut bits = 0;
        for (word, bytes) in words.iter().enumerate() {
            for (byte, value) in bytes.to_le_bytes().into_iter().enumerate() {
                bits |= u64::from(value > last) << (8 * word + byte);
            }
        }
        bits
    }

    /// Of the ones of a word, the lowest first, those behind the first `skipped`, at most `count` of
    /// them; both are below 64.
    #[inline(always)]
    fn pick(self, word: u64, skipped: u32, count: u32) -> u64 {
        let mut behind = word;
        for _ in 0..skipped {
            behind &= behind.wrapping_sub(1);
        }
        let mut rest = behind;
        for _ in 0..count {
            rest &= rest.wrapping_sub(1);
        }
        behind & !rest
    }

    /// The lowest eight bits of a word as bytes of 0 or 1, the lowest first.
    #[inline(always)]
    fn spread(self, word: u64) -> u64 {
        // Byte i keeps bit i, and carries to its highest bit unless that is 0.
        let kept = (word & 0xff).wrapping_mul(BYTES) & 0x8040_2010_0804_0201;
        (kept + 0x7f7f_7f7f_7f7f_7f7f) >> 7 & BYTES
    }

    /// Writes `first` plus the place of every 1 of `word` to the front of `into`, ascending, and
    /// anything behind them; returns their number.
    #[inline(always)]
    fn positions(self, word: u64, first: u16, into: &mut [u16; 64]) -> usize {
        // Byte by byte, without a branch on a bit.
        let mut count = 0;
        let mut left = word;
        let mut first = first;
        while left != 0 {
            let byte = (left & 0xff) as usize;
            // At most 8 places were written for every byte before.
            let into: &mut [u16; 8] =
                (&mut into[count..count + 8]).try_into().expect("a slice of eight");
            for (into, &place) in into.iter_mut().zip(&PLACES[byte]) {
                *into = first.wrapping_add(u16::from(place));
            }
            count += byte.count_ones() as usize;
            first = first.wrapping_add(8);
            left >>= 8;
        }
        count
    }
}

/// The places of the ones of every byte, from the front.
static PLACES: [[u8; 8]; 256] = {
    let mut places = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut bit, mut count) = (0, 0);
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                places[byte][count] = bit;
                count += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    places
};
