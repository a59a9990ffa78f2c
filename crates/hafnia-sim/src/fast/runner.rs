//! [`Runner`]: walks a network as [`hafnia_model::run_from`] does, a layer at a time and in vectors.
//!
//! It takes the strategy of every matrix and the grouper of every tile as they were chosen, and no
//! memory for a conversion or an image: buffers are those of the largest layer.

use std::ops::Range;

use hafnia_ir::TileId;
use hafnia_model::arithmetic::max_pool;
use hafnia_model::{MultiplyLayer, Part, Shape, Window, activations_before, run_from};
use hafnia_simd::{Isa, LANES};

use crate::fast::codes::exact::ExactKernel;
use crate::fast::codes::{Conversions, Convert, Correction, Lanes};
use crate::fast::groups::list::{ENOUGH, Schedule};
use crate::fast::groups::patches::{AnyBuffers, CountUnshared, ListAny, ListUnshared, Row};
use crate::fast::groups::slices::{
    CountSlices, Found, FoundCycles, ListFound, ListSlices, Scanned, SliceGrouper,
};
use crate::fast::lines::patches::{Area, Gather, LineBits, Pack, Patches, SLACK};
use crate::fast::lines::streams::{Fill, Image, Streams};
use crate::fast::plan::{
    Frame, Grouper, Layout, MatrixLayout, Step, Strategy, Sums, TileLayout, What,
};
use crate::fast::sums::packed::{Activate, Multiply, Packed};
use crate::fast::sums::sliced::{MultiplySliced, Sliced, SlicedBuffers};
use crate::mapped::Events;

/// Output positions whose lines are gathered and listed at once, as many whole rows as that are: so many
/// positions, and fewer if all their lines would make more groups than this.
const AT_ONCE: usize = 576;
const MOST_GROUPS: usize = 16_384;

/// Runs images on one thread.
pub(crate) struct Runner<'a, C: Convert = ExactKernel<'a>> {
    layout: &'a Layout<'a>,
    isa: Isa,
    /// What converters answer, if there are any.
    codes: Option<&'a C>,
    /// One a matrix.
    strategies: Vec<Strategy>,
    /// What happened so far, per matrix.
    events: Vec<Events>,
    /// The image that is run where the interpreter walks.
    image: u32,
    buffers: Buffers,
    scratch: C::Scratch,
}

/// Used anew by every layer.
#[derive(Default)]
struct Buffers {
    /// Activations that reach the layer, [`SLACK`] behind them, and those that leave it.
    activations: Vec<u8>,
    next: Vec<u8>,
    /// Their bit-planes, and these as streams.
    words: Vec<u64>,
    image: Image,
    /// Their codes, and the bit-planes of these, where inputs are coded.
    codes: Vec<u8>,
    coded: Vec<u64>,
    /// The lines of a matrix or of a tile.
    patches: Patches,
    /// The groups of a tile: in streams, and listed.
    found: Found,
    schedule: Schedule,
    any: AnyBuffers,
    /// Per position, Σ of the activations of a tile.
    digital: Vec<[i32; 2]>,
    corrections: Vec<Correction>,
    /// `[position][block]` × 16 columns: raw sums of a tile, which are 0 between tiles, and sums of the
    /// matrix.
    raw: Vec<Lanes>,
    sums: Vec<Lanes>,
    sliced: SlicedBuffers,
    outputs: Vec<i32>,
    /// A window of the activations, and what tiles add up of it before they scan.
    window: Vec<u8>,
    added: Vec<u32>,
}

impl<'a> Runner<'a> {
    /// Runs the network without noise.
    pub(crate) fn of_network(layout: &'a Layout<'a>, isa: Isa) -> Self {
        Self::with(layout, isa, None, vec![Strategy::Reference; layout.matrices.len()])
    }

