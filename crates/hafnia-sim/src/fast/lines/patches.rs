//! [`Patches`]: the lines that are on at every output position, gathered into words (im2col in bits).
//!
//! Bit i of a word is one bit-plane of line i:
//!
//! ```text
//! patches[plane][word of lines][position] = 64 lines, one bit each
//! ```
//!
//! Rows of the activations become words, one bit a pixel; the padding is in them. A line is then a
//! pixel of the window: a row of the activations and a shift. Lines in scan order that are neighbours
//! in a row share one shift and one mask ([`Segment`]), so that the natural order costs an operation a
//! row of the window and any other order one a line. Eight positions are computed at once.

use std::ops::Range;

use hafnia_model::arithmetic::window;
use hafnia_model::{Padding, Shape, Window};
use hafnia_simd::{Kernel, Simd};

use crate::paths::Why;

/// Positions that are computed at once.
pub(crate) const POSITIONS: usize = 8;

/// Bytes that must follow the activations, because they are read by eights.
pub(crate) const SLACK: usize = 8;

/// How the rows of a matrix lie in the activations that reach it.
#[derive(Debug, Clone)]
pub(crate) struct Windows {
    input: Shape,
    /// Vertical and horizontal.
    kernel: (usize, usize),
    stride: (usize, usize),
    dilation: (usize, usize),
    padding: Padding,
    /// Rows and columns of output positions.
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Bit-planes of the activations.
    pub(crate) planes: usize,
    /// A vector, whose words hold 64 activations each, and not an image.
    is_vector: bool,
    /// (chunk): the bit of the activations where a window starts, a lane a position.
    steps: Vec<[u64; POSITIONS]>,
}

impl Windows {
    /// These windows over an input, unless a padded row does not fit a word.
    pub(crate) fn of_window(
        window: &Window,
        input: Shape,
        (height, width): (usize, usize),
        planes: u8,
    ) -> Result<Self, Why> {
        let &Window { kernel, stride, dilation, padding } = window;
        let padded = input.width + padding.left + padding.right;
        if padded > 64 {
            return Err(Why::Width(padded));
        }
        Ok(Self {
            input,
            kernel,
            stride,
            dilation,
            padding,
            height,
            width,
            planes: planes.into(),
            is_vector: false,
            steps: steps(width, stride.1),
        })
    }

    /// The same windows over activations of so many bit-planes.
    pub(crate) fn with_planes(&self, planes: usize) -> Self {
        Self { planes, ..self.clone() }
    }

    /// A vector: the one window of a linear layer.
    pub(crate) fn of_vector(length: usize, planes: u8) -> Self {
        Self {
            input: Shape { channels: length, height: 1, width: 1 },
            kernel: (1, 1),
            stride: (1, 1),
            dilation: (1, 1),
            padding: Padding::default(),
            height: 1,
            width: 1,
            planes: planes.into(),
            is_vector: true,
            steps: steps(1, 1),
        }
    }

    /// Output positions.
    pub(crate) fn positions(&self) -> usize {
        self.height * self.width
    }

    /// [`POSITIONS`] in a row of output positions.
    pub(crate) fn chunks(&self) -> usize {
        self.width.div_ceil(POSITIONS)
    }

    /// Rows of a channel with padding.
    fn padded(&self) -> usize {
        self.input.height + self.padding.top + self.padding.bottom
    }

    /// Words of a bit-plane of the activations.
    fn words(&self) -> usize {
        if self.is_vector {
            self.input.channels.div_ceil(64)
        } else {
            self.input.channels * self.padded()
        }
    }

    /// Its image, if there is a window at every place of it.
    pub(crate) fn dense(&self) -> Option<Dense> {
        let is_dense = !self.is_vector && self.stride == (1, 1) && self.dilation == (1, 1);
        let width = self.input.width + self.padding.left + self.padding.right;
        is_dense.then_some(Dense {
            channels: self.input.channels,
            kernel: self.kernel.1,
            padded: [self.padded(), width],
        })
    }

    /// The word of the activations and the bit in it that logical row `row` is at position 0.
    pub(crate) fn place(&self, row: usize) -> (usize, usize) {
        if self.is_vector {
            return (row / 64, row % 64);
        }
        let (height, width) = self.kernel;
        let (channel, ky, kx) = (row / (height * width), row / width % height, row % width);
        (channel * self.padded() + ky * self.dilation.0, kx * self.dilation.1)
    }

    /// What the window at a position sees of activations, row by row of the matrix; 0 in the padding.
    pub(crate) fn see(&self, activations: &[u8], position: (usize, usize), into: &mut Vec<u8>) {
        if self.is_vector {
            into.clear();
            into.extend_from_slice(&activations[..self.input.channels]);
            return;
        }
        let Self { kernel, stride, dilation, padding, input, .. } = *self;
        let of = Window { kernel, stride, dilation, padding };
        window(&of, input, 0..input.channels, activations, position, 0, into);
    }
}

