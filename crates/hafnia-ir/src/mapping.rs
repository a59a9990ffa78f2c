//! [`Mapping`] and its parts: plain data, checked by [`verify`](crate::verify).

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use hafnia_artifact::Digest;
use hafnia_cim::{MacroSpec, ScanEntry};
use hafnia_model::{BitMatrix, Network};

use crate::coding::Coding;

/// Index of a matrix: its position in [`Network::matrices`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MatrixId(pub u32);

/// Index of a tile in [`Mapping::tiles`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId(pub u32);

impl MatrixId {
    /// As an index of [`Mapping::matrices`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl TileId {
    /// As an index of [`Mapping::tiles`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for MatrixId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

/// How far a mapping has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// One tile a matrix, as large as it has to be.
    Logical,
    /// Every tile fits a macro.
    Tiled,
    /// Every tile has its place on a macro.
    Placed,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 3] = [Self::Logical, Self::Tiled, Self::Placed];

    /// The name in the text form.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logical => "logical",
            Self::Tiled => "tiled",
            Self::Placed => "placed",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The macro a mapping was made for, as far as it matters to a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Geometry {
    /// Name of the macro.
    pub name: String,
    /// Physical rows of a macro.
    pub rows: usize,
    /// Columns of cells of a macro.
    pub columns: usize,
    /// Bits per cell, 1 or 2, which is also the number of columns of a tile per column of cells.
    pub cell_bits: u8,
}

impl Geometry {
    /// A macro with cells of 1 bit.
    pub fn new(name: impl Into<String>, rows: usize, columns: usize) -> Self {
        Self { name: name.into(), rows, columns, cell_bits: 1 }
    }

    /// Columns of a tile that fit side by side on a macro.
    pub fn tile_columns(&self) -> usize {
        self.columns * usize::from(self.cell_bits)
    }

    /// Columns of cells that a tile takes.
    pub fn width(&self, tile: &Tile) -> usize {
        tile.bits.columns() / usize::from(self.cell_bits)
    }
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}x{}", self.name, self.rows, self.columns)?;
        match self.cell_bits {
            1 => Ok(()),
            bits => write!(f, ", {bits} bits a cell"),
        }
    }
}

impl From<&MacroSpec> for Geometry {
    fn from(spec: &MacroSpec) -> Self {
        let cell_bits = spec.cell.bits_per_cell;
        Self { cell_bits, ..Self::new(spec.name.clone(), spec.rows, spec.columns) }
    }
}

/// How the matrices of one network lie on macros of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// How far it has come.
    pub stage: Stage,
    /// Digest of the network it maps.
    pub network: Digest,
    /// The macro it is for.
    pub geometry: Geometry,
    /// The matrices of the network, indexed by [`MatrixId`].
    pub matrices: Vec<Matrix>,
    /// The tiles, indexed by [`TileId`].
    pub tiles: Vec<Tile>,
}

/// A logical matrix: rows are inputs, columns the slices of outputs.
///
/// Column c is slice p = c mod `coding.slices()` of output c / `coding.slices()`, rounded down; its
/// product counts `coding.factors()[p]` times, and the sum of the activations counts
/// `coding.offset()` times in every output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// Name of the layer.
    pub name: String,
    /// Logical rows.
    pub rows: usize,
    /// Logical columns: outputs times slices of a weight.
    pub columns: usize,
    /// How bits stand for weights.
    pub coding: Coding,
    /// How bit-planes stand for the activations that reach it, at most
    /// [`Planes::MOST_CODED`](crate::Planes::MOST_CODED) of them; the bits of levels without it.
    pub inputs: Option<Coding>,
    /// Logical rows whose level is 0 for every input of the network, ascending: no tile holds
    /// them, and the product leaves them out even where noise turns them on.
    pub dead: Vec<u32>,
}

impl Matrix {
    /// A matrix of weights ±1, all of which are in tiles.
    pub fn new(name: impl Into<String>, rows: usize, columns: usize) -> Self {
        Self::coded(name, rows, columns, Coding::odd(1))
    }

    /// A matrix of weights in this coding, all of which are in tiles.
    pub fn coded(name: impl Into<String>, rows: usize, outputs: usize, coding: Coding) -> Self {
        let columns = outputs * coding.slices();
        Self { name: name.into(), rows, columns, coding, inputs: None, dead: Vec::new() }
    }

    /// Outputs of the layer.
    pub fn outputs(&self) -> usize {
        self.columns / self.coding.slices()
    }

    /// The output that a column is a slice of.
    pub fn output(&self, column: u32) -> usize {
        column as usize / self.coding.slices()
    }

