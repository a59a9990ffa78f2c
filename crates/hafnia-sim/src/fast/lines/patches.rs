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
//! row of the window and any other order one a line. Eight positions are computed at once: they see
//! the word of a row that fits one, and else the 64 bits that begin where the first of them does.

use std::ops::Range;

use hafnia_model::arithmetic::window;
use hafnia_model::{Padding, Shape, Window};
use hafnia_simd::{Kernel, Simd};

/// Positions that are computed at once.
pub(crate) const POSITIONS: usize = 8;

/// Positions of a row that are gathered at once; a row of words has fewer.
const MOST_COLUMNS: usize = 96;

/// The largest stride at which 64 bits hold a pixel of all positions that are computed at once.
const MOST_STRIDE: usize = 63 / (POSITIONS - 1);

/// Bytes that must follow the activations, because they are read by so many.
pub(crate) const SLACK: usize = 64;

/// How the rows of a matrix lie in the activations that reach it.
#[derive(Debug, Clone)]
pub(crate) struct Windows {
    input: Shape,
    /// Vertical and horizontal.
    kernel: (usize, usize),
    stride: (usize, usize),
    dilation: (usize, usize),
    padding: Padding,
    /// Words of a row with padding.
    row: usize,
    /// Rows and columns of output positions.
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Bit-planes of the activations.
    pub(crate) planes: usize,
    /// A vector, whose words hold 64 activations each, and not an image.
    is_vector: bool,
    /// (chunk): the bit of the activations where a window starts, a lane a position; only for the
    /// first chunk where a row has several words.
    steps: Vec<[u64; POSITIONS]>,
}

impl Windows {
    /// These windows over an input.
    pub(crate) fn of_window(
        window: &Window,
        input: Shape,
        (height, width): (usize, usize),
        planes: u8,
    ) -> Self {
        let &Window { kernel, stride, dilation, padding } = window;
        let row = (input.width + padding.left + padding.right).div_ceil(64);
        Self {
            input,
            kernel,
            stride,
            dilation,
            padding,
            row,
            height,
            width,
            planes: planes.into(),
            is_vector: false,
            steps: steps(if row == 1 { width } else { POSITIONS }, stride.1),
        }
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
            row: 1,
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

    /// All output positions.
    pub(crate) fn all(&self) -> Area {
        Area { rows: 0..self.height, columns: 0..self.width }
    }

    /// All output positions, so many rows at once, or part after part of a row that is long.
    pub(crate) fn areas(&self, rows: usize) -> impl Iterator<Item = Area> {
        let Self { height, width, .. } = *self;
        let rows = if width > MOST_COLUMNS { 1 } else { rows };
        (0..height).step_by(rows).flat_map(move |y| {
            (0..width).step_by(MOST_COLUMNS).map(move |x| Area {
                rows: y..height.min(y + rows),
                columns: x..width.min(x + MOST_COLUMNS),
            })
        })
    }

    /// Neighbouring lines of a row that all positions of a chunk see in 64 bits; or one position, where
    /// none are computed at once.
    fn most_lines(&self) -> usize {
        match self.row > 1 && self.stride.1 <= MOST_STRIDE {
            true => 64 - (POSITIONS - 1) * self.stride.1,
            false => 64,
        }
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
            self.input.channels * self.padded() * self.row
        }
    }

    /// Its image, if there is a window at every place of it and a row fits a word.
    pub(crate) fn dense(&self) -> Option<Dense> {
        let is_dense =
            !self.is_vector && self.row == 1 && self.stride == (1, 1) && self.dilation == (1, 1);
        let width = self.input.width + self.padding.left + self.padding.right;
        is_dense.then_some(Dense {
            channels: self.input.channels,
            kernel: self.kernel.1,
            padded: [self.padded(), width],
        })
    }