    /// The activations that reach layer `layer`, which is that of a matrix.
    pub(crate) fn activations_before(&mut self, layer: usize, activations: &[u8]) -> &[u8] {
        let (layout, length) = (self.layout, self.layout.network.shape_of(layer).len());
        if let Some(steps) = &layout.steps {
            self.begin(activations);
            self.walk(steps, 0..layer, 0);
        } else {
            let reached = activations_before(layout.network, layer, activations, self);
            self.buffers.activations = reached;
        }
        &self.buffers.activations[..length]
    }
}

impl<'a, C: Convert> Runner<'a, C> {
    /// Runs the matrices in `scope` on macros whose converters answer as `codes` say.
    pub(crate) fn new(layout: &'a Layout<'a>, isa: Isa, codes: &'a C, scope: &[bool]) -> Self {
        let strategy = Strategy::from(codes.path());
        let of = |&is_noisy: &bool| if is_noisy { strategy } else { Strategy::Reference };
        Self::with(layout, isa, Some(codes), scope.iter().map(of).collect())
    }

    fn with(
        layout: &'a Layout<'a>,
        isa: Isa,
        codes: Option<&'a C>,
        strategies: Vec<Strategy>,
    ) -> Self {
        let events = vec![Events::default(); layout.matrices.len()];
        let (buffers, scratch) = (Buffers::default(), C::Scratch::default());
        Self { layout, isa, codes, strategies, events, image: 0, buffers, scratch }
    }

    /// The raw outputs of an image, given the activations that reach layer `first`, and what happened
    /// so far.
    pub(crate) fn run(
        &mut self,
        first: usize,
        activations: &[u8],
        image: u32,
    ) -> (&[i32], &mut Vec<Events>) {
        if let Some(steps) = &self.layout.steps {
            self.begin(activations);
            self.walk(steps, first..usize::MAX, image);
        } else {
            self.image = image;
            let outputs = run_from(self.layout.network, first, activations, self);
            self.buffers.outputs = outputs;
        }
        (&self.buffers.outputs, &mut self.events)
    }

    fn begin(&mut self, activations: &[u8]) {
        let into = &mut self.buffers.activations;
        into.clear();
        into.extend_from_slice(activations);
        into.extend_from_slice(&[0; SLACK]);
    }

    /// The activations with padding around them that is not level 0.
    fn begin_framed(&mut self, Frame { padding, level }: Frame, input: Shape, activations: &[u8]) {
        let Shape { channels, height, width } = input;
        let (rows, row) =
            (height + padding.top + padding.bottom, width + padding.left + padding.right);
        let into = &mut self.buffers.activations;
        into.clear();
        into.resize(channels * rows * row, level);
        into.resize(channels * rows * row + SLACK, 0);
        for (index, from) in activations.chunks_exact(width).enumerate() {
            let (channel, y) = (index / height, index % height);
            let first = (channel * rows + padding.top + y) * row + padding.left;
            into[first..first + width].copy_from_slice(from);
        }
    }

    fn walk(&mut self, steps: &[Step], layers: Range<usize>, image: u32) {
        let layout = self.layout;
        for step in steps.iter().filter(|step| layers.contains(&step.layer)) {
            match step.what {
                What::Matrix { matrix, pool } => {
                    let of = &layout.matrices[matrix];
                    let Buffers { activations, words, .. } = &mut self.buffers;
                    self.isa.run(Pack { windows: &of.windows, activations, words });
                    match (self.strategies[matrix], &of.sums) {
                        (Strategy::Converted, _) => {
                            self.convert(matrix, image);
                            self.finish(of, pool);
                        }
                        (strategy, Sums::Sliced(sliced)) => {
                            self.multiply_sliced(matrix, sliced, strategy, image, pool);
                        }
                        (strategy, Sums::Packed(packed)) => {
                            self.multiply_packed(matrix, packed, strategy, image);
                            self.finish(of, pool);
                        }
                    }
                }
                What::Pool { size, input } => {
                    let window = Window::square(size, size, 0);
                    let pooled = max_pool(&self.buffers.activations, input, &window, 0);
                    self.begin(&pooled);
                }
            }
        }
    }

