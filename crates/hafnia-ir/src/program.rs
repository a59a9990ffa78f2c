//! [`Program`]: a placed mapping as the files from which a chip is programmed.
//!
//! A mapping in its text form is for compilers; a programmer of chips wants, for every macro, the
//! image of its cells, the tables beside them and the sequence of the scan, in forms that hardware
//! tools read (`$readmemh`, CSV, JSON, NumPy). `docs/formats.md` describes every file.
//!
//! The mapping can be had back: it is read from the cells in `cells.hex`, the entries in `scan.csv`
//! and the columns in `columns.csv` of every macro and the tiles in `tiles.csv`; everything is then
//! made anew, and every other file has to say the same. So no file of a folder can go wrong unseen.
//!
//! Cost: some 6 bytes of files a cell, made macro by macro.

mod emit;
mod import;
mod table;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use hafnia_artifact::{ArtifactError, read, write_whole_folder};
use hafnia_cim::{InputControl, MacroSpec};
use hafnia_model::npy::NpyError;

use crate::{Geometry, Mapping, Stage, Violation, verify};

/// A placed mapping, and how its macros scan their rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Placed, and verified.
    mapping: Mapping,
    input_control: InputControl,
    rows_per_conversion: usize,
}

/// Why a mapping makes no program, or files are none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// The mapping is not placed.
    #[error(
        "only a placed mapping makes a program, this one is {stage}: end its pipeline with a pass that places tiles, such as `pack`"
    )]
    Stage {
        /// Its stage.
        stage: Stage,
    },
    /// The mapping is for another macro.
    #[error(
        "the mapping is for macro `{}` of {}x{}, the program for `{}` of {}x{}",
        mapping.name, mapping.rows, mapping.columns, spec.name, spec.rows, spec.columns
    )]
    Geometry {
        /// The macro of the mapping.
        mapping: Geometry,
        /// The macro that is programmed.
        spec: Geometry,
    },
    /// Cells hold more than a bit, which the files have no form for.
    #[error(
        "macro `{name}` has cells of {cell_bits} bits, the files of a program hold 1 bit a cell"
    )]
    MultiLevel {
        /// The macro.
        name: String,
        /// Bits of a cell.
        cell_bits: u8,
    },
    /// The mapping breaks a rule.
    #[error("the mapping breaks a rule of mappings")]
    Mapping(#[source] Violation),
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ArtifactError),
    /// A file is not text.
    #[error("{} is not text: byte {byte} is not UTF-8", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The first byte that is wrong, from 0.
        byte: usize,
    },
    /// The header is not the JSON that it should be.
    #[error("{}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and how.
        source: serde_json::Error,
    },
    /// A line of a table or image is not what it should be.
    #[error("{}:{line}: expected {expected}, found {found}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What should stand there.
        expected: String,
        /// What does.
        found: String,
    },
    /// A file is right by itself, but says other than those that the mapping is read from.
    #[error(
        "{}:{line}:{column}: expected {expected}, found {found}: \
         the other files of the program say so",
        path.display()
    )]
    Differs {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The character within the line, from 1.
        column: usize,
        /// What follows from the other files.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A file is no NumPy array.
    #[error("{} is no array of cells", path.display())]
    Npy {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NpyError,
    },
    /// An array is not as large as a macro.
    #[error("{}: its shape is {found:?}, the macro's {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// Sides of the array.
        found: Vec<usize>,
        /// Rows and columns of the macro.
        expected: [usize; 2],
    },
    /// A cell of an array is not that of `cells.hex`.
    #[error("{}: cell ({row}, {column}) is {found}, cells.hex says {expected}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// Row on the macro.
        row: usize,
        /// Column on the macro.
        column: usize,
        /// What the array says.
        found: i8,
        /// What the image says.
        expected: i8,
    },
    /// Every file is right by itself, but the mapping that they give breaks a rule.
    #[error("the mapping of {} breaks a rule of mappings", path.display())]
    Invalid {
        /// The header of the program.
        path: PathBuf,
        /// Which.
        source: Violation,
    },
}

impl Program {
    /// The file without which a folder is no program.
    pub const HEADER: &str = "program.json";

    /// The program of a mapping for macros of this kind.
    ///
    /// # Errors
    /// If the mapping is not placed, not for these macros, for macros with multi-level cells, or not
    /// valid.
    pub fn of(mapping: &Mapping, spec: &MacroSpec) -> Result<Self, ProgramError> {
        if mapping.stage != Stage::Placed {
            return Err(ProgramError::Stage { stage: mapping.stage });
        }
        let geometry = Geometry::from(spec);
        if mapping.geometry != geometry {
            return Err(ProgramError::Geometry {
                mapping: mapping.geometry.clone(),
                spec: geometry,
            });
        }
        if geometry.cell_bits > 1 {
            let Geometry { name, cell_bits, .. } = geometry;
            return Err(ProgramError::MultiLevel { name, cell_bits });
        }
        verify(mapping).map_err(ProgramError::Mapping)?;
        Ok(Self {
            mapping: mapping.clone(),
            input_control: spec.input_control,
            rows_per_conversion: spec.rows_per_conversion,
        })
    }

    /// The mapping; it is placed and valid.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// How active rows are gathered into conversions.
    pub fn input_control(&self) -> InputControl {
        self.input_control
    }

    /// Most rows that are on in one conversion.
    pub fn rows_per_conversion(&self) -> usize {
        self.rows_per_conversion
    }

    /// The files, by their paths in the folder, one after the other.
    pub fn files(&self) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
        emit::files(self)
    }

    /// Writes the files into a folder, whole or not at all; an older program there is replaced.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] naming the folder, also if it holds anything but a program.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<(), ArtifactError> {
        write_whole_folder(folder, Self::HEADER, self.files())
    }

    /// Reads a program from its folder.
    ///
    /// # Errors
    /// If a file is missing, malformed (with file and line) or does not agree with the others, or
    /// the mapping is not valid.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self, ProgramError> {
        import::program(folder.as_ref(), &|path| read(path))
    }

    /// The program of these files, given by their paths in the folder.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_files(files: &BTreeMap<String, Vec<u8>>) -> Result<Self, ProgramError> {
        import::program(Path::new(""), &|path| {
            let file = path.to_str().and_then(|name| files.get(name));
            file.cloned().ok_or_else(|| ArtifactError::Io {
                action: "read",
                path: path.into(),
                source: io::ErrorKind::NotFound.into(),
            })
        })
    }
}
