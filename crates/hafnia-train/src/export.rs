//! From trained weights to the integer network, and the proof that nothing was lost.

use hafnia_data::Dataset;
use hafnia_model::{
    Conv, Input, Layer, Linear, Network, ReferenceProduct, Thresholds, Window, run,
};
use rayon::prelude::*;

use crate::error::TrainError;
use crate::images::sides;
use crate::net::{Net, Parameters};
use crate::shapes::LayerShapes;
use crate::weights::Latents;

/// The network of these latents, or of their running means.
pub(crate) fn network(
    shapes: &LayerShapes,
    latents: &Latents,
    averaged: bool,
    dataset: &Dataset,
) -> Result<Network, TrainError> {
    let mut thresholds = latents.network_thresholds(shapes, averaged).into_iter();
    let mut layers = Vec::new();
    let mut is_flat = false;
    for (block, weights) in shapes.blocks.iter().zip(latents.network_weights(averaged)) {
        let name = block.config.name.clone();
        let thresholds = block.top().map(|levels| {
            let values = thresholds.next().expect("a layer's thresholds");
            Thresholds::new(levels, values)
        });
        match block.config.kernel {
            Some(kernel) => {
                let window = Window::square(kernel, 1, block.config.padding);
                layers.push(Layer::Conv(Conv::new(name, window, weights, thresholds)));
                if block.config.pool > 1 {
                    layers.push(Layer::max_pool(block.config.pool));
                }
            }
            None => {
                if !is_flat {
                    layers.push(Layer::Flatten);
                }
                layers.push(Layer::Linear(Linear { name, weights, thresholds }));
            }
        }
        is_flat = block.config.kernel.is_none();
    }
    let [height, width] = sides(dataset);
    let input = Input::new(1, height, width, &latents.cuts(averaged));
    Ok(Network::new(input, layers)?)
}

/// Holds the trainer's outputs of these images against the reference's, bit for bit.
pub(crate) fn verify(
    network: &Network,
    net: &Net,
    parameters: &Parameters,
    dataset: &Dataset,
    images: &[usize],
) -> Result<(), TrainError> {
    const CHUNK: usize = 64;
    let reference = ReferenceProduct::new(network);
    let classes = network.classes();
    images.par_chunks(CHUNK).try_for_each(|chunk| {
        let mut reference = reference.clone();
        let reduced: Vec<u8> =
            chunk.iter().flat_map(|&image| reduce(network, dataset.image(image))).collect();
        let outputs = net.outputs(parameters, reduced.iter().map(|&a| f32::from(a)).collect());
        let pixels = reduced.len() / chunk.len();
        let of_images = reduced.chunks_exact(pixels).zip(outputs.chunks_exact(classes));
        for (&image, (activations, trained)) in chunk.iter().zip(of_images) {
            let exported = run(network, activations, &mut reference);
            // Compared as floats, so that an output which is no whole number is told apart.
            if !trained
                .iter()
                .zip(&exported)
                .all(|(&trained, &exported)| trained == exported as f32)
            {
                let trained = trained.to_vec();
                return Err(TrainError::Export { image, trained, exported });
            }
        }
        Ok(())
    })
}

fn reduce(network: &Network, pixels: &[u8]) -> Vec<u8> {
    network.input().levels_of(pixels)
}
