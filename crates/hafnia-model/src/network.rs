//! [`Network`] and its layers: integers, checked once when a network is made.

use std::fmt;

use hafnia_artifact::{Artifact, Digest};
use hafnia_text::must;
use serde::{Deserialize, Serialize};

use crate::error::ShapeError;
use crate::weights::Weights;

/// A trained network of integers. Always well formed: [`Network::new`] checks, and so does reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct Network {
    input: Input,
    layers: Vec<Layer>,
    shapes: Vec<Shape>,
}

impl Artifact for Network {
    const KIND: &'static str = "network";
    const SCHEMA: u32 = 3;
    const REMAKE: &'static str = "hafnia train";
}

/// What a network takes: an image of 8-bit pixels, each of which becomes an activation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Channels of the image; 1 for grey.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
    /// The thresholds of a pixel, 1 to 255 in ascending order: its activation is the number of cuts
    /// that it reaches. `[65]` is 1 bit, pixel > 64; `[64, 128, 192]` is 2 bits, pixel >> 6.
    pub cuts: Vec<u8>,
}

impl Input {
    /// An image whose pixels keep their upper `bits` bits: pixel >> (8 − `bits`).
    ///
    /// # Panics
    /// If `bits` is not 1 to 8.
    pub fn upper_bits(channels: usize, height: usize, width: usize, bits: u8) -> Self {
        assert!((1..=8).contains(&bits), "{bits} bits");
        Self { channels, height, width, cuts: upper_bits(bits) }
    }

    /// Bits that an activation of the input takes, 1 to 8.
    pub fn bits(&self) -> u8 {
        (self.cuts.len().max(1).ilog2() + 1) as u8
    }

    /// The largest activation of the input: the number of cuts.
    pub fn largest(&self) -> u8 {
        self.cuts.len() as u8
    }
}

/// The cuts that keep the upper `bits` bits of a pixel, 1 to 8.
fn upper_bits(bits: u8) -> Vec<u8> {
    (1..=u8::MAX >> (8 - bits)).map(|level| level << (8 - bits)).collect()
}

/// One step of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layer {
    /// Cross-correlation with weights of 1, 2, 4 or 8 bits.
    Conv(Conv),
    /// Product with a matrix of weights of 1, 2, 4 or 8 bits.
    Linear(Linear),
    /// Maximum over square windows that do not overlap.
    MaxPool {
        /// Side of the window, and its step.
        size: usize,
    },
    /// Turns (channel, y, x) into one vector, in that order.
    Flatten,
}

/// A convolution: cross-correlation over square windows, padded with activation 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conv {
    /// Name, unique in the network.
    pub name: String,
    /// Side of the kernel.
    pub kernel: usize,
    /// Step of the kernel, the same both ways.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
    /// Weights as the matrix of im2col: row (in channel, ky, kx), column out channel.
    pub weights: Weights,
    /// Turns accumulations into activations.
    pub thresholds: Option<Thresholds>,
}

/// A fully connected layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linear {
    /// Name, unique in the network.
    pub name: String,
    /// Weights: row input, column output.
    pub weights: Weights,
    /// Turns accumulations into activations; the last layer has none.
    pub thresholds: Option<Thresholds>,
}

/// Thresholds T₁ ≤ T₂ ≤ … per channel: the activation is the number of them that y reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Thresholds per channel: 2^bits − 1, with the bits of an activation.
    pub levels: usize,
    /// (channel, level), ascending within a channel.
    pub values: Vec<i32>,
}

impl Thresholds {
    /// The thresholds of `a = clamp(y >> shift, 0, 2^bits − 1)` in every channel.
    ///
    /// # Panics
    /// If `bits` is not 1 to 4 or `shift` is over 24.
    pub fn shift(channels: usize, bits: u8, shift: u32) -> Self {
        assert!((1..=4).contains(&bits) && shift <= 24, "{bits} bits, shift {shift}");
        let levels = (1usize << bits) - 1;
        let channel: Vec<i32> = (1..=levels as i32).map(|level| level << shift).collect();
        Self { levels, values: channel.repeat(channels) }
    }

    /// The thresholds of one channel.
    pub fn channel(&self, channel: usize) -> &[i32] {
        &self.values[channel * self.levels..(channel + 1) * self.levels]
    }

    /// Bits that an activation takes.
    pub fn bits(&self) -> u8 {
        (self.levels + 1).ilog2() as u8
    }
}

/// The shape of activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// Number of activations.
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// A layer that multiplies by a matrix, seen without regard to its kind.
#[derive(Debug, Clone, Copy)]
pub struct MatrixLayer<'a> {
    /// Index among the layers of the network.
    pub layer: usize,
    /// Name of the layer.
    pub name: &'a str,
    /// The matrix: rows are inputs, columns outputs.
    pub weights: &'a Weights,
    /// Thresholds of its columns; none for the last.
    pub thresholds: Option<&'a Thresholds>,
    /// Bits of the activations it is given.
    pub input_bits: u8,
    /// Number of input vectors per image: the output positions of a convolution, or 1.
    pub positions: usize,
}

