//! [`Walk`]: a graph, node by node.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use hafnia_model::Shape;

use crate::arrange::{concat, pad, split};
use crate::columns::Columns;
use crate::constant::{self, cook, fold};
use crate::elementwise::Op;
use crate::error::ImportError;
use crate::graph::{Graph, QUANTISERS, float, integer, integers, is_own, label};
use crate::imported::Imported;
use crate::input::begin;
use crate::layout;
use crate::operation::Operand;
use crate::options::Options;
use crate::output::named;
use crate::proto::{Attribute, Node};
use crate::recipe::{Given, Input, Recipe, Source, recipe, unknown};
use crate::state::{Product, State};
use crate::tensor::{Files, MOST_ELEMENTS, Tensor};
use crate::value::{Ending, MOST_VALUES, Part, Value};

/// What is known of the names of a graph while its nodes are looked at one by one.
pub(crate) struct Walk<'a> {
    graph: &'a Graph,
    path: &'a Path,
    state: State,
    values: BTreeMap<String, Value>,
    /// What `Im2Col` gives, by name.
    columns: BTreeMap<String, Columns>,
    constants: BTreeMap<String, Arc<Tensor>>,
    files: Files,
    channels_last: bool,
    /// Sides of an image as the graph takes it.
    sides: Vec<usize>,
    /// Elements of all constants that were made of constants.
    computed: usize,
}

impl<'a> Walk<'a> {
    /// A walk that has only seen the input.
    pub(crate) fn new(
        graph: &'a Graph,
        path: &'a Path,
        options: &Options,
    ) -> Result<Self, ImportError> {
        let wrong = |fault: String| ImportError::File { path: path.to_owned(), fault };
        let (state, value, channels_last) = begin(graph, options).map_err(wrong)?;
        let sides = value.dims[1..].to_vec();
        let values = BTreeMap::from([(graph.input.clone(), value)]);
        let folder = path.parent().map_or_else(Default::default, Path::to_owned);
        let (constants, files) = (graph.constants.clone(), Files::new(&folder));
        let (columns, computed) = (BTreeMap::new(), 0);
        Ok(Self {
            graph,
            path,
            state,
            values,
            columns,
            constants,
            files,
            channels_last,
            sides,
            computed,
        })
    }

    /// Looks at all nodes.
    pub(crate) fn run(mut self) -> Result<Imported, ImportError> {
        for node in &self.graph.nodes {
            let name = if node.name.is_empty() { &node.op_type } else { &node.name };
            self.state.node.clone_from(name);
            self.step(node).map_err(|fault| ImportError::Node {
                path: self.path.to_owned(),
                node: label(node),
                fault,
            })?;
        }
        let path = self.path.to_owned();
        let value = self.values.remove(&self.graph.output);
        let value = value.ok_or_else(|| "its output does not depend on the image".to_owned());
        let sides = self.sides;
        let finished = value.and_then(|value| self.state.finish(&value, self.channels_last, sides));
        finished.map_err(|fault| ImportError::File { path, fault })
    }

