//! Saved chips: programmed before, and run again.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use hafnia_artifact::load;
use hafnia_cim::MacroSpec;
use hafnia_ir::Mapping;
use hafnia_rng::Seed;
use hafnia_sim::{EngineKind, Evaluation, Prepared, Progress, SavedChip, evaluate_saved};

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

    /// Runs those that were programmed with `mapping`.
    pub(super) fn evaluate(
        &self,
        prepared: &Prepared<'_>,
        mapping: &Mapping,
        spec: &MacroSpec,
        progress: Progress<'_>,
    ) -> anyhow::Result<Evaluation> {
        let of_mapping: Vec<SavedChip> =
            self.chips.iter().filter(|chip| chip.chip(mapping, spec).is_ok()).cloned().collect();
        let Some(first) = of_mapping.first() else {
            // Says with which mapping the first was programmed.
            self.chips[0].chip(mapping, spec)?;
            bail!("no saved chip was programmed with this mapping");
        };
        let numbers = |chips: &[SavedChip]| {
            let mut numbers: Vec<u64> = chips.iter().map(SavedChip::number).collect();
            numbers.sort_unstable();
            numbers
        };
        let mut all = numbers(&self.chips);
        all.dedup();
        ensure!(
            numbers(&of_mapping) == all,
            "every mapping needs each of the saved chips {all:?} once, this one has {:?}",
            numbers(&of_mapping)
        );
        let mut in_order = of_mapping.clone();
        in_order.sort_by_key(SavedChip::number);
        Ok(evaluate_saved(prepared, mapping, spec, &in_order, first.seed, progress)?)
    }
}
