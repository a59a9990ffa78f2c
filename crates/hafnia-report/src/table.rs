//! One table, rendered for the terminal, as Markdown and as CSV.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use comfy_table::CellAlignment;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde::{Deserialize, Serialize};

use crate::error::ReportError;
use hafnia_text::{MOST_QUOTED, cut, escaped_lines};

/// Which side the cells of a column are set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

/// The name of a column that holds the intervals of the numbers in the column before it.
pub const INTERVAL: &str = "95 % interval";

/// A header and rows of as many cells.
///
/// `Display` draws it for the terminal ([`fit_tables`]), without trailing newline; control characters
/// in cells are written out there, and long cells cut. Columns stand by how much they matter.
///
/// ```
/// use hafnia_report::Table;
///
/// let mut table = Table::of(["layer", ">rows"]);
/// table.row(["fc3", "84"]);
/// assert_eq!(table.to_markdown(), "\
/// | layer | rows |
/// | :---- | ---: |
/// | fc3   |   84 |
/// ");
/// assert_eq!(table.to_csv(), "layer,rows\nfc3,84\n");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Table {
    header: Vec<String>,
    align: Vec<Align>,
    rows: Vec<Vec<String>>,
}

/// A table as it is read.
#[derive(Deserialize)]
struct Unchecked {
    header: Vec<String>,
    align: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl TryFrom<Unchecked> for Table {
    type Error = ReportError;

    fn try_from(Unchecked { header, align, rows }: Unchecked) -> Result<Self, ReportError> {
        let expected = header.len();
        let lengths = rows.iter().map(|row| ("row of a table", row.len()));
        for (what, len) in std::iter::once(("alignment of a table", align.len())).chain(lengths) {
            if len != expected {
                return Err(ReportError::Length { what: what.to_owned(), len, expected });
            }
        }
        Ok(Self { header, align, rows })
    }
}

/// A text in which no number that is zero has a sign: `-0.00 to 0.10` is `0.00 to 0.10`.
fn unsigned_zeros(text: String) -> String {
    if !text.contains("-0") {
        return text;
    }
    let is_zero = |word: &str| {
        let digits = word.trim_matches(['(', ')', ',', '%']);
        digits.strip_prefix('-').is_some_and(|digits| {
            digits.starts_with('0') && digits.bytes().all(|byte| matches!(byte, b'0' | b'.'))
        })
    };
    let words = text.split(' ').map(|word| match is_zero(word) {
        true => word.replacen('-', "", 1),
        false => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

impl Table {
    /// A table of these columns and no rows.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = (S, Align)>) -> Self {
        let (header, align) = columns.into_iter().map(|(name, align)| (name.into(), align)).unzip();
        Self { header, align, rows: Vec::new() }
    }

    /// A table of these columns and no rows; those that begin with `>`, which is left out, and
    /// those called [`INTERVAL`] are of numbers.
    pub fn of<S: AsRef<str>>(columns: impl IntoIterator<Item = S>) -> Self {
        Self::new(columns.into_iter().map(|column| match column.as_ref().strip_prefix('>') {
            Some(name) => (name.to_owned(), Align::Right),
            None if column.as_ref() == INTERVAL => (INTERVAL.to_owned(), Align::Right),
            None => (column.as_ref().to_owned(), Align::Left),
        }))
    }

    /// Adds a row; a zero in a cell has no sign.
    ///
    /// # Panics
    /// If it has not one cell per column.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let row: Vec<String> = cells.into_iter().map(|cell| unsigned_zeros(cell.into())).collect();
        assert_eq!(row.len(), self.header.len(), "a table row has a cell per column");
        self.rows.push(row);
    }

    /// The table with every column [`INTERVAL`] in the column before it, whose number it is of: `0.5` and
    /// `0.4 to 0.6` are `0.5 (0.4 to 0.6)`.
    #[must_use]
    pub(crate) fn joined(&self) -> Self {
        let is_joined = |column: usize| column > 0 && self.header[column] == INTERVAL;
        let join = |cells: &[String], joined: &dyn Fn(&str, &str) -> String| -> Vec<String> {
            let kept = (0..cells.len()).filter(|&column| !is_joined(column));
            let cell = |column: usize| match column + 1 < cells.len() && is_joined(column + 1) {
                true => joined(&cells[column], &cells[column + 1]),
                false => cells[column].clone(),
            };
            kept.map(cell).collect()
        };
        let number = |value: &str, range: &str| match range {
            "" | "-" | "–" => value.to_owned(),
            "exact" => format!("{value}, exact"),
            range => format!("{value} ({range})"),
        };
        let align = (0..self.align.len()).filter(|&column| !is_joined(column));
        Self {
            header: join(&self.header, &|name, interval| format!("{name} ({interval})")),
            align: align.map(|column| self.align[column]).collect(),
            rows: self.rows.iter().map(|row| join(row, &number)).collect(),
        }
    }

    /// The names of the columns.
    #[must_use]
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Which side the cells of each column are set to.
    #[must_use]
    pub fn align(&self) -> &[Align] {
        &self.align
    }

    /// The rows, from the top.
    #[must_use]
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// The table in Markdown, padded so that it also reads as plain text, a newline at the end.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let escape = |cells: &[String]| -> Vec<String> {
            cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', "<br>")).collect()
        };
        let header = escape(&self.header);
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| escape(row)).collect();
        let widths: Vec<usize> = (0..header.len())
            .map(|column| {
                let cells = std::iter::once(&header).chain(&rows);
                cells.map(|row| row[column].chars().count()).max().unwrap_or(0).max(3)
            })
            .collect();

