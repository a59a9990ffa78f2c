//! The workspace's chores: `cargo xtask <chore>`.
//!
//! It drives the release binary `hafnia` and does not link the trainer, so that `tidy` and
//! `codegen` compile in seconds.

mod ci;
mod codegen;
mod instructions;
mod record;
mod reproduce;
mod tidy;
mod validate;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use cargo_metadata::MetadataCommand;
use clap::Parser;

/// The workspace's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Regenerate the paper's numbers: MNIST, training, mapping, noisy inference, report.
    Reproduce(reproduce::Options),
    /// Make the record of a recipe from what its trainings gave; it becomes part of hafnia.
    Record(record::Options),
    /// Hold the engines against tools that others wrote, and look at pages in a browser.
    Validate(validate::Options),
    /// Count the instructions of the engines, and hold them to what is committed.
    Instructions(instructions::Options),
    /// Everything that must pass before a change lands.
    Ci,
    /// Check the invariants of docs/architecture.md.
    Tidy,
    /// Write the documents that are generated from the code.
    Codegen {
        /// Only say whether they are up to date.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Chore::parse() {
        Chore::Reproduce(options) => reproduce::run(&options),
        Chore::Record(options) => record::run(&options),
        Chore::Validate(options) => validate::run(&options),
        Chore::Instructions(options) => instructions::run(&options),
        Chore::Ci => ci::run(),
        Chore::Tidy => tidy::run(),
        Chore::Codegen { check } => codegen::run(check),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the workspace.
fn workspace() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask lies in the workspace").to_owned()
}

/// The folder that cargo builds into.
fn target() -> anyhow::Result<PathBuf> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo metadata")?;
    Ok(metadata.target_directory.into())
}

/// `cargo` as it was called, in the root of the workspace.
fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(workspace());
    // `cargo run` describes xtask to us; handed on, that would make build scripts run again.
    let describes_us = |name: &str| {
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(describes_us) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command and gives an error unless it succeeds.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_owned();
    let status =
        command.status().with_context(|| format!("{} cannot be run", program.display()))?;
    if !status.success() {
        let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
        bail!("`{} {}` failed: {status}", program.display(), arguments.join(" "));
    }
    Ok(())
}
