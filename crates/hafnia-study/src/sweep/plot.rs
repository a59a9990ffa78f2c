//! A column of the results over another.

use anyhow::{Context, ensure};
use hafnia_report::plot::{Scatter, scatter};
use hafnia_stats::Interval;
use hafnia_text::{nearest, quoted};

use crate::sweep::collect::{Row, to_cells};

/// Draws column Y over column X, a series for every value of BY, if that is given: `[X, Y]` or
/// `[X, Y, BY]`. Where Y has columns Y_lo and Y_hi, these are the ends of bars.
pub(super) fn plot(rows: &[Row], columns: &[String]) -> anyhow::Result<String> {
    let (header, cells) = to_cells(rows);
    let find = |name: &str| header.iter().position(|column| column == name);
    let column = |name: &String| {
        find(name).with_context(|| {
            let known = nearest(name, header.iter().map(String::as_str));
            let known =
                known.map_or_else(|| header.join(", "), |known| format!("did you mean `{known}`?"));
            format!("--plot: the results have no column {}: {known}", quoted(name))
        })
    };
    let [x, y] = [column(&columns[0])?, column(&columns[1])?];
    let by = columns.get(2).map(column).transpose()?;
    let ends = ["lo", "hi"].map(|end| find(&format!("{}_{end}", columns[1])));
    let number = |row: &[String], column: usize| row[column].parse::<f64>().ok();
    for column in [x, y] {
        ensure!(
            cells.iter().any(|row| number(row, column).is_some()),
            "--plot: column {} has no numbers: it can be the third, a series for every value",
            quoted(&header[column])
        );
    }
    let mut series: Vec<Scatter> = Vec::new();
    for row in &cells {
        let (Some(at), Some(value)) = (number(row, x), number(row, y)) else { continue };
        let [lo, hi] = ends.map(|end| end.and_then(|end| number(row, end)).unwrap_or(value));
        let label = by.map_or(String::new(), |by| match number(row, by) {
            Some(_) => format!("{} {}", header[by], row[by]),
            None => row[by].clone(),
        });
        let point = (at, Interval::holding(value, lo, hi));
        match series.iter_mut().find(|series| series.label == label) {
            Some(series) => series.points.push(point),
            None => series.push(Scatter { label, points: vec![point] }),
        }
    }
    Ok(scatter(&columns[0], &columns[1], &series)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::collect::collect;
    use crate::sweep::folder::Folder;
    use crate::sweep::folder::tests::{compute, plan};

    #[test]
    fn a_column_is_drawn_over_another_by_a_third() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path(), plan()).unwrap();
        folder.compute(&folder.missing().unwrap(), compute, |_, _| ()).unwrap();
        let rows = collect(&folder).unwrap();
        let draw = |columns: &[&str]| {
            let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
            plot(&rows, &columns).map_err(|error| error.to_string())
        };
        let svg = draw(&["cells", "accuracy", "b"]).unwrap();
        for text in ["u", "v", "cells", "accuracy"] {
            assert!(svg.contains(&format!("\n{text}\n")), "{text}");
        }
        assert!(draw(&["cells", "accuracy", "a"]).unwrap().contains("\na 1\n"));
        assert!(draw(&["cells", "accuracy"]).is_ok());
        let error = draw(&["cels", "accuracy"]).unwrap_err();
        assert_eq!(error, "--plot: the results have no column `cels`: did you mean `cells`?");
        let error = draw(&["b", "accuracy"]).unwrap_err();
        assert!(error.starts_with("--plot: column `b` has no numbers"), "{error}");
    }
}
