//! `cargo xtask record`: what trainings gave, as the record of a recipe.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use hafnia_artifact::{Digest, Manifest, load, read, write_whole};
use hafnia_model::Network;
use hafnia_passes::Registry;
use hafnia_study::{
    DataOutcome, DataSource, EvaluateOutcome, EvaluateRequest, NetworkSource, Part, Request,
    Session, TrainOutcome,
};
use hafnia_zoo::{Record, Run};

use crate::workspace::root;

/// Which trainings become the record of which recipe.
#[derive(clap::Args)]
#[command(after_help = "Example:
  hafnia train --recipe recipes/frontier.toml --seeds 5 --out out/frontier
  cargo xtask record frontier --runs out/frontier")]
pub(crate) struct Options {
    /// Name of the recipe, `recipes/RECIPE.toml`.
    recipe: String,
    /// Folder with what `hafnia train` wrote, in `seed-<n>` for every seed.
    #[arg(long, value_name = "DIR")]
    runs: PathBuf,
    /// Folder with the four IDX files of MNIST.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// A training's output.
#[derive(Debug)]
struct Training {
    seed: u64,
    folder: PathBuf,
    trained: TrainOutcome,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let recipe = &options.recipe;
    let toml = root().join(format!("recipes/{recipe}.toml"));
    ensure!(toml.is_file(), "there is no recipe {}", toml.display());
    let trainings = trainings(&options.runs)?;
    let registry = Registry::builtin();
    let session = Session::new(&registry, &());
    let full = DataSource { data: options.data.clone(), ..DataSource::of_checkout(&root()) };
    // Without a network and without a cache there is the subset alone.
    let no_cache = root().join("out/record/no-cache");
    let subset = DataSource { cache: no_cache, offline: true, ..DataSource::default() };
    let data = DataOutcome::of(&*session.dataset(&full)?);
    ensure!(data.full, "a record is made on the full MNIST: give its folder with --data");
    let evaluate = |source: &DataSource| -> anyhow::Result<Vec<EvaluateOutcome>> {
        let evaluate = |training: &Training| {
            let network = NetworkSource::File(training.folder.join("network.hafnia"));
            let (part, data) = (Part::Test, source.clone());
            EvaluateRequest { network, against: None, part, images: None, data }.run(&session)
        };
        trainings.iter().map(evaluate).collect()
    };
    let (on_full, on_subset) = (evaluate(&full)?, evaluate(&subset)?);
    let mut runs = Vec::new();
    for ((training, test), small) in trainings.iter().zip(on_full).zip(on_subset) {
        let Training { seed, folder, trained } = training;
        check_data(folder, &data)?;
        let file = folder.join("network.hafnia");
        runs.push(Run {
            seed: *seed,
            digest: load::<Network>(&file)?.digest(),
            best_epoch: trained.best_epoch,
            validation_accuracy: trained.validation_accuracy,
            test_accuracy: test.accuracy.value,
            test_correct: test.correct,
            test_correct_ties_wrong: test.correct_ties_wrong,
            subset_correct: small.correct,
            seconds: trained.seconds(),
        });
    }
    let record = Record {
        recipe: recipe.clone(),
        config: trainings[0].trained.recipe(),
        data: data.digests.clone(),
        test_images: data.test,
        runs,
    };
    write(&record, &trainings)?;
    println!("recorded: {record}");
    Ok(())
}

/// The trainings in a folder, by seed: all there, and all by one recipe.
fn trainings(folder: &Path) -> anyhow::Result<Vec<Training>> {
    let mut trainings = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let folder = entry?.path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let Some(seed) = name.strip_prefix("seed-").and_then(|seed| seed.parse().ok()) else {
            continue;
        };
        let trained = TrainOutcome::read(&folder)?;
        let shown = folder.display();
        let of = &trained.config["seed"];
        ensure!(*of == seed, "{shown} holds a training with seed {of}");
        ensure!(
            Digest::of_file(folder.join("network.hafnia"))? == trained.network,
            "{shown}: network.hafnia is not the network that training.json is of; train again"
        );
        trainings.push(Training { seed, folder, trained });
    }
    trainings.sort_by_key(|training| training.seed);
    let Some(first) = trainings.first() else {
        bail!(
            "{} has no folder seed-<n>: make them with `hafnia train --seeds N`",
            folder.display()
        );
    };
    let recipe = first.trained.recipe();
    if let Some(other) = trainings.iter().find(|training| training.trained.recipe() != recipe) {
        bail!("seeds {} and {} were trained by different recipes", first.seed, other.seed);
    }
    Ok(trainings)
}

