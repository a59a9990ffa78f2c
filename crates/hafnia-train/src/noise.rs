//! The conversion errors of a macro, as the forward pass suffers them.
//!
//! A sum S of products is read off in conversions of at most r rows. Let A = Σ a be the sum of the
//! activations and B = Σ over rows and planes p that are on of 4^p, and let f = (S/A + 1)/2 be the
//! part of ones among what is on. A conversion of r rows with each a one by chance f has an error of
//! mean M(f) and variance V(f), both from the macro's own table P(code | ones, rows). With A/r and
//! B/r conversions, weighted by 2·2^p and 4·4^p, the error of S is taken as normal with
//!
//! mean 2·M(f)·A/r, variance 4·V(f)·B/r.
//!
//! That leaves out what one chip's errors have in common from image to image, and that the last
//! conversion of a plane is not full. It costs one draw a sum instead of one a conversion. The
//! straight-through derivative of the error is 0.

use hafnia_cim::{CodeTable, MacroSpec};

use crate::{Noise, TrainError};

/// Intervals of f between which mean and deviation are interpolated.
const INTERVALS: usize = 64;

/// Errors of conversions, by the part of ones.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Errors {
    /// Of f = i/`INTERVALS`: 2·M(f)/r, and 2·√(V(f)/r).
    curve: Vec<[f32; 2]>,
}

/// Draws of the errors of one image in one layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draws(pub(crate) u64);

impl Errors {
    /// The errors of the macro that a recipe names.
    pub(crate) fn new(noise: &Noise) -> Result<Self, TrainError> {
        let mut spec = MacroSpec::load(&noise.macro_name)?;
        spec.cell.sigma_lrs_rel = noise.sigma_lrs;
        spec.adc.offset_lsb = noise.adc_offset_lsb;
        spec.validate()?;
        Ok(Self::of_table(&CodeTable::from_spec(&spec)))
    }

    fn of_table(table: &CodeTable) -> Self {
        let rows = table.rows_per_conversion();
        let curve = (0..=INTERVALS).map(|i| {
            let f = i as f64 / INTERVALS as f64;
            let (mut mean, mut square) = (0.0, 0.0);
            for ones in 0..=rows {
                let chance = binomial(rows, ones, f);
                let moments = table.moments(rows, ones);
                mean += chance * moments.bias;
                square += chance * (moments.variance + moments.bias * moments.bias);
            }
            let rows = rows as f64;
            let variance = (square - mean * mean).max(0.0);
            [(2.0 * mean / rows) as f32, (2.0 * (variance / rows).sqrt()) as f32]
        });
        Self { curve: curve.collect() }
    }

    /// A sum with its error: of sum S, with A and B as above, and draw number `index`.
    #[inline(always)]
    pub(crate) fn disturb(&self, sum: f32, [a, b]: [f32; 2], draws: Draws, index: usize) -> f32 {
        if a == 0.0 {
            return sum;
        }
        let at = ((sum / a + 1.0) * (0.5 * INTERVALS as f32)).clamp(0.0, INTERVALS as f32);
        let below = (at as usize).min(INTERVALS - 1);
        let t = at - below as f32;
        let [low, high] = [self.curve[below], self.curve[below + 1]];
        let [mean, deviation] = [0, 1].map(|i| low[i] + t * (high[i] - low[i]));
        sum + mean * a + deviation * b.sqrt() * draws.normal(index)
    }
}

/// The weight 4^p of every plane of an activation that is on, summed.
pub(crate) fn square_weight(activation: f32) -> f32 {
    let bits = activation as u32;
    (0..8)
        .map(|plane| if bits >> plane & 1 == 1 { (1u32 << (2 * plane)) as f32 } else { 0.0 })
        .sum()
}

impl Draws {
    /// The draws of a layer.
    pub(crate) fn of_layer(self, layer: usize) -> Self {
        Self(mix(self.0 ^ (layer as u64) << 56))
    }

