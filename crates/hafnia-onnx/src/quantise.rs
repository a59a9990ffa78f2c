//! How a value becomes integers that a product can take: thresholds found by value, and proved.

use hafnia_model::{Floats, Layer, Shape, Thresholds};

use crate::expression::{Memory, Program};
use crate::floats::floats;
use crate::levels::{Grid, MOST_LEVELS, Runs, negated, runs};
use crate::plan::{ALWAYS, Counts, NEVER};
use crate::state::{NEAR, State};
use crate::value::{Base, Part, Pool, Value};

/// The most elements of a vector.
const MOST_INPUTS: usize = 1 << 22;

/// A part whose values are known.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) base: usize,
    /// By channel, which values the integers of the base stand for.
    pub(crate) runs: Vec<Runs>,
    /// What gives the values of single integers, where it can be asked.
    pub(crate) program: Option<Program>,
    pub(crate) pools: Vec<Pool>,
    /// Behind the pools.
    pub(crate) shape: Shape,
}

/// What integers stand for: offset + step · n from `least` to `largest`; where a channel falls, the
/// integer `least + largest − n` is taken in place of n.
#[derive(Debug, Clone, Copy)]
struct Scale {
    grid: Grid,
    least: i64,
    largest: i64,
}

/// How the integers of a channel are read.
#[derive(Debug, Clone)]
struct Channel {
    /// Whether the sums are negated first.
    falling: bool,
    /// Whether the integers are counted from the other end.
    reversed: bool,
    /// The integers, in ascending order of sums that may be negated: where each begins.
    levels: Vec<(i64, i64)>,
    /// The first and the last sum, negated if they are.
    ends: (i64, i64),
    /// What the integers stand for.
    scale: Scale,
}

impl State {
    /// The integers of at most 256 levels that a value is on one grid, as a base of the shape of its
    /// parts; integer 0 stands for what it is padded with, if it is.
    pub(crate) fn quantise(&mut self, value: &Value, pad: Option<f32>) -> Result<usize, String> {
        self.quantise_groups(value, pad, 1)
    }

    /// The same where the channels stand in so many groups, each of which may have a grid of its own.
    pub(crate) fn quantise_groups(
        &mut self,
        value: &Value,
        pad: Option<f32>,
        groups: usize,
    ) -> Result<usize, String> {
        if let [Part { bases, of, pools, .. }] = &value.parts[..]
            && let [base] = bases[..]
            && pools.is_empty()
            && self.expressions.is_source(*of)
            && self.is_levelled(base, pad, groups)
        {
            return Ok(base);
        }
        let parts: Vec<Counted> =
            value.parts.iter().map(|part| self.counted(part)).collect::<Result<_, _>>()?;
        let grids = grids(&parts, groups)?;
        let mut of_part = &grids[..];
        let unfolded = parts.into_iter().map(|part| {
            let (own, others) = of_part.split_at(part.runs.len());
            of_part = others;
            self.unfolded(part, own)
        });
        let parts: Vec<Counted> = unfolded.collect::<Result<_, _>>()?;
        let directions: Vec<Vec<Option<bool>>> =
            parts.iter().map(|part| self.directions(part)).collect::<Result<_, _>>()?;
        let mut is_reversed = false;
        let mut of_channel = grids.iter();
        for (part, directions) in parts.iter().zip(&directions) {
            for ((runs, direction), grid) in part.runs.iter().zip(directions).zip(&mut of_channel) {
                is_reversed |= self.reading(part.base, runs, grid, *direction)?.1;
            }
        }
        let scales = scales(&grids, pad, is_reversed)?;
        let mut scales = &scales[..];
        let one_plane = |part: &Counted| (part.shape.height, part.shape.width);
        let is_flat = parts.iter().any(|part| one_plane(part) != one_plane(&parts[0]));
        let mut bases = Vec::new();
        for (part, directions) in parts.iter().zip(&directions) {
            let (own, others) = scales.split_at(part.runs.len());
            scales = others;
            let base = self.levelled(part, directions, own, pad)?;
            bases.push(if is_flat { self.flattened(base)? } else { base });
        }
        Ok(match bases[..] {
            [one] => one,
            _ => self.joined(&bases),
        })
    }

