//! The rules of mappings, and the violations that name a broken rule and its place.

use std::fmt;

use crate::mapping::{Mapping, MatrixId, TileId};

/// A rule of mappings, in the order in which they are checked; `docs/ir.md` numbers them from 1.
///
/// [`verify`](crate::verify) checks them up to [`Places`](Self::Places), [`prove`](crate::prove)
/// the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// Matrices and the macro have at least one cell, sides of at most 1 048 576 and at most
    /// 268 435 456 cells.
    /// Slices of a weight are a whole number of cells, of 1 or 2 bits; in those of 2 the factors of its
    /// slices go in pairs, the second twice the first.
    /// Inputs that are coded have at most 8 bit-planes.
    Sizes,
    /// Dead rows exist, ascend, and leave a row to the tiles.
    Stripped,
    /// A tile is of an existing matrix, has at least one cell, and lists as many columns as it has.
    Shape,
    /// The logical columns of a tile exist and differ from each other.
    /// The two columns of a cell of 2 bits are neighbouring slices of one output, the even one
    /// first, both inverted or neither.
    Columns,
    /// The logical and physical rows of a tile's entries exist, and the logical rows are not dead and
    /// differ from each other.
    Entries,
    /// Every physical row of a tile is used by an entry.
    UsedRows,
    /// A tile that shares no physical row has its entries in the order of its physical rows: no
    /// table is stored that could say otherwise.
    Order,
    /// The replicas of a matrix are numbered from 0 without gaps; there is at least one.
    Replicas,
    /// Every weight of a matrix is in exactly one tile of each replica, but for those in dead
    /// rows, which are in none.
    Coverage,
    /// At stage `logical` a replica is one tile.
    Whole,
    /// At stages `tiled` and `placed` a tile has no more physical rows and columns than a macro.
    Fit,
    /// At stages `logical` and `tiled` no tile has a place.
    Unplaced,
    /// At stage `placed` every tile has a place, within its macro; no two tiles share a cell; macros
    /// are numbered from 0 without gaps.
    Places,
    /// The mapping is of the network: its digest, and the names and sizes of its matrices, all of whose
    /// weights have codes, and all that can reach them, where inputs are coded.
    Network,
    /// A dead row has 0 as its largest level, whatever the input.
    Needless,
    /// Every weight is held exactly once in each replica, with the bit of its code, but for
    /// those in dead rows, which no tile holds.
    Weights,
}

impl Rule {
    /// The number of the rule in `docs/ir.md`, from 1.
    pub fn number(self) -> usize {
        self as usize + 1
    }
}

/// Where a mapping breaks a rule; as much of it as there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Location {
    /// The matrix, or that of the tile.
    pub matrix: Option<MatrixId>,
    /// The tile.
    pub tile: Option<TileId>,
    /// Scan position of an entry of the tile.
    pub entry: Option<usize>,
    /// Index of a column of the tile.
    pub column: Option<usize>,
}

impl Location {
    pub(crate) fn matrix(matrix: MatrixId) -> Self {
        Self { matrix: Some(matrix), ..Self::default() }
    }

    pub(crate) fn tile(tile: TileId, matrix: MatrixId) -> Self {
        Self { tile: Some(tile), ..Self::matrix(matrix) }
    }

    pub(crate) fn entry(self, entry: usize) -> Self {
        Self { entry: Some(entry), ..self }
    }

    pub(crate) fn column(self, column: usize) -> Self {
        Self { column: Some(column), ..self }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.tile, self.matrix) {
            (Some(tile), Some(matrix)) => write!(f, "tile {tile} of {matrix}")?,
            (Some(tile), None) => write!(f, "tile {tile}")?,
            (None, Some(matrix)) => write!(f, "matrix {matrix}")?,
            (None, None) => write!(f, "mapping")?,
        }
        if let Some(entry) = self.entry {
            write!(f, ", entry {entry}")?;
        }
        if let Some(column) = self.column {
            write!(f, ", column {column}")?;
        }
        Ok(())
    }
}

/// A rule that a mapping breaks, where, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where.
    pub at: Location,
    /// The rule.
    pub rule: Rule,
    /// What is there and what must be, in words.
    pub fault: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (rule {})", self.at, self.fault, self.rule.number())
    }
}

/// The rules that a mapping breaks: at least one, at most [`MOST`](Self::MOST).
///
/// ```
/// use hafnia_ir::{Geometry, Rule, Stage, TileId, random, verify};
/// use hafnia_model::random::lenet5;
/// use hafnia_rng::Seed;
///
/// let geometry = Geometry::new("gt-n40", 128, 128);
/// let mut mapping = random::mapping(Seed(1), &lenet5(Seed(1)), &geometry, Stage::Placed);
/// mapping.tiles[0].place = None;
/// let violations = verify(&mapping).unwrap_err();
/// assert_eq!(violations.first().rule, Rule::Places);
/// assert_eq!(violations.first().at.tile, Some(TileId(0)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// The most violations that are collected.
    pub const MOST: usize = 20;

    /// The first violation.
    pub fn first(&self) -> &Violation {
        &self.0[0]
    }

    /// All violations, in the order in which they were found.
    pub fn all(&self) -> &[Violation] {
        &self.0
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [violation] = &self.0[..] {
            return violation.fmt(f);
        }
        let or_more = if self.0.len() == Self::MOST { " or more" } else { "" };
        write!(f, "{}{or_more} violations:", self.0.len())?;
        self.0.iter().enumerate().try_for_each(|(index, violation)| {
            write!(f, "{}\n  {violation}", if index > 0 { ";" } else { "" })
        })
    }
}

impl std::error::Error for Violations {}

/// Collects violations of a mapping.
pub(crate) struct Faults<'a> {
    pub(crate) mapping: &'a Mapping,
    found: Vec<Violation>,
}

impl<'a> Faults<'a> {
    pub(crate) fn new(mapping: &'a Mapping) -> Self {
        Self { mapping, found: Vec::new() }
    }

    /// Whether no more violations are collected.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() == Violations::MOST
    }

    /// Notes that `rule` is broken, unless there are enough violations.
    pub(crate) fn note(&mut self, rule: Rule, at: Location, fault: fmt::Arguments<'_>) {
        if !self.is_full() {
            self.found.push(Violation { at, rule, fault: fault.to_string() });
        }
    }

    /// The violations so far, if there are any.
    pub(crate) fn check(&mut self) -> Result<(), Violations> {
        match std::mem::take(&mut self.found) {
            found if found.is_empty() => Ok(()),
            found => Err(Violations(found)),
        }
    }
}
