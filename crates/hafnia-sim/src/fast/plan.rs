//! [`Layout`]: a network and its mapping laid out for a run, and every choice that does not depend on
//! the image; shared by all threads and chips.

use std::sync::Arc;

use hafnia_cim::{InputControl, MacroSpec};
use hafnia_ir::{Mapping, Matrix, Planes, Tile, TileId, prove};
use hafnia_model::{Layer, MatrixLayer, Network, Padding, Shape, Thresholds};

use crate::fast::codes::{Cells, TileCells};
use crate::fast::groups::slices::{Counted, Scanned, SliceGrouper, largest_product};
use crate::fast::lines::Replica;
use crate::fast::lines::patches::{LineBits, Windows};
use crate::fast::sums::packed::{Levels, Outputs, Packed};
use crate::fast::sums::sliced::Sliced;
use crate::mapped::{Plan, TilePlan};
use crate::paths::{Path, Why};

/// Everything a run reads that no noise changes.
#[derive(Debug, Clone)]
pub(crate) struct Layout<'a> {
    pub(crate) network: &'a Network,
    /// The layers that do something, of a network of the plainest kind whose activations are scanned
    /// as they are; the interpreter walks others.
    pub(crate) steps: Option<Vec<Step>>,
    /// One a matrix.
    pub(crate) matrices: Vec<MatrixLayout>,
    /// One a tile; none if there is no mapping.
    pub(crate) tiles: Vec<TileLayout>,
    pub(crate) cells: Cells,
    pub(crate) plan: Option<Arc<Plan>>,
}

/// How a matrix is multiplied, chosen once a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// The network's own product; nothing happens on macros.
    Reference,
    /// The network's own product; groups are counted.
    Product,
    /// The network's own product; groups are listed, and what codes are off by corrects it.
    Corrected,
    /// Groups are listed, and codes are added up.
    Converted,
}

impl From<Path> for Strategy {
    fn from(path: Path) -> Self {
        match path {
            Path::Reference => Self::Reference,
            Path::Product => Self::Product,
            Path::Corrected => Self::Corrected,
            Path::Converted(_) | Path::Scalar(_) => Self::Converted,
        }
    }
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
    pub(crate) windows: Windows,
    /// What is put around the activations before the windows see them.
    pub(crate) frame: Option<Frame>,
    /// What is scanned where that is not the bits of the activations.
    pub(crate) coded: Option<Coded>,
    /// Bits of the logical rows in order, without dead ones.
    pub(crate) natural: LineBits,
    pub(crate) sums: Sums,
    pub(crate) levels: Levels,
    /// Its tiles.
    pub(crate) tiles: Vec<TileId>,
}

/// Activations that are coded before they are scanned.
#[derive(Debug, Clone)]
pub(crate) struct Coded {
    /// By activation.
    pub(crate) codes: Vec<u8>,
    /// Over the bit-planes of codes.
    pub(crate) windows: Windows,
}

/// Padding whose level, or the code of it, is not 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) padding: Padding,
    pub(crate) level: u8,
}

/// How its product is computed.
#[derive(Debug, Clone)]
pub(crate) enum Sums {
    /// For all positions at once.
    Sliced(Sliced),
    /// A row of positions after the other.
    Packed(Packed),
}

/// A tile of the mapping.
#[derive(Debug, Clone)]
pub(crate) struct TileLayout {
    /// Index of its matrix.
    pub(crate) matrix: usize,
    /// Where its lines come from; none where activations are added up before they are a line.
    pub(crate) rows: Option<LineBits>,
    /// Whether it scans what is [coded](MatrixLayout::coded).
    pub(crate) is_coded: bool,
    pub(crate) grouper: Grouper,
    /// What the bit-planes of its scan count.
    pub(crate) factors: Vec<i32>,
    pub(crate) outputs: Outputs,
}

/// How the groups of a tile are formed.
#[derive(Debug, Clone)]
pub(crate) enum Grouper {
    /// For all positions at once.
    Slices(SliceGrouper),
    /// Position by position: the next active lines share a group whatever they are.
    Unshared,
    /// Position by position, by [`InputControl::groups`].
    Any,
}

impl<'a> Layout<'a> {
    /// Lays out a network without a mapping.
    pub(crate) fn of_network(network: &'a Network) -> Self {
        Self::with_products(network, |_| (&[], None), |_| Some(0))
    }

