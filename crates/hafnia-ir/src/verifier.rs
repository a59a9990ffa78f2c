//! The rules that a mapping keeps at its stage, each with the message that names who broke it.
//!
//! The verifier runs after every pass and over every file that is read: a violation after a pass is
//! a bug of the pass, a violation in a file means that the file was edited wrongly. It knows
//! nothing of the network; what the cells hold is the business of [`prove`](crate::prove).

use std::collections::BTreeMap;

use hafnia_model::Weights;

use crate::{Column, Mapping, Matrix, MatrixId, Stage, Tile, TileId, WeightName};

/// Which rule a mapping breaks, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A matrix is empty or over [`Matrix::MAX_SIDE`] or [`Matrix::MAX_CELLS`].
    #[error(
        "matrix {matrix} ({name}) is {rows}x{columns}: sides must lie in 1..={}, cells be at most {}",
        Matrix::MAX_SIDE,
        Matrix::MAX_CELLS
    )]
    MatrixSize {
        /// The matrix.
        matrix: MatrixId,
        /// Its name.
        name: String,
        /// Its logical rows.
        rows: usize,
        /// Its logical columns.
        columns: usize,
    },
    /// The macro is empty or over [`Matrix::MAX_SIDE`] or [`Matrix::MAX_CELLS`].
    #[error(
        "macro `{name}` is {rows}x{columns}: sides must lie in 1..={}, cells be at most {}",
        Matrix::MAX_SIDE,
        Matrix::MAX_CELLS
    )]
    MacroSize {
        /// Name of the macro.
        name: String,
        /// Its rows.
        rows: usize,
        /// Its columns.
        columns: usize,
    },
    /// Weights or cells have a number of bits that there is none of, or a weight is no whole number
    /// of cells.
    #[error(
        "matrix {matrix} ({name}) has weights of {bits} bits in cells of {cell_bits}: weights must have 1, 2, 4 or 8, cells 1 or 2 and no more"
    )]
    WeightBits {
        /// The matrix.
        matrix: MatrixId,
        /// Its name.
        name: String,
        /// Bits of a weight.
        bits: u8,
        /// Bits of a cell.
        cell_bits: u8,
    },
    /// A dead row does not exist, or stands after a higher one or the same.
    #[error("matrix {matrix} ({name}): dead row {row} must lie in {first}..{rows}, as they ascend")]
    DeadRow {
        /// The matrix.
        matrix: MatrixId,
        /// Its name.
        name: String,
        /// The dead row.
        row: u32,
        /// The first that may stand there.
        first: u32,
        /// Logical rows of the matrix.
        rows: usize,
    },
    /// A digital column does not exist, or stands after a higher one or the same.
    #[error(
        "matrix {matrix} ({name}): digital column {column} must lie in {first}..{columns}, as they ascend"
    )]
    DigitalColumn {
        /// The matrix.
        matrix: MatrixId,
        /// Its name.
        name: String,
        /// The digital column.
        column: u32,
        /// The first that may stand there.
        first: u32,
        /// Logical columns of the matrix.
        columns: usize,
    },
    /// Every row of a matrix is dead, or every column is digital: one has to be left to its tiles.
    #[error("matrix {matrix} ({name}) leaves no weight to its tiles: every {what}")]
    NothingLeft {
        /// The matrix.
        matrix: MatrixId,
        /// Its name.
        name: String,
        /// `row is dead` or `column is digital`.
        what: &'static str,
    },
    /// A tile is of a matrix that does not exist.
    #[error("tile {tile} is of matrix {matrix}, but there are {matrices} matrices")]
    UnknownMatrix {
        /// The tile.
        tile: TileId,
        /// The matrix it names.
        matrix: MatrixId,
        /// Number of matrices.
        matrices: usize,
    },
    /// A tile has no cells.
    #[error("tile {tile} of {matrix} has no cells: {rows} physical rows, {columns} columns")]
    EmptyTile {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// Its physical rows.
        rows: usize,
        /// Its columns.
        columns: usize,
    },
    /// A tile lists another number of columns than it has cells in a row.
    #[error("tile {tile} of {matrix} lists {listed} columns for cells {columns} wide")]
    ColumnCount {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// Columns it lists.
        listed: usize,
        /// Columns of its cells.
        columns: usize,
    },
    /// A row table points beyond the tile's physical rows.
    #[error(
        "tile {tile} of {matrix}: entry {entry} is physical row {physical}, but there are {rows}"
    )]
    PhysicalRow {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// Position of the entry in the row table.
        entry: usize,
        /// The physical row it names.
        physical: u32,
        /// Physical rows of the tile.
        rows: usize,
    },
    /// A physical row is turned on by no entry.
    #[error("tile {tile} of {matrix}: physical row {physical} is used by no entry")]
    UnusedRow {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// The physical row.
        physical: usize,
    },
    /// A row table names a logical row that the matrix does not have.
    #[error("tile {tile}: entry {entry} is logical row {row}, but {matrix} has {rows}")]
    LogicalRow {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// Position of the entry in the row table.
        entry: usize,
        /// The logical row it names.
        row: u32,
        /// Logical rows of the matrix.
        rows: usize,
    },
    /// A column list names a logical column that the matrix does not have.
    #[error("tile {tile}: column {index} is logical column {column}, but {matrix} has {columns}")]
    LogicalColumn {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// Position in the column list.
        index: usize,
        /// The logical column it names.
        column: u32,
        /// Logical columns of the matrix.
        columns: usize,
    },
    /// A row table names a row that its matrix declares dead.
    #[error("tile {tile}: entry {entry} is logical row {row}, which is dead in {matrix}")]
    HeldDead {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// Position of the entry in the row table.
        entry: usize,
        /// The logical row.
        row: u32,
    },
    /// A column list names a column that its matrix declares digital.
    #[error("tile {tile}: column {index} is logical column {column}, which is digital in {matrix}")]
    HeldDigital {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// Position in the column list.
        index: usize,
        /// The logical column.
        column: u32,
    },
    /// A tile holds a logical row twice.
    #[error("tile {tile} of {matrix}: entry {entry} is logical row {row} again")]
    RepeatedRow {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// Position of the second entry.
        entry: usize,
        /// The logical row.
        row: u32,
    },
    /// A tile holds a logical column twice.
    #[error("tile {tile} of {matrix}: column {index} is logical column {column} again")]
    RepeatedColumn {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// Position of the second in the column list.
        index: usize,
        /// The logical column.
        column: u32,
    },
    /// The columns of a cell are not neighbouring slices of one output with one polarity.
    #[error(
        "tile {tile} of {matrix}: columns {index} and {} share cells, so they must be an even logical column and the next, both inverted or neither",
        index + 1
    )]
    BrokenCell {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// Position of the first of the two in the column list.
        index: usize,
    },
    /// No physical row is shared, yet the scan order is not the order of the rows: no table is
    /// stored that could say so.
    #[error(
        "tile {tile} of {matrix} shares no rows, so entry {entry} must be physical row {entry}, not {physical}"
    )]
    EntryOrder {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// Position of the entry in the row table.
        entry: usize,
        /// The physical row it names.
        physical: u32,
    },
    /// A replica has no tile, though it is the first or one of a higher number has.
    #[error("matrix {matrix} ({name}) has no tile of replica {replica}")]
    MissingReplica {
        /// The matrix.
        matrix: MatrixId,
        /// Its name.
        name: String,
        /// The replica.
        replica: u32,
    },
    /// Two tiles of a replica hold the same weight.
    #[error("{weight} is in tile {first} and again in {second}")]
    CoveredTwice {
        /// The weight.
        weight: WeightName,
        /// The tile with the lower id.
        first: TileId,
        /// The other tile.
        second: TileId,
    },
    /// No tile of a replica holds a weight.
    #[error("{0} is in no tile")]
    Uncovered(WeightName),
    /// A matrix is split at stage logical.
    #[error(
        "matrix {matrix} ({name}) replica {replica} is split into {tiles} tiles at stage logical"
    )]
    Split {
        /// The matrix.
        matrix: MatrixId,
        /// Its name.
        name: String,
        /// The replica.
        replica: u32,
        /// Number of its tiles.
        tiles: usize,
    },
    /// A tile has more physical rows than the macro.
    #[error("tile {tile} of {matrix} is {rows} physical rows high, macro `{name}` has {limit}")]
    TooHigh {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// Its physical rows.
        rows: usize,
        /// Name of the macro.
        name: String,
        /// Rows of the macro.
        limit: usize,
    },
    /// A tile has more columns than the macro.
    #[error("tile {tile} of {matrix} is {columns} columns wide, macro `{name}` has {limit}")]
    TooWide {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// Its columns.
        columns: usize,
        /// Name of the macro.
        name: String,
        /// Columns of the macro.
        limit: usize,
    },
    /// A tile has a place before stage placed.
    #[error("tile {tile} of {matrix} has a place at stage {stage}")]
    PlacedEarly {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// The stage of the mapping.
        stage: Stage,
    },
    /// A tile has no place at stage placed.
    #[error("tile {tile} of {matrix} has no place at stage placed")]
    Unplaced {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
    },
    /// A tile reaches below the last row of its macro.
    #[error(
        "tile {tile} of {matrix} takes rows {first}..{end} of macro {macro_index}, which has {limit}"
    )]
    BeyondRows {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// Index of the macro.
        macro_index: u32,
        /// First row on the macro.
        first: usize,
        /// Row after the last.
        end: usize,
        /// Rows of the macro.
        limit: usize,
    },
    /// A tile reaches beyond the last column of its macro.
    #[error(
        "tile {tile} of {matrix} takes columns {first}..{end} of macro {macro_index}, which has {limit}"
    )]
    BeyondColumns {
        /// The tile.
        tile: TileId,
        /// Its matrix.
        matrix: MatrixId,
        /// Index of the macro.
        macro_index: u32,
        /// First column on the macro.
        first: usize,
        /// Column after the last.
        end: usize,
        /// Columns of the macro.
        limit: usize,
    },
    /// Two tiles take the same cell.
    #[error("tiles {first} and {second} both take cell ({row}, {column}) of macro {macro_index}")]
    Overlap {
        /// The tile with the lower id.
        first: TileId,
        /// The other tile.
        second: TileId,
        /// Index of the macro.
        macro_index: u32,
        /// Row on the macro.
        row: usize,
        /// Column on the macro.
        column: usize,
    },
    /// A macro is empty though one of a higher index is not.
    #[error("macro {macro_index} holds no tile, though macro {next} does")]
    MacroGap {
        /// Index of the empty macro.
        macro_index: u32,
        /// Index of the next macro in use.
        next: u32,
    },
}

