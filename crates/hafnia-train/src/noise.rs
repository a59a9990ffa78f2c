//! The errors of a macro, as the forward pass suffers them.
//!
//! Let A = Σ a be the sum of the activations, B = Σ over rows and planes p that are on of 4^p, r the
//! rows of a conversion, and f = (S/A + 1)/2 the part of ones among what is on.
//!
//! **A chip's own.** Every cell's conductance is off by a fixed amount. A conversion whose signal is
//! off by s has a code that is off by G·s on average, where the gain G is the density of the
//! comparators' thresholds around the signal (Stein's lemma: E\[code·s\] = Var(s)·E\[d code/ds\]).
//! The more ones, the more noise, and the likelier a threshold is crossed: G is a function of f, the
//! mean over conversions with each of their rows a one by chance f, weighted by the variance of s.
//! So a sum is off by G(f)·Σ 2·δ·a, δ drawn anew for every shard of images as if it met another
//! chip; rows that share a pattern share their cells and so their δ. Two shards in succession share
//! a chip, the second one with all its deviations reversed.
//!
//! The offset of a comparator shifts the codes of its column by the offset times the density of
//! signals around its threshold: to all weights of a column a common number is added.
//!
//! **What is left** of a code's error, given the table P(code | ones, rows), is drawn anew for every
//! sum. A conversion at f has a code error of mean M(f) and variance V(f), of which G(f)²·L(f) is the
//! chip's own, L being the variance of its signal. With A/r and B/r conversions, weighted by 2·2^p
//! and 4·4^p, the rest of the error of S is taken as normal with
//!
//! mean 2·M(f)·A/r, variance 4·(V(f) − G(f)²·L(f))·B/r.
//!
//! That leaves out that the last conversion of a plane is not full. A recipe may exaggerate all
//! deviations, but not the mean, by a `strength`: a margin against errors that keeps their shape,
//! which those of worse cells do not.
//!
//! **Derivatives** pass through the errors: a sum with more ones, and a cell that conducts, suffers
//! more, and training avoids both where they hurt. On the way back three things are simplified: the
//! deviations of the weights are taken at G(½), that of a cell is a straight line from −1 to +1, and
//! A and B, which depend on the activations before, are taken as given.
//!
//! It costs one draw per weight and one per sum instead of one per conversion, and the product of the
//! deviations beside that of the weights.

use hafnia_artifact::Digest;
use hafnia_cim::{Adc, CodeTable, MacroSpec};
use hafnia_rng::{Counter, Seed};

use crate::config::Noise;
use crate::error::TrainError;

/// Intervals of f between which mean and deviation are interpolated.
const INTERVALS: usize = 64;
/// The stream of the draws of columns, beside those of the layers, which are numbered from 0.
const COLUMNS: u8 = 254;
/// The stream of the draws of a chip, beside those of the image that it shares them with.
pub(crate) const CHIP: u8 = 255;

/// Errors of a macro.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Errors {
    /// Of f = i/`INTERVALS`: 2·M(f)/r, G(f), and 2·√((V(f) − G(f)²·L(f))/r).
    curve: Vec<[f32; 3]>,
    /// G(½).
    gain: f32,
    /// Deviation of a weight −1 and of a weight +1: 2·σ of a cell's conductance, in LSB.
    of_weight: [f32; 2],
    /// Deviation common to the weights of a column, to be multiplied by the gain like the others.
    of_column: f32,
}

/// What the images of a shard suffer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Suffered {
    /// Of every image; without any, there are no errors.
    pub(crate) draws: Vec<Counter>,
    /// What the weights of every layer are off by, (row, output).
    pub(crate) deviations: Vec<Vec<f32>>,
}

/// What disturbs the sums of a layer before they are pooled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disturbance<'a> {
    pub(crate) errors: &'a Errors,
    /// Of every image.
    pub(crate) draws: &'a [Counter],
    /// What the weights are off by, (row, output).
    pub(crate) deviations: &'a [f32],
}

