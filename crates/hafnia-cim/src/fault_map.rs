//! [`FaultMap`]: cells that are known to be stuck, from a CSV file.
//!
//! The header is `macro,row,column,state`, the state `LRS` or `HRS`; numbers count from 0. Blank
//! lines and lines that begin with `#` are skipped.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::csv::{Line, lines};
use crate::{CimError, CsvFault};

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
    /// number that is none, a state that is neither LRS nor HRS, a cell that stands there twice.
    pub fn load(path: &str) -> Result<Self, CimError> {
        if path == "none" {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(Path::new(path))
            .map_err(|source| CimError::Read { path: path.into(), source })?;
        let cells = parse(&text).map_err(|(line, fault)| CimError::Csv {
            name: path.to_owned(),
            line,
            fault,
        })?;
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

fn parse(text: &str) -> Result<BTreeMap<[u32; 3], bool>, (usize, CsvFault)> {
    let mut cells = BTreeMap::new();
    for Line { number, fields } in lines(text, FAULT_MAP_HEADER)? {
        let cell = |fields: &[&str]| -> Result<([u32; 3], bool), CsvFault> {
            let mut place = [0; 3];
            for ((place, text), column) in
                place.iter_mut().zip(fields).zip(["macro", "row", "column"])
            {
                let wrong = |_| CsvFault::value(column, text, "a whole number from 0");
                *place = text.parse().map_err(wrong)?;
            }
            match fields[3] {
                "LRS" => Ok((place, true)),
                "HRS" => Ok((place, false)),
                other => Err(CsvFault::value("state", other, "LRS or HRS")),
            }
        };
        let (place, state) = cell(&fields).map_err(|fault| (number, fault))?;
        if cells.insert(place, state).is_some() {
            let [macro_index, row, column] = place;
            let what = format!("macro {macro_index}, row {row}, column {column}");
            return Err((number, CsvFault::Twice { what }));
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
        check("macro,row,column,state\n0,1,LRS", expect!["2: there are 3 fields, it must be 4"]);
        check(
            "macro,row,column,state\n0,,1,LRS",
            expect!["2: row is ``, it must be a whole number from 0"],
        );
        check(
            "macro,row,column,state\n0,1,1,on",
            expect!["2: state is `on`, it must be LRS or HRS"],
        );
        check(
            "macro,row,column,state\n0,1,1,LRS\n0,1,1,HRS",
            expect!["3: macro 0, row 1, column 1 stands there twice"],
        );
    }
}
