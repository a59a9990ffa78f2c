//! [`Sweep`]: the TOML file of a sweep.

use std::collections::BTreeMap;
use std::fmt;

use hafnia_sim::EngineKind;
use serde::{Deserialize, Serialize};

use crate::data::Part;
use crate::sweep::error::SweepError;
use crate::sweep::pareto::Objective;

/// A sweep as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Its name.
    pub name: String,
    /// The engine of all points.
    #[serde(default = "device")]
    pub engine: EngineKind,
    /// Virtual chips (of `table`: repetitions) of every point.
    #[serde(default = "twenty")]
    pub chips: u32,
    /// Chips of a shard; all of a point's if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard_chips: Option<u32>,
    /// The part of the data set that every chip is shown. A design is chosen by a sweep, so it is the
    /// validation images unless the sweep says otherwise.
    #[serde(default = "validation")]
    pub part: Part,
    /// The first so many images of that part; all if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<usize>,
    /// Seed of chips, noise, samples of the axes and bootstrap.
    #[serde(default = "one")]
    pub seed: u64,
    /// Replicates of the bootstrap.
    #[serde(default = "thousand")]
    pub replicates: u32,
    /// Accuracy, in per cent, of a chip that counts for the yield.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yield_at: Option<f64>,
    /// Keys that say what a design meets, not what it is: designs are weighed against each other within
    /// each combination of their values. Without this, the keys of noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<String>>,
    /// What the Pareto table weighs.
    #[serde(default = "Objective::usual")]
    pub pareto: Vec<Objective>,
    /// Values of every point that does not give its own.
    #[serde(default)]
    pub base: BTreeMap<String, Value>,
    /// What differs from point to point.
    #[serde(default)]
    pub axes: BTreeMap<String, Axis>,
    /// How points are taken from the axes.
    #[serde(default)]
    pub sample: Sampling,
    /// Points one by one, in place of axes.
    #[serde(default)]
    pub point: Vec<BTreeMap<String, Value>>,
}

fn device() -> EngineKind {
    EngineKind::Device
}

fn validation() -> Part {
    Part::Validation
}

fn twenty() -> u32 {
    20
}

fn one() -> u64 {
    1
}

fn thousand() -> u32 {
    1000
}

/// A value of a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Whole(i64),
    /// A number, which may be infinite.
    Number(#[serde(with = "hafnia_stats::float")] f64),
    /// Anything else.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Whole(number) => number.fmt(f),
            // Not −0, which would be printed with its sign.
            Self::Number(number) => (number + 0.0).fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl From<&Value> for toml::Value {
    fn from(value: &Value) -> Self {
        match value {
            Value::Flag(flag) => Self::Boolean(*flag),
            Value::Whole(number) => Self::Integer(*number),
            Value::Number(number) => Self::Float(*number),
            Value::Text(text) => Self::String(text.clone()),
        }
    }
}

/// The values along one axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Axis {
    /// These values.
    Values(Vec<Value>),
    /// A range of numbers.
    Range(Range),
}

/// A range of numbers, both ends included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first.
    pub from: f64,
    /// The last.
    pub to: f64,
    /// How many a grid takes; not for samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// How they are spread.
    #[serde(default)]
    pub scale: Scale,
}

/// How numbers are spread between two ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// By equal steps.
    #[default]
    Linear,
    /// By equal factors.
    Log,
}

impl Range {
    /// The number that lies this share of the way along, from 0 to 1.
    pub(crate) fn at(&self, share: f64) -> Value {
        let number = match self.scale {
            Scale::Linear => self.from + share * (self.to - self.from),
            Scale::Log => self.from * libm::pow(self.to / self.from, share),
        };
        // Nine digits are enough to tell points apart, and can be read.
        let rounded: f64 = format!("{number:.8e}").parse().unwrap_or(number);
        Value::Number(rounded)
    }

    /// What is wrong with it.
    pub(crate) fn fault(&self, is_grid: bool) -> Option<&'static str> {
        let ends_are_numbers = self.from.is_finite() && self.to.is_finite();
        match self.steps {
            _ if !ends_are_numbers => Some("`from` and `to` must be finite numbers"),
            _ if self.scale == Scale::Log && (self.from <= 0.0 || self.to <= 0.0) => {
                Some("a log scale needs `from` and `to` above 0")
            }
            None if is_grid => Some("a grid needs `steps`, at least 1"),
            Some(0) => Some("`steps` is 0, it must be at least 1"),
            Some(_) if !is_grid => Some("`steps` is for a grid: a sample has `points`"),
            _ => None,
        }
    }
}

/// How points are taken from the axes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// The way.
    #[serde(default)]
    pub method: Method,
    /// How many; a grid has as many as there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<usize>,
}

/// A way to take points from axes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// All combinations.
    #[default]
    Grid,
    /// Every value drawn on its own.
    Random,
    /// As many strata along every axis as there are points, each met once (McKay, Beckman and
    /// Conover, Technometrics 1979).
    LatinHypercube,
}

impl Sweep {
    /// The sweep that a TOML text describes.
    ///
    /// # Errors
    /// [`SweepError::Syntax`].
    pub fn parse(text: &str) -> Result<Self, SweepError> {
        toml::from_str(text).map_err(SweepError::Syntax)
    }
}
