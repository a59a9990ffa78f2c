//! [`Weights`]: the integers of a matrix.

use crate::bit_matrix::BitMatrix;
use crate::error::ShapeError;

/// The weights of a matrix, integers of −255 to 255: rows are inputs, columns outputs.
///
/// They say nothing of how cells hold them; that is a mapping's to choose.
///
/// ```
/// use hafnia_model::Weights;
///
/// let weights = Weights::from_fn(2, 2, |row, column| [[-3, 0], [1, 7]][row][column]);
/// assert_eq!(weights.value(0, 0), -3);
/// assert_eq!((weights.smallest(), weights.largest()), (-3, 7));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    rows: usize,
    columns: usize,
    /// (row, column).
    values: Vec<i16>,
}

impl Weights {
    /// The largest magnitude of a weight.
    pub const LARGEST: i32 = 255;

    /// Weights of ±1: 1 is +1, 0 is −1.
    pub fn binary(bits: &BitMatrix) -> Self {
        let weight = |row, column| if bits.get(row, column) { 1 } else { -1 };
        Self::from_fn(bits.rows(), bits.columns(), weight)
    }

    /// Weights from their rows.
    ///
    /// # Errors
    /// If a weight is beyond ±255.
    pub fn from_rows<const COLUMNS: usize>(rows: &[[i32; COLUMNS]]) -> Result<Self, ShapeError> {
        let values = || rows.iter().flatten();
        if let Some(value) = values().find(|value| value.abs() > Self::LARGEST) {
            let most = Self::LARGEST;
            let fault = format!("a weight is {value}, it must lie in -{most}..={most}");
            return Err(ShapeError::whole(fault));
        }
        Ok(Self::from_fn(rows.len(), COLUMNS, |row, column| rows[row][column]))
    }

    /// Weights whose value at (row, column) is `value(row, column)`, asked for row by row.
    ///
    /// # Panics
    /// If a value is beyond ±255.
    pub fn from_fn(
        rows: usize,
        columns: usize,
        mut value: impl FnMut(usize, usize) -> i32,
    ) -> Self {
        let mut values = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            for column in 0..columns {
                let value = value(row, column);
                assert!(value.abs() <= Self::LARGEST, "{value} is no weight");
                values.push(value as i16);
            }
        }
        Self { rows, columns, values }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The weight at (row, column).
    ///
    /// # Panics
    /// If `row` or `column` is out of range.
    #[inline]
    pub fn value(&self, row: usize, column: usize) -> i32 {
        assert!(column < self.columns, "column {column} of {}", self.columns);
        self.values[row * self.columns + column].into()
    }

    /// The weights of a row.
    ///
    /// # Panics
    /// If `row` is out of range.
    pub fn row(&self, row: usize) -> &[i16] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// All weights, row by row.
    pub fn values(&self) -> &[i16] {
        &self.values
    }

    /// The smallest weight; 0 if there is none.
    pub fn smallest(&self) -> i32 {
        self.values.iter().min().map_or(0, |&value| value.into())
    }

    /// The largest weight; 0 if there is none.
    pub fn largest(&self) -> i32 {
        self.values.iter().max().map_or(0, |&value| value.into())
    }

    /// Whether every weight is −1 or +1.
    pub fn is_binary(&self) -> bool {
        self.values.iter().all(|value| value.abs() == 1)
    }

    /// Whether every weight is odd, so that none is 0.
    pub fn is_odd(&self) -> bool {
        self.values.iter().all(|value| value & 1 == 1)
    }

    /// The bits that a weight takes: where all are odd, n for up to ±(2ⁿ − 1), so that ±1 is 1 bit;
    /// else those of two's complement.
    pub fn bits(&self) -> u8 {
        let (smallest, largest) = (self.smallest(), self.largest());
        let bits = |magnitude: i32| (u32::BITS - magnitude.unsigned_abs().leading_zeros()) as u8;
        if self.is_odd() && !self.values.is_empty() {
            return bits(largest.max(-smallest));
        }
        // A negative number −2ⁿ takes no more bits than 2ⁿ − 1.
        1 + bits(largest.max(0)).max(bits((-smallest - 1).max(0)))
    }

    /// The bits of weights ±1: 1 is +1, 0 is −1; none if there are others.
    pub fn as_binary(&self) -> Option<BitMatrix> {
        let bit = |row: usize, column: usize| self.value(row, column) == 1;
        self.is_binary().then(|| BitMatrix::from_fn(self.rows, self.columns, bit))
    }

    /// Some of the columns, in the order given.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn select_columns(&self, columns: std::ops::Range<usize>) -> Self {
        Self::from_fn(self.rows, columns.len(), |row, column| {
            self.value(row, columns.start + column)
        })
    }
}

impl From<BitMatrix> for Weights {
    fn from(bits: BitMatrix) -> Self {
        Self::binary(&bits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bits_are_those_that_the_weights_take() {
        let bits = |values: [i32; 2]| Weights::from_rows(&[values]).expect("weights").bits();
        assert_eq!(bits([-1, 1]), 1);
        assert_eq!(bits([-3, 1]), 2);
        assert_eq!(bits([-15, 15]), 4);
        assert_eq!(bits([-255, 255]), 8);
        assert_eq!(bits([-1, 0]), 1);
        assert_eq!(bits([0, 1]), 2);
        assert_eq!(bits([-8, 7]), 4);
        assert_eq!(bits([-8, 8]), 5);
        assert_eq!(bits([-128, 127]), 8);
    }

    #[test]
    fn weights_out_of_range_are_refused() {
        let error = Weights::from_rows(&[[1, 256]]).unwrap_err().to_string();
        assert_eq!(error, "a weight is 256, it must lie in -255..=255");
    }

    proptest! {
        #[test]
        fn values_are_kept(columns in 1usize..5, numbers: Vec<i8>) {
            let rows = numbers.len() / columns;
            let value = |row: usize, column: usize| i32::from(numbers[row * columns + column]);
            let weights = Weights::from_fn(rows, columns, value);
            prop_assert_eq!((weights.rows(), weights.columns()), (rows, columns));
            for row in 0..rows {
                for column in 0..columns {
                    prop_assert_eq!(weights.value(row, column), value(row, column));
                }
            }
            let binary = weights.as_binary();
            prop_assert_eq!(binary.is_some(), weights.values().iter().all(|w| w.abs() == 1));
            if let Some(bits) = binary {
                prop_assert_eq!(Weights::binary(&bits), weights);
            }
        }
    }
}
