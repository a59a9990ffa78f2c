//! Groups of active rows against a second statement of the rules, and planted faults.

use std::ops::Range;

use expect_test::{Expect, expect};
use hafnia_cim::{CimError, Groups, InputControl, ScanEntry};
use proptest::prelude::*;

use InputControl::{FixedGroup, FixedWindow, OrderedScan};

/// The rules, entry by entry: an entry joins the open group if it may, or else opens the next.
fn obvious_groups(
    control: InputControl,
    rows_per_conversion: usize,
    scan: &[ScanEntry],
    active: &[u32],
) -> Vec<Vec<u32>> {
    let mut groups: Vec<Vec<u32>> = Vec::new();
    for &new in active {
        let may_join = |group: &Vec<u32>| {
            let same_window = |old: u32| match control {
                OrderedScan => true,
                FixedWindow { window } => old as usize / window == new as usize / window,
                FixedGroup => {
                    old as usize / rows_per_conversion == new as usize / rows_per_conversion
                }
            };
            let entry = scan[new as usize];
            group.len() < rows_per_conversion
                && group.iter().all(|&old| {
                    let held = scan[old as usize];
                    same_window(old)
                        && held.negative == entry.negative
                        && held.physical != entry.physical
                })
        };
        match groups.last_mut() {
            Some(group) if may_join(group) => group.push(new),
            _ => groups.push(vec![new]),
        }
    }
    groups
}

fn groups_of(
    control: InputControl,
    rows_per_conversion: usize,
    scan: &[ScanEntry],
    active: &[u32],
) -> Groups {
    let mut groups = Groups::default();
    control.groups(rows_per_conversion, scan, active, &mut groups);
    groups
}

fn controls() -> impl Strategy<Value = InputControl> {
    prop_oneof![
        Just(OrderedScan),
        (1usize..20).prop_map(|window| FixedWindow { window }),
        Just(FixedGroup)
    ]
}

/// A scan with shared physical rows and runs of signs, and which of its entries are active.
fn scans() -> impl Strategy<Value = (Vec<ScanEntry>, Vec<u32>)> {
    let entry = (0u32..20, prop::bool::weighted(0.2), prop::bool::weighted(0.7));
    prop::collection::vec(entry, 0..60).prop_map(|entries| {
        let scan = entries
            .iter()
            .map(|&(physical, negative, _)| ScanEntry { physical, negative })
            .collect();
        let active = (0u32..).zip(&entries).filter(|(_, entry)| entry.2).map(|(i, _)| i).collect();
        (scan, active)
    })
}

proptest! {
    #[test]
    fn groups_follow_the_rules(
        control in controls(),
        rows_per_conversion in 1usize..10,
        (scan, active) in scans(),
    ) {
        let groups = groups_of(control, rows_per_conversion, &scan, &active);
        let found: Vec<Vec<u32>> = groups.iter().map(|range| active[range].to_vec()).collect();
        prop_assert_eq!(&found, &obvious_groups(control, rows_per_conversion, &scan, &active));
        prop_assert_eq!(found.concat(), active.clone());
        prop_assert_eq!(groups.len(), found.len());
        prop_assert_eq!(groups.is_empty(), active.is_empty());
        let checked = control.check_groups(rows_per_conversion, &scan, &active, groups.iter());
        prop_assert_eq!(checked, Ok(()));
    }

    /// Only one grouping obeys the rules: moving any boundary, or adding or dropping one, is seen.
    #[test]
    fn any_other_grouping_is_refused(
        control in controls(),
        rows_per_conversion in 1usize..10,
        (scan, active) in scans(),
        flipped in any::<prop::sample::Index>(),
    ) {
        prop_assume!(active.len() > 1);
        let boundary = 1 + flipped.index(active.len() - 1);
        let groups = groups_of(control, rows_per_conversion, &scan, &active);
        let mut ends: Vec<usize> = groups.iter().map(|range| range.end).collect();
        match ends.iter().position(|end| *end == boundary) {
            Some(position) => drop(ends.remove(position)),
            None => ends.push(boundary),
        }
        ends.sort_unstable();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let moved = starts.zip(&ends).map(|(start, &end)| start..end);
        prop_assert!(control.check_groups(rows_per_conversion, &scan, &active, moved).is_err());
    }

    /// Scratch memory does not leak from scan to scan.
    #[test]
    fn groups_are_overwritten((first, a) in scans(), (second, b) in scans()) {
        let mut groups = groups_of(OrderedScan, 7, &first, &a);
        OrderedScan.groups(7, &second, &b, &mut groups);
        prop_assert_eq!(groups, groups_of(OrderedScan, 7, &second, &b));
    }

    #[test]
    fn text_round_trips(control in controls()) {
        prop_assert_eq!(control.to_string().parse::<InputControl>().expect("own text"), control);
    }
}

