//! [`Inventory`]: how much of every part a mapping holds and uses, before anything has a price.
//!
//! A macro's row driver, column and converter belong to the tiles that use them, in equal shares;
//! its control to its tiles by their cells; what no tile uses is spare. The shares of all tiles and
//! the spare parts so add up to whole macros. A converter has `columns_per_adc` columns that lie
//! side by side; a cell holds one or two bits. Before a mapping is placed, every tile has a macro of its own, cut to its size.
//!
//! Cost: one look at every row, column and converter of a tile.

use hafnia_cim::{Adc, MacroSpec};
use hafnia_ir::{Geometry, Mapping, Matrix, Tile};
use hafnia_model::Network;
use hafnia_sim::{EventCounts, TileEvents};

use crate::calibration::adder_bits;
use crate::error::CostError;

/// Amounts of a mapping, a mean image at a time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Inventory {
    pub(crate) images: u64,
    /// Macros; before a mapping is placed, its tiles.
    pub(crate) macros: usize,
    pub(crate) layers: Vec<Layer>,
    pub(crate) tiles: Vec<TileAmounts>,
    /// What no tile uses.
    pub(crate) spare: Parts,
    /// The converter of the macro.
    pub(crate) adc: Adc,
    /// G_LRS / G_HRS of its cells.
    pub(crate) on_off_ratio: f64,
}

/// Amounts of a matrix that no tile has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer {
    pub(crate) name: String,
    /// 1x1-bit operations of its weights, whether or not their input is 0.
    pub(crate) network_ops: f64,
}

/// Parts that take area.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Parts {
    pub(crate) cells: f64,
    pub(crate) rows: f64,
    pub(crate) columns: f64,
    pub(crate) adcs: f64,
    pub(crate) macros: f64,
    pub(crate) table_bits: f64,
}

/// Amounts of a tile; events are those of a mean image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TileAmounts {
    pub(crate) matrix: usize,
    pub(crate) macro_index: usize,
    pub(crate) parts: Parts,
    /// Columns converted one after the other in a group: the most that share a converter.
    pub(crate) multiplexed: f64,
    /// Cells in LRS that were read; one of a level between counts as the share of LRS that it conducts
    /// above HRS.
    pub(crate) lrs_reads: f64,
    /// Cells in HRS that were read, and the other shares.
    pub(crate) hrs_reads: f64,
    pub(crate) conversions: f64,
    /// Cells on the word lines that were turned on, those of the whole macro.
    pub(crate) line_cells: f64,
    pub(crate) groups: f64,
    pub(crate) full_groups: f64,
    pub(crate) scans: f64,
    pub(crate) add_bits: f64,
    pub(crate) table_reads_bits: f64,
    /// 1x1-bit operations of the rows that were on.
    pub(crate) ops: f64,
}

impl Inventory {
    /// Of a mapping and what was counted while it ran, on macros of `spec` of whose columns so many
    /// share a converter.
    pub(crate) fn of(
        network: &Network,
        mapping: &Mapping,
        spec: &MacroSpec,
        columns_per_adc: usize,
        counts: &EventCounts,
    ) -> Result<Self, CostError> {
        let (tiles, images) = (mapping.tiles.len(), counts.images);
        let counted = counts.tiles.len();
        if counted != tiles || images == 0 {
            return Err(CostError::Tally { counted, images, tiles });
        }
        let matrices = network.matrices();
        let planes = |matrix: &Matrix, layer| matrix.planes(layer).factors().to_vec();
        let layers = matrices.iter().zip(&mapping.matrices).map(|(layer, matrix)| {
            let (rows, columns) = (matrix.rows as f64, matrix.columns as f64);
            let positions = layer.positions as f64;
            Layer {
                name: matrix.name.clone(),
                network_ops: 2.0 * rows * columns * positions * planes(matrix, layer).len() as f64,
            }
        });
        let floor = Floor::of(mapping, spec, columns_per_adc);
        let amounts = mapping.tiles.iter().zip(&counts.tiles).enumerate();
        let amounts = amounts.map(|(index, (tile, events))| {
            let of = tile.matrix.index();
            let planes = planes(&mapping.matrices[of], &matrices[of]);
            let largest = planes.iter().map(|factor| factor.unsigned_abs()).sum();
            let on = Site { spec, geometry: &mapping.geometry, parts: floor.parts(index, tile) };
            TileAmounts::of(tile, events, images as f64, largest, on)
        });
        let tiles = amounts.collect();
        Ok(Self {
            images,
            macros: floor.macros.len(),
            layers: layers.collect(),
            tiles,
            spare: floor.spare(mapping),
            adc: spec.adc,
            on_off_ratio: spec.cell.on_off_ratio,
        })
    }
}

/// The macros with the tiles that use each of their parts.
struct Floor<'a> {
    geometry: &'a Geometry,
    /// Rows and columns of a macro; none where every tile has one of its own.
    whole: Option<(usize, usize)>,
    columns_per_adc: usize,
    macros: Vec<Users>,
}

/// How many tiles use each part of a macro.
#[derive(Default)]
struct Users {
    rows: Vec<u32>,
    columns: Vec<u32>,
    adcs: Vec<u32>,
    cells: usize,
}

