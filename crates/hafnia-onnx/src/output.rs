//! The outputs of a graph: which integers they are, and what these stand for.

use hafnia_model::{Network, Scores};

use crate::elementwise::Op;
use crate::expression::Id;
use crate::imported::{Imported, Outputs, Taken};
use crate::plan::Finished;
use crate::state::{NEAR, Product, State};
use crate::value::{Base, Ending, Part, Value};

/// Integers as outputs: by channel, n stands for scale · n + bias.
struct Read {
    base: usize,
    scales: Vec<f64>,
    biases: Vec<f64>,
    /// Whether they only tell the order of the outputs.
    is_rank: bool,
}

impl State {
    /// The network whose outputs are those of a value.
    pub(crate) fn finish(
        mut self,
        value: &Value,
        channels_last: bool,
        sides: Vec<usize>,
    ) -> Result<Imported, String> {
        if !value.padding.is_empty() {
            return Err("its output is padded".to_owned());
        }
        self.node = "output".to_owned();
        let Read { base, mut scales, mut biases, is_rank } = self.output(value)?;
        let outputs = match value.ending {
            None if is_rank => Outputs::Ranks,
            None => Outputs::Scores,
            Some(Ending::Probability) => Outputs::Probabilities,
            Some(Ending::LogProbability) => Outputs::LogProbabilities,
            Some(Ending::Rank) => Outputs::Ranks,
            Some(Ending::Class) => Outputs::Class,
        };
        if let Some(ending) = value.ending {
            self.notes.push(format!(
                "{} at the end left out: it does not change the class",
                named(ending)
            ));
        }
        let of = &self.bases[base];
        let positions = of.shape.height * of.shape.width;
        let can_turn = self.plan.is_product(of.value);
        let mut factors = vec![1; of.shape.channels];
        for (factor, scale) in factors.iter_mut().zip(&mut scales) {
            if *scale <= 0.0 && !can_turn {
                return Err("an output falls as its sum grows, and no product gives it".to_owned());
            }
            *factor = if *scale == 0.0 { 0 } else { scale.signum() as i32 };
            *scale = if *scale == 0.0 { 1.0 } else { scale.abs() };
        }
        let value_of = of.value;
        let each = |values: &[f64]| -> Vec<f64> {
            values.iter().flat_map(|&value| std::iter::repeat_n(value, positions)).collect()
        };
        let mut roundings = each(&of.noise);
        (scales, biases) = (each(&scales), each(&biases));
        let mut order = value.to_places();
        let mut places = order.clone();
        places.sort_unstable();
        let are_all = places.iter().copied().eq(0..scales.len());
        if !are_all {
            if positions > 1 || !self.plan.is_whole_product(value_of) {
                let (found, all) = (order.len(), scales.len());
                return Err(format!(
                    "it gives {found} of the {all} outputs of its last layer, which is no product of one \
                     position: it must give all of them, each once"
                ));
            }
            let picked = |of: &[f64]| order.iter().map(|&place| of[place]).collect::<Vec<f64>>();
            (scales, biases) = (picked(&scales), picked(&biases));
            roundings = picked(&roundings);
        }
        let columns = (!are_all).then(|| std::mem::take(&mut order));
        if let Some(columns) = &columns {
            order = (0..columns.len()).collect();
        }
        let asked: Vec<usize> =
            self.products.iter().map(|product| self.bases[product.base].value).collect();
        let Finished { input, steps, doubts, places } =
            self.plan.finish(value_of, &factors, columns.as_deref(), &asked);
        let taken = self.products.into_iter().zip(places).filter_map(|(product, value)| {
            let Product { node, tensor, base, places } = product;
            let Base { scale, offset, .. } = &self.bases[base];
            let reals = scale.iter().copied().zip(offset.iter().copied()).collect();
            value.map(|value| Taken { node, tensor, value, places, reals })
        });
        let taken = taken.collect();
        let network = Network::graph(input, steps).map_err(|error| error.to_string())?;
        // Scales that all outputs share change no class; of one output they are all there is to tell.
        let is_plain = scales.len() > 1
            && scales.iter().all(|scale| *scale == scales[0])
            && biases.iter().all(|bias| *bias == biases[0])
            || scales == [1.0] && biases == [0.0];
        let scores = match is_plain {
            true => Scores::default(),
            false => Scores { scales: scales.clone(), biases: biases.clone() },
        };
        let network = network.with_scores(scores).map_err(|error| error.to_string())?;
        let State { mut notes, thresholds, near, .. } = self;
        if near > 0 {
            notes.push(format!(
                "{near} of {thresholds} thresholds lie within {NEAR} of a sum: executors may differ there"
            ));
        }
        Ok(Imported {
            network,
            outputs,
            order,
            scales,
            biases,
            roundings,
            doubts,
            channels_last,
            sides,
            taken,
            thresholds,
            notes,
        })
    }

