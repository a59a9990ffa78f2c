//! Expressions: what real value stands for an integer, channel by channel.
//!
//! Expressions live in one list, each behind those that it takes from; a [`Program`] is the part of
//! the list that one of them needs.

use std::sync::Arc;

use crate::elementwise::Op;

/// An expression, by its place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(usize);

#[derive(Debug, Clone)]
enum Expression {
    /// The real value of the integer of a source: the first or the second.
    Source(usize),
    /// The same number in all channels.
    All(f32),
    /// A number for each channel.
    Each(Arc<[f32]>),
    Op(Op, Vec<Id>),
}

/// All expressions of a graph.
#[derive(Debug, Default)]
pub(crate) struct Expressions(Vec<Expression>);

/// The most steps of an expression: no function between two products has as many.
const MOST_STEPS: usize = 4096;

impl Expressions {
    fn add(&mut self, expression: Expression) -> Id {
        self.0.push(expression);
        Id(self.0.len() - 1)
    }

    /// The real value of a source.
    pub(crate) fn source(&mut self, which: usize) -> Id {
        self.add(Expression::Source(which))
    }

    /// Constants: one for all channels, or one for each.
    pub(crate) fn constant(&mut self, values: &[f32]) -> Id {
        match values {
            [first, rest @ ..] if rest.iter().all(|value| value.to_bits() == first.to_bits()) => {
                self.add(Expression::All(*first))
            }
            values => self.add(Expression::Each(values.into())),
        }
    }

    /// An operation on expressions.
    pub(crate) fn op(&mut self, op: Op, of: Vec<Id>) -> Id {
        self.add(Expression::Op(op, of))
    }

    /// Whether an expression is a source as it is.
    pub(crate) fn is_source(&self, id: Id) -> bool {
        matches!(self.0[id.0], Expression::Source(_))
    }

    /// What an expression takes, if it is an operation.
    pub(crate) fn operation(&self, id: Id) -> Option<(Op, &[Id])> {
        match &self.0[id.0] {
            Expression::Op(op, of) => Some((*op, of)),
            _ => None,
        }
    }

    /// The number that an expression is in every channel, if it is a constant.
    pub(crate) fn number(&self, id: Id) -> Option<f32> {
        match self.0[id.0] {
            Expression::All(value) => Some(value),
            _ => None,
        }
    }

    /// An expression with every constant per channel repeated, `times` times each.
    pub(crate) fn repeated(&mut self, id: Id, times: usize) -> Result<Id, String> {
        let mut places = std::collections::BTreeMap::new();
        for needed in self.needed(id)? {
            let expression = match &self.0[needed.0] {
                Expression::Each(values) => {
                    let each = values.iter().flat_map(|&value| std::iter::repeat_n(value, times));
                    Expression::Each(each.collect())
                }
                Expression::Op(op, of) => {
                    Expression::Op(*op, of.iter().map(|id| places[id]).collect())
                }
                other => other.clone(),
            };
            places.insert(needed, self.add(expression));
        }
        Ok(places[&id])
    }

    /// An expression with another in place of the first source.
    pub(crate) fn substituted(&mut self, id: Id, source: Id) -> Result<Id, String> {
        let mut places = std::collections::BTreeMap::new();
        for needed in self.needed(id)? {
            let place = match self.0[needed.0].clone() {
                Expression::Source(0) => source,
                Expression::Op(op, of) => self.op(op, of.iter().map(|id| places[id]).collect()),
                _ => needed,
            };
            places.insert(needed, place);
        }
        Ok(places[&id])
    }

    /// An expression and all that it takes, in order.
    fn needed(&self, id: Id) -> Result<Vec<Id>, String> {
        let mut needed = std::collections::BTreeSet::from([id]);
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if let Expression::Op(_, of) = &self.0[id.0] {
                open.extend(of.iter().copied().filter(|&id| needed.insert(id)));
            }
            if needed.len() > MOST_STEPS {
                return Err(format!(
                    "more than {MOST_STEPS} operations stand between two products"
                ));
            }
        }
        Ok(needed.into_iter().collect())
    }

    /// What is needed to compute an expression.
    pub(crate) fn program(&self, id: Id) -> Result<Program, String> {
        let needed = self.needed(id)?;
        let place = |id: &Id| needed.binary_search(id).expect("what is taken is needed");
        let steps = needed.iter().map(|id| match &self.0[id.0] {
            Expression::Source(which) => Step::Source(*which),
            Expression::All(value) => Step::All(*value),
            Expression::Each(values) => Step::Each(values.clone()),
            Expression::Op(op, of) => Step::Op(*op, of.iter().map(place).collect()),
        });
        Ok(Program { steps: steps.collect() })
    }
}

