//! What can happen to cells and references beyond the statistics of [`CellModel`](crate::CellModel),
//! as plain data. All of it is off by default; `docs/noise.md` has the definitions.

use crate::curve::Curve;
use crate::distribution::Distribution;
use crate::fault_map::FaultMap;

/// The shape of programming variation, by state.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Programming {
    /// Of cells in LRS.
    pub lrs_distribution: Distribution,
    /// Of cells in HRS.
    pub hrs_distribution: Distribution,
}

/// Telegraph noise that is slow against a run: on every chip a cell is found with its trap filled
/// or empty, and stays so.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Telegraph {
    /// Probability that the trap of a cell is filled.
    pub rate: f64,
    /// What a filled trap takes from a cell in LRS, relative to G_LRS.
    pub lrs_rel: f64,
    /// What a filled trap takes from a cell in HRS, relative to G_HRS.
    pub hrs_rel: f64,
}

/// Cells that cannot be programmed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Faults {
    /// Probability that a cell is stuck at LRS.
    pub stuck_lrs_rate: f64,
    /// Probability that a cell is stuck at HRS.
    pub stuck_hrs_rate: f64,
    /// Cells that are stuck on every chip.
    pub map: FaultMap,
}

/// Temperature, and what it does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Temperature {
    /// Temperature in °C.
    pub celsius: f64,
    /// Relative change of G_LRS per K above 25 °C.
    pub lrs_per_k: f64,
    /// Relative change of G_HRS per K above 25 °C.
    pub hrs_per_k: f64,
    /// Relative change of the converter's references per K above 25 °C: how they track the cells.
    pub reference_per_k: f64,
}

impl Default for Temperature {
    fn default() -> Self {
        Self { celsius: 25.0, lrs_per_k: 0.0, hrs_per_k: 0.0, reference_per_k: 0.0 }
    }
}

impl Temperature {
    /// The factors on G_HRS, G_LRS and the references.
    pub(crate) fn factors(&self) -> [f64; 3] {
        let above = self.celsius - 25.0;
        [self.hrs_per_k, self.lrs_per_k, self.reference_per_k].map(|slope| 1.0 + slope * above)
    }
}

/// What time does to programmed cells, from measured points.
///
/// At time t, σ² grows by s(t)² − s(t₁)², s being the measured curve and t₁ its first time; the
/// mean conductance is that of programming times the drift curve.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Retention {
    /// Time since programming, in s; 0 is off.
    pub time_s: f64,
    /// Measured σ of cells in LRS over time, relative to G_LRS.
    pub sigma_lrs: Curve,
    /// Measured σ of cells in HRS over time, relative to G_HRS.
    pub sigma_hrs: Curve,
    /// Measured mean conductance of cells in LRS over time, relative to that of programming.
    pub drift_lrs: Curve,
    /// Measured mean conductance of cells in HRS over time, relative to that of programming.
    pub drift_hrs: Curve,
}

impl Retention {
    /// The curves: σ of (HRS, LRS), drift of (HRS, LRS), with their keys.
    pub(crate) fn curves(&self) -> [(&'static str, &Curve); 4] {
        [
            ("retention.sigma_hrs", &self.sigma_hrs),
            ("retention.sigma_lrs", &self.sigma_lrs),
            ("retention.drift_hrs", &self.drift_hrs),
            ("retention.drift_lrs", &self.drift_lrs),
        ]
    }
}

/// What reading does to programmed cells: their mean conductance is multiplied by
/// 1 + slope · log₁₀(1 + reads).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Disturb {
    /// Reads of every cell since programming.
    pub reads: f64,
    /// Slope of cells in LRS.
    pub lrs_rel_per_decade: f64,
    /// Slope of cells in HRS.
    pub hrs_rel_per_decade: f64,
}

impl Disturb {
    /// The factors on G_HRS and G_LRS.
    pub(crate) fn factors(&self) -> [f64; 2] {
        let decades = libm::log10(1.0 + self.reads);
        [self.hrs_rel_per_decade, self.lrs_rel_per_decade].map(|slope| 1.0 + slope * decades)
    }
}

/// The resistance of the lines of the array.
///
/// Rows are driven at the side of column 0, bit lines are held at 0 V and read at that of row 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wires {
    /// Resistance of a bit line from cell to cell, in Ω.
    pub bit_line_ohm: f64,
    /// Resistance of the line that drives a row, from cell to cell, in Ω.
    pub word_line_ohm: f64,
    /// G_LRS in µS; used here only.
    pub g_lrs_us: f64,
}

impl Default for Wires {
    fn default() -> Self {
        Self { bit_line_ohm: 0.0, word_line_ohm: 0.0, g_lrs_us: 100.0 }
    }
}

impl Wires {
    /// Whether a line has resistance.
    pub fn are_resistive(&self) -> bool {
        self.bit_line_ohm > 0.0 || self.word_line_ohm > 0.0
    }
}
