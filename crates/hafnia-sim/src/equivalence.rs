//! [`check_equivalence`]: does a mapped network compute what the network computes?

use hafnia_cim::{GroupFault, Groups, MacroSpec};
use hafnia_ir::{Lines, Mapping, Planes, Tile, TileId};
use hafnia_model::{Multiply, Network, ReferenceProduct, run};
use hafnia_rng::Seed;
use rand::RngExt;
use rayon::prelude::*;

use crate::engine::Exact;
use crate::error::SimError;
use crate::mapped::{Mapped, Plan};

/// Where a mapped network and the network part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Disagreement {
    /// The mapping cannot be run at all.
    #[error(transparent)]
    Unfit(#[from] SimError),
    /// An output of a matrix gives another sum.
    #[error(
        "matrix `{matrix}`, position {position}, column {column}: the mapping gives {found}, the network {expected}"
    )]
    Sum {
        /// Name of the layer.
        matrix: String,
        /// Output position.
        position: usize,
        /// The output: the logical column, where weights have 1 bit.
        column: usize,
        /// The sum of the mapped matrix.
        found: i32,
        /// The sum of the network's matrix.
        expected: i32,
    },
    /// A row that is declared dead, so that no tile holds it, is on.
    #[error("matrix `{matrix}`, position {position}: dead row {row} has activation {activation}")]
    Dead {
        /// Name of the layer.
        matrix: String,
        /// Output position.
        position: usize,
        /// Logical row.
        row: u32,
        /// Its activation.
        activation: u8,
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
/// matrices from an image is rarely extreme; rows declared dead are 0 in them, and must be 0 whatever
/// the image. All sums must be equal, and every group must follow the rules of the input control. What the ADC clips is the loss of the spec, not of the mapping:
/// under a spec that is lossy the comparison takes an ADC that is wide enough.
///
/// # Errors
/// The first [`Disagreement`] found.
pub fn check_equivalence(
    network: &Network,
    mapping: &Mapping,
    spec: &MacroSpec,
    seed: Seed,
) -> Result<(), Disagreement> {
    check_plan_of(network, mapping, spec, seed, &Plan::new(network, mapping, spec)?)
}

/// As [`check_equivalence`], for the plan of the mapping; tests plant faults in it.
fn check_plan_of(
    network: &Network,
    mapping: &Mapping,
    spec: &MacroSpec,
    seed: Seed,
    plan: &Plan,
) -> Result<(), Disagreement> {
    let most = spec.rows_per_conversion * spec.cell.top_level();
    let wide_enough = most.max(spec.adc.max_code()) as u16;
    let layers = network.matrices();
    let lines = |tile: &Tile| {
        let (lines, matrix) = (tile.lines(), tile.matrix.index());
        let planes = tile.planes(&lines, &mapping.matrices[matrix], &layers[matrix]);
        (lines, planes)
    };
    let lines: Vec<(Lines, Planes)> = mapping.tiles.iter().map(lines).collect();
    let both = || Both {
        network,
        mapping,
        lines: &lines,
        spec,
        plan,
        mapped: Mapped::new(plan, Exact { max_code: wide_enough }),
        plain: ReferenceProduct::new(network),
        found: Vec::new(),
        active: Vec::new(),
        sums: Vec::new(),
        groups: Groups::default(),
        first: Ok(()),
    };
    let (images, vectors) = (seed.site("agree/images"), seed.site("agree/vectors"));
    let compare = |both: &mut Both<'_>, index: u64| {
        let pixels = network.shape_before(0).len();
        run(network, &input(images, index, pixels, network.input().levels()), both);
        for (matrix, layer) in layers.iter().enumerate() {
            let vectors = vectors.index(matrix as u64);
            let mut activations = input(vectors, index, layer.weights.rows(), layer.largest);
            for &row in &mapping.matrices[matrix].dead {
                activations[row as usize] = 0;
            }
            let mut sums = vec![0; layer.weights.columns()];
            for position in 0..plan.replicas(matrix) {
                both.multiply(matrix, position, &activations, &mut sums);
            }
        }
        std::mem::replace(&mut both.first, Ok(()))
    };
    let inputs = (0..INPUTS).into_par_iter();
    inputs.map_init(both, compare).find_first(Result::is_err).unwrap_or(Ok(()))
}

