//! Fuzzes the text form of mappings and programs for some time:
//! `cargo run --release -p hafnia-ir --example fuzz -- --minutes 10 --seed 1`.
//!
//! Prints what was tried and the most memory that was in use, and fails with the input on which
//! something went wrong.

mod fuzzer;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use fuzzer::Fuzzer;
use hafnia_rng::Seed;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str, default: f64| {
        let position = arguments.iter().position(|argument| argument == name);
        position.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let minutes = Duration::from_secs_f64(60.0 * option("--minutes", 10.0));
    let mut fuzzer = Fuzzer::new(Seed(option("--seed", 1.0) as u64));
    let (start, mut longest) = (Instant::now(), Duration::ZERO);
    while start.elapsed() < minutes {
        let before = Instant::now();
        if let Err(failure) = fuzzer.step() {
            eprintln!("{} on\n{}", failure.what, failure.input);
            return ExitCode::FAILURE;
        }
        longest = longest.max(before.elapsed());
    }
    println!("{:#?}\nlongest input {longest:.1?}, {}", fuzzer.counts, peak_memory());
    ExitCode::SUCCESS
}

/// The most memory that was in use, as Linux counts it.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    peak.unwrap_or("memory unknown").replace('\t', " ")
}
