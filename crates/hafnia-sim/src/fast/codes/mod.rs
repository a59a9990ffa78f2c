//! What converters answer: the engines once more, over lists of conversion cycles and in vectors.
//!
//! Each gives the codes of its [`Engine`](crate::Engine), bit for bit, whatever the instruction set:
//! `tests/kernels.rs` holds them together. They are fast because they leave out what cannot matter.
//! - [`DeviceKernel`](device::DeviceKernel) adds up cells in whole steps of 16 bits and draws one byte
//!   a column, which bounds the temporal noise. Where lines are few it adds up sets of them. Only
//!   where both leave a code open does it draw the other bytes of the word, and only where that does,
//!   it takes the floats that define it.
//! - [`SignalKernel`](signals::SignalKernel) takes these floats for all columns, where rows or codes of
//!   a conversion are many.
//! - [`TableKernel`](table::TableKernel) draws the same byte. Where it lies in the piece of the
//!   likeliest code, and that is the number of ones, there is nothing to correct in the network's own
//!   sums.
//! - [`ExactKernel`](exact::ExactKernel) has nothing to correct unless the ADC clips.

pub(crate) mod device;
pub(crate) mod exact;
pub(crate) mod open;
pub(crate) mod signals;
mod steps;
pub(crate) mod table;

use std::ops::{Deref, DerefMut};

use hafnia_cim::ScanEntry;
use hafnia_ir::Tile;
use hafnia_simd::{Isa, LANES};

use crate::fast::groups::Cycles;
use crate::fast::groups::list::{Form, Schedule};
use crate::paths::Path;

/// What is programmed, and what is known of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cells {
    /// One a tile; none if there is no mapping.
    pub(crate) tiles: Vec<TileCells>,
    /// Rows a conversion may have.
    pub(crate) slots: usize,
    /// The highest level of a cell: 1, or 3 with 2 bits.
    pub(crate) top_level: usize,
    /// Whether the mapping holds every weight of the network once, so that conversions without
    /// error give the network's sums.
    pub(crate) is_proved: bool,
}

/// The bits of a tile, by line.
#[derive(Debug, Clone)]
pub(crate) struct TileCells {
    /// Lines of a scan. As a number of a line, the one that is never on.
    pub(crate) lines: usize,
    /// Columns of cells.
    pub(crate) columns: usize,
    /// Bits of a cell, 1 or 2.
    pub(crate) cell_bits: usize,
    /// Blocks of 16 columns.
    pub(crate) blocks: usize,
    /// Words of 64 lines.
    pub(crate) words: usize,
    /// The physical row of every line.
    pub(crate) physical: Vec<u32>,
    /// `[column][bit of a cell][word of lines]`.
    weights: Vec<u64>,
}

impl TileCells {
    pub(crate) fn new(tile: &Tile, cell_bits: u8, scan: &[ScanEntry]) -> Self {
        let (lines, bits) = (scan.len(), tile.bits.columns());
        let cell_bits = usize::from(cell_bits);
        let (words, columns) = (lines.div_ceil(64), bits / cell_bits);
        let physical: Vec<u32> = scan.iter().map(|line| line.physical).collect();
        let mut weights = vec![0; bits * words];
        for (line, &row) in physical.iter().enumerate() {
            for bit in 0..bits {
                weights[bit * words + line / 64] |=
                    u64::from(tile.bits.get(row as usize, bit)) << (line % 64);
            }
        }
        let blocks = columns.div_ceil(LANES);
        Self { lines, columns, cell_bits, blocks, words, physical, weights }
    }

    /// A bit of the cells of a column, by line.
    fn bits(&self, column: usize, bit: usize) -> &[u64] {
        &self.weights[(column * self.cell_bits + bit) * self.words..][..self.words]
    }

    /// The sum of the levels of a column among these lines, a bit each in the words of the tile: its
    /// ones, where cells hold 1 bit.
    #[inline(always)]
    fn ones(&self, column: usize, lines: &[u64]) -> usize {
        match self.cell_bits {
            1 => self.count(column, lines),
            _ => self.count(2 * column, lines) + 2 * self.count(2 * column + 1, lines),
        }
    }

