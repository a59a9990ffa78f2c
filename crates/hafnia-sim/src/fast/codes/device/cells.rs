//! [`Sums`]: the cells of conversion cycles in steps, added up, some cycles a vector.

use hafnia_simd::{LANES, Simd};

use crate::fast::codes::steps::{SET, SETS, Sets, Steps};
use crate::fast::groups::list::Number;

/// Rows of a conversion of the default macro.
pub(super) const SLOTS: usize = 7;

/// The sums of vectors of so many groups: of two, or of four if they have few columns.
pub(super) trait Sums<const GROUPS: usize>: Copy {
    /// Those of the first vectors only, which tells the compiler how many there are.
    fn first(self, vectors: usize) -> Self;

    /// Those of a vector.
    fn of<S: Simd>(&self, simd: S, vector: usize) -> S::I16;
}

/// The cells of a block of columns, added up line by line, of [`SLOTS`] lines below `LINES`.
#[derive(Clone, Copy)]
pub(super) struct ByLine<'a, N, const LINES: usize> {
    cells: &'a [Steps<LANES>; LINES],
    /// (vector, group of the vector, slot).
    lines: &'a [[[N; SLOTS]; 2]],
}

impl<'a, N: Number, const LINES: usize> ByLine<'a, N, LINES> {
    #[inline(always)]
    pub(super) fn new(cells: &'a [Steps<LANES>], lines: &'a [N]) -> Self {
        let cells = cells.try_into().expect("as many lines as the form of the list says");
        Self { cells, lines: lines.as_chunks().0.as_chunks().0 }
    }
}

impl<N: Number, const LINES: usize> Sums<2> for ByLine<'_, N, LINES> {
    #[inline(always)]
    fn first(self, vectors: usize) -> Self {
        Self { lines: &self.lines[..vectors], ..self }
    }

    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, vector: usize) -> S::I16 {
        let lines = &self.lines[vector];
        let mut sums = [simd.load_half(&self.cells[0].0); 2];
        let mut group = 0;
        while group < 2 {
            let mut sum = simd.load_half(&self.cells[lines[group][0].into() % LINES].0);
            let mut slot = 1;
            while slot < SLOTS {
                let line = lines[group][slot].into() % LINES;
                sum = simd.add_half(sum, simd.load_half(&self.cells[line].0));
                slot += 1;
            }
            sums[group] = sum;
            group += 1;
        }
        simd.join(sums)
    }
}

/// The cells of a block of columns, added up line by line, of any number of lines and slots.
#[derive(Clone, Copy)]
pub(super) struct ByAnyLine<'a> {
    pub(super) cells: &'a [Steps<LANES>],
    pub(super) lines: &'a [u16],
    pub(super) slots: usize,
}

impl Sums<2> for ByAnyLine<'_> {
    #[inline(always)]
    fn first(self, _vectors: usize) -> Self {
        self
    }

    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, vector: usize) -> S::I16 {
        let lines = &self.lines[2 * vector * self.slots..][..2 * self.slots];
        let (first, second) = lines.split_at(self.slots);
        simd.join([self.of_group(simd, first), self.of_group(simd, second)])
    }
}

impl ByAnyLine<'_> {
    #[inline(always)]
    fn of_group<S: Simd>(&self, simd: S, lines: &[u16]) -> S::Half {
        let mut sum = simd.load_half(&self.cells[usize::from(lines[0])].0);
        for &line in &lines[1..] {
            sum = simd.add_half(sum, simd.load_half(&self.cells[usize::from(line)].0));
        }
        sum
    }
}

/// The sums of sets of lines, added up.
#[derive(Clone, Copy)]
pub(super) struct BySet<'a, const COLUMNS: usize, const GROUPS: usize> {
    pub(super) sets: &'a Sets<COLUMNS>,
    /// (vector, group of the vector): a bit a line.
    pub(super) masks: &'a [[u32; GROUPS]],
}

impl<const COLUMNS: usize, const GROUPS: usize> BySet<'_, COLUMNS, GROUPS> {
    #[inline(always)]
    fn set(&self, group: u32, number: usize) -> &[i16; COLUMNS] {
        &self.sets[number][(group >> (number * SET)) as usize % (1 << SET)].0
    }
}

impl Sums<2> for BySet<'_, LANES, 2> {
    #[inline(always)]
    fn first(self, vectors: usize) -> Self {
        Self { masks: &self.masks[..vectors], ..self }
    }

    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, vector: usize) -> S::I16 {
        let groups = &self.masks[vector];
        let mut sums = [simd.load_half(self.set(0, 0)); 2];
        let mut group = 0;
        while group < 2 {
            let mut sum = simd.load_half(self.set(groups[group], 0));
            let mut number = 1;
            while number < SETS {
                sum = simd.add_half(sum, simd.load_half(self.set(groups[group], number)));
                number += 1;
            }
            sums[group] = sum;
            group += 1;
        }
        simd.join(sums)
    }
}

impl Sums<4> for BySet<'_, { LANES / 2 }, 4> {
    #[inline(always)]
    fn first(self, vectors: usize) -> Self {
        Self { masks: &self.masks[..vectors], ..self }
    }

    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, vector: usize) -> S::I16 {
        let groups = &self.masks[vector];
        let mut sums = [simd.load_quarter(self.set(0, 0)); 4];
        let mut group = 0;
        while group < 4 {
            let mut sum = simd.load_quarter(self.set(groups[group], 0));
            let mut number = 1;
            while number < SETS {
                sum = simd.add_quarter(sum, simd.load_quarter(self.set(groups[group], number)));
                number += 1;
            }
            sums[group] = sum;
            group += 1;
        }
        simd.join_quarters(sums)
    }
}
