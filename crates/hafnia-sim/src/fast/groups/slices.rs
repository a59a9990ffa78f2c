//! Groups of a tile for all positions at once, from streams of lines ([`SliceGrouper`]).
//!
//! The input control goes from line to line and closes a group when it is full, when its window ends,
//! before a line of the other sign, and before a line whose word line is on in it already. All of that
//! is a few bits of state: how many rows are on, the last sign, and of every word line with several
//! lines whether it is on. In streams a step of the scan takes some instructions for 512 positions and
//! planes, whatever the policy; where a group starts is then a bit ([`Scanned`]). Where nothing but the
//! number of active lines decides, they are added up instead ([`Counted`]): line by line LeNet-5 in order
//! takes 45 % more instructions on `device`, 85 % on `table`, 10 % on `exact` (AVX2).
//!
//! Implements the rule of grouping, held to [`InputControl::groups`](
//! hafnia_cim::InputControl::groups) by `tests/kernels.rs` (`kernels_give_what_engines_give`, and
//! `…_on_plain_tiles` for [`Counted`]).

use hafnia_cim::{MacroSpec, ScanEntry};
use hafnia_simd::{Kernel, LANES, Simd};

use crate::fast::groups::list::{Form, Number, PADDING, Schedule};
use crate::fast::groups::{BATCH, Cycles, pack};
use crate::fast::lines::Replica;
use crate::fast::lines::patches::{LineBits, POSITIONS, Patches, Windows};
use crate::fast::lines::streams::{Image, Streams, Taps, at_least, count, zeros};

/// How the groups of a tile are found in streams.
#[derive(Debug, Clone)]
pub(crate) enum SliceGrouper {
    /// Nothing but the number of active lines decides them.
    Counted(Counted),
    /// Line by line.
    Scanned(Scanned),
}

/// Lines of which the next active ones share a group.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    taps: Taps,
    /// `[vector]`: a bit a position of the tile and plane.
    valid: Vec<[u64; 8]>,
    /// `[group][bit]`: all ones where the least number of lines that make this many groups has a 0.
    least: Vec<u64>,
    /// Bits that hold a number of lines.
    bits: usize,
    /// Rows a conversion may have.
    slots: usize,
}

impl Counted {
    /// What it takes to count the groups of this many lines, of which `taps` are the taps, at the
    /// positions of `replica`.
    pub(crate) fn new(
        streams: &Streams,
        taps: Taps,
        lines: usize,
        slots: usize,
        replica: Replica,
    ) -> Self {
        // As many as a sum of the matrix has at most.
        let bits = [5, 8].into_iter().find(|&bits| lines < 1 << bits).unwrap_or(12);
        let least = (1..=lines).step_by(slots).flat_map(|lines| zeros(lines as u64, bits));
        Self { least: least.collect(), valid: streams.valid(replica), taps, bits, slots }
    }

    /// Visits the groups, vector by vector and number by number; returns the rows that were on.
    ///
    /// ```text
    /// for vector of 512 places: on = Σ taps
    ///     for k: group k is where on > k·slots
    /// ```
    #[inline(always)]
    fn scan<S: Simd>(&self, simd: S, image: &Image, visit: &mut impl Visit) -> u64 {
        match self.bits {
            5 => self.scan_with::<S, 5>(simd, image, visit),
            8 => self.scan_with::<S, 8>(simd, image, visit),
            _ => self.scan_with::<S, 12>(simd, image, visit),
        }
    }

    #[inline(always)]
    fn scan_with<S: Simd, const BITS: usize>(
        &self,
        simd: S,
        image: &Image,
        visit: &mut impl Visit,
    ) -> u64 {
        let mut rows_on = [0u64; 8];
        for (vector, valid) in self.valid.iter().enumerate() {
            let on = count::<S, BITS>(simd, image.of_vector(vector), &self.taps);
            let valid = simd.load_words(valid);
            for (number, zeros) in self.least.chunks_exact(BITS).enumerate() {
                let words = simd.words(simd.and(at_least(simd, &on, zeros), valid));
                visit.starts(simd, vector, number, words);
                // No scan has more groups than this many.
                if words == [0; 8] {
                    break;
                }
            }
            let mut bit = 0;
            while bit < BITS {
                let words = simd.words(simd.and(on[bit], valid));
                let mut word = 0;
                while word < 8 {
                    rows_on[word] += u64::from(words[word].count_ones()) << bit;
                    word += 1;
                }
                bit += 1;
            }
        }
        rows_on.iter().sum()
    }
}