/// Whether a training was on this data set, if its manifest is there to say.
fn check_data(folder: &Path, data: &DataOutcome) -> anyhow::Result<()> {
    let path = folder.join("network.hafnia.manifest.json");
    if path.exists() {
        let inputs = Manifest::read(&path)?.inputs;
        ensure!(
            data.digests.iter().all(|(name, digest)| inputs.get(name) == Some(digest)),
            "{} was not trained on the full MNIST: train again, without --offline",
            folder.display()
        );
    }
    Ok(())
}

/// Writes the networks, then the record; networks of other seeds go.
fn write(record: &Record, trainings: &[Training]) -> anyhow::Result<()> {
    let folder = root().join("crates/hafnia-zoo/networks").join(&record.recipe);
    for (run, training) in record.runs.iter().zip(trainings) {
        let bytes = read(training.folder.join("network.hafnia"))?;
        write_whole(folder.join(run.file()), &bytes)?;
    }
    write_whole(folder.join(Record::FILE), record.to_json()?.as_bytes())?;
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let is_recorded = |run: &Run| path.ends_with(run.file());
        if !path.ends_with(Record::FILE) && !record.runs.iter().any(is_recorded) {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder as `hafnia train` leaves it, for these seeds and numbers of epochs.
    fn place(runs: &[(u64, u64)]) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for &(seed, epochs) in runs {
            let folder = place.path().join(format!("seed-{seed}"));
            write_whole(folder.join("network.hafnia"), b"a network").unwrap();
            let training = serde_json::json!({
                "config": { "seed": seed, "epochs": epochs },
                "epochs": [
                    { "epoch": 1, "learning_rate": 0.1, "loss": 0.5, "train_accuracy": 0.9,
                      "validation_accuracy": 0.9, "seconds": 1.5 },
                    { "epoch": 2, "learning_rate": 0.1, "loss": 0.4, "train_accuracy": 0.9,
                      "validation_accuracy": 0.8, "seconds": 2.0 },
                ],
                "best_epoch": 1,
                "validation_accuracy": 0.9,
                "images_per_second": 100.0,
                "network": Digest::of(b"a network"),
            });
            write_whole(folder.join("training.json"), training.to_string().as_bytes()).unwrap();
        }
        place
    }

    #[track_caller]
    fn check_refused(place: &Path, expected: &str) {
        let error = format!("{:#}", trainings(place).unwrap_err());
        assert_eq!(error.replace(&place.display().to_string(), "DIR"), expected);
    }

    #[test]
    fn trainings_are_read_by_seed() {
        let place = place(&[(12, 2), (3, 2)]);
        write_whole(place.path().join("summary.json"), b"{}").unwrap();
        let found = trainings(place.path()).unwrap();
        assert_eq!(found.iter().map(|training| training.seed).collect::<Vec<_>>(), [3, 12]);
        assert_eq!(found[0].trained.recipe(), serde_json::json!({ "epochs": 2 }));
        assert_eq!(found[0].trained.seconds(), 3.5);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        check_refused(
            place(&[]).path(),
            "DIR has no folder seed-<n>: make them with `hafnia train --seeds N`",
        );
        check_refused(
            place(&[(1, 2), (2, 3)]).path(),
            "seeds 1 and 2 were trained by different recipes",
        );
        let renamed = place(&[(1, 2)]);
        fs::rename(renamed.path().join("seed-1"), renamed.path().join("seed-2")).unwrap();
        check_refused(renamed.path(), "DIR/seed-2 holds a training with seed 1");
        let changed = place(&[(1, 2)]);
        fs::write(changed.path().join("seed-1/network.hafnia"), "another").unwrap();
        check_refused(
            changed.path(),
            "DIR/seed-1: network.hafnia is not the network that training.json is of; train again",
        );
    }
}
