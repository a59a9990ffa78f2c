//! [`SavedChip`]: a virtual chip as a thing, programmed once, kept in a file, inspected and run.
//!
//! It holds its conductances and thresholds, so that a run of it does not depend on how they were
//! drawn, and what they were drawn from: the same seed and number make the same cells under
//! another mapping, which is the basis of paired comparison.

use std::fmt::Write as _;

use hafnia_artifact::{Artifact, Digest};
use hafnia_cim::{Adc, CimError, FAULT_MAP_HEADER, Fabrication, MacroSpec};
use hafnia_ir::{Mapping, TileId};
use hafnia_rng::Seed;
use hafnia_simd::LANES;
use serde::{Deserialize, Serialize};

use crate::chip::{Chip, ChipTile};
use crate::error::SimError;

/// A programmed chip, with the mapping and the macro that it was programmed for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedChip {
    /// Digest of the text form of the mapping it was programmed with.
    pub mapping: Digest,
    /// Name of the macro.
    pub macro_name: String,
    /// Every key of the macro with its value as text.
    pub macro_values: Vec<(String, String)>,
    /// The seed that its cells and temporal noise were drawn from.
    pub seed: Seed,
    /// Number of macros.
    pub macros: u32,
    /// Stuck cells of all its macros: macro, row, column, and whether at LRS.
    pub stuck: Vec<([u32; 3], bool)>,
    chip: Chip,
}

impl Artifact for SavedChip {
    const KIND: &'static str = "chip";
    const SCHEMA: u32 = 1;
    const REMAKE: &'static str = "hafnia chip program";

    fn validate(&self) -> Result<(), String> {
        let spec = self.spec().map_err(|error| error.to_string())?;
        let (tiles, macros) = (self.chip.tiles.len(), self.macros as usize);
        // Every macro of a mapping holds a tile.
        if !(1..=tiles).contains(&macros) {
            return Err(format!("it has {tiles} tiles on {macros} macros"));
        }
        for (index, tile) in self.chip.tiles.iter().enumerate() {
            tile.validate(&spec).map_err(|fault| format!("tile {index} {fault}"))?;
        }
        let is_there = |&([macro_index, row, column], _): &([u32; 3], bool)| {
            macro_index < self.macros
                && (row as usize) < spec.rows
                && (column as usize) < spec.columns
        };
        if !self.stuck.is_sorted_by(|a, b| a.0 < b.0) || !self.stuck.iter().all(is_there) {
            return Err("its stuck cells must ascend and lie on its macros".to_owned());
        }
        Ok(())
    }
}

impl SavedChip {
    /// Programs chip number `number` of `seed`.
    ///
    /// # Errors
    /// As [`Chip::program`].
    pub fn program(
        mapping: &Mapping,
        spec: &MacroSpec,
        seed: Seed,
        number: u64,
    ) -> Result<Self, SimError> {
        let chip = Chip::program(mapping, spec, seed, number)?;
        let fabrication = Fabrication::new(spec, seed, number);
        let macros = mapping.macros() as u32;
        let mut stuck = Vec::new();
        for macro_index in 0..macros {
            for row in 0..spec.rows as u32 {
                let states = (0..).zip(fabrication.stuck(macro_index, row));
                let cell = |(column, state): (u32, Option<bool>)| {
                    state.map(|lrs| ([macro_index, row, column], lrs))
                };
                stuck.extend(states.filter_map(cell));
            }
        }
        let macro_values =
            spec.values().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mapping = digest(mapping);
        let macro_name = spec.name.clone();
        Ok(Self { mapping, macro_name, macro_values, seed, macros, stuck, chip })
    }

    /// Number of the chip among those of its seed.
    pub fn number(&self) -> u64 {
        self.chip.number
    }

    /// The macro that it was programmed for, but for its fault map: what that says is in the cells.
    ///
    /// # Errors
    /// If the values are none of this version.
    pub fn spec(&self) -> Result<MacroSpec, CimError> {
        let values = self.macro_values.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let values = values.filter(|(key, _)| *key != "faults.map");
        MacroSpec::from_values(&self.macro_name, values)
    }

