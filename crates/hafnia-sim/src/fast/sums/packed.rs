//! [`Packed`]: the product with a matrix of bits by AND and popcount; and what turns sums into
//! activations ([`Levels`]).
//!
//! A weight is the smallest plus a step times a number in bits; so a sum is the step times Σ |w ∧ a|,
//! over bit-planes of both and weighted by both, plus the smallest times Σ |a|. The lanes of a vector
//! are columns.

use hafnia_ir::{Column, Matrix, RowEntry, Tile};
use hafnia_model::{Thresholds, Weights};
use hafnia_simd::{Isa, Kernel, LANES, Simd};

use crate::fast::codes::Lanes;
use crate::fast::lines::Replica;
use crate::fast::lines::patches::{Patches, Windows};

/// The weights of a matrix, packed along its rows.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    /// Words of 64 rows.
    words: usize,
    /// Blocks of 16 columns.
    blocks: usize,
    /// The smallest weight, and what numbers are counted in: 2 if all weights are odd, else 1.
    smallest: i64,
    step: i64,
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
        let (smallest, step) = (weights.smallest(), if weights.is_odd() { 2 } else { 1 });
        let most = (weights.largest() - smallest) / step;
        let planes = most.checked_ilog2().map_or(0, |bit| bit as usize + 1);
        let mut packed = vec![[0; HALF]; planes * 2 * blocks * words];
        for (line, &row) in rows.iter().enumerate() {
            for (column, &weight) in weights.row(row).iter().enumerate() {
                let number = (i32::from(weight) - smallest) / step;
                for plane in (0..planes).filter(|plane| number >> plane & 1 == 1) {
                    let half = plane * 2 * blocks + column / HALF;
                    packed[half * words + line / 64][column % HALF] |= 1 << (line % 64);
                }
            }
        }
        let (smallest, step) = (smallest.into(), step.into());
        Self { words, blocks, smallest, step, weights: packed }
    }
}

/// Sums of a row of output positions, from patches in the natural order.
///
/// ```text
/// for position, column:
///     digital = Σ over planes of |lines| · 2^plane
///     ones    = Σ over planes of both of |lines ∧ weights[column]| · 2^plane · 2^(plane of weights)
///     sums[position][column] = step·ones + smallest·digital
/// ```
pub(crate) struct Multiply<'a> {
    pub(crate) matrix: &'a Packed,
    pub(crate) patches: &'a Patches,
    /// Bit-planes of the activations.
    pub(crate) planes: usize,
    /// `[position of the row][block]` × 16 columns.
    pub(crate) sums: &'a mut [Lanes],
}

impl Kernel for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { matrix, patches, planes, sums } = self;
        let Packed { words, blocks, smallest, step, weights } = matrix;
        let (words, halves) = (*words, 2 * blocks);
        for (position, sums) in sums.chunks_exact_mut(*blocks).enumerate() {
            let mut digital = 0u64;
            for plane in 0..planes {
                for word in 0..words {
                    let lines = patches.word(plane, word, position);
                    digital += u64::from(lines.count_ones()) << plane;
                }
            }
            let sums = sums.iter_mut().flat_map(|sums| sums.as_chunks_mut::<HALF>().0);
            for (half, sums) in sums.enumerate() {
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
                        total[lane] += ones[lane] << weight_plane;
                        lane += 1;
                    }
                }
                let base = smallest * digital as i64;
                let mut lane = 0;
                while lane < HALF {
                    sums[lane] = (base + step * total[lane] as i64) as i32;
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
        let Thresholds { levels, values, .. } = thresholds;
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
    pub(crate) sums: &'a [Lanes],
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
        let of_blocks = activations.chunks_mut(LANES * height * width).take(blocks).enumerate();
        for (block, activations) in of_blocks {
            let columns = (of.columns - block * LANES).min(LANES);
            let of_block = Block {
                thresholds: &of.lanes[block * of.levels..][..of.levels],
                sums,
                block,
                blocks,
            };
            if height * width == 1 {
                activations[..columns]
                    .copy_from_slice(&of_block.levels(windows, pool, (0, 0))[..columns]);
                continue;
            }
            // A row of positions, a part after the other, becomes rows of columns.
            let mut part = [[0; LANES]; LANES];
            for y in 0..height {
                for first in (0..width).step_by(LANES) {
                    let count = (width - first).min(LANES);
                    for (x, levels) in part[..count].iter_mut().enumerate() {
                        *levels = of_block.levels(windows, pool, (y, first + x));
                    }
                    let of_columns = activations.chunks_mut(height * width).take(columns);
                    for (column, activations) in of_columns.enumerate() {
                        let activations = &mut activations[y * width + first..][..count];
                        for (activation, levels) in activations.iter_mut().zip(&part) {
                            *activation = levels[column % LANES];
                        }
                    }
                }
            }
        }
    }
}

