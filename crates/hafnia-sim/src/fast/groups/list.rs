//! [`Schedule`]: the conversion cycles of a tile at some output positions, listed before any of them is
//! converted.
//!
//! ```text
//! addresses, weights: [group]
//! lines, or bytes: [group][slot]      or, of tiles of few lines,  masks: [group], a bit a line
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

/// How the lines of a group are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// As numbers of 16 bits, one a slot.
    #[default]
    Lines,
    /// As bytes, one a slot; of tiles of less than 256 lines.
    Bytes,
    /// As a mask; of tiles of at most [`FEW`] lines.
    Masks,
}

/// A number of a line, as it is listed.
pub(crate) trait Number: Copy + Into<usize> {
    /// That of a line, which is small enough.
    fn of(line: u16) -> Self;

    /// The list that holds such numbers.
    fn list<'a>(lines: &'a mut [u16], bytes: &'a mut [u8]) -> &'a mut [Self];

    /// [`positions`](hafnia_simd::Words::positions) in these numbers.
    fn positions<S: Simd>(simd: S, word: u64, first: u16, into: &mut [Self; 64]) -> usize;
}

impl Number for u16 {
    #[inline(always)]
    fn of(line: u16) -> Self {
        line
    }

    #[inline(always)]
    fn list<'a>(lines: &'a mut [u16], _bytes: &'a mut [u8]) -> &'a mut [Self] {
        lines
    }

    #[inline(always)]
    fn positions<S: Simd>(simd: S, word: u64, first: u16, into: &mut [Self; 64]) -> usize {
        simd.positions(word, first, into)
    }
}

impl Number for u8 {
    #[inline(always)]
    fn of(line: u16) -> Self {
        line as u8
    }

    #[inline(always)]
    fn list<'a>(_lines: &'a mut [u16], bytes: &'a mut [u8]) -> &'a mut [Self] {
        bytes
    }

    #[inline(always)]
    fn positions<S: Simd>(simd: S, word: u64, first: u16, into: &mut [Self; 64]) -> usize {
        simd.positions_u8(word, first as u8, into)
    }
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
    /// Which of the next three lists holds the lines.
    pub(crate) form: Form,
    /// (group, slot): a line.
    pub(crate) lines: Vec<u16>,
    pub(crate) bytes: Vec<u8>,
    /// (group): a bit a line.
    pub(crate) masks: Vec<u32>,
    /// Rows that were on, all groups added up.
    pub(crate) rows_on: u64,
    /// Used anew for every list of masks.
    pub(crate) rest: Vec<Rest>,
}

/// The lines of eight positions that are in no group yet, in one cache line.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(crate) struct Rest {
    pub(crate) lines: [u32; 8],
    /// The first position and its next group, [packed](pack).
    pub(crate) next: u64,
}

impl Schedule {
    /// Forgets all groups; the next ones are of a tile with so many lines.
    pub(crate) fn begin(&mut self, slots: usize, lines: usize, form: Form) {
        (self.slots, self.null, self.form) = (slots, lines as u16, form);
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
        match self.form {
            Form::Lines => self.lines.resize(self.lines.len().max(lines), 0),
            Form::Bytes => self.bytes.resize(self.bytes.len().max(lines), 0),
            Form::Masks => (),
        }
    }

    /// Appends a group of these lines; there must be room for it.
    pub(crate) fn push(&mut self, group: Group, lines: &[u32]) {
        let slots = self.len * self.slots..(self.len + 1) * self.slots;
        match self.form {
            Form::Lines => list(&mut self.lines[slots], lines, self.null),
            Form::Bytes => list(&mut self.bytes[slots], lines, self.null),
            Form::Masks => {
                self.masks[self.len] = lines.iter().fold(0, |mask, line| mask | 1 << line);
            }
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
        let behind = len * slots..(len + 3) * slots;
        match self.form {
            Form::Lines => self.lines[behind].fill(self.null),
            Form::Bytes => self.bytes[behind].fill(self.null as u8),
            Form::Masks => (),
        }
    }

    /// The lines that are on in a group, listed as [`Form::Lines`].
    pub(crate) fn lines_on(&self, group: usize) -> &[u16] {
        let slots = &self.lines[group * self.slots..][..self.slots];
        &slots[..slots.partition_point(|&line| line != self.null)]
    }

    /// A bit for every line that is on in a group.
    pub(crate) fn lines_of(&self, group: usize, lines: &mut [u64]) {
        lines.fill(0);
        let mut set = |line: u16| lines[usize::from(line) / 64] |= 1 << (line % 64);
        match self.form {
            Form::Lines => self.lines_on(group).iter().for_each(|&line| set(line)),
            Form::Bytes => {
                let slots = self.bytes[group * self.slots..][..self.slots].iter();
                let on = slots.map(|&line| line.into()).take_while(|&line| line != self.null);
                on.for_each(set);
            }
            Form::Masks => lines[0] = self.masks[group].into(),
        }
    }
}

/// Lists the lines of a group in its slots.
fn list<N: Number>(slots: &mut [N], lines: &[u32], null: u16) {
    for (slot, &line) in slots.iter_mut().zip(lines) {
        *slot = N::of(line as u16);
    }
    slots[lines.len()..].fill(N::of(null));
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
