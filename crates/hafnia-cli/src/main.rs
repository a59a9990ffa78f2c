//! The command `hafnia`.

use std::process::ExitCode;

use hafnia_passes::Registry;

fn main() -> ExitCode {
    hafnia_cli::run(Registry::builtin())
}
