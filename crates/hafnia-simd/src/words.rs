//! [`Words`]: what the kernels of word lines do with words of 64 bits.

/// A one in every byte.
pub(crate) const BYTES: u64 = 0x0101_0101_0101_0101;

/// A function of a byte that is given for each of the 16 lowest and of the 16 highest bytes, and for the
/// others by sixteens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteTable {
    all: [u8; 256],
    /// What shuffles look up: the lowest bytes, sixteens, and the highest bytes. The first and the last
    /// sixteen are 0, so that all three are joined by or.
    pub(crate) low: [u8; 16],
    pub(crate) between: [u8; 16],
    pub(crate) high: [u8; 16],
}

impl ByteTable {
    /// What it is for bytes in order: `of` is called with the first and the last of those that are
    /// given together.
    pub fn new(of: impl Fn(u8, u8) -> u8) -> Self {
        let all = std::array::from_fn(|byte| match byte as u8 {
            byte @ 16..240 => of(byte / 16 * 16, byte / 16 * 16 + 15),
            byte => of(byte, byte),
        });
        Self {
            low: std::array::from_fn(|byte| all[byte]),
            between: std::array::from_fn(|number| match number {
                0 | 15 => 0,
                _ => all[number * 16],
            }),
            high: std::array::from_fn(|byte| all[240 + byte]),
            all,
        }
    }

    /// What it is for a byte.
    #[inline(always)]
    pub fn of(&self, byte: u8) -> u8 {
        self.all[usize::from(byte)]
    }
}

/// Operations on words of 64 bits and their bytes; what is written here is the portable code.
pub trait Words: Copy {
    /// Looks up every byte of the words.
    #[inline(always)]
    fn look_up(self, words: &[u64; 8], table: &ByteTable) -> [u64; 8] {
        let mut found = [0; 8];
        for (found, word) in found.iter_mut().zip(words) {
            *found = u64::from_le_bytes(word.to_le_bytes().map(|byte| table.of(byte)));
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

    /// Of the ones of a word, the lowest first, those behind the first `skipped`, below 64, and at most
    /// `count` of them, which is up to 64.
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
pub(crate) static PLACES: [[u8; 8]; 256] = {
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
