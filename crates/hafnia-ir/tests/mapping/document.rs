//! The errors that `docs/ir.md` shows are those that are made.
//!
//! A block of the kind `diff` changes an example of the document: lines with `-` are replaced by
//! those with `+`; its last line is what reading or verifying the changed text says.

use std::fmt::Write as _;

use expect_test::expect_file;
use hafnia_ir::{Mapping, verify};

const PAGE: &str = include_str!("../../../../docs/ir.md");

/// The examples, without comments.
fn examples() -> Vec<String> {
    let blocks = PAGE.split("```text\n").filter(|block| block.starts_with("hafnia-mapping"));
    let bare = |line: &str| line.split('#').next().unwrap_or_default().trim_end().to_owned() + "\n";
    blocks.map(|block| block.split("```").next().unwrap().lines().map(bare).collect()).collect()
}

/// What is said of the first example that has `old`, after a change.
fn said(old: &str, new: &str) -> String {
    let examples = examples();
    let example = examples.iter().find(|example| example.contains(old));
    let example = example.unwrap_or_else(|| panic!("no example has\n{old}"));
    match example.replacen(old, new, 1).parse::<Mapping>() {
        Err(error) => error.to_string(),
        Ok(mapping) => match verify(&mapping) {
            Err(violations) => violations.first().to_string(),
            Ok(()) => panic!("the example with\n{new}breaks no rule"),
        },
    }
}

#[test]
fn the_examples_are_right() {
    let examples = examples();
    assert_eq!(examples.len(), 3);
    for example in examples {
        assert_eq!(verify(&example.parse().unwrap()), Ok(()));
    }
}

/// Blesses what is said with `UPDATE_EXPECT=1`.
#[test]
fn what_the_document_says_is_said() {
    let mut page = String::new();
    let (mut is_diff, mut old, mut new) = (false, String::new(), String::new());
    for line in PAGE.lines() {
        let indent = line.len() - line.trim_start().len();
        match line.trim_start() {
            "```diff" => is_diff = true,
            "```" if is_diff => {
                (is_diff, old, new) = (false, String::new(), String::new());
            }
            text if is_diff => match text.split_at(1) {
                ("-", text) => writeln!(old, "{text}").unwrap(),
                ("+", text) => writeln!(new, "{text}").unwrap(),
                _ => {
                    assert!(text.starts_with("error: "), "{line}");
                    writeln!(page, "{:indent$}error: {}", "", said(&old, &new)).unwrap();
                    continue;
                }
            },
            _ => {}
        }
        writeln!(page, "{line}").unwrap();
    }
    expect_file!["../../../../docs/ir.md"].assert_eq(&page);
}
