//! [`Schedule`]: the conversion cycles of a tile at some output positions, listed before any of them is
//! converted.
//!
//! The walk over data is here, the arithmetic in the kernels, which then see nothing but a list. Every
//! group has as many slots as a conversion may have rows; slots that are not needed name a line that
//! is never on, so that no kernel branches on the length of a group. A list is converted when it is
//! long enough and then written anew: it does not grow with the images or the positions.

use std::ops::Range;

use hafnia_simd::{Kernel, Simd};

use crate::windows::{POSITIONS, Patches};

/// Groups that are written at once.
const STEP: usize = 8;
/// Slots that are written at once.
pub(crate) const PADDING: usize = 16;
/// Groups that are read at once.
pub(crate) const BATCH: usize = 16;
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

/// Lists the groups of a row of output positions where the next active lines share a group, whatever
/// they are. There must be room for them.
pub(crate) struct Scan<'a> {
    pub(crate) patches: &'a Patches,
    pub(crate) planes: usize,
    /// The line that is never on.
    pub(crate) null: u16,
    /// The output positions of the row.
    pub(crate) row: Range<usize>,
    /// The tile has those that are this modulo the number of replicas.
    pub(crate) replica: (usize, usize),
    pub(crate) schedule: &'a mut Schedule,
    /// Per output position: the rows that were on, weighted, are added.
    pub(crate) digital: &'a mut [i32],
}

impl Kernel for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { patches, planes, null, row, replica, schedule, digital } = self;
        let Schedule { slots, len, lines, positions, plane_groups, rows, weights, rows_on } =
            schedule;
        let (slots, lines, weights) = (*slots, &mut lines[..], &mut weights[..]);
        let (positions, plane_groups, rows) =
            (&mut positions[..], &mut plane_groups[..], &mut rows[..]);
        // As in `CountGroups`.
        let inverse = (1u64 << 32) / slots as u64 + 1;
        let (mut at, mut on) = (*len, 0);
        let (start, of) = (row.start, replica.1);
        for position in row {
            if of > 1 && position % of != replica.0 {
                continue;
            }
            // Where nothing is on, mostly nothing is on beside it either: a branch that is foreseen.
            let mut any = 0;
            for plane_word in 0..planes * patches.words {
                any |= patches.word(0, plane_word, position - start);
            }
            if any == 0 {
                continue;
            }
            let mut weighted = 0;
            for plane in 0..planes {
                let first = at * slots;
                let mut end = first;
                for word in 0..patches.words {
                    let into = lines[end..].first_chunk_mut().expect("room for 64 lines");
                    let word_of_lines = patches.word(plane, word, position - start);
                    end += simd.positions(word_of_lines, (word * 64) as u16, into);
                }
                let count = end - first;
                *lines[end..].first_chunk_mut().expect("room for a step") = [null; PADDING];
                if slots > PADDING {
                    lines[end..end + slots].fill(null);
                }
                let more = (((count + slots - 1) as u64 * inverse) >> 32) as usize;
                // Eight groups at once, whether there are as many or none: mostly no branch.
                *positions[at..].first_chunk_mut().expect("room") = [position as u32; STEP];
                *weights[at..].first_chunk_mut().expect("room") = [1 << plane; STEP];
                let names: &mut [u32; STEP] = plane_groups[at..].first_chunk_mut().expect("room");
                let left: &mut [u32; STEP] = rows[at..].first_chunk_mut().expect("room");
                let (most, count) = (slots as i32, count as i32);
                let mut step = 0;
                while step < STEP {
                    names[step] = (plane << 24 | step) as u32;
                    let behind = count - step as i32 * most;
                    let behind = if behind < 0 { 0 } else { behind };
                    left[step] = if behind < most { behind as u32 } else { most as u32 };
                    step += 1;
                }
                if more > STEP {
                    let group = Group {
                        position: position as u32,
                        plane_group: (plane << 24) as u32,
                        rows: count as u32,
                        weight: 1 << plane,
                    };
                    let to = at..at + more;
                    let (positions, plane_groups) =
                        (&mut positions[to.clone()], &mut plane_groups[to.clone()]);
                    let (rows, weights) = (&mut rows[to.clone()], &mut weights[to]);
                    write_rest(group, slots as u32, positions, plane_groups, rows, weights);
                }
                at += more;
                on += count as u64;
                weighted += count << plane;
            }
            digital[position] += weighted;
        }
        *len = at;
        *rows_on += on;
    }
}

/// The groups of a long scan behind the first eight, one by one; `all` has its rows and its first name.
#[cold]
#[inline(never)]
fn write_rest(
    all: Group,
    slots: u32,
    positions: &mut [u32],
    plane_groups: &mut [u32],
    rows: &mut [u32],
    weights: &mut [i32],
) {
    for group in STEP..positions.len() {
        positions[group] = all.position;
        plane_groups[group] = all.plane_group + group as u32;
        rows[group] = slots.min(all.rows - group as u32 * slots);
        weights[group] = all.weight;
    }
}

/// Counts what [`Scan`] would list: groups, and rows on.
pub(crate) struct CountGroups<'a> {
    pub(crate) patches: &'a Patches,
    pub(crate) planes: usize,
    /// The output positions of the row.
    pub(crate) row: Range<usize>,
    /// As in [`Scan`].
    pub(crate) replica: (usize, usize),
    /// Rows a conversion may have.
    pub(crate) slots: usize,
}

impl Kernel for CountGroups<'_> {
    type Output = (u64, u64);

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> (u64, u64) {
        let Self { patches, planes, row, replica, slots } = self;
        // x / slots = x · (2³²/slots + 1) / 2³² as long as x · slots is below 2³²: a scan has less
        // than 2¹⁶ lines.
        let inverse = (1u64 << 32) / slots as u64 + 1;
        let (mut groups, mut rows_on) = ([0u64; POSITIONS], [0u64; POSITIONS]);
        for chunk in 0..patches.chunks {
            let mut is_here = [0u64; POSITIONS];
            let first = row.start + chunk * POSITIONS;
            if replica.1 == 1 {
                let here = (row.end - first) as u64;
                let mut lane = 0;
                while lane < POSITIONS {
                    is_here[lane] = u64::from((lane as u64) < here);
                    lane += 1;
                }
            } else {
                for position in (first..row.end).take(POSITIONS) {
                    is_here[position - first] = u64::from(position % replica.1 == replica.0);
                }
            }
            for plane in 0..planes {
                let mut on = [0u64; POSITIONS];
                for word in 0..patches.words {
                    let at = (plane * patches.words + word) * patches.chunks + chunk;
                    let lines = &patches.lanes[at];
                    let mut lane = 0;
                    while lane < POSITIONS {
                        on[lane] += u64::from(lines[lane].count_ones());
                        lane += 1;
                    }
                }
                let mut lane = 0;
                while lane < POSITIONS {
                    let on = on[lane] * is_here[lane];
                    rows_on[lane] += on;
                    groups[lane] += ((on + slots as u64 - 1) * inverse) >> 32;
                    lane += 1;
                }
            }
        }
        (groups.iter().sum(), rows_on.iter().sum())
    }
}
