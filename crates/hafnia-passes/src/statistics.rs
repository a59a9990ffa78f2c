//! [`Statistics`]: what a pass did, in numbers; and [`Size`], the numbers that every pass can name.

use std::fmt;

use hafnia_ir::{Mapping, Tile};
use serde::{Deserialize, Serialize};

/// What a pass did, in numbers, in the order in which they are to be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// One number per line.
    pub lines: Vec<Statistic>,
    /// What does not fit into lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<StatisticsTable>,
}

/// A table that a pass reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatisticsTable {
    /// What it shows.
    pub title: String,
    /// Names of its columns, with their units.
    pub columns: Vec<String>,
    /// Its rows: one cell per column.
    pub rows: Vec<Vec<String>>,
}

/// A number that a pass reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statistic {
    /// What it counts, with its unit.
    pub name: String,
    /// The number before the pass, where there was one.
    pub before: Option<f64>,
    /// The number after it.
    pub after: f64,
}

impl Statistics {
    /// Adds a number that the pass found at `before` and left at `after`.
    #[must_use]
    pub fn changed(mut self, name: impl Into<String>, before: f64, after: f64) -> Self {
        self.lines.push(Statistic { name: name.into(), before: Some(before), after });
        self
    }

    /// Adds a number that did not exist before the pass.
    #[must_use]
    pub fn found(mut self, name: impl Into<String>, value: f64) -> Self {
        self.lines.push(Statistic { name: name.into(), before: None, after: value });
        self
    }

    /// Adds the numbers of two sizes that differ.
    #[must_use]
    pub fn resized(self, before: Size, after: Size) -> Self {
        let lines = [
            ("tiles", before.tiles, after.tiles),
            ("physical rows", before.physical_rows, after.physical_rows),
            ("cells", before.cells, after.cells),
            ("table bits", before.table_bits, after.table_bits),
            ("of these, signs", before.sign_bits, after.sign_bits),
        ];
        lines.into_iter().filter(|(_, before, after)| before != after).fold(
            self,
            |statistics, (name, before, after)| {
                statistics.changed(name, before as f64, after as f64)
            },
        )
    }

    /// Adds a table.
    #[must_use]
    pub fn with_table(mut self, table: StatisticsTable) -> Self {
        self.tables.push(table);
        self
    }

    /// The line of this name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Statistic> {
        self.lines.iter().find(|line| line.name == name)
    }
}

impl fmt::Display for Statistics {
    /// One line per number, such as `physical rows: 84 -> 46 (-45.2 %)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        if let Some(before) = self.before {
            write!(f, "{} -> ", Short(before))?;
        }
        write!(f, "{}", Short(self.after))?;
        match self.before {
            Some(before) if before != 0.0 => {
                write!(f, " ({:+.1} %)", 100.0 * (self.after / before - 1.0))
            }
            _ => Ok(()),
        }
    }
}

/// A number as a reader wants it: counts whole, the rest with four digits.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value) = *self;
        if value == value.trunc() && value.abs() < 1e15 {
            write!(f, "{value}")
        } else if (1e-3..1e6).contains(&value.abs()) {
            // Four digits, wherever the point stands.
            let before_point = libm::log10(value.abs()).floor() as i32;
            write!(f, "{value:.*}", (3 - before_point).max(0) as usize)
        } else {
            write!(f, "{value:.3e}")
        }
    }
}

/// How much a mapping takes, over all tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Tiles.
    pub tiles: usize,
    /// Physical rows: word lines in use.
    pub physical_rows: usize,
    /// Cells: physical rows × columns.
    pub cells: usize,
    /// Bits of all rename tables; see [`Tile::table_bits`].
    pub table_bits: usize,
    /// Those of them that are signs.
    pub sign_bits: usize,
}

impl Size {
    /// The size of a mapping.
    pub fn of(mapping: &Mapping) -> Self {
        Self {
            tiles: mapping.tiles.len(),
            physical_rows: mapping.tiles.iter().map(Tile::physical_rows).sum(),
            cells: mapping.cells(),
            table_bits: mapping.rename_table_bits(),
            sign_bits: mapping.tiles.iter().map(Tile::sign_bits).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn numbers_are_short() {
        let statistics = Statistics::default()
            .changed("physical rows", 84.0, 46.0)
            .changed("expected flips", 0.012_345_6, 0.009_999_9)
            .changed("table bits", 0.0, 504.0)
            .found("macros", 5.0)
            .found("tiny", 1.234_56e-9);
        expect![[r#"
            physical rows: 84 -> 46 (-45.2 %)
            expected flips: 0.01235 -> 0.010000 (-19.0 %)
            table bits: 0 -> 504
            macros: 5
            tiny: 1.235e-9
        "#]]
        .assert_eq(&statistics.to_string());
    }
}
