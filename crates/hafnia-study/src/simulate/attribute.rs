//! Where accuracy goes, by layer, by partial sum and by effect.

use std::cell::Cell;
use std::path::PathBuf;

use hafnia_cim::MacroSpec;
use hafnia_data::View;
use hafnia_ir::Mapping;
use hafnia_report::{Attribution, ColumnErrors, EffectLoss, LayerLoss};
use hafnia_rng::Seed;
use hafnia_sim::{CodeErrors, Engines, Evaluation, LayerErrors, NoiseScope, Programmed, Reference};
use hafnia_stats::{Bootstrap, Interval, Outcomes, drop_points, reduction};
use serde::{Deserialize, Serialize};

use crate::data::count;
use crate::limits;
use crate::session::{Session, duration};

/// What is to be attributed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeRequest {
    /// Images on which errors of conversions are counted, one by one, on 3 chips at most; 200 without a
    /// number, or all if there are fewer.
    pub images: Option<usize>,
    /// Chips on which every layer and every effect is run by itself; all without a number.
    pub chips: Option<u32>,
    /// File of the drops by layer and by effect, drawn.
    pub plot: Option<PathBuf>,
}

impl AttributeRequest {
    /// How many of so many chips.
    pub(super) fn chips(&self, all: u32) -> anyhow::Result<u32> {
        let chips = self.chips.unwrap_or(all);
        limits::check("--attribute-chips", chips, &(1..=all))?;
        Ok(chips)
    }

    /// How many of the images that are shown.
    pub(super) fn count(&self, shown: &View<'_>) -> anyhow::Result<usize> {
        count("--attribute-images", self.images, IMAGES, shown, "the images that are shown")
    }
}

/// Images on which errors of conversions are counted, if there are as many.
const IMAGES: usize = 200;

/// Chips on which errors of conversions are counted.
const CHIPS: u32 = 3;

/// What is attributed, and how it is run.
pub(super) struct Subject<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) reference: &'a Reference<'a>,
    pub(super) name: &'a str,
    pub(super) mapping: &'a Mapping,
    pub(super) spec: &'a MacroSpec,
    pub(super) scope: &'a NoiseScope,
    pub(super) engines: Engines<'a>,
    pub(super) chips: u32,
    /// How long a chip takes that is shown all images.
    pub(super) seconds_a_chip: f64,
    pub(super) seed: Seed,
    pub(super) bootstrap: Bootstrap,
}

impl Subject<'_> {
    /// Attributes what `programmed` loses, of which `evaluation` is the outcome.
    pub(super) fn attribute(
        &self,
        images: usize,
        programmed: &Programmed<'_>,
        evaluation: &Evaluation,
    ) -> anyhow::Result<Attribution> {
        let bar = self.session.observer.bar("conversions", "images");
        let moves = |done, of| bar.moves(done, of);
        let run = programmed.run(0..self.chips.min(CHIPS), self.seed).progress(&moves);
        let errors = run.attribute(&self.engines, images)?;
        drop(bar);
        let effects: Vec<_> = self.spec.switchable().collect();
        let runs = 2 * effects.len() + errors.len();
        let seconds = self.seconds_a_chip * runs as f64 * f64::from(self.chips);
        self.session.observer.note(&format!(
            "--attribute: {runs} runs of {}, about {} (--attribute-chips, --images)",
            match self.chips {
                1 => "a chip".to_owned(),
                chips => format!("{chips} chips"),
            },
            duration(seconds)
        ));
        let begun = Cell::new(0);
        let next = |what: &str| {
            begun.set(begun.get() + 1);
            format!("{} of {runs}: {what}", begun.get())
        };
        let effects = effects.into_iter().map(|effect| {
            let (without, alone) = (self.spec.without(effect), self.spec.with_only(effect));
            let without = self.run(self.scope, &without, &next(effect.name))?;
            Ok(EffectLoss {
                effect: effect.name.to_owned(),
                keys: effect.keys.to_owned(),
                drop_points_alone: self.drop(self.scope, &alone, &next(effect.name))?,
                difference_points: self.difference(evaluation, &without)?,
            })
        });
        let effects = effects.collect::<anyhow::Result<_>>()?;
        let layer = |of: &LayerErrors| self.layer(of, &next(&of.layer));
        Ok(Attribution {
            mapping: self.name.to_owned(),
            drop_points: drop_points(evaluation.outcomes(), self.bootstrap),
            effects,
            layers: errors.iter().map(layer).collect::<anyhow::Result<_>>()?,
        })
    }

    fn drop(&self, scope: &NoiseScope, spec: &MacroSpec, what: &str) -> anyhow::Result<Interval> {
        let evaluation = self.run(scope, spec, what)?;
        Ok(drop_points(evaluation.outcomes(), self.bootstrap))
    }

    /// What `other` saves, on the chips that both were run on: they may all be one to `other`.
    fn difference(&self, all: &Evaluation, other: &Evaluation) -> anyhow::Result<Interval> {
        let chips = all.outcomes().chips().min(other.differences.len());
        let all = Outcomes { differences: &all.differences[..chips], ..all.outcomes() };
        let other = Outcomes { differences: &other.differences[..chips], ..other.outcomes() };
        Ok(reduction(all, other, self.bootstrap)?.points)
    }

    fn run(&self, scope: &NoiseScope, spec: &MacroSpec, what: &str) -> anyhow::Result<Evaluation> {
        let bar = self.session.observer.bar(what, "images");
        let moves = |done, of| bar.moves(done, of);
        let programmed = Programmed::new(self.reference, self.mapping, spec, scope)?;
        let run = programmed.run(0..self.chips, self.seed).progress(&moves);
        Ok(run.on(&self.engines)?)
    }

    fn layer(&self, errors: &LayerErrors, what: &str) -> anyhow::Result<LayerLoss> {
        let alone = NoiseScope::Matrices(vec![errors.matrix]);
        // JSON has no infinity.
        let finite = |ratio: Option<f64>| ratio.filter(|ratio| ratio.is_finite());
        let mut ratios: Vec<f64> =
            errors.columns.iter().filter_map(|column| column.snr_db()).collect();
        ratios.sort_by(f64::total_cmp);
        let sum =
            |count: fn(&CodeErrors) -> u64| errors.codes.iter().map(count).sum::<u64>() as f64;
        let conversions = sum(|codes| codes.conversions).max(1.0);
        let column = |column: &hafnia_sim::ColumnErrors| ColumnErrors {
            snr_db: finite(column.snr_db()),
            error_mean: column.error_mean,
            error_rms: column.error_square.sqrt(),
        };
        Ok(LayerLoss {
            layer: errors.layer.clone(),
            drop_points_alone: self.drop(&alone, self.spec, what)?,
            snr_db_median: finite(ratios.get(ratios.len() / 2).copied()),
            snr_db_least: finite(ratios.first().copied()),
            code_error_rate: sum(|codes| codes.errors) / conversions,
            clipping_rate: sum(|codes| codes.clipped) / conversions,
            by_ones: errors.codes.iter().map(|codes| [codes.conversions, codes.errors]).collect(),
            columns: errors.columns.iter().map(column).collect(),
        })
    }
}
