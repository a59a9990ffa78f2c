//! [`FaultMap`]: cells that are known to be stuck, from a CSV file.
//!
//! The header is `macro,row,column,state`, the state `LRS` or `HRS`; numbers count from 0. Blank
//! lines and lines that begin with `#` are skipped.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use hafnia_text::must;

use crate::csv::{Fault, lines, named, read};
use crate::error::CimError;

/// The largest number of a macro, row or column.
const LARGEST: u32 = 999_999;

/// The header of a fault map.
pub const FAULT_MAP_HEADER: &str = "macro,row,column,state";

/// Cells that are stuck on every chip, by their place; shared, and equal if path and cells are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FaultMap {
    path: String,
    cells: Arc<BTreeMap<[u32; 3], Stuck>>,
}

/// A cell of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stuck {
    is_lrs: bool,
    /// The line that lists it, from 1.
    line: usize,
}

impl FaultMap {
    /// Reads a map; the path `none` is that of no cells.
    ///
    /// # Errors
    /// [`CimError::Read`] if the file cannot be read, [`CimError::Csv`] naming line and fault: a
    /// number that is none, a state that is neither LRS nor HRS, a cell that is listed twice.
    pub fn load(path: &str) -> Result<Self, CimError> {
        if path == "none" {
            return Ok(Self::default());
        }
        let cells = named(path, parse(&read(Path::new(path))?))?;
        Ok(Self { path: path.to_owned(), cells: cells.into() })
    }

    /// Whether no cell is stuck.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The state, true for LRS, at which the cell is stuck; none if it is not.
    pub fn state(&self, macro_index: u32, row: u32, column: u32) -> Option<bool> {
        self.cells.get(&[macro_index, row, column]).map(|stuck| stuck.is_lrs)
    }

    /// The stuck cells: macro, row, column, and whether at LRS.
    pub fn iter(&self) -> impl Iterator<Item = ([u32; 3], bool)> + '_ {
        self.cells.iter().map(|(place, stuck)| (*place, stuck.is_lrs))
    }

    /// Checks that every cell lies on one of `macros` macros.
    ///
    /// # Errors
    /// [`CimError::Csv`] naming the first line whose cell does not.
    pub fn check_macros(&self, macros: usize) -> Result<(), CimError> {
        self.check(|[macro_index, ..]| {
            let is_there = (macro_index as usize) < macros;
            (!is_there).then(|| {
                format!(
                    "macro is {macro_index}, the mapping takes {macros}, counted from 0: leave the \
                     cells of others out"
                )
            })
        })
    }

    /// Checks that every cell lies within macros of this size.
    pub(crate) fn check_within(&self, rows: usize, columns: usize) -> Result<(), CimError> {
        self.check(|[_, row, column]| {
            let of_side = |side, at: u32, of: usize| {
                let is_there = (at as usize) < of;
                (!is_there).then(|| format!("{side} is {at}, it {} in this macro", must(0, of - 1)))
            };
            of_side("row", row, rows).or_else(|| of_side("column", column, columns))
        })
    }

    /// The fault of the first line that has one.
    fn check(&self, fault: impl Fn([u32; 3]) -> Option<String>) -> Result<(), CimError> {
        let faults = self.cells.iter().filter_map(|(at, stuck)| Some((stuck.line, fault(*at)?)));
        named(&self.path, faults.min().map_or(Ok(()), Err))
    }
}

impl fmt::Display for FaultMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.path.is_empty() { "none" } else { &self.path })
    }
}

fn parse(text: &str) -> Result<BTreeMap<[u32; 3], Stuck>, Fault> {
    let mut cells = BTreeMap::new();
    for line in lines(text, FAULT_MAP_HEADER)? {
        let number = |column| line.number(column, 0..=LARGEST);
        let place @ [macro_index, row, column] = [number(0)?, number(1)?, number(2)?];
        let stuck = Stuck { is_lrs: line.is_lrs(3)?, line: line.number };
        if cells.insert(place, stuck).is_some() {
            let fault = format!("macro {macro_index}, row {row}, column {column} is listed twice");
            return Err(line.fault(fault));
        }
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: Expect) {
        let (line, fault) = parse(text).unwrap_err();
        expected.assert_eq(&format!("{line}: {fault}"));
    }

    #[test]
    fn faults_are_named() {
        let cells = parse("# chip 3\nmacro,row,column,state\n0,1,2,LRS\n\n1, 0, 0, HRS\n").unwrap();
        assert!(cells[&[0, 1, 2]].is_lrs);
        assert!(!cells[&[1, 0, 0]].is_lrs);
        check(
            "row,column\n",
            expect!["1: the header is `row,column`, it must be `macro,row,column,state`"],
        );
        check("macro,row,column,state\n0,1,LRS", expect!["2: there are 3 fields, there must be 4"]);
        check(
            "macro,row,column,state\n0,,1,LRS",
            expect!["2: row is ``, it must lie in 0..=999999"],
        );
        check(
            "macro,row,column,state\n0,1,1,on",
            expect!["2: state is `on`, it must be LRS or HRS"],
        );
        check(
            "macro,row,column,state\n0,1,1,LRS\n0,1,1,HRS",
            expect!["3: macro 0, row 1, column 1 is listed twice"],
        );
    }

    #[test]
    fn cells_off_the_macro_are_named_by_their_line() {
        let cells = parse("macro,row,column,state\n7,1,1,LRS\n0,0,12,HRS\n0,16,0,LRS\n").unwrap();
        let map = FaultMap { path: "f.csv".to_owned(), cells: cells.into() };
        let check = |result: Result<(), CimError>, expected: Expect| {
            expected.assert_eq(&result.unwrap_err().to_string());
        };
        assert!(map.check_within(17, 13).is_ok() && map.check_macros(8).is_ok());
        check(
            map.check_within(16, 13),
            expect!["f.csv:4: row is 16, it must lie in 0..=15 in this macro"],
        );
        check(
            map.check_within(16, 12),
            expect!["f.csv:3: column is 12, it must lie in 0..=11 in this macro"],
        );
        check(
            map.check_macros(7),
            expect![
                "f.csv:2: macro is 7, the mapping takes 7, counted from 0: leave the cells of others out"
            ],
        );
    }
}
