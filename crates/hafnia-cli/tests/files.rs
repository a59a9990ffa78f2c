//! Files in the wrong place: outputs that are inputs, places that are no files, disks that are full.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod small;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use small::{COMMANDS, copy, files, hafnia, place, words};

/// Runs a command that fails before it does anything, with these words in its one line.
fn refused(place: &Path, line: &str, expected: &str) {
    let before = files(place);
    let output = hafnia(place, line, "--quiet");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{line}: {said}");
    assert_eq!(said.lines().count(), 1, "{line}: {said}");
    assert!(said.contains(expected), "{line}: {said}, not {expected}");
    assert!(output.stdout.is_empty(), "{line}");
    assert!(files(place) == before, "{line} changed files");
}

#[test]
fn no_output_is_an_input_or_another_output() {
    let place = place();
    let place = place.path();
    fs::hard_link(place.join("net.hafnia"), place.join("same.hafnia")).unwrap();
    fs::write(place.join("macro.toml"), "inherits = \"gt-n40\"\n").unwrap();
    let images = "data/t10k-images-idx3-ubyte";
    for (line, output) in [
        ("map net.hafnia --pipeline natural", "net.hafnia"),
        ("map net.hafnia --pipeline natural", "same.hafnia"),
        ("map net.hafnia --pipeline natural", "program/../net.hafnia"),
        ("map net.hafnia --pipeline natural --macro macro.toml", "macro.toml"),
        ("map net.hafnia --from-program program", "program/macro-0/cells.hex"),
        ("sim net.hafnia net.map --data data --chips 1", "net.map"),
        ("sim net.hafnia net.map --data data --chips 1", images),
        ("sim net.hafnia net.map --data data --chip net.chip", "net.chip"),
        ("cost net.hafnia net.map --data data", "net.map"),
        ("profile net.hafnia --data data", images),
        ("model refine net.hafnia --data data", "net.hafnia"),
        ("model merge net.hafnia --rows 2 --layer fc2 --data data", "net.hafnia"),
        ("model import folder", "folder/network.json"),
        ("chip program net.map", "net.map"),
        ("fit cells cells.csv", "cells.csv"),
        ("fit cells cells.csv --inherits ./macro.toml", "macro.toml"),
        ("fit codes codes.csv", "codes.csv"),
        ("report run", "run/report.json"),
        ("report run run", "run/report.json"),
    ] {
        let input = format!("cannot write {output}: it is an input of the same command");
        refused(place, &format!("{line} --out {output}"), &input);
    }
    for (line, expected) in [
        (
            "model export net.hafnia data --data data",
            "cannot write data: it holds data/train-images-idx3-ubyte, an input of the same command",
        ),
        (
            "map net.hafnia --from-program program --out new.map --emit program=program",
            "cannot write program: it holds ",
        ),
        (
            "map net.hafnia --pipeline compact --out new/x.map --emit program=new",
            "cannot write new/x.map: it is in new, which is replaced as a whole",
        ),
        (
            "cost net.hafnia net.map --against natural --data data --plot new --out ./new",
            "it is another output of the same command",
        ),
        (
            "fit cells cells.csv --out new --plot new.manifest.json",
            "it is another output of the same command",
        ),
    ] {
        refused(place, line, expected);
    }
    fs::rename(place.join("recipe.toml"), place.join("training.json")).unwrap();
    refused(
        place,
        "train --recipe training.json --data data --out .",
        "cannot write ./training.json: it is an input of the same command",
    );
    fs::rename(place.join("sweep.toml"), place.join("results.csv")).unwrap();
    refused(
        place,
        "sweep results.csv --data data --out .",
        "cannot write ./results.csv: it is an input of the same command",
    );
}

