//! [`Executor`]: a graph in floats, node by node, as far as the inputs of its products.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hafnia_model::{Padding, Shape, Window};

use crate::constant::{cook, fold};
use crate::graph::{Graph, float, integer, integers, label};
use crate::product::output;
use crate::proto::Node;
use crate::recipe::{Given, recipe, unknown};
use crate::tensor::{Files, Tensor};
use crate::window::window;

/// Tensors by name.
pub(crate) type Tensors = BTreeMap<String, Arc<Tensor>>;

/// A graph whose constants are computed.
pub(crate) struct Executor<'a> {
    graph: &'a Graph,
    folder: PathBuf,
    constants: Tensors,
    /// The nodes that depend on the image.
    nodes: Vec<&'a Node>,
}

impl<'a> Executor<'a> {
    /// An executor of the graph of a file.
    pub(crate) fn new(graph: &'a Graph, path: &Path) -> Result<Self, String> {
        let folder = path.parent().map_or_else(Default::default, Path::to_owned);
        let constants = graph.constants.clone();
        let mut executor = Self { graph, folder, constants, nodes: Vec::new() };
        for node in &graph.nodes {
            let is_constant =
                |name: &String| name.is_empty() || executor.constants.contains_key(name);
            if node.input.iter().all(is_constant) {
                let mut constants = std::mem::take(&mut executor.constants);
                let done = executor.step(node, &mut constants);
                executor.constants = constants;
                done?;
            } else {
                executor.nodes.push(node);
            }
        }
        Ok(executor)
    }

    /// The tensors of an image up to these.
    pub(crate) fn run(&self, image: Tensor, wanted: &[&str]) -> Result<Tensors, String> {
        let mut tensors = self.constants.clone();
        tensors.insert(self.graph.input.clone(), Arc::new(image));
        for node in &self.nodes {
            if wanted.iter().all(|name| tensors.contains_key(*name)) {
                break;
            }
            self.step(node, &mut tensors)?;
        }
        Ok(tensors)
    }

    /// Computes what a node gives.
    fn step(&self, node: &Node, tensors: &mut Tensors) -> Result<(), String> {
        let inputs: Vec<Option<Arc<Tensor>>> =
            node.input.iter().map(|name| tensors.get(name).cloned()).collect();
        let found =
            self.given(node, &inputs).map_err(|fault| format!("{}: {fault}", label(node)))?;
        tensors.extend(node.output.iter().cloned().zip(found.into_iter().map(Arc::new)));
        Ok(())
    }

    fn given(&self, node: &Node, inputs: &[Option<Arc<Tensor>>]) -> Result<Vec<Tensor>, String> {
        if node.domain.ends_with("channels_last") {
            return Err(unknown(node));
        }
        let op = &*node.op_type;
        if let Some(product) = product(node, op, inputs)? {
            return Ok(vec![product]);
        }
        let mut files = Files::new(&self.folder);
        if let Some(found) = fold(node, op, inputs, &mut files)? {
            return Ok(found);
        }
        let given: Vec<Option<Given<'_>>> =
            inputs.iter().map(|input| input.as_ref().map(Given::Constant)).collect();
        match recipe(node, op, self.graph.opset, &given)? {
            Some(recipe) => Ok(vec![cook(&recipe, inputs)?]),
            None => Err(unknown(node)),
        }
    }
}

/// What a product or a pool gives; none of another node.
fn product(
    node: &Node,
    op: &str,
    inputs: &[Option<Arc<Tensor>>],
) -> Result<Option<Tensor>, String> {
    let input = |index: usize| inputs.get(index).and_then(Option::as_deref);
    let needed = |index: usize| input(index).ok_or_else(|| format!("it lacks its input {index}"));
    let pooled = |of: fn(&mut dyn Iterator<Item = f32>, usize) -> f32| {
        let x = needed(0)?;
        let shape = shape(x)?;
        let kernel = match integers(node, "kernel_shape") {
            Some(&[height, width]) => (height as usize, width as usize),
            Some(&[width]) => (1, width as usize),
            _ => (shape.height, shape.width),
        };
        let window = match op.starts_with("Global") {
            true => Window { kernel, ..Window::square(1, 1, 0) },
            false => window(node, kernel, shape, Padding::default())?,
        };
        pool(x, shape, window, of)
    };
    let mean = |seen: &mut dyn Iterator<Item = f32>, count: usize| seen.sum::<f32>() / count as f32;
    match op {
        "Conv" => conv(node, needed(0)?, needed(1)?, input(2)).map(Some),
        "MatMul" => matrix(needed(0)?, needed(1)?, 1.0, None).map(Some),
        "Gemm" => {
            let (alpha, beta) = (float(node, "alpha", 1.0), float(node, "beta", 1.0));
            let weights = needed(1)?;
            let turned;
            let weights = match (integer(node, "transB", 0), &weights.dims[..]) {
                (0, _) => weights,
                (_, &[columns, rows]) => {
                    let from: Vec<usize> =
                        (0..rows * columns).map(|at| at % columns * rows + at / columns).collect();
                    turned = weights.pick(vec![rows, columns], &from);
                    &turned
                }
                _ => return Err(format!("its weights have sides {:?}", weights.dims)),
            };
            matrix(needed(0)?, weights, alpha, input(2).map(|bias| (bias, beta))).map(Some)
        }
        "MaxPool" | "GlobalMaxPool" => {
            pooled(|seen, _| seen.fold(f32::NEG_INFINITY, f32::max)).map(Some)
        }
        "AveragePool" | "GlobalAveragePool" => pooled(mean).map(Some),
        _ => Ok(None),
    }
}

