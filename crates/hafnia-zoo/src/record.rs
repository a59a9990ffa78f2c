//! [`Record`]: what a recipe gave, seed by seed.

use std::collections::BTreeMap;
use std::fmt;

use hafnia_artifact::Digest;
use serde::{Deserialize, Serialize};

/// What a recipe gave when it was trained; the content of `record.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Name of the recipe, and of the folder.
    pub recipe: String,
    /// The recipe with every default filled in, but for the seed.
    pub config: serde_json::Value,
    /// SHA-256 of the uncompressed files of the data set, by name.
    pub data: BTreeMap<String, Digest>,
    /// Images by which the networks were judged.
    pub test_images: usize,
    /// A training each, by seed.
    pub runs: Vec<Run>,
}

/// A training, and what its network gets right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Seed of the training.
    pub seed: u64,
    /// Digest of the network, as `hafnia inspect` prints it.
    pub digest: Digest,
    /// The epoch whose weights the network has, counted from 1.
    pub best_epoch: usize,
    /// Share of the validation images that are right after that epoch.
    pub validation_accuracy: f64,
    /// Share of the test images that are right.
    pub test_accuracy: f64,
    /// Test images that are right, the first of equal outputs being the class.
    pub test_correct: usize,
    /// Test images that are right where outputs that tie for the maximum count as wrong.
    pub test_correct_ties_wrong: usize,
    /// Test images of the committed subset that are right.
    pub subset_correct: usize,
    /// Wall time of the epochs, validation included.
    pub seconds: f64,
}

impl Record {
    /// The name of a record's file in the folder of its recipe.
    pub const FILE: &'static str = "record.json";

    /// The seeds, ascending.
    pub fn seeds(&self) -> impl Iterator<Item = u64> {
        self.runs.iter().map(|run| run.seed)
    }

    /// The text of `record.json`.
    ///
    /// # Errors
    /// If a number in it is not finite.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// What is wrong with a record that lies in this folder.
    pub(crate) fn fault(&self, folder: &str) -> Option<String> {
        if self.recipe != folder {
            return Some(format!("it is of recipe `{}`", self.recipe));
        }
        if self.runs.is_empty() || !self.runs.is_sorted_by(|a, b| a.seed < b.seed) {
            return Some("its runs must have seeds that ascend".to_owned());
        }
        let is_wrong = |run: &&Run| {
            let accuracy = run.test_correct as f64 / self.test_images as f64;
            !accuracy.is_finite()
                || (run.test_accuracy - accuracy).abs() > 1e-9
                || run.test_correct_ties_wrong > run.test_correct
        };
        self.runs.iter().find(is_wrong).map(|run| {
            let Run { seed, test_accuracy, test_correct, test_correct_ties_wrong, .. } = run;
            let images = self.test_images;
            format!(
                "seed {seed} has accuracy {test_accuracy} at {test_correct} of {images}, {test_correct_ties_wrong} with ties wrong"
            )
        })
    }
}

impl Run {
    /// The name of the network's file in the folder of its recipe.
    pub fn file(&self) -> String {
        format!("seed-{}.hafnia", self.seed)
    }
}

impl fmt::Display for Record {
    /// The recipe with its seeds, such as `frontier (seeds 1, 2, 3)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds: Vec<String> = self.seeds().map(|seed| seed.to_string()).collect();
        let noun = if seeds.len() == 1 { "seed" } else { "seeds" };
        write!(f, "{} ({noun} {})", self.recipe, seeds.join(", "))
    }
}
