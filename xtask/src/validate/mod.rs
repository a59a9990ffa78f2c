//! `cargo xtask validate`: hafnia against and beside tools that others wrote.
//!
//! It installs nothing: where a tool is missing it says which, and fails.

mod aihwkit;
#[cfg(target_os = "linux")]
pub(crate) mod slurm;
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
    /// Run a sweep on a Slurm cluster of two nodes, started and stopped on this machine; needs root.
    #[cfg(target_os = "linux")]
    #[arg(long)]
    slurm: bool,
    /// The Python that has aihwkit.
    #[arg(long, value_name = "FILE", default_value = "python3")]
    python: PathBuf,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    let slurm = options.slurm;
    #[cfg(not(target_os = "linux"))]
    let slurm = false;
    ensure!(
        options.aihwkit || slurm || options.spice,
        "nothing to validate: give --spice, --slurm or --aihwkit"
    );
    if options.spice {
        spice::run()?;
    }
    #[cfg(target_os = "linux")]
    if slurm {
        slurm::run()?;
    }
    if options.aihwkit {
        aihwkit::run(&options.python)?;
    }
    Ok(())
}
