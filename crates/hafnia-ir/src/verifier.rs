//! Checks that a mapping keeps the rules of its stage, which [`Rule`] lists.
//!
//! The verifier runs after every pass and over every file that is read: a violation after a pass is
//! a bug of the pass, a violation in a file means that the file was edited wrongly. It knows
//! nothing of the network; what the cells hold is the business of [`prove`](crate::prove).

use std::collections::BTreeMap;
use std::ops::Range;

use crate::coding::Coding;
use crate::mapping::{
    Column, Geometry, Mapping, Matrix, MatrixId, Place, RowEntry, Stage, Tile, TileId,
};
use crate::planes::Planes;
use crate::rules::{Faults, Location, Rule, Violations};

/// Checks the rules of the mapping's stage, [`Rule::Sizes`] to [`Rule::Places`]; time and memory are
/// near linear in its size.
///
/// # Errors
/// The violations of the first group of rules that has any, since each group builds on those before
/// it: sizes; single matrices and tiles, up to [`Rule::Order`]; all tiles together.
pub fn verify(mapping: &Mapping) -> Result<(), Violations> {
    let faults = &mut Faults::new(mapping);
    check_sizes(faults);
    faults.check()?;
    for (matrix, of) in mapping.matrices() {
        check_stripped(faults, matrix, of);
    }
    for (id, tile) in mapping.tiles() {
        check_tile(faults, id, tile);
    }
    faults.check()?;
    let replicas = mapping.tiles_by_replica();
    check_replica_numbers(faults, &replicas);
    for (&(matrix, replica), tiles) in &replicas {
        // A wrong mapping may have many replicas of a large matrix.
        if !faults.is_full() {
            check_coverage(faults, matrix, replica, tiles);
        }
    }
    match mapping.stage {
        Stage::Logical => check_whole(faults, &replicas),
        Stage::Tiled | Stage::Placed => check_fit(faults),
    }
    match mapping.stage {
        Stage::Logical | Stage::Tiled => check_unplaced(faults),
        Stage::Placed => check_places(faults),
    }
    faults.check()
}

/// The tiles of every replica of every matrix, each list ascending.
type Replicas = BTreeMap<(MatrixId, u32), Vec<TileId>>;

fn check_sizes(faults: &mut Faults<'_>) {
    let mapping = faults.mapping;
    let Geometry { name, rows, columns, cell_bits } = &mapping.geometry;
    check_size(faults, Location::default(), &format!("macro `{name}`"), *rows, *columns);
    for (matrix, of) in mapping.matrices() {
        let Matrix { name, rows, columns, coding, inputs, .. } = of;
        let at = Location::matrix(matrix);
        check_size(faults, at, &format!("`{name}`"), *rows, *columns);
        let slices = coding.slices();
        if ![1, 2].contains(cell_bits) || (*cell_bits == 2 && !coding.fills_cells()) {
            let fault = "cells must have 1 or 2, and then slices in pairs of which the second counts twice the first";
            let fault = format_args!("`{name}` has {coding} in cells of {cell_bits} bits: {fault}");
            faults.note(Rule::Sizes, at, fault);
        } else if !columns.is_multiple_of(slices) {
            let fault = format_args!(
                "`{name}` has {columns} columns, not a multiple of the {slices} slices of a weight"
            );
            faults.note(Rule::Sizes, at, fault);
        }
        let (planes, most) = (inputs.as_ref().map_or(0, Coding::slices), Planes::MOST_CODED);
        if planes > most {
            let fault = format_args!(
                "the inputs of `{name}` are coded in {planes} bit-planes, they must have at most {most}"
            );
            faults.note(Rule::Sizes, at, fault);
        }
    }
}

fn check_size(faults: &mut Faults<'_>, at: Location, of: &str, rows: usize, columns: usize) {
    let (side, cells) = (Matrix::MAX_SIDE, Matrix::MAX_CELLS);
    if !Matrix::is_size(rows, columns) {
        let fault = format_args!(
            "{of} is {rows}x{columns}: sides must lie in 1..={side}, cells be at most {cells}"
        );
        faults.note(Rule::Sizes, at, fault);
    }
}

fn check_stripped(faults: &mut Faults<'_>, matrix: MatrixId, of: &Matrix) {
    let (at, name) = (Location::matrix(matrix), &of.name);
    let (rows, mut first) = (of.rows, 0);
    for &row in &of.dead {
        if row < first || row as usize >= rows {
            let fault = format_args!(
                "dead row {row} of `{name}` must lie in {first}..{rows}, as dead rows ascend"
            );
            faults.note(Rule::Stripped, at, fault);
        }
        first = first.max(row.saturating_add(1));
    }
    if of.dead.len() == rows {
        let fault =
            format_args!("`{name}` leaves no weight to its tiles: all {rows} rows are dead");
        faults.note(Rule::Stripped, at, fault);
    }
}

