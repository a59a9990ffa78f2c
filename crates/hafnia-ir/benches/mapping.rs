//! Time to verify, prove, print and read a mapping of a 4096×4096 matrix on 1024 macros.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use hafnia_ir::{Geometry, Mapping, Stage, prove, random, verify};
use hafnia_model::{BitMatrix, Input, Layer, Linear, Network};
use hafnia_rng::Seed;
use rand::RngExt;

fn mapping(c: &mut Criterion) {
    let side = 4096;
    let rng = &mut Seed(1).site("ir/benches").rng();
    let weights = BitMatrix::from_fn(side, side, |_, _| rng.random()).into();
    let layers = vec![
        Layer::Flatten,
        Layer::Linear(Linear { name: "only".into(), weights, thresholds: None }),
    ];
    let input = Input::upper_bits(side, 1, 1, 2);
    let network = Network::new(input, layers).expect("one layer");
    let geometry = Geometry::new("macro", 128, 128);
    let mapping = random::mapping(Seed(1), &network, &geometry, Stage::Placed);
    let text = mapping.to_string();

    let mut group = c.benchmark_group("mapping");
    group.sample_size(10);
    group.bench_function("4096x4096/verify", |b| {
        b.iter(|| verify(black_box(&mapping)).expect("a right mapping"));
    });
    group.bench_function("4096x4096/prove", |b| {
        b.iter(|| prove(black_box(&mapping), &network).expect("a right mapping"));
    });
    group.bench_function("4096x4096/print", |b| {
        b.iter(|| assert_eq!(black_box(&mapping).to_string().len(), text.len()));
    });
    group.bench_function("4096x4096/read", |b| {
        b.iter(|| assert!(black_box(&text).parse::<Mapping>().as_ref() == Ok(&mapping)));
    });
}

criterion_group!(benches, mapping);
criterion_main!(benches);
