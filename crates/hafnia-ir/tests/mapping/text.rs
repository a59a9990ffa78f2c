//! The text form: round trips, canonical print, errors with their place, and no panic on any text.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use hafnia_ir::{Coding, Geometry, Mapping, Matrix, Stage, TextError, random, verify};
use hafnia_rng::Seed;
use proptest::prelude::*;

use crate::sample;

/// Changes the sample's text and prints what the parser says of each.
fn check(changes: &[(&str, &str)], expected: Expect) {
    check_in(&sample::text(), changes, expected);
}

/// As [`check`], of another text.
fn check_in(text: &str, changes: &[(&str, &str)], expected: Expect) {
    let mut lines = String::new();
    for (old, new) in changes {
        assert!(text.contains(old), "`{old}` is in the text");
        let error = text.replacen(old, new, 1).parse::<Mapping>().unwrap_err();
        writeln!(lines, "{} -> {}\n  {error}", old.escape_debug(), new.escape_debug()).unwrap();
    }
    expected.assert_eq(&lines);
}

#[test]
fn the_samples_are_canonical() {
    assert_eq!(sample::mapping().to_string(), sample::text());
    assert_eq!(sample::stripped().to_string(), sample::stripped_text());
    assert_eq!(sample::levels().to_string(), sample::text_of_levels());
}

#[test]
fn version_1_is_read() {
    let text = sample::text().replace("hafnia-mapping 3", "hafnia-mapping 1");
    assert_eq!(text.parse(), Ok(sample::mapping()));
}

