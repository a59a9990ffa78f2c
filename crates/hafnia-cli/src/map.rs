//! `hafnia map`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use hafnia_passes::StatisticsTable;
use hafnia_report::{Align, Table};
use hafnia_study::{MapOutcome, MapRequest, MatrixSize, Request, Session, Totals};
use serde::Serialize;

use crate::options::{MacroOptions, NetworkOptions, request};
use crate::output::{Output, table};

/// What help calls the options by which passes are watched.
const STEPS: &str = "Pass by pass";

/// Map a network to macros by a pipeline of passes.
///
/// After every pass the mapping is verified, every matrix is rebuilt from what is programmed and
/// compared bit for bit, and the mapped network is run against the reference on 64 random and
/// extreme inputs.
#[derive(Args, Serialize)]
#[command(after_help = "Examples:
  hafnia map net.hafnia --pipeline natural --out natural.map
  hafnia map --model frontier --pipeline compact --out frontier.map
  hafnia map net.hafnia --pipeline paper --profile net.profile \\
      --set sigma_lrs_rel=0.2 --out best.map
  hafnia map net.hafnia --pipeline mine.toml \\
      --until rename --dump-ir=rename --out half.map
  hafnia map net.hafnia --pipeline rename --explain --out net.map
  hafnia map net.hafnia --pipeline rename --emit program=chips --out net.map
  hafnia map net.hafnia --from-program chips --out back.map

`hafnia passes` lists the passes and the built-in pipelines.")]
pub(crate) struct Map {
    #[command(flatten)]
    #[serde(flatten)]
    network: NetworkOptions,
    #[command(flatten)]
    #[serde(flatten)]
    source: Source,
    /// Mapping to write, in text form.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Profile of training images (hafnia profile).
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Measured code table (CSV: n,m,code,probability) in place of the macro's model.
    #[arg(long, value_name = "FILE")]
    code_table: Option<PathBuf>,
    /// Seed of everything drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop after this pass.
    #[arg(long, value_name = "PASS", help_heading = STEPS)]
    until: Option<String>,
    /// Print the mapping to stderr after every pass, or after this one.
    #[arg(long, value_name = "PASS", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    #[arg(help_heading = STEPS)]
    dump_ir: Option<String>,
    /// Say what every pass did to each tile.
    #[arg(long, conflicts_with = "from_program", help_heading = STEPS)]
    explain: bool,
    /// Write what chips are programmed from too, into this folder or, without one, beside the
    /// mapping.
    #[arg(long, value_name = "program[=DIR]")]
    emit: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    spec: MacroOptions,
}

/// Where the mapping comes from.
#[derive(Args, Serialize)]
#[group(required = true, multiple = false)]
struct Source {
    /// Built-in pipeline, or a TOML file.
    #[arg(long, value_name = "NAME|FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<String>,
    /// Take the mapping from a program (--emit program) in place of a pipeline, and prove it.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["until", "dump_ir", "profile"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    from_program: Option<PathBuf>,
}

impl Map {
    pub(crate) fn request(&self) -> anyhow::Result<MapRequest> {
        let emit = self.emit.as_deref().map(|emit| emit.split_once('=').unwrap_or((emit, "")));
        let program = match emit {
            None => None,
            Some(("program", "")) => Some(self.out.with_extension("program")),
            Some(("program", folder)) => Some(PathBuf::from(folder)),
            Some((what, _)) => bail!("--emit is `{what}`, it must be program or program=DIR"),
        };
        Ok(MapRequest { program, ..request(self)? })
    }

    pub(crate) fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        output.answer(self.request()?.run(session), text)
    }
}

/// The sizes of a mapping for people.
pub(crate) fn size_table(matrices: &[MatrixSize], total: &Totals) -> Table {
    let mut table =
        table(["matrix", ">tiles", ">logical rows", ">physical rows", ">columns", ">cells"]);
    for matrix in matrices {
        table.row([
            matrix.name.clone(),
            matrix.tiles.to_string(),
            matrix.logical_rows.to_string(),
            matrix.physical_rows.to_string(),
            matrix.columns.to_string(),
            matrix.cells.to_string(),
        ]);
    }
    table.row([
        "all".to_owned(),
        total.tiles.to_string(),
        total.logical_rows.to_string(),
        total.physical_rows.to_string(),
        String::new(),
        total.cells.to_string(),
    ]);
    table
}

fn text(mapped: &MapOutcome) -> String {
    let mut text = String::new();
    for run in &mapped.passes {
        text += &format!("{} ({:.3} s)\n", run.pass, run.seconds);
        for line in &run.statistics.lines {
            text += &format!("  {line}\n");
        }
        for StatisticsTable { title, columns, rows } in &run.statistics.tables {
            let mut table = Table::new(columns.iter().map(|column| (column.as_str(), Align::Left)));
            rows.iter().for_each(|row| table.row(row));
            text += &format!("  {title}:\n{table}\n");
        }
        if let Some(explanation) = &run.explanation {
            text += &folded(&explanation.to_string());
        }
    }
    let total = &mapped.total;
    text += &format!("{}\n", size_table(&mapped.matrices, total));
    let (macros, bits) = (total.macros, total.table_bits);
    text += &format!("{macros} macros, {bits} bits of rename tables, stage {}", mapped.stage);
    match &mapped.program {
        None => text,
        Some(folder) => text + &format!("\nprogram in {}", folder.display()),
    }
}

/// An explanation, indented; of many lines the first.
fn folded(explanation: &str) -> String {
    const MOST: usize = 60;
    let lines = explanation.lines().take(MOST).map(|line| format!("    {line}\n"));
    let text: String = lines.collect();
    match explanation.lines().count().saturating_sub(MOST) {
        0 => text,
        left => text + &format!("    … and {left} more lines: --format json has all\n"),
    }
}
