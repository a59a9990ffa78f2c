//! The arithmetic of a block on the processor: product, pool and quantiser, forward and back.
//!
//! A block is a convolution with its pool window, or a linear layer, and the quantiser after it.
//! All of it is loops over vectors of floats, compiled for several instruction sets; the widest that
//! the processor has is chosen when the program runs. Every sum has one order, fused multiply-adds
//! included, so that the choice changes no bit of a result.
//!
//! **Forward**, sums are whole numbers below 2²⁴ and exact.
//!
//! **Back**, a gradient reaches a sum only if it won its pool window and its activation was not
//! clamped: of a 2×2 window at most one of four sums, and not all of those. They are listed, and only
//! they are worked on.

use pulp::{Arch, Simd, WithSimd};

use crate::noise::{Draws, Errors, square_weight};

/// The shape of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Channels, rows and columns of the input; a linear layer sees features as channels.
    pub(crate) input: [usize; 3],
    /// Outputs of the matrix.
    pub(crate) outputs: usize,
    /// Side of the kernel; 1 for a linear layer.
    pub(crate) kernel: usize,
    /// Zeros around the input.
    pub(crate) padding: usize,
    /// Side of the pool window; 1 for none.
    pub(crate) pool: usize,
}

impl Shape {
    /// Rows and columns of the padded input.
    fn padded(&self) -> [usize; 2] {
        [self.input[1] + 2 * self.padding, self.input[2] + 2 * self.padding]
    }

    /// Rows and columns before the pool.
    fn sums(&self) -> [usize; 2] {
        self.padded().map(|side| side + 1 - self.kernel)
    }

    /// Rows and columns after the pool.
    pub(crate) fn pooled(&self) -> [usize; 2] {
        self.sums().map(|side| side / self.pool)
    }

    /// Floats of an image's input.
    pub(crate) fn features_in(&self) -> usize {
        self.input.iter().product()
    }

    /// Floats of an image's output.
    pub(crate) fn features_out(&self) -> usize {
        let [height, width] = self.pooled();
        self.outputs * height * width
    }

    /// Rows of the matrix.
    pub(crate) fn rows(&self) -> usize {
        self.input[0] * self.kernel * self.kernel
    }

    fn is_linear(&self) -> bool {
        self.kernel == 1 && self.pool == 1 && self.input[1..] == [1, 1]
    }
}

/// What the way forward leaves for the way back: per image, pooled position and output.
#[derive(Debug, Clone)]
pub(crate) struct Sums {
    /// The largest sum of the pool window.
    pub(crate) largest: Vec<f32>,
    /// Its place in the window, row by row; the first of equal ones.
    pub(crate) place: Vec<u8>,
    /// Its derivative by the sum without errors; empty if there are none.
    pub(crate) by_exact: Vec<f32>,
}

/// Sums of a shard: `input` is (image, feature), `weights` (row, output) as in the network.
///
/// The results are (image, output, y, x), pooled.
pub(crate) fn forward(
    shape: &Shape,
    input: &[f32],
    weights: &[f32],
    disturbance: Option<Disturbance<'_>>,
) -> Sums {
    Arch::new().dispatch(Forward { shape, input, weights, disturbance })
}

/// What disturbs the sums before they are pooled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disturbance<'a> {
    pub(crate) errors: &'a Errors,
    /// Of every image.
    pub(crate) draws: &'a [Draws],
    /// What the weights are off by, (row, output).
    pub(crate) deviations: &'a [f32],
}

#[derive(Clone, Copy)]
struct Forward<'a> {
    shape: &'a Shape,
    input: &'a [f32],
    weights: &'a [f32],
    disturbance: Option<Disturbance<'a>>,
}

impl WithSimd for Forward<'_> {
    type Output = Sums;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Sums {
        let Self { shape, input, weights, disturbance } = self;
        if shape.is_linear() {
            let mut largest = linear(simd, shape, input, weights);
            let mut by_exact = Vec::new();
            if let Some(disturbance) = disturbance {
                by_exact = linear(simd, shape, input, disturbance.deviations);
                disturb_linear(shape, input, disturbance, &mut largest, &mut by_exact);
            }
            Sums { largest, place: Vec::new(), by_exact }
        } else {
            convolve(simd, self)
        }
    }
}

/// Derivatives by the weights and, where asked for, by the input, from those by the pooled sums.
pub(crate) fn backward(
    shape: &Shape,
    input: &[f32],
    weights: &[f32],
    place: &[u8],
    by_sums: &[f32],
    wants_input: bool,
) -> (Vec<f32>, Option<Vec<f32>>) {
    Arch::new().dispatch(Backward { shape, input, weights, place, by_sums, wants_input })
}

#[derive(Clone, Copy)]
struct Backward<'a> {
    shape: &'a Shape,
    input: &'a [f32],
    weights: &'a [f32],
    place: &'a [u8],
    by_sums: &'a [f32],
    wants_input: bool,
}

