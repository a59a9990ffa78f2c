//! [`DeviceKernel`]: the code is how many thresholds the summed cells reach, with temporal noise.

use hafnia_rng::{Counter, gaussian};
use hafnia_simd::{Kernel, LANES, Simd};

use crate::chip::ChipTile;
use crate::draws::{Address, word};
use crate::engine::Device;
use crate::fast::codes::open::{Open, first_bytes};
use crate::fast::codes::{Cells, Conversions, Convert, TileCells};
use crate::fast::groups::list::Schedule;
use crate::fast::groups::{BATCH, Cycles};
use crate::paths::{Path, Why};

/// Lines that fit a byte, the one that is never on included.
const FEW: usize = 256;

/// [`Device`] over lists.
pub(crate) struct DeviceKernel<'a> {
    cells: &'a Cells,
    device: &'a Device<'a>,
    tiles: Vec<DeviceTile>,
    /// Bounds of |z| by the highest byte of a word, in units of the largest |z| / 255: see
    /// [`Simd::look_up_tails`].
    reach: [[u8; 16]; 2],
    /// Rows on: that unit in LSB for the largest standard deviation; empty without noise.
    unit: Vec<f32>,
}

struct DeviceTile {
    /// Lines of a block, at least [`FEW`].
    lines: usize,
    /// `[block][line]` × 16 columns: signals of cells, 0 in the line that is never on and behind it.
    cells: Vec<[f32; LANES]>,
    /// `[block][comparator]` × 16 columns: thresholds, ascending. A code is the number of those that
    /// are reached, whichever they are.
    thresholds: Vec<[f32; LANES]>,
}

impl DeviceTile {
    fn new(tile: &TileCells, chip: &ChipTile, comparators: usize) -> Self {
        let lines = (tile.lines + 1).max(FEW);
        let mut cells = vec![[0.0; LANES]; lines * tile.blocks];
        let mut thresholds = chip.thresholds.clone();
        for block in 0..tile.blocks {
            for (line, &row) in tile.physical.iter().enumerate() {
                cells[block * lines + line] = chip.cells[row as usize * tile.blocks + block];
            }
            let of_block = &mut thresholds[block * comparators..][..comparators];
            for lane in 0..LANES {
                let mut of_lane: Vec<f32> = of_block.iter().map(|lanes| lanes[lane]).collect();
                of_lane.sort_by(f32::total_cmp);
                of_block.iter_mut().zip(of_lane).for_each(|(lanes, of_lane)| lanes[lane] = of_lane);
            }
        }
        Self { lines, cells, thresholds }
    }
}

impl<'a> DeviceKernel<'a> {
    pub(crate) fn new(device: &'a Device<'a>, cells: &'a Cells) -> Self {
        let tiles = cells.tiles.iter().zip(&device.chip.tiles);
        let tiles = tiles.map(|(tile, chip)| DeviceTile::new(tile, chip, device.comparators));
        // A word whose highest byte is b or !b, b < 128, has |z| at most that of the word b·2²⁴,
        // since `gaussian` increases.
        let bound = |byte: usize| -gaussian((byte as u32) << 24);
        let units = |byte: usize| (bound(byte) / bound(0) * 255.0).ceil() as u8;
        let low = std::array::from_fn(units);
        let high = std::array::from_fn(|sixteenth| units((sixteenth * 16).min(127)));
        let largest = |deviations: &[f32]| deviations.iter().copied().fold(0.0f32, f32::max);
        // The product of a unit with a byte is rounded once, and so is noise: twice 2⁻²⁴ of it.
        let unit = |deviations| largest(deviations) * bound(0) / 255.0 * (1.0 + 1e-6);
        Self {
            cells,
            device,
            tiles: tiles.collect(),
            reach: [low, high],
            unit: device.sigma.chunks(device.stride).map(unit).collect(),
        }
    }

