//! Costs against closed forms, properties of all of them, and the calibration.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use expect_test::expect;
use hafnia_cim::MacroSpec;
use hafnia_cost::{
    Assessment, BreakEven, Calibrated, Component, CostModel, DRAWS, Scope, calibration_table,
};
use hafnia_ir::{Geometry, Mapping, Place, Stage};
use hafnia_model::{BitMatrix, Input, Layer, Linear, Network, Weights, random};
use hafnia_rng::Seed;
use hafnia_sim::{Images, NoiseScope, Programmed, Reference};
use proptest::prelude::*;

fn spec() -> MacroSpec {
    MacroSpec::preset("gt-n40").unwrap()
}

fn calibrated(draws: usize) -> Calibrated {
    CostModel::gt_n40().calibrate(draws, Seed(1)).unwrap()
}

fn assess(
    calibrated: &Calibrated,
    network: &Network,
    mapping: &Mapping,
    spec: &MacroSpec,
    activations: Vec<u8>,
) -> Assessment {
    let images = activations.len() / network.shape_before(0).len();
    let images = Images { activations, labels: vec![0; images] };
    let reference = Reference::new(network, &images).unwrap();
    let programmed = Programmed::new(&reference, mapping, spec, &NoiseScope::Final).unwrap();
    let events = programmed.count_events(&|_, _| ());
    calibrated.assess(network, mapping, spec, &events).unwrap()
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        "{found} is not {expected}"
    );
}

/// A layer of 3 rows and 2 columns, all weights +1 but one, given 1, 2, 3 in two bits.
fn small() -> (Network, Vec<u8>) {
    let input = Input::upper_bits(1, 1, 3, 2);
    let weights = BitMatrix::from_fn(3, 2, |row, column| row >= column).into();
    let only = Layer::Linear(Linear { name: "only".into(), weights, thresholds: None });
    (Network::new(input, vec![Layer::Flatten, only]).unwrap(), vec![1, 2, 3])
}

/// Bit-plane 0 turns on rows 0 and 2, bit-plane 1 rows 1 and 2: two groups, four rows, of whose
/// eight cells seven are in LRS. Two columns share a converter, so that a group takes two cycles.
#[test]
fn a_layer_by_hand() {
    let (network, image) = small();
    let mapping = Mapping::logical(&network, &spec());
    let calibrated = calibrated(1);
    let cost = assess(&calibrated, &network, &mapping, &spec(), image).typical;
    let scaled = calibrated.typical;
    let c = scaled.constants;

    close(cost.ops, 2.0 * 4.0 * 2.0);
    close(cost.network_ops, 2.0 * 6.0 * 2.0);

    let energy = |component| cost.energy_fj.parts[&component];
    let lrs_fj = 1000.0 * c.read_v * c.read_v / c.lrs_kohm * c.read_ns;
    // What was estimated before layout takes 1.22 times as much after it.
    let analog = 1.22 * scaled.energy_scale;
    close(energy(Component::Cells), analog * (7.0 + 1.0 / 17.0) * lrs_fj);
    close(energy(Component::Adcs), analog * 4.0 * 7.0 * c.comparator_fj);
    close(energy(Component::Drivers), analog * 4.0 * 128.0 * 0.3 * 0.81);
    close(energy(Component::Control), 2.0 * 2.0 * 1.22 * 0.05 * c.control_gates * c.gate_fj);
    // Sums up to 9 either way take 5 bits: 4 codes, 2 sums of activations, 2 columns twice.
    let add_fj = 1.22 * (0.15 * c.adder_gates + 0.5 * c.flip_flop_gates) * c.gate_fj;
    close(energy(Component::Adders), (4.0 + 2.0 + 4.0) * 5.0 * add_fj);
    close(energy(Component::Tables), 0.0);

    let time = |component| cost.latency_ns.parts[&component];
    close(time(Component::Conversions), 2.0 * 2.0 * 10.0);
    close(time(Component::Stalls), 0.0);
    close(time(Component::Scans), 2.0 * 10.0);
    close(cost.latency_ns.total, 60.0);
    close(cost.tops, 16.0 / 60.0 / 1000.0);
    close(cost.tops_per_w, 1000.0 * 16.0 / cost.energy_fj.total);

    let area = |component| cost.area_um2.parts[&component];
    let s = scaled.area_scale;
    close(area(Component::Cells), 6.0 * 4.0 * c.cell_um2);
    close(area(Component::Adcs), s * 7.0 * c.comparator_um2);
    close(area(Component::Drivers), s * 3.0 * (c.driver_um2 + 1.44 * c.shifter_um2));
    close(area(Component::Columns), s * 2.0 * (c.column_um2 + 1.44 * c.shifter_um2));
    close(area(Component::Adders), s * c.adder_um2);
    close(area(Component::Control), s * c.control_um2);
    close(cost.spare_um2.total, 0.0);
}

