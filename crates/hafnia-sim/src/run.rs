//! [`Run`]: a programmed mapping over the images of its reference, on many virtual chips.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use hafnia_cim::{CimError, CodeTable};
use hafnia_ir::Stage;
use hafnia_model::{Multiply, ReferenceProduct, run_from};
use hafnia_rng::Seed;
use hafnia_simd::Isa;
use rayon::prelude::*;

use crate::chip::Chip;
use crate::engine::{Device, Engine, Exact, Table};
use crate::error::SimError;
use crate::evaluate::{EngineKind, Evaluation, FIVE, Nearness};
use crate::fast::codes::Convert;
use crate::fast::codes::device::DeviceKernel;
use crate::fast::codes::exact::ExactKernel;
use crate::fast::codes::signals::SignalKernel;
use crate::fast::codes::table::TableKernel;
use crate::fast::plan::Layout;
use crate::fast::runner::Runner;
use crate::mapped::{Events, Mapped, Plan};
use crate::paths::{MatrixPath, Path, Why};
use crate::programmed::Programmed;
use crate::reference::{Again, Judged, Kernels};
use crate::saved::SavedChip;

/// Called with how much is done and of how much, from several threads, so not always in order.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Makes the engine of a chip, by its number.
pub type MakeEngine<'a> = dyn Fn(u64) -> Box<dyn Engine + 'a> + Sync + 'a;

/// What the converters of every chip answer.
///
/// An engine of your own is an [`Engine`] and the function that makes it for a chip:
///
/// ```
/// use hafnia_cim::MacroSpec;
/// use hafnia_ir::{Geometry, Stage};
/// use hafnia_model::random;
/// use hafnia_rng::Seed;
/// use hafnia_sim::{Conversion, Engine, Engines, Images, NoiseScope, Programmed, Reference};
///
/// /// On chip k every column answers one too few when more than k rows are on.
/// struct Droops(u64);
///
/// impl Engine for Droops {
///     fn convert(&self, conversion: &Conversion<'_>, codes: &mut [u16]) {
///         let droop = u16::from(conversion.rows.len() as u64 > self.0);
///         for (code, ones) in codes.iter_mut().zip(conversion.ones) {
///             *code = ones.saturating_sub(droop);
///         }
///     }
/// }
///
/// let spec = MacroSpec::preset("gt-n40")?;
/// let network = random::lenet5(Seed(1));
/// let images = Images { activations: random::image(Seed(2), network.input()), labels: vec![3] };
/// let geometry = Geometry::from(&spec);
/// let mapping = hafnia_ir::random::mapping(Seed(5), &network, &geometry, Stage::Placed);
/// let reference = Reference::new(&network, &images)?;
/// let programmed = Programmed::new(&reference, &mapping, &spec, &NoiseScope::All)?;
///
/// let droops = Engines::Own(&|chip| Box::new(Droops(chip)));
/// let evaluation = programmed.run(0..8, Seed(3)).on(&droops)?;
/// assert_eq!(evaluation.differences.len(), 8);
/// let layers = programmed.run(0..8, Seed(3)).attribute(&droops, 1)?;
/// // Of at most 7 rows no more than 7 are on.
/// assert!(layers[0].codes.iter().skip(1).all(|codes| codes.errors < codes.conversions));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub enum Engines<'a> {
    /// [`Exact`], which draws nothing: it is run once and counts for all chips.
    Exact,
    /// [`Table`] of the spec; the numbers are those of repetitions, which are not chips.
    Table,
    /// [`Table`] of a measured code table.
    Measured(&'a CodeTable),
    /// [`Device`] on chips that are programmed for it, from a mapping that is placed.
    Device,
    /// [`Device`] on saved chips, by their places in this list, with the temporal noise of the spec.
    Saved(&'a [SavedChip]),
    /// An engine of the user's own, made for every chip.
    Own(&'a MakeEngine<'a>),
}

impl Engines<'_> {
    /// What an evaluation on them is called.
    pub fn kind(&self) -> EngineKind {
        match self {
            Self::Exact => EngineKind::Exact,
            Self::Table | Self::Measured(_) => EngineKind::Table,
            Self::Device | Self::Saved(_) => EngineKind::Device,
            Self::Own(_) => EngineKind::Own,
        }
    }
}

