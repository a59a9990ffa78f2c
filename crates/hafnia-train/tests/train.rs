//! Whole runs on a handful of images: what a run promises, kept by runs that end in seconds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use expect_test::expect;
use hafnia_data::{Dataset, Samples, Split, SplitDataset};
use hafnia_model::Shape;
use hafnia_rng::{ChaCha8Rng, Seed};
use hafnia_train::{
    Augmentation, CheckpointFolder, Event, LayerConfig, Loss, Noise, Optimiser, Teacher, Tie,
    TrainConfig, TrainError, TrainReport, train,
};
use proptest::prelude::*;
use rand::RngExt;

/// The first of the committed subset's training images.
fn dataset(images: usize) -> Dataset {
    SplitDataset::mnist_subset().train.first(images)
}

fn split(train: usize, validation: usize) -> Split {
    Split { train: (0..train).collect(), validation: (train..train + validation).collect() }
}

/// Two epochs of two steps; the first epoch is augmented, the last step of each is short.
fn config() -> TrainConfig {
    let mut layer = LayerConfig::lenet5();
    layer[4].patterns = Some(12);
    TrainConfig {
        epochs: 2,
        batch: 33,
        layer,
        augmentation: Some(Augmentation {
            rotation_degrees: 5.0,
            scale: 0.05,
            shear: 0.06,
            shift_pixels: 0.9,
            elastic_pixels: 1.0,
            last_epochs_clean: 1,
        }),
        ..TrainConfig::default()
    }
}

/// Everything at once that keeps a state or draws: a teacher, running means, learned thresholds,
/// learned cuts, ties that are learned, errors, a layer that freezes.
fn rich_config() -> TrainConfig {
    let mut config = TrainConfig { epochs: 4, ..config() };
    for layer in &mut config.layer[..4] {
        layer.learned_thresholds = true;
    }
    config.layer[0].frozen_from = Some(3);
    config.input.learned = true;
    (config.layer[3].patterns, config.layer[3].tie) = (Some(40), Tie::Learned);
    config.optimiser = Optimiser::Adam { learning_rate: 9e-3, average: 0.9 };
    config.teacher =
        Some(Teacher { epochs: 1, learning_rate: 2e-3, width: 1, weight: 0.5, temperature: 2.0 });
    config.noise = Some(Noise {
        macro_name: "gt-n40".into(),
        sigma_lrs: 0.15,
        adc_offset_lsb: 0.1,
        strength: 1.0,
        from_epoch: 2,
    });
    config
}

/// The rule of integers.
fn integer_config() -> TrainConfig {
    TrainConfig {
        loss: Loss::PowersOfTwo,
        optimiser: Optimiser::Integer {
            learning_rate: 8.0,
            halvings: [2, 2, 3],
            error_bits: 8,
            gradient_bits: 8,
            average_shift: 3,
        },
        layer: rich_config().layer,
        ..config()
    }
}

/// Two branches and their sum, averages, whole weights, wide activations; a teacher of the same.
fn graph_config() -> TrainConfig {
    let layer = |name: &str, outputs| LayerConfig {
        name: name.into(),
        outputs,
        weight_bits: 2,
        zero_weights: true,
        activation_bits: Some(3),
        learned_thresholds: true,
        ..LayerConfig::lenet5()[2].clone()
    };
    let conv = |name, outputs| LayerConfig { kernel: Some(3), padding: 1, ..layer(name, outputs) };
    let average = |name: &str, average, activation_bits| LayerConfig {
        name: name.into(),
        outputs: 0,
        average: Some(average),
        activation_bits,
        ..LayerConfig::lenet5()[2].clone()
    };
    let layer = vec![
        LayerConfig { pool: 2, ..conv("stem", 4) },
        conv("a", 4),
        LayerConfig { adds: Some("stem".into()), ..conv("b", 4) },
        LayerConfig {
            kernel: Some(1),
            stride: 2,
            activation_bits: None,
            learned_thresholds: false,
            ..layer("short", 6)
        },
        LayerConfig { from: Some("b".into()), stride: 2, ..conv("c", 6) },
        LayerConfig { adds: Some("short".into()), ..conv("d", 6) },
        LayerConfig { from: Some("stem".into()), stride: 2, ..conv("e", 6) },
        LayerConfig { adds: Some("d".into()), activation_bits: Some(2), ..conv("f", 6) },
        average("mean", 0, None),
        LayerConfig { activation_bits: Some(8), ..layer("fc", 9) },
        LayerConfig { activation_bits: None, learned_thresholds: false, ..layer("out", 10) },
    ];
    TrainConfig { layer, teacher: rich_config().teacher, ..config() }
}

