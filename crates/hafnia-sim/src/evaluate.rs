//! [`evaluate`]: a mapped network over a data set, on many virtual chips.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{Mapping, Stage};
use hafnia_model::arithmetic::argmax;
use hafnia_model::{Multiply, ReferenceProduct, run_from};
use hafnia_rng::Seed;
use hafnia_simd::Isa;
use hafnia_stats::Outcomes;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::kernels::{Convert, DeviceKernel, ExactKernel, TableKernel};
use crate::layout::Layout;
use crate::runner::Runner;
use crate::{
    Chip, Device, Engine, Events, Exact, Kernels, Mapped, Plan, Prepared, Progress, SavedChip,
    SimError, Table,
};

/// The name of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// [`Exact`]: no noise, only what the ADC clips.
    Exact,
    /// [`Table`]: codes sampled from the code table of the spec.
    Table,
    /// [`Device`]: programmed chips.
    Device,
}

/// What a mapped network does over a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// The engine it was run on.
    pub engine: EngineKind,
    /// Per image, whether the noiseless network is right.
    pub exact_correct: Vec<bool>,
    /// Per chip (of [`EngineKind::Table`]: per repetition), the images, ascending, on which it is
    /// wrong where the noiseless network is right, or right where that is wrong.
    pub differences: Vec<Vec<u32>>,
    /// Per matrix of the network, what happened on the macros over all chips and images; nothing
    /// for matrices outside the scope.
    pub events: Vec<Events>,
    /// Whether the ADC clips partial sums, so that even without noise there can be differences.
    pub is_lossy: bool,
}

impl Evaluation {
    /// Number of images.
    pub fn images(&self) -> usize {
        self.exact_correct.len()
    }

    /// Number of chips, or of repetitions.
    pub fn chips(&self) -> usize {
        self.differences.len()
    }

    /// How many images the noiseless network gets right.
    pub fn exact_correct_count(&self) -> usize {
        self.exact_correct.iter().filter(|&&correct| correct).count()
    }

    /// Share of images that the noiseless network gets right.
    pub fn exact_accuracy(&self) -> f64 {
        self.exact_correct_count() as f64 / self.images() as f64
    }

    /// What statistics are made of: which images come out otherwise on which chips.
    pub fn outcomes(&self) -> Outcomes<'_> {
        Outcomes { exact_correct: &self.exact_correct, differences: &self.differences }
    }

    /// Per chip, exact accuracy − accuracy of the chip.
    pub fn drops(&self) -> Vec<f64> {
        self.outcomes().drops()
    }

    /// Per chip, the share of images it gets right.
    pub fn accuracies(&self) -> Vec<f64> {
        let exact = self.exact_accuracy();
        self.drops().iter().map(|drop| exact - drop).collect()
    }

    /// Adds the chips of another evaluation of the same thing, so that a range of chips may be run in
    /// parts.
    ///
    /// # Errors
    /// [`SimError::Unlike`] if it is of another engine or other images, or not of as many matrices.
    pub fn append(&mut self, more: Self) -> Result<(), SimError> {
        let is_alike = self.engine == more.engine
            && self.exact_correct == more.exact_correct
            && self.events.len() == more.events.len()
            && self.is_lossy == more.is_lossy;
        if !is_alike {
            return Err(SimError::Unlike);
        }
        self.differences.extend(more.differences);
        add(&mut self.events, &more.events);
        Ok(())
    }
}

/// Images of one unit of work: enough to make up for the start of a worker.
const BLOCK: usize = 64;