/// Checks the rules of the mapping's stage; time and memory are near linear in its size.
///
/// The rules, in the order they are checked; the first that is broken is reported.
/// - Every matrix and the macro have a size within [`Matrix::MAX_SIDE`] and [`Matrix::MAX_CELLS`].
///   Weights have 1, 2, 4 or 8 bits and are a whole number of cells, of 1 or 2 bits.
/// - Dead rows and digital columns exist, ascend and leave a row and a column to the tiles.
/// - Every tile is of an existing matrix and has cells, one listed column per column of cells, and
///   entries and columns in range and neither dead nor digital. A logical row and a logical column
///   come at most once in a tile. The columns of a cell of 2 bits are neighbouring slices of one
///   output, the even one first, with one polarity.
///   Every physical row is used, and entries stand in the order of physical rows unless some row is
///   shared.
/// - The replicas of a matrix are numbered from 0 without gaps, and each holds every weight exactly
///   once but for those in dead rows and digital columns.
/// - [`Stage::Logical`]: a replica is one tile. From [`Stage::Tiled`] on: a tile is no larger than
///   the macro. Before [`Stage::Placed`]: no tile has a place.
/// - [`Stage::Placed`]: every tile lies within its macro, no two overlap, and macros are numbered
///   from 0 without gaps.
///
/// # Errors
/// The first [`Violation`] found.
pub fn verify(mapping: &Mapping) -> Result<(), Violation> {
    check_sizes(mapping)?;
    for (index, of) in mapping.matrices.iter().enumerate() {
        check_stripped(MatrixId(index as u32), of)?;
    }
    for (id, tile) in mapping.tiles() {
        check_tile(mapping, id, tile)?;
    }
    let replicas = mapping.tiles_by_replica();
    check_replica_numbers(mapping, &replicas)?;
    for (&(matrix, replica), tiles) in &replicas {
        check_coverage(mapping, matrix, replica, tiles)?;
    }
    match mapping.stage {
        Stage::Logical => check_whole(mapping, &replicas)?,
        Stage::Tiled | Stage::Placed => check_fit(mapping)?,
    }
    match mapping.stage {
        Stage::Logical | Stage::Tiled => check_unplaced(mapping),
        Stage::Placed => check_places(mapping),
    }
}

