//! Presets, macros from files and overrides.

use expect_test::{Expect, expect};
use hafnia_cim::{
    Adc, AdcKind, CellModel, CimError, Disturb, Faults, InputControl, LevelSigmas, MacroSpec,
    Programming, Retention, SourcedValue, Telegraph, Temperature, UNSTATED, Wires, keys_table,
    preset_names, sources, template,
};
use proptest::prelude::*;

fn gt_n40() -> MacroSpec {
    MacroSpec::preset("gt-n40").expect("a preset")
}

/// The error and its causes, as a command line prints them.
fn chain(error: &CimError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[test]
fn the_default_macro() {
    let expected = MacroSpec {
        name: "gt-n40".into(),
        rows: 128,
        columns: 128,
        rows_per_conversion: 7,
        columns_per_adc: 8,
        adc: Adc {
            kind: AdcKind::Flash,
            bits: 3,
            offset_lsb: 0.1,
            comparator_noise_lsb: 0.05,
            gain_error_rel: 0.0,
            mismatch_lsb: 0.0,
        },
        cell: CellModel {
            on_off_ratio: 17.0,
            sigma_lrs_rel: 0.05,
            sigma_hrs_rel: 0.3,
            read_noise_rel: 0.01,
            bits_per_cell: 1,
            level_sigmas: LevelSigmas::Linear,
        },
        input_control: InputControl::OrderedScan,
        programming: Programming::default(),
        telegraph: Telegraph::default(),
        faults: Faults::default(),
        temperature: Temperature::default(),
        retention: Retention {
            time_s: 0.0,
            sigma_lrs: "1:0.0275 86400:0.06625".parse().expect("a curve"),
            sigma_hrs: "1:0.149 86400:0.298".parse().expect("a curve"),
            ..Retention::default()
        },
        disturb: Disturb::default(),
        wires: Wires::default(),
    };
    assert_eq!(gt_n40(), expected);
    assert!(expected.is_lossless());
}

#[test]
fn the_ideal_macro_has_no_noise_and_no_leakage() {
    let ideal = MacroSpec::preset("ideal").expect("a preset");
    assert_eq!(ideal, ideal.without_noise());
    assert_eq!((ideal.cell.g_lrs_lsb(), ideal.cell.g_hrs_lsb()), (1.0, 0.0));
    assert!(ideal.is_lossless());
}

#[test]
fn every_value_has_a_source() {
    for name in preset_names() {
        for SourcedValue { key, source, from, .. } in sources(name).expect("a preset") {
            if from.is_empty() {
                assert_eq!(source, "off");
                continue;
            }
            let words: Vec<_> = source.split(|c: char| !c.is_ascii_alphanumeric()).collect();
            let has_year = words.iter().any(|word| word.len() == 4 && word.starts_with("20"));
            assert!(source.starts_with("assumed") || has_year, "{name}: {key}: {source}");
        }
    }
}

#[test]
fn values_with_units_and_sources() {
    let lines: Vec<_> = sources("gt-n40")
        .expect("a preset")
        .iter()
        .map(|SourcedValue { key, value, unit, source, .. }| {
            let word = source.split([' ', ':']).next().unwrap_or("");
            format!("{key} = {value} [{unit}] {word}\n")
        })
        .collect();
    expect![[r#"
        rows = 128 [word lines] 128x128
        columns = 128 [bit lines] 128x128
        rows_per_conversion = 7 [word lines] Lu
        columns_per_adc = 8 [bit lines] assumed
        input_control = ordered-scan [] assumed
        adc.bits = 3 [bit] flash
        adc.offset_lsb = 0.1 [LSB] assumed
        adc.comparator_noise_lsb = 0.05 [LSB] assumed
        adc.kind = flash [] flash
        adc.gain_error_rel = 0 [reference] assumed
        adc.mismatch_lsb = 0 [LSB] off
        cell.on_off_ratio = 17 [] assumed
        cell.sigma_lrs_rel = 0.05 [G_LRS] assumed
        cell.sigma_hrs_rel = 0.3 [G_HRS] assumed
        cell.read_noise_rel = 0.01 [G of the state] assumed
        cell.bits_per_cell = 1 [bit] off
        cell.level_sigmas = linear [G_LRS] off
        programming.lrs_distribution = normal [] off
        programming.hrs_distribution = normal [] off
        telegraph.rate = 0 [per cell] off
        telegraph.lrs_rel = 0 [G_LRS] off
        telegraph.hrs_rel = 0 [G_HRS] off
        faults.stuck_lrs_rate = 0 [per cell] assumed
        faults.stuck_hrs_rate = 0 [per cell] assumed
        faults.map = none [CSV file] off
        temperature.celsius = 25 [°C] off
        temperature.lrs_per_k = 0 [1/K] off
        temperature.hrs_per_k = 0 [1/K] off
        temperature.reference_per_k = 0 [1/K] off
        retention.sigma_lrs = 1:0.0275 86400:0.06625 [s:G_LRS] assumed
        retention.sigma_hrs = 1:0.149 86400:0.298 [s:G_HRS] assumed
        retention.drift_lrs = none [s:G as programmed] off
        retention.drift_hrs = none [s:G as programmed] off
        retention.time_s = 0 [s] assumed
        disturb.lrs_rel_per_decade = 0 [G_LRS] off
        disturb.hrs_rel_per_decade = 0 [G_HRS] off
        disturb.reads = 0 [reads] off
        wires.bit_line_ohm = 0 [ohm per cell] off
        wires.word_line_ohm = 0 [ohm per cell] off
        wires.g_lrs_us = 100 [uS] off
    "#]]
    .assert_eq(&lines.concat());
}

/// At every time that was measured cells have the deviation that was measured then.
#[test]
fn foundry_cells_have_the_measured_deviations() {
    let cases = [
        ("foundry-b", ["0.01", "1", "10000"], [0.21, 0.26, 0.32], [0.007, 0.008, 0.009]),
        ("foundry-c", ["0.01", "1", "100000"], [0.42, 0.94, 1.01], [0.02, 0.037, 0.079]),
    ];
    for (name, times, in_hrs, in_lrs) in cases {
        let mut spec = MacroSpec::preset(name).expect("a preset");
        let fresh = spec.states();
        for (place, time) in times.into_iter().enumerate() {
            spec.set("time_s", time).expect("a measured time");
            let [hrs, lrs] = spec.states();
            assert!((hrs.sigma_rel - in_hrs[place]).abs() < 1e-12, "{name}, {time} s");
            assert!((lrs.sigma_rel - in_lrs[place]).abs() < 1e-12, "{name}, {time} s");
            assert!(place > 0 || [hrs, lrs] == fresh, "{name}: fresh cells are those first read");
        }
    }
}

/// The ratio of mean conductances is 53 as programmed and 32 at the last time, as was measured.
#[test]
fn the_ratio_of_foundry_cells_falls_as_they_drift() {
    let ratio = |spec: &MacroSpec| {
        let [hrs, lrs] = spec.states().map(|state| state.mean_lsb + spec.reference_leakage_lsb());
        lrs / hrs
    };
    let mut spec = MacroSpec::preset("foundry-c").expect("a preset");
    assert!((ratio(&spec) - 53.0).abs() < 1e-9);
    spec.set("time_s", "100000").expect("a measured time");
    assert!((ratio(&spec) - 53.0 * 0.95 / 1.55).abs() < 1e-9);
    assert_eq!(ratio(&spec).round(), 32.0);
}

/// Levels are where foundry cells of technology C were measured; σ lies between its values at 1 s
/// and 1e5 s, as far as 5 % lies between 3.7 and 7.9 % of cells in LRS.
#[test]
fn levels_between_deviate_as_measured() {
    let foundry = MacroSpec::preset("foundry-c").expect("a preset").retention.sigma_lrs;
    let [early, late] = [1.0, 1e5].map(|time| foundry.at(time).expect("a measured time"));
    let spec = MacroSpec::preset("gt-n40-mlc").expect("a preset");
    let share = (spec.cell.sigma_lrs_rel - early) / (late - early);
    let g_lrs = spec.levels()[3].mean_lsb + spec.reference_leakage_lsb();
    // µS of σ at both times and of the level, of a G_LRS of 39 µS.
    let measured = [([2.31, 3.44], 14.4), ([2.09, 3.21], 26.8)];
    for (level, ([first, last], at)) in spec.levels()[1..3].iter().zip(measured) {
        let expected = (first + share * (last - first)) / 39.0;
        assert!((level.sigma_lsb / g_lrs - expected).abs() < 5e-4, "{}", level.sigma_lsb / g_lrs);
        let place = (level.mean_lsb + spec.reference_leakage_lsb()) / g_lrs;
        assert!((place - at / 39.0).abs() < 5e-3, "{place}");
    }
}

#[test]
fn cells_may_deviate_by_more_than_their_mean() {
    let mut spec = gt_n40();
    for (key, value) in
        [("sigma_hrs_rel", "100"), ("sigma_lrs_rel", "1.7"), ("sigma_lrs_rel", "100")]
    {
        spec.set(key, value).expect("such cells are measured");
    }
    check_refused(
        "sigma_hrs_rel",
        "100.5",
        expect!["macro `gt-n40`: cell.sigma_hrs_rel is 100.5, it must be in 0..=100"],
    );
}

#[test]
fn values_are_read_back() {
    for name in preset_names() {
        let spec = MacroSpec::preset(name).expect("a preset");
        let mut other =
            MacroSpec { name: name.into(), ..MacroSpec::preset("gt-n40").expect("one") };
        for (key, value) in spec.values() {
            other.set(key, &value).expect("own value");
        }
        assert_eq!(spec, other);
        let values = spec.values();
        let values = values.iter().map(|(key, value)| (*key, value.as_str()));
        assert_eq!(MacroSpec::from_values(name, values).expect("own values"), spec);
    }
}

#[test]
fn short_keys_are_unambiguous() {
    let values = gt_n40().values();
    let mut short: Vec<_> = values.iter().filter_map(|(key, _)| key.rsplit('.').next()).collect();
    short.sort_unstable();
    short.dedup();
    assert_eq!(short.len(), values.len());
}

#[test]
fn overrides() {
    let mut spec = gt_n40();
    spec.set("cell.sigma_lrs_rel", "0.2").expect("a full key");
    spec.set("offset_lsb", "0.3").expect("a short key");
    spec.set("input_control", "fixed-group").expect("an input control");
    spec.set("on_off_ratio", "inf").expect("an infinite ratio");
    assert_eq!(spec.cell.sigma_lrs_rel, 0.2);
    assert_eq!(spec.adc.offset_lsb, 0.3);
    assert_eq!(spec.input_control, InputControl::FixedGroup);
    assert_eq!(spec.cell.on_off_ratio, f64::INFINITY);
}

proptest! {
    /// Whatever the order of keys, the macro or the error is the same.
    #[test]
    fn the_order_of_overrides_decides_nothing(
        given in proptest::sample::subsequence(OVERRIDES.to_vec(), 0..=OVERRIDES.len()).prop_shuffle(),
    ) {
        let set = |given: &[(&str, &str)]| {
            let mut spec = gt_n40();
            spec.set_all(given.iter().copied()).map(|()| spec).map_err(|error| chain(&error))
        };
        let mut sorted = given.clone();
        sorted.sort_unstable();
        prop_assert_eq!(set(&given), set(&sorted));
    }
}

/// Overrides of which some need each other, some are out of range, unknown, or of one key.
const OVERRIDES: [(&str, &str); 9] = [
    ("columns", "4"),
    ("columns_per_adc", "1"),
    ("adc.kind", "sar"),
    ("mismatch_lsb", "0.1"),
    ("stuck_lrs_rate", "0.6"),
    ("faults.stuck_hrs_rate", "0.6"),
    ("stuck_hrs_rate", "0.2"),
    ("sigma_lrs_rel", "ten"),
    ("sigma", "1"),
];

#[test]
fn overrides_are_checked_once_and_together() {
    for given in
        [[("columns", "4"), ("columns_per_adc", "1")], [("columns_per_adc", "1"), ("columns", "4")]]
    {
        let mut spec = gt_n40();
        spec.set_all(given).expect("in range together");
        assert_eq!((spec.columns, spec.columns_per_adc), (4, 1));
    }
    let mut spec = gt_n40();
    let error = spec.set_all([("offset_lsb", "0.1"), ("adc.offset_lsb", "0")]).expect_err("twice");
    assert_eq!(
        error.to_string(),
        "macro `gt-n40`: adc.offset_lsb is given twice, as `0` and as `0.1`"
    );
    spec.set("gain_error_rel", "-0").expect("zero");
    assert!(spec.adc.gain_error_rel.is_sign_positive());
}

fn check_refused(key: &str, value: &str, message: Expect) {
    let mut spec = gt_n40();
    let error = spec.set(key, value).expect_err("a fault");
    message.assert_eq(&chain(&error));
    assert_eq!(spec, gt_n40(), "a refused value changes nothing");
}

#[test]
fn refused_overrides() {
    check_refused(
        "sigma_lsr_rel",
        "0.1",
        expect![
            "macro `gt-n40`: sigma_lsr_rel is not a key, did you mean `cell.sigma_lrs_rel`? Keys are rows, columns, rows_per_conversion, columns_per_adc, input_control, adc.bits, adc.offset_lsb, adc.comparator_noise_lsb, adc.kind, adc.gain_error_rel, adc.mismatch_lsb, cell.on_off_ratio, cell.sigma_lrs_rel, cell.sigma_hrs_rel, cell.read_noise_rel, cell.bits_per_cell, cell.level_sigmas, programming.lrs_distribution, programming.hrs_distribution, telegraph.rate, telegraph.lrs_rel, telegraph.hrs_rel, faults.stuck_lrs_rate, faults.stuck_hrs_rate, faults.map, temperature.celsius, temperature.lrs_per_k, temperature.hrs_per_k, temperature.reference_per_k, retention.sigma_lrs, retention.sigma_hrs, retention.drift_lrs, retention.drift_hrs, retention.time_s, disturb.lrs_rel_per_decade, disturb.hrs_rel_per_decade, disturb.reads, wires.bit_line_ohm, wires.word_line_ohm, wires.g_lrs_us"
        ],
    );
    check_refused(
        "adc.offset",
        "0.1",
        expect![
            "macro `gt-n40`: adc.offset is not a key, did you mean `adc.offset_lsb`? Keys are rows, columns, rows_per_conversion, columns_per_adc, input_control, adc.bits, adc.offset_lsb, adc.comparator_noise_lsb, adc.kind, adc.gain_error_rel, adc.mismatch_lsb, cell.on_off_ratio, cell.sigma_lrs_rel, cell.sigma_hrs_rel, cell.read_noise_rel, cell.bits_per_cell, cell.level_sigmas, programming.lrs_distribution, programming.hrs_distribution, telegraph.rate, telegraph.lrs_rel, telegraph.hrs_rel, faults.stuck_lrs_rate, faults.stuck_hrs_rate, faults.map, temperature.celsius, temperature.lrs_per_k, temperature.hrs_per_k, temperature.reference_per_k, retention.sigma_lrs, retention.sigma_hrs, retention.drift_lrs, retention.drift_hrs, retention.time_s, disturb.lrs_rel_per_decade, disturb.hrs_rel_per_decade, disturb.reads, wires.bit_line_ohm, wires.word_line_ohm, wires.g_lrs_us"
        ],
    );
    check_refused(
        "sigma_lrs",
        "0.2",
        expect![
            "macro `gt-n40`: retention.sigma_lrs is `0.2`, it must be none, or SECONDS:VALUE … with times of 1e-15 to 1e15, ascending, and values of 0 to 100; did you mean `cell.sigma_lrs_rel`?"
        ],
    );
    check_refused(
        "drift_lrs",
        "0.9",
        expect![
            "macro `gt-n40`: retention.drift_lrs is `0.9`, it must be none, or SECONDS:VALUE … with times of 1e-15 to 1e15, ascending, and values of 0 to 100"
        ],
    );
    check_refused(
        "sigma",
        "0.2",
        expect![
            "macro `gt-n40`: sigma is not a key, did you mean `cell.sigma_lrs_rel`? Keys are rows, columns, rows_per_conversion, columns_per_adc, input_control, adc.bits, adc.offset_lsb, adc.comparator_noise_lsb, adc.kind, adc.gain_error_rel, adc.mismatch_lsb, cell.on_off_ratio, cell.sigma_lrs_rel, cell.sigma_hrs_rel, cell.read_noise_rel, cell.bits_per_cell, cell.level_sigmas, programming.lrs_distribution, programming.hrs_distribution, telegraph.rate, telegraph.lrs_rel, telegraph.hrs_rel, faults.stuck_lrs_rate, faults.stuck_hrs_rate, faults.map, temperature.celsius, temperature.lrs_per_k, temperature.hrs_per_k, temperature.reference_per_k, retention.sigma_lrs, retention.sigma_hrs, retention.drift_lrs, retention.drift_hrs, retention.time_s, disturb.lrs_rel_per_decade, disturb.hrs_rel_per_decade, disturb.reads, wires.bit_line_ohm, wires.word_line_ohm, wires.g_lrs_us"
        ],
    );
    check_refused(
        "sigma_lrs_rel",
        "-0.1",
        expect!["macro `gt-n40`: cell.sigma_lrs_rel is -0.1, it must be in 0..=100"],
    );
    check_refused(
        "sigma_lrs_rel",
        "NaN",
        expect!["macro `gt-n40`: cell.sigma_lrs_rel is NaN, it must be in 0..=100"],
    );
    check_refused(
        "sigma_hrs_rel",
        "inf",
        expect!["macro `gt-n40`: cell.sigma_hrs_rel is inf, it must be in 0..=100"],
    );
    check_refused(
        "offset_lsb",
        "ten",
        expect!["macro `gt-n40`: adc.offset_lsb is `ten`, it must be a number"],
    );
    check_refused(
        "on_off_ratio",
        "1",
        expect!["macro `gt-n40`: cell.on_off_ratio is 1, it must be above 1, or inf"],
    );
    check_refused("rows", "0", expect!["macro `gt-n40`: rows is 0, it must be in 1..=4096"]);
    check_refused(
        "rows",
        "-3",
        expect!["macro `gt-n40`: rows is `-3`, it must be a whole number from 1"],
    );
    check_refused("bits", "13", expect!["macro `gt-n40`: adc.bits is 13, it must be in 1..=12"]);
    check_refused(
        "rows_per_conversion",
        "1025",
        expect!["macro `gt-n40`: rows_per_conversion is 1025, it must be in 1..=1024"],
    );
    check_refused(
        "columns_per_adc",
        "129",
        expect!["macro `gt-n40`: columns_per_adc is 129, it must be in 1..=columns"],
    );
    check_refused(
        "input_control",
        "random",
        expect![
            "macro `gt-n40`: input_control is `random`, it must be ordered-scan, fixed-window{SIZE} with a size from 1, or fixed-group"
        ],
    );
    check_refused(
        "input_control",
        "fixed-window{0}",
        expect![
            "macro `gt-n40`: input_control is `fixed-window{0}`, it must be ordered-scan, fixed-window{SIZE} with a size from 1, or fixed-group"
        ],
    );
    check_refused(
        "input_control",
        "fixed-window{129}",
        expect![
            "macro `gt-n40`: input_control is fixed-window{129}, it must be a window of 1..=rows entries"
        ],
    );
}

#[test]
fn unknown_presets() {
    let error = MacroSpec::load("gt-n14").expect_err("no such preset");
    expect!["macro `gt-n14` is not a preset, did you mean `gt-n40`? Presets are gt-n40, gt-n40-mlc, foundry-b, foundry-c, neurram-130, nthu-22, ideal, and a path has a `/` or ends in `.toml`"]
    .assert_eq(&error.to_string());
    let error = MacroSpec::load("no/such.toml").expect_err("no such file");
    expect!["cannot read no/such.toml"].assert_eq(&error.to_string());
}

/// Writes the preset's file, with `line` replaced, for the time of `then`.
fn with_file<T>(case: &str, line: &str, by: &str, then: impl FnOnce(&str) -> T) -> T {
    let preset = include_str!("../presets/gt-n40.toml");
    assert!(preset.contains(line), "{line}");
    with_text(case, &preset.replace(line, by), then)
}

/// Writes a file, for the time of `then`.
fn with_text<T>(case: &str, text: &str, then: impl FnOnce(&str) -> T) -> T {
    let name = format!("hafnia-cim-{}-{case}.toml", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, text).expect("a temporary file");
    let result = then(path.to_str().expect("a path in UTF-8"));
    std::fs::remove_file(&path).expect("the file just written");
    result
}

#[test]
fn a_macro_from_a_file() {
    with_file("own", "value = 17", "value = inf", |path| {
        let spec = MacroSpec::load(path).expect("a macro");
        let cell = CellModel { on_off_ratio: f64::INFINITY, ..gt_n40().cell };
        assert_eq!(spec, MacroSpec { name: path.into(), cell, ..gt_n40() });
        let sources = sources(path).expect("a macro");
        assert_eq!(sources.len(), spec.values().len());
    });
}

fn check_file(case: &str, line: &str, by: &str, message: Expect) {
    with_file(case, line, by, |path| {
        let error = MacroSpec::load(path).expect_err("a fault");
        message.assert_eq(&chain(&error).replace(path, "m.toml"));
    });
}

#[test]
fn refused_files() {
    check_file(
        "syntax",
        "[adc]",
        "[adc",
        expect![[r#"
        macro `m.toml` is not TOML: TOML parse error at line 10, column 5
           |
        10 | [adc
           |     ^
        unclosed table, expected `]`
    "#]],
    );
    check_file(
        "key",
        "bits =",
        "bit =",
        expect![
            "macro `m.toml`: adc.bit is not a key, did you mean `adc.bits`? Keys are rows, columns, rows_per_conversion, columns_per_adc, input_control, adc.bits, adc.offset_lsb, adc.comparator_noise_lsb, adc.kind, adc.gain_error_rel, adc.mismatch_lsb, cell.on_off_ratio, cell.sigma_lrs_rel, cell.sigma_hrs_rel, cell.read_noise_rel, cell.bits_per_cell, cell.level_sigmas, programming.lrs_distribution, programming.hrs_distribution, telegraph.rate, telegraph.lrs_rel, telegraph.hrs_rel, faults.stuck_lrs_rate, faults.stuck_hrs_rate, faults.map, temperature.celsius, temperature.lrs_per_k, temperature.hrs_per_k, temperature.reference_per_k, retention.sigma_lrs, retention.sigma_hrs, retention.drift_lrs, retention.drift_hrs, retention.time_s, disturb.lrs_rel_per_decade, disturb.hrs_rel_per_decade, disturb.reads, wires.bit_line_ohm, wires.word_line_ohm, wires.g_lrs_us"
        ],
    );
    check_file(
        "section",
        "[cell]",
        "[cells]",
        expect![
            "macro `m.toml`: cells is not a key: keys are rows, columns, rows_per_conversion, columns_per_adc, input_control, adc.bits, adc.offset_lsb, adc.comparator_noise_lsb, adc.kind, adc.gain_error_rel, adc.mismatch_lsb, cell.on_off_ratio, cell.sigma_lrs_rel, cell.sigma_hrs_rel, cell.read_noise_rel, cell.bits_per_cell, cell.level_sigmas, programming.lrs_distribution, programming.hrs_distribution, telegraph.rate, telegraph.lrs_rel, telegraph.hrs_rel, faults.stuck_lrs_rate, faults.stuck_hrs_rate, faults.map, temperature.celsius, temperature.lrs_per_k, temperature.hrs_per_k, temperature.reference_per_k, retention.sigma_lrs, retention.sigma_hrs, retention.drift_lrs, retention.drift_hrs, retention.time_s, disturb.lrs_rel_per_decade, disturb.hrs_rel_per_decade, disturb.reads, wires.bit_line_ohm, wires.word_line_ohm, wires.g_lrs_us"
        ],
    );
    check_file(
        "twice",
        "[adc]",
        "[adc]\nbits = 3",
        expect![[r#"
        macro `m.toml` is not TOML: TOML parse error at line 12, column 1
           |
        12 | bits = { value = 3, source = "flash converter: Lu et al., Frontiers in Artificial Intelligence 2021, at second hand" }
           | ^^^^
        duplicate key
    "#]],
    );
    check_file(
        "short",
        "[cell]",
        "[cell]\nbits = { value = 3, source = \"x\" }",
        expect![
            "macro `m.toml`: cell.bits is not a key, did you mean `cell.bits_per_cell`? Keys are rows, columns, rows_per_conversion, columns_per_adc, input_control, adc.bits, adc.offset_lsb, adc.comparator_noise_lsb, adc.kind, adc.gain_error_rel, adc.mismatch_lsb, cell.on_off_ratio, cell.sigma_lrs_rel, cell.sigma_hrs_rel, cell.read_noise_rel, cell.bits_per_cell, cell.level_sigmas, programming.lrs_distribution, programming.hrs_distribution, telegraph.rate, telegraph.lrs_rel, telegraph.hrs_rel, faults.stuck_lrs_rate, faults.stuck_hrs_rate, faults.map, temperature.celsius, temperature.lrs_per_k, temperature.hrs_per_k, temperature.reference_per_k, retention.sigma_lrs, retention.sigma_hrs, retention.drift_lrs, retention.drift_hrs, retention.time_s, disturb.lrs_rel_per_decade, disturb.hrs_rel_per_decade, disturb.reads, wires.bit_line_ohm, wires.word_line_ohm, wires.g_lrs_us"
        ],
    );
    check_file(
        "bare",
        "[adc]",
        "[other]\nx = 1\n[adc]",
        expect![
            "macro `m.toml`: other is not a key: keys are rows, columns, rows_per_conversion, columns_per_adc, input_control, adc.bits, adc.offset_lsb, adc.comparator_noise_lsb, adc.kind, adc.gain_error_rel, adc.mismatch_lsb, cell.on_off_ratio, cell.sigma_lrs_rel, cell.sigma_hrs_rel, cell.read_noise_rel, cell.bits_per_cell, cell.level_sigmas, programming.lrs_distribution, programming.hrs_distribution, telegraph.rate, telegraph.lrs_rel, telegraph.hrs_rel, faults.stuck_lrs_rate, faults.stuck_hrs_rate, faults.map, temperature.celsius, temperature.lrs_per_k, temperature.hrs_per_k, temperature.reference_per_k, retention.sigma_lrs, retention.sigma_hrs, retention.drift_lrs, retention.drift_hrs, retention.time_s, disturb.lrs_rel_per_decade, disturb.hrs_rel_per_decade, disturb.reads, wires.bit_line_ohm, wires.word_line_ohm, wires.g_lrs_us"
        ],
    );
    check_file(
        "unsourced",
        "{ value = 17, ",
        "{ value = 17, note = 1, ",
        expect![[r#"
        macro `m.toml`: cell.on_off_ratio is not of the form `{ value = …, source = "…" }`, or a bare value: unknown field `note`, expected `value` or `source`
    "#]],
    );
    check_file(
        "no-source",
        "{ value = 0.05, source = \"assumed: not published\" }",
        "true",
        expect![[r#"
            macro `m.toml`: adc.comparator_noise_lsb is not of the form `{ value = …, source = "…" }`, or a bare value: invalid type: boolean `true`, expected a table of value and source
        "#]],
    );
    check_file(
        "empty",
        "assumed: not published\"",
        "\"",
        expect![[
            r#"macro `m.toml`: adc.comparator_noise_lsb is not of the form `{ value = …, source = "…" }`, or a bare value"#
        ]],
    );
    check_file(
        "type",
        "value = 3,",
        "value = 3.5,",
        expect!["macro `m.toml`: adc.bits is `3.5`, it must be a whole number from 1 to 12"],
    );
    check_file(
        "range",
        "value = 0.30,",
        "value = -0.30,",
        expect!["macro `m.toml`: cell.sigma_hrs_rel is -0.3, it must be in 0..=100"],
    );
    check_file(
        "nan",
        "value = 0.30,",
        "value = nan,",
        expect!["macro `m.toml`: cell.sigma_hrs_rel is NaN, it must be in 0..=100"],
    );
}

#[test]
fn a_missing_key_is_named() {
    let line = gt_n40_line("read_noise_rel");
    check_file("missing", &line, "", expect!["macro `m.toml`: cell.read_noise_rel is missing"]);
}

/// What loading `first` of some files in a folder of their own gives.
fn load_among(case: &str, files: &[(&str, &str)]) -> Result<MacroSpec, String> {
    let folder = std::env::temp_dir().join(format!("hafnia-cim-{}-{case}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("a temporary file");
    }
    let path = folder.join(files[0].0).display().to_string();
    let shown = |text: String| {
        let real = folder.canonicalize().expect("the folder").display().to_string();
        text.replace(&format!("{real}/"), "").replace(&format!("{}/", folder.display()), "")
    };
    let loaded = MacroSpec::load(&path).map_err(|error| shown(chain(&error)));
    std::fs::remove_dir_all(&folder).expect("the folder just made");
    loaded
}

#[test]
fn a_file_inherits_and_overrides() {
    let base = "inherits = \"gt-n40\"\n[cell]\nsigma_lrs_rel = { value = 0.2, source = \"x\" }\n";
    let map = "macro,row,column,state\n0,1,2,LRS\n";
    let own = "inherits = \"base.toml\"\nrows = { value = 64, source = \"x\" }\n\
               [faults]\nmap = { value = \"map.csv\", source = \"x\" }\n";
    let files = [("own.toml", own), ("base.toml", base), ("map.csv", map)];
    let spec = load_among("inherits", &files).expect("a macro");
    assert_eq!((spec.rows, spec.columns, spec.cell.sigma_lrs_rel), (64, 128, 0.2));
    assert_eq!(spec.faults.map.state(0, 1, 2), Some(true));
    assert_eq!(spec.faults.map.state(0, 1, 3), None);
}

#[test]
fn the_files_of_a_macro_are_those_it_is_read_from() {
    let folder = std::env::temp_dir().join(format!("hafnia-cim-{}-files", std::process::id()));
    std::fs::create_dir_all(folder.join("sub")).expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    write("own.toml", "inherits = \"sub/base.toml\"\n");
    let map = "[faults]\nmap = { value = \"map.csv\", source = \"x\" }\n";
    write("sub/base.toml", &format!("inherits = \"../last.toml\"\n{map}"));
    write("last.toml", &format!("inherits = \"gt-n40\"\n{map}"));
    write("circle.toml", "inherits = \"./circle.toml\"\n");
    let files = |name: &str, overrides: &[(&str, &str)]| {
        let path = folder.join(name).display().to_string();
        let files = MacroSpec::files(&path, overrides.iter().copied());
        let shown = |path: std::path::PathBuf| {
            path.strip_prefix(&folder).unwrap_or(&path).display().to_string()
        };
        files.into_iter().map(shown).collect::<Vec<_>>()
    };
    let chain = ["own.toml", "sub/base.toml", "sub/../last.toml"];
    assert_eq!(files("own.toml", &[]), [&chain[..], &["sub/map.csv"]].concat());
    assert_eq!(files("own.toml", &[("map", "m.csv")]), [&chain[..], &["m.csv"]].concat());
    assert_eq!(files("own.toml", &[("faults.map", "none")]), chain);
    assert_eq!(files("circle.toml", &[]), ["circle.toml"]);
    assert_eq!(files("missing.toml", &[]), ["missing.toml"]);
    assert!(MacroSpec::files("gt-n40", [("rows", "64")]).is_empty(), "a preset is no file");
    std::fs::remove_dir_all(&folder).expect("the folder just made");
}

fn check_among(case: &str, files: &[(&str, &str)], message: Expect) {
    message.assert_eq(&load_among(case, files).expect_err("a fault"));
}

#[test]
fn inheritance_gone_wrong() {
    let (to_a, to_b) = ("inherits = \"a.toml\"\n", "inherits = \"./b.toml\"\n");
    check_among(
        "circle",
        &[("a.toml", to_b), ("b.toml", to_a)],
        expect!["macro `a.toml` inherits from itself: a.toml -> b.toml -> a.toml"],
    );
    check_among(
        "self",
        &[("a.toml", to_a)],
        expect!["macro `a.toml` inherits from itself: a.toml -> a.toml"],
    );
    check_among(
        "number",
        &[("a.toml", "inherits = 3")],
        expect!["macro `a.toml`: inherits is `3`, it must be the name of a preset or a path"],
    );
    check_among(
        "unknown",
        &[("a.toml", "inherits = \"gt-40\"")],
        expect![
            "macro `gt-40` is not a preset, did you mean `gt-n40`? Presets are gt-n40, gt-n40-mlc, foundry-b, foundry-c, neurram-130, nthu-22, ideal, and a path has a `/` or ends in `.toml`"
        ],
    );
    check_among(
        "gone",
        &[("a.toml", to_b)],
        expect!["cannot read ./b.toml: No such file or directory (os error 2)"],
    );
    let chain: Vec<(String, String)> = (0..40)
        .map(|file| (format!("m{file}.toml"), format!("inherits = \"m{}.toml\"\n", file + 1)))
        .collect();
    let chain: Vec<(&str, &str)> = chain.iter().map(|(name, text)| (&**name, &**text)).collect();
    let mut deep = chain.clone();
    deep.insert(0, ("a.toml", "inherits = \"m0.toml\"\n"));
    check_among(
        "deep",
        &deep,
        expect![
            "macro `m31.toml` is file 33 in the line from which `a.toml` inherits, at most 32 may be"
        ],
    );
    let mut near = chain[10..].to_vec();
    near.last_mut().expect("the last").1 = "inherits = \"gt-n40\"\n";
    assert!(load_among("near", &near).is_ok());
    let stuck = "inherits = \"gt-n40\"\n[faults]\nmap = { value = \"m.csv\", source = \"x\" }\n";
    let map = "macro,row,column,state\n0,1,LRS\n";
    check_among(
        "map",
        &[("a.toml", stuck), ("m.csv", map)],
        expect!["m.csv:2: there are 3 fields, there must be 4"],
    );
}

#[test]
fn what_would_take_hours_is_refused() {
    let mut spec = gt_n40();
    let effects = [("rows_per_conversion", "25"), ("telegraph.rate", "0.1")];
    effects.into_iter().for_each(|(key, value)| spec.set(key, value).expect("a value"));
    let error = spec.set("stuck_lrs_rate", "0.1").expect_err("too many ways");
    expect![
        "macro `gt-n40`: rows_per_conversion is 25, it must be at most 24 where cells are stuck by a rate and have traps too"
    ]
    .assert_eq(&chain(&error));
    spec.set("rows_per_conversion", "24").expect("a value");
    spec.set("stuck_lrs_rate", "0.1").expect("a value");
}

#[test]
fn refused_effects() {
    check_refused(
        "adc.kind",
        "pipeline",
        expect!["macro `gt-n40`: adc.kind is `pipeline`, it must be flash or sar"],
    );
    check_refused(
        "mismatch_lsb",
        "0.1",
        expect![
            "macro `gt-n40`: adc.mismatch_lsb is 0.1, it must be 0 where adc.kind is flash, which has no such elements"
        ],
    );
    check_refused(
        "gain_error_rel",
        "0.7",
        expect!["macro `gt-n40`: adc.gain_error_rel is 0.7, it must be in -0.5..=0.5"],
    );
    check_refused(
        "lrs_distribution",
        "points{1}",
        expect![
            "macro `gt-n40`: programming.lrs_distribution is `points{1}`, it must be normal, log-normal, or points{G G …} with at least two different numbers from 0"
        ],
    );
    check_refused(
        "telegraph.rate",
        "1.5",
        expect!["macro `gt-n40`: telegraph.rate is 1.5, it must be in 0..=1"],
    );
    check_refused(
        "stuck_hrs_rate",
        "NaN",
        expect!["macro `gt-n40`: faults.stuck_hrs_rate is NaN, it must be in 0..=1"],
    );
    check_refused(
        "celsius",
        "300",
        expect!["macro `gt-n40`: temperature.celsius is 300, it must be in -55..=150 °C"],
    );
    check_refused(
        "lrs_per_k",
        "0.1",
        expect!["macro `gt-n40`: temperature.lrs_per_k is 0.1, it must be in -0.02..=0.02 per K"],
    );
    check_refused(
        "time_s",
        "100000",
        expect![
            "macro `gt-n40`: retention.sigma_hrs is 1:0.149 86400:0.298, it must be none, or points that reach from below retention.time_s to above it"
        ],
    );
    check_refused(
        "retention.sigma_lrs",
        "5:0.1 1:0.2",
        expect![
            "macro `gt-n40`: retention.sigma_lrs is `5:0.1 1:0.2`, it must be none, or SECONDS:VALUE … with times of 1e-15 to 1e15, ascending, and values of 0 to 100"
        ],
    );
    check_refused(
        "reads",
        "-1",
        expect!["macro `gt-n40`: disturb.reads is -1, it must be in 0..=1e18"],
    );
    check_refused(
        "bit_line_ohm",
        "inf",
        expect!["macro `gt-n40`: wires.bit_line_ohm is inf, it must be in 0..=1000 ohm"],
    );
    check_refused(
        "faults.map",
        "no/such.csv",
        expect!["cannot read no/such.csv: No such file or directory (os error 2)"],
    );
    let mut spec = gt_n40();
    spec.set("stuck_lrs_rate", "0.6").expect("a rate");
    let error = spec.set("stuck_hrs_rate", "0.5").expect_err("too many");
    expect!["macro `gt-n40`: faults.stuck_hrs_rate is 0.5, it must be at most 1 less faults.stuck_lrs_rate"].assert_eq(&chain(&error));
    let mut ideal = MacroSpec::preset("ideal").expect("a preset");
    let error = ideal.set("time_s", "5").expect_err("no points");
    expect!["macro `ideal`: retention.time_s is 5, it must be 0 where the macro has no measured points of retention"].assert_eq(&chain(&error));
}

/// The line of the preset's file that begins with `key`.
fn gt_n40_line(key: &str) -> String {
    let mut lines = include_str!("../presets/gt-n40.toml").lines();
    lines.find(|line| line.starts_with(key)).expect("a line").to_owned()
}

/// What the reference of keys says of a range is what a value outside is told.
#[test]
fn ranges_are_as_the_reference_says() {
    let table = keys_table();
    let outside = |range: &str| match range.split_once("..=") {
        Some((_, most)) => {
            most.parse::<f64>().map_or("5000".to_owned(), |most| (2.0 * most).to_string())
        }
        None => "7".to_owned(),
    };
    let mut keys = Vec::new();
    for line in table.lines().skip(2) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [key, unit, range, default, meaning] = cells[..] else { panic!("{line}") };
        assert!(!meaning.is_empty() && !default.is_empty() && !range.is_empty(), "{line}");
        let key = key.trim_matches('`');
        keys.push((key, unit));
        let value = match key {
            "cell.on_off_ratio" => "1".to_owned(),
            _ => outside(range),
        };
        let mut spec = MacroSpec::preset("gt-n40").expect("a preset");
        if ["faults.map", "cell.level_sigmas"].contains(&key) {
            continue;
        }
        let error = spec.set(key, &value).expect_err("outside").to_string();
        let words =
            range.split(" or ").flat_map(|word| word.split(", ")).filter(|word| !word.is_empty());
        for word in words {
            let word = word.trim_start_matches("or ").replace("SECONDS:VALUE …", "SECONDS:VALUE");
            assert!(error.contains(&word), "{key}: {error} lacks {word}");
        }
    }
    let spec = MacroSpec::preset("gt-n40").expect("a preset");
    let known: Vec<_> = spec.values().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys.iter().map(|(key, _)| *key).collect::<Vec<_>>(), known);
    let sourced = sources("gt-n40").expect("a preset");
    assert_eq!(keys, sourced.iter().map(|value| (value.key, value.unit)).collect::<Vec<_>>());
}

/// A new file changes nothing; with every value taken out of its comment it is the same macro.
#[test]
fn a_new_file_is_the_macro_it_is_from() {
    for name in preset_names() {
        let spec = MacroSpec::preset(name).expect("a preset");
        let text = template(name, &spec);
        let written = |text: &str| {
            with_text("new", text, |path| {
                let spec = MacroSpec::load(path).expect("a macro");
                (spec.values(), sources(path).expect("a macro"))
            })
        };
        let (values, _) = written(&text);
        assert_eq!(values, spec.values());
        let given: Vec<&str> =
            text.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).collect();
        let given = given.join("\n").replace("A macro that", "# A macro that");
        let given = given.replace("To give", "# To give").replace("{ value = …", "# { value = …");
        let (values, sources) = written(&given);
        assert_eq!(values, spec.values());
        assert!(sources.iter().all(|value| value.source == UNSTATED));
    }
}

#[test]
fn a_bare_value_is_unstated() {
    let text =
        "inherits = \"gt-n40\"\nrows = 64\n[cell]\non_off_ratio = inf\n[adc]\nkind = \"sar\"\n";
    let (spec, sources) = with_text("bare", text, |path| {
        (MacroSpec::load(path).expect("a macro"), sources(path).expect("a macro"))
    });
    assert_eq!((spec.rows, spec.adc.kind), (64, AdcKind::Sar));
    let source = |key| &sources.iter().find(|value| value.key == key).expect("a key").source;
    assert_eq!(["rows", "cell.on_off_ratio", "adc.kind"].map(source), ["unstated"; 3]);
}