impl WithSimd for Backward<'_> {
    type Output = (Vec<f32>, Option<Vec<f32>>);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let Self { shape, input, weights, by_sums, .. } = self;
        if shape.is_linear() {
            let by_weights = linear_by_weights(simd, shape, input, by_sums);
            let by_input = if self.wants_input {
                Some(linear_by_input(simd, shape, weights, by_sums))
            } else {
                None
            };
            (by_weights, by_input)
        } else {
            convolve_back(simd, self)
        }
    }
}

// ---- linear layers -------------------------------------------------------------------------

/// A row and what it is multiplied with.
#[derive(Debug, Clone, Copy, Default)]
struct Term {
    row: u32,
    factor: f32,
}

/// sum[at..] = Σ factor · row[at..] over so many vectors of columns, which stay in registers.
#[inline(always)]
#[expect(clippy::manual_memcpy, reason = "vectors go from registers to memory one by one")]
fn combine<S: Simd, const VECTORS: usize>(
    simd: S,
    terms: &[Term],
    rows: &[f32],
    at: usize,
    sum: &mut [f32],
) {
    let columns = sum.len();
    let mut total = [simd.splat_f32s(0.0); VECTORS];
    for term in terms {
        let row = &rows[term.row as usize * columns + at..][..VECTORS * S::F32_LANES];
        let (row, _) = S::as_simd_f32s(row);
        let factor = simd.splat_f32s(term.factor);
        for vector in 0..VECTORS {
            total[vector] = simd.mul_add_f32s(factor, row[vector], total[vector]);
        }
    }
    let (sum, _) = S::as_mut_simd_f32s(&mut sum[at..][..VECTORS * S::F32_LANES]);
    for vector in 0..VECTORS {
        sum[vector] = total[vector];
    }
}

/// sum = Σ factor · row over all columns; a row of `rows` is as long as `sum`.
#[inline(always)]
fn combine_all<S: Simd>(simd: S, terms: &[Term], rows: &[f32], sum: &mut [f32]) {
    let columns = sum.len();
    let mut at = 0;
    macro_rules! block {
        ($vectors:literal) => {{
            combine::<S, $vectors>(simd, terms, rows, at, sum);
            at += $vectors * S::F32_LANES;
        }};
    }
    while at + S::F32_LANES <= columns {
        match (columns - at) / S::F32_LANES {
            8.. => block!(8),
            4.. => block!(4),
            2.. => block!(2),
            _ => block!(1),
        }
    }
    if at < columns && S::F32_LANES <= columns {
        // The last columns, some of them once more.
        combine::<S, 1>(simd, terms, rows, columns - S::F32_LANES, sum);
    } else {
        for column in at..columns {
            let mut total = 0.0f32;
            for term in terms {
                total = term.factor.mul_add(rows[term.row as usize * columns + column], total);
            }
            sum[column] = total;
        }
    }
}

/// The places and values of what is not 0 among every `step`-th value.
#[inline(always)]
fn nonzero<'a>(values: &[f32], step: usize, list: &'a mut [Term]) -> &'a [Term] {
    let mut count = 0;
    let mut row = 0;
    let mut at = 0;
    while at < values.len() {
        let factor = values[at];
        list[count] = Term { row, factor };
        count += usize::from(factor != 0.0);
        row += 1;
        at += step;
    }
    &list[..count]
}

#[inline(always)]
fn linear<S: Simd>(simd: S, shape: &Shape, input: &[f32], weights: &[f32]) -> Vec<f32> {
    let (rows, outputs) = (shape.rows(), shape.outputs);
    let mut sums = vec![0.0; input.len() / rows * outputs];
    let mut list = vec![Term::default(); rows + 1];
    for (input, sums) in input.chunks_exact(rows).zip(sums.chunks_exact_mut(outputs)) {
        combine_all(simd, nonzero(input, 1, &mut list), weights, sums);
    }
    sums
}

#[inline(always)]
fn linear_by_weights<S: Simd>(simd: S, shape: &Shape, input: &[f32], by_sums: &[f32]) -> Vec<f32> {
    let (rows, outputs) = (shape.rows(), shape.outputs);
    let mut by_weights = vec![0.0; rows * outputs];
    let mut list = vec![Term::default(); input.len() / rows + 1];
    for (row, by_weights) in by_weights.chunks_exact_mut(outputs).enumerate() {
        combine_all(simd, nonzero(&input[row..], rows, &mut list), by_sums, by_weights);
    }
    by_weights
}

#[inline(always)]
fn linear_by_input<S: Simd>(simd: S, shape: &Shape, weights: &[f32], by_sums: &[f32]) -> Vec<f32> {
    let (rows, outputs) = (shape.rows(), shape.outputs);
    let transposed = transpose(weights, rows, outputs);
    let mut by_input = vec![0.0; by_sums.len() / outputs * rows];
    let mut list = vec![Term::default(); outputs + 1];
    for (by_sums, by_input) in by_sums.chunks_exact(outputs).zip(by_input.chunks_exact_mut(rows)) {
        combine_all(simd, nonzero(by_sums, 1, &mut list), &transposed, by_input);
    }
    by_input
}

