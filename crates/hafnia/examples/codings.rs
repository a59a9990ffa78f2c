//! What the codings of weights cost: the same networks with random weights, each held in every coding
//! that it can have, on chips of `gt-n40` with default noise in all layers.
//! `cargo run --release --example codings`.

use hafnia::cim::CodeTable;
use hafnia::ir::CodingKind;
use hafnia::model::{ReferenceProduct, random, run, shapes};
use hafnia::passes::{CodeWeights, Context, CutTiles, PackTiles};
use hafnia::prelude::*;
use hafnia::sim::Images;

const IMAGES: u64 = 100;
const CHIPS: u32 = 24;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spec = MacroSpec::preset("gt-n40")?;
    println!("network         coding            cells  conversions/image  error of outputs");
    for (name, make) in [
        ("lenet5", random::lenet5 as shapes::Make),
        ("lenet5-ternary", shapes::lenet5_ternary),
        ("lenet5-int4", shapes::lenet5_int4),
    ] {
        let network = make(Seed(1));
        let image = |index| random::image(Seed(index), network.input());
        let mut plain = ReferenceProduct::new(&network);
        let outputs: Vec<f64> = (0..IMAGES)
            .flat_map(|index| run(&network, &image(index), &mut plain))
            .map(f64::from)
            .collect();
        let mean = outputs.iter().sum::<f64>() / outputs.len() as f64;
        let square = |output: &f64| (output - mean).powi(2);
        let spread = (outputs.iter().map(square).sum::<f64>() / outputs.len() as f64).sqrt();
        let activations = (0..IMAGES).flat_map(image).collect();
        let images = Images { activations, labels: vec![0; IMAGES as usize] };
        let context = Context {
            network: &network,
            spec: &spec,
            profile: None,
            code_table: &CodeTable::from_spec(&spec),
            seed: Seed(1),
            progress: &|_, _| {},
        };
        for coding in CodingKind::ALL {
            let pipeline = Pipeline::new("coded")
                .then(CodeWeights { coding, ..CodeWeights::default() })?
                .then(CutTiles::default())?
                .then(PackTiles::default())?;
            let logical = Mapping::logical(&network, &spec);
            // Some codings do not hold some weights.
            let Ok(outcome) = pipeline.run(logical, &context, &mut |_| Ok(())) else { continue };
            let mapping = outcome.mapping;
            let on_chips = hafnia::simulate(&network, &mapping, &spec, &images, CHIPS)?;
            let conversions: u64 = on_chips.events.iter().map(|events| events.conversions).sum();
            let error = on_chips.mean_squared_error();
            println!(
                "{name:15} {:15} {:7} {:18} {:5.2} ({:.2} to {:.2})",
                coding.name(),
                mapping.cells(),
                conversions / IMAGES / u64::from(CHIPS),
                error.value.sqrt() / spread,
                error.lo.max(0.0).sqrt() / spread,
                error.hi.sqrt() / spread,
            );
        }
    }
    println!(
        "error: root of the mean square over chips, with its interval, in spreads of the outputs"
    );
    Ok(())
}
