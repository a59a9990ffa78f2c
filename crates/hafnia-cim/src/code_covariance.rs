//! [`CodeCovariance`]: how the codes of two conversions of one column err together.

use crate::spec::{Adc, MacroSpec};

/// The covariance of the codes of two conversions of the same column of one chip, over chips.
///
/// Static errors recur: a cell that is on in both conversions, and the comparators, which are in
/// every conversion of their column, shift both codes. A code table, which knows one conversion
/// alone, cannot show that. Signals are jointly normal, so that for comparators k and l
/// P(both fire) − P(k fires)·P(l fires) = ∫₀^ρ φ₂(a, b; r) dr (Plackett 1954), with a and b their
/// distances in deviations and ρ the correlation that the shared cells, and for k = l the offset,
/// make; the covariance of the codes is the sum over k and l.
///
/// What is not normal, such as stuck cells, stands with its mean and variance, and a converter by
/// successive approximation for one whose comparators have offsets of their own.
///
/// Shared cells in HRS are left out: their variance is (σ_HRS / (σ_LRS · on/off ratio))² of that of
/// cells in LRS, for `gt-n40` an eighth at its default σ_LRS of 5 % and 1/72 at 15 %.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeCovariance {
    rows_per_conversion: usize,
    /// (rows, ones, rows, ones, shared ones); 0 where there is no such conversion.
    values: Vec<f64>,
}

/// Nodes and weights of the Gauss–Legendre rule on [−1, 1] with 16 points; the other half mirrors.
const LEGENDRE: [[f64; 2]; 8] = [
    [0.095_012_509_837_637_44, 0.189_450_610_455_068_5],
    [0.281_603_550_779_258_9, 0.182_603_415_044_923_6],
    [0.458_016_777_657_227_4, 0.169_156_519_395_002_54],
    [0.617_876_244_402_643_7, 0.149_595_988_816_576_73],
    [0.755_404_408_355_003, 0.124_628_971_255_533_87],
    [0.865_631_202_387_831_7, 0.095_158_511_682_492_78],
    [0.944_575_023_073_232_6, 0.062_253_523_938_647_89],
    [0.989_400_934_991_649_9, 0.027_152_459_411_754_095],
];

impl CodeCovariance {
    /// Most rows of a conversion for which the table is made; it grows with their fifth power.
    pub const MOST_ROWS: usize = 9;

    /// The covariances under the device model of `spec`.
    ///
    /// None if a conversion has more than [`MOST_ROWS`](Self::MOST_ROWS) rows. With 7 rows and
    /// 3 bits it takes some hundredths of a second.
    pub fn from_spec(spec: &MacroSpec) -> Option<Self> {
        let most = spec.rows_per_conversion;
        if most > Self::MOST_ROWS {
            return None;
        }
        let counts = most + 1;
        let states: Vec<State> = (0..=most)
            .flat_map(|rows| (0..=rows).map(move |ones| (rows, ones)))
            .map(|(rows, ones)| State::new(spec, rows, ones))
            .collect();
        let (_, cell) = spec.cell_moments(1, 1);
        let offset = spec.adc.offset_lsb * spec.adc.offset_lsb;
        let mut values = vec![0.0; counts.pow(5)];
        for (i, a) in states.iter().enumerate() {
            for b in &states[..=i] {
                for shared in 0..=a.ones.min(b.ones) {
                    let value = covariance(a, b, shared as f64 * cell, offset);
                    let [at, mirrored] = [[a, b], [b, a]]
                        .map(|[a, b]| index(counts, [a.rows, a.ones], [b.rows, b.ones], shared));
                    (values[at], values[mirrored]) = (value, value);
                }
            }
        }
        Some(Self { rows_per_conversion: most, values })
    }

    /// The covariance, in LSB², of the codes of conversions a and b, each given as its number of
    /// rows that are on and of ones among them, that have `shared` cells in LRS in common.
    ///
    /// # Panics
    /// If a number is over `rows_per_conversion`.
    #[inline]
    pub fn of(&self, a: [usize; 2], b: [usize; 2], shared: usize) -> f64 {
        self.values[index(self.rows_per_conversion + 1, a, b, shared)]
    }

