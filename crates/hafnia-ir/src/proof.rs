//! The proof that a mapping computes what the network computes: every weight is rebuilt from what
//! is programmed and compared, bit for bit.
//!
//! What is not programmed has to be without effect. That a dead row is never on follows from
//! intervals: the least and the largest that every activation can be, whatever the input, layer by
//! layer. That a digital column is constant is seen in the network.
//!
//! It is written cell by cell and shares no code with passes or verifier, so that it stays the
//! obvious definition of what a tile means.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hafnia_artifact::Digest;
use hafnia_bits::BitMatrix;
use hafnia_model::arithmetic::{activate, max_pool, window};
use hafnia_model::{Layer, MatrixLayer, Network, Thresholds, Weights};

use crate::{Column, Mapping, MatrixId, RowEntry, TileId, UnfilledCells, WeightName, mappable};

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
    /// The network's weights do not fill the cells of the macro.
    #[error(transparent)]
    UnfilledCells(#[from] UnfilledCells),
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
    /// A matrix has weights of another width.
    #[error(
        "matrix {matrix} ({name}) has weights of {mapping} bits in the mapping, of {network} in the network"
    )]
    WeightBits {
        /// The matrix.
        matrix: MatrixId,
        /// Its name.
        name: String,
        /// Bits of a weight in the mapping.
        mapping: u8,
        /// Bits of a weight in the network.
        network: u8,
    },
    /// A row is declared dead, though some input may turn it on.
    #[error(
        "row {row} of {matrix} ({name}) is declared dead, but its activation may reach {largest}"
    )]
    Live {
        /// The matrix.
        matrix: MatrixId,
        /// Its name.
        name: String,
        /// The row.
        row: u32,
        /// The largest that its activation may be.
        largest: u8,
    },
    /// A column is declared digital, though its weights differ.
    #[error(
        "column {column} of {matrix} ({name}) is declared digital with weights {}, but that of row {row} is {}",
        sign(*declared), sign(!declared)
    )]
    NotConstant {
        /// The matrix.
        matrix: MatrixId,
        /// Its name.
        name: String,
        /// The column.
        column: u32,
        /// The first row that is not dead and has another weight.
        row: usize,
        /// The weights that it is declared to have: true is +1.
        declared: bool,
    },
    /// A row is declared dead, or a column digital, that does not exist.
    #[error("{matrix} ({name}) declares that its {what} {index} takes no cells, and has {count}")]
    NotThere {
        /// The matrix.
        matrix: MatrixId,
        /// Its name.
        name: String,
        /// `row` or `column`.
        what: &'static str,
        /// Its number.
        index: u32,
        /// How many there are.
        count: usize,
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
    /// A weight is held that is in a dead row or a digital column.
    #[error("tile {tile} holds {weight}, which is declared to take no cells")]
    Stripped {
        /// The tile.
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
/// network's: every weight exactly once per replica, and right; but for those of dead rows and digital
/// columns, which are proved to need no cell and must be in no tile.
///
/// Takes any mapping, verified or not.
///
/// # Errors
/// The first difference, tiles in the order of their ids.
pub fn prove(mapping: &Mapping, network: &Network) -> Result<(), ProofError> {
    prove_matrices(mapping, network)?;
    let cell_bits = mapping.geometry.cell_bits;
    let slices = |layer: &MatrixLayer<'_>| mappable(layer, cell_bits).map(Cow::into_owned);
    let weights: Vec<BitMatrix> =
        network.matrices().iter().map(slices).collect::<Result<_, _>>()?;
    prove_stripped(mapping, network, &weights)?;
    // At first, the weights that no tile may hold.
    let nothing = |matrix: MatrixId| {
        let of = &mapping.matrices[matrix.index()];
        let mut met = vec![vec![false; of.columns]; of.rows];
        of.dead.iter().for_each(|&row| met[row as usize].fill(true));
        for column in &of.digital {
            met.iter_mut().for_each(|row| row[column.logical as usize] = true);
        }
        met
    };

    // Which weights were met, of every replica that is there; the first has to be.
    let mut met: BTreeMap<(MatrixId, u32), Vec<Vec<bool>>> = (0..weights.len() as u32)
        .map(|matrix| ((MatrixId(matrix), 0), nothing(MatrixId(matrix))))
        .collect();
    for (id, tile) in mapping.tiles() {
        let Some(weights) = weights.get(tile.matrix.index()) else {
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
        let (mapping, network) = (of.weight_bits, layer.weights.bits());
        if mapping != network {
            return Err(ProofError::WeightBits { matrix, name, mapping, network });
        }
        let (columns, bits) = (layer.weights.columns(), usize::from(network));
        let (mapping, network) = ((of.rows, of.columns), (layer.weights.rows(), columns * bits));
        if mapping != network {
            return Err(ProofError::Size { matrix, name, mapping, network });
        }
    }
    Ok(())
}

/// Dead rows are dead, and digital columns constant.
fn prove_stripped(
    mapping: &Mapping,
    network: &Network,
    weights: &[BitMatrix],
) -> Result<(), ProofError> {
    if mapping.matrices.iter().all(|of| of.dead.is_empty() && of.digital.is_empty()) {
        return Ok(());
    }
    let largest = largest_activations(network);
    for (index, (of, largest)) in mapping.matrices.iter().zip(&largest).enumerate() {
        let (matrix, name, weights) = (MatrixId(index as u32), || of.name.clone(), &weights[index]);
        for &row in &of.dead {
            match largest.get(row as usize) {
                Some(0) => {}
                Some(&largest) => {
                    return Err(ProofError::Live { matrix, name: name(), row, largest });
                }
                None => {
                    let (what, index, count) = ("row", row, of.rows);
                    return Err(ProofError::NotThere { matrix, name: name(), what, index, count });
                }
            }
        }
        for column in &of.digital {
            let (column, declared) = (column.logical, !column.negative);
            if column as usize >= of.columns {
                let (what, index, count) = ("column", column, of.columns);
                return Err(ProofError::NotThere { matrix, name: name(), what, index, count });
            }
            let is_other = |&row: &usize| {
                let is_dead = of.dead.contains(&(row as u32));
                !is_dead && weights.get(row, column as usize) != declared
            };
            if let Some(row) = (0..of.rows).find(is_other) {
                let name = name();
                return Err(ProofError::NotConstant { matrix, name, column, row, declared });
            }
        }
    }
    Ok(())
}

/// The largest activation that an input can give to each row of each matrix.
pub(crate) fn largest_activations(network: &Network) -> Vec<Vec<u8>> {
    let most = network.input().largest();
    let pixels = network.shape_before(0).len();
    // The least and the largest that every activation may be, (channel, y, x).
    let (mut lo, mut hi) = (vec![0; pixels], vec![most; pixels]);
    let mut rows = Vec::new();
    for (index, layer) in network.layers().iter().enumerate() {
        let (shape, out) = (network.shape_before(index), network.shape_before(index + 1));
        match layer {
            Layer::Conv(conv) => {
                let mut largest = vec![0; conv.weights.rows()];
                let (mut next_lo, mut next_hi) = (vec![0; out.len()], vec![0; out.len()]);
                let (mut window_lo, mut window_hi) = (Vec::new(), Vec::new());
                let positions = out.height * out.width;
                for position in 0..positions {
                    let at = (position / out.width, position % out.width);
                    window(conv, shape, &lo, at, &mut window_lo);
                    window(conv, shape, &hi, at, &mut window_hi);
                    for (largest, &hi) in largest.iter_mut().zip(&window_hi) {
                        *largest = hi.max(*largest);
                    }
                    let bounds =
                        bounds(&conv.weights, conv.thresholds.as_ref(), &window_lo, &window_hi);
                    for (channel, (lo, hi)) in bounds.into_iter().enumerate() {
                        next_lo[channel * positions + position] = lo;
                        next_hi[channel * positions + position] = hi;
                    }
                }
                rows.push(largest);
                (lo, hi) = (next_lo, next_hi);
            }
            Layer::Linear(linear) => {
                let bounds = bounds(&linear.weights, linear.thresholds.as_ref(), &lo, &hi);
                rows.push(hi);
                (lo, hi) = bounds.into_iter().unzip();
            }
            Layer::MaxPool { size } => {
                (lo, hi) = (max_pool(&lo, shape, *size), max_pool(&hi, shape, *size));
            }
            Layer::Flatten => {}
        }
    }
    rows
}

/// The least and the largest activation of every column; nothing after the last layer.
fn bounds(
    weights: &Weights,
    thresholds: Option<&Thresholds>,
    lo: &[u8],
    hi: &[u8],
) -> Vec<(u8, u8)> {
    let Some(thresholds) = thresholds else { return Vec::new() };
    let bound = |column: usize| {
        let (mut least, mut largest) = (0, 0);
        for row in 0..weights.rows() {
            let products = [lo[row], hi[row]].map(|a| weights.value(row, column) * i32::from(a));
            least += products[0].min(products[1]);
            largest += products[0].max(products[1]);
        }
        let thresholds = thresholds.channel(column);
        (activate(least, thresholds), activate(largest, thresholds))
    };
    (0..weights.columns()).map(bound).collect()
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
                let of = &mapping.matrices[matrix.index()];
                let is_digital = of.digital.iter().any(|digital| digital.logical == column);
                let (tile, weight) = (id, weight());
                return Err(if is_digital || of.dead.contains(&row) {
                    ProofError::Stripped { tile, weight }
                } else {
                    ProofError::Again { tile, weight }
                });
            }
            let expected = weights.get(r, c);
            if tile.bits.get(p, index) ^ negative ^ inverted != expected {
                return Err(ProofError::Weight { tile: id, weight: weight(), expected });
            }
        }
    }
    Ok(())
}
