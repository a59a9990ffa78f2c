//! What is shown of the results of a sweep.

use hafnia_cost::Range;
use hafnia_report::{Align, Table};

use crate::sweep::collect::{Row, Status};
use crate::sweep::key::text_of;
use crate::sweep::plan::Plan;

/// Points of a table, at most.
const SHOWN: usize = 40;

/// The points that no other beats, or all if there are few, and those that failed.
pub(super) fn of(plan: &Plan, rows: &[Row]) -> String {
    let varied = plan.varied();
    let has = |fact: &str| rows.iter().any(|row| row.facts.contains_key(fact));
    let facts: Vec<&str> = FACTS.iter().copied().filter(|fact| has(fact)).collect();
    let mut header = vec![("".to_owned(), Align::Left), ("point".to_owned(), Align::Right)];
    header.extend(varied.iter().map(|key| ((*key).to_owned(), Align::Left)));
    for column in ["accuracy, %", "95 % interval", "drop, points"] {
        header.push((column.to_owned(), Align::Right));
    }
    header.extend(facts.iter().map(|fact| ((*fact).to_owned(), Align::Right)));
    let mut table = Table::new(header);
    let few = rows.len() <= SHOWN;
    let shown = rows.iter().filter(|row| few || row.pareto).take(SHOWN);
    for row in shown.filter(|row| row.status == Status::Done) {
        let Some(summary) = &row.summary else { continue };
        let mut cells = vec![if row.pareto { "*" } else { "" }.to_owned(), row.point.to_string()];
        cells.extend(varied.iter().map(|key| text_of(&row.values, key, "")));
        let accuracy = summary.accuracy;
        cells.push(format!("{:.3}", 100.0 * accuracy.value));
        cells.push(match summary.chips {
            1 => "one chip".to_owned(),
            _ => format!("{:.3} to {:.3}", 100.0 * accuracy.lo, 100.0 * accuracy.hi),
        });
        cells.push(format!("{:.3}", summary.drop_points.value));
        cells.extend(facts.iter().map(|fact| {
            let of = |end: &str| row.facts.get(&format!("{fact}{end}")).copied();
            match (of(""), of("_lo"), of("_hi")) {
                (Some(typical), Some(lo), Some(hi)) => Range { typical, lo, hi }.to_string(),
                (Some(value), ..) if value.fract() == 0.0 => format!("{value:.0}"),
                (Some(value), ..) => format!("{value:.1}"),
                (None, ..) => String::new(),
            }
        }));
        table.row(cells);
    }
    let mut text = format!("{table}\n");
    let weighed: Vec<String> =
        plan.sweep.pareto.iter().map(|objective| objective.clone().into()).collect();
    text += &format!("* no other point beats it ({})\n", weighed.join(", "));
    text += "in brackets: what area, energy and latency may be, given what is assumed\n";
    for row in rows.iter().filter(|row| row.status == Status::Failed) {
        let error = row.error.as_deref().unwrap_or_default();
        text += &format!("point {} failed: {error}\n", row.point);
    }
    text
}

/// Facts that the table shows.
const FACTS: [&str; 6] = ["cells", "macros", "cycles", "area_mm2", "energy_nj", "latency_us"];
