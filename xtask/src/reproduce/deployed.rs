//! The deployed network: ours, tied, of the first seed. It carries what is said of our larger network
//! beside the claims.

use std::path::PathBuf;

use super::plan::{Plan, Wanted};

/// Files of the deployed network.
pub(crate) struct Deployed {
    pub(crate) network: PathBuf,
    /// Activations of training images.
    pub(crate) profile: PathBuf,
    /// Its mappings in natural order: as it is, and renamed.
    pub(crate) natural: PathBuf,
    pub(crate) renamed: PathBuf,
}

impl Deployed {
    /// Maps and profiles the network, which was trained.
    pub(crate) fn prepare(plan: &Plan<'_>) -> anyhow::Result<Self> {
        let network = plan.network("tied", plan.seed);
        let map = |name: &str, pipeline| {
            plan.map(&Wanted {
                name: name.to_owned(),
                network: &network,
                pipeline,
                profile: None,
                keys: &[],
            })
        };
        let (natural, renamed) = (map("natural", "natural")?, map("renamed", "rename")?);
        let profile = plan.profile("training", &network)?;
        Ok(Self { network, profile, natural, renamed })
    }
}
