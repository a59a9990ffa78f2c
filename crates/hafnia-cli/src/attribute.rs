//! `hafnia sim --attribute`: where accuracy goes, by layer, by partial sum and by effect.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::Args;
use hafnia_cim::MacroSpec;
use hafnia_ir::Mapping;
use hafnia_model::Network;
use hafnia_report::plot::{Bars, bars};
use hafnia_report::{Align, Table};
use hafnia_rng::Seed;
use hafnia_sim::statistics::{Bootstrap, Interval, drop_points};
use hafnia_sim::{
    EngineKind, Evaluation, Images, LayerErrors, NoiseScope, Prepared, attribute, evaluate,
};
use serde::Serialize;

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

/// Where the accuracy of a mapping goes.
#[derive(Serialize)]
pub(crate) struct Attribution {
    mapping: String,
    /// With all effects in all layers of the scope.
    drop_points: Interval,
    layers: Vec<OfLayer>,
    effects: Vec<OfEffect>,
}

#[derive(Serialize)]
struct OfLayer {
    layer: String,
    /// With noise in this layer alone.
    drop_points_alone: Interval,
    /// Median over the columns, in dB; null where nothing errs.
    snr_db_median: Option<f64>,
    /// Of the worst column.
    snr_db_least: Option<f64>,
    /// Part of the conversions whose code is not the number of ones.
    code_error_rate: f64,
    /// Part of the conversions whose ones are more than the largest code.
    clipping_rate: f64,
    /// By number of ones: how many conversions, and how many of them err.
    by_ones: Vec<[u64; 2]>,
    columns: Vec<OfColumn>,
}

#[derive(Serialize)]
struct OfColumn {
    snr_db: Option<f64>,
    error_mean: f64,
    error_rms: f64,
}

#[derive(Serialize)]
struct OfEffect {
    effect: &'static str,
    keys: &'static str,
    drop_points_alone: Interval,
    drop_points_without: Interval,
}

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
            Ok(OfEffect {
                effect: effect.name,
                keys: effect.keys,
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
            drop_points: drop_points(evaluation, self.bootstrap),
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
        Ok(drop_points(&evaluation, self.bootstrap))
    }

    fn layer(&self, errors: &LayerErrors) -> anyhow::Result<OfLayer> {
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
        let column = |column: &hafnia_sim::ColumnErrors| OfColumn {
            snr_db: finite(column.snr_db()),
            error_mean: column.error_mean,
            error_rms: column.error_square.sqrt(),
        };
        Ok(OfLayer {
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

impl Attribution {
    /// The drops as bars.
    pub(crate) fn draw(&self, path: &Path) -> anyhow::Result<()> {
        let interval =
            |of: Interval| Some(hafnia_report::Interval { value: of.value, lo: of.lo, hi: of.hi });
        let bar = |label: &str, values: [Option<hafnia_report::Interval>; 2]| Bars {
            label: label.to_owned(),
            values: values.into(),
        };
        let all = bar("all effects, all layers in scope", [interval(self.drop_points), None]);
        let layers =
            self.layers.iter().map(|of| bar(&of.layer, [interval(of.drop_points_alone), None]));
        let effects = self.effects.iter().map(|of| {
            let values = [of.drop_points_alone, of.drop_points_without].map(interval);
            bar(of.effect, values)
        });
        let given: Vec<Bars> = std::iter::once(all).chain(layers).chain(effects).collect();
        let svg = bars("drop, points", &["alone", "all but this"], &given)?;
        Ok(hafnia_artifact::write_whole(path, svg.as_bytes())?)
    }

    pub(crate) fn text(&self) -> String {
        let decibels = |ratio: Option<f64>| {
            ratio.map_or("no errors".to_owned(), |ratio| format!("{ratio:.1}"))
        };
        let range = |of: Interval| format!("{:.3} to {:.3}", of.lo, of.hi);
        let columns = |first: &str, others: &[&str]| {
            let others: Vec<_> =
                others.iter().map(|name| ((*name).to_owned(), Align::Right)).collect();
            Table::new(std::iter::once((first.to_owned(), Align::Left)).chain(others))
        };
        let mut layers = columns(
            "noise in",
            &[
                "drop, points",
                "95 % interval",
                "SNR, dB: median",
                "worst column",
                "codes that err, %",
                "clipped, %",
            ],
        );
        for of in &self.layers {
            layers.row([
                of.layer.clone(),
                format!("{:.3}", of.drop_points_alone.value),
                range(of.drop_points_alone),
                decibels(of.snr_db_median),
                decibels(of.snr_db_least),
                format!("{:.3}", 100.0 * of.code_error_rate),
                format!("{:.3}", 100.0 * of.clipping_rate),
            ]);
        }
        let mut effects = columns(
            "effect",
            &["alone: drop, points", "95 % interval", "all but this", "95 % interval"],
        );
        for of in &self.effects {
            effects.row([
                of.effect.to_owned(),
                format!("{:.3}", of.drop_points_alone.value),
                range(of.drop_points_alone),
                format!("{:.3}", of.drop_points_without.value),
                range(of.drop_points_without),
            ]);
        }
        let most = self.layers.iter().map(|of| of.by_ones.len()).max().unwrap_or(0);
        let ones: Vec<String> = (0..most).map(|ones| format!("{ones}")).collect();
        let ones: Vec<&str> = ones.iter().map(String::as_str).collect();
        let mut codes = columns("codes that err, %, by number of ones", &ones);
        for of in &self.layers {
            let rate = |ones: usize| match of.by_ones.get(ones) {
                Some(&[conversions, errors]) if conversions > 0 => {
                    format!("{:.3}", 100.0 * errors as f64 / conversions as f64)
                }
                _ => "-".to_owned(),
            };
            codes.row(std::iter::once(of.layer.clone()).chain((0..most).map(rate)));
        }
        format!(
            "\nwhere {} loses {:.3} points ({})\n{layers}\n{codes}\n{effects}",
            self.mapping,
            self.drop_points.value,
            range(self.drop_points)
        )
    }
}
