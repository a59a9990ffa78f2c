//! [`Evaluation`]: what a mapped network did over a data set, on many virtual chips.

use std::fmt;
use std::str::FromStr;

use hafnia_stats::{Interval, Outcomes, accuracy_over_images, mean_accuracy, student_mean, wilson};
use hafnia_text::must;
use serde::{Deserialize, Serialize};

use crate::error::SimError;
use crate::mapped::Events;

/// The name of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// [`Exact`](crate::Exact): no noise, only what the ADC clips.
    Exact,
    /// [`Table`](crate::Table): codes sampled from the code table of the spec.
    Table,
    /// [`Device`](crate::Device): programmed chips.
    Device,
    /// An engine of a user's own, which has no name.
    Own,
}

impl EngineKind {
    /// Those that are built in.
    pub const ALL: [Self; 3] = [Self::Exact, Self::Table, Self::Device];

    fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Table => "table",
            Self::Device => "device",
            Self::Own => "own",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = SimError;

    fn from_str(name: &str) -> Result<Self, SimError> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| SimError::Engine { name: name.to_owned() })
    }
}

/// Events of a matrix that no run reaches, and of which a million can be added.
const MOST_EVENTS: u64 = 1 << 44;

/// What a mapped network does over a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// The engine it was run on.
    pub engine: EngineKind,
    /// Per image, whether the noiseless network is right.
    pub exact_correct: Vec<bool>,
    /// Per chip (of [`EngineKind::Table`]: per repetition), the images, ascending, on which it is
    /// wrong where the noiseless network is right, or right where that is wrong.
    pub differences: Vec<Vec<u32>>,
    /// Per matrix of the network, what happened on the macros over all chips and images; nothing
    /// for matrices outside the scope.
    pub events: Vec<Events>,
    /// How near the outputs come to what they should be.
    pub nearness: Nearness,
    /// Whether the ADC clips partial sums, so that even without noise there can be differences.
    pub is_lossy: bool,
    /// Whether anything that is drawn tells chips, or repetitions, apart; if not, all of them are one.
    pub chips_differ: bool,
}

/// How near outputs come to what they should be, where they need not be right. An output counts as its
/// score ([`Scores`](hafnia_model::Scores)).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nearness {
    /// Images whose class is among the five largest outputs ([`rank`]) of the noiseless network.
    pub exact_in_five: u32,
    /// Per chip, the images whose class is among the five largest outputs.
    pub in_five: Vec<u32>,
    /// The mean over images and outputs of the squared difference between an output of the noiseless
    /// network and its target; 0 without targets.
    pub exact_squared_error: f64,
    /// Per chip, the mean over images and outputs of the squared difference between an output and its
    /// target or, without targets, what it is without noise.
    pub squared_error: Vec<f64>,
}

/// How many outputs come before that of a class: those that are larger, and equal ones of the classes
/// before it. That of rank 0 is the answer.
///
/// # Panics
/// If there is no output of that class.
pub fn rank<T: PartialOrd>(outputs: impl Iterator<Item = T> + Clone, class: usize) -> usize {
    let own = outputs.clone().nth(class).expect("an output of that class");
    let is_before = |(other, output): &(usize, T)| match *other < class {
        true => *output >= own,
        false => *output > own,
    };
    outputs.enumerate().filter(is_before).count()
}

/// How many of the largest outputs are looked at beside the largest one.
pub(crate) const FIVE: usize = 5;

