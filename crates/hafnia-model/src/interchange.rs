//! The interchange folder: a network as JSON and NumPy arrays, for other tools to read and write.
//!
//! The format is described in `docs/formats.md`. In short, `network.json` lists the input and
//! the layers, and names for each matrix layer a file of weights, `int8` or for 8 bits `int16`, and
//! for all but the last a file of thresholds, `int32`. `reference_logits.npy` may hold outputs to
//! check against.
//!
//! ```
//! use hafnia_model::{ReferenceProduct, interchange, random, run};
//! use hafnia_rng::Seed;
//!
//! # let parent = tempfile::tempdir()?;
//! # let folder = parent.path().join("lenet5");
//! let network = random::lenet5(Seed(7));
//! let image = random::image(Seed(7), network.input());
//! let logits = run(&network, &image, &mut ReferenceProduct::new(&network));
//!
//! interchange::export_with_logits(&network, &[logits.clone()], &folder)?;
//!
//! assert_eq!(interchange::import(&folder)?, network);
//! assert_eq!(interchange::read_reference_logits(&folder)?, Some(vec![logits]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A folder comes from outside: whatever is wrong with it is an [`InterchangeError`] that names the
//! file, never a panic.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use hafnia_artifact::npy::{self, Element};
use hafnia_artifact::{
    ArtifactError, check_writable_folder, read_text, read_up_to, text, write_whole_folder,
};
use hafnia_text::{must, quoted};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::network::{Conv, Input, Layer, Linear, Network, Thresholds};
use crate::weights::Weights;

/// What `format` says in a `network.json` that this version reads and writes.
pub const FORMAT: &str = "hafnia-network/1";

/// The file of a folder that has outputs of its network, on the first test images.
pub const REFERENCE_LOGITS: &str = "reference_logits.npy";

const NETWORK: &str = "network.json";
/// The largest file that is read: a matrix of this many bytes is far above any network here.
const MAX_BYTES: u64 = 1 << 28;

/// Why a folder cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterchangeError {
    /// A file or folder cannot be read, made, moved or removed.
    #[error(transparent)]
    Io(#[from] ArtifactError),
    /// A file does not hold what it must hold, or a folder holds more.
    #[error("{}: {fault}", path.display())]
    Content {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, in words.
        fault: String,
    },
}

/// `network.json`.
#[derive(Serialize)]
struct Description {
    format: String,
    input: InputDescription,
    layers: Vec<Step>,
}

/// The input in `network.json`: how pixels are reduced is said by `cuts`, or, in folders of before,
/// by `bits` and `shift`.
#[derive(Serialize)]
struct InputDescription {
    channels: usize,
    height: usize,
    width: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    cuts: Option<Vec<i64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bits: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shift: Option<i64>,
}

/// A layer in `network.json`; tensors are named by their file.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Step {
    Conv {
        name: String,
        kernel: usize,
        stride: usize,
        padding: usize,
        #[serde(skip_serializing_if = "is_one_bit")]
        weight_bits: u8,
        weights: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        thresholds: Option<String>,
    },
    Linear {
        name: String,
        #[serde(skip_serializing_if = "is_one_bit")]
        weight_bits: u8,
        weights: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        thresholds: Option<String>,
    },
    MaxPool {
        size: usize,
    },
    Flatten {},
}

/// Bits of weights where `network.json` names none.
const ONE_BIT: u8 = 1;

fn is_one_bit(bits: &u8) -> bool {
    *bits == ONE_BIT
}

/// The fields of an object, taken one by one, so that what is wrong names object and field.
struct Fields {
    /// What the object is, such as `layer 2 (`fc1`)`; nothing for the whole.
    of: String,
    left: Map<String, Value>,
}

impl Fields {
    fn of(name: impl Into<String>, value: Value) -> Result<Self, String> {
        let of = name.into();
        match value {
            Value::Object(left) => Ok(Self { of, left }),
            other => Err(format!("{of} is {}, it must be an object", quoted(&other.to_string()))),
        }
    }

    fn named(&self, fault: impl fmt::Display) -> String {
        if self.of.is_empty() { fault.to_string() } else { format!("{}: {fault}", self.of) }
    }

