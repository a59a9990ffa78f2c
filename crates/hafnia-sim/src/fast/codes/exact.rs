//! [`ExactKernel`]: the code is the number of ones, or the sum of levels, clipped by the ADC.

use hafnia_simd::{Kernel, LANES, Simd};

use crate::engine::Exact;
use crate::fast::codes::{Cells, Conversions, Convert, Lanes, TileCells, add_up};
use crate::fast::groups::Cycles;
use crate::fast::groups::list::Schedule;
use crate::paths::{Path, Why};

/// [`Exact`] over lists.
pub(crate) struct ExactKernel<'a> {
    cells: &'a Cells,
    max_code: u16,
    path: Path,
    /// Per tile, [`TileCells::levels`] if it is converted.
    levels: Vec<Vec<[u8; LANES]>>,
}

impl<'a> ExactKernel<'a> {
    pub(crate) fn new(exact: &Exact, cells: &'a Cells) -> Self {
        let max_code = exact.max_code;
        let path = if !cells.is_proved {
            Path::Converted(Why::Unproved)
        } else if cells.slots * cells.top_level > usize::from(max_code) {
            Path::Converted(Why::Clipped)
        } else {
            Path::Product
        };
        let converted = cells.tiles.iter().filter(|_| path != Path::Product);
        Self { cells, max_code, path, levels: converted.map(TileCells::levels).collect() }
    }
}

impl Convert for ExactKernel<'_> {
    type Scratch = ();

    fn path(&self) -> Path {
        self.path
    }

    fn convert(&self, of: Conversions, schedule: &Schedule, _scratch: &mut (), raw: &mut [Lanes]) {
        let (tile, levels) = (&self.cells.tiles[of.tile], &self.levels[of.tile]);
        of.isa.run(AddLevels { tile, levels, schedule, max_code: self.max_code, raw });
    }
}

/// Adds the clipped sums of levels.
///
/// ```text
/// for group, block: raw[position][block] += weight · min(Σ over lines of levels[line][block], max_code)
/// ```
struct AddLevels<'a> {
    tile: &'a TileCells,
    /// As [`TileCells::levels`].
    levels: &'a [[u8; LANES]],
    schedule: &'a Schedule,
    max_code: u16,
    raw: &'a mut [Lanes],
}

impl Kernel for AddLevels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { tile, levels, schedule, max_code, raw } = self;
        let blocks = tile.blocks;
        for group in 0..schedule.len {
            let lines = schedule.lines_on(group);
            let ((position, _), weight) = (schedule.address(group), schedule.weights[group]);
            for block in 0..blocks {
                let sums = add_up(levels, (block, blocks), lines);
                let raw = &mut raw[position as usize * blocks + block];
                let mut lane = 0;
                while lane < LANES {
                    raw[lane] += weight * i32::from(sums[lane].min(max_code));
                    lane += 1;
                }
            }
        }
    }
}
