//! [`CostModel`]: what parts take and spend, every constant with its unit and its source.
//!
//! One list, [`KEYS`], drives reading a file and naming all constants. To add a constant: a field in
//! [`Constants`], a line in [`KEYS`], a line in the files of `models/`.

use std::path::PathBuf;

use hafnia_artifact::read_text;
use hafnia_text::must;
use serde::{Deserialize, Serialize};

use crate::error::CostError;

/// The model that comes with the crate.
const BUILT_IN: (&str, &str) = ("gt-n40", include_str!("../models/gt-n40.toml"));

/// Constants of a macro's parts, in the units that the names say.
///
/// A file gives each a typical value and, where it is assumed, a range; one of these holds the
/// typical values or a draw from the ranges.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[expect(missing_docs, reason = "the file that comes with the crate says what each is")]
pub struct Constants {
    pub rows: f64,
    pub columns: f64,
    pub rows_per_conversion: f64,
    pub adc_bits: f64,
    pub columns_per_adc: f64,
    pub clock_mhz: f64,
    pub supply_v: f64,
    pub binary_tops_per_w: f64,
    pub ternary_tops_per_w: f64,
    pub ecc_tops_per_w: f64,
    pub gops_per_mm2: f64,
    pub control_activity: f64,
    pub adder_activity: f64,
    pub flip_flop_activity: f64,
    pub energy_factor: f64,
    pub shifter_factor: f64,
    pub rows_on: f64,
    pub ops_per_row_on: f64,
    pub binary_lrs_share: f64,
    pub ternary_zero_share: f64,
    pub three_level_rows: f64,
    pub ecc_lrs_share: f64,
    pub ecc_energy_rel: f64,
    pub read_v: f64,
    pub lrs_kohm: f64,
    pub on_off_ratio: f64,
    pub read_ns: f64,
    pub comparator_fj: f64,
    pub unit_capacitor_ff: f64,
    pub word_line_ff_per_cell: f64,
    pub gate_fj: f64,
    pub control_gates: f64,
    pub adder_gates: f64,
    pub flip_flop_gates: f64,
    pub table_fj_per_bit: f64,
    pub cell_um2: f64,
    pub cells_per_weight: f64,
    pub comparator_um2: f64,
    pub unit_capacitor_um2: f64,
    pub driver_um2: f64,
    pub column_um2: f64,
    pub shifter_um2: f64,
    pub adder_um2: f64,
    pub control_um2: f64,
    pub table_bit_um2: f64,
    pub sar_cycles_per_bit: f64,
    pub scan_cycles: f64,
    pub table_cycles: f64,
}

/// A constant of a model file.
struct Key {
    name: &'static str,
    unit: &'static str,
    min: f64,
    max: f64,
    field: fn(&mut Constants) -> &mut f64,
}

const fn key(
    name: &'static str,
    unit: &'static str,
    (min, max): (f64, f64),
    field: fn(&mut Constants) -> &mut f64,
) -> Key {
    Key { name, unit, min, max, field }
}

/// What is divided by, or must be there at all.
const POSITIVE: (f64, f64) = (1e-6, 1e9);
/// What may be nothing.
const AMOUNT: (f64, f64) = (0.0, 1e9);
const SHARE: (f64, f64) = (0.0, 1.0);

