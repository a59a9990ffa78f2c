//! [`Floats`]: what values of `float32` become, where a network takes them.

use serde::{Deserialize, Serialize};

/// How values of `float32` become activations: where an ONNX file takes what bytes stand for, such as
/// p / 255, these are its own thresholds for all that lies between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floats {
    /// The least value that is taken: half a byte below what byte 0 stands for, unless that would be
    /// another activation.
    pub least: f32,
    /// The largest value that is taken: as much above what byte 255 stands for.
    pub largest: f32,
    /// The thresholds in ascending order: a value is the lowest activation of the input plus the number
    /// of cuts that it reaches.
    pub cuts: Vec<f32>,
}

/// A value that is not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{value} is not taken, {least} to {largest} are")]
pub struct FloatError {
    /// Its place among all.
    pub at: usize,
    /// The value.
    pub value: f32,
    /// The least that its channel takes.
    pub least: f32,
    /// The largest that its channel takes.
    pub largest: f32,
}

/// None of its numbers is one that is none.
impl Eq for Floats {}

impl Floats {
    /// The level of a value, none if it is not taken.
    pub fn level(&self, value: f32) -> Option<u8> {
        let is_taken = self.least <= value && value <= self.largest;
        is_taken.then(|| self.cuts.partition_point(|&cut| cut <= value) as u8)
    }

    /// What is wrong with it, for an input of so many levels.
    pub(crate) fn check(&self, levels: u8) -> Result<(), String> {
        let Self { least, largest, cuts } = self;
        let is_number = |value: &f32| value.is_finite();
        if ![least, largest].into_iter().chain(cuts).all(is_number) {
            return Err("a cut or an end of the floats of the input is no number".to_owned());
        }
        if least > largest {
            return Err(format!("the floats of the input are from {least} to {largest}"));
        }
        if !cuts.is_sorted() {
            return Err(format!("the cuts of floats are {cuts:?}, they must ascend"));
        }
        match cuts.len() <= usize::from(levels) {
            true => Ok(()),
            false => {
                let cuts = cuts.len();
                Err(format!(
                    "there are {cuts} cuts of floats, an input of {levels} levels has at most as many"
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Input;

    #[test]
    fn values_count_the_cuts_that_they_reach() {
        let floats = Floats { least: -0.5, largest: 1.0, cuts: vec![0.0, 0.25, 0.25] };
        let of =
            |values: &[f32]| values.iter().map(|&value| floats.level(value)).collect::<Vec<_>>();
        assert_eq!(
            of(&[-0.5, -f32::MIN_POSITIVE, -0.0, 0.24]),
            [Some(0), Some(0), Some(1), Some(1)]
        );
        assert_eq!(of(&[0.25, 1.0]), [Some(3), Some(3)]);
        assert_eq!(of(&[-0.500_001, 1.000_001, f32::NAN, f32::INFINITY]), [None; 4]);
        // For each channel its own.
        let other = Floats { cuts: vec![0.9], ..floats.clone() };
        let input = Input { floats: vec![floats, other], ..Input::new(2, 1, 2, &[1, 2, 3]) };
        assert_eq!(input.levels_of_floats(&[0.0, 0.3, 0.3, 0.9]), Ok(vec![1, 3, 0, 1]));
        let error = input.levels_of_floats(&[0.0, 0.3, 0.3, 2.0]).unwrap_err();
        assert_eq!((error.at, error.to_string()), (3, "2 is not taken, -0.5 to 1 are".to_owned()));
    }
}
