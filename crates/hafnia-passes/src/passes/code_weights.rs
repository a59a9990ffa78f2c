//! `code-weights`: chooses how bits of cells stand for the weights of a matrix.
//!
//! A weight is w = Σ factor·bit + offset over its slices ([`Coding`]), and a mapping begins with
//! the coding of the fewest slices: ±1 in one, odd numbers in as many as they need, −1, 0 and 1 as a
//! pair, all else in two's complement. This pass takes another for some matrices:
//!
//! - `odd`: Σ 2^p·(2·bit − 1), for weights none of which is even;
//! - `twos-complement`: the upper slice is negative;
//! - `offset-binary`: unsigned bits and an offset, which counts the sum of the activations;
//! - `ternary`: a pair of cells, one for +1 and one for −1;
//! - `differential`: a set of slices for what is above 0 and one for what is below, one of which is
//!   empty.
//!
//! Small weights of both signs are mostly 0 in `differential`, half ones in the others: fewer cells
//! conduct, and fewer errors of the upper slices count; it takes nearly twice the columns.
//!
//! Rows keep their order; what passes before it did to rows and columns is undone, so it belongs at
//! the beginning.
//!
//! Cost: a look at every weight.

use hafnia_ir::{CodingKind, Column, Mapping, RowEntry, Stage, Tile};
use hafnia_model::BitMatrix;
use serde::{Deserialize, Serialize};

use crate::analysis::StaticCost;
use crate::error::PassError;
use crate::options::{ALL, chosen};
use crate::pass::{Context, Pass, PassInfo};
use crate::statistics::Statistics;

/// The pass `code-weights`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CodeWeights {
    /// The coding.
    pub coding: CodingKind,
    /// Names of matrices, `*` for all.
    pub matrices: Vec<String>,
}

impl Default for CodeWeights {
    fn default() -> Self {
        Self { coding: CodingKind::TwosComplement, matrices: vec![ALL.to_owned()] }
    }
}

impl Pass for CodeWeights {
    const INFO: PassInfo = PassInfo {
        name: "code-weights",
        summary: "Chooses how bits of cells stand for weights.",
        takes: &[Stage::Logical],
        leaves: None,
        options: &[
            (
                "coding",
                "`odd`, `twos-complement`, `offset-binary`, `ternary` or `differential`, with as few slices as hold the weights",
            ),
            ("matrices", "names of matrices, `*` for all"),
        ],
    };

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        let before = StaticCost::of(mapping, context);
        let chosen = chosen(&self.matrices, mapping)?;
        let slices =
            |mapping: &Mapping| mapping.matrices.iter().map(|of| of.columns).sum::<usize>() as f64;
        let columns = slices(mapping);
        let cell_bits = mapping.geometry.cell_bits;
        for (index, layer) in context.network.matrices().iter().enumerate() {
            if !chosen[index] {
                continue;
            }
            let weights = layer.weights;
            let range = (weights.smallest(), weights.largest());
            let coding = self.coding.for_range(range, weights.is_odd(), cell_bits);
            let unfit = || PassError::NoCode {
                matrix: layer.name.to_owned(),
                coding: self.coding.name(),
                smallest: range.0,
                largest: range.1,
                cell_bits,
            };
            let coding = coding.ok_or_else(unfit)?;
            let bits = coding.bits_of(weights).map_err(|_| unfit())?;
            let of = &mut mapping.matrices[index];
            (of.columns, of.coding) = (bits.columns(), coding);
            for tile in mapping.tiles.iter_mut().filter(|tile| tile.matrix.index() == index) {
                *tile = recoded(tile, &bits);
            }
        }
        let after = slices(mapping);
        let statistics = match after == columns {
            true => Statistics::default(),
            false => Statistics::default().changed("logical columns", columns, after),
        };
        Ok(before.changed(StaticCost::of(mapping, context), statistics))
    }
}

/// The tile with the same rows in the same order, and all columns of these bits.
fn recoded(tile: &Tile, bits: &BitMatrix) -> Tile {
    let rows = tile.rows.logical();
    let entry = |(physical, &logical)| RowEntry { logical, physical, negative: false };
    let column = |logical| Column { logical, inverted: false };
    Tile {
        bits: bits.select_rows(rows.iter().map(|&row| row as usize)),
        rows: (0..).zip(rows).map(entry).collect(),
        columns: (0..bits.columns() as u32).map(column).collect(),
        pre_add: false,
        ..*tile
    }
}

#[cfg(test)]
mod tests {
    use hafnia_cim::{CodeTable, MacroSpec};
    use hafnia_ir::{Coding, prove, verify};
    use hafnia_model::Weights;

    use super::*;
    use crate::tests::{context, linear};

    #[test]
    fn every_coding_is_proved_or_refused() {
        let weights = Weights::from_fn(6, 3, |row, column| (row * 3 + column) as i32 % 4 - 2);
        let network = linear(weights, 2);
        let spec = MacroSpec::preset("gt-n40").unwrap();
        let table = CodeTable::from_spec(&spec);
        let check = |kind: CodingKind, expected: Result<Coding, &str>| {
            let mut mapping = Mapping::logical(&network, &spec);
            let pass = CodeWeights { coding: kind, ..CodeWeights::default() };
            let found = pass.run(&mut mapping, &context(&network, &spec, &table));
            match expected {
                Ok(coding) => {
                    found.unwrap();
                    assert_eq!(mapping.matrices[0].coding, coding);
                    verify(&mapping).unwrap();
                    prove(&mapping, &network).unwrap();
                }
                Err(fault) => assert_eq!(found.unwrap_err().to_string(), fault),
            }
        };
        check(CodingKind::TwosComplement, Ok(Coding::twos_complement(2)));
        check(CodingKind::OffsetBinary, Ok(Coding::offset_binary(2)));
        check(CodingKind::Differential, Ok(Coding::differential(2)));
        check(
            CodingKind::Ternary,
            Err(
                "matrix `only` has weights of -2 to 1, for which coding `ternary` has no codes in cells of 1 bits",
            ),
        );
        check(
            CodingKind::Odd,
            Err(
                "matrix `only` has weights of -2 to 1, for which coding `odd` has no codes in cells of 1 bits",
            ),
        );
    }
}
