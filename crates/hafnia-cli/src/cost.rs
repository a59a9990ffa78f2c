//! `hafnia cost`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use hafnia_cost::{BreakEven, Calibration, Cost as Costs, DRAWS, Range};
use hafnia_report::{Align, Table};
use hafnia_study::{CostAgainst, CostOutcome, CostRequest, Request, Session, ratios};
use serde::Serialize;
use serde_json::Value;

use crate::options::{NetworkOptions, RunOptions, request};
use crate::output::{Format, Output, answer, table};

/// What help calls the options of the cost model.
const PRICES: &str = "Cost model";

/// Tell what a mapped network takes and spends: area, energy and latency by layer and component.
///
/// The noiseless network runs over images, and what happens in every tile is counted and priced.
/// The prices are calibrated on two published figures of the chip; their forecast of two others is
/// printed with its miss. A value in brackets is the range that what is assumed leaves, 5 % to 95 %
/// of draws.
#[derive(Args, Clone, Serialize)]
#[command(mut_arg("file", |file| file.help("Network file; with --model the only file is the mapping")))]
#[command(mut_arg("images", |images| images.help("Use the first N images; 1000, or all if there are fewer")))]
#[command(after_help = "Examples:
  hafnia cost net.hafnia net.map
  hafnia cost --model frontier                  mapped by the pipeline compact
  hafnia cost net.hafnia best.map --against natural.map --plot saving.svg
  hafnia cost --model final12 --pipeline compact --against natural
  hafnia cost net.hafnia net.map --constant area.table_bit_um2=0.5")]
pub(crate) struct Cost {
    #[command(flatten)]
    #[serde(flatten)]
    network: NetworkOptions,
    /// A mapping of that network.
    #[arg(value_name = "MAPPING", index = 2)]
    mapping: Option<PathBuf>,
    /// Map by this pipeline in place of a mapping, built-in or a TOML file; `compact` without either.
    #[arg(long, value_name = "NAME|FILE")]
    pipeline: Option<String>,
    /// Tell what area the mapping saves against this one, a mapping (.map) or a pipeline, over what
    /// a bit of its tables takes.
    #[arg(long, value_name = "OTHER.map|PIPELINE")]
    against: Option<String>,
    /// Plot that saving.
    #[arg(long, value_name = "FILE", requires = "against")]
    plot: Option<PathBuf>,
    /// What parts take: a built-in model, or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "gt-n40", help_heading = PRICES)]
    cost_model: String,
    /// Another value for a constant of it, which then has no range.
    #[arg(long, value_name = "KEY=VALUE", help_heading = PRICES)]
    constant: Vec<String>,
    /// Draws of what is assumed.
    #[arg(long, default_value_t = DRAWS, help_heading = PRICES)]
    draws: usize,
    #[command(flatten)]
    #[serde(flatten)]
    options: RunOptions,
}

impl Cost {
    pub(crate) fn request(&self) -> anyhow::Result<CostRequest> {
        let mut options = self.clone();
        // With --model the only file is the mapping.
        if options.network.model.is_some() {
            match (options.network.file.take(), &self.mapping) {
                (Some(_), Some(_)) => bail!("give one mapping, or --pipeline"),
                (file, _) => options.mapping = file,
            }
        }
        request(&options)
    }

    pub(crate) fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        answer(self.request()?.run(session), |told| match output.format {
            Format::Csv => output.print(&by_layer(told)?, |_| String::new()),
            _ => output.print(told, text),
        })
    }
}

/// The document of a cost, as a list of layers after what holds for all of them.
fn by_layer(told: &CostOutcome) -> anyhow::Result<Value> {
    let mut document = serde_json::to_value(told)?;
    let layers = document.pointer_mut("/cost/layers").map(Value::take);
    if let Some(fields) = document.as_object_mut() {
        let departures: Vec<String> = told.departures.iter().map(ToString::to_string).collect();
        fields.insert("departures".to_owned(), departures.join("; ").into());
        fields.insert("layers".to_owned(), layers.unwrap_or_default());
    }
    Ok(document)
}

