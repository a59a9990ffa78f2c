//! Evaluations and profiles: against an obvious loop, over threads, and what is refused.

use std::sync::atomic::{AtomicU64, Ordering};

use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{Mapping, Stage, random as random_mapping};
use hafnia_model::arithmetic::{argmax, window};
use hafnia_model::random::{self, Limits};
use hafnia_model::{
    BitMatrix, Conv, Input, Layer, Linear, Network, ReferenceProduct, Thresholds, Weights, Window,
    activations_before, run,
};
use hafnia_rng::Seed;
use hafnia_sim::{
    Chip, Conversion, Device, Engine, EngineKind, Engines, Evaluation, Events, Exact, ImageSource,
    Images, Kernels, Mapped, NoiseScope, Plan, ProfileOptions, Programmed, Reference, SimError,
    Table,
};
use rand::RngExt;

fn spec() -> MacroSpec {
    let preset = MacroSpec::preset("gt-n40").expect("a preset");
    let mut spec = MacroSpec { rows: 24, columns: 12, ..preset };
    spec.cell.sigma_lrs_rel = 0.3;
    spec.adc.offset_lsb = 0.3;
    spec
}

/// A convolution and two linear layers whose activations neither vanish nor saturate.
fn network() -> Network {
    let weights = |rows, columns| {
        let rng = &mut Seed(4).index(rows as u64).rng();
        BitMatrix::from_fn(rows, columns, |_, _| rng.random()).into()
    };
    // Shifts are log2 of the spread of the sums, about √(rows · mean square of an activation).
    let thresholds = Some(Thresholds::shift(4, 2, 2));
    let conv = Conv::new("conv", Window::square(3, 1, 1), weights(9, 4), thresholds);
    let hidden = Linear {
        name: "hidden".into(),
        weights: weights(36, 20),
        thresholds: Some(Thresholds::shift(20, 2, 2)),
    };
    let last = Linear { name: "last".into(), weights: weights(20, 6), thresholds: None };
    let input = Input::upper_bits(1, 6, 6, 2);
    let layers = vec![
        Layer::Conv(conv),
        Layer::max_pool(2),
        Layer::Flatten,
        Layer::Linear(hidden),
        Layer::Linear(last),
    ];
    Network::new(input, layers).expect("they fit")
}

fn placed(network: &Network, spec: &MacroSpec) -> Mapping {
    random_mapping::mapping(Seed(5), network, &spec.into(), Stage::Placed)
}

/// Images whose labels are what the network says of two in three.
fn images(network: &Network, count: u64) -> Images {
    let mut plain = ReferenceProduct::new(network);
    let mut images = Images { activations: Vec::new(), labels: Vec::new() };
    for index in 0..count {
        let image = random::image(Seed(6).index(index), network.input());
        let answer = argmax(&run(network, &image, &mut plain));
        let label = if index % 3 == 0 { (answer + 1) % network.classes() } else { answer };
        images.activations.extend(image);
        images.labels.push(label as u32);
    }
    images
}

fn evaluate_on(engine: EngineKind, scope: &NoiseScope, chips: u32) -> Evaluation {
    let (network, spec) = (network(), spec());
    let images = images(&network, 150);
    let reference = Reference::new(&network, &images).expect("images of the network");
    let mapping = placed(&network, &spec);
    let programmed = Programmed::new(&reference, &mapping, &spec, scope).expect("it fits");
    programmed.run(0..chips, Seed(7)).on(&engine.try_into().expect("built in")).expect("it fits")
}

