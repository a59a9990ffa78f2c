//! [`Compare`]: draws, sums of cells, and the thresholds that they reach.

use hafnia_rng::Counter;
use hafnia_simd::{Kernel, LANES, Simd};

use crate::fast::codes::Lanes;
use crate::fast::codes::device::cells::{ByAnyLine, ByLine, BySet, SLOTS, Sums};
use crate::fast::codes::device::search::{Any, Search, Seven, Weights, repeated};
use crate::fast::codes::open::{Open, first_bytes};
use crate::fast::codes::steps::{BYTE, Cells, StepTile, TWICE};
use crate::fast::groups::list::{Form, Schedule};
use crate::fast::groups::{BATCH, Cycles, unpack};

/// Used anew for every list.
#[derive(Debug, Default)]
pub(crate) struct DeviceScratch {
    /// `[group]` × 16 columns, or 8: what was drawn, and the bounds of the noise in units.
    bytes: Vec<u64>,
    low: Vec<u64>,
    high: Vec<u64>,
    pub(super) left: Vec<Left>,
    /// The lines of one group.
    pub(super) lines: Vec<u64>,
}

/// Columns of a group that are left open, their sums, and the lower bounds of their signals, whose codes
/// were taken for the time being.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    pub(super) open: Open,
    pub(super) sums: [i16; LANES],
    pub(super) low: [i16; LANES],
}

/// Notes columns of a vector of groups that are left open, a bit a lane.
#[cold]
fn note(
    left: &mut Vec<Left>,
    bytes: &[u64; 4],
    (vector, block, columns): (usize, usize, usize),
    lanes: u32,
    [sums, low]: [&[[i16; LANES]; 2]; 2],
) {
    for (number, bytes) in bytes.chunks(columns / 8).enumerate() {
        let first = number * columns;
        let lanes = (lanes >> first) as u16 & u16::MAX >> (LANES - columns);
        if lanes != 0 {
            let group = (vector * (2 * LANES / columns) + number) as u32;
            let bytes = [bytes[0], *bytes.last().expect("eight columns or more")];
            let open = Open { group, block: block as u32, lanes, bytes };
            let mut of_group = Left { open, sums: [0; LANES], low: [0; LANES] };
            of_group.sums[..columns].copy_from_slice(&sums.as_flattened()[first..][..columns]);
            of_group.low[..columns].copy_from_slice(&low.as_flattened()[first..][..columns]);
            left.push(of_group);
        }
    }
}

/// Counts the thresholds that are below the signal.
///
/// ```text
/// for block of 16 columns, vector of groups, in steps:
///     low, high = bounds of the noise by the byte that is drawn for every column
///     sum  = Σ over slots of cells[block][line], or Σ over sets of lines
///     code = |thresholds < sum + low|
///     raw[position][block] += weight · code
///     where that is not |thresholds < sum + high|, the column is left open
/// ```
pub(super) struct Compare<'a> {
    pub(super) tile: &'a StepTile,
    pub(super) blocks: usize,
    /// None without noise.
    pub(super) source: Option<&'a Counter>,
    pub(super) image: u32,
    pub(super) schedule: &'a Schedule,
    pub(super) scratch: &'a mut DeviceScratch,
    pub(super) raw: &'a mut [Lanes],
}

impl Kernel for Compare<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let Self { tile, schedule, .. } = self;
        let Schedule { masks, lines, bytes, slots, form, .. } = schedule;
        match &tile.cells {
            Cells::Narrow(sets) => {
                self.convert(simd, 0, BySet { sets, masks: masks.as_chunks().0 });
            }
            Cells::Sets(sets) => {
                self.convert(simd, 0, BySet { sets, masks: masks.as_chunks().0 });
            }
            Cells::Lines(cells, of_block) => {
                for (block, cells) in cells.chunks_exact(*of_block).enumerate() {
                    // The default macro, and any other.
                    if *form == Form::Bytes {
                        self.convert(simd, block, ByLine::<_, BYTE>::new(cells, bytes));
                    } else if *slots == SLOTS && cells.len() == TWICE {
                        self.convert(simd, block, ByLine::<_, TWICE>::new(cells, lines));
                    } else {
                        self.convert(simd, block, ByAnyLine { cells, lines, slots: *slots });
                    }
                }
            }
        }
    }
}