    /// Lays out a network whose matrices have these dead rows and these codes of inputs, and sums, with
    /// any errors, of up to ±`largest`, or are not to be computed in slices.
    fn with_products<'d>(
        network: &'a Network,
        held: impl Fn(usize) -> (&'d [u32], Option<Planes>),
        largest: impl Fn(usize) -> Option<usize>,
    ) -> Self {
        let is_coded = (0..network.matrices().len()).any(|matrix| held(matrix).1.is_some());
        let steps = (network.is_plain() && !is_coded).then(|| steps(network));
        let pool = |steps: &[Step], index: usize| {
            let of = |step: &Step| match step.what {
                What::Matrix { matrix, pool } if matrix == index => Some(pool),
                _ => None,
            };
            steps.iter().find_map(of).expect("every matrix is a step")
        };
        let layout = |(index, matrix): (usize, MatrixLayer<'_>)| {
            let is_sliced = steps.as_ref().is_some_and(|steps| pool(steps, index) <= 2);
            let largest = largest(index).filter(|_| is_sliced);
            // Where the interpreter walks, sums stay sums.
            let thresholds = matrix.thresholds.filter(|_| steps.is_some());
            MatrixLayout::new(network, &matrix, held(index), largest, thresholds)
        };
        let matrices = network.matrices().into_iter().enumerate().map(layout);
        Self {
            network,
            matrices: matrices.collect(),
            steps,
            tiles: Vec::new(),
            cells: Cells::default(),
            plan: None,
        }
    }

    /// Lays out a network with its mapping, whose plan this is.
    pub(crate) fn of_mapping(
        network: &'a Network,
        mapping: &Mapping,
        plan: &Arc<Plan>,
        spec: &MacroSpec,
    ) -> Result<Self, Why> {
        let lines = |tile: &TilePlan| tile.lines.scan.len();
        if let Some(most) = plan.tiles.iter().map(lines).find(|&most| most >= usize::from(u16::MAX))
        {
            return Err(Why::Lines(most));
        }
        let largest = |matrix: usize| {
            let of = &mapping.matrices[matrix];
            if !of.coding.is_binary() || of.inputs.is_some() {
                return None;
            }
            let mut of_replicas = vec![0; plan.replicas(matrix)];
            for (id, tile) in mapping.tiles().filter(|(_, tile)| tile.matrix.index() == matrix) {
                let planned = &plan.tiles[id.index()];
                if !is_one_to_one(planned) {
                    return None;
                }
                let most: i32 = planned.planes.factors().iter().sum();
                of_replicas[tile.replica as usize] +=
                    largest_product(&planned.lines.scan, spec) * most as usize;
            }
            of_replicas.into_iter().max()
        };
        let layers = network.matrices();
        let held = |matrix: usize| {
            let of = &mapping.matrices[matrix];
            (plan.dead(matrix), of.inputs.is_some().then(|| of.planes(&layers[matrix])))
        };
        let mut layout = Self::with_products(network, held, largest);
        layout.cells = Cells {
            tiles: Vec::new(),
            slots: spec.rows_per_conversion,
            top_level: (1 << spec.cell.bits_per_cell) - 1,
            is_proved: prove(mapping, network).is_ok(),
        };
        for (id, tile) in mapping.tiles() {
            let (matrix, planned) = (tile.matrix.index(), &plan.tiles[id.index()]);
            let of = &mut layout.matrices[matrix];
            of.tiles.push(id);
            let replica = Replica { index: tile.replica as usize, count: plan.replicas(matrix) };
            let coded = &mapping.matrices[matrix];
            layout.tiles.push(TileLayout::new(of, coded, tile, planned, spec, replica));
            let cell_bits = spec.cell.bits_per_cell;
            layout.cells.tiles.push(TileCells::new(tile, cell_bits, &planned.lines.scan));
        }
        layout.plan = Some(Arc::clone(plan));
        Ok(layout)
    }
}

/// Whether every line is a row of the matrix.
fn is_one_to_one(planned: &TilePlan) -> bool {
    planned.lines.scan.len() == planned.rows.len()
}

