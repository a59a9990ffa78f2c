//! What passes share that look at a profile of training images: the tiles they are to change, and
//! the damage that noise does to one.

use hafnia_ir::{Mapping, MatrixId, Profile, Tile};

use crate::damage::Damage;
use crate::{Context, PassError};

/// The tiles of some matrices, and a profile of them if there is one.
pub(crate) struct Profiled<'a> {
    /// Indices of the tiles.
    pub(crate) tiles: Vec<usize>,
    pub(crate) profile: Option<&'a Profile>,
}

impl<'a> Profiled<'a> {
    /// The tiles of the matrices of these names; no name is the last matrix, `*` is all.
    ///
    /// The profile fits the network and has samples of them.
    pub(crate) fn new(
        names: &[String],
        mapping: &Mapping,
        context: &Context<'a>,
    ) -> Result<Self, PassError> {
        let chosen = chosen(names, mapping)?;
        if let Some(profile) = context.profile {
            profile.check(context.network)?;
            let is_empty = |id: &&MatrixId| profile.matrices[id.index()].samples() == 0;
            if let Some(id) = chosen.iter().find(is_empty) {
                let matrix = mapping.matrices[id.index()].name.clone();
                return Err(PassError::NoSample { matrix });
            }
        }
        let is_chosen = |&tile: &usize| chosen.contains(&mapping.tiles[tile].matrix);
        let tiles = (0..mapping.tiles.len()).filter(is_chosen).collect();
        Ok(Self { tiles, profile: context.profile })
    }
}

fn chosen(names: &[String], mapping: &Mapping) -> Result<Vec<MatrixId>, PassError> {
    let ids = |range: std::ops::Range<usize>| range.map(|index| MatrixId(index as u32));
    let count = mapping.matrices.len();
    if names.is_empty() {
        return Ok(ids(count.saturating_sub(1)..count).collect());
    }
    let mut chosen = Vec::new();
    for name in names {
        if name == "*" {
            return Ok(ids(0..count).collect());
        }
        let index = mapping.matrices.iter().position(|matrix| matrix.name == *name);
        let index = index.ok_or_else(|| PassError::UnknownMatrix {
            name: name.clone(),
            known: mapping.matrices.iter().map(|matrix| matrix.name.clone()).collect(),
        })?;
        chosen.push(MatrixId(index as u32));
    }
    Ok(chosen)
}

/// The damage to a tile: lost classifications if it holds the last matrix whole, else squared error.
pub(crate) fn damage<'a>(
    tile: &'a Tile,
    profile: &'a Profile,
    mapping: &Mapping,
    context: &Context<'_>,
) -> Damage<'a> {
    let (id, matrix) = (tile.matrix.index(), &mapping.matrices[tile.matrix.index()]);
    let is_last = id + 1 == mapping.matrices.len();
    let is_whole = tile.rows.len() == matrix.rows && tile.columns.len() == matrix.columns;
    let last = (is_last && is_whole).then(|| context.network.matrices()[id].weights);
    let noise = (context.spec, context.code_table);
    Damage::new(tile, &profile.matrices[id], noise, last)
}
