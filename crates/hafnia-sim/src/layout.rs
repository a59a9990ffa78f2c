//! [`Layout`]: a network and its mapping laid out for the kernels; shared by all threads and chips.

use std::sync::Arc;

use hafnia_cim::{InputControl, MacroSpec};
use hafnia_ir::{Mapping, TileId, prove};
use hafnia_model::{Layer, MatrixLayer, Network, Shape, Thresholds};
use hafnia_simd::LANES;

use crate::mapped::Plan;
use crate::packed::PackedMatrix;
use crate::paths::Why;
use crate::scanned::{Scanned, largest_product};
use crate::sliced::{Counted, Sliced};
use crate::windows::{LineBits, Windows};

/// Everything the kernels read that no noise changes.
#[derive(Debug, Clone)]
pub(crate) struct Layout<'a> {
    pub(crate) network: &'a Network,
    /// The layers that do something.
    pub(crate) steps: Vec<Step>,
    /// One a matrix.
    pub(crate) matrices: Vec<MatrixLayout>,
    /// One a tile; none if there is no mapping.
    pub(crate) tiles: Vec<TileLayout>,
    pub(crate) plan: Option<Arc<Plan>>,
    /// Rows a conversion may have.
    pub(crate) slots: usize,
    /// Whether the mapping holds every weight of the network once, so that conversions without
    /// error give the network's sums.
    pub(crate) is_proved: bool,
    /// Whether there are rows in no tile: they are never on, unless noise in a matrix before them
    /// turns them on.
    pub(crate) has_dead_rows: bool,
}

/// A step of the walk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// The layer of the network.
    pub(crate) layer: usize,
    pub(crate) what: What,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    /// A product with a matrix, and the pool window after it.
    Matrix { matrix: usize, pool: usize },
    /// A pool that no matrix comes before.
    Pool { size: usize, input: Shape },
}

/// A matrix of the network.
#[derive(Debug, Clone)]
pub(crate) struct MatrixLayout {
    /// Its layer of the network.
    pub(crate) layer: usize,
    pub(crate) windows: Windows,
    /// Bits of the logical rows in order.
    pub(crate) natural: LineBits,
    pub(crate) packed: PackedMatrix,
    /// How its product is computed for all positions at once, if that suits it.
    pub(crate) sliced: Option<Sliced>,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Vectors of columns.
    pub(crate) blocks: usize,
    /// Thresholds of a column; 0 for the last matrix.
    pub(crate) levels: usize,
    /// (column, level).
    pub(crate) thresholds: Vec<i32>,
    /// (block, level): the same in vectors, out of reach where there is no column.
    pub(crate) threshold_lanes: Vec<[i32; LANES]>,
    /// Its tiles.
    pub(crate) tiles: Vec<TileId>,
}

/// A tile of the mapping.
#[derive(Debug, Clone)]
pub(crate) struct TileLayout {
    /// Where its lines come from; none where activations are added up before they are a line.
    pub(crate) bits: Option<LineBits>,
    /// Lines of a scan. As a number of a line, the one that is never on.
    pub(crate) lines: usize,
    /// Whether the next active lines share a group whatever they are.
    pub(crate) is_plain: bool,
    /// Where lines share word lines and nothing else decides groups, for every line those that are on
    /// the same word line, a bit each.
    pub(crate) shared: Option<Vec<[u64; SHARED_WORDS]>>,
    /// Whether its lines are all logical rows of its matrix, in any order.
    pub(crate) is_whole: bool,
    /// Whether they are in the natural order too.
    pub(crate) is_natural: bool,
    /// How its groups are found for all positions at once, if the matrix is sliced and its lines are
    /// rows of it.
    pub(crate) groups: Option<SlicedGroups>,
    /// Of its scan.
    pub(crate) planes: usize,
    pub(crate) columns: usize,
    pub(crate) blocks: usize,
    /// Its number among the replicas, and theirs.
    pub(crate) replica: (usize, usize),
    /// The physical row of every line.
    pub(crate) physical: Vec<u32>,
    /// (line, block): programmed bits, a byte each; 0 in the line that is never on.
    pub(crate) ones: Vec<[u8; LANES]>,
    /// (column, word of lines): programmed bits.
    pub(crate) weights: Vec<u64>,
    /// Per column the logical one, and 1, or −1 if it is inverted.
    pub(crate) logical: Vec<(usize, i32)>,
    /// (block): the signs of `logical`, if its columns are in order and start where a vector of the
    /// matrix does; and that vector.
    pub(crate) aligned: Option<(usize, Vec<[i32; LANES]>)>,
}

