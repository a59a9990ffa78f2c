//! What a conversion does to a signal: the probability of every code on a fresh chip.
//!
//! The signal s of a conversion is normal and common to its comparators. Comparator k fires iff
//! s plus its own normal offset reaches [`Adc::threshold_lsb`]; given s the comparators are independent, so the
//! code, which is the number of them that fire, follows a Poisson-binomial distribution. What is
//! left is one integral over s, here a composite Gauss–Legendre rule whose panels are as narrow as
//! the narrowest feature below them.
//!
//! Every function that is not exact in IEEE arithmetic comes from `libm`: the results are the same
//! on every machine.

use std::f64::consts::{SQRT_2, TAU};

use crate::spec::Adc;

/// Standard deviations beyond which a normal tail (1e-19) is taken as 0.
const REACH: f64 = 9.0;

/// The narrowest panel, in standard deviations of the signal. A feature that is narrower weighs
/// less than the panel does.
const NARROWEST: f64 = 1e-12;

/// Positive nodes and weights of the ten-point Gauss–Legendre rule on −1..1 (Abramowitz and
/// Stegun, table 25.4).
const GAUSS_LEGENDRE: [(f64, f64); 5] = [
    (0.14887433898163122, 0.29552422471475287),
    (0.4333953941292472, 0.26926671930999635),
    (0.6794095682990244, 0.21908636251598204),
    (0.8650633666889845, 0.1494513491505806),
    (0.9739065285171717, 0.06667134430868814),
];

/// Writes to `codes` the probabilities of codes 0, 1, … of a conversion whose signal is normal
/// with `mean` and `sigma`, through `codes.len() − 1` comparators with offsets of standard
/// deviation `offset`. All in LSB.
pub(crate) fn code_probabilities(mean: f64, sigma: f64, offset: f64, codes: &mut [f64]) {
    if sigma == 0.0 {
        given_signal(mean, offset, codes);
    } else if offset == 0.0 {
        between_thresholds(mean, sigma, codes);
    } else {
        integrate_signal(mean, sigma, offset, codes);
    }
}

/// P(x > `z`) of a standard normal x.
fn upper_tail(z: f64) -> f64 {
    0.5 * libm::erfc(z / SQRT_2)
}

/// The Poisson-binomial distribution of the code, comparators being independent given the signal.
fn given_signal(signal: f64, offset: f64, codes: &mut [f64]) {
    let reach = REACH * offset;
    let max_code = codes.len() - 1;
    let certain = (signal - reach + 0.5).floor().clamp(0.0, max_code as f64) as usize;
    codes.fill(0.0);
    codes[certain] = 1.0;
    for k in certain + 1..=max_code {
        let distance = Adc::threshold_lsb(k - 1) - signal;
        if distance > reach {
            break;
        }
        let (fires, silent) = (upper_tail(distance / offset), upper_tail(-distance / offset));
        for code in (certain..k).rev() {
            codes[code + 1] += fires * codes[code];
            codes[code] *= silent;
        }
    }
}

/// Comparators without offset: the code says between which thresholds the signal lies.
fn between_thresholds(mean: f64, sigma: f64, codes: &mut [f64]) {
    let max_code = codes.len() - 1;
    let mut low = f64::NEG_INFINITY;
    for (code, probability) in codes.iter_mut().enumerate() {
        let high = if code == max_code {
            f64::INFINITY
        } else {
            (Adc::threshold_lsb(code) - mean) / sigma
        };
        // the difference of the smaller tails: no digits are lost far from the mean
        *probability = if low > 0.0 {
            upper_tail(low) - upper_tail(high)
        } else {
            upper_tail(-high) - upper_tail(-low)
        };
        low = high;
    }
}

/// The mean of [`given_signal`] over the signal.
fn integrate_signal(mean: f64, sigma: f64, offset: f64, codes: &mut [f64]) {
    codes.fill(0.0);
    let mut given = codes.to_vec();
    let mut z = -REACH;
    while z < REACH {
        let width = panel_width(mean + sigma * z, sigma, offset, codes.len() - 1) / sigma;
        let half = 0.5 * width.max(NARROWEST).min(REACH - z);
        for (node, weight) in GAUSS_LEGENDRE {
            for at in [z + half * (1.0 - node), z + half * (1.0 + node)] {
                let weight = half * weight * libm::exp(-0.5 * at * at) / TAU.sqrt();
                given_signal(mean + sigma * at, offset, &mut given);
                for (sum, probability) in codes.iter_mut().zip(&given) {
                    *sum += weight * probability;
                }
            }
        }
        z += 2.0 * half;
    }
}

/// How far, in LSB, the integrand stays smooth above `signal`: a standard deviation of what
/// varies there, and 1 LSB where several thresholds overlap. Out of reach of all comparators only
/// the density of the signal varies.
fn panel_width(signal: f64, sigma: f64, offset: f64, max_code: usize) -> f64 {
    let nearest = (signal + 0.5).round().clamp(1.0, max_code as f64) as usize - 1;
    let out_of_reach = (signal - Adc::threshold_lsb(nearest)).abs() - REACH * offset;
    offset.min(1.0).max(out_of_reach).min(sigma)
}
