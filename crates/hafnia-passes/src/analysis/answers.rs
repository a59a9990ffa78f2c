//! [`Answers`]: what a network answers, as its last matrix sees it.

use std::borrow::Cow;

use hafnia_model::arithmetic::accumulate;
use hafnia_model::{Network, Scores, Weights};

/// The last matrix of a network, whose products are its outputs, and how these compare.
#[derive(Debug, Clone)]
pub struct Answers<'a> {
    weights: &'a Weights,
    /// The activation that level 0 stands for.
    lowest: i32,
    scores: Cow<'a, Scores>,
}

impl<'a> Answers<'a> {
    /// Of a matrix of a network, by its number, if its products are the outputs.
    pub fn of(network: &'a Network, matrix: usize) -> Option<Self> {
        let of = network.matrices()[matrix];
        let is_last = of.layer + 1 == network.layers().len() && of.positions == 1;
        let is_whole = of.weights.columns() == network.classes();
        let (weights, lowest, scores) = (of.weights, of.lowest, Cow::Borrowed(network.scores()));
        (is_last && is_whole).then_some(Self { weights, lowest, scores })
    }

    /// Of weights whose products with levels are compared as they are.
    pub fn plain(weights: &'a Weights) -> Self {
        Self { weights, lowest: 0, scores: Cow::Owned(Scores::default()) }
    }

    /// The network's outputs, given the levels that reach the matrix.
    pub fn outputs(&self, levels: &[u8]) -> Vec<i32> {
        let mut sums = accumulate(self.weights, levels);
        if self.lowest != 0 {
            let of_column = |column| (0..self.weights.rows()).map(move |row| (row, column));
            for (column, sum) in sums.iter_mut().enumerate() {
                let weights =
                    of_column(column).map(|(row, column)| self.weights.value(row, column));
                *sum += self.lowest * weights.sum::<i32>();
            }
        }
        sums
    }

    /// How outputs compare.
    pub fn scores(&self) -> &Scores {
        &self.scores
    }

    /// What a step of an output counts in its score.
    pub fn scale(&self, output: usize) -> f64 {
        self.scores.scales.get(output).copied().unwrap_or(1.0)
    }
}
