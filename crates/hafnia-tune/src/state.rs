//! [`State`]: a network and what it computes for every image, kept so that a change is followed
//! only where it leads.

use hafnia_model::{Network, ReferenceProduct, activations_before};
use rayon::prelude::*;

use crate::loss::{Loss, Score};
use crate::stage::{Change, Stage};

/// A network on images.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) stages: Vec<Stage>,
    pub(crate) loss: Loss,
    /// The images that the search learns from, then those that are held back.
    pub(crate) images: Vec<Image>,
    /// Number of images to learn from.
    pub(crate) searched: usize,
    layout: Layout,
}

/// What a network computes for an image.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    label: u32,
    pub(crate) loss: i32,
    /// The activations that reach each stage, one after another.
    activations: Box<[u8]>,
    /// The sums of each linear stage; those of convolutions are many and computed when needed.
    sums: Box<[i32]>,
}

/// Where a stage's activations and sums begin in an [`Image`].
#[derive(Debug, Clone)]
struct Layout {
    activations: Vec<usize>,
    sums: Vec<usize>,
}

/// Memory of a thread that follows changes.
#[derive(Debug, Clone)]
pub(crate) struct Scratch {
    /// Changed sums of each stage.
    sums: Vec<Vec<i32>>,
    /// The sums of each convolution for one image, from [`State::load`].
    convolved: Vec<Vec<i32>>,
    pub(crate) changes: Vec<Change>,
}

impl State {
    /// Runs a network on images: activations as the network takes them, one image after another.
    ///
    /// The loss is fitted on the first `searched` images.
    pub(crate) fn new(network: &Network, images: &[(&[u8], u32)], searched: usize) -> Self {
        let stages = Stage::all(network);
        let layout = Layout::of(&stages);
        let first = network.matrices()[0].layer;
        let run = |plain: &mut ReferenceProduct, &(image, label): &(&[u8], u32)| {
            let inputs = activations_before(network, first, image, plain);
            layout.run(&stages, &inputs, label)
        };
        let images: Vec<Image> =
            images.par_iter().map_init(|| ReferenceProduct::new(network), run).collect();
        let last = stages.last().expect("a network ends in a matrix");
        // Two outputs differ by at most twice the largest there can be.
        let most: i64 = 2 * i64::from(last.largest) * last.rows as i64 * 255;
        let reach = most.min(i64::from(i32::MAX / 4)) as i32;
        let outputs = images[..searched].iter().map(|image| (layout.outputs(image), image.label));
        let loss = Loss::fitted(outputs, reach);
        let mut state = Self { stages, loss, images, searched, layout };
        let State { images, layout, loss, .. } = &mut state;
        images
            .par_iter_mut()
            .for_each(|image| image.loss = loss.of(layout.outputs(image), image.label));
        state
    }

    /// The network again; `origin` is the one that the state was made of.
    pub(crate) fn network(&self, origin: &Network) -> Network {
        Stage::put_back(&self.stages, origin)
    }

    pub(crate) fn scratch(&self) -> Scratch {
        let sums: Vec<Vec<i32>> = self.stages.iter().map(|stage| vec![0; stage.sums()]).collect();
        Scratch { convolved: sums.clone(), sums, changes: Vec::new() }
    }

