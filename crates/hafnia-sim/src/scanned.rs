//! [`Scanned`]: the input control of a tile of a sliced convolution, for all positions at once.
//!
//! [`InputControl`] goes from line to line and closes a group when it is full, when its window ends,
//! before a line of the other sign, and before a line whose word line is on in it already. All of that
//! is a few bits of state: how many rows are on, the last sign, and of every word line with several
//! lines whether it is on. In slices a step of the scan takes some instructions for 512 positions and
//! planes, whatever the policy; where a group starts is then a bit.

use hafnia_bits::{Kernel, Simd};
use hafnia_cim::{InputControl, MacroSpec, ScanEntry};
use hafnia_rng::BLOCKS;

use crate::schedule::{Group, Schedule};
use crate::sliced::{Sliced, SlicedBuffers, Taps};
use crate::windows::{Patches, Windows};

/// How the groups of a tile are found, line by line.
#[derive(Debug, Clone)]
pub(crate) struct Scanned {
    lines: Vec<Line>,
    taps: Taps,
    /// (vector): a bit a position of the tile and plane.
    valid: Vec<[u64; 8]>,
    /// Of every line, one after the other, the places of word lines that a group which starts there
    /// does not hold yet.
    cleared: Vec<u16>,
    /// Places of word lines.
    places: usize,
    is_signed: bool,
    /// Rows a conversion may have.
    slots: usize,
}

/// A step of the scan.
#[derive(Debug, Clone, Copy)]
struct Line {
    /// Whether no group goes on here.
    starts_window: bool,
    is_negative: bool,
    /// Where it is noted that its word line is on, if that has several lines.
    place: Option<u16>,
    /// Whether it is the first or the last of them.
    is_first: bool,
    is_last: bool,
    /// Where its part of what is cleared ends.
    cleared: u32,
}

impl Scanned {
    /// How groups are found of the lines of a tile that are these rows of the matrix, by this control
    /// and of at most so many lines; the tile has the positions which are `replica.0` modulo
    /// `replica.1`.
    pub(crate) fn new(
        sliced: &Sliced,
        windows: &Windows,
        (rows, scan): (impl Iterator<Item = usize>, &[ScanEntry]),
        (control, slots): (InputControl, usize),
        replica: (usize, usize),
    ) -> Self {
        // The word line of every place, until its last line.
        let mut places: Vec<Option<u32>> = Vec::new();
        let (mut lines, mut cleared) = (Vec::new(), Vec::new());
        for (index, entry) in scan.iter().enumerate() {
            let word_line = entry.physical;
            let is_last = scan[index + 1..].iter().all(|later| later.physical != word_line);
            let known = places.iter().position(|&held| held == Some(word_line));
            let is_first = known.is_none();
            let place = known.or_else(|| {
                let free = places.iter().position(Option::is_none);
                let new = || {
                    places.push(None);
                    places.len() - 1
                };
                (!is_last).then(|| free.unwrap_or_else(new))
            });
            if let Some(place) = place {
                places[place] = (!is_last).then_some(word_line);
            }
            let held = (0..places.len()).filter(|&at| places[at].is_some());
            let cleared_here = held.filter(|&at| !(is_first && place == Some(at)));
            cleared.extend(cleared_here.map(|at| at as u16));
            lines.push(Line {
                starts_window: index.is_multiple_of(control.span(slots)),
                is_negative: entry.negative,
                place: place.map(|place| place as u16),
                is_first,
                is_last,
                cleared: cleared.len() as u32,
            });
        }
        Self {
            is_signed: scan.iter().any(|entry| entry.negative),
            lines,
            taps: sliced.taps(windows, rows),
            valid: sliced.valid(replica),
            cleared,
            places: places.len(),
            slots,
        }
    }

    /// ±1 for a group that starts at a line.
    pub(crate) fn sign(&self, start: u16) -> i32 {
        if self.lines[usize::from(start)].is_negative { -1 } else { 1 }
    }

    /// Tells for every line, vector by vector, where a group starts there; gives the rows that were
    /// on.
    #[inline(always)]
    fn scan<S: Simd>(
        &self,
        simd: S,
        buffers: &SlicedBuffers,
        held: &mut Vec<[u64; 8]>,
        visit: &mut impl Visit,
    ) -> u64 {
        match self.slots {
            0..8 => self.scan_with::<S, 3>(simd, buffers, held, visit),
            8..32 => self.scan_with::<S, 5>(simd, buffers, held, visit),
            _ => self.scan_with::<S, 16>(simd, buffers, held, visit),
        }
    }