#[rustfmt::skip]
const KEYS: [Key; 48] = [
    key("chip.rows", "rows", (1.0, 4096.0), |c| &mut c.rows),
    key("chip.columns", "columns", (1.0, 4096.0), |c| &mut c.columns),
    key("chip.rows_per_conversion", "rows", (1.0, 1024.0), |c| &mut c.rows_per_conversion),
    key("chip.adc_bits", "bits", (1.0, 12.0), |c| &mut c.adc_bits),
    key("chip.columns_per_adc", "columns", (1.0, 4096.0), |c| &mut c.columns_per_adc),
    key("chip.clock_mhz", "MHz", POSITIVE, |c| &mut c.clock_mhz),
    key("chip.supply_v", "V", (0.1, 10.0), |c| &mut c.supply_v),
    key("published.binary_tops_per_w", "TOPS/W", POSITIVE, |c| &mut c.binary_tops_per_w),
    key("published.ternary_tops_per_w", "TOPS/W", POSITIVE, |c| &mut c.ternary_tops_per_w),
    key("published.ecc_tops_per_w", "TOPS/W", POSITIVE, |c| &mut c.ecc_tops_per_w),
    key("published.gops_per_mm2", "GOPS/mm2", POSITIVE, |c| &mut c.gops_per_mm2),
    key("layout.control_activity", "1", SHARE, |c| &mut c.control_activity),
    key("layout.adder_activity", "1", SHARE, |c| &mut c.adder_activity),
    key("layout.flip_flop_activity", "1", SHARE, |c| &mut c.flip_flop_activity),
    key("layout.energy_factor", "1", (1.0, 10.0), |c| &mut c.energy_factor),
    key("layout.shifter_factor", "1", (1.0, 10.0), |c| &mut c.shifter_factor),
    key("conditions.rows_on", "rows", (0.1, 1024.0), |c| &mut c.rows_on),
    key("conditions.ops_per_row_on", "op", (0.1, 1000.0), |c| &mut c.ops_per_row_on),
    key("conditions.binary_lrs_share", "1", SHARE, |c| &mut c.binary_lrs_share),
    key("conditions.ternary_zero_share", "1", SHARE, |c| &mut c.ternary_zero_share),
    key("conditions.three_level_rows", "rows", (0.1, 1024.0), |c| &mut c.three_level_rows),
    key("conditions.ecc_lrs_share", "1", SHARE, |c| &mut c.ecc_lrs_share),
    key("conditions.ecc_energy_rel", "1", (0.0, 10.0), |c| &mut c.ecc_energy_rel),
    key("energy.read_v", "V", (0.001, 10.0), |c| &mut c.read_v),
    key("energy.lrs_kohm", "kohm", POSITIVE, |c| &mut c.lrs_kohm),
    key("energy.on_off_ratio", "1", (1.0, 1e9), |c| &mut c.on_off_ratio),
    key("energy.read_ns", "ns", POSITIVE, |c| &mut c.read_ns),
    key("energy.comparator_fj", "fJ", AMOUNT, |c| &mut c.comparator_fj),
    key("energy.unit_capacitor_ff", "fF", AMOUNT, |c| &mut c.unit_capacitor_ff),
    key("energy.word_line_ff_per_cell", "fF", AMOUNT, |c| &mut c.word_line_ff_per_cell),
    key("energy.gate_fj", "fJ", AMOUNT, |c| &mut c.gate_fj),
    key("energy.control_gates", "gates", AMOUNT, |c| &mut c.control_gates),
    key("energy.adder_gates", "gates", AMOUNT, |c| &mut c.adder_gates),
    key("energy.flip_flop_gates", "gates", AMOUNT, |c| &mut c.flip_flop_gates),
    key("energy.table_fj_per_bit", "fJ", AMOUNT, |c| &mut c.table_fj_per_bit),
    key("area.cell_um2", "um2", POSITIVE, |c| &mut c.cell_um2),
    key("area.cells_per_weight", "cells", (1.0, 64.0), |c| &mut c.cells_per_weight),
    key("area.comparator_um2", "um2", POSITIVE, |c| &mut c.comparator_um2),
    key("area.unit_capacitor_um2", "um2", AMOUNT, |c| &mut c.unit_capacitor_um2),
    key("area.driver_um2", "um2", AMOUNT, |c| &mut c.driver_um2),
    key("area.column_um2", "um2", AMOUNT, |c| &mut c.column_um2),
    key("area.shifter_um2", "um2", AMOUNT, |c| &mut c.shifter_um2),
    key("area.adder_um2", "um2", AMOUNT, |c| &mut c.adder_um2),
    key("area.control_um2", "um2", AMOUNT, |c| &mut c.control_um2),
    key("area.table_bit_um2", "um2", AMOUNT, |c| &mut c.table_bit_um2),
    key("latency.sar_cycles_per_bit", "cycles", AMOUNT, |c| &mut c.sar_cycles_per_bit),
    key("latency.scan_cycles", "cycles", AMOUNT, |c| &mut c.scan_cycles),
    key("latency.table_cycles", "cycles", AMOUNT, |c| &mut c.table_cycles),
];

