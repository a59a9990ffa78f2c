//! [`Calibrated`]: a model that meets two published figures, and how well it foretells two others.
//!
//! Two factors are free. The energy factor scales all that is analog (cells, comparators, word
//! lines) so that the chip spends what 36.4 TOPS/W say on binary VGG-8; the digital parts (adders,
//! control, tables) are left as they are. The area factor scales all periphery (converters,
//! drivers, columns, adders, control) so that a macro is as large as 97.8 GOPS/mm² say at the rate of
//! all its converters; cells and tables are left as they are.
//!
//! Nothing else is fitted. The figures 44.5 and 42.7 TOPS/W are foretold from what differs: fewer
//! cells in LRS or more levels in a cell, as [`Ternary`] weights may be stored either way, and the
//! overhead of a code.
//!
//! What is assumed is drawn anew in every draw of a Latin hypercube: the range of each constant is
//! cut into as many strata of one probability as there are draws, and each stratum is taken once, in
//! an order of its own. Every draw is calibrated on its own, so that ranges hold what is not known
//! once the two figures are. A draw that cannot meet them, because what is not scaled alone takes
//! more, is left out and counted. How many columns share a converter is drawn too, in whole numbers,
//! and a mapping is priced on macros with as many.
//!
//! Cost: a draw is arithmetic on a few dozen numbers.

use hafnia_cim::{Adc, AdcKind};
use hafnia_rng::Seed;
use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::error::CostError;
use crate::model::{Constants, CostModel};
use crate::range::Range;

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

/// Where a ternary weight lies, which is not published. Either way it counts as two weights of a
/// bit, as operations are counted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ternary {
    /// In two cells of two columns, one for +1 and one for -1; both are in HRS for 0.
    TwoCells,
    /// In one cell of three levels; fewer rows are on, so that codes hold their sum.
    OneCell,
}

impl Ternary {
    /// Both readings.
    pub const ALL: [Self; 2] = [Self::TwoCells, Self::OneCell];

    /// What the forecast by this reading is called.
    pub fn figure(self) -> &'static str {
        match self {
            Self::TwoCells => "ternary VGG-8 in two cells a weight, TOPS/W",
            Self::OneCell => "ternary VGG-8 in a cell of three levels, TOPS/W",
        }
    }
}

/// Energy of a mean conversion of the published chip, in fJ.
struct ConversionEnergy {
    analog_fj: f64,
    digital_fj: f64,
}

impl Constants {
    /// Energy of a cell in LRS in one read, in fJ, before calibration: V² · t / R, after layout.
    pub(crate) fn lrs_fj(&self) -> f64 {
        // V² / kohm · ns = 1e-12 J = 1000 fJ.
        self.energy_factor * 1000.0 * self.read_v * self.read_v / self.lrs_kohm * self.read_ns
    }

    /// Energy of a conversion in a converter, in fJ, before calibration: a comparison per comparator,
    /// or per bit, whose capacitors are then charged once, C · V².
    pub(crate) fn converter_fj(&self, adc: &Adc) -> f64 {
        let comparisons = |count: f64| count * (self.energy_factor * self.comparator_fj);
        let units = |bits: f64| bits.exp2() * self.energy_factor * self.unit_capacitor_ff;
        let bits = f64::from(adc.bits);
        match adc.kind {
            AdcKind::Flash => comparisons(adc.max_code() as f64),
            AdcKind::Sar => comparisons(bits) + units(bits) * self.supply_v * self.supply_v,
        }
    }

    /// Area of a converter, in um², before calibration: a comparator per threshold, or as much per
    /// bit for comparator and logic, and 2^bits unit capacitors.
    pub(crate) fn converter_um2(&self, adc: &Adc) -> f64 {
        let bits = f64::from(adc.bits);
        match adc.kind {
            AdcKind::Flash => adc.max_code() as f64 * self.comparator_um2,
            AdcKind::Sar => bits * self.comparator_um2 + bits.exp2() * self.unit_capacitor_um2,
        }
    }

    /// Cycles of the clock that a conversion takes.
    pub(crate) fn conversion_cycles(&self, adc: &Adc) -> f64 {
        match adc.kind {
            AdcKind::Flash => 1.0,
            AdcKind::Sar => f64::from(adc.bits) * self.sar_cycles_per_bit,
        }
    }

    /// Energy of turning on a word line, in fJ a cell on it, before calibration: C · V².
    pub(crate) fn word_line_fj(&self) -> f64 {
        self.energy_factor * self.word_line_ff_per_cell * self.supply_v * self.supply_v
    }

    /// Energy of the control of a macro in a cycle, in fJ: of its gates those that switch.
    pub(crate) fn control_fj(&self) -> f64 {
        self.energy_factor * self.gate_fj * self.control_activity * self.control_gates
    }

