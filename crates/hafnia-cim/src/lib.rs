//! A compute-in-memory macro as data and rules.
//!
//! A [`MacroSpec`] says what the macro is: its size, its [`Adc`], its [`CellModel`] and its
//! [`InputControl`]. Presets are TOML files in which every value carries its source, or the word
//! `assumed` ([`MacroSpec::preset`]). From a spec follow the grouping of rows into conversions
//! ([`InputControl::groups`]) and the probabilities of every code ([`CodeTable`]).
//!
//! ```
//! use hafnia_cim::{CodeTable, MacroSpec};
//!
//! let mut spec = MacroSpec::preset("gt-n40")?;
//! spec.set("sigma_lrs_rel", "0.2")?;
//! assert!(CodeTable::from_spec(&spec).error_probability(7, 6) > 0.1);
//! assert_eq!(CodeTable::from_spec(&spec.without_noise()).error_probability(7, 6), 0.0);
//! # Ok::<(), hafnia_cim::CimError>(())
//! ```
//!
//! A [`Fabrication`] is a virtual chip of such macros: what is drawn once for every cell and converter.
//! There is no engine here: what runs on a chip is the business of `hafnia-sim`.

mod code_covariance;
mod code_table;
mod conversion;
mod csv;
mod curve;
mod distribution;
mod effect;
mod effects;
mod error;
mod fabrication;
mod fault_map;
pub mod fit;
mod input_control;
mod key;
mod preset;
mod signal;
mod spec;
mod table_csv;

pub use code_covariance::{CodeCovariance, CovarianceWith};
pub use code_table::{CodeTable, Moments};
pub use curve::Curve;
pub use distribution::{Distribution, Points};
pub use effect::{Drawn, EFFECTS, Effect, Support};
pub use effects::{Disturb, Faults, Programming, Retention, Telegraph, Temperature, Wires};
pub use error::CimError;
pub use fabrication::{Cells, Fabrication};
pub use fault_map::{FAULT_MAP_HEADER, FaultMap};
pub use input_control::{GroupFault, Groups, InputControl, ScanEntry};
pub use key::{keys_table, template};
pub use preset::{SourcedValue, UNSTATED, preset_names, sources};
pub use signal::CellState;
pub use spec::{Adc, AdcKind, CellModel, LevelSigmas, MacroSpec};