    /// The covariances with conversion a, which is given by one number:
    /// rows · (`rows_per_conversion` + 1) + ones.
    ///
    /// # Panics
    /// If there is no such conversion.
    #[inline]
    pub fn with(&self, a: u16) -> CovarianceWith<'_> {
        let counts = self.rows_per_conversion + 1;
        let each = counts * counts * counts;
        let start = usize::from(a) * each;
        CovarianceWith { counts, values: &self.values[start..start + each] }
    }
}

/// The covariances of the codes of conversions with that of one of them.
#[derive(Debug, Clone, Copy)]
pub struct CovarianceWith<'a> {
    counts: usize,
    /// (rows, ones, shared ones).
    values: &'a [f64],
}

impl CovarianceWith<'_> {
    /// The covariance, in LSB², with a conversion given as in [`CodeCovariance::with`], that has
    /// `shared` cells in LRS in common with this one.
    ///
    /// # Panics
    /// If a number is out of range.
    #[inline]
    pub fn of(&self, b: u16, shared: usize) -> f64 {
        self.values[usize::from(b) * self.counts + shared]
    }
}

/// Where the value of two conversions stands, in a table for `counts` values of every number.
#[inline]
fn index(counts: usize, a: [usize; 2], b: [usize; 2], shared: usize) -> usize {
    let state = |[rows, ones]: [usize; 2]| rows * counts + ones;
    (state(a) * counts * counts + state(b)) * counts + shared
}

/// A conversion: what its comparators see.
struct State {
    rows: usize,
    ones: usize,
    deviation: f64,
    /// Threshold less mean signal, in deviations, a comparator each.
    distances: Vec<f64>,
}

impl State {
    fn new(spec: &MacroSpec, rows: usize, ones: usize) -> Self {
        let square = |x: f64| x * x;
        let (mean, of_cells) = spec.cell_moments(ones, rows);
        let variance = of_cells
            + spec.cell.read_variance_lsb2(ones, rows)
            + square(spec.adc.comparator_noise_lsb)
            + square(spec.adc.offset_lsb);
        let deviation = libm::sqrt(variance);
        let step = spec.reference_step_lsb();
        let distance = |comparator| (Adc::threshold_lsb(comparator) * step - mean) / deviation;
        Self { rows, ones, deviation, distances: (0..spec.adc.max_code()).map(distance).collect() }
    }
}

/// The covariance of two codes whose signals share a variance, and whose comparators an offset.
fn covariance(a: &State, b: &State, shared: f64, offset: f64) -> f64 {
    let scale = a.deviation * b.deviation;
    if scale == 0.0 {
        return 0.0;
    }
    let mut sum = 0.0;
    for (k, &at) in a.distances.iter().enumerate() {
        for (l, &bt) in b.distances.iter().enumerate() {
            let common = shared + if k == l { offset } else { 0.0 };
            // Beyond 6 deviations a comparator is decided to 1e-9.
            if common > 0.0 && at.abs() < 6.0 && bt.abs() < 6.0 {
                sum += both(at, bt, (common / scale).min(1.0));
            }
        }
    }
    sum
}

