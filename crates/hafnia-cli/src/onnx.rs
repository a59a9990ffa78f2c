//! `hafnia model import FILE.onnx`.

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use clap::Args;
use hafnia_artifact::{Places, save};
use hafnia_model::Shape;
use hafnia_onnx::{Activations, Agreement, Options, Outputs, Pixels, activations, check, import};
use hafnia_study::{NetworkDescription, Record, describe_network, manifest_of, written};
use serde::Serialize;

use crate::inspect::network_text;
use crate::output::{Output, table, typed};

/// What an ONNX file does not say, and what it is compared with.
#[derive(Args, Debug, Clone)]
pub(crate) struct OnnxOptions {
    /// What an ONNX file expects of a byte of an image: the byte (raw), the byte less 128 (signed), a
    /// 255th of it (unit), or that less a mean, divided by a deviation. Means and deviations of several
    /// channels are joined by slashes: 0.49/0.48/0.45,0.25/0.24/0.26.
    #[arg(long, value_name = "raw|signed|unit|MEAN,STD", value_parser = pixels)]
    pixels: Option<Pixels>,
    /// Shape of the images (channels, rows, columns), where an ONNX file takes vectors: 1x28x28.
    #[arg(long, value_name = "CxHxW", value_parser = shape)]
    image: Option<Shape>,
    /// Round weights of an ONNX file that lie on no grid to 8 bits.
    #[arg(long)]
    approximate: bool,
    /// Compare with what an executor of the ONNX file gave: images (N, …), as bytes or as the floats
    /// that the file takes, and floats (N, outputs) or classes (N).
    #[arg(long, num_args = 2, value_names = ["INPUTS.npy", "OUTPUTS.npy"])]
    check: Vec<PathBuf>,
}

fn pixels(text: &str) -> Result<Pixels, String> {
    let numbers = |list: &str| -> Option<Vec<f32>> {
        list.split('/').map(|number| number.parse().ok().filter(|n: &f32| n.is_finite())).collect()
    };
    match text {
        "raw" => Ok(Pixels::Raw),
        "signed" => Ok(Pixels::Signed),
        "unit" => Ok(Pixels::Unit),
        text => text
            .split_once(',')
            .and_then(|(means, deviations)| {
                let (means, deviations) = (numbers(means)?, numbers(deviations)?);
                Some(Pixels::Normalised { means, deviations })
            })
            .ok_or_else(|| "it must be raw, signed, unit or MEAN,STD".to_owned()),
    }
}

fn shape(text: &str) -> Result<Shape, String> {
    let sides =
        text.split('x').map(|side| side.parse().ok().filter(|side| (1..=1 << 14).contains(side)));
    match sides.collect::<Option<Vec<usize>>>().as_deref() {
        Some(&[channels, height, width]) => Ok(Shape { channels, height, width }),
        _ => Err("it must be three sides from 1 on, such as 1x28x28".to_owned()),
    }
}

/// Whether a path is that of an ONNX file.
pub(crate) fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        ["onnx", "qonnx"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}

/// A network that was imported.
#[derive(Debug, Serialize)]
struct Imported {
    #[serde(flatten)]
    network: NetworkDescription,
    /// What the outputs of the file are.
    outputs: &'static str,
    /// Thresholds that were found and proved by value.
    thresholds: usize,
    notes: Vec<String>,
    /// What agrees, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    agrees: Option<Agreed>,
    /// By product, how many activations are other levels than in the file, if weights may be rounded
    /// and that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    activations: Vec<Taken>,
}

/// Activations that a product takes.
#[derive(Debug, Serialize)]
struct Taken {
    layer: String,
    activations: usize,
    different: usize,
}

impl From<Activations> for Taken {
    fn from(Activations { node, all, different }: Activations) -> Self {
        Self { layer: node, activations: all, different }
    }
}

/// Taken activations as a table.
fn taken_text(taken: &[Taken]) -> String {
    let mut table = table(["activations into", ">other levels than in the file", ">all"]);
    for Taken { layer, activations, different } in taken {
        table.row([layer.clone(), different.to_string(), activations.to_string()]);
    }
    table.to_string()
}

/// What agrees with an executor.
#[derive(Debug, Serialize)]
struct Agreed {
    images: usize,
    outputs: usize,
    outputs_off: usize,
    largest_deviation_steps: f64,
    tolerance_steps: f64,
    same_class: usize,
    ties: usize,
    rounded: usize,
    different: usize,
}