fn check_tile(faults: &mut Faults<'_>, id: TileId, tile: &Tile) {
    let at = Location::tile(id, tile.matrix);
    let Some(of) = faults.mapping.matrices.get(tile.matrix.index()) else {
        let matrices = faults.mapping.matrices.len();
        let fault = format_args!("its matrix does not exist, the mapping has {matrices}");
        return faults.note(Rule::Shape, at, fault);
    };
    let (rows, columns, listed) = (tile.bits.rows(), tile.bits.columns(), tile.columns.len());
    if rows == 0 || columns == 0 {
        let fault = format_args!("it has no cells: {rows} physical rows, {columns} columns");
        return faults.note(Rule::Shape, at, fault);
    }
    if listed != columns {
        let fault = format_args!("it lists {listed} columns, its cells have {columns}");
        return faults.note(Rule::Shape, at, fault);
    }
    check_columns(faults, at, tile, of);
    check_entries(faults, at, tile, of);
}

fn check_columns(faults: &mut Faults<'_>, at: Location, tile: &Tile, of: &Matrix) {
    for (index, &Column { logical, .. }) in tile.columns.iter().enumerate() {
        if logical as usize >= of.columns {
            let fault = format_args!(
                "logical column {logical} does not exist, `{}` has {}",
                of.name, of.columns
            );
            faults.note(Rule::Columns, at.column(index), fault);
        }
    }
    if let Some((index, logical)) = first_repeat(tile.columns.iter().map(|column| column.logical)) {
        let fault = format_args!("logical column {logical} is listed twice");
        faults.note(Rule::Columns, at.column(index), fault);
    }
    if faults.mapping.geometry.cell_bits == 1 {
        return;
    }
    let is_cell = |pair: &[Column]| match pair {
        [low, high] => {
            low.logical.is_multiple_of(2)
                && low.logical.checked_add(1) == Some(high.logical)
                && low.inverted == high.inverted
        }
        _ => false,
    };
    if let Some(cell) = tile.columns.chunks(2).position(|pair| !is_cell(pair)) {
        let fault = format_args!(
            "it shares cells with column {}, so they must be an even logical column and the next, both inverted or neither",
            2 * cell + 1
        );
        faults.note(Rule::Columns, at.column(2 * cell), fault);
    }
}

