//! [`Sliced`]: the product of a convolution for all its positions at once, a bit of every number a
//! vector.
//!
//! A row of an image is a lane of bits, one a position, and a weight of the window (a tap) is the
//! image moved by some rows and bits, so that one load is that tap of 512 positions and planes. What a
//! column of ones adds up are bits of taps, by full adders; the sum then meets its thresholds bit by
//! bit, and a pool is an OR, because activations grow with sums. Nothing is gathered and nothing
//! becomes an integer before it is an activation.
//!
//! Of ones o and of the digital sum D the sum is 2·o − D. In k bits, ¬D is 2ᵏ − 1 − D: what is
//! compared is 2·o + ¬D with the threshold plus 2ᵏ − 1.
//!
//! Assumed: one bit-plane of weights, at most two of activations, windows at every place, and rows
//! whose planes fit a word; [`Sliced::new`] tells. Cost: two instructions a tap of 512 bits, and as
//! much again for thresholds.

use hafnia_model::Weights;
use hafnia_simd::{Kernel, Simd};

use crate::windows::Windows;

/// Bytes of a vector.
const BYTES: usize = 64;
/// Taps that are added up at once.
const TAPS: usize = 8;
/// Bits that may hold a number of ones and a sum.
const BITS: [(usize, usize); 5] = [(5, 8), (5, 10), (8, 11), (8, 13), (12, 15)];
/// Most thresholds of a column.
const LEVELS: usize = 16;

/// Where the taps of a number of rows start in the streams; padded with places that hold nothing.
pub(crate) type Taps = Vec<u32>;

/// How a convolution is computed in slices.
#[derive(Debug, Clone)]
pub(crate) struct Sliced {
    /// Bits of a row of one plane, and of all its planes.
    pub(crate) lane: usize,
    pub(crate) row: usize,
    planes: usize,
    channels: usize,
    kernel: usize,
    /// Rows of a channel with padding.
    padded: usize,
    /// Bytes of a stream: an image of one channel moved by some bits.
    stream: usize,
    /// Vectors of all positions.
    vectors: usize,
    /// Bits that hold a number of ones.
    pub(crate) bits: usize,
    /// Bits that hold what is compared.
    total: usize,
    /// Whether sums hold any errors.
    pub(crate) holds_errors: bool,
    all: Taps,
    columns: Vec<Taps>,
    /// (column, level, bit): all ones where the threshold has a 0.
    thresholds: Vec<u64>,
    height: usize,
    width: usize,
}

/// The positions and lines of a tile whose groups are counted.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    pub(crate) taps: Taps,
    /// (vector): a bit a position of the tile and plane.
    pub(crate) valid: Vec<[u64; 8]>,
    /// (group, bit): all ones where the least number of lines that make this many groups has a 0.
    pub(crate) least: Vec<u64>,
}

/// All ones where `number` has a 0.
fn zeros(number: u64, bits: usize) -> impl Iterator<Item = u64> {
    (0..bits).map(move |bit| (number >> bit & 1).wrapping_sub(1))
}

