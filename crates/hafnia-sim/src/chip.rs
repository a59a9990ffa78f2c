//! [`Chip`]: what is drawn once for a virtual chip, its cells and its comparators' offsets.

use std::collections::BTreeMap;

use hafnia_cim::{Fabrication, MacroSpec};
use hafnia_ir::{Mapping, Place, Stage, Tile, TileId};
use hafnia_rng::Seed;
use hafnia_simd::LANES;
use hafnia_text::must;
use serde::{Deserialize, Serialize};

use crate::error::SimError;
use crate::fit::check_fit;
use crate::wires::Array;

/// A virtual chip: the macros of a placed mapping, programmed, with the static noise of `spec`.
///
/// Cells are drawn by (seed, chip, macro, row on the macro, column on the macro), comparators by
/// (seed, chip, macro, column, comparator): a tile that is moved meets other cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chip {
    /// Number of the chip among those of its seed.
    pub number: u64,
    pub(crate) tiles: Vec<ChipTile>,
}

/// The part of a chip that a tile occupies, in blocks of [`LANES`] columns padded with cells of 0
/// and comparators that never fire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChipTile {
    /// Blocks of columns.
    pub(crate) blocks: usize,
    /// (physical row, block): signal of a cell in LSB, less the nominal leakage of a cell in HRS
    /// that the reference subtracts.
    pub(crate) cells: Vec<[f32; LANES]>,
    /// (block, comparator): threshold in LSB.
    pub(crate) thresholds: Vec<[f32; LANES]>,
}

impl Chip {
    /// Programs chip number `chip` of `seed` with the bits of `mapping`.
    ///
    /// A cell conducts g·(1 + σ·z), g and σ of its state. As g_LRS − g_HRS is one LSB and the
    /// reference subtracts g_HRS for every row on, it adds bit + g·σ·z to the signal of a
    /// conversion. A cell of 2 bits does so with its level in place of the bit, g_LRS − g_HRS being
    /// three LSB. Comparator k has its threshold at `Adc::threshold_lsb` + offset·z. Whatever else `spec`
    /// switches on acts on these numbers (`docs/noise.md`).
    ///
    /// # Errors
    /// If the mapping is not placed, is not well formed or is for macros of another size.
    pub fn program(
        mapping: &Mapping,
        spec: &MacroSpec,
        seed: Seed,
        chip: u64,
    ) -> Result<Self, SimError> {
        if mapping.stage != Stage::Placed {
            return Err(SimError::Stage { stage: mapping.stage });
        }
        check_fit(mapping, spec)?;
        Ok(Self::program_checked(mapping, spec, seed, chip))
    }

    /// As [`Chip::program`], for a mapping that was checked and is placed.
    pub(crate) fn program_checked(
        mapping: &Mapping,
        spec: &MacroSpec,
        seed: Seed,
        chip: u64,
    ) -> Self {
        let fabrication = Fabrication::new(spec, seed, chip);
        let program = |tile: &Tile| {
            let place = tile.place.expect("every tile of a placed mapping has its place");
            ChipTile::program(tile, place, &fabrication, spec)
        };
        let mut tiles: Vec<_> = mapping.tiles.iter().map(program).collect();
        if spec.wires.are_resistive() {
            attenuate(mapping, spec, &mut tiles);
        }
        Self { number: chip, tiles }
    }

    /// What a cell adds to the signal of a conversion in which its row is on, in LSB: its
    /// programmed bit, or level, but for static noise. `column` counts cells.
    ///
    /// # Panics
    /// If there is no such tile, physical row or column.
    pub fn cell_lsb(&self, tile: TileId, row: usize, column: usize) -> f32 {
        let tile = &self.tiles[tile.index()];
        tile.cells[row * tile.blocks + column / LANES][column % LANES]
    }
}

/// What a cell may add to a signal, in LSB: far more than any does, and so little that sums of cells
/// stay finite.
const LARGEST_LSB: f32 = 1e30;

impl ChipTile {
    /// Checks a tile that was read: whether it is whole, fits the macro, and all its numbers are some.
    pub(crate) fn validate(&self, spec: &MacroSpec) -> Result<(), String> {
        let Self { blocks, cells, thresholds } = self;
        let (most_blocks, comparators) = (spec.columns.div_ceil(LANES), spec.adc.max_code());
        if !(1..=most_blocks).contains(blocks) {
            return Err(format!("has {blocks} blocks, it {}", must(1, most_blocks)));
        }
        let rows = cells.len() / blocks;
        if cells.len() != rows * blocks || !(1..=spec.rows).contains(&rows) {
            let most = spec.rows;
            return Err(format!("has cells for no whole number of rows up to {most}"));
        }
        if thresholds.len() != blocks * comparators {
            let found = thresholds.len();
            return Err(format!("has {found} rows of thresholds, not {blocks} x {comparators}"));
        }
        let is_cell = |lsb: &f32| (-LARGEST_LSB..=LARGEST_LSB).contains(lsb);
        if let Some(lsb) = cells.as_flattened().iter().find(|&lsb| !is_cell(lsb)) {
            return Err(format!("has a cell of {lsb} LSB, it must be a finite number"));
        }
        // Columns beyond the last one have infinite thresholds, which nothing reaches.
        match thresholds.as_flattened().iter().any(|lsb| lsb.is_nan()) {
            true => Err("has a threshold that is no number".to_owned()),
            false => Ok(()),
        }
    }