fn text(told: &CostOutcome) -> String {
    let cost = &told.cost;
    let mut text = format!(
        "{} on {} macros, events of {} {} images\n",
        told.mapping,
        cost.macros,
        told.images,
        told.part.name()
    );
    if !told.departures.is_empty() {
        let departures: Vec<String> = told.departures.iter().map(ToString::to_string).collect();
        text += &format!(
            "priced as the macro has it, not the chip of the calibration: {}\n",
            departures.join(", ")
        );
    }
    text += &format!("{}\n", layers(cost));
    for (title, unit, factor, breakdown) in [
        ("area in use", "mm2", 1e-6, &cost.area_um2),
        ("energy of an image", "nJ", 1e-6, &cost.energy_fj),
        ("time of an image", "us", 1e-3, &cost.latency_ns),
    ] {
        let mut table = Table::new([(title, Align::Left), (unit, Align::Right)]);
        for (component, range) in &breakdown.parts {
            table.row([component.name().to_owned(), range.scaled(factor).to_string()]);
        }
        text += &format!("{table}\n");
    }
    text += &format!(
        "whole macros and tables: {} mm2\n{} TOPS, {} TOPS/W and {} GOPS/mm2\n  \
         in 1x1-bit operations of rows that were on\n{} TOPS/W in those of all weights\n",
        cost.whole_um2.scaled(1e-6),
        cost.tops,
        cost.tops_per_w,
        cost.gops_per_mm2,
        cost.network_tops_per_w,
    );
    if let Some(against) = &told.against {
        text += &compared(told, against);
    }
    text + &calibration(&told.calibration)
}

/// Costs by layer, and in all.
fn layers(cost: &Costs) -> Table {
    let mut table =
        table(["layer", ">area, mm2", ">energy, nJ", ">latency, us", ">cells", ">table bits"]);
    let mut row = |name: &str, cells: usize, bits: usize, [area, energy, time]: [Range; 3]| {
        table.row([
            name.to_owned(),
            area.scaled(1e-6).to_string(),
            energy.scaled(1e-6).to_string(),
            time.scaled(1e-3).to_string(),
            cells.to_string(),
            bits.to_string(),
        ]);
    };
    for layer in &cost.layers {
        let ranges = [layer.area_um2.total, layer.energy_fj.total, layer.latency_ns.total];
        row(&layer.name, layer.cells, layer.table_bits, ranges);
    }
    let cells = cost.layers.iter().map(|layer| layer.cells).sum();
    let bits = cost.layers.iter().map(|layer| layer.table_bits).sum();
    let ranges = [cost.area_um2.total, cost.energy_fj.total, cost.latency_ns.total];
    row("all", cells, bits, ranges);
    table
}

/// The savings, and the curve of the network, if anything is saved or spent.
fn compared(told: &CostOutcome, against: &CostAgainst) -> String {
    let mappings = format!("{} against {}", told.mapping, against.mapping);
    let is_same = |saving: &BreakEven| {
        let Range { lo, hi, .. } = saving.gross;
        lo == 0.0 && hi == 0.0 && saving.natural_table_bits == saving.table_bits
    };
    if against.savings.iter().all(is_same) {
        return format!("{mappings}: the same area, and the same tables\n");
    }
    let mut table = table([
        "area",
        "layer",
        ">net, %",
        ">break-even",
        ">saved without tables, %",
        ">table bits",
    ]);
    for saving in &against.savings {
        table.row([
            saving.scope.name().to_owned(),
            saving.layer.clone().unwrap_or_else(|| "all".to_owned()),
            saving.net.scaled(100.0).to_string(),
            saving.break_even.map_or("any".to_owned(), |at| at.to_string()),
            saving.gross.scaled(100.0).to_string(),
            format!("{} -> {}", saving.natural_table_bits, saving.table_bits),
        ]);
    }
    let network: Vec<&BreakEven> =
        against.savings.iter().filter(|saving| saving.layer.is_none()).collect();
    let columns =
        network.iter().map(|saving| (format!("{}, %", saving.scope.name()), Align::Right));
    let mut curve = Table::new(std::iter::once(("ratio".to_owned(), Align::Right)).chain(columns));
    for (index, ratio) in ratios().into_iter().enumerate().step_by(2) {
        let net = network.iter().map(|saving| saving.curve[index].net.scaled(100.0).to_string());
        curve.row(std::iter::once(ratio.to_string()).chain(net));
    }
    let ratio = network.first().map_or_else(String::new, |saving| saving.ratio.to_string());
    format!(
        "{mappings}\n{table}\nnet saving over the area of a bit of a table, in multiples of a weight's \
         cells:\n  here {ratio}\n{curve}\n"
    )
}

/// What the model was calibrated on and how it foretells the rest.
fn calibration(calibration: &Calibration) -> String {
    let mut table = table(["published figure", "", ">published", ">model", ">miss, %"]);
    for figure in &calibration.figures {
        let used = if figure.fitted { "calibrates" } else { "foretold" };
        table.row([
            figure.name.clone(),
            used.to_owned(),
            figure.published.to_string(),
            figure.model.to_string(),
            if figure.fitted { String::new() } else { format!("{:+.1}", 100.0 * figure.miss_rel) },
        ]);
    }
    format!(
        "{table}\nranges: 5 % to 95 % of {} draws of what is assumed, each calibrated; {} could not be",
        calibration.draws, calibration.refused
    )
}
