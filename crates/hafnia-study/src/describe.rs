//! What networks, mappings, profiles and chips are, in short.

use std::collections::HashSet;

use hafnia_artifact::Digest;
use hafnia_cim::CodeTable;
use hafnia_ir::{Mapping, Profile};
use hafnia_model::{Input, Layer, MatrixLayer, Network, Padding, Thresholds, Window};
use hafnia_passes::{Configured, Context, Pipeline, Registry, Size};
use hafnia_rng::Seed;
use hafnia_sim::{Engines, Images, MatrixPath, NoiseScope, Programmed, Reference, SavedChip};
use serde::{Deserialize, Serialize};

use crate::source::MacroSource;

/// What a mapping takes in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Tiles.
    pub tiles: usize,
    /// Logical rows.
    pub logical_rows: usize,
    /// Physical rows.
    pub physical_rows: usize,
    /// Cells.
    pub cells: usize,
    /// Bits of rename tables.
    pub table_bits: usize,
    /// Macros.
    pub macros: usize,
}

/// What a matrix takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatrixSize {
    /// Its name.
    pub name: String,
    /// Its tiles.
    pub tiles: usize,
    /// Logical rows of its tiles.
    pub logical_rows: usize,
    /// Physical rows of its tiles.
    pub physical_rows: usize,
    /// Columns.
    pub columns: usize,
    /// Cells of its tiles.
    pub cells: usize,
    /// Logical rows without cells: their activation is always 0.
    pub dead_rows: Vec<u32>,
}

/// The sizes of a mapping, by matrix and in all.
///
/// Rows are counted once for every tile, so that a matrix cut by columns counts its rows in every
/// part.
pub fn sizes(mapping: &Mapping) -> (Vec<MatrixSize>, Totals) {
    let size = Size::of(mapping);
    let mut matrices = Vec::new();
    for (index, matrix) in mapping.matrices.iter().enumerate() {
        let tiles: Vec<_> = mapping.tiles.iter().filter(|t| t.matrix.index() == index).collect();
        matrices.push(MatrixSize {
            name: matrix.name.clone(),
            tiles: tiles.len(),
            logical_rows: tiles.iter().map(|tile| tile.rows.len()).sum(),
            physical_rows: tiles.iter().map(|tile| tile.physical_rows()).sum(),
            columns: matrix.columns,
            cells: tiles.iter().map(|t| t.physical_rows() * mapping.geometry.width(t)).sum(),
            dead_rows: matrix.dead.clone(),
        });
    }
    let total = Totals {
        tiles: size.tiles,
        logical_rows: matrices.iter().map(|matrix| matrix.logical_rows).sum(),
        physical_rows: size.physical_rows,
        cells: size.cells,
        table_bits: size.table_bits,
        macros: mapping.macros(),
    };
    (matrices, total)
}

/// A network in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkDescription {
    /// The digest of its file.
    pub digest: Digest,
    /// What it takes.
    pub input: Input,
    /// Its layers in order.
    pub layers: Vec<LayerDescription>,
    /// Weights in all.
    pub weights: usize,
    /// Bits of all weights together.
    pub weight_bits: usize,
}

/// A layer in short; 0 or nothing for what a layer without weights does not have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerDescription {
    /// What it is.
    pub layer: String,
    /// Its name.
    pub name: String,
    /// Rows of its matrix.
    pub rows: usize,
    /// Columns of its matrix.
    pub columns: usize,
    /// Bits of a weight.
    pub weight_bits: Option<u8>,
    /// Rows that differ from all before them.
    pub distinct_rows: usize,
    /// Shape of what it returns.
    pub output: String,
    /// Bits of an activation of that.
    pub bits: Option<u8>,
}

/// Describes a network.
pub fn describe_network(network: &Network) -> NetworkDescription {
    let matrices = network.matrices();
    let mut layers = Vec::new();
    for (index, layer) in network.layers().iter().enumerate() {
        let kind = match layer {
            Layer::Conv(conv) => match conv.groups {
                1 => format!("conv {}", window(&conv.window, false)),
                groups => format!("conv {}, {groups} groups", window(&conv.window, false)),
            },
            Layer::Linear(_) => "linear".to_owned(),
            Layer::MaxPool(of) => format!("max-pool {}", window(of, true)),
            Layer::SumPool(of) => format!("sum-pool {}", window(of, true)),
            Layer::Add(factors) => {
                let factors: Vec<String> = factors.iter().map(i32::to_string).collect();
                format!("add, times {}", factors.join(" and "))
            }
            Layer::Concat => "concat".to_owned(),
            Layer::Flatten => "flatten".to_owned(),
            Layer::Activate(_) => "thresholds".to_owned(),
        };
        let kind = match network.from(index) {
            [value] if *value == index => kind,
            from => {
                let from: Vec<String> = from.iter().map(usize::to_string).collect();
                format!("{kind}, of {}", from.join(" and "))
            }
        };
        let matrix = matrices.iter().find(|matrix| matrix.layer == index);
        let distinct = |matrix: &MatrixLayer<'_>| {
            let rows = (0..matrix.weights.rows()).map(|row| matrix.weights.row(row));
            rows.collect::<HashSet<_>>().len()
        };
        layers.push(LayerDescription {
            layer: kind,
            name: layer.name().unwrap_or_default().to_owned(),
            rows: matrix.map_or(0, |matrix| matrix.weights.rows()),
            columns: matrix.map_or(0, |matrix| matrix.weights.columns()),
            weight_bits: matrix.map(|matrix| matrix.weights.bits()),
            distinct_rows: matrix.map_or(0, distinct),
            output: network.shape_after(index).to_string(),
            bits: layer.thresholds().map(Thresholds::bits),
        });
    }
    let weights = |matrix: &MatrixLayer<'_>| matrix.weights.rows() * matrix.weights.columns();
    let bits = |matrix: &MatrixLayer<'_>| weights(matrix) * usize::from(matrix.weights.bits());
    NetworkDescription {
        digest: network.digest(),
        input: network.input().clone(),
        layers,
        weights: matrices.iter().map(weights).sum(),
        weight_bits: matrices.iter().map(bits).sum(),
    }
}