impl Compare<'_> {
    /// Converts a block of columns.
    #[inline(always)]
    fn convert<S: Simd, const GROUPS: usize>(
        &mut self,
        simd: S,
        block: usize,
        sums: impl Sums<GROUPS>,
    ) {
        if GROUPS == 2 {
            self.draw::<S, 2>(simd, block);
        } else {
            self.draw::<S, 1>(simd, block);
        }
        let comparators = self.tile.comparators;
        let thresholds = &self.tile.thresholds[block * comparators..][..comparators];
        // The default macro, and any other.
        match <&[[i16; LANES]; 7]>::try_from(thresholds) {
            Ok(thresholds) => {
                let mut seven = [simd.splat_i16(0); 7];
                let mut number = 0;
                while number < 7 {
                    seven[number] = repeated::<S, GROUPS>(simd, &thresholds[number]);
                    number += 1;
                }
                self.compare(simd, block, sums, &Seven::<S>(seven));
            }
            Err(_) => self.compare(simd, block, sums, &Any(thresholds)),
        }
    }

    /// Draws the bytes of a block of columns, eight times `EIGHTS`, and looks up the bounds of their
    /// noise.
    #[inline(always)]
    fn draw<S: Simd, const EIGHTS: usize>(&mut self, simd: S, block: usize) {
        let Self { tile, source, image, schedule, scratch, .. } = self;
        let words = schedule.len.div_ceil(BATCH) * BATCH * EIGHTS;
        for list in [&mut scratch.bytes, &mut scratch.low, &mut scratch.high] {
            list.resize(list.len().max(words), 0);
        }
        let bounds = scratch.low.chunks_exact_mut(BATCH * EIGHTS);
        let bounds = bounds.zip(scratch.high.chunks_exact_mut(BATCH * EIGHTS));
        let batches = scratch.bytes[..words].as_chunks_mut::<EIGHTS>().0;
        let batches = batches.as_chunks_mut::<BATCH>().0.iter_mut().zip(bounds);
        for (batch, (bytes, (low, high))) in batches.enumerate() {
            *bytes = match source {
                Some(source) => {
                    first_bytes(source, *image, &schedule.addresses(batch * BATCH), block)
                }
                None => [[0; EIGHTS]; BATCH],
            };
            let of_bytes = bytes.as_flattened().as_chunks::<8>().0;
            let of_low = low.as_chunks_mut::<8>().0;
            let of_high = high.as_chunks_mut::<8>().0;
            for ((bytes, low), high) in of_bytes.iter().zip(of_low).zip(of_high) {
                *low = simd.look_up(bytes, &tile.noise.low);
                *high = simd.look_up(bytes, &tile.noise.high);
            }
        }
    }

    #[inline(always)]
    fn compare<S: Simd, const GROUPS: usize>(
        &mut self,
        simd: S,
        block: usize,
        sums: impl Sums<GROUPS>,
        thresholds: &impl Search<S, GROUPS>,
    ) {
        let Self { tile, schedule, blocks, .. } = *self;
        let DeviceScratch { bytes, low, high, left, .. } = &mut *self.scratch;
        let vectors = schedule.len.div_ceil(GROUPS);
        let unit = simd.splat_i16(tile.noise.unit);
        let bytes = &bytes.as_chunks::<4>().0[..vectors];
        let low = &low.as_chunks::<4>().0[..vectors];
        let high = &high.as_chunks::<4>().0[..vectors];
        let addresses = &schedule.addresses.as_chunks::<GROUPS>().0[..vectors];
        let weights = &schedule.weights.as_chunks::<GROUPS>().0[..vectors];
        let (sums, raw) = (sums.first(vectors), &mut self.raw[..]);
        let at = |address: u64| unpack(address).0 as usize * blocks + block;
        let (mut current, mut of_groups) = ([0; GROUPS], Weights::<S>::of_all(simd, 0));
        for vector in 0..vectors {
            let sum = sums.of(simd, vector);
            let low = simd.add_i16(sum, simd.mul_i16(simd.load_i8(&low[vector]), unit));
            let high = simd.add_i16(sum, simd.mul_i16(simd.load_i8(&high[vector]), unit));
            // Mostly those of the vector before.
            if weights[vector] != current {
                current = weights[vector];
                of_groups = Weights::new(simd, &current);
            }
            let (codes, is_open) = thresholds.search(simd, low, high, &of_groups);
            let (wide, addresses) = (simd.widen(codes), &addresses[vector]);
            if GROUPS == 2 {
                let mut group = 0;
                while group < 2 {
                    let raw = &mut raw[at(addresses[group])];
                    simd.store_i32(simd.add_i32(simd.load_i32(raw), wide[group]), raw);
                    group += 1;
                }
            } else {
                let mut group = 0;
                while group < GROUPS {
                    let raw = raw[at(addresses[group])].first_chunk_mut().expect("a half");
                    simd.add_half_to(wide[group / 2], group % 2 == 1, raw);
                    group += 1;
                }
            }
            let lanes = simd.bits_i16(is_open);
            if lanes != 0 {
                let [mut sums, mut lows] = [[[0; LANES]; 2]; 2];
                simd.store_i16(sum, &mut sums);
                simd.store_i16(low, &mut lows);
                let of_vector = (vector, block, 2 * LANES / GROUPS);
                note(left, &bytes[vector], of_vector, lanes, [&sums, &lows]);
            }
        }
    }
}
