//! Random macros and profiles for the tests of this crate, and what holds for every pipeline.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use hafnia_cim::{CodeTable, InputControl, MacroSpec};
use hafnia_ir::{Mapping, Matrix, MatrixProfile, Planes, Profile, Stage, prove, random, verify};
use hafnia_model::random::{Limits, graph, lenet5, network};
use hafnia_model::{BitMatrix, Input, Layer, Linear, MatrixLayer, Network, Scores, Weights};
use hafnia_rng::{ChaCha8Rng, Seed};
use proptest::prelude::*;
use proptest::sample::select;
use rand::{Rng, RngExt};

use crate::error::{PassError, PipelineError};
use crate::pass::{Context, PassInfo};
use crate::pipeline::{Outcome, Pipeline};
use crate::registry::Registry;

/// A macro of random size, noise and input control.
pub(crate) fn spec(seed: Seed) -> MacroSpec {
    let rng = &mut seed.site("passes/tests/spec").rng();
    let mut spec = MacroSpec::preset("gt-n40").unwrap();
    spec.rows = rng.random_range(1..=40);
    spec.columns = rng.random_range(1..=24);
    spec.columns_per_adc = 1;
    spec.rows_per_conversion = rng.random_range(1..=9);
    spec.adc.bits = rng.random_range(2..=4);
    spec.adc.offset_lsb = rng.random_range(0.0..0.3);
    spec.cell.sigma_lrs_rel = rng.random_range(0.0..0.3);
    let window = rng.random_range(1..=spec.rows);
    let policies =
        [InputControl::OrderedScan, InputControl::FixedWindow { window }, InputControl::FixedGroup];
    spec.input_control = policies[rng.random_range(0..3)];
    spec.validate().unwrap();
    spec
}

/// A profile of random activations; every row has an activity of its own.
pub(crate) fn profile(seed: Seed, network: &Network, samples: usize) -> Profile {
    let rng = &mut seed.site("passes/tests/profile").rng();
    let matrices = network.matrices();
    let matrix = |layer: &MatrixLayer<'_>| {
        let (rows, bits) = (layer.weights.rows(), layer.input_bits);
        let activity: Vec<f64> = (0..rows).map(|_| rng.random()).collect();
        let draw = |index: usize| {
            let is_on = rng.random_bool(activity[index % rows]);
            if is_on { rng.random_range(0..=layer.largest) } else { 0 }
        };
        MatrixProfile { rows, bits, activations: (0..samples * rows).map(draw).collect() }
    };
    Profile {
        network: network.digest(),
        images: samples,
        matrices: matrices.iter().map(matrix).collect(),
    }
}

/// Such a profile of the first matrix of a network as codes of its bit-planes.
pub(crate) fn codes(
    seed: Seed,
    network: &Network,
    samples: usize,
    of: &Matrix,
) -> (MatrixProfile, Planes) {
    let planes = of.planes(&network.matrices()[0]);
    let mut profile = profile(seed, network, samples).matrices.swap_remove(0);
    let code = |level: &mut u8| *level = planes.code((*level).into()) as u8;
    profile.activations.iter_mut().for_each(code);
    profile.bits = planes.factors().len() as u8;
    (profile, planes)
}

/// A random weight of two's complement of so many bits; ±1 with one.
pub(crate) fn weight(rng: &mut impl Rng, bits: u32) -> i32 {
    let half = 1 << (bits - 1);
    if bits == 1 { 2 * rng.random_range(0..=1) - 1 } else { rng.random_range(-half..half) }
}

/// A network of one linear layer.
pub(crate) fn linear(weights: impl Into<Weights>, bits: u8) -> Network {
    let weights = weights.into();
    let width = weights.rows();
    let input = Input::upper_bits(1, 1, width, bits);
    let linear = Linear { name: "only".into(), weights, thresholds: None };
    Network::new(input, vec![Layer::Flatten, Layer::Linear(linear)]).unwrap()
}

