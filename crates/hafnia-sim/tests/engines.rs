//! The engines against each other and against the reference, where they must be equal bit for bit.

use hafnia_cim::{CodeTable, InputControl, MacroSpec};
use hafnia_ir::{Mapping, Place, RowEntry, Stage, Tile, TileId, random as random_mapping};
use hafnia_model::random::{self, Limits};
use hafnia_model::{BitMatrix, Input, Layer, Linear, Network, ReferenceProduct, Weights, run};
use hafnia_rng::Seed;
use hafnia_sim::{
    Chip, Conversion, Device, Disagreement, Engine, Events, Exact, Mapped, Plan, SavedChip, Table,
    check_equivalence,
};
use proptest::prelude::*;
use proptest::sample::select;

fn small_macro() -> MacroSpec {
    MacroSpec { rows: 24, columns: 20, ..MacroSpec::preset("gt-n40").expect("a preset") }
}

/// A chain of weights ±1.
fn random_network(seed: Seed) -> Network {
    random::network(seed, Limits { side: 6, ..Limits::default() })
}

/// A chain of odd weights of up to 8 bits.
fn wide_network(seed: Seed) -> Network {
    random::network(seed, Limits { side: 6, weight_bits: 8, ..Limits::default() })
}

fn outputs(network: &Network, plan: &Plan, engine: impl Engine) -> Vec<Vec<i32>> {
    let mut mapped = Mapped::new(plan, engine);
    let run_one = |image: u32| {
        mapped.image = image;
        let pixels = random::image(Seed(9).index(image.into()), network.input());
        run(network, &pixels, &mut mapped)
    };
    (0..3).map(run_one).collect()
}

fn reference(network: &Network) -> Vec<Vec<i32>> {
    let mut plain = ReferenceProduct::new(network);
    let image = |image| random::image(Seed(9).index(image), network.input());
    (0..3).map(|index| run(network, &image(index), &mut plain)).collect()
}

fn placed(network: &Network, spec: &MacroSpec, seed: Seed) -> Mapping {
    random_mapping::mapping(seed, network, &spec.into(), Stage::Placed)
}

/// One linear layer of `weights`, on one macro in the natural order.
fn linear(weights: impl Into<Weights>, spec: &MacroSpec) -> (Network, Mapping) {
    let weights = weights.into();
    let input = Input::upper_bits(weights.rows(), 1, 1, 2);
    let layer = Linear { name: "only".into(), weights, thresholds: None };
    let network = Network::new(input, vec![Layer::Linear(layer)]).expect("it fits");
    let mut mapping = Mapping::logical(&network, spec);
    mapping.stage = Stage::Placed;
    mapping.tiles[0].place = Some(Place { macro_index: 0, row: 0, column: 0 });
    (network, mapping)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Without noise all engines are equal, clipping included; and equal to the reference where
    /// the ADC does not clip.
    #[test]
    fn without_noise_engines_are_equal(
        seed in any::<u64>().prop_map(Seed),
        rows_per_conversion in 1usize..=16,
        bits in 1u8..=4,
        input_control in prop_oneof![
            Just(InputControl::OrderedScan),
            Just(InputControl::FixedGroup),
            (1usize..=24).prop_map(|window| InputControl::FixedWindow { window }),
        ],
        on_off_ratio in prop_oneof![Just(f64::INFINITY), 1.01f64..200.0],
        network in select(vec![random_network as fn(Seed) -> Network, wide_network, random::graph]),
    ) {
        let mut spec = MacroSpec { rows_per_conversion, input_control, ..small_macro() };
        spec.adc.bits = bits;
        spec.cell.on_off_ratio = on_off_ratio;
        let network = network(seed);
        spec.cell.bits_per_cell = random_mapping::cell_bits(seed);
        if spec.cell.bits_per_cell == 2 && bits == 4 {
            spec.adc.bits = 6;
        }
        let noisy = spec.clone();
        let spec = spec.without_noise();
        let mapping = placed(&network, &spec, seed);
        let plan = Plan::new(&network, &mapping, &spec).expect("it fits");

        let exact = outputs(&network, &plan, Exact::new(&spec));
        let chip = Chip::program(&mapping, &spec, seed, 0).expect("it is placed");
        prop_assert_eq!(&outputs(&network, &plan, Device::new(&chip, &spec, seed)), &exact);
        if spec.cell.bits_per_cell == 1 {
            let table = CodeTable::from_spec(&spec);
            let table = Table::new(&table, &spec, mapping.tiles.len(), seed, 0);
            prop_assert_eq!(&outputs(&network, &plan, table), &exact);
        }
        if spec.is_lossless() {
            prop_assert_eq!(exact, reference(&network));
        }
        let agreed = check_equivalence(&network, &mapping, &noisy, seed);
        prop_assert!(agreed.is_ok(), "{:?}", agreed);
    }

    #[test]
    fn right_mappings_agree_at_every_stage(
        seed in any::<u64>().prop_map(Seed),
        stage in 0usize..3,
        network in select(vec![random_network as fn(Seed) -> Network, wide_network, random::graph]),
    ) {
        let mut spec = small_macro();
        let network = network(seed);
        spec.cell.bits_per_cell = random_mapping::cell_bits(seed);
        let mapping = random_mapping::mapping(seed, &network, &(&spec).into(), Stage::ALL[stage]);
        let agreed = check_equivalence(&network, &mapping, &spec, seed);
        prop_assert!(agreed.is_ok(), "{:?}", agreed);
    }
}

