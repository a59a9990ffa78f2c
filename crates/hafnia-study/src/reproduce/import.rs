//! Small ONNX files of exporters, held to what executors gave for them: `hafnia model import`.

use std::path::{Path, PathBuf};

use hafnia_onnx::{Agreement, Options, Pixels, check, import};
use hafnia_report::{Metrics, ReportError, Section, Table};
use serde::{Deserialize, Serialize};

use crate::reproduce::lab::Lab;
use crate::request::{Request, Step};
use crate::session::Session;

/// The files, and what they are from.
const FILES: [(&str, &str); 3] = [
    ("brevitas-residual", "Brevitas, 2-bit weights, a residual branch"),
    ("onnxruntime-int8", "onnxruntime's `quantize_static`, 8 bits"),
    ("larq-channels-last", "Larq by tf2onnx, channels last"),
];

/// A file beside what an executor gave.
#[derive(Debug, Default, Serialize)]
struct Compare {
    file: PathBuf,
    inputs: PathBuf,
    outputs: PathBuf,
    out: PathBuf,
}

impl Compare {
    /// The file of this name in a checkout, as a network in `out`.
    fn of(checkout: &Path, name: &str, out: PathBuf) -> Self {
        let folder = checkout.join("crates/hafnia-onnx/tests/files");
        let [file, outputs] = ["onnx", "npy"].map(|ending| folder.join(format!("{name}.{ending}")));
        Self { file, inputs: folder.join("images.npy"), outputs, out }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Compared {
    /// Why it was refused, if it was.
    refused: Option<String>,
    images: usize,
    /// Outputs that were compared.
    outputs: usize,
    /// Those that are not the integer of the network.
    outputs_off: usize,
}

impl Request for Compare {
    const COMMAND: &'static str = "model import";

    type Outcome = Compared;

    fn run(&self, _: &Session<'_>) -> anyhow::Result<Compared> {
        let options = Options { pixels: Pixels::Unit, shape: None, approximate: false };
        Ok(match import(&self.file, &options) {
            Err(refused) => {
                let refused = Some(refused.to_string());
                Compared { refused, images: 0, outputs: 0, outputs_off: 0 }
            }
            Ok(imported) => {
                let found = check(&imported, &self.inputs, &self.outputs)?;
                let Agreement { images, outputs, outputs_off, .. } = found;
                hafnia_artifact::save(&self.out, &imported.network)?;
                Compared { refused: None, images, outputs, outputs_off }
            }
        })
    }

    fn words(&self) -> Vec<String> {
        let path = |path: &PathBuf| path.display().to_string();
        let Self { file, inputs, outputs, out } = self;
        let words = ["model", "import", &path(file), "--pixels", "unit", "--check", &path(inputs)];
        let words = words.into_iter().map(str::to_owned);
        words.chain([path(outputs), "--out".to_owned(), path(out)]).collect()
    }
}

impl Step for Compare {
    fn inputs(&self) -> Vec<PathBuf> {
        [&self.file, &self.inputs, &self.outputs].map(PathBuf::clone).to_vec()
    }

    fn outputs(&self) -> Vec<PathBuf> {
        vec![self.out.clone()]
    }
}

/// What became of the files.
pub(super) struct Imports([Compared; FILES.len()]);

pub(super) fn run(lab: &Lab<'_>) -> anyhow::Result<Imports> {
    let compare = |(name, _): (&str, &str)| {
        let step = format!("import/{name}");
        lab.ask(&step, &Compare::of(&lab.root, name, lab.out(format!("{step}.hafnia"))))
    };
    let [a, b, c] = FILES.map(compare);
    Ok(Imports([a?, b?, c?]))
}

impl Imports {
    /// `import/files`, `import/exact` and `import/refused`.
    pub(super) fn add_metrics(&self, metrics: &mut Metrics) -> Result<(), ReportError> {
        let count = |of: fn(&&Compared) -> bool| self.0.iter().filter(of).count() as f64;
        metrics.insert("import/files", self.0.len() as f64)?;
        metrics.insert("import/exact", count(|of| of.refused.is_none() && of.outputs_off == 0))?;
        metrics.insert("import/refused", count(|of| of.refused.is_some()))
    }

    pub(super) fn section(&self) -> Section {
        let mut table = Table::of(["file", "from", ">images", ">outputs", ">other integers"]);
        for ((name, from), found) in FILES.iter().zip(&self.0) {
            let Compared { refused, images, outputs, outputs_off } = found;
            table.row([
                format!("{name}.onnx"),
                from.to_string(),
                images.to_string(),
                outputs.to_string(),
                refused.clone().unwrap_or_else(|| outputs_off.to_string()),
            ]);
        }
        Section {
            title: "Networks of other tools".to_owned(),
            text: "ONNX files of exporters as networks of integers, whose outputs are held to those of an executor, each to a thousandth of a step or what the roundings of its sums allow."
                .to_owned(),
            tables: vec![table],
            ..Section::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use hafnia_passes::Registry;

    use super::*;

    #[test]
    fn every_file_is_imported_and_agrees() {
        let (registry, out) = (Registry::builtin(), tempfile::tempdir().unwrap());
        let session = Session::new(&registry, &());
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let compared = FILES.map(|(name, _)| {
            let request = Compare::of(&checkout, name, out.path().join(name));
            request.run(&session).unwrap()
        });
        let mut metrics = Metrics::default();
        Imports(compared).add_metrics(&mut metrics).unwrap();
        let found = ["files", "exact", "refused"].map(|key| metrics.get(&format!("import/{key}")));
        assert_eq!(found, [Some(3.0), Some(3.0), Some(0.0)]);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let (registry, out) = (Registry::builtin(), tempfile::tempdir().unwrap());
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let request = Compare::of(&checkout, FILES[0].0, out.path().join("network"));
        let request = Compare { file: request.outputs.clone(), ..request };
        let found = request.run(&Session::new(&registry, &())).unwrap();
        assert!(found.refused.is_some_and(|why| why.contains("it is no ONNX file")));
    }
}
