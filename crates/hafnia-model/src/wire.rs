//! How a network travels: a list of records.
//!
//! The first four kinds of record are the layers of a chain with odd weights of 1, 2, 4 or 8 bits,
//! as they were written before there were others; a network that needs no more keeps its digest. All
//! else is in further kinds.

use serde::{Deserialize, Serialize};

use crate::bit_matrix::BitMatrix;
use crate::error::ShapeError;
use crate::floats::Floats;
use crate::input::Input;
use crate::layer::{Activate, Conv, Layer, Linear, Padding, Thresholds, Window};
use crate::scores::Scores;
use crate::weights::Weights;

/// Layers with the values that they take.
type Steps = Vec<(Layer, Vec<usize>)>;

/// What travels of a [`Network`](crate::Network): shapes are derived again when it is read.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Network")]
pub(crate) struct Records {
    input: Pixels,
    layers: Vec<Record>,
}

/// An input with one list of cuts; what else there is to it is a record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename = "Input")]
struct Pixels {
    channels: usize,
    height: usize,
    width: usize,
    cuts: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
enum Record {
    Conv(SquareConv),
    Linear(OddLinear),
    MaxPool {
        size: usize,
    },
    Flatten,
    /// What the input is if [`Pixels`] do not say it; before all layers.
    Input {
        cuts: Vec<Vec<u8>>,
        lowest: i32,
    },
    /// A layer, and the values that it takes.
    Layer {
        layer: Any,
        from: Vec<usize>,
    },
    /// After all layers.
    Scores(Scores),
    /// How floats become activations, where they do; before all layers.
    Floats(Vec<Floats>),
}

#[derive(Serialize, Deserialize)]
struct SquareConv {
    name: String,
    kernel: usize,
    stride: usize,
    padding: usize,
    weights: Odd,
    thresholds: Option<Levels>,
}

#[derive(Serialize, Deserialize)]
struct OddLinear {
    name: String,
    weights: Odd,
    thresholds: Option<Levels>,
}

/// Thresholds of activations from 0 on.
#[derive(Serialize, Deserialize)]
struct Levels {
    levels: usize,
    values: Vec<i32>,
}

/// A weight is Σ over planes p of 2^p · (2·b − 1).
#[derive(Serialize, Deserialize)]
struct Odd {
    planes: Vec<BitMatrix>,
}

/// A weight is the smallest, plus Σ over planes p of 2^p · b.
#[derive(Serialize, Deserialize)]
struct Planes {
    smallest: i32,
    planes: Vec<BitMatrix>,
}

/// Any layer.
#[derive(Serialize, Deserialize)]
enum Any {
    Conv {
        name: String,
        window: Sides,
        groups: usize,
        weights: Planes,
        thresholds: Option<AnyLevels>,
    },
    Linear {
        name: String,
        weights: Planes,
        thresholds: Option<AnyLevels>,
    },
    MaxPool(Sides),
    SumPool(Sides),
    Add(Vec<i32>),
    Concat,
    Flatten,
    Activate {
        name: String,
        thresholds: AnyLevels,
    },
}

/// A window: vertical and horizontal kernel, stride and dilation; padding above, on the left, below
/// and on the right.
#[derive(Serialize, Deserialize)]
struct Sides {
    kernel: (usize, usize),
    stride: (usize, usize),
    dilation: (usize, usize),
    padding: (usize, usize, usize, usize),
}

#[derive(Serialize, Deserialize)]
struct AnyLevels {
    levels: usize,
    lowest: i32,
    values: Vec<i32>,
}

impl Odd {
    /// How many planes there may be.
    const PLANES: [u8; 4] = [1, 2, 4, 8];

    fn of(weights: &Weights) -> Option<Self> {
        if !weights.is_odd() {
            return None;
        }
        let planes = *Self::PLANES.iter().find(|&&planes| planes >= weights.bits())?;
        let largest = (1 << planes) - 1;
        Some(Self { planes: planes_of(weights, planes, |weight| (weight + largest) / 2) })
    }
}

impl TryFrom<Odd> for Weights {
    type Error = ShapeError;

