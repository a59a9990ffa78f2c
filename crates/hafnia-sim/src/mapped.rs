//! [`Mapped`]: multiplies on the tiles of a mapping, conversion by conversion.

use hafnia_cim::{Groups, InputControl, MacroSpec, ScanEntry};
use hafnia_ir::{
    Column, DigitalColumn, Lines, Mapping, MatrixId, RowTable, Tile, TileId, mappable, verify,
};
use hafnia_model::{Multiply, Network};
use serde::{Deserialize, Serialize};

use crate::{Conversion, Engine, LANES, SimError};

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
    /// [`InputControl::groups`]; tests of [`agree`](crate::agree) plant faulty ones.
    pub(crate) grouper: Grouper,
    matrices: Vec<MatrixPlan>,
    pub(crate) tiles: Vec<TilePlan>,
}

pub(crate) type Grouper = fn(InputControl, usize, &[ScanEntry], &[u32], &mut Groups);

#[derive(Debug, Clone)]
struct MatrixPlan {
    /// The tiles of every replica.
    replicas: Vec<Vec<TileId>>,
    /// The columns that need no tile.
    digital: Vec<DigitalColumn>,
}

#[derive(Debug, Clone)]
pub(crate) struct TilePlan {
    pub(crate) rows: RowTable,
    /// What the input control scans.
    pub(crate) lines: Lines,
    /// Bit-planes of a scan.
    pub(crate) planes: u8,
    columns: Vec<Column>,
    /// Blocks of [`LANES`] columns.
    blocks: usize,
    /// (physical row, block): programmed bits, a byte each.
    bits: Vec<[u8; LANES]>,
}

