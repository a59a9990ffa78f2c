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

use hafnia_rng::{BLOCKS, Counter, gaussian};
use hafnia_simd::{Isa, Kernel, LANES, Simd};

use crate::chip::ChipTile;
use crate::draws::{Address, word};
use crate::engine::{Device, Exact, Pieces, Table};
use crate::layout::{Layout, TileLayout};
use crate::paths::{Path, Why};
use crate::sampled::{Sample, Sampled};
use crate::schedule::{BATCH, Schedule};
use crate::sliced::{Sliced, SlicedBuffers};
use crate::windows::Windows;

const _: () = assert!(BATCH == BLOCKS && LANES == 16, "a Philox block is the bytes of a vector");

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
    fn path(&self) -> Path;

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

    /// Notes where codes are not the number of ones; for [`Path::Corrected`] only.
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

    /// As [`correct`](Self::correct), of a whole tile in slices; gives its groups and the rows that were
    /// on in them.
    fn correct_sliced(
        &self,
        _isa: Isa,
        _tile: usize,
        _image: u32,
        _sliced: SlicedTile<'_>,
        _scratch: &mut Scratch,
    ) -> (u64, u64) {
        unreachable!("nothing is corrected this way")
    }
}

/// A tile of a convolution in slices, its image moved into streams.
pub(crate) struct SlicedTile<'a> {
    pub(crate) windows: &'a Windows,
    /// Bit-planes of the activations.
    pub(crate) words: &'a [u64],
    pub(crate) sliced: &'a Sliced,
    pub(crate) buffers: &'a SlicedBuffers,
}

/// What kernels note, used anew for every list.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    open: Vec<Open>,
    pub(crate) corrections: Vec<Correction>,
    pub(crate) sampled: Sampled,
}

/// Columns of a group whose code a byte does not settle.
#[derive(Debug, Clone)]
struct Open {
    group: u32,
    block: u32,
    /// A bit a lane.
    lanes: u16,
    /// Their highest bytes.
    bytes: [u64; 2],
    signal: [f32; LANES],
    /// Its lower bound, whose code was taken for the time being.
    low: [f32; LANES],
}

impl Open {
    fn byte(&self, lane: usize) -> u8 {
        (self.bytes[lane / 8] >> (lane % 8 * 8)) as u8
    }

