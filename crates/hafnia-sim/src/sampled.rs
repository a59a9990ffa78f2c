//! [`Sample`]: where the codes of a tile of a sliced convolution are not the number of ones, by the
//! engine `table`.
//!
//! A byte a column settles nearly every code whatever the lines of a group are. So groups are found in
//! slices, and lines are looked for only where a byte settles nothing.

use hafnia_rng::{BLOCKS, Counter};
use hafnia_simd::{Kernel, LANES, Simd};

use crate::draws::{Address, word};
use crate::engine::Table;
use crate::kernels::Correction;
use crate::layout::{SlicedGroups, TileLayout};
use crate::scanned::{Find, Found, bits_within};
use crate::sliced::{Counted, Sliced, SlicedBuffers, at_least, count};
use crate::windows::{LineBits, Windows};

/// Groups of a tile, and those that a byte does not settle; used anew by every tile.
#[derive(Debug, Default)]
pub(crate) struct Sampled {
    pub(crate) found: Found,
    open: Vec<Unsettled>,
    /// A position and plane: the lines that are on; those that are on in a group.
    lines: Vec<u64>,
}

/// Columns of a group whose code a byte does not settle.
#[derive(Debug, Clone, Copy)]
struct Unsettled {
    group: u32,
    block: u32,
    /// A bit a lane.
    lanes: u16,
    /// Their highest bytes.
    bytes: [u64; 2],
}

/// Notes where codes are not the number of ones; gives the groups and the rows that are on in them.
pub(crate) struct Sample<'a> {
    pub(crate) table: &'a Table,
    /// The largest byte that settles every code.
    pub(crate) last_certain: u8,
    pub(crate) source: &'a Counter,
    pub(crate) image: u32,
    pub(crate) windows: &'a Windows,
    /// Bit-planes of the activations, and moved into streams.
    pub(crate) words: &'a [u64],
    pub(crate) buffers: &'a SlicedBuffers,
    pub(crate) sliced: &'a Sliced,
    pub(crate) tile: &'a TileLayout,
    pub(crate) groups: &'a SlicedGroups,
    pub(crate) bits: &'a LineBits,
    pub(crate) sampled: &'a mut Sampled,
    pub(crate) corrections: &'a mut Vec<Correction>,
}

impl Kernel for Sample<'_> {
    type Output = (u64, u64);

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) -> (u64, u64) {
        let (groups, rows_on) = match (self.groups, self.sliced.bits) {
            (SlicedGroups::Counted(counted), 5) => self.list::<S, 5>(simd, counted),
            (SlicedGroups::Counted(counted), 8) => self.list::<S, 8>(simd, counted),
            (SlicedGroups::Counted(counted), _) => self.list::<S, 12>(simd, counted),
            (SlicedGroups::Scanned(scanned), _) => {
                let (buffers, found) = (self.buffers, &mut self.sampled.found);
                Find { scanned, buffers, found }.run(simd)
            }
        };
        self.draw(simd, groups);
        self.settle(simd);
        (groups as u64, rows_on)
    }
}