#[inline(always)]
fn transpose(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const BLOCK: usize = 8;
    let mut transposed = vec![0.0; matrix.len()];
    for top in (0..rows).step_by(BLOCK) {
        for column in 0..columns {
            let end = rows.min(top + BLOCK);
            let target = &mut transposed[column * rows + top..column * rows + end];
            for (row, target) in (top..end).zip(target) {
                *target = matrix[row * columns + column];
            }
        }
    }
    transposed
}

// ---- convolutions --------------------------------------------------------------------------

/// An image with its padding, (channel, y, x).
#[inline(always)]
fn pad(shape: &Shape, image: &[f32], padded: &mut [f32]) {
    let [_, height, width] = shape.input;
    let [padded_height, padded_width] = shape.padded();
    for (row, from) in image.chunks_exact(width).enumerate() {
        let (channel, y) = (row / height, row % height);
        let to = (channel * padded_height + y + shape.padding) * padded_width + shape.padding;
        padded[to..][..width].copy_from_slice(from);
    }
}

/// An image as a convolution reads it: (y, x, channel) with its padding, and room to read over.
#[inline(always)]
fn spread(shape: &Shape, image: &[f32], padded: &mut [f32]) {
    let [channels, height, width] = shape.input;
    let [_, padded_width] = shape.padded();
    for channel in 0..channels {
        for y in 0..height {
            let from = &image[(channel * height + y) * width..][..width];
            let to = ((y + shape.padding) * padded_width + shape.padding) * channels + channel;
            for (x, &value) in from.iter().enumerate() {
                padded[to + x * channels] = value;
            }
        }
    }
}

/// The opposite of [`spread`].
#[inline(always)]
fn gather(shape: &Shape, padded: &[f32], image: &mut [f32]) {
    let [channels, height, width] = shape.input;
    let [_, padded_width] = shape.padded();
    for channel in 0..channels {
        for y in 0..height {
            let to = &mut image[(channel * height + y) * width..][..width];
            let from = ((y + shape.padding) * padded_width + shape.padding) * channels + channel;
            for (x, value) in to.iter_mut().enumerate() {
                *value = padded[from + x * channels];
            }
        }
    }
}

fn spread_room<S: Simd>(shape: &Shape) -> Vec<f32> {
    let [height, width] = shape.padded();
    vec![0.0; height * width * shape.input[0] + S::F32_LANES]
}

