//! [`DeviceKernel`]: the code is how many thresholds the summed cells reach, with temporal noise.
//!
//! What defines a code are floats, and few codes need them. In [whole steps](StepTile) 16 columns of two
//! groups are a vector, or 8 of four; the sum of a group, and the highest byte of the draw, which bounds
//! the noise, give two numbers of steps between which the signal lies. Where as many thresholds are
//! below both, that is the code. The other columns are left open: theirs is that of the whole draw, in
//! steps once more or, if they leave it open, in floats.

mod cells;
mod compare;
mod search;

use hafnia_ir::Coding;
use hafnia_rng::gaussian;
use hafnia_simd::LANES;

use crate::draws::{Address, word};
use crate::engine::Device;
use crate::fast::codes::device::cells::SLOTS;
use crate::fast::codes::device::compare::{Compare, DeviceScratch, Left};
use crate::fast::codes::steps::{BYTE, Cells, Sigma, StepTile};
use crate::fast::codes::{self, Conversions, Convert, Lanes, TileCells};
use crate::fast::groups::Cycles;
use crate::fast::groups::list::{Form, Schedule};
use crate::paths::{Path, Why};

/// The most rows of a conversion, and comparators, that are left to whole steps.
const MOST_ROWS: usize = 63;
const MOST_COMPARATORS: usize = 63;
const _: () = assert!(
    MOST_COMPARATORS as i32 * Coding::LARGEST <= i16::MAX as i32,
    "a code times its weight fits 16 bits"
);

/// [`Device`] over lists.
pub(crate) struct DeviceKernel<'a> {
    cells: &'a codes::Cells,
    device: &'a Device<'a>,
    tiles: Vec<StepTile>,
}

impl<'a> DeviceKernel<'a> {
    pub(crate) fn new(device: &'a Device<'a>, cells: &'a codes::Cells) -> Self {
        let sigma = Sigma::of(device);
        let tiles = cells.tiles.iter().zip(&device.chip.tiles);
        let tiles =
            tiles.map(|(tile, chip)| StepTile::new(tile, chip, device, cells.slots, &sigma));
        Self { cells, device, tiles: tiles.collect() }
    }

    /// Whether conversions have so few rows and codes that sums in whole steps leave few codes open.
    pub(crate) fn suits(device: &Device<'_>, cells: &codes::Cells) -> bool {
        cells.slots <= MOST_ROWS && device.comparators <= MOST_COMPARATORS
    }

    /// The code of a column as it is defined, `lines` being on in its group and z the deviate.
    fn code(&self, tile: usize, column: usize, lines: &[u64], z: f32) -> i32 {
        let (device, cells) = (self.device, &self.cells.tiles[tile]);
        let (chip, block, lane) = (&device.chip.tiles[tile], column / LANES, column % LANES);
        let (mut signal, mut rows) = (0.0, 0);
        for (word, &lines) in lines.iter().enumerate() {
            let mut left = lines;
            while left != 0 {
                let row = cells.physical[word * 64 + left.trailing_zeros() as usize] as usize;
                signal += chip.cells[row * cells.blocks + block][lane];
                rows += 1;
                left &= left - 1;
            }
        }
        if !device.sigma.is_empty() {
            let squares = || cells.squares(column, lines);
            signal += device.sigma(rows, cells.ones(column, lines), squares) * z;
        }
        let thresholds = &chip.thresholds[block * device.comparators..][..device.comparators];
        thresholds.iter().map(|threshold| i32::from(signal >= threshold[lane])).sum()
    }
}

impl Convert for DeviceKernel<'_> {
    type Scratch = DeviceScratch;

    fn path(&self) -> Path {
        Path::Converted(Why::Cells)
    }

    fn form(&self, tile: usize) -> Form {
        match self.tiles[tile].cells {
            Cells::Lines(_, BYTE) if self.cells.slots == SLOTS => Form::Bytes,
            Cells::Lines(..) => Form::Lines,
            Cells::Sets(_) | Cells::Narrow(_) => Form::Masks,
        }
    }

    fn convert(
        &self,
        of: Conversions,
        schedule: &Schedule,
        scratch: &mut DeviceScratch,
        raw: &mut [Lanes],
    ) {
        let (tile, source) = (&self.tiles[of.tile], &self.device.sources[of.tile]);
        let TileCells { blocks, words, .. } = self.cells.tiles[of.tile];
        scratch.left.clear();
        of.isa.run(Compare {
            tile,
            blocks,
            source: (!self.device.sigma.is_empty()).then_some(source),
            image: of.image,
            schedule,
            scratch,
            raw,
        });
        let (DeviceScratch { left, lines, .. }, noise) = (scratch, &tile.noise);
        lines.resize(words, 0);
        for Left { open, sums, low } in left {
            let (group, block) = (open.group as usize, open.block as usize);
            let (position, plane_group) = schedule.address(group);
            let address = Address { image: of.image, position, plane_group };
            let raw = &mut raw[position as usize * blocks + block];
            for (column, byte) in open.columns() {
                let (lane, sum) = (column % LANES, i32::from(sums[column % LANES]));
                let least = tile.least_code((block, lane), low[lane]);
                let code = |bounds| tile.code((block, lane), least, bounds);
                let code = noise.by_byte(sum, byte).and_then(code).unwrap_or_else(|| {
                    let word = word(source, address, column, byte);
                    code(noise.by_word(sum, word)).unwrap_or_else(|| {
                        schedule.lines_of(group, lines);
                        self.code(of.tile, column, lines, gaussian(word))
                    })
                });
                raw[lane] += schedule.weights[group] * (code - least);
            }
        }
    }
}