impl TryFrom<EngineKind> for Engines<'_> {
    type Error = SimError;

    /// The built-in engine of this kind.
    fn try_from(kind: EngineKind) -> Result<Self, SimError> {
        match kind {
            EngineKind::Exact => Ok(Self::Exact),
            EngineKind::Table => Ok(Self::Table),
            EngineKind::Device => Ok(Self::Device),
            EngineKind::Own => Err(SimError::Engine { name: kind.to_string() }),
        }
    }
}

/// The engine of one chip.
#[derive(Clone, Copy)]
pub(crate) enum AnyEngine<'a> {
    Exact(&'a Exact),
    Table(&'a Table),
    Device(&'a Device<'a>),
    Own(&'a dyn Engine),
}

impl Engine for AnyEngine<'_> {
    fn convert(&self, conversion: &crate::engine::Conversion<'_>, codes: &mut [u16]) {
        match self {
            Self::Exact(engine) => engine.convert(conversion, codes),
            Self::Table(engine) => engine.convert(conversion, codes),
            Self::Device(engine) => engine.convert(conversion, codes),
            Self::Own(engine) => engine.convert(conversion, codes),
        }
    }
}

/// What is to be run: made by [`Programmed::run`].
#[derive(Clone)]
pub struct Run<'a> {
    pub(crate) programmed: &'a Programmed<'a>,
    chips: Range<u32>,
    seed: Seed,
    pub(crate) progress: Progress<'a>,
}

impl Programmed<'_> {
    /// A run on these virtual chips of `seed`.
    pub fn run(&self, chips: Range<u32>, seed: Seed) -> Run<'_> {
        Run { programmed: self, chips, seed, progress: &|_, _| () }
    }

    /// How the products of every matrix are computed on `engines`, and why not faster.
    ///
    /// # Errors
    /// As [`Run::on`].
    pub fn paths(&self, engines: &Engines<'_>) -> Result<Vec<MatrixPath>, SimError> {
        let run = self.run(0..1, Seed(0));
        let [path] = run.each(engines, |engine| self.path(engine))?[..] else {
            unreachable!("one chip, one path")
        };
        let of = |(matrix, &is_noisy): (&hafnia_model::MatrixLayer<'_>, &bool)| MatrixPath {
            layer: matrix.name.to_owned(),
            path: if is_noisy { path } else { Path::Reference },
        };
        Ok(self.reference.network.matrices().iter().zip(&self.in_scope).map(of).collect())
    }

    fn path(&self, engine: AnyEngine<'_>) -> Path {
        let cells = match &self.layout {
            Ok(layout) => &layout.cells,
            Err(why) => return Path::Scalar(*why),
        };
        match engine {
            AnyEngine::Exact(exact) => ExactKernel::new(exact, cells).path(),
            AnyEngine::Table(table) => TableKernel::new(table, cells).path(),
            AnyEngine::Device(_) => Path::Converted(Why::Cells),
            AnyEngine::Own(_) => Path::Scalar(Why::OwnEngine),
        }
    }
}

impl<'a> Run<'a> {
    /// Calls `progress` with (chip, image) pairs.
    #[must_use]
    pub fn progress(self, progress: Progress<'a>) -> Self {
        Self { progress, ..self }
    }

    /// Runs all images on `engines`.
    ///
    /// The result depends on no number of threads, and [`Evaluation::append`] makes of two ranges of
    /// chips what the whole range gives.
    ///
    /// # Errors
    /// If there are no chips; if [`Engines::Table`] is asked for an effect that it cannot show,
    /// [`Engines::Measured`] is for another converter or cells are multi-level, the mapping of
    /// [`Engines::Device`] is not placed, or a saved chip was programmed with another mapping or for
    /// another converter.
    pub fn on(&self, engines: &Engines<'_>) -> Result<Evaluation, SimError> {
        let Programmed { reference, spec, .. } = self.programmed;
        let walk = Walk {
            programmed: self.programmed,
            total: self.rounds(engines) * reference.images() as u64,
            done: AtomicU64::new(0),
            progress: self.progress,
        };
        let mut outcomes = self.each(engines, |engine| walk.run(engine))?;
        if matches!(engines, Engines::Exact) {
            outcomes = vec![outcomes.swap_remove(0); self.chips.len()];
        }
        let mut events = Vec::new();
        outcomes.iter().for_each(|outcome| add(&mut events, &outcome.events));
        let images = reference.images() as f64;
        let nearness = Nearness {
            exact_in_five: reference.exact_in_five(),
            exact_squared_error: reference.exact_squared_error(),
            in_five: outcomes.iter().map(|outcome| outcome.in_five).collect(),
            squared_error: outcomes
                .iter()
                .map(|outcome| outcome.squared_error() / images)
                .collect(),
        };
        Ok(Evaluation {
            nearness,
            engine: engines.kind(),
            exact_correct: reference.exact_correct().to_vec(),
            differences: outcomes.into_iter().map(|outcome| outcome.differences).collect(),
            events,
            is_lossy: !spec.is_lossless(),
            chips_differ: match engines {
                Engines::Exact => false,
                Engines::Measured(table) => !table.is_certain(),
                Engines::Table | Engines::Device | Engines::Saved(_) => spec.varies(),
                Engines::Own(_) => true,
            },
        })
    }

