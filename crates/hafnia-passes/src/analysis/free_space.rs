//! [`FreeSpace`]: the cells of macros that no tile takes, as rectangles.
//!
//! The free cells of a macro are kept as the largest rectangles that they hold; these may overlap
//! (maximal rectangles; Jylänki 2010, "A thousand ways to pack the bin").

use std::cmp::Reverse;

use hafnia_ir::{Geometry, Tile};

/// Rows and columns of a tile, of a part of one, or of a macro.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Rows.
    pub rows: u32,
    /// Columns of cells.
    pub columns: u32,
}

impl Extent {
    /// The extent of a tile on a macro.
    pub fn of(tile: &Tile, geometry: &Geometry) -> Self {
        Self { rows: tile.physical_rows() as u32, columns: geometry.width(tile) as u32 }
    }

    /// The extent of a whole macro.
    pub fn whole(geometry: &Geometry) -> Self {
        Self { rows: geometry.rows as u32, columns: geometry.columns as u32 }
    }

    /// Its cells.
    pub fn cells(self) -> u64 {
        u64::from(self.rows) * u64::from(self.columns)
    }

    /// Whether it is no larger than `room` in either direction.
    pub fn fits(self, room: Self) -> bool {
        self.rows <= room.rows && self.columns <= room.columns
    }

    /// The largest part of it that fits.
    pub fn within(self, room: Self) -> Self {
        Self { rows: self.rows.min(room.rows), columns: self.columns.min(room.columns) }
    }
}

/// A rectangle of cells: free cells of a macro, or a part of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rectangle {
    /// Its first row.
    pub row: u32,
    /// Its first column.
    pub column: u32,
    /// Its size.
    pub extent: Extent,
}

impl Rectangle {
    /// The rectangle of this extent that begins with the first cell.
    pub fn first(extent: Extent) -> Self {
        Self { row: 0, column: 0, extent }
    }

    fn holds(self, other: Self) -> bool {
        let (end, other_end) = (self.end(), other.end());
        self.row <= other.row
            && self.column <= other.column
            && other_end.0 <= end.0
            && other_end.1 <= end.1
    }

    /// The row and the column after its last.
    pub fn end(self) -> (u32, u32) {
        (self.row + self.extent.rows, self.column + self.extent.columns)
    }

    /// Its rows from `start` to `end`.
    pub fn rows(self, start: u32, end: u32) -> Self {
        let rows = end.saturating_sub(start);
        Self { row: start, extent: Extent { rows, ..self.extent }, ..self }
    }

    /// Its columns from `start` to `end`.
    pub fn columns(self, start: u32, end: u32) -> Self {
        let columns = end.saturating_sub(start);
        Self { column: start, extent: Extent { columns, ..self.extent }, ..self }
    }

    /// The maximal parts of it that `taken` leaves.
    fn without(self, taken: Self) -> Vec<Self> {
        let ((row_end, column_end), (taken_row, taken_column)) = (self.end(), taken.end());
        if taken.row >= row_end
            || taken_row <= self.row
            || taken.column >= column_end
            || taken_column <= self.column
        {
            return vec![self];
        }
        let parts = [
            self.rows(self.row, taken.row),
            self.rows(taken_row, row_end),
            self.columns(self.column, taken.column),
            self.columns(taken_column, column_end),
        ];
        parts.into_iter().filter(|part| part.extent.cells() > 0).collect()
    }
}

/// The cells that are free on macros of one size.
#[derive(Debug, Clone)]
pub struct FreeSpace {
    whole: Extent,
    macros: Vec<Vec<Rectangle>>,
}

impl FreeSpace {
    /// No macro yet; each is to have this extent.
    pub fn new(whole: Extent) -> Self {
        Self { whole, macros: Vec::new() }
    }

    /// Number of macros.
    pub fn macros(&self) -> usize {
        self.macros.len()
    }

    /// Opens one more macro: returns its index and its cells.
    pub fn open(&mut self) -> (usize, Rectangle) {
        let room = Rectangle::first(self.whole);
        self.macros.push(vec![room]);
        (self.macros.len() - 1, room)
    }

    /// The first macro with a free rectangle for this extent, and the best of these by `rule`.
    pub fn first_fit(&self, extent: Extent, rule: FitRule) -> Option<(usize, Rectangle)> {
        (0..self.macros()).find_map(|index| Some((index, self.best_in(index, extent, rule)?)))
    }

    /// The best free rectangle of a macro for this extent, if it has one.
    pub fn best_in(&self, index: usize, extent: Extent, rule: FitRule) -> Option<Rectangle> {
        let fitting = self.macros[index].iter().filter(|room| extent.fits(room.extent));
        fitting.min_by_key(|room| (rule(extent, **room), room.column, room.row)).copied()
    }

    /// The free rectangle for a part of an extent that fits nowhere as a whole: the one that takes
    /// the largest part, of those that need one cut if there are any.
    pub fn best_cut(&self, extent: Extent) -> Option<(usize, Rectangle)> {
        let rooms = self.macros.iter().enumerate();
        let rooms = rooms.flat_map(|(index, rooms)| rooms.iter().map(move |&room| (index, room)));
        rooms.min_by_key(|&(index, room)| {
            let part = extent.within(room.extent);
            let cuts = u8::from(part.rows < extent.rows) + u8::from(part.columns < extent.columns);
            (cuts, Reverse(part.cells()), index, room.column, room.row)
        })
    }

    /// Takes cells of a macro.
    pub fn take(&mut self, index: usize, taken: Rectangle) {
        let rooms = &mut self.macros[index];
        *rooms = maximal(rooms.iter().flat_map(|room| room.without(taken)).collect());
    }
}

/// How well a free rectangle suits an extent, which fits it: the smaller, the better.
pub type FitRule = fn(Extent, Rectangle) -> (u64, u64);

/// Rules that are worth trying.
pub const FIT_RULES: [FitRule; 3] = [
    // The least room over in the tighter direction.
    |tile, room| {
        let rows = u64::from(room.extent.rows - tile.rows);
        let columns = u64::from(room.extent.columns - tile.columns);
        (rows.min(columns), rows.max(columns))
    },
    // The smallest room.
    |tile, room| {
        let rows = u64::from(room.extent.rows - tile.rows);
        let columns = u64::from(room.extent.columns - tile.columns);
        (room.extent.cells(), rows.min(columns))
    },
    // The room nearest to the first column, then to the first row.
    |_, room| (room.column.into(), room.row.into()),
];

/// The rectangles that no other holds.
fn maximal(rooms: Vec<Rectangle>) -> Vec<Rectangle> {
    let mut kept: Vec<Rectangle> = Vec::new();
    for room in rooms {
        if !kept.iter().any(|other| other.holds(room)) {
            kept.retain(|other| !room.holds(*other));
            kept.push(room);
        }
    }
    kept
}
