//! Mappings as the files of a program, and back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use expect_test::{Expect, expect, expect_file};
use hafnia_cim::MacroSpec;
use hafnia_ir::{Geometry, Mapping, Program, Stage, random};
use hafnia_model::random::Limits;
use hafnia_rng::Seed;
use proptest::prelude::*;

use crate::sample;

/// A macro of this geometry.
fn spec(geometry: &Geometry) -> MacroSpec {
    let Geometry { name, rows, columns, .. } = geometry.clone();
    MacroSpec { name, rows, columns, ..MacroSpec::preset("gt-n40").unwrap() }
}

fn program(mapping: &Mapping) -> Program {
    Program::of(mapping, &spec(&mapping.geometry)).unwrap()
}

/// The files of the sample.
fn files() -> BTreeMap<String, Vec<u8>> {
    program(&sample::mapping()).files().collect()
}

/// An error with its causes.
fn message(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

/// Replaces `old` by `new` in a file of the sample and prints what is said; without `old`, takes
/// the file away.
fn check(changes: &[(&str, &str, &str)], expected: Expect) {
    let mut lines = String::new();
    for (name, old, new) in changes {
        let mut files = files();
        if old.is_empty() {
            files.remove(*name);
        } else {
            let text = String::from_utf8(files[*name].clone()).unwrap();
            assert!(text.contains(old), "`{old}` is in {name}");
            files.insert((*name).to_owned(), text.replacen(old, new, 1).into());
        }
        let error = Program::from_files(&files).unwrap_err();
        writeln!(lines, "{} -> {}\n  {}", old.escape_debug(), new.escape_debug(), message(&error))
            .unwrap();
    }
    expected.assert_eq(&lines);
}

#[test]
fn a_folder_goes_round_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/program");
    let geometry = Geometry::new("small", 3, 2);
    let larger = random::mapping(Seed(1), &sample::network(), &geometry, Stage::Placed);
    for mapping in [larger, sample::stripped(), sample::mapping()] {
        let written = program(&mapping);
        written.write(&path).unwrap();
        let read = Program::read(&path).unwrap();
        assert_eq!(read, written);
        assert_eq!(read.mapping().to_string(), mapping.to_string());
    }
    assert_eq!(fs::read_dir(&path).unwrap().count(), 3 + 2, "nothing is left of the first");
    fs::remove_file(path.join("macro-1/scan.csv")).unwrap();
    let error = Program::read(&path).unwrap_err().to_string();
    assert_eq!(error, format!("cannot read {}", path.join("macro-1/scan.csv").display()));
}

/// Every file in the document is that of the sample, and all are there but the array. Blesses them
/// with `UPDATE_EXPECT=1`.
#[test]
fn the_document_shows_the_sample() {
    let page = include_str!("../../../../docs/formats.md");
    let files = files().into_iter().filter(|(name, _)| !name.starts_with("macro-1/"));
    let mut files: BTreeMap<String, String> = files
        .filter(|(name, _)| !name.ends_with(".npy"))
        .map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap()))
        .collect();
    let mut parts = page.split("\n### `");
    let mut rebuilt = parts.next().unwrap().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('`').unwrap();
        let (before, block) = rest.split_once("\n```").unwrap();
        let (kind, block) = block.split_once('\n').unwrap();
        let (_, after) = block.split_once("```").unwrap();
        let file = files.remove(name).unwrap_or_else(|| panic!("the sample has no {name}"));
        write!(rebuilt, "\n### `{name}`{before}\n```{kind}\n{file}```{after}").unwrap();
    }
    assert_eq!(files.into_keys().collect::<Vec<_>>(), [""; 0], "files that are not shown");
    expect_file!["../../../../docs/formats.md"].assert_eq(&rebuilt);
}

/// How rows are gathered stands in the header alone: its lines are held to their digest.
#[test]
fn a_changed_digit_of_the_header_is_an_error() {
    let text = String::from_utf8(files()["program.json"].clone()).unwrap();
    let digest = text.split("\"above\": \"").nth(1).unwrap().split('"').next().unwrap();
    for (old, new) in [
        ("_conversion\": 7", "_conversion\": 6"),
        ("_conversion\": 7", "_conversion\": 63"),
        ("ordered-scan", "fixed-group"),
        ("ordered-scan", "fixed-window{2}"),
        (digest, "fa8a64cb7049cb3797febfe7c083c9e14de0f951cda1a8591ae506d6c9253f98"),
    ] {
        assert!(text.contains(old), "{old}");
        let mut files = files();
        files.insert("program.json".to_owned(), text.replacen(old, new, 1).into());
        let error = Program::from_files(&files).unwrap_err().to_string();
        assert!(error.starts_with("program.json: `above` is "), "{new}: {error}");
        assert!(error.ends_with(": one of them was changed"), "{error}");
    }
}

