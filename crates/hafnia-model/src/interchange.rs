//! The interchange folder: a network as JSON and NumPy arrays, for other tools to read and write.
//!
//! The format is described in `docs/formats.md`. In short, `network.json` lists the input and
//! the layers, and names for each layer that has some a file of weights, `int8` or `int16`, and of
//! thresholds, `int32`. `reference_logits.npy` may hold outputs to
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
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::floats::Floats;
use crate::input::Input;
use crate::layer::{Activate, Conv, Layer, Linear, Padding, Thresholds, Window};
use crate::network::Network;
use crate::scores::Scores;
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
    #[serde(skip_serializing_if = "Option::is_none")]
    scores: Option<Scores>,
}

/// The input in `network.json`: how pixels are reduced is said by `cuts`, or, in folders of before,
/// by `bits` and `shift`.
#[derive(Serialize)]
struct InputDescription {
    channels: usize,
    height: usize,
    width: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    cuts: Option<Cuts>,
    #[serde(skip_serializing_if = "is_zero")]
    lowest: i32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    floats: Vec<Floats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bits: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shift: Option<i64>,
}

/// One list for all channels, or one for each.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "it must be a list of numbers, or a list of such lists")]
enum Cuts {
    All(Vec<i64>),
    Each(Vec<Vec<i64>>),
}

fn is_zero(value: &i32) -> bool {
    *value == 0
}

/// A layer in `network.json`, and the values that it takes, unless it is that of the layer before.
#[derive(Serialize)]
struct Step {
    #[serde(flatten)]
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Vec<usize>>,
}

/// What a layer is; tensors are named by their file.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Kind {
    Conv {
        name: String,
        #[serde(flatten)]
        window: WindowDescription,
        #[serde(skip_serializing_if = "is_one")]
        groups: usize,
        #[serde(skip)]
        weight_bits: Option<u8>,
        weights: String,
        #[serde(flatten)]
        thresholds: Levels,
    },
    Linear {
        name: String,
        #[serde(skip)]
        weight_bits: Option<u8>,
        weights: String,
        #[serde(flatten)]
        thresholds: Levels,
    },
    MaxPool(PoolDescription),
    SumPool(PoolDescription),
    Add {
        factors: Vec<i32>,
    },
    Concat {},
    Flatten {},
    Activate {
        name: String,
        #[serde(flatten)]
        thresholds: Levels,
    },
}

fn is_one(groups: &usize) -> bool {
    *groups == 1
}

/// Thresholds in `network.json`: their file, and the lowest activation.
#[derive(Serialize)]
struct Levels {
    #[serde(skip_serializing_if = "Option::is_none")]
    thresholds: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    lowest: i32,
}

/// A pool in `network.json`: `size` if its windows are square, do not overlap and are not padded.
#[derive(Serialize)]
#[serde(untagged)]
enum PoolDescription {
    Square { size: usize },
    Any(WindowDescription),
}

/// A window in `network.json`.
#[derive(Serialize)]
struct WindowDescription {
    kernel: Sides,
    stride: Sides,
    #[serde(skip_serializing_if = "Option::is_none")]
    dilation: Option<Sides>,
    padding: Sides,
}

/// A number for all sides; or a list, of two sides (vertical, horizontal) or of four (above, on the
/// left, below, on the right).
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "it must be a whole number or a list of them")]
enum Sides {
    All(usize),
    Each(Vec<usize>),
}

impl Sides {
    fn of<const N: usize>(sides: [usize; N]) -> Self {
        match sides.iter().all(|side| *side == sides[0]) {
            true => Self::All(sides[0]),
            false => Self::Each(sides.to_vec()),
        }
    }

    fn read<const N: usize>(self) -> Result<[usize; N], String> {
        match self {
            Self::All(side) => Ok([side; N]),
            Self::Each(sides) => {
                let found = sides.len();
                sides.try_into().map_err(|_| format!("it has {found} numbers, it must have {N}"))
            }
        }
    }
}

impl WindowDescription {
    fn of(window: &Window) -> Self {
        let &Window { kernel, stride, dilation, padding } = window;
        let Padding { top, left, bottom, right } = padding;
        Self {
            kernel: Sides::of(kernel.into()),
            stride: Sides::of(stride.into()),
            dilation: (dilation != (1, 1)).then(|| Sides::of(dilation.into())),
            padding: Sides::of([top, left, bottom, right]),
        }
    }