/// The tiles of every replica of every matrix, each list ascending.
type Replicas = BTreeMap<(MatrixId, u32), Vec<TileId>>;

fn check_sizes(mapping: &Mapping) -> Result<(), Violation> {
    for (index, &Matrix { ref name, rows, columns, .. }) in mapping.matrices.iter().enumerate() {
        if !Matrix::is_size(rows, columns) {
            let (matrix, name) = (MatrixId(index as u32), name.clone());
            return Err(Violation::MatrixSize { matrix, name, rows, columns });
        }
    }
    let geometry = &mapping.geometry;
    if !Matrix::is_size(geometry.rows, geometry.columns) {
        let (name, rows, columns) = (geometry.name.clone(), geometry.rows, geometry.columns);
        return Err(Violation::MacroSize { name, rows, columns });
    }
    let cell_bits = geometry.cell_bits;
    for (index, of) in mapping.matrices.iter().enumerate() {
        let bits = of.weight_bits;
        let is_filled = Weights::BITS.contains(&bits)
            && [1, 2].contains(&cell_bits)
            && bits.is_multiple_of(cell_bits)
            && of.columns.is_multiple_of(bits.into());
        if !is_filled {
            let (matrix, name) = (MatrixId(index as u32), of.name.clone());
            return Err(Violation::WeightBits { matrix, name, bits, cell_bits });
        }
    }
    Ok(())
}

