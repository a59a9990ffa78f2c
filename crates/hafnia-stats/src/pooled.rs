//! [`pooled`]: what noise costs, and what a mapping saves, over several networks.

use serde::{Deserialize, Serialize};

use crate::error::StatsError;
use crate::interval::Interval;
use crate::outcomes::{Bootstrap, Outcomes, drop_points, reduction};
use crate::spread::{Losses, Spread, jackknife};

/// What is said of the mappings at one position of all networks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pooled {
    /// Exact accuracy − mean accuracy in the mean over networks, in percentage points.
    pub drop_points: Interval,
    /// Against the first position; none for that itself.
    pub reduction: Option<PooledReduction>,
}

/// How much of the drop of the first mappings the others save.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PooledReduction {
    /// 1 − Σ drop / Σ drop of the first, over networks. The value is NaN if that sum is not above
    /// 0; the interval is open if chips and images alone leave it in doubt that it is.
    pub rel: Interval,
    /// Drop of the first − drop, in percentage points, in the mean over networks.
    pub points: Interval,
}

/// The statistics of every position: `networks` holds, per network, the outcomes of its mappings,
/// the first being the baseline. Position m of one network is compared with position m of another.
///
/// The intervals say where the value would lie with other networks of the same training, other
/// chips *and* other images. All networks have seen the same images, and chip c draws from the same
/// addresses whatever the network, so both are crossed with networks: whatever chips or images do
/// to all networks alike is counted as such, and if they do nothing alike, nothing is counted twice.
/// - From network to network: the variance of leaving out one after the other, which holds all that
///   is particular to a network, its chips and images included.
/// - From chip to chip and from image to image: the covariance between networks.
///
/// Each is multiplied by Student's quantile for as many networks, chips, or images that carry the
/// spread; the interval reaches as far as the root of the sum of squares. Three networks cannot be
/// resampled with any sense, so nothing is drawn: the variances are those that such a bootstrap
/// would find with replicates without end. Coverage is shown by `tests/coverage.rs`.
///
/// One network has no spread of networks: [`drop_points`] and [`reduction`] say what holds for that
/// network, with their draws.
///
/// # Errors
/// [`StatsError::TooFew`] without a network, a mapping, a chip or an image; [`StatsError::Uneven`] if networks
/// differ in the number of mappings, chips or images; [`StatsError::Unpaired`] if the mappings of
/// one do.
pub fn pooled(
    networks: &[Vec<Outcomes<'_>>],
    bootstrap: Bootstrap,
) -> Result<Vec<Pooled>, StatsError> {
    check(networks)?;
    if let [mappings] = networks {
        return one(mappings, bootstrap);
    }
    let at = |position: usize| -> Vec<Losses> {
        networks.iter().map(|mappings| Losses::of(&mappings[position])).collect()
    };
    let natural = at(0);
    let positions = (0..networks[0].len()).map(|position| {
        let losses = at(position);
        let reduction = (position > 0).then(|| {
            let saved: Vec<Losses> = natural
                .iter()
                .zip(&losses)
                .map(|(natural, other)| natural.minus(1.0, other))
                .collect();
            PooledReduction { rel: relative(&natural, &losses), points: mean(&saved) }
        });
        Pooled { drop_points: mean(&losses), reduction }
    });
    Ok(positions.collect())
}

/// Checks that all networks have as many mappings, chips and images, at least one of each.
pub(crate) fn check(networks: &[Vec<Outcomes<'_>>]) -> Result<(), StatsError> {
    let too_few = |what| StatsError::TooFew { what, found: 0, least: 1 };
    let first = networks.first().ok_or(too_few("networks"))?;
    let baseline = first.first().ok_or(too_few("mappings"))?;
    for (index, mappings) in networks.iter().enumerate() {
        let sizes = [
            ("mappings", mappings.len(), first.len()),
            ("chips", mappings.first().map_or(0, Outcomes::chips), baseline.chips()),
            ("images", mappings.first().map_or(0, Outcomes::images), baseline.images()),
        ];
        for (what, found, expected) in sizes {
            if found != expected {
                return Err(StatsError::Uneven { network: index + 1, what, found, expected });
            }
            if found == 0 {
                return Err(too_few(what));
            }
        }
        mappings[1..].iter().try_for_each(|other| mappings[0].check_paired(other))?;
    }
    Ok(())
}

/// A single network.
fn one(mappings: &[Outcomes<'_>], bootstrap: Bootstrap) -> Result<Vec<Pooled>, StatsError> {
    let natural = mappings[0];
    let positions = mappings.iter().enumerate().map(|(position, &outcomes)| {
        let reduction = match position {
            0 => None,
            _ => {
                let found = reduction(natural, outcomes, bootstrap)?;
                Some(PooledReduction { rel: found.rel, points: found.points })
            }
        };
        Ok(Pooled { drop_points: drop_points(outcomes, bootstrap), reduction })
    });
    positions.collect()
}

fn means(losses: &[Losses]) -> Vec<f64> {
    losses.iter().map(|losses| losses.mean).collect()
}

/// The mean over networks.
fn mean(losses: &[Losses]) -> Interval {
    let means = means(losses);
    let networks = jackknife(&means, &vec![1.0; means.len()]);
    let value = means.iter().sum::<f64>() / means.len() as f64;
    Interval::around(value, Spread::of(losses, networks).reach())
}

/// 1 − Σ other / Σ natural.
fn relative(natural: &[Losses], other: &[Losses]) -> Interval {
    let Some((ratio, spread)) = ratio(natural, other) else { return Interval::open(f64::NAN) };
    let value = 1.0 - ratio;
    let mean = Losses::mean_of(natural).mean;
    match mean > Spread::of_fixed(natural).reach() {
        true => Interval::around(value, spread.reach()),
        false => Interval::open(value),
    }
}

/// Σ other / Σ natural with its spread, linearised; none if nothing is lost by `natural`.
pub(crate) fn ratio(natural: &[Losses], other: &[Losses]) -> Option<(f64, Spread)> {
    let (above, below) = (means(other), means(natural));
    let sum: f64 = below.iter().sum();
    if sum <= 0.0 {
        return None;
    }
    let ratio = above.iter().sum::<f64>() / sum;
    let residuals = residuals(natural, other, ratio);
    Some((ratio, Spread::of(&residuals, jackknife(&above, &below))))
}

/// What `other` loses beyond `ratio` times `natural`, as a share of what `natural` loses in the
/// mean: their mean is 0, and their spread is that of the ratio.
pub(crate) fn residuals(natural: &[Losses], other: &[Losses], ratio: f64) -> Vec<Losses> {
    let mean = Losses::mean_of(natural).mean;
    let pairs = natural.iter().zip(other);
    pairs.map(|(natural, other)| other.minus(ratio, natural).scaled(1.0 / mean)).collect()
}

#[cfg(test)]
mod tests {
    use hafnia_rng::Seed;

    use super::*;
    use crate::simulation::{Drawn, Scenario};

    const BOOTSTRAP: Bootstrap = Bootstrap { replicates: 200, seed: Seed(1) };

    fn networks(drawn: &[Drawn]) -> Vec<Vec<Outcomes<'_>>> {
        drawn.iter().map(|network| network.outcomes().to_vec()).collect()
    }

    #[test]
    fn one_network_is_what_its_bootstrap_says() {
        let drawn = Scenario::MIXED.draw(1, Seed(3));
        let networks = networks(&drawn);
        let [natural, other] = drawn[0].outcomes();
        let found = pooled(&networks, BOOTSTRAP).expect("even");
        let single = reduction(natural, other, BOOTSTRAP).expect("paired");
        let expected = PooledReduction { rel: single.rel, points: single.points };
        assert_eq!(found[1].reduction, Some(expected));
        assert_eq!(found[0].drop_points, drop_points(natural, BOOTSTRAP));
        assert_eq!((found.len(), found[0].reduction), (2, None));
    }

    #[test]
    fn networks_that_agree_in_all_are_judged_by_chips_and_images_alone() {
        // The same network thrice: what is left is the spread of chips and images, all of it shared.
        let drawn = Scenario::MIXED.draw(1, Seed(4));
        let thrice = vec![drawn[0].outcomes().to_vec(); 3];
        let found = pooled(&thrice, BOOTSTRAP).expect("even")[0].drop_points;
        let losses = vec![Losses::of(&drawn[0].outcomes()[0]); 3];
        let reach = Spread::of_fixed(&losses).reach();
        assert!((found.hi - found.value - reach).abs() < 1e-9 * reach, "{found:?}, not ±{reach}");
    }

    #[test]
    fn nothing_lost_has_no_ratio_and_no_spread() {
        let (right, none) = (vec![true; 20], vec![Vec::new(); 3]);
        let outcomes = Outcomes { exact_correct: &right, differences: &none };
        let found = pooled(&vec![vec![outcomes; 2]; 3], BOOTSTRAP).expect("even");
        assert_eq!(found[0].drop_points, Interval::exact(0.0));
        let reduction = found[1].reduction.expect("of the second");
        assert_eq!(reduction.points, Interval::exact(0.0));
        assert!(reduction.rel.value.is_nan() && reduction.rel.lo == f64::NEG_INFINITY);
    }

    #[test]
    fn a_loss_that_is_not_told_from_none_leaves_the_ratio_open() {
        // Two chips lose an image each, one wins one, on images of their own.
        let exact: Vec<bool> = (0..20).map(|image| image != 7).collect();
        let lost = [vec![vec![1], vec![7], vec![3]], vec![vec![2], vec![], vec![7]]];
        let network = |differences| Outcomes { exact_correct: &exact[..], differences };
        let mappings = vec![network(&lost[0]), network(&lost[1])];
        let rel = pooled(&[mappings.clone(), mappings], BOOTSTRAP).expect("even")[1]
            .reduction
            .expect("of the second")
            .rel;
        assert_eq!((rel.value, rel.lo, rel.hi), (1.0, f64::NEG_INFINITY, f64::INFINITY));
    }

    #[test]
    fn a_single_chip_leaves_everything_open() {
        let drawn = Scenario { chips: 1, ..Scenario::MIXED }.draw(3, Seed(5));
        let found = pooled(&networks(&drawn), BOOTSTRAP).expect("even");
        assert!(!found[0].drop_points.is_finite() && found[0].drop_points.value.is_finite());
    }

    #[test]
    fn networks_that_do_not_match_are_refused() {
        let fails = |networks: &[Vec<Outcomes<'_>>]| {
            pooled(networks, BOOTSTRAP).expect_err("uneven").to_string()
        };
        let drawn = Scenario::MIXED.draw(2, Seed(6));
        let fewer = Scenario { chips: 29, ..Scenario::MIXED }.draw(1, Seed(6));
        let smaller = Scenario { images: 1999, ..Scenario::MIXED }.draw(1, Seed(6));
        let [all, fewer, smaller] = [&drawn, &fewer, &smaller].map(|drawn| networks(drawn));
        let with =
            |other: &Vec<Outcomes<'_>>| fails(&[all[0].clone(), all[1].clone(), other.clone()]);
        assert_eq!(with(&fewer[0]), "network 3 has 29 chips, network 1 has 30");
        assert_eq!(with(&smaller[0]), "network 3 has 1999 images, network 1 has 2000");
        assert_eq!(with(&all[0][..1].to_vec()), "network 3 has 1 mappings, network 1 has 2");
        assert_eq!(fails(&[]), "there are 0 networks, at least 1 are needed");
        assert_eq!(fails(&[Vec::new()]), "there are 0 mappings, at least 1 are needed");
        let mixed = vec![all[0][0], fewer[0][1]];
        assert_eq!(fails(&[mixed]), "paired results differ in their number of chips");
    }
}
