//! [`Graph`]: the nodes of a file that lead to its output, in order, and its constants.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hafnia_artifact::read_up_to;
use hafnia_text::quoted;
use prost::Message as _;

use crate::error::ImportError;
use crate::functions::inlined;
use crate::proto::{self, Attribute, Dimension, Model, Node};
use crate::tensor::{Files, Tensor};

/// The most bytes of a file without its external data: 512 MiB.
const MOST_BYTES: u64 = 1 << 29;
/// The most parts (nodes, their inputs and attributes, constants) of a file, each of which takes far
/// more memory than the two bytes that it may take in the file.
const MOST_PARTS: usize = 1 << 20;

/// What a file computes.
pub(crate) struct Graph {
    /// What leads to the output, each node behind those that it takes from.
    pub(crate) nodes: Vec<Node>,
    /// The constants that nodes take, by name.
    pub(crate) constants: BTreeMap<String, Arc<Tensor>>,
    /// Name of what it takes.
    pub(crate) input: String,
    /// Type of what it takes, as files number types; 0 if it is not known.
    pub(crate) kind: i32,
    /// Sides of what it takes; none for one that is not known.
    pub(crate) dims: Vec<Option<usize>>,
    /// Name of what it gives.
    pub(crate) output: String,
    /// How many nodes take a tensor, by name.
    pub(crate) takers: BTreeMap<String, usize>,
    /// Version of ONNX's own operators.
    pub(crate) opset: i64,
    /// Things that a user should know.
    pub(crate) notes: Vec<String>,
}

impl Graph {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, ImportError> {
        let wrong = |fault: String| ImportError::File { path: path.to_owned(), fault };
        let bytes = read_up_to(path, MOST_BYTES)?;
        check_parts(&bytes).map_err(wrong)?;
        let model = Model::decode(&*bytes).map_err(|error| {
            wrong(format!("it is no ONNX file, or a damaged one: {error}").replace('\n', " "))
        })?;
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
        Self::of(model, &folder).map_err(wrong)
    }

    /// The graph of a model whose external data lie in `folder`.
    fn of(model: Model, folder: &Path) -> Result<Self, String> {
        let Model { graph, functions, opset_import, .. } = model;
        let mut graph = graph.ok_or("it holds no graph: it is no ONNX file, or a damaged one")?;
        let own = |set: &&proto::OperatorSet| is_own(&set.domain);
        let opset = opset_import.iter().find(own).map_or(1, |set| set.version);
        graph.node = inlined(graph.node, &functions, &is_known, MOST_PARTS)?;
        let mut notes = Vec::new();
        let output = match &graph.output[..] {
            [] => return Err("its graph gives nothing".to_owned()),
            [one] => one.name.clone(),
            [first, rest @ ..] => {
                let others: Vec<_> = rest.iter().map(|other| quoted(&other.name)).collect();
                let (first, others) = (quoted(&first.name), others.join(", "));
                notes.push(format!("the output {first} is taken, {others} left out"));
                graph.output[0].name.clone()
            }
        };
        let nodes = leading_to(&output, graph.node)?;
        let mut takers = BTreeMap::new();
        for name in nodes.iter().flat_map(|node| &node.input).chain([&output]) {
            *takers.entry(name.clone()).or_insert(0) += 1;
        }
        let mut constants = BTreeMap::new();
        let mut files = Files::new(folder);
        for tensor in graph.initializer.iter().filter(|tensor| takers.contains_key(&tensor.name)) {
            let read = Tensor::read(tensor, &mut files);
            let read =
                read.map_err(|fault| format!("constant {}: {fault}", quoted(&tensor.name)))?;
            if constants.insert(tensor.name.clone(), Arc::new(read)).is_some() {
                return Err(format!("there are two constants {}", quoted(&tensor.name)));
            }
        }
        let is_real = |name: &str| takers.contains_key(name) && !constants.contains_key(name);
        let mut inputs = graph.input.iter().filter(|input| is_real(&input.name));
        let input = inputs.next().ok_or("its output depends on no input")?;
        if let Some(other) = inputs.next() {
            let (input, other) = (quoted(&input.name), quoted(&other.name));
            return Err(format!("it takes {input} and {other}: a network has one input"));
        }
        let given: BTreeSet<&String> = nodes.iter().flat_map(|node| &node.output).collect();
        for node in &nodes {
            let is_there = |name: &&String| {
                !name.is_empty()
                    && **name != input.name
                    && !given.contains(name)
                    && !constants.contains_key(*name)
            };
            if let Some(name) = node.input.iter().find(is_there) {
                let is_sparse = |sparse: &proto::Sparse| {
                    sparse.values.as_ref().is_some_and(|values| values.name == **name)
                };
                if graph.sparse_initializer.iter().any(is_sparse) {
                    let name = quoted(name);
                    return Err(format!(
                        "{} takes {name}, which is sparse: write constants with all their elements",
                        label(node)
                    ));
                }
                return Err(format!("{} takes {}, which nothing gives", label(node), quoted(name)));
            }
        }
        let of = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        let kind = of.map_or(0, |of| of.elem_type);
        let shape = of.and_then(|of| of.shape.as_ref()).ok_or_else(|| {
            format!(
                "its input {} has no shape: write one into the file (`onnx.shape_inference`, or \
                 `qonnx.util.cleanup`)",
                quoted(&input.name)
            )
        })?;
        let side = |side: &Dimension| side.dim_value.and_then(|side| usize::try_from(side).ok());
        let dims = shape.dim.iter().map(|dim| side(dim).filter(|&side| side > 0)).collect();
        let input = input.name.clone();
        Ok(Self { nodes, constants, input, kind, dims, output, takers, opset, notes })
    }
}

