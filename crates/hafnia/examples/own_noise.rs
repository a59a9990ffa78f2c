//! A noise model of one's own: an engine that answers conversions, run over chips and images with the
//! same statistics as ours.

use hafnia::model::random;
use hafnia::prelude::*;
use hafnia::sim::{Conversion, Engine};
use rand::RngExt;

/// A converter whose references droop with the rows that are on, by another amount on every chip.
struct Droop {
    lsb_per_row: f64,
    most: u16,
}

impl Droop {
    /// The chip of this number.
    fn of(seed: Seed, chip: u64, most: u16) -> Self {
        let rng = &mut seed.site("droop").index(chip).rng();
        Self { lsb_per_row: rng.random_range(0.0..0.15), most }
    }
}

impl Engine for Droop {
    fn convert(&self, conversion: &Conversion<'_>, codes: &mut [u16]) {
        let droop = self.lsb_per_row * conversion.rows.len() as f64;
        for (code, &ones) in codes.iter_mut().zip(conversion.ones) {
            let signal = f64::from(ones) + droop;
            *code = (signal.round() as u16).min(self.most);
        }
    }
}

/// Random images, and what the network says of them, so that what is lost is lost to noise.
fn images(network: &Network) -> Images {
    let image = |number| random::image(Seed(2).index(number), network.input());
    let all: Vec<Vec<u8>> = (0..20).map(image).collect();
    Images::labelled_by(network, all.concat()).expect("they are of its size")
}

pub(crate) fn main() -> Result<(), hafnia::Error> {
    let (network, spec) = (random::lenet5(Seed(1)), MacroSpec::preset("gt-n40")?);
    let images = images(&network);
    let mapping = hafnia::map(&network, &spec, "compact", None)?;

    let reference = Reference::new(&network, &images)?;
    let programmed = Programmed::new(&reference, &mapping, &spec, &NoiseScope::All)?;
    let most = spec.adc.max_code() as u16;
    let make = |chip: u64| -> Box<dyn Engine> { Box::new(Droop::of(Seed(3), chip, most)) };
    let outcome = programmed.run(0..8, Seed(3)).on(&Engines::Own(&make))?;
    println!("exact {:.3}, with droop {}", outcome.exact_accuracy(), outcome.accuracy());
    for layer in programmed.run(0..2, Seed(3)).attribute(&Engines::Own(&make), 5)? {
        let errors: u64 = layer.codes.iter().map(|codes| codes.errors).sum();
        println!("matrix {}: {errors} conversions with another code", layer.matrix);
    }
    Ok(())
}
