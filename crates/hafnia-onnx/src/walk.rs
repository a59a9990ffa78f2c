//! [`Walk`]: a graph, node by node.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use hafnia_model::Shape;

use crate::constant::{self, cook, fold};
use crate::elementwise::Op;
use crate::error::ImportError;
use crate::expression::Id;
use crate::graph::{Graph, float, integer, integers, is_own, label, word};
use crate::imported::Imported;
use crate::input::begin;
use crate::layout;
use crate::options::Options;
use crate::output::named;
use crate::proto::{Attribute, Node};
use crate::recipe::{Given, Input, Recipe, Source, recipe, unknown};
use crate::state::{Product, State};
use crate::tensor::{Files, MOST_ELEMENTS, Tensor};
use crate::value::{Ending, MOST_VALUES, Part, Unfit, Value};

/// What a name of the graph stands for.
#[derive(Debug, Clone)]
enum Operand {
    Constant(Arc<Tensor>),
    Varying(Value),
}

/// What is known of the names of a graph while its nodes are looked at one by one.
pub(crate) struct Walk<'a> {
    graph: &'a Graph,
    path: &'a Path,
    state: State,
    values: BTreeMap<String, Value>,
    constants: BTreeMap<String, Arc<Tensor>>,
    files: Files,
    channels_last: bool,
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
        let values = BTreeMap::from([(graph.input.clone(), value)]);
        let folder = path.parent().map_or_else(Default::default, Path::to_owned);
        let (constants, files) = (graph.constants.clone(), Files::new(&folder));
        Ok(Self { graph, path, state, values, constants, files, channels_last, computed: 0 })
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
        let finished = value.and_then(|value| self.state.finish(&value, self.channels_last));
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
        if varying.is_none() {
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
            return self.split(node, &inputs);
        }
        self.state.taken = None;
        let last = domain.ends_with("channels_last") || op == "MaxPoolNHWC";
        let value = if last {
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
        let is_shared = self.graph.takers.get(name).is_some_and(|&takers| takers > 1);
        let is_open = value.parts.iter().any(|part| {
            let of_image = part.bases.iter().any(|&base| self.state.bases[base].bytes.is_some());
            let is_plain = self.state.expressions.is_source(part.of) && part.pools.is_empty();
            !of_image && !is_plain
        });
        if !is_shared || !is_open || value.ending.is_some() || !value.padding.is_empty() {
            return value;
        }
        match self.state.quantise(&value, false) {
            Ok(base) => {
                let whole = self.state.value_of(base);
                Value { dims: value.dims, places: value.places, ..whole }
            }
            Err(_) => value,
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
        let Some(Some(Operand::Varying(x))) = inputs.first() else { return Err(unknown(node)) };
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
            "MatMul" => {
                let weights = needed(1, "weights")?;
                self.state.linear_layer(node, varying(0, "input")?, weights, None)
            }
            "Gemm" => {
                if integer(node, "transA", 0) != 0 {
                    return Err("its transA is 1, it must be 0".to_owned());
                }
                let (alpha, beta) = (float(node, "alpha", 1.0), float(node, "beta", 1.0));
                let weights = transposed(needed(1, "weights")?, integer(node, "transB", 0) != 0)?;
                let weights = scaled(&weights, alpha);
                let bias = constant(2, "bias")?.map(|bias| scaled(bias, beta));
                self.state.linear_layer(node, varying(0, "input")?, &weights, bias.as_ref())
            }
            "MaxPool" => self.state.max_pool(node, image.unwrap_or(varying(0, "input")?)),
            "AveragePool" => self.state.average_pool(node, image.unwrap_or(varying(0, "input")?)),
            "GlobalAveragePool" => self.state.global_average_pool(varying(0, "input")?),
            "GlobalMaxPool" => self.global_max_pool(varying(0, "input")?),
            "ReduceMean" => self.state.reduce_mean(node, varying(0, "input")?, listed(1, "axes")?),
            "Pad" => {
                self.pad(node, varying(0, "input")?, listed(1, "pads")?, constant(2, "value")?)
            }
            "Concat" => self.concat(node, inputs),
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
            let value = self.operation(op, &of)?;
            found.push(Operand::Varying(value));
        }
        match found.pop() {
            Some(Operand::Varying(value)) => Ok(value),
            _ => Err(unknown(node)),
        }
    }

    /// What an operation gives of values and constants.
    fn operation(&mut self, op: Op, of: &[Operand]) -> Result<Value, String> {
        let mut varying = of.iter().filter_map(|operand| match operand {
            Operand::Varying(value) => Some(value),
            Operand::Constant(_) => None,
        });
        let first = varying.next().ok_or("nothing in it depends on the image")?;
        if let Some(other) = varying.find(|other| !first.is_of_same(other)) {
            return match (op, of) {
                (Op::Add | Op::Subtract, [Operand::Varying(x), Operand::Varying(y)]) => {
                    self.state.add(op, x, y)
                }
                _ => Err(format!(
                    "it takes two tensors that depend on the image in ways of their own (sides {:?} and \
                     {:?}): only sums of such are taken",
                    first.dims, other.dims
                )),
            };
        }
        let fitted = of.iter().map(|operand| match operand {
            Operand::Varying(_) => Ok(None),
            Operand::Constant(tensor) => first.constants(tensor).map(Some),
        });
        let fitted = match fitted.collect::<Result<Vec<_>, Unfit>>() {
            Ok(fitted) => fitted,
            Err(Unfit::Sides(fault)) => return Err(fault),
            Err(Unfit::Positions) => return self.position_by_position(op, of),
        };
        let mut dims = first.dims.clone();
        for (wide, _) in fitted.iter().flatten() {
            if wide.len() > dims.len() {
                dims = wide.clone();
            }
        }
        let mut value = first.clone();
        for (index, part) in value.parts.iter_mut().enumerate() {
            let sources: Vec<Id> = of
                .iter()
                .zip(&fitted)
                .map(|(operand, fitted)| match (operand, fitted) {
                    (Operand::Varying(value), _) => value.parts[index].of,
                    (_, Some((_, constants))) => self.state.expressions.constant(&constants[index]),
                    (Operand::Constant(_), None) => unreachable!("constants were fitted"),
                })
                .collect();
            part.of = self.state.expressions.op(op, sources);
        }
        if !value.padding.is_empty() {
            self.check_padding(op, of)?;
        }
        value.dims = dims;
        Ok(value)
    }

    /// The padding of a value stays 0 if an operation makes 0 of 0.
    fn check_padding(&self, op: Op, of: &[Operand]) -> Result<(), String> {
        let count = of.iter().map(|operand| match operand {
            Operand::Constant(tensor) => tensor.len(),
            Operand::Varying(_) => 1,
        });
        for at in 0..count.max().unwrap_or(1) {
            let at: Vec<f32> = of
                .iter()
                .map(|operand| match operand {
                    Operand::Varying(_) => 0.0,
                    Operand::Constant(tensor) => tensor.float(at.min(tensor.len() - 1)),
                })
                .collect();
            if op.eval(&at) != 0.0 {
                return Err("it changes the 0 of a Pad before it; pad behind it".to_owned());
            }
        }
        Ok(())
    }

    /// An operation with constants that differ from position to position: every position becomes a
    /// channel.
    fn position_by_position(&mut self, op: Op, of: &[Operand]) -> Result<Value, String> {
        let mut spread = Vec::new();
        for operand in of {
            spread.push(match operand {
                Operand::Constant(tensor) => Operand::Constant(tensor.clone()),
                Operand::Varying(value) => Operand::Varying(self.spread(value)?),
            });
        }
        self.operation(op, &spread)
    }

    /// A value whose positions are channels.
    fn spread(&mut self, value: &Value) -> Result<Value, String> {
        let refused = || {
            Err("it has a constant for each position, behind a pool, a sum or a join of activations; use \
                 one for each channel"
                .to_owned())
        };
        let [Part { bases, of, pools, shape }] = &value.parts[..] else { return refused() };
        let [base] = bases[..] else { return refused() };
        let positions = shape.height * shape.width;
        if !pools.is_empty() || positions == 1 {
            return refused();
        }
        let flat = self.state.flattened(base)?;
        let of = self.state.expressions.repeated(*of, positions)?;
        let shape = self.state.bases[flat].shape;
        let part = Part { bases: vec![flat], of, pools: Vec::new(), shape };
        Ok(Value { parts: vec![part], ..value.clone() })
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

    fn pad(
        &mut self,
        node: &Node,
        x: &Value,
        pads: Option<Vec<i64>>,
        value: Option<&Tensor>,
    ) -> Result<Value, String> {
        let mode = word(node, "mode", "CONSTANT");
        if mode != "CONSTANT" {
            return Err(format!("its mode is {}, it must be constant", mode.to_lowercase()));
        }
        let pads =
            pads.or_else(|| integers(node, "paddings").map(<[i64]>::to_vec)).unwrap_or_default();
        let value = value.and_then(Tensor::single).unwrap_or_else(|| float(node, "value", 0.0));
        let rank = x.dims.len();
        let sides: Option<Vec<usize>> = pads
            .iter()
            .map(|&side| usize::try_from(side).ok().filter(|&side| side <= 1 << 14))
            .collect();
        let Some(sides) = sides.filter(|sides| sides.len() == 2 * rank) else {
            return Err(format!(
                "its pads are {pads:?}, they must be two of at least 0 for each of {rank} sides"
            ));
        };
        if sides.iter().all(|&side| side == 0) {
            return Ok(x.clone());
        }
        if value != 0.0 {
            return Err(format!("it pads with {value}, it must pad with 0"));
        }
        let before = if x.padding.is_empty() { vec![(0, 0); rank] } else { x.padding.clone() };
        let padding =
            (0..rank).map(|at| (before[at].0 + sides[at], before[at].1 + sides[rank + at]));
        Ok(Value { padding: padding.collect(), ..x.clone() })
    }

    fn concat(&mut self, node: &Node, inputs: &[Option<Operand>]) -> Result<Value, String> {
        let mut values = Vec::new();
        for input in inputs.iter().flatten() {
            match input {
                Operand::Varying(value) if value.padding.is_empty() => values.push(value),
                Operand::Varying(_) => return Err("it joins padded activations".to_owned()),
                Operand::Constant(_) => {
                    return Err("it joins activations with a constant".to_owned());
                }
            }
        }
        let dims: Vec<&[usize]> = values.iter().map(|value| &value.dims[..]).collect();
        let (dims, from) = constant::joined(&dims, integer(node, "axis", 1))?;
        let starts: Vec<usize> = values
            .iter()
            .scan(0, |start, value| {
                let own = *start;
                *start += value.parts.iter().map(|part| part.shape.len()).sum::<usize>();
                Some(own)
            })
            .collect();
        let places: Vec<Vec<usize>> = values.iter().map(|value| value.to_places()).collect();
        let elements: Vec<usize> =
            from.iter().map(|&(value, at)| starts[value] + places[value][at]).collect();
        let parts: Vec<Part> = values.iter().flat_map(|value| value.parts.clone()).collect();
        let count = parts.iter().map(|part| part.shape.len()).sum();
        let whole =
            Value { dims: vec![count], places: None, parts, padding: Vec::new(), ending: None };
        Ok(whole.picked(dims, &elements))
    }

    fn split(&mut self, node: &Node, inputs: &[Option<Operand>]) -> Result<(), String> {
        let Some(Some(Operand::Varying(x))) = inputs.first() else {
            return Err("its input is a constant, it must depend on the image".to_owned());
        };
        let axis = layout::axis(integer(node, "axis", 0), x.dims.len())?;
        let sizes = match inputs.get(1) {
            Some(Some(Operand::Constant(sizes))) => sizes.to_integers()?,
            _ => match integers(node, "split") {
                Some(sizes) => sizes.to_vec(),
                None => {
                    let each = x.dims[axis].div_ceil(node.output.len().max(1));
                    let sizes = (0..node.output.len())
                        .map(|at| each.min(x.dims[axis].saturating_sub(at * each)) as i64);
                    sizes.collect()
                }
            },
        };
        let mut start = 0;
        for (name, size) in node.output.iter().zip(sizes) {
            let ends = [start + size];
            let (dims, from) =
                constant::sliced(&x.dims, &[start], &ends, Some(vec![axis as i64]), None)?;
            start += size;
            let value = x.reshaped(x.dims.clone())?.picked(dims, &from);
            self.values.insert(name.clone(), value);
        }
        Ok(())
    }
}

/// Domains of QONNX's operators, by the names that they have had.
const QUANTISERS: &[&str] = &[
    "qonnx.custom_op.general",
    "qonnx.custom_op.channels_last",
    "qonnx.custom_op.channelslast",
    "finn.custom_op.general",
    "onnx.brevitas",
    "brevitas.onnx",
    "org.qonnx",
];

fn transposed(weights: &Tensor, is_turned: bool) -> Result<Tensor, String> {
    let &[rows, columns] = &weights.dims[..] else {
        return Err(format!("its weights have sides {:?}, they must have two", weights.dims));
    };
    if !is_turned {
        return Ok(weights.clone());
    }
    let from = layout::places(&[columns, rows], &[1, columns], 0);
    Ok(weights.pick(vec![columns, rows], &from))
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
