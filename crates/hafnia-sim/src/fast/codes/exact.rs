//! [`ExactKernel`]: the code is the number of ones, clipped by the ADC.

use hafnia_simd::{Kernel, LANES, Simd};

use crate::engine::Exact;
use crate::fast::codes::{Cells, Conversions, Convert, Lanes, TileCells};
use crate::fast::groups::Cycles;
use crate::fast::groups::list::Schedule;
use crate::paths::{Path, Why};

/// [`Exact`] over lists.
pub(crate) struct ExactKernel<'a> {
    cells: &'a Cells,
    max_code: u8,
    path: Path,
    /// Per tile, [`TileCells::bytes`] if it is converted.
    bytes: Vec<Vec<[u8; LANES]>>,
}

impl<'a> ExactKernel<'a> {
    pub(crate) fn new(exact: &Exact, cells: &'a Cells) -> Self {
        // A layout is of converters of a few bits only.
        let max_code = exact.max_code as u8;
        let path = if !cells.is_proved {
            Path::Converted(Why::Unproved)
        } else if cells.slots > usize::from(max_code) {
            Path::Converted(Why::Clipped)
        } else {
            Path::Product
        };
        let converted = cells.tiles.iter().filter(|_| path != Path::Product);
        Self { cells, max_code, path, bytes: converted.map(TileCells::bytes).collect() }
    }
}

impl Convert for ExactKernel<'_> {
    type Scratch = ();

    fn path(&self) -> Path {
        self.path
    }

    fn convert(&self, of: Conversions, schedule: &Schedule, _scratch: &mut (), raw: &mut [Lanes]) {
        let (tile, bytes) = (&self.cells.tiles[of.tile], &self.bytes[of.tile]);
        of.isa.run(CountOnes { tile, bytes, schedule, max_code: self.max_code, raw });
    }
}

/// Adds the clipped number of ones.
///
/// ```text
/// for group, block: raw[position][block] += weight · min(Σ over lines of bytes[line][block], max_code)
/// ```
struct CountOnes<'a> {
    tile: &'a TileCells,
    /// As [`TileCells::bytes`].
    bytes: &'a [[u8; LANES]],
    schedule: &'a Schedule,
    max_code: u8,
    raw: &'a mut [Lanes],
}

impl Kernel for CountOnes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { tile, bytes, schedule, max_code, raw } = self;
        let blocks = tile.blocks;
        for group in 0..schedule.len {
            let lines = schedule.slots_of(group);
            let ((position, _), weight) = (schedule.address(group), schedule.weights[group]);
            for block in 0..blocks {
                let mut ones = [0u8; LANES];
                for &line in lines {
                    let bits = &bytes[usize::from(line) * blocks + block];
                    let mut lane = 0;
                    while lane < LANES {
                        ones[lane] += bits[lane];
                        lane += 1;
                    }
                }
                let raw = &mut raw[position as usize * blocks + block];
                let mut lane = 0;
                while lane < LANES {
                    raw[lane] += weight * i32::from(ones[lane].min(max_code));
                    lane += 1;
                }
            }
        }
    }
}
