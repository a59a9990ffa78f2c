//! [`Network`]: a graph of layers over integers, checked once when it is made.

use std::ops::Range;

use hafnia_artifact::{Artifact, Digest};
use serde::{Deserialize, Serialize};

use crate::check::{Checked, check};
use crate::error::ShapeError;
use crate::input::{Input, Shape};
use crate::layer::{Layer, Linear, Thresholds};
use crate::scores::Scores;
use crate::weights::Weights;
use crate::wire::Records;

/// A trained network of integers. Always well formed: making one checks, and so does reading.
///
/// Its layers stand in an order in which they can be computed. Value 0 is its input, value i + 1 what
/// layer i gives; a layer takes earlier values. In most networks each takes that of the layer before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Records", into = "Records")]
pub struct Network {
    input: Input,
    layers: Vec<Layer>,
    /// By layer, the values that it takes.
    from: Vec<Vec<usize>>,
    scores: Scores,
    checked: Checked,
}

impl Artifact for Network {
    const KIND: &'static str = "network";
    const SCHEMA: u32 = 3;
    const REMAKE: &'static str = "hafnia train";
}

/// A matrix of the network: that of a linear layer, or of a group of a convolution.
#[derive(Debug, Clone, Copy)]
pub struct MatrixLayer<'a> {
    /// Index among the layers of the network.
    pub layer: usize,
    /// Name of the layer; `name/2` for group 2 of a layer with several.
    pub name: &'a str,
    /// The matrix: rows are inputs, columns outputs.
    pub weights: &'a Weights,
    /// Thresholds of the channels of the whole layer; none where it gives sums.
    pub thresholds: Option<&'a Thresholds>,
    /// Which of the groups of its layer it is; 0 where there is one.
    pub group: usize,
    /// The largest level that it is given.
    pub largest: u8,
    /// Bits of these levels.
    pub input_bits: u8,
    /// The activation that level 0 stands for, at most 0.
    pub lowest: i32,
    /// Number of input vectors per image: the output positions of a convolution, or 1.
    pub positions: usize,
}

impl MatrixLayer<'_> {
    /// Channels of the layer that are its columns.
    pub fn outputs(&self) -> Range<usize> {
        let columns = self.weights.columns();
        self.group * columns..(self.group + 1) * columns
    }

    /// The thresholds of a column.
    pub fn thresholds_of(&self, column: usize) -> Option<&[i32]> {
        self.thresholds.map(|thresholds| thresholds.channel(self.outputs().start + column))
    }
}

impl Network {
    /// A network of these layers, each of which takes what the one before gives.
    ///
    /// # Errors
    /// If the layers do not fit each other; see [`ShapeError`].
    pub fn new(input: Input, layers: Vec<Layer>) -> Result<Self, ShapeError> {
        let steps = layers.into_iter().enumerate().map(|(index, layer)| (layer, vec![index]));
        Self::graph(input, steps.collect())
    }

    /// A network of layers that take these values, the last of which gives its outputs.
    ///
    /// # Errors
    /// If the layers do not fit each other, or a value but the last is taken by none; see
    /// [`ShapeError`].
    pub fn graph(input: Input, steps: Vec<(Layer, Vec<usize>)>) -> Result<Self, ShapeError> {
        let (layers, from): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        let checked = check(&input, &layers, &from)?;
        Ok(Self { input, layers, from, scores: Scores::default(), checked })
    }

    /// The same network with other scores of its outputs.
    ///
    /// # Errors
    /// If there is not a scale and a bias for every output, or one is no finite number.
    pub fn with_scores(self, scores: Scores) -> Result<Self, ShapeError> {
        scores.check(self.classes())?;
        Ok(Self { scores, ..self })
    }

    /// A network of one layer: weights (pixel, class) whose largest sum is the answer, over pixels
    /// reduced by `cuts` ([`Input::cuts`]).
    ///
    /// # Errors
    /// If there are no weights or cuts do not ascend.
    pub fn classifier(weights: Weights, cuts: &[u8]) -> Result<Self, ShapeError> {
        let input = Input::new(1, 1, weights.rows(), cuts);
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

    /// The values that a layer takes.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn from(&self, layer: usize) -> &[usize] {
        &self.from[layer]
    }

    /// How its outputs are compared.
    pub fn scores(&self) -> &Scores {
        &self.scores
    }

    /// The shape of a value.
    ///
    /// # Panics
    /// If there is no such value.
    pub fn shape_of(&self, value: usize) -> Shape {
        self.checked.shapes[value]
    }

