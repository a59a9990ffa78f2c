//! [`Planes`]: what a tile scans of the levels that reach it, a bit-plane after the other.

use std::borrow::Cow;

use hafnia_model::MatrixLayer;

use crate::coding::Coding;
use crate::mapping::{Lines, Matrix, Tile};

/// The bit-planes of levels: level = Σ over planes q of `factors()[q]` · bit q of its code, plus `owed()`.
///
/// Where a [`Matrix`] has no coding of inputs, and where a tile adds levels up before it scans, a code
/// is the level itself, plane q counts 2^q, and nothing is owed.
///
/// ```
/// use hafnia_ir::{Coding, Planes};
///
/// // Activations of −2 to 1: levels 0 to 3 from −2 on.
/// let planes = Planes::new(&Coding::twos_complement(2), (-2, 1))?;
/// assert_eq!((planes.factors(), planes.owed()), (&[1, -2][..], 2));
/// assert_eq!([0, 1, 2, 3].map(|level| planes.code(level)), [0b10, 0b11, 0b00, 0b01]);
/// # Ok::<(), i32>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planes {
    /// By level; none where a code is the level.
    codes: Option<Vec<u8>>,
    factors: Vec<i32>,
    owed: i32,
}

impl Planes {
    /// The most planes of coded inputs.
    pub const MOST_CODED: usize = 8;

    /// The bits of levels.
    pub fn of_levels(bits: u8) -> Self {
        Self { codes: None, factors: (0..bits).map(|q| 1 << q).collect(), owed: 0 }
    }

    /// Those of activations from `lowest`, which is level 0, to `highest`.
    ///
    /// # Errors
    /// The first activation that has no code.
    ///
    /// # Panics
    /// If the coding has more than [`MOST_CODED`](Self::MOST_CODED) slices.
    pub fn new(coding: &Coding, (lowest, highest): (i32, i32)) -> Result<Self, i32> {
        assert!(coding.slices() <= Self::MOST_CODED, "{} slices", coding.slices());
        let codes = coding.codes();
        let code = |activation| codes.of(activation).map(|code| code as u8).ok_or(activation);
        Ok(Self {
            codes: Some((lowest..=highest).map(code).collect::<Result<_, _>>()?),
            factors: coding.factors().to_vec(),
            owed: coding.offset() - lowest,
        })
    }

    /// What the bits of each plane count.
    pub fn factors(&self) -> &[i32] {
        &self.factors
    }

    /// The level whose code is 0, as the formula has it.
    pub fn owed(&self) -> i32 {
        self.owed
    }

    /// The codes of levels, if they are not the levels themselves.
    pub fn codes(&self) -> Option<&[u8]> {
        self.codes.as_deref()
    }

    /// The code of a level, or of a sum of levels where those are scanned.
    ///
    /// # Panics
    /// If the levels are coded and this is none.
    pub fn code(&self, level: u32) -> u32 {
        match &self.codes {
            None => level,
            Some(codes) => codes[level as usize].into(),
        }
    }

    /// The level that a code stands for.
    pub fn level(&self, code: u32) -> i32 {
        let factors = self.factors.iter().enumerate();
        let sum: i32 = factors.map(|(q, factor)| factor * (code >> q & 1) as i32).sum();
        self.owed + sum
    }

    /// The levels that these codes stand for.
    pub fn levels<'a>(&self, codes: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.codes {
            None => Cow::Borrowed(codes),
            Some(_) => codes.iter().map(|&code| self.level(code.into()) as u8).collect(),
        }
    }
}

impl Matrix {
    /// The bit-planes of what reaches the matrix in the network; of levels, if some have no code.
    pub fn planes(&self, layer: &MatrixLayer<'_>) -> Planes {
        let range = (layer.lowest, layer.lowest + i32::from(layer.largest));
        let coded = self.inputs.as_ref().and_then(|coding| Planes::new(coding, range).ok());
        coded.unwrap_or_else(|| Planes::of_levels(layer.input_bits))
    }
}

impl Tile {
    /// The bit-planes of a scan of its lines, given those of its matrix.
    pub fn planes(&self, lines: &Lines, of: &Matrix, layer: &MatrixLayer<'_>) -> Planes {
        match self.pre_add {
            true => Planes::of_levels(lines.planes(layer.input_bits)),
            false => of.planes(layer),
        }
    }
}
