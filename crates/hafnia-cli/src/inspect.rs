//! `hafnia inspect`: what a file of ours holds.

use std::path::Path;

use anyhow::bail;
use clap::Args;
use hafnia_artifact::{ArtifactError, Manifest, load};
use hafnia_ir::{Mapping, Profile, Program, read_mapping};
use hafnia_model::{Floats, Network};
use hafnia_sim::MatrixPath;
use hafnia_study::{
    MappingDescription, NetworkDescription, ProfileOutcome, describe_network, natural_paths, sizes,
};
use serde::Serialize;

use crate::map::size_table;
use crate::options::NetworkOptions;
use crate::output::{Output, table};
use crate::profile;

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

/// The cuts of an input, separated by commas; many are told by the first and the last.
fn cuts(cuts: &[u8]) -> String {
    let list = |cuts: &[u8]| cuts.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    match cuts {
        [first, second, .., last] if cuts.len() > 15 => format!("{first}, {second}, …, {last}"),
        _ => list(cuts),
    }
}

/// A network for people.
pub(crate) fn network_text(network: &NetworkDescription) -> String {
    let input = &network.input;
    let mut text = format!(
        "network {}\ninput {}x{}x{}, {} bits (cuts at {})",
        network.digest,
        input.channels,
        input.height,
        input.width,
        input.bits(),
        input.cuts.iter().map(|of_channel| cuts(of_channel)).collect::<Vec<_>>().join("; ")
    );
    if !input.floats.is_empty() {
        let range = |Floats { least, largest, .. }: &Floats| format!("{least} to {largest}");
        let ranges = input.floats.iter().map(range).collect::<Vec<_>>().join("; ");
        text += &format!("\nfloats of {ranges} are taken too");
    }
    let mut table = table([
        "layer",
        "name",
        ">rows",
        ">columns",
        ">weight bits",
        ">distinct rows",
        ">output",
        ">bits",
    ]);
    let number = |n: usize| if n == 0 { String::new() } else { n.to_string() };
    let bits = |bits: Option<u8>| bits.map_or(String::new(), |bits| bits.to_string());
    for layer in &network.layers {
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
    text += &format!("\n{table}\n{} weights, {} bits", network.weights, network.weight_bits);
    text
}

/// A network, and how fast it is simulated.
#[derive(Serialize)]
struct InspectedNetwork {
    #[serde(flatten)]
    network: NetworkDescription,
    /// How the products of its matrices are computed, and why not faster.
    paths: Vec<MatrixPath>,
}

impl InspectedNetwork {
    fn of(network: &Network) -> anyhow::Result<Self> {
        Ok(Self { network: describe_network(network), paths: natural_paths(network)? })
    }

    fn text(&self) -> String {
        let mut text = network_text(&self.network);
        text +=
            "\n\nHow its products are computed, mapped by `natural` on chips of the default macro:";
        self.paths.iter().for_each(|path| text += &format!("\n{path}"));
        text
    }
}

/// Tiles that are shown unless all are asked for.
const TILES: usize = 24;
/// Lines that are shown of each list of a tile.
const LINES: usize = 2;

/// A mapping for people: tables of its tiles and matrices, then its text form, both folded unless
/// `full`.
fn mapping_text(mapping: &Mapping, full: bool) -> String {
    let mut table = table([
        "tile",
        "matrix",
        ">entries",
        ">physical rows",
        ">columns",
        ">inverted",
        ">table bits",
        ">macro, row, column",
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
    let sizes = size_table(&matrices, &total);
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
            _ => {
                let named = self.network.source()?.load()?;
                output.print(&InspectedNetwork::of(&named.network)?, InspectedNetwork::text)
            }
        }
    }
}

/// Shows what a file holds.
fn inspect(path: &Path, full: bool, output: Output) -> anyhow::Result<()> {
    if path.is_dir() {
        let mapping = Program::read(path)?.mapping().clone();
        return output.print(&MappingDescription::of(&mapping), |_| mapping_text(&mapping, full));
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
            output.print(&MappingDescription::of(&mapping), |_| mapping_text(&mapping, full))
        }
        _ => match load::<Network>(path) {
            Ok(network) => output.print(&InspectedNetwork::of(&network)?, InspectedNetwork::text),
            Err(ArtifactError::Kind { found, .. }) if found == "profile" => {
                let profile: Profile = load(path)?;
                output.print(&ProfileOutcome::of(&profile), profile::text)
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
