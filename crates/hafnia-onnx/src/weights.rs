//! Weights by value: the integers and the steps that real weights are made of.

use crate::levels;

/// The largest magnitude of a weight.
const LARGEST: u32 = 255;

/// Roundings that a weight may have gone through, relative to the largest.
const SLACK: f64 = 1.0 / (1 << 20) as f64;

/// Integers, and a step for each output; a weight is their product.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gridded {
    /// (output, input).
    pub(crate) integers: Vec<i16>,
    /// One per output, above 0.
    pub(crate) steps: Vec<f64>,
}

/// The integers of weights (output, input): those of one step for all outputs if there is one, else
/// output by output.
pub(crate) fn grid(weights: &[f32], outputs: usize) -> Result<Gridded, String> {
    let inputs = weights.len() / outputs;
    if let Some(weight) = weights.iter().find(|weight| !weight.is_finite()) {
        return Err(format!("a weight is {weight}, it must be a number"));
    }
    if let Some(step) = step(weights) {
        return Ok(of_steps(weights, vec![step; outputs]));
    }
    let steps = weights.chunks_exact(inputs).enumerate().map(|(output, weights)| {
        step(weights).ok_or_else(|| {
            let different = {
                let mut all: Vec<u32> = weights.iter().map(|weight| weight.to_bits()).collect();
                all.sort_unstable();
                all.dedup();
                all.len()
            };
            format!(
                "the {inputs} weights of output {output} take {different} values that are no integer \
                 multiples, up to {LARGEST}, of one step: they are not quantised to 8 bits or fewer; \
                 quantise them in training or by `quantize_static`, or import with --approximate"
            )
        })
    });
    Ok(of_steps(weights, steps.collect::<Result<_, _>>()?))
}

/// The integers nearest to weights (output, input) on a grid of 8 bits for each output.
pub(crate) fn nearest(weights: &[f32], outputs: usize) -> Gridded {
    let inputs = weights.len() / outputs;
    let steps = weights.chunks_exact(inputs).map(|weights| {
        let largest = largest(weights);
        if largest == 0.0 { 1.0 } else { largest / 127.0 }
    });
    of_steps(weights, steps.collect())
}

fn of_steps(weights: &[f32], steps: Vec<f64>) -> Gridded {
    let inputs = weights.len() / steps.len();
    let integers = weights.chunks_exact(inputs).zip(&steps).flat_map(|(weights, step)| {
        weights.iter().map(move |&weight| (f64::from(weight) / step).round() as i16)
    });
    Gridded { integers: integers.collect(), steps }
}

fn largest(weights: &[f32]) -> f64 {
    weights.iter().fold(0.0, |largest: f64, &weight| largest.max(f64::from(weight).abs()))
}

/// The coarsest step of which all weights are multiples.
fn step(weights: &[f32]) -> Option<f64> {
    let largest = largest(weights);
    if largest == 0.0 {
        return Some(1.0);
    }
    let parts = (1..=LARGEST).map(f64::from).find(|parts| {
        let step = largest / parts;
        let near = parts * SLACK;
        weights.iter().all(|&weight| {
            let level = f64::from(weight) / step;
            (level - level.round()).abs() <= near
        })
    })?;
    // The step that fits all weights, not the largest alone.
    let weights: Vec<f64> = weights.iter().map(|&weight| f64::from(weight) + 0.0).collect();
    let levels: Vec<f64> = weights.iter().map(|w| (w * parts / largest).round() + 0.0).collect();
    Some(levels::step(&weights, &levels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_for_all_comes_before_one_for_each() -> Result<(), String> {
        let Gridded { integers, steps } = grid(&[0.3, -0.6, 0.0, 0.9, -0.0, 0.3], 2)?;
        assert_eq!(integers, [1, -2, 0, 3, 0, 1]);
        assert!(steps.iter().all(|step| (step - 0.3).abs() < 1e-7), "{steps:?}");
        // The second output has a step of its own.
        let Gridded { integers, steps } = grid(&[0.3, -0.6, 0.0, 0.1234567, 0.0, -0.1234567], 2)?;
        assert_eq!(integers, [1, -2, 0, 1, 0, -1]);
        assert!((steps[0] - 0.3).abs() < 1e-7 && (steps[1] - 0.1234567).abs() < 1e-7);
        Ok(())
    }

    #[test]
    fn all_integers_of_eight_bits_are_found() -> Result<(), String> {
        let step = 0.037_210_3_f32;
        let weights: Vec<f32> = (-128..128).map(|level| level as f32 * step).collect();
        let found = grid(&weights, 1)?;
        assert!(found.integers.iter().copied().eq(-128..128));
        assert!((found.steps[0] - f64::from(step)).abs() < 1e-10);
        Ok(())
    }

    #[test]
    fn what_is_not_quantised_is_refused() {
        let weights: Vec<f32> = (1..20).map(|i| (i as f32).sqrt()).collect();
        let fault = grid(&weights, 1).expect_err("no grid");
        assert!(fault.starts_with("the 19 weights of output 0 take 19 values"), "{fault}");
        assert!(grid(&[1.0, f32::NAN], 1).is_err());
    }

    #[test]
    fn outputs_without_a_weight_have_a_step() -> Result<(), String> {
        assert_eq!(grid(&[0.0; 4], 2)?, Gridded { integers: vec![0; 4], steps: vec![1.0; 2] });
        Ok(())
    }
}
