//! The kernels of a linear layer: sums of rows, each times a factor, of which many are 0.

use hafnia_simd::Floats;

use super::shape::{Operands, Sums};
use crate::noise::{Disturbance, On};

/// The sums, and their errors.
#[inline(always)]
pub(super) fn forward<F: Floats>(
    floats: F,
    operands: Operands<'_>,
    disturbance: Option<Disturbance<'_>>,
) -> Sums {
    let Operands { shape, input, weights } = operands;
    let rows = shape.rows();
    let mut largest = combine_images(floats, input, rows, weights, shape.outputs);
    let mut by_exact = Vec::new();
    if let Some(disturbance) = disturbance {
        by_exact = combine_images(floats, input, rows, disturbance.deviations, shape.outputs);
        disturb(operands, disturbance, &mut largest, &mut by_exact);
    }
    Sums { largest, place: Vec::new(), by_exact }
}

/// Derivatives by the weights and, where wanted, by the input.
#[inline(always)]
pub(super) fn backward<F: Floats>(
    floats: F,
    operands: Operands<'_>,
    by_sums: &[f32],
    wants_input: bool,
) -> (Vec<f32>, Option<Vec<f32>>) {
    let Operands { shape, input, weights } = operands;
    let (rows, outputs) = (shape.rows(), shape.outputs);
    let mut by_weights = vec![0.0; rows * outputs];
    let mut list = vec![Term::default(); input.len() / rows + 1];
    for (row, by_weights) in by_weights.chunks_exact_mut(outputs).enumerate() {
        combine(floats, nonzero(&input[row..], rows, &mut list), by_sums, by_weights);
    }
    let by_input = if wants_input {
        let transposed = transpose(weights, rows, outputs);
        Some(combine_images(floats, by_sums, outputs, &transposed, rows))
    } else {
        None
    };
    (by_weights, by_input)
}

/// For every image, the sum of the rows of a matrix times the image's features.
#[inline(always)]
fn combine_images<F: Floats>(
    floats: F,
    images: &[f32],
    features: usize,
    matrix: &[f32],
    columns: usize,
) -> Vec<f32> {
    let mut sums = vec![0.0; images.len() / features * columns];
    let mut list = vec![Term::default(); features + 1];
    for (image, sums) in images.chunks_exact(features).zip(sums.chunks_exact_mut(columns)) {
        combine(floats, nonzero(image, 1, &mut list), matrix, sums);
    }
    sums
}

/// A row and what it is multiplied by.
#[derive(Debug, Clone, Copy, Default)]
struct Term {
    row: u32,
    factor: f32,
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

/// sum = Σ factor · row over all columns; a row of `rows` is as long as `sum`.
#[inline(always)]
fn combine<F: Floats>(floats: F, terms: &[Term], rows: &[f32], sum: &mut [f32]) {
    let columns = sum.len();
    let mut at = 0;
    macro_rules! block {
        ($vectors:literal) => {{
            combine_vectors::<F, $vectors>(floats, terms, rows, at, sum);
            at += $vectors * F::LANES;
        }};
    }
    while at + F::LANES <= columns {
        match (columns - at) / F::LANES {
            8.. => block!(8),
            4.. => block!(4),
            2.. => block!(2),
            _ => block!(1),
        }
    }
    if at < columns && F::LANES <= columns {
        // The last columns, some of them once more.
        combine_vectors::<F, 1>(floats, terms, rows, columns - F::LANES, sum);
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

/// sum\[at..\] = Σ factor · row\[at..\] over `VECTORS` vectors of columns, which stay in registers.
#[inline(always)]
fn combine_vectors<F: Floats, const VECTORS: usize>(
    floats: F,
    terms: &[Term],
    rows: &[f32],
    at: usize,
    sum: &mut [f32],
) {
    let columns = sum.len();
    let mut total = [floats.splat(0.0); VECTORS];
    for term in terms {
        let row = &rows[term.row as usize * columns + at..][..VECTORS * F::LANES];
        let factor = floats.splat(term.factor);
        for vector in 0..VECTORS {
            let row = floats.load(&row[vector * F::LANES..]);
            total[vector] = floats.mul_add(factor, row, total[vector]);
        }
    }
    let sum = &mut sum[at..][..VECTORS * F::LANES];
    for vector in 0..VECTORS {
        floats.store(total[vector], &mut sum[vector * F::LANES..]);
    }
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

/// Disturbs `sums`; `of_chip` are those of the deviations and become the derivatives.
fn disturb(
    operands: Operands<'_>,
    disturbance: Disturbance<'_>,
    sums: &mut [f32],
    of_chip: &mut [f32],
) {
    let Operands { shape, input, .. } = operands;
    let images = input.chunks_exact(shape.rows()).zip(sums.chunks_exact_mut(shape.outputs));
    let images = images.zip(of_chip.chunks_exact_mut(shape.outputs));
    for (((input, sums), of_chip), &draws) in images.zip(disturbance.draws) {
        let on = input.iter().map(|&activation| On::of(activation));
        let on = on.fold(On::default(), On::plus);
        for (output, (sum, of_chip)) in sums.iter_mut().zip(of_chip).enumerate() {
            let errors = disturbance.errors;
            [*sum, *of_chip] = errors.disturb(*sum, *of_chip, on, draws, output);
        }
    }
}