    /// A field that may be left out.
    fn optional<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, String> {
        let Some(value) = self.left.remove(key) else { return Ok(None) };
        let read = serde_json::from_value(value);
        read.map(Some).map_err(|error| self.named(format_args!("`{key}`: {error}")))
    }

    fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<T, String> {
        self.optional(key)?.ok_or_else(|| self.named(format_args!("`{key}` is missing")))
    }

    /// All fields were taken, the `known` ones.
    fn end(self, known: &str) -> Result<(), String> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(key) => {
                let key = quoted(key);
                Err(self.named(format_args!("{key} is not a field, fields are {known}")))
            }
        }
    }
}

impl Description {
    /// What the text of `network.json` says.
    fn read(text: &str) -> Result<Self, String> {
        let whole = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut fields = Fields::of("", whole).map_err(|_| "it must be an object".to_owned())?;
        let format: String = fields.take("format")?;
        if format != FORMAT {
            return Err(format!("`format` is {}, it must be `{FORMAT}`", quoted(&format)));
        }
        let input = InputDescription::of_fields(Fields::of("`input`", fields.take("input")?)?)?;
        let layers: Vec<Value> = fields.take("layers")?;
        fields.end("`format`, `input` and `layers`")?;
        let layers = layers.into_iter().enumerate().map(|(index, layer)| Step::read(index, layer));
        Ok(Self { format, input, layers: layers.collect::<Result<_, _>>()? })
    }
}

impl Step {
    fn read(index: usize, layer: Value) -> Result<Self, String> {
        let name = layer.get("name").and_then(Value::as_str);
        let name = name.map(|name| format!(" ({})", quoted(name))).unwrap_or_default();
        let mut fields = Fields::of(format!("layer {index}{name}"), layer)?;
        let kind: String = fields.take("kind")?;
        let (step, known) = match &*kind {
            "conv" => {
                let conv = Self::Conv {
                    name: fields.take("name")?,
                    kernel: fields.take("kernel")?,
                    stride: fields.take("stride")?,
                    padding: fields.take("padding")?,
                    weight_bits: fields.optional("weight_bits")?.unwrap_or(ONE_BIT),
                    weights: fields.take("weights")?,
                    thresholds: fields.optional::<Option<_>>("thresholds")?.flatten(),
                };
                (
                    conv,
                    "`kind`, `name`, `kernel`, `stride`, `padding`, `weight_bits`, `weights` and \
                     `thresholds`",
                )
            }
            "linear" => {
                let linear = Self::Linear {
                    name: fields.take("name")?,
                    weight_bits: fields.optional("weight_bits")?.unwrap_or(ONE_BIT),
                    weights: fields.take("weights")?,
                    thresholds: fields.optional::<Option<_>>("thresholds")?.flatten(),
                };
                (linear, "`kind`, `name`, `weight_bits`, `weights` and `thresholds`")
            }
            "max_pool" => (Self::MaxPool { size: fields.take("size")? }, "`kind` and `size`"),
            "flatten" => (Self::Flatten {}, "`kind`"),
            other => {
                let other = quoted(other);
                return Err(fields.named(format_args!(
                    "`kind` is {other}, it must be conv, linear, max_pool or flatten"
                )));
            }
        };
        fields.end(known)?;
        Ok(step)
    }
}

/// Writes a network as an interchange folder, whole or not at all.
///
/// The files are read back before the folder is put in place.
///
/// An interchange folder that is there already is replaced with all that it names, reference logits
/// included; folders above are made.
///
/// # Errors
/// If `folder` cannot be written, or holds anything but an interchange folder.
pub fn export(network: &Network, folder: impl AsRef<Path>) -> Result<(), InterchangeError> {
    export_with_logits(network, &[], folder)
}

