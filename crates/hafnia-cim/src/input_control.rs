//! [`InputControl`]: which active rows share a conversion. The one definition of grouping, used by
//! engines, profiles, passes and cost.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::error::CimError;

/// How an input control is written.
pub(crate) const FORMS: &str =
    "ordered-scan, fixed-window{SIZE} with a size from 1, or fixed-group";

/// One entry of a row table as the scan sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScanEntry {
    /// The physical row (word line) that the entry turns on.
    pub physical: u32,
    /// Whether the physical row holds the complement of the logical row, so that its conversion is
    /// subtracted.
    pub negative: bool,
}

/// How the sparsity-aware input control walks the rows of a tile in one bit-plane.
///
/// Entries whose input bit is 0 are skipped. The rest are gathered, in order, into groups; every
/// group is one conversion cycle. Under every policy a group closes
/// - when it holds `rows_per_conversion` entries,
/// - before an entry whose physical row it already holds (a word line cannot be on twice),
/// - before an entry of the other sign (rows of opposite sign never share an analog sum).
///
/// How the chip's own control scans is not published: every policy is assumed.
///
/// As text: `ordered-scan`, `fixed-window{16}`, `fixed-group`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputControl {
    /// The next active rows in scan order, wherever they stand. The default.
    OrderedScan,
    /// Only active rows within one aligned window of the scan order share a conversion.
    FixedWindow {
        /// Entries in a window, active or not; at least 1.
        window: usize,
    },
    /// Aligned groups of `rows_per_conversion` entries, whether active or not; groups without an
    /// active entry are skipped.
    FixedGroup,
}

/// The groups of one scan, as ranges of the list of active entries. Reused from scan to scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    ends: Vec<u32>,
}

impl Groups {
    /// Number of groups: conversion cycles of the scan.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether no row was on.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The groups in order, each as a range of the list of active entries.
    pub fn iter(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let range = start..end as usize;
            start = end as usize;
            range
        })
    }
}

impl InputControl {
    /// Gathers the active entries of a scan into groups; `groups` is overwritten.
    ///
    /// `scan` is the row table in scan order; `active` lists the positions in `scan` whose input
    /// bit is 1, ascending; `rows_per_conversion` is the spec's, at least 1.
    ///
    /// # Panics
    /// If `active` names a position beyond `scan`, or a window has no entries.
    pub fn groups(
        self,
        rows_per_conversion: usize,
        scan: &[ScanEntry],
        active: &[u32],
        groups: &mut Groups,
    ) {
        groups.ends.clear();
        let span = self.span(rows_per_conversion);
        // The first position that may not share a conversion with one.
        let bound = |position: u32| (position as usize / span + 1).saturating_mul(span);
        let (mut start, mut end) = (0, active.first().map_or(0, |&first| bound(first)));
        for (index, &position) in active.iter().enumerate().skip(1) {
            let (entry, held) = (scan[position as usize], &active[start..index]);
            let first = held[0] as usize;
            let closes = held.len() == rows_per_conversion
                || position as usize >= end
                || scan[first].negative != entry.negative
                || held.iter().any(|&other| scan[other as usize].physical == entry.physical);
            if closes {
                groups.ends.push(index as u32);
                (start, end) = (index, bound(position));
            }
        }
        if start < active.len() {
            groups.ends.push(active.len() as u32);
        }
    }

    /// Entries of the scan order, active or not, that may share a conversion: groups close at its
    /// multiples.
    pub fn span(self, rows_per_conversion: usize) -> usize {
        match self {
            Self::OrderedScan => usize::MAX,
            Self::FixedWindow { window } => window,
            Self::FixedGroup => rows_per_conversion,
        }
    }

    /// Checks groups, wherever they come from, against the rules: [`InputControl::groups`] stated
    /// once more, as what must hold of a result.
    ///
    /// `groups` are ranges of the list `active`; the rest is as in [`InputControl::groups`].
    ///
    /// # Errors
    /// The first [`GroupFault`], group by group.
    ///
    /// # Panics
    /// As [`InputControl::groups`].
    pub fn check_groups(
        self,
        rows_per_conversion: usize,
        scan: &[ScanEntry],
        active: &[u32],
        groups: impl IntoIterator<Item = Range<usize>>,
    ) -> Result<(), GroupFault> {
        let span = self.span(rows_per_conversion);
        let entry = |index: usize| scan[active[index] as usize];
        let window = |index: usize| active[index] as usize / span;
        let count = active.len();
        let skipped = |index: usize| Err(GroupFault(format!("active entry {index} is skipped")));
        let mut next = 0;
        for (group, Range { start, end }) in groups.into_iter().enumerate() {
            let wrong = |fault: String| Err(GroupFault(format!("group {group} {fault}")));
            if start > next {
                return skipped(next);
            }
            if start < next {
                return wrong(format!("takes active entry {start} a second time"));
            }
            if end <= start || end > count {
                return wrong(format!("is {start}..{end} of {count} active entries"));
            }
            let rows = end - start;
            if rows > rows_per_conversion {
                return wrong(format!(
                    "turns on {rows} rows, at most {rows_per_conversion} may be"
                ));
            }
            for index in start + 1..end {
                if window(index) != window(start) {
                    return wrong(format!("crosses into another window at active entry {index}"));
                }
                if entry(index).negative != entry(start).negative {
                    return wrong(format!("mixes signs at active entry {index}"));
                }
                let physical = entry(index).physical;
                if (start..index).any(|other| entry(other).physical == physical) {
                    return wrong(format!("turns on physical row {physical} twice"));
                }
            }
            let has_room = end < count
                && rows < rows_per_conversion
                && window(end) == window(start)
                && entry(end).negative == entry(start).negative
                && (start..end).all(|other| entry(other).physical != entry(end).physical);
            if has_room {
                return wrong(format!("closes before active entry {end}, which it has room for"));
            }
            next = end;
        }
        if next < count { skipped(next) } else { Ok(()) }
    }
}

impl fmt::Display for InputControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OrderedScan => f.write_str("ordered-scan"),
            Self::FixedWindow { window } => write!(f, "fixed-window{{{window}}}"),
            Self::FixedGroup => f.write_str("fixed-group"),
        }
    }
}

impl FromStr for InputControl {
    type Err = CimError;

    fn from_str(text: &str) -> Result<Self, CimError> {
        let window = || text.strip_prefix("fixed-window{")?.strip_suffix('}')?.parse().ok();
        match text {
            "ordered-scan" => Ok(Self::OrderedScan),
            "fixed-group" => Ok(Self::FixedGroup),
            _ => match window() {
                Some(window) if window > 0 => Ok(Self::FixedWindow { window }),
                _ => Err(CimError::InputControl { text: text.to_owned(), expected: FORMS }),
            },
        }
    }
}

/// How groups break the rules of an [`InputControl`], in words. Groups count from 0; an index is one
/// of the list of active entries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GroupFault(String);
