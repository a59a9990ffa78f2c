//! Mappings in files.

use std::error::Error as _;
use std::fs;

use expect_test::{Expect, expect};
use hafnia_ir::{read_mapping, write_mapping};

use crate::sample;

fn check(content: impl AsRef<[u8]>, expected: Expect) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapping");
    fs::write(&path, content).unwrap();
    let error = read_mapping(&path).unwrap_err();
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    let message = format!("{error}{cause}");
    expected.assert_eq(&message.replace(&format!("{}/", folder.path().display()), ""));
}

#[test]
fn files_go_round() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mapping");
    write_mapping(&path, &sample::mapping()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), sample::text());
    assert_eq!(read_mapping(&path).unwrap(), sample::mapping());
    assert!(read_mapping(folder.path().join("b.mapping")).is_err());
}

#[test]
fn wrong_files_are_refused() {
    check(
        sample::text().replace("stage", "state"),
        expect!["a.mapping:4:1: expected `stage`, found `state`"],
    );
    check(
        sample::text().replace("rows 4 5", "rows 4 4"),
        expect![
            "a.mapping breaks the rules of mappings: tile t1 of m0, entry 1: logical row 4 is held twice (rule 5)"
        ],
    );
    check(
        b"hafnia\xff",
        expect!["cannot read a.mapping: byte 6 is not UTF-8, the file must be text"],
    );
    check("", expect!["a.mapping:1:1: expected `hafnia-mapping`, found the end"]);
}
