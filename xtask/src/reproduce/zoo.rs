//! The recorded networks of a recipe.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use hafnia_zoo::Zoo;

use crate::workspace::root;

/// The recipe of the paper's shape, by our own training.
pub(crate) const LIKE: &str = "like";

/// The same shape, trained in integers throughout, as the paper's network was.
pub(crate) const LIKE_INTEGER: &str = "like-integer";

/// A recorded network.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    /// Recipe and seed, such as `frontier-1`.
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) file: PathBuf,
}

/// The folder of the recorded networks.
pub(crate) fn folder() -> PathBuf {
    root().join("crates/hafnia-zoo/networks")
}

/// The first networks of a recipe, by seed.
pub(crate) fn of_recipe(recipe: &str, count: usize) -> anyhow::Result<Vec<Recorded>> {
    let zoo = Zoo::open(folder())?;
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
        file: folder().join(recipe).join(run.file()),
    };
    Ok(record.runs.iter().take(count).map(recorded).collect())
}
