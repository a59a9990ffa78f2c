//! [`Convert`]: the engines once more, over lists of conversion cycles and in vectors.
//!
//! Each gives the codes of its [`Engine`](crate::Engine), bit for bit, whatever the instruction set:
//! `tests/kernels.rs` holds them together. They are fast because they leave out what cannot matter.
//! - [`DeviceKernel`] adds up cells, then draws one byte a column. It bounds the temporal noise, so
//!   that a column whose comparators all answer the same at both bounds has its code. The others,
//!   about one in a hundred, are noted and get the other bytes of their word.
//! - [`TableKernel`] draws the same byte. Where it lies in the piece of the likeliest code, and that
//!   is the number of ones, there is nothing to correct in the network's own sums.
//! - [`ExactKernel`] has nothing to correct unless the ADC clips.

use hafnia_bits::{Isa, Kernel, LANES, Simd};
use hafnia_rng::{BLOCKS, Counter, gaussian};

use crate::draws::{Address, word};
use crate::layout::{Layout, TileLayout};
use crate::schedule::{BATCH, Schedule};
use crate::{Device, Exact, Table};

/// Bytes of a word's highest byte in a batch of groups.
const BYTES: usize = BATCH * LANES;

const _: () = assert!(BATCH == BLOCKS && LANES == 16, "a Philox block is the bytes of a vector");

/// How an engine is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Every code is the number of ones.
    Exact,
    /// Every code is the number of ones, but for a few corrections.
    Corrections,
    /// Every conversion is computed.
    Conversions,
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

/// Answers lists of conversion cycles of a tile.
pub(crate) trait Convert: Sync {
    /// How it is done.
    fn way(&self) -> Way;

    /// Adds weight · code to `raw`, (position, block of columns).
    fn convert(
        &self,
        isa: Isa,
        tile: usize,
        image: u32,
        schedule: &Schedule,
        scratch: &mut Scratch,
        raw: &mut [[i32; LANES]],
    );

    /// Notes where codes are not the number of ones; for [`Way::Corrections`] only.
    fn correct(
        &self,
        _isa: Isa,
        _tile: usize,
        _image: u32,
        _schedule: &Schedule,
        _scratch: &mut Scratch,
    ) {
        unreachable!("nothing is corrected this way")
    }
}

/// What kernels note, used anew for every list.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    open: Vec<Open>,
    pub(crate) corrections: Vec<Correction>,
}

/// Columns of a group whose code a byte does not settle.
#[derive(Debug, Clone)]
struct Open {
    group: u32,
    block: u32,
    /// A bit a lane.
    lanes: u16,
    bytes: [u8; LANES],
    signal: [f32; LANES],
    /// The codes that were taken for the time being.
    codes: [i32; LANES],
}

impl Open {
    fn lanes(&self) -> impl Iterator<Item = usize> + use<> {
        let lanes = self.lanes;
        (0..LANES).filter(move |lane| lanes >> lane & 1 == 1)
    }
}

impl Schedule {
    fn address(&self, group: usize, image: u32) -> Address {
        let (position, plane_group) = (self.positions[group], self.plane_groups[group]);
        Address { image, position, plane_group }
    }

    fn lines(&self, group: usize) -> &[u16] {
        &self.lines[group * self.slots..][..self.slots]
    }

    /// The ones of a column among the rows that are on.
    fn ones(&self, group: usize, tile: &TileLayout, block: usize, lane: usize) -> usize {
        let of =
            |&line: &u16| usize::from(tile.ones[usize::from(line) * tile.blocks + block][lane]);
        self.lines(group).iter().map(of).sum()
    }
}

/// The highest bytes of the words of a block of columns, for a batch of groups from `first` on.
#[inline(always)]
fn first_bytes(
    source: &Counter,
    image: u32,
    schedule: &Schedule,
    first: usize,
    block: usize,
) -> [u8; BYTES] {
    let positions = schedule.positions[first..first + BATCH].try_into().expect("a batch");
    let plane_groups = schedule.plane_groups[first..first + BATCH].try_into().expect("a batch");
    let words = source.blocks(image, positions, plane_groups, block as u32);
    let mut bytes = [0; BYTES];
    let mut group = 0;
    while group < BATCH {
        let low = words[0][group] | words[1][group] << 32;
        let high = words[2][group] | words[3][group] << 32;
        bytes[group * LANES..][..8].copy_from_slice(&low.to_le_bytes());
        bytes[group * LANES + 8..][..8].copy_from_slice(&high.to_le_bytes());
        group += 1;
    }
    bytes
}

