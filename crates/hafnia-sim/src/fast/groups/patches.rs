//! Groups of a row of output positions, from the words of lines that are on there.
//!
//! Implements the rule of grouping, held to [`InputControl::groups`](
//! hafnia_cim::InputControl::groups), which [`ListAny`] calls, by `tests/kernels.rs`
//! (`kernels_give_what_engines_give_on_plain_tiles`).

use std::ops::Range;

use hafnia_cim::Groups;
use hafnia_ir::TileId;
use hafnia_simd::{Kernel, LANES, Simd, places};

use crate::fast::groups::list::{Form, Group, Number, PADDING, Rest, Schedule};
use crate::fast::groups::{BATCH, pack};
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
        // The default macro, with few lines or more; any other.
        let Self { of: Row { patches, .. }, schedule, .. } = &self;
        match (schedule.form, schedule.slots, patches.words) {
            (Form::Masks, 7, _) => self.run_masked::<S, 7>(simd),
            (Form::Masks, ..) => self.run_masked::<S, 0>(simd),
            (Form::Bytes, 7, 2) => self.run_with::<S, u8, 7, 2>(simd),
            (Form::Bytes, 7, 3) => self.run_with::<S, u8, 7, 3>(simd),
            (Form::Bytes, ..) => self.run_with::<S, u8, 0, 0>(simd),
            (Form::Lines, 7, 1) => self.run_with::<S, u16, 7, 1>(simd),
            (Form::Lines, 7, 2) => self.run_with::<S, u16, 7, 2>(simd),
            (Form::Lines, ..) => self.run_with::<S, u16, 0, 0>(simd),
        }
    }
}

impl ListUnshared<'_> {
    /// Lists them as numbers, `SLOTS` and `WORDS` being those of the schedule and the patches, or 0.
    #[inline(always)]
    fn run_with<S: Simd, N: Number, const SLOTS: usize, const WORDS: usize>(self, simd: S) {
        let Self { of: Row { patches, factors, row, width, replica }, schedule, digital } = self;
        let Schedule { slots, null, len, addresses, weights, lines, bytes, rows_on, .. } = schedule;
        let lines = N::list(lines, bytes);
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
                            count += N::positions(simd, lines_on, (word * 64) as u16, into);
                        }
                    }
                    if count == 0 {
                        continue;
                    }
                    *scan[count..].first_chunk_mut().expect("room for a step") =
                        [N::of(*null); PADDING];
                    if slots > PADDING {
                        scan[count..count + slots].fill(N::of(*null));
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
            fill(weights, before..at, factor);
        }
        *len = at;
        *rows_on += on;
    }

    /// Lists them as masks, `SLOTS` being those of the schedule or 0, eight positions at once: all first
    /// groups, then all second ones. No branch depends on how many groups a position has.
    #[inline(always)]
    fn run_masked<S: Simd, const SLOTS: usize>(self, simd: S) {
        let Self { of: Row { patches, factors, row, width, replica }, schedule, digital } = self;
        let Schedule { slots, len, addresses, weights, masks, rows_on, rest, .. } = schedule;
        let slots = if SLOTS == 0 { *slots } else { SLOTS };
        let mut list = Masks { addresses, masks, at: *len, slots };
        let (of_plane, of_row) = (patches.chunks * POSITIONS, width.next_multiple_of(POSITIONS));
        rest.resize(rest.len().max(patches.chunks + 1), Rest::default());
        let (digital, mut on) = (&mut digital[row.clone()], [0; POSITIONS]);
        let of_planes = patches.lanes.as_flattened().chunks_exact(of_plane).zip(factors);
        for (plane, (of_plane, &factor)) in of_planes.enumerate() {
            let (before, mut left) = (list.at, 0);
            for (number, digital) in digital.chunks_exact_mut(width).enumerate() {
                let of_row = of_plane[number * of_row..].as_chunks::<POSITIONS>().0;
                let chunks = of_row.iter().zip(digital.chunks_mut(POSITIONS)).enumerate();
                for (chunk, (of_lanes, digital)) in chunks {
                    // Much of an image is dark.
                    if of_lanes.iter().fold(0, |any, lines| any | lines) == 0 {
                        continue;
                    }
                    let position = row.start + number * width + chunk * POSITIONS;
                    let lines = here(of_lanes, position, digital.len(), replica);
                    let mut counts = [0; POSITIONS];
                    let mut lane = 0;
                    while lane < POSITIONS {
                        counts[lane] = lines[lane].count_ones();
                        on[lane] += counts[lane];
                        lane += 1;
                    }
                    add_weighted(simd, digital, counts, factor);
                    // Most have two groups.
                    let next = pack(position as u32, (plane << 24) as u32);
                    let of_chunk = list.push(simd, Rest { lines, next });
                    let of_chunk = list.push(simd, of_chunk);
                    rest[left] = of_chunk;
                    left += usize::from(simd.nonzero(&of_chunk.lines) != 0);
                }
            }
            while left > 0 {
                let mut still = 0;
                for index in 0..left {
                    let of_chunk = list.push(simd, rest[index]);
                    rest[still] = of_chunk;
                    still += usize::from(simd.nonzero(&of_chunk.lines) != 0);
                }
                left = still;
            }
            fill(weights, before..list.at, factor);
        }
        *len = list.at;
        *rows_on += u64::from(on.iter().sum::<u32>());
    }
}

