//! What is counted of a mapping.

use hafnia_cim::MacroSpec;
use hafnia_ir::{Mapping, MatrixId, prove, verify};
use hafnia_rng::Seed;
use proptest::prelude::*;

use crate::sample;

#[test]
fn totals_of_the_sample() {
    let mapping = sample::mapping();
    let (hidden, out) = (MatrixId(0), MatrixId(1));
    assert_eq!(mapping.cells(), 2 * 4 + 2 * 4 + 2 * (4 * 3));
    assert_eq!((mapping.physical_rows(hidden), mapping.logical_rows(hidden)), (4, 6));
    assert_eq!((mapping.physical_rows(out), mapping.logical_rows(out)), (8, 8));
    assert_eq!((mapping.replicas(hidden), mapping.replicas(out)), (1, 2));
    assert_eq!(mapping.macros(), 2);
    // Four entries of t0: one bit tells its two physical rows apart, one is the sign.
    assert_eq!(mapping.rename_table_bits(), 4 * 2);
}

#[test]
fn lines_of_a_tile() {
    let mut tile = sample::stripped().tiles[0].clone();
    let lines = tile.lines();
    // Physical row 2 is turned on by two lines: entries 3 and 5 with +, entry 4 with -.
    assert_eq!(lines.of_entries, [0, 1, 0, 2, 3, 2]);
    assert_eq!(lines.scan, [0, 1, 3, 4].map(|entry| tile.rows.scan()[entry]));
    assert_eq!([1, 2, 3].map(|bits| lines.planes(bits)), [2, 3, 4]);
    let mut sums = [9; 4];
    lines.add_up(&tile.rows, &[3, 1, 3, 0, 2, 1], &mut sums);
    assert_eq!(sums, [6, 1, 1, 2]);

    tile.pre_add = false;
    let lines = tile.lines();
    assert_eq!((lines.scan.len(), lines.planes(2)), (6, 2));
    assert_eq!(lines.scan, tile.rows.scan());
}

#[test]
fn the_first_mapping_is_the_network() {
    let network = hafnia_model::random::lenet5(Seed(3));
    let mapping = Mapping::logical(&network, &MacroSpec::preset("gt-n40").unwrap());
    assert_eq!(verify(&mapping), Ok(()));
    assert_eq!(prove(&mapping, &network), Ok(()));
    assert_eq!((mapping.cells(), mapping.macros(), mapping.rename_table_bits()), (61_470, 0, 0));
}

proptest! {
    #[test]
    fn another_order_is_still_right((_, mut mapping) in sample::any_mapping(), seed: u64) {
        let tile = &mut mapping.tiles[0];
        let cells = tile.cells();
        let mut order: Vec<usize> = (0..tile.rows.len()).collect();
        order.sort_by_key(|&entry| Seed(seed).index(entry as u64).0);
        *tile = tile.with_order(&order);
        prop_assert_eq!(tile.cells(), cells);
        prop_assert_eq!(verify(&mapping), Ok(()));
    }
}