#[inline(always)]
fn convolve<S: Simd>(simd: S, forward: Forward<'_>) -> Sums {
    let Forward { shape, input, weights, disturbance } = forward;
    let [channels, ..] = shape.input;
    let [padded_height, padded_width] = shape.padded();
    let [height, width] = shape.sums();
    let [pooled_height, pooled_width] = shape.pooled();
    let (kernel, pool, outputs) = (shape.kernel, shape.pool, shape.outputs);
    // Beside the weights, what they are off by.
    let width_packed = if disturbance.is_some() { 2 * outputs } else { outputs };
    let lanes = width_packed.next_multiple_of(S::F32_LANES);
    // (row, output), outputs filled up with zeros.
    let mut packed = vec![0.0f32; shape.rows() * lanes];
    for (packed, weights) in packed.chunks_exact_mut(lanes).zip(weights.chunks_exact(outputs)) {
        packed[..outputs].copy_from_slice(weights);
    }
    if let Some(Disturbance { deviations, .. }) = disturbance {
        let deviations = deviations.chunks_exact(outputs);
        for (packed, deviations) in packed.chunks_exact_mut(lanes).zip(deviations) {
            packed[outputs..2 * outputs].copy_from_slice(deviations);
        }
    }
    let images = input.len() / shape.features_in();
    let positions = pooled_height * pooled_width;
    let mut largest = vec![0.0f32; images * outputs * positions];
    let mut place = vec![0u8; largest.len()];
    let mut by_exact = vec![0.0f32; if disturbance.is_some() { largest.len() } else { 0 }];
    let strides = [padded_height * padded_width, padded_width];
    let mut padded = vec![0.0f32; channels * strides[0]];
    let mut sums = vec![0.0f32; height * width * lanes];
    for (image, input) in input.chunks_exact(shape.features_in()).enumerate() {
        if is_sparse(shape, input) {
            spread_sums(simd, shape, input, &packed, lanes, &mut sums);
        } else {
            pad(shape, input, &mut padded);
            for (y, sums) in sums.chunks_exact_mut(width * lanes).enumerate() {
                let padded = &padded[y * padded_width..];
                let windows = Windows { padded, strides, channels, kernel };
                let mut block = 0;
                while block < lanes {
                    if lanes - block >= 2 * S::F32_LANES {
                        row_of_sums::<S, 2>(simd, windows, &packed, lanes, block, sums);
                        block += 2 * S::F32_LANES;
                    } else {
                        row_of_sums::<S, 1>(simd, windows, &packed, lanes, block, sums);
                        block += S::F32_LANES;
                    }
                }
            }
        }
        if let Some(Disturbance { errors, draws, .. }) = disturbance {
            let weights_on = weights_on(shape, input);
            for (position, sums) in sums.chunks_exact_mut(lanes).enumerate() {
                let (sums, of_chip) = sums.split_at_mut(outputs);
                for (output, (sum, of_chip)) in sums.iter_mut().zip(of_chip).enumerate() {
                    let index = position * outputs + output;
                    let on = weights_on[position];
                    [*sum, *of_chip] = errors.disturb(*sum, *of_chip, on, draws[image], index);
                }
            }
        }
        for y in 0..pooled_height {
            let sums = &sums[y * pool * width * lanes..];
            for x in 0..pooled_width {
                for block in (0..outputs).step_by(S::F32_LANES) {
                    let mut best = simd.splat_f32s(f32::NEG_INFINITY);
                    let mut at = simd.splat_f32s(0.0);
                    for dy in 0..pool {
                        for dx in 0..pool {
                            let from = (dy * width + x * pool + dx) * lanes + block;
                            let sums = S::as_simd_f32s(&sums[from..][..S::F32_LANES]).0[0];
                            let wins = simd.greater_than_f32s(sums, best);
                            let place = simd.splat_f32s((dy * pool + dx) as f32);
                            best = simd.select_f32s(wins, sums, best);
                            at = simd.select_f32s(wins, place, at);
                        }
                    }
                    let best: &[f32] = bytemuck::cast_slice(std::slice::from_ref(&best));
                    let at: &[f32] = bytemuck::cast_slice(std::slice::from_ref(&at));
                    let to = (image * outputs + block) * positions + y * pooled_width + x;
                    for lane in 0..S::F32_LANES.min(outputs - block) {
                        largest[to + lane * positions] = best[lane];
                        place[to + lane * positions] = at[lane] as u8;
                        if disturbance.is_some() {
                            let (dy, dx) = (at[lane] as usize / pool, at[lane] as usize % pool);
                            let from = (dy * width + x * pool + dx) * lanes + block + lane;
                            by_exact[to + lane * positions] = sums[from + outputs];
                        }
                    }
                }
            }
        }
    }
    Sums { largest, place, by_exact }
}

/// Whether so few activations are on that it pays to go from them to the sums they reach.
fn is_sparse(shape: &Shape, input: &[f32]) -> bool {
    let on = input.iter().filter(|&&activation| activation != 0.0).count();
    let [height, width] = shape.sums();
    3 * on < shape.input[0] * height * width
}

/// The sums of an image, (y, x, output), gone to from what is on.
#[inline(always)]
fn spread_sums<S: Simd>(
    simd: S,
    shape: &Shape,
    input: &[f32],
    packed: &[f32],
    lanes: usize,
    sums: &mut [f32],
) {
    let [_, input_height, input_width] = shape.input;
    let [height, width] = shape.sums();
    let (kernel, padding) = (shape.kernel, shape.padding);
    sums.fill(0.0);
    for (feature, &activation) in input.iter().enumerate() {
        if activation == 0.0 {
            continue;
        }
        let (channel, pixel) =
            (feature / (input_height * input_width), feature % (input_height * input_width));
        let (y, x) = (pixel / input_width + padding, pixel % input_width + padding);
        let value = simd.splat_f32s(activation);
        for ky in (y + 1).saturating_sub(height)..kernel.min(y + 1) {
            for kx in (x + 1).saturating_sub(width)..kernel.min(x + 1) {
                let weights = &packed[((channel * kernel + ky) * kernel + kx) * lanes..][..lanes];
                let sums = &mut sums[((y - ky) * width + x - kx) * lanes..][..lanes];
                let (sums, _) = S::as_mut_simd_f32s(sums);
                for (sum, weights) in sums.iter_mut().zip(S::as_simd_f32s(weights).0) {
                    *sum = simd.mul_add_f32s(value, *weights, *sum);
                }
            }
        }
    }
}

