//! Standard normal deviates by inversion: one uniform word in, one deviate out.

/// A standard normal deviate from 32 uniform bits.
///
/// Inverts the normal distribution function at the middle of the word's cell, (2·bits + 1)/2³³,
/// by Wichura's PPND7 (algorithm AS 241, Applied Statistics 37, 1988; relative accuracy 1e-7), with
/// the logarithm of the `libm` crate, so that the result is the same on every machine.
/// It is antisymmetric (`gaussian(!bits) == -gaussian(bits)`), increasing, and reaches ±6.34.
#[inline]
pub fn gaussian(bits: u32) -> f32 {
    // q in (-1/2, 1/2); exact: 33 significant bits at most.
    let q = (f64::from(bits) - 2_147_483_647.5) * (1.0 / 4_294_967_296.0);
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        let numerator =
            ((59.109_374_720 * r + 159.291_132_02) * r + 50.434_271_938) * r + 3.387_132_717_9;
        let denominator = ((67.187_563_600 * r + 78.757_757_664) * r + 17.895_169_469) * r + 1.0;
        return (q * numerator / denominator) as f32;
    }
    tail(q)
}

#[cold]
fn tail(q: f64) -> f32 {
    // The smallest probability of a 32-bit word, 2^-33, has r = 4.78: AS 241's last branch,
    // for r > 5, is never taken.
    let r = libm::sqrt(-libm::log(0.5 - q.abs())) - 1.6;
    let numerator =
        ((0.170_238_211_03 * r + 1.306_728_481_6) * r + 2.756_815_390_0) * r + 1.423_437_277_7;
    let denominator = (0.120_211_329_75 * r + 0.737_001_642_50) * r + 1.0;
    (numerator / denominator).copysign(q) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_met() {
        // The cell of a word is 2^-32 wide: compare where that and the 1e-7 of PPND7 leave room.
        for (probability, z) in [
            (0.5, 0.0),
            (0.841_344_746, 1.0),
            (0.977_249_868, 2.0),
            (0.998_650_102, 3.0),
            (0.999_968_329, 4.0),
            (1.0 - 2.866_515_7e-7, 5.0),
        ] {
            let bits = (probability * 4_294_967_296.0f64) as u32;
            let got = f64::from(gaussian(bits));
            // dz = dp / density(z), dp one cell (2.3e-10) plus the digits of the table above (1e-9).
            let density = (-z * z / 2.0f64).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let bound = 1.3e-9 / density + 1e-6;
            assert!((got - z).abs() <= bound, "{probability}: {got}, not {z} within {bound}");
        }
    }

    #[test]
    fn it_is_antisymmetric_and_increasing() {
        let mut last = f32::NEG_INFINITY;
        for step in 0..=4096u32 {
            let bits = step.saturating_mul(1 << 20);
            assert_eq!(gaussian(!bits), -gaussian(bits));
            assert!(gaussian(bits) >= last);
            last = gaussian(bits);
        }
        assert_eq!(gaussian(u32::MAX), -gaussian(0));
        assert!((6.2..6.5).contains(&gaussian(u32::MAX)));
    }
}
