//! The damage against its definition.

use std::collections::BTreeMap;

use hafnia_cim::{CodeCovariance, CodeTable, Groups, MacroSpec};
use hafnia_ir::{Coding, Geometry, MatrixProfile, Planes, Stage, Tile, random};
use hafnia_model::Weights;
use hafnia_model::arithmetic::argmax;
use hafnia_rng::Seed;
use proptest::prelude::*;
use rand::{RngExt, seq::SliceRandom};

use super::*;
use crate::analysis::{Answers, Order};
use crate::tests::{codes, linear, scored, spec};

/// The damage of a tile as it is, by the definition and with the one definition of groups.
fn obvious(
    tile: &Tile,
    profile: &MatrixProfile,
    (spec, code_table): (&MacroSpec, &CodeTable),
    last: Option<&Answers<'_>>,
    (coding, planes): (&Coding, &Planes),
) -> f64 {
    let covariance = CodeCovariance::from_spec(spec);
    let mut total = 0.0;
    for sample in 0..profile.samples() {
        let activations = profile.sample(sample);
        let mut means = vec![0.0; tile.columns.len()];
        let mut variances = vec![0.0; tile.columns.len()];
        // Per column, every conversion: factor, rows and ones, physical rows that are ones.
        let mut conversions = vec![Vec::new(); tile.columns.len()];
        for (plane, &of_plane) in planes.factors().iter().enumerate() {
            let is_on = |row: u32| activations[row as usize] >> plane & 1 == 1;
            let active: Vec<u32> = (0..tile.rows.len() as u32)
                .filter(|&position| is_on(tile.rows.get(position as usize).logical))
                .collect();
            let mut groups = Groups::default();
            let (scan, most) = (tile.rows.scan(), spec.rows_per_conversion);
            spec.input_control.groups(most, scan, &active, &mut groups);
            for group in groups.iter() {
                let entries: Vec<_> =
                    active[group].iter().map(|&p| tile.rows.get(p as usize)).collect();
                for (column, kind) in tile.columns.iter().enumerate() {
                    let bits: Vec<u32> = entries
                        .iter()
                        .map(|entry| entry.physical)
                        .filter(|&row| tile.bits.get(row as usize, column))
                        .collect();
                    let moments = code_table.moments(entries.len(), bits.len());
                    let sign = if entries[0].negative != kind.inverted { -1.0 } else { 1.0 };
                    let factor = 2.0 * sign * f64::from(of_plane);
                    means[column] += factor * moments.bias;
                    variances[column] += factor * factor * moments.variance;
                    conversions[column].push((factor, [entries.len(), bits.len()], bits));
                }
            }
        }
        for (variance, conversions) in variances.iter_mut().zip(&conversions) {
            let Some(covariance) = &covariance else { continue };
            for (g, (factor, at, bits)) in conversions.iter().enumerate() {
                for (h, (other_factor, other_at, others)) in conversions.iter().enumerate() {
                    if g != h {
                        let shared = bits.iter().filter(|row| others.contains(row)).count();
                        *variance += factor * other_factor * covariance.of(*at, *other_at, shared);
                    }
                }
            }
        }
        // Of outputs, whose slices add up.
        let mut outputs: BTreeMap<usize, [f64; 2]> = BTreeMap::new();
        for (column, kind) in tile.columns.iter().enumerate() {
            let (slices, logical) = (coding.slices(), kind.logical as usize);
            // What a conversion is off by was taken twice above.
            let factor = f64::from(coding.factors()[logical % slices]) / 2.0;
            let [mean, variance] = outputs.entry(logical / slices).or_default();
            *mean += factor * means[column];
            *variance += factor * factor * variances[column];
        }
        let Some(answers) = last else {
            total += outputs.values().map(|[mean, variance]| mean * mean + variance).sum::<f64>();
            continue;
        };
        let levels = activations.iter().map(|&code| planes.level(code.into()) as u8);
        let scores = answers.scores().of(&answers.outputs(&levels.collect::<Vec<_>>()));
        let class = argmax(&scores);
        let [winner_mean, winner_variance] = outputs[&class];
        for (&output, [mean, variance]) in outputs.iter().filter(|(other, _)| **other != class) {
            let tie = if output < class { -0.5 } else { 0.5 };
            let [of_winner, of_other] = [class, output].map(|output| answers.scale(output));
            let lead = scores[class] - scores[output] + tie * (of_winner + of_other);
            let mean = lead + of_winner * winner_mean - of_other * mean;
            let variances =
                [of_winner * of_winner * winner_variance, of_other * of_other * variance];
            let deviation = variances.iter().sum::<f64>().sqrt();
            total += if deviation > 0.0 {
                0.5 * libm::erfc(mean / deviation / std::f64::consts::SQRT_2)
            } else {
                f64::from(mean < 0.0)
            };
        }
    }
    total / profile.samples() as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn damage_is_the_obvious_one(seed: u64, is_last: bool) {
        let seed = Seed(seed);
        let rng = &mut seed.rng();
        let (rows, outputs) = (rng.random_range(1..=90), rng.random_range(1..=20));
        let bits = rng.random_range(1..=4);
        // Few different rows, so that some are shared.
        let kinds: Vec<u32> = (0..rng.random_range(1..=30)).map(|_| rng.random()).collect();
        let weights: Vec<u32> =
            (0..rows).map(|_| kinds[rng.random_range(0..kinds.len())]).collect();
        let weights = Weights::from_fn(rows, outputs, |row, column| {
            let number = weights[row].rotate_right(column as u32) & ((1 << bits) - 1);
            // ±1 with one bit, two's complement with more.
            if bits == 1 { 2 * number as i32 - 1 } else { number as i32 - (1 << (bits - 1)) }
        });
        let network = linear(weights, rng.random_range(1..=3));
let network = scored(rng, network);
        let spec = spec(seed);
        let code_table = CodeTable::from_spec(&spec);
        let noise = (&spec, &code_table);
        // The tile is whole: shared, negative and inverted at random.
        let geometry = Geometry::new("wide", 128, 128);
        let mapping = random::mapping(seed, &network, &geometry, Stage::Logical);
        let tile = &mapping.tiles[0];
        let of = &mapping.matrices[0];
        let (profile, planes) = &codes(seed, &network, 70, of);
        let codings = (&of.coding, planes);
        let is_whole = tile.columns.len() == of.columns;
        let last = (is_last && is_whole).then(|| Answers::of(&network, 0).expect("it has one"));

        let samples: Vec<usize> = (0..profile.samples()).collect();
        let damage = Damage::new(tile, (profile, &samples), noise, last.as_ref(), codings);
        let mut entries: Vec<usize> = (0..rows).collect();
        entries.shuffle(rng);
        let check = |found: f64, entries: &[usize]| {
            let expected = obvious(&tile.with_order(entries), profile, noise, last.as_ref(), codings);
            // Sums of some thousand terms in another order; up to 19 tails right to 1e-10 each.
            let tolerance = 1e-9 * expected.abs() + 19e-10;
            prop_assert!((found - expected).abs() <= tolerance, "{found} {expected}");
            Ok(())
        };
        check(damage.of(&entries).damage, &entries)?;
        let mut order = damage.order(&entries);
        for _ in 0..6 {
            let swap = [rng.random_range(0..rows), rng.random_range(0..rows)];
            let proposed = order.propose(Change::Swap(swap), f64::INFINITY).unwrap();
            let mut swapped = order.entries().to_vec();
            swapped.swap(swap[0], swap[1]);
            prop_assert_eq!(proposed, damage.of(&swapped));
            if rng.random() {
                order.accept();
                prop_assert_eq!(order.entries(), &swapped[..]);
                prop_assert_eq!(order.cost(), proposed);
            }
        }
        check(order.cost().damage, order.entries())?;
        // Entries on other physical rows of the same bits.
        let mut assigned = tile.clone();
        let mut order = Order::gathered(&damage, &entries);
        for _ in 0..6 {
            let rows = [0; 2].map(|_| {
                let at = rng.random_range(0..rows);
                let physical = order.physical()[at] as usize;
                let is_equal = |row: &usize| tile.bits.row(*row) == tile.bits.row(physical);
                let equal: Vec<usize> = (0..tile.physical_rows()).filter(is_equal).collect();
                (at, equal[rng.random_range(0..equal.len())] as u32)
            });
            let proposed = order.propose(Change::Assign(rows), f64::INFINITY).unwrap();
            let mut other = assigned.clone();
            let row = |(entry, of): (usize, RowEntry)| {
                let to = rows.iter().rev().find(|(at, _)| entries[*at] == entry);
                RowEntry { physical: to.map_or(of.physical, |(_, row)| *row), ..of }
            };
            other.rows = assigned.rows.iter().enumerate().map(row).collect();
            let expected =
                Damage::new(&other, (profile, &samples), noise, last.as_ref(), codings).of(&entries);
            prop_assert_eq!(proposed, expected);
            if rng.random() {
                order.accept();
                assigned = other;
                prop_assert_eq!(order.cost(), expected);
            }
        }
    }
}
