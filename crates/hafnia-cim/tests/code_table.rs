//! Code tables: the published check values, closed forms, an obvious integration, CSV.

use expect_test::{Expect, expect};
use hafnia_cim::{CimError, CodeTable, MacroSpec};
use proptest::prelude::*;

/// The macro of the check values, with noise of its own.
fn spec(overrides: &[(&str, &str)]) -> MacroSpec {
    let mut spec = MacroSpec::preset("gt-n40").expect("a preset").without_noise();
    for (key, value) in overrides {
        spec.set(key, value).expect("a valid override");
    }
    spec
}

/// P(x > z) of a standard normal x.
fn upper_tail(z: f64) -> f64 {
    0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
}

/// Standard deviation of the signal.
fn signal_sigma(spec: &MacroSpec, rows: usize, ones: usize) -> f64 {
    let cells =
        spec.cell.static_variance_lsb2(ones, rows) + spec.cell.read_variance_lsb2(ones, rows);
    (cells + spec.adc.comparator_noise_lsb.powi(2)).sqrt()
}

/// Probability that comparator `k` fires, whatever the others do.
fn fires(spec: &MacroSpec, rows: usize, ones: usize, k: usize) -> f64 {
    let sigma = signal_sigma(spec, rows, ones).hypot(spec.adc.offset_lsb);
    let distance = k as f64 - 0.5 - ones as f64;
    if sigma == 0.0 { f64::from(distance <= 0.0) } else { upper_tail(distance / sigma) }
}

/// `printed` has one or two digits: the value lies within half a unit of the last of them.
fn check_errors(sigma_lrs_rel: &str, printed: [&str; 8]) {
    let table = CodeTable::from_spec(&spec(&[
        ("on_off_ratio", "150"),
        ("sigma_lrs_rel", sigma_lrs_rel),
        ("sigma_hrs_rel", "0.3"),
        ("offset_lsb", "0.1"),
    ]));
    for (ones, printed) in printed.into_iter().enumerate() {
        let (mantissa, exponent) = printed.split_once('e').expect("an exponent");
        let decimals = mantissa.split_once('.').map_or(0, |(_, digits)| digits.len() as i32);
        let exponent: i32 = exponent.parse().expect("an exponent");
        let half_unit = 0.5 * 10f64.powi(exponent - decimals);
        let expected: f64 = printed.parse().expect("a number");
        let found = table.error_probability(7, ones);
        assert!(
            (found - expected).abs() <= half_unit,
            "sigma {sigma_lrs_rel}, {ones} ones: {found:e}, expected {printed}"
        );
    }
}

#[test]
fn check_values_of_the_device_model() {
    check_errors("0.05", ["3e-7", "8e-6", "5e-5", "2e-4", "4e-4", "9e-4", "1.6e-3", "1.3e-3"]);
    check_errors(
        "0.08",
        ["3e-7", "1e-4", "1e-3", "3.6e-3", "8.4e-3", "1.5e-2", "2.4e-2", "1.7e-2"],
    );
    check_errors(
        "0.15",
        ["3e-7", "6e-3", "3.4e-2", "7.4e-2", "1.2e-1", "1.6e-1", "1.9e-1", "1.1e-1"],
    );
}

/// At either end of the scale one comparator decides, as long as noise is well below 1 LSB: the
/// others err only if a noise of 1.5 LSB occurs, so that they add at most 6 tails at 1.5 LSB.
#[test]
fn single_comparator_limits() {
    let spec = MacroSpec::preset("gt-n40").expect("a preset");
    let table = CodeTable::from_spec(&spec);
    for ones in [0, 7] {
        let sigma = signal_sigma(&spec, 7, ones).hypot(spec.adc.offset_lsb);
        let found = table.error_probability(7, ones);
        let difference = (found - upper_tail(0.5 / sigma)).abs();
        assert!(difference <= 6.0 * upper_tail(1.5 / sigma) + 1e-12, "{ones} ones: {difference:e}");
    }
}

#[test]
fn without_noise_the_code_is_the_count_clipped() {
    for (rows, bits) in [("7", "3"), ("15", "3"), ("9", "4"), ("63", "6"), ("1", "1")] {
        let table =
            CodeTable::from_spec(&spec(&[("rows_per_conversion", rows), ("adc.bits", bits)]));
        for (rows, ones) in table.conversions() {
            let code = ones.min(table.max_code());
            for (index, probability) in table.probabilities(rows, ones).iter().enumerate() {
                assert_eq!(*probability, f64::from(index == code), "{ones} of {rows}");
            }
            assert_eq!(table.error_probability(rows, ones), f64::from(code != ones));
            let moments = table.moments(rows, ones);
            assert_eq!((moments.bias, moments.variance), (code as f64 - ones as f64, 0.0));
        }
    }
}

