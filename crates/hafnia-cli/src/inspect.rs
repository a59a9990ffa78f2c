//! `hafnia inspect`: what a file of ours holds.

use std::fmt;
use std::path::Path;

use anyhow::bail;
use clap::Args;
use hafnia_artifact::{ArtifactError, Digest, Manifest, load};
use hafnia_ir::{Mapping, Profile, Program, read_mapping};
use hafnia_model::{Layer, MatrixLayer, Network};
use hafnia_report::{Align, Table};
use serde::Serialize;

use crate::map::{MatrixSize, Totals, size_table, sizes};
use crate::models::NetworkOptions;
use crate::output::Output;
use crate::profile::Summary;

/// Show what a network, mapping, program, profile or manifest holds.
#[derive(Args)]
#[command(mut_arg("file", |file| file
    .value_name("FILE")
    .help("A mapping (.map), a program (folder), a manifest (.json), a network or a profile; none \
          with --model")))]
#[command(after_help = "Examples:
  hafnia inspect out/net/network.hafnia
  hafnia inspect --model frontier
  hafnia inspect out/net.map --full
  hafnia inspect out/net.map --format json")]
pub(crate) struct Inspect {
    #[command(flatten)]
    network: NetworkOptions,
    /// Of a mapping, show all tiles, rows, columns and cells.
    #[arg(long)]
    full: bool,
}

/// A network in short.
#[derive(Serialize)]
pub(crate) struct Described {
    digest: Digest,
    input: hafnia_model::Input,
    layers: Vec<LayerDescription>,
    /// Weights in all.
    weights: usize,
    /// Bits of all weights together.
    weight_bits: usize,
}

#[derive(Serialize)]
struct LayerDescription {
    layer: String,
    name: String,
    rows: usize,
    columns: usize,
    weight_bits: Option<u8>,
    /// Rows that differ from all before them.
    distinct_rows: usize,
    output: String,
    bits: Option<u8>,
}

/// Describes a network.
pub(crate) fn describe(network: &Network) -> Described {
    let matrices = network.matrices();
    let mut layers = Vec::new();
    for (index, layer) in network.layers().iter().enumerate() {
        let kind = match layer {
            Layer::Conv(conv) => {
                let (kernel, stride, padding) = (conv.kernel, conv.stride, conv.padding);
                format!("conv {kernel}x{kernel}, stride {stride}, padding {padding}")
            }
            Layer::Linear(_) => "linear".to_owned(),
            Layer::MaxPool { size } => format!("max-pool {size}x{size}"),
            Layer::Flatten => "flatten".to_owned(),
        };
        let matrix = matrices.iter().find(|matrix| matrix.layer == index);
        let distinct = |matrix: &MatrixLayer<'_>| {
            let planes = matrix.weights.planes();
            let row = |row| planes.iter().map(|plane| plane.row(row)).collect::<Vec<_>>();
            let rows = (0..matrix.weights.rows()).map(row);
            rows.collect::<std::collections::HashSet<_>>().len()
        };
        layers.push(LayerDescription {
            layer: kind,
            name: matrix.map_or("", |matrix| matrix.name).to_owned(),
            rows: matrix.map_or(0, |matrix| matrix.weights.rows()),
            columns: matrix.map_or(0, |matrix| matrix.weights.columns()),
            weight_bits: matrix.map(|matrix| matrix.weights.bits()),
            distinct_rows: matrix.map_or(0, distinct),
            output: network.shape_before(index + 1).to_string(),
            bits: matrix.and_then(|matrix| matrix.thresholds).map(|thresholds| thresholds.bits()),
        });
    }
    let weights = |matrix: &MatrixLayer<'_>| matrix.weights.rows() * matrix.weights.columns();
    let bits = |matrix: &MatrixLayer<'_>| weights(matrix) * usize::from(matrix.weights.bits());
    Described {
        digest: network.digest(),
        input: network.input().clone(),
        layers,
        weights: matrices.iter().map(weights).sum(),
        weight_bits: matrices.iter().map(bits).sum(),
    }
}

