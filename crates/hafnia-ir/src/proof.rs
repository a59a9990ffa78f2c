//! The proof that a mapping computes what the network computes: every weight is rebuilt from what
//! is programmed and compared, bit for bit.
//!
//! What is not programmed has to be without effect: a dead row is never on, by intervals
//! ([`largest_levels`]).
//!
//! It is written cell by cell and shares no code with passes or verifier, so that it stays the
//! obvious definition of what a tile means.

use std::collections::BTreeMap;

use hafnia_model::{BitMatrix, MatrixLayer, Network, largest_levels};

use crate::mapping::{Column, Mapping, Matrix, MatrixId, RowEntry, Tile, TileId};
use crate::rules::{Faults, Location, Rule, Violations};

/// Rebuilds every matrix from programmed bits, row tables and polarities and compares it with the
/// network's: every weight exactly once per replica, and right; but for those of dead rows, which are
/// proved to be never on and must be in no tile.
///
/// Takes any mapping, verified or not.
///
/// # Errors
/// The violations of the first of [`Rule::Network`], [`Rule::Needless`] and [`Rule::Weights`] that
/// is broken, tiles in the order of their ids.
pub fn prove(mapping: &Mapping, network: &Network) -> Result<(), Violations> {
    prove_matrices(mapping, network)?;
    let faults = &mut Faults::new(mapping);
    let bits = |(of, layer): (&Matrix, MatrixLayer<'_>)| {
        of.coding.bits_of(layer.weights).expect("all weights have codes")
    };
    let weights: Vec<BitMatrix> =
        mapping.matrices.iter().zip(network.matrices()).map(bits).collect();
    prove_dead(faults, network);
    faults.check()?;
    // At first, the weights that no tile may hold.
    let nothing = |matrix: MatrixId| {
        let of = &mapping.matrices[matrix.index()];
        let mut met = vec![vec![false; of.columns]; of.rows];
        of.dead.iter().for_each(|&row| met[row as usize].fill(true));
        met
    };

    // Which weights were met, of every replica that is there; the first has to be.
    let mut met: BTreeMap<(MatrixId, u32), Vec<Vec<bool>>> =
        mapping.matrices().map(|(matrix, _)| ((matrix, 0), nothing(matrix))).collect();
    for (id, tile) in mapping.tiles() {
        let Some(weights) = weights.get(tile.matrix.index()) else {
            let at = Location::tile(id, tile.matrix);
            faults.note(Rule::Weights, at, format_args!("its matrix does not exist"));
            continue;
        };
        let key = (tile.matrix, tile.replica);
        let met = met.entry(key).or_insert_with(|| nothing(tile.matrix));
        prove_tile(faults, id, tile, weights, met);
    }
    for ((matrix, replica), met) in met {
        for (row, met) in met.iter().enumerate() {
            if let Some(column) = met.iter().position(|met| !met) {
                let weight = mapping.matrices[matrix.index()].weight(replica, row, column);
                let fault = format_args!("no tile holds {weight}");
                faults.note(Rule::Weights, Location::matrix(matrix), fault);
                break;
            }
        }
    }
    faults.check()
}