/// A convolution whose windows lie at every place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dense {
    pub(crate) channels: usize,
    /// Columns of the kernel.
    pub(crate) kernel: usize,
    /// Rows and columns of a channel with padding.
    pub(crate) padded: [usize; 2],
}

fn steps(width: usize, stride: usize) -> Vec<[u64; POSITIONS]> {
    let of = |chunk| std::array::from_fn(|lane| ((chunk * POSITIONS + lane) * stride) as u64);
    (0..width.div_ceil(POSITIONS)).map(of).collect()
}

/// Cuts activations, with [`SLACK`] behind them, into bit-planes.
///
/// ```text
/// words[plane][channel, y] = bits of row y of the channel, after `padding` zeros   (an image)
/// words[plane][i]          = bits of activations 64·i to 64·i + 63                 (a vector)
/// ```
pub(crate) struct Pack<'a> {
    pub(crate) windows: &'a Windows,
    pub(crate) activations: &'a [u8],
    /// (plane, word).
    pub(crate) words: &'a mut Vec<u64>,
}

/// Bit `plane` of eight bytes, the first byte lowest.
#[inline(always)]
fn pack_eight(bytes: u64, plane: usize) -> u64 {
    // Byte i has its bit at 8·i; times 2^(56 − 7·i) it is at 56 + i, and no two products meet.
    (bytes >> plane & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// Bit `plane` of so many bytes, at most 64.
#[inline(always)]
fn pack_row(bytes: &[u8], plane: usize, count: usize) -> u64 {
    let mut word = 0;
    let mut at = 0;
    while at < count {
        let eight: [u8; 8] = bytes[at..at + 8].try_into().expect("a slice of eight");
        word |= pack_eight(u64::from_le_bytes(eight), plane) << at;
        at += 8;
    }
    word & u64::MAX >> (64 - count)
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { windows, activations, words } = self;
        let per_plane = windows.words();
        words.clear();
        words.resize(per_plane * windows.planes, 0);
        for plane in 0..windows.planes {
            let words = &mut words[plane * per_plane..][..per_plane];
            if windows.is_vector {
                let mut left = windows.input.channels;
                for (index, word) in words.iter_mut().enumerate() {
                    *word = pack_row(&activations[index * 64..], plane, left.min(64));
                    left -= left.min(64);
                }
            } else {
                let Shape { channels, height, width } = windows.input;
                for channel in 0..channels {
                    for y in 0..height {
                        let row = &activations[(channel * height + y) * width..];
                        words[channel * windows.padded() + windows.padding.top + y] =
                            pack_row(row, plane, width) << windows.padding.left;
                    }
                }
            }
        }
    }
}

/// Neighbouring lines that are neighbours in a word of the activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    /// The word of the activations.
    word: u32,
    /// The bit of the first line in it, at position 0.
    shift: u32,
    /// As many ones as there are lines.
    mask: u64,
    /// The place of the first line in the word of lines.
    bit: u32,
}

/// Where lines come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineBits {
    segments: Vec<Segment>,
    /// Per word of 64 lines, the end of its segments.
    ends: Vec<usize>,
}

impl LineBits {
    /// Lines that are these logical rows.
    pub(crate) fn new(windows: &Windows, rows: impl IntoIterator<Item = usize>) -> Self {
        let mut segments: Vec<Segment> = Vec::new();
        let mut ends = Vec::new();
        for (line, row) in rows.into_iter().enumerate() {
            let (word, shift) = windows.place(row);
            let bit = line % 64;
            if bit == 0 {
                ends.push(segments.len());
            }
            let start = ends.len().checked_sub(2).map_or(0, |before| ends[before]);
            let last = if segments.len() > start { segments.last_mut() } else { None };
            let next = |last: &&mut Segment| {
                let lines = last.mask.count_ones();
                last.word as usize == word && (last.shift + lines) as usize == shift
            };
            match last.filter(next) {
                Some(last) => last.mask = last.mask << 1 | 1,
                None => segments.push(Segment {
                    word: word as u32,
                    shift: shift as u32,
                    mask: 1,
                    bit: bit as u32,
                }),
            }
            *ends.last_mut().expect("pushed with the first line") = segments.len();
        }
        Self { segments, ends }
    }

    /// The lines of one bit-plane at one position, as words.
    #[inline(always)]
    pub(crate) fn gather_one(
        &self,
        windows: &Windows,
        words: &[u64],
        plane: usize,
        (y, x): (usize, usize),
        into: &mut [u64],
    ) {
        let words = &words[plane * windows.words() + y * windows.stride.0..];
        let (mut start, x) = (0, (x * windows.stride.1) as u32);
        for (into, &end) in into.iter_mut().zip(&self.ends) {
            let mut lines = 0;
            for segment in &self.segments[start..end] {
                let row = words[segment.word as usize] >> ((x + segment.shift) & 63);
                lines |= (row & segment.mask) << (segment.bit & 63);
            }
            *into = lines;
            start = end;
        }
    }