/// A constant with all that a file says of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Constant {
    /// Key, as in `energy.read_v`.
    pub key: String,
    /// The typical value, or the published one.
    pub value: f64,
    /// The least it may be; the value itself where nothing is assumed.
    pub lo: f64,
    /// The most it may be.
    pub hi: f64,
    /// Unit; `1` for a pure number.
    pub unit: String,
    /// A citation, or `assumed` and why.
    pub source: String,
}

impl Constant {
    /// Whether it is our judgement.
    pub fn is_assumed(&self) -> bool {
        self.source.starts_with("assumed")
    }

    /// The value of which a share `u` of all that is assumed lies below: half of it below the
    /// typical value, uniformly, and half above.
    pub(crate) fn quantile(&self, u: f64) -> f64 {
        let Self { value, lo, hi, .. } = *self;
        if u < 0.5 { lo + 2.0 * u * (value - lo) } else { value + (2.0 * u - 1.0) * (hi - value) }
    }
}

/// What parts take and spend, as a file says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostModel {
    /// Its name, or the path it came from.
    pub name: String,
    constants: Vec<Constant>,
}

/// A constant as it stands in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    value: f64,
    lo: Option<f64>,
    hi: Option<f64>,
    unit: String,
    source: String,
}

impl CostModel {
    /// The model of the chip that is published: `gt-n40`.
    ///
    /// # Panics
    /// Never: a test reads it.
    pub fn gt_n40() -> Self {
        let (name, text) = BUILT_IN;
        Self::parse(name, text).expect("the built-in cost model is right")
    }

    /// `gt-n40`, or a user's file where `name_or_path` has a `/` or ends in `.toml`.
    ///
    /// # Errors
    /// If there is none, or as [`parse`](Self::parse).
    pub fn load(name_or_path: &str) -> Result<Self, CostError> {
        if let Some(path) = Self::file(name_or_path) {
            return Self::parse(name_or_path, &read_text(path)?);
        }
        let known = BUILT_IN.0;
        (name_or_path == known).then(Self::gt_n40).ok_or_else(|| {
            let fault = format!(
                "does not exist: there is {known}, and a path has a `/` or ends in `.toml`"
            );
            CostError::whole(name_or_path, fault)
        })
    }

    /// The file of a model that is not built in.
    pub fn file(name_or_path: &str) -> Option<PathBuf> {
        let is_path = name_or_path.contains('/') || name_or_path.ends_with(".toml");
        is_path.then(|| name_or_path.into())
    }

    /// Reads a model: every key in its section, each as
    /// `{ value = …, unit = "…", source = "…" }`, and where the source starts with `assumed` with
    /// `lo` and `hi` too.
    ///
    /// # Errors
    /// One that names the key if it is unknown, missing, in another unit or out of range, if an
    /// assumed value has no range or another one has, or if the text is not TOML.
    pub fn parse(name: &str, text: &str) -> Result<Self, CostError> {
        let refused = |key: Option<&str>, fault: &str, source: toml::de::Error| CostError::Model {
            model: name.to_owned(),
            key: key.map(str::to_owned),
            fault: fault.to_owned(),
            source: Some(source.into()),
        };
        let file: toml::Table =
            toml::from_str(text).map_err(|source| refused(None, "is not TOML", source))?;
        let mut given = std::collections::BTreeMap::new();
        for (section, value) in file {
            match value {
                toml::Value::Table(table) => {
                    let full = |key: String| format!("{section}.{key}");
                    given.extend(table.into_iter().map(|(key, value)| (full(key), value)));
                }
                value => _ = given.insert(section, value),
            }
        }
        if let Some(key) = given.keys().find(|given| KEYS.iter().all(|key| key.name != *given)) {
            return Err(unknown_key(name, key));
        }
        let mut constants = Vec::with_capacity(KEYS.len());
        for key in &KEYS {
            let missing = || CostError::of_key(name, key.name, "is missing".to_owned());
            let value = given.remove(key.name).ok_or_else(missing)?;
            let entry: Entry = value.try_into().map_err(|source| {
                let form = "is not of the form `{ value = …, lo = …, hi = …, unit = \"…\", source = \"…\" }`";
                refused(Some(key.name), form, source)
            })?;
            constants.push(key.check(name, entry)?);
        }
        Ok(Self { name: name.to_owned(), constants })
    }

