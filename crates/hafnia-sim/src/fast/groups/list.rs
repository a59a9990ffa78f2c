//! [`Schedule`]: the conversion cycles of a tile at some output positions, listed before any of them is
//! converted.
//!
//! ```text
//! addresses, weights: [group]
//! lines: [group][slot]      or, of tiles of few lines,  masks: [group], a bit a line
//! ```
//!
//! The walk over data is here, the arithmetic in the kernels, which then see nothing but a list. Every
//! group has as many slots as a conversion may have rows; slots that are not needed name a line that
//! is never on, so that no kernel branches on the length of a group. The lines of a tile that has few
//! are a mask, if its kernel takes masks, and cost no more than a number to list. A list is converted when it is
//! long enough and then written anew: it does not grow with the images or the positions.

use hafnia_simd::Simd;

use crate::fast::groups::{BATCH, Cycles, pack, unpack};

/// Slots that are written at once.
pub(crate) const PADDING: usize = 16;
/// The most lines of a tile whose groups are listed as masks: four groups of the default macro.
pub(crate) const FEW: usize = 28;
/// Groups after which a list is long enough.
pub(crate) const ENOUGH: usize = 256;

/// A conversion cycle.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Group {
    /// Output position.
    pub(crate) position: u32,
    /// plane · 2²⁴ + group of the scan.
    pub(crate) plane_group: u32,
    /// ±2^plane.
    pub(crate) weight: i32,
}

/// Conversion cycles of a tile.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schedule {
    /// Rows a conversion may have.
    pub(crate) slots: usize,
    /// The line that is never on.
    pub(crate) null: u16,
    /// Number of groups; what the lists hold behind it is anything.
    pub(crate) len: usize,
    /// Where the draws of a group are, [packed](pack).
    pub(crate) addresses: Vec<u64>,
    /// ±2^plane.
    pub(crate) weights: Vec<i32>,
    /// Whether the lines of a group are a mask.
    pub(crate) is_masked: bool,
    /// (group, slot): a line.
    pub(crate) lines: Vec<u16>,
    /// (group): a bit a line.
    pub(crate) masks: Vec<u32>,
    /// Rows that were on, all groups added up.
    pub(crate) rows_on: u64,
}

impl Schedule {
    /// Forgets all groups; the next ones are of a tile with so many lines, and masks if they are to be.
    pub(crate) fn begin(&mut self, slots: usize, lines: usize, is_masked: bool) {
        (self.slots, self.null, self.is_masked) = (slots, lines as u16, is_masked);
        self.clear();
        self.reserve(0, 0);
    }

    /// Forgets all groups.
    pub(crate) fn clear(&mut self) {
        (self.len, self.rows_on) = (0, 0);
    }

    /// Makes room for so many more groups, and for `lines` more lines of one scan.
    pub(crate) fn reserve(&mut self, groups: usize, lines: usize) {
        let groups = self.len + groups + BATCH;
        if self.addresses.len() < groups {
            self.addresses.resize(groups, 0);
            self.weights.resize(groups, 0);
            self.masks.resize(groups, 0);
        }
        let lines = groups * self.slots + lines + 64 + self.slots.next_multiple_of(PADDING);
        if self.lines.len() < lines {
            self.lines.resize(lines, 0);
        }
    }

    /// Appends a group of these lines; there must be room for it.
    pub(crate) fn push(&mut self, group: Group, lines: &[u32]) {
        if self.is_masked {
            self.masks[self.len] = lines.iter().fold(0, |mask, line| mask | 1 << line);
        } else {
            let slots = &mut self.lines[self.len * self.slots..][..self.slots];
            for (slot, &line) in slots.iter_mut().zip(lines) {
                *slot = line as u16;
            }
            slots[lines.len()..].fill(self.null);
        }
        self.addresses[self.len] = pack(group.position, group.plane_group);
        self.weights[self.len] = group.weight;
        self.len += 1;
        self.rows_on += lines.len() as u64;
    }

    /// Puts groups of no lines and no weight behind the last one, for kernels that take up to four at
    /// once; there is always room for them.
    pub(crate) fn pad(&mut self) {
        let (len, slots) = (self.len, self.slots);
        self.addresses[len..len + 3].fill(0);
        self.weights[len..len + 3].fill(0);
        self.masks[len..len + 3].fill(0);
        if !self.is_masked {
            self.lines[len * slots..(len + 3) * slots].fill(self.null);
        }
    }

    /// The lines that are on in a group.
    pub(crate) fn lines_on(&self, group: usize) -> &[u16] {
        let slots = &self.lines[group * self.slots..][..self.slots];
        &slots[..slots.partition_point(|&line| line != self.null)]
    }

    /// A bit for every line that is on in a group.
    pub(crate) fn lines_of(&self, group: usize, lines: &mut [u64]) {
        if self.is_masked {
            lines[0] = self.masks[group].into();
            return;
        }
        lines.fill(0);
        for &line in self.lines_on(group) {
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
        unpack(self.addresses[cycle])
    }

    #[inline(always)]
    fn addresses(&self, first: usize) -> [u64; BATCH] {
        *self.addresses[first..].first_chunk().expect("a batch")
    }

    #[inline(always)]
    fn lines<S: Simd>(&self, _simd: S, cycle: usize, lines: &mut [u64]) -> i32 {
        self.lines_of(cycle, lines);
        self.weights[cycle]
    }
}
