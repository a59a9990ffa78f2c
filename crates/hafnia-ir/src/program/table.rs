//! Text files of a program, line by line: tables in CSV and images in hexadecimal.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use hafnia_artifact::{ArtifactError, text};

use crate::file::FileError;

/// Opens a file.
pub(super) type Open<'a> = &'a dyn Fn(&Path) -> Result<Vec<u8>, ArtifactError>;

/// A text file.
pub(super) struct TextFile {
    path: PathBuf,
    text: String,
}

impl TextFile {
    pub(super) fn open(path: PathBuf, open: Open<'_>) -> Result<Self, FileError> {
        let text = text(&path, open(&path)?)?;
        Ok(Self { path, text })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Its lines, from the first.
    pub(super) fn lines(&self) -> Lines<'_> {
        Lines { path: &self.path, lines: self.text.lines(), line: 0 }
    }

    /// The lines of a table, after the names of its columns.
    pub(super) fn table(&self, header: &str) -> Result<Lines<'_>, FileError> {
        let mut lines = self.lines();
        let first = lines.expect(format_args!("`{header}`"))?;
        if first.text == header {
            Ok(lines)
        } else {
            Err(first.expected(format_args!("`{header}`")))
        }
    }
}

/// What is left of a file.
pub(super) struct Lines<'a> {
    path: &'a Path,
    lines: std::str::Lines<'a>,
    line: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn next(&mut self) -> Option<Line<'a>> {
        self.line += 1;
        Some(Line { path: self.path, line: self.line, text: self.lines.next()? })
    }

    /// The next line, which there has to be.
    pub(super) fn expect(&mut self, expected: impl fmt::Display) -> Result<Line<'a>, FileError> {
        let (path, line) = (self.path, self.line + 1);
        self.next().ok_or_else(|| wrong(path, line, expected, "the end"))
    }

    /// Whether the file ends here.
    pub(super) fn end(&mut self) -> Result<(), FileError> {
        self.next().map_or(Ok(()), |line| Err(line.expected("the end")))
    }
}

/// A line of a file.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    path: &'a Path,
    line: usize,
    pub(super) text: &'a str,
}

impl<'a> Line<'a> {
    pub(super) fn expected(self, expected: impl fmt::Display) -> FileError {
        wrong(self.path, self.line, expected, &shown(self.text))
    }

    /// The line as the `N` fields of a table.
    pub(super) fn fields<const N: usize>(self) -> Result<Fields<'a, N>, FileError> {
        let fields: Vec<&str> = self.text.split(',').collect();
        let fields = fields.try_into();
        let fields =
            fields.map_err(|_| self.expected(format_args!("{N} fields, parted by commas")));
        Ok(Fields { line: self, fields: fields?, next: 0 })
    }
}

/// The fields of a line that are still to be read.
pub(super) struct Fields<'a, const N: usize> {
    line: Line<'a>,
    fields: [&'a str; N],
    next: usize,
}

impl<const N: usize> Fields<'_, N> {
    /// The next field as a number in `range`; `name` is what messages call it.
    pub(super) fn number(&mut self, name: &str, range: Range<u64>) -> Result<u32, FileError> {
        let field = self.fields[self.next];
        self.next += 1;
        // `parse` alone would take a sign.
        let is_plain = field.bytes().all(|digit| digit.is_ascii_digit());
        let number = field.parse().ok().filter(|&n: &u32| is_plain && range.contains(&n.into()));
        number.ok_or_else(|| {
            let expected = match range.end - range.start {
                0 => format!("no {name}, as there is none to name"),
                1 => format!("{name} {}", range.start),
                _ => format!("{name} in {}..={}", range.start, range.end - 1),
            };
            wrong(self.line.path, self.line.line, expected, &shown(field))
        })
    }

    /// The next field as a sign: whether it is -1, not 1.
    pub(super) fn is_negative(&mut self, name: &str) -> Result<bool, FileError> {
        let field = self.fields[self.next];
        self.next += 1;
        match field {
            "1" => Ok(false),
            "-1" => Ok(true),
            _ => {
                let expected = format_args!("{name} 1 or -1");
                Err(wrong(self.line.path, self.line.line, expected, &shown(field)))
            }
        }
    }
}

/// A line that is not what it should be.
fn wrong(path: &Path, line: usize, expected: impl fmt::Display, found: &str) -> FileError {
    let fault = format!("expected {expected}, found {found}");
    FileError::Content { path: path.into(), line: Some(line), column: None, fault }
}

/// A text as messages show it.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 40;
    let short: String = text.chars().take(LONGEST).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("`{}{dots}`", short.escape_debug())
}
