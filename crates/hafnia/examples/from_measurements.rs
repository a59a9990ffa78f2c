//! From measured conductances to a preset with their statistics, and to what a network loses on it.

use hafnia::cim::fit::{Conductances, StateFit};
use hafnia::model::random;
use hafnia::prelude::*;
use hafnia::rng::gaussian;
use rand::RngExt;

/// Random images, and what the network says of them, so that what is lost is lost to noise.
fn images(network: &Network) -> Images {
    let image = |number| random::image(Seed(2).index(number), network.input());
    let all: Vec<Vec<u8>> = (0..20).map(image).collect();
    Images::labelled_by(network, all.concat()).expect("they are of its size")
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A file would hold what a tester wrote: a line a cell, with its state and conductance in µS.
    let rng = &mut Seed(1).rng();
    let mut csv = "state,g_us\n".to_owned();
    for (state, mean, sigma) in [("LRS", 40.0, 3.0), ("HRS", 2.0, 0.5)] {
        for _ in 0..500 {
            csv += &format!(
                "{state},{:.4}\n",
                f64::max(mean + sigma * f64::from(gaussian(rng.random())), 0.0)
            );
        }
    }
    let fits = Conductances::from_csv(&csv, "cells.csv")?.fit(None);
    for fit in &fits {
        println!("{} cells of {:.2} µS", fit.cells, fit.mean_us);
    }

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("measured.toml").display().to_string();
    std::fs::write(&path, StateFit::preset(&fits, "gt-n40", "cells.csv", &path)?)?;
    let spec = MacroSpec::load(&path)?;
    println!("on/off ratio {:.1}, σ of LRS {:.3}", spec.cell.on_off_ratio, spec.cell.sigma_lrs_rel);

    let network = random::lenet5(Seed(1));
    let images = images(&network);
    let mapping = hafnia::map(&network, &spec, "natural", None)?;
    let outcome = hafnia::simulate(&network, &mapping, &spec, &images, 10)?;
    println!("exact {:.3}, on its chips {}", outcome.exact_accuracy(), outcome.accuracy());
    Ok(())
}
