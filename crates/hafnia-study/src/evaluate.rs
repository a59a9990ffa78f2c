//! Runs a network as it is: how good it is, and beside another one, on the same images.

use std::path::PathBuf;

use hafnia_artifact::load;
use hafnia_data::{Dataset, View};
use hafnia_model::{Network, ReferenceProduct, run};
use hafnia_sim::{ImageSource as _, rank};
use hafnia_stats::{Interval, paired_difference, wilson};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::{DataSource, Part, Shown, labelled};
use crate::request::{Request, Step};
use crate::session::Session;
use crate::source::NetworkSource;

/// What is to be evaluated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluateRequest {
    /// The network.
    #[serde(flatten)]
    pub network: NetworkSource,
    /// File of a second network, run on the same images.
    pub against: Option<PathBuf>,
    /// The part of the data set.
    pub part: Part,
    /// How many of its first images; all without it.
    pub images: Option<usize>,
    /// Where images come from.
    #[serde(flatten)]
    pub data: DataSource,
}

/// How good a network is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluateOutcome {
    /// The part of the data set.
    pub part: Part,
    /// Its images.
    pub images: usize,
    /// Images that are right, the first of equal outputs being the class.
    pub correct: usize,
    /// Share of images that are right, with its 95 % interval (Wilson).
    pub accuracy: Interval,
    /// The same where outputs that tie for the maximum count as wrong.
    pub correct_ties_wrong: usize,
    /// Their share.
    pub accuracy_ties_wrong: Interval,
    /// Share of images whose class is among the five largest outputs, with its 95 % interval (Wilson),
    /// where there are more classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_five: Option<Interval>,
    /// Whether images have labels; if not, what the network answers itself is right.
    pub labelled: bool,
    /// Mean over images and outputs of the squared difference between an output and its target, where
    /// there are targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_squared_error: Option<f64>,
    /// The second network, if there is one.
    pub against: Option<EvaluatedAgainst>,
}

/// A second network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluatedAgainst {
    /// Its accuracy.
    pub accuracy: Interval,
    /// As for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_five: Option<Interval>,
    /// As for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_squared_error: Option<f64>,
    /// Accuracy of the second network minus that of the first, in points, paired over the images.
    pub ahead_points: Interval,
}

impl Request for EvaluateRequest {
    const COMMAND: &'static str = "model evaluate";

    type Outcome = EvaluateOutcome;

    fn run(&self, session: &Session<'_>) -> anyhow::Result<EvaluateOutcome> {
        let named = self.network.load()?;
        let second: Option<Network> = self.against.as_ref().map(load).transpose()?;
        let set = session.dataset(&self.data)?;
        let data = self.part.first(&set, self.images, usize::MAX)?;
        let is_labelled = data.has_labels();
        let data = labelled(&named.network, data)?;
        let outcomes = Judged::of(&named.network, &data)?;
        let Judged { first: right, ties_wrong, .. } = &outcomes;
        let accuracy = outcomes.accuracy();
        let against = match second {
            None => None,
            Some(second) => {
                let second = Judged::of(&second, &data)?;
                Some(EvaluatedAgainst {
                    accuracy: second.accuracy().first,
                    top_five: second.top_five(),
                    mean_squared_error: second.squared_error,
                    ahead_points: paired_difference(&second.first, right)?,
                })
            }
        };
        Ok(EvaluateOutcome {
            part: self.part,
            images: right.len(),
            correct: count(right),
            accuracy: accuracy.first,
            correct_ties_wrong: count(ties_wrong),
            accuracy_ties_wrong: accuracy.ties_wrong,
            top_five: outcomes.top_five(),
            labelled: is_labelled,
            mean_squared_error: outcomes.squared_error,
            against,
        })
    }
}

impl Step for EvaluateRequest {
    fn inputs(&self) -> Vec<PathBuf> {
        self.network.file().into_iter().chain(self.against.clone()).collect()
    }
}

fn count(right: &[bool]) -> usize {
    right.iter().filter(|&&right| right).count()
}

