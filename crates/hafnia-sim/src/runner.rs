//! [`Runner`]: walks a network as [`hafnia_model::run_from`] does, a layer at a time and in vectors.
//!
//! A matrix in the scope of noise is multiplied on its tiles by a [`Convert`], conversion by
//! conversion or as the network's own product with corrections; every other one is that product.
//! It takes no memory for a conversion and none for an image: buffers are those of the largest layer.

use std::ops::Range;

use hafnia_cim::Groups;
use hafnia_ir::TileId;
use hafnia_model::Layer;
use hafnia_model::arithmetic::{activate, max_pool, window};
use hafnia_simd::{Isa, LANES};

use crate::kernels::{Convert, Scratch, SlicedTile};
use crate::layout::{Layout, MatrixLayout, SHARED_WORDS, SlicedGroups, TileLayout, What};
use crate::mapped::Events;
use crate::packed::{ActivateColumns, ActivatePositions, AddProducts, MultiplyRow, MultiplyVector};
use crate::paths::Path;
use crate::scanned::{CountScanned, Find, ListFound, Scanned};
use crate::schedule::{CountGroups, ENOUGH, Group, Scan, Schedule};
use crate::sliced::{CountSliced, Fill, MultiplySliced, Sliced, SlicedBuffers};
use crate::windows::{Gather, POSITIONS, Pack, Patches, SLACK};

/// Runs images on one thread.
pub(crate) struct Runner<'a> {
    layout: &'a Layout<'a>,
    isa: Isa,
    /// What happened so far, per matrix.
    pub(crate) events: Vec<Events>,
    buffers: Buffers,
}

/// Used anew by every layer.
#[derive(Default)]
struct Buffers {
    /// Activations that reach the layer, [`SLACK`] behind them, and those that leave it.
    activations: Vec<u8>,
    next: Vec<u8>,
    /// Their bit-planes.
    words: Vec<u64>,
    sliced: SlicedBuffers,
    /// Logical rows, and lines of a tile.
    natural: Patches,
    lines: Patches,
    schedule: Schedule,
    scratch: Scratch,
    /// (position, block): raw sums of a tile, and sums of the matrix.
    raw: Vec<[i32; LANES]>,
    by_position: Vec<[i32; LANES]>,
    /// Per position, Σ of the activations of a tile.
    digital: Vec<i32>,
    /// (column, position): sums of the matrix.
    by_column: Vec<i32>,
    row: Vec<i32>,
    outputs: Vec<i32>,
    /// What the general walk needs.
    window: Vec<u8>,
    sums: Vec<u32>,
    active: Vec<u32>,
    groups: Groups,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(layout: &'a Layout<'a>, isa: Isa) -> Self {
        let events = vec![Events::default(); layout.matrices.len()];
        Self { layout, isa, events, buffers: Buffers::default() }
    }

    /// The raw outputs of an image, given the activations that reach layer `first`. A matrix in
    /// `scope` runs on `engine`.
    pub(crate) fn run(
        &mut self,
        first: usize,
        activations: &[u8],
        image: u32,
        engine: &impl Convert,
        scope: &[bool],
    ) -> &[i32] {
        self.begin(activations);
        self.walk(first, usize::MAX, image, Some((engine, scope)));
        &self.buffers.outputs
    }

