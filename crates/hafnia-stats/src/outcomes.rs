//! [`Outcomes`], and the crossed bootstrap of one network.

use hafnia_rng::Seed;
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::classic::{correlation, mean_sd};
use crate::error::StatsError;
use crate::interval::Interval;

/// What noise does to one mapped network: which images come out otherwise on which chips.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcomes<'a> {
    /// Per image, whether the noiseless network is right.
    pub exact_correct: &'a [bool],
    /// Per chip, the images on which it is wrong where the noiseless network is right, or right
    /// where that is wrong.
    pub differences: &'a [Vec<u32>],
}

/// How a bootstrap is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bootstrap {
    /// Replicates; 2 000 where nothing speaks against it.
    pub replicates: u32,
    /// Where its draws come from.
    pub seed: Seed,
}

/// How much of the drop of a natural order another mapping saves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reduction {
    /// 1 − drop / natural drop, the bootstrap being on the ratio itself.
    ///
    /// A replicate whose natural drop is not above 0 has no ratio: it counts as −∞ at the lower and
    /// as +∞ at the upper end. The value is NaN if the natural drop itself is not above 0.
    pub rel: Interval,
    /// Natural drop − drop, in percentage points.
    pub points: Interval,
    /// Correlation of the two drops from chip to chip, which is what pairing by chip gains from;
    /// none if one of them does not vary.
    pub correlation: Option<f64>,
    /// Replicates without a ratio.
    pub undefined: u32,
}

impl Outcomes<'_> {
    /// Number of images.
    pub fn images(&self) -> usize {
        self.exact_correct.len()
    }

    /// Number of chips.
    pub fn chips(&self) -> usize {
        self.differences.len()
    }

    /// What a difference on this image costs: 1 if the noiseless network is right, −1 if not.
    pub fn loss(&self, image: u32) -> i32 {
        if self.exact_correct[image as usize] { 1 } else { -1 }
    }

    /// Per chip, exact accuracy − accuracy of the chip, as a share of 1.
    pub fn drops(&self) -> Vec<f64> {
        let lost = |images: &Vec<u32>| {
            let lost: i32 = images.iter().map(|&image| self.loss(image)).sum();
            f64::from(lost) / self.images() as f64
        };
        self.differences.iter().map(lost).collect()
    }

    /// Checks that `other` is of the same images and chips.
    pub(crate) fn check_paired(&self, other: &Self) -> Result<(), StatsError> {
        if self.chips() != other.chips() {
            return Err(StatsError::Unpaired { what: "number of chips" });
        }
        if self.exact_correct != other.exact_correct {
            return Err(StatsError::Unpaired { what: "images, or in what is right without noise" });
        }
        Ok(())
    }
}

/// Noise impact: exact accuracy − mean accuracy over chips, in percentage points, with the interval
/// of the crossed bootstrap.
pub fn drop_points(outcomes: Outcomes<'_>, bootstrap: Bootstrap) -> Interval {
    let replicates = resample([outcomes], bootstrap).into_iter().map(|[drop]| drop).collect();
    percentile_interval(mean_sd(&outcomes.drops()).mean * 100.0, replicates)
}

/// How much of the drop of `natural` the mapping of `other` saves. Chips and images of a replicate
/// are the same for both.
///
/// # Errors
/// If the two differ in chips or in images.
pub fn reduction(
    natural: Outcomes<'_>,
    other: Outcomes<'_>,
    bootstrap: Bootstrap,
) -> Result<Reduction, StatsError> {
    natural.check_paired(&other)?;
    let drops = [natural.drops(), other.drops()];
    let [mean, other_mean] = [&drops[0], &drops[1]].map(|drops| mean_sd(drops).mean * 100.0);
    let replicates = resample([natural, other], bootstrap);
    let ratio = |natural: f64, other: f64| (natural > 0.0).then(|| 1.0 - other / natural);
    let ratios = replicates.iter().map(|&[natural, other]| ratio(natural, other));
    let ends = |undefined: f64| {
        percentile_interval(
            ratio(mean, other_mean).unwrap_or(f64::NAN),
            ratios.clone().map(|ratio| ratio.unwrap_or(undefined)).collect(),
        )
    };
    let rel = Interval { lo: ends(f64::NEG_INFINITY).lo, ..ends(f64::INFINITY) };
    let undefined = ratios.clone().filter(Option::is_none).count() as u32;
    let saved = replicates.iter().map(|[natural, other]| natural - other).collect();
    let points = percentile_interval(mean - other_mean, saved);
    Ok(Reduction { rel, points, correlation: correlation(&drops[0], &drops[1]), undefined })
}

