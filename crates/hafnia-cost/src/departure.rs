//! [`Departure`]: where a macro is not the chip that the model was calibrated on.

use hafnia_cim::{AdcKind, MacroSpec};
use serde::{Deserialize, Serialize};

use crate::calibration::Calibrated;

/// A value of a macro that is not the one of the chip that the model was calibrated on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Departure {
    /// Key of the macro, as in `cell.on_off_ratio`.
    pub key: String,
    /// Its value, which was priced.
    pub value: String,
    /// The chip's, at the typical constants.
    pub calibrated: String,
}

impl std::fmt::Display for Departure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} (there {})", self.key, self.value, self.calibrated)
    }
}

impl Calibrated {
    /// The values of `spec` on which a price depends and which are not those of the chip that the
    /// model was calibrated on. What is priced follows `spec`.
    ///
    /// ```
    /// use hafnia_cim::MacroSpec;
    /// use hafnia_cost::CostModel;
    /// use hafnia_rng::Seed;
    ///
    /// let calibrated = CostModel::gt_n40().calibrate(1, Seed(1))?;
    /// let mut spec = MacroSpec::preset("gt-n40")?;
    /// spec.set("adc.kind", "sar")?;
    /// let departures = calibrated.departures(&spec);
    /// assert!(departures.iter().any(|it| it.to_string() == "adc.kind sar (there flash)"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn departures(&self, spec: &MacroSpec) -> Vec<Departure> {
        let chip = &self.typical.constants;
        let counts = [
            ("rows", spec.rows as f64, chip.rows),
            ("columns", spec.columns as f64, chip.columns),
            ("rows_per_conversion", spec.rows_per_conversion as f64, chip.rows_per_conversion),
            ("columns_per_adc", spec.columns_per_adc as f64, chip.columns_per_adc),
            ("adc.bits", spec.adc.bits.into(), chip.adc_bits),
            ("cell.on_off_ratio", spec.cell.on_off_ratio, chip.on_off_ratio),
            ("cell.bits_per_cell", spec.cell.bits_per_cell.into(), 1.0),
        ];
        let counts = counts.map(|(key, value, chip)| (key, value.to_string(), chip.to_string()));
        let kind = ("adc.kind", spec.adc.kind.to_string(), AdcKind::Flash.to_string());
        let all = counts.into_iter().chain([kind]);
        let departures = all.filter(|(_, value, chip)| value != chip);
        departures
            .map(|(key, value, calibrated)| Departure { key: key.to_owned(), value, calibrated })
            .collect()
    }
}