/// Runs the mapped network of `prepared` over its images on these virtual chips.
///
/// [`EngineKind::Device`] programs chips of `seed`, by their numbers; [`EngineKind::Table`] takes
/// repetitions, which are not chips; [`EngineKind::Exact`] draws nothing, is run once and counts for
/// all. `progress` is told of (chip, image) pairs. The result depends on no number of threads, and
/// [`Evaluation::append`] makes of two ranges what the whole range gives.
///
/// # Errors
/// If there are no chips, the mapping is of another network, for macros of another size or not
/// well formed, [`EngineKind::Device`] is asked for a mapping that is not placed, or
/// [`EngineKind::Table`] for an effect that it cannot show.
pub fn evaluate(
    prepared: &Prepared<'_>,
    mapping: &Mapping,
    spec: &MacroSpec,
    engine: EngineKind,
    chips: Range<u32>,
    seed: Seed,
    progress: Progress<'_>,
) -> Result<Evaluation, SimError> {
    match engine {
        EngineKind::Exact => {
            let plan = plan(prepared, mapping, spec, chips.len())?;
            let trial = Trial::new(prepared, mapping, spec, &plan, 1, progress);
            let exact = Exact::new(spec);
            let once = trial.run(&exact, |layout| ExactKernel::new(&exact, layout));
            Ok(trial.collect(engine, vec![once; chips.len()]))
        }
        EngineKind::Table => {
            spec.check_table().map_err(|error| SimError::Spec(Box::new(error)))?;
            let plan = plan(prepared, mapping, spec, chips.len())?;
            let trial = Trial::new(prepared, mapping, spec, &plan, chips.len(), progress);
            Ok(trial.sample(&CodeTable::from_spec(spec), mapping, spec, chips, seed))
        }
        EngineKind::Device => {
            if mapping.stage != Stage::Placed {
                return Err(SimError::Stage { stage: mapping.stage });
            }
            let plan = plan(prepared, mapping, spec, chips.len())?;
            let trial = Trial::new(prepared, mapping, spec, &plan, chips.len(), progress);
            let run = |number: u32| {
                let chip = Chip::program_checked(mapping, spec, seed, number.into());
                let device = Device::new(&chip, spec, seed);
                trial.run(&device, |layout| DeviceKernel::new(&device, layout))
            };
            let outcomes = chips.into_par_iter().map(run).collect();
            Ok(trial.collect(engine, outcomes))
        }
    }
}

/// As [`evaluate`] with [`EngineKind::Device`], on chips that were saved, with the temporal noise of
/// `spec`.
///
/// # Errors
/// As [`evaluate`], and if a chip was programmed with another mapping or for another converter.
pub fn evaluate_saved(
    prepared: &Prepared<'_>,
    mapping: &Mapping,
    spec: &MacroSpec,
    chips: &[SavedChip],
    seed: Seed,
    progress: Progress<'_>,
) -> Result<Evaluation, SimError> {
    let plan = plan(prepared, mapping, spec, chips.len())?;
    let trial = Trial::new(prepared, mapping, spec, &plan, chips.len(), progress);
    let chips: Vec<&Chip> =
        chips.iter().map(|chip| chip.chip(mapping, spec)).collect::<Result<_, _>>()?;
    let run = |chip: &&Chip| {
        let device = Device::new(chip, spec, seed);
        trial.run(&device, |layout| DeviceKernel::new(&device, layout))
    };
    let outcomes = chips.par_iter().map(run).collect();
    Ok(trial.collect(EngineKind::Device, outcomes))
}

/// As [`evaluate`] with [`EngineKind::Table`], for a code table that was measured.
///
/// # Errors
/// As [`evaluate`], and if `table` is for another ADC or another number of rows, or cells are
/// multi-level.
pub fn evaluate_table(
    prepared: &Prepared<'_>,
    mapping: &Mapping,
    spec: &MacroSpec,
    table: &CodeTable,
    repetitions: Range<u32>,
    seed: Seed,
    progress: Progress<'_>,
) -> Result<Evaluation, SimError> {
    let plan = plan(prepared, mapping, spec, repetitions.len())?;
    let trial = Trial::new(prepared, mapping, spec, &plan, repetitions.len(), progress);
    let checked = spec.check_measured_table().and_then(|()| table.check_size(spec));
    checked.map_err(|error| SimError::Spec(Box::new(error)))?;
    Ok(trial.sample(table, mapping, spec, repetitions, seed))
}

/// What one chip does over some images.
#[derive(Debug, Clone, Default)]
struct Outcome {
    differences: Vec<u32>,
    events: Vec<Events>,
}

fn add(events: &mut Vec<Events>, more: &[Events]) {
    events.resize(more.len(), Events::default());
    for (events, &more) in events.iter_mut().zip(more) {
        *events += more;
    }
}

/// Multiplies on the macro within the scope and plainly outside.
struct Scoped<'a, E> {
    in_scope: &'a [bool],
    mapped: Mapped<'a, E>,
    plain: ReferenceProduct,
}

impl<E: Engine> Multiply for Scoped<'_, E> {
    fn multiply(&mut self, matrix: usize, position: usize, activations: &[u8], sums: &mut [i32]) {
        if self.in_scope[matrix] {
            self.mapped.multiply(matrix, position, activations, sums);
        } else {
            self.plain.multiply(matrix, position, activations, sums);
        }
    }
}

/// The plan of a mapping that is to be run on so many chips.
fn plan(
    prepared: &Prepared<'_>,
    mapping: &Mapping,
    spec: &MacroSpec,
    chips: usize,
) -> Result<Plan, SimError> {
    if chips == 0 { Err(SimError::NoChips) } else { Plan::new(prepared.network, mapping, spec) }
}