/// P(x > a and y > b) − P(x > a)·P(y > b) for standard normal x and y of correlation `rho` ≥ 0:
/// Plackett's integral with r = sin θ, so that its end at `rho` = 1 is tame.
fn both(a: f64, b: f64, rho: f64) -> f64 {
    let half = 0.5 * libm::asin(rho);
    let at = |theta: f64| {
        let (sine, cosine) = (libm::sin(theta), libm::cos(theta));
        libm::exp(-0.5 * (a * a + b * b - 2.0 * a * b * sine) / (cosine * cosine))
    };
    let sum: f64 = LEGENDRE
        .iter()
        .map(|[node, weight]| weight * (at(half * (1.0 - node)) + at(half * (1.0 + node))))
        .sum();
    sum * half / std::f64::consts::TAU
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code_table::CodeTable;

    fn spec(sigma_lrs_rel: f64, offset_lsb: f64) -> MacroSpec {
        let mut spec = MacroSpec::preset("gt-n40").unwrap();
        (spec.cell.sigma_lrs_rel, spec.adc.offset_lsb) = (sigma_lrs_rel, offset_lsb);
        spec
    }

    fn normal(x: f64) -> f64 {
        0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
    }

    #[test]
    fn both_has_its_closed_forms() {
        for a in [-3.0, -0.7, 0.0, 0.4, 2.5] {
            assert_eq!(both(a, 1.0, 0.0), 0.0);
            // Fully correlated, the same threshold: p(1 − p). The integrand has a corner of height
            // exp(−a²/2) there, which 16 points meet to about 1e-3.
            let p = normal(-a);
            assert!((both(a, a, 1.0) - p * (1.0 - p)).abs() < 2e-3, "{a}");
        }
        // Sheppard 1898: at the medians, asin(ρ)/2π.
        for rho in [0.1, 0.5, 0.9, 1.0] {
            let expected = libm::asin(rho) / std::f64::consts::TAU;
            assert!((both(0.0, 0.0, rho) - expected).abs() < 1e-12);
        }
    }

    /// Against the definition by a fine sum: the shared part x fixed, both codes are independent.
    #[test]
    fn shared_cells_make_codes_covary() {
        let spec = spec(0.2, 0.0);
        let table = CodeCovariance::from_spec(&spec).unwrap();
        for (a, b, shared) in [([7, 3], [7, 3], 2), ([7, 4], [5, 2], 1), ([1, 1], [1, 1], 1)] {
            let common = shared as f64 * spec.cell.static_variance_lsb2(1, 1);
            let conditional = |state: &State, x: f64| -> f64 {
                let rest = (state.deviation * state.deviation - common).sqrt();
                let distances = state.distances.iter().map(|d| d * state.deviation - x);
                distances.map(|distance| normal(-distance / rest)).sum()
            };
            let [sa, sb] = [a, b].map(|[rows, ones]| State::new(&spec, rows, ones));
            let (mut product, mut mean_a, mut mean_b) = (0.0, 0.0, 0.0);
            let steps = 4000;
            for step in 0..steps {
                let z = -8.0 + 16.0 * (f64::from(step) + 0.5) / f64::from(steps);
                let density = libm::exp(-0.5 * z * z) / std::f64::consts::TAU.sqrt();
                let weight = density * 16.0 / f64::from(steps);
                let x = z * common.sqrt();
                let (ca, cb) = (conditional(&sa, x), conditional(&sb, x));
                product += weight * ca * cb;
                mean_a += weight * ca;
                mean_b += weight * cb;
            }
            let expected = product - mean_a * mean_b;
            let found = table.of(a, b, shared);
            assert!((found - expected).abs() < 1e-4, "{a:?} {b:?}: {found}, not {expected}");
        }
    }

    #[test]
    fn a_conversion_with_itself_covaries_by_no_more_than_its_variance() {
        for spec in [spec(0.05, 0.1), spec(0.2, 0.2), spec(0.3, 0.3), spec(0.0, 0.2)] {
            let (table, codes) =
                (CodeCovariance::from_spec(&spec).unwrap(), CodeTable::from_spec(&spec));
            for (rows, ones) in codes.conversions() {
                let found = table.of([rows, ones], [rows, ones], ones);
                let variance = codes.moments(rows, ones).variance;
                // 2e-3 of the integral's corner for each of the few comparators in reach.
                assert!(found <= variance + 6e-3, "{rows} {ones}: {found} {variance}");
                assert!(found >= 0.0);
            }
        }
    }

    #[test]
    fn without_static_errors_there_is_none() {
        let mut spec = spec(0.0, 0.0);
        spec.cell.sigma_hrs_rel = 0.0;
        let table = CodeCovariance::from_spec(&spec).unwrap();
        assert!(table.values.iter().all(|&value| value == 0.0));
        let table = CodeCovariance::from_spec(&spec.without_noise()).unwrap();
        assert!(table.values.iter().all(|&value| value == 0.0));
    }
}
