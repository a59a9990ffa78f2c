//! [`Isa`]: an instruction set, and the run of a kernel on it.

use std::sync::OnceLock;
use std::{env, fmt};

use crate::portable::Portable;
use crate::simd::Kernel;
#[cfg(target_arch = "x86_64")]
use crate::x86;

/// An instruction set that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    X86(x86::Level),
}

/// A name in [`Isa::VARIABLE`] that is none of this processor's instruction sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownIsa {
    /// The name.
    pub found: String,
}

impl fmt::Display for UnknownIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = Isa::all().iter().map(Isa::to_string).collect();
        let (variable, found, all) = (Isa::VARIABLE, &self.found, all.join(", "));
        write!(f, "{variable} is {found:?}; this processor has {all}")
    }
}

impl std::error::Error for UnknownIsa {}

impl Isa {
    /// The variable of the environment that names the instruction set to run on, `HAFNIA_ISA`: for
    /// comparisons, as all give the same results.
    pub const VARIABLE: &str = "HAFNIA_ISA";

    /// The instruction set that [`VARIABLE`](Self::VARIABLE) names, or the widest without it or if
    /// it is empty.
    ///
    /// # Errors
    /// If it names none of [`all`](Self::all).
    pub fn from_environment() -> Result<Self, UnknownIsa> {
        match env::var_os(Self::VARIABLE) {
            Some(name) if !name.is_empty() => Self::named(&name.to_string_lossy()),
            _ => Ok(Self::widest()),
        }
    }

    fn named(name: &str) -> Result<Self, UnknownIsa> {
        let found = Self::all().into_iter().find(|isa| isa.to_string() == name);
        found.ok_or_else(|| UnknownIsa { found: name.to_owned() })
    }

    /// The instruction set that kernels run on unless they are given one: that of
    /// [`from_environment`](Self::from_environment), looked up once, or the widest if it names none.
    pub fn chosen() -> Self {
        static CHOSEN: OnceLock<Isa> = OnceLock::new();
        *CHOSEN.get_or_init(|| Self::from_environment().unwrap_or_else(|_| Self::widest()))
    }

    fn widest() -> Self {
        *Self::all().last().expect("every processor has the portable level")
    }

