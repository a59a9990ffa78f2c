//! Products of matrices by `device` and by the analog tiles of aihwkit (Rasch et al., AICAS 2021),
//! under the same noise.
//!
//! Both are given random weights of 1 bit, stored as cells of 0 and 1 with an infinite on/off ratio,
//! and the same inputs of 2 bits; rows are gathered by the ordered scan, seven at a time, and read
//! by a converter of 3 bits. aihwkit's tiles draw what varies themselves, and read noise cell by
//! cell, where `device` draws one number for a conversion: products.py.
//!
//! A sample is an output with all that is random drawn anew: the conversions of another image, or
//! another chip. Outputs of different columns are independent, so that over all inputs and columns
//! the difference of the means and that of the variances, each divided by its standard error, are
//! normal with variance 1; both must lie within ±[`LIMIT`]. The largest of the single differences
//! is shown beside them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use hafnia_cim::MacroSpec;
use hafnia_ir::{Mapping, Place, Stage};
use hafnia_model::{BitMatrix, Input, Layer, Linear, Network, run as run_network};
use hafnia_report::{Align, Table};
use hafnia_rng::Seed;
use hafnia_sim::{Chip, Device, Mapped, Plan};
use rand::RngExt;
use serde::{Deserialize, Serialize};

const SCRIPT: &str = include_str!("products.py");
const SEED: Seed = Seed(1);
/// Samples of every output.
const SAMPLES: usize = 200;
const INPUTS: usize = 5;
/// 99.9 % of a normal distribution lies within.
const LIMIT: f64 = 3.29;

/// Rows and columns: the final layer of LeNet-5 and its first linear one.
const MATRICES: [[usize; 2]; 2] = [[84, 10], [400, 120]];

/// Noise, relative or in LSB; so much that most outputs err.
const SETTINGS: [Setting; 5] = [
    Setting { name: "none", read: 0.0, comparator: 0.0, cells: 0.0 },
    Setting { name: "read noise 20 % a cell", read: 0.2, comparator: 0.0, cells: 0.0 },
    Setting { name: "converter noise 0.3 LSB", read: 0.0, comparator: 0.3, cells: 0.0 },
    Setting { name: "σ_LRS 20 %", read: 0.0, comparator: 0.0, cells: 0.2 },
    Setting { name: "all: 10 %, 0.2 LSB, 15 %", read: 0.1, comparator: 0.2, cells: 0.15 },
];

struct Setting {
    name: &'static str,
    read: f64,
    comparator: f64,
    cells: f64,
}

/// What products.py is given of a matrix under a setting.
#[derive(Serialize)]
struct Case {
    bits: Vec<Vec<u8>>,
    inputs: Vec<Vec<u8>>,
    max_code: usize,
    rows_per_conversion: usize,
    samples: usize,
    sigma_lrs_rel: f64,
    read_noise_rel: f64,
    comparator_noise_lsb: f64,
}

#[derive(Serialize)]
struct Given<'a> {
    seed: u64,
    cases: &'a [Case],
}

/// (input, sample, column).
#[derive(Deserialize)]
struct Outputs(Vec<Vec<Vec<i32>>>);

pub(super) fn run(python: &Path) -> anyhow::Result<()> {
    let settings = MATRICES.iter().flat_map(|&size| SETTINGS.iter().map(move |s| (size, s)));
    let settings: Vec<_> = settings.collect();
    let cases: Vec<Case> =
        settings.iter().map(|(size, setting)| Case::new(*size, setting)).collect();
    let theirs = ask(python, &cases)?;
    ensure!(theirs.len() == cases.len(), "products.py left out matrices");
    let left = [("matrix", Align::Left), ("noise", Align::Left)];
    let right = ["mean error, ours", "theirs", "z", "σ, ours", "theirs", "z", "largest z, of"]
        .map(|name| (name, Align::Right));
    let mut table = Table::new(left.into_iter().chain(right));
    let mut misses = Vec::new();
    for (((size, setting), case), theirs) in settings.iter().zip(&cases).zip(&theirs) {
        let ours = case.by_device(*size)?;
        let compared = Comparison::of(case, &ours, theirs)?;
        let name = format!("{}×{}", size[0], size[1]);
        if compared.mean_z.abs() > LIMIT || compared.variance_z.abs() > LIMIT {
            misses.push(format!("{name}, {}", setting.name));
        }
        let [of_ours, of_theirs] = [&compared.ours, &compared.theirs];
        table.row([
            name,
            setting.name.into(),
            format!("{:+.4}", of_ours.error),
            format!("{:+.4}", of_theirs.error),
            format!("{:+.2}", compared.mean_z),
            format!("{:.4}", of_ours.variance.sqrt()),
            format!("{:.4}", of_theirs.variance.sqrt()),
            format!("{:+.2}", compared.variance_z),
            format!("{:.2}, {}", compared.largest_z, compared.outputs),
        ]);
    }
    print!("{}", table.to_markdown());
    if !misses.is_empty() {
        bail!("device and aihwkit differ by more than {LIMIT} standard errors: {misses:?}");
    }
    Ok(())
}

