//! [`Coding`]: how bits of cells stand for weights.

use std::fmt;

use hafnia_model::{BitMatrix, Weights};
use serde::{Deserialize, Serialize};

/// How slices of bits stand for integers: w = Σ over slices p of `factors[p]` · bit p, plus `offset`.
///
/// A cell holds a bit of one slice. The product of every slice is converted by itself and counts
/// `factors[p]` times; what the offset adds is the offset times the sum of the activations, which is
/// known outside of the cells.
///
/// ```
/// use hafnia_ir::Coding;
///
/// assert_eq!(Coding::odd(1).to_string(), "factors 2 offset -1");
/// assert_eq!(Coding::twos_complement(4).to_string(), "factors 1 2 4 -8 offset 0");
/// assert_eq!(Coding::twos_complement(4).code(-3), Some(0b1101));
/// assert_eq!(Coding::ternary().code(-1), Some(0b10));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Coding {
    factors: Vec<i32>,
    offset: i32,
}

/// Codings by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodingKind {
    /// Σ 2^p · (2·bit − 1): odd numbers only, ±1 in one slice.
    Odd,
    /// The last slice is negative.
    TwosComplement,
    /// Unsigned bits and an offset, the smallest number.
    OffsetBinary,
    /// Two slices, +1 and −1: a differential pair, for −1, 0 and 1.
    Ternary,
    /// Two sets of slices, of magnitudes above and below 0.
    Differential,
}

impl CodingKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Odd, Self::TwosComplement, Self::OffsetBinary, Self::Ternary, Self::Differential];

    /// The name in pipelines and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Odd => "odd",
            Self::TwosComplement => "twos-complement",
            Self::OffsetBinary => "offset-binary",
            Self::Ternary => "ternary",
            Self::Differential => "differential",
        }
    }

    /// The coding of this kind with the fewest slices, a multiple of `cell_bits`, for integers from
    /// `smallest` to `largest`, all odd if `is_odd`; none if it has no such coding.
    pub fn for_range(
        self,
        (smallest, largest): (i32, i32),
        is_odd: bool,
        cell_bits: u8,
    ) -> Option<Coding> {
        let codings = (1..=Coding::MOST_SLICES as u8).filter_map(|slices| self.with(slices));
        let holds = |coding: &Coding| {
            let (least, most) = coding.range();
            if smallest < least || largest > most {
                return false;
            }
            let codes = coding.codes();
            let mut values = (smallest..=largest).filter(|value| !is_odd || value & 1 == 1);
            (cell_bits == 1 || coding.fills_cells())
                && values.all(|value| codes.of(value).is_some())
        };
        codings.into_iter().find(holds)
    }

    /// The coding of this kind with so many slices, if there is one.
    fn with(self, slices: u8) -> Option<Coding> {
        match self {
            Self::Odd if slices <= 8 => Some(Coding::odd(slices)),
            Self::TwosComplement if slices >= 2 => Some(Coding::twos_complement(slices)),
            Self::OffsetBinary if slices >= 2 => Some(Coding::offset_binary(slices)),
            Self::Ternary if slices == 2 => Some(Coding::ternary()),
            Self::Differential if slices.is_multiple_of(2) => {
                Some(Coding::differential(slices / 2))
            }
            _ => None,
        }
    }
}

impl Coding {
    /// The largest magnitude of factors and offsets.
    pub const LARGEST: i32 = 512;
    /// The most slices.
    pub const MOST_SLICES: usize = 16;

    /// A coding of these factors.
    ///
    /// # Errors
    /// If there are not 1 to [`MOST_SLICES`](Self::MOST_SLICES), one is 0 or beyond ±512, or the
    /// offset is beyond ±512.
    pub fn new(factors: Vec<i32>, offset: i32) -> Result<Self, String> {
        let most = Self::LARGEST;
        let slices = factors.len();
        if !(1..=Self::MOST_SLICES).contains(&slices) {
            return Err(format!("a weight has {slices} slices, not 1 to {}", Self::MOST_SLICES));
        }
        if let Some(factor) = factors.iter().find(|factor| **factor == 0 || factor.abs() > most) {
            return Err(format!(
                "a factor is {factor}, it must lie in -{most}..={most} and not be 0"
            ));
        }
        if offset.abs() > most {
            return Err(format!("the offset is {offset}, it must lie in -{most}..={most}"));
        }
        Ok(Self { factors, offset })
    }

