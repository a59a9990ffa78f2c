//! [`Sets`]: the damage of a tile of few rows, of groups that are given as sets of entries.
//!
//! An entry is a bit of a 16-bit word, so that ones and shared cells are counted by `popcount`.

use super::{Damage, Sample};

/// Entries of a tile, a bit each, the first in the lowest.
pub(crate) type Set = u16;

/// A conversion: its bit-plane and the entries that are on.
pub(crate) type Conversion = (usize, Set);

/// A sample of a tile of at most 16 rows, none of them shared or negative.
pub(crate) struct Sets<'a> {
    damage: &'a Damage<'a>,
    sample: &'a Sample,
    /// The entries that are on, a plane each.
    pub(crate) active: Vec<Set>,
    /// The entries whose cell holds a 1, a column that is looked at each.
    ones: Vec<Set>,
}

impl Damage<'_> {
    /// The samples that are looked at; none if the tile is not [plain](Self::is_plain) or has over 16
    /// rows.
    pub(crate) fn sets(&self) -> Option<Vec<Sets<'_>>> {
        let sets = |sample| Sets::new(self, sample);
        let is_plain = self.is_plain() && self.tile.rows.len() <= Set::BITS as usize;
        is_plain.then(|| self.samples.iter().map(sets).collect())
    }

    /// Whether a conversion takes the next rows that are on, whatever they are: none are shared or
    /// negative, and all are in one window.
    pub(super) fn is_plain(&self) -> bool {
        let rows = &self.tile.rows;
        rows.len() <= self.window
            && !rows.has_shared_rows()
            && rows.iter().all(|entry| !entry.negative)
    }

    /// Rows in a conversion, at most.
    pub(crate) fn rows_per_conversion(&self) -> usize {
        self.rows_per_conversion
    }

    /// The mean over samples, if this is the sum over those that are looked at.
    pub(crate) fn mean_of(&self, sum: f64) -> f64 {
        (sum + self.elsewhere) / self.total
    }
}

impl<'a> Sets<'a> {
    fn new(damage: &'a Damage<'a>, sample: &'a Sample) -> Self {
        let rows = &damage.tile.rows;
        let set = |is_in: &dyn Fn(usize) -> bool| {
            (0..rows.len())
                .filter(|&entry| is_in(entry))
                .fold(0, |set: Set, entry| set | 1 << entry)
        };
        let activations = damage.profile.sample(sample.index);
        let is_on = |plane: u8| {
            move |entry: usize| activations[rows.logical()[entry] as usize] >> plane & 1 == 1
        };
        let is_one = |column: u16| {
            let ones = damage.ones_of(column);
            move |entry: usize| {
                let row = rows.get(entry).physical as usize;
                ones[row / 64] >> (row % 64) & 1 == 1
            }
        };
        Self {
            damage,
            sample,
            active: (0..damage.profile.bits).map(|plane| set(&is_on(plane))).collect(),
            ones: sample.columns.iter().map(|&column| set(&is_one(column))).collect(),
        }
    }

    /// The damage to the sample if it is read in these conversions.
    pub(crate) fn damage(&self, conversions: &[Conversion], errors: &mut Vec<[f64; 2]>) -> f64 {
        let damage = self.damage;
        errors.clear();
        for (&ones, &column) in self.ones.iter().zip(&self.sample.columns) {
            let state = |set: Set| {
                damage.state(set.count_ones() as usize, (set & ones).count_ones() as usize)
            };
            let [mut mean, mut variance] = [0.0; 2];
            for (index, &(plane, set)) in conversions.iter().enumerate() {
                let factor = 2.0 * f64::from(1u32 << plane);
                let at = state(set);
                let [bias, of_code] = damage.moments[at];
                mean += factor * bias;
                variance += factor * factor * of_code;
                let Some(covariance) = &damage.covariance else { continue };
                let with = covariance.with(at as u16);
                for &(other_plane, other) in &conversions[..index] {
                    let both = 2.0 * factor * 2.0 * f64::from(1u32 << other_plane);
                    let shared = (set & other & ones).count_ones() as usize;
                    variance += both * with.of(state(other) as u16, shared);
                }
            }
            let is_inverted = damage.tile.columns[usize::from(column)].inverted;
            errors.push([if is_inverted { -mean } else { mean }, variance]);
        }
        let mut sum = 0.0;
        damage.each_term(self.sample, errors, |term| sum += term);
        sum
    }

    /// What no order does less than, whatever its groups.
    pub(crate) fn least(&self, completions: &super::Completions) -> f64 {
        let damage = self.damage;
        let mut ranges = Vec::new();
        for (&ones, &column) in self.ones.iter().zip(&self.sample.columns) {
            let mut range = [0.0; 3];
            for (plane, &active) in self.active.iter().enumerate() {
                let factor = 2.0 * f64::from(1u32 << plane);
                let counts = [active, active & ones].map(|set| set.count_ones() as usize);
                let [variance, least, largest] = completions.all(counts);
                range[0] += factor * factor * variance;
                range[1] += factor * least;
                range[2] += factor * largest;
            }
            if damage.tile.columns[usize::from(column)].inverted {
                [range[1], range[2]] = [-range[2], -range[1]];
            }
            ranges.push(range);
        }
        damage.least(self.sample, &ranges)
    }
}
