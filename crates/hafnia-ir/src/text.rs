//! The text form of a mapping: `Display` prints it canonically, `FromStr` reads it.
//!
//! The grammar is in `docs/ir.md`. Words are separated by blanks and line breaks alike, and `#`
//! opens a comment to the end of the line; the layout is for the reader only. Reading refuses
//! numbers that are out of range where they stand, so that a short text cannot ask for much memory;
//! all else is left to [`verify`](crate::verify).

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::str::FromStr;

use hafnia_artifact::Digest;
use hafnia_model::{BitMatrix, HexError};

use crate::coding::Coding;
use crate::mapping::{
    Column, Geometry, Mapping, Matrix, MatrixId, Place, RowEntry, RowTable, Stage, Tile, TileId,
};
use crate::planes::Planes;

/// The version of the text form that is printed. Those before are read as well: version 1 had no
/// `pre-add`, `dead`, `weights` and `cells`, version 2 no `factors` and `inputs`.
const VERSION: u32 = 3;

/// Lines are broken before this column.
const WIDTH: usize = 100;

/// Runs of at least this many consecutive numbers are written `a..b`.
const MIN_RUN: usize = 3;

/// Where and how a text is not a mapping.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: expected {expected}, found {found}")]
pub struct TextError {
    /// The line, from 1.
    pub line: usize,
    /// The character within the line, from 1.
    pub column: usize,
    /// What should stand there.
    pub expected: String,
    /// What does.
    pub found: String,
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Geometry { name, rows, columns, cell_bits } = &self.geometry;
        writeln!(f, "hafnia-mapping {VERSION}")?;
        writeln!(f, "network {}", self.network)?;
        write!(f, "macro {} {rows}x{columns}", escape(name))?;
        if *cell_bits != 1 {
            write!(f, " cells {cell_bits}")?;
        }
        writeln!(f)?;
        writeln!(f, "stage {}", self.stage)?;
        for (index, matrix) in self.matrices.iter().enumerate() {
            let Matrix { name, rows, coding, inputs, dead, .. } = matrix;
            let (id, outputs) = (MatrixId(index as u32), matrix.outputs());
            write!(f, "matrix {id} {} {rows}x{outputs}", escape(name))?;
            let slices = coding.slices();
            if slices > 8 || *coding != Coding::odd(slices as u8) {
                write!(f, " {coding}")?;
            } else if slices > 1 {
                write!(f, " weights {slices}")?;
            }
            if let Some(inputs) = inputs {
                write!(f, " inputs {inputs}")?;
            }
            writeln!(f)?;
            if !dead.is_empty() {
                write_list(f, "dead", dead_items(dead))?;
            }
        }
        self.tiles().try_for_each(|(id, tile)| write_tile(f, id, tile))
    }
}

fn write_tile(f: &mut fmt::Formatter<'_>, id: TileId, tile: &Tile) -> fmt::Result {
    let Tile { matrix, replica, bits, .. } = tile;
    write!(f, "tile {id} {matrix} replica {replica} size {}x{}", bits.rows(), bits.columns())?;
    if tile.pre_add {
        write!(f, " pre-add")?;
    }
    if let Some(Place { macro_index, row, column }) = tile.place {
        write!(f, " at macro {macro_index} row {row} column {column}")?;
    }
    writeln!(f)?;
    write_list(f, "columns", column_items(&tile.columns))?;
    write_list(f, "rows", row_items(&tile.rows))?;
    writeln!(f, "  bits")?;
    (0..bits.rows()).try_for_each(|row| writeln!(f, "    {}", bits.row_hex(row)))
}

/// Writes items in lines that each begin with the keyword.
fn write_list(
    f: &mut fmt::Formatter<'_>,
    keyword: &str,
    items: impl Iterator<Item = String>,
) -> fmt::Result {
    let mut line = format!("  {keyword}");
    let empty = line.len();
    for item in items {
        if line.len() > empty && line.len() + 1 + item.len() > WIDTH {
            writeln!(f, "{line}")?;
            line.truncate(empty);
        }
        line.push(' ');
        line.push_str(&item);
    }
    writeln!(f, "{line}")
}

