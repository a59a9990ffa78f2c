//! Runs every command of docs/import.md, on the files of exporters that are in the tree.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder with the files that the page names.
fn place() -> TempDir {
    let place = TempDir::new().expect("a folder");
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hafnia-onnx/tests/files");
    let copy = |from: &str, to: &str| {
        fs::copy(files.join(from), place.path().join(to)).expect("copied");
    };
    copy("images.npy", "images.npy");
    for (from, to) in [
        ("brevitas-residual", "brevitas"),
        ("onnxruntime-int8", "onnxruntime"),
        ("larq-channels-last", "keras"),
    ] {
        copy(&format!("{from}.onnx"), &format!("{to}.onnx"));
        copy(&format!("{from}.npy"), &format!("{to}.npy"));
    }
    place
}

fn hafnia(place: &TempDir, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hafnia"));
    command.current_dir(place.path()).env("XDG_CACHE_HOME", place.path());
    command.args(line.split_whitespace().skip(1)).output().expect("hafnia")
}

#[test]
fn every_command_of_the_page_runs() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/import.md");
    let text = fs::read_to_string(page).expect("the page");
    let place = place();
    let blocks = text.split("```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines());
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 15, "five commands from each of three tools");
    for line in lines {
        let output = hafnia(&place, line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        let found = String::from_utf8_lossy(&output.stdout);
        if line.contains(" import ") {
            assert!(found.contains("200 of 200 outputs of 20 images are the integers"), "{found}");
        }
    }
}

#[test]
fn another_reading_of_pixels_is_found_out() {
    let place = place();
    let line = "hafnia model import brevitas.onnx --pixels raw --check images.npy brevitas.npy --out x.hafnia";
    let output = hafnia(&place, line);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("20 images differ otherwise; first image 0, output 0: "), "{said}");
    assert!(!place.path().join("x.hafnia").exists());
}

#[test]
fn what_an_option_is_for_is_said() {
    let place = place();
    fs::create_dir(place.path().join("folder")).expect("made");
    for (line, expected) in [
        (
            "hafnia model import brevitas.onnx --out x.hafnia",
            "brevitas.onnx: --pixels raw, unit or MEAN,STD is needed: an ONNX file does not say what it \
             expects of the bytes of an image",
        ),
        (
            "hafnia model import folder --pixels unit --out x.hafnia",
            "--pixels is for ONNX files, an interchange folder is given",
        ),
        (
            "hafnia model import brevitas.onnx --pixels unit --check-logits folder --out x.hafnia",
            "--check-logits is for interchange folders; --check compares an ONNX file",
        ),
        (
            "hafnia model import keras.onnx --pixels unit --image 1x7x7 --out x.hafnia",
            "keras.onnx: images of 1x7x7 do not fit its input of 1x28x28",
        ),
        (
            "hafnia model import missing.onnx --pixels unit --out x.hafnia",
            "cannot read missing.onnx: No such file or directory (os error 2)",
        ),
    ] {
        let output = hafnia(&place, line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        assert_eq!(said.trim_end(), format!("error: {expected}"), "{line}");
    }
}

#[test]
fn a_network_goes_out_as_qonnx_and_comes_back() {
    let place = place();
    for line in [
        "hafnia model import keras.onnx --pixels unit --out keras.hafnia",
        "hafnia model export keras.hafnia --out back.onnx",
        "hafnia model import back.onnx --pixels raw --out back.hafnia",
    ] {
        let output = hafnia(&place, line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
    }
}