/// A window in short; of a pool only what a plain one does not have.
fn window(window: &Window, is_pool: bool) -> String {
    let &Window { kernel, stride, dilation, padding } = window;
    let pair = |(a, b): (usize, usize)| match a == b {
        true => a.to_string(),
        false => format!("{a}x{b}"),
    };
    let mut text = format!("{}x{}", kernel.0, kernel.1);
    if !(is_pool && stride == kernel) {
        text += &format!(", stride {}", pair(stride));
    }
    if dilation != (1, 1) {
        text += &format!(", dilation {}", pair(dilation));
    }
    let Padding { top, left, bottom, right } = padding;
    if padding == Padding::all(top) {
        if !(is_pool && top == 0) {
            text += &format!(", padding {top}");
        }
    } else {
        text += &format!(", padding {top}, {left}, {bottom}, {right}");
    }
    text
}

/// How the products of every matrix of a network are computed on chips of the default macro, mapped
/// by `natural`.
///
/// # Errors
/// If it cannot be mapped.
pub fn natural_paths(network: &Network) -> anyhow::Result<Vec<MatrixPath>> {
    let spec = MacroSource::default().load()?;
    let (code_table, progress) = (&CodeTable::from_spec(&spec), &|_, _| {});
    let context =
        Context { network, spec: &spec, profile: None, code_table, seed: Seed(1), progress };
    let natural = Pipeline::load("natural", &Registry::builtin())?;
    let logical = Mapping::logical(network, &spec);
    let mapping = natural.run(logical, &context, &mut |_| Ok(()))?.mapping;
    let images = Images { activations: vec![0; network.shape_before(0).len()], labels: vec![0] };
    let reference = Reference::new(network, &images)?;
    let programmed = Programmed::new(&reference, &mapping, &spec, &NoiseScope::All)?;
    Ok(programmed.paths(&Engines::Device)?)
}

/// A mapping in short, with what a picture of it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingDescription {
    /// Its stage.
    pub stage: String,
    /// The network that it is of.
    pub network: Digest,
    /// The macro that it is for.
    #[serde(rename = "macro")]
    pub geometry: String,
    /// What every matrix takes.
    pub matrices: Vec<MatrixSize>,
    /// What it takes in all.
    pub total: Totals,
    /// Its tiles.
    pub tiles: Vec<TileDescription>,
}

/// A tile of a mapping, with all its tables and cells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TileDescription {
    /// The matrix that it is of.
    pub matrix: String,
    /// Its number among replicas.
    pub replica: u32,
    /// Macro, row and column of its first cell.
    pub place: Option<[u32; 3]>,
    /// Rows of cells.
    pub physical_rows: usize,
    /// Columns of bits.
    pub columns: usize,
    /// Whether activations of entries that share a row are added first.
    pub pre_add: bool,
    /// In scan order: logical row, physical row, sign.
    pub entries: Vec<(u32, u32, i8)>,
    /// Logical column and whether it is stored inverted.
    pub column_table: Vec<(u32, bool)>,
    /// The cells, a physical row each: `0` is HRS, `1` LRS.
    pub cells: Vec<String>,
}

impl MappingDescription {
    /// Describes a mapping.
    pub fn of(mapping: &Mapping) -> Self {
        let (matrices, total) = sizes(mapping);
        let tiles = mapping.tiles.iter().map(|tile| TileDescription {
            matrix: mapping.matrices[tile.matrix.index()].name.clone(),
            replica: tile.replica,
            place: tile.place.map(|place| [place.macro_index, place.row, place.column]),
            physical_rows: tile.physical_rows(),
            columns: tile.columns.len(),
            pre_add: tile.pre_add,
            entries: tile
                .rows
                .iter()
                .map(|e| (e.logical, e.physical, if e.negative { -1 } else { 1 }))
                .collect(),
            column_table: tile.columns.iter().map(|c| (c.logical, c.inverted)).collect(),
            cells: tile.bits.to_string().lines().map(str::to_owned).collect(),
        });
        Self {
            stage: mapping.stage.to_string(),
            network: mapping.network,
            geometry: mapping.geometry.to_string(),
            matrices,
            total,
            tiles: tiles.collect(),
        }
    }
}

