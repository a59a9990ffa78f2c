//! Kernels against the obvious: every instruction set gives what engines give conversion by
//! conversion, and what the reference gives without noise, bit for bit.

use hafnia_cim::{InputControl, MacroSpec};
use hafnia_ir::{Column, Mapping, Place, RowEntry, Stage, Tile, random as random_mapping, verify};
use hafnia_model::random::{self, Limits};
use hafnia_model::{Input, Network};
use hafnia_rng::Seed;
use hafnia_sim::{EngineKind, Evaluation, Images, Kernels, NoiseScope, Programmed, Reference};
use hafnia_simd::Isa;
use proptest::prelude::*;
use rand::seq::SliceRandom;

fn images(seed: Seed, input: &Input, classes: usize, count: u64) -> Images {
    let image = |index| random::image(seed.site("test/images").index(index), input);
    Images {
        activations: (0..count).flat_map(image).collect(),
        labels: (0..count).map(|index| (index % classes as u64) as u32).collect(),
    }
}

/// What all kernels give; they must give the same.
fn evaluations(
    network: &Network,
    mapping: &Mapping,
    spec: &MacroSpec,
    images: &Images,
    scope: &NoiseScope,
    seed: Seed,
) -> Vec<Evaluation> {
    let of = |kernels| {
        let reference = Reference::with_kernels(network, images, kernels).expect("it fits");
        let programmed = Programmed::new(&reference, mapping, spec, scope).expect("it fits");
        // Large tables take long to be computed, and there are none of levels.
        let entries = (spec.rows_per_conversion + 1).pow(2) << spec.adc.bits;
        let has_table = spec.check_table().is_ok() && entries <= 1 << 16;
        let kinds =
            EngineKind::ALL.into_iter().filter(|&kind| kind != EngineKind::Table || has_table);
        let run = |kind: EngineKind| {
            let engines = kind.try_into().expect("built in");
            programmed.run(0..2, seed).on(&engines).expect("it fits")
        };
        kinds.map(run).collect::<Vec<Evaluation>>()
    };
    let expected = of(Kernels::Scalar);
    for isa in Isa::all() {
        for (found, expected) in of(Kernels::Vectors(isa)).iter().zip(&expected) {
            assert_eq!(found, expected, "{isa}, {:?}, {seed:?}", expected.engine);
        }
    }
    expected
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any network on any mapping of any macro: shared rows, signs, inverted columns, replicas,
    /// activations added first, every input control, lossy converters, much noise and none; chains and
    /// graphs, images and signals of any width, weights of any integers in any coding.
    #[test]
    fn kernels_give_what_engines_give(
        seed in any::<u64>().prop_map(Seed),
        is_default in any::<bool>(),
        rows_per_conversion in prop_oneof![2 => 1usize..=20, 1 => 21usize..=255],
        bits in prop_oneof![2 => 1u8..=4, 1 => 5u8..=8],
        is_multi_level in any::<bool>(),
        input_control in prop_oneof![
            Just(InputControl::OrderedScan),
            Just(InputControl::FixedGroup),
            (1usize..=60).prop_map(|window| InputControl::FixedWindow { window }),
        ],
        columns in prop_oneof![Just(8usize), Just(16), Just(20), Just(40)],
        noise in prop_oneof![Just(0.0), Just(1.0), 0.0f64..6.0],
        scope in 0u8..3,
        kind in 0u8..6,
    ) {
        let mut spec = MacroSpec { rows: 70, columns, ..MacroSpec::preset("gt-n40").expect("a preset") };
        if !is_default {
            (spec.rows_per_conversion, spec.input_control) = (rows_per_conversion, input_control);
            spec.adc.bits = bits;
            spec.rows = rows_per_conversion.max(70);
            spec.cell.bits_per_cell = if is_multi_level { 2 } else { 1 };
        }
        spec.adc.offset_lsb *= noise;
        spec.adc.comparator_noise_lsb *= noise;
        spec.cell.sigma_lrs_rel *= noise;
        spec.cell.sigma_hrs_rel = (spec.cell.sigma_hrs_rel * noise).min(1.0);
        spec.cell.read_noise_rel *= noise;
        let chain = |weight_bits, stretch| {
            random::network(seed, Limits { stretch, weight_bits, ..Limits::default() })
        };
        let network = match kind {
            0 | 1 => chain(1, 1),
            2 => chain(8, 1),
            3 => chain(1, 20),
            4 => random::graph(seed),
            _ => random::signal(seed),
        };
        let mapping =
            random_mapping::mapping(seed, &network, &(&spec).into(), Stage::Placed);
        let count = if network.input().width > 20 { 2 } else { 5 };
        let images = images(seed, network.input(), network.classes(), count);
        let some = (0..network.matrices().len()).filter(|index| index % 2 == 0).collect();
        let scopes = [NoiseScope::All, NoiseScope::Final, NoiseScope::Matrices(some)];
        let scope = &scopes[usize::from(scope)];
        evaluations(&network, &mapping, &spec, &images, scope, seed);
    }
}

