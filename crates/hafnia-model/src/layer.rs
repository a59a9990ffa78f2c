//! [`Layer`] and what layers are made of: plain data, checked when a network is made of them.

use std::fmt;

use crate::weights::Weights;

/// One step of a network: integers to integers.
///
/// A value between layers is an *activation*, one of at most 256 levels, where thresholds or the
/// input gave it, and a *sum* elsewhere. Products take activations; all other layers take either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// Cross-correlation.
    Conv(Conv),
    /// Product with a matrix.
    Linear(Linear),
    /// Maximum over windows; padding never wins.
    MaxPool(Window),
    /// Sum over windows, padded with 0: an average, but for a factor that thresholds or the scales of
    /// classes hold.
    SumPool(Window),
    /// Σ factor · value over values of one shape, one factor for each.
    Add(Vec<i32>),
    /// Values one after the other by channel.
    Concat,
    /// Turns (channel, y, x) into one vector, in that order.
    Flatten,
    /// Thresholds that no product comes right before.
    Activate(Activate),
}

impl Layer {
    /// Its name, if its kind has one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Conv(Conv { name, .. })
            | Self::Linear(Linear { name, .. })
            | Self::Activate(Activate { name, .. }) => Some(name),
            Self::MaxPool(_) | Self::SumPool(_) | Self::Add(_) | Self::Concat | Self::Flatten => {
                None
            }
        }
    }

    /// Its weights, if it has some.
    pub fn weights(&self) -> Option<&Weights> {
        match self {
            Self::Conv(Conv { weights, .. }) | Self::Linear(Linear { weights, .. }) => {
                Some(weights)
            }
            _ => None,
        }
    }

    /// Its thresholds, if it has some.
    pub fn thresholds(&self) -> Option<&Thresholds> {
        match self {
            Self::Conv(Conv { thresholds, .. }) | Self::Linear(Linear { thresholds, .. }) => {
                thresholds.as_ref()
            }
            Self::Activate(activate) => Some(&activate.thresholds),
            _ => None,
        }
    }

    /// Maximum over square windows that do not overlap.
    pub fn max_pool(size: usize) -> Self {
        Self::MaxPool(Window::square(size, size, 0))
    }
}

/// A convolution: cross-correlation over windows, padded with 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv {
    /// Name, unique in the network.
    pub name: String,
    /// Which inputs an output sees.
    pub window: Window,
    /// Groups: channel i of the input meets channel o of the output if i·groups / inputs equals
    /// o·groups / outputs, both rounded down; 1 where all meet.
    pub groups: usize,
    /// Weights as the matrix of im2col: row (in channel of a group, ky, kx), column out channel.
    pub weights: Weights,
    /// Turns sums into activations; none where they go on as sums.
    pub thresholds: Option<Thresholds>,
}

impl Conv {
    /// A convolution of one group.
    pub fn new(
        name: impl Into<String>,
        window: Window,
        weights: impl Into<Weights>,
        thresholds: Option<Thresholds>,
    ) -> Self {
        Self { name: name.into(), window, groups: 1, weights: weights.into(), thresholds }
    }
}

/// A fully connected layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    /// Name, unique in the network.
    pub name: String,
    /// Weights: row input, column output.
    pub weights: Weights,
    /// Turns sums into activations; none where they go on as sums.
    pub thresholds: Option<Thresholds>,
}

/// Thresholds by themselves, one set per channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activate {
    /// Name, unique in the network.
    pub name: String,
    /// What turns values into activations.
    pub thresholds: Thresholds,
}

/// The windows of a convolution or pool: position (y, x) of the output sees (y·stride + ky·dilation −
/// top, x·stride + kx·dilation − left) of the input. Pairs are (vertical, horizontal).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of the kernel.
    pub kernel: (usize, usize),
    /// Step of the kernel.
    pub stride: (usize, usize),
    /// Distance of neighbours in the kernel.
    pub dilation: (usize, usize),
    /// What is added on each side.
    pub padding: Padding,
}

