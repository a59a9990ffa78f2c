//! Noise in all layers of the deployed network, at the preset's default.

use hafnia_report::{Part, Section};
use hafnia_text::counted;

use crate::reproduce::deployed::Deployed;
use crate::reproduce::lab::Lab;
use crate::simulate::{PooledNetworks, SimulateRequest};

/// Simulates the renamed deployed network; the grid must start at the preset's default.
pub(super) fn run(lab: &Lab<'_>, deployed: &Deployed) -> anyhow::Result<PooledNetworks> {
    let request = SimulateRequest {
        noise_in: "all".to_owned(),
        chips: lab.effort.all_layers_chips,
        ..lab.simulation(lab.seed, Vec::new())
    };
    let simulated = lab.simulate("all-layers", &deployed.network, &[&deployed.renamed], request)?;
    lab.check_default(&simulated)?;
    Ok(simulated.together())
}

pub(super) fn section(simulated: &PooledNetworks) -> Section {
    let mapping = &simulated.mappings[0];
    Section {
        part: Part::Noise,
        title: "Noise in all layers (indicative)".to_owned(),
        text: format!(
            "With the preset's default noise in all layers, the natural order of our larger network loses {:.3} points ({:.3} to {:.3}) on {}: indicative only.\n\
             An image takes {:.0} conversion cycles and {:.0} conversions.",
            mapping.found.drop_points.value,
            mapping.found.drop_points.lo,
            mapping.found.drop_points.hi,
            counted(simulated.chips, "virtual chip"),
            mapping.per_image.groups,
            mapping.per_image.conversions,
        ),
        ..Section::default()
    }
}
