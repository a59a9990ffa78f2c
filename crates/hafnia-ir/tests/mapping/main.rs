//! Tests of mappings: faults are caught, texts go round, totals are right.

mod faults;
mod file;
mod profile;
mod sample;
mod text;
mod totals;