    /// How often images are run on `engines`.
    pub(crate) fn rounds(&self, engines: &Engines<'_>) -> u64 {
        if matches!(engines, Engines::Exact) { 1 } else { self.chips.len() as u64 }
    }

    /// Calls `run` with the engine of every chip; once with [`Exact`].
    pub(crate) fn each<T: Send>(
        &self,
        engines: &Engines<'_>,
        run: impl Fn(AnyEngine<'_>) -> T + Sync + Send,
    ) -> Result<Vec<T>, SimError> {
        let Programmed { mapping, spec, .. } = *self.programmed;
        let (chips, seed) = (self.chips.clone(), self.seed);
        if chips.is_empty() {
            return Err(SimError::NoChips);
        }
        let refused = |error: CimError| SimError::Spec(Box::new(error));
        let sample = |table: &CodeTable| {
            let of = |repetition: u32| {
                let tiles = mapping.tiles.len();
                run(AnyEngine::Table(&Table::new(table, spec, tiles, seed, repetition.into())))
            };
            chips.clone().into_par_iter().map(of).collect()
        };
        let read = |chip: &Chip| run(AnyEngine::Device(&Device::new(chip, spec, seed)));
        Ok(match engines {
            Engines::Exact => vec![run(AnyEngine::Exact(&Exact::new(spec)))],
            Engines::Table => {
                spec.check_table().map_err(refused)?;
                sample(&CodeTable::from_spec(spec))
            }
            Engines::Measured(table) => {
                spec.check_measured_table().map_err(refused)?;
                table.check_size(spec).map_err(refused)?;
                sample(table)
            }
            Engines::Device if mapping.stage != Stage::Placed => {
                return Err(SimError::Stage { stage: mapping.stage });
            }
            Engines::Device => {
                let program =
                    |number: u32| read(&Chip::program_checked(mapping, spec, seed, number.into()));
                chips.into_par_iter().map(program).collect()
            }
            Engines::Saved(saved) => {
                let (end, available) = (chips.end as usize, saved.len());
                let places = chips.start as usize..end;
                let wanted = saved.get(places).ok_or(SimError::SavedChips { end, available })?;
                let chips: Vec<&Chip> =
                    wanted.iter().map(|of| of.chip(mapping, spec)).collect::<Result<_, _>>()?;
                chips.into_par_iter().map(read).collect()
            }
            Engines::Own(make) => {
                let own = |number: u32| run(AnyEngine::Own(&*make(number.into())));
                chips.into_par_iter().map(own).collect()
            }
        })
    }
}

/// What one chip does over some images.
#[derive(Debug, Clone, Default)]
struct Outcome {
    differences: Vec<u32>,
    /// Images whose class is among the five largest outputs.
    in_five: u32,
    /// Per block of images, of outputs, added up over its images.
    squared_errors: Vec<f64>,
    events: Vec<Events>,
}

impl Outcome {
    /// That of more images, which follow.
    fn and(mut self, more: Self) -> Self {
        self.differences.extend(more.differences);
        self.in_five += more.in_five;
        self.squared_errors.extend(more.squared_errors);
        add(&mut self.events, &more.events);
        self
    }

    /// Of outputs, added up over images: in order, as floats are.
    fn squared_error(&self) -> f64 {
        self.squared_errors.iter().sum()
    }
}

fn add(events: &mut Vec<Events>, more: &[Events]) {
    events.resize(events.len().max(more.len()), Events::default());
    for (events, &more) in events.iter_mut().zip(more) {
        *events += more;
    }
}

/// Multiplies on the macro within the scope and plainly outside, there too without dead rows.
struct Scoped<'a> {
    in_scope: &'a [bool],
    plan: &'a Plan,
    mapped: Mapped<'a, AnyEngine<'a>>,
    plain: ReferenceProduct,
    held: Vec<u8>,
}

