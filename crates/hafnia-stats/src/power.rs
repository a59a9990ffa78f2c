//! [`Power`]: how many networks and chips a reduction needs to be seen.

use serde::{Deserialize, Serialize};

use crate::error::StatsError;
use crate::outcomes::Outcomes;
use crate::pooled::{check, ratio, residuals};
use crate::spread::{Count, Losses, Spread};

/// What a pilot says of the relative reduction's interval with other numbers of networks and chips.
///
/// Standard deviations are of the reduction, as shares of 1: of one network, chip or image alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Power {
    /// Networks of the pilot.
    pub networks: usize,
    /// Its chips.
    pub chips: usize,
    /// Its images, and those of the forecast.
    pub images: usize,
    /// The relative reduction that it found.
    pub reduction: f64,
    /// From network to network, with chips and images without end.
    pub sd_networks: f64,
    /// From chip to chip, the same for all networks.
    pub sd_chips: f64,
    /// From chip to chip, particular to a network.
    pub sd_chips_own: f64,
    /// From image to image, the same for all networks.
    pub sd_images: f64,
    /// From image to image, particular to a network.
    pub sd_images_own: f64,
    /// What is particular to a chip and an image together.
    pub sd_rest: f64,
    /// The forecast, networks and in them chips ascending.
    pub rows: Vec<PowerRow>,
}

/// The forecast for so many networks and chips.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerRow {
    /// Networks.
    pub networks: usize,
    /// Chips of each.
    pub chips: usize,
    /// How far the interval of the relative reduction is expected to reach to either side, as a
    /// share of 1.
    #[serde(with = "crate::float")]
    pub half_width: f64,
    /// Whether that is a third of what the pilot found or less.
    pub enough: bool,
}

