//! `hafnia report`: the page of a run again, and runs side by side.

use std::path::{Path, PathBuf};

use clap::Args;
use hafnia_artifact::{check_writable, write_whole};
use hafnia_report::{Comparison, Report, page};

use crate::output::{Format, Output};
use crate::progress::note;

/// Write the page of a run of `cargo xtask reproduce` again, or compare several.
///
/// One run: report.html, from its report.json and what lies beside it. Several: a page with claims,
/// metrics and figures side by side, and the same as tables; differences are to the first.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia report out/reproduce
  hafnia report out/before out/after --out out/comparison.html
  hafnia report out/before out/after --format json")]
pub(crate) struct ReportRuns {
    /// Folders with a report.json.
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Page to write; RUN/report.html for one run, none for several without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl ReportRuns {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        let read = |run: &PathBuf| anyhow::Ok((name(run), Report::open(run)?));
        let runs = self.runs.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        let compared = Comparison::of(&runs)?;
        match (&self.runs[..], &self.out) {
            ([run], out) => {
                let out = out.clone().unwrap_or_else(|| run.join("report.html"));
                write(&out, page(&runs[0].1).as_bytes(), output)?;
            }
            (_, Some(out)) => write(out, Comparison::page(&runs)?.as_bytes(), output)?,
            (_, None) => (),
        }
        output.print(&compared, |compared| match &runs[..] {
            [(_, report)] => report.verdict_table().to_string(),
            _ => format!("{}\n{}", compared.claims_table(), compared.metrics_table()),
        })
    }
}

/// A run as it was called, which tells runs apart.
fn name(run: &Path) -> String {
    run.display().to_string()
}

fn write(out: &Path, page: &[u8], output: Output) -> anyhow::Result<()> {
    check_writable(out)?;
    write_whole(out, page)?;
    if output.format == Format::Text {
        note(&format!("{} written", out.display()));
    }
    Ok(())
}
