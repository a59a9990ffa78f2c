//! `hafnia model import FILE.onnx`.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use hafnia_model::Shape;
use hafnia_onnx::{Activations, Pixels};
use hafnia_study::{ImportOutcome, ImportRequest};

use crate::inspect::network_text;
use crate::output::table;

/// What an ONNX file does not say, and what it is compared with.
#[derive(Args, Debug, Clone)]
pub(crate) struct OnnxOptions {
    /// What an ONNX file expects of a byte of an image: the byte (raw), the byte less 128 (signed), a
    /// 255th of it (unit), or that less a mean, divided by a deviation. Means and deviations of several
    /// channels are joined by slashes: 0.49/0.48/0.45,0.25/0.24/0.26.
    #[arg(long, value_name = "raw|signed|unit|MEAN,STD")]
    pixels: Option<Pixels>,
    /// Shape of the images (channels, rows, columns), where an ONNX file takes vectors: 1x28x28.
    #[arg(long, value_name = "CxHxW")]
    image: Option<Shape>,
    /// Round weights of an ONNX file that lie on no grid to 8 bits.
    #[arg(long)]
    approximate: bool,
    /// Compare with what an executor of the ONNX file gave: images (N, …), as bytes or as the floats
    /// that the file takes, and floats (N, outputs) or classes (N).
    #[arg(long, num_args = 2, value_names = ["INPUTS.npy", "OUTPUTS.npy"])]
    check: Vec<PathBuf>,
}

/// Whether a path is that of an ONNX file.
pub(crate) fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        ["onnx", "qonnx"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}

impl OnnxOptions {
    /// Refuses what only an ONNX file has.
    pub(crate) fn refuse(&self) -> anyhow::Result<()> {
        let given = [
            ("--pixels", self.pixels.is_some()),
            ("--image", self.image.is_some()),
            ("--approximate", self.approximate),
            ("--check", !self.check.is_empty()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((option, _)) => {
                bail!("{option} is for ONNX files, an interchange folder is given")
            }
        }
    }

    /// An ONNX file is to be imported.
    pub(crate) fn request(&self, file: &Path, out: &Path) -> ImportRequest {
        ImportRequest {
            file: file.to_owned(),
            out: out.to_owned(),
            pixels: self.pixels.clone(),
            image: self.image,
            approximate: self.approximate,
            check: self.check.clone().try_into().ok(),
        }
    }
}

/// A network that was imported, what is to know of it and what agrees.
pub(crate) fn imported_text(imported: &ImportOutcome) -> String {
    let mut text = network_text(&imported.network);
    for note in &imported.notes {
        text += &format!("\n{note}");
    }
    if let Some(agreed) = &imported.agrees {
        text += &format!("\n{agreed}");
    }
    if !imported.activations.is_empty() {
        text += &format!("\n{}", activations_text(&imported.activations));
    }
    text
}

fn activations_text(activations: &[Activations]) -> String {
    let mut table = table(["activations into", ">other levels than in the file", ">all"]);
    for Activations { node, all, different } in activations {
        table.row([node.clone(), different.to_string(), all.to_string()]);
    }
    table.to_string()
}
