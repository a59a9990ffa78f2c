//! What cells add to the signal of a conversion and where the converter's thresholds are, once
//! every effect of a spec has had its say.

use crate::spec::{AdcKind, LevelSigmas, MacroSpec};

/// A cell that is in HRS or LRS, or at a level between, as a conversion sees it.
///
/// It adds `mean_lsb + sigma_lsb · x` to the signal, x being its draw of mean 0 and standard
/// deviation 1, less `trapped_lsb` if its trap is filled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellState {
    /// Mean conductance less what the reference subtracts for a row that is on, in LSB.
    pub mean_lsb: f64,
    /// Static standard deviation relative to the mean conductance.
    pub sigma_rel: f64,
    /// Static standard deviation, in LSB.
    pub sigma_lsb: f64,
    /// What a filled trap takes, in LSB.
    pub trapped_lsb: f64,
}

/// A way in which cells can turn out: its probability, and mean and static variance of the signal.
pub(crate) struct Outcome {
    pub(crate) probability: f64,
    pub(crate) mean_lsb: f64,
    pub(crate) variance_lsb2: f64,
}

/// Outcomes that are less likely than this are left out.
const NEGLIGIBLE: f64 = 1e-16;

impl MacroSpec {
    /// Cells in HRS and in LRS, in this order.
    ///
    /// Retention, temperature and disturb act on the mean conductance as factors. The reference
    /// subtracts the nominal G_HRS, at the temperature of the reference, for every row that is on.
    pub fn states(&self) -> [CellState; 2] {
        let cell = &self.cell;
        let [hot_hrs, hot_lrs, hot_reference] = self.temperature.factors();
        let [read_hrs, read_lrs] = self.disturb.factors();
        let [wide_hrs, wide_lrs, old_hrs, old_lrs] = self.aged();
        let subtracted = cell.g_hrs_lsb() * (hot_reference - 1.0);
        let state = |level: f64, nominal: f64, factor: f64, sigma_rel: f64, trapped_rel: f64| {
            // level + what the factor adds: without effects exactly the level
            let mean_lsb = level + nominal * (factor - 1.0) - subtracted;
            CellState {
                mean_lsb,
                sigma_rel,
                sigma_lsb: sigma_rel * nominal * factor,
                trapped_lsb: trapped_rel * nominal * factor,
            }
        };
        let [hrs, lrs] = [hot_hrs * read_hrs * old_hrs, hot_lrs * read_lrs * old_lrs];
        [
            state(0.0, cell.g_hrs_lsb(), hrs, wide_hrs, self.telegraph.hrs_rel),
            state(cell.top_level() as f64, cell.g_lrs_lsb(), lrs, wide_lrs, self.telegraph.lrs_rel),
        ]
    }

    /// Cells of every level, from HRS to LRS: two, or four with 2 bits a cell.
    ///
    /// What lies between takes mean, σ and traps evenly spaced between what becomes of HRS and of
    /// LRS, unless its σ is given. Assumed.
    pub fn levels(&self) -> Vec<CellState> {
        let [hrs, lrs] = self.states();
        let top = self.cell.top_level();
        let level = |level: usize| {
            let between =
                |hrs: f64, lrs: f64| (level as f64 * lrs + (top - level) as f64 * hrs) / top as f64;
            let mut state = CellState {
                mean_lsb: between(hrs.mean_lsb, lrs.mean_lsb),
                sigma_rel: between(hrs.sigma_rel, lrs.sigma_rel),
                sigma_lsb: between(hrs.sigma_lsb, lrs.sigma_lsb),
                trapped_lsb: between(hrs.trapped_lsb, lrs.trapped_lsb),
            };
            if let LevelSigmas::Given(given) = self.cell.level_sigmas {
                let conductance = state.mean_lsb + self.reference_leakage_lsb();
                state.sigma_lsb = given[level - 1] * self.cell.g_lrs_lsb();
                state.sigma_rel = state.sigma_lsb / conductance;
            }
            state
        };
        let between = (1..top).map(level);
        std::iter::once(hrs).chain(between).chain([lrs]).collect()
    }