    /// Draws whole words where a byte left the code open.
    fn settle(
        &self,
        of: Conversions,
        schedule: &Schedule,
        scratch: &mut DeviceScratch,
        raw: &mut [[i32; LANES]],
    ) {
        let (device, source) = (self.device, &self.device.sources[of.tile]);
        let (cells, chip) = (&self.cells.tiles[of.tile], &device.chip.tiles[of.tile]);
        let DeviceScratch { open, lines } = scratch;
        lines.resize(cells.words, 0);
        for OpenSignal { open, signal, low } in &*open {
            let (group, block) = (open.group as usize, open.block as usize);
            let (position, plane_group) = (schedule.positions[group], schedule.plane_groups[group]);
            let address = Address { image: of.image, position, plane_group };
            let sigma = &device.sigma[schedule.rows[group] as usize * device.stride..];
            let thresholds = &chip.thresholds[block * device.comparators..][..device.comparators];
            schedule.lines_of(group, lines);
            for (column, byte) in open.columns() {
                let lane = column % LANES;
                let word = word(source, address, column, byte);
                let signal = signal[lane] + sigma[cells.ones(column, lines)] * gaussian(word);
                let code = |signal: f32| -> i32 {
                    thresholds.iter().map(|threshold| i32::from(signal >= threshold[lane])).sum()
                };
                raw[position as usize * cells.blocks + block][lane] +=
                    schedule.weights[group] * (code(signal) - code(low[lane]));
            }
        }
    }
}

/// Columns that are left open, and the lines of one group.
#[derive(Debug, Default)]
pub(crate) struct DeviceScratch {
    open: Vec<OpenSignal>,
    lines: Vec<u64>,
}

/// Columns that are left open, their signal and its lower bound, whose code was taken for the time
/// being.
#[derive(Debug)]
struct OpenSignal {
    open: Open,
    signal: [f32; LANES],
    low: [f32; LANES],
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
        raw: &mut [[i32; LANES]],
    ) {
        scratch.open.clear();
        of.isa.run(Compare {
            tile: &self.tiles[of.tile],
            blocks: self.cells.tiles[of.tile].blocks,
            comparators: self.device.comparators,
            source: &self.device.sources[of.tile],
            image: of.image,
            unit: &self.unit,
            reach: self.reach,
            schedule,
            open: &mut scratch.open,
            raw,
        });
        self.settle(of, schedule, scratch, raw);
    }
}

/// Adds up cells and compares the sum, less and plus the bound of its noise, with the thresholds.
///
/// ```text
/// for block of 16 columns, batch of 16 groups:
///     reach = bound of |z| by the byte that is drawn for every column
///     for group:
///         signal = Σ over lines of cells[block][line]
///         noise  = reach · unit[rows]
///         raw[position][block] += weight · |thresholds ≤ signal − noise|
///         where that is not |thresholds ≤ signal + noise|, the column is left open
/// ```
struct Compare<'a> {
    tile: &'a DeviceTile,
    blocks: usize,
    comparators: usize,
    source: &'a Counter,
    image: u32,
    unit: &'a [f32],
    reach: [[u8; 16]; 2],
    schedule: &'a Schedule,
    open: &'a mut Vec<OpenSignal>,
    raw: &'a mut [[i32; LANES]],
}

impl Kernel for Compare<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // The default macro with all that is constant in it, and any other.
        if self.schedule.slots == 7 && self.comparators == 7 && self.tile.lines == FEW {
            self.run_with::<S, true>(simd);
        } else {
            self.run_with::<S, false>(simd);
        }
    }
}

/// Codes in the making: how many thresholds, sorted, a lower and an upper bound of a signal reach.
struct Bounded<S: Simd> {
    /// weight · code of the lower bound, added to a raw sum.
    raw: S::I32,
    /// A bit a lane: whether the upper bound has another code.
    open: u16,
}

/// Searches seven thresholds in three steps.
#[inline(always)]
fn search<S: Simd>(
    simd: S,
    thresholds: &[S::F32; 7],
    (low, high): (S::F32, S::F32),
    raw: S::I32,
    weight: S::I32,
) -> Bounded<S> {
    let [t1, t2, t3, t4, t5, t6, t7] = *thresholds;
    let double = simd.add_i32(weight, weight);
    // `next` is the lowest threshold that is not reached, as far as is known.
    let four = simd.ge(low, t4);
    let raw = simd.add_where(four, raw, simd.add_i32(double, double));
    let next = simd.select(four, simd.splat(f32::INFINITY), t4);
    let middle = simd.select(four, t6, t2);
    let two = simd.ge(low, middle);
    let raw = simd.add_where(two, raw, double);
    let next = simd.select(two, next, middle);
    let last = simd.select(four, simd.select(two, t7, t5), simd.select(two, t3, t1));
    let one = simd.ge(low, last);
    let raw = simd.add_where(one, raw, weight);
    let next = simd.select(one, next, last);
    Bounded { raw, open: simd.bits(simd.ge(high, next)) }
}

