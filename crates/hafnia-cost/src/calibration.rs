//! [`Calibrated`]: a model that meets two published figures, and how well it foretells two others.
//!
//! Two factors are free. The energy factor scales all that is analog (cells, comparators, word
//! lines) so that the chip spends what 36.4 TOPS/W say on binary VGG-8; the digital parts (adders,
//! control, tables) are left as they are. The area factor scales all periphery (converters,
//! drivers, columns, adders, control) so that a macro is as large as 97.8 GOPS/mm² say at the rate of
//! all its converters; cells and tables are left as they are.
//!
//! Nothing else is fitted. The figures 44.5 and 42.7 TOPS/W are foretold from what differs: fewer
//! cells in LRS, and the overhead of a code.
//!
//! What is assumed is drawn anew in every draw of a Latin hypercube: the range of each constant is
//! cut into as many strata of one probability as there are draws, and each stratum is taken once, in
//! an order of its own. Every draw is calibrated on its own, so that ranges hold what is not known
//! once the two figures are. A draw that cannot meet them, because what is not scaled alone takes
//! more, is left out and counted. How many columns share a converter is drawn too, in whole numbers,
//! and a mapping is priced on macros with as many.
//!
//! Cost: a draw is arithmetic on a few dozen numbers.

use hafnia_rng::Seed;
use rand::RngExt;
use rand::seq::SliceRandom;
use serde::Serialize;

use crate::model::{Constants, CostModel};
use crate::{CostError, Range};

/// Constants with the two factors that make the published figures come out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaled {
    /// The constants as the model gives them.
    pub constants: Constants,
    /// Factor of all analog energies.
    pub energy_scale: f64,
    /// Factor of the area of all periphery.
    pub area_scale: f64,
}

/// A calibrated model: at the typical constants, and in draws of all that is assumed.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibrated {
    /// At the typical constants.
    pub typical: Scaled,
    /// The draws that can be calibrated.
    pub draws: Vec<Scaled>,
    /// Draws that cannot.
    pub refused: usize,
}

/// Energy of a mean conversion of the published chip, in fJ.
struct ConversionEnergy {
    analog_fj: f64,
    digital_fj: f64,
}

impl Constants {
    /// Energy of a cell in LRS in one read, in fJ, before calibration: V² · t / R.
    pub(crate) fn lrs_fj(&self) -> f64 {
        // V² / kohm · ns = 1e-12 J = 1000 fJ.
        1000.0 * self.read_v * self.read_v / self.lrs_kohm * self.read_ns
    }

    /// Energy of turning on a word line, in fJ a cell on it, before calibration: C · V².
    pub(crate) fn word_line_fj(&self) -> f64 {
        self.word_line_ff_per_cell * self.supply_v * self.supply_v
    }

    /// Area of the cells of a weight, in um².
    pub(crate) fn weight_um2(&self) -> f64 {
        self.cell_um2 * self.cells_per_weight
    }

    fn comparators(&self) -> f64 {
        self.adc_bits.exp2() - 1.0
    }

    /// Of `rows` rows on, with a share `lrs` of cells in LRS.
    fn conversion(&self, rows: f64, lrs: f64) -> ConversionEnergy {
        let cells = rows * self.lrs_fj() * (lrs + (1.0 - lrs) / self.on_off_ratio);
        // A word line serves the conversions of all columns, a cycle those of all converters.
        let word_lines = rows * self.word_line_fj();
        let control = self.control_fj_per_cycle * self.columns_per_adc / self.columns;
        // The sum of a column, and its share of the digital sum of activations.
        let width = adder_bits(self.rows as u64);
        let adds = width * self.add_fj_per_bit * (1.0 + 1.0 / self.columns);
        ConversionEnergy {
            analog_fj: cells + self.comparators() * self.comparator_fj + word_lines,
            digital_fj: control + adds,
        }
    }

    /// 1x1-bit operations of a conversion of `rows` rows on, as they were counted for publication.
    fn ops(&self, rows: f64) -> f64 {
        rows * self.ops_per_row_on
    }