/// Input number `index` of a kind that goes round: none, all, one, sparse, dense.
fn input(seed: Seed, index: u64, len: usize, max: u8) -> Vec<u8> {
    let rng = &mut seed.index(index).rng();
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
    /// The lines of every tile and their bit-planes.
    lines: &'a [(Lines, Planes)],
    spec: &'a MacroSpec,
    plan: &'a Plan,
    mapped: Mapped<'a, Exact>,
    plain: ReferenceProduct,
    found: Vec<i32>,
    active: Vec<u32>,
    sums: Vec<u32>,
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
        if let Some(&row) =
            self.mapping.matrices[matrix].dead.iter().find(|row| activations[**row as usize] > 0)
        {
            let activation = activations[row as usize];
            let matrix = self.network.matrices()[matrix].name.to_owned();
            return Err(Disagreement::Dead { matrix, position, row, activation });
        }
        self.found.resize(expected.len(), 0);
        self.mapped.multiply(matrix, position, activations, &mut self.found);
        for (column, (&found, &expected)) in self.found.iter().zip(expected).enumerate() {
            if found != expected {
                let matrix = self.network.matrices()[matrix].name.to_owned();
                return Err(Disagreement::Sum { matrix, position, column, found, expected });
            }
        }
        let plan = self.plan;
        for &tile in plan.tiles_at(matrix, position) {
            self.check_groups(tile, activations)?;
        }
        Ok(())
    }

    fn check_groups(&mut self, tile: TileId, activations: &[u8]) -> Result<(), Disagreement> {
        let (lines, planes) = &self.lines[tile.index()];
        self.sums.resize(lines.scan.len(), 0);
        lines.add_up(&self.mapping.tiles[tile.index()].rows, activations, &mut self.sums);
        for plane in 0..planes.factors().len() as u8 {
            let is_on = |(_, sum): &(u32, &u32)| planes.code(**sum) >> plane & 1 == 1;
            self.active.clear();
            self.active.extend((0..).zip(&self.sums).filter(is_on).map(|(line, _)| line));
            self.plan.group(tile, &self.active, &mut self.groups);
            let most = self.spec.rows_per_conversion;
            self.spec
                .input_control
                .check_groups(most, &lines.scan, &self.active, self.groups.iter())
                .map_err(|source| Disagreement::Groups { tile, plane, source })?;
        }
        Ok(())
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
    use crate::mapped::{Grouper, TilePlan};

    /// What [`check_equivalence`] says of many mappings whose walk groups rows by `grouper`.
    fn check(grouper: Grouper, expected: &str) {
        check_plan(|plan| plan.grouper = grouper, expected);
    }

    /// What [`check_equivalence`] says of many mappings with a fault in their plan.
    fn check_plan(plant: impl Fn(&mut Plan), expected: &str) {
        let spec = MacroSpec::preset("gt-n40").expect("a preset");
        let spec = MacroSpec { rows: 24, columns: 8, ..spec };
        let mut said = Vec::new();
        for seed in (0..12).map(Seed) {
            let network = network(seed, Limits { side: 6, ..Limits::default() });
            let mapping = random::mapping(seed, &network, &(&spec).into(), Stage::Placed);
            let mut plan = Plan::new(&network, &mapping, &spec).expect("it fits");
            plant(&mut plan);
            said.push(match check_plan_of(&network, &mapping, &spec, seed, &plan) {
                Ok(()) => "nothing".to_owned(),
                Err(Disagreement::Groups { source, .. }) => source.to_string(),
                Err(other) => format!("{other:?}"),
            });
        }
        let is_expected = |said: &String| said.contains(expected);
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
                check_equivalence(&network, &mapping, &spec, seed).expect("a right mapping");
            }
        }
    }

    #[test]
    fn a_row_too_many_is_caught() {
        check(
            |control, rows, scan, active, groups| {
                control.groups(rows + 1, scan, active, groups);
            },
            "turns on 8 rows, at most 7 may be",
        );
    }

    #[test]
    fn a_group_closed_early_is_caught() {
        check(
            |control, rows, scan, active, groups| {
                control.groups(rows - 1, scan, active, groups);
            },
            "closes before active entry",
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
            "turns on physical row",
        );
    }

    #[test]
    fn activations_that_are_not_added_first_are_caught() {
        let forget = |plan: &mut Plan| {
            for tile in &mut plan.tiles {
                let scan = tile.rows.scan().to_vec();
                tile.lines = Lines { of_entries: (0..scan.len() as u32).collect(), scan };
            }
        };
        check_plan(forget, "closes before active entry");
    }

    #[test]
    fn a_bit_of_a_sum_left_out_is_caught() {
        let fewer = |tile: &TilePlan| tile.planes.factors().len() as u8 - 1;
        let cut = |tile: &mut TilePlan| tile.planes = Planes::of_levels(fewer(tile));
        let cut = |plan: &mut Plan| plan.tiles.iter_mut().for_each(cut);
        check_plan(cut, "Sum");
    }

    #[test]
    fn a_row_that_is_not_dead_is_caught() {
        let spec = MacroSpec::preset("gt-n40").expect("a preset");
        let network = network(Seed(1), Limits::default());
        let mut mapping = Mapping::logical(&network, &spec);
        let tile = &mut mapping.tiles[0];
        let others: Vec<usize> = (1..tile.rows.len()).collect();
        *tile = tile.with_entries(&others);
        mapping.matrices[0].dead = vec![0];
        let said = check_equivalence(&network, &mapping, &spec, Seed(1)).expect_err("row 0 is on");
        assert!(matches!(said, Disagreement::Dead { row: 0, .. }), "{said:?}");
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