/// Times [`LANES`] that make the places of a vector.
const CHUNKS: usize = 512 / LANES;

/// How the groups of a tile are found, line by line.
#[derive(Debug, Clone)]
pub(crate) struct Scanned {
    lines: Vec<Line>,
    taps: Taps,
    /// (vector): a bit a position of the tile and plane.
    valid: Vec<[u64; 8]>,
    /// Of every line, one after the other, the seats that are given up when a group starts there.
    cleared: Vec<u16>,
    /// A seat notes whether a word line is on in the group, from its first line to its last; how many
    /// there are.
    seats: usize,
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
    /// The seat of its word line, if that has several lines.
    seat: Option<u16>,
    /// Whether it is the first or the last of them.
    is_first: bool,
    is_last: bool,
    /// Where its part of what is cleared ends.
    cleared: u32,
}

impl Scanned {
    /// How groups are found of these lines, of which `taps` are the taps, at the positions of
    /// `replica`.
    pub(crate) fn new(
        streams: &Streams,
        taps: Taps,
        scan: &[ScanEntry],
        spec: &MacroSpec,
        replica: Replica,
    ) -> Self {
        let slots = spec.rows_per_conversion;
        let span = spec.input_control.span(slots);
        // The word line of every seat, until the last of its lines.
        let mut seats: Vec<Option<u32>> = Vec::new();
        let (mut lines, mut cleared) = (Vec::new(), Vec::new());
        for (index, entry) in scan.iter().enumerate() {
            let word_line = entry.physical;
            let is_last = scan[index + 1..].iter().all(|later| later.physical != word_line);
            let known = seats.iter().position(|&held| held == Some(word_line));
            let is_first = known.is_none();
            let seat = known.or_else(|| {
                let free = seats.iter().position(Option::is_none);
                let new = || {
                    seats.push(None);
                    seats.len() - 1
                };
                (!is_last).then(|| free.unwrap_or_else(new))
            });
            if let Some(seat) = seat {
                seats[seat] = (!is_last).then_some(word_line);
            }
            let held = (0..seats.len()).filter(|&at| seats[at].is_some());
            let cleared_here = held.filter(|&at| !(is_first && seat == Some(at)));
            cleared.extend(cleared_here.map(|at| at as u16));
            lines.push(Line {
                starts_window: index.is_multiple_of(span),
                is_negative: entry.negative,
                seat: seat.map(|seat| seat as u16),
                is_first,
                is_last,
                cleared: cleared.len() as u32,
            });
        }
        Self {
            is_signed: scan.iter().any(|entry| entry.negative),
            lines,
            taps,
            valid: streams.valid(replica),
            cleared,
            seats: seats.len(),
            slots,
        }
    }

    /// Whether a group that starts at a line is of negative lines.
    fn is_negative(&self, start: u16) -> bool {
        self.lines[usize::from(start)].is_negative
    }

    /// Visits every line, vector by vector, with the places where a group starts there; returns the
    /// rows that were on.
    ///
    /// ```text
    /// for vector of 512 places; count, sign and held word lines are bits of state, a lane a place:
    ///     for line:
    ///         has_room = count < slots, same window, same sign, word line not held
    ///         joins = on ∧ has_room;  opens = on ∧ ¬has_room
    ///         count = opens ? 1 : count + joins;  sign and held word lines likewise
    ///         a group starts at the line where `opens`
    /// ```
    #[inline(always)]
    fn scan<S: Simd>(
        &self,
        simd: S,
        image: &Image,
        held: &mut Vec<[u64; 8]>,
        visit: &mut impl Visit,
    ) -> u64 {
        match self.slots {
            0..8 => self.scan_with::<S, 3>(simd, image, held, visit),
            8..32 => self.scan_with::<S, 5>(simd, image, held, visit),
            _ => self.scan_with::<S, 16>(simd, image, held, visit),
        }
    }

