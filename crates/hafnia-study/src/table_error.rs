//! How far engine `table` errs where noise is static.
//!
//! `table` draws anew for every conversion what a chip draws once for its life. On a chip a cell or a
//! comparator that errs does so for every image, so `table` may lose less than `device`, and less for
//! one mapping than for another. What it leaves out is measured, on a few chips
//! (`docs/decisions/0015-static-noise-on-table.md`).

use hafnia_cim::MacroSpec;
use hafnia_rng::Seed;
use hafnia_sim::{Engines, Programmed, Progress};
use hafnia_stats::{Interval, accuracy_difference};
use serde::{Deserialize, Serialize};

/// How `table` was held against `device`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCheck {
    /// The static noise that is on.
    pub noise: Vec<String>,
    /// Chips of `device`, and as many repetitions of `table`.
    pub chips: u32,
    /// Images that each was shown.
    pub images: usize,
}

/// Chips on which the two are compared.
const CHIPS: u32 = 10;

/// Images on which they are compared, at most.
pub(crate) const IMAGES: usize = 1000;

impl TableCheck {
    /// What has to be checked, of a run that shows so many images; none without static noise.
    pub(crate) fn of(spec: &MacroSpec, images: usize) -> Option<Self> {
        let noise: Vec<String> = spec.static_noise().map(|effect| effect.name.to_owned()).collect();
        (!noise.is_empty()).then_some(Self { noise, chips: CHIPS, images: images.min(IMAGES) })
    }

    /// By how many points more a mapping loses on `device`, over chips and images.
    ///
    /// # Errors
    /// If one of the engines refuses the macro.
    pub(crate) fn error_points(
        &self,
        programmed: &Programmed<'_>,
        seed: Seed,
        progress: Progress<'_>,
    ) -> anyhow::Result<Interval> {
        let run = |engines| programmed.run(0..self.chips, seed).progress(progress).on(&engines);
        let (table, device) = (run(Engines::Table)?, run(Engines::Device)?);
        Ok(accuracy_difference(table.outcomes(), device.outcomes())?)
    }
}
