//! [`Record`]: the manifest of what writes a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use hafnia_artifact::{Digest, Manifest};
use hafnia_data::SplitDataset;
use hafnia_text::one_line;
use serde::Serialize;
use serde_json::Value;

use crate::request::Request;
use crate::source::NamedNetwork;

/// The manifest of what writes a file: begun when the work begins, written beside the first output
/// when it ends.
pub struct Record {
    manifest: Manifest,
    start: Instant,
}

impl Record {
    /// Begins the record of a request; `resolved` is what its names stand for, such as every value of
    /// its macro.
    pub(crate) fn of<R: Request>(
        request: &R,
        resolved: &[(&str, Value)],
        seed: Option<u64>,
    ) -> anyhow::Result<Self> {
        let mut config = serde_json::to_value(request)?;
        resolved.iter().for_each(|(name, value)| config[*name] = value.clone());
        Self::begin(request.words(), &config, seed)
    }

    /// Begins the record of a command with this configuration.
    ///
    /// # Errors
    /// If the configuration is no JSON.
    pub fn begin(
        command: impl IntoIterator<Item = String>,
        config: &impl Serialize,
        seed: Option<u64>,
    ) -> anyhow::Result<Self> {
        let mut manifest = Manifest::new("hafnia", env!("CARGO_PKG_VERSION"), command);
        manifest.git_revision = REVISION.map(str::to_owned);
        manifest.config = serde_json::to_value(config)?;
        manifest.seed = seed;
        Ok(Self { manifest, start: Instant::now() })
    }

    /// Notes files that are read.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn inputs<P: AsRef<Path>>(
        &mut self,
        paths: impl IntoIterator<Item = P>,
    ) -> anyhow::Result<()> {
        paths.into_iter().try_for_each(|path| self.input(path.as_ref()))
    }

    /// Notes a file that is read.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn input(&mut self, path: &Path) -> anyhow::Result<()> {
        self.manifest.inputs.insert(path.display().to_string(), Digest::of_file(path)?);
        Ok(())
    }

    /// Notes a network.
    pub fn network(&mut self, named: &NamedNetwork) {
        self.manifest.inputs.insert(named.name.clone(), named.digest);
    }

    /// Notes the files of a data set.
    pub fn data(&mut self, set: &SplitDataset) {
        self.manifest.inputs.extend(set.digests.clone());
    }

    /// Notes the outputs, by their names as seen from the first, and writes the manifest beside that,
    /// as `<name>.manifest.json`.
    ///
    /// The manifest is written last and holds the digest of every output: whoever stops before that
    /// leaves the manifest of an earlier run, or none, with which new outputs do not agree.
    ///
    /// # Errors
    /// If an output is not there, or the manifest cannot be written.
    pub fn end(mut self, outputs: &[&Path]) -> anyhow::Result<()> {
        let beside = outputs.first().and_then(|first| first.parent());
        let digest = |output: &&Path| {
            let name = beside.and_then(|folder| output.strip_prefix(folder).ok());
            Ok((name.unwrap_or(output).display().to_string(), Digest::of_file(output)?))
        };
        let digests = outputs.iter().map(digest).collect::<anyhow::Result<BTreeMap<_, _>>>()?;
        self.manifest.outputs = digests;
        self.manifest.seconds = self.start.elapsed().as_secs_f64();
        let beside = outputs.first().context("a record has an output")?;
        self.manifest.write(manifest_of(beside))?;
        Ok(())
    }
}

/// The manifest beside an output.
pub fn manifest_of(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".manifest.json");
    output.with_file_name(name)
}

/// The git revision that this program was built from, where it is known.
const REVISION: Option<&str> = option_env!("HAFNIA_GIT_REVISION");

/// What this program is to work that goes on later: its version, and its revision where it is known.
pub fn program() -> String {
    let version = env!("CARGO_PKG_VERSION");
    REVISION.map_or(version.to_owned(), |revision| format!("{version} ({revision})"))
}

/// An error and its causes in one line.
pub fn in_one_line(error: &anyhow::Error) -> String {
    one_line(&format!("{error:#}"))
}
