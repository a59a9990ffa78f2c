//! `best`: searches over rename, polarity, order and the input control for what rows, conversion
//! cycles and noise can be had together.
//!
//! The three act on each other. Rows that rename lets share a cell err together and may not share a
//! conversion; a negative row never shares one with a positive; which columns are worth inverting
//! depends on which rows meet in a conversion, and that depends on the order and on how the input
//! control scans. So they are tried together:
//!
//! 1. Every way to rename (not, `repeat`, `pre-add`, complements) with and without polarity, in
//!    natural order, under every input control: a *candidate* each. Ways to rename that find nothing
//!    are dropped.
//! 2. Candidates that no other beats in cells, cycles and noise at once are annealed as well.
//! 3. The *frontier* is what no other candidate beats after that.
//!
//! Cells are those of the whole mapping, which counts rows by their length, and cycles those of an
//! image. Noise is the expected damage to the chosen matrices as `reorder` defines it, as a multiple
//! of that of the plain mapping (`tile`, `pack`) under the input control of the spec; of several
//! matrices the mean.
//!
//! The pass leaves the candidate with the fewest macros, then the fewest cells, then the least
//! noise, of those under the spec's own input control that stay within the options `noise` and
//! `cycles`. The plain mapping always does.
//!
//! Assumes: the profile is like the images to come. Every candidate is verified and proved on its
//! way, as in any pipeline.
//!
//! Cost: two dozen pipelines without annealing, and one annealing for each candidate of step 2.

use std::collections::BTreeMap;

use hafnia_cim::{InputControl, MacroSpec};
use hafnia_ir::{Mapping, MatrixId, Stage};
use serde::{Deserialize, Serialize};

use crate::analysis::{Damage, Profiled, RenameMode, Scanned, StaticCost, refuse_unknown_errors};
use crate::error::{PassError, PipelineError};
use crate::options::at_least_one;
use crate::pass::{Context, Pass, PassInfo};
use crate::passes::pack::PackTiles;
use crate::passes::polarity::SetPolarity;
use crate::passes::rename::{RenameComplements, RenameRows};
use crate::passes::reorder::ReorderRows;
use crate::passes::tile::CutTiles;
use crate::pipeline::Pipeline;
use crate::statistics::{Size, Statistics, StatisticsTable};

/// The pass `best`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchMappings {
    /// Names of the matrices whose noise counts; none is the last, `*` is all.
    pub matrices: Vec<String>,
    /// Swaps that annealing tries, per tile and candidate.
    pub steps: u64,
    /// Most noise of the mapping that is left, as a multiple of the plain mapping's, at least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub noise: f64,
    /// Most conversion cycles of the mapping that is left, likewise, at least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub cycles: f64,
    /// Whether `pack` may cut tiles, where that saves a macro.
    pub cut: bool,
}

impl Default for SearchMappings {
    fn default() -> Self {
        Self { matrices: Vec::new(), steps: 5000, noise: 1.0, cycles: 1.25, cut: true }
    }
}

/// A way to map, and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// How the input control scans.
    pub input_control: InputControl,
    /// The pipeline that makes it, as TOML with every option.
    pub pipeline: String,
    /// What it does, such as `rename, polarity, reorder`; `plain` if nothing.
    pub what: String,
    /// What it takes.
    pub size: Size,
    /// Macros.
    pub macros: usize,
    /// Conversion cycles per image, expected under the profile.
    pub cycles: f64,
    /// Expected damage, as a multiple of the plain mapping's.
    pub noise: f64,
    /// Whether no other candidate beats it.
    pub is_frontier: bool,
    /// The mapping.
    pub mapping: Mapping,
}