#[test]
fn what_makes_no_program() {
    let check = |mapping: &Mapping, spec: &MacroSpec, expected: Expect| {
        expected.assert_eq(&message(&Program::of(mapping, spec).unwrap_err()));
    };
    let mapping = sample::mapping();
    let tiny = spec(&mapping.geometry);
    check(
        &Mapping { stage: Stage::Tiled, ..mapping.clone() },
        &tiny,
        expect![
            "only a placed mapping makes a program, this one is tiled: end its pipeline with a pass that places tiles, such as `pack`"
        ],
    );
    check(
        &mapping,
        &MacroSpec { rows: 5, ..tiny.clone() },
        expect!["the mapping is for macro tiny 4x8, the program for macro tiny 5x8"],
    );
    let mut overlapping = mapping;
    overlapping.tiles[1].place = overlapping.tiles[0].place;
    check(
        &overlapping,
        &tiny,
        expect![
            "the mapping breaks the rules of mappings: tile t1 of m0: it takes cell (0, 0) of macro 0, as tile t0 does (rule 13)"
        ],
    );
}

#[test]
fn wrong_headers_are_refused() {
    let header = "program.json";
    check(
        &[
            (header, "", ""),
            (header, "hafnia-program", "a-program"),
            (header, "\"version\": 3", "\"version\": 2"),
            (header, "  \"network\"", "  \"netwrk\""),
            (header, "\"network\": \"", "\"network\": \"0"),
            (header, "\"rows\": 4", "\"rows\": 0"),
            (header, "\"rows\": 4", "\"rows\": 5"),
            (header, "\"macros\": 2", "\"macros\": 0"),
            (header, "\"macros\": 2", "\"macros\": 3"),
            (header, "_conversion\": 7", "_conversion\": 0"),
            (header, "ordered-scan", "scan"),
            (header, "\"columns\": 4", "\"columns\": 1048577"),
            (header, "}", "} }"),
            (header, "\"dead_rows\": []", "\"dead_rows\": [6]"),
            (header, "\"dead_rows\": []", "\"dead_rows\": [-1]"),
            (header, "  \"macros\"", " \"macros\""),
        ],
        expect![[r#"
             -> 
              cannot read program.json: entity not found
            hafnia-program -> a-program
              program.json: unknown variant `a-program`, expected `hafnia-program` at line 2 column 23
            \"version\": 3 -> \"version\": 2
              program.json: `version` is 2, it must be 3: make it again with `hafnia map --emit program`
              \"network\" ->   \"netwrk\"
              program.json: unknown field `netwrk`, expected one of `format`, `version`, `network`, `macro`, `macros`, `rows_per_conversion`, `input_control`, `matrices`, `above` at line 4 column 10
            \"network\": \" -> \"network\": \"0
              program.json: "0fa8a64cb7049cb3797febfe7c083c9e14de0f951cda1a8591ae506d6c9253f98" is not a SHA-256 digest: expected 64 lower-case hexadecimal digits at line 4 column 80
            \"rows\": 4 -> \"rows\": 0
              program.json: macro `tiny` is 0x8: sides must lie in 1..=1048576, cells be at most 268435456
            \"rows\": 4 -> \"rows\": 5
              macro-0/cells.hex:5: expected row 4 of 5, found the end
            \"macros\": 2 -> \"macros\": 0
              tiles.csv:2: expected no macro, as there is none to name, found `0`
            \"macros\": 2 -> \"macros\": 3
              cannot read macro-2/cells.hex: entity not found
            _conversion\": 7 -> _conversion\": 0
              program.json: `rows_per_conversion` is 0, it must lie in 1..=1024
            ordered-scan -> scan
              program.json: input control is `scan`, it must be ordered-scan, fixed-window{SIZE} with a size from 1, or fixed-group
            \"columns\": 4 -> \"columns\": 1048577
              program.json: matrix `hidden` is 6x1048577: sides must lie in 1..=1048576, cells be at most 268435456
            } -> } }
              program.json: trailing characters at line 9 column 6
            \"dead_rows\": [] -> \"dead_rows\": [6]
              program.json breaks the rules of mappings: matrix m0: dead row 6 of `hidden` must lie in 0..6, as dead rows ascend (rule 2)
            \"dead_rows\": [] -> \"dead_rows\": [-1]
              program.json: invalid value: integer `-1`, expected u32 at line 22 column 22
              \"macros\" ->  \"macros\"
              program.json: `above` is 4cf64fd99a49b509e2cb7282058c6cf8b770c10808fef28f295b63d0ca259768, the lines above it have SHA-256 acceea735f5e03f86e465b3d0757e1784b74463faae06a259298b961cedf038f: one of them was changed
        "#]],
    );
}

