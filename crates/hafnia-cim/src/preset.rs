//! Presets: macros as TOML files in which every value carries its source.
//!
//! A file may inherit from a preset or another file and then gives only what differs. A value that
//! is off unless it is given may be missing everywhere. The values are those of [`KEYS`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hafnia_text::{nearest, quoted};
use serde::Deserialize as _;

use crate::csv::read;
use crate::effects::{Disturb, Faults, Programming, Retention, Telegraph, Temperature, Wires};
use crate::error::CimError;
use crate::input_control::InputControl;
use crate::key::{KEYS, Key, missing_key, unknown_key};
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
    /// A citation, or `assumed` and why; `unstated` of a bare value, `off` where no file gives it.
    pub source: String,
    /// Name of the preset or file that gives it; empty where none does.
    pub from: String,
}

/// The source of a value that a file gives without one.
pub const UNSTATED: &str = "unstated";

/// A value as it stands in a file.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of value and source")]
struct Entry {
    value: toml::Value,
    source: String,
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
    /// starts with `assumed`, and is [`UNSTATED`] of a bare value. With `inherits = "NAME|PATH"` it takes the others from a preset or
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
            let value = section.or_else(|| file.get(FAULT_MAP));
            let value = value.map(|map| map.get("value").unwrap_or(map));
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
        KEYS.iter().map(|key| (key.name, key.value(&mut spec))).collect()
    }
}

fn preset_text(name: &str) -> Result<&'static str, CimError> {
    let preset = PRESETS.iter().find(|preset| preset.0 == name);
    preset.map(|preset| preset.1).ok_or_else(|| {
        let presets = preset_names().collect::<Vec<_>>().join(", ");
        let is_none = match nearest(name, preset_names()) {
            Some(nearest) => format!("is not a preset, did you mean `{nearest}`? Presets"),
            None => "is not a preset: presets".to_owned(),
        };
        let fault = format!("{is_none} are {presets}, and a path has a `/` or ends in `.toml`");
        CimError::whole(name, fault)
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
        let value = key.value(&mut spec);
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
        if let toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::String(_) = value {
            entries.insert(key, Entry { value, source: UNSTATED.to_owned() });
            continue;
        }
        let unsourced = |key: &str, source: Option<toml::de::Error>| CimError::Macro {
            name: name.to_owned(),
            key: Some(key.to_owned()),
            fault: "is not of the form `{ value = …, source = \"…\" }`, or a bare value".to_owned(),
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
