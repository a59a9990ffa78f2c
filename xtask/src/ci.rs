//! `cargo xtask ci`: everything that must pass before a change lands.

use std::time::Instant;

use crate::validate::spice;
use crate::{cargo, codegen, instructions, tidy};

/// The commands, in the order in which they fail fastest.
const COMMANDS: &[&[&str]] = &[
    &["fmt", "--all", "--check"],
    &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"],
    &["test", "--workspace"],
    &["test", "--package", "hafnia-train", "--features", "ndarray", "--test", "train"],
    &["doc", "--workspace", "--no-deps"],
    &[
        "run",
        "--quiet",
        "--package",
        "xtask",
        "--",
        "reproduce",
        "--quick",
        "--offline",
        "--out",
        "target/ci-reproduce",
    ],
];

pub(crate) fn run() -> anyhow::Result<()> {
    tidy::run()?;
    codegen::run(true)?;
    for arguments in COMMANDS {
        let start = Instant::now();
        let mut command = cargo(arguments);
        if arguments[0] == "doc" {
            command.env("RUSTDOCFLAGS", "--deny warnings");
        }
        eprintln!("$ cargo {}", arguments.join(" "));
        crate::run(&mut command)?;
        eprintln!("  took {:.0} s", start.elapsed().as_secs_f64());
    }
    if spice::is_there() {
        spice::run()?;
    } else {
        eprintln!("left out for want of ngspice: cargo xtask validate --spice");
    }
    if instructions::is_there() {
        instructions::run(&instructions::Options { bless: false })?;
    } else {
        eprintln!("left out for want of valgrind: cargo xtask instructions");
    }
    Ok(())
}
