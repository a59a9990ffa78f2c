//! A macro of one's own: a preset as a file that inherits, values set one by one, and what the same
//! network loses and costs on it.

use hafnia::cim::sources;
use hafnia::model::random;
use hafnia::prelude::*;

/// What it does not say it has from `gt-n40`; every value has a source.
const PRESET: &str = r#"
inherits = "gt-n40"
rows = { value = 256, source = "our tape-out" }
columns = { value = 64, source = "our tape-out" }

[adc]
kind = { value = "sar", source = "our tape-out" }
bits = { value = 4, source = "our tape-out" }

[cell]
sigma_lrs_rel = { value = 0.12, source = "measured, 4 kbit array" }
"#;

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("ours.toml");
    std::fs::write(&path, PRESET)?;
    let path = path.display().to_string();
    let known = sources("gt-n40")?;
    for value in sources(&path)?.iter().filter(|value| !known.contains(value)) {
        println!("{} = {}: {}", value.key, value.value, value.source);
    }

    let network = random::lenet5(Seed(1));
    let images = Images { activations: random::image(Seed(2), network.input()), labels: vec![0] };
    let mut ours = MacroSpec::load(&path)?;
    // Keys are set together and checked once: 15 rows, whose sums are all codes of 4 bits.
    ours.set_all([("rows_per_conversion", "15"), ("columns_per_adc", "8")])?;
    for spec in [MacroSpec::preset("gt-n40")?, ours] {
        let mapping = hafnia::map(&network, &spec, "compact", None)?;
        let cost = hafnia::cost_of(&network, &mapping, &spec, &images)?;
        println!(
            "{} macros of {}x{}: {} mm², {} nJ an image",
            cost.macros,
            spec.rows,
            spec.columns,
            cost.whole_um2.scaled(1e-6),
            cost.energy_fj.total.scaled(1e-6)
        );
    }
    Ok(())
}