/// The same layer, whose one cell in HRS among eight conducts as the macro's on/off ratio says.
#[test]
fn cells_in_hrs_follow_the_macro() {
    let (network, image) = small();
    let mapping = Mapping::logical(&network, &spec());
    let calibrated = calibrated(1);
    let c = calibrated.typical.constants;
    let lrs_fj = calibrated.typical.energy_scale * 1.22 * 1000.0 * 0.04 * c.read_ns / c.lrs_kohm;
    for (ratio, reads) in [("2", 7.5), ("17", 7.0 + 1.0 / 17.0), ("50", 7.02), ("inf", 7.0)] {
        let mut spec = spec();
        spec.set("cell.on_off_ratio", ratio).unwrap();
        let cost = assess(&calibrated, &network, &mapping, &spec, image.clone()).typical;
        close(cost.energy_fj.parts[&Component::Cells], reads * lrs_fj);
    }
}

/// The same layer: two groups, two columns in turns, so four conversions, on one converter. A flash
/// converter takes a cycle of 10 ns for each, successive approximation one per bit.
#[test]
fn converters_by_hand() {
    let (network, image) = small();
    let mapping = Mapping::logical(&network, &spec());
    let calibrated = calibrated(1);
    let (s, c) = (calibrated.typical, calibrated.typical.constants);
    for (kind, bits, comparisons, capacitors, cycles) in [
        ("flash", "3", 7.0, 0.0, 1.0),
        ("flash", "4", 15.0, 0.0, 1.0),
        ("sar", "3", 3.0, 8.0, 3.0),
        ("sar", "4", 4.0, 16.0, 4.0),
        ("sar", "6", 6.0, 64.0, 6.0),
    ] {
        let mut spec = spec();
        spec.set_all([("adc.kind", kind), ("adc.bits", bits)]).unwrap();
        let cost = assess(&calibrated, &network, &mapping, &spec, image.clone()).typical;
        // 15 fJ a comparison, 1 fF a capacitor charged to 0.9 V; 50 and 2 um2.
        let fj = 1.22 * (comparisons * 15.0 + capacitors * 0.81);
        close(cost.energy_fj.parts[&Component::Adcs], s.energy_scale * 4.0 * fj);
        let um2 = comparisons * 50.0 + capacitors * 2.0;
        close(cost.area_um2.parts[&Component::Adcs], s.area_scale * um2);
        close(cost.latency_ns.parts[&Component::Conversions], 4.0 * cycles * 10.0);
        let control_fj = 1.22 * 0.05 * c.control_gates * c.gate_fj;
        close(cost.energy_fj.parts[&Component::Control], 4.0 * cycles * control_fj);
    }
}

