//! [`MacroSpec`]: what a macro is.

use crate::{CimError, InputControl};

/// A compute-in-memory macro: geometry, converter, cells and input control.
///
/// Where the values of a preset come from: [`sources`](crate::sources).
#[derive(Debug, Clone, PartialEq)]
pub struct MacroSpec {
    /// Name of the preset or of the file it came from.
    pub name: String,
    /// Word lines: physical rows of cells.
    pub rows: usize,
    /// Bit lines: columns of cells.
    pub columns: usize,
    /// Most rows that are on in one conversion.
    pub rows_per_conversion: usize,
    /// Columns that share a converter, one after the other.
    pub columns_per_adc: usize,
    /// The converter.
    pub adc: Adc,
    /// The statistics of a cell.
    pub cell: CellModel,
    /// How active rows are gathered into conversions.
    pub input_control: InputControl,
}

/// A flash converter with thresholds at k + 0.5 LSB; its code is the number of comparators that fire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adc {
    /// Resolution in bits, 1 to 6.
    pub bits: u8,
    /// Standard deviation of a comparator's static offset, in LSB; one draw per column and comparator.
    pub offset_lsb: f64,
    /// Standard deviation of the noise of a conversion, in LSB; one draw common to its comparators.
    pub comparator_noise_lsb: f64,
}

impl Adc {
    /// The largest code, which is also the number of comparators: 2^bits − 1.
    pub fn max_code(&self) -> usize {
        (1 << self.bits) - 1
    }
}

/// The statistics of a cell that is programmed to LRS (bit 1) or HRS (bit 0).
///
/// Conductances are normal, and not cut at 0. One LSB is G_LRS − G_HRS, and the reference
/// subtracts the nominal HRS leakage of the rows that are on, so that m cells in LRS among n rows
/// make a mean signal of m LSB.
///
/// The model is assumed: statistics of the chip itself are not published.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellModel {
    /// G_LRS / G_HRS; may be infinite.
    pub on_off_ratio: f64,
    /// Static standard deviation of a cell in LRS, relative to G_LRS.
    pub sigma_lrs_rel: f64,
    /// Static standard deviation of a cell in HRS, relative to G_HRS.
    pub sigma_hrs_rel: f64,
    /// Standard deviation of read noise per cell and read, relative to the nominal conductance of
    /// the cell's state.
    pub read_noise_rel: f64,
}

impl CellModel {
    /// G_LRS in LSB: 1 / (1 − 1/ratio).
    pub fn g_lrs_lsb(&self) -> f64 {
        1.0 / (1.0 - 1.0 / self.on_off_ratio)
    }

    /// G_HRS in LSB: 1 / (ratio − 1).
    pub fn g_hrs_lsb(&self) -> f64 {
        1.0 / (self.on_off_ratio - 1.0)
    }

    /// Variance, in LSB², of the signal of `ones` cells in LRS among `rows` that comes from how the
    /// cells were programmed.
    pub fn static_variance_lsb2(&self, ones: usize, rows: usize) -> f64 {
        self.variance(ones, rows, self.sigma_lrs_rel, self.sigma_hrs_rel)
    }

    /// Variance, in LSB², of the signal of `ones` cells in LRS among `rows` that is drawn afresh at
    /// every read.
    pub fn read_variance_lsb2(&self, ones: usize, rows: usize) -> f64 {
        self.variance(ones, rows, self.read_noise_rel, self.read_noise_rel)
    }

    fn variance(&self, ones: usize, rows: usize, lrs_rel: f64, hrs_rel: f64) -> f64 {
        let square = |x: f64| x * x;
        ones as f64 * square(lrs_rel * self.g_lrs_lsb())
            + (rows - ones) as f64 * square(hrs_rel * self.g_hrs_lsb())
    }
}

impl MacroSpec {
    /// Whether conversions lose nothing when there is no noise: no partial sum exceeds the largest
    /// code.
    pub fn is_lossless(&self) -> bool {
        self.rows_per_conversion <= self.adc.max_code()
    }

    /// The same macro without any noise.
    #[must_use]
    pub fn without_noise(&self) -> Self {
        let adc = Adc { offset_lsb: 0.0, comparator_noise_lsb: 0.0, ..self.adc };
        let cell =
            CellModel { sigma_lrs_rel: 0.0, sigma_hrs_rel: 0.0, read_noise_rel: 0.0, ..self.cell };
        Self { adc, cell, ..self.clone() }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`CimError::Range`] with the first key that is outside its range.
    pub fn validate(&self) -> Result<(), CimError> {
        let count = |key, value: usize, max: usize, range| {
            self.check((1..=max).contains(&value), key, value.to_string(), range)
        };
        count("rows", self.rows, 4096, "in 1..=4096")?;
        count("columns", self.columns, 4096, "in 1..=4096")?;
        count("rows_per_conversion", self.rows_per_conversion, 63, "in 1..=63")?;
        count("columns_per_adc", self.columns_per_adc, self.columns, "in 1..=columns")?;
        count("adc.bits", self.adc.bits.into(), 6, "in 1..=6")?;
        let sigma = |key, value: f64, max: f64, range| {
            self.check((0.0..=max).contains(&value), key, value.to_string(), range)
        };
        sigma("adc.offset_lsb", self.adc.offset_lsb, 4.0, "in 0..=4 LSB")?;
        sigma("adc.comparator_noise_lsb", self.adc.comparator_noise_lsb, 4.0, "in 0..=4 LSB")?;
        sigma("cell.sigma_lrs_rel", self.cell.sigma_lrs_rel, 1.0, "in 0..=1")?;
        sigma("cell.sigma_hrs_rel", self.cell.sigma_hrs_rel, 1.0, "in 0..=1")?;
        sigma("cell.read_noise_rel", self.cell.read_noise_rel, 1.0, "in 0..=1")?;
        let ratio = self.cell.on_off_ratio;
        self.check(ratio > 1.0, "cell.on_off_ratio", ratio.to_string(), "above 1, or inf")?;
        let window_is_right = match self.input_control {
            InputControl::FixedWindow { window } => (1..=self.rows).contains(&window),
            InputControl::OrderedScan | InputControl::FixedGroup => true,
        };
        let value = self.input_control.to_string();
        self.check(window_is_right, "input_control", value, "a window of 1..=rows entries")
    }

    fn check(
        &self,
        is_right: bool,
        key: &'static str,
        value: String,
        range: &'static str,
    ) -> Result<(), CimError> {
        let name = self.name.clone();
        if is_right { Ok(()) } else { Err(CimError::Range { name, key, value, range }) }
    }
}
