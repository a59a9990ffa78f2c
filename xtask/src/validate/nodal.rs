//! Kirchhoff's laws for the lines of an array, solved: what the fast model of IR drop is held against,
//! here and in `crates/hafnia-sim/tests/wires.rs`.

use hafnia_cim::Wires;
use hafnia_sim::Array;

/// The currents, in µA at 1 V, that the columns carry when the rows `on`, ascending, are on.
///
/// Kirchhoff's current law at every node of the lines. Nodes are the crossings of rows that are on,
/// (row, column): of the row's line, then of the bit line, so that a node meets none that is more than
/// a row of crossings away.
///
/// # Panics
/// If a line has no resistance, or there is no such row.
pub(crate) fn nodal_currents(array: &Array, wires: &Wires, on: &[usize]) -> Vec<f64> {
    let columns = array.columns();
    assert!(wires.word_line_ohm > 0.0 && wires.bit_line_ohm > 0.0, "a line without resistance");
    let nodes = 2 * on.len() * columns;
    let mut matrix = vec![vec![0.0; nodes]; nodes];
    let mut source = vec![0.0; nodes];
    let mut join = |a: usize, b: Option<usize>, us: f64| {
        matrix[a][a] += us;
        if let Some(b) = b {
            matrix[b][b] += us;
            matrix[a.max(b)][a.min(b)] -= us;
        }
    };
    let [of_row, of_column] = [wires.word_line_ohm, wires.bit_line_ohm].map(|ohm| 1e6 / ohm);
    let at = |index: usize, column: usize| 2 * (index * columns + column);
    for (index, &row) in on.iter().enumerate() {
        for column in 0..columns {
            let (word, bit) = (at(index, column), at(index, column) + 1);
            join(bit, Some(word), array.us(row, column));
            join(word, (column > 0).then(|| word - 2), of_row);
            if column == 0 {
                source[word] += of_row;
            }
            // Segments between rows that are on are in series; the last leads to the converter.
            let below = index.checked_sub(1);
            let segments = below.map_or(row + 1, |below| row - on[below]);
            let next = below.map(|below| at(below, column) + 1);
            join(bit, next, of_column / segments as f64);
        }
    }
    let voltages = solve(matrix, source, 2 * columns);
    let current = |column: usize| {
        let through = |(index, &row): (usize, &usize)| {
            let word = at(index, column);
            array.us(row, column) * (voltages[word] - voltages[word + 1])
        };
        on.iter().enumerate().map(through).sum()
    };
    (0..columns).map(current).collect()
}

/// Solves A·x = b by a Cholesky decomposition, given the lower half of A, which is positive definite and
/// holds nothing more than `band` places from its diagonal.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>, band: usize) -> Vec<f64> {
    for i in 0..b.len() {
        let first = i.saturating_sub(band);
        for j in first..=i {
            let known: f64 = (first..j).map(|k| a[i][k] * a[j][k]).sum();
            let left = a[i][j] - known;
            a[i][j] = if i == j { left.sqrt() } else { left / a[j][j] };
        }
        let known: f64 = (first..i).map(|k| a[i][k] * b[k]).sum();
        b[i] = (b[i] - known) / a[i][i];
    }
    for i in (0..b.len()).rev() {
        b[i] /= a[i][i];
        for k in i.saturating_sub(band)..i {
            b[k] -= a[i][k] * b[i];
        }
    }
    b
}
