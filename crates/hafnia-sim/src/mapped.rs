//! [`Mapped`]: multiplies on the tiles of a mapping, conversion by conversion.

use hafnia_cim::{Groups, InputControl, MacroSpec, ScanEntry};
use hafnia_ir::{
    Column, Lines, Mapping, Matrix, Planes, RowEntry, RowTable, Tile, TileId, prove_matrices,
};
use hafnia_model::{MatrixLayer, Multiply, Network};
use hafnia_simd::LANES;
use serde::{Deserialize, Serialize};

use crate::engine::{Conversion, Engine};
use crate::error::SimError;
use crate::fit::check_fit;

/// How often the parts of a macro work for one matrix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Conversion cycles: groups of rows that were on.
    pub groups: u64,
    /// Conversions: a group converts every column of its tile.
    pub conversions: u64,
    /// Rows that were on, added up over the groups.
    pub rows_on: u64,
}

impl std::ops::AddAssign for Events {
    fn add_assign(&mut self, other: Self) {
        self.groups += other.groups;
        self.conversions += other.conversions;
        self.rows_on += other.rows_on;
    }
}

/// A mapping laid out for the walk over its tiles; shared by all threads.
#[derive(Debug, Clone)]
pub struct Plan {
    control: InputControl,
    rows_per_conversion: usize,
    /// [`InputControl::groups`]; tests of [`check_equivalence`](crate::check_equivalence) plant faulty ones.
    pub(crate) grouper: Grouper,
    matrices: Vec<MatrixPlan>,
    pub(crate) tiles: Vec<TilePlan>,
}

pub(crate) type Grouper = fn(InputControl, usize, &[ScanEntry], &[u32], &mut Groups);

#[derive(Debug, Clone)]
struct MatrixPlan {
    /// The tiles of every replica.
    replicas: Vec<Vec<TileId>>,
    /// The logical rows that no tile holds.
    dead: Vec<u32>,
    /// The offset of its coding.
    offset: i32,
}

#[derive(Debug, Clone)]
pub(crate) struct TilePlan {
    pub(crate) rows: RowTable,
    /// What the input control scans.
    pub(crate) lines: Lines,
    /// The bit-planes of a scan.
    pub(crate) planes: Planes,
    /// Per column of cells what becomes of its raw sum.
    outputs: Vec<OutputPlan>,
    /// The highest level of a cell: 1, or 3 with 2 bits.
    top_level: i32,
    /// Blocks of [`LANES`] columns of cells.
    blocks: usize,
    /// (physical row, block): programmed levels, a byte each.
    levels: Vec<[u8; LANES]>,
}

/// What becomes of the raw sum of a column of cells.
#[derive(Debug, Clone, Copy)]
struct OutputPlan {
    /// The output that it is a slice of.
    output: usize,
    /// How often its product counts there: the factor of its slice.
    factor: i32,
    is_inverted: bool,
    /// What the levels owed by the bit-planes make: as many in every row.
    owed: i32,
}

impl Plan {
    /// Lays out a mapping of `network`, at any stage, for macros of `spec`.
    ///
    /// # Errors
    /// If the mapping is of another network, for other macros, or not well formed.
    pub fn new(network: &Network, mapping: &Mapping, spec: &MacroSpec) -> Result<Self, SimError> {
        check_fit(mapping, spec)?;
        prove_matrices(mapping, network).map_err(|error| SimError::Network(Box::new(error)))?;
        let layers = network.matrices();
        let mut matrices: Vec<MatrixPlan> = mapping
            .matrices
            .iter()
            .map(|of| MatrixPlan {
                replicas: Vec::new(),
                dead: of.dead.clone(),
                offset: of.coding.offset(),
            })
            .collect();
        let tile = |tile: &Tile| {
            let matrix = tile.matrix.index();
            let of = &mapping.matrices[matrix];
            TilePlan::new(tile, of, mapping.geometry.cell_bits, &layers[matrix])
        };
        for (id, tile) in mapping.tiles() {
            let replicas = &mut matrices[tile.matrix.index()].replicas;
            let replica = tile.replica as usize;
            replicas.resize(replicas.len().max(replica + 1), Vec::new());
            replicas[replica].push(id);
        }
        Ok(Self {
            control: spec.input_control,
            rows_per_conversion: spec.rows_per_conversion,
            grouper: InputControl::groups,
            matrices,
            tiles: mapping.tiles.iter().map(tile).collect(),
        })
    }

    /// The tiles that compute an output position of a matrix.
    pub(crate) fn tiles_at(&self, matrix: usize, position: usize) -> &[TileId] {
        let replicas = &self.matrices[matrix].replicas;
        &replicas[position % replicas.len()]
    }

