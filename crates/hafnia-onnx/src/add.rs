//! Sums of two tensors: of related scales as they are, of others by thresholds that take both.

use hafnia_model::{Layer, Thresholds};

use crate::elementwise::Op;
use crate::expression::{Memory, Program};
use crate::levels::{MOST_LEVELS, Runs, negated, runs};
use crate::plan::{Counts, NEVER};
use crate::quantise::{Counted, doubtful};
use crate::state::State;
use crate::value::{Base, Part, Value};

/// The largest factor of a value that is added to another of a scale of its own.
const LARGEST_FACTOR: i64 = 16;

/// The most conditions on a channel that are solved for small factors.
const MOST_CONDITIONS: usize = 1 << 13;

/// Roundings that scales may have gone through, relative to them.
const SLACK: f64 = 1.0 / (1 << 20) as f64;

/// A value that is linear in the integers of a base.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) base: usize,
    /// By channel, what integer n stands for: scale · n + offset.
    pub(crate) scale: Vec<f64>,
    pub(crate) offset: Vec<f64>,
}

impl State {
    /// The sum of two values, or with [`Op::Subtract`] their difference.
    pub(crate) fn add(&mut self, op: Op, x: &Value, y: &Value) -> Result<Value, String> {
        if x.dims != y.dims
            || x.places != y.places
            || !x.padding.is_empty()
            || !y.padding.is_empty()
        {
            return Err(format!(
                "it adds tensors of sides {:?} and {:?}: both must be of one shape and layout",
                x.padded_dims(),
                y.padded_dims()
            ));
        }
        let like = |value: Value| Value { dims: x.dims.clone(), places: x.places.clone(), ..value };
        let linear = [self.linear(x)?, self.linear(y)?];
        if let [Some(a), Some(b)] = &linear
            && let Some(sum) = self.sum(op, a, b)
        {
            return Ok(like(self.value_of(sum)));
        }
        let levels = [self.quantise(x, None), self.quantise(y, None)];
        if let [Ok(a), Ok(b)] = levels {
            let forms = [a, b].map(|base| self.integers(base));
            if let Some(sum) = self.sum(op, &forms[0], &forms[1]) {
                return Ok(like(self.value_of(sum)));
            }
        }
        let raw = |value: &Value, state: &State| match &value.parts[..] {
            [Part { bases, of, pools, .. }]
                if bases.len() == 1
                    && pools.is_empty()
                    && state.bases[bases[0]].bytes.is_none() =>
            {
                Some((bases[0], *of))
            }
            _ => None,
        };
        // What takes at most 256 levels goes second, as an activation.
        let (first, second, is_swapped) = match &levels {
            [_, Ok(second)] => (x, *second, false),
            [Ok(second), Err(_)] => (y, *second, true),
            [Err(fault), Err(_)] => {
                return Err(format!(
                    "it adds two tensors that share no scale, and neither is quantised ({fault}): \
                     quantise one of them before"
                ));
            }
        };
        let of_first = &levels[usize::from(is_swapped)];
        let (base, of) = match (raw(first, self), of_first) {
            (Some(raw), Err(_)) => raw,
            (_, Ok(base)) => (*base, self.expressions.source(0)),
            (None, Err(fault)) => return Err(fault.clone()),
        };
        let second_of = self.expressions.source(1);
        let operands = if is_swapped { vec![second_of, of] } else { vec![of, second_of] };
        let of = self.expressions.op(op, operands);
        let shape = self.bases[second].shape;
        if self.bases[base].shape != shape {
            return Err(format!("it adds values of {} and {shape}", self.bases[base].shape));
        }
        Ok(like(Value::of(Part { bases: vec![base, second], of, pools: Vec::new(), shape })))
    }