/// A and B of the disturbance for every position before the pool.
fn weights_on(shape: &Shape, input: &[f32]) -> Vec<[f32; 2]> {
    let [padded_height, padded_width] = shape.padded();
    let [_, input_height, input_width] = shape.input;
    let [height, width] = shape.sums();
    let mut pixels = vec![[0.0f32; 2]; padded_height * padded_width];
    for (row, activations) in input.chunks_exact(input_width).enumerate() {
        let to = (row % input_height + shape.padding) * padded_width + shape.padding;
        for (pixel, &activation) in pixels[to..].iter_mut().zip(activations) {
            pixel[0] += activation;
            pixel[1] += square_weight(activation);
        }
    }
    let plus = |a: [f32; 2], b: [f32; 2]| [a[0] + b[0], a[1] + b[1]];
    let mut columns = vec![[0.0f32; 2]; height * padded_width];
    for y in 0..height {
        for ky in 0..shape.kernel {
            for x in 0..padded_width {
                let sum = &mut columns[y * padded_width + x];
                *sum = plus(*sum, pixels[(y + ky) * padded_width + x]);
            }
        }
    }
    let window = |at: usize| columns[at..at + shape.kernel].iter().copied().fold([0.0; 2], plus);
    (0..height * width).map(|at| window(at / width * padded_width + at % width)).collect()
}

/// Disturbs `sums`; `of_chip` are those of the deviations and become the derivatives.
fn disturb_linear(
    shape: &Shape,
    input: &[f32],
    disturbance: Disturbance<'_>,
    sums: &mut [f32],
    of_chip: &mut [f32],
) {
    let images = input.chunks_exact(shape.rows()).zip(sums.chunks_exact_mut(shape.outputs));
    let images = images.zip(of_chip.chunks_exact_mut(shape.outputs));
    for (((input, sums), of_chip), &draws) in images.zip(disturbance.draws) {
        let a = input.iter().sum();
        let b = input.iter().map(|&activation| square_weight(activation)).sum();
        for (output, (sum, of_chip)) in sums.iter_mut().zip(of_chip).enumerate() {
            let errors = disturbance.errors;
            [*sum, *of_chip] = errors.disturb(*sum, *of_chip, [a, b], draws, output);
        }
    }
}

/// Where the windows of a row of sums lie.
#[derive(Clone, Copy)]
struct Windows<'a> {
    /// (channel, y, x), from the first window on.
    padded: &'a [f32],
    /// Floats from channel to channel and from row to row.
    strides: [usize; 2],
    channels: usize,
    kernel: usize,
}

/// A row of sums of `VECTORS` vectors of outputs from output `block` on.
#[inline(always)]
fn row_of_sums<S: Simd, const VECTORS: usize>(
    simd: S,
    windows: Windows<'_>,
    packed: &[f32],
    lanes: usize,
    block: usize,
    sums: &mut [f32],
) {
    let width = sums.len() / lanes;
    let mut x = 0;
    macro_rules! block {
        ($pixels:literal) => {{
            let windows = Windows { padded: &windows.padded[x..], ..windows };
            let sums = &mut sums[x * lanes..];
            pixels::<S, $pixels, VECTORS>(simd, windows, packed, lanes, block, sums);
            x += $pixels;
        }};
    }
    while x < width {
        // As many as sixteen registers hold, sums, weights and a value.
        match width - x {
            7.. if VECTORS == 1 => block!(7),
            5.. => block!(5),
            2.. => block!(2),
            _ => block!(1),
        }
    }
}

/// The sums of `PIXELS` neighbours, which stay in registers.
#[inline(always)]
#[expect(clippy::manual_memcpy, reason = "vectors go from registers to memory one by one")]
fn pixels<S: Simd, const PIXELS: usize, const VECTORS: usize>(
    simd: S,
    windows: Windows<'_>,
    packed: &[f32],
    lanes: usize,
    block: usize,
    sums: &mut [f32],
) {
    let Windows { padded, strides, channels, kernel } = windows;
    let mut total = [[simd.splat_f32s(0.0); VECTORS]; PIXELS];
    let mut packed = packed.chunks_exact(lanes);
    for channel in 0..channels {
        for ky in 0..kernel {
            let row = &padded[channel * strides[0] + ky * strides[1]..][..kernel + PIXELS - 1];
            for (values, weights) in row.windows(PIXELS).zip(packed.by_ref().take(kernel)) {
                let (weights, _) = S::as_simd_f32s(&weights[block..][..VECTORS * S::F32_LANES]);
                for pixel in 0..PIXELS {
                    let value = simd.splat_f32s(values[pixel]);
                    for vector in 0..VECTORS {
                        total[pixel][vector] =
                            simd.mul_add_f32s(value, weights[vector], total[pixel][vector]);
                    }
                }
            }
        }
    }
    for pixel in 0..PIXELS {
        let sums = &mut sums[pixel * lanes + block..][..VECTORS * S::F32_LANES];
        let (sums, _) = S::as_mut_simd_f32s(sums);
        for vector in 0..VECTORS {
            sums[vector] = total[pixel][vector];
        }
    }
}

/// A sum that a gradient reaches.
#[derive(Clone, Copy, Default)]
struct Reached {
    /// Offset of its window in the padded image.
    window: u32,
    gradient: f32,
}