/// Writes a network as [`export`] does, together with reference outputs, unless there are none: one
/// row of raw outputs per image, by which an importer can check that it computes the same.
///
/// # Errors
/// As [`export`].
///
/// # Panics
/// If rows have different lengths.
pub fn export_with_logits(
    network: &Network,
    logits: &[Vec<i32>],
    folder: impl AsRef<Path>,
) -> Result<(), InterchangeError> {
    let folder = folder.as_ref();
    let classes = logits.first().map_or(0, Vec::len);
    assert!(logits.iter().all(|row| row.len() == classes), "{classes} outputs an image");
    let files: BTreeMap<PathBuf, Vec<u8>> =
        files(network).into_iter().map(|(name, bytes)| (folder.join(name), bytes)).collect();
    network_of(folder, &|path| match files.get(path) {
        Some(bytes) if bytes.len() as u64 <= MAX_BYTES => Ok(bytes.clone()),
        Some(_) => Err(wrong(path, format!("it takes more than {MAX_BYTES} bytes"))),
        None => Err(wrong(path, "it is not written".to_owned())),
    })?;
    let name = |path: PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let logits = (!logits.is_empty()).then(|| {
        (REFERENCE_LOGITS.to_owned(), npy::encode(&[logits.len(), classes], &logits.concat()))
    });
    let files = files.into_iter().map(|(path, bytes)| (name(path), bytes)).chain(logits);
    Ok(write_whole_folder(folder, is_ours(folder), files)?)
}

/// Whether [`export`] could write this folder. Nothing is changed but that folders above are made.
///
/// # Errors
/// As [`export`].
pub fn check_writable(folder: impl AsRef<Path>) -> Result<(), InterchangeError> {
    let folder = folder.as_ref();
    Ok(check_writable_folder(folder, is_ours(folder))?)
}

/// Tells the files of the interchange folder that is here, if there is one.
fn is_ours(folder: &Path) -> impl Fn(&Path, &str) -> bool {
    let known = names_in(folder);
    move |_, name| known.iter().any(|known| known == name)
}

/// The files of an interchange folder; none if it is not one.
fn names_in(folder: &Path) -> Vec<String> {
    let description = read_text(folder.join(NETWORK)).ok();
    let description = description.and_then(|text| Description::read(&text).ok());
    let Some(Description { layers, .. }) = description else { return Vec::new() };
    let arrays = layers.into_iter().flat_map(|step| match step {
        Step::Conv { weights, thresholds, .. } | Step::Linear { weights, thresholds, .. } => {
            vec![Some(weights), thresholds]
        }
        Step::MaxPool { .. } | Step::Flatten {} => Vec::new(),
    });
    let others = [NETWORK, REFERENCE_LOGITS].map(|name| Some(name.to_owned()));
    others.into_iter().chain(arrays).flatten().collect()
}

/// Reads a network from an interchange folder.
///
/// # Errors
/// An [`InterchangeError`] that names the file and what is wrong with it.
pub fn import(folder: impl AsRef<Path>) -> Result<Network, InterchangeError> {
    network_of(folder.as_ref(), &read)
}

/// How files are read.
type Open<'a> = &'a dyn Fn(&Path) -> Result<Vec<u8>, InterchangeError>;

/// The network of the files in a folder; `open` reads them.
fn network_of(folder: &Path, open: Open<'_>) -> Result<Network, InterchangeError> {
    let path = folder.join(NETWORK);
    let description = Description::read(&text(&path, open(&path)?)?);
    let description = description.map_err(|fault| wrong(&path, fault))?;
    let layers: Result<Vec<Layer>, _> =
        description.layers.into_iter().map(|step| read_layer(folder, step, open)).collect();
    let input = description.input.read().map_err(|fault| wrong(&path, fault))?;
    Network::new(input, layers?).map_err(|error| wrong(&path, error.to_string()))
}

/// The reference outputs of an interchange folder, one row of raw outputs per image, if it has any.
///
/// # Errors
/// If the file is there and is not an `int32` array of (images, classes).
pub fn read_reference_logits(
    folder: impl AsRef<Path>,
) -> Result<Option<Vec<Vec<i32>>>, InterchangeError> {
    let path = folder.as_ref().join(REFERENCE_LOGITS);
    let array = match read_array::<i32>(&path, &read) {
        Err(InterchangeError::Io(ArtifactError::Io { source, .. }))
            if source.kind() == io::ErrorKind::NotFound =>
        {
            return Ok(None);
        }
        array => array?,
    };
    match array.shape[..] {
        [images, classes] if images > 0 && classes > 0 => {
            Ok(Some(array.values.chunks(classes).map(<[i32]>::to_vec).collect()))
        }
        _ => Err(wrong_shape(&path, &array.shape, "(images, classes), not empty")),
    }
}