/// Two outputs of 2-bit weights in two columns of cells of levels 0 to 3: what lies between HRS and
/// LRS conducts a third and two thirds of the way, and a column is converted once for both bits.
#[test]
fn levels_by_hand() {
    let input = Input::upper_bits(1, 1, 2, 1);
    // Levels 3 and 1 in row 0, 2 and 0 in row 1, of the weights 3, -1, 1, -3.
    let weights = Weights::from_rows(&[[3, -1], [1, -3]]).unwrap();
    let only = Layer::Linear(Linear { name: "only".into(), weights, thresholds: None });
    let network = Network::new(input, vec![Layer::Flatten, only]).unwrap();
    let spec = MacroSpec::preset("gt-n40-mlc").unwrap();
    let mut mapping = Mapping::logical(&network, &spec);
    mapping.stage = Stage::Placed;
    mapping.tiles[0].place = Some(Place { macro_index: 0, row: 0, column: 126 });
    let calibrated = calibrated(1);
    let cost = assess(&calibrated, &network, &mapping, &spec, vec![1, 1]).typical;
    let (s, c) = (calibrated.typical, calibrated.typical.constants);
    let lrs_fj = s.energy_scale * 1.22 * 1000.0 * 0.04 * c.read_ns / c.lrs_kohm;
    close(cost.energy_fj.parts[&Component::Cells], (2.0 + 2.0 / 17.0) * lrs_fj);
    close(cost.energy_fj.parts[&Component::Adcs], s.energy_scale * 1.22 * 2.0 * 7.0 * 15.0);
    close(cost.latency_ns.parts[&Component::Conversions], 2.0 * 10.0);
    assert_eq!(cost.layers[0].cells, 4);
    close(cost.ops, 2.0 * 2.0 * 4.0);
}

