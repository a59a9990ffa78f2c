//! `hafnia sim`.

use std::path::PathBuf;

use clap::Args;
use hafnia_report::{Align, Table};
use hafnia_sim::EngineKind;
use hafnia_stats::float::fixed;
use hafnia_stats::{Interval, Power, Reduction};
use hafnia_study::limits;
use hafnia_study::{
    AttributeRequest, MappingPower, PowerGrid, Request, Session, SimulateOutcome, SimulateRequest,
    TableCheck, Until,
};

use crate::options::{RunOptions, one_of, within};
use crate::output::{Format, Output, answer};

/// What help calls groups of options.
const CHIPS: &str = "Chips and noise";
const INTERVALS: &str = "Intervals";
const LOSSES: &str = "Where accuracy goes";

/// Run mapped networks on simulated macros: accuracy over virtual chips, with intervals.
///
/// Mappings are files (hafnia map) or made on the spot (--pipeline).
/// The first mapping is the baseline: of every other one the reduction of its noise impact is
/// given, by a bootstrap over chips and images together. Chip k has the same cells under every
/// mapping.
/// Of several networks, each with as many mappings in the same order, the mean drop and its
/// reduction are also given over networks, chips and images together (docs/statistics.md).
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia sim --model frontier --chips 10
  hafnia sim --model final12/3 --pipeline natural --pipeline compact
  hafnia sim net.hafnia natural.map --engine exact
  hafnia sim net.hafnia natural.map best.map --set sigma_lrs_rel=0.2
  hafnia sim a.hafnia a-plain.map a-order.map b.hafnia b-plain.map b-order.map
  hafnia sim --model 'final12/*' --pipeline natural --pipeline compact \\
      --part validation --power
  hafnia sim net.hafnia natural.map --noise-in final --chips 5 --format json
  hafnia sim --model frontier --until ±0.02 --yield-at 98.9
  hafnia sim --model frontier --set sigma_lrs_rel=0.15 --attribute")]
pub(crate) struct Sim {
    #[command(flatten)]
    networks: NetworksOptions,
    /// Map by this pipeline too, built-in or a TOML file; `compact` if there is no mapping else.
    #[arg(long = "pipeline", value_name = "NAME|FILE")]
    pipelines: Vec<String>,
    /// exact: no noise; device: programmed chips; table: codes sampled from P(code | m, n).
    #[arg(long, value_parser = one_of::<EngineKind>(["exact", "table", "device"]), default_value = "device")]
    #[arg(help_heading = CHIPS)]
    engine: EngineKind,
    /// Sample this measured code table (hafnia fit codes), not that of the macro; needs
    /// --engine table.
    #[arg(long, value_name = "FILE", help_heading = CHIPS)]
    code_table: Option<PathBuf>,
    /// Run a saved chip (hafnia chip program), of the mapping that it was programmed with; as many
    /// for every mapping, and the same ones. Takes the place of --chips; the macro is the chips'.
    #[arg(long = "chip", value_name = "FILE", conflicts_with_all = ["chips", "seed"])]
    #[arg(help_heading = CHIPS)]
    saved: Vec<PathBuf>,
    /// Virtual chips (of `table`: repetitions).
    #[arg(long, value_parser = within(limits::CHIPS), default_value_t = 50, help_heading = CHIPS)]
    chips: u32,
    /// Add chips, as many again as --chips at a time, until the interval over chips of the accuracy
    /// of every mapping reaches no further than these points to either side, such as ±0.02. That
    /// of a drop holds the choice of images too, which more chips do not narrow.
    #[arg(long, value_name = "±POINTS", value_parser = reach, conflicts_with = "saved")]
    #[arg(help_heading = CHIPS)]
    until: Option<f64>,
    /// Chips at which --until gives up.
    #[arg(long, value_name = "N", value_parser = within(limits::CHIPS), default_value_t = 1000, requires = "until")]
    #[arg(help_heading = CHIPS)]
    most_chips: u32,
    /// Also tell the yield: the share of chips that reach this accuracy, in per cent.
    #[arg(long, value_name = "PERCENT", value_parser = percent, help_heading = CHIPS)]
    yield_at: Option<f64>,
    /// Where there is noise: `all`, `final`, or names of layers, separated by commas.
    #[arg(long, default_value = "all", value_name = "SCOPE", help_heading = CHIPS)]
    noise_in: String,
    /// Replicates of the bootstrap.
    #[arg(long, value_parser = within(limits::REPLICATES), default_value_t = 2000)]
    #[arg(help_heading = INTERVALS)]
    replicates: u32,
    /// Also tell how far the relative reduction over all networks would be known with other numbers
    /// of networks and chips, to choose them by (on validation images).
    #[arg(long, help_heading = INTERVALS)]
    power: bool,
    /// Numbers of networks for --power.
    #[arg(long, value_name = "N,…", requires = "power", value_delimiter = ',', value_parser = at_least_2)]
    #[arg(default_values_t = PowerGrid::default().networks, help_heading = INTERVALS)]
    power_networks: Vec<usize>,
    /// Numbers of chips for --power.
    #[arg(long, value_name = "N,…", requires = "power", value_delimiter = ',', value_parser = at_least_2)]
    #[arg(default_values_t = PowerGrid::default().chips, help_heading = INTERVALS)]
    power_chips: Vec<usize>,
    /// Also say where accuracy goes under the first mapping: the drop by layer and by effect, and
    /// the signal-to-noise ratio and error rates of conversions.
    #[arg(long, conflicts_with_all = ["saved", "code_table"], help_heading = LOSSES)]
    attribute: bool,
    /// Images on which errors of conversions are counted, one by one, on 3 chips at most; 200 without
    /// a number, or all if there are fewer.
    #[arg(long, value_name = "N", help_heading = LOSSES)]
    attribute_images: Option<usize>,
    /// Chips on which every layer and every effect is run by itself, which takes as long as all else
    /// several times over; as many as --chips without a number.
    #[arg(long, value_name = "N", requires = "attribute", help_heading = LOSSES)]
    attribute_chips: Option<u32>,
    /// Draw the drops by layer and by effect: an SVG file.
    #[arg(long, value_name = "FILE", requires = "attribute", help_heading = LOSSES)]
    attribute_plot: Option<PathBuf>,
    #[command(flatten)]
    options: RunOptions,
}

