//! The passes of this crate: one file each, and what some of them share.

pub(crate) mod allocate;
mod annealing;
pub(crate) mod best;
pub(crate) mod code_inputs;
pub(crate) mod code_weights;
pub(crate) mod duplicate;
mod guard;
pub(crate) mod pack;
pub(crate) mod polarity;
pub(crate) mod rename;
pub(crate) mod rename_segments;
pub(crate) mod reorder;
pub(crate) mod strip_dead;
pub(crate) mod tile;

use crate::registry::Registry;

impl Registry {
    /// The passes of this crate.
    pub fn builtin() -> Self {
        Self::empty()
            .with::<code_weights::CodeWeights>()
            .with::<code_inputs::CodeInputs>()
            .with::<strip_dead::StripDead>()
            .with::<rename::RenameRows>()
            .with::<rename::RenameComplements>()
            .with::<rename_segments::RenameSegments>()
            .with::<tile::CutTiles>()
            .with::<polarity::SetPolarity>()
            .with::<reorder::ReorderRows>()
            .with::<allocate::AllocateRows>()
            .with::<pack::PackTiles>()
            .with::<duplicate::DuplicateMatrices>()
            .with::<best::SearchMappings>()
    }
}