    /// Words of 64 lines.
    pub(crate) fn words(&self) -> usize {
        self.ends.len()
    }
}

/// Rows of output positions: (plane, word of lines, row, chunk), a lane a position.
///
/// Lanes beyond the last position hold anything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patches {
    pub(crate) lanes: Vec<[u64; POSITIONS]>,
    pub(crate) words: usize,
    pub(crate) chunks: usize,
}

impl Patches {
    /// Makes room, all 0.
    pub(crate) fn reset(&mut self, planes: usize, words: usize, chunks: usize) {
        self.lanes.clear();
        self.lanes.resize(planes * words * chunks, [0; POSITIONS]);
        (self.words, self.chunks) = (words, chunks);
    }

    /// 64 lines at position `x` of the row.
    #[inline(always)]
    pub(crate) fn word(&self, plane: usize, word: usize, x: usize) -> u64 {
        self.lanes[(plane * self.words + word) * self.chunks + x / POSITIONS][x % POSITIONS]
    }

    /// The lines that are on at position `x` of the row, ascending.
    pub(crate) fn active(&self, plane: usize, x: usize, into: &mut Vec<u32>) {
        into.clear();
        for word in 0..self.words {
            let mut left = self.word(plane, word, x);
            while left != 0 {
                into.push((word * 64) as u32 + left.trailing_zeros());
                left &= left - 1;
            }
        }
    }

    /// Sets a line at position `x` of the row.
    pub(crate) fn set(&mut self, plane: usize, line: usize, x: usize) {
        let lanes = (plane * self.words + line / 64) * self.chunks + x / POSITIONS;
        self.lanes[lanes][x % POSITIONS] |= 1 << (line % 64);
    }
}

/// Gathers the lines of some rows of output positions.
///
/// ```text
/// for row y, plane, chunk of 8 positions x, word of 64 lines:
///     lines = 0
///     for each segment of neighbouring lines in the word:
///         lines |= (words[plane][segment.word, y] >> (x + segment.shift) & segment.mask) << segment.bit
///     patches[plane][word][y, x] = lines        # a lane a position
/// ```
pub(crate) struct Gather<'a> {
    pub(crate) windows: &'a Windows,
    pub(crate) bits: &'a LineBits,
    /// As [`Pack`] left them.
    pub(crate) words: &'a [u64],
    pub(crate) rows: Range<usize>,
    pub(crate) patches: &'a mut Patches,
}

impl Kernel for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { windows, bits, words, rows, patches } = self;
        let (per_plane, chunks) = (windows.words(), windows.chunks());
        let of_all = rows.len() * chunks;
        patches.reset(windows.planes, bits.words(), of_all);
        // Vectors of all rows, planes and chunks one after the other, four at once.
        let vectors = rows.len() * windows.planes * chunks;
        let (mut row, mut plane, mut chunk) = (0, 0, 0);
        let mut next = || {
            let words = &words[plane * per_plane + (rows.start + row) * windows.stride.0..];
            let into = plane * bits.words() * of_all + row * chunks + chunk;
            let part = (words, &windows.steps[chunk], into);
            chunk += 1;
            if chunk == chunks {
                (chunk, plane) = (0, plane + 1);
            }
            if plane == windows.planes {
                (plane, row) = (0, row + 1);
            }
            part
        };
        for _ in 0..vectors / 4 {
            let parts = [next(), next(), next(), next()];
            gather(bits, of_all, parts, &mut patches.lanes);
        }
        for _ in 0..vectors % 4 {
            gather(bits, of_all, [next()], &mut patches.lanes);
        }
    }
}

/// Gathers some vectors, each of a bit-plane and a chunk: the words of the activations, where windows
/// start in them, and where the first word of lines goes.
#[inline(always)]
fn gather<const N: usize>(
    bits: &LineBits,
    chunks: usize,
    parts: [(&[u64], &[u64; POSITIONS], usize); N],
    into: &mut [[u64; POSITIONS]],
) {
    let mut start = 0;
    for (word, &end) in bits.ends.iter().enumerate() {
        let mut lines = [[0u64; POSITIONS]; N];
        for segment in &bits.segments[start..end] {
            let mut part = 0;
            while part < N {
                let row = parts[part].0[segment.word as usize] >> (segment.shift & 63);
                let mut lane = 0;
                while lane < POSITIONS {
                    let of_lane = row >> (parts[part].1[lane] & 63) & segment.mask;
                    lines[part][lane] |= of_lane << (segment.bit & 63);
                    lane += 1;
                }
                part += 1;
            }
        }
        for (lines, part) in lines.iter().zip(&parts) {
            into[part.2 + word * chunks] = *lines;
        }
        start = end;
    }
}
