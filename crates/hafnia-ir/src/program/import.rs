//! From files back to a [`Program`].

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use hafnia_artifact::npy;
use hafnia_artifact::{ArtifactError, read};
use hafnia_cim::{CimError, InputControl, MacroSpec};
use hafnia_model::{BitMatrix, HexError};
use hafnia_text::must;
use serde::Deserialize;

use super::Program;
use super::emit::{COLUMNS, Header, Listed, SCAN, Sized, TILES, VERSION, digest_above, folder};
use super::table::{Lines, Open, TextFile, shown};
use crate::coding::Coding;
use crate::file::FileError;
use crate::mapping::{
    Column, Geometry, Mapping, Matrix, MatrixId, Place, RowEntry, RowTable, Stage, Tile, TileId,
};
use crate::verifier::verify;

impl Program {
    /// Reads a program from its folder.
    ///
    /// # Errors
    /// If a file is missing, malformed (with file and line) or does not agree with the others, or
    /// the mapping is not valid.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self, FileError> {
        program(folder.as_ref(), &|path| read(path))
    }

    /// The program of these files, given by their paths in the folder.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_files(files: &BTreeMap<String, Vec<u8>>) -> Result<Self, FileError> {
        program(Path::new(""), &|path| {
            let file = path.to_str().and_then(|name| files.get(name));
            file.cloned().ok_or_else(|| ArtifactError::Io {
                action: "read",
                path: path.into(),
                source: io::ErrorKind::NotFound.into(),
            })
        })
    }
}

/// Reads the program in a folder; `open` reads files.
fn program(at: &Path, open: Open<'_>) -> Result<Program, FileError> {
    let (header, input_control) = header(at, open)?;
    let Sized { name, rows, columns } = header.geometry;
    let mut mapping = Mapping {
        stage: Stage::Placed,
        network: header.network,
        geometry: Geometry::new(name, rows, columns),
        matrices: Vec::new(),
        tiles: Vec::new(),
    };
    for listed in header.matrices {
        let Listed { name, rows, columns, factors, offset, inputs, dead_rows: dead } = listed;
        let coding = |factors, offset| {
            Coding::new(factors, offset).map_err(|fault| {
                let fault = format!("matrix `{name}`: {fault}");
                FileError::whole(&at.join(Program::HEADER), &fault)
            })
        };
        let inputs = inputs.map(|of| coding(of.factors, of.offset)).transpose()?;
        let coding = coding(factors, offset)?;
        mapping.matrices.push(Matrix { name, rows, columns, coding, inputs, dead });
    }
    let tiles = tiles(at, &mapping, header.macros, open)?;
    // Blocks are read macro by macro and put where their tiles stand.
    let mut blocks: Vec<Option<Tile>> = vec![None; tiles.len()];
    for index in 0..header.macros as usize {
        let of_macro = |(_, tile): &(TileId, &ListedTile)| tile.place.macro_index as usize == index;
        let tiles = (0..).map(TileId).zip(&tiles).filter(of_macro);
        macro_tiles(&at.join(folder(index)), &mapping, tiles.collect(), &mut blocks, open)?;
    }
    mapping.tiles = blocks.into_iter().map(|tile| tile.expect("its macro was read")).collect();
    verify(&mapping)
        .map_err(|source| FileError::Invalid { path: at.join(Program::HEADER), source })?;
    let rows_per_conversion = header.rows_per_conversion;
    let program = Program { mapping, input_control, rows_per_conversion };
    // Nothing else says how rows are gathered.
    let file = TextFile::open(at.join(Program::HEADER), open)?;
    let found = digest_above(file.text());
    if found != header.above {
        let fault = format!(
            "`above` is {}, the lines above it have SHA-256 {found}: one of them was changed",
            header.above
        );
        return Err(FileError::whole(file.path(), &fault));
    }
    for (name, bytes) in program.files() {
        compare(at, &name, &bytes, &program, open)?;
    }
    Ok(program)
}

/// What the header of every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

fn header(at: &Path, open: Open<'_>) -> Result<(Header, InputControl), FileError> {
    let file = TextFile::open(at.join(Program::HEADER), open)?;
    let wrong = |fault: &dyn fmt::Display| FileError::whole(file.path(), fault);
    // First the version: another one has other fields.
    let Versioned { version } = serde_json::from_str(file.text()).map_err(|error| wrong(&error))?;
    if version != VERSION {
        return Err(wrong(&format_args!(
            "`version` is {version}, it must be {VERSION}: make it again with `hafnia map --emit program`"
        )));
    }
    let header: Header = serde_json::from_str(file.text()).map_err(|error| wrong(&error))?;
    let rows = header.rows_per_conversion;
    if !(1..=MacroSpec::MOST_ROWS_PER_CONVERSION).contains(&rows) {
        let must = must(1, MacroSpec::MOST_ROWS_PER_CONVERSION);
        return Err(wrong(&format_args!("`rows_per_conversion` is {rows}, it {must}")));
    }
    let Sized { name, rows, columns } = &header.geometry;
    let matrix = |matrix: &Listed| ("matrix", matrix.name.clone(), matrix.rows, matrix.columns);
    let sizes = [("macro", name.clone(), *rows, *columns)].into_iter();
    for (what, name, rows, columns) in sizes.chain(header.matrices.iter().map(matrix)) {
        if !Matrix::is_size(rows, columns) {
            let (side, cells) = (Matrix::MAX_SIDE, Matrix::MAX_CELLS);
            return Err(wrong(&format_args!(
                "{what} `{name}` is {rows}x{columns}: sides must lie in 1..={side}, cells be at most {cells}"
            )));
        }
    }
    let control = header.input_control.parse().map_err(|error: CimError| wrong(&error))?;
    Ok((header, control))
}