/// Dead rows and digital columns.
fn check_stripped(matrix: MatrixId, of: &Matrix) -> Result<(), Violation> {
    let name = || of.name.clone();
    let mut first = 0;
    for &row in &of.dead {
        if row < first || row as usize >= of.rows {
            let (name, rows) = (name(), of.rows);
            return Err(Violation::DeadRow { matrix, name, row, first, rows });
        }
        first = row + 1;
    }
    first = 0;
    for column in &of.digital {
        let (column, columns) = (column.logical, of.columns);
        if column < first || column as usize >= columns {
            return Err(Violation::DigitalColumn { matrix, name: name(), column, first, columns });
        }
        first = column + 1;
    }
    let what = match (of.dead.len() == of.rows, of.digital.len() == of.columns) {
        (true, _) => "row is dead",
        (_, true) => "column is digital",
        _ => return Ok(()),
    };
    Err(Violation::NothingLeft { matrix, name: name(), what })
}

fn check_tile(mapping: &Mapping, id: TileId, block: &Tile) -> Result<(), Violation> {
    let (tile, matrix) = (id, block.matrix);
    let Some(of) = mapping.matrices.get(matrix.index()) else {
        let matrices = mapping.matrices.len();
        return Err(Violation::UnknownMatrix { tile, matrix, matrices });
    };
    let (rows, columns) = (block.bits.rows(), block.bits.columns());
    if rows == 0 || columns == 0 {
        return Err(Violation::EmptyTile { tile, matrix, rows, columns });
    }
    check_columns(id, block, of)?;
    if mapping.geometry.cell_bits > 1 {
        check_cells(id, block)?;
    }
    check_rows(id, block, of)
}