/// A way to rename: what people call it, and what it adds to a pipeline.
type Renaming = (&'static str, fn(Pipeline) -> Result<Pipeline, PipelineError>);

const RENAMINGS: [Renaming; 4] = [
    ("", Ok),
    ("rename", |pipeline| pipeline.then(RenameRows { mode: RenameMode::Repeat })),
    ("rename (pre-add)", |pipeline| pipeline.then(RenameRows { mode: RenameMode::PreAdd })),
    ("rename-complement", |pipeline| pipeline.then(RenameComplements::default())),
];

/// Sizes of the windows that are tried.
const WINDOWS: [usize; 3] = [8, 16, 32];

impl Candidate {
    /// Whether it costs no more than the other in cells, cycles and noise, and less in one of them.
    fn beats(&self, other: &Self) -> bool {
        let costs = |c: &Self| [c.size.cells as f64, c.cycles, c.noise];
        let pairs = || costs(self).into_iter().zip(costs(other));
        pairs().all(|(ours, theirs)| ours <= theirs) && pairs().any(|(ours, theirs)| ours < theirs)
    }
}

/// Marks those that no other beats.
fn mark(candidates: &mut [Candidate]) {
    for index in 0..candidates.len() {
        let is_beaten = candidates.iter().any(|other| other.beats(&candidates[index]));
        candidates[index].is_frontier = !is_beaten;
    }
}

impl SearchMappings {
    /// The pipeline of a candidate.
    fn pipeline(
        &self,
        renaming: Renaming,
        polarity: bool,
        anneal: bool,
    ) -> Result<Pipeline, PipelineError> {
        let matrices = &self.matrices;
        // Candidates are compared with each other, so that none is judged on its own.
        let invert =
            || SetPolarity { matrices: matrices.clone(), held_back: 0, ..SetPolarity::default() };
        let renamed = (renaming.1)(Pipeline::new("candidate"))?;
        let mut pipeline = renamed.then(CutTiles::default())?;
        if polarity {
            pipeline = pipeline.then(invert())?;
        }
        if anneal {
            pipeline = pipeline.then(ReorderRows {
                steps: self.steps,
                matrices: matrices.clone(),
                held_back: 0,
                ..ReorderRows::default()
            })?;
            // Which columns are worth inverting has changed with the order.
            pipeline = if polarity { pipeline.then(invert())? } else { pipeline };
        }
        pipeline.then(PackTiles { cut: self.cut })
    }

    /// All candidates, those under the spec's own input control first.
    ///
    /// # Errors
    /// [`PassError::NoProfile`], [`PassError::MultiLevel`], and what stops a pass of a candidate.
    pub fn candidates(
        &self,
        mapping: &Mapping,
        context: &Context<'_>,
    ) -> Result<Vec<Candidate>, PassError> {
        refuse_unknown_errors("pass `best`", mapping, context)?;
        let controls = controls(context.spec);
        let ways = RENAMINGS.len() * 2;
        let all = (2 * controls.len() * ways) as u64;
        let mut search = Search { options: self, start: mapping, context, plain: None };
        let mut candidates: Vec<Candidate> = Vec::new();
        // How each was renamed, and whether by polarity.
        let mut made = Vec::new();
        let mut done = 0;
        for &control in &controls {
            let from = candidates.len();
            for renaming in RENAMINGS {
                for polarity in [false, true] {
                    let found = search.candidate(control, renaming, polarity, false)?;
                    let same = |other: &Candidate| other.mapping == found.mapping;
                    if !candidates[from..].iter().any(same) {
                        candidates.push(found);
                        made.push((renaming, polarity));
                    }
                    done += 1;
                    (context.progress)(done, all);
                }
            }
        }
        mark(&mut candidates);
        for (index, (renaming, polarity)) in made.into_iter().enumerate() {
            let Candidate { input_control, is_frontier, .. } = candidates[index];
            if is_frontier {
                candidates.push(search.candidate(input_control, renaming, polarity, true)?);
            }
            done += 1;
            (context.progress)(done.min(all), all);
        }
        (context.progress)(all, all);
        mark(&mut candidates);
        Ok(candidates)
    }

    /// The candidate to leave.
    fn choice<'a>(&self, candidates: &'a [Candidate], spec: &MacroSpec) -> Option<&'a Candidate> {
        let own = || candidates.iter().filter(|c| c.input_control == spec.input_control);
        let plain = own().next()?;
        let is_within = |candidate: &&Candidate| {
            candidate.noise <= self.noise * plain.noise
                && candidate.cycles <= self.cycles * plain.cycles
        };
        own().filter(is_within).min_by(|a, b| {
            let size = |c: &Candidate| (c.macros, c.size.cells);
            size(a).cmp(&size(b)).then(a.noise.total_cmp(&b.noise))
        })
    }
}

