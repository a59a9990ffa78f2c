//! AVX-512 with the extensions of servers since 2019.

use std::arch::x86_64::*;

use super::avx2::Avx2;
use crate::simd::{Bits, Kernel, LANES, Shorts, Simd};
use crate::words::{BYTES, ByteTable, Words};

/// The token of this level.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512(());

/// Whether the processor has this level, given that it has AVX2.
pub(super) fn is_there() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vbmi2")
        && is_x86_feature_detected!("avx512vpopcntdq")
}

#[target_feature(
    enable = "avx2,fma,bmi1,bmi2,popcnt,lzcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vpopcntdq"
)]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
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

/// The same in bytes.
static BYTE_PLACES: [u8; 64] = {
    let mut places = [0; 64];
    let mut place = 0;
    while place < 64 {
        places[place] = place as u8;
        place += 1;
    }
    places
};

impl Simd for Avx512 {
    type I32 = __m512i;
    type Mask = __mmask16;
    // Half a register: a whole one makes training no faster.
    type Floats = Avx2;

    #[inline(always)]
    fn floats(self) -> Self::Floats {
        Avx2(())
    }
    #[inline(always)]
    fn mask(self, bits: u16) -> Self::Mask {
        bits
    }

    instructions! {
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
        fn add_half_to(self, vector: Self::I32, is_second: bool, into: &mut [i32; LANES / 2]) {
            let half = if is_second {
                _mm512_extracti64x4_epi64::<1>(vector)
            } else {
                _mm512_castsi512_si256(vector)
            };
            let into = into.as_mut_ptr().cast();
            _mm256_storeu_si256(into, _mm256_add_epi32(_mm256_loadu_si256(into), half));
        }
        fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
            _mm512_mullo_epi32(a, b)
        }
        fn widen(self, vector: Self::I16) -> [Self::I32; 2] {
            let high = _mm512_extracti64x4_epi64::<1>(vector);
            [_mm512_cvtepi16_epi32(_mm512_castsi512_si256(vector)), _mm512_cvtepi16_epi32(high)]
        }
        fn add_where(self, mask: Self::Mask, a: Self::I32, b: Self::I32) -> Self::I32 {
            _mm512_mask_add_epi32(a, mask, a, b)
        }
    }
}

impl Shorts for Avx512 {
    type I16 = __m512i;
    type Half = __m256i;
    type Quarter = __m128i;
    type Mask16 = __mmask32;

    #[inline(always)]
    fn bits_i16(self, mask: Self::Mask16) -> u32 {
        mask
    }

    instructions! {
        fn splat_half(self, value: i16) -> Self::Half {
            _mm256_set1_epi16(value)
        }
        fn splat_quarter(self, value: i16) -> Self::Quarter {
            _mm_set1_epi16(value)
        }
        fn load_half(self, from: &[i16; LANES]) -> Self::Half {
            _mm256_loadu_si256(from.as_ptr().cast())
        }
        fn add_half(self, a: Self::Half, b: Self::Half) -> Self::Half {
            _mm256_add_epi16(a, b)
        }
        fn join(self, halves: [Self::Half; 2]) -> Self::I16 {
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(halves[0]), halves[1])
        }
        fn load_quarter(self, from: &[i16; LANES / 2]) -> Self::Quarter {
            _mm_loadu_si128(from.as_ptr().cast())
        }
        fn add_quarter(self, a: Self::Quarter, b: Self::Quarter) -> Self::Quarter {
            _mm_add_epi16(a, b)
        }
        fn join_quarters(self, quarters: [Self::Quarter; 4]) -> Self::I16 {
            let [a, b, c, d] = quarters;
            let halves = [_mm256_set_m128i(b, a), _mm256_set_m128i(d, c)];
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(halves[0]), halves[1])
        }
        fn load_i8(self, from: &[u64; 4]) -> Self::I16 {
            _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.as_ptr().cast()))
        }
        fn splat_i16(self, value: i16) -> Self::I16 {
            _mm512_set1_epi16(value)
        }
        fn store_i16(self, vector: Self::I16, into: &mut [[i16; LANES]; 2]) {
            _mm512_storeu_si512(into.as_mut_ptr().cast(), vector);
        }
        fn add_i16(self, a: Self::I16, b: Self::I16) -> Self::I16 {
            _mm512_add_epi16(a, b)
        }
        fn mul_i16(self, a: Self::I16, b: Self::I16) -> Self::I16 {
            _mm512_mullo_epi16(a, b)
        }
        fn greater_i16(self, a: Self::I16, b: Self::I16) -> Self::Mask16 {
            _mm512_cmpgt_epi16_mask(a, b)
        }
        fn select_i16(self, mask: Self::Mask16, yes: Self::I16, no: Self::I16) -> Self::I16 {
            _mm512_mask_blend_epi16(mask, no, yes)
        }
        fn add_i16_where(self, mask: Self::Mask16, a: Self::I16, b: Self::I16) -> Self::I16 {
            _mm512_mask_add_epi16(a, mask, a, b)
        }
    }
}

