//! The arithmetic of the integer network, defined here and nowhere else; how outputs are compared
//! stands beside it ([`Scores`](crate::Scores)).
//!
//! The trainer computes the same integers in `f32` (they stay below 2²⁴) and a test holds it to
//! this page; engines replace [`accumulate`] by conversions of a macro and nothing more.

use std::ops::Range;

use crate::input::Shape;
use crate::layer::{Thresholds, Window};
use crate::weights::Weights;

/// y\[column\] = Σ over rows of weight(row, column) · a\[row\], of levels a.
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

/// The level of a channel's activation: the number of its thresholds that `y` reaches.
#[inline]
pub fn activate(y: i32, thresholds: &[i32]) -> u8 {
    thresholds.iter().map(|&threshold| u8::from(y >= threshold)).sum()
}

/// The activations of values (channel, position): the lowest plus the level.
///
/// # Panics
/// If there are not as many values for every channel of `thresholds`.
pub fn activate_all(values: &[i32], thresholds: &Thresholds) -> Vec<i32> {
    let positions = values.len() / thresholds.channels();
    assert_eq!(positions * thresholds.channels(), values.len(), "as many values per channel");
    let of_channel = |(channel, values): (usize, &[i32])| {
        let of = thresholds.channel(channel);
        values.iter().map(|&y| thresholds.lowest + i32::from(activate(y, of))).collect::<Vec<_>>()
    };
    values.chunks(positions).enumerate().flat_map(of_channel).collect()
}

/// What a window sees of some channels at an output position: (channel, ky, kx), `outside` in the
/// padding. `values` are (channel, y, x) of shape `shape`.
pub fn window<T: Copy>(
    window: &Window,
    shape: Shape,
    channels: Range<usize>,
    values: &[T],
    position: (usize, usize),
    outside: T,
    into: &mut Vec<T>,
) {
    into.clear();
    let side = (shape.height, shape.width);
    for channel in channels {
        for ky in 0..window.kernel.0 {
            for kx in 0..window.kernel.1 {
                into.push(match window.input_at(side, position, (ky, kx)) {
                    Some((y, x)) => values[(channel * shape.height + y) * shape.width + x],
                    None => outside,
                });
            }
        }
    }
}

/// What `of_window` makes of the values that each window sees, padding left out; (channel, y, x) in
/// and out.
///
/// # Panics
/// If no window fits.
fn pool<T: Copy>(
    values: &[T],
    shape: Shape,
    window: &Window,
    mut of_window: impl FnMut(&mut dyn Iterator<Item = T>) -> T,
) -> Vec<T> {
    let (height, width) = window.output(shape.height, shape.width).expect("a window fits");
    let side = (shape.height, shape.width);
    let mut pooled = Vec::with_capacity(shape.channels * height * width);
    for channel in 0..shape.channels {
        for position in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let kernel =
                (0..window.kernel.0).flat_map(|ky| (0..window.kernel.1).map(move |kx| (ky, kx)));
            let mut seen = kernel.filter_map(|at| {
                let (y, x) = window.input_at(side, position, at)?;
                Some(values[(channel * shape.height + y) * shape.width + x])
            });
            pooled.push(of_window(&mut seen));
        }
    }
    pooled
}

/// The maximum over windows; `lowest` where one sees nothing but padding.
///
/// # Panics
/// If no window fits.
pub fn max_pool<T: Copy + Ord>(values: &[T], shape: Shape, window: &Window, lowest: T) -> Vec<T> {
    pool(values, shape, window, |seen| seen.max().unwrap_or(lowest))
}

/// The sum over windows.
///
/// # Panics
/// If no window fits.
pub fn sum_pool(values: &[i32], shape: Shape, window: &Window) -> Vec<i32> {
    pool(values, shape, window, |seen| seen.sum())
}

/// Whether the largest output is that of class `label` and of no other: the rule by which a tie
/// counts as wrong.
///
/// # Panics
/// If there is no output `label`.
pub fn is_strictly_largest<T: Copy + PartialOrd>(outputs: &[T], label: usize) -> bool {
    let largest = outputs[label];
    outputs.iter().enumerate().all(|(class, &output)| class == label || output < largest)
}

/// The class: the index of the largest output, the first of equals.
///
/// # Panics
/// If there is no output.
pub fn argmax<T: PartialOrd>(outputs: &[T]) -> usize {
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
    use crate::input::Input;
    use crate::layer::Padding;

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
        assert_eq!(two_bits.cuts, [[64, 128, 192]]);
        for bits in 1..=8 {
            let shifted: Vec<u8> = pixels.iter().map(|pixel| pixel >> (8 - bits)).collect();
            assert_eq!(Input::upper_bits(1, 1, 256, bits).levels_of(&pixels), shifted);
        }
        let above: Vec<u8> = pixels.iter().map(|&pixel| u8::from(pixel > 64)).collect();
        assert_eq!(Input::new(1, 1, 256, &[65]).levels_of(&pixels), above);
        // A list for each channel: the first is always on, the second twice from 9 on.
        let cuts = vec![vec![0], vec![9, 9]];
        let input = Input { cuts, ..Input::new(2, 1, 2, &[]) };
        assert_eq!(input.levels_of(&[0, 255, 8, 9, 7, 7, 10, 0]), [1, 1, 0, 2, 1, 1, 2, 0]);
    }

    #[test]
    fn padding_is_no_value() {
        let shape = Shape { channels: 1, height: 1, width: 3 };
        let mut wide = Window::square(2, 1, 1);
        wide.kernel.0 = 1;
        (wide.padding.top, wide.padding.bottom) = (0, 0);
        assert_eq!(max_pool(&[-3, -1, -2], shape, &wide, -9), [-3, -1, -1, -2]);
        assert_eq!(sum_pool(&[-3, -1, -2], shape, &wide), [-3, -4, -3, -2]);
        let mut seen = Vec::new();
        window(&wide, shape, 0..1, &[4, 5, 6], (0, 3), 0, &mut seen);
        assert_eq!(seen, [6, 0]);
        wide.dilation.1 = 2;
        wide.padding = Padding::default();
        window(&wide, shape, 0..1, &[4, 5, 6], (0, 0), 0, &mut seen);
        assert_eq!(seen, [4, 6]);
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
        let pool = Window::square(2, 2, 0);
        for sums in [[-5, 3, 2, 7], [0, 1, 1, 0], [-1, -9, -2, -3]] {
            let pooled = max_pool(&activate_all(&sums, &thresholds), shape, &pool, 0);
            let largest = max_pool(&sums, shape, &pool, 0);
            assert_eq!(pooled, activate_all(&largest, &thresholds));
        }
    }
}
