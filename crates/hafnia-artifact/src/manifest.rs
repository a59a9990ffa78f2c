//! How an output was made: written beside it.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::ArtifactError;
use crate::whole::{read_text, write_whole};

/// How an output was made; a JSON file beside it.
///
/// [`Manifest::new`] fills in the first fields and the time, the others are set as they become
/// known:
///
/// ```
/// use hafnia_artifact::{Digest, Manifest};
///
/// let mut manifest = Manifest::new("hafnia", "0.1.0", ["train", "--seed", "7"]);
/// manifest.seed = Some(7);
/// manifest.inputs.insert("lenet5.toml".to_owned(), Digest::of(b"epochs = 60"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The program, such as "hafnia".
    pub tool: String,
    /// Its version.
    pub version: String,
    /// The git revision it was built from, if known.
    pub git_revision: Option<String>,
    /// The command line, without the program.
    pub command: Vec<String>,
    /// The configuration as resolved: every default filled in.
    pub config: serde_json::Value,
    /// The seed of all randomness, if there is any.
    pub seed: Option<u64>,
    /// SHA-256 of each file read, by name.
    pub inputs: BTreeMap<String, Digest>,
    /// SHA-256 of each file written, by name.
    pub outputs: BTreeMap<String, Digest>,
    /// When the run began, RFC 3339, UTC.
    pub started: String,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl Manifest {
    /// A manifest of a run that begins now, with all else empty.
    pub fn new<S: Into<String>>(
        tool: &str,
        version: &str,
        command: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            tool: tool.to_owned(),
            version: version.to_owned(),
            git_revision: None,
            command: command.into_iter().map(Into::into).collect(),
            config: serde_json::Value::Null,
            seed: None,
            inputs: BTreeMap::new(),
            outputs: BTreeMap::new(),
            started: Timestamp::now().to_string(),
            seconds: 0.0,
        }
    }

    /// Writes it as indented JSON, whole or not at all.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] naming the file.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), ArtifactError> {
        let mut json = serde_json::to_string_pretty(self).map_err(|source| {
            ArtifactError::Unencodable { what: "the manifest".to_owned(), source: source.into() }
        })?;
        json.push('\n');
        write_whole(path, json.as_bytes())
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] or [`ArtifactError::NotManifest`], naming the file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ArtifactError> {
        let path = path.as_ref();
        serde_json::from_str(&read_text(path)?)
            .map_err(|source| ArtifactError::NotManifest { path: path.into(), source })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            git_revision: Some("0123abc".to_owned()),
            config: serde_json::json!({ "epochs": 60, "recipe": "tied" }),
            seed: Some(7),
            inputs: [("train.toml".to_owned(), Digest::of(b""))].into(),
            outputs: [("network.hafnia".to_owned(), Digest::of(b"abc"))].into(),
            started: "2026-01-02T03:04:05Z".to_owned(),
            seconds: 1.5,
            ..Manifest::new("hafnia", "0.1.0", ["train", "--seed", "7"])
        }
    }

    #[test]
    fn it_is_json_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.json");
        manifest().write(&path).unwrap();
        expect![[r#"
            {
              "tool": "hafnia",
              "version": "0.1.0",
              "git_revision": "0123abc",
              "command": [
                "train",
                "--seed",
                "7"
              ],
              "config": {
                "epochs": 60,
                "recipe": "tied"
              },
              "seed": 7,
              "inputs": {
                "train.toml": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
              },
              "outputs": {
                "network.hafnia": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
              },
              "started": "2026-01-02T03:04:05Z",
              "seconds": 1.5
            }
        "#]]
        .assert_eq(&std::fs::read_to_string(&path).unwrap());
        assert_eq!(Manifest::read(&path).unwrap(), manifest());
        std::fs::write(&path, "{}").unwrap();
        let error = Manifest::read(&path).unwrap_err().to_string();
        assert_eq!(error, format!("{} is not a manifest", path.display()));
    }

    #[test]
    fn it_begins_now() {
        let before = Timestamp::now();
        let started: Timestamp = Manifest::new("t", "1", [""; 0]).started.parse().unwrap();
        assert!(before <= started && started <= Timestamp::now());
    }
}