#[test]
fn wrong_tables_are_refused() {
    let (tiles, scan, columns) = ("tiles.csv", "macro-0/scan.csv", "macro-0/columns.csv");
    check(
        &[
            (tiles, "tile,", "tiles,"),
            (tiles, "\n1,", "\n2,"),
            (tiles, "\n1,0,", "\n1,7,"),
            (tiles, "\n1,0,0,0,2,0,2,", "\n1,0,0,9,2,0,2,"),
            (tiles, "\n1,0,0,0,2,0,2,", "\n1,0,0,0,4,0,2,"),
            (tiles, "\n1,0,0,0,2,0,2,", "\n1,0,0,0,2,0,3,"),
            (tiles, "\n1,0,0,0,2,0,2,", "\n1,0,0,0,2,0,+2,"),
            (tiles, "\n1,0,0,0,2,0,2,", "\n1,0,0,0,2,0,2,2,"),
            (tiles, "\n1,0,0,0,2,0,2,4,2,0,0,0", "\n1,0,0,0,2,0,2,4,2,0,1,0"),
            (tiles, "\n0,0,0,0,0,0,2,4,4,0,", "\n0,0,0,0,0,0,2,4,4,1,"),
            (tiles, "\n0,0,0,0,0,0,2,4,4,0,", "\n0,0,0,0,0,0,2,4,4,2,"),
            (tiles, "\n1,0,0,0,2,0,2,", "\n1,0,0,0,0,0,2,"),
            (tiles, "\n3,1,1,", "\n3,1,0,"),
            (scan, "\n0,1,1,1,1,1", "\n0,1,1,1,1"),
            (scan, "\n0,1,1,1,1,1", "\n0,1,1,1,1,0"),
            (scan, "\n0,1,1,1,1", "\n0,1,1,1,0"),
            (scan, "\n0,1,1,1,1", "\n0,1,1,2,1"),
            (scan, "\n0,1,1,1,1", "\n0,2,1,1,1"),
            (scan, "\n0,1,1,1,1", "\n0,1,6,1,1"),
            (scan, "\n0,1,1,1,1", "\n0,1,2,1,1"),
            (scan, "\n0,1,1,1,1", ""),
            (scan, "2,3,1,3,1,3\n", ""),
            (scan, "2,3,1,3,1,3\n", "2,3,1,3,1,3\n\n"),
            (columns, "\n1,1,1,-1", "\n1,1,4,-1"),
            (columns, "\n1,1,1,-1", "\n1,1,1,1"),
            ("sums.csv", "0,0,0,0", "0,0,0,1"),
            ("sums.csv", "0,0,0,0", "\u{1b}"),
        ],
        expect![[r#"
            tile, -> tiles,
              tiles.csv:1: expected `tile,matrix,replica,macro,row,column,rows,columns,entries,pre_add,address_bits,sign_bits`, found `tiles,matrix,replica,macro,row,column,ro…`
            \n1, -> \n2,
              tiles.csv:3: expected tile 1, found `2`
            \n1,0, -> \n1,7,
              tiles.csv:3: expected matrix in 0..=1, found `7`
            \n1,0,0,0,2,0,2, -> \n1,0,0,9,2,0,2,
              tiles.csv:3: expected macro in 0..=1, found `9`
            \n1,0,0,0,2,0,2, -> \n1,0,0,0,4,0,2,
              tiles.csv:3: expected row in 0..=3, found `4`
            \n1,0,0,0,2,0,2, -> \n1,0,0,0,2,0,3,
              tiles.csv:3: expected rows in 1..=2, found `3`
            \n1,0,0,0,2,0,2, -> \n1,0,0,0,2,0,+2,
              tiles.csv:3: expected rows in 1..=2, found `+2`
            \n1,0,0,0,2,0,2, -> \n1,0,0,0,2,0,2,2,
              tiles.csv:3: expected 12 fields, parted by commas, found `1,0,0,0,2,0,2,2,4,2,0,0,0`
            \n1,0,0,0,2,0,2,4,2,0,0,0 -> \n1,0,0,0,2,0,2,4,2,0,1,0
              tiles.csv:3:21: expected `0,0`, found `1,0`: the other files of the program say so
            \n0,0,0,0,0,0,2,4,4,0, -> \n0,0,0,0,0,0,2,4,4,1,
              macro-0/scan.csv:4:11: expected `0`, found `2`: the other files of the program say so
            \n0,0,0,0,0,0,2,4,4,0, -> \n0,0,0,0,0,0,2,4,4,2,
              tiles.csv:2: expected pre_add in 0..=1, found `2`
            \n1,0,0,0,2,0,2, -> \n1,0,0,0,0,0,2,
              macro-0/scan.csv:6: expected physical_row in 0..=1, found `2`
            \n3,1,1, -> \n3,1,0,
              program.json breaks the rules of mappings: matrix m1: weight (0, 0) of `out` replica 0 is in tile t2 and again in t3 (rule 9)
            \n0,1,1,1,1,1 -> \n0,1,1,1,1
              macro-0/scan.csv:3: expected 6 fields, parted by commas, found `0,1,1,1,1`
            \n0,1,1,1,1,1 -> \n0,1,1,1,1,0
              macro-0/scan.csv:3:11: expected `1`, found `0`: the other files of the program say so
            \n0,1,1,1,1 -> \n0,1,1,1,0
              macro-0/scan.csv:3: expected sign 1 or -1, found `0`
            \n0,1,1,1,1 -> \n0,1,1,2,1
              macro-0/scan.csv:3: expected physical_row in 0..=1, found `2`
            \n0,1,1,1,1 -> \n0,2,1,1,1
              macro-0/scan.csv:3: expected position 1, found `2`
            \n0,1,1,1,1 -> \n0,1,6,1,1
              macro-0/scan.csv:3: expected logical_row in 0..=5, found `6`
            \n0,1,1,1,1 -> \n0,1,2,1,1
              program.json breaks the rules of mappings: tile t0 of m0, entry 2: logical row 2 is held twice (rule 5)
            \n0,1,1,1,1 -> 
              macro-0/scan.csv:2: expected 6 fields, parted by commas, found `0,0,0,0,1,0,1`
            2,3,1,3,1,3\n -> 
              macro-0/scan.csv:11: expected position 3 of tile 2, found the end
            2,3,1,3,1,3\n -> 2,3,1,3,1,3\n\n
              macro-0/scan.csv:12: expected the end, found ``
            \n1,1,1,-1 -> \n1,1,4,-1
              macro-0/columns.csv:7: expected logical_column in 0..=3, found `4`
            \n1,1,1,-1 -> \n1,1,1,1
              sums.csv:5:13: expected `1`, found `-1`: the other files of the program say so
            0,0,0,0 -> 0,0,0,1
              sums.csv:2:7: expected `0,0,0,1`, found `1,0,0,1`: the other files of the program say so
            0,0,0,0 -> \u{1b}
              sums.csv:2:1: expected `0,0,0,0,0,0,1`, found `\u{1b},0,0,1`: the other files of the program say so
        "#]],
    );
}

#[test]
fn wrong_cells_are_refused() {
    let (hex, csv, json) = ("macro-0/cells.hex", "macro-0/cells.csv", "macro-0/cells.json");
    check(
        &[
            (hex, "\n", " \n"),
            (hex, "\n", "\n\n"),
            (hex, "4d\n", "4D\n"),
            (hex, "4d\n", "cd\n"),
            (hex, "4d\n", "4c\n"),
            (csv, "1,", "0,"),
            (csv, "1,", "1, "),
            (csv, "1,", ""),
            (json, "[1,", "[0,"),
            (json, "]}", "]"),
            ("macro-0/t0.rename.hex", "2", "0"),
            ("macro-0/t0.rename.hex", "2\n", ""),
        ],
        expect![[r#"
            \n ->  \n
              macro-0/cells.hex:1: expected 2 hexadecimal digits (0-9, a-f), found `4d `
            \n -> \n\n
              macro-0/cells.hex:5: expected the end, found `6a`
            4d\n -> 4D\n
              macro-0/cells.hex:1: expected 2 hexadecimal digits (0-9, a-f), found `4D`
            4d\n -> cd\n
              macro-0/cells.hex:1:1: expected `4d`, found `cd`: the other files of the program say so
            4d\n -> 4c\n
              macro-0/cells.csv:1:1: expected `0,0,1,1,0,0,1,0`, found `1,0,1,1,0,0,1,0`: the other files of the program say so
            1, -> 0,
              macro-0/cells.csv:1:1: expected `1,0,1,1,0,0,1,0`, found `0,0,1,1,0,0,1,0`: the other files of the program say so
            1, -> 1, 
              macro-0/cells.csv:1:3: expected `0,1,1,0,0,1,0`, found ` 0,1,1,0,0,1,0`: the other files of the program say so
            1, -> 
              macro-0/cells.csv:1:1: expected `1,0,1,1,0,0,1,0`, found `0,1,1,0,0,1,0`: the other files of the program say so
            [1, -> [0,
              macro-0/cells.json:2:4: expected `1,0,1,1,0,0,1,0],`, found `0,0,1,1,0,0,1,0],`: the other files of the program say so
            ]} -> ]
              macro-0/cells.json:6:2: expected `}`, found the end of the line: the other files of the program say so
            2 -> 0
              macro-0/t0.rename.hex:4:1: expected `2`, found `0`: the other files of the program say so
            2\n -> 
              macro-0/t0.rename.hex:4:1: expected `2`, found the end: the other files of the program say so
        "#]],
    );
    let mut files = files();
    let name = "macro-1/cells.npy".to_owned();
    let mut check = |bytes: Vec<u8>, expected: Expect| {
        files.insert(name.clone(), bytes);
        expected.assert_eq(&message(&Program::from_files(&files).unwrap_err()));
    };
    let good = hafnia_artifact::npy::encode(&[4, 8], &[0i8; 32]);
    check(
        good[..100].to_vec(),
        expect![
            "macro-1/cells.npy: not an array of cells: it is cut short: the header ends at byte 128, the file at byte 100"
        ],
    );
    check(
        hafnia_artifact::npy::encode(&[8, 4], &[0i8; 32]),
        expect!["macro-1/cells.npy: its shape is [8, 4], that of the macro [4, 8]"],
    );
    check(
        hafnia_artifact::npy::encode(&[4, 8], &[0i32; 32]),
        expect![
            "macro-1/cells.npy: not an array of cells: its elements are `<i4`, they must be int8 (`|i1`)"
        ],
    );
    check(good, expect!["macro-1/cells.npy: cell (0, 0) is 0, cells.hex says 1"]);
}

#[test]
fn multi_level_cells_make_no_program() {
    let spec = MacroSpec { rows: 4, columns: 4, ..MacroSpec::preset("gt-n40-mlc").unwrap() };
    let spec = MacroSpec { name: "levels".into(), ..spec };
    assert_eq!(
        Program::of(&sample::levels(), &spec).unwrap_err().to_string(),
        "macro levels 4x4, 2 bits a cell: the files of a program hold 1 bit per cell"
    );
}

proptest! {
    #[test]
    fn any_placed_mapping_goes_round(seed: u64, rows in 1usize..30, columns in 1usize..9) {
        let limits = Limits { weight_bits: 8, ..Limits::default() };
        let network = hafnia_model::random::network(Seed(seed), limits);
        let geometry = Geometry::new("small", rows, columns);
        let mapping = random::mapping(Seed(seed), &network, &geometry, Stage::Placed);
        let program = program(&mapping);
        let files: BTreeMap<String, Vec<u8>> = program.files().collect();
        let back = Program::from_files(&files);
        let back = back.map_err(|error| TestCaseError::fail(message(&error)))?;
        prop_assert_eq!(back.mapping().to_string(), mapping.to_string());
        prop_assert_eq!(back, program);
    }

    /// A changed byte is refused, or is in what no other file says, or in an array that says the same.
    #[test]
    fn no_change_goes_unseen(
        file: prop::sample::Index,
        at: prop::sample::Index,
        byte: u8,
    ) {
        let mut files = files();
        let name = file.get(&files.keys().cloned().collect::<Vec<_>>()).clone();
        let bytes = files.get_mut(&name).unwrap();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        match Program::from_files(&files) {
            Err(_) => {}
            // The name of a matrix, say, stands in the header only.
            Ok(program) => prop_assert!(
                name.ends_with(".npy") || program.files().collect::<BTreeMap<_, _>>() == files
            ),
        }
    }
}
