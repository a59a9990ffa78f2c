//! [`check`]: an imported network beside what an executor of the file gave.

use std::fmt;
use std::path::{Path, PathBuf};

use hafnia_artifact::npy::{self, Element};
use hafnia_artifact::{ArtifactError, read};
use hafnia_model::{Layer, ReferenceProduct, Shape, run};
use serde::{Deserialize, Serialize};

use crate::doubt::{Given, is_explained};
use crate::imported::{Imported, Outputs};

/// How far an output may lie from the integer that it stands for, in steps; more where the roundings of
/// `f32` in a sum as long lead farther ([`Imported::roundings`]), but never half a step.
pub const TOLERANCE: f64 = 1e-3;

/// Why outputs cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] ArtifactError),
    /// A file does not hold what it must hold.
    #[error("{}: {fault}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, in words.
        fault: String,
    },
}

/// What agrees of an imported network and an executor's outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Images that were compared.
    pub images: usize,
    /// Outputs of the executor that were compared with integers; 0 if it gave classes only.
    pub outputs: usize,
    /// Those that are not the integer, or lie too far from it.
    pub outputs_off: usize,
    /// The largest distance of an output that is not off from its integer, in steps.
    #[serde(rename = "largest_deviation_steps")]
    pub largest_deviation: f64,
    /// How far an output might lie from an integer, in steps: [`TOLERANCE`], or more where sums are long.
    #[serde(rename = "tolerance_steps")]
    pub tolerance: f64,
    /// Images of the same class.
    pub same_class: usize,
    /// Images of another class that is as large in the file, or in the network to [`TOLERANCE`] of a step.
    pub ties: usize,
    /// Images whose outputs or class differ, and are those of the network once sums within the roundings
    /// of `f32` of a threshold are taken for those on its other side.
    pub rounded: usize,
    /// Images that differ without that.
    pub different: usize,
    /// The first difference of these, in words; no part of its JSON.
    #[serde(skip)]
    pub first_difference: Option<String>,
}

impl Agreement {
    /// Whether all agrees, ties and roundings apart.
    pub fn is_whole(&self) -> bool {
        self.different == 0
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { images, outputs, outputs_off, same_class, ties, rounded, different, .. } = self;
        if *outputs > 0 {
            writeln!(
                f,
                "{} of {outputs} outputs of {images} images are the integers of the network, at most \
                 {:.1e} of a step from them ({:.1e} are allowed)",
                outputs - outputs_off,
                self.largest_deviation,
                self.tolerance
            )?;
        }
        write!(f, "{same_class} of {images} classes are the same, {ties} are ties")?;
        if *rounded > 0 {
            write!(
                f,
                "\n{rounded} images differ as sums do that lie within the roundings of float32 of a \
                 threshold"
            )?;
        }
        match different {
            0 => Ok(()),
            _ => write!(f, "\n{different} images differ otherwise"),
        }
    }
}