#[test]
fn codings_are_read() {
    for coding in ["weights 1", "factors 2 offset -1"] {
        let text = sample::text().replace("hidden 6x4", &format!("hidden 6x4 {coding}"));
        assert_eq!(text.parse(), Ok(sample::mapping()));
    }
    let text = sample::text().replace("hidden 6x4", "hidden 6x4 factors 1 2 -4 offset 0");
    let mapping: Mapping = text.parse().unwrap();
    assert_eq!(mapping.matrices[0].coding, Coding::twos_complement(3));
    assert_eq!(mapping.to_string(), text);
    let text = sample::text().replace("hidden 6x4", "hidden 6x4 inputs factors 1 -1 offset 0");
    let mapping: Mapping = text.parse().unwrap();
    assert_eq!(mapping.matrices[0].inputs, Some(Coding::ternary()));
    assert_eq!(mapping.to_string(), text);
    check(
        &[
            ("6x4", "6x4 weights"),
            ("6x4", "6x4 weights 9"),
            ("6x4", "6x4 factors"),
            ("6x4", "6x4 factors offset 0"),
            ("6x4", "6x4 factors 1 0 offset 0"),
            ("6x4", "6x4 factors 1 2 offset 513"),
            ("6x4", "1048576x33 factors 1 2 4 8 16 32 64 128 offset 0"),
            ("6x4", "1048576x33 weights 8"),
            ("6x4", "6x4 inputs weights 2"),
            ("6x4", "6x4 inputs factors 1 2 4 8 1 2 4 8 1 offset 0"),
            ("4x8", "4x8 cells"),
            ("4x8", "4x8 cells 3"),
        ],
        expect![[r#"
            6x4 -> 6x4 weights
              line 6, column 1: expected weights of 1 to 8 bits, of no more cells than a matrix may have, found `matrix`
            6x4 -> 6x4 weights 9
              line 5, column 30: expected weights of 1 to 8 bits, of no more cells than a matrix may have, found `9`
            6x4 -> 6x4 factors
              line 6, column 1: expected a factor in -512..=512 but 0, at most 16, of no more cells than a matrix may have, or `offset`, found `matrix`
            6x4 -> 6x4 factors offset 0
              line 5, column 30: expected a factor in -512..=512 but 0, at most 16, of no more cells than a matrix may have, or `offset`, found `offset`
            6x4 -> 6x4 factors 1 0 offset 0
              line 5, column 32: expected a factor in -512..=512 but 0, at most 16, of no more cells than a matrix may have, or `offset`, found `0`
            6x4 -> 6x4 factors 1 2 offset 513
              line 5, column 41: expected an offset in -512..=512, found `513`
            6x4 -> 1048576x33 factors 1 2 4 8 16 32 64 128 offset 0
              line 5, column 54: expected a factor in -512..=512 but 0, at most 16, of no more cells than a matrix may have, or `offset`, found `128`
            6x4 -> 1048576x33 weights 8
              line 5, column 37: expected weights of 1 to 8 bits, of no more cells than a matrix may have, found `8`
            6x4 -> 6x4 inputs weights 2
              line 5, column 29: expected `factors`, found `weights`
            6x4 -> 6x4 inputs factors 1 2 4 8 1 2 4 8 1 offset 0
              line 5, column 53: expected a factor in -512..=512 but 0, at most 8, of no more cells than a matrix may have, or `offset`, found `1`
            4x8 -> 4x8 cells
              line 4, column 1: expected cells of 1 or 2 bits, found `stage`
            4x8 -> 4x8 cells 3
              line 3, column 22: expected cells of 1 or 2 bits, found `3`
        "#]],
    );
}

#[test]
fn errors_in_what_takes_no_cells() {
    check_in(
        &sample::stripped_text(),
        &[
            ("dead 1", "dead"),
            ("dead 1", "dead 4"),
            ("dead 1", "dead 1..5"),
            ("dead 1", "dead 0..4 0"),
            ("dead 1", "dead -1"),
            ("dead 1", "dead 1 dead"),
            ("pre-add at", "at macro 0 row 0 column 0 pre-add"),
            ("pre-add", "pre-sub"),
        ],
        expect![[r#"
            dead 1 -> dead
              line 8, column 1: expected a dead row or run in 0..=3, at most 4 more, found `tile`
            dead 1 -> dead 4
              line 7, column 8: expected a dead row or run in 0..=3, at most 4 more, found `4`
            dead 1 -> dead 1..5
              line 7, column 8: expected a dead row or run in 0..=3, at most 4 more, found `1..5`
            dead 1 -> dead 0..4 0
              line 7, column 13: expected a dead row or run in 0..=3, at most 0 more, found `0`
            dead 1 -> dead -1
              line 7, column 8: expected a dead row or run in 0..=3, at most 4 more, found `-1`
            dead 1 -> dead 1 dead
              line 8, column 1: expected a dead row or run in 0..=3, at most 3 more, found `tile`
            pre-add at -> at macro 0 row 0 column 0 pre-add
              line 8, column 57: expected `columns`, found `pre-add`
            pre-add -> pre-sub
              line 8, column 31: expected `columns`, found `pre-sub`
        "#]],
    );
}

#[test]
fn the_documented_examples_are_the_samples() {
    let page = include_str!("../../../../docs/ir.md");
    let blocks = page.split("```text\n").skip(1).filter_map(|block| block.split("```").next());
    let mut examples = blocks.filter(|block| block.starts_with("hafnia-mapping"));
    for sample in [sample::mapping(), sample::stripped(), sample::levels()] {
        assert_eq!(examples.next().unwrap().parse(), Ok(sample));
    }
}

#[test]
fn layout_and_comments_are_free() {
    let text = sample::text();
    let spaced = text.replace(' ', "\n\t # a comment\n").replace("rows", "rows rows");
    assert_eq!(spaced.parse(), Ok(sample::mapping()));
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(joined.parse(), Ok(sample::mapping()));
    let spelled_out = text.replace("rows 4 5", "rows 4..6:0..2").replace("0..3", "0 1..3");
    assert_eq!(spelled_out.parse(), Ok(sample::mapping()));
}

#[test]
fn any_name_goes_round() {
    for name in ["", "%", "a b", "#", "ß\n", "gt-n40.toml", "%zz"] {
        let mapping = Mapping {
            geometry: Geometry::new(name, 1, 1),
            matrices: vec![Matrix::new(name, 2, 1)],
            tiles: Vec::new(),
            ..sample::mapping()
        };
        assert_eq!(mapping.to_string().parse(), Ok(mapping), "`{name}`");
    }
}

#[test]
fn long_lists_are_wrapped() {
    let network = hafnia_model::random::lenet5(Seed(0));
    let geometry = Geometry::new("gt-n40", 128, 128);
    let mapping = random::mapping(Seed(0), &network, &geometry, Stage::Tiled);
    assert!(mapping.to_string().lines().all(|line| line.len() <= 100));
    let last = mapping.to_string().lines().filter(|line| line.contains("rows")).count();
    assert!(last > mapping.tiles.len(), "some list takes more than a line");
}

#[test]
fn errors_in_the_header() {
    check(
        &[
            ("hafnia-mapping 3", ""),
            ("hafnia-mapping 3", "hafnia-mapping 4"),
            ("network ", "network 12 "),
            ("tiny", "tin%y"),
            ("tiny 4x8", "tiny"),
            ("4x8", "4*8"),
            ("4x8", "0x8"),
            ("6x4", "1048577x1"),
            ("6x4", "1048576x257"),
            ("6x4", "99999999999999999999x1"),
            ("stage placed", "stage\tfinal"),
            ("matrix m1", "matrix m2"),
            ("matrix m1", "metrix m1"),
        ],
        expect![[r#"
            hafnia-mapping 3 -> 
              line 2, column 1: expected `hafnia-mapping`, found `network`
            hafnia-mapping 3 -> hafnia-mapping 4
              line 1, column 16: expected version 1 to 3, found `4`
            network  -> network 12 
              line 2, column 9: expected 64 lower-case hexadecimal digits, found `12`
            tiny -> tin%y
              line 3, column 7: expected a name, found `tin%y`
            tiny 4x8 -> tiny
              line 4, column 1: expected ROWSxCOLUMNS, each in 1..=1048576, together at most 268435456 cells, found `stage`
            4x8 -> 4*8
              line 3, column 12: expected ROWSxCOLUMNS, each in 1..=1048576, together at most 268435456 cells, found `4*8`
            4x8 -> 0x8
              line 3, column 12: expected ROWSxCOLUMNS, each in 1..=1048576, together at most 268435456 cells, found `0x8`
            6x4 -> 1048577x1
              line 5, column 18: expected ROWSxCOLUMNS, each in 1..=1048576, together at most 268435456 cells, found `1048577x1`
            6x4 -> 1048576x257
              line 5, column 18: expected ROWSxCOLUMNS, each in 1..=1048576, together at most 268435456 cells, found `1048576x257`
            6x4 -> 99999999999999999999x1
              line 5, column 18: expected ROWSxCOLUMNS, each in 1..=1048576, together at most 268435456 cells, found `99999999999999999999x1`
            stage placed -> stage\tfinal
              line 4, column 7: expected `logical`, `tiled` or `placed`, found `final`
            matrix m1 -> matrix m2
              line 6, column 8: expected `m1`, found `m2`
            matrix m1 -> metrix m1
              line 6, column 1: expected `matrix`, `tile` or the end, found `metrix`
        "#]],
    );
}

#[test]
fn errors_in_tiles() {
    check(
        &[
            ("tile t2", "tile t1"),
            ("tile t2", "tale t2"),
            ("tile t2 m1", "tile t2 m2"),
            ("tile t2 m1", "tile t2 1"),
            ("replica 1", "replica -1"),
            ("replica 1", "replica 4294967296"),
            ("size 2x4", "size 2000x1000"),
            ("size 2x4", "size 2x5"),
            ("size 2x4", "size 2x3"),
            ("size 2x4", "size 1x4"),
            ("size 2x4", "size 3x4"),
            ("at macro", "on macro"),
            ("column 4", "column +4"),
            ("columns 0..4", "columns 0..5"),
            ("columns 0..4", "columns 4"),
            ("columns 0..4", "columns 3..3"),
            ("columns 0..4", "columns 0 -1 2 3"),
            ("rows 0:0", "rows 6:0"),
            ("rows 0:0", "rows 0:2"),
            ("rows 0:0", "rows 0..3:0"),
            ("rows 0:0", "rows 0:"),
            ("rows 0:0", "rows --0:0"),
            ("rows 0..4", "rows 0..3 3..5"),
            ("rows 0..4", "rows 0..4294967296"),
            ("rows 0..4", "rows 0..4:0..4 0..4:0..4"),
            ("    d", "    dd"),
            ("    d", "    D"),
            ("    6\ntile t3", "    8\ntile t3"),
            ("    4\n    1\n    3\n    6\n", "    4\n    1\n    3\n"),
            ("    4\n    1\n    3\n    6\n", "    4\n    1\n    3\n    6\n    6\n"),
            ("    5\n    2\n    3\n    4\n", "    5\n    2\n    3\n"),
            ("rows 2 0 3 1", "\u{1b}[31m#rows"),
            ("rows 2 0 3 1", "rows 2 0 3 123456789012345678901234567890123456789012345"),
        ],
        expect![[r#"
            tile t2 -> tile t1
              line 19, column 6: expected `t2`, found `t1`
            tile t2 -> tale t2
              line 19, column 1: expected `tile` or the end, found `tale`
            tile t2 m1 -> tile t2 m2
              line 19, column 9: expected a matrix, m0 to m1, found `m2`
            tile t2 m1 -> tile t2 1
              line 19, column 9: expected a matrix, m0 to m1, found `1`
            replica 1 -> replica -1
              line 27, column 20: expected a number in 0..=4294967295, found `-1`
            replica 1 -> replica 4294967296
              line 27, column 20: expected a number in 0..=4294967295, found `4294967296`
            size 2x4 -> size 2000x1000
              line 7, column 27: expected no more cells than 423 characters hold, found `2000x1000`
            size 2x4 -> size 2x5
              line 9, column 3: expected a column or run in 0..=3, 1 more in all, found `rows`
            size 2x4 -> size 2x3
              line 8, column 11: expected a column or run in 0..=3, 3 more in all, found `0..4`
            size 2x4 -> size 1x4
              line 9, column 12: expected `bits`, or at most 5 more LOGICAL:PHYSICAL of 0..=5:0..=0, found `1:1`
            size 2x4 -> size 3x4
              line 13, column 1: expected row 2 as hexadecimal digits (0-9, a-f), length 1, found `tile`
            at macro -> on macro
              line 7, column 31: expected `columns`, found `on`
            column 4 -> column +4
              line 19, column 55: expected a number in 0..=4294967295, found `+4`
            columns 0..4 -> columns 0..5
              line 8, column 11: expected a column or run in 0..=3, 4 more in all, found `0..5`
            columns 0..4 -> columns 4
              line 8, column 11: expected a column or run in 0..=3, 4 more in all, found `4`
            columns 0..4 -> columns 3..3
              line 8, column 11: expected a column or run in 0..=3, 4 more in all, found `3..3`
            columns 0..4 -> columns 0 -1 2 3
              line 8, column 13: expected a column or run in 0..=3, 3 more in all, found `-1`
            rows 0:0 -> rows 6:0
              line 9, column 8: expected `bits`, or at most 6 more LOGICAL:PHYSICAL of 0..=5:0..=1, found `6:0`
            rows 0:0 -> rows 0:2
              line 9, column 8: expected `bits`, or at most 6 more LOGICAL:PHYSICAL of 0..=5:0..=1, found `0:2`
            rows 0:0 -> rows 0..3:0
              line 9, column 8: expected `bits`, or at most 6 more LOGICAL:PHYSICAL of 0..=5:0..=1, found `0..3:0`
            rows 0:0 -> rows 0:
              line 9, column 8: expected `bits`, or at most 6 more LOGICAL:PHYSICAL of 0..=5:0..=1, found `0:`
            rows 0:0 -> rows --0:0
              line 9, column 8: expected `bits`, or at most 6 more LOGICAL:PHYSICAL of 0..=5:0..=1, found `--0:0`
            rows 0..4 -> rows 0..3 3..5
              line 29, column 13: expected `bits`, or at most 1 more LOGICAL:PHYSICAL of 0..=3:0..=3, found `3..5`
            rows 0..4 -> rows 0..4294967296
              line 29, column 8: expected `bits`, or at most 4 more LOGICAL:PHYSICAL of 0..=3:0..=3, found `0..4294967296`
            rows 0..4 -> rows 0..4:0..4 0..4:0..4
              line 29, column 18: expected `bits`, or at most 0 more LOGICAL:PHYSICAL of 0..=3:0..=3, found `0..4:0..4`
                d ->     dd
              line 11, column 5: expected row 0 as hexadecimal digits (0-9, a-f), length 1, found `dd`
                d ->     D
              line 11, column 5: expected row 0 as hexadecimal digits (0-9, a-f), length 1, found `D`
                6\ntile t3 ->     8\ntile t3
              line 26, column 5: expected no bit beyond column 2, found `8`
                4\n    1\n    3\n    6\n ->     4\n    1\n    3\n
              line 26, column 1: expected row 3 as hexadecimal digits (0-9, a-f), length 1, found `tile`
                4\n    1\n    3\n    6\n ->     4\n    1\n    3\n    6\n    6\n
              line 27, column 5: expected `tile` or the end, found `6`
                5\n    2\n    3\n    4\n ->     5\n    2\n    3\n
              line 34, column 1: expected row 3 as hexadecimal digits (0-9, a-f), length 1, found the end
            rows 2 0 3 1 -> \u{1b}[31m#rows
              line 21, column 3: expected `rows`, found `\u{1b}[31m`
            rows 2 0 3 1 -> rows 2 0 3 123456789012345678901234567890123456789012345
              line 21, column 14: expected `bits`, or at most 1 more LOGICAL:PHYSICAL of 0..=3:0..=3, found `1234567890123456789012345678901234567890…`
        "#]],
    );
}

#[test]
fn a_short_text_cannot_ask_for_much() {
    let (head, _) = sample::text().split_once("matrix").map(|(a, b)| (a.to_owned(), b)).unwrap();
    let large = format!(
        "{head}matrix m0 a 1048576x256\ntile t0 m0 replica 0 size 1048576x256 columns 0..256"
    );
    expect![
        "line 6, column 27: expected no more cells than 15 characters hold, found `1048576x256`"
    ]
    .assert_eq(&large.parse::<Mapping>().unwrap_err().to_string());
    let lists = (0..3).map(|m| format!("matrix m{m} a 1048576x1 dead 0..600000\n"));
    let lists = format!("{head}{}", lists.collect::<String>());
    expect!["line 6, column 28: expected a dead row or run in 0..=1048575, at most 448576 more, found `0..600000`"].assert_eq(&lists.parse::<Mapping>().unwrap_err().to_string());
}

proptest! {
    #[test]
    fn round_trip((_, mapping) in sample::any_mapping()) {
        let text = mapping.to_string();
        let back: Mapping = text.parse().map_err(|e: TextError| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(back.to_string(), text);
        prop_assert_eq!(back, mapping);
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        let _ = text.parse::<Mapping>();
    }

    /// Words of the grammar in any order reach deeper than arbitrary characters.
    #[test]
    fn any_words_are_read_or_refused(
        start in 0usize..60,
        words in prop::collection::vec(
            prop::sample::select(vec![
                "tile", "matrix", "m0", "m1", "t0", "t4", "replica", "0", "1", "size", "1x1", "4x3",
                "at", "macro", "row", "column", "columns", "0..3", "~0..3", "rows", "-0:0", "0..4",
                "0..4:0..4", "bits", "7", "f", "pre-add", "dead", "weights", "%", "#", "\n", "4294967295", "..", ":", "-", "~",
            ]),
            0..40,
        ),
    ) {
        let text = sample::text();
        let kept: Vec<&str> = text.split_whitespace().take(start).collect();
        let text = format!("{} {}", kept.join(" "), words.join(" "));
        if let Ok(mapping) = text.parse::<Mapping>() {
            let _ = verify(&mapping);
            prop_assert_eq!(mapping.to_string().parse(), Ok(mapping));
        }
    }

    #[test]
    fn a_changed_text_is_read_or_refused(
        at: prop::sample::Index,
        removed in 0usize..4,
        put in "[ -~\n]{0,4}|\\PC{0,2}",
    ) {
        let mut text: Vec<char> = sample::text().chars().collect();
        let start = at.index(text.len());
        let end = (start + removed).min(text.len());
        text.splice(start..end, put.chars());
        let text: String = text.into_iter().collect();
        if let Ok(mapping) = text.parse::<Mapping>() {
            let _ = verify(&mapping);
            prop_assert_eq!(mapping.to_string().parse(), Ok(mapping));
        }
    }
}
