//! What a request may ask for at most, so that no number makes a run without end or takes the memory
//! of the machine: together with the files that are read, about 4 GiB.
//!
//! The command line has its bounds from here, and [`check`] holds requests of a library to the same.

use std::ops::RangeInclusive;

use anyhow::ensure;
use hafnia_text::{Bound, must};

/// Virtual chips of a mapping, or repetitions of engine `table`.
pub const CHIPS: RangeInclusive<u32> = 1..=100_000;

/// Chips times images: what a chip does to each image is kept until the end.
pub const CHIPS_TIMES_IMAGES: RangeInclusive<u64> = 1..=1 << 30;

/// Replicates of a bootstrap.
pub const REPLICATES: RangeInclusive<u32> = 1..=100_000;

/// Swaps that a search tries.
pub const STEPS: RangeInclusive<u64> = 0..=1_000_000_000;

/// Points and shards of a sweep, each.
pub const SHARDS: RangeInclusive<u128> = 1..=1_000_000;

/// Threads; 0 is one for every core.
pub const THREADS: RangeInclusive<usize> = 0..=1024;

/// Numbers of networks or chips that are forecast.
pub const FORECAST: RangeInclusive<usize> = 2..=100_000;

/// Points to which an interval may reach.
pub const REACH: RangeInclusive<f64> = 1e-6..=100.0;

/// A share in per cent.
pub const PERCENT: RangeInclusive<f64> = 0.0..=100.0;

/// Checks a number that is asked for by the name `what`.
///
/// # Errors
/// If it does not lie in the range.
pub fn check<T: Bound + Copy>(
    what: &str,
    number: T,
    range: &RangeInclusive<T>,
) -> anyhow::Result<()> {
    let (min, max) = (*range.start(), *range.end());
    ensure!(range.contains(&number), "{what} is {number}, it {}", must(min, max));
    Ok(())
}

/// Checks chips on so many images, of which each is kept.
///
/// # Errors
/// If there are too many of them.
pub fn check_chips(what: &str, chips: u32, images: usize) -> anyhow::Result<()> {
    check(what, chips, &CHIPS)?;
    let all = u64::from(chips).saturating_mul(images as u64);
    ensure!(
        CHIPS_TIMES_IMAGES.contains(&all),
        "{what} is {chips}, on {images} images it {}",
        must(1, CHIPS_TIMES_IMAGES.end() / (images as u64).max(1))
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_a_limit_is_named() {
        let said = |result: anyhow::Result<()>| result.unwrap_err().to_string();
        assert_eq!(
            said(check("--chips", u32::MAX, &CHIPS)),
            "--chips is 4294967295, it must lie in 1..=100000"
        );
        assert_eq!(
            said(check("--until", f64::NAN, &REACH)),
            "--until is NaN, it must lie in 0.000001..=100"
        );
        assert!(check_chips("--chips", 100_000, 10_000).is_ok());
        assert_eq!(
            said(check_chips("--chips", 100_000, 60_000)),
            "--chips is 100000, on 60000 images it must lie in 1..=17895"
        );
    }
}
