//! [`MacroSpec`]: what a macro is.

use std::fmt;
use std::str::FromStr;

use crate::distribution::Distribution;
use crate::effects::{Disturb, Faults, Programming, Retention, Telegraph, Temperature, Wires};
use crate::error::CimError;
use crate::input_control::InputControl;

/// The least conductance of a cell in LRS, in µS.
pub(crate) const LEAST_G_LRS_US: f64 = 1e-3;

/// The largest σ of a state, relative to its mean: 100 is a log-normal distribution whose ln G
/// deviates by 3, a factor of 20 from cell to cell. What is wider is no state any more, and squares
/// of what is far wider leave what can be computed with.
const MOST_SIGMA: f64 = 100.0;

/// The most rows of a conversion whose cells may both be stuck by a rate and have traps: a code table
/// adds up all ways in which they can turn out, whose number grows with the fifth power of the rows.
const MOST_MIXED_ROWS: usize = 24;

/// A compute-in-memory macro: geometry, converter, cells and input control.
///
/// Where the values of a preset come from: [`sources`](crate::sources).
#[derive(Debug, Clone, PartialEq)]
pub struct MacroSpec {
    /// Name of the preset or of the file it came from.
    pub name: String,
    /// Word lines: physical rows of cells.
    pub rows: usize,
    /// Bit lines: columns of cells, whatever bits a cell holds.
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
    /// The shape of programming variation.
    pub programming: Programming,
    /// Slow telegraph noise.
    pub telegraph: Telegraph,
    /// Cells that cannot be programmed.
    pub faults: Faults,
    /// Temperature of cells and references.
    pub temperature: Temperature,
    /// What time does.
    pub retention: Retention,
    /// What reading does.
    pub disturb: Disturb,
    /// The resistance of lines.
    pub wires: Wires,
}

/// A converter, whose thresholds ([`Adc::threshold_lsb`]) are (1 + `gain_error_rel`) times as high.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adc {
    /// How it finds the code.
    pub kind: AdcKind,
    /// Resolution in bits, 1 to 12.
    pub bits: u8,
    /// Standard deviation of a comparator's static offset, in LSB; one draw per column and
    /// comparator, of which a converter by successive approximation has one.
    pub offset_lsb: f64,
    /// Standard deviation of the noise of a conversion, in LSB; one draw common to its comparisons.
    pub comparator_noise_lsb: f64,
    /// How much too high the references are, relative to them.
    pub gain_error_rel: f64,
    /// Standard deviation of a unit element of the converter by successive approximation, in LSB;
    /// bit b is 2^b elements, one draw per column and bit.
    pub mismatch_lsb: f64,
}

/// How a converter finds its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AdcKind {
    /// A comparator for every threshold; the code is the number of those that fire.
    #[default]
    Flash,
    /// One comparator, bit after bit by halving (successive approximation).
    Sar,
}

impl fmt::Display for AdcKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flash => "flash",
            Self::Sar => "sar",
        })
    }
}

impl FromStr for AdcKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "flash" => Ok(Self::Flash),
            "sar" => Ok(Self::Sar),
            _ => Err(()),
        }
    }
}

impl Adc {
    /// The largest code, which is also the number of comparators: 2^bits − 1.
    pub fn max_code(&self) -> usize {
        (1 << self.bits) - 1
    }

    /// The signal, in LSB, at which a comparator, counted from 0, fires if nothing is off its place:
    /// between the codes `comparator` and `comparator` + 1.
    pub fn threshold_lsb(comparator: usize) -> f64 {
        comparator as f64 + 0.5
    }
}

