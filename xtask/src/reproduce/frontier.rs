//! What cells, cycles and noise the deployed network can have together: `hafnia frontier`.

use std::path::Path;

use anyhow::Context;
use hafnia_report::{Align, Figure, Part, Section, Setting, Table};
use serde::Deserialize;

use super::plan::{Plan, Range, noise};
use super::runner::Step;

/// What was found.
pub(crate) struct Frontier {
    setting: Setting,
    found: Found,
    /// Candidates by cycles and noise.
    svg: String,
}

/// `hafnia frontier`.
#[derive(Debug, Deserialize)]
struct Found {
    images: usize,
    chips: u32,
    candidates: Vec<Point>,
}

#[derive(Debug, Deserialize)]
struct Point {
    label: Option<String>,
    input_control: String,
    passes: String,
    rows: usize,
    cells: usize,
    table_bits: usize,
    macros: usize,
    cycles: f64,
    noise: f64,
    drop_points: Option<Range>,
}

/// Searches over mappings of a network for noise of this setting.
pub(crate) fn run(
    plan: &Plan<'_>,
    setting: Setting,
    network: &Path,
    profile: &Path,
) -> anyhow::Result<Frontier> {
    let folder = plan.calls.runner.out("frontier");
    let (json, svg) = (plan.calls.runner.out("frontier.json"), folder.join("frontier.svg"));
    let mut arguments = vec![
        "frontier".to_owned(),
        network.display().to_string(),
        format!("--profile={}", profile.display()),
        format!("--out={}", folder.display()),
        format!("--steps={}", plan.effort.anneal_steps / 10),
        plan.chips(),
        format!("--seed={}", plan.seed),
        "--format=json".to_owned(),
    ];
    arguments.extend(noise(&setting));
    arguments.extend(plan.calls.arguments());
    plan.calls.step(&Step {
        name: "frontier".to_owned(),
        arguments,
        inputs: vec![network.to_owned(), profile.to_owned()],
        outputs: vec![json.clone(), svg.clone()],
        stdout: Some(json.clone()),
        threads: None,
    })?;
    let found = super::calls::read(&json)?;
    let svg = std::fs::read_to_string(&svg).with_context(|| svg.display().to_string())?;
    Ok(Frontier { setting, found, svg })
}

impl Frontier {
    pub(crate) fn section(&self) -> Section {
        let Found { images, chips, candidates } = &self.found;
        let mut table = Table::new([
            ("letter", Align::Left),
            ("input control", Align::Left),
            ("passes", Align::Left),
            ("rows", Align::Right),
            ("cells", Align::Right),
            ("table bits", Align::Right),
            ("macros", Align::Right),
            ("cycles/image", Align::Right),
            ("noise, expected", Align::Right),
            ("drop, points", Align::Right),
            ("95 % interval", Align::Right),
        ]);
        let mut named: Vec<&Point> =
            candidates.iter().filter(|point| point.label.is_some()).collect();
        named.sort_by_key(|point| (point.label.as_ref().map(String::len), point.label.clone()));
        for point in named {
            let drop = point.drop_points.filter(|drop| drop.is_finite());
            table.row([
                point.label.clone().unwrap_or_default(),
                point.input_control.clone(),
                point.passes.clone(),
                point.rows.to_string(),
                point.cells.to_string(),
                point.table_bits.to_string(),
                point.macros.to_string(),
                format!("{:.1}", point.cycles),
                format!("{:.3}", point.noise),
                drop.map_or("-".to_owned(), |drop| format!("{:.3}", drop.value)),
                drop.map_or("-".to_owned(), |drop| format!("{:.3} to {:.3}", drop.lo, drop.hi)),
            ]);
        }
        Section {
            part: Part::Frontier,
            title: "What can be had together".to_owned(),
            text: format!(
                "The deployed network by {} candidates of the search of `hafnia frontier`, for {}; those that none beats in cells, cycles and expected noise have a letter.\n\
                 Expected noise is a multiple of the plain mapping's; drops are those with noise in the final layer on {chips} virtual chips and {images} test images.",
                candidates.len(),
                self.setting
            ),
            tables: vec![table],
            figures: vec![Figure {
                name: "frontier".to_owned(),
                caption: "Conversion cycles and expected noise of every candidate.".to_owned(),
                svg: self.svg.clone(),
            }],
            ..Section::default()
        }
    }
}