    /// All constants, in the order of the file.
    pub fn constants(&self) -> &[Constant] {
        &self.constants
    }

    /// The same model with another value of a constant, which then has no range.
    ///
    /// # Errors
    /// If there is no such key, or the value is out of range.
    pub fn with(mut self, key: &str, value: f64) -> Result<Self, CostError> {
        let found = KEYS.iter().zip(&mut self.constants).find(|(known, _)| known.name == key);
        let Some((known, constant)) = found else {
            return Err(unknown_key(&self.name, key));
        };
        known.check_range(&self.name, value)?;
        let source = format!("given in place of {}", constant.value);
        *constant = Constant { value, lo: value, hi: value, source, ..constant.clone() };
        Ok(self)
    }

    /// One value for every constant.
    pub(crate) fn pick(&self, pick: impl Fn(&Constant) -> f64) -> Constants {
        let mut picked = Constants::default();
        for (key, constant) in KEYS.iter().zip(&self.constants) {
            *(key.field)(&mut picked) = pick(constant);
        }
        picked
    }
}

impl Key {
    fn check(&self, model: &str, entry: Entry) -> Result<Constant, CostError> {
        let Entry { value, lo, hi, unit, source } = entry;
        let wrong = |fault: String| Err(CostError::of_key(model, self.name, fault));
        if unit != self.unit {
            return wrong(format!("is in `{unit}`, it must be in `{}`", self.unit));
        }
        for value in [Some(value), lo, hi].into_iter().flatten() {
            self.check_range(model, value)?;
        }
        if source.trim().is_empty() {
            return wrong("has an empty source".to_owned());
        }
        let (lo, hi) = match (source.starts_with("assumed"), lo, hi) {
            (false, None, None) => (value, value),
            (false, ..) => {
                return wrong("has lo or hi, but its source does not say `assumed`".to_owned());
            }
            (true, Some(lo), Some(hi)) if lo <= value && value <= hi => (lo, hi),
            (true, ..) => {
                return wrong(format!(
                    "is assumed to be {value}, so it must have lo and hi with lo <= value <= hi"
                ));
            }
        };
        let (key, unit) = (self.name.to_owned(), self.unit.to_owned());
        Ok(Constant { key, value, lo, hi, unit, source })
    }

    fn check_range(&self, model: &str, value: f64) -> Result<(), CostError> {
        let Self { name: key, unit, min, max, .. } = *self;
        if (min..=max).contains(&value) {
            return Ok(());
        }
        let fault = format!("is {value} {unit}, it {}", must(min, max));
        Err(CostError::of_key(model, key, fault))
    }
}