/// The pairs of columns that make a column of cells of 2 bits.
fn check_cells(tile: TileId, block: &Tile) -> Result<(), Violation> {
    let is_cell = |pair: &[Column]| match pair {
        [low, high] => {
            low.logical.is_multiple_of(2)
                && high.logical == low.logical + 1
                && low.inverted == high.inverted
        }
        _ => false,
    };
    match block.columns.chunks(2).position(|pair| !is_cell(pair)) {
        None => Ok(()),
        Some(cell) => Err(Violation::BrokenCell { tile, matrix: block.matrix, index: 2 * cell }),
    }
}

fn check_columns(tile: TileId, block: &Tile, of: &Matrix) -> Result<(), Violation> {
    let (matrix, columns) = (block.matrix, block.bits.columns());
    let listed = block.columns.len();
    if listed != columns {
        return Err(Violation::ColumnCount { tile, matrix, listed, columns });
    }
    for (index, column) in block.columns.iter().enumerate() {
        let column = column.logical;
        if column as usize >= of.columns {
            let columns = of.columns;
            return Err(Violation::LogicalColumn { tile, matrix, index, column, columns });
        }
        if of.digital.binary_search_by_key(&column, |digital| digital.logical).is_ok() {
            return Err(Violation::HeldDigital { tile, matrix, index, column });
        }
    }
    match first_repeat(block.columns.iter().map(|column| column.logical)) {
        None => Ok(()),
        Some((index, column)) => Err(Violation::RepeatedColumn { tile, matrix, index, column }),
    }
}

fn check_rows(tile: TileId, block: &Tile, of: &Matrix) -> Result<(), Violation> {
    let (matrix, rows) = (block.matrix, block.bits.rows());
    let mut used = vec![false; rows];
    for (entry, row) in block.rows.iter().enumerate() {
        let (row, physical) = (row.logical, row.physical);
        if row as usize >= of.rows {
            return Err(Violation::LogicalRow { tile, matrix, entry, row, rows: of.rows });
        }
        if of.dead.binary_search(&row).is_ok() {
            return Err(Violation::HeldDead { tile, matrix, entry, row });
        }
        let Some(used) = used.get_mut(physical as usize) else {
            return Err(Violation::PhysicalRow { tile, matrix, entry, physical, rows });
        };
        *used = true;
    }
    if let Some((entry, row)) = first_repeat(block.rows.logical().iter().copied()) {
        return Err(Violation::RepeatedRow { tile, matrix, entry, row });
    }
    if let Some(physical) = used.iter().position(|used| !used) {
        return Err(Violation::UnusedRow { tile, matrix, physical });
    }
    let is_shared = block.rows.len() > rows;
    let mut physical = block.rows.scan().iter().map(|entry| entry.physical).enumerate();
    match physical.find(|&(entry, physical)| entry != physical as usize) {
        Some((entry, physical)) if !is_shared => {
            Err(Violation::EntryOrder { tile, matrix, entry, physical })
        }
        _ => Ok(()),
    }
}

/// The first position whose value came before, and the value.
fn first_repeat(values: impl Iterator<Item = u32>) -> Option<(usize, u32)> {
    let mut sorted: Vec<(u32, usize)> =
        values.enumerate().map(|(position, value)| (value, position)).collect();
    sorted.sort_unstable();
    let repeats = sorted.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    repeats.map(|pair| (pair[1].1, pair[1].0)).min()
}