#[inline(always)]
fn convolve_back<S: Simd>(simd: S, back: Backward<'_>) -> (Vec<f32>, Option<Vec<f32>>) {
    let Backward { shape, input, weights, place, by_sums, wants_input } = back;
    let [channels, ..] = shape.input;
    let [_, padded_width] = shape.padded();
    let [pooled_height, pooled_width] = shape.pooled();
    let (kernel, pool, outputs) = (shape.kernel, shape.pool, shape.outputs);
    let positions = pooled_height * pooled_width;
    let stride = padded_width * channels;
    // A window's row, filled up with zeros to whole chunks.
    let segment = (kernel * channels).next_multiple_of(S::F32_LANES);
    let chunks: Vec<usize> = (0..kernel)
        .flat_map(|ky| (0..segment).step_by(S::F32_LANES).map(move |at| ky * stride + at))
        .collect();
    let row = chunks.len() * S::F32_LANES;
    // (output, ky, kx, channel)
    let mut packed = vec![0.0f32; outputs * row];
    for channel in 0..channels {
        for ky in 0..kernel {
            for kx in 0..kernel {
                let from = ((channel * kernel + ky) * kernel + kx) * outputs;
                let to = ky * segment + kx * channels + channel;
                for output in 0..outputs {
                    packed[output * row + to] = weights[from + output];
                }
            }
        }
    }
    // Where in the padded image the window of every place in a pool window begins.
    let windows: Vec<u32> = (0..positions)
        .map(|at| ((at / pooled_width * padded_width + at % pooled_width) * pool * channels) as u32)
        .collect();
    let places: Vec<u32> = (0..pool * pool)
        .map(|at| ((at / pool * padded_width + at % pool) * channels) as u32)
        .collect();

    let images = input.len() / shape.features_in();
    let mut by_packed = vec![0.0f32; outputs * row];
    let mut by_input = vec![0.0f32; if wants_input { input.len() } else { 0 }];
    let mut padded = spread_room::<S>(shape);
    let mut by_padded = spread_room::<S>(shape);
    let mut reached = vec![Reached::default(); positions + 1];
    for image in 0..images {
        spread(shape, &input[image * shape.features_in()..][..shape.features_in()], &mut padded);
        by_padded.fill(0.0);
        for output in 0..outputs {
            let from = (image * outputs + output) * positions;
            let mut count = 0;
            for at in 0..positions {
                let gradient = by_sums[from + at];
                let window = windows[at] + places[usize::from(place[from + at])];
                reached[count] = Reached { window, gradient };
                count += usize::from(gradient != 0.0);
            }
            let reached = &reached[..count];
            let by_packed = &mut by_packed[output * row..][..row];
            let mut chunk = 0;
            while chunk < chunks.len() {
                macro_rules! block {
                    ($chunks:literal) => {{
                        let sums = &mut by_packed[chunk * S::F32_LANES..];
                        by_weights::<S, $chunks>(simd, reached, &padded, &chunks[chunk..], sums);
                        chunk += $chunks;
                    }};
                }
                match chunks.len() - chunk {
                    10.. => block!(10),
                    5.. => block!(5),
                    3.. => block!(3),
                    _ => block!(1),
                }
            }
            if wants_input {
                let packed = &packed[output * row..][..row];
                for reached in reached {
                    let by_padded = &mut by_padded[reached.window as usize..];
                    for (ky, weights) in packed.chunks_exact(segment).enumerate() {
                        let target = &mut by_padded[ky * stride..][..segment];
                        let (target, _) = S::as_mut_simd_f32s(target);
                        let (weights, _) = S::as_simd_f32s(weights);
                        let gradient = simd.splat_f32s(reached.gradient);
                        for (target, weights) in target.iter_mut().zip(weights) {
                            *target = simd.mul_add_f32s(gradient, *weights, *target);
                        }
                    }
                }
            }
        }
        if wants_input {
            gather(
                shape,
                &by_padded,
                &mut by_input[image * shape.features_in()..][..shape.features_in()],
            );
        }
    }
    let mut by_weights = vec![0.0f32; weights.len()];
    for channel in 0..channels {
        for ky in 0..kernel {
            for kx in 0..kernel {
                let to = ((channel * kernel + ky) * kernel + kx) * outputs;
                let from = ky * segment + kx * channels + channel;
                for output in 0..outputs {
                    by_weights[to + output] = by_packed[output * row + from];
                }
            }
        }
    }
    (by_weights, wants_input.then_some(by_input))
}

/// sum[chunk] += Σ gradient · window[chunk], over what is reached; the chunks stay in registers.
#[inline(always)]
fn by_weights<S: Simd, const CHUNKS: usize>(
    simd: S,
    reached: &[Reached],
    padded: &[f32],
    chunks: &[usize],
    sums: &mut [f32],
) {
    let (sums, _) = S::as_mut_simd_f32s(&mut sums[..CHUNKS * S::F32_LANES]);
    let chunks: &[usize; CHUNKS] = chunks[..CHUNKS].try_into().expect("CHUNKS");
    let mut total = [simd.splat_f32s(0.0); CHUNKS];
    for reached in reached {
        let window = &padded[reached.window as usize..];
        let gradient = simd.splat_f32s(reached.gradient);
        for chunk in 0..CHUNKS {
            let values = S::as_simd_f32s(&window[chunks[chunk]..][..S::F32_LANES]).0[0];
            total[chunk] = simd.mul_add_f32s(gradient, values, total[chunk]);
        }
    }
    for chunk in 0..CHUNKS {
        sums[chunk] = simd.add_f32s(sums[chunk], total[chunk]);
    }
}

