//! `hafnia model`: networks in and out, and how good they are.

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use clap::{ArgGroup, Args, Subcommand};
use hafnia_artifact::{Places, save};
use hafnia_model::Network;
use hafnia_model::interchange::{self, REFERENCE_LOGITS as LOGITS};
use hafnia_stats::Interval;
use hafnia_study::{
    Accuracy, DataSource, EvaluateRequest, MergeCurve, MergeOutcome, MergeRequest, MergedNetwork,
    NetworkDescription, Part, Record, RefineOutcome, RefineRequest, Request, SearchOptions,
    Session, describe_network, logits, manifest_of, written,
};
use hafnia_tune::MergeReport;
use serde::Serialize;

use crate::inspect::network_text;
use crate::onnx::{OnnxOptions, imported_text, is_onnx};
use crate::options::{DataOptions, NetworkOptions, number, part, request};
use crate::output::{Output, ranged, table, typed};

/// Import, export and evaluate networks; refine them and make their rows equal.
#[derive(Args)]
pub(crate) struct Model {
    #[command(subcommand)]
    pub(crate) command: ModelCommand,
}

#[derive(Subcommand)]
pub(crate) enum ModelCommand {
    Import(Import),
    Export(Export),
    Evaluate(Evaluate),
    Refine(Refine),
    Merge(Merge),
}

/// Turn an ONNX or QONNX file, or an interchange folder (network.json and .npy tensors), into a
/// network file.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia model import net.onnx --pixels unit --out net.hafnia
  hafnia model import net.onnx --pixels 0.1307,0.3081 --out net.hafnia \\
      --check inputs.npy outputs.npy
  hafnia model import my-net/ --out my-net.hafnia --check-logits ~/mnist

docs/import.md says which ONNX files are taken, docs/formats.md what an interchange folder holds.")]
pub(crate) struct Import {
    /// The file, FILE.onnx, or the interchange folder.
    #[arg(value_name = "FILE|FOLDER")]
    pub(crate) folder: PathBuf,
    /// Network file to write.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Compare the folder's reference_logits.npy with what the network gives on the first test
    /// images of the data set in this folder.
    #[arg(long, value_name = "DATA")]
    check_logits: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) onnx: OnnxOptions,
}

/// Write a network as a QONNX file, or as an interchange folder, with reference logits if asked.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia model export out/net/network.hafnia net.onnx
  hafnia model export --model frontier net.onnx
  hafnia model export out/net/network.hafnia exported/
  hafnia model export net.hafnia exported/ --logits 100 --offline")]
pub(crate) struct Export {
    /// Network file, none with --model, and what is written: a QONNX file, FILE.onnx, or a folder.
    #[arg(value_names = ["NETWORK", "FILE|FOLDER"], num_args = 1..=2, required = true)]
    paths: Vec<PathBuf>,
    /// Recorded network in place of a file: RECIPE, or RECIPE/SEED (hafnia models).
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Also write the raw outputs for this many of the first test images.
    #[arg(long, value_name = "N", default_value_t = 0)]
    logits: usize,
    #[command(flatten)]
    data: DataOptions,
}

/// Run the reference on images: accuracy with its interval, and the paired difference to a second
/// network.
#[derive(Args, Serialize)]
#[command(after_help = "Examples:
  hafnia model evaluate out/net/network.hafnia
  hafnia model evaluate --model frontier
  hafnia model evaluate tied.hafnia --against net.hafnia --format json")]
pub(crate) struct Evaluate {
    #[command(flatten)]
    #[serde(flatten)]
    network: NetworkOptions,
    /// Second network, run on the same images.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Which images.
    #[arg(long, value_parser = part(), default_value = "test")]
    part: Part,
    /// Use only the first N images.
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    #[command(flatten)]
    #[serde(flatten)]
    data: DataOptions,
}

/// Search the integers near a trained network's for a lower loss on training images.
///
/// Moves are steps of single weights and of thresholds. One is made if it lowers the cross entropy
/// of the images that are searched on and does not raise that of those held back. Validation images
/// take no part: they tell whether it helped.
#[derive(Args, Serialize)]
#[command(after_help = "Examples:
  hafnia model refine out/net/network.hafnia --out out/refined.hafnia
  hafnia model refine --model frontier --layers fc3,fc2 --out refined.hafnia")]
pub(crate) struct Refine {
    #[command(flatten)]
    #[serde(flatten)]
    network: NetworkOptions,
    /// Network file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    #[serde(flatten)]
    search: Search,
    #[command(flatten)]
    #[serde(flatten)]
    data: DataOptions,
}

/// What help calls [`Search`].
const SEARCH: &str = "Search";

