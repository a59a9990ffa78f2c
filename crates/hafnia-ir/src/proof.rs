//! The proof that a mapping computes what the network computes: every weight is rebuilt from what
//! is programmed and compared, bit for bit.
//!
//! It is written cell by cell and shares no code with passes or verifier, so that it stays the
//! obvious definition of what a tile means.

use std::collections::BTreeMap;

use hafnia_artifact::Digest;
use hafnia_bits::BitMatrix;
use hafnia_model::Network;

use crate::{Column, Mapping, MatrixId, RowEntry, TileId, WeightName, WideWeights, mappable};

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
    /// The network's weights are wider than those of any mapping.
    #[error(transparent)]
    WideWeights(#[from] WideWeights),
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
    /// A tile is of a matrix that does not exist.
    #[error("tile {tile} is of matrix {matrix}, which does not exist")]
    UnknownMatrix {
        /// The tile.
        tile: TileId,
        /// The matrix it names.
        matrix: MatrixId,
    },
    /// A tile stands for a weight, or uses a cell, that does not exist.
    #[error(
        "tile {tile} takes cell ({physical}, {index}) for weight ({row}, {column}) of {matrix}, \
         and one of them does not exist"
    )]
    Outside {
        /// The tile.
        tile: TileId,
        /// Physical row within the tile.
        physical: u32,
        /// Column within the tile.
        index: usize,
        /// Its matrix.
        matrix: MatrixId,
        /// Logical row.
        row: u32,
        /// Logical column.
        column: u32,
    },
    /// A weight is held twice.
    #[error("tile {tile} holds {weight} again")]
    Again {
        /// The second tile.
        tile: TileId,
        /// The weight.
        weight: WeightName,
    },
    /// A weight is programmed as its opposite.
    #[error("tile {tile} holds {weight} as {}, not {}", sign(!expected), sign(*expected))]
    Weight {
        /// The tile.
        tile: TileId,
        /// The weight.
        weight: WeightName,
        /// What it is in the network: true is +1.
        expected: bool,
    },
    /// A weight is held by no tile.
    #[error("no tile holds {0}")]
    Missing(WeightName),
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
    prove_matrices(mapping, network)?;
    let weights: Vec<&BitMatrix> =
        network.matrices().iter().map(mappable).collect::<Result<_, _>>()?;
    let nothing = |matrix: MatrixId| {
        let of = weights[matrix.index()];
        vec![vec![false; of.columns()]; of.rows()]
    };

    // Which weights were met, of every replica that is there; the first has to be.
    let mut met: BTreeMap<(MatrixId, u32), Vec<Vec<bool>>> = (0..weights.len() as u32)
        .map(|matrix| ((MatrixId(matrix), 0), nothing(MatrixId(matrix))))
        .collect();
    for (id, tile) in mapping.tiles() {
        let Some(&weights) = weights.get(tile.matrix.index()) else {
            return Err(ProofError::UnknownMatrix { tile: id, matrix: tile.matrix });
        };
        let key = (tile.matrix, tile.replica);
        let met = met.entry(key).or_insert_with(|| nothing(tile.matrix));
        prove_tile(mapping, id, weights, met)?;
    }
    for ((matrix, replica), met) in met {
        for (row, met) in met.iter().enumerate() {
            if let Some(column) = met.iter().position(|met| !met) {
                let weight = mapping.weight_name(matrix, replica, row, column);
                return Err(ProofError::Missing(weight));
            }
        }
    }
    Ok(())
}

/// Network, names and sizes.
fn prove_matrices(mapping: &Mapping, network: &Network) -> Result<(), ProofError> {
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
    Ok(())
}

/// Every weight that a tile stands for; those that it holds are added to `met`.
fn prove_tile(
    mapping: &Mapping,
    id: TileId,
    weights: &BitMatrix,
    met: &mut [Vec<bool>],
) -> Result<(), ProofError> {
    let tile = &mapping.tiles[id.index()];
    for RowEntry { logical: row, physical, negative } in tile.rows.iter() {
        for (index, &Column { logical: column, inverted }) in tile.columns.iter().enumerate() {
            let matrix = tile.matrix;
            let (r, c, p) = (row as usize, column as usize, physical as usize);
            let is_weight = r < weights.rows() && c < weights.columns();
            let is_cell = p < tile.bits.rows() && index < tile.bits.columns();
            if !is_weight || !is_cell {
                return Err(ProofError::Outside { tile: id, physical, index, matrix, row, column });
            }
            let weight = || mapping.weight_name(matrix, tile.replica, r, c);
            if std::mem::replace(&mut met[r][c], true) {
                return Err(ProofError::Again { tile: id, weight: weight() });
            }
            let expected = weights.get(r, c);
            if tile.bits.get(p, index) ^ negative ^ inverted != expected {
                return Err(ProofError::Weight { tile: id, weight: weight(), expected });
            }
        }
    }
    Ok(())
}
