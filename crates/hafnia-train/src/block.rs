//! A block of the network, forward and back: the sums of `kernels`, what is added to them, then the
//! quantiser.
//!
//! With offset o and step s of a channel, threshold l lies at T(l) = ⌈o + l·s⌉, and an activation is
//! the number of thresholds that a sum z reaches. The straight-through derivative is that of
//! y = (z − o)/s where 0 ≤ y ≤ top + 1, and 0 elsewhere.

use std::sync::Arc;

use hafnia_rng::Counter;

use crate::kernels::{self, Operands, Shape, Sums};
use crate::noise::{Disturbance, Errors, Suffered};

/// What a block computes.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) shape: Shape,
    /// The value that it takes: 0 is the image, i + 1 what layer i gives.
    pub(crate) from: usize,
    /// What is added to its sums.
    pub(crate) adds: Option<Added>,
    pub(crate) activation: Activation,
    /// Whether sums over pixels are divided by their number, as the teacher's are.
    pub(crate) divides: bool,
    /// Bits of the error that comes back, if it is quantised.
    pub(crate) error_bits: Option<u8>,
    /// Number of the layer, which tells its draws from another's.
    pub(crate) layer: usize,
    /// The conversion errors of its sums.
    pub(crate) errors: Option<Arc<Errors>>,
}

/// A value that is added, and what it is multiplied by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Added {
    pub(crate) value: usize,
    pub(crate) factor: f32,
}

/// What follows the sums.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Activation {
    /// Nothing: the sums come out.
    None,
    /// max(0, z − o), in floats: the teacher's.
    Relu,
    /// The number of thresholds reached, 0 to `top`.
    Quantise { top: usize },
}

/// The most thresholds that are counted one by one; of more the place of a sum among them is looked
/// up.
const MOST_COUNTED: usize = 15;

/// Thresholds of the channels: o of each, and then s of each; empty without an activation.
pub(crate) type Slopes<'a> = &'a [f32];

/// Threshold `level` of a channel, the smallest whole number that reaches it.
pub(crate) fn threshold(offset: f32, step: f32, level: usize) -> f32 {
    (level as f32).mul_add(step, offset).ceil()
}

impl Spec {
    /// Whether it takes this value or adds it.
    pub(crate) fn takes(&self, value: usize) -> bool {
        self.from == value || self.adds.is_some_and(|added| added.value == value)
    }

    /// What sums over pixels are multiplied by; nothing else is.
    fn unit(&self) -> Option<f32> {
        let [rows, columns] = self.shape.average.filter(|_| self.divides)?;
        Some(1.0 / (rows * columns) as f32)
    }
}

/// What the forward pass leaves.
#[derive(Debug, Clone)]
pub(crate) struct Passed {
    /// (image, output, y, x).
    pub(crate) output: Vec<f32>,
    /// With what is added.
    pub(crate) sums: Sums,
}

/// Derivatives, in the order of the arguments.
#[derive(Debug, Clone)]
pub(crate) struct Derivatives {
    pub(crate) by_input: Option<Vec<f32>>,
    pub(crate) by_added: Option<Vec<f32>>,
    pub(crate) by_weights: Vec<f32>,
    pub(crate) by_slopes: Option<Vec<f32>>,
}

/// The forward pass; `added` is read only if the block adds a value.
pub(crate) fn forward(
    spec: &Spec,
    input: &[f32],
    added: &[f32],
    weights: &[f32],
    slopes: Slopes<'_>,
    suffered: &Suffered,
) -> Passed {
    let draws = suffered.draws.iter().map(|draws| draws.stream(spec.layer as u8));
    let draws: Vec<Counter> = draws.collect();
    let disturbance = spec.errors.as_deref().filter(|_| !draws.is_empty());
    let disturbance = disturbance.map(|errors| {
        let deviations = &suffered.deviations[spec.layer];
        Disturbance { errors, draws: &draws, deviations }
    });
    let operands = Operands { shape: &spec.shape, input, weights };
    let mut sums = kernels::forward(operands, disturbance);
    if let Some(unit) = spec.unit() {
        sums.largest.iter_mut().for_each(|sum| *sum *= unit);
    }
    if let Some(Added { factor, .. }) = spec.adds {
        sums.largest.iter_mut().zip(added).for_each(|(sum, added)| *sum += factor * added);
    }
    let output = activate(spec, &sums.largest, slopes);
    Passed { output, sums }
}

/// Runs `visit(output, range of its values)` over all images.
fn per_output(spec: &Spec, length: usize, mut visit: impl FnMut(usize, std::ops::Range<usize>)) {
    let outputs = spec.shape.outputs;
    let positions = spec.shape.features_out() / outputs;
    for (index, from) in (0..length).step_by(positions).enumerate() {
        visit(index % outputs, from..from + positions);
    }
}

