//! [`Streams`]: the lines that are on, a line a stream of bits over output positions.
//!
//! A row of an image is a lane of bits, one a position, with its planes side by side. A weight of the
//! window (a tap) is the image moved by some rows and bits, so that one load is that tap of 512
//! positions and planes:
//!
//! ```text
//! stream[channel][dx] = the image of the channel, every row moved by dx bits
//! tap(channel, dy, dx) = stream[channel][dx], from row dy on
//! place = y · row + plane · lane + x            # a bit of a stream; 512 of them are a vector
//! ```
//!
//! Assumed: at most two bit-planes of activations, windows at every place, and rows whose planes fit
//! a word; [`Streams::new`] tells.

use hafnia_simd::{Kernel, Simd};

use crate::fast::lines::Replica;
use crate::fast::lines::patches::Windows;

/// Bytes of a vector.
const BYTES: usize = 64;
/// Taps that are added up at once.
const TAPS: usize = 8;

/// Where the taps of some lines start in the streams; padded with places that hold nothing.
pub(crate) type Taps = Vec<u32>;

/// How an image lies in streams.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    /// Bits of a row of one plane, and of all its planes.
    pub(crate) lane: usize,
    pub(crate) row: usize,
    pub(crate) planes: usize,
    channels: usize,
    kernel: usize,
    /// Rows of a channel with padding.
    padded: usize,
    /// Bytes of a stream.
    stream: usize,
    /// Vectors of all positions.
    pub(crate) vectors: usize,
    /// Rows and columns of output positions.
    pub(crate) height: usize,
    pub(crate) width: usize,
}

/// An image in streams, and then nothing.
#[derive(Debug, Default)]
pub(crate) struct Image(Vec<u8>);

impl Image {
    /// The streams from a vector on.
    #[inline(always)]
    pub(crate) fn of_vector(&self, vector: usize) -> &[u8] {
        &self.0[vector * BYTES..]
    }
}

impl Streams {
    /// The streams of windows, if they suit them.
    pub(crate) fn new(windows: &Windows) -> Option<Self> {
        let dense = windows.dense()?;
        let [padded, width] = dense.padded;
        let lane = width.next_power_of_two().max(8);
        let row = lane * windows.planes.next_power_of_two();
        if windows.planes > 2 || row > 64 || windows.height * row >= 1 << 16 {
            return None;
        }
        Some(Self {
            lane,
            row,
            planes: windows.planes,
            channels: dense.channels,
            kernel: dense.kernel,
            padded,
            stream: (padded * row / 8).next_multiple_of(8),
            vectors: (windows.height * row).div_ceil(8 * BYTES),
            height: windows.height,
            width: windows.width,
        })
    }

    /// The taps of rows of the matrix.
    pub(crate) fn taps(&self, windows: &Windows, rows: impl IntoIterator<Item = usize>) -> Taps {
        let tap = |row| {
            let (word, shift) = windows.place(row);
            let (channel, y) = (word / self.padded, word % self.padded);
            ((channel * self.kernel + shift) * self.stream + y * self.row / 8) as u32
        };
        let mut taps: Taps = rows.into_iter().map(tap).collect();
        taps.resize(taps.len().next_multiple_of(TAPS), self.nothing() as u32);
        taps
    }

    /// Where the streams hold nothing.
    fn nothing(&self) -> usize {
        self.channels * self.kernel * self.stream
    }

    /// `[vector]` × 512 places: a bit for every position of a replica and plane.
    pub(crate) fn valid(&self, replica: Replica) -> Vec<[u64; 8]> {
        let mut valid = vec![[0; 8]; self.vectors];
        for position in replica.positions(self.height * self.width) {
            for plane in 0..self.planes {
                let (y, x) = (position / self.width, position % self.width);
                let bit = y * self.row + plane * self.lane + x;
                valid[bit / 512][bit % 512 / 64] |= 1 << (bit % 64);
            }
        }
        valid
    }

    /// The plane of a place in the slices, and its position.
    #[inline(always)]
    pub(crate) fn at(&self, place: u16) -> (usize, (usize, usize)) {
        let place = usize::from(place);
        let [row, lane] = [self.row, self.lane].map(usize::trailing_zeros);
        ((place & (self.row - 1)) >> lane, (place >> row, place & (self.lane - 1)))
    }
}

