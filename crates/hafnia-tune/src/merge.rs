//! [`merge`]: rows of a matrix made equal, so that they can share a row of cells.

use std::collections::BTreeMap;

use hafnia_model::Network;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::TuneError;
use crate::moves::{Gains, Sparse, Step};
use crate::patterns::Damage;
use crate::refine::{self, Change, Difference, Images, Options, Visit, descend, differences};
use crate::search::Search;
use crate::state::Scratch;

/// The result of [`merge`].
#[derive(Debug, Clone)]
pub struct Merged {
    /// The network, with equal rows.
    pub network: Network,
    /// What was done to it.
    pub report: MergeReport,
}

/// What [`merge`] did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MergeReport {
    /// Name of the layer.
    pub layer: String,
    /// Rows of its matrix.
    pub logical_rows: usize,
    /// Different rows before.
    pub rows_before: usize,
    /// Different rows afterwards.
    pub rows: usize,
    /// Bits of the layer that changed.
    pub bits_changed: u64,
    /// Of every row the bits that changed.
    pub rows_hamming: Vec<u64>,
    /// What changed in any layer.
    pub differences: Vec<Difference>,
    /// The factor of the outputs in the loss.
    pub scale: f64,
    /// On the images that are searched on.
    pub searched: Change,
    /// On the images that are held back.
    pub held_back: Change,
    /// Visits of layers, in order: of the merged layer alone, then of all that are tuned.
    pub visits: Vec<Visit>,
}

/// The patterns near a row's, by estimated damage, that are tried for it.
const NEAREST: usize = 8;
/// Rounds of moving rows between patterns and changing patterns, at most.
const ROUNDS: u32 = 4;

