//! The network on burn: the forward pass in exact integers, and its gradients.
//!
//! Weights enter as whole numbers and activations are integers; all sums stay far below 2²⁴: the
//! forward pass is exact in `f32`, in any order of summation. Gradients are real floats, and only
//! they depend on the order.
//!
//! On burn-flex a block is one operation of our own (`ops`); on burn-ndarray it is put together
//! from burn's operations (`stock`), which is slow and checks the other.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use crate::block::{Activation, Added, Spec};
use crate::config::Backend;
use crate::noise::{Errors, Suffered};
use crate::shapes::{Block, LayerShapes};
use crate::{ops, stock};

/// A number for every weight and every slope of the network, layer by layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PerParameter {
    /// (row, output) of every layer.
    pub(crate) weights: Vec<Vec<f32>>,
    /// Offsets, then steps, of every layer; none of one without an activation.
    pub(crate) slopes: Vec<Vec<f32>>,
}

/// Derivatives by what the forward pass was given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Derivatives {
    pub(crate) by_parameters: PerParameter,
    /// By the activations of the input, (image, pixel), if its cuts are learned.
    pub(crate) by_images: Option<Vec<f32>>,
}

/// The parameters of a step as tensors.
#[derive(Debug, Clone)]
pub(crate) struct Parameters {
    weights: Vec<Tensor<2>>,
    slopes: Vec<Tensor<2>>,
}

/// The network on a backend of burn.
#[derive(Debug, Clone)]
pub(crate) struct Net {
    backend: Backend,
    device: Device,
    specs: Vec<Arc<Spec>>,
    /// Whether the slopes of a layer are trained.
    learned: Vec<bool>,
    /// Whether the cuts of the input are trained.
    learns_cuts: bool,
}

/// What an image's outputs are worth: derivatives by the outputs, (image, class).
pub(crate) type ByOutputs = Vec<f32>;

impl Net {
    /// The network of these layers; the teacher's activations are not quantised.
    pub(crate) fn new(
        backend: Backend,
        shapes: &LayerShapes,
        error_bits: Option<u8>,
        errors: Option<&Arc<Errors>>,
        is_teacher: bool,
    ) -> Self {
        let device = match backend {
            Backend::Flex => Device::flex(),
            #[cfg(feature = "ndarray")]
            #[expect(deprecated, reason = "kept as the independent check of flex")]
            Backend::Ndarray => Device::ndarray(),
            #[cfg(not(feature = "ndarray"))]
            Backend::Ndarray => unreachable!("the configuration was validated"),
        };
        let specs = shapes.blocks.iter().enumerate().map(|(layer, block)| {
            let activation = match block.top() {
                None => Activation::None,
                Some(_) if is_teacher => Activation::Relu,
                Some(top) => Activation::Quantise { top },
            };
            // In floats nothing has to be brought to the size of sums.
            let adds = block.adds.map(|added| match is_teacher {
                true => Added { factor: 1.0, ..added },
                false => added,
            });
            let (shape, from, divides) = (block.shape, block.from, is_teacher);
            let errors = errors.cloned();
            Arc::new(Spec { shape, from, adds, activation, divides, error_bits, layer, errors })
        });
        let is_learned = |block: &Block| is_teacher || block.config.learned_thresholds;
        Self {
            backend,
            device,
            specs: specs.collect(),
            learned: shapes.blocks.iter().map(is_learned).collect(),
            learns_cuts: shapes.input.learned && !is_teacher,
        }
    }

    pub(crate) fn specs(&self) -> &[Arc<Spec>] {
        &self.specs
    }

    /// Brings the parameters of a step to the device.
    pub(crate) fn parameters(&self, values: &PerParameter) -> Parameters {
        let tensor = |values: &Vec<f32>, outputs: usize| {
            let shape = [values.len() / outputs, outputs];
            Tensor::from_data(TensorData::new(values.clone(), shape), &self.device)
        };
        Parameters {
            weights: (values.weights.iter().zip(&self.specs))
                .map(|(weights, spec)| tensor(weights, spec.shape.outputs))
                .collect(),
            slopes: (values.slopes.iter().zip(&self.specs))
                .map(|(slopes, spec)| tensor(slopes, spec.shape.outputs))
                .collect(),
        }
    }

    /// The outputs, (image, class): the integers that the exported network returns.
    pub(crate) fn outputs(&self, parameters: &Parameters, images: Vec<f32>) -> Vec<f32> {
        self.outputs_under(parameters, images, &Arc::default())
    }

