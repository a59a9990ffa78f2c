//! The interchange folder: a network as JSON and NumPy arrays, for other tools to read and write.
//!
//! The format is described in `docs/formats.md`. In short, `network.json` lists the input and
//! the layers, and names for each matrix layer a file of weights, `int8` or for 8 bits `int16`, and for all but the last a
//! file of thresholds, `int32`. `reference_logits.npy` may hold outputs to check against.
//!
//! ```
//! use hafnia_model::{Plain, interchange, random, run};
//! use hafnia_rng::Seed;
//!
//! # let parent = tempfile::tempdir()?;
//! # let folder = parent.path().join("lenet5");
//! let network = random::lenet5(Seed(7));
//! let image = random::image(Seed(7), network.input());
//! let logits = run(&network, &image, &mut Plain::new(&network));
//!
//! interchange::export(&network, &folder)?;
//! interchange::write_reference_logits(&folder, &[logits.clone()])?;
//!
//! assert_eq!(interchange::import(&folder)?, network);
//! assert_eq!(interchange::read_reference_logits(&folder)?, Some(vec![logits]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A folder comes from outside: whatever is wrong with it is an [`InterchangeError`] that names the
//! file, never a panic.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hafnia_artifact::{ArtifactError, write_whole};
use serde::{Deserialize, Serialize};

pub use crate::npy::NpyError;
use crate::npy::{self, Element};
use crate::{Conv, Input, Layer, Linear, Network, ShapeError, Thresholds, Weights};

/// What `format` says in a `network.json` that this version reads and writes.
pub const FORMAT: &str = "hafnia-network/1";

const NETWORK: &str = "network.json";
const REFERENCE_LOGITS: &str = "reference_logits.npy";
/// The largest file that is read: a matrix of this many bytes is far above any network here.
const MAX_BYTES: u64 = 1 << 28;

/// Why a folder cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterchangeError {
    /// A file or folder cannot be read, made, moved or removed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] ArtifactError),
    /// There is something else where the folder should be written.
    #[error(
        "{} is not overwritten: it holds `{entry}`, so it is not an interchange folder",
        folder.display()
    )]
    Occupied {
        /// The folder.
        folder: PathBuf,
        /// Something in it that no interchange folder holds.
        entry: String,
    },
    /// A file is too large to be what it should be.
    #[error("{} has {bytes} bytes, at most {max} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The largest size that is read.
        max: u64,
    },
    /// `network.json` is not JSON, or says something unknown, or leaves something out.
    #[error("{} does not describe a network", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// `network.json` has another format or version.
    #[error("{} has format `{found}`, it must be `{FORMAT}`", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format it names.
        found: String,
    },
    /// The input does not say how pixels are reduced.
    #[error("the input of {} cannot be taken: {what}", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what is allowed.
        what: String,
    },
    /// A tensor's file name could lead out of the folder, or has another ending.
    #[error(
        "{} names the file `{name}`: it must be a plain name of a-z, A-Z, 0-9, `_`, `-` and `.` that does not begin with `.` and ends in `.npy`",
        path.display()
    )]
    FileName {
        /// The file that names it.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A tensor's file is not an array that can be taken.
    #[error("cannot take {}", path.display())]
    Npy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: NpyError,
    },
    /// A tensor has another shape.
    #[error("{} has shape {found:?}, it must be {expected}", path.display())]
    Dimensions {
        /// The file.
        path: PathBuf,
        /// Its shape.
        found: Vec<usize>,
        /// The shape it must have.
        expected: String,
    },
    /// A weight is none of those that its bits give.
    #[error(
        "{} holds {value} at {index:?}, a {bits}-bit weight must be an odd number in -{largest}..={largest}",
        path.display()
    )]
    Weight {
        /// The file.
        path: PathBuf,
        /// Where in the tensor.
        index: Vec<usize>,
        /// What is there.
        value: i32,
        /// Bits of the layer's weights.
        bits: u8,
        /// The largest value that so many bits give.
        largest: i32,
    },
    /// The thresholds of a channel descend somewhere.
    #[error("{} holds {values:?} for channel {channel}, thresholds must ascend", path.display())]
    ThresholdOrder {
        /// The file.
        path: PathBuf,
        /// The channel.
        channel: usize,
        /// Its thresholds.
        values: Vec<i32>,
    },
    /// The layers do not make a network.
    #[error("the layers of {} do not make a network", path.display())]
    Network {
        /// The file that lists them.
        path: PathBuf,
        /// What does not fit.
        source: ShapeError,
    },
}

