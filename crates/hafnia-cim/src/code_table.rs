//! [`CodeTable`]: P(code | m ones, n rows on).

/// The probability of every code, given how many of the rows that are on are in LRS.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeTable {
    rows_per_conversion: usize,
    codes: usize,
    /// (rows, ones, code), ones padded to `rows_per_conversion + 1`.
    probabilities: Vec<f64>,
}

/// The first two moments of a code's error, in LSB and LSB².
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// E\[code\] − m.
    pub bias: f64,
    /// Variance of the code.
    pub variance: f64,
}
