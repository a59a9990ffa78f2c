//! Tests of mappings: faults are caught, texts go round, totals are right.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod document;
mod faults;
mod file;
mod profile;
mod program;
mod sample;
mod text;
mod totals;
