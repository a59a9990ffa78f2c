//! [`Weights`]: the integers of a matrix, held as planes of bits.

use std::borrow::Cow;

use crate::bit_matrix::BitMatrix;
use serde::{Deserialize, Serialize};

use crate::error::ShapeError;

/// The weight that bits stand for, that of plane 0 first: Σ 2^p · (+1 if bit p is 1, −1 if it is 0).
#[inline]
pub fn weight(bits: impl IntoIterator<Item = bool>) -> i32 {
    bits.into_iter().enumerate().map(|(p, bit)| if bit { 1 << p } else { -(1 << p) }).sum()
}

/// The weights of a matrix, all of 1, 2, 4 or 8 bits: rows are inputs, columns outputs.
///
/// A weight is Σ over planes p of 2^p · (2·b − 1) for its bit b in the plane: −1 and +1 with
/// 1 bit; −3, −1, +1 and +3 with 2 bits; the odd numbers of −15..=15 with 4 and of −255..=255 with
/// 8. None is 0.
///
/// ```
/// use hafnia_model::Weights;
///
/// let weights = Weights::from_fn(2, 2, 2, |row, column| [[-3, -1], [1, 3]][row][column]);
/// assert_eq!(weights.planes()[0].to_string(), "01\n01\n");
/// assert_eq!(weights.planes()[1].to_string(), "00\n11\n");
/// assert_eq!(weights.value(0, 0), -3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Weights {
    /// As many matrices as a weight may have [bits](Self::BITS), all of one size, that of factor 1
    /// first.
    planes: Vec<BitMatrix>,
}

impl Weights {
    /// How many bits a weight may have.
    pub const BITS: [u8; 4] = [1, 2, 4, 8];

    /// Weights of 1 bit: 1 is +1, 0 is −1.
    pub fn binary(bits: BitMatrix) -> Self {
        Self { planes: vec![bits] }
    }

    /// Weights of as many bits as there are planes, that of factor 1 first.
    ///
    /// # Errors
    /// If there are not 1, 2, 4 or 8 planes, or they differ in size.
    pub fn from_planes(planes: Vec<BitMatrix>) -> Result<Self, ShapeError> {
        if !Self::BITS.iter().any(|&bits| usize::from(bits) == planes.len()) {
            return Err(ShapeError::whole(format!(
                "weights have {} bit planes, they must have 1, 2, 4 or 8",
                planes.len()
            )));
        }
        let size = |plane: &BitMatrix| format!("{}x{}", plane.rows(), plane.columns());
        let expected = size(&planes[0]);
        match planes.iter().position(|plane| size(plane) != expected) {
            None => Ok(Self { planes }),
            Some(plane) => Err(ShapeError::whole(format!(
                "bit plane {plane} of weights is {}, plane 0 is {expected}",
                size(&planes[plane])
            ))),
        }
    }

    /// Weights from their rows, of the fewest bits that hold them all.
    ///
    /// # Errors
    /// If a weight is even or beyond ±255: with 1 bit weights are −1 and 1, with 2 also −3 and 3.
    pub fn from_rows<const COLUMNS: usize>(rows: &[[i32; COLUMNS]]) -> Result<Self, ShapeError> {
        let values = || rows.iter().flatten();
        if let Some(value) = values().find(|value| value.abs() > 255 || *value & 1 == 0) {
            return Err(ShapeError::whole(format!(
                "a weight is {value}, it must be an odd number in -255..=255"
            )));
        }
        let largest = values().map(|value| value.abs()).max().unwrap_or(1);
        let holds = |bits: &&u8| largest < 1 << **bits;
        let bits = *Self::BITS.iter().find(holds).expect("8 bits hold 255");
        Ok(Self::from_fn(rows.len(), COLUMNS, bits, |row, column| rows[row][column]))
    }

    /// Weights of `bits` bits whose value at (row, column) is `value(row, column)`.
    ///
    /// # Panics
    /// If `bits` is not 1, 2, 4 or 8, or a value is none of [`values`](Self::values).
    pub fn from_fn(
        rows: usize,
        columns: usize,
        bits: u8,
        mut value: impl FnMut(usize, usize) -> i32,
    ) -> Self {
        assert!(Self::BITS.contains(&bits), "weights of {bits} bits");
        let mut planes = vec![BitMatrix::zeros(rows, columns); bits.into()];
        let largest = (1 << bits) - 1;
        for row in 0..rows {
            for column in 0..columns {
                let value = value(row, column);
                let is_weight = value.abs() <= largest && value & 1 == 1;
                assert!(is_weight, "{value} is no weight of {bits} bits");
                // The values ascend, in steps of 2, as the numbers do that the bits write.
                let number = (value + largest) / 2;
                for (bit, plane) in planes.iter_mut().enumerate() {
                    plane.set(row, column, number >> bit & 1 == 1);
                }
            }
        }
        Self::from_planes(planes).expect("1, 2, 4 or 8 bits")
    }

    /// The values that a weight of `bits` bits takes, ascending.
    ///
    /// # Panics
    /// If `bits` is not 1, 2, 4 or 8.
    pub fn values(bits: u8) -> impl Iterator<Item = i32> {
        assert!(Self::BITS.contains(&bits), "weights of {bits} bits");
        (0u16..1 << bits).map(move |number| weight((0..bits).map(|bit| number >> bit & 1 == 1)))
    }