    /// The groups of one scan of a tile; `active` are lines.
    pub(crate) fn group(&self, tile: TileId, active: &[u32], groups: &mut Groups) {
        let scan = &self.tiles[tile.index()].lines.scan;
        (self.grouper)(self.control, self.rows_per_conversion, scan, active, groups);
    }

    /// The logical rows of a matrix that no tile holds.
    pub(crate) fn dead(&self, matrix: usize) -> &[u32] {
        &self.matrices[matrix].dead
    }

    /// Copies of a matrix; output position p is computed by copy p modulo their number.
    ///
    /// # Panics
    /// If there is no such matrix.
    pub fn replicas(&self, matrix: usize) -> usize {
        self.matrices[matrix].replicas.len()
    }
}

impl TilePlan {
    /// Lays out a tile of a matrix, which is that of a layer.
    fn new(tile: &Tile, of: &Matrix, cell_bits: u8, layer: &MatrixLayer<'_>) -> Self {
        let cell = usize::from(cell_bits);
        let blocks = (tile.bits.columns() / cell).div_ceil(LANES);
        let mut levels = vec![[0; LANES]; tile.physical_rows() * blocks];
        for row in 0..tile.physical_rows() {
            for column in 0..tile.bits.columns() {
                let (bit, plane) = (u8::from(tile.bits.get(row, column)), column % cell);
                let column = column / cell;
                levels[row * blocks + column / LANES][column % LANES] |= bit << plane;
            }
        }
        let (lines, top_level) = (tile.lines(), (1 << cell_bits) - 1);
        let planes = tile.planes(&lines, of, layer);
        let output = |(index, &Column { logical, inverted }): (usize, &Column)| {
            let held = |RowEntry { physical, negative, .. }: RowEntry| {
                let level = levels[physical as usize * blocks + index / LANES][index % LANES];
                let level = i32::from(level);
                if inverted ^ negative { top_level - level } else { level }
            };
            let owed = match planes.owed() {
                0 => 0,
                owed => owed * tile.rows.iter().map(held).sum::<i32>(),
            };
            let (output, factor) = (of.output(logical), of.factor(logical));
            OutputPlan { output, factor, is_inverted: inverted, owed }
        };
        let outputs = tile.columns.iter().step_by(cell).enumerate().map(output).collect();
        Self { rows: tile.rows.clone(), planes, lines, outputs, top_level, blocks, levels }
    }

    /// Adds up, per column, what `of` makes of the levels of these rows.
    fn add_up<T: Copy + Default + std::ops::AddAssign>(
        &self,
        rows: &[u32],
        of: impl Fn(u8) -> T,
        sums: &mut [T],
    ) {
        for (block, sums) in sums.chunks_mut(LANES).enumerate() {
            let mut of_block = [T::default(); LANES];
            for &row in rows {
                let levels = &self.levels[row as usize * self.blocks + block];
                for (sum, &level) in of_block.iter_mut().zip(levels) {
                    *sum += of(level);
                }
            }
            sums.copy_from_slice(&of_block[..sums.len()]);
        }
    }
}

/// Multiplies on the tiles of a mapping, and counts what happens there.
///
/// Per tile and bit-plane ([`Planes`]) the lines ([`Tile::lines`]) whose code has the bit are gathered
/// into groups by [`InputControl::groups`]; the engine converts every group, and its codes are added up
/// with the factor of the bit-plane, negated for a group of negative lines: the raw sum R of a column.
/// Beside it what the bits of entries count is added up digitally: P of positive, N of negative ones.
///
/// A bit of a weight counts its level. Where an entry is negative, a cell holds the complement and
/// counts −(1 − bit), so that Σ bit·a is R + N; in an inverted column it is P − R. A cell of 2 bits
/// holds a level l of 0 to 3 and its complement is 3 − l: then it is R + 3·N and 3·P − R. To it comes
/// what bit-planes owe, once for every bit. That sum
/// counts in its output as often as the factor of its slice says, and the offset of the coding counts
/// Σ a: w = Σ factor·bit + offset ([`hafnia_ir::Coding`]).
#[derive(Debug)]
pub struct Mapped<'a, E> {
    /// Index of the image that is being run: part of the address of temporal draws.
    pub image: u32,
    /// What happened so far, per matrix.
    pub events: Vec<Events>,
    plan: &'a Plan,
    engine: E,
    scratch: Scratch,
}

