//! The run from top to bottom: the sections in their order, and what they found.

use std::path::PathBuf;

use hafnia_report::{Layout, Metrics, Section};

use crate::reproduce::attribution::{self, Attributed};
use crate::reproduce::build::{self, Designs};
use crate::reproduce::cost::{self, Costs};
use crate::reproduce::deployed::Deployed;
use crate::reproduce::frontier::{self, Searched};
use crate::reproduce::lab::{Lab, add};
use crate::reproduce::mapping::{self, Compiled};
use crate::reproduce::recorded::{Recorded, Records};
use crate::reproduce::reorder::{self, Group};
use crate::reproduce::speed::{self, Speed};
use crate::reproduce::{accuracy, all_layers, cells, import, rename, shapes};
use crate::simulate::PooledNetworks;

/// What the sections found.
pub(super) struct Results {
    accuracy_like: accuracy::Like,
    pub(super) accuracy: accuracy::Ours,
    rename_like: rename::Like,
    rename: rename::Ours,
    reorder_like: reorder::Found,
    reorder: reorder::Found,
    /// Networks like the paper's in natural order, neither merged nor renamed.
    untouched: Option<PooledNetworks>,
    /// All layers of the deployed network with noise, at the preset's default.
    all_layers: PooledNetworks,
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
    pub(super) speed: Speed,
    /// Networks of published shapes.
    shapes: shapes::Shapes,
    /// Networks of other tools.
    imports: import::Imports,
    /// What to build; none on another data set than that of the recorded networks.
    designs: Option<Designs>,
    /// The recorded networks, if they were evaluated.
    pub(super) recorded: Option<Recorded>,
}

/// Runs all sections.
pub(super) fn run(lab: &Lab<'_>, retrain: bool) -> anyhow::Result<Results> {
    // Looked at first, so that what is wrong with the records shows before hours have gone.
    let records = Records::open(lab, retrain)?;

    // The claims, by networks like the paper's.
    let accuracy_like = accuracy::like(lab)?;
    let rename_like = rename::like(lab)?;
    let files = |which: usize| {
        rename_like.files().map(move |(seed, files)| (seed, PathBuf::clone(files[which])))
    };
    let group = Group::prepare(lab, "like", "networks like the paper's", files(0))?;
    let reorder_like = group.run(lab, 3, lab.effort.searches)?;
    let untouched = reorder_like.operating();
    let untouched = untouched.map(|at| reorder::untouched(lab, at, files(1))).transpose()?;

    // The claims, by ours.
    let trained = accuracy::train(lab)?;
    let deployed = Deployed::prepare(lab)?;
    let accuracy = accuracy::ours(lab, trained, &deployed)?;
    let rename = rename::ours(lab, &deployed)?;
    let seeds = lab.seed..lab.seed + lab.effort.seeds;
    let tied = seeds.map(|seed| (seed, lab.network("tied", seed)));
    let reorder = Group::prepare(lab, "final", "larger networks of ours", tied)?.run(lab, 1, 0)?;

    // What can be built of the recorded networks.
    let designs = records.is_some().then(|| build::run(lab)).transpose()?;

    // What else is said of ours.
    let all_layers = all_layers::run(lab, &deployed)?;
    let compiled = mapping::run(lab, &deployed)?;
    let layouts =
        [("natural", &deployed.natural), ("rename", &deployed.renamed), ("best", compiled.best())];
    let layouts = layouts.into_iter().map(|(name, path)| cells::read(name, path));
    let setting = lab.settings[reorder.operating().unwrap_or(0)];
    Ok(Results {
        accuracy_like,
        rename_like,
        reorder_like,
        untouched,
        layouts: layouts.collect::<Result<_, _>>()?,
        frontier: frontier::run(lab, setting, &deployed.network, &deployed.profile)?,
        attribution: attribution::run(lab, setting, &deployed.network, &deployed.renamed)?,
        cost: cost::run(lab, &deployed.network, &deployed.natural, compiled.best())?,
        speed: speed::run(lab, &deployed.network)?,
        shapes: shapes::run(lab)?,
        imports: import::run(lab)?,
        designs,
        recorded: records.map(|records| records.evaluate(lab)).transpose()?,
        accuracy,
        rename,
        reorder,
        all_layers,
        compiled,
    })
}

impl Results {
    /// Shares are fractions of 1; what ends in `_points` is in percentage points.
    pub(super) fn metrics(&self, lab: &Lab<'_>) -> anyhow::Result<Metrics> {
        let mut metrics = Metrics::default();
        self.accuracy_like.add_metrics(&mut metrics)?;
        self.accuracy.add_metrics(&mut metrics)?;
        self.rename_like.add_metrics(&mut metrics)?;
        self.rename.add_metrics(&mut metrics)?;
        self.reorder_like.add_metrics(lab, &mut metrics)?;
        self.reorder.add_metrics(lab, &mut metrics)?;
        reorder::add_rename_order(&mut metrics, &self.reorder_like, self.untouched.as_ref())?;
        add(
            &mut metrics,
            "noise/all_layers/drop_points",
            self.all_layers.mappings[0].found.drop_points,
        )?;
        metrics.insert("noise/all_layers/chips", self.all_layers.chips as f64)?;
        self.compiled.add_metrics(&mut metrics)?;
        self.cost.add_metrics(&mut metrics)?;
        self.speed.add_metrics(&mut metrics)?;
        self.shapes.add_metrics(&mut metrics)?;
        self.imports.add_metrics(&mut metrics)?;
        if let Some(designs) = &self.designs {
            designs.add_metrics(&mut metrics)?;
        }
        if let Some(recorded) = &self.recorded {
            recorded.add_metrics(&mut metrics)?;
        }
        Ok(metrics)
    }

    /// The body of the report.
    pub(super) fn sections(&self, lab: &Lab<'_>) -> anyhow::Result<Vec<Section>> {
        let groups = [&self.reorder_like, &self.reorder];
        let mut sections = vec![
            self.accuracy_like.section(),
            self.accuracy.section(&lab.data)?,
            self.rename_like.section(),
            self.rename.section()?,
            cells::section(&self.layouts),
            reorder::noise_section(lab, groups)?,
            reorder::section(lab, groups, self.untouched.as_ref()),
            all_layers::section(&self.all_layers),
            self.compiled.section(),
            self.frontier.section(),
            self.attribution.section(),
            self.cost.section()?,
            self.speed.section(),
            self.shapes.section(),
            self.imports.section(),
        ];
        if let Some(designs) = &self.designs {
            sections.push(designs.section()?);
        }
        sections.extend(self.recorded.as_ref().map(Recorded::section));
        Ok(sections)
    }
}
