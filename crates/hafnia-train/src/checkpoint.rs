//! The state of a run, kept after every epoch so that a killed run goes on from there.

use std::path::{Path, PathBuf};

use hafnia_artifact::{Artifact, ArtifactError, Digest, load, save};
use hafnia_data::{Dataset, Split};
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::noise::Errors;
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

/// Where the state of a run is kept, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct CheckpointFolder<'a> {
    /// The folder.
    pub folder: &'a Path,
    /// The program by its version and revision: another one does not go on from its state.
    pub program: &'a str,
}

/// What a state belongs to.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Identity {
    program: String,
    recipe: Digest,
    images: Digest,
    /// Of the errors that the macro of the recipe's noise makes.
    errors: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    identity: Identity,
    state: State,
}

impl Artifact for Checkpoint {
    const KIND: &'static str = "training checkpoint";
    const SCHEMA: u32 = 5;
    const REMAKE: &'static str = "hafnia train";
}

impl CheckpointStore {
    pub(crate) fn new(
        CheckpointFolder { folder, program }: CheckpointFolder<'_>,
        config: &TrainConfig,
        errors: Option<&Errors>,
        dataset: &Dataset,
        split: &Split,
    ) -> Self {
        let content = (&dataset.images, &dataset.labels);
        let identity = Identity {
            program: program.to_owned(),
            errors: errors.map(Errors::digest),
            recipe: Digest::of_value(config),
            images: Digest::of_value(&(content, &split.train, &split.validation)),
        };
        Self { path: path(folder), identity }
    }

    /// The state, if one was kept; `check` says what is wrong with it.
    pub(crate) fn load(
        &self,
        check: impl FnOnce(&State) -> Result<(), String>,
    ) -> Result<Option<State>, TrainError> {
        if !self.path.exists() {
            return Ok(None);
        }
        let Checkpoint { identity: found, state } = load(&self.path)?;
        let own = &self.identity;
        let differs = match () {
            () if found.recipe != own.recipe => "with another recipe".to_owned(),
            () if found.images != own.images => "on other images".to_owned(),
            () if found.errors != own.errors => "with another macro of [noise]".to_owned(),
            () if found.program != own.program => {
                format!("by hafnia {}, this is {}", found.program, own.program)
            }
            () => {
                let (path, kind) = (self.path.clone(), Checkpoint::KIND);
                let checked = check(&state);
                checked.map_err(|fault| ArtifactError::Invalid { path, kind, fault })?;
                return Ok(Some(state));
            }
        };
        Err(TrainError::OtherRun { path: self.path.clone(), differs })
    }

    pub(crate) fn save(&self, state: &State) -> Result<(), TrainError> {
        save(&self.path, &Checkpoint { identity: self.identity.clone(), state: state.clone() })?;
        Ok(())
    }
}
