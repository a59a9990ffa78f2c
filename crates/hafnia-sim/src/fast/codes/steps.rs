//! [`StepTile`]: a programmed tile in whole steps of 16 bits, with a bound of how far they are off the
//! floats that define it.

use hafnia_rng::gaussian;
use hafnia_simd::{ByteTable, LANES};

use crate::chip::ChipTile;
use crate::engine::Device;
use crate::fast::codes::TileCells;
use crate::fast::groups::list::FEW;

/// Lines whose numbers fit a byte, and twice as many: the one that is never on included.
pub(super) const BYTE: usize = 256;
pub(super) const TWICE: usize = 2 * BYTE;
/// Lines whose sets have one table.
pub(super) const SET: usize = 7;
/// Tables of [`FEW`] lines.
pub(super) const SETS: usize = FEW / SET;

/// A tile in steps.
pub(super) struct StepTile {
    pub(super) cells: Cells,
    /// Thresholds of a column.
    pub(super) comparators: usize,
    /// `[block][comparator]` × 16 columns: thresholds, ascending, less the middle of as many cells as
    /// a group has slots. A code is the number of those that are reached, whichever they are.
    pub(super) thresholds: Vec<[i16; LANES]>,
    pub(super) noise: Noise,
}

/// Signals of cells less the middle of all of them, that of the line that is never on being 0.
pub(super) enum Cells {
    /// `[block][line]` × 16 columns; lines of a block, [`BYTE`], [`TWICE`] or more.
    Lines(Vec<Steps<LANES>>, usize),
    /// Where lines are few, in one block of columns: the sums of all sets of lines.
    Sets(Sets<LANES>),
    /// The same, where columns are few too.
    Narrow(Sets<{ LANES / 2 }>),
}

/// `[number][set of lines]` × columns: a group is one set of the first [`SET`] lines, one of the next,
/// and so on. Its slots that are not used are in the first.
pub(super) type Sets<const COLUMNS: usize> = Box<[[Steps<COLUMNS>; 1 << SET]; SETS]>;

/// Some columns in steps, within one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(16))]
pub(super) struct Steps<const COLUMNS: usize>(pub(super) [i16; COLUMNS]);

/// Adds up all sets of lines, given the first columns of each.
fn sets<const COLUMNS: usize>(lines: &[Steps<LANES>], null: i16, slots: usize) -> Sets<COLUMNS> {
    let mut sets = Box::new([[Steps([0; COLUMNS]); 1 << SET]; SETS]);
    sets[0][0] = Steps([null.wrapping_mul(slots as i16); COLUMNS]);
    for (sets, lines) in sets.iter_mut().zip(lines.chunks(SET)) {
        for (line, Steps(of_line)) in lines.iter().enumerate() {
            for set in 0..1 << line {
                let mut sum = sets[set];
                for (sum, steps) in sum.0.iter_mut().zip(of_line) {
                    // The line takes a slot that was not used.
                    *sum = sum.wrapping_add(steps.wrapping_sub(null));
                }
                sets[set | 1 << line] = sum;
            }
        }
    }
    sets
}

/// Bounds of the temporal noise, all errors included, by the highest byte of its word: signed bytes, in
/// units of so many steps.
#[derive(Debug)]
pub(super) struct Noise {
    pub(super) unit: i16,
    pub(super) low: ByteTable,
    pub(super) high: ByteTable,
    /// The bounds in steps: by every byte, and by the next one where the first is the lowest or the
    /// highest.
    of_byte: Vec<[i16; 2]>,
    of_ends: [Vec<[i16; 2]>; 2],
}

/// The largest |sum| with its noise in steps; what is left up to 2¹⁵ takes the rounding of both.
const MOST_STEPS: f64 = 32_000.0;

