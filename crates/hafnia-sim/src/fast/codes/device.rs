//! [`DeviceKernel`]: the code is how many thresholds the summed cells reach, with temporal noise.
//!
//! What defines a code are floats, and few codes need them. In [whole steps](StepTile) 16 columns of two
//! groups are a vector; the sum of a group, and the highest byte of the draw, which bounds the noise,
//! give two numbers of steps between which the signal lies. Where as many thresholds are below both,
//! that is the code. The other columns are left open: theirs is that of the floats, and of the other
//! bytes of the word if the highest one leaves it open.

use hafnia_rng::{Counter, gaussian};
use hafnia_simd::{Kernel, LANES, Simd};

use crate::draws::{Address, word};
use crate::engine::Device;
use crate::fast::codes::open::{Open, first_bytes};
use crate::fast::codes::steps::{FEW, Sigma, StepTile, Steps};
use crate::fast::codes::{Cells, Conversions, Convert, Lanes};
use crate::fast::groups::list::Schedule;
use crate::fast::groups::{BATCH, Cycles, unpack};
use crate::paths::{Path, Why};

/// [`Device`] over lists.
pub(crate) struct DeviceKernel<'a> {
    cells: &'a Cells,
    device: &'a Device<'a>,
    tiles: Vec<StepTile>,
    /// By the highest byte of a word, the least and the largest deviate.
    deviates: Vec<[f32; 2]>,
}

impl<'a> DeviceKernel<'a> {
    pub(crate) fn new(device: &'a Device<'a>, cells: &'a Cells) -> Self {
        let sigma = Sigma::of(device);
        let tiles = cells.tiles.iter().zip(&device.chip.tiles);
        let tiles =
            tiles.map(|(tile, chip)| StepTile::new(tile, chip, device, cells.slots, &sigma));
        // `gaussian` increases but for a millionth where its two branches meet.
        let deviates = |byte: u32| {
            let [low, high] = [byte << 24, byte << 24 | 0xff_ffff].map(gaussian);
            [low - low.abs() * 1e-6, high + high.abs() * 1e-6]
        };
        Self {
            cells,
            device,
            tiles: tiles.collect(),
            deviates: (0..=u8::MAX.into()).map(deviates).collect(),
        }
    }

    /// Converts columns of a group as it is defined; `then` gets a column and its code.
    fn settle(
        &self,
        of: Conversions,
        schedule: &Schedule,
        open: Open,
        lines: &mut Vec<u64>,
        mut then: impl FnMut(usize, i32),
    ) {
        let (device, source) = (self.device, &self.device.sources[of.tile]);
        let (tile, chip) = (&self.cells.tiles[of.tile], &device.chip.tiles[of.tile]);
        let (group, block) = (open.group as usize, open.block as usize);
        let (position, plane_group) = schedule.address(group);
        let address = Address { image: of.image, position, plane_group };
        let lines_on = schedule.lines_on(group);
        let sigma = device.sigma.get(lines_on.len() * device.stride..);
        let thresholds = &chip.thresholds[block * device.comparators..][..device.comparators];
        lines.resize(tile.words, 0);
        schedule.lines_of(group, lines);
        for (column, byte) in open.columns() {
            let (lane, ones) = (column % LANES, tile.ones(column, lines));
            let mut signal = 0.0;
            for &line in lines_on {
                let row = tile.physical[usize::from(line)] as usize;
                signal += chip.cells[row * tile.blocks + block][lane];
            }
            let code = |signal: f32| -> i32 {
                thresholds.iter().map(|threshold| i32::from(signal >= threshold[lane])).sum()
            };
            let noisy = |z: f32| sigma.map_or(signal, |sigma| signal + sigma[ones] * z);
            // A signal grows with its deviate, and a code with its signal.
            let [low, high] = self.deviates[usize::from(byte)].map(|z| code(noisy(z)));
            let settled = match low == high {
                true => low,
                false => code(noisy(gaussian(word(source, address, column, byte)))),
            };
            then(column, settled);
        }
    }
}

/// Used anew for every list.
#[derive(Debug, Default)]
pub(crate) struct DeviceScratch {
    /// `[batch][group]` × 16 columns: what was drawn, and the bounds of the noise in units.
    bytes: Vec<[[u64; 2]; BATCH]>,
    low: Vec<[[u64; 2]; BATCH]>,
    high: Vec<[[u64; 2]; BATCH]>,
    /// Columns that are left open, and the codes that were taken for the time being.
    open: Vec<(Open, [i16; LANES])>,
    /// The lines of one group.
    lines: Vec<u64>,
}

impl Convert for DeviceKernel<'_> {
    type Scratch = DeviceScratch;

    fn path(&self) -> Path {
        Path::Converted(Why::Cells)
    }

    fn convert(
        &self,
        of: Conversions,
        schedule: &Schedule,
        scratch: &mut DeviceScratch,
        raw: &mut [Lanes],
    ) {
        let blocks = self.cells.tiles[of.tile].blocks;
        scratch.open.clear();
        of.isa.run(Compare {
            tile: &self.tiles[of.tile],
            blocks,
            source: (!self.device.sigma.is_empty()).then_some(&self.device.sources[of.tile]),
            image: of.image,
            schedule,
            scratch,
            raw,
        });
        for &(open, codes) in &scratch.open {
            let (group, block) = (open.group as usize, open.block as usize);
            let raw = &mut raw[schedule.address(group).0 as usize * blocks + block];
            self.settle(of, schedule, open, &mut scratch.lines, |column, code| {
                let lane = column % LANES;
                raw[lane] += schedule.weights[group] * (code - i32::from(codes[lane]));
            });
        }
    }
}

