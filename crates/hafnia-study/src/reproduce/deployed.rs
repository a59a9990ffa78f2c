//! The deployed network: ours, tied, of the first seed. It carries what is said of our larger network
//! beside the claims.

use std::path::PathBuf;

use crate::reproduce::lab::Lab;

/// Files of the deployed network.
pub(super) struct Deployed {
    pub(super) network: PathBuf,
    /// Activations of training images.
    pub(super) profile: PathBuf,
    /// Its mappings in natural order: as it is, and renamed.
    pub(super) natural: PathBuf,
    pub(super) renamed: PathBuf,
}

impl Deployed {
    /// Maps and profiles the network, which was trained.
    pub(super) fn prepare(lab: &Lab<'_>) -> anyhow::Result<Self> {
        let network = lab.network("tied", lab.seed);
        let map = |name: &str, pipeline| lab.map_plainly(name.to_owned(), &network, pipeline);
        let (natural, renamed) = (map("natural", "natural")?, map("renamed", "rename")?);
        let profile = lab.profile("training", &network)?;
        Ok(Self { network, profile, natural, renamed })
    }
}