    #[inline(always)]
    fn scan_with<S: Simd, const BITS: usize>(
        &self,
        simd: S,
        image: &Image,
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
            let streams = image.of_vector(vector);
            let valid = simd.load_words(valid);
            held.clear();
            held.resize(self.seats, [0; 8]);
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
                    if let (Some(seat), false) = (line.seat, line.is_first) {
                        let is_on = simd.load_words(&held[usize::from(seat)]);
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
                for &seat in &self.cleared[cleared..line.cleared as usize] {
                    let held = &mut held[usize::from(seat)];
                    *held = simd.words(simd.and(simd.load_words(held), stays));
                }
                cleared = line.cleared as usize;
                if let (Some(seat), false) = (line.seat, line.is_last) {
                    let held = &mut held[usize::from(seat)];
                    let before =
                        if line.is_first { simd.splat_bits(0) } else { simd.load_words(held) };
                    *held = simd.words(simd.or(before, on));
                }
                add_ones(&mut rows_on, &simd.words(simd.and(on, valid)));
                visit.starts(simd, vector, index, simd.words(simd.and(opens, valid)));
            }
        }
        rows_on.iter().sum()
    }
}

/// Visits where groups start; not a closure, because those are compiled without the instructions of
/// a kernel unless they happen to be inlined.
trait Visit {
    /// Groups start at these places of a vector: at a line ([`Scanned`]), or those of a number
    /// ([`Counted`]).
    fn starts<S: Simd>(&mut self, simd: S, vector: usize, at: usize, words: [u64; 8]);
}

/// Counts them.
impl Visit for [u64; 8] {
    #[inline(always)]
    fn starts<S: Simd>(&mut self, _simd: S, _vector: usize, _line: usize, words: [u64; 8]) {
        add_ones(self, &words);
    }
}

/// The lines where groups start, of every place.
#[derive(Debug, Default)]
struct Starts {
    /// (vector, half a word of lines): a lane a place.
    lines: Vec<[[i32; LANES]; CHUNKS]>,
    /// Halves of words of a vector.
    halves: usize,
    /// (vector): a bit a place where there are any.
    any: Vec<[u64; 8]>,
}

impl Starts {
    fn reset(&mut self, vectors: usize, lines: usize) {
        self.halves = 2 * lines.div_ceil(64);
        self.lines.clear();
        self.lines.resize(vectors * self.halves, [[0; LANES]; CHUNKS]);
        self.any.clear();
        self.any.resize(vectors, [0; 8]);
    }

    /// 64 lines of a place.
    #[inline(always)]
    fn word(&self, (vector, place): (usize, usize), word: usize) -> u64 {
        let half = |half: usize| {
            let chunks = &self.lines[vector * self.halves + 2 * word + half];
            u64::from(chunks[place / LANES % CHUNKS][place % LANES] as u32)
        };
        half(0) | half(1) << 32
    }
}

impl Visit for Starts {
    #[inline(always)]
    fn starts<S: Simd>(&mut self, simd: S, vector: usize, line: usize, words: [u64; 8]) {
        let bit = simd.splat_i32(1 << (line % 32));
        let chunks = &mut self.lines[vector * self.halves + line / 32];
        let any = &mut self.any[vector];
        let mut chunk = 0;
        while chunk < CHUNKS {
            let here = simd.mask((words[chunk / 4] >> (chunk % 4 * LANES)) as u16);
            let lanes = simd.add_where(here, simd.load_i32(&chunks[chunk]), bit);
            simd.store_i32(lanes, &mut chunks[chunk]);
            chunk += 1;
        }
        let mut word = 0;
        while word < 8 {
            any[word] |= words[word];
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

/// Counts the groups of a tile, and the rows that are on in them.
pub(crate) struct CountSlices<'a> {
    pub(crate) grouper: &'a SliceGrouper,
    pub(crate) image: &'a Image,
    pub(crate) found: &'a mut Found,
}

impl Kernel for CountSlices<'_> {
    type Output = (u64, u64);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> (u64, u64) {
        let Self { grouper, image, found } = self;
        let mut groups = [0; 8];
        let rows_on = match grouper {
            SliceGrouper::Counted(counted) => counted.scan(simd, image, &mut groups),
            SliceGrouper::Scanned(scanned) => {
                scanned.scan(simd, image, &mut found.held, &mut groups)
            }
        };
        (groups.iter().sum(), rows_on)
    }
}

/// The groups that were found of a tile; used anew by every tile.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Number of groups.
    pub(crate) len: usize,
    /// Per group, its place in the slices and its number in the scan; and slack.
    places: Vec<u16>,
    numbers: Vec<u16>,
    /// Where they were found line by line, its first line and the one behind its last.
    first_lines: Vec<u16>,
    ends: Vec<u16>,
    held: Vec<[u64; 8]>,
    starts: Starts,
}

