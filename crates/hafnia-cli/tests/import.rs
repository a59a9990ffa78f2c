//! Runs every command of docs/import.md, on the files of exporters that are in the tree.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use hafnia_artifact::npy;
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
            "brevitas.onnx: --pixels raw, signed, unit or MEAN,STD is needed: an ONNX file does not say what it \
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
        (
            "hafnia model export back.onnx",
            "give the network, as a file or by --model, and the file or folder to write",
        ),
        (
            "hafnia model export net.hafnia back.onnx --model frontier",
            "give either the network file net.hafnia or --model",
        ),
    ] {
        let output = hafnia(&place, line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        assert_eq!(said.trim_end(), format!("error: {expected}"), "{line}");
    }
}

#[test]
fn floats_are_taken_as_the_file_takes_them() {
    let place = place();
    let path = |name: &str| place.path().join(name);
    let run = |line: &str| {
        let output = hafnia(&place, line);
        let said = String::from_utf8(output.stderr).expect("text");
        (output.status.code(), said, output.stdout)
    };
    let import = "hafnia model import brevitas.onnx --pixels unit --out brevitas.hafnia";
    assert_eq!(run(import).0, Some(0));
    let images: npy::Array<u8> =
        npy::decode(&fs::read(path("images.npy")).expect("images")).expect("an array");
    // The outputs of the executor are targets.
    for folder in ["bytes", "floats"] {
        fs::create_dir(path(folder)).expect("made");
        fs::copy(path("brevitas.npy"), path(folder).join("y.npy")).expect("copied");
    }
    let write = |of: &dyn Fn(f32) -> f32| {
        let floats: Vec<f32> = images.values.iter().map(|&byte| of(f32::from(byte))).collect();
        fs::write(path("floats/x.npy"), npy::encode(&images.shape, &floats)).expect("written");
    };
    fs::copy(path("images.npy"), path("bytes/x.npy")).expect("copied");
    write(&|byte| byte / 255.0);
    for command in [
        "model evaluate brevitas.hafnia --format json",
        "sim brevitas.hafnia --pipeline natural --chips 2 --set sigma_lrs_rel=0.1 --format json",
    ] {
        let of = |data: &str| run(&format!("hafnia {command} --data {data}"));
        let (bytes, floats) = (of("bytes"), of("floats"));
        assert_eq!(bytes.0, Some(0), "{}", bytes.1);
        assert_eq!((floats.0, floats.2), (bytes.0, bytes.2), "{}", floats.1);
    }
    write(&|byte| byte);
    let (code, said, _) = run("hafnia model evaluate brevitas.hafnia --data floats --quiet");
    let first = images.values.iter().find(|&&byte| byte > 1).expect("a pixel");
    let expected = format!(
        "error: data set `floats/test` has the value {first} in image 0, the network takes floats of \
         -0.0019607844 to 1.0019608, as its ONNX file does for bytes, or bytes as uint8\n"
    );
    assert_eq!((code, said), (Some(1), expected));
}

#[test]
fn a_network_goes_out_as_qonnx_and_comes_back() {
    let place = place();
    for line in [
        "hafnia model import keras.onnx --pixels unit --out keras.hafnia",
        "hafnia model export keras.hafnia back.onnx",
        "hafnia model import back.onnx --pixels unit --out back.hafnia",
        "hafnia model export recorded.onnx --model frontier",
        "hafnia model import recorded.onnx --pixels raw --out recorded.hafnia",
    ] {
        let output = hafnia(&place, line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
    }
}
