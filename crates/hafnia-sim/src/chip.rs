//! [`Chip`]: what is drawn once for a virtual chip, its cells and its comparators' offsets.

use hafnia_cim::MacroSpec;
use hafnia_ir::{Mapping, Place, Stage, Tile, TileId};
use hafnia_rng::{Counter, Seed, gaussian};

use crate::{LANES, SimError, mapped::check};

/// A virtual chip: the macros of a placed mapping, programmed, with the static noise of `spec`.
///
/// Cells are drawn by (seed, chip, macro, row on the macro, column on the macro), comparators by
/// (seed, chip, macro, column, comparator): a tile that is moved meets other cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Chip {
    /// Number of the chip among those of its seed.
    pub number: u64,
    pub(crate) tiles: Vec<ChipTile>,
}

/// The part of a chip that a tile occupies, in blocks of [`LANES`] columns padded with cells of 0
/// and comparators that never fire.
#[derive(Debug, Clone, PartialEq)]
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
    /// conversion. Comparator k has its threshold at k + 0.5 + offset·z.
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
        check(mapping, spec)?;
        Ok(Self::program_checked(mapping, spec, seed, chip))
    }

    /// As [`Chip::program`], for a mapping that was checked and is placed.
    pub(crate) fn program_checked(
        mapping: &Mapping,
        spec: &MacroSpec,
        seed: Seed,
        chip: u64,
    ) -> Self {
        let program = |tile: &Tile| {
            let place = tile.place.expect("every tile of a placed mapping has its place");
            ChipTile::program(tile, place, spec, seed, chip)
        };
        Self { number: chip, tiles: mapping.tiles.iter().map(program).collect() }
    }

    /// What a cell adds to the signal of a conversion in which its row is on, in LSB: its
    /// programmed bit but for static noise.
    ///
    /// # Panics
    /// If there is no such tile, physical row or column.
    pub fn cell_lsb(&self, tile: TileId, row: usize, column: usize) -> f32 {
        let tile = &self.tiles[tile.index()];
        tile.cells[row * tile.blocks + column / LANES][column % LANES]
    }
}

impl ChipTile {
    fn program(tile: &Tile, place: Place, spec: &MacroSpec, seed: Seed, chip: u64) -> Self {
        let (rows, columns) = (tile.physical_rows(), tile.bits.columns());
        let blocks = columns.div_ceil(LANES);
        let on_macro = u64::from(place.macro_index);
        let first = place.column as usize;

        let cell = &spec.cell;
        // Standard deviation of a cell by its bit, in LSB.
        let sigma = [cell.sigma_hrs_rel * cell.g_hrs_lsb(), cell.sigma_lrs_rel * cell.g_lrs_lsb()];
        let source = seed.site("chip/cells").index(chip).index(on_macro).counter();
        let mut z = vec![0.0; columns];
        let mut cells = vec![[0.0; LANES]; rows * blocks];
        for row in 0..rows {
            if sigma != [0.0; 2] {
                let row_on_macro = place.row + row as u32;
                draw(&source, first, &mut z, |quad| [row_on_macro, quad, 0, 0]);
            }
            for (column, &z) in z.iter().enumerate() {
                let bit = tile.bits.get(row, column);
                let signal = f64::from(u8::from(bit)) + sigma[usize::from(bit)] * f64::from(z);
                cells[row * blocks + column / LANES][column % LANES] = signal as f32;
            }
        }

        let comparators = spec.adc.max_code();
        let source = seed.site("chip/offsets").index(chip).index(on_macro).counter();
        let mut z = vec![0.0; comparators];
        let mut thresholds = vec![[f32::INFINITY; LANES]; blocks * comparators];
        for column in 0..columns {
            if spec.adc.offset_lsb != 0.0 {
                draw(&source, 0, &mut z, |quad| [(first + column) as u32, quad, 0, 0]);
            }
            for (comparator, &z) in z.iter().enumerate() {
                let threshold = comparator as f64 + 0.5 + spec.adc.offset_lsb * f64::from(z);
                thresholds[column / LANES * comparators + comparator][column % LANES] =
                    threshold as f32;
            }
        }
        Self { blocks, cells, thresholds }
    }
}

/// Fills `z` with the Gaussians number `first` and following of a sequence whose block `quad`
/// holds four.
fn draw(source: &Counter, first: usize, z: &mut [f32], address: impl Fn(u32) -> [u32; 4]) {
    let mut block = (usize::MAX, [0.0; 4]);
    for (index, z) in z.iter_mut().enumerate() {
        let (quad, lane) = ((first + index) / 4, (first + index) % 4);
        if block.0 != quad {
            block = (quad, source.block(address(quad as u32)).map(gaussian));
        }
        *z = block.1[lane];
    }
}
