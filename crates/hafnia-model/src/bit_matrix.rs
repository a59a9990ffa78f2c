//! [`BitMatrix`]: rows of bits in 64-bit words, column 0 in the lowest bit of a row's first word.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A dense matrix of bits, stored row by row.
///
/// Each row starts in a word of its own; the bits past the last column are always 0,
/// so that two rows are equal iff their words are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BitMatrix {
    rows: usize,
    columns: usize,
    words: Vec<u64>,
}

/// Why a row in hexadecimal was refused by [`BitMatrix::set_row_hex`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HexError {
    /// The number of digits does not fit the number of columns.
    #[error("a row of {columns} columns takes {expected} hexadecimal digits, not {found}")]
    Length {
        /// Columns of the matrix.
        columns: usize,
        /// Digits such a row takes.
        expected: usize,
        /// Digits that were given.
        found: usize,
    },
    /// A character is no hexadecimal digit.
    #[error("`{0}` is not a hexadecimal digit (0-9, a-f)")]
    Digit(char),
    /// A bit beyond the last column is set.
    #[error("a bit beyond column {last_column} is set")]
    Beyond {
        /// The last column the matrix has.
        last_column: usize,
    },
}

impl BitMatrix {
    /// A matrix of zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self { rows, columns, words: vec![0; rows * columns.div_ceil(64)] }
    }

    /// A matrix whose bit at (row, column) is `bit(row, column)`.
    pub fn from_fn(rows: usize, columns: usize, mut bit: impl FnMut(usize, usize) -> bool) -> Self {
        let mut matrix = Self::zeros(rows, columns);
        for row in 0..rows {
            for column in 0..columns {
                matrix.set(row, column, bit(row, column));
            }
        }
        matrix
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Words that one row takes.
    pub fn words_per_row(&self) -> usize {
        self.columns.div_ceil(64)
    }

    /// The words of a row, column 0 in the lowest bit of the first.
    ///
    /// # Panics
    /// If `row` is out of range.
    pub fn row(&self, row: usize) -> &[u64] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let width = self.words_per_row();
        &self.words[row * width..(row + 1) * width]
    }

    /// The bit at (row, column).
    ///
    /// # Panics
    /// If `row` or `column` is out of range.
    #[inline]
    pub fn get(&self, row: usize, column: usize) -> bool {
        let (word, mask) = self.locate(row, column);
        self.words[word] & mask != 0
    }

    /// Sets the bit at (row, column).
    ///
    /// # Panics
    /// If `row` or `column` is out of range.
    #[inline]
    pub fn set(&mut self, row: usize, column: usize, bit: bool) {
        let (word, mask) = self.locate(row, column);
        if bit {
            self.words[word] |= mask;
        } else {
            self.words[word] &= !mask;
        }
    }

    /// Number of ones in the whole matrix.
    pub fn count_ones(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The matrix made of the given rows of this one, in the given order; a row may recur.
    ///
    /// # Panics
    /// If a row is out of range.
    pub fn select_rows(&self, rows: impl IntoIterator<Item = usize>) -> Self {
        let mut words = Vec::new();
        let mut count = 0;
        for row in rows {
            words.extend_from_slice(self.row(row));
            count += 1;
        }
        Self { rows: count, columns: self.columns, words }
    }

    /// The matrix made of the given columns of this one, in the given order.
    ///
    /// # Panics
    /// If a column is out of range.
    pub fn select_columns(&self, columns: &[usize]) -> Self {
        Self::from_fn(self.rows, columns.len(), |row, column| self.get(row, columns[column]))
    }

    /// A row in hexadecimal: the digit of columns 0 to 3 first, column 0 in a digit's lowest bit.
    ///
    /// # Panics
    /// If `row` is out of range.
    pub fn row_hex(&self, row: usize) -> String {
        let words = self.row(row);
        let digits = self.columns.div_ceil(4);
        (0..digits)
            .map(|digit| {
                let nibble = (words[digit / 16] >> (digit % 16 * 4)) & 0xf;
                char::from_digit(nibble as u32, 16).expect("a nibble is one digit")
            })
            .collect()
    }

    /// Sets a row from the form that [`row_hex`](Self::row_hex) writes.
    ///
    /// # Errors
    /// If the text has another length, another character, or a bit beyond the last column.
    ///
    /// # Panics
    /// If `row` is out of range.
    pub fn set_row_hex(&mut self, row: usize, hex: &str) -> Result<(), HexError> {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let (found, expected) = (hex.chars().count(), self.columns.div_ceil(4));
        if found != expected {
            return Err(HexError::Length { columns: self.columns, expected, found });
        }
        let width = self.words_per_row();
        let mut words = vec![0u64; width];
        for (digit, character) in hex.chars().enumerate() {
            let is_lower = character.is_ascii_digit() || ('a'..='f').contains(&character);
            let nibble = character.to_digit(16).filter(|_| is_lower);
            let nibble = nibble.ok_or(HexError::Digit(character))?;
            let columns_left = self.columns - digit * 4;
            if columns_left < 4 && nibble >> columns_left != 0 {
                return Err(HexError::Beyond { last_column: self.columns - 1 });
            }
            words[digit / 16] |= u64::from(nibble) << (digit % 16 * 4);
        }
        self.words[row * width..(row + 1) * width].copy_from_slice(&words);
        Ok(())
    }

    #[inline]
    fn locate(&self, row: usize, column: usize) -> (usize, u64) {
        assert!(
            row < self.rows && column < self.columns,
            "bit ({row}, {column}) of a {}x{} matrix",
            self.rows,
            self.columns
        );
        (row * self.words_per_row() + column / 64, 1 << (column % 64))
    }
}

