//! What the deployed network costs, as it is and by `best`: `hafnia cost`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use hafnia_cost::{BreakEven, Breakdown, Cost, Range, Scope};
use hafnia_report::plot::{Stack, stacked};
use hafnia_report::{Figure, Interval, Metrics, Part, Section, Table};

use crate::cost::{CostAgainst, CostOutcome, CostRequest};
use crate::reproduce::lab::{Lab, add};
use crate::request::name_of;
use crate::source::NetworkSource;

/// What was found: by `best`, and beside it in natural order.
pub(super) struct Costs {
    found: CostOutcome,
    against: CostAgainst,
}

/// Prices two mappings of a network on the same events.
pub(super) fn run(
    lab: &Lab<'_>,
    network: &Path,
    natural: &Path,
    best: &Path,
) -> anyhow::Result<Costs> {
    let request = CostRequest {
        mapping: Some(best.to_owned()),
        against: Some(natural.display().to_string()),
        seed: lab.seed,
        data: lab.source.clone(),
        network: NetworkSource::File(network.to_owned()),
        ..CostRequest::default()
    };
    let found = lab.ask("cost/best", &request)?;
    let against = found.against.clone().context("it was asked for")?;
    Ok(Costs { found, against })
}

/// What a mapping saves of the area of the cells and tables of a layer, against natural order; none if
/// it takes as many of both.
pub(super) fn net_of_table(
    lab: &Lab<'_>,
    name: &str,
    network: &Path,
    mapping: &Path,
    layer: &str,
) -> anyhow::Result<Option<Interval>> {
    let request = CostRequest {
        mapping: Some(mapping.to_owned()),
        against: Some("natural".to_owned()),
        // Area does not hang on images.
        images: Some(1),
        seed: lab.seed,
        data: lab.source.clone(),
        network: NetworkSource::File(network.to_owned()),
        ..CostRequest::default()
    };
    let against =
        lab.ask(&format!("cost/{name}"), &request)?.against.context("it was asked for")?;
    let is_of = |saving: &&BreakEven| {
        saving.layer.as_deref() == Some(layer) && saving.scope == Scope::Cells
    };
    let net = against.savings.iter().find(is_of).map(|saving| saving.net);
    Ok(net.map(|Range { typical: value, lo, hi }| Interval { value, lo, hi }))
}

impl Costs {
    /// The net saving of whole macros with their tables.
    fn net_saving(&self) -> Option<Range> {
        let is_whole = |saving: &&BreakEven| saving.layer.is_none() && saving.scope == Scope::Whole;
        self.against.savings.iter().find(is_whole).map(|saving| saving.net)
    }

    pub(super) fn add_metrics(&self, metrics: &mut Metrics) -> anyhow::Result<()> {
        let (natural, best) = (&self.against.cost, &self.found.cost);
        for (key, found) in [
            ("natural/area_mm2", Some(natural.whole_um2.scaled(1e-6))),
            ("best/area_mm2", Some(best.whole_um2.scaled(1e-6))),
            ("best/net_area_saving", self.net_saving()),
            ("tops_per_w", Some(best.tops_per_w)),
            ("gops_per_mm2", Some(best.gops_per_mm2)),
            ("energy_nj_per_image", Some(best.energy_fj.total.scaled(1e-6))),
            ("latency_us_per_image", Some(best.latency_ns.total.scaled(1e-3))),
        ] {
            if let Some(Range { typical: value, lo, hi }) = found {
                add(metrics, &format!("cost/{key}"), Interval { value, lo, hi })?;
            }
        }
        Ok(())
    }

    /// A sentence on where the macro is not the chip of the calibration, if it is anywhere.
    fn departures(&self) -> String {
        let departures: Vec<String> =
            self.found.departures.iter().map(ToString::to_string).collect();
        match &departures[..] {
            [] => String::new(),
            _ => format!(
                "\nPrices follow the macro where it is not the chip of the calibration: {}.",
                departures.join(", ")
            ),
        }
    }

