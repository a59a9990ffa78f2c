//! [`StaticCost`]: what a mapping takes and how often its parts work for one image, as every pass that
//! changes them reports it.

use hafnia_cim::Groups;
use hafnia_ir::{Lines, Mapping, MatrixId, MatrixProfile, Planes, Tile};

use crate::pass::Context;
use crate::statistics::{Size, Statistics};

/// What a mapping takes, and how often its parts work for one image.
///
/// What every mapping needs as often is not counted: the sum of a tile's activations, which is
/// common to its columns, and shifts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StaticCost {
    /// What it takes.
    pub size: Size,
    /// Scans of a tile.
    pub scans: u64,
    /// Digital additions: of the row chunks and slices of an output, of activations before a shared
    /// row, and of all activations of a matrix with digital columns.
    pub additions: u64,
    /// Conversion cycles; see [`cycles_per_scan`].
    pub cycles: f64,
    /// Conversions, likewise.
    pub conversions: f64,
    /// Whether cycles and conversions are those expected on images like the profile's; else they are
    /// the most there can be.
    pub is_expected: bool,
}

impl StaticCost {
    /// The cost of a mapping of the network in `context`.
    pub fn of(mapping: &Mapping, context: &Context<'_>) -> Self {
        let mut cost = Self {
            size: Size::of(mapping),
            scans: 0,
            additions: 0,
            cycles: 0.0,
            conversions: 0.0,
            is_expected: context.profile.is_some(),
        };
        let per_scan = cycles_per_scan(mapping, context);
        for ((tile, scans), per_scan) in
            mapping.tiles.iter().zip(scans(mapping, context)).zip(per_scan)
        {
            let added_first =
                if tile.pre_add { tile.rows.len() - tile.lines().scan.len() } else { 0 };
            let (columns, cycles) = (mapping.geometry.width(tile), scans as f64 * per_scan);
            cost.scans += scans;
            cost.additions += scans * (columns + added_first) as u64;
            cost.cycles += cycles;
            cost.conversions += cycles * columns as f64;
        }
        for (layer, of) in context.network.matrices().iter().zip(&mapping.matrices) {
            // The first part of an output is not added to another.
            cost.additions -= (layer.positions * of.outputs()) as u64;
        }
        cost
    }

    /// Adds what differs between this cost and the one after a pass to the statistics of the pass.
    pub fn changed(self, after: Self, statistics: Statistics) -> Statistics {
        let bound = if self.is_expected { "" } else { " at most" };
        let lines = [
            ("scans of a tile, per image".to_owned(), self.scans as f64, after.scans as f64),
            (
                "digital additions, per image".to_owned(),
                self.additions as f64,
                after.additions as f64,
            ),
            (format!("conversion cycles, per image{bound}"), self.cycles, after.cycles),
            (format!("conversions, per image{bound}"), self.conversions, after.conversions),
        ];
        // The same sum over tiles in another order differs by rounding.
        let differs = |before: f64, after: f64| (after - before).abs() > 1e-9 * before.abs();
        lines
            .into_iter()
            .filter(|(_, before, after)| differs(*before, *after))
            .fold(statistics.resized(self.size, after.size), |statistics, (name, before, after)| {
                statistics.changed(name, before, after)
            })
    }
}

/// How often every tile is scanned for one image: once for every output position that its replica
/// computes.
pub fn scans(mapping: &Mapping, context: &Context<'_>) -> Vec<u64> {
    let layers = context.network.matrices();
    let matrices = layers
        .iter()
        .zip(0..)
        .map(|(layer, matrix)| (layer.positions, mapping.replicas(MatrixId(matrix)) as usize));
    let matrices: Vec<(usize, usize)> = matrices.collect();
    let scans = |tile: &Tile| {
        let (positions, replicas) = matrices[tile.matrix.index()];
        (tile.replica as usize..positions).step_by(replicas).len() as u64
    };
    mapping.tiles.iter().map(scans).collect()
}

/// Samples of a profile that are looked at, at most: evenly spaced.
///
/// A mean over that many of a count with deviation σ is off by σ / 31; passes take it twice.
const SAMPLES: usize = 1000;

/// Conversion cycles of one scan of every tile, in all bit-planes: the mean over samples of the
/// profile or, without a sample of the matrix, with all inputs on, the most there can be.
pub fn cycles_per_scan(mapping: &Mapping, context: &Context<'_>) -> Vec<f64> {
    let layers = context.network.matrices();
    let cycles = |tile: &Tile| {
        let (matrix, lines) = (tile.matrix.index(), tile.lines());
        let planes = tile.planes(&lines, &mapping.matrices[matrix], &layers[matrix]);
        let profile = context.profile.map(|profile| &profile.matrices[matrix]);
        match profile.filter(|profile| profile.samples() > 0) {
            Some(profile) => expected_cycles(tile, (&lines, &planes), profile, context),
            None => most_cycles(&lines, &planes, context),
        }
    };
    mapping.tiles.iter().map(cycles).collect()
}

