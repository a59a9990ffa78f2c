//! How messages are written: text of others escaped and cut, ranges in words.
//!
//! Names, keys, values and whole lines of files end up in errors, tables and notes. A terminal must
//! not obey them, nor a log swell with them: what is printed goes through [`escaped`], and what a
//! message quotes through [`quoted`]. What a number must be is said by [`must`].
//!
//! ```
//! use hafnia_text::{escaped, must, quoted};
//!
//! assert_eq!(escaped("red \u{1b}[31m"), "red \\u{1b}[31m");
//! assert_eq!(quoted("sigma\n"), "`sigma\\n`");
//! assert_eq!(must(1, 63).to_string(), "must lie in 1..=63");
//! assert_eq!(must(0.0, f64::INFINITY).to_string(), "must be at least 0");
//! ```
//!
//! What a name was probably meant for is told by [`nearest`].
//!
//! It knows no other crate of the workspace, and none of what is said.

use std::borrow::Cow;
use std::fmt;

/// The most characters of a text that a message quotes, or a table shows in a cell.
pub const MOST_QUOTED: usize = 200;

/// The most characters of a message.
pub const MOST_PRINTED: usize = 4000;

/// Whether a terminal could obey this character, or a reader miss it.
fn is_unsafe(c: char) -> bool {
    // C0, DEL and C1; marks that turn the direction of writing or have no width
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || c == '\u{feff}'
}

/// The text with every control character written out, as in `\u{1b}` or `\n`.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escaped_but(text, &[])
}

/// The text of several lines with every control character but line feeds written out.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    escaped_but(text, &['\n'])
}

fn escaped_but<'a>(text: &'a str, kept: &[char]) -> Cow<'a, str> {
    let is_escaped = |c: char| is_unsafe(c) && !kept.contains(&c);
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_escaped(c) {
            // The default form writes out more than the debug form: also what has no width.
            true => escaped.extend(c.escape_default()),
            false => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// The beginning and the end of a text of more than `most` characters, with what was left out
/// counted between them; any other text as it is.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    // A text is as long in bytes at least: most are told at once.
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let count = text.chars().count();
    if count <= most {
        return Cow::Borrowed(text);
    }
    let end = most / 3;
    let start = most - end;
    let at = |index| text.char_indices().nth(index).map_or(text.len(), |(byte, _)| byte);
    let (first, last) = (&text[..at(start)], &text[at(count - end)..]);
    Cow::Owned(format!("{first} … {} characters … {last}", count - most))
}

/// How many there are of what a noun names, whose plural is regular: `1 chip`, `2 chips`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A text of others within a message: in backquotes, escaped, at most [`MOST_QUOTED`] characters.
pub fn quoted(text: &str) -> String {
    format!("`{}`", shown(text))
}

/// As [`quoted`], without the backquotes.
pub fn shown(text: &str) -> String {
    escaped(&cut(text, MOST_QUOTED)).into_owned()
}

/// A message in one line: escaped, at most [`MOST_PRINTED`] characters, its lines joined by blanks.
///
/// Parsers name the words that they refuse, whole, and show the line that these stand in and a mark
/// below it: long words are cut, and of several lines each.
pub fn one_line(message: &str) -> String {
    const MOST: usize = 2 * MOST_QUOTED;
    let lines = || message.split('\n').map(str::trim).filter(|line| !line.is_empty());
    let most = if lines().nth(1).is_some() { MOST } else { MOST_PRINTED };
    let words = |line| str::split(line, ' ').map(|word| cut(word, MOST)).collect::<Vec<_>>();
    let lines: Vec<_> =
        lines().map(|line| cut(&words(line).join(" "), most).into_owned()).collect();
    cut(&escaped(&lines.join(" ")), MOST_PRINTED).into_owned()
}

/// The known name that was probably meant by one that is not known: fewest letters have to be changed,
/// no more than a third of its own, or two, and not all; none if no name is that near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = known.into_iter().map(|known| (edits(name, known), known));
    let (distance, nearest) = distances.min()?;
    let letters = nearest.chars().count();
    (distance <= (letters / 3).max(2) && distance < letters).then_some(nearest)
}

