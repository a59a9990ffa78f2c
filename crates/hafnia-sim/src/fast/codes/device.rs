//! [`DeviceKernel`]: the code is how many thresholds the summed cells reach, with temporal noise.
//!
//! What defines a code are floats, and few codes need them. In [whole steps](StepTile) 16 columns of two
//! groups are a vector, or 8 of four; the sum of a group, and the highest byte of the draw, which bounds
//! the noise, give two numbers of steps between which the signal lies. Where as many thresholds are
//! below both, that is the code. The other columns are left open: theirs is that of the whole draw, in
//! steps once more or, if they leave it open, in floats.

use hafnia_ir::Coding;
use hafnia_rng::{Counter, gaussian};
use hafnia_simd::{Kernel, LANES, Simd};

use crate::draws::{Address, word};
use crate::engine::Device;
use crate::fast::codes::open::{Open, first_bytes};
use crate::fast::codes::steps::{BYTE, Cells, SET, SETS, Sets, Sigma, StepTile, Steps, TWICE};
use crate::fast::codes::{self, Conversions, Convert, Lanes, TileCells};
use crate::fast::groups::list::{Form, Number, Schedule};
use crate::fast::groups::{BATCH, Cycles, unpack};
use crate::paths::{Path, Why};

/// The most rows of a conversion, and comparators, that are left to whole steps.
const MOST_ROWS: usize = 63;
const MOST_COMPARATORS: usize = 63;
const _: () = assert!(
    MOST_COMPARATORS as i32 * Coding::LARGEST <= i16::MAX as i32,
    "a code times its weight fits 16 bits"
);
/// Rows of a conversion of the default macro.
const SLOTS: usize = 7;

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

/// Columns of a group that are left open, their sums, and the lower bounds of their signals, whose codes
/// were taken for the time being.
#[derive(Debug, Clone, Copy)]
struct Left {
    open: Open,
    sums: [i16; LANES],
    low: [i16; LANES],
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

/// The sums of vectors of so many groups: of two, or of four if they have few columns.
trait Sums<const GROUPS: usize>: Copy {
    /// Those of the first vectors only, which tells the compiler how many there are.
    fn first(self, vectors: usize) -> Self;

    /// Those of a vector.
    fn of<S: Simd>(&self, simd: S, vector: usize) -> S::I16;
}

/// The cells of a block of columns, added up line by line, of [`SLOTS`] lines below `LINES`.
#[derive(Clone, Copy)]
struct ByLine<'a, N, const LINES: usize> {
    cells: &'a [Steps<LANES>; LINES],
    /// (vector, group of the vector, slot).
    lines: &'a [[[N; SLOTS]; 2]],
}

impl<'a, N: Number, const LINES: usize> ByLine<'a, N, LINES> {
    #[inline(always)]
    fn new(cells: &'a [Steps<LANES>], lines: &'a [N]) -> Self {
        let cells = cells.try_into().expect("as many lines as the form of the list says");
        Self { cells, lines: lines.as_chunks().0.as_chunks().0 }
    }
}

impl<N: Number, const LINES: usize> Sums<2> for ByLine<'_, N, LINES> {
    #[inline(always)]
    fn first(self, vectors: usize) -> Self {
        Self { lines: &self.lines[..vectors], ..self }
    }

    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, vector: usize) -> S::I16 {
        let lines = &self.lines[vector];
        let mut sums = [simd.load_half(&self.cells[0].0); 2];
        let mut group = 0;
        while group < 2 {
            let mut sum = simd.load_half(&self.cells[lines[group][0].into() % LINES].0);
            let mut slot = 1;
            while slot < SLOTS {
                let line = lines[group][slot].into() % LINES;
                sum = simd.add_half(sum, simd.load_half(&self.cells[line].0));
                slot += 1;
            }
            sums[group] = sum;
            group += 1;
        }
        simd.join(sums)
    }
}

/// The cells of a block of columns, added up line by line, of any number of lines and slots.
#[derive(Clone, Copy)]
struct ByAnyLine<'a> {
    cells: &'a [Steps<LANES>],
    lines: &'a [u16],
    slots: usize,
}

impl Sums<2> for ByAnyLine<'_> {
    #[inline(always)]
    fn first(self, _vectors: usize) -> Self {
        self
    }

    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, vector: usize) -> S::I16 {
        let lines = &self.lines[2 * vector * self.slots..][..2 * self.slots];
        let (first, second) = lines.split_at(self.slots);
        simd.join([self.of_group(simd, first), self.of_group(simd, second)])
    }
}

impl ByAnyLine<'_> {
    #[inline(always)]
    fn of_group<S: Simd>(&self, simd: S, lines: &[u16]) -> S::Half {
        let mut sum = simd.load_half(&self.cells[usize::from(lines[0])].0);
        for &line in &lines[1..] {
            sum = simd.add_half(sum, simd.load_half(&self.cells[usize::from(line)].0));
        }
        sum
    }
}

