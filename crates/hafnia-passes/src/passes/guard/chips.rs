//! A tile on virtual chips: the thing itself, of which `analysis/damage.rs` has the formula.
//!
//! The tile is programmed on chips drawn as those of `hafnia-sim` are ([`Fabrication`]), and every sample is
//! read on each of them, conversion by conversion. It is right at any noise, and slow, so that it judges
//! two ways to store a tile instead of leading a search. Left out are fault maps and the resistance of
//! lines, which depend on where on a macro a tile will lie.
//!
//! Two ways to store a tile meet the same chips: a cell has the draws of the first logical row that
//! uses it and of its logical column, wherever it stands.
//!
//! Cost per sample, chip and way: one sum of vectors per row that is on, and one comparison per
//! threshold and conversion.

use hafnia_cim::{Fabrication, FaultMap, Faults, Groups, MacroSpec};
use hafnia_ir::{Column, Tile};
use hafnia_model::Scores;
use hafnia_rng::{Counter, Seed, gaussian};
use hafnia_simd::LANES;
use rayon::prelude::*;

use crate::analysis::Scanned;

/// Chips of a seed, and samples of a profile.
struct Judge<'a> {
    spec: MacroSpec,
    /// Indices in the profile.
    samples: &'a [usize],
    seed: Seed,
}

/// The damage that two ways to store a network's last matrix do, by chip and sample: 1 where another
/// class wins than without noise.
pub(super) fn damages(
    ways: [&Scanned<'_>; 2],
    samples: &[usize],
    chips: u64,
    spec: &MacroSpec,
    seed: Seed,
) -> Vec<[Vec<f64>; 2]> {
    let faults = Faults { map: FaultMap::default(), ..spec.faults.clone() };
    let judge = Judge { spec: MacroSpec { faults, ..spec.clone() }, samples, seed };
    let trials = ways.map(|scanned| Trial::new(&judge, scanned));
    let of_chip = |chip| [0, 1].map(|way: usize| trials[way].damages(&judge, chip));
    (0..chips).into_par_iter().map(of_chip).collect()
}

/// A tile, and how it reads every sample; the same on all chips.
struct Trial<'a> {
    tile: &'a Tile,
    blocks: usize,
    /// The logical row whose draws the cells of every physical row have.
    named: Vec<u32>,
    /// The groups of all samples, and where those of every sample end.
    groups: Vec<Group>,
    ends: Vec<usize>,
    /// The physical rows of all groups.
    rows: Vec<u32>,
    /// (group, block): ones among the rows that are on.
    ones: Vec<[i32; LANES]>,
    /// By tile column: its output, and what an error of its code counts there.
    outputs: Vec<(usize, i32)>,
    /// By sample: the noiseless outputs.
    sums: Vec<Vec<i32>>,
    /// How they compare.
    scores: &'a Scores,
}

/// A conversion cycle.
struct Group {
    /// Where its rows end.
    end: usize,
    /// What its codes count: the factor of the plane, or minus that.
    factor: i32,
    /// plane · 2²⁴ + number of the group in its plane: the address of its temporal noise.
    plane_group: u32,
}