impl Sample<'_> {
    /// Lists the groups.
    #[inline(always)]
    fn list<S: Simd, const BITS: usize>(&mut self, simd: S, counted: &Counted) -> (usize, u64) {
        let buffers = self.buffers;
        let found = &mut self.sampled.found;
        let (mut len, mut rows_on) = (0, [0u64; 8]);
        for (vector, valid) in counted.valid.iter().enumerate() {
            let lines = count::<S, BITS>(simd, buffers.of_vector(vector), &counted.taps);
            let valid = simd.load_words(valid);
            for (number, zeros) in counted.least.chunks_exact(BITS).enumerate() {
                let words = simd.words(simd.and(at_least(simd, &lines, zeros), valid));
                let mut any = 0;
                found.reserve(len + 8 * 64);
                for (word, &bits) in words.iter().enumerate() {
                    any |= bits;
                    if bits == 0 {
                        continue;
                    }
                    let into = found.places[len..].first_chunk_mut().expect("room for 64");
                    let numbers = found.numbers[len..].first_chunk_mut().expect("room for 64");
                    *numbers = [number as u16; 64];
                    len += simd.positions(bits, (vector * 512 + word * 64) as u16, into);
                }
                // No scan has more groups than this many.
                if any == 0 {
                    break;
                }
            }
            let mut bit = 0;
            while bit < BITS {
                let words = simd.words(simd.and(lines[bit], valid));
                let mut word = 0;
                while word < 8 {
                    rows_on[word] += u64::from(words[word].count_ones()) << bit;
                    word += 1;
                }
                bit += 1;
            }
        }
        (len, rows_on.iter().sum())
    }

    /// Draws a byte for every column of every group and notes those that settle nothing.
    #[inline(always)]
    fn draw<S: Simd>(&mut self, simd: S, groups: usize) {
        let Self { sliced, sampled, tile, .. } = self;
        let Sampled { found: Found { places, numbers, .. }, open, .. } = &mut **sampled;
        open.clear();
        let mut first = 0;
        while first < groups {
            let of_places: &[u16; BLOCKS] = places[first..].first_chunk().expect("a batch");
            let of_numbers: &[u16; BLOCKS] = numbers[first..].first_chunk().expect("a batch");
            let (mut positions, mut plane_groups) = ([0; BLOCKS], [0; BLOCKS]);
            let mut group = 0;
            while group < BLOCKS {
                let (plane, (y, x)) = sliced.at(of_places[group]);
                positions[group] = (y * self.windows.width + x) as u32;
                plane_groups[group] = (plane << 24) as u32 | u32::from(of_numbers[group]);
                group += 1;
            }
            for block in 0..tile.blocks {
                let columns = (tile.columns - block * LANES).min(LANES);
                let here = u64::from(u16::MAX >> (LANES - columns)) * 0x0001_0001_0001_0001;
                let words = self.source.blocks(self.image, &positions, &plane_groups, block as u32);
                let mut bytes = [[0; 2]; BLOCKS];
                let mut group = 0;
                while group < BLOCKS {
                    bytes[group][0] = words[0][group] | words[1][group] << 32;
                    bytes[group][1] = words[2][group] | words[3][group] << 32;
                    group += 1;
                }
                for (four, words) in bytes.as_flattened().as_chunks::<8>().0.iter().enumerate() {
                    let mut left = simd.above(words, self.last_certain) & here;
                    // A vector is a quarter of the bits.
                    while left != 0 {
                        let quarter = left.trailing_zeros() as usize / LANES;
                        let lanes = (left >> (quarter * LANES)) as u16;
                        left &= !(0xffff << (quarter * LANES));
                        let group = first + 4 * four + quarter;
                        if group < groups {
                            open.push(Unsettled {
                                group: group as u32,
                                block: block as u32,
                                lanes,
                                bytes: [words[2 * quarter], words[2 * quarter + 1]],
                            });
                        }
                    }
                }
            }
            first += BLOCKS;
        }
    }

    /// Looks at the lines where a byte settled nothing, and draws the rest of its word if it must.
    #[inline(always)]
    fn settle<S: Simd>(&mut self, simd: S) {
        let Self { sliced, windows, tile, table, .. } = self;
        let slots = table.stride - 1;
        let Sampled { found, open, lines } = &mut *self.sampled;
        for open in open {
            let group = open.group as usize;
            let (plane, (y, x)) = sliced.at(found.places[group]);
            self.bits.gather_one(windows, self.words, plane, (y, x), lines);
            // Of the lines that are on, those of the group.
            let mut weight = 1 << plane;
            let mut rows = 0;
            if let SlicedGroups::Scanned(scanned) = self.groups {
                weight *= scanned.sign(found.first_lines[group]);
                let (start, end) = (found.first_lines[group].into(), found.ends[group].into());
                for (word, line) in lines.iter_mut().enumerate() {
                    *line &= bits_within(word * 64, start, end);
                    rows += line.count_ones() as usize;
                }
            } else {
                let mut skipped = (usize::from(found.numbers[group]) * slots) as u32;
                for line in lines.iter_mut() {
                    let on = line.count_ones();
                    let left = (slots - rows) as u32;
                    *line = if skipped >= on { 0 } else { simd.pick(*line, skipped, left) };
                    skipped = skipped.saturating_sub(on);
                    rows += line.count_ones() as usize;
                }
            }
            let pieces = &table.pieces[rows * table.stride..];
            let address = Address {
                image: self.image,
                position: (y * windows.width + x) as u32,
                plane_group: (plane << 24) as u32 | u32::from(found.numbers[group]),
            };
            let mut lanes = open.lanes;
            while lanes != 0 {
                let lane = lanes.trailing_zeros() as usize;
                lanes &= lanes - 1;
                let column = open.block as usize * LANES + lane;
                let mut ones = 0;
                let weights = &tile.weights[column * lines.len()..][..lines.len()];
                for (line, weight) in lines.iter().zip(weights) {
                    ones += (line & weight).count_ones() as usize;
                }
                let byte = (open.bytes[lane / 8] >> (lane % 8 * 8)) as u8;
                if pieces[ones].code_of_byte(byte).is_some() {
                    continue;
                }
                let code = pieces[ones].code(word(self.source, address, column, byte));
                if usize::from(code) != ones {
                    self.corrections.push(Correction {
                        position: address.position,
                        column: column as u32,
                        delta: weight * (i32::from(code) - ones as i32),
                    });
                }
            }
        }
    }
}