fn dead_items(rows: &[u32]) -> impl Iterator<Item = String> + '_ {
    let runs = rows.chunk_by(|a, b| a.checked_add(1) == Some(*b)).flat_map(short_runs_one_by_one);
    runs.map(|run| numbers(run[0], run.len()))
}

fn column_items(columns: &[Column]) -> impl Iterator<Item = String> + '_ {
    let follows = |a: &Column, b: &Column| {
        a.inverted == b.inverted && a.logical.checked_add(1) == Some(b.logical)
    };
    let runs = columns.chunk_by(follows).flat_map(short_runs_one_by_one);
    runs.map(|run| {
        let sign = if run[0].inverted { "~" } else { "" };
        format!("{sign}{}", numbers(run[0].logical, run.len()))
    })
}

fn row_items(rows: &RowTable) -> impl Iterator<Item = String> {
    let entries: Vec<RowEntry> = rows.iter().collect();
    let is_in_order = (0u32..).zip(&entries).all(|(row, entry)| entry.physical == row);
    let follows = |a: &RowEntry, b: &RowEntry| {
        a.negative == b.negative
            && a.logical.checked_add(1) == Some(b.logical)
            && a.physical.checked_add(1) == Some(b.physical)
    };
    let item = |run: &[RowEntry]| {
        let RowEntry { logical, physical, negative } = run[0];
        let sign = if negative { "-" } else { "" };
        let logical = numbers(logical, run.len());
        if is_in_order {
            format!("{sign}{logical}")
        } else {
            format!("{sign}{logical}:{}", numbers(physical, run.len()))
        }
    };
    let items: Vec<String> =
        entries.chunk_by(follows).flat_map(short_runs_one_by_one).map(item).collect();
    items.into_iter()
}

/// The run itself if it is long enough to be written as one, else its members.
fn short_runs_one_by_one<T>(run: &[T]) -> std::slice::Chunks<'_, T> {
    run.chunks(if run.len() >= MIN_RUN { run.len() } else { 1 })
}

/// One number, or a run of them with its end excluded.
fn numbers(first: u32, count: usize) -> String {
    match count {
        1 => first.to_string(),
        _ => format!("{first}..{}", u64::from(first) + count as u64),
    }
}

/// A name as one word: what is not plain is `%` and two hexadecimal digits a byte; the empty name
/// is a single `%`.
fn escape(name: &str) -> String {
    if name.is_empty() {
        return "%".to_owned();
    }
    let mut word = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"_-./+".contains(&byte) {
            word.push(byte.into());
        } else {
            write!(word, "%{byte:02x}").expect("a string takes anything");
        }
    }
    word
}

/// The name that [`escape`] writes as this word.
fn unescape(word: &str) -> Option<String> {
    if word == "%" {
        return Some(String::new());
    }
    let mut parts = word.split('%');
    let mut name = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        name.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
        name.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(name).ok()
}

impl FromStr for Mapping {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let mut words = Words { rest: text, line: 1, column: 1, list_left: Matrix::MAX_SIDE };
        words.keyword("hafnia-mapping")?;
        words.parse(format_args!("version 1 to {VERSION}"), |word| {
            number(word).filter(|version| (1..=VERSION).contains(version))
        })?;
        words.keyword("network")?;
        let network =
            words.parse("64 lower-case hexadecimal digits", |word| Digest::from_str(word).ok())?;
        words.keyword("macro")?;
        let (name, (rows, columns)) = words.named_size()?;
        let mut geometry = Geometry::new(name, rows, columns);
        if words.peek().text == "cells" {
            words.next();
            let is_width = |bits: &u8| [1, 2].contains(bits);
            geometry.cell_bits =
                words.parse("cells of 1 or 2 bits", |word| bits_of(word).filter(is_width))?;
        }
        words.keyword("stage")?;
        let stage = words.parse("`logical`, `tiled` or `placed`", |word| {
            Stage::ALL.into_iter().find(|stage| stage.name() == word)
        })?;
        let mut mapping =
            Self { stage, network, geometry, matrices: Vec::new(), tiles: Vec::new() };
        while words.peek().text == "matrix" {
            words.next();
            words.keyword(&MatrixId(mapping.matrices.len() as u32).to_string())?;
            let matrix = words.matrix()?;
            mapping.matrices.push(matrix);
        }
        while words.peek().text == "tile" {
            words.next();
            words.keyword(&TileId(mapping.tiles.len() as u32).to_string())?;
            let tile = words.tile(&mapping.matrices)?;
            mapping.tiles.push(tile);
        }
        match words.peek() {
            Word { text: "", .. } => Ok(mapping),
            word if mapping.tiles.is_empty() => Err(word.expected("`matrix`, `tile` or the end")),
            word => Err(word.expected("`tile` or the end")),
        }
    }
}