    /// Multiplies a matrix on its tiles, every conversion of it.
    fn convert(&mut self, matrix: usize, image: u32) {
        let (layout, isa) = (self.layout, self.isa);
        let of = &layout.matrices[matrix];
        let (positions, blocks) = (of.windows.positions(), of.levels.blocks());
        let first = of.tiles.first().filter(|id| layout.tiles[id.index()].outputs.is_whole(blocks));
        let sums = &mut self.buffers.sums;
        sums.resize(sums.len().max(positions * blocks), Lanes::default());
        if first.is_none() {
            sums[..positions * blocks].fill(Lanes::default());
        }
        let is_scanned = |id: &TileId| {
            let grouper = &layout.tiles[id.index()].grouper;
            matches!(grouper, Grouper::Slices(SliceGrouper::Scanned(_)))
        };
        if let Sums::Sliced(sliced) = &of.sums
            && of.tiles.iter().any(is_scanned)
        {
            self.fill(&sliced.streams);
        }
        for &id in &of.tiles {
            let tile = &layout.tiles[id.index()];
            self.begin_tile(of, id);
            let of_tile = positions * layout.cells.tiles[id.index()].blocks;
            self.buffers.raw.resize(self.buffers.raw.len().max(of_tile), Lanes::default());
            match (&tile.grouper, &of.sums) {
                (
                    Grouper::Slices(grouper @ SliceGrouper::Scanned(scanned)),
                    Sums::Sliced(sliced),
                ) => {
                    let groups = self.find(grouper).0 as usize;
                    self.gather(of, id, of.windows.all());
                    for first in (0..groups).step_by(ENOUGH) {
                        let some = first..groups.min(first + ENOUGH);
                        self.list_found(id, scanned, &sliced.streams, some);
                        self.convert_listed(matrix, id, image);
                    }
                }
                _ => {
                    for area in of.windows.areas(self.rows_at_once(of, id)) {
                        self.gather(of, id, area.clone());
                        self.list(of, id, area);
                        if self.buffers.schedule.len >= ENOUGH {
                            self.convert_listed(matrix, id, image);
                        }
                    }
                    self.convert_listed(matrix, id, image);
                }
            }
            let Buffers { raw, digital, sums, .. } = &mut self.buffers;
            let raw = &mut raw[..of_tile];
            tile.outputs.add_products(isa, raw, digital, sums, blocks, first == Some(&id));
        }
    }

    /// Multiplies a matrix by its weights in slices, to the activations behind the pool.
    fn multiply_sliced(
        &mut self,
        matrix: usize,
        sliced: &Sliced,
        strategy: Strategy,
        image: u32,
        pool: usize,
    ) {
        let (layout, isa) = (self.layout, self.isa);
        let of = &layout.matrices[matrix];
        self.fill(&sliced.streams);
        let tiles = of.tiles.iter().filter(|_| strategy != Strategy::Reference);
        for &id in tiles {
            let tile = &layout.tiles[id.index()];
            let (Grouper::Slices(grouper), Some(rows)) = (&tile.grouper, &tile.rows) else {
                unreachable!("the tiles of a matrix in slices are grouped there")
            };
            let (groups, rows_on) = if strategy == Strategy::Corrected {
                let counts = self.find(grouper);
                self.correct_found(id, sliced, grouper, rows, image);
                counts
            } else {
                let Buffers { image, found, .. } = &mut self.buffers;
                isa.run(CountSlices { grouper, image, found })
            };
            self.count(matrix, id, groups, rows_on);
        }
        let Buffers { next, image, sliced: buffers, .. } = &mut self.buffers;
        next.resize(of.activations(pool) + SLACK, 0);
        isa.run(MultiplySliced { sliced, image, buffers, pool, activations: next });
        std::mem::swap(&mut self.buffers.activations, &mut self.buffers.next);
    }

