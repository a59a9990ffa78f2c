//! [`EFFECTS`]: what each engine makes of each effect, and the refusal of pairs that it cannot show.
//!
//! `docs/noise.md` prints this list; a test holds it to that.

use hafnia_text::must;

use crate::code_table::CodeTable;
use crate::distribution::Distribution;
use crate::effects::{Disturb, Faults, Programming, Retention, Telegraph, Temperature, Wires};
use crate::error::CimError;
use crate::fault_map::FaultMap;
use crate::spec::{AdcKind, LevelSigmas, MacroSpec};

/// The most rows of a conversion of which a code table adds up all ways in which traps or stuck cells
/// turn out.
const MOST_MIXTURE_ROWS: usize = 63;

/// What an engine makes of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It is in the model, as drawn as stated.
    Shown(&'static str),
    /// A spec with the effect on is refused, for the reason stated.
    Refused(&'static str),
}

/// How often an effect is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawn {
    /// Every chip and every read is the same.
    Never,
    /// Once for the life of a chip: static noise, which errs alike whenever a cell or a comparator is
    /// read.
    PerChip,
    /// Anew for every read.
    PerRead,
}

/// An effect of a macro that is not ideal.
#[derive(Debug, Clone, Copy)]
pub struct Effect {
    /// What it is called.
    pub name: &'static str,
    /// The keys that switch and size it.
    pub keys: &'static str,
    /// Whether it is on.
    pub is_on: fn(&MacroSpec) -> bool,
    /// Whether and how often it is drawn.
    pub drawn: Drawn,
    /// Switches it off; none where that would be another macro.
    pub off: Option<fn(&mut MacroSpec)>,
    /// What the engine `device` makes of it.
    pub device: Support,
    /// What the engine `table` makes of it, each conversion being on a fresh chip.
    pub table: Support,
}

use Drawn::{Never, PerChip, PerRead};
use Support::{Refused, Shown};

const NO_PLACE: &str = "a code table does not know where on a macro a conversion takes place";