    pub(super) fn section(&self) -> anyhow::Result<Section> {
        let (natural, best) = (&self.against.cost, &self.found.cost);
        let mut totals = Table::of(["", ">natural", ">by `best`"]);
        let mut row = |what: &str, of: &dyn Fn(&Cost) -> String| {
            totals.row([what.to_owned(), of(natural), of(best)]);
        };
        row("macros", &|cost| cost.macros.to_string());
        row("area of whole macros and tables, mm²", &|cost| {
            cost.whole_um2.scaled(1e-6).to_string()
        });
        row("area in use, mm²", &|cost| cost.area_um2.total.scaled(1e-6).to_string());
        row("energy of an image, nJ", &|cost| cost.energy_fj.total.scaled(1e-6).to_string());
        row("time of an image, µs", &|cost| cost.latency_ns.total.scaled(1e-3).to_string());
        row("TOPS/W, 1×1 bit, rows that were on", &|cost| cost.tops_per_w.to_string());
        row("GOPS/mm²", &|cost| cost.gops_per_mm2.to_string());

        let mut layers =
            Table::of(["layer, by `best`", ">area in use, mm²", ">energy, nJ", ">time, µs"]);
        for layer in &best.layers {
            layers.row([
                layer.name.clone(),
                layer.area_um2.total.scaled(1e-6).to_string(),
                layer.energy_fj.total.scaled(1e-6).to_string(),
                layer.latency_ns.total.scaled(1e-3).to_string(),
            ]);
        }
        let mut savings = Table::of([
            "`best` against natural",
            ">saved without tables, %",
            ">net, %",
            ">break-even, table bit / cells of a weight",
        ]);
        for saving in &self.against.savings {
            let of = saving.layer.as_deref().unwrap_or("network");
            savings.row([
                format!("{of}: {}", name_of(&saving.scope)),
                saving.gross.scaled(100.0).to_string(),
                saving.net.scaled(100.0).to_string(),
                saving.break_even.map_or("-".to_owned(), |at| at.to_string()),
            ]);
        }
        let mut calibration = Table::of(["published figure", ">published", ">model", ">miss, %"]);
        for figure in &self.found.calibration.figures {
            calibration.row([
                figure.name.clone(),
                figure.published.to_string(),
                figure.model.to_string(),
                match figure.fitted {
                    true => "calibrated on".to_owned(),
                    false => format!("{:.1}", 100.0 * figure.miss_rel),
                },
            ]);
        }
        Ok(Section {
            part: Part::Cost,
            title: "What it costs".to_owned(),
            text: format!(
                "The deployed network on macros of the preset, priced on the events of {} test images; a bracket is the range, 5 % to 95 % of draws, that what is assumed leaves.\n\
                 Most constants are assumed: docs/cost.md has each with its source.{}",
                self.found.images,
                self.departures()
            ),
            tables: vec![totals, layers, savings, calibration],
            figures: vec![
                figure(
                    "cost-area",
                    "Area in use by component",
                    "mm²",
                    self.found.images,
                    1e-6,
                    [natural, best],
                    |c| &c.area_um2,
                )?,
                figure(
                    "cost-energy",
                    "Energy of an image by component",
                    "nJ",
                    self.found.images,
                    1e-6,
                    [natural, best],
                    |c| &c.energy_fj,
                )?,
            ],
            ..Section::default()
        })
    }
}

/// Both mappings as bars of components.
fn figure(
    name: &str,
    what: &str,
    unit: &str,
    images: usize,
    factor: f64,
    costs: [&Cost; 2],
    of: impl Fn(&Cost) -> &Breakdown<Range>,
) -> anyhow::Result<Figure> {
    // A drawing has six colours: the five largest parts, and all others together.
    let parts = |cost: &Cost| -> BTreeMap<String, f64> {
        of(cost).parts.iter().map(|(part, range)| (name_of(part), range.typical)).collect()
    };
    let mut largest: Vec<(String, f64)> = parts(costs[0]).into_iter().collect();
    largest.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let mut names: Vec<&str> = largest.iter().take(5).map(|(part, _)| part.as_str()).collect();
    let stack = |(label, cost): (&str, &Cost)| {
        let parts = parts(cost);
        let value = |name: &&str| factor * parts.get(*name).copied().unwrap_or(0.0);
        let mut values: Vec<f64> = names.iter().map(value).collect();
        let others = factor * of(cost).total.typical - values.iter().sum::<f64>();
        values.push(others.max(0.0));
        Stack { label: label.to_owned(), values }
    };
    let stacks: Vec<Stack> = ["natural", "by best"].into_iter().zip(costs).map(stack).collect();
    names.push("all others");
    Ok(Figure {
        name: name.to_owned(),
        caption: format!(
            "{what}, at the typical constants of the cost model, by the events of {images} test images; the tables above have the ranges."
        ),
        svg: stacked(&format!("{what}, {unit}"), &names, &stacks)?,
    })
}