impl Network {
    /// A network of these layers.
    ///
    /// # Errors
    /// If the layers do not fit each other; see [`ShapeError`].
    pub fn new(input: Input, layers: Vec<Layer>) -> Result<Self, ShapeError> {
        let shapes = shapes(&input, &layers)?;
        Ok(Self { input, layers, shapes })
    }

    /// A network of one layer: weights (pixel, class) whose largest sum is the answer, over pixels
    /// reduced by `cuts` ([`Input::cuts`]).
    ///
    /// # Errors
    /// If there are no weights or cuts do not ascend.
    pub fn classifier(weights: Weights, cuts: &[u8]) -> Result<Self, ShapeError> {
        let input = Input { channels: 1, height: 1, width: weights.rows(), cuts: cuts.to_vec() };
        let linear = Linear { name: "classes".to_owned(), weights, thresholds: None };
        Self::new(input, vec![Layer::Flatten, Layer::Linear(linear)])
    }

    /// What it takes.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// Its layers in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The shape of the activations that reach layer `layer`; for `layers().len()`, that of the
    /// output.
    ///
    /// # Panics
    /// If `layer` is over the number of layers.
    pub fn shape_before(&self, layer: usize) -> Shape {
        self.shapes[layer]
    }

    /// Number of outputs (classes).
    pub fn classes(&self) -> usize {
        self.shapes[self.layers.len()].len()
    }

    /// The digest of its input and layers, by which mappings and reports name it.
    pub fn digest(&self) -> Digest {
        Digest::of_value(self)
    }

    /// The layers that multiply by a matrix, in order.
    /// Everything downstream numbers matrices by their position here.
    pub fn matrices(&self) -> Vec<MatrixLayer<'_>> {
        let mut input_bits = self.input.bits();
        let mut matrices = Vec::new();
        for (layer, step) in self.layers.iter().enumerate() {
            let (name, weights, thresholds, positions) = match step {
                Layer::Conv(conv) => {
                    let out = self.shapes[layer + 1];
                    (&conv.name, &conv.weights, &conv.thresholds, out.height * out.width)
                }
                Layer::Linear(linear) => (&linear.name, &linear.weights, &linear.thresholds, 1),
                Layer::MaxPool { .. } | Layer::Flatten => continue,
            };
            let thresholds = thresholds.as_ref();
            matrices.push(MatrixLayer { layer, name, weights, thresholds, input_bits, positions });
            input_bits = thresholds.map_or(input_bits, Thresholds::bits);
        }
        matrices
    }
}

/// What is wrong with a number that does not lie in its range.
fn range(what: &str, value: usize, min: usize, max: usize) -> Result<(), String> {
    match (min..=max).contains(&value) {
        true => Ok(()),
        false => Err(format!("{what} is {value}, it {}", must(min, max))),
    }
}

/// The largest side, channel count or window: keeps every product far from overflow.
const MAX_SIDE: usize = 1 << 14;
/// The most inputs of a matrix of weights ±1: the sum of as many 8-bit activations fits `i32`. Larger
/// weights leave room for fewer.
const MAX_INPUTS: usize = 1 << 22;
/// The most products of a weight and an activation for an image: some seconds of work.
const MAX_PRODUCTS: u128 = 1 << 32;
/// The most activations between two layers.
const MAX_ACTIVATIONS: usize = 1 << 26;

/// The shape before every layer and after the last, or what is wrong.
fn shapes(input: &Input, layers: &[Layer]) -> Result<Vec<Shape>, ShapeError> {
    let mut shapes = vec![check_input(input).map_err(ShapeError::whole)?];
    if !matches!(layers.last(), Some(Layer::Linear(_))) {
        return Err(ShapeError::whole("the network must end in a linear layer".to_owned()));
    }
    let mut names: Vec<&str> = Vec::new();
    let mut products = 0u128;
    for (index, layer) in layers.iter().enumerate() {
        let shape = shapes[index];
        let name = match layer {
            Layer::Conv(Conv { name, .. }) | Layer::Linear(Linear { name, .. }) => Some(name),
            Layer::MaxPool { .. } | Layer::Flatten => None,
        };
        let checked = name.map_or(Ok(()), |name| check_name(name, &mut names));
        let next = checked.and_then(|()| shape_after(layer, shape, index + 1 == layers.len()));
        shapes.push(next.map_err(|fault| {
            let name = name.map(|name| format!(" (`{name}`)")).unwrap_or_default();
            ShapeError { layer: Some(format!("{index}{name}")), fault }
        })?);
        if let Layer::Conv(Conv { weights, .. }) | Layer::Linear(Linear { weights, .. }) = layer {
            // Every output sums as many products as the matrix has rows.
            products += weights.rows() as u128 * shapes[index + 1].len() as u128;
        }
    }
    if products > MAX_PRODUCTS {
        return Err(ShapeError::whole(format!(
            "an image takes {products} products of weights and activations, at most {MAX_PRODUCTS} may be"
        )));
    }
    Ok(shapes)
}

