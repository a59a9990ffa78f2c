//! What converters answer: the engines once more, over lists of conversion cycles and in vectors.
//!
//! Each gives the codes of its [`Engine`](crate::Engine), bit for bit, whatever the instruction set:
//! `tests/kernels.rs` holds them together. They are fast because they leave out what cannot matter.
//! - [`DeviceKernel`](device::DeviceKernel) adds up cells in whole steps of 16 bits and draws one byte
//!   a column, which bounds the temporal noise. Where lines are few it adds up sets of them. Only
//!   where both leave a code open does it draw the other bytes of the word, and only where that does,
//!   it takes the floats that define it.
//! - [`TableKernel`](table::TableKernel) draws the same byte. Where it lies in the piece of the
//!   likeliest code, and that is the number of ones, there is nothing to correct in the network's own
//!   sums.
//! - [`ExactKernel`](exact::ExactKernel) has nothing to correct unless the ADC clips.

pub(crate) mod device;
pub(crate) mod exact;
pub(crate) mod open;
mod steps;
pub(crate) mod table;

use std::ops::{Deref, DerefMut};

use hafnia_cim::ScanEntry;
use hafnia_ir::Tile;
use hafnia_simd::{Isa, LANES};

use crate::fast::groups::Cycles;
use crate::fast::groups::list::Schedule;
use crate::paths::Path;

/// What is programmed, and what is known of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cells {
    /// One a tile; none if there is no mapping.
    pub(crate) tiles: Vec<TileCells>,
    /// Rows a conversion may have.
    pub(crate) slots: usize,
    /// Whether the mapping holds every weight of the network once, so that conversions without
    /// error give the network's sums.
    pub(crate) is_proved: bool,
}

/// The bits of a tile, by line.
#[derive(Debug, Clone)]
pub(crate) struct TileCells {
    /// Lines of a scan. As a number of a line, the one that is never on.
    pub(crate) lines: usize,
    pub(crate) columns: usize,
    /// Blocks of 16 columns.
    pub(crate) blocks: usize,
    /// Words of 64 lines.
    pub(crate) words: usize,
    /// The physical row of every line.
    pub(crate) physical: Vec<u32>,
    /// `[column][word of lines]`.
    weights: Vec<u64>,
}

impl TileCells {
    pub(crate) fn new(tile: &Tile, scan: &[ScanEntry]) -> Self {
        let (lines, columns) = (scan.len(), tile.bits.columns());
        let words = lines.div_ceil(64);
        let physical: Vec<u32> = scan.iter().map(|line| line.physical).collect();
        let mut weights = vec![0; columns * words];
        for (line, &row) in physical.iter().enumerate() {
            for column in 0..columns {
                weights[column * words + line / 64] |=
                    u64::from(tile.bits.get(row as usize, column)) << (line % 64);
            }
        }
        Self { lines, columns, blocks: columns.div_ceil(LANES), words, physical, weights }
    }

    /// The ones of a column among these lines, a bit each in the words of the tile.
    #[inline(always)]
    fn ones(&self, column: usize, lines: &[u64]) -> usize {
        let weights = &self.weights[column * lines.len()..][..lines.len()];
        let mut ones = 0;
        for (line, weight) in lines.iter().zip(weights) {
            ones += (line & weight).count_ones() as usize;
        }
        ones
    }

    /// `[line][block]` × 16 columns: a byte a bit; 0 in the line that is never on.
    fn bytes(&self) -> Vec<[u8; LANES]> {
        let mut bytes = vec![[0; LANES]; (self.lines + 1) * self.blocks];
        for line in 0..self.lines {
            for column in 0..self.columns {
                bytes[line * self.blocks + column / LANES][column % LANES] =
                    (self.weights[column * self.words + line / 64] >> (line % 64) & 1) as u8;
            }
        }
        bytes
    }
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

    /// Whether groups of a tile are listed as masks.
    fn takes_masks(&self, _tile: usize) -> bool {
        false
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