    /// Whether the integers of a base can be taken by a product as they are.
    fn is_levelled(&self, base: usize, pad: Option<f32>, groups: usize) -> bool {
        let Base { range: (least, largest), scale, offset, bytes, .. } = &self.bases[base];
        let have_one_step = |scales: &[f64]| {
            let step = scales[0].abs();
            step > 0.0 && scales.iter().all(|scale| scale.abs() == step)
        };
        bytes.is_none()
            && largest - least.min(&0) < MOST_LEVELS as i64
            && scale.chunks(scale.len() / groups).all(have_one_step)
            && pad.is_none_or(|pad| offset.iter().all(|&offset| offset == f64::from(pad)))
    }

    /// The values of a part.
    fn counted(&mut self, part: &Part) -> Result<Counted, String> {
        let [base] = part.bases[..] else { return self.counted_sums(part) };
        let program = self.expressions.program(part.of)?;
        let mut memory = Memory::default();
        let of = &self.bases[base];
        let channels = of.ranges.iter().enumerate().map(|(channel, &(least, largest))| {
            let is_monotone = of.bytes.is_none() && program.is_monotone(channel);
            runs(least, largest, is_monotone, |n| {
                program.eval(channel, &[of.real(channel, n as f64)], &mut memory)
            })
        });
        let runs = channels.collect::<Result<_, _>>()?;
        let (pools, shape) = (part.pools.clone(), part.shape);
        Ok(Counted { base, runs, program: Some(program), pools, shape })
    }

    /// By channel, whether the maxima that are to be taken are those of the integers, or of their
    /// negatives; none where that does not matter.
    fn directions(&self, part: &Counted) -> Result<Vec<Option<bool>>, String> {
        let base = &self.bases[part.base];
        let mut memory = Memory::default();
        let mut directions = vec![None; base.shape.channels];
        for Pool { of, .. } in &part.pools {
            let program = self.expressions.program(*of)?;
            for (channel, direction) in directions.iter_mut().enumerate() {
                let (least, largest) = base.ranges[channel];
                let mut at =
                    |n| program.eval(channel, &[base.real(channel, n as f64)], &mut memory);
                let rises = if base.bytes.is_none() && program.is_monotone(channel) {
                    at(least).partial_cmp(&at(largest))
                } else {
                    let values: Vec<f32> = (least..=largest.min(least + 65536)).map(at).collect();
                    match (values.is_sorted(), values.iter().rev().is_sorted()) {
                        _ if largest - least > 65536 => None,
                        (true, true) => Some(std::cmp::Ordering::Equal),
                        (true, false) => Some(std::cmp::Ordering::Less),
                        (false, true) => Some(std::cmp::Ordering::Greater),
                        (false, false) => None,
                    }
                };
                let rises = match rises {
                    Some(std::cmp::Ordering::Less) => true,
                    Some(std::cmp::Ordering::Greater) => false,
                    Some(std::cmp::Ordering::Equal) => continue,
                    None => {
                        return Err("a MaxPool takes what rises and falls with a sum".to_owned());
                    }
                };
                if direction.is_some_and(|other| other != rises) {
                    return Err(
                        "one MaxPool takes what rises with a sum, another what falls".to_owned()
                    );
                }
                *direction = Some(rises);
            }
        }
        Ok(directions)
    }

    /// Whether the sums of a channel are negated, and whether its levels are counted from the other
    /// end.
    fn reading(
        &self,
        base: usize,
        runs: &Runs,
        grid: &Grid,
        pooled: Option<bool>,
    ) -> Result<(bool, bool), String> {
        let levels: Vec<i64> = runs.iter().map(|run| grid.level(run.1)).collect();
        let (rises, falls) = (levels.is_sorted(), levels.iter().rev().is_sorted());
        if !rises && !falls {
            return Err("a MaxPool takes what rises and falls with a sum".to_owned());
        }
        let can_turn = self.plan.is_product(self.bases[base].value);
        let falling = match pooled {
            Some(rising) => !rising,
            None => !rises && can_turn,
        };
        if falling && !can_turn {
            return Err("a MaxPool takes what falls with a sum that is not a product's".to_owned());
        }
        let rises = if falling { falls } else { rises };
        Ok((falling, !rises))
    }