    /// Multiplies a matrix by its weights, a row of positions after the other.
    fn multiply_packed(&mut self, matrix: usize, packed: &Packed, strategy: Strategy, image: u32) {
        let (layout, isa) = (self.layout, self.isa);
        let of = &layout.matrices[matrix];
        let (windows, blocks) = (&of.windows, of.levels.blocks());
        let Buffers { words, patches, sums, .. } = &mut self.buffers;
        sums.resize(sums.len().max(windows.positions() * blocks), Lanes::default());
        let mut left = &mut sums[..];
        for area in windows.areas(1) {
            let sums = left.split_off_mut(..area.columns.len() * blocks).expect("one a position");
            isa.run(Gather { windows, bits: &of.natural, words, area, patches });
            isa.run(Multiply { matrix: packed, patches, planes: windows.planes, sums });
        }
        let tiles = of.tiles.iter().filter(|_| strategy != Strategy::Reference);
        for &id in tiles {
            self.begin_tile(of, id);
            self.buffers.corrections.clear();
            for area in windows.areas(1) {
                self.gather(of, id, area.clone());
                if strategy == Strategy::Product {
                    self.count_area(matrix, id, area);
                    continue;
                }
                self.list(of, id, area);
                if self.buffers.schedule.len >= ENOUGH {
                    self.correct_listed(matrix, id, image);
                }
            }
            if strategy != Strategy::Product {
                self.correct_listed(matrix, id, image);
            }
            let tile = &layout.tiles[id.index()];
            let Buffers { corrections, sums, .. } = &mut self.buffers;
            for correction in &*corrections {
                let (output, factor) = tile.outputs.of(correction.column);
                let sums = &mut sums[correction.position as usize * blocks + output / LANES];
                sums[output % LANES] += factor * correction.delta;
            }
        }
    }

    // ---- lines ---------------------------------------------------------------------------------

    /// Moves the bit-planes of the activations into streams.
    fn fill(&mut self, streams: &Streams) {
        let Buffers { words, image, .. } = &mut self.buffers;
        self.isa.run(Fill { streams, words, image });
    }

    /// Gathers the lines of a tile at some output positions; of one row, where they are added up.
    fn gather(&mut self, of: &MatrixLayout, id: TileId, area: Area) {
        let (layout, windows) = (self.layout, &of.windows);
        let tile = &layout.tiles[id.index()];
        let Buffers { words, coded, patches, window: of_window, added, activations, .. } =
            &mut self.buffers;
        if let Some(bits) = &tile.rows {
            let (windows, words) = match &of.coded {
                Some(of) if tile.is_coded => (&of.windows, &*coded),
                _ => (windows, &*words),
            };
            self.isa.run(Gather { windows, bits, words, area, patches });
            return;
        }
        let planned = &layout.plan.as_ref().expect("tiles are those of a plan").tiles[id.index()];
        let lines = layout.cells.tiles[id.index()].lines;
        patches.reset(tile.factors.len(), lines.div_ceil(64), area.chunks());
        added.resize(added.len().max(lines), 0);
        for (x, column) in area.columns.enumerate() {
            windows.see(activations, (area.rows.start, column), of_window);
            planned.lines.add_up(&planned.rows, of_window, added);
            for plane in 0..tile.factors.len() {
                for line in (0..lines).filter(|&line| added[line] >> plane & 1 == 1) {
                    patches.set(plane, line, x);
                }
            }
        }
    }

    /// Rows of output positions whose groups are listed at once.
    fn rows_at_once(&self, of: &MatrixLayout, id: TileId) -> usize {
        let (tile, cells) = (&self.layout.tiles[id.index()], &self.layout.cells);
        if let Grouper::Any = tile.grouper {
            return 1;
        }
        let lines = cells.tiles[id.index()].lines;
        let groups = tile.factors.len() * lines.div_ceil(cells.slots);
        (AT_ONCE.min(MOST_GROUPS / groups.max(1)) / of.windows.width).max(1)
    }

    // ---- groups --------------------------------------------------------------------------------

    /// Forgets what was there of another tile.
    fn begin_tile(&mut self, of: &MatrixLayout, id: TileId) {
        let (cells, index) = (&self.layout.cells, id.index());
        let form = self.codes().form(index);
        self.buffers.schedule.begin(cells.slots, cells.tiles[index].lines, form);
        self.buffers.digital.clear();
        self.buffers.digital.resize(of.windows.positions(), [0; 2]);
    }