    /// A value as a linear function of integers, if it is one.
    pub(crate) fn linear(&self, value: &Value) -> Result<Option<Linear>, String> {
        let [Part { bases, of, pools, .. }] = &value.parts[..] else { return Ok(None) };
        let [base] = bases[..] else { return Ok(None) };
        if !pools.is_empty() || self.bases[base].bytes.is_some() {
            return Ok(None);
        }
        let program = self.expressions.program(*of)?;
        let mut linear = self.integers(base);
        for (channel, (scale, offset)) in
            linear.scale.iter_mut().zip(&mut linear.offset).enumerate()
        {
            let Some((factor, summand)) = program.as_affine(channel) else { return Ok(None) };
            (*scale, *offset) = (*scale * factor, *offset * factor + summand);
        }
        Ok(Some(linear))
    }

    /// The integers of a base as a linear function of themselves.
    fn integers(&self, base: usize) -> Linear {
        let Base { scale, offset, .. } = &self.bases[base];
        Linear { base, scale: scale.clone(), offset: offset.clone() }
    }

    /// The base of a sum of integers that stand for multiples of one step in every channel; none if
    /// they do not.
    fn sum(&mut self, op: Op, a: &Linear, b: &Linear) -> Option<usize> {
        let sign = if op == Op::Subtract { -1.0 } else { 1.0 };
        let (of_a, of_b) = (&self.bases[a.base], &self.bases[b.base]);
        if of_a.shape != of_b.shape {
            return None;
        }
        let ratio = sign * b.scale[0] / a.scale[0];
        let is_alike = |(a, b): (&f64, &f64)| {
            let other = sign * b / a;
            other.is_finite() && other != 0.0 && (other - ratio).abs() <= ratio.abs() * SLACK
        };
        if !a.scale.iter().zip(&b.scale).all(is_alike) {
            return None;
        }
        let factors = (1..MOST_LEVELS as i32).find_map(|of_a| {
            let of_b = (ratio * f64::from(of_a)).round();
            let near = (ratio * f64::from(of_a) - of_b).abs() <= of_b.abs() * SLACK;
            (near && of_b != 0.0 && of_b.abs() < MOST_LEVELS as f64).then_some([of_a, of_b as i32])
        })?;
        // Scales below 0 go into the factors, so that the sum rises with what it stands for.
        let falls = a.scale.iter().all(|&scale| scale < 0.0);
        let factors = if falls { factors.map(|factor| -factor) } else { factors };
        let [f, g] = factors.map(i64::from);
        let together = |a: (i64, i64), b: (i64, i64)| {
            let ends = |factor: i64, (least, largest): (i64, i64)| {
                let ends = [factor * least, factor * largest];
                (ends[0].min(ends[1]), ends[0].max(ends[1]))
            };
            let (a, b) = (ends(f, a), ends(g, b));
            (a.0 + b.0, a.1 + b.1)
        };
        let noise = |(a, b): (&f64, &f64)| a * f as f64 + b * g.abs() as f64;
        let mut base = Base {
            value: 0,
            shape: of_a.shape,
            ranges: of_a.ranges.iter().zip(&of_b.ranges).map(|(a, b)| together(*a, *b)).collect(),
            range: together(of_a.range, of_b.range),
            scale: a.scale.iter().map(|scale| scale / f as f64).collect(),
            offset: a.offset.iter().zip(&b.offset).map(|(a, b)| a + sign * b).collect(),
            bytes: None,
            noise: of_a.noise.iter().zip(&of_b.noise).map(noise).collect(),
            mean_of: None,
        };
        base.value = self.plan.add(Layer::Add(factors.to_vec()), vec![of_a.value, of_b.value]);
        Some(self.keep(base))
    }