/// Networks, and the files of their mappings.
#[derive(Args, Debug, Clone)]
#[group(required = true)]
struct NetworksOptions {
    /// Network files, each followed by its mappings, the first of which is the baseline; with
    /// --model all may be mappings.
    #[arg(value_name = "NETWORK|MAPPING")]
    files: Vec<PathBuf>,
    /// Recorded network in place of a file: RECIPE, RECIPE/SEED, or 'RECIPE/*' for every seed
    /// (hafnia models).
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
}

impl Sim {
    pub(crate) fn request(&self) -> SimulateRequest {
        let grid =
            || PowerGrid { networks: self.power_networks.clone(), chips: self.power_chips.clone() };
        let attribute = || AttributeRequest {
            images: self.attribute_images,
            chips: self.attribute_chips,
            plot: self.attribute_plot.clone(),
        };
        SimulateRequest {
            models: self.networks.models.clone(),
            files: self.networks.files.clone(),
            pipelines: self.pipelines.clone(),
            engine: self.engine,
            code_table: self.code_table.clone(),
            saved: self.saved.clone(),
            chips: self.chips,
            until: self.until,
            most_chips: self.most_chips,
            yield_at: self.yield_at,
            noise_in: self.noise_in.clone(),
            replicates: self.replicates,
            power: self.power.then(grid),
            attribute: self.attribute.then(attribute),
            part: self.options.part,
            images: self.options.images,
            seed: self.options.seed,
            out: self.options.out.clone(),
            spec: self.options.spec.source(),
            data: self.options.data.source(),
        }
    }

    pub(crate) fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        answer(self.request().run(session), |found| match (output.format, found.found.pooled()) {
            // Mappings of all networks in one list, a column saying of which.
            (Format::Csv, Some(_)) => {
                let mut document = serde_json::to_value(found)?;
                if let Some(fields) = document.as_object_mut() {
                    fields.retain(|field, _| field != "networks" && field != "pooled");
                    fields.insert("mappings".to_owned(), serde_json::to_value(found.rows())?);
                }
                output.print(&document, |_| String::new())
            }
            _ => output.print(found, text),
        })
    }
}

/// How far an interval may reach, in points: `±0.02`, `+-0.02` or `0.02`.
fn reach(text: &str) -> Result<f64, String> {
    let number = text.trim_start_matches('±').trim_start_matches("+-");
    match number.parse() {
        Ok(points) if limits::REACH.contains(&points) => Ok(points),
        _ => Err("give points above 0 and up to 100, such as ±0.02".to_owned()),
    }
}

/// An accuracy in per cent.
fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if limits::PERCENT.contains(&percent) => Ok(percent),
        _ => Err("give per cent from 0 to 100".to_owned()),
    }
}

/// A number of networks or chips that has a spread.
fn at_least_2(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if limits::FORECAST.contains(&number) => Ok(number),
        _ => Err("give a number from 2 to 100000".to_owned()),
    }
}