impl Found {
    /// Makes room for so many groups, and slack.
    #[inline(always)]
    fn reserve(&mut self, groups: usize) {
        let room = groups + 64 + BATCH;
        if self.places.len() < room {
            for list in [&mut self.places, &mut self.numbers, &mut self.first_lines, &mut self.ends]
            {
                list.resize(room, 0);
            }
        }
    }
}

/// Lists them, of one number after the other.
struct ListCounted<'a> {
    found: &'a mut Found,
    len: usize,
}

impl Visit for ListCounted<'_> {
    #[inline(always)]
    fn starts<S: Simd>(&mut self, simd: S, vector: usize, number: usize, words: [u64; 8]) {
        let Self { found, len } = self;
        found.reserve(*len + 8 * 64);
        for (word, &bits) in words.iter().enumerate().filter(|&(_, &bits)| bits != 0) {
            let into = found.places[*len..].first_chunk_mut().expect("room for 64");
            let numbers = found.numbers[*len..].first_chunk_mut().expect("room for 64");
            *numbers = [number as u16; 64];
            *len += simd.positions(bits, (vector * 512 + word * 64) as u16, into);
        }
    }
}

/// Lists the groups of a tile, place by place or number by number; returns how many they are, and the
/// rows that are on in them.
pub(crate) struct ListSlices<'a> {
    pub(crate) grouper: &'a SliceGrouper,
    pub(crate) image: &'a Image,
    pub(crate) found: &'a mut Found,
}

impl Kernel for ListSlices<'_> {
    type Output = (u64, u64);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> (u64, u64) {
        let Self { grouper, image, found } = self;
        let rows_on = match grouper {
            SliceGrouper::Counted(counted) => {
                let mut list = ListCounted { found, len: 0 };
                let rows_on = counted.scan(simd, image, &mut list);
                list.found.len = list.len;
                rows_on
            }
            SliceGrouper::Scanned(scanned) => scanned.list(simd, image, found),
        };
        (found.len as u64, rows_on)
    }
}

impl Scanned {
    /// Lists the groups, place by place; returns the rows that are on in them.
    #[inline(always)]
    fn list<S: Simd>(&self, simd: S, image: &Image, found: &mut Found) -> u64 {
        let (vectors, lines) = (self.valid.len(), self.lines.len());
        let mut starts = std::mem::take(&mut found.starts);
        starts.reset(vectors, lines);
        let rows_on = self.scan(simd, image, &mut found.held, &mut starts);
        let mut len = 0;
        for vector in 0..vectors {
            for word in 0..8 {
                let mut left = starts.any[vector][word];
                while left != 0 {
                    let place = word * 64 + left.trailing_zeros() as usize;
                    left &= left - 1;
                    found.reserve(len + lines);
                    let mut end = len;
                    for word in 0..starts.halves / 2 {
                        let into = found.first_lines[end..].first_chunk_mut();
                        let bits = starts.word((vector, place), word);
                        end += simd.positions(
                            bits,
                            (word * 64) as u16,
                            into.expect("room for 64 more"),
                        );
                    }
                    found.first_lines[end] = lines as u16;
                    // Sixteen groups at once, whether there are as many or none: mostly no branch.
                    let mut at = len;
                    while at < end {
                        let places = found.places[at..].first_chunk_mut();
                        let numbers: &mut [u16; LANES] =
                            found.numbers[at..].first_chunk_mut().expect("room for 16 more");
                        *places.expect("room for 16 more") = [(vector * 512 + place) as u16; LANES];
                        let mut group = 0;
                        while group < LANES {
                            numbers[group] = (at - len + group) as u16;
                            group += 1;
                        }
                        let next: &[u16; LANES] =
                            found.first_lines[at + 1..].first_chunk().expect("room for 17 more");
                        found.ends[at..at + LANES].copy_from_slice(next);
                        at += LANES;
                    }
                    len = end;
                }
            }
        }
        found.starts = starts;
        found.len = len;
        rows_on
    }
}

