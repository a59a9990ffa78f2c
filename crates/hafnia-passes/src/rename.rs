//! `rename`: physical rows with equal bits become one.
//!
//! Two logical rows whose programmed bits are the same need only one row of cells if a table keeps,
//! for every logical row, the address of its physical row: the rename table. Physical rows are
//! numbered by first use in the scan, and the order of the entries stays as it is.
//!
//! Both modes are exact:
//! - `repeat`: the controller issues the shared row once for every logical row that is on. A word
//!   line cannot be on twice, so a conversion ends before a row that it already holds: sharing saves
//!   cells and costs cycles.
//! - `pre-add`: the activations of the rows that share are added up digitally, and the shared row is
//!   issued for the bits of the sum. That costs additions and more bit-planes, of which the upper
//!   ones are mostly 0 and skipped; there are fewer rows to scan.
//!
//! On a logical mapping rows must be equal over all columns of the matrix; on a tiled one, over the
//! columns of a tile, which finds more. Run it before `tile` where it can, because `tile` counts
//! physical rows against the height of the macro; or after it, with `rows = "alike"` there.
//!
//! A tile is in the mode of the rename that came last. Freely trained matrices have hardly any equal
//! rows: sharing has to be trained for.
//!
//! Cost: one hash look-up an entry.

use hafnia_ir::{Mapping, Stage};
use serde::{Deserialize, Serialize};

use crate::sharing::{Alike, MODES, share};
use crate::work::Cost;
use crate::{Context, Pass, PassError, PassInfo, RenameMode, Statistics};

/// The pass `rename`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RenameRows {
    /// How rows share cells.
    pub mode: RenameMode,
}

impl Pass for RenameRows {
    const INFO: PassInfo = PassInfo {
        name: "rename",
        summary: "Lets rows with equal bits share one physical row.",
        takes: &[Stage::Logical, Stage::Tiled],
        leaves: None,
        options: &[("mode", MODES)],
    };

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        let before = Cost::of(mapping, context);
        for tile in &mut mapping.tiles {
            *tile = share(tile, Alike::Equal, self.mode);
        }
        Ok(before.changed(Cost::of(mapping, context), Statistics::default()))
    }
}