/// Every effect.
pub const EFFECTS: &[Effect] = &[
    Effect {
        name: "programming variation, normal",
        keys: "cell.sigma_lrs_rel, cell.sigma_hrs_rel",
        is_on: |s| {
            let given =
                matches!(s.cell.level_sigmas, LevelSigmas::Given(given) if given != [0.0; 2]);
            s.cell.sigma_lrs_rel > 0.0 || s.cell.sigma_hrs_rel > 0.0 || given
        },
        drawn: PerChip,
        off: Some(|s| {
            [s.cell.sigma_lrs_rel, s.cell.sigma_hrs_rel] = [0.0; 2];
            s.cell.level_sigmas = LevelSigmas::Linear;
        }),
        device: Shown("a draw per cell and chip"),
        table: Shown("in the variance of the signal"),
    },
    Effect {
        name: "programming variation, log-normal or from points",
        keys: "programming.lrs_distribution, programming.hrs_distribution",
        is_on: |s| {
            let shapes = [&s.programming.lrs_distribution, &s.programming.hrs_distribution];
            shapes.iter().any(|shape| **shape != Distribution::Normal)
        },
        drawn: PerChip,
        off: Some(|s| s.programming = Programming::default()),
        device: Shown("a draw per cell and chip"),
        table: Refused("the sum of such cells is not normal, which a code table takes it for"),
    },
    Effect {
        name: "multi-level cells",
        keys: "cell.bits_per_cell, cell.level_sigmas",
        is_on: |s| s.cell.bits_per_cell > 1,
        drawn: Never,
        off: None,
        device: Shown("levels evenly spaced from G_HRS to G_LRS, σ of each by its level"),
        table: Refused(
            "it knows the sum of levels, and how far a code errs depends on which they are",
        ),
    },
    Effect {
        name: "HRS leakage",
        keys: "cell.on_off_ratio",
        is_on: |s| s.cell.on_off_ratio.is_finite(),
        drawn: Never,
        off: None,
        device: Shown("subtracted on the mean, its variation stays"),
        table: Shown("subtracted on the mean, its variation stays"),
    },
    Effect {
        name: "read noise",
        keys: "cell.read_noise_rel",
        is_on: |s| s.cell.read_noise_rel > 0.0,
        drawn: PerRead,
        off: Some(|s| s.cell.read_noise_rel = 0.0),
        device: Shown("one Gaussian per column and conversion, of the summed variance"),
        table: Shown("in the variance of the signal"),
    },
    Effect {
        name: "telegraph noise, slow",
        keys: "telegraph.rate, telegraph.lrs_rel, telegraph.hrs_rel",
        is_on: |s| {
            s.telegraph.rate > 0.0 && (s.telegraph.lrs_rel > 0.0 || s.telegraph.hrs_rel > 0.0)
        },
        drawn: PerChip,
        off: Some(|s| s.telegraph = Telegraph::default()),
        device: Shown("trap filled or empty, a draw per cell and chip"),
        table: Shown("the exact mixture over filled traps"),
    },
    Effect {
        name: "comparator offset",
        keys: "adc.offset_lsb",
        is_on: |s| s.adc.offset_lsb > 0.0,
        drawn: PerChip,
        off: Some(|s| s.adc.offset_lsb = 0.0),
        device: Shown("a draw per column and comparator (sar: per column) and chip"),
        table: Shown("a draw per conversion and comparator (sar: per conversion)"),
    },
    Effect {
        name: "comparator noise",
        keys: "adc.comparator_noise_lsb",
        is_on: |s| s.adc.comparator_noise_lsb > 0.0,
        drawn: PerRead,
        off: Some(|s| s.adc.comparator_noise_lsb = 0.0),
        device: Shown("in the Gaussian of the conversion"),
        table: Shown("in the variance of the signal"),
    },
    Effect {
        name: "clipping",
        keys: "adc.bits, rows_per_conversion",
        is_on: |s| !s.is_lossless(),
        drawn: Never,
        off: None,
        device: Shown("no code above 2^bits - 1"),
        table: Shown("no code above 2^bits - 1"),
    },
    Effect {
        name: "mismatch of a SAR converter",
        keys: "adc.kind, adc.mismatch_lsb",
        is_on: |s| s.adc.kind == AdcKind::Sar && s.adc.mismatch_lsb > 0.0,
        drawn: PerChip,
        off: Some(|s| s.adc.mismatch_lsb = 0.0),
        device: Shown("a draw per column and bit and chip, missing codes included"),
        table: Refused("the thresholds of a column are drawn together, not one by one"),
    },
    Effect {
        name: "gain error of the reference",
        keys: "adc.gain_error_rel",
        is_on: |s| s.adc.gain_error_rel != 0.0,
        drawn: Never,
        off: Some(|s| s.adc.gain_error_rel = 0.0),
        device: Shown("thresholds scaled"),
        table: Shown("thresholds scaled"),
    },
    Effect {
        name: "temperature",
        keys: "temperature.celsius, temperature.lrs_per_k, temperature.hrs_per_k, temperature.reference_per_k",
        is_on: |s| s.temperature.factors() != [1.0; 3],
        drawn: Never,
        off: Some(|s| s.temperature = Temperature::default()),
        device: Shown("conductances, leakage subtracted and thresholds scaled"),
        table: Shown("conductances, leakage subtracted and thresholds scaled"),
    },
    Effect {
        name: "stuck cells, by rate",
        keys: "faults.stuck_lrs_rate, faults.stuck_hrs_rate",
        is_on: |s| s.faults.stuck_lrs_rate > 0.0 || s.faults.stuck_hrs_rate > 0.0,
        drawn: PerChip,
        off: Some(|s| [s.faults.stuck_lrs_rate, s.faults.stuck_hrs_rate] = [0.0; 2]),
        device: Shown("a draw per cell and chip"),
        table: Shown("the exact mixture over stuck cells"),
    },
    Effect {
        name: "stuck cells, by map",
        keys: "faults.map",
        is_on: |s| !s.faults.map.is_empty(),
        drawn: Never,
        off: Some(|s| s.faults.map = FaultMap::default()),
        device: Shown("the cells of the map, on every chip"),
        table: Refused(NO_PLACE),
    },
    Effect {
        name: "retention",
        keys: "retention.time_s, retention.sigma_lrs, retention.sigma_hrs, retention.drift_lrs, retention.drift_hrs",
        is_on: |s| s.retention.time_s > 0.0,
        drawn: PerChip,
        off: Some(|s| s.retention = Retention::default()),
        device: Shown("σ and mean of cells at that time"),
        table: Shown("σ and mean of cells at that time"),
    },
    Effect {
        name: "read disturb",
        keys: "disturb.reads, disturb.lrs_rel_per_decade, disturb.hrs_rel_per_decade",
        is_on: |s| s.disturb.factors() != [1.0; 2],
        drawn: Never,
        off: Some(|s| s.disturb = Disturb::default()),
        device: Shown("mean of cells after so many reads"),
        table: Shown("mean of cells after so many reads"),
    },
    Effect {
        name: "IR drop",
        keys: "wires.bit_line_ohm, wires.word_line_ohm, wires.g_lrs_us",
        is_on: |s| s.wires.are_resistive(),
        drawn: Never,
        off: Some(|s| s.wires = Wires::default()),
        device: Shown("an attenuation per cell, fitted to a nodal solver"),
        table: Refused(NO_PLACE),
    },
];