    /// Throughput of the chip with all converters busy and all rows on, in GOPS.
    fn gops(&self) -> f64 {
        let adcs = self.columns / self.columns_per_adc;
        self.ops(self.rows_per_conversion) * adcs * self.clock_mhz / 1000.0
    }

    fn macro_um2(&self) -> f64 {
        1e6 * self.gops() / self.gops_per_mm2
    }

    fn cells_um2(&self) -> f64 {
        self.rows * self.columns * self.weight_um2()
    }

    /// Area of a macro's periphery, in um², before calibration.
    fn periphery_um2(&self) -> f64 {
        let adc = self.comparators() * self.comparator_um2 + self.adder_um2;
        self.columns / self.columns_per_adc * adc
            + self.rows * self.driver_um2
            + self.columns * self.column_um2
            + self.control_um2
    }
}

/// Bits of an accumulator that sums up to `most` either way.
pub(crate) fn adder_bits(most: u64) -> f64 {
    f64::from(u64::BITS - most.leading_zeros() + 1)
}

impl Scaled {
    /// Calibrates constants of the model of this name.
    fn new(model: &str, constants: Constants) -> Result<Self, CostError> {
        let refused = |part, taken, published, unit| {
            let model = model.to_owned();
            Err(CostError::Calibration { model, part, taken, published, unit })
        };
        let rows = constants.rows_on;
        let energy = constants.conversion(rows, constants.binary_lrs_share);
        let published_fj = 1000.0 * constants.ops(rows) / constants.binary_tops_per_w;
        let left_fj = published_fj - energy.digital_fj;
        if left_fj <= 0.0 {
            return refused("what is digital", energy.digital_fj, published_fj, "fJ a conversion");
        }
        let (cells_um2, macro_um2) = (constants.cells_um2(), constants.macro_um2());
        if macro_um2 <= cells_um2 {
            return refused("the array of cells", cells_um2, macro_um2, "um2");
        }
        Ok(Self {
            constants,
            energy_scale: left_fj / energy.analog_fj,
            area_scale: (macro_um2 - cells_um2) / constants.periphery_um2(),
        })
    }

    /// Efficiency of the chip in TOPS/W, with an overhead of energy.
    fn tops_per_w(&self, rows: f64, lrs: f64, overhead_rel: f64) -> f64 {
        let energy = self.constants.conversion(rows, lrs);
        let fj = (self.energy_scale * energy.analog_fj + energy.digital_fj) * (1.0 + overhead_rel);
        1000.0 * self.constants.ops(rows) / fj
    }

    fn binary(&self) -> f64 {
        self.tops_per_w(self.constants.rows_on, self.constants.binary_lrs_share, 0.0)
    }

    fn ternary(&self) -> f64 {
        let lrs = 0.5 * (1.0 - self.constants.ternary_zero_share);
        self.tops_per_w(self.constants.rows_on, lrs, 0.0)
    }

    fn ecc(&self) -> f64 {
        let Constants { rows_per_conversion, ecc_lrs_share, ecc_energy_rel, .. } = self.constants;
        self.tops_per_w(rows_per_conversion, ecc_lrs_share, ecc_energy_rel)
    }

    fn gops_per_mm2(&self) -> f64 {
        let um2 = self.constants.cells_um2() + self.area_scale * self.constants.periphery_um2();
        1e6 * self.constants.gops() / um2
    }
}

/// Draws of a calibration, enough that quantiles of 5 % rest on fifty draws.
pub const DRAWS: usize = 1000;

