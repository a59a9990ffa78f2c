//! What a pass that looks at a profile of training images begins with: the tiles that it is to change
//! ([`Profiled`]), and one of them as the input control scans it ([`Scanned`]).

use std::borrow::Cow;

use hafnia_cim::ScanEntry;
use hafnia_ir::{Coding, Mapping, MatrixProfile, Planes, Profile, RowEntry, Tile};

use crate::analysis::answers::Answers;
use crate::analysis::damage::Damage;
use crate::error::PassError;
use crate::options::chosen;
use crate::pass::Context;

/// The tiles of some matrices, and a profile of them if there is one.
pub struct Profiled<'a> {
    /// Indices of the tiles.
    pub tiles: Vec<usize>,
    /// The profile.
    pub profile: Option<&'a Profile>,
}

impl<'a> Profiled<'a> {
    /// The tiles of the matrices that an option `matrices` names: `*` is all, no name the last.
    ///
    /// On a macro with multi-level cells, or one whose code table would be too large, there is no
    /// profile, as if none were given: damage is not known there.
    ///
    /// # Errors
    /// If there is no matrix of a name, or the profile does not fit the network or has no sample of
    /// one of the matrices.
    pub fn new(
        names: &[String],
        mapping: &Mapping,
        context: &Context<'a>,
    ) -> Result<Self, PassError> {
        let chosen = chosen(names, mapping)?;
        if let Some(profile) = context.profile {
            profile.check(context.network)?;
            let is_empty = |&index: &usize| chosen[index] && profile.matrices[index].samples() == 0;
            if let Some(index) = (0..chosen.len()).find(is_empty) {
                let matrix = mapping.matrices[index].name.clone();
                return Err(PassError::NoSample { matrix });
            }
        }
        let is_chosen = |&tile: &usize| chosen[mapping.tiles[tile].matrix.index()];
        let tiles = (0..mapping.tiles.len()).filter(is_chosen).collect();
        let profile = context
            .profile
            .filter(|_| mapping.geometry.cell_bits == 1 && !context.code_table.is_empty());
        Ok(Self { tiles, profile })
    }
}

/// Refuses to weigh noise on a macro with multi-level cells, or whose code table would be too large.
pub(crate) fn refuse_unknown_errors(
    what: &'static str,
    mapping: &Mapping,
    context: &Context<'_>,
) -> Result<(), PassError> {
    let (name, cell_bits) = (&mapping.geometry.name, mapping.geometry.cell_bits);
    if cell_bits != 1 {
        return Err(PassError::MultiLevel { what, name: name.clone(), cell_bits });
    }
    let too_large = |source| PassError::NoTable { what, source: Box::new(source) };
    match context.code_table.is_empty() {
        true => context.spec.check_table_size().map_err(too_large),
        false => Ok(()),
    }
}

/// The samples of a profile as codes.
fn coded<'a>(profile: &'a MatrixProfile, planes: &Planes) -> Cow<'a, MatrixProfile> {
    if planes.codes().is_none() {
        return Cow::Borrowed(profile);
    }
    let code = |&level: &u8| planes.code(level.into()) as u8;
    let activations = profile.activations.iter().map(code).collect();
    Cow::Owned(MatrixProfile {
        rows: profile.rows,
        bits: planes.factors().len() as u8,
        activations,
    })
}

/// A tile as the input control scans it, and what reaches it in the samples of a profile.
///
/// A tile that adds activations first is seen as one that has one entry per line, for the first of its
/// logical rows, which is given the sums: to noise it is the same.
pub struct Scanned<'a> {
    /// The tile, one entry per line of the scan.
    pub tile: Cow<'a, Tile>,
    profile: Option<Cow<'a, MatrixProfile>>,
    /// What the network answers, if the tile holds the matrix that gives its outputs whole.
    answers: Option<Answers<'a>>,
    /// How bits stand for weights.
    coding: Cow<'a, Coding>,
    /// What the profile holds codes of.
    planes: Cow<'a, Planes>,
    /// The entries of every line, where a line may be several entries.
    lines: Option<Vec<Vec<usize>>>,
}