/// The network, or in half of the cases the same with random scales and biases of its outputs.
pub(crate) fn scored(rng: &mut impl Rng, network: Network) -> Network {
    if rng.random() {
        return network;
    }
    let mut draw = |range: std::ops::Range<f64>| -> Vec<f64> {
        (0..network.classes()).map(|_| rng.random_range(range.clone())).collect()
    };
    let scores = Scores { scales: draw(0.5..2.0), biases: draw(-3.0..3.0) };
    network.with_scores(scores).unwrap()
}

/// What passes are given, without a profile.
pub(crate) fn context<'a>(
    network: &'a Network,
    spec: &'a MacroSpec,
    code_table: &'a CodeTable,
) -> Context<'a> {
    let progress = &|_, _| {};
    Context { network, spec, profile: None, code_table, seed: Seed(1), progress }
}

/// Random options of a pass, as lines of TOML; of a pass that is not named here, none. Those that
/// weigh noise are for cells of 1 bit.
fn options(name: &str, cell_bits: u8, rng: &mut ChaCha8Rng) -> String {
    let mut one_of = |choices: &[&str]| choices[rng.random_range(0..choices.len())].to_owned();
    let mode = one_of(&["repeat", "pre-add"]);
    match name {
        "code-weights" => {
            // All hold any weight; cells of two bits take no slice below 0 beside one above.
            let codings = ["offset-binary", "twos-complement", "differential"];
            format!("coding = \"{}\"\n", one_of(&codings[..if cell_bits == 1 { 3 } else { 1 }]))
        }
        "code-inputs" => {
            format!("coding = \"{}\"\n", one_of(&["levels", "twos-complement"]))
        }
        "rename" | "rename-complement" => format!("mode = \"{mode}\"\n"),
        "rename-segments" => {
            let (columns, bit) = (one_of(&["1", "2", "3", "8", "100"]), one_of(&["0.0", "0.1"]));
            format!("mode = \"{mode}\"\ncolumns = {columns}\ntable_bit = {bit}\n")
        }
        "tile" => format!("rows = \"{}\"\n", one_of(&["natural", "alike"])),
        "reorder" => {
            let methods = ["natural", "random", "anneal", "frequency", "chain"];
            let methods = &methods[..if cell_bits == 1 { 5 } else { 2 }];
            let (method, matrices) = (one_of(methods), one_of(&["[]", "[]", "[\"*\"]"]));
            format!("method = \"{method}\"\nsteps = 30\nmatrices = {matrices}\n")
        }
        "allocate" => format!("steps = 30\nmatrices = {}\n", one_of(&["[]", "[\"*\"]"])),
        "polarity" => format!("rows = {}\n", one_of(&["true", "false"])),
        "pack" => format!("cut = {}\n", one_of(&["true", "false"])),
        "duplicate" => format!("macros = {}\n", one_of(&["0", "2000"])),
        _ => String::new(),
    }
}