impl Bits for Avx512 {
    type Bits = __m512i;

    instructions! {
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
        fn shift_right(self, bits: Self::Bits, by: u32) -> Self::Bits {
            _mm512_srl_epi64(bits, _mm_cvtsi32_si128(by.cast_signed()))
        }
        fn or_moved(
            self,
            into: Self::Bits,
            bits: u64,
            steps: Self::Bits,
            shifts: [u32; 2],
            mask: u64
        ) -> Self::Bits {
            let [right, left] = shifts.map(i64::from);
            let by = _mm512_add_epi64(steps, _mm512_set1_epi64(right - left));
            let turned = _mm512_rorv_epi64(_mm512_set1_epi64(bits.cast_signed()), by);
            // The truth table of a ∨ (b ∧ c).
            _mm512_ternarylogic_epi64::<0xf8>(into, turned, _mm512_set1_epi64(mask.cast_signed()))
        }
        fn full_add(self, a: Self::Bits, b: Self::Bits, c: Self::Bits) -> (Self::Bits, Self::Bits) {
            // The truth tables of a ⊕ b ⊕ c and of the majority.
            let low = _mm512_ternarylogic_epi64::<0x96>(a, b, c);
            (low, _mm512_ternarylogic_epi64::<0xe8>(a, b, c))
        }
    }
}

impl Words for Avx512 {
    instructions! {
        fn look_up(self, words: &[u64; 8], table: &ByteTable) -> [u64; 8] {
            let load = |quarter: usize| {
                _mm512_loadu_si512(table.each.as_ptr().add(64 * quarter).cast())
            };
            let bytes = _mm512_loadu_si512(words.as_ptr().cast());
            let of_low = _mm512_permutex2var_epi8(load(0), bytes, load(1));
            let of_high = _mm512_permutex2var_epi8(load(2), bytes, load(3));
            let is_high = _mm512_movepi8_mask(bytes);
            let mut found = [0; 8];
            let of_all = _mm512_mask_blend_epi8(is_high, of_low, of_high);
            _mm512_storeu_si512(found.as_mut_ptr().cast(), of_all);
            found
        }
        fn above(self, words: &[u64; 8], last: u8) -> u64 {
            let bytes = _mm512_loadu_si512(words.as_ptr().cast());
            _mm512_cmpgt_epu8_mask(bytes, _mm512_set1_epi8(last.cast_signed()))
        }
        fn pick(self, word: u64, skipped: u32, count: u32) -> u64 {
            _pdep_u64(_bzhi_u64(u64::MAX, count) << (skipped & 63), word)
        }
        fn spread(self, word: u64) -> u64 {
            _pdep_u64(word, BYTES)
        }
        fn gather_bits(self, bytes: &[u8; 64], bit: u32, count: u32) -> u64 {
            let bytes = _mm512_loadu_si512(bytes.as_ptr().cast());
            _bzhi_u64(_mm512_test_epi8_mask(bytes, _mm512_set1_epi8(1 << (bit & 7))), count)
        }
        fn positions_u8(self, word: u64, first: u8, into: &mut [u8; 64]) -> usize {
            let places = _mm512_loadu_si512(BYTE_PLACES.as_ptr().cast());
            let places = _mm512_add_epi8(places, _mm512_set1_epi8(first.cast_signed()));
            let places = _mm512_maskz_compress_epi8(word, places);
            _mm512_storeu_si512(into.as_mut_ptr().cast(), places);
            word.count_ones() as usize
        }
        fn nonzero(self, lanes: &[u32; 8]) -> u8 {
            let lanes = _mm256_loadu_si256(lanes.as_ptr().cast());
            _mm256_test_epi32_mask(lanes, lanes)
        }
        fn keep(self, lanes: &[u32; 8], kept: u8) -> [u32; 8] {
            let lanes = _mm256_loadu_si256(lanes.as_ptr().cast());
            let mut found = [0; 8];
            let into: *mut u32 = found.as_mut_ptr();
            _mm256_storeu_si256(into.cast(), _mm256_maskz_compress_epi32(kept, lanes));
            found
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
