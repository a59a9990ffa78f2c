//! The proof that a mapping computes what the network computes: every weight is rebuilt from what
//! is programmed and compared, bit for bit.
//!
//! It is written cell by cell and shares no code with passes or verifier, so that it stays the
//! obvious definition of what a tile means.

use std::collections::BTreeMap;

use hafnia_artifact::Digest;
use hafnia_bits::BitMatrix;
use hafnia_model::Network;

use crate::{Mapping, MatrixId, RowEntry, TileId};

/// How a mapping differs from the network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The mapping was made for another network.
    #[error("mapping made for another network: for {mapping}, not {network}")]
    Network {
        /// Digest in the mapping.
        mapping: Digest,
        /// Digest of the network.
        network: Digest,
    },
    /// The mapping has another number of matrices.
    #[error("mapping has {mapping} matrices, the network has {network}")]
    MatrixCount {
        /// Matrices of the mapping.
        mapping: usize,
        /// Matrices of the network.
        network: usize,
    },
    /// A matrix has another name.
    #[error("matrix {matrix} is `{mapping}` in the mapping, `{network}` in the network")]
    Name {
        /// The matrix.
        matrix: MatrixId,
        /// Its name in the mapping.
        mapping: String,
        /// Its name in the network.
        network: String,
    },
    /// A matrix has another size.
    #[error(
        "matrix {matrix} ({name}) is {}x{} in the mapping, {}x{} in the network",
        mapping.0, mapping.1, network.0, network.1
    )]
    Size {
        /// The matrix.
        matrix: MatrixId,
        /// Its name.
        name: String,
        /// (rows, columns) in the mapping.
        mapping: (usize, usize),
        /// (rows, columns) in the network.
        network: (usize, usize),
    },
    /// A tile stands for a weight, or uses a cell, that does not exist.
    #[error(
        "tile {tile} puts weight ({row}, {column}) of {matrix} into cell ({physical}, {cell_column}), \
         which does not exist"
    )]
    Outside {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// Logical row.
        row: u32,
        /// Logical column.
        column: u32,
        /// Physical row within the tile.
        physical: u32,
        /// Column within the tile.
        cell_column: usize,
    },
    /// A weight is held twice in one replica.
    #[error("tile {tile} holds weight ({row}, {column}) of {matrix} ({name}), replica {replica}, again")]
    Again {
        /// The second tile.
        tile: TileId,
        /// The matrix.
        matrix: MatrixId,
        /// Its name.
        name: String,
        /// The replica.
        replica: u32,
        /// Logical row.
        row: u32,
        /// Logical column.
        column: u32,
    },
    /// A weight is held by no tile of a replica.
    #[error("no tile holds weight ({row}, {column}) of {matrix} ({name}), replica {replica}")]
    Missing {
        /// The matrix.
        matrix: MatrixId,
        /// Its name.
        name: String,
        /// The replica.
        replica: u32,
        /// Logical row.
        row: usize,
        /// Logical column.
        column: usize,
    },
    /// A weight is programmed as its opposite.
    #[error(
        "tile {tile} gives weight ({row}, {column}) of {matrix} ({name}), replica {replica}, as {}, not {}",
        sign(!expected),
        sign(*expected)
    )]
    Weight {
        /// The tile.
        tile: TileId,
        /// The matrix.
        matrix: MatrixId,
        /// Its name.
        name: String,
        /// The replica.
        replica: u32,
        /// Logical row.
        row: u32,
        /// Logical column.
        column: u32,
        /// The network's weight: true is +1.
        expected: bool,
    },
}

fn sign(bit: bool) -> &'static str {
    if bit { "+1" } else { "-1" }
}

/// Rebuilds every matrix from programmed bits, row tables and polarities and compares it with the
/// network's: every weight exactly once per replica, and right.
///
/// Takes any mapping, verified or not.
///
/// # Errors
/// The first difference, tiles in the order of their ids.
pub fn prove(mapping: &Mapping, network: &Network) -> Result<(), ProofError> {
    let digest = network.digest();
    if mapping.network != digest {
        return Err(ProofError::Network { mapping: mapping.network, network: digest });
    }
    let layers = network.matrices();
    if mapping.matrices.len() != layers.len() {
        let (mapping, network) = (mapping.matrices.len(), layers.len());
        return Err(ProofError::MatrixCount { mapping, network });
    }
    for (index, (of, layer)) in mapping.matrices.iter().zip(&layers).enumerate() {
        let (matrix, name) = (MatrixId(index as u32), of.name.clone());
        if name != layer.name {
            return Err(ProofError::Name { matrix, mapping: name, network: layer.name.to_owned() });
        }
        let mapping = (of.rows, of.columns);
        let network = (layer.weights.rows(), layer.weights.columns());
        if mapping != network {
            return Err(ProofError::Size { matrix, name, mapping, network });
        }
    }

    // Which weights were met, of every replica that is there; replica 0 has to be.
    let zeros = |matrix: usize| {
        BitMatrix::zeros(mapping.matrices[matrix].rows, mapping.matrices[matrix].columns)
    };
    let mut met: BTreeMap<(usize, u32), BitMatrix> =
        (0..layers.len()).map(|matrix| ((matrix, 0), zeros(matrix))).collect();
    for (id, tile) in mapping.tiles() {
        let (matrix, replica) = (tile.matrix, tile.replica);
        for RowEntry { logical: row, physical, negative } in tile.rows.iter() {
            for (cell_column, column) in tile.columns.iter().enumerate() {
                let (inverted, column) = (column.inverted, column.logical);
                let exists = layers.get(matrix.index()).is_some_and(|layer| {
                    (row as usize) < layer.weights.rows()
                        && (column as usize) < layer.weights.columns()
                        && (physical as usize) < tile.bits.rows()
                        && cell_column < tile.bits.columns()
                });
                if !exists {
                    let (tile, matrix) = (id, matrix);
                    return Err(ProofError::Outside {
                        tile, matrix, row, column, physical, cell_column,
                    });
                }
                let name = || mapping.matrices[matrix.index()].name.clone();
                let (r, c) = (row as usize, column as usize);
                let met = met
                    .entry((matrix.index(), replica))
                    .or_insert_with(|| zeros(matrix.index()));
                if met.get(r, c) {
                    let (tile, name) = (id, name());
                    return Err(ProofError::Again { tile, matrix, name, replica, row, column });
                }
                met.set(r, c, true);
                let weight = tile.bits.get(physical as usize, cell_column) ^ negative ^ inverted;
                let expected = layers[matrix.index()].weights.get(r, c);
                if weight != expected {
                    let (tile, name) = (id, name());
                    return Err(ProofError::Weight {
                        tile, matrix, name, replica, row, column, expected,
                    });
                }
            }
        }
    }
    for ((matrix, replica), met) in met {
        let mut weights =
            (0..met.rows()).flat_map(|row| (0..met.columns()).map(move |column| (row, column)));
        if let Some((row, column)) = weights.find(|&(row, column)| !met.get(row, column)) {
            let name = mapping.matrices[matrix].name.clone();
            let matrix = MatrixId(matrix as u32);
            return Err(ProofError::Missing { matrix, name, replica, row, column });
        }
    }
    Ok(())
}
