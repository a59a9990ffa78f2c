//! The portable level: arrays, which the compiler vectorises as far as it may.

use crate::simd::{Bits, Floats, LANES, Shorts, Simd};
use crate::words::Words;

/// The portable level.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

/// An array by its elements; a loop, because closures are not always inlined.
macro_rules! array {
    ($index:ident < $length:expr => $value:expr) => {{
        let mut array = [Default::default(); $length];
        let mut $index = 0;
        while $index < $length {
            array[$index] = $value;
            $index += 1;
        }
        array
    }};
}

impl Simd for Portable {
    type I32 = [i32; LANES];
    type Mask = [bool; LANES];
    type Floats = Self;

    #[inline(always)]
    fn floats(self) -> Self {
        self
    }
    #[inline(always)]
    fn load_i32(self, from: &[i32; LANES]) -> Self::I32 {
        *from
    }
    #[inline(always)]
    fn splat_i32(self, value: i32) -> Self::I32 {
        [value; LANES]
    }
    #[inline(always)]
    fn store_i32(self, vector: Self::I32, into: &mut [i32; LANES]) {
        *into = vector;
    }
    #[inline(always)]
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        array!(lane < LANES => a[lane].wrapping_add(b[lane]))
    }
    #[inline(always)]
    fn add_half_to(self, vector: Self::I32, is_second: bool, into: &mut [i32; LANES / 2]) {
        let first = if is_second { LANES / 2 } else { 0 };
        for (into, value) in into.iter_mut().zip(&vector[first..]) {
            *into = into.wrapping_add(*value);
        }
    }
    #[inline(always)]
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        array!(lane < LANES => a[lane].wrapping_mul(b[lane]))
    }
    #[inline(always)]
    fn widen(self, vector: Self::I16) -> [Self::I32; 2] {
        let [low, high] = [&vector[0], &vector[1]];
        let low = array!(lane < LANES => i32::from(low[lane]));
        [low, array!(lane < LANES => i32::from(high[lane]))]
    }
    #[inline(always)]
    fn add_where(self, mask: Self::Mask, a: Self::I32, b: Self::I32) -> Self::I32 {
        array!(lane < LANES => a[lane].wrapping_add(if mask[lane] { b[lane] } else { 0 }))
    }
    #[inline(always)]
    fn mask(self, bits: u16) -> Self::Mask {
        array!(lane < LANES => bits >> lane & 1 == 1)
    }
}

/// An array of two halves by their elements.
macro_rules! halves {
    (($half:ident, $lane:ident) => $value:expr) => {{
        let $half = 0;
        let low = array!($lane < LANES => $value);
        let $half = 1;
        [low, array!($lane < LANES => $value)]
    }};
}

impl Shorts for Portable {
    type I16 = [[i16; LANES]; 2];
    type Half = [i16; LANES];
    type Quarter = [i16; LANES / 2];
    type Mask16 = [[bool; LANES]; 2];