/// How the groups of a tile are found in slices.
#[derive(Debug, Clone)]
pub(crate) enum SlicedGroups {
    /// Nothing but the number of active lines decides them.
    Counted(Counted),
    /// Line by line.
    Scanned(Scanned),
}

/// Words of 64 lines of a tile with shared rows that is scanned in bits.
pub(crate) const SHARED_WORDS: usize = 4;

impl<'a> Layout<'a> {
    /// Lays out a network without a mapping, if kernels suit every layer.
    pub(crate) fn of_network(network: &'a Network) -> Result<Self, Why> {
        Self::of_sums(network, |_| 0)
    }

    /// Lays out a network whose matrices have sums, with any errors, of up to ±`largest`.
    fn of_sums(network: &'a Network, largest: impl Fn(usize) -> usize) -> Result<Self, Why> {
        let matrices = network.matrices().into_iter().enumerate();
        let layouts =
            matrices.map(|(index, matrix)| MatrixLayout::new(network, &matrix, largest(index)));
        Ok(Self {
            network,
            steps: steps(network),
            matrices: layouts.collect::<Result<_, _>>()?,
            tiles: Vec::new(),
            plan: None,
            slots: 1,
            is_proved: false,
            has_dead_rows: false,
        })
    }

    /// Lays out a network with its mapping, whose plan this is.
    pub(crate) fn of_mapping(
        network: &'a Network,
        mapping: &Mapping,
        plan: &Arc<Plan>,
        spec: &MacroSpec,
    ) -> Result<Self, Why> {
        // Slices and levels are for the engines themselves.
        if let Some(of) = mapping.matrices.iter().find(|of| of.weight_bits > 1) {
            return Err(Why::WeightBits(of.weight_bits));
        }
        if mapping.geometry.cell_bits > 1 {
            return Err(Why::CellBits(mapping.geometry.cell_bits));
        }
        let largest = |matrix: usize| {
            let mut of_replicas = vec![0; plan.replicas(matrix)];
            for (id, tile) in mapping.tiles().filter(|(_, tile)| tile.matrix.index() == matrix) {
                let planned = &plan.tiles[id.index()];
                of_replicas[tile.replica as usize] +=
                    largest_product(&planned.lines.scan, spec) * ((1 << planned.planes) - 1);
            }
            of_replicas.into_iter().max().unwrap_or(0)
        };
        let mut layout = Self::of_sums(network, largest)?;
        for (id, tile) in mapping.tiles() {
            let matrix = tile.matrix.index();
            let replicas = plan.replicas(matrix);
            let of = &mut layout.matrices[matrix];
            of.tiles.push(id);
            let planned = &plan.tiles[id.index()];
            let lines = &planned.lines.scan;
            if lines.len() >= usize::from(u16::MAX) {
                return Err(Why::Lines(lines.len()));
            }
            let mut physical: Vec<u32> = lines.iter().map(|line| line.physical).collect();
            let blocks = tile.bits.columns().div_ceil(LANES);
            let mut ones = vec![[0; LANES]; (lines.len() + 1) * blocks];
            for (line, &row) in physical.iter().enumerate() {
                for column in 0..tile.bits.columns() {
                    ones[line * blocks + column / LANES][column % LANES] =
                        u8::from(tile.bits.get(row as usize, column));
                }
            }
            let words = lines.len().div_ceil(64);
            let mut weights = vec![0; tile.bits.columns() * words];
            for (line, &row) in physical.iter().enumerate() {
                for column in 0..tile.bits.columns() {
                    weights[column * words + line / 64] |=
                        u64::from(tile.bits.get(row as usize, column)) << (line % 64);
                }
            }
            let is_one_to_one = lines.len() == planned.rows.len();
            let rows = planned.rows.logical().iter().map(|&row| row as usize);
            let bits = is_one_to_one.then(|| LineBits::new(&of.windows, rows));
            let is_signed = lines.iter().any(|line| line.negative);
            let logical = tile
                .columns
                .iter()
                .map(|column| (column.logical as usize, if column.inverted { -1 } else { 1 }));
            let logical: Vec<(usize, i32)> = logical.collect();
            let aligned = aligned(&logical);
            let is_ordered = spec.input_control == InputControl::OrderedScan && !is_signed;
            let is_plain = is_ordered && is_one_to_one && !planned.rows.has_shared_rows();
            let shared = (is_ordered && !is_plain).then(|| same_rows(&physical)).flatten();
            let replica = (tile.replica as usize, replicas);
            let groups = |sliced: &Sliced| {
                let rows = planned.rows.logical().iter().map(|&row| row as usize);
                let (windows, slots) = (&of.windows, spec.rows_per_conversion);
                if is_plain {
                    SlicedGroups::Counted(sliced.counted(windows, rows, slots, replica))
                } else {
                    let control = (spec.input_control, slots);
                    let rows = (rows, &lines[..]);
                    SlicedGroups::Scanned(Scanned::new(sliced, windows, rows, control, replica))
                }
            };
            let groups = of.sliced.as_ref().filter(|_| is_one_to_one).map(groups);
            layout.tiles.push(TileLayout {
                groups,
                is_whole: is_one_to_one && lines.len() == of.rows,
                is_natural: bits.as_ref() == Some(&of.natural),
                bits,
                lines: lines.len(),
                is_plain,
                shared,
                planes: planned.planes.into(),
                columns: tile.bits.columns(),
                blocks,
                replica,
                physical: std::mem::take(&mut physical),
                ones,
                weights,
                logical,
                aligned,
            });
        }
        layout.plan = Some(Arc::clone(plan));
        layout.slots = spec.rows_per_conversion;
        layout.is_proved = prove(mapping, network).is_ok();
        layout.has_dead_rows = mapping.matrices.iter().any(|of| !of.dead.is_empty());
        Ok(layout)
    }
}

