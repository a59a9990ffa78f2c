//! `cargo xtask codegen`: the documents that are generated, from the code or from measurements.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use hafnia_passes::Registry;
use hafnia_report::plot::{Measured, TradeOff, scaling, trade_off};

use crate::workspace;

/// Makes a figure of a table.
type Draw = fn(&Path) -> anyhow::Result<String>;

/// Tables of measurements, and the figures made of them.
const FIGURES: [(&str, &str, Draw); 3] = [
    ("docs/figures/macros.csv", "docs/figures/macros.svg", draw_trade_off),
    ("docs/figures/rows.csv", "docs/figures/rows.svg", draw_trade_off),
    ("docs/figures/scaling.csv", "docs/figures/scaling.svg", draw_scaling),
];

pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let mut documents = vec![("docs/passes.md", Registry::builtin().to_markdown())];
    for (measured, figure, draw) in FIGURES {
        documents.push((figure, draw(&workspace().join(measured))?));
    }
    for (name, text) in documents {
        let path = workspace().join(name);
        if !check {
            hafnia_artifact::write_whole(&path, text.as_bytes())?;
            continue;
        }
        let found = fs::read_to_string(&path).with_context(|| name.to_owned())?;
        if found != text {
            bail!("{name} is not what the code says: run `cargo xtask codegen`");
        }
    }
    Ok(())
}

/// The trade-off that a table of measurements holds: what the first column is called and its
/// values, a seed, and an accuracy in per cent.
fn draw_trade_off(table: &Path) -> anyhow::Result<String> {
    let place = || table.display().to_string();
    let text = fs::read_to_string(table).with_context(place)?;
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap_or_default();
    ensure!(header.len() == 3, "{}: the first line must name three columns", place());
    let mut points: Vec<TradeOff> = Vec::new();
    for line in lines {
        let [cost, _seed, accuracy] = line[..] else { bail!("{}: three columns a line", place()) };
        let (cost, accuracy) = (cost.parse().with_context(place)?, accuracy.parse()?);
        match points.iter_mut().find(|point| point.cost == cost) {
            Some(point) => point.accuracy_pct.push(accuracy),
            None => points.push(TradeOff { cost, accuracy_pct: vec![accuracy] }),
        }
    }
    Ok(trade_off(header[0], &points)?)
}

/// The scaling that a table of measurements holds: sizes in the column `cells`, times in the column
/// `processor_s`.
fn draw_scaling(table: &Path) -> anyhow::Result<String> {
    let place = || table.display().to_string();
    let text = fs::read_to_string(table).with_context(place)?;
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap_or_default();
    let column = |name: &str| {
        let index = header.iter().position(|column| *column == name);
        index.with_context(|| format!("{}: no column `{name}`", place()))
    };
    let (cells, seconds) = (column("cells")?, column("processor_s")?);
    let number = |line: &[&str], column: usize| -> anyhow::Result<f64> {
        let field = line.get(column).with_context(|| format!("{}: a line is short", place()))?;
        field.parse().with_context(place)
    };
    let point = |line: Vec<&str>| {
        anyhow::Ok(Measured { size: number(&line, cells)?, seconds: number(&line, seconds)? })
    };
    Ok(scaling("cells of one binary matrix", &lines.map(point).collect::<Result<Vec<_>, _>>()?)?)
}