/// The shape of one image.
fn shape(x: &Tensor) -> Result<Shape, String> {
    match x.dims[..] {
        [1, channels, height, width] => Ok(Shape { channels, height, width }),
        [1, channels, width] => Ok(Shape { channels, height: 1, width }),
        _ => Err(format!("its input has sides {:?}: one image is executed at a time", x.dims)),
    }
}

/// The sides of images of another shape, of as many sides as a tensor has.
fn sides(x: &Tensor, channels: usize, height: usize, width: usize) -> Vec<usize> {
    match x.dims.len() {
        3 => vec![1, channels, width],
        _ => vec![1, channels, height, width],
    }
}

/// The elements (y, x) that a window sees at a position, with their place in it.
fn seen(
    shape: Shape,
    window: Window,
    (down, across): (usize, usize),
) -> impl Iterator<Item = (usize, usize)> {
    let Window { kernel, stride, dilation, padding } = window;
    (0..kernel.0 * kernel.1).filter_map(move |at| {
        let y = (down * stride.0 + at / kernel.1 * dilation.0).checked_sub(padding.top)?;
        let x = (across * stride.1 + at % kernel.1 * dilation.1).checked_sub(padding.left)?;
        (y < shape.height && x < shape.width).then_some((at, y * shape.width + x))
    })
}

fn pool(
    x: &Tensor,
    shape: Shape,
    window: Window,
    of: fn(&mut dyn Iterator<Item = f32>, usize) -> f32,
) -> Result<Tensor, String> {
    let (height, width) = output(window, shape)?;
    let (values, all) = (x.to_floats(), shape.height * shape.width);
    let mut pooled = Vec::with_capacity(shape.channels * height * width);
    for channel in values.chunks_exact(all) {
        for at in 0..height * width {
            let mut seen = seen(shape, window, (at / width, at % width)).map(|(_, at)| channel[at]);
            pooled.push(of(&mut seen, window.positions()));
        }
    }
    Ok(Tensor::floats(sides(x, shape.channels, height, width), pooled))
}

fn conv(
    node: &Node,
    x: &Tensor,
    weights: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor, String> {
    let shape = shape(x)?;
    let misfit = || format!("its weights have sides {:?}, its input {:?}", weights.dims, x.dims);
    let (outputs, inputs, kernel) = match weights.dims[..] {
        [outputs, inputs, height, width] => (outputs, inputs, (height, width)),
        [outputs, inputs, width] => (outputs, inputs, (1, width)),
        _ => return Err(misfit()),
    };
    let groups = usize::try_from(integer(node, "group", 1)).unwrap_or(0);
    if groups == 0 || inputs * groups != shape.channels || outputs % groups != 0 {
        return Err(misfit());
    }
    let window = window(node, kernel, shape, Padding::default())?;
    let (height, width) = output(window, shape)?;
    let (values, weights, all) = (x.to_floats(), weights.to_floats(), shape.height * shape.width);
    let mut sums = Vec::with_capacity(outputs * height * width);
    for output in 0..outputs {
        let first = output / (outputs / groups) * inputs;
        for at in 0..height * width {
            let mut sum = 0f32;
            for input in 0..inputs {
                let channel = &values[(first + input) * all..][..all];
                let weights = &weights[(output * inputs + input) * window.positions()..];
                for (place, at) in seen(shape, window, (at / width, at % width)) {
                    sum += weights[place] * channel[at];
                }
            }
            sums.push(sum + bias.map_or(0.0, |bias| bias.float(output)));
        }
    }
    Ok(Tensor::floats(sides(x, outputs, height, width), sums))
}

/// A product with the last side of a tensor, times a factor, and a bias with its own.
fn matrix(
    x: &Tensor,
    weights: &Tensor,
    factor: f32,
    bias: Option<(&Tensor, f32)>,
) -> Result<Tensor, String> {
    let (&[rows, columns], Some(&last)) = (&weights.dims[..], x.dims.last()) else {
        return Err(format!("its weights have sides {:?}", weights.dims));
    };
    if last != rows || bias.is_some_and(|(bias, _)| ![1, columns].contains(&bias.len())) {
        return Err(format!("its weights have sides {:?}, its input {:?}", weights.dims, x.dims));
    }
    let (values, weights) = (x.to_floats(), weights.to_floats());
    let mut sums = Vec::with_capacity(values.len() / rows.max(1) * columns);
    for row in values.chunks_exact(rows.max(1)) {
        for column in 0..columns {
            let products = row.iter().enumerate().map(|(at, x)| x * weights[at * columns + column]);
            let bias = bias.map_or(0.0, |(bias, beta)| beta * bias.float(column % bias.len()));
            sums.push(factor * products.sum::<f32>() + bias);
        }
    }
    let mut dims = x.dims.clone();
    dims.pop();
    dims.push(columns);
    Ok(Tensor::floats(dims, sums))
}
