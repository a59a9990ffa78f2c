//! [`Value`]: a tensor that depends on the image, as a function of integers.

use std::sync::Arc;

use hafnia_model::{Shape, Window};

use crate::expression::{Expressions, Id};
use crate::layout::{broadcast, permuted, places, spread, strides};
use crate::tensor::Tensor;

/// The most elements of a tensor that depends on the image.
pub(crate) const MOST_VALUES: usize = 1 << 24;

/// Integers of the network, and what they stand for.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    /// Which value of the plan.
    pub(crate) value: usize,
    pub(crate) shape: Shape,
    /// By channel, the least and the largest integer that occurs.
    pub(crate) ranges: Vec<(i64, i64)>,
    /// The least and the largest integer that the network itself derives, of all channels.
    pub(crate) range: (i64, i64),
    /// By channel, integer n stands for scale · n + offset …
    pub(crate) scale: Vec<f64>,
    pub(crate) offset: Vec<f64>,
    /// … but for bytes of the input, whose real values are listed by channel.
    pub(crate) bytes: Option<Arc<[[f32; 256]]>>,
    /// By channel, how far an executor's roundings may lead from an integer, in steps.
    pub(crate) noise: Vec<f64>,
    /// If it is the mean over whole images, the base of these.
    pub(crate) mean_of: Option<usize>,
}

impl Base {
    /// The real value of an integer, or of what lies between two, in a channel.
    pub(crate) fn real(&self, channel: usize, n: f64) -> f32 {
        match &self.bytes {
            Some(bytes) => bytes[channel][n as usize],
            None => (self.scale[channel] * n + self.offset[channel]) as f32,
        }
    }
}

/// A maximum over windows that is still to be taken.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pool {
    pub(crate) window: Window,
    /// What it is the maximum of.
    pub(crate) of: Id,
}

/// Channels that are a function of the same integers.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// One base, or two of the same shape.
    pub(crate) bases: Vec<usize>,
    /// The real value.
    pub(crate) of: Id,
    pub(crate) pools: Vec<Pool>,
    /// Behind the pools.
    pub(crate) shape: Shape,
}

/// What has been done to the outputs of a network that only tells their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Softmax.
    Probability,
    /// The logarithm of softmax.
    LogProbability,
    /// Softmax that is quantised.
    Rank,
    /// The number of the largest.
    Class,
}

/// A tensor that depends on the image.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    /// Its sides, without the padding; the first is the batch, of one image.
    pub(crate) dims: Vec<usize>,
    /// By element, its place among those of the parts, (part, channel, y, x); as they are if none.
    pub(crate) places: Option<Arc<[u32]>>,
    pub(crate) parts: Vec<Part>,
    /// What stands around it: before and behind, by axis; empty if there is nothing.
    pub(crate) padding: Vec<(usize, usize)>,
    /// The value of all that stands around it.
    pub(crate) filler: f32,
    pub(crate) ending: Option<Ending>,
}