    /// Finds the groups of a tile whose streams were filled; returns how many, and the rows that are
    /// on in them.
    fn find(&mut self, grouper: &SliceGrouper) -> (u64, u64) {
        let Buffers { image, found, .. } = &mut self.buffers;
        self.isa.run(ListSlices { grouper, image, found })
    }

    /// Lists some of the groups that were found line by line; all lines were gathered.
    fn list_found(
        &mut self,
        id: TileId,
        scanned: &Scanned,
        streams: &Streams,
        groups: Range<usize>,
    ) {
        let lines = self.layout.cells.tiles[id.index()].lines;
        let Buffers { patches, schedule, found, digital, .. } = &mut self.buffers;
        schedule.reserve(ENOUGH, lines);
        self.isa.run(ListFound { found, groups, scanned, streams, patches, schedule, digital });
    }

    /// Lists the groups of a tile at some output positions, whose lines were gathered; of one row
    /// if it has a grouper for [any](Grouper::Any).
    fn list(&mut self, of: &MatrixLayout, id: TileId, area: Area) {
        let layout = self.layout;
        let tile = &layout.tiles[id.index()];
        let Buffers { patches, schedule, digital, any: buffers, .. } = &mut self.buffers;
        let lines = layout.cells.tiles[id.index()].lines;
        let of = row(patches, tile, &area, of.windows.width);
        if let Grouper::Any = tile.grouper {
            let plan = layout.plan.as_ref().expect("tiles are those of a plan");
            ListAny { of, plan, tile: id, schedule, digital, buffers }.run();
        } else {
            let scans = area.rows.len() * area.columns.len() * tile.factors.len();
            schedule.reserve(scans * lines.div_ceil(layout.cells.slots), lines);
            self.isa.run(ListUnshared { of, schedule, digital });
        }
    }

    /// Counts them instead; of one row.
    fn count_area(&mut self, matrix: usize, id: TileId, area: Area) {
        let layout = self.layout;
        let (of, tile) = (&layout.matrices[matrix], &layout.tiles[id.index()]);
        let (groups, rows_on) = if let Grouper::Any = tile.grouper {
            self.list(of, id, area);
            let schedule = &mut self.buffers.schedule;
            let counts = (schedule.len as u64, schedule.rows_on);
            schedule.clear();
            counts
        } else {
            let of = row(&self.buffers.patches, tile, &area, of.windows.width);
            self.isa.run(CountUnshared { of, slots: layout.cells.slots })
        };
        self.count(matrix, id, groups, rows_on);
    }

    fn count(&mut self, matrix: usize, id: TileId, groups: u64, rows_on: u64) {
        let conversions = groups * self.layout.cells.tiles[id.index()].columns as u64;
        self.events[matrix] += Events { groups, conversions, rows_on };
    }

    // ---- codes ---------------------------------------------------------------------------------

