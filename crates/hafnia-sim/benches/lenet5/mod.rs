//! What benches and the example `workload` run: LeNet-5 as recorded, two mappings of it, images.

use std::path::Path;

use hafnia_cim::MacroSpec;
use hafnia_data::SplitDataset;
use hafnia_ir::{Mapping, Place, RowEntry, Stage, Tile, verify};
use hafnia_model::Network;
use hafnia_sim::{EngineKind, Evaluation, Images, NoiseScope};

/// Rows and columns in order, cut where a macro ends, a macro a tile; equal rows of a tile share a word
/// line if `is_shared`.
pub(crate) fn mapped(network: &Network, spec: &MacroSpec, is_shared: bool) -> Mapping {
    let logical = Mapping::logical(network, spec);
    let mut tiles = Vec::new();
    for whole in &logical.tiles {
        let all: Vec<usize> = (0..whole.bits.rows()).collect();
        for rows in all.chunks(spec.rows) {
            let bits_of = |row: usize| (0..whole.columns.len()).map(move |column| (row, column));
            let is_equal = |a: usize, b: usize| {
                bits_of(a)
                    .zip(bits_of(b))
                    .all(|(a, b)| whole.bits.get(a.0, a.1) == whole.bits.get(b.0, b.1))
            };
            let mut stored: Vec<usize> = Vec::new();
            let entry = |&row: &usize| {
                let known = stored.iter().position(|&other| is_shared && is_equal(row, other));
                let physical = known.unwrap_or_else(|| {
                    stored.push(row);
                    stored.len() - 1
                });
                RowEntry { logical: row as u32, physical: physical as u32, negative: false }
            };
            let table = rows.iter().map(entry).collect();
            tiles.push(Tile {
                bits: whole.bits.select_rows(stored.iter().copied()),
                rows: table,
                place: Some(Place { macro_index: tiles.len() as u32, row: 0, column: 0 }),
                ..whole.clone()
            });
        }
    }
    let mapping = Mapping { stage: Stage::Placed, tiles, ..logical };
    verify(&mapping).expect("the columns fit a macro");
    mapping
}

/// A recorded network: what it sees decides how many rows are on.
pub(crate) fn recorded() -> Network {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hafnia-zoo/networks");
    hafnia_artifact::load(folder.join("frontier/seed-1.hafnia")).expect("it is recorded")
}

/// Test images of the committed subset of MNIST, over and over.
pub(crate) fn images(network: &Network, count: usize) -> Images {
    let test = SplitDataset::mnist_subset().test;
    let pixels = network.input().levels_of(&test.bytes().expect("pixels"));
    let length = network.shape_before(0).len();
    Images {
        activations: pixels.into_iter().cycle().take(count * length).collect(),
        labels: test.labels.iter().flatten().copied().cycle().take(count).collect(),
    }
}

/// What must hold of a result, whatever it took to compute it.
pub(crate) fn check(evaluation: &Evaluation, scope: &NoiseScope) {
    let runs = evaluation.runs() as u64;
    let conversions = evaluation.events.iter().map(|events| events.conversions).sum::<u64>();
    let expected = if *scope == NoiseScope::All { 20_000..40_000 } else { 40..200 };
    assert!(expected.contains(&(conversions / runs)), "{} conversions", conversions / runs);
    assert!(evaluation.exact_accuracy() > 0.97, "{}", evaluation.exact_accuracy());
    assert!(evaluation.drops()[0].abs() < 0.05, "{:?}", evaluation.drops());
    let differs = evaluation.differences.iter().any(|images| !images.is_empty());
    assert!(!differs || evaluation.engine != EngineKind::Exact);
}
