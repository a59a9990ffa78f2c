//! [`InputControl`]: which active rows share a conversion. The one definition of grouping, used by
//! engines, profiles, passes and cost.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputControl {
    /// The next active rows in scan order, wherever they stand. The default.
    OrderedScan,
    /// Only active rows within one aligned window of the scan order share a conversion.
    FixedWindow {
        /// Entries in a window.
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
    pub fn iter(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
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
    /// bit is 1, ascending; `rows_per_conversion` is the spec's.
    ///
    /// # Panics
    /// If `active` names a position beyond `scan`.
    pub fn groups(
        self,
        rows_per_conversion: usize,
        scan: &[ScanEntry],
        active: &[u32],
        groups: &mut Groups,
    ) {
        groups.ends.clear();
        let span = match self {
            Self::OrderedScan => usize::MAX,
            Self::FixedWindow { window } => window,
            Self::FixedGroup => rows_per_conversion,
        };
        let mut start = 0;
        for (index, &position) in active.iter().enumerate() {
            if index == start {
                continue;
            }
            let (entry, held) = (scan[position as usize], &active[start..index]);
            let first = held[0] as usize;
            let closes = held.len() == rows_per_conversion
                || first / span != position as usize / span
                || scan[first].negative != entry.negative
                || held.iter().any(|&other| scan[other as usize].physical == entry.physical);
            if closes {
                groups.ends.push(index as u32);
                start = index;
            }
        }
        if start < active.len() {
            groups.ends.push(active.len() as u32);
        }
    }
}
