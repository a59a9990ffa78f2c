//! `cargo xtask validate`: hafnia against and beside tools that others wrote.
//!
//! It installs nothing: where a tool is missing it says which, and fails.

mod aihwkit;
mod browser;
pub(crate) mod html;
mod nodal;
pub(crate) mod slurm;
pub(crate) mod spice;

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;

/// Holds the engines against tools that others wrote, and pages against what they must do.
#[derive(Args)]
pub(crate) struct Options {
    /// Compare products of matrices with aihwkit's analog tiles; needs Python with aihwkit 1.1.0.
    #[arg(long)]
    aihwkit: bool,
    /// Compare IR drop with ngspice.
    #[arg(long)]
    spice: bool,
    /// Run a sweep on a Slurm cluster of two nodes, started and stopped on this machine; needs root.
    #[arg(long)]
    slurm: bool,
    /// Make that sweep so many times as long, to see what Slurm adds to a long one.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "slurm",
        value_parser = clap::value_parser!(u32).range(1..=8))]
    times: u32,
    /// Look at the page of a report in headless Chromium.
    #[arg(long)]
    html: bool,
    /// Also look at this page, beside its report.json.
    #[arg(long, value_name = "FILE", requires = "html")]
    page: Option<PathBuf>,
    /// Take pictures of the top of that page: a PNG file, and beside it `-390` and `-dark`.
    #[arg(long, value_name = "FILE", requires = "page")]
    screenshot: Option<PathBuf>,
    /// The Python that has aihwkit.
    #[arg(long, value_name = "FILE", default_value = "python3")]
    python: PathBuf,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(
        options.aihwkit || options.html || options.slurm || options.spice,
        "nothing to validate: give --html, --spice, --slurm or --aihwkit"
    );
    if options.html {
        html::run(options.page.as_deref(), options.screenshot.as_deref())?;
    }
    if options.spice {
        spice::run()?;
    }
    if options.slurm {
        slurm::run(options.times, true)?;
    }
    if options.aihwkit {
        aihwkit::run(&options.python)?;
    }
    Ok(())
}
