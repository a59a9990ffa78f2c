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
use crate::fast::groups::pack;
use crate::fast::lines::Replica;
use crate::fast::lines::patches::{POSITIONS, Patches};
use crate::mapped::Plan;

/// Groups that are written at once.
const STEP: usize = 8;

/// A row of output positions of a tile, or a part of it.
pub(crate) struct Row<'a> {
    pub(crate) patches: &'a Patches,
    /// What the bit-planes of a scan count.
    pub(crate) factors: &'a [i32],
    /// Its output positions; for [`ListUnshared`] they may be those of several rows.
    pub(crate) row: Range<usize>,
    /// Positions of a row or a part.
    pub(crate) width: usize,
    /// The tile has only these of them.
    pub(crate) replica: Replica,
}

/// Lists the groups of a row where the next active lines share a group, whatever they are. There must
/// be room for them.
///
/// ```text
/// for plane, position:
///     lines = positions of the ones of patches[plane][..][position]     # one after the other
///     group k has lines k·slots to (k + 1)·slots − 1
///     digital[position][0] += |lines| · factor of the plane
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
        if self.schedule.is_masked {
            // The default macro, and any other.
            return match self.schedule.slots {
                7 => self.run_masked::<S, 7>(simd),
                _ => self.run_masked::<S, 0>(simd),
            };
        }
        // The default macro, with few lines or more; any other.
        match (self.schedule.slots, self.of.patches.words) {
            (7, 1) => self.run_with::<S, 7, 1>(simd),
            (7, 2) => self.run_with::<S, 7, 2>(simd),
            _ => self.run_with::<S, 0, 0>(simd),
        }
    }
}