/// `network.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: String,
    input: InputDescription,
    layers: Vec<Step>,
}

/// The input in `network.json`: how pixels are reduced is said by `cuts`, or, in folders of before,
/// by `bits` and `shift`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InputDescription {
    channels: usize,
    height: usize,
    width: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cuts: Option<Vec<i64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bits: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shift: Option<u64>,
}

/// All that is read of `network.json` before its version is known.
#[derive(Deserialize)]
struct Version {
    format: String,
}

/// A layer in `network.json`; tensors are named by their file.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    Conv {
        name: String,
        kernel: usize,
        stride: usize,
        padding: usize,
        #[serde(default = "one_bit", skip_serializing_if = "is_one_bit")]
        weight_bits: u8,
        weights: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thresholds: Option<String>,
    },
    Linear {
        name: String,
        #[serde(default = "one_bit", skip_serializing_if = "is_one_bit")]
        weight_bits: u8,
        weights: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thresholds: Option<String>,
    },
    MaxPool {
        size: usize,
    },
    // Braces, because serde lets a unit variant have unknown fields.
    Flatten {},
}

/// Bits of weights where `network.json` names none.
fn one_bit() -> u8 {
    1
}

fn is_one_bit(bits: &u8) -> bool {
    *bits == one_bit()
}

/// Writes a network as an interchange folder.
///
/// The folder is written whole under a temporary name beside `folder` and then renamed. An
/// interchange folder that is there already is replaced with all it holds, reference logits
/// included; folders above are made.
///
/// # Errors
/// [`InterchangeError::Occupied`] if `folder` holds anything that no interchange folder holds, and
/// [`InterchangeError::Io`] or [`InterchangeError::Write`] if it cannot be written.
pub fn export(network: &Network, folder: impl AsRef<Path>) -> Result<(), InterchangeError> {
    let folder = folder.as_ref();
    let is_there = is_replaceable(folder)?;
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(io_error("create", parent))?;
    let workplace = tempfile::Builder::new().prefix(".exporting-").tempdir_in(parent);
    let workplace = workplace.map_err(io_error("write into", parent))?;
    let (new, old) = (workplace.path().join("new"), workplace.path().join("old"));
    fs::create_dir(&new).map_err(io_error("create", &new))?;
    write_files(network, &new)?;

    if is_there {
        fs::rename(folder, &old).map_err(io_error("replace", folder))?;
    }
    fs::rename(&new, folder).map_err(|error| {
        if is_there {
            // Best effort: the error that is reported is the one that came first.
            let _ = fs::rename(&old, folder);
        }
        io_error("create", folder)(error)
    })
}

/// Reads a network from an interchange folder.
///
/// # Errors
/// Each way a folder can be wrong has its variant of [`InterchangeError`].
pub fn import(folder: impl AsRef<Path>) -> Result<Network, InterchangeError> {
    let folder = folder.as_ref();
    let path = folder.join(NETWORK);
    let bytes = read(&path)?;
    let invalid = |source| InterchangeError::Description { path: path.clone(), source };
    let Version { format } = serde_json::from_slice(&bytes).map_err(invalid)?;
    if format != FORMAT {
        return Err(InterchangeError::Format { path, found: format });
    }
    let description: Description = serde_json::from_slice(&bytes).map_err(invalid)?;
    let layers: Result<Vec<Layer>, _> =
        description.layers.into_iter().map(|step| read_layer(folder, step)).collect();
    let input = description.input.read(&path)?;
    Network::new(input, layers?).map_err(|source| InterchangeError::Network { path, source })
}