// ---- exact ---------------------------------------------------------------------------------

/// [`Exact`] over lists.
pub(crate) struct ExactKernel<'a> {
    layout: &'a Layout<'a>,
    max_code: u8,
}

impl<'a> ExactKernel<'a> {
    pub(crate) fn new(exact: &Exact, layout: &'a Layout<'a>) -> Self {
        Self { layout, max_code: exact.max_code }
    }
}

impl Convert for ExactKernel<'_> {
    fn way(&self) -> Way {
        let clips = self.layout.slots > usize::from(self.max_code);
        if self.layout.is_proved && !clips { Way::Exact } else { Way::Conversions }
    }

    fn convert(
        &self,
        isa: Isa,
        tile: usize,
        _image: u32,
        schedule: &Schedule,
        _scratch: &mut Scratch,
        raw: &mut [[i32; LANES]],
    ) {
        let tile = &self.layout.tiles[tile];
        isa.run(CountOnes { tile, schedule, max_code: self.max_code, raw });
    }
}

/// Adds the clipped number of ones.
struct CountOnes<'a> {
    tile: &'a TileLayout,
    schedule: &'a Schedule,
    max_code: u8,
    raw: &'a mut [[i32; LANES]],
}

impl Kernel for CountOnes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { tile, schedule, max_code, raw } = self;
        let blocks = tile.blocks;
        for group in 0..schedule.len {
            let lines = &schedule.lines[group * schedule.slots..][..schedule.slots];
            let weight = schedule.weights[group];
            for block in 0..blocks {
                let mut ones = [0u8; LANES];
                for &line in lines {
                    let bits = &tile.ones[usize::from(line) * blocks + block];
                    let mut lane = 0;
                    while lane < LANES {
                        ones[lane] += bits[lane];
                        lane += 1;
                    }
                }
                let raw = &mut raw[schedule.positions[group] as usize * blocks + block];
                let mut lane = 0;
                while lane < LANES {
                    raw[lane] += weight * i32::from(ones[lane].min(max_code));
                    lane += 1;
                }
            }
        }
    }
}

// ---- device --------------------------------------------------------------------------------

/// Highest bytes of words from which on, either tail inwards, noise has a smaller bound.
const TAILS: [u8; 8] = [0, 1, 2, 4, 8, 16, 32, 64];

/// [`Device`] over lists.
pub(crate) struct DeviceKernel<'a> {
    layout: &'a Layout<'a>,
    device: &'a Device<'a>,
    /// Per tile, (line, block): signals of cells, 0 in the line that is never on.
    cells: Vec<Vec<[f32; LANES]>>,
    /// Per byte from [`TAILS`], a bound of |z| in units of the largest |z| / 255.
    reach: [u8; TAILS.len()],
    /// Rows on: that unit in LSB for the largest standard deviation; empty without noise.
    unit: Vec<f32>,
}

impl<'a> DeviceKernel<'a> {
    pub(crate) fn new(device: &'a Device<'a>, layout: &'a Layout<'a>) -> Self {
        let cells = layout.tiles.iter().zip(&device.chip.tiles).map(|(tile, chip)| {
            let mut cells = vec![[0.0; LANES]; (tile.lines + 1) * tile.blocks];
            for (line, &row) in tile.physical.iter().enumerate() {
                cells[line * tile.blocks..][..tile.blocks]
                    .copy_from_slice(&chip.cells[row as usize * tile.blocks..][..tile.blocks]);
            }
            cells
        });
        // A word whose highest byte is b or !b, b < 128, has |z| at most that of the word b·2²⁴,
        // since `gaussian` increases.
        let bound = |byte: u8| -gaussian(u32::from(byte) << 24);
        let reach = TAILS.map(|byte| (bound(byte) / bound(0) * 255.0).ceil() as u8);
        let largest = |deviations: &[f32]| deviations.iter().copied().fold(0.0f32, f32::max);
        // The product of a unit with a byte is rounded once, and so is noise: twice 2⁻²⁴ of it.
        let unit = |deviations| largest(deviations) * bound(0) / 255.0 * (1.0 + 1e-6);
        Self {
            layout,
            device,
            cells: cells.collect(),
            reach,
            unit: device.sigma.chunks(device.stride).map(unit).collect(),
        }
    }