fn activate(spec: &Spec, sums: &[f32], slopes: Slopes<'_>) -> Vec<f32> {
    let (offsets, steps) = slopes.split_at(slopes.len() / 2);
    match spec.activation {
        Activation::None => sums.to_vec(),
        Activation::Relu => {
            let mut output = vec![0.0; sums.len()];
            per_output(spec, sums.len(), |channel, range| {
                for (output, sum) in output[range.clone()].iter_mut().zip(&sums[range]) {
                    *output = (sum - offsets[channel]).max(0.0);
                }
            });
            output
        }
        Activation::Quantise { top } => {
            let thresholds: Vec<f32> = (0..spec.shape.outputs)
                .flat_map(|channel| {
                    (1..=top).map(move |level| threshold(offsets[channel], steps[channel], level))
                })
                .collect();
            let mut output = vec![0.0; sums.len()];
            if top > MOST_COUNTED {
                per_output(spec, sums.len(), |channel, range| {
                    let thresholds = &thresholds[channel * top..(channel + 1) * top];
                    for (output, sum) in output[range.clone()].iter_mut().zip(&sums[range]) {
                        *output = thresholds.partition_point(|threshold| sum >= threshold) as f32;
                    }
                });
                return output;
            }
            if spec.shape.features_out() == spec.shape.outputs {
                let images = output.chunks_exact_mut(spec.shape.outputs);
                for (output, sums) in images.zip(sums.chunks_exact(spec.shape.outputs)) {
                    for level in 0..top {
                        for (channel, (output, &sum)) in output.iter_mut().zip(sums).enumerate() {
                            let threshold = thresholds[channel * top + level];
                            *output += if sum >= threshold { 1.0 } else { 0.0 };
                        }
                    }
                }
                return output;
            }
            per_output(spec, sums.len(), |channel, range| {
                for &threshold in &thresholds[channel * top..(channel + 1) * top] {
                    for (output, &sum) in output[range.clone()].iter_mut().zip(&sums[range.clone()])
                    {
                        *output += if sum >= threshold { 1.0 } else { 0.0 };
                    }
                }
            });
            output
        }
    }
}

/// Which derivatives are wanted beside those by the weights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wants {
    pub(crate) input: bool,
    pub(crate) added: bool,
    pub(crate) slopes: bool,
}

pub(crate) fn backward(
    spec: &Spec,
    input: &[f32],
    weights: &[f32],
    slopes: Slopes<'_>,
    sums: &Sums,
    mut by_output: Vec<f32>,
    wants: Wants,
) -> Derivatives {
    if let Some(bits) = spec.error_bits {
        quantise_errors(&mut by_output, bits);
    }
    let by_slopes = by_sums(spec, &sums.largest, slopes, &mut by_output, wants.slopes);
    let by_added = spec
        .adds
        .filter(|_| wants.added)
        .map(|Added { factor, .. }| by_output.iter().map(|by| factor * by).collect());
    if let Some(unit) = spec.unit() {
        by_output.iter_mut().for_each(|by| *by *= unit);
    }
    // Without errors there are no derivatives beside 1.
    by_output.iter_mut().zip(&sums.by_exact).for_each(|(by, by_exact)| *by *= by_exact);
    let operands = Operands { shape: &spec.shape, input, weights };
    let (by_weights, by_input) = kernels::backward(operands, &sums.place, &by_output, wants.input);
    Derivatives { by_input, by_added, by_weights, by_slopes }
}

/// Turns derivatives by the activations into those by the sums, and returns those by the slopes.
fn by_sums(
    spec: &Spec,
    sums: &[f32],
    slopes: Slopes<'_>,
    gradients: &mut [f32],
    wants_slopes: bool,
) -> Option<Vec<f32>> {
    let outputs = spec.shape.outputs;
    let (offsets, steps) = slopes.split_at(slopes.len() / 2);
    let reach = match spec.activation {
        Activation::None => return None,
        Activation::Relu => f32::INFINITY,
        Activation::Quantise { top } => (top + 1) as f32,
    };
    let per_step: Vec<f32> = steps.iter().map(|step| 1.0 / step).collect();
    let y = |channel: usize, sum: f32| (sum - offsets[channel]) * per_step[channel];
    let passed = |gradient: f32, y: f32, per_step: f32| {
        if (0.0..=reach).contains(&y) { gradient * per_step } else { 0.0 }
    };
    if spec.shape.features_out() == outputs {
        for (gradients, sums) in gradients.chunks_exact_mut(outputs).zip(sums.chunks_exact(outputs))
        {
            for (channel, (gradient, &sum)) in gradients.iter_mut().zip(sums).enumerate() {
                *gradient = passed(*gradient, y(channel, sum), per_step[channel]);
            }
        }
    } else {
        per_output(spec, sums.len(), |channel, range| {
            for (gradient, &sum) in gradients[range.clone()].iter_mut().zip(&sums[range]) {
                *gradient = passed(*gradient, y(channel, sum), per_step[channel]);
            }
        });
    }
    if !wants_slopes {
        return None;
    }
    let mut by_slopes = vec![0.0; 2 * outputs];
    per_output(spec, sums.len(), |channel, range| {
        let (mut by_offset, mut by_step) = (0.0, 0.0);
        for (&gradient, &sum) in gradients[range.clone()].iter().zip(&sums[range]) {
            by_offset -= gradient;
            by_step -= gradient * y(channel, sum);
        }
        by_slopes[channel] += by_offset;
        by_slopes[outputs + channel] += by_step;
    });
    if spec.activation == Activation::Relu {
        by_slopes[outputs..].fill(0.0);
    }
    Some(by_slopes)
}

