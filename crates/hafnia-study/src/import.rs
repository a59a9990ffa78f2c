//! Takes over a network of an ONNX file, beside what an executor gave for it.

use std::path::PathBuf;

use anyhow::bail;
use hafnia_artifact::save;
use hafnia_model::Shape;
use hafnia_onnx::{Activations, Agreement, CheckError, Imported, Options, Outputs, Pixels};
use serde::{Deserialize, Serialize};

use crate::describe::{NetworkDescription, describe_network};
use crate::outputs::{check_outputs, written};
use crate::record::Record;
use crate::request::{Request, Step, displayed, words};
use crate::session::Session;

/// An ONNX or QONNX file is to become a network.
///
/// Its error is a [`hafnia_onnx::ImportError`] where the file is refused, and a [`Disagreement`] where an
/// executor's outputs are others than the network's and weights may not be rounded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ImportRequest {
    /// The file.
    pub file: PathBuf,
    /// Network file to write.
    pub out: PathBuf,
    /// What the file expects of a byte of an image; needed, as it does not say so.
    #[serde(default, with = "displayed")]
    pub pixels: Option<Pixels>,
    /// Shape of the images, where the file takes vectors.
    #[serde(default, with = "displayed")]
    pub image: Option<Shape>,
    /// Whether weights that lie on no grid are rounded to 8 bits.
    pub approximate: bool,
    /// Images, and what an executor gave for them, as [`hafnia_onnx::check`] takes them.
    pub check: Option<[PathBuf; 2]>,
}

/// A network that was imported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportOutcome {
    /// The network.
    #[serde(flatten)]
    pub network: NetworkDescription,
    /// What the outputs of the file are.
    pub outputs: Outputs,
    /// Thresholds that were found and proved by value.
    pub thresholds: usize,
    /// Things to know, in words.
    pub notes: Vec<String>,
    /// What agrees with the executor, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agrees: Option<Agreement>,
    /// By product, how many activations are other levels than in the file, if weights may be rounded and
    /// an executor's outputs are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub activations: Vec<Activations>,
}

/// An executor gave other outputs than those of the network.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}: {}; first {}",
    file.display(),
    agreement.to_string().replace('\n', "; "),
    agreement.first_difference.as_deref().unwrap_or_default()
)]
pub struct Disagreement {
    /// The file.
    pub file: PathBuf,
    /// What agrees, and what does not.
    pub agreement: Agreement,
}

impl Request for ImportRequest {
    const COMMAND: &'static str = "model import";

    type Outcome = ImportOutcome;

    fn run(&self, _: &Session<'_>) -> anyhow::Result<ImportOutcome> {
        let Some(pixels) = self.pixels.clone() else {
            bail!(
                "{}: --pixels raw, signed, unit or MEAN,STD is needed: an ONNX file does not say what it \
                 expects of the bytes of an image",
                self.file.display()
            );
        };
        check_outputs(self, None)?;
        let options = Options { pixels, shape: self.image, approximate: self.approximate };
        let mut record = Record::of(self, &[], None)?;
        let imported = hafnia_onnx::import(&self.file, &options)?;
        record.inputs(self.inputs())?;
        let agrees = self.compared(&imported)?;
        let mut notes = imported.notes.clone();
        let activations = self.counted(&imported, &options).unwrap_or_else(|error| {
            notes.push(format!("activations are not counted: {error}"));
            Vec::new()
        });
        let outcome = ImportOutcome {
            network: describe_network(&imported.network),
            outputs: imported.outputs,
            thresholds: imported.thresholds,
            notes,
            agrees,
            activations,
        };
        written(outcome, |_| {
            save(&self.out, &imported.network)?;
            record.end(&[&self.out])
        })
    }

    fn words(&self) -> Vec<String> {
        // Both files are values of one option.
        let plain = Self { check: None, ..self.clone() };
        let mut words = words(Self::COMMAND, Self::POSITIONAL, &plain);
        if let Some(files) = &self.check {
            words.push("--check".to_owned());
            words.extend(files.iter().map(|file| file.display().to_string()));
        }
        words
    }
}

impl ImportRequest {
    /// What agrees with the executor, which must be all unless weights may be rounded.
    fn compared(&self, imported: &Imported) -> anyhow::Result<Option<Agreement>> {
        let Some([inputs, outputs]) = &self.check else { return Ok(None) };
        let agreement = hafnia_onnx::check(imported, inputs, outputs)?;
        if !agreement.is_whole() && !self.approximate {
            return Err(Disagreement { file: self.file.clone(), agreement }.into());
        }
        Ok(Some(agreement))
    }

    /// Activations of other levels than in the file, where weights may be rounded.
    fn counted(
        &self,
        imported: &Imported,
        options: &Options,
    ) -> Result<Vec<Activations>, CheckError> {
        match &self.check {
            Some([inputs, _]) if self.approximate => {
                hafnia_onnx::activations(imported, &self.file, options, inputs)
            }
            _ => Ok(Vec::new()),
        }
    }
}

impl Step for ImportRequest {
    fn inputs(&self) -> Vec<PathBuf> {
        std::iter::once(&self.file).chain(self.check.iter().flatten()).cloned().collect()
    }

    fn outputs(&self) -> Vec<PathBuf> {
        vec![self.out.clone()]
    }
}