    /// What a part takes that depends on two bases: integers of both, added with factors so that the
    /// sum alone tells the value.
    pub(crate) fn counted_sums(&mut self, part: &Part) -> Result<Counted, String> {
        let [first, second] = part.bases[..] else { unreachable!("a part has one base or two") };
        let program = self.expressions.program(part.of)?;
        let (tables, sign) = self.tables(first, second, &program)?;
        let mut values: Vec<f32> = tables.iter().flat_map(|table| table.values()).collect();
        values.sort_by(f32::total_cmp);
        values.dedup();
        if values.len() > MOST_LEVELS {
            return Err(format!(
                "it takes {} different values: it is not quantised to 8 bits or fewer; put a quantiser \
                 before it",
                values.len()
            ));
        }
        let found = small_factors(&tables, sign, &values)
            .or_else(|| self.large_factors(first, second, &tables, sign, &values));
        let Some(Joint { levels, factors, thresholds }) = found else {
            return Err(
                "it adds tensors whose scales are so unlike that no integers stand for both; use one \
                 scale, or one that is a power of two times the other"
                    .to_owned(),
            );
        };
        let mut value = self.bases[first].value;
        let mut range = self.bases[first].range;
        let mut ranges = self.bases[first].ranges.clone();
        if let Some(Levels { count, cuts }) = levels {
            let channels = cuts.iter().map(|cuts| {
                let first =
                    |level: usize| cuts.iter().find(|(_, reached)| *reached >= level as i64);
                (1..=count)
                    .map(move |level| first(level).map_or(Ok(NEVER), |(at, _)| i32::try_from(*at)))
            });
            let values = channels.flatten().collect::<Result<Vec<i32>, _>>();
            let values = values.map_err(|_| "a threshold is over 31 bits".to_owned())?;
            let falling = tables.iter().map(|table| table.falling).collect();
            let name = self.plan.name(&format!("{} levels", self.node), "levels");
            let thresholds = Thresholds { levels: count, lowest: 0, values };
            let doubts = tables.iter().map(|table| table.doubts.clone()).collect();
            let floats = Vec::new();
            value = self.plan.activate(name, Counts { thresholds, falling, doubts, floats }, value);
            range = (0, count as i64);
            ranges = cuts.iter().map(|cuts| (0, cuts.last().map_or(0, |cut| cut.1))).collect();
        }
        let other = &self.bases[second];
        let ends = |(a, b): (i64, i64), (c, d): (i64, i64)| {
            let [f, g] = factors.map(i64::from);
            let low = |factor: i64, a: i64, b: i64| (factor * a).min(factor * b);
            let high = |factor: i64, a: i64, b: i64| (factor * a).max(factor * b);
            (low(f, a, b) + low(g, c, d), high(f, a, b) + high(g, c, d))
        };
        let ranges: Vec<(i64, i64)> =
            ranges.iter().zip(&other.ranges).map(|(a, b)| ends(*a, *b)).collect();
        let runs =
            thresholds.iter().zip(&ranges).zip(&tables).map(|((thresholds, ends), table)| {
                let (least, largest) = *ends;
                let values = table.ascending(&values);
                let back = |value: f32| if table.inverted { 0.0 - value } else { value };
                let mut runs: Runs = vec![(least, back(values[0]))];
                for (&at, &value) in thresholds.iter().zip(&values[1..]) {
                    let last = runs.len() - 1;
                    if at <= runs[last].0 {
                        runs[last].1 = back(value);
                    } else if at <= largest {
                        runs.push((at, back(value)));
                    }
                }
                runs
            });
        let runs = runs.collect();
        let base = Base {
            value: 0,
            shape: other.shape,
            range: ends(range, other.range),
            scale: vec![1.0; ranges.len()],
            offset: vec![0.0; ranges.len()],
            noise: vec![0.0; ranges.len()],
            ranges,
            bytes: None,
            mean_of: None,
        };
        let value = self.plan.add(Layer::Add(factors.to_vec()), vec![value, other.value]);
        let base = self.keep(Base { value, ..base });
        Ok(Counted { base, runs, program: None, pools: Vec::new(), shape: part.shape })
    }