fn check_replica_numbers(mapping: &Mapping, replicas: &Replicas) -> Result<(), Violation> {
    for (index, of) in mapping.matrices.iter().enumerate() {
        let matrix = MatrixId(index as u32);
        let missing =
            |replica| Err(Violation::MissingReplica { matrix, name: of.name.clone(), replica });
        let numbers = replicas.range((matrix, 0)..=(matrix, u32::MAX)).map(|(key, _)| key.1);
        let mut next = 0;
        for replica in numbers {
            if replica != next {
                return missing(next);
            }
            next += 1;
        }
        if next == 0 {
            return missing(0);
        }
    }
    Ok(())
}

fn check_coverage(
    mapping: &Mapping,
    matrix: MatrixId,
    replica: u32,
    tiles: &[TileId],
) -> Result<(), Violation> {
    let of = &mapping.matrices[matrix.index()];
    let mut covered = Cells::new(of.rows, of.columns);
    // No tile holds these.
    let all = covered.mask(0..of.columns);
    let digital = covered.mask(of.digital.iter().map(|column| column.logical as usize));
    for row in 0..of.rows as u32 {
        let stripped = if of.dead.binary_search(&row).is_ok() { &all } else { &digital };
        covered.take(row as usize, stripped).expect("nothing is taken yet");
    }
    for (index, &second) in tiles.iter().enumerate() {
        let tile = &mapping.tiles[second.index()];
        let columns = covered.mask(tile.columns.iter().map(|column| column.logical as usize));
        for &row in tile.rows.logical() {
            let Err(column) = covered.take(row as usize, &columns) else { continue };
            let holds = |id: &&TileId| {
                let tile = &mapping.tiles[id.index()];
                tile.rows.logical().contains(&row)
                    && tile.columns.iter().any(|other| other.logical as usize == column)
            };
            let first = *tiles[..index].iter().find(holds).expect("an earlier tile took the cell");
            let weight = mapping.weight_name(matrix, replica, row as usize, column);
            return Err(Violation::CoveredTwice { weight, first, second });
        }
    }
    match covered.first_free() {
        None => Ok(()),
        Some((row, column)) => {
            Err(Violation::Uncovered(mapping.weight_name(matrix, replica, row, column)))
        }
    }
}

fn check_whole(mapping: &Mapping, replicas: &Replicas) -> Result<(), Violation> {
    for (&(matrix, replica), tiles) in replicas {
        if tiles.len() > 1 {
            let name = mapping.matrices[matrix.index()].name.clone();
            return Err(Violation::Split { matrix, name, replica, tiles: tiles.len() });
        }
    }
    Ok(())
}

fn check_fit(mapping: &Mapping) -> Result<(), Violation> {
    let geometry = &mapping.geometry;
    for (tile, block) in mapping.tiles() {
        let (matrix, name) = (block.matrix, || geometry.name.clone());
        let (rows, columns) = (block.bits.rows(), geometry.width(block));
        if rows > geometry.rows {
            let limit = geometry.rows;
            return Err(Violation::TooHigh { tile, matrix, rows, name: name(), limit });
        }
        if columns > geometry.columns {
            let limit = geometry.columns;
            return Err(Violation::TooWide { tile, matrix, columns, name: name(), limit });
        }
    }
    Ok(())
}

fn check_unplaced(mapping: &Mapping) -> Result<(), Violation> {
    match mapping.tiles().find(|(_, tile)| tile.place.is_some()) {
        None => Ok(()),
        Some((tile, block)) => {
            let (matrix, stage) = (block.matrix, mapping.stage);
            Err(Violation::PlacedEarly { tile, matrix, stage })
        }
    }
}

/// A rectangle of cells on a macro.
struct Rectangle {
    tile: TileId,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
}

