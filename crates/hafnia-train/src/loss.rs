//! What the outputs of an image are worth, and the derivatives.

use crate::config::Loss;

/// The verdict on a shard's outputs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    /// Sum over the images.
    pub(crate) loss: f64,
    /// Images whose class was hit.
    pub(crate) hits: usize,
    /// Derivatives by the outputs, (image, class).
    pub(crate) by_outputs: Vec<f32>,
    /// Derivative by the scale.
    pub(crate) by_scale: f32,
}

/// What a loss needs to know beside the outputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) loss: Loss,
    /// The power of two that brings outputs near 1.
    pub(crate) unit: f32,
    /// The learned scale of the cross entropy, times `unit`.
    pub(crate) scale: f32,
    /// What the teacher would answer: probabilities, (image, class), and their weight.
    pub(crate) teacher: Option<(&'a [f32], f32)>,
}

impl Judge<'_> {
    /// Judges outputs, (image, class), by the images' labels.
    pub(crate) fn verdict(&self, outputs: &[f32], labels: &[u32]) -> Verdict {
        let classes = outputs.len() / labels.len();
        let mut verdict = Verdict { by_outputs: vec![0.0; outputs.len()], ..Verdict::default() };
        for (image, &label) in labels.iter().enumerate() {
            let range = image * classes..(image + 1) * classes;
            let (outputs, label) = (&outputs[range.clone()], label as usize);
            verdict.hits += usize::from(class(outputs) == label);
            let by_outputs = &mut verdict.by_outputs[range.clone()];
            match self.loss {
                Loss::CrossEntropy => {
                    let (weight, answer) = match self.teacher {
                        None => (0.0, None),
                        Some((answers, weight)) => (weight, Some(&answers[range])),
                    };
                    let likelihoods = log_softmax(outputs, self.scale);
                    for class in 0..classes {
                        let is_label = if class == label { 1.0 } else { 0.0 };
                        let target = (1.0 - weight) * is_label
                            + weight * answer.map_or(0.0, |answer| answer[class]);
                        let by_scaled = libm::expf(likelihoods[class]) - target;
                        verdict.loss -= f64::from(target * likelihoods[class]);
                        by_outputs[class] = by_scaled * self.scale;
                        verdict.by_scale += by_scaled * outputs[class] * self.unit;
                    }
                }
                Loss::PowersOfTwo => {
                    let likelihoods = powers_of_two(outputs, self.unit);
                    verdict.loss +=
                        f64::from(libm::log2f(ONE as f32 / likelihoods[label].max(1) as f32));
                    for class in 0..classes {
                        let is_label = if class == label { ONE as i32 } else { 0 };
                        let error = likelihoods[class] as i32 - is_label;
                        by_outputs[class] = error as f32 / ONE as f32;
                    }
                }
                Loss::SquaredHinge => {
                    for class in 0..classes {
                        let sign = if class == label { 1.0 } else { -1.0 };
                        let short = (1.0 - sign * outputs[class] * self.unit).max(0.0);
                        verdict.loss += f64::from(short * short);
                        by_outputs[class] = -2.0 * sign * short * self.unit;
                    }
                }
                Loss::SumOfSquares => {
                    for class in 0..classes {
                        let sign = if class == label { 1.0 } else { -1.0 };
                        let error = outputs[class] * self.unit - sign;
                        verdict.loss += f64::from(error * error) / 2.0;
                        by_outputs[class] = error * self.unit;
                    }
                }
            }
        }
        verdict
    }
}

/// The first of the largest outputs.
pub(crate) fn class(outputs: &[f32]) -> usize {
    (1..outputs.len())
        .fold(0, |best, class| if outputs[class] > outputs[best] { class } else { best })
}

/// Images whose label is the first largest of their outputs, (image, class).
pub(crate) fn hits(outputs: &[f32], labels: &[u32]) -> usize {
    let classes = outputs.len() / labels.len();
    let answers = outputs.chunks_exact(classes).map(class);
    answers.zip(labels).filter(|&(class, &label)| class == label as usize).count()
}

/// A probability of 1, in the whole numbers of [`powers_of_two`].
const ONE: u32 = 1 << 15;

