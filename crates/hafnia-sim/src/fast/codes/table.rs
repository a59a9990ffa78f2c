//! [`TableKernel`]: codes sampled from P(code | m ones, n rows on).

use hafnia_rng::Counter;
use hafnia_simd::{Kernel, LANES, Simd};

use crate::draws::{self, Address, word};
use crate::engine::{Pieces, Table};
use crate::fast::codes::open::{Open, first_bytes};
use crate::fast::codes::{Cells, Conversions, Convert, Correction, Lanes, TileCells, add_up};
use crate::fast::groups::list::Schedule;
use crate::fast::groups::{BATCH, Cycles};
use crate::paths::{Path, Why};

/// [`Table`] over lists.
pub(crate) struct TableKernel<'a> {
    cells: &'a Cells,
    table: &'a Table,
    /// The largest byte whose words all have the likeliest code, whatever the rows and the ones; −1
    /// if there is none.
    last_certain: i32,
    path: Path,
    /// Per tile, [`TileCells::levels`] if it is converted.
    levels: Vec<Vec<[u8; LANES]>>,
}

impl<'a> TableKernel<'a> {
    pub(crate) fn new(table: &'a Table, cells: &'a Cells) -> Self {
        let rows = || (1..table.stride).map(|rows| &table.pieces[rows * table.stride..][..=rows]);
        let likeliest =
            rows().flatten().map(|pieces| pieces.bounds.first().map_or(1 << 32, |b| *b));
        let certain = likeliest.min().expect("a conversion has a row") >> 24;
        let last_certain = certain as i32 - 1;
        let is_ones = |(ones, pieces): (usize, &Pieces)| usize::from(pieces.likeliest) == ones;
        let path = if !cells.is_proved {
            Path::Converted(Why::Unproved)
        } else if !rows().all(|pieces| pieces.iter().enumerate().all(is_ones)) {
            Path::Converted(Why::Biased)
        } else if last_certain < 127 {
            // Whole words are drawn for most columns either way.
            Path::Converted(Why::Noisy)
        } else {
            Path::Corrected
        };
        let converted = cells.tiles.iter().filter(|_| path != Path::Corrected);
        let levels = converted.map(TileCells::levels).collect();
        Self { cells, table, last_certain, path, levels }
    }
}

/// Columns that are left open, and the lines of one cycle.
#[derive(Debug, Default)]
pub(crate) struct TableScratch {
    open: Vec<Open>,
    lines: Vec<u64>,
}

impl Convert for TableKernel<'_> {
    type Scratch = TableScratch;

    fn path(&self) -> Path {
        self.path
    }

    fn convert(
        &self,
        of: Conversions,
        schedule: &Schedule,
        _scratch: &mut TableScratch,
        raw: &mut [Lanes],
    ) {
        let (source, tile) = (&self.table.sources[of.tile], &self.cells.tiles[of.tile]);
        for group in 0..schedule.len {
            let (position, plane_group) = schedule.address(group);
            let address = Address { image: of.image, position, plane_group };
            let (lines, weight) = (schedule.lines_on(group), schedule.weights[group]);
            let pieces = &self.table.pieces[lines.len() * self.table.stride..];
            for block in 0..tile.blocks {
                let ones = add_up(&self.levels[of.tile], (block, tile.blocks), lines);
                let bytes = draws::first_bytes(source, address, block);
                let raw = &mut raw[position as usize * tile.blocks + block];
                for lane in 0..LANES.min(tile.columns - block * LANES) {
                    let pieces = &pieces[usize::from(ones[lane])];
                    let code = pieces.code_of_byte(bytes[lane]).unwrap_or_else(|| {
                        pieces.code(word(source, address, block * LANES + lane, bytes[lane]))
                    });
                    raw[lane] += weight * i32::from(code);
                }
            }
        }
    }

    fn correct(
        &self,
        of: Conversions,
        cycles: &impl Cycles,
        scratch: &mut TableScratch,
        corrections: &mut Vec<Correction>,
    ) {
        of.isa.run(Sample {
            table: self.table,
            last_certain: self.last_certain as u8,
            source: &self.table.sources[of.tile],
            image: of.image,
            cells: &self.cells.tiles[of.tile],
            cycles,
            scratch,
            corrections,
        });
    }
}

/// Notes where the codes of a tile are not the number of ones.
///
/// ```text
/// for batch of 16 cycles, block of 16 columns:
///     draw a byte for every cycle and column
///     columns whose byte is above `last_certain` are left open
/// for cycle with open columns:
///     look up its lines;  ones[column] = |lines ∧ weights[column]|
///     code = piece of the byte, or of the whole word;  note code − ones if that is not 0
/// ```
struct Sample<'a, C> {
    table: &'a Table,
    /// The largest byte that settles every code.
    last_certain: u8,
    source: &'a Counter,
    image: u32,
    cells: &'a TileCells,
    cycles: &'a C,
    scratch: &'a mut TableScratch,
    corrections: &'a mut Vec<Correction>,
}

impl<C: Cycles> Kernel for Sample<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        self.draw(simd);
        self.settle(simd);
    }
}

impl<C: Cycles> Sample<'_, C> {
    #[inline(always)]
    fn draw<S: Simd>(&mut self, simd: S) {
        let Self { last_certain, source, image, cells, cycles, scratch, .. } = self;
        let open = &mut scratch.open;
        open.clear();
        let mut first = 0;
        while first < cycles.len() {
            let addresses = cycles.addresses(first);
            for block in 0..cells.blocks {
                let columns = (cells.columns - block * LANES).min(LANES);
                let here = u64::from(u16::MAX >> (LANES - columns)) * 0x0001_0001_0001_0001;
                let bytes = first_bytes::<2>(source, *image, &addresses, block);
                for (four, words) in bytes.as_flattened().as_chunks::<8>().0.iter().enumerate() {
                    let mut left = simd.above(words, *last_certain) & here;
                    // A vector is a quarter of the bits.
                    while left != 0 {
                        let quarter = left.trailing_zeros() as usize / LANES;
                        let lanes = (left >> (quarter * LANES)) as u16;
                        left &= !(0xffff << (quarter * LANES));
                        let group = first + 4 * four + quarter;
                        if group < cycles.len() {
                            open.push(Open {
                                group: group as u32,
                                block: block as u32,
                                lanes,
                                bytes: [words[2 * quarter], words[2 * quarter + 1]],
                            });
                        }
                    }
                }
            }
            first += BATCH;
        }
    }

    #[inline(always)]
    fn settle<S: Simd>(&mut self, simd: S) {
        let Self { table, source, image, cells, cycles, scratch, corrections, .. } = self;
        let TableScratch { open, lines } = &mut **scratch;
        lines.resize(cells.words, 0);
        for open in &*open {
            let group = open.group as usize;
            let weight = cycles.lines(simd, group, lines);
            let rows: u32 = lines.iter().map(|line| line.count_ones()).sum();
            let pieces = &table.pieces[rows as usize * table.stride..];
            let (position, plane_group) = cycles.address(group);
            let address = Address { image: *image, position, plane_group };
            for (column, byte) in open.columns() {
                let ones = cells.ones(column, lines);
                if pieces[ones].code_of_byte(byte).is_some() {
                    continue;
                }
                let code = pieces[ones].code(word(source, address, column, byte));
                if usize::from(code) != ones {
                    corrections.push(Correction {
                        position,
                        column: column as u32,
                        delta: weight * (i32::from(code) - ones as i32),
                    });
                }
            }
        }
    }
}
