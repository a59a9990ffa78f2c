//! Levels that rise and fall with a sum, as those of SiLU or HardSwish: what rises less what falls.

use hafnia_model::{Layer, Thresholds};

use crate::expression::Memory;
use crate::levels::{Grid, MOST_LEVELS, Runs};
use crate::plan::{ALWAYS, Counts, NEVER};
use crate::quantise::{Counted, doubtful};
use crate::state::State;
use crate::value::{Base, Pool};

/// The most steps of a channel, up or down.
const MOST_STEPS: usize = 1024;

/// The most sums of a channel that are looked at one by one in front of a maximum.
const MOST_POOLED: i64 = 1 << 20;

/// By channel, the sums at which levels rise, or fall, by one, in ascending order.
type Steps = Vec<Vec<i64>>;

impl State {
    /// A part whose levels rise with the integers of its base: itself, or one whose base is the levels,
    /// as the difference of two counts of thresholds.
    pub(crate) fn unfolded(&mut self, part: Counted, grids: &[Grid]) -> Result<Counted, String> {
        let levels = |(runs, grid): (&Runs, &Grid)| -> Vec<(i64, i64)> {
            runs.iter().map(|run| (run.0, grid.level(run.1))).collect()
        };
        let levels: Vec<Vec<(i64, i64)>> = part.runs.iter().zip(grids).map(levels).collect();
        let is_one_way = |levels: &Vec<(i64, i64)>| {
            levels.is_sorted_by_key(|level| level.1) || levels.is_sorted_by_key(|level| -level.1)
        };
        if levels.iter().all(is_one_way) || !self.is_rising_behind(&part, &levels)? {
            return Ok(part);
        }
        let lowest = levels.iter().map(|levels| levels[0].1).min().unwrap_or(0).min(0);
        let mut rises: Steps = levels
            .iter()
            .map(|levels| vec![i64::from(ALWAYS); (levels[0].1 - lowest).max(0) as usize])
            .collect();
        let mut falls: Steps = vec![Vec::new(); levels.len()];
        for (channel, levels) in levels.iter().enumerate() {
            for pair in levels.windows(2) {
                let ((_, before), (at, after)) = (pair[0], pair[1]);
                let steps = if after > before { &mut rises } else { &mut falls };
                steps[channel].extend(std::iter::repeat_n(at, before.abs_diff(after) as usize));
            }
        }
        let most = |steps: &Steps| steps.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let (up, down) = (most(&rises), most(&falls));
        if up.max(down) > MOST_STEPS || lowest <= -(MOST_LEVELS as i64) {
            return Err(format!(
                "it rises by {up} levels over all sums and falls by {down}, each must be at most \
                 {MOST_STEPS}: use an activation that only rises, such as Relu"
            ));
        }
        let (mut terms, mut factors) = (Vec::new(), Vec::new());
        for (steps, count, factor) in [(&rises, up, 1), (&falls, down, -1)] {
            for first in (0..count).step_by(MOST_LEVELS - 1) {
                let lowest = if terms.is_empty() { lowest } else { 0 };
                let count = (count - first).min(MOST_LEVELS - 1);
                let of = |steps: &Vec<i64>| steps.iter().skip(first).take(count).copied().collect();
                let steps: Steps = steps.iter().map(of).collect();
                terms.push(self.counted_steps(&part, &steps, count, lowest)?);
                factors.push(factor);
            }
        }
        let value = self.plan.add(Layer::Add(factors), terms);
        let ends = |levels: &Vec<(i64, i64)>| {
            let all = || levels.iter().map(|level| level.1);
            (all().min().unwrap_or(0), all().max().unwrap_or(0))
        };
        let ranges: Vec<(i64, i64)> = levels.iter().map(ends).collect();
        let each = |((least, largest), grid): (&(i64, i64), &Grid)| -> Runs {
            (*least..=*largest).map(|n| (n, (grid.offset + grid.step * n as f64) as f32)).collect()
        };
        let runs = ranges.iter().zip(grids).map(each).collect();
        let base = self.keep(Base {
            value,
            shape: self.bases[part.base].shape,
            ranges,
            range: (lowest - down as i64, lowest + up as i64),
            scale: grids.iter().map(|grid| grid.step).collect(),
            offset: grids.iter().map(|grid| grid.offset).collect(),
            bytes: None,
            noise: vec![0.0; grids.len()],
            mean_of: None,
        });
        // The maximum of levels is the level of the maximum.
        let of = self.expressions.source(0);
        let pools = part.pools.into_iter().map(|pool| Pool { of, ..pool }).collect();
        Ok(Counted { base, runs, program: None, pools, shape: part.shape })
    }