/// Domains of QONNX's operators, by the names that they have had.
pub(crate) const QUANTISERS: &[&str] = &[
    "qonnx.custom_op.general",
    "qonnx.custom_op.channels_last",
    "qonnx.custom_op.channelslast",
    "finn.custom_op.general",
    "onnx.brevitas",
    "brevitas.onnx",
    "org.qonnx",
];

/// Whether a domain is that of ONNX's own operators.
pub(crate) fn is_own(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// Whether operators of a domain are known, whatever a file says that they are made of.
fn is_known(domain: &str) -> bool {
    is_own(domain) || domain == "com.microsoft" || QUANTISERS.contains(&domain)
}

/// How messages name a node.
pub(crate) fn label(node: &Node) -> String {
    let op = hafnia_text::shown(&node.op_type);
    match (&*node.name, node.output.first()) {
        ("", None) => op,
        ("", Some(output)) => format!("{op} that gives {}", quoted(output)),
        (name, _) => format!("{op} {}", quoted(name)),
    }
}

/// The nodes that a tensor depends on, each behind those that it takes from.
fn leading_to(output: &str, nodes: Vec<Node>) -> Result<Vec<Node>, String> {
    let mut giver: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if giver.insert(name, index).is_some() {
                return Err(format!("{} is given twice, again by {}", quoted(name), label(node)));
            }
        }
    }
    // Depth first, with a stack of its own: (node, next of its inputs).
    let mut order = Vec::new();
    let mut state = vec![State::New; nodes.len()];
    let mut open: Vec<(usize, usize)> =
        giver.get(output).map(|&index| (index, 0)).into_iter().collect();
    if let Some(&(first, _)) = open.first() {
        state[first] = State::Open;
    }
    while let Some((index, at)) = open.last_mut() {
        let Some(name) = nodes[*index].input.get(*at) else {
            state[*index] = State::Done;
            order.push(*index);
            open.pop();
            continue;
        };
        *at += 1;
        let Some(&from) = giver.get(name.as_str()) else { continue };
        match state[from] {
            State::Done => {}
            State::New => {
                state[from] = State::Open;
                open.push((from, 0));
            }
            State::Open => {
                let node = label(&nodes[from]);
                return Err(format!("{node} takes what depends on itself: the graph is a loop"));
            }
        }
    }
    let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|index| nodes[index].take()).collect())
}

#[derive(Clone, Copy)]
enum State {
    New,
    Open,
    Done,
}

/// The attribute of this name.
pub(crate) fn attribute<'a>(node: &'a Node, name: &str) -> Option<&'a Attribute> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// An integer of a node, or what it is if it is left out.
pub(crate) fn integer(node: &Node, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |attribute| attribute.i.unwrap_or(0))
}

/// A float of a node, or what it is if it is left out.
pub(crate) fn float(node: &Node, name: &str, default: f32) -> f32 {
    attribute(node, name).map_or(default, |attribute| attribute.f.unwrap_or(0.0))
}

/// The integers of a node; none if they are left out.
pub(crate) fn integers<'a>(node: &'a Node, name: &str) -> Option<&'a [i64]> {
    attribute(node, name).map(|attribute| &attribute.ints[..])
}

/// A text of a node in upper case, or what it is if it is left out.
pub(crate) fn word(node: &Node, name: &str, default: &str) -> String {
    let text = attribute(node, name).and_then(|attribute| attribute.s.as_ref());
    text.map_or(default.to_owned(), |text| String::from_utf8_lossy(text).to_ascii_uppercase())
}

/// Refuses a file of more parts than can be kept: what lies in the model's graph (field 7), and in its
/// nodes (field 1), is counted.
fn check_parts(bytes: &[u8]) -> Result<(), String> {
    let mut parts = 0;
    count_parts(bytes, &[7, 1], &mut parts);
    match parts <= MOST_PARTS {
        true => Ok(()),
        false => Err(format!("it has more than {MOST_PARTS} nodes, inputs and attributes")),
    }
}

/// Counts the fields of a message, and of those within that the path of field numbers leads to; stops
/// where the message is damaged, which the decoder says better.
fn count_parts(mut bytes: &[u8], path: &[u64], parts: &mut usize) {
    while !bytes.is_empty() && *parts <= MOST_PARTS {
        *parts += 1;
        let Some(key) = varint(&mut bytes) else { return };
        let skip = match key & 7 {
            0 => varint(&mut bytes).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut bytes),
            5 => Some(4),
            _ => None,
        };
        let Some(skip) = skip.and_then(|skip| usize::try_from(skip).ok()) else { return };
        let Some((field, rest)) = bytes.split_at_checked(skip) else { return };
        if let [next, below @ ..] = path
            && key & 7 == 2
            && key >> 3 == *next
        {
            count_parts(field, below, parts);
        }
        bytes = rest;
    }
}

/// Takes an integer of seven bits a byte.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}
