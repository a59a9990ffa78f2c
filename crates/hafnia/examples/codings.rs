//! What codings of weights and of activations cost: the same networks with random weights, held in every
//! coding that they can have, on chips of `gt-n40` with default noise in all layers.
//! `cargo run --release --example codings`; with `RAYON_NUM_THREADS=1` the times of conversions, all
//! else included, are those of a thread.

use std::time::Instant;

use hafnia::cim::CodeTable;
use hafnia::ir::CodingKind;
use hafnia::model::{Network, ReferenceProduct, random, run, shapes};
use hafnia::passes::{CodeInputs, CodeWeights, Context, CutTiles, InputCoding, PackTiles};
use hafnia::prelude::*;
use hafnia::sim::Images;

const IMAGES: u64 = 100;
const CHIPS: u32 = 24;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!(
        "network         coding            cells  cycles/image  conversions/image     ns  error of outputs"
    );
    for (name, make) in [
        ("lenet5", random::lenet5 as shapes::Make),
        ("lenet5-ternary", shapes::lenet5_ternary),
        ("lenet5-int4", shapes::lenet5_int4),
    ] {
        let network = make(Seed(1));
        for coding in CodingKind::ALL {
            let weights = CodeWeights { coding, ..CodeWeights::default() };
            measure(name, &network, coding.name(), Pipeline::new("weights").then(weights)?)?;
        }
    }
    let network = shapes::lenet5_signed(Seed(1));
    measure("lenet5-signed", &network, "levels", Pipeline::new("levels"))?;
    for kind in [CodingKind::TwosComplement, CodingKind::Differential] {
        let coding = InputCoding::Coded(kind);
        let inputs = CodeInputs { coding, ..CodeInputs::default() };
        measure("lenet5-signed", &network, kind.name(), Pipeline::new("inputs").then(inputs)?)?;
    }
    println!(
        "error: root of the mean square over chips, with its interval, in spreads of the outputs"
    );
    Ok(())
}

/// Prints a row of the table; nothing, if the coding does not hold some weights.
fn measure(
    name: &str,
    network: &Network,
    coding: &str,
    coded: Pipeline,
) -> Result<(), Box<dyn std::error::Error>> {
    let spec = MacroSpec::preset("gt-n40")?;
    let image = |index| random::image(Seed(index), network.input());
    let mut plain = ReferenceProduct::new(network);
    let outputs: Vec<f64> = (0..IMAGES)
        .flat_map(|index| run(network, &image(index), &mut plain))
        .map(f64::from)
        .collect();
    let mean = outputs.iter().sum::<f64>() / outputs.len() as f64;
    let square = |output: &f64| (output - mean).powi(2);
    let spread = (outputs.iter().map(square).sum::<f64>() / outputs.len() as f64).sqrt();
    let activations = (0..IMAGES).flat_map(image).collect();
    let images = Images { activations, labels: vec![0; IMAGES as usize] };
    let context = Context {
        network,
        spec: &spec,
        profile: None,
        code_table: &CodeTable::from_spec(&spec),
        seed: Seed(1),
        progress: &|_, _| {},
    };
    let pipeline = coded.then(CutTiles::default())?.then(PackTiles::default())?;
    let logical = Mapping::logical(network, &spec);
    let Ok(outcome) = pipeline.run(logical, &context, &mut |_| Ok(())) else { return Ok(()) };
    let mapping = outcome.mapping;
    let start = Instant::now();
    let on_chips = hafnia::simulate(network, &mapping, &spec, &images, CHIPS)?;
    let seconds = start.elapsed().as_secs_f64();
    let conversions: u64 = on_chips.events.iter().map(|events| events.conversions).sum();
    let per_image = |events: u64| events / IMAGES / u64::from(CHIPS);
    let error = on_chips.mean_squared_error();
    println!(
        "{name:15} {coding:15} {:7} {:13} {:18} {:6.2} {:5.2} ({:.2} to {:.2})",
        mapping.cells(),
        per_image(on_chips.events.iter().map(|events| events.groups).sum()),
        per_image(conversions),
        1e9 * seconds / conversions as f64,
        error.value.sqrt() / spread,
        error.lo.max(0.0).sqrt() / spread,
        error.hi.sqrt() / spread,
    );
    Ok(())
}
