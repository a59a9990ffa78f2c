//! The command `hafnia`, as a library.
//!
//! [`run`] is all of it: given a registry of passes, it is the whole command line. With a `main` of
//! one line, a user's own passes join pipelines, help and `hafnia passes` without touching ours:
//!
//! ```no_run
//! # use std::process::ExitCode;
//! use hafnia_passes::Registry;
//!
//! fn main() -> ExitCode {
//!     hafnia_cli::run(Registry::builtin())
//! }
//! ```

mod bench;
mod chip;
mod cost;
mod data;
mod fit;
mod frontier;
mod inspect;
mod macros;
mod map;
mod model;
mod models;
mod onnx;
mod options;
mod output;
mod passes;
mod profile;
mod progress;
mod report;
mod reproduce;
mod shapes;
mod shell;
mod sim;
mod stderr;
mod sweep;
#[cfg(test)]
mod tests;
mod train;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use hafnia_passes::Registry;
use hafnia_report::fit_tables;
use hafnia_simd::{Isa, UnknownIsa};
use hafnia_study::{Session, in_one_line, limits};
use hafnia_text::quoted;

use crate::output::{Format, Output};
use crate::progress::Terminal;
use crate::stderr::{Stderr, say};

/// What help calls the options that every command takes, which stand last.
const EVERYWHERE: &str = "Options of every command";

/// From a quantised neural network, through a mapping compiler, to noisy inference on a simulated
/// RRAM compute-in-memory macro.
#[derive(Parser)]
#[command(name = "hafnia", version, propagate_version = true)]
#[command(after_help = "Examples:
  hafnia sim --model frontier --chips 10   a recorded network on virtual chips
  hafnia data                              find or fetch MNIST
  hafnia train --out out/net               train LeNet-5: out/net/network.hafnia
  hafnia map out/net/network.hafnia --pipeline rename --out out/net.map
  hafnia sim out/net/network.hafnia out/net.map --engine device --chips 10")]
struct Cli {
    /// How results are printed.
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
    #[arg(help_heading = EVERYWHERE)]
    format: Format,
    /// Show whole tables, however wide; without it they fit the terminal, or 80 columns.
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    wide: bool,
    /// Say what is going on, on stderr.
    #[arg(long, short, global = true, help_heading = EVERYWHERE)]
    verbose: bool,
    /// Print results and errors only: no bars, no notes.
    #[arg(long, short, global = true, conflicts_with = "verbose", help_heading = EVERYWHERE)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Data(data::Data),
    Train(train::Train),
    Model(model::Model),
    Profile(profile::TakeProfile),
    Map(map::Map),
    Sim(sim::Sim),
    Sweep(sweep::Sweep),
    Cost(cost::Cost),
    Frontier(frontier::Frontier),
    Passes(passes::Passes),
    Models(models::Models),
    Macros(macros::Macros),
    Bench(bench::Bench),
    Shapes(shapes::Shapes),
    Chip(chip::ChipCommand),
    Fit(fit::Fit),
    Inspect(inspect::Inspect),
    Completions(shell::Completions),
    Man(shell::Man),
    Report(report::ReportRuns),
    Reproduce(reproduce::Reproduce),
}

/// Runs the command line of this process with the given passes.
///
/// Gives 0, or 1 after an error, which is printed to stderr in one line; misuse of the command line
/// itself gives 2.
pub fn run(registry: Registry) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misuse_or_help(&error),
    };
    let level = match (cli.verbose, cli.quiet) {
        (true, _) => tracing::Level::DEBUG,
        (false, true) => tracing::Level::ERROR,
        (false, false) => tracing::Level::WARN,
    };
    progress::set_quiet(cli.quiet);
    if !cli.wide {
        fit_tables(output::columns());
    }
    tracing_subscriber::fmt().with_max_level(level).with_writer(|| Stderr).init();
    if let Err(error) = Isa::from_environment() {
        return failure(&error.into());
    }
    if let Err(error) = check_threads() {
        return failure(&error);
    }
    let output = Output { format: cli.format };
    let session = &Session::new(&registry, &Terminal);
    let outcome = match &cli.command {
        Command::Data(command) => command.run(session, output),
        Command::Train(command) => command.run(session, output),
        Command::Model(command) => command.run(session, output),
        Command::Profile(command) => command.run(session, output),
        Command::Map(command) => command.run(session, output),
        Command::Sim(command) => command.run(session, output),
        Command::Sweep(command) => command.run(session, output),
        Command::Cost(command) => command.run(session, output),
        Command::Frontier(command) => command.run(session, output),
        Command::Passes(command) => command.run(&registry, output),
        Command::Models(command) => command.run(output),
        Command::Macros(command) => command.run(session, output),
        Command::Bench(command) => command.run(session, output),
        Command::Shapes(command) => command.run(session, output),
        Command::Chip(command) => command.run(output),
        Command::Fit(command) => command.run(session, output),
        Command::Inspect(command) => command.run(output),
        Command::Completions(command) => command.run(Cli::command()),
        Command::Man(command) => command.run(Cli::command()),
        Command::Report(command) => command.run(output),
        Command::Reproduce(command) => command.run(session),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error),
    }
}

/// Checks the number of threads, which are started when they are first needed.
fn check_threads() -> anyhow::Result<()> {
    const NAME: &str = "RAYON_NUM_THREADS";
    let Some(given) = std::env::var_os(NAME) else { return Ok(()) };
    let given = given.to_string_lossy();
    let number = given.parse();
    limits::check(
        NAME,
        number.map_err(|_| anyhow::anyhow!("{NAME} is {}, it must be a number", quoted(&given)))?,
        &limits::THREADS,
    )
}

fn failure(error: &anyhow::Error) -> ExitCode {
    say(format_args!("error: {}", in_one_line(error)));
    // What was asked for is outside what there is: misuse, though it takes files to see.
    let is_misuse = error.is::<hafnia_tune::TuneError>() || error.is::<UnknownIsa>();
    ExitCode::from(if is_misuse { 2 } else { 1 })
}

/// Prints what clap says of a command line that is wrong, or help, which is a result.
fn misuse_or_help(said: &clap::Error) -> ExitCode {
    let printed = said.print();
    if said.use_stderr() {
        return ExitCode::from(2);
    }
    match output::printed(printed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error),
    }
}
