//! [`Engine`]: what the converters answer when a group of rows is on, in three versions.

use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::TileId;
use hafnia_rng::{Counter, Seed, gaussian};

use crate::{Chip, LANES};

/// One conversion cycle of a tile: a group of rows is on, and every column is converted.
#[derive(Debug, Clone, Copy)]
pub struct Conversion<'a> {
    /// The tile.
    pub tile: TileId,
    /// Index of the image.
    pub image: u32,
    /// Output position of a convolution; 0 for a linear layer.
    pub position: u32,
    /// The bit-plane of the activations, 0 to 7, or of their sums where a tile adds them up first.
    pub plane: u8,
    /// Index of the group in the scan of this bit-plane, below 2²⁴.
    pub group: u32,
    /// Physical rows that are on, within the tile: n of them, at most 63.
    pub rows: &'a [u32],
    /// Per column of the tile, how many of the rows that are on are programmed to LRS.
    pub ones: &'a [u8],
}

impl Conversion<'_> {
    /// The Philox counter of the temporal draws of columns 4·`quad` to 4·`quad` + 3.
    fn address(&self, quad: usize) -> [u32; 4] {
        [self.image, self.position, u32::from(self.plane) << 24 | self.group, quad as u32]
    }
}

/// Answers conversions.
pub trait Engine: Sync {
    /// Writes the code of every column of the tile into `codes`, as long as `conversion.ones`.
    fn convert(&self, conversion: &Conversion<'_>, codes: &mut [u8]);
}

impl<E: Engine + ?Sized> Engine for &E {
    fn convert(&self, conversion: &Conversion<'_>, codes: &mut [u8]) {
        (**self).convert(conversion, codes);
    }
}

/// The definition: the code is the number of ones, clipped by the ADC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exact {
    /// The largest code of the ADC.
    pub max_code: u8,
}

impl Exact {
    /// The definition for the ADC of `spec`.
    pub fn new(spec: &MacroSpec) -> Self {
        Self { max_code: spec.adc.max_code() as u8 }
    }
}

impl Engine for Exact {
    fn convert(&self, conversion: &Conversion<'_>, codes: &mut [u8]) {
        for (code, &ones) in codes.iter_mut().zip(conversion.ones) {
            *code = ones.min(self.max_code);
        }
    }
}

/// A programmed chip with temporal noise.
///
/// Read noise (per cell) and comparator noise (common to the comparators of a conversion) are
/// independent, fresh in every conversion and linear before the ADC, so that they make one
/// Gaussian per column and conversion with the summed variance. It is drawn by (seed, chip, tile,
/// image, position, bit-plane, group, column).
#[derive(Debug, Clone)]
pub struct Device<'a> {
    chip: &'a Chip,
    comparators: usize,
    /// (rows on, ones): standard deviation of the temporal noise, in LSB; empty if all are 0.
    sigma: Vec<f32>,
    /// Values of `ones` in a row of `sigma`.
    stride: usize,
    /// One a tile.
    sources: Vec<Counter>,
}

impl<'a> Device<'a> {
    /// Reads `chip`, which was programmed for `spec`.
    ///
    /// # Panics
    /// If `chip` was programmed for another number of comparators.
    pub fn new(chip: &'a Chip, spec: &MacroSpec, seed: Seed) -> Self {
        let comparators = spec.adc.max_code();
        let fits =
            |tile: &crate::chip::ChipTile| tile.thresholds.len() == tile.blocks * comparators;
        assert!(chip.tiles.iter().all(fits), "the chip was programmed for another ADC");
        let most = spec.rows_per_conversion;
        let mut sigma = vec![0.0; (most + 1) * (most + 1)];
        for rows in 0..=most {
            for ones in 0..=rows {
                let variance = spec.cell.read_variance_lsb2(ones, rows)
                    + spec.adc.comparator_noise_lsb * spec.adc.comparator_noise_lsb;
                sigma[rows * (most + 1) + ones] = variance.sqrt() as f32;
            }
        }
        if sigma.iter().all(|&sigma| sigma == 0.0) {
            sigma.clear();
        }
        let source = seed.site("read/device").index(chip.number);
        let sources = (0..chip.tiles.len()).map(|tile| source.index(tile as u64).counter());
        Self { chip, comparators, sigma, stride: most + 1, sources: sources.collect() }
    }
}

