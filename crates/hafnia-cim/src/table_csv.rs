//! Code tables as CSV, the form in which measured statistics come.
//!
//! The header is `n,m,code,probability`: rows on, ones among them, code, P(code | m, n). Lines may
//! stand in any order; blank lines and lines that begin with `#` are skipped. Every code of every
//! m in 0..=n of every n in 0..=N must be there once, N and the largest code being the largest
//! that occur.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::code_table::CodeTable;
use crate::csv::{Fault, Line, lines, missing, named, read};
use crate::error::CimError;
use crate::spec::MacroSpec;

const HEADER: &str = "n,m,code,probability";
/// How far from 1 measured probabilities may sum.
const SUM_TOLERANCE: f64 = 1e-6;

impl CodeTable {
    /// Reads a table from a CSV file with the columns `n,m,code,probability`.
    ///
    /// # Errors
    /// [`CimError::Read`] if the file cannot be read, and those of [`CodeTable::from_csv`].
    pub fn load_csv(path: impl AsRef<Path>) -> Result<Self, CimError> {
        let path = path.as_ref();
        Self::from_csv(&read(path)?, &path.display().to_string())
    }

    /// Reads a table from CSV text with the columns `n,m,code,probability`; `name` stands in errors.
    ///
    /// Probabilities are kept as they are, and not made to sum to 1 exactly.
    ///
    /// # Errors
    /// [`CimError::Csv`] with the line: a number that is none or is out of range, an entry that is
    /// missing or listed twice, probabilities whose sum is not 1 within 1e-6.
    pub fn from_csv(text: &str, name: &str) -> Result<Self, CimError> {
        named(name, parse(text))
    }

    /// The table as CSV; [`CodeTable::from_csv`] reads back the same table.
    pub fn to_csv(&self) -> String {
        let mut text = format!("{HEADER}\n");
        for (rows, ones) in self.conversions() {
            for (code, probability) in self.probabilities(rows, ones).iter().enumerate() {
                // writing to a string cannot fail
                let _ = writeln!(text, "{rows},{ones},{code},{probability:e}");
            }
        }
        text
    }
}

fn parse(text: &str) -> Result<CodeTable, Fault> {
    let mut entries = ByCode::read(text, HEADER, 0, |line| line.number(3, 0.0..=1.0))?;
    let mut table = CodeTable::zeros(entries.rows_per_conversion, entries.max_code);
    for (rows, ones) in table.conversions() {
        let mut line = 0;
        for (code, probability) in table.probabilities_mut(rows, ones).iter_mut().enumerate() {
            (line, *probability) = entries.take(rows, ones, code)?;
        }
        let sum: f64 = table.probabilities(rows, ones).iter().sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            let fault = format!(
                "the probabilities of n {rows}, m {ones} sum to {sum}, it must be 1 within 1e-6"
            );
            return Err((line, fault));
        }
    }
    Ok(table)
}

/// The values of a file whose first columns are `n,m,code`, each with its line.
pub(crate) struct ByCode<T> {
    /// The largest n.
    pub(crate) rows_per_conversion: usize,
    /// The largest code.
    pub(crate) max_code: usize,
    /// The last line.
    pub(crate) end: usize,
    values: BTreeMap<[usize; 3], (usize, T)>,
}

impl<T> ByCode<T> {
    /// Reads a file in which n is at least `least`.
    pub(crate) fn read(
        text: &str,
        header: &'static str,
        least: usize,
        value: impl Fn(&Line<'_>) -> Result<T, Fault>,
    ) -> Result<Self, Fault> {
        let (mut values, mut end) = (BTreeMap::new(), 1);
        for line in lines(text, header)? {
            let n = line.number(0, least..=MacroSpec::MOST_ROWS_PER_CONVERSION)?;
            let most_code = (1 << MacroSpec::MOST_ADC_BITS) - 1;
            let (m, code) = (line.number(1, 0..=n)?, line.number(2, 0..=most_code)?);
            if values.insert([n, m, code], (line.number, value(&line)?)).is_some() {
                return Err(line.fault(format_args!("n {n}, m {m}, code {code} is listed twice")));
            }
            end = line.number;
        }
        let largest = |index: usize| values.keys().map(|key| key[index]).max().unwrap_or(0);
        let (rows_per_conversion, max_code) = (largest(0), largest(2));
        match CodeTable::too_large(rows_per_conversion, max_code) {
            None => Ok(Self { rows_per_conversion, max_code, end, values }),
            Some(fault) => Err((end, fault)),
        }
    }

    /// The value of an entry, which there has to be, and its line.
    pub(crate) fn take(&mut self, n: usize, m: usize, code: usize) -> Result<(usize, T), Fault> {
        let what = format_args!("n {n}, m {m}, code {code}");
        self.values.remove(&[n, m, code]).ok_or_else(|| missing(self.end, what))
    }
}
