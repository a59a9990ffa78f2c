//! [`State`]: what is known while a graph is walked.

use std::collections::BTreeMap;

use crate::expression::Expressions;
use crate::plan::Plan;
use crate::value::{Base, Part, Pool, Value};

/// What is known while a graph is walked; what it can do stands in the files for each kind of layer.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) expressions: Expressions,
    pub(crate) bases: Vec<Base>,
    /// Of bases that are levels of something that several nodes take, what they are levels of.
    pub(crate) settled: BTreeMap<usize, Part>,
    pub(crate) plan: Plan,
    /// Things that a user should know.
    pub(crate) notes: Vec<String>,
    /// The name of the node that is looked at.
    pub(crate) node: String,
    /// Whether weights that lie on no grid are rounded to one.
    pub(crate) approximate: bool,
    /// The base that the product which is looked at takes.
    pub(crate) taken: Option<usize>,
    /// What products take, if weights are rounded.
    pub(crate) products: Vec<Product>,
    /// Thresholds that were found, …
    pub(crate) thresholds: usize,
    /// … and those that a sum is nearer to than [`NEAR`].
    pub(crate) near: usize,
}

/// What a product takes.
#[derive(Debug)]
pub(crate) struct Product {
    /// How messages name the node.
    pub(crate) node: String,
    /// The tensor that it takes.
    pub(crate) tensor: String,
    pub(crate) base: usize,
    /// By element of the tensor, its place among those of the base.
    pub(crate) places: Vec<usize>,
}

/// How near to a threshold, in steps of a sum, executors may come out on either side of it.
pub(crate) const NEAR: f64 = 1e-3;

impl State {
    /// Keeps a base; gives its number.
    pub(crate) fn keep(&mut self, base: Base) -> usize {
        self.bases.push(base);
        self.bases.len() - 1
    }

    /// A value as levels, if it can be quantised.
    pub(crate) fn settle(&mut self, value: Value) -> Value {
        let is_open = value.parts.iter().any(|part| {
            let of_image = part.bases.iter().any(|&base| self.bases[base].bytes.is_some());
            let is_plain = self.expressions.is_source(part.of) && part.pools.is_empty();
            !of_image && !is_plain
        });
        if !is_open || value.ending.is_some() || !value.padding.is_empty() {
            return value;
        }
        let Ok(base) = self.quantise(&value, None) else { return value };
        let whole = self.value_of(base);
        if let [part] = &value.parts[..]
            && part.bases != [base]
        {
            self.settled.insert(base, part.clone());
        }
        Value { dims: value.dims, places: value.places, ..whole }
    }

    /// A value as a function of what the integers that it is a function of are levels of.
    pub(crate) fn unsettled(&mut self, value: &Value) -> Result<Value, String> {
        let mut value = value.clone();
        for part in &mut value.parts {
            while let [base] = part.bases[..]
                && let Some(before) = self.settled.get(&base).cloned()
            {
                part.of = self.expressions.substituted(part.of, before.of)?;
                let mut pools = before.pools;
                for pool in &part.pools {
                    let of = self.expressions.substituted(pool.of, before.of)?;
                    pools.push(Pool { of, ..pool.clone() });
                }
                (part.bases, part.pools) = (before.bases, pools);
            }
        }
        Ok(value)
    }

    /// The integers of a base as a tensor.
    pub(crate) fn value_of(&mut self, base: usize) -> Value {
        let shape = self.bases[base].shape;
        Value::of(Part::of(base, shape, &mut self.expressions))
    }
}