impl<'a> Trial<'a> {
    fn new(judge: &Judge<'_>, scanned: &'a Scanned<'_>) -> Self {
        let tile = &*scanned.tile;
        let (profile, planes) = (scanned.profile(), scanned.planes());
        let profile = profile.expect("a judge is asked where there is a profile");
        let blocks = tile.columns.len().div_ceil(LANES);
        let mut named = vec![u32::MAX; tile.physical_rows()];
        for entry in tile.rows.iter() {
            let name = &mut named[entry.physical as usize];
            *name = entry.logical.min(*name);
        }
        let (coding, slices) = (scanned.coding(), scanned.coding().slices());
        let output = |column: &Column| {
            let (output, slice) =
                (column.logical as usize / slices, column.logical as usize % slices);
            let factor = coding.factors()[slice];
            (output, if column.inverted { -factor } else { factor })
        };
        let answers = scanned.answers().expect("and where the tile holds the last matrix whole");
        let sums = |&sample: &usize| answers.outputs(&planes.levels(profile.sample(sample)));
        let mut trial = Self {
            tile,
            blocks,
            named,
            groups: Vec::new(),
            ends: Vec::new(),
            rows: Vec::new(),
            ones: Vec::new(),
            outputs: tile.columns.iter().map(output).collect(),
            sums: judge.samples.iter().map(sums).collect(),
            scores: answers.scores(),
        };
        let (scan, mut groups) = (tile.rows.scan(), Groups::default());
        let mut active: Vec<u32> = Vec::new();
        for &sample in judge.samples {
            let activations = profile.sample(sample);
            for (plane, &factor) in (0..).zip(planes.factors()) {
                active.clear();
                let is_on = |&(_, &row): &(u32, &u32)| activations[row as usize] >> plane & 1 == 1;
                active.extend((0..).zip(tile.rows.logical()).filter(is_on).map(|(at, _)| at));
                let most = judge.spec.rows_per_conversion;
                judge.spec.input_control.groups(most, scan, &active, &mut groups);
                for (group, range) in (0..).zip(groups.iter()) {
                    trial.read(&active[range], factor, plane << 24 | group);
                }
            }
            trial.ends.push(trial.groups.len());
        }
        trial
    }

    /// Adds a group of scan positions, in a plane that counts `factor` times.
    fn read(&mut self, positions: &[u32], factor: i32, plane_group: u32) {
        let scan = self.tile.rows.scan();
        let first = self.rows.len();
        self.rows.extend(positions.iter().map(|&position| scan[position as usize].physical));
        let factor = if scan[positions[0] as usize].negative { -factor } else { factor };
        self.groups.push(Group { end: self.rows.len(), factor, plane_group });
        for block in 0..self.blocks {
            let mut ones = [0; LANES];
            for (lane, column) in (block * LANES..self.tile.columns.len()).take(LANES).enumerate() {
                let is_one = |&&row: &&u32| self.tile.bits.get(row as usize, column);
                ones[lane] = self.rows[first..].iter().filter(is_one).count() as i32;
            }
            self.ones.push(ones);
        }
    }

    /// The damage to every sample on a chip.
    fn damages(&self, judge: &Judge<'_>, chip: u64) -> Vec<f64> {
        let chip = OnChip::program(self, judge, chip);
        let (mut group, mut row) = (0, 0);
        let mut errors = vec![[0; LANES]; self.blocks];
        let mut damages = Vec::with_capacity(self.ends.len());
        for (sample, (&end, sums)) in self.ends.iter().zip(&self.sums).enumerate() {
            errors.fill([0; LANES]);
            while group < end {
                let of = &self.groups[group];
                let ones = &self.ones[group * self.blocks..][..self.blocks];
                let rows = &self.rows[row..of.end];
                let at = [judge.samples[sample] as u32, of.plane_group];
                for (block, (errors, ones)) in errors.iter_mut().zip(ones).enumerate() {
                    let codes = chip.codes(rows, block, ones, at);
                    for lane in 0..LANES {
                        errors[lane] += of.factor * (codes[lane] - ones[lane]);
                    }
                }
                (group, row) = (group + 1, of.end);
            }
            let mut noisy = sums.clone();
            for (&(output, factor), &error) in self.outputs.iter().zip(errors.as_flattened()) {
                noisy[output] += factor * error;
            }
            let scores = self.scores;
            damages.push(f64::from(u8::from(scores.class(&noisy) != scores.class(sums))));
        }
        damages
    }
}