/// A pipeline of random passes in a legal order, whatever passes there are, from the stage of `start`
/// to placed tiles.
fn pipeline(seed: Seed, start: &Mapping, cell_bits: u8) -> Pipeline {
    let mut stage = start.stage;
    let adds_first = start.tiles.iter().any(|tile| tile.pre_add);
    let rng = &mut seed.site("passes/tests/pipeline").rng();
    let registry = Registry::builtin();
    let mut text = String::from("name = \"random\"\n");
    let mut left = rng.random_range(0u32..=6);
    while left > 0 || stage != Stage::Placed {
        let is_legal = |info: &&PassInfo| {
            let goes_on = left > 0 || info.leaves.is_some_and(|leaves| leaves != stage);
            info.takes.contains(&stage) && goes_on
        };
        // A search is dozens of pipelines, all of them checked like this one; and `allocate` refuses
        // levels and rows that add first.
        let refuses = cell_bits > 1 || adds_first || text.contains("pre-add");
        let is_tried =
            |info: &&PassInfo| info.name != "best" && !(info.name == "allocate" && refuses);
        let legal: Vec<&PassInfo> = registry.infos().filter(is_legal).filter(is_tried).collect();
        let pass = legal[rng.random_range(0..legal.len())];
        text +=
            &format!("[[pass]]\nuse = \"{}\"\n{}", pass.name, options(pass.name, cell_bits, rng));
        stage = pass.leaves.unwrap_or(stage);
        left = left.saturating_sub(1);
    }
    Pipeline::parse(&text, &registry).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_pipeline_keeps_the_network(
        seed: u64,
        start in 0usize..4,
        weight_bits in select(vec![0, 1, 1, 8]),
    ) {
        let seed = Seed(seed);
        let network = match weight_bits {
            0 => graph(seed),
            _ => network(seed, Limits { side: 5, linears: 2, weight_bits, ..Limits::default() }),
        };
        let mut spec = spec(seed);
        spec.cell.bits_per_cell = random::cell_bits(seed);
        let profile = profile(seed, &network, 20);
        let context = Context {
            network: &network,
            spec: &spec,
            profile: Some(&profile),
            code_table: &CodeTable::from_spec(&spec),
            seed,
            progress: &|done, all| assert!(done <= all),
        };
        let start = match Stage::ALL.get(start) {
            Some(&stage) => random::mapping(seed, &network, &(&spec).into(), stage),
            None => Mapping::logical(&network, &spec),
        };
        let pipeline = pipeline(seed, &start, spec.cell.bits_per_cell);
        let mut seen = Vec::new();
        let outcome = pipeline.run(start.clone(), &context, &mut |after| {
            assert_eq!(after.index, seen.len());
            seen.push(after.name);
            Ok(hafnia_sim::check_equivalence(&network, after.mapping, &spec, seed)?)
        });
        let Some(outcome) = unless_refused(outcome) else { return Ok(()) };
        prop_assert_eq!(seen, pipeline.names());
        verify(&outcome.mapping).unwrap();
        prove(&outcome.mapping, &network).unwrap();
        prop_assert_eq!(outcome.mapping.stage, Stage::Placed);
        for (name, statistics) in &outcome.statistics {
            for line in &statistics.lines {
                prop_assert!(line.after.is_finite(), "{}", line);
                // What a pass is there for it does not make worse.
                let is_aim = match *name {
                    "strip-dead" | "rename" | "rename-complement" => line.name == "cells",
                    "duplicate" => line.name.starts_with("cycles from image to answer"),
                    _ => false,
                };
                prop_assert!(!is_aim || Some(line.after) <= line.before, "{} of {}", line, name);
            }
        }
        let again = pipeline.run(start, &context, &mut |_| Ok(())).unwrap();
        prop_assert_eq!(outcome, again);
    }
}

