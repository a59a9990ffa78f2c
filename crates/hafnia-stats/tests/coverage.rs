//! The pooled intervals hold the truth as often as they say, and what must not matter does not.

use hafnia_rng::Seed;
use hafnia_stats::simulation::{Drawn, Scenario};
use hafnia_stats::{Bootstrap, Interval, Outcomes, Pooled, pooled};
use proptest::prelude::*;
use rayon::prelude::*;

fn networks(drawn: &[Drawn]) -> Vec<Vec<Outcomes<'_>>> {
    drawn.iter().map(|network| network.outcomes().to_vec()).collect()
}

fn pool(networks: &[Vec<Outcomes<'_>>]) -> Vec<Pooled> {
    pooled(networks, Bootstrap { replicates: 1, seed: Seed(1) }).expect("even networks")
}

/// The least and the most hits that are seen with probability over 1 − 2·`tail` in so many trials
/// with this chance each.
fn binomial(trials: u32, chance: f64, tail: f64) -> [u32; 2] {
    let mut probability = (1.0 - chance).powi(trials as i32);
    let (mut below, mut least) = (0.0, None);
    for hits in 0..=trials {
        below += probability;
        if least.is_none() && below > tail {
            least = Some(hits);
        }
        if below >= 1.0 - tail {
            return [least.unwrap_or(0), hits];
        }
        probability *= f64::from(trials - hits) / f64::from(hits + 1) * chance / (1.0 - chance);
    }
    [least.unwrap_or(0), trials]
}

#[test]
fn binomial_bounds_are_those_of_tables() {
    // Of 10 fair coins, 2 to 8 heads with 97.9 %; of 100 trials at 95 %, 90 to 99 with 96 %.
    assert_eq!(binomial(10, 0.5, 0.025), [2, 8]);
    assert_eq!(binomial(100, 0.95, 0.025), [90, 99]);
}

/// 36 coverages are held to bounds of probability 1 − 2·1e-4 each, so that one seed in 140 fails if
/// all are 95 %.
#[test]
fn pooled_intervals_cover_at_3_5_and_10_networks() {
    const TRIALS: u32 = 300;
    let [least, most] = binomial(TRIALS, 0.95, 1e-4);
    for scenario in Scenario::ALL {
        for count in [3, 5, 10] {
            let hits = |trial: u32| {
                let drawn = scenario.draw(count, Seed(11).index(trial.into()));
                let found = pool(&networks(&drawn))[1].reduction.expect("of the second");
                [
                    u32::from(found.rel.holds(scenario.reduction)),
                    u32::from(found.points.holds(scenario.saved_points())),
                ]
            };
            let hits = (0..TRIALS)
                .into_par_iter()
                .map(hits)
                .reduce(|| [0; 2], |a, b| [a[0] + b[0], a[1] + b[1]]);
            let name = scenario.name;
            for (what, hits) in ["relative", "points"].into_iter().zip(hits) {
                assert!(
                    (least..=most).contains(&hits),
                    "{name}, {count} networks, {what}: {hits} of {TRIALS}, not {least} to {most}"
                );
            }
        }
    }
}

fn close(found: Interval, expected: Interval) -> Result<(), TestCaseError> {
    let pairs = [(found.value, expected.value), (found.lo, expected.lo), (found.hi, expected.hi)];
    for (found_end, end) in pairs {
        let same = (found_end - end).abs() <= 1e-9 * end.abs().max(1.0) || found_end == end;
        prop_assert!(same || (found_end.is_nan() && end.is_nan()), "{found:?}, not {expected:?}");
    }
    Ok(())
}

/// A few networks with few chips and images, and the order in which they come.
fn small() -> impl Strategy<Value = (Scenario, u64, Vec<usize>)> {
    let order = (2usize..6).prop_flat_map(|k| Just((0..k).collect::<Vec<_>>()).prop_shuffle());
    let scenario = (2u32..8, 60u32..200, 0.0..1.0).prop_map(|(chips, images, images_shared)| {
        Scenario { chips, images, images_shared, natural: 0.008, fragile: 0.1, ..Scenario::MIXED }
    });
    (scenario, any::<u64>(), order)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_networks_does_not_matter((scenario, seed, order) in small()) {
        let drawn = scenario.draw(order.len(), Seed(seed));
        let networks = networks(&drawn);
        let moved: Vec<_> = order.iter().map(|&index| networks[index].clone()).collect();
        for (found, expected) in pool(&moved).iter().zip(pool(&networks)) {
            close(found.drop_points, expected.drop_points)?;
            if let (Some(found), Some(expected)) = (found.reduction, expected.reduction) {
                close(found.rel, expected.rel)?;
                close(found.points, expected.points)?;
            }
        }
    }

    /// Images on which nothing ever happens make drops smaller and leave the ratio as it is.
    #[test]
    fn twice_the_images_halve_the_drop((scenario, seed, order) in small()) {
        let drawn = scenario.draw(order.len(), Seed(seed));
        let networks = networks(&drawn);
        let padded: Vec<Vec<bool>> = networks
            .iter()
            .map(|mappings| mappings[0].exact_correct.iter().copied().chain(vec![true; scenario.images as usize]).collect())
            .collect();
        let wide: Vec<Vec<Outcomes<'_>>> = networks
            .iter()
            .zip(&padded)
            .map(|(mappings, exact_correct)| {
                mappings.iter().map(|of| Outcomes { exact_correct, ..*of }).collect()
            })
            .collect();
        for (found, expected) in pool(&wide).iter().zip(pool(&networks)) {
            let [found_value, value] = [found, &expected].map(|of| of.drop_points.value);
            prop_assert!((2.0 * found_value - value).abs() < 1e-9);
            if let (Some(found), Some(expected)) = (found.reduction, expected.reduction) {
                prop_assert!((2.0 * found.points.value - expected.points.value).abs() < 1e-9);
                let same = (found.rel.value - expected.rel.value).abs() < 1e-9;
                prop_assert!(same || found.rel.value.is_nan() && expected.rel.value.is_nan());
            }
        }
    }

    /// A mapping that loses what the baseline loses saves nothing, without doubt.
    #[test]
    fn a_mapping_beside_itself_saves_nothing((scenario, seed, order) in small()) {
        let drawn = scenario.draw(order.len(), Seed(seed));
        let twice: Vec<_> = networks(&drawn).iter().map(|of| vec![of[0]; 2]).collect();
        let found = pool(&twice)[1].reduction.expect("of the second");
        close(found.points, Interval::exact(0.0))?;
        if found.rel.is_finite() {
            close(found.rel, Interval::exact(0.0))?;
        }
    }
}
