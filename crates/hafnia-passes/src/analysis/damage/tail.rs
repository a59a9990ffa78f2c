//! [`Tail`]: P(x < 0) for a normal x, from a table.

/// The tail of the normal distribution, tabulated: erfc itself would be half of the work.
#[derive(Clone)]
pub(crate) struct Tail {
    /// Φ(−x) and its derivative at x = index / `PER_DEVIATION`.
    knots: Vec<[f64; 2]>,
}

impl Tail {
    /// Deviations beyond which the tail is 0 to 15 digits.
    const DEVIATIONS: usize = 8;

    /// Knots per deviation. Cubic interpolation is then right to h⁴/384 · max |Φ⁗| = 10⁻¹⁰.
    const PER_DEVIATION: usize = 64;

    pub(crate) fn new() -> Self {
        let knot = |index: usize| {
            let x = index as f64 / Self::PER_DEVIATION as f64;
            let density = libm::exp(-0.5 * x * x) / std::f64::consts::TAU.sqrt();
            [0.5 * libm::erfc(x / std::f64::consts::SQRT_2), -density]
        };
        Self { knots: (0..=Self::DEVIATIONS * Self::PER_DEVIATION).map(knot).collect() }
    }

    /// P(x < 0) for a normal x of this mean and variance.
    #[inline(always)]
    pub(crate) fn below_zero(&self, mean: f64, variance: f64) -> f64 {
        const LIMIT: f64 = (Tail::DEVIATIONS * Tail::DEVIATIONS) as f64;
        // This also settles variance 0.
        if mean * mean >= LIMIT * variance {
            return if mean < 0.0 { 1.0 } else { 0.0 };
        }
        let scaled = mean.abs() / variance.sqrt() * Self::PER_DEVIATION as f64;
        let index = (scaled as usize).min(self.knots.len() - 2);
        let t = scaled - index as f64;
        // Hermite's cubic between two knots.
        let [[a, slope_a], [b, slope_b]] = [self.knots[index], self.knots[index + 1]];
        let h = 1.0 / Self::PER_DEVIATION as f64;
        let (slope_a, slope_b, rise) = (slope_a * h, slope_b * h, b - a);
        let bend = (slope_a - rise) * (1.0 - t) + (rise - slope_b) * t;
        let tail = a + rise * t + t * (1.0 - t) * bend;
        if mean < 0.0 { 1.0 - tail } else { tail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_of_the_normal_distribution() {
        let tail = Tail::new();
        for step in -10_000..=10_000 {
            let x = f64::from(step) / 1000.0;
            let expected = 0.5 * libm::erfc(x / std::f64::consts::SQRT_2);
            for deviation in [1.0, 0.3] {
                let found = tail.below_zero(x * deviation, deviation * deviation);
                // As derived at the number of knots.
                assert!((found - expected).abs() < 1e-10, "{x}: {found}, not {expected}");
            }
        }
        let check = |mean, variance, expected| {
            assert_eq!(tail.below_zero(mean, variance), expected, "{mean} {variance}");
        };
        check(0.0, 1.0, 0.5);
        check(8.0, 1.0, 0.0);
        check(-8.0, 1.0, 1.0);
        check(0.0, 0.0, 0.0);
        check(1.0, 0.0, 0.0);
        check(-1.0, 0.0, 1.0);
    }
}