/// The input controls that are tried, that of the spec first; a window is no longer than the macro.
fn controls(spec: &MacroSpec) -> Vec<InputControl> {
    let windows = WINDOWS.into_iter().filter(|&window| window <= spec.rows);
    let windows = windows.map(|window| InputControl::FixedWindow { window });
    let others = [InputControl::OrderedScan, InputControl::FixedGroup].into_iter().chain(windows);
    let mut controls = vec![spec.input_control];
    controls.extend(others.filter(|&control| control != spec.input_control));
    controls
}

/// What the candidates of a search share.
struct Search<'a> {
    options: &'a SearchMappings,
    start: &'a Mapping,
    context: &'a Context<'a>,
    /// What the plain mapping, which is the first candidate, makes of the chosen matrices.
    plain: Option<Vec<MatrixDamage>>,
}

/// The expected damage to a matrix.
#[derive(Debug, Clone, Copy, Default)]
struct MatrixDamage {
    /// Lost classifications, if a tile holds the last matrix whole; they then count.
    flips: Option<f64>,
    squared_error: f64,
}

impl MatrixDamage {
    /// As a multiple of another, in what both have; 1 if neither does damage.
    fn over(&self, plain: &Self) -> f64 {
        let (ours, theirs) = match (self.flips, plain.flips) {
            (Some(ours), Some(theirs)) => (ours, theirs),
            _ => (self.squared_error, plain.squared_error),
        };
        if ours == theirs { 1.0 } else { ours / theirs }
    }
}

impl Search<'_> {
    fn candidate(
        &mut self,
        control: InputControl,
        renaming: Renaming,
        polarity: bool,
        anneal: bool,
    ) -> Result<Candidate, PassError> {
        let spec = MacroSpec { input_control: control, ..self.context.spec.clone() };
        let context = Context { spec: &spec, progress: &|_, _| {}, ..*self.context };
        let mapped = |pipeline: Pipeline| {
            let outcome = pipeline.run(self.start.clone(), &context, &mut |_| Ok(()))?;
            Ok((pipeline.to_string(), outcome.mapping))
        };
        let (pipeline, mapping) = self
            .options
            .pipeline(renaming, polarity, anneal)
            .and_then(mapped)
            .map_err(|source| PassError::Candidate(Box::new(source)))?;
        let does = [(true, renaming.0), (polarity, "polarity"), (anneal, "reorder")];
        let does = does.into_iter().filter(|(does, what)| *does && !what.is_empty());
        let what: Vec<&str> = does.map(|(_, what)| what).collect();
        let damages = self.damages(&mapping, &context)?;
        let plain = self.plain.get_or_insert_with(|| damages.clone());
        let ratios = damages.iter().zip(plain.iter()).map(|(damage, plain)| damage.over(plain));
        let noise = ratios.sum::<f64>() / damages.len() as f64;
        Ok(Candidate {
            input_control: control,
            what: if what.is_empty() { "plain".to_owned() } else { what.join(", ") },
            size: Size::of(&mapping),
            macros: mapping.macros(),
            cycles: StaticCost::of(&mapping, &context).cycles,
            noise,
            is_frontier: false,
            pipeline,
            mapping,
        })
    }
}