/// What weighs noise is refused where cells hold two bits, or codes are too many for a table.
#[test]
fn where_errors_of_codes_are_not_known() {
    let weights = Weights::from_fn(4, 2, |row, column| [-3, -1, 1, 3][(row + column) % 4]);
    let network = linear(weights, 2);
    let refused = |preset: &str, passes: &str, expected: Expect| {
        let mut spec = MacroSpec::preset(preset).unwrap();
        if spec.cell.bits_per_cell == 1 {
            (spec.rows_per_conversion, spec.adc.bits) = (1024, 12);
        }
        let profile = profile(Seed(1), &network, 20);
        let code_table = CodeTable::from_spec(&spec);
        let context = Context { profile: Some(&profile), ..context(&network, &spec, &code_table) };
        let pipeline = Pipeline::parse(&format!("name = \"x\"\n{passes}"), &Registry::builtin());
        let start = Mapping::logical(&network, &spec);
        let error = pipeline.unwrap().run(start, &context, &mut |_| Ok(())).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap();
        let deeper = cause.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        expected.assert_eq(&format!("{cause}{deeper}"));
    };
    refused(
        "gt-n40",
        "[[pass]]\nuse = \"best\"\n",
        expect![
            "pass `best` weighs the errors of codes, whose table would be too large: macro `gt-n40`: rows_per_conversion is 1024, but a code table of up to 1024 rows and 4096 codes would have 4303360000 entries, it must have at most 8388608"
        ],
    );
    let reorder = |method| {
        format!("[[pass]]\nuse = \"tile\"\n[[pass]]\nuse = \"reorder\"\nmethod = \"{method}\"\n")
    };
    refused(
        "gt-n40-mlc",
        &reorder("anneal"),
        expect![
            "method `anneal` weighs the errors of codes, which are known of cells of 1 bit only: `gt-n40-mlc` has cells of 2 bits"
        ],
    );
    refused(
        "gt-n40-mlc",
        &reorder("chain"),
        expect![
            "method `chain` weighs the errors of codes, which are known of cells of 1 bit only: `gt-n40-mlc` has cells of 2 bits"
        ],
    );
    refused(
        "gt-n40-mlc",
        "[[pass]]\nuse = \"best\"\n",
        expect![
            "pass `best` weighs the errors of codes, which are known of cells of 1 bit only: `gt-n40-mlc` has cells of 2 bits"
        ],
    );
}

/// What a pipeline gives, unless a pass refuses it by name, and for a true reason: rows may add up more
/// than the damage is known for, and activations take more bit-planes than may be.
fn unless_refused(outcome: Result<Outcome, PipelineError>) -> Option<Outcome> {
    match outcome {
        Err(PipelineError::Pass { source: PassError::WideSums { bits, .. }, .. }) => {
            assert!(bits > 8, "sums of {bits} bits are no reason to refuse");
            None
        }
        Err(PipelineError::Pass {
            source: PassError::NoInputCode { lowest, highest, .. }, ..
        }) => {
            let is_byte = lowest >= -128 && highest <= 127;
            assert!(!is_byte, "{lowest} to {highest} is no reason to refuse");
            None
        }
        outcome => Some(outcome.unwrap()),
    }
}

proptest! {
    // A search is dozens of pipelines, each verified and proved: few cases, of macros that fit.
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn a_search_keeps_the_network(seed: u64, matrices in prop_oneof![Just("[]"), Just("[\"*\"]")]) {
        let seed = Seed(seed);
        let network = network(seed, Limits { side: 5, linears: 2, ..Limits::default() });
        let spec = MacroSpec { rows: 48, columns: 24, ..spec(seed) };
        let profile = profile(seed, &network, 20);
        let code_table = CodeTable::from_spec(&spec);
        let context =
            Context { profile: Some(&profile), seed, ..context(&network, &spec, &code_table) };
        let text =
            format!("name = \"search\"\n[[pass]]\nuse = \"best\"\nsteps = 20\nmatrices = {matrices}");
        let pipeline = Pipeline::parse(&text, &Registry::builtin()).unwrap();
        let start = Mapping::logical(&network, &spec);
        let found = pipeline.run(start.clone(), &context, &mut |after| {
            Ok(hafnia_sim::check_equivalence(&network, after.mapping, &spec, seed)?)
        });
        let Some(found) = unless_refused(found) else { return Ok(()) };
        verify(&found.mapping).unwrap();
        prove(&found.mapping, &network).unwrap();
        prop_assert_eq!(found.mapping.stage, Stage::Placed);
        prop_assert_eq!(&found, &pipeline.run(start, &context, &mut |_| Ok(())).unwrap());
    }
}