#[test]
fn moments_of_saturated_codes() {
    // 2 bits, no offset: 9 ones read 3 for certain
    let table = CodeTable::from_spec(&spec(&[
        ("rows_per_conversion", "9"),
        ("adc.bits", "2"),
        ("comparator_noise_lsb", "0.3"),
    ]));
    let moments = table.moments(9, 9);
    assert_eq!(moments.bias, -6.0);
    assert!(moments.variance < 1e-12);
    assert!((table.error_probability(9, 9) - 1.0).abs() < 1e-12);
    // at 2 ones, codes 1 and 3 are equally likely: no bias, and the variance is their probability,
    // but for P(code 0) = 3e-7 whose error is 2
    let moments = table.moments(2, 2);
    let (one, zero) = (upper_tail(0.5 / 0.3) - upper_tail(1.5 / 0.3), upper_tail(1.5 / 0.3));
    let three = upper_tail(0.5 / 0.3);
    let bias = three - one - 2.0 * zero;
    assert!((moments.bias - bias).abs() < 1e-12);
    assert!((moments.variance - (three + one + 4.0 * zero - bias * bias)).abs() < 1e-12);
}

/// The same probabilities the obvious way: a sum over which comparators fire, and a trapezoid,
/// which for a smooth function with Gaussian tails is exact to rounding once its step (here 9/500
/// standard deviations of the signal) is small against every feature. That holds for offsets above
/// 0.1 standard deviations of the signal.
fn check_against_enumeration(overrides: &[(&str, &str)]) {
    const HALF: i32 = 500;
    let spec = spec(overrides);
    let (table, comparators) = (CodeTable::from_spec(&spec), spec.adc.max_code());
    for (rows, ones) in table.conversions() {
        let sigma = signal_sigma(&spec, rows, ones);
        let (mut codes, mut total) = (vec![0.0; comparators + 1], 0.0);
        for step in -HALF..=HALF {
            let z = 9.0 * f64::from(step) / f64::from(HALF);
            let density = libm::exp(-0.5 * z * z);
            total += density;
            let fires: Vec<f64> = (1..=comparators)
                .map(|k| (k as f64 - 0.5 - ones as f64 - sigma * z) / spec.adc.offset_lsb)
                .map(upper_tail)
                .collect();
            for which in 0u32..1 << comparators {
                let joint: f64 = (0..comparators)
                    .map(|k| if which >> k & 1 == 1 { fires[k] } else { 1.0 - fires[k] })
                    .product();
                codes[which.count_ones() as usize] += density * joint;
            }
        }
        for (code, (found, sum)) in table.probabilities(rows, ones).iter().zip(codes).enumerate() {
            let difference = (found - sum / total).abs();
            assert!(
                difference < 1e-12,
                "{overrides:?}, {ones} of {rows}, code {code}: {difference:e}"
            );
        }
    }
}

#[test]
fn tables_equal_a_sum_over_comparators() {
    let noise: [(&str, &str); 6] = [
        ("rows_per_conversion", "3"),
        ("adc.bits", "2"),
        ("sigma_lrs_rel", "0.05"),
        ("sigma_hrs_rel", "0.3"),
        ("read_noise_rel", "0.01"),
        ("comparator_noise_lsb", "0.05"),
    ];
    for offset in ["0.1", "0.3", "1", "4"] {
        check_against_enumeration(&[&noise[..], &[("offset_lsb", offset)]].concat());
    }
    check_against_enumeration(&[
        ("rows_per_conversion", "2"),
        ("sigma_lrs_rel", "0.3"),
        ("comparator_noise_lsb", "1.5"),
        ("offset_lsb", "0.7"),
    ]);
}