    /// Draws whole words where a byte did not settle the code.
    fn settle(
        &self,
        tile: usize,
        image: u32,
        schedule: &Schedule,
        open: &[Open],
        raw: &mut [[i32; LANES]],
    ) {
        let device = self.device;
        let (layout, chip) = (&self.layout.tiles[tile], &device.chip.tiles[tile]);
        for open in open {
            let (group, block) = (open.group as usize, open.block as usize);
            let address = schedule.address(group, image);
            let sigma = &device.sigma[schedule.counts[group] as usize * device.stride..];
            let thresholds = &chip.thresholds[block * device.comparators..][..device.comparators];
            let position = address.position as usize;
            for lane in open.lanes() {
                let column = block * LANES + lane;
                let word = word(&device.sources[tile], address, column, open.bytes[lane]);
                let ones = schedule.ones(group, layout, block, lane);
                let signal = open.signal[lane] + sigma[ones] * gaussian(word);
                let fired = thresholds.iter().filter(|threshold| signal >= threshold[lane]).count();
                raw[position * layout.blocks + block][lane] +=
                    schedule.weights[group] * (fired as i32 - open.codes[lane]);
            }
        }
    }
}

impl Convert for DeviceKernel<'_> {
    fn way(&self) -> Way {
        Way::Conversions
    }

    fn convert(
        &self,
        isa: Isa,
        tile: usize,
        image: u32,
        schedule: &Schedule,
        scratch: &mut Scratch,
        raw: &mut [[i32; LANES]],
    ) {
        scratch.open.clear();
        isa.run(Compare {
            cells: &self.cells[tile],
            blocks: self.layout.tiles[tile].blocks,
            thresholds: &self.device.chip.tiles[tile].thresholds,
            comparators: self.device.comparators,
            source: &self.device.sources[tile],
            image,
            unit: &self.unit,
            reach: self.reach,
            schedule,
            open: &mut scratch.open,
            raw,
        });
        self.settle(tile, image, schedule, &scratch.open, raw);
    }
}

/// Adds up cells and compares the sum, less and plus the bound of its noise, with the thresholds.
struct Compare<'a> {
    cells: &'a [[f32; LANES]],
    blocks: usize,
    thresholds: &'a [[f32; LANES]],
    comparators: usize,
    source: &'a Counter,
    image: u32,
    unit: &'a [f32],
    reach: [u8; TAILS.len()],
    schedule: &'a Schedule,
    open: &'a mut Vec<Open>,
    raw: &'a mut [[i32; LANES]],
}

impl Kernel for Compare<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // The default macro with all that is constant in it, and any other.
        if self.schedule.slots == 7 && self.comparators == 7 {
            self.run_with::<S, true>(simd);
        } else {
            self.run_with::<S, false>(simd);
        }
    }
}

