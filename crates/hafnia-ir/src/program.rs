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

use hafnia_cim::{InputControl, MacroSpec};

use crate::mapping::{Geometry, Mapping, Stage};
use crate::rules::Violations;
use crate::verifier::verify;

/// A placed mapping, and how its macros scan their rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Placed, and verified.
    mapping: Mapping,
    input_control: InputControl,
    rows_per_conversion: usize,
}

/// Why a mapping makes no program for a macro.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// The mapping is not placed.
    #[error(
        "only a placed mapping makes a program, this one is {0}: end its pipeline with a pass that places tiles, such as `pack`"
    )]
    Stage(Stage),
    /// The mapping is for the first macro, the program for the second.
    #[error("the mapping is for macro {0}, the program for macro {1}")]
    Geometry(Geometry, Geometry),
    /// Cells hold more than a bit, which the files have no form for.
    #[error("macro {0}: the files of a program hold 1 bit per cell")]
    MultiLevel(Geometry),
    /// The mapping breaks rules.
    #[error("the mapping breaks the rules of mappings")]
    Invalid(#[from] Violations),
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
            return Err(ProgramError::Stage(mapping.stage));
        }
        let geometry = Geometry::from(spec);
        if mapping.geometry != geometry {
            return Err(ProgramError::Geometry(mapping.geometry.clone(), geometry));
        }
        if geometry.cell_bits > 1 {
            return Err(ProgramError::MultiLevel(geometry));
        }
        verify(mapping)?;
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
}