/// How integers are searched.
#[derive(Args, Debug, Clone, Serialize)]
struct Search {
    /// Layers in the order in which a pass visits them; all linear layers from the last on if none
    /// is named.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = SEARCH)]
    layers: Vec<String>,
    /// Passes over the layers; fewer if one changes nothing.
    #[arg(long, value_name = "N", default_value_t = SearchOptions::default().passes)]
    #[arg(help_heading = SEARCH)]
    passes: u32,
    /// How far a threshold may go in one move.
    #[arg(long, value_name = "N", default_value_t = SearchOptions::default().reach)]
    #[arg(help_heading = SEARCH)]
    reach: i32,
    /// How many standard errors a move must lower the loss by.
    #[arg(long, value_name = "N", value_parser = number, default_value_t = SearchOptions::default().sigmas)]
    #[arg(help_heading = SEARCH)]
    sigmas: f64,
    /// Share of the training images that is held back.
    #[arg(long, value_name = "SHARE", value_parser = number, default_value_t = SearchOptions::default().held_back)]
    #[arg(help_heading = SEARCH)]
    held_back: f64,
    /// Look at the first N training images only; at all of them without it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(help_heading = SEARCH)]
    images: Option<u32>,
    /// Seed of what is held back and of the order of visits.
    #[arg(long, value_name = "S", default_value_t = SearchOptions::default().seed)]
    #[arg(help_heading = SEARCH)]
    seed: u64,
}

/// Make rows of a matrix equal, so that `rename` can give them one row of cells.
///
/// Rows are put together by the damage to the outputs on training images, and the other integers
/// are searched to make up for it, as `hafnia model refine` does. The network computes something
/// else afterwards; what that costs is measured on images that took no part.
#[derive(Args, Serialize)]
#[command(group = ArgGroup::new("how-many").required(true))]
#[command(after_help = "Examples:
  hafnia model merge --model frontier --layer fc3 --rows 46 --out merged.hafnia
  hafnia model merge --model frontier --budget 0.2 --out merged.hafnia
  hafnia model merge --model frontier --curve 10,12,16,20,30,46 --format csv

docs/mapping.md says how rows are chosen and what it costs.")]
pub(crate) struct Merge {
    #[command(flatten)]
    #[serde(flatten)]
    network: NetworkOptions,
    /// Network file to write.
    #[arg(long, value_name = "FILE", required_unless_present = "curve", conflicts_with = "curve")]
    out: Option<PathBuf>,
    /// Layer whose rows are made equal.
    #[arg(long, value_name = "NAME", default_value = "fc3")]
    layer: String,
    /// Different rows to leave.
    #[arg(long, value_name = "N", group = "how-many")]
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
    /// Leave the fewest rows that cost at most these points of accuracy on validation images.
    #[arg(long, value_name = "POINTS", group = "how-many", value_parser = points)]
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<f64>,
    /// Leave each of these numbers of rows, with and without tuning; writes no network.
    #[arg(long, value_name = "N,…", group = "how-many", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    curve: Vec<usize>,
    /// Only make rows equal: do not search the other integers to make up for it.
    #[arg(long)]
    no_tune: bool,
    /// The images by which the cost is told.
    #[arg(long, value_parser = part(), default_value = "validation")]
    part: Part,
    #[command(flatten)]
    #[serde(flatten)]
    search: Search,
    #[command(flatten)]
    #[serde(flatten)]
    data: DataOptions,
}

fn points(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|error| format!("{error}"))?;
    match (0.0..=100.0).contains(&value) {
        true => Ok(value),
        false => Err(format!("budget is {value}, it must lie in 0..=100")),
    }
}

impl Model {
    pub(crate) fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        match &self.command {
            ModelCommand::Import(command) => command.run(session, output),
            ModelCommand::Export(command) => command.run(session, output),
            ModelCommand::Evaluate(command) => command.run(session, output),
            ModelCommand::Refine(command) => {
                output.answer(request::<RefineRequest>(command)?.run(session), refined_text)
            }
            ModelCommand::Merge(command) => {
                output.answer(request::<MergeRequest>(command)?.run(session), merged_text)
            }
        }
    }
}

/// A network that was imported.
#[derive(Debug, Serialize)]
struct Imported {
    #[serde(flatten)]
    network: NetworkDescription,
    /// What agrees, if that was asked for.
    #[serde(rename = "logits_agree", skip_serializing_if = "Option::is_none")]
    agrees: Option<Agreement>,
}

/// Outputs that are those of the file, all of them.
#[derive(Debug, Serialize)]
struct Agreement {
    images: usize,
    outputs: usize,
}

