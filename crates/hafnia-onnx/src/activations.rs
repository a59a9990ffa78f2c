//! [`activations`]: the activations of a network beside those of the graph in floats, product by product.

use std::path::Path;

use hafnia_model::Shape;
use serde::{Deserialize, Serialize};

use crate::check::{CheckError, reals};
use crate::doubt;
use crate::executor::Executor;
use crate::graph::Graph;
use crate::imported::{Imported, Taken};
use crate::input;
use crate::options::Options;
use crate::tensor::Tensor;

/// What a product takes, beside what it takes in the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activations {
    /// The node that is the product.
    #[serde(rename = "layer")]
    pub node: String,
    /// Activations of all images.
    #[serde(rename = "activations")]
    pub all: usize,
    /// Those that are other levels than in the graph.
    pub different: usize,
}

/// Counts, for each product of a network that was imported with [`Options::approximate`], how many of
/// its activations are not the nearest levels to what the graph gives in floats there; of the images in
/// `inputs`, as [`check`](crate::check) takes them.
///
/// # Errors
/// If a file cannot be read, or a node before a product cannot be executed.
pub fn activations(
    imported: &Imported,
    path: impl AsRef<Path>,
    options: &Options,
    inputs: impl AsRef<Path>,
) -> Result<Vec<Activations>, CheckError> {
    let (path, inputs) = (path.as_ref(), inputs.as_ref());
    let wrong = |fault: String| CheckError::Content { path: path.to_owned(), fault };
    let graph = Graph::read(path).map_err(|error| wrong(error.to_string()))?;
    let dims = input::input_dims(&graph).map_err(wrong)?;
    let executor = Executor::new(&graph, path).map_err(wrong)?;
    let shape = imported.network.input().shape();
    let tables = input::tables(&options.pixels, shape.channels).map_err(wrong)?;
    let (levels, reals) = reals(imported, inputs, &tables)?;
    let wanted: Vec<&str> = imported.taken.iter().map(|taken| &*taken.tensor).collect();
    let count = |taken: &Taken| Activations { node: taken.node.clone(), all: 0, different: 0 };
    let mut counts: Vec<Activations> = imported.taken.iter().map(count).collect();
    for (levels, reals) in levels.chunks_exact(shape.len()).zip(reals.chunks_exact(shape.len())) {
        let image = match imported.channels_last {
            true => last(shape, reals),
            false => reals.to_vec(),
        };
        let tensors = executor.run(Tensor::floats(dims.clone(), image), &wanted).map_err(wrong)?;
        let values = doubt::values(&imported.network, levels);
        for (count, taken) in counts.iter_mut().zip(&imported.taken) {
            let (tensor, found) = (&tensors[&taken.tensor], &values[taken.value]);
            for (element, &place) in taken.places.iter().enumerate() {
                let (scale, offset) = taken.reals[place * taken.reals.len() / found.len()];
                let level = ((f64::from(tensor.float(element)) - offset) / scale).round();
                count.all += 1;
                count.different += usize::from(level != f64::from(found[place]));
            }
        }
    }
    Ok(counts)
}

/// An image (y, x, channel).
fn last(shape: Shape, image: &[f32]) -> Vec<f32> {
    let positions = shape.height * shape.width;
    (0..shape.len())
        .map(|at| image[at % shape.channels * positions + at / shape.channels])
        .collect()
}
