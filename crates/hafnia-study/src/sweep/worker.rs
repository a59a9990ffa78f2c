//! [`Worker`]: maps points, runs their chips and prices what happens.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hafnia_artifact::{Digest, load, save};
use hafnia_cim::{CodeTable, InputControl, MacroSpec};
use hafnia_cost::{Calibrated, CostModel, DRAWS};
use hafnia_data::{SplitDataset, View};
use hafnia_ir::{Mapping, Profile};
use hafnia_passes::{Context, PassError, Size};
use hafnia_rng::Seed;
use hafnia_sim::{
    EngineKind, Evaluation, EventCounts, Events, NoiseScope, ProfileOptions, Programmed, Progress,
    Reference,
};

use crate::data::{self, Part};
use crate::limits;
use crate::map::run_pipeline;
use crate::profile::PROFILE_IMAGES;
use crate::record::{in_one_line, program};
use crate::session::Session;
use crate::simulate::noise_scope;
use crate::source::NamedNetwork;
use crate::sweep::folder::{Computed, Folder, ShardCounts};
use crate::sweep::key::{inputs, network, pipeline, spec, text_of};
use crate::sweep::plan::{Inputs, Plan, Point, ShardId};
use crate::table_error::{self, TableCheck};

/// The images that every chip is shown.
pub(super) fn shown<'a>(plan: &Plan, set: &'a SplitDataset) -> anyhow::Result<View<'a>> {
    let part = plan.sweep.part;
    let dataset = part.of(set);
    let of = format!("the {} images", part.name());
    let images = data::count("`images`", plan.sweep.images, usize::MAX, &dataset, &of)?;
    limits::check_chips("`chips`", plan.sweep.chips, images)?;
    Ok(dataset.first(images))
}

/// What computes shards.
pub(super) struct Worker<'a> {
    plan: &'a Plan,
    set: &'a SplitDataset,
    session: &'a Session<'a>,
    /// The images that every chip is shown.
    shown: View<'a>,
    /// What prices events: the same draws for all points.
    calibrated: Calibrated,
    folder: PathBuf,
}

/// A point, ready to be run.
struct Ready {
    inputs: Inputs,
    spec: MacroSpec,
    mapping: Mapping,
    /// Area, energy and latency, and how far `table` may err.
    known: BTreeMap<String, f64>,
}

/// What points of one network and scope share.
struct Subject<'a> {
    named: &'a NamedNetwork,
    scope: NoiseScope,
    /// The images that every chip is shown.
    shown: Reference<'a>,
    /// Those over which events are priced.
    priced: Reference<'a>,
    /// Those on which `table` is held against `device`; for that engine alone.
    checked: Option<Reference<'a>>,
    counted: RefCell<Vec<Counted>>,
}

/// The events of a mapping under an input control.
struct Counted {
    mapping: Mapping,
    grouping: (InputControl, usize),
    events: EventCounts,
}

impl Ready {
    fn programmed<'a>(&'a self, subject: &'a Subject<'_>) -> anyhow::Result<Programmed<'a>> {
        let Subject { shown, scope, .. } = subject;
        Ok(Programmed::new(shown, &self.mapping, &self.spec, scope)?)
    }
}