impl Sliced {
    /// The slices of a convolution whose sums, with any errors, are up to ±`largest`; none if they do
    /// not suit it.
    pub(crate) fn new(
        windows: &Windows,
        weights: &Weights,
        (levels, thresholds): (usize, &[i32]),
        largest: usize,
    ) -> Option<Self> {
        let dense = windows.dense()?;
        let [padded, width] = dense.padded;
        let lane = width.next_power_of_two().max(8);
        let row = lane * windows.planes.next_power_of_two();
        let [plane] = weights.planes() else { return None };
        if windows.planes > 2
            || row > 64
            || !(1..=LEVELS).contains(&levels)
            || windows.height * row >= 1 << 16
        {
            return None;
        }
        // Without errors a sum is at most 3 for every row.
        let holds = |&(bits, _): &(usize, usize)| weights.rows() < 1 << bits;
        let holds_errors = |bits: &(usize, usize)| holds(bits) && largest < 1 << (bits.1 - 1);
        let of_errors = BITS.into_iter().find(holds_errors);
        let (bits, total) = of_errors.or(BITS.into_iter().find(holds))?;
        let mut sliced = Self {
            lane,
            row,
            planes: windows.planes,
            channels: dense.channels,
            kernel: dense.kernel,
            padded,
            stream: (padded * row / 8).next_multiple_of(8),
            vectors: (windows.height * row).div_ceil(8 * BYTES),
            bits,
            total,
            holds_errors: of_errors.is_some(),
            all: Taps::new(),
            columns: Vec::new(),
            thresholds: Vec::new(),
            height: windows.height,
            width: windows.width,
        };
        sliced.all = sliced.taps(windows, 0..weights.rows());
        let ones = |column| (0..weights.rows()).filter(move |&row| plane.get(row, column));
        sliced.columns =
            (0..weights.columns()).map(|column| sliced.taps(windows, ones(column))).collect();
        let bias = (1i64 << (total - 1)) - 1;
        let compared = |&threshold: &i32| {
            zeros((i64::from(threshold) + bias).clamp(0, 1 << total) as u64, total + 1)
        };
        sliced.thresholds = thresholds.iter().flat_map(compared).collect();
        Some(sliced)
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

    /// What it takes to count the groups of a tile with these rows of the matrix, of at most so many
    /// lines, that has the positions which are `replica.0` modulo `replica.1`.
    pub(crate) fn counted(
        &self,
        windows: &Windows,
        rows: impl ExactSizeIterator<Item = usize>,
        slots: usize,
        replica: (usize, usize),
    ) -> Counted {
        let least =
            (1..=rows.len()).step_by(slots).flat_map(|lines| zeros(lines as u64, self.bits));
        let valid = self.valid(replica);
        Counted { least: least.collect(), valid, taps: self.taps(windows, rows) }
    }

    /// (vector): a bit a position that is `replica.0` modulo `replica.1`, and plane.
    pub(crate) fn valid(&self, replica: (usize, usize)) -> Vec<[u64; 8]> {
        let mut valid = vec![[0; 8]; self.vectors];
        for position in (replica.0..self.height * self.width).step_by(replica.1) {
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
pub(crate) struct Fill<'a> {
    pub(crate) sliced: &'a Sliced,
    /// Bit-planes of the activations.
    pub(crate) words: &'a [u64],
    pub(crate) buffers: &'a mut SlicedBuffers,
}

impl Kernel for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        self.buffers.fill(self.sliced, self.words);
    }
}

/// Sums of a convolution, corrected, which become pooled activations.
pub(crate) struct MultiplySliced<'a> {
    pub(crate) sliced: &'a Sliced,
    pub(crate) buffers: &'a mut SlicedBuffers,
    /// 1 or 2.
    pub(crate) pool: usize,
    /// (column, y, x), pooled, and eight bytes more.
    pub(crate) activations: &'a mut [u8],
}

/// Used anew by every product.
#[derive(Debug, Default)]
pub(crate) struct SlicedBuffers {
    /// (channel, place in the window): the image moved by so many bits; then nothing.
    streams: Vec<u8>,
    /// (vector, bit): ¬D.
    digital: Vec<[u64; 8]>,
    /// (level, vector): positions that reach a threshold.
    reached: Vec<[u64; 8]>,
    /// (column, vector, bit): what is added to the sums, modulo 2^bits; and whether a column has any.
    corrections: Vec<[u64; 8]>,
    is_corrected: Vec<bool>,
}

impl SlicedBuffers {
    /// The streams from a vector on.
    pub(crate) fn of_vector(&self, vector: usize) -> &[u8] {
        &self.streams[vector * BYTES..]
    }

    /// Has the next product add `amount` to the sum of a column at a position.
    pub(crate) fn correct(
        &mut self,
        sliced: &Sliced,
        (y, x): (usize, usize),
        column: usize,
        amount: i32,
    ) {
        let total = sliced.total;
        let (columns, place) = (sliced.columns.len(), y * sliced.row + x);
        self.is_corrected.resize(columns, false);
        self.is_corrected[column] = true;
        self.corrections.resize(columns * sliced.vectors * total, [0; 8]);
        let first = (column * sliced.vectors + place / 512) * total;
        let slices = &mut self.corrections[first..][..total];
        let (word, bit) = (place % 512 / 64, 1 << (place % 64));
        // Every power of two is added or subtracted by itself, as far as that carries.
        let mut left = amount.unsigned_abs();
        while left != 0 {
            for slice in &mut slices[left.trailing_zeros() as usize..] {
                slice[word] ^= bit;
                if (slice[word] & bit != 0) == (amount > 0) {
                    break;
                }
            }
            left &= left - 1;
        }
    }

