//! `hafnia sim --attribute`: where accuracy goes, by layer, by partial sum and by effect.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use hafnia_cim::MacroSpec;
use hafnia_ir::Mapping;
use hafnia_model::Network;
use hafnia_report::{Attribution, ColumnErrors, EffectLoss, LayerLoss};
use hafnia_rng::Seed;
use hafnia_sim::{
    EngineKind, Evaluation, Images, LayerErrors, NoiseScope, Prepared, attribute, evaluate,
};
use hafnia_stats::{Bootstrap, Interval, drop_points};

use crate::progress;

/// What is to be attributed.
#[derive(Args, Debug, Clone)]
pub(crate) struct AttributeOptions {
    /// Also say where accuracy goes under the first mapping: the drop by layer and by effect, and
    /// the signal-to-noise ratio and error rates of conversions.
    #[arg(long, conflicts_with_all = ["saved", "code_table"])]
    pub(crate) attribute: bool,
    /// Images on which errors of conversions are counted, one by one, on 3 chips at most.
    #[arg(long, value_name = "N", default_value_t = 200)]
    attribute_images: usize,
    /// Draw the drops by layer and by effect: an SVG file.
    #[arg(long, value_name = "FILE", requires = "attribute")]
    pub(crate) attribute_plot: Option<PathBuf>,
}

impl AttributeOptions {
    /// Checks that there are enough images.
    pub(crate) fn check(&self, images: usize) -> anyhow::Result<()> {
        let wanted = self.attribute_images;
        ensure!(
            !self.attribute || (1..=images).contains(&wanted),
            "--attribute-images is {wanted}, it must lie in 1..={images}"
        );
        Ok(())
    }
}

/// Chips on which errors of conversions are counted.
const CHIPS: u32 = 3;

/// What is attributed, and how it is run.
pub(crate) struct Subject<'a> {
    pub(crate) network: &'a Network,
    pub(crate) name: &'a str,
    pub(crate) mapping: &'a Mapping,
    pub(crate) spec: &'a MacroSpec,
    pub(crate) images: &'a Images,
    pub(crate) engine: EngineKind,
    pub(crate) chips: u32,
    pub(crate) seed: Seed,
    pub(crate) bootstrap: Bootstrap,
}

impl Subject<'_> {
    /// Attributes what `prepared` loses, of which `evaluation` is the outcome.
    pub(crate) fn attribute(
        &self,
        options: &AttributeOptions,
        prepared: &Prepared<'_>,
        evaluation: &Evaluation,
    ) -> anyhow::Result<Attribution> {
        let bar = progress::bar("conversions");
        let errors = attribute(
            prepared,
            self.mapping,
            self.spec,
            self.engine,
            self.chips.min(CHIPS),
            options.attribute_images,
            self.seed,
            &progress::moves(&bar),
        )?;
        bar.finish_and_clear();
        let effects: Vec<_> = self.spec.switchable().collect();
        let effects = effects.into_iter().map(|effect| {
            Ok(EffectLoss {
                effect: effect.name.to_owned(),
                keys: effect.keys.to_owned(),
                drop_points_alone: self.drop(
                    prepared,
                    &self.spec.with_only(effect),
                    effect.name,
                )?,
                drop_points_without: self.drop(
                    prepared,
                    &self.spec.without(effect),
                    effect.name,
                )?,
            })
        });
        Ok(Attribution {
            mapping: self.name.to_owned(),
            drop_points: drop_points(evaluation.outcomes(), self.bootstrap),
            effects: effects.collect::<anyhow::Result<_>>()?,
            layers: errors.iter().map(|of| self.layer(of)).collect::<anyhow::Result<_>>()?,
        })
    }

    fn drop(
        &self,
        prepared: &Prepared<'_>,
        spec: &MacroSpec,
        what: &str,
    ) -> anyhow::Result<Interval> {
        let bar = progress::bar(what);
        let moves = progress::moves(&bar);
        let Self { mapping, engine, chips, seed, .. } = *self;
        let evaluation = evaluate(prepared, mapping, spec, engine, 0..chips, seed, &moves)?;
        bar.finish_and_clear();
        Ok(drop_points(evaluation.outcomes(), self.bootstrap))
    }

    fn layer(&self, errors: &LayerErrors) -> anyhow::Result<LayerLoss> {
        let alone = NoiseScope::Matrices(vec![errors.matrix]);
        let prepared = Prepared::new(self.network, self.images, &alone)?;
        // JSON has no infinity.
        let finite = |ratio: Option<f64>| ratio.filter(|ratio| ratio.is_finite());
        let mut ratios: Vec<f64> =
            errors.columns.iter().filter_map(|column| column.snr_db()).collect();
        ratios.sort_by(f64::total_cmp);
        let sum = |count: fn(&hafnia_sim::CodeErrors) -> u64| {
            errors.codes.iter().map(count).sum::<u64>() as f64
        };
        let conversions = sum(|codes| codes.conversions).max(1.0);
        let column = |column: &hafnia_sim::ColumnErrors| ColumnErrors {
            snr_db: finite(column.snr_db()),
            error_mean: column.error_mean,
            error_rms: column.error_square.sqrt(),
        };
        Ok(LayerLoss {
            layer: errors.layer.clone(),
            drop_points_alone: self.drop(&prepared, self.spec, &errors.layer)?,
            snr_db_median: finite(ratios.get(ratios.len() / 2).copied()),
            snr_db_least: finite(ratios.first().copied()),
            code_error_rate: sum(|codes| codes.errors) / conversions,
            clipping_rate: sum(|codes| codes.clipped) / conversions,
            by_ones: errors.codes.iter().map(|codes| [codes.conversions, codes.errors]).collect(),
            columns: errors.columns.iter().map(column).collect(),
        })
    }
}

/// What is found, for people.
pub(crate) fn text(attribution: &Attribution) -> String {
    let Interval { value, lo, hi } = attribution.drop_points;
    format!(
        "\nwhere {} loses {value:.3} points ({lo:.3} to {hi:.3})\n{}\n{}\n{}",
        attribution.mapping,
        attribution.by_layer(),
        attribution.by_ones(),
        attribution.by_effect(),
    )
}