impl Search<'_> {
    /// The damage to every chosen matrix.
    fn damages(
        &self,
        mapping: &Mapping,
        context: &Context<'_>,
    ) -> Result<Vec<MatrixDamage>, PassError> {
        let Profiled { tiles, profile } = Profiled::new(&self.options.matrices, mapping, context)?;
        profile.ok_or(PassError::NoProfile { what: "pass `best`" })?;
        let mut damages: BTreeMap<MatrixId, MatrixDamage> = BTreeMap::new();
        for tile in tiles.into_iter().map(|index| &mapping.tiles[index]) {
            let scanned = Scanned::new(tile, profile, mapping, context)?;
            let order: Vec<usize> = (0..scanned.tile.rows.len()).collect();
            let found = damages.entry(tile.matrix).or_default();
            let of = |damage: Damage<'_>| damage.of(&order).damage;
            found.squared_error += scanned.squared_error(context).map_or(0.0, of);
            let damage = scanned.damage(context).filter(Damage::is_last);
            found.flips = damage.map(of).or(found.flips);
        }
        Ok(damages.into_values().collect())
    }
}

impl Pass for SearchMappings {
    const INFO: PassInfo = PassInfo {
        name: "best",
        summary: "Searches over rename, polarity, order and input control for few rows, few cycles and little noise.",
        takes: &[Stage::Logical],
        leaves: Some(Stage::Placed),
        options: &[
            (
                "matrices",
                "names of the matrices whose noise counts; `[]`: the last, `[\"*\"]`: all",
            ),
            ("steps", "swaps that annealing tries, per tile and candidate"),
            ("noise", "most noise of what is left, as a multiple of the plain mapping's"),
            (
                "cycles",
                "most conversion cycles of what is left, as a multiple of the plain mapping's",
            ),
            ("cut", "whether tiles may be cut where that saves a macro"),
        ],
    };

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        let candidates = self.candidates(mapping, context)?;
        let plain = &candidates[0];
        let best = self.choice(&candidates, context.spec).unwrap_or(plain);
        let mut frontier: Vec<&Candidate> = candidates.iter().filter(|c| c.is_frontier).collect();
        frontier
            .sort_by(|a, b| a.size.cells.cmp(&b.size.cells).then(a.cycles.total_cmp(&b.cycles)));
        let table = StatisticsTable {
            title: "what no candidate beats in cells, cycles and noise".to_owned(),
            columns: COLUMNS.map(str::to_owned).into(),
            rows: frontier.into_iter().map(|candidate| candidate.cells().into()).collect(),
        };
        let statistics = Statistics::default()
            .found("candidates", candidates.len() as f64)
            .changed("macros", plain.macros as f64, best.macros as f64)
            .resized(plain.size, best.size)
            .changed("conversion cycles an image, expected", plain.cycles, best.cycles)
            .changed("noise, multiples of the plain mapping's", plain.noise, best.noise)
            .with_table(table);
        *mapping = best.mapping.clone();
        Ok(statistics)
    }
}

/// Columns of the frontier's table.
const COLUMNS: [&str; 8] =
    ["input control", "passes", "rows", "cells", "table bits", "macros", "cycles", "noise"];

impl Candidate {
    /// As a row of the frontier's table.
    fn cells(&self) -> [String; 8] {
        [
            self.input_control.to_string(),
            self.what.clone(),
            self.size.physical_rows.to_string(),
            self.size.cells.to_string(),
            self.size.table_bits.to_string(),
            self.macros.to_string(),
            format!("{:.1}", self.cycles),
            format!("{:.3}", self.noise),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_no_longer_than_the_macro() {
        let spec = MacroSpec { rows: 16, ..MacroSpec::preset("gt-n40").unwrap() };
        let windows = [8, 16].map(|window| InputControl::FixedWindow { window });
        let expected = [InputControl::OrderedScan, InputControl::FixedGroup].into_iter();
        assert_eq!(controls(&spec), expected.chain(windows).collect::<Vec<_>>());
    }
}
