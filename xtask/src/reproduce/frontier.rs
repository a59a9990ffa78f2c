//! What cells, cycles and noise the deployed network can have together: `hafnia frontier`.

use std::path::Path;

use anyhow::Context;
use hafnia_report::{Figure, Frontier, Part, Section, Setting};

use super::plan::{Plan, noise};
use super::runner::Step;

/// What was found.
pub(crate) struct Searched {
    setting: Setting,
    found: Frontier,
    /// Candidates by cycles and noise.
    svg: String,
}

/// Searches over mappings of a network for noise of this setting.
pub(crate) fn run(
    plan: &Plan<'_>,
    setting: Setting,
    network: &Path,
    profile: &Path,
) -> anyhow::Result<Searched> {
    let folder = plan.calls.runner.out("frontier");
    let (json, svg) = (plan.calls.runner.out("frontier.json"), folder.join("frontier.svg"));
    let mut arguments = vec![
        "frontier".to_owned(),
        network.display().to_string(),
        format!("--profile={}", profile.display()),
        format!("--out={}", folder.display()),
        format!("--steps={}", plan.effort.anneal_steps / 10),
        plan.mapping_chips(),
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
    Ok(Searched { setting, found, svg })
}

impl Searched {
    pub(crate) fn section(&self) -> Section {
        let Frontier { images, chips, candidates, .. } = &self.found;
        Section {
            part: Part::Frontier,
            title: "What can be had together".to_owned(),
            text: format!(
                "The deployed network by {} candidates of the search of `hafnia frontier`, for {}; those that none beats in cells, cycles and expected noise have a letter.\n\
                 Expected noise is a multiple of the plain mapping's; drops are those with noise in the final layer on {chips} virtual chips and {images} test images.",
                candidates.len(),
                self.setting
            ),
            tables: vec![self.found.table()],
            figures: vec![Figure {
                name: "frontier".to_owned(),
                caption: "Conversion cycles and expected noise of every candidate.".to_owned(),
                svg: self.svg.clone(),
            }],
            ..Section::default()
        }
    }
}