    /// Energy of a bit that is added and kept in a register, in fJ.
    pub(crate) fn add_fj(&self) -> f64 {
        let adder = self.adder_activity * self.adder_gates;
        let register = self.flip_flop_activity * self.flip_flop_gates;
        self.energy_factor * self.gate_fj * (adder + register)
    }

    /// Area of the driver of a row, in um², before calibration.
    pub(crate) fn row_um2(&self) -> f64 {
        self.driver_um2 + self.shifter_factor * self.shifter_um2
    }

    /// Area of what a column has of its own, in um², before calibration.
    pub(crate) fn bit_line_um2(&self) -> f64 {
        self.column_um2 + self.shifter_factor * self.shifter_um2
    }

    /// Area of the cells of a weight, in um².
    pub(crate) fn weight_um2(&self) -> f64 {
        self.cell_um2 * self.cells_per_weight
    }

    fn comparators(&self) -> f64 {
        self.adc_bits.exp2() - 1.0
    }

    /// Of `rows` rows on, with a share `lrs` of cells in LRS, or of cells of several levels whose
    /// mean conductance is the same.
    fn conversion(&self, rows: f64, lrs: f64) -> ConversionEnergy {
        let cells = rows * self.lrs_fj() * (lrs + (1.0 - lrs) / self.on_off_ratio);
        // A word line serves the conversions of all columns, a cycle those of all converters.
        let word_lines = rows * self.word_line_fj();
        let control = self.control_fj() * self.columns_per_adc / self.columns;
        // The sum of a column, and its share of the digital sum of activations.
        let width = adder_bits(self.rows as u64);
        let adds = width * self.add_fj() * (1.0 + 1.0 / self.columns);
        ConversionEnergy {
            analog_fj: cells
                + self.comparators() * (self.energy_factor * self.comparator_fj)
                + word_lines,
            digital_fj: control + adds,
        }
    }

    /// 1x1-bit operations of a conversion of `rows` rows on, as they were counted for publication.
    fn ops(&self, rows: f64) -> f64 {
        rows * self.ops_per_row_on
    }

    /// Throughput of the chip with all converters busy and all rows on, in GOPS.
    fn gops(&self, ternary: Ternary) -> f64 {
        let ops = match ternary {
            Ternary::TwoCells => self.ops(self.rows_per_conversion),
            Ternary::OneCell => self.ops(2.0 * self.three_level_rows),
        };
        ops * self.columns / self.columns_per_adc * self.clock_mhz / 1000.0
    }

    /// Area of a macro, in um², that the published throughput for its area says.
    fn macro_um2(&self, ternary: Ternary) -> f64 {
        1e6 * self.gops(ternary) / self.gops_per_mm2
    }

    fn cells_um2(&self) -> f64 {
        self.rows * self.columns * self.weight_um2()
    }

    /// Area of a macro's periphery, in um², before calibration.
    fn periphery_um2(&self) -> f64 {
        let adc = self.comparators() * self.comparator_um2 + self.adder_um2;
        self.columns / self.columns_per_adc * adc
            + self.rows * self.row_um2()
            + self.columns * self.bit_line_um2()
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
        let refused = |part: &str, taken: f64, published: f64, unit: &str| {
            let fault = format!(
                "cannot be calibrated: {part} alone takes {taken:.4} {unit} of the published {published:.4} {unit}"
            );
            Err(CostError::whole(model, fault))
        };
        let rows = constants.rows_on;
        let energy = constants.conversion(rows, constants.binary_lrs_share);
        let published_fj = 1000.0 * constants.ops(rows) / constants.binary_tops_per_w;
        let left_fj = published_fj - energy.digital_fj;
        if left_fj <= 0.0 {
            return refused("what is digital", energy.digital_fj, published_fj, "fJ a conversion");
        }
        let (cells_um2, macro_um2) =
            (constants.cells_um2(), constants.macro_um2(Ternary::TwoCells));
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

    /// With ternary weights; both readings count a weight as two bits.
    fn ternary(&self, reading: Ternary) -> f64 {
        let Constants { rows_on, ternary_zero_share, three_level_rows, .. } = self.constants;
        match reading {
            Ternary::TwoCells => self.tops_per_w(rows_on, 0.5 * (1.0 - ternary_zero_share), 0.0),
            // As many weights are +1 as -1, so that cells conduct what half of them in LRS would.
            Ternary::OneCell => 2.0 * self.tops_per_w(three_level_rows, 0.5, 0.0),
        }
    }

    fn two_cells(&self) -> f64 {
        self.ternary(Ternary::TwoCells)
    }

    fn one_cell(&self) -> f64 {
        self.ternary(Ternary::OneCell)
    }

    fn ecc(&self) -> f64 {
        let Constants { rows_per_conversion, ecc_lrs_share, ecc_energy_rel, .. } = self.constants;
        self.tops_per_w(rows_per_conversion, ecc_lrs_share, ecc_energy_rel)
    }

    fn gops_per_mm2(&self) -> f64 {
        let um2 = self.constants.cells_um2() + self.area_scale * self.constants.periphery_um2();
        1e6 * self.constants.gops(Ternary::TwoCells) / um2
    }
}

/// Draws of a calibration, enough that quantiles of 5 % rest on fifty draws.
pub const DRAWS: usize = 1000;

impl CostModel {
    /// Calibrates the model, at its typical constants and in `draws` draws of what is assumed.
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
                let rng = &mut seed.site("cost/draws").site(&constant.key).rng();
                let mut order: Vec<usize> = (0..draws).collect();
                order.shuffle(rng);
                let place = |stratum| (stratum as f64 + rng.random::<f64>()) / draws as f64;
                order.into_iter().map(place).collect()
            })
            .collect();
        let of_key: std::collections::HashMap<&str, &Vec<f64>> =
            self.constants().iter().map(|constant| constant.key.as_str()).zip(&strata).collect();
        let drawn = (0..draws).map(|draw| {
            let mut constants =
                self.pick(|constant| constant.quantile(of_key[constant.key.as_str()][draw]));
            constants.columns_per_adc = constants.columns_per_adc.round();
            Scaled::new(&self.name, constants)
        });
        let met: Vec<Scaled> = drawn.filter_map(Result::ok).collect();
        if met.is_empty() {
            let fault = format!("cannot be calibrated by any of {draws} draws of what is assumed");
            return Err(CostError::whole(&self.name, fault));
        }
        Ok(Calibrated { typical, refused: draws - met.len(), draws: met })
    }
}

