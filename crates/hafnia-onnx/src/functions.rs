//! Operators that a file makes of others: calls of them become what they are made of.

use std::collections::BTreeMap;

use crate::proto::{Attribute, Function, Node};

/// The most calls within calls.
const MOST_DEPTH: usize = 64;

/// Nodes without calls of the functions of a file whose domain is not known otherwise, at most so many.
pub(crate) fn inlined(
    nodes: Vec<Node>,
    functions: &[Function],
    is_known: &dyn Fn(&str) -> bool,
    most: usize,
) -> Result<Vec<Node>, String> {
    let by_name: BTreeMap<(&str, &str), &Function> = functions
        .iter()
        .filter(|function| !is_known(&function.domain))
        .map(|function| ((&*function.domain, &*function.name), function))
        .collect();
    if by_name.is_empty() {
        return Ok(nodes);
    }
    let (mut found, mut calls) = (Vec::new(), 0);
    // Nodes that are still to be looked at, the next on top, and how many calls they stand in.
    let mut open: Vec<(Node, usize)> = nodes.into_iter().rev().map(|node| (node, 0)).collect();
    while let Some((node, depth)) = open.pop() {
        let Some(function) = by_name.get(&(&*node.domain, &*node.op_type)) else {
            found.push(node);
            continue;
        };
        calls += 1;
        if depth == MOST_DEPTH || found.len() + open.len() + function.node.len() > most {
            return Err(format!(
                "its function {} is called within itself, or makes more than {most} nodes",
                hafnia_text::quoted(&function.name)
            ));
        }
        let body = called(&node, function, calls);
        open.extend(body.into_iter().rev().map(|node| (node, depth + 1)));
    }
    Ok(found)
}

/// What a call of a function is made of; its own tensors have the number of the call in their names.
fn called(call: &Node, function: &Function, number: usize) -> Vec<Node> {
    let pairs = |own: &[String], given: &[String]| -> Vec<(String, String)> {
        own.iter().cloned().zip(given.iter().cloned()).collect()
    };
    let mut names: BTreeMap<String, String> =
        pairs(&function.output, &call.output).into_iter().collect();
    names.extend(pairs(&function.input, &call.input));
    // An input that is left out.
    let left_out = function.input.iter().skip(call.input.len());
    names.extend(left_out.map(|name| (name.clone(), String::new())));
    let named = |name: &String| match names.get(name) {
        _ if name.is_empty() => String::new(),
        Some(name) => name.clone(),
        None => format!("{}/{number}/{name}", call.name),
    };
    let attribute = |own: &Attribute| match &*own.ref_attr_name {
        "" => Some(own.clone()),
        of => {
            let given = call.attribute.iter().find(|given| given.name == of)?;
            Some(Attribute { name: own.name.clone(), ..given.clone() })
        }
    };
    let node = |node: &Node| Node {
        input: node.input.iter().map(named).collect(),
        output: node.output.iter().map(named).collect(),
        name: format!("{}/{}", call.name, node.name),
        attribute: node.attribute.iter().filter_map(attribute).collect(),
        ..node.clone()
    };
    function.node.iter().map(node).collect()
}