impl CostModel {
    /// Calibrates the model, at its typical constants and in so many draws of what is assumed.
    ///
    /// ```
    /// use hafnia_cost::{CostModel, DRAWS};
    /// use hafnia_rng::Seed;
    ///
    /// let calibrated = CostModel::gt_n40().calibrate(DRAWS, Seed(1))?;
    /// for figure in calibrated.calibration().figures {
    ///     println!("{}: {} of {}", figure.name, figure.model, figure.published);
    /// }
    /// # Ok::<(), hafnia_cost::CostError>(())
    /// ```
    ///
    /// # Errors
    /// If the typical constants cannot meet the published figures, or no draw can.
    pub fn calibrate(&self, draws: usize, seed: Seed) -> Result<Calibrated, CostError> {
        let typical = Scaled::new(&self.name, self.pick(|constant| constant.value))?;
        let strata: Vec<Vec<f64>> = self
            .constants()
            .iter()
            .map(|constant| {
                let rng = &mut seed.site("cost/draws").site(constant.key).rng();
                let mut order: Vec<usize> = (0..draws).collect();
                order.shuffle(rng);
                let place = |stratum| (stratum as f64 + rng.random::<f64>()) / draws as f64;
                order.into_iter().map(place).collect()
            })
            .collect();
        let of_key: std::collections::HashMap<&str, &Vec<f64>> =
            self.constants().iter().map(|constant| constant.key).zip(&strata).collect();
        let drawn = (0..draws).map(|draw| {
            let mut constants = self.pick(|constant| constant.quantile(of_key[constant.key][draw]));
            constants.columns_per_adc = constants.columns_per_adc.round();
            Scaled::new(&self.name, constants)
        });
        let met: Vec<Scaled> = drawn.filter_map(Result::ok).collect();
        if met.is_empty() {
            return Err(CostError::NoDraws { model: self.name.clone(), draws });
        }
        Ok(Calibrated { typical, refused: draws - met.len(), draws: met })
    }
}

/// What a calibration found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Draws that were calibrated.
    pub draws: usize,
    /// Draws that could not be.
    pub refused: usize,
    /// Factor of all analog energies.
    pub energy_scale: Range,
    /// Factor of the area of all periphery.
    pub area_scale: Range,
    /// Area of a macro of the chip.
    pub macro_mm2: Range,
    /// Share of the array of cells in it.
    pub cells_rel: Range,
    /// The published figures beside the model's.
    pub figures: Vec<Figure>,
}

/// A published figure beside the model's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: &'static str,
    /// Whether the model was calibrated on it; it is foretold otherwise.
    pub fitted: bool,
    /// As published.
    pub published: f64,
    /// As the model has it.
    pub model: Range,
    /// How far the model's typical value lies above the published one, relative to it.
    pub miss_rel: f64,
    /// The same miss of a forecast that knows nothing: the efficiency it was calibrated on, again.
    pub naive_miss_rel: f64,
    /// Whether the model's range holds the published value.
    pub held: bool,
}

impl Calibrated {
    /// A value of the calibrated model with its range.
    pub fn range(&self, value: impl Fn(&Scaled) -> f64) -> Range {
        Range::of(value(&self.typical), self.draws.iter().map(&value).collect())
    }