    fn try_from(Odd { planes }: Odd) -> Result<Self, ShapeError> {
        let found = planes.len();
        if !Odd::PLANES.iter().any(|&planes| usize::from(planes) == found) {
            let fault = format!("weights have {found} bit planes, they must have 1, 2, 4 or 8");
            return Err(ShapeError::whole(fault));
        }
        let largest = (1 << found) - 1;
        of_planes(&planes, |number| 2 * number - largest)
    }
}

impl Planes {
    fn of(weights: &Weights) -> Self {
        let smallest = weights.smallest();
        let planes = (weights.largest() - smallest).checked_ilog2().map_or(0, |bit| bit + 1);
        Self { smallest, planes: planes_of(weights, planes as u8, |weight| weight - smallest) }
    }
}

/// The bits of the number that each weight becomes.
fn planes_of(weights: &Weights, planes: u8, number: impl Fn(i32) -> i32) -> Vec<BitMatrix> {
    // Without a plane nothing would say how many weights there are.
    let plane = |plane: u8| {
        BitMatrix::from_fn(weights.rows(), weights.columns(), |row, column| {
            number(weights.value(row, column)) >> plane & 1 == 1
        })
    };
    (0..planes.max(1)).map(plane).collect()
}

/// The weights that the numbers of these bits become.
fn of_planes(planes: &[BitMatrix], weight: impl Fn(i32) -> i32) -> Result<Weights, ShapeError> {
    let size = |plane: &BitMatrix| format!("{}x{}", plane.rows(), plane.columns());
    let [first, ..] = planes else {
        return Err(ShapeError::whole("weights have no bit planes".to_owned()));
    };
    let expected = size(first);
    if let Some(plane) = planes.iter().position(|plane| size(plane) != expected) {
        let found = size(&planes[plane]);
        let fault = format!("bit plane {plane} of weights is {found}, plane 0 is {expected}");
        return Err(ShapeError::whole(fault));
    }
    let number = |row: usize, column: usize| {
        let bit = |(p, plane): (usize, &BitMatrix)| i32::from(plane.get(row, column)) << p;
        planes.iter().enumerate().map(bit).sum()
    };
    let mut beyond = None;
    let weights = Weights::from_fn(first.rows(), first.columns(), |row, column| {
        let weight = weight(number(row, column));
        if weight.abs() <= Weights::LARGEST {
            return weight;
        }
        beyond = Some(weight);
        0
    });
    let most = Weights::LARGEST;
    match beyond {
        None => Ok(weights),
        Some(weight) => {
            Err(ShapeError::whole(format!("a weight is {weight}, it must lie in -{most}..={most}")))
        }
    }
}

impl TryFrom<Planes> for Weights {
    type Error = ShapeError;

    fn try_from(Planes { smallest, planes }: Planes) -> Result<Self, ShapeError> {
        if planes.len() > 9 || smallest.abs() > Self::LARGEST {
            let found = planes.len();
            let fault =
                format!("weights from {smallest} on have {found} bit planes, at most 9 fit");
            return Err(ShapeError::whole(fault));
        }
        of_planes(&planes, |number| smallest + number)
    }
}

impl From<Window> for Sides {
    fn from(Window { kernel, stride, dilation, padding }: Window) -> Self {
        let Padding { top, left, bottom, right } = padding;
        Self { kernel, stride, dilation, padding: (top, left, bottom, right) }
    }
}

impl From<Sides> for Window {
    fn from(Sides { kernel, stride, dilation, padding }: Sides) -> Self {
        let (top, left, bottom, right) = padding;
        Self { kernel, stride, dilation, padding: Padding { top, left, bottom, right } }
    }
}

impl From<Thresholds> for AnyLevels {
    fn from(Thresholds { levels, lowest, values }: Thresholds) -> Self {
        Self { levels, lowest, values }
    }
}

impl From<AnyLevels> for Thresholds {
    fn from(AnyLevels { levels, lowest, values }: AnyLevels) -> Self {
        Self { levels, lowest, values }
    }
}

/// Thresholds as they were before there were other lowest activations and numbers of levels.
fn plain(thresholds: Option<&Thresholds>) -> Option<Option<Levels>> {
    match thresholds {
        None => Some(None),
        Some(Thresholds { levels: levels @ (1 | 3 | 7 | 15), lowest: 0, values }) => {
            Some(Some(Levels { levels: *levels, values: values.clone() }))
        }
        Some(_) => None,
    }
}

impl Record {
    /// One of the first kinds, if the layer is of these.
    fn plain(layer: &Layer) -> Option<Self> {
        Some(match layer {
            Layer::Conv(Conv { name, window, groups: 1, weights, thresholds }) => {
                let (kernel, stride, padding) = window.as_square()?;
                let thresholds = plain(thresholds.as_ref())?;
                let (name, weights) = (name.clone(), Odd::of(weights)?);
                Self::Conv(SquareConv { name, kernel, stride, padding, weights, thresholds })
            }
            Layer::Linear(Linear { name, weights, thresholds }) => {
                let thresholds = plain(thresholds.as_ref())?;
                let (name, weights) = (name.clone(), Odd::of(weights)?);
                Self::Linear(OddLinear { name, weights, thresholds })
            }
            Layer::MaxPool(window) => match window.as_square()? {
                (size, stride, 0) if size == stride => Self::MaxPool { size },
                _ => return None,
            },
            Layer::Flatten => Self::Flatten,
            _ => return None,
        })
    }