/// The raw outputs of the network for the first images of a data set, at least one.
///
/// # Errors
/// If the network cannot be shown such images.
pub fn logits(network: &Network, data: &Dataset, count: usize) -> anyhow::Result<Vec<Vec<i32>>> {
    let mut all = Vec::new();
    for_each(network, data.view().first(count), |_, outputs| all.push(outputs))?;
    Ok(all)
}

/// Images that are run before any of their outputs is looked at.
const AT_ONCE: usize = 4096;

/// Calls `look` with the index and the raw outputs of every image, in order.
fn for_each(
    network: &Network,
    data: View<'_>,
    mut look: impl FnMut(usize, Vec<i32>),
) -> anyhow::Result<()> {
    let shown = Shown::new(network, data)?;
    for first in (0..shown.len()).step_by(AT_ONCE) {
        let start = || (ReferenceProduct::new(network), Vec::new());
        let images = first..shown.len().min(first + AT_ONCE);
        let outputs: Vec<Vec<i32>> = images
            .into_par_iter()
            .map_init(start, |(plain, buffer), image| {
                run(network, shown.image(image, buffer), plain)
            })
            .collect();
        (first..).zip(outputs).for_each(|(image, outputs)| look(image, outputs));
    }
    Ok(())
}

/// Whether a network is right, image by image, by two rules for outputs that tie for the largest.
pub(crate) struct Judged {
    /// The first of equals is the class.
    first: Vec<bool>,
    /// A tie is wrong.
    ties_wrong: Vec<bool>,
    ties: usize,
    classes: usize,
    /// Images whose class is among the five largest outputs.
    in_five: usize,
    /// The mean squared difference of outputs from their targets, if there are any.
    squared_error: Option<f64>,
}

/// A share of images that are right, by both rules for ties.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// With the first of equals as the class; 95 % interval (Wilson).
    pub first: Interval,
    /// With a tie counted as wrong.
    pub ties_wrong: Interval,
}

/// What became of a network that was changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Which images.
    pub part: String,
    /// How many.
    pub images: usize,
    /// Accuracy of the network as it was.
    pub accuracy_before: Accuracy,
    /// Accuracy as it is.
    pub accuracy_after: Accuracy,
    /// Accuracy after minus before, in points, paired over the images.
    pub gain_points: Accuracy,
    /// Share of images whose largest outputs tie, before.
    pub ties_before: f64,
    /// The same, after.
    pub ties_after: f64,
}

impl Judged {
    pub(crate) fn of(network: &Network, data: &View<'_>) -> anyhow::Result<Self> {
        let (classes, scores) = (network.classes(), network.scores());
        let (first, ties_wrong) = (Vec::new(), Vec::new());
        let mut outcomes =
            Self { first, ties_wrong, ties: 0, classes, in_five: 0, squared_error: None };
        let mut squares = 0.0;
        for_each(network, data.clone(), |image, outputs| {
            for (score, &target) in scores.each(&outputs).zip(data.targets(image).unwrap_or(&[])) {
                let difference = score - f64::from(target);
                squares += difference * difference;
            }
            let class = scores.class(&outputs);
            let label = data.label(image).map_or(class, |label| label as usize);
            outcomes.first.push(class == label);
            outcomes.ties_wrong.push(scores.is_strictly_largest(&outputs, label));
            outcomes.in_five += usize::from(rank(scores.each(&outputs), label) < 5);
            outcomes.ties += usize::from(!scores.is_strictly_largest(&outputs, class));
        })?;
        let values = data.len() * classes;
        outcomes.squared_error = data.has_targets().then(|| squares / values as f64);
        Ok(outcomes)
    }

    /// The share of images whose class is among the five largest outputs, where there are more.
    fn top_five(&self) -> Option<Interval> {
        (self.classes > 5).then(|| wilson(self.in_five, self.first.len()))
    }

    fn accuracy(&self) -> Accuracy {
        let share = |right: &[bool]| wilson(count(right), right.len());
        Accuracy { first: share(&self.first), ties_wrong: share(&self.ties_wrong) }
    }

    /// What became of these outcomes.
    pub(crate) fn then(&self, part: &str, after: &Self) -> anyhow::Result<Compared> {
        let images = self.first.len();
        let share = |ties: usize| ties as f64 / images as f64;
        Ok(Compared {
            part: part.to_owned(),
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
