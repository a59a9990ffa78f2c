//! Options that name matrices.

use hafnia_ir::Mapping;

use crate::PassError;

/// Per matrix, whether a list of names has it; an empty list has all.
pub(crate) fn named(names: &[String], mapping: &Mapping) -> Result<Vec<bool>, PassError> {
    let known = || mapping.matrices.iter().map(|matrix| matrix.name.clone());
    match names.iter().find(|name| known().all(|known| known != **name)) {
        Some(name) => {
            Err(PassError::UnknownMatrix { name: name.clone(), known: known().collect() })
        }
        None => Ok(known().map(|known| names.is_empty() || names.contains(&known)).collect()),
    }
}
