//! The portable level: arrays, which the compiler vectorises as far as it may.

use crate::simd::{Bits, Floats, LANES, Simd};
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
    type F32 = [f32; LANES];
    type I32 = [i32; LANES];
    type Mask = [bool; LANES];
    type Floats = Self;

    #[inline(always)]
    fn floats(self) -> Self {
        self
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F32 {
        *from
    }
    #[inline(always)]
    fn splat(self, value: f32) -> Self::F32 {
        [value; LANES]
    }
    #[inline(always)]
    fn load_bytes(self, from: &[u64; 2]) -> Self::F32 {
        array!(lane < LANES => f32::from((from[lane / 8] >> (lane % 8 * 8)) as u8))
    }
    #[inline(always)]
    fn store(self, vector: Self::F32, into: &mut [f32; LANES]) {
        *into = vector;
    }
    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        array!(lane < LANES => a[lane] + b[lane])
    }
    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        array!(lane < LANES => a[lane] - b[lane])
    }
    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        array!(lane < LANES => a[lane] * b[lane])
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
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        array!(lane < LANES => a[lane].wrapping_mul(b[lane]))
    }
    #[inline(always)]
    fn ge(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        array!(lane < LANES => a[lane] >= b[lane])
    }
    #[inline(always)]
    fn select(self, mask: Self::Mask, yes: Self::F32, no: Self::F32) -> Self::F32 {
        array!(lane < LANES => if mask[lane] { yes[lane] } else { no[lane] })
    }
    #[inline(always)]
    fn add_where(self, mask: Self::Mask, a: Self::I32, b: Self::I32) -> Self::I32 {
        array!(lane < LANES => a[lane].wrapping_add(if mask[lane] { b[lane] } else { 0 }))
    }
    #[inline(always)]
    fn bits(self, mask: Self::Mask) -> u16 {
        let mut bits = 0;
        let mut lane = 0;
        while lane < LANES {
            bits |= u16::from(mask[lane]) << lane;
            lane += 1;
        }
        bits
    }
    #[inline(always)]
    fn mask(self, bits: u16) -> Self::Mask {
        array!(lane < LANES => bits >> lane & 1 == 1)
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