/// Bounds of the signals of two groups, whose lines these are.
#[inline(always)]
fn bounds<S: Simd, const IS_DEFAULT: bool>(
    simd: S,
    cells: &[Steps],
    lines: &[u16],
    (low, high): (&[u64; 4], &[u64; 4]),
    unit: S::I16,
) -> (S::I16, S::I16) {
    let (first, second) = lines.split_at(lines.len() / 2);
    let sum = simd.join([
        sum::<S, IS_DEFAULT>(simd, cells, first),
        sum::<S, IS_DEFAULT>(simd, cells, second),
    ]);
    let low = simd.add_i16(sum, simd.mul_i16(simd.load_i8(low), unit));
    (low, simd.add_i16(sum, simd.mul_i16(simd.load_i8(high), unit)))
}

/// The cells of a block of columns, added up over the lines of a group.
#[inline(always)]
fn sum<S: Simd, const IS_DEFAULT: bool>(simd: S, cells: &[Steps], lines: &[u16]) -> S::Half {
    if IS_DEFAULT {
        let cells: &[Steps; FEW] = cells.first_chunk().expect("at least so many");
        let lines: &[u16; 7] = lines.first_chunk().expect("seven");
        let mut sum = simd.load_half(&cells[usize::from(lines[0] as u8)].0);
        let mut slot = 1;
        while slot < 7 {
            sum = simd.add_half(sum, simd.load_half(&cells[usize::from(lines[slot] as u8)].0));
            slot += 1;
        }
        return sum;
    }
    let mut sum = simd.load_half(&cells[usize::from(lines[0])].0);
    for &line in &lines[1..] {
        sum = simd.add_half(sum, simd.load_half(&cells[usize::from(line)].0));
    }
    sum
}

/// Notes columns of two groups that are left open, a bit a lane.
#[cold]
fn note(
    open: &mut Vec<(Open, [i16; LANES])>,
    bytes: &[[[u64; 2]; BATCH]],
    (first, block): (usize, usize),
    lanes: u32,
    codes: [[i16; LANES]; 2],
) {
    for (half, codes) in codes.into_iter().enumerate() {
        let (group, lanes) = (first + half, (lanes >> (half * LANES)) as u16);
        if lanes != 0 {
            let bytes = bytes[group / BATCH][group % BATCH];
            let (group, block) = (group as u32, block as u32);
            open.push((Open { group, block, lanes, bytes }, codes));
        }
    }
}

/// Counts the thresholds that are below the signal.
///
/// ```text
/// for block of 16 columns, group, in steps:
///     low, high = bounds of the noise by the byte that is drawn for every column
///     sum  = Σ over slots of cells[block][line]
///     code = |thresholds < sum + low|
///     raw[position][block] += weight · code
///     where that is not |thresholds < sum + high|, the column is left open
/// ```
struct Compare<'a> {
    tile: &'a StepTile,
    blocks: usize,
    /// None without noise.
    source: Option<&'a Counter>,
    image: u32,
    schedule: &'a Schedule,
    scratch: &'a mut DeviceScratch,
    raw: &'a mut [Lanes],
}

impl Kernel for Compare<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // The default macro with all that is constant in it, and any other.
        if self.schedule.slots == 7 && self.tile.comparators == 7 && self.tile.lines == FEW {
            self.run_with::<S, true>(simd);
        } else {
            self.run_with::<S, false>(simd);
        }
    }
}

