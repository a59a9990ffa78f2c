//! [`SignalKernel`]: the floats that define a code, for conversions of many rows or codes, whose sums in
//! whole steps would leave too much open.
//!
//! Cells are added up as they are, 16 columns a vector, and a byte of the draw bounds the noise. The
//! thresholds that the signals of a vector can lie among are few, if signals differ little from column to
//! column: only those are counted. A column where the two bounds reach different ones is settled by the
//! noise of its own ones and, if need be, by the other bytes of its word.

use hafnia_rng::gaussian;
use hafnia_simd::{Kernel, LANES, Simd};

use crate::chip::ChipTile;
use crate::draws::{Address, word};
use crate::engine::Device;
use crate::fast::codes::open::{Open, first_bytes};
use crate::fast::codes::{Cells, Conversions, Convert, Lanes, TileCells};
use crate::fast::groups::list::Schedule;
use crate::fast::groups::{BATCH, Cycles};
use crate::paths::{Path, Why};

/// Blocks of columns whose signals are added up at once.
const BLOCKS: usize = 4;

/// [`Device`] over lists, as it is defined.
pub(crate) struct SignalKernel<'a> {
    cells: &'a Cells,
    device: &'a Device<'a>,
    tiles: Vec<Thresholds>,
    /// By the number of rows that are on, the least and the largest standard deviation of the temporal
    /// noise; empty without noise.
    sigmas: Vec<[f32; 2]>,
    /// By the highest byte of a word, the least and the largest deviate.
    deviates: Vec<[f32; 2]>,
}

/// The thresholds of a tile.
struct Thresholds {
    /// `[block][comparator]` × 16 columns: ascending. A code is the number of those that are reached,
    /// whichever they are.
    lanes: Vec<[f32; LANES]>,
    /// `[block][comparator]`: the lowest and the highest of the 16.
    range: Vec<[f32; 2]>,
}

impl Thresholds {
    /// Those of so many columns; lanes that are none have those of lane 0.
    fn new(chip: &ChipTile, columns: usize, comparators: usize) -> Self {
        let mut lanes = chip.thresholds.clone();
        for (block, of_block) in lanes.chunks_mut(comparators).enumerate() {
            for lane in 0..LANES {
                let mut of_lane: Vec<f32> = of_block.iter().map(|lanes| lanes[lane]).collect();
                of_lane.sort_unstable_by(f32::total_cmp);
                of_block.iter_mut().zip(of_lane).for_each(|(lanes, lsb)| lanes[lane] = lsb);
            }
            of_block.iter_mut().for_each(|lanes| spread(lanes, columns - block * LANES));
        }
        let range = lanes.iter().map(|lanes| [least(lanes), most(lanes)]).collect();
        Self { lanes, range }
    }
}

/// Has lanes behind so many columns hold what lane 0 does.
#[inline(always)]
fn spread(lanes: &mut [f32; LANES], columns: usize) {
    for lane in columns..LANES {
        lanes[lane] = lanes[0];
    }
}

#[inline(always)]
fn least(lanes: &[f32; LANES]) -> f32 {
    reduce(*lanes, smaller)
}

#[inline(always)]
fn most(lanes: &[f32; LANES]) -> f32 {
    reduce(*lanes, larger)
}

/// The smaller number, in one instruction as none is NaN.
#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if b < a { b } else { a }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[inline(always)]
fn reduce(mut lanes: [f32; LANES], of: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        let mut lane = 0;
        while lane < half {
            lanes[lane] = of(lanes[lane], lanes[lane + half]);
            lane += 1;
        }
        half /= 2;
    }
    lanes[0]
}

impl<'a> SignalKernel<'a> {
    pub(crate) fn new(device: &'a Device<'a>, cells: &'a Cells) -> Self {
        let tiles = device.chip.tiles.iter().zip(&cells.tiles);
        let thresholds = |(chip, tile): (&ChipTile, &TileCells)| {
            Thresholds::new(chip, tile.columns, device.comparators)
        };
        // `gaussian` increases but for a millionth where its two branches meet.
        let deviates = |byte: u32| {
            let [low, high] = [byte << 24, byte << 24 | 0xff_ffff].map(gaussian);
            [low - low.abs() * 1e-6, high + high.abs() * 1e-6]
        };
        let rows = if device.sigma.is_empty() { 0..0 } else { 0..device.stride };
        Self {
            cells,
            device,
            tiles: tiles.map(thresholds).collect(),
            sigmas: rows.map(|rows| device.sigmas(rows)).collect(),
            deviates: (0..=u8::MAX.into()).map(deviates).collect(),
        }
    }

