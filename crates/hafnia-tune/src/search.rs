//! [`Search`]: coordinate descent over the weights and thresholds of a network, channel by channel.

use hafnia_rng::Seed;
use rand::seq::SliceRandom as _;
use rayon::prelude::*;

use crate::moves::{Channel, Gains, Shifted, Sparse, Step, convolution_gains, output_gains};
use crate::state::State;

/// A network under search.
pub(crate) struct Search {
    pub(crate) state: State,
    /// Of each stage the groups of rows that stay equal: together, every row once.
    pub(crate) groups: Vec<Vec<Vec<usize>>>,
    /// How far a threshold may go in one move.
    pub(crate) reach: i32,
    /// How many standard errors a move must gain.
    pub(crate) sigmas: f64,
}

/// Moves that were looked at and made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) tried: u64,
    pub(crate) made: u64,
}

impl Search {
    /// A search in which every row is free.
    pub(crate) fn new(state: State, reach: i32, sigmas: f64) -> Self {
        let alone = |rows: usize| (0..rows).map(|row| vec![row]).collect();
        let groups = state.stages.iter().map(|stage| alone(stage.rows)).collect();
        Self { state, groups, reach, sigmas }
    }

    /// Visits every channel of a stage once, in an order drawn from `seed`.
    pub(crate) fn visit(&mut self, index: usize, seed: Seed, visited: &mut dyn FnMut()) -> Counts {
        let stage = &self.state.stages[index];
        let mut channels: Vec<usize> = (0..stage.columns).collect();
        channels.shuffle(&mut seed.site("tune/channels").rng());
        let (is_convolution, is_last) = (stage.is_convolution(), stage.is_last());
        let inputs =
            if is_convolution { Vec::new() } else { self.inputs(index, &self.groups[index]) };
        let mut counts = Counts::default();
        for channel in channels {
            let of_channel = if is_convolution {
                self.visit_convolution(index, channel)
            } else if is_last {
                self.visit_output(channel, &inputs)
            } else {
                self.visit_linear(index, channel, &inputs)
            };
            counts.tried += of_channel.tried;
            counts.made += of_channel.made;
            visited();
        }
        counts
    }

    /// The activations that reach each group of rows of a linear stage, added up.
    pub(crate) fn inputs(&self, index: usize, groups: &[Vec<usize>]) -> Vec<Sparse> {
        let state = &self.state;
        let sparse = |group: &Vec<usize>| {
            let of_image = |(number, image)| {
                let activations = state.activations(image, index);
                let sum = group.iter().map(|&row| i32::from(activations[row])).sum::<i32>();
                (sum != 0).then_some((number as u32, sum))
            };
            state.images.iter().enumerate().filter_map(of_image).collect()
        };
        groups.par_iter().map(sparse).collect()
    }

    /// The steps of one weight to its neighbours that a column allows: (group, by).
    pub(crate) fn steps(&self, index: usize, column: usize) -> Vec<Step> {
        let stage = &self.state.stages[index];
        let steps = self.groups[index].iter().enumerate().flat_map(|(group, rows)| {
            let weight = stage.weight(rows[0], column);
            let allowed = stage.smallest..=stage.largest;
            let steps = [-stage.step(), stage.step()];
            steps
                .into_iter()
                .filter(move |by| allowed.contains(&(weight + by)))
                .map(move |by| (group, by))
        });
        steps.collect()
    }

    pub(crate) fn step(&mut self, index: usize, column: usize, (group, by): Step) {
        let stage = &mut self.state.stages[index];
        for &row in &self.groups[index][group] {
            stage.set_weight(row, column, stage.weight(row, column) + by);
        }
    }

    fn visit_linear(&mut self, index: usize, channel: usize, inputs: &[Sparse]) -> Counts {
        let mut looked_at = Channel::new(&self.state, index, channel, self.reach);
        let mut steps = vec![None];
        steps.extend(self.steps(index, channel).into_iter().map(Some));
        let gains: Vec<Gains> =
            steps.par_iter().map(|&step| looked_at.best(step, inputs).0).collect();
        let mut counts = Counts { tried: steps.len() as u64, made: 0 };
        for number in self.best_first(&gains) {
            let coincides = |step| self.would_coincide(index, channel, step);
            if steps[number].is_some_and(coincides) {
                continue;
            }
            // What was made since may have taken its gain.
            let (gains, thresholds) = looked_at.best(steps[number], inputs);
            if gains.is_better(self.sigmas) {
                looked_at.make(steps[number], thresholds, inputs);
                if let Some(step) = steps[number] {
                    self.step(index, channel, step);
                }
                counts.made += 1;
            }
        }
        if counts.made > 0 {
            self.state.stages[index].set_thresholds(channel, &looked_at.thresholds);
            self.state.refresh(index, channel);
        }
        counts
    }

    fn visit_output(&mut self, column: usize, inputs: &[Sparse]) -> Counts {
        let last = self.state.stages.len() - 1;
        let steps = self.steps(last, column);
        let gain = |state: &State, step| output_gains(state, column, step, inputs);
        let gains: Vec<Gains> = steps.par_iter().map(|&step| gain(&self.state, step)).collect();
        let mut counts = Counts { tried: steps.len() as u64, made: 0 };
        for number in self.best_first(&gains) {
            if !self.would_coincide(last, column, steps[number])
                && gain(&self.state, steps[number]).is_better(self.sigmas)
            {
                self.step(last, column, steps[number]);
                self.state.refresh(last, column);
                counts.made += 1;
            }
        }
        counts
    }

    fn visit_convolution(&mut self, index: usize, channel: usize) -> Counts {
        let levels = self.state.stages[index].levels;
        let mut moves = Vec::new();
        for by in (1..=self.reach).flat_map(|by| [-by, by]) {
            moves.push(Shifted { step: None, shift: vec![by; levels] });
            for level in (0..levels).filter(|_| levels > 1) {
                let mut shift = vec![0; levels];
                shift[level] = by;
                moves.push(Shifted { step: None, shift });
            }
        }
        for step in self.steps(index, channel) {
            for shift in [0, step.1.signum()] {
                moves.push(Shifted { step: Some(step), shift: vec![shift; levels] });
            }
        }
        let gain = |search: &Self, moves: &[Shifted]| {
            convolution_gains(&search.state, index, channel, &search.groups[index], moves)
        };
        let mut counts = Counts { tried: moves.len() as u64, made: 0 };
        let mut is_stepped = vec![false; self.groups[index].len()];
        for number in self.best_first(&gain(self, &moves)) {
            let made = &moves[number];
            // A step is made once, with one shift or the other.
            if made.step.is_some_and(|(group, _)| is_stepped[group])
                || !gain(self, std::slice::from_ref(made))[0].is_better(self.sigmas)
            {
                continue;
            }
            if let Some(step) = made.step {
                is_stepped[step.0] = true;
                self.step(index, channel, step);
            }
            let stage = &mut self.state.stages[index];
            let thresholds = made.thresholds(stage.thresholds(channel));
            stage.set_thresholds(channel, &thresholds.expect("a move that gains"));
            self.state.refresh(index, channel);
            counts.made += 1;
        }
        counts
    }

    /// The numbers of those that are better, the best first.
    fn best_first(&self, gains: &[Gains]) -> Vec<usize> {
        let is_better = |&number: &usize| gains[number].is_better(self.sigmas);
        let mut better: Vec<usize> = (0..gains.len()).filter(is_better).collect();
        better.sort_by_key(|&number| (gains[number].sums[0], number));
        better
    }
}
