//! [`Imported`]: a network, and what it has to do with the file that it came from.

use hafnia_model::Network;
use serde::{Deserialize, Serialize};

/// What the outputs of a graph are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outputs {
    /// scale · n + bias of the integers n of the network.
    Scores,
    /// What softmax makes of them: their order is that of the integers.
    Probabilities,
    /// The logarithms of what softmax makes of them.
    #[serde(rename = "logarithms of probabilities")]
    LogProbabilities,
    /// What tells their order, but for ties.
    Ranks,
    /// The number of the largest.
    Class,
}

/// What a product takes.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    /// How messages name its node.
    pub(crate) node: String,
    /// The tensor in the graph.
    pub(crate) tensor: String,
    /// The value in the network.
    pub(crate) value: usize,
    /// By element of the tensor, its place in the value, (channel, y, x).
    pub(crate) places: Vec<usize>,
    /// By channel, what a step of the value is worth, and what is added.
    pub(crate) reals: Vec<(f64, f64)>,
}

/// A network that was imported.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The network; it compares outputs as the graph does.
    pub network: Network,
    /// What the outputs of the graph are.
    pub outputs: Outputs,
    /// By output of the graph, which output of the network it is.
    pub order: Vec<usize>,
    /// By output of the network, what a step of it is worth in the graph, …
    pub scales: Vec<f64>,
    /// … and what is added.
    pub biases: Vec<f64>,
    /// By output of the network, how far the roundings of `f32` may lead an executor from the integer,
    /// in steps.
    pub roundings: Vec<f64>,
    /// By layer and channel, the sums that lie so near to a threshold that these roundings may lead an
    /// executor to its other side, in ascending order, and the step to that side.
    pub doubts: Vec<Vec<Vec<(i32, i32)>>>,
    /// Whether images of the graph are (y, x, channel), where a network's are (channel, y, x).
    pub channels_last: bool,
    /// Sides of an image as the graph takes it.
    pub sides: Vec<usize>,
    /// What products take, if weights were rounded.
    pub(crate) taken: Vec<Taken>,
    /// Thresholds that were found by value.
    pub thresholds: usize,
    /// Things to know, in words.
    pub notes: Vec<String>,
}