    /// Odd numbers up to ±(2^slices − 1): ±1 with one slice.
    ///
    /// # Panics
    /// If there are not 1 to 8 slices.
    pub fn odd(slices: u8) -> Self {
        assert!((1..=8).contains(&slices), "{slices} slices");
        Self { factors: (1..=slices).map(|p| 1 << p).collect(), offset: 1 - (1 << slices) }
    }

    /// Numbers from −2^(slices − 1) to 2^(slices − 1) − 1, the last slice negative.
    ///
    /// # Panics
    /// If there are not 1 to [`MOST_SLICES`](Self::MOST_SLICES).
    pub fn twos_complement(slices: u8) -> Self {
        assert!((1..=Self::MOST_SLICES).contains(&slices.into()), "{slices} slices");
        let last = slices - 1;
        let factor = |p: u8| if p == last { -(1i32 << p) } else { 1 << p };
        Self { factors: (0..slices).map(factor).collect(), offset: 0 }
    }

    /// The same numbers, by an offset.
    ///
    /// # Panics
    /// If there are not 1 to [`MOST_SLICES`](Self::MOST_SLICES).
    pub fn offset_binary(slices: u8) -> Self {
        assert!((1..=Self::MOST_SLICES).contains(&slices.into()), "{slices} slices");
        Self { factors: (0..slices).map(|p| 1 << p).collect(), offset: -(1 << (slices - 1)) }
    }

    /// −1, 0 and 1 by a pair of cells.
    pub fn ternary() -> Self {
        Self { factors: vec![1, -1], offset: 0 }
    }

    /// Numbers up to ±(2^bits − 1): slices of what is above 0, then of what is below.
    ///
    /// # Panics
    /// If there are not 1 to 8 bits.
    pub fn differential(bits: u8) -> Self {
        assert!((1..=8).contains(&bits), "{bits} bits");
        let above = (0..bits).map(|p| 1 << p);
        Self { factors: above.clone().chain(above.map(|factor: i32| -factor)).collect(), offset: 0 }
    }

    /// What every mapping begins with: [odd](Self::odd) where no weight is even, a
    /// [pair](Self::ternary) for −1, 0 and 1, else [two's complement](Self::twos_complement); offset
    /// binary where cells of several bits take no negative slice.
    pub fn of(weights: &Weights, cell_bits: u8) -> Option<Self> {
        let range = (weights.smallest(), weights.largest());
        let is_odd = weights.is_odd();
        let kinds: &[CodingKind] = match is_odd {
            true => &[CodingKind::Odd],
            false if range.0 >= -1 && range.1 <= 1 && cell_bits == 1 => &[CodingKind::Ternary],
            false => &[CodingKind::TwosComplement, CodingKind::OffsetBinary],
        };
        kinds.iter().find_map(|kind| kind.for_range(range, is_odd, cell_bits))
    }

    /// How often the product of each slice counts.
    pub fn factors(&self) -> &[i32] {
        &self.factors
    }

    /// The integer of which all bits are 0.
    pub fn offset(&self) -> i32 {
        self.offset
    }

    /// The least and the largest integer of all codes.
    pub fn range(&self) -> (i32, i32) {
        let sum = |is_of: fn(&i32) -> bool| self.factors.iter().copied().filter(is_of).sum::<i32>();
        (self.offset + sum(|factor| *factor < 0), self.offset + sum(|factor| *factor > 0))
    }

    /// Number of slices.
    pub fn slices(&self) -> usize {
        self.factors.len()
    }

    /// Whether a weight is ±1 by one bit.
    pub fn is_binary(&self) -> bool {
        *self == Self::odd(1)
    }

    /// Whether slices 2k and 2k + 1 make a level of a cell: the second counts twice the first.
    pub fn fills_cells(&self) -> bool {
        let (pairs, rest) = self.factors.as_chunks::<2>();
        rest.is_empty() && pairs.iter().all(|[low, high]| *high == 2 * low)
    }

    /// The integer that the bits of a code stand for, slice 0 the lowest bit.
    pub fn value(&self, code: u32) -> i32 {
        let factors = self.factors.iter().enumerate();
        let sum: i32 = factors.map(|(p, factor)| factor * (code >> p & 1) as i32).sum();
        self.offset + sum
    }

    /// The code of an integer: the smallest of those that stand for it; none if no code does.
    pub fn code(&self, value: i32) -> Option<u32> {
        self.codes().of(value)
    }

