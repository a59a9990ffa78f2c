//! The numbers of a run, by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::ReportError;

/// A flat, ordered map from key to finite number.
///
/// A key reads `subject/part/what_unit`, as in `rename/final/accuracy_cost_points`; shares are
/// fractions of 1, and the ends of an interval add `_lo` and `_hi`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Adds a metric.
    ///
    /// # Errors
    /// [`ReportError::NotFinite`] for NaN and infinities, [`ReportError::Invalid`] if the
    /// key is taken.
    pub fn insert(&mut self, key: impl Into<String>, value: f64) -> Result<(), ReportError> {
        let key = key.into();
        if !value.is_finite() {
            return Err(ReportError::NotFinite { key, value });
        }
        if let Some(&present) = self.0.get(&key) {
            return Err(ReportError::Invalid(format!(
                "metric `{key}` is already {present}, it cannot be set to {value}"
            )));
        }
        self.0.insert(key, value);
        Ok(())
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<f64> {
        self.0.get(key).copied()
    }

    /// All metrics, by key in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(key, &value)| (key.as_str(), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_refused_by_key() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = Metrics::default().insert("accuracy/exact", value).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("metric `accuracy/exact` is {value}, it must be finite")
            );
        }
    }

    #[test]
    fn a_key_is_given_once() {
        let mut metrics = Metrics::default();
        metrics.insert("a", 1.0).unwrap();
        let error = metrics.insert("a", 2.0).unwrap_err();
        assert_eq!(error.to_string(), "metric `a` is already 1, it cannot be set to 2");
        assert_eq!(metrics.get("a"), Some(1.0));
    }
}