#[test]
fn what_departs_from_the_chip_is_named() {
    let named = |spec: &MacroSpec| {
        let departures = calibrated(1).departures(spec);
        departures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    expect!["cell.on_off_ratio 17 (there 41)"].assert_eq(&named(&spec()));
    let mut other = MacroSpec::preset("gt-n40-mlc").unwrap();
    other.set_all([("adc.kind", "sar"), ("adc.bits", "4"), ("columns_per_adc", "4")]).unwrap();
    expect!["rows_per_conversion 2 (there 7); columns_per_adc 4 (there 8); adc.bits 4 (there 3); cell.on_off_ratio 17 (there 41); cell.bits_per_cell 2 (there 1); adc.kind sar (there flash)"].assert_eq(&named(&other));
}

/// Eight columns that begin in the middle of a converter's use two converters.
#[test]
fn columns_that_share_a_converter_take_turns() {
    let input = Input::upper_bits(1, 1, 1, 1);
    let weights = BitMatrix::from_fn(1, 10, |_, _| true).into();
    let only = Layer::Linear(Linear { name: "only".into(), weights, thresholds: None });
    let network = Network::new(input, vec![Layer::Flatten, only]).unwrap();
    let mut mapping = Mapping::logical(&network, &spec());
    mapping.stage = Stage::Placed;
    let mut cycles = |column| {
        mapping.tiles[0].place = Some(Place { macro_index: 0, row: 0, column });
        let cost = assess(&calibrated(1), &network, &mapping, &spec(), vec![1]).typical;
        cost.latency_ns.parts[&Component::Conversions] / 10.0
    };
    // 8 and 2; 5 and 5; 1, 8 and 1.
    assert_eq!([cycles(0), cycles(3), cycles(7)], [8.0, 5.0, 8.0]);
}

/// Two replicas on macros of their own share the positions of a convolution.
#[test]
fn replicas_work_side_by_side() {
    let network = random::lenet5(Seed(1));
    let mut spec = spec();
    spec.rows = 512;
    let image = random::image(Seed(2), network.input());
    let mut mapping = Mapping::logical(&network, &spec);
    let first = |mapping: &Mapping| {
        let cost = assess(&calibrated(1), &network, mapping, &spec, image.clone()).typical;
        (cost.layers[0].latency_ns.total, cost.layers[0].energy_fj.total)
    };
    let (one, energy) = first(&mapping);
    let mut replica = mapping.tiles[0].clone();
    replica.replica = 1;
    mapping.tiles.push(replica);
    let (two, same) = first(&mapping);
    assert!(two < 0.6 * one && two >= 0.5 * one, "{two} of {one}");
    close(same, energy);
}

/// Nobody knows how many columns share a converter: the latency is so wide.
#[test]
fn what_is_assumed_of_converters_reaches_the_latency() {
    let network = random::lenet5(Seed(1));
    let image = random::image(Seed(2), network.input());
    let mut spec = spec();
    spec.rows = 512;
    let mapping = Mapping::logical(&network, &spec);
    let model = CostModel::gt_n40().with("latency.scan_cycles", 0.0).unwrap();
    let conversions = |model: CostModel| {
        let calibrated = model.calibrate(200, Seed(1)).unwrap();
        let cost = assess(&calibrated, &network, &mapping, &spec, image.clone()).cost();
        cost.layers[1].latency_ns.parts[&Component::Conversions]
    };
    // 16 columns: all in turns at the most, as many as share a converter at the least.
    let range = conversions(model.clone());
    assert!(range.lo < 0.6 * range.typical && range.hi > 1.8 * range.typical, "{range}");
    let known = conversions(model.with("chip.columns_per_adc", 8.0).unwrap());
    assert_eq!((known.lo, known.hi), (known.typical, known.typical));
    assert_eq!(known.typical, range.typical);
}

/// The row table of a shared row costs area, look-ups and stalls.
#[test]
fn a_shared_row_stalls() {
    let (network, image) = small();
    let mut mapping = Mapping::logical(&network, &spec());
    let tile = &mut mapping.tiles[0];
    // Rows 1 and 2 are equal.
    tile.rows = (0..3)
        .map(|logical| hafnia_ir::RowEntry { logical, physical: logical.min(1), negative: false })
        .collect();
    tile.bits = tile.bits.select_rows([0, 1]);
    let calibrated = calibrated(50);
    let natural = Mapping::logical(&network, &spec());
    let natural = assess(&calibrated, &network, &natural, &spec(), image.clone());
    let renamed = assess(&calibrated, &network, &mapping, &spec(), image);
    let cost = &renamed.typical;
    // Bit-plane 1 turns the shared row on twice: three groups in place of two.
    close(cost.latency_ns.parts[&Component::Stalls], 2.0 * 10.0);
    let c = calibrated.typical.constants;
    close(cost.area_um2.parts[&Component::Tables], 3.0 * c.table_bit_um2);
    close(cost.energy_fj.parts[&Component::Tables], 4.0 * c.table_fj_per_bit);
    // Six cells become four, for three bits.
    let even = BreakEven::of(&natural, &renamed, Scope::Cells, None, &[0.0, 1.0]).unwrap();
    close(even.gross.typical, 1.0 / 3.0);
    close(even.break_even.unwrap().typical, 2.0 / 3.0);
    close(even.curve[0].net.typical, 1.0 / 3.0);
    close(even.curve[1].net.typical, 1.0 - 7.0 / 6.0);
    let back = BreakEven::of(&renamed, &natural, Scope::Cells, None, &[]).unwrap();
    assert_eq!(back.break_even, None);
}

#[test]
fn events_of_another_mapping_are_refused() {
    let (network, _) = small();
    let mapping = Mapping::logical(&network, &spec());
    let events = hafnia_sim::EventCounts { images: 1, tiles: Vec::new() };
    let error = calibrated(1).assess(&network, &mapping, &spec(), &events).unwrap_err();
    expect!["counts of 0 tiles over 1 images, the mapping has 1 tiles"]
        .assert_eq(&error.to_string());
}

/// The figures that were held out are foretold as they are, well or badly.
#[test]
fn the_calibration_is_what_the_document_says() {
    let table = calibration_table(&calibrated(DRAWS).calibration());
    let document = include_str!("../../../docs/cost.md");
    assert!(document.contains(&table), "docs/cost.md lacks:\n{table}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    /// Layers and spare parts add up to whole macros and all tables, components to totals; every
    /// typical energy and area lies at or above 0.
    #[test]
    fn costs_add_up(seed: u64) {
        let seed = Seed(seed);
        let network = random::network(seed.site("network"), random::Limits::default());
        let mut spec = spec();
        (spec.rows, spec.columns, spec.columns_per_adc) = (24, 16, 3);
        let mapping = hafnia_ir::random::mapping(
            seed.site("mapping"), &network, &Geometry::from(&spec), Stage::Placed,
        );
        let image = random::image(seed.site("image"), network.input());
        let calibrated = calibrated(3);
        let cost = assess(&calibrated, &network, &mapping, &spec, image).typical;
        let sum = |of: fn(&hafnia_cost::LayerCost<f64>) -> f64| cost.layers.iter().map(of).sum::<f64>();
        close(sum(|layer| layer.area_um2.total), cost.area_um2.total);
        close(sum(|layer| layer.energy_fj.total), cost.energy_fj.total);
        close(sum(|layer| layer.latency_ns.total), cost.latency_ns.total);
        let c = calibrated.typical.constants;
        let one = 24.0 * 16.0 * c.cell_um2 * c.cells_per_weight + calibrated.typical.area_scale * (
            6.0 * (7.0 * c.comparator_um2 + c.adder_um2)
            + 24.0 * c.driver_um2 + 16.0 * c.column_um2 + 40.0 * 1.44 * c.shifter_um2
            + c.control_um2);
        let tables = mapping.rename_table_bits() as f64 * c.table_bit_um2;
        close(cost.whole_um2, mapping.macros() as f64 * one + tables);
        for layer in &cost.layers {
            for parts in [&layer.area_um2, &layer.energy_fj, &layer.latency_ns] {
                close(parts.parts.values().sum(), parts.total);
                prop_assert!(parts.parts.values().all(|&part| part >= 0.0));
            }
        }
    }

    /// With the factors of the calibration held, no constant makes anything cheaper when it rises,
    /// but the two that say how little a cell conducts and how fast the clock is.
    #[test]
    fn costs_rise_with_constants(seed: u64, factor in 1.0..3.0f64) {
        let seed = Seed(seed);
        let (network, image) = small();
        let mapping = Mapping::logical(&network, &spec());
        let calibrated = calibrated(1);
        let before = assess(&calibrated, &network, &mapping, &spec(), image.clone()).typical;
        let mut raised = calibrated.clone();
        let c = &mut raised.typical.constants;
        let of = [
            &mut c.read_v, &mut c.read_ns, &mut c.comparator_fj, &mut c.word_line_ff_per_cell,
            &mut c.gate_fj, &mut c.control_gates, &mut c.adder_gates, &mut c.flip_flop_gates,
            &mut c.control_activity, &mut c.adder_activity, &mut c.flip_flop_activity,
            &mut c.energy_factor, &mut c.shifter_factor, &mut c.table_fj_per_bit,
            &mut c.cell_um2, &mut c.comparator_um2, &mut c.driver_um2, &mut c.column_um2,
            &mut c.shifter_um2, &mut c.adder_um2, &mut c.control_um2, &mut c.table_bit_um2, &mut c.scan_cycles,
        ];
        let index = seed.0 as usize % of.len();
        for (place, constant) in of.into_iter().enumerate() {
            if place == index {
                *constant *= factor;
            }
        }
        let after = assess(&raised, &network, &mapping, &spec(), image).typical;
        prop_assert!(after.energy_fj.total >= before.energy_fj.total);
        prop_assert!(after.area_um2.total >= before.area_um2.total);
        prop_assert!(after.latency_ns.total >= before.latency_ns.total);
    }

    /// The saving falls with the ratio, and is 0 at the break-even.
    #[test]
    fn the_curve_crosses_zero_at_the_break_even(seed: u64, scope in 0usize..3) {
        let seed = Seed(seed);
        let network = random::network(seed.site("network"), random::Limits::default());
        let mut spec = spec();
        (spec.rows, spec.columns, spec.columns_per_adc) = (24, 16, 4);
        let image = random::image(seed.site("image"), network.input());
        let calibrated = calibrated(5);
        let mut sides = Vec::new();
        for number in 0..2 {
            let mapping = hafnia_ir::random::mapping(
                seed.site("mapping").index(number), &network, &Geometry::from(&spec), Stage::Placed,
            );
            sides.push(assess(&calibrated, &network, &mapping, &spec, image.clone()));
        }
        let scope = Scope::ALL[scope];
        let even = BreakEven::of(&sides[0], &sides[1], scope, None, &[]).unwrap();
        if let Some(at) = even.break_even.filter(|at| at.typical >= 0.0) {
            let ratios = [0.9 * at.typical, at.typical, 1.1 * at.typical];
            let curve = BreakEven::of(&sides[0], &sides[1], scope, None, &ratios).unwrap().curve;
            prop_assert!(curve[1].net.typical.abs() < 1e-9);
            prop_assert!(curve[0].net.typical >= curve[1].net.typical - 1e-12);
            prop_assert!(curve[1].net.typical >= curve[2].net.typical - 1e-12);
        }
    }
}
