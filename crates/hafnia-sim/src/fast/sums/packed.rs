//! [`Packed`]: the product with a matrix of bits by AND and popcount; and what turns sums into
//! activations ([`Levels`]).
//!
//! A sum is 2·|w ∧ a| − |a| for a bit-plane of weights and one of activations, weighted by both. The
//! lanes of a vector are positions of a convolution, or columns of a linear layer.

use hafnia_bits::{Isa, Kernel, LANES, Simd};
use hafnia_model::{Thresholds, Weights};

use crate::fast::lines::Replica;
use crate::fast::lines::patches::{POSITIONS, Patches, Windows};

/// The weights of a matrix, packed along its rows.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    /// Words of 64 rows.
    words: usize,
    /// Bit-planes of the weights.
    planes: usize,
    columns: usize,
    weights: PackedWeights,
}

#[derive(Debug, Clone)]
enum PackedWeights {
    /// Of a convolution: [plane][column][word].
    ByColumn(Vec<u64>),
    /// Of a linear layer: [plane][block of 8 columns][word] × 8 columns.
    ByWord(Vec<[u64; POSITIONS]>),
}

impl Packed {
    /// Packs the weights of a matrix that has so many output positions.
    pub(crate) fn new(weights: &Weights, positions: usize) -> Self {
        let (rows, columns) = (weights.rows(), weights.columns());
        let (words, planes) = (rows.div_ceil(64), weights.planes().len());
        let blocks = columns.div_ceil(POSITIONS);
        let mut by_column = vec![0; planes * columns * words];
        let mut by_word = vec![[0; POSITIONS]; planes * blocks * words];
        for (plane, bits) in weights.planes().iter().enumerate() {
            for row in 0..rows {
                for column in (0..columns).filter(|&column| bits.get(row, column)) {
                    let bit = 1 << (row % 64);
                    by_column[(plane * columns + column) * words + row / 64] |= bit;
                    let block = plane * blocks + column / POSITIONS;
                    by_word[block * words + row / 64][column % POSITIONS] |= bit;
                }
            }
        }
        let weights = match positions {
            1 => PackedWeights::ByWord(by_word),
            _ => PackedWeights::ByColumn(by_column),
        };
        Self { words, planes, columns, weights }
    }

    /// Whether it is that of a linear layer, whose sums are one a column.
    pub(crate) fn is_vector(&self) -> bool {
        matches!(self.weights, PackedWeights::ByWord(_))
    }

    /// The sums of a row of output positions, from patches in the natural order, into
    /// [column][position], `stride` a column, from `at` on; positions come in chunks of 8.
    pub(crate) fn multiply(
        &self,
        isa: Isa,
        patches: &Patches,
        planes: usize,
        sums: &mut [i32],
        at: usize,
        stride: usize,
    ) {
        match &self.weights {
            PackedWeights::ByColumn(weights) => {
                isa.run(MultiplyRow { matrix: self, weights, patches, planes, sums, at, stride });
            }
            PackedWeights::ByWord(weights) => {
                isa.run(MultiplyVector { matrix: self, weights, patches, planes, sums });
            }
        }
    }
}

/// Sums of a row of output positions of a convolution.
///
/// ```text
/// for column, position:
///     digital = Σ over planes of |lines| · 2^plane
///     ones    = Σ over planes of |lines ∧ weights[column]| · 2^plane
///     sums[column][at + position] = 2·ones − digital        # weighted by the planes of the weights
/// ```
struct MultiplyRow<'a> {
    matrix: &'a Packed,
    /// [plane][column][word].
    weights: &'a [u64],
    patches: &'a Patches,
    /// Bit-planes of the activations.
    planes: usize,
    /// [column][position], a row of positions rounded up to chunks.
    sums: &'a mut [i32],
    /// Where the row starts in the sums of a column, and how many sums a column has.
    at: usize,
    stride: usize,
}

impl Kernel for MultiplyRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        // The shapes of small convolutions with all that is constant in them, and any other.
        match (self.matrix.planes, self.planes, self.matrix.words) {
            (1, 2, 1) => self.run_small::<2, 1>(),
            (1, 2, 2) => self.run_small::<2, 2>(),
            (1, 2, 3) => self.run_small::<2, 3>(),
            _ => self.run_any(),
        }
    }
}

/// Eight products, as the sums of columns take them.
#[inline(always)]
fn store(total: [u64; POSITIONS], sums: &mut [i32]) {
    let into: &mut [i32; POSITIONS] = sums.first_chunk_mut().expect("sums by eights");
    let mut lane = 0;
    while lane < POSITIONS {
        into[lane] = total[lane] as i32;
        lane += 1;
    }
}