/// Letters to insert, delete or replace to turn one word into the other (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    strsim::levenshtein(from, to)
}

/// A number that a range can end with.
pub trait Bound: PartialOrd + fmt::Display {
    /// Whether this upper end is none: infinite, or all that the type holds.
    fn is_open(&self) -> bool;
}

macro_rules! bounds {
    ($($whole:ty)*) => {
        $(impl Bound for $whole {
            fn is_open(&self) -> bool {
                *self == <$whole>::MAX
            }
        })*
    };
}

bounds!(u8 u16 u32 u64 u128 usize i32 i64);

impl Bound for f64 {
    fn is_open(&self) -> bool {
        *self == f64::INFINITY
    }
}

impl Bound for f32 {
    fn is_open(&self) -> bool {
        *self == f32::INFINITY
    }
}

/// What a number must be, for a message: `must lie in 1..=63`, `must be at least 1`, `must be 4`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Must<T> {
    min: T,
    max: T,
}

/// What a number from `min` to `max` must be.
pub fn must<T: Bound>(min: T, max: T) -> Must<T> {
    Must { min, max }
}

impl<T: Bound> fmt::Display for Must<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, max } = self;
        if max.is_open() {
            write!(f, "must be at least {min}")
        } else if min < max {
            write!(f, "must lie in {min}..={max}")
        } else if min == max {
            write!(f, "must be {min}")
        } else {
            write!(f, "must be at least {min}, and there are only {max}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(escaped("σ = 5 %, `x` \"y\" \\"), "σ = 5 %, `x` \"y\" \\");
        assert_eq!(escaped("\u{1b}]0;own\u{7}"), "\\u{1b}]0;own\\u{7}");
        assert_eq!(escaped("a\tb\r\n"), "a\\tb\\r\\n");
        // one-byte control of C1, and marks that turn the direction or hide
        assert_eq!(
            escaped("\u{9b}2J\u{202e}x\u{feff}\u{200b}"),
            "\\u{9b}2J\\u{202e}x\\u{feff}\\u{200b}"
        );
        assert_eq!(escaped_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }

    #[test]
    fn long_text_keeps_its_two_ends() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("abcdefghi", 6), "abcd … 3 characters … hi");
        let million = "ä".repeat(1_000_000);
        let shown = one_line(&format!("file.toml: {million} is no key"));
        assert!(shown.starts_with("file.toml: ää") && shown.ends_with("ä is no key"));
        assert!(shown.chars().count() < 500, "{shown}");
        assert_eq!(
            quoted(&million).chars().count(),
            MOST_QUOTED + 2 + " … 999800 characters … ".chars().count()
        );
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(one_line("not TOML:\n  |\n1 | x\u{1b}[2J\n"), "not TOML: | 1 | x\\u{1b}[2J");
        let long = one_line(&format!(
            "not TOML:\n1 | {}\n  | {}\nbad",
            "x".repeat(9999),
            "^".repeat(9999)
        ));
        assert!(long.starts_with("not TOML: 1 | xxx") && long.ends_with("^^^ bad"), "{long}");
        assert!(long.len() < 1000, "{}", long.len());
    }

    #[test]
    fn a_near_name_is_found_and_a_far_one_is_not() {
        let known = ["natural", "compact", "rename"];
        for (name, expected) in [
            ("compat", Some("compact")),
            ("naturl", Some("natural")),
            ("renmae", Some("rename")),
            ("something", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn ranges_are_said_where_they_are_ranges() {
        let check =
            |must: &dyn fmt::Display, expected: &str| assert_eq!(must.to_string(), expected);
        check(&must(1u32, 63), "must lie in 1..=63");
        check(&must(0.5, 2.0), "must lie in 0.5..=2");
        check(&must(1usize, usize::MAX), "must be at least 1");
        check(&must(0.0, f64::INFINITY), "must be at least 0");
        check(&must(4u8, 4), "must be 4");
        check(&must(1usize, 0), "must be at least 1, and there are only 0");
    }
}
