//! [`Engine`]: what the converters answer when a group of rows is on, in three versions.

use hafnia_cim::{CellModel, CodeTable, MacroSpec};
use hafnia_ir::TileId;
use hafnia_rng::{Counter, Seed, gaussian};
use hafnia_simd::LANES;

use crate::chip::{Chip, ChipTile};
use crate::draws::{Address, first_bytes, word};

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
    /// Physical rows that are on, within the tile: n of them, at most 1024.
    pub rows: &'a [u32],
    /// Per column of cells of the tile, how many of the rows that are on are programmed to LRS; the
    /// sum of their levels, where cells hold 2 bits.
    pub ones: &'a [u16],
    /// The sum of the squares of these levels; empty where cells hold 1 bit.
    pub squares: &'a [u16],
}

impl Conversion<'_> {
    /// Where its temporal draws are.
    fn address(&self) -> Address {
        let plane_group = u32::from(self.plane) << 24 | self.group;
        Address { image: self.image, position: self.position, plane_group }
    }
}

/// Answers conversions.
pub trait Engine: Sync {
    /// Writes the code of every column of the tile into `codes`, as long as `conversion.ones`.
    fn convert(&self, conversion: &Conversion<'_>, codes: &mut [u16]);
}

impl<E: Engine + ?Sized> Engine for &E {
    fn convert(&self, conversion: &Conversion<'_>, codes: &mut [u16]) {
        (**self).convert(conversion, codes);
    }
}

/// The definition: the code is the number of ones, or the sum of levels, clipped by the ADC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exact {
    /// The largest code of the ADC.
    pub max_code: u16,
}

impl Exact {
    /// The definition for the ADC of `spec`.
    pub fn new(spec: &MacroSpec) -> Self {
        Self { max_code: spec.adc.max_code() as u16 }
    }
}

impl Engine for Exact {
    fn convert(&self, conversion: &Conversion<'_>, codes: &mut [u16]) {
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
    pub(crate) chip: &'a Chip,
    pub(crate) comparators: usize,
    /// (rows on, ones): standard deviation of the temporal noise, in LSB; empty if all are 0.
    pub(crate) sigma: Vec<f32>,
    /// Values of `ones` in a row of `sigma`.
    pub(crate) stride: usize,
    /// Cells and variance of the converter, in LSB², where cells hold 2 bits: the noise of a
    /// conversion is then worked out for every column.
    levels: Option<(CellModel, f64)>,
    /// One a tile.
    pub(crate) sources: Vec<Counter>,
}

impl<'a> Device<'a> {
    /// Reads `chip`, which was programmed for `spec`.
    ///
    /// # Panics
    /// If `chip` was programmed for another number of comparators.
    pub fn new(chip: &'a Chip, spec: &MacroSpec, seed: Seed) -> Self {
        let comparators = spec.adc.max_code();
        let fits = |tile: &ChipTile| tile.thresholds.len() == tile.blocks * comparators;
        assert!(chip.tiles.iter().all(fits), "the chip was programmed for another ADC");
        let most = spec.rows_per_conversion;
        let of_converter = spec.adc.comparator_noise_lsb * spec.adc.comparator_noise_lsb;
        let levels = (spec.cell.bits_per_cell > 1).then_some((spec.cell, of_converter));
        let mut sigma = vec![0.0; (most + 1) * (most + 1)];
        for rows in 0..=most {
            for ones in 0..=rows {
                let variance = spec.cell.read_variance_lsb2(ones, rows) + of_converter;
                sigma[rows * (most + 1) + ones] = variance.sqrt() as f32;
            }
        }
        if sigma.iter().all(|&sigma| sigma == 0.0) {
            sigma.clear();
        }
        let source = seed.site("read/device").index(chip.number);
        let sources = (0..chip.tiles.len()).map(|tile| source.index(tile as u64).counter());
        Self { chip, comparators, sigma, stride: most + 1, levels, sources: sources.collect() }
    }

    /// The standard deviation of the temporal noise of a conversion in a column, in LSB: of so many
    /// rows that are on, the sum of their levels and, where cells hold 2 bits, that of the squares.
    pub(crate) fn sigma(&self, rows: usize, ones: usize, squares: impl FnOnce() -> usize) -> f32 {
        let Some((cell, of_converter)) = &self.levels else {
            return self.sigma[rows * self.stride + ones];
        };
        (cell.read_variance_of_levels_lsb2(rows, ones, squares()) + of_converter).sqrt() as f32
    }