impl Compare<'_> {
    #[inline(always)]
    fn run_with<S: Simd, const IS_DEFAULT: bool>(self, simd: S) {
        let blocks = self.blocks;
        let schedule = self.schedule;
        let slots = if IS_DEFAULT { 7 } else { schedule.slots };
        let comparators = if IS_DEFAULT { 7 } else { self.comparators };
        let is_noisy = !self.unit.is_empty();
        for block in 0..blocks {
            let thresholds = &self.thresholds[block * comparators..][..comparators];
            let mut registers = [simd.splat(0.0); 7];
            if IS_DEFAULT {
                let mut k = 0;
                while k < 7 {
                    registers[k] = simd.load(&thresholds[k]);
                    k += 1;
                }
            }
            let mut first = 0;
            while first < schedule.len {
                let mut bytes = [0; BYTES];
                let mut reach = [0; BYTES];
                if is_noisy {
                    bytes = first_bytes(self.source, self.image, schedule, first, block);
                    reach = reach_of(&bytes, self.reach);
                }
                let end = (first + BATCH).min(schedule.len);
                let mut group = first;
                while group < end {
                    let lines = &schedule.lines[group * slots..][..slots];
                    let mut signal = simd.load(&self.cells[usize::from(lines[0]) * blocks + block]);
                    let mut slot = 1;
                    while slot < slots {
                        let line = usize::from(lines[slot]);
                        signal = simd.add(signal, simd.load(&self.cells[line * blocks + block]));
                        slot += 1;
                    }
                    let weight = simd.splat_i32(schedule.weights[group]);
                    let raw = &mut self.raw[schedule.positions[group] as usize * blocks + block];
                    let (mut low, mut high) = (signal, signal);
                    let at = (group - first) * LANES;
                    if is_noisy {
                        let reach: &[u8; LANES] =
                            reach[at..at + LANES].try_into().expect("a vector of bytes");
                        let unit = self.unit[schedule.counts[group] as usize];
                        let noise = simd.mul(simd.load_bytes(reach), simd.splat(unit));
                        low = simd.sub(signal, noise);
                        high = simd.add(signal, noise);
                    }
                    let mut codes = simd.splat_i32(0);
                    let mut most = simd.splat_i32(0);
                    let mut k = 0;
                    while k < comparators {
                        let threshold =
                            if IS_DEFAULT { registers[k] } else { simd.load(&thresholds[k]) };
                        codes = simd.count_ge(codes, low, threshold);
                        if is_noisy {
                            most = simd.count_ge(most, high, threshold);
                        }
                        k += 1;
                    }
                    let sum = simd.add_i32(simd.load_i32(raw), simd.mul_i32(codes, weight));
                    simd.store_i32(sum, raw);
                    if is_noisy {
                        let lanes = simd.differ(codes, most);
                        if lanes != 0 {
                            let mut open = Open {
                                group: group as u32,
                                block: block as u32,
                                lanes,
                                bytes: bytes[at..at + LANES].try_into().expect("a vector"),
                                signal: [0.0; LANES],
                                codes: [0; LANES],
                            };
                            simd.store(signal, &mut open.signal);
                            simd.store_i32(codes, &mut open.codes);
                            self.open.push(open);
                        }
                    }
                    group += 1;
                }
                first += BATCH;
            }
        }
    }
}

/// Per byte, what `bounds` says of its tail.
#[inline(always)]
fn reach_of(bytes: &[u8; BYTES], bounds: [u8; TAILS.len()]) -> [u8; BYTES] {
    let mut reach = [0; BYTES];
    let mut at = 0;
    while at < BYTES {
        let byte = bytes[at];
        let tail = if byte < !byte { byte } else { !byte };
        let mut bound = bounds[7];
        bound = if tail < TAILS[7] { bounds[6] } else { bound };
        bound = if tail < TAILS[6] { bounds[5] } else { bound };
        bound = if tail < TAILS[5] { bounds[4] } else { bound };
        bound = if tail < TAILS[4] { bounds[3] } else { bound };
        bound = if tail < TAILS[3] { bounds[2] } else { bound };
        bound = if tail < TAILS[2] { bounds[1] } else { bound };
        bound = if tail < TAILS[1] { bounds[0] } else { bound };
        reach[at] = bound;
        at += 1;
    }
    reach
}

// ---- table ---------------------------------------------------------------------------------

/// [`Table`] over lists.
pub(crate) struct TableKernel<'a> {
    layout: &'a Layout<'a>,
    table: &'a Table,
    /// Rows on: the largest byte below which every word has the likeliest code, whatever the ones;
    /// less 1.
    last_certain: Vec<i32>,
    /// Whether the likeliest code is always the number of ones.
    is_unbiased: bool,
}

impl<'a> TableKernel<'a> {
    pub(crate) fn new(table: &'a Table, layout: &'a Layout<'a>) -> Self {
        let rows = || (1..table.stride).map(|rows| &table.pieces[rows * table.stride..][..=rows]);
        let certain = rows().map(|pieces| {
            let likeliest =
                pieces.iter().map(|pieces| pieces.bounds.first().map_or(1 << 32, |b| *b));
            (likeliest.min().expect("there are no ones at least") >> 24) as i32 - 1
        });
        let is_ones =
            |(ones, pieces): (usize, &crate::engine::Pieces)| usize::from(pieces.likeliest) == ones;
        Self {
            layout,
            table,
            last_certain: std::iter::once(-1).chain(certain).collect(),
            is_unbiased: rows().all(|pieces| pieces.iter().enumerate().all(is_ones)),
        }
    }
}

