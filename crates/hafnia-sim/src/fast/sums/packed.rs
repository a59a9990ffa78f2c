//! [`Packed`]: the product with a matrix of bits by AND and popcount; and what turns sums into
//! activations ([`Levels`]).
//!
//! A sum is 2·|w ∧ a| − |a| for a bit-plane of weights and one of activations, weighted by both. The
//! lanes of a vector are columns.

use hafnia_model::{Thresholds, Weights};
use hafnia_simd::{Isa, Kernel, LANES, Simd};

use crate::fast::lines::Replica;
use crate::fast::lines::patches::{Patches, Windows};

/// The weights of a matrix, packed along its rows.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    /// Words of 64 rows.
    words: usize,
    /// Blocks of 16 columns.
    blocks: usize,
    /// `[plane][half a block][word]` × 8 columns.
    weights: Vec<[u64; HALF]>,
}

/// Columns that are computed at once.
const HALF: usize = LANES / 2;

impl Packed {
    /// Packs these rows of the weights.
    pub(crate) fn new(weights: &Weights, rows: &[usize]) -> Self {
        let columns = weights.columns();
        let (words, blocks) = (rows.len().div_ceil(64), columns.div_ceil(LANES));
        let mut packed = vec![[0; HALF]; weights.planes().len() * 2 * blocks * words];
        for (plane, bits) in weights.planes().iter().enumerate() {
            for (line, &row) in rows.iter().enumerate() {
                for column in (0..columns).filter(|&column| bits.get(row, column)) {
                    let half = plane * 2 * blocks + column / HALF;
                    packed[half * words + line / 64][column % HALF] |= 1 << (line % 64);
                }
            }
        }
        Self { words, blocks, weights: packed }
    }
}

/// Sums of a row of output positions, from patches in the natural order.
///
/// ```text
/// for position, column:
///     digital = Σ over planes of |lines| · 2^plane
///     ones    = Σ over planes of |lines ∧ weights[column]| · 2^plane
///     sums[position][column] = 2·ones − digital         # weighted by the planes of the weights
/// ```
pub(crate) struct Multiply<'a> {
    pub(crate) matrix: &'a Packed,
    pub(crate) patches: &'a Patches,
    /// Bit-planes of the activations.
    pub(crate) planes: usize,
    /// `[position of the row][block]` × 16 columns.
    pub(crate) sums: &'a mut [[i32; LANES]],
}

impl Kernel for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { matrix: Packed { words, blocks, weights }, patches, planes, sums } = self;
        let (words, halves) = (*words, 2 * blocks);
        for (position, sums) in sums.chunks_exact_mut(*blocks).enumerate() {
            let mut digital = 0u64;
            for plane in 0..planes {
                for word in 0..words {
                    let lines = patches.word(plane, word, position);
                    digital += u64::from(lines.count_ones()) << plane;
                }
            }
            let sums = sums.as_flattened_mut().as_chunks_mut::<HALF>().0;
            for (half, sums) in sums.iter_mut().enumerate() {
                let mut total = [0u64; HALF];
                let of_planes = weights.chunks_exact(halves * words).enumerate();
                for (weight_plane, weights) in of_planes {
                    let weights = &weights[half * words..][..words];
                    let mut ones = [0u64; HALF];
                    for plane in 0..planes {
                        let mut on = [0u64; HALF];
                        for (word, weights) in weights.iter().enumerate() {
                            let lines = patches.word(plane, word, position);
                            let mut lane = 0;
                            while lane < HALF {
                                on[lane] += u64::from((lines & weights[lane]).count_ones());
                                lane += 1;
                            }
                        }
                        let mut lane = 0;
                        while lane < HALF {
                            ones[lane] += on[lane] << plane;
                            lane += 1;
                        }
                    }
                    let mut lane = 0;
                    while lane < HALF {
                        // The low 32 bits are those of the signed sum.
                        let product = (2 * ones[lane]).wrapping_sub(digital);
                        total[lane] = total[lane].wrapping_add(product << weight_plane);
                        lane += 1;
                    }
                }
                let mut lane = 0;
                while lane < HALF {
                    sums[lane] = total[lane] as i32;
                    lane += 1;
                }
            }
        }
    }
}

/// The thresholds of a matrix.
#[derive(Debug, Clone)]
pub(crate) struct Levels {
    pub(crate) columns: usize,
    /// Thresholds of a column; 0 for the last matrix.
    pub(crate) levels: usize,
    /// `[block][level]` × 16 columns: thresholds, out of reach where there is no column.
    lanes: Vec<[i32; LANES]>,
}

impl Levels {
    pub(crate) fn new(thresholds: &Thresholds, columns: usize) -> Self {
        let Thresholds { levels, values } = thresholds;
        let mut lanes = vec![[i32::MAX; LANES]; columns.div_ceil(LANES) * levels];
        for (index, &value) in values.iter().enumerate() {
            let (column, level) = (index / levels, index % levels);
            lanes[column / LANES * levels + level][column % LANES] = value;
        }
        Self { columns, levels: *levels, lanes }
    }

    /// Blocks of 16 columns.
    pub(crate) fn blocks(&self) -> usize {
        self.columns.div_ceil(LANES)
    }
}