    fn codes(&self) -> &'a C {
        self.codes.expect("what runs on macros has converters")
    }

    fn conversions(&self, id: TileId, image: u32) -> Conversions {
        Conversions { isa: self.isa, tile: id.index(), image }
    }

    /// Converts the groups that are listed and forgets them.
    fn convert_listed(&mut self, matrix: usize, id: TileId, image: u32) {
        let (codes, of) = (self.codes(), self.conversions(id, image));
        let Buffers { schedule, raw, .. } = &mut self.buffers;
        schedule.pad();
        codes.convert(of, schedule, &mut self.scratch, raw);
        self.forget_listed(matrix, id);
    }

    /// Notes the corrections of the groups that are listed and forgets them.
    fn correct_listed(&mut self, matrix: usize, id: TileId, image: u32) {
        let (codes, of) = (self.codes(), self.conversions(id, image));
        let Buffers { schedule, corrections, .. } = &mut self.buffers;
        codes.correct(of, schedule, &mut self.scratch, corrections);
        self.forget_listed(matrix, id);
    }

    fn forget_listed(&mut self, matrix: usize, id: TileId) {
        let schedule = &mut self.buffers.schedule;
        let (groups, rows_on) = (schedule.len as u64, schedule.rows_on);
        schedule.clear();
        self.count(matrix, id, groups, rows_on);
    }

    /// Has the next product corrected by what the codes of the groups that were found are off.
    fn correct_found(
        &mut self,
        id: TileId,
        sliced: &Sliced,
        grouper: &SliceGrouper,
        rows: &LineBits,
        image: u32,
    ) {
        let (codes, of) = (self.codes(), self.conversions(id, image));
        let tile = &self.layout.tiles[id.index()];
        let Buffers { words, found, corrections, sliced: buffers, .. } = &mut self.buffers;
        let streams = &sliced.streams;
        let windows = &self.layout.matrices[tile.matrix].windows;
        let cycles = FoundCycles { found, grouper, streams, windows, rows, words };
        corrections.clear();
        codes.correct(of, &cycles, &mut self.scratch, corrections);
        for correction in &*corrections {
            let (output, factor) = tile.outputs.of(correction.column);
            let position = correction.position as usize;
            buffers.correct(sliced, position, output, factor * correction.delta);
        }
    }

    // ---- sums ----------------------------------------------------------------------------------

    /// Sums become activations, or outputs of the network.
    fn finish(&mut self, of: &MatrixLayout, pool: usize) {
        let Buffers { sums, outputs, next, .. } = &mut self.buffers;
        let (levels, windows) = (&of.levels, &of.windows);
        if levels.levels == 0 {
            outputs.clear();
            outputs.extend(sums.iter().flat_map(|sums| sums.iter()).take(levels.columns));
            return;
        }
        next.clear();
        next.resize(of.activations(pool) + SLACK, 0);
        self.isa.run(Activate { levels, windows, sums, pool, activations: next });
        std::mem::swap(&mut self.buffers.activations, &mut self.buffers.next);
    }
}

impl<C: Convert> MultiplyLayer for Runner<'_, C> {
    fn multiply_layer(&mut self, part: &Part<'_>, levels: &[u8], sums: &mut [i32]) {
        let layout = self.layout;
        let of = &layout.matrices[part.matrix];
        match of.frame {
            Some(frame) => self.begin_framed(frame, part.input, levels),
            None => self.begin(levels),
        }
        let Buffers { activations, words, codes, coded, .. } = &mut self.buffers;
        self.isa.run(Pack { windows: &of.windows, activations, words });
        if let Some(of) = &of.coded {
            codes.clear();
            codes.extend(activations.iter().map(|&level| of.codes[usize::from(level)]));
            self.isa.run(Pack { windows: &of.windows, activations: codes, words: coded });
        }
        match (self.strategies[part.matrix], &of.sums) {
            (Strategy::Converted, _) => self.convert(part.matrix, self.image),
            (strategy, Sums::Packed(packed)) => {
                self.multiply_packed(part.matrix, packed, strategy, self.image);
            }
            (_, Sums::Sliced(_)) => unreachable!("slices make activations, not sums"),
        }
        let (positions, blocks) = (of.windows.positions(), of.levels.blocks());
        for (column, sums) in sums.chunks_exact_mut(positions).enumerate() {
            let of_column = self.buffers.sums[column / LANES..].iter().step_by(blocks);
            for (sum, lanes) in sums.iter_mut().zip(of_column) {
                *sum = lanes[column % LANES];
            }
        }
    }
}

/// Some output positions of a tile, whose lines were gathered, where rows have so many.
fn row<'a>(patches: &'a Patches, tile: &'a TileLayout, area: &Area, width: usize) -> Row<'a> {
    let (factors, replica) = (&tile.factors[..], tile.outputs.replica);
    let Area { rows, columns } = area;
    let row = rows.start * width + columns.start..(rows.end - 1) * width + columns.end;
    Row { patches, factors, row, width: columns.len(), replica }
}