    /// The outputs, (image, class), of images that suffer errors.
    pub(crate) fn outputs_under(
        &self,
        parameters: &Parameters,
        images: Vec<f32>,
        suffered: &Arc<Suffered>,
    ) -> Vec<f32> {
        let images = self.tensor(images, &self.device);
        values(self.forward(&parameters.weights, &parameters.slopes, images, suffered))
    }

    /// Derivatives by the parameters of what `judge` makes of the outputs.
    ///
    /// `judge` is given the outputs, (image, class), and returns the derivatives by them. The images
    /// suffer errors if there are draws for them.
    pub(crate) fn gradients(
        &self,
        parameters: &Parameters,
        images: Vec<f32>,
        suffered: &Arc<Suffered>,
        judge: impl FnOnce(&[f32]) -> ByOutputs,
    ) -> Derivatives {
        let device = self.device.clone().autodiff();
        let lift = |tensor: &Tensor<2>| Tensor::from_inner(tensor.clone());
        let weights: Vec<Tensor<2>> =
            parameters.weights.iter().map(|tensor| lift(tensor).require_grad()).collect();
        let slopes: Vec<Tensor<2>> = (parameters.slopes.iter().zip(&self.learned))
            .map(
                |(tensor, &learned)| {
                    if learned { lift(tensor).require_grad() } else { lift(tensor) }
                },
            )
            .collect();
        let mut images = self.tensor(images, &device);
        if self.learns_cuts {
            images = images.require_grad();
        }
        let outputs = self.forward(&weights, &slopes, images.clone(), suffered);
        let by_outputs = judge(&values(outputs.clone().inner()));
        let by_outputs = TensorData::new(by_outputs, outputs.dims());
        // The derivative of Σ output · constant by an output is the constant.
        let mut gradients = (outputs * Tensor::from_data(by_outputs, &device)).sum().backward();
        let mut of = |leaf: &Tensor<2>| leaf.grad_remove(&mut gradients).map(values);
        let by_images = self.learns_cuts.then(|| of(&images).expect("the images are used"));
        let mut or_zeros =
            |leaf: &Tensor<2>| of(leaf).unwrap_or_else(|| vec![0.0; leaf.dims().iter().product()]);
        Derivatives {
            by_parameters: PerParameter {
                weights: weights.iter().map(&mut or_zeros).collect(),
                slopes: slopes.iter().map(&mut or_zeros).collect(),
            },
            by_images,
        }
    }

    fn tensor(&self, images: Vec<f32>, device: &Device) -> Tensor<2> {
        let pixels = self.specs[0].shape.features_in();
        let shape = [images.len() / pixels, pixels];
        Tensor::from_data(TensorData::new(images, shape), device)
    }

    fn forward(
        &self,
        weights: &[Tensor<2>],
        slopes: &[Tensor<2>],
        images: Tensor<2>,
        suffered: &Arc<Suffered>,
    ) -> Tensor<2> {
        let nothing = Tensor::zeros([1, 1], &images.device());
        let mut values = vec![images];
        for ((weights, slopes), spec) in weights.iter().zip(slopes).zip(&self.specs) {
            let added = spec.adds.map_or(&nothing, |added| &values[added.value]);
            let operands = [&values[spec.from], added, weights, slopes].map(Tensor::clone);
            values.push(match self.backend {
                Backend::Flex => ops::block(operands, spec.clone(), suffered.clone()),
                Backend::Ndarray => stock::block(operands, spec),
            });
        }
        values.pop().expect("the images, at least")
    }
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("tensors here are f32")
}

#[cfg(test)]
mod tests {
    use hafnia_rng::Seed;
    use rand::RngExt;

    use super::*;
    use crate::config::{LayerConfig, TrainConfig};
    use crate::weights::Latents;

    /// Convolutions with and without padding and pool, thresholds fixed and learned.
    fn chain() -> LayerShapes {
        let mut layer = LayerConfig::lenet5();
        layer[0].learned_thresholds = true;
        layer[1].pool = 1;
        layer[1].weight_bits = 2;
        layer[2].learned_thresholds = true;
        let config = TrainConfig { layer, ..TrainConfig::default() };
        LayerShapes::new(&config, [1, 16, 20], 1).unwrap()
    }