    /// The base that gives the integers of a part on the scales of its channels: thresholds, unless the integers that are
    /// there will do, and pools.
    fn levelled(
        &mut self,
        part: &Counted,
        directions: &[Option<bool>],
        scales: &[Scale],
        pad: Option<f32>,
    ) -> Result<usize, String> {
        let mut channels = Vec::new();
        for (index, (runs, direction)) in part.runs.iter().zip(directions).enumerate() {
            let scale = scales[index];
            let (falling, reversed) = self.reading(part.base, runs, &scale.grid, *direction)?;
            let (least, largest) = self.bases[part.base].ranges[index];
            let level = |run: &(i64, f32)| (run.0, scale.level(run.1, reversed));
            let (levels, ends) = match falling {
                true => (negated(runs, largest).iter().map(level).collect(), (-largest, -least)),
                false => (runs.iter().map(level).collect(), (least, largest)),
            };
            channels.push(Channel { falling, reversed, levels, ends, scale });
        }
        let mut base = match self.as_they_are(part, &channels, pad) {
            Some(base) => base,
            None => self.thresholds(part, &channels)?,
        };
        for Pool { window, .. } in &part.pools {
            base.value = self.plan.add(Layer::MaxPool(*window), vec![base.value]);
        }
        base.shape = part.shape;
        Ok(self.keep(base))
    }

    /// The base itself if its integers are those of the scale, but for a constant for each channel.
    fn as_they_are(&self, part: &Counted, channels: &[Channel], pad: Option<f32>) -> Option<Base> {
        let base = &self.bases[part.base];
        let (least, largest) = base.range;
        if base.bytes.is_some() || largest - least.min(0) >= MOST_LEVELS as i64 {
            return None;
        }
        let mut steps = Vec::new();
        let mut offsets = Vec::new();
        for Channel { falling, reversed, levels, ends, scale } in channels {
            let shift = levels[0].1 - levels[0].0;
            let is_each = levels.len() as i64 == ends.1 - ends.0 + 1;
            if *falling || !is_each || levels.iter().any(|(n, level)| level - n != shift) {
                return None;
            }
            let (step, offset) = scale.real(*reversed);
            steps.push(step);
            offsets.push(offset + step * shift as f64);
        }
        if pad.is_some_and(|pad| offsets.iter().any(|&offset| offset != f64::from(pad))) {
            return None;
        }
        Some(Base { scale: steps, offset: offsets, ..base.clone() })
    }

    /// Thresholds on a base that count the integers of a scale.
    fn thresholds(&mut self, part: &Counted, channels: &[Channel]) -> Result<Base, String> {
        // All channels have the same.
        let Scale { least, largest, .. } = channels[0].scale;
        let count = (largest - least).max(1) as usize;
        let mut values = Vec::with_capacity(count * channels.len());
        let mut doubts = Vec::new();
        let mut base = Base {
            ranges: Vec::new(),
            range: (least, least + count as i64),
            scale: Vec::new(),
            offset: Vec::new(),
            bytes: None,
            noise: vec![0.0; channels.len()],
            mean_of: None,
            ..self.bases[part.base].clone()
        };
        for (index, channel) in channels.iter().enumerate() {
            let Channel { reversed, levels, ends, scale, .. } = channel;
            let mut runs = levels.iter().peekable();
            let mut of_channel = Vec::new();
            for wanted in least + 1..=least + count as i64 {
                while runs.next_if(|(_, level)| *level < wanted).is_some() {}
                let threshold = match runs.peek() {
                    None => NEVER,
                    Some((at, _)) if *at == ends.0 => ALWAYS,
                    Some((at, _)) => {
                        of_channel.extend(self.prove(part, index, channel, *at, wanted)?);
                        i32::try_from(*at)
                            .map_err(|_| format!("a threshold is {at}, over 31 bits"))?
                    }
                };
                values.push(threshold);
            }
            of_channel.sort_unstable();
            of_channel.dedup_by_key(|doubt| doubt.0);
            doubts.push(of_channel);
            let (step, offset) = scale.real(*reversed);
            base.scale.push(step);
            base.offset.push(offset);
            base.ranges.push((levels[0].1, levels[levels.len() - 1].1));
        }
        let falling = channels.iter().map(|channel| channel.falling).collect();
        let thresholds = Thresholds { levels: count, lowest: least as i32, values };
        let name = self.plan.name(&format!("{} levels", self.node), "levels");
        let floats = self.floats(part, channels);
        let counted = Counts { thresholds, falling, doubts, floats };
        base.value = self.plan.activate(name, counted, base.value);
        Ok(base)
    }

