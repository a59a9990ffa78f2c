//! What is shown of the results of a sweep.

use std::collections::BTreeSet;

use hafnia_cost::{CostModel, Range};
use hafnia_report::{Align, Table};
use hafnia_rng::Seed;
use hafnia_stats::Interval;

use crate::sweep::collect::{Row, Status};
use crate::sweep::key::{conditions, spec, text_of};
use crate::sweep::plan::Plan;
use crate::sweep::worker::TABLE_ERROR;

/// Points of a table, at most.
const SHOWN: usize = 40;

/// The points that no other beats, or all if there are few, and those that failed.
pub(super) fn of(plan: &Plan, rows: &[Row]) -> String {
    let varied = plan.varied();
    let has = |fact: &str| rows.iter().any(|row| row.facts.contains_key(fact));
    let facts: Vec<&str> = FACTS.iter().copied().filter(|fact| has(fact)).collect();
    let numbers = |names: &[&str]| -> Vec<(String, Align)> {
        names.iter().map(|name| ((*name).to_owned(), Align::Right)).collect()
    };
    let mut header = vec![("".to_owned(), Align::Left)];
    header.extend(varied.iter().map(|key| ((*key).to_owned(), Align::Left)));
    header.extend(numbers(&["accuracy, %"]));
    header.extend(numbers(&facts));
    header.extend(numbers(&["drop, points", "point"]));
    let mut table = Table::new(header);
    let few = rows.len() <= SHOWN;
    let shown = || rows.iter().filter(|row| few || row.pareto).take(SHOWN);
    for row in shown().filter(|row| row.status == Status::Done) {
        let (Some(summary), Some(accuracy)) = (&row.summary, row.accuracy) else { continue };
        let mut cells = vec![if row.pareto { "*" } else { "" }.to_owned()];
        cells.extend(varied.iter().map(|key| text_of(&row.values, key, "")));
        cells.push(match accuracy.hi - accuracy.lo < 1.0 {
            true => format!("{:.1}", accuracy.scaled(100.0)),
            false => format!("{:.1} (one chip)", 100.0 * accuracy.value),
        });
        cells.extend(facts.iter().map(|fact| {
            let of = |end: &str| row.facts.get(&format!("{fact}{end}")).copied();
            match (of(""), of("_lo"), of("_hi")) {
                (Some(value), Some(lo), Some(hi)) if *fact == TABLE_ERROR => {
                    format!("{:.2}", Interval { value, lo, hi })
                }
                (Some(typical), Some(lo), Some(hi)) => Range { typical, lo, hi }.to_string(),
                (Some(value), ..) if value.fract() == 0.0 => format!("{value:.0}"),
                (Some(value), ..) => format!("{value:.1}"),
                (None, ..) => String::new(),
            }
        }));
        cells.extend([format!("{:.2}", summary.drop_points), row.point.to_string()]);
        table.row(cells);
    }
    let mut text = format!("{table}\n");
    let weighed: Vec<String> =
        plan.sweep.pareto.iter().map(|objective| objective.clone().into()).collect();
    let within = match &conditions(plan)[..] {
        [] => String::new(),
        keys => format!(" at the same {}", keys.join(", ")),
    };
    text += &format!("* no other point{within} beats it\n  ({})\n", weighed.join(", "));
    text += "in brackets: accuracy and drop with other chips and images (95 %);\n\
             area, energy and latency, given what is assumed\n";
    let departures = departures(shown());
    if !departures.is_empty() {
        text += &format!(
            "prices follow the macros where they are not the chip of the calibration:\n  {}\n",
            departures.join(", ")
        );
    }
    if has(TABLE_ERROR) {
        text += &format!(
            "{TABLE_ERROR}: how much more is lost on device, on a few chips and images,\n\
             where a cell or comparator errs alike in every conversion\n"
        );
    }
    for row in rows.iter().filter(|row| row.status == Status::Failed) {
        let error = row.error.as_deref().unwrap_or_default();
        text += &format!("point {} failed: {error}\n", row.point);
    }
    text
}

/// The keys in which the macros of some points are not the chip that their prices are calibrated on.
fn departures<'r>(rows: impl Iterator<Item = &'r Row>) -> Vec<String> {
    let Ok(calibrated) = CostModel::gt_n40().calibrate(1, Seed(1)) else { return Vec::new() };
    let specs = rows.filter_map(|row| spec(&row.values).ok());
    let keys: BTreeSet<String> = specs
        .flat_map(|spec| calibrated.departures(&spec))
        .map(|departure| departure.key)
        .collect();
    keys.into_iter().collect()
}

/// Facts that the table shows, those that matter most first.
const FACTS: [&str; 7] =
    [TABLE_ERROR, "area_mm2", "energy_nj", "latency_us", "cells", "macros", "cycles"];
