//! Presets: macros as TOML files in which every value carries its source.
//!
//! One list, [`KEYS`], drives reading a file, overriding a value and naming all values. To add a
//! value to a macro: a field in [`MacroSpec`] with its range in [`MacroSpec::validate`], a line in
//! [`KEYS`], a line with its source in every file of `presets/`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize as _;

use crate::{Adc, CellModel, CimError, InputControl, MacroSpec, input_control};

/// The presets that come with the crate, by name.
const PRESETS: [(&str, &str); 2] = [
    ("gt-n40", include_str!("../presets/gt-n40.toml")),
    ("ideal", include_str!("../presets/ideal.toml")),
];

/// A value of a macro and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcedValue {
    /// Key, as in `cell.sigma_lrs_rel`.
    pub key: &'static str,
    /// Value.
    pub value: String,
    /// Unit; empty for a pure number or a name.
    pub unit: &'static str,
    /// A citation, or `assumed` and why.
    pub source: String,
}

/// A value as it stands in a file.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of value and source")]
struct Entry {
    value: toml::Value,
    source: String,
}

/// A value of a macro that can be read from text.
struct Key {
    name: &'static str,
    unit: &'static str,
    field: fn(&mut MacroSpec) -> Field<'_>,
}

/// Where a value lives, by its type.
enum Field<'a> {
    Count(&'a mut usize),
    Bits(&'a mut u8),
    Real(&'a mut f64),
    InputControl(&'a mut InputControl),
}

#[rustfmt::skip]
const KEYS: [Key; 12] = [
    Key { name: "rows", unit: "word lines", field: |s| Field::Count(&mut s.rows) },
    Key { name: "columns", unit: "bit lines", field: |s| Field::Count(&mut s.columns) },
    Key { name: "rows_per_conversion", unit: "word lines", field: |s| Field::Count(&mut s.rows_per_conversion) },
    Key { name: "columns_per_adc", unit: "bit lines", field: |s| Field::Count(&mut s.columns_per_adc) },
    Key { name: "input_control", unit: "", field: |s| Field::InputControl(&mut s.input_control) },
    Key { name: "adc.bits", unit: "bit", field: |s| Field::Bits(&mut s.adc.bits) },
    Key { name: "adc.offset_lsb", unit: "LSB", field: |s| Field::Real(&mut s.adc.offset_lsb) },
    Key { name: "adc.comparator_noise_lsb", unit: "LSB", field: |s| Field::Real(&mut s.adc.comparator_noise_lsb) },
    Key { name: "cell.on_off_ratio", unit: "", field: |s| Field::Real(&mut s.cell.on_off_ratio) },
    Key { name: "cell.sigma_lrs_rel", unit: "G_LRS", field: |s| Field::Real(&mut s.cell.sigma_lrs_rel) },
    Key { name: "cell.sigma_hrs_rel", unit: "G_HRS", field: |s| Field::Real(&mut s.cell.sigma_hrs_rel) },
    Key { name: "cell.read_noise_rel", unit: "G of the state", field: |s| Field::Real(&mut s.cell.read_noise_rel) },
];

impl Key {
    /// The last part of the name: `sigma_lrs_rel` of `cell.sigma_lrs_rel`.
    fn short(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// Reads `text` into the field, without a check of its range.
    fn read(&self, spec: &mut MacroSpec, text: &str) -> Result<(), CimError> {
        let expected = (self.field)(spec).read(text);
        expected.map_err(|expected| CimError::Value {
            name: spec.name.clone(),
            key: self.name,
            value: text.to_owned(),
            expected,
        })
    }
}

impl Field<'_> {
    /// Reads `text`; the error says what is expected.
    fn read(self, text: &str) -> Result<(), &'static str> {
        fn parse<T: std::str::FromStr>(
            text: &str,
            field: &mut T,
            expected: &'static str,
        ) -> Result<(), &'static str> {
            *field = text.parse().map_err(|_| expected)?;
            Ok(())
        }
        match self {
            Self::Count(field) => parse(text, field, "a whole number from 1"),
            Self::Bits(field) => parse(text, field, "a whole number from 1 to 6"),
            Self::Real(field) => parse(text, field, "a number"),
            Self::InputControl(field) => parse(text, field, input_control::FORMS),
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
        }
    }
}

/// The names of the presets.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// Every value of a preset or a file, with unit and source; `name_or_path` as in
/// [`MacroSpec::load`].
///
/// # Errors
/// Those of [`MacroSpec::load`].
pub fn sources(name_or_path: &str) -> Result<Vec<SourcedValue>, CimError> {
    Ok(load(name_or_path)?.1)
}

impl MacroSpec {
    /// A preset of [`preset_names`].
    ///
    /// # Errors
    /// [`CimError::UnknownPreset`] names the presets.
    pub fn preset(name: &str) -> Result<Self, CimError> {
        Ok(parse(name, preset_text(name)?)?.0)
    }

    /// A preset, or a user's TOML file where `name_or_path` has a `/` or ends in `.toml`.
    ///
    /// A file holds every key, each as `{ value = …, source = "…" }`; a source is a citation or
    /// starts with `assumed`. Start from a copy of a preset.
    ///
    /// # Errors
    /// [`CimError::UnknownPreset`] or [`CimError::Read`] if there is none; one that names the file
    /// and the key if it is not TOML, or if a key is unknown, missing, without source, not of its
    /// type or out of range.
    pub fn load(name_or_path: &str) -> Result<Self, CimError> {
        Ok(load(name_or_path)?.0)
    }

    /// Overrides one value, given as text: `set("cell.sigma_lrs_rel", "0.2")`.
    ///
    /// `key` is a key of the TOML file or its last part. The result is validated; a value that is
    /// refused changes nothing.
    ///
    /// ```
    /// use hafnia_cim::{InputControl, MacroSpec};
    ///
    /// let mut spec = MacroSpec::preset("gt-n40")?;
    /// spec.set("sigma_lrs_rel", "0.2")?;
    /// spec.set("input_control", "fixed-window{16}")?;
    /// assert_eq!(spec.cell.sigma_lrs_rel, 0.2);
    /// assert_eq!(spec.input_control, InputControl::FixedWindow { window: 16 });
    /// # Ok::<(), hafnia_cim::CimError>(())
    /// ```
    ///
    /// # Errors
    /// [`CimError::UnknownKey`] names the nearest key and all keys; [`CimError::Value`] and
    /// [`CimError::Range`] the value and what is allowed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), CimError> {
        let found = KEYS.iter().find(|k| k.name == key || k.short() == key);
        let mut changed = self.clone();
        found.ok_or_else(|| unknown_key(&self.name, key))?.read(&mut changed, value)?;
        changed.validate()?;
        *self = changed;
        Ok(())
    }

    /// Every key with its value as text, in the order of the TOML file: the resolved
    /// configuration, as [`MacroSpec::set`] reads it.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        let mut spec = self.clone();
        KEYS.iter().map(|key| (key.name, (key.field)(&mut spec).to_string())).collect()
    }
}