    #[inline(always)]
    fn scan_with<S: Simd, const BITS: usize>(
        &self,
        simd: S,
        buffers: &SlicedBuffers,
        held: &mut Vec<[u64; 8]>,
        visit: &mut impl Visit,
    ) -> u64 {
        let ones = simd.splat_bits(u64::MAX);
        // Rows are counted up to 2^BITS, which is 0: a group with no room, or none.
        let first = (1usize << BITS) + 1 - self.slots;
        let mut of_first = [simd.splat_bits(0); BITS];
        for (bit, of_first) in of_first.iter_mut().enumerate() {
            *of_first = simd.splat_bits(((first >> bit & 1) as u64).wrapping_neg());
        }
        let mut rows_on = [0; 8];
        for (vector, valid) in self.valid.iter().enumerate() {
            let streams = buffers.of_vector(vector);
            let valid = simd.load_words(valid);
            held.clear();
            held.resize(self.places, [0; 8]);
            let mut count = [simd.splat_bits(0); BITS];
            let mut is_negative = simd.splat_bits(0);
            let mut cleared = 0;
            for (index, (line, &tap)) in self.lines.iter().zip(&self.taps).enumerate() {
                let on = streams[tap as usize..].first_chunk().expect("room for a vector");
                let on = simd.load_bits(on);
                let mut has_room = simd.splat_bits(0);
                if line.starts_window {
                    count = [simd.splat_bits(0); BITS];
                } else {
                    for &bit in &count {
                        has_room = simd.or(has_room, bit);
                    }
                    if self.is_signed {
                        let other = if line.is_negative { ones } else { simd.splat_bits(0) };
                        let is_same = simd.xor(simd.xor(is_negative, other), ones);
                        has_room = simd.and(has_room, is_same);
                    }
                    if let (Some(place), false) = (line.place, line.is_first) {
                        let is_on = simd.load_words(&held[usize::from(place)]);
                        has_room = simd.and(has_room, simd.xor(is_on, ones));
                    }
                }
                let joins = simd.and(on, has_room);
                let opens = simd.xor(on, joins);
                let stays = simd.xor(opens, ones);
                let mut carry = joins;
                let mut bit = 0;
                while bit < BITS {
                    let sum = simd.xor(count[bit], carry);
                    carry = simd.and(count[bit], carry);
                    let new = simd.and(opens, of_first[bit]);
                    count[bit] = simd.or(simd.and(sum, stays), new);
                    bit += 1;
                }
                if self.is_signed {
                    let others = simd.and(is_negative, simd.xor(on, ones));
                    is_negative = if line.is_negative { simd.or(is_negative, on) } else { others };
                }
                for &place in &self.cleared[cleared..line.cleared as usize] {
                    let held = &mut held[usize::from(place)];
                    *held = simd.words(simd.and(simd.load_words(held), stays));
                }
                cleared = line.cleared as usize;
                if let (Some(place), false) = (line.place, line.is_last) {
                    let held = &mut held[usize::from(place)];
                    let before =
                        if line.is_first { simd.splat_bits(0) } else { simd.load_words(held) };
                    *held = simd.words(simd.or(before, on));
                }
                add_ones(&mut rows_on, &simd.words(simd.and(on, valid)));
                visit.starts(simd, (vector, index), simd.words(simd.and(opens, valid)));
            }
        }
        rows_on.iter().sum()
    }
}

/// Is told where groups start; not a closure, because those are compiled without the instructions of
/// a kernel unless they happen to be inlined.
trait Visit {
    /// Groups start at a line, at these positions and planes of a vector.
    fn starts<S: Simd>(&mut self, simd: S, vector_line: (usize, usize), words: [u64; 8]);
}

/// Counts them.
impl Visit for [u64; 8] {
    #[inline(always)]
    fn starts<S: Simd>(&mut self, _simd: S, _: (usize, usize), words: [u64; 8]) {
        add_ones(self, &words);
    }
}

