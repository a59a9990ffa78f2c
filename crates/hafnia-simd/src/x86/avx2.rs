//! AVX2 with FMA: two registers per vector of 16 lanes, one per vector of [`Floats`].

use std::arch::x86_64::*;

use crate::simd::{Bits, Floats, Kernel, LANES, Shorts, Simd};
use crate::words::{BYTES, ByteTable, PLACES, Words};

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
    type I32 = [__m256i; 2];
    type Mask = [__m256i; 2];
    type Floats = Self;

    #[inline(always)]
    fn floats(self) -> Self::Floats {
        self
    }

    instructions! {
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
        fn add_half_to(self, vector: Self::I32, is_second: bool, into: &mut [i32; LANES / 2]) {
            let half = if is_second { vector[1] } else { vector[0] };
            let into = into.as_mut_ptr().cast();
            _mm256_storeu_si256(into, _mm256_add_epi32(_mm256_loadu_si256(into), half));
        }
        fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32 {
            [_mm256_mullo_epi32(a[0], b[0]), _mm256_mullo_epi32(a[1], b[1])]
        }
        fn widen(self, vector: Self::I16) -> [Self::I32; 2] {
            let [a, b] = vector;
            let (low, high) = (_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a));
            let a = [_mm256_cvtepi16_epi32(low), _mm256_cvtepi16_epi32(high)];
            let (low, high) = (_mm256_castsi256_si128(b), _mm256_extracti128_si256::<1>(b));
            [a, [_mm256_cvtepi16_epi32(low), _mm256_cvtepi16_epi32(high)]]
        }
        fn add_where(self, mask: Self::Mask, a: Self::I32, b: Self::I32) -> Self::I32 {
            [
                _mm256_add_epi32(a[0], _mm256_and_si256(b[0], mask[0])),
                _mm256_add_epi32(a[1], _mm256_and_si256(b[1], mask[1])),
            ]
        }
        fn mask(self, bits: u16) -> Self::Mask {
            let low = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let high = _mm256_slli_epi32::<8>(low);
            let bits = _mm256_set1_epi32(i32::from(bits));
            [
                _mm256_cmpeq_epi32(_mm256_and_si256(bits, low), low),
                _mm256_cmpeq_epi32(_mm256_and_si256(bits, high), high),
            ]
        }
    }
}

impl Shorts for Avx2 {
    type I16 = [__m256i; 2];
    type Half = __m256i;
    type Quarter = __m128i;
    type Mask16 = [__m256i; 2];

    #[inline(always)]
    fn join(self, halves: [Self::Half; 2]) -> Self::I16 {
        halves
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
        fn load_quarter(self, from: &[i16; LANES / 2]) -> Self::Quarter {
            _mm_loadu_si128(from.as_ptr().cast())
        }
        fn add_quarter(self, a: Self::Quarter, b: Self::Quarter) -> Self::Quarter {
            _mm_add_epi16(a, b)
        }
        fn join_quarters(self, quarters: [Self::Quarter; 4]) -> Self::I16 {
            let [a, b, c, d] = quarters;
            [_mm256_set_m128i(b, a), _mm256_set_m128i(d, c)]
        }
        fn load_i8(self, from: &[u64; 4]) -> Self::I16 {
            let from = from.as_ptr();
            [
                _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast())),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(from.add(2).cast())),
            ]
        }
        fn splat_i16(self, value: i16) -> Self::I16 {
            [_mm256_set1_epi16(value); 2]
        }
        fn store_i16(self, vector: Self::I16, into: &mut [[i16; LANES]; 2]) {
            _mm256_storeu_si256(into[0].as_mut_ptr().cast(), vector[0]);
            _mm256_storeu_si256(into[1].as_mut_ptr().cast(), vector[1]);
        }
        fn add_i16(self, a: Self::I16, b: Self::I16) -> Self::I16 {
            [_mm256_add_epi16(a[0], b[0]), _mm256_add_epi16(a[1], b[1])]
        }
        fn mul_i16(self, a: Self::I16, b: Self::I16) -> Self::I16 {
            [_mm256_mullo_epi16(a[0], b[0]), _mm256_mullo_epi16(a[1], b[1])]
        }
        fn greater_i16(self, a: Self::I16, b: Self::I16) -> Self::Mask16 {
            [_mm256_cmpgt_epi16(a[0], b[0]), _mm256_cmpgt_epi16(a[1], b[1])]
        }
        fn select_i16(self, mask: Self::Mask16, yes: Self::I16, no: Self::I16) -> Self::I16 {
            [
                _mm256_blendv_epi8(no[0], yes[0], mask[0]),
                _mm256_blendv_epi8(no[1], yes[1], mask[1]),
            ]
        }
        fn add_i16_where(self, mask: Self::Mask16, a: Self::I16, b: Self::I16) -> Self::I16 {
            [
                _mm256_add_epi16(a[0], _mm256_and_si256(b[0], mask[0])),
                _mm256_add_epi16(a[1], _mm256_and_si256(b[1], mask[1])),
            ]
        }
        fn bits_i16(self, mask: Self::Mask16) -> u32 {
            // Bytes, of which packing leaves every other half of a half in the other place.
            let bytes = _mm256_packs_epi16(mask[0], mask[1]);
            _mm256_movemask_epi8(_mm256_permute4x64_epi64::<0b11_01_10_00>(bytes)).cast_unsigned()
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
        fn or_moved(
            self,
            into: Self::Bits,
            bits: u64,
            steps: Self::Bits,
            shifts: [u32; 2],
            mask: u64
        ) -> Self::Bits {
            let [right, left] = shifts;
            let bits = _mm256_set1_epi64x((bits >> (right & 63)).cast_signed());
            let (left, mask) =
                (_mm_cvtsi32_si128(left.cast_signed()), _mm256_set1_epi64x(mask.cast_signed()));
            let moved = |steps| {
                _mm256_and_si256(_mm256_sll_epi64(_mm256_srlv_epi64(bits, steps), left), mask)
            };
            [
                _mm256_or_si256(into[0], moved(steps[0])),
                _mm256_or_si256(into[1], moved(steps[1])),
            ]
        }
    }
}