impl<'a> Scanned<'a> {
    /// A tile of `mapping`, under the profile of [`Profiled`].
    ///
    /// # Errors
    /// [`PassError::WideSums`].
    pub fn new(
        tile: &'a Tile,
        profile: Option<&'a Profile>,
        mapping: &Mapping,
        context: &Context<'a>,
    ) -> Result<Self, PassError> {
        let (id, matrix) = (tile.matrix.index(), &mapping.matrices[tile.matrix.index()]);
        let is_whole = tile.rows.len() == matrix.rows && tile.columns.len() == matrix.columns;
        let answers = if is_whole { Answers::of(context.network, id) } else { None };
        let coding = Cow::Owned(matrix.coding.clone());
        let profile = profile.map(|profile| &profile.matrices[id]);
        let of_tile = tile.lines();
        let planes = tile.planes(&of_tile, matrix, &context.network.matrices()[id]);
        if !tile.pre_add {
            let profile = profile.map(|profile| coded(profile, &planes));
            let (tile, planes) = (Cow::Borrowed(tile), Cow::Owned(planes));
            return Ok(Self { tile, profile, answers, coding, planes, lines: None });
        }
        let mut lines = vec![Vec::new(); of_tile.scan.len()];
        for (entry, &line) in of_tile.of_entries.iter().enumerate() {
            lines[line as usize].push(entry);
        }
        let first = |line: &Vec<usize>| line.iter().map(|&entry| tile.rows.logical()[entry]).min();
        let firsts: Vec<u32> = lines.iter().filter_map(first).collect();
        let entry = |(&logical, scan): (&u32, &ScanEntry)| {
            let ScanEntry { physical, negative } = *scan;
            RowEntry { logical, physical, negative }
        };
        let rows = firsts.iter().zip(&of_tile.scan).map(entry).collect();
        let summed = match profile {
            None => None,
            Some(profile) => {
                let bits = of_tile.planes(profile.bits);
                if u32::from(bits) > u8::BITS {
                    return Err(PassError::WideSums { matrix: matrix.name.clone(), bits });
                }
                let mut activations = vec![0; profile.activations.len()];
                for (sample, activations) in activations.chunks_exact_mut(profile.rows).enumerate()
                {
                    let found = profile.sample(sample);
                    for (line, &first) in lines.iter().zip(&firsts) {
                        let rows = line.iter().map(|&entry| tile.rows.logical()[entry] as usize);
                        activations[first as usize] = rows.map(|row| found[row]).sum();
                    }
                }
                Some(Cow::Owned(MatrixProfile { rows: profile.rows, bits, activations }))
            }
        };
        let tile = Cow::Owned(Tile { rows, pre_add: false, ..tile.clone() });
        let (profile, planes) = (summed, Cow::Owned(planes));
        Ok(Self { tile, profile, answers, coding, planes, lines: Some(lines) })
    }

    /// The samples, if there is a profile: codes of [`planes`](Self::planes).
    pub fn profile(&self) -> Option<&MatrixProfile> {
        self.profile.as_deref()
    }

    /// What the network answers, if the tile holds the matrix that gives its outputs whole.
    pub fn answers(&self) -> Option<&Answers<'a>> {
        self.answers.as_ref()
    }

    /// How bits stand for weights.
    pub fn coding(&self) -> &Coding {
        &self.coding
    }

    /// The bit-planes that are scanned.
    pub fn planes(&self) -> &Planes {
        &self.planes
    }

    /// Another way to store the same tile, seen on the same samples.
    pub fn with_tile(&self, tile: Tile) -> Scanned<'_> {
        Scanned {
            tile: Cow::Owned(tile),
            profile: self.profile.as_deref().map(Cow::Borrowed),
            answers: self.answers.clone(),
            coding: Cow::Borrowed(&self.coding),
            planes: Cow::Borrowed(&self.planes),
            lines: None,
        }
    }

    /// The damage to the tile on all samples, if there is a profile: lost classifications if it holds
    /// the last matrix whole, else squared error.
    pub fn damage(&self, context: &Context<'_>) -> Option<Damage<'_>> {
        self.damage_to(self.answers(), context, &self.samples())
    }

    /// The same on some samples of the profile, by their indices.
    pub fn damage_on(&self, samples: &[usize], context: &Context<'_>) -> Option<Damage<'_>> {
        self.damage_to(self.answers(), context, samples)
    }

    /// The damage on all samples as if the tile were of any other matrix.
    pub fn squared_error(&self, context: &Context<'_>) -> Option<Damage<'_>> {
        self.damage_to(None, context, &self.samples())
    }

    fn samples(&self) -> Vec<usize> {
        (0..self.profile().map_or(0, MatrixProfile::samples)).collect()
    }

    fn damage_to(
        &self,
        answers: Option<&Answers<'_>>,
        context: &Context<'_>,
        samples: &[usize],
    ) -> Option<Damage<'_>> {
        let noise = (context.spec, context.code_table);
        let codings = (&*self.coding, &*self.planes);
        let new = |profile| Damage::new(&self.tile, (profile, samples), noise, answers, codings);
        self.profile.as_deref().map(new)
    }

    /// The order of the original tile's entries that is this order of the entries seen here.
    pub fn entries(&self, order: &[usize]) -> Vec<usize> {
        match &self.lines {
            None => order.to_vec(),
            Some(lines) => order.iter().flat_map(|&line| lines[line].iter().copied()).collect(),
        }
    }
}
