//! [`DeviceKernel`]: the code is how many thresholds the summed cells reach, with temporal noise.
//!
//! What defines a code are floats, and few codes need them. In [whole steps](StepTile) 16 columns of two
//! groups are a vector, or 8 of four; the sum of a group, and the highest byte of the draw, which bounds
//! the noise, give two numbers of steps between which the signal lies. Where as many thresholds are
//! below both, that is the code. The other columns are left open: theirs is that of the whole draw, in
//! steps once more or, if they leave it open, in floats.

use hafnia_rng::{Counter, gaussian};
use hafnia_simd::{Kernel, LANES, Simd};

use crate::draws::{Address, word};
use crate::engine::Device;
use crate::fast::codes::open::{Open, first_bytes};
use crate::fast::codes::steps::{BYTE, Cells, SET, SETS, Sets, Sigma, StepTile, Steps};
use crate::fast::codes::{self, Conversions, Convert, Lanes, TileCells};
use crate::fast::groups::list::Schedule;
use crate::fast::groups::{BATCH, Cycles, unpack};
use crate::paths::{Path, Why};

/// The most rows of a conversion, and comparators, that are left to whole steps.
const MOST_ROWS: usize = 63;
const MOST_COMPARATORS: usize = 63;

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

/// Used anew for every list.
#[derive(Debug, Default)]
pub(crate) struct DeviceScratch {
    /// `[group]` × 16 columns, or 8: what was drawn, and the bounds of the noise in units.
    bytes: Vec<u64>,
    low: Vec<u64>,
    high: Vec<u64>,
    left: Vec<Left>,
    /// The lines of one group.
    lines: Vec<u64>,
}

/// Columns of a group that are left open, the codes that were taken for the time being, and the lower
/// bounds of their signals.
#[derive(Debug, Clone, Copy)]
struct Left {
    open: Open,
    codes: [i16; LANES],
    low: [i16; LANES],
}

impl Convert for DeviceKernel<'_> {
    type Scratch = DeviceScratch;

    fn path(&self) -> Path {
        Path::Converted(Why::Cells)
    }

    fn takes_masks(&self, tile: usize) -> bool {
        !matches!(self.tiles[tile].cells, Cells::Lines(..))
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
        for Left { open, codes, low } in left {
            let (group, block) = (open.group as usize, open.block as usize);
            let (position, plane_group) = schedule.address(group);
            let address = Address { image: of.image, position, plane_group };
            let raw = &mut raw[position as usize * blocks + block];
            for (column, byte) in open.columns() {
                let lane = column % LANES;
                let sum = noise.sum(low[lane], byte);
                let by_byte = tile.code(block, lane, noise.by_byte(sum, byte));
                let code = by_byte.unwrap_or_else(|| {
                    let word = word(source, address, column, byte);
                    let by_word = tile.code(block, lane, noise.by_word(sum, word));
                    by_word.unwrap_or_else(|| {
                        schedule.lines_of(group, lines);
                        self.code(of.tile, column, lines, gaussian(word))
                    })
                });
                raw[lane] += schedule.weights[group] * (code - i32::from(codes[lane]));
            }
        }
    }
}

/// The sums of a vector of groups: of two, or of four if they have few columns.
trait Sums {
    /// Columns of a group in a vector.
    const COLUMNS: usize;

    /// Those of a vector.
    fn of<S: Simd>(&self, simd: S, vector: usize) -> S::I16;
}

/// The cells of a block of columns, added up line by line, `SLOTS` being those of a group, or 0.
struct ByLine<'a, const SLOTS: usize> {
    cells: &'a [Steps<LANES>],
    lines: &'a [u16],
    slots: usize,
}

impl<const SLOTS: usize> Sums for ByLine<'_, SLOTS> {
    const COLUMNS: usize = LANES;

    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, vector: usize) -> S::I16 {
        let slots = if SLOTS == 0 { self.slots } else { SLOTS };
        let (first, second) = self.lines[2 * vector * slots..][..2 * slots].split_at(slots);
        simd.join([self.of_group(simd, first), self.of_group(simd, second)])
    }
}

impl<const SLOTS: usize> ByLine<'_, SLOTS> {
    #[inline(always)]
    fn of_group<S: Simd>(&self, simd: S, lines: &[u16]) -> S::Half {
        if SLOTS != 0 {
            let cells: &[Steps<LANES>; BYTE] = self.cells.first_chunk().expect("at least so many");
            let lines: &[u16; SLOTS] = lines.first_chunk().expect("as many as slots");
            let mut sum = simd.load_half(&cells[usize::from(lines[0] as u8)].0);
            let mut slot = 1;
            while slot < SLOTS {
                sum = simd.add_half(sum, simd.load_half(&cells[usize::from(lines[slot] as u8)].0));
                slot += 1;
            }
            return sum;
        }
        let mut sum = simd.load_half(&self.cells[usize::from(lines[0])].0);
        for &line in &lines[1..] {
            sum = simd.add_half(sum, simd.load_half(&self.cells[usize::from(line)].0));
        }
        sum
    }
}

