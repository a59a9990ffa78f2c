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
    use hafnia_rng::Seed;
    use rand::RngExt;

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
        assert!(found.is_finite() && found.hi > found.value);
        let back = accuracy_difference(other, one).unwrap();
        assert!((found.lo + back.hi).abs() < 1e-9 && (found.hi + back.lo).abs() < 1e-9);
        assert_eq!(accuracy_difference(one, one).unwrap(), Interval::exact(0.0));
        let chip = Outcomes { differences: &lost[1..], ..one };
        assert!(accuracy_difference(one, chip).is_err());
        let single = Outcomes { differences: &none[1..], ..other };
        assert!(!accuracy_difference(chip, single).unwrap().is_finite());
    }

    /// Two networks that are as good as each other, on images that are harder for one or the other and
    /// chips that do more to one or the other.
    #[test]
    fn the_interval_contains_the_truth_at_least_as_often_as_it_says() {
        const DRAWS: u32 = 400;
        let (images, chips) = (500, 8);
        let held = (0..DRAWS).filter(|&draw| {
            let rng = &mut Seed(7).site("difference/coverage").index(draw.into()).rng();
            let mut network = || {
                // One image in ten is fragile; a chip has a rate of its own.
                let fragile: Vec<f64> = (0..images)
                    .map(|_| if rng.random_bool(0.1) { rng.random() } else { 0.0 })
                    .collect();
                let mut chip = || {
                    let rate: f64 = rng.random();
                    let is_lost = |image: &u32| rng.random_bool(rate * fragile[*image as usize]);
                    (0..images as u32).filter(is_lost).collect::<Vec<u32>>()
                };
                (0..chips).map(|_| chip()).collect::<Vec<_>>()
            };
            let (one, other) = (network(), network());
            let exact = vec![true; images];
            let of = |differences| Outcomes { exact_correct: &exact, differences };
            accuracy_difference(of(&one), of(&other)).unwrap().holds(0.0)
        });
        // 95 % of 400 are 380, with a deviation of 4.4: 363 or fewer have a probability of 2e-4.
        let held = held.count();
        assert!(held > 363, "{held} of {DRAWS}");
    }
}
