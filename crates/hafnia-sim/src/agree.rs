//! [`agree`]: does a mapped network compute what the network computes?

use hafnia_cim::{GroupFault, Groups, MacroSpec};
use hafnia_ir::{Mapping, TileId};
use hafnia_model::{Multiply, Network, Plain, run};
use hafnia_rng::Seed;
use rand::RngExt;

use crate::{Exact, Mapped, Plan, SimError};

/// Where a mapped network and the network part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Disagreement {
    /// The mapping cannot be run at all.
    #[error(transparent)]
    Unfit(#[from] SimError),
    /// A column of a matrix gives another sum.
    #[error(
        "matrix `{matrix}`, position {position}, column {column}: the mapping gives {found}, the network {expected}"
    )]
    Sum {
        /// Name of the layer.
        matrix: String,
        /// Output position.
        position: usize,
        /// Logical column.
        column: usize,
        /// The sum of the mapped matrix.
        found: i32,
        /// The sum of the network's matrix.
        expected: i32,
    },
    /// Rows share a conversion that must not, or do not although they must.
    #[error("tile {tile}, bit-plane {plane}: rows are grouped wrongly")]
    Groups {
        /// The tile.
        tile: TileId,
        /// The bit-plane.
        plane: u8,
        /// The rule that is broken.
        source: GroupFault,
    },
}

/// Inputs of the network, and of every replica of every matrix.
const INPUTS: u64 = 64;

/// Compares a mapping, at any stage, with its network on the engine [`Exact`].
///
/// Both are run on 64 images (all 0, all at the maximum, one pixel, sparse, dense), and every
/// replica of every matrix is multiplied by 64 such vectors, because what reaches the deeper
/// matrices from an image is rarely extreme. All sums must be equal, and every group must follow
/// the rules of the input control. What the ADC clips is the loss of the spec, not of the mapping:
/// under a spec that is lossy the comparison takes an ADC that is wide enough.
///
/// # Errors
/// The first [`Disagreement`] found.
pub fn agree(
    network: &Network,
    mapping: &Mapping,
    spec: &MacroSpec,
    seed: Seed,
) -> Result<(), Disagreement> {
    agree_on(network, mapping, spec, seed, &Plan::new(network, mapping, spec)?)
}

/// As [`agree`], for the plan of the mapping; tests plant faults in it.
fn agree_on(
    network: &Network,
    mapping: &Mapping,
    spec: &MacroSpec,
    seed: Seed,
    plan: &Plan,
) -> Result<(), Disagreement> {
    let wide_enough = spec.rows_per_conversion.max(spec.adc.max_code()) as u8;
    let mut both = Both {
        network,
        mapping,
        spec,
        plan,
        mapped: Mapped::new(plan, Exact { max_code: wide_enough }),
        plain: Plain::new(network),
        found: Vec::new(),
        active: Vec::new(),
        groups: Groups::default(),
        first: Ok(()),
    };
    let (images, vectors) = (seed.site("agree/images"), seed.site("agree/vectors"));
    for index in 0..INPUTS {
        let pixels = network.shape_before(0).len();
        run(network, &input(images, index, pixels, network.input().bits), &mut both);
        for (matrix, layer) in network.matrices().iter().enumerate() {
            let vectors = vectors.index(matrix as u64);
            let activations = input(vectors, index, layer.weights.rows(), layer.input_bits);
            let mut sums = vec![0; layer.weights.columns()];
            for position in 0..plan.replicas(matrix) {
                both.multiply(matrix, position, &activations, &mut sums);
            }
        }
        if both.first.is_err() {
            break;
        }
    }
    both.first
}

/// Input number `index` of a kind that goes round: none, all, one, sparse, dense.
fn input(seed: Seed, index: u64, len: usize, bits: u8) -> Vec<u8> {
    let rng = &mut seed.index(index).rng();
    let max = u8::MAX >> (8 - bits);
    let mut input = vec![0; len];
    match index {
        0 => {}
        1 => input.fill(max),
        _ if index.is_multiple_of(3) => input[rng.random_range(0..len)] = rng.random_range(1..=max),
        _ => {
            let share = if index % 3 == 1 { 0.1 } else { 0.7 };
            for activation in &mut input {
                if rng.random_bool(share) {
                    *activation = rng.random_range(1..=max);
                }
            }
        }
    }
    input
}

/// Multiplies both ways, notes the first disagreement and goes on with what the network gives.
struct Both<'a> {
    network: &'a Network,
    mapping: &'a Mapping,
    spec: &'a MacroSpec,
    plan: &'a Plan,
    mapped: Mapped<'a, Exact>,
    plain: Plain,
    found: Vec<i32>,
    active: Vec<u32>,
    groups: Groups,
    first: Result<(), Disagreement>,
}

