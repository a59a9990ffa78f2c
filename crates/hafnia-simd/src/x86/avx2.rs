//! AVX2 with FMA: two registers per vector of 16 lanes, one per vector of [`Floats`].

use std::arch::x86_64::*;

use crate::simd::{Bits, Floats, Kernel, LANES, Simd};
use crate::words::{BYTES, Words};

/// The token of this level.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2(pub(super) ());

/// Whether the processor has this level.
pub(super) fn is_there() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("lzcnt")
}

#[target_feature(enable = "avx2,fma,bmi1,bmi2,popcnt,lzcnt")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

impl Simd for Avx2 {
    type F32 = [__m256; 2];
    type I32 = [__m256i; 2];
    type Mask = [__m256; 2];
    type Floats = Self;

    #[inline(always)]
    fn floats(self) -> Self::Floats {
        self
    }

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
        fn bits(self, mask: Self::Mask) -> u16 {
            (_mm256_movemask_ps(mask[0]) | _mm256_movemask_ps(mask[1]) << 8) as u16
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
    }
}

impl Bits for Avx2 {
    type Bits = [__m256i; 2];

    instructions! {
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
    }
}

impl Words for Avx2 {
    instructions! {
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
        fn pick(self, word: u64, skipped: u32, count: u32) -> u64 {
            _pdep_u64(((1 << (count & 63)) - 1) << (skipped & 63), word)
        }
        fn spread(self, word: u64) -> u64 {
            _pdep_u64(word, BYTES)
        }
    }
}

impl Floats for Avx2 {
    const LANES: usize = 8;
    type Vector = __m256;
    type Mask = __m256;

    instructions! {
        fn splat(self, value: f32) -> Self::Vector {
            _mm256_set1_ps(value)
        }
        fn load(self, from: &[f32]) -> Self::Vector {
            _mm256_loadu_ps(from[..8].as_ptr())
        }
        fn store(self, vector: Self::Vector, into: &mut [f32]) {
            _mm256_storeu_ps(into[..8].as_mut_ptr(), vector);
        }
        fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
            _mm256_add_ps(a, b)
        }
        fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
            _mm256_fmadd_ps(a, b, c)
        }
        fn greater(self, a: Self::Vector, b: Self::Vector) -> Self::Mask {
            _mm256_cmp_ps::<_CMP_GT_OQ>(a, b)
        }
        fn select(self, mask: Self::Mask, yes: Self::Vector, no: Self::Vector) -> Self::Vector {
            _mm256_blendv_ps(no, yes, mask)
        }
    }
}