    /// Moves the bit-planes of an image into streams.
    #[inline(always)]
    fn fill(&mut self, sliced: &Sliced, words: &[u64]) {
        let Sliced { lane, row, planes, channels, kernel, padded, stream, .. } = *sliced;
        // A vector may start at the last row.
        let nothing = sliced.nothing();
        self.streams.resize(nothing + (sliced.vectors + 1) * BYTES, 0);
        let per_plane = channels * padded;
        for channel in 0..channels {
            let streams = &mut self.streams[channel * kernel * stream..];
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
            for (moved, into) in others.chunks_exact_mut(stream).take(kernel - 1).enumerate() {
                let words = into.as_chunks_mut::<8>().0.iter_mut().zip(first.as_chunks::<8>().0);
                for (into, &word) in words {
                    *into = (u64::from_le_bytes(word) >> ((moved + 1) & 63)).to_le_bytes();
                }
            }
        }
        self.streams[nothing..].fill(0);
    }
}

/// Adds up the bits of taps.
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

/// All planes of a number, weighted, where the lowest plane is.
#[inline(always)]
fn add_planes<S: Simd, const BITS: usize, const TOTAL: usize>(
    simd: S,
    sliced: &Sliced,
    ones: &[S::Bits; BITS],
) -> [S::Bits; TOTAL] {
    let nothing = simd.splat_bits(0);
    let mut total = [nothing; TOTAL];
    total[..BITS].copy_from_slice(ones);
    if sliced.planes == 2 {
        let mut carry = nothing;
        let mut bit = 1;
        while bit < TOTAL {
            let of_plane = if bit <= BITS {
                simd.shift_right(ones[bit - 1], sliced.lane as u32)
            } else {
                nothing
            };
            (total[bit], carry) = simd.full_add(total[bit], of_plane, carry);
            bit += 1;
        }
    }
    total
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

impl Kernel for MultiplySliced<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match (self.sliced.bits, self.sliced.total) {
            (5, 8) => self.run_with::<S, 5, 8>(simd),
            (5, _) => self.run_with::<S, 5, 10>(simd),
            (8, 11) => self.run_with::<S, 8, 11>(simd),
            (8, _) => self.run_with::<S, 8, 13>(simd),
            _ => self.run_with::<S, 12, 15>(simd),
        }
    }
}

impl MultiplySliced<'_> {
    #[inline(always)]
    fn run_with<S: Simd, const BITS: usize, const TOTAL: usize>(self, simd: S) {
        let Self { sliced, buffers, pool, activations, .. } = self;
        let SlicedBuffers { streams, digital, reached, corrections, is_corrected } = buffers;
        let vectors = sliced.vectors;
        let ones = simd.splat_bits(u64::MAX);
        digital.resize(vectors * TOTAL, [0; 8]);
        for (vector, digital) in digital.as_chunks_mut::<TOTAL>().0.iter_mut().enumerate() {
            let all = count::<S, BITS>(simd, &streams[vector * BYTES..], &sliced.all);
            let all = add_planes::<S, BITS, TOTAL>(simd, sliced, &all);
            for (digital, bits) in digital.iter_mut().zip(all) {
                *digital = simd.words(simd.xor(bits, ones));
            }
            digital[TOTAL - 1] = [0; 8];
        }
        let per_level = sliced.thresholds.len() / sliced.columns.len();
        let levels = per_level / (TOTAL + 1);
        reached.resize(levels * vectors, [0; 8]);
        let thresholds = sliced.thresholds.chunks_exact(per_level);
        let (height, width) = (sliced.height / pool, sliced.width / pool);
        for (column, (taps, thresholds)) in sliced.columns.iter().zip(thresholds).enumerate() {
            for vector in 0..vectors {
                let ones = count::<S, BITS>(simd, &streams[vector * BYTES..], taps);
                let ones = add_planes::<S, BITS, TOTAL>(simd, sliced, &ones);
                let digital = &digital.as_chunks::<TOTAL>().0[vector];
                let mut sum = [simd.splat_bits(0); TOTAL];
                let mut carry = simd.splat_bits(0);
                let mut bit = 0;
                while bit < TOTAL {
                    let digital = simd.load_words(&digital[bit]);
                    let twice = if bit == 0 { carry } else { ones[bit - 1] };
                    (sum[bit], carry) = simd.full_add(digital, twice, carry);
                    bit += 1;
                }
                if is_corrected.get(column) == Some(&true) {
                    let first = (column * vectors + vector) * TOTAL;
                    let of_vector: &mut [[u64; 8]; TOTAL] =
                        corrections[first..].first_chunk_mut().expect("a number of them");
                    let mut carry = simd.splat_bits(0);
                    let mut bit = 0;
                    while bit < TOTAL {
                        let correction = simd.load_words(&of_vector[bit]);
                        (sum[bit], carry) = simd.full_add(sum[bit], correction, carry);
                        bit += 1;
                    }
                    *of_vector = [[0; 8]; TOTAL];
                }
                for (level, zeros) in thresholds.chunks_exact(TOTAL + 1).enumerate() {
                    let mut is_reached = at_least(simd, &sum, zeros);
                    // No number has the last bit.
                    is_reached = simd.and(is_reached, simd.splat_bits(zeros[TOTAL]));
                    if pool == 2 {
                        is_reached = simd.or(is_reached, simd.shift_right(is_reached, 1));
                        is_reached = halve(simd, is_reached, sliced.lane);
                    }
                    reached[level * vectors + vector] = simd.words(is_reached);
                }
            }
            let reached = reached.as_flattened();
            for y in 0..height {
                let mut into = (column * height + y) * width;
                let mut rows = [0u64; LEVELS];
                for (level, of_level) in reached.chunks_exact(vectors * 8).enumerate() {
                    for dy in 0..pool {
                        let bit = (y * pool + dy) * sliced.row;
                        rows[level] |= of_level[bit / 64] >> (bit % 64);
                    }
                }
                // Three answers at most are two bits, which are fewer to spread.
                let [a, b, c] = [rows[0], rows[1], rows[2]];
                let (low, high) = (a ^ b ^ c, a & b | a & c | b & c);
                let mut x = 0;
                while x < width {
                    let mut eight = simd.spread(low >> x) + 2 * simd.spread(high >> x);
                    for row in rows.iter().take(levels).skip(3) {
                        eight += simd.spread(row >> x);
                    }
                    activations[into..into + 8].copy_from_slice(&u64::to_le_bytes(eight));
                    into += 8;
                    x += 8;
                }
            }
        }
        is_corrected.fill(false);
        let end = sliced.columns.len() * height * width;
        activations[end..].fill(0);
    }
}

