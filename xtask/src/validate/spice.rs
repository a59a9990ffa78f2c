//! Blocks of cells with resistive lines by ngspice, by the nodal solver and by the fast model.
//!
//! A netlist holds what the solver is told of: a source at every row that is on, the segments of the
//! row's line and of the bit lines, the cells, and at the foot of every bit line a source of 0 V
//! whose current is the column's. Solver and ngspice must agree to [`TOLERANCE`]. The fast model is
//! held to its stated bound: along bit lines an error of at most 0.336 times the mean drop, at the
//! root of the mean square (`crates/hafnia-sim/tests/wires.rs` derives it).

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use hafnia_cim::Wires;
use hafnia_report::{Align, Table};
use hafnia_rng::Seed;
use hafnia_sim::Array;
use rand::RngExt;

use super::nodal::nodal_currents;

/// Relative difference of a column's current.
const TOLERANCE: f64 = 1e-6;
/// Root of the mean square error of the fast model as a share of the mean drop.
const BOUND: f64 = 0.336;
const PROGRAM: &str = "ngspice";

/// Rows, columns, rows that are on, and ohm a segment along bit lines and along rows.
const BLOCKS: [(usize, usize, usize, [f64; 2]); 4] = [
    (8, 4, 3, [5.0, 2.0]),
    (32, 8, 7, [2.0, 1.0]),
    (128, 16, 7, [2.0, 0.01]),
    (128, 32, 7, [1.0, 1.0]),
];

