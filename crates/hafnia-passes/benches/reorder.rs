//! The time of a swap in annealing, of a whole search and of choosing polarities, on a tile like the
//! last of LeNet-5: 84×10, 2 bit-planes.

use std::hint::black_box;
use std::num::NonZeroU32;

use criterion::{Criterion, criterion_group, criterion_main};
use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{Mapping, MatrixProfile, Profile, Stage};
use hafnia_model::random::lenet5;
use hafnia_passes::{Context, Pass, RenameRows, ReorderRows, SetPolarity};
use hafnia_rng::Seed;
use rand::RngExt;

const SAMPLES: usize = 2000;
const STEPS: u64 = 500;

fn reorder(c: &mut Criterion) {
    let network = lenet5(Seed(1));
    let mut spec = MacroSpec::preset("gt-n40").expect("a preset");
    (spec.adc.offset_lsb, spec.cell.sigma_lrs_rel) = (0.2, 0.2);
    let mut rng = Seed(1).rng();
    // Half of the activations are 0, as in the trained network.
    let mut draw = |_| if rng.random() { rng.random_range(0..=3) } else { 0 };
    let matrices = network.matrices().into_iter().map(|layer| {
        let rows = layer.weights.rows();
        let activations = (0..SAMPLES * rows).map(&mut draw).collect();
        MatrixProfile { rows, bits: layer.input_bits, activations }
    });
    let profile =
        Profile { network: network.digest(), images: SAMPLES, matrices: matrices.collect() };
    let context = Context {
        network: &network,
        spec: &spec,
        profile: Some(&profile),
        code_table: &CodeTable::from_spec(&spec),
        seed: Seed(1),
        progress: &|_, _| {},
    };
    let mut tiled = Mapping::logical(&network, &spec);
    tiled.stage = Stage::Tiled;
    let mut renamed = tiled.clone();
    RenameRows::default().run(&mut renamed, &context).expect("any mapping");

    let anneal =
        ReorderRows { steps: STEPS, runs: NonZeroU32::MIN, held_back: 0, ..ReorderRows::default() };
    let mut group = c.benchmark_group("reorder");
    group.sample_size(10).throughput(criterion::Throughput::Elements(STEPS));
    for (case, start) in [("84x10", &tiled), ("84x10-renamed", &renamed)] {
        let run = || {
            let mut mapping = start.clone();
            let statistics = anneal.run(&mut mapping, &context).expect("it has a profile");
            (mapping, statistics)
        };
        let (first, statistics) = run();
        let line = &statistics.lines[0];
        assert!(Some(line.after) < line.before, "{line}");
        assert_eq!(run().0, first, "the same order every time");
        group.bench_function(format!("{case}/anneal"), |b| b.iter(|| black_box(run())));
    }
    group.finish();

    let mut group = c.benchmark_group("reorder-whole");
    group.sample_size(10);
    let whole = ReorderRows::default();
    group.bench_function("84x10/anneal", |b| {
        b.iter(|| {
            let mut mapping = tiled.clone();
            let statistics = whole.run(&mut mapping, &context).expect("it has a profile");
            assert!(Some(statistics.lines[0].after) <= statistics.lines[0].before);
            mapping
        });
    });
    group.bench_function("84x10/polarity", |b| {
        b.iter(|| {
            let mut mapping = tiled.clone();
            let polarity = SetPolarity::default();
            let statistics = polarity.run(&mut mapping, &context).expect("it has a profile");
            assert!(Some(statistics.lines[0].after) <= statistics.lines[0].before);
            mapping
        });
    });
    group.finish();
}

criterion_group!(benches, reorder);
criterion_main!(benches);