/// 2^(output·unit) over the sum of all, in whole numbers, cut off.
fn powers_of_two(outputs: &[f32], unit: f32) -> Vec<u32> {
    let largest = outputs.iter().fold(f32::NEG_INFINITY, |largest, &output| largest.max(output));
    let power = |output| libm::rintf(ONE as f32 * libm::exp2f((output - largest) * unit)) as u32;
    let powers: Vec<u32> = outputs.iter().map(|&output| power(output)).collect();
    let total: u32 = powers.iter().sum();
    powers.into_iter().map(|power| (power * ONE) / total).collect()
}

/// log softmax(scale · outputs).
pub(crate) fn log_softmax(outputs: &[f32], scale: f32) -> Vec<f32> {
    let largest = outputs.iter().fold(f32::NEG_INFINITY, |largest, &output| largest.max(output));
    let scaled: Vec<f32> = outputs.iter().map(|output| (output - largest) * scale).collect();
    let total: f32 = scaled.iter().map(|&scaled| libm::expf(scaled)).sum();
    let log_total = libm::logf(total);
    scaled.into_iter().map(|scaled| scaled - log_total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUTS: [f32; 6] = [3.0, -5.0, 8.0, 1.0, 1.0, 0.0];
    const LABELS: [u32; 2] = [2, 1];

    /// Derivatives are compared with differences of the loss.
    #[test]
    fn derivatives_are_differences() {
        let answers = [0.2, 0.1, 0.7, 0.5, 0.25, 0.25];
        for loss in [Loss::CrossEntropy, Loss::SquaredHinge, Loss::SumOfSquares] {
            for teacher in [None, Some((&answers[..], 0.3))] {
                let judge = Judge { loss, unit: 0.25, scale: 0.25 * 0.7, teacher };
                let verdict = judge.verdict(&OUTPUTS, &LABELS);
                let close = |derivative: f32, difference: f64| {
                    assert!((f64::from(derivative) - difference).abs() < 1e-3, "{loss:?}");
                };
                for output in 0..OUTPUTS.len() {
                    let at = |by: f32| {
                        let mut outputs = OUTPUTS;
                        outputs[output] += by;
                        judge.verdict(&outputs, &LABELS).loss
                    };
                    close(verdict.by_outputs[output], (at(0.01) - at(-0.01)) / 0.02);
                }
                if loss == Loss::CrossEntropy {
                    let at = |by: f32| {
                        let judge = Judge { scale: 0.25 * (0.7 + by), ..judge };
                        judge.verdict(&OUTPUTS, &LABELS).loss
                    };
                    close(verdict.by_scale, (at(0.01) - at(-0.01)) / 0.02);
                }
            }
        }
    }

    /// Of 16, of 8 and 8, two octaves below it, and of −52, seventeen below: 1, 1/4, 1/4 and 2^-17 over
    /// their sum.
    #[test]
    fn powers_of_two_are_whole_probabilities() {
        assert_eq!(powers_of_two(&[16.0, 8.0, 8.0, -52.0], 0.25), [21845, 5461, 5461, 0]);
        let judge = Judge { loss: Loss::PowersOfTwo, unit: 0.25, scale: 1.0, teacher: None };
        let verdict = judge.verdict(&[16.0, 8.0, 8.0, -52.0], &[1]);
        let parts = [21845.0, 5461.0 - 32768.0, 5461.0, 0.0].map(|part: f32| part / 32768.0);
        assert_eq!(verdict.by_outputs, parts);
        assert!((verdict.loss - 6f64.log2()).abs() < 1e-3);
        // The label's may be none at all; the loss stays a number.
        assert_eq!(judge.verdict(&[16.0, 8.0, 8.0, -52.0], &[3]).loss, 15.0);
    }

    #[test]
    fn the_first_of_equal_outputs_counts() {
        // Classes 0 and 1 of image 1 are equal: it is a 0, and its label 1 is missed.
        let judge = Judge { loss: Loss::CrossEntropy, unit: 1.0, scale: 1.0, teacher: None };
        assert_eq!(judge.verdict(&OUTPUTS, &LABELS).hits, 1);
        assert_eq!(hits(&OUTPUTS, &[2, 0]), 2);
    }
}
