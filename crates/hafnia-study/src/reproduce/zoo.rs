//! The recorded networks of a recipe.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use hafnia_zoo::Zoo;

use crate::reproduce::lab::Lab;

/// The recipe of the paper's shape, by our own training.
pub(super) const LIKE: &str = "like";

/// The same shape, trained in integers throughout, as the paper's network was.
pub(super) const LIKE_INTEGER: &str = "like-integer";

/// A recorded network.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    /// Recipe and seed, such as `frontier-1`.
    pub(super) name: String,
    pub(super) seed: u64,
    pub(super) file: PathBuf,
}

/// The first networks of a recipe, by seed.
pub(super) fn of_recipe(
    lab: &Lab<'_>,
    recipe: &str,
    count: usize,
) -> anyhow::Result<Vec<Recorded>> {
    let zoo = Zoo::open(lab.zoo())?;
    let record = zoo.records().iter().find(|record| record.recipe == recipe);
    let record = record.with_context(|| format!("no network of recipe {recipe} is recorded"))?;
    ensure!(
        record.runs.len() >= count,
        "recipe {recipe} has {} recorded networks, {count} are tested",
        record.runs.len()
    );
    let recorded = |run: &hafnia_zoo::Run| Recorded {
        name: format!("{recipe}-{}", run.seed),
        seed: run.seed,
        file: lab.zoo().join(recipe).join(run.file()),
    };
    Ok(record.runs.iter().take(count).map(recorded).collect())
}