    /// Nearly normal with mean 0 and variance 1: the sum of four uniform numbers.
    #[inline(always)]
    fn normal(self, index: usize) -> f32 {
        let word = mix(self.0.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let sum = (word & 0xffff) + (word >> 16 & 0xffff) + (word >> 32 & 0xffff) + (word >> 48);
        // The sum of four has mean 2·65535 and variance 4·(65536² − 1)/12.
        (sum as f32 - 131_070.0) * (1.0 / 37_837.23)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
#[inline(always)]
fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn binomial(n: usize, k: usize, p: f64) -> f64 {
    let choose: f64 = (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product();
    choose * libm::pow(p, k as f64) * libm::pow(1.0 - p, (n - k) as f64)
}

#[cfg(test)]
mod tests {
    use hafnia_rng::Seed;
    use rand::RngExt;

    use super::*;

    fn noise() -> Noise {
        Noise { macro_name: "gt-n40".into(), sigma_lrs: 0.15, adc_offset_lsb: 0.1, from_epoch: 1 }
    }

    #[test]
    fn draws_are_normal_enough() {
        const COUNT: usize = 100_000;
        let draws = Draws(7).of_layer(2);
        let moment = |power| {
            (0..COUNT).map(|i| f64::from(draws.normal(i)).powi(power)).sum::<f64>() / COUNT as f64
        };
        // Standard errors: 1/√N of the mean, at most √2/√N of the variance.
        let error = 5.0 / (COUNT as f64).sqrt();
        assert!(moment(1).abs() < error, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < error * 2.0f64.sqrt(), "{}", moment(2));
        assert_ne!(Draws(7).of_layer(1).normal(0), draws.normal(0));
    }

    /// Random rows and activations read off conversion by conversion, in the order of the scan,
    /// each code drawn from the table, have errors of about the mean and deviation of `disturb`.
    #[test]
    fn the_errors_are_those_of_conversions() {
        const ROWS: usize = 150;
        const REPEATS: usize = 2000;
        let mut spec = MacroSpec::preset("gt-n40").unwrap();
        spec.cell.sigma_lrs_rel = noise().sigma_lrs;
        spec.adc.offset_lsb = noise().adc_offset_lsb;
        let table = CodeTable::from_spec(&spec);
        let errors = Errors::new(&noise()).unwrap();
        let mut rng = Seed(8).site("test/noise").rng();
        for chance in [0.35, 0.5, 0.65] {
            let bits: Vec<bool> = (0..ROWS).map(|_| rng.random_bool(chance)).collect();
            let activations: Vec<u8> = (0..ROWS).map(|_| rng.random_range(0..4)).collect();
            let sign = |bit| if bit { 1.0 } else { -1.0 };
            let sum: f32 =
                bits.iter().zip(&activations).map(|(&bit, &a)| sign(bit) * f32::from(a)).sum();
            let a = activations.iter().map(|&a| f32::from(a)).sum();
            let b = activations.iter().map(|&a| square_weight(a.into())).sum();
            let (mut exact, mut surrogate) = (Vec::new(), Vec::new());
            for repeat in 0..REPEATS {
                let mut error = 0.0;
                for plane in 0..2 {
                    let on: Vec<bool> = (bits.iter().zip(&activations))
                        .filter(|&(_, a)| a >> plane & 1 == 1)
                        .map(|(&bit, _)| bit)
                        .collect();
                    for group in on.chunks(spec.rows_per_conversion) {
                        let ones = group.iter().filter(|&&bit| bit).count();
                        let mut left = rng.random::<f64>();
                        let code = table.probabilities(group.len(), ones).iter().position(|p| {
                            left -= p;
                            left < 0.0
                        });
                        let code = code.unwrap_or(table.max_code());
                        error += 2.0 * f64::from(1 << plane) * (code as f64 - ones as f64);
                    }
                }
                exact.push(error);
                let disturbed = errors.disturb(sum, [a, b], Draws(repeat as u64), 0);
                surrogate.push(f64::from(disturbed - sum));
            }
            let mean = |errors: &[f64]| errors.iter().sum::<f64>() / REPEATS as f64;
            let deviation = |errors: &[f64]| {
                let mean = mean(errors);
                (errors.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / REPEATS as f64).sqrt()
            };
            let (of_exact, of_surrogate) = (deviation(&exact), deviation(&surrogate));
            // The surrogate leaves out how the rows happen to fall into conversions.
            let ratio = of_surrogate / of_exact;
            assert!((0.85..1.15).contains(&ratio), "{chance}: {of_exact} and {of_surrogate}");
            let apart = (mean(&exact) - mean(&surrogate)).abs();
            assert!(apart < 0.35 * of_exact, "{chance}: {} and {}", mean(&exact), mean(&surrogate));
        }
    }

    #[test]
    fn what_is_off_has_no_errors() {
        let errors = Errors::new(&noise()).unwrap();
        assert_eq!(errors.disturb(0.0, [0.0, 0.0], Draws(1), 3), 0.0);
    }

    #[test]
    fn planes_weigh_by_the_square() {
        assert_eq!([0.0, 1.0, 2.0, 3.0, 15.0].map(square_weight), [0.0, 1.0, 4.0, 5.0, 85.0]);
    }
}
