//! [`accuracy_difference`]: which of two networks or mappings is more accurate.

use crate::error::StatsError;
use crate::interval::Interval;
use crate::outcomes::Outcomes;
use crate::spread::{Losses, Spread};

/// By how many percentage points `one` is more accurate than `other` on the same images, of whatever
/// networks, on as many chips, those of the same number being paired.
///
/// Chips and images add their variances, that of the mean over the others, each times the square of
/// its own Student quantile ([`pooled`](crate::pooled::pooled) does the same). Open for a single chip.
///
/// # Errors
/// If the two differ in the number of chips or of images.
pub fn accuracy_difference(one: Outcomes<'_>, other: Outcomes<'_>) -> Result<Interval, StatsError> {
    if one.images() != other.images() {
        return Err(StatsError::Unpaired { what: "number of images" });
    }
    if one.chips() != other.chips() {
        return Err(StatsError::Unpaired { what: "number of chips" });
    }
    let difference = Losses::of_accuracy(&one).minus(1.0, &Losses::of_accuracy(&other));
    Ok(Interval::around(difference.mean, Spread::of_fixed(&[difference]).reach()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_of_accuracies_is_of_any_two_networks_on_the_same_images() {
        // On images 0 to 9 only the first network is right, on chip 1 it loses image 0.
        let first: Vec<bool> = (0..400).map(|image| image % 40 != 39).collect();
        let second: Vec<bool> = (0..400).map(|image| image % 40 != 39 && image >= 10).collect();
        let (lost, none) = (vec![vec![], vec![0]], vec![vec![], vec![]]);
        let one = Outcomes { exact_correct: &first, differences: &lost };
        let other = Outcomes { exact_correct: &second, differences: &none };
        let found = accuracy_difference(one, other).unwrap();
        assert!((found.value - 100.0 * 9.5 / 400.0).abs() < 1e-9, "{found}");
        let back = accuracy_difference(other, one).unwrap();
        assert!((found.lo + back.hi).abs() < 1e-9 && (found.hi + back.lo).abs() < 1e-9);
        assert_eq!(accuracy_difference(one, one).unwrap(), Interval::exact(0.0));
        let chip = Outcomes { differences: &lost[1..], ..one };
        assert!(accuracy_difference(one, chip).is_err());
        let single = Outcomes { differences: &none[1..], ..other };
        assert!(!accuracy_difference(chip, single).unwrap().is_finite());
    }
}