    /// What the product of a column counts in its output: the factor of its slice.
    pub fn factor(&self, column: u32) -> i32 {
        self.coding.factors()[column as usize % self.coding.slices()]
    }

    /// A weight of a replica, as messages name it.
    pub(crate) fn weight(&self, replica: u32, row: usize, column: usize) -> String {
        let slices = self.coding.slices();
        let (name, output, slice) = (&self.name, column / slices, column % slices);
        let slice = if slices > 1 { format!("slice {slice} of ") } else { String::new() };
        format!("{slice}weight ({row}, {output}) of `{name}` replica {replica}")
    }

    /// The longest side of a matrix or macro.
    pub const MAX_SIDE: usize = 1 << 20;
    /// The most cells of a matrix or macro; a check of one then takes at most 32 MiB.
    pub const MAX_CELLS: usize = 1 << 28;

    /// Whether a matrix or macro may have this size: not empty, and within the limits.
    pub fn is_size(rows: usize, columns: usize) -> bool {
        let is_side = |side| (1..=Self::MAX_SIDE).contains(&side);
        is_side(rows) && is_side(columns) && rows * columns <= Self::MAX_CELLS
    }
}

/// A block of a matrix as it is programmed.
///
/// For logical row r of an entry, logical column c of tile column k, physical row p of the entry:
/// bit (r, c) of the matrix = `bits`(p, k) ⊕ entry negative ⊕ column inverted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// The matrix it is a block of.
    pub matrix: MatrixId,
    /// Which copy of the matrix it belongs to; 0 unless a matrix is duplicated.
    pub replica: u32,
    /// The programmed cells: physical rows × tile columns; 1 is LRS.
    pub bits: BitMatrix,
    /// Which logical row is which physical row, in scan order.
    pub rows: RowTable,
    /// The logical column of every tile column, and its polarity.
    pub columns: Vec<Column>,
    /// Whether levels of entries with one physical row and one sign are added up digitally, and the
    /// physical row is turned on by the bits of the sum, however the inputs of its matrix are coded;
    /// see [`Tile::lines`].
    pub pre_add: bool,
    /// Where it lies; none before stage [`Stage::Placed`].
    pub place: Option<Place>,
}

/// A column of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Column {
    /// The logical column.
    pub logical: u32,
    /// Whether the cells hold the complement: a conversion of n rows then counts n − code ones.
    pub inverted: bool,
}

/// Where a tile lies: its first physical row and first column on a macro.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Index of the macro.
    pub macro_index: u32,
    /// First row on the macro.
    pub row: u32,
    /// First column on the macro.
    pub column: u32,
}

/// An entry of a [`RowTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowEntry {
    /// The logical row of the matrix: which input turns the entry on.
    pub logical: u32,
    /// The physical row, within the tile, that it turns on.
    pub physical: u32,
    /// Whether the physical row holds the complement of the logical row.
    pub negative: bool,
}

/// The row table of a tile: its entries in scan order.
///
/// Two entries with one physical row are what rename makes; their order is what reorder makes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowTable {
    logical: Vec<u32>,
    scan: Vec<ScanEntry>,
}

impl RowTable {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.logical.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.logical.is_empty()
    }

    /// Appends an entry at the end of the scan.
    pub fn push(&mut self, entry: RowEntry) {
        self.logical.push(entry.logical);
        self.scan.push(ScanEntry { physical: entry.physical, negative: entry.negative });
    }

    /// The entry at a scan position.
    ///
    /// # Panics
    /// If there is none.
    pub fn get(&self, position: usize) -> RowEntry {
        let ScanEntry { physical, negative } = self.scan[position];
        RowEntry { logical: self.logical[position], physical, negative }
    }

    /// The entries in scan order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RowEntry> + '_ {
        (0..self.len()).map(|position| self.get(position))
    }

    /// The logical rows in scan order.
    pub fn logical(&self) -> &[u32] {
        &self.logical
    }

    /// What each entry turns on. What the input control scans is [`Tile::lines`].
    pub fn scan(&self) -> &[ScanEntry] {
        &self.scan
    }

    /// Whether some physical row is shared, so that a table must be stored beside the cells.
    pub fn has_shared_rows(&self) -> bool {
        let mut physical: Vec<u32> = self.scan.iter().map(|entry| entry.physical).collect();
        physical.sort_unstable();
        physical.windows(2).any(|pair| pair[0] == pair[1])
    }
}

impl FromIterator<RowEntry> for RowTable {
    fn from_iter<I: IntoIterator<Item = RowEntry>>(entries: I) -> Self {
        let mut table = Self::default();
        for entry in entries {
            table.push(entry);
        }
        table
    }
}

