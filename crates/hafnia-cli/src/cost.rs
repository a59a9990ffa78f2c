//! `hafnia cost`: what a mapped network takes and spends, with ranges.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use hafnia_cim::MacroSpec;
use hafnia_cost::{
    Assessment, BreakEven, Calibrated, Calibration, Cost as Costs, CostModel, DRAWS, Range, Scope,
};
use hafnia_ir::Mapping;
use hafnia_model::Network;
use hafnia_passes::Registry;
use hafnia_report::plot::{Fitted, fit};
use hafnia_report::{Align, Interval, Table};
use hafnia_rng::Seed;
use hafnia_sim::{Images, tally};
use serde::Serialize;

use crate::data::{self, Part};
use crate::map::{load_mapping, load_pipeline, map_by};
use crate::models::NetworkOptions;
use crate::output::{Output, Record, check_writable};
use crate::progress;
use crate::run::RunOptions;

/// Tell what a mapped network takes and spends: area, energy and latency by layer and component.
///
/// The noiseless network runs over images, and what happens in every tile is counted and priced.
/// The prices are calibrated on two published figures of the chip; their forecast of two others is
/// printed with its miss. A value in brackets is the range that what is assumed leaves, 5 % to 95 %
/// of draws.
#[derive(Args)]
#[command(mut_arg("file", |file| file.help("Network file; with --model the only file is the mapping")))]
#[command(mut_arg("images", |images| images.help("Use the first so many images; 1000, or all if there are fewer")))]
#[command(after_help = "Examples:
  hafnia cost net.hafnia net.map
  hafnia cost --model frontier                       mapped by the pipeline compact
  hafnia cost net.hafnia best.map --against natural.map --plot saving.svg
  hafnia cost --model final12 --pipeline compact --against natural
  hafnia cost net.hafnia net.map --constant area.table_bit_um2=0.5 --format json")]
pub(crate) struct Cost {
    #[command(flatten)]
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
    #[arg(long, value_name = "NAME|FILE", default_value = "gt-n40")]
    cost_model: String,
    /// Another value for a constant of it, which then has no range.
    #[arg(long = "constant", value_name = "KEY=VALUE")]
    constants: Vec<String>,
    /// Draws of what is assumed.
    #[arg(long, default_value_t = DRAWS)]
    draws: usize,
    #[command(flatten)]
    options: RunOptions,
}

/// Images over which events are counted, if there are as many.
const IMAGES: usize = 1000;

#[derive(Serialize)]
struct Told {
    network: String,
    /// Its file, or the pipeline that made it.
    mapping: String,
    part: Part,
    images: usize,
    seed: u64,
    cost_model: CostModel,
    #[serde(rename = "macro")]
    spec: std::collections::BTreeMap<String, String>,
    calibration: Calibration,
    cost: Costs,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Against>,
}

/// The mapping beside another one.
#[derive(Serialize)]
struct Against {
    mapping: String,
    cost: Costs,
    /// By scope, for the network and for every layer whose area differs.
    savings: Vec<BreakEven>,
}

/// What mappings are run on.
struct Bench<'a> {
    network: &'a Network,
    spec: &'a MacroSpec,
    images: &'a Images,
    calibrated: &'a Calibrated,
}

impl Bench<'_> {
    fn assess(&self, name: &str, mapping: &Mapping) -> anyhow::Result<Assessment> {
        let bar = progress::bar(name);
        let moves = progress::moves(&bar);
        let events = tally(self.network, self.images, mapping, self.spec, &moves)?;
        bar.finish_and_clear();
        Ok(self.calibrated.assess(self.network, mapping, self.spec, &events)?)
    }
}

impl Cost {
    pub(crate) fn run(&self, registry: &Registry, output: Output) -> anyhow::Result<()> {
        let options = &self.options;
        let spec = options.spec.load()?;
        let model = self.model()?;
        let files: Vec<PathBuf> = self.mapping.iter().cloned().collect();
        let (chosen, files) = self.network.load_beside(&files)?;
        let network = &chosen.network;
        let name = match (files.as_slice(), &self.pipeline) {
            ([], None) => "compact".to_owned(),
            ([], Some(pipeline)) => pipeline.clone(),
            ([file], None) => file.display().to_string(),
            _ => bail!("give one mapping, or --pipeline"),
        };
        let is_file = !files.is_empty();
        for path in options.out.iter().chain(&self.plot) {
            check_writable(path)?;
        }
        let config = serde_json::json!({
            "mapping": name,
            "against": self.against,
            "cost_model": model,
            "draws": self.draws,
            "part": options.part,
            "images": options.images,
            "macro": options.spec.resolved(&spec),
        });
        let mut record = Record::begin(&config, Some(options.seed))?;
        record.network(&chosen);
        let mut mapped = |name: &str, is_file| {
            if is_file {
                record.input(Path::new(name))?;
                return load_mapping(Path::new(name), network);
            }
            map_by(&load_pipeline(name, registry)?, network, &spec, Seed(options.seed))
        };
        let mapping = mapped(&name, is_file)?;
        let other = match &self.against {
            None => None,
            Some(other) => Some((other, mapped(other, other.ends_with(".map"))?)),
        };
        let images = data::images(network, &options.load(IMAGES, &mut record)?);
        let calibrated = model.calibrate(self.draws, Seed(options.seed))?;
        let bench = Bench { network, spec: &spec, images: &images, calibrated: &calibrated };
        let assessment = bench.assess(&name, &mapping)?;
        let mut against = None;
        if let Some((other, mapping)) = other {
            let natural = bench.assess(other, &mapping)?;
            let savings = savings(&natural, &assessment)?;
            against = Some(Against { mapping: other.clone(), cost: natural.cost(), savings });
        }
        let told = Told {
            network: chosen.name,
            mapping: name,
            part: options.part,
            images: images.labels.len(),
            seed: options.seed,
            cost_model: model,
            spec: options.spec.resolved(&spec),
            calibration: calibrated.calibration(),
            cost: assessment.cost(),
            against,
        };
        let mut written = Vec::new();
        if let Some(out) = &options.out {
            let json = serde_json::to_string_pretty(&told)? + "\n";
            hafnia_artifact::write_whole(out, json.as_bytes())?;
            written.push(out.as_path());
        }
        if let (Some(path), Some(against)) = (&self.plot, &told.against) {
            hafnia_artifact::write_whole(path, plot(&against.savings)?.as_bytes())?;
            written.push(path);
        }
        if !written.is_empty() {
            record.end(&written)?;
        }
        output.print(&told, text)
    }

