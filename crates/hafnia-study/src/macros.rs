//! What a macro makes of a conversion, as a table, and the start of a macro of one's own.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use hafnia_artifact::write_whole;
use hafnia_cim::{CodeTable, MacroSpec, template};
use hafnia_report::Interval;
use hafnia_report::plot::{Fitted, fit};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::outputs::{check_outputs, written};
use crate::record::Record;
use crate::request::{Request, Step};
use crate::session::Session;
use crate::source::{MacroSource, beside, resolved};

/// The probabilities of all codes of a macro are to be worked out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodesRequest {
    /// The macro.
    #[serde(flatten)]
    pub spec: MacroSource,
    /// File of the table, as `hafnia sim --code-table` reads it.
    pub out: Option<PathBuf>,
    /// File of the plot of full groups.
    pub plot: Option<PathBuf>,
}

/// An entry of a code table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CodeProbability {
    /// Rows on.
    pub n: usize,
    /// Ones among them.
    pub m: usize,
    /// The code.
    pub code: usize,
    /// P(code | m ones, n rows on), each conversion on a fresh chip.
    pub probability: f64,
}

impl Request for CodesRequest {
    const COMMAND: &'static str = "macros codes";

    type Outcome = Vec<CodeProbability>;

    fn run(&self, _: &Session<'_>) -> anyhow::Result<Vec<CodeProbability>> {
        check_outputs(self, None)?;
        let spec = self.spec.load()?;
        spec.check_table()?;
        let mut record = Record::of(self, &[("macro", json!(resolved(&spec)))], None)?;
        record.inputs(self.spec.files())?;
        let table = CodeTable::from_spec(&spec);
        let entries = table.conversions().flat_map(|(n, m)| {
            let codes = table.probabilities(n, m).iter().enumerate();
            codes.map(move |(code, &probability)| CodeProbability { n, m, code, probability })
        });
        written(entries.collect(), |_| {
            if let Some(out) = &self.out {
                write_whole(out, table.to_csv().as_bytes())?;
            }
            if let Some(path) = &self.plot {
                write_whole(path, plot(&table)?.as_bytes())?;
            }
            match &self.outputs()[..] {
                [] => Ok(()),
                files => record.end(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>()),
            }
        })
    }
}

impl Step for CodesRequest {
    fn inputs(&self) -> Vec<PathBuf> {
        self.spec.files()
    }

    fn outputs(&self) -> Vec<PathBuf> {
        self.out.iter().chain(&self.plot).cloned().collect()
    }
}

/// How codes of full groups are distributed about the number of ones.
fn plot(table: &CodeTable) -> anyhow::Result<String> {
    let rows = table.rows_per_conversion();
    let share = |ones: usize, is_counted: fn(usize, usize) -> bool| {
        let codes = table.probabilities(rows, ones).iter().enumerate();
        codes.filter(|(code, _)| is_counted(*code, ones)).map(|(_, p)| p).sum::<f64>()
    };
    let series = |label: &str, is_counted: fn(usize, usize) -> bool| {
        let points = (0..=rows).map(|ones| (ones as f64, share(ones, is_counted)));
        let measured = points.clone().map(|(x, y)| (x, Interval::exact(y)));
        Fitted { label: label.to_owned(), measured: measured.collect(), curve: points.collect() }
    };
    let series = [
        series("code = ones", |code, ones| code == ones),
        series("code < ones", |code, ones| code < ones),
        series("code > ones", |code, ones| code > ones),
    ];
    Ok(fit(&format!("ones among {rows} rows on"), "probability", &series)?)
}

/// A file for a macro of one's own is to be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMacroRequest {
    /// The file.
    pub file: PathBuf,
    /// What it inherits from: a preset, or a TOML file of the same form.
    pub from: String,
    /// Whether a file that is there already is replaced.
    pub force: bool,
}

impl Default for NewMacroRequest {
    fn default() -> Self {
        Self { file: PathBuf::new(), from: MacroSource::default().name, force: false }
    }
}

/// A file that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMacro {
    /// The file.
    pub file: PathBuf,
    /// What it inherits from.
    pub from: String,
}

impl Request for NewMacroRequest {
    const COMMAND: &'static str = "macros new";

    type Outcome = NewMacro;

    fn run(&self, _: &Session<'_>) -> anyhow::Result<NewMacro> {
        let shown = self.file.display();
        let is_macro = MacroSpec::is_path(&self.file.to_string_lossy());
        ensure!(is_macro, "a macro is told from a preset by its path: `{shown}` must end in .toml");
        ensure!(
            self.force || !exists(&self.file),
            "{shown} is there already: choose another name, or replace it with --force"
        );
        check_outputs(self, None)?;
        let text = template(&beside(&self.file, &self.from), &MacroSpec::load(&self.from)?);
        let new = NewMacro { file: self.file.clone(), from: self.from.clone() };
        written(new, |new| Ok(write_whole(&new.file, text.as_bytes())?))
    }
}

/// Whether something stands there, a link to nothing included.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

impl Step for NewMacroRequest {
    fn inputs(&self) -> Vec<PathBuf> {
        MacroSpec::files(&self.from, [])
    }

    fn outputs(&self) -> Vec<PathBuf> {
        vec![self.file.clone()]
    }
}