    /// The fields of a window among those of a layer; a pool may leave `stride` out, which then is its
    /// kernel, and `padding`.
    fn of_fields(fields: &mut Fields, is_pool: bool) -> Result<Self, String> {
        let kernel: Sides = fields.take("kernel")?;
        let (stride, padding) = match is_pool {
            false => (fields.take("stride")?, fields.take("padding")?),
            true => (
                fields.optional("stride")?.unwrap_or_else(|| match &kernel {
                    Sides::All(side) => Sides::All(*side),
                    Sides::Each(sides) => Sides::Each(sides.clone()),
                }),
                fields.optional("padding")?.unwrap_or(Sides::All(0)),
            ),
        };
        Ok(Self { kernel, stride, dilation: fields.optional("dilation")?, padding })
    }

    fn read(self) -> Result<Window, String> {
        let pair = |what: &str, sides: Sides| match sides.read() {
            Ok([vertical, horizontal]) => Ok((vertical, horizontal)),
            Err(fault) => Err(format!("`{what}`: {fault}")),
        };
        let padding = self.padding.read().map_err(|fault| format!("`padding`: {fault}"))?;
        let [top, left, bottom, right] = padding;
        Ok(Window {
            kernel: pair("kernel", self.kernel)?,
            stride: pair("stride", self.stride)?,
            dilation: pair("dilation", self.dilation.unwrap_or(Sides::All(1)))?,
            padding: Padding { top, left, bottom, right },
        })
    }
}

impl PoolDescription {
    fn of(window: &Window) -> Self {
        match window.as_square() {
            Some((size, stride, 0)) if size == stride => Self::Square { size },
            _ => Self::Any(WindowDescription::of(window)),
        }
    }

    fn of_fields(fields: &mut Fields) -> Result<Self, String> {
        match fields.optional("size")? {
            Some(size) => Ok(Self::Square { size }),
            None => WindowDescription::of_fields(fields, true).map(Self::Any),
        }
    }

    fn read(self) -> Result<Window, String> {
        match self {
            Self::Square { size } => Ok(Window::square(size, size, 0)),
            Self::Any(window) => window.read(),
        }
    }
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
        let scores = fields.optional("scores")?;
        fields.end("`format`, `input`, `layers` and `scores`")?;
        let layers = layers.into_iter().enumerate().map(|(index, layer)| Step::read(index, layer));
        Ok(Self { format, input, layers: layers.collect::<Result<_, _>>()?, scores })
    }
}