fn text(found: &SimulateOutcome) -> String {
    let mut text = String::new();
    for (name, of_network) in found.found.networks() {
        let Interval { value, lo, hi } = of_network.exact_accuracy.scaled(100.0);
        let of = if name.is_empty() { String::new() } else { format!("{name}: ") };
        let (images, part) = (found.images, found.part.name());
        text += &match of_network.exact_mean_squared_error {
            Some(error) => format!("{of}mean squared error {error:.4} without noise"),
            None => format!("{of}exact accuracy {value:.2} % ({lo:.2} to {hi:.2})"),
        };
        text += &format!(" on {images} {part} images\n");
    }
    if found.lossy {
        text += "The converter clips: more rows a conversion than codes.\n";
    }
    let chips = match found.engine {
        EngineKind::Exact => "no noise, so one chip stands for all".to_owned(),
        _ if !found.chips_differ => {
            "nothing differs from chip to chip, so one stands for all".to_owned()
        }
        EngineKind::Table => format!("{} repetitions (not chips)", found.chips),
        EngineKind::Device | EngineKind::Own => format!("{} virtual chips", found.chips),
    };
    let (table, over) = match found.targets {
        true => (errors(found), "other chips"),
        false => (mappings(found), "other chips and other images"),
    };
    text += &format!("{chips}, noise in: {}\n{table}\n", found.noise_in);
    text += &format!("in brackets: 95 %, with {over}\n");
    if let Some(Until { points, reached }) = found.until {
        let are = if reached { "are reached" } else { "are not reached (--most-chips)" };
        text += &format!("±{points} points over chips {are}\n");
    }
    if let Some(check) = &found.table_check {
        text += &table_check(check, found);
    }
    for (name, of_network) in found.found.networks() {
        for mapping in &of_network.mappings {
            let of = format!("{name} {}", mapping.mapping);
            let of = of.trim();
            if found.targets {
                continue;
            }
            if let (Some(exact), Some(share)) = (of_network.exact_top_five, mapping.top_five) {
                let (exact, share) = (100.0 * exact.value, 100.0 * share.value);
                text += &format!("top 5 of {of}: {share:.3} % ({exact:.2} % without noise)\n");
            }
            if !found.labelled {
                let error = mapping.mean_squared_error.value;
                text += &format!("mean squared error of the outputs of {of}: {error:.4}\n");
            }
            if let Some(share) = mapping.yield_at {
                let Interval { value, lo, hi } = share.scaled(100.0);
                text += &format!("yield of {of}: {value:.1} % ({lo:.1} to {hi:.1})\n");
            }
        }
    }
    text.extend(found.power.iter().map(power));
    if let Some(attribution) = &found.attribution {
        let Interval { value, lo, hi } = attribution.drop_points;
        let [value, lo, hi] = [value, lo, hi].map(|points| fixed(points, 3));
        text += &format!(
            "\nwhere {} loses {value} points ({lo} to {hi})\n{}\n{}\n{}",
            attribution.mapping,
            attribution.by_layer(),
            attribution.by_ones(),
            attribution.by_effect(),
        );
    }
    text
}

/// A line for every mapping of every network, and of several networks for every position.
fn mappings(found: &SimulateOutcome) -> Table {
    let pooled = found.found.pooled();
    let columns = ["mapping", ">accuracy, %", ">drop, points", ">reduction, %"];
    let more = [">sd", ">worst", ">cycles/image"];
    let network = pooled.map(|_| "network");
    let mut table = Table::of(network.into_iter().chain(columns).chain(more));
    let mut row = |network: &str,
                   mapping: &str,
                   [mean, sd, worst]: [String; 3],
                   drop: Interval,
                   reduction: Option<(Interval, Interval)>,
                   cycles: f64| {
        let (drop, reduction) = (drop_cell(drop), reduction_cell(reduction));
        let cycles = format!("{cycles:.1}");
        let cells = [mapping.to_owned(), mean, drop, reduction, sd, worst, cycles];
        table.row(pooled.map(|_| network.to_owned()).into_iter().chain(cells));
    };
    for (name, of_network) in found.found.networks() {
        for of in &of_network.mappings {
            let accuracy = [
                format!("{:.3}", 100.0 * of.accuracy_mean),
                format!("{:.3}", 100.0 * of.accuracy_sd),
                format!("{:.2}", 100.0 * of.accuracy_worst),
            ];
            let reduction = of.reduction.map(|Reduction { rel, points, .. }| (rel, points));
            row(name, &of.mapping, accuracy, of.drop_points, reduction, of.per_image.groups);
        }
    }
    for of in pooled.iter().flat_map(|pooled| &pooled.mappings) {
        let networks = pooled.map_or(0, |pooled| pooled.networks);
        let mean = format!("{:.3}", 100.0 * of.accuracy_mean);
        let accuracy = [mean, "-".to_owned(), "-".to_owned()];
        let reduction = of.found.reduction.map(|found| (found.rel, found.points));
        let (drop, cycles) = (of.found.drop_points, of.per_image.groups);
        row(&format!("all {networks}"), &of.mapping, accuracy, drop, reduction, cycles);
    }
    table
}

