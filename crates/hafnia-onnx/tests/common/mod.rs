//! Graphs made for tests, and an executor of them: floats, node by node, as plain as can be.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;

use hafnia_model::{ReferenceProduct, run};
use hafnia_onnx::proto::{
    Attribute, Dimension, Graph, Model, Node, OperatorSet, Tensor, TensorShape, TensorType, Type,
    ValueInfo,
};
use hafnia_onnx::{Imported, Options, Pixels, import};
use hafnia_rng::{ChaCha8Rng, Seed};
use prost::Message as _;
use rand::RngExt as _;

/// QONNX's domain.
pub(crate) const QONNX: &str = "qonnx.custom_op.general";

/// A graph that is made node by node.
pub(crate) struct Build {
    graph: Graph,
    opset: i64,
    generator: ChaCha8Rng,
}

impl Build {
    /// A graph that takes `x` of these sides.
    pub(crate) fn new(dims: &[i64]) -> Self {
        let dim = dims.iter().map(|&side| Dimension { dim_value: Some(side), dim_param: None });
        let shape = Some(TensorShape { dim: dim.collect() });
        let tensor_type = Some(TensorType { elem_type: 1, shape });
        let input = ValueInfo { name: "x".into(), r#type: Some(Type { tensor_type }) };
        let graph = Graph { input: vec![input], ..Graph::default() };
        Self { graph, opset: 17, generator: Seed(7).site("onnx/tests/graphs").rng() }
    }

    /// The same, taking elements of another type.
    pub(crate) fn taking(mut self, elem_type: i32) -> Self {
        let of = self.graph.input[0].r#type.as_mut().and_then(|kind| kind.tensor_type.as_mut());
        of.expect("a tensor").elem_type = elem_type;
        self
    }

    pub(crate) fn opset(mut self, opset: i64) -> Self {
        self.opset = opset;
        self
    }

    /// A whole number of a range, drawn.
    pub(crate) fn draw(&mut self, range: std::ops::RangeInclusive<i32>) -> i32 {
        self.generator.random_range(range)
    }

    /// A constant of these sides; gives its name.
    pub(crate) fn floats(&mut self, dims: &[i64], values: &[f32]) -> String {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(Tensor { dims: dims.to_vec(), data_type: 1, raw_data, ..Tensor::default() })
    }

    pub(crate) fn number(&mut self, value: f32) -> String {
        self.floats(&[], &[value])
    }

    pub(crate) fn integers(&mut self, values: &[i64]) -> String {
        let dims = vec![values.len() as i64];
        self.tensor(Tensor { dims, data_type: 7, int64_data: values.to_vec(), ..Tensor::default() })
    }

    pub(crate) fn bytes(&mut self, data_type: i32, dims: &[i64], values: &[i32]) -> String {
        let int32_data = values.to_vec();
        self.tensor(Tensor { dims: dims.to_vec(), data_type, int32_data, ..Tensor::default() })
    }

    pub(crate) fn tensor(&mut self, tensor: Tensor) -> String {
        let name = format!("c{}", self.graph.initializer.len());
        self.graph.initializer.push(Tensor { name: name.clone(), ..tensor });
        name
    }

    /// Weights of whole numbers of a range, times a step.
    pub(crate) fn weights(
        &mut self,
        dims: &[i64],
        range: std::ops::RangeInclusive<i32>,
        step: f32,
    ) -> String {
        let count: i64 = dims.iter().product();
        let values: Vec<f32> = (0..count).map(|_| self.draw(range.clone()) as f32 * step).collect();
        self.floats(dims, &values)
    }

    /// A node with one output; gives its name.
    pub(crate) fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<Attribute>) -> String {
        self.node_of("", op, inputs, attributes)
    }

    pub(crate) fn node_of(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[&str],
        attribute: Vec<Attribute>,
    ) -> String {
        let number = self.graph.node.len();
        let output = format!("t{number}");
        self.graph.node.push(Node {
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: vec![output.clone()],
            name: format!("/{op}_{number}"),
            op_type: op.into(),
            attribute,
            domain: domain.into(),
        });
        output
    }

    /// QONNX's `Quant`.
    pub(crate) fn quant(&mut self, x: &str, scale: f32, bits: f32, signed: bool) -> String {
        let (scale, zero, bits) = (self.number(scale), self.number(0.0), self.number(bits));
        let signed =
            vec![int("signed", signed.into()), int("narrow", 0), text("rounding_mode", "ROUND")];
        self.node_of(QONNX, "Quant", &[x, &scale, &zero, &bits], signed)
    }