    /// Bits of a weight: 1, 2, 4 or 8.
    pub fn bits(&self) -> u8 {
        self.planes.len() as u8
    }

    /// The largest value that its bits can give: 1, 3, 15 or 255; the smallest is its opposite.
    pub fn largest(&self) -> i32 {
        (1 << self.bits()) - 1
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.planes[0].rows()
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.planes[0].columns()
    }

    /// The weight at (row, column).
    ///
    /// # Panics
    /// If `row` or `column` is out of range.
    pub fn value(&self, row: usize, column: usize) -> i32 {
        weight(self.planes.iter().map(|plane| plane.get(row, column)))
    }

    /// The planes of bits, that of factor 1 first.
    pub fn planes(&self) -> &[BitMatrix] {
        &self.planes
    }

    /// The planes side by side as cells hold them: column c·bits + p is plane p of column c.
    pub fn slices(&self) -> Cow<'_, BitMatrix> {
        let [first, others @ ..] = &self.planes[..] else { unreachable!("there is a plane") };
        if others.is_empty() {
            return Cow::Borrowed(first);
        }
        let bits = self.planes.len();
        Cow::Owned(BitMatrix::from_fn(self.rows(), bits * self.columns(), |row, slice| {
            self.planes[slice % bits].get(row, slice / bits)
        }))
    }

    /// The bits of weights of 1 bit: 1 is +1, 0 is −1.
    pub fn as_binary(&self) -> Option<&BitMatrix> {
        match &self.planes[..] {
            [bits] => Some(bits),
            _ => None,
        }
    }
}

impl From<BitMatrix> for Weights {
    fn from(bits: BitMatrix) -> Self {
        Self::binary(bits)
    }
}

/// What travels of [`Weights`]: checked when it is read.
#[derive(Deserialize)]
#[serde(rename = "Weights")]
struct Parts {
    planes: Vec<BitMatrix>,
}

impl TryFrom<Parts> for Weights {
    type Error = ShapeError;

    fn try_from(parts: Parts) -> Result<Self, ShapeError> {
        Self::from_planes(parts.planes)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[test]
    fn values_ascend_in_steps_of_two() {
        assert_eq!(Weights::values(1).collect::<Vec<_>>(), [-1, 1]);
        assert_eq!(Weights::values(2).collect::<Vec<_>>(), [-3, -1, 1, 3]);
        for bits in Weights::BITS {
            let largest = (1 << bits) - 1;
            let expected: Vec<i32> = (-largest..=largest).step_by(2).collect();
            assert_eq!(Weights::values(bits).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn other_planes_are_refused() {
        let check = |sizes: &[(usize, usize)], expected: Expect| {
            let planes: Vec<_> = sizes.iter().map(|&(r, c)| BitMatrix::zeros(r, c)).collect();
            let json = serde_json::json!({ "planes": planes }).to_string();
            let error = Weights::from_planes(planes).unwrap_err().to_string();
            let read = serde_json::from_str::<Weights>(&json).unwrap_err().to_string();
            assert_eq!(error, read);
            expected.assert_eq(&error);
        };
        check(&[], expect!["weights have 0 bit planes, they must have 1, 2, 4 or 8"]);
        check(&[(1, 1); 3], expect!["weights have 3 bit planes, they must have 1, 2, 4 or 8"]);
        check(&[(2, 3), (3, 2)], expect!["bit plane 1 of weights is 3x2, plane 0 is 2x3"]);
    }

    #[test]
    #[should_panic(expected = "0 is no weight of 2 bits")]
    fn zero_is_no_weight() {
        Weights::from_fn(1, 1, 2, |_, _| 0);
    }

    #[test]
    #[should_panic(expected = "weights of 3 bits")]
    fn three_bits_are_too_many() {
        Weights::from_fn(1, 1, 3, |_, _| 1);
    }

    proptest! {
        #[test]
        fn values_are_kept(columns in 1usize..5, bits in select(Weights::BITS.to_vec()), numbers: Vec<u8>) {
            let rows = numbers.len() / columns;
            let largest = (1 << bits) - 1;
            let value = |row: usize, column: usize| {
                i32::from(numbers[row * columns + column]) % (1 << bits) * 2 - largest
            };
            let weights = Weights::from_fn(rows, columns, bits, value);
            prop_assert_eq!((weights.rows(), weights.columns()), (rows, columns));
            prop_assert_eq!((weights.bits(), weights.planes().len()), (bits, bits.into()));
            prop_assert_eq!(weights.as_binary().is_some(), bits == 1);
            let slices = weights.slices();
            prop_assert_eq!(slices.columns(), columns * usize::from(bits));
            for row in 0..rows {
                for column in 0..columns {
                    prop_assert_eq!(weights.value(row, column), value(row, column));
                    let slice = |p: usize| slices.get(row, column * usize::from(bits) + p);
                    let sum = weight((0..bits.into()).map(slice));
                    prop_assert_eq!(sum, value(row, column));
                }
            }
            let json = serde_json::to_string(&weights).unwrap();
            prop_assert_eq!(serde_json::from_str::<Weights>(&json).unwrap(), weights);
        }
    }
}
