//! [`Isa`]: the instruction sets that kernels are compiled for, chosen when the program runs.
//!
//! A [`Kernel`] is a loop written once over vectors of 16 lanes ([`Simd`]); [`Isa::run`] compiles it
//! for every level and calls the one it is told. All levels give the same bits: no operation here
//! rounds differently from the scalar one, and lanes are never added across.
//!
//! On x86-64 there are AVX-512, AVX2 and the portable level. On aarch64 the portable level is NEON,
//! which every such processor has: the compiler vectorises its arrays.
//!
//! The `unsafe` code of hafnia is in this file: calls of instructions that a processor may lack. A
//! token of a level is made only by [`Isa::run`], and an [`Isa`] only after the processor was asked.

#![expect(unsafe_code, reason = "instructions that not every processor has")]

use std::fmt;

/// A one in every byte.
const BYTES: u64 = 0x0101_0101_0101_0101;

/// Lanes of a vector.
pub const LANES: usize = 16;

/// An instruction set that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// A computation that is compiled for every level.
pub trait Kernel {
    /// What it gives.
    type Output;

    /// Computes it; must be `#[inline(always)]`, and so must be what it calls.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

impl Isa {
    /// The widest that this processor has.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx512() {
                return Self(Level::Avx512);
            }
            if has_avx2() {
                return Self(Level::Avx2);
            }
        }
        Self(Level::Portable)
    }

    /// All that this processor has, the portable one first.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self(Level::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx2() {
                all.push(Self(Level::Avx2));
            }
            if has_avx512() {
                all.push(Self(Level::Avx512));
            }
        }
        all
    }

    /// Runs a kernel as compiled for this level.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Level::Portable => kernel.run(Portable(())),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this `Isa` was made after the processor said that it has AVX2.
            Level::Avx2 => unsafe { x86::run_avx2(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this `Isa` was made after the processor said that it has AVX-512.
            Level::Avx512 => unsafe { x86::run_avx512(kernel) },
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Level::Portable if cfg!(target_arch = "aarch64") => "neon",
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        })
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("lzcnt")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi2")
        && is_x86_feature_detected!("avx512vpopcntdq")
}

/// Vectors of 16 lanes, as arrays or in registers.
///
/// Operations are those of [`f32`] and wrapping ones of [`i32`], lane by lane.
pub trait Simd: Copy + Send + Sync + 'static {
    /// 16 floats.
    type F32: Copy;
    /// 16 integers.
    type I32: Copy;
    /// 16 answers.
    type Mask: Copy;
    /// 512 bits.
    type Bits: Copy;

    /// Floats from memory.
    fn load(self, from: &[f32; LANES]) -> Self::F32;
    /// One float in all lanes.
    fn splat(self, value: f32) -> Self::F32;
    /// Bytes from memory, the lowest of the first word first, as floats.
    fn load_bytes(self, from: &[u64; 2]) -> Self::F32;
    /// Floats to memory.
    fn store(self, vector: Self::F32, into: &mut [f32; LANES]);
    /// a + b.
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a − b.
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a · b.
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// Integers from memory.
    fn load_i32(self, from: &[i32; LANES]) -> Self::I32;
    /// One integer in all lanes.
    fn splat_i32(self, value: i32) -> Self::I32;
    /// Integers to memory.
    fn store_i32(self, vector: Self::I32, into: &mut [i32; LANES]);
    /// a + b.
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// a · b.
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// a ≥ b.
    fn ge(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// yes where the mask holds, no elsewhere.
    fn select(self, mask: Self::Mask, yes: Self::F32, no: Self::F32) -> Self::F32;
    /// a + b where the mask holds, a elsewhere.
    fn add_where(self, mask: Self::Mask, a: Self::I32, b: Self::I32) -> Self::I32;
    /// A bit for every lane, the first lane lowest.
    fn bits(self, mask: Self::Mask) -> u16;
    /// The answers with these bits.
    fn mask(self, bits: u16) -> Self::Mask;
    /// Bits from memory.
    fn load_bits(self, from: &[u8; 64]) -> Self::Bits;
    /// Bits from words.
    fn load_words(self, words: &[u64; 8]) -> Self::Bits;
    /// A word eight times over.
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
    fn full_add(self, a: Self::Bits, b: Self::Bits, c: Self::Bits) -> (Self::Bits, Self::Bits);
    /// Every word of 64 bits, shifted right by less than 64.
    fn shift_right(self, bits: Self::Bits, by: u32) -> Self::Bits;
    /// For every byte b of the words, with t the smaller one of b and 255 − b, below 128: the smaller
    /// one of low\[t\], or of low\[15\] if t is over 15, and high\[t / 16\].
    fn look_up_tails(self, words: &[u64; 8], low: &[u8; 16], high: &[u8; 16]) -> [u64; 8];
    /// A bit for every byte of the words, the lowest of the first word lowest: whether it is above
    /// `last`.
    fn above(self, words: &[u64; 8], last: u8) -> u64;
    /// Of the ones of a word, the lowest first, those behind the first `skipped`, at most `count` of
    /// them; both are below 64.
    fn pick(self, word: u64, skipped: u32, count: u32) -> u64;
    /// The lowest eight bits of a word as bytes of 0 or 1, the lowest first.
    fn spread(self, word: u64) -> u64;
    /// Writes `first` plus the place of every 1 of `word` from the front of `into`, ascending, and
    /// anything behind them; gives their number.
    fn positions(self, word: u64, first: u16, into: &mut [u16; 64]) -> usize;
}