/// The default table, digit by digit: the same on every machine.
#[test]
fn default_table() {
    let table = CodeTable::from_spec(&MacroSpec::preset("gt-n40").expect("a preset"));
    let mut text = String::new();
    for ones in 0..=7 {
        let (error, variance) = (table.error_probability(7, ones), table.moments(7, ones).variance);
        text += &format!("{ones}: error {error:e}, variance {variance:e}\n");
    }
    expect![[r#"
        0: error 2.1808391075645075e-5, variance 2.1807915469723764e-5
        1: error 1.6026920556365794e-4, variance 1.6026920556365794e-4
        2: error 4.2493620339017243e-4, variance 4.2493620339017243e-4
        3: error 9.077940571302321e-4, variance 9.077940571302321e-4
        4: error 1.668312200195234e-3, variance 1.668312200195234e-3
        5: error 2.7488426888525727e-3, variance 2.748842688852573e-3
        6: error 4.1735839480385225e-3, variance 4.1735839480385355e-3
        7: error 2.9753179408306863e-3, variance 2.966465423981892e-3
    "#]]
    .assert_eq(&text);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The mean code is the sum of the comparators' own probabilities to fire, however they are
    /// correlated: a closed form for any noise, from far below to far above 1 LSB.
    #[test]
    fn sums_and_means_are_right(
        rows in 1usize..6,
        bits in 1u8..5,
        ratio in prop_oneof![1.5f64..200.0, Just(f64::INFINITY)],
        sigmas in prop::array::uniform3(prop_oneof![Just(0.0), 0.0f64..1.0]),
        adc in prop::array::uniform2(prop_oneof![Just(0.0), 0.0f64..4.0, (-18f64..0.0).prop_map(|e| 10f64.powf(e))]),
    ) {
        let mut spec = spec(&[]);
        spec.rows_per_conversion = rows;
        spec.adc.bits = bits;
        spec.cell.on_off_ratio = ratio;
        [spec.cell.sigma_lrs_rel, spec.cell.sigma_hrs_rel, spec.cell.read_noise_rel] = sigmas;
        [spec.adc.offset_lsb, spec.adc.comparator_noise_lsb] = adc;
        spec.validate().expect("a valid spec");
        let table = CodeTable::from_spec(&spec);
        for (rows, ones) in table.conversions() {
            let codes = table.probabilities(rows, ones);
            prop_assert!(codes.iter().all(|p| (0.0..=1.0 + 1e-12).contains(p)), "{codes:?}");
            prop_assert!((codes.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let mean: f64 = (1..=table.max_code()).map(|k| fires(&spec, rows, ones, k)).sum();
            let found = table.moments(rows, ones).bias + ones as f64;
            // probabilities to 1e-12, times codes that sum to at most 120
            prop_assert!((found - mean).abs() < 120e-12, "{found} for {mean}");
        }
    }
}

#[test]
fn csv_round_trips() {
    for name in ["gt-n40", "ideal"] {
        let table = CodeTable::from_spec(&MacroSpec::preset(name).expect("a preset"));
        let back = CodeTable::from_csv(&table.to_csv(), name).expect("own output");
        assert_eq!(table, back);
    }
}

const ONE_ROW: &str = "\
n,m,code,probability
# measured on chip 3
0,0,0,1
0,0,1,0

1,0,0,0.75
1, 0, 1, 0.25
1,1,1,0.9999995
1,1,0,0
";

#[test]
fn a_measured_table() {
    let table = CodeTable::from_csv(ONE_ROW, "one").expect("a table");
    assert_eq!((table.rows_per_conversion(), table.max_code()), (1, 1));
    assert_eq!(table.probabilities(1, 0), [0.75, 0.25]);
    assert_eq!(table.probabilities(1, 1), [0.0, 0.9999995]);
    let (bias, variance) = (table.moments(1, 0).bias, table.moments(1, 0).variance);
    assert_eq!((bias, variance), (0.25, 0.1875));
}

/// A table for one row with a line replaced.
fn check_fault(line: &str, by: &str, message: Expect) {
    assert!(ONE_ROW.contains(line));
    let error = CodeTable::from_csv(&ONE_ROW.replace(line, by), "t.csv").expect_err("a fault");
    message.assert_eq(&error.to_string());
}

/// A table is no larger than 64 MiB, and adds up no more ways than can be; then it is empty.
#[test]
fn what_is_too_large_has_no_table() {
    let refused = |sets: &[(&str, &str)], message: Expect| {
        let mut spec = MacroSpec::preset("gt-n40").expect("a preset");
        spec.set_all(sets.iter().copied()).expect("valid");
        let error = spec.check_table().expect_err("too large").to_string();
        message.assert_eq(&error);
        assert!(CodeTable::from_spec(&spec).is_empty());
    };
    refused(
        &[("rows_per_conversion", "1024"), ("adc.bits", "12")],
        expect![
            "macro `gt-n40`: rows_per_conversion is 1024, but a code table of up to 1024 rows and 4096 codes would have 4303360000 entries, it must have at most 8388608"
        ],
    );
    refused(
        &[("rows_per_conversion", "64"), ("telegraph.rate", "0.1"), ("telegraph.lrs_rel", "0.1")],
        expect![
            "macro `gt-n40`: rows_per_conversion is 64, for a code table of cells with traps or stuck by a rate it must lie in 1..=63"
        ],
    );
    let mut spec = MacroSpec::preset("gt-n40").expect("a preset").without_noise();
    spec.set_all([("rows_per_conversion", "180"), ("adc.bits", "8")]).expect("valid");
    let table = CodeTable::from_spec(&spec);
    assert!(spec.check_table().is_ok() && !table.is_empty() && table.is_certain());
    assert!(table == CodeTable::from_spec(&spec) && table == table.clone());
    let other = MacroSpec { name: "other".to_owned(), ..spec.clone() };
    assert!(table == CodeTable::from_spec(&other), "equal by its probabilities");
    spec.set("adc.gain_error_rel", "0.2").expect("valid");
    assert!(table != CodeTable::from_spec(&spec));
    assert_eq!(table.probabilities(180, 179)[179], 1.0);
}

#[test]
fn faults_name_their_line() {
    check_fault(
        "n,m,code,",
        "m,n,code,",
        expect!["t.csv:1: the header is `m,n,code,probability`, it must be `n,m,code,probability`"],
    );
    check_fault("1,0,0,0.75", "1,0,0", expect!["t.csv:6: there are 3 fields, there must be 4"]);
    check_fault(
        "1,0,0,0.75",
        "1025,0,0,0.75",
        expect!["t.csv:6: n is `1025`, it must lie in 0..=1024"],
    );
    check_fault("1,0,0,0.75", "1,2,0,0.75", expect!["t.csv:6: m is `2`, it must lie in 0..=1"]);
    check_fault("1,0,0,0.75", "1,-1,0,0.75", expect!["t.csv:6: m is `-1`, it must lie in 0..=1"]);
    check_fault(
        "1,0,0,0.75",
        "1,0,4096,0.75",
        expect!["t.csv:6: code is `4096`, it must lie in 0..=4095"],
    );
    check_fault(
        "1,0,0,0.75",
        "1024,0,4095,0.75",
        expect![
            "t.csv:9: a code table of up to 1024 rows and 4096 codes would have 4303360000 entries, it must have at most 8388608"
        ],
    );
    check_fault(
        "1,0,0,0.75",
        "1,0,0,-0.75",
        expect!["t.csv:6: probability is `-0.75`, it must lie in 0..=1"],
    );
    check_fault(
        "1,0,0,0.75",
        "1,0,0,NaN",
        expect!["t.csv:6: probability is `NaN`, it must lie in 0..=1"],
    );
    check_fault(
        "1,0,0,0.75",
        "1,0,0,0.74",
        expect!["t.csv:7: the probabilities of n 1, m 0 sum to 0.99, it must be 1 within 1e-6"],
    );
    check_fault("1,0,0,0.75", "0,0,0,0.75", expect!["t.csv:6: n 0, m 0, code 0 is listed twice"]);
    check_fault("1,1,0,0", "", expect!["t.csv:8: the file ends without n 1, m 1, code 0"]);
    check_fault(
        "1,1,0,0",
        "1,1,0,0\n3,0,0,1",
        expect!["t.csv:10: the file ends without n 2, m 0, code 0"],
    );
    expect!["t.csv:1: the header is ``, it must be `n,m,code,probability`"]
        .assert_eq(&CodeTable::from_csv("", "t.csv").expect_err("a fault").to_string());
    expect!["t.csv:1: the file ends without n 0, m 0, code 0"].assert_eq(
        &CodeTable::from_csv("n,m,code,probability", "t.csv").expect_err("a fault").to_string(),
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = CodeTable::load_csv("no/such/table.csv").expect_err("no such file");
    assert!(matches!(error, CimError::Read { .. }));
    expect!["cannot read no/such/table.csv"].assert_eq(&error.to_string());
}

#[test]
fn a_table_for_another_macro_is_refused() {
    let spec = MacroSpec::preset("gt-n40").expect("a preset");
    CodeTable::from_spec(&spec).check_size(&spec).expect("its own table");
    let table = CodeTable::from_csv(ONE_ROW, "one").expect("a table");
    expect!["macro `gt-n40` turns on up to 7 rows and has codes up to 7, the code table has 1 rows and codes up to 1"].assert_eq(&table.check_size(&spec).expect_err("another size").to_string());
}