/// Eight rows that are all on and all +1: with 3 comparators a group of 7 is read as 3.
#[test]
fn a_lossy_macro_differs_from_the_reference() {
    let mut spec = small_macro().without_noise();
    let (network, mapping) = linear(BitMatrix::from_fn(8, 2, |_, column| column == 0), &spec);
    let run_on = |spec: &MacroSpec| {
        let plan = Plan::new(&network, &mapping, spec).expect("it fits");
        run(&network, &[3; 8], &mut Mapped::new(&plan, Exact::new(spec)))
    };
    assert!(spec.is_lossless());
    assert_eq!(run_on(&spec), [24, -24]);
    spec.adc.bits = 2;
    assert!(!spec.is_lossless());
    // Groups of 7 and 1 in both planes: codes 3 and 1, 2·(3 + 1)·(1 + 2) − 24.
    assert_eq!(run_on(&spec), [0, -24]);
    check_equivalence(&network, &mapping, &spec, Seed(1))
        .expect("the loss is the spec's, not the mapping's");
    spec.rows_per_conversion = 3;
    assert_eq!(run_on(&spec), [24, -24]);
}

#[test]
fn events_are_counted() {
    let spec = small_macro();
    let (network, mapping) = linear(BitMatrix::zeros(10, 5), &spec);
    let plan = Plan::new(&network, &mapping, &spec).expect("it fits");
    let mut mapped = Mapped::new(&plan, Exact::new(&spec));
    // Plane 0 has 9 rows on, in groups of 7 and 2; plane 1 has 3 in one.
    run(&network, &[1, 1, 1, 1, 1, 1, 3, 3, 2, 1], &mut mapped);
    assert_eq!(mapped.events, [Events { groups: 3, conversions: 15, rows_on: 12 }]);
}

#[test]
fn a_wrong_cell_is_caught() {
    let spec = small_macro();
    let network = random::network(Seed(4), Limits::default());
    let mapping = placed(&network, &spec, Seed(4));
    for tile in 0..mapping.tiles.len() {
        let mut wrong = mapping.clone();
        let bits = &mut wrong.tiles[tile].bits;
        bits.set(0, 0, !bits.get(0, 0));
        let agreed = check_equivalence(&network, &wrong, &spec, Seed(1));
        assert!(matches!(agreed, Err(Disagreement::Sum { .. })), "tile {tile}: {agreed:?}");
    }
}

#[test]
fn a_wrong_polarity_and_a_wrong_sign_are_caught() {
    let spec = small_macro();
    let network = random::network(Seed(4), Limits::default());
    let mapping = placed(&network, &spec, Seed(4));
    let mut wrong = mapping.clone();
    wrong.tiles[0].columns[0].inverted ^= true;
    assert!(matches!(
        check_equivalence(&network, &wrong, &spec, Seed(1)),
        Err(Disagreement::Sum { .. })
    ));
    let mut wrong = mapping;
    let negated = |(index, entry): (usize, RowEntry)| RowEntry {
        negative: entry.negative ^ (index == 0),
        ..entry
    };
    wrong.tiles[0].rows = wrong.tiles[0].rows.iter().enumerate().map(negated).collect();
    assert!(matches!(
        check_equivalence(&network, &wrong, &spec, Seed(1)),
        Err(Disagreement::Sum { .. })
    ));
}