/// Adds reference outputs to an interchange folder: a row of raw outputs an image, by which an
/// importer can check that it computes the same.
///
/// # Errors
/// [`InterchangeError::Write`] if the file cannot be written.
///
/// # Panics
/// If rows have different lengths.
pub fn write_reference_logits(
    folder: impl AsRef<Path>,
    logits: &[Vec<i32>],
) -> Result<(), InterchangeError> {
    let classes = logits.first().map_or(0, Vec::len);
    assert!(logits.iter().all(|row| row.len() == classes), "{classes} outputs an image");
    let bytes = npy::encode(&[logits.len(), classes], &logits.concat());
    Ok(write_whole(folder.as_ref().join(REFERENCE_LOGITS), &bytes)?)
}

/// The reference outputs of an interchange folder, a row of raw outputs an image, if it has any.
///
/// # Errors
/// If the file is there and is not an `int32` array of (images, classes).
pub fn read_reference_logits(
    folder: impl AsRef<Path>,
) -> Result<Option<Vec<Vec<i32>>>, InterchangeError> {
    let path = folder.as_ref().join(REFERENCE_LOGITS);
    let array = match read_array::<i32>(&path) {
        Err(InterchangeError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        array => array?,
    };
    match array.shape[..] {
        [images, classes] if images > 0 && classes > 0 => {
            Ok(Some(array.values.chunks(classes).map(<[i32]>::to_vec).collect()))
        }
        _ => Err(wrong_shape(path, array.shape, "(images, classes), not empty")),
    }
}

impl InputDescription {
    fn of(input: &Input) -> Self {
        let Input { channels, height, width, ref cuts } = *input;
        let cuts = Some(cuts.iter().map(|&cut| cut.into()).collect());
        Self { channels, height, width, cuts, bits: None, shift: None }
    }

    fn read(self, path: &Path) -> Result<Input, InterchangeError> {
        let wrong = |what: String| InterchangeError::Input { path: path.to_owned(), what };
        let cuts = match (self.cuts, self.bits, self.shift) {
            (Some(cuts), None, None) => {
                let pixel = |cut: i64| match u8::try_from(cut) {
                    Ok(cut @ 1..) => Ok(cut),
                    _ => Err(wrong(format!("`cuts` holds {cut}, a cut must lie in 1..=255"))),
                };
                cuts.into_iter().map(pixel).collect::<Result<_, _>>()?
            }
            (None, Some(bits), Some(shift)) => {
                let within = |key: &str, value: u64, min: u64, max: u64| match value {
                    value if (min..=max).contains(&value) => Ok(value),
                    _ => Err(wrong(format!("`{key}` is {value}, it must lie in {min}..={max}"))),
                };
                let bits = within("bits", bits, 1, 8)?;
                let shift = within("shift", shift, 8 - bits, 7)?;
                // Levels above 255 >> shift are never reached.
                (1..=255 >> shift).map(|level: u8| level << shift).collect()
            }
            _ => return Err(wrong("it needs `cuts`, or `bits` and `shift`".to_owned())),
        };
        let Self { channels, height, width, .. } = self;
        Ok(Input { channels, height, width, cuts })
    }
}

fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> InterchangeError {
    move |source| InterchangeError::Io { action, path: path.to_owned(), source }
}

fn wrong_shape(path: PathBuf, found: Vec<usize>, expected: impl Into<String>) -> InterchangeError {
    InterchangeError::Dimensions { path, found, expected: expected.into() }
}

/// Whether there is a folder to be replaced; an error if what is there must be kept.
fn is_replaceable(folder: &Path) -> Result<bool, InterchangeError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries.map_err(io_error("read", folder))?,
    };
    let names: io::Result<Vec<OsString>> =
        entries.map(|entry| entry.map(|entry| entry.file_name())).collect();
    let names = names.map_err(io_error("read", folder))?;
    let is_ours = read(&folder.join(NETWORK))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Version>(&bytes).ok())
        .is_some_and(|version| version.format == FORMAT);
    let is_foreign = |name: &&OsString| {
        let path = Path::new(name);
        !is_ours || !(path == NETWORK || path.extension().is_some_and(|end| end == "npy"))
    };
    match names.iter().find(is_foreign) {
        None => Ok(true),
        Some(entry) => {
            let entry = entry.to_string_lossy().into_owned();
            Err(InterchangeError::Occupied { folder: folder.to_owned(), entry })
        }
    }
}