impl Evaluation {
    /// Checks an evaluation that was read, not computed: whether its differences are of images that
    /// there are, each named once, and its events can be added up.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn validate(&self) -> Result<(), String> {
        let images = self.images();
        if images == 0 || u32::try_from(images).is_err() {
            return Err(format!("it is of {images} images, it {}", must(1, u32::MAX - 1)));
        }
        if self.differences.is_empty() {
            return Err("it is of no chip".to_owned());
        }
        for (chip, differences) in self.differences.iter().enumerate() {
            let ascends = differences.is_sorted_by(|a, b| a < b);
            if !ascends || differences.last().is_some_and(|&last| last as usize >= images) {
                return Err(format!(
                    "the images on which chip {chip} differs must ascend below {images}"
                ));
            }
        }
        let chips = self.differences.len();
        let Nearness { exact_in_five, in_five, exact_squared_error, squared_error } =
            &self.nearness;
        if (in_five.len(), squared_error.len()) != (chips, chips) {
            let (five, errors) = (in_five.len(), squared_error.len());
            return Err(format!("of {chips} chips it has {five} counts and {errors} errors"));
        }
        if in_five.iter().chain([exact_in_five]).any(|&count| count as usize > images) {
            return Err(format!("a count of images is above {images}"));
        }
        let mut errors = squared_error.iter().chain([exact_squared_error]);
        if !errors.all(|&error| error.is_finite() && error >= 0.0) {
            return Err("a squared error is below 0 or not finite".to_owned());
        }
        let most = |events: &Events| events.groups.max(events.conversions).max(events.rows_on);
        match self.events.iter().position(|events| most(events) > MOST_EVENTS) {
            Some(matrix) => Err(format!("matrix {matrix} has more than {MOST_EVENTS} events")),
            None => Ok(()),
        }
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.exact_correct.len()
    }

    /// Number of chips, or of repetitions: one if nothing tells them apart, however often it was run.
    pub fn chips(&self) -> usize {
        self.outcomes().chips()
    }

    /// How often an image was run, over all chips.
    pub fn runs(&self) -> usize {
        self.images() * self.differences.len()
    }

    /// How many images the noiseless network gets right.
    pub fn exact_correct_count(&self) -> usize {
        self.exact_correct.iter().filter(|&&correct| correct).count()
    }

    /// Share of images that the noiseless network gets right.
    pub fn exact_accuracy(&self) -> f64 {
        self.exact_correct_count() as f64 / self.images() as f64
    }

    /// What statistics are made of: which images come out otherwise on which chips.
    pub fn outcomes(&self) -> Outcomes<'_> {
        let chips = if self.chips_differ { self.differences.len() } else { 1 };
        let differences = &self.differences[..chips.min(self.differences.len())];
        Outcomes { exact_correct: &self.exact_correct, differences }
    }

    /// Per chip, exact accuracy − accuracy of the chip.
    pub fn drops(&self) -> Vec<f64> {
        self.outcomes().drops()
    }

    /// Per chip, the share of images it gets right.
    pub fn accuracies(&self) -> Vec<f64> {
        let exact = self.exact_accuracy();
        self.drops().iter().map(|drop| exact - drop).collect()
    }

    /// The mean accuracy with its interval over chips ([`mean_accuracy`]).
    pub fn accuracy(&self) -> Interval {
        mean_accuracy(&self.accuracies(), self.images())
    }

    /// The mean accuracy with its interval over chips and images ([`accuracy_over_images`]).
    pub fn accuracy_over_images(&self) -> Interval {
        let over_chips = self.accuracy();
        let over_chips = match self.chips_differ {
            true => over_chips,
            false => Interval::exact(over_chips.value),
        };
        accuracy_over_images(over_chips, self.images())
    }

    /// The share of images whose class is among the five largest outputs of the noiseless network
    /// ([`wilson`]).
    pub fn exact_top_five(&self) -> Interval {
        wilson(self.nearness.exact_in_five as usize, self.images())
    }

    /// The mean share of images whose class is among the five largest outputs, with its interval over
    /// chips ([`mean_accuracy`]).
    pub fn top_five(&self) -> Interval {
        let share = |&count: &u32| f64::from(count) / self.images() as f64;
        let shares: Vec<f64> = self.nearness.in_five[..self.chips()].iter().map(share).collect();
        mean_accuracy(&shares, self.images())
    }

    /// The mean over chips of [`Nearness::squared_error`], with its interval over chips
    /// ([`student_mean`]).
    pub fn mean_squared_error(&self) -> Interval {
        student_mean(&self.nearness.squared_error[..self.chips()])
    }

    /// Adds the chips of another evaluation of the same thing, so that a range of chips may be run in
    /// parts.
    ///
    /// # Errors
    /// [`SimError::Unlike`] if it is of another engine or other images, or not of as many matrices.
    pub fn append(&mut self, more: Self) -> Result<(), SimError> {
        let is_alike = self.engine == more.engine
            && self.exact_correct == more.exact_correct
            && self.nearness.exact_in_five == more.nearness.exact_in_five
            && self.nearness.exact_squared_error == more.nearness.exact_squared_error
            && self.events.len() == more.events.len()
            && (self.is_lossy, self.chips_differ) == (more.is_lossy, more.chips_differ);
        if !is_alike {
            return Err(SimError::Unlike);
        }
        self.differences.extend(more.differences);
        self.nearness.in_five.extend(more.nearness.in_five);
        self.nearness.squared_error.extend(more.nearness.squared_error);
        self.events.iter_mut().zip(more.events).for_each(|(events, more)| *events += more);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hafnia_model::arithmetic::argmax;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_evaluation_is_said() {
        let good = Evaluation {
            engine: EngineKind::Exact,
            exact_correct: vec![true; 3],
            differences: vec![vec![2]],
            events: Vec::new(),
            nearness: Nearness {
                exact_in_five: 3,
                in_five: vec![2],
                exact_squared_error: 0.0,
                squared_error: vec![0.5],
            },
            is_lossy: false,
            chips_differ: false,
        };
        assert_eq!(good.validate(), Ok(()));
        let says = |change: fn(&mut Nearness)| {
            let mut other = good.clone();
            change(&mut other.nearness);
            other.validate().expect_err("it is changed")
        };
        assert_eq!(says(|of| of.in_five.clear()), "of 1 chips it has 0 counts and 1 errors");
        assert_eq!(says(|of| of.exact_in_five = 4), "a count of images is above 3");
        assert_eq!(says(|of| of.in_five[0] = 4), "a count of images is above 3");
        let fault = "a squared error is below 0 or not finite";
        assert_eq!(says(|of| of.squared_error[0] = -0.5), fault);
        assert_eq!(says(|of| of.squared_error[0] = f64::NAN), fault);
        assert_eq!(says(|of| of.exact_squared_error = f64::INFINITY), fault);
    }

    proptest! {
        #[test]
        fn ranks_put_outputs_in_order(outputs in prop::collection::vec(-3i32..3, 1..12)) {
            let mut classes: Vec<usize> = (0..outputs.len()).collect();
            classes.sort_by_key(|&class| -outputs[class]);
            let rank = |class| rank(outputs.iter(), class);
            let ranks: Vec<usize> = classes.iter().map(|&class| rank(class)).collect();
            prop_assert_eq!(ranks, (0..outputs.len()).collect::<Vec<_>>());
            prop_assert_eq!(rank(argmax(&outputs)), 0);
        }
    }
}
