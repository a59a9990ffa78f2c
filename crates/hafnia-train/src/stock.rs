//! A block put together from burn's own operations: what `ops` is checked against.

use burn::tensor::activation::relu;
use burn::tensor::{DType, Int, Tensor, TensorData};

use crate::block::{Activation, Added, Spec};
use crate::kernels::Shape;

/// A block of the network, as [`crate::ops::block`]; errors are not quantised.
pub(crate) fn block([input, added, weights, slopes]: [Tensor<2>; 4], spec: &Spec) -> Tensor<2> {
    let shape = &spec.shape;
    let [images, _] = input.dims();
    let [height, width] = shape.pooled();
    let positions = height * width;
    let device = input.device();
    // A zero more, for the padding.
    let zero = Tensor::zeros([images, 1], &device);
    let input = Tensor::cat(vec![input, zero], 1);
    let select = |features: Vec<i64>| {
        let features = TensorData::new(features.clone(), [features.len()]);
        input.clone().select(1, Tensor::<1, Int>::from_data(features, (&device, DType::I64)))
    };
    let outputs = shape.outputs;
    let mut sums = match shape.average {
        Some([rows, columns]) => {
            let windows = select(pixels(shape, [rows, columns]));
            let windows = windows.reshape([images * positions * outputs, rows * columns]);
            let sums = windows.sum_dim(1).reshape([images * positions, outputs]);
            if spec.divides { sums / (rows * columns) as f64 } else { sums }
        }
        None => (0..shape.pool * shape.pool)
            .map(|place| {
                let windows = select(windows(shape, place));
                windows.reshape([images * positions, shape.rows()]).matmul(weights.clone())
            })
            .reduce(maximum)
            .expect("a pool window has places"),
    };
    if let Some(Added { factor, .. }) = spec.adds {
        let added = added.reshape([images, outputs, positions]).swap_dims(1, 2);
        sums = sums + added.reshape([images * positions, outputs]) * factor;
    }
    let slopes = |row| slopes.clone().narrow(0, row, 1);
    let activations = match spec.activation {
        Activation::None => sums,
        Activation::Relu => relu(sums - slopes(0)),
        Activation::Quantise { top } => {
            let [offsets, steps] = [0, 1].map(slopes);
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
    let Shape { kernel, pool, padding, stride, .. } = *shape;
    let mut features = Vec::new();
    for out_y in 0..pooled_height {
        for out_x in 0..pooled_width {
            for channel in 0..channels {
                for ky in 0..kernel {
                    for kx in 0..kernel {
                        let (row, column) =
                            (out_y * pool + place / pool, out_x * pool + place % pool);
                        let y = (row * stride + ky).wrapping_sub(padding);
                        let x = (column * stride + kx).wrapping_sub(padding);
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

/// The features under the windows of a sum over pixels, in order (y, x, channel, row, column).
fn pixels(shape: &Shape, [rows, columns]: [usize; 2]) -> Vec<i64> {
    let [channels, height, width] = shape.input;
    let [out_rows, out_columns] = shape.pooled();
    let mut features = Vec::new();
    for (out_y, out_x) in (0..out_rows).flat_map(|y| (0..out_columns).map(move |x| (y, x))) {
        for channel in 0..channels {
            for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
                let (y, x) = (out_y * rows + y, out_x * columns + x);
                features.push(((channel * height + y) * width + x) as i64);
            }
        }
    }
    features
}
