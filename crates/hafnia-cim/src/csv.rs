//! CSV files as this crate reads them: a known header, whole lines, no quotes.
//!
//! Blank lines and lines that begin with `#` are skipped, fields are trimmed.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use hafnia_artifact::read_text;
use hafnia_text::{Bound, must, quoted};

use crate::error::CimError;

/// A line, from 1, and what is wrong on it.
pub(crate) type Fault = (usize, String);

/// A line of fields, as many as the header has.
pub(crate) struct Line<'a> {
    /// Its number, from 1.
    pub(crate) number: usize,
    header: &'static str,
    fields: Vec<&'a str>,
}

impl<'a> Line<'a> {
    /// A fault of this line.
    pub(crate) fn fault(&self, fault: impl Display) -> Fault {
        (self.number, fault.to_string())
    }

    /// The field of a column, as `parse` reads it; `expected` says what it must be.
    pub(crate) fn field<T>(
        &self,
        column: usize,
        expected: impl Display,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, Fault> {
        let text = self.fields[column];
        parse(text).ok_or_else(|| {
            let name = self.header.split(',').nth(column).unwrap_or_default();
            self.fault(format_args!("{name} is {}, it {expected}", quoted(text)))
        })
    }

    /// The field of a column as a number within a range.
    pub(crate) fn number<T: FromStr + Bound + Copy>(
        &self,
        column: usize,
        range: RangeInclusive<T>,
    ) -> Result<T, Fault> {
        let expected = must(*range.start(), *range.end());
        self.field(column, expected, |text| text.parse().ok().filter(|n| range.contains(n)))
    }

    /// The field of a column as the state of a cell: whether it is LRS.
    pub(crate) fn is_lrs(&self, column: usize) -> Result<bool, Fault> {
        self.field(column, "must be LRS or HRS", |text| match text {
            "LRS" => Some(true),
            "HRS" => Some(false),
            _ => None,
        })
    }
}

/// A file that ends at a line without something that it must have.
pub(crate) fn missing(line: usize, what: impl Display) -> Fault {
    (line, format!("the file ends without {what}"))
}

/// The lines that are neither blank nor comments, trimmed, each with its number from 1.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines().map(str::trim));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

fn is_header(line: &str, header: &str) -> bool {
    line.split(',').map(str::trim).eq(header.split(','))
}

/// Whether the file begins with this header.
pub(crate) fn has_header(text: &str, header: &str) -> bool {
    numbered(text).next().is_some_and(|(_, line)| is_header(line, header))
}

/// The lines below `header`.
pub(crate) fn lines<'a>(text: &'a str, header: &'static str) -> Result<Vec<Line<'a>>, Fault> {
    let mut lines = numbered(text);
    let (number, found) = lines.next().unwrap_or((1, ""));
    if !is_header(found, header) {
        return Err((number, format!("the header is {}, it must be `{header}`", quoted(found))));
    }
    let expected = header.split(',').count();
    let line = |(number, line): (usize, &'a str)| {
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        match fields.len() {
            found if found == expected => Ok(Line { number, header, fields }),
            found => Err((number, format!("there are {found} fields, there must be {expected}"))),
        }
    };
    lines.map(line).collect()
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String, CimError> {
    Ok(read_text(path)?)
}

/// What was read of the file of this name.
pub(crate) fn named<T>(name: &str, result: Result<T, Fault>) -> Result<T, CimError> {
    result.map_err(|(line, fault)| CimError::Csv { name: name.to_owned(), line, fault })
}
