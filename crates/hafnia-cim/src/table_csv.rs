//! Code tables as CSV, the form in which measured statistics come.
//!
//! The header is `n,m,code,probability`: rows on, ones among them, code, P(code | m, n). Lines may
//! stand in any order; blank lines and lines that begin with `#` are skipped. Every code of every
//! m in 0..=n of every n in 0..=N must be there once, N and the largest code being the largest
//! that occur.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;

use crate::{CimError, CodeTable, TableFault};

const HEADER: &str = "n,m,code,probability";
/// Most rows on, and largest code, of a macro (`MacroSpec::validate`).
const MAX_COUNT: usize = 63;
/// How far from 1 measured probabilities may sum.
const SUM_TOLERANCE: f64 = 1e-6;

impl CodeTable {
    /// Reads a table from a CSV file with the columns `n,m,code,probability`.
    ///
    /// # Errors
    /// [`CimError::Read`] if the file cannot be read, and those of [`CodeTable::from_csv`].
    pub fn load_csv(path: impl AsRef<Path>) -> Result<Self, CimError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|source| CimError::Read { path: path.to_owned(), source })?;
        Self::from_csv(&text, &path.display().to_string())
    }

    /// Reads a table from CSV text with the columns `n,m,code,probability`; `name` stands in errors.
    ///
    /// Probabilities are kept as they are, and not made to sum to 1 exactly.
    ///
    /// # Errors
    /// [`CimError::Table`] with the line and its [`TableFault`]: a number that is none or is out of
    /// range, an entry that is missing or there twice, probabilities whose sum is not 1 within
    /// 1e-6.
    pub fn from_csv(text: &str, name: &str) -> Result<Self, CimError> {
        parse(text).map_err(|(line, fault)| CimError::Table { name: name.to_owned(), line, fault })
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

/// A fault and the line, from 1, that it is on.
type Fault = (usize, TableFault);

fn parse(text: &str) -> Result<CodeTable, Fault> {
    let mut lines = (1..)
        .zip(text.lines().map(str::trim))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let (line, header) = lines.next().unwrap_or((1, ""));
    if header != HEADER {
        return Err((line, TableFault::Header { found: header.to_owned() }));
    }
    let mut last_line = line;
    let mut entries = BTreeMap::new();
    for (line, text) in lines {
        last_line = line;
        let (key @ (rows, ones, code), probability) = entry(text).map_err(|fault| (line, fault))?;
        if entries.insert(key, (line, probability)).is_some() {
            return Err((line, TableFault::Twice { rows, ones, code }));
        }
    }
    let rows_per_conversion = entries.keys().map(|key| key.0).max().unwrap_or(0);
    let max_code = entries.keys().map(|key| key.2).max().unwrap_or(0);
    let mut table = CodeTable::zeros(rows_per_conversion, max_code);
    for (rows, ones) in table.conversions() {
        let mut line = last_line;
        for (code, probability) in table.probabilities_mut(rows, ones).iter_mut().enumerate() {
            (line, *probability) = entries
                .remove(&(rows, ones, code))
                .ok_or((last_line, TableFault::Missing { rows, ones, code }))?;
        }
        let sum: f64 = table.probabilities(rows, ones).iter().sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err((line, TableFault::Sum { rows, ones, sum }));
        }
    }
    Ok(table)
}

/// The (rows, ones, code) and the probability of a line.
fn entry(line: &str) -> Result<((usize, usize, usize), f64), TableFault> {
    let fields: Vec<_> = line.split(',').map(str::trim).collect();
    let &[rows, ones, code, probability] = fields.as_slice() else {
        return Err(TableFault::Fields { found: fields.len() });
    };
    let rows = number("n", rows, 0, MAX_COUNT)?;
    let ones = number("m", ones, 0, rows)?;
    let code = number("code", code, 0, MAX_COUNT)?;
    let probability = number("probability", probability, 0.0, 1.0)?;
    Ok(((rows, ones, code), probability))
}

/// Parses `text`, which must lie in `min..=max`.
fn number<T>(column: &'static str, text: &str, min: T, max: T) -> Result<T, TableFault>
where
    T: FromStr + PartialOrd + ToString,
{
    match text.parse() {
        Ok(value) if min <= value && value <= max => Ok(value),
        _ => Err(TableFault::Number {
            column,
            text: text.to_owned(),
            min: min.to_string(),
            max: max.to_string(),
        }),
    }
}