    /// The ones of a column of bits among these lines.
    #[inline(always)]
    fn count(&self, column: usize, lines: &[u64]) -> usize {
        let weights = &self.weights[column * lines.len()..][..lines.len()];
        let mut ones = 0;
        for (line, weight) in lines.iter().zip(weights) {
            ones += (line & weight).count_ones() as usize;
        }
        ones
    }

    /// The sum of the squares of these levels, where cells hold 2 bits: (l + 2·h)² = l + 4·h + 4·l·h.
    fn squares(&self, column: usize, lines: &[u64]) -> usize {
        let cells = self.bits(column, 0).iter().zip(self.bits(column, 1)).zip(lines);
        let square = |((low, high), line): ((&u64, &u64), &u64)| {
            let [low, high, both] =
                [*low, *high, low & high].map(|bits| (bits & line).count_ones());
            (low + 4 * high + 4 * both) as usize
        };
        cells.map(square).sum()
    }

    /// `[line][block]` × 16 columns: levels; 0 in the line that is never on.
    fn levels(&self) -> Vec<[u8; LANES]> {
        let mut levels = vec![[0; LANES]; (self.lines + 1) * self.blocks];
        for line in 0..self.lines {
            for column in 0..self.columns {
                let level = |bit| (self.bits(column, bit)[line / 64] >> (line % 64) & 1) << bit;
                levels[line * self.blocks + column / LANES][column % LANES] =
                    (0..self.cell_bits).map(level).sum::<u64>() as u8;
            }
        }
        levels
    }
}

/// Lines whose levels, added up, fit a byte.
const LINES_OF_BYTE: usize = 255 / 3;

/// The sums of the levels of a block of columns over some lines; levels are `[line][block]` × 16
/// columns.
#[inline(always)]
fn add_up(levels: &[[u8; LANES]], (block, blocks): (usize, usize), lines: &[u16]) -> [u16; LANES] {
    let mut sums = [0u16; LANES];
    for lines in lines.chunks(LINES_OF_BYTE) {
        let mut of_lines = [0u8; LANES];
        for &line in lines {
            let levels = &levels[usize::from(line) * blocks + block];
            let mut lane = 0;
            while lane < LANES {
                of_lines[lane] += levels[lane];
                lane += 1;
            }
        }
        let mut lane = 0;
        while lane < LANES {
            sums[lane] += u16::from(of_lines[lane]);
            lane += 1;
        }
    }
    sums
}

/// Numbers of a block of columns, in one cache line: a vector that lies in two is read much later after
/// it was written.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(crate) struct Lanes(pub(crate) [i32; LANES]);

impl Deref for Lanes {
    type Target = [i32; LANES];

    #[inline(always)]
    fn deref(&self) -> &[i32; LANES] {
        &self.0
    }
}

impl DerefMut for Lanes {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [i32; LANES] {
        &mut self.0
    }
}

/// What is converted, and in which instructions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conversions {
    pub(crate) isa: Isa,
    /// Index of the tile.
    pub(crate) tile: usize,
    /// Index of the image.
    pub(crate) image: u32,
}

/// An error of a raw sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Correction {
    pub(crate) position: u32,
    /// Column of the tile.
    pub(crate) column: u32,
    /// What the raw sum is off by.
    pub(crate) delta: i32,
}

/// Answers the conversion cycles of a tile.
pub(crate) trait Convert: Sync {
    /// What it notes, used anew for every list.
    type Scratch: Default + Send;

    /// How products are computed: as the network's own, with corrections, or cycle by cycle.
    fn path(&self) -> Path;

    /// How the groups of a tile are listed.
    fn form(&self, _tile: usize) -> Form {
        Form::Lines
    }

    /// Adds weight · code to `raw`, `[position][block]` × 16 columns.
    fn convert(
        &self,
        of: Conversions,
        schedule: &Schedule,
        scratch: &mut Self::Scratch,
        raw: &mut [Lanes],
    );

    /// Notes where codes are not the number of ones; for [`Path::Corrected`] only.
    fn correct(
        &self,
        _of: Conversions,
        _cycles: &impl Cycles,
        _scratch: &mut Self::Scratch,
        _corrections: &mut Vec<Correction>,
    ) {
        unreachable!("nothing is corrected on this path")
    }
}