/// The statistics of a cell that is programmed to LRS (bit 1) or HRS (bit 0).
///
/// Conductances are normal, unless [`Programming`] says otherwise, and not cut at 0. One LSB is G_LRS − G_HRS, and the reference
/// subtracts the nominal HRS leakage of the rows that are on, so that m cells in LRS among n rows
/// make a mean signal of m LSB.
///
/// A cell of 2 bits is programmed to one of four levels, evenly spaced from HRS (level 0) to LRS
/// (level 3). One LSB is then (G_LRS − G_HRS) / 3, so that the mean signal is the sum of levels.
///
/// The model is assumed: statistics of the chip itself are not published.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellModel {
    /// G_LRS / G_HRS; may be infinite.
    pub on_off_ratio: f64,
    /// Static standard deviation of a cell in LRS, relative to G_LRS.
    pub sigma_lrs_rel: f64,
    /// Static standard deviation of a cell in HRS, relative to G_HRS; measured ones exceed 1.
    pub sigma_hrs_rel: f64,
    /// Standard deviation of read noise per cell and read, relative to the nominal conductance of
    /// the cell's state.
    pub read_noise_rel: f64,
    /// Bits that a cell holds: 1, or 2 for a multi-level cell.
    pub bits_per_cell: u8,
    /// Static standard deviations of the levels between HRS and LRS.
    pub level_sigmas: LevelSigmas,
}

/// The static standard deviations of the two levels of a cell of 2 bits that lie between HRS and LRS.
///
/// As text: `linear`, or two numbers, as in `0.07 0.06`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum LevelSigmas {
    /// Those of HRS and LRS, as conductances, and evenly spaced between.
    #[default]
    Linear,
    /// Of levels 1 and 2, relative to G_LRS.
    Given([f64; 2]),
}

impl fmt::Display for LevelSigmas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linear => f.write_str("linear"),
            Self::Given([one, two]) => write!(f, "{one} {two}"),
        }
    }
}

impl FromStr for LevelSigmas {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "linear" {
            return Ok(Self::Linear);
        }
        let numbers: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
        numbers.map_err(|_| ())?.try_into().map(Self::Given).map_err(|_| ())
    }
}

impl CellModel {
    /// The highest level of a cell: 1, or 3 with 2 bits.
    pub fn top_level(&self) -> usize {
        (1 << self.bits_per_cell) - 1
    }

    /// G_LRS in LSB: top level / (1 − 1/ratio).
    pub fn g_lrs_lsb(&self) -> f64 {
        self.top_level() as f64 / (1.0 - 1.0 / self.on_off_ratio)
    }

    /// G_HRS in LSB: top level / (ratio − 1).
    pub fn g_hrs_lsb(&self) -> f64 {
        self.top_level() as f64 / (self.on_off_ratio - 1.0)
    }