    /// By channel, the thresholds of floats in place of the bytes of the input; none where there are
    /// no bytes, or floats are not quantised.
    fn floats(&self, part: &Counted, channels: &[Channel]) -> Vec<Floats> {
        let Base { bytes: Some(bytes), .. } = &self.bases[part.base] else { return Vec::new() };
        let Some(program) = &part.program else { return Vec::new() };
        let mut memory = Memory::default();
        let of_channel = |(channel, read): (usize, &Channel)| {
            let is_rising = |bytes: &[f32; 256]| bytes.is_sorted_by(|a, b| a < b);
            let scale = &read.scale;
            let level = |x: f32| {
                let value = program.eval(channel, &[x], &mut memory);
                let Grid { step, offset, .. } = scale.grid;
                let level = scale.grid.level(value);
                let distance = (f64::from(value) - offset) / step - level as f64;
                (scale.level(value, read.reversed), distance.abs())
            };
            let can = program.is_monotone(channel) && is_rising(&bytes[channel]);
            can.then(|| floats(&bytes[channel], scale.least, level)).flatten()
        };
        channels.iter().enumerate().map(of_channel).collect::<Option<_>>().unwrap_or_default()
    }

    /// Evaluates both sides of a threshold, and counts it if it lies near a sum; the sums from which
    /// roundings may lead to its other side.
    fn prove(
        &mut self,
        part: &Counted,
        channel: usize,
        read: &Channel,
        threshold: i64,
        wanted: i64,
    ) -> Result<Vec<(i32, i32)>, String> {
        self.thresholds += 1;
        let Some(program) = &part.program else { return Ok(Vec::new()) };
        let base = &self.bases[part.base];
        let mut memory = Memory::default();
        let mut reaches = |n: f64| {
            let n = if read.falling { -n } else { n };
            let value = program.eval(channel, &[base.real(channel, n)], &mut memory);
            read.scale.level(value, read.reversed) >= wanted
        };
        let at = threshold as f64;
        if !reaches(at) || reaches(at - 1.0) {
            return Err(format!(
                "channel {channel} does not change at sum {threshold} as it was found to"
            ));
        }
        let mut doubts = Vec::new();
        if base.bytes.is_none() {
            self.near += usize::from(!reaches(at - NEAR) || reaches(at - 1.0 + NEAR));
            let noise = doubtful(base.noise[channel]);
            if reaches(at - 1.0 + noise) {
                doubts.push((threshold as i32 - 1, 1));
            }
            if !reaches(at - noise) {
                doubts.push((threshold as i32, -1));
            }
        }
        Ok(doubts)
    }

    /// A base as one vector, (channel, y, x).
    pub(crate) fn flattened(&mut self, base: usize) -> Result<usize, String> {
        let of = self.bases[base].clone();
        let positions = of.shape.height * of.shape.width;
        if positions == 1 {
            return Ok(base);
        }
        if of.shape.len() > MOST_INPUTS {
            let shape = of.shape;
            return Err(format!(
                "it takes {shape} as a vector, at most {MOST_INPUTS} elements may be"
            ));
        }
        let each = |values: &[f64]| -> Vec<f64> {
            values.iter().flat_map(|&value| std::iter::repeat_n(value, positions)).collect()
        };
        let bytes = of.bytes.as_ref().map(|bytes| {
            bytes.iter().flat_map(|table| std::iter::repeat_n(*table, positions)).collect()
        });
        let ranges =
            of.ranges.iter().flat_map(|&range| std::iter::repeat_n(range, positions)).collect();
        let value = self.plan.add(Layer::Flatten, vec![of.value]);
        let shape = Shape { channels: of.shape.len(), height: 1, width: 1 };
        let (scale, offset, noise) = (each(&of.scale), each(&of.offset), each(&of.noise));
        let (range, mean_of) = (of.range, None);
        Ok(self.keep(Base { value, shape, ranges, range, scale, offset, bytes, noise, mean_of }))
    }