/// Every other bit of every lane, packed at its lower end.
#[inline(always)]
fn halve<S: Simd>(simd: S, bits: S::Bits, lane: usize) -> S::Bits {
    const KEPT: [u64; 6] = [
        0x5555_5555_5555_5555,
        0x3333_3333_3333_3333,
        0x0f0f_0f0f_0f0f_0f0f,
        0x00ff_00ff_00ff_00ff,
        0x0000_ffff_0000_ffff,
        0x0000_0000_ffff_ffff,
    ];
    let mut halved = simd.and(bits, simd.splat_bits(KEPT[0]));
    let mut step = 1;
    while step < lane.trailing_zeros() as usize {
        let moved = simd.shift_right(halved, 1 << (step - 1));
        halved = simd.and(simd.or(halved, moved), simd.splat_bits(KEPT[step]));
        step += 1;
    }
    halved
}

/// Counts the groups of a tile, and the rows that are on in them; the streams were filled.
pub(crate) struct CountSliced<'a> {
    pub(crate) sliced: &'a Sliced,
    pub(crate) counted: &'a Counted,
    pub(crate) buffers: &'a SlicedBuffers,
}

impl Kernel for CountSliced<'_> {
    type Output = (u64, u64);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> (u64, u64) {
        match self.sliced.bits {
            5 => self.run_with::<S, 5>(simd),
            8 => self.run_with::<S, 8>(simd),
            _ => self.run_with::<S, 12>(simd),
        }
    }
}

impl CountSliced<'_> {
    #[inline(always)]
    fn run_with<S: Simd, const BITS: usize>(self, simd: S) -> (u64, u64) {
        let Self { sliced, counted, buffers } = self;
        let (mut groups, mut rows_on) = ([0u64; 8], [0u64; 8]);
        for (vector, valid) in counted.valid.iter().enumerate().take(sliced.vectors) {
            let lines = count::<S, BITS>(simd, &buffers.streams[vector * BYTES..], &counted.taps);
            let valid = simd.load_words(valid);
            for zeros in counted.least.chunks_exact(BITS) {
                let words = simd.words(simd.and(at_least(simd, &lines, zeros), valid));
                let mut word = 0;
                while word < 8 {
                    groups[word] += u64::from(words[word].count_ones());
                    word += 1;
                }
            }
            let mut bit = 0;
            while bit < BITS {
                let words = simd.words(simd.and(lines[bit], valid));
                let mut word = 0;
                while word < 8 {
                    rows_on[word] += u64::from(words[word].count_ones()) << bit;
                    word += 1;
                }
                bit += 1;
            }
        }
        (groups.iter().sum(), rows_on.iter().sum())
    }
}
