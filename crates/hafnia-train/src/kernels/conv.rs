//! The kernels of a convolution with its pool window.
//!
//! **Forward**, outputs lie along vectors. A few neighbouring sums stay in registers while their
//! windows are walked once; where few activations are on, as in the first layer, it goes from each of
//! them to the sums that it reaches.
//!
//! **Back**, the rows of windows lie along vectors, channels innermost. The sums that a gradient
//! reaches are listed, and only they are worked on.

use std::ops::Range;

use hafnia_simd::{Floats, LANES};

use super::shape::{Operands, Shape, Sums};
use crate::noise::{Disturbance, On};

/// The largest sums of the pool windows, and their errors.
#[inline(always)]
pub(super) fn forward<F: Floats>(
    floats: F,
    operands: Operands<'_>,
    disturbance: Option<Disturbance<'_>>,
) -> Sums {
    let Operands { shape, input, .. } = operands;
    let [padded_height, _] = shape.padded();
    let [height, width] = shape.sums();
    let outputs = shape.outputs;
    let deviations = disturbance.map(|disturbance| disturbance.deviations);
    let (packed, lanes) = pack(operands, deviations, F::LANES);
    let (taps, row_length) = taps(shape);
    let reached = [(1, height), (2, width)].map(|(axis, sums)| reached(shape, axis, sums));
    let images = input.len() / shape.features_in();
    let count = images * shape.features_out();
    let mut pooled = Sums {
        largest: vec![0.0; count],
        place: vec![0; count],
        by_exact: vec![0.0; if disturbance.is_some() { count } else { 0 }],
    };
    let mut padded = vec![0.0f32; shape.input[0] * padded_height * row_length];
    let mut sums = vec![0.0f32; height * width * lanes];
    for (image, input) in input.chunks_exact(shape.features_in()).enumerate() {
        if is_sparse(shape, input) {
            scatter(floats, shape, input, &reached, &packed, lanes, &mut sums);
        } else {
            pad(shape, input, row_length, &mut padded);
            for (y, sums) in sums.chunks_exact_mut(width * lanes).enumerate() {
                let padded = &padded[y * shape.stride * row_length..];
                let seen = Seen { padded, taps: &taps, row_length };
                let mut block = 0;
                while block < lanes {
                    if lanes - block >= 2 * F::LANES {
                        row_of_sums::<F, 2>(floats, shape, seen, &packed, lanes, block, sums);
                        block += 2 * F::LANES;
                    } else {
                        row_of_sums::<F, 1>(floats, shape, seen, &packed, lanes, block, sums);
                        block += F::LANES;
                    }
                }
            }
        }
        if let Some(Disturbance { errors, draws, .. }) = disturbance {
            let on = windows_on(shape, input).into_iter();
            for (position, (on, sums)) in on.zip(sums.chunks_exact_mut(lanes)).enumerate() {
                let (sums, of_chip) = sums.split_at_mut(outputs);
                for (output, (sum, of_chip)) in sums.iter_mut().zip(of_chip).enumerate() {
                    let index = position * outputs + output;
                    [*sum, *of_chip] = errors.disturb(*sum, *of_chip, on, draws[image], index);
                }
            }
        }
        pool(floats, shape, &sums, lanes, image, &mut pooled);
    }
    pooled
}

/// Weights and, behind them, what they are off by, (row, output), filled up with zeros to whole
/// vectors; and the length of a row.
fn pack(operands: Operands<'_>, deviations: Option<&[f32]>, lanes: usize) -> (Vec<f32>, usize) {
    let Operands { shape, weights, .. } = operands;
    let parts = [Some(weights), deviations];
    let row = (parts.iter().flatten().count() * shape.outputs).next_multiple_of(lanes);
    let mut packed = vec![0.0; shape.rows() * row];
    for (part, values) in parts.into_iter().flatten().enumerate() {
        let rows = packed.chunks_exact_mut(row).zip(values.chunks_exact(shape.outputs));
        rows.for_each(|(to, from)| {
            to[part * shape.outputs..][..shape.outputs].copy_from_slice(from)
        });
    }
    (packed, row)
}