/// A tile as `tiles.csv` has it.
struct ListedTile {
    matrix: MatrixId,
    replica: u32,
    place: Place,
    rows: u32,
    columns: u32,
    entries: u32,
    pre_add: bool,
}

fn tiles(
    at: &Path,
    mapping: &Mapping,
    macros: u32,
    open: Open<'_>,
) -> Result<Vec<ListedTile>, FileError> {
    let file = TextFile::open(at.join("tiles.csv"), open)?;
    let mut lines = file.table(TILES)?;
    let (rows, columns) = (mapping.geometry.rows as u64, mapping.geometry.columns as u64);
    let mut tiles = Vec::new();
    while let Some(line) = lines.next() {
        let id = tiles.len() as u64;
        let mut fields = line.fields::<12>()?;
        fields.number("tile", id..id + 1)?;
        let matrix = MatrixId(fields.number("matrix", 0..mapping.matrices.len() as u64)?);
        let replica = fields.number("replica", 0..1 << 32)?;
        let macro_index = fields.number("macro", 0..macros.into())?;
        let row = fields.number("row", 0..rows)?;
        let column = fields.number("column", 0..columns)?;
        let place = Place { macro_index, row, column };
        let of = &mapping.matrices[matrix.index()];
        // Every row is some entry's: a few lines cannot ask for large tiles.
        let most_rows = (rows - u64::from(row)).min(of.rows as u64);
        let tile_rows = fields.number("rows", 1..most_rows + 1)?;
        tiles.push(ListedTile {
            matrix,
            replica,
            place,
            rows: tile_rows,
            columns: fields.number("columns", 1..columns - u64::from(column) + 1)?,
            entries: fields.number("entries", tile_rows.into()..of.rows as u64 + 1)?,
            pre_add: fields.number("pre_add", 0..2)? == 1,
        });
    }
    Ok(tiles)
}

/// Reads the tiles of a macro from its folder.
fn macro_tiles(
    at: &Path,
    mapping: &Mapping,
    tiles: Vec<(TileId, &ListedTile)>,
    blocks: &mut [Option<Tile>],
    open: Open<'_>,
) -> Result<(), FileError> {
    let cells = cells(at, mapping, open)?;
    let (scan, columns) = (at.join("scan.csv"), at.join("columns.csv"));
    let (scan, columns) = (TextFile::open(scan, open)?, TextFile::open(columns, open)?);
    let (mut scan, mut columns) = (scan.table(SCAN)?, columns.table(COLUMNS)?);
    for (id, tile) in tiles {
        let of = &mapping.matrices[tile.matrix.index()];
        let (row, column) = (tile.place.row as usize, tile.place.column as usize);
        blocks[id.index()] = Some(Tile {
            matrix: tile.matrix,
            replica: tile.replica,
            rows: entries(&mut scan, id, tile, of)?,
            columns: listed_columns(&mut columns, id, tile, of)?,
            bits: BitMatrix::from_fn(tile.rows as usize, tile.columns as usize, |r, c| {
                cells.get(row + r, column + c)
            }),
            pre_add: tile.pre_add,
            place: Some(tile.place),
        });
    }
    scan.end()?;
    columns.end()
}

/// The entries of a tile, from the lines of `scan.csv` that are its.
fn entries(
    scan: &mut Lines<'_>,
    id: TileId,
    tile: &ListedTile,
    of: &Matrix,
) -> Result<RowTable, FileError> {
    let (id, first) = (u64::from(id.0), u64::from(tile.place.row));
    let mut rows = RowTable::default();
    for position in 0..u64::from(tile.entries) {
        let mut fields =
            scan.expect(format_args!("position {position} of tile {id}"))?.fields::<6>()?;
        fields.number("tile", id..id + 1)?;
        fields.number("position", position..position + 1)?;
        let logical = fields.number("logical_row", 0..of.rows as u64)?;
        let physical = fields.number("physical_row", first..first + u64::from(tile.rows))?;
        let physical = physical - tile.place.row;
        rows.push(RowEntry { logical, physical, negative: fields.is_negative("sign")? });
    }
    Ok(rows)
}

