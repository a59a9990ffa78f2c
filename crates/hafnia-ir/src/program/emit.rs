//! What the files of a [`Program`] hold.

use std::fmt::Write as _;
use std::path::Path;

use hafnia_artifact::npy;
use hafnia_artifact::{ArtifactError, Digest, check_writable_folder, read, write_whole_folder};
use hafnia_model::BitMatrix;
use serde::{Deserialize, Serialize};

use super::Program;
use crate::mapping::{Geometry, Mapping, Matrix, MatrixId, Place, Tile, TileId};

/// The names of the columns of every table.
pub(super) const TILES: &str =
    "tile,matrix,replica,macro,row,column,rows,columns,entries,pre_add,address_bits,sign_bits";
pub(super) const SUMS: &str = "matrix,replica,logical_column,tile,macro,column,polarity";
pub(super) const SCAN: &str = "tile,position,logical_row,physical_row,sign,line";
pub(super) const COLUMNS: &str = "tile,column,logical_column,polarity";

/// What `program.json` holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) format: Format,
    pub(super) version: u32,
    pub(super) network: Digest,
    #[serde(rename = "macro")]
    pub(super) geometry: Sized,
    pub(super) macros: u32,
    pub(super) rows_per_conversion: usize,
    pub(super) input_control: String,
    pub(super) matrices: Vec<Listed>,
    /// The digest of the lines above this one.
    pub(super) above: Digest,
}

/// The digest of the lines of a header above its last field.
pub(super) fn digest_above(text: &str) -> Digest {
    let above = text.split("  \"above\"").next().unwrap_or_default();
    Digest::of(above.as_bytes())
}

/// The version of the folder's form.
pub(super) const VERSION: u32 = 3;

/// What the folder is.
#[derive(Serialize, Deserialize)]
pub(super) enum Format {
    #[serde(rename = "hafnia-program")]
    Program,
}

/// A name and a size.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sized {
    pub(super) name: String,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// A matrix, and its rows that take no cells.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// What the product of each column of an output counts, and the sum of the activations.
    pub(super) factors: Vec<i32>,
    pub(super) offset: i32,
    /// The same of the bit-planes of its activations; those of levels without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) inputs: Option<ListedCoding>,
    pub(super) dead_rows: Vec<u32>,
}

/// A coding.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListedCoding {
    pub(super) factors: Vec<i32>,
    pub(super) offset: i32,
}

impl Program {
    /// The files, by their paths in the folder, one after the other; those of a macro are made when
    /// their turn comes.
    pub fn files(&self) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
        let mapping = &self.mapping;
        let mut macros: Vec<Vec<TileId>> = vec![Vec::new(); mapping.macros()];
        for (id, tile) in mapping.tiles() {
            macros[place(tile).macro_index as usize].push(id);
        }
        let whole = [
            (Self::HEADER.to_owned(), header(self).into_bytes()),
            ("tiles.csv".to_owned(), tiles(mapping).into_bytes()),
            ("sums.csv".to_owned(), sums(mapping).into_bytes()),
        ];
        let macros = macros.into_iter().enumerate();
        let of_macros = macros.flat_map(|(index, tiles)| macro_files(mapping, index, &tiles));
        whole.into_iter().chain(of_macros)
    }

    /// Writes the files into a folder, whole or not at all; an older program there is replaced.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] naming the folder, also if it holds anything but a program.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<(), ArtifactError> {
        let folder = folder.as_ref();
        write_whole_folder(folder, is_ours(folder), self.files())
    }

    /// Whether [`write`](Self::write) could write this folder. Nothing is changed but that folders
    /// above are made.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn check_writable(folder: impl AsRef<Path>) -> Result<(), ArtifactError> {
        let folder = folder.as_ref();
        check_writable_folder(folder, is_ours(folder))
    }
}

/// Tells the files of the program that is in this folder, if there is one.
fn is_ours(folder: &Path) -> impl Fn(&Path, &str) -> bool {
    #[derive(Deserialize)]
    struct Form {
        #[serde(rename = "format")]
        _format: Format,
    }
    let header = read(folder.join(Program::HEADER)).unwrap_or_default();
    let is_program = serde_json::from_slice::<Form>(&header).is_ok();
    move |_, name| is_program && is_file(name)
}

