//! A claim beside what was found: by networks like the paper's, and by our larger one.

use serde::{Deserialize, Serialize};

use crate::number::{fixed, with_interval};
use crate::table::{Align, Table};
use crate::verdict::Verdict;
use hafnia_stats::Interval;

/// Which networks answer a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Column {
    /// Networks of the paper's shape, under the paper's setting: by them a claim is judged.
    Like,
    /// Our larger network, which answers beside them.
    Ours,
}

impl Column {
    /// Both, in the order they are printed.
    pub const ALL: [Self; 2] = [Self::Like, Self::Ours];

    /// Its name in a table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Like => "like for like",
            Self::Ours => "ours",
        }
    }
}

/// A reading of a claim beside our numbers.
///
/// A claim with two readings gives two of these, with one `id` and one `verdict`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgedClaim {
    /// Id of the claim.
    pub id: String,
    /// What is claimed.
    pub title: String,
    /// How the claim was read and is measured.
    pub note: String,
    /// Name of the reading, if the claim has several.
    pub reading: Option<String>,
    /// The paper's number, in `unit`.
    pub paper: f64,
    /// Decimals the paper prints.
    pub decimals: u8,
    /// Unit of the numbers.
    pub unit: String,
    /// What networks like the paper's give.
    pub like: Answer,
    /// What our larger network gives; `None` if it has no answer to this reading.
    pub ours: Option<Answer>,
    /// Verdict of the claim, over all of its readings, by networks like the paper's.
    pub verdict: Verdict,
}

/// What networks of one column say to a reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Their number, in the unit of the reading; `None` if it was not measured.
    pub found: Option<Interval>,
    /// What the reading's condition bounds; `None` without one.
    pub bounded: Option<Bounded>,
    /// What is said beside it; `None` if nothing is, or it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Stated>,
    /// Verdict of this reading by these networks.
    pub verdict: Verdict,
}

/// A number that stands beside another one, as it must not be read without.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// What it is, in a few words.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// What the metrics are multiplied by to be in that unit.
    pub scale: f64,
    /// Key of what networks like the paper's give.
    pub like: String,
    /// Key of what our larger network gives.
    pub ours: Option<String>,
}

impl Beside {
    pub(crate) fn key(&self, column: Column) -> Option<&str> {
        match column {
            Column::Like => Some(&self.like),
            Column::Ours => self.ours.as_deref(),
        }
    }
}

/// What a [`Beside`] came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stated {
    /// What it is, in a few words.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// The number and its range.
    pub found: Interval,
}

/// What a number must not cost: the upper end of the interval of another one lies below a bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// What is bounded, in a few words.
    pub name: String,
    /// Its unit, in which the metrics are.
    pub unit: String,
    /// The bound.
    pub below: f64,
    /// Key of what networks like the paper's give.
    pub like: String,
    /// Key of what our larger network gives.
    pub ours: Option<String>,
}

impl Condition {
    pub(crate) fn key(&self, column: Column) -> Option<&str> {
        match column {
            Column::Like => Some(&self.like),
            Column::Ours => self.ours.as_deref(),
        }
    }
}

/// A number that a condition bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bounded {
    /// What it is, in a few words.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// What its upper end must lie below.
    pub below: f64,
    /// The number.
    pub found: Interval,
}

impl Default for Answer {
    /// Nothing was measured.
    fn default() -> Self {
        Self { found: None, bounded: None, beside: None, verdict: Verdict::NotJudged }
    }
}

impl Bounded {
    pub(crate) fn of(condition: &Condition, found: Interval) -> Self {
        let Condition { name, unit, below, .. } = condition;
        Self { name: name.clone(), unit: unit.clone(), below: *below, found }
    }

    /// Whether even the upper end lies below the bound.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.found.value.max(self.found.hi) < self.below
    }
}

impl JudgedClaim {
    /// Its id, title and, where there are several, reading.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.id, self.what())
    }

    /// Its title and, where there are several, reading.
    pub(crate) fn what(&self) -> String {
        match &self.reading {
            Some(reading) => format!("{}, {reading}", self.title),
            None => self.title.clone(),
        }
    }

    /// What the networks of a column say; `None` if they have no answer to this reading.
    #[must_use]
    pub fn answer(&self, column: Column) -> Option<&Answer> {
        match column {
            Column::Like => Some(&self.like),
            Column::Ours => self.ours.as_ref(),
        }
    }

    /// The paper's number with its unit.
    pub(crate) fn paper_cell(&self) -> String {
        format!("{} {}", fixed(self.paper, usize::from(self.decimals)), self.unit)
    }

    /// The number of a column with its interval and what a condition bounds.
    pub(crate) fn answer_cell(&self, column: Column) -> String {
        let Some(Answer { found: Some(found), bounded, beside, .. }) = self.answer(column) else {
            return "–".to_owned();
        };
        let mut cell = written(*found, &self.unit, self.decimals);
        if let Some(Bounded { name, unit, found, .. }) = bounded {
            cell += &format!("; {name} {}", written(*found, unit, 1));
        }
        if let Some(Stated { name, unit, found }) = beside {
            cell += &format!("; {name} {}", with_interval(*found, unit, 0));
        }
        cell
    }
}

/// A number with its unit and interval, beside one that the paper prints with `decimals`.
fn written(found: Interval, unit: &str, decimals: u8) -> String {
    with_interval(found, unit, decimals_of(found.value, decimals))
}

/// Decimals of our number beside one that the paper prints with `decimals`: two at least, and one more
/// for a small number, as 0.024 points must not read as 0.0.
pub(crate) fn decimals_of(value: f64, decimals: u8) -> usize {
    usize::from(decimals.max(2)) + usize::from(value.abs() < 1.0)
}

/// The table of claims: paper, networks like the paper's with interval and verdict, ours with the
/// same.
pub(crate) fn table(claims: &[JudgedClaim]) -> Table {
    let mut columns = vec![("claim".to_owned(), Align::Left), ("paper".to_owned(), Align::Right)];
    for column in Column::ALL {
        columns.push((format!("{} (95 % interval)", column.name()), Align::Right));
        columns.push(("verdict".to_owned(), Align::Left));
    }
    let mut table = Table::new(columns);
    for claim in claims {
        let mut row = vec![claim.name(), claim.paper_cell()];
        for column in Column::ALL {
            let verdict = claim.answer(column).map(|answer| answer.verdict.to_string());
            row.extend([claim.answer_cell(column), verdict.unwrap_or("–".to_owned())]);
        }
        table.row(row);
    }
    table
}
