//! A compute-in-memory macro as data and rules.
//!
//! A [`MacroSpec`] says what the macro is: its size, its [`Adc`], its [`CellModel`] and its
//! [`InputControl`]. Presets are TOML files in which every value carries its source, or the word
//! `assumed` ([`MacroSpec::preset`]). From a spec follow the grouping of rows into conversions
//! ([`InputControl::groups`]) and the probabilities of every code ([`CodeTable`]).
//!
//! It has no engine: what is drawn, and on which chip, is the business of `hafnia-sim`.

mod code_table;
mod error;
mod input_control;
mod preset;
mod spec;

pub use code_table::{CodeTable, Moments};
pub use error::CimError;
pub use input_control::{Groups, InputControl, ScanEntry};
pub use preset::SourcedValue;
pub use spec::{Adc, CellModel, MacroSpec};
