//! [`Loss`]: the cross entropy that the search lowers, in integers.

use hafnia_model::arithmetic::argmax;
use serde::{Deserialize, Serialize};

/// A loss of this much is one nat.
pub const NAT: i32 = 1 << 16;
/// What a difference of outputs of 0 weighs in the table of exponentials.
const ONE: f64 = (1u64 << 20) as f64;
/// Differences that are worth more nats than this count as this: the sum of as many exponentials as
/// there may be outputs stays below 2⁶³.
const MOST_NATS: f64 = 20.0;

/// The cross entropy of softmax(scale · outputs), in units of 1/[`NAT`].
///
/// A loss is an integer, and so is all that it is made of but for one logarithm: sums over images
/// do not depend on their order, and a change adds up to what a fresh run gives.
/// Outputs that tie cost at least ln 2: the loss prefers a margin to none.
#[derive(Debug, Clone)]
pub struct Loss {
    scale: f64,
    /// exp(scale · d) for differences d from −reach to reach.
    exponentials: Vec<u64>,
    reach: i32,
}

impl Loss {
    /// The loss of this scale, for outputs that differ by at most `reach`; what differs by more
    /// counts as that.
    ///
    /// # Panics
    /// If the scale is not positive, or `reach` is negative.
    pub fn new(scale: f64, reach: i32) -> Self {
        assert!(scale > 0.0 && reach >= 0, "scale {scale}, reach {reach}");
        // Beyond this distance the table would repeat itself.
        let reach = reach.min((MOST_NATS / scale).ceil().min(f64::from(i32::MAX)) as i32);
        let exponential = |d: i32| {
            let nats = (scale * f64::from(d)).min(MOST_NATS);
            libm::round(ONE * libm::exp(nats)) as u64
        };
        Self { scale, exponentials: (-reach..=reach).map(exponential).collect(), reach }
    }

    /// The loss whose scale is the best of a grid, eight steps per octave, for these outputs.
    ///
    /// `outputs` holds the outputs of an image after those of another, as many as there are labels.
    pub(crate) fn fitted<'a>(
        outputs: impl Iterator<Item = (&'a [i32], u32)> + Clone,
        reach: i32,
    ) -> Self {
        let total = |step: i32| {
            let loss = Self::new(libm::exp2(f64::from(step) / 8.0), reach);
            let sum: i64 =
                outputs.clone().map(|(outputs, label)| i64::from(loss.of(outputs, label))).sum();
            (sum, loss)
        };
        // Cross entropy is convex in the scale: downhill from 1/16 to the first that is no better.
        let mut best = -32;
        let (mut least, mut loss) = total(best);
        for direction in [1, -1] {
            while (-160..=16).contains(&(best + direction)) {
                let (sum, next) = total(best + direction);
                if sum >= least {
                    break;
                }
                (best, least, loss) = (best + direction, sum, next);
            }
        }
        loss
    }

    /// The factor of the outputs.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The loss of an image of class `label`.
    ///
    /// # Panics
    /// If there is no output of that class.
    #[inline]
    pub fn of(&self, outputs: &[i32], label: u32) -> i32 {
        let own = outputs[label as usize];
        let sum: u64 = outputs.iter().map(|&output| self.exponential(output - own)).sum();
        // The label's own exponential, `ONE`, is in the sum.
        libm::round(f64::from(NAT) * libm::log(sum as f64 / ONE)) as i32
    }

    #[inline]
    fn exponential(&self, difference: i32) -> u64 {
        self.exponentials[(difference.clamp(-self.reach, self.reach) + self.reach) as usize]
    }
}

/// How good a network is on some images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Images.
    pub images: usize,
    /// Images whose class is the first of the largest outputs.
    pub right_first: usize,
    /// Images whose class is the only largest output: a tie counts as wrong.
    pub right_alone: usize,
    /// Images with several largest outputs.
    pub ties: usize,
    /// The sum of losses, in units of 1/[`NAT`].
    pub loss: i64,
}

impl Score {
    /// Counts one more image.
    pub(crate) fn add(&mut self, outputs: &[i32], label: u32, loss: i32) {
        let class = argmax(outputs);
        let is_tie = outputs.iter().filter(|&&output| output == outputs[class]).count() > 1;
        let is_right = class == label as usize;
        self.images += 1;
        self.right_first += usize::from(is_right);
        self.right_alone += usize::from(is_right && !is_tie);
        self.ties += usize::from(is_tie);
        self.loss += i64::from(loss);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_is_cross_entropy() {
        let loss = Loss::new(0.25, 100);
        for outputs in [[3, -2, 8], [0, 0, 0], [-9, 7, 7], [40, -40, 1]] {
            for label in 0..3u32 {
                let exponentials = outputs.map(|output| (0.25 * f64::from(output)).exp());
                let share = exponentials[label as usize] / exponentials.iter().sum::<f64>();
                let found = f64::from(loss.of(&outputs, label)) / f64::from(NAT);
                assert!((found + share.ln()).abs() < 1e-4, "{outputs:?} {label}: {found}");
            }
        }
    }

    #[test]
    fn a_tie_costs_more_than_the_smallest_margin() {
        let loss = Loss::new(0.1, 100);
        assert!(loss.of(&[4, 4], 0) > loss.of(&[4, 2], 0));
        assert_eq!(loss.of(&[4, 4], 0), (f64::from(NAT) * 2f64.ln()).round() as i32);
    }

    #[test]
    fn what_is_far_apart_saturates() {
        let loss = Loss::new(4.0, i32::MAX / 2);
        assert_eq!(loss.of(&[0, 1_000], 0), loss.of(&[0, 2_000], 0));
        assert_eq!(loss.of(&[1_000, 0], 0), 0);
    }

    #[test]
    fn the_scale_is_fitted() {
        // Right by 2 in three of four: e^(2s) = 3.
        let outputs = [([2, 0], 0), ([2, 0], 0), ([0, 2], 1), ([0, 2], 0)];
        let loss = Loss::fitted(outputs.iter().map(|(o, label)| (&o[..], *label)), 2);
        assert!((loss.scale() - 3f64.ln() / 2.0).abs() < 0.05, "{}", loss.scale());
    }

    #[test]
    fn scores_count_ties_both_ways() {
        let mut score = Score::default();
        score.add(&[5, 5, 1], 0, 7);
        score.add(&[5, 5, 1], 1, 1);
        score.add(&[5, 4, 1], 0, 2);
        let expected = Score { images: 3, right_first: 2, right_alone: 1, ties: 2, loss: 10 };
        assert_eq!(score, expected);
    }
}
