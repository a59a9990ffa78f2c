//! [`CodeTable`]: P(code | m ones, n rows on).

use std::sync::OnceLock;

use crate::conversion::code_probabilities;
use crate::error::CimError;
use crate::spec::MacroSpec;

/// The probability of every code, given how many of the rows that are on are in LRS.
///
/// It is computed from the device model ([`CodeTable::from_spec`]) or loaded from measured
/// statistics ([`CodeTable::load_csv`]).
///
/// ```
/// use hafnia_cim::{CodeTable, MacroSpec};
///
/// let spec = MacroSpec::preset("gt-n40")?;
/// let table = CodeTable::from_spec(&spec);
/// let codes = table.probabilities(7, 3);
/// assert_eq!(codes.len(), 8);
/// assert!(codes[3] > 0.99);
/// # Ok::<(), hafnia_cim::CimError>(())
/// ```
#[derive(Debug, Clone)]
pub struct CodeTable {
    rows_per_conversion: usize,
    codes: usize,
    /// What it is computed from; none of a measured one.
    model: Option<Box<MacroSpec>>,
    /// (rows, ones, code), ones padded to `rows_per_conversion + 1`; not there until they are asked
    /// for, since a large table takes seconds and not all who carry one look at it.
    probabilities: OnceLock<Vec<f64>>,
}

/// Tables are equal if their probabilities are.
impl PartialEq for CodeTable {
    fn eq(&self, other: &Self) -> bool {
        let is_same_model = self.model.is_some() && self.model == other.model;
        self.rows_per_conversion == other.rows_per_conversion
            && self.codes == other.codes
            && (is_same_model || self.all() == other.all())
    }
}

/// The first two moments of a code's error, in LSB and LSB².
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// E\[code\] − m, in LSB.
    pub bias: f64,
    /// Variance of the code, in LSB².
    pub variance: f64,
}

impl CodeTable {
    /// The most entries of a table, places for more ones than rows counted: 64 MiB.
    pub const MOST_ENTRIES: usize = 1 << 23;

    /// Why a table of so many rows and codes is refused, if it is.
    pub(crate) fn too_large(rows_per_conversion: usize, max_code: usize) -> Option<String> {
        let (counts, codes, most) = (rows_per_conversion + 1, max_code + 1, Self::MOST_ENTRIES);
        let entries = counts * counts * codes;
        (entries > most).then(|| {
            format!(
                "a code table of up to {rows_per_conversion} rows and {codes} codes would have {entries} entries, it must have at most {most}"
            )
        })
    }

    /// Whether every conversion has one code, so that nothing is left to chance.
    pub fn is_certain(&self) -> bool {
        self.all().iter().all(|probability| [0.0, 1.0].contains(probability))
    }

    /// The table of the device model, each conversion on a fresh chip.
    ///
    /// Given which cells are stuck and whose traps are filled, the signal of m ones among n rows is
    /// normal, with the sum of the static, the read and the comparator's noise variances; the table
    /// is the mixture over these. Offsets are independent from comparator to comparator.
    /// Probabilities are accurate, and sum to 1, to 1e-12.
    ///
    /// Effects that a table cannot show ([`MacroSpec::check_table`]) are taken for something near:
    /// the shape of programming variation for a normal one of the same variance, and mismatch, the
    /// fault map and the resistance of lines for none. Passes may weigh mappings by such a table;
    /// the engine `table` refuses it.
    ///
    /// Of multi-level cells, which it refuses too, it would be the table of those at the lowest and
    /// the highest level.
    ///
    /// `spec` is a valid one ([`MacroSpec::validate`]). With 7 rows and 3 bits it takes
    /// milliseconds, with 63 rows and 6 bits seconds, and with telegraph noise minutes.
    /// Where [`MacroSpec::check_table_size`] refuses a table this one is empty ([`CodeTable::is_empty`]):
    /// a mapping that weighs no noise needs none. It is computed when it is first asked.
    pub fn from_spec(spec: &MacroSpec) -> Self {
        let (model, probabilities) = match spec.check_table_size() {
            Ok(()) => (Some(Box::new(spec.clone())), OnceLock::new()),
            Err(_) => (None, OnceLock::from(Vec::new())),
        };
        let (rows_per_conversion, codes) = (spec.rows_per_conversion, spec.adc.max_code() + 1);
        Self { rows_per_conversion, codes, model, probabilities }
    }

    /// All probabilities.
    fn all(&self) -> &[f64] {
        self.probabilities.get_or_init(|| match &self.model {
            Some(spec) => Self::computed(spec),
            None => Vec::new(),
        })
    }

