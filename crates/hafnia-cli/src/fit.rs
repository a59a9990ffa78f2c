//! `hafnia fit`: presets and code tables from measurements.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use hafnia_artifact::write_whole;
use hafnia_cim::fit::{CodeCounts, CodeRate, Conductances, Shape, StateFit};
use hafnia_cim::{CodeTable, Distribution, MacroSpec};
use hafnia_report::plot::{Fitted, fit};
use hafnia_report::{Align, Interval, Table};
use serde::Serialize;

use crate::macros::SpecOptions;
use crate::output::{Output, Record, check_writable};

/// Make a preset or a code table from measurements.
#[derive(Args)]
#[command(after_help = "Examples:
  hafnia fit cells cells.csv --out my-cells.toml --plot cells.svg
  hafnia fit codes codes.csv --out my-table.csv --plot codes.svg
  hafnia sim --model frontier --macro my-cells.toml
  hafnia sim --model frontier --engine table --code-table my-table.csv")]
pub(crate) struct Fit {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Cells(Cells),
    Codes(Codes),
}

/// A preset from measured conductances: a CSV file with the columns state,g_us.
#[derive(Args)]
struct Cells {
    /// The measurements: state LRS or HRS, conductance in µS, at least 31 cells of each state.
    file: PathBuf,
    /// The preset to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What the preset inherits from.
    #[arg(long, default_value = "gt-n40", value_name = "NAME|FILE")]
    inherits: String,
    /// Shape of the fit; auto: normal if that holds at 5 %, else log-normal, else the points.
    #[arg(long, value_enum, default_value_t = WantedShape::Auto)]
    shape: WantedShape,
    /// Also plot the fit against the data.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum WantedShape {
    Auto,
    Normal,
    LogNormal,
    Points,
}

/// A code table from counted codes: a CSV file with the columns n,m,code,count.
#[derive(Args)]
struct Codes {
    /// The counts: rows on, ones among them, code, how often.
    file: PathBuf,
    /// The code table to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Also plot the error rates against those of the macro.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    spec: SpecOptions,
}

#[derive(Serialize)]
struct State {
    state: &'static str,
    cells: usize,
    shape: String,
    mean_us: f64,
    sigma_rel: f64,
    normal_distance: f64,
    log_normal_distance: Option<f64>,
    bound: f64,
}

#[derive(Serialize)]
struct Rate {
    n: usize,
    m: usize,
    conversions: u64,
    wrong: f64,
    lo: f64,
    hi: f64,
    /// What the macro says; none where it has no such conversion.
    model: Option<f64>,
}

impl Fit {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        match &self.command {
            Command::Cells(cells) => cells.run(output),
            Command::Codes(codes) => codes.run(output),
        }
    }
}

/// Writes a file and its plot with a manifest.
fn write(
    mut record: Record,
    file: &Path,
    out: (&Path, &str),
    plot: Option<(&PathBuf, String)>,
) -> anyhow::Result<()> {
    record.input(file)?;
    write_whole(out.0, out.1.as_bytes())?;
    let mut outputs = vec![out.0];
    if let Some((path, svg)) = &plot {
        write_whole(path, svg.as_bytes())?;
        outputs.push(path.as_path());
    }
    record.end(&outputs)
}

impl Cells {
    fn run(&self, output: Output) -> anyhow::Result<()> {
        for path in std::iter::once(&self.out).chain(&self.plot) {
            check_writable(path)?;
        }
        MacroSpec::load(&self.inherits)?;
        let config = serde_json::json!({ "shape": self.shape, "inherits": self.inherits });
        let record = Record::begin(&config, None)?;
        let measured = Conductances::load_csv(&self.file)?;
        let fits = measured.fit(match self.shape {
            WantedShape::Auto => None,
            WantedShape::Normal => Some(Shape::Normal),
            WantedShape::LogNormal => Some(Shape::LogNormal),
            WantedShape::Points => Some(Shape::Points),
        });
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let preset = StateFit::preset(&fits, &self.inherits, &name);
        let plotted = self.plot.as_ref().map(|path| Ok((path, plot_cells(&measured, &fits)?)));
        let plotted: anyhow::Result<_> = plotted.transpose();
        write(record, &self.file, (&self.out, &preset), plotted?)?;
        let states = ["HRS", "LRS"].into_iter().zip(&fits).map(|(state, fit)| State {
            state,
            cells: fit.cells,
            shape: match &fit.distribution {
                Distribution::Points(_) => "points".to_owned(),
                shape => shape.to_string(),
            },
            mean_us: fit.mean_us,
            sigma_rel: fit.sigma_rel,
            normal_distance: fit.normal_distance,
            log_normal_distance: fit.log_normal_distance,
            bound: fit.bound,
        });
        output.print(&states.collect::<Vec<_>>(), |states| text_of_states(states))
    }
}