impl Step {
    fn read(index: usize, layer: Value) -> Result<Self, String> {
        let name = layer.get("name").and_then(Value::as_str);
        let name = name.map(|name| format!(" ({})", quoted(name))).unwrap_or_default();
        let mut fields = Fields::of(format!("layer {index}{name}"), layer)?;
        let kind: String = fields.take("kind")?;
        let levels = |fields: &mut Fields| -> Result<Levels, String> {
            let thresholds = fields.optional::<Option<_>>("thresholds")?.flatten();
            Ok(Levels { thresholds, lowest: fields.optional("lowest")?.unwrap_or(0) })
        };
        let window = "`kernel`, `stride`, `dilation`, `padding`";
        let (kind, known) = match &*kind {
            "conv" => {
                let conv = Kind::Conv {
                    name: fields.take("name")?,
                    window: WindowDescription::of_fields(&mut fields, false)?,
                    groups: fields.optional("groups")?.unwrap_or(1),
                    weight_bits: fields.optional("weight_bits")?,
                    weights: fields.take("weights")?,
                    thresholds: levels(&mut fields)?,
                };
                let known = format!(
                    "`kind`, `name`, {window}, `groups`, `weight_bits`, `weights`, `thresholds`, `lowest`"
                );
                (conv, known)
            }
            "linear" => {
                let linear = Kind::Linear {
                    name: fields.take("name")?,
                    weight_bits: fields.optional("weight_bits")?,
                    weights: fields.take("weights")?,
                    thresholds: levels(&mut fields)?,
                };
                let known = "`kind`, `name`, `weight_bits`, `weights`, `thresholds`, `lowest`";
                (linear, known.to_owned())
            }
            "max_pool" => (
                Kind::MaxPool(PoolDescription::of_fields(&mut fields)?),
                format!("`kind`, `size` or {window}"),
            ),
            "sum_pool" => (
                Kind::SumPool(PoolDescription::of_fields(&mut fields)?),
                format!("`kind`, `size` or {window}"),
            ),
            "add" => {
                (Kind::Add { factors: fields.take("factors")? }, "`kind`, `factors`".to_owned())
            }
            "concat" => (Kind::Concat {}, "`kind`".to_owned()),
            "flatten" => (Kind::Flatten {}, "`kind`".to_owned()),
            "activate" => {
                let activate =
                    Kind::Activate { name: fields.take("name")?, thresholds: levels(&mut fields)? };
                (activate, "`kind`, `name`, `thresholds`, `lowest`".to_owned())
            }
            other => {
                let other = quoted(other);
                return Err(fields.named(format_args!(
                    "`kind` is {other}, it must be conv, linear, max_pool, sum_pool, add, concat, \
                     flatten or activate"
                )));
            }
        };
        let from = fields.optional("from")?;
        fields.end(&format!("{known} and `from`"))?;
        Ok(Self { kind, from })
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
    let arrays = layers.into_iter().flat_map(|step| match step.kind {
        Kind::Conv { weights, thresholds, .. } | Kind::Linear { weights, thresholds, .. } => {
            vec![Some(weights), thresholds.thresholds]
        }
        Kind::Activate { thresholds, .. } => vec![thresholds.thresholds],
        _ => Vec::new(),
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
    let read = |(index, step): (usize, Step)| {
        let from = step.from.unwrap_or_else(|| vec![index]);
        read_layer(folder, index, step.kind, open).map(|layer| (layer, from))
    };
    let steps: Result<Vec<_>, _> = description.layers.into_iter().enumerate().map(read).collect();
    let input = description.input.read().map_err(|fault| wrong(&path, fault))?;
    let network = Network::graph(input, steps?);
    let scores = description.scores.unwrap_or_default();
    let scored = network.and_then(|network| network.with_scores(scores));
    scored.map_err(|error| wrong(&path, error.to_string()))
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
        let Input { channels, height, width, ref cuts, lowest, ref floats } = *input;
        let list = |cuts: &Vec<u8>| cuts.iter().map(|&cut| cut.into()).collect();
        let cuts = match &cuts[..] {
            [all] => Cuts::All(list(all)),
            each => Cuts::Each(each.iter().map(list).collect()),
        };
        let (cuts, floats) = (Some(cuts), floats.clone());
        Self { channels, height, width, cuts, lowest, floats, bits: None, shift: None }
    }

    fn of_fields(mut fields: Fields) -> Result<Self, String> {
        let input = Self {
            channels: fields.take("channels")?,
            height: fields.take("height")?,
            width: fields.take("width")?,
            cuts: fields.optional::<Option<_>>("cuts")?.flatten(),
            lowest: fields.optional("lowest")?.unwrap_or(0),
            floats: fields.optional("floats")?.unwrap_or_default(),
            bits: fields.optional::<Option<_>>("bits")?.flatten(),
            shift: fields.optional::<Option<_>>("shift")?.flatten(),
        };
        fields.end(
            "`channels`, `height`, `width`, `cuts`, `lowest` and `floats`, or `bits` and `shift`",
        )?;
        Ok(input)
    }

    fn read(self) -> Result<Input, String> {
        let within = |key: &str, value: i64, min: i64, max: i64| match value {
            value if (min..=max).contains(&value) => Ok(value as u8),
            _ => Err(format!("{key} of the input is {value}, it {}", must(min, max))),
        };
        let list = |cuts: Vec<i64>| {
            let cuts = cuts.into_iter().map(|cut| within("a cut", cut, 0, 255));
            cuts.collect::<Result<Vec<u8>, _>>()
        };
        let cuts = match (self.cuts, self.bits, self.shift) {
            (Some(Cuts::All(cuts)), None, None) => vec![list(cuts)?],
            (Some(Cuts::Each(each)), None, None) => {
                each.into_iter().map(list).collect::<Result<_, _>>()?
            }
            (None, Some(bits), Some(shift)) => {
                let bits = within("`bits`", bits, 1, 8)?;
                let shift = within("`shift`", shift, (8 - bits).into(), 7)?;
                // Levels above 255 >> shift are never reached.
                vec![(1..=255 >> shift).map(|level: u8| level << shift).collect()]
            }
            _ => return Err("the input needs `cuts`, or `bits` and `shift`".to_owned()),
        };
        let Self { channels, height, width, lowest, floats, .. } = self;
        Ok(Input { channels, height, width, cuts, lowest, floats })
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
    let step = |(index, layer)| {
        let channels = network.shape_before(index).channels;
        let from = network.from(index);
        let kind = kind_of(channels, layer, &mut files);
        Step { kind, from: (from != [index]).then(|| from.to_vec()) }
    };
    let scores = network.scores();
    let description = Description {
        format: FORMAT.to_owned(),
        input: InputDescription::of(network.input()),
        layers: layers.map(step).collect(),
        scores: (!scores.is_plain()).then(|| scores.clone()),
    };
    let mut json = serde_json::to_string_pretty(&description).expect("plain data");
    json.push('\n');
    files.push((NETWORK.to_owned(), json.into_bytes()));
    files
}

fn kind_of(channels: usize, layer: &Layer, files: &mut Vec<(String, Vec<u8>)>) -> Kind {
    match layer {
        Layer::Conv(Conv { name, window, groups, weights, thresholds }) => {
            let (height, width) = window.kernel;
            let shape = [weights.columns(), channels / groups, height, width];
            Kind::Conv {
                name: name.clone(),
                window: WindowDescription::of(window),
                groups: *groups,
                weight_bits: None,
                weights: add_weights(files, name, &shape, weights),
                thresholds: add_thresholds(files, name, thresholds.as_ref()),
            }
        }
        Layer::Linear(Linear { name, weights, thresholds }) => Kind::Linear {
            name: name.clone(),
            weight_bits: None,
            weights: add_weights(files, name, &[weights.columns(), weights.rows()], weights),
            thresholds: add_thresholds(files, name, thresholds.as_ref()),
        },
        Layer::MaxPool(window) => Kind::MaxPool(PoolDescription::of(window)),
        Layer::SumPool(window) => Kind::SumPool(PoolDescription::of(window)),
        Layer::Add(factors) => Kind::Add { factors: factors.clone() },
        Layer::Concat => Kind::Concat {},
        Layer::Flatten => Kind::Flatten {},
        Layer::Activate(Activate { name, thresholds }) => Kind::Activate {
            name: name.clone(),
            thresholds: add_thresholds(files, name, Some(thresholds)),
        },
    }
}

fn add_weights(
    files: &mut Vec<(String, Vec<u8>)>,
    layer: &str,
    shape: &[usize],
    weights: &Weights,
) -> String {
    let values = (0..weights.columns())
        .flat_map(|out| (0..weights.rows()).map(move |input| weights.value(input, out)));
    let is_narrow =
        i8::try_from(weights.smallest()).is_ok() && i8::try_from(weights.largest()).is_ok();
    let bytes = if is_narrow {
        npy::encode(shape, &values.map(|value| value as i8).collect::<Vec<_>>())
    } else {
        npy::encode(shape, &values.map(|value| value as i16).collect::<Vec<_>>())
    };
    let name = format!("{layer}.weights.npy");
    files.push((name.clone(), bytes));
    name
}

fn add_thresholds(
    files: &mut Vec<(String, Vec<u8>)>,
    layer: &str,
    thresholds: Option<&Thresholds>,
) -> Levels {
    let Some(thresholds) = thresholds else { return Levels { thresholds: None, lowest: 0 } };
    let name = format!("{layer}.thresholds.npy");
    let shape = [thresholds.channels(), thresholds.levels];
    files.push((name.clone(), npy::encode(&shape, &thresholds.values)));
    Levels { thresholds: Some(name), lowest: thresholds.lowest }
}

fn read_layer(
    folder: &Path,
    index: usize,
    kind: Kind,
    open: Open<'_>,
) -> Result<Layer, InterchangeError> {
    let window = |read: Result<Window, String>| {
        read.map_err(|fault| wrong(&folder.join(NETWORK), format!("layer {index}: {fault}")))
    };
    Ok(match kind {
        Kind::Conv { name, window: sides, groups, weight_bits, weights, thresholds } => {
            let window = window(sides.read())?;
            check_bits(folder, &name, weight_bits)?;
            let weights = read_weights(folder, &weights, weight_bits, Some(window.kernel), open)?;
            let thresholds = read_thresholds(folder, thresholds, Some(weights.columns()), open)?;
            Layer::Conv(Conv { name, window, groups, weights, thresholds })
        }
        Kind::Linear { name, weight_bits, weights, thresholds } => {
            check_bits(folder, &name, weight_bits)?;
            let weights = read_weights(folder, &weights, weight_bits, None, open)?;
            let thresholds = read_thresholds(folder, thresholds, Some(weights.columns()), open)?;
            Layer::Linear(Linear { name, weights, thresholds })
        }
        Kind::MaxPool(pool) => Layer::MaxPool(window(pool.read())?),
        Kind::SumPool(pool) => Layer::SumPool(window(pool.read())?),
        Kind::Add { factors } => Layer::Add(factors),
        Kind::Concat {} => Layer::Concat,
        Kind::Flatten {} => Layer::Flatten,
        Kind::Activate { name, thresholds } => {
            let thresholds = read_thresholds(folder, thresholds, None, open)?;
            let thresholds = thresholds.ok_or_else(|| {
                let fault = format!("layer {index} (`{name}`): `thresholds` is missing");
                wrong(&folder.join(NETWORK), fault)
            })?;
            Layer::Activate(Activate { name, thresholds })
        }
    })
}

/// Refuses odd weights of a number of bits that they were never said to have.
fn check_bits(folder: &Path, layer: &str, bits: Option<u8>) -> Result<(), InterchangeError> {
    match bits {
        None | Some(1 | 2 | 4 | 8) => Ok(()),
        Some(bits) => {
            let fault =
                format!("layer `{layer}` has weights of {bits} bits, they must have 1, 2, 4 or 8");
            Err(wrong(&folder.join(NETWORK), fault))
        }
    }
}

/// The weights of a convolution with this kernel, or of a linear layer, as rows of inputs. Folders of
/// before say of how many `bits` they are, and then all are odd.
fn read_weights(
    folder: &Path,
    name: &str,
    bits: Option<u8>,
    kernel: Option<(usize, usize)>,
    open: Open<'_>,
) -> Result<Weights, InterchangeError> {
    let path = tensor_path(folder, name)?;
    let bytes = open(&path)?;
    let array = match npy::decode::<i8>(&bytes) {
        Ok(array) => Ok(integers(array)),
        Err(narrow) => npy::decode::<i16>(&bytes).map(integers).map_err(|_| narrow),
    };
    let npy::Array { shape, values } = array.map_err(|error| wrong(&path, error.to_string()))?;
    let is_fitting = match (kernel, &shape[..]) {
        (Some(kernel), &[_, _, height, width]) => (height, width) == kernel,
        (None, &[_, _]) => true,
        _ => false,
    };
    if !is_fitting || values.is_empty() {
        let expected = match kernel {
            Some((height, width)) => format!("(out, in, {height}, {width}), not empty"),
            None => "(out, in), not empty".to_owned(),
        };
        return Err(wrong_shape(&path, &shape, &expected));
    }
    let (largest, odd, rule) = match bits {
        Some(bits) => ((1 << bits) - 1, 1, format!("with {bits} bits it must be an odd number")),
        None => (Weights::LARGEST, 0, "it must lie".to_owned()),
    };
    let is_weight = |value: &i32| value.abs() <= largest && value & odd == odd;
    if let Some(flat) = values.iter().position(|value| !is_weight(value)) {
        let (index, value) = (index_in(&shape, flat), values[flat]);
        let fault = format!("the weight at {index:?} is {value}, {rule} in -{largest}..={largest}");
        return Err(wrong(&path, fault));
    }
    let (outputs, inputs) = (shape[0], values.len() / shape[0]);
    let weight = |input, out| values[out * inputs + input];
    Ok(Weights::from_fn(inputs, outputs, weight))
}

/// An array of weights as numbers of one type.
fn integers<T: Element + Into<i32>>(array: npy::Array<T>) -> npy::Array<i32> {
    let values = array.values.into_iter().map(Into::into).collect();
    npy::Array { shape: array.shape, values }
}

/// The thresholds that a layer names, for as many channels, or any number of them.
fn read_thresholds(
    folder: &Path,
    Levels { thresholds, lowest }: Levels,
    channels: Option<usize>,
    open: Open<'_>,
) -> Result<Option<Thresholds>, InterchangeError> {
    let Some(name) = thresholds else { return Ok(None) };
    let path = tensor_path(folder, &name)?;
    let npy::Array { shape, values } = read_array::<i32>(&path, open)?;
    let levels = match shape[..] {
        [outputs, levels @ 1..=255] if outputs == channels.unwrap_or(outputs) => levels,
        _ => {
            let channels = channels.map_or("channels".to_owned(), |channels| channels.to_string());
            return Err(wrong_shape(&path, &shape, &format!("({channels}, 1 to 255)")));
        }
    };
    let mut channels = values.chunks(levels).enumerate();
    if let Some((channel, values)) = channels.find(|(_, values)| !values.is_sorted()) {
        let fault = format!("thresholds {values:?} of channel {channel} do not ascend");
        return Err(wrong(&path, fault));
    }
    Ok(Some(Thresholds { levels, lowest, values }))
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
