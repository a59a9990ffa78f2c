//! [`Schedule`]: the conversion cycles of a tile at some output positions, listed before any of them is
//! converted.
//!
//! ```text
//! positions, plane_groups, rows, weights: [group]
//! lines: [group][slot]
//! ```
//!
//! The walk over data is here, the arithmetic in the kernels, which then see nothing but a list. Every
//! group has as many slots as a conversion may have rows; slots that are not needed name a line that
//! is never on, so that no kernel branches on the length of a group. A list is converted when it is
//! long enough and then written anew: it does not grow with the images or the positions.

use hafnia_simd::Simd;

use crate::fast::groups::{Addresses, BATCH, Cycles};

/// Slots that are written at once.
pub(crate) const PADDING: usize = 16;
/// Groups after which a list is long enough.
pub(crate) const ENOUGH: usize = 256;

/// A conversion cycle.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Group {
    /// Output position.
    pub(crate) position: u32,
    /// plane · 2²⁴ + group of the scan.
    pub(crate) plane_group: u32,
    /// Rows on.
    pub(crate) rows: u32,
    /// ±2^plane.
    pub(crate) weight: i32,
}

/// Conversion cycles of a tile.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schedule {
    /// Rows a conversion may have.
    pub(crate) slots: usize,
    /// Number of groups; what the lists hold behind it is anything.
    pub(crate) len: usize,
    /// What [`Group`] says of every group, part by part.
    pub(crate) positions: Vec<u32>,
    pub(crate) plane_groups: Vec<u32>,
    pub(crate) rows: Vec<u32>,
    pub(crate) weights: Vec<i32>,
    /// (group, slot): a line.
    pub(crate) lines: Vec<u16>,
    /// Rows that were on, all groups added up.
    pub(crate) rows_on: u64,
}

impl Schedule {
    /// Forgets all groups.
    pub(crate) fn clear(&mut self, slots: usize) {
        (self.slots, self.len, self.rows_on) = (slots, 0, 0);
    }

    /// Makes room for so many more groups, and for `lines` more lines of one scan.
    pub(crate) fn reserve(&mut self, groups: usize, lines: usize) {
        let groups = self.len + groups + BATCH;
        if self.positions.len() < groups {
            self.positions.resize(groups, 0);
            self.plane_groups.resize(groups, 0);
            self.rows.resize(groups, 0);
            self.weights.resize(groups, 0);
        }
        let lines = groups * self.slots + lines + 64 + self.slots.next_multiple_of(PADDING);
        if self.lines.len() < lines {
            self.lines.resize(lines, 0);
        }
    }

    /// Appends a group whose lines were written.
    #[inline(always)]
    pub(crate) fn close(&mut self, group: Group, null: u16) {
        let (first, end) = (self.len * self.slots, (self.len + 1) * self.slots);
        self.lines[first + group.rows as usize..end].fill(null);
        (self.positions[self.len], self.plane_groups[self.len]) =
            (group.position, group.plane_group);
        (self.rows[self.len], self.weights[self.len]) = (group.rows, group.weight);
        self.len += 1;
        self.rows_on += u64::from(group.rows);
    }

    /// Appends a group of these lines; there must be room for it.
    pub(crate) fn push(&mut self, group: Group, lines: &[u32], null: u16) {
        for (slot, &line) in self.lines[self.len * self.slots..].iter_mut().zip(lines) {
            *slot = line as u16;
        }
        self.close(group, null);
    }
}

impl Schedule {
    /// The lines of a group, slot by slot.
    pub(crate) fn slots_of(&self, group: usize) -> &[u16] {
        &self.lines[group * self.slots..][..self.slots]
    }

    /// A bit for every line that is on in a group.
    pub(crate) fn lines_of(&self, group: usize, lines: &mut [u64]) {
        lines.fill(0);
        for &line in &self.slots_of(group)[..self.rows[group] as usize] {
            lines[usize::from(line) / 64] |= 1 << (line % 64);
        }
    }
}

impl Cycles for Schedule {
    fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    fn address(&self, cycle: usize) -> (u32, u32) {
        (self.positions[cycle], self.plane_groups[cycle])
    }

    #[inline(always)]
    fn addresses(&self, first: usize) -> Addresses {
        Addresses {
            positions: *self.positions[first..].first_chunk().expect("a batch"),
            plane_groups: *self.plane_groups[first..].first_chunk().expect("a batch"),
        }
    }

    #[inline(always)]
    fn lines<S: Simd>(&self, _simd: S, cycle: usize, lines: &mut [u64]) -> i32 {
        self.lines_of(cycle, lines);
        self.weights[cycle]
    }
}