#[test]
fn an_evaluation_is_what_a_loop_over_images_gives() {
    let (network, spec) = (network(), spec());
    let images = images(&network, 150);
    let mapping = placed(&network, &spec);
    let plan = Plan::new(&network, &mapping, &spec).expect("it fits");
    let mut events = vec![Events::default(); 3];
    let mut differences = Vec::new();
    let (mut in_five, mut squared_error) = (vec![0; 2], vec![0.0; 2]);
    let mut plain = ReferenceProduct::new(&network);
    let mut exact_in_five = 0;
    // The class is not the last of all by size, of equals the last being the last.
    let is_in_five = |outputs: &[i32], label: u32| {
        let mut classes: Vec<usize> = (0..6).collect();
        classes.sort_by_key(|&class| -outputs[class]);
        u32::from(classes[5] != label as usize)
    };
    for number in 0..2 {
        let chip = Chip::program(&mapping, &spec, Seed(7), number as u64).expect("it is placed");
        let mut mapped = Mapped::new(&plan, Device::new(&chip, &spec, Seed(7)));
        let pixels = images.activations.chunks(images.activations.len() / 150);
        let mut of_chip = Vec::new();
        for (index, (image, &label)) in pixels.zip(&images.labels).enumerate() {
            mapped.image = index as u32;
            let outputs = run(&network, image, &mut mapped);
            let exact = run(&network, image, &mut plain);
            in_five[number] += is_in_five(&outputs, label);
            exact_in_five += if number == 0 { is_in_five(&exact, label) } else { 0 };
            for (output, exact) in outputs.iter().zip(&exact) {
                squared_error[number] += f64::from(output - exact).powi(2) / (150.0 * 6.0);
            }
            let is_correct = argmax(&outputs) == label as usize;
            if is_correct != (index % 3 != 0) {
                of_chip.push(index as u32);
            }
        }
        differences.push(of_chip);
        for (sum, &more) in events.iter_mut().zip(&mapped.events) {
            *sum += more;
        }
    }
    let evaluation = evaluate_on(EngineKind::Device, &NoiseScope::All, 2);
    assert!(differences.iter().all(|images| !images.is_empty()), "noise does something");
    assert_ne!(differences[0], differences[1]);
    assert_eq!(evaluation.differences, differences);
    assert_eq!(evaluation.events, events);
    assert_eq!(evaluation.exact_correct_count(), 100);
    assert_eq!(evaluation.nearness.in_five, in_five);
    assert_eq!(evaluation.nearness.exact_in_five, exact_in_five);
    assert!(in_five[0] < 150 && in_five[0] != in_five[1], "{in_five:?}");
    for (found, expected) in evaluation.nearness.squared_error.iter().zip(&squared_error) {
        assert!(*expected > 0.1 && (found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
    }
    let shares = f64::from(in_five[0] + in_five[1]) / 300.0;
    assert!((evaluation.top_five().value - shares).abs() < 1e-12);
    assert_eq!(evaluation.exact_top_five().value, f64::from(exact_in_five) / 150.0);
    let errors = evaluation.mean_squared_error();
    assert_eq!(errors.value, mean(&evaluation.nearness.squared_error));
    assert_eq!(evaluation.nearness.exact_squared_error, 0.0);

    // Against targets, the errors are of the outputs themselves.
    let targets: Vec<f32> = (0..150 * 6).map(|at| (at % 7) as f32 / 2.0).collect();
    let aimed = Aimed { images: &images, targets: &targets, each: 6 };
    let reference = Reference::new(&network, &aimed).expect("images of the network");
    let programmed = Programmed::new(&reference, &mapping, &spec, &NoiseScope::All);
    let towards = programmed.expect("it fits").run(0..2, Seed(7)).on(&Engines::Device);
    let towards = towards.expect("it fits");
    assert_eq!(towards.differences, evaluation.differences);
    let outputs = |product: &mut dyn FnMut(&[u8], u32) -> Vec<i32>| {
        let pixels = images.activations.chunks(images.activations.len() / 150);
        let all: Vec<i32> =
            (0..).zip(pixels).flat_map(|(index, image)| product(image, index)).collect();
        let square =
            |(&output, &target): (&i32, &f32)| (f64::from(output) - f64::from(target)).powi(2);
        all.iter().zip(&targets).map(square).sum::<f64>() / (150.0 * 6.0)
    };
    let exact = outputs(&mut |image, _| run(&network, image, &mut plain));
    let found = towards.nearness.exact_squared_error;
    assert!((found / exact - 1.0).abs() < 1e-12, "{found} {exact}");
    let chip = Chip::program(&mapping, &spec, Seed(7), 1).expect("it is placed");
    let mut mapped = Mapped::new(&plan, Device::new(&chip, &spec, Seed(7)));
    let noisy = outputs(&mut |image, index| {
        mapped.image = index;
        run(&network, image, &mut mapped)
    });
    let found = towards.nearness.squared_error[1];
    assert!((found / noisy - 1.0).abs() < 1e-12 && noisy != exact, "{found} {noisy}");
    let refused = Reference::new(&network, Aimed { each: 5, ..aimed });
    assert!(matches!(refused, Err(SimError::Targets { image: 0, found: 5, expected: 6 })));
    let right = |chip: usize| {
        let lost = differences[chip].iter().filter(|&&image| image % 3 != 0).count();
        100 - lost + (differences[chip].len() - lost)
    };
    for (chip, accuracy) in evaluation.accuracies().into_iter().enumerate() {
        assert!((accuracy - right(chip) as f64 / 150.0).abs() < 1e-12);
    }
}

/// Images with so many targets each.
#[derive(Debug)]
struct Aimed<'a> {
    images: &'a Images,
    targets: &'a [f32],
    each: usize,
}

impl ImageSource for Aimed<'_> {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn image<'a>(&'a self, index: usize, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        self.images.image(index, buffer)
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.images.label(index)
    }

    fn targets(&self, index: usize) -> Option<&[f32]> {
        Some(&self.targets[index * self.each..][..self.each])
    }
}

