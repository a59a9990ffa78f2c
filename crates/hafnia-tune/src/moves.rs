//! Moves of one channel: a step of one weight, with other thresholds or without.
//!
//! A move changes nothing but the activations of its channel, so that a linear channel needs the
//! loss of an image for each activation it could have, once; every move is then a sum over a table.

use hafnia_model::arithmetic::activate;
use rayon::prelude::*;

use crate::stage::{Change, Stage};
use crate::state::{Image, Scratch, State};

/// The images at which an input, or the sum of tied ones, is not 0: (image, activation), ascending.
pub(crate) type Sparse = Vec<(u32, i32)>;

/// By how much a move makes losses grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gains {
    /// Summed over the images to learn from, and over those held back.
    pub(crate) sums: [i64; 2],
    /// The sum of squares over all images.
    pub(crate) squares: i64,
}

impl Gains {
    #[inline]
    pub(crate) fn add(&mut self, part: usize, growth: i32) {
        self.sums[part] += i64::from(growth);
        self.squares += i64::from(growth) * i64::from(growth);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.sums.iter_mut().zip(other.sums).for_each(|(sum, other)| *sum += other);
        self.squares += other.squares;
    }

    /// Whether the loss of the images to learn from falls, that of the others does not rise, and the
    /// fall over all images is at least `sigmas` standard errors.
    pub(crate) fn is_better(&self, sigmas: f64) -> bool {
        let fall = -(self.sums[0] + self.sums[1]) as f64;
        self.sums[0] < 0 && self.sums[1] <= 0 && fall >= sigmas * (self.squares as f64).sqrt()
    }
}

/// A step of the weights of a group of rows: (group, by).
pub(crate) type Step = (usize, i32);

/// A channel of a linear layer that is not the last.
pub(crate) struct Channel {
    /// The sum of each image.
    pub(crate) sums: Vec<i32>,
    /// (image, level): what the loss of the image grows by if its activation goes from `level` to
    /// `level + 1`.
    growth: Vec<i32>,
    levels: usize,
    searched: usize,
    reach: i32,
    pub(crate) thresholds: Vec<i32>,
    /// The sums over images at the present weights.
    present: Histogram,
    cost: [i64; 2],
}

/// The growth of losses by the sum of the channel: (level, sum) for images to learn from, and for
/// those held back. Sums beyond the thresholds that are looked at are taken together.
#[derive(Debug, Clone)]
struct Histogram {
    lowest: i32,
    width: usize,
    parts: [Vec<i64>; 2],
}

impl Channel {
    /// Looks at a channel of a linear stage; thresholds may move by `reach`.
    pub(crate) fn new(state: &State, index: usize, channel: usize, reach: i32) -> Self {
        let stage = &state.stages[index];
        let levels = stage.levels;
        let losses = |scratch: &mut Scratch, image: &Image| -> Vec<i32> {
            let present = state.activations(image, index + 1)[channel];
            let loss = |level: usize| {
                let growth = level as i32 - i32::from(present);
                if growth == 0 {
                    return image.loss;
                }
                scratch.changes.clear();
                scratch.changes.push((channel, growth));
                state.loss_after(image, index + 1, scratch)
            };
            let losses: Vec<i32> = (0..=levels).map(loss).collect();
            losses.windows(2).map(|pair| pair[1] - pair[0]).collect()
        };
        let growth: Vec<i32> =
            state.images.par_iter().map_init(|| state.scratch(), losses).flatten_iter().collect();
        let sums = state.images.iter().map(|image| state.sums(image, index)[channel]).collect();
        let thresholds = stage.thresholds(channel).to_vec();
        let empty = Histogram { lowest: 0, width: 0, parts: [Vec::new(), Vec::new()] };
        let searched = state.searched;
        let mut new = Self {
            sums,
            growth,
            levels,
            searched,
            reach,
            thresholds,
            present: empty,
            cost: [0; 2],
        };
        new.count();
        new
    }

    /// Counts the histogram of the present weights and thresholds.
    fn count(&mut self) {
        let lowest = self.thresholds[0] - self.reach - 1;
        let highest = self.thresholds[self.levels - 1] + self.reach;
        let width = (highest - lowest + 1) as usize;
        let part = vec![0; width * self.levels];
        self.present = Histogram { lowest, width, parts: [part.clone(), part] };
        for (image, &sum) in self.sums.iter().enumerate() {
            let growth = &self.growth[image * self.levels..][..self.levels];
            self.present.add(usize::from(image >= self.searched), sum, growth, 1);
        }
        self.cost = [0, 1].map(|part| self.present.cost(part, &self.thresholds));
    }