    /// The activations that reach layer `layer` without noise.
    pub(crate) fn activations_before(&mut self, layer: usize, activations: &[u8]) -> &[u8] {
        self.begin(activations);
        self.walk(0, layer, 0, None::<(&crate::kernels::ExactKernel<'_>, _)>);
        let length = self.layout.network.shape_before(layer).len();
        &self.buffers.activations[..length]
    }

    /// The raw outputs without noise, given the activations that reach layer `first`.
    pub(crate) fn outputs(&mut self, first: usize, activations: &[u8]) -> &[i32] {
        self.begin(activations);
        self.walk(first, usize::MAX, 0, None::<(&crate::kernels::ExactKernel<'_>, _)>);
        &self.buffers.outputs
    }

    fn begin(&mut self, activations: &[u8]) {
        let into = &mut self.buffers.activations;
        into.clear();
        into.extend_from_slice(activations);
        into.extend_from_slice(&[0; SLACK]);
    }

    /// Walks the layers from `first` to before `end`.
    fn walk<C: Convert>(
        &mut self,
        first: usize,
        end: usize,
        image: u32,
        noise: Option<(&C, &[bool])>,
    ) {
        let layout = self.layout;
        let steps = layout.steps.iter().filter(|step| (first..end).contains(&step.layer));
        for step in steps {
            match step.what {
                What::Matrix { matrix, pool } => {
                    let of = &layout.matrices[matrix];
                    let buffers = &mut self.buffers;
                    let (activations, words) = (&buffers.activations, &mut buffers.words);
                    self.isa.run(Pack { windows: &of.windows, activations, words });
                    let engine = noise.filter(|(_, scope)| scope[matrix]).map(|(engine, _)| engine);
                    // A pool beyond the end is not ours to do.
                    let pool = if step.layer + 1 < end { pool } else { 1 };
                    match engine {
                        Some(engine) if matches!(engine.path(), Path::Converted(_)) => {
                            self.convert(matrix, image, engine);
                            self.finish_positions(of, pool);
                        }
                        _ if self.multiply_sliced(matrix, image, engine, pool) => {}
                        _ => {
                            self.multiply(matrix, image, engine);
                            self.finish_columns(of, pool);
                        }
                    }
                }
                What::Pool { size, input } => {
                    let pooled = max_pool(&self.buffers.activations, input, size);
                    self.begin(&pooled);
                }
            }
        }
    }

    /// Multiplies a matrix on its tiles, every conversion of it.
    fn convert<C: Convert>(&mut self, matrix: usize, image: u32, engine: &C) {
        let (layout, isa) = (self.layout, self.isa);
        let of = &layout.matrices[matrix];
        let positions = of.windows.positions();
        let buffers = &mut self.buffers;
        buffers.by_position.clear();
        buffers.by_position.resize(positions * of.blocks, [0; LANES]);
        let is_scanned =
            |id: &TileId| matches!(layout.tiles[id.index()].groups, Some(SlicedGroups::Scanned(_)));
        if let (Some(sliced), true) = (&of.sliced, of.tiles.iter().any(is_scanned)) {
            let Buffers { words, sliced: buffers, .. } = buffers;
            isa.run(Fill { sliced, words, buffers });
        }
        for &id in &of.tiles {
            let tile = &layout.tiles[id.index()];
            buffers.begin_tile(layout, of);
            buffers.raw.clear();
            buffers.raw.resize(positions * tile.blocks, [0; LANES]);
            let mut convert = |buffers: &mut Buffers| {
                let Buffers { schedule, scratch, raw, .. } = buffers;
                engine.convert(isa, id.index(), image, schedule, scratch, raw);
                self.events[matrix] += events(schedule, tile);
                schedule.clear(layout.slots);
            };
            if let (Some(sliced), Some(SlicedGroups::Scanned(scanned))) = (&of.sliced, &tile.groups)
            {
                let groups = buffers.find(isa, of, tile, scanned);
                for first in (0..groups).step_by(ENOUGH) {
                    buffers.list(isa, (of, sliced), (tile, scanned), first..groups);
                    convert(buffers);
                }
                buffers.add_products(isa, of, tile);
                continue;
            }
            for y in 0..of.windows.height {
                buffers.gather(layout, isa, of, id, y);
                buffers.scan(layout, isa, of, id, y);
                if buffers.schedule.len >= ENOUGH || y + 1 == of.windows.height {
                    convert(buffers);
                }
            }
            buffers.add_products(isa, of, tile);
        }
        self.add_digital_columns(matrix);
    }

    /// Multiplies a matrix by its weights in slices, and corrects the sums if an engine is there, to the
    /// activations behind the pool; says whether that suits it.
    fn multiply_sliced<C: Convert>(
        &mut self,
        index: usize,
        image: u32,
        engine: Option<&C>,
        pool: usize,
    ) -> bool {
        let (layout, isa) = (self.layout, self.isa);
        let of = &layout.matrices[index];
        let corrects = engine.filter(|engine| engine.path() == Path::Corrected);
        let Some(sliced) = of.sliced.as_ref().filter(|_| pool <= 2) else { return false };
        let is_found = |id: &TileId| layout.tiles[id.index()].groups.is_some();
        if corrects.is_some() && !(sliced.holds_errors && of.tiles.iter().all(is_found)) {
            return false;
        }
        let Buffers { words, sliced: buffers, .. } = &mut self.buffers;
        isa.run(Fill { sliced, words, buffers });
        for &id in of.tiles.iter().filter(|_| engine.is_some()) {
            let tile = &layout.tiles[id.index()];
            let Buffers { words, sliced: buffers, scratch, .. } = &mut self.buffers;
            let (groups, rows_on) = match (corrects, &tile.groups) {
                (_, None) => {
                    for y in 0..of.windows.height {
                        self.events[index] += self.buffers.count(layout, isa, of, id, y);
                    }
                    continue;
                }
                (Some(engine), _) => {
                    let windows = &of.windows;
                    scratch.corrections.clear();
                    let sliced_tile = SlicedTile { windows, words, sliced, buffers };
                    let counts =
                        engine.correct_sliced(isa, id.index(), image, sliced_tile, scratch);
                    for correction in &scratch.corrections {
                        let (column, sign) = tile.logical[correction.column as usize];
                        let position = correction.position as usize;
                        let at = (position / windows.width, position % windows.width);
                        buffers.correct(sliced, at, column, 2 * sign * correction.delta);
                    }
                    counts
                }
                (None, Some(SlicedGroups::Counted(counted))) => {
                    isa.run(CountSliced { sliced, counted, buffers })
                }
                (None, Some(SlicedGroups::Scanned(scanned))) => {
                    let found = &mut scratch.sampled.found;
                    isa.run(CountScanned { scanned, buffers, found })
                }
            };
            let conversions = groups * tile.columns as u64;
            self.events[index] += Events { groups, conversions, rows_on };
        }
        let Buffers { next, sliced: buffers, .. } = &mut self.buffers;
        next.resize(of.activations(pool) + SLACK, 0);
        isa.run(MultiplySliced { sliced, buffers, pool, activations: next });
        std::mem::swap(&mut self.buffers.activations, &mut self.buffers.next);
        true
    }

    /// Multiplies a matrix by its weights, and corrects the sums if an engine is there.
    fn multiply<C: Convert>(&mut self, index: usize, image: u32, engine: Option<&C>) {
        let (layout, isa) = (self.layout, self.isa);
        let of = &layout.matrices[index];
        let windows = &of.windows;
        let row = windows.chunks() * POSITIONS;
        let stride = windows.height * row;
        let is_vector = windows.positions() == 1;
        let way = engine.map(|engine| engine.path());
        let buffers = &mut self.buffers;
        buffers.by_column.resize(of.columns.next_multiple_of(POSITIONS) * stride, 0);
        // The tile of a matrix on one macro in the natural order takes the patches of the product.
        let one = match (way, &of.tiles[..]) {
            (Some(Path::Corrected), &[id]) if layout.tiles[id.index()].is_natural => Some(id),
            _ => None,
        };
        if one.is_some() {
            buffers.begin_tile(layout, of);
            buffers.scratch.corrections.clear();
        }
        for y in 0..windows.height {
            let Buffers { words, natural, by_column: sums, .. } = buffers;
            isa.run(Gather { windows, bits: &of.natural, words, rows: y..y + 1, patches: natural });
            let (matrix, patches, planes) = (&of.packed, &*natural, windows.planes);
            if is_vector {
                isa.run(MultiplyVector { matrix, patches, planes, sums });
            } else {
                isa.run(MultiplyRow { matrix, patches, planes, sums, at: y * row, stride });
            }
            if way == Some(Path::Product) {
                for &id in &of.tiles {
                    self.events[index] += buffers.count(layout, isa, of, id, y);
                }
            }
            if let (Some(id), Some(engine)) = (one, engine) {
                std::mem::swap(&mut buffers.natural, &mut buffers.lines);
                self.events[index] += buffers.correct(layout, isa, of, (id, y), image, engine);
            }
        }
        let Some(engine) = engine.filter(|_| way == Some(Path::Corrected)) else { return };
        for &id in &of.tiles {
            let tile = &layout.tiles[id.index()];
            if one.is_none() {
                buffers.begin_tile(layout, of);
                buffers.scratch.corrections.clear();
                for y in 0..windows.height {
                    buffers.gather(layout, isa, of, id, y);
                    self.events[index] += buffers.correct(layout, isa, of, (id, y), image, engine);
                }
            }
            for correction in &buffers.scratch.corrections {
                let (column, sign) = tile.logical[correction.column as usize];
                let position = correction.position as usize;
                let (y, x) = (position / windows.width, position % windows.width);
                let at = if is_vector { column } else { column * stride + y * row + x };
                buffers.by_column[at] += 2 * sign * correction.delta;
            }
        }
    }

    /// Sums become activations, or outputs of the network.
    fn finish_columns(&mut self, of: &MatrixLayout, pool: usize) {
        let buffers = &mut self.buffers;
        let sums = &buffers.by_column;
        if of.levels == 0 {
            buffers.outputs.clear();
            buffers.outputs.extend_from_slice(&sums[..of.columns]);
            return;
        }
        let length = of.activations(pool);
        buffers.next.clear();
        buffers.next.resize(length + SLACK, 0);
        let activations = &mut buffers.next[..];
        if of.windows.positions() == 1 {
            let thresholds = of.thresholds.chunks_exact(of.levels);
            for ((activation, &sum), thresholds) in activations.iter_mut().zip(sums).zip(thresholds)
            {
                *activation = activate(sum, thresholds);
            }
        } else {
            let row = &mut buffers.row;
            self.isa.run(ActivateColumns { matrix: of, sums, pool, activations, row });
        }
        std::mem::swap(&mut buffers.activations, &mut buffers.next);
    }

    /// As [`finish_columns`](Self::finish_columns), of sums by position.
    fn finish_positions(&mut self, of: &MatrixLayout, pool: usize) {
        let buffers = &mut self.buffers;
        let sums = &buffers.by_position;
        if of.levels == 0 {
            buffers.outputs.clear();
            buffers.outputs.extend(sums.iter().flatten().take(of.columns));
            return;
        }
        buffers.next.clear();
        buffers.next.resize(of.activations(pool) + SLACK, 0);
        let activations = &mut buffers.next[..];
        self.isa.run(ActivatePositions { matrix: of, sums, pool, activations });
        std::mem::swap(&mut buffers.activations, &mut buffers.next);
    }

    /// The products of columns that need no tile: plus or minus Σ of the activations.
    fn add_digital_columns(&mut self, index: usize) {
        let (layout, isa) = (self.layout, self.isa);
        let of = &layout.matrices[index];
        let digital = layout.plan.as_ref().map_or(&[][..], |plan| plan.digital(index));
        if digital.is_empty() {
            return;
        }
        let windows = &of.windows;
        let Buffers { words, natural, by_position, .. } = &mut self.buffers;
        for y in 0..windows.height {
            isa.run(Gather { windows, bits: &of.natural, words, rows: y..y + 1, patches: natural });
            for x in 0..windows.width {
                let mut sum = 0;
                for plane in 0..windows.planes {
                    for word in 0..natural.words {
                        sum += (natural.word(plane, word, x).count_ones() as i32) << plane;
                    }
                }
                let position = y * windows.width + x;
                for &(output, factor) in digital {
                    by_position[position * of.blocks + output / LANES][output % LANES] =
                        factor * sum;
                }
            }
        }
    }
}

fn events(schedule: &Schedule, tile: &TileLayout) -> Events {
    let groups = schedule.len as u64;
    Events { groups, conversions: groups * tile.columns as u64, rows_on: schedule.rows_on }
}

/// Lists the groups of a row of output positions where the next active lines share a group, unless
/// their word line is on in it already. There must be room for them.
fn scan_shared(
    patches: &Patches,
    (tile, same): (&TileLayout, &[[u64; SHARED_WORDS]]),
    row: Range<usize>,
    schedule: &mut Schedule,
    digital: &mut [i32],
) {
    let (null, slots, start) = (tile.lines as u16, schedule.slots, row.start);
    for position in row.filter(|position| position % tile.replica.1 == tile.replica.0) {
        for plane in 0..tile.planes {
            let close = |schedule: &mut Schedule, count: usize, number: usize| {
                let plane_group = (plane << 24 | number) as u32;
                let (position, rows) = (position as u32, count as u32);
                schedule.close(Group { position, plane_group, rows, weight: 1 << plane }, null);
            };
            let (mut count, mut number) = (0, 0);
            // The lines whose word line is on in the group.
            let mut held = [0; SHARED_WORDS];
            for word in 0..patches.words {
                let mut left = patches.word(plane, word, position - start);
                while left != 0 {
                    let bit = left.trailing_zeros();
                    left &= left - 1;
                    let line = word * 64 + bit as usize;
                    if count == slots || held[word] >> bit & 1 == 1 {
                        close(schedule, count, number);
                        (count, number, held) = (0, number + 1, [0; SHARED_WORDS]);
                    }
                    schedule.lines[schedule.len * slots + count] = line as u16;
                    count += 1;
                    for (held, same) in held.iter_mut().zip(&same[line]) {
                        *held |= same;
                    }
                    digital[position] += 1 << plane;
                }
            }
            if count > 0 {
                close(schedule, count, number);
            }
        }
    }
}

impl Buffers {
    /// Forgets what was there of another tile.
    fn begin_tile(&mut self, layout: &Layout<'_>, of: &MatrixLayout) {
        let positions = of.windows.positions();
        self.schedule.clear(layout.slots);
        self.digital.clear();
        self.digital.resize(positions, 0);
    }

    /// The lines of a tile at the output positions of row `y`.
    fn gather(&mut self, layout: &Layout<'_>, isa: Isa, of: &MatrixLayout, id: TileId, y: usize) {
        let (windows, tile) = (&of.windows, &layout.tiles[id.index()]);
        let (words, patches) = (&self.words, &mut self.lines);
        if let Some(bits) = &tile.bits {
            isa.run(Gather { windows, bits, words, rows: y..y + 1, patches });
            return;
        }
        let planned = &layout.plan.as_ref().expect("tiles are those of a plan").tiles[id.index()];
        patches.reset(tile.planes, tile.lines.div_ceil(64), windows.chunks());
        self.sums.resize(self.sums.len().max(tile.lines), 0);
        for x in 0..windows.width {
            match &layout.network.layers()[of.layer] {
                Layer::Conv(conv) => {
                    let shape = layout.network.shape_before(of.layer);
                    window(conv, shape, &self.activations, (y, x), &mut self.window);
                }
                _ => {
                    self.window.clear();
                    self.window.extend_from_slice(&self.activations[..of.rows]);
                }
            }
            planned.lines.add_up(&planned.rows, &self.window, &mut self.sums);
            for plane in 0..tile.planes {
                for line in (0..tile.lines).filter(|&line| self.sums[line] >> plane & 1 == 1) {
                    patches.set(plane, line, x);
                }
            }
        }
    }

    /// Finds the groups of a tile line by line and gathers the lines of all output positions; gives the
    /// number of groups. The streams were filled.
    fn find(&mut self, isa: Isa, of: &MatrixLayout, tile: &TileLayout, scanned: &Scanned) -> usize {
        let Self { words, sliced: buffers, lines: patches, scratch, .. } = self;
        let (windows, found) = (&of.windows, &mut scratch.sampled.found);
        let bits = tile.bits.as_ref().expect("lines that are scanned in slices are rows");
        let (groups, _) = isa.run(Find { scanned, buffers, found });
        isa.run(Gather { windows, bits, words, rows: 0..windows.height, patches });
        groups
    }

    /// Lists the conversion cycles of the first [`ENOUGH`] of these groups, which were found.
    fn list(
        &mut self,
        isa: Isa,
        (of, sliced): (&MatrixLayout, &Sliced),
        (tile, scanned): (&TileLayout, &Scanned),
        groups: Range<usize>,
    ) {
        let Self { lines: patches, schedule, scratch, digital, .. } = self;
        let (windows, null) = (&of.windows, tile.lines as u16);
        let groups = groups.start..groups.end.min(groups.start + ENOUGH);
        schedule.reserve(ENOUGH, tile.lines);
        let found = &scratch.sampled.found;
        isa.run(ListFound {
            found,
            groups,
            scanned,
            sliced,
            windows,
            patches,
            null,
            schedule,
            digital,
        });
    }

    /// Lists the conversion cycles of the output positions of row `y`, whose lines were gathered.
    fn scan(&mut self, layout: &Layout<'_>, isa: Isa, of: &MatrixLayout, id: TileId, y: usize) {
        let (width, tile) = (of.windows.width, &layout.tiles[id.index()]);
        let Self { lines: patches, schedule, digital, active, groups, .. } = self;
        let (planes, null) = (tile.planes, tile.lines as u16);
        let row = y * width..(y + 1) * width;
        let of_scan = if tile.is_plain { tile.lines.div_ceil(layout.slots) } else { tile.lines };
        schedule.reserve(width * planes * of_scan, tile.lines);
        if tile.is_plain {
            let replica = tile.replica;
            isa.run(Scan { patches, planes, null, row, replica, schedule, digital });
            return;
        }
        if let Some(same) = &tile.shared {
            scan_shared(patches, (tile, same), row, schedule, digital);
            return;
        }
        let plan = layout.plan.as_ref().expect("tiles are those of a plan");
        let scan = &plan.tiles[id.index()].lines.scan;
        let (replica, replicas) = tile.replica;
        for position in row.clone().filter(|position| position % replicas == replica) {
            for plane in 0..planes {
                active.clear();
                for word in 0..patches.words {
                    let mut left = patches.word(plane, word, position - row.start);
                    while left != 0 {
                        active.push((word * 64) as u32 + left.trailing_zeros());
                        left &= left - 1;
                    }
                }
                if active.is_empty() {
                    continue;
                }
                plan.group(id, active, groups);
                for (group, range) in groups.iter().enumerate() {
                    let lines = &active[range];
                    let is_negative = scan[lines[0] as usize].negative;
                    let weight = if is_negative { -(1 << plane) } else { 1 << plane };
                    digital[position] += weight * lines.len() as i32;
                    let group = Group {
                        position: position as u32,
                        plane_group: (plane << 24 | group) as u32,
                        rows: lines.len() as u32,
                        weight,
                    };
                    schedule.push(group, lines, null);
                }
            }
        }
    }

    /// Lists the conversion cycles of the output positions of row `y`, whose lines were gathered, and
    /// notes the corrections of the list when it is long enough; gives what happened in it.
    fn correct(
        &mut self,
        layout: &Layout<'_>,
        isa: Isa,
        of: &MatrixLayout,
        (id, y): (TileId, usize),
        image: u32,
        engine: &impl Convert,
    ) -> Events {
        self.scan(layout, isa, of, id, y);
        if self.schedule.len < ENOUGH && y + 1 < of.windows.height {
            return Events::default();
        }
        let Self { schedule, scratch, .. } = self;
        engine.correct(isa, id.index(), image, schedule, scratch);
        let events = events(schedule, &layout.tiles[id.index()]);
        schedule.clear(layout.slots);
        events
    }

    /// What happens in a tile at the output positions of row `y`; patches of its matrix in the
    /// natural order were gathered.
    fn count(
        &mut self,
        layout: &Layout<'_>,
        isa: Isa,
        of: &MatrixLayout,
        id: TileId,
        y: usize,
    ) -> Events {
        let tile = &layout.tiles[id.index()];
        if !tile.is_plain {
            self.begin_tile(layout, of);
            self.gather(layout, isa, of, id, y);
            self.scan(layout, isa, of, id, y);
            return events(&self.schedule, tile);
        }
        if !tile.is_whole {
            self.gather(layout, isa, of, id, y);
        }
        let patches = if tile.is_whole { &self.natural } else { &self.lines };
        let (width, slots) = (of.windows.width, layout.slots);
        let row = y * width..(y + 1) * width;
        let (planes, replica) = (tile.planes, tile.replica);
        let (groups, rows_on) = isa.run(CountGroups { patches, planes, row, replica, slots });
        Events { groups, conversions: groups * tile.columns as u64, rows_on }
    }

    /// Adds the products of a tile to the sums of its matrix.
    fn add_products(&mut self, isa: Isa, of: &MatrixLayout, tile: &TileLayout) {
        let (positions, replica) = (of.windows.positions(), tile.replica);
        let Self { raw, digital, by_position: sums, .. } = self;
        if let Some((first, signs)) = &tile.aligned {
            let (first, blocks) = (*first, of.blocks);
            isa.run(AddProducts { raw, digital, signs, sums, blocks, first, replica });
            return;
        }
        for position in (replica.0..positions).step_by(replica.1) {
            let raw = raw[position * tile.blocks..][..tile.blocks].as_flattened();
            let sums = sums[position * of.blocks..][..of.blocks].as_flattened_mut();
            for (&(column, sign), raw) in tile.logical.iter().zip(raw) {
                sums[column] += sign * (2 * raw - digital[position]);
            }
        }
    }
}
