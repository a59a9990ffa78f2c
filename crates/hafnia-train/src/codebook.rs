//! Gathers rows of latent weights around a few patterns: k-means, seeded and with whole rows.

use hafnia_rng::Seed;
use rand::RngExt;

/// Rounds of assignment and averaging; they end earlier when nothing changes.
const ROUNDS: usize = 50;

/// Rows around patterns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gathered {
    /// (pattern, column).
    pub(crate) patterns: Vec<f32>,
    /// The pattern of every row.
    pub(crate) pattern_of: Vec<u32>,
}

/// Gathers `rows` of `columns` columns around `count` patterns, near in Euclidean distance.
///
/// The first patterns are rows drawn far from one another (k-means++); a pattern that loses all
/// its rows takes the row that lies farthest from its own.
pub(crate) fn gather(rows: &[f32], columns: usize, count: usize, seed: Seed) -> Gathered {
    let rows: Vec<&[f32]> = rows.chunks_exact(columns).collect();
    let mut patterns = first(&rows, count, seed);
    let mut pattern_of = vec![u32::MAX; rows.len()];
    for _ in 0..ROUNDS {
        let mut is_stable = true;
        let mut distances = Vec::with_capacity(rows.len());
        for (row, pattern_of) in rows.iter().zip(&mut pattern_of) {
            let (nearest, far) = nearest(row, &patterns);
            is_stable &= *pattern_of == nearest as u32;
            *pattern_of = nearest as u32;
            distances.push(far);
        }
        if is_stable {
            break;
        }
        let mut members = vec![0usize; count];
        let mut sums = vec![vec![0.0f32; columns]; count];
        for (row, &pattern) in rows.iter().zip(&pattern_of) {
            members[pattern as usize] += 1;
            let sum = &mut sums[pattern as usize];
            sum.iter_mut().zip(*row).for_each(|(sum, value)| *sum += value);
        }
        for (pattern, (sum, &members)) in patterns.iter_mut().zip(sums.iter().zip(&members)) {
            if members > 0 {
                *pattern = sum.iter().map(|sum| sum / members as f32).collect();
            } else {
                let farthest = (0..rows.len())
                    .fold(0, |best, row| if distances[row] > distances[best] { row } else { best });
                distances[farthest] = 0.0;
                *pattern = rows[farthest].to_vec();
            }
        }
    }
    Gathered { patterns: patterns.concat(), pattern_of }
}

fn first(rows: &[&[f32]], count: usize, seed: Seed) -> Vec<Vec<f32>> {
    let mut rng = seed.rng();
    let mut patterns = vec![rows[rng.random_range(0..rows.len())].to_vec()];
    let mut distances = vec![f32::INFINITY; rows.len()];
    while patterns.len() < count {
        let last = patterns.last().expect("there is one");
        for (distance, row) in distances.iter_mut().zip(rows) {
            *distance = distance.min(square_distance(row, last));
        }
        let total: f32 = distances.iter().sum();
        let mut left = rng.random_range(0.0..1.0f32) * total;
        let drawn = distances.iter().position(|&distance| {
            left -= distance;
            left < 0.0
        });
        patterns.push(rows[drawn.unwrap_or(rows.len() - 1)].to_vec());
    }
    patterns
}

fn nearest(row: &[f32], patterns: &[Vec<f32>]) -> (usize, f32) {
    let mut best = (0, f32::INFINITY);
    for (index, pattern) in patterns.iter().enumerate() {
        let distance = square_distance(row, pattern);
        if distance < best.1 {
            best = (index, distance);
        }
    }
    best
}

fn square_distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_lie_together_share_a_pattern() {
        // Three heaps of rows, told apart by their first column.
        let heap = |row: usize| (row * 7) % 3;
        let rows: Vec<f32> = (0..30)
            .flat_map(|row| [10.0 * heap(row) as f32 + row as f32 / 100.0, row as f32 / 100.0])
            .collect();
        for seed in 0..5 {
            let gathered = gather(&rows, 2, 3, Seed(seed));
            for a in 0..30 {
                for b in 0..30 {
                    let are_together = gathered.pattern_of[a] == gathered.pattern_of[b];
                    assert_eq!(are_together, heap(a) == heap(b), "{seed}: {a}, {b}");
                }
            }
            // A pattern is the mean of its rows.
            let of_first = gathered.pattern_of[0] as usize;
            let members = (0..30).filter(|&row| heap(row) == 0);
            let mean = members.map(|row| row as f32 / 100.0).sum::<f32>() / 10.0;
            assert!((gathered.patterns[of_first * 2 + 1] - mean).abs() < 1e-6);
        }
    }

    #[test]
    fn as_many_patterns_as_rows_keep_every_row() {
        let rows: Vec<f32> = (0..24).map(|i| ((i * 37) % 11) as f32).collect();
        let gathered = gather(&rows, 3, 8, Seed(2));
        for (row, &pattern) in gathered.pattern_of.iter().enumerate() {
            assert_eq!(gathered.patterns[pattern as usize * 3..][..3], rows[row * 3..][..3]);
        }
    }
}