    fn model(&self) -> anyhow::Result<CostModel> {
        ensure!(
            (1..=1_000_000).contains(&self.draws),
            "--draws is {}, it must lie in 1..=1000000",
            self.draws
        );
        let mut model = CostModel::load(&self.cost_model)?;
        for constant in &self.constants {
            let form = || format!("--constant is `{constant}`, it must be KEY=NUMBER");
            let (key, value) = constant.split_once('=').with_context(form)?;
            model = model.with(key, value.parse().with_context(form)?)?;
        }
        Ok(model)
    }
}

/// Ratios of the curve: the area of a table's bit over that of a weight's cells.
fn ratios() -> Vec<f64> {
    (0..=20).map(|step| 0.5 * f64::from(step)).collect()
}

/// The savings of the network, and of every layer whose cells or tables differ.
fn savings(natural: &Assessment, other: &Assessment) -> anyhow::Result<Vec<BreakEven>> {
    let layers = natural.typical.layers.iter().zip(&other.typical.layers);
    let differs = layers.enumerate().filter(|(_, (natural, other))| {
        (natural.cells, natural.table_bits) != (other.cells, other.table_bits)
    });
    let mut of: Vec<(Scope, Option<usize>)> = Scope::ALL.map(|scope| (scope, None)).into();
    of.extend(
        differs
            .flat_map(|(layer, _)| [Scope::Cells, Scope::InUse].map(|scope| (scope, Some(layer)))),
    );
    let saving = |(scope, layer)| BreakEven::of(natural, other, scope, layer, &ratios());
    Ok(of.into_iter().map(saving).collect::<Result<_, _>>()?)
}

/// The curves of the network, by scope.
fn plot(savings: &[BreakEven]) -> anyhow::Result<String> {
    let of_network = savings.iter().filter(|saving| saving.layer.is_none());
    let series: Vec<Fitted> = of_network
        .map(|saving| Fitted {
            label: format!("area: {}", saving.scope.name()),
            measured: saving
                .curve
                .iter()
                .map(|at| {
                    let Range { typical: value, lo, hi } = at.net.scaled(100.0);
                    (at.ratio, Interval { value, lo, hi })
                })
                .collect(),
            curve: saving.curve.iter().map(|at| (at.ratio, 100.0 * at.net.typical)).collect(),
        })
        .collect();
    let x = "area of a table bit / area of the cells of a weight";
    Ok(fit(x, "net area saving, %", &series)?)
}

fn text(told: &Told) -> String {
    let cost = &told.cost;
    let mut text = format!(
        "{} on {} macros, events of {} {} images\n",
        told.mapping,
        cost.macros,
        told.images,
        told.part.name()
    );
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
        "whole macros and tables: {} mm2\n{} TOPS, {} TOPS/W and {} GOPS/mm2 in 1x1-bit operations \
         of rows that were on\n{} TOPS/W in those of all weights\n",
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
    let mut table = Table::new([
        ("layer", Align::Left),
        ("cells", Align::Right),
        ("table bits", Align::Right),
        ("area, mm2", Align::Right),
        ("energy, nJ", Align::Right),
        ("latency, us", Align::Right),
    ]);
    let mut row = |name: &str, cells: usize, bits: usize, [area, energy, time]: [Range; 3]| {
        table.row([
            name.to_owned(),
            cells.to_string(),
            bits.to_string(),
            area.scaled(1e-6).to_string(),
            energy.scaled(1e-6).to_string(),
            time.scaled(1e-3).to_string(),
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

/// The savings, and the curve of the network.
fn compared(told: &Told, against: &Against) -> String {
    let mut table = Table::new([
        ("area", Align::Left),
        ("layer", Align::Left),
        ("saved without tables, %", Align::Right),
        ("table bits", Align::Right),
        ("net, %", Align::Right),
        ("break-even", Align::Right),
    ]);
    for saving in &against.savings {
        table.row([
            saving.scope.name().to_owned(),
            saving.layer.clone().unwrap_or_else(|| "all".to_owned()),
            saving.gross.scaled(100.0).to_string(),
            format!("{} -> {}", saving.natural_table_bits, saving.table_bits),
            saving.net.scaled(100.0).to_string(),
            saving.break_even.map_or("any".to_owned(), |at| at.to_string()),
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
        "{} against {}: a bit of a table takes {ratio} times the area of a weight's cells\n\
         {table}\nnet saving over that ratio\n{curve}\n",
        told.mapping, against.mapping
    )
}

/// What the model was calibrated on and how it foretells the rest.
fn calibration(calibration: &Calibration) -> String {
    let mut table = Table::new([
        ("published figure", Align::Left),
        ("", Align::Left),
        ("published", Align::Right),
        ("model", Align::Right),
        ("miss, %", Align::Right),
    ]);
    for figure in &calibration.figures {
        let used = if figure.fitted { "calibrates" } else { "foretold" };
        table.row([
            figure.name.to_owned(),
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