    /// Whether it is a tile of these rows and columns of cells, whose comparators are all real.
    pub(crate) fn holds(&self, rows: usize, columns: usize) -> bool {
        let Self { blocks, cells, thresholds } = self;
        let comparators = thresholds.len() / blocks;
        *blocks == columns.div_ceil(LANES)
            && cells.len() == rows * blocks
            && (0..columns).all(|column| {
                let of_block = &thresholds[column / LANES * comparators..][..comparators];
                of_block.iter().all(|lanes| lanes[column % LANES].is_finite())
            })
    }

    fn program(tile: &Tile, place: Place, fabrication: &Fabrication<'_>, spec: &MacroSpec) -> Self {
        let cell = usize::from(spec.cell.bits_per_cell);
        let (rows, columns) = (tile.physical_rows(), tile.bits.columns() / cell);
        let blocks = columns.div_ceil(LANES);
        let first = place.column as usize;

        let mut row_of_cells = fabrication.cells(place.macro_index, first, columns);
        let mut cells = vec![[0.0; LANES]; rows * blocks];
        for row in 0..rows {
            let level = |column| {
                let bit = |plane| usize::from(tile.bits.get(row, column * cell + plane)) << plane;
                (0..cell).map(bit).sum()
            };
            let signals = row_of_cells.program(place.row + row as u32, level);
            for (column, &signal) in signals.iter().enumerate() {
                cells[row * blocks + column / LANES][column % LANES] = signal as f32;
            }
        }

        let comparators = spec.adc.max_code();
        let mut of_column = vec![0.0; comparators];
        let mut thresholds = vec![[f32::INFINITY; LANES]; blocks * comparators];
        for column in 0..columns {
            fabrication.thresholds(place.macro_index, (first + column) as u32, &mut of_column);
            for (comparator, &threshold) in of_column.iter().enumerate() {
                thresholds[column / LANES * comparators + comparator][column % LANES] =
                    threshold as f32;
            }
        }
        Self { blocks, cells, thresholds }
    }
}

/// What the resistance of lines leaves of the programmed conductances.
fn attenuate(mapping: &Mapping, spec: &MacroSpec, tiles: &mut [ChipTile]) {
    let leakage = spec.reference_leakage_lsb();
    let us_per_lsb = spec.wires.g_lrs_us / spec.cell.g_lrs_lsb();
    // The cells of a row conduct whatever tile they are of.
    let mut arrays: BTreeMap<u32, (Array, Vec<usize>)> = BTreeMap::new();
    for (index, (tile, chip)) in mapping.tiles.iter().zip(tiles.iter()).enumerate() {
        let place = tile.place.expect("every tile of a placed mapping has its place");
        let (rows, columns) = (place.row as usize, place.column as usize);
        let blank = || (Array::new(spec.rows, spec.columns), Vec::new());
        let (array, of_macro) = arrays.entry(place.macro_index).or_insert_with(blank);
        let (height, width) = (tile.physical_rows(), mapping.geometry.width(tile));
        array.blocks.push((rows..rows + height, columns..columns + width));
        of_macro.push(index);
        for row in 0..height {
            for column in 0..width {
                let signal = chip.cells[row * chip.blocks + column / LANES][column % LANES];
                let us = (f64::from(signal) + leakage) * us_per_lsb;
                array.set_us(rows + row, columns + column, us);
            }
        }
    }
    for (array, of_macro) in arrays.into_values() {
        let shares = array.shares(&spec.wires, spec.rows_per_conversion);
        for (index, (rows, columns)) in of_macro.into_iter().zip(&array.blocks) {
            let chip = &mut tiles[index];
            for row in 0..rows.len() {
                for column in 0..columns.len() {
                    let share = shares[(rows.start + row) * spec.columns + columns.start + column];
                    let signal =
                        &mut chip.cells[row * chip.blocks + column / LANES][column % LANES];
                    *signal = ((f64::from(*signal) + leakage) * share - leakage) as f32;
                }
            }
        }
    }
}
