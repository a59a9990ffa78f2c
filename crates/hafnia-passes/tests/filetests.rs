//! Every pass on mappings that a reader can follow: a file a case.
//!
//! A file `filetests/<pass>/<case>.map` begins with the pass and its options, as in a pipeline, in
//! lines that open with `#!`; a table `[case]` may say more, see [`Case`]. Then come the mapping that
//! the pass is given, with `-` for the digest of its network, a line of dashes, and what is expected:
//! the statistics of the pass and the mapping it leaves, or why it stopped. What is expected is
//! written anew with `UPDATE_EXPECT=1`.
//!
//! The network is the one that the mapping holds. After the pass the mapping is verified, proved and
//! compared with the network on the engine `exact`.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{Mapping, Matrix, MatrixProfile, Profile};
use hafnia_model::{BitMatrix, Conv, Input, Layer, Linear, Network, Thresholds, Weights, Window};
use hafnia_passes::{Context, Pipeline, Registry};
use hafnia_rng::Seed;
use rand::RngExt;
use serde::Deserialize;
use toml::Table;

/// What a case says beside the pass and the mapping.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Case {
    /// Bits of the network's input; activations behind it have 1.
    bits: u8,
    /// The lowest activation of the input.
    lowest: i32,
    /// Channels, height and width of the input, if the first layer is a convolution.
    input: Option<[usize; 3]>,
    /// Side of the kernel of every matrix: 0 is a linear layer, as all are that are not named.
    kernels: Vec<usize>,
    /// Thresholds of the columns of every matrix but the last; 1 each unless named.
    thresholds: Vec<Vec<i32>>,
    /// Rows that a conversion may turn on.
    rows_per_conversion: usize,
    /// Samples of a random profile; none is no profile.
    profile: Option<usize>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            bits: 1,
            lowest: 0,
            input: None,
            kernels: Vec::new(),
            thresholds: Vec::new(),
            rows_per_conversion: 7,
            profile: None,
        }
    }
}

/// The weights that the first replica of a matrix holds; all bits are 0 in dead rows.
fn weights(mapping: &Mapping, index: usize) -> Weights {
    let Matrix { rows, columns, ref coding, .. } = mapping.matrices[index];
    let mut weights = BitMatrix::from_fn(rows, columns, |_, _| false);
    let of_matrix = |tile: &&hafnia_ir::Tile| tile.matrix.index() == index && tile.replica == 0;
    for tile in mapping.tiles.iter().filter(of_matrix) {
        for entry in tile.rows.iter() {
            for (cell, column) in tile.columns.iter().enumerate() {
                let bit = tile.bits.get(entry.physical as usize, cell);
                let bit = bit ^ entry.negative ^ column.inverted;
                weights.set(entry.logical as usize, column.logical as usize, bit);
            }
        }
    }
    let slices = coding.slices();
    Weights::from_fn(rows, columns / slices, |row, output| {
        let bit = |slice: usize| u32::from(weights.get(row, output * slices + slice)) << slice;
        coding.value((0..slices).map(bit).sum())
    })
}

/// The network that a mapping holds.
fn network(mapping: &Mapping, case: &Case) -> Network {
    let mut layers = Vec::new();
    let last = mapping.matrices.len() - 1;
    for (index, of) in mapping.matrices.iter().enumerate() {
        let (name, weights) = (of.name.clone(), weights(mapping, index));
        let values = case.thresholds.get(index).cloned().unwrap_or_else(|| vec![1; of.outputs()]);
        let thresholds = (index < last).then_some(Thresholds::new(1, values));
        let kernel = case.kernels.get(index).copied().unwrap_or(0);
        if kernel > 0 {
            let window = Window::square(kernel, 1, 0);
            layers.push(Layer::Conv(Conv::new(name, window, weights, thresholds)));
            continue;
        }
        if !layers.contains(&Layer::Flatten) {
            layers.push(Layer::Flatten);
        }
        layers.push(Layer::Linear(Linear { name, weights, thresholds }));
    }
    let [channels, height, width] = case.input.unwrap_or([mapping.matrices[0].rows, 1, 1]);
    let input = Input::upper_bits(channels, height, width, case.bits);
    let input = Input { lowest: case.lowest, ..input };
    Network::new(input, layers).expect("a network of the case")
}