/// The largest sum of every pool window of an image.
#[inline(always)]
fn pool<F: Floats>(
    floats: F,
    shape: &Shape,
    sums: &[f32],
    lanes: usize,
    image: usize,
    pooled: &mut Sums,
) {
    let [_, width] = shape.sums();
    let [pooled_height, pooled_width] = shape.pooled();
    let (pool, outputs) = (shape.pool, shape.outputs);
    let positions = pooled_height * pooled_width;
    let of_image = image * outputs * positions..(image + 1) * outputs * positions;
    let largest = &mut pooled.largest[of_image.clone()];
    let place = &mut pooled.place[of_image.clone()];
    let by_exact = pooled.by_exact.get_mut(of_image).unwrap_or_default();
    for y in 0..pooled_height {
        let sums = &sums[y * pool * width * lanes..];
        for x in 0..pooled_width {
            for block in (0..outputs).step_by(F::LANES) {
                let mut best = floats.splat(f32::NEG_INFINITY);
                let mut at = floats.splat(0.0);
                for dy in 0..pool {
                    for dx in 0..pool {
                        let from = (dy * width + x * pool + dx) * lanes + block;
                        let sums = floats.load(&sums[from..]);
                        let wins = floats.greater(sums, best);
                        let place = floats.splat((dy * pool + dx) as f32);
                        best = floats.select(wins, sums, best);
                        at = floats.select(wins, place, at);
                    }
                }
                let [mut bests, mut places] = [[0.0; LANES]; 2];
                floats.store(best, &mut bests);
                floats.store(at, &mut places);
                let to = block * positions + y * pooled_width + x;
                for lane in 0..F::LANES.min(outputs - block) {
                    let to = to + lane * positions;
                    largest[to] = bests[lane];
                    place[to] = places[lane] as u8;
                    if !by_exact.is_empty() {
                        let (dy, dx) = (places[lane] as usize / pool, places[lane] as usize % pool);
                        let from = (dy * width + x * pool + dx) * lanes + block + lane;
                        by_exact[to] = sums[from + outputs];
                    }
                }
            }
        }
    }
}

/// Where a padded row has the pixel that kernel column kx of the first sum sees, and how long a row
/// is: first every `stride`-th pixel, then those one further and so on, so that neighbouring sums see
/// neighbours.
fn taps(shape: &Shape) -> (Vec<usize>, usize) {
    let [_, padded_width] = shape.padded();
    let of_phase = padded_width.div_ceil(shape.stride);
    let tap = |column: usize| column % shape.stride * of_phase + column / shape.stride;
    ((0..shape.kernel).map(tap).collect(), shape.stride * of_phase)
}

/// An image with its padding, (channel, y, x), in rows of [`taps`].
#[inline(always)]
fn pad(shape: &Shape, image: &[f32], row_length: usize, padded: &mut [f32]) {
    let [_, height, width] = shape.input;
    let [padded_height, _] = shape.padded();
    let (stride, padding) = (shape.stride, shape.padding);
    for (row, from) in image.chunks_exact(width).enumerate() {
        let (channel, y) = (row / height, row % height);
        let to = &mut padded[(channel * padded_height + y + padding) * row_length..][..row_length];
        if stride == 1 {
            to[padding..][..width].copy_from_slice(from);
            continue;
        }
        for (x, &value) in (padding..).zip(from) {
            to[x % stride * (row_length / stride) + x / stride] = value;
        }
    }
}

/// Whether so few activations are on that it pays to go from them to the sums they reach.
fn is_sparse(shape: &Shape, input: &[f32]) -> bool {
    let on = input.iter().filter(|&&activation| activation != 0.0).count();
    let [height, width] = shape.sums();
    3 * on < shape.input[0] * height * width * shape.stride * shape.stride
}

/// The sums, by row or column, that a pixel of each row or column of the input reaches.
fn reached(shape: &Shape, axis: usize, sums: usize) -> Vec<Range<usize>> {
    let of_pixel = |at: usize| {
        let at = at + shape.padding;
        let first = (at + 1).saturating_sub(shape.kernel).div_ceil(shape.stride);
        first..sums.min(at / shape.stride + 1)
    };
    (0..shape.input[axis]).map(of_pixel).collect()
}

/// The sums of an image, (y, x, output), reached from the activations that are on.
#[inline(always)]
fn scatter<F: Floats>(
    floats: F,
    shape: &Shape,
    input: &[f32],
    [rows, columns]: &[Vec<Range<usize>>; 2],
    packed: &[f32],
    lanes: usize,
    sums: &mut [f32],
) {
    let [_, input_height, input_width] = shape.input;
    let [_, width] = shape.sums();
    let (kernel, padding, stride) = (shape.kernel, shape.padding, shape.stride);
    sums.fill(0.0);
    for (feature, &activation) in input.iter().enumerate() {
        if activation == 0.0 {
            continue;
        }
        let (channel, pixel) =
            (feature / (input_height * input_width), feature % (input_height * input_width));
        let (y, x) = (pixel / input_width, pixel % input_width);
        let factor = floats.splat(activation);
        for row in rows[y].clone() {
            let ky = y + padding - row * stride;
            for column in columns[x].clone() {
                let kx = x + padding - column * stride;
                let weights = &packed[((channel * kernel + ky) * kernel + kx) * lanes..][..lanes];
                let sums = &mut sums[(row * width + column) * lanes..][..lanes];
                add_product(floats, factor, weights, sums);
            }
        }
    }
}

