//! How numbers are written: one way for each kind, everywhere in a report.

use std::borrow::Cow;

use hafnia_stats::Interval;

/// A number with so many decimals, never as minus zero.
pub(crate) fn fixed(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().all(|c| matches!(c, '0' | '.')) => digits.to_owned(),
        _ => text,
    }
}

/// A number with six digits at most, which is more than a run knows.
pub(crate) fn digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".to_owned();
    }
    let before = value.abs().log10().floor() as i32;
    let decimals = (5 - before).clamp(0, 9) as usize;
    let text = fixed(value, decimals);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A number with its unit and interval, such as `97.50 % (97.18 to 97.79)`.
pub(crate) fn with_interval(found: Interval, unit: &str, decimals: usize) -> String {
    let [value, lo, hi] = [found.value, found.lo, found.hi].map(|number| fixed(number, decimals));
    if found == Interval::exact(found.value) {
        format!("{value} {unit}, exact")
    } else {
        format!("{value} {unit} ({lo} to {hi})")
    }
}

/// An estimate and its interval without a unit, to two digits of the width of the interval:
/// `0.971 (0.965 to 0.977)`. What has no interval has six digits at most.
pub(crate) fn estimate(found: Interval) -> String {
    let width = found.hi - found.lo;
    if !found.is_finite() || width <= 0.0 {
        return digits(found.value);
    }
    let decimals = (1.0 - width.log10().floor()).clamp(0.0, 9.0) as usize;
    let [value, lo, hi] = [found.value, found.lo, found.hi].map(|number| fixed(number, decimals));
    format!("{value} ({lo} to {hi})")
}

/// The value and the interval as cells of a table, in thousandths; `-` where an end is not known.
pub(crate) fn interval_cells(of: Interval) -> [String; 2] {
    let range = match of.is_finite() {
        true => format!("{:.3} to {:.3}", of.lo, of.hi),
        false => "-".to_owned(),
    };
    [format!("{:.3}", of.value), range]
}

/// Text as it is set in a page: a hyphen before a number is a minus sign, one that stands alone, for
/// nothing, a dash, and an interval in brackets stays in one line.
pub(crate) fn set(text: &str) -> Cow<'_, str> {
    if text == "-" {
        return "–".into();
    }
    let signed = signs(text);
    match signed.contains('(') {
        true => intervals(&signed).into(),
        false => signed,
    }
}

/// The text with minus signs.
fn signs(text: &str) -> Cow<'_, str> {
    if !text.contains('-') {
        return text.into();
    }
    let mut set = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let is_sign = c == '-'
            && matches!(before, ' ' | '\n' | '(' | '[' | '±')
            && rest.peek().is_some_and(char::is_ascii_digit);
        set.push(if is_sign { '−' } else { c });
        before = c;
    }
    set.into()
}

/// The text with intervals such as `(4.5 to 20.1)`, in which no line breaks.
fn intervals(text: &str) -> String {
    let is_number = |word: &str| word.trim_start_matches('−').parse::<f64>().is_ok();
    let mut parts = text.split('(');
    let mut set = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        set.push('(');
        let ends = part.split_once(')').and_then(|(inside, after)| {
            let (lo, hi) = inside.split_once(" to ")?;
            (is_number(lo) && is_number(hi)).then_some((lo, hi, after))
        });
        match ends {
            Some((lo, hi, after)) => set += &format!("{lo}\u{a0}to\u{a0}{hi}){after}"),
            None => set += part,
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_has_no_sign() {
        assert_eq!(fixed(-0.004, 2), "0.00");
        assert_eq!(fixed(-0.006, 2), "-0.01");
    }

    #[test]
    fn numbers_have_six_digits() {
        let check = |value: f64, text| assert_eq!(digits(value), text);
        check(61470.0, "61470");
        check(0.45238095, "0.452381");
        check(-0.5, "-0.5");
        check(1234567.8, "1234568");
        check(0.0, "0");
        check(1e-12, "0");
    }

    #[test]
    fn estimates_have_digits_by_their_width() {
        let check = |value, lo, hi, text| assert_eq!(estimate(Interval { value, lo, hi }), text);
        check(0.9709, 0.964547, 0.977253, "0.971 (0.965 to 0.977)");
        check(-1.5, -13.75, 0.125, "-2 (-14 to 0)");
        check(61470.0, 61470.0, 61470.0, "61470");
        check(0.25, f64::NEG_INFINITY, f64::INFINITY, "0.25");
    }

    #[test]
    fn signs_are_minus_signs() {
        for (text, expected) in [
            ("-", "–"),
            ("-0.5 (-1 to 2)", "−0.5 (−1\u{a0}to\u{a0}2)"),
            ("(a to b), (1 to (2", "(a to b), (1 to (2"),
            ("[-1, -2]", "[−1, −2]"),
            ("2026-11-28, seed-1, 1e-5, --out -x", "2026-11-28, seed-1, 1e-5, --out -x"),
        ] {
            assert_eq!(set(text), expected);
        }
    }
}
