//! The networks of a simulation, each with its mappings.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use hafnia_artifact::{ArtifactError, Digest, load};
use hafnia_cim::MacroSpec;
use hafnia_ir::Mapping;
use hafnia_passes::Pipeline;
use hafnia_rng::Seed;

use crate::map::map_by;
use crate::session::Session;
use crate::source::{NamedNetwork, load_mapping};

/// A network with its mappings.
pub(super) struct Group {
    pub(super) named: NamedNetwork,
    /// Files of mappings.
    pub(super) files: Vec<PathBuf>,
}

/// The networks, recorded ones first, all with as many files of mappings.
pub(super) fn groups(models: &[String], files: &[PathBuf]) -> anyhow::Result<Vec<Group>> {
    let mut groups = Vec::new();
    for name in models {
        let recorded = NamedNetwork::all_recorded(name)?.into_iter();
        groups.extend(recorded.map(|named| Group { named, files: Vec::new() }));
    }
    let models = groups.len();
    for path in files {
        match load(path) {
            Ok(network) => {
                let (name, digest) = (path.display().to_string(), Digest::of_file(path)?);
                let named = NamedNetwork { network, name, digest };
                groups.push(Group { named, files: Vec::new() });
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

/// Checks that no network comes twice and that all have as many mappings.
fn check(groups: &[Group]) -> anyhow::Result<()> {
    for (index, Group { named, files }) in groups.iter().enumerate() {
        let (first, name) = (&groups[0], &named.name);
        if let Some(twin) = groups[..index].iter().find(|twin| twin.named.digest == named.digest) {
            bail!("{name} is the same network as {}: each is given once", twin.named.name);
        }
        let (found, expected) = (files.len(), first.files.len());
        ensure!(
            found == expected,
            "{name} has {found} mappings, {} has {expected}: every network takes as many, in the same order",
            first.named.name
        );
    }
    Ok(())
}

impl Group {
    /// The mappings by name: those of the files, then those that pipelines make.
    pub(super) fn mappings(
        &self,
        session: &Session<'_>,
        pipelines: &[(String, Pipeline)],
        spec: &MacroSpec,
        seed: Seed,
    ) -> anyhow::Result<Vec<(String, Mapping)>> {
        let network = &self.named.network;
        let mut mappings = Vec::new();
        for path in &self.files {
            mappings.push((path.display().to_string(), load_mapping(path, network)?));
        }
        for (name, pipeline) in pipelines {
            mappings.push((name.clone(), map_by(session, pipeline, network, spec, seed)?));
        }
        Ok(mappings)
    }
}
