//! [`Guard`]: what a search found is taken only where it is better on samples that the search did not
//! see.
//!
//! A search makes a formula small (`analysis/damage.rs`) on the samples that it sees: what it finds is fitted
//! to these samples, and to what the formula assumes. So some images are held back, drawn by the seed,
//! and on their samples the way to store the tile that was there and the one that was found are
//! compared:
//! - a tile that holds the last matrix whole on virtual chips, which is right at any noise: `chips.rs`;
//! - any other tile by the formula, which for squared errors needs no more than means and variances.
//!
//! The difference has a standard error, over samples and chips, and what was found is taken if it is
//! better by as many of them as the option `sure` says.

mod chips;

use hafnia_cim::MacroSpec;
use hafnia_rng::Seed;
use rand::seq::index;

use crate::analysis::Scanned;
use crate::pass::Context;
use crate::statistics::Statistics;

/// How sure a pass has to be of what it found: three of its options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard {
    /// Images that are held back, at most, and never more than a quarter of them; with 0 all that is
    /// found is taken.
    pub(crate) held_back: usize,
    /// Virtual chips.
    pub(crate) chips: u32,
    /// Standard errors by which what was found has to be better.
    pub(crate) sure: f64,
}

/// Samples of a profile, as ascending indices.
pub(crate) struct Split {
    /// Those that a search may look at.
    pub(crate) seen: Vec<usize>,
    /// Those that judge what it finds.
    pub(crate) held: Vec<usize>,
}

/// Two ways to store a tile: the damage per sample, and how well their difference is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) before: f64,
    pub(crate) after: f64,
    /// Standard error of the difference.
    pub(crate) error: f64,
}

/// The share of the damage that samples may have, in both ways together, that are not tried on chips.
const NEGLECTED: f64 = 1e-3;

/// The help of the options that make a guard.
pub(crate) const HELP: [(&str, &str); 3] = [
    (
        "held_back",
        "training images that are held back to judge what was found, at most, and never more than a quarter; `0`: what was found is taken unjudged",
    ),
    ("chips", "virtual chips on which it is judged, if the tile holds the last matrix whole"),
    (
        "sure",
        "standard errors by which it must do less damage on what was held back; else the tile is left as it was",
    ),
];

impl Verdict {
    /// What the second saves.
    pub(crate) fn gain(&self) -> f64 {
        self.before - self.after
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self { held_back: 10_000, chips: 100, sure: 1.0 }
    }
}

impl Guard {
    /// Cuts the samples of a tile.
    pub(crate) fn split(&self, scanned: &Scanned<'_>, context: &Context<'_>) -> Split {
        let samples = scanned.profile().map_or(0, |profile| profile.samples());
        let images = context.profile.map_or(0, |profile| profile.images);
        // Samples of one image are alike: they stay together.
        let of_image = (samples / images.max(1)).max(1);
        let images = samples / of_image;
        let rng = &mut context.seed.site("passes/held-back").rng();
        let mut is_held = vec![false; images];
        for image in index::sample(rng, images, self.held_back.min(images / 4)) {
            is_held[image] = true;
        }
        let is_held = |sample: &usize| is_held.get(sample / of_image).copied().unwrap_or(false);
        let (held, seen) = (0..samples).partition(is_held);
        Split { seen, held }
    }

    /// Whether `after` is to be taken in place of `before`, two ways to store a tile that is called
    /// `name`; without a profile it is. What was found out is added to the statistics.
    pub(crate) fn takes(
        &self,
        [before, after]: [&Scanned<'_>; 2],
        held: &[usize],
        context: &Context<'_>,
        name: &str,
        statistics: &mut Statistics,
    ) -> bool {
        let damages = |scanned: &Scanned<'_>| {
            let order: Vec<usize> = (0..scanned.tile.rows.len()).collect();
            let damage = scanned.damage_on(held, context)?;
            Some((damage.damages(&order), damage.unit()))
        };
        let (Some((old, unit)), Some((new, _))) = (damages(before), damages(after)) else {
            return true;
        };
        if self.held_back == 0 {
            return true;
        }
        let mean = |damages: &[f64]| damages.iter().sum::<f64>() / damages.len().max(1) as f64;
        let mut found = std::mem::take(statistics).changed(
            format!("{unit} held back ({name})"),
            mean(&old),
            mean(&new),
        );
        let verdict = if before.answers().is_some() {
            let samples = endangered(&old, &new).into_iter().map(|index| held[index]).collect();
            let seed = context.seed.site("passes/guard");
            let verdict = self.on_chips([before, after], samples, held.len(), context.spec, seed);
            let what = format!("flips a sample held back, {} virtual chips ({name})", self.chips);
            found = found.changed(what, verdict.before, verdict.after);
            verdict
        } else {
            Verdict {
                before: mean(&old),
                after: mean(&new),
                error: error(&[[old, new]], held.len()),
            }
        };
        let is_taken = verdict.gain() > self.sure * verdict.error;
        *statistics = found
            .found(format!("gain held back, standard errors ({name})"), {
                if verdict.gain() == 0.0 { 0.0 } else { verdict.gain() / verdict.error }
            })
            .found(format!("taken: 1, left as it was: 0 ({name})"), f64::from(u8::from(is_taken)));
        is_taken
    }