    fn any(layer: Layer, from: Vec<usize>) -> Self {
        let layer = match layer {
            Layer::Conv(Conv { name, window, groups, weights, thresholds }) => Any::Conv {
                name,
                window: window.into(),
                groups,
                weights: Planes::of(&weights),
                thresholds: thresholds.map(Into::into),
            },
            Layer::Linear(Linear { name, weights, thresholds }) => Any::Linear {
                name,
                weights: Planes::of(&weights),
                thresholds: thresholds.map(Into::into),
            },
            Layer::MaxPool(window) => Any::MaxPool(window.into()),
            Layer::SumPool(window) => Any::SumPool(window.into()),
            Layer::Add(factors) => Any::Add(factors),
            Layer::Concat => Any::Concat,
            Layer::Flatten => Any::Flatten,
            Layer::Activate(Activate { name, thresholds }) => {
                Any::Activate { name, thresholds: thresholds.into() }
            }
        };
        Self::Layer { layer, from }
    }
}

impl TryFrom<Any> for Layer {
    type Error = ShapeError;

    fn try_from(layer: Any) -> Result<Self, ShapeError> {
        Ok(match layer {
            Any::Conv { name, window, groups, weights, thresholds } => Self::Conv(Conv {
                name,
                window: window.into(),
                groups,
                weights: weights.try_into()?,
                thresholds: thresholds.map(Into::into),
            }),
            Any::Linear { name, weights, thresholds } => Self::Linear(Linear {
                name,
                weights: weights.try_into()?,
                thresholds: thresholds.map(Into::into),
            }),
            Any::MaxPool(window) => Self::MaxPool(window.into()),
            Any::SumPool(window) => Self::SumPool(window.into()),
            Any::Add(factors) => Self::Add(factors),
            Any::Concat => Self::Concat,
            Any::Flatten => Self::Flatten,
            Any::Activate { name, thresholds } => {
                Self::Activate(Activate { name, thresholds: thresholds.into() })
            }
        })
    }
}

impl Records {
    /// The records of a network: its input, its layers with the values that they take, its scores.
    pub(crate) fn new(input: Input, steps: Steps, scores: Scores) -> Self {
        let Input { channels, height, width, mut cuts, lowest, floats } = input;
        let mut records = Vec::new();
        let is_plain =
            cuts.len() == 1 && lowest == 0 && cuts[0][0] > 0 && cuts[0].is_sorted_by(|a, b| a < b);
        let cuts = if is_plain {
            cuts.remove(0)
        } else {
            records.push(Record::Input { cuts, lowest });
            Vec::new()
        };
        if !floats.is_empty() {
            records.push(Record::Floats(floats));
        }
        records.extend(steps.into_iter().enumerate().map(|(index, (layer, from))| {
            let plain = (from == [index]).then(|| Record::plain(&layer)).flatten();
            plain.unwrap_or_else(|| Record::any(layer, from))
        }));
        if !scores.is_plain() {
            records.push(Record::Scores(scores));
        }
        Self { input: Pixels { channels, height, width, cuts }, layers: records }
    }

    /// What [`new`](Self::new) was given.
    pub(crate) fn read(self) -> Result<(Input, Steps, Scores), ShapeError> {
        let Self { input, layers: records } = self;
        let Pixels { channels, height, width, cuts } = input;
        let mut input = Input::new(channels, height, width, &cuts);
        let (mut steps, mut scores) = (Vec::new(), Scores::default());
        for record in records {
            let plain = |levels: Option<Levels>| {
                levels.map(|Levels { levels, values }| Thresholds::new(levels, values))
            };
            let layer = match record {
                Record::Input { cuts, lowest } => {
                    (input.cuts, input.lowest) = (cuts, lowest);
                    continue;
                }
                Record::Floats(floats) => {
                    input.floats = floats;
                    continue;
                }
                Record::Scores(read) => {
                    scores = read;
                    continue;
                }
                Record::Layer { layer, from } => {
                    steps.push((layer.try_into()?, from));
                    continue;
                }
                Record::Conv(SquareConv { name, kernel, stride, padding, weights, thresholds }) => {
                    let window = Window::square(kernel, stride, padding);
                    let weights = Weights::try_from(weights)?;
                    Layer::Conv(Conv::new(name, window, weights, plain(thresholds)))
                }
                Record::Linear(OddLinear { name, weights, thresholds }) => {
                    let (weights, thresholds) = (weights.try_into()?, plain(thresholds));
                    Layer::Linear(Linear { name, weights, thresholds })
                }
                Record::MaxPool { size } => Layer::max_pool(size),
                Record::Flatten => Layer::Flatten,
            };
            steps.push((layer, vec![steps.len()]));
        }
        Ok((input, steps, scores))
    }
}