/// For every line those of the same physical row, if that many can be told.
fn same_rows(physical: &[u32]) -> Option<Vec<[u64; SHARED_WORDS]>> {
    let of_row = |&row: &u32| {
        let mut same = [0; SHARED_WORDS];
        for (line, _) in physical.iter().enumerate().filter(|&(_, &other)| other == row) {
            same[line / 64] |= 1 << (line % 64);
        }
        same
    };
    (physical.len() <= 64 * SHARED_WORDS).then(|| physical.iter().map(of_row).collect())
}

/// Where columns in order that start with a vector start, and their signs.
fn aligned(logical: &[(usize, i32)]) -> Option<(usize, Vec<[i32; LANES]>)> {
    let first = logical.first()?.0;
    let is_in_order =
        logical.iter().zip(first..).all(|(&(column, _), expected)| column == expected);
    if !is_in_order || !first.is_multiple_of(LANES) {
        return None;
    }
    let mut signs = vec![[0; LANES]; logical.len().div_ceil(LANES)];
    for (index, &(_, sign)) in logical.iter().enumerate() {
        signs[index / LANES][index % LANES] = sign;
    }
    Some((first / LANES, signs))
}

/// The layers that do something; a pool right after a matrix belongs to it.
fn steps(network: &Network) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut matrix = 0;
    for (layer, of) in network.layers().iter().enumerate() {
        match of {
            Layer::Conv(_) | Layer::Linear(_) => {
                steps.push(Step { layer, what: What::Matrix { matrix, pool: 1 } });
                matrix += 1;
            }
            Layer::MaxPool { size } => match steps.last_mut() {
                Some(Step { layer: last, what: What::Matrix { pool, .. } })
                    if *last + 1 == layer && *pool == 1 =>
                {
                    *pool = *size;
                }
                _ => {
                    let input = network.shape_before(layer);
                    steps.push(Step { layer, what: What::Pool { size: *size, input } });
                }
            },
            Layer::Flatten => {}
        }
    }
    steps
}

impl MatrixLayout {
    fn new(network: &Network, matrix: &MatrixLayer<'_>, largest: usize) -> Result<Self, Why> {
        let input = network.shape_before(matrix.layer);
        let output = network.shape_before(matrix.layer + 1);
        let windows = match &network.layers()[matrix.layer] {
            Layer::Conv(conv) => Windows::of_conv(conv, input, output, matrix.input_bits)?,
            _ => Windows::of_vector(input.len(), matrix.input_bits),
        };
        let (rows, columns) = (matrix.weights.rows(), matrix.weights.columns());
        let blocks = columns.div_ceil(LANES);
        let none = Thresholds { levels: 0, values: Vec::new() };
        let Thresholds { levels, values } = matrix.thresholds.unwrap_or(&none);
        let mut threshold_lanes = vec![[i32::MAX; LANES]; blocks * levels];
        for (index, &value) in values.iter().enumerate() {
            let (column, level) = (index / levels, index % levels);
            threshold_lanes[column / LANES * levels + level][column % LANES] = value;
        }
        Ok(Self {
            layer: matrix.layer,
            natural: LineBits::new(&windows, 0..rows),
            packed: PackedMatrix::new(matrix.weights),
            sliced: Sliced::new(&windows, matrix.weights, (*levels, values), largest),
            windows,
            rows,
            columns,
            blocks,
            levels: *levels,
            thresholds: values.clone(),
            threshold_lanes,
            tiles: Vec::new(),
        })
    }

    /// Activations that leave it through a pool window.
    pub(crate) fn activations(&self, pool: usize) -> usize {
        self.columns * (self.windows.height / pool) * (self.windows.width / pool)
    }
}
