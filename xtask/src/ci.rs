//! `cargo xtask ci`: everything that must pass before a change lands.

use std::process::Command;
use std::time::Instant;

use crate::validate::{html, slurm, spice};
use crate::workspace::{self, cargo, root};
use crate::{codegen, harden, instructions, tidy};

const AARCH64: &str = "aarch64-unknown-linux-gnu";

/// The commands, in the order in which they fail fastest.
const COMMANDS: &[&[&str]] = &[
    &["fmt", "--all", "--check"],
    &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"],
    &["test", "--workspace"],
    &["test", "--package", "hafnia-train", "--features", "ndarray", "--test", "train"],
    &["doc", "--workspace", "--no-deps"],
    // Whether every crate could be published; the tests above have compiled what is in them.
    &["package", "--workspace", "--no-verify", "--allow-dirty", "--quiet"],
    // By the binary that the tests have built: a release build would take as long as all of this.
    &[
        "run",
        "--quiet",
        "--package",
        "hafnia-cli",
        "--",
        "reproduce",
        "--quick",
        "--offline",
        "--out",
        "target/ci-reproduce",
    ],
];

/// The page that the last of them writes.
const PAGE: &str = "target/ci-reproduce/report.html";

pub(crate) fn run() -> anyhow::Result<()> {
    tidy::run()?;
    codegen::run(&codegen::Options::CHECK)?;
    for arguments in COMMANDS {
        let start = Instant::now();
        let mut command = cargo(arguments);
        if arguments[0] == "doc" {
            command.env("RUSTDOCFLAGS", "--deny warnings");
        }
        eprintln!("$ cargo {}", arguments.join(" "));
        workspace::run(&mut command)?;
        eprintln!("  took {:.0} s", start.elapsed().as_secs_f64());
    }
    // The binary is that of the tests.
    harden::run(&harden::Options { minutes: 1.0, seed: 1, binary: None })?;
    // The kernels of a processor that this is not; they cannot be run here.
    let rustup = Command::new("rustup").args(["target", "list", "--installed"]).output();
    if rustup.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(AARCH64)) {
        workspace::run(&mut cargo(&["check", "--target", AARCH64, "--package", "hafnia-sim"]))?;
    } else {
        eprintln!("left out for want of the target {AARCH64}: rustup target add {AARCH64}");
    }
    if spice::is_there() {
        spice::run()?;
    } else {
        eprintln!("left out for want of ngspice: cargo xtask validate --spice");
    }
    match &slurm::missing()[..] {
        [] => slurm::run(1, false)?,
        missing => {
            eprintln!("left out for want of {}: cargo xtask validate --slurm", missing.join(", "));
        }
    }
    if html::is_there() {
        html::run(Some(&root().join(PAGE)), None)?;
    } else {
        eprintln!("left out for want of chromium: cargo xtask validate --html");
    }
    if instructions::is_there() {
        instructions::run(&instructions::Options { bless: false })?;
    } else {
        eprintln!("left out for want of valgrind: cargo xtask instructions");
    }
    Ok(())
}