/// Rows and columns added around an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns on the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns on the right.
    pub right: usize,
}

impl Padding {
    /// The same on every side.
    pub fn all(side: usize) -> Self {
        Self { top: side, left: side, bottom: side, right: side }
    }
}

impl Window {
    /// A square kernel with one stride and the same padding on every side.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            kernel: (kernel, kernel),
            stride: (stride, stride),
            dilation: (1, 1),
            padding: Padding::all(padding),
        }
    }

    /// The kernel, stride and padding if they are the same both ways and there is no dilation.
    pub fn as_square(&self) -> Option<(usize, usize, usize)> {
        let (kernel, stride, padding) = (self.kernel.0, self.stride.0, self.padding.top);
        (*self == Self::square(kernel, stride, padding)).then_some((kernel, stride, padding))
    }

    /// Positions of the kernel.
    pub fn positions(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// Rows and columns of the output for an input of this height and width; none if no window fits.
    pub fn output(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        let Padding { top, left, bottom, right } = self.padding;
        let side = |n: usize, kernel: usize, dilation: usize, stride: usize| {
            let reach = (kernel - 1) * dilation + 1;
            n.checked_sub(reach).map(|left| left / stride + 1)
        };
        Some((
            side(height + top + bottom, self.kernel.0, self.dilation.0, self.stride.0)?,
            side(width + left + right, self.kernel.1, self.dilation.1, self.stride.1)?,
        ))
    }

    /// Where (ky, kx) of the kernel lies for an output position, if that is not in the padding of an
    /// input of `height` × `width`.
    #[inline]
    pub fn input_at(
        &self,
        (height, width): (usize, usize),
        (out_y, out_x): (usize, usize),
        (ky, kx): (usize, usize),
    ) -> Option<(usize, usize)> {
        let y = (out_y * self.stride.0 + ky * self.dilation.0).checked_sub(self.padding.top)?;
        let x = (out_x * self.stride.1 + kx * self.dilation.1).checked_sub(self.padding.left)?;
        (y < height && x < width).then_some((y, x))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = |(a, b): (usize, usize)| match a == b {
            true => a.to_string(),
            false => format!("{a}x{b}"),
        };
        write!(f, "{}x{} window with stride {}", self.kernel.0, self.kernel.1, pair(self.stride))?;
        match self.dilation {
            (1, 1) => Ok(()),
            dilation => write!(f, " and dilation {}", pair(dilation)),
        }
    }
}

/// Thresholds T₁ ≤ T₂ ≤ … per channel: the activation is `lowest` plus the number of them that a sum
/// reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thresholds {
    /// Thresholds per channel, 1 to 255.
    pub levels: usize,
    /// The activation of a sum that reaches none, −255 to 0.
    pub lowest: i32,
    /// (channel, level), ascending within a channel.
    pub values: Vec<i32>,
}

impl Thresholds {
    /// Thresholds of activations from 0 on.
    pub fn new(levels: usize, values: Vec<i32>) -> Self {
        Self { levels, lowest: 0, values }
    }

    /// The thresholds of `a = clamp(y >> shift, 0, 2^bits − 1)` in every channel.
    ///
    /// # Panics
    /// If `bits` is not 1 to 8 or `shift` is over 22.
    pub fn shift(channels: usize, bits: u8, shift: u32) -> Self {
        assert!((1..=8).contains(&bits) && shift <= 22, "{bits} bits, shift {shift}");
        let levels = (1usize << bits) - 1;
        let channel: Vec<i32> = (1..=levels as i32).map(|level| level << shift).collect();
        Self::new(levels, channel.repeat(channels))
    }

    /// The thresholds of one channel.
    pub fn channel(&self, channel: usize) -> &[i32] {
        &self.values[channel * self.levels..(channel + 1) * self.levels]
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.values.len() / self.levels
    }

    /// Bits that tell its activations apart.
    pub fn bits(&self) -> u8 {
        (self.levels.max(1).ilog2() + 1) as u8
    }
}
