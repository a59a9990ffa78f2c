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
    (0..8).map(|plane| if bits >> plane & 1 == 1 { (1u32 << (2 * plane)) as f32 } else { 0.0 }).sum()
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