/// The sums of sets of lines, added up.
struct BySet<'a, const COLUMNS: usize> {
    sets: &'a Sets<COLUMNS>,
    masks: &'a [u32],
}

impl<const COLUMNS: usize> BySet<'_, COLUMNS> {
    #[inline(always)]
    fn set(&self, group: u32, number: usize) -> &[i16; COLUMNS] {
        &self.sets[number][(group >> (number * SET)) as usize % (1 << SET)].0
    }
}

impl Sums for BySet<'_, LANES> {
    const COLUMNS: usize = LANES;

    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, vector: usize) -> S::I16 {
        let groups: &[u32; 2] = self.masks[2 * vector..].first_chunk().expect("two groups");
        let mut sums = [simd.load_half(self.set(0, 0)); 2];
        let mut group = 0;
        while group < 2 {
            let mut sum = simd.load_half(self.set(groups[group], 0));
            let mut number = 1;
            while number < SETS {
                sum = simd.add_half(sum, simd.load_half(self.set(groups[group], number)));
                number += 1;
            }
            sums[group] = sum;
            group += 1;
        }
        simd.join(sums)
    }
}

impl Sums for BySet<'_, { LANES / 2 }> {
    const COLUMNS: usize = LANES / 2;

    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, vector: usize) -> S::I16 {
        let groups: &[u32; 4] = self.masks[4 * vector..].first_chunk().expect("four groups");
        let mut sums = [simd.load_quarter(self.set(0, 0)); 4];
        let mut group = 0;
        while group < 4 {
            let mut sum = simd.load_quarter(self.set(groups[group], 0));
            let mut number = 1;
            while number < SETS {
                sum = simd.add_quarter(sum, simd.load_quarter(self.set(groups[group], number)));
                number += 1;
            }
            sums[group] = sum;
            group += 1;
        }
        simd.join_quarters(sums)
    }
}