/// Whether a path in a folder is that of a file of a program.
fn is_file(name: &str) -> bool {
    match name.split_once('/') {
        None => [Program::HEADER, "tiles.csv", "sums.csv"].contains(&name),
        Some((folder, file)) => {
            let number = folder.strip_prefix("macro-").unwrap_or_default();
            number.parse::<u32>().is_ok()
                && (MACRO_FILES.contains(&file) || file.ends_with(".rename.hex"))
        }
    }
}

/// The files of every macro.
const MACRO_FILES: [&str; 6] =
    ["cells.hex", "cells.csv", "cells.json", "cells.npy", "scan.csv", "columns.csv"];

/// The files of a macro, on which these tiles lie.
fn macro_files(mapping: &Mapping, index: usize, tiles: &[TileId]) -> Vec<(String, Vec<u8>)> {
    let cells = image(mapping, tiles);
    let contents = [
        cells_hex(&cells).into_bytes(),
        cells_csv(&cells).into_bytes(),
        cells_json(index, &cells).into_bytes(),
        npy::encode(&[cells.rows(), cells.columns()], &numbers(&cells)),
        scan(mapping, tiles).into_bytes(),
        columns(mapping, tiles).into_bytes(),
    ];
    let mut files: Vec<_> = MACRO_FILES.map(str::to_owned).into_iter().zip(contents).collect();
    for &id in tiles {
        let tile = &mapping.tiles[id.index()];
        if tile.table_bits() > 0 {
            files.push((format!("{id}.rename.hex"), rename_hex(tile).into_bytes()));
        }
    }
    files.into_iter().map(|(name, bytes)| (format!("{}/{name}", folder(index)), bytes)).collect()
}

/// The folder of a macro.
pub(super) fn folder(macro_index: usize) -> String {
    format!("macro-{macro_index}")
}

/// The place of a tile of a program.
fn place(tile: &Tile) -> Place {
    tile.place.expect("every tile of a program has its place")
}

/// The cells of a macro: those of its tiles, the rest HRS.
fn image(mapping: &Mapping, tiles: &[TileId]) -> BitMatrix {
    let mut cells = BitMatrix::zeros(mapping.geometry.rows, mapping.geometry.columns);
    for id in tiles {
        let tile = &mapping.tiles[id.index()];
        let Place { row: first_row, column: first_column, .. } = place(tile);
        for row in 0..tile.bits.rows() {
            for column in 0..tile.bits.columns() {
                let (r, c) = (row + first_row as usize, column + first_column as usize);
                cells.set(r, c, tile.bits.get(row, column));
            }
        }
    }
    cells
}

/// The cells as numbers, row by row.
fn numbers(cells: &BitMatrix) -> Vec<i8> {
    let row = |row| (0..cells.columns()).map(move |column| i8::from(cells.get(row, column)));
    (0..cells.rows()).flat_map(row).collect()
}

fn header(program: &Program) -> String {
    let mapping = &program.mapping;
    let Geometry { name, rows, columns, .. } = mapping.geometry.clone();
    let matrix = |matrix: &Matrix| Listed {
        name: matrix.name.clone(),
        rows: matrix.rows,
        columns: matrix.columns,
        factors: matrix.coding.factors().to_vec(),
        offset: matrix.coding.offset(),
        inputs: matrix.inputs.as_ref().map(|coding| ListedCoding {
            factors: coding.factors().to_vec(),
            offset: coding.offset(),
        }),
        dead_rows: matrix.dead.clone(),
    };
    let mut header = Header {
        format: Format::Program,
        version: VERSION,
        network: mapping.network,
        geometry: Sized { name, rows, columns },
        macros: mapping.macros() as u32,
        rows_per_conversion: program.rows_per_conversion,
        input_control: program.input_control.to_string(),
        matrices: mapping.matrices.iter().map(matrix).collect(),
        above: Digest::of(b""),
    };
    let text = |header: &Header| {
        serde_json::to_string_pretty(header).expect("strings and numbers are JSON") + "\n"
    };
    header.above = digest_above(&text(&header));
    text(&header)
}

/// Lines of a table after the names of its columns.
fn table(header: &str, lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().fold(format!("{header}\n"), |text, line| text + &line + "\n")
}

