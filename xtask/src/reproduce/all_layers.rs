//! Noise in all layers of the deployed network, at the preset's default.

use hafnia_report::{Part, Section};

use super::deployed::Deployed;
use super::plan::{Plan, Simulated};

/// Simulates the renamed deployed network; the grid must start at the preset's default.
pub(crate) fn run(plan: &Plan<'_>, deployed: &Deployed) -> anyhow::Result<Simulated> {
    let chips = format!("--chips={}", plan.effort.all_layers_chips);
    let arguments = ["--noise-in=all", &chips];
    let mappings = [deployed.renamed.as_path()];
    let name = "all-layers";
    let simulated = plan.simulate(plan.seed, name, &deployed.network, &mappings, &arguments)?;
    plan.check_default(&simulated)?;
    Ok(simulated)
}

pub(crate) fn section(simulated: &Simulated) -> Section {
    let mapping = &simulated.mappings[0];
    Section {
        part: Part::Noise,
        title: "Noise in all layers (indicative)".to_owned(),
        text: format!(
            "With the preset's default noise in all layers, the natural order of our larger network loses {:.3} points ({:.3} to {:.3}) on {} virtual chip(s): indicative only.\n\
             An image takes {:.0} conversion cycles and {:.0} conversions.",
            mapping.drop_points.value,
            mapping.drop_points.lo,
            mapping.drop_points.hi,
            simulated.chips,
            mapping.per_image.groups,
            mapping.per_image.conversions,
        ),
        ..Section::default()
    }
}
