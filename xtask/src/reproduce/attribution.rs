//! Where the deployed network's accuracy goes, layer by layer and effect by effect:
//! `hafnia sim --attribute`.

use std::path::Path;

use anyhow::Context;
use hafnia_report::{Attribution, Figure, Interval, Part, Section, Setting};
use serde::Deserialize;

use super::plan::{Plan, noise};
use super::runner::Step;

/// What was found.
pub(crate) struct Attributed {
    setting: Setting,
    chips: u32,
    images: usize,
    found: Attribution,
    /// The drops as bars.
    svg: String,
}

/// `hafnia sim --attribute`.
#[derive(Debug, Deserialize)]
struct Simulated {
    images: usize,
    chips: u32,
    attribution: Attribution,
}

/// Attributes what a mapping loses with noise of this setting in all layers.
pub(crate) fn run(
    plan: &Plan<'_>,
    setting: Setting,
    network: &Path,
    mapping: &Path,
) -> anyhow::Result<Attributed> {
    let [json, svg] =
        ["json", "svg"].map(|end| plan.calls.runner.out(format!("attribute/all.{end}")));
    let mut arguments = vec![
        "sim".to_owned(),
        network.display().to_string(),
        mapping.display().to_string(),
        "--attribute".to_owned(),
        format!("--attribute-plot={}", svg.display()),
        "--noise-in=all".to_owned(),
        format!("--chips={}", plan.effort.all_layers_chips),
        format!("--seed={}", plan.seed),
        "--format=json".to_owned(),
    ];
    arguments.extend(noise(&setting));
    arguments.extend(plan.calls.arguments());
    plan.calls.step(&Step {
        name: "attribute/all".to_owned(),
        arguments,
        inputs: vec![network.to_owned(), mapping.to_owned()],
        outputs: vec![json.clone(), svg.clone()],
        stdout: Some(json.clone()),
        threads: None,
    })?;
    let Simulated { images, chips, attribution } = super::calls::read(&json)?;
    let svg = std::fs::read_to_string(&svg).with_context(|| svg.display().to_string())?;
    Ok(Attributed { setting, chips, images, found: attribution, svg })
}

impl Attributed {
    pub(crate) fn section(&self) -> Section {
        let Interval { value, lo, hi } = self.found.drop_points;
        Section {
            part: Part::Attribution,
            title: "Where accuracy goes".to_owned(),
            text: format!(
                "The deployed network in natural order, renamed, with {} in all layers, loses {value:.3} points ({lo:.3} to {hi:.3}) on {} virtual chip(s) and {} test images.\n\
                 Every layer alone, then every effect alone and left out; layers and effects do not add up.",
                self.setting, self.chips, self.images
            ),
            tables: vec![self.found.by_layer(), self.found.by_effect()],
            figures: vec![Figure {
                name: "attribution".to_owned(),
                caption: "Drop by layer and by effect.".to_owned(),
                svg: self.svg.clone(),
            }],
            ..Section::default()
        }
    }
}
