//! [`Array::nodal_currents`]: Kirchhoff's laws for the lines of an array, solved; what the fast model
//! of IR drop is held against.

use hafnia_cim::Wires;
use nalgebra::{DMatrix, DVector};

use crate::Array;

impl Array {
    /// The currents, in µA at 1 V, that the columns carry when the rows `on`, ascending, are on.
    ///
    /// Kirchhoff's current law at every node of the lines, solved by a Cholesky decomposition, which
    /// grows with the third power of the nodes: for some hundred of them. Nodes are the crossings of
    /// rows that are on: of the row's line, (row, column), then of the bit line.
    ///
    /// # Panics
    /// If a line has no resistance, or there is no such row.
    pub fn nodal_currents(&self, wires: &Wires, on: &[usize]) -> Vec<f64> {
        let (columns, nodes) = (self.columns(), on.len() * self.columns());
        assert!(wires.word_line_ohm > 0.0 && wires.bit_line_ohm > 0.0, "a line without resistance");
        let mut matrix = DMatrix::<f64>::zeros(2 * nodes, 2 * nodes);
        let mut source = DVector::<f64>::zeros(2 * nodes);
        let mut join = |a: usize, b: Option<usize>, us: f64| {
            matrix[(a, a)] += us;
            if let Some(b) = b {
                matrix[(b, b)] += us;
                matrix[(a, b)] -= us;
                matrix[(b, a)] -= us;
            }
        };
        let [of_row, of_column] = [wires.word_line_ohm, wires.bit_line_ohm].map(|ohm| 1e6 / ohm);
        for (index, &row) in on.iter().enumerate() {
            for column in 0..columns {
                let at = index * columns + column;
                join(at, Some(nodes + at), self.us(row, column));
                join(at, (column > 0).then(|| at - 1), of_row);
                if column == 0 {
                    source[at] += of_row;
                }
                // Segments between rows that are on are in series; the last leads to the converter.
                let below = index.checked_sub(1).map(|index| on[index]);
                let segments =
                    (row - below.unwrap_or(0)) as f64 + f64::from(u8::from(below.is_none()));
                let next = below.map(|_| nodes + at - columns);
                join(nodes + at, next, of_column / segments);
            }
        }
        let voltages = matrix.cholesky().expect("a resistive network is positive definite");
        let voltages = voltages.solve(&source);
        let current = |column: usize| {
            let through = |(index, &row): (usize, &usize)| {
                let at = index * columns + column;
                self.us(row, column) * (voltages[at] - voltages[nodes + at])
            };
            on.iter().enumerate().map(through).sum()
        };
        (0..columns).map(current).collect()
    }
}