impl StepTile {
    /// Lays out a tile of `device`, where a group has so many slots.
    ///
    /// A cell and a threshold are each off by half a step at most, and so are the slots of a group, n
    /// of them, by n/2. The floats that define a signal are rounded to 24 bits: by n − 1 sums of cells,
    /// by the product of a deviate with σ, and by the sum with it, which is at most n + 2 times 2⁻²⁴
    /// of the largest of these numbers. [`gaussian`] increases but for a millionth where its branches
    /// meet: 0.04 steps. So a signal reaches a threshold if a sum that is lower by all of that, and by
    /// the noise, is above it in steps, and does not if one that is higher by all of that is not.
    ///
    /// No sum is over 2¹⁵ in the end, so that it may wrap before. A threshold that is beyond is reached
    /// by no sum, or by all, and stays so if it is moved there.
    pub(super) fn new(
        tile: &TileCells,
        chip: &ChipTile,
        device: &Device<'_>,
        slots: usize,
        sigma: &Sigma,
    ) -> Self {
        let (mut least, mut most) = (0.0f64, 0.0f64);
        for &lsb in chip.cells.as_flattened() {
            (least, most) = (least.min(lsb.into()), most.max(lsb.into()));
        }
        let (middle, reach) = ((least + most) / 2.0, (most - least) / 2.0);
        let (n, noise) = (slots as f64, 1.01 * sigma.most * f64::from(gaussian(u32::MAX)));
        let steps_per_lsb = MOST_STEPS / (n * reach + noise).max(1.0);
        let largest = (n * most.max(-least) + noise) * steps_per_lsb;
        let error = n / 2.0 + 0.5 + 1.01 * (n + 2.0) * largest / 16_777_216.0 + 0.05;

        let steps = |lsb: f64| (lsb * steps_per_lsb).round() as i16;
        let of_block = |lines| if lines <= BYTE { BYTE } else { TWICE.max(lines) };
        let (lines, null) = (of_block(tile.lines + 1), steps(-middle));
        let mut cells = vec![Steps([null; LANES]); lines * tile.blocks];
        for block in 0..tile.blocks {
            for (line, &row) in tile.physical.iter().enumerate() {
                let of_row = &chip.cells[row as usize * tile.blocks + block];
                let Steps(into) = &mut cells[block * lines + line];
                for (into, &lsb) in into.iter_mut().zip(of_row) {
                    // Rounded to the nearest: many cells, and none beyond 2¹⁵ steps.
                    let steps = (f64::from(lsb) - middle) * steps_per_lsb + 32_768.5;
                    *into = (steps as i32 - 32_768) as i16;
                }
            }
        }
        let cells = match tile.columns {
            columns if tile.lines > FEW || columns > LANES => Cells::Lines(cells, lines),
            columns if columns > LANES / 2 => Cells::Sets(sets(&cells[..tile.lines], null, slots)),
            _ => Cells::Narrow(sets(&cells[..tile.lines], null, slots)),
        };
        let comparators = device.comparators;
        let mut thresholds = vec![[0; LANES]; chip.thresholds.len()];
        let blocks = thresholds.chunks_mut(comparators).zip(chip.thresholds.chunks(comparators));
        for (of_block, lsb) in blocks {
            for lane in 0..LANES {
                let of_lane = lsb.iter().map(|lsb| steps(f64::from(lsb[lane]) - n * middle));
                let mut of_lane: Vec<i16> = of_lane.collect();
                of_lane.sort_unstable();
                of_block.iter_mut().zip(of_lane).for_each(|(lanes, steps)| lanes[lane] = steps);
            }
        }
        let noise = Noise::new(sigma, steps_per_lsb, error);
        Self { cells, comparators, thresholds, noise }
    }
}

/// The temporal noise: the smallest and the largest standard deviation of any group, in LSB, and the
/// least and the largest deviate by the highest bytes of a word.
pub(super) struct Sigma {
    least: f64,
    most: f64,
    of_byte: Vec<[f64; 2]>,
    /// By the next byte, where the first is the lowest or the highest.
    of_ends: [Vec<[f64; 2]>; 2],
}

impl Sigma {
    pub(super) fn of(device: &Device<'_>) -> Self {
        let rows = if device.sigma.is_empty() { 0 } else { device.stride - 1 };
        let all = (1..=rows).flat_map(|rows| device.sigmas(rows)).map(f64::from);
        let most = all.clone().fold(0.0, f64::max);
        let least = all.fold(most, f64::min);
        // From the lowest word that starts with these to the highest.
        let deviates = |first: u32, last: u32| [first, last].map(|word| gaussian(word).into());
        let of_byte = |byte: u32| deviates(byte << 24, byte << 24 | 0xff_ffff);
        let of_end = |end: u32| {
            let of_next = |next: u32| end << 24 | next << 16;
            (0..256).map(|next| deviates(of_next(next), of_next(next) | 0xffff)).collect()
        };
        Self {
            least,
            most,
            of_byte: (0..256).map(of_byte).collect(),
            of_ends: [of_end(u8::MIN.into()), of_end(u8::MAX.into())],
        }
    }
}

impl StepTile {
    /// How many thresholds of a column of a block its lower bound exceeds.
    pub(super) fn least_code(&self, (block, lane): (usize, usize), low: i16) -> i32 {
        let thresholds = &self.thresholds[block * self.comparators..][..self.comparators];
        thresholds.partition_point(|threshold| threshold[lane] < low) as i32
    }

