//! The search on tiles of few different rows.

use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{prove, verify};
use hafnia_model::BitMatrix;
use rand::RngExt;

use super::*;
use crate::tests::{linear, profile};

/// Twenty-four rows of eight kinds, allocated.
fn allocation(pass: &AllocateRows) -> (Mapping, Statistics) {
    let mut rng = Seed(3).rng();
    let kinds: Vec<u32> = (0..8).map(|kind| kind << 3 | rng.random_range(0..8)).collect();
    let bits = BitMatrix::from_fn(24, 6, |row, column| kinds[row % 8] >> column & 1 == 1);
    let network = linear(bits, 2);
    let mut spec = MacroSpec::preset("gt-n40").unwrap();
    (spec.adc.offset_lsb, spec.cell.sigma_lrs_rel) = (0.2, 0.2);
    let profile = profile(Seed(1), &network, 200);
    let context = Context {
        network: &network,
        spec: &spec,
        profile: Some(&profile),
        code_table: &CodeTable::from_spec(&spec),
        seed: Seed(1),
        progress: &|_, _| {},
    };
    let mut mapping = Mapping::logical(&network, &spec);
    mapping.stage = Stage::Tiled;
    let statistics = Pass::run(pass, &mut mapping, &context).unwrap();
    verify(&mapping).unwrap();
    prove(&mapping, &network).unwrap();
    (mapping, statistics)
}

/// Rows allowed, and the damage left, unjudged.
fn damage(rows: usize, polarity: bool) -> f64 {
    let pass =
        AllocateRows { rows, polarity, steps: 2000, held_back: 0, ..AllocateRows::default() };
    let (mapping, statistics) = allocation(&pass);
    assert!(mapping.tiles[0].physical_rows() <= rows);
    let after = statistics.lines[0].after;
    assert!(after <= statistics.lines[0].before.unwrap());
    after
}

#[test]
fn rows_stay_within_the_budget_and_more_of_them_do_less_damage() {
    let damages = [8, 12, 24].map(|rows| damage(rows, false));
    assert!(damages[0] > damages[1] && damages[1] > damages[2], "{damages:?}");
    assert!(damage(8, true) < damages[0], "polarity helps");
}

#[test]
fn without_a_budget_rows_are_shared_only_where_that_does_no_damage() {
    let pass = AllocateRows { steps: 500, held_back: 0, ..AllocateRows::default() };
    let (mapping, _) = allocation(&pass);
    let again = allocation(&pass).0;
    assert_eq!(mapping, again, "the same every time");
    assert!((8..=24).contains(&mapping.tiles[0].physical_rows()));
}
