//! LeNet-5 on burn: the forward pass in exact integers, the loss and its gradients.
//!
//! Everything is a product of matrices. Activations lie as (feature, image), weights as (input,
//! output) like in [`hafnia_model`]; a convolution first gathers the rows that its windows cover.
//! With the images innermost, gathering copies whole rows, and its gradient adds whole rows. The
//! four positions of a pool window are gathered apart, so that pooling is an elementwise maximum
//! of four products and the pooled features come out in the order (channel, y, x).
//!
//! Weights enter as ±1 and activations are integers, all sums stay far below 2²⁴: the forward
//! pass is exact in `f32`, in any order of summation. Gradients are real floats, and only they
//! depend on the order.
//!
//! This is the only file that names burn.

use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::Backend;

/// Rows and columns of an image.
pub(crate) const SIDE: usize = 28;
/// Classes told apart.
pub(crate) const CLASSES: usize = 10;

/// What the trainer and the exporter know of a matrix of LeNet-5.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MatrixShape {
    /// Name of the layer.
    pub(crate) name: &'static str,
    /// Inputs: rows of the matrix.
    pub(crate) rows: usize,
    /// Outputs: columns of the matrix.
    pub(crate) columns: usize,
}

/// The matrices of LeNet-5, in order.
pub(crate) const MATRICES: [MatrixShape; 5] = [
    MatrixShape { name: "conv1", rows: 25, columns: 6 },
    MatrixShape { name: "conv2", rows: 150, columns: 16 },
    MatrixShape { name: "fc1", rows: 400, columns: 120 },
    MatrixShape { name: "fc2", rows: 120, columns: 84 },
    MatrixShape { name: "fc3", rows: 84, columns: CLASSES },
];

/// Side of every kernel.
pub(crate) const KERNEL: usize = 5;
/// Zeros around the input of the first convolution.
pub(crate) const PADDING: usize = 2;
/// Side of every pool window.
pub(crate) const POOL: usize = 2;

/// A weight, or one a matrix element, per matrix of the network: (input, output), row by row.
pub(crate) type PerMatrix<T> = [T; MATRICES.len()];
/// A number per matrix that has thresholds: all but the last.
pub(crate) type PerActivation<T> = [T; MATRICES.len() - 1];

/// Images as the forward pass takes them.
#[derive(Debug, Clone)]
pub(crate) struct Images {
    /// (pixel, image); a row of zeros, the padding, stands at the end.
    activations: Vec<f32>,
    count: usize,
}

impl Images {
    /// Turns images of input activations around.
    pub(crate) fn new(images: impl ExactSizeIterator<Item: AsRef<[u8]>>) -> Self {
        let count = images.len();
        let mut activations = vec![0.0; (SIDE * SIDE + 1) * count];
        for (index, image) in images.enumerate() {
            for (pixel, &activation) in image.as_ref().iter().enumerate() {
                activations[pixel * count + index] = f32::from(activation);
            }
        }
        Self { activations, count }
    }
}

/// What a batch says: summed loss, and its gradients.
#[derive(Debug, Clone)]
pub(crate) struct Gradients {
    /// Sum of the images' cross entropies, in nats.
    pub(crate) loss: f64,
    /// Images whose class was hit.
    pub(crate) hits: usize,
    /// Derivatives of the summed loss by the weights.
    pub(crate) weights: PerMatrix<Vec<f32>>,
    /// Derivative of the summed loss by the scale of the logits.
    pub(crate) scale: f32,
}

/// The network on a backend of burn.
#[derive(Debug, Clone)]
pub(crate) struct LeNet {
    device: Device,
    /// Per convolution and position in the pool window: the rows to gather.
    windows: [[Tensor<1, Int>; POOL * POOL]; 2],
    /// The largest activation.
    top: f32,
}