impl Both<'_> {
    fn compare(
        &mut self,
        matrix: usize,
        position: usize,
        activations: &[u8],
        expected: &[i32],
    ) -> Result<(), Disagreement> {
        self.found.resize(expected.len(), 0);
        self.mapped.multiply(matrix, position, activations, &mut self.found);
        for (column, (&found, &expected)) in self.found.iter().zip(expected).enumerate() {
            if found != expected {
                let matrix = self.network.matrices()[matrix].name.to_owned();
                return Err(Disagreement::Sum { matrix, position, column, found, expected });
            }
        }
        for &tile in self.plan.tiles_at(matrix, position) {
            for plane in 0..self.plan.planes(matrix) {
                self.check_groups(tile, plane, activations)?;
            }
        }
        Ok(())
    }

    fn check_groups(
        &mut self,
        tile: TileId,
        plane: u8,
        activations: &[u8],
    ) -> Result<(), Disagreement> {
        let rows = &self.mapping.tiles[tile.index()].rows;
        let is_on = |logical: &u32| activations[*logical as usize] >> plane & 1 == 1;
        let logical = (0..).zip(rows.logical());
        self.active.clear();
        self.active.extend(logical.filter(|(_, row)| is_on(row)).map(|(index, _)| index));
        self.plan.group(tile, &self.active, &mut self.groups);
        let most = self.spec.rows_per_conversion;
        self.spec
            .input_control
            .check_groups(most, rows.scan(), &self.active, self.groups.iter())
            .map_err(|source| Disagreement::Groups { tile, plane, source })
    }
}

impl Multiply for Both<'_> {
    fn multiply(&mut self, matrix: usize, position: usize, activations: &[u8], sums: &mut [i32]) {
        self.plain.multiply(matrix, position, activations, sums);
        if self.first.is_ok() {
            self.first = self.compare(matrix, position, activations, sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use hafnia_cim::{InputControl, ScanEntry};
    use hafnia_ir::{Stage, random};
    use hafnia_model::random::{Limits, network};

    use super::*;
    use crate::mapped::Grouper;

    /// What [`agree`] says of many mappings whose walk groups rows by `grouper`.
    fn check(grouper: Grouper, expected: &str) {
        let spec = MacroSpec::preset("gt-n40").expect("a preset");
        let spec = MacroSpec { rows: 24, columns: 8, ..spec };
        let mut said = Vec::new();
        for seed in (0..12).map(Seed) {
            let network = network(seed, Limits { side: 6, ..Limits::default() });
            let mapping = random::mapping(seed, &network, &(&spec).into(), Stage::Placed);
            let mut plan = Plan::new(&network, &mapping, &spec).expect("it fits");
            plan.grouper = grouper;
            said.push(match agree_on(&network, &mapping, &spec, seed, &plan) {
                Ok(()) => "nothing".to_owned(),
                Err(Disagreement::Groups { source, .. }) => format!("{source:?}"),
                Err(other) => format!("{other:?}"),
            });
        }
        let is_expected = |said: &String| said.starts_with(expected);
        assert!(said.iter().any(is_expected), "expected {expected}, got {said:?}");
    }

    fn rewritten(
        scan: &[ScanEntry],
        rewrite: impl Fn(u32, ScanEntry) -> ScanEntry,
    ) -> Vec<ScanEntry> {
        (0..).zip(scan).map(|(index, &entry)| rewrite(index, entry)).collect()
    }

    #[test]
    fn the_grouper_itself_is_right() {
        let spec = MacroSpec::preset("gt-n40").expect("a preset");
        for input_control in [
            InputControl::OrderedScan,
            InputControl::FixedGroup,
            InputControl::FixedWindow { window: 16 },
        ] {
            let spec = MacroSpec { rows: 24, columns: 8, input_control, ..spec.clone() };
            for seed in (0..8).map(Seed) {
                let network = network(seed, Limits { side: 6, ..Limits::default() });
                let mapping = random::mapping(seed, &network, &(&spec).into(), Stage::Placed);
                agree(&network, &mapping, &spec, seed).expect("a right mapping");
            }
        }
    }

    #[test]
    fn a_row_too_many_is_caught() {
        check(
            |control, rows, scan, active, groups| {
                control.groups(rows + 1, scan, active, groups);
            },
            "TooLong",
        );
    }

    #[test]
    fn a_group_closed_early_is_caught() {
        check(
            |control, rows, scan, active, groups| {
                control.groups(rows - 1, scan, active, groups);
            },
            "ClosedEarly",
        );
    }

    #[test]
    fn signs_that_share_a_group_are_caught() {
        check(
            |control, rows, scan, active, groups| {
                let scan = rewritten(scan, |_, entry| ScanEntry { negative: false, ..entry });
                control.groups(rows, &scan, active, groups);
            },
            "Sum",
        );
    }

    #[test]
    fn a_word_line_that_is_on_twice_is_caught() {
        check(
            |control, rows, scan, active, groups| {
                let scan = rewritten(scan, |index, entry| ScanEntry { physical: index, ..entry });
                control.groups(rows, &scan, active, groups);
            },
            "RepeatedRow",
        );
    }

    #[test]
    fn entries_left_out_are_caught() {
        check(
            |control, rows, scan, active, groups| {
                control.groups(rows, scan, &active[..active.len().saturating_sub(1)], groups);
            },
            "Sum",
        );
    }
}
