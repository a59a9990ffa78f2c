//! The kernels of a sum over windows of pixels, channel by channel.

use super::shape::{Operands, Shape, Sums};

/// The sums.
pub(super) fn forward(Operands { shape, input, .. }: Operands<'_>) -> Sums {
    let images = input.len() / shape.features_in();
    let mut largest = vec![0.0; images * shape.features_out()];
    pairs(shape, images, |pixel, sum| largest[sum] += input[pixel]);
    Sums { largest, place: Vec::new(), by_exact: Vec::new() }
}

/// Derivatives by the input.
pub(super) fn backward(Operands { shape, input, .. }: Operands<'_>, by_sums: &[f32]) -> Vec<f32> {
    let mut by_input = vec![0.0; input.len()];
    pairs(shape, input.len() / shape.features_in(), |pixel, sum| by_input[pixel] = by_sums[sum]);
    by_input
}

/// Runs `visit(pixel, sum)` over all pixels that a sum has, row by row.
fn pairs(shape: &Shape, images: usize, mut visit: impl FnMut(usize, usize)) {
    let [channels, height, width] = shape.input;
    let [rows, columns] = shape.pooled();
    let [window_height, window_width] = shape.average.unwrap_or([1, 1]);
    for plane in 0..images * channels {
        for y in 0..rows * window_height {
            for x in 0..columns * window_width {
                let sum = (plane * rows + y / window_height) * columns + x / window_width;
                visit((plane * height + y) * width + x, sum);
            }
        }
    }
}
