//! The workspace, and the programs that chores run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use cargo_metadata::MetadataCommand;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask lies in the workspace").to_owned()
}

/// The folder that cargo builds into.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo metadata")?;
    Ok(metadata.target_directory.into())
}

/// `cargo` as it was called, in the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(root());
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

/// Builds the binary of hafnia by a profile of cargo, `release` or `dev`; returns its path.
pub(crate) fn build(profile: &str) -> anyhow::Result<PathBuf> {
    run(&mut cargo(&["build", "--profile", profile, "--package", "hafnia-cli"]))?;
    let folder = if profile == "dev" { "debug" } else { profile };
    let name = format!("hafnia{}", std::env::consts::EXE_SUFFIX);
    Ok(target()?.join(folder).join(name))
}

/// Runs a command and returns an error unless it succeeds.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_owned();
    let status =
        command.status().with_context(|| format!("{} cannot be run", program.display()))?;
    if !status.success() {
        let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
        bail!("`{} {}` failed: {status}", program.display(), arguments.join(" "));
    }
    Ok(())
}