/// What is on of the inputs of a sum.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct On {
    /// The sum A of the activations.
    pub(crate) a: f32,
    /// The sum B of 4^p over the planes p that are on.
    pub(crate) b: f32,
}

/// The deviations of a chip's cells and columns: those drawn, or all of them reversed.
///
/// What errors do to a gradient in first order cancels between a chip and its reverse, so that the
/// two together tell more than two chips would (antithetic sampling).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chip {
    pub(crate) draws: Counter,
    pub(crate) is_reversed: bool,
}

impl Errors {
    /// The errors of the macro that a recipe names.
    pub(crate) fn new(noise: &Noise) -> Result<Self, TrainError> {
        let mut spec = MacroSpec::load(&noise.macro_name)?;
        spec.cell.sigma_lrs_rel = noise.sigma_lrs;
        spec.adc.offset_lsb = noise.adc_offset_lsb;
        spec.validate()?;
        // The errors are those of a code table.
        spec.check_measured_table()?;
        spec.check_table_size()?;
        Ok(Self::of_spec(&spec, noise.strength))
    }

    /// What tells them from those of another macro.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of_value(&(&self.curve, self.gain, self.of_weight, self.of_column))
    }

    fn of_spec(spec: &MacroSpec, strength: f64) -> Self {
        let (table, rows) = (CodeTable::from_spec(spec), spec.rows_per_conversion);
        let of_cells = |ones: usize| spec.cell.static_variance_lsb2(ones, rows);
        let gain = |ones: usize| {
            let adc = &spec.adc;
            let others = adc.offset_lsb.powi(2) + adc.comparator_noise_lsb.powi(2);
            let variance = of_cells(ones) + spec.cell.read_variance_lsb2(ones, rows) + others;
            let threshold = |code: usize| Adc::threshold_lsb(code) - ones as f64;
            (0..adc.max_code()).map(|code| normal_density(threshold(code), variance)).sum::<f64>()
        };
        let over_ones = |f: f64, value: &dyn Fn(usize) -> f64| {
            (0..=rows).map(|ones| binomial(rows, ones, f) * value(ones)).sum::<f64>()
        };
        let gain = |f| over_ones(f, &|ones| gain(ones) * of_cells(ones)) / over_ones(f, &of_cells);
        let curve = (0..=INTERVALS).map(|i| {
            let f = i as f64 / INTERVALS as f64;
            let moments = |ones| table.moments(rows, ones);
            let mean = over_ones(f, &|ones| moments(ones).bias);
            let square = over_ones(f, &|ones| moments(ones).variance + moments(ones).bias.powi(2));
            let gain = gain(f);
            let rest = square - mean * mean - gain * gain * over_ones(f, &of_cells);
            let rows = rows as f64;
            let rest = 2.0 * strength * (rest.max(0.0) / rows).sqrt();
            [2.0 * mean / rows, gain, rest].map(|of_f| of_f as f32)
        });
        let [hrs, lrs] = [0, 1].map(|ones| spec.cell.static_variance_lsb2(ones, 1).sqrt());
        let of_weight = [hrs, lrs].map(|sigma| (2.0 * strength * sigma) as f32);
        // The signal is near a comparator's threshold with the density of both.
        let density = |code: usize| {
            let near = |ones: usize| {
                let others = spec.adc.comparator_noise_lsb.powi(2)
                    + spec.cell.read_variance_lsb2(ones, rows);
                normal_density(Adc::threshold_lsb(code) - ones as f64, of_cells(ones) + others)
            };
            over_ones(0.5, &near)
        };
        let densities = (0..spec.adc.max_code()).map(|code| density(code).powi(2)).sum::<f64>();
        let of_column = 2.0 * spec.adc.offset_lsb * densities.sqrt() / rows as f64;
        let of_column = strength * of_column / gain(0.5);
        let (curve, gain) = (curve.collect(), gain(0.5) as f32);
        Self { curve, gain, of_weight, of_column: of_column as f32 }
    }

    /// What the weights ±1, (row, column), are off by on a chip, but for the gain.
    pub(crate) fn deviations(&self, weights: &[f32], columns: usize, chip: Chip) -> Vec<f32> {
        let of_columns = chip.stream(COLUMNS);
        let of_columns: Vec<f32> =
            (0..columns).map(|column| self.of_column * of_columns.deviation(column)).collect();
        let on_chip = |(cell, &weight): (usize, &f32)| {
            let of_cell = self.of_weight[usize::from(weight > 0.0)] * chip.deviation(cell);
            of_cell + of_columns[cell % columns]
        };
        weights.iter().enumerate().map(on_chip).collect()
    }

    /// Weights with these deviations where half of what is on are ones.
    pub(crate) fn on_chip(&self, weights: &[f32], deviations: &[f32]) -> Vec<f32> {
        let of = |(weight, deviation): (&f32, &f32)| weight + self.gain * deviation;
        weights.iter().zip(deviations).map(of).collect()
    }

    /// Derivatives of the weights on a chip by the weights ±1.
    ///
    /// A cell's deviation is taken as a straight line through that of −1 and that of +1, so that
    /// training knows that a conducting cell is off by more.
    pub(crate) fn by_weight(&self, cells: usize, chip: Chip) -> Vec<f32> {
        let [low, high] = self.of_weight;
        let slope = self.gain * (high - low) / 2.0;
        (0..cells).map(|cell| 1.0 + slope * chip.deviation(cell)).collect()
    }

    /// A sum with its error, and its derivative by the sum without.
    ///
    /// `sum` is that of the weights that [`on_chip`](Self::on_chip) returns, `of_chip` that of their
    /// deviations; the draw is number `index`.
    #[inline(always)]
    pub(crate) fn disturb(
        &self,
        sum: f32,
        of_chip: f32,
        On { a, b }: On,
        draws: Counter,
        index: usize,
    ) -> [f32; 2] {
        if a == 0.0 {
            return [sum, 1.0];
        }
        let sum = sum - self.gain * of_chip;
        let per_sum = 0.5 * INTERVALS as f32 / a;
        let at = ((sum + a) * per_sum).clamp(0.0, INTERVALS as f32);
        let below = (at as usize).min(INTERVALS - 1);
        let t = at - below as f32;
        let [low, high] = [self.curve[below], self.curve[below + 1]];
        let factors = [a, of_chip, b.sqrt() * draws.fast_normal(index as u64)];
        let (mut disturbed, mut by_at) = (sum, 0.0);
        for (i, factor) in factors.into_iter().enumerate() {
            let slope = high[i] - low[i];
            disturbed += (low[i] + t * slope) * factor;
            by_at += slope * factor;
        }
        [disturbed, 1.0 + by_at * per_sum]
    }
}