impl Import {
    fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        if is_onnx(&self.folder) {
            ensure!(
                self.check_logits.is_none(),
                "--check-logits is for interchange folders; --check compares an ONNX file"
            );
            let request = self.onnx.request(&self.folder, &self.out);
            return output.answer(request.run(session), imported_text);
        }
        self.onnx.refuse()?;
        let data = self.check_logits.as_ref().map(|data| hafnia_data::files_in(data));
        Places::new()
            .reads_folder(&self.folder)
            .reads(data.unwrap_or_default())
            .writes([self.out.clone(), manifest_of(&self.out)])
            .check()?;
        let config = serde_json::json!({ "folder": self.folder });
        let record = Record::begin(typed(), &config, None)?;
        let network = interchange::import(&self.folder)?;
        let check = |data: &PathBuf| self.check(session, &network, data);
        let agrees = self.check_logits.as_ref().map(check).transpose()?;
        let imported = Imported { network: describe_network(&network), agrees };
        let imported = written(imported, |_| {
            save(&self.out, &network)?;
            record.end(&[&self.out])
        });
        output.answer(imported, |Imported { network, agrees }| {
            let agrees = agrees.as_ref().map(|Agreement { images, outputs }| {
                format!("\n{images} images × {outputs} outputs agree with {LOGITS}")
            });
            network_text(network) + &agrees.unwrap_or_default()
        })
    }

    /// Holds the outputs of the first test images to those that came with the network.
    fn check(
        &self,
        session: &Session<'_>,
        network: &Network,
        data: &Path,
    ) -> anyhow::Result<Agreement> {
        let Some(expected) = interchange::read_reference_logits(&self.folder)? else {
            bail!("{} has no {LOGITS} to check against", self.folder.display());
        };
        let source =
            DataSource { data: Some(data.to_owned()), offline: true, ..DataSource::default() };
        let set = session.dataset(&source)?;
        ensure!(
            expected.len() <= set.test.len(),
            "{LOGITS} has {} images, the data set has {} test images",
            expected.len(),
            set.test.len()
        );
        let found = logits(network, &set.test, expected.len())?;
        let outputs = network.classes();
        for (image, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let has = expected.len();
            ensure!(has == outputs, "{LOGITS} has {has} outputs, the network has {outputs}");
            let differs =
                found.iter().zip(expected).position(|(found, expected)| found != expected);
            if let Some(output) = differs {
                let (found, expected) = (found[output], expected[output]);
                bail!(
                    "test image {image}, output {output}: the network gives {found}, {LOGITS} has {expected}"
                );
            }
        }
        Ok(Agreement { images: expected.len(), outputs })
    }
}

impl Export {
    /// The network, and what is written.
    fn places(&self) -> anyhow::Result<(NetworkOptions, &Path)> {
        let (file, out) = match (&self.paths[..], &self.model) {
            ([out], Some(_)) => (None, out),
            ([file, out], None) => (Some(file.clone()), out),
            ([file, _], Some(_)) => {
                bail!("give either the network file {} or --model", file.display())
            }
            _ => {
                bail!("give the network, as a file or by --model, and the file or folder to write")
            }
        };
        Ok((NetworkOptions { file, model: self.model.clone() }, out))
    }

    fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        let (network, out) = self.places()?;
        if is_onnx(out) {
            ensure!(
                self.logits == 0,
                "--logits is for interchange folders, an ONNX file is written"
            );
            Places::new().reads(&network.file).writes([out.to_owned()]).check()?;
            let network = network.source()?.load()?.network;
            let described =
                written(describe_network(&network), |_| Ok(hafnia_onnx::export(&network, out)?));
            return output.answer(described, network_text);
        }
        let data = self.data.source();
        Places::new().reads(&network.file).reads(data.files()).writes_folder(out).check()?;
        interchange::check_writable(out)?;
        let network = network.source()?.load()?.network;
        let outputs = match self.logits {
            0 => Vec::new(),
            images => {
                let set = session.dataset(&data)?;
                let most = set.test.len();
                ensure!(images <= most, "--logits is {images}, it must lie in 0..={most}");
                logits(&network, &set.test, images)?
            }
        };
        let described = written(describe_network(&network), |_| {
            Ok(interchange::export_with_logits(&network, &outputs, out)?)
        });
        output.answer(described, network_text)
    }
}