/// Compares an imported network with what an executor gave for the same images: `inputs` holds bytes,
/// `uint8` or `int8`, or the `float32` that the executor was given, (image, …); `outputs` floats
/// (image, output) or the numbers of classes (image).
///
/// # Errors
/// If a file cannot be read, or holds arrays of other shapes.
pub fn check(
    imported: &Imported,
    inputs: impl AsRef<Path>,
    outputs: impl AsRef<Path>,
) -> Result<Agreement, CheckError> {
    let (inputs, outputs) = (inputs.as_ref(), outputs.as_ref());
    let levels = Images::read(imported, inputs)?.levels(imported, inputs)?;
    let expected = expected(outputs)?;
    let size = imported.network.input().shape().len();
    let count = levels.len() / size;
    let wrong = |fault: String| CheckError::Content { path: outputs.to_owned(), fault };
    if expected.images != count {
        let (found, inputs) = (expected.images, inputs.display());
        return Err(wrong(format!(
            "it has outputs of {found} images, {inputs} has {count} images"
        )));
    }
    let are_classes = expected.each == 1 && imported.order.len() > 1;
    if !are_classes && expected.each != imported.order.len() {
        let (found, outputs) = (expected.each, imported.order.len());
        return Err(wrong(format!("it has {found} outputs an image, the network {outputs}")));
    }
    if imported.outputs == Outputs::Class && !are_classes && imported.order.len() > 1 {
        return Err(wrong(
            "the file gives classes, it must hold one number for each image".to_owned(),
        ));
    }
    let largest = imported.roundings.iter().map(|&noise| tolerance(noise));
    let mut agreement = Agreement {
        images: count,
        outputs: 0,
        outputs_off: 0,
        tolerance: largest.fold(TOLERANCE, f64::max),
        largest_deviation: 0.0,
        same_class: 0,
        ties: 0,
        rounded: 0,
        different: 0,
        first_difference: None,
    };
    let mut product = ReferenceProduct::new(&imported.network);
    for (image, expected) in expected.values.chunks_exact(expected.each).enumerate() {
        let class = if are_classes { expected[0].max(0.0) as usize } else { largest_of(expected) };
        if class >= imported.order.len() {
            let classes = imported.order.len();
            return Err(wrong(format!(
                "image {image} is of class {class}, the network has {classes}"
            )));
        }
        let expected = Image { values: if are_classes { &[] } else { expected }, class };
        let levels = &levels[image * size..(image + 1) * size];
        let found = expected.compare(imported, &run(&imported.network, levels, &mut product));
        agreement.outputs += found.outputs;
        agreement.outputs_off += found.off;
        agreement.largest_deviation = agreement.largest_deviation.max(found.deviation);
        agreement.same_class += usize::from(found.class == Class::Same);
        agreement.ties += usize::from(found.class == Class::Tie);
        let Some(difference) = found.difference else { continue };
        let distance = |given: &Given| expected.distance(imported, given);
        if is_explained(&imported.network, &imported.doubts, levels, distance) {
            agreement.rounded += 1;
        } else {
            agreement.different += 1;
            agreement.first_difference.get_or_insert(format!("image {image}, {difference}"));
        }
    }
    Ok(agreement)
}

/// What an executor gave for an image: outputs, unless it gave the class only.
struct Image<'a> {
    values: &'a [f64],
    class: usize,
}

/// How a class compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Same,
    Tie,
    Other,
}

/// How an image compares.
struct Compared {
    outputs: usize,
    off: usize,
    deviation: f64,
    class: Class,
    /// In words, if there is one that is no tie.
    difference: Option<String>,
    /// What all outputs are off together, in steps; 0 if there is no difference.
    distance: f64,
}

