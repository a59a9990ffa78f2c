//! [`Scores`]: how the outputs of a network are compared.

use serde::{Deserialize, Serialize};

use crate::arithmetic::{argmax, is_strictly_largest};
use crate::error::ShapeError;

/// What makes the integers of a network's outputs comparable.
///
/// The score of output c is `scales[c] * outputs[c] + biases[c]` in `f64`: one multiplication, then
/// one addition, each rounded to the nearest. It is the same on every machine, and exact where scales
/// and biases are powers of two or a few bits. Without scales the outputs are the scores.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// One per output, above 0; or none.
    pub scales: Vec<f64>,
    /// One per output, or none.
    pub biases: Vec<f64>,
}

/// No score is made of a number that is none.
impl Eq for Scores {}

impl Scores {
    /// Whether the outputs are the scores.
    pub fn is_plain(&self) -> bool {
        self.scales.is_empty()
    }

    /// The score of every output.
    ///
    /// # Panics
    /// If there are not as many outputs as scales.
    pub fn of(&self, outputs: &[i32]) -> Vec<f64> {
        self.each(outputs).collect()
    }

    /// The scores of the outputs, one after the other.
    ///
    /// # Panics
    /// If there are not as many outputs as scales.
    pub fn each<'a>(&'a self, outputs: &'a [i32]) -> impl Iterator<Item = f64> + Clone + 'a {
        let is_plain = self.is_plain();
        assert!(is_plain || outputs.len() == self.scales.len(), "one scale per output");
        outputs.iter().enumerate().map(move |(class, &output)| match is_plain {
            true => output.into(),
            false => self.scales[class] * f64::from(output) + self.biases[class],
        })
    }

    /// The class: the index of the largest score, the first of equals.
    ///
    /// # Panics
    /// If there is no output.
    pub fn class(&self, outputs: &[i32]) -> usize {
        if self.is_plain() { argmax(outputs) } else { argmax(&self.of(outputs)) }
    }

    /// Whether the largest score is that of class `label` and of no other: the rule by which a tie
    /// counts as wrong.
    ///
    /// # Panics
    /// If there is no output `label`.
    pub fn is_strictly_largest(&self, outputs: &[i32], label: usize) -> bool {
        match self.is_plain() {
            true => is_strictly_largest(outputs, label),
            false => is_strictly_largest(&self.of(outputs), label),
        }
    }

    pub(crate) fn check(&self, outputs: usize) -> Result<(), ShapeError> {
        let (scales, biases) = (self.scales.len(), self.biases.len());
        if (scales, biases) != (0, 0) && (scales, biases) != (outputs, outputs) {
            return Err(ShapeError::whole(format!(
                "{outputs} outputs have {scales} scales and {biases} biases, not one each"
            )));
        }
        if let Some(scale) = self.scales.iter().find(|scale| !(scale.is_normal() && **scale > 0.0))
        {
            let fault = format!("the scale of an output is {scale}, it must be above 0");
            return Err(ShapeError::whole(fault));
        }
        match self.biases.iter().find(|bias| !bias.is_finite()) {
            Some(bias) => {
                let fault = format!("the bias of an output is {bias}, it must be a number");
                Err(ShapeError::whole(fault))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_and_biases_decide() {
        let plain = Scores::default();
        assert_eq!(plain.class(&[3, 5, 4]), 1);
        assert_eq!(plain.of(&[3, -5]), [3.0, -5.0]);
        let scores = Scores { scales: vec![1.0, 0.5], biases: vec![0.0, 2.0] };
        assert_eq!(scores.of(&[3, 4]), [3.0, 4.0]);
        assert_eq!(scores.class(&[3, 4]), 1);
        // 3 = 0.5 · 2 + 2: the first of equals, and right by none.
        assert_eq!(scores.class(&[3, 2]), 0);
        assert!(!scores.is_strictly_largest(&[3, 2], 0));
        assert!(scores.is_strictly_largest(&[3, 1], 0));
    }

    #[test]
    fn what_is_no_score_is_refused() {
        let check = |scales: &[f64], biases: &[f64]| {
            let scores = Scores { scales: scales.to_vec(), biases: biases.to_vec() };
            scores.check(2).map_err(|error| error.to_string())
        };
        assert_eq!(check(&[], &[]), Ok(()));
        assert_eq!(check(&[1.0, 2.0], &[0.0, -1.0]), Ok(()));
        let fault = "2 outputs have 1 scales and 2 biases, not one each";
        assert_eq!(check(&[1.0], &[0.0, 0.0]), Err(fault.into()));
        let fault = "the scale of an output is 0, it must be above 0";
        assert_eq!(check(&[1.0, 0.0], &[0.0, 0.0]), Err(fault.into()));
        let fault = "the bias of an output is inf, it must be a number";
        assert_eq!(check(&[1.0, 1.0], &[0.0, f64::INFINITY]), Err(fault.into()));
    }
}
