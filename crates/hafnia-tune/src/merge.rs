//! [`merge`]: rows of a matrix made equal, so that they can share a row of cells.

use std::collections::BTreeMap;

use hafnia_model::Network;
use rayon::prelude::*;
use serde::Serialize;

use crate::TuneError;
use crate::moves::{Gains, Step};
use crate::patterns::Damage;
use crate::refine::{self, Change, Difference, Images, Options, Visit, descend, differences};
use crate::search::Search;

/// What [`merge`] gives.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The network, with equal rows.
    pub network: Network,
    /// What was done to it.
    pub report: MergeReport,
}

/// What [`merge`] did.
#[derive(Debug, Clone, PartialEq, Serialize)]
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

    /// Moves rows to other groups where that lowers the loss; gives how many moved.
    fn move_rows(&mut self, index: usize, damage: &Damage) -> u64 {
        let mut moved = 0;
        for row in 0..self.state.stages[index].rows {
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
            let gains = near.iter().map(|&(_, to)| {
                (self.row_gains(index, row, self.state.stages[index].row(groups[to][0])), to)
            });
            let better = gains.filter(|(gains, _)| gains.is_better(self.sigmas));
            let Some((_, to)) = better.min_by_key(|(gains, to)| (gains.sums[0], *to)) else {
                continue;
            };
            let pattern = self.state.stages[index].row(groups[to][0]).to_vec();
            self.groups[index][from].retain(|&other| other != row);
            self.groups[index][to].push(row);
            self.set_row(index, row, &pattern);
            self.refresh_all(index);
            moved += 1;
        }
        moved
    }

    /// What another pattern of a row of a linear stage gains, followed through every image.
    fn row_gains(&self, index: usize, row: usize, pattern: &[i32]) -> Gains {
        let state = &self.state;
        let stage = &state.stages[index];
        let by: Vec<i32> = pattern.iter().zip(stage.row(row)).map(|(new, old)| new - old).collect();
        let growth = |(number, image)| {
            let activation = i32::from(state.activations(image, index)[row]);
            if activation == 0 {
                return Gains::default();
            }
            let mut sums = state.sums(image, index).to_vec();
            sums.iter_mut().zip(&by).for_each(|(sum, by)| *sum += activation * by);
            let loss = if stage.is_last() {
                state.loss_of(image, &sums)
            } else {
                let mut scratch = state.scratch();
                stage.compare(&sums, state.activations(image, index + 1), &mut scratch.changes);
                state.loss_after(image, index + 1, &mut scratch)
            };
            let mut gains = Gains::default();
            gains.add(usize::from(number >= state.searched), loss - image.loss);
            gains
        };
        let all = state.images.par_iter().enumerate().map(growth);
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
