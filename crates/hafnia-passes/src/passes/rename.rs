//! `rename` and `rename-complement`: physical rows with equal bits, or equal and opposite bits, become
//! one.
//!
//! # `rename`
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
//! On the recorded network `two-macros`, which has half of its cells shared, and on training images
//! `repeat` takes 44 % more conversion cycles than no sharing, `pre-add` 4 % more and 7368 additions
//! per image.
//!
//! A tile is in the mode of the rename that came last. Freely trained matrices have hardly any equal
//! rows: sharing has to be trained for.
//!
//! # `rename-complement`
//!
//! As a weight is +1 or −1, the complement of a row is minus that row: a sign in the row table lets
//! both share cells, and the conversions of negative entries are subtracted. Of the rows that share,
//! the one that is first used keeps its bits. It does all that `rename` does and more.
//!
//! What it costs: a sign bit for every entry of a tile that has a negative one, and cycles, because
//! rows of opposite sign never share a conversion: in natural order a conversion ends at every
//! change of sign. On the recorded network `frontier` it saves 0.1 % of the cells beyond what `rename`
//! saves; conversion cycles, on training images, are 2.2 times those without sharing where `rename`
//! has 1.5 times (`pre-add`: 1.4 and 1.02). So no pipeline of ours has it. It is for matrices trained
//! to have opposite rows, and for orders that bring equal signs together.
//!
//! Both modes of `rename` are there; `pre-add` adds up activations of one sign, so that a shared row
//! is issued for at most two sums.
//!
//! Cost: one hash look-up per entry, for both passes.

use hafnia_ir::{Mapping, Stage};
use serde::{Deserialize, Serialize};

use crate::analysis::{Alike, RenameMode, StaticCost, share};
use crate::error::PassError;
use crate::options::MODES;
use crate::pass::{Context, Pass, PassInfo};
use crate::statistics::Statistics;

/// The pass `rename`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RenameRows {
    /// How rows share cells.
    pub mode: RenameMode,
}

/// The pass `rename-complement`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RenameComplements {
    /// How rows share cells.
    pub mode: RenameMode,
}

const RENAME: PassInfo = PassInfo {
    name: "rename",
    summary: "Lets rows with equal bits share one physical row.",
    takes: &[Stage::Logical, Stage::Tiled],
    leaves: None,
    options: &[("mode", MODES)],
};

impl Pass for RenameRows {
    const INFO: PassInfo = RENAME;

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        Ok(rename(mapping, context, Alike::Equal, self.mode))
    }
}

impl Pass for RenameComplements {
    const INFO: PassInfo = PassInfo {
        name: "rename-complement",
        summary: "Lets rows with equal or opposite bits share one physical row.",
        ..RENAME
    };

    fn run(&self, mapping: &mut Mapping, context: &Context<'_>) -> Result<Statistics, PassError> {
        Ok(rename(mapping, context, Alike::Complement, self.mode))
    }
}

fn rename(
    mapping: &mut Mapping,
    context: &Context<'_>,
    alike: Alike,
    mode: RenameMode,
) -> Statistics {
    let before = StaticCost::of(mapping, context);
    for tile in &mut mapping.tiles {
        *tile = share(tile, alike, mode);
    }
    before.changed(StaticCost::of(mapping, context), Statistics::default())
}