/// The columns of a tile, from the lines of `columns.csv` that are its.
fn listed_columns(
    lines: &mut Lines<'_>,
    id: TileId,
    tile: &ListedTile,
    of: &Matrix,
) -> Result<Vec<Column>, FileError> {
    let id = u64::from(id.0);
    let mut columns = Vec::new();
    for column in (u64::from(tile.place.column)..).take(tile.columns as usize) {
        let mut fields =
            lines.expect(format_args!("column {column} of tile {id}"))?.fields::<4>()?;
        fields.number("tile", id..id + 1)?;
        fields.number("column", column..column + 1)?;
        let logical = fields.number("logical_column", 0..of.columns as u64)?;
        columns.push(Column { logical, inverted: fields.is_negative("polarity")? });
    }
    Ok(columns)
}

/// The image of a macro.
fn cells(at: &Path, mapping: &Mapping, open: Open<'_>) -> Result<BitMatrix, FileError> {
    let file = TextFile::open(at.join("cells.hex"), open)?;
    let Geometry { rows, columns, .. } = mapping.geometry;
    let mut lines = file.lines();
    let mut given = Vec::new();
    // All lines are there before anything of the macro's size is made.
    for row in 0..rows {
        given.push(lines.expect(format_args!("row {row} of {rows}"))?);
    }
    lines.end()?;
    let digits = columns.div_ceil(4);
    if let Some(line) = given.iter().find(|line| line.text.chars().count() != digits) {
        return Err(line.expected(format_args!("{digits} hexadecimal digits (0-9, a-f)")));
    }
    let mut cells = BitMatrix::zeros(rows, columns);
    for (row, line) in given.into_iter().enumerate() {
        let hex: String = line.text.chars().rev().collect();
        cells.set_row_hex(row, &hex).map_err(|error| match error {
            HexError::Beyond { last_column } => {
                line.expected(format_args!("no bit beyond column {last_column}"))
            }
            _ => line.expected(format_args!("{digits} hexadecimal digits (0-9, a-f)")),
        })?;
    }
    Ok(cells)
}

/// Whether a file says what follows from those that the program was read from.
fn compare(
    at: &Path,
    name: &str,
    expected: &[u8],
    program: &Program,
    open: Open<'_>,
) -> Result<(), FileError> {
    if name.ends_with(".npy") {
        return compare_array(at, name, expected, program, open);
    }
    let file = TextFile::open(at.join(name), open)?;
    let expected = std::str::from_utf8(expected).expect("all but arrays is text");
    if file.text() == expected {
        return Ok(());
    }
    let (mut ours, mut theirs) = (expected.lines(), file.text().lines());
    let mut line = 0;
    loop {
        line += 1;
        let (path, end) = (file.path().to_owned(), || "the end".to_owned());
        let differs = |column, expected: String, found: String| {
            let fault = format!(
                "expected {expected}, found {found}: the other files of the program say so"
            );
            Err(FileError::Content { path, line: Some(line), column: Some(column), fault })
        };
        match (ours.next(), theirs.next()) {
            (Some(ours), Some(theirs)) if ours == theirs => {}
            (Some(ours), Some(theirs)) => {
                let same = ours.chars().zip(theirs.chars()).take_while(|(a, b)| a == b).count();
                let rest = |text: &str| match text.chars().skip(same).collect::<String>() {
                    rest if rest.is_empty() => "the end of the line".to_owned(),
                    rest => shown(&rest),
                };
                return differs(same + 1, rest(ours), rest(theirs));
            }
            (Some(ours), None) => return differs(1, shown(ours), end()),
            (None, Some(theirs)) => return differs(1, end(), shown(theirs)),
            // Only the ends of lines differ.
            (None, None) => return differs(1, end(), "other line breaks".to_owned()),
        }
    }
}

fn compare_array(
    at: &Path,
    name: &str,
    expected: &[u8],
    program: &Program,
    open: Open<'_>,
) -> Result<(), FileError> {
    let path = at.join(name);
    let bytes = open(&path)?;
    if bytes == expected {
        return Ok(());
    }
    let wrong = |fault: &dyn fmt::Display| FileError::whole(&path, fault);
    let decode = |bytes| npy::decode::<i8>(bytes);
    let found =
        decode(&bytes).map_err(|error| wrong(&format_args!("not an array of cells: {error}")))?;
    let Geometry { rows, columns, .. } = program.mapping.geometry;
    if found.shape != [rows, columns] {
        let shape = &found.shape;
        return Err(wrong(&format_args!(
            "its shape is {shape:?}, that of the macro [{rows}, {columns}]"
        )));
    }
    let ours = decode(expected).expect("an array that we wrote").values;
    match found.values.iter().zip(&ours).position(|(found, ours)| found != ours) {
        // Another way to write the same array.
        None => Ok(()),
        Some(cell) => {
            let (row, column, found) = (cell / columns, cell % columns, found.values[cell]);
            let ours = ours[cell];
            Err(wrong(&format_args!("cell ({row}, {column}) is {found}, cells.hex says {ours}")))
        }
    }
}