    /// Whether the levels, by channel, only rise with what the maxima of a part are taken of.
    fn is_rising_behind(&self, part: &Counted, levels: &[Vec<(i64, i64)>]) -> Result<bool, String> {
        let base = &self.bases[part.base];
        let mut memory = Memory::default();
        for Pool { of, .. } in &part.pools {
            let program = self.expressions.program(*of)?;
            for (channel, levels) in levels.iter().enumerate() {
                let (least, largest) = base.ranges[channel];
                if largest - least > MOST_POOLED {
                    return Ok(false);
                }
                let mut level = levels.iter().peekable();
                let mut here = levels[0].1;
                let pairs = (least..=largest).map(|n| {
                    while let Some((_, next)) = level.next_if(|next| next.0 <= n) {
                        here = *next;
                    }
                    let pooled =
                        program.eval(channel, &[base.real(channel, n as f64)], &mut memory);
                    (pooled, here)
                });
                let mut pairs: Vec<(f32, i64)> = pairs.collect();
                pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                if !pairs.is_sorted_by_key(|pair| pair.1) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The value that counts, from `lowest` on, the steps that a sum has reached.
    fn counted_steps(
        &mut self,
        part: &Counted,
        steps: &Steps,
        count: usize,
        lowest: i64,
    ) -> Result<usize, String> {
        let mut values = Vec::with_capacity(count * steps.len());
        for steps in steps {
            let none = std::iter::repeat_n(i64::from(NEVER), count - steps.len());
            for at in steps.iter().copied().chain(none) {
                let threshold = i32::try_from(at);
                values.push(threshold.map_err(|_| format!("a threshold is {at}, over 31 bits"))?);
            }
            self.thresholds += steps.len();
        }
        let doubts =
            (0..steps.len()).map(|channel| self.near_steps(part, channel, &steps[channel]));
        let doubts = doubts.collect();
        let thresholds = Thresholds { levels: count, lowest: lowest as i32, values };
        let name = self.plan.name(&format!("{} steps", self.node), "steps");
        let (falling, floats) = (vec![false; steps.len()], Vec::new());
        let counts = Counts { thresholds, falling, doubts, floats };
        Ok(self.plan.activate(name, counts, self.bases[part.base].value))
    }

    /// The sums from which roundings may lead to the other side of a step, and the step there.
    fn near_steps(&self, part: &Counted, channel: usize, steps: &[i64]) -> Vec<(i32, i32)> {
        let base = &self.bases[part.base];
        let (Some(program), None) = (&part.program, &base.bytes) else { return Vec::new() };
        let (noise, mut memory) = (doubtful(base.noise[channel]), Memory::default());
        let mut real = |n: f64| program.eval(channel, &[base.real(channel, n)], &mut memory);
        let mut doubts = Vec::new();
        for &at in steps.iter().filter(|&&at| at > i64::from(ALWAYS)) {
            let (here, sum) = (at as f64, at as i32);
            if real(here - 1.0 + noise) == real(here) {
                doubts.push((sum - 1, 1));
            }
            if real(here - noise) == real(here - 1.0) {
                doubts.push((sum, -1));
            }
        }
        doubts.sort_unstable();
        doubts.dedup_by_key(|doubt| doubt.0);
        doubts
    }
}
