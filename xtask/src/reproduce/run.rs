//! The run from top to bottom: the sections in their order, and what they found.

use std::path::PathBuf;

use hafnia_report::{Claims, Layout, Metrics, Section};

use super::attribution::{self, Attributed};
use super::calls::{Calls, Data};
use super::cost::{self, Costs};
use super::deployed::Deployed;
use super::frontier::{self, Searched};
use super::mapping::{self, Compiled};
use super::options::Options;
use super::plan::{Plan, Pooled, Simulated, add};
use super::recorded::{Recorded, Records};
use super::reorder::{self, Group};
use super::runner::Runner;
use super::speed::{self, Speed};
use super::{accuracy, all_layers, cells, rename};

/// What the sections found.
pub(crate) struct Results {
    pub(crate) data: Data,
    accuracy_like: accuracy::Like,
    pub(crate) accuracy: accuracy::Ours,
    rename_like: rename::Like,
    rename: rename::Ours,
    reorder_like: reorder::Found,
    reorder: reorder::Found,
    /// Networks like the paper's in natural order, neither merged nor renamed.
    untouched: Option<Pooled>,
    /// All layers of the deployed network with noise, at the preset's default.
    all_layers: Simulated,
    /// What the mapping compiler does.
    compiled: Compiled,
    /// The deployed network on macros: in natural order, renamed, by `best`.
    layouts: Vec<Layout>,
    /// What cells, cycles and noise can be had together.
    frontier: Searched,
    /// Where accuracy goes.
    attribution: Attributed,
    /// What it costs.
    cost: Costs,
    /// How fast the engines are.
    pub(crate) speed: Speed,
    /// The recorded networks, if they were evaluated.
    pub(crate) recorded: Option<Recorded>,
}

pub(crate) fn run<'a>(
    runner: &'a Runner,
    options: &Options,
    claims: &'a Claims,
) -> anyhow::Result<(Plan<'a>, Results)> {
    let calls = Calls::find(runner, options.data.as_deref(), options.offline)?;
    let plan = Plan::new(calls, options, claims);
    // Looked at first, so that what is wrong with the records shows before hours have gone.
    let records = Records::open(&plan, options.retrain)?;

    // The claims, by networks like the paper's.
    let accuracy_like = accuracy::like(&plan)?;
    let rename_like = rename::like(&plan)?;
    let files = |which: usize| {
        rename_like.files().map(move |(seed, files)| (seed, PathBuf::clone(files[which])))
    };
    let group = Group::prepare(&plan, "like", "networks like the paper's", files(0))?;
    let reorder_like = group.run(&plan, 3, plan.effort.searches)?;
    let untouched = reorder_like.operating();
    let untouched = untouched.map(|at| reorder::untouched(&plan, at, files(1))).transpose()?;

    // The claims, by ours.
    let trained = accuracy::train(&plan)?;
    let deployed = Deployed::prepare(&plan)?;
    let accuracy = accuracy::ours(&plan, trained, &deployed)?;
    let rename = rename::ours(&plan, &deployed)?;
    let seeds = plan.seed..plan.seed + plan.effort.seeds;
    let tied = seeds.map(|seed| (seed, plan.network("tied", seed)));
    let reorder =
        Group::prepare(&plan, "final", "larger networks of ours", tied)?.run(&plan, 1, 0)?;

    // What else is said of ours.
    let all_layers = all_layers::run(&plan, &deployed)?;
    let compiled = mapping::run(&plan, &deployed)?;
    let layouts =
        [("natural", &deployed.natural), ("rename", &deployed.renamed), ("best", compiled.best())];
    let layouts = layouts.into_iter().map(|(name, path)| cells::layout(name, path));
    let setting = plan.settings[reorder.operating().unwrap_or(0)];
    let results = Results {
        data: plan.calls.data.clone(),
        accuracy_like,
        rename_like,
        reorder_like,
        untouched,
        layouts: layouts.collect::<Result<_, _>>()?,
        frontier: frontier::run(&plan, setting, &deployed.network, &deployed.profile)?,
        attribution: attribution::run(&plan, setting, &deployed.network, &deployed.renamed)?,
        cost: cost::run(&plan, &deployed.network, &deployed.natural, compiled.best())?,
        speed: speed::run(&plan, &deployed.network)?,
        recorded: records.map(|records| records.evaluate(&plan)).transpose()?,
        accuracy,
        rename,
        reorder,
        all_layers,
        compiled,
    };
    Ok((plan, results))
}

impl Results {
    /// Shares are fractions of 1; what ends in `_points` is in percentage points.
    pub(crate) fn metrics(&self, plan: &Plan<'_>) -> anyhow::Result<Metrics> {
        let mut metrics = Metrics::default();
        self.accuracy_like.add_metrics(&mut metrics)?;
        self.accuracy.add_metrics(&mut metrics)?;
        self.rename_like.add_metrics(&mut metrics)?;
        self.rename.add_metrics(&mut metrics)?;
        self.reorder_like.add_metrics(plan, &mut metrics)?;
        self.reorder.add_metrics(plan, &mut metrics)?;
        reorder::add_rename_order(&mut metrics, &self.reorder_like, self.untouched.as_ref())?;
        add(&mut metrics, "noise/all_layers/drop_points", self.all_layers.mappings[0].drop_points)?;
        metrics.insert("noise/all_layers/chips", f64::from(self.all_layers.chips))?;
        self.compiled.add_metrics(&mut metrics)?;
        self.cost.add_metrics(&mut metrics)?;
        self.speed.add_metrics(&mut metrics)?;
        if let Some(recorded) = &self.recorded {
            recorded.add_metrics(&mut metrics)?;
        }
        Ok(metrics)
    }

    /// The body of the report.
    pub(crate) fn sections(&self, plan: &Plan<'_>) -> anyhow::Result<Vec<Section>> {
        let groups = [&self.reorder_like, &self.reorder];
        let mut sections = vec![
            self.accuracy_like.section(),
            self.accuracy.section(&self.data)?,
            self.rename_like.section(),
            self.rename.section()?,
            cells::section(&self.layouts),
            reorder::noise_section(plan, groups)?,
            reorder::section(plan, groups, self.untouched.as_ref()),
            all_layers::section(&self.all_layers),
            self.compiled.section(),
            self.frontier.section(),
            self.attribution.section(),
            self.cost.section()?,
            self.speed.section(),
        ];
        sections.extend(self.recorded.as_ref().map(Recorded::section));
        Ok(sections)
    }
}