    /// The least and the largest of all columns, of so many rows that are on.
    pub(crate) fn sigmas(&self, rows: usize) -> [f32; 2] {
        if self.levels.is_some() {
            return [0, 3].map(|level| self.sigma(rows, rows * level, || rows * level * level));
        }
        let of_ones = &self.sigma[rows * self.stride..][..=rows];
        [
            of_ones.iter().copied().fold(f32::MAX, f32::min),
            of_ones.iter().copied().fold(0.0, f32::max),
        ]
    }
}

impl Engine for Device<'_> {
    fn convert(&self, conversion: &Conversion<'_>, codes: &mut [u16]) {
        let tile = &self.chip.tiles[conversion.tile.index()];
        let source = &self.sources[conversion.tile.index()];
        let columns = codes.chunks_mut(LANES).zip(conversion.ones.chunks(LANES));
        for (block, (codes, ones)) in columns.enumerate() {
            let mut signal = [0.0f32; LANES];
            for &row in conversion.rows {
                let cells = &tile.cells[row as usize * tile.blocks + block];
                for (signal, cell) in signal.iter_mut().zip(cells) {
                    *signal += cell;
                }
            }
            if !self.sigma.is_empty() {
                let bytes = first_bytes(source, conversion.address(), block);
                for lane in 0..ones.len() {
                    let column = block * LANES + lane;
                    let z = gaussian(word(source, conversion.address(), column, bytes[lane]));
                    let squares = || conversion.squares[column].into();
                    signal[lane] +=
                        self.sigma(conversion.rows.len(), ones[lane].into(), squares) * z;
                }
            }
            let mut fired = [0u16; LANES];
            let thresholds = &tile.thresholds[block * self.comparators..][..self.comparators];
            for threshold in thresholds {
                for lane in 0..LANES {
                    fired[lane] += u16::from(signal[lane] >= threshold[lane]);
                }
            }
            for (code, fired) in codes.iter_mut().zip(fired) {
                *code = fired;
            }
        }
    }
}

/// Samples codes from P(code | m ones, n rows on).
///
/// One uniform word per column and conversion, drawn by (seed, repetition, tile, image, position,
/// bit-plane, group, column). Its range is cut into one piece a code, the likeliest code first and
/// the others in order behind it. A repetition is not a chip: it has no static noise of its own.
#[derive(Debug, Clone)]
pub struct Table {
    /// (rows on, ones).
    pub(crate) pieces: Vec<Pieces>,
    /// Values of `ones` for a number of rows.
    pub(crate) stride: usize,
    /// Whether some code is not certain.
    is_random: bool,
    /// One a tile.
    pub(crate) sources: Vec<Counter>,
}

/// The range of a word, cut into one piece a code.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pieces {
    /// The likeliest code, the lowest of equals.
    pub(crate) likeliest: u16,
    /// 2³² · the probability of all codes up to a piece, the last piece left out.
    pub(crate) bounds: Vec<u64>,
}

impl Pieces {
    fn new(probabilities: &[f64]) -> Self {
        let whole = 4_294_967_296.0;
        let mut likeliest = 0;
        for (code, probability) in probabilities.iter().enumerate() {
            if *probability > probabilities[likeliest] {
                likeliest = code;
            }
        }
        let others = (0..probabilities.len()).filter(|&code| code != likeliest);
        let mut below = 0.0;
        let mut bounds: Vec<u64> = std::iter::once(likeliest)
            .chain(others)
            .map(|code| {
                below += probabilities[code];
                (below * whole).round().clamp(0.0, whole) as u64
            })
            .collect();
        bounds.pop();
        Self { likeliest: likeliest as u16, bounds }
    }

    /// The code of a word.
    pub(crate) fn code(&self, word: u32) -> u16 {
        let passed = self.bounds.iter().map(|&bound| u16::from(u64::from(word) >= bound));
        match passed.sum::<u16>() {
            0 => self.likeliest,
            piece if piece <= self.likeliest => piece - 1,
            piece => piece,
        }
    }

    /// The code of every word with this highest byte, if they have one code that is the likeliest.
    pub(crate) fn code_of_byte(&self, byte: u8) -> Option<u16> {
        let last = u64::from(byte) << 24 | 0xff_ffff;
        self.bounds.first().is_none_or(|&bound| last < bound).then_some(self.likeliest)
    }

    /// Whether there is another piece than the first.
    fn is_random(&self) -> bool {
        self.bounds.first().is_some_and(|&bound| bound < 1 << 32)
    }
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
        let most = spec.rows_per_conversion;
        let mut pieces = vec![Pieces::default(); (most + 1) * (most + 1)];
        for rows in 1..=most {
            for ones in 0..=rows {
                let codes = table.probabilities(rows, ones);
                let expected = spec.adc.max_code() + 1;
                assert_eq!(codes.len(), expected, "codes of the table and of the ADC");
                pieces[rows * (most + 1) + ones] = Pieces::new(codes);
            }
        }
        let is_random = pieces.iter().any(Pieces::is_random);
        let source = seed.site("read/table").index(repetition);
        let sources = (0..tiles).map(|tile| source.index(tile as u64).counter()).collect();
        Self { pieces, stride: most + 1, is_random, sources }
    }
}

impl Engine for Table {
    fn convert(&self, conversion: &Conversion<'_>, codes: &mut [u16]) {
        let source = &self.sources[conversion.tile.index()];
        let pieces = &self.pieces[conversion.rows.len() * self.stride..];
        let columns = codes.chunks_mut(LANES).zip(conversion.ones.chunks(LANES));
        for (block, (codes, ones)) in columns.enumerate() {
            if !self.is_random {
                for (code, &ones) in codes.iter_mut().zip(ones) {
                    *code = pieces[usize::from(ones)].likeliest;
                }
                continue;
            }
            let bytes = first_bytes(source, conversion.address(), block);
            for (lane, (code, &ones)) in codes.iter_mut().zip(ones).enumerate() {
                let column = block * LANES + lane;
                let word = word(source, conversion.address(), column, bytes[lane]);
                *code = pieces[usize::from(ones)].code(word);
            }
        }
    }
}