impl fmt::Display for BitMatrix {
    /// One line a row, `0` and `1` a column.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in 0..self.rows {
            for column in 0..self.columns {
                f.write_str(if self.get(row, column) { "1" } else { "0" })?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

impl fmt::Debug for BitMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BitMatrix {}x{}\n{self}", self.rows, self.columns)
    }
}

/// What travels: the invariants are checked when it is read back.
#[derive(Serialize, Deserialize)]
#[serde(rename = "BitMatrix")]
struct Plain {
    rows: u32,
    columns: u32,
    words: Vec<u64>,
}

impl Serialize for BitMatrix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        let narrow = |n: usize| u32::try_from(n).map_err(|_| S::Error::custom("matrix too large"));
        Plain {
            rows: narrow(self.rows)?,
            columns: narrow(self.columns)?,
            words: self.words.clone(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for BitMatrix {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let Plain { rows, columns, words } = Plain::deserialize(deserializer)?;
        let (rows, columns) = (rows as usize, columns as usize);
        let width = columns.div_ceil(64);
        if rows.checked_mul(width) != Some(words.len()) {
            return Err(D::Error::custom(format_args!(
                "a {rows}x{columns} bit matrix takes {} words a row, {} words are there",
                width,
                words.len()
            )));
        }
        let tail = columns % 64;
        if tail != 0 && words.chunks(width).any(|row| row[width - 1] >> tail != 0) {
            return Err(D::Error::custom("a bit beyond the last column is set"));
        }
        Ok(Self { rows, columns, words })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matrices() -> impl Strategy<Value = (usize, usize, Vec<bool>)> {
        (0usize..6, 0usize..140).prop_flat_map(|(rows, columns)| {
            (Just(rows), Just(columns), prop::collection::vec(any::<bool>(), rows * columns))
        })
    }

    proptest! {
        #[test]
        fn bits_are_kept((rows, columns, bits) in matrices()) {
            let matrix = BitMatrix::from_fn(rows, columns, |r, c| bits[r * columns + c]);
            for r in 0..rows {
                for c in 0..columns {
                    prop_assert_eq!(matrix.get(r, c), bits[r * columns + c]);
                }
            }
            prop_assert_eq!(matrix.count_ones(), bits.iter().filter(|b| **b).count());
        }

        #[test]
        fn hexadecimal_round_trips((rows, columns, bits) in matrices()) {
            let matrix = BitMatrix::from_fn(rows, columns, |r, c| bits[r * columns + c]);
            let mut back = BitMatrix::zeros(rows, columns);
            for r in 0..rows {
                back.set_row_hex(r, &matrix.row_hex(r)).expect("own output");
            }
            prop_assert_eq!(matrix, back);
        }
    }

    #[test]
    fn wrong_hexadecimal_is_refused() {
        let mut matrix = BitMatrix::zeros(1, 6);
        assert_eq!(
            matrix.set_row_hex(0, "f"),
            Err(HexError::Length { columns: 6, expected: 2, found: 1 })
        );
        assert_eq!(matrix.set_row_hex(0, "fg"), Err(HexError::Digit('g')));
        assert_eq!(matrix.set_row_hex(0, "0F"), Err(HexError::Digit('F')));
        assert_eq!(matrix.set_row_hex(0, "04"), Err(HexError::Beyond { last_column: 5 }));
        assert_eq!(matrix, BitMatrix::zeros(1, 6));
        matrix.set_row_hex(0, "12").expect("six bits");
        assert_eq!(matrix.to_string(), "100001\n");
    }

    #[test]
    fn selection_keeps_order() {
        let matrix = BitMatrix::from_fn(3, 3, |r, c| r == c);
        assert_eq!(matrix.select_rows([2, 0, 2]).to_string(), "001\n100\n001\n");
        assert_eq!(matrix.select_columns(&[2, 1]).to_string(), "00\n01\n10\n");
    }
}