/// What the input control scans in a tile, line by line.
///
/// A line is an entry; where a tile adds activations first, it is all entries with one physical row
/// and one sign, at the position of the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    /// What every line turns on, in scan order.
    pub scan: Vec<ScanEntry>,
    /// The line of every entry.
    pub of_entries: Vec<u32>,
}

impl Lines {
    /// Bits of the largest sum that a line can be given, where a level has `bits` bits.
    pub fn planes(&self, bits: u8) -> u8 {
        let mut entries = vec![0u32; self.scan.len()];
        self.of_entries.iter().for_each(|&line| entries[line as usize] += 1);
        let most = entries.into_iter().max().unwrap_or(1);
        // A matrix has at most 2²⁰ rows, an activation at most 8 bits: no sum reaches 2²⁸.
        let largest = most * ((1 << bits) - 1);
        (u32::BITS - largest.leading_zeros()) as u8
    }

    /// The sums that the lines of `rows` are given: one a line, overwritten.
    ///
    /// # Panics
    /// If a logical row has no activation, or `sums` is shorter than there are lines.
    pub fn add_up(&self, rows: &RowTable, activations: &[u8], sums: &mut [u32]) {
        sums[..self.scan.len()].fill(0);
        for (&line, &logical) in self.of_entries.iter().zip(rows.logical()) {
            sums[line as usize] += u32::from(activations[logical as usize]);
        }
    }
}

impl Tile {
    /// What the input control scans: the one definition, for engines and passes alike.
    pub fn lines(&self) -> Lines {
        let scan = self.rows.scan();
        if !self.pre_add {
            return Lines { scan: scan.to_vec(), of_entries: (0..scan.len() as u32).collect() };
        }
        let mut lines = Lines::default();
        let mut known = HashMap::new();
        for &entry in scan {
            let line = *known.entry(entry).or_insert_with(|| {
                lines.scan.push(entry);
                lines.scan.len() as u32 - 1
            });
            lines.of_entries.push(line);
        }
        lines
    }

    /// Physical rows.
    pub fn physical_rows(&self) -> usize {
        self.bits.rows()
    }

    /// Bits in cells: physical rows × columns.
    pub fn cells(&self) -> usize {
        self.bits.rows() * self.bits.columns()
    }

    /// Bits of the table that has to be stored beside the cells, 0 for most tiles.
    ///
    /// If some physical row is shared, every entry stores its physical row in
    /// ⌈log₂(physical rows)⌉ bits; if some entry is negative, every entry stores a sign bit. Which
    /// logical row stands where in the scan takes no bits: that is how the inputs are wired.
    pub fn table_bits(&self) -> usize {
        let (entries, rows) = (self.rows.len(), self.physical_rows());
        let address = if self.rows.has_shared_rows() { bits_to_tell(rows) } else { 0 };
        entries * address + self.sign_bits()
    }

    /// Those of [`table_bits`](Self::table_bits) that are signs: one an entry, if some are negative.
    pub fn sign_bits(&self) -> usize {
        let is_signed = self.rows.scan().iter().any(|entry| entry.negative);
        if is_signed { self.rows.len() } else { 0 }
    }

    /// The same block with its entries in another scan order: entry `order[i]` comes at position i.
    ///
    /// Physical rows are numbered as by [`with_entries`](Self::with_entries).
    ///
    /// # Panics
    /// If `order` is no permutation of the entries, or a physical row is used by no entry.
    #[must_use]
    pub fn with_order(&self, order: &[usize]) -> Self {
        assert_eq!(order.len(), self.rows.len(), "a permutation of the entries");
        let tile = self.with_entries(order);
        assert_eq!(tile.physical_rows(), self.physical_rows(), "every physical row is used");
        tile
    }

    /// The block of these entries, in this scan order, and of the physical rows that they use.
    ///
    /// Physical rows are numbered anew by first use, so that without a rename table the order of
    /// the entries stays the order of the rows.
    ///
    /// # Panics
    /// If there is no such entry.
    #[must_use]
    pub fn with_entries(&self, entries: &[usize]) -> Self {
        let mut number = vec![None; self.physical_rows()];
        let mut kept = Vec::new();
        let mut rows = RowTable::default();
        for &position in entries {
            let entry = self.rows.get(position);
            let physical = *number[entry.physical as usize].get_or_insert_with(|| {
                kept.push(entry.physical as usize);
                kept.len() as u32 - 1
            });
            rows.push(RowEntry { physical, ..entry });
        }
        // Not `..self.clone()`: the bits may be large.
        let Self { matrix, replica, pre_add, place, .. } = *self;
        let (bits, columns) = (self.bits.select_rows(kept), self.columns.clone());
        Self { matrix, replica, bits, rows, columns, pre_add, place }
    }

