//! Patterns: which rows of a matrix become equal, and to what, by estimated damage.

use rayon::prelude::*;

use crate::moves::{Channel, output_gains};
use crate::search::Search;

/// By how much the loss of the images to learn from would grow if single weights had other values,
/// one at a time.
pub(crate) struct Damage {
    columns: usize,
    /// The values of a weight, ascending.
    values: Vec<i32>,
    /// (row, column, value); 0 for the value that is there, at least 1 for any other.
    growth: Vec<i64>,
}

/// Rows that share a pattern.
#[derive(Debug, Clone)]
struct Cluster {
    rows: Vec<usize>,
    /// (column, value): what the members' damage adds up to.
    growth: Vec<i64>,
    /// The damage of the best pattern.
    least: i64,
}

impl Damage {
    /// Tries every other value of every weight of a linear stage.
    pub(crate) fn of(search: &Search, index: usize) -> Self {
        let stage = &search.state.stages[index];
        let values = stage.values();
        let rows: Vec<Vec<usize>> = (0..stage.rows).map(|row| vec![row]).collect();
        let inputs = search.inputs(index, &rows);
        let of_column = |column: usize| -> Vec<i64> {
            let hidden = (!stage.is_last())
                .then(|| Channel::new(&search.state, index, column, search.reach));
            let growth = |at: usize| {
                let (row, value) = (at / values.len(), values[at % values.len()]);
                let by = value - stage.weight(row, column);
                if by == 0 {
                    return 0;
                }
                let gains = match &hidden {
                    None => output_gains(&search.state, column, (row, by), &inputs),
                    Some(channel) => channel.gains(Some((row, by)), &channel.thresholds, &inputs),
                };
                // What looks like a gain is left to the search; here fewer changes are better.
                gains.sums[0].max(1)
            };
            (0..stage.rows * values.len()).into_par_iter().map(growth).collect()
        };
        let by_column: Vec<Vec<i64>> = (0..stage.columns).map(of_column).collect();
        let each = values.len();
        let of_row = |row: usize| {
            by_column.iter().flat_map(move |growth| growth[row * each..][..each].to_vec())
        };
        let growth = (0..stage.rows).flat_map(of_row).collect();
        Self { columns: stage.columns, values, growth }
    }

    /// Puts rows together, those first whose common pattern does the least more damage, until `count`
    /// patterns are left; returns the groups and their patterns.
    ///
    /// `equal` holds the rows that are equal already, every row once.
    pub(crate) fn cluster(
        &self,
        equal: &[Vec<usize>],
        count: usize,
    ) -> Vec<(Vec<usize>, Vec<i32>)> {
        let mut clusters: Vec<Cluster> = equal.iter().map(|rows| self.cluster_of(rows)).collect();
        // Of each cluster the damage that a pattern in common with each later one would add.
        let more = |a: &Cluster, b: &Cluster| self.least(a, b) - a.least - b.least;
        let mut added: Vec<Vec<i64>> = clusters
            .par_iter()
            .enumerate()
            .map(|(at, a)| clusters[at + 1..].iter().map(|b| more(a, b)).collect())
            .collect();
        while clusters.len() > count {
            let nearest = added.iter().enumerate().flat_map(|(a, added)| {
                added.iter().enumerate().map(move |(offset, &more)| (more, a, a + 1 + offset))
            });
            let (_, a, b) = nearest.min().expect("two clusters");
            let rows = [&clusters[a].rows[..], &clusters[b].rows[..]].concat();
            clusters[a] = self.cluster_of(&rows);
            clusters.remove(b);
            added.remove(b);
            for (first, added) in added.iter_mut().enumerate().take(b) {
                added.remove(b - first - 1);
            }
            for other in (0..clusters.len()).filter(|&other| other != a) {
                let (first, second) = (a.min(other), a.max(other));
                added[first][second - first - 1] = more(&clusters[first], &clusters[second]);
            }
        }
        clusters
            .into_iter()
            .map(|cluster| (self.pattern(&cluster), cluster.rows))
            .map(|(p, r)| (r, p))
            .collect()
    }

    /// By how much the loss would grow if a row had this pattern.
    pub(crate) fn of_row(&self, row: usize, pattern: &[i32]) -> i64 {
        let each = self.values.len();
        let growth = &self.growth[row * self.columns * each..][..self.columns * each];
        let of = |(growth, &value): (&[i64], &i32)| {
            growth[self.values.binary_search(&value).expect("a weight")]
        };
        growth.chunks(each).zip(pattern).map(of).sum()
    }

    fn cluster_of(&self, rows: &[usize]) -> Cluster {
        let each = self.columns * self.values.len();
        let mut growth = vec![0; each];
        for &row in rows {
            let of_row = &self.growth[row * each..][..each];
            growth.iter_mut().zip(of_row).for_each(|(sum, growth)| *sum += growth);
        }
        let least =
            growth.chunks(self.values.len()).map(|c| c.iter().min().expect("a value")).sum();
        Cluster { rows: rows.to_vec(), growth, least }
    }

    /// The damage of the best pattern for two clusters.
    fn least(&self, a: &Cluster, b: &Cluster) -> i64 {
        let each = self.values.len();
        let columns = a.growth.chunks(each).zip(b.growth.chunks(each));
        columns.map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).min().expect("a value")).sum()
    }

    /// The best pattern of a cluster, a column each.
    fn pattern(&self, cluster: &Cluster) -> Vec<i32> {
        let best = |growth: &[i64]| {
            let least = (0..growth.len()).min_by_key(|&at| growth[at]).expect("a value");
            self.values[least]
        };
        cluster.growth.chunks(self.values.len()).map(best).collect()
    }
}
