//! `hafnia fit`: presets and code tables from measurements.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hafnia_study::{
    FitCellsRequest, FitCodesRequest, FittedRate, FittedState, Request, Session, WantedShape,
};
use serde::Serialize;

use crate::options::{MacroOptions, one_of, request};
use crate::output::{Output, table};

/// Make a preset or a code table from measurements.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia fit cells cells.csv --out my-cells.toml --plot cells.svg
  hafnia fit codes codes.csv --out my-table.csv --plot codes.svg
  hafnia sim --model frontier --macro my-cells.toml
  hafnia sim --model frontier --engine table --code-table my-table.csv")]
pub(crate) struct Fit {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Cells(Cells),
    Codes(Codes),
}

/// A preset from measured conductances: a CSV file with the columns state,g_us, or state,g_s for siemens.
#[derive(Args, Serialize)]
struct Cells {
    /// The measurements: state LRS or HRS, conductance in µS, at least 31 cells of each state.
    file: PathBuf,
    /// The preset to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What the preset inherits from.
    #[arg(long, default_value = "gt-n40", value_name = "NAME|FILE")]
    inherits: String,
    /// Shape of the fit; auto: normal if that holds at 5 %, else log-normal, else the points.
    #[arg(long, value_parser = one_of::<WantedShape>(["auto", "normal", "log-normal", "points"]), default_value = "auto")]
    shape: WantedShape,
    /// Also plot the fit against the data.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// A code table from counted codes: a CSV file with the columns n,m,code,count.
#[derive(Args, Serialize)]
struct Codes {
    /// The counts: rows on, ones among them, code, how often.
    file: PathBuf,
    /// The code table to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Also plot the error rates against those of the macro.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    spec: MacroOptions,
}

impl Fit {
    pub(crate) fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        match &self.command {
            Command::Cells(cells) => {
                let states = request::<FitCellsRequest>(cells)?.run(session);
                output.answer(states, |states| text_of_states(states))
            }
            Command::Codes(codes) => {
                let rates = request::<FitCodesRequest>(codes)?.run(session);
                output.answer(rates, |rates| text_of_rates(rates))
            }
        }
    }
}

fn text_of_states(states: &[FittedState]) -> String {
    let mut table = table([
        "state",
        ">cells",
        "shape",
        ">mean, uS",
        ">sigma, %",
        ">D normal",
        ">D log-normal",
        ">5 % bound",
    ]);
    for state in states {
        table.row([
            state.state.clone(),
            state.cells.to_string(),
            state.shape.clone(),
            format!("{:.4}", state.mean_us),
            format!("{:.3}", 100.0 * state.sigma_rel),
            format!("{:.4}", state.normal_distance),
            state.log_normal_distance.map_or("-".to_owned(), |d| format!("{d:.4}")),
            format!("{:.4}", state.bound),
        ]);
    }
    table.to_string()
}

fn text_of_rates(rates: &[FittedRate]) -> String {
    let mut table = table([">n", ">m", ">conversions", ">wrong, %", ">95 % interval", ">macro, %"]);
    for rate in rates {
        table.row([
            rate.n.to_string(),
            rate.m.to_string(),
            rate.conversions.to_string(),
            format!("{:.3}", 100.0 * rate.wrong),
            format!("{:.3} to {:.3}", 100.0 * rate.lo, 100.0 * rate.hi),
            rate.model.map_or("-".to_owned(), |model| format!("{:.3}", 100.0 * model)),
        ]);
    }
    table.to_string()
}
