//! Images per second of every engine on LeNet-5: one thread, all matrices or the last one only.
//!
//! Throughput is per second of one thread; all terms of noise of the preset `gt-n40` are on.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hafnia_cim::MacroSpec;
use hafnia_ir::{Mapping, Place, RowEntry, Stage, Tile, verify};
use hafnia_model::{Network, random};
use hafnia_rng::Seed;
use hafnia_sim::statistics::{Bootstrap, reduction};
use hafnia_sim::{EngineKind, Evaluation, Images, NoiseScope, Prepared, evaluate};

/// Rows and columns in order, cut where a macro ends, a macro a tile.
fn natural(network: &Network, spec: &MacroSpec) -> Mapping {
    let logical = Mapping::logical(network, spec).expect("weights of 1 bit");
    let mut tiles = Vec::new();
    for whole in &logical.tiles {
        let all: Vec<usize> = (0..whole.bits.rows()).collect();
        for rows in all.chunks(spec.rows) {
            let entry = |(physical, row): (u32, &usize)| RowEntry {
                logical: *row as u32,
                physical,
                negative: false,
            };
            tiles.push(Tile {
                bits: whole.bits.select_rows(rows.iter().copied()),
                rows: (0..).zip(rows).map(entry).collect(),
                place: Some(Place { macro_index: tiles.len() as u32, row: 0, column: 0 }),
                ..whole.clone()
            });
        }
    }
    let mapping = Mapping { stage: Stage::Placed, tiles, ..logical };
    verify(&mapping).expect("the columns of LeNet-5 fit a macro");
    mapping
}

fn images(network: &Network, count: u64) -> Images {
    let image = |index| random::image(Seed(2).index(index), network.input());
    Images {
        activations: (0..count).flat_map(image).collect(),
        labels: (0..count).map(|index| (index % 10) as u8).collect(),
    }
}

/// What must hold of a result, whatever it took to compute it.
fn check(evaluation: &Evaluation, scope: &NoiseScope) {
    let runs = (evaluation.images() * evaluation.chips()) as u64;
    let conversions = evaluation.events.iter().map(|events| events.conversions).sum::<u64>();
    let expected = if *scope == NoiseScope::All { 8_000..60_000 } else { 40..200 };
    assert!(expected.contains(&(conversions / runs)), "{} conversions", conversions / runs);
    let differs = evaluation.differences.iter().any(|images| !images.is_empty());
    assert_eq!(differs, evaluation.engine != EngineKind::Exact);
}

fn lenet5(criterion: &mut Criterion) {
    let spec = MacroSpec::preset("gt-n40").expect("a preset");
    let network = random::lenet5(Seed(1));
    let mapping = natural(&network, &spec);
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    for (name, scope, count) in
        [("all-layers", NoiseScope::All, 128), ("final-layer", NoiseScope::Final, 8_192)]
    {
        let images = images(&network, count);
        let prepared = Prepared::new(&network, &images, &scope).expect("images of the network");
        let run = |engine| {
            let evaluation =
                evaluate(&prepared, &mapping, &spec, engine, 1, Seed(3), &|_, _| ()).expect("fits");
            check(&evaluation, &scope);
            evaluation
        };
        let mut group = criterion.benchmark_group(format!("lenet5/{name}"));
        group.throughput(Throughput::Elements(count)).sample_size(10);
        for (name, engine) in [
            ("exact", EngineKind::Exact),
            ("table", EngineKind::Table),
            ("device", EngineKind::Device),
        ] {
            group.bench_function(name, |bencher| {
                bencher.iter(|| one_thread.install(|| run(black_box(engine))));
            });
        }
        group.finish();
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
        is_lossy: false,
    };
    let (natural, other) = (evaluation(0), evaluation(7));
    let bootstrap = Bootstrap { replicates: 2_000, seed: Seed(1) };
    criterion.benchmark_group("statistics").sample_size(10).bench_function(
        "reduction/50-chips-10000-images-2000-replicates",
        |bencher| {
            bencher.iter(|| {
                let reduction = reduction(black_box(&natural), &other, bootstrap).expect("paired");
                assert!(reduction.rel.value.abs() < 0.1, "{reduction:?}");
            });
        },
    );
}

criterion_group!(benches, lenet5, bootstrap);
criterion_main!(benches);