    /// The codes of all weights, or of all activations.
    pub(crate) fn codes(&self) -> Codes {
        let mut of = vec![None; 2 * Weights::LARGEST as usize + 1];
        for code in (0..1u32 << self.slices()).rev() {
            if let Some(known) = Codes::index(self.value(code)).and_then(|at| of.get_mut(at)) {
                *known = Some(code);
            }
        }
        Codes(of)
    }

    /// The first weight that has no code, if one has none.
    pub fn uncoded(&self, weights: &Weights) -> Option<i32> {
        let codes = self.codes();
        let mut values = weights.values().iter().map(|&weight| i32::from(weight));
        values.find(|&weight| codes.of(weight).is_none())
    }

    /// The bits of weights: row by row, column c·slices + p being slice p of output c.
    ///
    /// # Errors
    /// The first weight that has no code.
    pub fn bits_of(&self, weights: &Weights) -> Result<BitMatrix, i32> {
        let (slices, codes) = (self.slices(), self.codes());
        if let Some(weight) = self.uncoded(weights) {
            return Err(weight);
        }
        Ok(BitMatrix::from_fn(weights.rows(), slices * weights.columns(), |row, column| {
            let code = codes.of(weights.value(row, column / slices)).unwrap_or_default();
            code >> (column % slices) & 1 == 1
        }))
    }
}

/// By weight or activation, from the least weight on, its code.
pub(crate) struct Codes(Vec<Option<u32>>);

impl Codes {
    fn index(weight: i32) -> Option<usize> {
        usize::try_from(weight + Weights::LARGEST).ok()
    }

    pub(crate) fn of(&self, weight: i32) -> Option<u32> {
        Self::index(weight).and_then(|at| self.0.get(at).copied().flatten())
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("factors")?;
        self.factors.iter().try_for_each(|factor| write!(f, " {factor}"))?;
        write!(f, " offset {}", self.offset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn kinds_hold_what_they_say() {
        let all = |coding: Coding| {
            let mut values: Vec<i32> =
                (0..1 << coding.slices()).map(|code| coding.value(code)).collect();
            values.sort_unstable();
            values.dedup();
            values
        };
        assert_eq!(all(Coding::odd(1)), [-1, 1]);
        assert_eq!(all(Coding::odd(2)), [-3, -1, 1, 3]);
        assert_eq!(all(Coding::ternary()), [-1, 0, 1]);
        assert_eq!(all(Coding::differential(2)), (-3..=3).collect::<Vec<_>>());
        for slices in 1..=9 {
            let half = 1 << (slices - 1);
            let expected: Vec<i32> = (-half..half).collect();
            assert_eq!(all(Coding::twos_complement(slices)), expected);
            assert_eq!(all(Coding::offset_binary(slices)), expected);
        }
    }

    #[test]
    fn mappings_begin_with_the_fewest_slices() {
        let check = |values: &[[i32; 1]], cell_bits, expected: Option<Coding>| {
            let weights = Weights::from_rows(values).expect("weights");
            assert_eq!(Coding::of(&weights, cell_bits), expected, "{values:?}");
        };
        check(&[[-1], [1]], 1, Some(Coding::odd(1)));
        check(&[[-1], [1]], 2, Some(Coding::odd(2)));
        check(&[[-5], [1]], 1, Some(Coding::odd(3)));
        check(&[[-5], [1]], 2, Some(Coding::odd(4)));
        check(&[[-1], [0]], 1, Some(Coding::ternary()));
        check(&[[-1], [0]], 2, Some(Coding::offset_binary(2)));
        check(&[[-8], [7]], 1, Some(Coding::twos_complement(4)));
        check(&[[-8], [8]], 1, Some(Coding::twos_complement(5)));
        check(&[[-255], [254]], 1, Some(Coding::twos_complement(9)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn bits_stand_for_their_weights(values: Vec<[i8; 3]>, kind in 0usize..5) {
            let weights = Weights::from_fn(values.len(), 3, |row, column| values[row][column].into());
            let range = (weights.smallest(), weights.largest());
            let kind = CodingKind::ALL[kind];
            if let Some(coding) = kind.for_range(range, weights.is_odd(), 1) {
                let bits = coding.bits_of(&weights).expect("in range");
                for row in 0..weights.rows() {
                    for column in 0..weights.columns() {
                        let code = (0..coding.slices()).fold(0, |code, p| {
                            code | u32::from(bits.get(row, column * coding.slices() + p)) << p
                        });
                        prop_assert_eq!(coding.value(code), weights.value(row, column));
                        prop_assert_eq!(coding.code(weights.value(row, column)), Some(code));
                    }
                }
            }
        }
    }
}