/// Moves the bit-planes of an image into streams, of which the others are made.
///
/// ```text
/// for channel, y: stream[channel][0][y] = words[plane 0][channel, y] | words[plane 1][channel, y] << lane
/// for channel, dx > 0: stream[channel][dx] = stream[channel][0], every word moved by dx bits
/// ```
pub(crate) struct Fill<'a> {
    pub(crate) streams: &'a Streams,
    /// As [`Pack`](crate::fast::lines::patches::Pack) left them.
    pub(crate) words: &'a [u64],
    pub(crate) image: &'a mut Image,
}

impl Kernel for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { streams: of, words, image } = self;
        let Streams { lane, row, planes, channels, kernel, padded, stream, .. } = *of;
        let into = &mut image.0;
        // A vector may start at the last row.
        let nothing = of.nothing();
        into.resize(nothing + (of.vectors + 1) * BYTES, 0);
        let per_plane = channels * padded;
        for channel in 0..channels {
            let streams = &mut into[channel * kernel * stream..];
            for y in 0..padded {
                let mut of_row = words[channel * padded + y];
                if planes == 2 {
                    of_row |= words[per_plane + channel * padded + y] << (lane & 63);
                }
                // Rows behind it are written later.
                streams[y * row / 8..][..8].copy_from_slice(&of_row.to_le_bytes());
            }
            // What a row leaves in the next one is beyond its last position there.
            let (first, others) = streams.split_at_mut(stream);
            for (moved, moved_stream) in
                others.chunks_exact_mut(stream).take(kernel - 1).enumerate()
            {
                let words =
                    moved_stream.as_chunks_mut::<8>().0.iter_mut().zip(first.as_chunks::<8>().0);
                for (moved_word, &word) in words {
                    *moved_word = (u64::from_le_bytes(word) >> ((moved + 1) & 63)).to_le_bytes();
                }
            }
        }
        into[nothing..].fill(0);
    }
}

/// Adds up the bits of taps: `ones[bit]` is that bit of Σ taps, at every place of a vector.
///
/// ```text
/// for eight taps a..h: (ones, carries) = full adders of a..h and what was, least bits first
/// ```
#[inline(always)]
pub(crate) fn count<S: Simd, const BITS: usize>(
    simd: S,
    streams: &[u8],
    taps: &[u32],
) -> [S::Bits; BITS] {
    macro_rules! tap {
        ($tap:expr) => {
            simd.load_bits(streams[$tap as usize..].first_chunk().expect("room for a vector"))
        };
    }
    let mut ones = [simd.splat_bits(0); BITS];
    for [a, b, c, d, e, f, g, h] in taps.as_chunks::<TAPS>().0 {
        let (sum, two0) = simd.full_add(ones[0], tap!(*a), tap!(*b));
        let (sum, two1) = simd.full_add(sum, tap!(*c), tap!(*d));
        let (sum, two2) = simd.full_add(sum, tap!(*e), tap!(*f));
        let (sum, two3) = simd.full_add(sum, tap!(*g), tap!(*h));
        ones[0] = sum;
        let (sum, four0) = simd.full_add(ones[1], two0, two1);
        let (sum, four1) = simd.full_add(sum, two2, two3);
        ones[1] = sum;
        let (sum, mut carry) = simd.full_add(ones[2], four0, four1);
        ones[2] = sum;
        let mut bit = 3;
        while bit < BITS {
            let sum = simd.xor(ones[bit], carry);
            carry = simd.and(ones[bit], carry);
            ones[bit] = sum;
            bit += 1;
        }
    }
    ones
}

/// All ones where `number` has a 0.
pub(crate) fn zeros(number: u64, bits: usize) -> impl Iterator<Item = u64> {
    (0..bits).map(move |bit| (number >> bit & 1).wrapping_sub(1))
}

/// Where a number reaches another, of which this are the zeros.
#[inline(always)]
pub(crate) fn at_least<S: Simd>(simd: S, number: &[S::Bits], zeros: &[u64]) -> S::Bits {
    let mut is_reached = simd.splat_bits(u64::MAX);
    for (&bit, &zero) in number.iter().zip(zeros) {
        // The majority: what was, or the bit of the number where that of the other differs from it.
        is_reached = simd.full_add(bit, is_reached, simd.splat_bits(zero)).1;
    }
    is_reached
}