/// The mapping that a pipeline makes of an 8×3 matrix with four different rows, on macros of 3×2.
fn check(passes: &str, expected: Expect) {
    let rows = [0b001, 0b110, 0b001, 0b111, 0b110, 0b010, 0b001, 0b111];
    let network = linear(BitMatrix::from_fn(8, 3, |row, column| rows[row] >> column & 1 == 1), 1);
    let mut spec = MacroSpec::preset("gt-n40").unwrap();
    (spec.name, spec.rows, spec.columns) = ("tiny".into(), 3, 2);
    let context = Context {
        network: &network,
        spec: &spec,
        profile: None,
        code_table: &CodeTable::from_spec(&spec),
        seed: Seed(1),
        progress: &|_, _| {},
    };
    let pipeline = Pipeline::parse(&format!("name = \"x\"\n{passes}"), &Registry::builtin());
    let mut text = String::new();
    let outcome =
        pipeline.unwrap().run(Mapping::logical(&network, &spec), &context, &mut |after| {
            text.push_str(&format!("{}\n{}", after.name, after.statistics));
            Ok(())
        });
    let mapping = outcome.unwrap().mapping.to_string();
    let tiles = mapping.find("tile t0").unwrap();
    expected.assert_eq(&format!("{text}\n{}", &mapping[tiles..]));
}