/// A list of masks in the making.
struct Masks<'a> {
    addresses: &'a mut [u64],
    masks: &'a mut [u32],
    at: usize,
    slots: usize,
}

impl Masks<'_> {
    /// Appends the next groups of eight positions, of those that have one, and returns what is left.
    #[inline(always)]
    fn push<S: Simd>(&mut self, simd: S, Rest { mut lines, next }: Rest) -> Rest {
        let kept = simd.nonzero(&lines);
        let group = take(&mut lines, self.slots);
        let of_groups: (&mut [u64; POSITIONS], &mut [u32; POSITIONS]) = (
            self.addresses[self.at..].first_chunk_mut().expect("room for eight"),
            self.masks[self.at..].first_chunk_mut().expect("room for eight"),
        );
        let places = places(kept);
        let mut lane = 0;
        while lane < POSITIONS {
            of_groups.0[lane] = next + u64::from(places[lane]);
            lane += 1;
        }
        *of_groups.1 = simd.keep(&group, kept);
        self.at += kept.count_ones() as usize;
        Rest { lines, next: next + pack(0, 1) }
    }
}

/// The lines of eight positions, of which the first `count` are there if they are of the replica.
#[inline(always)]
fn here(
    lines: &[u64; POSITIONS],
    position: usize,
    count: usize,
    replica: Replica,
) -> [u32; POSITIONS] {
    let mut here = [0; POSITIONS];
    let mut lane = 0;
    while lane < POSITIONS {
        here[lane] = lines[lane] as u32;
        lane += 1;
    }
    if count < POSITIONS || replica.count > 1 {
        for (lane, lines) in here.iter_mut().enumerate() {
            if lane >= count || (position + lane) % replica.count != replica.index {
                *lines = 0;
            }
        }
    }
    here
}

/// Adds factor · counts to what positive lines count at up to eight positions.
#[inline(always)]
fn add_weighted<S: Simd>(simd: S, digital: &mut [[i32; 2]], counts: [u32; POSITIONS], factor: i32) {
    match digital.as_flattened_mut().first_chunk_mut::<LANES>() {
        Some(digital) => {
            let mut weighted = [[0; 2]; POSITIONS];
            let mut lane = 0;
            while lane < POSITIONS {
                weighted[lane][0] = counts[lane] as i32 * factor;
                lane += 1;
            }
            let weighted = weighted.as_flattened().first_chunk().expect("two a position");
            simd.store_i32(simd.add_i32(simd.load_i32(digital), simd.load_i32(weighted)), digital);
        }
        None => {
            for (digital, count) in digital.iter_mut().zip(counts) {
                digital[0] += count as i32 * factor;
            }
        }
    }
}

/// Fills a range, and some of what is behind it.
#[inline(always)]
fn fill(weights: &mut [i32], range: Range<usize>, weight: i32) {
    for at in range.step_by(BATCH) {
        *weights[at..].first_chunk_mut().expect("room for a batch") = [weight; BATCH];
    }
}

/// Takes the next lines away, lane by lane, at most `slots` of each.
#[inline(always)]
fn take(lines: &mut [u32; POSITIONS], slots: usize) -> [u32; POSITIONS] {
    let mut rest = *lines;
    for _ in 0..slots {
        let mut lane = 0;
        while lane < POSITIONS {
            rest[lane] &= rest[lane].wrapping_sub(1);
            lane += 1;
        }
    }
    let mut taken = [0; POSITIONS];
    let mut lane = 0;
    while lane < POSITIONS {
        taken[lane] = lines[lane] ^ rest[lane];
        lane += 1;
    }
    *lines = rest;
    taken
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