    /// The word of the activations and the bit from it on that logical row `row` is at position 0.
    pub(crate) fn place(&self, row: usize) -> (usize, usize) {
        if self.is_vector {
            return (row / 64, row % 64);
        }
        let (height, width) = self.kernel;
        let (channel, ky, kx) = (row / (height * width), row / width % height, row % width);
        let y = channel * self.padded() + ky * self.dilation.0;
        (y * self.row, kx * self.dilation.1)
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

/// Output positions that are gathered at once: rows of them, or a part of one.
#[derive(Debug, Clone)]
pub(crate) struct Area {
    pub(crate) rows: Range<usize>,
    /// From a multiple of [`POSITIONS`] on.
    pub(crate) columns: Range<usize>,
}

impl Area {
    /// [`POSITIONS`] in a row.
    pub(crate) fn chunks(&self) -> usize {
        self.columns.len().div_ceil(POSITIONS)
    }
}

/// Cuts activations, with [`SLACK`] behind them, into bit-planes.
///
/// ```text
/// words[plane][channel, y][..] = bits of row y of the channel, after `padding` zeros   (an image)
/// words[plane][i]              = bits of activations 64·i to 64·i + 63                 (a vector)
/// ```
///
/// A word more is behind them, because rows of several words are read by twos.
pub(crate) struct Pack<'a> {
    pub(crate) windows: &'a Windows,
    pub(crate) activations: &'a [u8],
    /// (plane, word).
    pub(crate) words: &'a mut Vec<u64>,
}

/// Bit `plane` of the first bytes, `count` of them, at most 64.
#[inline(always)]
fn pack_row<S: Simd>(simd: S, bytes: &[u8], plane: usize, count: usize) -> u64 {
    let bytes = bytes.first_chunk().expect("slack for a row");
    simd.gather_bits(bytes, plane as u32, count as u32)
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { windows, activations, words } = self;
        let per_plane = windows.words();
        words.clear();
        words.resize(per_plane * windows.planes + 1, 0);
        for plane in 0..windows.planes {
            if windows.row > 1 {
                pack_wide(simd, windows, activations, plane, &mut words[plane * per_plane..]);
                continue;
            }
            let words = &mut words[plane * per_plane..][..per_plane];
            if windows.is_vector {
                let mut left = windows.input.channels;
                for (index, word) in words.iter_mut().enumerate() {
                    *word = pack_row(simd, &activations[index * 64..], plane, left.min(64));
                    left -= left.min(64);
                }
            } else {
                let Shape { channels, height, width } = windows.input;
                for channel in 0..channels {
                    for y in 0..height {
                        let row = &activations[(channel * height + y) * width..];
                        words[channel * windows.padded() + windows.padding.top + y] =
                            pack_row(simd, row, plane, width) << windows.padding.left;
                    }
                }
            }
        }
    }
}

/// Bit `plane` of an image whose rows take several words, all 0.
#[inline(always)]
fn pack_wide<S: Simd>(
    simd: S,
    windows: &Windows,
    activations: &[u8],
    plane: usize,
    words: &mut [u64],
) {
    let Windows { input: Shape { channels, height, width }, padding, row, .. } = *windows;
    for index in 0..channels * height {
        let y = index / height * windows.padded() + padding.top + index % height;
        let (activations, words) = (&activations[index * width..], &mut words[y * row..]);
        for x in (0..width).step_by(64) {
            let bits = pack_row(simd, &activations[x..], plane, (width - x).min(64));
            let (word, shift) = split(padding.left + x);
            words[word] |= bits << shift;
            words[word + 1] |= bits >> 1 >> (63 - shift);
        }
    }
}

/// The word that a bit lies in, and its place there.
#[inline(always)]
fn split(bit: usize) -> (usize, usize) {
    (bit / 64, bit % 64)
}

/// 64 bits of words, from a bit on.
#[inline(always)]
fn bits_from(words: &[u64], bit: usize) -> u64 {
    let (word, shift) = split(bit);
    words[word] >> shift | words[word + 1] << 1 << (63 - shift)
}