impl Words for Avx2 {
    instructions! {
        fn look_up(self, words: &[u64; 8], table: &ByteTable) -> [u64; 8] {
            let ByteTable { low, between, high, .. } = table;
            let load = |bytes: &[u8; 16]| {
                _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes.as_ptr().cast()))
            };
            let (low, between, high) = (load(low), load(between), load(high));
            let (fifteen, sixteen) = (_mm256_set1_epi8(15), _mm256_set1_epi8(16));
            // What is 16 or more becomes 128 or more, and a shuffle by that gives 0.
            let below_16 = _mm256_set1_epi8(112);
            let mut found = [0; 8];
            let mut half = 0;
            while half < 8 {
                let bytes = _mm256_loadu_si256(words.as_ptr().add(half).cast());
                let of_low = _mm256_shuffle_epi8(low, _mm256_adds_epu8(bytes, below_16));
                let sixteenth = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), fifteen);
                let of_between = _mm256_shuffle_epi8(between, sixteenth);
                let from_240 = _mm256_add_epi8(bytes, sixteen);
                let of_high = _mm256_shuffle_epi8(high, _mm256_adds_epu8(from_240, below_16));
                let of_ends = _mm256_or_si256(of_low, of_high);
                let of_all = _mm256_or_si256(of_ends, of_between);
                _mm256_storeu_si256(found.as_mut_ptr().add(half).cast(), of_all);
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
            _pdep_u64(_bzhi_u64(u64::MAX, count) << (skipped & 63), word)
        }
        fn spread(self, word: u64) -> u64 {
            _pdep_u64(word, BYTES)
        }
        fn gather_bits(self, bytes: &[u8; 64], bit: u32, count: u32) -> u64 {
            // To the highest bit of its byte.
            let by = _mm_cvtsi32_si128(7 - (bit & 7).cast_signed());
            let half = |half: usize| {
                let bytes = _mm256_loadu_si256(bytes.as_ptr().add(half).cast());
                u64::from(_mm256_movemask_epi8(_mm256_sll_epi16(bytes, by)).cast_unsigned())
            };
            let low = half(0);
            let word = if count > 32 { low | half(32) << 32 } else { low };
            _bzhi_u64(word, count)
        }
        fn positions_u8(self, word: u64, first: u8, into: &mut [u8; 64]) -> usize {
            let (mut count, mut first) = (0, u64::from(first) * BYTES);
            // At most 8 places were written for every byte before, so that there is room for 8. No
            // branch depends on what is on.
            for byte in 0..8 {
                let byte = word >> (8 * byte) & 0xff;
                let places = u64::from_le_bytes(PLACES[byte as usize]).wrapping_add(first);
                let into: *mut u64 = into.as_mut_ptr().add(count).cast();
                into.write_unaligned(places.to_le());
                count += byte.count_ones() as usize;
                first = first.wrapping_add(8 * BYTES);
            }
            count
        }
        fn nonzero(self, lanes: &[u32; 8]) -> u8 {
            let lanes = _mm256_loadu_si256(lanes.as_ptr().cast());
            let is_zero = _mm256_cmpeq_epi32(lanes, _mm256_setzero_si256());
            !_mm256_movemask_ps(_mm256_castsi256_ps(is_zero)) as u8
        }
        fn keep(self, lanes: &[u32; 8], kept: u8) -> [u32; 8] {
            let places = _mm_loadl_epi64(PLACES[usize::from(kept)].as_ptr().cast());
            let lanes = _mm256_loadu_si256(lanes.as_ptr().cast());
            let lanes = _mm256_permutevar8x32_epi32(lanes, _mm256_cvtepu8_epi32(places));
            let mut found = [0; 8];
            let into: *mut u32 = found.as_mut_ptr();
            _mm256_storeu_si256(into.cast(), lanes);
            found
        }
        fn positions(self, word: u64, first: u16, into: &mut [u16; 64]) -> usize {
            let (mut count, mut left) = (0, word);
            let mut first = _mm_set1_epi16(first.cast_signed());
            // At most 8 places were written for every byte before, so that there is room for 8.
            while left != 0 {
                let byte = (left & 0xff) as usize;
                let places = _mm_cvtepu8_epi16(_mm_loadl_epi64(PLACES[byte].as_ptr().cast()));
                _mm_storeu_si128(into.as_mut_ptr().add(count).cast(), _mm_add_epi16(places, first));
                count += byte.count_ones() as usize;
                first = _mm_add_epi16(first, _mm_set1_epi16(8));
                left >>= 8;
            }
            count
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