impl LeNet {
    pub(crate) fn new(backend: Backend, activation_bits: u8) -> Self {
        let device = match backend {
            Backend::Flex => Device::flex(),
            #[cfg(feature = "ndarray")]
            #[expect(deprecated, reason = "kept as the independent check of flex")]
            Backend::Ndarray => Device::ndarray(),
            #[cfg(not(feature = "ndarray"))]
            Backend::Ndarray => unreachable!("the configuration was validated"),
        };
        let gather = |channels, side, padding| {
            std::array::from_fn(|position| {
                let at = (position / POOL, position % POOL);
                let rows = window_rows(channels, side, padding, at);
                let shape = [rows.len()];
                Tensor::from_data(TensorData::new(rows, shape), (&device, DType::I64))
            })
        };
        let windows = [gather(1, SIDE, PADDING), gather(6, SIDE / POOL, 0)];
        Self { device, windows, top: f32::from((1u8 << activation_bits) - 1) }
    }

    /// The logits, (class, image): the integers that the exported network gives.
    pub(crate) fn logits(
        &self,
        signs: &PerMatrix<Vec<f32>>,
        shifts: &PerActivation<u32>,
        images: &Images,
    ) -> Vec<f32> {
        let weights = tensors(signs, &self.device);
        let activate = |layer: usize, sums| self.activate(sums, shifts[layer]);
        values(self.forward(&weights, images, &self.device, activate))
    }

    /// Walks the layers, asking `shift` for the shift of each that has one; gives the logits.
    ///
    /// `shift` is given the sums that reach the thresholds of matrix `layer`.
    pub(crate) fn calibrate(
        &self,
        signs: &PerMatrix<Vec<f32>>,
        images: &Images,
        mut shift: impl FnMut(usize, &[f32]) -> u32,
    ) -> Vec<f32> {
        let weights = tensors(signs, &self.device);
        let activate = |layer, sums: Tensor<2>| {
            let shift = shift(layer, &values(sums.clone()));
            self.activate(sums, shift)
        };
        values(self.forward(&weights, images, &self.device, activate))
    }

    /// The summed cross entropy of softmax(scale · logits), and its gradients.
    pub(crate) fn gradients(
        &self,
        signs: &PerMatrix<Vec<f32>>,
        shifts: &PerActivation<u32>,
        scale: f32,
        images: &Images,
        labels: &[u8],
    ) -> Gradients {
        let device = self.device.clone().autodiff();
        let weights = tensors(signs, &device).map(Tensor::require_grad);
        let scale = Tensor::<2>::from_data([[scale]], &device).require_grad();
        let activate = |layer: usize, sums| self.activate(sums, shifts[layer]);
        let logits = self.forward(&weights, images, &device, activate);
        let hits = hits(&values(logits.clone().inner()), labels);

        let mut is_label = vec![0.0f32; CLASSES * images.count];
        for (image, &label) in labels.iter().enumerate() {
            is_label[usize::from(label) * images.count + image] = 1.0;
        }
        let is_label = TensorData::new(is_label, [CLASSES, images.count]);
        let log_likelihood =
            log_softmax(logits * scale.clone(), 0) * Tensor::<2>::from_data(is_label, &device);
        let loss = -log_likelihood.sum();

        let mut gradients = loss.backward();
        let mut gradient = |leaf: &Tensor<2>| {
            values(leaf.grad_remove(&mut gradients).expect("every leaf is used"))
        };
        Gradients {
            loss: f64::from(values(loss.inner())[0]),
            hits,
            weights: weights.each_ref().map(&mut gradient),
            scale: gradient(&scale)[0],
        }
    }

    fn forward(
        &self,
        weights: &PerMatrix<Tensor<2>>,
        images: &Images,
        device: &Device,
        mut activate: impl FnMut(usize, Tensor<2>) -> Tensor<2>,
    ) -> Tensor<2> {
        let [conv1, conv2, fc1, fc2, fc3] = weights.each_ref().map(|w| w.clone().transpose());
        let shape = [SIDE * SIDE + 1, images.count];
        let pixels = Tensor::from_data(TensorData::new(images.activations.clone(), shape), device);
        let a = activate(0, self.convolve(conv1, pixels, 0));
        let a = activate(1, self.convolve(conv2, a, 1));
        let a = activate(2, fc1.matmul(a));
        let a = activate(3, fc2.matmul(a));
        fc3.matmul(a)
    }

