//! `rename-complement`: physical rows with equal or opposite bits become one.
//!
//! As a weight is +1 or −1, the complement of a row is minus that row: a sign in the row table lets
//! both share cells, and the conversions of negative entries are subtracted. Of the rows that share,
//! the one that is first used keeps its bits. It does all that `rename` does and more.
//!
//! What it costs: a sign bit for every entry of a tile that has a negative one, and cycles, because
//! rows of opposite sign never share a conversion: in natural order a conversion ends at every
//! change of sign. It pays where cells are what is scarce.
//!
//! Both modes of `rename` are there; `pre-add` adds up activations of one sign, so that a shared row
//! is issued for at most two sums.
//!
//! Cost: one hash look-up an entry.

use hafnia_ir::{Mapping, Stage};
use serde::{Deserialize, Serialize};

use crate::sharing::{Alike, MODES, share};
use crate::work::Cost;
use crate::{Context, Pass, PassError, PassInfo, RenameMode, Statistics};

/// The pass `rename-complement`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RenameComplements {
    /// How rows share cells.
    pub mode: RenameMode,
}

impl Pass for RenameComplements {
    const INFO: PassInfo = PassInfo {
        name: "rename-complement",
        summary: "Lets rows with equal or opposite bits share one physical row.",
        takes: &[Stage::Logical, Stage::Tiled],
        leaves: None,
        options: &[("mode", MODES)],
    };

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        let before = Cost::of(mapping, context);
        for tile in &mut mapping.tiles {
            *tile = share(tile, Alike::Complement, self.mode);
        }
        Ok(before.changed(Cost::of(mapping, context), Statistics::default()))
    }
}