    fn lanes(&self) -> impl Iterator<Item = usize> + use<> {
        let mut left = self.lanes;
        std::iter::from_fn(move || {
            let lane = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            (lane < LANES).then_some(lane)
        })
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
) -> [[u64; 2]; BATCH] {
    let positions = schedule.positions[first..].first_chunk().expect("a batch");
    let plane_groups = schedule.plane_groups[first..].first_chunk().expect("a batch");
    let words = source.blocks(image, positions, plane_groups, block as u32);
    let mut bytes = [[0; 2]; BATCH];
    let mut group = 0;
    while group < BATCH {
        bytes[group][0] = words[0][group] | words[1][group] << 32;
        bytes[group][1] = words[2][group] | words[3][group] << 32;
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
    fn path(&self) -> Path {
        if !self.layout.is_proved {
            Path::Converted(Why::Unproved)
        } else if self.layout.slots > usize::from(self.max_code) {
            Path::Converted(Why::Clipped)
        } else {
            Path::Product
        }
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
            let (position, weight) = (schedule.positions[group], schedule.weights[group]);
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

// ---- device --------------------------------------------------------------------------------

/// Lines that fit a byte, the one that is never on included.
const FEW: usize = 256;

/// [`Device`] over lists.
pub(crate) struct DeviceKernel<'a> {
    layout: &'a Layout<'a>,
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
    /// (block, line): signals of cells, 0 in the line that is never on and behind it.
    cells: Vec<[f32; LANES]>,
    /// (block, comparator): thresholds of every column, ascending. A code is the number of those that
    /// are reached, whichever they are.
    thresholds: Vec<[f32; LANES]>,
}

impl DeviceTile {
    fn new(tile: &TileLayout, chip: &ChipTile, comparators: usize) -> Self {
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
    pub(crate) fn new(device: &'a Device<'a>, layout: &'a Layout<'a>) -> Self {
        let tiles = layout.tiles.iter().zip(&device.chip.tiles);
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
            layout,
            device,
            tiles: tiles.collect(),
            reach: [low, high],
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
            let sigma = &device.sigma[schedule.rows[group] as usize * device.stride..];
            let thresholds = &chip.thresholds[block * device.comparators..][..device.comparators];
            let position = address.position as usize;
            for lane in open.lanes() {
                let column = block * LANES + lane;
                let word = word(&device.sources[tile], address, column, open.byte(lane));
                let ones = schedule.ones(group, layout, block, lane);
                let signal = open.signal[lane] + sigma[ones] * gaussian(word);
                let code = |signal: f32| -> i32 {
                    thresholds.iter().map(|threshold| i32::from(signal >= threshold[lane])).sum()
                };
                raw[position * layout.blocks + block][lane] +=
                    schedule.weights[group] * (code(signal) - code(open.low[lane]));
            }
        }
    }
}

impl Convert for DeviceKernel<'_> {
    fn path(&self) -> Path {
        Path::Converted(Why::Cells)
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
            tile: &self.tiles[tile],
            blocks: self.layout.tiles[tile].blocks,
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
    tile: &'a DeviceTile,
    blocks: usize,
    comparators: usize,
    source: &'a Counter,
    image: u32,
    unit: &'a [f32],
    reach: [[u8; 16]; 2],
    schedule: &'a Schedule,
    open: &'a mut Vec<Open>,
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
                    bytes = first_bytes(source, image, schedule, first, block);
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
                        let mut noted = Open {
                            group: group as u32,
                            block: block as u32,
                            lanes: bounded.open,
                            bytes: bytes[(group - first) % BATCH],
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

// ---- table ---------------------------------------------------------------------------------

/// [`Table`] over lists.
pub(crate) struct TableKernel<'a> {
    layout: &'a Layout<'a>,
    table: &'a Table,
    /// The largest byte whose words all have the likeliest code, whatever the rows and the ones; −1
    /// if there is none.
    last_certain: i32,
    /// Whether the likeliest code is always the number of ones.
    is_unbiased: bool,
}

impl<'a> TableKernel<'a> {
    pub(crate) fn new(table: &'a Table, layout: &'a Layout<'a>) -> Self {
        let rows = || (1..table.stride).map(|rows| &table.pieces[rows * table.stride..][..=rows]);
        let likeliest =
            rows().flatten().map(|pieces| pieces.bounds.first().map_or(1 << 32, |b| *b));
        let certain = likeliest.min().expect("a conversion has a row") >> 24;
        let is_ones = |(ones, pieces): (usize, &Pieces)| usize::from(pieces.likeliest) == ones;
        Self {
            layout,
            table,
            last_certain: certain as i32 - 1,
            is_unbiased: rows().all(|pieces| pieces.iter().enumerate().all(is_ones)),
        }
    }
}

impl Convert for TableKernel<'_> {
    fn path(&self) -> Path {
        if !self.layout.is_proved {
            Path::Converted(Why::Unproved)
        } else if self.layout.has_dead_rows {
            // What noise turns on there counts in the network's own sums and in no tile's.
            Path::Converted(Why::DeadRows)
        } else if !self.is_unbiased {
            Path::Converted(Why::Biased)
        } else if self.last_certain < 127 {
            // Whole words are drawn for most columns either way.
            Path::Converted(Why::Noisy)
        } else {
            Path::Corrected
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
            let (rows, weight) = (schedule.rows[group], schedule.weights[group]);
            let pieces = &self.table.pieces[rows as usize * self.table.stride..];
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
                    raw[lane] += weight * i32::from(code);
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
            last_certain: self.last_certain as u8,
            schedule,
            open: &mut scratch.open,
        });
        for open in &scratch.open {
            let (group, block) = (open.group as usize, open.block as usize);
            let address = schedule.address(group, image);
            let (rows, weight) = (schedule.rows[group], schedule.weights[group]);
            let pieces = &self.table.pieces[rows as usize * self.table.stride..];
            for lane in open.lanes() {
                let ones = schedule.ones(group, layout, block, lane);
                let (column, byte) = (block * LANES + lane, open.byte(lane));
                if pieces[ones].code_of_byte(byte).is_some() {
                    continue;
                }
                let code = pieces[ones].code(word(source, address, column, byte));
                if usize::from(code) != ones {
                    scratch.corrections.push(Correction {
                        position: address.position,
                        column: column as u32,
                        delta: weight * (i32::from(code) - ones as i32),
                    });
                }
            }
        }
    }

    fn correct_sliced(
        &self,
        isa: Isa,
        index: usize,
        image: u32,
        sliced: SlicedTile<'_>,
        scratch: &mut Scratch,
    ) -> (u64, u64) {
        let tile = &self.layout.tiles[index];
        let (Some(groups), Some(bits)) = (&tile.groups, &tile.bits) else {
            unreachable!("groups that are found in slices have their own lines");
        };
        let SlicedTile { windows, words, sliced, buffers } = sliced;
        isa.run(Sample {
            table: self.table,
            last_certain: self.last_certain as u8,
            source: &self.table.sources[index],
            image,
            windows,
            words,
            buffers,
            sliced,
            tile,
            groups,
            bits,
            sampled: &mut scratch.sampled,
            corrections: &mut scratch.corrections,
        })
    }
}

/// Notes the columns whose byte does not settle their code.
struct FindOpen<'a> {
    columns: usize,
    source: &'a Counter,
    image: u32,
    /// The largest byte that settles every code.
    last_certain: u8,
    schedule: &'a Schedule,
    open: &'a mut Vec<Open>,
}

impl Kernel for FindOpen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let schedule = self.schedule;
        for block in 0..self.columns.div_ceil(LANES) {
            let columns = (self.columns - block * LANES).min(LANES);
            let here = u64::from(u16::MAX >> (LANES - columns)) * 0x0001_0001_0001_0001;
            let mut first = 0;
            while first < schedule.len {
                let bytes = first_bytes(self.source, self.image, schedule, first, block);
                for (four, words) in bytes.as_flattened().as_chunks::<8>().0.iter().enumerate() {
                    let mut left = simd.above(words, self.last_certain) & here;
                    // A vector is a quarter of the bits.
                    while left != 0 {
                        let quarter = left.trailing_zeros() as usize / LANES;
                        let lanes = (left >> (quarter * LANES)) as u16;
                        left &= !(0xffff << (quarter * LANES));
                        let group = first + 4 * four + quarter;
                        if group < schedule.len {
                            self.open.push(Open {
                                group: group as u32,
                                block: block as u32,
                                lanes,
                                bytes: [words[2 * quarter], words[2 * quarter + 1]],
                                signal: [0.0; LANES],
                                low: [0.0; LANES],
                            });
                        }
                    }
                }
                first += BATCH;
            }
        }
    }
}