impl TileLayout {
    fn new(
        of: &MatrixLayout,
        coded: &Matrix,
        tile: &Tile,
        planned: &TilePlan,
        spec: &MacroSpec,
        replica: Replica,
    ) -> Self {
        let (scan, slots) = (&planned.lines.scan, spec.rows_per_conversion);
        let is_one_to_one = is_one_to_one(planned);
        let rows = || planned.rows.logical().iter().map(|&row| row as usize);
        let is_unshared = is_one_to_one
            && spec.input_control == InputControl::OrderedScan
            && !planned.rows.has_shared_rows()
            && scan.iter().all(|line| !line.negative);
        let grouper = match &of.sums {
            Sums::Sliced(sliced) => {
                let streams = &sliced.streams;
                let taps = streams.taps(&of.windows, rows());
                Grouper::Slices(if is_unshared {
                    let counted = Counted::new(streams, taps, scan.len(), slots, replica);
                    SliceGrouper::Counted(counted)
                } else {
                    SliceGrouper::Scanned(Scanned::new(streams, taps, scan, spec, replica))
                })
            }
            Sums::Packed(_) if is_unshared => Grouper::Unshared,
            Sums::Packed(_) => Grouper::Any,
        };
        Self {
            matrix: tile.matrix.index(),
            rows: is_one_to_one.then(|| LineBits::new(&of.windows, rows())),
            grouper,
            is_coded: planned.planes.codes().is_some(),
            factors: planned.planes.factors().to_vec(),
            outputs: Outputs::new(
                coded,
                tile,
                spec.cell.bits_per_cell,
                planned.planes.owed(),
                replica,
            ),
        }
    }
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
            Layer::MaxPool(window) => match steps.last_mut() {
                Some(Step { layer: last, what: What::Matrix { pool, .. } })
                    if *last + 1 == layer && *pool == 1 =>
                {
                    *pool = window.kernel.0;
                }
                _ => {
                    let input = network.shape_before(layer);
                    steps.push(Step { layer, what: What::Pool { size: window.kernel.0, input } });
                }
            },
            _ => {}
        }
    }
    steps
}

impl MatrixLayout {
    /// Lays out a matrix but for its `dead` rows, its inputs as `planes` say, in slices if its sums, with any errors, are up to
    /// ±`largest` and that suits them.
    fn new(
        network: &Network,
        matrix: &MatrixLayer<'_>,
        (dead, planes): (&[u32], Option<Planes>),
        largest: Option<usize>,
        thresholds: Option<&Thresholds>,
    ) -> Self {
        let mut input = network.shape_before(matrix.layer);
        let output = network.shape_after(matrix.layer);
        let (mut frame, bits) = (None, matrix.input_bits);
        let windows = match &network.layers()[matrix.layer] {
            Layer::Conv(conv) => {
                input.channels /= conv.groups;
                let mut window = conv.window;
                let level = -matrix.lowest as u8;
                let code = planes.as_ref().map_or(0, |planes| planes.code(level.into()));
                if (level, code) != (0, 0) && window.padding != Padding::default() {
                    let padding = std::mem::take(&mut window.padding);
                    input.height += padding.top + padding.bottom;
                    input.width += padding.left + padding.right;
                    frame = Some(Frame { padding, level });
                }
                Windows::of_window(&window, input, (output.height, output.width), bits)
            }
            _ => Windows::of_vector(input.len(), bits),
        };
        let (weights, columns) = (matrix.weights, matrix.weights.columns());
        let none = Thresholds::new(0, Vec::new());
        let thresholds = thresholds.unwrap_or(&none);
        let is_held = |row: &usize| dead.binary_search(&(*row as u32)).is_err();
        let rows: Vec<usize> = (0..weights.rows()).filter(is_held).collect();
        let sliced =
            largest.and_then(|most| Sliced::new(&windows, weights, &rows, thresholds, most));
        let sums = match sliced {
            Some(sliced) => Sums::Sliced(sliced),
            None => Sums::Packed(Packed::new(weights, &rows)),
        };
        let coded = |planes: Planes| {
            let windows = windows.with_planes(planes.factors().len());
            planes.codes().map(|codes| Coded { codes: codes.to_vec(), windows })
        };
        Self {
            coded: planes.and_then(coded),
            natural: LineBits::new(&windows, rows),
            sums,
            levels: Levels::new(thresholds, columns),
            windows,
            frame,
            tiles: Vec::new(),
        }
    }

    /// Activations that leave it through a pool window.
    pub(crate) fn activations(&self, pool: usize) -> usize {
        self.levels.columns * (self.windows.height / pool) * (self.windows.width / pool)
    }
}