    /// Two residual blocks, one with a product on the short way, averages with and without
    /// thresholds, a value that is taken three times.
    fn graph() -> LayerShapes {
        let layer = |name: &str, rest: &str| {
            format!("[[layer]]\nname = '{name}'\nweight_bits = 3\nzero_weights = true\n{rest}\n")
        };
        let conv = "kernel = 3\npadding = 1\nactivation_bits = 3\nlearned_thresholds = true";
        let average = "[[layer]]\nname = 'half'\naverage = 2\nactivation_bits = 4\n\
                       learned_thresholds = true\n[[layer]]\nname = 'whole'\naverage = 0\n";
        let layers = [
            layer("stem", &format!("outputs = 6\n{conv}")),
            layer("a", &format!("outputs = 6\n{conv}")),
            layer("b", &format!("outputs = 6\nadds = 'stem'\n{conv}")),
            layer("short", "outputs = 8\nkernel = 1\nstride = 2"),
            layer("c", &format!("outputs = 8\nfrom = 'stem'\nstride = 2\n{conv}")),
            layer("d", &format!("outputs = 8\nadds = 'c'\n{conv}")),
            layer("e", &format!("outputs = 8\nadds = 'short'\n{conv}")),
            average.to_owned(),
            layer("fc", "outputs = 24\nactivation_bits = 2"),
            layer("join", "outputs = 24\nadds = 'fc'"),
        ];
        LayerShapes::new(&TrainConfig::from_toml(&layers.concat()).unwrap(), [2, 8, 12], 1).unwrap()
    }

    #[test]
    fn our_operations_do_what_burns_do() {
        check_against_burn(&chain(), &[1, 3, 2, 1], false);
        check_against_burn(&graph(), &[1, 2, 3, 0, 2, 3, 3, 1, 0, 3], false);
        check_against_burn(&graph(), &[], true);
    }

    /// Our operations and burn's give the same outputs, and derivatives that differ by rounding.
    fn check_against_burn(shapes: &LayerShapes, shifts: &[u32], is_teacher: bool) {
        const IMAGES: usize = 5;
        let seed = Seed(4).site("test/net");
        let start = if is_teacher { Latents::teacher } else { Latents::start };
        let mut latents = start(shapes, seed);
        for (layer, &shift) in shifts.iter().enumerate() {
            latents.set_shift(layer, shift);
        }
        let mut values = latents.parameters(false);
        let mut rng = Seed(4).site("test/net/images").rng();
        for slopes in &mut values.slopes {
            // Only the offsets of a teacher are trained.
            let moved = if is_teacher { slopes.len() / 2 } else { slopes.len() };
            slopes[..moved].iter_mut().for_each(|slope| *slope += rng.random_range(-0.3..0.3));
        }
        let images: Vec<f32> = (0..IMAGES * shapes.blocks[0].shape.features_in())
            .map(|_| (rng.random_range(-3..4i32).max(0)) as f32)
            .collect();
        let ours = Net::new(Backend::Flex, shapes, None, None, is_teacher);
        let mut stock = ours.clone();
        stock.backend = Backend::Ndarray; // burn's operations; the device is still flex
        let parameters = ours.parameters(&values);
        let outputs = ours.outputs(&parameters, images.clone());
        let of_stock = stock.outputs(&parameters, images.clone());
        if is_teacher {
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * b.abs().max(1.0);
            assert!(outputs.iter().zip(&of_stock).all(near), "{outputs:?} {of_stock:?}");
        } else {
            assert_eq!(outputs, of_stock);
        }
        assert!(outputs.iter().any(|&output| output != outputs[0]), "{outputs:?}");

        let by_outputs: Vec<f32> = outputs.iter().map(|_| rng.random_range(-1.0..1.0)).collect();
        let gradients = |net: &Net| {
            let derivatives =
                net.gradients(&parameters, images.clone(), &Arc::default(), |_| by_outputs.clone());
            derivatives.by_parameters
        };
        let (ours, stock) = (gradients(&ours), gradients(&stock));
        let close = |ours: &[f32], stock: &[f32], what: &str| {
            let largest = stock.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            assert!(largest > 0.0, "{what} has no derivatives");
            assert_eq!(ours.len(), stock.len());
            for (ours, stock) in ours.iter().zip(stock) {
                // Sums of some thousand terms, rounded to 2^-24 each.
                assert!((ours - stock).abs() <= 1e-4 * largest, "{what}: {ours} and {stock}");
            }
        };
        for (layer, block) in shapes.blocks.iter().enumerate() {
            let name = &block.config.name;
            if block.shape.average.is_none() {
                close(&ours.weights[layer], &stock.weights[layer], &format!("matrix {name}"));
            }
            let (ours, stock) = (&ours.slopes[layer], &stock.slopes[layer]);
            if block.top().is_some() && (is_teacher || block.config.learned_thresholds) {
                close(ours, stock, &format!("thresholds {name}"));
            } else {
                assert!(ours.iter().all(|&by| by == 0.0), "{name}");
            }
        }
    }
}