/// Codes of all 32 columns, half of them in either tile, with 7 rows on, some of them in LRS.
///
/// The address is (image, position, plane, group).
fn codes(spec: &MacroSpec, chip: u64, address: (u32, u32, u8, u32)) -> [Vec<u16>; 2] {
    let weights = BitMatrix::from_fn(7, 16, |row, column| row < column % 4 + 3);
    let (_, mut mapping) = linear(weights, spec);
    let place = Place { macro_index: 1, row: 0, column: 0 };
    mapping.tiles[0].replica = 1;
    mapping.tiles.push(Tile { place: Some(place), replica: 0, ..mapping.tiles[0].clone() });
    let ones: Vec<u16> = (0..16).map(|column| column % 4 + 3).collect();
    let chip = Chip::program(&mapping, spec, Seed(1), chip).expect("it is placed");
    let device = Device::new(&chip, spec, Seed(1));
    let (image, position, plane, group) = address;
    let rows = &[0, 1, 2, 3, 4, 5, 6];
    [0, 1].map(|tile| {
        let tile = TileId(tile);
        let mut codes = vec![0; 16];
        let conversion =
            Conversion { tile, image, position, plane, group, rows, ones: &ones, squares: &[] };
        device.convert(&conversion, &mut codes);
        codes
    })
}

/// Addresses that differ from the first in one part each.
const ADDRESSES: [(u32, u32, u8, u32); 5] =
    [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)];

#[test]
fn static_noise_recurs() {
    let mut spec = small_macro().without_noise();
    spec.cell.sigma_lrs_rel = 0.3;
    spec.adc.offset_lsb = 0.3;
    let first = codes(&spec, 0, ADDRESSES[0]);
    for address in ADDRESSES {
        assert_eq!(codes(&spec, 0, address), first);
    }
    assert_ne!(first[0], first[1], "other macros have other cells");
    assert_ne!(codes(&spec, 1, ADDRESSES[0]), first, "other chips have other cells");
}

/// With one deviation of 1 LSB, two draws for 16 columns are the same with less than 2⁻¹⁶.
#[test]
fn temporal_noise_does_not_recur() {
    let mut spec = small_macro().without_noise();
    spec.adc.comparator_noise_lsb = 1.0;
    let mut all: Vec<Vec<u16>> = Vec::new();
    for chip in 0..2 {
        for address in ADDRESSES {
            assert_eq!(codes(&spec, chip, address), codes(&spec, chip, address));
            all.extend(codes(&spec, chip, address));
        }
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 2 * 2 * ADDRESSES.len());
}

/// By hand: weights of 4 bits on cells of 2, two rows of activation 1 in one conversion.
#[test]
fn levels_add_up() {
    let spec = MacroSpec { rows: 4, ..MacroSpec::preset("gt-n40-mlc").expect("a preset") };
    let spec = spec.without_noise();
    let values = [[-15, 15], [3, -7]];
    let weights = Weights::from_fn(2, 2, |row, column| values[row][column]);
    let (network, mapping) = linear(weights, &spec);
    let plan = Plan::new(&network, &mapping, &spec).expect("it fits");
    assert!(spec.is_lossless());
    let mut exact = Mapped::new(&plan, Exact::new(&spec));
    assert_eq!(run(&network, &[1, 1], &mut exact), [-12, 8]);
    // One group, on four columns of cells.
    assert_eq!(exact.events, [Events { groups: 1, conversions: 4, rows_on: 2 }]);
    assert_eq!(run(&network, &[3, 2], &mut exact), [-39, 31]);
    // Codes of 1 bit: 1 of the sums 0 + 1 and 0 + 2, 1 of 3 + 0 and 3 + 1, with 2·R − 3·2 of each:
    // slices 0 and 1 count once, slices 2 and 3 four times.
    let mut clipped = spec.clone();
    clipped.adc.bits = 1;
    assert!(!clipped.is_lossless());
    let codes = run(&network, &[1, 1], &mut Mapped::new(&plan, Exact::new(&clipped)));
    assert_eq!(codes, [-4 * 5, -4 * 5]);
}