/// The groups that were found of a tile, with what it takes to look up their lines.
pub(crate) struct FoundCycles<'a> {
    pub(crate) found: &'a Found,
    pub(crate) grouper: &'a SliceGrouper,
    pub(crate) streams: &'a Streams,
    pub(crate) windows: &'a Windows,
    /// Where the lines of the tile come from, and the bit-planes of the activations.
    pub(crate) rows: &'a LineBits,
    pub(crate) words: &'a [u64],
}

impl FoundCycles<'_> {
    #[inline(always)]
    fn address_of(&self, place: u16, number: u16) -> (u32, u32) {
        let (plane, (y, x)) = self.streams.at(place);
        let plane_group = (plane << 24) as u32 | u32::from(number);
        ((y * self.streams.width + x) as u32, plane_group)
    }
}

impl Cycles for FoundCycles<'_> {
    fn len(&self) -> usize {
        self.found.len
    }

    #[inline(always)]
    fn address(&self, group: usize) -> (u32, u32) {
        self.address_of(self.found.places[group], self.found.numbers[group])
    }

    #[inline(always)]
    fn addresses(&self, first: usize) -> [u64; BATCH] {
        let places: &[u16; BATCH] = self.found.places[first..].first_chunk().expect("a batch");
        let numbers: &[u16; BATCH] = self.found.numbers[first..].first_chunk().expect("a batch");
        let mut addresses = [0; BATCH];
        let mut group = 0;
        while group < BATCH {
            let (position, plane_group) = self.address_of(places[group], numbers[group]);
            addresses[group] = pack(position, plane_group);
            group += 1;
        }
        addresses
    }

    #[inline(always)]
    fn lines<S: Simd>(&self, simd: S, group: usize, lines: &mut [u64]) -> i32 {
        let Self { found, .. } = self;
        let (plane, at) = self.streams.at(found.places[group]);
        self.rows.gather_one(self.windows, self.words, plane, at, lines);
        match self.grouper {
            SliceGrouper::Scanned(scanned) => {
                let (start, end) = (found.first_lines[group].into(), found.ends[group].into());
                for (word, line) in lines.iter_mut().enumerate() {
                    *line &= bits_within(word * 64, start, end);
                }
                let is_negative = scanned.is_negative(found.first_lines[group]);
                if is_negative { -(1 << plane) } else { 1 << plane }
            }
            SliceGrouper::Counted(counted) => {
                let mut skipped = (usize::from(found.numbers[group]) * counted.slots) as u32;
                let mut left = counted.slots as u32;
                for line in lines.iter_mut() {
                    let on = line.count_ones();
                    *line = if skipped >= on { 0 } else { simd.pick(*line, skipped, left.min(64)) };
                    skipped = skipped.saturating_sub(on);
                    left -= line.count_ones();
                }
                1 << plane
            }
        }
    }
}

/// Lists the conversion cycles of some groups that were found line by line. There must be room for
/// them.
///
/// ```text
/// for group: lines = ones of patches[plane][..][position] from its first line to before its end
/// ```
pub(crate) struct ListFound<'a> {
    pub(crate) found: &'a Found,
    pub(crate) groups: std::ops::Range<usize>,
    pub(crate) scanned: &'a Scanned,
    pub(crate) streams: &'a Streams,
    /// The lines of all output positions.
    pub(crate) patches: &'a Patches,
    pub(crate) schedule: &'a mut Schedule,
    /// Per output position: the positive and the negative rows that were on, weighted, are added.
    pub(crate) digital: &'a mut [[i32; 2]],
}