fn write_files(network: &Network, folder: &Path) -> Result<(), InterchangeError> {
    let steps: Result<Vec<Step>, _> = network
        .layers()
        .iter()
        .enumerate()
        .map(|(index, layer)| write_layer(network.shape_before(index).channels, layer, folder))
        .collect();
    let description = Description {
        format: FORMAT.to_owned(),
        input: InputDescription::of(network.input()),
        layers: steps?,
    };
    let mut json = serde_json::to_string_pretty(&description).expect("plain data");
    json.push('\n');
    Ok(write_whole(folder.join(NETWORK), json.as_bytes())?)
}

fn write_layer(channels: usize, layer: &Layer, folder: &Path) -> Result<Step, InterchangeError> {
    Ok(match layer {
        Layer::Conv(conv) => {
            let Conv { name, kernel, stride, padding, .. } = conv.clone();
            let outputs = conv.weights.columns();
            let shape = [outputs, channels, kernel, kernel];
            let weights = write_weights(folder, &name, &shape, &conv.weights)?;
            let thresholds = write_thresholds(folder, &name, outputs, conv.thresholds.as_ref())?;
            let weight_bits = conv.weights.bits();
            Step::Conv { name, kernel, stride, padding, weight_bits, weights, thresholds }
        }
        Layer::Linear(Linear { name, weights, thresholds }) => {
            let (inputs, outputs) = (weights.rows(), weights.columns());
            let weight_bits = weights.bits();
            let thresholds = write_thresholds(folder, name, outputs, thresholds.as_ref())?;
            let weights = write_weights(folder, name, &[outputs, inputs], weights)?;
            Step::Linear { name: name.clone(), weight_bits, weights, thresholds }
        }
        Layer::MaxPool { size } => Step::MaxPool { size: *size },
        Layer::Flatten => Step::Flatten {},
    })
}

/// Whether weights of so many bits are stored as `int16`: those of 8 bits go to ±255.
fn is_wide(bits: u8) -> bool {
    bits == 8
}

fn write_weights(
    folder: &Path,
    layer: &str,
    shape: &[usize],
    weights: &Weights,
) -> Result<String, InterchangeError> {
    let values = (0..weights.columns())
        .flat_map(|out| (0..weights.rows()).map(move |input| weights.value(input, out)));
    let bytes = if is_wide(weights.bits()) {
        npy::encode(shape, &values.map(|value| value as i16).collect::<Vec<_>>())
    } else {
        npy::encode(shape, &values.map(|value| value as i8).collect::<Vec<_>>())
    };
    let name = format!("{layer}.weights.npy");
    write_whole(folder.join(&name), &bytes)?;
    Ok(name)
}

fn write_thresholds(
    folder: &Path,
    layer: &str,
    channels: usize,
    thresholds: Option<&Thresholds>,
) -> Result<Option<String>, InterchangeError> {
    let Some(Thresholds { levels, values }) = thresholds else { return Ok(None) };
    let name = format!("{layer}.thresholds.npy");
    write_whole(folder.join(&name), &npy::encode(&[channels, *levels], values))?;
    Ok(Some(name))
}

fn read_layer(folder: &Path, step: Step) -> Result<Layer, InterchangeError> {
    Ok(match step {
        Step::Conv { name, kernel, stride, padding, weight_bits, weights, thresholds } => {
            check_bits(folder, &name, weight_bits)?;
            let weights = read_weights(folder, &weights, weight_bits, Some(kernel))?;
            let thresholds = read_thresholds(folder, thresholds, weights.columns())?;
            Layer::Conv(Conv { name, kernel, stride, padding, weights, thresholds })
        }
        Step::Linear { name, weight_bits, weights, thresholds } => {
            check_bits(folder, &name, weight_bits)?;
            let weights = read_weights(folder, &weights, weight_bits, None)?;
            let thresholds = read_thresholds(folder, thresholds, weights.columns())?;
            Layer::Linear(Linear { name, weights, thresholds })
        }
        Step::MaxPool { size } => Layer::MaxPool { size },
        Step::Flatten {} => Layer::Flatten,
    })
}

