//! The cells of macros, and which logical rows their rows hold: what a picture of a mapping needs.
//!
//! It is plain data: where it comes from is the caller's business, and this crate knows no mapping.

use hafnia_text::{must, quoted};
use serde::{Deserialize, Serialize};

use crate::error::ReportError;

/// The most rows and columns of a macro.
const MOST_SIDE: usize = 4096;

/// Mappings of one network side by side, cell by cell; the first is the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellMap {
    /// Name of the file that holds the layouts, without `.json`; unique in a report.
    pub name: String,
    /// What it shows, in a sentence.
    pub caption: String,
    /// The mappings.
    #[serde(skip)]
    pub layouts: Vec<Layout>,
}

/// How a network lies on macros of one size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// What made it, such as `rename`.
    pub name: String,
    /// Physical rows of a macro.
    pub rows: usize,
    /// Columns of a macro.
    pub columns: usize,
    /// The blocks of cells, each on one macro.
    pub blocks: Vec<Block>,
}

/// Cells that belong to one matrix and lie in neighbouring rows and columns of one macro.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Name of the matrix.
    pub matrix: String,
    /// Which macro it lies on, from 0.
    pub macro_index: usize,
    /// Row of the macro in which it begins.
    pub row: usize,
    /// Column of the macro in which it begins.
    pub column: usize,
    /// Its physical rows, from the top.
    pub cells: Vec<CellRow>,
}

/// A physical row of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellRow {
    /// A character a cell: `1` is a cell of low resistance, `0` one of high resistance.
    pub bits: String,
    /// Logical rows of the matrix that it holds.
    pub logical: Vec<usize>,
    /// Logical rows whose complement it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub complemented: Vec<usize>,
}

impl CellRow {
    /// How many logical rows it holds.
    #[must_use]
    pub fn held(&self) -> usize {
        self.logical.len() + self.complemented.len()
    }

    /// All logical rows that it holds, ascending.
    #[must_use]
    pub fn all(&self) -> Vec<usize> {
        let mut all = [self.logical.as_slice(), &self.complemented].concat();
        all.sort_unstable();
        all
    }
}

impl Block {
    /// How many columns it has.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.cells.first().map_or(0, |row| row.bits.len())
    }
}

impl Layout {
    /// How many macros it takes.
    #[must_use]
    pub fn macros(&self) -> usize {
        self.blocks.iter().map(|block| block.macro_index + 1).max().unwrap_or(0)
    }

    /// How many physical rows hold several logical rows.
    #[must_use]
    pub fn shared_rows(&self) -> usize {
        self.blocks.iter().flat_map(|block| &block.cells).filter(|row| row.held() > 1).count()
    }

    /// Checks that it can be drawn.
    ///
    /// # Errors
    /// [`ReportError::Empty`] without blocks or with an empty one; [`ReportError::Length`] if the
    /// rows of a block differ in length; [`ReportError::Invalid`] for a cell that is neither 0
    /// nor 1, or if a block does not lie on its macro.
    pub fn check(&self) -> Result<(), ReportError> {
        let Self { name, rows, columns, blocks } = self;
        if blocks.is_empty() {
            return Err(ReportError::Empty { what: format!("layout {}", quoted(name)) });
        }
        for (what, side) in [("rows", *rows), ("columns", *columns)] {
            if !(1..=MOST_SIDE).contains(&side) {
                return Err(ReportError::Invalid(format!(
                    "{what} of layout {} is {side}, it {}",
                    quoted(name),
                    must(1, MOST_SIDE)
                )));
            }
        }
        for (index, block) in blocks.iter().enumerate() {
            let what =
                || format!("block {index} ({}) of layout {}", quoted(&block.matrix), quoted(name));
            // Every macro holds a block.
            if block.macro_index >= blocks.len() {
                return Err(ReportError::Invalid(format!(
                    "{} lies on macro {}, it {}: every macro holds a block",
                    what(),
                    block.macro_index,
                    must(0, blocks.len() - 1)
                )));
            }
            let expected = block.columns();
            if expected == 0 {
                return Err(ReportError::Empty { what: what() });
            }
            for row in &block.cells {
                let len = row.bits.chars().count();
                if len != expected {
                    return Err(ReportError::Length { what: what(), len, expected });
                }
                if let Some(cell) = row.bits.chars().find(|cell| !matches!(cell, '0' | '1')) {
                    return Err(ReportError::Invalid(format!(
                        "{} has a cell `{cell}`, it must be 0 or 1",
                        what()
                    )));
                }
            }
            for (side, start, len, of) in [
                ("row", block.row, block.cells.len(), *rows),
                ("column", block.column, expected, *columns),
            ] {
                if start.checked_add(len).is_none_or(|end| end > of) {
                    return Err(ReportError::Invalid(format!(
                        "{} takes {len} from {side} {start}, a macro has {of}",
                        what()
                    )));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A block of these rows: bits and logical rows.
    pub(crate) fn block(matrix: &str, row: usize, cells: &[(&str, &[usize])]) -> Block {
        let cells = cells.iter().map(|&(bits, logical)| CellRow {
            bits: bits.to_owned(),
            logical: logical.to_vec(),
            complemented: Vec::new(),
        });
        Block { matrix: matrix.to_owned(), macro_index: 0, row, column: 1, cells: cells.collect() }
    }

    /// A matrix of four rows before and after rename, on a macro of 6 × 5.
    pub(crate) fn layouts() -> Vec<Layout> {
        let of = |name: &str, blocks| Layout { name: name.to_owned(), rows: 6, columns: 5, blocks };
        let natural =
            block("fc<3>", 0, &[("101", &[0]), ("011", &[1]), ("101", &[2]), ("000", &[3])]);
        let renamed = block("fc<3>", 2, &[("101", &[0, 2]), ("011", &[1]), ("000", &[3])]);
        vec![of("natural", vec![natural]), of("rename", vec![renamed])]
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Layout), expected: &str) {
        let mut layout = layouts().remove(0);
        change(&mut layout);
        assert_eq!(layout.check().unwrap_err().to_string(), expected);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        layouts().iter().for_each(|layout| layout.check().unwrap());
        check(|layout| layout.blocks.clear(), "layout `natural` is empty");
        let what = "block 0 (`fc<3>`) of layout `natural`";
        for macro_index in [1, 300_000, usize::MAX] {
            check(
                |layout| layout.blocks[0].macro_index = macro_index,
                &format!(
                    "{what} lies on macro {macro_index}, it must be 0: every macro holds a block"
                ),
            );
        }
        check(
            |layout| layout.columns = usize::MAX,
            &format!("columns of layout `natural` is {}, it must lie in 1..=4096", usize::MAX),
        );
        check(|layout| layout.blocks[0].cells.clear(), &format!("{what} is empty"));
        check(
            |layout| layout.blocks[0].cells[1].bits.push('1'),
            &format!("{what} has 4 elements, it must have 3"),
        );
        check(
            |layout| layout.blocks[0].cells[1].bits = "0x1".to_owned(),
            &format!("{what} has a cell `x`, it must be 0 or 1"),
        );
        check(
            |layout| layout.blocks[0].row = 3,
            &format!("{what} takes 4 from row 3, a macro has 6"),
        );
        check(
            |layout| layout.blocks[0].column = usize::MAX,
            &format!("{what} takes 3 from column {}, a macro has 5", usize::MAX),
        );
    }

    #[test]
    fn shared_rows_are_counted() {
        assert_eq!(layouts().iter().map(Layout::shared_rows).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(layouts()[0].macros(), 1);
    }
}