        let line = |cells: &[String]| {
            let mut line = String::from("|");
            for ((cell, &width), align) in cells.iter().zip(&widths).zip(&self.align) {
                line += &match align {
                    Align::Left => format!(" {cell:<width$} |"),
                    Align::Right => format!(" {cell:>width$} |"),
                };
            }
            line + "\n"
        };
        let rule: Vec<String> = widths
            .iter()
            .zip(&self.align)
            .map(|(&width, align)| match align {
                Align::Left => format!(":{}", "-".repeat(width - 1)),
                Align::Right => format!("{}:", "-".repeat(width - 1)),
            })
            .collect();
        let body: String = rows.iter().map(|row| line(row)).collect();
        line(&header) + &line(&rule) + &body
    }

    /// The table as comma-separated values after RFC 4180, with bare newlines.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let field = |cell: &String| {
            if cell.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell.clone()
            }
        };
        std::iter::once(&self.header)
            .chain(&self.rows)
            .map(|row| row.iter().map(field).collect::<Vec<_>>().join(",") + "\n")
            .collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fitted(WIDTH.load(Ordering::Relaxed)))
    }
}

impl Table {
    /// The table in lines of at most so many characters: if it is wider, intervals join their numbers,
    /// cells are wrapped, and columns left out from the last one on and named below.
    fn fitted(&self, most: usize) -> String {
        let columns = self.align.len();
        let whole = Sheet::of(self);
        let full: Vec<usize> = (0..columns).map(|column| whole.longest(column, length)).collect();
        if full.iter().sum::<usize>().saturating_add(frame(columns)) <= most {
            return whole.draw(&full).to_string();
        }
        let joined = self.joined();
        let sheet = Sheet::of(&joined);
        let columns = joined.align.len();
        // One column beside the names of rows has to do.
        let least = columns.min(2);
        let fitting = (least..=columns).rev().find_map(|columns| sheet.widths(columns, most));
        let widths = fitting.unwrap_or_else(|| sheet.least(least));
        let drawn = sheet.draw(&widths);
        match joined.header[widths.len()..].join("; ") {
            rest if rest.is_empty() => drawn.to_string(),
            rest => {
                let rest = format!("--wide shows more: {rest}");
                format!("{drawn}\n{}", wrapped(&rest, most, Align::Left))
            }
        }
    }
}

/// How many characters a line of a table has at most.
static WIDTH: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Lays all tables out for lines of so many characters from now on: cells are wrapped, and columns left
/// out from the last one on, which are then named below. For a program that knows its terminal; as
/// long as none says so, tables are as wide as they are.
pub fn fit_tables(columns: usize) {
    WIDTH.store(columns, Ordering::Relaxed);
}

/// The narrowest that a column is made for the sake of a word, which is cut if it is longer.
const NARROW: usize = 20;

/// After these a word may be broken.
const BREAKS: [char; 3] = ['.', '/', '_'];

/// A number of more characters than this is prose, and broken like that.
const PROSE: usize = 32;

/// What is drawn: a header and rows.
struct Sheet<'a> {
    cells: Vec<Vec<String>>,
    align: &'a [Align],
}

/// Characters of a line between and around so many columns.
fn frame(columns: usize) -> usize {
    3 * columns + 1
}

impl<'a> Sheet<'a> {
    /// The header and rows as a terminal may show them.
    fn of(table: &'a Table) -> Self {
        let shown = |cells: &Vec<String>| -> Vec<String> {
            cells.iter().map(|cell| escaped_lines(&cut(cell, MOST_QUOTED)).into_owned()).collect()
        };
        let cells = std::iter::once(&table.header).chain(&table.rows).map(shown).collect();
        Self { cells, align: &table.align }
    }