fn check_places(mapping: &Mapping) -> Result<(), Violation> {
    let mut macros: BTreeMap<u32, Vec<Rectangle>> = BTreeMap::new();
    for (tile, block) in mapping.tiles() {
        let matrix = block.matrix;
        let Some(place) = block.place else {
            return Err(Violation::Unplaced { tile, matrix });
        };
        let macro_index = place.macro_index;
        let (row, column) = (place.row as usize, place.column as usize);
        let rows = row..row + block.bits.rows();
        let columns = column..column + mapping.geometry.width(block);
        if rows.end > mapping.geometry.rows {
            let (first, end, limit) = (rows.start, rows.end, mapping.geometry.rows);
            return Err(Violation::BeyondRows { tile, matrix, macro_index, first, end, limit });
        }
        if columns.end > mapping.geometry.columns {
            let (first, end, limit) = (columns.start, columns.end, mapping.geometry.columns);
            return Err(Violation::BeyondColumns { tile, matrix, macro_index, first, end, limit });
        }
        macros.entry(macro_index).or_default().push(Rectangle { tile, rows, columns });
    }
    for (expected, (&macro_index, tiles)) in (0u32..).zip(&macros) {
        if macro_index != expected {
            return Err(Violation::MacroGap { macro_index: expected, next: macro_index });
        }
        check_overlap(mapping, macro_index, tiles)?;
    }
    Ok(())
}

fn check_overlap(
    mapping: &Mapping,
    macro_index: u32,
    tiles: &[Rectangle],
) -> Result<(), Violation> {
    let mut taken = Cells::new(mapping.geometry.rows, mapping.geometry.columns);
    for (index, second) in tiles.iter().enumerate() {
        let columns = taken.mask(second.columns.clone());
        for row in second.rows.clone() {
            let Err(column) = taken.take(row, &columns) else { continue };
            let holds =
                |other: &&Rectangle| other.rows.contains(&row) && other.columns.contains(&column);
            let first = tiles[..index].iter().find(holds).expect("an earlier tile took the cell");
            let (first, second) = (first.tile, second.tile);
            return Err(Violation::Overlap { first, second, macro_index, row, column });
        }
    }
    Ok(())
}

/// Which cells of a matrix or a macro are taken: a bit each, whole words at a time.
struct Cells {
    columns: usize,
    words_per_row: usize,
    words: Vec<u64>,
}

impl Cells {
    fn new(rows: usize, columns: usize) -> Self {
        let words_per_row = columns.div_ceil(64);
        Self { columns, words_per_row, words: vec![0; rows * words_per_row] }
    }

    /// These columns as the bits of a row.
    fn mask(&self, columns: impl Iterator<Item = usize>) -> Vec<u64> {
        let mut mask = vec![0; self.words_per_row];
        columns.for_each(|column| mask[column / 64] |= 1 << (column % 64));
        mask
    }

    /// Takes the columns of a row, or gives the first that is already taken.
    fn take(&mut self, row: usize, mask: &[u64]) -> Result<(), usize> {
        let words = &mut self.words[row * self.words_per_row..][..self.words_per_row];
        for (index, (word, &mask)) in words.iter_mut().zip(mask).enumerate() {
            match *word & mask {
                0 => *word |= mask,
                both => return Err(index * 64 + both.trailing_zeros() as usize),
            }
        }
        Ok(())
    }

    /// The first cell that is not taken, as (row, column).
    fn first_free(&self) -> Option<(usize, usize)> {
        let all = self.mask(0..self.columns);
        let rows = self.words.chunks_exact(self.words_per_row);
        rows.enumerate().find_map(|(row, words)| {
            let free = |(index, (&word, &all)): (usize, (&u64, &u64))| {
                let free = all & !word;
                (free != 0).then(|| index * 64 + free.trailing_zeros() as usize)
            };
            let column = words.iter().zip(&all).enumerate().find_map(free)?;
            Some((row, column))
        })
    }
}
