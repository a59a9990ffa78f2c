//! The arithmetic of the integer network, defined here and nowhere else; [`weight`] stands beside
//! the [`Weights`] that it makes of bits.
//!
//! The trainer computes the same integers in `f32` (they stay below 2²⁴) and a test holds it to
//! this page; engines replace [`accumulate`] by conversions of a macro and nothing more.

use crate::network::{Conv, Shape, Thresholds};
use crate::weights::Weights;

pub use crate::weights::weight;

/// The input activation of an 8-bit pixel: the number of cuts that it reaches.
#[inline]
pub fn reduce_pixel(pixel: u8, cuts: &[u8]) -> u8 {
    cuts.iter().map(|&cut| u8::from(pixel >= cut)).sum()
}

/// The input activations of 8-bit pixels, each by [`reduce_pixel`].
pub fn reduce_pixels(pixels: &[u8], cuts: &[u8]) -> Vec<u8> {
    let levels: [u8; 256] = std::array::from_fn(|pixel| reduce_pixel(pixel as u8, cuts));
    pixels.iter().map(|&pixel| levels[usize::from(pixel)]).collect()
}

/// y\[column\] = Σ over rows of weight(row, column) · a\[row\].
///
/// # Panics
/// If `activations` has another length than the matrix has rows.
pub fn accumulate(weights: &Weights, activations: &[u8]) -> Vec<i32> {
    assert_eq!(activations.len(), weights.rows(), "one activation a row");
    let mut sums = vec![0; weights.columns()];
    for (row, &activation) in activations.iter().enumerate() {
        for (column, sum) in sums.iter_mut().enumerate() {
            *sum += weights.value(row, column) * i32::from(activation);
        }
    }
    sums
}

/// The activation of a channel: the number of its thresholds that `y` reaches.
#[inline]
pub fn activate(y: i32, thresholds: &[i32]) -> u8 {
    thresholds.iter().map(|&threshold| u8::from(y >= threshold)).sum()
}

/// The activations of all channels of one position.
///
/// # Panics
/// If `sums` has another length than `thresholds` has channels.
pub fn activate_all(sums: &[i32], thresholds: &Thresholds) -> Vec<u8> {
    assert_eq!(sums.len() * thresholds.levels, thresholds.values.len(), "one sum a channel");
    sums.iter().enumerate().map(|(channel, &y)| activate(y, thresholds.channel(channel))).collect()
}

/// The window of a convolution at an output position, as the rows of its matrix take it:
/// (in channel, ky, kx), activation 0 in the padding.
///
/// `activations` are (channel, y, x) of shape `shape`.
pub fn window(
    conv: &Conv,
    shape: Shape,
    activations: &[u8],
    (out_y, out_x): (usize, usize),
    into: &mut Vec<u8>,
) {
    into.clear();
    for channel in 0..shape.channels {
        for ky in 0..conv.kernel {
            let y = (out_y * conv.stride + ky).wrapping_sub(conv.padding);
            for kx in 0..conv.kernel {
                let x = (out_x * conv.stride + kx).wrapping_sub(conv.padding);
                let is_inside = y < shape.height && x < shape.width;
                into.push(if is_inside {
                    activations[(channel * shape.height + y) * shape.width + x]
                } else {
                    0
                });
            }
        }
    }
}

/// The maximum over `size`×`size` windows that do not overlap; (channel, y, x) in and out.
pub fn max_pool(activations: &[u8], shape: Shape, size: usize) -> Vec<u8> {
    let (height, width) = (shape.height / size, shape.width / size);
    let mut pooled = vec![0; shape.channels * height * width];
    for channel in 0..shape.channels {
        for y in 0..height * size {
            for x in 0..width * size {
                let out = &mut pooled[(channel * height + y / size) * width + x / size];
                *out = (*out).max(activations[(channel * shape.height + y) * shape.width + x]);
            }
        }
    }
    pooled
}

/// Whether the largest output is that of class `label` and of no other: the rule by which a tie
/// counts as wrong.
///
/// # Panics
/// If there is no output `label`.
pub fn is_strictly_largest(outputs: &[i32], label: usize) -> bool {
    let largest = outputs[label];
    outputs.iter().enumerate().all(|(class, &output)| class == label || output < largest)
}

/// The class: the index of the largest output, the first of equals.
///
/// # Panics
/// If there is no output.
pub fn argmax(outputs: &[i32]) -> usize {
    let mut best = 0;
    for (class, output) in outputs.iter().enumerate() {
        if *output > outputs[best] {
            best = class;
        }
    }
    assert!(best < outputs.len(), "no output");
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Input;

    #[test]
    fn shift_thresholds_are_a_clamped_shift() {
        let thresholds = Thresholds::shift(1, 2, 3);
        for y in -100..100 {
            let expected = (y >> 3).clamp(0, 3) as u8;
            assert_eq!(activate(y, thresholds.channel(0)), expected, "y = {y}");
        }
    }

    #[test]
    fn cuts_count_the_levels_that_a_pixel_reaches() {
        let pixels: Vec<u8> = (0..=255).collect();
        let two_bits = Input::upper_bits(1, 1, 1, 2);
        assert_eq!(two_bits.cuts, [64, 128, 192]);
        for bits in 1..=8 {
            let cuts = Input::upper_bits(1, 1, 1, bits).cuts;
            let shifted: Vec<u8> = pixels.iter().map(|pixel| pixel >> (8 - bits)).collect();
            assert_eq!(reduce_pixels(&pixels, &cuts), shifted, "{bits} bits");
        }
        let above: Vec<u8> = pixels.iter().map(|&pixel| u8::from(pixel > 64)).collect();
        assert_eq!(reduce_pixels(&pixels, &[65]), above);
    }

    #[test]
    fn a_tie_is_strictly_largest_for_no_class() {
        assert!(is_strictly_largest(&[1, 3, 2], 1));
        assert!(!is_strictly_largest(&[3, 3, 2], 0));
        assert!(!is_strictly_largest(&[1, 3, 2], 2));
    }

    #[test]
    fn the_first_of_equals_wins() {
        assert_eq!(argmax(&[-3, 5, 5, 1]), 1);
        assert_eq!(argmax(&[2]), 0);
    }

    #[test]
    fn thresholds_and_max_pool_commute() {
        let thresholds = Thresholds::shift(1, 2, 1);
        let shape = Shape { channels: 1, height: 2, width: 2 };
        for sums in [[-5, 3, 2, 7], [0, 1, 1, 0], [-1, -9, -2, -3]] {
            let activated: Vec<u8> =
                sums.iter().map(|&y| activate(y, thresholds.channel(0))).collect();
            let largest = *sums.iter().max().expect("four");
            assert_eq!(max_pool(&activated, shape, 2), [activate(largest, thresholds.channel(0))]);
        }
    }
}
