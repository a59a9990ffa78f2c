//! What a request names: a network, a macro, a pipeline, a mapping.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hafnia_artifact::{Digest, load};
use hafnia_cim::MacroSpec;
use hafnia_ir::{Mapping, prove, read_mapping};
use hafnia_model::Network;
use hafnia_passes::{Pipeline, PipelineError, Registry};
use hafnia_zoo::{Recorded, Zoo};
use serde::{Deserialize, Serialize};

/// The pipeline of a mapping that is not there yet, where none is named.
pub const PIPELINE: &str = "compact";

/// The network of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkSource {
    /// A file.
    File(PathBuf),
    /// A recorded network: RECIPE or RECIPE/SEED.
    Model(String),
}

/// A network, and where it comes from.
#[derive(Debug, Clone)]
pub struct NamedNetwork {
    /// The network.
    pub network: Network,
    /// Its file, or `model recipe/seed`.
    pub name: String,
    /// The digest of its file.
    pub digest: Digest,
}

impl Default for NetworkSource {
    /// No network.
    fn default() -> Self {
        Self::Model(String::new())
    }
}

impl NetworkSource {
    /// Loads the network.
    ///
    /// # Errors
    /// If there is no such network.
    pub fn load(&self) -> anyhow::Result<NamedNetwork> {
        match self {
            Self::File(path) => Ok(NamedNetwork {
                network: load(path)?,
                name: path.display().to_string(),
                digest: Digest::of_file(path)?,
            }),
            Self::Model(name) => NamedNetwork::recorded(&Zoo::embedded()?.get(name)?),
        }
    }

    /// Its file, if it is one.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(path.clone()),
            Self::Model(_) => None,
        }
    }
}

impl NamedNetwork {
    fn recorded(recorded: &Recorded<'_>) -> anyhow::Result<Self> {
        Ok(Self {
            network: recorded.network()?,
            name: format!("model {}", recorded.name()),
            digest: recorded.file_digest(),
        })
    }

    /// The recorded networks of this name: RECIPE or RECIPE/SEED for one, RECIPE/* for every seed.
    pub(crate) fn all_recorded(name: &str) -> anyhow::Result<Vec<Self>> {
        let zoo = Zoo::embedded()?;
        match name.strip_suffix("/*") {
            None => Ok(vec![Self::recorded(&zoo.get(name)?)?]),
            Some(recipe) => {
                let recipe = &zoo.record(recipe)?.recipe;
                let of_recipe = zoo.networks().filter(|recorded| recorded.record.recipe == *recipe);
                of_recipe.map(|recorded| Self::recorded(&recorded)).collect()
            }
        }
    }
}

/// The macro of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MacroSource {
    /// A preset, or a TOML file of the same form.
    #[serde(rename = "macro")]
    pub name: String,
    /// Values that replace its own, `KEY=VALUE` each.
    pub set: Vec<String>,
}

impl Default for MacroSource {
    fn default() -> Self {
        Self { name: "gt-n40".to_owned(), set: Vec::new() }
    }
}

impl MacroSource {
    /// The macro with its overrides, checked.
    ///
    /// # Errors
    /// If there is no such macro or key, or a value is out of range.
    pub fn load(&self) -> anyhow::Result<MacroSpec> {
        let mut spec = MacroSpec::load(&self.name)?;
        let mut given = Vec::new();
        for text in &self.set {
            let split = key_value(text);
            given.push(split.with_context(|| format!("--set takes KEY=VALUE, not `{text}`"))?);
        }
        spec.set_all(given)?;
        Ok(spec)
    }

    /// The files that it is read from.
    pub fn files(&self) -> Vec<PathBuf> {
        MacroSpec::files(&self.name, self.set.iter().filter_map(|given| key_value(given)))
    }
}

/// A `KEY=VALUE`.
fn key_value(given: &str) -> Option<(&str, &str)> {
    let (key, value) = given.split_once('=')?;
    Some((key.trim(), value.trim()))
}

/// What a preset kept as `out` calls its parent, whose path is relative to the folder of `out`.
pub(crate) fn beside(out: &Path, parent: &str) -> String {
    let is_here = out.parent().is_none_or(|folder| folder == Path::new(""));
    match MacroSpec::is_path(parent) && !is_here {
        true => std::path::absolute(parent)
            .map_or(parent.to_owned(), |path| path.to_string_lossy().into_owned()),
        false => parent.to_owned(),
    }
}

/// A macro as manifests and outcomes hold it: every key and its value.
pub fn resolved(spec: &MacroSpec) -> BTreeMap<String, String> {
    let mut values: BTreeMap<String, String> =
        spec.values().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    values.insert("name".to_owned(), spec.name.clone());
    values
}

/// The pipeline of this name or in this file; errors name the file.
pub(crate) fn load_pipeline(name: &str, registry: &Registry) -> anyhow::Result<Pipeline> {
    match Pipeline::load(name, registry) {
        Err(error) if !matches!(error, PipelineError::Read { .. }) => {
            Err(error).with_context(|| name.to_owned())
        }
        loaded => Ok(loaded?),
    }
}

/// The file of a pipeline that is not one of ours.
pub(crate) fn pipeline_file(name: &str) -> Option<PathBuf> {
    let is_builtin = Pipeline::BUILTIN.iter().any(|(builtin, _)| *builtin == name);
    (!is_builtin).then(|| name.into())
}

/// The mapping of a file, proved to be one of this network.
pub(crate) fn load_mapping(path: &Path, network: &Network) -> anyhow::Result<Mapping> {
    let mapping = read_mapping(path)?;
    prove(&mapping, network).with_context(|| path.display().to_string())?;
    Ok(mapping)
}
