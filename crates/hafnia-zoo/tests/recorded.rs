//! Every recorded network is the one in its record, and as good as that says.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use expect_test::{Expect, expect};
use hafnia_data::{Dataset, SplitDataset};
use hafnia_model::{Network, random};
use hafnia_rng::Seed;
use hafnia_sim::{Images, Reference};
use hafnia_zoo::{Record, Run, Zoo};
use tempfile::TempDir;

/// How many of these images the reference gets right.
fn correct(network: &Network, data: &Dataset) -> usize {
    let activations = network.input().levels_of(&data.bytes().unwrap());
    let images = Images { activations, labels: data.labels().unwrap().to_vec() };
    let reference = Reference::new(network, &images).unwrap();
    reference.exact_correct().iter().filter(|&&correct| correct).count()
}

/// The networks are those of their records, and right on as many images of the subset.
fn check(zoo: &Zoo) {
    let test = SplitDataset::mnist_subset().test;
    let found: Vec<_> = zoo
        .networks()
        .map(|recorded| (recorded.name(), correct(&recorded.network().unwrap(), &test)))
        .collect();
    let expected: Vec<_> =
        zoo.networks().map(|recorded| (recorded.name(), recorded.run.subset_correct)).collect();
    assert_eq!(found, expected, "right answers on the subset, and those in the records");
}

#[test]
fn every_recorded_network_is_as_good_as_its_record_says() {
    check(&Zoo::embedded().unwrap());
}

#[test]
fn what_is_embedded_is_what_lies_in_the_folder() {
    let folder = Zoo::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("networks")).unwrap();
    let digests = |zoo: &Zoo| -> Vec<_> {
        zoo.networks().map(|recorded| (recorded.name(), recorded.file_digest())).collect()
    };
    let embedded = Zoo::embedded().unwrap();
    assert_eq!(digests(&embedded), digests(&folder));
    assert_eq!(embedded.records(), folder.records());
}

#[test]
fn every_record_has_its_recipe() {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    for record in Zoo::embedded().unwrap().records() {
        let recipe = recipes.join(format!("{}.toml", record.recipe));
        assert!(recipe.exists(), "{}", recipe.display());
    }
}

/// A folder with random networks of two recipes, `a` with seeds 2 and 5, `b` with seed 1.
fn place() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("README.md"), "what lies here").unwrap();
    // Seeds, and how many images of the subset their networks get right.
    for (recipe, seeds) in [("a", vec![(2, 117), (5, 89)]), ("b", vec![(1, 89)])] {
        let mut runs = Vec::new();
        for (seed, subset_correct) in seeds {
            let network = random::lenet5(Seed(seed));
            let run = Run {
                seed,
                digest: network.digest(),
                best_epoch: 3,
                validation_accuracy: 0.12,
                test_accuracy: 0.1012,
                test_correct: 1012,
                test_correct_ties_wrong: 1003,
                subset_correct,
                seconds: 4.5,
            };
            hafnia_artifact::save(folder.path().join(recipe).join(run.file()), &network).unwrap();
            runs.push(run);
        }
        let config = serde_json::json!({ "epochs": 3 });
        let data = BTreeMap::new();
        let record = Record { recipe: recipe.into(), config, data, test_images: 10_000, runs };
        fs::write(folder.path().join(recipe).join(Record::FILE), record.to_json().unwrap())
            .unwrap();
    }
    folder
}

#[test]
fn networks_have_names() {
    let folder = place();
    let zoo = Zoo::open(&folder).unwrap();
    check(&zoo);
    let names: Vec<String> = zoo.networks().map(|recorded| recorded.name()).collect();
    assert_eq!(names, ["a/2", "a/5", "b/1"]);
    for (name, full) in [("a", "a/2"), ("a/5", "a/5"), ("b", "b/1")] {
        assert_eq!(zoo.get(name).unwrap().name(), full);
    }
    assert_eq!(zoo.record("b").unwrap().seeds().collect::<Vec<_>>(), [1]);
    let refuse = |name, expected: Expect| {
        expected.assert_eq(&zoo.get(name).unwrap_err().to_string());
    };
    refuse("c", expect!["no recorded network `c`: there are a (seeds 2, 5), b (seed 1)"]);
    refuse("a/1", expect!["no recorded network `a/1`: there are a (seeds 2, 5), b (seed 1)"]);
    let empty = TempDir::new().unwrap();
    let none = Zoo::open(&empty).unwrap().get("a").unwrap_err().to_string();
    expect!["no recorded network `a`: none is recorded"].assert_eq(&none);
}

/// What opening the place says after a change.
fn check_refused(change: fn(&Path), expected: Expect) {
    let folder = place();
    change(folder.path());
    let error = Zoo::open(&folder).unwrap_err().to_string();
    expected.assert_eq(&error);
}

/// Replaces text in the record of `a`.
fn edit(folder: &Path, from: &str, to: &str) {
    let path = folder.join("a").join(Record::FILE);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn files_and_records_agree() {
    check_refused(
        |folder| fs::remove_file(folder.join("a/seed-5.hafnia")).unwrap(),
        expect!["a/seed-5.hafnia is missing: its record names it"],
    );
    check_refused(
        |folder| fs::write(folder.join("a/seed-6.hafnia"), "").unwrap(),
        expect![[
            "a/seed-6.hafnia is in no record: remove it, or make the record with `cargo xtask record`"
        ]],
    );
    check_refused(
        |folder| fs::rename(folder.join("a"), folder.join("c")).unwrap(),
        expect![["c/record.json: it is of recipe `a`; make it again with `cargo xtask record`"]],
    );
    check_refused(
        |folder| edit(folder, "\"runs\"", "\"run\""),
        expect!["a/record.json is not a record: make it again with `cargo xtask record`"],
    );
    check_refused(
        |folder| edit(folder, "\"seed\": 5", "\"seed\": 1"),
        expect![[
            "a/record.json: its runs must have seeds that ascend; make it again with `cargo xtask record`"
        ]],
    );
    check_refused(
        |folder| edit(folder, "0.1012", "0.2012"),
        expect![[
            "a/record.json: seed 2 has accuracy 0.2012 at 1012 of 10000, 1003 with ties wrong; make it again with `cargo xtask record`"
        ]],
    );
}

#[test]
fn a_network_that_is_not_the_recorded_one_is_refused() {
    let folder = place();
    fs::copy(folder.path().join("a/seed-2.hafnia"), folder.path().join("a/seed-5.hafnia")).unwrap();
    let zoo = Zoo::open(&folder).unwrap();
    zoo.get("a/2").unwrap().network().unwrap();
    let error = zoo.get("a/5").unwrap().network().unwrap_err().to_string();
    assert!(error.starts_with("a/seed-5.hafnia holds network "), "{error}");
}