/// Lists them, behind the first so many.
impl Visit for (&mut Found, usize) {
    #[inline(always)]
    fn starts<S: Simd>(&mut self, simd: S, (vector, line): (usize, usize), words: [u64; 8]) {
        let (found, len) = self;
        found.reserve(*len);
        let mut word = 0;
        while word < 8 {
            if words[word] != 0 {
                let into = found.places[*len..].first_chunk_mut().expect("room for 64");
                let starts = found.starts[*len..].first_chunk_mut().expect("room for 64");
                *starts = [line as u16; 64];
                *len += simd.positions(words[word], (vector * 512 + word * 64) as u16, into);
            }
            word += 1;
        }
    }
}

/// Adds up the ones of words.
#[inline(always)]
fn add_ones(sums: &mut [u64; 8], words: &[u64; 8]) {
    let mut word = 0;
    while word < 8 {
        sums[word] += u64::from(words[word].count_ones());
        word += 1;
    }
}

/// Counts the groups of a tile, and the rows that are on in them; the streams were filled.
pub(crate) struct CountScanned<'a> {
    pub(crate) scanned: &'a Scanned,
    pub(crate) buffers: &'a SlicedBuffers,
    pub(crate) found: &'a mut Found,
}

impl Kernel for CountScanned<'_> {
    type Output = (u64, u64);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> (u64, u64) {
        let Self { scanned, buffers, found } = self;
        let mut groups = [0; 8];
        let rows_on = scanned.scan(simd, buffers, &mut found.held, &mut groups);
        (groups.iter().sum(), rows_on)
    }
}

/// The groups that were found of a tile; used anew by every tile.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Per group, its place in the slices and its number in the scan, and slack.
    pub(crate) places: Vec<u16>,
    pub(crate) numbers: Vec<u16>,
    /// Where they were found line by line, its first line and the one behind its last.
    pub(crate) starts: Vec<u16>,
    pub(crate) ends: Vec<u16>,
    held: Vec<[u64; 8]>,
    /// Of every place the groups so far and the last one of them.
    of_place: Vec<(u16, u32)>,
}

impl Found {
    /// Makes room behind `len` groups for those of a vector, and slack.
    #[inline(always)]
    pub(crate) fn reserve(&mut self, len: usize) {
        let room = len + 9 * 64 + BLOCKS;
        if self.places.len() < room {
            for list in [&mut self.places, &mut self.numbers, &mut self.starts, &mut self.ends] {
                list.resize(room, 0);
            }
        }
    }
}

/// Lists the groups of a tile, those that start at the same line one after the other; gives the
/// rows that are on in them.
pub(crate) struct Find<'a> {
    pub(crate) scanned: &'a Scanned,
    pub(crate) buffers: &'a SlicedBuffers,
    pub(crate) found: &'a mut Found,
}

impl Kernel for Find<'_> {
    type Output = (usize, u64);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> (usize, u64) {
        let Self { scanned, buffers, found } = self;
        let mut held = std::mem::take(&mut found.held);
        let mut listed = (&mut *found, 0);
        let rows_on = scanned.scan(simd, buffers, &mut held, &mut listed);
        let len = listed.1;
        found.held = held;
        let Found { places, numbers, starts, ends, of_place, .. } = found;
        of_place.clear();
        of_place.resize(scanned.valid.len() * 512, (0, 0));
        for group in 0..len {
            let (number, last) = &mut of_place[usize::from(places[group])];
            numbers[group] = *number;
            if *number > 0 {
                ends[*last as usize] = starts[group];
            }
            ends[group] = scanned.lines.len() as u16;
            (*number, *last) = (*number + 1, group as u32);
        }
        (len, rows_on)
    }
}

/// Lists the conversion cycles of some groups that were found. There must be room for them.
pub(crate) struct ListFound<'a> {
    pub(crate) found: &'a Found,
    pub(crate) groups: std::ops::Range<usize>,
    pub(crate) scanned: &'a Scanned,
    pub(crate) sliced: &'a Sliced,
    pub(crate) windows: &'a Windows,
    /// The lines of all output positions.
    pub(crate) patches: &'a Patches,
    /// The line that is never on.
    pub(crate) null: u16,
    pub(crate) schedule: &'a mut Schedule,
    /// Per output position: the rows that were on, weighted, are added.
    pub(crate) digital: &'a mut [i32],
}

