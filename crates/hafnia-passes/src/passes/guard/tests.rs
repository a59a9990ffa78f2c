//! The guard against what is obvious: planted orders, closed forms, simple sums.

use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{Mapping, MatrixProfile, Profile, Stage, Tile};
use hafnia_model::{BitMatrix, Network};
use hafnia_rng::Seed;
use rand::RngExt;

use super::*;
use crate::pass::Pass;
use crate::passes::reorder::ReorderRows;
use crate::tests::linear;

/// A layer of 28 rows and 2 classes on 1-bit activations. In samples that are `calm` the rows of one
/// half are on, which in natural order make conversions of one kind of row each; in all others rows are
/// drawn.
fn planted(samples: usize, calm: impl Fn(usize) -> bool) -> (Network, Profile) {
    let network =
        linear(BitMatrix::from_fn(28, 2, |row, column| (row % 14 < 7) == (column == 0)), 1);
    let rng = &mut Seed(2).rng();
    let mut activation = |sample: usize, row: usize| {
        let is_on = if calm(sample) { row / 14 == sample % 2 } else { rng.random() };
        u8::from(is_on)
    };
    let mut activations = Vec::new();
    for sample in 0..samples {
        activations.extend((0..28).map(|row| activation(sample, row)));
    }
    let matrix = MatrixProfile { rows: 28, bits: 1, activations };
    let digest = network.digest();
    (network, Profile { network: digest, images: samples, matrices: vec![matrix] })
}

fn noisy() -> MacroSpec {
    let mut spec = MacroSpec::preset("gt-n40").unwrap();
    (spec.cell.sigma_lrs_rel, spec.adc.offset_lsb) = (0.3, 0.3);
    spec
}

