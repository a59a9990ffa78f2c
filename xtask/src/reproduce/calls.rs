//! [`Calls`]: the command `hafnia` on a data set, every call a step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use hafnia_artifact::Digest;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::runner::{Runner, Step};
use crate::workspace::root;

/// `hafnia` on a data set.
pub(crate) struct Calls<'a> {
    pub(crate) runner: &'a Runner,
    /// The data set; its digests are part of every key.
    pub(crate) data: Data,
    /// Where every step finds it.
    arguments: Vec<String>,
}

/// `hafnia data`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Data {
    pub(crate) origin: serde_json::Value,
    pub(crate) full: bool,
    pub(crate) train: usize,
    pub(crate) validation: usize,
    pub(crate) test: usize,
    pub(crate) digests: BTreeMap<String, Digest>,
    pub(crate) notes: Vec<String>,
}

impl Data {
    /// Whether this is the subset of MNIST that is part of hafnia.
    pub(crate) fn is_subset(&self) -> bool {
        self.origin == "subset"
    }
}

/// `training.json`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Trained {
    pub(crate) config: serde_json::Value,
    pub(crate) epochs: Vec<Epoch>,
    pub(crate) best_epoch: usize,
    pub(crate) validation_accuracy: f64,
    pub(crate) images_per_second: f64,
    /// Of the network's file.
    pub(crate) network: Digest,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Epoch {
    pub(crate) epoch: u32,
    pub(crate) loss: f64,
    pub(crate) validation_accuracy: f64,
    pub(crate) seconds: f64,
}

impl Trained {
    /// Reads the `training.json` of a training's output folder.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        read(&folder.join("training.json"))
    }

    /// The recipe: the configuration without its seed.
    pub(crate) fn recipe(&self) -> serde_json::Value {
        let mut config = self.config.clone();
        if let Some(keys) = config.as_object_mut() {
            keys.remove("seed");
        }
        config
    }

    /// Wall time of the epochs.
    pub(crate) fn seconds(&self) -> f64 {
        self.epochs.iter().map(|epoch| epoch.seconds).sum()
    }
}

/// `hafnia model evaluate`.
#[derive(Debug, Deserialize)]
pub(crate) struct Evaluated {
    pub(crate) images: usize,
    pub(crate) correct: usize,
    /// Right, and no other output is as large.
    pub(crate) correct_ties_wrong: usize,
}

impl Evaluated {
    /// Share of the images that are right.
    pub(crate) fn accuracy(&self) -> f64 {
        self.correct as f64 / self.images as f64
    }

    /// The same where a tie for the largest output counts as wrong.
    pub(crate) fn accuracy_ties_wrong(&self) -> f64 {
        self.correct_ties_wrong as f64 / self.images as f64
    }
}

impl<'a> Calls<'a> {
    /// Finds MNIST once: in this folder, or else in the cache and, unless offline, on the network.
    pub(crate) fn find(
        runner: &'a Runner,
        folder: Option<&Path>,
        offline: bool,
    ) -> anyhow::Result<Self> {
        let cache = root().join("datasets/cache");
        let mut arguments = match folder {
            Some(folder) => vec![format!("--data={}", std::path::absolute(folder)?.display())],
            None => vec![format!("--cache={}", cache.display())],
        };
        let mut look = arguments.clone();
        look.push("--or-subset".to_owned());
        look.extend(offline.then(|| "--offline".to_owned()));
        // Always looked for, so that a set that has appeared or gone is noticed.
        let data = ask(runner, &look)?;
        for note in &data.notes {
            eprintln!("MNIST: not from {note}");
        }
        if data.is_subset() {
            eprintln!("MNIST: no source answered; going on with the committed subset");
        }
        arguments.extend(folder.is_none().then(|| "--offline".to_owned()));
        // What the steps will find, without a network, must be what was found now.
        ensure!(
            ask(runner, &arguments)?.digests == data.digests,
            "MNIST was found but could not be kept in {}: make that folder writable, or give --data",
            cache.display()
        );
        Ok(Self { runner, data, arguments })
    }

    /// On the committed subset, even if there is more.
    pub(crate) fn on_subset(runner: &'a Runner) -> anyhow::Result<Self> {
        let no_cache = runner.out("no-cache");
        let arguments = vec![format!("--cache={}", no_cache.display()), "--offline".to_owned()];
        let data = ask(runner, &arguments)?;
        ensure!(data.is_subset(), "{} must not hold MNIST: remove it", no_cache.display());
        Ok(Self { runner, data, arguments })
    }

    /// The arguments by which a step finds the data.
    pub(crate) fn arguments(&self) -> Vec<String> {
        self.arguments.clone()
    }

    /// Runs one step, unless its outputs stand.
    pub(crate) fn step(&self, step: &Step) -> anyhow::Result<()> {
        self.runner.run(step, &self.data.digests)
    }

    /// A step whose result is the JSON that it prints.
    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        name: &str,
        mut arguments: Vec<String>,
        inputs: Vec<PathBuf>,
    ) -> anyhow::Result<T> {
        arguments.push("--format=json".to_owned());
        let path = self.runner.out(format!("{name}.json"));
        self.step(&Step {
            name: name.to_owned(),
            arguments,
            inputs,
            outputs: vec![path.clone()],
            stdout: Some(path.clone()),
            threads: None,
        })?;
        read(&path)
    }

    /// Runs a network on the test images.
    pub(crate) fn evaluate(&self, name: &str, network: &Path) -> anyhow::Result<Evaluated> {
        let mut arguments =
            vec!["model".to_owned(), "evaluate".to_owned(), network.display().to_string()];
        arguments.extend(self.arguments());
        self.json(name, arguments, vec![network.to_owned()])
    }
}

/// Calls `hafnia data`. What it says goes to stderr where it may download, to show its bar; else
/// into the error.
fn ask(runner: &Runner, arguments: &[String]) -> anyhow::Result<Data> {
    let is_local = arguments.iter().any(|a| a == "--offline" || a.starts_with("--data="));
    let stderr = if is_local { Stdio::piped() } else { Stdio::inherit() };
    let child = Command::new(runner.hafnia())
        .args(["data", "--format=json"])
        .args(arguments)
        .current_dir(root())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .context("hafnia cannot be run")?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().trim_start_matches("error: ").to_owned();
        bail!("{}", if said.is_empty() { "MNIST was not found".to_owned() } else { said });
    }
    serde_json::from_slice(&output.stdout).context("hafnia data")
}

/// Reads a JSON file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&bytes).with_context(|| path.display().to_string())
}