impl InputDescription {
    fn of(input: &Input) -> Self {
        let Input { channels, height, width, ref cuts } = *input;
        let cuts = Some(cuts.iter().map(|&cut| cut.into()).collect());
        Self { channels, height, width, cuts, bits: None, shift: None }
    }

    fn of_fields(mut fields: Fields) -> Result<Self, String> {
        let input = Self {
            channels: fields.take("channels")?,
            height: fields.take("height")?,
            width: fields.take("width")?,
            cuts: fields.optional::<Option<_>>("cuts")?.flatten(),
            bits: fields.optional::<Option<_>>("bits")?.flatten(),
            shift: fields.optional::<Option<_>>("shift")?.flatten(),
        };
        fields.end("`channels`, `height`, `width` and `cuts`, or `bits` and `shift`")?;
        Ok(input)
    }

    fn read(self) -> Result<Input, String> {
        let within = |key: &str, value: i64, min: i64, max: i64| match value {
            value if (min..=max).contains(&value) => Ok(value as u8),
            _ => Err(format!("{key} of the input is {value}, it {}", must(min, max))),
        };
        let cuts = match (self.cuts, self.bits, self.shift) {
            (Some(cuts), None, None) => {
                let cuts = cuts.into_iter().map(|cut| within("a cut", cut, 1, 255));
                cuts.collect::<Result<_, _>>()?
            }
            (None, Some(bits), Some(shift)) => {
                let bits = within("`bits`", bits, 1, 8)?;
                let shift = within("`shift`", shift, (8 - bits).into(), 7)?;
                // Levels above 255 >> shift are never reached.
                (1..=255 >> shift).map(|level: u8| level << shift).collect()
            }
            _ => return Err("the input needs `cuts`, or `bits` and `shift`".to_owned()),
        };
        let Self { channels, height, width, .. } = self;
        Ok(Input { channels, height, width, cuts })
    }
}

fn wrong(path: &Path, fault: String) -> InterchangeError {
    InterchangeError::Content { path: path.to_owned(), fault }
}

fn wrong_shape(path: &Path, found: &[usize], expected: &str) -> InterchangeError {
    wrong(path, format!("its shape is {found:?}, it must be {expected}"))
}

/// The files of a network, by their names.
fn files(network: &Network) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let layers = network.layers().iter().enumerate();
    let step = |(index, layer)| step_of(network.shape_before(index).channels, layer, &mut files);
    let description = Description {
        format: FORMAT.to_owned(),
        input: InputDescription::of(network.input()),
        layers: layers.map(step).collect(),
    };
    let mut json = serde_json::to_string_pretty(&description).expect("plain data");
    json.push('\n');
    files.push((NETWORK.to_owned(), json.into_bytes()));
    files
}

fn step_of(channels: usize, layer: &Layer, files: &mut Vec<(String, Vec<u8>)>) -> Step {
    match layer {
        Layer::Conv(conv) => {
            let Conv { name, kernel, stride, padding, .. } = conv.clone();
            let outputs = conv.weights.columns();
            let shape = [outputs, channels, kernel, kernel];
            let weights = add_weights(files, &name, &shape, &conv.weights);
            let thresholds = add_thresholds(files, &name, outputs, conv.thresholds.as_ref());
            let weight_bits = conv.weights.bits();
            Step::Conv { name, kernel, stride, padding, weight_bits, weights, thresholds }
        }
        Layer::Linear(Linear { name, weights, thresholds }) => {
            let (inputs, outputs) = (weights.rows(), weights.columns());
            let weight_bits = weights.bits();
            let thresholds = add_thresholds(files, name, outputs, thresholds.as_ref());
            let weights = add_weights(files, name, &[outputs, inputs], weights);
            Step::Linear { name: name.clone(), weight_bits, weights, thresholds }
        }
        Layer::MaxPool { size } => Step::MaxPool { size: *size },
        Layer::Flatten => Step::Flatten {},
    }
}

/// Whether weights of `bits` bits are stored as `int16`: those of 8 bits go to ±255.
fn is_wide(bits: u8) -> bool {
    bits == 8
}