    /// The code of an open column, whose signal without noise this is.
    #[cold]
    fn settle(
        &self,
        of: Conversions,
        address: Address,
        (column, byte): (usize, u8),
        lines: &[u64],
        rows: usize,
        signal: f32,
    ) -> i32 {
        let (device, tile) = (self.device, &self.cells.tiles[of.tile]);
        let squares = || tile.squares(column, lines);
        let sigma = device.sigma(rows, tile.ones(column, lines), squares);
        let of_block = column / LANES * device.comparators;
        let thresholds = &self.tiles[of.tile].lanes[of_block..][..device.comparators];
        let code = |z: f32| {
            let signal = signal + sigma * z;
            thresholds.partition_point(|lsb| lsb[column % LANES] <= signal) as i32
        };
        // A signal grows with its deviate, and a code with its signal.
        let [low, high] = self.deviates[usize::from(byte)].map(code);
        match low == high {
            true => low,
            false => code(gaussian(word(&device.sources[of.tile], address, column, byte))),
        }
    }
}

impl Convert for SignalKernel<'_> {
    type Scratch = SignalScratch;

    fn path(&self) -> Path {
        Path::Converted(Why::Cells)
    }

    fn convert(
        &self,
        of: Conversions,
        schedule: &Schedule,
        scratch: &mut SignalScratch,
        raw: &mut [Lanes],
    ) {
        of.isa.run(AddUp { kernel: self, of, schedule, scratch, raw });
    }
}

/// Used anew for every list.
#[derive(Debug, Default)]
pub(crate) struct SignalScratch {
    /// `[block][group of the batch]` × 16 columns: what was drawn.
    bytes: Vec<[[u64; 2]; BATCH]>,
    /// `[block]` × 16 columns: signals of a group.
    signals: Vec<[f32; LANES]>,
    /// The lines of one group.
    lines: Vec<u64>,
}

/// Adds up cells, and counts the thresholds that are reached.
///
/// ```text
/// for group, block of 16 columns:
///     signal    = Σ over lines of cells[line][block]
///     low, high = signal with the bounds of the noise by the byte that is drawn for every column
///     code      = |thresholds ≤ low|, of those that are not below all of low or above all of high
///     where that is not |thresholds ≤ high|, the code is settled by itself
///     raw[position][block] += weight · code
/// ```
struct AddUp<'a> {
    kernel: &'a SignalKernel<'a>,
    of: Conversions,
    schedule: &'a Schedule,
    scratch: &'a mut SignalScratch,
    raw: &'a mut [Lanes],
}

impl Kernel for AddUp<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { kernel, of, schedule, scratch, raw } = self;
        let (device, blocks) = (kernel.device, kernel.cells.tiles[of.tile].blocks);
        let (chip, tile) = (&device.chip.tiles[of.tile], &kernel.cells.tiles[of.tile]);
        let SignalScratch { bytes, signals, lines } = scratch;
        bytes.resize(blocks, [[0; 2]; BATCH]);
        signals.resize(blocks, [0.0; LANES]);
        lines.resize(tile.words, 0);
        for group in 0..schedule.len {
            if group.is_multiple_of(BATCH) && !kernel.sigmas.is_empty() {
                let addresses = schedule.addresses(group);
                for (block, bytes) in bytes.iter_mut().enumerate() {
                    *bytes =
                        first_bytes::<2>(&device.sources[of.tile], of.image, &addresses, block);
                }
            }
            let (lines_on, weight) = (schedule.lines_on(group), schedule.weights[group]);
            let (position, plane_group) = schedule.address(group);
            let cells = Lines { cells: &chip.cells, blocks, rows: &tile.physical, on: lines_on };
            let mut first = 0;
            while first + BLOCKS <= blocks {
                cells.add_up::<BLOCKS>(first, &mut signals[first..]);
                first += BLOCKS;
            }
            while first < blocks {
                cells.add_up::<1>(first, &mut signals[first..]);
                first += 1;
            }
            let mut are_lines_known = false;
            for (block, signal) in signals.iter_mut().enumerate() {
                let columns = tile.columns - block * LANES;
                spread(signal, columns);
                let bytes = bytes[block][group % BATCH];
                let [low, high] = match kernel.sigmas.get(lines_on.len()) {
                    Some(sigmas) => bounds(signal, &kernel.deviates, bytes, *sigmas),
                    None => [*signal; 2],
                };
                let thresholds = block * device.comparators..(block + 1) * device.comparators;
                let [mut codes, others] = count(&kernel.tiles[of.tile], thresholds, &low, &high);
                let mut lanes = 0u16;
                let mut lane = 0;
                while lane < LANES {
                    lanes |= u16::from(codes[lane] != others[lane]) << lane;
                    lane += 1;
                }
                lanes &= u16::MAX >> LANES.saturating_sub(columns);
                if lanes != 0 {
                    if !are_lines_known {
                        schedule.lines_of(group, lines);
                        are_lines_known = true;
                    }
                    let address = Address { image: of.image, position, plane_group };
                    let open = Open { group: group as u32, block: block as u32, lanes, bytes };
                    for open in open.columns() {
                        let signal = signal[open.0 % LANES];
                        codes[open.0 % LANES] =
                            kernel.settle(of, address, open, lines, lines_on.len(), signal);
                    }
                }
                let raw = &mut raw[position as usize * blocks + block];
                let mut lane = 0;
                while lane < LANES {
                    raw[lane] += weight * codes[lane];
                    lane += 1;
                }
            }
        }
    }
}