/// What a profile holds, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileOutcome {
    /// Images that were sampled.
    pub images: usize,
    /// The matrices of the network in order.
    pub matrices: Vec<MatrixSummary>,
}

/// The samples of a matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatrixSummary {
    /// Its number.
    pub matrix: usize,
    /// Its rows.
    pub rows: usize,
    /// Samples of their activations.
    pub samples: usize,
    /// Mean share of rows that are on, over the bit-planes.
    pub rows_on: f64,
    /// Share of activations that are 0.
    pub zeros: f64,
}

impl ProfileOutcome {
    /// Describes a profile.
    pub fn of(profile: &Profile) -> Self {
        let matrices = profile.matrices.iter().enumerate().map(|(matrix, samples)| {
            let activations = &samples.activations;
            let count = activations.len().max(1) as f64;
            let on: u32 = activations.iter().map(|a| a.count_ones()).sum();
            let zeros = activations.iter().filter(|&&a| a == 0).count();
            MatrixSummary {
                matrix,
                rows: samples.rows,
                samples: samples.samples(),
                rows_on: f64::from(on) / count / f64::from(samples.bits),
                zeros: zeros as f64 / count,
            }
        });
        Self { images: profile.images, matrices: matrices.collect() }
    }
}

/// A saved chip in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChipDescription {
    /// Its number among those of the seed.
    pub number: u64,
    /// The seed of all chips.
    pub seed: u64,
    /// The macro.
    #[serde(rename = "macro")]
    pub macro_name: String,
    /// The digest of the mapping it was programmed with.
    pub mapping: String,
    /// Macros.
    pub macros: u32,
    /// Cells stuck at LRS.
    pub stuck_lrs: usize,
    /// Cells stuck at HRS.
    pub stuck_hrs: usize,
    /// Its size.
    pub bytes: usize,
    /// Of cells programmed to HRS and to LRS; none without the mapping.
    pub states: Option<Vec<StateDescription>>,
}

/// The cells that were programmed to a state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateDescription {
    /// How many.
    pub cells: usize,
    /// Mean of what they add to the signal.
    pub mean_lsb: f64,
    /// Standard deviation of that.
    pub sd_lsb: f64,
}

impl ChipDescription {
    /// Describes a chip; its cells by state if the mapping is given.
    ///
    /// # Errors
    /// If the mapping is not the one that it was programmed with.
    pub fn of(chip: &SavedChip, mapping: Option<&Mapping>) -> anyhow::Result<Self> {
        let stuck = |at_lrs| chip.stuck.iter().filter(|(_, lrs)| *lrs == at_lrs).count();
        let states = match mapping {
            None => None,
            Some(mapping) => {
                let states = chip.states(mapping, &chip.spec()?)?.into_iter();
                let state =
                    |(mean_lsb, sd_lsb, cells)| StateDescription { cells, mean_lsb, sd_lsb };
                Some(states.map(state).collect())
            }
        };
        Ok(Self {
            number: chip.number(),
            seed: chip.seed.0,
            macro_name: chip.macro_name.clone(),
            mapping: chip.mapping.to_string(),
            macros: chip.macros,
            stuck_lrs: stuck(true),
            stuck_hrs: stuck(false),
            bytes: chip.size(),
            states,
        })
    }
}

/// The passes and the built-in pipelines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassesOutcome {
    /// The passes.
    pub passes: Vec<PassDescription>,
    /// Names of the pipelines.
    pub pipelines: Vec<String>,
}

/// A pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassDescription {
    /// Its name.
    pub name: String,
    /// What it does.
    pub summary: String,
    /// Stages of the mappings that it takes.
    pub takes: Vec<String>,
    /// The stage of what it leaves, if that is another one.
    pub leaves: Option<String>,
    /// Its options.
    pub options: Vec<PassOption>,
}

/// An option of a pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassOption {
    /// Its name.
    pub name: String,
    /// Its value where none is given.
    pub default: String,
    /// What it means.
    pub meaning: String,
}

impl PassesOutcome {
    /// Describes all passes.
    pub fn of(registry: &Registry) -> Self {
        Self {
            passes: registry.passes().map(PassDescription::of).collect(),
            pipelines: Pipeline::BUILTIN.iter().map(|(name, _)| (*name).to_owned()).collect(),
        }
    }
}

impl PassDescription {
    /// Describes a pass.
    pub fn of(pass: &Configured) -> Self {
        let info = pass.info();
        let option = |&(name, meaning): &(&str, &str)| PassOption {
            name: name.to_owned(),
            default: pass.options().get(name).map_or("-".to_owned(), ToString::to_string),
            meaning: meaning.to_owned(),
        };
        Self {
            name: info.name.to_owned(),
            summary: info.summary.to_owned(),
            takes: info.takes.iter().map(|stage| stage.name().to_owned()).collect(),
            leaves: info.leaves.map(|stage| stage.name().to_owned()),
            options: info.options.iter().map(option).collect(),
        }
    }
}
