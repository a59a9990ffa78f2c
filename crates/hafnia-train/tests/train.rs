//! Whole runs on a handful of images: what a run promises, kept by runs that end in seconds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use hafnia_data::{Dataset, Mnist, Split};
use hafnia_train::{Augmentation, Event, TrainConfig, TrainError, TrainReport, train};

/// The first of the committed subset's training images.
fn dataset(images: usize) -> Dataset {
    Mnist::subset().train.select(&(0..images).collect::<Vec<_>>())
}

fn split(train: usize, validation: usize) -> Split {
    Split { train: (0..train).collect(), validation: (train..train + validation).collect() }
}

/// Two epochs of two steps; the first epoch is augmented, the last step of each is short.
fn config() -> TrainConfig {
    TrainConfig {
        epochs: 2,
        batch: 33,
        final_patterns: Some(12),
        augmentation: Some(Augmentation {
            rotation_degrees: 5.0,
            scale: 0.05,
            shear: 0.06,
            shift_pixels: 0.9,
            last_epochs_clean: 1,
        }),
        ..TrainConfig::default()
    }
}

fn run(config: &TrainConfig, checkpoint: Option<&Path>) -> TrainReport {
    train(config, &dataset(46), &split(40, 6), checkpoint, &mut |_| ())
        .expect("the recipe and the images are fine")
}

/// A report without what the clock says.
fn timeless(mut report: TrainReport) -> TrainReport {
    report.images_per_second = 0.0;
    report.epochs.iter_mut().for_each(|epoch| epoch.seconds = 0.0);
    report
}

#[test]
fn threads_change_nothing() {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        timeless(pool.install(|| run(&config(), None)))
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn the_seed_changes_everything() {
    let run = |seed| run(&TrainConfig { seed, epochs: 1, augmentation: None, ..config() }, None);
    assert_ne!(run(1).network, run(2).network);
}

#[test]
fn an_interrupted_run_ends_where_an_uninterrupted_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let (dataset, split) = (dataset(46), split(40, 6));
    let interrupted = catch_unwind(AssertUnwindSafe(|| {
        train(&config(), &dataset, &split, Some(folder.path()), &mut |event| {
            if matches!(event, Event::Step { epoch: 2, step: 2, .. }) {
                std::panic::resume_unwind(Box::new("killed"));
            }
        })
    }));
    assert!(interrupted.is_err());

    let resume = |config: &TrainConfig, dataset: &Dataset| {
        let mut events = Vec::new();
        let mut keep = |event: &Event| events.push(event.clone());
        let report = train(config, dataset, &split, Some(folder.path()), &mut keep);
        (report, events)
    };
    let (report, events) = resume(&config(), &dataset);
    let report = report.unwrap();
    assert_eq!(events[0], Event::Started { epochs_done: 1, epochs: 2 });
    assert!(matches!(events[1], Event::Step { epoch: 2, step: 1, steps: 2, .. }));
    assert_eq!(timeless(report.clone()), timeless(run(&config(), None)));

    // A completed run is not run again.
    let (again, events) = resume(&config(), &dataset);
    assert_eq!(again.unwrap(), report);
    assert_eq!(events, [Event::Started { epochs_done: 2, epochs: 2 }]);

    // The state of another run is not taken.
    let path = folder.path().join("checkpoint.hafnia");
    let refused = |result: Result<TrainReport, TrainError>, differs| {
        let expected = format!(
            "{} is the checkpoint of another run ({differs} differ): remove it to start over",
            path.display()
        );
        assert_eq!(result.unwrap_err().to_string(), expected);
    };
    refused(resume(&TrainConfig { seed: 2, ..config() }, &dataset).0, "the recipes");
    let mut other = dataset.clone();
    other.images[0] ^= 1;
    refused(resume(&config(), &other).0, "the images");
}

#[test]
fn what_is_there_to_see_is_learned() {
    let config = TrainConfig { epochs: 4, batch: 20, ..TrainConfig::default() };
    let report = run(&config, None);
    let losses: Vec<f64> = report.epochs.iter().map(|epoch| epoch.loss).collect();
    // An even guess among 10 classes costs ln 10.
    assert!(losses[3] < losses[0].min(10.0f64.ln()), "{losses:?}");
    let rates: Vec<f64> = report.epochs.iter().map(|epoch| epoch.learning_rate).collect();
    assert!(rates.is_sorted_by(|a, b| a > b) && rates[3] > 0.0, "{rates:?}");
}

#[test]
fn tied_rows_are_equal() {
    let report = run(&TrainConfig { epochs: 1, augmentation: None, ..config() }, None);
    let matrices = report.network.matrices();
    let last = matrices[4].weights;
    assert!((12..84).all(|row| last.row(row) == last.row(row - 12)));
}

#[test]
fn images_that_do_not_fit_are_refused() {
    let check = |change: fn(&mut Dataset, &mut Split), expected: &str| {
        let (mut dataset, mut split) = (dataset(3), split(2, 1));
        change(&mut dataset, &mut split);
        let error = train(&config(), &dataset, &split, None, &mut |_| ()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        |dataset, _| dataset.rows = 14,
        "images of data set `mnist-subset/train` are 14x28 pixels, LeNet-5 takes 28x28",
    );
    check(|dataset, _| dataset.labels[1] = 10, "image 1 has label 10, it must lie in 0..=9");
    check(
        |_, split| split.train[0] = 3,
        "the split names image 3, data set `mnist-subset/train` has 3",
    );
    check(
        |_, split| split.validation.clear(),
        "the split has no validation images, at least 1 is needed",
    );
}

#[test]
fn the_recipes_of_the_tree_are_valid() {
    for (recipe, is_tied) in [
        (include_str!("../../../recipes/lenet5.toml"), false),
        (include_str!("../../../recipes/lenet5-tied.toml"), true),
    ] {
        let config = TrainConfig::from_toml(recipe).unwrap();
        assert_eq!(config.final_patterns.is_some(), is_tied);
    }
}

/// The two backends agree in the forward pass exactly, and in the loss to rounding.
#[cfg(feature = "ndarray")]
#[test]
fn backends_agree() {
    use hafnia_train::Backend;

    let losses = |backend| {
        let config = TrainConfig { epochs: 1, batch: 20, augmentation: None, backend, ..config() };
        let mut losses = Vec::new();
        train(&config, &dataset(46), &split(40, 6), None, &mut |event| {
            if let Event::Step { loss, .. } = event {
                losses.push(*loss);
            }
        })
        .unwrap();
        losses
    };
    let (flex, ndarray) = (losses(Backend::Flex), losses(Backend::Ndarray));
    assert_eq!(flex.len(), 2);
    for (flex, ndarray) in flex.iter().zip(&ndarray) {
        // The logits are equal integers as long as no latent weight changes sign, and those differ
        // by some 1e-7 in ±0.6: 61 470 of them have a chance of 1 % to fall on the two sides of 0,
        // and the seed is fixed. An image's loss is the difference of two numbers below 2^6, each
        // the result of some 16 operations rounded to 2^-24.
        let bound = 64.0 * 16.0 / f64::from(1 << 24);
        assert!((flex - ndarray).abs() <= bound, "{flex} and {ndarray} are not within {bound}");
    }
}