/// Rows in any order, cut into tiles; some columns inverted; copies that share the positions.
fn plain(seed: Seed, network: &Network, spec: &MacroSpec, copies: u32) -> Mapping {
    let logical = Mapping::logical(network, spec);
    let mut tiles = Vec::new();
    for whole in &logical.tiles {
        let columns: Vec<Column> = whole
            .columns
            .iter()
            .map(|column| Column { inverted: column.logical % 3 == 1, ..*column })
            .collect();
        let mut bits = whole.bits.clone();
        for row in 0..bits.rows() {
            for (column, _) in columns.iter().enumerate().filter(|(_, column)| column.inverted) {
                bits.set(row, column, !whole.bits.get(row, column));
            }
        }
        let is_conv =
            network.shape_before(network.matrices()[whole.matrix.index()].layer).height > 1;
        for replica in 0..if is_conv { copies } else { 1 } {
            let mut all: Vec<usize> = (0..bits.rows()).collect();
            all.shuffle(&mut seed.index(u64::from(replica)).rng());
            for rows in all.chunks(spec.rows) {
                let entry = |(physical, row): (u32, &usize)| RowEntry {
                    logical: *row as u32,
                    physical,
                    negative: false,
                };
                let mut table: Vec<RowEntry> = (0..).zip(rows).map(entry).collect();
                table.sort_by_key(|entry| entry.physical);
                tiles.push(Tile {
                    bits: bits.select_rows(rows.iter().copied()),
                    rows: table.into_iter().collect(),
                    columns: columns.clone(),
                    replica,
                    place: Some(Place { macro_index: tiles.len() as u32, row: 0, column: 0 }),
                    ..whole.clone()
                });
            }
        }
    }
    let mapping = Mapping { stage: Stage::Placed, tiles, ..logical };
    verify(&mapping).expect("columns fit a macro");
    mapping
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Mappings whose groups follow from numbers of lines alone, which have ways of their own.
    #[test]
    fn kernels_give_what_engines_give_on_plain_tiles(
        seed in any::<u64>().prop_map(Seed),
        is_lenet5 in proptest::bool::weighted(0.2),
        rows_per_conversion in prop_oneof![Just(7usize), 1usize..=7],
        noise in prop_oneof![Just(1.0), 0.5f64..3.0],
        copies in 1u32..=3,
    ) {
        let preset = MacroSpec::preset("gt-n40").expect("a preset");
        let mut spec = MacroSpec { rows_per_conversion, columns: 256, ..preset };
        spec.adc.offset_lsb *= noise;
        spec.adc.comparator_noise_lsb *= noise;
        spec.cell.sigma_lrs_rel *= noise;
        let limits = Limits { side: 12, ..Limits::default() };
        let network =
            if is_lenet5 { random::lenet5(seed) } else { random::network(seed, limits) };
        let mapping = plain(seed, &network, &spec, copies);
        let images = images(seed, network.input(), network.classes(), 4);
        evaluations(&network, &mapping, &spec, &images, &NoiseScope::All, seed);
    }
}

/// The network the kernels are made for, on its own macro and on noisier ones.
#[test]
fn kernels_give_what_engines_give_on_lenet5() {
    let preset = MacroSpec::preset("gt-n40").expect("a preset");
    let network = random::lenet5(Seed(1));
    for (index, noise) in [1.0, 3.0].into_iter().enumerate() {
        let mut spec = preset.clone();
        spec.adc.offset_lsb *= noise;
        spec.adc.comparator_noise_lsb *= noise;
        spec.cell.sigma_lrs_rel *= noise;
        let seed = Seed(index as u64);
        let mapping = random_mapping::mapping(seed, &network, &(&spec).into(), Stage::Placed);
        let images = images(seed, network.input(), network.classes(), 6);
        evaluations(&network, &mapping, &spec, &images, &NoiseScope::All, seed);
    }
}