/// What is not kept is computed again, to the same bits.
#[test]
fn results_do_not_depend_on_what_is_kept() {
    let (network, spec) = (network(), spec());
    let images = images(&network, 150);
    let mapping = placed(&network, &spec);
    for kernels in [Kernels::default(), Kernels::Scalar] {
        for scope in [NoiseScope::All, NoiseScope::Final, NoiseScope::Matrices(vec![1])] {
            let keeping = |bytes| {
                let reference = Reference::with_kernels(&network, &images, kernels);
                let reference = reference.expect("images of the network").keeping(bytes);
                let programmed = Programmed::new(&reference, &mapping, &spec, &scope);
                let programmed = programmed.expect("it fits");
                let run = programmed.run(0..2, Seed(7));
                let errors = run.attribute(&Engines::Device, 90).expect("it fits");
                (run.on(&Engines::Device).expect("it fits"), errors)
            };
            let all = keeping(usize::MAX);
            assert!(all.0.differences.iter().all(|images| !images.is_empty()));
            // Nothing, what is of some images, and that of one less.
            for bytes in [0, 900, 20 * 70, 20 * 70 - 1] {
                assert_eq!(keeping(bytes), all, "{bytes} bytes, {scope:?}");
            }
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn without_labels_answers_are_right_that_stay() {
    let network = network();
    let labelled = images(&network, 60);
    let own = Images::labelled_by(&network, labelled.activations.clone()).expect("they fit");
    let reference = Reference::new(&network, &own).expect("images of the network");
    assert!(reference.exact_correct().iter().all(|&is_correct| is_correct));
    let agrees = labelled.labels.iter().zip(&own.labels).map(|(label, answer)| label == answer);
    assert!(agrees.enumerate().all(|(image, agrees)| agrees == (image % 3 != 0)));
    assert!(Images::labelled_by(&network, Vec::new()).is_err());
    assert!(Images::labelled_by(&network, vec![0; 37]).is_err());
}

#[test]
fn results_do_not_depend_on_threads() {
    for engine in EngineKind::ALL {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a pool").install(|| evaluate_on(engine, &NoiseScope::All, 3))
        };
        assert_eq!(on(1), on(2), "{engine:?}");
    }
}

#[test]
fn exact_is_exact() {
    let evaluation = evaluate_on(EngineKind::Exact, &NoiseScope::All, 2);
    assert_eq!(evaluation.differences, [Vec::<u32>::new(), Vec::new()]);
    assert!(!evaluation.is_lossy);
    // Nothing tells the chips apart.
    assert_eq!(evaluation.drops(), [0.0]);
}

/// Outside the scope nothing happens on the macro, and the chips of all scopes are the same.
#[test]
fn the_scope_says_what_runs_on_the_macro() {
    let all = evaluate_on(EngineKind::Device, &NoiseScope::All, 2);
    let last = evaluate_on(EngineKind::Device, &NoiseScope::Final, 2);
    assert_eq!(last, evaluate_on(EngineKind::Device, &NoiseScope::Matrices(vec![2]), 2));
    assert_eq!(last.events[..2], [Events::default(); 2]);
    assert!(last.events[2].groups > 0);
    let each = NoiseScope::Matrices(vec![2, 0, 1]);
    assert_eq!(all, evaluate_on(EngineKind::Device, &each, 2));
    // In the first matrix the same happens whether or not noise follows.
    let first = evaluate_on(EngineKind::Device, &NoiseScope::Matrices(vec![0]), 2);
    assert_eq!(first.events[0], all.events[0]);
    assert_eq!(first.events[1..], [Events::default(); 2]);
}

#[test]
fn chips_are_the_same_however_many_there_are() {
    let few = evaluate_on(EngineKind::Device, &NoiseScope::Final, 2);
    let more = evaluate_on(EngineKind::Device, &NoiseScope::Final, 4);
    assert_eq!(few.differences, more.differences[..2]);
}

#[test]
fn progress_ends_at_the_total() {
    let (network, spec) = (network(), spec());
    let images = images(&network, 70);
    let (reference, mapping) =
        (Reference::new(&network, &images).expect("fits"), placed(&network, &spec));
    let programmed =
        Programmed::new(&reference, &mapping, &spec, &NoiseScope::Final).expect("fits");
    let (most, total) = (AtomicU64::new(0), AtomicU64::new(0));
    let progress = |done: u64, of: u64| {
        most.fetch_max(done, Ordering::Relaxed);
        total.store(of, Ordering::Relaxed);
    };
    let run = programmed.run(0..3, Seed(7)).progress(&progress);
    for (engines, expected) in [(Engines::Device, 210), (Engines::Exact, 70)] {
        most.store(0, Ordering::Relaxed);
        run.on(&engines).expect("it fits");
        assert_eq!(most.load(Ordering::Relaxed), expected);
        assert_eq!(total.load(Ordering::Relaxed), expected);
        most.store(0, Ordering::Relaxed);
        run.attribute(&engines, 70).expect("it fits");
        assert_eq!(most.load(Ordering::Relaxed), expected);
    }
}

#[test]
fn chips_may_be_run_in_parts() {
    let (network, spec) = (network(), spec());
    let mapping = placed(&network, &spec);
    let some = images(&network, 70);
    let reference = Reference::new(&network, &some).expect("it fits");
    let programmed = Programmed::new(&reference, &mapping, &spec, &NoiseScope::All).expect("fits");
    for engine in EngineKind::ALL {
        let engines = engine.try_into().expect("built in");
        let run = |chips| programmed.run(chips, Seed(7)).on(&engines).expect("it fits");
        let mut parts = run(0..2);
        parts.append(run(2..5)).expect("of one thing");
        assert_eq!(parts, run(0..5));
        let other = if engine == EngineKind::Exact { Engines::Table } else { Engines::Exact };
        let other = programmed.run(0..1, Seed(7)).on(&other);
        check(parts.append(other.expect("it fits")).map(|()| parts), "different");
    }
}

/// A user's own engine is run as those that are built in.
#[test]
fn an_engine_of_a_users_own_gets_chips_images_and_attribution() {
    let (network, spec) = (network(), spec());
    let (mapping, images) = (placed(&network, &spec), images(&network, 70));
    let reference = Reference::new(&network, &images).expect("it fits");
    let programmed = Programmed::new(&reference, &mapping, &spec, &NoiseScope::All).expect("fits");
    let table = CodeTable::from_spec(&spec);
    let tiles = mapping.tiles.len();
    let make =
        |number| -> Box<dyn Engine> { Box::new(Table::new(&table, &spec, tiles, Seed(7), number)) };
    let own = Engines::Own(&make);
    let run = programmed.run(1..4, Seed(7));
    let table = run.on(&Engines::Table).expect("fits");
    assert_eq!(run.on(&own).expect("fits"), Evaluation { engine: EngineKind::Own, ..table });
    let attributed = |engines| run.attribute(engines, 20).expect("fits");
    assert_eq!(attributed(&own), attributed(&Engines::Table));
}

/// A row is dead because a threshold of the matrix before it is out of reach; codes that err reach it.
/// No cell holds the row, so that it counts nothing, wherever the matrix runs.
#[test]
fn a_dead_row_counts_nothing_even_if_noise_turns_it_on() {
    struct Erring;
    impl Engine for Erring {
        fn convert(&self, conversion: &Conversion<'_>, codes: &mut [u16]) {
            match conversion.tile.index() {
                0 => codes.fill(63),
                _ => codes.copy_from_slice(conversion.ones),
            }
        }
    }

    let spec = spec();
    let ones = |rows, columns| BitMatrix::from_fn(rows, columns, |_, _| true).into();
    let hidden = Linear {
        name: "hidden".into(),
        weights: ones(4, 2),
        // Four activations of up to 3 add up to 12; the codes to 2 · 189 − 12.
        thresholds: Some(Thresholds::new(3, vec![1, 999, 999, 13, 13, 13])),
    };
    // Activation 0 speaks for class 0, and the dead one, which is then larger, for class 1.
    let weights = BitMatrix::from_fn(2, 2, |row, column| row == column);
    let last = Linear { name: "last".into(), weights: weights.into(), thresholds: None };
    let layers = vec![Layer::Linear(hidden), Layer::Linear(last)];
    let network = Network::new(Input::upper_bits(4, 1, 1, 2), layers).expect("they fit");
    let mut mapping = Mapping::logical(&network, &spec);
    mapping.tiles[1] = mapping.tiles[1].with_entries(&[0]);
    mapping.matrices[1].dead = vec![1];
    let images = Images { activations: vec![3; 4], labels: vec![0] };

    let make = |_| -> Box<dyn Engine> { Box::new(Erring) };
    let reference = Reference::new(&network, &images).expect("it fits");
    for scope in [NoiseScope::All, NoiseScope::Matrices(vec![0])] {
        let programmed = Programmed::new(&reference, &mapping, &spec, &scope).expect("fits");
        let evaluation = programmed.run(0..1, Seed(1)).on(&Engines::Own(&make)).expect("fits");
        assert_eq!(evaluation.accuracy().value, 1.0, "{scope:?}");
    }
}

#[test]
fn paths_say_how_every_matrix_is_computed() {
    let (network, spec) = (network(), spec());
    let (mapping, images) = (placed(&network, &spec), images(&network, 3));
    let check = |kernels: Kernels, spec: &MacroSpec, engines: Engines<'_>, expected: &str| {
        let reference = Reference::with_kernels(&network, &images, kernels).expect("fits");
        let scope = NoiseScope::Matrices(vec![1, 2]);
        let programmed = Programmed::new(&reference, &mapping, spec, &scope).expect("fits");
        let paths = programmed.paths(&engines).expect("fits");
        let said: Vec<String> = paths.iter().map(ToString::to_string).collect();
        assert_eq!(said[0], "conv: the network's own product, outside of the scope");
        assert_eq!(said[1..], ["hidden", "last"].map(|name| format!("{name}: {expected}")));
    };
    let vectors = Kernels::default();
    let own = "the network's own product, ";
    check(vectors, &spec, Engines::Exact, &format!("{own}because no code errs"));
    check(
        vectors,
        &spec.without_noise(),
        Engines::Table,
        &format!("{own}corrected where codes err"),
    );
    let in_vectors = "conversion by conversion, in vectors, because ";
    check(vectors, &spec, Engines::Device, &format!("{in_vectors}cells differ"));
    let mut lossy = spec.clone();
    lossy.adc.bits = 2;
    check(
        vectors,
        &lossy,
        Engines::Exact,
        &format!("{in_vectors}the converter clips partial sums"),
    );
    let slow = "conversion by conversion, without vectors, because ";
    check(Kernels::Scalar, &spec, Engines::Exact, &format!("{slow}that was asked for"));
    let make = |_| -> Box<dyn Engine> { Box::new(Exact { max_code: 7 }) };
    let engines = Engines::Own(&make);
    check(vectors, &spec, engines, &format!("{slow}the engine is the user's own"));
}

#[test]
fn engines_have_names() {
    for kind in EngineKind::ALL {
        assert_eq!(kind.to_string().parse::<EngineKind>().expect("its name"), kind);
    }
    let error = "spice".parse::<EngineKind>().expect_err("no name").to_string();
    assert_eq!(error, "there is no engine `spice`: it is `exact`, `table` or `device`");
    let own = Engines::try_from(EngineKind::Own).map(|engines| engines.kind());
    assert!(own.expect_err("it has no name").to_string().starts_with("there is no engine `own`"));
}

/// What is refused, by what it says.
fn check<T: std::fmt::Debug>(result: Result<T, SimError>, expected: &str) {
    let message = result.expect_err("it is refused").to_string();
    assert!(message.contains(expected), "`{message}` does not say `{expected}`");
}

#[test]
fn what_does_not_fit_is_refused() {
    let (network, spec) = (network(), spec());
    let some = images(&network, 3);
    let reference = Reference::new(&network, &some).expect("it fits");
    let mapping = placed(&network, &spec);
    let run = |mapping: &Mapping, spec: &MacroSpec, engines: Engines<'_>, chips| {
        let programmed = Programmed::new(&reference, mapping, spec, &NoiseScope::All)?;
        programmed.run(0..chips, Seed(7)).on(&engines)
    };
    let (exact, table, device) = (Engines::Exact, Engines::Table, Engines::Device);
    for engines in [exact, table, device] {
        check(run(&mapping, &spec, engines, 0), "0 chips");
    }

    let logical = Mapping::logical(&network, &spec);
    check(run(&logical, &spec, device, 1), "at `logical`");
    assert!(matches!(Chip::program(&logical, &spec, Seed(1), 0), Err(SimError::Stage { .. })));
    run(&logical, &spec, exact, 1).expect("exact needs no place");
    run(&logical, &spec, table, 1).expect("a table needs no place");

    let taller = MacroSpec { rows: 25, ..spec.clone() };
    check(run(&mapping, &taller, device, 1), "24x12 1-bit cells, `gt-n40` has 25x12 1-bit cells");
    assert!(matches!(Chip::program(&mapping, &taller, Seed(1), 0), Err(SimError::Geometry { .. })));

    let other = random::network(Seed(1_000), Limits::default());
    check(run(&placed(&other, &spec), &spec, device, 1), "the mapping is of another network");
    let mut misnamed = placed(&other, &spec);
    misnamed.network = network.digest();
    check(run(&misnamed, &spec, device, 1), "the mapping is of another network");

    let mut layers = network.layers().to_vec();
    let Some(Layer::Linear(last)) = layers.last_mut() else { panic!("it ends in a linear layer") };
    last.weights = Weights::from_fn(20, 6, |_, _| 3);
    let wide = Network::new(network.input().clone(), layers).expect("it fits");
    let mut of_wide = mapping.clone();
    of_wide.network = wide.digest();
    let of_wide_reference = Reference::new(&wide, &some).expect("it runs plainly");
    let refused = Programmed::new(&of_wide_reference, &of_wide, &spec, &NoiseScope::All);
    let refused = refused.map(|_| ()).expect_err("other weights");
    let source = std::error::Error::source(&refused).expect("what differs").to_string();
    let expected = "`last` has weight 3, for which";
    assert!(source.contains(expected), "{source}");

    let mut levels = spec.clone();
    levels.cell.bits_per_cell = 2;
    check(run(&mapping, &levels, exact, 1), "24x12 1-bit cells, `gt-n40` has 24x12 2-bit cells");
    let mut resistive = spec.clone();
    resistive.wires.bit_line_ohm = 1.0;
    check(run(&mapping, &resistive, table, 1), "not well described");

    let mut outside = mapping.clone();
    outside.tiles[0].place.as_mut().expect("it is placed").row = 24;
    check(run(&outside, &spec, device, 1), "not well formed");

    let mut wild = spec.clone();
    wild.adc.bits = 13;
    check(run(&mapping, &wild, device, 1), "not well described");

    let mut wider = spec.clone();
    wider.adc.bits = 4;
    let measured = CodeTable::from_spec(&wider);
    check(run(&mapping, &spec, Engines::Measured(&measured), 1), "not well described");
}