/// What `cell` holds, made if it holds nothing yet.
fn made<T>(cell: &OnceCell<T>, make: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<&T> {
    if let Some(made) = cell.get() {
        return Ok(made);
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made))
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        set: &'a SplitDataset,
        session: &'a Session<'a>,
        folder: PathBuf,
    ) -> anyhow::Result<Self> {
        let calibrated = CostModel::gt_n40().calibrate(DRAWS, Seed(plan.sweep.seed))?;
        Ok(Self { plan, set, session, shown: shown(plan, set)?, calibrated, folder })
    }

    /// Computes shards that are missing.
    pub(super) fn work(&self, folder: &Folder, todo: &[ShardId]) -> anyhow::Result<ShardCounts> {
        let bar = self.session.observer.bar(&self.plan.sweep.name, "images");
        let runs = |id: &ShardId| Ok(self.plan.chips(id)?.len() as u64 * self.shown.len() as u64);
        let total: anyhow::Result<Vec<u64>> = todo.iter().map(runs).collect();
        let total: u64 = total?.iter().sum();
        let done = AtomicU64::new(0);
        let mut tally = ShardCounts::default();
        // Points of one network and scope share what is run once without noise.
        let subject = |id: &ShardId| {
            let point = &self.plan.points[id.point];
            ["model", "network", "noise_in"].map(|key| point.get(key).map(ToString::to_string))
        };
        let mut todo = todo.to_vec();
        todo.sort_by_key(subject);
        for group in todo.chunk_by(|a, b| subject(a) == subject(b)) {
            let point = &self.plan.points[group[0].point];
            let named = network(point).map_err(|error| in_one_line(&error));
            let subject = named.as_ref().map_err(String::clone).and_then(|named| {
                self.subject(point, named, self.shown.len()).map_err(|error| in_one_line(&error))
            });
            for of_point in group.chunk_by(|a, b| a.point == b.point) {
                let (ready, programmed) = (OnceCell::new(), OnceCell::new());
                let compute = |point: &Point, chips: Range<u32>| {
                    let subject = subject.as_ref().map_err(String::clone)?;
                    let before = done.load(Ordering::Relaxed);
                    let moves = |more: u64, _: u64| {
                        done.fetch_max(before + more, Ordering::Relaxed);
                        bar.moves(before + more, total);
                    };
                    let compute = || {
                        let ready = made(&ready, || self.map(point, subject))?;
                        let programmed = made(&programmed, || ready.programmed(subject))?;
                        self.run(ready, programmed, chips, &moves)
                    };
                    compute().map_err(|error| in_one_line(&error))
                };
                let more = folder.compute(of_point, compute, |id, failure| {
                    if let Some(failure) = failure {
                        bar.line(&format!("{id} failed: {}", failure.error));
                    }
                })?;
                tally.done += more.done;
                tally.failed += more.failed;
            }
        }
        Ok(tally)
    }

    /// What points of one network and scope share.
    fn subject<'n>(
        &self,
        point: &Point,
        named: &'n NamedNetwork,
        images: usize,
    ) -> anyhow::Result<Subject<'n>>
    where
        'a: 'n,
    {
        let network = &named.network;
        let scope = noise_scope(&text_of(point, "noise_in", "all"), network)?;
        let reference = |images| data::reference(network, self.shown.clone().first(images));
        let is_table = self.plan.sweep.engine == EngineKind::Table;
        let checked = is_table.then(|| reference(images.min(table_error::IMAGES))).transpose()?;
        let (shown, priced) = (reference(images)?, reference(COST_IMAGES)?);
        Ok(Subject { named, scope, shown, priced, checked, counted: RefCell::default() })
    }

    /// Maps a point; events that were counted for another point of its network are used again.
    fn map(&self, point: &Point, subject: &Subject<'_>) -> anyhow::Result<Ready> {
        let spec = spec(point)?;
        if self.plan.sweep.engine == EngineKind::Table {
            spec.check_table()?;
        }
        let pipeline = pipeline(point, self.session)?;
        let code_table = CodeTable::from_spec(&spec);
        let context = Context {
            network: &subject.named.network,
            spec: &spec,
            profile: None,
            code_table: &code_table,
            seed: Seed(self.plan.sweep.seed),
            progress: &|_, _| {},
        };
        let mapped = match run_pipeline(self.session, &pipeline, context, None, false) {
            Err(error) if asks_for_profile(&error) => {
                let profile = self.profile(subject.named)?;
                let context = Context { profile: Some(&profile), ..context };
                run_pipeline(self.session, &pipeline, context, None, false)
            }
            mapped => mapped,
        };
        let (mapping, _) = mapped?;
        let mut known = self.costs(subject, &mapping, &spec)?;
        known.extend(self.table_error(subject, &mapping, &spec)?);
        // Read after all was loaded: what changed in between is told by the folder.
        let inputs = inputs([point], self.set);
        Ok(Ready { inputs, spec, mapping, known })
    }

    /// What a mapping costs, and the ends of the range that what is assumed leaves.
    fn costs(
        &self,
        subject: &Subject<'_>,
        mapping: &Mapping,
        spec: &MacroSpec,
    ) -> anyhow::Result<BTreeMap<String, f64>> {
        let grouping = (spec.input_control, spec.rows_per_conversion);
        let is_same = |of: &Counted| of.grouping == grouping && of.mapping == *mapping;
        let mut counted = subject.counted.borrow_mut();
        let known = match counted.iter().position(is_same) {
            Some(known) => known,
            None => {
                let Subject { priced, scope, .. } = subject;
                let events =
                    Programmed::new(priced, mapping, spec, scope)?.count_events(&|_, _| {});
                counted.push(Counted { mapping: mapping.clone(), grouping, events });
                counted.len() - 1
            }
        };
        let (network, events) = (&subject.named.network, &counted[known].events);
        let cost = self.calibrated.assess(network, mapping, spec, events)?.cost();
        let costs = [
            ("area_mm2", cost.whole_um2.scaled(1e-6)),
            ("energy_nj", cost.energy_fj.total.scaled(1e-6)),
            ("latency_us", cost.latency_ns.total.scaled(1e-3)),
            ("tops_per_w", cost.tops_per_w),
        ];
        let ends =
            |(column, hafnia_cost::Range { typical, lo, hi }): (&str, hafnia_cost::Range)| {
                [("", typical), ("_lo", lo), ("_hi", hi)]
                    .map(|(end, value)| (format!("{column}{end}"), value))
            };
        Ok(costs.into_iter().flat_map(ends).collect())
    }

    /// By how many points more a mapping loses on `device`, if the sweep is run on `table` and its noise
    /// is static.
    fn table_error(
        &self,
        subject: &Subject<'_>,
        mapping: &Mapping,
        spec: &MacroSpec,
    ) -> anyhow::Result<BTreeMap<String, f64>> {
        let Some(checked) = &subject.checked else { return Ok(BTreeMap::new()) };
        let Some(check) = TableCheck::of(spec, self.shown.len()) else {
            return Ok(BTreeMap::new());
        };
        let programmed = Programmed::new(checked, mapping, spec, &subject.scope)?;
        let error = check.error_points(&programmed, Seed(self.plan.sweep.seed), &|_, _| {})?;
        let ends = [("", error.value), ("_lo", error.lo), ("_hi", error.hi)];
        Ok(ends.map(|(end, value)| (format!("{TABLE_ERROR}{end}"), value)).into())
    }

    /// The profile of a network: taken once a sweep and kept in its folder.
    fn profile(&self, named: &NamedNetwork) -> anyhow::Result<Profile> {
        let of = (named.digest, &self.set.digests, program());
        let name = format!("{}.profile", Digest::of_value(&of));
        let path = self.folder.join("profiles").join(name);
        if let Ok(profile) = load(&path) {
            return Ok(profile);
        }
        let reference = data::reference(&named.network, Part::Train.of(self.set))?;
        let images = PROFILE_IMAGES.min(reference.images());
        let options = ProfileOptions { images, positions_per_image: 1 };
        let taken = reference.profile(options, Seed(1), &|_, _| {})?;
        save(&path, &taken)?;
        Ok(taken)
    }

    /// Runs some chips of a point.
    fn run(
        &self,
        Ready { inputs, mapping, known, .. }: &Ready,
        programmed: &Programmed<'_>,
        chips: Range<u32>,
        moves: Progress<'_>,
    ) -> anyhow::Result<Computed> {
        let sweep = &self.plan.sweep;
        let run = programmed.run(chips, Seed(sweep.seed)).progress(moves);
        let evaluation = run.on(&sweep.engine.try_into()?)?;
        let mut facts = facts(mapping, &evaluation);
        facts.extend(known.clone());
        Ok(Computed { inputs: inputs.clone(), evaluation, facts })
    }

    /// About how many seconds these shards take: a chip of the first on a few images, scaled up.
    pub(super) fn estimate(&self, todo: &[ShardId]) -> anyhow::Result<f64> {
        let Some(first) = todo.first() else { return Ok(0.0) };
        let point = &self.plan.points[first.point];
        let named = network(point)?;
        let images = self.shown.len().min(512);
        let subject = self.subject(point, &named, images)?;
        let ready = self.map(point, &subject)?;
        let start = Instant::now();
        self.run(&ready, &ready.programmed(&subject)?, 0..1, &|_, _| {})?;
        let seconds = start.elapsed().as_secs_f64() / images as f64;
        let mut runs = 0.0;
        for shard in todo {
            // Without noise one run counts for all chips.
            let is_exact = self.plan.sweep.engine == EngineKind::Exact;
            runs += if is_exact { 1.0 } else { self.plan.chips(shard)?.len() as f64 };
        }
        Ok(seconds * runs * self.shown.len() as f64)
    }
}