/// Five entries, all active; entries 0 and 2 share a row and the last one is of the other sign.
const SCAN: [ScanEntry; 5] = [
    ScanEntry { physical: 4, negative: false },
    ScanEntry { physical: 1, negative: false },
    ScanEntry { physical: 4, negative: false },
    ScanEntry { physical: 0, negative: false },
    ScanEntry { physical: 2, negative: true },
];
const ACTIVE: [u32; 5] = [0, 1, 2, 3, 4];

#[test]
fn groups_of_the_example() {
    let check = |control, rows_per_conversion, expected: &[Range<usize>]| {
        let groups = groups_of(control, rows_per_conversion, &SCAN, &ACTIVE);
        assert_eq!(groups.iter().collect::<Vec<_>>(), expected, "{control}");
    };
    check(OrderedScan, 7, &[0..2, 2..4, 4..5]);
    check(OrderedScan, 1, &[0..1, 1..2, 2..3, 3..4, 4..5]);
    check(FixedWindow { window: 3 }, 7, &[0..2, 2..3, 3..4, 4..5]);
    check(FixedGroup, 2, &[0..2, 2..4, 4..5]);
}

fn check_fault(
    control: InputControl,
    rows_per_conversion: usize,
    groups: &[Range<usize>],
    message: Expect,
) {
    let groups = groups.iter().cloned();
    let fault = control.check_groups(rows_per_conversion, &SCAN, &ACTIVE, groups);
    message.assert_eq(&fault.expect_err("a fault").to_string());
}

#[test]
fn every_fault_has_its_message() {
    let window = FixedWindow { window: 3 };
    check_fault(OrderedScan, 7, &[0..2, 2..4], expect!["active entry 4 is skipped"]);
    check_fault(OrderedScan, 7, &[0..2, 3..4, 4..5], expect!["active entry 2 is skipped"]);
    check_fault(
        OrderedScan,
        7,
        &[0..2, 1..4, 4..5],
        expect!["group 1 takes active entry 1 a second time"],
    );
    check_fault(
        OrderedScan,
        7,
        &[0..2, 2..4, 4..4, 4..5],
        expect!["group 2 is 4..4 of 5 active entries"],
    );
    check_fault(
        OrderedScan,
        7,
        &[0..2, 2..4, 4..6],
        expect!["group 2 is 4..6 of 5 active entries"],
    );
    check_fault(
        OrderedScan,
        1,
        &[0..2, 2..3, 3..4, 4..5],
        expect!["group 0 turns on 2 rows, at most 1 may be"],
    );
    check_fault(
        OrderedScan,
        7,
        &[0..3, 3..4, 4..5],
        expect!["group 0 turns on physical row 4 twice"],
    );
    check_fault(OrderedScan, 7, &[0..2, 2..5], expect!["group 1 mixes signs at active entry 4"]);
    check_fault(
        window,
        7,
        &[0..2, 2..4, 4..5],
        expect!["group 1 crosses into another window at active entry 3"],
    );
    check_fault(
        FixedGroup,
        3,
        &[0..2, 2..4, 4..5],
        expect!["group 1 crosses into another window at active entry 3"],
    );
    check_fault(
        OrderedScan,
        7,
        &[0..1, 1..2, 2..4, 4..5],
        expect!["group 0 closes before active entry 1, which it has room for"],
    );
    check_fault(
        FixedGroup,
        2,
        &[0..2, 2..3, 3..4, 4..5],
        expect!["group 1 closes before active entry 3, which it has room for"],
    );
}

#[test]
fn text_that_names_no_input_control() {
    for text in
        ["", "ordered", "fixed-window", "fixed-window{}", "fixed-window{0}", "fixed-window{x}"]
    {
        let error = text.parse::<InputControl>().expect_err("no input control");
        assert!(matches!(&error, CimError::InputControl { text: found, .. } if found == text));
    }
    let error = "fixed-window{-1}".parse::<InputControl>().expect_err("no input control");
    expect!["input control is `fixed-window{-1}`, it must be ordered-scan, fixed-window{SIZE} with a size from 1, or fixed-group"].assert_eq(&error.to_string());
}
