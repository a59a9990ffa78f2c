//! [`Simd`] and its parts, the operations of an instruction set; [`Kernel`], code written in them.

use crate::words::Words;

/// Lanes of a vector of [`Simd`].
pub const LANES: usize = 16;

/// A computation that is compiled for every instruction set.
pub trait Kernel {
    /// What it returns.
    type Output;

    /// Runs it; must be `#[inline(always)]`, and so must be what it calls.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Vectors of 16 integers of 32 bits, in arrays or registers.
///
/// Operations are the wrapping ones of [`i32`], lane by lane.
pub trait Simd: Bits + Shorts + Words {
    /// 16 integers.
    type I32: Copy;
    /// 16 answers.
    type Mask: Copy;
    /// What computes with floats as wide as a register.
    type Floats: Floats;

    /// The floats as wide as a register.
    fn floats(self) -> Self::Floats;
    /// Integers from memory.
    fn load_i32(self, from: &[i32; LANES]) -> Self::I32;
    /// One integer in all lanes.
    fn splat_i32(self, value: i32) -> Self::I32;
    /// Integers to memory.
    fn store_i32(self, vector: Self::I32, into: &mut [i32; LANES]);
    /// a + b.
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Adds eight integers, the first or the second half of a vector, to those in memory.
    fn add_half_to(self, vector: Self::I32, is_second: bool, into: &mut [i32; LANES / 2]);
    /// a · b.
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// The same integers.
    fn widen(self, vector: Self::I16) -> [Self::I32; 2];
    /// a + b where the mask holds, a elsewhere.
    fn add_where(self, mask: Self::Mask, a: Self::I32, b: Self::I32) -> Self::I32;
    /// The mask with these bits.
    fn mask(self, bits: u16) -> Self::Mask;
}

/// Vectors of 32 integers of 16 bits, two times [`LANES`].
///
/// Operations are the wrapping ones of [`i16`], lane by lane.
pub trait Shorts: Copy {
    /// 32 integers.
    type I16: Copy;
    /// 16 of them.
    type Half: Copy;
    /// 8 of them.
    type Quarter: Copy;
    /// 32 answers.
    type Mask16: Copy;

    /// One integer in half a vector.
    fn splat_half(self, value: i16) -> Self::Half;
    /// One integer in a quarter of a vector.
    fn splat_quarter(self, value: i16) -> Self::Quarter;
    /// Half a vector from memory.
    fn load_half(self, from: &[i16; LANES]) -> Self::Half;
    /// a + b.
    fn add_half(self, a: Self::Half, b: Self::Half) -> Self::Half;
    /// A vector of its halves.
    fn join(self, halves: [Self::Half; 2]) -> Self::I16;
    /// A quarter of a vector from memory.
    fn load_quarter(self, from: &[i16; LANES / 2]) -> Self::Quarter;
    /// a + b.
    fn add_quarter(self, a: Self::Quarter, b: Self::Quarter) -> Self::Quarter;
    /// A vector of its quarters.
    fn join_quarters(self, quarters: [Self::Quarter; 4]) -> Self::I16;
    /// Signed bytes from memory, the lowest of the first word first.
    fn load_i8(self, from: &[u64; 4]) -> Self::I16;
    /// One integer in all lanes.
    fn splat_i16(self, value: i16) -> Self::I16;
    /// Integers to memory.
    fn store_i16(self, vector: Self::I16, into: &mut [[i16; LANES]; 2]);
    /// a + b.
    fn add_i16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// a · b.
    fn mul_i16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// a > b.
    fn greater_i16(self, a: Self::I16, b: Self::I16) -> Self::Mask16;
    /// yes where the mask holds, no elsewhere.
    fn select_i16(self, mask: Self::Mask16, yes: Self::I16, no: Self::I16) -> Self::I16;
    /// a + b where the mask holds, a elsewhere.
    fn add_i16_where(self, mask: Self::Mask16, a: Self::I16, b: Self::I16) -> Self::I16;
    /// One bit per lane, the first lane lowest.
    fn bits_i16(self, mask: Self::Mask16) -> u32;
}

/// Vectors of 512 bits.
pub trait Bits: Copy + Send + Sync + 'static {
    /// 512 bits.
    type Bits: Copy;

    /// Bits from memory.
    fn load_bits(self, from: &[u8; 64]) -> Self::Bits;
    /// Bits from words.
    fn load_words(self, words: &[u64; 8]) -> Self::Bits;
    /// The same word eight times.
    fn splat_bits(self, word: u64) -> Self::Bits;
    /// Bits as words.
    fn words(self, bits: Self::Bits) -> [u64; 8];
    /// a ∧ b.
    fn and(self, a: Self::Bits, b: Self::Bits) -> Self::Bits;
    /// a ∨ b.
    fn or(self, a: Self::Bits, b: Self::Bits) -> Self::Bits;
    /// a ⊕ b.
    fn xor(self, a: Self::Bits, b: Self::Bits) -> Self::Bits;
    /// The sum of three bits, bit by bit: its low and its high bit.
    #[inline(always)]
    fn full_add(self, a: Self::Bits, b: Self::Bits, c: Self::Bits) -> (Self::Bits, Self::Bits) {
        let either = self.xor(a, b);
        let high = self.or(self.and(a, b), self.and(either, c));
        (self.xor(either, c), high)
    }
    /// Every word of 64 bits, shifted right by less than 64.
    fn shift_right(self, bits: Self::Bits, by: u32) -> Self::Bits;
    /// Per word, into ∨ (((bits >> (steps + right)) << left) ∧ mask), `shifts` being right and left; the
    /// mask takes no bit that a shift brings in, and no shift is 64 or more.
    fn or_moved(
        self,
        into: Self::Bits,
        bits: u64,
        steps: Self::Bits,
        shifts: [u32; 2],
        mask: u64,
    ) -> Self::Bits;
}

/// Vectors of as many floats as a register holds, for loops that keep sums in registers.
///
/// Operations are those of [`f32`], lane by lane.
pub trait Floats: Copy {
    /// Floats of a vector, at most [`LANES`].
    const LANES: usize;
    /// A vector of floats.
    type Vector: Copy;
    /// One answer per lane.
    type Mask: Copy;

    /// One float in all lanes.
    fn splat(self, value: f32) -> Self::Vector;
    /// The first floats of a slice, which must not be shorter than a vector.
    fn load(self, from: &[f32]) -> Self::Vector;
    /// Floats to the front of a slice, which must not be shorter than a vector.
    fn store(self, vector: Self::Vector, into: &mut [f32]);
    /// a + b.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a · b + c, rounded once.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// a > b.
    fn greater(self, a: Self::Vector, b: Self::Vector) -> Self::Mask;
    /// yes where the mask holds, no elsewhere.
    fn select(self, mask: Self::Mask, yes: Self::Vector, no: Self::Vector) -> Self::Vector;
}