impl Evaluate {
    fn run(&self, session: &Session<'_>, output: Output) -> anyhow::Result<()> {
        let request: EvaluateRequest = request(self)?;
        let name = match (&self.network.file, &self.network.model) {
            (None, Some(_)) => request.network.load()?.name,
            (file, _) => file.iter().map(|path| path.display().to_string()).collect(),
        };
        output.answer(request.run(session), |evaluated| {
            if let Some(error) = evaluated.mean_squared_error {
                let mut table = table(["network", ">mean squared error"]);
                table.row([name, format!("{error:.4}")]);
                if let (Some(path), Some(against)) = (&self.against, &evaluated.against) {
                    let error = against.mean_squared_error.unwrap_or_default();
                    table.row([path.display().to_string(), format!("{error:.4}")]);
                }
                return format!("{} {} images\n{table}", evaluated.images, evaluated.part.name());
            }
            let mut table = table(["network", ">accuracy, %", ">95 % interval"]);
            let percent = |name: String, interval: Interval, scale: f64| {
                let Interval { value, lo, hi } = interval.scaled(scale);
                [name, format!("{value:.2}"), format!("{lo:.2} to {hi:.2}")]
            };
            table.row(percent(name, evaluated.accuracy, 100.0));
            let ties = "  ties counted as wrong".to_owned();
            table.row(percent(ties, evaluated.accuracy_ties_wrong, 100.0));
            let top_five = |share: Option<Interval>| {
                share.map(|share| percent("  among the 5 largest".to_owned(), share, 100.0))
            };
            top_five(evaluated.top_five).into_iter().for_each(|row| table.row(row));
            if let (Some(path), Some(against)) = (&self.against, &evaluated.against) {
                table.row(percent(path.display().to_string(), against.accuracy, 100.0));
                top_five(against.top_five).into_iter().for_each(|row| table.row(row));
                let ahead = "second ahead by (points, paired)".to_owned();
                table.row(percent(ahead, against.ahead_points, 1.0));
            }
            format!("{} {} images\n{table}", evaluated.images, evaluated.part.name())
        })
    }
}

fn refined_text(report: &RefineOutcome) -> String {
    let RefineOutcome { network, tried, made, seconds, .. } = report;
    let mut table = table(["images", "ties", ">before, %", ">after, %", ">gain, points (paired)"]);
    for part in &report.parts {
        let (before, after, gain) =
            (&part.accuracy_before, &part.accuracy_after, &part.gain_points);
        let images = format!("{} {}", part.images, part.part);
        let rules = ties(before, after, gain);
        for ([rule, before, after, gain], images) in rules.into_iter().zip([images, String::new()])
        {
            table.row([images, rule, before, after, gain]);
        }
        table.row([
            String::new(),
            "share".to_owned(),
            format!("{:.2}", 100.0 * part.ties_before),
            format!("{:.2}", 100.0 * part.ties_after),
            String::new(),
        ]);
    }
    format!("{network}: {made} of {tried} moves made in {seconds:.1} s\n{table}")
}

/// By both rules for ties: the rule, accuracy before and after, and the difference.
fn ties(before: &Accuracy, after: &Accuracy, difference: &Accuracy) -> [[String; 4]; 2] {
    let rule = |name: &str, of: fn(&Accuracy) -> Interval| {
        let cells = [(before, 100.0), (after, 100.0), (difference, 1.0)];
        let [before, after, difference] = cells.map(|(found, scale)| ranged(of(found), scale));
        [name.to_owned(), before, after, difference]
    };
    [rule("first of equals", |of| of.first), rule("wrong", |of| of.ties_wrong)]
}

fn merged_text(merged: &MergeOutcome) -> String {
    match merged {
        MergeOutcome::Network(merged) => network_cost(merged),
        MergeOutcome::Curve(curve) => curve_text(curve),
    }
}

fn network_cost(merged: &MergedNetwork) -> String {
    let MergeReport { layer, logical_rows, rows, rows_before, bits_changed, .. } = &merged.merge;
    let mut table = table(["ties", ">before, %", ">after, %", ">cost, points (paired)"]);
    let (before, after) = (&merged.accuracy_before, &merged.accuracy_after);
    ties(before, after, &merged.cost_points).into_iter().for_each(|row| table.row(row));
    format!(
        "{layer}: {rows} different rows of {logical_rows}, {rows_before} before; \
         {bits_changed} bits of the layer changed\n{} {} images\n{table}",
        merged.images,
        merged.part.name()
    )
}

fn curve_text(curve: &MergeCurve) -> String {
    let mut table =
        table([">rows", "tuned", ">bits changed", ">accuracy, %", ">cost, points (paired)"]);
    for point in &curve.points {
        table.row([
            point.rows.to_string(),
            if point.tuned { "yes" } else { "no" }.to_owned(),
            point.bits_changed.to_string(),
            ranged(point.accuracy.first, 100.0),
            ranged(point.cost_points.first, 1.0),
        ]);
    }
    format!("{}, layer {}, {} images\n{table}", curve.network, curve.layer, curve.part.name())
}