    /// σ of cells in HRS and LRS and the factors on their means, at the time of retention.
    fn aged(&self) -> [f64; 4] {
        let [mut hrs, mut lrs] = [self.cell.sigma_hrs_rel, self.cell.sigma_lrs_rel];
        let time = self.retention.time_s;
        if time == 0.0 {
            return [hrs, lrs, 1.0, 1.0];
        }
        let [sigma_hrs, sigma_lrs, drift_hrs, drift_lrs] =
            self.retention.curves().map(|(_, curve)| (curve.first(), curve.at(time)));
        for (sigma, measured) in [(&mut hrs, sigma_hrs), (&mut lrs, sigma_lrs)] {
            if let (Some(first), Some(now)) = measured {
                let square = *sigma * *sigma + now * now - first * first;
                *sigma = libm::sqrt(square.max(0.0));
            }
        }
        [hrs, lrs, drift_hrs.1.unwrap_or(1.0), drift_lrs.1.unwrap_or(1.0)]
    }

    /// What the reference subtracts for every row that is on, in LSB: the nominal G_HRS at the
    /// temperature of the reference.
    pub fn reference_leakage_lsb(&self) -> f64 {
        self.cell.g_hrs_lsb() * self.temperature.factors()[2]
    }

    /// Distance of the converter's thresholds, in LSB: 1 but for gain error and temperature.
    pub fn reference_step_lsb(&self) -> f64 {
        (1.0 + self.adc.gain_error_rel) * self.temperature.factors()[2]
    }

    /// The ways in which the cells of a conversion can turn out on a fresh chip, `ones` of the
    /// `rows` that are on being programmed to LRS: which are stuck, whose traps are filled.
    pub(crate) fn outcomes(&self, ones: usize, rows: usize) -> Vec<Outcome> {
        let [hrs, lrs] = self.states();
        let square = |x: f64| x * x;
        let faults = &self.faults;
        let in_lrs =
            two_binomials(ones, 1.0 - faults.stuck_hrs_rate, rows - ones, faults.stuck_lrs_rate);
        let rate = self.telegraph.rate;
        let mut outcomes = Vec::new();
        for (high, stuck) in in_lrs.into_iter().enumerate() {
            if stuck < NEGLIGIBLE {
                continue;
            }
            let low = rows - high;
            let mean = high as f64 * lrs.mean_lsb + low as f64 * hrs.mean_lsb;
            let variance_lsb2 =
                high as f64 * square(lrs.sigma_lsb) + low as f64 * square(hrs.sigma_lsb);
            let (lrs_traps, hrs_traps) = (binomial(high, rate), binomial(low, rate));
            for (a, filled_lrs) in lrs_traps.iter().enumerate() {
                for (b, filled_hrs) in hrs_traps.iter().enumerate() {
                    let probability = stuck * filled_lrs * filled_hrs;
                    if probability < NEGLIGIBLE {
                        continue;
                    }
                    let trapped = a as f64 * lrs.trapped_lsb + b as f64 * hrs.trapped_lsb;
                    let mean_lsb = mean - trapped;
                    outcomes.push(Outcome { probability, mean_lsb, variance_lsb2 });
                }
            }
        }
        outcomes
    }

    /// Mean and static variance, in LSB and LSB², of the signal of `ones` cells programmed to LRS
    /// among `rows` on a fresh chip, IR drop left out.
    pub fn cell_moments(&self, ones: usize, rows: usize) -> (f64, f64) {
        let outcomes = self.outcomes(ones, rows);
        if let [only] = &outcomes[..] {
            return (only.mean_lsb, only.variance_lsb2);
        }
        let mean: f64 = outcomes.iter().map(|o| o.probability * o.mean_lsb).sum();
        let square = |o: &Outcome| {
            let off = o.mean_lsb - mean;
            o.probability * (off * off + o.variance_lsb2)
        };
        (mean, outcomes.iter().map(square).sum())
    }

