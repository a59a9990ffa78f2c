//! tmp
use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{Mapping, MatrixProfile, Profile, Stage};
use hafnia_model::random::lenet5;
use hafnia_passes::*;
use hafnia_rng::Seed;
use rand::RngExt;
fn main() {
    let steps: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let seeds: u64 = std::env::args().nth(2).unwrap().parse().unwrap();
    let matrix = std::env::args().nth(3);
    let network = lenet5(Seed(1));
    let mut spec = MacroSpec::preset("gt-n40").unwrap();
    (spec.adc.offset_lsb, spec.cell.sigma_lrs_rel) = (0.2, 0.2);
    let mut rng = Seed(1).rng();
    let mut draw = |_| if rng.random() { rng.random_range(0..=3) } else { 0 };
    let matrices = network.matrices().into_iter().map(|layer| {
        let rows = layer.weights.rows();
        MatrixProfile {
            rows,
            bits: layer.input_bits,
            activations: (0..2000 * rows).map(&mut draw).collect(),
        }
    });
    let profile = Profile { network: network.digest(), images: 2000, matrices: matrices.collect() };
    let context = Context {
        network: &network,
        spec: &spec,
        profile: Some(&profile),
        code_table: &CodeTable::from_spec(&spec),
        seed: Seed(1),
        progress: &|_, _| {},
    };
    for seed in 0..seeds {
        let mut tiled = Mapping::logical(&network, &spec);
        CutTiles::default().run(&mut tiled, &context).unwrap();
        let anneal = ReorderRows {
            steps,
            seed,
            matrices: matrix.clone().into_iter().collect(),
            ..ReorderRows::default()
        };
        print!("{}", anneal.run(&mut tiled, &context).unwrap());
    }
    let _ = Stage::ALL;
}