/// sums += factor · values, over whole vectors.
#[inline(always)]
fn add_product<F: Floats>(floats: F, factor: F::Vector, values: &[f32], sums: &mut [f32]) {
    let vectors = sums.chunks_exact_mut(F::LANES).zip(values.chunks_exact(F::LANES));
    for (sums, values) in vectors {
        let sum = floats.mul_add(factor, floats.load(values), floats.load(sums));
        floats.store(sum, sums);
    }
}

/// What is on in the window of every position before the pool.
pub(super) fn windows_on(shape: &Shape, input: &[f32]) -> Vec<On> {
    let [padded_height, padded_width] = shape.padded();
    let [_, input_height, input_width] = shape.input;
    let [height, width] = shape.sums();
    let mut pixels = vec![On::default(); padded_height * padded_width];
    for (row, activations) in input.chunks_exact(input_width).enumerate() {
        let to = (row % input_height + shape.padding) * padded_width + shape.padding;
        for (pixel, &activation) in pixels[to..].iter_mut().zip(activations) {
            *pixel = pixel.plus(On::of(activation));
        }
    }
    let mut columns = vec![On::default(); height * padded_width];
    for y in 0..height {
        for ky in 0..shape.kernel {
            for x in 0..padded_width {
                let sum = &mut columns[y * padded_width + x];
                *sum = sum.plus(pixels[(y * shape.stride + ky) * padded_width + x]);
            }
        }
    }
    let window =
        |at: usize| columns[at..at + shape.kernel].iter().copied().fold(On::default(), On::plus);
    let first = |at: usize| at / width * padded_width + at % width * shape.stride;
    (0..height * width).map(|at| window(first(at))).collect()
}

/// What a row of sums sees.
#[derive(Clone, Copy)]
struct Seen<'a> {
    /// (channel, y, x) in rows of [`taps`], from the row's first window on.
    padded: &'a [f32],
    taps: &'a [usize],
    row_length: usize,
}