    /// A convolution and the pooling after it; `weights` are (output, input).
    fn convolve(&self, weights: Tensor<2>, activations: Tensor<2>, layer: usize) -> Tensor<2> {
        let [channels, inputs] = weights.dims();
        let [_, images] = activations.dims();
        let device = activations.device();
        let product = |rows: &Tensor<1, Int>| {
            let positions = rows.dims()[0] / inputs;
            let windows = activations.clone().select(0, rows.clone().to_device(&device));
            weights.clone().matmul(windows.reshape([inputs, positions * images]))
        };
        let [a, b, c, d] = self.windows[layer].each_ref().map(product);
        let pooled = maximum(maximum(a, b), maximum(c, d));
        let features = channels * pooled.dims()[1] / images;
        pooled.reshape([features, images])
    }

    /// a = clamp(⌊z / 2^shift⌋, 0, top), with the straight-through gradient: with
    /// y = z / 2^shift − 1/2, that of clamp(y, −1/2, top + 1/2).
    fn activate(&self, sums: Tensor<2>, shift: u32) -> Tensor<2> {
        let scaled = sums * (-f64::from(shift)).exp2();
        let quantised = scaled.clone().detach().floor().clamp(0.0, self.top);
        let passed = (scaled - 0.5).clamp(-0.5, self.top + 0.5);
        // Exactly 0 is added: the value is the integer, the gradient that of `passed`.
        quantised + (passed.clone() - passed.detach())
    }
}

/// The larger of two whole numbers; the gradient goes to `a` where they are equal.
///
/// Exact on whole numbers, and on burn-flex far quicker than a choice by mask.
fn maximum(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    a.clone() + relu(b - a)
}

/// The rows that the windows of a 5×5 convolution gather, in order (channel, ky, kx, y, x), where
/// (y, x) runs over the pooled positions and `at` is the position within the pool window.
///
/// Input rows are (channel, y, x); the row after the last stands for the padding.
fn window_rows(channels: usize, side: usize, padding: usize, at: (usize, usize)) -> Vec<i64> {
    let pooled = (side + 2 * padding - KERNEL + 1) / POOL;
    let mut rows = Vec::with_capacity(channels * KERNEL * KERNEL * pooled * pooled);
    for channel in 0..channels {
        for ky in 0..KERNEL {
            for kx in 0..KERNEL {
                for out_y in 0..pooled {
                    let y = (out_y * POOL + at.0 + ky).wrapping_sub(padding);
                    for out_x in 0..pooled {
                        let x = (out_x * POOL + at.1 + kx).wrapping_sub(padding);
                        let is_inside = y < side && x < side;
                        let inside = || (channel * side + y) * side + x;
                        let row = if is_inside { inside() } else { channels * side * side };
                        rows.push(row as i64);
                    }
                }
            }
        }
    }
    rows
}

fn tensors(matrices: &PerMatrix<Vec<f32>>, device: &Device) -> PerMatrix<Tensor<2>> {
    std::array::from_fn(|matrix| {
        let shape = [MATRICES[matrix].rows, MATRICES[matrix].columns];
        Tensor::from_data(TensorData::new(matrices[matrix].clone(), shape), device)
    })
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("tensors here are f32")
}

/// Images whose label is the first largest of their logits, (class, image).
pub(crate) fn hits(logits: &[f32], labels: &[u8]) -> usize {
    let count = labels.len();
    let class = |image: usize| {
        let logit = |class: usize| logits[class * count + image];
        (1..CLASSES).fold(0, |best, class| if logit(class) > logit(best) { class } else { best })
    };
    labels.iter().enumerate().filter(|&(image, &label)| class(image) == usize::from(label)).count()
}

