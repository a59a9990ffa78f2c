//! Which points no other beats.

use serde::{Deserialize, Serialize};

/// A column of results, and which way is better: as text `max accuracy` or `min cells`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Objective {
    /// Which way is better.
    pub aim: Aim,
    /// The column.
    pub column: String,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// More.
    Max,
    /// Less.
    Min,
}

impl Objective {
    /// Accuracy against area, energy and latency.
    pub fn usual() -> Vec<Self> {
        let min = |column: &str| Self { aim: Aim::Min, column: column.to_owned() };
        let accuracy = Self { aim: Aim::Max, column: "accuracy".to_owned() };
        vec![accuracy, min("area_mm2"), min("energy_nj"), min("latency_us")]
    }
}

impl TryFrom<String> for Objective {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let aim = match text.split_once(' ') {
            Some(("max", column)) => Some((Aim::Max, column)),
            Some(("min", column)) => Some((Aim::Min, column)),
            _ => None,
        };
        let (aim, column) = aim.ok_or_else(|| {
            format!("`{text}` must be `max` or `min` and a column, such as `max accuracy`")
        })?;
        Ok(Self { aim, column: column.to_owned() })
    }
}

impl From<Objective> for String {
    fn from(Objective { aim, column }: Objective) -> Self {
        let aim = match aim {
            Aim::Max => "max",
            Aim::Min => "min",
        };
        format!("{aim} {column}")
    }
}

/// A row as it is weighed.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighed {
    /// What it meets: only rows that meet the same are weighed against each other.
    pub conditions: Vec<String>,
    /// By objective, its value, if it has one.
    pub values: Vec<Option<f64>>,
}

/// Of every row whether no other beats it, which is at least as good in all objectives and better in
/// one, by more than chance as `differ` has it of an objective and two rows. A row without a number in
/// one of them is never on the frontier.
pub fn mark(
    objectives: &[Objective],
    rows: &[Weighed],
    differ: impl Fn(&Objective, usize, usize) -> bool,
) -> Vec<bool> {
    // Everything as "less is better".
    let cost = |row: &Weighed| {
        let signed = |(objective, value): (&Objective, &Option<f64>)| match objective.aim {
            Aim::Max => value.map(|value| -value),
            Aim::Min => *value,
        };
        objectives.iter().zip(&row.values).map(signed).collect::<Option<Vec<f64>>>()
    };
    let costs: Vec<Option<Vec<f64>>> = rows.iter().map(cost).collect();
    let beats = |one: usize, other: usize| {
        let (Some(a), Some(b)) = (&costs[one], &costs[other]) else { return false };
        let better = || objectives.iter().zip(a.iter().zip(b)).filter(|(_, (a, b))| a < b);
        rows[one].conditions == rows[other].conditions
            && a.iter().zip(b).all(|(a, b)| a <= b)
            && better().any(|(objective, _)| differ(objective, one, other))
    };
    let is_on = |row: usize| costs[row].is_some() && !(0..rows.len()).any(|one| beats(one, row));
    (0..rows.len()).map(is_on).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objectives() -> [Objective; 2] {
        ["max accuracy", "min cells"].map(|text| Objective::try_from(text.to_owned()).unwrap())
    }

    fn row(condition: &str, accuracy: f64, cells: Option<f64>) -> Weighed {
        Weighed { conditions: vec![condition.to_owned()], values: vec![Some(accuracy), cells] }
    }

    #[test]
    fn what_another_beats_is_off_the_frontier() {
        let rows = [(0.9, 10.0), (0.8, 10.0), (0.8, 5.0), (0.95, 20.0), (0.9, 10.0)];
        let mut rows: Vec<_> = rows.iter().map(|&(a, c)| row("", a, Some(c))).collect();
        rows.push(row("", 1.0, None));
        let expected = [true, false, true, true, true, false];
        assert_eq!(mark(&objectives(), &rows, |_, _, _| true), expected);
        assert!(Objective::try_from("accuracy".to_owned()).is_err());
    }

    #[test]
    fn fronts_are_within_conditions() {
        let rows = [row("quiet", 0.9, Some(5.0)), row("loud", 0.8, Some(10.0))];
        assert_eq!(mark(&objectives(), &rows, |_, _, _| true), [true, true]);
    }

    #[test]
    fn what_chance_may_explain_beats_nothing() {
        let rows = [row("", 0.901, Some(5.0)), row("", 0.9, Some(5.0)), row("", 0.9, Some(6.0))];
        let but_accuracy = |objective: &Objective, _, _| objective.column != "accuracy";
        assert_eq!(mark(&objectives(), &rows, but_accuracy), [true, true, false]);
    }
}