/// The cuts of an input, separated by commas; many are told by the first and the last.
fn cuts(cuts: &[u8]) -> String {
    let list = |cuts: &[u8]| cuts.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    match cuts {
        [first, second, .., last] if cuts.len() > 15 => format!("{first}, {second}, …, {last}"),
        _ => list(cuts),
    }
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let input = &self.input;
        writeln!(
            f,
            "network {}\ninput {}x{}x{}, {} bits (cuts at {})",
            self.digest,
            input.channels,
            input.height,
            input.width,
            input.bits(),
            cuts(&input.cuts)
        )?;
        let mut table = Table::new([
            ("layer", Align::Left),
            ("name", Align::Left),
            ("rows", Align::Right),
            ("columns", Align::Right),
            ("weight bits", Align::Right),
            ("distinct rows", Align::Right),
            ("output", Align::Right),
            ("bits", Align::Right),
        ]);
        let number = |n: usize| if n == 0 { String::new() } else { n.to_string() };
        let bits = |bits: Option<u8>| bits.map_or(String::new(), |bits| bits.to_string());
        for layer in &self.layers {
            table.row([
                layer.layer.clone(),
                layer.name.clone(),
                number(layer.rows),
                number(layer.columns),
                bits(layer.weight_bits),
                number(layer.distinct_rows),
                layer.output.clone(),
                bits(layer.bits),
            ]);
        }
        write!(f, "{table}\n{} weights, {} bits", self.weights, self.weight_bits)
    }
}

/// A mapping in short, with what a picture of it needs.
#[derive(Serialize)]
struct DescribedMapping {
    stage: String,
    network: Digest,
    #[serde(rename = "macro")]
    geometry: String,
    matrices: Vec<MatrixSize>,
    total: Totals,
    tiles: Vec<TileDescription>,
}

#[derive(Serialize)]
struct TileDescription {
    matrix: String,
    replica: u32,
    /// Macro, row and column of its first cell.
    place: Option<[u32; 3]>,
    physical_rows: usize,
    columns: usize,
    /// Whether activations of entries that share a row are added first.
    pre_add: bool,
    /// In scan order: logical row, physical row, sign.
    entries: Vec<(u32, u32, i8)>,
    /// Logical column and whether it is stored inverted.
    column_table: Vec<(u32, bool)>,
    /// The cells, a physical row each: `0` is HRS, `1` LRS.
    cells: Vec<String>,
}