impl<'a> Floor<'a> {
    fn of(mapping: &'a Mapping, spec: &MacroSpec, columns_per_adc: usize) -> Self {
        let is_placed = mapping.tiles.iter().all(|tile| tile.place.is_some());
        let whole = is_placed.then_some((spec.rows, spec.columns));
        let geometry = &mapping.geometry;
        let mut floor = Self { geometry, whole, columns_per_adc, macros: Vec::new() };
        for (index, tile) in mapping.tiles.iter().enumerate() {
            let (index, rows, columns) = floor.place(index, tile);
            let adcs = columns.start / columns_per_adc..columns.end.div_ceil(columns_per_adc);
            let (high, wide) = whole.unwrap_or((rows.end, columns.end));
            while floor.macros.len() <= index {
                floor.macros.push(Users::default());
            }
            let users = &mut floor.macros[index];
            users.rows.resize(high, 0);
            users.columns.resize(wide, 0);
            users.adcs.resize(wide.div_ceil(columns_per_adc), 0);
            rows.for_each(|row| users.rows[row] += 1);
            columns.for_each(|column| users.columns[column] += 1);
            adcs.for_each(|adc| users.adcs[adc] += 1);
            users.cells += floor.geometry.width(tile) * tile.physical_rows();
        }
        floor
    }

    /// Macro, rows and columns of a tile.
    fn place(
        &self,
        index: usize,
        tile: &Tile,
    ) -> (usize, std::ops::Range<usize>, std::ops::Range<usize>) {
        let (index, row, column) = match tile.place {
            Some(place) if self.whole.is_some() => {
                (place.macro_index as usize, place.row as usize, place.column as usize)
            }
            _ => (index, 0, 0),
        };
        (index, row..row + tile.physical_rows(), column..column + self.geometry.width(tile))
    }

    /// What a tile uses: macro, columns that take turns, and its share of every part.
    fn parts(&self, index: usize, tile: &Tile) -> (usize, usize, Parts) {
        let (index, rows, columns) = self.place(index, tile);
        let (users, size) = (&self.macros[index], self.columns_per_adc);
        let cells = rows.len() * columns.len();
        let share = |users: &[u32]| users.iter().map(|&users| 1.0 / f64::from(users)).sum();
        let adcs = columns.start / size..columns.end.div_ceil(size);
        let of = |adc: usize| columns.end.min((adc + 1) * size) - columns.start.max(adc * size);
        let parts = Parts {
            cells: cells as f64,
            rows: share(&users.rows[rows]),
            columns: share(&users.columns[columns.clone()]),
            adcs: share(&users.adcs[adcs.clone()]),
            macros: cells as f64 / users.cells as f64,
            table_bits: tile.table_bits() as f64,
        };
        (index, adcs.map(of).max().unwrap_or(0), parts)
    }

    fn spare(&self, mapping: &Mapping) -> Parts {
        let Some((rows, columns)) = self.whole else { return Parts::default() };
        let unused = |part: fn(&Users) -> &Vec<u32>| {
            let none = |users: &Users| part(users).iter().filter(|&&users| users == 0).count();
            self.macros.iter().map(none).sum::<usize>() as f64
        };
        Parts {
            cells: (self.macros.len() * rows * columns - mapping.cells()) as f64,
            rows: unused(|users| &users.rows),
            columns: unused(|users| &users.columns),
            adcs: unused(|users| &users.adcs),
            macros: 0.0,
            table_bits: 0.0,
        }
    }
}

/// Where a tile lies, and what it uses there: macro, columns that take turns, parts.
struct Site<'a> {
    spec: &'a MacroSpec,
    geometry: &'a Geometry,
    parts: (usize, usize, Parts),
}

impl TileAmounts {
    /// `largest` is what the bit-planes of an activation count at most, whatever their sign.
    fn of(tile: &Tile, events: &TileEvents, images: f64, largest: u32, on: Site<'_>) -> Self {
        let Site { spec, geometry, parts: (macro_index, multiplexed, parts) } = on;
        let per_image = |count: u64| count as f64 / images;
        let (entries, columns) = (tile.rows.len(), geometry.width(tile) as f64);
        let (groups, rows_on) = (per_image(events.groups), per_image(events.rows_on));
        let (positions, top) = (per_image(events.positions), spec.cell.top_level());
        let lrs = per_image(events.levels_on) / top as f64;
        let width = adder_bits(u64::from(largest) * (entries * top) as u64);
        // A code for every conversion and the activations' sum for every group; then 2R - S and the
        // sum over tiles, once a column; and the activations that are added before the scan.
        let before = (entries - tile.lines().scan.len()) as f64;
        let adds = groups * columns + groups + positions * (2.0 * columns + before);
        Self {
            matrix: tile.matrix.index(),
            macro_index,
            parts,
            multiplexed: multiplexed as f64,
            lrs_reads: lrs,
            hrs_reads: rows_on * columns - lrs,
            conversions: groups * columns,
            line_cells: rows_on * spec.columns as f64,
            groups,
            full_groups: per_image(events.full_groups),
            scans: per_image(events.scans),
            add_bits: adds * width,
            table_reads_bits: rows_on * parts.table_bits / entries as f64,
            ops: 2.0 * rows_on * tile.columns.len() as f64,
        }
    }
}