/// What products.py makes of the cases.
fn ask(python: &Path, cases: &[Case]) -> anyhow::Result<Vec<Outputs>> {
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} cannot be run: give --python", python.display()))?;
    let given = serde_json::to_vec(&Given { seed: SEED.0, cases })?;
    // A script that cannot start says so on stderr and by its exit code.
    let written = child.stdin.take().context("stdin is piped")?.write_all(&given);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "products.py failed: {}", output.status);
    written?;
    serde_json::from_slice(&output.stdout).context("what products.py printed")
}

impl Case {
    fn new([rows, columns]: [usize; 2], setting: &Setting) -> Self {
        let mut rng = SEED.site("validate/aihwkit").index((rows * columns) as u64).rng();
        let mut bits = |_| (0..columns).map(|_| u8::from(rng.random_bool(0.5))).collect();
        let bits = (0..rows).map(&mut bits).collect();
        // As sparse as activations are after training.
        let mut input = |_| (0..rows).map(|_| rng.random_range(-3..=3i8).max(0) as u8).collect();
        let inputs = (0..INPUTS).map(&mut input).collect();
        Self {
            bits,
            inputs,
            max_code: 7,
            rows_per_conversion: 7,
            samples: SAMPLES,
            sigma_lrs_rel: setting.cells,
            read_noise_rel: setting.read,
            comparator_noise_lsb: setting.comparator,
        }
    }

    fn spec(&self) -> anyhow::Result<MacroSpec> {
        let mut spec = MacroSpec::preset("gt-n40")?.without_noise();
        (spec.rows, spec.columns) = (self.bits.len(), self.bits[0].len());
        spec.cell.on_off_ratio = f64::INFINITY;
        spec.cell.sigma_lrs_rel = self.sigma_lrs_rel;
        spec.cell.read_noise_rel = self.read_noise_rel;
        spec.adc.comparator_noise_lsb = self.comparator_noise_lsb;
        assert_eq!(spec.adc.max_code(), self.max_code);
        assert_eq!(spec.rows_per_conversion, self.rows_per_conversion);
        Ok(spec)
    }

    fn by_device(&self, [rows, columns]: [usize; 2]) -> anyhow::Result<Outputs> {
        let spec = self.spec()?;
        let weights = BitMatrix::from_fn(rows, columns, |row, column| self.bits[row][column] == 1);
        let input = Input::upper_bits(rows, 1, 1, 2);
        let layer = Linear { name: "only".into(), weights: weights.into(), thresholds: None };
        let network = Network::new(input, vec![Layer::Linear(layer)])?;
        let mut mapping = Mapping::logical(&network, &spec);
        mapping.stage = Stage::Placed;
        mapping.tiles[0].place = Some(Place { macro_index: 0, row: 0, column: 0 });
        let plan = Plan::new(&network, &mapping, &spec)?;
        let chip_of = |number: usize| Chip::program(&mapping, &spec, SEED, number as u64);
        let mut chip = chip_of(0)?;
        let mut outputs = Vec::new();
        for (index, values) in self.inputs.iter().enumerate() {
            let mut samples = Vec::new();
            for sample in index * SAMPLES..(index + 1) * SAMPLES {
                if self.sigma_lrs_rel > 0.0 {
                    chip = chip_of(sample)?;
                }
                let mut mapped = Mapped::new(&plan, Device::new(&chip, &spec, SEED));
                mapped.image = sample as u32;
                samples.push(run_network(&network, values, &mut mapped));
            }
            outputs.push(samples);
        }
        Ok(Outputs(outputs))
    }

    /// The products without noise, (input, column).
    fn exact(&self) -> Vec<Vec<i32>> {
        let product = |values: &Vec<u8>, column: usize| {
            let of_row = |(bits, &value): (&Vec<u8>, &u8)| {
                i32::from(value) * (2 * i32::from(bits[column]) - 1)
            };
            self.bits.iter().zip(values).map(of_row).sum()
        };
        let columns = 0..self.bits[0].len();
        let of_input = |values| columns.clone().map(|column| product(values, column)).collect();
        self.inputs.iter().map(of_input).collect()
    }
}