fn kept(folder: &Path) -> CheckpointFolder<'_> {
    CheckpointFolder { folder, program: "0.1.0" }
}

fn run(config: &TrainConfig, checkpoint: Option<&Path>) -> TrainReport {
    train(config, &dataset(46), &split(40, 6), checkpoint.map(kept), &mut |_| ())
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
    for config in [config(), rich_config(), integer_config(), graph_config()] {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            timeless(pool.install(|| run(&config, None)))
        };
        assert_eq!(with(1), with(3));
    }
}

/// What is new in recipes changes nothing of what old ones give.
#[test]
fn networks_stay_what_they_were() {
    let digests = [config(), rich_config(), integer_config()]
        .map(|config| run(&config, None).network.digest().to_string());
    expect![[r#"
        cf9969ad0bc515ef42afd965fe9a563e9a479e8f5e91db2ce819d952f18823ef
        e2eae3f2488060b811d8d62410b4551dd819bb170916179dd83936c90750eade
        5a23971f8456fba2bad22c01e686bf8136446d684b126c7fe4f416b02eabba4a"#]]
    .assert_eq(&digests.join("\n"));
}

#[test]
fn the_seed_changes_everything() {
    let run = |seed| run(&TrainConfig { seed, epochs: 1, augmentation: None, ..config() }, None);
    assert_ne!(run(1).network, run(2).network);
}

#[test]
fn an_interrupted_run_ends_where_an_uninterrupted_one_does() {
    let (dataset, split) = (dataset(46), split(40, 6));
    let resume = |config: &TrainConfig, dataset: &Dataset, folder: &Path| {
        let mut events = Vec::new();
        let mut keep = |event: &Event| events.push(event.clone());
        let report = train(config, dataset, &split, Some(kept(folder)), &mut keep);
        (report, events)
    };
    for config in [config(), rich_config(), integer_config(), graph_config()] {
        let folder = tempfile::tempdir().unwrap();
        let last = config.epochs;
        let interrupted = catch_unwind(AssertUnwindSafe(|| {
            train(&config, &dataset, &split, Some(kept(folder.path())), &mut |event| {
                if matches!(event, Event::Step { epoch, step: 2, .. } if *epoch == last) {
                    std::panic::resume_unwind(Box::new("killed"));
                }
            })
        }));
        assert!(interrupted.is_err());
        let (report, events) = resume(&config, &dataset, folder.path());
        assert_eq!(events[0], Event::Started { epochs_done: last - 1, epochs: last });
        assert!(matches!(events[1], Event::Step { step: 1, steps: 2, .. }));
        assert_eq!(timeless(report.unwrap()), timeless(run(&config, None)));
    }

    let folder = tempfile::tempdir().unwrap();
    let report = run(&config(), Some(folder.path()));
    let resume = |config: &TrainConfig, dataset: &Dataset| resume(config, dataset, folder.path());
    // A completed run is not run again.
    let (again, events) = resume(&config(), &dataset);
    assert_eq!(again.unwrap(), report);
    assert_eq!(events, [Event::Started { epochs_done: 2, epochs: 2 }]);

    // The state of another run is not taken.
    let path = folder.path().join("checkpoint.hafnia");
    let refused = |result: Result<TrainReport, TrainError>, differs| {
        let expected = format!(
            "{} is the checkpoint of a run {differs}: go on with that, or remove it to start over",
            path.display()
        );
        assert_eq!(result.unwrap_err().to_string(), expected);
    };
    refused(resume(&TrainConfig { seed: 2, ..config() }, &dataset).0, "with another recipe");
    let mut other = dataset.clone();
    let Samples::U8(pixels) = &mut other.images else { panic!("pixels") };
    pixels[0] ^= 1;
    refused(resume(&config(), &other).0, "on other images");
    let kept = CheckpointFolder { folder: folder.path(), program: "0.2.0" };
    let newer = train(&config(), &dataset, &split, Some(kept), &mut |_| ());
    refused(newer, "by hafnia 0.1.0, this is 0.2.0");
}

/// What the macro of the noise inherits may change, but not within a run.
#[test]
fn a_checkpoint_is_of_one_macro() {
    let folder = tempfile::tempdir().unwrap();
    let write = |ratio: f64| {
        let source = "source = \"assumed: a test\"";
        let text = format!(
            "inherits = \"gt-n40\"\n[cell]\non_off_ratio = {{ value = {ratio:?}, {source} }}"
        );
        std::fs::write(folder.path().join("base.toml"), text).unwrap();
    };
    let own = folder.path().join("own.toml");
    std::fs::write(&own, "inherits = \"base.toml\"").unwrap();
    let noise = Noise {
        macro_name: own.display().to_string(),
        sigma_lrs: 0.2,
        adc_offset_lsb: 0.1,
        strength: 1.0,
        from_epoch: 1,
    };
    let config = TrainConfig { epochs: 1, augmentation: None, noise: Some(noise), ..config() };
    let run =
        || train(&config, &dataset(46), &split(40, 6), Some(kept(folder.path())), &mut |_| ());
    write(9.0);
    run().unwrap();
    write(f64::INFINITY);
    assert_eq!(
        run().unwrap_err().to_string(),
        format!(
            "{} is the checkpoint of a run with another macro of [noise]: go on with that, or remove \
             it to start over",
            folder.path().join("checkpoint.hafnia").display()
        )
    );
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

    let integer = TrainConfig { epochs: 4, batch: 20, augmentation: None, ..integer_config() };
    let losses: Vec<f64> = run(&integer, None).epochs.iter().map(|epoch| epoch.loss).collect();
    assert!(losses[3] < losses[0], "{losses:?}");
}

#[test]
fn the_network_is_that_of_the_best_epoch() {
    let config = TrainConfig { epochs: 6, batch: 20, ..TrainConfig::default() };
    let report = run(&config, None);
    let accuracy = |epoch: usize| report.epochs[epoch - 1].validation_accuracy;
    let best = (1..=6).map(accuracy).fold(0.0, f64::max);
    assert_eq!(accuracy(report.best_epoch), best);
    assert!((report.best_epoch + 1..=6).all(|later| accuracy(later) < best));
    // The network is indeed that of the epoch: it has as many validation images right.
    let dataset = dataset(46);
    let mut reference = hafnia_model::ReferenceProduct::new(&report.network);
    let right = (40..46).filter(|&image| {
        let reduced: Vec<u8> = dataset.image(image).iter().map(|pixel| pixel >> 6).collect();
        let outputs = hafnia_model::run(&report.network, &reduced, &mut reference);
        hafnia_model::arithmetic::argmax(&outputs) == dataset.labels().unwrap()[image] as usize
    });
    assert_eq!(right.count() as f64 / 6.0, best);
}

/// Another shape of images, of network, of weights and activations; its report says what it is.
#[test]
fn other_shapes_are_trained() {
    let small = Dataset {
        name: "halves".into(),
        shape: [1, 12, 10],
        images: Samples::U8(
            (0..20 * 120).map(|i| if i / 120 % 2 == i % 10 / 5 { 200 } else { 10 }).collect(),
        ),
        labels: Some((0..20).map(|i| i % 2).collect()),
        targets: None,
    };
    let config = TrainConfig::from_toml(
        "epochs = 8\nbatch = 4\n[input]\ncuts = [3, 9, 27, 81]\n\
         [[layer]]\nname = 'a'\noutputs = 3\nkernel = 3\npadding = 1\nactivation_bits = 4\n\
         [[layer]]\nname = 'b'\noutputs = 5\nkernel = 3\npool = 2\nweight_bits = 2\n\
         activation_bits = 1\nlearned_thresholds = true\n\
         [[layer]]\nname = 'c'\noutputs = 2\n",
    )
    .unwrap();
    let split = Split { train: (0..16).collect(), validation: (16..20).collect() };
    let report = train(&config, &small, &split, None, &mut |_| ()).unwrap();
    let bits: Vec<u8> = report.network.matrices().iter().map(|m| m.weights.bits()).collect();
    assert_eq!(bits, [1, 2, 1]);
    assert_eq!(report.network.classes(), 2);
    assert_eq!(report.epochs[report.best_epoch - 1].validation_accuracy, 1.0);
}

/// A recipe of all that layers can be, and the shape of its images.
fn random_recipe(seed: u64) -> (TrainConfig, [usize; 3]) {
    let mut rng = Seed(seed).site("test/recipes").rng();
    let image = [1..4, 5..10, 5..10].map(|range| rng.random_range(range));
    let has_noise = rng.random_ratio(1, 5);
    let mut layers: Vec<LayerConfig> = Vec::new();
    let mut shape = image;
    let mut number = 0;
    let mut any = |rng: &mut ChaCha8Rng, outputs| {
        let all = [(1, false), (2, false), (2, true), (3, true), (4, true)];
        let (weight_bits, zero_weights) =
            if has_noise { all[0] } else { all[rng.random_range(0..5)] };
        number += 1;
        LayerConfig {
            name: format!("layer{number}"),
            outputs,
            weight_bits,
            zero_weights,
            activation_bits: Some(rng.random_range(1..9)),
            learned_thresholds: rng.random(),
            ..LayerConfig::lenet5()[2].clone()
        }
    };
    let sums = |layer| LayerConfig { activation_bits: None, learned_thresholds: false, ..layer };
    for _ in 0..rng.random_range(1..4) {
        let [channels, height, width] = shape;
        let outputs = rng.random_range(1..6);
        match rng.random_range(0..3) {
            0 => {
                let kernel = rng.random_range(1..4).min(height).min(width);
                let (padding, stride) = (rng.random_range(0..kernel), rng.random_range(1..4));
                let after = |side: usize| (side + 2 * padding - kernel) / stride + 1;
                let pool = (1..4).rev().find(|pool| {
                    after(height).is_multiple_of(*pool) && after(width).is_multiple_of(*pool)
                });
                let pool = pool.unwrap_or(1);
                let kernel = Some(kernel);
                layers.push(LayerConfig {
                    kernel,
                    padding,
                    stride,
                    pool,
                    ..any(&mut rng, outputs)
                });
                shape = [outputs, after(height) / pool, after(width) / pool];
            }
            1 => {
                // What is averaged without thresholds goes on as sums up to 255.
                let sides: Vec<usize> = (1..10)
                    .filter(|side| height.is_multiple_of(*side) && width.is_multiple_of(*side))
                    .collect();
                let side = sides[rng.random_range(0..sides.len())];
                let layer = any(&mut rng, 0);
                let (weight_bits, zero_weights) = (1, false);
                layers.push(LayerConfig {
                    average: Some(side),
                    weight_bits,
                    zero_weights,
                    ..layer
                });
                shape = [channels, height / side, width / side];
            }
            _ => {
                let stem = any(&mut rng, outputs);
                let same = |layer| LayerConfig { kernel: Some(3), padding: 1, ..layer };
                layers.push(same(stem.clone()));
                let from = Some(stem.name);
                let stride = rng.random_range(1..3);
                let adds = if stride == 2 || rng.random() {
                    let short = LayerConfig {
                        kernel: Some(1),
                        stride,
                        from: from.clone(),
                        ..any(&mut rng, outputs)
                    };
                    layers.push(if rng.random() { short } else { sums(short) });
                    layers.last().map(|short| short.name.clone())
                } else {
                    from.clone()
                };
                let stride = LayerConfig { stride, from, ..same(any(&mut rng, outputs)) };
                layers.push(stride.clone());
                layers.push(LayerConfig { adds, ..same(any(&mut rng, outputs)) });
                let half = |side: usize| (side - 1) / stride.stride + 1;
                shape = [outputs, half(height), half(width)];
            }
        }
    }
    if rng.random() && layers.last().and_then(|layer| layer.activation_bits).is_some_and(|b| b < 4)
    {
        let bare = LayerConfig { activation_bits: None, weight_bits: 1, ..any(&mut rng, 0) };
        let of = LayerConfig { average: Some(0), zero_weights: false, ..sums(bare) };
        if shape[1] * shape[2] <= 255 / 7 {
            layers.push(of);
        }
    }
    let first = any(&mut rng, 4);
    layers.push(LayerConfig { activation_bits: Some(2), ..first.clone() });
    layers.push(LayerConfig { adds: Some(first.name), ..any(&mut rng, 4) });
    layers.push(sums(any(&mut rng, 3)));
    let base = if rng.random() { integer_config() } else { rich_config() };
    let noise = rich_config().noise.filter(|_| has_noise);
    let augmentation = config().augmentation.filter(|_| rng.random());
    let teacher = rich_config().teacher.filter(|_| rng.random_ratio(1, 4));
    (TrainConfig { epochs: 2, layer: layers, noise, augmentation, teacher, ..base }, image)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A training ends with the comparison of trainer and reference on all images: it is an error if
    /// they differ.
    #[test]
    fn networks_of_all_recipes_are_what_was_trained(seed: u64) {
        let (config, shape) = random_recipe(seed);
        let mut rng = Seed(seed).site("test/recipes/images").rng();
        let length = 20 * shape.iter().product::<usize>();
        let images = Dataset {
            name: "random".into(),
            shape,
            images: Samples::U8((0..length).map(|_| rng.random()).collect()),
            labels: Some((0..20).map(|image| image % 3).collect()),
            targets: None,
        };
        let report = train(&config, &images, &split(15, 5), None, &mut |_| ()).unwrap();
        let [channels, height, width] = shape;
        prop_assert_eq!(report.network.input().shape(), Shape { channels, height, width });
        prop_assert_eq!(report.network.classes(), 3);
    }
}

#[test]
fn tied_rows_are_equal() {
    let report = run(&TrainConfig { epochs: 1, augmentation: None, ..config() }, None);
    let matrices = report.network.matrices();
    let last = matrices[4].weights.as_binary().unwrap();
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
        |dataset, _| dataset.shape = [1, 14, 28],
        "layer `conv2` gets 7x14 pixels, which its kernel of 5, padding of 0 and pool of 2 do not \
         divide",
    );
    check(
        |dataset, _| dataset.labels = Some(vec![0, 10, 1]),
        "data set `mnist-subset/train` has label 10 at image 1, the network tells classes 0..=9 apart",
    );
    check(|dataset, _| dataset.labels = None, "data set `mnist-subset/train` has no labels");
    check(
        |dataset, _| dataset.images = Samples::F32(vec![0.0; 3 * 784]),
        "data set `mnist-subset/train` has images of float32, training takes uint8",
    );
    check(
        |_, split| split.train[0] = 3,
        "the split names image 3, data set `mnist-subset/train` has 3",
    );
    check(
        |_, split| split.validation.clear(),
        "data set `mnist-subset/validation` has no images, at least 1 is needed",
    );
}

#[test]
fn the_recipes_of_the_tree_are_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        TrainConfig::from_toml(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        count += 1;
    }
    assert!(count >= 2);
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