/// A block of columns.
#[derive(Clone, Copy)]
struct Block<'a> {
    thresholds: &'a [[i32; LANES]],
    sums: &'a [Lanes],
    block: usize,
    blocks: usize,
}

impl Block<'_> {
    /// Its activations at a pooled position.
    #[inline(always)]
    fn levels(self, windows: &Windows, pool: usize, (y, x): (usize, usize)) -> [u8; LANES] {
        let mut largest = [i32::MIN; LANES];
        for dy in 0..pool {
            for dx in 0..pool {
                let position = (y * pool + dy) * windows.width + x * pool + dx;
                let sums = &self.sums[position * self.blocks + self.block];
                let mut lane = 0;
                while lane < LANES {
                    let sum = sums[lane];
                    largest[lane] = if sum > largest[lane] { sum } else { largest[lane] };
                    lane += 1;
                }
            }
        }
        let mut counts = [0i32; LANES];
        for thresholds in self.thresholds {
            let mut lane = 0;
            while lane < LANES {
                counts[lane] += i32::from(largest[lane] >= thresholds[lane]);
                lane += 1;
            }
        }
        let mut levels = [0; LANES];
        let mut lane = 0;
        while lane < LANES {
            levels[lane] = counts[lane] as u8;
            lane += 1;
        }
        levels
    }
}

/// What becomes of the raw sums of a tile in the sums of its matrix.
#[derive(Debug, Clone)]
pub(crate) struct Outputs {
    columns: Vec<OutputColumn>,
    pub(crate) replica: Replica,
    aligned: Option<Aligned>,
}

/// What the raw sum of a column of cells, and what activations of positive and of negative lines add up
/// to, count in a sum: as [`Mapped`](crate::Mapped) says, the offset of the coding with slice 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutputColumn {
    /// The output that it is a slice of.
    pub(crate) output: usize,
    pub(crate) raw: i32,
    positive: i32,
    negative: i32,
    /// What bit-planes owe the weights of the tile.
    owed: i32,
}

impl OutputColumn {
    /// Of a column of cells of so many bits of a tile, whose bit-planes owe so many levels.
    fn new(of: &Matrix, tile: &Tile, cell_bits: usize, index: usize, owed: i32) -> Self {
        let Column { logical, inverted } = tile.columns[index * cell_bits];
        let (output, factor) = (of.output(logical), of.factor(logical));
        let is_first = (logical as usize).is_multiple_of(of.coding.slices());
        let offset = if is_first { of.coding.offset() } else { 0 };
        let level = |RowEntry { physical, negative, .. }: RowEntry| -> i32 {
            let bit = |bit| tile.bits.get(physical as usize, index * cell_bits + bit);
            (0..cell_bits).map(|p| i32::from(bit(p) ^ negative ^ inverted) << p).sum()
        };
        let owed = match owed {
            0 => 0,
            owed => {
                let levels: i32 = tile.rows.iter().map(level).sum();
                owed * (factor * levels + offset * tile.rows.len() as i32)
            }
        };
        let top_level = (1 << cell_bits) - 1;
        let (positive, negative) = (offset, offset + top_level * factor);
        match inverted {
            false => Self { output, raw: factor, positive, negative, owed },
            true => Self { output, raw: -factor, positive: negative, negative: positive, owed },
        }
    }
}

/// Columns in order, one an output, that start where a vector of the matrix does and are owed nothing.
#[derive(Debug, Clone)]
struct Aligned {
    /// That vector.
    first: usize,
    blocks: Vec<Factors>,
}

/// Those of [`OutputColumn`], of 16 columns.
#[derive(Debug, Clone, Default)]
struct Factors {
    raw: Lanes,
    positive: Lanes,
    negative: Lanes,
}

impl Outputs {
    /// Of the columns of cells of so many bits of a tile of a matrix, whose bit-planes owe so many
    /// levels, at the positions of `replica`.
    pub(crate) fn new(
        of: &Matrix,
        tile: &Tile,
        cell_bits: u8,
        owed: i32,
        replica: Replica,
    ) -> Self {
        let cell_bits = cell_bits.into();
        let columns = 0..tile.columns.len() / cell_bits;
        let columns: Vec<_> =
            columns.map(|index| OutputColumn::new(of, tile, cell_bits, index, owed)).collect();
        let aligned = Aligned::new(&columns);
        Self { columns, replica, aligned }
    }

    /// The output of a column, and what an error of its raw sum counts there.
    pub(crate) fn of(&self, column: u32) -> (usize, i32) {
        let OutputColumn { output, raw, .. } = self.columns[column as usize];
        (output, raw)
    }