/// The drops, in percentage points, of every replicate of a crossed bootstrap; chips and images of
/// a replicate are drawn once for all outcomes, which have the same numbers of both.
///
/// Only images on which some chip differs count. Images being exchangeable, they are taken to be
/// the first of all: a draw beyond them is of an image on which nothing happens.
fn resample<const N: usize>(outcomes: [Outcomes<'_>; N], bootstrap: Bootstrap) -> Vec<[f64; N]> {
    let (chips, images) = (outcomes[0].chips(), outcomes[0].images());
    let mut slots = vec![u32::MAX; images];
    let mut used = 0u32;
    // Per outcome and chip: (slot, loss) of its differences.
    let lost = outcomes.map(|outcomes| {
        let chip = |images: &Vec<u32>| {
            let slot = |&image: &u32| {
                let slot = &mut slots[image as usize];
                if *slot == u32::MAX {
                    *slot = used;
                    used += 1;
                }
                (*slot, outcomes.loss(image))
            };
            images.iter().map(slot).collect::<Vec<(u32, i32)>>()
        };
        outcomes.differences.iter().map(chip).collect::<Vec<_>>()
    });
    let replicate = |index: u32| {
        let rng = &mut bootstrap.seed.site("statistics/bootstrap").index(u64::from(index)).rng();
        let mut times_chip = vec![0; chips];
        for _ in 0..chips {
            times_chip[rng.random_range(0..chips as u32) as usize] += 1;
        }
        let mut times_image = vec![0; used as usize];
        for _ in 0..images {
            let image = rng.random_range(0..images as u32);
            if let Some(times) = times_image.get_mut(image as usize) {
                *times += 1;
            }
        }
        let drop = |lost: &Vec<Vec<(u32, i32)>>| {
            let mut sum = 0i64;
            for (lost, &times) in lost.iter().zip(&times_chip) {
                if times > 0 {
                    let of_chip =
                        lost.iter().map(|&(slot, loss)| times_image[slot as usize] * loss);
                    sum += i64::from(of_chip.sum::<i32>()) * times;
                }
            }
            100.0 * sum as f64 / (chips * images) as f64
        };
        lost.each_ref().map(drop)
    };
    (0..bootstrap.replicates).into_par_iter().map(replicate).collect()
}

/// The interval that leaves 2.5 % of the replicates out at each end, moved out to the value where a
/// skewed bootstrap leaves it out; it is a point, the value, if there are no replicates.
pub(crate) fn percentile_interval(value: f64, mut replicates: Vec<f64>) -> Interval {
    replicates.sort_by(f64::total_cmp);
    let Some(last) = replicates.len().checked_sub(1) else {
        return Interval::exact(value);
    };
    let out = (replicates.len() as f64 * 0.025).floor() as usize;
    Interval::holding(value, replicates[out], replicates[last - out])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Outcomes with what they are made of.
    #[derive(Clone)]
    struct Drawn {
        exact_correct: Vec<bool>,
        differences: Vec<Vec<u32>>,
    }

    impl Drawn {
        fn outcomes(&self) -> Outcomes<'_> {
            Outcomes { exact_correct: &self.exact_correct, differences: &self.differences }
        }
    }

    /// The noiseless network is right on all but every tenth image.
    fn outcomes_of(images: u32, differences: Vec<Vec<u32>>) -> Drawn {
        Drawn { exact_correct: (0..images).map(|image| image % 10 != 9).collect(), differences }
    }

    /// Chips that differ on each image with a probability that depends on both.
    fn drawn(images: u32, chips: u64, share: f64, seed: Seed) -> Drawn {
        let chip = |chip| {
            let rng = &mut seed.index(chip).rng();
            let share = share * rng.random_range(0.5..1.5);
            (0..images).filter(|image| image % 10 != 9 && rng.random_bool(share)).collect()
        };
        outcomes_of(images, (0..chips).map(chip).collect())
    }

    const BOOTSTRAP: Bootstrap = Bootstrap { replicates: 400, seed: Seed(1) };

    fn close(found: f64, expected: f64, within: f64) {
        assert!((found - expected).abs() <= within, "{found}, not {expected} within {within}");
    }

    #[test]
    fn without_differences_there_is_no_drop_and_no_ratio() {
        let none = outcomes_of(20, vec![Vec::new(); 3]);
        // Not −0, which would be printed with its sign.
        assert!(none.outcomes().drops().iter().all(|drop| drop.is_sign_positive()));
        let drop = drop_points(none.outcomes(), BOOTSTRAP);
        assert_eq!((drop.value, drop.lo, drop.hi), (0.0, 0.0, 0.0));
        let reduction = reduction(none.outcomes(), none.outcomes(), BOOTSTRAP).expect("paired");
        assert!(reduction.rel.value.is_nan());
        assert_eq!(reduction.undefined, BOOTSTRAP.replicates);
        assert_eq!((reduction.rel.lo, reduction.rel.hi), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(reduction.correlation, None);
    }

    /// A mapping that takes every second difference away halves the drop.
    #[test]
    fn a_halved_drop_is_a_reduction_by_half() {
        let natural = drawn(2_000, 20, 0.02, Seed(5));
        let half = |images: &Vec<u32>| images.iter().copied().step_by(2).collect();
        let other = Drawn {
            differences: natural.differences.iter().map(half).collect(),
            ..natural.clone()
        };
        let reduction = reduction(natural.outcomes(), other.outcomes(), BOOTSTRAP).expect("paired");
        // Some 780 differences; taking each second leaves half but for one a chip at most.
        close(reduction.rel.value, 0.5, 20.0 / 780.0);
        assert!(reduction.rel.lo < reduction.rel.value && reduction.rel.value < reduction.rel.hi);
        // Unpaired, the ratio alone would have a relative error of √(1/780 + 1/390) = 6 % or more,
        // an interval of ±0.06; sharing all differences it must do better.
        assert!(reduction.rel.hi - reduction.rel.lo < 0.12, "{:?}", reduction.rel);
        assert!(reduction.correlation.expect("both vary") > 0.9);
        let drop = drop_points(natural.outcomes(), BOOTSTRAP);
        close(reduction.points.value, drop.value * reduction.rel.value, 1e-9);
    }

    /// The interval of a drop covers the truth about as often as it says.
    #[test]
    fn drop_intervals_cover() {
        let (trials, share) = (60, 0.05);
        let truth = 100.0 * share * 0.9;
        let bootstrap = Bootstrap { replicates: 200, seed: Seed(2) };
        let covered = (0..trials).filter(|&trial| {
            let interval =
                drop_points(drawn(300, 20, share, Seed(100 + trial)).outcomes(), bootstrap);
            interval.lo <= truth && truth <= interval.hi
        });
        // The pigeonhole bootstrap errs to the wide side, with 20 chips and 200 replicates a
        // percentile interval to the narrow: allow a coverage of 90 % and, below that, three
        // standard deviations of 60 trials: 54 − 3·√(60·0.9·0.1) = 47.
        let covered = covered.count();
        assert!(covered >= 47, "{covered} of {trials}");
    }

    #[test]
    fn replicates_do_not_depend_on_threads() {
        let drawn = drawn(500, 10, 0.05, Seed(3));
        let on = |threads| {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| drop_points(drawn.outcomes(), BOOTSTRAP))
        };
        assert_eq!(on(1), on(2));
    }

    #[test]
    fn what_is_not_paired_is_refused() {
        let a = outcomes_of(20, vec![Vec::new(); 2]);
        let unpaired = |b: Drawn| {
            let found = reduction(a.outcomes(), b.outcomes(), BOOTSTRAP);
            matches!(found, Err(StatsError::Unpaired { .. }))
        };
        assert!(unpaired(outcomes_of(20, vec![Vec::new(); 3])));
        assert!(unpaired(outcomes_of(21, vec![Vec::new(); 2])));
    }
}