/// Q(e / Shift(max|e|), k) of WAGE: whole multiples of 2^(1−k) below 1, never scaled back.
fn quantise_errors(errors: &mut [f32], bits: u8) {
    let largest = errors.iter().fold(0.0f32, |largest, error| largest.max(error.abs()));
    if largest == 0.0 {
        return;
    }
    let levels = (1u32 << (bits - 1)) as f32;
    let scale = levels / libm::exp2f(libm::roundf(libm::log2f(largest)));
    let bound = levels - 1.0;
    for error in errors {
        *error = libm::rintf(*error * scale).clamp(-bound, bound) / levels;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(outputs: usize, activation: Activation) -> Spec {
        let shape = Shape::linear(1, outputs);
        let (from, adds, divides) = (0, None, false);
        let (error_bits, layer, errors) = (None, 0, None);
        Spec { shape, from, adds, activation, divides, error_bits, layer, errors }
    }

    #[test]
    fn an_activation_counts_thresholds_and_passes_what_is_not_clamped() {
        // Channel 0: a shift by 3. Channel 1: thresholds 3, 5.5 and 8, so 3, 6 and 8.
        let spec = linear(2, Activation::Quantise { top: 3 });
        let slopes = [0.0, 0.5, 8.0, 2.5];
        for z in -20..=40 {
            let z = z as f32;
            let sums = Sums { largest: vec![z, z], place: Vec::new(), by_exact: Vec::new() };
            let passed = activate(&spec, &sums.largest, &slopes);
            let by_shift = (z as i32 >> 3).clamp(0, 3) as f32;
            let by_count = [3.0, 6.0, 8.0].iter().filter(|&&threshold| z >= threshold).count();
            assert_eq!(passed, [by_shift, by_count as f32], "{z}");

            let mut gradients = vec![1.0, 1.0];
            let by_slopes = by_sums(&spec, &sums.largest, &slopes, &mut gradients, true).unwrap();
            let inside = [(0.0..=32.0).contains(&z), (0.5..=10.5).contains(&z)];
            let expected = [(inside[0], 1.0 / 8.0, z / 8.0), (inside[1], 0.4, (z - 0.5) * 0.4)]
                .map(
                    |(inside, per_step, y)| {
                        if inside { (per_step, per_step * y) } else { (0.0, 0.0) }
                    },
                );
            assert_eq!(gradients, expected.map(|(by_sum, _)| by_sum), "{z}");
            let close = |a: f32, b: f32| (a - b).abs() <= 1e-6 * b.abs();
            for channel in 0..2 {
                assert!(close(by_slopes[channel], -expected[channel].0), "{z}");
                assert!(close(by_slopes[2 + channel], -expected[channel].1), "{z}: {by_slopes:?}");
            }
        }
    }

    /// Thresholds that are looked up give what those that are counted do.
    #[test]
    fn many_thresholds_are_counted_as_few_are() {
        const TOP: usize = 255;
        let spec = linear(2, Activation::Quantise { top: TOP });
        let slopes = [-7.25, 3.0, 1.75, 0.4];
        for z in -20..=500 {
            let z = z as f32;
            let counted = [0, 1].map(|channel| {
                let reached =
                    |&level: &usize| z >= threshold(slopes[channel], slopes[2 + channel], level);
                (1..=TOP).filter(reached).count() as f32
            });
            assert_eq!(activate(&spec, &[z, z], &slopes), counted, "{z}");
        }
    }

    #[test]
    fn errors_become_multiples_of_a_power_of_two() {
        // The largest, 5, is next to 4: 5/4 is cut to 7/8.
        let mut errors = vec![5.0, -1.0, 0.3, 0.0, -0.2];
        quantise_errors(&mut errors, 4);
        assert_eq!(errors, [0.875, -0.25, 0.125, 0.0, 0.0]);
        let mut zeros = vec![0.0; 3];
        quantise_errors(&mut zeros, 4);
        assert_eq!(zeros, [0.0; 3]);
    }

    #[test]
    fn a_rectified_sum_passes_its_gradient_where_it_is_positive() {
        let spec = linear(3, Activation::Relu);
        let slopes = [1.0, 1.0, -2.0, 1.0, 1.0, 1.0];
        assert_eq!(activate(&spec, &[3.0, 0.5, -1.0], &slopes), [2.0, 0.0, 1.0]);
        let mut gradients = vec![5.0, 7.0, 9.0];
        let by_slopes = by_sums(&spec, &[3.0, 0.5, -1.0], &slopes, &mut gradients, true).unwrap();
        assert_eq!(gradients, [5.0, 0.0, 9.0]);
        assert_eq!(by_slopes, [-5.0, 0.0, -9.0, 0.0, 0.0, 0.0]);
    }
}