    /// Variance, in LSB², that is drawn afresh at every read of `rows` cells, of whose levels this
    /// is the sum and this the sum of squares.
    ///
    /// A cell of level l conducts G_HRS + l LSB.
    pub fn read_variance_of_levels_lsb2(&self, rows: usize, sum: usize, squares: usize) -> f64 {
        let low = self.g_hrs_lsb();
        let conductances = rows as f64 * low * low + 2.0 * low * sum as f64 + squares as f64;
        self.read_noise_rel * self.read_noise_rel * conductances
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
    /// The largest number of rows that a macro may turn on in one conversion.
    pub const MOST_ROWS_PER_CONVERSION: usize = 1024;

    /// The finest resolution of a converter, in bits.
    pub const MOST_ADC_BITS: u8 = 12;

    /// Whether conversions lose nothing when there is no noise: no partial sum exceeds the largest
    /// code.
    pub fn is_lossless(&self) -> bool {
        self.rows_per_conversion * self.cell.top_level() <= self.adc.max_code()
    }

    /// The same macro without any noise: nothing varies, drifts, sticks or is off its place.
    #[must_use]
    pub fn without_noise(&self) -> Self {
        let adc = Adc {
            offset_lsb: 0.0,
            comparator_noise_lsb: 0.0,
            gain_error_rel: 0.0,
            mismatch_lsb: 0.0,
            ..self.adc
        };
        let cell = CellModel {
            sigma_lrs_rel: 0.0,
            sigma_hrs_rel: 0.0,
            read_noise_rel: 0.0,
            level_sigmas: LevelSigmas::Linear,
            ..self.cell
        };
        Self {
            adc,
            cell,
            name: self.name.clone(),
            programming: Programming::default(),
            telegraph: Telegraph::default(),
            faults: Faults::default(),
            temperature: Temperature::default(),
            retention: Retention::default(),
            disturb: Disturb::default(),
            wires: Wires::default(),
            ..*self
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`CimError::Macro`] with the first key that is outside its range.
    pub fn validate(&self) -> Result<(), CimError> {
        let count = |key, value: usize, max: usize, range| {
            self.check((1..=max).contains(&value), key, value.to_string(), range)
        };
        count("rows", self.rows, 4096, "in 1..=4096")?;
        count("columns", self.columns, 4096, "in 1..=4096")?;
        let most = Self::MOST_ROWS_PER_CONVERSION;
        count("rows_per_conversion", self.rows_per_conversion, most, "in 1..=1024")?;
        count("columns_per_adc", self.columns_per_adc, self.columns, "in 1..=columns")?;
        let most = Self::MOST_ADC_BITS.into();
        count("adc.bits", self.adc.bits.into(), most, "in 1..=12")?;
        let within = |key, value: f64, min: f64, max: f64, range| {
            self.check((min..=max).contains(&value), key, value.to_string(), range)
        };
        let sigma = |key, value, max, range| within(key, value, 0.0, max, range);
        let share = |key, value| within(key, value, 0.0, 1.0, "in 0..=1");
        sigma("adc.offset_lsb", self.adc.offset_lsb, 4.0, "in 0..=4 LSB")?;
        sigma("adc.comparator_noise_lsb", self.adc.comparator_noise_lsb, 4.0, "in 0..=4 LSB")?;
        within("adc.gain_error_rel", self.adc.gain_error_rel, -0.5, 0.5, "in -0.5..=0.5")?;
        sigma("adc.mismatch_lsb", self.adc.mismatch_lsb, 1.0, "in 0..=1 LSB")?;
        let (mismatch, kind) = (self.adc.mismatch_lsb, self.adc.kind);
        self.check(
            mismatch == 0.0 || kind == AdcKind::Sar,
            "adc.mismatch_lsb",
            mismatch.to_string(),
            "0 where adc.kind is flash, which has no such elements",
        )?;
        sigma("cell.sigma_lrs_rel", self.cell.sigma_lrs_rel, MOST_SIGMA, "in 0..=100")?;
        sigma("cell.sigma_hrs_rel", self.cell.sigma_hrs_rel, MOST_SIGMA, "in 0..=100")?;
        share("cell.read_noise_rel", self.cell.read_noise_rel)?;
        let ratio = self.cell.on_off_ratio;
        self.check(ratio > 1.0, "cell.on_off_ratio", ratio.to_string(), "above 1, or inf")?;
        self.validate_levels()?;
        share("telegraph.rate", self.telegraph.rate)?;
        share("telegraph.lrs_rel", self.telegraph.lrs_rel)?;
        share("telegraph.hrs_rel", self.telegraph.hrs_rel)?;
        let Faults { stuck_lrs_rate: lrs, stuck_hrs_rate: hrs, .. } = self.faults;
        share("faults.stuck_lrs_rate", lrs)?;
        share("faults.stuck_hrs_rate", hrs)?;
        let left = "at most 1 less faults.stuck_lrs_rate";
        self.check(lrs + hrs <= 1.0, "faults.stuck_hrs_rate", hrs.to_string(), left)?;
        let is_mixed = self.telegraph.rate > 0.0 && lrs + hrs > 0.0;
        self.check(
            !is_mixed || self.rows_per_conversion <= MOST_MIXED_ROWS,
            "rows_per_conversion",
            self.rows_per_conversion.to_string(),
            "at most 24 where cells are stuck by a rate and have traps too",
        )?;
        self.faults.map.check_within(self.rows, self.columns)?;
        self.validate_drifts()?;
        let Wires { bit_line_ohm, word_line_ohm, g_lrs_us } = self.wires;
        sigma("wires.bit_line_ohm", bit_line_ohm, 1e3, "in 0..=1000 ohm")?;
        sigma("wires.word_line_ohm", word_line_ohm, 1e3, "in 0..=1000 ohm")?;
        within("wires.g_lrs_us", g_lrs_us, LEAST_G_LRS_US, 1e4, "in 0.001..=10000 uS")?;
        let window_is_right = match self.input_control {
            InputControl::FixedWindow { window } => (1..=self.rows).contains(&window),
            InputControl::OrderedScan | InputControl::FixedGroup => true,
        };
        let value = self.input_control.to_string();
        self.check(window_is_right, "input_control", value, "a window of 1..=rows entries")
    }

    /// Checks what concerns the levels of cells.
    fn validate_levels(&self) -> Result<(), CimError> {
        let bits = self.cell.bits_per_cell;
        self.check([1, 2].contains(&bits), "cell.bits_per_cell", bits.to_string(), "1 or 2")?;
        let sigmas = self.cell.level_sigmas;
        let check =
            |is_right, range| self.check(is_right, "cell.level_sigmas", sigmas.to_string(), range);
        if let LevelSigmas::Given(given) = sigmas {
            check(given.iter().all(|sigma| (0.0..=1.0).contains(sigma)), "two of 0..=1")?;
            check(bits == 2, "linear where cell.bits_per_cell is 1")?;
            let is_fresh = self.retention.time_s == 0.0;
            check(is_fresh, "linear where retention.time_s is over 0")?;
        }
        let shapes = [
            ("programming.lrs_distribution", &self.programming.lrs_distribution),
            ("programming.hrs_distribution", &self.programming.hrs_distribution),
        ];
        for (key, shape) in shapes {
            let is_known = bits == 1 || *shape == Distribution::Normal;
            self.check(is_known, key, shape.to_string(), "normal where cell.bits_per_cell is 2")?;
        }
        Ok(())
    }

    /// Checks what moves the mean of conductances and references.
    fn validate_drifts(&self) -> Result<(), CimError> {
        let within = |key, value: f64, min: f64, max: f64, range| {
            self.check((min..=max).contains(&value), key, value.to_string(), range)
        };
        let Temperature { celsius, lrs_per_k, hrs_per_k, reference_per_k } = self.temperature;
        within("temperature.celsius", celsius, -55.0, 150.0, "in -55..=150 °C")?;
        let slopes = [
            ("temperature.hrs_per_k", hrs_per_k),
            ("temperature.lrs_per_k", lrs_per_k),
            ("temperature.reference_per_k", reference_per_k),
        ];
        for ((key, slope), factor) in slopes.into_iter().zip(self.temperature.factors()) {
            within(key, slope, -0.02, 0.02, "in -0.02..=0.02 per K")?;
            let range = "so small that 1 + slope · (celsius - 25) stays at least 0.1";
            self.check(factor >= 0.1, key, slope.to_string(), range)?;
        }
        within("disturb.reads", self.disturb.reads, 0.0, 1e18, "in 0..=1e18")?;
        let slopes = [
            ("disturb.hrs_rel_per_decade", self.disturb.hrs_rel_per_decade),
            ("disturb.lrs_rel_per_decade", self.disturb.lrs_rel_per_decade),
        ];
        for ((key, slope), factor) in slopes.into_iter().zip(self.disturb.factors()) {
            within(key, slope, -1.0, 1.0, "in -1..=1")?;
            let range = "so small that 1 + slope · log10(1 + reads) stays at least 0";
            self.check(factor >= 0.0, key, slope.to_string(), range)?;
        }
        let time = self.retention.time_s;
        within("retention.time_s", time, 0.0, 1e12, "in 0..=1e12 s")?;
        if time == 0.0 {
            return Ok(());
        }
        let curves = self.retention.curves();
        let has_points = curves.iter().any(|(_, curve)| !curve.is_empty());
        let needs = "0 where the macro has no measured points of retention";
        self.check(has_points, "retention.time_s", time.to_string(), needs)?;
        for (key, curve) in curves {
            let covers = curve.is_empty() || curve.at(time).is_some();
            let range = "none, or points that reach from below retention.time_s to above it";
            self.check(covers, key, curve.to_string(), range)?;
        }
        Ok(())
    }

    fn check(
        &self,
        is_right: bool,
        key: &'static str,
        value: String,
        range: &'static str,
    ) -> Result<(), CimError> {
        match is_right {
            true => Ok(()),
            false => {
                Err(CimError::of_key(&self.name, key, format!("is {value}, it must be {range}")))
            }
        }
    }
}