    /// The activations that reach a stage.
    pub(crate) fn activations<'a>(&self, image: &'a Image, stage: usize) -> &'a [u8] {
        self.layout.activations(image, stage)
    }

    /// The sums of a linear stage.
    pub(crate) fn sums<'a>(&self, image: &'a Image, stage: usize) -> &'a [i32] {
        self.layout.sums(image, stage)
    }

    /// How good the network is on the images to learn from, and on those held back.
    pub(crate) fn scores(&self) -> (Score, Score) {
        let score = |images: &[Image]| {
            let mut score = Score::default();
            for image in images {
                score.add(self.layout.outputs(image), image.label, image.loss);
            }
            score
        };
        let (searched, held_back) = self.images.split_at(self.searched);
        (score(searched), score(held_back))
    }

    /// The sum of losses of the images to learn from, and of those held back.
    pub(crate) fn losses(&self) -> [i64; 2] {
        let total =
            |images: &[Image]| images.iter().map(|image| i64::from(image.loss)).sum::<i64>();
        let (searched, held_back) = self.images.split_at(self.searched);
        [total(searched), total(held_back)]
    }

    /// Computes the sums of the convolutions from `first` on, which [`State::loss_after`] starts
    /// from.
    pub(crate) fn load(&self, image: &Image, first: usize, scratch: &mut Scratch) {
        for (index, stage) in self.stages.iter().enumerate().skip(first) {
            if stage.is_convolution() {
                let inputs = self.activations(image, index);
                stage.multiply(inputs, &mut scratch.convolved[index]);
            }
        }
    }

    /// The loss of an image if `scratch.changes` were made to the activations that reach `first`.
    ///
    /// The convolutions from there on must be [loaded](State::load); the changes are used up.
    pub(crate) fn loss_after(&self, image: &Image, first: usize, scratch: &mut Scratch) -> i32 {
        for (index, stage) in self.stages.iter().enumerate().skip(first) {
            if scratch.changes.is_empty() {
                break;
            }
            let Scratch { sums, convolved, changes } = &mut *scratch;
            let sums = &mut sums[index][..];
            sums.copy_from_slice(if stage.is_convolution() {
                &convolved[index]
            } else {
                self.sums(image, index)
            });
            changes.drain(..).for_each(|change| stage.add(change, sums));
            if stage.is_last() {
                return self.loss.of(sums, image.label);
            }
            stage.compare(sums, self.activations(image, index + 1), changes);
        }
        image.loss
    }

    /// The loss of an image with other outputs.
    pub(crate) fn loss_of(&self, image: &Image, outputs: &[i32]) -> i32 {
        self.loss.of(outputs, image.label)
    }

    /// Follows other weights or thresholds of a channel of a stage through all images.
    pub(crate) fn refresh(&mut self, first: usize, channel: usize) {
        let Self { stages, loss, images, layout, .. } = self;
        let memory = || {
            let sums: Vec<Vec<i32>> = stages.iter().map(|stage| vec![0; stage.sums()]).collect();
            (sums, Vec::new())
        };
        images.par_iter_mut().for_each_init(memory, |(sums, changes), image| {
            let stage = &stages[first];
            let mut column = vec![0; stage.positions()];
            stage.multiply_column(layout.activations(image, first), channel, &mut column);
            if !stage.is_convolution() {
                layout.sums_mut(image, first)[channel] = column[0];
            }
            if !stage.is_last() {
                let pooled = stage.pooled();
                let next = layout.activations(image, first + 1);
                for at in 0..pooled {
                    let sum = stage.largest_at(at, |position| column[position]);
                    let new = stage.level(sum, channel);
                    let input = channel * pooled + at;
                    if new != next[input] {
                        changes.push((input, i32::from(new) - i32::from(next[input])));
                    }
                }
            }
            layout.follow(stages, image, first + 1, sums, changes);
            image.loss = loss.of(layout.outputs(image), image.label);
        });
    }
}

impl Layout {
    fn of(stages: &[Stage]) -> Self {
        let starts = |lengths: Vec<usize>| {
            let mut starts = vec![0];
            for length in lengths {
                starts.push(starts[starts.len() - 1] + length);
            }
            starts
        };
        let kept = |stage: &Stage| if stage.is_convolution() { 0 } else { stage.sums() };
        Self {
            activations: starts(stages.iter().map(Stage::inputs).collect()),
            sums: starts(stages.iter().map(kept).collect()),
        }
    }

    /// Runs stages from scratch. The loss is left for later.
    fn run(&self, stages: &[Stage], inputs: &[u8], label: u32) -> Image {
        let mut activations = vec![0; self.activations[stages.len()]].into_boxed_slice();
        let mut kept = vec![0; self.sums[stages.len()]].into_boxed_slice();
        activations[..inputs.len()].copy_from_slice(inputs);
        for (index, stage) in stages.iter().enumerate() {
            let mut sums = vec![0; stage.sums()];
            let (before, after) = activations.split_at_mut(self.activations[index + 1]);
            stage.multiply(&before[self.activations[index]..], &mut sums);
            if !stage.is_convolution() {
                kept[self.sums[index]..self.sums[index + 1]].copy_from_slice(&sums);
            }
            if !stage.is_last() {
                stage.activate(&sums, &mut after[..stages[index + 1].inputs()]);
            }
        }
        Image { label, loss: 0, activations, sums: kept }
    }

