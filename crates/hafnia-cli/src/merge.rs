//! `hafnia model merge`: rows of a matrix made equal.

use std::path::PathBuf;

use anyhow::bail;
use clap::{ArgGroup, Args};
use hafnia_artifact::save;
use hafnia_data::Dataset;
use hafnia_model::Network;
use hafnia_report::{Align, Table};
use hafnia_stats::Interval;
use hafnia_tune::{Images, MergeReport, Merged};
use serde::Serialize;

use crate::compared::{Accuracy, Compared, Outcomes, ranged};
use crate::data::{self, DataOptions, Part};
use crate::model::check_size;
use crate::models::NetworkOptions;
use crate::output::{Output, Record, check_writable};
use crate::progress;
use crate::refine::SearchOptions;

/// Make rows of a matrix equal, so that `rename` can give them one row of cells.
///
/// Rows are put together by the damage to the outputs on training images, and the other integers
/// are searched to make up for it, as `hafnia model refine` does. The network computes something
/// else afterwards; what that costs is measured on images that took no part.
#[derive(Args)]
#[command(group = ArgGroup::new("how-many").required(true))]
#[command(after_help = "Examples:
  hafnia model merge --model frontier --layer fc3 --rows 46 --out merged.hafnia
  hafnia model merge --model frontier --layer fc3 --budget 0.2 --out merged.hafnia
  hafnia model merge --model frontier --layer fc3 --curve 10,12,16,20,30,46,60 --format csv

docs/mapping.md says how rows are chosen and what it costs.")]
pub(crate) struct Merge {
    #[command(flatten)]
    network: NetworkOptions,
    /// Network file to write.
    #[arg(long, value_name = "FILE", required_unless_present = "curve", conflicts_with = "curve")]
    out: Option<PathBuf>,
    /// Layer whose rows are made equal.
    #[arg(long, value_name = "NAME", default_value = "fc3")]
    layer: String,
    /// Different rows to leave.
    #[arg(long, value_name = "N", group = "how-many")]
    rows: Option<usize>,
    /// Leave the fewest rows that cost at most so many points of accuracy on validation images.
    #[arg(long, value_name = "POINTS", group = "how-many", value_parser = points)]
    budget: Option<f64>,
    /// Leave each of these numbers of rows, with and without tuning; writes no network.
    #[arg(long, value_name = "N,…", group = "how-many", value_delimiter = ',')]
    curve: Vec<usize>,
    /// Only make rows equal: do not search the other integers to make up for it.
    #[arg(long)]
    no_tune: bool,
    /// The images by which the cost is told.
    #[arg(long, value_enum, default_value_t = Part::Validation)]
    part: Part,
    #[command(flatten)]
    search: SearchOptions,
    #[command(flatten)]
    data: DataOptions,
}

fn points(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|error| format!("{error}"))?;
    match (0.0..=100.0).contains(&value) {
        true => Ok(value),
        false => Err(format!("budget is {value}, it must lie in 0..=100")),
    }
}

/// What a merge gave and cost.
#[derive(Serialize)]
struct Report {
    tuned: bool,
    part: Part,
    images: usize,
    accuracy_before: Accuracy,
    accuracy_after: Accuracy,
    /// Accuracy before minus after, in points, paired over the images.
    cost_points: Accuracy,
    #[serde(flatten)]
    merge: MergeReport,
}

/// Accuracy over rows.
#[derive(Serialize)]
struct Curve {
    network: String,
    layer: String,
    part: Part,
    points: Vec<Point>,
}

#[derive(Serialize)]
struct Point {
    rows: usize,
    tuned: bool,
    bits_changed: u64,
    accuracy: Accuracy,
    cost_points: Accuracy,
}

/// What merges are made from and judged by.
struct Bench {
    network: Network,
    activations: Vec<u8>,
    labels: Vec<u8>,
    /// The images by which the cost is told, and what the network makes of them.
    part: Dataset,
    before: Outcomes,
}

