//! What values a function of an integer takes, and the grid on which they lie.

/// The most levels of an activation.
pub(crate) const MOST_LEVELS: usize = 256;

/// The most integers that are tried one by one for a channel.
const MOST_TRIED: i64 = 1 << 22;

/// Runs of integers of one value, ascending: where each begins, and the value.
pub(crate) type Runs = Vec<(i64, f32)>;

/// Cuts `least..=largest` into runs in which `value` stays the same.
///
/// A function that only rises or falls is bisected. Any other is tried integer by integer, and values
/// that differ by no more than roundings of `f32` are the same: `x + (q − x)`, as training writes a
/// quantiser, is q but for those.
pub(crate) fn runs(
    least: i64,
    largest: i64,
    is_monotone: bool,
    mut value: impl FnMut(i64) -> f32,
) -> Result<Runs, String> {
    // −0 is 0.
    let mut value = |n| value(n) + 0.0;
    let mut runs = vec![(least, value(least))];
    if is_monotone {
        // Ends of parts that are still to be looked at, the lowest on top.
        let mut open = vec![(largest, value(largest))];
        let mut at = least;
        while let Some(&(end, end_value)) = open.last() {
            let (_, here) = runs[runs.len() - 1];
            if end_value.to_bits() == here.to_bits() || end_value == here {
                at = end;
                open.pop();
            } else if end == at + 1 {
                push(&mut runs, end, end_value, MOST_LEVELS)?;
                at = end;
                open.pop();
            } else {
                let middle = at + (end - at) / 2;
                open.push((middle, value(middle)));
            }
        }
    } else {
        if largest - least > MOST_TRIED {
            return Err(format!(
                "it rises and falls over the {} sums that may occur: it is no quantiser",
                largest - least + 1
            ));
        }
        for at in least + 1..=largest {
            let (found, (_, here)) = (value(at), runs[runs.len() - 1]);
            if !is_same(found, here) {
                push(&mut runs, at, found, 4 * MOST_LEVELS)?;
            }
        }
    }
    match runs.iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(runs),
        Some((_, value)) => Err(format!("it gives {value}")),
    }
}

/// The runs of negated integers, given those up to `largest`.
pub(crate) fn negated(runs: &Runs, largest: i64) -> Runs {
    let mut last = largest;
    let mut negated = Runs::new();
    for &(at, value) in runs.iter().rev() {
        negated.push((-last, value));
        last = at - 1;
    }
    negated
}

/// Adds a run, of which there may be so many.
fn push(runs: &mut Runs, at: i64, value: f32, most: usize) -> Result<(), String> {
    if runs.len() == most {
        return Err(format!(
            "it takes more than {most} different values: it is not quantised to 8 bits or fewer; put \
             a quantiser before it"
        ));
    }
    runs.push((at, value));
    Ok(())
}

/// Whether values differ by no more than roundings.
fn is_same(a: f32, b: f32) -> bool {
    (a - b).abs() <= 2f32.powi(-19) * a.abs().max(b.abs())
}

/// The step of which values are these multiples: one of which `f32` makes exactly the values if there
/// is one, else that which fits all best.
pub(crate) fn step(values: &[f64], levels: &[f64]) -> f64 {
    let pairs = || values.iter().zip(levels);
    let products: f64 = pairs().map(|(value, level)| value * level).sum();
    let best = products / levels.iter().map(|level| level * level).sum::<f64>();
    let near = best as f32;
    let makes_all = |step: &f32| pairs().all(|(v, l)| f64::from(*l as f32 * step) == *v);
    let exact = [near, near.next_down(), near.next_up()].into_iter().find(makes_all);
    exact.map_or(best, f64::from)
}

/// A grid: integer q stands for offset + step · q.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Grid {
    pub(crate) step: f64,
    pub(crate) offset: f64,
    /// The least and the largest integer that occur.
    pub(crate) least: i64,
    pub(crate) largest: i64,
}

impl Grid {
    /// The coarsest grid on which values lie, with 0 on it where they allow.
    pub(crate) fn of(values: impl IntoIterator<Item = f32>) -> Result<Self, String> {
        let mut values: Vec<f64> = values.into_iter().map(|value| f64::from(value) + 0.0).collect();
        values.sort_by(f64::total_cmp);
        let most = values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
        // Roundings of f32, of which offsets, scales and sums make a few.
        let slack = most * 2f64.powi(-20);
        values.dedup_by(|a, b| *a - *b <= slack);
        let (first, last) = match values[..] {
            [] => return Ok(Self { step: 1.0, offset: 0.0, least: 0, largest: 0 }),
            [one] => {
                let (step, level) =
                    if one == 0.0 { (1.0, 0) } else { (one.abs(), one.signum() as i64) };
                return Ok(Self { step, offset: 0.0, least: level, largest: level });
            }
            [first, .., last] => (first, last),
        };
        let gaps = values.windows(2).map(|pair| pair[1] - pair[0]);
        let gap = gaps.fold(f64::INFINITY, f64::min);
        for parts in 1..MOST_LEVELS {
            let step = gap / parts as f64;
            if (last - first) / step > MOST_LEVELS as f64 - 0.5 {
                break;
            }
            // From value to value: an error of the step does not add up.
            let mut levels = vec![0.0];
            for pair in values.windows(2) {
                let last = levels[levels.len() - 1];
                levels.push(last + ((pair[1] - pair[0]) / step).round());
            }
            if let Some(grid) = Self::through(&values, &levels, slack) {
                return Ok(grid);
            }
        }
        let shown: Vec<_> = values.iter().take(6).map(|value| format!("{value}")).collect();
        let more = if values.len() > 6 { ", …" } else { "" };
        Err(format!(
            "its values {}{more} lie on no common grid of {MOST_LEVELS} steps: one scale for all \
             channels is needed",
            shown.join(", ")
        ))
    }