fn most_cycles(lines: &Lines, planes: &Planes, context: &Context<'_>) -> f64 {
    let (spec, mut groups) = (context.spec, Groups::default());
    let all: Vec<u32> = (0..lines.scan.len() as u32).collect();
    spec.input_control.groups(spec.rows_per_conversion, &lines.scan, &all, &mut groups);
    (groups.len() * planes.factors().len()) as f64
}

fn expected_cycles(
    tile: &Tile,
    (lines, planes): (&Lines, &Planes),
    profile: &MatrixProfile,
    context: &Context<'_>,
) -> f64 {
    let (spec, mut groups) = (context.spec, Groups::default());
    let step = profile.samples().div_ceil(SAMPLES);
    let mut sums = vec![0; lines.scan.len()];
    let mut active = Vec::new();
    let (mut cycles, mut samples) = (0, 0);
    for sample in (0..profile.samples()).step_by(step) {
        lines.add_up(&tile.rows, profile.sample(sample), &mut sums);
        for plane in 0..planes.factors().len() {
            active.clear();
            let is_on = |(_, sum): &(u32, &u32)| planes.code(**sum) >> plane & 1 == 1;
            active.extend((0..).zip(&sums).filter(is_on).map(|(line, _)| line));
            spec.input_control.groups(spec.rows_per_conversion, &lines.scan, &active, &mut groups);
            cycles += groups.len();
        }
        samples += 1;
    }
    cycles as f64 / f64::from(samples)
}

#[cfg(test)]
mod tests {
    use hafnia_cim::{CodeTable, MacroSpec};
    use hafnia_ir::RowEntry;
    use hafnia_model::random::lenet5;
    use hafnia_rng::Seed;

    use super::*;
    use crate::tests::{context, linear, profile};

    #[test]
    fn replicas_share_the_positions() {
        let (network, spec) = (lenet5(Seed(1)), MacroSpec::preset("gt-n40").unwrap());
        let code_table = CodeTable::from_spec(&spec);
        let given = context(&network, &spec, &code_table);
        let mut mapping = Mapping::logical(&network, &spec);
        assert_eq!(scans(&mapping, &given), [784, 100, 1, 1, 1]);
        let alone = StaticCost::of(&mapping, &given);
        assert_eq!((alone.scans, alone.additions), (887, 0));
        for replica in 1..3 {
            mapping.tiles.push(Tile { replica, ..mapping.tiles[0].clone() });
        }
        assert_eq!(scans(&mapping, &given), [262, 100, 1, 1, 1, 261, 261]);
        let together = StaticCost::of(&mapping, &given);
        assert_eq!(StaticCost { size: alone.size, ..together }, alone);
    }

    /// Sixteen equal rows on one physical row, of 2-bit activations.
    #[test]
    fn additions_before_a_shared_row_are_counted() {
        let network = linear(hafnia_model::BitMatrix::from_fn(16, 2, |_, column| column == 0), 2);
        let spec = MacroSpec::preset("gt-n40").unwrap();
        let code_table = CodeTable::from_spec(&spec);
        let given = context(&network, &spec, &code_table);
        let mut mapping = Mapping::logical(&network, &spec);
        let tile = &mut mapping.tiles[0];
        tile.bits = tile.bits.select_rows([0]);
        let entry = |logical| RowEntry { logical, physical: 0, negative: false };
        tile.rows = (0..16).map(entry).collect();
        let repeat = StaticCost::of(&mapping, &given);
        assert_eq!((repeat.additions, repeat.cycles), (0, 32.0));
        mapping.tiles[0].pre_add = true;
        let pre_add = StaticCost::of(&mapping, &given);
        // A sum of at most 48 has 6 bits.
        assert_eq!((pre_add.additions, pre_add.cycles), (15, 6.0));
    }

    #[test]
    fn a_profile_gives_what_is_expected() {
        let (network, spec) = (lenet5(Seed(1)), MacroSpec::preset("gt-n40").unwrap());
        let code_table = CodeTable::from_spec(&spec);
        let mut profile = profile(Seed(1), &network, 10);
        let most = context(&network, &spec, &code_table);
        let mapping = Mapping::logical(&network, &spec);
        let cycles = |profile: &hafnia_ir::Profile| {
            cycles_per_scan(&mapping, &Context { profile: Some(profile), ..most })
        };
        // 25, 150, 400, 120 and 84 rows, seven at a time, in two bit-planes.
        assert_eq!(cycles_per_scan(&mapping, &most), [8.0, 44.0, 116.0, 36.0, 24.0]);
        let expected = cycles(&profile);
        assert!(expected.iter().zip(cycles_per_scan(&mapping, &most)).all(|(a, b)| *a < b));
        for matrix in &mut profile.matrices {
            matrix.activations.fill(3);
        }
        assert_eq!(cycles(&profile), cycles_per_scan(&mapping, &most));
        profile.matrices[4].activations.clear();
        assert_eq!(cycles(&profile), cycles_per_scan(&mapping, &most));
    }
}
