//! `cargo xtask validate`: the macro's engines against tools that others wrote.
//!
//! It installs nothing: where a tool is missing it says which, and fails.

mod aihwkit;
pub(crate) mod spice;

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;

/// Holds the engines against tools that others wrote.
#[derive(Args)]
pub(crate) struct Options {
    /// Compare products of matrices with aihwkit's analog tiles; needs Python with aihwkit 1.1.0.
    #[arg(long)]
    aihwkit: bool,
    /// Compare IR drop with ngspice.
    #[arg(long)]
    spice: bool,
    /// The Python that has aihwkit.
    #[arg(long, value_name = "FILE", default_value = "python3")]
    python: PathBuf,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.aihwkit || options.spice, "nothing to validate: give --spice or --aihwkit");
    if options.spice {
        spice::run()?;
    }
    if options.aihwkit {
        aihwkit::run(&options.python)?;
    }
    Ok(())
}
