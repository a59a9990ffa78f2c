//! The recorded networks: what the recipes of this repository gave when they were trained.
//!
//! Trainings take long, so their results are kept: a folder a recipe, with a [`Record`] and a
//! network for every seed. The folder `networks/` is part of the crate and so of every binary:
//!
//! ```
//! use hafnia_zoo::Zoo;
//!
//! let zoo = Zoo::embedded()?;
//! for recorded in zoo.networks() {
//!     println!("{}: {:.2} %", recorded.name(), 100.0 * recorded.run.test_accuracy);
//! }
//! let error = zoo.get("no-such-recipe").unwrap_err();
//! assert!(error.to_string().starts_with("no recorded network `no-such-recipe`: "));
//! # Ok::<(), hafnia_zoo::ZooError>(())
//! ```
//!
//! Of a name `recipe/seed` the seed may be left out: `recipe` is its first seed.
//! A network is handed out only if it is the one in the record, by its digest.
//!
//! It knows neither how a network is trained nor how one is judged: `cargo xtask record` does.

mod error;
mod folder;
mod record;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use hafnia_artifact::{ArtifactError, Digest, load_bytes, read};
use hafnia_model::Network;
use hafnia_text::nearest;

pub use error::ZooError;
pub use record::{Record, Run};

/// The files of `networks/`: `recipe/file`, and its bytes.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// A set of recorded networks, every file named by a record.
#[derive(Debug, Clone)]
pub struct Zoo {
    records: Vec<Record>,
    /// Network files by their names, `recipe/file`.
    files: BTreeMap<String, Cow<'static, [u8]>>,
}

/// One recorded network.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// The record it is in.
    pub record: &'a Record,
    /// Its training.
    pub run: &'a Run,
    bytes: &'a [u8],
}

impl Zoo {
    /// The networks that are part of hafnia.
    ///
    /// # Errors
    /// As [`open`](Self::open); the tests of this crate show that it has none.
    pub fn embedded() -> Result<Self, ZooError> {
        let files = FILES.iter().map(|&(name, bytes)| (name.to_owned(), Cow::Borrowed(bytes)));
        Self::new(files.collect())
    }

    /// The networks in a folder of the same form.
    ///
    /// # Errors
    /// [`ZooError::File`]; [`ZooError::NotRecord`] or [`ZooError::Fault`] for a record that is
    /// none; [`ZooError::Missing`] and [`ZooError::Stray`] where files and records differ.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, ZooError> {
        let folder = folder.as_ref();
        let unread = |source| ArtifactError::Io { action: "read", path: folder.into(), source };
        let mut files = BTreeMap::new();
        for (name, path) in folder::files(folder).map_err(unread)? {
            files.insert(name, Cow::Owned(read(&path)?));
        }
        Self::new(files)
    }

    fn new(mut files: BTreeMap<String, Cow<'static, [u8]>>) -> Result<Self, ZooError> {
        let is_record = |name: &String, _: &mut _| name.ends_with(&format!("/{}", Record::FILE));
        let mut records = Vec::new();
        for (file, bytes) in files.extract_if(.., is_record) {
            let record: Record = match serde_json::from_slice(&bytes) {
                Ok(record) => record,
                Err(source) => return Err(ZooError::NotRecord { file, source }),
            };
            let folder = file.split('/').next().unwrap_or_default();
            if let Some(fault) = record.fault(folder) {
                return Err(ZooError::Fault { file, fault });
            }
            records.push(record);
        }
        let zoo = Self { records, files };
        let known: Vec<String> = zoo.pairs().map(|(record, run)| path(record, run)).collect();
        if let Some(file) = known.iter().find(|file| !zoo.files.contains_key(*file)) {
            return Err(ZooError::Missing { file: file.clone() });
        }
        if let Some(file) = zoo.files.keys().find(|file| !known.contains(file)) {
            return Err(ZooError::Stray { file: file.clone() });
        }
        Ok(zoo)
    }

    /// The records, by recipe.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The record of a recipe.
    ///
    /// # Errors
    /// [`ZooError::Unknown`], listing what there is.
    pub fn record(&self, recipe: &str) -> Result<&Record, ZooError> {
        let found = self.records.iter().find(|record| record.recipe == recipe);
        found.ok_or_else(|| self.unknown(recipe))
    }

    /// All networks, by recipe and seed.
    pub fn networks(&self) -> impl Iterator<Item = Recorded<'_>> {
        self.pairs().map(|(record, run)| self.recorded(record, run))
    }

    /// The network of this name: `recipe/seed`, or `recipe` for its first seed.
    ///
    /// # Errors
    /// [`ZooError::Unknown`], listing what there is.
    pub fn get(&self, name: &str) -> Result<Recorded<'_>, ZooError> {
        let is_named =
            |recorded: &Recorded<'_>| recorded.record.recipe == name || recorded.name() == name;
        self.networks().find(is_named).ok_or_else(|| self.unknown(name))
    }

    fn pairs(&self) -> impl Iterator<Item = (&Record, &Run)> {
        self.records.iter().flat_map(|record| record.runs.iter().map(move |run| (record, run)))
    }

    fn recorded<'a>(&'a self, record: &'a Record, run: &'a Run) -> Recorded<'a> {
        Recorded { record, run, bytes: &self.files[&path(record, run)] }
    }

    fn unknown(&self, name: &str) -> ZooError {
        let known: Vec<String> = self.records.iter().map(ToString::to_string).collect();
        let (recipe, seed) = name.split_once('/').unwrap_or((name, ""));
        let recipes = self.records.iter().map(|record| record.recipe.as_str());
        let known = match (known.as_slice(), nearest(recipe, recipes)) {
            ([], _) => "none is recorded".to_owned(),
            (_, Some(nearest)) if nearest != recipe => {
                let seed = if seed.is_empty() { String::new() } else { format!("/{seed}") };
                format!("did you mean `{nearest}{seed}`?")
            }
            (known, _) => format!("there are {}", known.join(", ")),
        };
        ZooError::Unknown { name: name.to_owned(), known }
    }
}

/// The name of a network's file below the folder of all.
fn path(record: &Record, run: &Run) -> String {
    format!("{}/{}", record.recipe, run.file())
}

impl Recorded<'_> {
    /// Its name, `recipe/seed`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.record.recipe, self.run.seed)
    }

    /// The network.
    ///
    /// # Errors
    /// [`ZooError::File`], or [`ZooError::Digest`] if it is not the one in the record.
    pub fn network(&self) -> Result<Network, ZooError> {
        let file = path(self.record, self.run);
        let network: Network = load_bytes(&file, self.bytes)?;
        let (found, expected) = (network.digest(), self.run.digest);
        if found != expected {
            return Err(ZooError::Digest { file, found, expected });
        }
        Ok(network)
    }

    /// SHA-256 of its file.
    pub fn file_digest(&self) -> Digest {
        Digest::of(self.bytes)
    }
}