    /// Bases one after the other by channel.
    fn joined(&mut self, bases: &[usize]) -> usize {
        let of: Vec<Base> = bases.iter().map(|&base| self.bases[base].clone()).collect();
        let value = self.plan.add(Layer::Concat, of.iter().map(|base| base.value).collect());
        let mut whole = of[0].clone();
        whole.value = value;
        for base in &of[1..] {
            whole.shape.channels += base.shape.channels;
            whole.ranges.extend(&base.ranges);
            whole.scale.extend(&base.scale);
            whole.offset.extend(&base.offset);
            whole.noise.extend(&base.noise);
            whole.mean_of = None;
            whole.range.0 = whole.range.0.min(base.range.0);
            whole.range.1 = whole.range.1.max(base.range.1);
        }
        self.keep(whole)
    }
}

/// How far from a threshold a sum is in doubt, given the most that roundings may lead it away: they
/// seldom all lead to one side.
pub(crate) fn doubtful(noise: f64) -> f64 {
    (noise / 2.0).clamp(NEAR, 0.99)
}

/// By channel of all parts, the grid of its values: one for all if they lie on one, else one for each of
/// so many groups.
fn grids(parts: &[Counted], groups: usize) -> Result<Vec<Grid>, String> {
    let runs: Vec<&Runs> = parts.iter().flat_map(|part| &part.runs).collect();
    let of = |runs: &[&Runs]| Grid::of(runs.iter().flat_map(|runs| runs.iter().map(|run| run.1)));
    match of(&runs) {
        Err(_) if groups > 1 => {
            let each = runs.chunks(runs.len() / groups);
            let grids = each.map(|runs| Ok(vec![of(runs)?; runs.len()]));
            Ok(grids.collect::<Result<Vec<_>, String>>()?.concat())
        }
        grid => Ok(vec![grid?; runs.len()]),
    }
}

/// The scales of grids, of the same integers.
fn scales(grids: &[Grid], pad: Option<f32>, is_reversed: bool) -> Result<Vec<Scale>, String> {
    let each = grids.iter().map(|grid| scale(*grid, pad, is_reversed));
    let mut scales = each.collect::<Result<Vec<_>, _>>()?;
    let least = scales.iter().map(|scale| scale.least).min().unwrap_or(0);
    let largest = scales.iter().map(|scale| scale.largest).max().unwrap_or(0);
    if largest - least >= MOST_LEVELS as i64 {
        return Err(levels_beyond(largest - least + 1));
    }
    scales.iter_mut().for_each(|scale| (scale.least, scale.largest) = (least, largest));
    Ok(scales)
}

fn levels_beyond(levels: i64) -> String {
    format!("its activations have {levels} levels, at most {MOST_LEVELS} may be")
}

/// The scale of a grid; integer 0 stands for 0 if that is on the grid, and must for what is padded with.
fn scale(grid: Grid, pad: Option<f32>, is_reversed: bool) -> Result<Scale, String> {
    let padded = pad.is_some();
    let zero = f64::from(pad.unwrap_or(0.0));
    let grid = if zero == 0.0 { grid } else { grid.counted_from(zero) };
    let Grid { step, offset, least, largest } = grid;
    let levels = MOST_LEVELS as i64 - 1;
    if offset != zero && padded {
        return Err(format!(
            "it pads with {zero}, which lies between the levels {offset} + {step}·n of its activations; use \
             activations of which {zero} is one, or no padding"
        ));
    }
    let (mut low, mut high) = (least, largest);
    if offset == zero {
        (low, high) = (low.min(0), high.max(0));
        if is_reversed && padded {
            (low, high) = (low.min(-high), high.max(-low));
        }
        if high - low > levels || low < -levels {
            if padded {
                return Err(format!(
                    "its activations are {low} to {high} steps of {step} from the {zero} that it pads with, \
                     they must be at most {MOST_LEVELS} levels with that among them"
                ));
            }
            // Counted from the least.
            let grid =
                Grid { offset: step * least as f64, least: 0, largest: largest - least, step };
            return scale(grid, pad, is_reversed);
        }
    }
    match high - low <= levels {
        true => Ok(Scale { grid, least: low, largest: high }),
        false => Err(levels_beyond(high - low + 1)),
    }
}

impl Scale {
    /// The integer of a value.
    fn level(&self, value: f32, reversed: bool) -> i64 {
        let level = self.grid.level(value);
        if reversed { self.least + self.largest - level } else { level }
    }

    /// The real value of an integer: factor and summand.
    fn real(&self, reversed: bool) -> (f64, f64) {
        let Grid { step, offset, .. } = self.grid;
        match reversed {
            false => (step, offset),
            true => (-step, offset + step * (self.least + self.largest) as f64),
        }
    }
}