/// Activations of sums, pooled on the way.
///
/// ```text
/// activation[column][y, x] = how many thresholds of the column max(sums of the pool window) reaches
/// ```
pub(crate) struct Activate<'a> {
    pub(crate) levels: &'a Levels,
    pub(crate) windows: &'a Windows,
    /// `[position][block]` × 16 columns.
    pub(crate) sums: &'a [[i32; LANES]],
    pub(crate) pool: usize,
    /// (column, y, x), pooled.
    pub(crate) activations: &'a mut [u8],
}

impl Kernel for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { levels: of, windows, sums, pool, activations } = self;
        let blocks = of.blocks();
        let (height, width) = (windows.height / pool, windows.width / pool);
        for block in 0..blocks {
            let columns = (of.columns - block * LANES).min(LANES);
            let thresholds = &of.lanes[block * of.levels..][..of.levels];
            for y in 0..height {
                for x in 0..width {
                    let mut largest = [i32::MIN; LANES];
                    for dy in 0..pool {
                        for dx in 0..pool {
                            let position = (y * pool + dy) * windows.width + x * pool + dx;
                            let sums = &sums[position * blocks + block];
                            let mut lane = 0;
                            while lane < LANES {
                                let sum = sums[lane];
                                largest[lane] =
                                    if sum > largest[lane] { sum } else { largest[lane] };
                                lane += 1;
                            }
                        }
                    }
                    let mut counts = [0i32; LANES];
                    for thresholds in thresholds {
                        let mut lane = 0;
                        while lane < LANES {
                            counts[lane] += i32::from(largest[lane] >= thresholds[lane]);
                            lane += 1;
                        }
                    }
                    let mut at = (block * LANES * height + y) * width + x;
                    for &count in &counts[..columns] {
                        activations[at] = count as u8;
                        at += height * width;
                    }
                }
            }
        }
    }
}

/// Where the columns of a tile are in the sums of its matrix.
#[derive(Debug, Clone)]
pub(crate) struct Outputs {
    /// Per column the logical one, and 1, or −1 if it is inverted.
    pub(crate) logical: Vec<(usize, i32)>,
    pub(crate) replica: Replica,
    aligned: Option<Aligned>,
}

/// Columns in order that start where a vector of the matrix does.
#[derive(Debug, Clone)]
struct Aligned {
    /// That vector.
    first: usize,
    /// `[block]` × 16 columns: 1, or −1 for an inverted column.
    signs: Vec<[i32; LANES]>,
}

impl Outputs {
    pub(crate) fn new(logical: Vec<(usize, i32)>, replica: Replica) -> Self {
        let aligned = Aligned::new(&logical);
        Self { logical, replica, aligned }
    }

    /// Adds the products 2·raw − digital of a tile to the sums of its matrix, which has so many blocks.
    ///
    /// `raw` and `sums` are `[position][block]` × 16 columns, `digital` is `[position]`.
    pub(crate) fn add_products(
        &self,
        isa: Isa,
        raw: &[[i32; LANES]],
        digital: &[i32],
        sums: &mut [[i32; LANES]],
        blocks: usize,
    ) {
        let replica = self.replica;
        if let Some(aligned) = &self.aligned {
            isa.run(AddProducts { raw, digital, aligned, sums, blocks, replica });
            return;
        }
        let of_tile = self.logical.len().div_ceil(LANES);
        for position in replica.positions(digital.len()) {
            let raw = raw[position * of_tile..][..of_tile].as_flattened();
            let sums = sums[position * blocks..][..blocks].as_flattened_mut();
            for (&(column, sign), raw) in self.logical.iter().zip(raw) {
                sums[column] += sign * (2 * raw - digital[position]);
            }
        }
    }
}

impl Aligned {
    fn new(logical: &[(usize, i32)]) -> Option<Self> {
        let first = logical.first()?.0;
        let is_in_order =
            logical.iter().zip(first..).all(|(&(column, _), expected)| column == expected);
        if !is_in_order || !first.is_multiple_of(LANES) {
            return None;
        }
        let mut signs = vec![[0; LANES]; logical.len().div_ceil(LANES)];
        for (index, &(_, sign)) in logical.iter().enumerate() {
            signs[index / LANES][index % LANES] = sign;
        }
        Some(Self { first: first / LANES, signs })
    }
}

/// [`Outputs::add_products`] where columns are aligned.
struct AddProducts<'a> {
    raw: &'a [[i32; LANES]],
    digital: &'a [i32],
    aligned: &'a Aligned,
    sums: &'a mut [[i32; LANES]],
    blocks: usize,
    replica: Replica,
}

impl Kernel for AddProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { raw, digital, aligned: Aligned { first, signs }, sums, blocks, replica } = self;
        let of_tile = signs.len();
        let mut position = replica.index;
        while position < digital.len() {
            let raw = &raw[position * of_tile..][..of_tile];
            let sums = &mut sums[position * blocks + first..][..of_tile];
            let minus = simd.splat_i32(-digital[position]);
            for block in 0..of_tile {
                let raw = simd.load_i32(&raw[block]);
                let product = simd.add_i32(simd.add_i32(raw, raw), minus);
                let signed = simd.mul_i32(product, simd.load_i32(&signs[block]));
                let sum = simd.add_i32(simd.load_i32(&sums[block]), signed);
                simd.store_i32(sum, &mut sums[block]);
            }
            position += replica.count;
        }
    }
}
