//! Time to map random square matrices of three sizes, verification and proof included: it should
//! grow as their cells do, by four from one size to the next.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use hafnia_bits::BitMatrix;
use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::Mapping;
use hafnia_model::{Input, Layer, Linear, Network};
use hafnia_passes::{Context, Pipeline, Registry};
use hafnia_rng::Seed;
use rand::RngExt;

/// What comes before `pack`, by name.
const PIPELINES: [(&str, &str); 4] = [
    ("rename-tile-pack", "[[pass]]\nuse = \"rename\"\n[[pass]]\nuse = \"tile\"\n"),
    (
        "tile_alike-rename-pack",
        "[[pass]]\nuse = \"tile\"\nrows = \"alike\"\n[[pass]]\nuse = \"rename\"\n",
    ),
    (
        "rename_complement-tile-pack",
        "[[pass]]\nuse = \"rename-complement\"\n[[pass]]\nuse = \"tile\"\n",
    ),
    ("rename_segments-pack", "[[pass]]\nuse = \"rename-segments\"\n"),
];

/// A network of one matrix.
fn network(side: usize) -> Network {
    let rng = &mut Seed(1).site("passes/benches").rng();
    let weights = BitMatrix::from_fn(side, side, |_, _| rng.random()).into();
    let linear = Linear { name: "only".into(), weights, thresholds: None };
    let input = Input { channels: side, height: 1, width: 1, bits: 2, shift: 6 };
    Network::new(input, vec![Layer::Flatten, Layer::Linear(linear)]).expect("one layer")
}

fn passes(c: &mut Criterion) {
    let spec = MacroSpec::preset("gt-n40").expect("a preset");
    let code_table = CodeTable::from_spec(&spec);
    let mut group = c.benchmark_group("passes");
    group.sample_size(10);
    for side in [1024, 2048, 4096] {
        let network = network(side);
        let context = Context {
            network: &network,
            spec: &spec,
            profile: None,
            code_table: &code_table,
            seed: Seed(1),
            progress: &|_, _| {},
        };
        let logical = Mapping::logical(&network, &spec).expect("weights of 1 bit");
        for (name, passes) in PIPELINES {
            let text = format!("name = \"{name}\"\n{passes}[[pass]]\nuse = \"pack\"\n");
            let pipeline = Pipeline::parse(&text, &Registry::builtin()).expect("a pipeline");
            group.bench_function(format!("{side}x{side}/{name}"), |b| {
                b.iter(|| {
                    let mapping = black_box(&logical).clone();
                    let outcome =
                        pipeline.run(mapping, &context, &mut |_| Ok(())).expect("it maps");
                    // Random rows have no equals but in segments.
                    let whole = (side / 128) * (side / 128);
                    let macros = outcome.mapping.macros();
                    assert!(macros == whole || (name == "rename_segments-pack" && macros < whole));
                });
            });
        }
    }
}

criterion_group!(benches, passes);
criterion_main!(benches);
