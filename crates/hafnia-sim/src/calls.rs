//! The functions that [`Reference`] and [`Programmed`] replace, for callers that have not moved yet.
//!
//! Deprecated: nothing new uses them.

use std::ops::Range;

use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{Mapping, Profile};
use hafnia_model::Network;
use hafnia_rng::Seed;

use crate::attribution::LayerErrors;
use crate::equivalence::{Disagreement, check_equivalence};
use crate::error::SimError;
use crate::evaluate::{EngineKind, Evaluation};
use crate::events::EventCounts;
use crate::profile::ProfileOptions;
use crate::programmed::Programmed;
use crate::reference::{Images, NoiseScope, Reference};
use crate::run::{Engines, Progress};
use crate::saved::SavedChip;

/// Deprecated: [`EventCounts`].
pub type Tally = EventCounts;

/// Deprecated: a [`Reference`] and the scope of [`Programmed::new`].
#[derive(Debug)]
pub struct Prepared<'a> {
    reference: Reference<'a>,
    scope: NoiseScope,
}

impl<'a> Prepared<'a> {
    /// Deprecated: [`Reference::new`].
    ///
    /// # Errors
    /// If the images do not fit the network, or `scope` names a matrix it does not have.
    pub fn new(
        network: &'a Network,
        images: &Images,
        scope: &NoiseScope,
    ) -> Result<Self, SimError> {
        scope.matrices(network)?;
        Ok(Self { reference: Reference::new(network, images)?, scope: scope.clone() })
    }

    /// Per image, whether the noiseless network is right.
    pub fn exact_correct(&self) -> &[bool] {
        self.reference.exact_correct()
    }
}

/// Deprecated: [`Programmed::run`].
///
/// # Errors
/// As [`Programmed::new`] and [`Run::on`](crate::Run::on).
pub fn evaluate(
    prepared: &Prepared<'_>,
    mapping: &Mapping,
    spec: &MacroSpec,
    engine: EngineKind,
    chips: Range<u32>,
    seed: Seed,
    progress: Progress<'_>,
) -> Result<Evaluation, SimError> {
    let programmed = Programmed::new(&prepared.reference, mapping, spec, &prepared.scope)?;
    programmed.run(chips, seed).progress(progress).on(&engine.into())
}

/// Deprecated: [`Engines::Saved`].
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_saved(
    prepared: &Prepared<'_>,
    mapping: &Mapping,
    spec: &MacroSpec,
    chips: &[SavedChip],
    seed: Seed,
    progress: Progress<'_>,
) -> Result<Evaluation, SimError> {
    let programmed = Programmed::new(&prepared.reference, mapping, spec, &prepared.scope)?;
    let run = programmed.run(0..chips.len() as u32, seed).progress(progress);
    run.on(&Engines::Saved(chips))
}

/// Deprecated: [`Engines::Measured`].
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_table(
    prepared: &Prepared<'_>,
    mapping: &Mapping,
    spec: &MacroSpec,
    table: &CodeTable,
    repetitions: Range<u32>,
    seed: Seed,
    progress: Progress<'_>,
) -> Result<Evaluation, SimError> {
    let programmed = Programmed::new(&prepared.reference, mapping, spec, &prepared.scope)?;
    programmed.run(repetitions, seed).progress(progress).on(&Engines::Measured(table))
}

/// Deprecated: [`Run::attribute`](crate::Run::attribute).
///
/// # Errors
/// As [`evaluate`], and if there are fewer images or none are wanted.
#[expect(clippy::too_many_arguments, reason = "as `evaluate`, and how many images")]
pub fn attribute(
    prepared: &Prepared<'_>,
    mapping: &Mapping,
    spec: &MacroSpec,
    engine: EngineKind,
    chips: u32,
    images: usize,
    seed: Seed,
    progress: Progress<'_>,
) -> Result<Vec<LayerErrors>, SimError> {
    let programmed = Programmed::new(&prepared.reference, mapping, spec, &prepared.scope)?;
    programmed.run(0..chips, seed).progress(progress).attribute(&engine.into(), images)
}

/// Deprecated: [`Programmed::count_events`].
///
/// # Errors
/// As [`Reference::new`] and [`Programmed::new`].
pub fn tally(
    network: &Network,
    images: &Images,
    mapping: &Mapping,
    spec: &MacroSpec,
    progress: Progress<'_>,
) -> Result<EventCounts, SimError> {
    let reference = Reference::new(network, images)?;
    let programmed = Programmed::new(&reference, mapping, spec, &NoiseScope::Final)?;
    Ok(programmed.count_events(progress))
}

/// Deprecated: [`Reference::profile`].
///
/// # Errors
/// As [`Reference::new`] and [`Reference::profile`].
pub fn profile(
    network: &Network,
    images: &Images,
    options: ProfileOptions,
    seed: Seed,
    progress: Progress<'_>,
) -> Result<Profile, SimError> {
    Reference::new(network, images)?.profile(options, seed, progress)
}

/// Deprecated: [`check_equivalence`].
///
/// # Errors
/// As [`check_equivalence`].
pub fn agree(
    network: &Network,
    mapping: &Mapping,
    spec: &MacroSpec,
    seed: Seed,
) -> Result<(), Disagreement> {
    check_equivalence(network, mapping, spec, seed)
}