    /// The probabilities of the device model.
    fn computed(spec: &MacroSpec) -> Vec<f64> {
        let mut table = Self::zeros(spec.rows_per_conversion, spec.adc.max_code());
        let [common, own] = spec.converter_sigmas();
        let step = spec.reference_step_lsb();
        let mut given = vec![0.0; spec.adc.max_code() + 1];
        for (rows, ones) in table.conversions() {
            let read = spec.cell.read_variance_lsb2(ones, rows);
            let codes = table.probabilities_mut(rows, ones);
            for outcome in spec.outcomes(ones, rows) {
                let sigma = (outcome.variance_lsb2 + read + common * common).sqrt();
                let [mean, sigma, own] = [outcome.mean_lsb, sigma, own].map(|lsb| lsb / step);
                code_probabilities(mean, sigma, own, &mut given);
                for (code, probability) in codes.iter_mut().zip(&given) {
                    *code += outcome.probability * probability;
                }
            }
        }
        table.probabilities.into_inner().unwrap_or_default()
    }

    /// Whether it has no probabilities, because it would be too large.
    pub fn is_empty(&self) -> bool {
        self.probabilities.get().is_some_and(Vec::is_empty)
    }

    /// A table of zeros, to be filled.
    pub(crate) fn zeros(rows_per_conversion: usize, max_code: usize) -> Self {
        let (counts, codes) = (rows_per_conversion + 1, max_code + 1);
        let probabilities = OnceLock::from(vec![0.0; counts * counts * codes]);
        Self { rows_per_conversion, codes, model: None, probabilities }
    }

    /// Most rows that are on in one conversion.
    pub fn rows_per_conversion(&self) -> usize {
        self.rows_per_conversion
    }

    /// The largest code.
    pub fn max_code(&self) -> usize {
        self.codes - 1
    }

    /// Every (rows on, ones among them), rows from 0 to `rows_per_conversion`, ones from 0 to rows.
    pub fn conversions(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        (0..=self.rows_per_conversion).flat_map(|rows| (0..=rows).map(move |ones| (rows, ones)))
    }

    /// Probabilities of codes 0 to `max_code`, when `ones` of the `rows` that are on are in LRS.
    ///
    /// Those of a measured table sum to 1 within 1e-6 only: a sampler gives the rest to the last
    /// code.
    ///
    /// # Panics
    /// If not `ones` ≤ `rows` ≤ `rows_per_conversion`, or the table is empty.
    pub fn probabilities(&self, rows: usize, ones: usize) -> &[f64] {
        &self.all()[self.range(rows, ones)]
    }

    pub(crate) fn probabilities_mut(&mut self, rows: usize, ones: usize) -> &mut [f64] {
        let range = self.range(rows, ones);
        let all = self.probabilities.get_mut().expect("a table of zeros is there");
        &mut all[range]
    }

    fn range(&self, rows: usize, ones: usize) -> std::ops::Range<usize> {
        assert!(
            ones <= rows && rows <= self.rows_per_conversion,
            "{ones} ones among {rows} rows, in a table of up to {} rows",
            self.rows_per_conversion
        );
        let start = (rows * (self.rows_per_conversion + 1) + ones) * self.codes;
        start..start + self.codes
    }

    /// Bias and variance of the code, saturation included.
    ///
    /// # Panics
    /// As [`CodeTable::probabilities`].
    pub fn moments(&self, rows: usize, ones: usize) -> Moments {
        // errors rather than codes: small ones are not lost in the difference of large squares
        let errors = || {
            let codes = self.probabilities(rows, ones).iter().enumerate();
            codes.map(|(code, probability)| (code as f64 - ones as f64, probability))
        };
        let bias: f64 = errors().map(|(error, probability)| probability * error).sum();
        let variance =
            errors().map(|(error, probability)| probability * (error - bias).powi(2)).sum();
        Moments { bias, variance }
    }

    /// Probability that the code is not `ones`; 1 where no code is as large.
    ///
    /// # Panics
    /// As [`CodeTable::probabilities`].
    pub fn error_probability(&self, rows: usize, ones: usize) -> f64 {
        let codes = self.probabilities(rows, ones).iter().enumerate();
        codes.filter(|(code, _)| *code != ones).map(|(_, probability)| probability).sum()
    }

    /// Checks that the table has as many rows and codes as `spec`; a table from a file need not.
    ///
    /// # Errors
    /// [`CimError::Macro`] with both sizes.
    pub fn check_size(&self, spec: &MacroSpec) -> Result<(), CimError> {
        let (of_rows, of_code) = (self.rows_per_conversion, self.max_code());
        let (rows, code) = (spec.rows_per_conversion, spec.adc.max_code());
        if (of_rows, of_code) == (rows, code) {
            return Ok(());
        }
        let fault = format!(
            "turns on up to {rows} rows and has codes up to {code}, the code table has {of_rows} rows and codes up to {of_code}"
        );
        Err(CimError::whole(&spec.name, fault))
    }
}
