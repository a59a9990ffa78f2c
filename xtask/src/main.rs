//! The workspace's chores: `cargo xtask <chore>`.
//!
//! It does not link the trainer, so that `tidy` and `codegen` compile in seconds.

mod ci;
mod codegen;
mod harden;
mod instructions;
mod messages;
mod record;
mod reproduce;
mod tidy;
mod validate;
mod workspace;

use std::process::ExitCode;

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
    Harden(harden::Options),
    /// Everything that must pass before a change lands.
    Ci,
    /// Check the invariants of docs/architecture.md.
    Tidy,
    /// Write the documents that are generated from the code and from a recorded run.
    Codegen(codegen::Options),
}

fn main() -> ExitCode {
    let outcome = match Chore::parse() {
        Chore::Reproduce(options) => reproduce::run(&options),
        Chore::Record(options) => record::run(&options),
        Chore::Validate(options) => validate::run(&options),
        Chore::Instructions(options) => instructions::run(&options),
        Chore::Harden(options) => harden::run(&options),
        Chore::Ci => ci::run(),
        Chore::Tidy => tidy::run(),
        Chore::Codegen(options) => codegen::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