    /// The code of a column of a block, if it is the same at both bounds of its signal; it is at least
    /// `least`.
    pub(super) fn code(
        &self,
        (block, lane): (usize, usize),
        least: i32,
        [low, high]: [i32; 2],
    ) -> Option<i32> {
        let thresholds = &self.thresholds[block * self.comparators..][..self.comparators];
        let mut code = least;
        while let Some(next) = thresholds.get(code as usize).map(|next| i32::from(next[lane])) {
            if low <= next {
                return (high <= next).then_some(code);
            }
            code += 1;
        }
        Some(code)
    }
}

impl Noise {
    fn new(sigma: &Sigma, steps_per_lsb: f64, error: f64) -> Self {
        let Sigma { least, most, of_byte, of_ends } = sigma;
        let bounds = |z: [f64; 2]| {
            let [low, high] = z.map(|z| z * steps_per_lsb);
            ((low * least).min(low * most) - error, (high * least).max(high * most) + error)
        };
        let of_bytes = |first: u8, last: u8| {
            bounds([of_byte[usize::from(first)][0], of_byte[usize::from(last)][1]])
        };
        let unit = (of_bytes(u8::MAX, u8::MAX).1 / 127.0).ceil();
        let byte = |units: f64| (units as i8).cast_unsigned();
        let steps = |z: &[f64; 2]| {
            let (low, high) = bounds(*z);
            [low.floor() as i16, high.ceil() as i16]
        };
        Self {
            unit: unit as i16,
            low: ByteTable::new(|first, last| byte((of_bytes(first, last).0 / unit).floor())),
            high: ByteTable::new(|first, last| byte((of_bytes(first, last).1 / unit).ceil())),
            of_byte: of_byte.iter().map(steps).collect(),
            of_ends: of_ends.each_ref().map(|end| end.iter().map(steps).collect()),
        }
    }

    /// Bounds of a signal by that byte, unless it is the lowest or the highest, which tell little.
    pub(super) fn by_byte(&self, sum: i32, byte: u8) -> Option<[i32; 2]> {
        let of_byte = self.of_byte[usize::from(byte)].map(|noise| sum + i32::from(noise));
        (byte != u8::MIN && byte != u8::MAX).then_some(of_byte)
    }

    /// Bounds of a signal by the whole word.
    pub(super) fn by_word(&self, sum: i32, word: u32) -> [i32; 2] {
        let next = (word >> 16 & 0xff) as usize;
        let noise = match (word >> 24) as u8 {
            u8::MIN => self.of_ends[0][next],
            u8::MAX => self.of_ends[1][next],
            byte => self.of_byte[usize::from(byte)],
        };
        noise.map(|noise| sum + i32::from(noise))
    }
}

#[cfg(test)]
mod tests {
    use hafnia_cim::MacroSpec;
    use hafnia_rng::Seed;
    use proptest::prelude::*;
    use rand::RngExt;
    use rand::seq::SliceRandom;

    use super::*;
    use crate::chip::Chip;

