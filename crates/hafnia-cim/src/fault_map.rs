//! [`FaultMap`]: cells that are known to be stuck, from a CSV file.
//!
//! The header is `macro,row,column,state`, the state `LRS` or `HRS`; numbers count from 0. Blank
//! lines and lines that begin with `#` are skipped.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::csv::{Fault, lines, named, read};
use crate::error::CimError;

/// The header of a fault map.
pub const FAULT_MAP_HEADER: &str = "macro,row,column,state";

/// Cells that are stuck on every chip, by their place; shared, and equal if path and cells are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FaultMap {
    path: String,
    cells: Arc<BTreeMap<[u32; 3], bool>>,
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
        self.cells.get(&[macro_index, row, column]).copied()
    }

    /// The stuck cells: macro, row, column, and whether at LRS.
    pub fn iter(&self) -> impl Iterator<Item = ([u32; 3], bool)> + '_ {
        self.cells.iter().map(|(place, lrs)| (*place, *lrs))
    }
}

impl fmt::Display for FaultMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.path.is_empty() { "none" } else { &self.path })
    }
}

fn parse(text: &str) -> Result<BTreeMap<[u32; 3], bool>, Fault> {
    let mut cells = BTreeMap::new();
    for line in lines(text, FAULT_MAP_HEADER)? {
        let number = |column| line.number(column, 0..=u32::MAX);
        let place @ [macro_index, row, column] = [number(0)?, number(1)?, number(2)?];
        if cells.insert(place, line.is_lrs(3)?).is_some() {
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
        assert!(cells[&[0, 1, 2]]);
        assert!(!cells[&[1, 0, 0]]);
        check(
            "row,column\n",
            expect!["1: the header is `row,column`, it must be `macro,row,column,state`"],
        );
        check("macro,row,column,state\n0,1,LRS", expect!["2: there are 3 fields, there must be 4"]);
        check(
            "macro,row,column,state\n0,,1,LRS",
            expect!["2: row is ``, it must be a number in 0..=4294967295"],
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
}
