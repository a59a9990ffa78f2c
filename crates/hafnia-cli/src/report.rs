//! `hafnia report`: the page of a run again, and runs side by side.

use std::path::{Path, PathBuf};

use clap::Args;
use hafnia_artifact::{Places, write_whole};
use hafnia_report::{Comparison, Report, Table, page};
use hafnia_study::written;
use hafnia_text::counted;

use crate::output::{Format, Output};
use crate::progress::note;

/// Write the page of a run of `cargo xtask reproduce` again, or compare several.
///
/// One run: report.html, from its report.json and what lies beside it. Several: what changed, as tables
/// and on a page, on which all else is folded; differences are to the first.
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
        self.places().check()?;
        let read = |run: &PathBuf| anyhow::Ok((name(run), Report::open(run)?));
        let runs = self.runs.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        let compared = Comparison::of(&runs)?;
        let (out, page) = match (&self.runs[..], &self.out) {
            ([run], out) => (Some(out.clone().unwrap_or_else(|| run.join(PAGE))), page(&runs[0].1)),
            (_, Some(out)) => (Some(out.clone()), Comparison::page(&runs)?),
            (_, None) => (None, String::new()),
        };
        let compared = written(compared, |_| {
            let Some(out) = out else { return Ok(()) };
            write_whole(&out, page.as_bytes())?;
            if output.format == Format::Text {
                note(&format!("{} written", out.display()));
            }
            Ok(())
        });
        output.answer(compared, |compared| match &runs[..] {
            [(_, report)] => report.verdict_table().to_string(),
            _ => changes(compared),
        })
    }
}

impl ReportRuns {
    /// Where it reads and writes. A page is made of the other files of its run.
    fn places(&self) -> Places {
        let runs = self.runs.iter().fold(Places::new(), Places::reads_folder);
        match (&self.runs[..], &self.out) {
            ([_], None) => Places::new().writes([self.runs[0].join(PAGE)]),
            ([run], Some(out)) if *out == run.join(PAGE) => Places::new().writes([out]),
            (_, out) => runs.writes(out),
        }
    }
}

/// What changed from run to run, and how much did not.
fn changes(compared: &Comparison) -> String {
    let (claims, metrics) = (compared.changed_claims_table(), compared.changed_table());
    let part = |noun: &str, table: &Table, all: usize| {
        let of = counted(all, noun);
        match table.rows() {
            [] => format!("none of {of} differs"),
            _ => format!("{table}\nwhat differs of {of}"),
        }
    };
    let claims = part("answer", &claims, compared.claims.len());
    format!("{claims}\n{}", part("metric", &metrics, compared.metrics.len()))
}

/// The page of a run, in its folder.
const PAGE: &str = "report.html";

/// A run as it was called, which tells runs apart.
fn name(run: &Path) -> String {
    run.display().to_string()
}
