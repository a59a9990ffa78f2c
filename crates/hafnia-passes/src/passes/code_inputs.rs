//! `code-inputs`: chooses how bit-planes stand for the activations that reach a matrix.
//!
//! An activation is a = Σ factor·bit + offset over its bit-planes ([`Coding`]), and a mapping begins
//! with the bits of its level, which is counted from the lowest activation on. Where activations may be
//! below 0, that turns the rows of every 0 on, and 0 is the most frequent activation. This pass takes
//! another coding for some matrices:
//!
//! - `levels`: what mappings begin with;
//! - `twos-complement`: the upper plane is negative; −1 turns a row on in every plane;
//! - `differential`: planes for what is above 0 and planes for what is below, one of which are empty:
//!   most planes, and fewest rows that are on;
//! - `offset-binary`, `odd` and `ternary` as for weights.
//!
//! A tile that adds activations up before it scans them goes on to scan the bits of their sums.
//!
//! Cost: nothing is looked at but ranges.
//!
//! [`Coding`]: hafnia_ir::Coding

use hafnia_ir::{CodingKind, Mapping, Planes, Stage};
use serde::{Deserialize, Serialize};

use crate::analysis::StaticCost;
use crate::error::PassError;
use crate::options::{ALL, chosen};
use crate::pass::{Context, Pass, PassInfo};
use crate::statistics::Statistics;

/// The pass `code-inputs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CodeInputs {
    /// The coding.
    pub coding: InputCoding,
    /// Names of matrices, `*` for all whose activations may be below 0.
    pub matrices: Vec<String>,
}

/// A coding of activations by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputCoding {
    /// The bits of levels.
    Levels,
    /// One of those of weights.
    #[serde(untagged)]
    Coded(CodingKind),
}

impl Default for CodeInputs {
    fn default() -> Self {
        let coding = InputCoding::Coded(CodingKind::TwosComplement);
        Self { coding, matrices: vec![ALL.to_owned()] }
    }
}

impl Pass for CodeInputs {
    const INFO: PassInfo = PassInfo {
        name: "code-inputs",
        summary: "Chooses how bit-planes stand for activations.",
        takes: &[Stage::Logical],
        leaves: None,
        options: &[
            (
                "coding",
                "`levels`, `twos-complement`, `differential`, `offset-binary`, `odd` or `ternary`, with as few bit-planes as hold the activations",
            ),
            ("matrices", "names of matrices, `*` for all whose activations may be below 0"),
        ],
    };

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        let before = StaticCost::of(mapping, context);
        let chosen = chosen(&self.matrices, mapping)?;
        let layers = context.network.matrices();
        let planes = |mapping: &Mapping| {
            let of_matrices = mapping.matrices.iter().zip(&layers);
            of_matrices.map(|(of, layer)| of.planes(layer).factors().len()).sum::<usize>() as f64
        };
        let planes_before = planes(mapping);
        for (index, layer) in layers.iter().enumerate() {
            let is_named = self.matrices.iter().any(|name| name == layer.name);
            if !chosen[index] || (layer.lowest == 0 && !is_named) {
                continue;
            }
            let range = (layer.lowest, layer.lowest + i32::from(layer.largest));
            mapping.matrices[index].inputs = match self.coding {
                InputCoding::Levels => None,
                InputCoding::Coded(kind) => {
                    let coding = kind.for_range(range, false, 1);
                    let fits = coding.filter(|of| of.slices() <= Planes::MOST_CODED);
                    Some(fits.ok_or_else(|| PassError::NoInputCode {
                        matrix: layer.name.to_owned(),
                        coding: kind.name(),
                        lowest: range.0,
                        highest: range.1,
                    })?)
                }
            };
        }
        let after = planes(mapping);
        let statistics = match after == planes_before {
            true => Statistics::default(),
            false => Statistics::default().changed("bit-planes", planes_before, after),
        };
        Ok(before.changed(StaticCost::of(mapping, context), statistics))
    }
}