/// Closed form: cells of levels 2 and 1 make a signal of 3 LSB, and read noise of deviation
/// 0.3 · √(g₂² + g₁²) fires the comparator at 3.5 LSB with probability p. Of N conversions the
/// share is off p by more than 5·√(p·(1 − p)/N) once in 1.7 million.
#[test]
fn read_noise_follows_levels() {
    let mut spec = MacroSpec { rows: 4, ..MacroSpec::preset("gt-n40-mlc").expect("a preset") };
    spec = spec.without_noise();
    spec.cell.read_noise_rel = 0.3;
    let weights = Weights::from_fn(2, 16, |row, _| [1, -1][row]);
    let (_, mapping) = linear(weights, &spec);
    let chip = Chip::program(&mapping, &spec, Seed(1), 0).expect("it is placed");
    let device = Device::new(&chip, &spec, Seed(1));
    let (ones, squares) = ([3; 16], [5; 16]);
    let groups = 4000;
    let mut fired = 0;
    for group in 0..groups {
        let mut codes = [0; 16];
        let (tile, rows) = (TileId(0), &[0, 1][..]);
        let (ones, squares) = (&ones[..], &squares[..]);
        let (image, position, plane) = (0, 0, 0);
        let conversion = Conversion { tile, image, position, plane, group, rows, ones, squares };
        device.convert(&conversion, &mut codes);
        fired += codes.iter().filter(|&&code| code > 3).count();
    }
    // g is level + 3/16 LSB, so that the deviation is 0.746712 LSB; Φ(−0.5 / 0.746712).
    let p = 0.251556;
    let n = f64::from(16 * groups);
    let share = fired as f64 / n;
    assert!((share - p).abs() < 5.0 * (p * (1.0 - p) / n).sqrt(), "{share}, not {p}");
}

/// Cells of every level have its mean and σ: of n cells the mean is off by more than 5·σ/√n, the
/// deviation by more than 5·σ/√(2·n), once in 1.7 million.
#[test]
fn cells_are_programmed_to_levels() {
    let spec = MacroSpec::preset("gt-n40-mlc").expect("a preset");
    let weights =
        Weights::from_fn(128, 128, |row, column| [-3, -1, 1, 3][(row + column * column) % 4]);
    let (_, mapping) = linear(weights, &spec);
    let chip = SavedChip::program(&mapping, &spec, Seed(1), 0).expect("it is placed");
    let found = chip.states(&mapping, &spec).expect("its mapping");
    assert_eq!(found.len(), 4);
    for ((mean, deviation, n), expected) in found.into_iter().zip(spec.levels()) {
        let (n, sigma) = (n as f64, expected.sigma_lsb);
        assert!(n > 1000.0);
        assert!((mean - expected.mean_lsb).abs() < 5.0 * sigma / n.sqrt(), "{mean}");
        assert!((deviation - sigma).abs() < 5.0 * sigma / (2.0 * n).sqrt(), "{deviation}");
    }
}

/// The same cell of a macro is the same whatever tile lies on it.
#[test]
fn cells_belong_to_places_on_a_macro() {
    let spec = small_macro();
    let weights = BitMatrix::from_fn(10, 9, |row, column| (row * column) % 3 == 1);
    let (_, whole) = linear(weights.clone(), &spec);
    let mut halves = whole.clone();
    let tile = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
        let place = Place { macro_index: 0, row: rows.start as u32, column: columns.start as u32 };
        let entries = rows.clone().zip(0..).map(|(logical, physical)| RowEntry {
            logical: logical as u32,
            physical,
            negative: false,
        });
        let listed: Vec<usize> = columns.clone().collect();
        Tile {
            bits: weights.select_rows(rows).select_columns(&listed),
            rows: entries.collect(),
            columns: whole.tiles[0].columns[columns].to_vec(),
            place: Some(place),
            ..whole.tiles[0].clone()
        }
    };
    halves.tiles = vec![tile(0..4, 0..9), tile(4..10, 0..3), tile(4..10, 3..9)];
    let program = |mapping| Chip::program(mapping, &spec, Seed(1), 3).expect("it is placed");
    let (whole_chip, chip) = (program(&whole), program(&halves));
    for row in 0..10 {
        for column in 0..9 {
            let (tile, first_row, first_column) = match (row, column) {
                (0..4, _) => (0, 0, 0),
                (_, 0..3) => (1, 4, 0),
                _ => (2, 4, 3),
            };
            let found = chip.cell_lsb(TileId(tile), row - first_row, column - first_column);
            assert_eq!(found, whole_chip.cell_lsb(TileId(0), row, column), "({row}, {column})");
        }
    }
}
