//! [`check_fit`]: whether a mapping can be programmed on macros of a spec.

use hafnia_cim::MacroSpec;
use hafnia_ir::{Geometry, Mapping, Stage, verify};

use crate::error::SimError;

/// A mapping and a spec can be used together if both are well formed and of one geometry.
pub(crate) fn check_fit(mapping: &Mapping, spec: &MacroSpec) -> Result<(), SimError> {
    spec.validate().map_err(|error| SimError::Spec(Box::new(error)))?;
    let (of, own) = (&mapping.geometry, Geometry::from(spec));
    if (of.rows, of.columns, of.cell_bits) != (own.rows, own.columns, own.cell_bits) {
        return Err(SimError::Geometry { mapping: Box::new(of.clone()), own: Box::new(own) });
    }
    if mapping.stage == Stage::Placed {
        let faults = spec.faults.map.check_macros(mapping.macros());
        faults.map_err(|error| SimError::Spec(Box::new(error)))?;
    }
    verify(mapping).map_err(|violation| SimError::Mapping(Box::new(violation)))
}
