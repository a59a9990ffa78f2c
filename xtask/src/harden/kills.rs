//! Kills at single system calls: what was there before a command, or what it makes, is there after it,
//! and the same command again makes it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use hafnia_rng::ChaCha8Rng;
use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::harden::trial::{Binary, Failure, end, reset, script};

/// A command that writes, its `SEED` to be filled in, and what it writes.
const WRITERS: [(&str, &[&str]); 9] = [
    (
        "map network.hafnia --pipeline pipeline.toml --macro macro.toml --profile x.profile \
         --seed SEED --out out/x.map --emit program=out/program -q",
        &["out/x.map", "out/program"],
    ),
    (
        "chip program natural.map --macro macro.toml --seed SEED --out out/x.chip -q",
        &["out/x.chip"],
    ),
    (
        "profile network.hafnia --data data --images 9 --seed SEED --out out/x.profile -q",
        &["out/x.profile"],
    ),
    (
        "train --recipe recipe.toml --data data --seed SEED --out out/net -q",
        &["out/net/network.hafnia"],
    ),
    ("model export network.hafnia out/net --logits SEED --data data -q", &["out/net"]),
    (
        "sim network.hafnia natural.map --macro macro.toml --data data --chips 2 --seed SEED --out out/sim.json -q",
        &["out/sim.json"],
    ),
    (
        "fit codes codes.csv --macro macro.toml --set adc.offset_lsb=0.SEED --out out/codes.csv -q",
        &["out/codes.csv"],
    ),
    ("sweep sweep.toml --data data --out out/sweep -q", &["out/sweep/results.csv"]),
    ("report run --out out/report.html -q", &["out/report.html"]),
];

/// System calls by which files come, change and go.
const CALLS: [&str; 10] = [
    "openat",
    "write",
    "fsync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "linkat",
];

/// Whether strace is there.
pub(crate) fn is_there() -> bool {
    Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success())
}

/// The files of an output, by their paths in it: one without a path, or those of a folder.
type Files = Vec<(String, Vec<u8>)>;

/// The content of files and folders; nothing where there are none.
fn contents(place: &Path, names: &[&str]) -> anyhow::Result<Vec<Files>> {
    names.iter().map(|name| content(&place.join(name), "")).collect()
}

fn content(path: &Path, below: &str) -> anyhow::Result<Files> {
    let mut files = Vec::new();
    if path.is_file() {
        files.push((below.to_owned(), fs::read(path)?));
    } else if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && !name.ends_with("manifest.json") {
                files.extend(content(&path.join(&name), &format!("{below}/{name}"))?);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Kills a command at a call, and looks at what is left.
pub(crate) fn kill(
    binary: &Binary,
    seeds: &Path,
    place: &Path,
    rng: &mut ChaCha8Rng,
) -> anyhow::Result<Option<Failure>> {
    let (command, names) = WRITERS.choose(rng).expect("there are commands");
    let [old, new] = ["3", "4"].map(|seed| command.replace("SEED", seed));
    let made = |command: &str| -> anyhow::Result<_> {
        reset(seeds, place)?;
        let ended = binary.run(place, command)?;
        ensure!(ended.code == Some(0), "`{command}` failed: {}", ended.stderr);
        contents(place, names)
    };
    let expected = made(&new)?;
    let before = if rng.random() { made(&old)? } else { vec![Vec::new(); names.len()] };
    if before.iter().all(Vec::is_empty) {
        reset(seeds, place)?;
    }

    let (call, when) = (CALLS.choose(rng).expect("there are calls"), rng.random_range(1..40));
    let strace = |place: &Path| {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e"]).arg(format!("trace={call}"));
        strace.arg("-e").arg(format!("inject={call}:signal=KILL:when={when}"));
        strace.arg(&binary.0).args(new.split_whitespace());
        end(&mut strace, place).context("strace")
    };
    let killed = strace(place)?;
    let left = contents(place, names)?;
    let again = binary.run(place, &new)?;
    let after = contents(place, names)?;
    let is_whole = left
        .iter()
        .zip(before.iter().zip(&expected))
        .all(|(left, (old, new))| left == old || left == new);
    let remains = remains(&place.join("out"));
    let what = if !is_whole {
        Some("what a killed command left is neither old nor new".to_owned())
    } else if again.code != Some(0) {
        Some(format!("the same command again fails: {}", again.stderr))
    } else if after != expected {
        Some("the same command again makes something else".to_owned())
    } else {
        remains.map(|name| format!("the same command again leaves {name}"))
    };
    let _ = fs::remove_dir_all(place.join("out"));
    let ended = if killed.code.is_none() { "killed" } else { "not reached" };
    Ok(what.map(|what| Failure {
        what,
        script: format!(
            "strace -f -qq -o /dev/null -e trace={call} -e inject={call}:signal=KILL:when={when} {} # {ended}",
            script(&new)
        ),
    }))
}

/// Starts a command twice at once: one wins, the other may say so, and what is there is whole.
pub(crate) fn race(
    binary: &Binary,
    seeds: &Path,
    place: &Path,
    rng: &mut ChaCha8Rng,
) -> anyhow::Result<Option<Failure>> {
    let (command, names) = WRITERS.choose(rng).expect("there are commands");
    let command = command.replace("SEED", "3");
    reset(seeds, place)?;
    let ended = binary.run(place, &command)?;
    ensure!(ended.code == Some(0), "`{command}` failed: {}", ended.stderr);
    let expected = contents(place, names)?;
    reset(seeds, place)?;
    let [one, two] = std::thread::scope(|scope| {
        let run = || scope.spawn(|| binary.run(place, &command));
        [run(), run()].map(|run| run.join().expect("it does not panic"))
    });
    let (one, two) = (one?, two?);
    let what = if let Some(fault) = one.fault().or_else(|| two.fault()) {
        Some(fault)
    } else if one.code != Some(0) && two.code != Some(0) {
        Some(format!("neither of two at once succeeds: {} {}", one.stderr, two.stderr))
    } else if contents(place, names)? != expected {
        Some("two at once make something else than one".to_owned())
    } else {
        remains(&place.join("out")).map(|name| format!("two at once leave {name}"))
    };
    let _ = fs::remove_dir_all(place.join("out"));
    let script = script(&command);
    Ok(what.map(|what| Failure { what, script: format!("{script} & {script}; wait") }))
}

/// A file that is half written, somewhere in a folder.
fn remains(folder: &Path) -> Option<String> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(".writing-") {
            return Some(name);
        }
        if let Some(name) = entry.path().is_dir().then(|| remains(&entry.path())).flatten() {
            return Some(name);
        }
    }
    None
}