fn preset_text(name: &str) -> Result<&'static str, CimError> {
    let preset = PRESETS.iter().find(|preset| preset.0 == name);
    preset.map(|preset| preset.1).ok_or_else(|| CimError::UnknownPreset {
        name: name.to_owned(),
        presets: preset_names().collect::<Vec<_>>().join(", "),
    })
}

fn load(name_or_path: &str) -> Result<(MacroSpec, Vec<SourcedValue>), CimError> {
    if !name_or_path.contains('/') && !name_or_path.ends_with(".toml") {
        return parse(name_or_path, preset_text(name_or_path)?);
    }
    let text = std::fs::read_to_string(name_or_path)
        .map_err(|source| CimError::Read { path: name_or_path.into(), source })?;
    parse(name_or_path, &text)
}

fn parse(name: &str, text: &str) -> Result<(MacroSpec, Vec<SourcedValue>), CimError> {
    let mut entries = entries(name, text)?;
    let mut spec = unset(name);
    let mut values = Vec::with_capacity(KEYS.len());
    for key in &KEYS {
        let missing = || CimError::MissingKey { name: name.to_owned(), key: key.name };
        let Entry { value, source } = entries.remove(key.name).ok_or_else(missing)?;
        match value {
            toml::Value::String(text) => key.read(&mut spec, &text)?,
            other => key.read(&mut spec, &other.to_string())?,
        }
        let value = (key.field)(&mut spec).to_string();
        values.push(SourcedValue { key: key.name, value, unit: key.unit, source });
    }
    spec.validate()?;
    Ok((spec, values))
}

/// The values of a file by their full keys, which are all known.
fn entries(name: &str, text: &str) -> Result<BTreeMap<String, Entry>, CimError> {
    let file: toml::Table = toml::from_str(text)
        .map_err(|source| CimError::Syntax { name: name.to_owned(), source: source.into() })?;
    let mut flat = Vec::new();
    for (key, value) in file {
        let prefix = format!("{key}.");
        match value {
            toml::Value::Table(section) if KEYS.iter().any(|k| k.name.starts_with(&prefix)) => {
                flat.extend(section.into_iter().map(|(key, value)| (prefix.clone() + &key, value)));
            }
            value => flat.push((key, value)),
        }
    }
    let mut entries = BTreeMap::new();
    for (key, value) in flat {
        if KEYS.iter().all(|known| known.name != key) {
            return Err(unknown_key(name, &key));
        }
        let unsourced = |key: &str, source: Option<toml::de::Error>| CimError::Unsourced {
            name: name.to_owned(),
            key: key.to_owned(),
            source: source.map(Box::new),
        };
        let entry = Entry::deserialize(value).map_err(|source| unsourced(&key, Some(source)))?;
        if entry.source.trim().is_empty() {
            return Err(unsourced(&key, None));
        }
        entries.insert(key, entry);
    }
    Ok(entries)
}

/// A spec that no file has filled yet; what is left as it is here, [`MacroSpec::validate`] refuses.
fn unset(name: &str) -> MacroSpec {
    MacroSpec {
        name: name.to_owned(),
        rows: 0,
        columns: 0,
        rows_per_conversion: 0,
        columns_per_adc: 0,
        adc: Adc { bits: 0, offset_lsb: f64::NAN, comparator_noise_lsb: f64::NAN },
        cell: CellModel {
            on_off_ratio: f64::NAN,
            sigma_lrs_rel: f64::NAN,
            sigma_hrs_rel: f64::NAN,
            read_noise_rel: f64::NAN,
        },
        input_control: InputControl::FixedWindow { window: 0 },
    }
}

fn unknown_key(name: &str, key: &str) -> CimError {
    let distance = |known: &&Key| edits(key, known.name).min(edits(key, known.short()));
    CimError::UnknownKey {
        name: name.to_owned(),
        key: key.to_owned(),
        nearest: KEYS.iter().min_by_key(distance).map_or("", |known| known.name),
        keys: KEYS.map(|known| known.name).join(", "),
    }
}

/// Levenshtein distance.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.chars().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[row.len() - 1]
}