/// sums += popcount(lines ∧ weights) · 2^plane.
#[inline(always)]
fn count_on(sums: &mut [u64; POSITIONS], lines: &[u64; POSITIONS], weights: u64, plane: usize) {
    let mut lane = 0;
    while lane < POSITIONS {
        sums[lane] += u64::from((lines[lane] & weights).count_ones()) << plane;
        lane += 1;
    }
}

impl MultiplyRow<'_> {
    #[inline(always)]
    fn run_small<const PLANES: usize, const WORDS: usize>(self) {
        let Self { weights: of_all, patches, sums, at, stride, .. } = self;
        let chunks = patches.chunks;
        for chunk in 0..chunks {
            let mut lines = [[[0; POSITIONS]; WORDS]; PLANES];
            let mut digital = [0u64; POSITIONS];
            for (plane, words) in lines.iter_mut().enumerate() {
                for (word, lines) in words.iter_mut().enumerate() {
                    *lines = patches.lanes[(plane * WORDS + word) * chunks + chunk];
                    count_on(&mut digital, lines, u64::MAX, plane);
                }
            }
            let columns = of_all.as_chunks::<WORDS>().0;
            for (column, weights) in columns.iter().enumerate() {
                let mut ones = [0u64; POSITIONS];
                for (plane, words) in lines.iter().enumerate() {
                    for (lines, &weights) in words.iter().zip(weights) {
                        count_on(&mut ones, lines, weights, plane);
                    }
                }
                let mut lane = 0;
                while lane < POSITIONS {
                    // The low 32 bits are those of the signed sum.
                    ones[lane] = (2 * ones[lane]).wrapping_sub(digital[lane]);
                    lane += 1;
                }
                store(ones, &mut sums[column * stride + at + chunk * POSITIONS..]);
            }
        }
    }

    #[inline(always)]
    fn run_any(self) {
        let Self { matrix, weights: of_all, patches, planes, sums, at, stride } = self;
        let (words, chunks) = (matrix.words, patches.chunks);
        for chunk in 0..chunks {
            let lines =
                |plane: usize, word: usize| &patches.lanes[(plane * words + word) * chunks + chunk];
            // Σ of the activations.
            let mut digital = [0u64; POSITIONS];
            for plane in 0..planes {
                for word in 0..words {
                    count_on(&mut digital, lines(plane, word), u64::MAX, plane);
                }
            }
            for column in 0..matrix.columns {
                let mut total = [0u64; POSITIONS];
                for weight_plane in 0..matrix.planes {
                    let weights =
                        &of_all[(weight_plane * matrix.columns + column) * words..][..words];
                    let mut ones = [0u64; POSITIONS];
                    for plane in 0..planes {
                        for (word, &weights) in weights.iter().enumerate() {
                            count_on(&mut ones, lines(plane, word), weights, plane);
                        }
                    }
                    let mut lane = 0;
                    while lane < POSITIONS {
                        let product = (2 * ones[lane]).wrapping_sub(digital[lane]);
                        total[lane] = total[lane].wrapping_add(product << weight_plane);
                        lane += 1;
                    }
                }
                store(total, &mut sums[column * stride + at + chunk * POSITIONS..]);
            }
        }
    }
}

/// Sums of a linear layer, from its one patch: as [`MultiplyRow`], a lane a column.
struct MultiplyVector<'a> {
    matrix: &'a Packed,
    /// [plane][block of 8 columns][word] × 8 columns.
    weights: &'a [[u64; POSITIONS]],
    patches: &'a Patches,
    /// Bit-planes of the activations.
    planes: usize,
    /// One a column, rounded up to [`POSITIONS`].
    sums: &'a mut [i32],
}

impl Kernel for MultiplyVector<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { matrix, weights: of_all, patches, planes, sums } = self;
        let words = matrix.words;
        let blocks = matrix.columns.div_ceil(POSITIONS);
        let mut digital = 0u64;
        for plane in 0..planes {
            for word in 0..words {
                digital += u64::from(patches.word(plane, word, 0).count_ones()) << plane;
            }
        }
        for block in 0..blocks {
            let mut total = [0u64; POSITIONS];
            for weight_plane in 0..matrix.planes {
                let weights = &of_all[(weight_plane * blocks + block) * words..][..words];
                let mut ones = [0u64; POSITIONS];
                for plane in 0..planes {
                    let mut on = [0u64; POSITIONS];
                    for (word, weights) in weights.iter().enumerate() {
                        let lines = patches.word(plane, word, 0);
                        let mut lane = 0;
                        while lane < POSITIONS {
                            on[lane] += u64::from((lines & weights[lane]).count_ones());
                            lane += 1;
                        }
                    }
                    let mut lane = 0;
                    while lane < POSITIONS {
                        ones[lane] += on[lane] << plane;
                        lane += 1;
                    }
                }
                let mut lane = 0;
                while lane < POSITIONS {
                    let product = (2 * ones[lane]).wrapping_sub(digital);
                    total[lane] = total[lane].wrapping_add(product << weight_plane);
                    lane += 1;
                }
            }
            let sums = &mut sums[block * POSITIONS..][..POSITIONS];
            for (sum, total) in sums.iter_mut().zip(total) {
                *sum = total as i32;
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
    /// [column][level].
    pub(crate) thresholds: Vec<i32>,
    /// [block][level] × 16 columns: the same in vectors, out of reach where there is no column.
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
        Self { columns, levels: *levels, thresholds: values.clone(), lanes }
    }
}

