//! [`Words`]: what the kernels of word lines do with words of 64 bits.

/// A one in every byte.
pub(crate) const BYTES: u64 = 0x0101_0101_0101_0101;

/// A function of runs of bytes: of every byte, and of sixteens but the lowest and the highest one.
///
/// [`Words::look_up`] finds what it is for the byte, or for the sixteen that the byte lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteTable {
    /// What it is for every byte.
    pub(crate) each: [u8; 256],
    /// What shuffles look up: the lowest bytes, sixteens, and the highest bytes. The first and the last
    /// sixteen are 0, so that all three are joined by or.
    pub(crate) low: [u8; 16],
    pub(crate) between: [u8; 16],
    pub(crate) high: [u8; 16],
}

impl ByteTable {
    /// What it is for runs of bytes, of which `of` is given the first and the last.
    pub fn new(of: impl Fn(u8, u8) -> u8) -> Self {
        let each: [u8; 256] = std::array::from_fn(|byte| of(byte as u8, byte as u8));
        Self {
            low: std::array::from_fn(|byte| each[byte]),
            between: std::array::from_fn(|number| match number as u8 {
                0 | 15 => 0,
                number => of(number * 16, number * 16 + 15),
            }),
            high: std::array::from_fn(|byte| each[240 + byte]),
            each,
        }
    }

    /// What [`Words::look_up`] may find for a byte: what it is for the byte, or for its sixteen.
    pub fn of(&self, byte: u8) -> [u8; 2] {
        let of_sixteen = match byte / 16 {
            0 | 15 => self.each[usize::from(byte)],
            number => self.between[usize::from(number)],
        };
        [self.each[usize::from(byte)], of_sixteen]
    }
}

/// Operations on words of 64 bits and their bytes; what is written here is the portable code.
pub trait Words: Copy {
    /// Looks up every byte of the words, as closely as the instruction set can.
    #[inline(always)]
    fn look_up(self, words: &[u64; 8], table: &ByteTable) -> [u64; 8] {
        let mut found = [0; 8];
        for (found, word) in found.iter_mut().zip(words) {
            let of = word.to_le_bytes().map(|byte| table.each[usize::from(byte)]);
            *found = u64::from_le_bytes(of);
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

    /// A bit of every byte as one word, the first byte lowest, 0 behind the first `count` of them, 1 to
    /// 64.
    #[inline(always)]
    fn gather_bits(self, bytes: &[u8; 64], bit: u32, count: u32) -> u64 {
        let mut word = 0;
        for (index, &eight) in
            bytes.as_chunks().0.iter().enumerate().take(count.div_ceil(8) as usize)
        {
            // Byte i has its bit at 8·i; times 2^(56 − 7·i) it is at 56 + i, and no two products meet.
            let bits = u64::from_le_bytes(eight) >> (bit & 7) & BYTES;
            word |= bits.wrapping_mul(0x0102_0408_1020_4080) >> 56 << (8 * index);
        }
        word & u64::MAX >> (64 - count)
    }

    /// A bit a lane that is not 0.
    #[inline(always)]
    fn nonzero(self, lanes: &[u32; 8]) -> u8 {
        let mut bits = 0;
        for (lane, &value) in lanes.iter().enumerate() {
            bits |= u8::from(value != 0) << lane;
        }
        bits
    }

    /// The lanes with a 1 in `kept`, in front, and anything behind them.
    #[inline(always)]
    fn keep(self, lanes: &[u32; 8], kept: u8) -> [u32; 8] {
        places(kept).map(|place| lanes[usize::from(place % 8)])
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

    /// The same in bytes: `first` is at most 192.
    #[inline(always)]
    fn positions_u8(self, word: u64, first: u8, into: &mut [u8; 64]) -> usize {
        positions_in_bytes(word, first, into)
    }
}

/// [`Words::positions`] in bytes, by eights, without a branch on a bit.
#[inline(always)]
fn positions_in_bytes(word: u64, first: u8, into: &mut [u8; 64]) -> usize {
    let (mut count, mut left, mut first) = (0, word, u64::from(first) * BYTES);
    while left != 0 {
        let byte = left as u8;
        // At most 8 places were written for every byte before. No place carries into the next one.
        let places = u64::from_le_bytes(places(byte)) + first;
        into[count..count + 8].copy_from_slice(&places.to_le_bytes());
        count += byte.count_ones() as usize;
        first = first.wrapping_add(8 * BYTES);
        left >>= 8;
    }
    count
}

/// The places of the ones of a byte, in front, and 0 behind them.
#[inline(always)]
pub fn places(byte: u8) -> [u8; 8] {
    PLACES[usize::from(byte)]
}

/// Those of every byte.
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