impl Multiply for Scoped<'_> {
    fn multiply(&mut self, matrix: usize, position: usize, activations: &[u8], sums: &mut [i32]) {
        if self.in_scope[matrix] {
            self.mapped.multiply(matrix, position, activations, sums);
        } else {
            self.held.clear();
            self.held.extend_from_slice(activations);
            for &row in self.plan.dead(matrix) {
                self.held[row as usize] = 0;
            }
            self.plain.multiply(matrix, position, &self.held, sums);
        }
    }
}

/// Images of one unit of work: enough to make up for the start of a worker.
const BLOCK: usize = 64;

/// All images, on one chip after the other.
struct Walk<'a> {
    programmed: &'a Programmed<'a>,
    /// (chip, image) pairs, all and done.
    total: u64,
    done: AtomicU64,
    progress: Progress<'a>,
}

impl Walk<'_> {
    /// Runs all images on one engine, or on its kernel.
    fn run(&self, engine: AnyEngine<'_>) -> Outcome {
        let Programmed { reference, layout, in_scope, plan, .. } = self.programmed;
        if let (Ok(layout), Kernels::Vectors(isa)) = (layout, reference.kernels) {
            let cells = &layout.cells;
            match engine {
                AnyEngine::Exact(exact) => {
                    return self.vectors(layout, isa, &ExactKernel::new(exact, cells));
                }
                AnyEngine::Table(table) => {
                    return self.vectors(layout, isa, &TableKernel::new(table, cells));
                }
                AnyEngine::Device(device) if !DeviceKernel::suits(device, cells) => {
                    return self.vectors(layout, isa, &SignalKernel::new(device, cells));
                }
                AnyEngine::Device(device) => {
                    return self.vectors(layout, isa, &DeviceKernel::new(device, cells));
                }
                AnyEngine::Own(_) => {}
            }
        }
        let worker = || {
            let mapped = Mapped::new(plan, engine);
            let plain = reference.plain.clone();
            (Scoped { in_scope, plan, mapped, plain, held: Vec::new() }, Vec::new())
        };
        self.run_blocks(worker, |(worker, outputs), image, first, reached| {
            worker.mapped.image = image as u32;
            *outputs = run_from(reference.network, first, reached, worker);
            (&*outputs, &mut worker.mapped.events)
        })
    }

    fn vectors(&self, layout: &Layout<'_>, isa: Isa, kernel: &impl Convert) -> Outcome {
        let in_scope = &self.programmed.in_scope;
        self.run_blocks(
            || Runner::new(layout, isa, kernel, in_scope),
            |runner, image, first, reached| runner.run(first, reached, image as u32),
        )
    }

    /// Runs all images; `run` is given an image's number and what reaches a layer, and returns the
    /// outputs, and the events so far.
    fn run_blocks<'r, W: Send>(
        &'r self,
        worker: impl Fn() -> W + Sync + Send,
        run: impl for<'w> Fn(&'w mut W, usize, usize, &[u8]) -> (&'w [i32], &'w mut Vec<Events>)
        + Sync
        + Send,
    ) -> Outcome {
        let reference = self.programmed.reference;
        let images = reference.images();
        let run_block = |(mut worker, mut outcome): (Worker<'r, W>, Outcome), block: usize| {
            let Worker { runner, buffer, again } = &mut worker;
            let range = block * BLOCK..images.min((block + 1) * BLOCK);
            let (count, mut error) = (range.len() as u64, 0.0);
            for image in range {
                let (first, reached) = self.programmed.begin(image, buffer);
                let (outputs, events) = run(runner, image, first, reached);
                let Judged { rank, squared_error } = reference.judge(image, outputs, again);
                if (rank == 0) != reference.exact_correct()[image] {
                    outcome.differences.push(image as u32);
                }
                outcome.in_five += u32::from(rank < FIVE);
                error += squared_error;
                add(&mut outcome.events, events);
                events.fill(Events::default());
            }
            outcome.squared_errors.push(error);
            let before = self.done.fetch_add(count, Ordering::Relaxed);
            (self.progress)(before + count, self.total);
            (worker, outcome)
        };
        let start = || {
            let worker = Worker { runner: worker(), buffer: Vec::new(), again: None };
            (worker, Outcome::default())
        };
        let blocks = (0..images.div_ceil(BLOCK)).into_par_iter().fold(start, run_block);
        blocks.map(|(_, outcome)| outcome).reduce(Outcome::default, Outcome::and)
    }
}

/// What runs images on one thread.
struct Worker<'r, W> {
    runner: W,
    /// An image.
    buffer: Vec<u8>,
    again: Option<Again<'r>>,
}