impl DescribedMapping {
    fn of(mapping: &Mapping) -> Self {
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

/// Tiles that are shown unless all are asked for.
const TILES: usize = 24;
/// Lines that are shown of each list of a tile.
const LINES: usize = 2;

/// A mapping for people: tables of its tiles and matrices, then its text form, both folded unless
/// `full`.
fn mapping_text(mapping: &Mapping, full: bool) -> String {
    let mut table = Table::new([
        ("tile", Align::Left),
        ("matrix", Align::Left),
        ("entries", Align::Right),
        ("physical rows", Align::Right),
        ("columns", Align::Right),
        ("inverted", Align::Right),
        ("table bits", Align::Right),
        ("macro, row, column", Align::Right),
    ]);
    let tiles = if full { mapping.tiles.len() } else { TILES };
    for (id, tile) in mapping.tiles().take(tiles) {
        let place = tile.place.map_or("-".to_owned(), |place| {
            format!("{}, {}, {}", place.macro_index, place.row, place.column)
        });
        table.row([
            id.to_string(),
            mapping.matrices[tile.matrix.index()].name.clone(),
            tile.rows.len().to_string(),
            tile.physical_rows().to_string(),
            tile.columns.len().to_string(),
            tile.columns.iter().filter(|column| column.inverted).count().to_string(),
            tile.table_bits().to_string(),
            place,
        ]);
    }
    let (matrices, total) = sizes(mapping);
    let sizes = size_table(&(&matrices, &total));
    let text = mapping.to_string();
    let (form, more) = match full {
        true => (text, String::new()),
        false => (folded(&text), more_tiles(mapping.tiles.len())),
    };
    format!(
        "mapping for {}, stage {}\n\n{table}\n{more}\n{sizes}\n\n{form}",
        mapping.geometry, mapping.stage
    )
}

/// What is said of tiles that are not shown.
fn more_tiles(tiles: usize) -> String {
    match tiles.saturating_sub(TILES) {
        0 => String::new(),
        more => format!("… and {more} more tiles: --full shows all\n"),
    }
}

/// The text form of a mapping with the lists of its first tiles cut short and the other tiles left
/// out. A comment says what is missing, but it is no mapping any more.
fn folded(text: &str) -> String {
    let mut folded = String::new();
    let (mut tiles, mut list, mut lines) = (0, "", 0);
    let rest = |folded: &mut String, lines: usize| {
        if lines > LINES {
            *folded += &format!("    # … {} more lines\n", lines - LINES);
        }
    };
    for line in text.lines() {
        let word = line.split_whitespace().next().unwrap_or_default();
        let kind = match word {
            "columns" | "rows" => word,
            // The line of the keyword is not one of the list.
            "bits" => "",
            _ if line.starts_with("    ") => "bits",
            _ => "",
        };
        if kind != list || kind.is_empty() {
            rest(&mut folded, lines);
            (list, lines) = (kind, 0);
        }
        tiles += usize::from(word == "tile");
        if tiles > TILES {
            break;
        }
        lines += usize::from(!kind.is_empty());
        if lines <= LINES {
            folded += &format!("{line}\n");
        }
    }
    rest(&mut folded, lines);
    folded
}

impl Inspect {
    pub(crate) fn run(&self, output: Output) -> anyhow::Result<()> {
        match &self.network.file {
            Some(path) if self.network.model.is_none() => inspect(path, self.full, output),
            _ => output.print(&describe(&self.network.load()?.network), ToString::to_string),
        }
    }
}

/// Shows what a file holds.
fn inspect(path: &Path, full: bool, output: Output) -> anyhow::Result<()> {
    if path.is_dir() {
        let mapping = Program::read(path)?.mapping().clone();
        return output.print(&DescribedMapping::of(&mapping), |_| mapping_text(&mapping, full));
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => {
            let manifest = Manifest::read(path)?;
            output.print(&manifest, |manifest| {
                serde_json::to_string_pretty(manifest).unwrap_or_default()
            })
        }
        Some("map") => {
            let mapping = read_mapping(path)?;
            output.print(&DescribedMapping::of(&mapping), |_| mapping_text(&mapping, full))
        }
        _ => match load::<Network>(path) {
            Ok(network) => output.print(&describe(&network), ToString::to_string),
            Err(ArtifactError::Kind { found, .. }) if found == "profile" => {
                let profile: Profile = load(path)?;
                output.print(&Summary::of(&profile), |summary| summary.table().to_string())
            }
            Err(error) => bail!(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn long_lists_are_folded() {
        let text = "\
stage tiled
matrix m0 a 9x9
tile t0 m0 replica 0 size 4x3
  columns 0..3
  rows 1 2
  rows 3 4
  rows 5 6
  rows 7 8
  bits
    1
    2
    3
    4
tile t1 m0 replica 0 size 1x3
  columns 0..3
  rows 9
  bits
    7
";
        expect![[r#"
            stage tiled
            matrix m0 a 9x9
            tile t0 m0 replica 0 size 4x3
              columns 0..3
              rows 1 2
              rows 3 4
                # … 2 more lines
              bits
                1
                2
                # … 2 more lines
            tile t1 m0 replica 0 size 1x3
              columns 0..3
              rows 9
              bits
                7
        "#]]
        .assert_eq(&folded(text));
        let many = (0..30).map(|tile| format!("tile t{tile}\n  bits\n    1\n"));
        let folded = folded(&many.collect::<String>());
        assert!(folded.ends_with("tile t23\n  bits\n    1\n"), "{folded}");
        assert_eq!(more_tiles(24), "");
        assert_eq!(more_tiles(30), "… and 6 more tiles: --full shows all\n");
    }
}
