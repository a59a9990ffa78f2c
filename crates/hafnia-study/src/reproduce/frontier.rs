//! What cells, cycles and noise the deployed network can have together: `hafnia frontier`.

use std::path::Path;

use hafnia_artifact::read_text;
use hafnia_report::{Figure, Frontier, Part, Section, Setting};

use crate::data;
use crate::frontier::FrontierRequest;
use crate::reproduce::lab::{Lab, noise};
use crate::source::{MacroSource, NetworkSource};

/// What was found.
pub(super) struct Searched {
    setting: Setting,
    found: Frontier,
    /// Candidates by cycles and noise.
    svg: String,
}

/// Searches over mappings of a network for noise of this setting.
pub(super) fn run(
    lab: &Lab<'_>,
    setting: Setting,
    network: &Path,
    profile: &Path,
) -> anyhow::Result<Searched> {
    let request = FrontierRequest {
        steps: lab.effort.anneal_steps / 10,
        chips: lab.effort.mapping_chips,
        noise_in: "final".to_owned(),
        part: data::Part::Test,
        seed: lab.seed,
        spec: MacroSource { set: noise(&setting), ..MacroSource::default() },
        data: lab.source.clone(),
        network: NetworkSource::File(network.to_owned()),
        profile: profile.to_owned(),
        out: lab.out("frontier"),
    };
    let found = lab.ask("frontier", &request)?;
    let svg = request.svg();
    let svg = read_text(&svg)?;
    Ok(Searched { setting, found, svg })
}

impl Searched {
    pub(super) fn section(&self) -> Section {
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
                caption: format!(
                    "Conversion cycles and expected noise of {} candidates; both are expectations under the profile, so that no engine was run and there is no interval.",
                    candidates.len()
                ),
                svg: self.svg.clone(),
            }],
            ..Section::default()
        }
    }
}
