//! Where the deployed network's accuracy goes, layer by layer and effect by effect:
//! `hafnia sim --attribute`.

use std::path::Path;

use anyhow::Context;
use hafnia_artifact::read_text;
use hafnia_report::{Attribution, Figure, Interval, Part, Section, Setting};
use hafnia_text::counted;

use crate::reproduce::lab::{Lab, noise};
use crate::simulate::{AttributeRequest, SimulateRequest};

/// What was found.
pub(super) struct Attributed {
    setting: Setting,
    chips: usize,
    images: usize,
    found: Attribution,
    /// The drops as bars.
    svg: String,
}

/// Attributes what a mapping loses with noise of this setting in all layers.
pub(super) fn run(
    lab: &Lab<'_>,
    setting: Setting,
    network: &Path,
    mapping: &Path,
) -> anyhow::Result<Attributed> {
    let svg = lab.out("attribution/all.svg");
    let request = SimulateRequest {
        attribute: Some(AttributeRequest { plot: Some(svg.clone()), ..Default::default() }),
        noise_in: "all".to_owned(),
        chips: lab.effort.all_layers_chips,
        ..lab.simulation(lab.seed, noise(&setting))
    };
    let found = lab.simulate("attribution", network, &[mapping], request)?;
    let svg = read_text(&svg)?;
    let (images, chips) = (found.images, found.chips);
    let found = found.attribution.context("it was asked for")?;
    Ok(Attributed { setting, chips, images, found, svg })
}

impl Attributed {
    pub(super) fn section(&self) -> Section {
        let Interval { value, lo, hi } = self.found.drop_points;
        Section {
            part: Part::Attribution,
            title: "Where accuracy goes".to_owned(),
            text: format!(
                "The deployed network in natural order, renamed, with {} in all layers, loses {value:.3} points ({lo:.3} to {hi:.3}) on {} and {} test images.\n\
                 Every layer alone, then every effect alone, and what leaving it out saves on the same chips and images; layers and effects do not add up.",
                self.setting,
                counted(self.chips, "virtual chip"),
                self.images
            ),
            tables: vec![self.found.by_layer(), self.found.by_effect()],
            figures: vec![Figure {
                name: "attribution".to_owned(),
                caption: format!(
                    "Points lost by layer and by effect, on {} and {} test images, engine `device`; 95 % intervals over chips and images.",
                    counted(self.chips, "virtual chip"),
                    self.images
                ),
                svg: self.svg.clone(),
            }],
            ..Section::default()
        }
    }
}
