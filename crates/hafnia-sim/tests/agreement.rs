//! Where `table` and `device` agree with noise: (a) per conversion, with a fresh chip for each, and
//! (b) end to end, when every static term is 0. No other agreement is claimed.

use std::collections::BTreeMap;

use hafnia_cim::{CodeTable, MacroSpec};
use hafnia_ir::{Mapping, Place, Stage, TileId, random as random_mapping};
use hafnia_model::arithmetic::argmax;
use hafnia_model::random::{self, Limits};
use hafnia_model::{BitMatrix, Input, Layer, Linear, Network, run};
use hafnia_rng::Seed;
use hafnia_sim::{Chip, Conversion, Device, Engine, Mapped, Plan, Table};

/// The probability that a right simulator fails a test here, over all it compares.
const FAILURE: f64 = 1e-6;

fn noisy(sigma_lrs_rel: f64, offset_lsb: f64, read_noise_rel: f64, noise_lsb: f64) -> MacroSpec {
    let mut spec = MacroSpec::preset("gt-n40").expect("a preset");
    spec.cell.sigma_lrs_rel = sigma_lrs_rel;
    spec.cell.sigma_hrs_rel = sigma_lrs_rel;
    spec.cell.read_noise_rel = read_noise_rel;
    spec.adc.offset_lsb = offset_lsb;
    spec.adc.comparator_noise_lsb = noise_lsb;
    spec
}

/// (a): frequencies of codes over many chips against the code table.
fn check_conversions(spec: &MacroSpec) {
    const CHIPS: u64 = 250;
    let (rows, columns) = (7, 128);
    // Column c holds c % 8 ones, so that every number of rows meets many numbers of ones.
    let weights =
        BitMatrix::from_fn(rows, columns, |row, column| (row * 3 + column / 8) % rows < column % 8);
    let input = Input::upper_bits(rows, 1, 1, 1);
    let layer = Linear { name: "only".into(), weights: weights.clone().into(), thresholds: None };
    let network = Network::new(input, vec![Layer::Linear(layer)]).expect("it fits");
    let mut mapping = Mapping::logical(&network, spec);
    mapping.stage = Stage::Placed;
    mapping.tiles[0].place = Some(Place { macro_index: 0, row: 5, column: 0 });

    // (rows on, ones) → how often each code came.
    let mut counts: BTreeMap<(usize, usize), [u32; 8]> = BTreeMap::new();
    let mut codes = vec![0; columns];
    for chip in 0..CHIPS {
        let chip = Chip::program(&mapping, spec, Seed(11), chip).expect("it is placed");
        let device = Device::new(&chip, spec, Seed(11));
        for on in 1..=rows {
            let rows: Vec<u32> = (0..on as u32).collect();
            let ones_of = |column| (0..on).map(|row| u16::from(weights.get(row, column))).sum();
            let ones: Vec<u16> = (0..columns).map(ones_of).collect();
            let (tile, group) = (TileId(0), on as u32);
            let conversion = Conversion {
                tile,
                image: 0,
                position: 0,
                plane: 0,
                group,
                rows: &rows,
                ones: &ones,
                squares: &[],
            };
            device.convert(&conversion, &mut codes);
            for (&ones, &code) in ones.iter().zip(&codes) {
                counts.entry((on, ones.into())).or_default()[usize::from(code)] += 1;
            }
        }
    }

    // For one number of rows, columns and chips are independent: a code's frequency over N draws
    // is off its probability p by more than √(2·p·(1−p)·L/N) + L/(3·N) with a probability of
    // 2·exp(−L) (Bernstein). L is such that all cells together fail with `FAILURE`.
    let table = CodeTable::from_spec(spec);
    let bound = (2.0 * (counts.len() * 8) as f64 / FAILURE).ln();
    assert_eq!(counts.len(), 35, "all ones of all rows on");
    for ((on, ones), codes) in counts {
        let n = f64::from(codes.iter().sum::<u32>());
        for (code, &p) in table.probabilities(on, ones).iter().enumerate() {
            let frequency = f64::from(codes[code]) / n;
            let within = (2.0 * p * (1.0 - p) * bound / n).sqrt() + bound / (3.0 * n);
            assert!(
                (frequency - p).abs() <= within,
                "{on} on, {ones} ones, code {code}: {frequency}, not {p} within {within}"
            );
        }
    }
}

#[test]
fn conversions_of_the_default_macro_agree() {
    check_conversions(&noisy(0.05, 0.1, 0.01, 0.05));
}

#[test]
fn conversions_with_static_noise_agree() {
    check_conversions(&noisy(0.3, 0.3, 0.0, 0.0));
}

#[test]
fn conversions_with_temporal_noise_agree() {
    check_conversions(&noisy(0.0, 0.0, 0.1, 0.3));
}

#[test]
fn conversions_with_all_noise_agree() {
    check_conversions(&noisy(0.2, 0.2, 0.05, 0.2));
}

