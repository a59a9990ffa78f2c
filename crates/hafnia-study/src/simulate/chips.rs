//! Saved chips: programmed before, and run again.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use hafnia_artifact::load;
use hafnia_cim::MacroSpec;
use hafnia_ir::Mapping;
use hafnia_rng::Seed;
use hafnia_sim::{EngineKind, SavedChip};

use crate::source::MacroSource;

/// Saved chips of one run, at least one, by the mappings they were programmed with.
pub(super) struct SavedChips {
    chips: Vec<SavedChip>,
}

impl SavedChips {
    /// Loads them; none if there are no files.
    pub(super) fn load(paths: &[PathBuf]) -> anyhow::Result<Option<Self>> {
        let load_one = |path: &PathBuf| Ok(load::<SavedChip>(path)?);
        let chips: Vec<_> = paths.iter().map(load_one).collect::<anyhow::Result<_>>()?;
        Ok((!chips.is_empty()).then_some(Self { chips }))
    }

    /// The macro that all of them were programmed for; `source` must not ask for another.
    pub(super) fn spec(
        &self,
        source: &MacroSource,
        engine: EngineKind,
    ) -> anyhow::Result<MacroSpec> {
        ensure!(engine == EngineKind::Device, "--chip is for --engine device");
        ensure!(source.set.is_empty(), "--set does not change a chip that is programmed");
        let first = &self.chips[0];
        for chip in &self.chips {
            let same = (&chip.macro_values, chip.seed) == (&first.macro_values, first.seed);
            ensure!(same, "saved chips are of different macros or seeds");
        }
        Ok(first.spec()?)
    }

    /// The seed of all of them.
    pub(super) fn seed(&self) -> Seed {
        self.chips[0].seed
    }

    /// Those that were programmed with `mapping`, by their numbers.
    pub(super) fn of(&self, mapping: &Mapping, spec: &MacroSpec) -> anyhow::Result<Vec<SavedChip>> {
        let mut of_mapping: Vec<SavedChip> =
            self.chips.iter().filter(|chip| chip.chip(mapping, spec).is_ok()).cloned().collect();
        if of_mapping.is_empty() {
            // Says with which mapping the first was programmed.
            self.chips[0].chip(mapping, spec)?;
            bail!("no saved chip was programmed with this mapping");
        }
        of_mapping.sort_by_key(SavedChip::number);
        let found: Vec<u64> = of_mapping.iter().map(SavedChip::number).collect();
        let mut all: Vec<u64> = self.chips.iter().map(SavedChip::number).collect();
        all.sort_unstable();
        all.dedup();
        ensure!(
            found == all,
            "every mapping needs each of the saved chips {all:?} once, this one has {found:?}"
        );
        Ok(of_mapping)
    }
}