/// What a calibration found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// The same, had its throughput been published of ternary weights in one cell each.
    pub one_cell_macro_mm2: Range,
    /// Share of the array of cells in it.
    pub cells_rel: Range,
    /// The published figures beside the model's.
    pub figures: Vec<Figure>,
}

/// A published figure beside the model's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
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
        let figure = |name: &str, fitted, published: f64, value: fn(&Scaled) -> f64| {
            let model = self.range(value);
            let miss_rel = model.typical / published - 1.0;
            // The figures that were fitted come out but for rounding.
            let held = fitted || model.holds(published);
            let naive_miss_rel =
                if fitted { miss_rel } else { binary_tops_per_w / published - 1.0 };
            let name = name.to_owned();
            Figure { name, fitted, published, model, miss_rel, naive_miss_rel, held }
        };
        let macro_mm2 = |ternary| self.range(|scaled| 1e-6 * scaled.constants.macro_um2(ternary));
        let [two_cells, one_cell] = Ternary::ALL.map(Ternary::figure);
        Calibration {
            draws: self.draws.len(),
            refused: self.refused,
            energy_scale: self.range(|scaled| scaled.energy_scale),
            area_scale: self.range(|scaled| scaled.area_scale),
            macro_mm2: macro_mm2(Ternary::TwoCells),
            one_cell_macro_mm2: macro_mm2(Ternary::OneCell),
            cells_rel: self.range(|scaled| {
                scaled.constants.cells_um2() / scaled.constants.macro_um2(Ternary::TwoCells)
            }),
            figures: vec![
                figure("binary VGG-8, TOPS/W", true, binary_tops_per_w, Scaled::binary),
                figure("peak, GOPS/mm2", true, gops_per_mm2, Scaled::gops_per_mm2),
                figure(two_cells, false, ternary_tops_per_w, Scaled::two_cells),
                figure(one_cell, false, ternary_tops_per_w, Scaled::one_cell),
                figure("peak with MAC-ECC, TOPS/W", false, ecc_tops_per_w, Scaled::ecc),
            ],
        }
    }
}