/// Makes rows of a linear layer equal until `rows` different ones are left, none of which another
/// can be told from by the images any better.
///
/// Rows are put together by the damage that single weights would do to the
/// [`Loss`](crate::Loss) of the images; then rows move between patterns and patterns change, by the
/// loss itself. If `tune` is set, the other integers follow as [`refine`](crate::refine()) has them,
/// equal rows staying equal. A network with no more than `rows` different ones is only tuned.
/// Calls `progress` with (channels visited, channels at most).
///
/// # Errors
/// If images do not fit the network, the layer is not there or is a convolution, there are not so
/// many rows, or an option is outside its range.
pub fn merge(
    network: &Network,
    images: Images<'_>,
    layer: &str,
    rows: usize,
    tune: bool,
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Merged, TuneError> {
    options.check()?;
    let index = refine::position(network, "layer", layer)?;
    let logical_rows = network.matrices()[index].weights.rows();
    if !(1..=logical_rows).contains(&rows) {
        let (value, max) = (rows as f64, logical_rows as f64);
        return Err(TuneError::Range { key: "rows", value, min: 1.0, max });
    }
    let state = refine::state(network, images, options)?;
    let mut search = Search::new(state, options.reach, options.sigmas);
    if search.state.stages[index].is_convolution() {
        return Err(TuneError::Convolution { layer: layer.to_owned() });
    }
    let tuned = refine::layers(network, &options.layers)?;
    let (searched, held_back) = search.state.scores();

    let equal = equal_rows(&search, index);
    let rows_before = equal.len();
    let mut visits = Vec::new();
    if rows < rows_before {
        let damage = Damage::of(&search, index);
        let mut clusters = damage.cluster(&equal, rows);
        damage.tell_apart(&search, index, &mut clusters);
        search.tie(index, clusters);
        for round in 1..=ROUNDS {
            let moved = search.move_rows(index, &damage);
            let once =
                Options { passes: 1, seed: options.seed.index(round.into()), ..options.clone() };
            let changed = descend(&mut search, &[index], &once, &mut |_, _| {});
            let is_done = moved + changed.iter().map(|visit| visit.made).sum::<u64>() == 0;
            visits.extend(changed.into_iter().map(|visit| Visit { pass: round, ..visit }));
            if is_done {
                break;
            }
        }
    } else {
        search.groups[index] = equal;
    }
    if tune {
        visits.extend(descend(&mut search, &tuned, options, progress));
    }

    let after = search.state.network(network);
    let (searched_after, held_back_after) = search.state.scores();
    let (old, new) = (network.matrices()[index].weights, after.matrices());
    let rows_hamming: Vec<u64> =
        (0..logical_rows).map(|row| refine::bits_changed(old, new[index].weights, row)).collect();
    let report = MergeReport {
        layer: layer.to_owned(),
        logical_rows,
        rows_before,
        rows: equal_rows(&search, index).len(),
        bits_changed: rows_hamming.iter().sum(),
        rows_hamming,
        differences: differences(network, &after),
        scale: search.state.loss.scale(),
        searched: Change { before: searched, after: searched_after },
        held_back: Change { before: held_back, after: held_back_after },
        visits,
    };
    drop(new);
    Ok(Merged { network: after, report })
}

/// The rows of a stage that are equal: groups of equal rows, by their first.
fn equal_rows(search: &Search, index: usize) -> Vec<Vec<usize>> {
    let stage = &search.state.stages[index];
    let mut groups: BTreeMap<&[i32], Vec<usize>> = BTreeMap::new();
    for row in 0..stage.rows {
        groups.entry(stage.row(row)).or_default().push(row);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.sort();
    groups
}

impl Damage {
    /// Splits clusters whose patterns came out equal, until all differ: the row that has the most
    /// of it takes its own pattern back.
    fn tell_apart(
        &self,
        search: &Search,
        index: usize,
        clusters: &mut Vec<(Vec<usize>, Vec<i32>)>,
    ) {
        let count = clusters.len();
        let mut patterns: BTreeMap<Vec<i32>, Vec<usize>> = BTreeMap::new();
        for (rows, pattern) in clusters.drain(..) {
            patterns.entry(pattern).or_default().extend(rows);
        }
        while patterns.len() < count {
            let own = |row: usize| search.state.stages[index].row(row);
            let freed = patterns
                .iter()
                .flat_map(|(pattern, rows)| rows.iter().map(move |&row| (pattern, row)))
                .filter(|&(_, row)| !patterns.contains_key(own(row)))
                .max_by_key(|&(pattern, row)| (self.of_row(row, pattern), row));
            let (pattern, row) = freed.expect("more different rows than patterns");
            let pattern = pattern.clone();
            let rows = patterns.get_mut(&pattern).expect("the pattern of the row");
            rows.retain(|&other| other != row);
            if rows.is_empty() {
                patterns.remove(&pattern);
            }
            patterns.insert(own(row).to_vec(), vec![row]);
        }
        clusters.extend(patterns.into_iter().map(|(pattern, rows)| (rows, pattern)));
    }
}

impl Search {
    /// Gives every group of rows its pattern.
    fn tie(&mut self, index: usize, clusters: Vec<(Vec<usize>, Vec<i32>)>) {
        self.groups[index].clear();
        for (rows, pattern) in clusters {
            for &row in &rows {
                self.set_row(index, row, &pattern);
            }
            self.groups[index].push(rows);
        }
        self.refresh_all(index);
    }

    fn set_row(&mut self, index: usize, row: usize, pattern: &[i32]) {
        for (column, &weight) in pattern.iter().enumerate() {
            self.state.stages[index].set_weight(row, column, weight);
        }
    }

    fn refresh_all(&mut self, index: usize) {
        for column in 0..self.state.stages[index].columns {
            self.state.refresh(index, column);
        }
    }

    /// Moves rows to other groups where that lowers the loss; returns how many moved.
    fn move_rows(&mut self, index: usize, damage: &Damage) -> u64 {
        let mut moved = 0;
        let alone: Vec<Vec<usize>> =
            (0..self.state.stages[index].rows).map(|row| vec![row]).collect();
        let inputs = self.inputs(index, &alone);
        for (row, inputs) in inputs.iter().enumerate() {
            let groups = &self.groups[index];
            let from = groups.iter().position(|rows| rows.contains(&row)).expect("in a group");
            if groups[from].len() == 1 {
                continue;
            }
            let stage = &self.state.stages[index];
            let mut near: Vec<(i64, usize)> = (0..groups.len())
                .filter(|&to| to != from)
                .map(|to| (damage.of_row(row, stage.row(groups[to][0])), to))
                .collect();
            near.sort_unstable();
            near.truncate(NEAREST);
            let gains = near
                .iter()
                .map(|&(_, to)| (self.row_gains(index, row, stage.row(groups[to][0]), inputs), to));
            let better = gains.filter(|(gains, _)| gains.is_better(self.sigmas));
            let Some((_, to)) = better.min_by_key(|(gains, to)| (gains.sums[0], *to)) else {
                continue;
            };
            let pattern = stage.row(groups[to][0]).to_vec();
            self.groups[index][from].retain(|&other| other != row);
            self.groups[index][to].push(row);
            self.set_row(index, row, &pattern);
            self.refresh_all(index);
            moved += 1;
        }
        moved
    }

    /// What another pattern of a row of a linear stage gains, followed through the images at which
    /// the row is on.
    fn row_gains(&self, index: usize, row: usize, pattern: &[i32], on: &Sparse) -> Gains {
        let state = &self.state;
        let stage = &state.stages[index];
        let by: Vec<i32> = pattern.iter().zip(stage.row(row)).map(|(new, old)| new - old).collect();
        let growth = |scratch: &mut Scratch, &(number, activation): &(u32, i32)| {
            let number = number as usize;
            let image = &state.images[number];
            let mut sums = state.sums(image, index).to_vec();
            sums.iter_mut().zip(&by).for_each(|(sum, by)| *sum += activation * by);
            let loss = if stage.is_last() {
                state.loss_of(image, &sums)
            } else {
                stage.compare(&sums, state.activations(image, index + 1), &mut scratch.changes);
                state.loss_after(image, index + 1, scratch)
            };
            let mut gains = Gains::default();
            gains.add(usize::from(number >= state.searched), loss - image.loss);
            gains
        };
        let all = on.par_iter().map_init(|| state.scratch(), growth);
        all.reduce(Gains::default, |mut all, one| {
            all.merge(one);
            all
        })
    }

    /// Whether a step would make two groups of a stage with tied rows equal.
    pub(crate) fn would_coincide(&self, index: usize, column: usize, (group, by): Step) -> bool {
        let (stage, groups) = (&self.state.stages[index], &self.groups[index]);
        if groups.len() == stage.rows {
            return false;
        }
        let mut stepped = stage.row(groups[group][0]).to_vec();
        stepped[column] += by;
        groups.iter().any(|rows| stage.row(rows[0]) == stepped)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use hafnia_model::{Layer, Linear, ReferenceProduct, Weights, random, run};
    use hafnia_rng::Seed;
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;
    use crate::moves::tests::search;
    use crate::{Loss, Score};

    /// Random images with random labels for LeNet-5.
    fn images(network: &Network, count: u64) -> (Vec<u8>, Vec<u32>) {
        let image = |i| random::image(Seed(3).index(i), network.input());
        let labels = (0..count).map(|i| (i % 10) as u32).collect();
        ((0..count).flat_map(image).collect(), labels)
    }

    /// The different rows of a layer.
    fn distinct(network: &Network, index: usize) -> usize {
        let matrices = network.matrices();
        let weights = matrices[index].weights;
        let rows: std::collections::BTreeSet<&[i16]> =
            (0..weights.rows()).map(|row| weights.row(row)).collect();
        rows.len()
    }

    #[test]
    fn as_many_rows_are_left_as_were_asked_for() {
        let network = random::lenet5(Seed(1));
        let (activations, labels) = images(&network, 60);
        let images = Images { activations: &activations, labels: &labels };
        let options = Options { passes: 1, sigmas: 0.0, ..Options::default() };
        for (layer, index, rows, tune) in [
            ("fc3", 4, 46, false),
            ("fc3", 4, 12, true),
            ("fc3", 4, 1, false),
            ("fc2", 3, 30, true),
        ] {
            let merged =
                merge(&network, images, layer, rows, tune, &options, &mut |_, _| {}).unwrap();
            let report = &merged.report;
            assert_eq!((report.rows, distinct(&merged.network, index)), (rows, rows), "{layer}");
            assert_eq!(report.rows_before, distinct(&network, index));
            let changed = |layer: &str| {
                let difference = report.differences.iter().find(|d| d.layer == layer).unwrap();
                difference.bits + difference.thresholds
            };
            let own = report.differences.iter().find(|d| d.layer == layer).unwrap();
            assert_eq!(own.bits, report.bits_changed);
            assert!(report.bits_changed > 0);
            assert_eq!(tune, changed("fc1") > 0, "{report:?}");

            let loss = Loss::new(report.scale, i32::MAX / 4);
            let mut plain = ReferenceProduct::new(&merged.network);
            let mut score = Score::default();
            for at in options.split(labels.len()).0 {
                let outputs = run(&merged.network, &activations[at * 784..][..784], &mut plain);
                score.add(&outputs, labels[at], loss.of(&outputs, labels[at]));
            }
            assert_eq!(score, report.searched.after);
        }
    }

    #[test]
    fn rows_that_no_image_turns_on_are_merged_first() {
        // Inputs 0 to 3 are never on, so that their rows may become anything; each other input is on
        // alone, and its row says of what class the image is.
        let input = hafnia_model::Input::upper_bits(8, 1, 1, 1);
        let weights =
            Weights::from_fn(
                8,
                4,
                |row, column| {
                    if (row % 4 == column) == (row >= 4) { 1 } else { -1 }
                },
            );
        let only = Linear { name: "only".to_owned(), weights, thresholds: None };
        let network = Network::new(input, vec![Layer::Linear(only)]).unwrap();
        let on = |image: usize, row: usize| u8::from(row == 4 + image % 4);
        let activations: Vec<u8> =
            (0..16).flat_map(|image| (0..8).map(move |row| on(image, row))).collect();
        let labels: Vec<u32> = (0..16).map(|image| image % 4).collect();
        let images = Images { activations: &activations, labels: &labels };
        let options = Options { held_back: 0.0, ..Options::default() };
        let merged = merge(&network, images, "only", 4, false, &options, &mut |_, _| {}).unwrap();
        assert_eq!(merged.report.rows, 4);
        assert_eq!(merged.report.rows_hamming[4..], [0; 4]);
        assert_eq!(merged.report.searched.before, merged.report.searched.after);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn another_pattern_gains_what_a_fresh_run_gives(seed: u64) {
            let seed = Seed(seed);
            let mut search = search(seed);
            let rng = &mut seed.site("rows").rng();
            for index in 0..search.state.stages.len() {
                let stage = &search.state.stages[index];
                if stage.is_convolution() {
                    continue;
                }
                let (row, other) = (rng.random_range(0..stage.rows), rng.random_range(0..stage.rows));
                let pattern = stage.row(other).to_vec();
                let on = search.inputs(index, &[vec![row]]).remove(0);
                let found = search.row_gains(index, row, &pattern, &on);
                let before = search.state.losses();
                search.set_row(index, row, &pattern);
                search.refresh_all(index);
                let after = search.state.losses();
                prop_assert_eq!(found.sums, [after[0] - before[0], after[1] - before[1]]);
            }
        }
    }

    #[test]
    fn what_cannot_be_merged_is_refused() {
        let network = random::lenet5(Seed(1));
        let (activations, labels) = images(&network, 2);
        let images = Images { activations: &activations, labels: &labels };
        let check = |layer: &str, rows: usize, expected: Expect| {
            let options = Options::default();
            let merged = merge(&network, images, layer, rows, true, &options, &mut |_, _| {});
            expected.assert_eq(&merged.unwrap_err().to_string());
        };
        check("fc3", 0, expect!["rows is 0, it must lie in 1..=84"]);
        check("fc3", 85, expect!["rows is 85, it must lie in 1..=84"]);
        check(
            "fc4",
            3,
            expect![
                "layer names `fc4`, the network has the matrix layers conv1, conv2, fc1, fc2, fc3"
            ],
        );
        check(
            "conv1",
            3,
            expect!["layer names `conv1`, a convolution: only rows of linear layers are merged"],
        );
    }
}
