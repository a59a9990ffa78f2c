//! [`State`]: all that changes in a run, and nothing else.

use serde::{Deserialize, Serialize};

use crate::report::EpochRecord;
use crate::shapes::LayerShapes;
use crate::weights::{Kept, Latents, check_shift};

/// All that changes in a run, and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) latents: Latents,
    /// The loss sees the outputs in units of 2^this.
    pub(crate) output_shift: u32,
    /// The teacher, trained.
    pub(crate) teacher: Option<Latents>,
    pub(crate) epochs: Vec<EpochRecord>,
    pub(crate) best: Option<Best>,
}

/// The latents after the best epoch so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    /// Counted from 0.
    pub(crate) epoch: usize,
    /// What it was chosen by.
    pub(crate) accuracy: f64,
    pub(crate) latents: Latents,
}

impl State {
    /// Checks a state that was read: whether a run of so many epochs can go on from it, or what is
    /// wrong.
    pub(crate) fn check(
        &self,
        epochs: usize,
        is_averaged: bool,
        shapes: &LayerShapes,
        teacher: Option<&LayerShapes>,
    ) -> Result<(), String> {
        let kept = Kept::Network { is_averaged };
        self.latents.check(shapes, kept)?;
        check_shift(self.output_shift)?;
        match (&self.teacher, teacher) {
            (None, None) => {}
            (Some(latents), Some(shapes)) => {
                latents.check(shapes, Kept::Teacher).map_err(|fault| format!("teacher: {fault}"))?
            }
            (Some(_), None) => return Err("it has a teacher, the recipe has none".to_owned()),
            (None, Some(_)) => return Err("it has no teacher, the recipe has one".to_owned()),
        }
        let done = self.epochs.len();
        if done > epochs {
            return Err(format!("it is after {done} epochs, the recipe has {epochs}"));
        }
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        for (number, record) in (1..).zip(&self.epochs) {
            let is_right = record.epoch == number
                && [record.learning_rate, record.loss].iter().all(|number| number.is_finite())
                && (0.0..f64::INFINITY).contains(&record.seconds)
                && [record.train_accuracy, record.validation_accuracy].map(is_share) == [true; 2]
                && record.noisy_accuracy.is_none_or(is_share);
            if !is_right {
                return Err(format!("the record of epoch {number} is none"));
            }
        }
        match &self.best {
            Some(best) if best.epoch >= done || !is_share(best.accuracy) => {
                Err(format!("its best epoch is number {} of {done}", best.epoch + 1))
            }
            Some(best) => best.latents.check(shapes, kept),
            None if done == epochs => Err("it is complete, and has no best epoch".to_owned()),
            None => Ok(()),
        }
    }
}