    /// Computes what a node gives.
    fn step(&mut self, node: &Node) -> Result<(), String> {
        let inputs = node.input.iter().map(|name| self.operand(name)).collect::<Vec<_>>();
        let domain = &*node.domain;
        let op = match &*node.op_type {
            "QuantizeLinear" | "DequantizeLinear" if domain == "com.microsoft" => &*node.op_type,
            _ if is_own(domain) => &*node.op_type,
            _ if QUANTISERS.contains(&domain) => &*node.op_type,
            _ => return Err(unknown(node)),
        };
        let varying = inputs.iter().flatten().find_map(|input| match input {
            Operand::Varying(value) => Some(value),
            Operand::Constant(_) => None,
        });
        let columns = node.input.iter().find_map(|name| self.columns.get(name)).cloned();
        if varying.is_none() && columns.is_none() {
            let inputs: Vec<Option<Arc<Tensor>>> = inputs
                .iter()
                .map(|input| match input {
                    Some(Operand::Constant(tensor)) => Some(tensor.clone()),
                    _ => None,
                })
                .collect();
            let given = self.given(&inputs);
            let found = match fold(node, op, &inputs, &mut self.files)? {
                Some(found) => found,
                None => match recipe(node, op, self.graph.opset, &given)? {
                    Some(recipe) => vec![cook(&recipe, &inputs)?],
                    None => return Err(unknown(node)),
                },
            };
            for (name, tensor) in node.output.iter().zip(found) {
                self.computed += tensor.len();
                if self.computed > 2 * MOST_ELEMENTS {
                    return Err(format!(
                        "the constants that are computed up to it have more than {} elements",
                        2 * MOST_ELEMENTS
                    ));
                }
                self.constants.insert(name.clone(), Arc::new(tensor));
            }
            return Ok(());
        }
        if op == "Shape" {
            if let Some(Operand::Varying(value)) = inputs.first().and_then(Option::as_ref) {
                let shape = constant::shape(node, &value.padded_dims())?;
                self.constants.insert(node.output[0].clone(), Arc::new(shape));
            }
            return Ok(());
        }
        if op == "Split" {
            let (x, sizes) = match (inputs.first(), inputs.get(1)) {
                (Some(Some(Operand::Varying(x))), Some(Some(Operand::Constant(sizes)))) => {
                    (x, Some(sizes.to_integers()?))
                }
                (Some(Some(Operand::Varying(x))), None | Some(None)) => (x, None),
                _ => return Err("its input must depend on the image, and its sizes not".to_owned()),
            };
            let values = split(node, x, sizes)?;
            self.values.extend(node.output.iter().cloned().zip(values));
            return Ok(());
        }
        if op == "Im2Col" {
            let Some(Some(Operand::Varying(x))) = inputs.first() else { return Err(unknown(node)) };
            let columns = Columns::of(node, x)?;
            let name = node.output.first().ok_or("it gives nothing")?;
            self.columns.insert(name.clone(), columns);
            return Ok(());
        }
        self.state.taken = None;
        let last = domain.ends_with("channels_last") || op == "MaxPoolNHWC";
        let value = if let Some(columns) = columns {
            match (op, inputs.get(1)) {
                ("MatMul", Some(Some(Operand::Constant(weights)))) => {
                    let (conv, x, weights) = columns.conv(node, weights)?;
                    let x = self.imaged(&x).unwrap_or(x);
                    self.state.conv(&conv, &x, &weights, None)?.transposed(&[0, 2, 3, 1])
                }
                _ => {
                    return Err(
                        "it takes an Im2Col, which only a MatMul with weights may".to_owned()
                    );
                }
            }
        } else if last {
            self.channels_last(node, op, &inputs)?
        } else {
            self.apply(node, op, &inputs)?
        };
        if value.len() > MOST_VALUES {
            let dims = value.dims;
            return Err(format!("it gives sides {dims:?}, at most {MOST_VALUES} elements may be"));
        }
        if let (true, Some(base), Some(Some(Operand::Varying(x)))) =
            (self.state.approximate, self.state.taken, inputs.first())
            && x.padding.is_empty()
        {
            let (node, tensor, places) = (label(node), node.input[0].clone(), x.to_places());
            self.state.products.push(Product { node, tensor, base, places });
        }
        let name = match op {
            // The indices, not the values.
            "TopK" => node.output.get(1),
            _ => node.output.first(),
        };
        let name = name.ok_or("it gives nothing")?;
        let value = self.settled(name, value);
        self.values.insert(name.clone(), value);
        Ok(())
    }

    fn operand(&self, name: &str) -> Option<Operand> {
        let varying = self.values.get(name).map(|value| Operand::Varying(value.clone()));
        varying.or_else(|| self.constants.get(name).map(|tensor| Operand::Constant(tensor.clone())))
    }

