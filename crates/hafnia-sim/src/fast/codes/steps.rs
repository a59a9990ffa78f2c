//! [`StepTile`]: a programmed tile in whole steps of 16 bits, with a bound of how far they are off the
//! floats that define it.

use hafnia_rng::gaussian;
use hafnia_simd::{ByteTable, LANES};

use crate::chip::ChipTile;
use crate::engine::Device;
use crate::fast::codes::TileCells;

/// Lines that fit a byte, the one that is never on included.
pub(super) const FEW: usize = 256;

/// A tile in steps.
pub(super) struct StepTile {
    /// Lines of a block, at least [`FEW`].
    pub(super) lines: usize,
    /// `[block][line]` × 16 columns: signals of cells less the middle of all of them, that of the line
    /// that is never on being 0.
    pub(super) cells: Vec<Steps>,
    /// Thresholds of a column.
    pub(super) comparators: usize,
    /// `[block][comparator]` × 16 columns: thresholds, ascending, less the middle of as many cells as
    /// a group has slots. A code is the number of those that are reached, whichever they are.
    pub(super) thresholds: Vec<[i16; LANES]>,
    pub(super) noise: Noise,
}

/// 16 columns in steps, within one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub(super) struct Steps(pub(super) [i16; LANES]);

/// Bounds of the temporal noise, all errors included, by the highest byte of its word: signed bytes, in
/// units of so many steps.
#[derive(Debug)]
pub(super) struct Noise {
    pub(super) unit: i16,
    pub(super) low: ByteTable,
    pub(super) high: ByteTable,
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
        let lines = (tile.lines + 1).max(FEW);
        let mut cells = vec![Steps([steps(-middle); LANES]); lines * tile.blocks];
        for block in 0..tile.blocks {
            for (line, &row) in tile.physical.iter().enumerate() {
                let of_row = &chip.cells[row as usize * tile.blocks + block];
                let of_row = of_row.map(|lsb| steps(f64::from(lsb) - middle));
                cells[block * lines + line] = Steps(of_row);
            }
        }
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
        Self { lines, cells, comparators, thresholds, noise }
    }
}

/// The smallest and the largest standard deviation of the temporal noise of any group, in LSB.
pub(super) struct Sigma {
    least: f64,
    most: f64,
}

impl Sigma {
    pub(super) fn of(device: &Device<'_>) -> Self {
        // Of a number of rows that are on, what their ones can be.
        let rows = device.sigma.chunks(device.stride).enumerate().skip(1);
        let all = rows.flat_map(|(rows, of_ones)| &of_ones[..=rows]).map(|&sigma| sigma.into());
        let most = all.clone().fold(0.0, f64::max);
        Self { least: all.fold(most, f64::min), most }
    }
}

impl Noise {
    fn new(sigma: &Sigma, steps_per_lsb: f64, error: f64) -> Self {
        let Sigma { least, most } = *sigma;
        // From the lowest word with the first byte to the highest with the last.
        let bounds = |first: u8, last: u8| {
            let z = [u32::from(first) << 24, u32::from(last) << 24 | 0xff_ffff].map(gaussian);
            let [low, high] = z.map(|z| f64::from(z) * steps_per_lsb);
            ((low * least).min(low * most) - error, (high * least).max(high * most) + error)
        };
        let unit = (bounds(u8::MAX, u8::MAX).1 / 127.0).ceil();
        let byte = |units: f64| (units as i8).cast_unsigned();
        Self {
            unit: unit as i16,
            low: ByteTable::new(|first, last| byte((bounds(first, last).0 / unit).floor())),
            high: ByteTable::new(|first, last| byte((bounds(first, last).1 / unit).ceil())),
        }
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

    const LINES: usize = 70;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Whatever the cells, the thresholds and the noise: sums in steps fit 16 bits, and the code
        /// that is defined lies between those of its two bounds.
        #[test]
        fn codes_lie_between_their_bounds(
            seed in any::<u64>().prop_map(Seed),
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
            let cells: Vec<_> = (0..LINES).map(|_| lanes(&mut || number(scale))).collect();
            let mut thresholds: Vec<_> =
                (0..comparators).map(|_| lanes(&mut || number(7.0 * scale))).collect();
            thresholds[0][3] = f32::INFINITY;
            let mut groups = Vec::new();
            for _ in 0..24 {
                let mut group: Vec<usize> = (0..LINES).collect();
                group.shuffle(&mut rng);
                group.truncate(rng.random_range(1..=slots));
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
                lines: LINES,
                columns: LANES,
                blocks: 1,
                words: 2,
                physical: (0..LINES as u32).collect(),
                weights: vec![0; 2 * LANES],
            };
            let steps = StepTile::new(&tile, &chip.tiles[0], &device, slots, &Sigma::of(&device));
            for group in &groups {
                for lane in 0..LANES {
                    let (word, ones) = (rng.random::<u32>(), rng.random_range(0..=group.len()));
                    let extreme = if rng.random() { u32::MAX } else { 0 };
                    let word = if rng.random() { word } else { extreme };
                    let of_group = device.sigma[group.len() * device.stride + ones];
                    let signal = signal(group, lane) + of_group * gaussian(word);
                    let code = thresholds.iter().filter(|lsb| signal >= lsb[lane]).count();
                    let of_line = |line: usize| i32::from(steps.cells[line].0[lane]);
                    let unused = (slots - group.len()) as i32 * of_line(LINES);
                    let sum = group.iter().map(|&line| of_line(line)).sum::<i32>() + unused;
                    let [low, high] = [&steps.noise.low, &steps.noise.high].map(|table| {
                        let units = table.of((word >> 24) as u8).cast_signed();
                        sum + i32::from(units) * i32::from(steps.noise.unit)
                    });
                    for sum in [low, high] {
                        prop_assert!(sum.abs() <= i16::MAX.into(), "{sum}");
                    }
                    let [least, most] = [low, high].map(|sum| {
                        steps.thresholds.iter().filter(|of| sum > i32::from(of[lane])).count()
                    });
                    prop_assert!((least..=most).contains(&code), "{code}, {least} to {most}");
                }
            }
        }
    }
}