/// The cells of the lines that are on in a group.
#[derive(Clone, Copy)]
struct Lines<'a> {
    /// `[physical row][block]` × 16 columns.
    cells: &'a [[f32; LANES]],
    blocks: usize,
    /// The physical row of every line.
    rows: &'a [u32],
    on: &'a [u16],
}

impl Lines<'_> {
    /// Adds up so many blocks of columns, in the order of the lines.
    #[inline(always)]
    fn add_up<const N: usize>(self, first: usize, signals: &mut [[f32; LANES]]) {
        let mut sums = [[0.0; LANES]; N];
        for &line in self.on {
            let row = self.rows[usize::from(line)] as usize * self.blocks + first;
            let cells: &[[f32; LANES]; N] =
                self.cells[row..].first_chunk().expect("so many blocks");
            let mut block = 0;
            while block < N {
                let mut lane = 0;
                while lane < LANES {
                    sums[block][lane] += cells[block][lane];
                    lane += 1;
                }
                block += 1;
            }
        }
        signals[..N].copy_from_slice(&sums);
    }
}

/// Bounds of signals with their noise, by the highest bytes of what is drawn. Products and sums of
/// floats never fall as what is multiplied or added grows: these are bounds of the rounded ones too.
#[inline(always)]
fn bounds(
    signal: &[f32; LANES],
    deviates: &[[f32; 2]],
    bytes: [u64; 2],
    sigmas: [f32; 2],
) -> [[f32; LANES]; 2] {
    let mut z = [[0.0; LANES]; 2];
    let mut lane = 0;
    while lane < LANES {
        let byte = bytes[lane / 8] >> (lane % 8 * 8) & 0xff;
        [z[0][lane], z[1][lane]] = deviates[byte as usize];
        lane += 1;
    }
    let [mut low, mut high] = [[0.0; LANES]; 2];
    let mut lane = 0;
    while lane < LANES {
        low[lane] = signal[lane] + smaller(sigmas[0] * z[0][lane], sigmas[1] * z[0][lane]);
        high[lane] = signal[lane] + larger(sigmas[0] * z[1][lane], sigmas[1] * z[1][lane]);
        lane += 1;
    }
    [low, high]
}

/// How many thresholds of a block the bounds reach.
#[inline(always)]
fn count(
    of: &Thresholds,
    of_block: std::ops::Range<usize>,
    low: &[f32; LANES],
    high: &[f32; LANES],
) -> [[i32; LANES]; 2] {
    let (range, lanes) = (&of.range[of_block.clone()], &of.lanes[of_block]);
    let (least, most) = (least(low), most(high));
    let first = range.partition_point(|[_, highest]| *highest <= least);
    let end = first + range[first..].partition_point(|[lowest, _]| *lowest <= most);
    let mut counts = [[first as i32; LANES]; 2];
    for thresholds in &lanes[first..end] {
        let mut lane = 0;
        while lane < LANES {
            counts[0][lane] += i32::from(thresholds[lane] <= low[lane]);
            counts[1][lane] += i32::from(thresholds[lane] <= high[lane]);
            lane += 1;
        }
    }
    counts
}