#[test]
fn images_that_do_not_fit_are_refused() {
    let network = network();
    let good = images(&network, 3);
    let prepare = |change: fn(&mut Images), scope| {
        let mut images = good.clone();
        change(&mut images);
        let reference = Reference::new(&network, &images)?;
        let (mapping, spec) = (placed(&network, &spec()), spec());
        Programmed::new(&reference, &mapping, &spec, &scope).map(|_| ())
    };
    let prepare =
        |change: fn(&mut Images), scope| prepare(change, scope).expect_err("it is refused");
    let drop_one = |images: &mut Images| images.activations.truncate(images.activations.len() - 1);
    let error = prepare(drop_one, NoiseScope::All);
    assert_eq!(error.to_string(), "image 0 has 35 activations, the network takes 36");
    let add_one = |images: &mut Images| images.activations.push(0);
    let error = prepare(add_one, NoiseScope::All);
    assert_eq!(error.to_string(), "image 2 has 37 activations, the network takes 36");
    let none = |images: &mut Images| *images = Images { activations: vec![], labels: vec![] };
    assert!(matches!(prepare(none, NoiseScope::All), SimError::NoImages));
    let error = prepare(|images| images.labels[1] = 200, NoiseScope::All);
    assert_eq!(error.to_string(), "image 1: the label is 200, it must lie in 0..=5");
    let error = prepare(|_| (), NoiseScope::Matrices(vec![3]));
    assert!(matches!(error, SimError::Scope { matrix: 3, matrices: 3 }), "{error}");
    let error = prepare(|_| (), NoiseScope::Matrices(vec![]));
    assert!(matches!(error, SimError::Scope { .. }), "{error}");
    let error = prepare(|images| images.activations[40] = 4, NoiseScope::All);
    assert_eq!(error.to_string(), "image 1: an activation is 4, it must lie in 0..=3");
}