    /// The best thresholds after a step, or with the present weights, and what they gain.
    pub(crate) fn best(&self, step: Option<Step>, inputs: &[Sparse]) -> (Gains, Vec<i32>) {
        let stepped;
        let histogram = match step {
            None => &self.present,
            Some((group, by)) => {
                let mut histogram = self.present.clone();
                for &(image, activation) in &inputs[group] {
                    let image = image as usize;
                    let growth = &self.growth[image * self.levels..][..self.levels];
                    let part = usize::from(image >= self.searched);
                    histogram.add(part, self.sums[image], growth, -1);
                    histogram.add(part, self.sums[image] + by * activation, growth, 1);
                }
                stepped = histogram;
                &stepped
            }
        };
        let thresholds = histogram.best(&self.thresholds, self.reach);
        let cost = [0, 1].map(|part| histogram.cost(part, &thresholds) - self.cost[part]);
        // The squares are worth a second look only if the sums are good.
        let mut gains = Gains { sums: cost, squares: 0 };
        if gains.is_better(0.0) {
            gains = self.gains(step, &thresholds, inputs);
            debug_assert_eq!(gains.sums, cost);
        }
        (gains, thresholds)
    }

    /// What a step, or none, and thresholds gain, image by image.
    pub(crate) fn gains(&self, step: Option<Step>, thresholds: &[i32], inputs: &[Sparse]) -> Gains {
        let mut gains = Gains::default();
        let (stepped, by) = step.map_or((&[][..], 0), |(group, by)| (&inputs[group][..], by));
        let mut stepped = stepped.iter().peekable();
        for (image, &sum) in self.sums.iter().enumerate() {
            let here = stepped.next_if(|(number, _)| *number as usize == image);
            let new = sum + here.map_or(0, |(_, activation)| by * activation);
            let from = usize::from(activate(sum, &self.thresholds));
            let to = usize::from(activate(new, thresholds));
            if from != to {
                let growth = &self.growth[image * self.levels..][..self.levels];
                let growth = if from < to {
                    growth[from..to].iter().sum::<i32>()
                } else {
                    -growth[to..from].iter().sum::<i32>()
                };
                gains.add(usize::from(image >= self.searched), growth);
            }
        }
        gains
    }

    /// Makes a step, or none, and sets the thresholds.
    pub(crate) fn make(&mut self, step: Option<Step>, thresholds: Vec<i32>, inputs: &[Sparse]) {
        if let Some((group, by)) = step {
            for &(image, activation) in &inputs[group] {
                self.sums[image as usize] += by * activation;
            }
        }
        self.thresholds = thresholds;
        self.count();
    }
}

impl Histogram {
    #[inline]
    fn add(&mut self, part: usize, sum: i32, growth: &[i32], sign: i64) {
        let at = (sum - self.lowest).clamp(0, self.width as i32 - 1) as usize;
        for (level, &growth) in growth.iter().enumerate() {
            self.parts[part][level * self.width + at] += sign * i64::from(growth);
        }
    }

    /// The sum of losses with these thresholds, less that with all activations 0.
    fn cost(&self, part: usize, thresholds: &[i32]) -> i64 {
        let levels = thresholds.iter().enumerate();
        levels
            .map(|(level, threshold)| {
                let growth = &self.parts[part][level * self.width..][..self.width];
                growth[(threshold - self.lowest) as usize..].iter().sum::<i64>()
            })
            .sum()
    }

    /// The thresholds that cost the least on the images to learn from, each at most `reach` from the
    /// present one; of equals the nearest.
    ///
    /// A threshold decides for itself but for the order: its cost is the growth of its level over
    /// all sums that reach it. So the best of the first n levels, by where the last of them stands,
    /// follows from those of n − 1.
    fn best(&self, present: &[i32], reach: i32) -> Vec<i32> {
        // Of each level: by position, (cost, distance) of the best so far, and where it stands.
        let mut tables: Vec<Vec<(i64, i32, usize)>> = Vec::new();
        for (level, &threshold) in present.iter().enumerate() {
            let growth = &self.parts[0][level * self.width..][..self.width];
            let mut reached = vec![0; self.width + 1];
            for at in (0..self.width).rev() {
                reached[at] = reached[at + 1] + growth[at];
            }
            let mut best = (i64::MAX, 0, 0);
            let mut table = Vec::with_capacity(self.width);
            for at in 0..self.width {
                let distance = (self.lowest + at as i32 - threshold).abs();
                let below = tables.last().map_or((0, 0), |table| (table[at].0, table[at].1));
                if distance <= reach && below.0 < i64::MAX {
                    best = best.min((below.0 + reached[at], below.1 + distance, at));
                }
                table.push(best);
            }
            tables.push(table);
        }
        let mut at = self.width - 1;
        let mut thresholds: Vec<i32> = tables
            .iter()
            .rev()
            .map(|table| {
                at = table[at].2;
                self.lowest + at as i32
            })
            .collect();
        thresholds.reverse();
        thresholds
    }
}