/// The sums of sets of lines, added up.
#[derive(Clone, Copy)]
struct BySet<'a, const COLUMNS: usize, const GROUPS: usize> {
    sets: &'a Sets<COLUMNS>,
    /// (vector, group of the vector): a bit a line.
    masks: &'a [[u32; GROUPS]],
}

impl<const COLUMNS: usize, const GROUPS: usize> BySet<'_, COLUMNS, GROUPS> {
    #[inline(always)]
    fn set(&self, group: u32, number: usize) -> &[i16; COLUMNS] {
        &self.sets[number][(group >> (number * SET)) as usize % (1 << SET)].0
    }
}

impl Sums<2> for BySet<'_, LANES, 2> {
    #[inline(always)]
    fn first(self, vectors: usize) -> Self {
        Self { masks: &self.masks[..vectors], ..self }
    }

    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, vector: usize) -> S::I16 {
        let groups = &self.masks[vector];
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

impl Sums<4> for BySet<'_, { LANES / 2 }, 4> {
    #[inline(always)]
    fn first(self, vectors: usize) -> Self {
        Self { masks: &self.masks[..vectors], ..self }
    }

    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, vector: usize) -> S::I16 {
        let groups = &self.masks[vector];
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

/// The weights of the groups of a vector: once, twice and four times.
struct Weights<S: Simd>([S::I16; 3]);

impl<S: Simd> Weights<S> {
    #[inline(always)]
    fn of_all(simd: S, weight: i16) -> Self {
        Self([simd.splat_i16(weight); 3])
    }

    #[inline(always)]
    fn new<const GROUPS: usize>(simd: S, weights: &[i32; GROUPS]) -> Self {
        let weight = |group: usize| weights[group] as i16;
        let once = if GROUPS == 2 {
            simd.join([simd.splat_half(weight(0)), simd.splat_half(weight(1))])
        } else {
            let quarter = |group| simd.splat_quarter(weight(group));
            simd.join_quarters([quarter(0), quarter(1), quarter(2), quarter(3)])
        };
        let twice = simd.add_i16(once, once);
        Self([once, twice, simd.add_i16(twice, twice)])
    }
}

/// What all groups of a vector have in common.
#[inline(always)]
fn repeated<S: Simd, const GROUPS: usize>(simd: S, lanes: &[i16; LANES]) -> S::I16 {
    if GROUPS == 2 {
        let half = simd.load_half(lanes);
        simd.join([half, half])
    } else {
        simd.join_quarters([simd.load_quarter(lanes.first_chunk().expect("a quarter")); 4])
    }
}

/// Thresholds, which ascend.
trait Search<S: Simd, const GROUPS: usize> {
    /// How many of them the lower bound of a signal exceeds, times the weight of its group, and where
    /// the upper bound exceeds more.
    fn search(
        &self,
        simd: S,
        low: S::I16,
        high: S::I16,
        weights: &Weights<S>,
    ) -> (S::I16, S::Mask16);
}

/// Seven, searched in three steps.
struct Seven<S: Simd>([S::I16; 7]);

impl<S: Simd, const GROUPS: usize> Search<S, GROUPS> for Seven<S> {
    #[inline(always)]
    fn search(
        &self,
        simd: S,
        low: S::I16,
        high: S::I16,
        weights: &Weights<S>,
    ) -> (S::I16, S::Mask16) {
        let ([t1, t2, t3, t4, t5, t6, t7], [once, twice, four_times]) = (self.0, weights.0);
        // `next` is the lowest threshold that is not exceeded, as far as is known.
        let four = simd.greater_i16(low, t4);
        let codes = simd.add_i16_where(four, simd.splat_i16(0), four_times);
        let next = simd.select_i16(four, simd.splat_i16(i16::MAX), t4);
        let middle = simd.select_i16(four, t6, t2);
        let two = simd.greater_i16(low, middle);
        let codes = simd.add_i16_where(two, codes, twice);
        let next = simd.select_i16(two, next, middle);
        let lower = simd.select_i16(two, t3, t1);
        let last = simd.select_i16(four, simd.select_i16(two, t7, t5), lower);
        let one = simd.greater_i16(low, last);
        let codes = simd.add_i16_where(one, codes, once);
        let next = simd.select_i16(one, next, last);
        (codes, simd.greater_i16(high, next))
    }
}

/// Any number, counted one by one.
struct Any<'a>(&'a [[i16; LANES]]);

impl<S: Simd, const GROUPS: usize> Search<S, GROUPS> for Any<'_> {
    #[inline(always)]
    fn search(
        &self,
        simd: S,
        low: S::I16,
        high: S::I16,
        weights: &Weights<S>,
    ) -> (S::I16, S::Mask16) {
        let (zero, one) = (simd.splat_i16(0), simd.splat_i16(1));
        let (mut codes, mut others) = (zero, zero);
        for threshold in self.0 {
            let threshold = repeated::<S, GROUPS>(simd, threshold);
            codes = simd.add_i16_where(simd.greater_i16(low, threshold), codes, one);
            others = simd.add_i16_where(simd.greater_i16(high, threshold), others, one);
        }
        (simd.mul_i16(codes, weights.0[0]), simd.greater_i16(others, codes))
    }
}
