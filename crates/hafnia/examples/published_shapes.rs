//! Networks of published shapes, with random weights, mapped, proved and run: how large they are, and
//! how long a conversion takes on engine `device`. `cargo run --release --example published_shapes`.
//!
//! Names limit what is run, and a number says on how many images: `-- cnv resnet8 100`. A short run is
//! mostly its start; the difference of two of one thread tells how long a conversion takes.

use std::time::Instant;

use hafnia::cim::MacroSpec;
use hafnia::model::{random, shapes};
use hafnia::rng::Seed;
use hafnia::sim::Images;

pub(crate) fn main() -> Result<(), hafnia::Error> {
    let (mut named, mut count) = (Vec::new(), 2u64);
    for argument in std::env::args().skip(1) {
        match argument.parse() {
            Ok(number) => count = number,
            Err(_) => named.push(argument),
        }
    }
    let spec = MacroSpec::preset("gt-n40")?;
    println!(
        "network      matrices   weights  macros     cells  map s  conversions/image  images/s  ns/conversion"
    );
    for (name, make) in shapes::ALL {
        if named.is_empty() && name == "vgg8"
            || !named.is_empty() && named.iter().all(|of| of != name)
        {
            continue;
        }
        let network = make(Seed(1));
        let start = Instant::now();
        let mapping = hafnia::map(&network, &spec, "compact", None)?;
        let map = start.elapsed().as_secs_f64();

        let image = |index| random::image(Seed(index), network.input());
        let activations = (0..count).flat_map(image).collect();
        let images = Images { activations, labels: vec![0; count as usize] };
        let start = Instant::now();
        let evaluation = hafnia::simulate(&network, &mapping, &spec, &images, 1)?;
        let seconds = start.elapsed().as_secs_f64();
        let conversions: u64 = evaluation.events.iter().map(|events| events.conversions).sum();
        let weights: usize = network.matrices().iter().map(|of| of.weights.values().len()).sum();
        println!(
            "{name:12} {:8} {weights:9} {:7} {:9} {map:6.2} {:18} {:9.1} {:14.3}",
            network.matrices().len(),
            mapping.macros(),
            mapping.cells(),
            conversions / count,
            count as f64 / seconds,
            1e9 * seconds / conversions as f64,
        );
        let one = Images { activations: random::image(Seed(0), network.input()), labels: vec![0] };
        let cost = hafnia::cost_of(&network, &mapping, &spec, &one)?;
        println!(
            "             {:.3} uJ and {:.3} ms an image, {:.1} TOPS/W of 1x1 bit ({:.1} to {:.1})",
            cost.energy_fj.total.typical / 1e9,
            cost.latency_ns.total.typical / 1e6,
            cost.tops_per_w.typical,
            cost.tops_per_w.lo,
            cost.tops_per_w.hi,
        );
    }
    Ok(())
}
