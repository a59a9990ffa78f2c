//! A block put together from burn's own operations: what `ops` is checked against.

use burn::tensor::activation::relu;
use burn::tensor::{DType, Int, Tensor, TensorData};

use crate::block::{Activation, Spec};
use crate::kernels::Shape;

/// A block of the network, as [`crate::ops::block`]; errors are not quantised.
pub(crate) fn block(
    input: Tensor<2>,
    weights: Tensor<2>,
    slopes: Tensor<2>,
    spec: &Spec,
) -> Tensor<2> {
    let shape = &spec.shape;
    let [images, _] = input.dims();
    let [height, width] = shape.pooled();
    let positions = height * width;
    let device = input.device();
    // A zero more, for the padding.
    let zero = Tensor::zeros([images, 1], &device);
    let input = Tensor::cat(vec![input, zero], 1);
    let sums = (0..shape.pool * shape.pool)
        .map(|place| {
            let rows = windows(shape, place);
            let rows = TensorData::new(rows, [positions * shape.rows()]);
            let rows = Tensor::<1, Int>::from_data(rows, (&device, DType::I64));
            let windows = input.clone().select(1, rows);
            windows.reshape([images * positions, shape.rows()]).matmul(weights.clone())
        })
        .reduce(maximum)
        .expect("a pool window has places");
    let [offsets, steps] = [0, 1].map(|row| slopes.clone().narrow(0, row, 1));
    let activations = match spec.activation {
        Activation::None => sums,
        Activation::Relu => relu(sums - offsets),
        Activation::Quantise { top } => {
            let quantised = (1..=top)
                .map(|level| {
                    let threshold =
                        (offsets.clone() + steps.clone() * level as f32).detach().ceil();
                    sums.clone().detach().greater_equal(threshold.expand(sums.dims())).float()
                })
                .reduce(|sum, term| sum + term)
                .expect("an activation has levels");
            let y = (sums - offsets) / steps;
            let passed = y.clamp(0.0, (top + 1) as f64);
            // Exactly 0 is added: the value is the integer, the gradient that of `passed`.
            quantised + (passed.clone() - passed.detach())
        }
    };
    let outputs = shape.outputs;
    let activations = activations.reshape([images, positions, outputs]).swap_dims(1, 2);
    activations.reshape([images, outputs * positions])
}

/// The larger of two whole numbers; the gradient goes to `a` where they are equal.
///
/// Exact on whole numbers, and on burn-flex far quicker than a choice by mask.
fn maximum(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    a.clone() + relu(b - a)
}

/// The features under the windows of a place in the pool window, in order (y, x, channel, ky, kx)
/// with (y, x) over the pooled positions; the feature after the last stands for the padding.
fn windows(shape: &Shape, place: usize) -> Vec<i64> {
    let [channels, height, width] = shape.input;
    let [pooled_height, pooled_width] = shape.pooled();
    let (kernel, pool, padding) = (shape.kernel, shape.pool, shape.padding);
    let mut features = Vec::new();
    for out_y in 0..pooled_height {
        for out_x in 0..pooled_width {
            for channel in 0..channels {
                for ky in 0..kernel {
                    for kx in 0..kernel {
                        let y = (out_y * pool + place / pool + ky).wrapping_sub(padding);
                        let x = (out_x * pool + place % pool + kx).wrapping_sub(padding);
                        let is_inside = y < height && x < width;
                        let inside = || (channel * height + y) * width + x;
                        features
                            .push(if is_inside { inside() } else { shape.features_in() } as i64);
                    }
                }
            }
        }
    }
    features
}
