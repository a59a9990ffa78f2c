//! `hafnia sweep`.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use hafnia_study::sweep::Share;
use hafnia_study::{On, Request, Session, SweepOutcome, SweepRequest};
use serde::Serialize;

use crate::options::{DataOptions, one_of, request};
use crate::output::{Output, answer};

/// What help calls groups of options.
const PARTS: &str = "Parts of a sweep";
const SLURM: &str = "Slurm";
const RESULTS: &str = "Plot";

/// Run many evaluations, over points of networks, pipelines, macros and noise.
///
/// Every shard (some chips of a point) is a file in --out, written whole as it ends: a sweep that is
/// killed goes on where it was, and several processes or machines may work on one folder.
/// Results are collected into results.csv and results.jsonl.
///
/// A design is chosen by it, so chips are shown validation images: the test images are for what was
/// chosen (hafnia sim), or for a sweep that chooses nothing (part = "test").
///
/// A star in the table is a design that no other one beats at the same noise, as far as intervals tell;
/// conditions = ["KEY"] names other keys that designs are not weighed across.
///
/// Keys: model or network, pipeline, pipeline.PASS.OPTION, noise_in, macro, macro.KEY (hafnia macros
/// show gt-n40, hafnia passes).
#[derive(Args, Serialize)]
#[command(after_help = "Examples:
  hafnia sweep sweep.toml --out out/sweep --plan   what would be run, how long
  hafnia sweep sweep.toml --out out/sweep          run it, or go on with it
  hafnia sweep --out out/sweep --collect           what is there so far
  hafnia sweep --out out/sweep --collect --plot area_mm2 accuracy pipeline
  seq 0 3 | parallel hafnia sweep sweep.toml --out out/sweep --share {}/4
  hafnia sweep sweep.toml --out shared/sweep --on slurm --tasks 16

A sweep:
  name = \"noise\"
  part = \"validation\"       or train, or test
  chips = 20
  [base]
  model = \"frontier\"
  [axes]
  pipeline = [\"natural\", \"compact\"]
  \"macro.sigma_lrs_rel\" = { from = 0.05, to = 0.3, steps = 6 }")]
pub(crate) struct Sweep {
    /// The sweep, a TOML file; without it the one in --out goes on.
    #[arg(value_name = "SWEEP")]
    file: Option<PathBuf>,
    /// Folder of the sweep.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the plan and stop.
    #[arg(long)]
    plan: bool,
    /// Start even a very large sweep.
    #[arg(long)]
    yes: bool,
    /// Who computes: this process, or the nodes of a Slurm cluster, which share --out.
    #[arg(long, value_parser = one_of::<On>(["local", "slurm"]), default_value = "local")]
    #[arg(help_heading = SLURM)]
    on: On,
    /// Compute only every N-th shard from the K-th on, and do not collect.
    #[arg(long, value_name = "K/N", help_heading = PARTS)]
    share: Option<Share>,
    /// Compute only the shards that this file lists, a name a line.
    #[arg(long, value_name = "FILE", help_heading = PARTS)]
    shards: Option<PathBuf>,
    /// Only collect what is there.
    #[arg(long)]
    collect: bool,
    /// Draw the results once they are collected: column Y over column X, with its interval where it has
    /// one, and a series for every value of column BY.
    #[arg(long, value_names = ["X", "Y", "BY"], num_args = 1..=3, help_heading = RESULTS)]
    plot: Vec<String>,
    /// The file of --plot, an SVG; without it plot.svg in --out.
    #[arg(long, value_name = "FILE", requires = "plot", help_heading = RESULTS)]
    plot_file: Option<PathBuf>,
    /// Most tasks of the job array.
    #[arg(long, value_name = "N", default_value_t = 16, help_heading = SLURM)]
    tasks: usize,
    /// Cores of a task.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = SLURM)]
    cores: usize,
    /// One more option of sbatch, such as --sbatch=--partition=long.
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true, help_heading = SLURM)]
    sbatch: Vec<String>,
    /// Wait for the end of the collection.
    #[arg(long, help_heading = SLURM)]
    wait: bool,
    #[command(flatten)]
    #[serde(flatten)]
    data: DataOptions,
}

impl Sweep {
    pub(crate) fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        answer(request::<SweepRequest>(self)?.run(session), |swept| {
            output.print(swept, SweepOutcome::text)?;
            let failed = swept.tally.map_or(0, |tally| tally.failed);
            ensure!(
                failed == 0,
                "{failed} shards failed: see the column `error` of the results; \
                 the same command tries them again"
            );
            Ok(())
        })
    }
}
