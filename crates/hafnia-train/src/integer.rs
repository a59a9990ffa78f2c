//! The update rule of WAGE (Wu, Li, Chen and Shi, ICLR 2018, section 3.5): whole steps on a grid.
//!
//! Latent weights are whole multiples of σ = 2^(1−k). A gradient g is scaled by the rate over the
//! power of two next to its largest part, and moves its weight by that many σ: the whole part for
//! certain, and one more with the probability of the fraction.

use hafnia_rng::Counter;

/// The rule of a step.
#[derive(Debug)]
pub(crate) struct Rule<'a> {
    /// Bits k of a latent weight.
    pub(crate) bits: u8,
    /// Rate η, in steps of the grid for a gradient as large as the largest.
    pub(crate) rate: f32,
    /// Where the fractions' fates are drawn, and the number of the step.
    pub(crate) draws: &'a Counter,
    pub(crate) step: u32,
}

/// The bound of a latent weight, in steps of the grid.
fn bound(bits: u8) -> f32 {
    libm::exp2f(f32::from(bits) - 1.0) - 1.0
}

/// Rounds latent weights to the grid.
pub(crate) fn onto_grid(latent: &mut [f32], bits: u8) {
    let (per_unit, bound) = (libm::exp2f(f32::from(bits) - 1.0), bound(bits));
    for latent in latent {
        *latent = libm::rintf(*latent * per_unit).clamp(-bound, bound) / per_unit;
    }
}

/// Moves a running mean towards a latent weight by (latent − mean) >> `shift`, in whole multiples of
/// 2⁻²³: as many as a float of 32 bits holds, so that the means are exact.
pub(crate) fn average(means: &mut [f32], latent: &[f32], shift: u8) {
    const PER_UNIT: f32 = (1 << 23) as f32;
    for (mean, latent) in means.iter_mut().zip(latent) {
        let [whole, target] = [*mean, *latent].map(|value| (value * PER_UNIT) as i32);
        *mean = (whole + ((target - whole) >> shift)) as f32 / PER_UNIT;
    }
}

impl Rule<'_> {
    /// Moves the latent weights of layer `layer` against their derivatives.
    pub(crate) fn step(&self, layer: usize, latent: &mut [f32], gradients: &[f32]) {
        let largest = gradients.iter().fold(0.0f32, |largest, g| largest.max(g.abs()));
        if largest == 0.0 {
            return;
        }
        let scale = self.rate / libm::exp2f(libm::roundf(libm::log2f(largest)));
        let (per_unit, bound) = (libm::exp2f(f32::from(self.bits) - 1.0), bound(self.bits));
        let words = (latent.chunks_mut(4).zip(gradients.chunks(4))).enumerate();
        for (block, (latent, gradients)) in words {
            let draws = self.draws.block([self.step, layer as u32, block as u32, 0]);
            for ((latent, gradient), draw) in latent.iter_mut().zip(gradients).zip(draws) {
                let steps = (gradient * scale).abs();
                let chance = (draw >> 8) as f32 / (1u32 << 24) as f32;
                let whole = steps.floor() + if chance < steps.fract() { 1.0 } else { 0.0 };
                let moved = *latent * per_unit - whole.copysign(*gradient);
                *latent = moved.clamp(-bound, bound) / per_unit;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hafnia_rng::Seed;

    use super::*;

    #[test]
    fn steps_are_whole_and_right_on_average() {
        // σ = 1/128; the largest gradient, 3, is next to 4 (log2 3 = 1.58): g/4 at rate 2 is 1.5,
        // 0.5, 0.125 and 0 steps.
        const REPEATS: usize = 4000;
        let draws = Seed(1).site("test/integer").counter();
        let rule = Rule { bits: 8, rate: 2.0, draws: &draws, step: 0 };
        let gradients = [3.0, -1.0, 0.25, 0.0];
        let mut sums = [0.0; 4];
        for step in 0..REPEATS {
            let mut latent = [0.0; 4];
            Rule { step: step as u32, ..rule }.step(0, &mut latent, &gradients);
            for (sum, latent) in sums.iter_mut().zip(latent) {
                let steps = latent * 128.0;
                assert_eq!(steps, steps.round());
                *sum += f64::from(steps) / REPEATS as f64;
            }
        }
        // A coin of chance 1/2 tossed 4000 times is off by 0.008 in standard deviation.
        for (sum, expected) in sums.iter().zip([-1.5, 0.5, -0.125, 0.0]) {
            assert!((sum - expected).abs() < 5.0 * 0.008, "{sums:?}");
        }
    }

    #[test]
    fn running_means_are_whole_and_get_there() {
        let (mut means, latent) = (vec![0.0, 0.5, -0.25], [0.9921875, -0.9921875, -0.25]);
        average(&mut means, &latent, 2);
        assert_eq!(means, [0.9921875 / 4.0, 0.5 - 1.4921875 / 4.0, -0.25]);
        for _ in 0..200 {
            average(&mut means, &latent, 2);
            assert!(means.iter().all(|mean| (mean * (1 << 23) as f32).fract() == 0.0));
        }
        // What is shifted out is less than 4 units.
        let is_near = |(mean, latent): (&f32, &f32)| (mean - latent).abs() < 4.0 / (1 << 23) as f32;
        assert!(means.iter().zip(&latent).all(is_near), "{means:?}");
    }

    #[test]
    fn latent_weights_stay_on_the_grid_and_inside() {
        let mut latent = [0.6, -0.999, 0.13];
        onto_grid(&mut latent, 4);
        assert_eq!(latent, [0.625, -0.875, 0.125]);
        let draws = Seed(1).site("test/integer").counter();
        let rule = Rule { bits: 4, rate: 64.0, draws: &draws, step: 0 };
        rule.step(0, &mut latent, &[-1.0, 1.0, 1.0]);
        assert_eq!(latent, [0.875, -0.875, -0.875]);
    }
}
