//! CSV files as this crate reads them: a known header, whole lines, no quotes.
//!
//! Blank lines and lines that begin with `#` are skipped, fields are trimmed.

/// What is wrong on a line of a CSV file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CsvFault {
    /// The header is another one.
    #[error("the header is `{found}`, it must be `{expected}`")]
    Header {
        /// The header.
        found: String,
        /// The right one.
        expected: &'static str,
    },
    /// A line of fewer or more fields than the header.
    #[error("there are {found} fields, it must be {expected}")]
    Fields {
        /// Number of fields.
        found: usize,
        /// Number of fields of the header.
        expected: usize,
    },
    /// A field is not what it must be.
    #[error("{column} is `{text}`, it must be {expected}")]
    Value {
        /// The column.
        column: &'static str,
        /// The field.
        text: String,
        /// What it must be, in words.
        expected: &'static str,
    },
    /// Something is given a second time.
    #[error("{what} stands there twice")]
    Twice {
        /// What.
        what: String,
    },
    /// Something is not given.
    #[error("the file ends without {what}")]
    Missing {
        /// What.
        what: String,
    },
}

impl CsvFault {
    pub(crate) fn value(column: &'static str, text: &str, expected: &'static str) -> Self {
        Self::Value { column, text: text.to_owned(), expected }
    }
}

/// A line of fields, as many as the header has, and its number from 1.
pub(crate) struct Line<'a> {
    pub(crate) number: usize,
    pub(crate) fields: Vec<&'a str>,
}

/// The lines below `header`.
pub(crate) fn lines<'a>(
    text: &'a str,
    header: &'static str,
) -> Result<Vec<Line<'a>>, (usize, CsvFault)> {
    let mut lines = (1..)
        .zip(text.lines().map(str::trim))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let (number, found) = lines.next().unwrap_or((1, ""));
    if found != header {
        return Err((number, CsvFault::Header { found: found.to_owned(), expected: header }));
    }
    let expected = header.split(',').count();
    let fields = |(number, line): (usize, &'a str)| {
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        match fields.len() {
            found if found == expected => Ok(Line { number, fields }),
            found => Err((number, CsvFault::Fields { found, expected })),
        }
    };
    lines.map(fields).collect()
}
