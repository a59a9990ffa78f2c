//! Prints the table of docs/statistics.md: how often 95 % intervals over networks, chips and images
//! hold the effect that the outcomes were drawn with.
//!
//! `cargo run --release -p hafnia-stats --example coverage [TRIALS]`, by default 2000; beside
//! the pooled intervals stands the percentile bootstrap that draws networks, chips and images
//! alike, on a fifth of the trials.

use hafnia_rng::Seed;
use hafnia_stats::simulation::{Drawn, Scenario};
use hafnia_stats::{Bootstrap, Interval, pooled};
use rand::RngExt;
use rayon::prelude::*;

fn main() {
    let trials = std::env::args().nth(1).map_or(2000, |trials| trials.parse().expect("a number"));
    println!(
        "| spread of | networks | relative | points | half width | percentile bootstrap | half width |"
    );
    println!("|---|---|---|---|---|---|---|");
    for scenario in Scenario::ALL {
        for count in [3, 5, 10] {
            let draw = |trial: u64| scenario.draw(count, Seed(7).index(trial));
            let found: Vec<[f64; 3]> =
                (0..trials).into_par_iter().map(|t| judge(&scenario, &draw(t))).collect();
            let [relative, points, width] = [0, 1, 2]
                .map(|of| found.iter().map(|trial| trial[of]).sum::<f64>() / trials as f64);
            let few = (trials / 5).max(1);
            let plain: Vec<Interval> = (0..few)
                .into_par_iter()
                .map(|trial| plain_bootstrap(&draw(trial), Seed(8).index(trial)))
                .collect();
            let held = plain.iter().filter(|interval| interval.holds(scenario.reduction)).count();
            let plain_width =
                plain.iter().map(|Interval { lo, hi, .. }| (hi - lo) / 2.0).sum::<f64>();
            println!(
                "| {} | {count} | {:.1} % | {:.1} % | {:.1} % | {:.0} % | {:.1} % |",
                scenario.name,
                100.0 * relative,
                100.0 * points,
                100.0 * width,
                100.0 * held as f64 / few as f64,
                100.0 * plain_width / few as f64,
            );
        }
    }
}

/// Whether the pooled intervals hold the truth, and how far the relative one reaches.
fn judge(scenario: &Scenario, drawn: &[Drawn]) -> [f64; 3] {
    let networks: Vec<_> = drawn.iter().map(|network| network.outcomes().to_vec()).collect();
    let bootstrap = Bootstrap { replicates: 1, seed: Seed(1) };
    let pooled = pooled(&networks, bootstrap).expect("even networks");
    let found = pooled[1].reduction.expect("of the second");
    [
        f64::from(found.rel.holds(scenario.reduction)),
        f64::from(found.points.holds(scenario.saved_points())),
        found.rel.hi - found.rel.value,
    ]
}

/// The percentiles of the ratio over replicates that draw networks, chips and images with
/// replacement.
fn plain_bootstrap(drawn: &[Drawn], seed: Seed) -> Interval {
    const REPLICATES: u64 = 400;
    let [images, chips] = [drawn[0].outcomes()[0].images(), drawn[0].outcomes()[0].chips()];
    let replicate = |index: u64| {
        let rng = &mut seed.index(index).rng();
        let mut times = |of: usize| {
            let mut times = vec![0i64; of];
            (0..of).for_each(|_| times[rng.random_range(0..of)] += 1);
            times
        };
        let (of_network, of_chip, of_image) = (times(drawn.len()), times(chips), times(images));
        let mut sums = [0i64; 2];
        for (network, times) in drawn.iter().zip(of_network).filter(|(_, times)| *times > 0) {
            for (sum, outcomes) in sums.iter_mut().zip(network.outcomes()) {
                for (differences, on_chip) in outcomes.differences.iter().zip(&of_chip) {
                    let lost =
                        |&image: &u32| i64::from(outcomes.loss(image)) * of_image[image as usize];
                    *sum += times * on_chip * differences.iter().map(lost).sum::<i64>();
                }
            }
        }
        1.0 - sums[1] as f64 / sums[0] as f64
    };
    let mut ratios: Vec<f64> = (0..REPLICATES).map(replicate).collect();
    ratios.sort_by(f64::total_cmp);
    let out = REPLICATES as usize / 40;
    Interval { value: f64::NAN, lo: ratios[out], hi: ratios[ratios.len() - 1 - out] }
}