    #[inline(always)]
    fn splat_half(self, value: i16) -> Self::Half {
        [value; LANES]
    }
    #[inline(always)]
    fn splat_quarter(self, value: i16) -> Self::Quarter {
        [value; LANES / 2]
    }
    #[inline(always)]
    fn load_half(self, from: &[i16; LANES]) -> Self::Half {
        *from
    }
    #[inline(always)]
    fn add_half(self, a: Self::Half, b: Self::Half) -> Self::Half {
        array!(lane < LANES => a[lane].wrapping_add(b[lane]))
    }
    #[inline(always)]
    fn join(self, halves: [Self::Half; 2]) -> Self::I16 {
        halves
    }
    #[inline(always)]
    fn load_quarter(self, from: &[i16; LANES / 2]) -> Self::Quarter {
        *from
    }
    #[inline(always)]
    fn add_quarter(self, a: Self::Quarter, b: Self::Quarter) -> Self::Quarter {
        array!(lane < 8 => a[lane].wrapping_add(b[lane]))
    }
    #[inline(always)]
    fn join_quarters(self, quarters: [Self::Quarter; 4]) -> Self::I16 {
        halves!((half, lane) => quarters[2 * half + lane / 8][lane % 8])
    }
    #[inline(always)]
    fn load_i8(self, from: &[u64; 4]) -> Self::I16 {
        halves!((half, lane) => i16::from((from[2 * half + lane / 8] >> (lane % 8 * 8)) as i8))
    }
    #[inline(always)]
    fn splat_i16(self, value: i16) -> Self::I16 {
        [[value; LANES]; 2]
    }
    #[inline(always)]
    fn store_i16(self, vector: Self::I16, into: &mut [[i16; LANES]; 2]) {
        *into = vector;
    }
    #[inline(always)]
    fn add_i16(self, a: Self::I16, b: Self::I16) -> Self::I16 {
        halves!((half, lane) => a[half][lane].wrapping_add(b[half][lane]))
    }
    #[inline(always)]
    fn mul_i16(self, a: Self::I16, b: Self::I16) -> Self::I16 {
        halves!((half, lane) => a[half][lane].wrapping_mul(b[half][lane]))
    }
    #[inline(always)]
    fn greater_i16(self, a: Self::I16, b: Self::I16) -> Self::Mask16 {
        halves!((half, lane) => a[half][lane] > b[half][lane])
    }
    #[inline(always)]
    fn select_i16(self, mask: Self::Mask16, yes: Self::I16, no: Self::I16) -> Self::I16 {
        halves!((half, lane) => if mask[half][lane] { yes[half][lane] } else { no[half][lane] })
    }
    #[inline(always)]
    fn add_i16_where(self, mask: Self::Mask16, a: Self::I16, b: Self::I16) -> Self::I16 {
        halves!((half, lane) => {
            a[half][lane].wrapping_add(if mask[half][lane] { b[half][lane] } else { 0 })
        })
    }
    #[inline(always)]
    fn bits_i16(self, mask: Self::Mask16) -> u32 {
        let mut bits = 0;
        let mut lane = 0;
        while lane < 2 * LANES {
            bits |= u32::from(mask[lane / LANES][lane % LANES]) << lane;
            lane += 1;
        }
        bits
    }
}

impl Bits for Portable {
    type Bits = [u64; 8];

    #[inline(always)]
    fn load_bits(self, from: &[u8; 64]) -> Self::Bits {
        let words = from.as_chunks::<8>().0;
        array!(word < 8 => u64::from_le_bytes(words[word]))
    }
    #[inline(always)]
    fn load_words(self, words: &[u64; 8]) -> Self::Bits {
        *words
    }
    #[inline(always)]
    fn splat_bits(self, word: u64) -> Self::Bits {
        [word; 8]
    }
    #[inline(always)]
    fn words(self, bits: Self::Bits) -> [u64; 8] {
        bits
    }
    #[inline(always)]
    fn and(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
        array!(word < 8 => a[word] & b[word])
    }
    #[inline(always)]
    fn or(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
        array!(word < 8 => a[word] | b[word])
    }
    #[inline(always)]
    fn xor(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
        array!(word < 8 => a[word] ^ b[word])
    }
    #[inline(always)]
    fn shift_right(self, bits: Self::Bits, by: u32) -> Self::Bits {
        array!(word < 8 => bits[word] >> (by & 63))
    }
    #[inline(always)]
    fn or_moved(
        self,
        into: Self::Bits,
        bits: u64,
        steps: Self::Bits,
        [right, left]: [u32; 2],
        mask: u64,
    ) -> Self::Bits {
        let bits = bits >> (right & 63);
        array!(word < 8 => into[word] | bits >> (steps[word] & 63) << (left & 63) & mask)
    }
}

impl Words for Portable {}

impl Floats for Portable {
    /// As many as a register of 128 bits holds, which every processor has.
    const LANES: usize = 4;
    type Vector = [f32; 4];
    type Mask = [bool; 4];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Vector {
        [value; 4]
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::Vector {
        *from.first_chunk().expect("a vector")
    }
    #[inline(always)]
    fn store(self, vector: Self::Vector, into: &mut [f32]) {
        *into.first_chunk_mut().expect("a vector") = vector;
    }
    #[inline(always)]
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        array!(lane < 4 => a[lane] + b[lane])
    }
    #[inline(always)]
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        array!(lane < 4 => a[lane].mul_add(b[lane], c[lane]))
    }
    #[inline(always)]
    fn greater(self, a: Self::Vector, b: Self::Vector) -> Self::Mask {
        array!(lane < 4 => a[lane] > b[lane])
    }
    #[inline(always)]
    fn select(self, mask: Self::Mask, yes: Self::Vector, no: Self::Vector) -> Self::Vector {
        array!(lane < 4 => if mask[lane] { yes[lane] } else { no[lane] })
    }
}