    /// The chip, to be run under `mapping` with the temporal noise of `spec`.
    ///
    /// # Errors
    /// If it was programmed with another mapping or for another converter, or does not hold the tiles
    /// of its own.
    pub fn chip(&self, mapping: &Mapping, spec: &MacroSpec) -> Result<&Chip, SimError> {
        let (chip, found) = (self.chip.number, digest(mapping));
        if found != self.mapping {
            return Err(SimError::OtherMapping { chip, programmed: self.mapping, mapping: found });
        }
        let expected = spec.adc.max_code();
        let comparators =
            |tile: &ChipTile| tile.thresholds.len().checked_div(tile.blocks).unwrap_or(expected);
        for comparators in self.chip.tiles.iter().map(comparators) {
            if comparators != expected {
                let spec = spec.name.clone();
                return Err(SimError::OtherConverter { chip, comparators, spec, expected });
            }
        }
        let is_whole = self.macros as usize == mapping.macros()
            && self.chip.tiles.len() == mapping.tiles.len()
            && mapping.tiles.iter().zip(&self.chip.tiles).all(|(tile, programmed)| {
                let (rows, columns) = (tile.physical_rows(), mapping.geometry.width(tile));
                programmed.holds(rows, columns)
            });
        match is_whole {
            true => Ok(&self.chip),
            false => Err(SimError::OtherTiles { chip }),
        }
    }

    /// Mean and standard deviation, in LSB, of what cells programmed to HRS, to LRS, or to every
    /// level from one to the other, add to a signal, and how many there are.
    ///
    /// # Errors
    /// If it was programmed with another mapping or for another converter.
    pub fn states(
        &self,
        mapping: &Mapping,
        spec: &MacroSpec,
    ) -> Result<Vec<(f64, f64, usize)>, SimError> {
        let chip = self.chip(mapping, spec)?;
        let cell = usize::from(mapping.geometry.cell_bits);
        let mut signals = vec![Vec::new(); 1 << cell];
        for (id, tile) in mapping.tiles() {
            for row in 0..tile.physical_rows() {
                for column in 0..mapping.geometry.width(tile) {
                    let bit = |plane| usize::from(tile.bits.get(row, column * cell + plane));
                    let level: usize = (0..cell).map(|plane| bit(plane) << plane).sum();
                    let signal = chip.cell_lsb(TileId(id.0), row, column);
                    signals[level].push(f64::from(signal));
                }
            }
        }
        let moments = |signals: Vec<f64>| {
            let n = signals.len();
            let mean = signals.iter().sum::<f64>() / n.max(1) as f64;
            let square = |signal: &f64| (signal - mean) * (signal - mean);
            let variance =
                signals.iter().map(square).sum::<f64>() / n.saturating_sub(1).max(1) as f64;
            (mean, variance.sqrt(), n)
        };
        Ok(signals.into_iter().map(moments).collect())
    }

    /// The stuck cells as CSV, which the key `faults.map` reads.
    pub fn stuck_csv(&self) -> String {
        let mut text = format!("{FAULT_MAP_HEADER}\n");
        for ([macro_index, row, column], lrs) in &self.stuck {
            let state = if *lrs { "LRS" } else { "HRS" };
            // writing to a string cannot fail
            let _ = writeln!(text, "{macro_index},{row},{column},{state}");
        }
        text
    }

    /// The thresholds of every converter of every macro as CSV, with how far each is from
    /// [`Adc::threshold_lsb`].
    ///
    /// # Errors
    /// As [`SavedChip::spec`].
    pub fn offsets_csv(&self) -> Result<String, CimError> {
        let spec = self.spec()?;
        let fabrication = Fabrication::new(&spec, self.seed, self.chip.number);
        let mut thresholds = vec![0.0; spec.adc.max_code()];
        let mut text = "macro,column,comparator,threshold_lsb,offset_lsb\n".to_owned();
        for macro_index in 0..self.macros {
            for column in 0..spec.columns as u32 {
                fabrication.thresholds(macro_index, column, &mut thresholds);
                for (comparator, threshold) in (1..).zip(&thresholds) {
                    let offset = threshold - Adc::threshold_lsb(comparator - 1);
                    // writing to a string cannot fail
                    let _ =
                        writeln!(text, "{macro_index},{column},{comparator},{threshold},{offset}");
                }
            }
        }
        Ok(text)
    }

    /// Bytes of conductances and thresholds.
    pub fn size(&self) -> usize {
        let of = |tile: &ChipTile| tile.cells.len() + tile.thresholds.len();
        4 * LANES * self.chip.tiles.iter().map(of).sum::<usize>()
    }
}

/// The digest by which mappings are told apart: that of the text form.
fn digest(mapping: &Mapping) -> Digest {
    Digest::of(mapping.to_string().as_bytes())
}