#[test]
fn what_is_not_ours_is_refused_before_any_work() {
    let place = place();
    let place = place.path();
    fs::create_dir_all(place.join("home/measurements")).unwrap();
    fs::write(place.join("home/program.json"), "{\"name\": \"mine\"}").unwrap();
    fs::write(place.join("home/network.json"), "{}").unwrap();
    fs::write(place.join("home/measurements/a.csv"), "1").unwrap();
    let lost = ", which would be lost";
    refused(place, "map net.hafnia --pipeline compact --out x.map --emit program=home", lost);
    refused(place, "model export net.hafnia home", lost);
    // A program with one file that is not its own.
    fs::write(place.join("program/thesis.tex"), "").unwrap();
    let emit = "map net.hafnia --pipeline compact --out x.map --emit program=program";
    refused(place, emit, "it holds `thesis.tex`, which would be lost");

    std::os::unix::fs::symlink("data", place.join("link")).unwrap();
    assert!(Command::new("mkfifo").arg(place.join("pipe")).status().unwrap().success());
    for (name, what) in [("home", "a folder"), ("link", "a symbolic link"), ("pipe", "a device")] {
        for line in ["map net.hafnia --pipeline natural", "profile net.hafnia --data data"] {
            refused(place, &format!("{line} --out {name}"), &format!("{name}: it is {what}"));
        }
    }
    refused(
        place,
        "map net.hafnia --pipeline natural --out /dev/null",
        "/dev/null: it is a device",
    );
}