/// A tile on a chip.
struct OnChip {
    blocks: usize,
    /// (physical row, block): what a cell adds to a signal, in LSB.
    cells: Vec<[f32; LANES]>,
    comparators: usize,
    /// (block, comparator): thresholds in LSB.
    thresholds: Vec<[f32; LANES]>,
    /// (rows on, ones): deviation of temporal noise, in LSB; empty if there is none.
    temporal: Vec<f32>,
    stride: usize,
    source: Counter,
}

impl OnChip {
    fn program(trial: &Trial<'_>, judge: &Judge<'_>, chip: u64) -> Self {
        let (tile, blocks, spec) = (trial.tile, trial.blocks, &judge.spec);
        let fabrication = Fabrication::new(spec, judge.seed, chip);
        let logical = || tile.columns.iter().map(|column| column.logical as usize);
        let (first, last) = (logical().min().unwrap_or(0), logical().max().unwrap_or(0));
        let mut programmed = vec![0; last - first + 1];
        let mut row_of_cells = fabrication.cells(0, first, programmed.len());
        let mut cells = vec![[0.0; LANES]; tile.physical_rows() * blocks];
        for (row, &named) in trial.named.iter().enumerate() {
            for (column, logical) in logical().enumerate() {
                programmed[logical - first] = usize::from(tile.bits.get(row, column));
            }
            let signals = row_of_cells.program(named, |column| programmed[column]);
            for (column, logical) in logical().enumerate() {
                cells[row * blocks + column / LANES][column % LANES] =
                    signals[logical - first] as f32;
            }
        }
        let comparators = spec.adc.max_code();
        let mut of_column = vec![0.0; comparators];
        let mut thresholds = vec![[f32::INFINITY; LANES]; blocks * comparators];
        for (column, logical) in logical().enumerate() {
            fabrication.thresholds(0, logical as u32, &mut of_column);
            let of_block = &mut thresholds[column / LANES * comparators..][..comparators];
            for (block, &threshold) in of_block.iter_mut().zip(&of_column) {
                block[column % LANES] = threshold as f32;
            }
        }
        let (most, converter) = (spec.rows_per_conversion, spec.adc.comparator_noise_lsb);
        let deviation = |rows: usize, ones: usize| {
            let cells = spec.cell.read_variance_lsb2(ones.min(rows), rows);
            (cells + converter * converter).sqrt() as f32
        };
        let temporal = (0..=most).flat_map(|rows| (0..=most).map(move |ones| (rows, ones)));
        let mut temporal: Vec<f32> = temporal.map(|(rows, ones)| deviation(rows, ones)).collect();
        if temporal.iter().all(|&sigma| sigma == 0.0) {
            temporal.clear();
        }
        let source = judge.seed.site("judge/reads").index(chip).counter();
        Self { blocks, cells, comparators, thresholds, temporal, stride: most + 1, source }
    }

    /// The codes of a block of columns, for rows that are on with these numbers of ones.
    fn codes(
        &self,
        rows: &[u32],
        block: usize,
        ones: &[i32; LANES],
        [sample, plane_group]: [u32; 2],
    ) -> [i32; LANES] {
        let mut signal = [0.0f32; LANES];
        for &row in rows {
            let cells = &self.cells[row as usize * self.blocks + block];
            for (signal, cell) in signal.iter_mut().zip(cells) {
                *signal += cell;
            }
        }
        if !self.temporal.is_empty() {
            for quad in 0..LANES / 4 {
                let at = [sample, plane_group, (block * LANES / 4 + quad) as u32, 0];
                for (lane, word) in (quad * 4..).zip(self.source.block(at)) {
                    let state = rows.len() * self.stride + ones[lane] as usize;
                    signal[lane] += self.temporal[state] * gaussian(word);
                }
            }
        }
        let mut codes = [0; LANES];
        for threshold in &self.thresholds[block * self.comparators..][..self.comparators] {
            for lane in 0..LANES {
                codes[lane] += i32::from(signal[lane] >= threshold[lane]);
            }
        }
        codes
    }
}
