//! Random mappings for tests and benchmarks: right, and as unlike what passes make as the rules
//! allow.
//!
//! They let engines and passes be tested against every feature of a tile, none of which needs a
//! pass: shared rows, activations added first, signs, inverted columns, any order, uneven splits,
//! replicas, dead rows, codings of weights and inputs, and cells of two bits.

use std::collections::BTreeMap;

use hafnia_model::{BitMatrix, Network, Weights, largest_levels};
use hafnia_rng::{ChaCha8Rng, Seed};
use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::coding::{Coding, CodingKind};
use crate::mapping::{
    Column, Geometry, Mapping, Matrix, MatrixId, Place, RowEntry, RowTable, Stage, Tile,
};
use crate::planes::Planes;

/// A random mapping of `network` at `stage` that [`verify`](crate::verify) and
/// [`prove`](crate::prove) accept.
///
/// # Panics
/// If the macro has no cells, or cells of more than 2 bits.
pub fn mapping(seed: Seed, network: &Network, geometry: &Geometry, stage: Stage) -> Mapping {
    let rng = &mut seed.site("ir/random/mapping").rng();
    let of_inputs = &mut seed.site("ir/random/inputs").rng();
    let mut mapping = Mapping {
        stage,
        network: network.digest(),
        geometry: geometry.clone(),
        matrices: Vec::new(),
        tiles: Vec::new(),
    };
    let largest = largest_levels(network);
    for (index, layer) in network.matrices().into_iter().enumerate() {
        let coding = coding(rng, layer.weights, geometry.cell_bits);
        let weights = &coding.bits_of(layer.weights).expect("chosen to hold these weights");
        let outputs = layer.weights.columns();
        let mut matrix = Matrix::coded(layer.name, weights.rows(), outputs, coding);
        matrix.inputs = inputs(of_inputs, (layer.lowest, layer.lowest + i32::from(layer.largest)));
        let cell = usize::from(geometry.cell_bits);
        if rng.random() {
            strip(rng, &mut matrix, &largest[index]);
        }
        let replicas = if rng.random_ratio(1, 4) { 2 } else { 1 };
        for replica in 0..replicas {
            let blocks = match stage {
                Stage::Logical => {
                    let (rows, columns) = (rows_of(rng, &matrix), columns_of(rng, &matrix, cell));
                    vec![block(rng, weights, &rows, &columns)]
                }
                Stage::Tiled | Stage::Placed => split(rng, weights, &matrix, geometry),
            };
            mapping.tiles.extend(blocks.into_iter().map(|(bits, rows, columns)| {
                let (matrix, pre_add) = (MatrixId(index as u32), rng.random());
                Tile { matrix, replica, bits, rows, columns, pre_add, place: None }
            }));
        }
        mapping.matrices.push(matrix);
    }
    mapping.tiles.shuffle(rng);
    if stage == Stage::Placed {
        place(rng, &mut mapping);
    }
    mapping
}

/// Bits of a cell: 1, or 2 in one case of four.
pub fn cell_bits(seed: Seed) -> u8 {
    if seed.site("ir/random/cells").rng().random_ratio(1, 4) { 2 } else { 1 }
}

/// The coding that mappings begin with, in half of the cases; else any that holds the weights.
fn coding(rng: &mut ChaCha8Rng, weights: &Weights, cell_bits: u8) -> Coding {
    let range = (weights.smallest(), weights.largest());
    let mut kinds = CodingKind::ALL;
    kinds.shuffle(rng);
    let any = kinds.iter().find_map(|kind| kind.for_range(range, weights.is_odd(), cell_bits));
    let first = Coding::of(weights, cell_bits).expect("cells of 1 or 2 bits");
    if rng.random() { first } else { any.unwrap_or(first) }
}

/// Any coding that holds these activations, in one case of three.
fn inputs(rng: &mut ChaCha8Rng, range: (i32, i32)) -> Option<Coding> {
    if rng.random_ratio(2, 3) {
        return None;
    }
    let kinds = CodingKind::ALL.iter().filter_map(|kind| kind.for_range(range, false, 1));
    let kinds: Vec<Coding> = kinds.filter(|of| of.slices() <= Planes::MOST_CODED).collect();
    kinds.choose(rng).cloned()
}

/// What a tile holds: cells, rows, columns.
type Block = (BitMatrix, RowTable, Vec<Column>);

/// The numbers below `count`: in order in one case of four, else shuffled.
fn shuffled(rng: &mut ChaCha8Rng, count: usize) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count as u32).collect();
    if rng.random_ratio(3, 4) {
        numbers.shuffle(rng);
    }
    numbers
}