impl Agreed {
    fn text(&self) -> String {
        let Self { images, outputs, outputs_off, same_class, ties, rounded, different, .. } = self;
        let mut lines = Vec::new();
        if *outputs > 0 {
            lines.push(format!(
                "{} of {outputs} outputs of {images} images are the integers of the network, at most \
                 {:.1e} of a step from them ({:.1e} are allowed)",
                outputs - outputs_off,
                self.largest_deviation_steps,
                self.tolerance_steps
            ));
        }
        lines.push(format!("{same_class} of {images} classes are the same, {ties} are ties"));
        if *rounded > 0 {
            lines.push(format!(
                "{rounded} images differ as sums do that lie within the roundings of float32 of a threshold"
            ));
        }
        if *different > 0 {
            lines.push(format!("{different} images differ otherwise"));
        }
        lines.join("\n")
    }
}

impl From<&Agreement> for Agreed {
    fn from(of: &Agreement) -> Self {
        Self {
            images: of.images,
            outputs: of.outputs,
            outputs_off: of.outputs_off,
            largest_deviation_steps: of.largest_deviation,
            tolerance_steps: of.tolerance,
            same_class: of.same_class,
            ties: of.ties,
            rounded: of.rounded,
            different: of.different,
        }
    }
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

    /// Imports an ONNX file.
    pub(crate) fn import(&self, file: &Path, out: &Path, output: Output) -> anyhow::Result<()> {
        let Some(pixels) = self.pixels.clone() else {
            bail!(
                "{}: --pixels raw, signed, unit or MEAN,STD is needed: an ONNX file does not say what it expects of \
                 the bytes of an image",
                file.display()
            );
        };
        Places::new()
            .reads([file])
            .reads(&self.check)
            .writes([out.to_owned(), manifest_of(out)])
            .check()?;
        let options = Options { pixels, shape: self.image, approximate: self.approximate };
        let config = serde_json::json!({
            "file": file,
            "pixels": format!("{:?}", options.pixels),
            "approximate": options.approximate,
        });
        let record = Record::begin(typed(), &config, None)?;
        let imported = import(file, &options)?;
        let agreement = match &self.check[..] {
            [inputs, outputs] => Some(check(&imported, inputs, outputs)?),
            _ => None,
        };
        if let Some(agreement) = &agreement
            && let Some(difference) = &agreement.first_difference
        {
            let agreed = Agreed::from(agreement).text().replace('\n', "; ");
            ensure!(self.approximate, "{}: {agreed}; first {difference}", file.display());
        }
        let mut notes = imported.notes.clone();
        let counted = match &self.check[..] {
            [inputs, _] if self.approximate => activations(&imported, file, &options, inputs),
            _ => Ok(Vec::new()),
        };
        let counted = counted.unwrap_or_else(|error| {
            notes.push(format!("activations are not counted: {error}"));
            Vec::new()
        });
        let network = imported.network;
        let described = Imported {
            network: describe_network(&network),
            outputs: match imported.outputs {
                Outputs::Scores => "scores",
                Outputs::Probabilities => "probabilities",
                Outputs::LogProbabilities => "logarithms of probabilities",
                Outputs::Ranks => "ranks",
                Outputs::Class => "class",
            },
            thresholds: imported.thresholds,
            notes,
            agrees: agreement.as_ref().map(Agreed::from),
            activations: counted.into_iter().map(Taken::from).collect(),
        };
        let described = written(described, |_| {
            save(out, &network)?;
            record.end(&[out])
        });
        output.answer(described, |described| {
            let mut text = network_text(&described.network);
            for note in &described.notes {
                text += &format!("\n{note}");
            }
            if let Some(agreed) = &described.agrees {
                text += &format!("\n{}", agreed.text());
            }
            if !described.activations.is_empty() {
                text += &format!("\n{}", taken_text(&described.activations));
            }
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_read_in_their_forms() {
        assert_eq!(pixels("raw"), Ok(Pixels::Raw));
        assert_eq!(pixels("signed"), Ok(Pixels::Signed));
        assert_eq!(pixels("unit"), Ok(Pixels::Unit));
        let normalised = |means: &[f32], deviations: &[f32]| {
            let (means, deviations) = (means.to_vec(), deviations.to_vec());
            Ok(Pixels::Normalised { means, deviations })
        };
        assert_eq!(pixels("0.5,0.25"), normalised(&[0.5], &[0.25]));
        assert_eq!(pixels("1/2,3/4"), normalised(&[1.0, 2.0], &[3.0, 4.0]));
        for wrong in ["", "0.5", "norm", "a,b", "0.5,", "nan,1", "1,2,3"] {
            assert!(pixels(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shapes_have_three_sides() {
        assert_eq!(shape("3x32x32"), Ok(Shape { channels: 3, height: 32, width: 32 }));
        for wrong in ["", "28x28", "0x2x2", "1x2x3x4", "axbxc", "1x1x99999999"] {
            assert!(shape(wrong).is_err(), "{wrong}");
        }
    }
}
