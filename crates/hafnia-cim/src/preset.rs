//! Presets: macros as TOML files in which every value carries its source.
//!
//! One list, [`KEYS`], drives reading a file, overriding a value and naming all values. To add a
//! value to a macro: a field in [`MacroSpec`] with its range in [`MacroSpec::validate`], a line in
//! [`KEYS`], a line with its source in the files of `presets/` that need one.
//!
//! A file may inherit from a preset or another file and then gives only what differs. A value of
//! [`KEYS`] that is off unless it is given may be missing everywhere.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use hafnia_text::{quoted, shown};
use serde::Deserialize as _;

use crate::csv::read;
use crate::curve::{self, Curve};
use crate::distribution::{self, Distribution};
use crate::effects::{Disturb, Faults, Programming, Retention, Telegraph, Temperature, Wires};
use crate::error::CimError;
use crate::fault_map::FaultMap;
use crate::input_control::{self, InputControl};
use crate::spec::{Adc, AdcKind, CellModel, LevelSigmas, MacroSpec};

/// The presets that come with the crate, by name.
const PRESETS: [(&str, &str); 7] = [
    ("gt-n40", include_str!("../presets/gt-n40.toml")),
    ("gt-n40-mlc", include_str!("../presets/gt-n40-mlc.toml")),
    ("foundry-b", include_str!("../presets/foundry-b.toml")),
    ("foundry-c", include_str!("../presets/foundry-c.toml")),
    ("neurram-130", include_str!("../presets/neurram-130.toml")),
    ("nthu-22", include_str!("../presets/nthu-22.toml")),
    ("ideal", include_str!("../presets/ideal.toml")),
];

/// A value of a macro and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SourcedValue {
    /// Key, as in `cell.sigma_lrs_rel`.
    pub key: &'static str,
    /// Value.
    pub value: String,
    /// Unit; empty for a pure number or a name.
    pub unit: &'static str,
    /// A citation, or `assumed` and why; `off` where no file gives the value.
    pub source: String,
    /// Name of the preset or file that gives it; empty where none does.
    pub from: String,
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
    /// The value where no file gives one; none if a file must.
    off: Option<&'static str>,
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
    field: fn(&mut MacroSpec) -> Field<'_>,
) -> Key {
    Key { name, unit, off: None, field }
}

/// A key that has the value `off` where it is not given.
const fn switch(
    name: &'static str,
    unit: &'static str,
    off: &'static str,
    field: fn(&mut MacroSpec) -> Field<'_>,
) -> Key {
    Key { name, unit, off: Some(off), field }
}

