//! [`KEYS`]: the values of a macro by name, each with unit, range, meaning and how it is read.
//!
//! One list drives reading a file, overriding a value, naming all values, the reference of keys
//! ([`keys_table`]) and the start of a new file ([`template`]). To add a value to a macro: a field in
//! [`MacroSpec`] with its range in [`MacroSpec::validate`], a line in [`KEYS`], a line with its source
//! in the files of `presets/` that need one.

use std::fmt;

use hafnia_text::{nearest, quoted, shown};

use crate::curve::{self, Curve};
use crate::distribution::{self, Distribution};
use crate::error::CimError;
use crate::fault_map::FaultMap;
use crate::input_control::{self, InputControl};
use crate::spec::{AdcKind, LevelSigmas, MacroSpec};

/// A value of a macro that can be read from text.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// Empty for a pure number or a name.
    pub(crate) unit: &'static str,
    /// What it may be.
    range: &'static str,
    /// What it is.
    meaning: &'static str,
    /// The value where no file gives one; none if a file must.
    pub(crate) off: Option<&'static str>,
    field: fn(&mut MacroSpec) -> Field<'_>,
}

/// Where a value lives, by its type.
enum Field<'a> {
    Count(&'a mut usize),
    Bits(&'a mut u8),
    Real(&'a mut f64),
    InputControl(&'a mut InputControl),
    AdcKind(&'a mut AdcKind),
    LevelSigmas(&'a mut LevelSigmas),
    Distribution(&'a mut Distribution),
    Curve(&'a mut Curve),
    FaultMap(&'a mut FaultMap),
}

/// A key that every macro has to give.
const fn key(
    name: &'static str,
    unit: &'static str,
    range: &'static str,
    meaning: &'static str,
    field: fn(&mut MacroSpec) -> Field<'_>,
) -> Key {
    Key { name, unit, range, meaning, off: None, field }
}

/// A key that has the value `off` where it is not given.
const fn switch(
    name: &'static str,
    unit: &'static str,
    off: &'static str,
    range: &'static str,
    meaning: &'static str,
    field: fn(&mut MacroSpec) -> Field<'_>,
) -> Key {
    Key { name, unit, range, meaning, off: Some(off), field }
}

/// All keys, in the order of the file.
#[rustfmt::skip]
pub(crate) const KEYS: [Key; 40] = [
    key("rows", "word lines", "1..=4096", "word lines of a macro: physical rows of cells", |s| Field::Count(&mut s.rows)),
    key("columns", "bit lines", "1..=4096", "bit lines of a macro: columns of cells, whatever bits a cell holds", |s| Field::Count(&mut s.columns)),
    key("rows_per_conversion", "word lines", "1..=1024", "most rows that are on in one conversion", |s| Field::Count(&mut s.rows_per_conversion)),
    key("columns_per_adc", "bit lines", "1..=columns", "columns that share a converter, one after the other", |s| Field::Count(&mut s.columns_per_adc)),
    key("input_control", "", "ordered-scan, fixed-window{SIZE} or fixed-group", "how active rows are gathered into conversions", |s| Field::InputControl(&mut s.input_control)),
    key("adc.bits", "bit", "1..=12", "resolution of the converter", |s| Field::Bits(&mut s.adc.bits)),
    key("adc.offset_lsb", "LSB", "0..=4", "σ of the static offset of a comparator", |s| Field::Real(&mut s.adc.offset_lsb)),
    key("adc.comparator_noise_lsb", "LSB", "0..=4", "σ of the noise of a conversion, common to its comparisons", |s| Field::Real(&mut s.adc.comparator_noise_lsb)),
    switch("adc.kind", "", "flash", "flash or sar", "a comparator per threshold, or one that compares bit after bit", |s| Field::AdcKind(&mut s.adc.kind)),
    switch("adc.gain_error_rel", "reference", "0", "-0.5..=0.5", "how much too high the references are", |s| Field::Real(&mut s.adc.gain_error_rel)),
    switch("adc.mismatch_lsb", "LSB", "0", "0..=1", "σ of a unit element of a converter of kind sar; 0 for flash", |s| Field::Real(&mut s.adc.mismatch_lsb)),
    key("cell.on_off_ratio", "", "above 1, or inf", "G_LRS / G_HRS", |s| Field::Real(&mut s.cell.on_off_ratio)),
    key("cell.sigma_lrs_rel", "G_LRS", "0..=100", "static σ of a cell in LRS from cell to cell", |s| Field::Real(&mut s.cell.sigma_lrs_rel)),
    key("cell.sigma_hrs_rel", "G_HRS", "0..=100", "static σ of a cell in HRS from cell to cell", |s| Field::Real(&mut s.cell.sigma_hrs_rel)),
    key("cell.read_noise_rel", "G of the state", "0..=1", "σ of a cell from read to read", |s| Field::Real(&mut s.cell.read_noise_rel)),
    switch("cell.bits_per_cell", "bit", "1", "1 or 2", "bits that a cell holds", |s| Field::Bits(&mut s.cell.bits_per_cell)),
    switch("cell.level_sigmas", "G_LRS", "linear", "linear, or two of 0..=1", "static σ of levels 1 and 2 of a cell of 2 bits", |s| Field::LevelSigmas(&mut s.cell.level_sigmas)),
    switch("programming.lrs_distribution", "", "normal", "normal, log-normal or points{G G …}", "shape of the variation of cells in LRS", |s| Field::Distribution(&mut s.programming.lrs_distribution)),
    switch("programming.hrs_distribution", "", "normal", "normal, log-normal or points{G G …}", "shape of the variation of cells in HRS", |s| Field::Distribution(&mut s.programming.hrs_distribution)),
    switch("telegraph.rate", "per cell", "0", "0..=1", "share of cells whose trap is filled, for the life of a chip", |s| Field::Real(&mut s.telegraph.rate)),
    switch("telegraph.lrs_rel", "G_LRS", "0", "0..=1", "what a filled trap takes from a cell in LRS", |s| Field::Real(&mut s.telegraph.lrs_rel)),
    switch("telegraph.hrs_rel", "G_HRS", "0", "0..=1", "what a filled trap takes from a cell in HRS", |s| Field::Real(&mut s.telegraph.hrs_rel)),
    switch("faults.stuck_lrs_rate", "per cell", "0", "0..=1", "share of cells that are stuck in LRS", |s| Field::Real(&mut s.faults.stuck_lrs_rate)),
    switch("faults.stuck_hrs_rate", "per cell", "0", "0..=1", "share of cells that are stuck in HRS", |s| Field::Real(&mut s.faults.stuck_hrs_rate)),
    switch("faults.map", "CSV file", "none", "none or a path", "cells that are stuck on every chip: columns macro, row, column, state", |s| Field::FaultMap(&mut s.faults.map)),
    switch("temperature.celsius", "°C", "25", "-55..=150", "temperature of cells and references", |s| Field::Real(&mut s.temperature.celsius)),
    switch("temperature.lrs_per_k", "1/K", "0", "-0.02..=0.02", "slope of G_LRS from 25 °C", |s| Field::Real(&mut s.temperature.lrs_per_k)),
    switch("temperature.hrs_per_k", "1/K", "0", "-0.02..=0.02", "slope of G_HRS from 25 °C", |s| Field::Real(&mut s.temperature.hrs_per_k)),
    switch("temperature.reference_per_k", "1/K", "0", "-0.02..=0.02", "slope of the references from 25 °C", |s| Field::Real(&mut s.temperature.reference_per_k)),
    switch("retention.sigma_lrs", "s:G_LRS", "none", "none or SECONDS:VALUE …", "measured σ of cells in LRS over time", |s| Field::Curve(&mut s.retention.sigma_lrs)),
    switch("retention.sigma_hrs", "s:G_HRS", "none", "none or SECONDS:VALUE …", "measured σ of cells in HRS over time", |s| Field::Curve(&mut s.retention.sigma_hrs)),
    switch("retention.drift_lrs", "s:G as programmed", "none", "none or SECONDS:VALUE …", "measured mean of cells in LRS over time", |s| Field::Curve(&mut s.retention.drift_lrs)),
    switch("retention.drift_hrs", "s:G as programmed", "none", "none or SECONDS:VALUE …", "measured mean of cells in HRS over time", |s| Field::Curve(&mut s.retention.drift_hrs)),
    switch("retention.time_s", "s", "0", "0..=1e12", "time since programming, within the measured points; 0 is as programmed", |s| Field::Real(&mut s.retention.time_s)),
    switch("disturb.lrs_rel_per_decade", "G_LRS", "0", "-1..=1", "slope of G_LRS over log10(1 + reads)", |s| Field::Real(&mut s.disturb.lrs_rel_per_decade)),
    switch("disturb.hrs_rel_per_decade", "G_HRS", "0", "-1..=1", "slope of G_HRS over log10(1 + reads)", |s| Field::Real(&mut s.disturb.hrs_rel_per_decade)),
    switch("disturb.reads", "reads", "0", "0..=1e18", "reads of every cell since programming", |s| Field::Real(&mut s.disturb.reads)),
    switch("wires.bit_line_ohm", "ohm per cell", "0", "0..=1000", "resistance of a bit line from cell to cell", |s| Field::Real(&mut s.wires.bit_line_ohm)),
    switch("wires.word_line_ohm", "ohm per cell", "0", "0..=1000", "resistance of the line that drives a row, from cell to cell", |s| Field::Real(&mut s.wires.word_line_ohm)),
    switch("wires.g_lrs_us", "uS", "100", "0.001..=10000", "G_LRS, for the resistance of lines only", |s| Field::Real(&mut s.wires.g_lrs_us)),
];

impl Key {
    /// The last part of the name: `sigma_lrs_rel` of `cell.sigma_lrs_rel`.
    pub(crate) fn short(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// The value in `spec`, as text.
    pub(crate) fn value(&self, spec: &mut MacroSpec) -> String {
        (self.field)(spec).to_string()
    }

    /// The same as TOML.
    fn toml(&self, spec: &mut MacroSpec) -> String {
        let field = (self.field)(spec);
        match field {
            Field::Count(_) | Field::Bits(_) | Field::Real(_) => field.to_string(),
            _ => toml::Value::String(field.to_string()).to_string(),
        }
    }

    /// The key that was meant by a number for what is measured over time: the one whose name says more,
    /// as `sigma_lrs_rel` does.
    fn meant(&self, text: &str) -> Option<&'static Self> {
        let says_more =
            |key: &&Self| key.name != self.name && key.short().starts_with(self.short());
        text.parse::<f64>().ok().and_then(|_| KEYS.iter().find(says_more))
    }

    /// Reads `text` into the field, without a check of its range.
    pub(crate) fn read(&self, spec: &mut MacroSpec, text: &str) -> Result<(), CimError> {
        let read = (self.field)(spec).read(text);
        read.map_err(|wrong| match wrong {
            Wrong::Value(expected) => {
                let mut fault = format!("is {}, it must be {expected}", quoted(text));
                if let Some(other) = self.meant(text).filter(|_| expected == curve::FORMS) {
                    fault += &format!("; did you mean `{}`?", other.name);
                }
                CimError::of_key(&spec.name, self.name, fault)
            }
            Wrong::File(error) => error,
        })
    }
}

/// Why a text is no value.
enum Wrong {
    /// What it must be.
    Value(&'static str),
    /// The file that it names is wrong.
    File(CimError),
}

impl Field<'_> {
    /// Reads `text`.
    fn read(self, text: &str) -> Result<(), Wrong> {
        fn parse<T: std::str::FromStr>(
            text: &str,
            field: &mut T,
            expected: &'static str,
        ) -> Result<(), Wrong> {
            *field = text.parse().map_err(|_| Wrong::Value(expected))?;
            Ok(())
        }
        match self {
            Self::Count(field) => parse(text, field, "a whole number from 1"),
            Self::Bits(field) => parse(text, field, "a whole number from 1 to 12"),
            Self::Real(field) => {
                parse(text, field, "a number")?;
                // Not −0, which would be printed with its sign.
                *field += 0.0;
                Ok(())
            }
            Self::InputControl(field) => parse(text, field, input_control::FORMS),
            Self::AdcKind(field) => parse(text, field, "flash or sar"),
            Self::LevelSigmas(field) => parse(text, field, "linear, or two numbers"),
            Self::Distribution(field) => parse(text, field, distribution::FORMS),
            Self::Curve(field) => parse(text, field, curve::FORMS),
            Self::FaultMap(field) => {
                *field = FaultMap::load(text).map_err(Wrong::File)?;
                Ok(())
            }
        }
    }
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(field) => field.fmt(f),
            Self::Bits(field) => field.fmt(f),
            Self::Real(field) => field.fmt(f),
            Self::InputControl(field) => field.fmt(f),
            Self::AdcKind(field) => field.fmt(f),
            Self::LevelSigmas(field) => field.fmt(f),
            Self::Distribution(field) => field.fmt(f),
            Self::Curve(field) => field.fmt(f),
            Self::FaultMap(field) => field.fmt(f),
        }
    }
}

/// Every key of a macro with its unit, range, default and meaning, in Markdown.
pub fn keys_table() -> String {
    let mut text =
        "| key | unit | range | default | meaning |\n| :-- | :-- | :-- | :-- | :-- |\n".to_owned();
    for Key { name, unit, range, meaning, off, .. } in &KEYS {
        let off = off.map_or("must be given".to_owned(), |off| format!("`{off}`"));
        text += &format!("| `{name}` | {unit} | {range} | {off} | {meaning} |\n");
    }
    text
}

/// The start of a file that inherits from `parent`, whose macro is `spec`: every key as a comment, with
/// the value that it inherits.
pub fn template(parent: &str, spec: &MacroSpec) -> String {
    let parent = toml::Value::String(parent.to_owned());
    let mut text = format!(
        "# A macro that takes from {parent} whatever this file does not give.\n\
         # To give a value take the `# ` off its line. With its source it is written\n\
         # {{ value = …, source = \"a citation, or `assumed: ` and why\" }}; a bare value counts as unstated.\n\n\
         inherits = {parent}\n"
    );
    let mut spec = spec.clone();
    let mut section = "";
    for key in &KEYS {
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if of != section {
            text += &format!("\n[{of}]\n");
            section = of;
        }
        let unit = if key.unit.is_empty() { String::new() } else { format!(" {}", key.unit) };
        text += &format!("\n## {}: {}{unit}\n", key.meaning, key.range);
        text += &format!("# {name} = {}\n", key.toml(&mut spec));
    }
    text
}

pub(crate) fn unknown_key(name: &str, key: &str) -> CimError {
    let key = &shown(key);
    let holds = |known: &&Key| key.chars().count() > 2 && known.name.contains(&**key);
    let near = || {
        let near = nearest(key, KEYS.iter().flat_map(|known| [known.name, known.short()]))?;
        KEYS.iter().find(|known| known.name == near || known.short() == near)
    };
    let meant = KEYS.iter().find(holds).or_else(near);
    let keys = KEYS.each_ref().map(|known| known.name).join(", ");
    let fault = match meant {
        Some(meant) => format!("is not a key, did you mean `{}`? Keys are {keys}", meant.name),
        None => format!("is not a key: keys are {keys}"),
    };
    CimError::of_key(name, key, fault)
}

pub(crate) fn missing_key(name: &str, key: &Key) -> CimError {
    CimError::of_key(name, key.name, "is missing".to_owned())
}