    fn given<'b>(&self, inputs: &'b [Option<Arc<Tensor>>]) -> Vec<Option<Given<'b>>> {
        inputs.iter().map(|input| input.as_ref().map(Given::Constant)).collect()
    }

    /// A value that several nodes take is quantised once, if it can be, so that they share it.
    fn settled(&mut self, name: &str, value: Value) -> Value {
        match self.graph.takers.get(name) {
            Some(&takers) if takers > 1 => self.state.settle(value),
            _ => value,
        }
    }

    /// What an operator on channels last gives.
    fn channels_last(
        &mut self,
        node: &Node,
        op: &str,
        inputs: &[Option<Operand>],
    ) -> Result<Value, String> {
        let mut inputs = inputs.to_vec();
        let Some(Some(Operand::Varying(x))) = inputs.first().cloned() else {
            return Err(unknown(node));
        };
        let rank = x.dims.len();
        if rank < 2 {
            return Err(format!("its input has sides {:?}", x.dims));
        }
        let mut forth = vec![0, rank - 1];
        forth.extend(1..rank - 1);
        let mut back = vec![0];
        back.extend(2..rank);
        back.push(1);
        inputs[0] = Some(Operand::Varying(x.transposed(&forth)));
        if let ("Conv", Some(Some(Operand::Constant(weights)))) = (op, inputs.get(1)) {
            // Its weights have their channels last, too.
            if weights.dims.len() != rank {
                let dims = &weights.dims;
                return Err(format!("its weights have sides {dims:?}, its input {:?}", x.dims));
            }
            inputs[1] = Some(Operand::Constant(Arc::new(weights.transposed(&forth))));
        }
        let op = if op == "MaxPoolNHWC" { "MaxPool" } else { op };
        Ok(self.apply(node, op, &inputs)?.transposed(&back))
    }

    /// What a node gives that takes something which depends on the image.
    fn apply(
        &mut self,
        node: &Node,
        op: &str,
        inputs: &[Option<Operand>],
    ) -> Result<Value, String> {
        let input = |index: usize| {
            let input = inputs.get(index).and_then(Option::as_ref);
            input.ok_or_else(|| format!("it lacks its input {index}"))
        };
        let varying = |index: usize, what: &str| match input(index)? {
            Operand::Varying(value) => Ok(value),
            Operand::Constant(_) => {
                Err(format!("its {what} is a constant, it must depend on the image"))
            }
        };
        let constant = |index: usize, what: &str| match inputs.get(index).and_then(Option::as_ref) {
            None => Ok(None),
            Some(Operand::Constant(tensor)) => Ok(Some(&**tensor)),
            Some(Operand::Varying(_)) => Err(format!(
                "its {what} depend on the image, they must be constants: products of two activations \
                 are not taken"
            )),
        };
        let needed = |index: usize, what: &str| {
            constant(index, what)?.ok_or_else(|| format!("it lacks its {what}"))
        };
        let listed = |index: usize, name: &str| -> Result<Option<Vec<i64>>, String> {
            match constant(index, name)? {
                Some(tensor) => tensor.to_integers().map(Some),
                None => Ok(integers(node, name).map(<[i64]>::to_vec)),
            }
        };
        if let Some(ending) = inputs.iter().flatten().find_map(|input| match input {
            Operand::Varying(value) => value.ending,
            Operand::Constant(_) => None,
        }) {
            match op {
                "Identity" | "Cast" | "Squeeze" | "Unsqueeze" | "Flatten" | "Reshape" => {}
                "QuantizeLinear" | "DequantizeLinear" | "Quant" if ending != Ending::Class => {
                    return Ok(Value {
                        ending: Some(Ending::Rank),
                        ..varying(0, "input")?.clone()
                    });
                }
                _ => {
                    let ending = named(ending);
                    return Err(format!("{ending} stands before it, which may only end a network"));
                }
            }
        }
        let image = match op {
            "Conv" | "MaxPool" | "AveragePool" | "GlobalAveragePool" | "GlobalMaxPool" => {
                self.imaged(varying(0, "input")?)
            }
            _ => None,
        };
        let image = image.as_ref();
        match op {
            "Identity" | "Dropout" => Ok(varying(0, "input")?.clone()),
            "Cast" if varying(0, "input")?.ending.is_some() => Ok(varying(0, "input")?.clone()),
            "Transpose" => {
                let x = varying(0, "input")?;
                Ok(x.transposed(&layout::order(integers(node, "perm"), x.dims.len())?))
            }
            "Reshape" | "Flatten" | "Unsqueeze" | "Squeeze" => {
                let x = varying(0, "input")?;
                let listed = listed(1, if op == "Reshape" { "shape" } else { "axes" })?;
                let dims = constant::sides(node, op, &x.dims, listed.clone()).or_else(|fault| {
                    // A batch that was fixed at the export is one image here.
                    let batch = self.graph.dims.first().copied().flatten();
                    let of_one = listed.filter(|asked| {
                        asked.first().copied() == batch.map(|batch| batch as i64) && op == "Reshape"
                    });
                    let of_one = of_one.map(|mut asked| {
                        asked[0] = 1;
                        constant::sides(node, op, &x.dims, Some(asked))
                    });
                    of_one.unwrap_or(Err(fault))
                })?;
                x.reshaped(dims)
            }
            "Conv" => {
                let (weights, bias) = (needed(1, "weights")?, constant(2, "bias")?);
                self.state.conv(node, image.unwrap_or(varying(0, "input")?), weights, bias)
            }
            "MatMul" if matches!(inputs.first(), Some(Some(Operand::Constant(_)))) => {
                // Both transposed, as the weights of a product stand on the right.
                let (weights, x) = (needed(0, "weights")?, varying(1, "second input")?);
                if weights.dims.len() != 2 || x.dims.len() != 2 {
                    return Err(
                        "its weights stand on the left, they must stand on the right".to_owned()
                    );
                }
                let (x, weights) = (x.transposed(&[1, 0]), weights.transposed(&[1, 0]));
                Ok(self.state.linear_layer(node, &x, &weights, None)?.transposed(&[1, 0]))
            }
            "MatMul" => {
                let weights = needed(1, "weights")?;
                self.state.linear_layer(node, varying(0, "input")?, weights, None)
            }
            "Gemm" => {
                if integer(node, "transA", 0) != 0 {
                    return Err("its transA is 1, it must be 0".to_owned());
                }
                let (alpha, beta) = (float(node, "alpha", 1.0), float(node, "beta", 1.0));
                let weights = matrix(needed(1, "weights")?, integer(node, "transB", 0) != 0)?;
                let weights = scaled(&weights, alpha);
                let bias = constant(2, "bias")?.map(|bias| scaled(bias, beta));
                self.state.linear_layer(node, varying(0, "input")?, &weights, bias.as_ref())
            }
            "MaxPool" => self.state.max_pool(node, image.unwrap_or(varying(0, "input")?)),
            "AveragePool" => self.state.average_pool(node, image.unwrap_or(varying(0, "input")?)),
            "GlobalAveragePool" => self.state.global_average_pool(varying(0, "input")?),
            "GlobalMaxPool" => self.global_max_pool(varying(0, "input")?),
            "ReduceMean" | "ReduceSum" | "ReduceMax" => {
                self.state.reduce(node, op, varying(0, "input")?, listed(1, "axes")?)
            }
            "Pad" => pad(node, varying(0, "input")?, listed(1, "pads")?, constant(2, "value")?),
            "Concat" => {
                let value = |input: &Operand| match input {
                    Operand::Varying(value) => Ok(value.clone()),
                    Operand::Constant(_) => Err("it joins activations with a constant".to_owned()),
                };
                let values = inputs.iter().flatten().map(value).collect::<Result<Vec<_>, _>>()?;
                concat(node, &values)
            }
            "Gather" => {
                let x = varying(0, "input")?;
                let (dims, from) =
                    constant::gathering(&x.dims, needed(1, "indices")?, integer(node, "axis", 0))?;
                x.reshaped(x.dims.clone()).map(|x| x.picked(dims, &from))
            }
            "Slice" => {
                let x = varying(0, "input")?;
                let (starts, ends) = (listed(1, "starts")?, listed(2, "ends")?);
                let (starts, ends) = (starts.unwrap_or_default(), ends.unwrap_or_default());
                let (dims, from) = constant::sliced(
                    &x.dims,
                    &starts,
                    &ends,
                    listed(3, "axes")?,
                    listed(4, "steps")?,
                )?;
                x.reshaped(x.dims.clone()).map(|x| x.picked(dims, &from))
            }
            "Softmax" | "LogSoftmax" | "ArgMax" | "TopK" => {
                let x = varying(0, "input")?;
                let ending = match op {
                    "Softmax" => Ending::Probability,
                    "LogSoftmax" => Ending::LogProbability,
                    "TopK" if integer(node, "largest", 1) == 0 => {
                        return Err("it gives the smallest, it must give the largest".to_owned());
                    }
                    _ => Ending::Class,
                };
                Ok(Value { ending: Some(ending), ..x.clone() })
            }
            _ => self.elementwise(node, op, inputs),
        }
    }

    /// The image of the input in a shape that it was only reshaped to, if that is why it is none.
    fn imaged(&mut self, x: &Value) -> Option<Value> {
        let [part] = &x.parts[..] else { return None };
        let shape = match x.dims[..] {
            [1, channels, height, width] => Shape { channels, height, width },
            [1, channels, width] => Shape { channels, height: 1, width },
            _ => return None,
        };
        let base = &mut self.state.bases[0];
        let bytes = base.bytes.as_ref()?;
        let is_alike = bytes.iter().all(|table| *table == bytes[0]);
        if x.as_image().is_some() || part.bases != [0] || x.places.is_some() || !is_alike {
            return None;
        }
        if !part.pools.is_empty() || !self.state.plan.reshape_input(shape) {
            return None;
        }
        base.bytes = Some(vec![bytes[0]; shape.channels].into());
        base.ranges = vec![(0, 255); shape.channels];
        base.scale = vec![1.0; shape.channels];
        base.offset = vec![0.0; shape.channels];
        base.noise = vec![0.0; shape.channels];
        base.shape = shape;
        let part = Part { shape, ..part.clone() };
        Some(Value { parts: vec![part], ..x.clone() })
    }

    /// What an operation on single elements gives.
    fn elementwise(
        &mut self,
        node: &Node,
        op: &str,
        inputs: &[Option<Operand>],
    ) -> Result<Value, String> {
        let given: Vec<Option<Given<'_>>> = inputs
            .iter()
            .map(|input| match input {
                None => None,
                Some(Operand::Constant(tensor)) => Some(Given::Constant(tensor)),
                Some(Operand::Varying(value)) => Some(Given::Varying(&value.dims)),
            })
            .collect();
        let Some(Recipe { inputs: taken, steps, .. }) = recipe(node, op, self.graph.opset, &given)?
        else {
            return Err(unknown(node));
        };
        let mut operands = Vec::new();
        for input in taken {
            operands.push(match input {
                Input::Constant(tensor) => Operand::Constant(tensor),
                Input::AsIs(place) => {
                    let input = inputs.get(place).cloned().flatten();
                    input.ok_or_else(|| format!("it lacks its input {place}"))?
                }
            });
        }
        if turns(&steps)
            && let Some(Operand::Varying(value)) = operands.first_mut()
        {
            *value = self.state.settle(value.clone());
        }
        let mut found: Vec<Operand> = Vec::new();
        for (op, sources) in steps {
            let of: Vec<Operand> = sources
                .iter()
                .map(|source| match source {
                    Source::Input(place) => operands[*place].clone(),
                    Source::Number(value) => Operand::Constant(Arc::new(Tensor::scalar(*value))),
                    Source::Step(place) => found[*place].clone(),
                })
                .collect();
            let value = self.state.operation(op, &of)?;
            found.push(Operand::Varying(value));
        }
        match found.pop() {
            Some(Operand::Varying(value)) => Ok(value),
            _ => Err(unknown(node)),
        }
    }

    fn global_max_pool(&mut self, x: &Value) -> Result<Value, String> {
        let (shape, _) = self.state.image(x)?;
        let side = |value: usize| value as i64;
        let kernel = Attribute {
            name: "kernel_shape".to_owned(),
            ints: vec![side(shape.height), side(shape.width)],
            ..Default::default()
        };
        let kernel = match x.dims.len() {
            3 => Attribute { ints: vec![side(shape.width)], ..kernel },
            _ => kernel,
        };
        self.state.max_pool(&Node { attribute: vec![kernel], ..Node::default() }, x)
    }
}

/// Whether operations may give what rises and falls with their first input.
fn turns(steps: &[(Op, Vec<Source>)]) -> bool {
    let first = steps.iter().flat_map(|(_, sources)| sources);
    first.filter(|source| **source == Source::Input(0)).count() > 1
        || steps.iter().any(|(op, _)| matches!(op, Op::Absolute | Op::Square))
}

/// A matrix of weights (input, output).
fn matrix(weights: &Tensor, is_turned: bool) -> Result<Tensor, String> {
    match weights.dims.len() {
        2 if is_turned => Ok(weights.transposed(&[1, 0])),
        2 => Ok(weights.clone()),
        _ => Err(format!("its weights have sides {:?}, they must have two", weights.dims)),
    }
}

fn scaled(tensor: &Tensor, factor: f32) -> Tensor {
    match factor {
        1.0 => tensor.clone(),
        factor => {
            let values = tensor.to_floats().into_iter().map(|value| value * factor).collect();
            Tensor::floats(tensor.dims.clone(), values)
        }
    }
}
