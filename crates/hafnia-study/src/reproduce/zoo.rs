//! The recorded networks of a recipe.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use hafnia_zoo::{Record, Zoo};

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

/// Of every recipe that is recorded the first networks, so many at most.
pub(super) fn recipes(lab: &Lab<'_>, most: usize) -> anyhow::Result<Vec<(String, Vec<Recorded>)>> {
    let zoo = Zoo::open(lab.zoo())?;
    Ok(zoo
        .records()
        .iter()
        .map(|record| (record.recipe.clone(), first(lab, record, most)))
        .collect())
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
    Ok(first(lab, record, count))
}

fn first(lab: &Lab<'_>, record: &Record, count: usize) -> Vec<Recorded> {
    let recorded = |run: &hafnia_zoo::Run| Recorded {
        name: format!("{}-{}", record.recipe, run.seed),
        seed: run.seed,
        file: lab.zoo().join(&record.recipe).join(run.file()),
    };
    record.runs.iter().take(count).map(recorded).collect()
}
