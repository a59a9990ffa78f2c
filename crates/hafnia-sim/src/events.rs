//! [`EventCounts`]: the events of an evaluation, tile by tile.
//!
//! [`Evaluation::events`](crate::Evaluation::events) adds up what happens for a matrix; what that
//! costs depends on the tile: how many columns share a converter, which macro is busy, how many of
//! the cells that are on conduct. Here the noiseless network runs once, without a converter, and the
//! scans of every tile are grouped as the engines group them ([`InputControl::groups`]), with one
//! look at every row that is on. Added up over a matrix the counts are those of an evaluation with
//! [`EngineKind::Exact`](crate::EngineKind::Exact) on a macro that loses nothing; a test holds them
//! to it. Noise changes activations and so the counts, hardly.
//!
//! [`InputControl::groups`]: hafnia_cim::InputControl::groups

use std::sync::atomic::{AtomicU64, Ordering};

use hafnia_cim::{Groups, MacroSpec};
use hafnia_ir::{Lines, Mapping, Planes, Tile};
use hafnia_model::{Multiply, ReferenceProduct, run};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::mapped::{Events, Plan};
use crate::programmed::Programmed;
use crate::run::Progress;

/// What happened over some images, per tile of a mapping.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventCounts {
    /// Images that were run.
    pub images: u64,
    /// By [`TileId`](hafnia_ir::TileId).
    pub tiles: Vec<TileEvents>,
}

/// How often the parts of a macro work for one tile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TileEvents {
    /// Input vectors that reached it: output positions of a convolution, or 1 an image.
    pub positions: u64,
    /// Scans: one an input vector and bit-plane.
    pub scans: u64,
    /// Conversion cycles: groups of rows that were on.
    pub groups: u64,
    /// Conversion cycles that the same active rows would have taken in full groups; the others are
    /// stalls, where a group closed early.
    pub full_groups: u64,
    /// Rows that were on, added up over the groups.
    pub rows_on: u64,
    /// Levels of the cells in the rows that were on, added up over the groups: the cells in LRS,
    /// where cells hold 1 bit.
    pub levels_on: u64,
}

impl std::ops::AddAssign for TileEvents {
    fn add_assign(&mut self, other: Self) {
        self.positions += other.positions;
        self.scans += other.scans;
        self.groups += other.groups;
        self.full_groups += other.full_groups;
        self.rows_on += other.rows_on;
        self.levels_on += other.levels_on;
    }
}

impl EventCounts {
    /// The counts by matrix, as an evaluation gives them.
    ///
    /// # Panics
    /// If `mapping` has another number of tiles.
    pub fn by_matrix(&self, mapping: &Mapping) -> Vec<Events> {
        assert_eq!(self.tiles.len(), mapping.tiles.len(), "the mapping that was run");
        let mut events = vec![Events::default(); mapping.matrices.len()];
        for (tile, counted) in mapping.tiles.iter().zip(&self.tiles) {
            events[tile.matrix.index()] += Events {
                groups: counted.groups,
                conversions: counted.groups * mapping.geometry.width(tile) as u64,
                rows_on: counted.rows_on,
            };
        }
        events
    }
}

impl Programmed<'_> {
    /// Counts what happens in every tile while the noiseless network runs over the images of the
    /// reference, whatever the scope; `progress` is called with images.
    ///
    /// The result depends on no number of threads.
    pub fn count_events(&self, progress: Progress<'_>) -> EventCounts {
        let Self { reference, mapping, spec, .. } = *self;
        let (network, count) = (reference.network, reference.images());
        let layers = network.matrices();
        let cell_bits = mapping.geometry.cell_bits;
        let tiles = mapping.tiles.iter().map(|tile| {
            let (matrix, lines) = (tile.matrix.index(), tile.lines());
            let planes = tile.planes(&lines, &mapping.matrices[matrix], &layers[matrix]);
            Counted { tile, lines, planes, levels: levels_of_rows(tile, cell_bits.into()) }
        });
        let tiles: Vec<Counted> = tiles.collect();
        let start = || Counter {
            spec,
            plan: &self.plan,
            tiles: &tiles,
            plain: reference.plain.clone(),
            events: vec![TileEvents::default(); tiles.len()],
            sums: Vec::new(),
            active: Vec::new(),
            groups: Groups::default(),
            image: Vec::new(),
        };
        let done = AtomicU64::new(0);
        let add = |mut all: Vec<TileEvents>, events: Vec<TileEvents>| {
            all.iter_mut().zip(events).for_each(|(all, events)| *all += events);
            all
        };
        let events = (0..count)
            .into_par_iter()
            .fold(start, |mut counter, image| {
                let mut buffer = std::mem::take(&mut counter.image);
                run(network, reference.images.image(image, &mut buffer), &mut counter);
                counter.image = buffer;
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, count as u64);
                counter
            })
            .map(|counter| counter.events)
            .reduce(|| vec![TileEvents::default(); tiles.len()], add);
        EventCounts { images: count as u64, tiles: events }
    }
}

