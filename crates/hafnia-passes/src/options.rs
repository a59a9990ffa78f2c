//! Options that several passes have.
//!
//! `matrices` has one grammar: names of matrices, `*` for all; no name is the last. Its default is the
//! pass's own.

use hafnia_ir::Mapping;
use serde::Deserialize;

use crate::error::PassError;

/// Stands for every matrix.
pub(crate) const ALL: &str = "*";

/// Per matrix of a mapping, whether an option has it.
pub(crate) fn chosen(names: &[String], mapping: &Mapping) -> Result<Vec<bool>, PassError> {
    let known = || mapping.matrices.iter().map(|matrix| matrix.name.clone());
    let is_unknown = |name: &&String| *name != ALL && known().all(|known| known != **name);
    if let Some(name) = names.iter().find(is_unknown) {
        return Err(PassError::UnknownMatrix { name: name.clone(), known: known().collect() });
    }
    let has = |name: &str| names.iter().any(|named| named == name);
    let last = mapping.matrices.len().saturating_sub(1);
    let is_chosen = |(index, name): (usize, String)| {
        has(ALL) || has(&name) || (names.is_empty() && index == last)
    };
    Ok(known().enumerate().map(is_chosen).collect())
}

/// What the option `mode` means.
pub(crate) const MODES: &str = "`repeat`: the shared row is issued once for every logical row that is on; `pre-add`: activations of rows that share are added up first, and the shared row is issued for the bits of the sum";

/// Reads an option that is a multiple of something: a number of at least 1.
pub(crate) fn at_least_one<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<f64, D::Error> {
    at_least(1.0, f64::deserialize(deserializer)?)
}

/// Reads an option that is a number of at least 0.
pub(crate) fn at_least_zero<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<f64, D::Error> {
    at_least(0.0, f64::deserialize(deserializer)?)
}

fn at_least<E: serde::de::Error>(least: f64, value: f64) -> Result<f64, E> {
    if value >= least && value.is_finite() {
        return Ok(value);
    }
    Err(E::custom(format_args!("the value is {value}, it must be at least {least}")))
}