/// Effects that a code table shows exactly, one by one and together.
#[test]
fn conversions_with_effects_agree() {
    let check = |overrides: &[(&str, &str)]| {
        let mut spec = noisy(0.1, 0.1, 0.02, 0.1);
        for (key, value) in overrides {
            spec.set(key, value).expect("a valid override");
        }
        spec.check_table().expect("a table shows it");
        check_conversions(&spec);
    };
    let stuck = [("stuck_lrs_rate", "0.0175"), ("stuck_hrs_rate", "0.0904")];
    let traps = [("telegraph.rate", "0.3"), ("telegraph.lrs_rel", "0.2"), ("hrs_rel", "0.5")];
    let hot = [("celsius", "85"), ("lrs_per_k", "-0.002"), ("hrs_per_k", "0.01")];
    let old = [("drift_lrs", "1:1 86400:0.9"), ("time_s", "86400")];
    let read = [("reads", "1e6"), ("hrs_rel_per_decade", "0.2"), ("lrs_rel_per_decade", "-0.01")];
    check(&stuck);
    check(&traps);
    check(&hot);
    check(&[("gain_error_rel", "0.1"), ("reference_per_k", "0.001"), ("celsius", "85")]);
    check(&old);
    check(&read);
    check(&[("adc.kind", "sar"), ("offset_lsb", "0.3")]);
    check(&[&stuck[..], &traps, &hot, &old, &read, &[("gain_error_rel", "-0.1")]].concat());
}

const RUNS: u32 = 1_500;

/// What many runs of one image give: (mean, variance) of every output, and of every class how often
/// it was the answer.
fn outcome(network: &Network, plan: &Plan, engine: impl Engine) -> Vec<(f64, f64)> {
    let image = random::image(Seed(3), network.input());
    let mut mapped = Mapped::new(plan, engine);
    let mut sums = vec![(0.0, 0.0); 2 * network.classes()];
    for run_index in 0..RUNS {
        mapped.image = run_index;
        let outputs = run(network, &image, &mut mapped);
        let answer = argmax(&outputs);
        let is_answer = (0..outputs.len()).map(|class| f64::from(u8::from(class == answer)));
        let values = outputs.iter().map(|&output| f64::from(output)).chain(is_answer);
        for ((sum, squares), value) in sums.iter_mut().zip(values) {
            *sum += value;
            *squares += value * value;
        }
    }
    let n = f64::from(RUNS);
    sums.iter().map(|(sum, squares)| (sum / n, (squares - sum * sum / n) / (n - 1.0))).collect()
}

/// (b): whether outputs and answers of both engines could be of one distribution.
fn distributions_agree(spec: &MacroSpec, seed: Seed) -> bool {
    let limits = Limits {
        side: 4,
        channels: 2,
        convolutions: 1,
        linears: 2,
        outputs: 6,
        ..Limits::default()
    };
    let network = random::network(seed, limits);
    let mapping = random_mapping::mapping(seed, &network, &spec.into(), Stage::Placed);
    let plan = Plan::new(&network, &mapping, spec).expect("it fits");
    let chip = Chip::program(&mapping, spec, seed, 0).expect("it is placed");
    let device = outcome(&network, &plan, Device::new(&chip, spec, seed));
    let table = CodeTable::from_spec(spec);
    let table = Table::new(&table, spec, mapping.tiles.len(), seed, 0);
    let table = outcome(&network, &plan, table);

    // Runs are independent. Of n values with sample variance V in an interval of length R, the mean
    // is off by more than √(2·V·L/n) + 7·R·L/(3·(n−1)) with a probability of 2·exp(−L) (empirical
    // Bernstein bound: Maurer, Pontil, COLT 2009, both sides). L is such that all means of both
    // engines together fail with `FAILURE`.
    let last = network.matrices().pop().expect("a network ends in a matrix");
    // A code is off by 7 at most, so that a raw sum of G groups stays within 0..=7·G; there are not
    // more groups than rows in each plane.
    let reach = 2.0 * 7.0 * last.weights.rows() as f64 * f64::from((1u32 << last.input_bits) - 1);
    let means = 2 * device.len();
    let bound = (2.0 * means as f64 / FAILURE).ln();
    let n = f64::from(RUNS);
    let within = |variance: f64, range: f64| {
        (2.0 * variance * bound / n).sqrt() + 7.0 * range * bound / (3.0 * (n - 1.0))
    };
    device.iter().zip(&table).enumerate().all(|(index, (device, table))| {
        let range = if index < network.classes() { reach } else { 1.0 };
        (device.0 - table.0).abs() <= within(device.1, range) + within(table.1, range)
    })
}

#[test]
fn without_static_noise_distributions_agree_end_to_end() {
    let spec = noisy(0.0, 0.0, 0.1, 0.3);
    for seed in (0..6).map(Seed) {
        assert!(distributions_agree(&spec, seed), "{seed:?}");
    }
}

/// The bound is not so wide that anything passes: one chip's static errors are seen.
#[test]
fn with_static_noise_they_do_not() {
    let spec = noisy(0.5, 0.8, 0.0, 0.3);
    let differ = (0..6).map(Seed).filter(|&seed| !distributions_agree(&spec, seed)).count();
    assert!(differ > 0);
}