/// Whether ngspice can be run.
pub(crate) fn is_there() -> bool {
    let mut version = Command::new(PROGRAM);
    let version = version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

pub(crate) fn run() -> anyhow::Result<()> {
    if !is_there() {
        bail!("{PROGRAM} is missing: it is a package of Debian by that name");
    }
    let mut table = Table::new(
        ["rows × columns", "on", "Ω a segment, bit line", "row"]
            .map(|name| (name, Align::Left))
            .into_iter()
            .chain(
                ["ngspice and solver differ by", "mean drop, LSB", "fast model, rms error, LSB"]
                    .map(|name| (name, Align::Right)),
            ),
    );
    for (index, &(rows, columns, count, [bit_line_ohm, word_line_ohm])) in BLOCKS.iter().enumerate()
    {
        let seed = Seed(1).site("validate/spice").index(index as u64);
        let wires = Wires { bit_line_ohm, word_line_ohm, g_lrs_us: 100.0 };
        let (array, on) = block(rows, columns, count, seed);
        let ours = nodal_currents(&array, &wires, &on);
        let theirs = simulate(&netlist(&array, &wires, &on))?;
        ensure!(theirs.len() == columns, "{PROGRAM} printed {} currents", theirs.len());
        let relative = |(a, b): (&f64, &f64)| ((a - b) / b).abs();
        let worst = ours.iter().zip(&theirs).map(relative).fold(0.0, f64::max);
        ensure!(
            worst <= TOLERANCE,
            "{rows}×{columns}: {PROGRAM} and the nodal solver differ by {worst:.1e}"
        );
        let lsb = 100.0 * (1.0 - 1.0 / 17.0);
        let shares = array.shares(&wires, count);
        let sum = |column: usize, share: &dyn Fn(usize) -> f64| -> f64 {
            on.iter().map(|&row| array.us(row, column) * share(row * columns + column)).sum()
        };
        let (mut drop, mut square) = (0.0, 0.0);
        for (column, current) in theirs.iter().enumerate() {
            drop += (sum(column, &|_| 1.0) - current) / lsb / columns as f64;
            let error = (sum(column, &|at| shares[at]) - current) / lsb;
            square += error * error / columns as f64;
        }
        let rms = f64::sqrt(square);
        ensure!(rms <= BOUND * drop, "{rows}×{columns}: the fast model is off by {rms} of {drop}");
        table.row([
            format!("{rows}×{columns}"),
            count.to_string(),
            bit_line_ohm.to_string(),
            word_line_ohm.to_string(),
            format!("{worst:.1e}"),
            format!("{drop:.4}"),
            format!("{rms:.4}"),
        ]);
    }
    print!("{}", table.to_markdown());
    Ok(())
}

/// Random bits at 100 µS, on/off ratio 17, as one block, and rows that are on.
fn block(rows: usize, columns: usize, count: usize, seed: Seed) -> (Array, Vec<usize>) {
    let mut rng = seed.rng();
    let mut array = Array::new(rows, columns);
    array.blocks.push((0..rows, 0..columns));
    for row in 0..rows {
        for column in 0..columns {
            array.set_us(row, column, if rng.random() { 100.0 } else { 100.0 / 17.0 });
        }
    }
    let mut on = rand::seq::index::sample(&mut rng, rows, count).into_vec();
    on.sort_unstable();
    (array, on)
}

fn netlist(array: &Array, wires: &Wires, on: &[usize]) -> String {
    let columns = array.columns();
    let mut text =
        String::from("* rows that are on, their cells and bit lines\nVdrive drive 0 1\n");
    let mut element = 0;
    let mut resistor = |a: String, b: String, ohm: f64| {
        element += 1;
        writeln!(text, "R{element} {a} {b} {ohm:.17e}").expect("a string takes all");
    };
    for (index, &row) in on.iter().enumerate() {
        for column in 0..columns {
            let before = match column {
                0 => "drive".to_owned(),
                _ => format!("w{row}_{}", column - 1),
            };
            resistor(before, format!("w{row}_{column}"), wires.word_line_ohm);
            let (at, cell) = (format!("b{row}_{column}"), 1e6 / array.us(row, column));
            resistor(format!("w{row}_{column}"), at.clone(), cell);
            // A segment for every row on the way, whether that row is on or not.
            let (below, segments) = match index {
                0 => (format!("foot{column}"), row + 1),
                _ => (format!("b{}_{column}", on[index - 1]), row - on[index - 1]),
            };
            let node = |step: usize| match step {
                0 => at.clone(),
                _ if step == segments => below.clone(),
                _ => format!("s{row}_{column}_{step}"),
            };
            for step in 0..segments {
                resistor(node(step), node(step + 1), wires.bit_line_ohm);
            }
        }
    }
    for column in 0..columns {
        writeln!(text, "Vfoot{column} foot{column} 0 0").expect("a string takes all");
    }
    text += ".control\nset numdgt=15\nop\n";
    for column in 0..columns {
        writeln!(text, "print i(vfoot{column})").expect("a string takes all");
    }
    text + "quit\n.endc\n.end\n"
}

/// The currents of the columns, in µA.
fn simulate(netlist: &str) -> anyhow::Result<Vec<f64>> {
    let file = std::env::temp_dir().join(format!("hafnia-validate-{}.cir", std::process::id()));
    std::fs::write(&file, netlist)?;
    let output = Command::new(PROGRAM).arg("-b").arg(&file).output();
    std::fs::remove_file(&file)?;
    let output = output?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let currents = printed.lines().filter_map(|line| line.strip_prefix("i(vfoot"));
    let current = |line: &str| {
        let value = line.split_once("= ").context("no value")?.1;
        Ok(1e6 * value.trim().parse::<f64>().with_context(|| value.to_owned())?)
    };
    currents.map(current).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_netlist_has_all_segments() {
        let (array, _) = block(4, 2, 2, Seed(1));
        let wires = Wires { bit_line_ohm: 2.0, word_line_ohm: 1.0, g_lrs_us: 100.0 };
        let text = netlist(&array, &wires, &[1, 3]);
        // 2 rows of 2 segments and 2 cells, and 4 segments of every bit line.
        let resistors = text.lines().filter(|line| line.starts_with('R')).count();
        assert_eq!(resistors, 2 * (2 + 2) + 2 * 4);
        assert!(text.contains("Vfoot1 foot1 0 0\n.control\n"));
    }
}
