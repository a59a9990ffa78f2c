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

/// Of every row whether no other is at least as good in all columns and better in one. A row without
/// a number in one of them is never on the frontier.
pub fn mark(objectives: &[Objective], rows: &[Vec<Option<f64>>]) -> Vec<bool> {
    // Everything as "less is better".
    let cost = |row: &Vec<Option<f64>>| {
        let signed = |(objective, value): (&Objective, &Option<f64>)| match objective.aim {
            Aim::Max => value.map(|value| -value),
            Aim::Min => *value,
        };
        objectives.iter().zip(row).map(signed).collect::<Option<Vec<f64>>>()
    };
    let costs: Vec<Option<Vec<f64>>> = rows.iter().map(cost).collect();
    let beats = |a: &[f64], b: &[f64]| {
        a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b)
    };
    let is_on = |row: &Option<Vec<f64>>| {
        row.as_ref().is_some_and(|row| !costs.iter().flatten().any(|other| beats(other, row)))
    };
    costs.iter().map(is_on).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_beats_is_off_the_frontier() {
        let objectives =
            ["max accuracy", "min cells"].map(|text| Objective::try_from(text.to_owned()).unwrap());
        let rows = [(0.9, 10.0), (0.8, 10.0), (0.8, 5.0), (0.95, 20.0), (0.9, 10.0)];
        let mut rows: Vec<_> = rows.iter().map(|&(a, c)| vec![Some(a), Some(c)]).collect();
        rows.push(vec![Some(1.0), None]);
        assert_eq!(mark(&objectives, &rows), [true, false, true, true, true, false]);
        assert!(Objective::try_from("accuracy".to_owned()).is_err());
    }
}
