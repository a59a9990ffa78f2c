//! Small ONNX files of exporters, held to what executors gave for them: `hafnia model import`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hafnia_onnx::{Agreement, ImportError, Pixels};
use hafnia_report::{Metrics, ReportError, Section, Table};

use crate::import::{Disagreement, ImportOutcome, ImportRequest};
use crate::reproduce::lab::Lab;

/// The files, and what they are from.
const FILES: [(&str, &str); 3] = [
    ("brevitas-residual", "Brevitas, 2-bit weights, a residual branch"),
    ("onnxruntime-int8", "onnxruntime's `quantize_static`, 8 bits"),
    ("larq-channels-last", "Larq by tf2onnx, channels last"),
];

/// A file is what an executor says, or refused.
type Judged = Result<Agreement, String>;

/// What became of the files.
pub(super) struct Imports([Judged; FILES.len()]);

/// The file of this name in a checkout is to become a network in `out`, beside what an executor gave.
fn asked(checkout: &Path, name: &str, out: PathBuf) -> ImportRequest {
    let folder = checkout.join("crates/hafnia-onnx/tests/files");
    let [file, outputs] = ["onnx", "npy"].map(|ending| folder.join(format!("{name}.{ending}")));
    ImportRequest {
        file,
        out,
        pixels: Some(Pixels::Unit),
        check: Some([folder.join("images.npy"), outputs]),
        ..ImportRequest::default()
    }
}

fn judged(found: anyhow::Result<ImportOutcome>) -> anyhow::Result<Judged> {
    match found {
        Ok(imported) => Ok(Ok(imported.agrees.context("a file beside an executor")?)),
        Err(error) => match error.downcast::<ImportError>() {
            Ok(refused) => Ok(Err(refused.to_string())),
            Err(error) => Ok(Ok(error.downcast::<Disagreement>()?.agreement)),
        },
    }
}

pub(super) fn run(lab: &Lab<'_>) -> anyhow::Result<Imports> {
    let compare = |(name, _): (&str, &str)| {
        let step = format!("import/{name}");
        judged(lab.ask(&step, &asked(&lab.root, name, lab.out(format!("{step}.hafnia")))))
    };
    let [a, b, c] = FILES.map(compare);
    Ok(Imports([a?, b?, c?]))
}

impl Imports {
    /// `import/files`, `import/exact` and `import/refused`.
    pub(super) fn add_metrics(&self, metrics: &mut Metrics) -> Result<(), ReportError> {
        let count = |of: fn(&&Judged) -> bool| self.0.iter().filter(of).count() as f64;
        let is_exact = |of: &&Judged| of.as_ref().is_ok_and(|agreed| agreed.outputs_off == 0);
        metrics.insert("import/files", self.0.len() as f64)?;
        metrics.insert("import/exact", count(is_exact))?;
        metrics.insert("import/refused", count(|of| of.is_err()))
    }

    pub(super) fn section(&self) -> Section {
        let mut table = Table::of(["file", "from", ">images", ">outputs", ">other integers"]);
        for ((name, from), found) in FILES.iter().zip(&self.0) {
            let [images, outputs, others] = match found {
                Ok(of) => [of.images, of.outputs, of.outputs_off].map(|count| count.to_string()),
                Err(refused) => ["0", "0", refused].map(str::to_owned),
            };
            table.row([format!("{name}.onnx"), (*from).to_owned(), images, outputs, others]);
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
    use hafnia_artifact::npy;
    use hafnia_passes::Registry;

    use super::*;
    use crate::request::Request;
    use crate::session::Session;

    /// What becomes of the file of this name, asked for otherwise.
    fn became(name: &str, change: impl FnOnce(&mut ImportRequest, &Path)) -> Judged {
        let (registry, folder) = (Registry::builtin(), tempfile::tempdir().unwrap());
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut request = asked(&checkout, name, folder.path().join("network.hafnia"));
        change(&mut request, folder.path());
        judged(request.run(&Session::new(&registry, &()))).unwrap()
    }

    fn metrics(of: Judged) -> [Option<f64>; 3] {
        let mut metrics = Metrics::default();
        Imports([of.clone(), of.clone(), of]).add_metrics(&mut metrics).unwrap();
        ["files", "exact", "refused"].map(|key| metrics.get(&format!("import/{key}")))
    }

    #[test]
    fn every_file_is_imported_and_agrees() {
        for (name, _) in FILES {
            assert_eq!(metrics(became(name, |_, _| ())), [Some(3.0), Some(3.0), Some(0.0)]);
        }
    }

    #[test]
    fn other_outputs_are_not_exact() {
        let found = became(FILES[0].0, |request, folder| {
            let other = folder.join("other.npy");
            std::fs::write(&other, npy::encode(&[20, 10], &[0.25f32; 200])).unwrap();
            request.check.as_mut().unwrap()[1] = other;
        });
        assert_eq!(metrics(found), [Some(3.0), Some(0.0), Some(0.0)]);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let found = became(FILES[0].0, |request, _| {
            request.file = request.check.as_ref().unwrap()[1].clone();
        });
        assert!(found.as_ref().is_err_and(|why| why.contains("it is no ONNX file")));
        assert_eq!(metrics(found), [Some(3.0), Some(0.0), Some(3.0)]);
    }
}