/// Two samples of every output, compared.
struct Comparison {
    ours: Moments,
    theirs: Moments,
    mean_z: f64,
    variance_z: f64,
    /// Of the means and variances of single outputs.
    largest_z: f64,
    outputs: usize,
}

/// Means over outputs.
#[derive(Default)]
struct Moments {
    /// Mean error.
    error: f64,
    /// Variance.
    variance: f64,
}

/// Of a sample, each with the square of its standard error.
struct Estimate {
    mean: [f64; 2],
    variance: [f64; 2],
}

impl Comparison {
    fn of(case: &Case, ours: &Outputs, theirs: &Outputs) -> anyhow::Result<Self> {
        let exact = case.exact();
        let mut compared = Self {
            ours: Moments::default(),
            theirs: Moments::default(),
            mean_z: 0.0,
            variance_z: 0.0,
            largest_z: 0.0,
            outputs: exact.iter().map(Vec::len).sum(),
        };
        let outputs = compared.outputs as f64;
        // Sums of differences and of the squares of their standard errors.
        let mut sums = [[0.0; 2]; 2];
        for (input, exact) in exact.iter().enumerate() {
            for (column, &exact) in exact.iter().enumerate() {
                let estimate = |of: &Outputs| {
                    let samples = of.0.get(input).filter(|samples| samples.len() == SAMPLES);
                    let samples = samples.context("products.py left out samples")?;
                    let output = |sample: &Vec<i32>| sample.get(column).map(|o| o - exact);
                    let errors: Option<Vec<i32>> = samples.iter().map(output).collect();
                    Ok::<_, anyhow::Error>(Estimate::of(&errors.context("columns are missing")?))
                };
                let [a, b] = [estimate(ours)?, estimate(theirs)?];
                for (moments, of) in [(&mut compared.ours, &a), (&mut compared.theirs, &b)] {
                    moments.error += of.mean[0] / outputs;
                    moments.variance += of.variance[0] / outputs;
                }
                for (sum, [a, b]) in
                    sums.iter_mut().zip([[a.mean, b.mean], [a.variance, b.variance]])
                {
                    let (difference, square) = (a[0] - b[0], a[1] + b[1]);
                    sum[0] += difference;
                    sum[1] += square;
                    let z = standardised([difference, square]).abs();
                    compared.largest_z = compared.largest_z.max(z);
                }
            }
        }
        [compared.mean_z, compared.variance_z] = sums.map(standardised);
        Ok(compared)
    }
}

/// A difference by its standard error; 0 where both are 0, infinite where only the error is.
fn standardised([difference, square]: [f64; 2]) -> f64 {
    if difference == 0.0 { 0.0 } else { difference / square.sqrt() }
}

impl Estimate {
    fn of(values: &[i32]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / n;
        let moment = |power| {
            values.iter().map(|&value| (f64::from(value) - mean).powi(power)).sum::<f64>() / n
        };
        let variance = moment(2) * n / (n - 1.0);
        let of_variance = (moment(4) - variance * variance * (n - 3.0) / (n - 1.0)) / n;
        Self { mean: [mean, variance / n], variance: [variance, of_variance.max(0.0)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_is_within_the_limit_and_what_is_not_is_beyond() {
        let case = Case { samples: SAMPLES, ..Case::new([84, 10], &SETTINGS[1]) };
        let ours = case.by_device([84, 10]).unwrap();
        let same = Comparison::of(&case, &ours, &ours).unwrap();
        assert_eq!((same.mean_z, same.variance_z, same.largest_z), (0.0, 0.0, 0.0));

        let noisier = Case { read_noise_rel: 0.22, ..Case::new([84, 10], &SETTINGS[1]) };
        let noisier = noisier.by_device([84, 10]).unwrap();
        let differs = Comparison::of(&case, &ours, &noisier).unwrap();
        assert!(differs.variance_z < -LIMIT, "{}", differs.variance_z);
    }

    #[test]
    fn estimates_of_a_small_sample() {
        let of = Estimate::of(&[-1, 1, -1, 1]);
        assert_eq!(of.mean, [0.0, 1.0 / 3.0]);
        assert_eq!(of.variance[0], 4.0 / 3.0);
    }
}
