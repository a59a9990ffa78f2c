//! Where the deployed network's accuracy goes, layer by layer and effect by effect:
//! `hafnia sim --attribute`.

use std::path::Path;

use anyhow::Context;
use hafnia_report::{Align, Figure, Part, Section, Setting, Table};
use serde::Deserialize;

use super::plan::{Plan, Range, noise};
use super::runner::Step;

/// What was found.
pub(crate) struct Attribution {
    setting: Setting,
    chips: u32,
    images: usize,
    found: Found,
    /// The drops as bars.
    svg: String,
}

/// `hafnia sim --attribute`.
#[derive(Debug, Deserialize)]
struct Simulated {
    images: usize,
    chips: u32,
    attribution: Found,
}

#[derive(Debug, Deserialize)]
struct Found {
    drop_points: Range,
    layers: Vec<OfLayer>,
    effects: Vec<OfEffect>,
}

#[derive(Debug, Deserialize)]
struct OfLayer {
    layer: String,
    drop_points_alone: Range,
    snr_db_median: Option<f64>,
    snr_db_least: Option<f64>,
    code_error_rate: f64,
    clipping_rate: f64,
}

#[derive(Debug, Deserialize)]
struct OfEffect {
    effect: String,
    drop_points_alone: Range,
    drop_points_without: Range,
}

/// Attributes what a mapping loses with noise of this setting in all layers.
pub(crate) fn run(
    plan: &Plan<'_>,
    setting: Setting,
    network: &Path,
    mapping: &Path,
) -> anyhow::Result<Attribution> {
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
    Ok(Attribution { setting, chips, images, found: attribution, svg })
}

impl Attribution {
    pub(crate) fn section(&self) -> Section {
        let Found { drop_points, layers, effects } = &self.found;
        let range = |of: Range| format!("{:.3} to {:.3}", of.lo, of.hi);
        let decibels = |ratio: Option<f64>| {
            ratio.map_or("no errors".to_owned(), |ratio| format!("{ratio:.1}"))
        };
        let mut by_layer = Table::new([
            ("noise in", Align::Left),
            ("drop, points", Align::Right),
            ("95 % interval", Align::Right),
            ("SNR, dB: median", Align::Right),
            ("worst column", Align::Right),
            ("codes that err, %", Align::Right),
            ("clipped, %", Align::Right),
        ]);
        for of in layers {
            by_layer.row([
                of.layer.clone(),
                format!("{:.3}", of.drop_points_alone.value),
                range(of.drop_points_alone),
                decibels(of.snr_db_median),
                decibels(of.snr_db_least),
                format!("{:.3}", 100.0 * of.code_error_rate),
                format!("{:.3}", 100.0 * of.clipping_rate),
            ]);
        }
        let mut by_effect = Table::new([
            ("effect", Align::Left),
            ("alone: drop, points", Align::Right),
            ("95 % interval", Align::Right),
            ("all but this", Align::Right),
            ("95 % interval", Align::Right),
        ]);
        for of in effects {
            by_effect.row([
                of.effect.clone(),
                format!("{:.3}", of.drop_points_alone.value),
                range(of.drop_points_alone),
                format!("{:.3}", of.drop_points_without.value),
                range(of.drop_points_without),
            ]);
        }
        Section {
            part: Part::Attribution,
            title: "Where accuracy goes".to_owned(),
            text: format!(
                "The deployed network in natural order, renamed, with {} in all layers, loses {:.3} points ({}) on {} virtual chip(s) and {} test images.\n\
                 Every layer alone, then every effect alone and left out; layers and effects do not add up.",
                self.setting,
                drop_points.value,
                range(*drop_points),
                self.chips,
                self.images
            ),
            tables: vec![by_layer, by_effect],
            figures: vec![Figure {
                name: "attribution".to_owned(),
                caption: "Drop by layer and by effect.".to_owned(),
                svg: self.svg.clone(),
            }],
            ..Section::default()
        }
    }
}
