//! Groups of a row of output positions, from the words of lines that are on there.
//!
//! Implements the rule of grouping, held to [`InputControl::groups`](
//! hafnia_cim::InputControl::groups), which [`ListAny`] calls, by `tests/kernels.rs`
//! (`kernels_give_what_engines_give_on_plain_tiles`).

use std::ops::Range;

use hafnia_cim::Groups;
use hafnia_ir::TileId;
use hafnia_simd::{Kernel, Simd};

use crate::fast::groups::list::{Group, PADDING, Schedule};
use crate::fast::lines::Replica;
use crate::fast::lines::patches::{POSITIONS, Patches};
use crate::mapped::Plan;

/// Groups that are written at once.
const STEP: usize = 8;

/// A row of output positions of a tile.
pub(crate) struct Row<'a> {
    pub(crate) patches: &'a Patches,
    /// Bit-planes of a scan.
    pub(crate) planes: usize,
    /// The line that is never on.
    pub(crate) null: u16,
    /// Its output positions.
    pub(crate) row: Range<usize>,
    /// The tile has only these of them.
    pub(crate) replica: Replica,
}

/// Lists the groups of a row where the next active lines share a group, whatever they are. There must
/// be room for them.
///
/// ```text
/// for position, plane:
///     lines = positions of the ones of patches[plane][..][position]     # one after the other
///     group k has lines k·slots to (k + 1)·slots − 1
///     digital[position][0] += |lines| · 2^plane
/// ```
pub(crate) struct ListUnshared<'a> {
    pub(crate) of: Row<'a>,
    pub(crate) schedule: &'a mut Schedule,
    /// Per output position: the positive and the negative rows that were on, weighted, are added.
    pub(crate) digital: &'a mut [[i32; 2]],
}

impl Kernel for ListUnshared<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { of: Row { patches, planes, null, row, replica }, schedule, digital } = self;
        let Schedule { slots, len, lines, positions, plane_groups, rows, weights, rows_on } =
            schedule;
        let (slots, lines, weights) = (*slots, &mut lines[..], &mut weights[..]);
        let (positions, plane_groups, rows) =
            (&mut positions[..], &mut plane_groups[..], &mut rows[..]);
        // As in `CountUnshared`.
        let inverse = (1u64 << 32) / slots as u64 + 1;
        let (mut at, mut on) = (*len, 0);
        let start = row.start;
        for position in row {
            if replica.count > 1 && position % replica.count != replica.index {
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
            digital[position][0] += weighted;
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

/// Counts what [`ListUnshared`] would list: groups, and rows on.
pub(crate) struct CountUnshared<'a> {
    pub(crate) of: Row<'a>,
    /// Rows a conversion may have.
    pub(crate) slots: usize,
}

impl Kernel for CountUnshared<'_> {
    type Output = (u64, u64);

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> (u64, u64) {
        let Self { of: Row { patches, planes, row, replica, .. }, slots } = self;
        // x / slots = x · (2³²/slots + 1) / 2³² as long as x · slots is below 2³²: a scan has less
        // than 2¹⁶ lines.
        let inverse = (1u64 << 32) / slots as u64 + 1;
        let (mut groups, mut rows_on) = ([0u64; POSITIONS], [0u64; POSITIONS]);
        for chunk in 0..patches.chunks {
            let mut is_here = [0u64; POSITIONS];
            let first = row.start + chunk * POSITIONS;
            if replica.count == 1 {
                let here = (row.end - first) as u64;
                let mut lane = 0;
                while lane < POSITIONS {
                    is_here[lane] = u64::from((lane as u64) < here);
                    lane += 1;
                }
            } else {
                for position in (first..row.end).take(POSITIONS) {
                    is_here[position - first] =
                        u64::from(position % replica.count == replica.index);
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

/// Lists the groups of a row as the input control of a plan forms them. There must be room for them.
pub(crate) struct ListAny<'a> {
    pub(crate) of: Row<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) tile: TileId,
    pub(crate) schedule: &'a mut Schedule,
    /// As in [`ListUnshared`].
    pub(crate) digital: &'a mut [[i32; 2]],
    pub(crate) buffers: &'a mut AnyBuffers,
}

/// Used anew by every scan: the active lines and their groups.
#[derive(Debug, Default)]
pub(crate) struct AnyBuffers {
    active: Vec<u32>,
    groups: Groups,
}

impl ListAny<'_> {
    pub(crate) fn run(self) {
        let Self { of: Row { patches, planes, null, row, replica }, schedule, digital, .. } = self;
        let AnyBuffers { active, groups } = self.buffers;
        let scan = &self.plan.tiles[self.tile.index()].lines.scan;
        let start = row.start;
        for position in row.filter(|position| position % replica.count == replica.index) {
            for plane in 0..planes {
                patches.active(plane, position - start, active);
                self.plan.group(self.tile, active, groups);
                for (group, range) in groups.iter().enumerate() {
                    let lines = &active[range];
                    let is_negative = scan[lines[0] as usize].negative;
                    let weight = if is_negative { -(1 << plane) } else { 1 << plane };
                    digital[position][usize::from(is_negative)] += (lines.len() as i32) << plane;
                    let group = Group {
                        position: position as u32,
                        plane_group: (plane << 24 | group) as u32,
                        rows: lines.len() as u32,
                        weight,
                    };
                    schedule.push(group, lines, null);
                }
            }
        }
    }
}