impl Engine for Device<'_> {
    fn convert(&self, conversion: &Conversion<'_>, codes: &mut [u8]) {
        let tile = &self.chip.tiles[conversion.tile.index()];
        let source = &self.sources[conversion.tile.index()];
        let sigma = self.sigma.get(conversion.rows.len() * self.stride..);
        let columns = codes.chunks_mut(LANES).zip(conversion.ones.chunks(LANES));
        for (block, (codes, ones)) in columns.enumerate() {
            let mut signal = [0.0f32; LANES];
            for &row in conversion.rows {
                let cells = &tile.cells[row as usize * tile.blocks + block];
                for (signal, cell) in signal.iter_mut().zip(cells) {
                    *signal += cell;
                }
            }
            if let Some(sigma) = sigma {
                for (quad, ones) in ones.chunks(4).enumerate() {
                    let z = source.block(conversion.address(block * (LANES / 4) + quad));
                    let signal = &mut signal[quad * 4..];
                    for ((signal, z), &ones) in signal.iter_mut().zip(z).zip(ones) {
                        *signal += sigma[usize::from(ones)] * gaussian(z);
                    }
                }
            }
            let mut fired = [0u32; LANES];
            let thresholds = &tile.thresholds[block * self.comparators..][..self.comparators];
            for threshold in thresholds {
                for lane in 0..LANES {
                    fired[lane] += u32::from(signal[lane] >= threshold[lane]);
                }
            }
            for (code, fired) in codes.iter_mut().zip(fired) {
                *code = fired as u8;
            }
        }
    }
}

/// Samples codes from P(code | m ones, n rows on).
///
/// One uniform per column and conversion, drawn by (seed, repetition, tile, image, position,
/// bit-plane, group, column). A repetition is not a chip: it has no static noise of its own.
#[derive(Debug, Clone)]
pub struct Table {
    /// (rows on, ones, code): 2³² · P(code' ≤ code), the last code left out.
    bounds: Vec<u64>,
    comparators: usize,
    /// Values of `ones` for a number of rows.
    stride: usize,
    /// Whether some code is not certain.
    is_random: bool,
    /// One a tile.
    sources: Vec<Counter>,
}

impl Table {
    /// Samples `table`, which is that of `spec` or was measured on it, for a mapping of `tiles`
    /// tiles.
    ///
    /// # Panics
    /// If `table` has another number of codes than the ADC of `spec`.
    pub fn new(
        table: &CodeTable,
        spec: &MacroSpec,
        tiles: usize,
        seed: Seed,
        repetition: u64,
    ) -> Self {
        let (most, comparators) = (spec.rows_per_conversion, spec.adc.max_code());
        let whole = 4_294_967_296.0;
        let mut bounds = vec![0; (most + 1) * (most + 1) * comparators];
        for rows in 1..=most {
            for ones in 0..=rows {
                let codes = table.probabilities(rows, ones);
                assert_eq!(codes.len(), comparators + 1, "codes of the table and of the ADC");
                let first = (rows * (most + 1) + ones) * comparators;
                let mut below = 0.0;
                for (bound, code) in bounds[first..first + comparators].iter_mut().zip(codes) {
                    below += code;
                    *bound = (below * whole).round().clamp(0.0, whole) as u64;
                }
            }
        }
        let is_random = bounds.iter().any(|&bound| bound != 0 && bound != whole as u64);
        let source = seed.site("read/table").index(repetition);
        let sources = (0..tiles).map(|tile| source.index(tile as u64).counter()).collect();
        Self { bounds, comparators, stride: most + 1, is_random, sources }
    }
}

impl Engine for Table {
    fn convert(&self, conversion: &Conversion<'_>, codes: &mut [u8]) {
        let source = &self.sources[conversion.tile.index()];
        let bounds = &self.bounds[conversion.rows.len() * self.stride * self.comparators..];
        let columns = codes.chunks_mut(4).zip(conversion.ones.chunks(4));
        for (quad, (codes, ones)) in columns.enumerate() {
            let uniform =
                if self.is_random { source.block(conversion.address(quad)) } else { [0; 4] };
            for ((code, &ones), uniform) in codes.iter_mut().zip(ones).zip(uniform) {
                let bounds = &bounds[usize::from(ones) * self.comparators..][..self.comparators];
                let passed = bounds.iter().map(|&bound| u32::from(u64::from(uniform) >= bound));
                *code = passed.sum::<u32>() as u8;
            }
        }
    }
}