fn tiles(mapping: &Mapping) -> String {
    let line = |(id, tile): (TileId, &Tile)| {
        let Tile { matrix, replica, bits, rows, .. } = tile;
        let Place { macro_index, row, column } = place(tile);
        let (address, sign) = table_bits(tile);
        format!(
            "{},{},{replica},{macro_index},{row},{column},{},{},{},{},{address},{sign}",
            id.0,
            matrix.0,
            bits.rows(),
            bits.columns(),
            rows.len(),
            u8::from(tile.pre_add)
        )
    };
    table(TILES, mapping.tiles().map(line))
}

/// Bits of an entry of the stored table: of its address, of its sign.
fn table_bits(tile: &Tile) -> (usize, usize) {
    let entries = tile.rows.len();
    let sign = tile.sign_bits() / entries;
    (tile.table_bits() / entries - sign, sign)
}

/// Which columns of which macros are added for every output.
fn sums(mapping: &Mapping) -> String {
    let mut sums = Vec::new();
    for (id, tile) in mapping.tiles() {
        let Place { macro_index, column: first, .. } = place(tile);
        for (column, of) in (first..).zip(&tile.columns) {
            let sum = (tile.matrix, tile.replica, of.logical, id);
            sums.push((sum, macro_index, column, polarity(of.inverted)));
        }
    }
    sums.sort_unstable();
    let lines = sums.into_iter().map(|(sum, index, column, polarity)| {
        let (MatrixId(matrix), replica, logical, TileId(tile)) = sum;
        format!("{matrix},{replica},{logical},{tile},{index},{column},{polarity}")
    });
    table(SUMS, lines)
}

fn scan(mapping: &Mapping, tiles: &[TileId]) -> String {
    let lines = tiles.iter().flat_map(|&id| {
        let tile = &mapping.tiles[id.index()];
        let (first, lines) = (place(tile).row, tile.lines().of_entries);
        tile.rows.iter().zip(lines).enumerate().map(move |(position, (entry, line))| {
            let (logical, physical) = (entry.logical, first + entry.physical);
            let sign = polarity(entry.negative);
            format!("{},{position},{logical},{physical},{sign},{line}", id.0)
        })
    });
    table(SCAN, lines)
}

fn columns(mapping: &Mapping, tiles: &[TileId]) -> String {
    let lines = tiles.iter().flat_map(|&id| {
        let tile = &mapping.tiles[id.index()];
        (place(tile).column..).zip(&tile.columns).map(move |(column, of)| {
            format!("{},{column},{},{}", id.0, of.logical, polarity(of.inverted))
        })
    });
    table(COLUMNS, lines)
}

fn polarity(is_negative: bool) -> i8 {
    if is_negative { -1 } else { 1 }
}

/// A number a row, column 0 in its lowest bit.
fn cells_hex(cells: &BitMatrix) -> String {
    let mut text = String::new();
    for row in 0..cells.rows() {
        // `row_hex` begins with column 0, a number with its highest digit.
        text.extend(cells.row_hex(row).chars().rev());
        text.push('\n');
    }
    text
}

fn cells_csv(cells: &BitMatrix) -> String {
    (0..cells.rows()).fold(String::new(), |text, row| text + &listed(cells, row) + "\n")
}

fn cells_json(index: usize, cells: &BitMatrix) -> String {
    let (rows, columns) = (cells.rows(), cells.columns());
    let lines: Vec<String> = (0..rows).map(|row| format!("  [{}]", listed(cells, row))).collect();
    format!(
        "{{\"macro\": {index}, \"rows\": {rows}, \"columns\": {columns}, \"cells\": [\n{}\n]}}\n",
        lines.join(",\n")
    )
}

/// A row of cells, parted by commas.
fn listed(cells: &BitMatrix, row: usize) -> String {
    let mut text = String::with_capacity(2 * cells.columns());
    for column in 0..cells.columns() {
        if column > 0 {
            text.push(',');
        }
        text.push(if cells.get(row, column) { '1' } else { '0' });
    }
    text
}

/// A number an entry, in scan order: the sign bit, if there is one, above the address.
fn rename_hex(tile: &Tile) -> String {
    let (address, sign) = table_bits(tile);
    let digits = (address + sign).div_ceil(4);
    let mut text = String::new();
    for entry in tile.rows.iter() {
        let address_part = if address > 0 { u64::from(entry.physical) } else { 0 };
        let value = address_part | (u64::from(entry.negative) << address);
        writeln!(text, "{value:0digits$x}").expect("a string takes anything");
    }
    text
}