/// A row of sums of `VECTORS` vectors of outputs from output `block` on.
#[inline(always)]
fn row_of_sums<F: Floats, const VECTORS: usize>(
    floats: F,
    shape: &Shape,
    seen: Seen<'_>,
    packed: &[f32],
    lanes: usize,
    block: usize,
    sums: &mut [f32],
) {
    let width = sums.len() / lanes;
    let mut x = 0;
    macro_rules! block {
        ($pixels:literal) => {{
            let seen = Seen { padded: &seen.padded[x..], ..seen };
            let sums = &mut sums[x * lanes..];
            neighbours::<F, $pixels, VECTORS>(floats, shape, seen, packed, lanes, block, sums);
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
fn neighbours<F: Floats, const PIXELS: usize, const VECTORS: usize>(
    floats: F,
    shape: &Shape,
    Seen { padded, taps, row_length }: Seen<'_>,
    packed: &[f32],
    lanes: usize,
    block: usize,
    sums: &mut [f32],
) {
    let [padded_height, _] = shape.padded();
    let kernel = shape.kernel;
    let mut total = [[floats.splat(0.0); VECTORS]; PIXELS];
    let mut packed = packed.chunks_exact(lanes);
    for channel in 0..shape.input[0] {
        for ky in 0..kernel {
            let row = &padded[(channel * padded_height + ky) * row_length..];
            for (&tap, weights) in taps.iter().zip(packed.by_ref()) {
                let values = &row[tap..][..PIXELS];
                let weights = &weights[block..][..VECTORS * F::LANES];
                for pixel in 0..PIXELS {
                    let value = floats.splat(values[pixel]);
                    for vector in 0..VECTORS {
                        let weights = floats.load(&weights[vector * F::LANES..]);
                        total[pixel][vector] = floats.mul_add(value, weights, total[pixel][vector]);
                    }
                }
            }
        }
    }
    for pixel in 0..PIXELS {
        let sums = &mut sums[pixel * lanes + block..][..VECTORS * F::LANES];
        for vector in 0..VECTORS {
            floats.store(total[pixel][vector], &mut sums[vector * F::LANES..]);
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

/// Derivatives by the weights and, where wanted, by the input.
#[inline(always)]
pub(super) fn backward<F: Floats>(
    floats: F,
    operands: Operands<'_>,
    place: &[u8],
    by_sums: &[f32],
    wants_input: bool,
) -> (Vec<f32>, Option<Vec<f32>>) {
    let Operands { shape, input, weights } = operands;
    let [channels, ..] = shape.input;
    let [padded_height, padded_width] = shape.padded();
    let [pooled_height, pooled_width] = shape.pooled();
    let (kernel, pool, outputs) = (shape.kernel, shape.pool, shape.outputs);
    let positions = pooled_height * pooled_width;
    // From a sum to its neighbour, and from a row of the padded image to the next.
    let (step, stride) = (shape.stride * channels, padded_width * channels);
    // A window's row, filled up with zeros to whole vectors.
    let segment = (kernel * channels).next_multiple_of(F::LANES);
    let chunks: Vec<usize> = (0..kernel)
        .flat_map(|ky| (0..segment).step_by(F::LANES).map(move |at| ky * stride + at))
        .collect();
    let row = kernel * segment;
    // Where a window, (ky, kx, channel), has the weight of every row of the matrix.
    let places_in_window: Vec<usize> = (0..shape.rows())
        .map(|row| {
            let (channel, ky, kx) = (row / (kernel * kernel), row / kernel % kernel, row % kernel);
            ky * segment + kx * channels + channel
        })
        .collect();
    let mut packed = vec![0.0f32; outputs * row];
    for (weights, to) in weights.chunks_exact(outputs).zip(&places_in_window) {
        for (output, &weight) in weights.iter().enumerate() {
            packed[output * row + to] = weight;
        }
    }
    // Where in the padded image the window of every place in a pool window begins.
    let windows: Vec<u32> = (0..positions)
        .map(|at| ((at / pooled_width * padded_width + at % pooled_width) * pool * step) as u32)
        .collect();
    let places: Vec<u32> =
        (0..pool * pool).map(|at| ((at / pool * padded_width + at % pool) * step) as u32).collect();

    let mut by_packed = vec![0.0f32; outputs * row];
    let mut by_input = vec![0.0f32; if wants_input { input.len() } else { 0 }];
    // Images as (y, x, channel), with room to read a vector beyond the last window.
    let mut padded = vec![0.0f32; padded_height * stride + F::LANES];
    let mut by_padded = padded.clone();
    let mut reached = vec![Reached::default(); positions + 1];
    for (image, input) in input.chunks_exact(shape.features_in()).enumerate() {
        interleave(shape, |row, to| {
            for (x, &value) in input[row].iter().enumerate() {
                padded[to + x * channels] = value;
            }
        });
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
                        let sums = &mut by_packed[chunk * F::LANES..];
                        by_weights::<F, $chunks>(floats, reached, &padded, &chunks[chunk..], sums);
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
                    let gradient = floats.splat(reached.gradient);
                    for (ky, weights) in packed.chunks_exact(segment).enumerate() {
                        let target = &mut by_padded[ky * stride..][..segment];
                        add_product(floats, gradient, weights, target);
                    }
                }
            }
        }
        if wants_input {
            let by_input = &mut by_input[image * shape.features_in()..];
            interleave(shape, |row, from| {
                for (x, value) in by_input[row].iter_mut().enumerate() {
                    *value = by_padded[from + x * channels];
                }
            });
        }
    }
    let mut by_weights = vec![0.0f32; weights.len()];
    for (by_weights, from) in by_weights.chunks_exact_mut(outputs).zip(&places_in_window) {
        for (output, by_weight) in by_weights.iter_mut().enumerate() {
            *by_weight = by_packed[output * row + from];
        }
    }
    (by_weights, wants_input.then_some(by_input))
}

/// Runs `visit(row, at)` over the rows of pixels of an image: where a row lies as (channel, y, x),
/// and where its first pixel lies as (y, x, channel) with the padding.
#[inline(always)]
fn interleave(shape: &Shape, mut visit: impl FnMut(Range<usize>, usize)) {
    let [channels, height, width] = shape.input;
    let [_, padded_width] = shape.padded();
    for channel in 0..channels {
        for y in 0..height {
            let from = (channel * height + y) * width;
            let to = ((y + shape.padding) * padded_width + shape.padding) * channels + channel;
            visit(from..from + width, to);
        }
    }
}

/// sum\[chunk\] += Σ gradient · window\[chunk\], over what is reached; the chunks stay in registers.
#[inline(always)]
fn by_weights<F: Floats, const CHUNKS: usize>(
    floats: F,
    reached: &[Reached],
    padded: &[f32],
    chunks: &[usize],
    sums: &mut [f32],
) {
    let chunks: &[usize; CHUNKS] = chunks[..CHUNKS].try_into().expect("CHUNKS");
    let mut total = [floats.splat(0.0); CHUNKS];
    for reached in reached {
        let window = &padded[reached.window as usize..];
        let gradient = floats.splat(reached.gradient);
        for chunk in 0..CHUNKS {
            let values = floats.load(&window[chunks[chunk]..][..F::LANES]);
            total[chunk] = floats.mul_add(gradient, values, total[chunk]);
        }
    }
    let sums = &mut sums[..CHUNKS * F::LANES];
    for chunk in 0..CHUNKS {
        let sums = &mut sums[chunk * F::LANES..];
        floats.store(floats.add(floats.load(sums), total[chunk]), sums);
    }
}
