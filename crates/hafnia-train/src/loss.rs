//! What the outputs of an image are worth, and the derivatives.

use crate::Loss;

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
    pub(crate) fn verdict(&self, outputs: &[f32], labels: &[u8]) -> Verdict {
        let classes = outputs.len() / labels.len();
        let mut verdict = Verdict { by_outputs: vec![0.0; outputs.len()], ..Verdict::default() };
        for (image, &label) in labels.iter().enumerate() {
            let range = image * classes..(image + 1) * classes;
            let (outputs, label) = (&outputs[range.clone()], usize::from(label));
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
pub(crate) fn hits(outputs: &[f32], labels: &[u8]) -> usize {
    let classes = outputs.len() / labels.len();
    let answers = outputs.chunks_exact(classes).map(class);
    answers.zip(labels).filter(|&(class, &label)| class == usize::from(label)).count()
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
    const LABELS: [u8; 2] = [2, 1];

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

    #[test]
    fn the_first_of_equal_outputs_counts() {
        // Classes 0 and 1 of image 1 are equal: it is a 0, and its label 1 is missed.
        let judge = Judge { loss: Loss::CrossEntropy, unit: 1.0, scale: 1.0, teacher: None };
        assert_eq!(judge.verdict(&OUTPUTS, &LABELS).hits, 1);
        assert_eq!(hits(&OUTPUTS, &[2, 0]), 2);
    }
}
