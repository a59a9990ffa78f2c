//! The option `matrices` of passes, which has one grammar: names of matrices, `*` for all; no name
//! is the last. What it is by default is the pass's own.

use hafnia_ir::Mapping;

use crate::PassError;

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