/// Refuses weights of a number of bits that none may have.
fn check_bits(folder: &Path, layer: &str, bits: u8) -> Result<(), InterchangeError> {
    if Weights::BITS.contains(&bits) {
        return Ok(());
    }
    let source = ShapeError::WeightBits { layer: layer.to_owned(), bits };
    Err(InterchangeError::Network { path: folder.join(NETWORK), source })
}

/// The weights of a convolution with this kernel, or of a linear layer, as rows of inputs.
fn read_weights(
    folder: &Path,
    name: &str,
    bits: u8,
    kernel: Option<usize>,
) -> Result<Weights, InterchangeError> {
    let path = tensor_path(folder, name)?;
    let npy::Array { shape, values } = if is_wide(bits) {
        integers(read_array::<i16>(&path)?)
    } else {
        integers(read_array::<i8>(&path)?)
    };
    let is_fitting = match (kernel, &shape[..]) {
        (Some(kernel), &[_, _, height, width]) => (height, width) == (kernel, kernel),
        (None, &[_, _]) => true,
        _ => false,
    };
    if !is_fitting || values.is_empty() {
        let expected = match kernel {
            Some(kernel) => format!("(out, in, {kernel}, {kernel}), not empty"),
            None => "(out, in), not empty".to_owned(),
        };
        return Err(wrong_shape(path, shape, expected));
    }
    let largest = (1 << bits) - 1;
    let is_weight = |value: &i32| value.abs() <= largest && value & 1 == 1;
    if let Some(flat) = values.iter().position(|value| !is_weight(value)) {
        let (index, value) = (index_in(&shape, flat), values[flat]);
        return Err(InterchangeError::Weight { path, index, value, bits, largest });
    }
    let (outputs, inputs) = (shape[0], values.len() / shape[0]);
    let weight = |input, out| values[out * inputs + input];
    Ok(Weights::from_fn(inputs, outputs, bits, weight))
}

/// An array of weights as numbers of one type.
fn integers<T: Element + Into<i32>>(array: npy::Array<T>) -> npy::Array<i32> {
    let values = array.values.into_iter().map(Into::into).collect();
    npy::Array { shape: array.shape, values }
}

fn read_thresholds(
    folder: &Path,
    name: Option<String>,
    channels: usize,
) -> Result<Option<Thresholds>, InterchangeError> {
    let Some(name) = name else { return Ok(None) };
    let path = tensor_path(folder, &name)?;
    let npy::Array { shape, values } = read_array::<i32>(&path)?;
    let levels = match shape[..] {
        [outputs, levels @ (1 | 3 | 7 | 15)] if outputs == channels => levels,
        _ => return Err(wrong_shape(path, shape, format!("({channels}, 1 or 3 or 7 or 15)"))),
    };
    let descends = |channel: &&[i32]| !channel.is_sorted();
    if let Some((channel, values)) =
        values.chunks(levels).enumerate().find(|(_, channel)| descends(channel))
    {
        return Err(InterchangeError::ThresholdOrder { path, channel, values: values.to_vec() });
    }
    Ok(Some(Thresholds { levels, values }))
}

/// The index of an element of an array in C order.
fn index_in(shape: &[usize], mut flat: usize) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (i, side) in index.iter_mut().zip(shape).rev() {
        *i = flat % side;
        flat /= side;
    }
    index
}

/// The path of a tensor that `network.json` names; it stays within the folder.
fn tensor_path(folder: &Path, name: &str) -> Result<PathBuf, InterchangeError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if name.starts_with('.') || !name.ends_with(".npy") || !name.chars().all(is_plain) {
        let path = folder.join(NETWORK);
        return Err(InterchangeError::FileName { path, name: name.to_owned() });
    }
    Ok(folder.join(name))
}

fn read_array<T: Element>(path: &Path) -> Result<npy::Array<T>, InterchangeError> {
    let bytes = read(path)?;
    npy::decode(&bytes).map_err(|source| InterchangeError::Npy { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, InterchangeError> {
    let bytes = fs::metadata(path).map_err(io_error("read", path))?.len();
    if bytes > MAX_BYTES {
        return Err(InterchangeError::TooLarge { path: path.to_owned(), bytes, max: MAX_BYTES });
    }
    fs::read(path).map_err(io_error("read", path))
}