    /// The block of these columns, in this order; it has no place.
    ///
    /// # Panics
    /// If there is no such column.
    #[must_use]
    pub fn with_columns(&self, columns: &[usize]) -> Self {
        Self {
            bits: self.bits.select_columns(columns),
            rows: self.rows.clone(),
            columns: columns.iter().map(|&index| self.columns[index]).collect(),
            place: None,
            ..*self
        }
    }
}

impl Mapping {
    /// The mapping everything starts from: one tile a matrix, rows and columns as in the network,
    /// weights as [`Coding::of`] chooses.
    ///
    /// # Panics
    /// If the macro has cells of more than 2 bits.
    pub fn logical(network: &Network, spec: &MacroSpec) -> Self {
        let mut mapping = Self {
            stage: Stage::Logical,
            network: network.digest(),
            geometry: spec.into(),
            matrices: Vec::new(),
            tiles: Vec::new(),
        };
        for (index, matrix) in network.matrices().iter().enumerate() {
            let coding = Coding::of(matrix.weights, mapping.geometry.cell_bits)
                .expect("offset binary holds all weights in cells of 1 and 2 bits");
            let bits = coding.bits_of(matrix.weights).expect("chosen to hold these weights");
            let (rows, columns) = (bits.rows(), bits.columns());
            let outputs = matrix.weights.columns();
            mapping.matrices.push(Matrix::coded(matrix.name, rows, outputs, coding));
            let entry = |row| RowEntry { logical: row, physical: row, negative: false };
            let column = |column| Column { logical: column, inverted: false };
            mapping.tiles.push(Tile {
                matrix: MatrixId(index as u32),
                replica: 0,
                bits,
                rows: (0..rows as u32).map(entry).collect(),
                columns: (0..columns as u32).map(column).collect(),
                pre_add: false,
                place: None,
            });
        }
        mapping
    }

    /// The matrices with their ids.
    pub fn matrices(&self) -> impl Iterator<Item = (MatrixId, &Matrix)> {
        (0..).map(MatrixId).zip(&self.matrices)
    }

    /// The tiles with their ids.
    pub fn tiles(&self) -> impl Iterator<Item = (TileId, &Tile)> {
        (0..).map(TileId).zip(&self.tiles)
    }

    /// The tiles of a matrix with their ids.
    pub fn tiles_of(&self, matrix: MatrixId) -> impl Iterator<Item = (TileId, &Tile)> {
        self.tiles().filter(move |(_, tile)| tile.matrix == matrix)
    }

    /// Copies of a matrix: 1 unless it is duplicated.
    pub fn replicas(&self, matrix: MatrixId) -> u32 {
        self.tiles_of(matrix).map(|(_, tile)| tile.replica.saturating_add(1)).max().unwrap_or(0)
    }

    /// Macros in use; 0 before stage [`Stage::Placed`].
    pub fn macros(&self) -> usize {
        let places = self.tiles.iter().filter_map(|tile| tile.place);
        places.map(|place| place.macro_index as usize + 1).max().unwrap_or(0)
    }

    /// Cells in all tiles.
    pub fn cells(&self) -> usize {
        self.tiles.iter().map(Tile::cells).sum::<usize>() / usize::from(self.geometry.cell_bits)
    }

    /// Physical rows of a matrix, summed over its tiles: tiles side by side count each, as do
    /// replicas. Row saving is 1 − this / [`logical_rows`](Self::logical_rows).
    pub fn physical_rows(&self, matrix: MatrixId) -> usize {
        self.tiles_of(matrix).map(|(_, tile)| tile.physical_rows()).sum()
    }

    /// Logical rows of a matrix, summed over its tiles: the physical rows it would take if none
    /// were shared.
    pub fn logical_rows(&self, matrix: MatrixId) -> usize {
        self.tiles_of(matrix).map(|(_, tile)| tile.rows.len()).sum()
    }

    /// Bits to store the row tables of all tiles, as defined at [`Tile::table_bits`].
    pub fn rename_table_bits(&self) -> usize {
        self.tiles.iter().map(Tile::table_bits).sum()
    }

    /// The tiles of every replica of every matrix that has some, each list ascending.
    pub(crate) fn tiles_by_replica(&self) -> BTreeMap<(MatrixId, u32), Vec<TileId>> {
        let mut replicas: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, tile) in self.tiles() {
            replicas.entry((tile.matrix, tile.replica)).or_default().push(id);
        }
        replicas
    }
}

/// Bits that tell `count` things apart.
fn bits_to_tell(count: usize) -> usize {
    count.next_power_of_two().trailing_zeros() as usize
}