/// The fact by how many points more a point loses on `device`.
pub(super) const TABLE_ERROR: &str = "table_error_points";

/// Images over which events are priced, at most.
const COST_IMAGES: usize = 100;

/// Whether a pipeline failed because it was given no profile.
fn asks_for_profile(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref())
        .any(|error| matches!(error, PassError::NoProfile { .. }))
}

/// What is known of a mapping, of what happened on it, per image where it is counted, and of its
/// outputs.
fn facts(mapping: &Mapping, evaluation: &Evaluation) -> BTreeMap<String, f64> {
    let size = Size::of(mapping);
    let runs = evaluation.runs() as f64;
    let mean = |count: fn(&Events) -> u64| {
        evaluation.events.iter().map(|events| count(events) as f64).sum::<f64>() / runs
    };
    let facts = [
        ("rows", size.physical_rows as f64),
        ("cells", size.cells as f64),
        ("macros", mapping.macros() as f64),
        ("table_bits", size.table_bits as f64),
        ("cycles", mean(|events| events.groups)),
        ("conversions", mean(|events| events.conversions)),
        ("top_five", evaluation.top_five().value),
        ("mean_squared_error", evaluation.mean_squared_error().value),
    ];
    facts.map(|(column, value)| (column.to_owned(), value)).into()
}
