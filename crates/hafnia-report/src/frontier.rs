//! [`Frontier`]: what rows, cycles and noise can be had together, as data, tables and a plot.
//!
//! It is plain data, as [`Attribution`](crate::Attribution) is.

use serde::{Deserialize, Serialize};

use crate::error::ReportError;
use crate::number::interval_cells;
use crate::plot;
use crate::table::{INTERVAL, Table};
use hafnia_stats::Interval;

/// The mappings of a search, and what those lose that no other beats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frontier {
    /// Where there was noise: `all`, `final`, or names of layers.
    pub noise_in: String,
    /// The part of the data set that met the chips.
    pub part: String,
    /// How many images of it.
    pub images: usize,
    /// Virtual chips for every mapping of the frontier.
    pub chips: u32,
    /// What was found.
    pub candidates: Vec<FrontierCandidate>,
}

/// A mapping, and what it loses if it is on the frontier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontierCandidate {
    /// Names it in the plot and its file; none if another candidate beats it.
    pub label: Option<String>,
    /// The macro's input control.
    pub input_control: String,
    /// Its passes in short.
    pub passes: String,
    /// The pipeline that makes it.
    pub pipeline: String,
    /// Physical rows.
    pub rows: usize,
    /// Cells.
    pub cells: usize,
    /// Bits of its rename tables.
    pub table_bits: usize,
    /// Macros.
    pub macros: usize,
    /// Conversion cycles an image, expected under the profile.
    pub cycles: f64,
    /// Expected damage, as a multiple of the plain mapping's.
    pub noise: f64,
    /// On chips, in points.
    pub drop_points: Option<Interval>,
}

impl Frontier {
    /// The frontier, by label.
    #[must_use]
    pub fn table(&self) -> Table {
        let mut named: Vec<&FrontierCandidate> =
            self.candidates.iter().filter(|candidate| candidate.label.is_some()).collect();
        // a, b, …, z, a1, …
        named.sort_by_key(|candidate| {
            (candidate.label.as_ref().map(String::len), candidate.label.as_ref())
        });
        table(named)
    }

    /// The frontier, and the other candidates after it.
    #[must_use]
    pub fn table_of_all(&self) -> Table {
        let mut all = self.table();
        let others = self.candidates.iter().filter(|candidate| candidate.label.is_none());
        table(others).rows().iter().for_each(|row| all.row(row.clone()));
        all
    }

    /// All candidates by cycles and noise, as SVG.
    ///
    /// # Errors
    /// If they cannot be drawn.
    pub fn plot(&self) -> Result<String, ReportError> {
        let candidate = |candidate: &FrontierCandidate| plot::Candidate {
            group: candidate.input_control.clone(),
            label: candidate.label.clone(),
            x: candidate.cycles,
            y: candidate.noise,
        };
        let candidates: Vec<_> = self.candidates.iter().map(candidate).collect();
        let y = "expected noise (multiples of the plain mapping's)";
        plot::frontier("conversion cycles an image", y, &candidates)
    }
}

fn table<'a>(candidates: impl IntoIterator<Item = &'a FrontierCandidate>) -> Table {
    let mut table = Table::of([
        "letter",
        "input control",
        "passes",
        ">rows",
        ">cells",
        ">table bits",
        ">macros",
        ">cycles/image",
        ">noise, expected",
        ">drop, points",
        INTERVAL,
    ]);
    for candidate in candidates {
        let none = || ["-", "-"].map(str::to_owned);
        let [drop, range] = candidate.drop_points.map_or_else(none, interval_cells);
        table.row([
            candidate.label.clone().unwrap_or_default(),
            candidate.input_control.clone(),
            candidate.passes.clone(),
            candidate.rows.to_string(),
            candidate.cells.to_string(),
            candidate.table_bits.to_string(),
            candidate.macros.to_string(),
            format!("{:.1}", candidate.cycles),
            format!("{:.3}", candidate.noise),
            drop,
            range,
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn letters_come_first_and_in_order() {
        let candidate = |label: Option<&str>, drop_points| FrontierCandidate {
            label: label.map(str::to_owned),
            input_control: "window 64".to_owned(),
            passes: "rename".to_owned(),
            pipeline: String::new(),
            rows: 46,
            cells: 460,
            table_bits: 504,
            macros: 1,
            cycles: 12.25,
            noise: 0.5,
            drop_points,
        };
        let drop = Interval { value: 0.5, lo: 0.25, hi: 0.75 };
        let frontier = Frontier {
            noise_in: "all".to_owned(),
            part: "validation".to_owned(),
            images: 10,
            chips: 2,
            candidates: vec![
                candidate(None, None),
                candidate(Some("a1"), Some(drop)),
                candidate(Some("b"), Some(drop)),
            ],
        };
        let json = serde_json::to_string(&frontier).unwrap();
        let read: Frontier = serde_json::from_str(&json).unwrap();
        assert_eq!(read.table().rows().len(), 2);
        expect![[r#"
            letter,input control,passes,rows,cells,table bits,macros,cycles/image,"noise, expected","drop, points",95 % interval
            b,window 64,rename,46,460,504,1,12.2,0.500,0.500,0.250 to 0.750
            a1,window 64,rename,46,460,504,1,12.2,0.500,0.500,0.250 to 0.750
            ,window 64,rename,46,460,504,1,12.2,0.500,-,-
        "#]]
        .assert_eq(&read.table_of_all().to_csv());
    }
}