    /// By channel, the values for all pairs of integers, turned so that all rise with the sum that is
    /// added first, and with the activation times the sign that is given.
    fn tables(
        &self,
        first: usize,
        second: usize,
        program: &Program,
    ) -> Result<(Vec<Table>, i64), String> {
        let (x, y) = (&self.bases[first], &self.bases[second]);
        let can_turn = self.plan.is_product(x.value);
        let mut memory = Memory::default();
        let mut tables = Vec::new();
        for channel in 0..x.shape.channels {
            let (least, largest) = x.ranges[channel];
            let is_monotone = program.is_monotone(channel);
            let noise = doubtful(x.noise[channel]);
            let (mut rows, mut doubts) = (Vec::new(), Vec::new());
            for a in y.ranges[channel].0..=y.ranges[channel].1 {
                let other = y.real(channel, a as f64);
                let mut value =
                    |n: f64| program.eval(channel, &[x.real(channel, n), other], &mut memory) + 0.0;
                let runs = runs(least, largest, is_monotone, |n| value(n as f64))?;
                for pair in runs.windows(2) {
                    let ((_, below), (at, above)) = (pair[0], pair[1]);
                    if value(at as f64 - 1.0 + noise) == above {
                        doubts.push((at as i32 - 1, 1));
                    }
                    if value(at as f64 - noise) == below {
                        doubts.push((at as i32, -1));
                    }
                }
                rows.push((a, runs));
            }
            let ends = (least, largest);
            tables.push(Table { falling: false, inverted: false, ends, rows, doubts });
        }
        // The sign for which the fewest values are negated.
        let turns = [1, -1].into_iter().filter_map(|sign| {
            let turns = tables.iter().map(|table| table.turn(sign, can_turn));
            Some((turns.collect::<Option<Vec<_>>>()?, sign))
        });
        let turns = turns.min_by_key(|(turns, _)| turns.iter().filter(|t| t.inverted).count());
        let Some((turns, sign)) = turns else {
            return Err("it rises and falls with the activations that are added".to_owned());
        };
        let turned = tables.into_iter().zip(turns).map(|(table, turn)| table.turned(turn));
        Ok((turned.collect(), sign))
    }

    /// Large factors of two activations, in the ratio of their scales, if the sum tells the values
    /// apart.
    fn large_factors(
        &self,
        first: usize,
        second: usize,
        tables: &[Table],
        sign: i64,
        values: &[f32],
    ) -> Option<Joint> {
        /// Keeps the sums of two activations of 8 bits below 2³⁰.
        const LARGEST: f64 = (1 << 20) as f64;
        let (x, y) = (&self.bases[first], &self.bases[second]);
        let is_small = |base: &Base| base.range.1 - base.range.0 < MOST_LEVELS as i64;
        if !is_small(x) || !is_small(y) || tables.iter().any(|table| table.falling) {
            return None;
        }
        let scales = [x.scale[0].abs(), y.scale[0].abs()];
        let larger = scales[0].max(scales[1]);
        let factors = scales.map(|scale| (scale / larger * LARGEST).round() as i32);
        let factors = [factors[0], sign as i32 * factors[1]];
        let thresholds = tables.iter().map(|table| table.split(factors, values));
        Some(Joint { levels: None, factors, thresholds: thresholds.collect::<Option<_>>()? })
    }
}

/// Levels of the first and a small factor of the second that tell the values apart.
fn small_factors(tables: &[Table], sign: i64, values: &[f32]) -> Option<Joint> {
    let most = tables.iter().map(|table| table.rows.len()).max().unwrap_or(0);
    if most * values.len() > MOST_CONDITIONS {
        return None;
    }
    (1..=LARGEST_FACTOR).find_map(|factor| {
        let solved = tables.iter().map(|table| table.solved(factor * sign, values));
        let solved = solved.collect::<Option<Vec<Solved>>>()?;
        let count = solved.iter().filter_map(|s| s.cuts.last()).map(|cut| cut.1).max();
        let count = count.unwrap_or(0).max(1) as usize;
        if count >= MOST_LEVELS {
            return None;
        }
        let thresholds = solved.iter().map(|s| s.thresholds.clone()).collect();
        let cuts = solved.into_iter().map(|s| s.cuts).collect();
        let levels = Some(Levels { count, cuts });
        Some(Joint { levels, factors: [1, (factor * sign) as i32], thresholds })
    })
}

