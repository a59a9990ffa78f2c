//! Networks that are refined and merged, and mapped afterwards, on the committed subset.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Output};

use expect_test::{Expect, expect};
use serde_json::Value;
use tempfile::TempDir;

fn call(place: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hafnia"));
    command.args(line.split_whitespace()).current_dir(place).env("XDG_CACHE_HOME", place);
    command.output().unwrap()
}

fn json(place: &Path, line: &str) -> Value {
    let output = call(place, &format!("{line} --format json"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "hafnia {line}: {stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn rename_finds_the_rows_that_a_merge_leaves() {
    let place = TempDir::new().unwrap();
    let place = place.path();
    for (layer, index, rows) in [("fc3", 4, 46), ("fc2", 3, 90)] {
        let line = format!("--model frontier --layer {layer} --rows {rows} --passes 1 --offline");
        let merged = json(place, &format!("model merge {line} --out merged.hafnia"));
        assert_eq!((&merged["layer"], &merged["rows"]), (&layer.into(), &rows.into()));
        let mapped = json(place, "map merged.hafnia --pipeline rename --out merged.map");
        assert_eq!(mapped["matrices"][index]["physical_rows"], rows);
        assert_eq!(mapped["matrices"][index]["logical_rows"], merged["logical_rows"]);

        let evaluated = json(place, "model evaluate merged.hafnia --part validation --offline");
        assert_eq!(merged["accuracy_after"]["first"], evaluated["accuracy"]);
    }
    assert!(place.join("merged.hafnia.manifest.json").exists());
}

#[test]
fn a_budget_leaves_the_fewest_rows_within_it() {
    let place = TempDir::new().unwrap();
    let place = place.path();
    let line = "model merge --model frontier --offline --no-tune";
    let merged = json(place, &format!("{line} --budget 3 --out merged.hafnia"));
    let rows = merged["rows"].as_u64().unwrap();
    assert!(merged["cost_points"]["first"]["value"].as_f64().unwrap() <= 3.0, "{merged}");
    assert!(rows < 84, "{merged}");
    let fewer = json(place, &format!("{line} --curve {}", rows - 1));
    let cost = &fewer["points"][0]["cost_points"]["first"]["value"];
    assert!(cost.as_f64().unwrap() > 3.0, "{fewer}");
}

#[test]
fn refining_tells_what_it_did_on_images_that_took_no_part() {
    let place = TempDir::new().unwrap();
    let place = place.path();
    let line = "model refine --model paper --layers fc3,fc2 --passes 1 --sigmas 0 --offline";
    let refined = json(place, &format!("{line} --out refined.hafnia"));
    let parts = refined["parts"].as_array().unwrap();
    let names: Vec<&str> = parts.iter().map(|part| part["part"].as_str().unwrap()).collect();
    assert_eq!(names, ["searched", "held back", "validation"]);
    assert!(refined["made"].as_u64().unwrap() > 0);
    let layers: Vec<&str> = refined["visits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["layer"].as_str().unwrap())
        .collect();
    assert_eq!(layers, ["fc3", "fc2"]);
    let evaluated = json(place, "model evaluate refined.hafnia --part validation --offline");
    assert_eq!(parts[2]["accuracy_after"]["first"], evaluated["accuracy"]);
}

#[test]
fn what_is_asked_for_in_vain_is_told_in_one_line() {
    let place = TempDir::new().unwrap();
    let check = |line: &str, expected: Expect| {
        let output =
            call(place.path(), &format!("model {line} --model frontier --offline --quiet"));
        assert_eq!(output.status.code(), Some(2), "{line}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        expected.assert_eq(stderr.lines().next().unwrap());
    };
    check("merge --rows 85 --out x", expect!["error: rows is 85, it must lie in 1..=84"]);
    check("merge --rows 0 --out x", expect!["error: rows is 0, it must lie in 1..=84"]);
    check(
        "merge --layer fc4 --rows 8 --out x",
        expect![
            "error: layer names `fc4`, the network has the matrix layers conv1, conv2, fc1, fc2, fc3"
        ],
    );
    check(
        "merge --layer conv2 --rows 8 --out x",
        expect!["error: layer names `conv2`, a convolution: only rows of linear layers are merged"],
    );
    check(
        "merge --budget 101 --out x",
        expect![
            "error: invalid value '101' for '--budget <POINTS>': budget is 101, it must lie in 0..=100"
        ],
    );
    check("refine --passes 0 --out x", expect!["error: passes is 0, it must lie in 1..=1000"]);
    check(
        "refine --layers fc3,fc9 --out x",
        expect![
            "error: layers names `fc9`, the network has the matrix layers conv1, conv2, fc1, fc2, fc3"
        ],
    );
}
