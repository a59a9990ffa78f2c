//! The fuzzer of the text form and of programs, for a few seconds.

#[path = "../examples/fuzz/fuzzer.rs"]
mod fuzzer;

use fuzzer::Fuzzer;
use hafnia_rng::Seed;

/// As many inputs as take some five seconds without optimisation.
const INPUTS: u64 = 12_000;

#[test]
fn nothing_goes_wrong() {
    let mut fuzzer = Fuzzer::new(Seed(1));
    for _ in 0..INPUTS {
        if let Err(failure) = fuzzer.step() {
            panic!("{} on\n{}", failure.what, failure.input);
        }
    }
    // It reaches all that it is to check.
    let counts = fuzzer.counts;
    let reached = [counts.read, counts.valid, counts.programs, counts.changed_programs];
    assert!(reached.iter().all(|&count| count > 0), "{counts:?}");
}
