//! `cargo xtask codegen`: the documents that are generated, from the code or from measurements, and
//! those that are held to a recorded run.

mod keys;
mod recorded;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use hafnia_cim::keys_table;
use hafnia_cost::{CostModel, DRAWS, calibration_table, constants_table};
use hafnia_passes::Registry;
use hafnia_report::Report;
use hafnia_report::plot::{Measured, TradeOff, scaling, trade_off};
use hafnia_rng::Seed;
use hafnia_study::sweep::columns_table;

use self::keys::{RECIPES, SWEEPS, documentation};
use crate::messages;
use crate::workspace::root;

/// Makes a figure of a table.
type Draw = fn(&Path) -> anyhow::Result<String>;

/// Tables of measurements, and the figures made of them.
const FIGURES: [(&str, &str, Draw); 3] = [
    ("docs/figures/macros.csv", "docs/figures/macros.svg", draw_trade_off),
    ("docs/figures/rows.csv", "docs/figures/rows.svg", draw_trade_off),
    ("docs/figures/scaling.csv", "docs/figures/scaling.svg", draw_scaling),
];

/// What is done with the documents.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only say whether they are up to date.
    #[arg(long)]
    check: bool,
    /// First keep the report of the run in this folder as the one that documents tell of.
    #[arg(long, value_name = "DIR", conflicts_with = "check")]
    keep: Option<PathBuf>,
}

impl Options {
    /// Changes nothing.
    pub(crate) const CHECK: Self = Self { check: true, keep: None };
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if let Some(folder) = &options.keep {
        recorded::keep(folder)?;
    }
    let run = recorded::report()?;
    let mut documents = vec![
        ("README.md", with_claims(&run)?),
        ("docs/mapping.md", with_passes(&run)?),
        ("docs/passes.md", Registry::builtin().to_markdown()),
        ("docs/cost.md", cost_document()?),
        ("docs/macros.md", macros_document()?),
        ("docs/keys.md", keys_document()?),
        ("docs/ir.md", rules_document()?),
        ("docs/messages.txt", messages::list(&root().join("crates"))?),
    ];
    for (measured, figure, draw) in FIGURES {
        documents.push((figure, draw(&root().join(measured))?));
    }
    for (name, text) in documents {
        let path = root().join(name);
        if !options.check {
            hafnia_artifact::write_whole(&path, text.as_bytes())?;
            continue;
        }
        let found = fs::read_to_string(&path).with_context(|| name.to_owned())?;
        if found != text {
            bail!("{name} is not what the code says: run `cargo xtask codegen`");
        }
    }
    recorded::check_sentences(&run)
}

/// The README with the claims as the recorded run judges them.
fn with_claims(run: &Report) -> anyhow::Result<String> {
    let text = fs::read_to_string(root().join("README.md")).context("README.md")?;
    with_table(&text, "claims", &recorded::claims_table(run)?)
}

/// The document on mapping with the passes as the recorded run measured them.
fn with_passes(run: &Report) -> anyhow::Result<String> {
    let text = fs::read_to_string(root().join("docs/mapping.md")).context("docs/mapping.md")?;
    with_table(&text, "passes", &recorded::table(run, "the deployed network by")?)
}

/// The document on costs with its tables as the code has them.
fn cost_document() -> anyhow::Result<String> {
    let text = fs::read_to_string(root().join("docs/cost.md")).context("docs/cost.md")?;
    let model = CostModel::gt_n40();
    let calibration = model.calibrate(DRAWS, Seed(1))?.calibration();
    let text = with_table(&text, "calibration", &calibration_table(&calibration))?;
    with_table(&text, "constants", &constants_table(&model))
}

/// The document on macros with its keys as the code has them.
fn macros_document() -> anyhow::Result<String> {
    let text = fs::read_to_string(root().join("docs/macros.md")).context("docs/macros.md")?;
    with_table(&text, "keys", &keys_table())
}

/// The document on the keys of recipes and sweeps with what their types say, and on results.
fn keys_document() -> anyhow::Result<String> {
    let text = fs::read_to_string(root().join("docs/keys.md")).context("docs/keys.md")?;
    let text = with_table(&text, "recipes", &RECIPES.to_markdown()?)?;
    let text = with_table(&text, "sweeps", &SWEEPS.to_markdown()?)?;
    with_table(&text, "columns", &columns_table())
}

/// The document on the IR with the rules as their source lists them.
fn rules_document() -> anyhow::Result<String> {
    let text = fs::read_to_string(root().join("docs/ir.md")).context("docs/ir.md")?;
    let source = root().join("crates/hafnia-ir/src/rules.rs");
    let file = syn::parse_file(&fs::read_to_string(&source).context("rules.rs")?)?;
    let rules = file.items.iter().find_map(|item| match item {
        syn::Item::Enum(rules) if rules.ident == "Rule" => Some(&rules.variants),
        _ => None,
    });
    let rules = rules.context("rules.rs has no enum `Rule`")?;
    let listed = rules.iter().enumerate().map(|(index, rule)| {
        let sentences = documentation(&rule.attrs).replace(". ", ".\n   ");
        format!("{}. {sentences}", index + 1)
    });
    with_table(&text, "rules", &listed.collect::<Vec<_>>().join("\n"))
}

/// A document with another table between the marks of this name.
fn with_table(text: &str, name: &str, table: &str) -> anyhow::Result<String> {
    let (start, end) =
        (format!("<!-- {name}: generated by `cargo xtask codegen` -->\n"), "<!-- end -->");
    let cut = text.split_once(&start).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(end)?;
        Some(format!("{before}{start}\n{table}\n{end}{after}"))
    });
    cut.with_context(|| format!("a table `{name}` has no marks"))
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