fn unknown_key(model: &str, key: &str) -> CostError {
    let keys = KEYS.each_ref().map(|key| key.name).join(", ");
    CostError::of_key(model, key, format!("is not a key, keys are {keys}"))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn refused(change: (&str, &str), expected: Expect) {
        let text = BUILT_IN.1.replacen(change.0, change.1, 1);
        assert_ne!(text, BUILT_IN.1, "nothing is changed");
        expected.assert_eq(&CostModel::parse("mine.toml", &text).unwrap_err().to_string());
    }

    #[test]
    fn every_key_has_a_field_of_its_own() {
        let model = CostModel::gt_n40();
        let mut numbered = Constants::default();
        for (index, key) in KEYS.iter().enumerate() {
            *(key.field)(&mut numbered) = index as f64 + 1.0;
        }
        for (index, key) in KEYS.iter().enumerate() {
            assert_eq!(*(key.field)(&mut numbered), index as f64 + 1.0, "{}", key.name);
        }
        assert!(model.constants().iter().all(|constant| constant.lo <= constant.hi));
    }

    #[test]
    fn half_of_what_is_assumed_lies_below_the_typical_value() {
        let model = CostModel::gt_n40();
        for constant in model.constants() {
            assert_eq!(constant.quantile(0.0), constant.lo);
            assert_eq!(constant.quantile(0.5), constant.value);
            assert!((constant.quantile(1.0) - constant.hi).abs() <= 1e-12 * constant.hi);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_value() {
        refused(
            ("clock_mhz = { value = 100", "clock_mhz = { value = -1"),
            expect![
                "cost model `mine.toml`: chip.clock_mhz is -1 MHz, it must lie in 0.000001..=1000000000"
            ],
        );
        refused(
            ("clock_mhz", "clock_khz"),
            expect![
                "cost model `mine.toml`: chip.clock_khz is not a key, keys are chip.rows, chip.columns, chip.rows_per_conversion, chip.adc_bits, chip.columns_per_adc, chip.clock_mhz, chip.supply_v, published.binary_tops_per_w, published.ternary_tops_per_w, published.ecc_tops_per_w, published.gops_per_mm2, layout.control_activity, layout.adder_activity, layout.flip_flop_activity, layout.energy_factor, layout.shifter_factor, conditions.rows_on, conditions.ops_per_row_on, conditions.binary_lrs_share, conditions.ternary_zero_share, conditions.three_level_rows, conditions.ecc_lrs_share, conditions.ecc_energy_rel, energy.read_v, energy.lrs_kohm, energy.on_off_ratio, energy.read_ns, energy.comparator_fj, energy.unit_capacitor_ff, energy.word_line_ff_per_cell, energy.gate_fj, energy.control_gates, energy.adder_gates, energy.flip_flop_gates, energy.table_fj_per_bit, area.cell_um2, area.cells_per_weight, area.comparator_um2, area.unit_capacitor_um2, area.driver_um2, area.column_um2, area.shifter_um2, area.adder_um2, area.control_um2, area.table_bit_um2, latency.sar_cycles_per_bit, latency.scan_cycles, latency.table_cycles"
            ],
        );
        refused(
            ("unit = \"MHz\"", "unit = \"GHz\""),
            expect!["cost model `mine.toml`: chip.clock_mhz is in `GHz`, it must be in `MHz`"],
        );
        refused(
            ("read_v = { value = 0.2, lo = 0.1", "read_v = { value = 0.2, lo = 0.25"),
            expect![
                "cost model `mine.toml`: energy.read_v is assumed to be 0.2, so it must have lo and hi with lo <= value <= hi"
            ],
        );
        refused(
            ("unit = \"V\", source = \"Lu", "lo = 0.8, unit = \"V\", source = \"Lu"),
            expect![
                "cost model `mine.toml`: chip.supply_v has lo or hi, but its source does not say `assumed`"
            ],
        );
        refused(
            ("supply_v = { value = 0.9, unit = \"V\", source", "supply_v = { value = 0.9, why"),
            expect![
                "cost model `mine.toml`: chip.supply_v is not of the form `{ value = …, lo = …, hi = …, unit = \"…\", source = \"…\" }`"
            ],
        );
    }

    #[test]
    fn a_key_must_be_there() {
        let line = BUILT_IN.1.lines().find(|line| line.starts_with("scan_cycles")).unwrap();
        refused((line, ""), expect!["cost model `mine.toml`: latency.scan_cycles is missing"]);
    }

    #[test]
    fn a_model_is_a_name_or_a_path() {
        let error = CostModel::load("gt-40").unwrap_err().to_string();
        expect!["cost model `gt-40` does not exist: there is gt-n40, and a path has a `/` or ends in `.toml`"]
            .assert_eq(&error);
        assert_eq!(CostModel::load("gt-n40").unwrap(), CostModel::gt_n40());
        let error = CostModel::load("none.toml").unwrap_err().to_string();
        expect!["cannot read none.toml"].assert_eq(&error);
    }

    #[test]
    fn a_given_value_has_no_range() {
        let model = CostModel::gt_n40().with("area.table_bit_um2", 0.5).unwrap();
        let constant = model.constants().iter().find(|c| c.key == "area.table_bit_um2").unwrap();
        assert_eq!((constant.value, constant.lo, constant.hi), (0.5, 0.5, 0.5));
        assert!(!constant.is_assumed());
        assert!(model.with("area.table_bit_um2", -1.0).is_err());
    }
}