/// What the guard says of an order of the only tile.
fn judge(
    guard: Guard,
    (network, profile): &(Network, Profile),
    order: &[usize],
) -> (bool, Statistics) {
    let spec = noisy();
    let context = Context {
        network,
        spec: &spec,
        profile: Some(profile),
        code_table: &CodeTable::from_spec(&spec),
        seed: Seed(1),
        progress: &|_, _| {},
    };
    let mapping = Mapping::logical(network, &spec);
    let scanned = Scanned::new(&mapping.tiles[0], Some(profile), &mapping, &context).unwrap();
    let Split { seen, held } = guard.split(&scanned, &context);
    assert_eq!(seen.len() + held.len(), profile.images);
    let ways = [mapping.tiles[0].clone(), mapping.tiles[0].with_order(order)];
    let ways: [Scanned<'_>; 2] = ways.map(|tile: Tile| scanned.with_tile(tile));
    let mut statistics = Statistics::default();
    let takes = guard.takes([&ways[0], &ways[1]], &held, &context, "only", &mut statistics);
    (takes, statistics)
}

/// Rows of both kinds in turn: groups of seven that are on together hold ones of both classes.
fn mixed() -> Vec<usize> {
    (0..28).map(|position| position / 14 * 14 + position % 2 * 7 + position % 14 / 2).collect()
}

#[test]
fn of_two_orders_the_one_that_is_better_on_what_was_held_back_is_taken_and_not_the_other() {
    let guard = Guard { held_back: 100, chips: 200, sure: 2.0 };
    let given = planted(400, |_| true);
    let (takes_mixed, statistics) = judge(guard, &given, &mixed());
    let [flips, gain] = [1, 2].map(|line| statistics.lines[line].clone());
    assert!(flips.name.starts_with("flips a sample held back, 200 virtual chips"), "{flips}");
    assert!(flips.before.unwrap() < flips.after && gain.after < -2.0, "{statistics}");
    assert!(!takes_mixed, "{statistics}");
    // The same order is never better than itself.
    let same: Vec<usize> = (0..28).collect();
    let (takes, statistics) = judge(guard, &given, &same);
    assert!(!takes, "{statistics}");
    assert_eq!(statistics.lines[2].after, 0.0);
}

/// The search sees rows that are drawn, and is judged on rows for which the natural order is good.
#[test]
fn an_order_that_is_worse_on_what_was_held_back_leaves_the_natural_one() {
    let guard = Guard { held_back: 100, chips: 100, sure: 1.0 };
    // Which samples are held back follows from the seed and their number.
    let (network, profile) = planted(400, |_| true);
    let spec = noisy();
    let code_table = CodeTable::from_spec(&spec);
    let context = |network, profile| Context {
        network,
        spec: &spec,
        profile: Some(profile),
        code_table: &code_table,
        seed: Seed(1),
        progress: &|_, _| {},
    };
    let mut mapping = Mapping::logical(&network, &spec);
    mapping.stage = Stage::Tiled;
    let given = context(&network, &profile);
    let scanned = Scanned::new(&mapping.tiles[0], Some(&profile), &mapping, &given).unwrap();
    let held = guard.split(&scanned, &given).held;
    let (network, profile) = planted(400, |sample| held.contains(&sample));
    let given = context(&network, &profile);
    let reordered = |held_back| {
        let pass = ReorderRows { steps: 2000, held_back, ..ReorderRows::default() };
        let mut mapping = mapping.clone();
        let statistics = pass.run(&mut mapping, &given).unwrap();
        (mapping, statistics)
    };
    let (unjudged, statistics) = reordered(0);
    assert_ne!(unjudged, mapping, "an order was found");
    assert!(statistics.lines[0].after < statistics.lines[0].before.unwrap(), "{statistics}");
    let (judged, statistics) = reordered(100);
    assert_eq!(judged, mapping, "{statistics}");
    let taken = statistics.get("taken: 1, left as it was: 0 (only, t0)").unwrap();
    assert_eq!(taken.after, 0.0, "{statistics}");
}

#[test]
fn with_nothing_to_judge_by_nothing_is_taken_unless_it_is_told_to() {
    let given = planted(3, |_| true);
    assert!(!judge(Guard::default(), &given, &mixed()).0, "a quarter of 3 images is none");
    assert!(judge(Guard { held_back: 0, ..Guard::default() }, &given, &mixed()).0);
}

/// Against the sums that define it, over all chips and samples, the silent ones included.
#[test]
fn the_error_is_that_of_chips_and_samples_drawn_together() {
    let rng = &mut Seed(4).rng();
    let (chips, samples, repetitions) = (12, 30, 4000);
    // Differences with a part of the chip, a part of the sample and a rest, all of deviation 1.
    let mut normal = || -> f64 { (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0 };
    let (mut means, mut variances) = (Vec::new(), Vec::new());
    for _ in 0..repetitions {
        let of_samples: Vec<f64> = (0..samples).map(|_| normal()).collect();
        let mut of_chip = || {
            let chip = normal();
            let differences = of_samples.iter().map(|sample| chip + sample + normal()).collect();
            [differences, vec![0.0; samples]]
        };
        let damages: Vec<[Vec<f64>; 2]> = (0..chips).map(|_| of_chip()).collect();
        let all: f64 = damages.iter().flat_map(|[before, _]| before).sum();
        means.push(all / (chips * samples) as f64);
        variances.push(error(&damages, samples).powi(2));
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let of_means = mean(&means.iter().map(|mean| mean * mean).collect::<Vec<_>>());
    // 1/12 + 1/30 + 1/360; the variance of 4000 squares is known to √(2/4000) = 2.2 %.
    let expected = 1.0 / 12.0 + 1.0 / 30.0 + 1.0 / 360.0;
    assert!((of_means / expected - 1.0).abs() < 4.0 * 0.0224, "{of_means} {expected}");
    assert!((mean(&variances) / expected - 1.0).abs() < 0.05, "{} {expected}", mean(&variances));
}

#[test]
fn samples_that_are_not_named_have_no_damage() {
    let all: Vec<[Vec<f64>; 2]> =
        vec![[vec![1.0, 0.0, 0.0], vec![0.0; 3]], [vec![0.0; 3], vec![0.0; 3]]];
    let named: Vec<[Vec<f64>; 2]> = vec![[vec![1.0], vec![0.0]], [vec![0.0], vec![0.0]]];
    assert_eq!(error(&all, 3), error(&named, 3));
}

/// The squares of 0.1 and of their sum do not cancel, by rounding.
#[test]
fn equal_differences_have_an_error_that_is_a_number() {
    for samples in 2..50 {
        let differences = [vec![0.1; samples], vec![0.0; samples]];
        let found = error(&[differences], samples);
        assert!(found > 0.0 && found < 1e-8, "{samples}: {found}");
    }
}
