//! `hafnia macros`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hafnia_cim::{preset_names, sources};
use hafnia_study::{CodeProbability, CodesRequest, NewMacroRequest, Request, Session};
use serde::Serialize;

use crate::options::{MacroOptions, request};
use crate::output::{Output, table};

/// List the presets, show one with the source of every value, and start one of your own.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  hafnia macros
  hafnia macros show gt-n40
  hafnia macros new my-macro.toml --from foundry-b
  hafnia macros show my-macro.toml --format json
  hafnia macros codes --macro my-macro.toml --out codes.csv --plot codes.svg

docs/macros.md lists every key.")]
pub(crate) struct Macros {
    #[command(subcommand)]
    pub(crate) command: Option<MacrosCommand>,
    /// The preset or TOML file to show.
    #[arg(value_name = "NAME|FILE")]
    name: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum MacrosCommand {
    Show(Show),
    New(New),
    Codes(Codes),
}

/// Show a macro with unit and source of every value.
#[derive(Args)]
pub(crate) struct Show {
    /// The preset or TOML file.
    #[arg(value_name = "NAME|FILE")]
    name: String,
}

/// Start the file of a macro: it inherits all values, and has every key as a comment with its unit,
/// range and meaning.
#[derive(Args, Serialize)]
#[command(after_help = "Examples:
  hafnia macros new my-macro.toml
  hafnia macros new my-cells.toml --from foundry-b
  hafnia sim --model frontier --macro my-macro.toml")]
pub(crate) struct New {
    /// The file, whose name ends in .toml.
    file: PathBuf,
    /// What it inherits from.
    #[arg(long, default_value = "gt-n40", value_name = "NAME|FILE")]
    from: String,
    /// Replace a file that is there already.
    #[arg(long)]
    force: bool,
}

/// Work out P(code | m ones, n rows on), each conversion on a fresh chip, as engine `table` draws it.
#[derive(Args, Serialize)]
#[command(after_help = "Examples:
  hafnia macros codes --set sigma_lrs_rel=0.2
  hafnia macros codes --macro foundry-b --out codes.csv --plot codes.svg
  hafnia sim --model frontier --engine table --code-table codes.csv")]
pub(crate) struct Codes {
    /// Also write all probabilities as CSV, in the columns n,m,code,probability.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also plot how often codes of full groups are right, too low and too high.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    spec: MacroOptions,
}

impl New {
    pub(crate) fn request(&self) -> anyhow::Result<NewMacroRequest> {
        request(self)
    }
}

impl Codes {
    pub(crate) fn request(&self) -> anyhow::Result<CodesRequest> {
        request(self)
    }
}

impl Macros {
    pub(crate) fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        match (&self.command, &self.name) {
            (None, None) => {
                let names: Vec<&str> = preset_names().collect();
                output.print(&names, |names| names.join("\n"))
            }
            (None, Some(name)) | (Some(MacrosCommand::Show(Show { name })), _) => {
                show(name, output)
            }
            (Some(MacrosCommand::New(new)), _) => output
                .answer(new.request()?.run(session), |new| {
                    format!("{} inherits from {}", new.file.display(), new.from)
                }),
            (Some(MacrosCommand::Codes(codes)), _) => {
                output.answer(codes.request()?.run(session), |entries| text_of_codes(entries))
            }
        }
    }
}

fn show(name: &str, output: Output) -> anyhow::Result<()> {
    output.print(&sources(name)?, |values| {
        let mut table = table(["key", "value", "unit", "source", "from"]);
        for value in values {
            table.row([value.key, &value.value, value.unit, &value.source, &value.from]);
        }
        table.to_string()
    })
}

/// Full groups: how often the code is the number of ones, and how far it is off.
fn text_of_codes(entries: &[CodeProbability]) -> String {
    let rows = entries.iter().map(|entry| entry.n).max().unwrap_or(0);
    let mut table =
        table([">ones", ">code = ones, %", ">code < ones, %", ">code > ones, %", ">mean error"]);
    for ones in 0..=rows {
        let codes = || entries.iter().filter(move |entry| (entry.n, entry.m) == (rows, ones));
        let share = |is_counted: fn(usize, usize) -> bool| {
            let counted = codes().filter(|entry| is_counted(entry.code, entry.m));
            format!("{:.3}", 100.0 * counted.map(|entry| entry.probability).sum::<f64>())
        };
        let error = |entry: &CodeProbability| entry.code as f64 - entry.m as f64;
        table.row([
            ones.to_string(),
            share(|code, ones| code == ones),
            share(|code, ones| code < ones),
            share(|code, ones| code > ones),
            format!("{:.4}", codes().map(|e| e.probability * error(e)).sum::<f64>() + 0.0),
        ]);
    }
    format!("{rows} rows on\n{table}\n--out writes all {} probabilities", entries.len())
}