/// What the chips of one evaluation share.
struct Trial<'a> {
    prepared: &'a Prepared<'a>,
    plan: &'a Plan,
    /// For [`Kernels::Vectors`], if the network suits them.
    layout: Option<(Layout<'a>, Isa)>,
    is_lossy: bool,
    /// (chip, image) pairs, all and done.
    total: u64,
    done: AtomicU64,
    progress: Progress<'a>,
}

impl<'a> Trial<'a> {
    fn new(
        prepared: &'a Prepared<'a>,
        mapping: &Mapping,
        spec: &MacroSpec,
        plan: &'a Plan,
        chips: usize,
        progress: Progress<'a>,
    ) -> Self {
        let layout = match prepared.kernels {
            Kernels::Plain => None,
            Kernels::Vectors(isa) => {
                let layout = Layout::of_mapping(prepared.network, mapping, plan, spec);
                layout.map(|layout| (layout, isa))
            }
        };
        let total = chips as u64 * prepared.images() as u64;
        let (is_lossy, done) = (!spec.is_lossless(), AtomicU64::new(0));
        Self { prepared, plan, layout, is_lossy, total, done, progress }
    }

    /// Runs all repetitions of [`Table`].
    fn sample(
        &self,
        table: &CodeTable,
        mapping: &Mapping,
        spec: &MacroSpec,
        repetitions: Range<u32>,
        seed: Seed,
    ) -> Evaluation {
        let tiles = mapping.tiles.len();
        let run = |repetition: u32| {
            let table = Table::new(table, spec, tiles, seed, repetition.into());
            self.run(&table, |layout| TableKernel::new(&table, layout))
        };
        let outcomes = repetitions.into_par_iter().map(run).collect();
        self.collect(EngineKind::Table, outcomes)
    }

    /// Runs all images on one engine, or on its kernel.
    fn run<'k, E: Engine, C: Convert>(
        &'k self,
        engine: &E,
        kernel: impl FnOnce(&'k Layout<'a>) -> C,
    ) -> Outcome {
        let Prepared { network, first, in_scope, plain, .. } = self.prepared;
        if let Some((layout, isa)) = &self.layout {
            let kernel = kernel(layout);
            let worker = || Runner::new(layout, *isa);
            return self.run_blocks(worker, |runner, image| {
                let reached = self.prepared.reached(image);
                let outputs = runner.run(*first, reached, image as u32, &kernel, in_scope);
                (argmax(outputs), &mut runner.events)
            });
        }
        let worker = || {
            let mapped = Mapped::new(self.plan, engine);
            Scoped { in_scope, mapped, plain: plain.clone() }
        };
        self.run_blocks(worker, |worker, image| {
            worker.mapped.image = image as u32;
            let outputs = run_from(network, *first, self.prepared.reached(image), worker);
            (argmax(&outputs), &mut worker.mapped.events)
        })
    }

    /// Runs all images; `run` gives the answer to one, and the events so far.
    fn run_blocks<W: Send>(
        &self,
        worker: impl Fn() -> W + Sync + Send,
        run: impl Fn(&mut W, usize) -> (usize, &mut Vec<Events>) + Sync + Send,
    ) -> Outcome {
        let images = self.prepared.images();
        let run_block = |worker: &mut W, block: usize| {
            let range = block * BLOCK..images.min((block + 1) * BLOCK);
            let count = range.len() as u64;
            let mut outcome = Outcome::default();
            for image in range {
                let (answer, events) = run(worker, image);
                let is_correct = answer == usize::from(self.prepared.labels[image]);
                if is_correct != self.prepared.exact_correct[image] {
                    outcome.differences.push(image as u32);
                }
                add(&mut outcome.events, events);
                events.fill(Events::default());
            }
            let before = self.done.fetch_add(count, Ordering::Relaxed);
            (self.progress)(before + count, self.total);
            outcome
        };
        let blocks: Vec<Outcome> =
            (0..images.div_ceil(BLOCK)).into_par_iter().map_init(worker, run_block).collect();
        let mut all = Outcome::default();
        for block in blocks {
            all.differences.extend(block.differences);
            add(&mut all.events, &block.events);
        }
        all
    }

    fn collect(&self, engine: EngineKind, outcomes: Vec<Outcome>) -> Evaluation {
        let mut events = Vec::new();
        for outcome in &outcomes {
            add(&mut events, &outcome.events);
        }
        Evaluation {
            engine,
            exact_correct: self.prepared.exact_correct.clone(),
            differences: outcomes.into_iter().map(|outcome| outcome.differences).collect(),
            events,
            is_lossy: self.is_lossy,
        }
    }
}