impl Power {
    /// The forecast for the mappings at `position`, against the first, for all pairs of numbers of
    /// networks and chips, each at least 2; the outcomes are as [`pooled`](crate::pooled) takes them.
    ///
    /// The variance is split as in the analysis of variance of a crossed design, parts below 0
    /// being 0. For the pilot's own numbers the forecast is its own interval unless a part was below
    /// 0.
    ///
    /// # Errors
    /// As [`pooled`](crate::pooled); [`StatsError::TooFew`] with less than 2 networks, chips or
    /// images, in the pilot or the forecast; [`StatsError::NoLoss`] if there is no ratio.
    ///
    /// # Panics
    /// If there is no such position.
    pub fn forecast(
        pilot: &[Vec<Outcomes<'_>>],
        position: usize,
        networks: &[usize],
        chips: &[usize],
    ) -> Result<Self, StatsError> {
        check(pilot)?;
        let (k, c, n) = (pilot.len(), pilot[0][0].chips(), pilot[0][0].images());
        let asked = networks.iter().map(|&k| ("networks", k));
        let asked = asked.chain(chips.iter().map(|&c| ("chips", c)));
        let known = [("networks", k), ("chips", c), ("images", n)];
        if let Some((what, found)) = known.into_iter().chain(asked).find(|&(_, found)| found < 2) {
            return Err(StatsError::TooFew { what, found, least: 2 });
        }
        let at = |position: usize| -> Vec<Losses> {
            pilot.iter().map(|mappings| Losses::of(&mappings[position])).collect()
        };
        let (natural, other) = (at(0), at(position));
        let (ratio, spread) = ratio(&natural, &other).ok_or(StatsError::NoLoss)?;
        let mean_natural = Losses::mean_of(&natural).mean;
        let cells: f64 = pilot
            .iter()
            .map(|mappings| {
                let squares = cell_squares(&mappings[0], &mappings[position], ratio);
                (100.0 / mean_natural).powi(2) * squares / (c * n) as f64
            })
            .sum();
        let residuals = residuals(&natural, &other, ratio);
        let per_network = |value: f64| value / k as f64;
        let [by_chip, by_image] = [0, 1].map(|factor| {
            per_network(residuals.iter().map(|losses| losses.variances()[factor]).sum())
        });
        let squares = per_network(residuals.iter().map(|losses| losses.mean.powi(2)).sum());
        let (kf, cf, nf) = (k as f64, c as f64, n as f64);
        // In the mean over networks: cells = chips + images + rest, by_chip = chips + rest / n,
        // by_image = images + rest / c.
        let cells = per_network(cells) - squares;
        let rest = ((cells - by_chip - by_image) / (1.0 - 1.0 / cf - 1.0 / nf)).max(0.0);
        let (shared_chips, shared_images) = (spread.chips * cf, spread.images * nf);
        let own_chips = (by_chip - rest / nf - shared_chips).max(0.0);
        let own_images = (by_image - rest / cf - shared_images).max(0.0);
        let particular = |chips: f64| own_chips / chips + own_images / nf + rest / (chips * nf);
        let between = (kf * spread.networks - particular(cf)).max(0.0);
        let row = |networks: usize, chips: usize| {
            let half_width = Spread {
                networks: (between + particular(chips as f64)) / networks as f64,
                chips: shared_chips / chips as f64,
                images: spread.images,
                count: Count { networks, chips, images: spread.count.images },
            }
            .reach();
            let enough = half_width <= (1.0 - ratio).abs() / 3.0;
            PowerRow { networks, chips, half_width, enough }
        };
        let pairs = networks.iter().flat_map(|&k| chips.iter().map(move |&c| (k, c)));
        Ok(Self {
            networks: k,
            chips: c,
            images: n,
            reduction: 1.0 - ratio,
            sd_networks: between.sqrt(),
            sd_chips: shared_chips.sqrt(),
            sd_chips_own: own_chips.sqrt(),
            sd_images: shared_images.sqrt(),
            sd_images_own: own_images.sqrt(),
            sd_rest: rest.sqrt(),
            rows: pairs.map(|(networks, chips)| row(networks, chips)).collect(),
        })
    }
}

/// Over all chips and images, the sum of squares of loss − `ratio` · natural loss.
fn cell_squares(natural: &Outcomes<'_>, other: &Outcomes<'_>, ratio: f64) -> f64 {
    let mut cells = vec![0.0; natural.images()];
    let mut sum = 0.0;
    for (natural, other) in natural.differences.iter().zip(other.differences) {
        // The sign of a loss does not matter to its square.
        natural.iter().for_each(|&image| cells[image as usize] -= ratio);
        other.iter().for_each(|&image| cells[image as usize] += 1.0);
        for &image in natural.iter().chain(other) {
            let cell = std::mem::take(&mut cells[image as usize]);
            sum += cell * cell;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use hafnia_rng::Seed;

    use super::*;
    use crate::simulation::Scenario;
    use crate::{Bootstrap, pooled};

    #[test]
    fn the_pilot_foretells_its_own_interval() {
        let scenario = Scenario { chips_shared: false, chip_left: 0.28, ..Scenario::MIXED };
        let drawn = scenario.draw(8, Seed(1));
        let pilot: Vec<_> = drawn.iter().map(|network| network.outcomes().to_vec()).collect();
        let power = Power::forecast(&pilot, 1, &[8], &[30]).expect("a pilot");
        let parts = [power.sd_networks, power.sd_chips_own, power.sd_images_own, power.sd_rest];
        assert!(parts.iter().all(|&part| part > 0.0), "no part was below 0: {power:?}");
        let bootstrap = Bootstrap { replicates: 1, seed: Seed(2) };
        let found = pooled(&pilot, bootstrap).expect("even")[1].reduction.expect("the second").rel;
        let half = power.rows[0].half_width;
        assert!((found.hi - found.value - half).abs() < 1e-9, "{found:?}, not ±{half}");
        assert_eq!(power.reduction, found.value);
    }

    /// The parts of the variance are what they were drawn with.
    #[test]
    fn parts_are_found_as_they_were_drawn() {
        let scenario = Scenario { images_shared: 1.0, ..Scenario::MIXED };
        let mut squares = [0.0; 2];
        let pilots = 40;
        for seed in 0..pilots {
            let drawn = scenario.draw(6, Seed(seed));
            let pilot: Vec<_> = drawn.iter().map(|network| network.outcomes().to_vec()).collect();
            let power = Power::forecast(&pilot, 1, &[6], &[30]).expect("a pilot");
            squares[0] += power.sd_networks.powi(2) / pilots as f64;
            squares[1] += power.sd_chips.powi(2) / pilots as f64;
        }
        // A ratio of 0.75 with factors of relative deviation 0.15 and 0.2: 0.1125 and 0.15.
        // A sample variance of 6 networks has a relative deviation of √(2/5), the mean over 40 of
        // √(2/200) = 10 %, the deviation 5 %; chips and images, which are subtracted, add as much
        // again. Allow four deviations.
        for (found, drawn) in squares.map(f64::sqrt).into_iter().zip([0.1125, 0.15]) {
            assert!((found / drawn - 1.0).abs() < 0.4, "{found}, drawn with {drawn}");
        }
    }

    #[test]
    fn more_of_anything_narrows_and_enough_is_a_third() {
        let drawn = Scenario::MIXED.draw(5, Seed(3));
        let pilot: Vec<_> = drawn.iter().map(|network| network.outcomes().to_vec()).collect();
        let power = Power::forecast(&pilot, 1, &[3, 10, 100], &[10, 1000]).expect("a pilot");
        let widths: Vec<f64> = power.rows.iter().map(|row| row.half_width).collect();
        assert!(widths.chunks(2).all(|pair| pair[0] > pair[1]), "{widths:?}");
        assert!(widths[0] > widths[2] && widths[2] > widths[4], "{widths:?}");
        for row in &power.rows {
            assert_eq!(row.enough, row.half_width <= power.reduction.abs() / 3.0, "{row:?}");
        }
    }

    #[test]
    fn a_pilot_needs_two_of_each_and_a_loss() {
        let drawn = Scenario::MIXED.draw(2, Seed(4));
        let pilot: Vec<_> = drawn.iter().map(|network| network.outcomes().to_vec()).collect();
        let fails = |pilot: &[Vec<Outcomes<'_>>], networks: usize| {
            Power::forecast(pilot, 1, &[networks], &[10]).expect_err("too few").to_string()
        };
        assert_eq!(fails(&pilot[..1], 3), "there are 1 networks, at least 2 are needed");
        assert_eq!(fails(&pilot, 1), "there are 1 networks, at least 2 are needed");
        let none = vec![Vec::new(); 3];
        let outcomes = Outcomes { exact_correct: &[true, true, false], differences: &none };
        assert_eq!(
            fails(&[vec![outcomes; 2], vec![outcomes; 2]], 3),
            "the first mapping loses nothing: there is no effect to plan for"
        );
    }
}