/// The shape of the input, or what is wrong with it.
fn check_input(input: &Input) -> Result<Shape, String> {
    let &Input { channels, height, width, ref cuts } = input;
    range("input channels", channels, 1, MAX_SIDE)?;
    range("input height", height, 1, MAX_SIDE)?;
    range("input width", width, 1, MAX_SIDE)?;
    range("number of input cuts", cuts.len(), 1, 255)?;
    range("input cut 1", cuts[0].into(), 1, 255)?;
    if !cuts.is_sorted_by(|a, b| a < b) {
        return Err(format!(
            "input cuts are {cuts:?}, they must ascend, each above the one before"
        ));
    }
    let shape = Shape { channels, height, width };
    range("size of the input", shape.len(), 1, MAX_ACTIVATIONS)?;
    Ok(shape)
}

fn check_name<'a>(name: &'a str, names: &mut Vec<&'a str>) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err("its name must be made of a-z, A-Z, 0-9, `_` and `-`".to_owned());
    }
    if names.contains(&name) {
        return Err("its name is taken by an earlier layer".to_owned());
    }
    names.push(name);
    Ok(())
}

/// The shape after a layer, or why the layer does not fit.
fn shape_after(layer: &Layer, shape: Shape, is_last: bool) -> Result<Shape, String> {
    let misfit = |window: usize, stride: usize| {
        format!(
            "a {window}x{window} window with stride {stride} does not fit activations of {shape}"
        )
    };
    let after = match layer {
        Layer::Conv(conv) => {
            range("kernel", conv.kernel, 1, MAX_SIDE)?;
            range("stride", conv.stride, 1, MAX_SIDE)?;
            range("padding", conv.padding, 0, conv.kernel - 1)?;
            let side = |n: usize| (n + 2 * conv.padding).checked_sub(conv.kernel);
            let (Some(height), Some(width)) = (side(shape.height), side(shape.width)) else {
                return Err(misfit(conv.kernel, conv.stride));
            };
            check_matrix(&conv.weights, shape.channels * conv.kernel * conv.kernel, shape)?;
            check_thresholds(&conv.weights, conv.thresholds.as_ref(), is_last)?;
            Shape {
                channels: conv.weights.columns(),
                height: height / conv.stride + 1,
                width: width / conv.stride + 1,
            }
        }
        Layer::Linear(linear) => {
            if shape.height != 1 || shape.width != 1 {
                return Err(format!(
                    "a linear layer cannot take activations of {shape}: put a flatten layer before it"
                ));
            }
            check_matrix(&linear.weights, shape.channels, shape)?;
            check_thresholds(&linear.weights, linear.thresholds.as_ref(), is_last)?;
            Shape { channels: linear.weights.columns(), height: 1, width: 1 }
        }
        &Layer::MaxPool { size } => {
            range("pool size", size, 1, MAX_SIDE)?;
            if !shape.height.is_multiple_of(size) || !shape.width.is_multiple_of(size) {
                return Err(misfit(size, size));
            }
            Shape { height: shape.height / size, width: shape.width / size, ..shape }
        }
        Layer::Flatten => Shape { channels: shape.len(), height: 1, width: 1 },
    };
    range("size of the output", after.len(), 1, MAX_ACTIVATIONS)?;
    Ok(after)
}

fn check_matrix(weights: &Weights, inputs: usize, shape: Shape) -> Result<(), String> {
    range("number of inputs", inputs, 1, MAX_INPUTS / weights.largest() as usize)?;
    let rows = weights.rows();
    if rows != inputs {
        return Err(format!("{rows} weight rows for {inputs} inputs (activations of {shape})"));
    }
    range("number of outputs", weights.columns(), 1, MAX_SIDE)
}

fn check_thresholds(
    weights: &Weights,
    thresholds: Option<&Thresholds>,
    is_last: bool,
) -> Result<(), String> {
    let thresholds = match (thresholds, is_last) {
        (None, true) => return Ok(()),
        (None, false) => return Err("thresholds are missing, only the last layer has none".into()),
        (Some(_), true) => return Err("the last layer must have no thresholds".into()),
        (Some(thresholds), false) => thresholds,
    };
    let (columns, values) = (weights.columns(), thresholds.values.len());
    if ![1, 3, 7, 15].contains(&thresholds.levels) || values != columns * thresholds.levels {
        return Err(format!(
            "{columns} channels have {values} thresholds, not {columns} times 1, 3, 7 or 15"
        ));
    }
    let mut channels = (0..columns).map(|channel| (channel, thresholds.channel(channel)));
    match channels.find(|(_, values)| !values.is_sorted()) {
        None => Ok(()),
        Some((channel, values)) => {
            Err(format!("thresholds {values:?} of channel {channel} do not ascend"))
        }
    }
}

/// What travels of a [`Network`]: shapes are derived again when it is read.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Network")]
struct Parts {
    input: Input,
    layers: Vec<Layer>,
}

impl TryFrom<Parts> for Network {
    type Error = ShapeError;

    fn try_from(parts: Parts) -> Result<Self, ShapeError> {
        Self::new(parts.input, parts.layers)
    }
}

impl From<Network> for Parts {
    fn from(network: Network) -> Self {
        Self { input: network.input, layers: network.layers }
    }
}