impl Image<'_> {
    /// Compares the outputs of a network.
    fn compare(&self, imported: &Imported, sums: &[i32]) -> Compared {
        let mut compared = Compared {
            outputs: 0,
            off: 0,
            deviation: 0.0,
            class: self.class_of(imported, sums),
            difference: None,
            distance: 0.0,
        };
        self.compare_outputs(imported, sums, &mut compared);
        if compared.class == Class::Other {
            let found = imported.network.scores().class(sums);
            let found = imported.order.iter().position(|&at| at == found).unwrap_or(found);
            compared.distance += 1.0;
            let difference = format!("class: the network gives {found}, the file {}", self.class);
            compared.difference.get_or_insert(difference);
        }
        compared
    }

    /// How far what a network gives is from what was expected, in steps; 0 if there is no difference.
    fn distance(&self, imported: &Imported, given: &Given) -> f64 {
        let distance = self.compare(imported, &given.outputs).distance;
        let thresholds = imported.network.layers().last().and_then(Layer::thresholds);
        let Some(thresholds) = thresholds.filter(|_| {
            distance > 0.0 && imported.outputs == Outputs::Scores && !self.values.is_empty()
        }) else {
            return distance;
        };
        // Of quantised outputs, how far the sums are from those that give them tells more.
        let positions = given.sums.len() / thresholds.channels();
        let off = self.values.iter().enumerate().map(|(at, value)| {
            let place = imported.order[at];
            let level = ((value - imported.biases[place]) / imported.scales[place]).round() as i64;
            let level = level - i64::from(thresholds.lowest);
            let of = thresholds.channel(place / positions);
            let bound = |at: i64| usize::try_from(at).ok().and_then(|at| of.get(at));
            let sum = f64::from(given.sums[place]);
            let below = bound(level - 1).map_or(0.0, |least| f64::from(*least) - sum);
            let above = bound(level).map_or(0.0, |most| sum - f64::from(*most) + 1.0);
            below.max(above).max(0.0)
        });
        off.sum::<f64>().max(f64::MIN_POSITIVE)
    }

    fn class_of(&self, imported: &Imported, sums: &[i32]) -> Class {
        let scores = imported.network.scores().of(sums);
        let place = imported.order[self.class];
        let found = imported.network.scores().class(sums);
        // Without scales, a step of a score is one of the sums.
        let is_plain = imported.network.scores().is_plain();
        let step = if is_plain { 1.0 } else { imported.scales[place] };
        let is_tie_of_file = || {
            let found = imported.order.iter().position(|&at| at == found);
            found.is_some_and(|at| {
                self.values.get(at).is_some_and(|v| *v == self.values[self.class])
            })
        };
        if found == place {
            Class::Same
        } else if scores[found] - scores[place] <= TOLERANCE * step || is_tie_of_file() {
            Class::Tie
        } else {
            Class::Other
        }
    }

    /// Compares outputs with the integers that they stand for.
    fn compare_outputs(&self, imported: &Imported, sums: &[i32], compared: &mut Compared) {
        if self.values.is_empty() || imported.outputs == Outputs::Ranks {
            return;
        }
        let real = |at: usize| {
            let place = imported.order[at];
            imported.scales[place] * f64::from(sums[place]) + imported.biases[place]
        };
        // Of probabilities only the ratios stand for integers: all are seen beside the largest.
        let logarithm = |value: f64| match imported.outputs {
            Outputs::Probabilities if value > 1e-30 => value.ln(),
            Outputs::Probabilities => f64::NAN,
            _ => value,
        };
        let is_relative = imported.outputs != Outputs::Scores;
        let shift = match is_relative {
            true => logarithm(self.values[self.class]) - real(self.class),
            false => 0.0,
        };
        for (at, &value) in self.values.iter().enumerate() {
            let value = logarithm(value);
            if value.is_nan() && is_relative {
                continue;
            }
            let place = imported.order[at];
            let deviation = (value - shift - real(at)).abs() / imported.scales[place];
            compared.outputs += 1;
            if deviation <= tolerance(imported.roundings[place]) {
                compared.deviation = compared.deviation.max(deviation);
                continue;
            }
            compared.off += 1;
            compared.distance += deviation;
            compared.difference.get_or_insert_with(|| {
                format!(
                    "output {at}: the network gives {}, the file a value {deviation:.3} steps from it",
                    sums[place]
                )
            });
        }
    }
}

/// The place of the largest, the first of equals.
fn largest_of(values: &[f64]) -> usize {
    (0..values.len()).fold(0, |best, at| if values[at] > values[best] { at } else { best })
}

fn tolerance(roundings: f64) -> f64 {
    roundings.clamp(TOLERANCE, 0.49)
}

/// Images, (image, channel, y, x).
enum Images {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

impl Images {
    fn read(imported: &Imported, path: &Path) -> Result<Self, CheckError> {
        let wrong = |fault: String| CheckError::Content { path: path.to_owned(), fault };
        let bytes = read(path)?;
        let kind = npy::descr(&bytes).map_err(|error| wrong(error.to_string()))?;
        let images = if f32::DESCRS.contains(&&*kind) && !imported.network.input().floats.is_empty()
        {
            images(imported, &bytes).map(Self::Floats)
        } else if i8::DESCRS.contains(&&*kind) {
            images::<i8>(imported, &bytes).map(|values| {
                Self::Bytes(values.iter().map(|value| value.cast_unsigned() ^ 0x80).collect())
            })
        } else {
            images(imported, &bytes).map(Self::Bytes)
        };
        images.map_err(wrong)
    }