    /// The shape of the first value that layer `layer` takes.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn shape_before(&self, layer: usize) -> Shape {
        self.shape_of(self.from[layer][0])
    }

    /// The shape of what layer `layer` gives.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn shape_after(&self, layer: usize) -> Shape {
        self.shape_of(layer + 1)
    }

    /// The least and the largest integer that a value may hold, by the ranges of what it is made of.
    ///
    /// # Panics
    /// If there is no such value.
    pub fn range_of(&self, value: usize) -> (i32, i32) {
        self.checked.ranges[value]
    }

    /// The integer that level 0 of a value stands for: its least, or 0 if that is less.
    ///
    /// # Panics
    /// If there is no such value.
    pub fn lowest_of(&self, value: usize) -> i32 {
        self.range_of(value).0.min(0)
    }

    /// Number of outputs (classes).
    pub fn classes(&self) -> usize {
        self.shape_of(self.layers.len()).len()
    }

    /// Whether every layer takes what the one before gives, and nothing else.
    pub fn is_chain(&self) -> bool {
        self.from.iter().enumerate().all(|(layer, from)| *from == [layer])
    }

    /// Whether it is of the plainest kind: a chain of linear layers and of square convolutions in one
    /// group, with thresholds after all but the last, of square max pools that neither overlap nor
    /// leave a rest, and of activations from 0 on.
    pub fn is_plain(&self) -> bool {
        let last = self.layers.len() - 1;
        let is_plain = |(index, layer): (usize, &Layer)| {
            let is_product = match layer {
                Layer::Conv(conv) => conv.groups == 1 && conv.window.as_square().is_some(),
                Layer::Linear(_) => true,
                Layer::Flatten => return true,
                Layer::MaxPool(window) => {
                    let (shape, size) = (self.shape_before(index), window.kernel.0);
                    return window.as_square() == Some((size, size, 0))
                        && shape.height.is_multiple_of(size)
                        && shape.width.is_multiple_of(size);
                }
                _ => false,
            };
            let is_of_levels = layer.thresholds().is_some();
            is_product && self.lowest_of(index) == 0 && is_of_levels == (index < last)
        };
        self.is_chain() && self.layers.iter().enumerate().all(is_plain)
    }

    /// The last layer up to `layer` from which on the network needs nothing but one value of at most
    /// 256 levels, that of the layer before.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn cut_before(&self, layer: usize) -> usize {
        let is_cut = |&cut: &usize| {
            let reads = self.from[cut..].iter().flatten();
            reads.min() >= Some(&cut) && self.is_of_levels(cut)
        };
        (0..=layer).rev().find(is_cut).expect("the input is one")
    }

    /// The last layer that takes a value; none takes the outputs.
    pub(crate) fn last_taker(&self, value: usize) -> Option<usize> {
        self.checked.last_takers[value]
    }

    /// Whether a value has at most 256 levels, so that a product can take it.
    pub(crate) fn is_of_levels(&self, value: usize) -> bool {
        self.range_of(value).1.max(0) - self.lowest_of(value) <= i32::from(u8::MAX)
    }

    /// The digest of its input and layers, by which mappings and reports name it.
    pub fn digest(&self) -> Digest {
        Digest::of_value(self)
    }

    /// The matrices of its layers, in order, group by group.
    /// Everything downstream numbers matrices by their position here.
    pub fn matrices(&self) -> Vec<MatrixLayer<'_>> {
        let mut matrices = Vec::new();
        for (layer, step) in self.layers.iter().enumerate() {
            let (name, weights, thresholds, groups) = match step {
                Layer::Conv(conv) => (&conv.name, &conv.weights, &conv.thresholds, conv.groups),
                Layer::Linear(linear) => (&linear.name, &linear.weights, &linear.thresholds, 1),
                _ => continue,
            };
            let (value, out) = (self.from[layer][0], self.shape_after(layer));
            let lowest = self.lowest_of(value);
            // Padding is 0, whatever the range.
            let levels = (self.range_of(value).1.max(0) - lowest).max(1);
            for group in 0..groups {
                let (name, weights) = match self.checked.groups[layer].get(group) {
                    Some((name, weights)) => (name, weights),
                    None => (name, weights),
                };
                matrices.push(MatrixLayer {
                    layer,
                    name,
                    weights,
                    thresholds: thresholds.as_ref(),
                    group,
                    largest: levels as u8,
                    input_bits: (levels.ilog2() + 1) as u8,
                    lowest,
                    positions: out.height * out.width,
                });
            }
        }
        matrices
    }

    /// Per column of a layer that multiplies, what level 0 of its inputs adds to the sum: the lowest
    /// activation times the weights of the column, added up. Empty where that is 0.
    pub(crate) fn constants(&self, layer: usize) -> &[i32] {
        &self.checked.constants[layer]
    }
}

impl From<Network> for Records {
    fn from(network: Network) -> Self {
        let Network { input, layers, from, scores, .. } = network;
        Self::new(input, layers.into_iter().zip(from).collect(), scores)
    }
}

impl TryFrom<Records> for Network {
    type Error = ShapeError;

    fn try_from(records: Records) -> Result<Self, ShapeError> {
        let (input, steps, scores) = records.read()?;
        Self::graph(input, steps)?.with_scores(scores)
    }
}