#[test]
fn a_profile_holds_what_reaches_the_matrices() {
    let network = network();
    let given = images(&network, 12);
    let length = given.activations.len() / 12;
    let layers = network.matrices();
    let reference = Reference::new(&network, &given).expect("it fits");
    let take = |images, positions_per_image| {
        let options = ProfileOptions { images, positions_per_image };
        reference.profile(options, Seed(8), &|_, _| ()).expect("it fits")
    };

    let some = take(5, 2);
    let positions = layers[0].positions;
    assert_eq!(some.matrices[0].samples(), 5 * positions.min(2));
    assert_eq!([some.matrices[1].samples(), some.matrices[2].samples()], [5, 5]);
    assert_eq!((some.images, some.network), (5, network.digest()));

    // All positions of all images, in whatever order of images.
    let all = take(12, usize::MAX);
    assert_eq!(all.matrices[0].samples(), 12 * positions);
    let Layer::Conv(conv) = &network.layers()[0] else { panic!("it begins with a convolution") };
    let out = network.shape_before(1);
    let mut expected = Vec::new();
    let mut linear = Vec::new();
    for image in given.activations.chunks(length) {
        for position in 0..positions {
            let mut row = Vec::new();
            let at = (position / out.width, position % out.width);
            let shape = network.shape_before(0);
            window(&conv.window, shape, 0..shape.channels, image, at, 0, &mut row);
            expected.push(row);
        }
        let plain = &mut ReferenceProduct::new(&network);
        linear.push(activations_before(&network, layers[1].layer, image, plain));
    }
    let sorted = |mut samples: Vec<Vec<u8>>| {
        samples.sort();
        samples
    };
    let found = |matrix: usize| {
        let matrix = &all.matrices[matrix];
        sorted((0..matrix.samples()).map(|index| matrix.sample(index).to_vec()).collect())
    };
    assert_eq!(found(0), sorted(expected));
    assert_eq!(found(1), sorted(linear));

    for wanted in [0, 13] {
        let options = ProfileOptions { images: wanted, positions_per_image: 1 };
        let result = reference.profile(options, Seed(8), &|_, _| ());
        assert!(matches!(result, Err(SimError::Sample { available: 12, .. })));
    }
}

#[test]
fn a_profile_does_not_depend_on_threads() {
    let network = network();
    let given = images(&network, 12);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let options = ProfileOptions { images: 9, positions_per_image: 2 };
        let reference = Reference::new(&network, &given).expect("it fits");
        pool.install(|| reference.profile(options, Seed(8), &|_, _| ()).expect("it fits"))
    };
    assert_eq!(on(1), on(2));
}