#[rustfmt::skip]
const KEYS: [Key; 40] = [
    key("rows", "word lines", |s| Field::Count(&mut s.rows)),
    key("columns", "bit lines", |s| Field::Count(&mut s.columns)),
    key("rows_per_conversion", "word lines", |s| Field::Count(&mut s.rows_per_conversion)),
    key("columns_per_adc", "bit lines", |s| Field::Count(&mut s.columns_per_adc)),
    key("input_control", "", |s| Field::InputControl(&mut s.input_control)),
    key("adc.bits", "bit", |s| Field::Bits(&mut s.adc.bits)),
    key("adc.offset_lsb", "LSB", |s| Field::Real(&mut s.adc.offset_lsb)),
    key("adc.comparator_noise_lsb", "LSB", |s| Field::Real(&mut s.adc.comparator_noise_lsb)),
    switch("adc.kind", "", "flash", |s| Field::AdcKind(&mut s.adc.kind)),
    switch("adc.gain_error_rel", "reference", "0", |s| Field::Real(&mut s.adc.gain_error_rel)),
    switch("adc.mismatch_lsb", "LSB", "0", |s| Field::Real(&mut s.adc.mismatch_lsb)),
    key("cell.on_off_ratio", "", |s| Field::Real(&mut s.cell.on_off_ratio)),
    key("cell.sigma_lrs_rel", "G_LRS", |s| Field::Real(&mut s.cell.sigma_lrs_rel)),
    key("cell.sigma_hrs_rel", "G_HRS", |s| Field::Real(&mut s.cell.sigma_hrs_rel)),
    key("cell.read_noise_rel", "G of the state", |s| Field::Real(&mut s.cell.read_noise_rel)),
    switch("cell.bits_per_cell", "bit", "1", |s| Field::Bits(&mut s.cell.bits_per_cell)),
    switch("cell.level_sigmas", "G_LRS", "linear", |s| Field::LevelSigmas(&mut s.cell.level_sigmas)),
    switch("programming.lrs_distribution", "", "normal", |s| Field::Distribution(&mut s.programming.lrs_distribution)),
    switch("programming.hrs_distribution", "", "normal", |s| Field::Distribution(&mut s.programming.hrs_distribution)),
    switch("telegraph.rate", "per cell", "0", |s| Field::Real(&mut s.telegraph.rate)),
    switch("telegraph.lrs_rel", "G_LRS", "0", |s| Field::Real(&mut s.telegraph.lrs_rel)),
    switch("telegraph.hrs_rel", "G_HRS", "0", |s| Field::Real(&mut s.telegraph.hrs_rel)),
    switch("faults.stuck_lrs_rate", "per cell", "0", |s| Field::Real(&mut s.faults.stuck_lrs_rate)),
    switch("faults.stuck_hrs_rate", "per cell", "0", |s| Field::Real(&mut s.faults.stuck_hrs_rate)),
    switch("faults.map", "CSV file", "none", |s| Field::FaultMap(&mut s.faults.map)),
    switch("temperature.celsius", "°C", "25", |s| Field::Real(&mut s.temperature.celsius)),
    switch("temperature.lrs_per_k", "1/K", "0", |s| Field::Real(&mut s.temperature.lrs_per_k)),
    switch("temperature.hrs_per_k", "1/K", "0", |s| Field::Real(&mut s.temperature.hrs_per_k)),
    switch("temperature.reference_per_k", "1/K", "0", |s| Field::Real(&mut s.temperature.reference_per_k)),
    switch("retention.sigma_lrs", "s:G_LRS", "none", |s| Field::Curve(&mut s.retention.sigma_lrs)),
    switch("retention.sigma_hrs", "s:G_HRS", "none", |s| Field::Curve(&mut s.retention.sigma_hrs)),
    switch("retention.drift_lrs", "s:G as programmed", "none", |s| Field::Curve(&mut s.retention.drift_lrs)),
    switch("retention.drift_hrs", "s:G as programmed", "none", |s| Field::Curve(&mut s.retention.drift_hrs)),
    switch("retention.time_s", "s", "0", |s| Field::Real(&mut s.retention.time_s)),
    switch("disturb.lrs_rel_per_decade", "G_LRS", "0", |s| Field::Real(&mut s.disturb.lrs_rel_per_decade)),
    switch("disturb.hrs_rel_per_decade", "G_HRS", "0", |s| Field::Real(&mut s.disturb.hrs_rel_per_decade)),
    switch("disturb.reads", "reads", "0", |s| Field::Real(&mut s.disturb.reads)),
    switch("wires.bit_line_ohm", "ohm per cell", "0", |s| Field::Real(&mut s.wires.bit_line_ohm)),
    switch("wires.word_line_ohm", "ohm per cell", "0", |s| Field::Real(&mut s.wires.word_line_ohm)),
    switch("wires.g_lrs_us", "uS", "100", |s| Field::Real(&mut s.wires.g_lrs_us)),
];