#[cfg(test)]
mod tests {
    use hafnia_rng::Seed;
    use rand::RngExt;

    use super::*;

    /// A convolution, linear layers of awkward widths, and windows that overlap the padding.
    const SHAPES: [Shape; 6] = [
        Shape { input: [1, 28, 28], outputs: 6, kernel: 5, padding: 2, pool: 2 },
        Shape { input: [6, 14, 14], outputs: 16, kernel: 5, padding: 0, pool: 2 },
        Shape { input: [3, 7, 11], outputs: 19, kernel: 3, padding: 1, pool: 1 },
        Shape { input: [2, 9, 9], outputs: 5, kernel: 4, padding: 3, pool: 3 },
        Shape { input: [130, 1, 1], outputs: 84, kernel: 1, padding: 0, pool: 1 },
        Shape { input: [9, 1, 1], outputs: 3, kernel: 1, padding: 0, pool: 1 },
    ];

    /// Calls `visit(weight, feature, sum)`, all indices, for every product of an image.
    fn products(shape: &Shape, mut visit: impl FnMut(usize, usize, usize)) {
        let [channels, height, width] = shape.input;
        let [rows, columns] = shape.sums();
        for y in 0..rows {
            for x in 0..columns {
                for channel in 0..channels {
                    for ky in 0..shape.kernel {
                        for kx in 0..shape.kernel {
                            let row = (y + ky).wrapping_sub(shape.padding);
                            let column = (x + kx).wrapping_sub(shape.padding);
                            if row >= height || column >= width {
                                continue;
                            }
                            let feature = (channel * height + row) * width + column;
                            let weight = (channel * shape.kernel + ky) * shape.kernel + kx;
                            for output in 0..shape.outputs {
                                let sum = (output * rows + y) * columns + x;
                                visit(weight * shape.outputs + output, feature, sum);
                            }
                        }
                    }
                }
            }
        }
    }

    /// The index of the first largest sum of every pool window, (output, y, x).
    fn winners(shape: &Shape, sums: &[f32]) -> Vec<usize> {
        let ([rows, columns], [height, width]) = (shape.sums(), shape.pooled());
        let mut winners = Vec::new();
        for output in 0..shape.outputs {
            for y in 0..height {
                for x in 0..width {
                    let window = (0..shape.pool * shape.pool).map(|place| {
                        let (dy, dx) = (place / shape.pool, place % shape.pool);
                        (output * rows + y * shape.pool + dy) * columns + x * shape.pool + dx
                    });
                    let first_larger = |best, at| if sums[at] > sums[best] { at } else { best };
                    winners.push(window.reduce(first_larger).unwrap());
                }
            }
        }
        winners
    }

    #[test]
    fn sums_and_derivatives_are_those_of_plain_loops() {
        const IMAGES: usize = 3;
        let mut rng = Seed(5).site("test/kernels").rng();
        for shape in SHAPES {
            let weights: Vec<f32> = (0..shape.rows() * shape.outputs)
                .map(|_| if rng.random() { 1.0 } else { -1.0 })
                .collect();
            // The first image is sparse, the others are not.
            let sparse = |i| if i < shape.features_in() { 24 } else { 4 };
            let input: Vec<f32> = (0..IMAGES * shape.features_in())
                .map(|i| (rng.random_range(0..sparse(i)) % 22 % 7) as f32)
                .map(|activation| if activation > 3.0 { 0.0 } else { activation })
                .collect();
            // Eighths, so that sums are exact in any order; most are 0.
            let by_sums: Vec<f32> = (0..IMAGES * shape.features_out())
                .map(|_| (rng.random_range(-40..8i32).max(0) - 3).max(-1) as f32 / 8.0)
                .collect();
            let sums = forward(&shape, &input, &weights, None);
            let (by_weights, by_input) =
                backward(&shape, &input, &weights, &sums.place, &by_sums, true);
            let (only_weights, none) =
                backward(&shape, &input, &weights, &sums.place, &by_sums, false);
            assert_eq!((only_weights, none), (by_weights.clone(), None));

            let mut expected_by_weights = vec![0.0; weights.len()];
            let mut expected_by_input = Vec::new();
            let mut largest = Vec::new();
            for image in 0..IMAGES {
                let input = &input[image * shape.features_in()..][..shape.features_in()];
                let by_sums = &by_sums[image * shape.features_out()..][..shape.features_out()];
                let [rows, columns] = shape.sums();
                let mut all = vec![0.0; shape.outputs * rows * columns];
                products(&shape, |weight, feature, sum| {
                    all[sum] += weights[weight] * input[feature]
                });
                let winners = winners(&shape, &all);
                largest.extend(winners.iter().map(|&winner| all[winner]));
                let mut by_all = vec![0.0; all.len()];
                winners.iter().zip(by_sums).for_each(|(&winner, &by)| by_all[winner] = by);
                let mut by_image = vec![0.0; input.len()];
                products(&shape, |weight, feature, sum| {
                    expected_by_weights[weight] += by_all[sum] * input[feature];
                    by_image[feature] += by_all[sum] * weights[weight];
                });
                expected_by_input.extend(by_image);
            }
            assert_eq!(sums.largest, largest, "{shape:?}");
            assert_eq!(by_weights, expected_by_weights, "{shape:?}");
            assert_eq!(by_input, Some(expected_by_input), "{shape:?}");
        }
    }