    /// What two ways to store a tile do on virtual chips, on `samples` of `all` that were held back,
    /// the others being far from any damage.
    fn on_chips(
        &self,
        ways: [&Scanned<'_>; 2],
        samples: Vec<usize>,
        all: usize,
        spec: &MacroSpec,
        seed: Seed,
    ) -> Verdict {
        let damages = chips::damages(ways, &samples, u64::from(self.chips), spec, seed);
        let count = (damages.len() * all) as f64;
        let sum = |way: usize| damages.iter().flat_map(|chip| &chip[way]).fold(0.0, |a, b| a + b);
        Verdict { before: sum(0) / count, after: sum(1) / count, error: error(&damages, all) }
    }
}

/// The samples that are worth a try: those that damage is done to, in one way or the other.
fn endangered(before: &[f64], after: &[f64]) -> Vec<usize> {
    let both: Vec<f64> = before.iter().zip(after).map(|(before, after)| before + after).collect();
    let mut by_damage: Vec<usize> = (0..both.len()).collect();
    by_damage.sort_by(|&a, &b| both[a].total_cmp(&both[b]));
    let mut left = NEGLECTED * both.iter().sum::<f64>();
    by_damage.retain(|&sample| {
        left -= both[sample];
        left < 0.0
    });
    by_damage.sort_unstable();
    by_damage
}

/// The standard error of the mean difference of two damages, by chip and sample, of `all` samples of
/// which those that are not named have none.
///
/// Chips and samples are both drawn: the variance between chips over their number, that between
/// samples over theirs, less what both of these hold of the rest. Without chips, one stands for none.
fn error(damages: &[[Vec<f64>; 2]], all: usize) -> f64 {
    let counts = [damages.len(), all].map(|count| count as f64);
    if all < 2 {
        return f64::INFINITY;
    }
    let mut of_samples = vec![0.0; damages[0][0].len()];
    let (mut of_chips, mut squares) = (Vec::new(), 0.0);
    for [before, after] in damages {
        let mut of_chip = 0.0;
        for ((before, after), of_sample) in before.iter().zip(after).zip(&mut of_samples) {
            let difference = before - after;
            of_chip += difference;
            *of_sample += difference;
            squares += difference * difference;
        }
        of_chips.push(of_chip);
    }
    let total: f64 = of_chips.iter().sum();
    // Where all differences are the same, rounding is all that is left.
    let about_mean = |squares: f64| {
        (squares - total * total / (counts[0] * counts[1])).max(squares * f64::EPSILON)
    };
    let between = |sums: &[f64], of_each: f64| {
        about_mean(sums.iter().map(|sum| sum * sum).sum::<f64>() / of_each)
    };
    let by_sample = between(&of_samples, counts[0]) / (counts[1] - 1.0);
    if damages.len() == 1 {
        return (by_sample / counts[1]).sqrt();
    }
    let by_chip = between(&of_chips, counts[1]) / (counts[0] - 1.0);
    let rest = about_mean(squares) - (counts[0] - 1.0) * by_chip - (counts[1] - 1.0) * by_sample;
    let rest = rest / ((counts[0] - 1.0) * (counts[1] - 1.0));
    // Neither chips nor samples vary by less than what they hold of the rest.
    let variance = (by_chip + by_sample - rest).max(by_chip).max(by_sample);
    (variance / (counts[0] * counts[1])).sqrt()
}

#[cfg(test)]
mod tests;