    /// Batch normalisation of drawn constants over so many channels, gammas of both signs.
    pub(crate) fn norm(&mut self, x: &str, channels: i64) -> String {
        let mut drawn = |least, largest| -> Vec<f32> {
            (0..channels).map(|_| self.draw(least..=largest) as f32 * 0.037).collect()
        };
        let (gamma, beta, mean) = (drawn(-30, 30), drawn(-20, 40), drawn(-30, 30));
        let variance = drawn(1, 60);
        let all = [gamma, beta, mean, variance].map(|values| self.floats(&[channels], &values));
        let [gamma, beta, mean, variance] = &all;
        self.node(
            "BatchNormalization",
            &[x, gamma, beta, mean, variance],
            vec![real("epsilon", 1e-4)],
        )
    }

    /// The model that gives a tensor.
    pub(crate) fn finish(mut self, output: &str) -> Model {
        self.graph.output.push(ValueInfo { name: output.into(), r#type: None });
        let opset_import = vec![
            OperatorSet { domain: String::new(), version: self.opset },
            OperatorSet { domain: QONNX.into(), version: 1 },
        ];
        let graph = Some(self.graph);
        Model { ir_version: 8, graph, opset_import, ..Model::default() }
    }
}

pub(crate) fn int(name: &str, i: i64) -> Attribute {
    Attribute { name: name.into(), i: Some(i), r#type: 2, ..Attribute::default() }
}

pub(crate) fn real(name: &str, f: f32) -> Attribute {
    Attribute { name: name.into(), f: Some(f), r#type: 1, ..Attribute::default() }
}

pub(crate) fn ints(name: &str, ints: &[i64]) -> Attribute {
    Attribute { name: name.into(), ints: ints.to_vec(), r#type: 7, ..Attribute::default() }
}

pub(crate) fn text(name: &str, s: &str) -> Attribute {
    Attribute { name: name.into(), s: Some(s.into()), r#type: 3, ..Attribute::default() }
}

/// What becomes of a model that is written as a file and imported.
pub(crate) fn imported(model: &Model, pixels: Pixels) -> Result<Imported, String> {
    imported_bytes(&model.encode_to_vec(), pixels)
}

pub(crate) fn imported_bytes(bytes: &[u8], pixels: Pixels) -> Result<Imported, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, bytes).expect("written");
    let options = Options { pixels, shape: None, approximate: false };
    import(&path, &options).map_err(|error| {
        let folder = format!("{}/", folder.path().display());
        error.to_string().replace(&folder, "")
    })
}

/// Imports a model and compares it with the executor on drawn images. What reaches the graph are
/// bytes, so that no sum is rounded where weights are powers of two: every output must be the integer
/// that the network gives, to 1e-3 of a step.
pub(crate) fn agrees(model: &Model) -> Imported {
    let imported = imported(model, Pixels::Raw).unwrap_or_else(|fault| panic!("{fault}"));
    let input = imported.network.input();
    let mut generator = Seed(7).site("onnx/tests/images").rng();
    for image in 0..12 {
        let mut pixels: Vec<u8> = (0..input.shape().len()).map(|_| generator.random()).collect();
        match image {
            0 => pixels.fill(0),
            1 => pixels.fill(255),
            _ => {}
        }
        let sums = run(
            &imported.network,
            &input.levels_of(&pixels),
            &mut ReferenceProduct::new(&imported.network),
        );
        let real: Vec<f32> = pixels.iter().map(|&p| p.into()).collect();
        let expected = execute(model, &real).values;
        assert_eq!(expected.len(), sums.len(), "outputs");
        for (at, expected) in expected.iter().enumerate() {
            let place = imported.order[at];
            let found = imported.scales[place] * f64::from(sums[place]) + imported.biases[place];
            let off = (f64::from(*expected) - found).abs() / imported.scales[place];
            assert!(
                off < 1e-3,
                "image {image}, output {at}: {expected}, not {found} (sum {})",
                sums[place]
            );
        }
    }
    imported
}

/// A tensor of floats.
#[derive(Debug, Clone)]
pub(crate) struct Floats {
    pub(crate) dims: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// What a model gives of an image (channel, y, x).
pub(crate) fn execute(model: &Model, image: &[f32]) -> Floats {
    let graph = model.graph.as_ref().expect("a graph");
    let mut tensors: BTreeMap<String, Floats> = BTreeMap::new();
    for tensor in &graph.initializer {
        let dims = tensor.dims.iter().map(|&side| side as usize).collect();
        let values = if !tensor.raw_data.is_empty() {
            let words = tensor.raw_data.chunks_exact(4);
            words.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        } else if !tensor.int64_data.is_empty() {
            tensor.int64_data.iter().map(|&value| value as f32).collect()
        } else {
            tensor.int32_data.iter().map(|&value| value as f32).collect()
        };
        tensors.insert(tensor.name.clone(), Floats { dims, values });
    }
    let shape = graph.input[0].r#type.as_ref().and_then(|t| t.tensor_type.as_ref()?.shape.as_ref());
    let dims =
        shape.expect("a shape").dim.iter().map(|dim| dim.dim_value.expect("a side") as usize);
    tensors.insert(
        graph.input[0].name.clone(),
        Floats { dims: dims.collect(), values: image.to_vec() },
    );
    for node in &graph.node {
        let inputs: Vec<&Floats> = node.input.iter().map(|name| &tensors[name]).collect();
        let output = apply(node, &inputs);
        tensors.insert(node.output[0].clone(), output);
    }
    tensors[&graph.output[0].name].clone()
}

fn apply(node: &Node, inputs: &[&Floats]) -> Floats {
    let x = inputs[0];
    let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
    let int = |name: &str, default: i64| attribute(name).map_or(default, |a| a.i.unwrap_or(0));
    let list = |name: &str, default: &[i64]| -> Vec<usize> {
        let ints = attribute(name).map_or(default, |a| &a.ints[..]);
        ints.iter().map(|&value| value as usize).collect()
    };
    let map = |f: &dyn Fn(f32) -> f32| Floats {
        dims: x.dims.clone(),
        values: x.values.iter().map(|&value| f(value)).collect(),
    };
    let two = |f: &dyn Fn(f32, f32) -> f32| broadcast(x, inputs[1], f);
    match &*node.op_type {
        "Add" => two(&|a, b| a + b),
        "Sub" => two(&|a, b| a - b),
        "Mul" => two(&|a, b| a * b),
        "Div" => two(&|a, b| a / b),
        "Less" => two(&|a, b| f32::from(u8::from(a < b))),
        "Max" => two(&f32::max),
        "Min" => two(&f32::min),
        "Cast" => x.clone(),
        "Relu" => map(&|a| a.max(0.0)),
        "Round" => map(&f32::round_ties_even),
        "Clip" => {
            let (low, high) = (inputs[1].values[0], inputs[2].values[0]);
            map(&|a| a.max(low).min(high))
        }
        "Quant" => {
            let (scale, zero, bits) =
                (inputs[1].values[0], inputs[2].values[0], inputs[3].values[0]);
            let (low, high) = match int("signed", 1) {
                0 => (0.0, 2f32.powf(bits) - 1.0),
                _ => (-(2f32.powf(bits - 1.0)), 2f32.powf(bits - 1.0) - 1.0),
            };
            map(&|a| ((a / scale + zero).max(low).min(high).round_ties_even() - zero) * scale)
        }
        "BipolarQuant" => {
            map(&|a| if a >= 0.0 { inputs[1].values[0] } else { -inputs[1].values[0] })
        }
        "QuantizeLinear" => {
            let (scale, zero) = (inputs[1].values[0], inputs[2].values[0]);
            map(&|a| ((a / scale).round_ties_even() + zero).clamp(0.0, 255.0))
        }
        "DequantizeLinear" => {
            // A scale for each output stands along the first side.
            let each = x.values.len() / inputs[1].values.len();
            let values = x.values.iter().enumerate().map(|(at, value)| {
                (value - inputs[2].values[at / each % inputs[2].values.len()])
                    * inputs[1].values[at / each]
            });
            Floats { dims: x.dims.clone(), values: values.collect() }
        }
        "MultiThreshold" => {
            let (channels, levels) = (x.dims[1], inputs[1].dims[1]);
            let positions: usize = x.dims[2..].iter().product();
            let bias = attribute("out_bias").map_or(0.0, |a| a.f.unwrap_or(0.0));
            let values = x.values.iter().enumerate().map(|(at, &value)| {
                let channel = at / positions % channels * usize::from(inputs[1].dims[0] > 1);
                let thresholds = &inputs[1].values[channel * levels..(channel + 1) * levels];
                thresholds.iter().filter(|&&threshold| value >= threshold).count() as f32 + bias
            });
            Floats { dims: x.dims.clone(), values: values.collect() }
        }
        "BatchNormalization" => {
            let epsilon = attribute("epsilon").map_or(1e-5, |a| a.f.unwrap_or(0.0));
            let positions: usize = x.dims[2..].iter().product();
            let values = x.values.iter().enumerate().map(|(at, &value)| {
                let channel = at / positions % x.dims[1];
                let [gamma, beta, mean, variance] = [1, 2, 3, 4].map(|i| inputs[i].values[channel]);
                let factor = gamma / (variance + epsilon).sqrt();
                value * factor + (beta - mean * factor)
            });
            Floats { dims: x.dims.clone(), values: values.collect() }
        }
        "Transpose" => transposed(x, &list("perm", &[])),
        "Reshape" => {
            let mut dims: Vec<usize> =
                inputs[1].values.iter().map(|&side| side.max(0.0) as usize).collect();
            let known: usize = dims.iter().filter(|&&side| side > 0).product();
            if let Some(open) = dims.iter().position(|&side| side == 0) {
                dims[open] = x.values.len() / known;
            }
            Floats { dims, values: x.values.clone() }
        }
        "Flatten" => Floats { dims: vec![1, x.values.len()], values: x.values.clone() },
        "Concat" => {
            let mut dims = x.dims.clone();
            dims[1] = inputs.iter().map(|input| input.dims[1]).sum();
            Floats { dims, values: inputs.iter().flat_map(|input| input.values.clone()).collect() }
        }
        "Pad" => {
            let pads: Vec<usize> = inputs[1].values.iter().map(|&side| side as usize).collect();
            let [_, channels, height, width] = x.dims[..] else { panic!("an image") };
            let (h, w) = (height + pads[2] + pads[6], width + pads[3] + pads[7]);
            let value = inputs.get(2).map_or(0.0, |value| value.values[0]);
            let mut values = vec![value; channels * h * w];
            for c in 0..channels {
                for y in 0..height {
                    for i in 0..width {
                        values[(c * h + y + pads[2]) * w + i + pads[3]] =
                            x.values[(c * height + y) * width + i];
                    }
                }
            }
            Floats { dims: vec![1, channels, h, w], values }
        }
        "MatMul" | "Gemm" => {
            let w = if int("transB", 0) == 1 {
                transposed(inputs[1], &[1, 0])
            } else {
                inputs[1].clone()
            };
            let outputs = w.dims[1];
            let mut values = Vec::new();
            for row in x.values.chunks_exact(w.dims[0]) {
                for output in 0..outputs {
                    let products = row.iter().enumerate();
                    let sum: f64 = products
                        .map(|(i, &a)| f64::from(a) * f64::from(w.values[i * outputs + output]))
                        .sum();
                    let bias = inputs.get(2).map_or(0.0, |bias| bias.values[output]);
                    values.push(sum as f32 + bias);
                }
            }
            let mut dims = x.dims.clone();
            *dims.last_mut().expect("a side") = outputs;
            Floats { dims, values }
        }
        "Conv" => windows(
            x,
            inputs[1].dims[0],
            inputs[1].dims[1],
            &inputs[1].dims[2..],
            node,
            &mut |o, taken| {
                let each = inputs[1].values.len() / inputs[1].dims[0];
                let weights = &inputs[1].values[o * each..(o + 1) * each];
                let sum: f64 = taken
                    .iter()
                    .zip(weights)
                    .map(|(a, &w)| f64::from(a.unwrap_or(0.0)) * f64::from(w))
                    .sum();
                sum as f32 + inputs.get(2).map_or(0.0, |bias| bias.values[o])
            },
        ),
        // Of an image, over all its positions.
        "ReduceMax" | "ReduceSum" => {
            let positions = x.dims[2] * x.dims[3];
            let values = x.values.chunks_exact(positions).map(|of| match &*node.op_type {
                "ReduceMax" => of.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                _ => of.iter().sum(),
            });
            Floats { dims: x.dims[..2].to_vec(), values: values.collect() }
        }
        // Of a vector.
        "Gather" => {
            let values = inputs[1].values.iter().map(|&at| x.values[at as usize]);
            Floats { dims: vec![1, inputs[1].values.len()], values: values.collect() }
        }
        "MaxPool" | "AveragePool" | "GlobalAveragePool" => {
            let kernel = list("kernel_shape", &[]);
            let kernel = if kernel.is_empty() { x.dims[2..].to_vec() } else { kernel };
            windows(x, x.dims[1], 1, &kernel, node, &mut |_, taken| {
                let inside = || taken.iter().flatten();
                match &*node.op_type {
                    "MaxPool" => inside().copied().fold(f32::NEG_INFINITY, f32::max),
                    _ => (inside().map(|&a| f64::from(a)).sum::<f64>() / taken.len() as f64) as f32,
                }
            })
        }
        other => panic!("{other} is not executed here"),
    }
}

/// What `of` gives for every output channel of the values in a window; none in the padding.
fn windows(
    x: &Floats,
    outputs: usize,
    inputs: usize,
    kernel: &[usize],
    node: &Node,
    of: &mut dyn FnMut(usize, &[Option<f32>]) -> f32,
) -> Floats {
    let list = |name: &str, default: [usize; 4]| -> Vec<usize> {
        let given = node.attribute.iter().find(|attribute| attribute.name == name);
        given.map_or(default.to_vec(), |a| a.ints.iter().map(|&value| value as usize).collect())
    };
    let (strides, dilations, pads) =
        (list("strides", [1; 4]), list("dilations", [1; 4]), list("pads", [0; 4]));
    let [_, channels, height, width] = x.dims[..] else { panic!("an image") };
    let side = |n: usize, at: usize| {
        (n + pads[at] + pads[at + 2] - (kernel[at] - 1) * dilations[at] - 1) / strides[at] + 1
    };
    let (h, w) = (side(height, 0), side(width, 1));
    let of_group = outputs / (channels / inputs);
    let mut values = Vec::new();
    for o in 0..outputs {
        for y in 0..h {
            for i in 0..w {
                let mut taken = Vec::new();
                for c in o / of_group * inputs..o / of_group * inputs + inputs {
                    for ky in 0..kernel[0] {
                        for kx in 0..kernel[1] {
                            let at = (y * strides[0] + ky * dilations[0]).checked_sub(pads[0]);
                            let across = (i * strides[1] + kx * dilations[1]).checked_sub(pads[1]);
                            let inside = at.zip(across).filter(|&(y, x)| y < height && x < width);
                            taken.push(inside.map(|(y, i)| x.values[(c * height + y) * width + i]));
                        }
                    }
                }
                values.push(of(o, &taken));
            }
        }
    }
    Floats { dims: vec![1, outputs, h, w], values }
}

fn broadcast(a: &Floats, b: &Floats, f: &dyn Fn(f32, f32) -> f32) -> Floats {
    let rank = a.dims.len().max(b.dims.len());
    let wide = |dims: &[usize]| [vec![1; rank - dims.len()], dims.to_vec()].concat();
    let (wide_a, wide_b) = (wide(&a.dims), wide(&b.dims));
    let dims: Vec<usize> = wide_a.iter().zip(&wide_b).map(|(a, b)| *a.max(b)).collect();
    let at = |index: usize, own: &[usize]| {
        let (mut index, mut place, mut stride) = (index, 0, 1);
        for axis in (0..rank).rev() {
            place += index % dims[axis] % own[axis] * stride;
            stride *= own[axis];
            index /= dims[axis];
        }
        place
    };
    let values =
        (0..dims.iter().product()).map(|i| f(a.values[at(i, &wide_a)], b.values[at(i, &wide_b)]));
    Floats { values: values.collect(), dims }
}

fn transposed(x: &Floats, perm: &[usize]) -> Floats {
    let dims: Vec<usize> = perm.iter().map(|&axis| x.dims[axis]).collect();
    let values = (0..x.values.len()).map(|index| {
        let (mut rest, mut at) = (index, vec![0; dims.len()]);
        for axis in (0..dims.len()).rev() {
            at[perm[axis]] = rest % dims[axis];
            rest /= dims[axis];
        }
        x.values[at.iter().zip(&x.dims).fold(0, |place, (i, side)| place * side + i)]
    });
    Floats { values: values.collect(), dims: dims.clone() }
}