/// A tile as it is scanned.
struct Counted<'a> {
    tile: &'a Tile,
    lines: Lines,
    planes: Planes,
    /// Per physical row, the levels of its cells, added up.
    levels: Vec<u64>,
}

/// Per physical row, the levels of its cells of `cell_bits` bits, added up.
fn levels_of_rows(tile: &Tile, cell_bits: usize) -> Vec<u64> {
    let (rows, columns) = (tile.physical_rows(), tile.columns.len());
    let bit = |row, column| u64::from(tile.bits.get(row, column)) << (column % cell_bits);
    let levels = |row| (0..columns).map(|column| bit(row, column)).sum();
    (0..rows).map(levels).collect()
}

/// Multiplies plainly and counts what the tiles would have done.
struct Counter<'a> {
    spec: &'a MacroSpec,
    plan: &'a Plan,
    tiles: &'a [Counted<'a>],
    plain: ReferenceProduct,
    events: Vec<TileEvents>,
    sums: Vec<u32>,
    active: Vec<u32>,
    groups: Groups,
    /// The image that is run.
    image: Vec<u8>,
}

impl Counter<'_> {
    fn count(&mut self, index: usize, activations: &[u8]) {
        let Counted { tile, lines, planes, levels } = &self.tiles[index];
        let (scan, most) = (&lines.scan, self.spec.rows_per_conversion);
        self.sums.resize(self.sums.len().max(scan.len()), 0);
        lines.add_up(&tile.rows, activations, &mut self.sums);
        let events = &mut self.events[index];
        events.positions += 1;
        for plane in 0..planes.factors().len() {
            let is_on = |&line: &u32| planes.code(self.sums[line as usize]) >> plane & 1 == 1;
            self.active.clear();
            self.active.extend((0..scan.len() as u32).filter(is_on));
            self.spec.input_control.groups(most, scan, &self.active, &mut self.groups);
            events.scans += 1;
            events.groups += self.groups.len() as u64;
            events.full_groups += self.active.len().div_ceil(most) as u64;
            events.rows_on += self.active.len() as u64;
            let of_row = |&line: &u32| levels[scan[line as usize].physical as usize];
            events.levels_on += self.active.iter().map(of_row).sum::<u64>();
        }
    }
}

impl Multiply for Counter<'_> {
    fn multiply(&mut self, matrix: usize, position: usize, activations: &[u8], sums: &mut [i32]) {
        for tile in self.plan.tiles_at(matrix, position) {
            self.count(tile.index(), activations);
        }
        self.plain.multiply(matrix, position, activations, sums);
    }
}

#[cfg(test)]
mod tests {
    use hafnia_ir::{Geometry, Stage};
    use hafnia_model::random;
    use hafnia_rng::Seed;
    use proptest::prelude::*;

    use super::*;
    use crate::images::Images;
    use crate::reference::{NoiseScope, Reference};
    use crate::run::Engines;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// One definition of events: what is counted here is what the engine counted.
        #[test]
        fn adds_up_to_the_events_of_an_evaluation(seed: u64, stage in 0usize..3, window in 0usize..9) {
            let seed = Seed(seed);
            let network = random::network(seed.site("network"), random::Limits::default());
            let mut spec = MacroSpec::preset("gt-n40").unwrap();
            (spec.rows, spec.columns, spec.columns_per_adc) = (24, 16, 4);
            spec.cell.bits_per_cell = hafnia_ir::random::cell_bits(seed);
            // No sum of levels exceeds the largest code.
            spec.rows_per_conversion = 7 / spec.cell.top_level();
            if window > 0 {
                spec.set("input_control", &format!("fixed-window{{{window}}}")).unwrap();
            }
            let mapping = hafnia_ir::random::mapping(
                seed.site("mapping"), &network, &Geometry::from(&spec), Stage::ALL[stage],
            );
            let activations: Vec<u8> = (0..3)
                .flat_map(|image| random::image(seed.site("image").index(image), network.input()))
                .collect();
            let images = Images { activations, labels: vec![0; 3] };
            let reference = Reference::new(&network, &images).unwrap();
            let programmed =
                Programmed::new(&reference, &mapping, &spec, &NoiseScope::All).unwrap();
            let counted = programmed.count_events(&|_, _| ());
            let evaluation = programmed.run(0..1, seed).on(&Engines::Exact).unwrap();
            prop_assert_eq!(counted.by_matrix(&mapping), evaluation.events);
            for (tile, events) in mapping.tiles.iter().zip(&counted.tiles) {
                prop_assert!(events.full_groups <= events.groups);
                prop_assert!(events.groups <= events.rows_on);
                let levels = mapping.geometry.width(tile) * spec.cell.top_level();
                prop_assert!(events.levels_on <= events.rows_on * levels as u64);
            }
        }
    }
}