/// Factors of two values, the levels that the first is brought to before, and by channel the sums from
/// which on each value but the least is given.
struct Joint {
    levels: Option<Levels>,
    factors: [i32; 2],
    thresholds: Vec<Vec<i64>>,
}

/// By channel, from which sums on which level is given.
struct Levels {
    count: usize,
    cuts: Vec<Vec<(i64, i64)>>,
}

/// The values of a channel for pairs of a sum and an activation.
struct Table {
    /// Whether sums are negated first.
    falling: bool,
    /// Whether values are.
    inverted: bool,
    ends: (i64, i64),
    /// By activation, runs over the sums.
    rows: Vec<(i64, Runs)>,
    /// Sums near to a change of the value, and the step to its other side.
    doubts: Vec<(i32, i32)>,
}

/// What of a table is negated.
#[derive(Debug, Clone, Copy)]
struct Turn {
    falling: bool,
    inverted: bool,
}

/// Levels of the sums, and the thresholds behind the addition.
struct Solved {
    cuts: Vec<(i64, i64)>,
    thresholds: Vec<i64>,
}

impl Table {
    /// The values as the graph has them.
    fn values(&self) -> impl Iterator<Item = f32> {
        let back = |value: f32| if self.inverted { 0.0 - value } else { value };
        self.rows.iter().flat_map(move |(_, runs)| runs.iter().map(move |run| back(run.1)))
    }

    /// All values of a graph, as this table has them, ascending.
    fn ascending(&self, values: &[f32]) -> Vec<f32> {
        match self.inverted {
            false => values.to_vec(),
            true => values.iter().rev().map(|value| 0.0 - value).collect(),
        }
    }

    /// Whether neighbouring activations are in this order at every sum.
    fn goes_up(&self, in_order: fn(&f32, &f32) -> bool) -> bool {
        self.rows.windows(2).all(|pair| {
            let starts = pair.iter().flat_map(|(_, runs)| runs.iter().map(|run| run.0));
            starts
                .into_iter()
                .all(|at| in_order(&value_at(&pair[0].1, at), &value_at(&pair[1].1, at)))
        })
    }

    /// Whether sums and values are to be negated so that the values rise with the sums, and with the
    /// activations times a sign; none if that cannot be.
    fn turn(&self, sign: i64, can_turn: bool) -> Option<Turn> {
        let rises = self.rows.iter().all(|(_, runs)| runs.is_sorted_by(|a, b| a.1 <= b.1));
        let falls = self.rows.iter().all(|(_, runs)| runs.is_sorted_by(|a, b| a.1 >= b.1));
        let (up, down) = (self.goes_up(f32::le), self.goes_up(f32::ge));
        [false, true].into_iter().find_map(|inverted| {
            let (rises, falls) = if inverted { (falls, rises) } else { (rises, falls) };
            let goes = if inverted == (sign > 0) { down } else { up };
            (goes && (rises || falls && can_turn)).then_some(Turn { falling: !rises, inverted })
        })
    }

    /// With sums or values negated.
    fn turned(mut self, turn: Turn) -> Self {
        for (_, runs) in &mut self.rows {
            if turn.falling {
                *runs = negated(runs, self.ends.1);
            }
            if turn.inverted {
                runs.iter_mut().for_each(|run| run.1 = 0.0 - run.1);
            }
        }
        if turn.falling {
            self.ends = (-self.ends.1, -self.ends.0);
            self.doubts.iter_mut().for_each(|(n, by)| (*n, *by) = (-*n, -*by));
        }
        self.doubts.sort_unstable();
        self.doubts.dedup_by_key(|doubt| doubt.0);
        Self { falling: turn.falling, inverted: turn.inverted, ..self }
    }