    fn levels(&self, imported: &Imported, path: &Path) -> Result<Vec<u8>, CheckError> {
        let input = imported.network.input();
        match self {
            Self::Bytes(bytes) => Ok(input.levels_of(bytes)),
            Self::Floats(values) => input.levels_of_floats(values).map_err(|error| {
                let fault = format!("image {}: {error}", error.at / input.shape().len());
                CheckError::Content { path: path.to_owned(), fault }
            }),
        }
    }
}

/// The levels of images, and what the graph is given for them, (image, channel, y, x).
pub(crate) fn reals(
    imported: &Imported,
    path: &Path,
    bytes: &[[f32; 256]],
) -> Result<(Vec<u8>, Vec<f32>), CheckError> {
    let images = Images::read(imported, path)?;
    let levels = images.levels(imported, path)?;
    let Shape { channels, height, width } = imported.network.input().shape();
    Ok((
        levels,
        match images {
            Images::Floats(values) => values,
            Images::Bytes(pixels) => {
                let real = |(at, &pixel): (usize, &u8)| {
                    bytes[at / (height * width) % channels][usize::from(pixel)]
                };
                pixels.iter().enumerate().map(real).collect()
            }
        },
    ))
}

/// The values of images, (image, channel, y, x).
fn images<T: Element>(imported: &Imported, bytes: &[u8]) -> Result<Vec<T>, String> {
    let array = npy::decode::<T>(bytes).map_err(|error| error.to_string())?;
    let shape = imported.network.input().shape();
    let Shape { channels, height, width } = shape;
    let Some((_, sides)) = array.shape.split_first() else {
        return Err("it holds one number, it must hold images".to_owned());
    };
    let positions = height * width;
    // As the graph takes them; or as the network does, if they are not plainly the other way round.
    let is_turned = match sides == imported.sides {
        true => imported.channels_last,
        false => {
            channels > 1 && sides == [height, width, channels] && sides != [channels, height, width]
        }
    };
    if sides.iter().product::<usize>() != shape.len() {
        return Err(format!("its images have sides {sides:?}, the network takes {shape}"));
    }
    if !is_turned {
        return Ok(array.values);
    }
    let turned = array.values.chunks_exact(shape.len()).flat_map(|image| {
        (0..shape.len()).map(move |at| image[at % positions * channels + at / positions])
    });
    Ok(turned.collect())
}

/// Outputs by image.
struct Expected {
    images: usize,
    each: usize,
    values: Vec<f64>,
}

fn expected(path: &Path) -> Result<Expected, CheckError> {
    let wrong = |fault: String| CheckError::Content { path: path.to_owned(), fault };
    let bytes = read(path)?;
    let kind = npy::descr(&bytes).map_err(|error| wrong(error.to_string()))?;
    fn of<T: npy::Element>(
        bytes: &[u8],
        wide: fn(T) -> f64,
    ) -> Result<(Vec<usize>, Vec<f64>), String> {
        let array = npy::decode::<T>(bytes).map_err(|error| error.to_string())?;
        Ok((array.shape, array.values.into_iter().map(wide).collect()))
    }
    let (shape, values) = match &*kind {
        "|u1" | "<u1" => of::<u8>(&bytes, f64::from),
        "|i1" | "<i1" => of::<i8>(&bytes, f64::from),
        "<i2" => of::<i16>(&bytes, f64::from),
        "<i4" => of::<i32>(&bytes, f64::from),
        "<i8" => of::<i64>(&bytes, |value| value as f64),
        _ => of::<f32>(&bytes, f64::from),
    }
    .map_err(wrong)?;
    let images = shape.first().copied().unwrap_or(0);
    if values.is_empty() {
        return Err(CheckError::Content {
            path: path.to_owned(),
            fault: "it holds no outputs".to_owned(),
        });
    }
    Ok(Expected { images, each: values.len() / images, values })
}