    /// Standard deviations, in LSB, of what is common to the comparators of a conversion and of
    /// what is each comparator's own, the cells left out.
    pub(crate) fn converter_sigmas(&self) -> [f64; 2] {
        let (noise, offset) = (self.adc.comparator_noise_lsb, self.adc.offset_lsb);
        match self.adc.kind {
            AdcKind::Flash => [noise, offset],
            AdcKind::Sar => [noise.hypot(offset), 0.0],
        }
    }
}

/// P(k successes among `count`).
fn binomial(count: usize, rate: f64) -> Vec<f64> {
    let mut found = vec![0.0; count + 1];
    found[0] = 1.0;
    for done in 0..count {
        for k in (0..=done).rev() {
            found[k + 1] += rate * found[k];
            found[k] *= 1.0 - rate;
        }
    }
    found
}

/// P(k successes in all) of two binomial counts.
fn two_binomials(a: usize, rate_a: f64, b: usize, rate_b: f64) -> Vec<f64> {
    let (of_a, of_b) = (binomial(a, rate_a), binomial(b, rate_b));
    let mut found = vec![0.0; a + b + 1];
    for (i, p) in of_a.iter().enumerate() {
        for (j, q) in of_b.iter().enumerate() {
            found[i + j] += p * q;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(overrides: &[(&str, &str)]) -> MacroSpec {
        let mut spec = MacroSpec::preset("gt-n40").unwrap();
        for (key, value) in overrides {
            spec.set(key, value).unwrap();
        }
        spec
    }

    fn check(spec: &MacroSpec, ones: usize, rows: usize, mean: f64, variance: f64) {
        let found = spec.cell_moments(ones, rows);
        assert!((found.0 - mean).abs() < 1e-12, "{ones} of {rows}: mean {}, not {mean}", found.0);
        let difference = (found.1 - variance).abs();
        assert!(difference < 1e-12, "{ones} of {rows}: variance {}, not {variance}", found.1);
    }

    #[test]
    fn without_effects_a_cell_adds_its_bit() {
        for name in crate::preset::preset_names() {
            let spec = MacroSpec::preset(name).unwrap();
            let means: Vec<f64> = spec.levels().iter().map(|state| state.mean_lsb).collect();
            let levels: Vec<f64> = (0..=spec.cell.top_level()).map(|level| level as f64).collect();
            assert_eq!(means, levels);
            assert_eq!(spec.reference_step_lsb(), 1.0);
        }
        let spec = spec(&[]);
        check(&spec, 3, 7, 3.0, spec.cell.static_variance_lsb2(3, 7));
    }

    /// By hand: G_HRS is 3/16 LSB and G_LRS 3 LSB more; what is between is a third of the way on.
    #[test]
    fn levels_between_are_evenly_spaced() {
        let mut spec = spec(&[("cell.bits_per_cell", "2"), ("sigma_lrs_rel", "0.08")]);
        let (low, high) = (0.3 * 3.0 / 16.0, 0.08 * 51.0 / 16.0);
        let sigmas: Vec<f64> = spec.levels().iter().map(|state| state.sigma_lsb).collect();
        let expected = [low, (2.0 * low + high) / 3.0, (low + 2.0 * high) / 3.0, high];
        let is_near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
        assert!(sigmas.iter().zip(&expected).all(is_near), "{sigmas:?}");
        spec.set("level_sigmas", "0.1 0.05").unwrap();
        let sigmas: Vec<f64> = spec.levels().iter().map(|state| state.sigma_lsb).collect();
        let expected = [low, 0.1 * 51.0 / 16.0, 0.05 * 51.0 / 16.0, high];
        assert!(sigmas.iter().zip(&expected).all(is_near), "{sigmas:?}");
        // Levels 1 and 3 in two rows: sum 4, sum of squares 10.
        let rel = spec.cell.read_noise_rel;
        let read = rel * rel * ((19.0f64 / 16.0).powi(2) + (51.0f64 / 16.0).powi(2));
        assert!((spec.cell.read_variance_of_levels_lsb2(2, 4, 10) - read).abs() < 1e-15);
    }

    /// Closed forms, cells in LRS being stuck at HRS with probability q and back with p: the mean
    /// is m(1 − q) + (n − m)p, the variance that of Bernoulli draws and of the cells as they are.
    #[test]
    fn stuck_cells_are_binomial() {
        let spec = spec(&[("stuck_lrs_rate", "0.0175"), ("stuck_hrs_rate", "0.0904")]);
        let [hrs, lrs] = spec.states().map(|state| state.sigma_lsb.powi(2));
        let (p, q) = (0.0175, 0.0904);
        let (m, z) = (4.0, 3.0);
        let mean = m * (1.0 - q) + z * p;
        let variance = m * q * (1.0 - q) + z * p * (1.0 - p) + mean * lrs + (7.0 - mean) * hrs;
        check(&spec, 4, 7, mean, variance);
    }

    /// Closed form of a two-level process: each cell loses a·G with probability r, which has
    /// variance r(1 − r)(a·G)².
    #[test]
    fn traps_are_binomial() {
        let spec = spec(&[("telegraph.rate", "0.3"), ("lrs_rel", "0.1"), ("hrs_rel", "0.5")]);
        let [g_hrs, g_lrs] = [spec.cell.g_hrs_lsb(), spec.cell.g_lrs_lsb()];
        let (lrs, hrs) = (0.1 * g_lrs, 0.5 * g_hrs);
        let mean = 5.0 - 0.3 * (5.0 * lrs + 2.0 * hrs);
        let spread = 0.3 * 0.7 * (5.0 * lrs * lrs + 2.0 * hrs * hrs);
        check(&spec, 5, 7, mean, spread + spec.cell.static_variance_lsb2(5, 7));
    }

    #[test]
    fn temperature_moves_cells_and_references() {
        let spec = spec(&[
            ("celsius", "85"),
            ("lrs_per_k", "-0.001"),
            ("hrs_per_k", "0.005"),
            ("reference_per_k", "-0.001"),
        ]);
        let (g_hrs, g_lrs) = (1.0 / 16.0, 17.0 / 16.0);
        let leak = g_hrs * 0.94;
        let [hrs, lrs] = spec.states();
        assert!((lrs.mean_lsb - (g_lrs * 0.94 - leak)).abs() < 1e-12);
        assert!((hrs.mean_lsb - (g_hrs * 1.3 - leak)).abs() < 1e-12);
        assert!((lrs.sigma_lsb - 0.05 * g_lrs * 0.94).abs() < 1e-12);
        assert!((spec.reference_step_lsb() - 0.94).abs() < 1e-12);
    }

    #[test]
    fn retention_widens_and_drifts_cells() {
        // NeuRRAM, σ of cells at G_max: 1.10 µS at 1 s, 2.65 µS after a day, of 40 µS.
        let spec = spec(&[
            ("retention.sigma_lrs", "1:0.0275 86400:0.06625"),
            ("retention.drift_lrs", "1:1 86400:0.9"),
            ("sigma_lrs_rel", "0.0275"),
            ("time_s", "86400"),
        ]);
        let [_, lrs] = spec.states();
        assert!((lrs.sigma_rel - 0.06625).abs() < 1e-12);
        let g_lrs = spec.cell.g_lrs_lsb();
        assert!((lrs.mean_lsb - (1.0 - 0.1 * g_lrs)).abs() < 1e-12);
        assert!((lrs.sigma_lsb - 0.06625 * 0.9 * g_lrs).abs() < 1e-12);
    }

    #[test]
    fn reads_disturb_by_the_decade() {
        let spec = spec(&[("reads", "999"), ("hrs_rel_per_decade", "0.1")]);
        let [hrs, lrs] = spec.states();
        assert!((hrs.mean_lsb - 0.3 * spec.cell.g_hrs_lsb()).abs() < 1e-12);
        assert_eq!(lrs.mean_lsb, 1.0);
    }
}
