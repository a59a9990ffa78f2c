//! Images per second of every engine on LeNet-5, by every set of kernels: `engine/case/kernels`.
//!
//! A recorded network on images of the committed subset; all terms of noise of the preset `gt-n40`
//! are on, in all matrices or in the last one only; rows are in order, and in one case equal ones are
//! shared. Throughput is per second that one thread was on a
//! processor, so that other work on the machine moves it little.

mod lenet5;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hafnia_cim::MacroSpec;
use hafnia_rng::Seed;
use hafnia_sim::{EngineKind, Evaluation, Kernels, Nearness, NoiseScope, Programmed, Reference};
use hafnia_simd::Isa;
use hafnia_stats::{Bootstrap, reduction};
use lenet5::{check, images, mapped, recorded};

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
                    bencher.iter_custom(|iterations| {
                        one_thread.install(|| {
                            let before = thread_time(started);
                            (0..iterations).for_each(|_| run());
                            thread_time(started) - before
                        })
                    });
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

criterion_group!(benches, engines, bootstrap);
criterion_main!(benches);
