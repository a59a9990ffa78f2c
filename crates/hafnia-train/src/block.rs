//! A block of the network, forward and back: the product of `kernels`, then the quantiser.
//!
//! With offset o and step s of a channel, threshold l lies at T(l) = ⌈o + l·s⌉, and an activation is
//! the number of thresholds that a sum z reaches. The straight-through derivative is that of
//! y = (z − o)/s where 0 ≤ y ≤ top + 1, and 0 elsewhere.

use std::sync::Arc;

use crate::kernels::{self, Disturbance, Shape, Sums};
use crate::noise::{Draws, Errors};

/// What a block computes.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) shape: Shape,
    pub(crate) activation: Activation,
    /// Bits of the error that comes back, if it is quantised.
    pub(crate) error_bits: Option<u8>,
    /// Number of the layer, which tells its draws from another's.
    pub(crate) layer: usize,
    /// The conversion errors of its sums.
    pub(crate) errors: Option<Arc<Errors>>,
}

/// What follows the product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Activation {
    /// Nothing: the sums come out.
    None,
    /// max(0, z − o), in floats: the teacher's.
    Relu,
    /// The number of thresholds reached, 0 to `top`.
    Quantise { top: usize },
}

/// Thresholds of the channels: o of each, and then s of each; empty without an activation.
pub(crate) type Slopes<'a> = &'a [f32];

/// Threshold `level` of a channel, the smallest whole number that reaches it.
pub(crate) fn threshold(offset: f32, step: f32, level: usize) -> f32 {
    (level as f32).mul_add(step, offset).ceil()
}

/// What the way forward leaves.
#[derive(Debug, Clone)]
pub(crate) struct Passed {
    /// (image, output, y, x).
    pub(crate) output: Vec<f32>,
    pub(crate) sums: Sums,
}

/// Derivatives, in the order of the arguments.
#[derive(Debug, Clone)]
pub(crate) struct Derivatives {
    pub(crate) by_input: Option<Vec<f32>>,
    pub(crate) by_weights: Vec<f32>,
    pub(crate) by_slopes: Option<Vec<f32>>,
}

/// `draws` are those of the images' errors; without any, there are no errors.
pub(crate) fn forward(
    spec: &Spec,
    input: &[f32],
    weights: &[f32],
    slopes: Slopes<'_>,
    draws: &[Draws],
) -> Passed {
    let draws: Vec<Draws> = draws.iter().map(|draws| draws.of_layer(spec.layer)).collect();
    let disturbance = spec.errors.as_deref().filter(|_| !draws.is_empty());
    let disturbance = disturbance.map(|errors| Disturbance { errors, draws: &draws });
    let sums = kernels::forward(&spec.shape, input, weights, disturbance);
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

pub(crate) fn backward(
    spec: &Spec,
    input: &[f32],
    weights: &[f32],
    slopes: Slopes<'_>,
    sums: &Sums,
    mut by_output: Vec<f32>,
    wants_input: bool,
    wants_slopes: bool,
) -> Derivatives {
    if let Some(bits) = spec.error_bits {
        quantise_errors(&mut by_output, bits);
    }
    let by_slopes = by_sums(spec, &sums.largest, slopes, &mut by_output, wants_slopes);
    let (by_weights, by_input) =
        kernels::backward(&spec.shape, input, weights, &sums.place, &by_output, wants_input);
    Derivatives { by_input, by_weights, by_slopes }
}

/// Turns derivatives by the activations into those by the sums, and gives those by the slopes.
fn by_sums(
    spec: &Spec,
    sums: &[f32],
    slopes: Slopes<'_>,
    gradients: &mut [f32],
    wants_slopes: bool,
) -> Option<Vec<f32>> {
    let outputs = spec.shape.outputs;
    let (offsets, steps) = slopes.split_at(slopes.len() / 2);
    let mut by_slopes = vec![0.0; 2 * outputs];
    let reach = match spec.activation {
        Activation::None => return None,
        Activation::Relu => f32::INFINITY,
        Activation::Quantise { top } => (top + 1) as f32,
    };
    per_output(spec, sums.len(), |channel, range| {
        let (offset, per_step) = (offsets[channel], 1.0 / steps[channel]);
        let (mut by_offset, mut by_step) = (0.0, 0.0);
        for (gradient, &sum) in gradients[range.clone()].iter_mut().zip(&sums[range]) {
            let y = (sum - offset) * per_step;
            *gradient = if (0.0..=reach).contains(&y) { *gradient * per_step } else { 0.0 };
            by_offset -= *gradient;
            by_step -= *gradient * y.clamp(0.0, reach);
        }
        by_slopes[channel] += by_offset;
        by_slopes[outputs + channel] += by_step;
    });
    wants_slopes.then_some(by_slopes)
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