fn check_entries(faults: &mut Faults<'_>, at: Location, tile: &Tile, of: &Matrix) {
    let rows = tile.bits.rows();
    let mut used = vec![false; rows];
    for (entry, RowEntry { logical, physical, .. }) in tile.rows.iter().enumerate() {
        let at = at.entry(entry);
        if logical as usize >= of.rows {
            let fault =
                format_args!("logical row {logical} does not exist, `{}` has {}", of.name, of.rows);
            faults.note(Rule::Entries, at, fault);
        } else if of.dead.binary_search(&logical).is_ok() {
            let fault = format_args!("logical row {logical} is dead in `{}`", of.name);
            faults.note(Rule::Entries, at, fault);
        }
        match used.get_mut(physical as usize) {
            Some(used) => *used = true,
            None => faults.note(
                Rule::Entries,
                at,
                format_args!("physical row {physical} does not exist, the tile has {rows}"),
            ),
        }
    }
    if let Some((entry, logical)) = first_repeat(tile.rows.logical().iter().copied()) {
        let fault = format_args!("logical row {logical} is held twice");
        faults.note(Rule::Entries, at.entry(entry), fault);
    }
    for physical in (0..rows).filter(|&row| !used[row]) {
        let fault = format_args!("no entry uses physical row {physical}");
        faults.note(Rule::UsedRows, at, fault);
    }
    let is_shared = tile.rows.len() > rows;
    let mut physical = tile.rows.scan().iter().map(|entry| entry.physical as usize).enumerate();
    if let Some((entry, physical)) = physical.find(|(entry, physical)| entry != physical)
        && !is_shared
    {
        let fault = format_args!(
            "it must be physical row {entry}, not {physical}, as the tile shares no rows"
        );
        faults.note(Rule::Order, at.entry(entry), fault);
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

fn check_replica_numbers(faults: &mut Faults<'_>, replicas: &Replicas) {
    for (matrix, of) in faults.mapping.matrices() {
        let numbers = replicas.range((matrix, 0)..=(matrix, u32::MAX)).map(|(key, _)| key.1);
        let in_order = numbers.clone().zip(0..).take_while(|(number, index)| number == index);
        let next = in_order.count();
        if next < numbers.count().max(1) {
            let fault = format_args!("`{}` has no tile of replica {next}", of.name);
            faults.note(Rule::Replicas, Location::matrix(matrix), fault);
        }
    }
}

fn check_coverage(faults: &mut Faults<'_>, matrix: MatrixId, replica: u32, tiles: &[TileId]) {
    let mapping = faults.mapping;
    let of = &mapping.matrices[matrix.index()];
    let at = Location::matrix(matrix);
    let mut covered = Cells::new(of.rows, of.columns);
    // No tile holds dead rows.
    let all = covered.mask(0..of.columns);
    for &row in &of.dead {
        covered.take(row as usize, &all).expect("dead rows differ from each other");
    }
    for (index, &second) in tiles.iter().enumerate() {
        let tile = &mapping.tiles[second.index()];
        let columns = covered.mask(tile.columns.iter().map(|column| column.logical as usize));
        let mut rows = tile.rows.logical().iter();
        let twice = rows.find_map(|&row| Some((row, covered.take(row as usize, &columns).err()?)));
        if let Some((row, column)) = twice {
            let holds = |id: &&TileId| {
                let tile = &mapping.tiles[id.index()];
                tile.rows.logical().contains(&row)
                    && tile.columns.iter().any(|other| other.logical as usize == column)
            };
            let first = tiles[..index].iter().find(holds).expect("an earlier tile took the cell");
            let weight = of.weight(replica, row as usize, column);
            let fault = format_args!("{weight} is in tile {first} and again in {second}");
            faults.note(Rule::Coverage, at, fault);
        }
    }
    if let Some((row, column)) = covered.first_free() {
        let fault = format_args!("{} is in no tile", of.weight(replica, row, column));
        faults.note(Rule::Coverage, at, fault);
    }
}

fn check_whole(faults: &mut Faults<'_>, replicas: &Replicas) {
    for (&(matrix, replica), tiles) in replicas {
        if let count @ 2.. = tiles.len() {
            let name = &faults.mapping.matrices[matrix.index()].name;
            let fault = format_args!(
                "replica {replica} of `{name}` is split into {count} tiles at stage logical"
            );
            faults.note(Rule::Whole, Location::matrix(matrix), fault);
        }
    }
}

fn check_fit(faults: &mut Faults<'_>) {
    let geometry = &faults.mapping.geometry;
    for (id, tile) in faults.mapping.tiles() {
        for (what, side, limit) in [
            ("physical rows", tile.bits.rows(), geometry.rows),
            ("columns of cells", geometry.width(tile), geometry.columns),
        ] {
            if side > limit {
                let fault = format_args!(
                    "{side} {what} do not fit the {limit} of macro `{}`",
                    geometry.name
                );
                faults.note(Rule::Fit, Location::tile(id, tile.matrix), fault);
            }
        }
    }
}

fn check_unplaced(faults: &mut Faults<'_>) {
    for (id, tile) in faults.mapping.tiles() {
        if tile.place.is_some() {
            let fault = format_args!("it has a place at stage {}", faults.mapping.stage);
            faults.note(Rule::Unplaced, Location::tile(id, tile.matrix), fault);
        }
    }
}

/// A rectangle of cells on a macro.
struct Rectangle {
    tile: TileId,
    rows: Range<usize>,
    columns: Range<usize>,
}

fn check_places(faults: &mut Faults<'_>) {
    let geometry = &faults.mapping.geometry;
    let mut macros: BTreeMap<u32, Vec<Rectangle>> = BTreeMap::new();
    for (id, tile) in faults.mapping.tiles() {
        let at = Location::tile(id, tile.matrix);
        let Some(Place { macro_index, row, column }) = tile.place else {
            faults.note(Rule::Places, at, format_args!("it has no place at stage placed"));
            continue;
        };
        let (row, column) = (row as usize, column as usize);
        let rows = row..row + tile.bits.rows();
        let columns = column..column + geometry.width(tile);
        let mut is_within = true;
        for (what, taken, limit) in
            [("rows", &rows, geometry.rows), ("columns", &columns, geometry.columns)]
        {
            is_within &= taken.end <= limit;
            // A tile that is too large for any macro is named by rule `Fit`.
            if taken.end > limit && taken.len() <= limit {
                let fault = format_args!(
                    "it takes {what} {taken:?} of macro {macro_index}, which has {limit}"
                );
                faults.note(Rule::Places, at, fault);
            }
        }
        let on_macro = macros.entry(macro_index).or_default();
        if is_within {
            on_macro.push(Rectangle { tile: id, rows, columns });
        }
    }
    let mut expected = 0;
    for (&macro_index, tiles) in &macros {
        if macro_index != expected {
            let fault =
                format_args!("macro {expected} holds no tile, though macro {macro_index} does");
            faults.note(Rule::Places, Location::default(), fault);
        }
        expected = macro_index.saturating_add(1);
        check_overlap(faults, macro_index, tiles);
    }
}

fn check_overlap(faults: &mut Faults<'_>, macro_index: u32, tiles: &[Rectangle]) {
    let geometry = &faults.mapping.geometry;
    let mut taken = Cells::new(geometry.rows, geometry.columns);
    for (index, second) in tiles.iter().enumerate() {
        let columns = taken.mask(second.columns.clone());
        let mut rows = second.rows.clone();
        if let Some((row, column)) =
            rows.find_map(|row| Some((row, taken.take(row, &columns).err()?)))
        {
            let holds =
                |other: &&Rectangle| other.rows.contains(&row) && other.columns.contains(&column);
            let first = tiles[..index].iter().find(holds).expect("an earlier tile took the cell");
            let matrix = faults.mapping.tiles[second.tile.index()].matrix;
            let fault = format_args!(
                "it takes cell ({row}, {column}) of macro {macro_index}, as tile {} does",
                first.tile
            );
            faults.note(Rule::Places, Location::tile(second.tile, matrix), fault);
        }
    }
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

    /// Takes the columns of a row, or returns the first that is already taken.
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
