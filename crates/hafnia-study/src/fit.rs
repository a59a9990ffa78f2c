//! Makes presets and code tables of measurements.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hafnia_artifact::write_whole;
use hafnia_cim::fit::{CodeCounts, CodeRate, Conductances, Shape, StateFit};
use hafnia_cim::{CodeTable, Distribution, MacroSpec};
use hafnia_report::Interval;
use hafnia_report::plot::{Fitted, fit};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::outputs::{check_outputs, written};
use crate::record::Record;
use crate::request::{Request, Step};
use crate::session::Session;
use crate::source::{MacroSource, beside, resolved};

/// A preset is to be made of measured conductances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FitCellsRequest {
    /// The measurements: a CSV file with the columns state,g_us, or state,g_s for siemens.
    pub file: PathBuf,
    /// File of the preset.
    pub out: PathBuf,
    /// What the preset inherits from.
    pub inherits: String,
    /// Shape of the fit.
    pub shape: WantedShape,
    /// File of the plot of the fit beside the data.
    pub plot: Option<PathBuf>,
}

impl Default for FitCellsRequest {
    fn default() -> Self {
        let ((file, out), plot) = Default::default();
        let inherits = MacroSource::default().name;
        Self { file, out, inherits, shape: WantedShape::Auto, plot }
    }
}

/// The shape of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WantedShape {
    /// Normal if that holds at 5 %, else log-normal, else the points.
    Auto,
    /// Normal.
    Normal,
    /// Log-normal.
    LogNormal,
    /// The points as they are.
    Points,
}

/// A code table is to be made of counted codes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FitCodesRequest {
    /// The counts: a CSV file with the columns n,m,code,count.
    pub file: PathBuf,
    /// File of the code table.
    pub out: PathBuf,
    /// File of the plot of the error rates beside those of the macro.
    pub plot: Option<PathBuf>,
    /// The macro.
    #[serde(flatten)]
    pub spec: MacroSource,
}

/// The fit of a state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FittedState {
    /// HRS or LRS.
    pub state: String,
    /// Measured cells.
    pub cells: usize,
    /// The shape.
    pub shape: String,
    /// Mean conductance, µS.
    pub mean_us: f64,
    /// Standard deviation over the mean.
    pub sigma_rel: f64,
    /// Distance of the data from a normal distribution (Kolmogorov-Smirnov).
    pub normal_distance: f64,
    /// The same from a log-normal one, where it can be told.
    pub log_normal_distance: Option<f64>,
    /// The distance that 5 % of normal data exceed.
    pub bound: f64,
}

/// The error rate of conversions with as many rows on and ones among them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FittedRate {
    /// Rows on.
    pub n: usize,
    /// Ones among them.
    pub m: usize,
    /// Conversions.
    pub conversions: u64,
    /// Share of wrong codes.
    pub wrong: f64,
    /// Lower end of its 95 % interval.
    pub lo: f64,
    /// Upper end of that.
    pub hi: f64,
    /// What the macro says; none where it has no such conversion.
    pub model: Option<f64>,
}

impl Request for FitCellsRequest {
    const COMMAND: &'static str = "fit cells";

    type Outcome = Vec<FittedState>;

    fn run(&self, _: &Session<'_>) -> anyhow::Result<Vec<FittedState>> {
        check_outputs(self, None)?;
        MacroSpec::load(&self.inherits)?;
        let record = Record::of(self, &[], None)?;
        let measured = Conductances::load_csv(&self.file)?;
        let fits = measured.fit(match self.shape {
            WantedShape::Auto => None,
            WantedShape::Normal => Some(Shape::Normal),
            WantedShape::LogNormal => Some(Shape::LogNormal),
            WantedShape::Points => Some(Shape::Points),
        });
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let parent = beside(&self.out, &self.inherits);
        let preset = StateFit::preset(&fits, &parent, &name, &self.out.to_string_lossy())
            .with_context(|| format!("the fit to {} makes no preset", self.file.display()))?;
        let plotted = self.plot.as_ref().map(|path| Ok((path, plot_cells(&measured, &fits)?)));
        let plotted: anyhow::Result<_> = plotted.transpose();
        let plotted = plotted?;
        let states = ["HRS", "LRS"].into_iter().zip(&fits).map(|(state, fit)| FittedState {
            state: state.to_owned(),
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
        written(states.collect(), |_| write(record, &self.file, (&self.out, &preset), plotted))
    }
}

impl Step for FitCellsRequest {
    fn inputs(&self) -> Vec<PathBuf> {
        std::iter::once(self.file.clone()).chain(MacroSpec::files(&self.inherits, [])).collect()
    }

    fn outputs(&self) -> Vec<PathBuf> {
        std::iter::once(&self.out).chain(&self.plot).cloned().collect()
    }
}

impl Request for FitCodesRequest {
    const COMMAND: &'static str = "fit codes";

    type Outcome = Vec<FittedRate>;

    fn run(&self, _: &Session<'_>) -> anyhow::Result<Vec<FittedRate>> {
        check_outputs(self, None)?;
        let spec = self.spec.load()?;
        let record = Record::of(self, &[("macro", json!(resolved(&spec)))], None)?;
        let counts = CodeCounts::load_csv(&self.file)?;
        let table = counts.table();
        let text = table.to_csv();
        CodeTable::from_csv(&text, &self.out.to_string_lossy())
            .with_context(|| format!("the counts of {} make no table", self.file.display()))?;
        let model = CodeTable::from_spec(&spec);
        let fits = |rows: usize| !model.is_empty() && rows <= model.rows_per_conversion();
        let rate = |CodeRate { rows, ones, conversions, wrong, interval }: CodeRate| FittedRate {
            n: rows,
            m: ones,
            conversions,
            wrong,
            lo: interval.0,
            hi: interval.1,
            model: fits(rows).then(|| model.error_probability(rows, ones)),
        };
        let rates: Vec<FittedRate> = counts.rates().into_iter().map(rate).collect();
        let plotted = self.plot.as_ref().map(|path| Ok((path, plot_codes(&rates)?)));
        let plotted: anyhow::Result<_> = plotted.transpose();
        let plotted = plotted?;
        written(rates, |_| write(record, &self.file, (&self.out, &text), plotted))
    }
}

impl Step for FitCodesRequest {
    fn inputs(&self) -> Vec<PathBuf> {
        std::iter::once(self.file.clone()).chain(self.spec.files()).collect()
    }

    fn outputs(&self) -> Vec<PathBuf> {
        std::iter::once(&self.out).chain(&self.plot).cloned().collect()
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

/// Error rates of full groups over the number of ones, beside those of the macro.
fn plot_codes(rates: &[FittedRate]) -> anyhow::Result<String> {
    let most = rates.iter().map(|rate| rate.n).max().unwrap_or(0);
    let full = || rates.iter().filter(|rate| rate.n == most);
    let measured = full().map(|rate| {
        let FittedRate { m, wrong, lo, hi, .. } = *rate;
        (m as f64, Interval { value: wrong, lo, hi })
    });
    let curve = full().filter_map(|rate| Some((rate.m as f64, rate.model?)));
    let label = format!("{most} rows on: measured, and the macro as a line");
    let series = [Fitted { label, measured: measured.collect(), curve: curve.collect() }];
    Ok(fit("ones among the rows on", "share of wrong codes", &series)?)
}