impl On {
    /// One input that is on with this activation.
    pub(crate) fn of(activation: f32) -> Self {
        let bits = activation as u32;
        let square =
            |plane: u32| if bits >> plane & 1 == 1 { (1u32 << (2 * plane)) as f32 } else { 0.0 };
        Self { a: activation, b: (0..8).map(square).sum() }
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { a: self.a + other.a, b: self.b + other.b }
    }
}

/// The draws of an epoch's image, or of a chip's: a counter of their own, keyed by a block.
pub(crate) fn draws_at(draws: &Counter, [first, second]: [u32; 2]) -> Counter {
    let [low, high, ..] = draws.block([first, second, 0, 0]);
    Seed(u64::from(high) << 32 | u64::from(low)).counter()
}

impl Chip {
    /// The deviations of a layer, or of what else is numbered.
    pub(crate) fn stream(self, number: u8) -> Self {
        Self { draws: self.draws.stream(number), ..self }
    }

    /// Nearly normal with mean 0 and variance 1.
    #[inline(always)]
    fn deviation(self, index: usize) -> f32 {
        let drawn = self.draws.fast_normal(index as u64);
        if self.is_reversed { -drawn } else { drawn }
    }
}

fn normal_density(x: f64, variance: f64) -> f64 {
    libm::exp(-x * x / (2.0 * variance)) / (2.0 * std::f64::consts::PI * variance).sqrt()
}