/// The portable level: arrays, which the compiler vectorises as far as it may.
#[derive(Debug, Clone, Copy)]
pub struct Portable(());

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

/// [`Simd::positions`] byte by byte, without a branch on a bit.
#[inline(always)]
fn positions_by_byte(word: u64, first: u16, into: &mut [u16; 64]) -> usize {
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

macro_rules! lanes {
    ($lane:ident => $value:expr) => {{
        let mut vector = [Default::default(); LANES];
        let mut $lane = 0;
        while $lane < LANES {
            vector[$lane] = $value;
            $lane += 1;
        }
        vector
    }};
}

macro_rules! words {
    ($word:ident => $value:expr) => {{
        let mut bits = [0u64; 8];
        let mut $word = 0;
        while $word < 8 {
            bits[$word] = $value;
            $word += 1;
        }
        bits
    }};
}

impl Simd for Portable {
    type F32 = [f32; LANES];
    type I32 = [i32; LANES];
    type Mask = [bool; LANES];
    type Bits = [u64; 8];

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
        lanes!(lane => f32::from((from[lane / 8] >> (lane % 8 * 8)) as u8))
    }
    #[inline(always)]
    fn store(self, vector: Self::F32, into: &mut [f32; LANES]) {
        *into = vector;
    }
    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        lanes!(lane => a[lane] + b[lane])
    }
    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        lanes!(lane => a[lane] - b[lane])
    }
    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        lanes!(lane => a[lane] * b[lane])
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
        lanes!(lane => a[lane].wrapping_add(b[lane]))
    }
    #[inline(always)]
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        lanes!(lane => a[lane].wrapping_mul(b[lane]))
    }
    #[inline(always)]
    fn ge(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        lanes!(lane => a[lane] >= b[lane])
    }
    #[inline(always)]
    fn select(self, mask: Self::Mask, yes: Self::F32, no: Self::F32) -> Self::F32 {
        lanes!(lane => if mask[lane] { yes[lane] } else { no[lane] })
    }
    #[inline(always)]
    fn add_where(self, mask: Self::Mask, a: Self::I32, b: Self::I32) -> Self::I32 {
        lanes!(lane => a[lane].wrapping_add(if mask[lane] { b[lane] } else { 0 }))
    }
    #[inline(always)]
    fn mask(self, bits: u16) -> Self::Mask {
        lanes!(lane => bits >> lane & 1 == 1)
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
    fn load_bits(self, from: &[u8; 64]) -> Self::Bits {
        let words = from.as_chunks::<8>().0;
        words!(word => u64::from_le_bytes(words[word]))
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
        words!(word => a[word] & b[word])
    }
    #[inline(always)]
    fn or(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
        words!(word => a[word] | b[word])
    }
    #[inline(always)]
    fn xor(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
        words!(word => a[word] ^ b[word])
    }
    #[inline(always)]
    fn full_add(self, a: Self::Bits, b: Self::Bits, c: Self::Bits) -> (Self::Bits, Self::Bits) {
        let either = self.xor(a, b);
        let high = self.or(self.and(a, b), self.and(either, c));
        (self.xor(either, c), high)
    }
    #[inline(always)]
    fn shift_right(self, bits: Self::Bits, by: u32) -> Self::Bits {
        words!(word => bits[word] >> (by & 63))
    }
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
    #[inline(always)]
    fn spread(self, word: u64) -> u64 {
        // Byte i keeps bit i, and carries to its highest bit unless that is 0.
        let kept = (word & 0xff).wrapping_mul(BYTES) & 0x8040_2010_0804_0201;
        (kept + 0x7f7f_7f7f_7f7f_7f7f) >> 7 & BYTES
    }
    #[inline(always)]
    fn positions(self, word: u64, first: u16, into: &mut [u16; 64]) -> usize {
        positions_by_byte(word, first, into)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{BYTES, Kernel, LANES, Simd, positions_by_byte};

    /// AVX2: two registers a vector.
    #[derive(Debug, Clone, Copy)]
    pub(super) struct Avx2(());

    /// AVX-512 with the extensions of servers since 2019.
    #[derive(Debug, Clone, Copy)]
    pub(super) struct Avx512(());

    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
    pub(super) fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
        kernel.run(Avx2(()))
    }

    #[target_feature(
        enable = "avx2,bmi1,bmi2,popcnt,lzcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,avx512vpopcntdq"
    )]
    pub(super) fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
        kernel.run(Avx512(()))
    }

    /// Methods that are instructions of their level.
    macro_rules! instructions {
        ($(fn $name:ident($self:ident $(, $arg:ident: $type:ty)*) $(-> $out:ty)? { $($body:tt)* })*) => {$(
            #[inline(always)]
            fn $name($self $(, $arg: $type)*) $(-> $out)? {
                // SAFETY: a token exists only within `run_avx2` or `run_avx512`, whose caller knows
                // that the processor has these instructions; pointers come from references to
                // arrays of the length that is read or written.
                unsafe { $($body)* }
            }
        )*};
    }

    impl Simd for Avx2 {
        type F32 = [__m256; 2];
        type I32 = [__m256i; 2];
        type Mask = [__m256; 2];
        type Bits = [__m256i; 2];

        instructions! {
            fn load(self, from: &[f32; LANES]) -> Self::F32 {
                let from = from.as_ptr();
                [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))]
            }
            fn splat(self, value: f32) -> Self::F32 {
                [_mm256_set1_ps(value); 2]
            }
            fn load_bytes(self, from: &[u64; 2]) -> Self::F32 {
                let from = _mm_loadu_si128(from.as_ptr().cast());
                let high = _mm_unpackhi_epi64(from, from);
                [
                    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(from)),
                    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(high)),
                ]
            }
            fn store(self, vector: Self::F32, into: &mut [f32; LANES]) {
                let into = into.as_mut_ptr();
                _mm256_storeu_ps(into, vector[0]);
                _mm256_storeu_ps(into.add(8), vector[1]);
            }
            fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
                [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])]
            }
            fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
                [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])]
            }
            fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
                [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])]
            }
            fn load_i32(self, from: &[i32; LANES]) -> Self::I32 {
                let from = from.as_ptr();
                [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(8).cast())]
            }
            fn splat_i32(self, value: i32) -> Self::I32 {
                [_mm256_set1_epi32(value); 2]
            }
            fn store_i32(self, vector: Self::I32, into: &mut [i32; LANES]) {
                let into = into.as_mut_ptr();
                _mm256_storeu_si256(into.cast(), vector[0]);
                _mm256_storeu_si256(into.add(8).cast(), vector[1]);
            }
            fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
                [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])]
            }
            fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
                [_mm256_mullo_epi32(a[0], b[0]), _mm256_mullo_epi32(a[1], b[1])]
            }
            fn ge(self, a: Self::F32, b: Self::F32) -> Self::Mask {
                [_mm256_cmp_ps::<_CMP_GE_OQ>(a[0], b[0]), _mm256_cmp_ps::<_CMP_GE_OQ>(a[1], b[1])]
            }
            fn select(self, mask: Self::Mask, yes: Self::F32, no: Self::F32) -> Self::F32 {
                [
                    _mm256_blendv_ps(no[0], yes[0], mask[0]),
                    _mm256_blendv_ps(no[1], yes[1], mask[1]),
                ]
            }
            fn add_where(self, mask: Self::Mask, a: Self::I32, b: Self::I32) -> Self::I32 {
                [
                    _mm256_add_epi32(a[0], _mm256_and_si256(b[0], _mm256_castps_si256(mask[0]))),
                    _mm256_add_epi32(a[1], _mm256_and_si256(b[1], _mm256_castps_si256(mask[1]))),
                ]
            }
            fn mask(self, bits: u16) -> Self::Mask {
                let low = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
                let high = _mm256_slli_epi32::<8>(low);
                let bits = _mm256_set1_epi32(i32::from(bits));
                [
                    _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(bits, low), low)),
                    _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(bits, high), high)),
                ]
            }
            fn bits(self, mask: Self::Mask) -> u16 {
                (_mm256_movemask_ps(mask[0]) | _mm256_movemask_ps(mask[1]) << 8) as u16
            }
            fn load_bits(self, from: &[u8; 64]) -> Self::Bits {
                let from = from.as_ptr();
                [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast())]
            }
            fn load_words(self, words: &[u64; 8]) -> Self::Bits {
                let from: *const u64 = words.as_ptr();
                [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(4).cast())]
            }
            fn splat_bits(self, word: u64) -> Self::Bits {
                [_mm256_set1_epi64x(word.cast_signed()); 2]
            }
            fn words(self, bits: Self::Bits) -> [u64; 8] {
                let mut words = [0; 8];
                let into: *mut u64 = words.as_mut_ptr();
                _mm256_storeu_si256(into.cast(), bits[0]);
                _mm256_storeu_si256(into.add(4).cast(), bits[1]);
                words
            }
            fn and(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
                [_mm256_and_si256(a[0], b[0]), _mm256_and_si256(a[1], b[1])]
            }
            fn or(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
                [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])]
            }
            fn xor(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
                [_mm256_xor_si256(a[0], b[0]), _mm256_xor_si256(a[1], b[1])]
            }
            fn shift_right(self, bits: Self::Bits, by: u32) -> Self::Bits {
                let by = _mm_cvtsi32_si128(by.cast_signed());
                [_mm256_srl_epi64(bits[0], by), _mm256_srl_epi64(bits[1], by)]
            }
            fn pick(self, word: u64, skipped: u32, count: u32) -> u64 {
                _pdep_u64(((1 << (count & 63)) - 1) << (skipped & 63), word)
            }
            fn spread(self, word: u64) -> u64 {
                _pdep_u64(word, BYTES)
            }
            fn look_up_tails(self, words: &[u64; 8], low: &[u8; 16], high: &[u8; 16]) -> [u64; 8] {
                let table = |bytes: &[u8; 16]| {
                    _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes.as_ptr().cast()))
                };
                let (low, high) = (table(low), table(high));
                let fifteen = _mm256_set1_epi8(15);
                let mut found = [0; 8];
                let mut half = 0;
                while half < 8 {
                    let bytes = _mm256_loadu_si256(words.as_ptr().add(half).cast());
                    let other = _mm256_xor_si256(bytes, _mm256_set1_epi8(-1));
                    let tail = _mm256_min_epu8(bytes, other);
                    let of_low = _mm256_shuffle_epi8(low, _mm256_min_epu8(tail, fifteen));
                    let sixteenth = _mm256_and_si256(_mm256_srli_epi16::<4>(tail), fifteen);
                    let of_high = _mm256_shuffle_epi8(high, sixteenth);
                    let smaller = _mm256_min_epu8(of_low, of_high);
                    _mm256_storeu_si256(found.as_mut_ptr().add(half).cast(), smaller);
                    half += 4;
                }
                found
            }
            fn above(self, words: &[u64; 8], last: u8) -> u64 {
                let last = _mm256_set1_epi8(last.cast_signed());
                let half = |half: usize| {
                    let bytes = _mm256_loadu_si256(words.as_ptr().add(half).cast());
                    let is_not = _mm256_cmpeq_epi8(_mm256_max_epu8(bytes, last), last);
                    u64::from(!_mm256_movemask_epi8(is_not).cast_unsigned())
                };
                half(0) | half(4) << 32
            }
        }

        #[inline(always)]
        fn full_add(self, a: Self::Bits, b: Self::Bits, c: Self::Bits) -> (Self::Bits, Self::Bits) {
            let either = self.xor(a, b);
            let high = self.or(self.and(a, b), self.and(either, c));
            (self.xor(either, c), high)
        }

        #[inline(always)]
        fn positions(self, word: u64, first: u16, into: &mut [u16; 64]) -> usize {
            positions_by_byte(word, first, into)
        }
    }

    /// 0, 1, 2, …
    static PLACES: [u16; 32] = {
        let mut places = [0; 32];
        let mut place = 0;
        while place < 32 {
            places[place] = place as u16;
            place += 1;
        }
        places
    };

    impl Simd for Avx512 {
        type F32 = __m512;
        type I32 = __m512i;
        type Mask = __mmask16;
        type Bits = __m512i;

        #[inline(always)]
        fn bits(self, mask: Self::Mask) -> u16 {
            mask
        }
        #[inline(always)]
        fn mask(self, bits: u16) -> Self::Mask {
            bits
        }

        instructions! {
            fn load(self, from: &[f32; LANES]) -> Self::F32 {
                _mm512_loadu_ps(from.as_ptr())
            }
            fn splat(self, value: f32) -> Self::F32 {
                _mm512_set1_ps(value)
            }
            fn load_bytes(self, from: &[u64; 2]) -> Self::F32 {
                let from = _mm_loadu_si128(from.as_ptr().cast());
                _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(from))
            }
            fn store(self, vector: Self::F32, into: &mut [f32; LANES]) {
                _mm512_storeu_ps(into.as_mut_ptr(), vector);
            }
            fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
                _mm512_add_ps(a, b)
            }
            fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
                _mm512_sub_ps(a, b)
            }
            fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
                _mm512_mul_ps(a, b)
            }
            fn load_i32(self, from: &[i32; LANES]) -> Self::I32 {
                _mm512_loadu_si512(from.as_ptr().cast())
            }
            fn splat_i32(self, value: i32) -> Self::I32 {
                _mm512_set1_epi32(value)
            }
            fn store_i32(self, vector: Self::I32, into: &mut [i32; LANES]) {
                _mm512_storeu_si512(into.as_mut_ptr().cast(), vector);
            }
            fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
                _mm512_add_epi32(a, b)
            }
            fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
                _mm512_mullo_epi32(a, b)
            }
            fn ge(self, a: Self::F32, b: Self::F32) -> Self::Mask {
                _mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, b)
            }
            fn select(self, mask: Self::Mask, yes: Self::F32, no: Self::F32) -> Self::F32 {
                _mm512_mask_blend_ps(mask, no, yes)
            }
            fn add_where(self, mask: Self::Mask, a: Self::I32, b: Self::I32) -> Self::I32 {
                _mm512_mask_add_epi32(a, mask, a, b)
            }
            fn load_bits(self, from: &[u8; 64]) -> Self::Bits {
                _mm512_loadu_si512(from.as_ptr().cast())
            }
            fn load_words(self, words: &[u64; 8]) -> Self::Bits {
                _mm512_loadu_si512(words.as_ptr().cast())
            }
            fn splat_bits(self, word: u64) -> Self::Bits {
                _mm512_set1_epi64(word.cast_signed())
            }
            fn words(self, bits: Self::Bits) -> [u64; 8] {
                let mut words = [0; 8];
                _mm512_storeu_si512(words.as_mut_ptr().cast(), bits);
                words
            }
            fn and(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
                _mm512_and_si512(a, b)
            }
            fn or(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
                _mm512_or_si512(a, b)
            }
            fn xor(self, a: Self::Bits, b: Self::Bits) -> Self::Bits {
                _mm512_xor_si512(a, b)
            }
            fn full_add(self, a: Self::Bits, b: Self::Bits, c: Self::Bits) -> (Self::Bits, Self::Bits) {
                // The truth tables of a ⊕ b ⊕ c and of the majority.
                let low = _mm512_ternarylogic_epi64::<0x96>(a, b, c);
                (low, _mm512_ternarylogic_epi64::<0xe8>(a, b, c))
            }
            fn shift_right(self, bits: Self::Bits, by: u32) -> Self::Bits {
                _mm512_srl_epi64(bits, _mm_cvtsi32_si128(by.cast_signed()))
            }
            fn pick(self, word: u64, skipped: u32, count: u32) -> u64 {
                _pdep_u64(((1 << (count & 63)) - 1) << (skipped & 63), word)
            }
            fn spread(self, word: u64) -> u64 {
                _pdep_u64(word, BYTES)
            }
            fn look_up_tails(self, words: &[u64; 8], low: &[u8; 16], high: &[u8; 16]) -> [u64; 8] {
                let table = |bytes: &[u8; 16]| {
                    _mm512_broadcast_i32x4(_mm_loadu_si128(bytes.as_ptr().cast()))
                };
                let fifteen = _mm512_set1_epi8(15);
                let bytes = _mm512_loadu_si512(words.as_ptr().cast());
                let other = _mm512_xor_si512(bytes, _mm512_set1_epi8(-1));
                let tail = _mm512_min_epu8(bytes, other);
                let of_low = _mm512_shuffle_epi8(table(low), _mm512_min_epu8(tail, fifteen));
                let sixteenth = _mm512_and_si512(_mm512_srli_epi16::<4>(tail), fifteen);
                let of_high = _mm512_shuffle_epi8(table(high), sixteenth);
                let mut found = [0; 8];
                _mm512_storeu_si512(found.as_mut_ptr().cast(), _mm512_min_epu8(of_low, of_high));
                found
            }
            fn above(self, words: &[u64; 8], last: u8) -> u64 {
                let bytes = _mm512_loadu_si512(words.as_ptr().cast());
                _mm512_cmpgt_epu8_mask(bytes, _mm512_set1_epi8(last.cast_signed()))
            }
            fn positions(self, word: u64, first: u16, into: &mut [u16; 64]) -> usize {
                let places = _mm512_loadu_si512(PLACES.as_ptr().cast());
                let places = _mm512_add_epi16(places, _mm512_set1_epi16(first.cast_signed()));
                let (low, high) = (word as u32, (word >> 32) as u32);
                let into = into.as_mut_ptr();
                _mm512_storeu_si512(into.cast(), _mm512_maskz_compress_epi16(low, places));
                let count = low.count_ones() as usize;
                if high != 0 {
                    let places = _mm512_add_epi16(places, _mm512_set1_epi16(32));
                    let places = _mm512_maskz_compress_epi16(high, places);
                    // `into` may hold less than 32 more: only the ones are written.
                    let ones = (1u64 << high.count_ones()) - 1;
                    _mm512_mask_storeu_epi16(into.add(count).cast(), ones as u32, places);
                }
                count + high.count_ones() as usize
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All operations on the same numbers, each result as bits.
    struct Every {
        floats: [[f32; LANES]; 2],
        integers: [[i32; LANES]; 2],
        words: [u64; 8],
        tables: [[u8; 16]; 2],
        word: u64,
    }

    impl Kernel for &Every {
        type Output = (
            Vec<[f32; LANES]>,
            Vec<[i32; LANES]>,
            u16,
            [u64; 9],
            Vec<u16>,
            Vec<[u64; 8]>,
            [u64; 2],
        );

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            let [a, b] = [simd.load(&self.floats[0]), simd.load(&self.floats[1])];
            let [i, j] = [simd.load_i32(&self.integers[0]), simd.load_i32(&self.integers[1])];
            let mut floats = Vec::new();
            for vector in [
                a,
                simd.splat(self.floats[0][3]),
                simd.load_bytes(&[self.words[0], self.words[1]]),
                simd.select(simd.ge(a, b), b, a),
                simd.add(a, b),
                simd.sub(a, b),
                simd.mul(a, b),
            ] {
                let mut stored = [0.0; LANES];
                simd.store(vector, &mut stored);
                floats.push(stored);
            }
            let mut integers = Vec::new();
            for vector in [
                i,
                simd.splat_i32(self.integers[1][5]),
                simd.add_i32(i, j),
                simd.mul_i32(i, j),
                simd.add_where(simd.ge(a, b), i, j),
                simd.add_where(simd.ge(a, a), i, j),
                simd.add_where(simd.mask(self.word as u16), i, j),
            ] {
                let mut stored = [0; LANES];
                simd.store_i32(vector, &mut stored);
                integers.push(stored);
            }
            let mut places = [0; 64];
            let count = simd.positions(self.word, 1_000, &mut places);
            let mut found = [simd.above(&self.words, self.tables[0][0]); 9];
            let tails = simd.look_up_tails(&self.words, &self.tables[0], &self.tables[1]);
            found[..8].copy_from_slice(&tails);
            let mut bits = Vec::new();
            let mut from = [0; 64];
            for (from, word) in from.as_chunks_mut().0.iter_mut().zip(self.words) {
                *from = word.to_le_bytes();
            }
            let words = simd.load_bits(&from);
            let again = simd.load_words(&self.words);
            let other = simd.splat_bits(self.word);
            let third = simd.shift_right(words, u32::from(self.tables[0][0]) % 64);
            let sum = simd.full_add(words, other, third);
            let (and, or) = (simd.and(words, other), simd.or(words, other));
            for vector in [words, other, third, sum.0, sum.1, and, or, simd.xor(again, other)] {
                bits.push(simd.words(vector));
            }
            let lanes = simd.bits(simd.ge(b, a));
            let [skipped, picked] =
                [self.tables[0][1], self.tables[0][2]].map(|n| u32::from(n % 64));
            let picked = simd.pick(self.word, skipped, picked);
            (
                floats,
                integers,
                lanes,
                found,
                places[..count].to_vec(),
                bits,
                [picked, simd.spread(self.word)],
            )
        }
    }

    proptest! {
        /// Every level gives what the scalar operations give.
        #[test]
        fn levels_are_equal(
            mut floats in proptest::array::uniform2(proptest::array::uniform16(-9.0f32..9.0)),
            integers in proptest::array::uniform2(proptest::array::uniform16(any::<i32>())),
            equal in any::<u16>(),
            words in any::<[u64; 8]>(),
            tables in any::<[[u8; 16]; 2]>(),
            word in any::<u64>(),
            and in any::<u64>(),
        ) {
            for lane in (0..LANES).filter(|lane| equal >> lane & 1 == 1) {
                floats[1][lane] = floats[0][lane];
            }
            for word in [word, word & and, word | and, 0, u64::MAX] {
                let every = Every { floats, integers, words, tables, word };
                let ones = (0..64).filter(|bit| word >> bit & 1 == 1).map(|bit| 1_000 + bit);
                let expected = Isa(Level::Portable).run(&every);
                let [a, b] = floats;
                for lane in 0..LANES {
                    let is_ge = a[lane] >= b[lane];
                    let byte = (words[lane / 8] >> (lane % 8 * 8)) as u8;
                    prop_assert_eq!(expected.0[2][lane], f32::from(byte));
                    prop_assert_eq!(expected.0[3][lane], if is_ge { b[lane] } else { a[lane] });
                    prop_assert_eq!(expected.2 >> lane & 1 == 1, b[lane] >= a[lane]);
                }
                for (place, &sum) in expected.5[3].iter().enumerate() {
                    let [a, b, c] = [0, 1, 2].map(|vector| expected.5[vector][place]);
                    prop_assert_eq!(expected.5[0][place], words[place]);
                    prop_assert_eq!(sum, a ^ b ^ c);
                    prop_assert_eq!(expected.5[4][place], a & b | a & c | b & c);
                    prop_assert_eq!(expected.5[5][place], a & b);
                    prop_assert_eq!(expected.5[6][place], a | b);
                    prop_assert_eq!(expected.5[7][place], a ^ b);
                }
                let [skipped, count] = [tables[0][1], tables[0][2]].map(|n| usize::from(n % 64));
                let picked = ones.clone().skip(skipped).take(count);
                prop_assert_eq!(expected.6[0], picked.map(|bit| 1 << (bit - 1_000)).sum::<u64>());
                let bytes = expected.6[1].to_le_bytes();
                for (bit, &byte) in bytes.iter().enumerate() {
                    prop_assert_eq!(u64::from(byte), word >> bit & 1);
                }
                prop_assert_eq!(&expected.4, &ones.collect::<Vec<u16>>());
                for isa in Isa::all() {
                    prop_assert_eq!(&isa.run(&every), &expected, "{}", isa);
                }
            }
        }
    }

    #[test]
    fn the_best_is_the_last_of_all() {
        assert_eq!(Isa::all().last(), Some(&Isa::best()));
    }
}
