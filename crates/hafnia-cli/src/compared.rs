//! A network before and after it was changed, on the same images.

use hafnia_data::Dataset;
use hafnia_model::Network;
use hafnia_model::arithmetic::{argmax, is_strictly_largest};
use hafnia_stats::{Interval, paired_difference, wilson};
use serde::Serialize;

use crate::model::logits;

/// Whether a network is right, an image each, by two rules for outputs that tie for the largest.
pub(crate) struct Outcomes {
    /// The first of equals is the class.
    pub(crate) first: Vec<bool>,
    /// A tie is wrong.
    pub(crate) ties_wrong: Vec<bool>,
    ties: usize,
}

/// A share of images that are right, by both rules for ties.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Accuracy {
    /// With the first of equals as the class; 95 % interval (Wilson).
    pub(crate) first: Interval,
    /// With a tie counted as wrong.
    pub(crate) ties_wrong: Interval,
}

/// What became of a network.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Compared {
    /// Which images.
    pub(crate) part: &'static str,
    pub(crate) images: usize,
    pub(crate) accuracy_before: Accuracy,
    pub(crate) accuracy_after: Accuracy,
    /// Accuracy after minus before, in points, paired over the images.
    pub(crate) gain_points: Accuracy,
    /// Share of images whose largest outputs tie, before and after.
    pub(crate) ties_before: f64,
    pub(crate) ties_after: f64,
}

impl Outcomes {
    pub(crate) fn of(network: &Network, data: &Dataset) -> anyhow::Result<Self> {
        let mut outcomes = Self { first: Vec::new(), ties_wrong: Vec::new(), ties: 0 };
        for (outputs, &label) in logits(network, data, data.len())?.iter().zip(&data.labels) {
            let (class, label) = (argmax(outputs), usize::from(label));
            outcomes.first.push(class == label);
            outcomes.ties_wrong.push(is_strictly_largest(outputs, label));
            outcomes.ties += usize::from(!is_strictly_largest(outputs, class));
        }
        Ok(outcomes)
    }

    pub(crate) fn accuracy(&self) -> Accuracy {
        let share =
            |right: &[bool]| wilson(right.iter().filter(|&&right| right).count(), right.len());
        Accuracy { first: share(&self.first), ties_wrong: share(&self.ties_wrong) }
    }

    /// What became of these outcomes.
    pub(crate) fn then(&self, part: &'static str, after: &Self) -> anyhow::Result<Compared> {
        let images = self.first.len();
        let share = |ties: usize| ties as f64 / images as f64;
        Ok(Compared {
            part,
            images,
            accuracy_before: self.accuracy(),
            accuracy_after: after.accuracy(),
            gain_points: Accuracy {
                first: paired_difference(&after.first, &self.first)?,
                ties_wrong: paired_difference(&after.ties_wrong, &self.ties_wrong)?,
            },
            ties_before: share(self.ties),
            ties_after: share(after.ties),
        })
    }
}

/// `97.12 (96.62 to 97.55)` of an interval, its numbers multiplied by `scale`.
pub(crate) fn ranged(interval: &Interval, scale: f64) -> String {
    let Interval { value, lo, hi } = *interval;
    format!("{:.2} ({:.2} to {:.2})", scale * value, scale * lo, scale * hi)
}