/// Takes rows that are never on out of the tiles: some of them, at random, and never all.
fn strip(rng: &mut ChaCha8Rng, matrix: &mut Matrix, largest: &[u8]) {
    let is_dead = |row: &usize| largest[*row] == 0 && rng.random_ratio(3, 4);
    let dead: Vec<usize> = (0..matrix.rows).filter(is_dead).collect();
    if dead.len() < matrix.rows {
        matrix.dead = dead.iter().map(|&row| row as u32).collect();
    }
}

/// The rows that tiles hold: in order in one case of four, else shuffled.
fn rows_of(rng: &mut ChaCha8Rng, matrix: &Matrix) -> Vec<u32> {
    let mut rows = shuffled(rng, matrix.rows);
    rows.retain(|row| !matrix.dead.contains(row));
    rows
}

/// The columns that tiles hold, some inverted; the `cell` columns of a cell stay together.
fn columns_of(rng: &mut ChaCha8Rng, matrix: &Matrix, cell: usize) -> Vec<Column> {
    let inverts = rng.random();
    let mut column = |logical| Column { logical, inverted: inverts && rng.random() };
    let mut cells: Vec<Column> =
        (0..matrix.columns as u32).step_by(cell).map(&mut column).collect();
    if rng.random() {
        cells.shuffle(rng);
    }
    let columns = |first: Column| {
        (0..cell as u32).map(move |plane| Column { logical: first.logical + plane, ..first })
    };
    cells.into_iter().flat_map(columns).collect()
}

/// A matrix in blocks that fit the macro; every block of columns is cut into rows on its own.
fn split(
    rng: &mut ChaCha8Rng,
    weights: &BitMatrix,
    matrix: &Matrix,
    geometry: &Geometry,
) -> Vec<Block> {
    let cell = usize::from(geometry.cell_bits);
    let columns = columns_of(rng, matrix, cell);
    let width = cell * rng.random_range(1..=geometry.columns);
    let mut blocks = Vec::new();
    for columns in columns.chunks(width) {
        let rows = rows_of(rng, matrix);
        let mut rest = &rows[..];
        // More logical rows than the macro has may fit where some are shared.
        let mut height = rng.random_range(1..=2 * geometry.rows);
        while !rest.is_empty() {
            let taken = height.min(rest.len());
            let block = block(rng, weights, &rest[..taken], columns);
            if block.0.rows() > geometry.rows {
                height = geometry.rows;
            } else {
                blocks.push(block);
                rest = &rest[taken..];
            }
        }
    }
    blocks
}

/// Programs rows and columns of a matrix, sharing and negating rows as it pleases.
fn block(rng: &mut ChaCha8Rng, weights: &BitMatrix, rows: &[u32], columns: &[Column]) -> Block {
    let (shares, negates): (bool, bool) = (rng.random(), rng.random());
    let mut programmed: Vec<Vec<bool>> = Vec::new();
    let mut known: BTreeMap<Vec<bool>, u32> = BTreeMap::new();
    let mut entries = Vec::new();
    for &logical in rows {
        let negative = negates && rng.random();
        let cell = |column: &Column| {
            weights.get(logical as usize, column.logical as usize) ^ column.inverted ^ negative
        };
        let cells: Vec<bool> = columns.iter().map(cell).collect();
        let physical = match known.get(&cells) {
            Some(&physical) if shares => physical,
            _ => {
                let physical = programmed.len() as u32;
                known.insert(cells.clone(), physical);
                programmed.push(cells);
                physical
            }
        };
        entries.push(RowEntry { logical, physical, negative });
    }
    // With a table the physical rows may stand in any order.
    if entries.len() > programmed.len() {
        let numbers = shuffled(rng, programmed.len());
        let mut moved = vec![Vec::new(); programmed.len()];
        for (cells, &number) in programmed.into_iter().zip(&numbers) {
            moved[number as usize] = cells;
        }
        programmed = moved;
        entries.iter_mut().for_each(|entry| entry.physical = numbers[entry.physical as usize]);
    }
    let bits =
        BitMatrix::from_fn(programmed.len(), columns.len(), |row, column| programmed[row][column]);
    (bits, entries.into_iter().collect(), columns.to_vec())
}

/// Puts tiles side by side, at any height, beginning a new macro when one is full or on a whim.
fn place(rng: &mut ChaCha8Rng, mapping: &mut Mapping) {
    let (mut macro_index, mut column) = (0, 0);
    for tile in &mut mapping.tiles {
        let (rows, columns) = (tile.bits.rows(), mapping.geometry.width(tile));
        let is_full = column + columns > mapping.geometry.columns;
        if is_full || (column > 0 && rng.random_ratio(1, 4)) {
            (macro_index, column) = (macro_index + 1, 0);
        }
        let row = rng.random_range(0..=mapping.geometry.rows - rows) as u32;
        tile.place = Some(Place { macro_index, row, column: column as u32 });
        column += columns;
    }
}