impl Merge {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        if let Some(out) = &self.out {
            check_writable(out)?;
        }
        let chosen = self.network.load()?;
        let config = serde_json::json!({
            "layer": self.layer,
            "rows": self.rows,
            "budget": self.budget,
            "tune": !self.no_tune,
            "search": self.search,
        });
        let mut record = Record::begin(&config, Some(self.search.seed))?;
        record.network(&chosen);
        let mnist = self.data.load()?;
        record.data(&mnist);
        let train = self.search.train(&mnist);
        check_size(&chosen.network, &train)?;
        let inputs = data::images(&chosen.network, &train);
        let bench = |part: Part| -> anyhow::Result<Bench> {
            let part = part.of(&mnist);
            Ok(Bench {
                before: Outcomes::of(&chosen.network, &part)?,
                network: chosen.network.clone(),
                activations: inputs.activations.clone(),
                labels: inputs.labels.clone(),
                part,
            })
        };
        let judged = bench(self.part)?;
        if !self.curve.is_empty() {
            let curve = self.curve(&judged, chosen.name)?;
            return output.print(&curve, curve_text);
        }
        let (merged, compared) = match (self.rows, self.budget) {
            (Some(rows), _) => self.merge(&judged, rows, !self.no_tune)?,
            (None, Some(budget)) => {
                // Test images choose nothing.
                let merged = self.within(&bench(Part::Validation)?, budget)?;
                let compared = judged.compare(&merged.network)?;
                (merged, compared)
            }
            (None, None) => bail!("one of --rows, --budget and --curve is needed"),
        };
        if let Some(out) = &self.out {
            save(out, &merged.network)?;
            record.end(&[out])?;
        }
        output.print(&self.report(merged.report, compared), text)
    }

    fn merge(&self, bench: &Bench, rows: usize, tune: bool) -> anyhow::Result<(Merged, Compared)> {
        let options = self.search.options();
        let images = Images { activations: &bench.activations, labels: &bench.labels };
        let bar = progress::bar("channels");
        bar.set_message(format!("{rows} rows"));
        let moves = progress::moves(&bar);
        let progress = &mut |done, of| moves(done, of);
        let (network, layer) = (&bench.network, &self.layer);
        let merged = hafnia_tune::merge(network, images, layer, rows, tune, &options, progress)?;
        bar.finish_and_clear();
        let compared = bench.compare(&merged.network)?;
        Ok((merged, compared))
    }

    /// The merge to the fewest rows that costs at most `budget`, by halving: more rows are taken to
    /// cost no more.
    fn within(&self, bench: &Bench, budget: f64) -> anyhow::Result<Merged> {
        let layer = bench.network.matrices().into_iter().find(|matrix| matrix.name == self.layer);
        // Of a layer that is not there `merge` tells.
        let most = layer.map_or(1, |matrix| matrix.weights.rows());
        let (mut low, mut high) = (1, most);
        let mut best = None;
        while low < high || best.is_none() {
            let rows = (low + high) / 2;
            let (merged, compared) = self.merge(bench, rows, !self.no_tune)?;
            if -compared.gain_points.first.value <= budget {
                high = rows;
                best = Some(merged);
            } else if low < high {
                low = rows + 1;
            } else {
                bail!("{rows} rows cost more than --budget {budget}");
            }
        }
        Ok(best.expect("a merge within the budget"))
    }

    fn curve(&self, bench: &Bench, network: String) -> anyhow::Result<Curve> {
        let mut points = Vec::new();
        for &rows in &self.curve {
            for tuned in [false, true].into_iter().take(if self.no_tune { 1 } else { 2 }) {
                let (merged, compared) = self.merge(bench, rows, tuned)?;
                points.push(Point {
                    rows: merged.report.rows,
                    tuned,
                    bits_changed: merged.report.bits_changed,
                    cost_points: cost(&compared.gain_points),
                    accuracy: compared.accuracy_after,
                });
            }
        }
        Ok(Curve { network, layer: self.layer.clone(), part: self.part, points })
    }

    fn report(&self, merge: MergeReport, compared: Compared) -> Report {
        Report {
            tuned: !self.no_tune,
            part: self.part,
            images: compared.images,
            accuracy_before: compared.accuracy_before,
            accuracy_after: compared.accuracy_after,
            cost_points: cost(&compared.gain_points),
            merge,
        }
    }
}

impl Bench {
    fn compare(&self, network: &Network) -> anyhow::Result<Compared> {
        self.before.then("", &Outcomes::of(network, &self.part)?)
    }
}

/// What was gained, seen as a cost.
fn cost(gain: &Accuracy) -> Accuracy {
    // 0 stays 0, without a sign.
    let negated = |gain: &Interval| Interval {
        value: 0.0 - gain.value,
        lo: 0.0 - gain.hi,
        hi: 0.0 - gain.lo,
    };
    Accuracy { first: negated(&gain.first), ties_wrong: negated(&gain.ties_wrong) }
}

fn text(report: &Report) -> String {
    let MergeReport { layer, logical_rows, rows, rows_before, bits_changed, .. } = &report.merge;
    let header = [
        ("ties", Align::Left),
        ("before, %", Align::Right),
        ("after, %", Align::Right),
        ("cost, points (paired)", Align::Right),
    ];
    let mut table = Table::new(header);
    let (before, after, cost) =
        (&report.accuracy_before, &report.accuracy_after, &report.cost_points);
    let mut row = |ties: &str, before: &Interval, after: &Interval, cost: &Interval| {
        table.row([
            ties.to_owned(),
            ranged(before, 100.0),
            ranged(after, 100.0),
            ranged(cost, 1.0),
        ]);
    };
    row("first of equals", &before.first, &after.first, &cost.first);
    row("wrong", &before.ties_wrong, &after.ties_wrong, &cost.ties_wrong);
    format!(
        "{layer}: {rows} different rows of {logical_rows}, {rows_before} before; \
         {bits_changed} bits of the layer changed\n{} {} images\n{table}",
        report.images,
        report.part.name()
    )
}

fn curve_text(curve: &Curve) -> String {
    let header = [
        ("rows", Align::Right),
        ("tuned", Align::Left),
        ("bits changed", Align::Right),
        ("accuracy, %", Align::Right),
        ("cost, points (paired)", Align::Right),
    ];
    let mut table = Table::new(header);
    for point in &curve.points {
        table.row([
            point.rows.to_string(),
            if point.tuned { "yes" } else { "no" }.to_owned(),
            point.bits_changed.to_string(),
            ranged(&point.accuracy.first, 100.0),
            ranged(&point.cost_points.first, 1.0),
        ]);
    }
    format!("{}, layer {}, {} images\n{table}", curve.network, curve.layer, curve.part.name())
}