    /// All instruction sets of this processor, from the portable one to the widest.
    pub fn all() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let others = x86::Level::all().map(Level::X86);
        #[cfg(not(target_arch = "x86_64"))]
        let others = [];
        [Level::Portable].into_iter().chain(others).map(Self).collect()
    }

    /// Runs a kernel as compiled for this instruction set.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Level::Portable => kernel.run(Portable),
            #[cfg(target_arch = "x86_64")]
            Level::X86(level) => level.run(kernel),
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Level::Portable if cfg!(target_arch = "aarch64") => "neon",
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::X86(level) => level.name(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::simd::{Floats, LANES, Simd};
    use crate::words::ByteTable;

    /// All operations on the same numbers, each result as bits.
    struct Every {
        floats: [[f32; LANES]; 2],
        integers: [[i32; LANES]; 2],
        shorts: [[[i16; LANES]; 2]; 2],
        words: [u64; 8],
        tables: [[u8; 16]; 2],
        word: u64,
    }

    impl Every {
        /// Of bytes `first` to `last`.
        fn of_bytes(&self, first: u8, last: u8) -> u8 {
            self.tables[usize::from(first % 2)][usize::from(last / 16)].wrapping_add(first)
        }
    }

    /// The operations of floats as wide as a register, on 16 floats.
    #[inline(always)]
    fn every_float<F: Floats>(floats: F, a: &[f32; LANES], b: &[f32; LANES]) -> [[f32; LANES]; 4] {
        let mut results = [[0.0; LANES]; 4];
        for at in (0..LANES).step_by(F::LANES) {
            let third = floats.splat(a[3]);
            let (a, b) = (floats.load(&a[at..]), floats.load(&b[at..]));
            let sum = floats.add(a, b);
            let fused = floats.mul_add(a, b, third);
            let larger = floats.select(floats.greater(a, b), a, b);
            for (vector, result) in [third, sum, fused, larger].into_iter().zip(&mut results) {
                floats.store(vector, &mut result[at..]);
            }
        }
        results
    }

    impl Kernel for &Every {
        type Output = (
            [[f32; LANES]; 4],
            Vec<[[i16; LANES]; 2]>,
            Vec<[i32; LANES]>,
            u32,
            u64,
            Vec<u16>,
            Vec<[u64; 8]>,
            [u64; 3],
        );

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            let [i, j] = [simd.load_i32(&self.integers[0]), simd.load_i32(&self.integers[1])];
            let load = |halves: &[[i16; LANES]; 2]| {
                simd.join(halves.each_ref().map(|half| simd.load_half(half)))
            };
            let [s, t] = [load(&self.shorts[0]), load(&self.shorts[1])];
            let halves = self.shorts[0].each_ref().map(|half| simd.load_half(half));
            let sum = simd.add_half(halves[0], halves[1]);
            let quarters = self.shorts.as_flattened().as_flattened().as_chunks().0;
            let quarters = [0, 1, 2, 3].map(|at| {
                let [a, b] = [at, at + 4].map(|at: usize| simd.load_quarter(&quarters[at]));
                simd.add_quarter(a, b)
            });
            let floats = every_float(simd.floats(), &self.floats[0], &self.floats[1]);
            let mut shorts = Vec::new();
            for vector in [
                s,
                simd.load_i8(self.words.first_chunk().expect("eight words")),
                simd.splat_i16(self.shorts[1][0][5]),
                simd.add_i16(s, t),
                simd.mul_i16(s, t),
                simd.select_i16(simd.greater_i16(s, t), s, t),
                simd.add_i16_where(simd.greater_i16(t, s), s, t),
                simd.join([sum, halves[0]]),
                simd.join_quarters(quarters),
            ] {
                let mut stored = [[0; LANES]; 2];
                simd.store_i16(vector, &mut stored);
                shorts.push(stored);
            }
            let mut integers = Vec::new();
            for vector in [
                i,
                simd.splat_i32(self.integers[1][5]),
                simd.add_i32(i, j),
                simd.mul_i32(i, j),
                simd.widen(t)[0],
                simd.widen(t)[1],
                simd.add_where(simd.mask(self.word as u16), i, j),
            ] {
                let mut stored = [0; LANES];
                simd.store_i32(vector, &mut stored);
                integers.push(stored);
            }
            let mut places = [0; 64];
            let ones = simd.positions(self.word, 1_000, &mut places);
            let above = simd.above(&self.words, self.tables[0][0]);
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
            let lanes = simd.bits_i16(simd.greater_i16(s, t));
            let [bit, skipped, picked, count, ..] = self.tables[0].map(u32::from);
            let picked = simd.pick(self.word, skipped % 64, picked % 65);
            (
                floats,
                shorts,
                integers,
                lanes,
                above,
                places[..ones].to_vec(),
                bits,
                [picked, simd.spread(self.word), simd.gather_bits(&from, bit, 1 + count % 64)],
            )
        }
    }

    struct LookUp {
        words: [u64; 8],
        table: ByteTable,
    }

    impl Kernel for &LookUp {
        type Output = [u64; 8];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            simd.look_up(&self.words, &self.table)
        }
    }

    /// The operations that lists are made of.
    struct Lists {
        lanes: [u32; 8],
        kept: u8,
        word: u64,
        first: u8,
        /// Below 64 when added up.
        steps: [u64; 8],
        shifts: [u32; 2],
        mask: u64,
        weight: i16,
        integers: [i32; LANES],
    }

    impl Kernel for &Lists {
        type Output = (u8, Vec<u32>, Vec<u8>, [u64; 8], [[i16; LANES]; 4], [i32; LANES]);

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            let kept =
                simd.keep(&self.lanes, self.kept)[..self.kept.count_ones() as usize].to_vec();
            let mut places = [0; 64];
            let count = simd.positions_u8(self.word, self.first, &mut places);
            let (into, steps) =
                (simd.splat_bits(self.lanes[0].into()), simd.load_words(&self.steps));
            let moved = simd.or_moved(into, self.word, steps, self.shifts, self.mask);
            let (half, quarter) = (simd.splat_half(self.weight), simd.splat_quarter(self.weight));
            let mut splat = [[0; LANES]; 4];
            let (halves, quarters) = splat.split_at_mut(2);
            let of_halves = simd.join([half, simd.load_half(&[1; LANES])]);
            simd.store_i16(of_halves, halves.first_chunk_mut().expect("two halves"));
            let other = simd.load_quarter(&[2; LANES / 2]);
            let of_quarters = simd.join_quarters([other, quarter, quarter, other]);
            simd.store_i16(of_quarters, quarters.first_chunk_mut().expect("two halves"));
            let mut sums = self.integers;
            let (first, second) = sums.split_at_mut(LANES / 2);
            let vector = simd.load_i32(&self.integers);
            simd.add_half_to(vector, true, first.first_chunk_mut().expect("a half"));
            simd.add_half_to(vector, false, second.first_chunk_mut().expect("a half"));
            (
                simd.nonzero(&self.lanes),
                kept,
                places[..count].to_vec(),
                simd.words(moved),
                splat,
                sums,
            )
        }
    }

    proptest! {
        /// Every level lists what is plain to see.
        #[test]
        fn levels_list_the_same(
            lanes in any::<[u32; 8]>(),
            bytes in any::<[u8; 2]>(),
            word in any::<u64>(),
            and in any::<u64>(),
            first in 0u8..=192,
            steps in any::<[u8; 8]>(),
            (right, left, bits) in (0u32..32, 0u32..32, 1u32..=32),
            weight in any::<i16>(),
            integers in any::<[i32; LANES]>(),
        ) {
            let [kept, zero] = bytes;
            let lanes = std::array::from_fn(|lane| lanes[lane] * u32::from(zero >> lane & 1));
            for word in [word & and, word | and, 0, u64::MAX] {
                // No bit is taken that a shift brought in: of 32 steps and 32 more, no more than 0.
                let steps = steps.map(|step| u64::from(step % 32));
                let most = 64 - (31 + right);
                let mask = (u64::MAX >> (64 - bits.min(most))) << left;
                let shifts = [right, left];
                let of = Lists { lanes, kept, word, first, steps, shifts, mask, weight, integers };
                let half = LANES / 2;
                let mut splat = [[weight; LANES], [1; LANES], [weight; LANES], [weight; LANES]];
                splat[2][..half].fill(2);
                splat[3][half..].fill(2);
                let expected = (
                    (0..8).map(|lane| u8::from(lanes[lane] != 0) << lane).sum::<u8>(),
                    (0..8).filter(|lane| kept >> lane & 1 == 1).map(|lane| lanes[lane]).collect(),
                    (0..64).filter(|bit| word >> bit & 1 == 1).map(|bit| first + bit).collect(),
                    steps.map(|step| u64::from(lanes[0]) | word >> (step + u64::from(right)) << left & mask),
                    splat,
                    std::array::from_fn(|lane| integers[lane].wrapping_add(integers[(lane + half) % LANES])),
                );
                for isa in Isa::all() {
                    prop_assert_eq!(&isa.run(&of), &expected, "{}", isa);
                }
            }
        }

        /// Every level returns what the scalar operations return.
        #[test]
        fn levels_are_equal(
            mut floats in proptest::array::uniform2(proptest::array::uniform16(-9.0f32..9.0)),
            integers in proptest::array::uniform2(proptest::array::uniform16(any::<i32>())),
            mut shorts in any::<[[[i16; LANES]; 2]; 2]>(),
            equal in any::<u16>(),
            words in any::<[u64; 8]>(),
            tables in any::<[[u8; 16]; 2]>(),
            word in any::<u64>(),
            and in any::<u64>(),
        ) {
            for lane in (0..LANES).filter(|lane| equal >> lane & 1 == 1) {
                floats[1][lane] = floats[0][lane];
                shorts[1][0][lane] = shorts[0][0][lane];
            }
            for word in [word, word & and, word | and, 0, u64::MAX] {
                let every = Every { floats, integers, shorts, words, tables, word };
                let ones = (0..64).filter(|bit| word >> bit & 1 == 1).map(|bit| 1_000 + bit);
                let table = ByteTable::new(|first, last| every.of_bytes(first, last));
                let looked_up = Isa::all().iter().map(|isa| isa.run(&LookUp { words, table })).collect::<Vec<_>>();
                let expected = Isa(Level::Portable).run(&every);
                let [a, b] = floats;
                let [s, t] = shorts;
                for lane in 0..LANES {
                    let byte = (words[lane / 8] >> (lane % 8 * 8)) as u8;
                    let sixteen = if (16..240).contains(&byte) { 15 } else { 0 };
                    let of_sixteen = every.of_bytes(byte & !sixteen, byte | sixteen);
                    let of_byte = [every.of_bytes(byte, byte), of_sixteen];
                    prop_assert_eq!(table.of(byte), of_byte);
                    for looked_up in &looked_up {
                        prop_assert!(of_byte.contains(&looked_up[lane / 8].to_le_bytes()[lane % 8]));
                    }
                    prop_assert_eq!(expected.0[2][lane], a[lane].mul_add(b[lane], a[3]));
                    prop_assert_eq!(expected.0[3][lane], if a[lane] > b[lane] { a[lane] } else { b[lane] });
                }
                for lane in 0..2 * LANES {
                    let byte = (words[lane / 8] >> (lane % 8 * 8)) as i8;
                    let (half, at) = (lane / LANES, lane % LANES);
                    let (a, b) = (s[half][at], t[half][at]);
                    let of = |vector: usize| expected.1[vector][half][at];
                    let added = if b > a { b } else { 0 };
                    prop_assert_eq!([of(0), of(1), of(5)], [a, i16::from(byte), a.max(b)]);
                    prop_assert_eq!(of(6), a.wrapping_add(added));
                    let sum = s[0][at].wrapping_add(s[1][at]);
                    prop_assert_eq!(of(7), if half == 0 { sum } else { s[0][at] });
                    prop_assert_eq!(of(8), of(3));
                    prop_assert_eq!(expected.2[4 + half][at], i32::from(b));
                    prop_assert_eq!(expected.3 >> lane & 1 == 1, a > b);
                }
                for (place, &sum) in expected.6[3].iter().enumerate() {
                    let [a, b, c] = [0, 1, 2].map(|vector| expected.6[vector][place]);
                    prop_assert_eq!(expected.6[0][place], words[place]);
                    prop_assert_eq!(sum, a ^ b ^ c);
                    prop_assert_eq!(expected.6[4][place], a & b | a & c | b & c);
                    prop_assert_eq!(expected.6[5][place], a & b);
                    prop_assert_eq!(expected.6[6][place], a | b);
                    prop_assert_eq!(expected.6[7][place], a ^ b);
                }
                let [_, skipped, count, ..] = tables[0].map(usize::from);
                let picked = ones.clone().skip(skipped % 64).take(count % 65);
                prop_assert_eq!(expected.7[0], picked.map(|bit| 1 << (bit - 1_000)).sum::<u64>());
                let bytes = expected.7[1].to_le_bytes();
                for (bit, &byte) in bytes.iter().enumerate() {
                    prop_assert_eq!(u64::from(byte), word >> bit & 1);
                }
                let [bit, _, _, count, ..] = tables[0];
                for place in 0..64 {
                    let byte = (words[place / 8] >> (place % 8 * 8)) as u8;
                    let is_one = place <= usize::from(count % 64) && byte >> (bit % 8) & 1 == 1;
                    prop_assert_eq!(expected.7[2] >> place & 1 == 1, is_one);
                }
                prop_assert_eq!(&expected.5, &ones.collect::<Vec<u16>>());
                for isa in Isa::all() {
                    prop_assert_eq!(&isa.run(&every), &expected, "{}", isa);
                }
            }
        }
    }

    #[test]
    fn the_widest_is_the_last_of_all() {
        assert_eq!(Isa::all().last(), Some(&Isa::widest()));
    }

    #[test]
    fn an_instruction_set_has_a_name() {
        for isa in Isa::all() {
            assert_eq!(Isa::named(&isa.to_string()), Ok(isa));
        }
        let error = Isa::named("abacus\u{1b}").unwrap_err().to_string();
        let all: Vec<String> = Isa::all().iter().map(Isa::to_string).collect();
        let expected =
            format!("HAFNIA_ISA is \"abacus\\u{{1b}}\"; this processor has {}", all.join(", "));
        assert_eq!(error, expected);
    }
}