/// Searches any number of thresholds one by one.
#[inline(always)]
fn count<S: Simd>(
    simd: S,
    thresholds: &[[f32; LANES]],
    (low, high): (S::F32, S::F32),
    mut raw: S::I32,
    weight: S::I32,
) -> Bounded<S> {
    let mut open = 0;
    for threshold in thresholds {
        let threshold = simd.load(threshold);
        let is_reached = simd.ge(low, threshold);
        raw = simd.add_where(is_reached, raw, weight);
        open |= simd.bits(is_reached) ^ simd.bits(simd.ge(high, threshold));
    }
    Bounded { raw, open }
}

impl Compare<'_> {
    #[inline(always)]
    fn run_with<S: Simd, const IS_DEFAULT: bool>(self, simd: S) {
        let Self { tile, blocks, source, image, unit, reach: tables, schedule, open, raw, .. } =
            self;
        let slots = if IS_DEFAULT { 7 } else { schedule.slots };
        let is_noisy = !unit.is_empty();
        let sevens = schedule.lines.as_chunks::<7>().0;
        for block in 0..blocks {
            let thresholds = &tile.thresholds[block * self.comparators..][..self.comparators];
            let cells = &tile.cells[block * tile.lines..][..tile.lines];
            let few: &[[f32; LANES]; FEW] = cells.first_chunk().expect("at least so many");
            let mut seven = [simd.splat(0.0); 7];
            if IS_DEFAULT {
                for (seven, threshold) in seven.iter_mut().zip(thresholds) {
                    *seven = simd.load(threshold);
                }
            }
            let mut first = 0;
            while first < schedule.len {
                let mut bytes = [[0; 2]; BATCH];
                let mut reach = [[0; 2]; BATCH];
                if is_noisy {
                    bytes = first_bytes(source, image, &schedule.addresses(first), block);
                    let of_bytes = bytes.as_flattened().as_chunks::<8>().0;
                    let of_reach = reach.as_flattened_mut().as_chunks_mut::<8>().0;
                    for (reach, bytes) in of_reach.iter_mut().zip(of_bytes) {
                        *reach = simd.look_up_tails(bytes, &tables[0], &tables[1]);
                    }
                }
                let end = (first + BATCH).min(schedule.len);
                let batch = (first..end).zip(&schedule.positions[first..end]);
                let batch =
                    batch.zip(&schedule.rows[first..end]).zip(&schedule.weights[first..end]);
                for ((((group, &position), &rows), &weight), reach) in batch.zip(&reach) {
                    let mut signal;
                    if IS_DEFAULT {
                        let lines = &sevens[group];
                        let cells_of = |line: u16| simd.load(&few[usize::from(line as u8)]);
                        signal = cells_of(lines[0]);
                        let mut slot = 1;
                        while slot < 7 {
                            signal = simd.add(signal, cells_of(lines[slot]));
                            slot += 1;
                        }
                    } else {
                        let lines = &schedule.lines[group * slots..][..slots];
                        signal = simd.load(&cells[usize::from(lines[0])]);
                        for &line in &lines[1..] {
                            signal = simd.add(signal, simd.load(&cells[usize::from(line)]));
                        }
                    }
                    let weight = simd.splat_i32(weight);
                    let sums = &mut raw[position as usize * blocks + block];
                    let mut bounds = (signal, signal);
                    if is_noisy {
                        let unit = simd.splat(unit[rows as usize]);
                        let noise = simd.mul(simd.load_bytes(reach), unit);
                        bounds = (simd.sub(signal, noise), simd.add(signal, noise));
                    }
                    let before = simd.load_i32(sums);
                    let bounded = if IS_DEFAULT {
                        search(simd, &seven, bounds, before, weight)
                    } else {
                        count(simd, thresholds, bounds, before, weight)
                    };
                    simd.store_i32(bounded.raw, sums);
                    if is_noisy && bounded.open != 0 {
                        let mut noted = OpenSignal {
                            open: Open {
                                group: group as u32,
                                block: block as u32,
                                lanes: bounded.open,
                                bytes: bytes[(group - first) % BATCH],
                            },
                            signal: [0.0; LANES],
                            low: [0.0; LANES],
                        };
                        simd.store(signal, &mut noted.signal);
                        simd.store(bounds.0, &mut noted.low);
                        open.push(noted);
                    }
                }
                first += BATCH;
            }
        }
    }
}