fn add_weights(
    files: &mut Vec<(String, Vec<u8>)>,
    layer: &str,
    shape: &[usize],
    weights: &Weights,
) -> String {
    let values = (0..weights.columns())
        .flat_map(|out| (0..weights.rows()).map(move |input| weights.value(input, out)));
    let bytes = if is_wide(weights.bits()) {
        npy::encode(shape, &values.map(|value| value as i16).collect::<Vec<_>>())
    } else {
        npy::encode(shape, &values.map(|value| value as i8).collect::<Vec<_>>())
    };
    let name = format!("{layer}.weights.npy");
    files.push((name.clone(), bytes));
    name
}

fn add_thresholds(
    files: &mut Vec<(String, Vec<u8>)>,
    layer: &str,
    channels: usize,
    thresholds: Option<&Thresholds>,
) -> Option<String> {
    let Thresholds { levels, values } = thresholds?;
    let name = format!("{layer}.thresholds.npy");
    files.push((name.clone(), npy::encode(&[channels, *levels], values)));
    Some(name)
}

fn read_layer(folder: &Path, step: Step, open: Open<'_>) -> Result<Layer, InterchangeError> {
    Ok(match step {
        Step::Conv { name, kernel, stride, padding, weight_bits, weights, thresholds } => {
            check_bits(folder, &name, weight_bits)?;
            let weights = read_weights(folder, &weights, weight_bits, Some(kernel), open)?;
            let thresholds = read_thresholds(folder, thresholds, weights.columns(), open)?;
            Layer::Conv(Conv { name, kernel, stride, padding, weights, thresholds })
        }
        Step::Linear { name, weight_bits, weights, thresholds } => {
            check_bits(folder, &name, weight_bits)?;
            let weights = read_weights(folder, &weights, weight_bits, None, open)?;
            let thresholds = read_thresholds(folder, thresholds, weights.columns(), open)?;
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
    let fault = format!("layer `{layer}` has weights of {bits} bits, they must have 1, 2, 4 or 8");
    Err(wrong(&folder.join(NETWORK), fault))
}

/// The weights of a convolution with this kernel, or of a linear layer, as rows of inputs.
fn read_weights(
    folder: &Path,
    name: &str,
    bits: u8,
    kernel: Option<usize>,
    open: Open<'_>,
) -> Result<Weights, InterchangeError> {
    let path = tensor_path(folder, name)?;
    let npy::Array { shape, values } = if is_wide(bits) {
        integers(read_array::<i16>(&path, open)?)
    } else {
        integers(read_array::<i8>(&path, open)?)
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
        return Err(wrong_shape(&path, &shape, &expected));
    }
    let largest = (1 << bits) - 1;
    let is_weight = |value: &i32| value.abs() <= largest && value & 1 == 1;
    if let Some(flat) = values.iter().position(|value| !is_weight(value)) {
        let (index, value) = (index_in(&shape, flat), values[flat]);
        return Err(wrong(
            &path,
            format!(
                "the weight at {index:?} is {value}, with {bits} bits it must be an odd number in -{largest}..={largest}"
            ),
        ));
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
    open: Open<'_>,
) -> Result<Option<Thresholds>, InterchangeError> {
    let Some(name) = name else { return Ok(None) };
    let path = tensor_path(folder, &name)?;
    let npy::Array { shape, values } = read_array::<i32>(&path, open)?;
    let levels = match shape[..] {
        [outputs, levels @ (1 | 3 | 7 | 15)] if outputs == channels => levels,
        _ => return Err(wrong_shape(&path, &shape, &format!("({channels}, 1 or 3 or 7 or 15)"))),
    };
    let mut channels = values.chunks(levels).enumerate();
    if let Some((channel, values)) = channels.find(|(_, values)| !values.is_sorted()) {
        let fault = format!("thresholds {values:?} of channel {channel} do not ascend");
        return Err(wrong(&path, fault));
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
        let fault = format!(
            "file name `{name}` must be made of a-z, A-Z, 0-9, `_`, `-` and `.`, must not begin with `.` and must end in `.npy`"
        );
        return Err(wrong(&folder.join(NETWORK), fault));
    }
    Ok(folder.join(name))
}

fn read_array<T: Element>(path: &Path, open: Open<'_>) -> Result<npy::Array<T>, InterchangeError> {
    let bytes = open(path)?;
    npy::decode(&bytes).map_err(|error| wrong(path, error.to_string()))
}

fn read(path: &Path) -> Result<Vec<u8>, InterchangeError> {
    Ok(read_up_to(path, MAX_BYTES)?)
}
