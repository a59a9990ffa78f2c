//! [`PackedMatrix`]: the product with a matrix of bits by AND and popcount; and what turns sums into
//! activations.
//!
//! A sum is 2·|w ∧ a| − |a| for a bit-plane of weights and one of activations, weighted by both. The
//! lanes of a vector are positions of a convolution, or columns of a linear layer.

use hafnia_bits::{Kernel, LANES, Simd};
use hafnia_model::Weights;

use crate::layout::MatrixLayout;
use crate::windows::{POSITIONS, Patches};

/// The weights of a matrix, packed along its rows.
#[derive(Debug, Clone)]
pub(crate) struct PackedMatrix {
    /// Words of 64 rows.
    words: usize,
    /// Bit-planes of the weights.
    planes: usize,
    columns: usize,
    /// (plane, column, word).
    by_column: Vec<u64>,
    /// (plane, block of columns, word), a lane a column.
    by_word: Vec<[u64; POSITIONS]>,
}

impl PackedMatrix {
    pub(crate) fn new(weights: &Weights) -> Self {
        let (rows, columns) = (weights.rows(), weights.columns());
        let words = rows.div_ceil(64);
        let blocks = columns.div_ceil(POSITIONS);
        let planes = weights.planes().len();
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
        Self { words, planes, columns, by_column, by_word }
    }
}

/// Sums of a row of output positions, from patches in the natural order.
///
/// `sums` is (column, position), a row of positions rounded up to chunks.
pub(crate) struct MultiplyRow<'a> {
    pub(crate) matrix: &'a PackedMatrix,
    pub(crate) patches: &'a Patches,
    /// Bit-planes of the activations.
    pub(crate) planes: usize,
    pub(crate) sums: &'a mut [i32],
    /// Where the row starts in the sums of a column, and how many sums a column has.
    pub(crate) at: usize,
    pub(crate) stride: usize,
}

impl Kernel for MultiplyRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { matrix, patches, planes, sums, at, stride } = self;
        let (words, chunks) = (matrix.words, patches.chunks);
        for chunk in 0..chunks {
            // Σ of the activations.
            let mut digital = [0u64; POSITIONS];
            for plane in 0..planes {
                for word in 0..words {
                    let lines = &patches.lanes[(plane * words + word) * chunks + chunk];
                    let mut lane = 0;
                    while lane < POSITIONS {
                        digital[lane] += u64::from(lines[lane].count_ones()) << plane;
                        lane += 1;
                    }
                }
            }
            for column in 0..matrix.columns {
                let mut total = [0u64; POSITIONS];
                for weight_plane in 0..matrix.planes {
                    let weights = &matrix.by_column
                        [(weight_plane * matrix.columns + column) * words..][..words];
                    let mut ones = [0u64; POSITIONS];
                    for plane in 0..planes {
                        let mut on = [0u64; POSITIONS];
                        for (word, &weights) in weights.iter().enumerate() {
                            let lines = &patches.lanes[(plane * words + word) * chunks + chunk];
                            let mut lane = 0;
                            while lane < POSITIONS {
                                on[lane] += u64::from((lines[lane] & weights).count_ones());
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
                        // Wraps as i64 would: the low 32 bits are those of the signed sum.
                        let product = (2 * ones[lane]).wrapping_sub(digital[lane]);
                        total[lane] = total[lane].wrapping_add(product << weight_plane);
                        lane += 1;
                    }
                }
                let into: &mut [i32; POSITIONS] = (&mut sums
                    [column * stride + at + chunk * POSITIONS..][..POSITIONS])
                    .try_into()
                    .expect("a slice of eight");
                let mut lane = 0;
                while lane < POSITIONS {
                    into[lane] = total[lane] as i32;
                    lane += 1;
                }
            }
        }
    }
}

/// Sums of a linear layer, from its one patch.
pub(crate) struct MultiplyVector<'a> {
    pub(crate) matrix: &'a PackedMatrix,
    pub(crate) patches: &'a Patches,
    /// Bit-planes of the activations.
    pub(crate) planes: usize,
    /// One a column, rounded up to [`POSITIONS`].
    pub(crate) sums: &'a mut [i32],
}

impl Kernel for MultiplyVector<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { matrix, patches, planes, sums } = self;
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
                let weights = &matrix.by_word[(weight_plane * blocks + block) * words..][..words];
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

/// Activations of sums that are (column, position), pooled on the way.
pub(crate) struct ActivateColumns<'a> {
    pub(crate) matrix: &'a MatrixLayout,
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
        let Self { matrix, sums, pool, activations, row } = self;
        let windows = &matrix.windows;
        let row_stride = windows.chunks() * POSITIONS;
        let (height, width) = (windows.height / pool, windows.width / pool);
        row.clear();
        row.resize(row_stride, 0);
        for column in 0..matrix.columns {
            let thresholds = &matrix.thresholds[column * matrix.levels..][..matrix.levels];
            let sums = &sums[column * windows.height * row_stride..];
            for y in 0..height {
                let of_y = &sums[y * pool * row_stride..];
                row.copy_from_slice(&of_y[..row_stride]);
                for dy in 1..pool {
                    let other = &of_y[dy * row_stride..][..row_stride];
                    for (largest, &sum) in row.iter_mut().zip(other) {
                        *largest = if sum > *largest { sum } else { *largest };
                    }
                }
                let into = &mut activations[(column * height + y) * width..][..width];
                if pool == 2 {
                    for (largest, pair) in into.iter_mut().zip(row.as_chunks::<2>().0) {
                        let sum = if pair[0] > pair[1] { pair[0] } else { pair[1] };
                        let mut count = 0;
                        for &threshold in thresholds {
                            count += u8::from(sum >= threshold);
                        }
                        *largest = count;
                    }
                } else {
                    for (x, activation) in into.iter_mut().enumerate() {
                        let mut sum = row[x * pool];
                        for &other in &row[x * pool + 1..][..pool - 1] {
                            sum = sum.max(other);
                        }
                        let mut count = 0;
                        for &threshold in thresholds {
                            count += u8::from(sum >= threshold);
                        }
                        *activation = count;
                    }
                }
            }
        }
    }
}

/// Activations of sums that are (position, column), pooled on the way.
pub(crate) struct ActivatePositions<'a> {
    pub(crate) matrix: &'a MatrixLayout,
    /// (position, block).
    pub(crate) sums: &'a [[i32; LANES]],
    pub(crate) pool: usize,
    /// (column, y, x), pooled.
    pub(crate) activations: &'a mut [u8],
}

impl Kernel for ActivatePositions<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { matrix, sums, pool, activations } = self;
        let (windows, blocks) = (&matrix.windows, matrix.blocks);
        let (height, width) = (windows.height / pool, windows.width / pool);
        for block in 0..blocks {
            let columns = (matrix.columns - block * LANES).min(LANES);
            let thresholds = &matrix.threshold_lanes[block * matrix.levels..][..matrix.levels];
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