    /// Reads a value as outputs.
    fn output(&mut self, value: &Value) -> Result<Read, String> {
        if let [Part { bases, of, pools, .. }] = &value.parts[..]
            && let [base] = bases[..]
            && self.bases[base].bytes.is_none()
            && pools.is_empty()
        {
            let mut of = *of;
            let mut left_out = Vec::new();
            loop {
                let program = self.expressions.program(of)?;
                let Base { scale, offset, shape, .. } = &self.bases[base];
                let affine: Option<Vec<(f64, f64)>> =
                    (0..shape.channels).map(|channel| program.as_affine(channel)).collect();
                if let Some(affine) = affine {
                    let scales =
                        affine.iter().zip(scale).map(|((a, _), scale)| a * scale).collect();
                    let biases = affine.iter().zip(offset).map(|((a, b), offset)| a * offset + b);
                    let biases = biases.collect();
                    let is_rank = !left_out.is_empty();
                    if is_rank {
                        self.notes.push(format!(
                            "{} at the end left out: the largest output stays the largest",
                            left_out.join(", ")
                        ));
                    }
                    return Ok(Read { base, scales, biases, is_rank });
                }
                if left_out.is_empty()
                    && let Ok(base) = self.quantise(value, None)
                {
                    self.notes.push("the outputs are quantised, which makes ties".to_owned());
                    return Ok(self.read(base));
                }
                // What rises alike in all outputs keeps their order.
                let Some((op, below)) = self.rising(of) else { break };
                left_out.push(format!("{op:?}"));
                of = below;
            }
            return Err(
                "its outputs are no multiples of integers, nor is their order that of integers"
                    .to_owned(),
            );
        }
        let base = self.quantise(value, None)?;
        Ok(self.read(base))
    }

    /// The integers of a base as outputs.
    fn read(&self, base: usize) -> Read {
        let Base { scale, offset, .. } = &self.bases[base];
        Read { base, scales: scale.clone(), biases: offset.clone(), is_rank: false }
    }

    /// What an operation takes that rises and is the same in all channels.
    fn rising(&self, id: Id) -> Option<(Op, Id)> {
        let (op, of) = self.expressions.operation(id)?;
        let rises = match op {
            Op::Sigmoid | Op::Tanh | Op::Softplus | Op::Exponential => true,
            Op::Max | Op::Min => self.expressions.number(of[1]).is_some(),
            Op::Slope | Op::Exponent => {
                self.expressions.number(of[1]).is_some_and(|slope| slope > 0.0)
            }
            _ => false,
        };
        rises.then(|| (op, of[0]))
    }
}

/// What a user knows an ending as.
pub(crate) fn named(ending: Ending) -> &'static str {
    match ending {
        Ending::Probability => "Softmax",
        Ending::LogProbability => "LogSoftmax",
        Ending::Rank => "Softmax and a quantiser",
        Ending::Class => "ArgMax or TopK",
    }
}