/// Notes columns of a vector of groups that are left open, a bit a lane.
#[cold]
fn note(
    left: &mut Vec<Left>,
    bytes: &[u64; 4],
    (vector, block, columns): (usize, usize, usize),
    lanes: u32,
    [codes, low]: [&[[i16; LANES]; 2]; 2],
) {
    for (number, bytes) in bytes.chunks(columns / 8).enumerate() {
        let first = number * columns;
        let lanes = (lanes >> first) as u16 & u16::MAX >> (LANES - columns);
        if lanes != 0 {
            let group = (vector * (2 * LANES / columns) + number) as u32;
            let bytes = [bytes[0], *bytes.last().expect("eight columns or more")];
            let open = Open { group, block: block as u32, lanes, bytes };
            let mut of_group = Left { open, codes: [0; LANES], low: [0; LANES] };
            of_group.codes[..columns].copy_from_slice(&codes.as_flattened()[first..][..columns]);
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
    fn run<S: Simd>(mut self, simd: S) {
        let Self { tile, schedule, .. } = self;
        let Schedule { masks, lines, slots, .. } = schedule;
        match &tile.cells {
            Cells::Narrow(sets) => self.convert(simd, 0, &BySet { sets, masks }),
            Cells::Sets(sets) => self.convert(simd, 0, &BySet { sets, masks }),
            Cells::Lines(cells, of_block) => {
                for (block, cells) in cells.chunks_exact(*of_block).enumerate() {
                    // The default macro, and any other.
                    if *slots == 7 && *of_block == BYTE {
                        self.convert(simd, block, &ByLine::<7> { cells, lines, slots: *slots });
                    } else {
                        self.convert(simd, block, &ByLine::<0> { cells, lines, slots: *slots });
                    }
                }
            }
        }
    }
}

impl Compare<'_> {
    /// Converts a block of columns.
    #[inline(always)]
    fn convert<S: Simd, Of: Sums>(&mut self, simd: S, block: usize, sums: &Of) {
        if Of::COLUMNS == LANES {
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
                    seven[number] = repeated::<S, Of>(simd, &thresholds[number]);
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
    fn compare<S: Simd, Of: Sums>(
        &mut self,
        simd: S,
        block: usize,
        sums: &Of,
        thresholds: &impl Search<S>,
    ) {
        let Self { tile, schedule, blocks, .. } = *self;
        let DeviceScratch { bytes, low, high, left, .. } = &mut *self.scratch;
        let groups = 2 * LANES / Of::COLUMNS;
        let vectors = schedule.len.div_ceil(groups);
        let unit = simd.splat_i16(tile.noise.unit);
        let bytes = &bytes.as_chunks::<4>().0[..vectors];
        let low = &low.as_chunks::<4>().0[..vectors];
        let high = &high.as_chunks::<4>().0[..vectors];
        let addresses = &schedule.addresses[..vectors * groups];
        let weights = &schedule.weights[..vectors * groups];
        let raw = &mut self.raw[..];
        let at = |address: u64| unpack(address).0 as usize * blocks + block;
        for vector in 0..vectors {
            let sum = sums.of(simd, vector);
            let low = simd.add_i16(sum, simd.mul_i16(simd.load_i8(&low[vector]), unit));
            let high = simd.add_i16(sum, simd.mul_i16(simd.load_i8(&high[vector]), unit));
            let addresses = &addresses[vector * groups..][..groups];
            let weights = &weights[vector * groups..][..groups];
            let codes = thresholds.search::<Of>(simd, low, high);
            let wide = simd.widen(codes.low);
            if Of::COLUMNS == LANES {
                let mut group = 0;
                while group < 2 {
                    let raw = &mut raw[at(addresses[group])];
                    let weighted = simd.mul_i32(wide[group], simd.splat_i32(weights[group]));
                    simd.store_i32(simd.add_i32(simd.load_i32(raw), weighted), raw);
                    group += 1;
                }
            } else {
                let mut narrow = [[0; LANES]; 2];
                simd.store_i32(wide[0], &mut narrow[0]);
                simd.store_i32(wide[1], &mut narrow[1]);
                let mut group = 0;
                while group < 4 {
                    let raw: &mut [i32; LANES / 2] =
                        raw[at(addresses[group])].first_chunk_mut().expect("a half");
                    let codes = &narrow.as_flattened().as_chunks::<{ LANES / 2 }>().0[group];
                    *raw = add_weighted(*raw, *codes, weights[group]);
                    group += 1;
                }
            }
            let lanes = simd.bits_i16(codes.is_open);
            if lanes != 0 {
                let [mut stored, mut lows] = [[[0; LANES]; 2]; 2];
                simd.store_i16(codes.low, &mut stored);
                simd.store_i16(low, &mut lows);
                let of_vector = (vector, block, Of::COLUMNS);
                note(left, &bytes[vector], of_vector, lanes, [&stored, &lows]);
            }
        }
    }
}

/// sums + weight · codes.
#[inline(always)]
fn add_weighted<const N: usize>(mut sums: [i32; N], codes: [i32; N], weight: i32) -> [i32; N] {
    let mut lane = 0;
    while lane < N {
        sums[lane] += weight * codes[lane];
        lane += 1;
    }
    sums
}

/// Codes of a vector of groups in the making.
struct Codes<S: Simd> {
    /// How many thresholds the lower bound of a signal exceeds.
    low: S::I16,
    /// Where the upper bound exceeds more.
    is_open: S::Mask16,
}

/// What all groups of a vector have in common.
#[inline(always)]
fn repeated<S: Simd, Of: Sums>(simd: S, lanes: &[i16; LANES]) -> S::I16 {
    if Of::COLUMNS == LANES {
        let half = simd.load_half(lanes);
        simd.join([half, half])
    } else {
        simd.join_quarters([simd.load_quarter(lanes.first_chunk().expect("a quarter")); 4])
    }
}

/// Thresholds, which ascend.
trait Search<S: Simd> {
    /// How many of them bounds exceed.
    fn search<Of: Sums>(&self, simd: S, low: S::I16, high: S::I16) -> Codes<S>;
}

/// Seven, searched in three steps.
struct Seven<S: Simd>([S::I16; 7]);

impl<S: Simd> Search<S> for Seven<S> {
    #[inline(always)]
    fn search<Of: Sums>(&self, simd: S, low: S::I16, high: S::I16) -> Codes<S> {
        let [t1, t2, t3, t4, t5, t6, t7] = self.0;
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
}

/// Any number, counted one by one.
struct Any<'a>(&'a [[i16; LANES]]);

impl<S: Simd> Search<S> for Any<'_> {
    #[inline(always)]
    fn search<Of: Sums>(&self, simd: S, low: S::I16, high: S::I16) -> Codes<S> {
        let (zero, one) = (simd.splat_i16(0), simd.splat_i16(1));
        let (mut codes, mut others) = (zero, zero);
        for threshold in self.0 {
            let threshold = repeated::<S, Of>(simd, threshold);
            codes = simd.add_i16_where(simd.greater_i16(low, threshold), codes, one);
            others = simd.add_i16_where(simd.greater_i16(high, threshold), others, one);
        }
        Codes { low: codes, is_open: simd.greater_i16(others, codes) }
    }
}
