//! Operations on single elements of tensors, some of which depend on the image.

use std::sync::Arc;

use crate::elementwise::Op;
use crate::expression::Id;
use crate::state::State;
use crate::tensor::Tensor;
use crate::value::{Part, Unfit, Value};

/// What a name of the graph stands for.
#[derive(Debug, Clone)]
pub(crate) enum Operand {
    Constant(Arc<Tensor>),
    Varying(Value),
}

impl State {
    /// What an operation gives of values and constants.
    pub(crate) fn operation(&mut self, op: Op, of: &[Operand]) -> Result<Value, String> {
        let mut varying = of.iter().filter_map(|operand| match operand {
            Operand::Varying(value) => Some(value),
            Operand::Constant(_) => None,
        });
        let first = varying.next().ok_or("nothing in it depends on the image")?;
        if let Some(other) = varying.find(|other| !first.is_of_same(other)) {
            if let Some(of) = self.of_same(of)? {
                return self.operation(op, &of);
            }
            return match (op, of) {
                (Op::Add | Op::Subtract, [Operand::Varying(x), Operand::Varying(y)]) => {
                    self.add(op, x, y)
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
                    (_, Some((_, constants))) => self.expressions.constant(&constants[index]),
                    (Operand::Constant(_), None) => unreachable!("constants were fitted"),
                })
                .collect();
            part.of = self.expressions.op(op, sources);
        }
        if !value.padding.is_empty() {
            value.filler = filled(op, of)?;
        }
        value.dims = dims;
        Ok(value)
    }

    /// Operands as functions of the same integers, if what they are levels of is that.
    fn of_same(&mut self, of: &[Operand]) -> Result<Option<Vec<Operand>>, String> {
        let mut operands = of.to_vec();
        for operand in &mut operands {
            if let Operand::Varying(value) = operand {
                *value = self.unsettled(value)?;
            }
        }
        let mut varying = operands.iter().filter_map(|operand| match operand {
            Operand::Varying(value) => Some(value),
            Operand::Constant(_) => None,
        });
        let first = varying.next();
        let are_same = first.is_some_and(|first| varying.all(|other| first.is_of_same(other)));
        Ok(are_same.then_some(operands))
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
        let flat = self.flattened(base)?;
        let of = self.expressions.repeated(*of, positions)?;
        let shape = self.bases[flat].shape;
        let part = Part { bases: vec![flat], of, pools: Vec::new(), shape };
        Ok(Value { parts: vec![part], ..value.clone() })
    }
}

/// What an operation makes of what values are padded with.
fn filled(op: Op, of: &[Operand]) -> Result<f32, String> {
    let count = of.iter().map(|operand| match operand {
        Operand::Constant(tensor) => tensor.len(),
        Operand::Varying(_) => 1,
    });
    let mut found = (0..count.max().unwrap_or(1)).map(|at| {
        let at = of.iter().map(|operand| match operand {
            Operand::Varying(value) => value.filler,
            Operand::Constant(tensor) => tensor.float(at.min(tensor.len() - 1)),
        });
        op.eval(&at.collect::<Vec<f32>>()) + 0.0
    });
    let first = found.next().unwrap_or(0.0);
    match found.all(|other| other == first) && first.is_finite() {
        true => Ok(first),
        false => {
            Err("it makes different values of what a Pad before it has added; pad behind it"
                .to_owned())
        }
    }
}
