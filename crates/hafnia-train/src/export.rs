//! From trained weights to the integer network, and the proof that nothing was lost.

use hafnia_bits::BitMatrix;
use hafnia_data::Dataset;
use hafnia_model::{Conv, Input, Layer, Linear, Network, Plain, Thresholds, arithmetic, run};
use rayon::prelude::*;

use crate::lenet::{
    CLASSES, Images, KERNEL, LeNet, MATRICES, PADDING, POOL, PerActivation, PerMatrix, SIDE,
};
use crate::{TrainConfig, TrainError};

/// LeNet-5 with these weights, a shift per layer as its thresholds.
pub(crate) fn network(
    config: &TrainConfig,
    bits: PerMatrix<BitMatrix>,
    shifts: &PerActivation<u32>,
) -> Result<Network, TrainError> {
    let name = |matrix: usize| MATRICES[matrix].name.to_owned();
    let thresholds = |matrix: usize| {
        let shift = *shifts.get(matrix)?;
        Some(Thresholds::shift(MATRICES[matrix].columns, config.activation_bits, shift))
    };
    let conv = |matrix, padding, weights| {
        Layer::Conv(Conv {
            name: name(matrix),
            kernel: KERNEL,
            stride: 1,
            padding,
            weights,
            thresholds: thresholds(matrix),
        })
    };
    let linear = |matrix, weights| {
        let thresholds = thresholds(matrix);
        Layer::Linear(Linear { name: name(matrix), weights, thresholds })
    };
    let input = Input {
        channels: 1,
        height: SIDE,
        width: SIDE,
        bits: config.input_bits,
        shift: 8 - config.input_bits,
    };
    let [conv1, conv2, fc1, fc2, fc3] = bits;
    let layers = vec![
        conv(0, PADDING, conv1),
        Layer::MaxPool { size: POOL },
        conv(1, 0, conv2),
        Layer::MaxPool { size: POOL },
        Layer::Flatten,
        linear(2, fc1),
        linear(3, fc2),
        linear(4, fc3),
    ];
    Ok(Network::new(input, layers)?)
}

/// Holds the trainer's logits of these images against the reference's, bit for bit.
pub(crate) fn verify(
    network: &Network,
    lenet: &LeNet,
    signs: &PerMatrix<Vec<f32>>,
    shifts: &PerActivation<u32>,
    dataset: &Dataset,
    images: &[usize],
) -> Result<(), TrainError> {
    const CHUNK: usize = 64;
    let reference = Plain::new(network);
    images.par_chunks(CHUNK).try_for_each(|chunk| {
        let mut reference = reference.clone();
        let reduced = chunk.iter().map(|&image| reduce(network, dataset.image(image)));
        let reduced: Vec<Vec<u8>> = reduced.collect();
        let logits = lenet.logits(signs, shifts, &Images::new(reduced.iter()));
        for (position, (&image, activations)) in chunk.iter().zip(&reduced).enumerate() {
            let exported = run(network, activations, &mut reference);
            let trained = |class: usize| logits[class * chunk.len() + position];
            // Compared as floats, so that a logit which is no whole number is told apart.
            if !(0..CLASSES).all(|class| trained(class) == exported[class] as f32) {
                let trained = (0..CLASSES).map(trained).collect();
                return Err(TrainError::Export { image, trained, exported });
            }
        }
        Ok(())
    })
}

fn reduce(network: &Network, pixels: &[u8]) -> Vec<u8> {
    let shift = network.input().shift;
    pixels.iter().map(|&pixel| arithmetic::reduce_pixel(pixel, shift)).collect()
}