    /// Whether the tile has a column for every output of a matrix with so many blocks, in order and at
    /// all positions, so that its products may be written over the sums.
    pub(crate) fn is_whole(&self, blocks: usize) -> bool {
        let is_whole = |of: &Aligned| of.first == 0 && of.blocks.len() == blocks;
        self.replica.count == 1 && self.aligned.as_ref().is_some_and(is_whole)
    }

    /// Adds the products of a tile to the sums of its matrix, which has so many blocks, and leaves `raw`
    /// all 0. With `is_first`, for a tile that [is whole](Self::is_whole), sums are written anew.
    ///
    /// `raw` and `sums` are `[position][block]` × 16 columns; `digital` is `[position]`: what the bits of
    /// positive lines and of negative ones count.
    pub(crate) fn add_products(
        &self,
        isa: Isa,
        raw: &mut [Lanes],
        digital: &[[i32; 2]],
        sums: &mut [Lanes],
        blocks: usize,
        is_first: bool,
    ) {
        let replica = self.replica;
        if let Some(aligned) = &self.aligned {
            isa.run(AddProducts { raw, digital, aligned, sums, blocks, replica, is_first });
            return;
        }
        let of_tile = self.columns.len().div_ceil(LANES);
        for position in replica.positions(digital.len()) {
            let raw = raw[position * of_tile..][..of_tile].iter().flat_map(|raw| raw.iter());
            let sums = &mut sums[position * blocks..][..blocks];
            let [positive, negative] = digital[position];
            for (column, raw) in self.columns.iter().zip(raw) {
                sums[column.output / LANES][column.output % LANES] += column.raw * raw
                    + column.positive * positive
                    + column.negative * negative
                    + column.owed;
            }
        }
        raw.fill(Lanes::default());
    }
}

impl Aligned {
    fn new(columns: &[OutputColumn]) -> Option<Self> {
        let first = columns.first()?.output;
        let is_in_order = columns.iter().zip(first..).all(|(column, at)| column.output == at);
        let is_owed = columns.iter().any(|column| column.owed != 0);
        if !is_in_order || is_owed || !first.is_multiple_of(LANES) {
            return None;
        }
        let mut blocks = vec![Factors::default(); columns.len().div_ceil(LANES)];
        for (index, column) in columns.iter().enumerate() {
            let (factors, lane) = (&mut blocks[index / LANES], index % LANES);
            factors.raw[lane] = column.raw;
            factors.positive[lane] = column.positive;
            factors.negative[lane] = column.negative;
        }
        Some(Self { first: first / LANES, blocks })
    }
}

/// [`Outputs::add_products`] where columns are aligned.
struct AddProducts<'a> {
    raw: &'a mut [Lanes],
    digital: &'a [[i32; 2]],
    aligned: &'a Aligned,
    sums: &'a mut [Lanes],
    blocks: usize,
    replica: Replica,
    is_first: bool,
}

impl Kernel for AddProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { raw, digital, aligned, sums, blocks, replica, is_first } = self;
        let of_tile = aligned.blocks.len();
        if of_tile == 1 && blocks == 1 && replica.count == 1 {
            // A position a vector, and every one of them.
            for ((raw, digital), sums) in raw.iter_mut().zip(digital).zip(sums) {
                add_product(simd, raw, *digital, &aligned.blocks[0], sums, is_first);
            }
            return;
        }
        let products =
            raw.chunks_exact_mut(of_tile).zip(digital).zip(sums.chunks_exact_mut(blocks));
        for (position, ((raw, digital), sums)) in products.enumerate() {
            if replica.count > 1 && position % replica.count != replica.index {
                continue;
            }
            let sums = &mut sums[aligned.first..];
            for ((raw, factors), sums) in raw.iter_mut().zip(&aligned.blocks).zip(sums) {
                add_product(simd, raw, *digital, factors, sums, is_first);
            }
        }
    }
}

/// Adds the products of a position, each a sum of three.
#[inline(always)]
fn add_product<S: Simd>(
    simd: S,
    raw: &mut Lanes,
    [positive, negative]: [i32; 2],
    factors: &Factors,
    sums: &mut Lanes,
    is_first: bool,
) {
    let of_raw = simd.mul_i32(simd.load_i32(raw), simd.load_i32(&factors.raw));
    simd.store_i32(simd.splat_i32(0), raw);
    let before = if is_first { simd.splat_i32(0) } else { simd.load_i32(sums) };
    let mut sum = simd.add_i32(before, of_raw);
    let of_lines = simd.mul_i32(simd.splat_i32(positive), simd.load_i32(&factors.positive));
    sum = simd.add_i32(sum, of_lines);
    if negative != 0 {
        let of_lines = simd.mul_i32(simd.splat_i32(negative), simd.load_i32(&factors.negative));
        sum = simd.add_i32(sum, of_lines);
    }
    simd.store_i32(sum, sums);
}