impl Value {
    /// The tensor of a part, (1, channel, y, x).
    pub(crate) fn of(part: Part) -> Self {
        let Shape { channels, height, width } = part.shape;
        Self {
            dims: vec![1, channels, height, width],
            places: None,
            parts: vec![part],
            padding: Vec::new(),
            filler: 0.0,
            ending: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Its sides with the padding.
    pub(crate) fn padded_dims(&self) -> Vec<usize> {
        match &self.padding[..] {
            [] => self.dims.clone(),
            padding => self.dims.iter().zip(padding).map(|(side, (a, b))| side + a + b).collect(),
        }
    }

    /// The place of every element.
    pub(crate) fn to_places(&self) -> Vec<usize> {
        match &self.places {
            None => (0..self.len()).collect(),
            Some(places) => places.iter().map(|&place| place as usize).collect(),
        }
    }

    /// The same elements in another order and other sides.
    pub(crate) fn picked(&self, dims: Vec<usize>, elements: &[usize]) -> Self {
        let of = |&element: &usize| match &self.places {
            None => element as u32,
            Some(places) => places[element],
        };
        let is_plain = self.places.is_none()
            && elements.len() == self.len()
            && elements.iter().enumerate().all(|(at, &element)| at == element);
        let places: Vec<u32> = elements.iter().map(of).collect();
        let all = self.parts.iter().map(|part| part.shape.len()).sum::<usize>();
        let is_plain = is_plain
            || places.len() == all
                && places.iter().enumerate().all(|(at, &place)| at as u32 == place);
        let places = (!is_plain).then(|| places.into());
        Self { dims, places, ..self.clone() }
    }

    /// With its axes in another order.
    pub(crate) fn transposed(&self, order: &[usize]) -> Self {
        let own = strides(&self.dims);
        let dims = permuted(&self.dims, order);
        let elements = places(&dims, &permuted(&own, order), 0);
        let padding = match &self.padding[..] {
            [] => Vec::new(),
            padding => order.iter().map(|&axis| padding[axis]).collect(),
        };
        Self { padding, ..self.picked(dims, &elements) }
    }

    /// With other sides of as many elements.
    pub(crate) fn reshaped(&self, dims: Vec<usize>) -> Result<Self, String> {
        match self.padding.is_empty() {
            true => Ok(Self { dims, ..self.clone() }),
            false => {
                Err("it takes padded activations: only a Conv or pool may follow a Pad".to_owned())
            }
        }
    }

    /// The part and channel of a place.
    pub(crate) fn channel_of(&self, place: usize) -> (usize, usize) {
        let mut place = place;
        for (index, part) in self.parts.iter().enumerate() {
            let len = part.shape.len();
            if place < len {
                return (index, place / (part.shape.height * part.shape.width));
            }
            place -= len;
        }
        unreachable!("a place lies in a part")
    }

    /// Whether it is an image (1, channel, y, x) or (1, channel, x) of parts of one height and width,
    /// its channels maybe in another order: the channel of the parts for each of its own.
    pub(crate) fn as_image(&self) -> Option<(Shape, Vec<usize>)> {
        let (channels, height, width) = match self.dims[..] {
            [1, channels, height, width] => (channels, height, width),
            [1, channels, width] => (channels, 1, width),
            _ => return None,
        };
        let positions = height * width;
        let is_alike = |part: &Part| (part.shape.height, part.shape.width) == (height, width);
        if positions == 0 || channels == 0 || !self.parts.iter().all(is_alike) {
            return None;
        }
        let shape = Shape { channels, height, width };
        let Some(places) = &self.places else {
            return Some((shape, (0..channels).collect()));
        };
        let channel = |places: &[u32]| {
            let first = places[0] as usize;
            let follows = |(at, &place): (usize, &u32)| place as usize == first + at;
            let whole = first.is_multiple_of(positions) && places.iter().enumerate().all(follows);
            whole.then_some(first / positions)
        };
        let order = places.chunks_exact(positions).map(channel).collect::<Option<Vec<_>>>()?;
        Some((shape, order))
    }

    /// The sides after an operation with a constant, and the constants of each part: one, or one for
    /// each channel.
    pub(crate) fn constants(&self, tensor: &Tensor) -> Result<(Vec<usize>, Vec<Vec<f32>>), Unfit> {
        let dims = broadcast(&self.dims, &tensor.dims).map_err(Unfit::Sides)?;
        if dims.iter().product::<usize>() != self.len() {
            let fault = format!("it spreads activations of sides {:?} over {dims:?}", self.dims);
            return Err(Unfit::Sides(fault));
        }
        if let Some(single) = tensor.single() {
            return Ok((dims, vec![vec![single]; self.parts.len()]));
        }
        let elements = places(&dims, &spread(&tensor.dims, &dims), 0);
        let each = |part: &Part| vec![None; part.shape.channels];
        let mut found: Vec<Vec<Option<f32>>> = self.parts.iter().map(each).collect();
        for (element, &at) in elements.iter().enumerate() {
            let place = self.places.as_ref().map_or(element, |places| places[element] as usize);
            let (part, channel) = self.channel_of(place);
            let value = tensor.float(at);
            match found[part][channel] {
                Some(other) if other != value => return Err(Unfit::Positions),
                _ => found[part][channel] = Some(value),
            }
        }
        let known =
            |part: Vec<Option<f32>>| part.into_iter().map(|value| value.unwrap_or(0.0)).collect();
        Ok((dims, found.into_iter().map(known).collect()))
    }

    /// Whether another value is a function of the same integers, element by element.
    pub(crate) fn is_of_same(&self, other: &Self) -> bool {
        let same = |(a, b): (&Part, &Part)| a.bases == b.bases && a.pools == b.pools;
        self.dims == other.dims
            && self.places == other.places
            && self.padding == other.padding
            && self.parts.len() == other.parts.len()
            && self.parts.iter().zip(&other.parts).all(same)
    }
}

/// Why a constant does not fit a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Its sides do not.
    Sides(String),
    /// It differs from position to position of a channel.
    Positions,
}

impl Part {
    /// The integers of a base as they are.
    pub(crate) fn of(base: usize, shape: Shape, expressions: &mut Expressions) -> Self {
        Self { bases: vec![base], of: expressions.source(0), pools: Vec::new(), shape }
    }
}
