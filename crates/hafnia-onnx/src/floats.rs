//! What values of `float32` a network takes: between those that bytes stand for, by the graph's own
//! quantiser.

use hafnia_model::Floats;

/// How far a value may lie from its level, in steps.
const NEAR: f64 = 0.02;

/// The thresholds of the floats that lie between what bytes stand for, up to half a byte beyond, given
/// what each byte stands for, ascending, and the level of a float with its distance from it in steps,
/// which rises. None if a value lies on no level: floats are not quantised then.
pub(crate) fn floats(
    bytes: &[f32; 256],
    lowest: i64,
    mut level: impl FnMut(f32) -> (i64, f64),
) -> Option<Floats> {
    let (first, last) = (bytes[0], bytes[255]);
    let (least, largest) = (level(first).0, level(last).0);
    let half = |from: usize| (bytes[from + 1] - bytes[from]) / 2.0;
    let mut first_of =
        |wanted: i64, from: f32, to: f32| bisected(from, to, |x| level(x).0 >= wanted);
    let least_float = first_of(least, first - half(0), first);
    let beyond = last + half(254);
    let mut cuts = vec![least_float; (least - lowest) as usize];
    let mut at = least_float;
    for wanted in least + 1..=largest {
        at = first_of(wanted, at, last);
        cuts.push(at);
    }
    let largest_float = match level(beyond).0 > largest {
        true => before(bisected(last, beyond, |x| level(x).0 > largest)),
        false => beyond,
    };
    // Between its ends a step lies between their values, so these are all that there are.
    let ends = cuts.iter().flat_map(|&cut| [cut, before(cut)]).chain([least_float, largest_float]);
    let is_level = |x: f32| level(x).1 <= NEAR;
    let is_taken = |x: &f32| (least_float..=largest_float).contains(x);
    ends.filter(is_taken).all(is_level).then_some(Floats {
        least: least_float,
        largest: largest_float,
        cuts,
    })
}

/// The first float from `from` to `to` for which a condition holds that holds for `to`, and for all
/// behind the first.
fn bisected(from: f32, to: f32, mut holds: impl FnMut(f32) -> bool) -> f32 {
    if holds(from) {
        return from;
    }
    // It does not hold for `without`, and does for `with`.
    let (mut without, mut with) = (place(from), place(to));
    while with - without > 1 {
        let middle = without + (with - without) / 2;
        match holds(at(middle)) {
            true => with = middle,
            false => without = middle,
        }
    }
    at(with)
}

/// The float before another.
fn before(x: f32) -> f32 {
    at(place(x) - 1)
}

/// The place of a finite float among all, in ascending order; 0 and −0 are one.
fn place(x: f32) -> i64 {
    let magnitude = i64::from(x.abs().to_bits());
    if x < 0.0 { -magnitude } else { magnitude }
}

/// The float at a place.
fn at(place: i64) -> f32 {
    let magnitude = f32::from_bits(place.unsigned_abs() as u32);
    if place < 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_in_order() {
        let floats = [f32::MIN, -1.0, -f32::MIN_POSITIVE, -1e-45, 0.0, 1e-45, 0.1, f32::MAX];
        assert!(floats.map(place).is_sorted());
        assert_eq!(floats.map(|x| at(place(x))), floats);
        assert_eq!((place(-0.0), before(0.0), before(1.0)), (0, -1e-45, 1f32.next_down()));
    }

    #[test]
    fn thresholds_are_the_first_of_their_step() {
        let bytes: [f32; 256] = std::array::from_fn(|p| p as f32 / 255.0);
        // Two bits over −1 to 1: bytes reach the levels 0 to 2 of −2 to 1.
        let quantise = |x: f32| (x / 0.4).round_ties_even().clamp(-2.0, 1.0);
        let level = |x: f32| (quantise(x) as i64, 0.0);
        let found = floats(&bytes, 0, level).unwrap();
        assert_eq!(found.cuts.len(), 1);
        assert!(quantise(found.cuts[0]) == 1.0 && quantise(found.cuts[0].next_down()) == 0.0);
        assert_eq!((found.least, found.largest), (-1.0 / 510.0, bytes[255] + 0.5 / 255.0));
        let from_below = floats(&bytes, -2, level).unwrap();
        assert_eq!(from_below.cuts[..2], [found.least; 2]);
        assert_eq!(from_below.cuts[2..], found.cuts);
        // A step that ends between bytes and what lies half a byte beyond them.
        let edge = |x: f32| (i64::from(x >= -0.001) + i64::from(x > 1.001), 0.0);
        let found = floats(&bytes, 1, edge).unwrap();
        assert_eq!((found.least, found.largest, found.cuts.len()), (-0.001, 1.001, 0));
    }

    #[test]
    fn what_is_not_quantised_has_no_thresholds() {
        let bytes: [f32; 256] = std::array::from_fn(|p| p as f32);
        let level =
            |x: f32| (x.round_ties_even() as i64, f64::from((x - x.round_ties_even()).abs()));
        assert_eq!(floats(&bytes, 0, level), None);
    }
}
