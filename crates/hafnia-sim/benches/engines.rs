//! Images per second of every engine on LeNet-5, by every set of kernels: `engine/case/kernels`.
//!
//! A recorded network on images of the committed subset; all terms of noise of the preset `gt-n40`
//! are on, in all matrices or in the last one only; rows are in order, and in one case equal ones are
//! shared. Throughput is per second that one thread was on a
//! processor, so that other work on the machine moves it little.
//!
//! `kinds/KIND/ENGINE/KERNELS` are networks with random weights of other kinds, or on other macros: a
//! signal (M5), images of 96×96, weights of 4 bits in cells of 2, and conversions of 128 rows in 8 bits.

mod lenet5;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hafnia_cim::MacroSpec;
use hafnia_model::{Network, random, shapes};
use hafnia_rng::Seed;
use hafnia_sim::{
    EngineKind, Evaluation, Images, Kernels, Nearness, NoiseScope, Programmed, Reference,
};
use hafnia_simd::Isa;
use hafnia_stats::{Bootstrap, reduction};
use lenet5::{check, images, mapped, recorded};
use rayon::ThreadPool;

/// The time the calling thread was on a processor, where the system tells, else the time.
fn thread_time(started: Instant) -> Duration {
    let on_processor = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    };
    on_processor().unwrap_or_else(|| started.elapsed())
}

fn engines(criterion: &mut Criterion) {
    let spec = MacroSpec::preset("gt-n40").expect("a preset");
    let network = recorded();
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    let started = Instant::now();
    let cases = [
        ("all-layers", NoiseScope::All, false),
        ("shared-rows", NoiseScope::All, true),
        ("final-layer", NoiseScope::Final, false),
    ];
    let vectors = Isa::all().into_iter().map(Kernels::Vectors);
    let kernels: Vec<Kernels> = std::iter::once(Kernels::Scalar).chain(vectors).collect();
    for (case, scope, is_shared) in cases {
        let mapping = mapped(&network, &spec, is_shared);
        for &kernels in &kernels {
            let (isa, count) = match kernels {
                Kernels::Scalar => ("scalar".to_owned(), 256),
                Kernels::Vectors(isa) => (isa.to_string(), 2_048),
            };
            let images = images(&network, count);
            let reference = Reference::with_kernels(&network, &images, kernels).expect("it fits");
            let programmed = Programmed::new(&reference, &mapping, &spec, &scope).expect("it fits");
            for engine in EngineKind::ALL {
                let run = || {
                    let engines = black_box(engine).try_into().expect("built in");
                    let evaluation = programmed.run(0..1, Seed(3)).on(&engines);
                    check(&evaluation.expect("it fits"), &scope);
                };
                let mut group = criterion.benchmark_group(engine.to_string());
                group.throughput(Throughput::Elements(count as u64)).sample_size(10);
                group.bench_function(format!("{case}/{isa}"), |bencher| {
                    bencher.iter_custom(|iterations| timed(&one_thread, started, iterations, run));
                });
                group.finish();
            }
        }
    }
}

/// Calls `run` so often, on one thread; the time it was on a processor.
fn timed(pool: &ThreadPool, started: Instant, iterations: u64, run: impl Fn() + Sync) -> Duration {
    pool.install(|| {
        let before = thread_time(started);
        (0..iterations).for_each(|_| run());
        thread_time(started) - before
    })
}

fn kinds(criterion: &mut Criterion) {
    let macro_of = |name, rows, bits| {
        let preset = MacroSpec::preset(name).expect("a preset");
        let mut spec = MacroSpec { columns: 1_024, rows_per_conversion: rows, ..preset };
        spec.adc.bits = bits;
        spec
    };
    // And how many images are run conversion by conversion, of which vectors take 32 times as many.
    let kinds: [(&str, Network, MacroSpec, u64); 4] = [
        ("m5", shapes::m5(Seed(1)), macro_of("gt-n40", 7, 3), 1),
        ("lenet5-96x96", random::lenet5_of(Seed(1), 96), macro_of("gt-n40", 7, 3), 4),
        ("lenet5-int4-cells-of-2", shapes::lenet5_int4(Seed(1)), macro_of("gt-n40-mlc", 2, 3), 32),
        ("lenet5-128-rows-8-bits", random::lenet5(Seed(1)), macro_of("gt-n40", 128, 8), 32),
    ];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    let started = Instant::now();
    for (kind, network, spec, few) in kinds {
        let mapping = mapped(&network, &spec, false);
        for (kernels, count) in [(Kernels::Scalar, few), (Kernels::default(), 32 * few)] {
            let image = |index| random::image(Seed(index), network.input());
            let activations = (0..count).flat_map(image).collect();
            let images = Images { activations, labels: vec![0; count as usize] };
            let reference = Reference::with_kernels(&network, &images, kernels).expect("it fits");
            let programmed =
                Programmed::new(&reference, &mapping, &spec, &NoiseScope::All).expect("it fits");
            for engine in EngineKind::ALL {
                let engines = engine.try_into().expect("built in");
                let run = || {
                    programmed.run(0..1, Seed(3)).on(black_box(&engines)).expect("it fits");
                };
                // Of levels there is no table, and a large one takes longer than what it is for.
                let has_table = spec.check_table().is_ok() && spec.adc.bits < 8;
                if engine == EngineKind::Table && !has_table {
                    continue;
                }
                let name = match kernels {
                    Kernels::Scalar => "scalar".to_owned(),
                    Kernels::Vectors(isa) => isa.to_string(),
                };
                let mut group = criterion.benchmark_group(format!("kinds/{kind}/{engine}"));
                group.throughput(Throughput::Elements(count)).sample_size(10);
                group.bench_function(name, |bencher| {
                    bencher.iter_custom(|iterations| timed(&pool, started, iterations, run));
                });
                group.finish();
            }
        }
    }
}

fn bootstrap(criterion: &mut Criterion) {
    let images = 10_000u32;
    let chip = |chip: u32| {
        (0..images).filter(|image| (image * 7919 + chip * 31).is_multiple_of(97)).collect()
    };
    let evaluation = |first: u32| Evaluation {
        engine: EngineKind::Device,
        exact_correct: vec![true; images as usize],
        differences: (first..first + 50).map(chip).collect(),
        events: Vec::new(),
        nearness: Nearness::default(),
        is_lossy: false,
        chips_differ: true,
    };
    let (natural, other) = (evaluation(0), evaluation(7));
    let bootstrap = Bootstrap { replicates: 2_000, seed: Seed(1) };
    criterion.benchmark_group("statistics").sample_size(10).bench_function(
        "reduction/50-chips-10000-images-2000-replicates",
        |bencher| {
            bencher.iter(|| {
                let reduction =
                    reduction(black_box(&natural).outcomes(), other.outcomes(), bootstrap)
                        .expect("paired");
                assert!(reduction.rel.value.abs() < 0.1, "{reduction:?}");
            });
        },
    );
}

criterion_group!(benches, engines, kinds, bootstrap);
criterion_main!(benches);