/// How far outputs are from their targets, by mapping.
fn errors(found: &SimulateOutcome) -> Table {
    let is_one = found.found.pooled().is_none();
    let network = (!is_one).then_some("network");
    let columns = ["mapping", ">mean squared error", ">without noise", ">cycles/image"];
    let mut table = Table::of(network.into_iter().chain(columns));
    for (name, of_network) in found.found.networks() {
        let exact = of_network.exact_mean_squared_error.unwrap_or_default();
        for of in &of_network.mappings {
            let Interval { value, lo, hi } = of.mean_squared_error;
            let error = match lo.is_finite() {
                true => format!("{value:.4} ({lo:.4} to {hi:.4})"),
                false => format!("{value:.4} (open)"),
            };
            let cycles = format!("{:.1}", of.per_image.groups);
            let cells = [of.mapping.clone(), error, format!("{exact:.4}"), cycles];
            table.row((!is_one).then(|| name.to_owned()).into_iter().chain(cells));
        }
    }
    table
}

/// How far `table` may err, mapping by mapping.
fn table_check(check: &TableCheck, found: &SimulateOutcome) -> String {
    let TableCheck { noise, chips, images } = check;
    let mut text = format!(
        "table draws anew for every conversion what a chip draws once:\n  {}\n\
         so device loses more, on {chips} chips and {images} images, by points:\n",
        noise.join("; ")
    );
    for (name, of_network) in found.found.networks() {
        for of in &of_network.mappings {
            let Some(error) = of.table_error_points else { continue };
            let of = format!("{name} {}", of.mapping);
            text += &format!("  {} {error:.3}\n", of.trim());
        }
    }
    text
}

/// Half-widths by networks (down) and chips (across).
fn power(MappingPower { mapping, power }: &MappingPower) -> String {
    let Power { reduction, rows, .. } = power;
    let chips: Vec<usize> = rows
        .iter()
        .take_while(|row| row.networks == rows[0].networks)
        .map(|row| row.chips)
        .collect();
    let columns = chips.iter().map(|chips| (format!("{chips} chips"), Align::Right));
    let networks = ("networks".to_owned(), Align::Right);
    let mut table = Table::new(std::iter::once(networks).chain(columns));
    for of_networks in rows.chunks(chips.len()) {
        let cells = of_networks.iter().map(|row| {
            let mark = if row.enough { " *" } else { "" };
            format!("{:.1}{mark}", 100.0 * row.half_width)
        });
        table.row(std::iter::once(of_networks[0].networks.to_string()).chain(cells));
    }
    format!(
        "expected half-width of the reduction by {mapping}, in points of its {:.1} %; * a third of it or less\n{table}\n",
        100.0 * reduction
    )
}

/// A drop and its interval, in points.
fn drop_cell(drop: Interval) -> String {
    match drop.lo.is_finite() && drop.hi.is_finite() {
        true => format!("{drop:.3}"),
        false => format!("{:.3} (open)", drop.value),
    }
}

/// A reduction, relative and in points, as its relative value and interval.
fn reduction_cell(reduction: Option<(Interval, Interval)>) -> String {
    let Some((rel, points)) = reduction else { return "-".to_owned() };
    let [value, range] = relative(rel);
    match points.holds(0.0) && !rel.value.is_nan() {
        true => format!("no difference {range}"),
        false => format!("{value} {range}"),
    }
}

/// A reduction in per cent and its interval, an end of which may be open.
fn relative(Interval { value, lo, hi }: Interval) -> [String; 2] {
    if value.is_nan() {
        return ["undefined", "(no drop in the baseline)"].map(str::to_owned);
    }
    let end = |end: f64| match end.is_finite() {
        true => fixed(100.0 * end, 1),
        false => "open".to_owned(),
    };
    let range = match lo.is_infinite() && hi.is_infinite() {
        true => "(open)".to_owned(),
        false => format!("({} to {})", end(lo), end(hi)),
    };
    [fixed(100.0 * value, 1), range]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reduction_of_no_drop_is_undefined() {
        let shown = |value, lo, hi| relative(Interval { value, lo, hi });
        let infinite = f64::INFINITY;
        assert_eq!(
            shown(f64::NAN, -infinite, infinite),
            ["undefined", "(no drop in the baseline)"]
        );
        assert_eq!(shown(0.25, -infinite, 0.5), ["25.0", "(open to 50.0)"]);
        assert_eq!(shown(0.25, 0.125, 0.5), ["25.0", "(12.5 to 50.0)"]);
        // What has no value, or no end, is written in words.
        let json = serde_json::to_value(Interval { value: f64::NAN, lo: -infinite, hi: infinite });
        let expected = serde_json::json!({ "value": "nan", "lo": "-inf", "hi": "inf" });
        assert_eq!(json.expect("numbers"), expected);
    }
}