/// A word and where it stands; empty at the end of the text.
#[derive(Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    line: usize,
    column: usize,
}

impl Word<'_> {
    fn expected(self, expected: impl fmt::Display) -> TextError {
        const LONGEST: usize = 40;
        let found = match self.text {
            "" => "the end".to_owned(),
            text => {
                let shown: String = text.chars().take(LONGEST).collect();
                let dots = if shown.len() < text.len() { "…" } else { "" };
                format!("`{}{dots}`", shown.escape_debug())
            }
        };
        let (line, column) = (self.line, self.column);
        TextError { line, column, expected: expected.to_string(), found }
    }
}

/// Reads a text word by word.
struct Words<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
    /// Numbers that the lists of matrices may still hold, all together: a run is short whatever it
    /// stands for.
    list_left: usize,
}

impl<'a> Words<'a> {
    /// The next word, which stays the next.
    fn peek(&mut self) -> Word<'a> {
        while let Some(first) = self.rest.chars().next() {
            if first == '#' {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.advance(end);
            } else if first.is_whitespace() {
                self.advance(first.len_utf8());
            } else {
                break;
            }
        }
        let ends = |c: char| c.is_whitespace() || c == '#';
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        Word { text: &self.rest[..end], line: self.line, column: self.column }
    }

    fn next(&mut self) -> Word<'a> {
        let word = self.peek();
        self.advance(word.text.len());
        word
    }

    /// Skips `bytes` bytes.
    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        for c in passed.chars() {
            if c == '\n' {
                (self.line, self.column) = (self.line + 1, 1);
            } else {
                self.column += 1;
            }
        }
        self.rest = rest;
    }

    /// Takes a word that `parse` knows how to read.
    fn parse<T>(
        &mut self,
        expected: impl fmt::Display,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, TextError> {
        let word = self.next();
        parse(word.text).ok_or_else(|| word.expected(expected))
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), TextError> {
        self.parse(format_args!("`{keyword}`"), |word| (word == keyword).then_some(()))
    }

    /// A keyword and a number.
    fn field(&mut self, keyword: &str) -> Result<u32, TextError> {
        self.keyword(keyword)?;
        self.parse(format_args!("a number in 0..={}", u32::MAX), number)
    }

    /// A name and a size.
    fn named_size(&mut self) -> Result<(String, (usize, usize)), TextError> {
        let name = self.parse("a name", |word| (!word.is_empty()).then(|| unescape(word))?)?;
        Ok((name, self.size()?))
    }

    /// A matrix, without its keyword and id.
    fn matrix(&mut self) -> Result<Matrix, TextError> {
        let (name, (rows, outputs)) = self.named_size()?;
        let coding = match self.peek().text {
            "weights" => {
                self.next();
                let is_width = |&bits: &u8| {
                    (1..=8).contains(&bits) && Matrix::is_size(rows, outputs * usize::from(bits))
                };
                let expected = "weights of 1 to 8 bits, of no more cells than a matrix may have";
                Coding::odd(self.parse(expected, |word| bits_of(word).filter(is_width))?)
            }
            "factors" => {
                let fits = |slices| Matrix::is_size(rows, outputs * slices);
                self.coding(Coding::MOST_SLICES, fits)?
            }
            _ => Coding::odd(1),
        };
        let mut matrix = Matrix::coded(name, rows, outputs, coding);
        if self.peek().text == "inputs" {
            self.next();
            matrix.inputs = Some(self.coding(Planes::MOST_CODED, |_| true)?);
        }
        matrix.dead = self.dead_rows(rows)?;
        Ok(matrix)
    }

    /// A coding of at most so many slices, each of which has room, from its keyword `factors` on.
    fn coding(
        &mut self,
        most_slices: usize,
        fits: impl Fn(usize) -> bool,
    ) -> Result<Coding, TextError> {
        self.keyword("factors")?;
        let mut factors: Vec<i32> = Vec::new();
        let most = Coding::LARGEST;
        while factors.is_empty() || self.peek().text != "offset" {
            let slices = factors.len() + 1;
            let is_factor = |factor: &i32| {
                let is_within = *factor != 0 && factor.abs() <= most;
                is_within && slices <= most_slices && fits(slices)
            };
            let expected = format_args!(
                "a factor in -{most}..={most} but 0, at most {most_slices}, of no more cells than a matrix may have, or `offset`"
            );
            let factor = self.parse(expected, |word| integer(word).filter(is_factor))?;
            factors.push(factor);
        }
        self.keyword("offset")?;
        let expected = format_args!("an offset in -{most}..={most}");
        self.parse(expected, |word| {
            integer(word).and_then(|offset| Coding::new(factors.clone(), offset).ok())
        })
    }

    /// The dead rows of a matrix of so many rows: lists after the keyword `dead`, if there are any.
    fn dead_rows(&mut self, rows: usize) -> Result<Vec<u32>, TextError> {
        let mut dead = Vec::new();
        let mut goes_on = self.peek().text == "dead";
        while goes_on {
            if self.peek().text == "dead" {
                self.next();
            }
            let left = self.list_left.min(rows - dead.len());
            let expected =
                format_args!("a dead row or run in 0..={}, at most {left} more", rows - 1);
            let run = self
                .parse(expected, |word| run_within(word, rows).filter(|run| run.len() <= left))?;
            self.list_left -= run.len();
            dead.extend(run);
            let next = self.peek().text;
            goes_on = next == "dead" || next.starts_with(|c: char| c.is_ascii_digit());
        }
        Ok(dead)
    }

    fn size(&mut self) -> Result<(usize, usize), TextError> {
        let (side, cells) = (Matrix::MAX_SIDE, Matrix::MAX_CELLS);
        let expected = format!("ROWSxCOLUMNS, each in 1..={side}, together at most {cells} cells");
        self.parse(expected, |word| {
            let (rows, columns) = word.split_once('x')?;
            let (rows, columns) = (number(rows)? as usize, number(columns)? as usize);
            Matrix::is_size(rows, columns).then_some((rows, columns))
        })
    }

    /// A tile, without its keyword and id.
    fn tile(&mut self, matrices: &[Matrix]) -> Result<Tile, TextError> {
        let expected = format!("a matrix, m0 to m{}", matrices.len().saturating_sub(1));
        let (matrix, of) = self.parse(expected, |word| {
            let matrix = MatrixId(number(word.strip_prefix('m')?)?);
            Some((matrix, matrices.get(matrix.index())?))
        })?;
        let replica = self.field("replica")?;
        self.keyword("size")?;
        let word = self.peek();
        let (rows, columns) = self.size()?;
        // A digit holds four cells: a short text cannot ask for large tiles.
        if rows * columns.div_ceil(4) > self.rest.len() {
            let left = self.rest.len();
            return Err(word.expected(format_args!("no more cells than {left} characters hold")));
        }
        let pre_add = self.peek().text == "pre-add";
        if pre_add {
            self.next();
        }
        let place = match self.peek().text {
            "at" => {
                self.next();
                let macro_index = self.field("macro")?;
                let (row, column) = (self.field("row")?, self.field("column")?);
                Some(Place { macro_index, row, column })
            }
            _ => None,
        };
        let columns = self.columns(columns, of)?;
        let table = self.rows(rows, of)?;
        let bits = self.bits(rows, columns.len())?;
        Ok(Tile { matrix, replica, bits, rows: table, columns, pre_add, place })
    }

    /// Exactly `count` columns.
    fn columns(&mut self, count: usize, of: &Matrix) -> Result<Vec<Column>, TextError> {
        self.keyword("columns")?;
        let mut columns = Vec::new();
        while columns.len() < count {
            if self.peek().text == "columns" {
                self.next();
                continue;
            }
            let (left, last) = (count - columns.len(), of.columns - 1);
            let expected = format_args!("a column or run in 0..={last}, {left} more in all");
            let (inverted, run) = self.parse(expected, |word| {
                let (inverted, word) = signed('~', word);
                let run = run_within(word, of.columns)?;
                (run.len() <= left).then_some((inverted, run))
            })?;
            columns.extend(run.map(|logical| Column { logical, inverted }));
        }
        Ok(columns)
    }

    /// Entries up to the keyword `bits`, for a tile with `physical_rows` physical rows.
    fn rows(&mut self, physical_rows: usize, of: &Matrix) -> Result<RowTable, TextError> {
        self.keyword("rows")?;
        let mut table = RowTable::default();
        loop {
            match self.peek().text {
                "bits" => return Ok(table),
                "rows" => {
                    self.next();
                    continue;
                }
                _ => {}
            }
            let (position, left) = (table.len() as u32, of.rows - table.len());
            let (last, last_physical) = (of.rows - 1, physical_rows - 1);
            let expected = format_args!(
                "`bits`, or at most {left} more LOGICAL:PHYSICAL of 0..={last}:0..={last_physical}"
            );
            let (negative, logical, physical) = self.parse(expected, |word| {
                let (negative, word) = signed('-', word);
                let (logical, physical) = match word.split_once(':') {
                    Some((logical, physical)) => {
                        (run_within(logical, of.rows)?, run_within(physical, physical_rows)?)
                    }
                    None => {
                        let logical = run_within(word, of.rows)?;
                        let end = position + logical.len() as u32;
                        (logical, position..end)
                    }
                };
                let fits = logical.len() == physical.len()
                    && logical.len() <= left
                    && physical.end as usize <= physical_rows;
                fits.then_some((negative, logical, physical))
            })?;
            for (logical, physical) in logical.zip(physical) {
                table.push(RowEntry { logical, physical, negative });
            }
        }
    }

    /// The keyword `bits` and a word a row.
    fn bits(&mut self, rows: usize, columns: usize) -> Result<BitMatrix, TextError> {
        self.keyword("bits")?;
        let mut bits = BitMatrix::zeros(rows, columns);
        for row in 0..rows {
            let word = self.next();
            bits.set_row_hex(row, word.text).map_err(|error| match error {
                HexError::Beyond { last_column } => {
                    word.expected(format_args!("no bit beyond column {last_column}"))
                }
                _ => word.expected(format_args!(
                    "row {row} as hexadecimal digits (0-9, a-f), length {}",
                    columns.div_ceil(4)
                )),
            })?;
        }
        Ok(bits)
    }
}

/// A decimal number.
fn number(word: &str) -> Option<u32> {
    // `parse` alone would take a sign.
    word.bytes().all(|digit| digit.is_ascii_digit()).then(|| word.parse().ok())?
}

/// A decimal number, perhaps below 0.
fn integer(word: &str) -> Option<i32> {
    let (is_negative, rest) = signed('-', word);
    let magnitude = i32::try_from(number(rest)?).ok()?;
    Some(if is_negative { -magnitude } else { magnitude })
}

/// A number of bits.
fn bits_of(word: &str) -> Option<u8> {
    number(word)?.try_into().ok()
}

/// Whether the word has this sign in front, and the rest of it.
fn signed(sign: char, word: &str) -> (bool, &str) {
    match word.strip_prefix(sign) {
        Some(rest) => (true, rest),
        None => (false, word),
    }
}

/// A number or a run of them, all below `limit`.
fn run_within(word: &str, limit: usize) -> Option<Range<u32>> {
    let run = match word.split_once("..") {
        Some((start, end)) => number(start)?..number(end)?,
        None => {
            let number = number(word)?;
            number..number.checked_add(1)?
        }
    };
    (!run.is_empty() && run.end as usize <= limit).then_some(run)
}