#[test]
fn rename_before_tile_saves_tiles_and_after_it_finds_more() {
    check(
        "[[pass]]\nuse = \"rename\"\n[[pass]]\nuse = \"tile\"\n[[pass]]\nuse = \"rename\"\n[[pass]]\nuse = \"pack\"",
        expect![[r#"
            rename
            physical rows: 8 -> 4 (-50.0 %)
            cells: 24 -> 12 (-50.0 %)
            table bits: 0 -> 16
            conversion cycles, per image at most: 2 -> 3 (+50.0 %)
            conversions, per image at most: 6 -> 9 (+50.0 %)
            tile
            tiles: 1 -> 4 (+300.0 %)
            physical rows: 4 -> 8 (+100.0 %)
            table bits: 16 -> 28 (+75.0 %)
            scans of a tile, per image: 1 -> 4 (+300.0 %)
            digital additions, per image: 0 -> 3
            conversion cycles, per image at most: 3 -> 8 (+166.7 %)
            conversions, per image at most: 9 -> 12 (+33.3 %)
            rename
            physical rows: 8 -> 7 (-12.5 %)
            cells: 12 -> 11 (-8.3 %)
            table bits: 28 -> 21 (-25.0 %)
            conversion cycles, per image at most: 8 -> 9 (+12.5 %)
            conversions, per image at most: 12 -> 13 (+8.3 %)
            pack
            macros: 2
            macros, lower bound: 2
            cells in use, %: 91.67

            tile t0 m0 replica 0 size 3x2 at macro 0 row 0 column 0
              columns 0 1
              rows 0:0 1:1 2:0 3:2 4:1 6:0 7:2
              bits
                1
                2
                3
            tile t1 m0 replica 0 size 2x1 at macro 1 row 0 column 0
              columns 2
              rows 0:0 1:1 2:0 3:1 4:1 6:0 7:1
              bits
                0
                1
            tile t2 m0 replica 0 size 1x2 at macro 1 row 2 column 0
              columns 0 1
              rows 5
              bits
                2
            tile t3 m0 replica 0 size 1x1 at macro 1 row 0 column 1
              columns 2
              rows 5
              bits
                0
        "#]],
    );
}

#[test]
fn what_is_missing_is_said() {
    let network = lenet5(Seed(1));
    let spec = MacroSpec::preset("gt-n40").unwrap();
    let mut profile = profile(Seed(1), &network, 1);
    let code_table = CodeTable::from_spec(&spec);
    let check = |profile: Option<&Profile>, options: &str, expected: Expect| {
        let text = format!(
            "name = \"x\"\n[[pass]]\nuse = \"tile\"\n[[pass]]\nuse = \"reorder\"\n{options}"
        );
        let context = Context {
            network: &network,
            spec: &spec,
            profile,
            code_table: &code_table,
            seed: Seed(1),
            progress: &|_, _| {},
        };
        let start = Mapping::logical(&network, &spec);
        let pipeline = Pipeline::parse(&text, &Registry::builtin()).unwrap();
        match pipeline.run(start, &context, &mut |_| Ok(())) {
            Err(PipelineError::Pass { pass: "reorder", source }) => {
                expected.assert_eq(&source.to_string());
            }
            other => panic!("{other:?}"),
        }
    };
    check(
        None,
        "",
        expect![
            "method `anneal` needs a profile of training images: make one with `hafnia profile`"
        ],
    );
    check(
        None,
        "matrices = [\"fc4\"]",
        expect!["the network has no matrix `fc4`, it has conv1, conv2, fc1, fc2, fc3"],
    );
    profile.matrices[4].activations.clear();
    check(
        Some(&profile),
        "",
        expect!["the profile has no sample for matrix `fc3`, it must have at least 1"],
    );
}

#[test]
fn a_profile_of_another_network_is_refused() {
    let (network, other) = (lenet5(Seed(1)), lenet5(Seed(2)));
    let spec = MacroSpec::preset("gt-n40").unwrap();
    let (code_table, profile) = (CodeTable::from_spec(&spec), profile(Seed(1), &other, 1));
    let context = Context { profile: Some(&profile), ..context(&network, &spec, &code_table) };
    let natural = Pipeline::load("natural", &Registry::builtin()).unwrap();
    let start = Mapping::logical(&network, &spec);
    let error = natural.run(start, &context, &mut |_| Ok(())).unwrap_err();
    expect!["unfit profile: make one with `hafnia profile`"].assert_eq(&error.to_string());
}

#[test]
fn a_pipeline_starts_from_a_sound_mapping_only() {
    let network = lenet5(Seed(1));
    let spec = MacroSpec::preset("gt-n40").unwrap();
    let context = Context {
        network: &network,
        spec: &spec,
        profile: None,
        code_table: &CodeTable::from_spec(&spec),
        seed: Seed(1),
        progress: &|_, _| {},
    };
    let natural = Pipeline::load("natural", &Registry::builtin()).unwrap();
    let run = |mapping: Mapping| natural.run(mapping, &context, &mut |_| Ok(())).unwrap_err();
    let logical = || Mapping::logical(&network, &spec);

    let mut mapping = logical();
    mapping.geometry.rows = 64;
    assert!(matches!(run(mapping), PipelineError::Geometry { .. }));
    let mut mapping = logical();
    let bits = &mut mapping.tiles[0].bits;
    bits.set(0, 0, !bits.get(0, 0));
    assert!(matches!(run(mapping), PipelineError::Start(_)));
    let mut mapping = logical();
    mapping.stage = Stage::Tiled;
    expect!["pass `tile` (pass 1) takes a mapping that is logical, but here it is tiled"]
        .assert_eq(&run(mapping).to_string());
}

/// LeNet-5 with so many different rows in each matrix.
fn lenet5_of(rows: [usize; 5]) -> Network {
    let rng = &mut Seed(1).site("passes/tests/lenet5").rng();
    let network = lenet5(Seed(1));
    let mut rows = rows.into_iter();
    let mut alike = |weights: &mut Weights| {
        let (columns, mut different) = (weights.columns(), BTreeSet::new());
        let rows = rows.next().unwrap();
        while different.len() < rows {
            different.insert((0..columns).map(|_| rng.random()).collect::<Vec<bool>>());
        }
        let different: Vec<Vec<bool>> = different.into_iter().collect();
        let choice: Vec<usize> = (0..weights.rows())
            .map(|row| if row < rows { row } else { rng.random_range(0..rows) })
            .collect();
        let bit = |row: usize, column| different[choice[row]][column];
        *weights = BitMatrix::from_fn(weights.rows(), columns, bit).into();
    };
    let mut layers = network.layers().to_vec();
    for layer in &mut layers {
        match layer {
            Layer::Conv(conv) => alike(&mut conv.weights),
            Layer::Linear(linear) => alike(&mut linear.weights),
            _ => {}
        }
    }
    Network::new(network.input().clone(), layers).unwrap()
}

/// What a pipeline makes of LeNet-5 with so many different rows in each matrix, on `gt-n40`.
fn map_lenet5(pipeline: &str, rows: [usize; 5]) -> Outcome {
    let network = lenet5_of(rows);
    let spec = MacroSpec::preset("gt-n40").unwrap();
    let context = Context {
        network: &network,
        spec: &spec,
        profile: None,
        code_table: &CodeTable::from_spec(&spec),
        seed: Seed(1),
        progress: &|_, _| {},
    };
    let pipeline = Pipeline::load(pipeline, &Registry::builtin()).unwrap();
    let logical = Mapping::logical(&network, &spec);
    pipeline.run(logical, &context, &mut |_| Ok(())).unwrap()
}

#[test]
fn one_macro_holds_lenet5_if_enough_rows_are_equal() {
    // Different rows of conv2, fc1, fc2 and fc3. Of fc1 there are as many as the cells of a macro
    // allow, or some fewer, which takes fewer cuts.
    let cases = [
        [64, 103, 24, 12],
        [64, 108, 24, 12],
        [96, 99, 24, 12],
        [96, 104, 24, 12],
        [128, 62, 64, 12],
        [128, 72, 64, 12],
        [128, 78, 48, 12],
        [128, 83, 48, 12],
        [150, 58, 80, 12],
        [150, 64, 64, 12],
        [150, 69, 64, 12],
        [150, 80, 48, 12],
        [150, 91, 32, 16],
    ];
    let mut text = String::new();
    for [conv2, fc1, fc2, fc3] in cases {
        let rows = |fc1| [25, conv2, fc1, fc2, fc3];
        let cells = |fc1| 25 * 6 + conv2 * 16 + fc1 * 120 + fc2 * 84 + fc3 * 10;
        let outcome = map_lenet5("compact", rows(fc1));
        assert_eq!((outcome.mapping.macros(), outcome.mapping.cells()), (1, cells(fc1)));
        let (_, statistics) = &outcome.statistics[2];
        let lines = ["macros", "tiles", "conversion cycles, per image at most"]
            .map(|name| statistics.get(name).unwrap().to_string());
        text.push_str(&format!("{conv2} {fc1} {fc2} {fc3}: {}\n", lines.join(", ")));
        if cells(fc1 + 1) > 128 * 128 {
            assert_eq!(map_lenet5("compact", rows(fc1 + 1)).mapping.macros(), 2);
        }
    }
    expect![[r#"
        64 103 24 12: macros: 2 -> 1 (-50.0 %), tiles: 5 -> 7 (+40.0 %), conversion cycles, per image at most: 11070 -> 11202 (+1.2 %)
        64 108 24 12: macros: 2 -> 1 (-50.0 %), tiles: 5 -> 13 (+160.0 %), conversion cycles, per image at most: 11078 -> 11252 (+1.6 %)
        96 99 24 12: macros: 2 -> 1 (-50.0 %), tiles: 5 -> 9 (+80.0 %), conversion cycles, per image at most: 11076 -> 11220 (+1.3 %)
        96 104 24 12: macros: 2 -> 1 (-50.0 %), tiles: 5 -> 10 (+100.0 %), conversion cycles, per image at most: 11076 -> 11256 (+1.6 %)
        128 62 64 12: macros: 2 -> 1 (-50.0 %), tiles: 5 -> 6 (+20.0 %), conversion cycles, per image at most: 10876 -> 11004 (+1.2 %)
        128 72 64 12: macros: 2 -> 1 (-50.0 %), tiles: 5 -> 15 (+200.0 %), conversion cycles, per image at most: 10866 -> 11078 (+2.0 %)
        128 78 48 12: macros: 2 -> 1 (-50.0 %), tiles: 5 -> 7 (+40.0 %), conversion cycles, per image at most: 10878 -> 11018 (+1.3 %)
        128 83 48 12: macros: 2 -> 1 (-50.0 %), tiles: 5 -> 13 (+160.0 %), conversion cycles, per image at most: 10884 -> 11234 (+3.2 %)
        150 58 80 12: macros: 2 -> 1 (-50.0 %), tiles: 6 -> 17 (+183.3 %), conversion cycles, per image at most: 11074 -> 11606 (+4.8 %)
        150 64 64 12: macros: 2 -> 1 (-50.0 %), tiles: 6 -> 7 (+16.7 %), conversion cycles, per image at most: 11076 -> 11206 (+1.2 %)
        150 69 64 12: macros: 2 -> 1 (-50.0 %), tiles: 6 -> 17 (+183.3 %), conversion cycles, per image at most: 11068 -> 11508 (+4.0 %)
        150 80 48 12: macros: 2 -> 1 (-50.0 %), tiles: 6 -> 10 (+66.7 %), conversion cycles, per image at most: 11084 -> 11278 (+1.8 %)
        150 91 32 16: macros: 2 -> 1 (-50.0 %), tiles: 6 -> 17 (+183.3 %), conversion cycles, per image at most: 11078 -> 11328 (+2.3 %)
    "#]].assert_eq(&text);
}

#[test]
fn cuts_say_what_they_gain_and_cost() {
    let check = |rows, expected: Expect| {
        let outcome = map_lenet5("compact", rows);
        expected.assert_eq(&outcome.statistics[2].1.to_string());
    };
    check(
        [25, 150, 400, 120, 84],
        expect![[r#"
            macros: 5 -> 4 (-20.0 %)
            tiles: 9 -> 12 (+33.3 %)
            physical rows: 779 -> 915 (+17.5 %)
            scans of a tile, per image: 990 -> 993 (+0.3 %)
            digital additions, per image: 1960 -> 2044 (+4.3 %)
            conversion cycles, per image at most: 11052 -> 11094 (+0.4 %)
            macros, lower bound: 4
            cells in use, %: 93.80
        "#]],
    );
    check(
        [25, 150, 166, 120, 12],
        expect![[r#"
            macros: 3 -> 2 (-33.3 %)
            tiles: 7 -> 13 (+85.7 %)
            physical rows: 473 -> 665 (+40.6 %)
            table bits: 3044 -> 5139 (+68.8 %)
            scans of a tile, per image: 988 -> 994 (+0.6 %)
            digital additions, per image: 1720 -> 1814 (+5.5 %)
            conversion cycles, per image at most: 11082 -> 11240 (+1.4 %)
            conversions, per image at most: 130296 -> 130436 (+0.1 %)
            macros, lower bound: 2
            cells in use, %: 99.70
        "#]],
    );
    check(
        [25, 150, 69, 64, 12],
        expect![[r#"
            macros: 2 -> 1 (-50.0 %)
            tiles: 6 -> 17 (+183.3 %)
            physical rows: 320 -> 531 (+65.9 %)
            table bits: 3856 -> 10242 (+165.6 %)
            scans of a tile, per image: 987 -> 998 (+1.1 %)
            digital additions, per image: 1600 -> 1698 (+6.1 %)
            conversion cycles, per image at most: 11068 -> 11508 (+4.0 %)
            conversions, per image at most: 129056 -> 130184 (+0.9 %)
            macros, lower bound: 1
            cells in use, %: 99.65
        "#]],
    );
    // There is nothing to save.
    check(
        [25, 150, 128, 120, 12],
        expect![[r#"
        macros: 2
        macros, lower bound: 2
        cells in use, %: 85.78
    "#]],
    );
}
