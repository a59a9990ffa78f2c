//! Which lines are on: as words of lines at a position, or as streams of positions of a line.

pub(crate) mod patches;
pub(crate) mod streams;

/// The output positions of a copy of a matrix: those that are `index` modulo `count`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replica {
    pub(crate) index: usize,
    pub(crate) count: usize,
}

impl Replica {
    /// Its positions among so many.
    pub(crate) fn positions(self, of: usize) -> impl Iterator<Item = usize> {
        (self.index..of).step_by(self.count)
    }
}
