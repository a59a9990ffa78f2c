//! What the deployed network costs, as it is and by `best`: `hafnia cost`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use hafnia_cost::{BreakEven, Breakdown, Cost, Range, Scope};
use hafnia_report::plot::{Stack, stacked};
use hafnia_report::{Align, Figure, Metrics, Part, Section, Table};

use crate::cost::{CostAgainst, CostOutcome, CostRequest};
use crate::reproduce::lab::Lab;
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

impl Costs {
    /// The net saving of whole macros with their tables.
    fn net_saving(&self) -> Option<Range> {
        let is_whole = |saving: &&BreakEven| saving.layer.is_none() && saving.scope == Scope::Whole;
        self.against.savings.iter().find(is_whole).map(|saving| saving.net)
    }

    pub(super) fn add_metrics(&self, metrics: &mut Metrics) -> anyhow::Result<()> {
        let mut insert = |key: &str, range: Range| -> anyhow::Result<()> {
            for (end, value) in [("", range.typical), ("_lo", range.lo), ("_hi", range.hi)] {
                metrics.insert(format!("cost/{key}{end}"), value)?;
            }
            Ok(())
        };
        insert("natural/area_mm2", self.against.cost.whole_um2.scaled(1e-6))?;
        insert("best/area_mm2", self.found.cost.whole_um2.scaled(1e-6))?;
        if let Some(saving) = self.net_saving() {
            insert("best/net_area_saving", saving)?;
        }
        insert("tops_per_w", self.found.cost.tops_per_w)?;
        insert("gops_per_mm2", self.found.cost.gops_per_mm2)?;
        insert("energy_nj_per_image", self.found.cost.energy_fj.total.scaled(1e-6))?;
        insert("latency_us_per_image", self.found.cost.latency_ns.total.scaled(1e-3))?;
        Ok(())
    }

    pub(super) fn section(&self) -> anyhow::Result<Section> {
        let (natural, best) = (&self.against.cost, &self.found.cost);
        let mut totals =
            Table::new([("", Align::Left), ("natural", Align::Right), ("by `best`", Align::Right)]);
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

        let mut layers = Table::new([
            ("layer, by `best`", Align::Left),
            ("area in use, mm²", Align::Right),
            ("energy, nJ", Align::Right),
            ("time, µs", Align::Right),
        ]);
        for layer in &best.layers {
            layers.row([
                layer.name.clone(),
                layer.area_um2.total.scaled(1e-6).to_string(),
                layer.energy_fj.total.scaled(1e-6).to_string(),
                layer.latency_ns.total.scaled(1e-3).to_string(),
            ]);
        }
        let mut savings = Table::new([
            ("`best` against natural", Align::Left),
            ("saved without tables, %", Align::Right),
            ("net, %", Align::Right),
            ("break-even, table bit / cells of a weight", Align::Right),
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
        let mut calibration = Table::new([
            ("published figure", Align::Left),
            ("published", Align::Right),
            ("model", Align::Right),
            ("miss, %", Align::Right),
        ]);
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
                 Most constants are assumed: docs/cost.md has each with its source.",
                self.found.images
            ),
            tables: vec![totals, layers, savings, calibration],
            figures: vec![
                figure(
                    "cost-area",
                    "Area in use by component",
                    "mm²",
                    1e-6,
                    [natural, best],
                    |c| &c.area_um2,
                )?,
                figure(
                    "cost-energy",
                    "Energy of an image by component",
                    "nJ",
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
        caption: format!("{what}, typical."),
        svg: stacked(&format!("{what}, {unit}"), &names, &stacks)?,
    })
}