impl Kernel for ListFound<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { found, groups, scanned, streams, patches, schedule, digital } = self;
        let Schedule { slots, null, len, addresses, weights, form, lines, bytes, masks, .. } =
            schedule;
        let (slots, null) = (*slots, *null);
        let (width, row) = (streams.width, streams.width.next_multiple_of(POSITIONS));
        let words = patches.lanes.as_flattened();
        let of_word = patches.chunks * POSITIONS;
        let of_groups = found.places[groups.clone()].iter().zip(&found.numbers[groups.clone()]);
        let of_groups = of_groups.zip(&found.first_lines[groups.clone()]).zip(&found.ends[groups]);
        for (((&place, &number), &first_line), &end) in of_groups {
            let (plane, (y, x)) = streams.at(place);
            let (start, end) = (first_line.into(), end.into());
            let words = &words[plane * patches.words * of_word + y * row + x..];
            let from = *len * slots;
            let of_group = OfGroup { words, of_word, start, end };
            let count = match form {
                Form::Lines => of_group.list(simd, &mut lines[from..], slots, null),
                Form::Bytes => of_group.list(simd, &mut bytes[from..], slots, null),
                Form::Masks => {
                    let bits = words[0] & bits_within(0, start, end);
                    masks[*len] = bits as u32;
                    bits.count_ones() as usize
                }
            };
            let position = y * width + x;
            let is_negative = scanned.is_negative(first_line);
            let weight = if is_negative { -(1 << plane) } else { 1 << plane };
            let plane_group = (plane << 24) as u32 | u32::from(number);
            (addresses[*len], weights[*len]) = (pack(position as u32, plane_group), weight);
            digital[position][usize::from(is_negative)] += (count as i32) << plane;
            schedule.rows_on += count as u64;
            *len += 1;
        }
    }
}

/// The lines of a group that is found: those from `start` to before `end` that are on.
struct OfGroup<'a> {
    /// The words of its position, one every `of_word`.
    words: &'a [u64],
    of_word: usize,
    start: usize,
    end: usize,
}

impl OfGroup<'_> {
    /// Lists them in the slots in front, and returns how many they are.
    #[inline(always)]
    fn list<S: Simd, N: Number>(self, simd: S, into: &mut [N], slots: usize, null: u16) -> usize {
        let Self { words, of_word, start, end } = self;
        let (mut count, mut word) = (0, start / 64);
        while word * 64 < end {
            let line = word * 64;
            let bits = words[word * of_word] & bits_within(line, start, end);
            let into = into[count..].first_chunk_mut().expect("room for 64 lines");
            count += N::positions(simd, bits, line as u16, into);
            word += 1;
        }
        *into[count..].first_chunk_mut().expect("room for a step") = [N::of(null); PADDING];
        if slots > PADDING {
            into[count..slots].fill(N::of(null));
        }
        count
    }
}

/// Ones from `start` to before `end`, of the bits of a word that start with number `first`.
#[inline(always)]
fn bits_within(first: usize, start: usize, end: usize) -> u64 {
    let below = |end: usize| match end.saturating_sub(first) {
        bits @ 0..64 => (1 << bits) - 1,
        _ => u64::MAX,
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
    // The last line before one that may not share a group with it, counted from 1.
    let barrier = |end: usize| {
        let is_other = |other: &ScanEntry| {
            other.physical == scan[end].physical || other.negative != scan[end].negative
        };
        scan[..end].iter().rposition(is_other).map_or(0, |line| line + 1)
    };
    let barriers: Vec<usize> = (0..scan.len()).map(barrier).collect();
    let mut best = vec![0; scan.len() + 1];
    for start in (0..scan.len()).rev() {
        // Nothing is on in its line; or all lines behind it that are on are of one group.
        let mut of_start = best[start + 1].max(of_group(slots.min(scan.len() - start)));
        for end in start + 1..scan.len() {
            let can_close =
                end - start >= slots || end / span != start / span || barriers[end] > start;
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
    use hafnia_cim::{Groups, InputControl};
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