/// Random activations, half of them 0.
fn profile(network: &Network, samples: usize) -> Profile {
    let rng = &mut Seed(1).site("passes/filetests/profile").rng();
    let matrices = network.matrices().into_iter().map(|layer| {
        let (rows, bits) = (layer.weights.rows(), layer.input_bits);
        let mut draw =
            || if rng.random() { rng.random_range(1..=u8::MAX >> (8 - bits)) } else { 0 };
        MatrixProfile { rows, bits, activations: (0..samples * rows).map(|_| draw()).collect() }
    });
    Profile { network: network.digest(), images: samples, matrices: matrices.collect() }
}

/// What the pass makes of a case.
fn outcome(input: &str) -> String {
    let header: Vec<&str> = input.lines().filter_map(|line| line.strip_prefix("#!")).collect();
    let mut pass: Table = header.join("\n").parse().expect("the header is TOML");
    let case = pass.remove("case").unwrap_or_else(|| Table::new().into());
    let case: Case = case.try_into().expect("the table of the case");
    let with_digest = input.replace("network -", &format!("network {}", "0".repeat(64)));
    let mut mapping: Mapping = with_digest.parse().expect("a mapping");
    let network = network(&mapping, &case);
    mapping.network = network.digest();

    let geometry = mapping.geometry.clone();
    let mut spec = MacroSpec::preset("gt-n40").expect("a preset");
    (spec.name, spec.rows, spec.columns) = (geometry.name, geometry.rows, geometry.columns);
    (spec.columns_per_adc, spec.rows_per_conversion) = (1, case.rows_per_conversion);
    spec.cell.bits_per_cell = geometry.cell_bits;
    let profile = case.profile.map(|samples| profile(&network, samples));
    let context = Context {
        network: &network,
        spec: &spec,
        profile: profile.as_ref(),
        code_table: &CodeTable::from_spec(&spec),
        seed: Seed(1),
        progress: &|_, _| {},
    };
    let mut pipeline = Table::from_iter([("name".to_owned(), "case".into())]);
    pipeline.insert("pass".to_owned(), vec![pass].into());
    let pipeline = Pipeline::parse(&pipeline.to_string(), &Registry::builtin());
    match pipeline.and_then(|pipeline| pipeline.run(mapping, &context, &mut |_| Ok(()))) {
        Ok(outcome) => {
            hafnia_sim::check_equivalence(&network, &outcome.mapping, &spec, Seed(1))
                .expect("they agree");
            let (statistics, mapping) = (&outcome.statistics[0].1, outcome.mapping.to_string());
            format!("{statistics}\n{}", mapping.replace(&network.digest().to_string(), "-"))
        }
        Err(error) => {
            let mut lines = String::new();
            let mut cause: Option<&dyn Error> = Some(&error);
            while let Some(error) = cause {
                lines.push_str(&format!("error: {error}\n"));
                cause = error.source();
            }
            lines
        }
    }
}

const DASHES: &str = "----\n";

/// The entries of a folder, in order.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    entries
}

#[test]
fn every_pass_does_what_its_cases_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/filetests");
    for info in Registry::builtin().infos() {
        let cases = entries(&root.join(info.name));
        assert!(!cases.is_empty(), "pass `{}` has no case", info.name);
        for path in cases {
            let text = fs::read_to_string(&path).expect("a case");
            let input = text.split(DASHES).next().unwrap_or_default();
            assert!(input.contains(&format!("#! use = \"{}\"", info.name)), "{path:?}");
            println!("{}", path.display());
            expect_file![path].assert_eq(&format!("{input}{DASHES}{}", outcome(input)));
        }
    }
}
