//! From trained weights to the integer network, and the proof that nothing was lost.

use hafnia_data::Dataset;
use hafnia_model::{
    Activate, Conv, Input, Layer, Linear, Network, ReferenceProduct, Thresholds, Weights, Window,
    run,
};
use rayon::prelude::*;

use crate::block::Added;
use crate::config::LayerConfig;
use crate::error::TrainError;
use crate::net::{Net, Parameters};
use crate::shapes::{Block, LayerShapes};
use crate::weights::Latents;

/// The network of these latents, or of their running means.
pub(crate) fn network(
    shapes: &LayerShapes,
    latents: &Latents,
    averaged: bool,
    dataset: &Dataset,
) -> Result<Network, TrainError> {
    let thresholds = latents.network_thresholds(shapes, averaged);
    let mut graph = Graph { steps: Vec::new(), values: vec![(0, false)] };
    let matrices = latents.network_weights(averaged).into_iter().zip(thresholds);
    for (block, (weights, values)) in shapes.blocks.iter().zip(matrices) {
        graph.block(block, weights, block.top().map(|levels| Thresholds::new(levels, values)));
    }
    let [channels, height, width] = dataset.shape;
    let input = Input::new(channels, height, width, &latents.cuts(averaged));
    Ok(Network::graph(input, graph.steps)?)
}

/// The layers of the network so far.
struct Graph {
    steps: Vec<(Layer, Vec<usize>)>,
    /// Where the network has the image and what each block gives, and whether that is a vector.
    values: Vec<(usize, bool)>,
}

impl Graph {
    /// Adds a layer that takes these values, and gives the number of its own.
    fn push(&mut self, layer: Layer, from: Vec<usize>) -> usize {
        self.steps.push((layer, from));
        self.steps.len()
    }

    fn block(&mut self, block: &Block, weights: Weights, thresholds: Option<Thresholds>) {
        let LayerConfig { kernel, stride, padding, pool, .. } = block.config;
        let name = block.config.name.clone();
        let (mut at, is_flat) = self.values[block.from];
        let is_linear = kernel.is_none() && block.shape.average.is_none();
        // Thresholds come right after the product, unless something is added in between.
        let is_alone = block.adds.is_none() && block.shape.average.is_none();
        let (own, after) = if is_alone { (thresholds, None) } else { (None, thresholds) };
        if let Some([rows, columns]) = block.shape.average {
            let (kernel, stride) = ((rows, columns), (rows, columns));
            let window = Window { kernel, stride, ..Window::square(1, 1, 0) };
            at = self.push(Layer::SumPool(window), vec![at]);
        } else if let Some(kernel) = kernel {
            let window = Window::square(kernel, stride, padding);
            at = self.push(Layer::Conv(Conv::new(&name, window, weights, own)), vec![at]);
            if pool > 1 {
                at = self.push(Layer::max_pool(pool), vec![at]);
            }
        } else {
            if !is_flat {
                at = self.push(Layer::Flatten, vec![at]);
            }
            let (name, thresholds) = (name.clone(), own);
            at = self.push(Layer::Linear(Linear { name, weights, thresholds }), vec![at]);
        }
        if let Some(Added { value, factor }) = block.adds {
            let added = self.values[value].0;
            at = self.push(Layer::Add(vec![1, factor as i32]), vec![at, added]);
        }
        if let Some(thresholds) = after {
            // The name of a layer is that of its product.
            let name = if block.adds.is_some() { format!("{name}-sum") } else { name };
            at = self.push(Layer::Activate(Activate { name, thresholds }), vec![at]);
        }
        self.values.push((at, is_linear));
    }
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