impl MacroSpec {
    /// The effects that are on and can be switched off.
    pub fn switchable(&self) -> impl Iterator<Item = &'static Effect> {
        EFFECTS.iter().filter(|effect| effect.off.is_some() && (effect.is_on)(self))
    }

    /// Whether one chip or one read differs from another: whether anything that is drawn is on.
    pub fn varies(&self) -> bool {
        let is_on = |effect: &Effect| effect.drawn != Never && (effect.is_on)(self);
        EFFECTS.iter().any(is_on)
    }

    /// The effects that are on and drawn once per chip, which engine `table` draws anew for every
    /// conversion.
    pub fn static_noise(&self) -> impl Iterator<Item = &'static Effect> {
        EFFECTS.iter().filter(|effect| effect.drawn == PerChip && (effect.is_on)(self))
    }

    /// The same macro without this effect, if it can be switched off.
    #[must_use]
    pub fn without(&self, effect: &Effect) -> Self {
        let mut spec = self.clone();
        if let Some(off) = effect.off {
            off(&mut spec);
        }
        spec
    }

    /// The same macro without any switchable effect but this.
    #[must_use]
    pub fn with_only(&self, effect: &Effect) -> Self {
        let others = self.switchable().filter(|other| other.name != effect.name);
        others.fold(self.clone(), |spec, other| spec.without(other))
    }

    /// Checks that a code table, and so the engine `table`, can show every effect that is on, and is
    /// not too large.
    ///
    /// # Errors
    /// [`CimError::Macro`] with the first effect that it cannot show, or its size.
    pub fn check_table(&self) -> Result<(), CimError> {
        self.check_effects(|_| true)?;
        self.check_table_size()
    }

    /// Checks that a code table of the macro can be computed: it has at most
    /// [`CodeTable::MOST_ENTRIES`], and at most 63 rows where cells have traps or are stuck by a rate,
    /// since it then adds up the ways in which they turn out.
    ///
    /// # Errors
    /// [`CimError::Macro`] with the size.
    pub fn check_table_size(&self) -> Result<(), CimError> {
        let rows = self.rows_per_conversion;
        let Faults { stuck_lrs_rate: lrs, stuck_hrs_rate: hrs, .. } = self.faults;
        let is_mixture = self.telegraph.rate > 0.0 || lrs + hrs > 0.0;
        let fault = if is_mixture && rows > MOST_MIXTURE_ROWS {
            let must = must(1, MOST_MIXTURE_ROWS);
            Some(format!(
                "is {rows}, for a code table of cells with traps or stuck by a rate it {must}"
            ))
        } else {
            CodeTable::too_large(rows, self.adc.max_code())
                .map(|fault| format!("is {rows}, but {fault}"))
        };
        let refused = |fault| Err(CimError::of_key(&self.name, "rows_per_conversion", fault));
        fault.map_or(Ok(()), refused)
    }

    /// Checks that a code table that was measured can be of such cells.
    ///
    /// # Errors
    /// [`CimError::Macro`] if they are multi-level.
    pub fn check_measured_table(&self) -> Result<(), CimError> {
        self.check_effects(|effect| effect.keys.starts_with("cell.bits_per_cell"))
    }

    fn check_effects(&self, is_checked: impl Fn(&Effect) -> bool) -> Result<(), CimError> {
        for effect in EFFECTS.iter().filter(|effect| is_checked(effect)) {
            if let (true, Refused(why)) = ((effect.is_on)(self), effect.table) {
                let Effect { name, keys, .. } = effect;
                let fault = format!("has {name} ({keys}), which engine `table` cannot show: {why}");
                return Err(CimError::whole(&self.name, fault));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_off_without_noise_and_its_keys_exist() {
        let mut spec = MacroSpec::preset("ideal").unwrap().without_noise();
        spec.cell.on_off_ratio = f64::INFINITY;
        let keys: Vec<_> = spec.values().into_iter().map(|(key, _)| key).collect();
        for effect in EFFECTS {
            assert!(!(effect.is_on)(&spec), "{}", effect.name);
            for key in effect.keys.split(", ") {
                assert!(keys.contains(&key), "{key}");
            }
        }
        assert!(spec.check_table().is_ok() && !spec.varies());
        // What is the same on every chip tells none apart.
        let same = [("gain_error_rel", "0.1"), ("bit_line_ohm", "2"), ("rows_per_conversion", "9")];
        spec.set_all(same).unwrap();
        assert!(!spec.varies());
        spec.set("read_noise_rel", "0.1").unwrap();
        assert!(spec.varies() && spec.static_noise().next().is_none());
        spec.set("offset_lsb", "0.1").unwrap();
        let names: Vec<_> = spec.static_noise().map(|effect| effect.name).collect();
        assert_eq!(names, ["comparator offset"]);
    }

    #[test]
    fn effects_are_switched_off_one_by_one() {
        let spec = MacroSpec::preset("gt-n40").unwrap();
        let names: Vec<_> = spec.switchable().map(|effect| effect.name).collect();
        let all = [
            "programming variation, normal",
            "read noise",
            "comparator offset",
            "comparator noise",
        ];
        assert_eq!(names, all);
        for effect in spec.switchable() {
            let left: Vec<_> = spec.without(effect).switchable().map(|left| left.name).collect();
            assert_eq!(left.len(), all.len() - 1);
            assert!(!left.contains(&effect.name));
            let only: Vec<_> = spec.with_only(effect).switchable().map(|only| only.name).collect();
            assert_eq!(only, [effect.name]);
        }
        let mut log_normal = spec.clone();
        log_normal.set("lrs_distribution", "log-normal").unwrap();
        assert_eq!(log_normal.without(&EFFECTS[0]).switchable().count(), all.len());
    }

    #[test]
    fn pairs_that_cannot_be_shown_are_refused() {
        let mut spec = MacroSpec::preset("gt-n40").unwrap();
        spec.set("lrs_distribution", "log-normal").unwrap();
        let error = spec.check_table().unwrap_err().to_string();
        assert_eq!(
            error,
            "macro `gt-n40` has programming variation, log-normal or from points \
             (programming.lrs_distribution, programming.hrs_distribution), which engine `table` \
             cannot show: the sum of such cells is not normal, which a code table takes it for"
        );
    }

    #[test]
    fn the_matrix_of_the_documentation_is_this_list() {
        let text = include_str!("../../../docs/noise.md");
        let shown = |support| match support {
            Shown(how) => how.to_owned(),
            Refused(why) => format!("refused: {why}"),
        };
        let mut missing = String::new();
        for effect in EFFECTS {
            let keys = effect.keys.split(", ").map(|key| format!("`{key}`")).collect::<Vec<_>>();
            let (name, keys) = (effect.name, keys.join(", "));
            let [device, table] = [effect.device, effect.table].map(shown);
            let row = format!("| {name} | {keys} | {device} | {table} |");
            if !text.contains(&row) {
                missing += &format!("{row}\n");
            }
        }
        assert!(missing.is_empty(), "docs/noise.md lacks:\n{missing}");
    }
}
