//! [`BreakEven`]: what a mapping saves in area, over what a bit of its tables takes.
//!
//! Rename saves cells and spends bits of tables. With ρ the area of a bit of a table over that of the
//! cells of a weight, area without tables A, table bits t and area of a weight's cells c, the saving
//! of a mapping against the natural one is 1 − (A + ρ·c·t) / (A₀ + ρ·c·t₀), and it is 0 at
//! ρ = (A₀ − A) / (c · (t − t₀)): the break-even.

use serde::{Deserialize, Serialize};

use crate::cost::{Assessment, Breakdown, Component, Cost};
use crate::error::CostError;
use crate::range::Range;

/// Which area is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Cells and tables, nothing else.
    Cells,
    /// All that is in use, as if macros were cut to what they hold.
    InUse,
    /// Whole macros and tables.
    Whole,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cells, Self::InUse, Self::Whole];

    /// The name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cells => "cells",
            Self::InUse => "in-use",
            Self::Whole => "whole",
        }
    }
}

/// The net area saving of a mapping against a natural one, as shares of 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BreakEven {
    /// The area that is compared.
    pub scope: Scope,
    /// The layer, where it is of one.
    pub layer: Option<String>,
    /// Table bits of the natural mapping.
    pub natural_table_bits: usize,
    /// Table bits of the other.
    pub table_bits: usize,
    /// Without the area of tables.
    pub gross: Range,
    /// With tables as large as the model has them.
    pub net: Range,
    /// Area of a bit of a table over that of the cells of a weight, as the model has it.
    pub ratio: Range,
    /// The ratio below which the mapping saves area, below 0 if it never does; none if it takes no
    /// more bits of tables, so that no ratio decides.
    pub break_even: Option<Range>,
    /// The net saving over ratios.
    pub curve: Vec<SavingAt>,
}

/// A point of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SavingAt {
    /// Area of a bit of a table over that of the cells of a weight.
    pub ratio: f64,
    /// The net saving there.
    pub net: Range,
}

/// What is compared of one mapping in one draw.
struct Side {
    /// Area without tables.
    um2: f64,
    table_bits: f64,
    weight_um2: f64,
}

impl Side {
    fn of(cost: &Cost<f64>, scope: Scope, layer: Option<usize>) -> Self {
        let area = |breakdown: &Breakdown<f64>| match scope {
            Scope::Cells => breakdown.parts.get(&Component::Cells).copied().unwrap_or(0.0),
            Scope::InUse | Scope::Whole => {
                breakdown.total - breakdown.parts.get(&Component::Tables).copied().unwrap_or(0.0)
            }
        };
        let spare = if scope == Scope::Whole { cost.spare_um2.total } else { 0.0 };
        let (um2, table_bits) = match layer {
            Some(layer) => (area(&cost.layers[layer].area_um2), cost.layers[layer].table_bits),
            None => {
                let bits = cost.layers.iter().map(|layer| layer.table_bits).sum();
                (area(&cost.area_um2) + spare, bits)
            }
        };
        Self { um2, table_bits: table_bits as f64, weight_um2: cost.weight_um2 }
    }

    fn at(&self, ratio: f64) -> f64 {
        self.um2 + ratio * self.weight_um2 * self.table_bits
    }
}

impl BreakEven {
    /// Of a mapping against the natural one, over some ratios; both of draws of one calibration.
    ///
    /// A layer is an index of [`Cost::layers`]; a layer shares no spare area, so that
    /// [`Scope::Whole`] is then the same as [`Scope::InUse`].
    ///
    /// # Errors
    /// If the mappings have not the same number of layers, or there is no such layer.
    pub fn of(
        natural: &Assessment,
        other: &Assessment,
        scope: Scope,
        layer: Option<usize>,
        ratios: &[f64],
    ) -> Result<Self, CostError> {
        let layers = |assessment: &Assessment| assessment.typical.layers.len();
        if layers(natural) != layers(other) || layer.is_some_and(|layer| layer >= layers(other)) {
            return Err(CostError::Layers { natural: layers(natural), other: layers(other) });
        }
        let of = |value: &dyn Fn(&Side, &Side, f64) -> f64| {
            let one = |natural: &Cost<f64>, other: &Cost<f64>| {
                let ratio = other.table_bit_um2 / other.weight_um2;
                value(&Side::of(natural, scope, layer), &Side::of(other, scope, layer), ratio)
            };
            let draws = natural.draws.iter().zip(&other.draws);
            let draws = draws.map(|(natural, other)| one(natural, other)).collect();
            Range::of(one(&natural.typical, &other.typical), draws)
        };
        let saving =
            |natural: &Side, other: &Side, ratio| 1.0 - other.at(ratio) / natural.at(ratio);
        let bits = |assessment| Side::of(assessment, scope, layer).table_bits;
        let (natural_bits, bits) = (bits(&natural.typical), bits(&other.typical));
        let even = |natural: &Side, other: &Side, _| {
            (natural.um2 - other.um2) / (other.weight_um2 * (bits - natural_bits))
        };
        let curve = ratios.iter().map(|&ratio| SavingAt {
            ratio,
            net: of(&|natural, other, _| saving(natural, other, ratio)),
        });
        Ok(Self {
            scope,
            layer: layer.map(|layer| natural.typical.layers[layer].name.clone()),
            natural_table_bits: natural_bits as usize,
            table_bits: bits as usize,
            gross: of(&|natural, other, _| 1.0 - other.um2 / natural.um2),
            net: of(&saving),
            ratio: of(&|_, _, ratio| ratio),
            break_even: (bits > natural_bits).then(|| of(&even)),
            curve: curve.collect(),
        })
    }
}