fn text_of_states(states: &[State]) -> String {
    let mut table = Table::new([
        ("state", Align::Left),
        ("cells", Align::Right),
        ("shape", Align::Left),
        ("mean, uS", Align::Right),
        ("sigma, %", Align::Right),
        ("D normal", Align::Right),
        ("D log-normal", Align::Right),
        ("5 % bound", Align::Right),
    ]);
    for state in states {
        table.row([
            state.state.to_owned(),
            state.cells.to_string(),
            state.shape.clone(),
            format!("{:.4}", state.mean_us),
            format!("{:.3}", 100.0 * state.sigma_rel),
            format!("{:.4}", state.normal_distance),
            state.log_normal_distance.map_or("-".to_owned(), |d| format!("{d:.4}")),
            format!("{:.4}", state.bound),
        ]);
    }
    table.to_string()
}

/// Cumulative shares of cells over conductance relative to the mean, so that both states fit.
fn plot_cells(measured: &Conductances, fits: &[StateFit; 2]) -> anyhow::Result<String> {
    let of_states = [("HRS", &measured.hrs_us), ("LRS", &measured.lrs_us)];
    let series = of_states.into_iter().zip(fits).map(|((label, cells), fit)| {
        let n = cells.len() as f64;
        let at = |(index, us): (usize, &f64)| {
            (us / fit.mean_us, Interval::exact((index as f64 + 0.5) / n))
        };
        let (low, high) = (cells[0], cells[cells.len() - 1]);
        let step = |index: u32| low + (high - low) * f64::from(index) / 200.0;
        let curve =
            (0..=200).map(step).filter_map(|us| Some((us / fit.mean_us, fit.cumulative(us)?)));
        Fitted {
            label: label.to_owned(),
            measured: cells.iter().enumerate().map(at).collect(),
            curve: curve.collect(),
        }
    });
    let series: Vec<_> = series.collect();
    Ok(fit("conductance over its mean", "share of cells below", &series)?)
}

impl Codes {
    fn run(&self, output: Output) -> anyhow::Result<()> {
        for path in std::iter::once(&self.out).chain(&self.plot) {
            check_writable(path)?;
        }
        let spec = self.spec.load()?;
        let config = serde_json::json!({ "macro": self.spec.resolved(&spec) });
        let record = Record::begin(&config, None)?;
        let counts = CodeCounts::load_csv(&self.file)?;
        let table = counts.table();
        let model = CodeTable::from_spec(&spec);
        let fits = |rows: usize| rows <= model.rows_per_conversion();
        let rate = |CodeRate { rows, ones, conversions, wrong, interval }: CodeRate| Rate {
            n: rows,
            m: ones,
            conversions,
            wrong,
            lo: interval.0,
            hi: interval.1,
            model: fits(rows).then(|| model.error_probability(rows, ones)),
        };
        let rates: Vec<Rate> = counts.rates().into_iter().map(rate).collect();
        let plotted = self.plot.as_ref().map(|path| Ok((path, plot_codes(&rates)?)));
        let plotted: anyhow::Result<_> = plotted.transpose();
        write(record, &self.file, (&self.out, &table.to_csv()), plotted?)?;
        output.print(&rates, |rates| text_of_rates(rates))
    }
}

fn text_of_rates(rates: &[Rate]) -> String {
    let mut table = Table::new([
        ("n", Align::Right),
        ("m", Align::Right),
        ("conversions", Align::Right),
        ("wrong, %", Align::Right),
        ("95 % interval", Align::Right),
        ("macro, %", Align::Right),
    ]);
    for rate in rates {
        table.row([
            rate.n.to_string(),
            rate.m.to_string(),
            rate.conversions.to_string(),
            format!("{:.3}", 100.0 * rate.wrong),
            format!("{:.3} to {:.3}", 100.0 * rate.lo, 100.0 * rate.hi),
            rate.model.map_or("-".to_owned(), |model| format!("{:.3}", 100.0 * model)),
        ]);
    }
    table.to_string()
}

/// Error rates of full groups over the number of ones, beside those of the macro.
fn plot_codes(rates: &[Rate]) -> anyhow::Result<String> {
    let most = rates.iter().map(|rate| rate.n).max().unwrap_or(0);
    let full = || rates.iter().filter(|rate| rate.n == most);
    let measured = full().map(|rate| {
        let Rate { m, wrong, lo, hi, .. } = *rate;
        (m as f64, Interval { value: wrong, lo, hi })
    });
    let curve = full().filter_map(|rate| Some((rate.m as f64, rate.model?)));
    let label = format!("{most} rows on: measured, and the macro as a line");
    let series = [Fitted { label, measured: measured.collect(), curve: curve.collect() }];
    Ok(fit("ones among the rows on", "share of wrong codes", &series)?)
}