    /// Makes changes to the activations that reach `first`, and what follows from them.
    fn follow(
        &self,
        stages: &[Stage],
        image: &mut Image,
        first: usize,
        sums: &mut [Vec<i32>],
        changes: &mut Vec<Change>,
    ) {
        for (index, stage) in stages.iter().enumerate().skip(first) {
            if changes.is_empty() {
                return;
            }
            let start = self.activations[index];
            if stage.is_convolution() {
                stage.multiply(self.activations(image, index), &mut sums[index]);
            } else {
                sums[index].copy_from_slice(self.sums(image, index));
            }
            for change in changes.drain(..) {
                let (input, growth) = change;
                let activation = &mut image.activations[start + input];
                *activation = (i32::from(*activation) + growth) as u8;
                stage.add(change, &mut sums[index]);
            }
            if !stage.is_convolution() {
                self.sums_mut(image, index).copy_from_slice(&sums[index]);
            }
            if !stage.is_last() {
                stage.compare(&sums[index], self.activations(image, index + 1), changes);
            }
        }
    }

    fn activations<'a>(&self, image: &'a Image, stage: usize) -> &'a [u8] {
        &image.activations[self.activations[stage]..self.activations[stage + 1]]
    }

    fn sums<'a>(&self, image: &'a Image, stage: usize) -> &'a [i32] {
        &image.sums[self.sums[stage]..self.sums[stage + 1]]
    }

    fn sums_mut<'a>(&self, image: &'a mut Image, stage: usize) -> &'a mut [i32] {
        &mut image.sums[self.sums[stage]..self.sums[stage + 1]]
    }

    fn outputs<'a>(&self, image: &'a Image) -> &'a [i32] {
        self.sums(image, self.sums.len() - 2)
    }
}

#[cfg(test)]
mod tests {
    use hafnia_model::random::{self, Limits};
    use hafnia_model::run;
    use hafnia_rng::Seed;
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;

    /// What the state holds is what a fresh run of its network gives.
    fn check(state: &State, network: &Network, images: &[Vec<u8>]) -> Network {
        let network = state.network(network);
        for (image, input) in state.images.iter().zip(images) {
            let outputs = run(&network, input, &mut ReferenceProduct::new(&network));
            assert_eq!(state.layout.outputs(image), outputs);
            assert_eq!(image.loss, state.loss.of(&outputs, image.label));
        }
        network
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_a_change_leads_to_is_what_a_fresh_run_gives(seed: u64) {
            let seed = Seed(seed);
            let limits = Limits { weight_bits: 4, ..Limits::default() };
            let mut network = random::network(seed, limits);
            let rng = &mut seed.rng();
            let images: Vec<Vec<u8>> =
                (0..6).map(|i| random::image(seed.index(i), network.input())).collect();
            let labelled: Vec<(&[u8], u32)> = images
                .iter()
                .map(|image| (&image[..], rng.random_range(0..network.classes()) as u32))
                .collect();
            let mut state = State::new(&network, &labelled, 4);
            check(&state, &network, &images);
            for _ in 0..4 {
                let index = rng.random_range(0..state.stages.len());
                let stage = &mut state.stages[index];
                let channel = rng.random_range(0..stage.columns);
                let row = rng.random_range(0..stage.rows);
                stage.set_weight(row, channel, -stage.weight(row, channel));
                let moved: Vec<i32> = stage.thresholds(channel).iter().map(|t| t + 1).collect();
                stage.set_thresholds(channel, &moved);
                state.refresh(index, channel);
                network = check(&state, &network, &images);
            }
            // A change that is only asked about, from any stage on.
            let first = rng.random_range(0..state.stages.len());
            let mut scratch = state.scratch();
            for image in &state.images {
                let mut activations = state.activations(image, first).to_vec();
                let input = rng.random_range(0..activations.len());
                let of = &network.matrices()[first];
                let change = if activations[input] < of.largest { 1 } else { -1 };
                scratch.changes = vec![(input, change)];
                state.load(image, first, &mut scratch);
                let found = state.loss_after(image, first, &mut scratch);
                activations[input] = activations[input].wrapping_add_signed(change as i8);
                let plain = &mut ReferenceProduct::new(&network);
                let outputs = hafnia_model::run_from(&network, of.layer, &activations, plain);
                prop_assert_eq!(found, state.loss.of(&outputs, image.label));
            }
        }
    }
}