    /// With float weights and derivatives rounding shows any other order of summation.
    #[test]
    fn vector_instructions_change_no_bit() {
        let mut rng = Seed(7).site("test/instructions").rng();
        for shape in SHAPES {
            let mut random = |count: usize| -> Vec<f32> {
                (0..count).map(|_| rng.random_range(-1.0f32..1.0).max(-0.5) + 0.5).collect()
            };
            let (input, weights) =
                (random(2 * shape.features_in()), random(shape.rows() * shape.outputs));
            let by_sums = random(2 * shape.features_out());
            let (shape, input, weights) = (&shape, &input[..], &weights[..]);
            let forward = Forward { shape, input, weights, disturbance: None };
            let place = &forward.with_simd(pulp::Scalar::new()).place[..];
            let by_sums = &by_sums[..];
            let back = Backward { shape, input, weights, place, by_sums, wants_input: true };
            assert_eq!(
                Arch::new().dispatch(forward).largest,
                forward.with_simd(pulp::Scalar::new()).largest,
            );
            assert_eq!(Arch::new().dispatch(back), back.with_simd(pulp::Scalar::new()));
        }
    }

    #[test]
    fn what_is_on_is_weighed_as_plain_loops_do() {
        let mut rng = Seed(6).site("test/weights-on").rng();
        for shape in &SHAPES[..4] {
            let input: Vec<f32> =
                (0..shape.features_in()).map(|_| rng.random_range(0..16) as f32).collect();
            let [rows, columns] = shape.sums();
            let mut expected = vec![[0.0; 2]; rows * columns];
            products(&Shape { outputs: 1, ..*shape }, |_, feature, position| {
                expected[position][0] += input[feature];
                expected[position][1] += square_weight(input[feature]);
            });
            assert_eq!(weights_on(shape, &input), expected);
        }
    }

    /// A pool window keeps the derivative of the sum that it keeps.
    #[test]
    fn the_pool_keeps_the_derivatives_of_its_winners() {
        const IMAGES: usize = 3;
        let noise = crate::Noise {
            macro_name: "gt-n40".into(),
            sigma_lrs: 0.15,
            adc_offset_lsb: 0.1,
            strength: 1.0,
            from_epoch: 1,
        };
        let errors = Errors::new(&noise).unwrap();
        let mut rng = Seed(6).site("test/kernels/errors").rng();
        for shape in [SHAPES[0], SHAPES[1], SHAPES[3]] {
            let input: Vec<f32> = (0..IMAGES * shape.features_in())
                .map(|_| rng.random_range(-2..4i32).max(0) as f32)
                .collect();
            let numbers: Vec<[f32; 2]> = (0..shape.rows() * shape.outputs)
                .map(|_| [rng.random_range(-1.2..1.2), rng.random_range(-0.3..0.3)])
                .collect();
            let [weights, deviations]: [Vec<f32>; 2] =
                [0, 1].map(|i| numbers.iter().map(|numbers| numbers[i]).collect());
            let draws = [Draws(1), Draws(2), Draws(3)];
            let disturbance =
                Disturbance { errors: &errors, draws: &draws, deviations: &deviations };
            let pooled = forward(&shape, &input, &weights, Some(disturbance));
            let unpooled = Shape { pool: 1, ..shape };
            let every = forward(&unpooled, &input, &weights, Some(disturbance));
            assert!(every.by_exact.iter().any(|&by_exact| by_exact != 1.0));
            let sums = every.largest.chunks_exact(unpooled.features_out());
            let winners = sums.enumerate().flat_map(|(image, sums)| {
                let at = image * unpooled.features_out();
                winners(&shape, sums).into_iter().map(move |winner| at + winner)
            });
            for (index, winner) in winners.enumerate() {
                assert_eq!(pooled.largest[index], every.largest[winner], "{shape:?}");
                assert_eq!(pooled.by_exact[index], every.by_exact[winner], "{shape:?}");
            }
        }
    }
}