impl Key {
    /// The last part of the name: `sigma_lrs_rel` of `cell.sigma_lrs_rel`.
    fn short(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// Reads `text` into the field, without a check of its range.
    fn read(&self, spec: &mut MacroSpec, text: &str) -> Result<(), CimError> {
        let read = (self.field)(spec).read(text);
        read.map_err(|wrong| match wrong {
            Wrong::Value(expected) => {
                let fault = format!("is {}, it must be {expected}", quoted(text));
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
    /// If there is none; the error names the presets.
    pub fn preset(name: &str) -> Result<Self, CimError> {
        preset_text(name)?;
        Ok(load(name)?.0)
    }

    /// Whether this names a file, not a preset: it has a `/` or ends in `.toml`.
    pub fn is_path(name: &str) -> bool {
        is_path(name)
    }

    /// A preset, or a user's TOML file where `name_or_path` has a `/` or ends in `.toml`.
    ///
    /// A file gives values, each as `{ value = …, source = "…" }`; a source is a citation or
    /// starts with `assumed`. With `inherits = "NAME|PATH"` it takes the others from a preset or
    /// another file, whose path, like that of a fault map, is relative to its own folder; without,
    /// it holds every key but those of effects that are off.
    ///
    /// # Errors
    /// If there is none; if files inherit from one another; one that names the file and the key if
    /// it is not TOML, or if a key is unknown, missing, without source, not of its type or out of
    /// range.
    pub fn load(name_or_path: &str) -> Result<Self, CimError> {
        Ok(load(name_or_path)?.0)
    }

    /// The files that a macro is read from: its own, those that it inherits from, and the fault map
    /// that it names in the end; `overrides` are values as [`set_all`](Self::set_all) takes them. None
    /// of a preset.
    ///
    /// What cannot be read is listed, and leads no further: [`load`](Self::load) says what is wrong.
    pub fn files<'v>(
        name_or_path: &str,
        overrides: impl IntoIterator<Item = (&'v str, &'v str)>,
    ) -> Vec<PathBuf> {
        let is_map = |key: &&Key| key.name == FAULT_MAP;
        let map = KEYS.iter().find(is_map).map_or("", Key::short);
        let mut given = None;
        for (key, value) in overrides {
            if key == FAULT_MAP || key == map {
                given = Some(value.to_owned());
            }
        }
        let mut files = Vec::new();
        let mut next = Some(name_or_path.to_owned());
        while let Some(name) = next.take().filter(|name| is_path(name)) {
            let path = PathBuf::from(&name);
            if files.contains(&path) || files.len() > MOST_FILES {
                break;
            }
            let text = read(&path).ok();
            files.push(path);
            let Some(file) = text.and_then(|text| toml::from_str::<toml::Table>(&text).ok()) else {
                break;
            };
            let section = file.get("faults").and_then(|faults| faults.get(map));
            let value = section.or_else(|| file.get(FAULT_MAP)).and_then(|map| map.get("value"));
            if let (None, Some(map)) = (&given, value.and_then(toml::Value::as_str)) {
                given = Some(if map == "none" { map.to_owned() } else { beside(&name, map) });
            }
            next = file.get("inherits").and_then(toml::Value::as_str).map(|parent| {
                if is_path(parent) { beside(&name, parent) } else { parent.to_owned() }
            });
        }
        files.extend(given.filter(|map| map != "none").map(PathBuf::from));
        files
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
    /// [`CimError::Macro`] names the nearest key and all keys if there is no such key, and the value
    /// and what is allowed if it is refused.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), CimError> {
        self.set_all([(key, value)])
    }

    /// Overrides values together, each as [`set`](Self::set) takes it: the result is validated once,
    /// so that their order decides nothing.
    ///
    /// ```
    /// use hafnia_cim::MacroSpec;
    ///
    /// let mut spec = MacroSpec::preset("gt-n40")?;
    /// // Neither would be in its range without the other.
    /// spec.set_all([("columns_per_adc", "500"), ("columns", "500")])?;
    /// assert!(spec.set_all([("rows", "64"), ("rows", "32")]).is_err(), "given twice");
    /// # Ok::<(), hafnia_cim::CimError>(())
    /// ```
    ///
    /// # Errors
    /// As [`set`](Self::set), and if a key is given twice; then nothing is changed.
    pub fn set_all<'v>(
        &mut self,
        values: impl IntoIterator<Item = (&'v str, &'v str)>,
    ) -> Result<(), CimError> {
        let mut given = Vec::new();
        for (key, value) in values {
            given.push((KEYS.iter().position(|k| k.name == key || k.short() == key), key, value));
        }
        // In the order of the keys, whatever order they were given in; unknown ones first.
        given.sort_unstable();
        let mut changed = self.clone();
        for (index, &(known, name, value)) in given.iter().enumerate() {
            let key = &KEYS[known.ok_or_else(|| unknown_key(&self.name, name))?];
            if let Some((_, _, other)) = given[..index].last().filter(|given| given.0 == known) {
                let fault = format!("is given twice, as `{other}` and as `{value}`");
                return Err(CimError::of_key(&self.name, key.name, fault));
            }
            key.read(&mut changed, value)?;
        }
        changed.validate()?;
        *self = changed;
        Ok(())
    }

    /// The macro of which [`MacroSpec::values`] says all; keys that are not there are off.
    ///
    /// # Errors
    /// As [`MacroSpec::load`], for an unknown key or value, and for a required key that is missing.
    pub fn from_values<'v>(
        name: &str,
        values: impl IntoIterator<Item = (&'v str, &'v str)>,
    ) -> Result<Self, CimError> {
        let mut given = BTreeMap::new();
        for (key, value) in values {
            let known = KEYS.iter().find(|known| known.name == key);
            given.insert(known.ok_or_else(|| unknown_key(name, key))?.name, value);
        }
        let mut spec = unset(name);
        for key in &KEYS {
            let text = given.get(key.name).copied().or(key.off);
            let text = text.ok_or_else(|| missing_key(name, key))?;
            key.read(&mut spec, text)?;
        }
        spec.validate()?;
        Ok(spec)
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
    preset.map(|preset| preset.1).ok_or_else(|| {
        let presets = preset_names().collect::<Vec<_>>().join(", ");
        CimError::whole(
            name,
            format!(
                "is not a preset: presets are {presets}, and a path has a `/` or ends in `.toml`"
            ),
        )
    })
}

/// The key that names a file.
const FAULT_MAP: &str = "faults.map";

/// Files of a macro that are listed, at most.
const MOST_FILES: usize = 64;

/// The path that the file `name` gives as `other`: relative to its own folder.
fn beside(name: &str, other: &str) -> String {
    let folder = Path::new(name).parent().unwrap_or(Path::new(""));
    folder.join(other).display().to_string()
}

fn is_path(name: &str) -> bool {
    name.contains('/') || name.ends_with(".toml")
}

/// Checks a text that is to be kept as the file `path`: whether [`MacroSpec::load`] will read it.
pub(crate) fn check(path: &str, text: &str) -> Result<(), CimError> {
    let way = &mut vec![place(path)];
    spec_of(path, given(path, text, way)?).map(drop)
}

fn load(name_or_path: &str) -> Result<(MacroSpec, Vec<SourcedValue>), CimError> {
    spec_of(name_or_path, inherited(name_or_path, &mut Vec::new())?)
}

/// The macro of these values, and where they are from.
fn spec_of(
    name: &str,
    mut entries: BTreeMap<String, Given>,
) -> Result<(MacroSpec, Vec<SourcedValue>), CimError> {
    let mut spec = unset(name);
    let mut values = Vec::with_capacity(KEYS.len());
    for key in &KEYS {
        let (text, source, from) = match (entries.remove(key.name), key.off) {
            (Some(Given { text, source, from }), _) => (text, source, from),
            (None, Some(off)) => (off.to_owned(), "off".to_owned(), String::new()),
            (None, None) => return Err(missing_key(name, key)),
        };
        key.read(&mut spec, &text)?;
        let value = (key.field)(&mut spec).to_string();
        values.push(SourcedValue { key: key.name, value, unit: key.unit, source, from });
    }
    spec.validate()?;
    Ok((spec, values))
}

/// A value as text, as some file gives it.
struct Given {
    text: String,
    source: String,
    from: String,
}

/// How many files may inherit from one another, the preset at the end included.
const MOST_INHERITED: usize = 32;

/// What a file is known by: two ways to write one path must not hide a circle.
fn place(name: &str) -> String {
    match is_path(name) {
        true => std::fs::canonicalize(name).map_or(name.to_owned(), |p| p.display().to_string()),
        false => name.to_owned(),
    }
}

/// What a file gives and what it inherits, by key; `way` holds the files that led here.
fn inherited(name: &str, way: &mut Vec<String>) -> Result<BTreeMap<String, Given>, CimError> {
    let place = place(name);
    if way.contains(&place) {
        way.push(place.clone());
        return Err(CimError::whole(name, format!("inherits from itself: {}", way.join(" -> "))));
    }
    if way.len() == MOST_INHERITED {
        let fault = format!(
            "is file {} in the line from which `{}` inherits, at most {MOST_INHERITED} may be",
            MOST_INHERITED + 1,
            way[0]
        );
        return Err(CimError::whole(name, fault));
    }
    way.push(place);
    let text = if is_path(name) { read(Path::new(name))? } else { preset_text(name)?.to_owned() };
    given(name, &text, way)
}

/// What the text of a file gives and what it inherits, by key; `way` holds the files that led here,
/// itself included.
fn given(
    name: &str,
    text: &str,
    way: &mut Vec<String>,
) -> Result<BTreeMap<String, Given>, CimError> {
    let mut file: toml::Table = toml::from_str(text).map_err(|source: toml::de::Error| {
        let (key, fault) = (None, "is not TOML".to_owned());
        CimError::Macro { name: name.to_owned(), key, fault, source: Some(source.into()) }
    })?;
    let mut given = match file.remove("inherits") {
        None => BTreeMap::new(),
        Some(toml::Value::String(parent)) if is_path(&parent) => {
            inherited(&beside(name, &parent), way)?
        }
        Some(toml::Value::String(parent)) => inherited(&parent, way)?,
        Some(value) => {
            let shown = quoted(&value.to_string());
            let fault = format!("is {shown}, it must be the name of a preset or a path");
            return Err(CimError::of_key(name, "inherits", fault));
        }
    };
    for (key, Entry { value, source }) in entries(name, file)? {
        let text = match value {
            toml::Value::String(path) if key == FAULT_MAP && path != "none" => beside(name, &path),
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        given.insert(key, Given { text, source, from: name.to_owned() });
    }
    Ok(given)
}

/// The values of a file by their full keys, which are all known.
fn entries(name: &str, file: toml::Table) -> Result<BTreeMap<String, Entry>, CimError> {
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
        let unsourced = |key: &str, source: Option<toml::de::Error>| CimError::Macro {
            name: name.to_owned(),
            key: Some(key.to_owned()),
            fault: "is not of the form `{ value = …, source = \"…\" }`".to_owned(),
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
        adc: Adc {
            kind: AdcKind::Flash,
            bits: 0,
            offset_lsb: f64::NAN,
            comparator_noise_lsb: f64::NAN,
            gain_error_rel: f64::NAN,
            mismatch_lsb: f64::NAN,
        },
        cell: CellModel {
            on_off_ratio: f64::NAN,
            sigma_lrs_rel: f64::NAN,
            sigma_hrs_rel: f64::NAN,
            read_noise_rel: f64::NAN,
            bits_per_cell: 0,
            level_sigmas: LevelSigmas::Linear,
        },
        input_control: InputControl::FixedWindow { window: 0 },
        programming: Programming::default(),
        telegraph: Telegraph::default(),
        faults: Faults::default(),
        temperature: Temperature::default(),
        retention: Retention::default(),
        disturb: Disturb::default(),
        wires: Wires::default(),
    }
}

fn unknown_key(name: &str, key: &str) -> CimError {
    let key = &shown(key);
    let distance = |known: &&Key| edits(key, known.name).min(edits(key, known.short()));
    let nearest = KEYS.iter().min_by_key(distance).map_or("", |known| known.name);
    let keys = KEYS.each_ref().map(|known| known.name).join(", ");
    CimError::of_key(name, key, format!("is not a key, did you mean `{nearest}`? Keys are {keys}"))
}

fn missing_key(name: &str, key: &Key) -> CimError {
    CimError::of_key(name, key.name, "is missing".to_owned())
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
