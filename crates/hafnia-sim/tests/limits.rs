//! The largest conversions there can be: 1024 rows that are on at once, and codes of 12 bits.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use hafnia_cim::{CodeTable, Fabrication, MacroSpec};
use hafnia_ir::{Mapping, Place, Stage, TileId};
use hafnia_model::{BitMatrix, Input, Layer, Linear, Network};
use hafnia_rng::Seed;
use hafnia_sim::{
    Chip, Conversion, Device, Engine, Engines, Images, Kernels, NoiseScope, Programmed, Reference,
};
use rand::RngExt;

const ROWS: usize = 1024;
const COLUMNS: usize = 70;

fn spec(adc_bits: u8) -> MacroSpec {
    let preset = MacroSpec::preset("gt-n40").unwrap();
    let mut spec = MacroSpec {
        rows: ROWS,
        rows_per_conversion: ROWS,
        columns: 80,
        columns_per_adc: 1,
        ..preset
    };
    spec.adc.bits = adc_bits;
    spec.validate().unwrap();
    spec
}

/// A layer of random weights on one macro; only column 0 has no cell in LRS, column 1 all.
fn layer(spec: &MacroSpec) -> (Network, Mapping, BitMatrix) {
    let rng = &mut Seed(1).rng();
    let weights = BitMatrix::from_fn(ROWS, COLUMNS, |_, column| match column {
        0 => false,
        1 => true,
        _ => rng.random(),
    });
    let only = Linear { name: "only".into(), weights: weights.clone().into(), thresholds: None };
    let input = Input::upper_bits(ROWS, 1, 1, 1);
    let network = Network::new(input, vec![Layer::Linear(only)]).unwrap();
    let mut mapping = Mapping::logical(&network, spec);
    mapping.stage = Stage::Placed;
    mapping.tiles[0].place = Some(Place { macro_index: 0, row: 0, column: 0 });
    (network, mapping, weights)
}

/// The definition: the signal of a column is the sum of its cells, the code the number of its
/// thresholds that are reached. Without noise that is the number of ones, with it the code errs.
#[test]
fn a_conversion_of_1024_rows_in_12_bits_is_as_defined() {
    let rows: Vec<u32> = (0..ROWS as u32).collect();
    for is_noisy in [false, true] {
        let mut spec = if is_noisy { spec(12) } else { spec(12).without_noise() };
        (spec.cell.read_noise_rel, spec.adc.comparator_noise_lsb) = (0.0, 0.0);
        let (_, mapping, weights) = layer(&spec);
        let ones = |column| rows.iter().filter(|&&row| weights.get(row as usize, column)).count();
        let ones: Vec<u16> = (0..COLUMNS).map(|column| ones(column) as u16).collect();
        let chip = Chip::program(&mapping, &spec, Seed(2), 0).unwrap();
        let conversion = Conversion {
            tile: TileId(0),
            image: 0,
            position: 0,
            plane: 0,
            group: 0,
            rows: &rows,
            ones: &ones,
            squares: &[],
        };
        let mut codes = vec![0; COLUMNS];
        Device::new(&chip, &spec, Seed(2)).convert(&conversion, &mut codes);

        let fabrication = Fabrication::new(&spec, Seed(2), 0);
        let mut cells = fabrication.cells(0, 0, COLUMNS);
        let mut signals = vec![0.0f32; COLUMNS];
        for &row in &rows {
            let level = |column| usize::from(weights.get(row as usize, column));
            for (signal, &cell) in signals.iter_mut().zip(cells.program(row, level)) {
                *signal += cell as f32;
            }
        }
        let defined = |(column, &signal): (usize, &f32)| {
            let mut thresholds = vec![0.0; spec.adc.max_code()];
            fabrication.thresholds(0, column as u32, &mut thresholds);
            thresholds.iter().filter(|&&threshold| signal >= threshold as f32).count() as u16
        };
        let defined: Vec<u16> = signals.iter().enumerate().map(defined).collect();
        assert_eq!(codes, defined);
        assert_eq!(codes == ones, !is_noisy);
    }
}

/// Whole products are those of the network where no code errs, and with noise in vectors what they are
/// conversion by conversion; a code table of that size is refused.
#[test]
fn large_conversions_run_in_vectors() {
    let noisy = spec(12);
    let spec = noisy.without_noise();
    let (network, mapping, _) = layer(&spec);
    let rng = &mut Seed(3).rng();
    let activations: Vec<u8> = (0..4 * ROWS).map(|_| rng.random_range(0..2)).collect();
    let images = Images { activations, labels: vec![0, 1, 2, 3] };
    let reference = Reference::new(&network, &images).unwrap();
    let programmed = Programmed::new(&reference, &mapping, &spec, &NoiseScope::All).unwrap();
    let run = programmed.run(0..2, Seed(1));
    for engines in [Engines::Exact, Engines::Device] {
        let evaluation = run.on(&engines).unwrap();
        assert!(evaluation.differences.iter().all(Vec::is_empty));
        let layers = run.attribute(&engines, 4).unwrap();
        assert!(layers[0].codes.iter().all(|codes| codes.errors == 0));
        assert_eq!(layers[0].codes.len(), 1025);
    }
    let error = run.on(&Engines::Table).unwrap_err();
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "macro `gt-n40`: rows_per_conversion is 1024, but a code table of up to 1024 rows and 4096 codes would have 4303360000 entries, it must have at most 8388608"
    );
    assert!(CodeTable::from_spec(&spec).is_empty());

    let evaluate = |kernels| {
        let reference = Reference::with_kernels(&network, &images, kernels).unwrap();
        let programmed = Programmed::new(&reference, &mapping, &noisy, &NoiseScope::All).unwrap();
        programmed.run(0..2, Seed(1)).on(&Engines::Device).unwrap()
    };
    let evaluation = evaluate(Kernels::Scalar);
    assert!(evaluation.nearness.squared_error.iter().all(|&error| error > 0.0));
    assert_eq!(evaluate(Kernels::default()), evaluation);
}
