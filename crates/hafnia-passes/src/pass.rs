//! [`Pass`]: one step of a mapping, as plain data, and what it is given.

use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{Mapping, Profile, Stage};
use hafnia_model::Network;
use hafnia_rng::Seed;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::PassError;
use crate::statistics::Statistics;

/// A step of a mapping: a serde struct whose fields are its options.
///
/// It is written with braces and derives `Serialize`, `Deserialize` (with
/// `#[serde(default, deny_unknown_fields)]`) and `Default`. A pass does no I/O, reads no clock, draws
/// only from the [`Seed`] it is given, and never changes what the mapping computes: after it the
/// driver verifies the mapping and rebuilds every matrix bit for bit.
pub trait Pass: Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What it is.
    const INFO: PassInfo;

    /// Changes the mapping.
    ///
    /// # Errors
    /// If something that the pass needs is missing or does not fit. The mapping may then be half
    /// changed; the driver drops it.
    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError>;
}

/// The description of a pass, apart from its run: help, documentation and checks come from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassInfo {
    /// What pipelines call it.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// The stages it can start from.
    pub takes: &'static [Stage],
    /// The stage it leaves the mapping in; none if that is the one it found.
    pub leaves: Option<Stage>,
    /// Name and meaning of every option: of every field of the struct.
    pub options: &'static [(&'static str, &'static str)],
}

/// What a pass is given beside the mapping.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The network that is mapped.
    pub network: &'a Network,
    /// The macro that it is mapped to.
    pub spec: &'a MacroSpec,
    /// Which rows are on together on training images of `network`, if that was sampled.
    pub profile: Option<&'a Profile>,
    /// The statistics of a conversion; those of `spec` unless measured ones are in use.
    pub code_table: &'a CodeTable,
    /// Where all draws come from.
    pub seed: Seed,
    /// A callback for (steps done, steps in all), called from time to time.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}