/// No file may become larger than 0 bytes, as on a full disk.
#[test]
fn on_a_full_disk_results_are_printed_and_old_files_stay() {
    let place = place();
    let full = "trap '' XFSZ; ulimit -f 0;";
    // These keep what they compute as they go, or only say where files are.
    let exempt =
        |line: &str| ["train", "sweep", "chip export", "man"].iter().any(|w| line.starts_with(w));
    let mut failed = Vec::new();
    for line in COMMANDS.iter().filter(|line| !exempt(line)) {
        let usual = copy(place.path());
        let expected = hafnia(usual.path(), line, "");
        let is_written = files(usual.path()) != files(place.path());
        let broken = copy(place.path());
        let script = format!("{full} exec {} {line}", env!("CARGO_BIN_EXE_hafnia"));
        let mut command = Command::new("bash");
        command.args(["-c", &script]).current_dir(&broken).env("XDG_CACHE_HOME", place.path());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let code = if is_written { Some(1) } else { expected.status.code() };
        if output.status.code() != code
            || words(&output.stdout) != words(&expected.stdout)
            || is_written != said.contains("File too large")
            || files(broken.path()).iter().any(|(_, bytes)| bytes.is_empty())
                != files(place.path()).iter().any(|(_, bytes)| bytes.is_empty())
        {
            failed.push(format!("{line}: {:?}, not {code:?}: {said}", output.status));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The disk is full once the map and the program are written: the manifest is of the old ones, and
/// says so.
#[test]
fn a_manifest_tells_whether_files_belong_together() {
    let place = place();
    let place = place.path();
    let digests = || {
        let manifest = fs::read(place.join("new.map.manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let of = manifest["outputs"].as_object().unwrap().clone();
        let found =
            |name: &String| hafnia_artifact::Digest::of_file(place.join(name)).unwrap().to_string();
        let agree = of.iter().all(|(name, digest)| digest.as_str() == Some(&found(name)));
        (of.keys().cloned().collect::<Vec<_>>(), agree)
    };
    let map = |pipeline: &str| {
        let small = "--set rows=16 --set columns=8";
        format!("map net.hafnia --pipeline {pipeline} {small} --out new.map --emit program=new")
    };
    assert!(hafnia(place, &map("natural"), "").status.success());
    let (names, agree) = digests();
    assert!(agree);
    for name in ["new.map", "new/program.json", "new/macro-0/cells.hex"] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
    let program = |folder: &Path| fs::read(folder.join("new/macro-0/scan.csv")).unwrap();
    let before = program(place);
    // A manifest has more than 2048 bytes, the other files have less.
    let script = format!(
        "trap '' XFSZ; ulimit -f 2; exec {} {}",
        env!("CARGO_BIN_EXE_hafnia"),
        map("compact")
    );
    let output = Command::new("bash").args(["-c", &script]).current_dir(place).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("new.map.manifest.json: File too large"), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("stage placed"));
    assert_ne!(program(place), before);
    assert!(!digests().1, "the manifest is of the files that were there before");
    assert!(
        hafnia(
            place,
            "map net.hafnia --set rows=16 --set columns=8 --from-program new --out again.map",
            ""
        )
        .status
        .success()
    );
    assert_eq!(
        fs::read(place.join("again.map")).unwrap(),
        fs::read(place.join("new.map")).unwrap()
    );
}

fn begun(place: &Path, line: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hafnia"));
    command.args(line.split(' ')).current_dir(place).env("XDG_CACHE_HOME", place);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn of_two_that_begin_at_once_in_a_folder_one_wins_and_the_other_says_so() {
    let place = place();
    let place = place.path();
    let busy = "error: cannot write into new: another process is writing into it; wait for its end \
                or choose another folder\n";
    for line in [
        "train --recipe recipe.toml --data data --out new",
        "sweep sweep.toml --data data --out new",
        "frontier net.hafnia --profile net.profile --data data --steps 10 --chips 2 --out new",
    ] {
        let lock = hafnia_artifact::FolderLock::take(place.join("new")).unwrap();
        let output = hafnia(place, line, "--quiet");
        assert_eq!(String::from_utf8_lossy(&output.stderr), busy, "{line}");
        assert_eq!(output.status.code(), Some(1), "{line}");
        drop(lock);
        assert!(hafnia(place, line, "").status.success(), "{line}");
        fs::remove_dir_all(place.join("new")).unwrap();
    }
    // Those that do a share each work side by side.
    let shares = [0, 1].map(|share| {
        begun(place, &format!("sweep sweep.toml --data data --out new --share {share}/2"))
    });
    for share in shares {
        let output = share.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let collected = hafnia(place, "sweep --out new --collect", "");
    assert!(String::from_utf8_lossy(&collected.stdout).contains("0 of them missing"));
}

/// Inputs that are no files, too large or no text: a line that names them, at once.
#[test]
fn inputs_that_are_no_files_are_named() {
    let place = place();
    let place = place.path();
    assert!(Command::new("mkfifo").arg(place.join("pipe")).status().unwrap().success());
    fs::write(place.join("bytes"), b"a\xff").unwrap();
    fs::File::create(place.join("large")).unwrap().set_len((1 << 30) + 1).unwrap();
    let kinds = [
        ("pipe", "it is a device, pipe or socket, not a file"),
        ("/dev/zero", "it is a device, pipe or socket, not a file"),
        ("./data", "it is a folder, not a file"),
        ("large", "it has more than "),
        ("missing", "No such file or directory"),
    ];
    let text = ("bytes", "byte 1 is not UTF-8, the file must be text");
    let sim = "sim net.hafnia net.map --data data";
    for (line, is_text) in [
        ("map FILE --pipeline natural --out new", false),
        ("map net.hafnia --pipeline FILE --out new", true),
        ("map net.hafnia --pipeline natural --macro ./FILE --out new", true),
        ("map net.hafnia --pipeline natural --profile FILE --out new", false),
        ("map net.hafnia --pipeline natural --code-table FILE --out new", true),
        ("sim net.hafnia FILE --data data --chips 1", true),
        (&format!("{sim} --chip FILE"), false),
        (&format!("{sim} --set faults.map=FILE"), true),
        (&format!("{sim} --engine table --code-table FILE"), true),
        ("cost net.hafnia net.map --data data --cost-model ./FILE", true),
        ("model evaluate net.hafnia --data data --against FILE", false),
        ("train --recipe FILE --data data --out new", true),
        ("sweep FILE --data data --out new", true),
        ("sweep sweep.toml --data data --out new --shards FILE", true),
        ("chip show FILE", false),
        ("chip show net.chip --mapping FILE", true),
        ("chip program FILE --out new.chip", true),
        ("fit cells FILE --out new.toml", true),
        ("fit codes FILE --out new.csv", true),
        ("macros show ./FILE", true),
    ] {
        for (file, fault) in kinds.into_iter().chain(is_text.then_some(text)) {
            // A macro is a path if it has a `/`.
            let path = if file.contains('/') { file.to_owned() } else { format!("./{file}") };
            let line = line.replace("./FILE", &path).replace("FILE", file);
            let output = hafnia(place, &line, "--quiet");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{line}: {said}");
            assert_eq!(said.lines().count(), 1, "{line}: {said}");
            assert!(said.contains(fault) && said.contains(file), "{line}: {said}");
        }
    }
}

/// Some editors put a mark before a text.
#[test]
fn a_byte_order_mark_is_skipped() {
    let place = place();
    let texts = [
        "sweep.toml",
        "recipe.toml",
        "cells.csv",
        "codes.csv",
        "net.map",
        "folder/network.json",
        "program/program.json",
        "program/tiles.csv",
        "program/macro-0/cells.hex",
        "run/report.json",
    ];
    for name in texts {
        let path = place.path().join(name);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, [b"\xef\xbb\xbf", &bytes[..]].concat()).unwrap();
    }
    for line in COMMANDS.iter().take(COMMANDS.len() - 5) {
        let output = hafnia(copy(place.path()).path(), line, "");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