    /// The grid on which values have these levels, counted from that of the first, if they lie on it.
    fn through(values: &[f64], levels: &[f64], slack: f64) -> Option<Self> {
        let count = values.len() as f64;
        let mean = |of: &[f64]| of.iter().sum::<f64>() / count;
        let (middle, level) = (mean(values), mean(levels));
        let pairs = || values.iter().zip(levels);
        let covariance: f64 = pairs().map(|(v, l)| (v - middle) * (l - level)).sum();
        let variance: f64 = levels.iter().map(|l| (l - level).powi(2)).sum();
        let slope = covariance / variance;
        let first = middle - slope * level;
        let zero = (first / slope).round();
        let span = levels[levels.len() - 1] as i64;
        let near = (slack / slope).min(0.01) * 2.0;
        let is_near =
            |(value, level): (&f64, &f64)| ((value - first) / slope - level).abs() <= near;
        if span >= MOST_LEVELS as i64 || !pairs().all(is_near) {
            return None;
        }
        if (first / slope - zero).abs() <= near && zero.abs() < 1e9 {
            // 0 is on the grid: the step is that through it.
            let levels: Vec<f64> = levels.iter().map(|level| level + zero).collect();
            let step = step(values, &levels);
            let least = zero as i64;
            return Some(Self { step, offset: 0.0, least, largest: least + span });
        }
        Some(Self { step: slope, offset: first, least: 0, largest: span })
    }

    /// The grid with its integers counted from this value, if it lies on it.
    pub(crate) fn counted_from(self, value: f64) -> Self {
        let level = (value - self.offset) / self.step;
        let zero = level.round();
        if (level - zero).abs() > 1e-3 || zero.abs() > 1e9 {
            return self;
        }
        let by = zero as i64;
        Self { offset: value, least: self.least - by, largest: self.largest - by, ..self }
    }

    /// The integer that stands for a value of the grid.
    pub(crate) fn level(&self, value: f32) -> i64 {
        ((f64::from(value) - self.offset) / self.step).round() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bisection_finds_what_trying_finds() -> Result<(), String> {
        let staircase = |n: i64| (n as f32 * 0.013).round_ties_even().clamp(-3.0, 12.0);
        let falling = |n: i64| -staircase(n);
        for (least, largest) in [(-500, 2000), (0, 0), (5, 6), (-100_000, 100_000)] {
            assert_eq!(
                runs(least, largest, true, staircase)?,
                runs(least, largest, false, staircase)?
            );
            assert_eq!(runs(least, largest, true, falling)?, runs(least, largest, false, falling)?);
        }
        Ok(())
    }

    #[test]
    fn roundings_are_no_levels() -> Result<(), String> {
        // As training writes a quantiser: x + (q − x).
        let written = |n: i64| {
            let x = n as f32 * 0.0371;
            let q = (x / 0.3).round_ties_even() * 0.3;
            x + (q - x)
        };
        let runs = runs(1, 100, false, written)?;
        assert_eq!(runs.len(), 13);
        let grid = Grid::of(runs.iter().map(|run| run.1))?;
        assert!((grid.step - 0.3).abs() < 1e-6 && grid.offset == 0.0, "{grid:?}");
        Ok(())
    }

    #[test]
    fn more_levels_than_a_byte_holds_are_refused() {
        let fault = runs(0, 256, true, |n| n as f32).expect_err("257 values");
        assert!(fault.starts_with("it takes more than 256 different values"), "{fault}");
        assert!(runs(0, 1 << 40, false, |n| (n % 2) as f32).is_err());
        assert!(runs(0, 3, true, |n| 1.0 / (n - 2) as f32).is_err());
    }

    #[test]
    fn grids_have_0_on_them_where_it_fits() -> Result<(), String> {
        let of = |values: &[f32]| Grid::of(values.iter().copied());
        let signed = of(&[-0.6, -0.3, 0.0, 0.9])?;
        assert!((signed.step - 0.3).abs() < 1e-7);
        assert_eq!((signed.offset, signed.least, signed.largest), (0.0, -2, 3));
        // ±1 is 2 (b − ½).
        assert_eq!(of(&[1.0, -1.0])?, Grid { step: 2.0, offset: -1.0, least: 0, largest: 1 });
        // Steps of 2 and of 3 have a common step of 1.
        assert_eq!(of(&[2.0, 4.0, 7.0])?, Grid { step: 1.0, offset: 0.0, least: 2, largest: 7 });
        assert_eq!(of(&[-0.0])?, Grid { step: 1.0, offset: 0.0, least: 0, largest: 0 });
        assert_eq!(of(&[-0.7])?.largest, -1);
        let bytes = of(&std::array::from_fn::<_, 256, _>(|p| p as f32 / 255.0))?;
        assert!((bytes.step * 255.0 - 1.0).abs() < f64::from(f32::EPSILON) && bytes.largest == 255);
        let shifted: Vec<f32> = (0..256).map(|p| (p as f32 / 255.0 - 0.1307) / 0.3081).collect();
        let shifted = of(&shifted)?;
        assert!((shifted.offset + 0.1307 / 0.3081).abs() < 1e-6 && shifted.largest == 255);
        assert!(of(&[0.0, 1.0, std::f32::consts::PI]).is_err());
        Ok(())
    }
}
