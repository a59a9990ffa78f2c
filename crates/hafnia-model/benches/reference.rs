//! How long the reference interpreter takes for one image of LeNet-5.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use hafnia_model::{ReferenceProduct, random, run};
use hafnia_rng::Seed;

fn lenet5(criterion: &mut Criterion) {
    let network = random::lenet5(Seed(1));
    let image = random::image(Seed(1), network.input());
    let mut plain = ReferenceProduct::new(&network);
    assert_eq!(run(&network, &image, &mut plain), [6, 8, -14, 4, 8, -16, -4, 2, 4, 4]);
    criterion.bench_function("reference/lenet5/plain", |bencher| {
        bencher.iter(|| run(&network, black_box(&image), &mut plain));
    });
}

criterion_group!(benches, lenet5);
criterion_main!(benches);