/// Activations of sums that are [column][position], pooled on the way.
///
/// ```text
/// activation[column][y, x] = how many thresholds of the column max(sums of the pool window) reaches
/// ```
pub(crate) struct ActivateColumns<'a> {
    pub(crate) levels: &'a Levels,
    pub(crate) windows: &'a Windows,
    /// A row of positions is rounded up to chunks.
    pub(crate) sums: &'a [i32],
    pub(crate) pool: usize,
    /// (column, y, x), pooled.
    pub(crate) activations: &'a mut [u8],
    /// Room for a row.
    pub(crate) row: &'a mut Vec<i32>,
}

impl Kernel for ActivateColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { levels: of, windows, sums, pool, activations, row } = self;
        let row_stride = windows.chunks() * POSITIONS;
        let (height, width) = (windows.height / pool, windows.width / pool);
        row.clear();
        row.resize((row_stride).next_multiple_of(2 * LANES), 0);
        for column in 0..of.columns {
            let thresholds = &of.thresholds[column * of.levels..][..of.levels];
            let sums = &sums[column * windows.height * row_stride..];
            for y in 0..height {
                let of_y = &sums[y * pool * row_stride..];
                row[..row_stride].copy_from_slice(&of_y[..row_stride]);
                for dy in 1..pool {
                    let other = &of_y[dy * row_stride..][..row_stride];
                    for (largest, &sum) in row.iter_mut().zip(other) {
                        *largest = if sum > *largest { sum } else { *largest };
                    }
                }
                let into = &mut activations[(column * height + y) * width..][..width];
                for (chunk, into) in into.chunks_mut(LANES).enumerate() {
                    let mut largest = [0; LANES];
                    if pool == 2 {
                        let pairs: &[i32; 2 * LANES] =
                            row[2 * chunk * LANES..].first_chunk().expect("a row is padded");
                        let mut x = 0;
                        while x < LANES {
                            let (a, b) = (pairs[2 * x], pairs[2 * x + 1]);
                            largest[x] = if a > b { a } else { b };
                            x += 1;
                        }
                    } else {
                        for (x, largest) in largest.iter_mut().enumerate().take(into.len()) {
                            let window = &row[(chunk * LANES + x) * pool..][..pool];
                            *largest = window.iter().copied().fold(i32::MIN, i32::max);
                        }
                    }
                    let mut counts = [0i32; LANES];
                    for &threshold in thresholds {
                        let mut x = 0;
                        while x < LANES {
                            counts[x] += i32::from(largest[x] >= threshold);
                            x += 1;
                        }
                    }
                    let mut bytes = [0; LANES];
                    let mut x = 0;
                    while x < LANES {
                        bytes[x] = counts[x] as u8;
                        x += 1;
                    }
                    into.copy_from_slice(&bytes[..into.len()]);
                }
            }
        }
    }
}

/// Activations of sums that are [position][column], pooled on the way: as [`ActivateColumns`].
pub(crate) struct ActivatePositions<'a> {
    pub(crate) levels: &'a Levels,
    pub(crate) windows: &'a Windows,
    /// [position][block] × 16 columns.
    pub(crate) sums: &'a [[i32; LANES]],
    pub(crate) pool: usize,
    /// (column, y, x), pooled.
    pub(crate) activations: &'a mut [u8],
}

impl Kernel for ActivatePositions<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { levels: of, windows, sums, pool, activations } = self;
        let blocks = of.columns.div_ceil(LANES);
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
    /// [block] × 16 columns: 1, or −1 for an inverted column.
    signs: Vec<[i32; LANES]>,
}

impl Outputs {
    pub(crate) fn new(logical: Vec<(usize, i32)>, replica: Replica) -> Self {
        let aligned = Aligned::new(&logical);
        Self { logical, replica, aligned }
    }

    /// Adds the products 2·raw − digital of a tile to the sums of its matrix, which has so many blocks.
    ///
    /// `raw` and `sums` are [position][block] × 16 columns, `digital` [position].
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
