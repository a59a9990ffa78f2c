//! [`Sliced`]: the product of a convolution for all its positions at once, a bit of every number a
//! vector ("bit-sliced").
//!
//! What a column of ones adds up are bits of taps ([`Streams`]), by full adders; the sum then meets its
//! thresholds bit by bit, and a pool is an OR, because activations grow with sums. Nothing is gathered and nothing
//! becomes an integer before it is an activation.
//!
//! Of ones o and of the digital sum D the sum is 2·o − D. In k bits, ¬D is 2ᵏ − 1 − D: what is
//! compared is 2·o + ¬D with the threshold plus 2ᵏ − 1.
//!
//! Assumed: one bit-plane of weights, and what [`Streams`] assume; [`Sliced::new`] tells. Cost: two instructions a tap of 512 bits, and as
//! much again for thresholds.

use hafnia_model::{Thresholds, Weights};
use hafnia_simd::{Kernel, Simd};

use crate::fast::lines::patches::Windows;
use crate::fast::lines::streams::{Image, Streams, Taps, at_least, count, zeros};

/// Bits that may hold a number of ones and a sum.
const BITS: [(usize, usize); 5] = [(5, 8), (5, 10), (8, 11), (8, 13), (12, 15)];
/// Most thresholds of a column.
const LEVELS: usize = 16;

/// How a convolution is computed in slices.
#[derive(Debug, Clone)]
pub(crate) struct Sliced {
    pub(crate) streams: Streams,
    /// Bits that hold a number of ones.
    pub(crate) bits: usize,
    /// Bits that hold what is compared.
    total: usize,
    all: Taps,
    /// Per column, the taps of its ones.
    columns: Vec<Taps>,
    /// [column][level][bit]: all ones where the threshold has a 0.
    thresholds: Vec<u64>,
}

impl Sliced {
    /// The slices of these rows of a convolution whose sums, with any errors, are up to ±`largest`;
    /// none if they do not suit it.
    pub(crate) fn new(
        windows: &Windows,
        weights: &Weights,
        rows: &[usize],
        thresholds: &Thresholds,
        largest: usize,
    ) -> Option<Self> {
        let streams = Streams::new(windows)?;
        let plane = &weights.as_binary()?;
        if !(1..=LEVELS).contains(&thresholds.levels) {
            return None;
        }
        // Without errors a sum is at most 3 for every row.
        let holds = |&(bits, total): &(usize, usize)| {
            weights.rows() < 1 << bits && largest < 1 << (total - 1)
        };
        let (bits, total) = BITS.into_iter().find(holds)?;
        let rows = || rows.iter().copied();
        let ones = |column| rows().filter(move |&row| plane.get(row, column));
        let columns = 0..weights.columns();
        let bias = (1i64 << (total - 1)) - 1;
        let compared = |&threshold: &i32| {
            zeros((i64::from(threshold) + bias).clamp(0, 1 << total) as u64, total + 1)
        };
        Some(Self {
            bits,
            total,
            all: streams.taps(windows, rows()),
            columns: columns.map(|column| streams.taps(windows, ones(column))).collect(),
            thresholds: thresholds.values.iter().flat_map(compared).collect(),
            streams,
        })
    }
}

/// Sums of a convolution, corrected, which become pooled activations.
///
/// ```text
/// for column, vector of 512 places, all in bits:
///     sum = 2·Σ(taps of the column's ones) + ¬Σ(all taps) + corrections
///     for level: reached[level] = OR over the pool window of (sum ≥ threshold[column][level])
///     activation = Σ over levels of reached
/// ```
pub(crate) struct MultiplySliced<'a> {
    pub(crate) sliced: &'a Sliced,
    pub(crate) image: &'a Image,
    pub(crate) buffers: &'a mut SlicedBuffers,
    /// 1 or 2.
    pub(crate) pool: usize,
    /// (column, y, x), pooled, and eight bytes more.
    pub(crate) activations: &'a mut [u8],
}

/// Used anew by every product.
#[derive(Debug, Default)]
pub(crate) struct SlicedBuffers {
    /// [vector][bit]: ¬D.
    digital: Vec<[u64; 8]>,
    /// [level][vector]: positions that reach a threshold.
    reached: Vec<[u64; 8]>,
    /// [column][vector][bit]: what is added to the sums, modulo 2^bits; and whether a column has any.
    corrections: Vec<[u64; 8]>,
    is_corrected: Vec<bool>,
}

impl SlicedBuffers {
    /// Has the next product add `amount` to the sum of a column at a position.
    pub(crate) fn correct(&mut self, sliced: &Sliced, position: usize, column: usize, amount: i32) {
        let (streams, total) = (&sliced.streams, sliced.total);
        let (y, x) = (position / streams.width, position % streams.width);
        let (columns, place) = (sliced.columns.len(), y * streams.row + x);
        self.is_corrected.resize(columns, false);
        self.is_corrected[column] = true;
        self.corrections.resize(columns * streams.vectors * total, [0; 8]);
        let first = (column * streams.vectors + place / 512) * total;
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
}

/// All planes of a number, weighted, where the lowest plane is.
#[inline(always)]
fn add_planes<S: Simd, const BITS: usize, const TOTAL: usize>(
    simd: S,
    streams: &Streams,
    ones: &[S::Bits; BITS],
) -> [S::Bits; TOTAL] {
    let nothing = simd.splat_bits(0);
    let mut total = [nothing; TOTAL];
    total[..BITS].copy_from_slice(ones);
    if streams.planes == 2 {
        let mut carry = nothing;
        let mut bit = 1;
        while bit < TOTAL {
            let of_plane = if bit <= BITS {
                simd.shift_right(ones[bit - 1], streams.lane as u32)
            } else {
                nothing
            };
            (total[bit], carry) = simd.full_add(total[bit], of_plane, carry);
            bit += 1;
        }
    }
    total
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
        let Self { sliced, image, buffers, pool, activations } = self;
        let SlicedBuffers { digital, reached, corrections, is_corrected } = buffers;
        let streams = &sliced.streams;
        let vectors = streams.vectors;
        let ones = simd.splat_bits(u64::MAX);
        digital.resize(vectors * TOTAL, [0; 8]);
        for (vector, digital) in digital.as_chunks_mut::<TOTAL>().0.iter_mut().enumerate() {
            let all = count::<S, BITS>(simd, image.of_vector(vector), &sliced.all);
            let all = add_planes::<S, BITS, TOTAL>(simd, streams, &all);
            for (digital, bits) in digital.iter_mut().zip(all) {
                *digital = simd.words(simd.xor(bits, ones));
            }
            digital[TOTAL - 1] = [0; 8];
        }
        let per_level = sliced.thresholds.len() / sliced.columns.len();
        let levels = per_level / (TOTAL + 1);
        reached.resize(levels * vectors, [0; 8]);
        let thresholds = sliced.thresholds.chunks_exact(per_level);
        let (height, width) = (streams.height / pool, streams.width / pool);
        for (column, (taps, thresholds)) in sliced.columns.iter().zip(thresholds).enumerate() {
            for vector in 0..vectors {
                let ones = count::<S, BITS>(simd, image.of_vector(vector), taps);
                let ones = add_planes::<S, BITS, TOTAL>(simd, streams, &ones);
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
                        is_reached = halve(simd, is_reached, streams.lane);
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
                        let bit = (y * pool + dy) * streams.row;
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