impl Calibration {
    /// The reading of ternary weights whose forecast misses the published figure by less.
    pub fn nearer_ternary(&self) -> Ternary {
        let miss = |reading: &Ternary| {
            let figure = self.figures.iter().find(|figure| figure.name == reading.figure());
            figure.map_or(f64::INFINITY, |figure| figure.miss_rel.abs())
        };
        let [two_cells, one_cell] = Ternary::ALL;
        if miss(&one_cell) < miss(&two_cells) { one_cell } else { two_cells }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn energies_by_hand() {
        let constants = CostModel::gt_n40().pick(|constant| constant.value);
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found}");
        // After layout 1.22 times as much: (0.2 V)² / 14 kohm · 7.1 ns; 0.3 fF · (0.9 V)²; of 4000
        // gates a twentieth; of 7 gates of an adder 0.15, of 6 of a flip-flop 0.5.
        let cell = 1.22 * 1000.0 * 0.04 * 7.1 / 14.0;
        near(constants.lrs_fj(), cell);
        near(constants.word_line_fj(), 1.22 * 0.243);
        near(constants.control_fj(), 1.22 * 200.0);
        near(constants.add_fj(), 1.22 * (1.05 + 3.0));
        near(constants.row_um2(), 30.0 + 1.44 * 20.0);
        near(constants.bit_line_um2(), 50.0 + 1.44 * 20.0);
        // 7 rows · 2 op · 16 converters · 100 MHz; 3 rows of two bits in place of 7 of one.
        near(constants.gops(Ternary::TwoCells), 22.4);
        near(constants.gops(Ternary::OneCell), 22.4 * 6.0 / 7.0);
        near(constants.macro_um2(Ternary::TwoCells), 1e6 * 22.4 / 97.8);
        assert_eq!(adder_bits(128), 9.0);
        let energy = constants.conversion(7.0, 0.5);
        let cells = 7.0 * cell * (0.5 + 0.5 / 41.0);
        near(energy.analog_fj, cells + 1.22 * (7.0 * 15.0 + 7.0 * 0.243));
        near(energy.digital_fj, 1.22 * (200.0 * 8.0 / 128.0 + 9.0 * 4.05 * 129.0 / 128.0));
    }

    /// Closed forms of what differs from the figure that was calibrated on: only cells' conductance
    /// and rows change the energy of a conversion.
    #[test]
    fn forecasts_by_hand() {
        let calibrated = CostModel::gt_n40().calibrate(20, Seed(2)).unwrap();
        for scaled in calibrated.draws.iter().chain([&calibrated.typical]) {
            let c = scaled.constants;
            // fJ of a conversion as published, and what fewer cells in LRS and fewer rows take away.
            let published = 1000.0 * c.rows_on * c.ops_per_row_on / 36.4;
            let conducting = |lrs: f64| lrs + (1.0 - lrs) / c.on_off_ratio;
            let cell = scaled.energy_scale * c.lrs_fj();
            let row = |lrs: f64| cell * conducting(lrs) + scaled.energy_scale * c.word_line_fj();
            let fewer = |rows: f64, lrs: f64| {
                published - c.rows_on * row(c.binary_lrs_share) + rows * row(lrs)
            };
            let near = |found: f64, ops: f64, fj: f64| {
                let expected = 1000.0 * ops * c.ops_per_row_on / fj;
                assert!((found / expected - 1.0).abs() < 1e-9, "{found}, not {expected}");
            };
            let zero = c.ternary_zero_share;
            near(scaled.two_cells(), c.rows_on, fewer(c.rows_on, 0.5 - 0.5 * zero));
            let rows = c.three_level_rows;
            near(scaled.one_cell(), 2.0 * rows, fewer(rows, 0.5));
            let code = fewer(7.0, c.ecc_lrs_share) * (1.0 + c.ecc_energy_rel);
            near(scaled.ecc(), 7.0, code);
        }
    }

    /// The result of both readings: each miss is that of its own forecast, the nearer the smaller.
    #[test]
    fn the_nearer_reading_of_ternary_weights_misses_less() {
        let calibrated = CostModel::gt_n40().calibrate(20, Seed(2)).unwrap();
        let calibration = calibrated.calibration();
        let misses = Ternary::ALL.map(|reading| {
            let named = |figure: &&Figure| figure.name == reading.figure();
            let figure = calibration.figures.iter().find(named).unwrap();
            assert_eq!(figure.miss_rel, calibrated.typical.ternary(reading) / 44.5 - 1.0);
            figure.miss_rel.abs()
        });
        let nearer = if misses[1] < misses[0] { Ternary::OneCell } else { Ternary::TwoCells };
        assert_eq!(calibration.nearer_ternary(), nearer);
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
        let model = CostModel::gt_n40().with("energy.control_gates", 1e9).unwrap();
        let error = model.calibrate(1, Seed(1)).unwrap_err().to_string();
        expect_test::expect!["cost model `gt-n40` cannot be calibrated: what is digital alone takes 3812544.8164 fJ a conversion of the published 384.6154 fJ a conversion"]
            .assert_eq(&error);
    }

    proptest! {
        /// Fewer cells in LRS never cost more.
        #[test]
        fn sparser_weights_are_more_efficient(a in 0.0..1.0f64, b in 0.0..1.0f64) {
            let typical = CostModel::gt_n40().calibrate(1, Seed(1)).unwrap().typical;
            let of = |zero| {
                let constants = Constants { ternary_zero_share: zero, ..typical.constants };
                Scaled { constants, ..typical }.ternary(Ternary::TwoCells)
            };
            prop_assert_eq!(a <= b, of(a) <= of(b));
        }
    }
}