/// What a step in an output column gains.
pub(crate) fn output_gains(
    state: &State,
    column: usize,
    (group, by): Step,
    inputs: &[Sparse],
) -> Gains {
    let last = state.stages.len() - 1;
    let mut gains = Gains::default();
    let mut outputs = vec![0; state.stages[last].columns];
    for &(number, activation) in &inputs[group] {
        let image = &state.images[number as usize];
        outputs.copy_from_slice(state.sums(image, last));
        outputs[column] += by * activation;
        let part = usize::from(number as usize >= state.searched);
        gains.add(part, state.loss_of(image, &outputs) - image.loss);
    }
    gains
}

/// A move of a channel of a convolution: a step or none, and what is added to every threshold.
#[derive(Debug, Clone)]
pub(crate) struct Shifted {
    pub(crate) step: Option<Step>,
    pub(crate) shift: Vec<i32>,
}

impl Shifted {
    /// The thresholds after the move, if they still ascend.
    pub(crate) fn thresholds(&self, present: &[i32]) -> Option<Vec<i32>> {
        let shifted: Vec<i32> = present.iter().zip(&self.shift).map(|(t, by)| t + by).collect();
        shifted.is_sorted().then_some(shifted)
    }
}

/// What moves of a channel of a convolution gain, each followed through every image; nothing where
/// thresholds would not ascend.
pub(crate) fn convolution_gains(
    state: &State,
    index: usize,
    channel: usize,
    groups: &[Vec<usize>],
    moves: &[Shifted],
) -> Vec<Gains> {
    /// Images that a task follows: enough that it is worth one, few enough for all threads.
    const BLOCK: usize = 256;
    let stage = &state.stages[index];
    let inputs_of = stage.inputs_by_row();
    let present = stage.thresholds(channel);
    let thresholds: Vec<Option<Vec<i32>>> =
        moves.iter().map(|shifted| shifted.thresholds(present)).collect();
    let count = |part: usize, images: &[Image]| -> Vec<Gains> {
        let mut gains = vec![Gains::default(); moves.len()];
        let mut scratch = state.scratch();
        let (mut present, mut sums) = (vec![0; stage.positions()], vec![0; stage.positions()]);
        for image in images {
            let inputs = state.activations(image, index);
            stage.multiply_column(inputs, channel, &mut present);
            state.load(image, index + 1, &mut scratch);
            let activations = state.activations(image, index + 1);
            let mut stepped = None;
            for ((shifted, thresholds), gain) in moves.iter().zip(&thresholds).zip(&mut gains) {
                let Some(thresholds) = thresholds else { continue };
                if stepped != Some(shifted.step) {
                    sums.copy_from_slice(&present);
                    let (group, by) = shifted.step.unwrap_or((0, 0));
                    for &row in groups[group].iter().filter(|_| by != 0) {
                        for &(position, input) in &inputs_of[row] {
                            sums[position] += by * i32::from(inputs[input]);
                        }
                    }
                    stepped = Some(shifted.step);
                }
                let changes = &mut scratch.changes;
                compare_channel(stage, channel, &sums, thresholds, activations, changes);
                let loss = state.loss_after(image, index + 1, &mut scratch);
                gain.add(part, loss - image.loss);
            }
        }
        gains
    };
    let (searched, held_back) = state.images.split_at(state.searched);
    let blocks: Vec<(usize, &[Image])> = [searched, held_back]
        .into_iter()
        .enumerate()
        .flat_map(|(part, images)| images.chunks(BLOCK).map(move |block| (part, block)))
        .collect();
    blocks.into_par_iter().map(|(part, block)| count(part, block)).reduce(
        || vec![Gains::default(); moves.len()],
        |mut all, block| {
            all.iter_mut().zip(block).for_each(|(all, block)| all.merge(block));
            all
        },
    )
}