#[cfg(test)]
mod tests {
    use hafnia_data::Mnist;
    use hafnia_rng::Seed;
    use rand::RngExt;

    use super::*;
    use crate::weights::Weights;
    use crate::{TrainConfig, export};

    #[test]
    fn logits_are_the_references_bit_for_bit() {
        let mut rng = Seed(3).site("test/lenet").rng();
        for (input_bits, activation_bits, final_patterns) in
            [(2, 2, None), (2, 2, Some(12)), (1, 1, None), (8, 4, None)]
        {
            let config =
                TrainConfig { input_bits, activation_bits, final_patterns, ..Default::default() };
            // Real images, and then noise.
            let mut dataset = Mnist::subset().train.select(&[0, 400, 800, 1200, 1600]);
            dataset.images.extend((0..4 * SIDE * SIDE).map(|_| rng.random::<u8>()));
            dataset.labels.extend([0; 4]);
            let weights = Weights::start(&config);
            let lenet = LeNet::new(config.backend, activation_bits);
            // Small shifts saturate, large ones leave nothing on.
            for shifts in [[0, 1, 2, 3], [3, 4, 5, 4], [5, 2, 6, 1]] {
                let network = export::network(&config, weights.bits(), &shifts).unwrap();
                let signs = weights.signs();
                let all: Vec<usize> = (0..dataset.len()).collect();
                export::verify(&network, &lenet, &signs, &shifts, &dataset, &all).unwrap();
            }
        }
    }

    #[test]
    fn the_gradient_passes_a_quantiser_where_it_is_not_clamped() {
        let lenet = LeNet::new(Backend::Flex, 2);
        let device = lenet.device.clone().autodiff();
        let sums: Vec<f32> = (-20..=40).map(|sum| sum as f32).collect();
        let shape = [sums.len(), 1];
        let leaf = Tensor::from_data(TensorData::new(sums.clone(), shape), &device).require_grad();
        let activations = lenet.activate(leaf.clone(), 3);
        let gradients = activations.clone().sum().backward();
        let gradients = values(leaf.grad(&gradients).unwrap());
        let activations = values(activations.inner());
        for (i, sum) in (-20..=40).enumerate() {
            assert_eq!(activations[i], (sum >> 3).clamp(0, 3) as f32, "{sum}");
            // y = sum / 8 - 1/2 lies in -1/2 ..= 7/2.
            let passes = (0..=32).contains(&sum);
            assert_eq!(gradients[i], if passes { 0.125 } else { 0.0 }, "{sum}");
        }
    }

    #[test]
    fn the_gradient_of_a_maximum_goes_to_the_larger_or_the_first() {
        let device = Device::flex().autodiff();
        let leaf = |row: [f32; 3]| Tensor::<2>::from_data([row], &device).require_grad();
        let (a, b) = (leaf([1.0, 2.0, -3.0]), leaf([2.0, 2.0, -4.0]));
        let larger = maximum(a.clone(), b.clone());
        let gradients = larger.clone().sum().backward();
        assert_eq!(values(larger.inner()), [2.0, 2.0, -3.0]);
        assert_eq!(values(a.grad(&gradients).unwrap()), [0.0, 1.0, 1.0]);
        assert_eq!(values(b.grad(&gradients).unwrap()), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_first_of_equal_logits_counts() {
        // (class, image): image 0 has classes 2 and 5 equal, image 1 has class 9 largest.
        let mut logits = [0.0; 2 * CLASSES];
        (logits[2 * 2], logits[5 * 2], logits[9 * 2 + 1]) = (4.0, 4.0, 1.0);
        assert_eq!(hits(&logits, &[2, 9]), 2);
        assert_eq!(hits(&logits, &[5, 0]), 0);
    }
}