fn binomial(n: usize, k: usize, p: f64) -> f64 {
    let choose: f64 = (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product();
    choose * libm::pow(p, k as f64) * libm::pow(1.0 - p, (n - k) as f64)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    fn noise() -> Noise {
        Noise {
            macro_name: "gt-n40".into(),
            sigma_lrs: 0.15,
            adc_offset_lsb: 0.1,
            strength: 1.0,
            from_epoch: 1,
        }
    }

    /// Random rows and activations read off conversion by conversion, in the order of the scan, on
    /// cells that are off: the errors of a sum, both those that a chip makes on average and those
    /// that it makes beside them, have about the deviation that is drawn here.
    #[test]
    fn the_errors_are_those_of_conversions() {
        const ROWS: usize = 150;
        const CHIPS: usize = 300;
        const IMAGES: usize = 60;
        let mut spec = MacroSpec::preset("gt-n40").unwrap();
        spec.cell.sigma_lrs_rel = noise().sigma_lrs;
        spec.adc.offset_lsb = noise().adc_offset_lsb;
        let errors = Errors::new(&noise()).unwrap();
        let mut rng = Seed(8).site("test/noise").rng();
        for chance in [0.35, 0.5, 0.65] {
            let bits: Vec<bool> = (0..ROWS).map(|_| rng.random_bool(chance)).collect();
            let images: Vec<Vec<u8>> = (0..IMAGES)
                .map(|_| (0..ROWS).map(|_| rng.random_range(-2..4i8).max(0) as u8).collect())
                .collect();
            let sigma = |bit: bool| spec.cell.static_variance_lsb2(usize::from(bit), 1).sqrt();
            // Per chip and image, as conversions give it and as it is drawn here.
            let mut real = Vec::new();
            let mut drawn = Vec::new();
            for chip in 0..CHIPS {
                let cell = Seed(chip as u64).counter().stream(100);
                let virtual_chip = Chip { draws: Seed(chip as u64).counter(), is_reversed: false };
                let off: Vec<f64> = (0..ROWS)
                    .map(|row| sigma(bits[row]) * f64::from(cell.fast_normal(row as u64)))
                    .collect();
                let offsets: Vec<f64> = (0..spec.adc.max_code())
                    .map(|k| spec.adc.offset_lsb * f64::from(cell.fast_normal(1000 + k as u64)))
                    .collect();
                let mut temporal = 0;
                for (number, image) in images.iter().enumerate() {
                    let mut error = 0.0;
                    for plane in 0..2 {
                        let on: Vec<usize> =
                            (0..ROWS).filter(|&row| image[row] >> plane & 1 == 1).collect();
                        for group in on.chunks(spec.rows_per_conversion) {
                            let ones = group.iter().filter(|&&row| bits[row]).count();
                            let read = spec.cell.read_variance_lsb2(ones, group.len())
                                + spec.adc.comparator_noise_lsb.powi(2);
                            temporal += 1;
                            let fresh = f64::from(cell.fast_normal(2000 + temporal));
                            let signal = ones as f64
                                + group.iter().map(|&row| off[row]).sum::<f64>()
                                + read.sqrt() * fresh;
                            let code = (offsets.iter().enumerate())
                                .filter(|&(k, offset)| signal > k as f64 + 0.5 + offset)
                                .count();
                            error += 2.0 * f64::from(1 << plane) * (code as f64 - ones as f64);
                        }
                    }
                    real.push(error);
                    let sign = |row: usize| if bits[row] { 1.0 } else { -1.0 };
                    let weights: Vec<f32> = (0..ROWS).map(sign).collect();
                    let deviations = errors.deviations(&weights, 1, virtual_chip);
                    let on_chip = errors.on_chip(&weights, &deviations);
                    let [mut exact, mut sum, mut of_chip] = [0.0f32; 3];
                    let mut on = On::default();
                    for (row, &activation) in image.iter().enumerate() {
                        let activation = f32::from(activation);
                        exact += weights[row] * activation;
                        sum += on_chip[row] * activation;
                        of_chip += deviations[row] * activation;
                        on = on.plus(On::of(activation));
                    }
                    let draws = Seed((chip * IMAGES + number) as u64).counter().stream(7);
                    let [disturbed, _] = errors.disturb(sum, of_chip, on, draws, 0);
                    drawn.push(f64::from(disturbed - exact));
                }
            }
            // The deviation of a chip's mean over images, and of what is left.
            let parts = |errors: &[f64]| {
                let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
                let means: Vec<f64> = errors.chunks(IMAGES).map(mean).collect();
                let grand = mean(&means);
                let of_chip = mean(&means.iter().map(|m| (m - grand).powi(2)).collect::<Vec<_>>());
                let left = errors.chunks(IMAGES).zip(&means).map(|(errors, m)| {
                    mean(&errors.iter().map(|error| (error - m).powi(2)).collect::<Vec<_>>())
                });
                [grand, of_chip.sqrt(), mean(&left.collect::<Vec<_>>()).sqrt()]
            };
            let (real, drawn) = (parts(&real), parts(&drawn));
            let told = format!("ones {chance}: real {real:.2?}, drawn {drawn:.2?}");
            assert!((0.75..1.33).contains(&(drawn[1] / real[1])), "{told}");
            assert!((0.75..1.33).contains(&(drawn[2] / real[2])), "{told}");
            assert!((drawn[0] - real[0]).abs() < 0.5 * real[2], "{told}");
        }
    }

    /// Between two points of the curves an error is a straight line over the sum.
    #[test]
    fn the_derivative_is_that_of_the_error() {
        const A: f32 = 64.0;
        let errors = Errors::new(&noise()).unwrap();
        // With A = `INTERVALS` the points lie two apart.
        for exact in [-61.0, -31.0, -3.0, 1.0, 29.0, 57.0] {
            let disturb = |exact: f32| {
                errors.disturb(
                    exact + errors.gain * 5.0,
                    5.0,
                    On { a: A, b: 100.0 },
                    Seed(3).counter(),
                    7,
                )
            };
            let [_, by_exact] = disturb(exact);
            let difference = (disturb(exact + 0.5)[0] - disturb(exact - 0.5)[0]) as f64;
            // Numbers below 128 are rounded to 2^-18, some ten times.
            assert!((difference - f64::from(by_exact)).abs() < 1e-4, "{exact}: {difference}");
        }
    }

    #[test]
    fn more_ones_are_off_by_more() {
        let errors = Errors::new(&noise()).unwrap();
        let gains: Vec<f32> = errors.curve.iter().map(|[_, gain, _]| *gain).collect();
        assert!(gains[..INTERVALS / 2].is_sorted(), "{gains:?}");
    }

    #[test]
    fn what_is_off_has_no_errors() {
        let errors = Errors::new(&noise()).unwrap();
        assert_eq!(errors.disturb(0.0, 0.0, On::default(), Seed(1).counter(), 3), [0.0, 1.0]);
    }

    #[test]
    fn planes_weigh_by_the_square() {
        let squares = [0.0, 1.0, 2.0, 3.0, 15.0].map(|activation| On::of(activation).b);
        assert_eq!(squares, [0.0, 1.0, 4.0, 5.0, 85.0]);
    }
}