    /// The steps of a group in a column, of so many lines and slots; sums may wrap before their end.
    fn of_group(
        cells: &Cells,
        group: &[usize],
        (lines, slots): (usize, usize),
        lane: usize,
    ) -> i16 {
        fn of_sets<const N: usize>(sets: &Sets<N>, group: &[usize], lane: usize) -> i16 {
            let set = |number| {
                let lines = group.iter().filter(|&line| line / SET == number);
                lines.fold(0, |set, line| set | 1 << (line % SET))
            };
            (0..SETS).fold(0, |sum, number| sum.wrapping_add(sets[number][set(number)].0[lane]))
        }
        match cells {
            Cells::Lines(steps, _) => {
                let unused = std::iter::repeat_n(lines, slots - group.len());
                let used = group.iter().copied().chain(unused);
                used.fold(0, |sum, line| sum.wrapping_add(steps[line].0[lane]))
            }
            Cells::Sets(sets) => of_sets(sets, group, lane),
            Cells::Narrow(sets) => of_sets(sets, group, lane),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Whatever the cells, the thresholds and the noise: sums in steps fit 16 bits, and the code
        /// that is defined lies between those of its two bounds.
        #[test]
        fn codes_lie_between_their_bounds(
            seed in any::<u64>().prop_map(Seed),
            (lines, columns) in prop_oneof![Just((70usize, 16usize)), Just((25, 6)), (1usize..80, 1usize..=16)],
            slots in prop_oneof![Just(7usize), 1usize..=63],
            bits in prop_oneof![Just(3u8), 1u8..=6],
            scale in prop_oneof![0.0f32..2.0, (-9i32..=30).prop_map(|power| 10f32.powi(power))],
            sigma in prop_oneof![Just(0.0f32), 0.0f32..0.2, Just(3.0), Just(1e6)],
        ) {
            let mut rng = seed.rng();
            let mut number = |scale: f32| match rng.random_range(0..5) {
                0 => scale,
                1 => -scale,
                2 => f32::from(rng.random_range(0u8..4)),
                3 => rng.random_range(-1.5..2.5),
                _ => scale * rng.random_range(-1.0f32..1.0),
            };
            let mut spec = MacroSpec::preset("gt-n40").expect("a preset");
            (spec.rows_per_conversion, spec.adc.bits) = (slots, bits);
            let comparators = spec.adc.max_code();
            let lanes = |number: &mut dyn FnMut() -> f32| -> [f32; LANES] {
                std::array::from_fn(|_| number())
            };
            let cells: Vec<_> = (0..lines).map(|_| lanes(&mut || number(scale))).collect();
            let mut thresholds: Vec<_> =
                (0..comparators).map(|_| lanes(&mut || number(7.0 * scale))).collect();
            thresholds[0][3] = f32::INFINITY;
            let mut groups = Vec::new();
            for _ in 0..24 {
                let mut group: Vec<usize> = (0..lines).collect();
                group.shuffle(&mut rng);
                group.truncate(rng.random_range(1..=slots.min(lines)));
                group.sort_unstable();
                groups.push(group);
            }
            let signal = |group: &[usize], lane: usize| {
                group.iter().fold(0.0f32, |sum, &line| sum + cells[line][lane])
            };
            // Signals that are just reached.
            for (threshold, group) in thresholds.iter_mut().zip(&groups).skip(1) {
                *threshold = std::array::from_fn(|lane| signal(group, lane));
            }
            let tile = ChipTile { blocks: 1, cells: cells.clone(), thresholds: thresholds.clone() };
            let chip = Chip { number: 0, tiles: vec![tile] };
            let mut device = Device::new(&chip, &spec, seed);
            device.sigma.fill(sigma);
            for rows in 1..=slots {
                device.sigma[rows * device.stride] = sigma * 0.8;
            }
            let tile = TileCells {
                lines,
                columns,
                cell_bits: 1,
                blocks: 1,
                words: 2,
                physical: (0..lines as u32).collect(),
                weights: vec![0; 2 * LANES],
            };
            let steps = StepTile::new(&tile, &chip.tiles[0], &device, slots, &Sigma::of(&device));
            for group in &groups {
                for lane in 0..columns {
                    let (word, ones) = (rng.random::<u32>(), rng.random_range(0..=group.len()));
                    let extreme = if rng.random() { u32::MAX } else { 0 };
                    let word = if rng.random() { word } else { extreme };
                    let deviation = device.sigma[group.len() * device.stride + ones];
                    let signal = signal(group, lane) + deviation * gaussian(word);
                    let code = thresholds.iter().filter(|lsb| signal >= lsb[lane]).count();
                    let sum = i32::from(of_group(&steps.cells, group, (lines, slots), lane));
                    let (noise, byte) = (&steps.noise, (word >> 24) as u8);
                    // By the byte, and by its sixteen.
                    for closeness in 0..2 {
                        let [low, high] = [&noise.low, &noise.high].map(|table| {
                            let units = table.of(byte)[closeness].cast_signed();
                            sum + i32::from(units) * i32::from(noise.unit)
                        });
                        for sum in [low, high] {
                            prop_assert!(sum.abs() <= i16::MAX.into(), "{sum}");
                        }
                        let [least, most] = [low, high].map(|sum| {
                            steps.thresholds.iter().filter(|of| sum > i32::from(of[lane])).count()
                        });
                        prop_assert!((least..=most).contains(&code), "{code}, {least} to {most}");
                        prop_assert_eq!(steps.least_code((0, lane), low as i16), least as i32);
                        let bounds = [noise.by_byte(sum, byte), Some(noise.by_word(sum, word))];
                        for bounds in bounds.into_iter().flatten() {
                            let found = steps.code((0, lane), least as i32, bounds);
                            prop_assert!(found.is_none_or(|found| found == code as i32));
                        }
                    }
                }
            }
        }
    }
}