impl Compare<'_> {
    /// Draws the bytes of a block of columns, and looks up the bounds of their noise.
    #[inline(always)]
    fn draw<S: Simd>(&mut self, simd: S, block: usize) {
        let Self { tile, source, image, schedule, scratch, .. } = self;
        let batches = schedule.len.div_ceil(BATCH);
        for list in [&mut scratch.bytes, &mut scratch.low, &mut scratch.high] {
            list.resize(list.len().max(batches), [[0; 2]; BATCH]);
        }
        let bounds = scratch.low.iter_mut().zip(&mut scratch.high);
        let batches = scratch.bytes[..batches].iter_mut().zip(bounds).enumerate();
        for (batch, (bytes, (low, high))) in batches {
            *bytes = match source {
                Some(source) => {
                    first_bytes(source, *image, &schedule.addresses(batch * BATCH), block)
                }
                None => [[0; 2]; BATCH],
            };
            let of_bytes = bytes.as_flattened().as_chunks::<8>().0;
            let of_low = low.as_flattened_mut().as_chunks_mut::<8>().0;
            let of_high = high.as_flattened_mut().as_chunks_mut::<8>().0;
            for ((bytes, low), high) in of_bytes.iter().zip(of_low).zip(of_high) {
                *low = simd.look_up(bytes, &tile.noise.low);
                *high = simd.look_up(bytes, &tile.noise.high);
            }
        }
    }

    #[inline(always)]
    fn run_with<S: Simd, const IS_DEFAULT: bool>(mut self, simd: S) {
        let Self { tile, schedule, blocks, .. } = self;
        let slots = if IS_DEFAULT { 7 } else { schedule.slots };
        let unit = simd.splat_i16(tile.noise.unit);
        let pairs = schedule.len.div_ceil(2);
        let addresses = &schedule.addresses.as_chunks::<2>().0[..pairs];
        let weights = &schedule.weights.as_chunks::<2>().0[..pairs];
        let lines = &schedule.lines[..2 * pairs * slots];
        for block in 0..blocks {
            self.draw(simd, block);
            let DeviceScratch { bytes, low, high, open, .. } = &mut *self.scratch;
            let low = &low.as_flattened().as_flattened().as_chunks::<4>().0[..pairs];
            let high = &high.as_flattened().as_flattened().as_chunks::<4>().0[..pairs];
            let raw = &mut self.raw[..];
            let thresholds = &tile.thresholds[block * tile.comparators..][..tile.comparators];
            let cells = &tile.cells[block * tile.lines..][..tile.lines];
            let mut seven = [unit; 7];
            if IS_DEFAULT {
                for (seven, threshold) in seven.iter_mut().zip(thresholds) {
                    *seven = twice(simd, threshold);
                }
            }
            let groups = addresses.iter().zip(weights).zip(lines.chunks_exact(2 * slots));
            let groups = groups.zip(low.iter().zip(high)).enumerate();
            for (pair, (((addresses, weights), lines), of_noise)) in groups {
                let (low, high) = bounds::<S, IS_DEFAULT>(simd, cells, lines, of_noise, unit);
                let codes = if IS_DEFAULT {
                    search(simd, &seven, low, high)
                } else {
                    count(simd, thresholds, low, high)
                };
                let wide = simd.widen(codes.low);
                let mut half = 0;
                while half < 2 {
                    let position = unpack(addresses[half]).0;
                    let raw = &mut raw[position as usize * blocks + block];
                    let weighted = simd.mul_i32(wide[half], simd.splat_i32(weights[half]));
                    simd.store_i32(simd.add_i32(simd.load_i32(raw), weighted), raw);
                    half += 1;
                }
                let lanes = simd.bits_i16(codes.is_open);
                if lanes != 0 {
                    let mut of_groups = [[0; LANES]; 2];
                    simd.store_i16(codes.low, &mut of_groups);
                    note(open, bytes, (2 * pair, block), lanes, of_groups);
                }
            }
        }
    }
}

/// Codes of two groups in the making.
struct Codes<S: Simd> {
    /// How many thresholds the lower bound of a signal exceeds.
    low: S::I16,
    /// Where the upper bound exceeds more.
    is_open: S::Mask16,
}

/// The same 16 integers in both halves.
#[inline(always)]
fn twice<S: Simd>(simd: S, lanes: &[i16; LANES]) -> S::I16 {
    let half = simd.load_half(lanes);
    simd.join([half, half])
}

/// Searches seven thresholds, which ascend, in three steps.
#[inline(always)]
fn search<S: Simd>(simd: S, thresholds: &[S::I16; 7], low: S::I16, high: S::I16) -> Codes<S> {
    let [t1, t2, t3, t4, t5, t6, t7] = *thresholds;
    // `next` is the lowest threshold that is not exceeded, as far as is known.
    let four = simd.greater_i16(low, t4);
    let codes = simd.add_i16_where(four, simd.splat_i16(0), simd.splat_i16(4));
    let next = simd.select_i16(four, simd.splat_i16(i16::MAX), t4);
    let middle = simd.select_i16(four, t6, t2);
    let two = simd.greater_i16(low, middle);
    let codes = simd.add_i16_where(two, codes, simd.splat_i16(2));
    let next = simd.select_i16(two, next, middle);
    let lower = simd.select_i16(two, t3, t1);
    let last = simd.select_i16(four, simd.select_i16(two, t7, t5), lower);
    let one = simd.greater_i16(low, last);
    let codes = simd.add_i16_where(one, codes, simd.splat_i16(1));
    let next = simd.select_i16(one, next, last);
    Codes { low: codes, is_open: simd.greater_i16(high, next) }
}

/// Counts any number of thresholds one by one.
#[inline(always)]
fn count<S: Simd>(simd: S, thresholds: &[[i16; LANES]], low: S::I16, high: S::I16) -> Codes<S> {
    let (zero, one) = (simd.splat_i16(0), simd.splat_i16(1));
    let (mut codes, mut others) = (zero, zero);
    for threshold in thresholds {
        let threshold = twice(simd, threshold);
        codes = simd.add_i16_where(simd.greater_i16(low, threshold), codes, one);
        others = simd.add_i16_where(simd.greater_i16(high, threshold), others, one);
    }
    Codes { low: codes, is_open: simd.greater_i16(others, codes) }
}