    /// The widths of the first so many columns, whose lines have at most `most` characters; none if
    /// there is no room for them.
    fn widths(&self, columns: usize, most: usize) -> Option<Vec<usize>> {
        let mut widths = self.least(columns);
        let mut spare = most.checked_sub(frame(columns) + widths.iter().sum::<usize>())?;
        // Words are given room before numbers, which can be read in two lines.
        for align in [Align::Left, Align::Right] {
            for column in (0..columns).filter(|&column| self.align[column] == align) {
                let full = self.longest(column, length);
                let more = spare.min(full - widths[column]);
                widths[column] += more;
                spare -= more;
            }
        }
        Some(widths)
    }

    /// The least widths of the first so many columns.
    fn least(&self, columns: usize) -> Vec<usize> {
        let least = |column: usize| {
            let (header, cells) = (&self.cells[0][column], &self.cells[1..]);
            let header = header.split([' ', '\n']).flat_map(|word| word.split_inclusive(BREAKS));
            let header = header.map(length).max().unwrap_or(0);
            let align = self.align[column];
            let parts = cells.iter().map(|row| longest_part(&row[column], align));
            let longest = parts.max().unwrap_or(0);
            let is_words = align == Align::Left;
            header.max(if is_words { longest.min(NARROW) } else { longest })
        };
        (0..columns).map(least).collect()
    }

    /// The largest measure of the header and cells of a column.
    fn longest(&self, column: usize, measure: impl Fn(&str) -> usize) -> usize {
        self.cells.iter().map(|row| measure(&row[column])).max().unwrap_or(0)
    }