/// Adds to `changes` where the activations of one channel are others with these sums and thresholds.
fn compare_channel(
    stage: &Stage,
    channel: usize,
    sums: &[i32],
    thresholds: &[i32],
    activations: &[u8],
    changes: &mut Vec<Change>,
) {
    let pooled = stage.pooled();
    let activations = &activations[channel * pooled..][..pooled];
    for (at, &present) in activations.iter().enumerate() {
        let sum = stage.largest_at(at, |position| sums[position]);
        let new = activate(sum, thresholds);
        if new != present {
            changes.push((channel * pooled + at, i32::from(new) - i32::from(present)));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use hafnia_model::random::{self, Limits};
    use hafnia_rng::Seed;
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;
    use crate::search::Search;

    /// A search over a random network with random images, some rows of which are tied.
    pub(crate) fn search(seed: Seed) -> Search {
        let network = random::network(seed, Limits { weight_bits: 2, ..Limits::default() });
        let rng = &mut seed.site("labels").rng();
        let images: Vec<Vec<u8>> =
            (0..40).map(|i| random::image(seed.index(i), network.input())).collect();
        let labelled: Vec<(&[u8], u32)> = images
            .iter()
            .map(|image| (&image[..], rng.random_range(0..network.classes()) as u32))
            .collect();
        let mut search = Search::new(State::new(&network, &labelled, 30), 3, 0.0);
        for (stage, groups) in search.state.stages.iter_mut().zip(&mut search.groups) {
            if stage.rows > 2 {
                *groups = (1..stage.rows).map(|row| vec![row]).collect();
                groups[0].push(0);
                for column in 0..stage.columns {
                    stage.set_weight(0, column, stage.weight(1, column));
                }
            }
        }
        for index in 0..search.state.stages.len() {
            for channel in 0..search.state.stages[index].columns {
                search.state.refresh(index, channel);
            }
        }
        search
    }

    /// The losses of all images before and after a move, image by image.
    fn check(search: &mut Search, index: usize, channel: usize, step: Option<Step>, gains: Gains) {
        let before: Vec<i32> = search.state.images.iter().map(|image| image.loss).collect();
        if let Some(step) = step {
            search.step(index, channel, step);
        }
        search.state.refresh(index, channel);
        let mut expected = Gains::default();
        for (number, (image, before)) in search.state.images.iter().zip(before).enumerate() {
            expected.add(usize::from(number >= search.state.searched), image.loss - before);
        }
        assert_eq!(gains, expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn gains_are_what_the_moves_give(seed: u64) {
            let seed = Seed(seed);
            let mut search = search(seed);
            let rng = &mut seed.rng();
            for index in 0..search.state.stages.len() {
                let stage = &search.state.stages[index];
                let channel = rng.random_range(0..stage.columns);
                let steps = search.steps(index, channel);
                let step = steps[rng.random_range(0..steps.len())];
                if stage.is_convolution() {
                    let shift = vec![rng.random_range(-2..=2); stage.levels];
                    let moved = Shifted { step: Some(step), shift };
                    let groups = &search.groups[index];
                    let gains =
                        convolution_gains(&search.state, index, channel, groups, std::slice::from_ref(&moved));
                    let thresholds = moved.thresholds(stage.thresholds(channel)).unwrap();
                    search.state.stages[index].set_thresholds(channel, &thresholds);
                    check(&mut search, index, channel, Some(step), gains[0]);
                } else if stage.is_last() {
                    let inputs = search.inputs(index, &search.groups[index]);
                    let gains = output_gains(&search.state, channel, step, &inputs);
                    check(&mut search, index, channel, Some(step), gains);
                } else {
                    let inputs = search.inputs(index, &search.groups[index]);
                    let mut looked_at = Channel::new(&search.state, index, channel, 3);
                    for step in [None, Some(step)] {
                        let (found, thresholds) = looked_at.best(step, &inputs);
                        let gains = looked_at.gains(step, &thresholds, &inputs);
                        prop_assert_eq!(found.sums, gains.sums);
                        looked_at.make(step, thresholds.clone(), &inputs);
                        search.state.stages[index].set_thresholds(channel, &thresholds);
                        check(&mut search, index, channel, step, gains);
                    }
                }
            }
        }

        #[test]
        fn thresholds_are_the_best_within_reach(
            growth in prop::collection::vec(-9i64..9, 24),
            mut present in prop::collection::vec(0i32..3, 3),
        ) {
            let reach = 2;
            present.sort_unstable();
            let width = (present[2] - present[0] + 2 * reach + 2) as usize;
            let part: Vec<i64> = (0..3 * width).map(|at| growth[at % growth.len()]).collect();
            let parts = [part.clone(), part];
            let histogram = Histogram { lowest: present[0] - reach - 1, width, parts };
            let found = histogram.best(&present, reach);
            prop_assert!(found.is_sorted(), "{:?}", found);
            let near = |level: usize| present[level] - reach..=present[level] + reach;
            let mut least = i64::MAX;
            for a in near(0) {
                for b in near(1).filter(|&b| b >= a) {
                    for c in near(2).filter(|&c| c >= b) {
                        least = least.min(histogram.cost(0, &[a, b, c]));
                    }
                }
            }
            prop_assert_eq!(histogram.cost(0, &found), least);
        }
    }
}