/// Checks [`Rule::Network`]: that a mapping is of a network, whatever its tiles hold.
///
/// # Errors
/// The differences.
pub fn prove_matrices(mapping: &Mapping, network: &Network) -> Result<(), Violations> {
    let faults = &mut Faults::new(mapping);
    let (digest, layers) = (network.digest(), network.matrices());
    let (matrices, expected) = (mapping.matrices.len(), layers.len());
    if mapping.network != digest {
        let fault = format_args!("it is of network {}, not of {digest}", mapping.network);
        faults.note(Rule::Network, Location::default(), fault);
    }
    faults.check()?;
    if matrices != expected {
        let fault = format_args!("it has {matrices} matrices, the network has {expected}");
        faults.note(Rule::Network, Location::default(), fault);
    }
    for ((matrix, of), layer) in mapping.matrices().zip(&layers) {
        let at = Location::matrix(matrix);
        let name = &of.name;
        if *name != layer.name {
            let fault = format_args!("it is `{name}`, in the network `{}`", layer.name);
            faults.note(Rule::Network, at, fault);
        }
        let (rows, outputs) = (layer.weights.rows(), layer.weights.columns());
        let columns = outputs * of.coding.slices();
        if (of.rows, of.columns) != (rows, columns) {
            let fault = format_args!(
                "`{name}` is {}x{}, in the network {rows}x{outputs}, which takes {rows}x{columns}",
                of.rows, of.columns
            );
            faults.note(Rule::Network, at, fault);
        }
        if let Some(weight) = of.coding.uncoded(layer.weights) {
            let coding = &of.coding;
            let fault =
                format_args!("`{name}` has weight {weight}, for which {coding} has no code");
            faults.note(Rule::Network, at, fault);
        }
        if let Some(coding) = &of.inputs {
            let mut reached = layer.lowest..=layer.lowest + i32::from(layer.largest);
            let codes = coding.codes();
            if let Some(activation) = reached.find(|&activation| codes.of(activation).is_none()) {
                let fault = format_args!(
                    "activation {activation} may reach `{name}`, for which {coding} has no code"
                );
                faults.note(Rule::Network, at, fault);
            }
        }
    }
    faults.check()
}

/// Dead rows are dead.
fn prove_dead(faults: &mut Faults<'_>, network: &Network) {
    let mapping = faults.mapping;
    if mapping.matrices.iter().all(|of| of.dead.is_empty()) {
        return;
    }
    for ((matrix, of), largest) in mapping.matrices().zip(largest_levels(network)) {
        let (at, name) = (Location::matrix(matrix), &of.name);
        for &row in &of.dead {
            let fault = match largest.get(row as usize) {
                Some(0) => continue,
                Some(largest) => format!("its level may reach {largest}"),
                None => format!("there are {}", of.rows),
            };
            let fault = format_args!("row {row} of `{name}` is declared dead, but {fault}");
            faults.note(Rule::Needless, at, fault);
        }
    }
}

/// Every weight that a tile stands for; those that it holds are added to `met`. Of an entry only the
/// first fault is noted.
fn prove_tile(
    faults: &mut Faults<'_>,
    id: TileId,
    tile: &Tile,
    weights: &BitMatrix,
    met: &mut [Vec<bool>],
) {
    let of = &faults.mapping.matrices[tile.matrix.index()];
    for (entry, row) in tile.rows.iter().enumerate() {
        let RowEntry { logical: row, physical, negative } = row;
        let mut first = None;
        for (index, &Column { logical: column, inverted }) in tile.columns.iter().enumerate() {
            let (r, c, p) = (row as usize, column as usize, physical as usize);
            let is_weight = r < weights.rows() && c < weights.columns();
            let is_cell = p < tile.bits.rows() && index < tile.bits.columns();
            let fault = if !is_weight || !is_cell {
                "of which one does not exist"
            } else if std::mem::replace(&mut met[r][c], true) {
                match of.dead.contains(&row) {
                    true => "whose row is declared dead",
                    false => "which was held before",
                }
            } else {
                match (tile.bits.get(p, index) ^ negative ^ inverted, weights.get(r, c)) {
                    (true, false) => "but as 1, not 0",
                    (false, true) => "but as 0, not 1",
                    _ => continue,
                }
            };
            first.get_or_insert((index, column, fault));
        }
        if let Some((index, column, fault)) = first {
            let at = Location::tile(id, tile.matrix).entry(entry).column(index);
            let weight = of.weight(tile.replica, row as usize, column as usize);
            let fault = format_args!("cell ({physical}, {index}) holds {weight}, {fault}");
            faults.note(Rule::Weights, at, fault);
        }
    }
}
