//! [`Array`]: what the resistance of lines leaves of the cells' currents (IR drop).
//!
//! Rows are driven at the side of column 0; bit lines are held at 0 V and read at that of row 0.
//! A cell that would carry current I at the full voltage carries f·I, where f + drop = 1 and the
//! drop, relative to the voltage, is that of the line that drives the row, on which all columns
//! draw current, and of the bit line, on which the rows that are on put theirs. The first is known
//! once a macro is programmed. The second depends on which rows are on; it is taken for that of a
//! full group of which the others conduct like the mean of the block's column, at the cell's own
//! place but for the factor [`NEARNESS`], which is fitted to a nodal solver.
//!
//! Assumed: rows that are off draw nothing (1T1R), cells are linear, the converter holds its bit
//! line at 0 V, and references see no drop. Cost: a few passes over the cells of a macro.
//! The tests (`tests/wires.rs`) hold it against a nodal solver.

use std::ops::Range;

use hafnia_cim::Wires;

/// How much nearer than a cell itself the other rows of its group are to the converter, as a factor
/// on their drop: fitted to the nodal solver over arrays of 128 rows of which 20 to 90 % are on, so
/// that the mean error vanishes, which `tests/wires.rs` checks.
const NEARNESS: f64 = 0.94;

/// Rounds of the fixed point f = 1 / (1 + drop(f) / f); each takes the error to about the drop's
/// share of it.
const ROUNDS: usize = 4;

/// The programmed cells of a macro.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    rows: usize,
    columns: usize,
    /// (row, column), in µS.
    cells: Vec<f64>,
    /// Rows and columns of every tile: rows of one tile are on together.
    pub blocks: Vec<(Range<usize>, Range<usize>)>,
}

impl Array {
    /// An array of cells that do not conduct, without blocks.
    pub fn new(rows: usize, columns: usize) -> Self {
        Self { rows, columns, cells: vec![0.0; rows * columns], blocks: Vec::new() }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Sets the conductance of a cell, in µS. What is below 0 is taken for 0.
    ///
    /// # Panics
    /// If there is no such cell.
    pub fn set_us(&mut self, row: usize, column: usize, us: f64) {
        assert!(row < self.rows && column < self.columns, "cell ({row}, {column})");
        self.cells[row * self.columns + column] = us.max(0.0);
    }

    /// The conductance of a cell, in µS.
    ///
    /// # Panics
    /// If there is no such cell.
    pub fn us(&self, row: usize, column: usize) -> f64 {
        self.cells[row * self.columns + column]
    }

    /// The share of its full current that every cell carries when `rows_on` rows of its block are
    /// on: (row, column), in 0..=1.
    pub fn shares(&self, wires: &Wires, rows_on: usize) -> Vec<f64> {
        let columns = self.columns;
        // ohm · µS
        let [of_row, of_column] = [wires.word_line_ohm, wires.bit_line_ohm].map(|r| r * 1e-6);
        let mut shares = vec![1.0; self.cells.len()];
        for _ in 0..ROUNDS {
            let currents: Vec<f64> = self.cells.iter().zip(&shares).map(|(g, f)| g * f).collect();
            let mut drops = vec![0.0; self.cells.len()];
            for (drops, currents) in drops.chunks_mut(columns).zip(currents.chunks(columns)) {
                add_row_drops(of_row, currents, drops);
            }
            for (rows, of_block) in &self.blocks {
                for column in of_block.clone() {
                    let at = |row: usize| row * columns + column;
                    let sum: f64 = rows.clone().map(|row| currents[at(row)]).sum();
                    for row in rows.clone() {
                        let own = currents[at(row)];
                        let others = (rows.len() - 1).max(1) as f64;
                        let on = rows_on.min(rows.len()).saturating_sub(1) as f64;
                        let shared = NEARNESS * on * (sum - own) / others;
                        drops[at(row)] += of_column * (row + 1) as f64 * (own + shared);
                    }
                }
            }
            for (share, drop) in shares.iter_mut().zip(drops) {
                *share /= *share + drop;
            }
        }
        shares
    }
}

/// Adds the drops along a row: that at column j is Σ over k of (min(j, k) + 1) · current k.
fn add_row_drops(ohm: f64, currents: &[f64], drops: &mut [f64]) {
    let mut through: f64 = currents.iter().sum();
    let mut drop = 0.0;
    for (current, sum) in currents.iter().zip(drops) {
        drop += ohm * through;
        *sum += drop;
        through -= current;
    }
}