    /// What the calibration found, and how it foretells the figures it did not use.
    pub fn calibration(&self) -> Calibration {
        let Constants { binary_tops_per_w, ternary_tops_per_w, .. } = self.typical.constants;
        let Constants { ecc_tops_per_w, gops_per_mm2, .. } = self.typical.constants;
        let figure = |name, fitted, published: f64, value: fn(&Scaled) -> f64| {
            let model = self.range(value);
            let miss_rel = model.typical / published - 1.0;
            // The figures that were fitted come out but for rounding.
            let held = fitted || model.holds(published);
            let naive_miss_rel =
                if fitted { miss_rel } else { binary_tops_per_w / published - 1.0 };
            Figure { name, fitted, published, model, miss_rel, naive_miss_rel, held }
        };
        Calibration {
            draws: self.draws.len(),
            refused: self.refused,
            energy_scale: self.range(|scaled| scaled.energy_scale),
            area_scale: self.range(|scaled| scaled.area_scale),
            macro_mm2: self.range(|scaled| 1e-6 * scaled.constants.macro_um2()),
            cells_rel: self
                .range(|scaled| scaled.constants.cells_um2() / scaled.constants.macro_um2()),
            figures: vec![
                figure("binary VGG-8, TOPS/W", true, binary_tops_per_w, Scaled::binary),
                figure("peak, GOPS/mm2", true, gops_per_mm2, Scaled::gops_per_mm2),
                figure("ternary VGG-8, TOPS/W", false, ternary_tops_per_w, Scaled::ternary),
                figure("peak with MAC-ECC, TOPS/W", false, ecc_tops_per_w, Scaled::ecc),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn energies_by_hand() {
        let constants = CostModel::gt_n40().pick(|constant| constant.value);
        // (0.2 V)² / 6 kohm · 5 ns = 33.3 fJ; 0.3 fF · (0.9 V)² = 0.243 fJ.
        assert!((constants.lrs_fj() - 33.333_333).abs() < 1e-5);
        assert!((constants.word_line_fj() - 0.243).abs() < 1e-12);
        // 7 rows · 2 op · 16 converters · 100 MHz = 22.4 GOPS, on 22.4 / 97.8 mm².
        assert!((constants.gops() - 22.4).abs() < 1e-12);
        assert!((constants.macro_um2() - 229_038.854_8).abs() < 1e-3);
        assert_eq!(adder_bits(128), 9.0);
        // 7 · 33.3 (0.5 + 0.5 / 17) + 7 · 15 + 7 · 0.243 fJ, and 200 · 8 / 128 + 9 · 3.75 · 129/128.
        let energy = constants.conversion(7.0, 0.5);
        assert!((energy.analog_fj - (123.529_412 + 105.0 + 1.701)).abs() < 1e-5);
        assert!((energy.digital_fj - (12.5 + 34.013_672)).abs() < 1e-5);
    }

    #[test]
    fn every_draw_meets_what_it_was_calibrated_on() {
        let calibrated = CostModel::gt_n40().calibrate(200, Seed(3)).unwrap();
        assert_eq!(calibrated.draws.len() + calibrated.refused, 200);
        for scaled in calibrated.draws.iter().chain([&calibrated.typical]) {
            assert!((scaled.binary() - 36.4).abs() < 1e-9);
            assert!((scaled.gops_per_mm2() - 97.8).abs() < 1e-9);
        }
    }

    #[test]
    fn every_stratum_is_drawn_once() {
        let model = CostModel::gt_n40();
        let calibrated = model.calibrate(64, Seed(5)).unwrap();
        let mut volts: Vec<f64> = calibrated.draws.iter().map(|d| d.constants.read_v).collect();
        volts.sort_by(f64::total_cmp);
        let constant = model.constants().iter().find(|c| c.key == "energy.read_v").unwrap();
        assert_eq!(calibrated.refused, 0);
        for (stratum, volt) in volts.into_iter().enumerate() {
            let end = |stratum: usize| constant.quantile(stratum as f64 / 64.0);
            assert!((end(stratum)..=end(stratum + 1)).contains(&volt));
        }
    }

    #[test]
    fn a_figure_that_cannot_be_met_is_named() {
        let model = CostModel::gt_n40().with("energy.control_fj_per_cycle", 1e6).unwrap();
        let error = model.calibrate(1, Seed(1)).unwrap_err().to_string();
        expect_test::expect!["cost model `gt-n40` cannot be calibrated: what is digital alone takes 62534.0137 fJ a conversion of the published 384.6154 fJ a conversion"]
            .assert_eq(&error);
    }

    proptest! {
        /// Fewer cells in LRS never cost more.
        #[test]
        fn sparser_weights_are_more_efficient(a in 0.0..1.0f64, b in 0.0..1.0f64) {
            let typical = CostModel::gt_n40().calibrate(1, Seed(1)).unwrap().typical;
            let of = |zero| {
                let constants = Constants { ternary_zero_share: zero, ..typical.constants };
                Scaled { constants, ..typical }.ternary()
            };
            prop_assert_eq!(a <= b, of(a) <= of(b));
        }
    }
}
