//! `cargo xtask reproduce`: builds the release binary and has it reproduce, in the root of the
//! workspace.

use std::ffi::OsString;
use std::process::Command;

use crate::workspace::{build, root, run as run_command};

/// The options of `hafnia reproduce`, which it lists with --help.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    #[arg(value_name = "OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<OsString>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut command = Command::new(build("release")?);
    run_command(command.arg("reproduce").args(&options.options).current_dir(root()))
}