impl Convert for TableKernel<'_> {
    fn way(&self) -> Way {
        // Below half a byte that settles a code, whole words are drawn for most columns either way.
        let is_rare = self.last_certain[1..].iter().all(|&last| last >= 127);
        if self.layout.is_proved && self.is_unbiased && is_rare {
            Way::Corrections
        } else {
            Way::Conversions
        }
    }

    fn convert(
        &self,
        _isa: Isa,
        tile: usize,
        image: u32,
        schedule: &Schedule,
        _scratch: &mut Scratch,
        raw: &mut [[i32; LANES]],
    ) {
        let (source, tile) = (&self.table.sources[tile], &self.layout.tiles[tile]);
        for group in 0..schedule.len {
            let address = schedule.address(group, image);
            let pieces = &self.table.pieces[schedule.counts[group] as usize * self.table.stride..];
            for block in 0..tile.blocks {
                let mut ones = [0u8; LANES];
                for &line in schedule.lines(group) {
                    let bits = &tile.ones[usize::from(line) * tile.blocks + block];
                    for (ones, bit) in ones.iter_mut().zip(bits) {
                        *ones += bit;
                    }
                }
                let bytes = crate::draws::first_bytes(source, address, block);
                let raw = &mut raw[address.position as usize * tile.blocks + block];
                for lane in 0..LANES.min(tile.columns - block * LANES) {
                    let pieces = &pieces[usize::from(ones[lane])];
                    let code = pieces.code_of_byte(bytes[lane]).unwrap_or_else(|| {
                        pieces.code(word(source, address, block * LANES + lane, bytes[lane]))
                    });
                    raw[lane] += schedule.weights[group] * i32::from(code);
                }
            }
        }
    }

    fn correct(
        &self,
        isa: Isa,
        tile: usize,
        image: u32,
        schedule: &Schedule,
        scratch: &mut Scratch,
    ) {
        let (source, layout) = (&self.table.sources[tile], &self.layout.tiles[tile]);
        scratch.open.clear();
        isa.run(FindOpen {
            columns: layout.columns,
            source,
            image,
            last_certain: &self.last_certain,
            schedule,
            open: &mut scratch.open,
        });
        for open in &scratch.open {
            let (group, block) = (open.group as usize, open.block as usize);
            let address = schedule.address(group, image);
            let pieces = &self.table.pieces[schedule.counts[group] as usize * self.table.stride..];
            for lane in open.lanes() {
                let ones = schedule.ones(group, layout, block, lane);
                let column = block * LANES + lane;
                let code = pieces[ones].code(word(source, address, column, open.bytes[lane]));
                if usize::from(code) != ones {
                    scratch.corrections.push(Correction {
                        position: address.position,
                        column: column as u32,
                        delta: schedule.weights[group] * (i32::from(code) - ones as i32),
                    });
                }
            }
        }
    }
}

/// Notes the columns whose byte does not settle their code.
struct FindOpen<'a> {
    columns: usize,
    source: &'a Counter,
    image: u32,
    last_certain: &'a [i32],
    schedule: &'a Schedule,
    open: &'a mut Vec<Open>,
}

impl Kernel for FindOpen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let schedule = self.schedule;
        for block in 0..self.columns.div_ceil(LANES) {
            let columns = (self.columns - block * LANES).min(LANES);
            let mut first = 0;
            while first < schedule.len {
                let bytes = first_bytes(self.source, self.image, schedule, first, block);
                let mut is_open = [0u8; BYTES];
                let mut group = 0;
                while group < BATCH {
                    // Behind the last group there is anything.
                    let rows = schedule.counts[first + group] as usize;
                    let last = self.last_certain[rows.min(self.last_certain.len() - 1)] as u8;
                    let mut lane = 0;
                    while lane < LANES {
                        let at = group * LANES + lane;
                        is_open[at] = u8::from(bytes[at] > last);
                        lane += 1;
                    }
                    group += 1;
                }
                let end = (first + BATCH).min(schedule.len);
                for group in first..end {
                    let at = (group - first) * LANES;
                    let is_open: [u8; LANES] =
                        is_open[at..at + LANES].try_into().expect("a vector of bytes");
                    let flags = u128::from_le_bytes(is_open) & u128::MAX >> (128 - 8 * columns);
                    if flags != 0 {
                        let mut lanes = 0;
                        for lane in 0..LANES {
                            lanes |= ((flags >> (8 * lane)) as u16 & 1) << lane;
                        }
                        self.open.push(Open {
                            group: group as u32,
                            block: block as u32,
                            lanes,
                            bytes: bytes[at..at + LANES].try_into().expect("a vector"),
                            signal: [0.0; LANES],
                            codes: [0; LANES],
                        });
                    }
                }
                first += BATCH;
            }
        }
    }
}
