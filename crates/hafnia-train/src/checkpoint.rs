//! The state of a run, kept after every epoch so that a killed run goes on from there.

use std::path::{Path, PathBuf};

use hafnia_artifact::{Artifact, Digest, load, save};
use hafnia_data::{Dataset, Split};
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::state::State;

/// Where a run keeps its state, and how it knows it again.
#[derive(Debug)]
pub(crate) struct CheckpointStore {
    path: PathBuf,
    identity: Identity,
}

fn path(folder: &Path) -> PathBuf {
    folder.join("checkpoint.hafnia")
}

/// Removes the checkpoint from its folder once the network it led to is kept; no harm if there is
/// none.
///
/// # Errors
/// [`TrainError::Checkpoint`] if it is there and stays.
pub fn remove_checkpoint(folder: &Path) -> Result<(), TrainError> {
    let path = path(folder);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(TrainError::Checkpoint { path, source })
        }
        _ => Ok(()),
    }
}

/// What a state belongs to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Identity {
    recipe: Digest,
    images: Digest,
}

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    identity: Identity,
    state: State,
}

impl Artifact for Checkpoint {
    const KIND: &'static str = "training checkpoint";
    const SCHEMA: u32 = 3;
    const REMAKE: &'static str = "hafnia train";
}

impl CheckpointStore {
    pub(crate) fn new(
        folder: &Path,
        config: &TrainConfig,
        dataset: &Dataset,
        split: &Split,
    ) -> Self {
        let content = [Digest::of(&dataset.images), Digest::of(&dataset.labels)];
        let identity = Identity {
            recipe: Digest::of_value(config),
            images: Digest::of_value(&(content, &split.train, &split.validation)),
        };
        Self { path: path(folder), identity }
    }

    /// The state, if one was kept.
    pub(crate) fn load(&self) -> Result<Option<State>, TrainError> {
        if !self.path.exists() {
            return Ok(None);
        }
        let Checkpoint { identity: found, state } = load(&self.path)?;
        let differs = match () {
            () if found.recipe != self.identity.recipe => "the recipes",
            () if found.images != self.identity.images => "the images",
            () => return Ok(Some(state)),
        };
        Err(TrainError::OtherRun { path: self.path.clone(), differs })
    }

    pub(crate) fn save(&self, state: &State) -> Result<(), TrainError> {
        save(&self.path, &Checkpoint { identity: self.identity, state: state.clone() })?;
        Ok(())
    }
}