/// Neighbouring lines that are neighbours in a row of the activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    /// The first word of the row.
    word: u32,
    /// The bit of the first line from there on, at position 0.
    shift: u32,
    /// A one for every line, in the word of lines.
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
                last.word as usize == word
                    && (last.shift + lines) as usize == shift
                    && (lines as usize) < windows.most_lines()
            };
            match last.filter(next) {
                Some(last) => last.mask |= last.mask << 1,
                None => segments.push(Segment {
                    word: word as u32,
                    shift: shift as u32,
                    mask: 1 << bit,
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
        let words = &words[plane * windows.words() + y * windows.stride.0 * windows.row..];
        let (mut start, x) = (0, (x * windows.stride.1) as u32);
        for (into, &end) in into.iter_mut().zip(&self.ends) {
            let mut lines = 0;
            for segment in &self.segments[start..end] {
                let row = if windows.row == 1 {
                    words[segment.word as usize] >> ((x + segment.shift) & 63)
                } else {
                    bits_from(&words[segment.word as usize..], (x + segment.shift) as usize)
                };
                lines |= row << (segment.bit & 63) & segment.mask;
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
    /// Makes room for what is to be written.
    fn resize(&mut self, planes: usize, words: usize, chunks: usize) {
        let lanes = planes * words * chunks;
        self.lanes.resize(self.lanes.len().max(lanes), [0; POSITIONS]);
        (self.words, self.chunks) = (words, chunks);
    }

    /// Makes room, all 0.
    pub(crate) fn reset(&mut self, planes: usize, words: usize, chunks: usize) {
        self.lanes.clear();
        self.resize(planes, words, chunks);
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

/// Gathers the lines of some output positions.
///
/// ```text
/// for row y, plane, chunk of 8 positions x, word of 64 lines:
///     lines = 0
///     for each segment of neighbouring lines in the word:
///         lines |= words[plane][segment.word, y] >> (x + segment.shift) << segment.bit & segment.mask
///     patches[plane][word][y, x] = lines        # a lane a position
/// ```
///
/// Of a row of several words, the 64 bits from where the chunk begins are shifted.
pub(crate) struct Gather<'a> {
    pub(crate) windows: &'a Windows,
    pub(crate) bits: &'a LineBits,
    /// As [`Pack`] left them.
    pub(crate) words: &'a [u64],
    pub(crate) area: Area,
    pub(crate) patches: &'a mut Patches,
}

impl Kernel for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { windows, bits, ref area, .. } = self;
        self.patches.resize(windows.planes, bits.words(), area.rows.len() * area.chunks());
        if windows.row == 1 {
            self.run_with::<S, false>(simd);
        } else if windows.stride.1 <= MOST_STRIDE {
            self.run_with::<S, true>(simd);
        } else {
            self.run_one_by_one();
        }
    }
}

impl Gather<'_> {
    #[inline(always)]
    fn run_with<S: Simd, const IS_WIDE: bool>(self, simd: S) {
        let Self { windows, bits, words, area, patches } = self;
        let (per_plane, chunks) = (windows.words(), area.chunks());
        let of_all = area.rows.len() * chunks;
        let (of_row, first_chunk) =
            (windows.stride.0 * windows.row, area.columns.start / POSITIONS);
        // Vectors of all rows, planes and chunks one after the other, four at once.
        let vectors = area.rows.len() * windows.planes * chunks;
        let (mut row, mut plane, mut chunk) = (0, 0, 0);
        let mut next = || {
            let words = &words[plane * per_plane + (area.rows.start + row) * of_row..];
            let into = plane * bits.words() * of_all + row * chunks + chunk;
            let of_chunk = first_chunk + chunk;
            let (steps, x) = match IS_WIDE {
                true => (&windows.steps[0], of_chunk * POSITIONS * windows.stride.1),
                false => (&windows.steps[of_chunk], 0),
            };
            let vector = Vector { words, x, steps, into };
            chunk += 1;
            if chunk == chunks {
                (chunk, plane) = (0, plane + 1);
            }
            if plane == windows.planes {
                (plane, row) = (0, row + 1);
            }
            vector
        };
        for _ in 0..vectors / 4 {
            let vectors = [next(), next(), next(), next()];
            gather::<S, 4, IS_WIDE>(simd, bits, of_all, vectors, &mut patches.lanes);
        }
        for _ in 0..vectors % 4 {
            gather::<S, 1, IS_WIDE>(simd, bits, of_all, [next()], &mut patches.lanes);
        }
    }

    /// Where positions lie too far from each other.
    #[inline(always)]
    fn run_one_by_one(self) {
        let Self { windows, bits, words, area, patches } = self;
        let mut lines = vec![0; bits.words()];
        for (row, y) in area.rows.clone().enumerate() {
            for plane in 0..windows.planes {
                for x in area.columns.clone() {
                    bits.gather_one(windows, words, plane, (y, x), &mut lines);
                    let x = x - area.columns.start;
                    for (word, &lines) in lines.iter().enumerate() {
                        let of_word = (plane * patches.words + word) * patches.chunks;
                        let chunk = row * area.chunks() + x / POSITIONS;
                        patches.lanes[of_word + chunk][x % POSITIONS] = lines;
                    }
                }
            }
        }
    }
}

/// A bit-plane of a chunk of positions.
struct Vector<'a> {
    /// The words of the activations from the first row of the windows on.
    words: &'a [u64],
    /// Where the first window starts, and the others from there, a lane a position.
    x: usize,
    steps: &'a [u64; POSITIONS],
    /// Where the first word of lines goes.
    into: usize,
}

/// Gathers some vectors.
#[inline(always)]
fn gather<S: Simd, const N: usize, const IS_WIDE: bool>(
    simd: S,
    bits: &LineBits,
    chunks: usize,
    vectors: [Vector<'_>; N],
    into: &mut [[u64; POSITIONS]],
) {
    let mut steps = [simd.splat_bits(0); N];
    let mut index = 0;
    while index < N {
        steps[index] = simd.load_words(vectors[index].steps);
        index += 1;
    }
    let mut start = 0;
    for (word, &end) in bits.ends.iter().enumerate() {
        let mut lines = [simd.splat_bits(0); N];
        for &Segment { word, shift, mask, bit } in &bits.segments[start..end] {
            let mut index = 0;
            while index < N {
                let of = &vectors[index];
                let (row, right) = if IS_WIDE {
                    (bits_from(&of.words[word as usize..], of.x + shift as usize), 0)
                } else {
                    (of.words[word as usize], shift)
                };
                lines[index] = simd.or_moved(lines[index], row, steps[index], [right, bit], mask);
                index += 1;
            }
        }
        let mut index = 0;
        while index < N {
            into[vectors[index].into + word * chunks] = simd.words(lines[index]);
            index += 1;
        }
        start = end;
    }
}
