//! [`Change`]: a step of a search, and what every way to read samples does with one.

use std::ops::Range;

use super::definition::OrderCost;

/// A change of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The entries at two positions are swapped.
    Swap([usize; 2]),
    /// The entries at two positions, or one named twice, get these physical rows, which hold the same
    /// bits as theirs do.
    Assign([(usize, u32); 2]),
}

impl Change {
    pub(super) fn positions(self) -> [usize; 2] {
        match self {
            Self::Swap(swap) => swap,
            Self::Assign(rows) => rows.map(|(position, _)| position),
        }
    }

    /// Makes it in the physical rows by scan position; the change that takes it back.
    pub(super) fn make(self, physical: &mut [u32]) -> Self {
        match self {
            Self::Swap([p, q]) => physical.swap(p, q),
            Self::Assign(rows) => {
                let before = rows.map(|(position, _)| (position, physical[position]));
                rows.iter().for_each(|&(position, row)| physical[position] = row);
                return Self::Assign(before);
            }
        }
        self
    }
}

/// How all samples are read in an order, in which two entries can be tried the other way round.
pub(super) trait Readings {
    /// What samples cost in the order.
    fn costs(&mut self) -> Vec<OrderCost>;

    /// Makes a change in what samples have in common.
    fn make(&mut self, change: Change);

    /// Into `changed`: what these samples cost after this change, which was made by
    /// [`make`](Self::make). In `costs` is what they cost before.
    fn changed(
        &mut self,
        samples: Range<usize>,
        change: Change,
        costs: &[OrderCost],
        changed: &mut [OrderCost],
    );

    /// Makes the change, which was made by [`make`](Self::make), in every sample.
    fn accept(&mut self, change: Change);
}