impl Plan {
    /// Lays out a mapping of `network`, at any stage, for macros of `spec`.
    ///
    /// # Errors
    /// If the mapping is of another network, for macros of another size, or not well formed, or the
    /// network has weights of more than 1 bit.
    pub fn new(network: &Network, mapping: &Mapping, spec: &MacroSpec) -> Result<Self, SimError> {
        check(mapping, spec)?;
        let digest = network.digest();
        if mapping.network != digest {
            return Err(SimError::Network { mapping: mapping.network, network: digest });
        }
        let layers = network.matrices();
        let weights = layers.iter().map(mappable).collect::<Result<Vec<_>, _>>()?;
        for index in 0..layers.len().max(mapping.matrices.len()) {
            let mapped = mapping.matrices.get(index).map_or((0, 0), |m| (m.rows, m.columns));
            let own = weights.get(index).map_or((0, 0), |bits| (bits.rows(), bits.columns()));
            if mapped != own {
                let matrix = MatrixId(index as u32);
                let ((rows, columns), (network_rows, network_columns)) = (mapped, own);
                return Err(SimError::Matrix {
                    matrix,
                    rows,
                    columns,
                    network_rows,
                    network_columns,
                });
            }
        }
        let mut matrices: Vec<MatrixPlan> = mapping
            .matrices
            .iter()
            .map(|of| MatrixPlan { replicas: Vec::new(), digital: of.digital.clone() })
            .collect();
        let tile = |tile: &Tile| TilePlan::new(tile, layers[tile.matrix.index()].input_bits);
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

    /// The columns of a matrix that need no tile.
    pub(crate) fn digital(&self, matrix: usize) -> &[DigitalColumn] {
        &self.matrices[matrix].digital
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
    /// Lays out a tile whose matrix is given activations of `input_bits` bits.
    fn new(tile: &Tile, input_bits: u8) -> Self {
        let blocks = tile.bits.columns().div_ceil(LANES);
        let mut bits = vec![[0; LANES]; tile.physical_rows() * blocks];
        for row in 0..tile.physical_rows() {
            for column in 0..tile.bits.columns() {
                bits[row * blocks + column / LANES][column % LANES] =
                    u8::from(tile.bits.get(row, column));
            }
        }
        let (rows, columns, lines) = (tile.rows.clone(), tile.columns.clone(), tile.lines());
        Self { rows, planes: lines.planes(input_bits), lines, columns, blocks, bits }
    }

    /// Counts, per column, the rows that are programmed to LRS.
    fn count_ones(&self, rows: &[u32], ones: &mut [u8]) {
        for (block, ones) in ones.chunks_mut(LANES).enumerate() {
            let mut sums = [0u8; LANES];
            for &row in rows {
                let bits = &self.bits[row as usize * self.blocks + block];
                for (sum, bit) in sums.iter_mut().zip(bits) {
                    *sum += bit;
                }
            }
            ones.copy_from_slice(&sums[..ones.len()]);
        }
    }
}

/// A mapping and a spec can be used together if both are well formed and of one geometry.
pub(crate) fn check(mapping: &Mapping, spec: &MacroSpec) -> Result<(), SimError> {
    spec.validate().map_err(|error| SimError::Spec(Box::new(error)))?;
    let geometry = &mapping.geometry;
    if (geometry.rows, geometry.columns) != (spec.rows, spec.columns) {
        return Err(SimError::Geometry {
            mapping_rows: geometry.rows,
            mapping_columns: geometry.columns,
            spec: spec.name.clone(),
            rows: spec.rows,
            columns: spec.columns,
        });
    }
    verify(mapping).map_err(|violation| SimError::Mapping(Box::new(violation)))
}

/// Multiplies on the tiles of a mapping, and counts what happens there.
///
/// Per tile and bit-plane the lines ([`Tile::lines`]) whose activation has the bit are gathered into
/// groups by [`InputControl::groups`]; the engine converts every group, and codes are added up with the
/// weight of the bit-plane, negated for a group of negative lines. Of the raw sum R of a column,
/// and the digital S = Σ sign·a over the entries, a product of weights ±1 is 2·R − S. In an inverted
/// column a conversion of n rows counts n − code; as those n add up to S just as the codes do to R,
/// its product is 2·(S − R) − S = −(2·R − S). The product of a digital column is the sum of all
/// activations of its matrix, or minus that.
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
    /// Activations of the lines.
    sums: Vec<u32>,
    /// The active lines.
    active: Vec<u32>,
    /// Their physical rows.
    rows: Vec<u32>,
    groups: Groups,
    /// Per column: ones, codes and the raw sum.
    ones: Vec<u8>,
    codes: Vec<u8>,
    raw: Vec<i32>,
}

impl<'a, E: Engine> Mapped<'a, E> {
    /// Multiplies as `plan` says, with conversions by `engine`; starts at image 0.
    pub fn new(plan: &'a Plan, engine: E) -> Self {
        let most = |len: fn(&TilePlan) -> usize| plan.tiles.iter().map(len).max().unwrap_or(0);
        let lines = most(|tile| tile.lines.scan.len());
        let columns = most(|tile| tile.columns.len());
        let scratch = Scratch {
            sums: vec![0; lines],
            active: vec![0; lines],
            rows: vec![0; lines],
            groups: Groups::default(),
            ones: vec![0; columns],
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
        let columns = tile.columns.len();
        let Scratch { sums, active, rows, groups, ones, codes, raw } = &mut self.scratch;
        tile.lines.add_up(&tile.rows, activations, sums);
        let scan = &tile.lines.scan;
        let (ones, codes) = (&mut ones[..columns], &mut codes[..columns]);
        let raw = &mut raw[..columns];
        raw.fill(0);
        let mut digital = 0;
        let mut events = Events::default();
        for plane in 0..tile.planes {
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
                tile.count_ones(rows, ones);
                let (image, position, group) = (self.image, position as u32, group as u32);
                let conversion = Conversion { tile: id, image, position, plane, group, rows, ones };
                self.engine.convert(&conversion, codes);
                let weight = if is_negative { -(1 << plane) } else { 1 << plane };
                for (raw, &code) in raw.iter_mut().zip(&*codes) {
                    *raw += weight * i32::from(code);
                }
                digital += weight * rows.len() as i32;
            }
            events.groups += groups.len() as u64;
            events.rows_on += count as u64;
        }
        for (column, &raw) in tile.columns.iter().zip(&*raw) {
            let product = 2 * raw - digital;
            products[column.logical as usize] += if column.inverted { -product } else { product };
        }
        events.conversions = events.groups * columns as u64;
        events
    }
}

impl<E: Engine> Multiply for Mapped<'_, E> {
    fn multiply(&mut self, matrix: usize, position: usize, activations: &[u8], sums: &mut [i32]) {
        sums.fill(0);
        let plan = self.plan;
        for &tile in plan.tiles_at(matrix, position) {
            let events = self.multiply_tile(tile, position, activations, sums);
            self.events[matrix] += events;
        }
        let digital = &plan.matrices[matrix].digital;
        if !digital.is_empty() {
            let sum: i32 = activations.iter().copied().map(i32::from).sum();
            for column in digital {
                sums[column.logical as usize] = if column.negative { -sum } else { sum };
            }
        }
    }
}