impl ListUnshared<'_> {
    /// Lists them, `SLOTS` and `WORDS` being those of the schedule and the patches, or 0.
    #[inline(always)]
    fn run_with<S: Simd, const SLOTS: usize, const WORDS: usize>(self, simd: S) {
        let Self { of: Row { patches, factors, row, width, replica }, schedule, digital } = self;
        let Schedule { slots, null, len, addresses, weights, lines, rows_on, .. } = schedule;
        let slots = if SLOTS == 0 { *slots } else { SLOTS };
        let words = if WORDS == 0 { patches.words } else { WORDS };
        let (of_word, of_row) = (patches.chunks * POSITIONS, width.next_multiple_of(POSITIONS));
        // As in `CountUnshared`.
        let inverse = (1u64 << 32) / slots as u64 + 1;
        let digital = &mut digital[row.clone()];
        let (mut at, mut on) = (*len, 0);
        for (plane, &factor) in factors.iter().enumerate() {
            let of_plane =
                &patches.lanes.as_flattened()[plane * words * of_word..][..words * of_word];
            let mut names = [0; STEP];
            for (group, name) in names.iter_mut().enumerate() {
                *name = pack(0, (plane << 24 | group) as u32);
            }
            let names = simd.load_words(&names);
            let before = at;
            for (number, digital) in digital.chunks_exact_mut(width).enumerate() {
                let (of_lanes, start) = (&of_plane[number * of_row..], row.start + number * width);
                for (x, (&first_word, digital)) in of_lanes.iter().zip(digital).enumerate() {
                    let position = start + x;
                    if replica.count > 1 && position % replica.count != replica.index {
                        continue;
                    }
                    // The number of lines is known before the place of the first one is.
                    let first = at * slots;
                    let scan = &mut lines[first..first + words * 64 + slots.max(PADDING)];
                    let mut count = 0;
                    for word in 0..words {
                        let lines_on =
                            if word == 0 { first_word } else { of_lanes[word * of_word + x] };
                        if lines_on != 0 {
                            let into = scan[count..].first_chunk_mut().expect("room for 64 lines");
                            count += simd.positions(lines_on, (word * 64) as u16, into);
                        }
                    }
                    if count == 0 {
                        continue;
                    }
                    *scan[count..].first_chunk_mut().expect("room for a step") = [*null; PADDING];
                    if slots > PADDING {
                        scan[count..count + slots].fill(*null);
                    }
                    // Eight groups at once, whether there are as many or not: mostly no branch.
                    let more = (((count + slots - 1) as u64 * inverse) >> 32) as usize;
                    let of_groups = addresses[at..].first_chunk_mut().expect("room for a step");
                    *of_groups = simd.words(simd.or(simd.splat_bits(position as u64), names));
                    for group in STEP..more {
                        addresses[at + group] = pack(position as u32, (plane << 24 | group) as u32);
                    }
                    at += more;
                    on += count as u64;
                    digital[0] += count as i32 * factor;
                }
            }
            weights[before..at].fill(factor);
        }
        *len = at;
        *rows_on += on;
    }

    /// Lists them as masks, `SLOTS` being those of the schedule or 0: mostly no branch on what is on.
    #[inline(always)]
    fn run_masked<S: Simd, const SLOTS: u32>(self, simd: S) {
        let Self { of: Row { patches, factors, row, width, replica }, schedule, digital } = self;
        let Schedule { slots, len, addresses, weights, masks, rows_on, .. } = schedule;
        let (addresses, masks) = (&mut addresses[..], &mut masks[..]);
        let slots = if SLOTS == 0 { *slots as u32 } else { SLOTS };
        let (of_plane, of_row) = (patches.chunks * POSITIONS, width.next_multiple_of(POSITIONS));
        // As in `CountUnshared`.
        let inverse = (1u64 << 32) / u64::from(slots) + 1;
        let digital = &mut digital[row.clone()];
        let (mut at, mut on) = (*len, 0);
        let of_planes = patches.lanes.as_flattened().chunks_exact(of_plane).zip(factors);
        for (plane, (of_plane, &factor)) in of_planes.enumerate() {
            let before = at;
            for (number, digital) in digital.chunks_exact_mut(width).enumerate() {
                let of_row = of_plane[number * of_row..].as_chunks::<POSITIONS>().0;
                let start = row.start + number * width;
                let chunks = of_row.iter().zip(digital.chunks_mut(POSITIONS)).enumerate();
                for (chunk, (of_lanes, digital)) in chunks {
                    // Much of an image is dark.
                    if of_lanes.iter().fold(0, |any, lines| any | lines) == 0 {
                        continue;
                    }
                    for (x, (&lines, digital)) in of_lanes.iter().zip(digital).enumerate() {
                        let position = start + chunk * POSITIONS + x;
                        let is_other =
                            replica.count > 1 && position % replica.count != replica.index;
                        let lines = if is_other { 0 } else { lines };
                        let count = lines.count_ones();
                        let more = ((u64::from(count + slots - 1) * inverse) >> 32) as usize;
                        let address = |group| pack(position as u32, (plane << 24 | group) as u32);
                        // Four groups, whether there are as many or not.
                        let of_groups: (&mut [u64; 4], &mut [u32; 4]) = (
                            addresses[at..].first_chunk_mut().expect("room for four"),
                            masks[at..].first_chunk_mut().expect("room for four"),
                        );
                        let (mut left, mut group) = (lines, 0);
                        while group < 4 {
                            let lines = simd.pick(left, 0, slots);
                            left ^= lines;
                            (of_groups.0[group], of_groups.1[group]) =
                                (address(group), lines as u32);
                            group += 1;
                        }
                        // Groups of seven lines are no more.
                        while SLOTS == 0 && group < more {
                            let lines = simd.pick(left, 0, slots);
                            left ^= lines;
                            (addresses[at + group], masks[at + group]) =
                                (address(group), lines as u32);
                            group += 1;
                        }
                        at += more;
                        on += u64::from(count);
                        digital[0] += count as i32 * factor;
                    }
                }
            }
            weights[before..at].fill(factor);
        }
        *len = at;
        *rows_on += on;
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
        let Self { of: Row { patches, factors, row, replica, .. }, slots } = self;
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
            for plane in 0..factors.len() {
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

/// Lists the groups of a row as the input control of a plan forms them.
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
        let Self { of: Row { patches, factors, row, replica, .. }, schedule, digital, .. } = self;
        let AnyBuffers { active, groups } = self.buffers;
        let scan = &self.plan.tiles[self.tile.index()].lines.scan;
        let start = row.start;
        for position in row.filter(|position| position % replica.count == replica.index) {
            for (plane, &factor) in factors.iter().enumerate() {
                patches.active(plane, position - start, active);
                self.plan.group(self.tile, active, groups);
                schedule.reserve(groups.len(), 0);
                for (group, range) in groups.iter().enumerate() {
                    let lines = &active[range];
                    let is_negative = scan[lines[0] as usize].negative;
                    let weight = if is_negative { -factor } else { factor };
                    digital[position][usize::from(is_negative)] += lines.len() as i32 * factor;
                    let group = Group {
                        position: position as u32,
                        plane_group: (plane << 24 | group) as u32,
                        weight,
                    };
                    schedule.push(group, lines);
                }
            }
        }
    }
}
