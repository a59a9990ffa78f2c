//! The networks of `hafnia sim`, each with its mappings.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::Args;
use hafnia_artifact::{ArtifactError, Digest, load};
use hafnia_cim::MacroSpec;
use hafnia_ir::Mapping;
use hafnia_passes::Pipeline;
use hafnia_rng::Seed;

use crate::map::{load_mapping, map_by};
use crate::models::{Chosen, recorded};

/// Networks, and the files of their mappings.
#[derive(Args, Debug, Clone)]
#[group(required = true)]
pub(super) struct NetworksOptions {
    /// Network files, each followed by its mappings, the first of which is the baseline; with
    /// --model all may be mappings.
    #[arg(value_name = "NETWORK|MAPPING")]
    files: Vec<PathBuf>,
    /// Recorded network in place of a file: RECIPE, RECIPE/SEED, or 'RECIPE/*' for every seed
    /// (hafnia models).
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
}

/// A network with its mappings.
pub(super) struct Group {
    pub(super) chosen: Chosen,
    /// Files of mappings.
    pub(super) files: Vec<PathBuf>,
}

impl NetworksOptions {
    /// The networks, recorded ones first, all with as many files of mappings.
    pub(super) fn load(&self) -> anyhow::Result<Vec<Group>> {
        let mut groups = Vec::new();
        for name in &self.models {
            let recorded = recorded(name)?.into_iter();
            groups.extend(recorded.map(|chosen| Group { chosen, files: Vec::new() }));
        }
        let models = groups.len();
        for path in &self.files {
            match load(path) {
                Ok(network) => {
                    let (name, digest) = (path.display().to_string(), Digest::of_file(path)?);
                    let chosen = Chosen { network, name, digest };
                    groups.push(Group { chosen, files: Vec::new() });
                }
                // A mapping is text.
                Err(ArtifactError::NotHafnia { .. }) if !groups.is_empty() => {
                    let is_of_all = groups.len() == models && models > 1;
                    ensure!(
                        !is_of_all,
                        "{}: of which of the {models} recorded networks is this mapping? map them by --pipeline, or give one --model",
                        path.display()
                    );
                    if let Some(group) = groups.last_mut() {
                        group.files.push(path.clone());
                    }
                }
                Err(error) => bail!(error),
            }
        }
        check(&groups)?;
        Ok(groups)
    }
}

/// Checks that no network comes twice and that all have as many mappings.
fn check(groups: &[Group]) -> anyhow::Result<()> {
    for (index, Group { chosen, files }) in groups.iter().enumerate() {
        let (first, name) = (&groups[0], &chosen.name);
        if let Some(twin) = groups[..index].iter().find(|twin| twin.chosen.digest == chosen.digest)
        {
            bail!("{name} is the same network as {}: each is given once", twin.chosen.name);
        }
        let (found, expected) = (files.len(), first.files.len());
        ensure!(
            found == expected,
            "{name} has {found} mappings, {} has {expected}: every network takes as many, in the same order",
            first.chosen.name
        );
    }
    Ok(())
}

impl Group {
    /// The mappings by name: those of the files, then those that pipelines make.
    pub(super) fn mappings(
        &self,
        pipelines: &[(String, Pipeline)],
        spec: &MacroSpec,
        seed: Seed,
    ) -> anyhow::Result<Vec<(String, Mapping)>> {
        let network = &self.chosen.network;
        let mut mappings = Vec::new();
        for path in &self.files {
            mappings.push((path.display().to_string(), load_mapping(path, network)?));
        }
        for (name, pipeline) in pipelines {
            mappings.push((name.clone(), map_by(pipeline, network, spec, seed)?));
        }
        Ok(mappings)
    }
}