    /// The first columns, as wide as they are told to be.
    fn draw(&self, widths: &[usize]) -> comfy_table::Table {
        let mut rows = self.cells.iter().enumerate().map(|(row, cells)| {
            let cell = |((cell, &width), &align): ((&String, &usize), &Align)| {
                wrapped(cell, width, if row == 0 { Align::Left } else { align })
            };
            cells.iter().zip(widths).zip(self.align).map(cell).collect::<Vec<String>>()
        });
        let mut table = comfy_table::Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header(rows.next().unwrap_or_default());
        table.add_rows(rows);
        for (column, align) in table.column_iter_mut().zip(self.align) {
            column.set_cell_alignment(match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
        table
    }
}

/// How many characters the longest line of a text has.
fn length(text: &str) -> usize {
    text.split('\n').map(|line| line.chars().count()).max().unwrap_or(0)
}

/// Where a line may be broken: words at every blank, a number only before what is in brackets.
fn parts(line: &str, align: Align) -> Vec<&str> {
    match (align, line.find(" (")) {
        (Align::Left, _) => line.split(' ').collect(),
        (Align::Right, _) if length(line) > PROSE => line.split(' ').collect(),
        (Align::Right, Some(at)) => vec![&line[..at], &line[at + 1..]],
        (Align::Right, None) => vec![line],
    }
}

fn longest_part(text: &str, align: Align) -> usize {
    text.split('\n').flat_map(|line| parts(line, align)).map(length).max().unwrap_or(0)
}

/// A text in lines of at most so many characters; a longer word is cut, after a point, a slash or an
/// underscore where it has one.
fn wrapped(text: &str, width: usize, align: Align) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    let mut lines: Vec<String> = Vec::new();
    for line in text.split('\n') {
        let mut current = String::new();
        for part in parts(line, align) {
            if !current.is_empty() && length(&current) + 1 + length(part) <= width {
                current.push(' ');
                current += part;
                continue;
            }
            if !current.is_empty() {
                lines.push(std::mem::take(&mut current));
            }
            let mut rest = part;
            while length(rest) > width.max(1) {
                let end = rest.char_indices().nth(width.max(1)).map_or(rest.len(), |(end, _)| end);
                let end = rest[..end].rfind(BREAKS).map_or(end, |at| at + 1);
                lines.push(rest[..end].to_owned());
                rest = &rest[end..];
            }
            current += rest;
        }
        lines.push(current);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(render: fn(&Table) -> String, expected: Expect) {
        let mut table = Table::new([("layer", Align::Left), ("σ, %", Align::Right)]);
        table.row(["fc3", "5.0"]);
        table.row(["a|b, \"c\"", "-12.5"]);
        expected.assert_eq(&render(&table));
    }

    #[test]
    fn zeros_have_no_sign() {
        for (text, expected) in [
            ("-0", "0"),
            ("-0.00 (-0.00 to 0.10)", "0.00 (0.00 to 0.10)"),
            ("-0.01 to -0.0", "-0.01 to 0.0"),
            ("out/x-0.0 -0-1 --0", "out/x-0.0 -0-1 --0"),
        ] {
            assert_eq!(unsigned_zeros(text.to_owned()), expected);
        }
    }

    #[test]
    fn intervals_join_their_numbers() {
        let mut table = Table::of(["layer", ">drop", INTERVAL, ">codes", INTERVAL]);
        table.row(["fc3", "0.5", "0.4 to 0.6", "7", "-"]);
        let joined = table.joined();
        assert_eq!(joined.header(), ["layer", "drop (95 % interval)", "codes (95 % interval)"]);
        assert_eq!(joined.align(), [Align::Left, Align::Right, Align::Right]);
        assert_eq!(joined.rows(), [["fc3", "0.5 (0.4 to 0.6)", "7"]]);
    }

    #[test]
    fn terminal() {
        check(
            Table::to_string,
            expect![[r#"
            ┌──────────┬───────┐
            │ layer    ┆  σ, % │
            ╞══════════╪═══════╡
            │ fc3      ┆   5.0 │
            │ a|b, "c" ┆ -12.5 │
            └──────────┴───────┘"#]],
        );
    }

    #[test]
    fn a_table_fits_a_terminal() {
        let mut table = Table::of(["mapping", ">drop", INTERVAL, ">reduction, %", ">cycles"]);
        table.row(["natural", "0.445", "0.228 to 0.671", "-", "1894.4"]);
        table.row(["out/best of all.map", "0.732", "0.409 to 1.144", "no difference", "9"]);
        for most in [90, 75, 60, 50, 40] {
            let text = table.fitted(most);
            assert!(text.lines().all(|line| length(line) <= most), "{most}:\n{text}");
        }
        assert_eq!(table.fitted(usize::MAX), table.to_string());
        expect![[r#"
            ┌─────────────────────┬───────┬────────────────┬───────────────┬────────┐
            │ mapping             ┆  drop ┆  95 % interval ┆  reduction, % ┆ cycles │
            ╞═════════════════════╪═══════╪════════════════╪═══════════════╪════════╡
            │ natural             ┆ 0.445 ┆ 0.228 to 0.671 ┆             - ┆ 1894.4 │
            │ out/best of all.map ┆ 0.732 ┆ 0.409 to 1.144 ┆ no difference ┆      9 │
            └─────────────────────┴───────┴────────────────┴───────────────┴────────┘"#]]
        .assert_eq(&table.fitted(75));
        expect![[r#"
            ┌─────────────┬──────────────────┬───────────────┐
            │ mapping     ┆       drop (95 % ┆  reduction, % │
            │             ┆        interval) ┆               │
            ╞═════════════╪══════════════════╪═══════════════╡
            │ natural     ┆            0.445 ┆             - │
            │             ┆ (0.228 to 0.671) ┆               │
            │ out/best of ┆            0.732 ┆ no difference │
            │ all.map     ┆ (0.409 to 1.144) ┆               │
            └─────────────┴──────────────────┴───────────────┘
            --wide shows more: cycles"#]]
        .assert_eq(&table.fitted(50));
    }

    #[test]
    fn words_are_broken_at_blanks_and_numbers_before_brackets() {
        assert_eq!(wrapped("one two three", 7, Align::Left), "one two\nthree");
        assert_eq!(wrapped("0.4 (0.2 to 0.6)", 12, Align::Right), "0.4\n(0.2 to 0.6)");
        assert_eq!(wrapped("abcdefg hi", 3, Align::Left), "abc\ndef\ng\nhi");
        let key = "programming.lrs_distribution";
        assert_eq!(wrapped(key, 20, Align::Left), "programming.lrs_\ndistribution");
        let claim = "45.24 %, exact; accuracy cost 0.100 points";
        assert_eq!(
            wrapped(claim, 20, Align::Right),
            "45.24 %, exact;\naccuracy cost 0.100\npoints"
        );
        assert_eq!(wrapped("short", 9, Align::Left), "short");
    }

    #[test]
    fn a_terminal_obeys_no_cell() {
        let mut table = Table::of(["name"]);
        table.row(["\u{1b}[2J\u{202e}".to_owned()]);
        table.row(["x".repeat(1_000_000)]);
        let text = table.to_string();
        assert!(text.contains("\\u{1b}[2J\\u{202e}") && !text.contains('\u{1b}'));
        assert!(text.len() < 3000, "{}", text.len());
    }

    #[test]
    fn markdown() {
        check(
            Table::to_markdown,
            expect![[r#"
            | layer     |  σ, % |
            | :-------- | ----: |
            | fc3       |   5.0 |
            | a\|b, "c" | -12.5 |
        "#]],
        );
    }

    #[test]
    fn csv() {
        check(
            Table::to_csv,
            expect![[r#"
            layer,"σ, %"
            fc3,5.0
            "a|b, ""c""",-12.5
        "#]],
        );
    }
}