    /// Integers e for the sums and thresholds t so that e + factor · a reaches as many of them as the
    /// value has below it, whatever the pair: a system of differences, solved by shortest paths.
    fn solved(&self, factor: i64, values: &[f32]) -> Option<Solved> {
        let values = self.ascending(values);
        let mut starts: Vec<i64> =
            self.rows.iter().flat_map(|(_, runs)| runs.iter().map(|run| run.0)).collect();
        starts.sort_unstable();
        starts.dedup();
        // Variables: e by start, then t by value but the first.
        let t = |rank: usize| starts.len() + rank - 1;
        let count = starts.len() + values.len() - 1;
        // (u, v, w): x_u − x_v ≤ w.
        let mut edges = Vec::new();
        edges.extend((1..starts.len()).map(|at| (at - 1, at, 0)));
        edges.extend((2..values.len()).map(|rank| (t(rank - 1), t(rank), 0)));
        for (a, runs) in &self.rows {
            for (rank, value) in values.iter().enumerate().skip(1) {
                let reached = runs.iter().find(|run| run.1 >= *value);
                let before = match reached {
                    Some((start, _)) => {
                        let at = starts.binary_search(start).expect("all starts are there");
                        edges.push((t(rank), at, factor * a));
                        at
                    }
                    None => starts.len(),
                };
                if before > 0 {
                    edges.push((before - 1, t(rank), -1 - factor * a));
                }
            }
        }
        let mut found = vec![0i64; count];
        let mut rounds = 0;
        loop {
            let mut is_changed = false;
            for &(u, v, w) in &edges {
                if found[v] + w < found[u] {
                    found[u] = found[v] + w;
                    is_changed = true;
                }
            }
            if !is_changed {
                break;
            }
            rounds += 1;
            if rounds > count {
                return None;
            }
        }
        let lowest = found[0];
        let cuts = starts.iter().zip(&found).skip(1).map(|(&at, &level)| (at, level - lowest));
        let thresholds = (1..values.len()).map(|rank| found[t(rank)] - lowest).collect();
        Some(Solved { cuts: cuts.collect(), thresholds })
    }

    /// The thresholds of f · n + g · a that tell the values apart, if there are some.
    fn split(&self, factors: [i32; 2], values: &[f32]) -> Option<Vec<i64>> {
        let values = self.ascending(values);
        let [f, g] = factors.map(i64::from);
        // By value the least and the largest sum that gives it.
        let mut ends = vec![(i64::MAX, i64::MIN); values.len()];
        for (a, runs) in &self.rows {
            for (at, run) in runs.iter().enumerate() {
                let last = runs.get(at + 1).map_or(self.ends.1, |next| next.0 - 1);
                let rank = values.binary_search_by(|value| value.total_cmp(&run.1)).ok()?;
                for n in [run.0, last] {
                    let sum = f * n + g * a;
                    ends[rank] = (ends[rank].0.min(sum), ends[rank].1.max(sum));
                }
            }
        }
        let mut largest = ends[0].1;
        let mut thresholds = Vec::new();
        for &(low, high) in &ends[1..] {
            if low <= largest {
                return None;
            }
            // A value that does not occur in this channel has the threshold of the next.
            thresholds.push(low);
            largest = largest.max(high);
        }
        for at in (1..thresholds.len()).rev() {
            thresholds[at - 1] = thresholds[at - 1].min(thresholds[at]);
        }
        Some(thresholds)
    }
}

/// The value at a sum.
fn value_at(runs: &Runs, at: i64) -> f32 {
    runs[runs.partition_point(|run| run.0 <= at).max(1) - 1].1
}
