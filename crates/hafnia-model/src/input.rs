//! [`Input`] and [`Shape`]: what a network takes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::floats::{FloatError, Floats};

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
    /// The thresholds of a pixel in ascending order: its activation is `lowest` plus the number of
    /// cuts that it reaches. `[65]` is 1 bit, pixel > 64; `[64, 128, 192]` is 2 bits, pixel >> 6. One
    /// list for all channels, or one for each; cuts may coincide, and every pixel reaches a cut of 0.
    pub cuts: Vec<Vec<u8>>,
    /// The activation of a pixel that reaches no cut, −255 to 0.
    pub lowest: i32,
    /// How values of `float32` become activations: for all channels, or for each; nothing where only
    /// bytes do.
    #[serde(default)]
    pub floats: Vec<Floats>,
}

impl Input {
    /// An image whose pixels become activations from 0 on by these cuts, the same in all channels.
    pub fn new(channels: usize, height: usize, width: usize, cuts: &[u8]) -> Self {
        let (cuts, floats) = (vec![cuts.to_vec()], Vec::new());
        Self { channels, height, width, cuts, lowest: 0, floats }
    }

    /// An image whose pixels keep their upper `bits` bits: pixel >> (8 − `bits`).
    ///
    /// # Panics
    /// If `bits` is not 1 to 8.
    pub fn upper_bits(channels: usize, height: usize, width: usize, bits: u8) -> Self {
        assert!((1..=8).contains(&bits), "{bits} bits");
        let cuts: Vec<u8> = (1..=u8::MAX >> (8 - bits)).map(|level| level << (8 - bits)).collect();
        Self::new(channels, height, width, &cuts)
    }

    /// The cuts of a channel.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn cuts_of(&self, channel: usize) -> &[u8] {
        &self.cuts[if self.cuts.len() == 1 { 0 } else { channel }]
    }

    /// Bits that a level of the input takes, 1 to 8.
    pub fn bits(&self) -> u8 {
        (self.levels().max(1).ilog2() + 1) as u8
    }

    /// The largest level of the input: the most cuts that a pixel reaches.
    pub fn levels(&self) -> u8 {
        self.cuts.iter().map(Vec::len).max().unwrap_or(0) as u8
    }

    /// Its shape.
    pub fn shape(&self) -> Shape {
        Shape { channels: self.channels, height: self.height, width: self.width }
    }

    /// The levels of images of 8-bit pixels, (image, channel, y, x): how many cuts of its channel each
    /// pixel reaches.
    pub fn levels_of(&self, pixels: &[u8]) -> Vec<u8> {
        let (mut levels, reduce) = (pixels.to_vec(), Levels::of(self));
        levels.chunks_mut(self.shape().len().max(1)).for_each(|image| reduce.image(image));
        levels
    }

    /// The levels of images of `float32`, (image, channel, y, x).
    ///
    /// # Errors
    /// The first value that is not taken.
    ///
    /// # Panics
    /// If it takes no floats.
    pub fn levels_of_floats(&self, values: &[f32]) -> Result<Vec<u8>, FloatError> {
        let level = |(at, &value): (usize, &f32)| {
            let floats = self.of_channel(&self.floats, at);
            let Floats { least, largest, .. } = *floats;
            floats.level(value).ok_or(FloatError { at, value, least, largest })
        };
        values.iter().enumerate().map(level).collect()
    }

    /// Of what there is for all channels, or for each, that of an element of images.
    fn of_channel<'a, T>(&self, each: &'a [T], element: usize) -> &'a T {
        match each {
            [all] => all,
            each => &each[element / (self.height * self.width).max(1) % self.channels],
        }
    }
}

/// Pixels of 8 bits as levels, with tables that are made once for all images.
#[derive(Debug, Clone)]
pub struct Levels {
    /// Pixels of a channel.
    size: usize,
    /// For all channels, or for each.
    channels: Vec<Channel>,
}

/// How the pixels of a channel become levels.
#[derive(Debug, Clone)]
enum Channel {
    /// By comparing them with every cut, which takes vectors.
    Cuts(Vec<u8>),
    /// By the level of every byte.
    Table(Box<[u8; 256]>),
}

/// Cuts up to which comparing is faster than a table.
const FEW: usize = 16;

/// Pixels that are compared at once.
const AT_ONCE: usize = 32;

impl Levels {
    /// As `input` takes them.
    pub fn of(input: &Input) -> Self {
        let channels = input.cuts.iter().map(|cuts| Channel::new(cuts)).collect();
        Self { size: input.height * input.width, channels }
    }

    /// Puts the level of every pixel of an image, (channel, y, x), in its place.
    pub fn image(&self, pixels: &mut [u8]) {
        let of_channels = self.channels.iter().cycle();
        for (pixels, channel) in pixels.chunks_mut(self.size.max(1)).zip(of_channels) {
            channel.apply(pixels);
        }
    }
}

impl Channel {
    fn new(cuts: &[u8]) -> Self {
        if cuts.len() <= FEW {
            return Self::Cuts(cuts.to_vec());
        }
        let level = |pixel: usize| cuts.iter().filter(|&&cut| pixel >= cut.into()).count();
        Self::Table(Box::new(std::array::from_fn(|pixel| level(pixel) as u8)))
    }

    fn apply(&self, pixels: &mut [u8]) {
        match self {
            Self::Table(levels) => {
                pixels.iter_mut().for_each(|pixel| *pixel = levels[usize::from(*pixel)]);
            }
            Self::Cuts(cuts) => {
                let reached = |pixel: u8| cuts.iter().map(|&cut| u8::from(pixel >= cut)).sum();
                let (chunks, rest) = pixels.as_chunks_mut::<AT_ONCE>();
                for chunk in chunks {
                    let mut levels = [0; AT_ONCE];
                    for &cut in cuts {
                        for (level, &pixel) in levels.iter_mut().zip(&*chunk) {
                            *level += u8::from(pixel >= cut);
                        }
                    }
                    *chunk = levels;
                }
                rest.iter_mut().for_each(|pixel| *pixel = reached(*pixel));
            }
        }
    }
}

/// The shape of a value.
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
    /// Number of integers.
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

/// Reads what is displayed, sides of 1 to 16384.
impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |side: &str| side.parse().ok().filter(|side| (1..=1 << 14).contains(side));
        match text.split('x').map(side).collect::<Option<Vec<usize>>>().as_deref() {
            Some(&[channels, height, width]) => Ok(Self { channels, height, width }),
            _ => Err("it must be three sides from 1 on, such as 1x28x28".to_owned()),
        }
    }
}