impl Kernel for ListFound<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { found, groups, scanned, sliced, windows, patches, null, schedule, digital } =
            self;
        for group in groups {
            let (plane, (y, x)) = sliced.at(found.places[group]);
            let (start, end) = (found.starts[group].into(), found.ends[group].into());
            let place = windows.place_in_patches(y, x);
            let position = y * windows.width + x;
            let weight = scanned.sign(found.starts[group]) << plane;
            let first = schedule.len * schedule.slots;
            let mut to = first;
            for word in start / 64..usize::div_ceil(end, 64) {
                let line = word * 64;
                let bits = patches.word(plane, word, place) & bits_within(line, start, end);
                let into = schedule.lines[to..].first_chunk_mut().expect("room for 64 lines");
                to += simd.positions(bits, line as u16, into);
            }
            let rows = (to - first) as u32;
            let plane_group = (plane << 24) as u32 | u32::from(found.numbers[group]);
            let position = position as u32;
            schedule.close(Group { position, plane_group, rows, weight }, null);
            digital[position as usize] += weight * rows as i32;
        }
    }
}

/// Ones from `start` to before `end`, of the bits of a word that start with number `first`.
#[inline(always)]
pub(crate) fn bits_within(first: usize, start: usize, end: usize) -> u64 {
    let below = |end: usize| match end.saturating_sub(first) {
        0 => 0,
        bits => u64::MAX >> 64usize.saturating_sub(bits),
    };
    below(end) & !below(start)
}

/// The most that a product of a tile can be, of one bit-plane and whatever the codes are: 2·code − rows,
/// added up over the groups of a scan.
///
/// Over all groups that the input control can make: what is best from a line on follows from what is
/// best from every later one. Lines² steps.
pub(crate) fn largest_product(scan: &[ScanEntry], spec: &MacroSpec) -> usize {
    let slots = spec.rows_per_conversion;
    let span = spec.input_control.span(slots);
    // Of one row up to so many, the extremes.
    let of_group = |rows: usize| rows.max(2 * spec.adc.max_code() - 1).max(1);
    let mut best = vec![0; scan.len() + 1];
    for start in (0..scan.len()).rev() {
        // Nothing is on in its line; or all lines behind it that are on are of one group.
        let mut of_start = best[start + 1].max(of_group(slots.min(scan.len() - start)));
        let mut must_close = false;
        for end in start + 1..scan.len() {
            let (before, entry) = (&scan[start..end], scan[end]);
            must_close |= end / span != start / span;
            let can_close = end - start >= slots
                || must_close
                || before.iter().any(|other| {
                    other.physical == entry.physical || other.negative != entry.negative
                });
            if can_close {
                of_start = of_start.max(of_group(slots.min(end - start)) + best[end]);
            }
        }
        best[start] = of_start;
    }
    best[0]
}

#[cfg(test)]
mod tests {
    use hafnia_cim::Groups;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// No scan of any lines that are on gives more, whatever the codes.
        #[test]
        fn the_largest_product_is_a_bound(
            lines in prop::collection::vec((0u32..6, any::<bool>()), 0..12),
            is_signed in any::<bool>(),
            control in prop_oneof![
                Just(InputControl::OrderedScan),
                Just(InputControl::FixedGroup),
                (1usize..6).prop_map(|window| InputControl::FixedWindow { window }),
            ],
            slots in 1usize..8,
            bits in 1u8..4,
        ) {
            let preset = MacroSpec::preset("gt-n40").expect("a preset");
            let mut spec =
                MacroSpec { rows_per_conversion: slots, input_control: control, ..preset };
            spec.adc.bits = bits;
            let entry =
                |&(physical, negative)| ScanEntry { physical, negative: negative && is_signed };
            let scan: Vec<ScanEntry> = lines.iter().map(entry).collect();
            let bound = largest_product(&scan, &spec);
            let mut groups = Groups::default();
            for on in 0u32..1 << scan.len() {
                let active: Vec<u32> =
                    (0..scan.len() as u32).filter(|line| on >> line & 1 == 1).collect();
                control.groups(slots, &scan, &active, &mut groups);
                let of_group = |rows: usize| rows.max((2 * spec.adc.max_code()).abs_diff(rows));
                let product: usize = groups.iter().map(|group| of_group(group.len())).sum();
                prop_assert!(product <= bound, "{product} of {active:?}, bound {bound}");
            }
        }
    }
}