/// Buffers that every conversion uses anew, as long as the largest tile needs.
#[derive(Debug, Default)]
struct Scratch {
    /// Codes of the lines.
    sums: Vec<u32>,
    /// The active lines.
    active: Vec<u32>,
    /// Their physical rows.
    rows: Vec<u32>,
    groups: Groups,
    /// Per column of cells: sum of levels, of their squares, codes and the raw sum.
    ones: Vec<u16>,
    squares: Vec<u16>,
    codes: Vec<u16>,
    raw: Vec<i32>,
}

impl<'a, E: Engine> Mapped<'a, E> {
    /// Multiplies as `plan` says, with conversions by `engine`; starts at image 0.
    pub fn new(plan: &'a Plan, engine: E) -> Self {
        let most = |len: fn(&TilePlan) -> usize| plan.tiles.iter().map(len).max().unwrap_or(0);
        let lines = most(|tile| tile.lines.scan.len());
        let columns = most(|tile| tile.outputs.len());
        let scratch = Scratch {
            sums: vec![0; lines],
            active: vec![0; lines],
            rows: vec![0; lines],
            groups: Groups::default(),
            ones: vec![0; columns],
            squares: vec![0; columns],
            codes: vec![0; columns],
            raw: vec![0; columns],
        };
        let events = vec![Events::default(); plan.matrices.len()];
        Self { image: 0, events, plan, engine, scratch }
    }

    /// Multiplies on one tile and adds the products to `sums`.
    fn multiply_tile(
        &mut self,
        id: TileId,
        position: usize,
        activations: &[u8],
        products: &mut [i32],
    ) -> Events {
        let (plan, tile) = (self.plan, &self.plan.tiles[id.index()]);
        let columns = tile.outputs.len();
        let Scratch { sums, active, rows, groups, ones, squares, codes, raw } = &mut self.scratch;
        tile.lines.add_up(&tile.rows, activations, sums);
        let (scan, planes) = (&tile.lines.scan, &tile.planes);
        if planes.codes().is_some() {
            sums[..scan.len()].iter_mut().for_each(|level| *level = planes.code(*level));
        }
        let (ones, codes) = (&mut ones[..columns], &mut codes[..columns]);
        let squares = if tile.top_level > 1 { &mut squares[..columns] } else { &mut [] };
        let raw = &mut raw[..columns];
        raw.fill(0);
        let (mut positive, mut negative) = (0, 0);
        let mut events = Events::default();
        for (plane, &factor) in (0..).zip(planes.factors()) {
            // Written always and kept if the bit is 1: no branch on data.
            let mut count = 0;
            for (index, (&sum, line)) in sums.iter().zip(scan).enumerate() {
                active[count] = index as u32;
                rows[count] = line.physical;
                count += (sum >> plane & 1) as usize;
            }
            let active = &active[..count];
            plan.group(id, active, groups);
            for (group, range) in groups.iter().enumerate() {
                let is_negative = scan[active[range.start] as usize].negative;
                let rows = &rows[range];
                tile.add_up(rows, u16::from, ones);
                tile.add_up(rows, |level| u16::from(level * level), squares);
                let (image, position, group) = (self.image, position as u32, group as u32);
                let conversion =
                    Conversion { tile: id, image, position, plane, group, rows, ones, squares };
                self.engine.convert(&conversion, codes);
                let weight = if is_negative { -factor } else { factor };
                for (raw, &code) in raw.iter_mut().zip(&*codes) {
                    *raw += weight * i32::from(code);
                }
                let counted = rows.len() as i32 * factor;
                if is_negative { negative += counted } else { positive += counted }
            }
            events.groups += groups.len() as u64;
            events.rows_on += count as u64;
        }
        let (positive, negative) = (tile.top_level * positive, tile.top_level * negative);
        for (of, &raw) in tile.outputs.iter().zip(&*raw) {
            let &OutputPlan { output, factor, is_inverted, owed } = of;
            let sum = if is_inverted { positive - raw } else { raw + negative };
            products[output] += factor * (sum + owed);
        }
        events.conversions = events.groups * columns as u64;
        events
    }
}

impl<E: Engine> Multiply for Mapped<'_, E> {
    fn multiply(&mut self, matrix: usize, position: usize, activations: &[u8], sums: &mut [i32]) {
        let plan = self.plan;
        let MatrixPlan { offset, dead, .. } = &plan.matrices[matrix];
        let all: i32 = activations.iter().map(|&level| i32::from(level)).sum();
        let left_out: i32 = dead.iter().map(|&row| i32::from(activations[row as usize])).sum();
        sums.fill(offset * (all - left_out));
        for &tile in plan.tiles_at(matrix, position) {
            let events = self.multiply_tile(tile, position, activations, sums);
            self.events[matrix] += events;
        }
    }
}