/// A step of a program; what it takes are steps before it.
#[derive(Debug, Clone)]
enum Step {
    Source(usize),
    All(f32),
    Each(Arc<[f32]>),
    Op(Op, Vec<usize>),
}

/// Steps, the last of which gives the value.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    steps: Vec<Step>,
}

/// Memory for the values of steps.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    values: Vec<f32>,
    of: Vec<f32>,
}

impl Program {
    /// The value in a channel, given those of the sources.
    pub(crate) fn eval(&self, channel: usize, sources: &[f32], memory: &mut Memory) -> f32 {
        let Memory { values, of } = memory;
        values.clear();
        for step in &self.steps {
            let value = match step {
                Step::Source(which) => sources[*which],
                Step::All(value) => *value,
                Step::Each(each) => each[channel],
                Step::Op(op, places) => {
                    of.clear();
                    of.extend(places.iter().map(|&place| values[place]));
                    op.eval(of)
                }
            };
            values.push(value);
        }
        values[values.len() - 1]
    }

    /// Whether the value only rises or only falls as a source grows, in a channel; false where that is
    /// not plain to see.
    pub(crate) fn is_monotone(&self, channel: usize) -> bool {
        // By step: its value if that is constant.
        let mut known: Vec<Option<f32>> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            known.push(match step {
                Step::Source(_) => None,
                Step::All(value) => Some(*value),
                Step::Each(each) => Some(each[channel]),
                Step::Op(op, places) => {
                    let of: Vec<f32> =
                        places.iter().map(|&at| known[at].unwrap_or(f32::NAN)).collect();
                    let mut varying = (0..places.len()).filter(|&at| known[places[at]].is_none());
                    match (varying.next(), varying.next()) {
                        (None, _) => Some(op.eval(&of)),
                        (Some(one), None) if op.is_monotone(one, &of) => None,
                        // Of two sources, each rises or falls by itself.
                        (Some(_), Some(_))
                            if matches!(op, Op::Add | Op::Subtract) && self.is_apart(places) =>
                        {
                            None
                        }
                        _ => return false,
                    }
                }
            });
        }
        true
    }

    /// Whether steps depend on different sources.
    fn is_apart(&self, places: &[usize]) -> bool {
        let sources = |place: usize| {
            let mut found = std::collections::BTreeSet::new();
            let mut open = vec![place];
            while let Some(place) = open.pop() {
                match &self.steps[place] {
                    Step::Source(which) => drop(found.insert(*which)),
                    Step::Op(_, places) => open.extend(places),
                    _ => {}
                }
            }
            found
        };
        places.len() == 2 && sources(places[0]).is_disjoint(&sources(places[1]))
    }

    /// Factor and summand in a channel if the value is factor · source + summand.
    pub(crate) fn as_affine(&self, channel: usize) -> Option<(f64, f64)> {
        let mut known: Vec<(f64, f64)> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            known.push(match step {
                Step::Source(0) => (1.0, 0.0),
                Step::Source(_) => return None,
                Step::All(value) => (0.0, f64::from(*value)),
                Step::Each(each) => (0.0, f64::from(each[channel])),
                Step::Op(op, places) => {
                    let is_varying = |&at: &usize| known[places[at]].0 != 0.0;
                    let mut varying = (0..places.len()).filter(is_varying);
                    let of: Vec<f32> = places.iter().map(|&at| known[at].1 as f32).collect();
                    match (varying.next(), varying.next()) {
                        (None, _) => (0.0, f64::from(op.eval(&of))),
                        (Some(one), None) => {
                            let (factor, summand) = op.as_affine(one, &of)?;
                            let (a, b) = known[places[one]];
                            (factor * a, factor * b + summand)
                        }
                        _ => return None,
                    }
                }
            });
        }
        known.last().copied().filter(|(a, b)| a.is_finite() && b.is_finite())
    }
}
